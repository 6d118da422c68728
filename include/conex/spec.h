/* conex/spec.h: the OCI runtime-spec's JSON in memory. No context needed.
 *
 * The format is the runtime-spec's config.json (config.md, config-linux.md), with three fields of
 * conex's own: root.overlay {"lower": [...], "upper", "work", "idmap" (true: the
 * lower ones' ids are mapped as those of the container's user namespace)}, process.init (true:
 * CONEX_RUN_INIT) and process.newKeyring (false: the session keyring is not a new one, but one
 * that the containers of a context share). Fields that it doesn't know are kept and written
 * back. What the runtime-spec has and this version doesn't do is refused by its path.
 *
 * Habits of engines are taken as they are meant: a key in another case is the runtime-spec's; an
 * integer 0, an empty text or list in linux.resources' memory, cpu, pids, blockIO and network says
 * "not set" (but for swappiness and idle); a number from 2^63 to 2^64 - 1 is what its bits mean with
 * a sign, so 18446744073709551615 is -1, no limit. */
#ifndef CONEX_SPEC_H
#define CONEX_SPEC_H
#include <conex/base.h>

CONEX_BEGIN_DECLARATIONS

/* The default, from which conex_run starts too: new pid, network, ipc, uts, mount and cgroup
 * namespaces, the usual mounts, masked paths, three capabilities, no_new_privs, a seccomp
 * profile; runs "sh".
 * Owner: *ret is the caller's: conex_spec_free.
 * Returns: 0; -ENOMEM.
 * Threads: any. Since: 0.1 */
int conex_spec_new(conex_spec **ret, conex_error **err);

/* Reads a config.json, or the one of a bundle, and checks it. Relative paths in root.path and in
 * sources of binds count from the bundle and become absolute.
 * Owner: *ret is the caller's: conex_spec_free.
 * Returns: 0; -EINVAL no JSON, a wrong type or value, ociVersion missing; -EOPNOTSUPP what this
 * version doesn't do; -EFBIG over 16 MiB; what open(2) and read(2) answer; -ENOMEM.
 * Threads: any. Since: 0.1 */
int conex_spec_load(const char *path, conex_spec **ret, conex_error **err);

/* The same from text. Relative paths stay as they are.
 * Owner: *ret is the caller's: conex_spec_free.
 * Returns: 0; -EINVAL no JSON, a wrong type or value, ociVersion missing; -EOPNOTSUPP what this
 * version doesn't do; -ENOMEM.
 * Threads: any. Since: 0.1 */
int conex_spec_parse(const char *json, conex_spec **ret, conex_error **err);

/* Lays a partial config.json over the spec: objects by key, null removes a key; lists by
 * identity (mounts by destination, namespaces and rlimits by type, env by name, devices by
 * path), other lists are replaced. A default seccomp profile follows the capabilities. On
 * failure the spec is as it was.
 * Returns: 0; -EINVAL -EOPNOTSUPP as conex_spec_parse; -ENOMEM.
 * Threads: one. Since: 0.1 */
int conex_spec_merge(conex_spec *spec, const char *json, conex_error **err);

/* The value that a JSON pointer (RFC 6901) names: "/process/args/0"; "" is the whole.
 * Owner: *ret_json is the caller's: free(3); compact JSON.
 * Returns: 0; -EINVAL no pointer; -ENOENT nothing there; -ENOMEM.
 * Threads: one. Since: 0.1 */
int conex_spec_get(const conex_spec *spec, const char *pointer, char **ret_json, conex_error **err);

/* The whole as a config.json, indented, with the fields that conex doesn't know.
 * Owner: *ret_json is the caller's: free(3).
 * Returns: 0; -ENOMEM.
 * Threads: one. Since: 0.1 */
int conex_spec_print(const conex_spec *spec, char **ret_json, conex_error **err);

/* Frees a spec; NULL is fine. Plans and containers made from it don't notice.
 * Threads: one. Since: 0.1 */
void conex_spec_free(conex_spec *spec);

CONEX_END_DECLARATIONS
#endif
