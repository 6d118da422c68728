/* gzip by zlib, where there is no ISA-L: a third of its speed. decompress-gzip.c is the same for igzip. */
#include "image/worker/decompress.h"

#include <zlib.h>

struct gzip { z_stream z; int finished; };

static int gzip_open(void **ret)
{
	struct gzip *s = calloc(1, sizeof *s);

	if (!s || inflateInit2(&s->z, 15 + 16) != Z_OK) {
		free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

static void gzip_close(void *state)
{
	inflateEnd(&((struct gzip *)state)->z);
	free(state);
}

/* Between members: 1 another begins, 0 all has ended. Zeros at the end are padding; nothing else may follow. */
static int next_member(struct gzip *s, struct cx_input *in, conex_error **err)
{
	int r = cx_input_more(in, err);

	if (r <= 0)
		return r;
	if (*in->next == 0x1f) {
		inflateReset(&s->z);
		s->finished = 0;
		return 1;
	}
	for (; r > 0; r = cx_input_more(in, err))
		for (; in->left; in->next++, in->left--)
			if (*in->next)
				return cx_decompress_fail(err, "gzip", "something follows the end");
	return r;
}

static ssize_t gzip_read(void *state, struct cx_input *in, void *to, size_t size, conex_error **err)
{
	struct gzip *s = state;
	int r;

	s->z.next_out = to;
	s->z.avail_out = (uInt)size;
	while (s->z.avail_out == size) {
		if (s->finished) {
			r = next_member(s, in, err);
			if (r <= 0)
				return r;
		}
		r = cx_input_more(in, err);
		if (r < 0)
			return r;
		if (r == 0)
			return cx_decompress_fail(err, "gzip", "it ends too early");
		s->z.next_in = (Bytef *)in->next;
		s->z.avail_in = (uInt)in->left;
		r = inflate(&s->z, Z_NO_FLUSH);
		if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
			return cx_decompress_fail(err, "gzip", s->z.msg ? s->z.msg : "no valid deflate data");
		s->finished = r == Z_STREAM_END;
		in->next = s->z.next_in;
		in->left = s->z.avail_in;
	}
	return (ssize_t)(size - s->z.avail_out);
}

const struct cx_decompressor cx_decompress_gzip = {
	.name = "gzip", .media = CX_PACKED_GZIP, .open = gzip_open, .read = gzip_read, .close = gzip_close,
};
