/* From tar to the packed layer, one pass. */
#include "image/worker/pack.h"
#include "image/refuse.h"
#include "image/worker/compress.h"
#include "image/worker/hash.h"

#include <archive.h>

enum { PIECE = 256 * 1024 };    /* always, so that the compressor sees the same ones */

static int put(void *self, const void *bytes, size_t size)
{
	struct cx_pack *p = self;
	const char *from = bytes;

	cx_hash_add(p->packed, bytes, size);
	p->size += size;
	while (size) {
		ssize_t n = write(p->fd, from, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return cx_fail(&p->error, CONEX_STAGE_IMAGE, n < 0 ? -errno : -ENOSPC, "write",
				n < 0 && (errno == ENOSPC || errno == EDQUOT) ? "make room, or collect what the store doesn't need" : NULL,
				"the new layer");
		from += n;
		size -= (size_t)n;
	}
	return 0;
}

static la_ssize_t take(struct archive *a, void *self, const void *bytes, size_t size)
{
	struct cx_pack *p = self;
	int r;

	cx_hash_add(p->plain, bytes, size);
	r = cx_compress_add(p->gzip, bytes, size, 0, put, p);
	if (r < 0) {
		if (!p->error)
			cx_fail(&p->error, CONEX_STAGE_IMAGE, r, "deflate", NULL, "the new layer");
		archive_set_error(a, -r, "writing");
		return -1;
	}
	__atomic_add_fetch(&p->worker->done, size, __ATOMIC_RELAXED);
	cx_worker_tell(p->worker);
	return (la_ssize_t)size;
}

/* All that is the file's goes into pax's headers, nothing that is the machine's; xattrs once, as everybody reads them. */
static int configure(struct archive *a)
{
	return archive_write_set_format_pax(a) == ARCHIVE_OK
		&& archive_write_set_format_option(a, "pax", "xattrheader", "SCHILY") == ARCHIVE_OK
		&& archive_write_set_bytes_per_block(a, PIECE) == ARCHIVE_OK
		&& archive_write_set_bytes_in_last_block(a, 1) == ARCHIVE_OK;
}

int cx_pack_open(struct cx_pack *p, struct cx_worker *w, int fd, conex_error **err)
{
	*p = (struct cx_pack){ .worker = w, .fd = fd, .tar = archive_write_new() };
	p->plain = cx_hash_begin(CX_DIGEST_SHA256);
	p->packed = cx_hash_begin(CX_DIGEST_SHA256);
	if (!p->tar || !p->plain || !p->packed || cx_compress_open(&p->gzip) < 0)
		return cx_fail_memory(err);
	if (!configure(p->tar) || archive_write_open(p->tar, p, NULL, take, NULL) != ARCHIVE_OK)
		return cx_fail(err, CONEX_STAGE_IMAGE, -ENOSYS, NULL, archive_error_string(p->tar), "libarchive");
	return 0;
}

int cx_pack_fail(struct cx_pack *p, const char *path, conex_error **err)
{
	int code = p->error ? conex_error_code(p->error) : -archive_errno(p->tar);

	if (p->error && err) {
		conex_error_free(*err);
		*err = p->error;
		p->error = NULL;
		return code;
	}
	return cx_image_refuse(err, code < 0 && code > -4096 ? code : -EIO, path, NULL, "%s", archive_error_string(p->tar)
		? archive_error_string(p->tar) : "libarchive can't write it");
}

int cx_pack_end(struct cx_pack *p, conex_error **err)
{
	int r = archive_write_close(p->tar) == ARCHIVE_OK ? 0 : cx_pack_fail(p, "the new layer", err);

	if (r == 0 && (r = cx_compress_add(p->gzip, "", 0, 1, put, p)) < 0)
		r = p->error ? cx_pack_fail(p, "", err) : cx_fail(err, CONEX_STAGE_IMAGE, r, "deflate", NULL, "the new layer");
	if (r < 0)
		return r;
	r = cx_hash_finish(p->plain, &p->diff_id);
	if (cx_hash_finish(p->packed, &p->digest) < 0)
		r = -EIO;
	return r < 0 ? cx_fail(err, CONEX_STAGE_IMAGE, -EIO, "EVP_DigestFinal", NULL, "the new layer") : 0;
}

void cx_pack_close(struct cx_pack *p)
{
	archive_write_free(p->tar);
	cx_hash_free(p->plain);
	cx_hash_free(p->packed);
	cx_compress_close(p->gzip);
	conex_error_free(p->error);
	*p = (struct cx_pack){ .fd = -1 };
}
