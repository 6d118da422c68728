/* Moving a process that is somebody else's child into a cgroup, with all its threads. Containers go there by
 * themselves (child.c). */
#include "cgroup/internal.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

enum { THREADS = 32, ROUNDS = 8 };

/* The threads of a process: how many, -1 more than THREADS, -errno. */
static int list_threads(pid_t pid, pid_t *list)
{
	char path[64];
	struct dirent *e;
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	while ((e = readdir(dir)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9') {
			if (n == THREADS) {
				closedir(dir);
				return -E2BIG;
			}
			list[n++] = (pid_t)atoi(e->d_name);
		}
	closedir(dir);
	return n ? n : -ESRCH;
}

static int is_among(pid_t pid, const pid_t *list, int n)
{
	for (int i = 0; i < n; i++)
		if (list[i] == pid)
			return 1;
	return 0;
}

static int move(const struct cx_hierarchy *h, const char *path, const char *file, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof text, "%d", (int)pid);
	return cx_cgroup_write(h, path, file, text);
}

/* cgroup.procs takes the lock of all thread groups for writing, and with it an RCU grace period: 5 to 12 ms, unless
 * another such write came just before. `tasks` moves one thread and waits for nothing. A thread that is made while the
 * others are moved has its maker's cgroup, old or new: so again until nobody is there who wasn't moved. 1: all are. */
static int move_threads(const struct cx_hierarchy *h, const char *path, pid_t pid)
{
	pid_t lists[2][THREADS];
	int moved = 0;

	for (int round = 0; round < ROUNDS; round++) {
		pid_t *now = lists[round & 1], *before = lists[~round & 1];
		int n = list_threads(pid, now), fresh = 0;

		if (n < 0)
			return n == -E2BIG ? 0 : n;
		for (int i = 0; i < n; i++) {
			int r = is_among(now[i], before, moved) ? 0 : move(h, path, "tasks", now[i]);

			if (r < 0 && (r != -ESRCH || now[i] == pid))
				return r;
			fresh |= !is_among(now[i], before, moved);
		}
		if (!fresh)
			return 1;
		moved = n;
	}
	return 0;
}

int cx_cgroup_attach(const struct cx_hierarchy *h, const char *path, pid_t pid)
{
	int r = h->driver->v2 ? 0 : move_threads(h, path, pid);

	return r ? (r < 0 ? r : 0) : move(h, path, "cgroup.procs", pid);
}
