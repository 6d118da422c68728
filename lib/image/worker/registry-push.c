/* Uploads: blobs that aren't there yet, then the manifest that names them (distribution-spec, "Push"). */
#include "image/worker/hash.h"
#include "image/worker/registry-parts.h"

#include <stdio.h>
#include <string.h>

#define PATIENCE 120                    /* seconds that Retry-After may ask for */
#define CHUNK ((uint64_t)4 << 20)       /* where one piece is too large for it */

/* A blob on its way. */
struct upload {
	struct cx_registry *r;
	const char *repository;
	const struct cx_registry_upload *u;
	char digest[CX_DIGEST_TEXT], what[CX_DIGEST_TEXT + 8], scope[2 * CX_SCOPE_TEXT];
	char *location;                 /* of the session; NULL: there is none */
	uint64_t sent, chunk;           /* of this session; chunk 0: all in one */
	int transient;                  /* why the last step failed may pass */
	int64_t asked;                  /* seconds that the registry then wants to be left alone */
};

static struct cx_request request(const struct upload *up, const char *method)
{
	return (struct cx_request){ .r = up->r, .method = method, .repository = up->repository, .what = up->what,
		.scope = up->scope };
}

/* The session goes on at another URL after each step. */
static int follow(struct upload *up, struct cx_request *q, conex_error **err)
{
	char *next = NULL;
	int r = q->x.answer.location ? cx_url_resolve(q->at, q->x.answer.location, &next) : -EINVAL;

	if (r == -ENOMEM)
		return cx_fail_memory(err);
	if (r == -EACCES)
		return cx_request_fail(q, r, "its Location for the upload leads from https to http",
			"does the proxy before it say X-Forwarded-Proto?", err);
	if (r < 0)
		return cx_request_fail(q, -EPROTO, "its Location for the upload isn't a URL to go on with", NULL, err);
	free(up->location);
	up->location = next;
	return 0;
}

static int run(struct upload *up, struct cx_request *q, conex_error **err)
{
	int r = cx_request_run(q, err);

	up->transient = r < 0 && q->transient;
	up->asked = up->transient ? q->x.retry_after : 0;
	return r;
}

/* 1: the registry has it; 0: not. */
static int is_there(struct upload *up, conex_error **err)
{
	struct cx_request q = request(up, "HEAD");
	int r;

	if (asprintf(&q.path, "blobs/%s", up->digest) < 0)
		q.path = NULL;
	r = run(up, &q, err);
	/* a 403 may come from where signed URLs are for GET alone: then it is sent, which is no harm */
	if (r == 0 && q.x.status >= 200 && q.x.status < 300)
		r = q.x.length == UINT64_MAX || q.x.length == 0 || q.x.length == up->u->size ? 1
			: cx_request_fail(&q, -EPROTO, "it has a blob of this digest, but of another size", NULL, err);
	cx_request_end(&q);
	return r;
}

/* ---- sessions --------------------------------------------------------------------------------- */

/* The smallest piece that the registry takes, if it says so. */
static void heed_least(struct upload *up, const struct cx_request *q)
{
	unsigned long long least = q->x.answer.chunk_min ? strtoull(q->x.answer.chunk_min, NULL, 10) : 0;

	if (up->chunk && up->chunk < least)
		up->chunk = least;
}

static char *session_path(const struct upload *up, int mount)
{
	char *path = NULL;

	if (asprintf(&path, "blobs/uploads/%s%s%s%s", mount ? "?mount=" : "", mount ? up->digest : "", mount ? "&from=" : "",
		     mount ? up->u->from : "") < 0)
		return NULL;
	return path;
}

/* Opens one. CX_UPLOAD_MOUNTED: nothing is to be sent any more; 0: there is one. */
static int open_session(struct upload *up, int mount, conex_error **err)
{
	struct cx_request q = request(up, "POST");
	int r;

	q.path = session_path(up, mount);
	r = run(up, &q, err);
	if (r == 0 && q.x.status == 201 && mount)
		r = CX_UPLOAD_MOUNTED;
	else if (r == 0 && q.x.status == 202)
		r = follow(up, &q, err);
	else if (r == 0)
		r = cx_request_unexpected(&q, err);
	heed_least(up, &q);
	up->sent = 0;
	cx_request_end(&q);
	return r;
}

/* The last try's error is the caller's. */
static void pass_on(conex_error *why, conex_error **err)
{
	if (!err) {
		conex_error_free(why);
		return;
	}
	conex_error_free(*err);
	*err = why;
}

/* Out of the other repository if that works, which is never a reason to fail. */
static int begin(struct upload *up, conex_error **err)
{
	conex_error *refused = NULL;
	int r = -ENOENT;

	if (up->u->from) {
		cx_registry_scope(up->repository, 1, up->scope);
		snprintf(up->scope + strlen(up->scope), CX_SCOPE_TEXT, " repository:%s:pull", up->u->from);
		r = open_session(up, 1, &refused);
		cx_registry_scope(up->repository, 1, up->scope);
		if (r == -ECANCELED || r == -ETIMEDOUT || r == -ENOMEM) {
			pass_on(refused, err);
			return r;
		}
		conex_error_free(refused);
	}
	return r < 0 ? open_session(up, 0, err) : r;
}

/* ---- bytes ------------------------------------------------------------------------------------ */

/* The session's last word: PUT with the digest, and with the bytes if they weren't sent in pieces. */
static int finish(struct upload *up, int with_bytes, conex_error **err)
{
	struct cx_request q = request(up, "PUT");
	int r;

	q.url = cx_url_with(up->location, "digest", up->digest);
	q.flags = CX_REQUEST_ONCE;
	q.type = "application/octet-stream";
	if (with_bytes) {
		q.source = up->u->source;
		q.source_data = up->u->data;
		q.send_size = up->u->size;
	}
	r = run(up, &q, err);
	if (r == 0 && q.x.status != 201 && q.x.status != 204) {
		r = cx_request_unexpected(&q, err);
		up->transient = q.x.status == 404;      /* it has forgotten the session */
		if (q.x.status == 413 && with_bytes)    /* a proxy's limit: smaller pieces */
			up->chunk = CHUNK;
	}
	cx_request_end(&q);
	return r;
}

/* How far the registry says it is. "0-0" is also what some say of nothing. */
static void heed_range(struct upload *up, const struct cx_request *q, uint64_t otherwise)
{
	uint64_t has;

	if (!q->x.answer.range || cx_upload_range_parse(q->x.answer.range, &has) < 0 || has > up->u->size)
		has = otherwise;
	up->sent = has == 1 && otherwise != 1 ? 0 : has;
}

static int piece(struct upload *up, conex_error **err)
{
	struct cx_request q = request(up, "PATCH");
	uint64_t size = up->u->size - up->sent, end;
	char range[64];
	int r;

	if (size > up->chunk)
		size = up->chunk;
	end = up->sent + size;
	snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)up->sent, (unsigned long long)end - 1);
	q.url = strdup(up->location);
	q.flags = CX_REQUEST_ONCE;
	q.type = "application/octet-stream";
	q.range = range;
	q.source = up->u->source;
	q.source_data = up->u->data;
	q.send_from = up->sent;
	q.send_size = size;
	r = run(up, &q, err);
	if (r == 0 && q.x.status != 202 && q.x.status != 204 && q.x.status != 201) {
		up->transient = q.x.status == 416 || q.x.status == 404; /* it has something else than we think, or nothing */
		r = cx_request_unexpected(&q, err);
	}
	if (r == 0) {
		heed_range(up, &q, end);
		r = q.x.answer.location ? follow(up, &q, err) : 0;
	}
	cx_request_end(&q);
	return r;
}

/* After a piece went wrong: where is the session now? 0; 1: it is gone. */
static int resume(struct upload *up, conex_error **err)
{
	struct cx_request q = request(up, "GET");
	int r;

	q.url = strdup(up->location);
	r = run(up, &q, err);
	if (r == 0 && q.x.status == 204) {
		heed_range(up, &q, 0);
		r = q.x.answer.location ? follow(up, &q, err) : 0;
	} else if (r == 0) {
		r = 1;
	}
	cx_request_end(&q);
	return r;
}

/* Before the next try. */
static int rest(struct upload *up, int failures, conex_error **err)
{
	int ms = cx_registry_backoff(up->r, failures);

	if (up->asked > PATIENCE)
		up->asked = PATIENCE;
	if (ms < up->asked * 1000)
		ms = (int)up->asked * 1000;
	up->asked = 0;
	return cx_registry_sleep(up->r, ms, err);
}

/* All in pieces; `failures` counts those that brought nothing. */
static int pieces(struct upload *up, int *failures, conex_error **err)
{
	uint64_t most = 0;
	int r;

	while (up->sent < up->u->size) {
		r = piece(up, err);
		if (up->sent > most) {
			most = up->sent;
			*failures = 0;
			if (r == 0)
				continue;
		}
		if ((r < 0 && !up->transient) || ++*failures > up->r->retries)
			return r < 0 ? r : cx_fail(err, CONEX_STAGE_IMAGE, -EPROTO, "it takes pieces, and says that it has none",
				NULL, "%s/%s: %s", up->r->host, up->repository, up->what);
		r = rest(up, *failures, err);
		if (r == 0)
			r = resume(up, err);
		if (r) {
			up->transient = r > 0;
			return r < 0 ? r : -EAGAIN;
		}
	}
	return finish(up, 0, err);
}

/* ---- one blob --------------------------------------------------------------------------------- */

/* One try: CX_UPLOAD_..., or an error. */
static int attempt(struct upload *up, int *failures, conex_error **err)
{
	int r = is_there(up, err);

	if (r)
		return r < 0 ? r : CX_UPLOAD_PRESENT;
	r = begin(up, err);
	if (r)
		return r;
	r = up->chunk ? pieces(up, failures, err) : finish(up, 1, err);
	return r < 0 ? r : CX_UPLOAD_SENT;
}

int cx_registry_upload(struct cx_registry *r, const char *repository, const struct cx_registry_upload *u,
	conex_error **err)
{
	struct upload up = { .r = r, .repository = repository, .u = u, .chunk = r->chunk };
	conex_error *why = NULL;
	int code, failures = 0;
	uint64_t chunk;

	cx_digest_print(&u->digest, up.digest);
	snprintf(up.what, sizeof up.what, "blob %s", up.digest);
	cx_registry_scope(repository, 1, up.scope);
	do {
		chunk = up.chunk;
		up.transient = 0;
		code = attempt(&up, &failures, &why);
		if (code < 0 && up.transient && ++failures <= r->retries) {
			code = rest(&up, failures - 1, &why);
			if (code == 0)
				continue;
		}
	} while (code == 0 || (code < 0 && !up.transient && up.chunk != chunk));
	free(up.location);
	if (code > 0)
		conex_error_free(why);
	else
		pass_on(why, err);
	return code;
}

int cx_registry_put(struct cx_registry *r, const struct cx_reference *reference, const char *type,
	const void *data, size_t size, conex_error **err)
{
	char wanted[CX_DIGEST_TEXT], what[CX_DIGEST_TEXT + 16], scope[CX_SCOPE_TEXT];
	struct cx_request q = { .r = r, .method = "PUT", .repository = reference->repository, .what = what, .scope = scope,
		.type = type, .send = data, .send_size = size };
	struct cx_digest is, theirs;
	int algorithm = reference->digest.algorithm ? reference->digest.algorithm : CX_DIGEST_SHA256, code;

	if (cx_hash_of(algorithm, data, size, &is) < 0)
		return cx_fail_memory(err);
	if (reference->digest.algorithm && !cx_digest_equal(&is, &reference->digest))
		return cx_fail(err, CONEX_STAGE_IMAGE, -EINVAL, "the manifest's bytes have another digest", NULL, "%s/%s", r->host,
			reference->repository);
	if (*reference->tag)
		snprintf(wanted, sizeof wanted, "%s", reference->tag);
	else
		cx_digest_print(&is, wanted);
	snprintf(what, sizeof what, "manifest %s", wanted);
	cx_registry_scope(reference->repository, 1, scope);
	if (asprintf(&q.path, "manifests/%s", wanted) < 0)
		q.path = NULL;
	code = cx_request_run(&q, err);
	if (code == 0 && (q.x.status < 200 || q.x.status > 204))
		code = cx_request_unexpected(&q, err);
	else if (code == 0 && q.x.answer.digest && cx_digest_parse(q.x.answer.digest, "", &theirs, NULL) == 0
		&& theirs.algorithm == algorithm && !cx_digest_equal(&is, &theirs))
		code = cx_request_fail(&q, -EBADMSG, "it has stored something else: its Docker-Content-Digest isn't ours",
			NULL, err);
	cx_request_end(&q);
	return code;
}
