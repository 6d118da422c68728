/* An image of the store becomes a directory: all its layers in one tree. */
#include "image/worker/tasks.h"
#include "image/images.h"
#include "image/protocol.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* A layer's blob, opened when its turn comes: an image may have more of them than we may have descriptors. */
struct source {
	struct unpacking *u;
	size_t number;
	int fd, began;
};

struct unpacking {
	struct cx_worker *w;
	struct cx_work_place place;
	struct cx_found_image image;
	struct source *sources;
	struct cx_packed *layers;
	char (*digests)[2][CX_LAYER_DIGEST];
	char name[NAME_MAX + 1];
	int parent;
};

static ssize_t read_layer(void *self, void *to, size_t size)
{
	struct source *s = self;
	struct cx_worker *w = s->u->w;
	ssize_t n;

	if (s->fd < 0 && s->began)
		return 0;
	if (s->fd < 0) {
		s->fd = cx_store_open_blob(s->u->place.store, &s->u->image.parts->layers[s->number].digest, NULL, NULL);
		if (s->fd < 0)
			return s->fd;
		s->began = 1;
		__atomic_store_n(&w->done_layers, (uint32_t)s->number, __ATOMIC_RELAXED);
		cx_worker_step(w, "layer %zu of %zu", s->number + 1, s->u->image.parts->layer_count);
	}
	do
		n = read(s->fd, to, size);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		cx_closep(&s->fd);
	if (n > 0)
		__atomic_add_fetch(&w->done, (uint64_t)n, __ATOMIC_RELAXED);
	cx_worker_tell(w);
	return n < 0 ? -errno : n;
}

/* What is missing is said before anything is made. */
static int prepare_layer(struct unpacking *u, size_t i, conex_error **err)
{
	const struct cx_descriptor *d = &u->image.parts->layers[i];
	uint64_t size;
	int fd = cx_store_open_blob(u->place.store, &d->digest, &size, err);

	if (fd < 0)
		return fd;
	close(fd);
	cx_digest_print(&d->digest, u->digests[i][0]);
	cx_digest_print(&u->image.config->diff_ids[i], u->digests[i][1]);
	u->sources[i] = (struct source){ .u = u, .number = i, .fd = -1 };
	u->layers[i] = (struct cx_packed){ .read = read_layer, .self = &u->sources[i], .fd = -1, .digest = u->digests[i][0],
		.diff_id = u->digests[i][1], .size = d->size, .media = cx_layer_packed_as(d->media) };
	u->w->total += size;
	return 0;
}

static int prepare(struct unpacking *u, conex_error **err)
{
	size_t count = u->image.parts->layer_count;
	int r = 0;

	u->sources = calloc(count + 1, sizeof *u->sources);
	u->layers = calloc(count + 1, sizeof *u->layers);
	u->digests = calloc(count + 1, sizeof *u->digests);
	if (!u->sources || !u->layers || !u->digests)
		return cx_fail_memory(err);
	for (size_t i = 0; i < count && r == 0; i++)
		r = prepare_layer(u, i, err);
	u->w->total_layers = (uint32_t)count;
	return r;
}

/* Documents of the store are hashed before they are believed; layers are while they are unpacked. */
static int find_manifest(struct unpacking *u, int depth, conex_error **err)
{
	const struct cx_descriptor *target;
	struct cx_image_manifest *m = NULL;
	cx_autofree char *text = NULL;
	size_t size;
	int r = cx_work_place_read(&u->place, &u->image.manifest, &text, &size, err);

	if (r == 0)
		r = cx_image_manifest_parse(text, size, NULL, &m, err);
	if (r == 0 && m->kind == CX_MEDIA_MANIFEST) {
		u->image.parts = m;
		return 0;
	}
	if (r == 0)
		r = depth < 3 ? cx_image_manifest_choose(m, &u->place.platform, &target, err)
			: cx_fail(err, CONEX_STAGE_IMAGE, -EINVAL, NULL, NULL, "indexes of indexes of indexes");
	if (r == 0)
		u->image.manifest = target->digest;
	cx_image_manifest_free(m);
	return r < 0 ? r : find_manifest(u, depth + 1, err);
}

/* Without a platform in the task an image of one platform is taken whatever it is for. */
static int find(struct unpacking *u, conex_error **err)
{
	const struct cx_platform *wanted = cx_task_word(u->w, "platform") ? &u->place.platform : NULL;
	cx_autofree char *text = NULL;
	size_t size;
	int r = find_manifest(u, 0, err);

	if (r == 0)
		r = cx_work_place_read(&u->place, &u->image.parts->config.digest, &text, &size, err);
	if (r == 0)
		r = cx_image_config_parse(text, size, &u->image.config, err);
	return r < 0 ? r : cx_image_config_check(u->image.config, u->image.parts, wanted, err);
}

static int unpack(struct unpacking *u, conex_error **err)
{
	size_t count = u->image.parts->layer_count;
	cx_autofree struct cx_unpack_result *results = calloc(count + 1, sizeof *results);
	struct cx_unpack_options options = u->place.unpack;
	int r;

	if (!results)
		return cx_fail_memory(err);
	options.flags |= CX_UNPACK_SYNC;
	options.passing = cx_task_word(u->w, "passing");
	r = cx_unpack_tree(u->parent, u->name, u->layers, count, &options, results, err);
	for (size_t i = 0; i < count && r == 0; i++)
		u->w->unpacked += results[i].plain;
	u->w->done_layers = (uint32_t)count;
	return r;
}

/* The new directory's name is told in hex digits. */
static int read_name(struct unpacking *u, conex_error **err)
{
	const char *hex = cx_task_word(u->w, "directory");
	size_t n = hex ? strlen(hex) / 2 : 0;
	unsigned byte;

	for (size_t i = 0; i < n && i < NAME_MAX && sscanf(hex + 2 * i, "%2x", &byte) == 1; i++)
		u->name[i] = (char)byte;
	return n && strlen(u->name) == n ? 0 : cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL, NULL, "the worker's task");
}

/* The host has found it by its path alone. */
static int open_all(struct unpacking *u, conex_error **err)
{
	int r = read_name(u, err);

	if (r == 0)
		r = cx_work_place_open(u->w, &u->place, err);
	if (r == 0 && (u->parent = openat(CX_WORKER_FIRST, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		r = cx_fail_errno(err, CONEX_STAGE_IMAGE, "open", NULL, "the parent of directory %s", u->name);
	return r < 0 ? r : cx_work_place_lock_out(u->w, &u->place, u->parent, &u->image.manifest, err);
}

int cx_task_unpack(struct cx_worker *w, char **result, conex_error **err)
{
	struct unpacking u = { .w = w, .parent = -1 };
	int r = open_all(&u, err);

	if (r == 0)
		r = find(&u, err);
	if (r == 0)
		r = prepare(&u, err);
	if (r == 0)
		r = unpack(&u, err);
	if (r == 0)
		r = cx_result_digest(&u.image.manifest, result, err);
	cx_found_image_clear(&u.image);
	cx_work_place_close(&u.place);
	cx_closep(&u.parent);
	free(u.sources);
	free(u.layers);
	free(u.digests);
	return r;
}
