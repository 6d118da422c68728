/* Inside the container, after pivot: masked and read-only paths. What is missing needs no
 * protection. */
#include "rootfs/child-path.h"

#include <string.h>
#include <sys/stat.h>

static int is_missing(int error)
{
	return error == ENOENT || error == ENOTDIR;
}

/* Before Linux 6.15 a detached tree can't be cloned: the first use mounts *fd itself,
 * each later one a clone of that mount. */
static int cover(struct cx_child *c, int fd, unsigned note, int target, const char *path)
{
	int tree, r;

	if (!(c->tree & note)) {
		r = cx_rootfs_attach_at(c, fd, target, path);
		if (r == 0)
			c->tree |= note;
		return r;
	}
	tree = cx_sys_open_tree(
		fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree < 0)
		return cx_child_fail(c, CX_CALL_open_tree, path);
	r = cx_rootfs_attach_at(c, tree, target, path);
	cx_rootfs_drop(&tree);
	return r;
}

/* One empty file system covers all masked directories: a superblock each would cost more
 * than all else. */
static int open_empty(struct cx_child *c)
{
	int *empty = &c->source[CX_SOURCE_EMPTY], fs;

	if (*empty >= 0)
		return 0;
	fs = cx_sys_fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0)
		return cx_child_fail(c, CX_CALL_fsopen, "tmpfs");
	*empty = cx_rootfs_create(c, fs,
		CX_MOUNT_ATTR_RDONLY | CX_MOUNT_ATTR_NOSUID | CX_MOUNT_ATTR_NODEV
			| CX_MOUNT_ATTR_NOEXEC,
		"tmpfs");
	return *empty < 0 ? *empty : 0;
}

static int mask_at(struct cx_child *c, int target, const char *path)
{
	struct stat st;
	int r;

	if (fstat(target, &st) < 0)
		return cx_child_fail(c, CX_CALL_fstat, path);
	if (S_ISDIR(st.st_mode)) {
		r = open_empty(c);
		return r < 0 ? r
			     : cover(c, c->source[CX_SOURCE_EMPTY], CX_TREE_EMPTY, target,
				     path);
	}
	if (c->null < 0) { /* pivot found none */
		errno = ENOENT;
		return cx_child_fail(c, CX_CALL_open, "/dev/null");
	}
	return cover(c, c->null, CX_TREE_NULL, target, path);
}

int cx_child_mask(struct cx_child *c, const struct cx_op *op)
{
	const char *path = cx_child_text(c, op->arg[0]);
	int target = cx_rootfs_open(c, path, O_PATH, 0), r;

	if (target < 0)
		return is_missing(errno) ? 0 : cx_child_fail(c, CX_CALL_openat2, path);
	r = mask_at(c, target, path);
	cx_rootfs_drop(&target);
	return r;
}

int cx_child_read_only(struct cx_child *c, const struct cx_op *op)
{
	const struct cx_mount_attr attr = { .attr_set = CX_MOUNT_ATTR_RDONLY };
	const char *path = cx_child_text(c, op->arg[0]);
	int target = cx_rootfs_open(c, path, O_PATH, 0), tree, r;

	if (target < 0)
		return is_missing(errno) ? 0 : cx_child_fail(c, CX_CALL_openat2, path);
	/* a clone keeps the flags its mount has; read-only is only added */
	tree = cx_sys_open_tree(target, "",
		OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
	if (tree < 0)
		r = cx_child_fail(c, CX_CALL_open_tree, path);
	else if (cx_sys_mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr) < 0)
		r = cx_child_fail(c, CX_CALL_mount_setattr, path);
	else
		r = cx_rootfs_attach_at(c, tree, target, path);
	cx_rootfs_drop(&tree);
	cx_rootfs_drop(&target);
	return r;
}
