/* Sends an image of the store to a registry: the blobs that it doesn't have, several at once, then the manifests that
 * name them. Nothing of it is visible under the tag before all of it is there. */
#include "image/worker/pushed.h"
#include "image/worker/remote.h"
#include "image/worker/tasks.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { AT_ONCE = 4 };

struct push {
	struct cx_worker *w;
	struct cx_work_place place;
	struct cx_pushed what;
	struct cx_registry *registries[AT_ONCE];        /* each is one thread's */
	int count;
	pthread_mutex_t lock;           /* of these: */
	size_t next;                    /* blob */
	int code;                       /* the first that failed */
	conex_error *error;
};

struct sender { struct push *p; struct cx_registry *registry; pthread_t thread; };

/* ---- blobs ---- */

static int source(void *data, uint64_t offset, void *to, size_t size)
{
	const int *fd = data;
	size_t at = 0;

	while (at < size) {
		ssize_t n = pread(*fd, (char *)to + at, size - at, (off_t)(offset + at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		at += (size_t)n;
	}
	return 0;
}

/* What needn't be sent isn't part of the way. */
static void is_there(struct cx_worker *w, uint64_t size)
{
	__atomic_sub_fetch(&w->total, size, __ATOMIC_RELAXED);
}

static int send_blob(struct push *p, struct cx_registry *r, const struct cx_pushed_blob *b, conex_error **err)
{
	cx_autoclose int fd = cx_store_open_blob(p->place.store, &b->digest, NULL, err);
	const struct cx_registry_upload u = { .digest = b->digest, .size = b->size, .source = source, .data = &fd, .from = b->from };
	int done = fd < 0 ? fd : cx_registry_upload(r, p->place.name.repository, &u, err);

	if (done < 0)
		return done;
	if (done != CX_UPLOAD_SENT)
		is_there(p->w, b->size);
	if (b->is_layer)
		__atomic_add_fetch(&p->w->done_layers, 1, __ATOMIC_RELAXED);
	cx_worker_tell(p->w);
	return 0;
}

/* The error becomes the push's, or is gone: what follows the first is its doing. */
static void give_up(struct push *p, int code, conex_error *error)
{
	pthread_mutex_lock(&p->lock);
	if (!p->code) {
		p->code = code;
		p->error = error;
		error = NULL;
	}
	pthread_mutex_unlock(&p->lock);
	conex_error_free(error);
	for (int i = 0; i < p->count; i++)
		cx_registry_cancel(p->registries[i]);
}

static const struct cx_pushed_blob *next_blob(struct push *p)
{
	const struct cx_pushed_blob *b = NULL;

	pthread_mutex_lock(&p->lock);
	if (!p->code && p->next < p->what.count)
		b = &p->what.blobs[p->next++];
	pthread_mutex_unlock(&p->lock);
	return b;
}

static void *send_blobs(void *data)
{
	struct sender *s = data;
	const struct cx_pushed_blob *b;
	conex_error *error = NULL;

	while ((b = next_blob(s->p))) {
		int r = send_blob(s->p, s->registry, b, &error);

		if (r < 0) {
			give_up(s->p, r, error);
			break;
		}
	}
	return NULL;
}

/* The first sender is this thread. */
static int send_all(struct push *p, conex_error **err)
{
	struct sender senders[AT_ONCE];
	int started = 1;

	for (int i = 0; i < p->count; i++)
		senders[i] = (struct sender){ .p = p, .registry = p->registries[i] };
	while (started < p->count && pthread_create(&senders[started].thread, NULL, send_blobs, &senders[started]) == 0)
		started++;
	send_blobs(&senders[0]);
	while (--started > 0)
		pthread_join(senders[started].thread, NULL);
	if (p->code && err) {
		conex_error_free(*err);
		*err = cx_steal_ptr(&p->error);
	}
	return p->code;
}

/* ---- documents ---- */

/* A tag that is this already stays as it is: some registries let none be put twice. */
static int send_document(struct push *p, const struct cx_pushed_document *d, const struct cx_reference *as, conex_error **err)
{
	struct cx_manifest there = { .data = NULL };
	struct cx_reference asked = *as;
	int r;

	if (*asked.tag)                 /* not what is there of that digest, under whatever name */
		asked.digest = (struct cx_digest){ .algorithm = CX_DIGEST_NONE };
	r = cx_registry_head(p->registries[0], &asked, &there, NULL);
	if (r == 0) {
		r = cx_digest_equal(&there.digest, &d->digest);
		cx_manifest_free(&there);
		if (r) {
			is_there(p->w, d->size);
			return 0;
		}
	}
	return cx_registry_put(p->registries[0], as, d->type, d->bytes, d->size, err);
}

static int send_documents(struct push *p, conex_error **err)
{
	int r = 0;

	for (size_t i = 0; i < p->what.document_count && r == 0; i++) {
		const struct cx_pushed_document *d = &p->what.documents[i];
		struct cx_reference as = p->place.name;

		as.digest = d->digest;
		if (i + 1 < p->what.document_count)
			as.tag[0] = '\0';
		cx_worker_step(p->w, "manifest %zu of %zu", i + 1, p->what.document_count);
		r = send_document(p, d, &as, err);
	}
	return r;
}

/* ---- the task ---- */

static int collect(struct push *p, conex_error **err)
{
	const struct cx_platform *platform = cx_task_word(p->w, "platform") ? &p->place.platform : NULL;
	struct cx_digest target;
	int r = cx_store_get_image(p->place.store, &p->place.name, &target, err);

	if (r == 0)
		r = cx_store_lease_hold(p->place.lease, &target, err);
	if (r >= 0)
		r = cx_pushed_collect(p->place.store, &p->place.name, platform, &p->what, err);
	if (r < 0)
		return r;
	target = p->what.documents[p->what.document_count - 1].digest;
	if (p->place.name.digest.algorithm && !cx_digest_equal(&p->place.name.digest, &target))
		return cx_refuse(err, -EINVAL, "conex_image_options.platform", cx_task_word(p->w, "platform"),
			"the name's digest is the whole index's: give it a name without one");
	for (size_t i = 0; i < p->what.count; i++) {
		p->w->total += p->what.blobs[i].size;
		p->w->total_layers += p->what.blobs[i].is_layer != 0;
	}
	for (size_t i = 0; i < p->what.document_count; i++)
		p->w->total += p->what.documents[i].size;
	return 0;
}

/* Each has its own connections, and asks for its own tokens. */
static int open_registries(struct push *p, conex_error **err)
{
	int wanted = p->what.count < AT_ONCE ? (int)p->what.count : AT_ONCE, r = 0;

	while (r == 0 && p->count < wanted) {
		r = cx_remote_open(p->w, &p->place.name, &p->registries[p->count], err);
		p->count += r == 0;
	}
	return r;
}

static int push(struct push *p, char **result, conex_error **err)
{
	int r = cx_work_place_open(p->w, &p->place, err);

	if (r == 0)
		r = cx_work_place_lock(p->w, &p->place, -1, 1, err);
	if (r == 0)
		r = collect(p, err);
	if (r == 0)
		r = open_registries(p, err);
	if (r < 0)
		return r;
	cx_worker_step(p->w, "%zu layers and configs", p->what.count);
	r = send_all(p, err);
	if (r == 0)
		r = send_documents(p, err);
	return r < 0 ? r : cx_result_digest(&p->what.documents[p->what.document_count - 1].digest, result, err);
}

int cx_task_push(struct cx_worker *w, char **result, conex_error **err)
{
	struct push p = { .w = w, .lock = PTHREAD_MUTEX_INITIALIZER };
	int r = push(&p, result, err);

	for (int i = 0; i < p.count; i++)
		cx_registry_close(p.registries[i]);
	cx_pushed_clear(&p.what);
	cx_work_place_close(&p.place);
	return r;
}
