/* Blobs, several at once: whatever breaks, each byte goes to its sink once and in order. */
#include "image/worker/hash.h"
#include "image/worker/registry-parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct transfer {
	struct cx_request q;
	struct cx_registry_blob *b;
	struct cx_hash *hash;
	uint64_t skip;                  /* bytes of this answer that were there before */
	int whole;                      /* the registry refuses ranges: 416 */
	int running;
	char what[CX_DIGEST_TEXT + 8], why[128];
};

/* ---- one answer's bytes ----------------------------------------------------------------------- */

static int lie(struct transfer *t, const char *format, ...) CX_PRINTF(2, 3);

static int lie(struct transfer *t, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(t->why, sizeof t->why, format, ap);
	va_end(ap);
	t->q.x.why = t->why;
	return -EPROTO;
}

#define LLU(n) ((unsigned long long)(n))

/* A part must be the one that was asked for. */
static int part_head(struct transfer *t)
{
	uint64_t asked = t->q.from ? *t->q.from : 0, first, last, total;
	const char *range = t->q.x.answer.content_range;

	if (!range || cx_content_range_parse(range, &first, &last, &total) < 0 || first > last)
		return lie(t, "HTTP 206 without a Content-Range that makes sense");
	if (first != asked)
		return lie(t, "asked for the bytes from %llu on, it sends those from %llu", LLU(asked), LLU(first));
	if (last >= t->b->size || (total != UINT64_MAX && total != t->b->size))
		return lie(t, "its Content-Range is of %llu bytes, the manifest's size is %llu",
			total != UINT64_MAX ? LLU(total) : LLU(last) + 1, LLU(t->b->size));
	if (t->q.x.length != UINT64_MAX && t->q.x.length != last - first + 1)
		return lie(t, "its Content-Length isn't that of its Content-Range");
	t->skip = t->b->offset - first;
	return 0;
}

static int head(struct transfer *t)
{
	t->q.x.begun = 1;
	if (t->q.x.status == 206)
		return part_head(t);
	/* all of it, asked for or not: what we have is passed over */
	t->skip = t->b->offset;
	if (t->q.x.length != UINT64_MAX && t->q.x.length != t->b->size)
		return lie(t, "it has %llu bytes, the manifest's size is %llu", LLU(t->q.x.length), LLU(t->b->size));
	return 0;
}

static int on_bytes(struct cx_exchange *x, const char *bytes, size_t size)
{
	struct transfer *t = x->owner;
	uint64_t skip;
	int r;

	if (x->status != 200 && x->status != 206)
		return cx_exchange_keep(x, bytes, size);
	r = x->begun ? 0 : head(t);
	if (r < 0)
		return r;
	skip = t->skip < size ? t->skip : size;
	if (size - skip > t->b->size - t->b->offset) {
		lie(t, "it sends more than the manifest's size of %llu bytes", LLU(t->b->size));
		return -EFBIG;
	}
	if (size > skip) {
		r = t->b->sink(t->b->data, bytes + skip, size - (size_t)skip);
		if (r < 0)
			return r;
		if (t->hash)
			cx_hash_add(t->hash, bytes + skip, size - (size_t)skip);
	}
	t->skip -= skip;
	t->b->offset += size - skip;
	t->q.gained += size - skip;
	return 0;
}

/* ---- one blob --------------------------------------------------------------------------------- */

static int start(struct transfer *t, struct cx_registry *r, const char *repository, const char *scope,
	struct cx_registry_blob *b, conex_error **err)
{
	char digest[CX_DIGEST_TEXT];

	cx_digest_print(&b->digest, digest);
	snprintf(t->what, sizeof t->what, "blob %s", digest);
	t->b = b;
	t->running = 1;
	if (b->check && b->offset == 0 && !(t->hash = cx_hash_begin(b->digest.algorithm)))
		return cx_fail_memory(err);
	t->q = (struct cx_request){ .r = r, .flags = CX_REQUEST_MIRRORS, .method = "GET", .repository = repository,
		.what = t->what, .scope = scope, .from = &b->offset, .body = on_bytes, .owner = t };
	if (asprintf(&t->q.path, "blobs/%s", digest) < 0)
		t->q.path = NULL;       /* start says so */
	return cx_request_start(&t->q, err);
}

static int check(struct transfer *t, conex_error **err)
{
	struct cx_digest is;
	char text[CX_DIGEST_TEXT];
	cx_autofree char *why = NULL;

	if (!t->hash)
		return 1;
	if (cx_hash_finish(t->hash, &is) < 0)
		return cx_fail_memory(err);
	if (cx_digest_equal(&is, &t->b->digest))
		return 1;
	cx_digest_print(&is, text);
	if (asprintf(&why, "what came is %s", text) < 0)
		why = NULL;
	return cx_request_fail(&t->q, -EBADMSG, why,
		"something between here and the registry changes it, or the registry is broken", err);
}

/* The exchange ended well; is the blob complete? */
static int answered(struct transfer *t, conex_error **err)
{
	struct cx_registry_blob *b = t->b;
	int status = t->q.x.status;
	char why[96];

	if (status == 416 && !t->whole && b->offset) {
		t->whole = 1;
		t->q.from = NULL;
		return cx_request_again(&t->q, -EPROTO, "it refuses the range", err);
	}
	if (status != 200 && status != 206)
		return cx_request_unexpected(&t->q, err);
	if (!t->q.x.begun && head(t) < 0)
		return cx_request_next(&t->q, -EPROTO, t->why, NULL, err);
	if (b->offset == b->size)
		return check(t, err);
	snprintf(why, sizeof why, "its answer ends after %llu of %llu bytes", LLU(b->offset), LLU(b->size));
	return cx_request_again(&t->q, -ENODATA, why, err);
}

static int step(struct transfer *t, conex_error **err)
{
	int r = cx_request_step(&t->q, err);

	if (r == 1)
		r = answered(t, err);
	if (r == 1)
		t->b->done = 1;
	return r;
}

static void end(struct transfer *t)
{
	cx_request_end(&t->q);
	cx_hash_free(t->hash);
	*t = (struct transfer){ 0 };
}

/* ---- all of them ------------------------------------------------------------------------------ */

struct batch {
	struct cx_registry *r;
	const char *repository;
	char scope[CX_SCOPE_TEXT];
	const struct cx_registry_feed *feed;
	size_t running;
	int over;                       /* nothing more will be wanted */
	struct transfer *slots;         /* r->parallel */
};

static struct transfer *free_slot(struct batch *b)
{
	for (int i = 0; i < b->r->parallel; i++)
		if (!b->slots[i].running)
			return &b->slots[i];
	return NULL;
}

static void ended(struct batch *b, struct cx_registry_blob *blob)
{
	if (b->feed->ended)
		b->feed->ended(b->feed->data, blob);
}

/* Fills the free slots. */
static int start_more(struct batch *b, conex_error **err)
{
	struct cx_registry_blob *blob;
	struct transfer *t;
	int r = 0, is_more;

	while (r == 0 && !b->over && (t = free_slot(b))) {
		is_more = b->feed->next(b->feed->data, &blob);
		b->over = is_more < 0;
		if (is_more <= 0)
			break;
		if (blob->digest.algorithm == CX_DIGEST_NONE || blob->offset > blob->size)
			return cx_fail(err, CONEX_STAGE_IMAGE, -EINVAL, NULL, "a digest, and an offset up to size, are needed", "blob");
		blob->done = blob->size && blob->offset == blob->size;
		if (blob->done) {
			ended(b, blob);
			continue;
		}
		b->running++;
		r = start(t, b->r, b->repository, b->scope, blob, err);
	}
	return r;
}

static int wait_ms(const struct batch *b)
{
	int ms = 1000, one;

	for (int i = 0; i < b->r->parallel; i++) {
		one = b->slots[i].running ? cx_request_wait(&b->slots[i].q) : ms;
		ms = one < ms ? one : ms;
	}
	return ms;
}

static int turn(struct batch *b, conex_error **err)
{
	int r = cx_http_turn(&b->r->http, wait_ms(b));

	if (r < 0)
		return cx_registry_turn_fail(b->r, r, err);
	for (int i = 0; i < b->r->parallel; i++) {
		struct cx_registry_blob *blob = b->slots[i].b;

		if (!b->slots[i].running)
			continue;
		r = step(&b->slots[i], err);
		if (r < 0)
			return r;
		if (r == 1) {
			end(&b->slots[i]);
			b->running--;
			ended(b, blob);
		}
	}
	return 0;
}

int cx_registry_fetch(struct cx_registry *r, const char *repository, const struct cx_registry_feed *feed, conex_error **err)
{
	struct batch b = { .r = r, .repository = repository, .feed = feed };
	int code;

	cx_registry_scope(repository, 0, b.scope);
	b.slots = calloc((size_t)r->parallel, sizeof *b.slots);
	if (!b.slots)
		return cx_fail_memory(err);
	code = start_more(&b, err);
	while (code == 0 && (b.running || !b.over)) {
		code = turn(&b, err);
		if (code == 0)
			code = start_more(&b, err);
	}
	for (int i = 0; i < r->parallel; i++)
		end(&b.slots[i]);
	free(b.slots);
	return code;
}

struct row { struct cx_registry_blob *blobs; size_t count, next; };

static int next_of_row(void *data, struct cx_registry_blob **ret)
{
	struct row *l = data;

	if (l->next == l->count)
		return -1;
	*ret = &l->blobs[l->next++];
	return 1;
}

int cx_registry_blobs(struct cx_registry *r, const char *repository, struct cx_registry_blob *blobs, size_t count,
	conex_error **err)
{
	struct row l = { .blobs = blobs, .count = count };
	const struct cx_registry_feed feed = { .next = next_of_row, .data = &l };

	return cx_registry_fetch(r, repository, &feed, err);
}
