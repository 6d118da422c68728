/* An image's layers, unpacked in the store: each once, whoever needs it. */
#include "image/worker/tasks.h"
#include "image/worker/registry-parts.h"
#include "image/worker/unpack.h"

#include <stdio.h>
#include <string.h>

/* image-spec, config.md: the chain id of a layer is the digest of the one's below and its own diff id. */
static int chain(struct cx_digest *chain_id, const struct cx_digest *diff_id, int is_first)
{
	char text[2 * CX_DIGEST_TEXT + 1], below[CX_DIGEST_TEXT], own[CX_DIGEST_TEXT];

	if (is_first && diff_id->algorithm == CX_DIGEST_SHA256) {
		*chain_id = *diff_id;
		return 0;
	}
	cx_digest_print(chain_id, below);
	cx_digest_print(diff_id, own);
	snprintf(text, sizeof text, "%s%s%s", is_first ? "" : below, is_first ? "" : " ", own);
	return cx_registry_hash(CX_DIGEST_SHA256, text, strlen(text), chain_id);
}

static int packed_as(enum cx_media media)
{
	return media == CX_MEDIA_LAYER_GZIP ? CX_PACKED_GZIP : media == CX_MEDIA_LAYER_ZSTD ? CX_PACKED_ZSTD : CX_PACKED_TAR;
}

static int fill(struct cx_worker *w, struct cx_store_layer *to, const struct cx_descriptor *blob,
	const struct cx_digest *diff_id, const struct cx_unpack_options *options, conex_error **err)
{
	cx_autoclose int fd = cx_store_open_blob(to->store, &blob->digest, NULL, err);
	char digest[CX_DIGEST_TEXT], diff[CX_DIGEST_TEXT];
	struct cx_packed layer = { .fd = fd, .digest = digest, .diff_id = diff, .size = blob->size,
		.media = packed_as(blob->media) };
	struct cx_unpack_result result;
	int r;

	if (fd < 0)
		return fd;
	cx_digest_print(&blob->digest, digest);
	cx_digest_print(diff_id, diff);
	r = cx_unpack_layer(to->dir, "root", &layer, options, &result, err);
	if (r < 0)
		return r;
	__atomic_add_fetch(&w->unpacked, result.plain, __ATOMIC_RELAXED);
	return cx_store_layer_commit(to, result.bytes, err);
}

static int unpack_one(struct cx_worker *w, struct cx_store_lease *l, const char *name, const char *parent,
	const struct cx_descriptor *blob, const struct cx_digest *diff_id, const struct cx_unpack_options *options,
	conex_error **err)
{
	struct cx_store_layer *layer;
	int r = cx_store_layer_begin(l, name, parent, CX_INGEST_WAIT, &layer, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = fill(w, layer, blob, diff_id, options, err);
	cx_store_layer_close(layer);
	return r;
}

static int unpack_all(struct cx_worker *w, struct cx_store_lease *l, const struct cx_image_manifest *m,
	const struct cx_image_config *config, const struct cx_unpack_options *options, conex_error **err)
{
	char names[2][CX_LAYER_NAME];
	struct cx_digest chain_id;
	int r = 0;

	w->total_layers = (uint32_t)m->layer_count;
	for (size_t i = 0; i < m->layer_count && r == 0; i++) {
		char *name = names[i % 2];

		cx_worker_step(w, "layer %zu of %zu", i + 1, m->layer_count);
		if (chain(&chain_id, &config->diff_ids[i], i == 0) < 0
		    || cx_store_layer_name(&config->diff_ids[i], &chain_id, name) < 0)
			return cx_fail(err, CONEX_STAGE_IMAGE, -EIO, NULL, NULL, "layer %zu's name", i + 1);
		r = unpack_one(w, l, name, i ? names[(i + 1) % 2] : NULL, &m->layers[i], &config->diff_ids[i], options, err);
		__atomic_add_fetch(&w->done_layers, 1, __ATOMIC_RELAXED);
	}
	return r;
}

static int read_config(const struct cx_store *s, const struct cx_image_manifest *m, struct cx_image_config **ret,
	conex_error **err)
{
	cx_autofree char *text = NULL;
	size_t size;
	int r = cx_store_read_blob(s, &m->config.digest, &text, &size, err);

	if (r == 0 && size != m->config.size)
		r = cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL, NULL, "the config has %zu bytes, its descriptor says %llu", size,
			(unsigned long long)m->config.size);
	if (r == 0)
		r = cx_image_config_parse(text, size, ret, err);
	if (r == 0 && (r = cx_image_config_check(*ret, m, NULL, err)) < 0)
		cx_image_config_free(*ret);
	return r;
}

int cx_layers_unpack(struct cx_worker *w, const struct cx_work_place *p, const struct cx_digest *manifest, conex_error **err)
{
	struct cx_image_config *config = NULL;
	struct cx_image_manifest *m = NULL;
	cx_autofree char *text = NULL;
	size_t size;
	int r = cx_store_read_blob(p->store, manifest, &text, &size, err);

	if (r == 0)
		r = cx_image_manifest_parse(text, size, NULL, &m, err);
	if (r == 0)
		r = read_config(p->store, m, &config, err);
	if (r == 0) {
		r = unpack_all(w, p->lease, m, config, &p->unpack, err);
		cx_image_config_free(config);
	}
	cx_image_manifest_free(m);
	return r;
}
