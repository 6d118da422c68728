/* What an exchange's end means: go elsewhere, log in, try again, or give up, and the words for it. */
#include "image/worker/registry-parts.h"

#include <stdio.h>
#include <string.h>

#include "image/refuse.h"

#define REDIRECTS 5

/* ---- words ------------------------------------------------------------------------------------ */

/* "HTTP 404, MANIFEST_UNKNOWN: manifest unknown"; or that it isn't a registry's answer at all. */
static void add_answer(struct cx_str *to, const struct cx_exchange *x)
{
	size_t before;

	if (!x->status)
		return;
	cx_str_addf(to, ": HTTP %d", x->status);
	before = to->size;
	if (x->status < 400)
		return;
	cx_str_add(to, ", ", 2);
	cx_words_of_error(x->text.data ? x->text.data : "", x->text.size, to);
	if (to->failed || to->size > before + 2)
		return;
	to->size = before;
	to->data[before] = '\0';
	if (x->text.size && x->answer.type) {
		cx_str_add(to, " with a body of ", 16);
		cx_image_quote(to, x->answer.type, 40);
	}
}

/* Whom it was said to: the last URL's host, when that isn't what the reference's name suggests. */
static void add_place(struct cx_str *to, const struct cx_request *q)
{
	cx_autofree char *origin = NULL;

	if (q->at && cx_url_origin(q->at, &origin) == 0) {
		cx_str_add(to, " from ", 6);
		cx_image_quote(to, origin, 100);
	}
}

int cx_request_fail(struct cx_request *q, int code, const char *why, const char *hint, conex_error **err)
{
	cx_autostr call = { .data = NULL };
	cx_autostr mend = { .data = NULL };

	if (!err)
		return code;
	cx_str_addf(&call, "%s %s", q->method, q->what);
	add_place(&call, q);
	add_answer(&call, &q->x);
	if (why && *why) {
		cx_str_add(&call, ": ", 2);
		cx_image_quote(&call, why, 300);
	}
	if (hint)
		cx_str_add(&mend, hint, strlen(hint));
	if (q->earlier.size)
		cx_str_addf(&mend, "%sbefore that: %s", hint ? "; " : "", q->earlier.data);
	return cx_fail(err, CONEX_STAGE_IMAGE, code, call.data, mend.data, "%s%s%s", q->r->host, q->repository ? "/" : "",
		q->repository ? q->repository : "");
}

static int code_of(int status)
{
	switch (status) {
	case 401: case 403: return -EACCES;
	case 404: case 410: return -ENOENT;
	case 408: case 504: return -ETIMEDOUT;
	case 413: return -EFBIG;
	case 429: return -EAGAIN;
	default: return status >= 500 ? -EREMOTEIO : -EPROTO;
	}
}

int cx_request_unexpected(struct cx_request *q, conex_error **err)
{
	const char *hint = q->x.status == 403 ? "are you logged in, and allowed to?" : NULL;

	return cx_request_fail(q, code_of(q->x.status), NULL, hint, err);
}

/* ---- the network ------------------------------------------------------------------------------ */

#define PLAIN_HINT "if it speaks plain HTTP, that must be allowed for it (CONEX_IMAGE_PLAIN_HTTP): it is nowhere by " \
	"itself, not for localhost either"
#define CA_HINT "is its CA missing? Put it into /etc/containers/certs.d/HOST:PORT/ca.crt"

/* An OpenSSL error's number is the peer's doing; without one the connection broke. */
static int tls_broke(const struct cx_exchange *x)
{
	return x->code == CURLE_SSL_CONNECT_ERROR && !strstr(x->words, "error:") && !strstr(x->words, "alert");
}

static int may_pass(const struct cx_exchange *x, long os)
{
	switch (x->code) {
	case CURLE_COULDNT_CONNECT:
		return os != ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT: case CURLE_PARTIAL_FILE: case CURLE_GOT_NOTHING: case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR: case CURLE_HTTP2: case CURLE_HTTP2_STREAM: case CURLE_SEND_FAIL_REWIND:
		return 1;
	default:
		return tls_broke(x);
	}
}

#define TOO_LARGE ((CURLcode)100)       /* CURLE_TOO_LARGE, since curl 8.6 */

/* Before, curl called a header line beyond its limit (100 KiB) so, too: is there really no memory for one? */
static int one_long_line(void)
{
	cx_autofree void *test = malloc(1 << 20);

	return test != NULL;
}

static int code_of_trouble(const struct cx_exchange *x, long os, const char **hint)
{
	switch (x->code) {
	case CURLE_COULDNT_RESOLVE_HOST: case CURLE_COULDNT_RESOLVE_PROXY:
		*hint = "is the name right, and is there a name server?";
		return -EHOSTUNREACH;
	case CURLE_COULDNT_CONNECT:
		return os > 0 && os < 4096 ? (int)-os : -EHOSTUNREACH;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_PEER_FAILED_VERIFICATION:
		*hint = CA_HINT;
		return -EKEYREJECTED;
	case CURLE_SSL_CONNECT_ERROR:
		if (strstr(x->words, "wrong version number") || strstr(x->words, "packet length"))
			*hint = PLAIN_HINT;
		return -EPROTO;
	case CURLE_PARTIAL_FILE:
		return -ENODATA;
	case CURLE_GOT_NOTHING: case CURLE_SEND_ERROR: case CURLE_RECV_ERROR:
		return -ECONNRESET;
	case CURLE_OUT_OF_MEMORY:
		return one_long_line() ? -EPROTO : -ENOMEM;
	default:
		return -EPROTO;
	}
}

static int trouble(struct cx_request *q, conex_error **err)
{
	const struct cx_exchange *x = &q->x;
	const char *hint = NULL, *why = *x->words ? x->words : curl_easy_strerror(x->code);
	int code = code_of_trouble(x, x->os_errno, &hint);

	if (x->code == CURLE_OUT_OF_MEMORY || x->code == TOO_LARGE)
		why = "a line of its headers has no end";
	if (x->stalled)
		why = "it sends (or takes) nothing, or next to nothing";
	if (code == -ENOMEM)
		return cx_fail_memory(err);
	if (may_pass(x, x->os_errno))
		return cx_request_again(q, code, why, err);
	return cx_request_next(q, code, why, hint, err);
}

/* ---- answers ---------------------------------------------------------------------------------- */

static int is_redirect(const struct cx_request *q)
{
	int status = q->x.status;

	if (status == 307 || status == 308)
		return 1;
	return (status == 301 || status == 302 || status == 303)
		&& (!strcmp(q->method, "GET") || !strcmp(q->method, "HEAD"));
}

static int redirect(struct cx_request *q, conex_error **err)
{
	char *next = NULL;
	int r;

	if (!q->x.answer.location)
		return cx_request_next(q, -EPROTO, "a redirect without a Location", NULL, err);
	if (++q->redirects > REDIRECTS)
		return cx_request_next(q, -ELOOP, "more than 5 redirects", NULL, err);
	r = cx_url_resolve(q->at, q->x.answer.location, &next);
	if (r == -ENOMEM)
		return cx_fail_memory(err);
	if (r < 0)
		return cx_request_next(q, r, r == -EACCES ? "a redirect from https to http, which isn't followed"
			: "its Location isn't a URL of http or https (or has a user's name in it)", NULL, err);
	free(q->at);
	q->at = next;
	return cx_request_send(q, err);
}

static int login(struct cx_request *q, conex_error **err)
{
	const char *hint = "the host that it was redirected to is told nobody's name";
	cx_autofree char *here = NULL;
	const struct cx_endpoint *e = &q->r->endpoints[q->endpoint];
	int r;

	if (q->flags & CX_REQUEST_STRANGER)
		return 1;
	r = cx_url_origin(q->at, &here);
	if (r < 0)
		return r == -ENOMEM ? cx_fail_memory(err) : cx_request_fail(q, r, "no URL", NULL, err);
	r = 0;
	if (!strcmp(here, e->origin)) {
		hint = cx_auth_is_known(q->r, e->host) ? "it doesn't let this user do that" : "log in: nobody is known for it";
		if (q->logins++ < 2)
			r = cx_auth_login(q->r, e, q->scope, q->x.answer.challenges, q->used, &hint, err);
	}
	if (r < 0)
		return r;
	return r ? cx_request_send(q, err) : cx_request_next(q, -EACCES, NULL, hint, err);
}

int cx_request_judge(struct cx_request *q, conex_error **err)
{
	struct cx_exchange *x = &q->x;

	if (x->failed == -ENOMEM)
		return cx_fail_memory(err);
	if (x->failed == -ECANCELED)
		return cx_registry_turn_fail(q->r, x->failed, err);
	if (x->status != 429 && x->status != 503)       /* elsewhere it means something else */
		x->retry_after = 0;
	if (x->failed && !x->cut)       /* a limit's mirror may do better; a sink's or source's error is the end */
		return x->why ? cx_request_next(q, x->failed, x->why, NULL, err)
			: cx_request_fail(q, x->failed, x->source ? "the bytes to be sent couldn't be read"
				: "its bytes couldn't be taken in here", NULL, err);
	if (x->code != CURLE_OK && !x->cut)
		return trouble(q, err);
	if (is_redirect(q))
		return redirect(q, err);
	if (x->status == 401)
		return login(q, err);
	if (x->status == 408 || x->status == 429 || (x->status >= 500 && x->status != 501 && x->status != 505))
		return cx_request_again(q, code_of(x->status), NULL, err);
	if (x->status >= 200 && x->status < 300 && x->cut)
		return cx_request_next(q, -EFBIG, "the answer is larger than it may be", NULL, err);
	if (x->status >= 400 && x->status != 416)
		return q->flags & CX_REQUEST_MIRRORS && q->endpoint + 1 < q->r->count
			? cx_request_next(q, code_of(x->status), NULL, NULL, err) : 1;
	return 1;
}
