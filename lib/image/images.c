/* conex/image.h: names of the store, and what they lead to. */
#include "image/images.h"
#include "base/error.h"
#include "base/options.h"
#include "base/path.h"

#include <stdio.h>
#include <string.h>

int cx_images_of(conex *cx, struct cx_store **ret, conex_error **err)
{
	int r = cx_context_lock(cx, err);

	if (r < 0)
		return r;
	if (!cx->store)
		r = cx_store_open(cx->store_path, 0, &cx->store, err);
	*ret = cx->store;
	cx_context_unlock(cx);
	return r;
}

int cx_images_existing(conex *cx, struct cx_store **ret, conex_error **err)
{
	int r = cx_context_lock(cx, err);

	if (r < 0)
		return r;
	if (!cx->store)
		r = cx_store_open(cx->store_path, CX_STORE_EXISTING, &cx->store, NULL);
	if (r == -EACCES)               /* somebody else's home: it has none there */
		r = -ENOENT;
	if (r < 0 && r != -ENOENT)      /* again, for its words */
		r = cx_store_open(cx->store_path, CX_STORE_EXISTING, &cx->store, err);
	*ret = cx->store;
	cx_context_unlock(cx);
	return r == -ENOENT ? 0 : r;
}

/* ---- what a name leads to ---- */

void cx_found_image_clear(struct cx_found_image *i)
{
	cx_image_manifest_free(i->parts);
	cx_image_config_free(i->config);
	i->parts = NULL;
	i->config = NULL;
}

static int read_manifest(struct cx_store *s, const struct cx_platform *platform, struct cx_found_image *i, int depth,
	conex_error **err)
{
	const struct cx_descriptor *target;
	cx_autofree char *text = NULL;
	size_t size;
	int r = cx_store_read_blob(s, &i->manifest, &text, &size, err);

	if (r == 0)
		r = cx_image_manifest_parse(text, size, NULL, &i->parts, err);
	if (r < 0 || i->parts->kind == CX_MEDIA_MANIFEST)
		return r;
	r = depth < 3 ? cx_image_manifest_choose(i->parts, platform, &target, err)
		: cx_fail(err, CONEX_STAGE_IMAGE, -EINVAL, NULL, NULL, "indexes of indexes of indexes");
	if (r == 0)
		i->manifest = target->digest;
	cx_image_manifest_free(i->parts);
	i->parts = NULL;
	return r < 0 ? r : read_manifest(s, platform, i, depth + 1, err);
}

int cx_images_find(struct cx_store *s, const char *name, const char *platform, struct cx_found_image *ret,
	conex_error **err)
{
	struct cx_platform wanted;
	cx_autofree char *text = NULL;
	size_t size;
	int r = cx_reference_parse(name, &ret->name, err);

	if (r == 0)
		r = cx_platform_parse(platform, &wanted, err);
	if (r == 0)
		r = cx_store_get_image(s, &ret->name, &ret->manifest, err);
	if (r == 0)
		r = read_manifest(s, &wanted, ret, 0, err);
	if (r == 0)
		r = cx_store_read_blob(s, &ret->parts->config.digest, &text, &size, err);
	if (r == 0)
		r = cx_image_config_parse(text, size, &ret->config, err);
	return r < 0 ? r : cx_image_config_check(ret->config, ret->parts, NULL, err);
}

/* ---- names ---- */

int conex_image_list(conex *cx, char ***ret_images, conex_error **err)
{
	cx_autofree struct cx_image *images = NULL;
	struct cx_store *s;
	int n = cx_images_of(cx, &s, err);
	char **list, *text;

	if (n == 0)
		n = cx_store_list_images(s, &images, err);
	if (n < 0)
		return n;
	list = malloc(((size_t)n + 1) * sizeof *list + (size_t)n * CX_REFERENCE_TEXT);
	if (!list)
		return cx_fail_memory(err);
	text = (char *)(list + n + 1);
	for (int i = 0; i < n; i++, text += CX_REFERENCE_TEXT)
		cx_reference_familiar(&images[i].name, list[i] = text);
	list[n] = NULL;
	*ret_images = list;
	return n;
}

int conex_image_json(conex *cx, const char *image, char **ret_json, conex_error **err)
{
	char name[CX_REFERENCE_TEXT], digest[CX_DIGEST_TEXT], platform[CX_PLATFORM_TEXT];
	cx_autoimage i = { .parts = NULL };
	struct cx_store *s;
	json_t *root;
	int r = cx_images_of(cx, &s, err);

	if (r == 0)
		r = cx_images_find(s, image, NULL, &i, err);
	if (r < 0)
		return r;
	cx_reference_familiar(&i.name, name);
	cx_digest_print(&i.manifest, digest);
	cx_platform_print(&i.config->platform, platform);
	root = json_pack("{s:s, s:s, s:s, s:I, s:I, s:O}", "name", name, "digest", digest, "platform", platform, "size",
		(json_int_t)i.parts->layer_bytes, "layers", (json_int_t)i.parts->layer_count, "config", i.config->root);
	*ret_json = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
	json_decref(root);
	return *ret_json ? 0 : cx_fail_memory(err);
}

int conex_image_delete(conex *cx, const char *image, conex_error **err)
{
	struct cx_store_gone gone = { .bytes = 0 };
	struct cx_reference name;
	struct cx_store *s;
	int r = cx_reference_parse(image, &name, err);

	if (r == 0)
		r = cx_images_of(cx, &s, err);
	if (r == 0)
		r = cx_store_delete_image(s, &name, err);
	return r < 0 ? r : cx_images_collect(cx, s, 0, &gone, err);
}

int conex_image_usage(conex *cx, struct conex_store_usage *ret, conex_error **err)
{
	struct conex_store_usage u = { .size = sizeof u };
	struct cx_store_usage inside = { .blobs = 0 };
	cx_autofree struct cx_image *images = NULL;
	struct cx_store *s;
	int r = cx_images_existing(cx, &s, err), n = 0;

	if (r == 0 && s)
		r = cx_store_usage(s, &inside, err);
	if (r == 0 && s)
		n = r = cx_store_list_images(s, &images, err);
	if (r < 0)
		return r;
	u.blob_bytes = inside.blobs;
	u.layer_bytes = inside.layers;
	u.partial_bytes = inside.partial;
	u.other_bytes = inside.other;
	u.images = (uint64_t)n;
	u.blobs = inside.blob_count;
	u.layers = inside.layer_count;
	u.partial = inside.partial_count;
	return cx_options_write("conex_store_usage", ret, sizeof u, sizeof u, &u, err);
}
