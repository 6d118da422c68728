/* What the files registry*.c know of one another. In the order in which a pull passes them: registry.c (endpoints),
 * -request.c (one request to its end), -judge.c (what an answer means), -auth.c, -pull.c, -blobs.c, -push.c. */
#ifndef CX_IMAGE_WORKER_REGISTRY_PARTS_H
#define CX_IMAGE_WORKER_REGISTRY_PARTS_H

#include "base/error.h"
#include "image/worker/registry-http.h"
#include "image/worker/registry-parse.h"
#include "image/worker/registry.h"

/* Where a registry can be asked: itself, the last one, and mirrors before it. */
struct cx_endpoint {
	char *origin;                   /* "https://host:5000" */
	char *prefix;                   /* "proxied/" before the repository's name, or "" */
	char *host;                     /* whose credentials: "docker.io", "host:5000" */
	int bad;                        /* a mirror that isn't asked any more: it couldn't be spoken to */
};

/* An Authorization header that some requests to an endpoint may carry until it expires. */
struct cx_grant {
	struct cx_grant *next;
	const struct cx_endpoint *endpoint;
	char *scope;                    /* NULL: any (Basic) */
	char *header;
	uint64_t serial;                /* from 1 on */
	int64_t until;                  /* CLOCK_MONOTONIC, ns */
};

/* What was answered to "who are we to this host?". */
struct cx_known {
	struct cx_known *next;
	char *host;
	struct cx_credentials credentials;
};

struct cx_registry {
	struct cx_http http;
	char *host;
	struct cx_endpoint *endpoints;
	size_t count;
	struct cx_tls *tls;
	struct cx_grant *grants;
	uint64_t serial;                /* the last grant's */
	struct cx_known *known;
	int retries, parallel, backoff_ms;
	uint64_t chunk;
	char *ca, *client_cert, *client_key, **cert_dirs;
	char *http_proxy, *https_proxy, *no_proxy, *agent;
	int (*credentials)(void *data, const char *host, struct cx_credentials *ret, conex_error **err);
	void *data;
};

/* What to trust when this URL is spoken to: read once. NULL and an error. */
const struct cx_tls *cx_registry_tls(struct cx_registry *r, const char *url, conex_error **err);
void cx_registry_tls_free(struct cx_tls *tls);

#define CX_REQUEST_MIRRORS 1u   /* any endpoint will do; else the last one, which is the registry itself */
#define CX_REQUEST_ONCE 2u      /* the caller tries again: a body that can't simply be sent twice */
#define CX_REQUEST_STRANGER 4u  /* a token server: `authorization` or nothing, no login */

/* One question to its answer: through redirects, logins, retries and mirrors. */
struct cx_request {
	/* asked */
	struct cx_registry *r;
	unsigned flags;
	const char *method, *repository;
	char *path;                     /* "manifests/latest", owned; or */
	char *url;                      /* an absolute one, owned */
	const char *what;               /* for people: "manifest latest" */
	const char *scope;              /* "repository:a/b:pull" */
	const char *accept, *type, *range, *authorization;
	const char *send;
	int (*source)(void *data, uint64_t offset, void *to, size_t size);
	void *source_data;
	uint64_t send_size, send_from;
	const uint64_t *from;           /* what a body begins with: a Range is asked for; NULL: all */
	int (*body)(struct cx_exchange *x, const char *bytes, size_t size);
	size_t limit;                   /* of a body in memory */
	void *owner;

	/* answered, after step returned 1 */
	struct cx_exchange x;

	/* inside */
	size_t endpoint;
	char *at;                       /* the URL of this exchange */
	uint64_t used;                  /* the serial of the grant that it carried; 0: none */
	struct cx_str earlier;          /* what went wrong with mirrors */
	uint64_t gained;                /* since the last exchange began: `body` counts it */
	int attempts, total, redirects, logins;
	int waiting, transient;         /* transient: with ONCE, why it failed may pass */
	int64_t not_before;
};

int cx_request_start(struct cx_request *q, conex_error **err);
/* After each turn. 1: answered with a status that is the caller's to judge; 0: not yet; or an error. */
int cx_request_step(struct cx_request *q, conex_error **err);
/* For how many ms nothing will be to do but wait for the network. */
int cx_request_wait(const struct cx_request *q);
/* start and step until it ends: 0 or an error. */
int cx_request_run(struct cx_request *q, conex_error **err);
/* Frees what was answered and what is owned; it may start again after new things were asked. */
void cx_request_end(struct cx_request *q);
/* Something that may pass went wrong: waits and asks again, or asks the next endpoint, or fails with `code`. */
int cx_request_again(struct cx_request *q, int code, const char *why, conex_error **err);
/* Asks the next mirror because of this error; or returns it. */
int cx_request_next(struct cx_request *q, int code, const char *why, const char *hint, conex_error **err);
/* The end: says who, what and why; the answer's status and the registry's words when there is one. */
int cx_request_fail(struct cx_request *q, int code, const char *why, const char *hint, conex_error **err);
/* The same for a status that wasn't expected. */
int cx_request_unexpected(struct cx_request *q, conex_error **err);
/* What happened to the exchange that has ended: 1, 0 or an error, as step. */
int cx_request_judge(struct cx_request *q, conex_error **err);
/* The next exchange. */
int cx_request_send(struct cx_request *q, conex_error **err);
/* How long to wait before attempt n (0 ...), ms. */
int cx_registry_backoff(const struct cx_registry *r, int n);
/* Waits, while what runs goes on. */
int cx_registry_sleep(struct cx_registry *r, int ms, conex_error **err);
/* The error of a turn: the deadline, cancelled, no memory. */
int cx_registry_turn_fail(struct cx_registry *r, int code, conex_error **err);

/* The grant for this scope, if there is one that hasn't expired. */
const struct cx_grant *cx_auth_grant(const struct cx_registry *r, const struct cx_endpoint *e, const char *scope);
/* The endpoint answered 401 with these challenges to a request with the grant of this serial (0: none). 1: there
 * is another grant now; 0: there is nothing that would help (*ret_hint says why); or an error. */
int cx_auth_login(struct cx_registry *r, const struct cx_endpoint *e, const char *scope, const char *challenges,
	uint64_t used, const char **ret_hint, conex_error **err);
/* Are there credentials for this host, as far as was asked? */
int cx_auth_is_known(const struct cx_registry *r, const char *host);
void cx_auth_free(struct cx_registry *r);

/* "repository:NAME:pull" or "...:pull,push". */
enum { CX_SCOPE_TEXT = CX_REFERENCE_REPOSITORY + 32 };
void cx_registry_scope(const char *repository, int push, char to[CX_SCOPE_TEXT]);

#endif
