/* The guard walks from header to header, as libarchive will after it, and reads of each only its kind and size. It
 * refuses what is too big or read differently by different programs: names with a NUL in them, hard links with
 * contents, negative sizes. Between stream.c and libarchive. */
#include "image/worker/guard.h"

#include <stdlib.h>
#include <string.h>

enum { SPECIALS = 16 };         /* describing headers that one entry may have */

static int refuse(conex_error **err, int code, const char *what, const char *hint)
{
	return cx_fail(err, CONEX_STAGE_IMAGE, code, NULL, hint, "layer: %s", what);
}

/* Octal digits, or with the highest bit set a number of 95 bits with a sign. -1: negative or too large. */
static int64_t number(const uint8_t *p, size_t n)
{
	int64_t value = p[0] & 0x3f;

	if (p[0] & 0x80) {
		if (p[0] & 0x40)
			return -1;
		for (size_t i = 1; i < n; i++) {
			if (value >> 54)
				return -1;
			value = value << 8 | p[i];
		}
		return value;
	}
	value = 0;
	while (n > 0 && (*p == ' ' || *p == '\t'))
		p++, n--;
	for (; n > 0 && *p >= '0' && *p <= '7'; p++, n--)
		value = value << 3 | (*p - '0');
	return value;
}

/* Some old programs added the bytes as signed ones. */
static int checksum_holds(const uint8_t *block)
{
	int64_t wanted = number(block + 148, 8), sum = 0, with_sign = 0;

	for (size_t i = 0; i < CX_TAR_BLOCK; i++) {
		uint8_t byte = i >= 148 && i < 156 ? ' ' : block[i];

		sum += byte;
		with_sign += (int8_t)byte;
	}
	return sum == wanted || with_sign == wanted;
}

static uint64_t padded(uint64_t size)
{
	return (size + CX_TAR_BLOCK - 1) & ~(uint64_t)(CX_TAR_BLOCK - 1);
}

/* One record "LENGTH KEY=VALUE\n" at p. What is malformed is libarchive's to refuse. Its length, 0: no record. */
static size_t record(struct cx_guard *g, const char *p, size_t left, int *nul)
{
	char *end;
	unsigned long n = strtoul(p, &end, 10);
	const char *value;

	if (*end != ' ' || n <= (size_t)(end - p) + 1 || n > left)
		return 0;
	end++;
	value = memchr(end, '=', n - (size_t)(end - p));
	if (!value)
		return 0;
	value++;
	if (!strncmp(end, "size=", 5)) {
		g->pax_size = strtoull(value, NULL, 10);
		g->has_size = 1;
	} else if (!strncmp(end, "path=", 5) || !strncmp(end, "linkpath=", 9) || !strncmp(end, "GNU.sparse.name=", 16)) {
		*nul |= memchr(value, '\0', n - (size_t)(value - p)) != NULL;
	}
	return n;
}

static int pax_body(struct cx_guard *g, conex_error **err)
{
	size_t at = 0, n;
	int nul = 0;

	g->pax[g->pax_have] = '\0';
	for (; at < g->pax_have && (n = record(g, g->pax + at, g->pax_have - at, &nul)) > 0; at += n)
		;
	free(cx_steal_ptr(&g->pax));
	g->skip = padded(g->pax_wanted) - g->pax_wanted;
	return nul ? refuse(err, -EINVAL, "a NUL in a name", "names end where a NUL is") : 0;
}

/* A header that only describes the next one. */
static int special(struct cx_guard *g, uint8_t type, uint64_t size, conex_error **err)
{
	if (++g->specials > SPECIALS)
		return refuse(err, -EINVAL, "too many extended headers for one entry", "16 are enough for everybody");
	if (size > g->limit)
		return refuse(err, -E2BIG, "an extended header (PAX, or a long name) that is too large",
			"limits.header allows more");
	g->skip = padded(size);
	if ((type != 'x' && type != 'X') || size == 0)
		return 0;
	g->skip = 0;
	g->pax = malloc(size + 1);
	g->pax_have = 0;
	g->pax_wanted = size;
	return g->pax ? 0 : cx_fail_memory(err);
}

static int entry(struct cx_guard *g, uint8_t type, uint64_t size, conex_error **err)
{
	if (g->has_size && type >= '1' && type <= '6' && g->pax_size > 0)
		return refuse(err, -EINVAL, "a PAX size of what has no contents", "programs differ on what follows it");
	if (g->has_size)
		size = g->pax_size;
	g->has_size = 0;
	g->specials = 0;
	if (size > INT64_MAX / 2)
		return refuse(err, -EINVAL, "a size that no file has", NULL);
	if (type == '1' && size > 0)
		return refuse(err, -EINVAL, "a hard link with contents", "programs differ on what follows it");
	if (type >= '1' && type <= '6')
		size = 0;
	g->size = padded(size);
	g->sparse = type == 'S' && g->block[482];
	g->skip = g->sparse ? 0 : g->size;
	return 0;
}

static int header(struct cx_guard *g, conex_error **err)
{
	static const uint8_t empty[CX_TAR_BLOCK];
	uint8_t type = g->block[156];
	int64_t size;

	if (g->sparse) {
		g->sparse = g->block[504] != 0;
		g->skip = g->sparse ? 0 : g->size;
		return 0;
	}
	if (!memcmp(g->block, empty, sizeof empty)) {
		g->ended = ++g->zeros == 2;
		return 0;
	}
	g->zeros = 0;
	size = number(g->block + 124, 12);
	if (!checksum_holds(g->block))
		return refuse(err, -EBADMSG, "a tar header whose checksum is wrong", "the layer is damaged, or no tar");
	if (size < 0)
		return refuse(err, -EINVAL, "a size that is negative or beyond all files", NULL);
	if (strchr("xXgLKA", type) && type)
		return special(g, type, (uint64_t)size, err);
	return entry(g, type, (uint64_t)size, err);
}

static size_t smaller(uint64_t a, size_t b)
{
	return a < b ? (size_t)a : b;
}

int cx_guard_look(struct cx_guard *g, const void *data, size_t size, conex_error **err)
{
	const uint8_t *p = data;
	size_t n;
	int r = 0;

	for (; r == 0 && size > 0 && !g->ended; p += n, size -= n) {
		if (g->skip) {
			n = smaller(g->skip, size);
			g->skip -= n;
		} else if (g->pax) {
			n = smaller(g->pax_wanted - g->pax_have, size);
			memcpy(g->pax + g->pax_have, p, n);
			g->pax_have += n;
			if (g->pax_have == g->pax_wanted)
				r = pax_body(g, err);
		} else {
			n = smaller(CX_TAR_BLOCK - g->have, size);
			memcpy(g->block + g->have, p, n);
			g->have += (unsigned)n;
			if (g->have == CX_TAR_BLOCK) {
				g->have = 0;
				r = header(g, err);
			}
		}
	}
	return r;
}

void cx_guard_free(struct cx_guard *g)
{
	free(cx_steal_ptr(&g->pax));
}
