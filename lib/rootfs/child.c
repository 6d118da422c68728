/* Inside the container: the root file system itself, from the host's mounts to after
 * pivot_root. What is mounted and made in it in between: child-mount.c and
 * child-device.c; what is hidden later: child-protect.c. */
#include "rootfs/child-path.h"

#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

enum { PROC_MAGIC = 0x9fa0, PROC_ROOT_INODE = 1 };

/* In a chroot "/" isn't the root of the mount namespace. What is mounted outside of it would stay as it is,
 * and stay below the container's root: whoever enters the container later would begin there. Entering the
 * mount namespace that one is in already leads to its real root, which pivot begins from. Always, since no
 * cheaper question tells whether this is a chroot. */
static int find_real_root(struct cx_child *c)
{
	int ns = openat(AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), r = 0;

	if (ns < 0)
		return cx_child_fail(c, CX_CALL_open, "/proc/self/ns/mnt");
	if (setns(ns, CLONE_NEWNS) < 0)
		r = cx_child_fail(c, CX_CALL_setns, "/proc/self/ns/mnt");
	else if ((c->real_root = openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		r = cx_child_fail(c, CX_CALL_open, "/");
	cx_rootfs_drop(&ns);
	return r;
}

static int change_root(struct cx_child *c, int to)
{
	return fchdir(to) < 0 || chroot(".") < 0 ? cx_child_fail(c, CX_CALL_chroot, "/") : 0;
}

/* The host's mounts lie in another namespace: what changes here is this copy's tie to
 * them. */
int cx_child_propagation(struct cx_child *c, const struct cx_op *op)
{
	int here = openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC), r;

	r = here < 0 ? cx_child_fail(c, CX_CALL_open, "/") : find_real_root(c);
	if (r == 0 && mount(NULL, "/", NULL, (unsigned long)op->arg[0], NULL) < 0)
		r = cx_child_fail(c, CX_CALL_mount, "/");
	if (r == 0)     /* the paths that follow mean the tree of whoever launches */
		r = change_root(c, here);
	cx_rootfs_drop(&here);
	return r;
}

/* The new root will be mounted on "/", so that all below "/" can be cloned only before. */
static int is_slash(int fd)
{
	struct stat it, slash;

	return fstat(fd, &it) == 0 && fstatat(AT_FDCWD, "/", &slash, 0) == 0 && it.st_dev == slash.st_dev
	       && it.st_ino == slash.st_ino;
}

/* 0: it is held, and will be cloned by mount_source; 1: it has to be cloned now; else what
 * cx_child_fail returned. */
static int hold_source(struct cx_child *c, const struct cx_op *op, const char *path)
{
	unsigned deep = (unsigned)op->arg[2] & AT_RECURSIVE;
	int fd = cx_sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLOEXEC);

	if (fd < 0)
		return cx_child_fail(c, CX_CALL_open_tree, path);
	if (deep && is_slash(fd)) {
		cx_rootfs_drop(&fd);
		return 1;
	}
	c->source[op->arg[0]] = fd;
	c->late[op->arg[0]] = deep ? CX_LATE_ALL : CX_LATE_ONE;
	return 0;
}

static int make_private(struct cx_child *c, int fd, const char *path)
{
	const struct cx_mount_attr attr = { .propagation = MS_PRIVATE };

	return cx_sys_mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr) == 0 ? 0
		: cx_child_fail(c, CX_CALL_mount_setattr, path);
}

int cx_child_source(struct cx_child *c, const struct cx_op *op)
{
	const char *path = cx_child_text(c, op->arg[1]);
	int fd, r;

	if (op->arg[0] >= CX_CHILD_SOURCES || !path) {
		errno = EINVAL;
		return cx_child_fail(c, CX_CALL_open_tree, path);
	}
	if (op->arg[2] & CX_SOURCE_LATE && (r = hold_source(c, op, path)) <= 0)
		return r;
	fd = cx_sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
		| ((unsigned)op->arg[2] & AT_RECURSIVE));
	if (fd < 0)
		return cx_child_fail(c, CX_CALL_open_tree, path);
	c->source[op->arg[0]] = fd;
	return op->arg[2] & CX_SOURCE_PRIVATE ? make_private(c, fd, path) : 0;
}

/* Mounted onto "/" itself (a detached one nowhere): no directory of the host need be reachable or even exist, and
 * lookups by path still begin below it, in the host's tree, until pivot. */
int cx_child_root(struct cx_child *c, const struct cx_op *op)
{
	int tree = c->source[op->arg[0]];

	c->apart = op->arg[2] != 0;
	if (!c->apart
		&& cx_sys_move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return cx_child_fail(c, CX_CALL_move_mount, cx_child_text(c, op->arg[1]));
	c->root = tree;
	c->source[op->arg[0]] = -1;
	umask(0); /* modes are meant as they stand, until pivot */
	return 0;
}

/* A detached copy of the host's /dev/null, to cover files with. Read-only: root in the
 * container could else chmod the inode, which is the host's. Missing is no fault until
 * something is to be masked. */
static int open_null(struct cx_child *c)
{
	const struct cx_mount_attr attr = { .attr_set = CX_MOUNT_ATTR_RDONLY
							| CX_MOUNT_ATTR_NOSUID
							| CX_MOUNT_ATTR_NOEXEC };
	int fd = cx_sys_open_tree(
		AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3)) {
		cx_rootfs_drop(&fd);
		errno = ENODEV;
		return cx_child_fail(c, CX_CALL_fstat, "/dev/null");
	}
	if (cx_sys_mount_setattr(fd, "", AT_EMPTY_PATH, &attr) < 0) {
		cx_rootfs_drop(&fd);
		return cx_child_fail(c, CX_CALL_mount_setattr, "/dev/null");
	}
	c->null = fd;
	return 0;
}

/* The old root ends up on top of the new one and is then let go (pivot_root(2),
 * "pivot_root(".", ".")"): no directory is needed to put it in. */
static int pivot(struct cx_child *c)
{
	if (fchdir(c->root) < 0)
		return cx_child_fail(c, CX_CALL_fchdir, "/");
	if (syscall(SYS_pivot_root, ".", ".") == 0)
		return 0;
	return cx_child_fail(c, CX_CALL_pivot_root, "/");
}

int cx_child_pivot(struct cx_child *c, const struct cx_op *op)
{
	int r = c->null < 0 ? open_null(c) : 0;

	(void)op;
	if (r == 0)
		r = change_root(c, c->real_root);
	if (r == 0)
		r = pivot(c);
	if (r < 0)
		return r;
	if (umount2(".", MNT_DETACH) < 0)
		return cx_child_fail(c, CX_CALL_umount2, ".");
	if (chdir("/") < 0)
		return cx_child_fail(c, CX_CALL_chdir, "/");
	cx_rootfs_drop(&c->root);
	cx_rootfs_drop(&c->real_root);
	cx_rootfs_drop(&c->source[CX_SOURCE_DEV]);
	umask(022);
	return 0;
}

/* What lies at c->root becomes "/", for a container that is to have its own root in a mount
 * namespace that isn't its own. */
int cx_child_chroot(struct cx_child *c, const struct cx_op *op)
{
	int r = c->null < 0 ? open_null(c) : 0;

	(void)op;
	if (r < 0)
		return r;
	if (fchdir(c->root) < 0 || chroot(".") < 0)
		return cx_child_fail(c, CX_CALL_chroot, "/");
	c->source[CX_SOURCE_ROOT] = c->root;
	c->root = -1;
	cx_rootfs_drop(&c->source[CX_SOURCE_DEV]);
	umask(022);
	return 0;
}

int cx_child_hold_mounts(struct cx_child *c, const struct cx_op *op)
{
	const char *path = cx_child_text(c, op->arg[0]);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return cx_child_fail(c, CX_CALL_open, path);
	c->source[CX_SOURCE_MOUNTS] = fd;
	return 0;
}

/* That leads to the root of the namespace; back to the container's. */
int cx_child_join_mounts(struct cx_child *c, const struct cx_op *op)
{
	(void)op;
	if (setns(c->source[CX_SOURCE_MOUNTS], CLONE_NEWNS) < 0)
		return cx_child_fail(c, CX_CALL_setns, NULL);
	cx_rootfs_drop(&c->source[CX_SOURCE_MOUNTS]);
	if (fchdir(c->source[CX_SOURCE_ROOT]) < 0 || chroot(".") < 0)
		return cx_child_fail(c, CX_CALL_chroot, "/");
	return 0;
}

/* PIDFD_GET_INFO of Linux 6.13; where a tree can be built before it is mounted (6.15) it is there. */
struct pidfd_info { uint64_t mask, cgroup; uint32_t pid, more[11]; };
#define GET_INFO _IOWR(0xFF, 11, struct pidfd_info)

/* The pid is the process's own as long as its pidfd says that it lives. */
int cx_child_root_of(struct cx_child *c, const struct cx_op *op)
{
	int pidfd = op->arg[0] < CX_FD_COUNT ? c->fd[op->arg[0]] : -1;
	struct pidfd_info info = { .mask = 1 };         /* PIDFD_INFO_PID */
	char path[] = "/proc/........../root", *digit = path + 16;

	if (ioctl(pidfd, GET_INFO, &info) < 0)
		return cx_child_fail(c, CX_CALL_ioctl, "PIDFD_GET_INFO");
	for (uint32_t pid = info.pid; pid; pid /= 10)
		*--digit = (char)('0' + pid % 10);
	memmove(path + 6, digit, strlen(digit) + 1);
	c->root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (c->root < 0)
		return cx_child_fail(c, CX_CALL_open, path);
	return cx_sys_pidfd_send_signal(pidfd, 0) < 0
		? cx_child_fail(c, CX_CALL_pidfd_send_signal, path) : 0;
}

static int private_proc(void)
{
	int fs = cx_sys_fsopen("proc", FSOPEN_CLOEXEC), fd = -1;

	if (fs >= 0 && cx_sys_fsconfig(fs, CX_FSCONFIG_CREATE, NULL, NULL, 0) == 0)
		fd = cx_sys_fsmount(fs, FSMOUNT_CLOEXEC,
			CX_MOUNT_ATTR_NOSUID | CX_MOUNT_ATTR_NODEV
				| CX_MOUNT_ATTR_NOEXEC);
	cx_rootfs_drop(&fs);
	return fd;
}

int cx_child_proc(struct cx_child *c)
{
	struct statfs fs;
	struct stat st;
	int fd = c->proc;

	if (fd >= 0)
		return fd;
	fd = private_proc();
	if (fd >= 0)
		return c->proc = fd;
	/* In a user namespace the kernel makes none where the visible one has masks, or
	 * without a pid namespace. A directory that only looks like procfs is an old
	 * trick (CVE-2019-16884). */
	fd = cx_rootfs_open(c, "/proc", O_PATH | O_DIRECTORY, 1);
	if (fd < 0)
		return cx_child_fail(c, CX_CALL_openat2, "/proc");
	if (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_MAGIC || fstat(fd, &st) < 0
		|| st.st_ino != PROC_ROOT_INODE) {
		cx_rootfs_drop(&fd);
		errno = ENODEV;
		return cx_child_fail(c, CX_CALL_statfs, "/proc");
	}
	return c->proc = fd;
}
