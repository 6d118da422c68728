/* Manifests: a config and layers. index.c reads what is in an index; config.c what a config says. */
#include "image/manifest-inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include "image/refuse.h"

static const struct cx_field platform_fields[] = {
	TEXT("architecture", CX_REQUIRED),
	TEXT("os", CX_REQUIRED),
	TEXT("os.version", 0),
	TEXT("os.features", CX_LIST),
	TEXT("variant", 0),
	TEXT("features", CX_LIST),
	{ .name = NULL }
};

#define DESCRIPTOR(most) \
	TEXT("mediaType", CX_REQUIRED | CX_FILLED), \
	TEXT("digest", CX_REQUIRED | CX_FILLED), \
	INT("size", CX_REQUIRED, 0, most), \
	TEXT("urls", CX_LIST), \
	TEXT("annotations", CX_MAP), \
	TEXT("data", 0), \
	TEXT("artifactType", 0)

static const struct cx_field document_fields[] = { DESCRIPTOR(CX_DOCUMENT_MAX), { .name = NULL } };
static const struct cx_field layer_fields[] = { DESCRIPTOR(CX_LAYER_BYTES_MAX), { .name = NULL } };
static const struct cx_field offer_fields[] = {
	DESCRIPTOR(CX_LAYER_BYTES_MAX),
	OBJECT("platform", 0, platform_fields),
	{ .name = NULL }
};

static const struct cx_field manifest_fields[] = {
	INT("schemaVersion", CX_REQUIRED, 2, 2),
	TEXT("mediaType", 0),
	TEXT("artifactType", 0),
	OBJECT("config", CX_REQUIRED, document_fields),
	OBJECT("layers", CX_REQUIRED | CX_LIST, layer_fields),
	OBJECT("subject", 0, offer_fields),
	TEXT("annotations", CX_MAP),
	{ .name = NULL }
};

static const struct cx_field index_fields[] = {
	INT("schemaVersion", CX_REQUIRED, 2, 2),
	TEXT("mediaType", 0),
	TEXT("artifactType", 0),
	OBJECT("manifests", CX_REQUIRED | CX_LIST, offer_fields),
	OBJECT("subject", 0, offer_fields),
	TEXT("annotations", CX_MAP),
	{ .name = NULL }
};

/* Keys whose spelling in another case readers written in Go would take, and we wouldn't. */
static const char *const keys[] = { "schemaVersion", "mediaType", "config", "layers", "manifests", "fsLayers", NULL };

static int check_spelling(const json_t *root, conex_error **err)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)root, key, value)
		for (const char *const *k = keys; *k; k++)
			if (!strcasecmp(key, *k) && strcmp(key, *k))
				return cx_document_refuse(err, -EINVAL, "manifest", NULL,
					"some readers would take it for another key: keys are written with the case of the specification",
					"%s", key);
	return 0;
}

static int refuse_schema1(conex_error **err)
{
	return cx_document_refuse(err, -EOPNOTSUPP, "manifest", NULL,
		"Docker's schema 1 was given up: pull and push the image once with a tool of today, or ask for a newer tag",
		"schemaVersion");
}

/* One document, one meaning (CVE-2021-41190): what is there decides, and what is said must agree. */
static int decide_kind(const json_t *root, enum cx_media *ret, conex_error **err)
{
	const json_t *manifests = json_object_get(root, "manifests"), *layers = json_object_get(root, "layers"),
		*config = json_object_get(root, "config");

	if (json_object_get(root, "fsLayers") || cx_json_int(root, "schemaVersion", 2) == 1)
		return refuse_schema1(err);
	if (manifests && (layers || config))
		return cx_document_refuse(err, -EINVAL, "manifest", NULL,
			"it could be read as an index and as a manifest: it must have manifests, or config and layers", "manifests, %s",
			layers ? "layers" : "config");
	if (!manifests && !layers && !config)
		return cx_document_refuse(err, -EINVAL, "manifest", NULL,
			"an index has manifests, a manifest has config and layers; this is neither", "%s", "");
	*ret = manifests ? CX_MEDIA_INDEX : CX_MEDIA_MANIFEST;
	return 0;
}

static const char *kind_name(enum cx_media kind)
{
	return kind == CX_MEDIA_INDEX ? "an index" : "a manifest";
}

/* A type that was said, in the document or beside it. *name: what it is usually written as. */
static int check_said(const char *where, const char *said, enum cx_media kind, const char **name, conex_error **err)
{
	const char *known;
	enum cx_media media = cx_media_of(said, &known);
	char mend[160];

	if (media != kind) {
		snprintf(mend, sizeof mend, "what is in it is %s: %s or %s", kind_name(kind),
			kind == CX_MEDIA_INDEX ? CX_MEDIA_OCI_INDEX : CX_MEDIA_OCI_MANIFEST,
			kind == CX_MEDIA_INDEX ? CX_MEDIA_DOCKER_LIST : CX_MEDIA_DOCKER_MANIFEST);
		return cx_document_refuse(err, -EINVAL, "manifest", said, mend, "%s", where);
	}
	if (*name && strcmp(*name, known))
		return cx_document_refuse(err, -EINVAL, "manifest", said,
			"the registry, or the descriptor that led here, says another type: one of them is wrong", "%s", where);
	*name = known;
	return 0;
}

static int is_said(const char *type)
{
	return type && *type && strncasecmp(type, "application/json", 16);
}

static int decide_type(const json_t *root, const char *type, struct cx_image_manifest *m, conex_error **err)
{
	const json_t *field = json_object_get(root, "mediaType");
	int r = cx_media_of(type, NULL) == CX_MEDIA_SCHEMA1 ? refuse_schema1(err) : decide_kind(root, &m->kind, err);

	if (r == 0 && is_said(type))
		r = check_said("type given", type, m->kind, &m->type, err);
	if (r == 0 && json_is_string(field)) /* another type is refused by the table */
		r = check_said("mediaType", json_string_value(field), m->kind, &m->type, err);
	if (!m->type)   /* OCI's may leave it out, Docker's not */
		m->type = m->kind == CX_MEDIA_INDEX ? CX_MEDIA_OCI_INDEX : CX_MEDIA_OCI_MANIFEST;
	return r;
}

int cx_manifest_check(const json_t *root, conex_error **err)
{
	return cx_document_check(manifest_fields, root, "manifest", err);
}

int cx_descriptor_read(const json_t *from, const char *where, struct cx_descriptor *ret, conex_error **err)
{
	struct cx_descriptor d = { .size = (uint64_t)cx_json_int(from, "size", 0) };
	char path[96];
	int r;

	snprintf(path, sizeof path, "manifest: %s.digest", where);
	r = cx_digest_parse(cx_json_text(from, "digest"), path, &d.digest, err);
	if (r < 0)
		return r;
	d.media = cx_media_of(cx_json_text(from, "mediaType"), &d.type);
	*ret = d;
	return 0;
}

static int read_config(const json_t *root, struct cx_image_manifest *m, conex_error **err)
{
	const char *type = cx_json_text(root, "config.mediaType");
	int r = cx_descriptor_read(json_object_get(root, "config"), "config", &m->config, err);

	if (r == 0 && m->config.media != CX_MEDIA_CONFIG)
		return cx_document_refuse(err, -EOPNOTSUPP, "manifest", type,
			"this is an artifact of another kind (a chart, a signature, a module), not the image of a container",
			"config.mediaType");
	return r;
}

static int read_layer(const json_t *from, size_t i, struct cx_image_manifest *m, conex_error **err)
{
	const char *type = cx_json_text(from, "mediaType");
	struct cx_descriptor *d = &m->layers[i];
	char where[32];
	int r;

	snprintf(where, sizeof where, "layers[%zu]", i);
	r = cx_descriptor_read(from, where, d, err);
	if (r < 0)
		return r;
	if (d->media == CX_MEDIA_FOREIGN)
		return cx_document_refuse(err, -EOPNOTSUPP, "manifest", type,
			"a layer that registries may not hand out (a foreign one) can't be pulled: build the image on another base",
			"%s.mediaType", where);
	if (!cx_media_is_layer(d->media))
		return cx_document_refuse(err, -EOPNOTSUPP, "manifest", type,
			"a layer is a tar archive, plain or packed by gzip or zstd: " CX_MEDIA_OCI_LAYER "+gzip", "%s.mediaType", where);
	m->layer_bytes += d->size;      /* 500 times 2^40 at most */
	return 0;
}

static int read_layers(const json_t *root, struct cx_image_manifest *m, conex_error **err)
{
	const json_t *list = json_object_get(root, "layers");
	char count[32];
	int r = 0;

	m->layer_count = json_array_size(list);
	snprintf(count, sizeof count, "%zu of them", m->layer_count);
	if (m->layer_count > CX_LAYERS_MAX)
		return cx_document_refuse(err, -EINVAL, "manifest", count,
			"the kernel stacks at most 500: build the image with fewer steps, or squash it", "layers");
	m->layers = calloc(m->layer_count + 1, sizeof *m->layers);
	if (!m->layers)
		return cx_fail_memory(err);
	for (size_t i = 0; r == 0 && i < m->layer_count; i++)
		r = read_layer(json_array_get(list, i), i, m, err);
	if (r == 0 && m->layer_bytes > (uint64_t)CX_LAYER_BYTES_MAX)
		return cx_document_refuse(err, -EINVAL, "manifest", NULL, "all layers together have at most 1 TiB",
			"layers[].size");
	return r;
}

static int read_document(const json_t *root, const char *type, struct cx_image_manifest *m, conex_error **err)
{
	int r = check_spelling(root, err);

	if (r == 0)
		r = decide_type(root, type, m, err);
	if (r == 0)
		r = m->kind == CX_MEDIA_INDEX ? cx_document_check(index_fields, root, "manifest", err) : cx_manifest_check(root, err);
	if (r < 0 || m->kind == CX_MEDIA_INDEX)
		return r < 0 ? r : cx_index_read(root, m, err);
	r = read_config(root, m, err);
	return r < 0 ? r : read_layers(root, m, err);
}

int cx_image_manifest_parse(const char *bytes, size_t size, const char *type, struct cx_image_manifest **ret,
	conex_error **err)
{
	struct cx_image_manifest *m = calloc(1, sizeof *m);
	json_t *root = NULL;
	int r;

	if (!m)
		return cx_fail_memory(err);
	r = cx_document_parse(bytes, size, "manifest", &root, err);
	if (r == 0)
		r = read_document(root, type, m, err);
	json_decref(root);
	if (r < 0) {
		cx_image_manifest_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

void cx_image_manifest_free(struct cx_image_manifest *m)
{
	if (!m)
		return;
	free(m->layers);
	free(m->offers);
	free(m);
}
