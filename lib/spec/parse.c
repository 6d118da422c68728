/* JSON text to a tree (jansson), with the line and column of whatever is wrong. */
#include "spec/check.h"

#include <stdio.h>
#include "base/str.h"

/* Deeper than any spec, shallow enough for all that walks trees on a small thread's
 * stack. */
#define DEPTH_MAX 100

/* The first byte that opens more than DEPTH_MAX objects and lists, or NULL. */
static const char *too_deep(const char *text)
{
	int depth = 0, quoted = 0;

	for (const char *p = text; *p; p++) {
		if (quoted && *p == '\\' && p[1])
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (!quoted && (*p == '{' || *p == '[') && ++depth > DEPTH_MAX)
			return p;
		else if (!quoted && (*p == '}' || *p == ']'))
			depth--;
	}
	return NULL;
}

static int refuse_at(
	conex_error **err, const char *what, int line, int column, const char *mend)
{
	char where[256];

	snprintf(where, sizeof where, "%.200s, line %d, column %d", what, line, column);
	return cx_refuse(err, -EINVAL, where, NULL, "%s", mend);
}

static int refuse_depth(
	conex_error **err, const char *what, const char *text, const char *at)
{
	int line = 1, column = 1;

	for (; text < at; text++, column++)
		if (*text == '\n') {
			line++;
			column = 0;
		}
	return refuse_at(
		err, what, line, column, "objects and lists nest at most 100 deep");
}

static int refuse_error(conex_error **err, const char *what, const json_error_t *e)
{
	char mend[JSON_ERROR_TEXT_LENGTH + 64];
	enum json_error_code code;
	json_t *probe;

	/* jansson says nothing at all, not even a code, where its own buffers fail. */
	code = e->text[0] ? json_error_code(e) : json_error_out_of_memory;
	/* Nor where its lexer can't keep a text: that looks like bad syntax. */
	probe = json_integer(0);
	if (!probe)
		code = json_error_out_of_memory;
	json_decref(probe);
	if (code == json_error_out_of_memory)
		return cx_fail_memory(err);
	snprintf(mend, sizeof mend, "%s%s", e->text, code == json_error_numeric_overflow
		? ": numbers go from -9223372036854775808 to 18446744073709551615; unlimited is -1" : "");
	return refuse_at(err, what, e->line, e->column, mend);
}

/* A number from 2^63 to 2^64 - 1 (some hundred digits are none)? */
static int is_wide(const char *digits, size_t size)
{
	char copy[24];
	unsigned long long n;

	if (size < 19 || size > 20)
		return 0;
	memcpy(copy, digits, size);
	copy[size] = '\0';
	errno = 0;
	n = strtoull(copy, NULL, 10);
	return !errno && n > INT64_MAX;
}

/* jansson's integers are signed. Numbers of 64 bits without a sign, as Go writes "no limit"
 * (18446744073709551615), become what the same bits mean with one (-1). NULL: no memory. */
static char *narrow(const char *text)
{
	cx_autostr to = { 0 };
	int quoted = 0;
	const char *from = text, *p = text;

	while (*p) {
		size_t digits = quoted ? 0 : strspn(p, "0123456789");

		if (digits && (p == text || !strchr("-.eE+", p[-1])) && is_wide(p, digits)
			&& !strchr(".eE", p[digits] ? p[digits] : ' ')) {
			cx_str_add(&to, from, (size_t)(p - from));
			cx_str_addf(&to, "%lld", (long long)strtoull(p, NULL, 10));
			from = p + digits;
		}
		if (quoted && *p == '\\' && p[1])
			p++;
		else if (*p == '"')
			quoted = !quoted;
		p += digits ? digits : 1;
	}
	cx_str_add(&to, from, strlen(from));
	return cx_str_take(&to);
}

static int has_wide(const char *text)
{
	for (const char *p = text; (p = strpbrk(p, "0123456789")); ) {
		size_t digits = strspn(p, "0123456789");

		if (is_wide(p, digits))
			return 1;
		p += digits;
	}
	return 0;
}

int cx_spec_parse_json(
	const char *text, const char *what, json_t **ret, conex_error **err)
{
	cx_autofree char *narrowed = NULL;
	const char *deep;
	json_error_t error;
	json_t *tree;

	if (!text)
		return cx_refuse(err, -EINVAL, what, NULL, "give JSON text");
	deep = too_deep(text);
	if (deep)
		return refuse_depth(err, what, text, deep);
	if (has_wide(text) && !(text = narrowed = narrow(text)))
		return cx_fail_memory(err);
	tree = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!tree)
		return refuse_error(err, what, &error);
	if (!json_is_object(tree)) {
		json_decref(tree);
		return refuse_at(err, what, 1, 1, "a spec is an object: {...}");
	}
	*ret = tree;
	return 0;
}
