/* Which machines an image is for: "linux/arm64/v8". Names are Go's. */
#ifndef CX_IMAGE_PLATFORM_H
#define CX_IMAGE_PLATFORM_H

#include <conex/base.h>

enum { CX_PLATFORM_PART = 32, CX_PLATFORM_TEXT = 3 * CX_PLATFORM_PART };

/* Normal: what the architecture's usual variant is isn't written (amd64's v1, arm64's v8), arm's always is. */
struct cx_platform {
	char os[CX_PLATFORM_PART];              /* "linux"; "": not known */
	char architecture[CX_PLATFORM_PART];    /* "amd64" */
	char variant[CX_PLATFORM_PART];         /* "v7"; "": the usual one */
};

/* "os/architecture[/variant]", "architecture" alone (linux then), or NULL: this machine's. Other names that
 * people write (x86_64, aarch64, armhf) are understood. -EINVAL */
int cx_platform_parse(const char *text, struct cx_platform *ret, conex_error **err);
/* The three texts of a manifest; variant may be NULL. -EINVAL: too long, or other letters than a-z 0-9 . _ - */
int cx_platform_of(const char *os, const char *architecture, const char *variant, struct cx_platform *ret);
void cx_platform_print(const struct cx_platform *p, char text[CX_PLATFORM_TEXT]);

/* How well what is `offered` runs on what is `wanted`: 0 not at all, the more the better. An arm processor runs
 * older variants; so does arm64 (v9 runs v8), and amd64 of a level that was asked for (v3 runs v2, v1). */
int cx_platform_match(const struct cx_platform *wanted, const struct cx_platform *offered);

#endif
