/* What a worker can be asked to do. */
#ifndef CX_IMAGE_WORKER_TASKS_H
#define CX_IMAGE_WORKER_TASKS_H

#include "image/store.h"
#include "image/worker/worker.h"

/* Each reads its words from w->task, opens what it needs, locks itself in (cx_worker_lock) before it reads a
 * stranger's byte, and says what came of it: *result (free). */
struct cx_worker_task { const char *kind; int (*work)(struct cx_worker *w, char **result, conex_error **err); };
extern const struct cx_worker_task cx_worker_tasks[];         /* ended by one without a kind */

/* import.c: an archive, or a layout's directory (descriptor 5), under a name. */
int cx_task_import(struct cx_worker *w, char **result, conex_error **err);

/* blobs.c: bytes into the store. `read` as read(2), but -errno and an error. */
struct cx_source { ssize_t (*read)(void *self, void *to, size_t size, conex_error **err); void *self; };
int cx_blob_bring(struct cx_worker *w, struct cx_store_lease *l, const struct cx_digest *want, uint64_t size,
	const struct cx_source *from, conex_error **err);
/* The same of what nobody has named yet: *ret is what it is. */
int cx_blob_take(struct cx_worker *w, struct cx_store_lease *l, uint64_t size, const struct cx_source *from,
	struct cx_digest *ret, conex_error **err);
int cx_blob_put(struct cx_store_lease *l, const void *bytes, size_t size, struct cx_digest *ret, conex_error **err);

/* archive.c: what lies in one. All that has a digest for a name is in the store when it has been read. */
struct cx_entry {
	char *name;             /* "index.json", "blobs/sha256/ab...", "ab.../layer.tar" */
	char *link;             /* of a symbolic link: where it leads to, from the top; NULL */
	char *text;             /* of a small document, NUL-terminated; NULL */
	uint64_t size;
	struct cx_digest digest;/* of what was brought in; none: of a document */
};
struct cx_archive { struct cx_entry *entries; size_t count, room; };
int cx_archive_read(struct cx_worker *w, struct cx_store_lease *l, int fd, struct cx_archive *ret, conex_error **err);
const struct cx_entry *cx_archive_find(const struct cx_archive *a, const char *name);  /* through links; NULL */
void cx_archive_clear(struct cx_archive *a);

/* layers.c: an image's layers, unpacked in the store, the lowest first. whiteouts: CX_WHITEOUT_... */
int cx_layers_unpack(struct cx_worker *w, struct cx_store_lease *l, const struct cx_digest *manifest, int whiteouts,
	uint64_t max_bytes, conex_error **err);

#endif
