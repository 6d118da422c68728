/* Compressing a stream: gzip, by whichever library the build has found (compress-gzip.c, compress-zlib.c). The same bytes
 * in the same pieces become the same bytes, on one machine and of one build. */
#ifndef CX_IMAGE_WORKER_COMPRESS_H
#define CX_IMAGE_WORKER_COMPRESS_H

#include <stddef.h>

/* Takes what has been compressed; 0 or negative, which comes back. */
typedef int (*cx_compressed_fn)(void *self, const void *bytes, size_t size);

int cx_compress_open(void **ret);       /* 0, -ENOMEM */
/* `end`: with these bytes, which may be none, all has been given. 0, what `put` answered, -EIO */
int cx_compress_add(void *state, const void *bytes, size_t size, int end, cx_compressed_fn put, void *self);
void cx_compress_close(void *state);    /* NULL: nothing */

#endif
