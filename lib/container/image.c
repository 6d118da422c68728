/* Containers of images: an image's config becomes a layer of the spec, its unpacked layers the lower directories of an
 * overlay, and each launch gets an upper one of its own. */
#include "container/container.h"
#include "base/ids.h"
#include "base/path.h"
#include "image/images.h"
#include "image/snapshot.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct cx_image_use {
	struct cx_store *store;         /* the context's */
	struct cx_digest manifest;
	char top[CX_LAYER_NAME];        /* the uppermost layer */
	char *top_tree;                 /* its directory */
};

void cx_image_use_free(struct cx_image_use *u)
{
	if (!u)
		return;
	free(u->top_tree);
	free(u);
}

/* ---- spec ---- */

static int check_options(const char *image, const struct conex_run_options *o, conex_error **err)
{
	if (o->rootfs || o->spec)
		return cx_refuse(err, -EINVAL, o->rootfs ? "conex_run_options.rootfs" : "conex_run_options.spec", NULL,
			"an image brings its own: leave it NULL, or pass no image");
	if (o->flags & CONEX_RUN_USERNS || cx_ids_rootless() || cx_ids_nested())
		return cx_fail(err, CONEX_STAGE_IMAGE, -EOPNOTSUPP, NULL, "this version's images are root's, without a user namespace",
			"image %s", image);
	return 0;
}

static int add_lower(struct cx_image_use *u, json_t *list, const char *name)
{
	cx_autofree char *tree = NULL;

	if (asprintf(&tree, "%s/layers/%s/root", u->store->path, name) < 0) {
		tree = NULL;
		return -ENOMEM;
	}
	if (json_array_append_new(list, json_string(tree)) < 0)
		return -ENOMEM;
	if (!u->top_tree)
		u->top_tree = cx_steal_ptr(&tree);
	return 0;
}

/* The uppermost first, as overlay wants them. */
static int lowers(struct cx_image_use *u, const struct cx_found_image *i, json_t **ret, conex_error **err)
{
	size_t count = i->parts->layer_count;
	cx_autofree char (*names)[CX_LAYER_NAME] = calloc(count + 1, sizeof *names);
	int n = names ? cx_store_find_layers(u->store, i->config->diff_ids, count, names, err) : cx_fail_memory(err);
	json_t *list;

	if (n < 0)
		return n;
	if (!count || (size_t)n < count)
		return cx_fail(err, CONEX_STAGE_IMAGE, -ENOENT, NULL, count ? "pull it again" : NULL,
			count ? "%d of the image's %zu layers are unpacked" : "the image has no layers", n, count);
	list = json_array();
	for (size_t k = count; list && k-- > 0;)
		if (add_lower(u, list, names[k]) < 0) {
			json_decref(list);
			list = NULL;
		}
	if (!list)
		return cx_fail_memory(err);
	strcpy(u->top, names[count - 1]);
	*ret = list;
	return 0;
}

static int add_user(const char *user, json_t *spec, conex_error **err)
{
	const char *users = cx_options_users(spec);
	json_t *json;
	int r = *user ? cx_user_json(user, users, &json, err) : 0;

	if (r < 0 || !*user)
		return r;
	return json_object_set_new(json_object_get(spec, "process"), "user", json) < 0 ? cx_fail_memory(err) : 0;
}

static int compose(struct cx_image_use *u, const struct cx_found_image *i, const char *const *args, json_t **ret,
	conex_error **err)
{
	json_t *lower = NULL, *spec = NULL;
	int r = lowers(u, i, &lower, err);

	if (r == 0)
		r = cx_image_config_spec(i->config, args, &spec, err);
	if (r == 0 && json_object_set_new(spec, "root", json_pack("{s:{s:O}}", "overlay", "lower", lower)) < 0)
		r = cx_fail_memory(err);
	if (r == 0)
		r = add_user(i->config->user, spec, err);
	json_decref(lower);
	if (r < 0)
		json_decref(spec);
	else
		*ret = spec;
	return r;
}

/* Is it there, all of it, ready to be mounted? */
static int is_ready(struct cx_store *s, const struct cx_found_image *i)
{
	size_t count = i->parts->layer_count;
	cx_autofree char (*names)[CX_LAYER_NAME] = calloc(count + 1, sizeof *names);

	return names && cx_store_find_layers(s, i->config->diff_ids, count, names, NULL) == (int)count;
}

/* In the store; what isn't comes from its registry, first. */
static int find(conex *cx, struct cx_store *s, const char *image, struct cx_found_image *ret, conex_error **err)
{
	conex_error *why = NULL;
	int r = cx_images_find(s, image, NULL, ret, &why);

	if ((r < 0 && r != -ENOENT) || (r == 0 && is_ready(s, ret))) {
		if (err && r < 0) {
			conex_error_free(*err);
			*err = cx_steal_ptr(&why);
		}
		conex_error_free(why);
		return r;
	}
	conex_error_free(why);
	cx_found_image_clear(ret);
	r = cx_images_pull(cx, image, err);
	return r < 0 ? r : cx_images_find(s, image, NULL, ret, err);
}

int cx_image_layer(conex *cx, const char *image, const char *const *args, const struct conex_run_options *o,
	struct cx_image_use **ret, json_t **ret_spec, conex_error **err)
{
	struct cx_image_use *u;
	cx_autoimage i = { .parts = NULL };
	int r = check_options(image, o, err);

	if (r < 0)
		return r;
	u = calloc(1, sizeof *u);
	r = u ? cx_images_of(cx, &u->store, err) : cx_fail_memory(err);
	if (r == 0)
		r = find(cx, u->store, image, &i, err);
	if (r == 0)
		r = compose(u, &i, args, ret_spec, err);
	if (r < 0) {
		cx_image_use_free(u);
		return r;
	}
	u->manifest = i.manifest;
	*ret = u;
	return 0;
}

/* ---- a launch ---- */

/* Held first, so that nobody collects it, then mounted; all of it is in the journal before it is there. */
static int note(conex_container *c, const struct cx_image_use *u, const char *lease, conex_error **err)
{
	cx_autofree char *text = NULL;
	struct cx_journal *j;
	int r = asprintf(&text, "%s %s", u->store->path, lease) < 0 ? -ENOMEM : 0;

	if (r < 0) {
		text = NULL;
		return cx_fail_memory(err);
	}
	r = cx_journal_open(c->task.cx->state, c->id, &j, err);
	if (r < 0)
		return r;
	cx_journal_undo(j, CX_OP_undo_hold, text);
	if (c->snapshot)
		cx_journal_undo(j, CX_OP_undo_snapshot, c->snapshot);
	r = cx_journal_flush(j, err);
	cx_journal_free(j);
	if (r == 0)
		c->hold = cx_steal_ptr(&text);
	return r;
}

static int hold(const struct cx_image_use *u, const char *id, conex_error **err)
{
	struct cx_store_lease *l;
	int r = cx_store_lease_take_named(u->store, id, &l, err);

	if (r < 0)
		return r;
	r = cx_store_lease_hold(l, &u->manifest, err);
	if (r > 0)
		r = cx_store_lease_hold_layer(l, u->top, err);
	cx_store_lease_free(l);
	return r == 0 ? cx_fail(err, CONEX_STAGE_IMAGE, -ENOENT, NULL, "pull it again", "the image was deleted just now")
		: r < 0 ? r : 0;
}

int cx_container_hold_image(conex_container *c, conex_error **err)
{
	const struct cx_image_use *u = c->task.plan->image;
	char lease[CX_LEASE_ID];
	int r;

	if (!u)
		return 0;
	if (cx_store_lease_name(CX_LEASE_BOOT, lease) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "getrandom", NULL, "the image's lease");
	if (!cx_json_true(c->task.plan->spec, "root.readonly") && !(c->snapshot = cx_snapshot_path(u->store, c->id)))
		return cx_fail_memory(err);
	r = note(c, u, lease, err);
	if (r == 0)
		r = hold(u, lease, err);
	if (r == 0 && c->snapshot && (r = cx_snapshot_make(u->store, c->snapshot, u->top_tree)) < 0)
		r = cx_fail(err, CONEX_STAGE_LAUNCH, r, "mkdir", NULL, "%s", c->snapshot);
	return r;
}

/* Not locked. */
int cx_container_drop_image(conex_container *c)
{
	int r = c->snapshot ? cx_snapshot_remove(c->snapshot) : 0;

	if (r == 0 && c->hold)
		r = cx_snapshot_let_go(c->hold);
	if (r < 0)
		cx_log(c->task.cx, 4, "container %s: what it wrote can't be removed: %s", c->id, strerrordesc_np(-r));
	cx_freep(&c->snapshot);
	cx_freep(&c->hold);
	return r == 0;
}
