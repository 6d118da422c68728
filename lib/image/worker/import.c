/* An archive (an OCI layout as tar, or what docker save writes) or a layout's directory becomes an image of the store. */
#include "image/document.h"
#include "image/worker/tasks.h"
#include "image/protocol.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct import {
	struct cx_worker *w;
	struct cx_work_place place;
	struct cx_archive archive;
	struct cx_digest manifest;
};

static int refuse(conex_error **err, int code, const char *what, const char *mend)
{
	return cx_refuse(err, code, "archive", what, "%s", mend);
}

/* ---- an OCI layout ---- */

/* Names that tools give an image in an index: containerd's is whole; OCI's may be the tag alone, which says something
 * where that is all. */
static int is_named(const json_t *line, const struct cx_reference *name)
{
	const json_t *annotations = json_object_get(line, "annotations");
	const char *is = json_string_value(json_object_get(annotations, "io.containerd.image.name"));
	char whole[CX_REFERENCE_TEXT], familiar[CX_REFERENCE_TEXT];
	int has_whole = is != NULL;

	cx_reference_print(name, whole);
	cx_reference_familiar(name, familiar);
	if (!is)
		is = json_string_value(json_object_get(annotations, "org.opencontainers.image.ref.name"));
	return is && (!strcmp(is, whole) || !strcmp(is, familiar) || (!has_whole && !strcmp(is, name->tag)));
}

/* Is there only one, or do platforms tell them apart? */
static int is_clear(const json_t *list)
{
	const json_t *line;
	size_t i, plain = 0, told = 0;

	json_array_foreach(list, i, line) {
		enum cx_media media = cx_media_of(json_string_value(json_object_get(line, "mediaType")), NULL);

		told += json_object_get(line, "platform") != NULL;
		plain += media == CX_MEDIA_MANIFEST || media == CX_MEDIA_INDEX;
	}
	return told || plain < 2;
}

/* Of several images in one archive the one of that name; else the platform decides, as in any index. */
static int only_named(struct import *im, const char *text, size_t size, char **ret, conex_error **err)
{
	json_t *root = NULL, *list, *line, *some;
	size_t i;
	int r = cx_document_parse(text, size, "index.json", &root, err);

	if (r < 0)
		return r;
	list = json_object_get(root, "manifests");
	some = json_array();
	json_array_foreach(list, i, line)
		if (is_named(line, &im->place.name))
			json_array_append(some, line);
	if (json_array_size(some))
		json_object_set(root, "manifests", some);
	else if (!is_clear(list))
		r = refuse(err, -ENOENT, "index.json", "it holds several images, and none of this name");
	json_decref(some);
	if (r == 0 && !(*ret = json_dumps(root, JSON_COMPACT)))
		r = cx_fail_memory(err);
	json_decref(root);
	return r;
}

static int choose(struct import *im, const char *text, size_t size, int depth, conex_error **err)
{
	const struct cx_descriptor *target = NULL;
	struct cx_image_manifest *m = NULL;
	cx_autofree char *below = NULL;
	int r = cx_image_manifest_parse(text, size, NULL, &m, err);

	if (r == 0 && m->kind == CX_MEDIA_INDEX)
		r = depth < 3 ? cx_image_manifest_choose(m, &im->place.platform, &target, err)
			: refuse(err, -EINVAL, "index.json", "indexes of indexes of indexes lead nowhere");
	if (r == 0 && target) {
		im->manifest = target->digest;
		r = cx_store_read_blob(im->place.store, &target->digest, &below, &size, err);
	}
	cx_image_manifest_free(m);
	return r < 0 || !below ? r : choose(im, below, size, depth + 1, err);
}

static int from_layout(struct import *im, const struct cx_entry *index, conex_error **err)
{
	cx_autofree char *text = NULL;
	int r = only_named(im, index->text, index->size, &text, err);

	if (r == 0)
		r = choose(im, text, strlen(text), 0, err);
	if (r == 0 && !im->manifest.algorithm)
		r = refuse(err, -EINVAL, "index.json", "an index of manifests");
	return r;
}

/* ---- docker save, before it wrote layouts ---- */

/* manifest.json doesn't tell how a layer is packed; its first bytes do. */
static const char *packed_as(struct import *im, const struct cx_entry *e)
{
	cx_autoclose int fd = cx_store_open_blob(im->place.store, &e->digest, NULL, NULL);
	unsigned char magic[4] = { 0 };

	if (fd >= 0 && read(fd, magic, sizeof magic) == sizeof magic) {
		if (magic[0] == 0x1f && magic[1] == 0x8b)
			return CX_MEDIA_OCI_LAYER "+gzip";
		if (!memcmp(magic, "\x28\xb5\x2f\xfd", 4))
			return CX_MEDIA_OCI_LAYER "+zstd";
	}
	return CX_MEDIA_OCI_LAYER;
}

static json_t *descriptor(const char *type, const struct cx_digest *digest, uint64_t size)
{
	char text[CX_DIGEST_TEXT];

	cx_digest_print(digest, text);
	return json_pack("{s:s, s:s, s:I}", "mediaType", type, "digest", text, "size", (json_int_t)size);
}

static int is_tagged(const json_t *line, const struct cx_reference *name)
{
	const json_t *tag;
	size_t i;

	json_array_foreach(json_object_get(line, "RepoTags"), i, tag) {
		struct cx_reference is;

		if (json_is_string(tag) && cx_reference_parse(json_string_value(tag), &is, NULL) == 0 && cx_reference_equal(&is, name))
			return 1;
	}
	return 0;
}

static const json_t *line_of(const json_t *list, const struct cx_reference *name)
{
	const json_t *line;
	size_t i;

	json_array_foreach(list, i, line)
		if (is_tagged(line, name))
			return line;
	return json_array_size(list) == 1 ? json_array_get(list, 0) : NULL;
}

static int put_config(struct import *im, const json_t *line, json_t *manifest, conex_error **err)
{
	const char *name = json_string_value(json_object_get(line, "Config"));
	const struct cx_entry *e = name ? cx_archive_find(&im->archive, name) : NULL;
	struct cx_digest digest;
	int r;

	if (!e)
		return refuse(err, -EINVAL, "manifest.json", "Config has to name a file of the archive");
	digest = e->digest;
	r = e->text ? cx_blob_put(im->place.lease, e->text, e->size, &digest, err) : 0;
	if (r == 0 && json_object_set_new(manifest, "config", descriptor(CX_MEDIA_OCI_CONFIG, &digest, e->size)) < 0)
		r = cx_fail_memory(err);
	return r;
}

static int put_layers(struct import *im, const json_t *line, json_t *manifest, conex_error **err)
{
	const json_t *list = json_object_get(line, "Layers"), *item;
	json_t *layers = json_array();
	size_t i;

	if (!layers || json_object_set_new(manifest, "layers", layers) < 0)
		return cx_fail_memory(err);
	json_array_foreach(list, i, item) {
		const struct cx_entry *e = json_is_string(item) ? cx_archive_find(&im->archive, json_string_value(item)) : NULL;

		if (!e || !e->digest.algorithm)
			return refuse(err, -EINVAL, json_string_value(item), "Layers have to be files of the archive");
		if (json_array_append_new(layers, descriptor(packed_as(im, e), &e->digest, e->size)) < 0)
			return cx_fail_memory(err);
	}
	return 0;
}

static int from_docker(struct import *im, const struct cx_entry *e, conex_error **err)
{
	json_t *list = json_loadb(e->text, e->size, JSON_REJECT_DUPLICATES, NULL);
	const json_t *line = json_is_array(list) ? line_of(list, &im->place.name) : NULL;
	json_t *manifest = json_pack("{s:i, s:s}", "schemaVersion", 2, "mediaType", CX_MEDIA_OCI_MANIFEST);
	cx_autofree char *text = NULL;
	int r = 0;

	if (!manifest)
		r = cx_fail_memory(err);
	else if (!line)
		r = list ? refuse(err, -ENOENT, "manifest.json", "it holds several images, and none of this name")
			: refuse(err, -EINVAL, "manifest.json", "it has to be a list");
	if (r == 0)
		r = put_config(im, line, manifest, err);
	if (r == 0)
		r = put_layers(im, line, manifest, err);
	if (r == 0 && !(text = json_dumps(manifest, JSON_COMPACT)))
		r = cx_fail_memory(err);
	json_decref(manifest);
	json_decref(list);
	return r < 0 ? r : cx_blob_put(im->place.lease, text, strlen(text), &im->manifest, err);
}

/* ---- all of it ---- */

static int find_manifest(struct import *im, conex_error **err)
{
	const struct cx_entry *index = cx_archive_find(&im->archive, "index.json");
	const struct cx_entry *docker = cx_archive_find(&im->archive, "manifest.json");

	if (index && index->text)
		return from_layout(im, index, err);
	if (docker && docker->text)
		return from_docker(im, docker, err);
	return refuse(err, -EINVAL, NULL, "an OCI layout (index.json) or what docker save writes (manifest.json)");
}

static int open_all(struct import *im, conex_error **err)
{
	struct stat st;
	int r = cx_work_place_open(im->w, &im->place, err);

	if (r < 0)
		return r;
	return cx_work_place_lock(im->w, &im->place, fstat(CX_WORKER_FIRST, &st) == 0 && S_ISDIR(st.st_mode) ? CX_WORKER_FIRST : -1,
		0, err);
}

static int import(struct import *im, conex_error **err)
{
	int r;

	cx_worker_step(im->w, "reading");
	r = cx_archive_read(im->w, im->place.lease, CX_WORKER_FIRST, &im->archive, err);
	if (r == 0)
		r = find_manifest(im, err);
	if (r == 0)
		r = cx_layers_unpack(im->w, &im->place, &im->manifest, err);
	if (r == 0)
		r = cx_store_put_image(im->place.store, &im->place.name, &im->manifest, err);
	return r;
}

int cx_task_import(struct cx_worker *w, char **result, conex_error **err)
{
	struct import im = { .w = w };
	int r = open_all(&im, err);

	if (r == 0)
		r = import(&im, err);
	cx_archive_clear(&im.archive);
	cx_work_place_close(&im.place);
	return r < 0 ? r : cx_result_digest(&im.manifest, result, err);
}
