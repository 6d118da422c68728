/* Hashing all blobs of the store: conex_image_verify. */
#include "image/worker/hash.h"
#include "image/worker/tasks.h"
#include "base/str.h"

#include <string.h>

enum { PIECE = 1 << 20 };

struct verify {
	struct cx_worker *w;
	struct cx_str broken;           /* digests, a line each */
	char piece[PIECE];
};

static int hash_file(int fd, int algorithm, struct cx_digest *ret, void *data)
{
	struct verify *v = data;
	struct cx_hash *h = NULL;
	char text[CX_LAYER_DIGEST];
	ssize_t n;
	/* cx_hash_new takes the algorithm from a digest: one of the right length */
	const struct cx_digest any = { .algorithm = algorithm };
	int r;

	cx_digest_print(&any, text);
	r = cx_hash_new(text, "digest", &h, NULL);
	while (r == 0 && (n = read(fd, v->piece, sizeof v->piece)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			r = -errno;
			break;
		}
		cx_hash_add(h, v->piece, (size_t)n);
		__atomic_add_fetch(&v->w->done, (uint64_t)n, __ATOMIC_RELAXED);
		cx_worker_tell(v->w);
	}
	if (r == 0)
		r = cx_hash_end(h, text);
	cx_hash_free(h);
	return r < 0 ? r : cx_digest_parse(text, "digest", ret, NULL);
}

static void broken(const struct cx_digest *digest, void *data)
{
	struct verify *v = data;
	char text[CX_DIGEST_TEXT];

	cx_digest_print(digest, text);
	cx_str_addf(&v->broken, "%s%s", v->broken.size ? "\n" : "", text);
}

static int verify(struct verify *v, const struct cx_work_place *place, char **result, conex_error **err)
{
	struct cx_store_usage usage;
	int r = cx_work_place_lock(v->w, place, -1, 0, err);

	cx_worker_step(v->w, "verifying");
	if (r == 0)
		r = cx_store_usage(place->store, &usage, err);
	if (r == 0) {
		v->w->total = usage.blobs;
		r = cx_store_verify(place->store, hash_file, broken, v, err);
	}
	if (r >= 0 && !(*result = cx_str_take(&v->broken)))
		r = cx_fail_memory(err);
	return r < 0 ? r : 0;
}

int cx_task_verify(struct cx_worker *w, char **result, conex_error **err)
{
	struct verify *v = calloc(1, sizeof *v);
	struct cx_work_place place = { .store = NULL };
	const char *store = cx_task_word(w, "store");
	int r = !v ? cx_fail_memory(err) : store ? cx_store_open(store, 0, &place.store, err)
		: cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL, NULL, "the worker's task");

	if (r == 0) {
		v->w = w;
		r = verify(v, &place, result, err);
	}
	if (v)
		cx_str_free(&v->broken);
	free(v);
	cx_work_place_close(&place);
	return r;
}
