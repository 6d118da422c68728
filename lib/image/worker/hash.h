/* Digests of what streams by: libcrypto's SHA-256 and SHA-512, which use the processor's instructions. */
#ifndef CX_IMAGE_WORKER_HASH_H
#define CX_IMAGE_WORKER_HASH_H

#include "base/error.h"
#include "image/digest.h"

struct cx_hash;

/* CX_DIGEST_SHA256 or _SHA512. NULL: no memory, or libcrypto doesn't have it. */
struct cx_hash *cx_hash_begin(int algorithm);
/* The algorithm that a text names; NULL: SHA-256. -EINVAL: no such digest; `what` is its name in the error. */
int cx_hash_new(const char *digest, const char *what, struct cx_hash **ret, conex_error **err);
void cx_hash_add(struct cx_hash *h, const void *data, size_t size);
/* Once, at the end. 0, -EIO: the library has failed. */
int cx_hash_finish(struct cx_hash *h, struct cx_digest *ret);
int cx_hash_end(struct cx_hash *h, char text[CX_DIGEST_TEXT]);          /* the same, as text */
int cx_hash_alike(const struct cx_hash *a, const struct cx_hash *b);    /* the same algorithm */
void cx_hash_free(struct cx_hash *h);

/* Of what is in memory. 0, -EIO */
int cx_hash_of(int algorithm, const void *data, size_t size, struct cx_digest *ret);

#endif
