/* A growing string that remembers being out of memory, so that only its end needs a check. */
#ifndef CX_BASE_STR_H
#define CX_BASE_STR_H

#include <stddef.h>
#include "base/cleanup.h"

struct cx_str {
	char *data;             /* NUL-terminated once something was added; NULL before */
	size_t size, capacity;
	int failed;             /* -ENOMEM: all that follows is ignored */
};

void cx_str_free(struct cx_str *s);
int cx_str_add(struct cx_str *s, const void *data, size_t size); /* 0, -ENOMEM */
int cx_str_addf(struct cx_str *s, const char *format, ...) CX_PRINTF(2, 3);
/* The text, which becomes the caller's (free); NULL without memory. Never NULL for "". */
char *cx_str_take(struct cx_str *s);

#define cx_autostr cx_cleanup(cx_str_free) struct cx_str

#endif
