/* Whiteouts: names that begin with ".wh." say what of the layers below is hidden. Either they become what overlay
 * understands, or what they hide is removed. (OCI image-spec, layer.md; Linux, filesystems/overlayfs.rst) */
#include "image/worker/tree.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define PREFIX ".wh."
#define META ".wh..wh."         /* AUFS's own; of these the opaque directory alone has a meaning here */
#define OPAQUE ".wh..wh..opq"

const char *cx_whiteout_xattr(int whiteouts, int opaque)
{
	if (whiteouts == CX_WHITEOUT_USER)
		return opaque ? "user.overlay.opaque" : "user.overlay.whiteout";
	return opaque ? "trusted.overlay.opaque" : "trusted.overlay.whiteout";
}

static const char *xattr_name(const struct cx_tree *t, int opaque)
{
	return cx_whiteout_xattr(t->options.whiteouts, opaque);
}

int cx_whiteout_is(struct cx_tree *t, int parent, const char *name, mode_t type, dev_t rdev)
{
	cx_autoclose int fd = -1;

	if (t->options.whiteouts == CX_WHITEOUT_APPLY)
		return 0;
	if (S_ISCHR(type) && rdev == makedev(0, 0))
		return 1;
	if (!S_ISREG(type) || t->options.whiteouts != CX_WHITEOUT_USER)
		return 0;
	fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	return fd >= 0 && fgetxattr(fd, xattr_name(t, 0), NULL, 0) >= 0;
}

int cx_whiteout_opaque(struct cx_tree *t, int dirfd, const char *value)
{
	char is;

	if (*value == 'x' && fgetxattr(dirfd, xattr_name(t, 1), &is, 1) == 1 && is == 'y')
		return 0;       /* all is hidden already */
	t->hides |= *value == 'y';
	return fsetxattr(dirfd, xattr_name(t, 1), value, 1, 0) == 0 ? 0 : -errno;
}

int cx_whiteout_hides(struct cx_tree *t, int dirfd)
{
	cx_autoclose int at = t->hides ? openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	struct stat root, st;
	char is;

	if (!t->hides || fstat(t->root, &root) < 0)
		return 0;
	while (at >= 0 && fstat(at, &st) == 0) {
		int above;

		if (fgetxattr(at, xattr_name(t, 1), &is, 1) == 1 && is == 'y')
			return 1;
		if (st.st_ino == root.st_ino && st.st_dev == root.st_dev)
			return 0;
		above = openat(at, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(at);
		at = above;
	}
	return 0;
}

/* Where device 0:0 may not be made: an empty file that says so, in a directory that says that there are such. */
static int make_file(struct cx_tree *t, int parent, const char *name)
{
	cx_autoclose int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || fsetxattr(fd, xattr_name(t, 0), "y", 1, 0) < 0)
		return -errno;
	return cx_whiteout_opaque(t, parent, "x");
}

/* In overlay's form. What the layer itself has of that name stays, but nothing below shines through. */
static int hide(struct cx_tree *t, int parent, const char *name)
{
	cx_autoclose int fd = -1;
	struct stat st;

	if (mknodat(parent, name, S_IFCHR, makedev(0, 0)) == 0)
		return 0;
	if (errno == EPERM && t->options.whiteouts == CX_WHITEOUT_USER)
		return make_file(t, parent, name);
	if (errno != EEXIST || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return 0;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : cx_whiteout_opaque(t, fd, "y");
}

static int apply(struct cx_tree *t, const char *hidden, int parent)
{
	if (t->options.whiteouts != CX_WHITEOUT_APPLY)
		return hidden ? hide(t, parent, hidden) : cx_whiteout_opaque(t, parent, "y");
	if (!t->tracks)
		return 0;       /* nothing lies below */
	return hidden ? cx_tree_hide(t, parent, hidden) : cx_tree_prune(t, parent);
}

/* Does a directory on the way have such a name? 1: AUFS's own, 0: none, negative: nonsense. */
static int on_the_way(const struct cx_path *p)
{
	for (const char *c = p->text; c < p->name; c += strcspn(c, "/") + 1)
		if (!strncmp(c, PREFIX, strlen(PREFIX)))
			return !strncmp(c, META, strlen(META)) ? 1 : -EINVAL;
	return 0;
}

int cx_whiteout(struct cx_tree *t, struct archive_entry *e)
{
	const char *hidden = t->path.name + strlen(PREFIX), *raw = archive_entry_pathname(e);
	int opaque = !strcmp(t->path.name, OPAQUE), r = on_the_way(&t->path), parent;

	if (r == 0 && strncmp(t->path.name, PREFIX, strlen(PREFIX)))
		return 0;
	if (r == 1 || (r == 0 && !opaque && !strncmp(t->path.name, META, strlen(META))))
		return 1;       /* AUFS's: nobody's file */
	if (r < 0 || !*hidden || !strcmp(hidden, ".") || !strcmp(hidden, "..")
		|| (archive_entry_filetype(e) != AE_IFREG && !archive_entry_hardlink(e)))
		return cx_tree_fail(t, -EINVAL, NULL, "a whiteout is an empty file, .wh. and the name that it hides", raw);
	parent = cx_dirs_open(t, &t->dirs, &t->path, t->path.parent, t->options.whiteouts != CX_WHITEOUT_APPLY);
	if (t->options.whiteouts == CX_WHITEOUT_APPLY && (parent == -ENOENT || parent == -ENOTDIR))
		return 1;       /* nothing there to be hidden */
	if (parent < 0)
		return cx_tree_fail(t, parent, "openat", "a directory on its way can't be had", raw);
	r = apply(t, opaque ? NULL : hidden, parent);
	if (r == -EPERM || r == -EOPNOTSUPP)
		return cx_tree_fail(t, r, opaque ? "fsetxattr" : "mknodat",
			"CX_WHITEOUT_USER, or _APPLY, needs fewer rights", raw);
	return r < 0 ? cx_tree_fail(t, r, NULL, "hiding it has failed", raw) : 1;
}
