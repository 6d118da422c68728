/* Containers of images: an image's config becomes a layer of the spec, its unpacked layers the lower directories of an
 * overlay, and each launch gets an upper one of its own. */
#include "container/container.h"
#include "base/ids.h"
#include "base/path.h"
#include "image/images.h"
#include "image/snapshot.h"
#include "namespace/maps.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

struct cx_image_use {
	struct cx_store *store;         /* the context's */
	struct cx_digest manifest;
	char top[CX_LAYER_NAME];        /* the uppermost layer */
	char *top_tree;                 /* its directory */
	json_t *volumes;                /* its config's: texts */
	int takes_upper;                /* though read-only: something is to be mounted where the image has no place for it */
};

void cx_image_use_free(struct cx_image_use *u)
{
	if (!u)
		return;
	free(u->top_tree);
	json_decref(u->volumes);
	free(u);
}

/* ---- spec ---- */

static int check_options(const struct conex_run_options *o, conex_error **err)
{
	if (o->rootfs || o->spec)
		return cx_refuse(err, -EINVAL, o->rootfs ? "conex_run_options.rootfs" : "conex_run_options.spec", NULL,
			"an image brings its own: leave it NULL, or pass no image");
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

/* A layer may hide all that is below it: overlay looks at that everywhere but at its layers' roots. */
static int hides_the_rest(const struct cx_image_use *u, const char *name)
{
	char path[PATH_MAX], value;

	snprintf(path, sizeof path, "%s/layers/%s/root", u->store->path, name);
	return (lgetxattr(path, "trusted.overlay.opaque", &value, 1) == 1 || lgetxattr(path, "user.overlay.opaque", &value, 1) == 1)
		&& value == 'y';
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
	for (size_t k = count, last = 0; list && k-- > last;) {
		if (hides_the_rest(u, names[k]))
			last = k;
		if (add_lower(u, list, names[k]) < 0) {
			json_decref(list);
			list = NULL;
		}
	}
	if (!list)
		return cx_fail_memory(err);
	strcpy(u->top, names[count - 1]);
	*ret = list;
	return 0;
}

static int add_user(const char *user, json_t *spec, conex_error **err)
{
	json_t *json;
	int r = *user ? cx_user_json(user, spec, &json, err) : 0;

	if (r < 0 || !*user)
		return r;
	return json_object_set_new(json_object_get(spec, "process"), "user", json) < 0 ? cx_fail_memory(err) : 0;
}

static int keep_volumes(struct cx_image_use *u, const char *const *paths, conex_error **err)
{
	u->volumes = json_array();
	for (; u->volumes && paths && *paths; paths++)
		if (json_array_append_new(u->volumes, json_string(*paths)) < 0)
			return cx_fail_memory(err);
	return u->volumes ? 0 : cx_fail_memory(err);
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
	if (r == 0)
		r = keep_volumes(u, i->config->volumes, err);
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
	int r = check_options(o, err);

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

/* ---- user namespaces ---- */

/* An unprivileged user's layers were unpacked with his default maps, and mean nothing with others. */
static int same_maps(const json_t *spec, conex_error **err)
{
	json_t *uids, *gids;
	int same;

	if (cx_maps_default(&uids, &gids) < 0)
		return cx_fail_memory(err);
	same = json_equal(uids, cx_json_at(spec, "linux.uidMappings")) && json_equal(gids, cx_json_at(spec, "linux.gidMappings"));
	json_decref(uids);
	json_decref(gids);
	return same ? 0 : cx_refuse(err, -EOPNOTSUPP, "linux.uidMappings", NULL,
		"without privileges an image has the maps with which it was unpacked: leave uidMappings and gidMappings out");
}

/* Root's layers keep the ids that they were unpacked with, and are shown by others: root.overlay.idmap. */
static int fit_users(json_t *spec, json_t *overlay, int joins_user, conex_error **err)
{
	int user = cx_spec_namespace(spec, "user");

	if (!user && !joins_user)
		return 0;
	if (joins_user || user == 2)
		return cx_refuse(err, -EOPNOTSUPP, "linux.namespaces", "user",
			"an image takes a user namespace of its own: CONEX_RUN_USERNS, and join none");
	if (cx_ids_rootless())
		return same_maps(spec, err);
	if (cx_ids_nested())
		return cx_refuse(err, -EPERM, "linux.namespaces", "user",
			"root of a user namespace can't map an image's ids once more: leave CONEX_RUN_USERNS out");
	return json_object_set_new(overlay, "idmap", json_true()) < 0 ? cx_fail_memory(err) : 0;
}

/* ---- volumes ---- */

/* Nothing has been checked yet but types. */
static const char *target(const json_t *mount)
{
	const char *path = cx_json_text(mount, "destination");

	return path ? path : "";
}

static int is_mounted_on(const json_t *mounts, const char *path)
{
	const json_t *mount;
	size_t i;

	json_array_foreach(mounts, i, mount)
		if (!strcmp(path, target(mount)))
			return 1;
	return 0;
}

/* What an image's config calls a volume is a place for data, and without a mount of the caller's the container's own:
 * where the root can be written it is in what goes with the container anyway, and is only made. In a read-only one it is
 * in memory, which begins with what the image has there. */
static int fit_volumes(const struct cx_image_use *u, json_t *spec, json_t *overlay)
{
	json_t *mounts = cx_json_at(spec, "mounts"), *path, *mount;
	int is_read_only = cx_json_true(spec, "root.readonly");
	size_t i;

	if (!is_read_only && json_array_size(u->volumes))
		return json_object_set(overlay, "volumes", u->volumes);
	if (!mounts && json_object_set_new(spec, "mounts", mounts = json_array()) < 0)
		return -ENOMEM;
	json_array_foreach(u->volumes, i, path) {
		if (is_mounted_on(mounts, json_string_value(path)))
			continue;
		mount = json_pack("{s:O, s:s, s:s, s:[s,s,s]}", "destination", path, "type", "tmpfs", "source", "tmpfs", "options",
			"nosuid", "nodev", "tmpcopyup");
		if (json_array_append_new(mounts, mount) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* What can't be looked into is taken to be there: in a rootless store directories may be others'. */
static int has_place(const json_t *lowers, const char *path)
{
	const json_t *lower;
	size_t i;

	json_array_foreach(lowers, i, lower) {
		cx_autoclose int root = open(json_string_value(lower), O_PATH | O_DIRECTORY | O_CLOEXEC);
		cx_autoclose int fd = root < 0 ? -1 : cx_open_in_root(root, path, O_PATH, 0);

		if (fd >= 0 || errno == EACCES)
			return 1;
	}
	return 0;
}

/* In what one of the first `count` mounts there are no layers any more. */
static int is_below(const json_t *mounts, size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++) {
		const char *upper = target(json_array_get(mounts, i));
		size_t n = strlen(upper);

		if (!strncmp(path, upper, n) && path[n] == '/')
			return 1;
	}
	return 0;
}

/* A read-only container lies straight on the layers, in which nothing can be made to mount on. */
static int has_all_places(const json_t *spec, const json_t *overlay)
{
	const json_t *mount, *lowers = json_object_get(overlay, "lower"), *mounts = cx_json_at(spec, "mounts");
	size_t i;

	json_array_foreach(mounts, i, mount) {
		const char *path = target(mount);

		if (!is_below(mounts, i, path) && !has_place(lowers, path))
			return 0;
	}
	return 1;
}

int cx_image_fit(struct cx_image_use *u, json_t *spec, int joins_user, conex_error **err)
{
	json_t *overlay = cx_json_at(spec, "root.overlay");

	if (!overlay)           /* the caller has laid another root over it */
		return 0;
	if (fit_volumes(u, spec, overlay) < 0)
		return cx_fail_memory(err);
	u->takes_upper = !has_all_places(spec, overlay);
	return fit_users(spec, overlay, joins_user, err);
}

/* Who root.overlay.idmap makes of an id; who isn't in the map, root. */
static uint32_t mapped(const json_t *map, uint32_t id)
{
	const json_t *range;
	uint32_t root = id;
	size_t i;

	json_array_foreach(map, i, range) {
		int64_t inside = cx_json_int(range, "containerID", 0), outside = cx_json_int(range, "hostID", 0);

		if (id >= inside && id - inside < cx_json_int(range, "size", 0))
			return (uint32_t)(id - inside + outside);
		if (!inside)
			root = (uint32_t)outside;
	}
	return root;
}

/* How the root directory of all that it writes looks: as the uppermost layer's does, inside. */
static int root_look(const conex_container *c, struct stat *ret)
{
	const json_t *spec = c->task.plan->spec;

	if (stat(c->task.plan->image->top_tree, ret) < 0)
		return -errno;
	if (cx_json_true(spec, "root.overlay.idmap")) {
		ret->st_uid = mapped(cx_json_at(spec, "linux.uidMappings"), ret->st_uid);
		ret->st_gid = mapped(cx_json_at(spec, "linux.gidMappings"), ret->st_gid);
	}
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
	cx_journal_note(j, "image", c->image);
	if (c->snapshot)
		cx_journal_note(j, "snapshot", c->snapshot);
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

/* What somebody threw away, and was killed before it was swept: of a context's first container it is asked once. */
static void sweep_once(conex *cx, const struct cx_store *s)
{
	pthread_mutex_lock(&cx->lock);
	if (!cx->sweep_looked && cx_store_has_trash(s))
		cx_images_sweep(cx, s->path);
	cx->sweep_looked = 1;
	pthread_mutex_unlock(&cx->lock);
}

int cx_container_hold_image(conex_container *c, conex_error **err)
{
	const struct cx_image_use *u = c->task.plan->image;
	char lease[CX_LEASE_ID], digest[CX_DIGEST_TEXT];
	struct stat look;
	uint64_t disk;
	int r;

	if (!u)
		return 0;
	cx_digest_print(&u->manifest, digest);
	if (!(c->image = strdup(digest)))
		return cx_fail_memory(err);
	if (cx_store_lease_name(CX_LEASE_BOOT, lease) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "getrandom", NULL, "the image's lease");
	if ((u->takes_upper || !cx_json_true(c->task.plan->spec, "root.readonly")) && !(c->snapshot = cx_snapshot_path(u->store, c->id)))
		return cx_fail_memory(err);
	r = note(c, u, lease, err);
	if (r == 0)
		r = hold(u, lease, err);
	if (r == 0 && c->snapshot && ((r = root_look(c, &look)) < 0 || (r = cx_snapshot_make(u->store, c->snapshot, &look)) < 0))
		r = cx_fail(err, CONEX_STAGE_LAUNCH, r, "mkdir", NULL, "%s", c->snapshot);
	disk = (uint64_t)cx_json_int(c->task.plan->spec, "root.overlay.disk", 0);
	if (r == 0 && c->snapshot && disk)
		r = cx_disk_make(c->task.cx, c->snapshot, disk, err);
	sweep_once(c->task.cx, u->store);
	return r;
}

/* Not locked. */
int cx_container_drop_image(conex_container *c)
{
	int r = c->snapshot ? cx_snapshot_remove(c->snapshot, CX_UNDO_ENTRIES) : 0;

	if (r == 1) {
		pthread_mutex_lock(&c->task.cx->lock);
		cx_images_sweep(c->task.cx, c->task.plan->image->store->path);
		pthread_mutex_unlock(&c->task.cx->lock);
		r = 0;
	}
	if (r == 0 && c->hold)
		r = cx_snapshot_let_go(c->hold);
	if (r < 0)
		cx_log(c->task.cx, 4, "container %s: what it wrote can't be removed: %s", c->id, strerrordesc_np(-r));
	cx_freep(&c->snapshot);
	cx_freep(&c->hold);
	return r == 0;
}
