/* Refusing what a stranger wrote: a registry, an archive, a file of an image. */
#ifndef CX_IMAGE_REFUSE_H
#define CX_IMAGE_REFUSE_H

#include "base/error.h"
#include "base/str.h"

/* Like cx_refuse, of stage image. Both `where` (a key may be a stranger's) and `value` (NULL: nothing
 * stands there) are shown as one line of printable text: what they hold may have been written to steer the
 * terminal it ends up on. Returns `code`. */
int cx_image_refuse(conex_error **err, int code, const char *where, const char *value,
	const char *mend, ...) CX_PRINTF(5, 6);

/* Adds `text`, cut after `max` bytes ("..."), control characters and invalid UTF-8 as \xNN. */
void cx_image_quote(struct cx_str *to, const char *text, size_t max);
/* In place: what it would show as \xNN becomes '?'; NULs stay, and one ends it. */
void cx_image_clean(char *text, size_t size);

#endif
