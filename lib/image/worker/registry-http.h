/* HTTP over libcurl, one exchange at a time or many at once: no redirect is followed, no one is logged in, nothing
 * is tried again. What an answer means is registry-request.c's to say. */
#ifndef CX_IMAGE_WORKER_REGISTRY_HTTP_H
#define CX_IMAGE_WORKER_REGISTRY_HTTP_H

#include <curl/curl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "base/str.h"

/* What to trust, and what to show, when one host is spoken to. */
struct cx_tls {
	struct cx_tls *next;
	char *origin;
	struct cx_str ca;               /* PEM, besides the system's; empty: the system's alone */
	char *cert, *key;               /* paths; NULL: none */
};

/* What of an answer's head is used; NULL: it wasn't there. */
struct cx_answer {
	char *location, *challenges, *digest, *content_range, *range, *type, *encoding, *chunk_min;
};

struct cx_exchange {
	/* asked */
	const char *method, *url;
	struct curl_slist *headers;
	const struct cx_tls *tls;
	const char *send;               /* a body in memory, of send_size bytes; or: */
	int (*source)(void *data, uint64_t offset, void *to, size_t size);
	uint64_t send_size, send_from;  /* the source's bytes from send_from on */
	void *source_data;
	int once;                       /* what is sent can't simply be sent again */
	/* A body's bytes: 0, -EAGAIN (not now) or an error that ends it. NULL: into `text`, up to `limit`. */
	int (*body)(struct cx_exchange *x, const char *bytes, size_t size);
	size_t limit;
	void *owner;

	/* answered */
	int done;
	CURLcode code;
	int status;                     /* 0: no answer */
	long os_errno;                  /* of a connection that failed */
	int failed;                     /* an error of ours: body's, source's, a limit's; 0 */
	const char *why;                /* the limit's, in words */
	struct cx_answer answer;
	uint64_t length;                /* Content-Length; UINT64_MAX: not told */
	int64_t retry_after;            /* seconds; 0: not told */
	struct cx_str text;
	int cut;                        /* there was more than `limit` */
	char words[CURL_ERROR_SIZE];

	/* inside */
	struct cx_http *http;
	struct cx_exchange *next;
	CURL *easy;
	size_t head_size;
	int headed;                     /* the head is complete: what follows are trailers */
	uint64_t sent, moved, window_moved;
	int64_t window;
	int paused, stalled, begun;     /* begun: the body's first bytes came; body's own */
};

struct cx_http {
	CURLM *multi;
	struct cx_exchange *active;
	atomic_int cancelled, woken;
	const char *http_proxy, *https_proxy, *no_proxy, *agent;
	long connect_ms, stall_ms;
	int64_t deadline;               /* CLOCK_MONOTONIC, ns; 0: none */
	void (*progress)(void *data, uint64_t bytes);
	void *data;
};

/* Begins; its end is seen by x->done after some turns. 0, -ENOMEM, -EINVAL. */
int cx_exchange_begin(struct cx_http *h, struct cx_exchange *x);
/* What happens to a body without `body`; for those that want some of it in `text`. */
int cx_exchange_keep(struct cx_exchange *x, const char *bytes, size_t size);
/* Frees what begin and the answer took, ends it if it still runs. All zero is fine. */
void cx_exchange_end(struct cx_exchange *x);

/* Moves all exchanges on, waiting at most wait_ms for the network. 0; -ECANCELED, -ETIMEDOUT (the deadline),
 * -ENOMEM. */
int cx_http_turn(struct cx_http *h, int wait_ms);

#endif
