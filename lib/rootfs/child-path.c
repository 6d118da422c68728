/* Inside the container: finding and making places in the new root file system, which
 * whoever made the image, or another container that shares it, may have filled with
 * traps. Used by all child-*.c here. */
#include "rootfs/child-path.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { TRIES = 64 };

void cx_rootfs_drop(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int cx_rootfs_open(const struct cx_child *c, const char *path, int flags, int strict)
{
	uint64_t resolve = RESOLVE_NO_MAGICLINKS | (strict ? RESOLVE_NO_SYMLINKS : 0);
	int fd, tries = TRIES;

	/* before pivot the new root only plays root; afterwards it is, and paths are
	 * absolute */
	if (c->root >= 0)
		resolve |= RESOLVE_IN_ROOT;
	/* EAGAIN: somebody renamed something anywhere while ".." was resolved */
	do
		fd = cx_sys_openat2(c->root >= 0 ? c->root : AT_FDCWD, path,
			(unsigned)flags | O_CLOEXEC, 0, resolve);
	while (fd < 0 && errno == EAGAIN && --tries);
	return fd;
}

/* Makes and opens one component; *dir, which is closed, becomes it. What is there already
 * (another container that shares the tree was quicker) is taken, but never a link. */
static int step(int *dir, const char *name, int directory, mode_t mode)
{
	int made, next = -1;

	if (directory)
		made = mkdirat(*dir, name, mode);
	else
		made = openat(*dir, name,
			O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0644);
	if (made >= 0 || errno == EEXIST)
		next = cx_sys_openat2(*dir, name,
			O_PATH | O_CLOEXEC | (directory ? O_DIRECTORY : 0), 0,
			RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	if (!directory)
		cx_rootfs_drop(&made);
	cx_rootfs_drop(dir);
	*dir = next;
	return next < 0 ? -1 : 0;
}

/* Opens the longest part of `path` that exists; *rest: what follows it, without leading
 * slash. */
static int open_existing(
	const struct cx_child *c, const char *path, const char **rest, int strict)
{
	char part[PATH_MAX];
	size_t n = strlen(path);
	int fd;

	if (n >= sizeof part) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(part, path, n + 1);
	for (;;) {
		while (n && part[--n] != '/')
			;
		*rest = path + n + (path[n] == '/');
		part[n] = '\0';
		fd = cx_rootfs_open(c, n ? part : "/", O_PATH | O_DIRECTORY, strict);
		if (fd >= 0 || errno != ENOENT || n == 0)
			return fd;
	}
}

int cx_rootfs_make(const struct cx_child *c, const char *path, int directory, mode_t mode,
	int strict)
{
	const char *rest;
	char name[NAME_MAX + 1];
	int dir = open_existing(c, path, &rest, strict), last = 0;

	while (dir >= 0 && !last) {
		size_t n = strcspn(rest, "/");

		if (n == 0 || n > NAME_MAX || (n == 2 && !memcmp(rest, "..", 2))) {
			/* ".." behind something that doesn't exist leads nowhere */
			errno = n > NAME_MAX ? ENAMETOOLONG : ENOENT;
			cx_rootfs_drop(&dir);
			break;
		}
		memcpy(name, rest, n);
		name[n] = '\0';
		rest += n + strspn(rest + n, "/");
		last = *rest == '\0';
		step(&dir, name, directory || !last, last ? mode : 0755);
	}
	return dir;
}

int cx_rootfs_parent(const struct cx_child *c, const char *path, const char **name)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	int fd;

	if (!slash || !slash[1] || n >= sizeof parent) {
		errno = EINVAL;
		return -1;
	}
	memcpy(parent, path, n);
	parent[n] = '\0';
	*name = slash + 1;
	fd = cx_rootfs_open(c, n ? parent : "/", O_PATH | O_DIRECTORY, 0);
	return fd < 0 && errno == ENOENT ? cx_rootfs_make(c, parent, 1, 0755, 0) : fd;
}

int cx_rootfs_attach_at(struct cx_child *c, int tree, int target, const char *path)
{
	if (cx_sys_move_mount(tree, "", target, "",
		    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)
		< 0)
		return cx_child_fail(c, CX_CALL_move_mount, path);
	return 0;
}

int cx_rootfs_attach(struct cx_child *c, int tree, const char *path, int strict)
{
	int target = cx_rootfs_open(c, path, O_PATH | (strict ? O_DIRECTORY : 0), strict),
	    r;
	struct stat st;

	if (target < 0 && errno == ENOENT) {
		if (fstat(tree, &st) < 0)
			return cx_child_fail(c, CX_CALL_fstat, path);
		target = cx_rootfs_make(c, path, S_ISDIR(st.st_mode), 0755, strict);
	}
	if (target < 0)
		return cx_child_fail(c, CX_CALL_openat2, path);
	r = cx_rootfs_attach_at(c, tree, target, path);
	cx_rootfs_drop(&target);
	return r;
}
