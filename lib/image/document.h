/* JSON that a stranger wrote: bounded before it is parsed, checked before it is read. */
#ifndef CX_IMAGE_DOCUMENT_H
#define CX_IMAGE_DOCUMENT_H

#include "spec/check.h"

/* What manifests, indexes and configs may have: bytes, objects and lists in one another, values in all (so
 * that 4 MiB of "[[],[],..." don't become 200 MiB of tree). */
enum { CX_DOCUMENT_MAX = 4 << 20, CX_DOCUMENT_DEPTH = 32, CX_DOCUMENT_VALUES = 1 << 16 };

/* An object, of bytes that need not end in NUL. `what` is the document's name in errors. -EINVAL -EFBIG */
int cx_document_parse(const char *bytes, size_t size, const char *what, json_t **ret, conex_error **err);

/* Types and ranges by a table of the spec's engine, the error of stage image. */
int cx_document_check(const struct cx_field *fields, const json_t *root, const char *what, conex_error **err);

/* Refuses the value at `path` (a format) of document `what`. */
int cx_document_refuse(conex_error **err, int code, const char *what, const char *value, const char *mend,
	const char *path, ...) CX_PRINTF(6, 7);

#endif
