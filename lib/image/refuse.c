/* Errors about a stranger's bytes, which must not reach anybody's terminal as they are. */
#include "image/refuse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN = 80 };

/* How many bytes the UTF-8 character at `p` has; 0: it is none, or one that may steer a terminal (C0, DEL,
 * C1, and what changes the direction of writing). */
static size_t printable(const unsigned char *p)
{
	static const unsigned least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t size = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : (*p & 0xf0) == 0xe0 ? 3
		: *p >= 0xf0 && *p < 0xf5 ? 4 : 0;
	unsigned c = size == 1 ? *p : *p & (0x7fu >> size);

	for (size_t i = 1; i < size; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < 0x20 || (c >= 0x7f && c < 0xa0) || (size && c < least[size]) || c > 0x10ffff
	    || (c >= 0xd800 && c < 0xe000) || (c >= 0x200b && c < 0x2010) || (c >= 0x2028 && c < 0x202f)
	    || (c >= 0x2066 && c < 0x206a) || c == 0xfeff)
		return 0;
	return size;
}

void cx_image_quote(struct cx_str *to, const char *text, size_t max)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + strnlen(text, max + 1);
	int cut = (size_t)(end - p) > max;

	while (p < end && (!cut || (size_t)((const char *)p - text) < max)) {
		size_t size = printable(p);

		if (size)
			cx_str_add(to, p, size);
		else
			cx_str_addf(to, "\\x%02x", *p);
		p += size ? size : 1;
	}
	if (cut)
		cx_str_add(to, "...", 3);
}

void cx_image_clean(char *text, size_t size)
{
	for (size_t i = 0, n; i < size; i += n) {
		n = text[i] ? printable((const unsigned char *)text + i) : 1;
		if (!n) {
			text[i] = '?';
			n = 1;
		}
	}
}

int cx_image_refuse(conex_error **err, int code, const char *where, const char *value,
	const char *mend, ...)
{
	cx_autofree char *hint = NULL, *object = NULL;
	cx_autostr text = { .data = NULL };
	va_list ap;

	if (!err)
		return code;
	va_start(ap, mend);
	if (vasprintf(&hint, mend, ap) < 0)
		hint = NULL;
	va_end(ap);
	cx_image_quote(&text, where, 4 * SHOWN);
	if (value) {
		cx_str_add(&text, " = ", 3);
		cx_image_quote(&text, value, SHOWN);
	}
	object = cx_str_take(&text);
	return cx_fail(err, CONEX_STAGE_IMAGE, code, NULL, hint, "%s", object ? object : where);
}
