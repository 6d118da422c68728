/* The spec inside the library: a config.json as a jansson tree, and how modules read it. */
#ifndef CX_SPEC_SPEC_H
#define CX_SPEC_SPEC_H

#include <jansson.h>
#include <conex/spec.h>

struct conex_spec {
	json_t *root;
	char *bundle;           /* where conex_spec_load found it, absolute; NULL */
};

/* Checks types, ranges, names, paths and contradictions of the whole document; touches nothing of the
 * host. The first fault is refused by path, value and mend (cx_refuse), -EINVAL. Fields that the
 * runtime-spec doesn't have are left alone. */
int cx_spec_validate(const json_t *root, conex_error **err);

/* The first part of that: types, ranges and names by the schema. */
int cx_spec_check_types(const json_t *root, conex_error **err);

/* The default spec as a new tree (runc spec's, with the seccomp profile of Docker and Podman); NULL: no memory */
json_t *cx_spec_default(void);

/* Merges `layer` into `into` (deep): objects by key, null removes; lists with identity by it (mounts by
 * destination, namespaces and rlimits by type, env by name, devices by path); other lists are
 * replaced. -ENOMEM. Does not validate. */
int cx_spec_merge_json(json_t *into, const json_t *layer);

/* Parses JSON text; the error names line and column. `what` is for the message ("oci", a path). */
int cx_spec_parse_json(const char *text, const char *what, json_t **ret, conex_error **err);

/* Takes what engines write by habit as it is meant: keys in another case, zeros that say "not set". For
 * whole documents and layers; the second one for linux.resources alone. 0, -ENOMEM */
int cx_spec_normal(json_t *root);
void cx_spec_normal_resources(json_t *resources);

/* Reading a validated tree. A dotted path of object keys; NULL where any part is missing. */
json_t *cx_json_at(const json_t *object, const char *path);
const char *cx_json_text(const json_t *object, const char *path);                /* NULL: missing */
int64_t cx_json_int(const json_t *object, const char *path, int64_t missing);
int cx_json_true(const json_t *object, const char *path);                        /* missing: 0 */

/* Is the namespace listed? 0 no, 1 a new one, 2 an existing one by path. */
int cx_spec_namespace(const json_t *root, const char *type);

#endif
