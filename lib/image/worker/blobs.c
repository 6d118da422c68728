/* Bytes on their way into the store, hashed as they pass. */
#include "image/worker/tasks.h"
#include "image/worker/hash.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { PIECE = 256 * 1024 };

static void counted(struct cx_worker *w, size_t size)
{
	__atomic_add_fetch(&w->done, size, __ATOMIC_RELAXED);
	cx_worker_tell(w);
}

static int fill(struct cx_worker *w, struct cx_ingest *i, const struct cx_source *from, struct cx_hash *hash, char *piece,
	conex_error **err)
{
	ssize_t n;

	while ((n = from->read(from->self, piece, PIECE, err)) > 0) {
		int r = cx_ingest_append(i, piece, (size_t)n, err);

		if (r < 0)
			return r;
		cx_hash_add(hash, piece, (size_t)n);
		counted(w, (size_t)n);
	}
	return (int)n;
}

/* A source can't be asked for the rest alone, so what was there of it is dropped. */
static int bring(struct cx_worker *w, struct cx_ingest *i, const struct cx_source *from, conex_error **err)
{
	struct cx_hash *hash = cx_hash_begin(i->want.algorithm);
	cx_autofree char *piece = malloc(PIECE);
	struct cx_digest is;
	int r = hash && piece ? cx_ingest_restart(i, err) : cx_fail_memory(err);

	if (r == 0)
		r = fill(w, i, from, hash, piece, err);
	if (r == 0 && cx_hash_finish(hash, &is) < 0)
		r = cx_fail(err, CONEX_STAGE_IMAGE, -EIO, "EVP_DigestFinal", NULL, "a blob");
	cx_hash_free(hash);
	return r < 0 ? r : cx_ingest_commit(i, &is, err);
}

/* Reads to the end what isn't needed. */
static int skip(struct cx_worker *w, const struct cx_source *from, conex_error **err)
{
	char piece[16 * 1024];
	ssize_t n;

	while ((n = from->read(from->self, piece, sizeof piece, err)) > 0)
		counted(w, (size_t)n);
	return (int)n;
}

int cx_blob_bring(struct cx_worker *w, struct cx_store_lease *l, const struct cx_digest *want, uint64_t size,
	const struct cx_source *from, conex_error **err)
{
	struct cx_ingest *i = NULL;
	int r = cx_ingest_begin(l, want, size, CX_INGEST_WAIT, &i, err);

	if (r == 1)
		return skip(w, from, err);
	if (r < 0)
		return r;
	r = bring(w, i, from, err);
	if (r < 0)
		cx_ingest_abort(i);
	else
		cx_ingest_close(i);
	return r;
}

/* ---- what has no name yet ---- */

static ssize_t read_file(void *self, void *to, size_t size, conex_error **err)
{
	ssize_t n = read(*(int *)self, to, size);

	return n < 0 ? cx_fail_errno(err, CONEX_STAGE_IMAGE, "read", NULL, "a file of the store") : n;
}

static int spool(int fd, uint64_t size, const struct cx_source *from, struct cx_digest *ret, conex_error **err)
{
	struct cx_hash *hash = cx_hash_begin(CX_DIGEST_SHA256);
	cx_autofree char *piece = malloc(PIECE);
	uint64_t done = 0;
	ssize_t n = 0;
	int r = hash && piece ? 0 : cx_fail_memory(err);

	while (r == 0 && (n = from->read(from->self, piece, PIECE, err)) > 0) {
		cx_hash_add(hash, piece, (size_t)n);
		done += (uint64_t)n;
		if (write(fd, piece, (size_t)n) != n)
			r = cx_fail_errno(err, CONEX_STAGE_IMAGE, "write", NULL, "the store");
	}
	if (r == 0 && (n < 0 || done != size))
		r = n < 0 ? (int)n : cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL, NULL, "the archive is broken");
	if (r == 0 && cx_hash_finish(hash, ret) < 0)
		r = cx_fail(err, CONEX_STAGE_IMAGE, -EIO, "EVP_DigestFinal", NULL, "a blob");
	cx_hash_free(hash);
	return r;
}

int cx_blob_take(struct cx_worker *w, struct cx_store_lease *l, uint64_t size, const struct cx_source *from,
	struct cx_digest *ret, conex_error **err)
{
	cx_autoclose int fd = openat(l->store->root, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct cx_source again = { read_file, &fd };
	int r = fd < 0 ? cx_fail_errno(err, CONEX_STAGE_IMAGE, "open", NULL, "%s", l->store->path) : 0;

	if (r == 0)
		r = spool(fd, size, from, ret, err);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = cx_fail_errno(err, CONEX_STAGE_IMAGE, "lseek", NULL, "%s", l->store->path);
	return r < 0 ? r : cx_blob_bring(w, l, ret, size, &again, err);
}

int cx_blob_put(struct cx_store_lease *l, const void *bytes, size_t size, struct cx_digest *ret, conex_error **err)
{
	if (cx_hash_of(CX_DIGEST_SHA256, bytes, size, ret) < 0)
		return cx_fail(err, CONEX_STAGE_IMAGE, -EIO, "EVP_Digest", NULL, "a document");
	return cx_store_put_blob(l, ret, ret, bytes, size, err);
}
