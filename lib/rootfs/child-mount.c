/* Inside the container: new file systems, binds and their attributes, between root and
 * pivot of child.c. */
#include "rootfs/child-path.h"

#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum { OPTION_MAX = 255 }; /* fsconfig takes no longer texts */

/* The kernel explains itself in the context's log ("e tmpfs: Bad value for 'size'"). */
int cx_rootfs_fail_fs(struct cx_child *c, int fs, enum cx_call call, const char *detail)
{
	char log[128];
	int saved = errno;
	ssize_t n = read(fs, log, sizeof log - 1);

	if (n > 2) {
		log[n - (log[n - 1] == '\n')] = '\0';
		detail = log + 2;
	}
	errno = saved;
	return cx_child_fail(c, call, detail);
}

int cx_rootfs_configure(struct cx_child *c, int fs, const char *option)
{
	char key[OPTION_MAX + 1];
	const char *value = strchr(option, '=');
	size_t n = value ? (size_t)(value - option) : strlen(option);
	int r;

	if (n > OPTION_MAX) {
		errno = EINVAL;
		return cx_child_fail(c, CX_CALL_fsconfig, option);
	}
	memcpy(key, option, n);
	key[n] = '\0';
	if (value)
		r = cx_sys_fsconfig(fs, CX_FSCONFIG_SET_STRING, key, value + 1, 0);
	else
		r = cx_sys_fsconfig(fs, CX_FSCONFIG_SET_FLAG, key, NULL, 0);
	return r < 0 ? cx_rootfs_fail_fs(c, fs, CX_CALL_fsconfig, option) : 0;
}

int cx_rootfs_create(struct cx_child *c, int fs, unsigned attributes, const char *detail)
{
	int fd;

	if (cx_sys_fsconfig(fs, CX_FSCONFIG_CREATE, NULL, NULL, 0) < 0)
		fd = cx_rootfs_fail_fs(c, fs, CX_CALL_fsconfig, detail);
	else if ((fd = cx_sys_fsmount(fs, FSMOUNT_CLOEXEC, attributes)) < 0)
		fd = cx_rootfs_fail_fs(c, fs, CX_CALL_fsmount, detail);
	cx_rootfs_drop(&fs);
	return fd;
}

/* Sets source and options, then creates it. */
static int new_fs(struct cx_child *c, const char *type, const char *source,
	uint64_t options, unsigned attributes)
{
	uint32_t n = cx_child_count(c, options);
	int fs = cx_sys_fsopen(type, FSOPEN_CLOEXEC), r = 0;

	if (fs < 0)
		return cx_child_fail(c, CX_CALL_fsopen, type);
	if (source
		&& cx_sys_fsconfig(fs, CX_FSCONFIG_SET_STRING, "source", source, 0) < 0)
		r = cx_rootfs_fail_fs(c, fs, CX_CALL_fsconfig, source);
	for (uint32_t i = 0; r == 0 && i < n; i++)
		r = cx_rootfs_configure(c, fs, cx_child_item(c, options, i));
	if (r < 0) {
		cx_rootfs_drop(&fs);
		return r;
	}
	return cx_rootfs_create(c, fs, attributes, type);
}

static int set_attributes(struct cx_child *c, int fd, unsigned recursive, uint64_t set,
	uint64_t clear, uint64_t propagation, const char *path)
{
	const struct cx_mount_attr attr = {
		.attr_set = set, .attr_clr = clear, .propagation = propagation
	};

	if (cx_sys_mount_setattr(fd, "", AT_EMPTY_PATH | recursive, &attr) < 0)
		return cx_child_fail(c, CX_CALL_mount_setattr, path);
	return 0;
}

/* Was it said whose the new one is to be? */
static int says_look(const struct cx_child *c, uint64_t options)
{
	static const char *const keys[] = { "mode=", "uid=", "gid=" };

	for (uint32_t i = 0; i < cx_child_count(c, options); i++)
		for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
			if (!strncmp(cx_child_item(c, options, i), keys[k], strlen(keys[k])))
				return 1;
	return 0;
}

/* What fsmount gave is only a place: its directory is opened. */
static int copy_look(struct cx_child *c, int from, int to, const char *path)
{
	int fd = openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	struct stat st;

	if (fd < 0 || fstat(from, &st) < 0 || fchown(fd, st.st_uid, st.st_gid) < 0 || fchmod(fd, st.st_mode & 07777) < 0)
		r = cx_child_fail(c, CX_CALL_chown, path);
	cx_rootfs_drop(&fd);
	return r;
}

/* tmpcopyup: what lies under the mount is copied before it is covered, and before it may
 * be read-only. */
static int mount_copy(struct cx_child *c, int fd, const char *path, int strict, unsigned attributes, uint64_t options)
{
	int target = cx_rootfs_open(c, path, O_RDONLY | O_DIRECTORY, strict), r = 0;

	if (target >= 0) {
		r = cx_rootfs_copy_up(c, target, fd, path);
		if (r == 0 && !says_look(c, options))
			r = copy_look(c, target, fd, path);
	} else if (errno != ENOENT)
		return cx_child_fail(c, CX_CALL_openat2, path);
	if (r == 0 && attributes & CX_MOUNT_ATTR_RDONLY)
		r = set_attributes(c, fd, 0, CX_MOUNT_ATTR_RDONLY, 0, 0, path);
	if (r == 0)
		r = target >= 0 ? cx_rootfs_attach_at(c, fd, target, path)
				: cx_rootfs_attach(c, fd, path, strict);
	cx_rootfs_drop(&target);
	return r;
}

int cx_child_mount_new(struct cx_child *c, const struct cx_op *op)
{
	const char *path = cx_child_text(c, op->arg[2]);
	unsigned attributes = (unsigned)op->arg[4];
	int copy = !!(op->arg[5] & CX_MOUNT_COPY_UP),
	    strict = !!(op->arg[5] & CX_MOUNT_STRICT), r;
	int fd = new_fs(c, cx_child_text(c, op->arg[0]), cx_child_text(c, op->arg[1]),
		op->arg[3], copy ? attributes & ~CX_MOUNT_ATTR_RDONLY : attributes);

	if (fd < 0)
		return fd;
	r = copy ? mount_copy(c, fd, path, strict, attributes, op->arg[3])
		 : cx_rootfs_attach(c, fd, path, strict);
	cx_rootfs_drop(&fd);
	return r;
}

/* One call for attributes and propagation, unless only one of them goes to all mounts
 * below. */
static int dress(struct cx_child *c, int fd, const struct cx_op *op, const char *path)
{
	unsigned deep = (unsigned)op->arg[2] & AT_RECURSIVE;
	unsigned propagation = (unsigned)op->arg[5] & ~(unsigned)MS_REC;
	unsigned propagation_deep = op->arg[5] & MS_REC ? AT_RECURSIVE : 0;
	int attributes = op->arg[3] || op->arg[4], r = 0;

	if (propagation && (!attributes || deep == propagation_deep))
		return set_attributes(c, fd, propagation_deep, op->arg[3], op->arg[4],
			propagation, path);
	if (attributes)
		r = set_attributes(c, fd, deep, op->arg[3], op->arg[4], 0, path);
	if (r == 0 && propagation)
		r = set_attributes(c, fd, propagation_deep, 0, 0, propagation, path);
	return r;
}

static int clone_late(struct cx_child *c, int *tree, unsigned char how, const char *path)
{
	int fd;

	if (how == CX_LATE_NO)
		return 0;
	fd = cx_sys_open_tree(*tree, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
		| (how == CX_LATE_ALL ? AT_RECURSIVE : 0));
	if (fd < 0)
		return cx_child_fail(c, CX_CALL_open_tree, path);
	cx_rootfs_drop(tree);
	*tree = fd;
	return 0;
}

/* Where a link leads that is to nowhere: images of Debian's and Fedora's have their resolv.conf so, for a service
 * that writes it when it runs. */
static int make_behind_link(struct cx_child *c, const char *path)
{
	char link[512], target[1024];
	const char *name;
	int dir = cx_rootfs_parent(c, path, &name);
	ssize_t n = dir < 0 ? -1 : readlinkat(dir, name, link, sizeof link - 1);
	size_t before = n > 0 && link[0] != '/' ? (size_t)(name - path) : 0;

	cx_rootfs_drop(&dir);
	if (n <= 0 || before + (size_t)n >= sizeof target)
		return -1;
	memcpy(target, path, before);
	memcpy(target + before, link, (size_t)n);
	target[before + (size_t)n] = '\0';
	return cx_rootfs_make(c, target, 0, 0755, 0);
}

/* A read-only root file system without such a file does without. */
static int is_impossible(struct cx_child *c, const char *path)
{
	int fd = cx_rootfs_open(c, path, O_PATH, 0), r;

	if (fd < 0 && errno == ENOENT)
		fd = cx_rootfs_make(c, path, 0, 0755, 0);
	if (fd < 0 && errno == ELOOP)
		fd = make_behind_link(c, path);
	r = fd < 0;
	cx_rootfs_drop(&fd);
	return r;
}

int cx_child_mount_source(struct cx_child *c, const struct cx_op *op)
{
	const char *path = cx_child_text(c, op->arg[1]);
	int *tree = &c->source[op->arg[0]];
	int r;

	if (op->arg[2] & CX_MOUNT_OPTIONAL && is_impossible(c, path)) {
		cx_rootfs_drop(tree);
		return 0;
	}
	r = clone_late(c, tree, c->late[op->arg[0]], path);
	if (r == 0)
		r = dress(c, *tree, op, path);
	if (r == 0)
		r = cx_rootfs_attach(c, *tree, path, !!(op->arg[2] & CX_MOUNT_STRICT));
	cx_rootfs_drop(tree);
	return r;
}

int cx_child_attributes(struct cx_child *c, const struct cx_op *op)
{
	const char *path = cx_child_text(c, op->arg[0]);
	int fd = cx_rootfs_open(c, path, O_PATH, !!(op->arg[4] & CX_MOUNT_STRICT)), r;

	if (fd < 0)
		return cx_child_fail(c, CX_CALL_openat2, path);
	r = set_attributes(c, fd, (unsigned)op->arg[4] & AT_RECURSIVE, op->arg[1],
		op->arg[2], op->arg[3], path);
	cx_rootfs_drop(&fd);
	return r;
}
