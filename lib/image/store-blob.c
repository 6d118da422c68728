/* Blobs: verified bytes, read-only files named by their digest. store-ingest.c brings them. */
#include "image/store-inside.h"

#include <stdlib.h>
#include "image/document.h"

int cx_store_stat_blob(const struct cx_store *s, const struct cx_digest *d, struct stat *st)
{
	char path[CX_STORE_PATH];

	cx_store_path("blobs", d, path);
	if (fstatat(s->root, path, st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return S_ISREG(st->st_mode) ? 0 : -ENOENT;
}

int cx_store_has_blob(const struct cx_store *s, const struct cx_digest *digest)
{
	struct stat st;

	return digest->algorithm && cx_store_stat_blob(s, digest, &st) == 0;
}

int cx_store_open_blob(const struct cx_store *s, const struct cx_digest *digest, uint64_t *ret_size,
	conex_error **err)
{
	cx_autoclose int fd = -1;
	char path[CX_STORE_PATH], text[CX_DIGEST_TEXT];
	struct stat st = { .st_size = 0 };

	cx_store_path("blobs", digest, path);
	cx_digest_print(digest, text);
	fd = openat(s->root, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return cx_fail(err, CONEX_STAGE_IMAGE, -ENOENT, NULL, "pull the image again", "store %s: blob %s", s->path,
			text);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return cx_store_fail(err, s, fd < 0 ? -errno : -EIO, "open", "blob %s", text);
	if (ret_size)
		*ret_size = (uint64_t)st.st_size;
	return cx_steal_fd(&fd);
}

static ssize_t read_whole(int fd, char *to, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, to + done, size - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;   /* shorter than a moment ago */
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int cx_store_read_blob(const struct cx_store *s, const struct cx_digest *digest, char **ret, size_t *ret_size,
	conex_error **err)
{
	cx_autofree char *bytes = NULL;
	char text[CX_DIGEST_TEXT];
	uint64_t size;
	cx_autoclose int fd = cx_store_open_blob(s, digest, &size, err);
	ssize_t n;

	if (fd < 0)
		return fd;
	cx_digest_print(digest, text);
	if (size > CX_DOCUMENT_MAX)
		return cx_fail(err, CONEX_STAGE_IMAGE, -EFBIG, NULL, "a document of an image has at most 4 MiB",
			"store %s: blob %s (%llu bytes)", s->path, text, (unsigned long long)size);
	bytes = malloc((size_t)size + 1);
	if (!bytes)
		return cx_fail_memory(err);
	n = read_whole(fd, bytes, (size_t)size);
	if (n < 0)
		return cx_store_fail(err, s, (int)n, "read", "blob %s", text);
	bytes[size] = '\0';
	*ret_size = (size_t)size;
	*ret = cx_steal_ptr(&bytes);
	return 0;
}

int cx_store_put_blob(struct cx_store_lease *l, const struct cx_digest *want, const struct cx_digest *computed,
	const void *bytes, size_t size, conex_error **err)
{
	struct cx_ingest *i = NULL;
	int r = cx_ingest_begin(l, want, size, CX_INGEST_WAIT, &i, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = i->have ? cx_ingest_restart(i, err) : 0;
	if (r == 0)
		r = cx_ingest_append(i, bytes, size, err);
	if (r == 0)
		r = cx_ingest_commit(i, computed, err);
	if (r < 0)
		cx_ingest_abort(i);
	else
		cx_ingest_close(i);
	return r;
}
