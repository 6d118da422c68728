/* What the files of the store share. */
#ifndef CX_IMAGE_STORE_INSIDE_H
#define CX_IMAGE_STORE_INSIDE_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include "base/error.h"
#include "base/path.h"
#include "image/store.h"
#include "state/state.h"

enum { CX_STORE_PATH = 256 };

/* Fails with a hint that fits the code (a full disk, a quota, a broken one). */
int cx_store_fail(conex_error **err, const struct cx_store *s, int code, const char *call, const char *what, ...)
	CX_PRINTF(5, 6);

/* The store's lock, by an fd to close. LOCK_SH: whoever adds something that must not be collected (for microseconds);
 * LOCK_EX: whoever looks at all of it at once, or changes names. -errno */
int cx_store_lock(const struct cx_store *s, int how);
int cx_store_flock(int fd, int how);    /* flock, without signals in between; 0, -errno */

/* "FOLDER/sha256/ab..." */
void cx_store_path(const char *folder, const struct cx_digest *d, char path[CX_STORE_PATH]);
/* "tmp/KIND-NOISE" */
int cx_store_temporary(const char *kind, char path[CX_STORE_PATH]);
/* Opens a directory of the store; -errno */
int cx_store_folder(const struct cx_store *s, const char *path);
/* A new file with these bytes, on the disk if `sync`; -errno, and there is none */
int cx_store_write(int dir, const char *path, const char *text, int sync);
/* A small regular file, NUL-terminated, cut at size - 1; links aren't followed. Bytes, or -errno (-EBADMSG: it is no file) */
ssize_t cx_store_read(int dir, const char *path, char *to, size_t size);
/* What was renamed into `folder` is on the disk. */
int cx_store_sync_folder(const struct cx_store *s, const char *folder);
/* Is what was opened still what this path leads to? */
int cx_store_is_same(const struct cx_store *s, int fd, const char *path);

/* Removes what `path` leads to, whatever it is; links aren't followed, mounts not entered. However deep it is.
 * 0 (also: gone), -errno */
int cx_store_remove(int dir, const char *name);
/* The same, but of no more than so many entries (UINT_MAX: all): -EAGAIN, and some of it is left */
int cx_store_remove_some(int dir, const char *name, unsigned entries);
/* What `path` leads to becomes something to be swept: a moment, however large it is. -errno */
int cx_store_throw(int root, const char *path);

/* store-blob.c: its size and no error; -errno */
int cx_store_stat_blob(const struct cx_store *s, const struct cx_digest *d, struct stat *st);

/* store-image.c: a manifest with all its parts, or an index that leads to one. 1, 0; -errno, as for a part that isn't
 * there */
int cx_store_is_whole(const struct cx_store *s, const struct cx_digest *digest, conex_error **err);

/* store-layer.c: the layer below ("": none), and what it was said to have. -errno */
int cx_store_layer_about(const struct cx_store *s, const char *name, char parent[CX_LAYER_NAME], uint64_t *ret_bytes);
int cx_store_layer_is_name(const char *name);

/* store-lease.c: each thing that a live lease holds, a digest or a layer; dead leases are removed and counted. With the
 * store locked. -errno */
typedef int (*cx_held_fn)(const struct cx_digest *digest, const char *layer, void *data);
int cx_store_lease_each(const struct cx_store *s, cx_held_fn each, void *data, size_t *ret_dead);

/* store-mark.c: what is reached. */
struct cx_marks {
	void *blobs, *layers;           /* trees of search.h */
	struct cx_digest *work;         /* those that aren't looked into yet */
	size_t work_count, work_capacity;
	int all_layers;                 /* a config is broken: no layer is anybody's for certain, so all stay */
};
int cx_mark_blob(struct cx_marks *m, const struct cx_digest *digest);
/* The next one that is to be looked into: 1; 0: there is none */
int cx_mark_next(struct cx_marks *m, struct cx_digest *ret);
int cx_mark_layer(struct cx_marks *m, const struct cx_store *s, const char *name);
/* Follows all that was marked: index, manifest, config, layers. -errno: something can't be read now; what is missing
 * is no error. */
int cx_mark_follow(struct cx_marks *m, const struct cx_store *s);
int cx_marks_blob(const struct cx_marks *m, const struct cx_digest *digest);    /* 1, 0 */
int cx_marks_layer(const struct cx_marks *m, const char *name);
void cx_marks_clear(struct cx_marks *m);

#endif
