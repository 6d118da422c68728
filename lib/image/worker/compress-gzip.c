/* gzip by ISA-L's igzip. Its header says neither when nor by what. */
#include "image/worker/compress.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>

enum { LEVEL = 2, OUT = 256 * 1024 };

struct igzip {
	struct isal_zstream z;
	uint8_t level[ISAL_DEF_LVL2_DEFAULT], out[OUT];
};

int cx_compress_open(void **ret)
{
	struct igzip *g = malloc(sizeof *g);

	if (!g)
		return -ENOMEM;
	isal_deflate_init(&g->z);
	g->z.gzip_flag = IGZIP_GZIP;
	g->z.level = LEVEL;
	g->z.level_buf = g->level;
	g->z.level_buf_size = sizeof g->level;
	*ret = g;
	return 0;
}

int cx_compress_add(void *state, const void *bytes, size_t size, int end, cx_compressed_fn put, void *self)
{
	struct igzip *g = state;
	int r = 0;

	g->z.next_in = (uint8_t *)bytes;
	g->z.avail_in = (uint32_t)size;
	g->z.end_of_stream = (uint16_t)end;
	do {
		g->z.next_out = g->out;
		g->z.avail_out = OUT;
		if (isal_deflate(&g->z) != COMP_OK)
			return -EIO;
		r = put(self, g->out, OUT - g->z.avail_out);
	} while (r == 0 && (g->z.avail_out == 0 || g->z.avail_in || (end && g->z.internal_state.state != ZSTATE_END)));
	return r;
}

void cx_compress_close(void *state)
{
	free(state);
}
