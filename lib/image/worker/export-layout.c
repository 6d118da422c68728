/* An image into a layout's directory, a new one or one that has others. index.json is what counts: it is replaced when all
 * that it leads to is there. Who writes has the directory locked (flock) against others of us; on failure what was added
 * goes again. */
#include "image/document.h"
#include "image/worker/export.h"
#include "base/path.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* What is being written where no file without a name can be had, or one is in the way. Locked, so there is only one. */
#define PASSING ".conex-export"
enum { SHA256, SHA512, FOLDERS };
static const char *const folders[FOLDERS] = { "blobs/sha256", "blobs/sha512" };

struct layout {
	struct cx_export *e;
	int root, blobs, folder[FOLDERS];       /* directories; -1: not needed yet */
	int made_blobs, made[FOLDERS], made_version;    /* by us */
	char *added;                            /* of each piece: by us */
	json_t *index;                          /* what was there, or a new one */
};

static int fail(int code, const char *call, const char *path, conex_error **err)
{
	return cx_fail(err, CONEX_STAGE_IMAGE, code, call, code == -ENOSPC || code == -EDQUOT ? "there is no room for it"
		: code == -ENOTDIR ? "it has to be a directory of the layout's own, no link" : NULL, "the layout's %s", path);
}
#define fail_errno(call, path, err) fail(errno ? -errno : -EIO, call, path, err)

/* ---- what is there ---- */

/* *ret stays as it is where there is none. */
static int load(const struct layout *l, const char *name, json_t **ret, conex_error **err)
{
	cx_autofree char *text = NULL;
	struct stat st;
	ssize_t n;

	if (fstatat(l->root, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail_errno("stat", name, err);
	n = S_ISREG(st.st_mode) ? cx_file_load(l->root, name, CX_DOCUMENT_MAX, &text) : -EINVAL;
	return n < 0 ? fail((int)n, "read", name, err) : cx_document_parse(text, (size_t)n, name, ret, err);
}

static int check_version(const struct layout *l, int *ret_is_there, conex_error **err)
{
	json_t *root = NULL;
	int r = load(l, "oci-layout", &root, err);
	const char *version = json_string_value(json_object_get(root, "imageLayoutVersion"));

	if (r == 0 && root && (!version || strncmp(version, "1.", 2)))
		r = cx_document_refuse(err, -EPROTONOSUPPORT, "oci-layout", version, "version 1 is what is known", "imageLayoutVersion");
	*ret_is_there = root != NULL;
	json_decref(root);
	return r;
}

static int load_index(struct layout *l, conex_error **err)
{
	int r = load(l, "index.json", &l->index, err);

	if (r == 0 && l->index && !json_is_array(json_object_get(l->index, "manifests")))
		return cx_document_refuse(err, -EINVAL, "index.json", NULL, "a list", "manifests");
	if (r == 0 && !l->index)
		l->index = json_pack("{s:i, s:s, s:[]}", "schemaVersion", 2, "mediaType", CX_MEDIA_OCI_INDEX, "manifests");
	return r < 0 || l->index ? r : cx_fail_memory(err);
}

/* Another one of this name: the whole name counts; where there is none, what other tools have as ref.name. */
static int is_same_name(const struct layout *l, const json_t *line)
{
	static const char *const keys[] = { "io.containerd.image.name", "org.opencontainers.image.ref.name" };
	const json_t *theirs = json_object_get(line, "annotations"), *ours = json_object_get(l->e->line, "annotations");
	const char *whole = json_string_value(json_object_get(theirs, keys[0]));
	const char *name = json_string_value(json_object_get(theirs, keys[1]));
	char familiar[CX_REFERENCE_TEXT];

	if (whole)
		return !strcmp(whole, l->e->name);
	cx_reference_familiar(&l->e->place.name, familiar);
	return name && (!strcmp(name, l->e->name) || !strcmp(name, familiar)
		|| !strcmp(name, json_string_value(json_object_get(ours, keys[1]))));
}

static int change_index(struct layout *l, conex_error **err)
{
	json_t *lines = json_object_get(l->index, "manifests");

	for (size_t i = json_array_size(lines); i-- > 0;)
		if (is_same_name(l, json_array_get(lines, i)))
			json_array_remove(lines, i);
	return json_array_append(lines, l->e->line) < 0 ? cx_fail_memory(err) : 0;
}

/* ---- files ---- */

static int write_all(void *self, const void *bytes, size_t size, conex_error **err)
{
	const char *at = bytes;

	while (size) {
		ssize_t n = write(*(int *)self, at, size);

		if (n < 0 && errno != EINTR)
			return fail_errno("write", "files", err);
		if (n > 0) {
			at += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

/* A file that nobody sees before it is named. *ret_named: PASSING. */
static int open_new(const struct layout *l, int dir, int *ret_named, conex_error **err)
{
	int fd = openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	*ret_named = fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL);
	if (*ret_named) {
		unlinkat(l->root, PASSING, 0);
		fd = openat(l->root, PASSING, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	}
	return fd < 0 ? fail_errno("open", "files", err) : fd;
}

/* What is written is called `name`, whatever was before. */
static int name_it(const struct layout *l, int fd, int named, int dir, const char *name, conex_error **err)
{
	char path[32];

	if (fchmod(fd, 0644) < 0 || fsync(fd) < 0)
		return fail_errno("fsync", name, err);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (!named && linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	if (!named) {
		if (errno != EEXIST)
			return fail_errno("linkat", name, err);
		unlinkat(l->root, PASSING, 0);
		if (linkat(AT_FDCWD, path, l->root, PASSING, AT_SYMLINK_FOLLOW) < 0)
			return fail_errno("linkat", name, err);
	}
	if (renameat(l->root, PASSING, dir, name) == 0)
		return 0;
	fail_errno("rename", name, err);
	unlinkat(l->root, PASSING, 0);
	return err && *err ? conex_error_code(*err) : -EIO;
}

static int put_text(const struct layout *l, const char *name, const char *text, conex_error **err)
{
	int named, r;
	cx_autoclose int fd = open_new(l, l->root, &named, err);

	if (fd < 0)
		return fd;
	r = write_all(&fd, text, strlen(text), err);
	if (r == 0)
		return name_it(l, fd, named, l->root, name, err);
	if (named)
		unlinkat(l->root, PASSING, 0);
	return r;
}

/* ---- blobs ---- */

/* Is what is there of this name the very bytes? */
static int is_there(const struct cx_piece *p, int dir, const char *name)
{
	cx_autoclose int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == p->size
		&& cx_export_is(p, fd);
}

static int open_folder(int parent, const char *path, int *made, conex_error **err)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	int fd;

	*made = mkdirat(parent, name, 0755) == 0;
	if (!*made && errno != EEXIST)
		return fail_errno("mkdir", path, err);
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? fail_errno("open", path, err) : fd;
}

static int put_blob(struct layout *l, size_t i, conex_error **err)
{
	const struct cx_piece *p = &l->e->pieces[i];
	int f = p->digest.algorithm == CX_DIGEST_SHA512 ? SHA512 : SHA256, named, r;
	char path[CX_DIGEST_TEXT], *name;
	cx_autoclose int fd = -1;
	const struct cx_sink sink = { write_all, &fd };

	if (l->folder[f] < 0 && (l->folder[f] = open_folder(l->blobs, folders[f], &l->made[f], err)) < 0)
		return l->folder[f];
	cx_digest_path(&p->digest, path);
	name = strchr(path, '/') + 1;
	if (is_there(p, l->folder[f], name)) {
		__atomic_add_fetch(&l->e->w->done, p->size, __ATOMIC_RELAXED);
		return 0;
	}
	fd = open_new(l, l->folder[f], &named, err);
	r = fd < 0 ? fd : cx_export_copy(l->e, p, &sink, err);
	if (r == 0)
		r = name_it(l, fd, named, l->folder[f], name, err);
	else if (fd >= 0 && named)
		unlinkat(l->root, PASSING, 0);
	l->added[i] = r == 0;
	return r;
}

/* ---- all of it ---- */

static int begin(struct layout *l, int dir, conex_error **err)
{
	int has_version, r;

	l->root = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->root < 0)
		return fail_errno("open", "directory", err);
	while (flock(l->root, LOCK_EX) < 0 && errno == EINTR)
		;                               /* NFS knows no locks of directories: there one export at a time is the user's care */
	unlinkat(l->root, PASSING, 0);          /* a dead one's */
	r = check_version(l, &has_version, err);
	if (r == 0)
		r = load_index(l, err);
	if (r == 0)
		r = change_index(l, err);
	if (r == 0 && !has_version) {
		r = put_text(l, "oci-layout", CX_EXPORT_LAYOUT, err);
		l->made_version = r == 0;
	}
	if (r == 0 && (l->blobs = open_folder(l->root, "blobs", &l->made_blobs, err)) < 0)
		r = l->blobs;
	return r;
}

static int finish(struct layout *l, conex_error **err)
{
	cx_autofree char *text = json_dumps(l->index, JSON_COMPACT);
	int r = text ? 0 : cx_fail_memory(err);

	for (int f = 0; f < FOLDERS && r == 0; f++)
		if (l->folder[f] >= 0 && fsync(l->folder[f]) < 0)
			r = fail_errno("fsync", folders[f], err);
	if (r == 0 && fsync(l->blobs) < 0)
		r = fail_errno("fsync", "blobs", err);
	if (r == 0)
		r = put_text(l, "index.json", text, err);
	if (r == 0)
		fsync(l->root);         /* what it leads to is on the disk; if this one isn't, it is as before */
	return r;
}

static void take_back(struct layout *l)
{
	for (size_t i = 0; i < l->e->count; i++) {
		char path[CX_DIGEST_TEXT];

		cx_digest_path(&l->e->pieces[i].digest, path);
		if (l->added[i])
			unlinkat(l->blobs, path, 0);
	}
	for (int f = 0; f < FOLDERS; f++)
		if (l->made[f])
			unlinkat(l->root, folders[f], AT_REMOVEDIR);
	if (l->made_blobs)
		unlinkat(l->root, "blobs", AT_REMOVEDIR);
	if (l->made_version)
		unlinkat(l->root, "oci-layout", 0);
}

int cx_export_layout(struct cx_export *e, int dir, conex_error **err)
{
	cx_autofree char *added = calloc(e->count + 1, 1);
	struct layout l = { .e = e, .root = -1, .blobs = -1, .folder = { -1, -1 }, .added = added };
	int r = added ? begin(&l, dir, err) : cx_fail_memory(err);

	for (size_t i = 0; i < e->count && r == 0; i++)
		r = put_blob(&l, i, err);
	if (r == 0)
		r = finish(&l, err);
	if (r < 0 && l.root >= 0 && added)
		take_back(&l);
	json_decref(l.index);
	for (int f = 0; f < FOLDERS; f++)
		cx_closep(&l.folder[f]);
	cx_closep(&l.blobs);
	cx_closep(&l.root);
	return r;
}
