/* What a container may do: sysctls, limits, ids, capabilities and seccomp; spec -> plan
 * operations. Called by container/compile.c; child.c of this folder carries them out. */
#include "security/compile.h"

#include <stdio.h>
#include <string.h>
#include "base/error.h"
#include "security/capabilities.h"
#include "security/seccomp.h"
#include "spec/spec.h"

/* "net.ipv4.ip_forward" -> "sys/net/ipv4/ip_forward". As in sysctl.d(5), the first
 * separator counts: after a slash all is meant as it stands ("net/ipv4/conf/eth0.7/..."),
 * after a dot both are exchanged. */
static char *sysctl_path(const char *key)
{
	size_t first = strcspn(key, "./");
	int swap = key[first] == '.';
	char *path;

	if (asprintf(&path, "sys/%s", key) < 0)
		return NULL;
	for (char *p = path + 4; swap && *p; p++)
		*p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
	return path;
}

/* Is this part of a path, which ends at a slash, a name? */
static int part_good(const char *part, size_t size)
{
	return size && strncmp(part, ".", size) && strncmp(part, "..", size);
}

/* Validation has judged the key by its first part: no later one may lead elsewhere. */
static int path_straight(const char *path)
{
	size_t size = strcspn(path, "/");

	while (part_good(path, size)) {
		if (!path[size])
			return 1;
		path += size + 1;
		size = strcspn(path, "/");
	}
	return 0;
}

static int compile_sysctl(struct cx_compile *c, const char *key, const char *value,
	conex_error **err)
{
	cx_autofree char *path = sysctl_path(key), *object = NULL;

	if (!path || asprintf(&object, "linux.sysctl %s", key) < 0)
		return cx_fail_memory(err);
	if (!path_straight(path))
		return cx_refuse(err, -EINVAL, "linux.sysctl", key,
			"write it as in net.ipv4.ip_forward");
	cx_op(c->build, sysctl, object, cx_cell_text(c->build, path),
		cx_cell_text(c->build, value));
	return 0;
}

int cx_security_compile_sysctl(struct cx_compile *c, conex_error **err)
{
	const char *key;
	json_t *value;
	int r;

	if (c->exec)
		return 0;
	json_object_foreach(cx_json_at(c->spec, "linux.sysctl"), key, value) {
		r = compile_sysctl(c, key, json_string_value(value), err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Limits are 64 bits without sign in the kernel, signed in JSON: -1 is RLIM_INFINITY. */
static void compile_rlimits(struct cx_compile *c)
{
	char object[64];
	json_t *limit;
	size_t i;

	json_array_foreach(cx_json_at(c->spec, "process.rlimits"), i, limit) {
		const char *type = cx_json_text(limit, "type"); /* required: never NULL */

		snprintf(object, sizeof object, "process.rlimits[%zu] %s", i, type);
		cx_op(c->build, rlimit, object, cx_rlimit_number(type),
			cx_json_int(limit, "soft", -1), cx_json_int(limit, "hard", -1));
	}
}

static void compile_oom_score(struct cx_compile *c)
{
	const json_t *score = cx_json_at(c->spec, "process.oomScoreAdj");
	char text[24];

	if (!score)
		return;
	snprintf(text, sizeof text, "%lld", (long long)json_integer_value(score));
	cx_op(c->build, oom_score, "process.oomScoreAdj", cx_cell_text(c->build, text));
}

static int no_new_privileges(const struct cx_compile *c)
{
	return cx_json_true(c->spec, "process.noNewPrivileges");
}

/* Without no_new_privs a filter needs CAP_SYS_ADMIN: it is installed before rights go, and must allow what
 * follows. With it the filter comes last of all; but a listener must be taken by the keeper, which a released
 * container doesn't have any more when it is started. */
static enum cx_filter_place filter_place(const struct cx_compile *c)
{
	if (!no_new_privileges(c))
		return CX_FILTER_BEFORE_RIGHTS;
	return c->released && !c->exec && cx_seccomp_asks(cx_json_at(c->spec, "linux.seccomp"))
		? CX_FILTER_BEFORE_START : CX_FILTER_LAST;
}

static int compile_seccomp(struct cx_compile *c, enum cx_filter_place place, struct cx_seccomp_cache *cache,
	conex_error **err)
{
	const json_t *profile = cx_json_at(c->spec, "linux.seccomp");
	unsigned listener = (c->rootless ? CX_LISTENER_TRACEABLE : 0)
		| (place != CX_FILTER_LAST ? CX_LISTENER_CLOSE : 0);
	cx_autostr program = { 0 };
	uint32_t flags = 0;
	int r;

	if (!profile || place != filter_place(c))
		return 0;
	r = cx_seccomp_check_asked(c->spec, place, err);
	if (r == 0)
		r = cx_seccomp_program(cache, profile, &program, &flags, err);
	if (r < 0)
		return r;
	cx_op(c->build, seccomp, "linux.seccomp",
		cx_cell_bytes(c->build, program.data, program.size), flags,
		cx_seccomp_asks(profile) ? listener : 0);
	return 0;
}

/* The cell of process.user.additionalGids; the host's groups are dropped also where the
 * list is empty. 0 (*ret as it was) leaves them: for user namespaces that deny setgroups. */
static int compile_groups(struct cx_compile *c, uint64_t *ret, conex_error **err)
{
	const json_t *list = cx_json_at(c->spec, "process.user.additionalGids");
	cx_autostr groups = { 0 };
	json_t *gid;
	size_t i;

	if (c->build->head.deny_setgroups) {
		if (json_array_size(list))
			return cx_refuse(err, -EINVAL, "process.user.additionalGids", NULL,
				"this user namespace denies setgroups: leave it out");
		return 0;
	}
	json_array_foreach(list, i, gid) {
		uint32_t id = (uint32_t)json_integer_value(gid);

		cx_str_add(&groups, &id, sizeof id);
	}
	if (groups.failed)
		return cx_fail_memory(err);
	*ret = cx_cell_bytes(c->build, groups.data, groups.size);
	return 0;
}

static int compile_identity(struct cx_compile *c, conex_error **err)
{
	uint64_t groups = 0;
	int r = compile_groups(c, &groups, err);

	if (r < 0)
		return r;
	cx_op(c->build, identity, "process.user",
		cx_json_int(c->spec, "process.user.uid", 0),
		cx_json_int(c->spec, "process.user.gid", 0), groups,
		cx_json_int(c->spec, "process.user.umask", 0022));
	return 0;
}

static uint64_t capability_set(const struct cx_compile *c, const char *path)
{
	return cx_capability_mask(cx_json_at(c->spec, path));
}

/* Sets come from the container's spec alone, never from what we happen to have
 * (CVE-2022-29162). */
static void compile_capabilities(struct cx_compile *c)
{
	uint64_t effective = capability_set(c, "process.capabilities.effective");
	uint64_t permitted = capability_set(c, "process.capabilities.permitted");
	uint64_t inheritable = capability_set(c, "process.capabilities.inheritable");
	uint64_t ambient = capability_set(c, "process.capabilities.ambient");

	cx_op(c->build, capabilities, "process.capabilities", effective, permitted,
		inheritable);
	/* The kernel takes what is in both; `runc spec` lists more, and runc ignores it. */
	ambient &= permitted & inheritable;
	if (ambient)
		cx_op(c->build, ambient, "process.capabilities.ambient", ambient);
}

static void compile_bounding(struct cx_compile *c)
{
	uint64_t kept = capability_set(c, "process.capabilities.bounding");

	if (kept != CX_CAPABILITIES_ALL)
		cx_op(c->build, bounding, "process.capabilities.bounding", kept);
}

int cx_security_compile_rights(struct cx_compile *c, struct cx_seccomp_cache *cache,
	conex_error **err)
{
	int r = cx_security_compile_labels(c, err);

	if (r < 0)
		return r;
	compile_oom_score(c);   /* opens files: before a limit may forbid it */
	cx_security_compile_schedule(c);
	compile_rlimits(c);
	if (no_new_privileges(c))
		cx_op(c->build, no_new_privileges, "process.noNewPrivileges");
	r = compile_seccomp(c, CX_FILTER_BEFORE_RIGHTS, cache, err);
	if (r < 0)
		return r;
	compile_bounding(c);
	r = compile_identity(c, err);
	if (r < 0)
		return r;
	compile_capabilities(c);
	/* the kernel forgets it when ids change */
	cx_op(c->build, death_signal, NULL);
	return 0;
}

int cx_security_compile_start(struct cx_compile *c, struct cx_seccomp_cache *cache,
	conex_error **err)
{
	return compile_seccomp(c, CX_FILTER_BEFORE_START, cache, err);
}

int cx_security_compile_last(struct cx_compile *c, struct cx_seccomp_cache *cache,
	conex_error **err)
{
	return compile_seccomp(c, CX_FILTER_LAST, cache, err);
}
