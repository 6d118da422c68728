/* Composes the modules: a validated spec becomes a plan, in the order in which the child will act. */
#include "container/container.h"
#include "cgroup/scope.h"
#include "namespace/compile.h"
#include "network/compile.h"
#include "rootfs/compile.h"
#include "security/compile.h"

#include <string.h>

/* A file system that is the container's alone, so that what is missing may be made. */
static int has_root(const struct cx_compile *c)
{
	return (c->made & CONEX_NS_MOUNT) || (c->apart && !c->exec);
}

static int compile_terminal(struct cx_compile *c)
{
	const json_t *spec = c->spec;

	if (!cx_json_true(spec, "process.terminal")) {
		cx_op(c->build, session, NULL);
		return 0;
	}
	c->build->head.flags |= CX_PLAN_TERMINAL;
	cx_op(c->build, terminal, "process.terminal", !c->exec && has_root(c),
		cx_json_int(spec, "process.user.uid", 0),
		cx_json_int(spec, "process.consoleSize.height", 0),
		cx_json_int(spec, "process.consoleSize.width", 0));
	return 0;
}

const char **cx_texts(const json_t *list, const char *first)
{
	size_t i, n = json_array_size(list);
	const char **array = calloc(n + 2, sizeof *array);

	if (array && n == 0)
		array[0] = first;
	for (i = 0; array && i < n; i++)
		array[i] = json_string_value(json_array_get(list, i));
	return array;
}

static int compile_program(struct cx_compile *c, conex_error **err)
{
	cx_autofree const char **args = cx_texts(cx_json_at(c->spec, "process.args"), NULL);
	cx_autofree const char **env = cx_texts(cx_json_at(c->spec, "process.env"), NULL);
	struct cx_build *b = c->build;

	if (!args || !env)
		return cx_fail_memory(err);
	cx_op(b, exec, "process.args", cx_cell_slot_list(b, CX_SLOT_ARGS, args),
		cx_cell_slot_list(b, CX_SLOT_ENV, env));
	return 0;
}

static int compile_cwd(struct cx_compile *c)
{
	const char *cwd = cx_json_text(c->spec, "process.cwd");

	if (cwd && (c->exec || has_root(c) || strcmp(cwd, "/")))
		cx_op(c->build, chdir, "process.cwd", cx_cell_slot(c->build, CX_SLOT_CWD, cwd), has_root(c));
	return 0;
}

static int compile_init(struct cx_compile *c, conex_error **err)
{
	if (!cx_json_true(c->spec, "process.init") || c->exec)
		return 0;
	if (!(c->made & CONEX_NS_PID))
		return cx_fail(err, CONEX_STAGE_PLAN, -EINVAL, NULL,
			"give it its own pid namespace (share)", "CONEX_RUN_INIT");
	cx_op(c->build, init, "CONEX_RUN_INIT");
	return 0;
}

/* Without SELinux a mount's label means nothing to anybody, and engines ask for it by habit; a process that
 * shall be confined and can't be is another matter (security/). */
static void note_labels(struct cx_compile *c, conex *cx)
{
	const char *label = cx_json_text(c->spec, "linux.mountLabel");

	c->unlabelled = !cx_security_has_selinux();
	if (label && *label && c->unlabelled && !c->exec)
		cx_log(cx, 4, "linux.mountLabel %s: SELinux isn't at work on this machine, nothing is labelled", label);
}

#define STEP(call) \
	do { \
		int r_ = (call); \
		if (r_ < 0) \
			return r_; \
	} while (0)

static int compile_all(struct cx_compile *c, conex *cx, conex_error **err)
{
	cx_cgroup_compile_place(c);
	STEP(cx_namespace_compile_begin(c, err));
	note_labels(c, cx);
	cx_security_compile_affinity(c, "initial");
	STEP(cx_cgroup_compile(c, cx->cgroups, err));
	STEP(cx_network_compile_devices(c, err));
	STEP(cx_rootfs_compile_outside(c, err));
	STEP(cx_namespace_compile_enter(c, err));
	STEP(cx_rootfs_compile_sources(c, err));
	STEP(cx_namespace_compile_become(c, err));
	STEP(cx_network_compile_join(c, err));
	STEP(cx_rootfs_compile(c, err));
	cx_hooks_compile_create(c);
	STEP(cx_rootfs_compile_finish(c, err));
	STEP(cx_security_compile_sysctl(c, err));
	STEP(cx_rootfs_compile_protect(c, err));
	STEP(compile_terminal(c));
	cx_namespace_compile_mounts(c);
	STEP(compile_cwd(c));
	STEP(cx_security_compile_rights(c, cx->seccomp, err));
	STEP(compile_init(c, err));
	STEP(cx_security_compile_start(c, cx->seccomp, err));
	cx_op(c->build, start, NULL, c->rootless);
	cx_hooks_compile_start(c);
	STEP(cx_security_compile_last(c, cx->seccomp, err));
	return compile_program(c, err);
}

static uint32_t given(struct cx_compile *c, conex_namespace *const *join, conex_error **err)
{
	int n = 0;

	for (; join && join[n]; n++) {
		uint32_t kind = cx_namespace_kind(join[n]);

		if (n == CX_FD_COUNT - CX_FD_JOIN || c->given & kind) {
			cx_fail(err, CONEX_STAGE_PLAN, -EINVAL, NULL, "name each kind of namespace once", "join[%d]", n);
			return UINT32_MAX;
		}
		c->given |= kind;
		c->given_kinds[n] = kind;
	}
	return (uint32_t)n;
}

int cx_plan_compile(conex *cx, json_t *spec, unsigned how, conex_namespace *const *join, struct cx_plan **ret,
	struct cx_cgroup_limits **ret_limits, conex_error **err)
{
	struct cx_build build = { .failed = 0 };
	struct cx_compile c = { .spec = spec, .build = &build, .exec = (how & CX_COMPILE_EXEC) != 0,
		.networked = (how & CX_COMPILE_NETWORKED) != 0, .usermode = (how & CX_COMPILE_USERMODE) != 0,
		.named = (how & CX_COMPILE_NAMED) != 0,
		.mount_cgroup = cx_cgroup_compile_mount, .cgroups = cx->cgroups,
		.released = cx_is_released(cx),
		.placed = how & CX_COMPILE_EXEC ? (how & CX_COMPILE_PLACED) != 0 : cx_cgroups_by_systemd(cx->cgroups) };
	int r = given(&c, join, err) == UINT32_MAX ? -EINVAL : 0;

	c.staged = !c.exec && (cx_rootfs_needs_outside(spec) || cx_network_needs_outside(spec));
	if (r == 0)
		r = compile_all(&c, cx, err);
	if (r == 0 && ret_limits)
		r = cx_cgroup_limits_compile(cx->cgroups, cx_json_at(spec, "linux.resources"), ret_limits, err);
	if (r == 0)
		r = cx_build_end(&build, ret, err);
	cx_build_free(&build);
	return r;
}
