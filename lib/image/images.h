/* Images inside the library: the context's store, and what a name leads to in it. */
#ifndef CX_IMAGE_IMAGES_H
#define CX_IMAGE_IMAGES_H

#include <conex/image.h>
#include "image/store.h"
#include "state/context.h"

/* The context's store, opened at the first need; any thread. */
int cx_images_of(conex *cx, struct cx_store **ret, conex_error **err);
/* The same, but none is made: *ret is NULL where there is none. */
int cx_images_existing(conex *cx, struct cx_store **ret, conex_error **err);

/* sweep.c: has a worker remove what was thrown into this store's tmp/. Locked. */
void cx_images_sweep(conex *cx, const char *store);
int cx_images_sweep_again(conex *cx);           /* 1: there was more. Locked */
/* The same, not locked, and waits for it. */
int cx_images_sweep_now(conex *cx, const char *store, conex_error **err);
/* cx_store_collect, and what it may not remove (a rootless store's trees have others' ids) is swept. Not locked */
int cx_images_collect(conex *cx, struct cx_store *s, int64_t partial_age_s, struct cx_store_gone *ret, conex_error **err);

struct cx_found_image {
	struct cx_reference name;
	struct cx_digest manifest;
	struct cx_image_manifest *parts;
	struct cx_image_config *config;
};
void cx_found_image_clear(struct cx_found_image *i);
#define cx_autoimage cx_cleanup(cx_found_image_clear) struct cx_found_image
/* By name or digest, for a platform (NULL: this machine's). -ENOENT */
int cx_images_find(struct cx_store *s, const char *name, const char *platform, struct cx_found_image *ret,
	conex_error **err);

/* One that the store hasn't, or not all of, comes from its registry: returns when it is there, as conex_image_pull's job with
 * CONEX_IMAGE_NOT_NEWER. pull.c */
int cx_images_pull(conex *cx, const char *name, conex_error **err);
/* What was being unpacked when who did it died (unpack.c): a path, with all below. 0 also where there is none; -errno */
int cx_images_remove_tree(const char *path);

#endif
