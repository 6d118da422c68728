/* What is reached from names and leases: index, manifest, config, layers, unpacked layers. For store-gc.c. */
#include "image/store-inside.h"

#include <search.h>
#include <stdlib.h>
#include "image/document.h"

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Puts a copy of `size` bytes into a tree. 1: it is new; 0: it was there; -ENOMEM */
static int add(void **tree, const void *what, size_t size, int (*order)(const void *, const void *))
{
	void *copy;

	if (tfind(what, tree, order))
		return 0;
	copy = malloc(size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, what, size);
	if (tsearch(copy, tree, order))
		return 1;
	free(copy);
	return -ENOMEM;
}

int cx_mark_blob(struct cx_marks *m, const struct cx_digest *digest)
{
	int r = add(&m->blobs, digest, sizeof *digest, cx_digest_order);

	if (r <= 0)
		return r;
	if (m->work_count == m->work_capacity) {
		size_t capacity = m->work_capacity ? 2 * m->work_capacity : 64;
		struct cx_digest *more = realloc(m->work, capacity * sizeof *more);

		if (!more)
			return -ENOMEM;
		m->work = more;
		m->work_capacity = capacity;
	}
	m->work[m->work_count++] = *digest;
	return 0;
}

int cx_mark_next(struct cx_marks *m, struct cx_digest *ret)
{
	if (!m->work_count)
		return 0;
	*ret = m->work[--m->work_count];
	return 1;
}

/* With all that it lies on. */
int cx_mark_layer(struct cx_marks *m, const struct cx_store *s, const char *name)
{
	char parent[CX_LAYER_NAME];
	int r;

	for (int i = 0; i < CX_LAYERS_MAX && *name; i++) {
		r = add(&m->layers, name, strlen(name) + 1, by_name);
		if (r <= 0)
			return r;
		r = cx_store_layer_about(s, name, parent, NULL);
		if (r == -ENOENT || r == -EBADMSG)
			return 0;
		if (r < 0)
			return r;
		name = parent;
	}
	return 0;
}

/* A small blob that may be a document. 1; 0: it isn't; -ENOENT: it isn't there; -errno */
static int load(const struct cx_store *s, const struct cx_digest *digest, char **ret, size_t *ret_size)
{
	struct stat st;
	int r = cx_store_stat_blob(s, digest, &st);

	if (r < 0)
		return r;
	if (st.st_size > CX_DOCUMENT_MAX)
		return 0;
	r = cx_store_read_blob(s, digest, ret, ret_size, NULL);
	return r < 0 ? r : 1;
}

/* It can't be understood, and not for want of memory or such. */
static int is_broken(int r)
{
	return r == -EINVAL || r == -EFBIG || r == -EOPNOTSUPP;
}

/* Of an image's config the directories of its layers. */
static int follow_config(struct cx_marks *m, const struct cx_store *s, const struct cx_digest *digest)
{
	cx_autofree char *bytes = NULL;
	struct cx_image_config *c = NULL;
	char (*names)[CX_LAYER_NAME];
	size_t size;
	int r = load(s, digest, &bytes, &size), found = 0;

	if (r > 0)
		r = cx_image_config_parse(bytes, size, &c, NULL);
	if (is_broken(r) && bytes)
		m->all_layers = 1;      /* somebody's image, perhaps in use: which layers are its can't be told */
	if (r < 0 || !c)
		return is_broken(r) || r == -ENOENT ? 0 : r;
	names = calloc(c->layer_count + 1, sizeof *names);
	r = names ? found = cx_store_find_layers(s, c->diff_ids, c->layer_count, names, NULL) : -ENOMEM;
	if (found > 0)
		r = cx_mark_layer(m, s, names[found - 1]);
	free(names);
	cx_image_config_free(c);
	return r < 0 ? r : 0;
}

static int follow_manifest(struct cx_marks *m, const struct cx_store *s, const struct cx_image_manifest *manifest)
{
	int r = cx_mark_blob(m, &manifest->config.digest);

	for (size_t i = 0; r == 0 && i < manifest->layer_count; i++)
		r = cx_mark_blob(m, &manifest->layers[i].digest);
	return r < 0 ? r : follow_config(m, s, &manifest->config.digest);
}

/* A layer's bytes are no manifest; nor is what is broken, which reaches nothing. */
static int follow(struct cx_marks *m, const struct cx_store *s, const struct cx_digest *digest)
{
	cx_autofree char *bytes = NULL;
	struct cx_image_manifest *manifest = NULL;
	size_t size;
	int r = load(s, digest, &bytes, &size);

	if (r <= 0)
		return r == -ENOENT ? 0 : r;
	if (size == 0 || bytes[0] == '\x1f' || bytes[0] == '\x28')     /* gzip, zstd */
		return 0;
	r = cx_image_manifest_parse(bytes, size, NULL, &manifest, NULL);
	if (is_broken(r))       /* once more: for a moment without memory some parsers blame the text */
		r = cx_image_manifest_parse(bytes, size, NULL, &manifest, NULL);
	if (r < 0)
		return is_broken(r) ? 0 : r;
	if (manifest->kind == CX_MEDIA_MANIFEST)
		r = follow_manifest(m, s, manifest);
	for (size_t i = 0; r == 0 && i < manifest->offer_count; i++)
		r = cx_mark_blob(m, &manifest->offers[i].target.digest);
	cx_image_manifest_free(manifest);
	return r;
}

int cx_mark_follow(struct cx_marks *m, const struct cx_store *s)
{
	struct cx_digest digest;
	int r = 0;

	while (r == 0 && cx_mark_next(m, &digest))
		r = follow(m, s, &digest);
	return r;
}

int cx_marks_blob(const struct cx_marks *m, const struct cx_digest *digest)
{
	return tfind(digest, &m->blobs, cx_digest_order) != NULL;
}

int cx_marks_layer(const struct cx_marks *m, const char *name)
{
	return tfind(name, &m->layers, by_name) != NULL;
}

void cx_marks_clear(struct cx_marks *m)
{
	tdestroy(m->blobs, free);
	tdestroy(m->layers, free);
	free(m->work);
	*m = (struct cx_marks){ .blobs = NULL };
}
