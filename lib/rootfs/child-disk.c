/* Inside the container, before its overlay is made: a file system in a file over the directory of its upper and work,
 * by a loop device that is gone with the file system. */
#include "rootfs/child-path.h"

#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum { TRIES = 256, PATH_BYTES = 4096 };        /* somebody else may take the free device before us */

/* "/dev/loop7" */
static const char *device_path(char *path, size_t size, int n)
{
	static const char stem[] = "/dev/loop";
	char *p = path + size;

	*--p = '\0';
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	p -= sizeof stem - 1;
	memcpy(p, stem, sizeof stem - 1);
	return p;
}

/* An fd of a loop device that shows `file`, or what cx_child_fail returned. */
static int attach(struct cx_child *c, int file, char *path, size_t size, const char **ret)
{
	struct loop_config config = { .fd = (unsigned)file, .info = { .lo_flags = LO_FLAGS_AUTOCLEAR } };
	int control = openat(AT_FDCWD, "/dev/loop-control", O_RDWR | O_CLOEXEC), n = 0, fd = -1;

	if (control < 0)
		return cx_child_fail(c, CX_CALL_open, "/dev/loop-control");
	for (int i = 0; fd < 0 && n >= 0 && i < TRIES; i++) {
		n = ioctl(control, LOOP_CTL_GET_FREE);
		if (n < 0)
			break;
		*ret = device_path(path, size, n);
		fd = openat(AT_FDCWD, *ret, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			break;
		if (ioctl(fd, LOOP_CONFIGURE, &config) == 0)
			continue;
		if (errno != EBUSY)
			i = TRIES;
		cx_rootfs_drop(&fd);
	}
	cx_rootfs_drop(&control);
	return fd < 0 ? cx_child_fail(c, CX_CALL_ioctl, "LOOP_CONFIGURE") : fd;
}

static int mount_file(struct cx_child *c, const char *image)
{
	int file = openat(AT_FDCWD, image, O_RDWR | O_NOFOLLOW | O_CLOEXEC), device, fs, r;
	const char *source = "";
	char path[32];

	if (file < 0)
		return cx_child_fail(c, CX_CALL_open, image);
	device = attach(c, file, path, sizeof path, &source);
	cx_rootfs_drop(&file);
	if (device < 0)
		return device;
	fs = cx_sys_fsopen("ext4", FSOPEN_CLOEXEC);
	if (fs < 0)
		r = cx_child_fail(c, CX_CALL_fsopen, "ext4");
	else if (cx_sys_fsconfig(fs, CX_FSCONFIG_SET_STRING, "source", source, 0) < 0)
		r = cx_rootfs_fail_fs(c, fs, CX_CALL_fsconfig, source);
	else
		r = cx_rootfs_create(c, fs, CX_MOUNT_ATTR_NODEV, source);
	cx_rootfs_drop(&device);
	return r;
}

/* The two directories in it, the upper one as it would have been without. */
static int make_directories(struct cx_child *c, int tree, const struct stat *look)
{
	int upper = -1, r = 0;

	if (mkdirat(tree, "work", 0700) < 0 || mkdirat(tree, "upper", 0700) < 0)
		return cx_child_fail(c, CX_CALL_mkdirat, "upper");
	upper = openat(tree, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (upper < 0 || fchown(upper, look->st_uid, look->st_gid) < 0 || fchmod(upper, look->st_mode & 07777) < 0)
		r = cx_child_fail(c, CX_CALL_chown, "upper");
	cx_rootfs_drop(&upper);
	return r;
}

static int attach_tree(struct cx_child *c, int tree, const char *folder, const struct stat *look)
{
	int r = make_directories(c, tree, look);

	if (r == 0 && cx_sys_move_mount(tree, "", AT_FDCWD, folder, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		r = cx_child_fail(c, CX_CALL_move_mount, folder);
	return r;
}

/* "FOLDER/NAME", or FOLDER alone: the first n letters of `upper`. */
static const char *in_folder(char *path, const char *upper, size_t n, const char *name)
{
	memcpy(path, upper, n);
	memcpy(path + n, name, strlen(name) + 1);
	return path;
}

int cx_rootfs_mount_disk(struct cx_child *c, const char *upper)
{
	char folder[PATH_BYTES], path[PATH_BYTES];
	const char *slash = strrchr(upper, '/');
	size_t n = slash ? (size_t)(slash - upper) : 0;
	struct stat look;
	int tree, r;

	if (n == 0 || n + sizeof "/disk" > sizeof path) {
		errno = ENAMETOOLONG;
		return cx_child_fail(c, CX_CALL_open, upper);
	}
	if (fstatat(AT_FDCWD, in_folder(path, upper, n, "/look"), &look, AT_SYMLINK_NOFOLLOW) < 0)
		return cx_child_fail(c, CX_CALL_fstat, path);
	tree = mount_file(c, in_folder(path, upper, n, "/disk"));
	if (tree < 0)
		return tree;
	r = attach_tree(c, tree, in_folder(folder, upper, n, ""), &look);
	cx_rootfs_drop(&tree);
	return r;
}

/* Noted, for the overlay's maker: only it shall see it. */
int cx_child_disk(struct cx_child *c, const struct cx_op *op)
{
	(void)op;
	c->tree |= CX_TREE_DISK;
	return 0;
}
