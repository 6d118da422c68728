/* conex/plan.h: compile once, look, launch often.
 *
 * A plan is a specification compiled for this machine: a list of operations (mounts, ids,
 * rights, the seccomp program, the arguments) in the order in which the child carries them out.
 * All that can be refused is refused while it is made. A plan never changes; any number of
 * launches may share it. */
#ifndef CONEX_PLAN_H
#define CONEX_PLAN_H
#include <conex/container.h>

CONEX_BEGIN_DECLARATIONS

/* Compiles a plan; nothing outside the process is made and no process started, but for an image that isn't in the store: it
 * is pulled, and waited for. image: as conex_run has it. args: NULL-ended, the default for launches; NULL: the specification's. options:
 * fields that are not marked L in struct conex_run_options; namespaces in .join are held by the
 * plan.
 * Owner: *ret is the caller's: conex_plan_free. .spec stays the caller's and is not changed.
 * Returns: 0; -EINVAL an option or the specification is malformed, or needs what it lacks;
 * -ERANGE a number too large; -EOPNOTSUPP what this version or machine can't do; -ENOENT
 * -ENOTDIR -EACCES .rootfs; -ENOENT a name in .user that /etc/passwd in the root file system
 * doesn't have; of an image that isn't there as conex_image_pull and its job; -E2BIG more than the format holds; each with the field in conex_error_object;
 * the usual.
 * Threads: any. Since: 0.1 */
int conex_plan_new(conex *cx, const char *image, const char *const *args,
	const struct conex_run_options *options, conex_plan **ret, conex_error **err);

/* The plan as text for people, one operation a line: a dry run. The wording is no interface.
 * Owner: *ret_text is the caller's: free(3).
 * Returns: 0; -ENOMEM.
 * Threads: any. Since: 0.1 */
int conex_plan_dump(const conex_plan *plan, char **ret_text, conex_error **err);

/* Frees the handle; plan may be NULL. Containers made from it don't notice.
 * Threads: one. Since: 0.1 */
void conex_plan_free(conex_plan *plan);

CONEX_END_DECLARATIONS
#endif
