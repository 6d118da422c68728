/* zstd by its own library: frame after frame, skippable ones skipped, so zstd:chunked is read as zstd. A window beyond
 * 128 MiB (zstd --long=28 and more) is refused by the library: that much memory is the reader's to give. */
#include "image/worker/decompress.h"

#include <zstd.h>

struct zstd { ZSTD_DStream *z; size_t hint; };  /* hint 0: between frames */

static int zstd_open(void **ret)
{
	struct zstd *s = calloc(1, sizeof *s);

	if (s)
		s->z = ZSTD_createDStream();
	if (!s || !s->z) {
		free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

static void zstd_close(void *state)
{
	struct zstd *s = state;

	ZSTD_freeDStream(s->z);
	free(s);
}

static ssize_t zstd_read(void *state, struct cx_input *in, void *to, size_t size, conex_error **err)
{
	struct zstd *s = state;
	ZSTD_outBuffer out = { to, size, 0 };
	int r;

	while (out.pos == 0) {
		ZSTD_inBuffer from;
		int had;

		r = cx_input_more(in, err);
		if (r < 0 || (r == 0 && s->hint == 0))
			return r;
		from = (ZSTD_inBuffer){ in->next, in->left, 0 };
		had = s->hint != 0;
		s->hint = ZSTD_decompressStream(s->z, &out, &from);
		if (ZSTD_isError(s->hint))
			return cx_decompress_fail(err, "zstd", ZSTD_getErrorName(s->hint));
		if (r == 0 && out.pos == 0 && had && s->hint != 0)
			return cx_decompress_fail(err, "zstd", "it ends too early");
		in->next += from.pos;
		in->left -= from.pos;
	}
	return (ssize_t)out.pos;
}

const struct cx_decompressor cx_decompress_zstd = {
	.name = "zstd", .media = CX_PACKED_ZSTD, .open = zstd_open, .read = zstd_read, .close = zstd_close,
};
