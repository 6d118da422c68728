/* Walks through an image in the store: its documents, the blobs that they name, and which other repositories of the
 * registry have the same. Before push.c sends it. */
#include "image/worker/pushed.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "image/document.h"
#include "image/manifest-inside.h"

enum { DEPTH = 3 };                     /* of indexes in indexes */

void cx_pushed_clear(struct cx_pushed *p)
{
	for (size_t i = 0; i < p->document_count; i++)
		free(p->documents[i].bytes);
	free(p->documents);
	free(p->blobs);
	free(p->names);
	*p = (struct cx_pushed){ .blobs = NULL };
}

/* ---- lists ---- */

static void *grow(void *list, size_t *room, size_t one)
{
	size_t more = *room ? 2 * *room : 16;
	void *larger = reallocarray(list, more, one);

	if (larger)
		*room = more;
	return larger;
}

static int add_blob(struct cx_pushed *p, const struct cx_descriptor *d, int is_layer, conex_error **err)
{
	if (p->count == p->room) {
		struct cx_pushed_blob *more = grow(p->blobs, &p->room, sizeof *more);

		if (!more)
			return cx_fail_memory(err);
		p->blobs = more;
	}
	p->blobs[p->count++] = (struct cx_pushed_blob){ .digest = d->digest, .size = d->size, .is_layer = is_layer };
	return 0;
}

static int has_document(const struct cx_pushed *p, const struct cx_digest *digest)
{
	for (size_t i = 0; i < p->document_count; i++)
		if (cx_digest_equal(&p->documents[i].digest, digest))
			return 1;
	return 0;
}

/* Takes `bytes`. */
static int add_document(struct cx_pushed *p, const struct cx_descriptor *d, const char *type, char **bytes, size_t size,
	conex_error **err)
{
	if (p->document_count == p->document_room) {
		struct cx_pushed_document *more = grow(p->documents, &p->document_room, sizeof *more);

		if (!more)
			return cx_fail_memory(err);
		p->documents = more;
	}
	p->documents[p->document_count++] = (struct cx_pushed_document){ .digest = d->digest, .type = type,
		.bytes = cx_steal_ptr(bytes), .size = size };
	return 0;
}

static int by_digest(const void *a, const void *b)
{
	return cx_digest_order(&((const struct cx_pushed_blob *)a)->digest, &((const struct cx_pushed_blob *)b)->digest);
}

static int by_size(const void *a, const void *b)
{
	uint64_t first = ((const struct cx_pushed_blob *)a)->size, second = ((const struct cx_pushed_blob *)b)->size;

	return first == second ? by_digest(a, b) : first < second ? 1 : -1;
}

static void make_unique(struct cx_pushed *p)
{
	size_t n = 0;

	if (p->count)
		qsort(p->blobs, p->count, sizeof *p->blobs, by_digest);
	for (size_t i = 0; i < p->count; i++) {
		if (n && by_digest(&p->blobs[n - 1], &p->blobs[i]) == 0)
			p->blobs[n - 1].is_layer |= p->blobs[i].is_layer;
		else
			p->blobs[n++] = p->blobs[i];
	}
	p->count = n;
}

/* ---- an image ---- */

static int walk(const struct cx_store *s, struct cx_pushed *p, const struct cx_descriptor *d, int is_image, int depth,
	conex_error **err);

static int walk_manifest(struct cx_pushed *p, const struct cx_image_manifest *m, conex_error **err)
{
	int r = add_blob(p, &m->config, 0, err);

	for (size_t i = 0; i < m->layer_count && r == 0; i++)
		r = add_blob(p, &m->layers[i], 1, err);
	return r;
}

static int walk_index(const struct cx_store *s, struct cx_pushed *p, const struct cx_image_manifest *m, int depth,
	conex_error **err)
{
	int r = depth < DEPTH ? 0 : cx_fail(err, CONEX_STAGE_IMAGE, -EINVAL, NULL, NULL, "indexes of indexes of indexes");

	for (size_t i = 0; i < m->offer_count && r == 0; i++)
		r = walk(s, p, &m->offers[i].target, m->offers[i].is_image, depth + 1, err);
	return r;
}

/* An attestation, a signature: a manifest whose config and layers are whatever they are. */
static int walk_artifact(struct cx_pushed *p, const char *bytes, size_t size, conex_error **err)
{
	json_t *root, *list, *one;
	struct cx_descriptor d;
	size_t i;
	int r = cx_document_parse(bytes, size, "manifest", &root, err);

	if (r < 0)
		return r;
	list = json_object_get(root, "layers");
	r = cx_manifest_check(root, err);
	if (r == 0)
		r = cx_descriptor_read(json_object_get(root, "config"), "config", &d, err);
	if (r == 0)
		r = add_blob(p, &d, 0, err);
	json_array_foreach(list, i, one) {
		if (r == 0)
			r = cx_descriptor_read(one, "layers[]", &d, err);
		if (r == 0)
			r = add_blob(p, &d, 1, err);
	}
	json_decref(root);
	return r;
}

static int missing(const struct cx_store *s, const struct cx_digest *digest, int in_index, conex_error **err)
{
	char text[CX_DIGEST_TEXT];

	cx_digest_print(digest, text);
	return cx_fail(err, CONEX_STAGE_IMAGE, -ENOENT, "it isn't there with all its parts",
		in_index ? "name a platform that is there (conex_image_options.platform), whose image is pushed alone"
		: "pull the image again", "store %s: %s%s", s->path, in_index ? "of a multi-platform image " : "", text);
}

/* What is in an index is put behind its parts, and it behind all of them. */
static int walk(const struct cx_store *s, struct cx_pushed *p, const struct cx_descriptor *d, int is_image, int depth,
	conex_error **err)
{
	struct cx_image_manifest *m = NULL;
	cx_autofree char *bytes = NULL;
	const char *type = d->type;
	size_t size;
	int r;

	if (has_document(p, &d->digest))
		return 0;
	if (!cx_store_has_blob(s, &d->digest))
		return missing(s, &d->digest, depth > 0, err);
	r = cx_store_read_blob(s, &d->digest, &bytes, &size, err);
	if (r == 0 && is_image)
		r = cx_image_manifest_parse(bytes, size, d->type, &m, err);
	if (r < 0)
		return r;
	if (m)
		type = m->type;
	if (!m)
		r = walk_artifact(p, bytes, size, err);
	else
		r = m->kind == CX_MEDIA_INDEX ? walk_index(s, p, m, depth, err) : walk_manifest(p, m, err);
	cx_image_manifest_free(m);
	if (r == 0 && !type)
		type = CX_MEDIA_OCI_MANIFEST;
	return r < 0 ? r : add_document(p, d, type, &bytes, size, err);
}

static int check_blobs(const struct cx_store *s, const struct cx_pushed *p, conex_error **err)
{
	for (size_t i = 0; i < p->count; i++) {
		const struct cx_pushed_blob *b = &p->blobs[i];
		char text[CX_DIGEST_TEXT];
		uint64_t size;
		int fd;

		if (!cx_store_has_blob(s, &b->digest))
			return missing(s, &b->digest, p->document_count > 1, err);
		fd = cx_store_open_blob(s, &b->digest, &size, err);
		if (fd < 0)
			return fd;
		close(fd);
		cx_digest_print(&b->digest, text);
		if (size != b->size)
			return cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL, "pull the image again",
				"blob %s has %llu bytes, its manifest says %llu", text, (unsigned long long)size,
				(unsigned long long)b->size);
	}
	return 0;
}

/* From an index, or one in it, to the platform's manifest. */
static int descend(const struct cx_store *s, const struct cx_platform *platform, struct cx_descriptor *d, conex_error **err)
{
	struct cx_image_manifest *m = NULL;
	const struct cx_descriptor *target;
	int r = 0, is_index = 1;

	for (int depth = 0; r == 0 && is_index && depth <= DEPTH; depth++) {
		cx_autofree char *bytes = NULL;
		size_t size;

		r = cx_store_read_blob(s, &d->digest, &bytes, &size, err);
		if (r == 0)
			r = cx_image_manifest_parse(bytes, size, d->type, &m, err);
		if (r < 0)
			break;
		is_index = m->kind == CX_MEDIA_INDEX;
		if (is_index)
			r = cx_image_manifest_choose(m, platform, &target, err);
		if (is_index && r == 0)
			*d = *target;
		cx_image_manifest_free(m);
	}
	return r;
}

/* ---- other repositories ---- */

/* What can't be read says nothing. */
static void look_for_sources(const struct cx_store *s, struct cx_pushed *p, const struct cx_image *image)
{
	const struct cx_descriptor top = { .digest = image->target };
	struct cx_pushed other = { .blobs = NULL };
	struct cx_pushed_blob *found;

	walk(s, &other, &top, 1, 0, NULL);
	for (size_t i = 0; i < other.count; i++) {
		found = bsearch(&other.blobs[i], p->blobs, p->count, sizeof *p->blobs, by_digest);
		if (found && !found->from)
			found->from = image->name.repository;
	}
	cx_pushed_clear(&other);
}

static int find_sources(const struct cx_store *s, const struct cx_reference *name, struct cx_pushed *p, conex_error **err)
{
	int n = cx_store_list_images(s, &p->names, err);

	for (int i = 0; i < n; i++)
		if (!strcmp(p->names[i].name.host, name->host) && strcmp(p->names[i].name.repository, name->repository))
			look_for_sources(s, p, &p->names[i]);
	return n < 0 ? n : 0;
}

int cx_pushed_collect(const struct cx_store *s, const struct cx_reference *name, const struct cx_platform *platform,
	struct cx_pushed *ret, conex_error **err)
{
	struct cx_descriptor top = { .type = NULL };
	int r = cx_store_get_image(s, name, &top.digest, err);

	if (r == 0 && platform)
		r = descend(s, platform, &top, err);
	if (r == 0)
		r = walk(s, ret, &top, 1, 0, err);
	if (r == 0) {
		make_unique(ret);
		r = check_blobs(s, ret, err);
	}
	if (r == 0)
		r = find_sources(s, name, ret, err);
	if (r == 0 && ret->count)
		qsort(ret->blobs, ret->count, sizeof *ret->blobs, by_size);
	return r;
}
