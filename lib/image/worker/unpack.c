/* Layers into a tree: a directory of a passing name, entry after entry, and the real name only when all was as
 * promised. stream.c gives the bytes, libarchive reads them, entry.c does what they say. */
#include "image/worker/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include "base/path.h"
#include "image/worker/guard.h"
#include "image/worker/stream.h"
#include "image/worker/tree.h"

/* ---- from the stream to libarchive ---------------------------------------------------------------- */

struct reader {
	struct cx_stream *stream;
	struct cx_guard guard;
	struct cx_tree *tree;
	int failed;             /* the stream (which has the error then) */
	int refused;            /* by the guard, which is ahead of the entries: why */
	conex_error *why;
};

static ssize_t next_chunk(struct archive *a, void *self, const void **data)
{
	struct reader *r = self;
	ssize_t n = cx_stream_next(r->stream, data);

	if (n < 0)
		r->failed = (int)n;
	else if (n > 0)
		r->refused = cx_guard_look(&r->guard, *data, (size_t)n, &r->why);
	if (r->failed || r->refused) {
		archive_set_error(a, EIO, "the stream has ended");
		return -1;
	}
	return n;
}

/* A name in a PAX header that isn't ASCII can't be converted to this thread's locale, on purpose: libarchive then hands
 * over its bytes as they are, and warns. Every other warning means that something was malformed. */
static int is_acceptable(struct archive *a, int r)
{
	const char *text = archive_error_string(a);

	return r == ARCHIVE_OK || (r == ARCHIVE_WARN && text && strstr(text, "can't be converted"));
}

static int read_failed(struct cx_tree *t, struct reader *r, struct archive *a)
{
	const char *text = archive_error_string(a);
	char hint[160];
	size_t n;

	if (r->failed || r->refused)
		return -EIO;            /* unpack_one knows better */
	n = (size_t)snprintf(hint, sizeof hint, "%s", text ? text : "libarchive doesn't say why");
	for (size_t i = 0; i < n && i < sizeof hint - 1; i++)
		if (hint[i] < ' ' || hint[i] > '~')
			hint[i] = '?';
	return cx_fail(t->err, CONEX_STAGE_IMAGE, -EBADMSG, NULL, hint, "layer%s%.20s: damaged after %llu entries",
		*t->layer ? " " : "", t->layer, (unsigned long long)t->result->entries);
}

static int read_entries(struct cx_tree *t, struct reader *reader, struct archive *a, struct archive_entry *e)
{
	const void *rest;
	ssize_t n;
	int r;

	for (;;) {
		r = archive_read_next_header2(a, e);
		if (r == ARCHIVE_EOF)
			break;
		if (!is_acceptable(a, r))
			return read_failed(t, reader, a);
		r = cx_entry_unpack(t, a, e);
		if (r < 0)
			return r;
	}
	while ((n = cx_stream_next(reader->stream, &rest)) > 0)
		;       /* what follows the end counts for the digests alone */
	reader->failed = n < 0 ? (int)n : 0;
	return reader->failed;
}

static int read_archive(struct cx_tree *t, struct reader *reader)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e = archive_entry_new();
	int r = -ENOMEM;

	if (a && e && archive_read_support_format_tar(a) == ARCHIVE_OK
		&& archive_read_support_format_empty(a) == ARCHIVE_OK)
		r = archive_read_open(a, reader, NULL, next_chunk, NULL) == ARCHIVE_OK ? read_entries(t, reader, a, e)
			: read_failed(t, reader, a);
	else
		cx_fail_memory(t->err);
	archive_entry_free(e);
	archive_read_free(a);
	return r;
}

/* What is to be said of a layer whose entries came to r: if the stream or the guard was the cause, what they say. */
static int said(struct reader *reader, int r, struct cx_unpack_result *result)
{
	conex_error **err = reader->tree->err;

	if (reader->failed || (r == 0 && !reader->refused))
		return cx_stream_end(reader->stream, result, err);
	if (reader->refused) {
		conex_error_free(*err);
		*err = cx_steal_ptr(&reader->why);
		return reader->refused;
	}
	return r;
}

/* One layer onto what is there. */
static int unpack_one(struct cx_tree *t, const struct cx_packed *layer, struct cx_unpack_result *result)
{
	struct reader reader = { .guard = { .limit = t->options.limits.header }, .tree = t };
	locale_t plain = newlocale(LC_ALL_MASK, "C", 0), before;
	int r;

	*result = (struct cx_unpack_result){ .entries = 0 };
	t->result = result;
	t->layer = layer->digest ? layer->digest : layer->diff_id ? layer->diff_id : "";
	t->path.text[0] = '\0';
	if (!plain)
		return cx_fail_memory(t->err);
	r = cx_stream_open(layer, &t->options.limits, &reader.stream, t->err);
	if (r == 0) {
		before = uselocale(plain);
		r = read_archive(t, &reader);
		uselocale(before);
		r = said(&reader, r, result);
	}
	cx_guard_free(&reader.guard);
	conex_error_free(reader.why);
	cx_stream_free(reader.stream);
	freelocale(plain);
	return r;
}

/* ---- the tree ------------------------------------------------------------------------------------- */

static void default_u64(uint64_t *value, uint64_t to)
{
	*value = *value ? *value : to;
}

static void default_u32(uint32_t *value, uint32_t to)
{
	*value = *value ? *value : to;
}

static int set_options(struct cx_tree *t, const struct cx_unpack_options *o)
{
	struct cx_unpack_limits *l = &t->options.limits;

	if (o)
		t->options = *o;
	default_u64(&l->bytes, 256 * CONEX_GIB);
	default_u64(&l->ratio, 1000);
	default_u64(&l->entries, 4 * CONEX_MIB);
	default_u64(&l->memory, 256 * CONEX_MIB);
	default_u32(&l->depth, 256);
	default_u32(&l->path, PATH_MAX - 1);
	default_u32(&l->header, CONEX_MIB);
	default_u32(&l->xattrs, 256 * CONEX_KIB);
	if (l->path > PATH_MAX - 1)
		return cx_refuse(t->err, -EINVAL, "limits.path", NULL, "4,095 bytes are the most that the kernel takes");
	if (t->options.whiteouts < CX_WHITEOUT_OVERLAY || t->options.whiteouts > CX_WHITEOUT_APPLY
		|| t->options.flags > (CX_UNPACK_ROOTLESS | CX_UNPACK_SQUASH | CX_UNPACK_SYNC))
		return cx_refuse(t->err, -EINVAL, "unpack options", NULL, "a form of whiteouts, or a flag, that doesn't exist");
	return 0;
}

/* What is made in the directory is to be as if it were made anywhere: no ACLs and no group that its parent would hand
 * down. Then something that is made there tells whose it is, and our umask, which can't be asked for otherwise. */
static int make_plain(struct cx_tree *t)
{
	struct stat st;

	fremovexattr(t->root, "system.posix_acl_default");
	fremovexattr(t->root, "system.posix_acl_access");
	if (fchown(t->root, (uid_t)-1, getegid()) < 0 || fchmod(t->root, 0700) < 0 || mkdirat(t->root, "probe", 0777) < 0)
		return -1;
	if (fstatat(t->root, "probe", &st, AT_SYMLINK_NOFOLLOW) < 0 || unlinkat(t->root, "probe", AT_REMOVEDIR) < 0)
		return -1;
	t->umask = ~st.st_mode & 0777;
	t->uid = st.st_uid;
	t->gid = st.st_gid;
	return 0;
}

static int make_root(struct cx_tree *t, int parent, const char *name)
{
	if (mkdirat(parent, name, 0700) < 0)
		return cx_fail_errno(t->err, CONEX_STAGE_IMAGE, "mkdirat", NULL, "directory to unpack into");
	t->root = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (t->root < 0 || make_plain(t) < 0)
		return cx_fail_errno(t->err, CONEX_STAGE_IMAGE, "openat", NULL, "directory to unpack into");
	return 0;
}

/* Never onto something; where the file system can't promise that (NFS), nothing but an empty directory. */
static int rename_new(int parent, const char *from, const char *to)
{
	if (renameat2(parent, from, parent, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (faccessat(parent, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return -1;
	}
	return renameat(parent, from, parent, to);
}

static int fill(struct cx_tree *t, const struct cx_packed *layers, size_t count, struct cx_unpack_result *results)
{
	int r = cx_dirs_note_implied(t, t->root, "", 0) < 0 ? cx_fail_memory(t->err) : 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		t->tracks = i > 0;
		cx_dirs_forget(&t->dirs);       /* each layer notes anew which directories are its own */
		cx_dirs_forget(&t->links);
		t->inodes.count = 0;
		if (t->inodes.capacity)
			memset(t->inodes.slots, 0, t->inodes.capacity * sizeof *t->inodes.slots);
		r = unpack_one(t, &layers[i], &results[i]);
	}
	if (r == 0)
		r = cx_dirs_finish(t);
	if (r == 0 && t->options.flags & CX_UNPACK_SYNC && syncfs(t->root) < 0)
		r = cx_fail_errno(t->err, CONEX_STAGE_IMAGE, "syncfs", NULL, "what was unpacked");
	return r;
}

static int unpack_named(struct cx_tree *t, int parent, const char *name, const char *passing,
	const struct cx_packed *layers, size_t count, struct cx_unpack_result *results)
{
	int r = make_root(t, parent, passing);

	if (r == 0)
		r = fill(t, layers, count, results);
	cx_dirs_free(t);
	cx_closep(&t->root);
	free(t->inodes.slots);
	if (r == 0 && rename_new(parent, passing, name) < 0)
		r = cx_fail_errno(t->err, CONEX_STAGE_IMAGE, "renameat2", NULL, "directory %s", name);
	if (r == 0 && t->options.flags & CX_UNPACK_SYNC && fsync(parent) < 0)
		r = cx_fail_errno(t->err, CONEX_STAGE_IMAGE, "fsync", NULL, "directory of %s", name);
	if (r < 0)
		cx_remove(parent, passing);
	return r;
}

static int unpack(int parent, const char *name, const struct cx_packed *layers, size_t count,
	const struct cx_unpack_options *options, struct cx_unpack_result *ret, conex_error **err)
{
	cx_autofree struct cx_tree *t = calloc(1, sizeof *t);
	cx_autofree struct cx_unpack_result *results = calloc(count + 1, sizeof *results);
	conex_error *why = NULL;
	char passing[32];
	uint64_t random;
	int r;

	if (!t || !results)
		return cx_fail_memory(err);
	t->root = -1;
	t->err = &why;
	r = set_options(t, options);
	if (r == 0 && (!*name || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..")))
		r = cx_refuse(t->err, -EINVAL, "name", name, "a name of its own in the directory given");
	if (r == 0 && faccessat(parent, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		r = cx_fail(t->err, CONEX_STAGE_IMAGE, -EEXIST, NULL, "remove it first", "directory %s", name);
	if (r == 0 && t->options.passing && (strncmp(t->options.passing, ".unpack-", 8) || strchr(t->options.passing, '/')))
		r = cx_refuse(t->err, -EINVAL, "passing", t->options.passing, ".unpack- and what no other has");
	if (r == 0 && cx_random(&random, sizeof random) < 0)
		r = cx_fail(t->err, CONEX_STAGE_IMAGE, -EIO, "getrandom", NULL, "directory %s", name);
	if (r == 0) {
		snprintf(passing, sizeof passing, ".unpack-%016llx", (unsigned long long)random);
		r = unpack_named(t, parent, name, t->options.passing ? t->options.passing : passing, layers, count, results);
	}
	if (r == 0 && ret)
		memcpy(ret, results, count * sizeof *results);
	if (r < 0 && err) {
		conex_error_free(*err);
		*err = cx_steal_ptr(&why);
	}
	conex_error_free(why);
	return r;
}

int cx_unpack_layer(int parent, const char *name, const struct cx_packed *layer,
	const struct cx_unpack_options *options, struct cx_unpack_result *ret, conex_error **err)
{
	return unpack(parent, name, layer, 1, options, ret, err);
}

int cx_unpack_tree(int parent, const char *name, const struct cx_packed *layers, size_t count,
	const struct cx_unpack_options *options, struct cx_unpack_result *ret, conex_error **err)
{
	struct cx_unpack_options applied = { .whiteouts = CX_WHITEOUT_APPLY };

	if (options)
		applied = *options;
	applied.whiteouts = CX_WHITEOUT_APPLY;
	applied.implied = NULL;
	return unpack(parent, name, layers, count, &applied, ret, err);
}
