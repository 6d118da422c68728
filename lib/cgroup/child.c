/* Inside the container: joining the cgroups that the host made, and mounting what is seen of them. */
#include "keeper/child.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { TRIES = 64 };

static void drop(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

/* a/b[/c] */
static int join(char *to, size_t size, const char *a, const char *b, const char *c)
{
	size_t na = strlen(a), nb = b ? strlen(b) : 0, nc = c ? strlen(c) + 1 : 0;

	if (!b || na + nb + nc + 2 > size) {
		errno = b ? ENAMETOOLONG : EINVAL;
		return -1;
	}
	memcpy(to, a, na);
	to[na] = '/';
	memcpy(to + na + 1, b, nb + 1);
	if (c) {
		to[na + 1 + nb] = '/';
		memcpy(to + na + 2 + nb, c, nc);
	}
	return 0;
}

/* "0" is the writer, and `tasks` moves one thread, which is all that there is. cgroup.procs would take
 * the lock of all thread groups for writing first, and with it an RCU grace period: 5 to 12 ms. */
int cx_child_cgroup_attach(struct cx_child *c, const struct cx_op *op)
{
	const char *mount = cx_child_text(c, op->arg[0]);
	char path[PATH_MAX];
	int fd;

	if (join(path, sizeof path, mount, cx_child_text(c, op->arg[1]), "tasks") < 0
	    || (fd = open(path, O_WRONLY | O_CLOEXEC)) < 0)
		return cx_child_fail(c, CX_CALL_open, mount);
	if (write(fd, "0", 1) != 1) {
		drop(&fd);
		return cx_child_fail(c, CX_CALL_write, mount);
	}
	close(fd);
	return 0;
}

static int open_in(int dir, const char *path, uint64_t resolve)
{
	int fd, tries = TRIES;

	/* EAGAIN: somebody renamed something anywhere while ".." was resolved */
	do
		fd = cx_sys_openat2(dir, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0,
			resolve | RESOLVE_NO_MAGICLINKS);
	while (fd < 0 && errno == EAGAIN && --tries);
	return fd;
}

/* Makes what is missing of `path`: links of what exists are followed inside the root, what is made is
 * entered without any. */
static int make_target(int root, const char *path, uint64_t in_root)
{
	char part[PATH_MAX];
	size_t size = strlen(path);
	int dir = open_in(root, "/", in_root), next;

	if (size >= sizeof part) {
		drop(&dir);
		errno = ENAMETOOLONG;
	}
	for (size_t at = strspn(path, "/"); dir >= 0 && at < size;) {
		size_t n = strcspn(path + at, "/");

		memcpy(part, path, at + n);
		part[at + n] = '\0';
		next = open_in(root, part, in_root);
		if (next < 0 && errno == ENOENT
		    && (mkdirat(dir, part + at, 0755) == 0 || errno == EEXIST))
			next = open_in(dir, part + at,
				RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
		drop(&dir);
		dir = next;
		at += n + strspn(path + at + n, "/");
	}
	return dir;
}

/* Before pivot the new root only plays root (RESOLVE_IN_ROOT); afterwards it is. */
static int open_target(const struct cx_child *c, const char *path)
{
	uint64_t in_root = c->root >= 0 ? RESOLVE_IN_ROOT : 0;
	int root = c->root >= 0 ? c->root : AT_FDCWD, fd = open_in(root, path, in_root);

	return fd < 0 && errno == ENOENT ? make_target(root, path, in_root) : fd;
}

static int set_attributes(struct cx_child *c, int mount, uint64_t set, const char *name)
{
	struct cx_mount_attr attr = { .attr_set = set };

	if (set && cx_sys_mount_setattr(mount, "", AT_EMPTY_PATH, &attr) < 0)
		return cx_child_fail(c, CX_CALL_mount_setattr, name);
	return 0;
}

static int attach(struct cx_child *c, int tree, int dir, const char *name)
{
	if (cx_sys_move_mount(tree, "", dir, name,
		    MOVE_MOUNT_F_EMPTY_PATH | (*name ? 0 : MOVE_MOUNT_T_EMPTY_PATH)) < 0)
		return cx_child_fail(c, CX_CALL_move_mount, name);
	return 0;
}

/* The container's own directory of one hierarchy as a mount: a clone of the host's, which costs far less
 * than a new superblock, shows nothing above, and in the container's cgroup namespace calls itself "/". */
static int bind(struct cx_child *c, const char *mount, const char *path, int dir,
	const char *name, uint64_t set)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
	char from[PATH_MAX];
	int tree, r;

	if (join(from, sizeof from, mount, path, NULL) < 0
	    || (tree = cx_sys_open_tree(AT_FDCWD, from, flags)) < 0)
		return cx_child_fail(c, CX_CALL_open_tree, mount);
	r = set_attributes(c, tree, set, name);
	if (r == 0)
		r = attach(c, tree, dir, name);
	drop(&tree);
	return r;
}

/* A detached tmpfs. An fd, or what cx_child_fail returned. */
static int make_tmpfs(struct cx_child *c)
{
	int fs = cx_sys_fsopen("tmpfs", FSOPEN_CLOEXEC), mount, r = 0;

	if (fs < 0)
		return cx_child_fail(c, CX_CALL_fsopen, "tmpfs");
	if (cx_sys_fsconfig(fs, CX_FSCONFIG_SET_STRING, "mode", "755", 0) < 0
	    || cx_sys_fsconfig(fs, CX_FSCONFIG_SET_STRING, "size", "64k", 0) < 0
	    || cx_sys_fsconfig(fs, CX_FSCONFIG_CREATE, NULL, NULL, 0) < 0)
		r = cx_child_fail(c, CX_CALL_fsconfig, "tmpfs");
	mount = r < 0 ? -1 : cx_sys_fsmount(fs, FSMOUNT_CLOEXEC,
		CX_MOUNT_ATTR_NOSUID | CX_MOUNT_ATTR_NODEV | CX_MOUNT_ATTR_NOEXEC);
	if (r == 0 && mount < 0)
		r = cx_child_fail(c, CX_CALL_fsmount, "tmpfs");
	drop(&fs);
	return r < 0 ? r : mount;
}

/* cpu -> cpu,cpuacct and cpuacct -> cpu,cpuacct, as hosts have them */
static int link_parts(struct cx_child *c, int dir, const char *name)
{
	char part[64];

	for (const char *p = name; strchr(name, ',') && *p; p += *p == ',') {
		size_t n = strcspn(p, ",");

		if (n == 0 || n >= sizeof part)
			return errno = EINVAL, cx_child_fail(c, CX_CALL_symlinkat, name);
		memcpy(part, p, n);
		part[n] = '\0';
		if (symlinkat(name, dir, part) < 0)
			return cx_child_fail(c, CX_CALL_symlinkat, part);
		p += n;
	}
	return 0;
}

static int add_hierarchy(struct cx_child *c, const struct cx_op *op, uint32_t n, int dir)
{
	const char *mount = cx_child_item(c, op->arg[0], n),
		*name = cx_child_item(c, op->arg[0], n + 1);
	int r;

	if (mkdirat(dir, name, 0755) < 0)
		return cx_child_fail(c, CX_CALL_mkdirat, name);
	r = bind(c, mount, cx_child_text(c, op->arg[1]), dir, name, op->arg[3]);
	return r < 0 ? r : link_parts(c, dir, name);
}

/* The list is pairs of a hierarchy's mount point on the host and its name in here. v1 and hybrid: a
 * tmpfs with one directory each; v2 alone has no name: its directory itself. */
int cx_child_mount_cgroup(struct cx_child *c, const struct cx_op *op)
{
	const char *target = cx_child_text(c, op->arg[2]),
		*path = cx_child_text(c, op->arg[1]);
	uint32_t count = cx_child_count(c, op->arg[0]);
	int at = open_target(c, target), dir, r;

	if (at < 0)
		return cx_child_fail(c, CX_CALL_openat2, target);
	if (count == 2 && !*cx_child_item(c, op->arg[0], 1)) {
		r = bind(c, cx_child_item(c, op->arg[0], 0), path, at, "", op->arg[3]);
		drop(&at);
		return r;
	}
	dir = make_tmpfs(c);
	r = dir < 0 ? dir : c->apart ? 0 : attach(c, dir, at, "");
	for (uint32_t n = 0; r == 0 && n + 1 < count; n += 2)
		r = add_hierarchy(c, op, n, dir);
	if (r == 0) /* only now: read-only takes no directories */
		r = set_attributes(c, dir, op->arg[3], target);
	if (r == 0 && c->apart)
		r = attach(c, dir, at, "");
	drop(&dir);
	drop(&at);
	return r;
}
