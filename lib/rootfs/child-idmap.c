/* Inside the container, or in its first stage: mounts whose ids are mapped. The map is that of a
 * user namespace, which a process has to be in while it is written: one that does nothing else. */
#include "rootfs/child-path.h"

#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static void __attribute__((noreturn)) park(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	for (;;)
		syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
}

/* Without an exit signal none is left pending for the program; only __WALL reaps it. */
static pid_t clone_parked(struct cx_child *c)
{
	struct cx_clone_args a = { .flags = CLONE_NEWUSER };
	pid_t parent = getpid(), pid = (pid_t)syscall(SYS_clone3, &a, sizeof a);

	if (pid == 0)
		park(parent);
	return pid < 0 ? cx_child_fail(c, CX_CALL_clone3, "a user namespace for the map") : pid;
}

/* "123/uid_map" */
static const char *proc_path(char *path, size_t size, pid_t pid, const char *file)
{
	char *p = path + size - strlen(file) - 1;

	memcpy(p, file, strlen(file) + 1);
	*--p = '/';
	do
		*--p = (char)('0' + pid % 10);
	while (pid /= 10);
	return p;
}

/* Follows a magic link of our own proc, which nobody can have replaced: an fd. */
static int namespace_of(struct cx_child *c, pid_t pid)
{
	char path[48];
	int proc = cx_child_proc(c), fd;

	if (proc < 0)
		return proc;
	fd = openat(proc, proc_path(path, sizeof path, pid, "ns/user"), O_RDONLY | O_CLOEXEC);
	return fd < 0 ? cx_child_fail(c, CX_CALL_open, "ns/user") : fd;
}

int cx_rootfs_map(struct cx_child *c, const char *uids, const char *gids)
{
	char path[48];
	pid_t pid = clone_parked(c);
	int r;

	if (pid < 0)
		return pid;
	r = cx_child_write_proc(c, proc_path(path, sizeof path, pid, "uid_map"), uids, 0);
	if (r == 0)
		r = cx_child_write_proc(c, proc_path(path, sizeof path, pid, "gid_map"), gids, 0);
	if (r == 0)
		r = namespace_of(c, pid);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	return r;
}

/* Before anything else changes the tree: one that has been mounted can't be mapped any more. */
int cx_child_idmap(struct cx_child *c, const struct cx_op *op)
{
	int tree = c->source[op->arg[0]], userns, r = 0;
	const struct cx_mount_attr apart = { .propagation = op->arg[4] };
	struct cx_mount_attr map = { .attr_set = CX_MOUNT_ATTR_IDMAP };

	if (op->arg[4] && cx_sys_mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &apart) < 0)
		return cx_child_fail(c, CX_CALL_mount_setattr, NULL);
	userns = cx_rootfs_map(c, cx_child_text(c, op->arg[2]), cx_child_text(c, op->arg[3]));
	if (userns < 0)
		return userns;
	map.userns_fd = (uint64_t)userns;
	if (cx_sys_mount_setattr(tree, "", AT_EMPTY_PATH | (unsigned)op->arg[1], &map) < 0)
		r = cx_child_fail(c, CX_CALL_mount_setattr, "MOUNT_ATTR_IDMAP");
	cx_rootfs_drop(&userns);
	return r;
}
