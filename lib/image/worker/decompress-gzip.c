/* gzip by ISA-L's igzip: three times zlib's speed. Members follow one another (RFC 1952, 2.2), as in stargz. */
#include "image/worker/decompress.h"

#include <isa-l/igzip_lib.h>

static int gzip_open(void **ret)
{
	struct inflate_state *s = calloc(1, sizeof *s);

	if (!s)
		return -ENOMEM;
	isal_inflate_init(s);
	s->crc_flag = ISAL_GZIP;        /* header and trailer are igzip's, and it checks both */
	*ret = s;
	return 0;
}

/* Between members: 1 another begins, 0 all has ended. Zeros at the end are padding; nothing else may follow. */
static int next_member(struct inflate_state *s, struct cx_input *in, conex_error **err)
{
	int r = cx_input_more(in, err);

	if (r <= 0)
		return r;
	if (*in->next == 0x1f) {
		isal_inflate_reset(s);
		s->crc_flag = ISAL_GZIP;
		return 1;
	}
	for (; r > 0; r = cx_input_more(in, err))
		for (; in->left; in->next++, in->left--)
			if (*in->next)
				return cx_decompress_fail(err, "gzip", "something follows the end");
	return r;
}

static const char *why(int r)
{
	return r == ISAL_INCORRECT_CHECKSUM ? "its checksum is wrong" : r == ISAL_UNSUPPORTED_METHOD
		? "a method that nobody knows" : "no valid deflate data";
}

static ssize_t gzip_read(void *state, struct cx_input *in, void *to, size_t size, conex_error **err)
{
	struct inflate_state *s = state;
	int r;

	s->next_out = to;
	s->avail_out = (uint32_t)size;
	while (s->avail_out == size) {
		if (s->block_state == ISAL_BLOCK_FINISH) {
			r = next_member(s, in, err);
			if (r <= 0)
				return r;
		}
		r = cx_input_more(in, err);
		if (r < 0)
			return r;
		s->next_in = (uint8_t *)in->next;
		s->avail_in = (uint32_t)in->left;
		r = isal_inflate(s);
		if (r < 0 || r == ISAL_NEED_DICT)
			return cx_decompress_fail(err, "gzip", why(r));
		if (in->ended && in->left == 0 && s->avail_out == size && s->block_state != ISAL_BLOCK_FINISH)
			return cx_decompress_fail(err, "gzip", "it ends too early");
		in->next = s->next_in;
		in->left = s->avail_in;
	}
	return (ssize_t)(size - s->avail_out);
}

const struct cx_decompressor cx_decompress_gzip = {
	.name = "gzip", .media = CX_PACKED_GZIP, .open = gzip_open, .read = gzip_read, .close = free,
};
