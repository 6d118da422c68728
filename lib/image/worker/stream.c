/* The pipeline: source -> decompress in one thread, the hashes of what goes in and comes out in another, and who asks
 * for the chunks is the third: each has about as much to do as the others together have for two processors. Between
 * stream.h's caller (unpack.c) and decompress.c. */
#include "image/worker/stream.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include "image/worker/decompress.h"
#include "image/worker/hash.h"

enum { CHUNKS = 16, CHUNK = 256 << 10, INPUTS = 4, INPUT = 256 << 10 };
#define RATIO_FROM (256 * CONEX_MIB)    /* small layers of zeros are nobody's harm */

struct cx_stream {
	struct cx_packed layer;
	struct cx_unpack_limits limits;
	struct cx_hash *digest, *diff_id;
	struct cx_decompress decompress;
	struct cx_input input;
	uint64_t compressed, plain;
	int stop_fd, polls;             /* an eventfd; is the descriptor one that can make us wait? */
	pthread_t producer, hasher;
	int producing, hashing;         /* do these threads exist? */
	int once;                       /* nothing to decompress: diff-id and digest are one */
	/* chunk number n is chunks[n % CHUNKS], what is read likewise; all that follows is under the lock */
	pthread_mutex_t lock;
	pthread_cond_t moved;
	uint64_t made, hashed, taken, inputs, inputs_hashed;
	int holds;                      /* the caller has chunk number `taken` in its hands */
	int ended, stop, code;          /* no more chunks; all shall end; why the producer has failed */
	conex_error *error;
	size_t sizes[CHUNKS], input_sizes[INPUTS];
	uint8_t *chunks, *in;
};

/* ---- the source -------------------------------------------------------------------------------- */

/* read(2), but not for ever: a stream that is freed stops it. */
static ssize_t read_fd(struct cx_stream *s, void *to, size_t size)
{
	struct pollfd p[2] = { { .fd = s->layer.fd, .events = POLLIN }, { .fd = s->stop_fd, .events = POLLIN } };
	ssize_t n;

	do {
		if (s->polls && poll(p, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (p[1].revents)
			return -ECANCELED;
		n = read(s->layer.fd, to, size);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	return n < 0 ? -errno : n;
}

static int is_stopped(struct cx_stream *s)
{
	int stop;

	pthread_mutex_lock(&s->lock);
	stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	return stop;
}

/* A free buffer to read into; NULL: all shall end. */
static uint8_t *wait_input(struct cx_stream *s)
{
	int go;

	pthread_mutex_lock(&s->lock);
	while (!s->stop && s->inputs - s->inputs_hashed >= INPUTS)
		pthread_cond_wait(&s->moved, &s->lock);
	go = !s->stop;
	pthread_mutex_unlock(&s->lock);
	return go ? s->in + s->inputs % INPUTS * INPUT : NULL;
}

static int input_fill(struct cx_input *in, conex_error **err)
{
	struct cx_stream *s = in->self;
	uint8_t *to = wait_input(s);
	size_t have = 0;
	ssize_t n = 0;

	while (have < INPUT) {
		n = !to || (have && is_stopped(s)) ? -ECANCELED : s->layer.read ? s->layer.read(s->layer.self, to + have, INPUT - have)
			: read_fd(s, to + have, INPUT - have);
		if (n < 0)
			return cx_fail(err, CONEX_STAGE_IMAGE, (int)n, "read", NULL, "layer: after %llu bytes",
				(unsigned long long)(s->compressed + have));
		if (n == 0)
			break;
		have += (size_t)n;
	}
	s->compressed += have;
	if (s->layer.size && (s->compressed > s->layer.size || (n == 0 && s->compressed < s->layer.size)))
		return cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL,
			"fetch it anew; if that doesn't help its manifest is wrong", "layer: %s its size of %llu bytes says", n == 0 ? "shorter than" : "longer than",
			(unsigned long long)s->layer.size);
	pthread_mutex_lock(&s->lock);
	s->input_sizes[s->inputs++ % INPUTS] = have;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
	in->next = to;
	in->left = have;
	in->ended = have == 0;
	return 0;
}

/* ---- the threads ------------------------------------------------------------------------------- */

static int within_limits(struct cx_stream *s, conex_error **err)
{
	if (s->plain > s->limits.bytes)
		return cx_fail(err, CONEX_STAGE_IMAGE, -E2BIG, NULL, "limits.bytes allows more",
			"layer: more than %llu bytes when unpacked", (unsigned long long)s->limits.bytes);
	if (s->plain > RATIO_FROM && s->plain / s->limits.ratio > s->compressed)
		return cx_fail(err, CONEX_STAGE_IMAGE, -E2BIG, NULL, "limits.ratio allows more",
			"layer: more than %llu times its compressed size, like a bomb", (unsigned long long)s->limits.ratio);
	return 0;
}

/* Room for chunk number s->made: 1, or 0: all shall end. */
static int wait_room(struct cx_stream *s)
{
	int go;

	pthread_mutex_lock(&s->lock);
	while (!s->stop && (s->made - s->hashed >= CHUNKS || s->made - s->taken >= CHUNKS))
		pthread_cond_wait(&s->moved, &s->lock);
	go = !s->stop;
	pthread_mutex_unlock(&s->lock);
	return go;
}

static int produce(struct cx_stream *s, conex_error **err)
{
	int r = cx_decompress_open(&s->decompress, &s->input, s->layer.media, err);

	s->once = !s->decompress.kind && cx_hash_alike(s->digest, s->diff_id);
	while (r == 0 && wait_room(s)) {
		uint64_t i = s->made % CHUNKS;
		ssize_t n = cx_decompress_read(&s->decompress, &s->input, s->chunks + i * CHUNK, CHUNK, err);

		if (n <= 0)
			return (int)n;
		s->plain += (uint64_t)n;
		if (s->layer.unpacked)
			__atomic_add_fetch(s->layer.unpacked, (uint64_t)n, __ATOMIC_RELAXED);
		r = within_limits(s, err);
		pthread_mutex_lock(&s->lock);
		s->sizes[i] = (size_t)n;
		s->made++;
		pthread_cond_broadcast(&s->moved);
		pthread_mutex_unlock(&s->lock);
	}
	return r;
}

static void *producer_main(void *self)
{
	struct cx_stream *s = self;
	conex_error *err = NULL;
	int r = produce(s, &err);

	pthread_mutex_lock(&s->lock);
	s->code = r;
	s->error = err;
	s->ended = 1;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* What is to be hashed next, without the lock meanwhile; 0: nothing now. */
static int hash_one(struct cx_stream *s)
{
	int in = s->inputs_hashed < s->inputs;
	uint64_t i = in ? s->inputs_hashed % INPUTS : s->hashed % CHUNKS;
	size_t size = in ? s->input_sizes[i] : s->sizes[i];

	if (!in && s->hashed == s->made)
		return 0;
	pthread_mutex_unlock(&s->lock);
	if (in)
		cx_hash_add(s->digest, s->in + i * INPUT, size);
	else if (!s->once)
		cx_hash_add(s->diff_id, s->chunks + i * CHUNK, size);
	pthread_mutex_lock(&s->lock);
	s->inputs_hashed += in;
	s->hashed += !in;
	pthread_cond_broadcast(&s->moved);
	return 1;
}

static void *hasher_main(void *self)
{
	struct cx_stream *s = self;

	pthread_mutex_lock(&s->lock);
	while (!s->stop)
		if (!hash_one(s)) {
			if (s->ended)
				break;
			pthread_cond_wait(&s->moved, &s->lock);
		}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- what the caller sees ---------------------------------------------------------------------- */

static int start(struct cx_stream *s, conex_error **err)
{
	struct stat st;
	int r;

	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (s->stop_fd < 0 || (!s->layer.read && fstat(s->layer.fd, &st) < 0))
		return cx_fail_errno(err, CONEX_STAGE_IMAGE, s->stop_fd < 0 ? "eventfd" : "fstat", NULL, "layer");
	s->polls = !s->layer.read && !S_ISREG(st.st_mode);
	r = -pthread_create(&s->producer, NULL, producer_main, s);
	s->producing = r == 0;
	if (r == 0)
		r = -pthread_create(&s->hasher, NULL, hasher_main, s);
	s->hashing = r == 0;
	return r == 0 ? 0 : cx_fail(err, CONEX_STAGE_IMAGE, r, "pthread_create", NULL, "layer: a thread of its own");
}

int cx_stream_open(const struct cx_packed *layer, const struct cx_unpack_limits *limits, struct cx_stream **ret,
	conex_error **err)
{
	struct cx_stream *s = calloc(1, sizeof *s);
	int r;

	if (!s)
		return cx_fail_memory(err);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->moved, NULL);
	s->layer = *layer;
	s->limits = *limits;
	s->stop_fd = -1;
	s->input = (struct cx_input){ .fill = input_fill, .self = s };
	s->chunks = malloc(CHUNKS * CHUNK);
	s->in = malloc(INPUTS * INPUT);
	r = s->chunks && s->in ? 0 : cx_fail_memory(err);
	if (r == 0)
		r = cx_hash_new(layer->digest, "layer.digest", &s->digest, err);
	if (r == 0)
		r = cx_hash_new(layer->diff_id, "layer.diff_id", &s->diff_id, err);
	if (r == 0)
		r = start(s, err);
	if (r < 0) {
		cx_stream_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

ssize_t cx_stream_next(struct cx_stream *s, const void **data)
{
	ssize_t n = 0;

	pthread_mutex_lock(&s->lock);
	if (s->holds) {
		s->taken++;
		s->holds = 0;
		pthread_cond_broadcast(&s->moved);
	}
	while (!s->ended && s->taken == s->made)
		pthread_cond_wait(&s->moved, &s->lock);
	if (s->taken < s->made) {
		*data = s->chunks + s->taken % CHUNKS * CHUNK;
		n = (ssize_t)s->sizes[s->taken % CHUNKS];
		s->holds = 1;
	} else if (s->code < 0) {
		n = s->code;
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

static int compare(const char *what, const char *wanted, const char *found, conex_error **err)
{
	if (!wanted || !strcmp(wanted, found))
		return 0;
	return cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL,
		"it isn't what its manifest promises: fetch it anew, or don't trust it", "layer: %s is %s, not %s", what, found, wanted);
}

int cx_stream_end(struct cx_stream *s, struct cx_unpack_result *result, conex_error **err)
{
	int r;

	pthread_join(s->producer, NULL);
	pthread_join(s->hasher, NULL);
	s->producing = s->hashing = 0;
	if (s->code < 0) {
		if (err) {
			conex_error_free(*err);
			*err = cx_steal_ptr(&s->error);
		}
		return s->code;
	}
	result->compressed = s->compressed;
	result->plain = s->plain;
	result->media = s->decompress.media;
	if (cx_hash_end(s->digest, result->digest) < 0 || cx_hash_end(s->diff_id, result->diff_id) < 0)
		return cx_fail(err, CONEX_STAGE_IMAGE, -EIO, NULL, NULL, "layer: libcrypto has failed");
	if (s->once)
		strcpy(result->diff_id, result->digest);
	r = compare("the digest", s->layer.digest, result->digest, err);
	return r < 0 ? r : compare("the diff-id", s->layer.diff_id, result->diff_id, err);
}

void cx_stream_free(struct cx_stream *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = 1;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
	if (s->stop_fd >= 0)
		eventfd_write(s->stop_fd, 1);
	if (s->producing)
		pthread_join(s->producer, NULL);
	if (s->hashing)
		pthread_join(s->hasher, NULL);
	cx_decompress_close(&s->decompress);
	cx_hash_free(s->digest);
	cx_hash_free(s->diff_id);
	conex_error_free(s->error);
	cx_closep(&s->stop_fd);
	pthread_cond_destroy(&s->moved);
	pthread_mutex_destroy(&s->lock);
	free(s->chunks);
	free(s->in);
	free(s);
}
