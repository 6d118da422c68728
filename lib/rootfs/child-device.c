/* Inside the container: device nodes, links and directories of the new root, before pivot
 * (child.c). */
#include "rootfs/child-path.h"

#include <string.h>
#include <sys/stat.h>

/* The directory of `path` and its last component. /dev, where nearly all goes, is opened
 * once, and may not be a link: an image could lead us anywhere else in the tree
 * (CVE-2026-41579). */
static int open_parent(struct cx_child *c, const char *path, const char **name)
{
	static const char dev[] = "/dev/";
	int *cached = &c->source[CX_SOURCE_DEV];

	if (strncmp(path, dev, sizeof dev - 1) || strchr(path + sizeof dev - 1, '/'))
		return cx_rootfs_parent(c, path, name);
	*name = path + sizeof dev - 1;
	if (*cached < 0) {
		*cached = cx_rootfs_open(c, "/dev", O_PATH | O_DIRECTORY, 1);
		if (*cached < 0 && errno == ENOENT)
			*cached = cx_rootfs_make(c, "/dev", 1, 0755, 1);
	}
	return *cached;
}

static void close_parent(const struct cx_child *c, int dir)
{
	if (dir != c->source[CX_SOURCE_DEV])
		close(dir);
}

static int same_device(int fd, const struct cx_op *op)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == (op->arg[1] & S_IFMT)
	       && (S_ISFIFO(st.st_mode) || st.st_rdev == op->arg[2]);
}

/* What the image brings is taken if it is this very device, and nothing else under its
 * name. */
static int accept_existing(struct cx_child *c, const struct cx_op *op, int dir,
	const char *name, const char *path)
{
	int fd = cx_sys_openat2(
		dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, RESOLVE_BENEATH);
	int same = fd >= 0 && same_device(fd, op);

	cx_rootfs_drop(&fd);
	if (same)
		return 0;
	errno = EEXIST;
	return cx_child_fail(c, CX_CALL_mknodat, path);
}

static int make_node(struct cx_child *c, const struct cx_op *op, int dir,
	const char *name, const char *path)
{
	uid_t uid = (uid_t)op->arg[3];
	gid_t gid = (gid_t)op->arg[4];

	if (mknodat(dir, name, (mode_t)op->arg[1], (dev_t)op->arg[2]) < 0)
		return errno == EEXIST ? accept_existing(c, op, dir, name, path)
				       : cx_child_fail(c, CX_CALL_mknodat, path);
	if ((uid || gid) && fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return cx_child_fail(c, CX_CALL_chown, path);
	return 0;
}

static int bind_node(struct cx_child *c, const struct cx_op *op, int dir,
	const char *name, const char *path)
{
	int *tree = &c->source[op->arg[5]], r, target;

	if (!same_device(*tree, op)) {
		errno = ENODEV;
		return cx_child_fail(c, CX_CALL_fstat, path);
	}
	target = openat(
		dir, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0644);
	if (target < 0 && errno == EEXIST)
		target = cx_sys_openat2(dir, name, O_PATH | O_CLOEXEC, 0,
			RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	if (target < 0)
		return cx_child_fail(c, CX_CALL_open, path);
	r = cx_rootfs_attach_at(c, *tree, target, path);
	cx_rootfs_drop(&target);
	cx_rootfs_drop(tree);
	return r;
}

int cx_child_device(struct cx_child *c, const struct cx_op *op)
{
	const char *path = cx_child_text(c, op->arg[0]), *name;
	int dir = open_parent(c, path, &name), r;

	if (dir < 0)
		return cx_child_fail(c, CX_CALL_openat2, path);
	r = op->arg[5] ? bind_node(c, op, dir, name, path)
		       : make_node(c, op, dir, name, path);
	close_parent(c, dir);
	return r;
}

/* What stands there already is the image's own choice: nothing here relies on the link. */
int cx_child_symlink(struct cx_child *c, const struct cx_op *op)
{
	const char *path = cx_child_text(c, op->arg[1]), *name;
	int dir = open_parent(c, path, &name), r = 0;

	if (dir < 0)
		return cx_child_fail(c, CX_CALL_openat2, path);
	if (symlinkat(cx_child_text(c, op->arg[0]), dir, name) < 0 && errno != EEXIST)
		r = cx_child_fail(c, CX_CALL_symlinkat, path);
	close_parent(c, dir);
	return r;
}

int cx_child_directory(struct cx_child *c, const struct cx_op *op)
{
	const char *path = cx_child_text(c, op->arg[0]);
	int fd = cx_rootfs_open(c, path, O_PATH | O_DIRECTORY, 0);

	if (fd < 0 && errno == ENOENT)
		fd = cx_rootfs_make(c, path, 1, (mode_t)op->arg[1], 0);
	if (fd < 0)
		return cx_child_fail(c, CX_CALL_mkdirat, path);
	cx_rootfs_drop(&fd);
	return 0;
}
