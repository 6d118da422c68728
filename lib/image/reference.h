/* Names of images, as github.com/distribution/reference (Docker, containerd, Podman) writes them:
 *	[host[:port]/]repository[:tag][@digest]
 * A first part is a host if it has a dot or a colon, an upper-case letter, or is "localhost"; else the host is
 * docker.io, whose repositories of one part lie below library/. Used before anything is looked up or sent. */
#ifndef CX_IMAGE_REFERENCE_H
#define CX_IMAGE_REFERENCE_H

#include "image/digest.h"

enum { CX_REFERENCE_HOST = 255 + 1, CX_REFERENCE_REPOSITORY = 255 + 1, CX_REFERENCE_TAG = 128 + 1 };
/* A whole one, printed, with its NUL. */
enum { CX_REFERENCE_TEXT = CX_REFERENCE_HOST + CX_REFERENCE_REPOSITORY + CX_REFERENCE_TAG + CX_DIGEST_TEXT };

/* No pointers: copy it as you like. */
struct cx_reference {
	char host[CX_REFERENCE_HOST];           /* "docker.io", "localhost:5000", "[::1]:5000"; never empty */
	char repository[CX_REFERENCE_REPOSITORY]; /* "library/alpine" */
	char tag[CX_REFERENCE_TAG];             /* "latest"; "": only a digest was given */
	struct cx_digest digest;                /* algorithm CX_DIGEST_NONE: only a tag was given */
};

/* With neither tag nor digest the tag is "latest". -EINVAL; -EOPNOTSUPP (the digest's algorithm). What the
 * grammar takes and no registry could serve is refused, too: ports beyond 65535, hosts over 253 letters
 * (255 with the port: a file's name), what is in brackets and no IPv6 address. */
int cx_reference_parse(const char *text, struct cx_reference *ret, conex_error **err);

int cx_reference_equal(const struct cx_reference *a, const struct cx_reference *b);

/* The full form, "docker.io/library/alpine:latest": equal for all ways to write one image. */
void cx_reference_print(const struct cx_reference *r, char text[CX_REFERENCE_TEXT]);
/* The short form that people write, "alpine:latest"; parses to the same. */
void cx_reference_familiar(const struct cx_reference *r, char text[CX_REFERENCE_TEXT]);
/* Host and repository, "docker.io/library/alpine". */
void cx_reference_name(const struct cx_reference *r, char text[CX_REFERENCE_TEXT]);
/* What a registry is asked for: the digest if there is one (the tag says only where it was), else the tag. */
void cx_reference_wanted(const struct cx_reference *r, char text[CX_DIGEST_TEXT]);

#endif
