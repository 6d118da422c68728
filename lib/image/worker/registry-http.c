/* Exchanges with servers, as many at once as are begun, in one curl multi handle; limits on all that comes. */
#include "image/worker/registry-http.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/path.h"

#define HEAD_MAX ((size_t)64 << 10)             /* of all header lines of an answer */
#define SLOWEST 1024                            /* bytes a second, over stall_ms */
#define MS INT64_C(1000000)

/* ---- the head --------------------------------------------------------------------------------- */

static void answer_free(struct cx_answer *a)
{
	free(a->location);
	free(a->challenges);
	free(a->digest);
	free(a->content_range);
	free(a->range);
	free(a->type);
	free(a->encoding);
	free(a->chunk_min);
	*a = (struct cx_answer){ 0 };
}

/* Keeps the first of its name; challenges are joined. */
static int keep(char **to, const char *value, size_t size, int joined)
{
	char *both = NULL;

	if (*to && !joined)
		return 0;
	if (asprintf(&both, "%s%s%.*s", *to ? *to : "", *to ? ", " : "", (int)size, value) < 0)
		return -ENOMEM;
	free(*to);
	*to = both;
	return 0;
}

static int header_line(struct cx_answer *a, const char *line, size_t size)
{
	const struct { const char *name; char **to; } known[] = {
		{ "location", &a->location }, { "www-authenticate", &a->challenges },
		{ "docker-content-digest", &a->digest }, { "content-range", &a->content_range }, { "range", &a->range },
		{ "content-type", &a->type }, { "content-encoding", &a->encoding },
		{ "oci-chunk-min-length", &a->chunk_min },
	};
	const char *colon = memchr(line, ':', size), *value;
	size_t name;

	if (!colon || memchr(line, '\0', size))
		return 0;
	name = (size_t)(colon - line);
	value = colon + 1;
	size -= name + 1;
	while (size && strchr(" \t\r\n", value[size - 1]))
		size--;
	for (; size && strchr(" \t", *value); size--)
		value++;
	for (size_t i = 0; i < CX_ARRAY_SIZE(known); i++)
		if (strlen(known[i].name) == name && !strncasecmp(known[i].name, line, name))
			return keep(known[i].to, value, size, known[i].to == &a->challenges);
	return 0;
}

static void moved(struct cx_exchange *x, size_t n)
{
	x->moved += n;
	if (x->http->progress)
		x->http->progress(x->http->data, n);
}

/* Returning another number than was given makes curl end the exchange. */
static size_t on_header(char *line, size_t one, size_t n, void *data)
{
	struct cx_exchange *x = data;

	(void)one;
	x->head_size += n;
	x->moved += n;
	if (x->head_size > HEAD_MAX) {          /* that of 1xx answers before this one counts, too */
		x->failed = -EPROTO;
		x->why = "its headers are longer than 64 KiB";
		return 0;
	}
	if (n > 5 && !strncmp(line, "HTTP/", 5)) {
		answer_free(&x->answer);
		x->headed = 0;
	} else if (n <= 2) {
		x->headed = 1;
	} else if (!x->headed && header_line(&x->answer, line, n) < 0) {
		x->failed = -ENOMEM;
	}
	return x->failed ? 0 : n;
}

/* ---- bodies ----------------------------------------------------------------------------------- */

int cx_exchange_keep(struct cx_exchange *x, const char *bytes, size_t size)
{
	size_t room = x->limit - x->text.size;

	if (cx_str_add(&x->text, bytes, size < room ? size : room) < 0)
		return -ENOMEM;
	if (size <= room)
		return 0;
	x->cut = 1;
	return -EFBIG;
}

static size_t on_body(char *bytes, size_t one, size_t n, void *data)
{
	struct cx_exchange *x = data;
	curl_off_t length = -1;
	long status = 0;
	int r;

	(void)one;
	curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(x->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	x->status = (int)status;
	x->length = length < 0 ? UINT64_MAX : (uint64_t)length;
	if (atomic_load(&x->http->cancelled))   /* a lot may come in one turn */
		r = -ECANCELED;
	else
		r = x->body ? x->body(x, bytes, n) : cx_exchange_keep(x, bytes, n);
	if (r == -EAGAIN) {
		x->paused = 1;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (r < 0) {
		x->failed = r;
		return 0;
	}
	moved(x, n);
	return n;
}

static size_t on_send(char *to, size_t one, size_t n, void *data)
{
	struct cx_exchange *x = data;
	uint64_t left = x->send_size - x->sent;

	(void)one;
	if (n > left)
		n = (size_t)left;
	if (!n)
		return 0;
	if (x->send)
		memcpy(to, x->send + x->sent, n);
	else
		x->failed = x->source(x->source_data, x->send_from + x->sent, to, n);
	if (x->failed < 0)
		return CURL_READFUNC_ABORT;
	x->sent += n;
	moved(x, n);
	return n;
}

/* curl sends a body again by itself when an idle connection turns out to be closed; not one whose first bytes
 * may have been taken. */
static int on_seek(void *data, curl_off_t offset, int from)
{
	struct cx_exchange *x = data;

	if (x->once || from != SEEK_SET || offset < 0 || (uint64_t)offset > x->send_size)
		return CURL_SEEKFUNC_FAIL;
	x->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

/* ---- one exchange ----------------------------------------------------------------------------- */

#define SET(option, value) \
	do { \
		if (curl_easy_setopt(easy, option, value) != CURLE_OK) \
			return -ENOMEM; \
	} while (0)

static int set_body(CURL *easy, struct cx_exchange *x)
{
	int sends = x->send || x->source;

	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, x);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, x);
	if (!strcmp(x->method, "HEAD")) {
		SET(CURLOPT_NOBODY, 1L);
	} else if (sends && x->send_size) {
		SET(CURLOPT_UPLOAD, 1L);
		SET(CURLOPT_READFUNCTION, on_send);
		SET(CURLOPT_READDATA, x);
		SET(CURLOPT_SEEKFUNCTION, on_seek);
		SET(CURLOPT_SEEKDATA, x);
		SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)x->send_size);
		SET(CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
	} else if (strcmp(x->method, "GET")) {
		SET(CURLOPT_POST, 1L);          /* says Content-Length: 0, as some want it */
		SET(CURLOPT_POSTFIELDS, "");
		SET(CURLOPT_POSTFIELDSIZE, 0L);
	}
	SET(CURLOPT_CUSTOMREQUEST, x->method);
	return 0;
}

/* The file of the system's certificates that an own list would take the place of; the directory stays. */
static int set_tls(CURL *easy, const struct cx_tls *t)
{
	struct curl_blob ca = { .flags = CURL_BLOB_NOCOPY };

	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (!t)
		return 0;
	if (t->ca.size) {
		ca.data = t->ca.data;
		ca.len = t->ca.size;
		SET(CURLOPT_CAINFO_BLOB, &ca);
	}
	if (t->cert) {
		SET(CURLOPT_SSLCERT, t->cert);
		SET(CURLOPT_SSLKEY, t->key ? t->key : t->cert);
	}
	return 0;
}

static int set_network(CURL *easy, const struct cx_http *h, const char *url)
{
	int secure = !strncmp(url, "https:", 6);
	const char *proxy = secure ? h->https_proxy : h->http_proxy;

	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, secure ? "https" : "http");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(CURLOPT_PROXY, proxy ? proxy : "");         /* "": none, whatever the environment says */
	SET(CURLOPT_NOPROXY, h->no_proxy ? h->no_proxy : "");
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_CONNECTTIMEOUT_MS, h->connect_ms);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);                    /* an end doesn't wait for a name server */
	SET(CURLOPT_BUFFERSIZE, 256L << 10);
	SET(CURLOPT_USERAGENT, h->agent);
	return 0;
}

static int set_all(CURL *easy, struct cx_http *h, struct cx_exchange *x)
{
	struct curl_slist *headers;
	int r;

	/* no waiting for a "100 Continue" that many never send */
	headers = curl_slist_append(x->headers, "Expect:");
	if (!headers)
		return -ENOMEM;
	x->headers = headers;
	SET(CURLOPT_URL, x->url);
	SET(CURLOPT_HTTPHEADER, x->headers);
	SET(CURLOPT_ERRORBUFFER, x->words);
	SET(CURLOPT_PRIVATE, x);
	r = set_network(easy, h, x->url);
	if (!r)
		r = set_tls(easy, x->tls);
	return r ? r : set_body(easy, x);
}

int cx_exchange_begin(struct cx_http *h, struct cx_exchange *x)
{
	int r;

	x->http = h;
	x->easy = curl_easy_init();
	r = x->easy ? set_all(x->easy, h, x) : -ENOMEM;
	if (!r && curl_multi_add_handle(h->multi, x->easy) != CURLM_OK)
		r = -ENOMEM;
	if (r < 0) {
		curl_easy_cleanup(x->easy);
		x->easy = NULL;
		return r;
	}
	x->window = cx_now_ns(CLOCK_MONOTONIC);
	x->next = h->active;
	h->active = x;
	return 0;
}

/* Takes it out of the network; the answer stays. */
static void leave(struct cx_exchange *x)
{
	struct cx_exchange **at = &x->http->active;

	while (*at && *at != x)
		at = &(*at)->next;
	if (*at)
		*at = x->next;
	curl_multi_remove_handle(x->http->multi, x->easy);
	curl_easy_cleanup(x->easy);
	x->easy = NULL;
}

void cx_exchange_end(struct cx_exchange *x)
{
	if (x->easy)
		leave(x);
	curl_slist_free_all(x->headers);
	answer_free(&x->answer);
	cx_str_free(&x->text);
	*x = (struct cx_exchange){ 0 };
}

static void finish(struct cx_exchange *x, CURLcode code)
{
	curl_off_t length = -1, after = 0;
	long status = 0;

	curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(x->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	curl_easy_getinfo(x->easy, CURLINFO_RETRY_AFTER, &after);
	curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &x->os_errno);
	x->status = (int)status;
	x->length = length < 0 ? UINT64_MAX : (uint64_t)length;
	x->retry_after = after;
	x->code = code;
	leave(x);
	x->done = 1;
}

/* ---- all of them ------------------------------------------------------------------------------ */

static int collect(struct cx_http *h)
{
	struct cx_exchange *x;
	CURLMsg *message;
	int left, n = 0;

	while ((message = curl_multi_info_read(h->multi, &left))) {
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		x = NULL;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&x);
		finish(x, code);
		n++;
	}
	return n;
}

/* Those that wait for their sink are given another try, the others looked at for being too slow. */
static int look(struct cx_http *h, int woken)
{
	int64_t now = cx_now_ns(CLOCK_MONOTONIC), span = h->stall_ms * MS;
	uint64_t least = (uint64_t)h->stall_ms * SLOWEST / 1000;
	struct cx_exchange *next;
	int n = 0;

	for (struct cx_exchange *x = h->active; x; x = next) {
		next = x->next;
		if (x->paused && woken) {
			x->paused = 0;
			curl_easy_pause(x->easy, CURLPAUSE_CONT);       /* calls on_body */
		}
		if (x->paused || x->moved - x->window_moved >= least) {
			x->window = now;
			x->window_moved = x->moved;
		} else if (now - x->window > span) {
			x->stalled = 1;
			finish(x, CURLE_OPERATION_TIMEDOUT);
			n++;
		}
	}
	return n;
}

int cx_http_turn(struct cx_http *h, int wait_ms)
{
	int running, n;

	if (atomic_load(&h->cancelled))
		return -ECANCELED;
	if (h->deadline && cx_now_ns(CLOCK_MONOTONIC) > h->deadline)
		return -ETIMEDOUT;
	n = look(h, atomic_exchange(&h->woken, 0));
	if (curl_multi_perform(h->multi, &running) != CURLM_OK)
		return -ENOMEM;
	n += collect(h);
	if (n)
		return 0;
	if (h->stall_ms / 4 < wait_ms)
		wait_ms = (int)(h->stall_ms / 4) + 1;
	if (curl_multi_poll(h->multi, NULL, 0, wait_ms, NULL) != CURLM_OK)
		return -ENOMEM;
	return 0;
}
