/* Where cgroups are made: floor_prepare's parent in each hierarchy, and which files of ours exist below it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include "cgroup.h"

/* conex_limits .memory (and so no swap), .cpus, .pids, as files. */
static const struct { const char *controller, *v1, *v1_value, *v2, *v2_value; } limits[] = {
	{ "memory", "memory.limit_in_bytes", "67108864", "memory.max", "67108864" },
	{ "memory", "memory.memsw.limit_in_bytes", "67108864", "memory.swap.max", "0" },
	{ "cpu", "cpu.cfs_period_us", "100000", NULL, NULL },
	{ "cpu", "cpu.cfs_quota_us", "50000", "cpu.max", "50000 100000" },
	{ "pids", "pids.max", "100", "pids.max", "100" },
};
enum { LIMITS = sizeof limits / sizeof *limits };

int place_write(int parent_fd, const char *directory, const char *file, const char *value)
{
	char path[CGROUP_PATH];
	int fd, result = 0;

	snprintf(path, sizeof path, "%s/%s", directory, file);
	fd = openat(parent_fd, path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		result = -errno;
	close(fd);
	return result;
}

int place_mkdir(const struct place *p, const char *name)
{
	for (int i = 0; i < p->floor.hierarchies; i++)
		if (mkdirat(p->floor.hierarchy[i].parent_fd, name, 0755) < 0)
			return -errno;
	return 0;
}

int place_rmdir(const struct place *p, const char *name)
{
	int result = 0;

	for (int i = 0; i < p->floor.hierarchies; i++)
		if (unlinkat(p->floor.hierarchy[i].parent_fd, name, AT_REMOVEDIR) < 0)
			result = -errno;
	return result;
}

static void note_limit(struct place *p, int hierarchy, int limit, const char *file, const char *value)
{
	p->write[p->writes++] = (struct place_write){ hierarchy, limits[limit].controller, file, value };
	p->memory |= !strcmp(limits[limit].controller, "memory");
	p->cpu |= !strcmp(limits[limit].controller, "cpu");
	p->pids |= !strcmp(limits[limit].controller, "pids");
}

static void find_limits(struct place *p, const char *probe)
{
	for (int l = 0; l < LIMITS; l++)
		for (int i = 0; i < p->floor.hierarchies; i++) {
			const struct floor_hierarchy *h = &p->floor.hierarchy[i];
			const char *file = h->v2 ? limits[l].v2 : limits[l].v1;
			char path[CGROUP_PATH];

			snprintf(path, sizeof path, "%s/%s", probe, file ? file : "-");
			if (faccessat(h->parent_fd, path, W_OK, 0) == 0)
				note_limit(p, i, l, file, h->v2 ? limits[l].v2_value : limits[l].v1_value);
		}
}

int place_prepare(struct place *p, const char *parent)
{
	static const char *const enable[] = { "+memory", "+cpu", "+pids" };
	int result = floor_prepare(&p->floor, parent);

	for (int i = 0; result == 0 && i < p->floor.hierarchies; i++)
		for (int c = 0; c < 3 && p->floor.hierarchy[i].v2; c++) {
			place_write(p->floor.hierarchy[i].parent_fd, "..", "cgroup.subtree_control", enable[c]);
			place_write(p->floor.hierarchy[i].parent_fd, ".", "cgroup.subtree_control", enable[c]);
		}
	if (result == 0)
		result = place_mkdir(p, "probe");
	if (result == 0) {
		find_limits(p, "probe");
		result = place_rmdir(p, "probe");
	}
	return result;
}
