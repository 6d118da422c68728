/* One layer: its blob comes into an ingest, and while it comes it is read from there, hashed, decompressed, hashed again and
 * unpacked. The file is the buffer between network and disk, so neither waits for the other. Called by a thread of layers.c.
 *
 * Who has an ingest waits for nobody but the network and a free place: what others have (another process, or another image's
 * layer with the same blob) is waited for without one. So no two wait for each other. */
#include "image/worker/layers.h"
#include "image/worker/hash.h"

#include <string.h>
#include <sys/stat.h>

enum { ASK_TICKS = 20 };        /* tenths of a second: asking costs a line in the lease */
enum { WRONG_PART = 1 };        /* of fetch: what earlier pulls left was wrong */

static void hand_over(conex_error **err, conex_error **why)
{
	if (!err)
		return;
	conex_error_free(*err);
	*err = cx_steal_ptr(why);
}

/* ---- what others bring ------------------------------------------------------------------------ */

static void set_others(struct cx_layer *y, uint64_t bytes)
{
	struct cx_layers *l = y->all;

	if (!y->is_new)
		return;
	__atomic_add_fetch(&l->w->others, bytes - y->others, __ATOMIC_RELAXED);
	y->others = bytes;
}

/* Has another layer of the same image brought it, being the same blob? Locked. */
static int is_by_twin(const struct cx_layer *y)
{
	for (size_t i = 0; i < y->all->count; i++)
		if (y->all->list[i].is_ours && cx_digest_equal(&y->all->list[i].blob->digest, &y->blob->digest))
			return 1;
	return 0;
}

/* A tenth of a second of another's work. 0, -ECANCELED */
static int look_on(struct cx_layer *y, uint64_t partial, int is_first)
{
	struct cx_layers *l = y->all;
	int r;

	if (is_first)
		cx_worker_step(l->w, "layer %zu of %zu: another process is at it", (size_t)(y - l->list) + 1, l->count);
	else
		cx_worker_tell(l->w);
	pthread_mutex_lock(&l->lock);
	set_others(y, partial);
	r = cx_layers_pause(l);
	pthread_mutex_unlock(&l->lock);
	return r;
}

/* 1: the blob is in the store; 0: it is ours to bring. */
static int begin_blob(struct cx_layer *y, conex_error **err)
{
	const struct cx_work_place *p = y->all->place;
	const struct cx_digest *digest = &y->blob->digest;
	conex_error *why = NULL;
	int r;

	for (unsigned tick = 0;; tick++) {
		if (tick % ASK_TICKS == 0 || cx_store_has_blob(p->store, digest)) {
			r = cx_ingest_begin(p->lease, digest, y->blob->size, 0, &y->ingest, &why);
			if (r != -EBUSY)
				break;
		}
		r = look_on(y, cx_store_partial(p->store, digest), tick == 0);
		if (r < 0)
			break;
	}
	pthread_mutex_lock(&y->all->lock);
	y->is_ours = r == 0;
	set_others(y, r == 1 && !is_by_twin(y) ? y->blob->size : 0);
	pthread_mutex_unlock(&y->all->lock);
	if (r == 0 && y->is_new)
		__atomic_sub_fetch(&y->all->w->total, y->ingest->have, __ATOMIC_RELAXED);
	if (r < 0)
		hand_over(err, &why);
	conex_error_free(why);
	return r;
}

static int is_shown(const struct cx_layer *y)
{
	cx_autoclose int fd = cx_store_open_layer(y->all->place->store, y->name, NULL);

	return fd >= 0;
}

/* A directory to unpack it in. -EBUSY: another has it, which is waited for if `wait` says so. */
static int begin_place(struct cx_layer *y, int wait, conex_error **err)
{
	struct cx_store_lease *lease = y->all->place->lease;
	conex_error *why = NULL;
	int r = -EBUSY;

	if (y->place || y->is_there)
		return 0;
	for (unsigned tick = 0; r == -EBUSY; tick++) {
		if (tick % ASK_TICKS == 0 || is_shown(y))
			r = cx_store_layer_begin(lease, y->name, y->parent, 0, &y->place, &why);
		if (r != -EBUSY || !wait)
			break;
		r = look_on(y, y->others, tick == 0);
		r = r < 0 ? r : -EBUSY;
	}
	y->is_there = r == 1;
	if (r < 0 && r != -EBUSY)
		hand_over(err, &why);
	conex_error_free(why);
	return r == 1 ? 0 : r;
}

/* ---- unpacking -------------------------------------------------------------------------------- */

int cx_layer_packed_as(enum cx_media media)
{
	return media == CX_MEDIA_LAYER_GZIP ? CX_PACKED_GZIP : media == CX_MEDIA_LAYER_ZSTD ? CX_PACKED_ZSTD : CX_PACKED_TAR;
}

/* A place is five MiB of buffers and three threads, which two processors keep busy. */
static int take_place(struct cx_layers *l)
{
	int r = 0;

	pthread_mutex_lock(&l->lock);
	while (r == 0 && !l->places)
		r = cx_layers_wait(l);
	l->places -= r == 0;
	pthread_mutex_unlock(&l->lock);
	return r;
}

static void give_place(struct cx_layers *l)
{
	pthread_mutex_lock(&l->lock);
	l->places++;
	pthread_cond_broadcast(&l->moved);
	pthread_mutex_unlock(&l->lock);
}

static int unpack(struct cx_layer *y, struct cx_packed *from, conex_error **err)
{
	struct cx_layers *l = y->all;
	char digest[CX_DIGEST_TEXT], diff_id[CX_DIGEST_TEXT];
	struct cx_unpack_options options = l->place->unpack;
	struct cx_unpack_result result;
	int r = take_place(l);

	if (r < 0)
		return r;
	cx_digest_print(&y->blob->digest, digest);
	cx_digest_print(y->diff_id, diff_id);
	from->digest = digest;
	from->diff_id = diff_id;
	from->size = y->blob->size;
	from->media = cx_layer_packed_as(y->blob->media);
	from->unpacked = &l->w->unpacked;
	cx_str_free(&y->implied);
	options.implied = y->parent ? &y->implied : NULL;
	r = cx_unpack_layer(y->place->dir, "root", from, &options, &result, err);
	give_place(l);
	y->is_filled = r == 0;
	y->bytes = r == 0 ? result.bytes : 0;
	return r;
}

static int unpack_from_store(struct cx_layer *y, conex_error **err)
{
	cx_autoclose int fd = -1;
	int r = begin_place(y, 1, err);

	if (r < 0 || y->is_there)
		return r;
	fd = cx_store_open_blob(y->all->place->store, &y->blob->digest, NULL, err);
	return fd < 0 ? fd : unpack(y, &(struct cx_packed){ .fd = fd }, err);
}

/* ---- from the network ------------------------------------------------------------------------- */

/* The network's thread brings bytes. What the store says of them is more than what the registry's client could. */
static int sink(void *data, const void *bytes, size_t size)
{
	struct cx_layer *y = data;
	struct cx_layers *l = y->all;
	conex_error *why = NULL;
	int r = cx_ingest_append(y->ingest, bytes, size, &why);

	if (r < 0)
		cx_layers_fail(l, r, &why);
	conex_error_free(why);
	pthread_mutex_lock(&l->lock);
	y->have = y->ingest->have;
	r = l->code ? -ECANCELED : 0;
	pthread_cond_broadcast(&l->moved);
	pthread_mutex_unlock(&l->lock);
	return r;
}

/* Until there is more than `bytes`, or all. How much there is, -ECANCELED */
static int64_t wait_for(struct cx_layer *y, uint64_t bytes)
{
	struct cx_layers *l = y->all;
	int64_t n = 0;

	pthread_mutex_lock(&l->lock);
	while (n == 0 && y->have <= bytes && !y->arrived)
		n = cx_layers_wait(l);
	n = n < 0 ? n : (int64_t)y->have;
	pthread_mutex_unlock(&l->lock);
	return n;
}

/* read(2) of a file that grows. */
static ssize_t read_growing(void *self, void *to, size_t size)
{
	struct cx_layer *y = self;
	int64_t have = wait_for(y, y->taken);
	ssize_t n;

	if (have < 0)
		return (ssize_t)have;
	if (size > (uint64_t)have - y->taken)
		size = (size_t)((uint64_t)have - y->taken);
	n = pread(y->ingest->fd, to, size, (off_t)y->taken);
	if (n > 0)
		y->taken += (uint64_t)n;
	return n < 0 ? -errno : n;
}

/* Unpacks what is on its way. 1: somebody else does, or has. */
static int unpack_meanwhile(struct cx_layer *y, conex_error **err)
{
	int r = begin_place(y, 0, err);

	if (r == -EBUSY || (r == 0 && y->is_there))
		return 1;
	if (r == 0 && wait_for(y, 0) < 0)
		r = -ECANCELED;
	y->taken = 0;
	return r < 0 ? r : unpack(y, &(struct cx_packed){ .read = read_growing, .self = y, .fd = -1 }, err);
}

static int hash_ingest(struct cx_layer *y, struct cx_digest *ret, conex_error **err)
{
	enum { PIECE = 256 * 1024 };
	struct cx_hash *h = cx_hash_begin(y->blob->digest.algorithm);
	cx_autofree char *piece = malloc(PIECE);
	ssize_t n = 0;
	int r = h && piece ? 0 : cx_fail_memory(err);

	for (off_t at = 0; r == 0 && (n = pread(y->ingest->fd, piece, PIECE, at)) > 0; at += n)
		cx_hash_add(h, piece, (size_t)n);
	if (r == 0 && (n < 0 || cx_hash_finish(h, ret) < 0))
		r = cx_fail(err, CONEX_STAGE_IMAGE, n < 0 ? -errno : -EIO, n < 0 ? "read" : "EVP_DigestFinal", NULL, "a blob");
	cx_hash_free(h);
	return r;
}

/* Can it be the bytes' fault that unpacking said that? Those of an earlier pull were written by who knows whom; new ones that
 * aren't even an archive may be something else than what was asked for. */
static int is_doubtful(int code, int resumed)
{
	return code == -EBADMSG || (resumed && (code == -EINVAL || code == -E2BIG || code == -ENAMETOOLONG));
}

/* Once. WRONG_PART: the ingest begins anew. */
static int fetch(struct cx_layer *y, conex_error **err)
{
	int resumed = y->ingest->have > 0, tree, r;
	struct cx_digest is = y->blob->digest;
	conex_error *why = NULL;

	cx_layers_want(y);
	tree = unpack_meanwhile(y, &why);
	if (tree < 0 && !is_doubtful(tree, resumed)) {
		hand_over(err, &why);
		return tree;
	}
	r = wait_for(y, UINT64_MAX) < 0 ? -ECANCELED : 0;
	if (r == 0 && tree != 0)                /* nobody has hashed all of it */
		r = hash_ingest(y, &is, err);
	if (r == 0)
		r = cx_ingest_commit(y->ingest, &is, err);
	if (r == -EBADMSG && resumed)
		r = WRONG_PART;
	if (r == 0 && tree < 0) {
		hand_over(err, &why);
		r = tree;
	}
	conex_error_free(why);
	return r;
}

static int bring_blob(struct cx_layer *y, conex_error **err)
{
	int r = begin_blob(y, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = fetch(y, err);
	if (r == WRONG_PART) {
		if (y->is_new)
			__atomic_add_fetch(&y->all->w->total, y->blob->size, __ATOMIC_RELAXED);
		r = fetch(y, err);
	}
	if (r < 0)
		return r;
	cx_ingest_close(cx_steal_ptr(&y->ingest));
	return 0;
}

int cx_layer_bring(struct cx_layer *y, conex_error **err)
{
	struct cx_layers *l = y->all;
	int r = l->registry ? bring_blob(y, err) : 0;

	if (r < 0)
		return r;
	pthread_mutex_lock(&l->lock);
	l->brought++;
	pthread_mutex_unlock(&l->lock);
	if (l->registry)
		cx_registry_wake(l->registry);
	return y->is_filled || y->is_there ? 0 : unpack_from_store(y, err);
}

/* One that turned out to be wrong has nothing to go on with. */
void cx_layer_clear(struct cx_layer *y)
{
	if (y->ingest && !y->ingest->have)
		cx_ingest_abort(y->ingest);
	else
		cx_ingest_close(y->ingest);
	cx_store_layer_close(y->place);
	cx_str_free(&y->implied);
}

void cx_layers_want(struct cx_layer *y)
{
	struct cx_layers *l = y->all;
	struct cx_layer **at = &l->wanted;

	y->part = (struct cx_registry_blob){ .digest = y->blob->digest, .size = y->blob->size, .offset = y->ingest->have,
		.sink = sink, .data = y };
	pthread_mutex_lock(&l->lock);
	y->have = y->ingest->have;
	y->arrived = 0;
	y->next = NULL;
	while (*at)
		at = &(*at)->next;
	*at = y;
	pthread_mutex_unlock(&l->lock);
	cx_registry_wake(l->registry);
}
