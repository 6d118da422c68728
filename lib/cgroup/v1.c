/* The v1 driver: one hierarchy a controller (or a few co-mounted), files of their own names and units. */
#include "cgroup/internal.h"
#include "base/kernel.h"

#include <stdio.h>
#include <string.h>

/* A new cpuset is empty, and an empty one takes no process (ENOSPC). */
static int inherit(const struct cx_hierarchy *h, const char *path, const char *file)
{
	char mine[4096], from[4096], above[PATH_MAX], *slash;
	ssize_t n = cx_cgroup_read(h, path, file, mine, sizeof mine);

	if (n < 0 || mine[strspn(mine, " \n")])
		return n < 0 ? (int)n : 0;
	if ((size_t)snprintf(above, sizeof above, "%s", path) >= sizeof above)
		return -ENAMETOOLONG;
	slash = strrchr(above, '/');
	*(slash ? slash : above) = '\0';
	n = cx_cgroup_read(h, above, file, from, sizeof from);
	return n < 0 ? (int)n : cx_cgroup_write(h, path, file, from);
}

static int v1_prepare_leaf(const struct cx_hierarchy *h, const char *path)
{
	int r;

	if (!*path || !cx_hierarchy_has(h, "cpuset"))
		return 0;
	r = inherit(h, path, "cpuset.cpus");
	return r < 0 ? r : inherit(h, path, "cpuset.mems");
}

/* Children of our own parent inherit by themselves: one write for all launches to come. */
static int v1_prepare_parent(const struct cx_hierarchy *h, const char *level, int ours)
{
	int r = v1_prepare_leaf(h, level);

	if (r == 0 && ours && cx_hierarchy_has(h, "cpuset"))
		r = cx_cgroup_write(h, level, "cgroup.clone_children", "1");
	return r;
}

static int add_kills(int dir, void *data)
{
	char text[256];
	uint64_t kills;

	if (cx_file_read(dir, "memory.oom_control", text, sizeof text) > 0
	    && (kills = cx_cgroup_field(text, "oom_kill")) != UINT64_MAX)
		*(int64_t *)data += (int64_t)kills;
	return 0;
}

/* v1 counts where the victim lived and not above it (memcg_memory_event stops at the first). */
static int64_t v1_oom_kills(const struct cx_hierarchy *h, const char *path)
{
	int64_t kills = 0;

	return cx_hierarchy_has(h, "memory")
		&& cx_cgroup_walk(h, path, add_kills, &kills) == 0 ? kills : -1;
}

static void v1_facts(const struct cx_hierarchy *h, const char *path,
	struct cx_cgroup_facts *f)
{
	uint64_t value;

	if (cx_hierarchy_has(h, "memory")) {
		int64_t kills = v1_oom_kills(h, path);

		value = cx_cgroup_number(h, path, "memory.max_usage_in_bytes");
		f->memory_peak = value == UINT64_MAX ? 0 : value;
		f->oom_kills = kills > 0 ? (uint32_t)kills : 0;
	}
	if (cx_hierarchy_has(h, "cpuacct")
	    && (value = cx_cgroup_number(h, path, "cpuacct.usage")) != UINT64_MAX)
		f->cpu_ns = value;
}

/* A process that is made while the freezer works can keep it at FREEZING: said again, it looks again. */
static int v1_freeze(const struct cx_hierarchy *h, const char *path, int freeze)
{
	const char *want = freeze ? "FROZEN" : "THAWED";
	char text[32];
	int r;
	ssize_t n;

	if (!cx_hierarchy_has(h, "freezer"))
		return -ENOTSUP;
	if ((r = cx_cgroup_write(h, path, "freezer.state", want)) < 0)
		return r;
	n = cx_cgroup_read(h, path, "freezer.state", text, sizeof text);
	return n < 0 ? (int)n : !strncmp(text, want, 6);
}

const struct cx_cgroup_driver cx_cgroup_v1 = {
	.name = "v1",
	.prepare_parent = v1_prepare_parent,
	.prepare_leaf = v1_prepare_leaf,
	.files = cx_stat_v1,
	.facts = v1_facts,
	.oom_kills = v1_oom_kills,
	.freeze = v1_freeze,
};
