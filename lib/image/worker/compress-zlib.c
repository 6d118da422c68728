/* gzip by zlib, where there is no ISA-L. */
#include "image/worker/compress.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

enum { LEVEL = 6, OUT = 256 * 1024, GZIP = 15 + 16 };

struct zlib {
	z_stream z;
	unsigned char out[OUT];
};

int cx_compress_open(void **ret)
{
	struct zlib *g = calloc(1, sizeof *g);

	if (!g || deflateInit2(&g->z, LEVEL, Z_DEFLATED, GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(g);
		return -ENOMEM;
	}
	*ret = g;
	return 0;
}

int cx_compress_add(void *state, const void *bytes, size_t size, int end, cx_compressed_fn put, void *self)
{
	struct zlib *g = state;
	int r;

	g->z.next_in = (unsigned char *)bytes;
	g->z.avail_in = (unsigned)size;
	do {
		g->z.next_out = g->out;
		g->z.avail_out = OUT;
		if (deflate(&g->z, end ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_ERROR)
			return -EIO;
		r = put(self, g->out, OUT - g->z.avail_out);
	} while (r == 0 && g->z.avail_out == 0);
	return r;
}

void cx_compress_close(void *state)
{
	struct zlib *g = state;

	if (g)
		deflateEnd(&g->z);
	free(g);
}
