/* What a worker can be asked to do. */
#ifndef CX_IMAGE_WORKER_TASKS_H
#define CX_IMAGE_WORKER_TASKS_H

#include "image/store.h"
#include "image/worker/unpack.h"
#include "image/worker/worker.h"

/* Each reads its words from w->task, opens what it needs, locks itself in (cx_worker_lock) before it reads a
 * stranger's byte, and says what came of it: *result (free). */
struct cx_worker_task { const char *kind; int (*work)(struct cx_worker *w, char **result, conex_error **err); };
extern const struct cx_worker_task cx_worker_tasks[];         /* ended by one without a kind */

/* task.c: what every task that works on the store has. */
struct cx_work_place {
	struct cx_store *store;
	struct cx_store_lease *lease;   /* this process's */
	struct cx_reference name;
	struct cx_platform platform;
	struct cx_unpack_options unpack;/* as the task's limits say; whiteouts: overlay's */
};
int cx_work_place_open(const struct cx_worker *w, struct cx_work_place *ret, conex_error **err);
void cx_work_place_close(struct cx_work_place *p);      /* also one that is all zero, or half open */
const char *cx_task_word(const struct cx_worker *w, const char *key);   /* of the task; NULL: it isn't there */
/* Locks in: the store is writable, `readable` (-1: none) is read, with `network` it connects; then the host's end is watched. */
int cx_work_place_lock(struct cx_worker *w, const struct cx_work_place *p, int readable, int network, conex_error **err);
/* For who takes nothing but out of the store: holds the image, so that it stays (-ENOENT: there is none of that name), and
 * locks in: of the store only the lease can be given back, `writable` (-1: none) is written to. */
int cx_work_place_lock_out(struct cx_worker *w, const struct cx_work_place *p, int writable, struct cx_digest *ret_target,
	conex_error **err);
/* A document of the store (free), hashed: -EBADMSG when it isn't what its name says. */
int cx_work_place_read(const struct cx_work_place *p, const struct cx_digest *digest, char **ret, size_t *ret_size,
	conex_error **err);
int cx_result_digest(const struct cx_digest *digest, char **ret, conex_error **err);    /* a job's result */

/* import.c: an archive, or a layout's directory (descriptor 5), under a name. */
int cx_task_import(struct cx_worker *w, char **result, conex_error **err);

/* pull.c: an image from its registry, under a name. */
int cx_task_pull(struct cx_worker *w, char **result, conex_error **err);

/* push.c: an image of the store, to the registry of its name ("remote"). */
int cx_task_push(struct cx_worker *w, char **result, conex_error **err);
/* export.c: an image as tar, or into a layout's directory (descriptor 5). */
int cx_task_export(struct cx_worker *w, char **result, conex_error **err);
/* unpack-image.c: an image in a new directory of descriptor 5. */
int cx_task_unpack(struct cx_worker *w, char **result, conex_error **err);

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

/* layers.c: an image's layers, unpacked in the store, several side by side; those that it hasn't come from `registry` (NULL: it
 * has all), which is this call's meanwhile. A leftover of an earlier try goes on. */
struct cx_registry;
int cx_layers_bring(struct cx_worker *w, const struct cx_work_place *p, const struct cx_image_manifest *m,
	const struct cx_image_config *config, struct cx_registry *registry, conex_error **err);
int cx_layer_packed_as(enum cx_media media);    /* CX_PACKED_... */
/* The same of a manifest, all of whose parts are there. */
int cx_layers_unpack(struct cx_worker *w, const struct cx_work_place *p, const struct cx_digest *manifest, conex_error **err);

#endif
