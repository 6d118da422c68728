/* What a commit makes of an image's documents: for the host, which refuses, and the worker, which writes. */
#ifndef CX_IMAGE_COMMIT_H
#define CX_IMAGE_COMMIT_H

#include "image/store.h"

/* The image below: its manifest's digest, and what that leads to. All zero: none. */
struct cx_commit_base { struct cx_digest digest; struct cx_image_manifest *parts; struct cx_image_config *config; };
int cx_commit_read(const struct cx_store *s, const struct cx_digest *manifest, struct cx_commit_base *ret, conex_error **err);
void cx_commit_clear(struct cx_commit_base *b);

/* How the new image wants to be run: the base's "config" with `laid` (JSON text; NULL: nothing) over it. Objects are
 * laid key by key, null takes away, Env goes by the names of its variables, other lists are replaced. *ret is new.
 * -EINVAL: a key or value that can't be; -E2BIG: the base has as many layers as there may be */
int cx_commit_config(const struct cx_commit_base *base, const char *laid, json_t **ret, conex_error **err);

#endif
