/* What of the store goes to a registry with an image. */
#ifndef CX_IMAGE_WORKER_PUSHED_H
#define CX_IMAGE_WORKER_PUSHED_H

#include "image/store.h"

struct cx_pushed_blob {
	struct cx_digest digest;
	uint64_t size;
	int is_layer;
	const char *from;               /* a repository of the same registry that may have it; NULL */
};
struct cx_pushed_document {             /* a manifest or an index */
	struct cx_digest digest;
	const char *type;               /* static */
	char *bytes;
	size_t size;
};
struct cx_pushed {
	struct cx_pushed_blob *blobs;   /* each once, the largest first */
	size_t count;
	struct cx_pushed_document *documents;   /* each once; behind all that it names, so the image's own is the last */
	size_t document_count;
	struct cx_image *names;         /* the store's: .from is in one of them */
	size_t room, document_room;
};

/* All of an image. With a platform (NULL: none) of an index that platform's manifest alone; else the index must be in
 * the store with all that it names: -ENOENT. */
int cx_pushed_collect(const struct cx_store *s, const struct cx_reference *name, const struct cx_platform *platform,
	struct cx_pushed *ret, conex_error **err);
void cx_pushed_clear(struct cx_pushed *p);

#endif
