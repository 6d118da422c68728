/* One entry of a layer becomes a file, a link, a device, a directory. Called by unpack.c for each; names are path.c's,
 * ways to them dirs.c's. */
#include "image/worker/tree.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define MEMORY "limits.memory allows more, or larger, directories"

/* The directory that the entry is in, made if it must be. */
static int parent_of(struct cx_tree *t)
{
	int fd = cx_dirs_open(t, &t->dirs, &t->path, t->path.parent, 1);

	if (fd >= 0)
		return fd;
	return cx_tree_fail(t, fd, "openat", fd == -E2BIG ? MEMORY : fd == -ENOTDIR ? "a file stands where a directory of its path should be"
		: fd == -ENOENT ? "a directory of its path is a link that leads nowhere" : NULL, t->path.text);
}

/* Notes the new file as one of this layer. */
static int note(struct cx_tree *t, int parent)
{
	struct stat st;

	if (!t->tracks)
		return 0;
	if (fstatat(parent, t->path.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return cx_tree_errno(t, "fstatat", t->path.text);
	return cx_inodes_add(&t->inodes, st.st_ino) < 0 ? cx_fail_memory(t->err) : 0;
}

/* After EEXIST: what has the name is removed, and making it is to be tried again. */
static int again(struct cx_tree *t, int parent)
{
	return errno == EEXIST && cx_tree_clear(t, parent, t->path.name) == 0;
}

/* ---- files -------------------------------------------------------------------------------------- */

static int write_all(int fd, const char *data, size_t size, off_t at)
{
	while (size > 0) {
		ssize_t n = pwrite(fd, data, size, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		data += n;
		size -= (size_t)n;
		at += n;
	}
	return 0;
}

/* The contents; where the archive has holes the file gets them, too. */
static int write_data(struct cx_tree *t, struct archive *a, int fd, int64_t size)
{
	const void *data;
	size_t n;
	int64_t at = 0, end = 0;
	int r;

	while ((r = archive_read_data_block(a, &data, &n, &at)) == ARCHIVE_OK) {
		if (at < end || at > size || (int64_t)n > size - at)
			return cx_tree_fail(t, -EBADMSG, NULL, "its map of holes contradicts itself or its size", t->path.text);
		if (write_all(fd, data, n, at) < 0)
			return cx_tree_errno(t, "pwrite", t->path.text);
		end = at + (int64_t)n;
	}
	if (r != ARCHIVE_EOF)
		return cx_tree_fail(t, -EBADMSG, NULL, "the archive is damaged, or ends, within its contents", t->path.text);
	if (end < size && ftruncate(fd, size) < 0)
		return cx_tree_errno(t, "ftruncate", t->path.text);
	return 0;
}

static int make_file(struct cx_tree *t, struct archive *a, struct archive_entry *e, int parent,
	const struct cx_attributes *attributes)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int64_t size = archive_entry_size(e);
	cx_autoclose int fd = -1;
	int r;

	if (size < 0)
		return cx_tree_fail(t, -EINVAL, NULL, "its size is negative", t->path.text);
	if ((uint64_t)size > t->options.limits.bytes - t->result->bytes)
		return cx_tree_fail(t, -E2BIG, NULL, "limits.bytes allows more", t->path.text);
	t->result->bytes += (uint64_t)size;
	fd = openat(parent, t->path.name, flags, attributes->mode & 0777);
	if (fd < 0 && again(t, parent))
		fd = openat(parent, t->path.name, flags, attributes->mode & 0777);
	if (fd < 0)
		return cx_tree_errno(t, "openat", t->path.text);
	r = write_data(t, a, fd, size);
	return r < 0 ? r : cx_attributes_set_fd(t, fd, attributes, attributes->mode & 0777 & ~t->umask);
}

/* ---- what has no contents ------------------------------------------------------------------------ */

static int make_link(struct cx_tree *t, struct archive_entry *e, int parent)
{
	const char *target = archive_entry_symlink(e);

	if (!target || !*target || strlen(target) >= PATH_MAX)
		return cx_tree_fail(t, -EINVAL, NULL, "a symbolic link needs a target of 1 to 4,095 bytes", t->path.text);
	if (symlinkat(target, parent, t->path.name) < 0
		&& !(again(t, parent) && symlinkat(target, parent, t->path.name) == 0))
		return cx_tree_errno(t, "symlinkat", t->path.text);
	return 0;
}

/* 1: left out, for want of rights. */
static int make_node(struct cx_tree *t, struct archive_entry *e, int parent, mode_t mode)
{
	dev_t device = S_ISFIFO(mode) ? 0
		: makedev((unsigned)archive_entry_rdevmajor(e), (unsigned)archive_entry_rdevminor(e));

	if (mknodat(parent, t->path.name, mode, device) == 0
		|| (again(t, parent) && mknodat(parent, t->path.name, mode, device) == 0))
		return 0;
	if (errno != EPERM || S_ISFIFO(mode) || !(t->options.flags & CX_UNPACK_ROOTLESS))
		return cx_tree_errno(t, "mknodat", t->path.text);
	t->result->left_out_devices++;
	return 1;
}

static int make_special(struct cx_tree *t, struct archive_entry *e, int parent, const struct cx_attributes *a)
{
	mode_t type = archive_entry_filetype(e);
	int r = type == AE_IFLNK ? make_link(t, e, parent) : make_node(t, e, parent, type | (a->mode & 0777));

	if (r != 0)
		return r;
	return cx_attributes_set_at(t, parent, t->path.name, type, a);
}

static int make_directory(struct cx_tree *t, int parent, struct cx_attributes *a)
{
	struct stat st = { .st_ino = 0 };
	int r = *t->path.text ? cx_dirs_make(t, parent, &t->path, t->path.size) : 0;

	if (r < 0)
		return cx_tree_fail(t, r, "mkdirat", NULL, t->path.text);
	if (*t->path.text && fstatat(parent, t->path.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return cx_tree_errno(t, "fstatat", t->path.text);
	r = cx_dirs_note(t, t->path.text, t->path.size, st.st_ino, a);
	return r < 0 ? cx_tree_fail(t, r, NULL, r == -E2BIG ? MEMORY : NULL, t->path.text) : 0;
}

/* Another name of what is in the tree already: never of a directory, never through a link at the end. */
static int make_hardlink(struct cx_tree *t, const char *to)
{
	struct stat st;
	int from, parent, r = cx_path_read(t, to, &t->target);

	if (r == 0 && !*t->target.text)
		r = cx_tree_fail(t, -EINVAL, NULL, "a hard link to the root", t->path.text);
	if (r < 0)
		return r;
	parent = parent_of(t);
	if (parent < 0)
		return parent;
	from = cx_dirs_open(t, &t->links, &t->target, t->target.parent, 0);
	if (from < 0 || fstatat(from, t->target.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return cx_tree_fail(t, from < 0 ? from : -errno, "linkat",
			"what it links to isn't there (before it, in this layer)", t->path.text);
	if (S_ISDIR(st.st_mode) || cx_whiteout_is(t, from, t->target.name, st.st_mode, st.st_rdev))
		return cx_tree_fail(t, -EINVAL, NULL, "a hard link to a directory, or to a whiteout", t->path.text);
	if (!strcmp(t->path.text, t->target.text))
		return 0;
	if (linkat(from, t->target.name, parent, t->path.name, 0) < 0
		&& !(again(t, parent) && linkat(from, t->target.name, parent, t->path.name, 0) == 0))
		return cx_tree_errno(t, "linkat", t->path.text);
	return 0;
}

static int make(struct cx_tree *t, struct archive *a, struct archive_entry *e, struct cx_attributes *attributes)
{
	mode_t type = archive_entry_filetype(e);
	int parent = *t->path.text ? parent_of(t) : t->root, r;

	if (parent < 0)
		return parent;
	switch (type) {
	case AE_IFREG: r = make_file(t, a, e, parent, attributes); break;
	case AE_IFDIR: r = make_directory(t, parent, attributes); break;
	case AE_IFLNK:
	case AE_IFCHR:
	case AE_IFBLK:
	case AE_IFIFO: r = make_special(t, e, parent, attributes); break;
	default: return cx_tree_fail(t, -EINVAL, NULL, "no kind of file that a layer may hold", t->path.text);
	}
	return r == 0 && *t->path.text ? note(t, parent) : r < 0 ? r : 0;
}

int cx_entry_unpack(struct cx_tree *t, struct archive *a, struct archive_entry *e)
{
	const char *name = archive_entry_pathname(e), *to = archive_entry_hardlink(e);
	struct cx_attributes attributes;
	int r;

	if (++t->result->entries > t->options.limits.entries)
		return cx_tree_fail(t, -E2BIG, NULL, "limits.entries allows more entries", name ? name : "");
	r = cx_path_read(t, name ? name : "", &t->path);
	if (r < 0)
		return r;
	if (!*t->path.text && (to || archive_entry_filetype(e) != AE_IFDIR))
		return cx_tree_fail(t, -EINVAL, NULL, "the root of a layer is a directory", name);
	r = cx_whiteout(t, e);
	if (r != 0)
		return r < 0 ? r : 0;
	if (to)
		return make_hardlink(t, to);
	r = cx_attributes_read(t, e, &attributes);
	if (r < 0)
		return r;
	r = make(t, a, e, &attributes);
	cx_attributes_free(&attributes);
	return r;
}
