/* A layer as a stream of plain bytes: read, hashed, decompressed and hashed again by two threads, while the caller
 * takes chunk after chunk. Buffers are few and reused: whoever is slow makes the others wait. */
#ifndef CX_IMAGE_WORKER_STREAM_H
#define CX_IMAGE_WORKER_STREAM_H

#include "image/worker/unpack.h"

struct cx_stream;

int cx_stream_open(const struct cx_packed *layer, const struct cx_unpack_limits *limits, struct cx_stream **ret,
	conex_error **err);

/* The next chunk, which stays valid until the next call. Its bytes; 0: the end; negative: reading has failed, and
 * cx_stream_end has the error. */
ssize_t cx_stream_next(struct cx_stream *s, const void **data);

/* Waits until all is hashed, and compares: size, digest, diff-id. Fills the stream's part of `result`.
 * Only when cx_stream_next has said 0 or failed. */
int cx_stream_end(struct cx_stream *s, struct cx_unpack_result *result, conex_error **err);

/* Ends its threads, wherever they are, and frees. A source that blocks is waited for; a descriptor isn't. */
void cx_stream_free(struct cx_stream *s);

#endif
