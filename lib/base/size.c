/* Sizes as people write them: "512M", "1.5G"; for JSON and bindings, before any limit is compiled. */
#include "base/error.h"

#include <string.h>

enum { MAX_FRACTION = 18 };

static int is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "K", "KB", "KiB" … (always 1,024 based), "B" or nothing; 0: none of these. */
static uint64_t unit_of(const char *suffix)
{
	static const char letters[] = "KMGTP";
	const char *at;
	char letter = *suffix;

	if (!*suffix || !strcmp(suffix, "B"))
		return 1;
	if (letter >= 'a' && letter <= 'z')
		letter = (char)(letter - 'a' + 'A');
	at = strchr(letters, letter);
	suffix++;
	if (!at || (*suffix && strcmp(suffix, "B") && strcmp(suffix, "iB")))
		return 0;
	return (uint64_t)1 << (10 * (at - letters + 1));
}

/* floor(0.digits * unit), exactly: from the last digit on, so that no product outgrows 64 bits. */
static uint64_t fraction_of(const char *digits, size_t n, uint64_t unit)
{
	uint64_t sum = 0;

	while (n > 0)
		sum = ((uint64_t)(digits[--n] - '0') * unit + sum) / 10;
	return sum;
}

static int malformed(const char *text, conex_error **err)
{
	return cx_refuse(err, -EINVAL, "size", text,
		"write a number with K, M, G, T or P behind it, as in 512M or 1.5G");
}

static int too_large(const char *text, conex_error **err)
{
	return cx_refuse(err, -ERANGE, "size", text, "at most 16,383P fit into 64 bits");
}

int conex_parse_size(const char *text, uint64_t *ret_bytes, conex_error **err)
{
	const char *p = text ? text : "", *fraction = "";
	uint64_t whole = 0, unit, rest;
	size_t n = 0;

	if (!is_digit(*p))
		return malformed(p, err);
	for (; is_digit(*p); p++)
		if (__builtin_mul_overflow(whole, 10, &whole)
		    || __builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole))
			return too_large(text, err);
	if (*p == '.') {
		fraction = ++p;
		for (; is_digit(*p); p++)
			n++;
		if (n == 0 || n > MAX_FRACTION)
			return malformed(text, err);
	}
	unit = unit_of(p);
	if (unit == 0 || (n > 0 && unit == 1))  /* there is no half byte */
		return malformed(text, err);
	rest = fraction_of(fraction, n, unit);
	if (__builtin_mul_overflow(whole, unit, &whole) || __builtin_add_overflow(whole, rest, &whole))
		return too_large(text, err);
	*ret_bytes = whole;
	return 0;
}
