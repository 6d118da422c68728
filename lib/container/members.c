/* The processes of a container that has no cgroup: those of its pid namespace, found in /proc. */
#include "container/container.h"
#include "base/kernel.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* 0: it can't be seen, or is gone */
static ino_t pid_namespace(const char *pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof path, "/proc/%.20s/ns/pid", pid);
	return stat(path, &st) < 0 ? 0 : st.st_ino;
}

static int add(pid_t **list, size_t n, pid_t pid)
{
	pid_t *more = n & (n + 1) ? *list : realloc(*list, (2 * n + 2) * sizeof **list); /* doubled at 0, 1, 3, 7 … */

	if (!more)
		return -ENOMEM;
	*list = more;
	more[n] = pid;
	return 0;
}

int cx_container_members(const conex_container *c, pid_t **ret)
{
	char first[16];
	ino_t own = pid_namespace("self"), its;
	pid_t *list = NULL;
	struct dirent *e;
	int n = 0, r = 0;
	DIR *proc;

	snprintf(first, sizeof first, "%d", (int)c->task.pid);
	its = c->task.pid > 0 ? pid_namespace(first) : 0;
	if (!its || its == own)
		return c->task.pid > 0 ? -EOPNOTSUPP : 0;
	proc = opendir("/proc");
	if (!proc)
		return -errno;
	while (r == 0 && (e = readdir(proc)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && pid_namespace(e->d_name) == its
		    && (r = add(&list, (size_t)n, atoi(e->d_name))) == 0)
			n++;
	closedir(proc);
	if (r < 0)
		free(list);
	else
		*ret = list;
	return r < 0 ? r : n;
}

/* By a pidfd, and looked at again: a pid may have become another's since it was listed. */
static int signal_one(pid_t pid, ino_t its, int sig)
{
	cx_autoclose int fd = cx_sys_pidfd_open(pid, 0);
	char text[16];

	snprintf(text, sizeof text, "%d", (int)pid);
	return fd >= 0 && pid_namespace(text) == its && cx_sys_pidfd_send_signal(fd, sig) == 0;
}

int cx_container_signal_members(const conex_container *c, int sig, conex_error **err)
{
	cx_autofree pid_t *list = NULL;
	int n = cx_container_members(c, &list), sent = 0;
	char first[16];
	ino_t its;

	if (n < 0)
		return cx_fail(err, CONEX_STAGE_RUN, n, NULL,
			"without a cgroup only the processes of a pid namespace of its own are known", "container %s", c->id);
	snprintf(first, sizeof first, "%d", (int)c->task.pid);
	its = pid_namespace(first);
	for (int i = 0; i < n; i++)
		sent += signal_one(list[i], its, sig);
	return sent;
}
