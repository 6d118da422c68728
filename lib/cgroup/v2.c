/* The v2 driver: one hierarchy; of a hybrid machine the part that tracks, kills and measures pressure. */
#include "cgroup/internal.h"
#include "base/kernel.h"

#include <stdio.h>
#include <string.h>

const char *const cx_cgroup_v2_used[] = { "cpu", "cpuset", "io", "memory", "pids", NULL };
const char *const cx_cgroup_v2_asked[] = { "hugetlb", "misc", "rdma", NULL };

/* Is `name` one of the words of a list with blanks? */
int cx_cgroup_contains(const char *words, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = words; (p = strstr(p, name)); p += n)
		if ((p == words || p[-1] == ' ')
		    && (p[n] == '\0' || p[n] == ' ' || p[n] == '\n'))
			return 1;
	return 0;
}

/* Has it processes that keep it from handing controllers on? The true root, which has no cgroup.type, never. */
int cx_cgroup_v2_inner(const struct cx_hierarchy *h, const char *path)
{
	char text[64];

	return cx_cgroup_read(h, path, "cgroup.type", text, sizeof text) >= 0
		&& cx_cgroup_read(h, path, "cgroup.procs", text, sizeof text) > 0;
}

/* Hands on what we use, one by one: a controller that refuses (cpu, while realtime processes live)
 * doesn't keep the others away. What is missing in the end shows when a limit is written (limits.c).
 * Never beside processes: memory and io would be refused, but cpu, cpuset and pids would make it a threaded
 * domain, and what is below it "domain invalid", which takes no process at all (EOPNOTSUPP). */
static int v2_prepare_parent(const struct cx_hierarchy *h, const char *level, int ours)
{
	const char *const *used = cx_cgroup_v2_used;
	char have[512], on[512], text[32];

	(void)ours;
	if (cx_cgroup_read(h, level, "cgroup.controllers", have, sizeof have) <= 0
	    || cx_cgroup_read(h, level, "cgroup.subtree_control", on, sizeof on) < 0
	    || cx_cgroup_v2_inner(h, level))
		return 0;
	for (; *used; used++)
		if (cx_cgroup_contains(have, *used) && !cx_cgroup_contains(on, *used)) {
			snprintf(text, sizeof text, "+%s", *used);
			cx_cgroup_write(h, level, "cgroup.subtree_control", text);
		}
	return 0;
}

void cx_cgroup_v2_hand_on(const struct cx_hierarchy *h, const char *path, const char *controller)
{
	char level[PATH_MAX] = "", text[32];
	const char *slash = path;

	snprintf(text, sizeof text, "+%s", controller);
	do { /* "", "a", "a/b" for "a/b/c": what can't be handed on shows when the limit is written */
		if (!cx_cgroup_v2_inner(h, level))
			cx_cgroup_write(h, level, "cgroup.subtree_control", text);
		if (!(slash = strchr(slash, '/')) || (size_t)(slash - path) >= sizeof level)
			break;
		memcpy(level, path, (size_t)(slash - path));
		level[slash++ - path] = '\0';
	} while (1);
}

static int v2_prepare_leaf(const struct cx_hierarchy *h, const char *path)
{
	(void)h;
	(void)path;
	return 0;
}

static uint64_t field_of(const struct cx_hierarchy *h, const char *path, const char *file,
	const char *key)
{
	char text[4096];

	return cx_cgroup_read(h, path, file, text, sizeof text) > 0
		? cx_cgroup_field(text, key) : UINT64_MAX;
}

static int64_t v2_oom_kills(const struct cx_hierarchy *h, const char *path)
{
	uint64_t kills = cx_hierarchy_has(h, "memory")
		? field_of(h, path, "memory.events", "oom_kill") : UINT64_MAX;

	return kills == UINT64_MAX ? -1 : (int64_t)kills;
}

static void v2_facts(const struct cx_hierarchy *h, const char *path,
	struct cx_cgroup_facts *f)
{
	uint64_t value;

	if (cx_hierarchy_has(h, "memory")) {
		int64_t kills = v2_oom_kills(h, path);

		value = cx_cgroup_number(h, path, "memory.peak");
		f->memory_peak = value == UINT64_MAX ? 0 : value;
		f->oom_kills = kills > 0 ? (uint32_t)kills : 0;
	}
	if (!f->cpu_ns && (value = field_of(h, path, "cpu.stat",
			"usage_usec")) != UINT64_MAX)
		f->cpu_ns = value * 1000;
}

static int v2_freeze(const struct cx_hierarchy *h, const char *path, int freeze)
{
	uint64_t frozen;
	int r = cx_cgroup_write(h, path, "cgroup.freeze", freeze ? "1" : "0");

	if (r < 0)
		return r;
	frozen = field_of(h, path, "cgroup.events", "frozen");
	return frozen != UINT64_MAX && !!frozen == !!freeze;
}

const struct cx_cgroup_driver cx_cgroup_v2 = {
	.name = "v2", .v2 = 1,
	.prepare_parent = v2_prepare_parent,
	.prepare_leaf = v2_prepare_leaf,
	.files = cx_stat_v2,
	.facts = v2_facts,
	.oom_kills = v2_oom_kills,
	.freeze = v2_freeze,
};
