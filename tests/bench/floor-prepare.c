/* What the floor does once, before any launch: finds the machine's cgroup hierarchies and makes a
 * parent cgroup in each. Runs before floor.c. */
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "floor.h"

static int copy_file(int from_dir, const char *from, int to_dir, const char *to)
{
	char text[256];
	int in = openat(from_dir, from, O_RDONLY | O_CLOEXEC);
	int out = openat(to_dir, to, O_WRONLY | O_CLOEXEC);
	ssize_t n = in < 0 || out < 0 ? -1 : read(in, text, sizeof text);
	int result = n < 0 || write(out, text, (size_t)n) != n ? -errno : 0;

	close(in);
	close(out);
	return result;
}

/* A v1 cpuset is unusable until it has cpus and mems; with clone_children the kernel copies the
 * parent's, so a launch needs no write at all. */
static int inherit_cpuset(int parent)
{
	int fd = openat(parent, "cgroup.clone_children", O_WRONLY | O_CLOEXEC), result;

	result = copy_file(parent, "../cpuset.cpus", parent, "cpuset.cpus");
	if (result == 0)
		result = copy_file(parent, "../cpuset.mems", parent, "cpuset.mems");
	if (result == 0 && write(fd, "1", 1) != 1)
		result = -errno;
	close(fd);
	return result;
}

static int add(struct floor *f, const struct mntent *m, const char *parent)
{
	struct floor_hierarchy *h = &f->hierarchy[f->hierarchies];
	const char *name = strrchr(m->mnt_dir, '/');

	if (f->hierarchies == FLOOR_HIERARCHIES)
		return -E2BIG;
	h->v2 = strcmp(m->mnt_type, "cgroup2") == 0;
	snprintf(h->name, sizeof h->name, "%s", name ? name + 1 : "unified");
	if (snprintf(h->parent, sizeof h->parent, "%s/%s", m->mnt_dir, parent) >= (int)sizeof h->parent)
		return -ENAMETOOLONG;
	if (mkdir(h->parent, 0755) < 0 && errno != EEXIST)
		return -errno;
	h->parent_fd = open(h->parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (h->parent_fd < 0)
		return -errno;
	f->hierarchies++;
	return hasmntopt(m, "cpuset") && !h->v2 ? inherit_cpuset(h->parent_fd) : 0;
}

static int last_cap(void)
{
	FILE *file = fopen("/proc/sys/kernel/cap_last_cap", "re");
	int cap = 40;

	if (file && fscanf(file, "%d", &cap) != 1)
		cap = 40;
	if (file)
		fclose(file);
	return cap;
}

int floor_prepare(struct floor *f, const char *parent)
{
	FILE *table = setmntent("/proc/self/mounts", "re");
	struct mntent *m;
	int result = table ? 0 : -errno;

	f->last_cap = last_cap();
	while (result == 0 && (m = getmntent(table)))
		if (strcmp(m->mnt_type, "cgroup") == 0 || strcmp(m->mnt_type, "cgroup2") == 0)
			result = add(f, m, parent);
	if (table)
		endmntent(table);
	return result;
}

void floor_finish(struct floor *f)
{
	for (int i = 0; i < f->hierarchies; i++) {
		close(f->hierarchy[i].parent_fd);
		rmdir(f->hierarchy[i].parent);
	}
	f->hierarchies = 0;
}
