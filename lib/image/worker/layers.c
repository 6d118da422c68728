/* An image's layers, each once, whoever needs it: several at once, and shown in order. One thread speaks with the registry
 * (the caller's), the others have a layer each, the lowest first; layer.c is what they do with it. */
#include "image/worker/layers.h"
#include "image/worker/hash.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

enum { THREADS = 16, PLACES = 4, PAUSE_NS = 100000000 };

/* image-spec, config.md: the chain id of a layer is the digest of the one's below and its own diff id. */
static int chain(struct cx_digest *chain_id, const struct cx_digest *diff_id, int is_first)
{
	char text[2 * CX_DIGEST_TEXT + 1], below[CX_DIGEST_TEXT], own[CX_DIGEST_TEXT];

	if (is_first && diff_id->algorithm == CX_DIGEST_SHA256) {
		*chain_id = *diff_id;
		return 0;
	}
	cx_digest_print(chain_id, below);
	cx_digest_print(diff_id, own);
	snprintf(text, sizeof text, "%s%s%s", is_first ? "" : below, is_first ? "" : " ", own);
	return cx_hash_of(CX_DIGEST_SHA256, text, strlen(text), chain_id);
}

/* ---- waiting for one another ---- */

void cx_layers_fail(struct cx_layers *l, int code, conex_error **why)
{
	pthread_mutex_lock(&l->lock);
	if (!l->code) {
		l->code = code;
		l->error = cx_steal_ptr(why);
	}
	pthread_cond_broadcast(&l->moved);
	pthread_cond_broadcast(&l->failed);
	pthread_mutex_unlock(&l->lock);
	if (l->registry)
		cx_registry_cancel(l->registry);
}

int cx_layers_wait(struct cx_layers *l)
{
	if (!l->code)
		pthread_cond_wait(&l->moved, &l->lock);
	return l->code ? -ECANCELED : 0;
}

int cx_layers_pause(struct cx_layers *l)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += PAUSE_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (!l->code && pthread_cond_clockwait(&l->failed, &l->lock, CLOCK_MONOTONIC, &until) == 0)
		;
	return l->code ? -ECANCELED : 0;
}

/* ---- the network ---- */

static int next_wanted(void *data, struct cx_registry_blob **ret)
{
	struct cx_layers *l = data;
	int r = 0;

	pthread_mutex_lock(&l->lock);
	if (l->code || l->brought == l->count) {
		r = -1;
	} else if (l->wanted) {
		*ret = &l->wanted->part;
		l->wanted = l->wanted->next;
		r = 1;
	}
	pthread_mutex_unlock(&l->lock);
	return r;
}

static void arrived(void *data, struct cx_registry_blob *blob)
{
	struct cx_layers *l = data;

	pthread_mutex_lock(&l->lock);
	((struct cx_layer *)blob->data)->arrived = 1;
	pthread_cond_broadcast(&l->moved);
	pthread_mutex_unlock(&l->lock);
}

static void serve(struct cx_layers *l)
{
	const struct cx_registry_feed feed = { .next = next_wanted, .ended = arrived, .data = l };
	conex_error *err = NULL;
	int r = cx_registry_fetch(l->registry, l->place->name.repository, &feed, &err);

	if (r < 0)
		cx_layers_fail(l, r, &err);
	conex_error_free(err);
}

/* ---- the layers ---- */

static struct cx_layer *next_layer(struct cx_layers *l)
{
	struct cx_layer *y = NULL;

	pthread_mutex_lock(&l->lock);
	if (!l->code && l->begun < l->count)
		y = &l->list[l->begun++];
	pthread_mutex_unlock(&l->lock);
	return y;
}

/* After the one below. */
static int show(struct cx_layer *y, conex_error **err)
{
	struct cx_layers *l = y->all;
	size_t n = (size_t)(y - l->list);
	int r = 0;

	pthread_mutex_lock(&l->lock);
	while (r == 0 && l->shown < n)
		r = cx_layers_wait(l);
	pthread_mutex_unlock(&l->lock);
	if (r == 0 && y->is_filled)
		r = cx_layer_settle(y, err);
	if (r == 0 && y->is_filled)
		r = cx_store_layer_commit(y->place, y->bytes, err);
	if (r < 0)
		return r;
	cx_store_layer_close(cx_steal_ptr(&y->place));
	pthread_mutex_lock(&l->lock);
	l->shown++;
	__atomic_store_n(&l->w->done_layers, (uint32_t)l->shown, __ATOMIC_RELAXED);
	pthread_cond_broadcast(&l->moved);
	pthread_mutex_unlock(&l->lock);
	cx_worker_step(l->w, "layer %zu of %zu", n + 1 < l->count ? n + 2 : l->count, l->count);
	return 0;
}

static void *work(void *data)
{
	struct cx_layers *l = data;
	struct cx_layer *y;

	while ((y = next_layer(l))) {
		conex_error *err = NULL;
		int r = cx_layer_bring(y, &err);

		if (r == 0)
			r = show(y, &err);
		if (r < 0)
			cx_layers_fail(l, r, &err);
		conex_error_free(err);
	}
	return NULL;
}

static void run(struct cx_layers *l)
{
	pthread_t threads[THREADS];
	conex_error *err = NULL;
	size_t n = 0;
	int r = 0;

	while (r == 0 && n < THREADS && n < l->count) {
		r = -pthread_create(&threads[n], NULL, work, l);
		n += r == 0;
	}
	if (r < 0 && n == 0) {
		cx_fail(&err, CONEX_STAGE_IMAGE, r, "pthread_create", NULL, "conex-worker");
		cx_layers_fail(l, r, &err);
	}
	if (l->registry)
		serve(l);
	while (n-- > 0)
		pthread_join(threads[n], NULL);
}

/* ---- all of it ---- */

static int is_twin(const struct cx_layers *l, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (cx_digest_equal(&l->list[i].blob->digest, &l->list[n].blob->digest))
			return 1;
	return 0;
}

static int list(struct cx_layers *l, const struct cx_image_manifest *m, const struct cx_image_config *config,
	conex_error **err)
{
	struct cx_digest chain_id;

	for (size_t i = 0; i < l->count; i++) {
		struct cx_layer *y = &l->list[i];

		*y = (struct cx_layer){ .all = l, .blob = &m->layers[i], .diff_id = &config->diff_ids[i],
			.parent = i ? l->list[i - 1].name : NULL };
		if (chain(&chain_id, y->diff_id, i == 0) < 0 || cx_store_layer_name(y->diff_id, &chain_id, y->name) < 0)
			return cx_fail(err, CONEX_STAGE_IMAGE, -EIO, NULL, NULL, "layer %zu's name", i + 1);
		y->is_new = l->registry && !cx_store_has_blob(l->place->store, &y->blob->digest) && !is_twin(l, i);
		if (y->is_new)
			__atomic_add_fetch(&l->w->total, y->blob->size, __ATOMIC_RELAXED);
	}
	return 0;
}

static int places(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 2;

	return n < 2 ? 2 : n > PLACES ? PLACES : n;
}

int cx_layers_bring(struct cx_worker *w, const struct cx_work_place *p, const struct cx_image_manifest *m,
	const struct cx_image_config *config, struct cx_registry *registry, conex_error **err)
{
	struct cx_layers l = { .w = w, .place = p, .registry = registry, .count = m->layer_count, .places = places(),
		.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER, .failed = PTHREAD_COND_INITIALIZER };
	int r;

	w->total_layers = (uint32_t)l.count;
	l.list = calloc(l.count + 1, sizeof *l.list);
	r = l.list ? list(&l, m, config, err) : cx_fail_memory(err);
	if (r == 0 && l.count) {
		cx_worker_step(w, "layer 1 of %zu", l.count);
		run(&l);
		r = l.code;
	}
	for (size_t i = 0; l.list && i < l.count; i++)
		cx_layer_clear(&l.list[i]);
	free(l.list);
	if (l.code && err) {
		conex_error_free(*err);
		*err = cx_steal_ptr(&l.error);
	}
	conex_error_free(l.error);
	return r;
}

static int read_config(const struct cx_store *s, const struct cx_image_manifest *m, struct cx_image_config **ret,
	conex_error **err)
{
	cx_autofree char *text = NULL;
	size_t size;
	int r = cx_store_read_blob(s, &m->config.digest, &text, &size, err);

	if (r == 0 && size != m->config.size)
		r = cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL, NULL, "the config has %zu bytes, its descriptor says %llu", size,
			(unsigned long long)m->config.size);
	if (r == 0)
		r = cx_image_config_parse(text, size, ret, err);
	if (r == 0 && (r = cx_image_config_check(*ret, m, NULL, err)) < 0)
		cx_image_config_free(*ret);
	return r;
}

int cx_layers_unpack(struct cx_worker *w, const struct cx_work_place *p, const struct cx_digest *manifest, conex_error **err)
{
	struct cx_image_config *config = NULL;
	struct cx_image_manifest *m = NULL;
	cx_autofree char *text = NULL;
	size_t size;
	int r = cx_store_read_blob(p->store, manifest, &text, &size, err);

	if (r == 0)
		r = cx_image_manifest_parse(text, size, NULL, &m, err);
	if (r == 0)
		r = read_config(p->store, m, &config, err);
	if (r == 0) {
		r = cx_layers_bring(w, p, m, config, NULL, err);
		cx_image_config_free(config);
	}
	cx_image_manifest_free(m);
	return r;
}
