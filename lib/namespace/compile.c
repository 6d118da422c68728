/* Namespaces: which are new, joined or the host's; in one clone where possible, in two stages where a
 * namespace must be entered before the process that will live in it is cloned. */
#include "namespace/compile.h"
#include "base/error.h"
#include "base/ids.h"
#include "namespace/maps.h"
#include "spec/spec.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static const struct { const char *name; uint32_t kind; uint64_t clone; } kinds[] = {
	/* the order of joins: the mount namespace after those given by path, the user namespace last
	 * (root may enter the others from outside of it) */
	{ "network", CONEX_NS_NET, CLONE_NEWNET },
	{ "ipc", CONEX_NS_IPC, CLONE_NEWIPC },
	{ "uts", CONEX_NS_UTS, CLONE_NEWUTS },
	{ "pid", CONEX_NS_PID, CLONE_NEWPID },
	{ "cgroup", CONEX_NS_CGROUP, CLONE_NEWCGROUP },
	{ "time", CONEX_NS_TIME, CLONE_NEWTIME },
	{ "mount", CONEX_NS_MOUNT, CLONE_NEWNS },
	{ "user", CONEX_NS_USER, CLONE_NEWUSER },
};

uint64_t cx_namespace_clone_flags(uint32_t bits)
{
	uint64_t flags = 0;

	for (size_t i = 0; i < CX_ARRAY_SIZE(kinds); i++)
		if (bits & kinds[i].kind)
			flags |= kinds[i].clone;
	return flags;
}

static const json_t *entry(const struct cx_compile *c, const char *name, size_t *index)
{
	const json_t *list = cx_json_at(c->spec, "linux.namespaces"), *ns;
	size_t i;

	json_array_foreach((json_t *)list, i, ns) {
		const char *type = cx_json_text(ns, "type");

		*index = i;
		if (type && !strcmp(type, name))
			return ns;
	}
	return NULL;
}

static int is_given(const struct cx_compile *c, uint32_t kind)
{
	return (c->given & kind) != 0;
}

/* In these cases the process proper is a second clone, made by the first from where it has gone. */
static int needs_stages(const struct cx_compile *c)
{
	uint32_t joined = c->joined | c->given;

	return c->staged || (joined & (CONEX_NS_PID | CONEX_NS_USER)) || (c->made & CONEX_NS_TIME);
}

/* What an unprivileged caller can't write himself newuidmap and newgidmap write; without them the kernel
 * wants setgroups denied before it takes a gid (CVE-2014-8989). */
static void write_maps(struct cx_build *b, const json_t *uids, const json_t *gids, int rootless)
{
	b->head.flags |= CX_PLAN_MAPS;
	b->head.uid_map = (uint32_t)cx_cell_map(b, uids);
	b->head.gid_map = (uint32_t)cx_cell_map(b, gids);
	if (!rootless)
		return;
	if (cx_maps_is_own(uids, geteuid()) && cx_maps_is_own(gids, getegid()))
		b->head.deny_setgroups = 1;
	else
		b->head.flags |= CX_PLAN_MAPS_HELPED;
}

static void compile_maps(struct cx_compile *c)
{
	if (c->made & CONEX_NS_USER)
		write_maps(c->build, cx_json_at(c->spec, "linux.uidMappings"), cx_json_at(c->spec, "linux.gidMappings"), c->rootless);
}

void cx_namespace_compile_own(struct cx_build *b, const json_t *uids, const json_t *gids)
{
	b->head.clone_flags = CLONE_NEWUSER;
	write_maps(b, uids, gids, 1);
	cx_op(b, barrier, NULL, CX_BARRIER_MAPS);
	cx_op(b, become_root, NULL);
}

/* Without privileges the user namespace comes first: all else is allowed by it. It is the first stage's where
 * there are two. */
static int user_first(const struct cx_compile *c)
{
	return c->rootless && !c->exec && c->build->head.flags & CX_PLAN_STAGES;
}

/* Root of the user namespace; what changes ids clears the death signal. */
static void become_root(struct cx_compile *c)
{
	cx_op(c->build, become_root, NULL);
	cx_op(c->build, death_signal, NULL);
}

static int compile_user_first(struct cx_compile *c, conex_error **err)
{
	struct cx_build *b = c->build;
	size_t at;

	if (c->rootless && !c->exec && (c->joined | c->given) && !((c->joined | c->given) & CONEX_NS_USER))
		return cx_fail(err, CONEX_STAGE_PLAN, -EPERM, NULL,
			"without privileges join the user namespace that they belong to as well",
			"linux.namespaces to join");
	if (!user_first(c))
		return 0;
	if (c->made & CONEX_NS_USER) {
		b->head.clone_flags = CLONE_NEWUSER;
		cx_op(b, barrier, "linux.uidMappings", CX_BARRIER_MAPS);
	}
	if (c->joined & CONEX_NS_USER)
		cx_op(b, join_path, "linux.namespaces user",
			cx_cell_text(b, cx_json_text(entry(c, "user", &at), "path")), CLONE_NEWUSER);
	for (int i = 0; i < 8 && c->given_kinds[i]; i++)
		if (c->given_kinds[i] == CONEX_NS_USER)
			cx_op(b, join, NULL, CX_FD_JOIN + i, CLONE_NEWUSER);
	become_root(c);
	return 0;
}

/* In the host's mounts, or in those of somebody's namespace that the specification names, with a root of its
 * own. A namespace given by handle is taken as it is. */
static int is_apart(const struct cx_compile *c)
{
	size_t at;
	const json_t *ns = entry(c, "mount", &at);

	return !is_given(c, CONEX_NS_MOUNT) && (!ns || cx_json_text(ns, "path"))
		&& (cx_json_at(c->spec, "root.path") || cx_json_at(c->spec, "root.overlay"));
}

int cx_namespace_compile_begin(struct cx_compile *c, conex_error **err)
{
	struct cx_build *b = c->build;
	size_t at;

	c->rootless = cx_ids_rootless();
	c->nested = cx_ids_nested();
	c->apart = is_apart(c);
	for (size_t i = 0; i < CX_ARRAY_SIZE(kinds); i++) {
		const json_t *ns = entry(c, kinds[i].name, &at);

		if (!ns || is_given(c, kinds[i].kind))
			continue;
		if (c->exec || cx_json_text(ns, "path"))
			c->joined |= kinds[i].kind;
		else
			c->made |= kinds[i].kind;
	}
	if (c->exec) {          /* what was given to the container is the container's: joined through its pidfd */
		c->joined |= c->given;
		c->given = 0;
	}
	c->userns = ((c->made | c->joined | c->given) & CONEX_NS_USER) != 0;
	if (c->made & CONEX_NS_PID)     /* one that is joined doesn't end with this process */
		b->head.flags |= CX_PLAN_PID_NS;
	if (needs_stages(c))
		b->head.flags |= CX_PLAN_STAGES;
	else
		b->head.clone_flags = cx_namespace_clone_flags(c->made & ~CONEX_NS_CGROUP);
	compile_maps(c);
	cx_op(b, inherit, NULL, CX_FD_IN, CX_FD_OUT, CX_FD_ERR,
		cx_json_at(c->spec, "process.newKeyring") ? cx_json_true(c->spec, "process.newKeyring") : 1);
	cx_op(b, death_signal, NULL);
	return compile_user_first(c, err);
}

/* Is it to be joined here, and not long since? */
static int joins_now(const struct cx_compile *c, uint32_t kind)
{
	return !user_first(c) || kind != CONEX_NS_USER;
}

static void join_given(struct cx_compile *c)
{
	for (int i = 0; i < 8 && c->given_kinds[i]; i++)
		if (is_given(c, c->given_kinds[i]) && joins_now(c, c->given_kinds[i]))
			cx_op(c->build, join, NULL, CX_FD_JOIN + i, cx_namespace_clone_flags(c->given_kinds[i]));
}

static void join_paths(struct cx_compile *c)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(kinds); i++) {
		char object[64];
		const json_t *ns;
		size_t at;

		if (!(c->joined & kinds[i].kind) || !joins_now(c, kinds[i].kind) || !(ns = entry(c, kinds[i].name, &at)))
			continue;
		snprintf(object, sizeof object, "linux.namespaces[%zu] %s", at, kinds[i].name);
		if (c->apart && kinds[i].kind == CONEX_NS_MOUNT)
			cx_op(c->build, hold_mounts, object, cx_cell_text(c->build, cx_json_text(ns, "path")));
		else
			cx_op(c->build, join_path, object, cx_cell_text(c->build, cx_json_text(ns, "path")),
				kinds[i].clone);
	}
}

static void add_offset(const struct cx_compile *c, const char *clock, struct cx_str *text)
{
	const json_t *offset = cx_json_at(cx_json_at(c->spec, "linux.timeOffsets"), clock);

	if (offset)
		cx_str_addf(text, "%s %lld %lld\n", clock, (long long)cx_json_int(offset, "secs", 0),
			(long long)cx_json_int(offset, "nanosecs", 0));
}

/* A time namespace takes offsets until the first process is in it: that is the second stage. */
static void compile_clock_offsets(struct cx_compile *c)
{
	cx_autostr text = { 0 };

	if (!(c->made & CONEX_NS_TIME))
		return;
	add_offset(c, "monotonic", &text);
	add_offset(c, "boottime", &text);
	if (text.failed)
		c->build->failed = -ENOMEM;
	else if (text.size)
		cx_op(c->build, clock_offsets, "linux.timeOffsets", cx_cell_text(c->build, text.data));
}

int cx_namespace_compile_enter(struct cx_compile *c, conex_error **err)
{
	struct cx_build *b = c->build;

	(void)err;
	if (c->exec) {          /* all at once, as the container's first process is in them */
		if (c->apart)
			cx_op(b, root_of, "root", CX_FD_EXEC);
		if (c->joined)
			cx_op(b, join, NULL, CX_FD_EXEC, cx_namespace_clone_flags(c->joined));
	} else {
		join_paths(c);
		join_given(c);
	}
	if (c->made & CONEX_NS_TIME)
		cx_op(b, unshare, NULL, CLONE_NEWTIME);
	compile_clock_offsets(c);
	if (b->head.flags & CX_PLAN_STAGES) {
		/* what fails between the stages is about the devices, if there are any */
		cx_op(b, clone, cx_json_at(c->spec, "linux.netDevices") ? "linux.netDevices" : NULL, c->exec ? 0 : cx_namespace_clone_flags(
			c->made & ~(CONEX_NS_CGROUP | CONEX_NS_TIME | (user_first(c) ? CONEX_NS_USER : 0))));
		cx_op(b, death_signal, NULL); /* a clone's child starts without one */
	}
	if (b->head.flags & CX_PLAN_MAPS && !user_first(c))
		cx_op(b, barrier, "linux.uidMappings", CX_BARRIER_MAPS);
	return 0;
}

/* A detached tree can be mounted on only from the namespace that it was cloned in. */
void cx_namespace_compile_mounts(struct cx_compile *c)
{
	if (c->apart && !c->exec && (c->joined & CONEX_NS_MOUNT))
		cx_op(c->build, join_mounts, "linux.namespaces mount");
}

int cx_namespace_compile_become(struct cx_compile *c, conex_error **err)
{
	const char *hostname = cx_json_text(c->spec, "hostname"), *domain = cx_json_text(c->spec, "domainname");
	struct cx_build *b = c->build;

	(void)err;
	if (c->userns && !user_first(c))
		become_root(c);
	if (c->exec)
		return 0;
	if (c->made & CONEX_NS_NET)
		cx_op(b, loopback, NULL);
	if (c->made & CONEX_NS_UTS) {
		cx_op(b, hostname, "hostname", hostname ? cx_cell_text(b, hostname)
			: cx_cell_slot(b, CX_SLOT_HOSTNAME, "localhost"));
		if (domain)
			cx_op(b, domainname, "domainname", cx_cell_text(b, domain));
	}
	return 0;
}
