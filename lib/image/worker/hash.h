/* Digests of what streams by: libcrypto's SHA-256 and SHA-512, which use the processor's instructions. */
#ifndef CX_IMAGE_WORKER_HASH_H
#define CX_IMAGE_WORKER_HASH_H

#include "image/worker/unpack.h"

struct cx_hash;

/* The algorithm that `digest` names; NULL: SHA-256. -EINVAL: no such digest; `what` is its name in the error. */
int cx_hash_new(const char *digest, const char *what, struct cx_hash **ret, conex_error **err);
void cx_hash_add(struct cx_hash *h, const void *data, size_t size);
/* The digest as text: "sha256:..."; once, at the end. 0, -EIO: the library has failed. */
int cx_hash_end(struct cx_hash *h, char text[CX_LAYER_DIGEST]);
int cx_hash_alike(const struct cx_hash *a, const struct cx_hash *b);    /* the same algorithm */
void cx_hash_free(struct cx_hash *h);

#endif
