/* Sends a request, again and elsewhere where that is due, until it has an answer: between the callers (pull, blobs,
 * push, auth) and registry-http.c. */
#include "image/worker/registry-parts.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/path.h"

#define MS INT64_C(1000000)
#define LONGEST_WAIT 15000

static const struct cx_endpoint *endpoint(const struct cx_request *q)
{
	return &q->r->endpoints[q->endpoint];
}

static int add_header(struct curl_slist **to, const char *name, const char *value)
{
	cx_autofree char *line = NULL;
	struct curl_slist *more;

	if (!value)
		return 0;
	if (asprintf(&line, "%s: %s", name, value) < 0) {
		line = NULL;
		return -ENOMEM;
	}
	more = curl_slist_append(*to, line);
	if (more)
		*to = more;
	return more ? 0 : -ENOMEM;
}

/* Is this URL of the host that may see who we are? For a registry's requests that is the endpoint, for a
 * token server's its own first URL. 1, 0, negative. */
static int at_home(const struct cx_request *q)
{
	cx_autofree char *here = NULL, *home = NULL;
	int r = cx_url_origin(q->at, &here);

	if (r < 0)
		return r;
	if (!(q->flags & CX_REQUEST_STRANGER))
		return !strcmp(here, endpoint(q)->origin);
	r = cx_url_origin(q->url, &home);
	return r < 0 ? r : !strcmp(here, home);
}

static int set_headers(struct cx_request *q)
{
	const struct cx_grant *grant = NULL;
	struct cx_exchange *x = &q->x;
	int r, home = at_home(q);
	const char *who = NULL;
	char range[48];

	if (home < 0)
		return home;
	if (home && q->flags & CX_REQUEST_STRANGER)
		who = q->authorization;
	else if (home)
		grant = cx_auth_grant(q->r, endpoint(q), q->scope);
	q->used = grant ? grant->serial : 0;
	if (grant)
		who = grant->header;
	snprintf(range, sizeof range, "bytes=%llu-", q->from ? (unsigned long long)*q->from : 0);
	r = add_header(&x->headers, "Accept", q->accept);
	if (!r)
		r = add_header(&x->headers, "Content-Type", q->type);
	if (!r)
		r = add_header(&x->headers, "Content-Range", q->range);
	if (!r)
		r = add_header(&x->headers, "Range", q->from && *q->from ? range : NULL);
	if (!r)
		r = add_header(&x->headers, "Authorization", who);
	return r;
}

int cx_request_send(struct cx_request *q, conex_error **err)
{
	const struct cx_tls *tls = cx_registry_tls(q->r, q->at, err);
	int r;

	if (!tls)
		return -EINVAL;
	cx_exchange_end(&q->x);
	q->waiting = 0;
	q->gained = 0;
	q->x = (struct cx_exchange){ .method = q->method, .url = q->at, .tls = tls, .send = q->send,
		.source = q->source, .source_data = q->source_data, .send_size = q->send_size, .send_from = q->send_from,
		.once = q->flags & CX_REQUEST_ONCE ? 1 : 0,
		.body = q->body, .limit = q->limit ? q->limit : 16 << 10, .owner = q };
	r = set_headers(q);
	if (!r)
		r = cx_exchange_begin(&q->r->http, &q->x);
	if (r == -ENOMEM)
		return cx_fail_memory(err);
	return r < 0 ? cx_request_fail(q, r, "no URL", NULL, err) : 0;
}

/* The first URL at this endpoint; also after an error, as what a redirect led to may have expired. */
static int aim(struct cx_request *q, conex_error **err)
{
	free(q->at);
	q->at = NULL;
	if (q->url)
		q->at = strdup(q->url);
	else if (asprintf(&q->at, "%s/v2/%s%s/%s", endpoint(q)->origin, endpoint(q)->prefix, q->repository, q->path) < 0)
		q->at = NULL;
	return q->at ? 0 : cx_fail_memory(err);
}

int cx_request_start(struct cx_request *q, conex_error **err)
{
	int r;

	q->endpoint = 0;
	while (q->endpoint + 1 < q->r->count && (!(q->flags & CX_REQUEST_MIRRORS) || endpoint(q)->bad))
		q->endpoint++;
	q->attempts = q->total = q->redirects = q->logins = q->transient = 0;
	if (!q->url && !q->path)
		return cx_fail_memory(err);
	r = aim(q, err);
	return r < 0 ? r : cx_request_send(q, err);
}

int cx_request_step(struct cx_request *q, conex_error **err)
{
	if (q->waiting)
		return cx_now_ns(CLOCK_MONOTONIC) < q->not_before ? 0 : cx_request_send(q, err);
	return q->x.done ? cx_request_judge(q, err) : 0;
}

int cx_request_wait(const struct cx_request *q)
{
	int64_t left;

	if (!q->waiting)
		return q->x.done ? 0 : 1000;
	left = (q->not_before - cx_now_ns(CLOCK_MONOTONIC)) / MS + 1;
	return left < 0 ? 0 : left > 1000 ? 1000 : (int)left;
}

int cx_request_run(struct cx_request *q, conex_error **err)
{
	int r = cx_request_start(q, err);

	while (r == 0) {
		r = cx_http_turn(&q->r->http, cx_request_wait(q));
		if (r < 0)
			return cx_registry_turn_fail(q->r, r, err);
		r = cx_request_step(q, err);
	}
	return r < 0 ? r : 0;
}

void cx_request_end(struct cx_request *q)
{
	cx_exchange_end(&q->x);
	free(q->path);
	free(q->url);
	free(q->at);
	q->path = q->url = q->at = NULL;
	cx_str_free(&q->earlier);
}

/* ---- trying again ----------------------------------------------------------------------------- */

/* Doubled each time, then anything from half to all of it, so that many clients don't come back at once. */
int cx_registry_backoff(const struct cx_registry *r, int n)
{
	int64_t ms = (int64_t)r->backoff_ms << (n < 10 ? n : 10);
	uint32_t dice = 0;

	if (ms > LONGEST_WAIT)
		ms = LONGEST_WAIT;
	cx_random(&dice, sizeof dice);
	return (int)(ms / 2 + (ms / 2 ? dice % (ms / 2 + 1) : 0));
}

int cx_registry_turn_fail(struct cx_registry *r, int code, conex_error **err)
{
	if (code == -ENOMEM)
		return cx_fail_memory(err);
	return cx_fail(err, CONEX_STAGE_IMAGE, code, code == -ECANCELED ? "cancelled" : "not done within the deadline", NULL,
		"registry %s", r->host);
}

int cx_registry_sleep(struct cx_registry *r, int ms, conex_error **err)
{
	int64_t end = cx_now_ns(CLOCK_MONOTONIC) + ms * MS, left;
	int code;

	while ((left = end - cx_now_ns(CLOCK_MONOTONIC)) > 0) {
		code = cx_http_turn(&r->http, (int)(left / MS) + 1);
		if (code < 0)
			return cx_registry_turn_fail(r, code, err);
	}
	return 0;
}

int cx_request_next(struct cx_request *q, int code, const char *why, const char *hint, conex_error **err)
{
	conex_error *mirror = NULL;
	int r;

	if (!(q->flags & CX_REQUEST_MIRRORS) || q->endpoint + 1 >= q->r->count)
		return cx_request_fail(q, code, why, hint, err);
	cx_request_fail(q, code, why, hint, &mirror);
	cx_str_addf(&q->earlier, "%s%s", q->earlier.size ? "; " : "", conex_error_text(mirror));
	conex_error_free(mirror);
	if (!q->x.status)
		q->r->endpoints[q->endpoint].bad = 1;
	q->endpoint++;
	q->attempts = q->total = q->redirects = q->logins = 0;
	r = aim(q, err);
	return r < 0 ? r : cx_request_send(q, err);
}

#define SOMETHING ((uint64_t)64 << 10)
#define MUCH ((uint64_t)1 << 20)
#define ENDLESS 50              /* exchanges that each brought something, none of them much */
#define PATIENCE 120            /* seconds that Retry-After may ask for */

/* What brought something new doesn't count, unless it dripped; and even so it can't go on for ever. A mirror gets
 * one more chance, as there is somebody else to ask. */
static int enough(struct cx_request *q)
{
	int mirror = q->flags & CX_REQUEST_MIRRORS && q->endpoint + 1 < q->r->count;

	if (q->gained >= SOMETHING && !q->x.stalled)
		q->attempts = 0;
	if (q->gained >= MUCH)
		q->total = 0;
	return ++q->total > ENDLESS || q->attempts >= (mirror && q->r->retries > 1 ? 1 : q->r->retries);
}

int cx_request_again(struct cx_request *q, int code, const char *why, conex_error **err)
{
	int64_t ms, asked = q->x.retry_after;
	cx_autofree char *later = NULL;
	int r;

	if (q->flags & CX_REQUEST_ONCE) {
		q->transient = 1;
		return cx_request_fail(q, code, why, NULL, err);
	}
	if (enough(q))
		return cx_request_next(q, code, why, NULL, err);
	if (asked > PATIENCE) {
		if (asprintf(&later, "come back in %lld seconds, or log in", (long long)asked) < 0)
			later = NULL;
		return cx_request_next(q, code, why, later, err);
	}
	r = aim(q, err);
	if (r < 0)
		return r;
	ms = cx_registry_backoff(q->r, q->attempts++);
	if (ms < asked * 1000)
		ms = asked * 1000;
	q->redirects = q->logins = 0;
	q->waiting = 1;
	q->not_before = cx_now_ns(CLOCK_MONOTONIC) + ms * MS;
	return 0;
}
