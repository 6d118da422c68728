/* Which kind of compression it is, by the first bytes, which don't lie: the media type is checked against them. */
#include "image/worker/decompress.h"

#include <string.h>

static const struct { const char *name; int media; size_t size; const char *bytes; } magics[] = {
	{ "gzip", CX_PACKED_GZIP, 2, "\x1f\x8b" },
	{ "zstd", CX_PACKED_ZSTD, 4, "\x28\xb5\x2f\xfd" },
	{ "xz", -1, 6, "\xfd" "7zXZ" },
	{ "bzip2", -1, 3, "BZh" },
	{ "lz4", -1, 4, "\x04\x22\x4d\x18" },
	{ "zip", -1, 4, "PK\x03\x04" },
};

int cx_input_more(struct cx_input *in, conex_error **err)
{
	int r = in->left || in->ended ? 0 : in->fill(in, err);

	return r < 0 ? r : in->left > 0;
}

int cx_decompress_fail(conex_error **err, const char *kind, const char *how)
{
	return cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL, "the layer is damaged: fetch it anew",
		"layer: %s: %s", kind, how);
}

static const char *media_name(int media)
{
	static const char *const names[] = { "anything", "tar", "tar+gzip", "tar+zstd" };

	return names[media];
}

/* zstd's skippable frames have sixteen numbers; a layer may begin with one. */
static int media_of(const uint8_t *p, size_t size, const char **name)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(magics); i++)
		if (size >= magics[i].size && !memcmp(p, magics[i].bytes, magics[i].size)) {
			*name = magics[i].name;
			return magics[i].media;
		}
	if (size >= 4 && (p[0] & 0xf0) == 0x50 && !memcmp(p + 1, "\x2a\x4d\x18", 3))
		return CX_PACKED_ZSTD;
	return CX_PACKED_TAR;
}

int cx_decompress_open(struct cx_decompress *d, struct cx_input *in, int media, conex_error **err)
{
	const char *name = "";
	int r = cx_input_more(in, err), found;

	if (r < 0)
		return r;
	found = media_of(in->next, in->left, &name);
	if (found < 0)
		return cx_fail(err, CONEX_STAGE_IMAGE, -EOPNOTSUPP, NULL, "layers are tar, tar+gzip or tar+zstd",
			"layer of %s", name);
	if (media != CX_PACKED_ANY && found != media)
		return cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL, "its media type in the manifest is wrong",
			"layer: %s, said to be %s", media_name(found), media_name(media));
	d->media = found;
	d->kind = found == CX_PACKED_GZIP ? &cx_decompress_gzip : found == CX_PACKED_ZSTD ? &cx_decompress_zstd : NULL;
	return d->kind && d->kind->open(&d->state) < 0 ? cx_fail_memory(err) : 0;
}

ssize_t cx_decompress_read(struct cx_decompress *d, struct cx_input *in, void *to, size_t size, conex_error **err)
{
	int r;

	if (d->kind)
		return d->kind->read(d->state, in, to, size, err);
	r = cx_input_more(in, err);
	if (r <= 0)
		return r;
	if (size > in->left)
		size = in->left;
	memcpy(to, in->next, size);
	in->next += size;
	in->left -= size;
	return (ssize_t)size;
}

void cx_decompress_close(struct cx_decompress *d)
{
	if (d->kind && d->state)
		d->kind->close(d->state);
	d->state = NULL;
}
