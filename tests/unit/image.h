/* What tests of images share: documents written with ' for ", $ for a digest's digits, and no backslash. */
#ifndef CONEX_TEST_IMAGE_H
#define CONEX_TEST_IMAGE_H

#include "test.h"
#include <conex/base.h>
#include "base/str.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX

/* The document in a buffer of exactly its size (ASan sees one byte more); free it. */
static inline char *image_document(const char *text, size_t *size)
{
	size_t n = 0;
	char *to;

	for (const char *p = text; *p; p++)
		n += *p == '$' ? strlen(DIGEST) : 1;
	to = malloc(n ? n : 1);
	*size = n;
	for (n = 0; *text; text++) {
		if (*text == '$') {
			memcpy(to + n, DIGEST, strlen(DIGEST));
			n += strlen(DIGEST);
		} else {
			to[n++] = *text == '\'' ? '"' : *text;
		}
	}
	return to;
}

/* A refusal: its code, what it points at, a mend, of stage image, one line that steers no terminal. */
static inline void image_refused(const char *document, int got, int code, const char *where, conex_error **err)
{
	const char *text = conex_error_text(*err);

	if (got != code || !strstr(conex_error_object(*err), where) || (code != -ENOMEM && !*conex_error_hint(*err))
	    || conex_error_stage(*err) != CONEX_STAGE_IMAGE || strpbrk(text, "\n\r\t\x1b\x7f")) {
		printf("# %.300s\n# -> %d %s\n", document, got, text);
		CHECK_STR(conex_error_object(*err), where);
		CHECK_INT(got, code);
	}
}

#endif
