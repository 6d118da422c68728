/* An image's config: what is in its layers, and how it wants to be run. OCI's image-spec 1.1 and Docker's
 * (Healthcheck, Shell) are one document. */
#ifndef CX_IMAGE_CONFIG_H
#define CX_IMAGE_CONFIG_H

#include <jansson.h>
#include <stdint.h>
#include "image/digest.h"
#include "image/manifest.h"
#include "image/platform.h"

struct cx_image_health {
	const char *const *test;        /* "CMD", args ... or "CMD-SHELL", a line; NULL: none, or "NONE" */
	int64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns; /* 0: not said */
	int64_t retries;                /* 0: not said */
};

/* Texts belong to `root`. A list ends with NULL; NULL: there is none. */
struct cx_image_config {
	json_t *root;
	struct cx_platform platform;
	struct cx_digest *diff_ids;     /* of each layer's tar, unpacked; the lowest first */
	size_t layer_count;
	const char *const *entrypoint, *const *cmd, *const *env;
	const char *const *volumes;     /* absolute paths */
	const char *const *ports;       /* "80/tcp", "53/udp", "8000-8010" */
	const char *const *shell;
	const char *user;               /* "name:group", "0"; "": not said. Names are resolved with the root file system */
	const char *directory;          /* absolute; "": not said */
	int stop_signal;                /* 0: not said */
	struct cx_image_health health;
};

/* -EINVAL -EFBIG -EOPNOTSUPP (a digest's algorithm). Everything that can be refused is refused here: before a
 * layer is pulled. */
int cx_image_config_parse(const char *bytes, size_t size, struct cx_image_config **ret, conex_error **err);
void cx_image_config_free(struct cx_image_config *c);

/* Do config and manifest speak of the same layers, and is it the platform that was wanted (NULL: any)? -EINVAL
 * -ENOENT (another platform) */
int cx_image_config_check(const struct cx_image_config *c, const struct cx_image_manifest *m,
	const struct cx_platform *wanted, conex_error **err);

/* The layer of a runtime-spec that image-spec's conversion.md asks for: process.args, env, cwd, and annotations
 * (the labels among them). `args` replace the image's Cmd; NULL: they don't. What it leaves to others: the user
 * (cx_user_json), volumes. A new tree for cx_spec_merge_json. -EINVAL: nothing says what to run. */
int cx_image_config_spec(const struct cx_image_config *c, const char *const *args, json_t **ret, conex_error **err);

/* "SIGTERM", "TERM", "15", "SIGRTMIN+3": its number, or 0. */
int cx_image_signal(const char *text);

#endif
