/* A client of registries (OCI distribution-spec 1.1): what the rest of the worker pulls and pushes with. One
 * registry is one thread's; several transfers run at once inside, and only cancel and wake may come from others.
 * It reads the files of certificates and /etc's of name service when it connects: the lock-down must leave them.
 * Errors: -EACCES not logged in or not allowed, -ENOENT isn't there, -EAGAIN too many requests, -ETIMEDOUT,
 * -ECONNREFUSED, -EHOSTUNREACH no such host, -EKEYREJECTED its certificate, -EPROTO it breaks the protocol,
 * -EBADMSG other bytes than the digest's, -EFBIG too large, -ENODATA too short, -EREMOTEIO it fails,
 * -ECANCELED, -EINVAL bad argument, -ENOMEM; or the sink's or source's own. */
#ifndef CX_IMAGE_WORKER_REGISTRY_H
#define CX_IMAGE_WORKER_REGISTRY_H

#include <conex/base.h>
#include <stddef.h>
#include <stdint.h>
#include "image/credentials.h"
#include "image/reference.h"

struct cx_registry;

#define CX_REGISTRY_PLAIN_HTTP ((uint32_t)1 << 0)       /* http:// instead of https:// for this registry */

#define CX_MANIFEST_MAX ((size_t)4 << 20)

struct cx_registry_options {
	const char *host;               /* as references have it: "docker.io", "localhost:5000" */
	/* Pulls ask these first, in order, then the host: "https://mirror:5000/prefix" ... NULL. The prefix is put
	 * before the repository's name there, as for a proxy that has several registries' images. */
	const char *const *mirrors;
	uint32_t flags;
	/* Added to what the system trusts; the client's certificate is for the host and its mirrors alone.
	 * cert_dirs: containers-certs.d(5), "/etc/containers/certs.d" ... NULL, with directories HOST[:PORT]. */
	const char *ca, *client_cert, *client_key;
	const char *const *cert_dirs;
	/* As in http_proxy, https_proxy and no_proxy; the worker's own environment isn't looked at. */
	const char *http_proxy, *https_proxy, *no_proxy;
	/* 0: the usual. Attempts that brought nothing new: 5; transfers at once: 4; first wait: 300 ms;
	 * connecting: 30 s; a transfer slower than 1 KiB/s over stall_ms (60 s) starts again; no deadline. */
	int retries, parallel, backoff_ms, connect_ms, stall_ms, deadline_ms;
	uint64_t chunk;                 /* uploads in pieces of this size; 0: in one, unless that is refused */
	/* Once for each host that wants to know who we are: 1 and *ret, 0: nobody, or an error. */
	int (*credentials)(void *data, const char *host, struct cx_credentials *ret, conex_error **err);
	void (*progress)(void *data, uint64_t bytes);   /* that many more went over the network */
	void *data;
	const char *agent;              /* User-Agent; NULL: conex/VERSION */
};

/* Everything is copied. Bad names of hosts, mirrors and certificates are refused here. */
int cx_registry_open(const struct cx_registry_options *options, struct cx_registry **ret, conex_error **err);
void cx_registry_close(struct cx_registry *r);

/* From any thread: all that runs ends with -ECANCELED; for good. */
void cx_registry_cancel(struct cx_registry *r);
/* From any thread: sinks that answered -EAGAIN have room again. */
void cx_registry_wake(struct cx_registry *r);

struct cx_manifest {
	struct cx_digest digest;
	char *type;                     /* what the registry called it; "" when it didn't */
	char *data;                     /* NULL after head; else NUL-terminated */
	uint64_t size;
};

void cx_manifest_free(struct cx_manifest *m);

/* By digest if the reference has one, else by tag; its host isn't looked at. The body's hash is compared with
 * the digest that was asked for and with the one the registry names (Docker-Content-Digest). */
int cx_registry_manifest(struct cx_registry *r, const struct cx_reference *reference, struct cx_manifest *ret,
	conex_error **err);
/* The same without the body, for "is there a newer one?". A registry that doesn't name the digest is asked for
 * the body. */
int cx_registry_head(struct cx_registry *r, const struct cx_reference *reference, struct cx_manifest *ret,
	conex_error **err);

/* One blob. Its bytes from `offset` on go to the sink once each, in order, whatever the network does. The sink
 * returns 0 (all taken), -EAGAIN (none taken: this transfer waits for cx_registry_wake) or an error that ends
 * everything. The hash of a blob that was fetched from 0 on is checked here if `check` says so. */
struct cx_registry_blob {
	struct cx_digest digest;
	uint64_t size, offset;          /* offset moves on: after an error it says where to go on from */
	int (*sink)(void *data, const void *bytes, size_t size);
	void *data;
	int check;
	int done;                       /* out: all of it is there */
};

/* Fetches `count` of them, several at once, in their order. The first error ends all. */
int cx_registry_blobs(struct cx_registry *r, const char *repository, struct cx_registry_blob *blobs, size_t count,
	conex_error **err);

/* The same of blobs that come to be wanted while others are on their way. */
struct cx_registry_feed {
	/* 1: *ret, which stays where it is until it has ended; 0: nothing now (cx_registry_wake when there is something);
	 * -1: nothing any more. Both are called from within cx_registry_fetch. */
	int (*next)(void *data, struct cx_registry_blob **ret);
	void (*ended)(void *data, struct cx_registry_blob *blob);       /* it is done. May be NULL */
	void *data;
};
int cx_registry_fetch(struct cx_registry *r, const char *repository, const struct cx_registry_feed *feed, conex_error **err);

#define CX_UPLOAD_PRESENT 1     /* it was there */
#define CX_UPLOAD_MOUNTED 2     /* out of another repository */
#define CX_UPLOAD_SENT 3

struct cx_registry_upload {
	struct cx_digest digest;
	uint64_t size;
	/* Exactly `size` bytes from `offset`; any part may be asked for more than once. 0 or an error. */
	int (*source)(void *data, uint64_t offset, void *to, size_t size);
	void *data;
	const char *from;               /* a repository of this registry that may have it; NULL: none is known */
};

/* Uploads what isn't there. CX_UPLOAD_..., or an error. */
int cx_registry_upload(struct cx_registry *r, const char *repository, const struct cx_registry_upload *u,
	conex_error **err);
/* Puts a manifest whose blobs are there: by the reference's tag, or without one by its digest, which must be
 * that of the bytes. */
int cx_registry_put(struct cx_registry *r, const struct cx_reference *reference, const char *type,
	const void *data, size_t size, conex_error **err);

#endif
