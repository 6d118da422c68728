/* A container's difference becomes a layer, and with its image another one. The host has looked at the container, the
 * name and the config; here are the bytes. */
#include "image/worker/diff.h"
#include "image/commit.h"
#include "image/protocol.h"
#include "image/worker/lockdown.h"
#include "image/worker/tasks.h"

#include <archive.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { PLACES = 8 };

struct commit {
	struct cx_worker *w;
	struct cx_work_place place;
	struct cx_commit_base base;
	int file;               /* the packed layer, without a name */
	int is_empty;
	struct cx_digest diff_id, digest, config, manifest;
	uint64_t size, config_size;
	char created[32];
};

/* ---- the layer ---- */

/* Else there is no upper directory: its root file system was read-only. */
static int is_written(const struct commit *c)
{
	return json_is_true(json_object_get(c->w->task, "written"));
}

/* Other containers' snapshots, and this one's, stay read-only: of the store only these are written. */
static int lock_in(struct commit *c, conex_error **err)
{
	static const char *const places[PLACES] = { "blobs", "ingest", "layers", "images", "leases", "tmp", "gate", "lock" };
	int fds[PLACES], upper = CX_WORKER_FIRST, n = 0, r = 0;
	struct cx_lockdown lock = { .writable = fds, .readable = &upper, .readable_count = is_written(c) };

	for (; n < PLACES && r == 0; n++) {
		fds[n] = openat(c->place.store->root, places[n], O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fds[n] < 0)
			r = cx_fail_errno(err, CONEX_STAGE_IMAGE, "open", NULL, "%s/%s", c->place.store->path, places[n]);
	}
	lock.count = n;
	if (r == 0)
		r = cx_worker_lock(&lock, err);
	while (n-- > 0)
		cx_closep(&fds[n]);
	return r < 0 ? r : cx_worker_watch(c->w, err);
}

/* What unpacking our own layer may take: it is on this disk already. Paths and headers have the limits of all. */
static void raise_limits(struct cx_unpack_limits *l)
{
	*l = (struct cx_unpack_limits){ .bytes = UINT64_C(1) << 62, .ratio = UINT64_C(1) << 40, .entries = UINT64_C(1) << 40,
		.memory = UINT64_C(4) << 30, .depth = CX_DIFF_DEPTH, .xattrs = 1 << 20 };
}

static int open_all(struct commit *c, conex_error **err)
{
	const char *digest = cx_task_word(c->w, "base");
	struct cx_digest base;
	int r = cx_work_place_open(c->w, &c->place, err);

	raise_limits(&c->place.unpack.limits);
	if (r == 0)
		r = cx_digest_parse(digest ? digest : "", "the base", &base, err);
	if (r == 0)
		r = cx_store_lease_hold(c->place.lease, &base, err);
	if (r >= 0)
		r = lock_in(c, err);
	return r < 0 ? r : cx_commit_read(c->place.store, &base, &c->base, err);
}

/* Where the host says that it mounts, and where that leads to in this tree. */
static int add_made(struct cx_diff *d, const json_t *list, int follow)
{
	char to[PATH_MAX];
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		const char *path = json_string_value(item);
		char **more = realloc(d->made, (d->made_count + 1) * sizeof *more);

		if (!more)
			return -ENOMEM;
		d->made = more;
		if (!path || (follow && cx_stack_resolve(d->stack, path, to) < 0))
			continue;       /* so nothing was mounted there */
		more[d->made_count] = strdup(follow ? to : path + strspn(path, "/"));
		if (!more[d->made_count])
			return -ENOMEM;
		d->made_count++;
	}
	return 0;
}

static int write_diff(struct commit *c, struct cx_pack *pack, const struct cx_stack *stack, conex_error **err)
{
	struct cx_diff d = { .pack = pack, .stack = stack, .err = err };
	int r = add_made(&d, json_object_get(c->w->task, "mounts"), 1);

	if (r == 0)
		r = add_made(&d, json_object_get(c->w->task, "devices"), 0);
	r = r < 0 ? cx_fail_memory(err) : cx_diff_write(&d);
	c->is_empty = d.entries == 0;
	cx_diff_clear(&d);
	return r;
}

static int pack(struct commit *c, conex_error **err)
{
	struct cx_stack stack = { .trees = NULL };
	struct cx_pack p;
	int r = cx_stack_open(&stack, c->place.store, CX_WORKER_FIRST, c->base.config, err);

	if (r == 0) {
		r = cx_pack_open(&p, c->w, c->file, err);
		if (r == 0)
			r = write_diff(c, &p, &stack, err);
		if (r == 0)
			r = cx_pack_end(&p, err);
		c->diff_id = p.diff_id;
		c->digest = p.digest;
		c->size = p.size;
		cx_pack_close(&p);
	}
	cx_stack_close(&stack);
	return r;
}

static ssize_t read_file(void *self, void *to, size_t size, conex_error **err)
{
	ssize_t n = read(*(int *)self, to, size);

	return n < 0 ? cx_fail_errno(err, CONEX_STAGE_IMAGE, "read", NULL, "the new layer") : n;
}

static int make_layer(struct commit *c, conex_error **err)
{
	const struct cx_source from = { read_file, &c->file };
	int r;

	c->is_empty = !is_written(c);
	if (c->is_empty)
		return 0;
	cx_worker_step(c->w, "reading what the container wrote");
	c->file = openat(c->place.store->root, "tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (c->file < 0)
		return cx_fail_errno(err, CONEX_STAGE_IMAGE, "open", NULL, "%s/tmp", c->place.store->path);
	r = pack(c, err);
	if (r < 0 || c->is_empty)
		return r;
	if (lseek(c->file, 0, SEEK_SET) < 0)
		return cx_fail_errno(err, CONEX_STAGE_IMAGE, "lseek", NULL, "the new layer");
	cx_worker_step(c->w, "storing the layer");
	return cx_blob_bring(c->w, c->place.lease, &c->digest, c->size, &from, err);
}

/* ---- its documents ---- */

/* History is complete or not there: where the image below has none its layers get a line each, without words. */
static json_t *history(const struct commit *c)
{
	json_t *old = json_object_get(c->base.config->root, "history"), *list = json_is_array(old) ? json_copy(old) : json_array();
	json_t *line = json_pack("{s:s, s:s*}", "created", c->created, "created_by", cx_task_word(c->w, "created_by"));

	for (size_t i = 0; list && !json_array_size(old) && i < c->base.config->layer_count; i++)
		json_array_append_new(list, json_object());
	if (line && c->is_empty)
		json_object_set_new(line, "empty_layer", json_true());
	if (!list || !line || json_array_append_new(list, line) < 0) {
		json_decref(list);
		return NULL;
	}
	return list;
}

/* The diff ids are copied before one is added: the base's document stays as it is. */
static json_t *rootfs(const struct commit *c)
{
	json_t *rootfs = json_deep_copy(json_object_get(c->base.config->root, "rootfs"));
	char text[CX_DIGEST_TEXT];

	cx_digest_print(&c->diff_id, text);
	if (!c->is_empty && json_array_append_new(json_object_get(rootfs, "diff_ids"), json_string(text)) < 0) {
		json_decref(rootfs);
		return NULL;
	}
	return rootfs;
}

static int put(struct commit *c, json_t *document, struct cx_digest *ret, uint64_t *ret_size, conex_error **err)
{
	cx_autofree char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;

	json_decref(document);
	if (!text)
		return cx_fail_memory(err);
	*ret_size = strlen(text);
	return cx_blob_put(c->place.lease, text, strlen(text), ret, err);
}

/* Docker's older words about the container that an image was made of would be untrue. */
static int put_config(struct commit *c, conex_error **err)
{
	json_t *root = json_copy(c->base.config->root);
	time_t now = time(NULL);
	struct tm tm;

	strftime(c->created, sizeof c->created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	json_object_del(root, "container");
	json_object_del(root, "container_config");
	if (json_object_set_new(root, "created", json_string(c->created)) < 0
		|| json_object_set(root, "config", json_object_get(c->w->task, "config")) < 0
		|| json_object_set_new(root, "rootfs", rootfs(c)) < 0 || json_object_set_new(root, "history", history(c)) < 0) {
		json_decref(root);
		return cx_fail_memory(err);
	}
	return put(c, root, &c->config, &c->config_size, err);
}

static json_t *descriptor(const char *type, const struct cx_digest *digest, uint64_t size)
{
	char text[CX_DIGEST_TEXT];

	cx_digest_print(digest, text);
	return json_pack("{s:s, s:s, s:I}", "mediaType", type, "digest", text, "size", (json_int_t)size);
}

/* Docker's names for the same bytes don't belong into OCI's manifest. */
static const char *type_of(enum cx_media media)
{
	return media == CX_MEDIA_LAYER_GZIP ? CX_MEDIA_OCI_LAYER "+gzip" : media == CX_MEDIA_LAYER_ZSTD ? CX_MEDIA_OCI_LAYER "+zstd"
		: CX_MEDIA_OCI_LAYER;
}

static int put_manifest(struct commit *c, conex_error **err)
{
	const struct cx_image_manifest *m = c->base.parts;
	json_t *layers = json_array();
	uint64_t size;
	int r = layers ? 0 : -ENOMEM;

	for (size_t i = 0; i < m->layer_count && r == 0; i++)
		r = json_array_append_new(layers, descriptor(type_of(m->layers[i].media), &m->layers[i].digest, m->layers[i].size));
	if (r == 0 && !c->is_empty)
		r = json_array_append_new(layers, descriptor(CX_MEDIA_OCI_LAYER "+gzip", &c->digest, c->size));
	if (r < 0) {
		json_decref(layers);
		return cx_fail_memory(err);
	}
	return put(c, json_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType", CX_MEDIA_OCI_MANIFEST, "config",
		descriptor(CX_MEDIA_OCI_CONFIG, &c->config, c->config_size), "layers", layers), &c->manifest, &size, err);
}

/* ---- all of it ---- */

int cx_task_commit(struct cx_worker *w, char **result, conex_error **err)
{
	struct commit c = { .w = w, .file = -1 };
	int r = open_all(&c, err);

	if (r == 0)
		r = make_layer(&c, err);
	if (r == 0)
		r = put_config(&c, err);
	if (r == 0)
		r = put_manifest(&c, err);
	if (r == 0)
		r = cx_layers_unpack(w, &c.place, &c.manifest, err);
	if (r == 0)
		r = cx_store_put_image(c.place.store, &c.place.name, &c.manifest, err);
	cx_closep(&c.file);
	cx_commit_clear(&c.base);
	cx_work_place_close(&c.place);
	return r < 0 ? r : cx_result_digest(&c.manifest, result, err);
}
