/* Bytes on their way into the store: one file a digest in ingest/, written by one process at a time, kept when
 * that dies, and renamed into blobs/ when it is whole and verified. */
#include "image/store-inside.h"

#include <stdlib.h>

static int fail(const struct cx_ingest *i, int code, const char *call, conex_error **err)
{
	char text[CX_DIGEST_TEXT];

	cx_digest_print(&i->want, text);
	return cx_store_fail(err, i->store, code, call, "ingest of %s (%llu of %llu bytes)", text,
		(unsigned long long)i->have, (unsigned long long)i->size);
}

/* Opened and locked while nobody collects: an unlocked one would be taken for left behind. -EBUSY: open, and
 * somebody else's. */
static int open_file(struct cx_ingest *i, const char *path)
{
	cx_autoclose int lock = cx_store_lock(i->store, LOCK_SH);

	if (lock < 0)
		return lock;
	i->fd = openat(i->store->root, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return i->fd < 0 ? -errno : cx_store_flock(i->fd, LOCK_EX | LOCK_NB);
}

/* One more look at who has it. 1: it is ours; 0: it was renamed or removed meanwhile, so look again; -errno */
static int try_file(struct cx_ingest *i, const char *path, unsigned flags)
{
	int r;

	cx_closep(&i->fd);
	r = open_file(i, path);
	if (r == -EBUSY && (flags & CX_INGEST_WAIT))
		r = flock(i->fd, LOCK_EX) < 0 ? -errno : 0;     /* a signal ends the waiting */
	if (r < 0)
		return r;
	return cx_store_is_same(i->store, i->fd, path);
}

/* What is there already counts, if it can be the beginning. */
static int look_at_file(struct cx_ingest *i)
{
	struct stat st;

	if (fstat(i->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EIO;
	if ((uint64_t)st.st_size > i->size && ftruncate(i->fd, st.st_size = 0) < 0)
		return -errno;
	i->have = (uint64_t)st.st_size;
	return 0;
}

static int begin(struct cx_ingest *i, unsigned flags)
{
	char path[CX_STORE_PATH];
	int r = 0;

	cx_store_path("ingest", &i->want, path);
	while (r == 0) {
		if (cx_store_has_blob(i->store, &i->want))
			return 1;
		r = try_file(i, path, flags);
	}
	if (r < 0)
		return r;
	/* Who had it before may have finished just before we asked for it. */
	return cx_store_has_blob(i->store, &i->want) ? 1 : look_at_file(i);
}

int cx_ingest_begin(struct cx_store_lease *l, const struct cx_digest *want, uint64_t size, unsigned flags,
	struct cx_ingest **ret, conex_error **err)
{
	struct cx_ingest *i;
	int r = cx_store_lease_hold(l, want, err);

	if (r != 0)
		return r;
	i = calloc(1, sizeof *i);
	if (!i)
		return cx_fail_memory(err);
	*i = (struct cx_ingest){ .store = l->store, .want = *want, .size = size, .fd = -1 };
	r = begin(i, flags);
	if (r == 1) {
		cx_ingest_abort(i);     /* ours, if we made one, is superfluous */
		return 1;
	}
	if (r < 0) {
		fail(i, r, "open", err);
		cx_ingest_close(i);
		return r;
	}
	*ret = i;
	return 0;
}

int cx_ingest_append(struct cx_ingest *i, const void *bytes, size_t size, conex_error **err)
{
	const char *from = bytes;
	uint64_t begin = i->have;

	if (size > i->size - i->have)
		return cx_fail(err, CONEX_STAGE_IMAGE, -EFBIG, NULL, "the manifest says it has less: whoever sends it is wrong, "
			"or lies", "a blob of %llu bytes", (unsigned long long)i->size);
	while (size) {
		ssize_t n = pwrite(i->fd, from, size, (off_t)i->have);
		int code = n < 0 ? -errno : -ENOSPC;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			/* what this call brought is cut off: its caller counts calls */
			i->have = begin;
			if (ftruncate(i->fd, (off_t)begin) < 0)
				i->have = 0;
			return fail(i, code, "write", err);
		}
		from += n;
		size -= (size_t)n;
		i->have += (uint64_t)n;
	}
	return 0;
}

int cx_ingest_restart(struct cx_ingest *i, conex_error **err)
{
	if (ftruncate(i->fd, 0) < 0)
		return fail(i, -errno, "ftruncate", err);
	i->have = 0;
	return 0;
}

static int check(struct cx_ingest *i, const struct cx_digest *computed, conex_error **err)
{
	char want[CX_DIGEST_TEXT], is[CX_DIGEST_TEXT];
	struct stat st;

	if (fstat(i->fd, &st) < 0)
		return fail(i, -errno, "fstat", err);
	i->have = (uint64_t)st.st_size;         /* it may have been written through .fd */
	if (i->have == i->size && cx_digest_equal(computed, &i->want))
		return 0;
	cx_digest_print(&i->want, want);
	cx_digest_print(computed, is);
	cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL, "what came isn't what the manifest names: pull again; if that "
		"doesn't help the registry, or something on the way to it, is broken", "blob %s of %llu bytes: got %s, %llu bytes",
		want, (unsigned long long)i->size, is, (unsigned long long)i->have);
	if (cx_ingest_restart(i, NULL) < 0)
		i->have = 0;
	return -EBADMSG;
}

static int publish(struct cx_ingest *i)
{
	char from[CX_STORE_PATH], to[CX_STORE_PATH];
	cx_autoclose int lock = -1;

	if (!(i->store->flags & CX_STORE_NO_SYNC) && fsync(i->fd) < 0)
		return -errno;
	cx_store_path("ingest", &i->want, from);
	cx_store_path("blobs", &i->want, to);
	lock = cx_store_lock(i->store, LOCK_SH);
	if (lock < 0)
		return lock;
	if (renameat(i->store->root, from, i->store->root, to) < 0)
		return -errno;
	cx_closep(&lock);       /* what comes now takes a disk's time */
	fchmod(i->fd, 0400);    /* not before: one that stays in ingest/ must be opened again */
	*strrchr(to, '/') = '\0';
	return cx_store_sync_folder(i->store, to);
}

int cx_ingest_commit(struct cx_ingest *i, const struct cx_digest *computed, conex_error **err)
{
	int r = check(i, computed, err);

	if (r < 0)
		return r;
	r = publish(i);
	return r < 0 ? fail(i, r, "rename", err) : 0;
}

void cx_ingest_close(struct cx_ingest *i)
{
	if (!i)
		return;
	cx_closep(&i->fd);
	free(i);
}

/* While it is locked nobody else has begun with it. */
void cx_ingest_abort(struct cx_ingest *i)
{
	char path[CX_STORE_PATH];

	if (i && i->fd >= 0) {
		cx_store_path("ingest", &i->want, path);
		if (cx_store_is_same(i->store, i->fd, path))
			unlinkat(i->store->root, path, 0);
	}
	cx_ingest_close(i);
}

uint64_t cx_store_partial(const struct cx_store *s, const struct cx_digest *digest)
{
	char path[CX_STORE_PATH];
	struct stat st;

	cx_store_path("ingest", digest, path);
	return fstatat(s->root, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)st.st_size : 0;
}
