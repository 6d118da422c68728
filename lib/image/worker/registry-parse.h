/* What registries write into headers, taken apart; no network, no state. All of it is a stranger's. */
#ifndef CX_IMAGE_WORKER_REGISTRY_PARSE_H
#define CX_IMAGE_WORKER_REGISTRY_PARSE_H

#include <stddef.h>
#include <stdint.h>
#include "base/str.h"

/* All WWW-Authenticate headers, joined by commas (RFC 9110, 11.6.1). Of several Bearer challenges the first
 * with a realm counts; schemes that we don't know are passed over. */
struct cx_challenges {
	int basic, bearer;
	char *realm, *service, *scope;  /* Bearer's; service and scope may be NULL */
	char *error;                    /* Bearer's: "insufficient_scope" ... or NULL */
};

/* 0 (also for what makes no sense: then no scheme is set), -ENOMEM. */
int cx_challenges_parse(const char *header, struct cx_challenges *ret);
void cx_challenges_free(struct cx_challenges *c);

/* "bytes 5-9/10", "bytes 5-9/" and a star; "bytes", a star and "/10" (then *first is 1 and *last 0). *total is
 * UINT64_MAX where it isn't told. 0, -EINVAL. */
int cx_content_range_parse(const char *header, uint64_t *first, uint64_t *last, uint64_t *total);

/* An upload's "Range: 0-9" (also "bytes=0-9"): how many bytes the registry has, 10. 0, -EINVAL. */
int cx_upload_range_parse(const char *header, uint64_t *ret);

/* `location` as seen from `base`, into *ret (free). 0; -EINVAL: no URL of http or https, or one with a user's
 * name in it; -EACCES: from https to http; -ENOMEM. */
int cx_url_resolve(const char *base, const char *location, char **ret);
/* "https://host:port" of a URL, in small letters, always with the port (free). 0, -EINVAL, -ENOMEM. */
int cx_url_origin(const char *url, char **ret);
/* `url` with NAME=VALUE added to what it asks for (free); NULL without memory or for what is no URL. */
char *cx_url_with(const char *url, const char *name, const char *value);

/* Adds the registry's own words in an error's body, printable and not many: "CODE: message"; nothing when it has
 * none. */
void cx_words_of_error(const char *body, size_t length, struct cx_str *to);

#endif
