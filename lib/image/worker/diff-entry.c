/* One inode of an upper directory as an entry of a tar. Xattrs that are kept are those that unpacking keeps (xattrs.c):
 * not overlay's own, nor what is the machine's policy (SELinux's label, EVM's seal). */
#include "image/worker/diff.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

enum { PIECE = 256 * 1024, LIST = 65536, SMALL_HOLE = 4096 };

/* ---- extended attributes ---- */

struct attributes {             /* of an open file, or by a way through /proc that doesn't follow a link at its end */
	int fd;
	char path[64 + NAME_MAX];
};

static ssize_t list(const struct attributes *a, char *to, size_t size)
{
	return a->fd >= 0 ? flistxattr(a->fd, to, size) : llistxattr(a->path, to, size);
}

static ssize_t get(const struct attributes *a, const char *name, void *to, size_t size)
{
	return a->fd >= 0 ? fgetxattr(a->fd, name, to, size) : lgetxattr(a->path, name, to, size);
}

static int starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static int is_kept(const char *name)
{
	if (starts(name, "trusted.overlay.") || starts(name, "user.overlay.") || !strcmp(name, "security.selinux")
		|| !strcmp(name, "security.evm"))
		return 0;
	return starts(name, "user.") || starts(name, "trusted.") || starts(name, "security.")
		|| !strcmp(name, "system.posix_acl_access") || !strcmp(name, "system.posix_acl_default");
}

static int order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Those that are kept, sorted; how many. */
static size_t choose(char *text, size_t size, char **names)
{
	size_t n = 0;

	for (char *at = text; at < text + size; at += strlen(at) + 1)
		if (is_kept(at))
			names[n++] = at;
	qsort(names, n, sizeof *names, order);
	return n;
}

static int add_attribute(struct cx_diff *d, const struct attributes *a, const char *name, struct archive_entry *e,
	size_t *total)
{
	cx_autofree char *value = malloc(XATTR_SIZE_MAX);
	ssize_t n;

	if (!value)
		return cx_fail_memory(d->err);
	if (strchr(name, '='))
		return cx_diff_fail(d, -EINVAL, NULL, "the name of an extended attribute has a =, which tar can't hold: remove it");
	n = get(a, name, value, XATTR_SIZE_MAX);
	if (n < 0)
		return errno == ENODATA ? cx_diff_changed(d) : cx_diff_errno(d, "getxattr");
	*total += strlen(name) + (size_t)n;
	if (*total > CX_DIFF_XATTRS)
		return cx_diff_fail(d, -E2BIG, NULL, "its extended attributes have more than 768 KiB");
	archive_entry_xattr_add_entry(e, name, value, (size_t)n);
	return 0;
}

static int add_attributes(struct cx_diff *d, const struct attributes *a, struct archive_entry *e)
{
	cx_autofree char *text = malloc(LIST), **names = NULL;
	size_t total = 0, n;
	ssize_t size;
	int r = 0;

	if (!text)
		return cx_fail_memory(d->err);
	size = list(a, text, LIST);
	if (size < 0)
		return errno == EOPNOTSUPP ? 0 : cx_diff_errno(d, "listxattr");
	names = malloc(((size_t)size / 2 + 1) * sizeof *names);
	if (!names)
		return cx_fail_memory(d->err);
	n = choose(text, (size_t)size, names);
	for (size_t i = n; i-- > 0 && r == 0;)  /* libarchive turns them round */
		r = add_attribute(d, a, names[i], e, &total);
	return r;
}

/* ---- entries ---- */

/* Neither names of users, nor access times, which reading changes, nor anything of this file system. */
static struct archive_entry *plain(const char *path, const struct stat *st)
{
	struct archive_entry *e = archive_entry_new();

	if (!e)
		return NULL;
	archive_entry_copy_pathname(e, path);
	archive_entry_set_filetype(e, st->st_mode & S_IFMT);
	archive_entry_set_perm(e, st->st_mode & 07777);
	archive_entry_set_uid(e, st->st_uid);
	archive_entry_set_gid(e, st->st_gid);
	archive_entry_set_mtime(e, st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	archive_entry_set_size(e, 0);
	return e;
}

int cx_diff_describe(struct cx_diff *d, const struct stat *st, int fd, int dir, const char *name, struct archive_entry **ret)
{
	struct attributes a = { .fd = fd };
	struct archive_entry *e = plain(S_ISDIR(st->st_mode) && !d->size ? "./" : d->path, st);
	int r;

	if (!e)
		return cx_fail_memory(d->err);
	if (dir >= 0) {
		a.fd = -1;
		snprintf(a.path, sizeof a.path, "/proc/self/fd/%d/%s", dir, name);
	}
	r = add_attributes(d, &a, e);
	if (r < 0)
		archive_entry_free(e);
	else
		*ret = e;
	return r;
}

/* libarchive warns of names that aren't ASCII, and writes them as they are. */
static int is_ascii(const char *text)
{
	while (text && *text)
		if (*text++ & 0x80)
			return 0;
	return 1;
}

int cx_diff_put(struct cx_diff *d, struct archive_entry *e)
{
	int r = archive_write_header(d->pack->tar, e);

	d->entries++;
	if (r == ARCHIVE_OK || (r == ARCHIVE_WARN && !(is_ascii(archive_entry_pathname(e)) && is_ascii(archive_entry_symlink(e))
		&& is_ascii(archive_entry_hardlink(e)))))
		return 0;
	return cx_pack_fail(d->pack, archive_entry_pathname(e), d->err);
}

/* Nothing that depends on when it is made, or where. */
int cx_diff_put_whiteout(struct cx_diff *d, const char *name)
{
	const struct stat st = { .st_mode = S_IFREG };
	char path[PATH_MAX + 8];
	struct archive_entry *e;
	int n, r;

	if (name)
		n = snprintf(path, sizeof path, "%.*s.wh.%s", (int)(d->size - strlen(name)), d->path, name);
	else
		n = snprintf(path, sizeof path, "%s%s.wh..wh..opq", d->path, d->size ? "/" : "");
	if (n >= PATH_MAX)
		return cx_diff_fail(d, -ENAMETOOLONG, NULL, "with .wh. in front its path has more than 4,095 bytes");
	e = plain(path, &st);
	if (!e)
		return cx_fail_memory(d->err);
	r = cx_diff_put(d, e);
	archive_entry_free(e);
	return r;
}

int cx_diff_put_special(struct cx_diff *d, const struct stat *st, int fd, int dir, const char *name)
{
	char target[PATH_MAX];
	struct archive_entry *e;
	int r = cx_diff_describe(d, st, -1, dir, name, &e);
	ssize_t n = 0;

	if (r < 0)
		return r;
	if (S_ISLNK(st->st_mode) && (n = readlinkat(fd, "", target, sizeof target)) >= (ssize_t)sizeof target)
		r = cx_diff_fail(d, -ENAMETOOLONG, NULL, "a layer's links have targets of at most 4,095 bytes");
	else if (n < 0)
		r = cx_diff_errno(d, "readlinkat");
	if (r == 0 && S_ISLNK(st->st_mode)) {
		target[n] = '\0';
		archive_entry_copy_symlink(e, target);
	} else if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		archive_entry_set_rdevmajor(e, major(st->st_rdev));
		archive_entry_set_rdevminor(e, minor(st->st_rdev));
	}
	if (r == 0)
		r = cx_diff_put(d, e);
	archive_entry_free(e);
	return r;
}

/* ---- hard links ---- */

struct link { ino_t ino; char path[]; };

static int by_inode(const void *a, const void *b)
{
	const struct link *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static int note_link(struct cx_diff *d, const struct stat *st)
{
	struct link *new = malloc(sizeof *new + d->size + 1);
	int r = cx_diff_use(d, sizeof *new + d->size + 4 * sizeof(void *));

	if (r == 0 && new) {
		new->ino = st->st_ino;
		memcpy(new->path, d->path, d->size + 1);
		if (tsearch(new, &d->links, by_inode))
			return 0;
	}
	free(new);
	return r < 0 ? r : cx_fail_memory(d->err);
}

int cx_diff_put_link(struct cx_diff *d, const struct stat *st)
{
	const struct link key = { .ino = st->st_ino };
	void *found = tfind(&key, &d->links, by_inode);
	struct archive_entry *e;
	int r;

	if (!found)
		return note_link(d, st);
	e = plain(d->path, st);
	if (!e)
		return cx_fail_memory(d->err);
	archive_entry_copy_hardlink(e, (*(struct link **)found)->path);
	r = cx_diff_put(d, e);
	archive_entry_free(e);
	return r < 0 ? r : 1;
}

/* ---- files ---- */

/* The pieces that aren't holes, as the file system tells. Where it can't there are none. */
static int map_holes(struct cx_diff *d, struct archive_entry *e, const struct stat *st, int fd)
{
	off_t at = 0, end = 0;
	int pieces = 0;

	if (st->st_size < SMALL_HOLE || (off_t)st->st_blocks * 512 >= st->st_size)
		return 0;
	while (at < st->st_size && (at = lseek(fd, end, SEEK_DATA)) >= 0) {
		end = lseek(fd, at, SEEK_HOLE);
		if (end < 0)
			return cx_diff_changed(d);
		if (end > st->st_size)
			end = st->st_size;
		if (at == 0 && end == st->st_size)
			return 0;
		archive_entry_sparse_add_entry(e, at, end - at);
		if (cx_diff_use(d, 64) < 0)
			return -E2BIG;
		pieces++;
		at = end;
	}
	if (at < 0 && errno != ENXIO)
		return pieces ? cx_diff_changed(d) : 0;
	if (!pieces)
		archive_entry_sparse_add_entry(e, 0, 0);
	return 1;
}

/* libarchive takes holes as zeros, and looks at none: these pages are never there. */
static int put_hole(struct cx_diff *d, off_t size)
{
	if (!d->zeros) {
		void *zeros = mmap(NULL, CX_DIFF_ZEROS, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (zeros == MAP_FAILED)
			return cx_fail_memory(d->err);
		d->zeros = zeros;
	}
	while (size > 0) {
		la_ssize_t n = archive_write_data(d->pack->tar, d->zeros, size < CX_DIFF_ZEROS ? (size_t)size : CX_DIFF_ZEROS);

		if (n <= 0)
			return cx_pack_fail(d->pack, d->path, d->err);
		size -= n;
	}
	return 0;
}

static int put_piece(struct cx_diff *d, int fd, off_t at, off_t end)
{
	cx_autofree char *piece = malloc(PIECE);

	if (!piece)
		return cx_fail_memory(d->err);
	while (at < end) {
		ssize_t n = pread(fd, piece, end - at < PIECE ? (size_t)(end - at) : PIECE, at);

		if (n <= 0)
			return n < 0 ? cx_diff_errno(d, "read") : cx_diff_changed(d);
		if (archive_write_data(d->pack->tar, piece, (size_t)n) != n)
			return cx_pack_fail(d->pack, d->path, d->err);
		at += n;
	}
	return 0;
}

static int put_contents(struct cx_diff *d, const struct archive_entry *e, const struct stat *st, int fd, int is_sparse)
{
	int64_t offset, size;
	off_t at = 0;
	int r = 0;

	if (!is_sparse)
		return put_piece(d, fd, 0, st->st_size);
	archive_entry_sparse_reset((struct archive_entry *)e);
	while (r == 0 && archive_entry_sparse_next((struct archive_entry *)e, &offset, &size) == ARCHIVE_OK) {
		r = put_hole(d, offset - at);
		if (r == 0)
			r = put_piece(d, fd, offset, offset + size);
		at = offset + size;
	}
	return r < 0 ? r : put_hole(d, st->st_size - at);
}

int cx_diff_put_file(struct cx_diff *d, const struct stat *st, int fd)
{
	uint64_t before = d->memory;
	struct archive_entry *e;
	struct stat now;
	int sparse = 0, r = cx_diff_describe(d, st, fd, -1, NULL, &e);

	if (r < 0)
		return r;
	archive_entry_set_size(e, st->st_size);
	r = sparse = map_holes(d, e, st, fd);
	if (r >= 0)
		r = cx_diff_put(d, e);
	if (r == 0)
		r = put_contents(d, e, st, fd, sparse);
	if (r == 0 && fstat(fd, &now) < 0)
		r = cx_diff_errno(d, "fstat");
	if (r == 0)
		r = cx_diff_look(d, &now);
	archive_entry_free(e);
	d->memory = before;
	return r;
}
