/* Archives of images, and layouts' directories: what lies in them, brought into the store as far as it is blobs. Names
 * are a stranger's and are never opened; they are only compared. */
#include "image/worker/tasks.h"
#include "image/document.h"
#include "image/refuse.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { ENTRIES_MAX = 100000, NAME_MAX_ = 4096, DOCUMENTS_MAX = 64 << 20 };
/* What is in it is packed already: beyond so much, a byte of it doesn't become more than so many. */
enum { RATIO = 1000, RATIO_FROM = 256 << 20 };

struct reading {
	struct cx_worker *w;
	struct cx_store_lease *l;
	struct cx_archive *to;
	size_t documents;       /* bytes of those in memory */
	struct archive *tar;    /* not of a directory */
	uint64_t plain;         /* what came out of it, holes included */
};

static int refuse(conex_error **err, int code, const char *name, const char *mend)
{
	return cx_image_refuse(err, code, "archive", name, "%s", mend);
}

static struct cx_entry *entry_new(struct reading *r, const char *name, conex_error **err)
{
	struct cx_archive *a = r->to;
	struct cx_entry *e;

	while (!strncmp(name, "./", 2))
		name += 2;
	if (a->count == ENTRIES_MAX || strlen(name) >= NAME_MAX_) {
		refuse(err, -E2BIG, name, "at most 100,000 files with names of 4,095 bytes");
		return NULL;
	}
	if (a->count == a->room) {
		size_t room = a->room ? 2 * a->room : 64;
		struct cx_entry *larger = realloc(a->entries, room * sizeof *larger);

		if (!larger) {
			cx_fail_memory(err);
			return NULL;
		}
		a->entries = larger;
		a->room = room;
	}
	e = &a->entries[a->count];
	*e = (struct cx_entry){ .name = strdup(name) };
	if (!e->name) {
		cx_fail_memory(err);
		return NULL;
	}
	a->count++;
	return e;
}

/* ---- one file ---- */

/* "blobs/sha256/ab..." */
static int named_digest(const char *name, struct cx_digest *ret)
{
	char folder[16];
	const char *slash;

	if (strncmp(name, "blobs/", 6) || !(slash = strchr(name + 6, '/')) || (size_t)(slash - name - 6) >= sizeof folder)
		return 0;
	memcpy(folder, name + 6, (size_t)(slash - name - 6));
	folder[slash - name - 6] = '\0';
	return cx_digest_from_path(folder, slash + 1, ret) == 0;
}

/* Documents that say what is what; in Docker's old archives configs are beside them. */
static int is_document(const char *name, uint64_t size)
{
	size_t n = strlen(name);

	return size <= CX_DOCUMENT_MAX && (!strcmp(name, "oci-layout") || (n > 5 && !strcmp(name + n - 5, ".json")));
}

static int keep_document(struct reading *r, struct cx_entry *e, const struct cx_source *from, conex_error **err)
{
	size_t at = 0;
	ssize_t n = 1;

	r->documents += e->size;
	if (r->documents > DOCUMENTS_MAX)
		return refuse(err, -E2BIG, e->name, "at most 64 MiB of documents");
	e->text = calloc(1, e->size + 1);
	if (!e->text)
		return cx_fail_memory(err);
	while (at < e->size && (n = from->read(from->self, e->text + at, e->size - at, err)) > 0)
		at += (size_t)n;
	if (n < 0)
		return (int)n;
	return at == e->size ? 0 : refuse(err, -EBADMSG, e->name, "it is cut off");
}

static int take_file(struct reading *r, const char *name, uint64_t size, const struct cx_source *from, conex_error **err)
{
	struct cx_entry *e = entry_new(r, name, err);

	if (!e)
		return err && *err ? conex_error_code(*err) : -ENOMEM;
	e->size = size;
	if (named_digest(e->name, &e->digest))
		return cx_blob_bring(r->w, r->l, &e->digest, size, from, err);
	if (is_document(e->name, size))
		return keep_document(r, e, from, err);
	return cx_blob_take(r->w, r->l, size, from, &e->digest, err);
}

/* Docker's old archives have a layer once, and links to it: "../ID/layer.tar", from where the link lies. */
static int take_link(struct reading *r, const char *name, const char *target, conex_error **err)
{
	struct cx_entry *e = entry_new(r, name, err);
	const char *slash = e ? strrchr(e->name, '/') : NULL;

	if (!e)
		return err && *err ? conex_error_code(*err) : -ENOMEM;
	if (slash && !strncmp(target, "../", 3) && strchr(e->name, '/') == slash)
		e->link = strdup(target + 3);
	else
		e->link = strdup(target);
	return e->link ? 0 : cx_fail_memory(err);
}

/* ---- tar ---- */

static int tar_failed(struct archive *a, conex_error **err)
{
	const char *why = archive_error_string(a);
	cx_autostr text = { .data = NULL };     /* it may quote names */

	cx_image_quote(&text, why ? why : "", 200);
	return cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL, "it has to be an OCI layout or what docker save writes, as tar",
		"the archive can't be read: %s", text.data ? text.data : "");
}

static ssize_t read_tar(void *self, void *to, size_t size, conex_error **err)
{
	struct reading *r = self;
	la_ssize_t n;

	while ((n = archive_read_data(r->tar, to, size)) == ARCHIVE_RETRY)
		;
	if (n < 0)
		return tar_failed(r->tar, err);
	r->plain += (uint64_t)n;
	if (r->plain > RATIO_FROM && r->plain / RATIO > (uint64_t)archive_filter_bytes(r->tar, -1))
		return refuse(err, -E2BIG, NULL, "one byte of it becomes more than a thousand");
	return n;
}

static int take_entry(struct reading *r, struct archive_entry *entry, conex_error **err)
{
	const char *name = archive_entry_pathname(entry), *link = archive_entry_symlink(entry);
	const char *hard = archive_entry_hardlink(entry);
	struct cx_source from = { read_tar, r };
	int64_t size = archive_entry_size(entry);

	if (!name || !*name)
		return refuse(err, -EBADMSG, NULL, "a file without a name");
	if (hard)
		return take_link(r, name, hard, err);
	if (archive_entry_filetype(entry) == AE_IFLNK)
		return take_link(r, name, link ? link : "", err);
	if (archive_entry_filetype(entry) != AE_IFREG)
		return 0;
	return size < 0 || size > CX_LAYER_BYTES_MAX ? refuse(err, -EFBIG, name, "files of 0 to 1 TiB")
		: take_file(r, name, (uint64_t)size, &from, err);
}

static int read_entries(struct reading *r, struct archive *a, int fd, conex_error **err)
{
	struct archive_entry *entry;
	int got, result = 0;

	/* not all that libarchive has: some are programs, which it would execute */
	if (archive_read_support_filter_gzip(a) < ARCHIVE_WARN || archive_read_support_filter_bzip2(a) < ARCHIVE_WARN
	    || archive_read_support_filter_xz(a) < ARCHIVE_WARN || archive_read_support_filter_zstd(a) < ARCHIVE_WARN
	    || archive_read_support_format_tar(a) != ARCHIVE_OK || archive_read_open_fd(a, fd, 256 * 1024) != ARCHIVE_OK)
		return tar_failed(a, err);
	while (result == 0 && (got = archive_read_next_header(a, &entry)) != ARCHIVE_EOF)
		result = got == ARCHIVE_OK || got == ARCHIVE_WARN ? take_entry(r, entry, err) : tar_failed(a, err);
	return result;
}

static int read_archive(struct reading *r, int fd, conex_error **err)
{
	struct archive *a = archive_read_new();
	int result;

	r->tar = a;
	result = a ? read_entries(r, a, fd, err) : cx_fail_memory(err);

	archive_read_free(a);
	return result;
}

/* ---- a directory ---- */

static ssize_t read_fd(void *self, void *to, size_t size, conex_error **err)
{
	ssize_t n;

	do
		n = read(*(int *)self, to, size);
	while (n < 0 && errno == EINTR);
	return n < 0 ? cx_fail_errno(err, CONEX_STAGE_IMAGE, "read", NULL, "the layout") : n;
}

static int take_from(struct reading *r, int dir, const char *path, conex_error **err)
{
	cx_autoclose int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct cx_source from = { read_fd, &fd };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return cx_fail_errno(err, CONEX_STAGE_IMAGE, "open", NULL, "%.200s of the layout", path);
	return S_ISREG(st.st_mode) ? take_file(r, path, (uint64_t)st.st_size, &from, err) : 0;
}

static int take_blobs(struct reading *r, int dir, const char *folder, conex_error **err)
{
	int fd = openat(dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), result = 0;
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!list)
		return errno == ENOENT ? 0 : cx_fail_errno(err, CONEX_STAGE_IMAGE, "open", NULL, "%s of the layout", folder);
	while (result == 0 && (e = readdir(list))) {
		char path[512];
		struct cx_digest digest;

		snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
		if (named_digest(path, &digest))
			result = take_from(r, dir, path, err);
	}
	closedir(list);
	return result;
}

static int read_directory(struct reading *r, int dir, conex_error **err)
{
	int result = take_from(r, dir, "index.json", err);

	if (result == 0)
		result = take_blobs(r, dir, "blobs/sha256", err);
	return result < 0 ? result : take_blobs(r, dir, "blobs/sha512", err);
}

/* ---- all of it ---- */

int cx_archive_read(struct cx_worker *w, struct cx_store_lease *l, int fd, struct cx_archive *ret, conex_error **err)
{
	struct reading r = { .w = w, .l = l, .to = ret };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return cx_fail_errno(err, CONEX_STAGE_IMAGE, "fstat", NULL, "the archive");
	if (S_ISDIR(st.st_mode))
		return read_directory(&r, fd, err);
	w->total = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	return read_archive(&r, fd, err);
}

const struct cx_entry *cx_archive_find(const struct cx_archive *a, const char *name)
{
	for (int links = 0; links < 8; links++) {
		const struct cx_entry *e = NULL;

		for (size_t i = a->count; i-- > 0 && !e;)       /* of two with one name the last counts, as for tar */
			if (!strcmp(a->entries[i].name, name))
				e = &a->entries[i];
		if (!e || !e->link)
			return e;
		name = e->link;
	}
	return NULL;
}

void cx_archive_clear(struct cx_archive *a)
{
	for (size_t i = 0; i < a->count; i++) {
		free(a->entries[i].name);
		free(a->entries[i].link);
		free(a->entries[i].text);
	}
	free(a->entries);
	*a = (struct cx_archive){ NULL, 0, 0 };
}
