/* Growing strings. */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void cx_str_free(struct cx_str *s)
{
	cx_freep(&s->data);
	s->size = s->capacity = 0;
	s->failed = 0;
}

static int reserve(struct cx_str *s, size_t more)
{
	size_t capacity = s->capacity ? s->capacity : 256;
	char *data;

	if (s->failed)
		return s->failed;
	while (capacity < s->size + more + 1)
		capacity *= 2;
	if (capacity == s->capacity)
		return 0;
	data = realloc(s->data, capacity);
	if (!data)
		return s->failed = -ENOMEM;
	s->data = data;
	s->capacity = capacity;
	return 0;
}

int cx_str_add(struct cx_str *s, const void *data, size_t size)
{
	int r = reserve(s, size);

	if (r < 0)
		return r;
	if (size)
		memcpy(s->data + s->size, data, size);
	s->size += size;
	s->data[s->size] = '\0';
	return 0;
}

int cx_str_addf(struct cx_str *s, const char *format, ...)
{
	va_list ap;
	int n, r;

	va_start(ap, format);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (n < 0)
		return s->failed = -ENOMEM;
	r = reserve(s, (size_t)n);
	if (r < 0)
		return r;
	va_start(ap, format);
	vsnprintf(s->data + s->size, (size_t)n + 1, format, ap);
	va_end(ap);
	s->size += (size_t)n;
	return 0;
}

char *cx_str_take(struct cx_str *s)
{
	char *data = NULL;

	if (cx_str_add(s, "", 0) == 0)
		data = cx_steal_ptr(&s->data);
	cx_str_free(s);
	return data;
}
