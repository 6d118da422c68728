/* Decompressing a stream: one interface, a file for each kind. */
#ifndef CX_IMAGE_WORKER_DECOMPRESS_H
#define CX_IMAGE_WORKER_DECOMPRESS_H

#include "image/worker/unpack.h"

/* Where compressed bytes come from: `fill` puts more of them into next and left, or says -errno; at the end left
 * stays 0 and `ended` is set. It may be called again then. */
struct cx_input {
	int (*fill)(struct cx_input *in, conex_error **err);
	void *self;
	const uint8_t *next;
	size_t left;
	int ended;
};

struct cx_decompressor {
	const char *name;
	int media;
	int (*open)(void **ret);                /* 0, -ENOMEM */
	/* Up to `size` plain bytes; 0: the end, which all the input has reached, too; -errno. */
	ssize_t (*read)(void *state, struct cx_input *in, void *to, size_t size, conex_error **err);
	void (*close)(void *state);
};

extern const struct cx_decompressor cx_decompress_gzip, cx_decompress_zstd;

struct cx_decompress {
	const struct cx_decompressor *kind;     /* NULL: nothing to do */
	void *state;
	int media;
};

/* Looks at the first bytes; `media` is what they are said to be. Refuses what they aren't, and what no layer is. */
int cx_decompress_open(struct cx_decompress *d, struct cx_input *in, int media, conex_error **err);
ssize_t cx_decompress_read(struct cx_decompress *d, struct cx_input *in, void *to, size_t size, conex_error **err);
void cx_decompress_close(struct cx_decompress *d);

/* The error of a broken stream. */
int cx_decompress_fail(conex_error **err, const char *kind, const char *how);

/* More input where there is none: 1 there is some, 0 it has ended, -errno. */
int cx_input_more(struct cx_input *in, conex_error **err);

#endif
