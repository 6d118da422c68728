/* An image from its registry: reference → manifest (of an index the platform's) → config → layers, and the name last.
 * Whatever is in the store isn't asked for. */
#include "image/document.h"
#include "image/worker/remote.h"
#include "image/worker/tasks.h"

#include <string.h>

/* Parts of downloads that nobody has gone on with, and what is in quarantine, may be this old. */
enum { OLD_S = 7 * 24 * 3600 };

struct pull {
	struct cx_worker *w;
	struct cx_work_place place;
	struct cx_registry *registry;
	struct cx_digest target;        /* what the name will lead to: the index, or */
	struct cx_digest manifest;
	struct cx_image_manifest *parts;
	struct cx_image_config *config;
};

static void forget(struct pull *p)
{
	cx_image_manifest_free(p->parts);
	cx_image_config_free(p->config);
	p->parts = NULL;
	p->config = NULL;
}

/* ---- documents ---- */

struct document { char *text; size_t size; };
#define cx_autodocument cx_cleanup(document_free) struct document

static void document_free(struct document *d)
{
	free(d->text);
}

/* From the store, if it is there: 1. From now on it stays. */
static int look(struct pull *p, const struct cx_digest *digest, struct document *ret, conex_error **err)
{
	int r = cx_store_lease_hold(p->place.lease, digest, err);

	if (r > 0)
		r = cx_store_read_blob(p->place.store, digest, &ret->text, &ret->size, err) < 0 ? -EIO : 1;
	return r;
}

/* Asks for what `name` says; its digest was compared. */
static int ask(struct pull *p, const struct cx_reference *name, struct cx_digest *ret, struct document *to, char **ret_type,
	conex_error **err)
{
	struct cx_manifest m;
	int r = cx_registry_manifest(p->registry, name, &m, err);

	if (r < 0)
		return r;
	r = cx_store_put_blob(p->place.lease, &m.digest, &m.digest, m.data, (size_t)m.size, err);
	if (r == 0) {
		*ret = m.digest;
		*to = (struct document){ cx_steal_ptr(&m.data), (size_t)m.size };
		*ret_type = cx_steal_ptr(&m.type);
	}
	cx_manifest_free(&m);
	return r;
}

static int refuse_size(const struct cx_descriptor *d, size_t size, conex_error **err)
{
	char text[CX_DIGEST_TEXT];

	cx_digest_print(&d->digest, text);
	return cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL, "the image is broken: tell who made it",
		"%s has %zu bytes, what leads to it says %llu", text, size, (unsigned long long)d->size);
}

/* What an index leads to. */
static int get_manifest(struct pull *p, const struct cx_descriptor *d, struct document *ret, conex_error **err)
{
	struct cx_reference name = p->place.name;
	cx_autofree char *type = NULL;
	struct cx_digest digest;
	int r = look(p, &d->digest, ret, err);

	if (r == 0 && !p->registry)
		return cx_fail(err, CONEX_STAGE_IMAGE, -ENOENT, NULL, NULL, "a manifest");
	name.digest = d->digest;
	if (r == 0)
		r = ask(p, &name, &digest, ret, &type, err);
	return r < 0 ? r : ret->size != d->size ? refuse_size(d, ret->size, err) : 0;
}

static int keep(void *data, const void *bytes, size_t size)
{
	struct document *d = data;      /* of the size that the manifest says, which is the most that comes */

	memcpy(d->text + d->size, bytes, size);
	d->size += size;
	return 0;
}

static int get_config(struct pull *p, struct document *ret, conex_error **err)
{
	const struct cx_descriptor *d = &p->parts->config;
	struct cx_registry_blob blob = { .digest = d->digest, .size = d->size, .sink = keep, .data = ret, .check = 1 };
	int r = look(p, &d->digest, ret, err);

	if (r != 0)
		return r < 0 ? r : 0;
	if (!p->registry)
		return cx_fail(err, CONEX_STAGE_IMAGE, -ENOENT, NULL, NULL, "a config");
	if (d->size > CX_DOCUMENT_MAX)
		return cx_fail(err, CONEX_STAGE_IMAGE, -EFBIG, NULL, "a document of an image has at most 4 MiB", "config of %llu bytes",
			(unsigned long long)d->size);
	ret->text = calloc(1, (size_t)d->size + 1);
	r = ret->text ? cx_registry_blobs(p->registry, p->place.name.repository, &blob, 1, err) : cx_fail_memory(err);
	return r < 0 ? r : cx_store_put_blob(p->place.lease, &d->digest, &d->digest, ret->text, ret->size, err);
}

/* ---- what it is made of ---- */

/* Down to a manifest. `type`: what was said of the bytes. */
static int choose(struct pull *p, const struct document *d, const char *type, int depth, conex_error **err)
{
	cx_autodocument below = { .text = NULL };
	const struct cx_descriptor *target;
	struct cx_image_manifest *m = NULL;
	int r = cx_image_manifest_parse(d->text, d->size, type && *type ? type : NULL, &m, err);

	if (r < 0)
		return r;
	if (m->kind == CX_MEDIA_MANIFEST) {
		p->parts = m;
		return 0;
	}
	r = depth < 3 ? cx_image_manifest_choose(m, &p->place.platform, &target, err)
		: cx_fail(err, CONEX_STAGE_IMAGE, -EINVAL, NULL, NULL, "indexes of indexes of indexes lead nowhere");
	if (r == 0)
		r = get_manifest(p, target, &below, err);
	if (r == 0) {
		p->manifest = target->digest;
		r = choose(p, &below, target->type, depth + 1, err);
	}
	cx_image_manifest_free(m);
	return r;
}

static int read_config(struct pull *p, conex_error **err)
{
	cx_autodocument d = { .text = NULL };
	int r = get_config(p, &d, err);

	if (r == 0)
		r = cx_image_config_parse(d.text, d.size, &p->config, err);
	return r < 0 ? r : cx_image_config_check(p->config, p->parts, &p->place.platform, err);
}

/* ---- what is in the store ---- */

static int find(struct pull *p, conex_error **err)
{
	cx_autodocument d = { .text = NULL };
	int r = cx_store_get_image(p->place.store, &p->place.name, &p->target, err);

	if (r < 0)
		return r;
	p->manifest = p->target;
	r = look(p, &p->target, &d, err);
	if (r == 1)
		r = choose(p, &d, NULL, 0, err);
	else if (r == 0)
		r = -ENOENT;
	if (r == 0)
		r = read_config(p, err);
	for (size_t i = 0; r == 0 && i < p->parts->layer_count; i++)
		if (!cx_store_has_blob(p->place.store, &p->parts->layers[i].digest))
			r = -ENOENT;
	return r;
}

/* Is there one that will do, all of it? */
static int is_there(struct pull *p)
{
	conex_error *why = NULL;
	int r = find(p, &why);

	conex_error_free(why);
	if (r < 0)
		forget(p);
	return r == 0;
}

/* ---- all of it ---- */

static int find_out(struct pull *p, conex_error **err)
{
	cx_autodocument d = { .text = NULL };
	cx_autofree char *type = NULL;
	int r;

	cx_worker_step(p->w, "manifest");
	r = cx_remote_open(p->w, &p->place.name, &p->registry, err);
	if (r == 0)
		r = ask(p, &p->place.name, &p->target, &d, &type, err);
	if (r == 0) {
		p->manifest = p->target;
		r = choose(p, &d, type, 0, err);
	}
	if (r == 0)
		r = read_config(p, err);
	/* what came so far, and the layers */
	__atomic_store_n(&p->w->total, __atomic_load_n(&p->w->done, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
	/* who names a platform gets that one under a name, not whatever machine this is */
	if (r == 0 && cx_task_word(p->w, "platform") && !p->place.name.digest.algorithm)
		p->target = p->manifest;
	return r;
}

static int pull(struct pull *p, conex_error **err)
{
	int r = cx_work_place_open(p->w, &p->place, err);

	if (r < 0)
		return r;
	/* What killed ones have left, and what lost its name; before the lock, which hides whose owner is alive. Others' trouble
	 * with the store is no reason not to pull. */
	cx_store_collect(p->place.store, OLD_S, NULL, NULL);
	r = cx_work_place_lock(p->w, &p->place, -1, 1, err);
	if (r < 0)
		return r;
	if (!json_is_true(json_object_get(p->w->task, "not_newer")) || !is_there(p))
		r = find_out(p, err);
	if (r == 0)
		r = cx_layers_bring(p->w, &p->place, p->parts, p->config, p->registry, err);
	return r < 0 ? r : cx_store_put_image(p->place.store, &p->place.name, &p->target, err);
}

int cx_task_pull(struct cx_worker *w, char **result, conex_error **err)
{
	struct pull p = { .w = w };
	int r = pull(&p, err);

	cx_registry_close(p.registry);
	forget(&p);
	cx_work_place_close(&p.place);
	return r < 0 ? r : cx_result_digest(&p.manifest, result, err);
}
