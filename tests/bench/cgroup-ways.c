/* The rows conex, floor and crun: make, limit, fill and remove one cgroup. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include <conex/conex.h>
#include "cgroup.h"

/* ---- conex ---- */

struct library { conex *cx; conex_cgroup *group; struct conex_limits limits; };

static void conex_way_close(void *own)
{
	struct library *l = own;

	conex_close(l->cx);
	free(l);
}

static int failed(int result, conex_error *err)
{
	if (result < 0)
		fprintf(stderr, "bench cgroup: conex: %s\n", conex_error_text(err));
	conex_error_free(err);
	return result < 0 ? result : 0;
}

static int conex_way_open(const struct way *w, const struct place *p, void **ret, char *why)
{
	struct library *l = calloc(1, sizeof *l);
	conex_error *err = NULL;
	int result = l ? conex_open(NULL, &l->cx, &err) : -ENOMEM;

	(void)w;
	if (result < 0) {
		snprintf(why, CGROUP_WHY, "%s", conex_error_text(err));
		conex_error_free(err);
		free(l);
		return result;
	}
	l->limits = (struct conex_limits){ .size = sizeof l->limits, .memory = p->memory ? 64 << 20 : 0,
		.cpus = p->cpu ? 0.5 : 0, .pids = p->pids ? 100 : 0 };
	*ret = l;
	return 0;
}

static int conex_way_make(void *own, pid_t pid)
{
	struct library *l = own;
	conex_error *err = NULL;
	int result = conex_cgroup_create(l->cx, "bench-cgroup", &l->limits, &l->group, &err);

	if (result >= 0)
		result = conex_cgroup_add(l->group, pid, &err);
	return failed(result, err);
}

static int conex_way_remove(void *own)
{
	struct library *l = own;
	conex_error *err = NULL;
	int result = conex_cgroup_delete(l->group, -1, &err);

	conex_cgroup_free(l->group);
	return failed(result, err);
}

/* ---- the floor: the system calls that there must be, if another process is to be moved ---- */

static int place_open(const struct way *w, const struct place *p, void **ret, char *why)
{
	(void)w;
	(void)why;
	*ret = (void *)p;
	return 0;
}

static void place_close(void *own)
{
	(void)own;
}

static int set_limits(const struct place *p, const char *name)
{
	int result = 0;

	for (int i = 0; result == 0 && i < p->writes; i++)
		result = place_write(p->floor.hierarchy[p->write[i].hierarchy].parent_fd, name, p->write[i].file,
			p->write[i].value);
	return result;
}

static int floor_make(void *own, pid_t pid)
{
	const struct place *p = own;
	char text[16];
	int result = place_mkdir(p, "floor");

	snprintf(text, sizeof text, "%d", (int)pid);
	if (result == 0)
		result = set_limits(p, "floor");
	for (int i = 0; result == 0 && i < p->floor.hierarchies; i++)
		result = place_write(p->floor.hierarchy[i].parent_fd, "floor", "cgroup.procs", text);
	return result;
}

static int floor_remove(void *own)
{
	return place_rmdir(own, "floor");
}

/* ---- crun: the system calls of Debian's crun 1.8.1 on cgroup v1, as `strace crun run` shows them; not its rules
 * for devices, and none of what it does for a container. All by absolute paths; the limits after the process ---- */

static int crun_open(const struct way *w, const struct place *p, void **ret, char *why)
{
	if (p->floor.hierarchies == 1 && p->floor.hierarchy[0].v2) {
		snprintf(why, CGROUP_WHY, "its system calls were only read on v1 and on both");
		return -ENOTSUP;
	}
	return place_open(w, p, ret, why);
}

static void load(const char *path)
{
	char text[1024];
	struct statx st;
	int fd = open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return;
	statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &st);
	do
		n = read(fd, text, sizeof text - 1);
	while (n > 0);
	close(fd);
}

static int put(const char *directory, const char *file, const char *value)
{
	char path[CGROUP_PATH];
	int fd, result;

	snprintf(path, sizeof path, "%s/%s", directory, file);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);
	if (fd < 0)
		return -errno;
	result = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return result;
}

/* One or more files of a directory that is opened first. */
static int put_in(const char *directory, const char *const *file, const char *const *value, int n)
{
	int dir = open(directory, O_RDONLY | O_DIRECTORY), result = dir < 0 ? -errno : 0;

	for (int i = 0; result == 0 && i < n; i++) {
		int fd = openat(dir, file[i], O_WRONLY | O_CREAT | O_TRUNC, 0700);

		if (fd >= 0 && write(fd, value[i], strlen(value[i])) < 0 && i == 0)
			result = -errno;
		if (fd >= 0)
			close(fd);
	}
	if (dir >= 0)
		close(dir);
	return result;
}

/* It would copy the parent's, were its own empty; ours hands them down by itself. */
static void look_at_cpuset(const char *directory)
{
	static const char *const name[] = { "cpuset.cpus", "cpuset.mems" };
	int dir = open(directory, O_RDONLY | O_DIRECTORY);

	for (int i = 0; i < 2; i++) {
		char text[256];
		int fd = openat(dir, name[i], O_RDWR);

		if (fd >= 0 && read(fd, text, sizeof text) < 0)
			errno = 0;
		if (fd >= 0)
			close(fd);
	}
	if (dir >= 0)
		close(dir);
}

static int crun_enter(const struct floor_hierarchy *h, const char *pid)
{
	static const char *const memory[] = { "memory.limit_in_bytes", "memory.kmem.limit_in_bytes",
		"memory.memsw.limit_in_bytes" };
	static const char *const none[] = { "-1", "-1", "-1" };
	char mount[CGROUP_PATH], path[CGROUP_PATH];
	struct statx st;
	int result = 0;

	snprintf(mount, sizeof mount, "/sys/fs/cgroup/%s", h->name);
	snprintf(path, sizeof path, "%s/crun", h->parent);
	if (access(mount, F_OK) < 0 || mkdir(path, 0755) < 0)
		return -errno;
	statx(AT_FDCWD, path, 0, STATX_TYPE, &st);
	if (!strcmp(h->name, "memory"))
		result = put_in(path, memory, none, 3);
	else if (!strcmp(h->name, "cpuset"))
		look_at_cpuset(path);
	return result < 0 ? result : put(path, "cgroup.procs", pid);
}

/* The files of a controller follow one another: how many from this one on. */
static int crun_limit(const struct place *p, int first, int *n)
{
	const struct place_write *w = &p->write[first];
	const char *file[CGROUP_WRITES], *value[CGROUP_WRITES];
	char path[CGROUP_PATH];

	for (*n = 0; first + *n < p->writes && w[*n].hierarchy == w->hierarchy; ++*n) {
		file[*n] = w[*n].file;
		value[*n] = w[*n].value;
	}
	snprintf(path, sizeof path, "%s/crun", p->floor.hierarchy[w->hierarchy].parent);
	return put_in(path, file, value, *n);
}

static int crun_make(void *own, pid_t pid)
{
	const struct place *p = own;
	char text[16];
	int result = 0;

	load("/proc/self/cgroup");
	snprintf(text, sizeof text, "%d", (int)pid);
	for (int i = 0; result == 0 && i < p->floor.hierarchies; i++)
		result = crun_enter(&p->floor.hierarchy[i], text);
	for (int i = 0, n; result == 0 && i < p->writes; i += n)
		result = crun_limit(p, i, &n);
	return result;
}

static int crun_remove(void *own)
{
	const struct place *p = own;
	char path[CGROUP_PATH];
	int result = 0;

	for (int i = 0; i < p->floor.hierarchies; i++) {
		const struct floor_hierarchy *h = &p->floor.hierarchy[i];

		snprintf(path, sizeof path, "%s/crun", h->parent);
		if (!strcmp(h->name, "freezer")) {
			put(path, "freezer.state", "FROZEN");
			snprintf(path, sizeof path, "%s/crun/cgroup.procs", h->parent);
			load(path);
			snprintf(path, sizeof path, "%s/crun", h->parent);
			put(path, "freezer.state", "THAWED");
		}
	}
	load("/proc/self/cgroup");
	for (int i = 0; i < p->floor.hierarchies; i++) {
		snprintf(path, sizeof path, "%s/crun", p->floor.hierarchy[i].parent);
		if (rmdir(path) < 0)
			result = -errno;
	}
	return result;
}

const struct way way_conex = { "conex", conex_way_open, conex_way_make, conex_way_remove, conex_way_close, NULL };
const struct way way_floor = { "floor", place_open, floor_make, floor_remove, place_close, NULL };
const struct way way_crun = { "crun", crun_open, crun_make, crun_remove, place_close, NULL };
