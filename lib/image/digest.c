/* Digests as text, as bytes, and as files' names. */
#include "image/digest.h"

#include <stdio.h>
#include <string.h>
#include "image/refuse.h"

static const struct { const char *name; size_t size; } algorithms[] = {
	[CX_DIGEST_NONE] = { "", 0 },
	[CX_DIGEST_SHA256] = { "sha256", 32 },
	[CX_DIGEST_SHA512] = { "sha512", 64 },
};

/* The algorithm whose name these `size` bytes are; CX_DIGEST_NONE: none. */
static int algorithm_of(const char *name, size_t size)
{
	for (int i = CX_DIGEST_SHA256; i <= CX_DIGEST_SHA512; i++)
		if (strlen(algorithms[i].name) == size && !memcmp(algorithms[i].name, name, size))
			return i;
	return CX_DIGEST_NONE;
}

static int nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly as many digits as the algorithm has. 0, -EINVAL */
static int parse_hex(int algorithm, const char *hex, struct cx_digest *ret)
{
	struct cx_digest d = { .algorithm = algorithm };
	size_t size = algorithms[algorithm].size;

	if (!size || strnlen(hex, 2 * size + 1) != 2 * size)
		return -EINVAL;
	for (size_t i = 0; i < size; i++) {
		int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		d.bytes[i] = (unsigned char)(high << 4 | low);
	}
	*ret = d;
	return 0;
}

int cx_digest_looks_like(const char *text)
{
	struct cx_digest d;

	return cx_digest_parse(text, "", &d, NULL) == 0;
}

int cx_digest_parse(const char *text, const char *where, struct cx_digest *ret, conex_error **err)
{
	size_t n = strcspn(text, ":");
	int algorithm = algorithm_of(text, n);

	if (!text[n] || n == 0)
		return cx_image_refuse(err, -EINVAL, where, text, "a digest is sha256: and 64 digits 0-9 a-f");
	if (!algorithm)
		return cx_image_refuse(err, -EOPNOTSUPP, where, text, "digests of sha256 and sha512 are understood");
	if (parse_hex(algorithm, text + n + 1, ret) < 0)
		return cx_image_refuse(err, -EINVAL, where, text, "%s: takes %zu digits 0-9 a-f, lower case, and nothing else",
			algorithms[algorithm].name, 2 * algorithms[algorithm].size);
	return 0;
}

int cx_digest_from_path(const char *directory, const char *file, struct cx_digest *ret)
{
	return parse_hex(algorithm_of(directory, strlen(directory)), file, ret);
}

struct cx_digest cx_digest_of(int algorithm, const unsigned char *bytes)
{
	struct cx_digest d = { .algorithm = CX_DIGEST_NONE };

	if (algorithm != CX_DIGEST_SHA256 && algorithm != CX_DIGEST_SHA512)
		return d;
	d.algorithm = algorithm;
	memcpy(d.bytes, bytes, algorithms[algorithm].size);
	return d;
}

size_t cx_digest_size(const struct cx_digest *d)
{
	return algorithms[d->algorithm].size;
}

int cx_digest_order(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct cx_digest));
}

int cx_digest_equal(const struct cx_digest *a, const struct cx_digest *b)
{
	return cx_digest_order(a, b) == 0;
}

static void print(const struct cx_digest *d, char separator, char *to)
{
	static const char digits[] = "0123456789abcdef";

	if (d->algorithm)
		to += sprintf(to, "%s%c", algorithms[d->algorithm].name, separator);
	for (size_t i = 0; i < algorithms[d->algorithm].size; i++) {
		*to++ = digits[d->bytes[i] >> 4];
		*to++ = digits[d->bytes[i] & 15];
	}
	*to = '\0';
}

void cx_digest_print(const struct cx_digest *d, char text[CX_DIGEST_TEXT])
{
	print(d, ':', text);
}

void cx_digest_path(const struct cx_digest *d, char path[CX_DIGEST_TEXT])
{
	print(d, '/', path);
}
