/* An image as tar: a layout that is written from its first byte to its last, whoever reads it, and the same bytes each
 * time. index.json comes behind the blobs: what was cut off is no layout. */
#include "image/worker/export.h"

#include <archive.h>
#include <archive_entry.h>
#include <poll.h>
#include <string.h>

struct tar {
	struct archive *a;
	int fd;
	int code;               /* what writing failed with */
};

/* ---- bytes into the descriptor ---- */

static const char *mend(int code)
{
	switch (code) {
	case -EPIPE: case -ECONNRESET: return "who reads it has ended";
	case -ENOSPC: case -EDQUOT: return "there is no room for it";
	case -EFBIG: return "the file may not become as large";
	default: return NULL;
	}
}

/* All of it: libarchive doesn't ask again for the last block's rest. The caller's descriptor may be one that doesn't
 * block. */
static la_ssize_t write_all(struct archive *a, void *self, const void *bytes, size_t size)
{
	struct tar *t = self;
	struct pollfd p = { .fd = t->fd, .events = POLLOUT };
	size_t done = 0;

	while (done < size) {
		ssize_t n = write(t->fd, (const char *)bytes + done, size - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			poll(&p, 1, -1);
		else if (errno != EINTR) {
			t->code = -errno;
			archive_set_error(a, errno, "write");
			return -1;
		}
	}
	return (la_ssize_t)size;
}

static int failed(const struct tar *t, conex_error **err)
{
	int code = t->code ? t->code : -archive_errno(t->a);

	return cx_fail(err, CONEX_STAGE_IMAGE, code < 0 ? code : -EIO, "write", mend(code), "the archive (descriptor fd)");
}

static int write_data(void *self, const void *bytes, size_t size, conex_error **err)
{
	struct tar *t = self;
	la_ssize_t n = archive_write_data(t->a, bytes, size);

	return n == (la_ssize_t)size ? 0 : failed(t, err);
}

/* ---- files ---- */

static int begin(struct tar *t, const char *name, mode_t type, uint64_t size, conex_error **err)
{
	struct archive_entry *e = archive_entry_new();
	int r;

	if (!e)
		return cx_fail_memory(err);
	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, type);
	archive_entry_set_perm(e, type == AE_IFDIR ? 0755 : 0644);
	archive_entry_set_size(e, (int64_t)size);
	archive_entry_set_mtime(e, 0, 0);
	r = archive_write_header(t->a, e);
	archive_entry_free(e);
	return r == ARCHIVE_OK ? 0 : failed(t, err);
}

static int put_text(struct tar *t, const char *name, const char *text, conex_error **err)
{
	int r = begin(t, name, AE_IFREG, strlen(text), err);

	return r < 0 ? r : write_data(t, text, strlen(text), err);
}

/* json: taken over. */
static int put_json(struct tar *t, const char *name, json_t *json, conex_error **err)
{
	cx_autofree char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	return text ? put_text(t, name, text, err) : cx_fail_memory(err);
}

static int put_blobs(struct cx_export *e, struct tar *t, conex_error **err)
{
	const struct cx_sink sink = { write_data, t };
	int algorithm = CX_DIGEST_NONE, r = begin(t, "blobs/", AE_IFDIR, 0, err);

	for (size_t i = 0; i < e->count && r == 0; i++) {
		const struct cx_piece *p = &e->pieces[i];
		char name[8 + CX_DIGEST_TEXT] = "blobs/";

		if (p->digest.algorithm != algorithm)
			r = begin(t, p->digest.algorithm == CX_DIGEST_SHA512 ? "blobs/sha512/" : "blobs/sha256/", AE_IFDIR, 0, err);
		algorithm = p->digest.algorithm;
		cx_digest_path(&p->digest, name + strlen(name));
		if (r == 0)
			r = begin(t, name, AE_IFREG, p->size, err);
		if (r == 0)
			r = cx_export_copy(e, p, &sink, err);
	}
	return r;
}

static int put_all(struct cx_export *e, struct tar *t, conex_error **err)
{
	int r = put_text(t, "oci-layout", CX_EXPORT_LAYOUT, err);

	if (r == 0)
		r = put_blobs(e, t, err);
	if (r == 0)
		r = put_json(t, "index.json", json_pack("{s:i, s:s, s:[O]}", "schemaVersion", 2, "mediaType", CX_MEDIA_OCI_INDEX,
			"manifests", e->line), err);
	if (r == 0 && e->docker)
		r = put_json(t, "manifest.json", json_incref(e->docker), err);
	if (r == 0 && archive_write_close(t->a) != ARCHIVE_OK)
		r = failed(t, err);
	return r;
}

/* ustar's headers, and PAX's before files of 8 GiB and more. */
int cx_export_tar(struct cx_export *e, int fd, conex_error **err)
{
	struct tar t = { .a = archive_write_new(), .fd = fd };
	int r;

	if (!t.a)
		return cx_fail_memory(err);
	if (archive_write_set_format_pax_restricted(t.a) != ARCHIVE_OK || archive_write_set_bytes_per_block(t.a, 128 * 1024) != ARCHIVE_OK
	    || archive_write_set_bytes_in_last_block(t.a, 10240) != ARCHIVE_OK
	    || archive_write_open(t.a, &t, NULL, write_all, NULL) != ARCHIVE_OK)
		r = failed(&t, err);
	else
		r = put_all(e, &t, err);
	if (r < 0)
		archive_write_fail(t.a);        /* or it would write an end */
	archive_write_free(t.a);
	return r;
}
