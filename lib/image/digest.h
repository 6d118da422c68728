/* Digests: the names of bytes. Nothing else in image/ takes a digest as text. */
#ifndef CX_IMAGE_DIGEST_H
#define CX_IMAGE_DIGEST_H

#include <conex/base.h>

enum { CX_DIGEST_NONE, CX_DIGEST_SHA256, CX_DIGEST_SHA512 };
enum { CX_DIGEST_BYTES = 64 };                          /* the longest */
enum { CX_DIGEST_TEXT = 7 + 2 * CX_DIGEST_BYTES + 1 };  /* with its NUL */

/* All zero: none. Bytes beyond the algorithm's are zero, so that equal digests are equal in memory. */
struct cx_digest {
	int algorithm;
	unsigned char bytes[CX_DIGEST_BYTES];
};

/* "sha256:" and 64, "sha512:" and 128 digits 0-9 a-f; nothing before, nothing behind. 0; -EINVAL;
 * -EOPNOTSUPP: another algorithm. `where` is what the error calls it. */
int cx_digest_parse(const char *text, const char *where, struct cx_digest *ret, conex_error **err);
/* Is it one? For where other words mean something, too. */
int cx_digest_looks_like(const char *text);

/* Of the bytes that a hash function gave: 32 or 64, as the algorithm has it. */
struct cx_digest cx_digest_of(int algorithm, const unsigned char *bytes);
int cx_digest_equal(const struct cx_digest *a, const struct cx_digest *b);
int cx_digest_order(const void *a, const void *b); /* for qsort, bsearch */
size_t cx_digest_size(const struct cx_digest *d);  /* bytes used: 32, 64, 0 */

void cx_digest_print(const struct cx_digest *d, char text[CX_DIGEST_TEXT]);    /* "sha256:ab..."; none: "" */
/* "sha256/ab...": letters and digits and that one slash, whatever came in. */
void cx_digest_path(const struct cx_digest *d, char path[CX_DIGEST_TEXT]);
/* The way back, of a directory's name and a file's. 0, -EINVAL */
int cx_digest_from_path(const char *directory, const char *file, struct cx_digest *ret);

#endif
