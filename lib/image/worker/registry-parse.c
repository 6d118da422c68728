/* Takes apart what registries answer: challenges, ranges, errors. Called for every answer, by registry-request.c. */
#include "image/worker/registry-parse.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/str.h"
#include "image/refuse.h"

/* ---- WWW-Authenticate ------------------------------------------------------------------------- */

static const char *blank(const char *p)
{
	return p + strspn(p, " \t");
}

static size_t token(const char *p)
{
	size_t n = 0;

	while (p[n] && (isalnum((unsigned char)p[n]) || strchr("!#$%&'*+-.^_`|~", p[n])))
		n++;
	return n;
}

/* A quoted string or a token at *p into `to`; *p moves behind it. 0; -EINVAL: neither, or without an end. */
static int value(const char **p, struct cx_str *to)
{
	const char *s = *p;
	size_t n;

	if (*s != '"') {
		n = token(s);
		*p = s + n;
		return n ? cx_str_add(to, s, n) : -EINVAL;
	}
	for (s++; *s != '"'; s++) {
		if (*s == '\\' && s[1])
			s++;
		if (!*s)
			return -EINVAL;
		if (cx_str_add(to, s, 1) < 0)
			return -ENOMEM;
	}
	*p = s + 1;
	return cx_str_add(to, "", 0);
}

/* What the parameters that follow belong to. */
enum scheme { NONE, BASIC, BEARER, BEARER_AGAIN };

static int parameter(struct cx_challenges *c, enum scheme scheme, const char *name, size_t size, struct cx_str *text)
{
	const struct { const char *name; char **to; } known[] = {
		{ "realm", &c->realm }, { "service", &c->service }, { "scope", &c->scope }, { "error", &c->error },
	};

	for (size_t i = 0; scheme == BEARER && i < CX_ARRAY_SIZE(known); i++) {
		if (strlen(known[i].name) != size || strncasecmp(known[i].name, name, size) || *known[i].to)
			continue;
		*known[i].to = cx_str_take(text);
		return *known[i].to ? 0 : -ENOMEM;
	}
	cx_str_free(text);
	return 0;
}

static enum scheme scheme_of(struct cx_challenges *c, const char *name, size_t size)
{
	if (size == 5 && !strncasecmp(name, "basic", 5)) {
		c->basic = 1;
		return BASIC;
	}
	if (size != 6 || strncasecmp(name, "bearer", 6))
		return NONE;
	if (c->realm)
		return BEARER_AGAIN;
	c->bearer = 1;
	return BEARER;
}

#define TOKEN68 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"

/* One NAME=VALUE or one scheme, perhaps with a token68 behind it (which no scheme of ours has). */
static int element(const char **p, struct cx_challenges *c, enum scheme *scheme)
{
	cx_autostr text = { .data = NULL };
	const char *name = *p, *after;
	size_t size = token(name);
	int r;

	if (!size)
		return -EINVAL;
	after = blank(name + size);
	if (*after == '=' && after[1] != '=') {
		*p = blank(after + 1);
		r = value(p, &text);
		if (!r && text.data && strlen(text.data) != text.size)
			return -EINVAL;
		return r < 0 ? r : parameter(c, *scheme, name, size, &text);
	}
	*scheme = scheme_of(c, name, size);
	*p = after;
	after += strspn(after, TOKEN68);
	after = blank(after + strspn(after, "="));
	if (!*after || *after == ',')
		*p = after;
	return 0;
}

int cx_challenges_parse(const char *header, struct cx_challenges *ret)
{
	struct cx_challenges c = { 0 };
	enum scheme scheme = NONE;
	const char *p = header;
	int r = 0;

	for (;;) {
		p += strspn(p, " \t,");
		if (!*p)
			break;
		r = element(&p, &c, &scheme);
		if (r < 0)
			break;
	}
	if (r == -ENOMEM) {
		cx_challenges_free(&c);
		return r;
	}
	if (!c.realm || !*c.realm)      /* nobody to ask */
		c.bearer = 0;
	*ret = c;
	return 0;
}

void cx_challenges_free(struct cx_challenges *c)
{
	free(c->realm);
	free(c->service);
	free(c->scope);
	free(c->error);
	*c = (struct cx_challenges){ 0 };
}

/* ---- ranges ----------------------------------------------------------------------------------- */

/* Digits alone: strtoull would take signs and blanks, too. */
static int number(const char **p, uint64_t *ret)
{
	uint64_t n = 0;
	const char *s = *p;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	for (; isdigit((unsigned char)*s); s++)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (uint64_t)(*s - '0'), &n))
			return -EINVAL;
	*p = s;
	*ret = n;
	return 0;
}

int cx_content_range_parse(const char *header, uint64_t *first, uint64_t *last, uint64_t *total)
{
	uint64_t a = 1, b = 0, n = UINT64_MAX;
	const char *p = blank(header);

	if (strncasecmp(p, "bytes", 5) || (p[5] != ' ' && p[5] != '\t'))
		return -EINVAL;
	p = blank(p + 5);
	if (*p == '*')
		p++;
	else if (number(&p, &a) < 0 || *p++ != '-' || number(&p, &b) < 0 || b < a || b == UINT64_MAX)
		return -EINVAL;
	if (*p++ != '/')
		return -EINVAL;
	if (*p == '*')
		p++;
	else if (number(&p, &n) < 0)
		return -EINVAL;
	if (*blank(p) || (a <= b && b >= n) || (a > b && n == UINT64_MAX))
		return -EINVAL;
	*first = a;
	*last = b;
	*total = n;
	return 0;
}

int cx_upload_range_parse(const char *header, uint64_t *ret)
{
	const char *p = blank(header);
	uint64_t first, last;

	if (!strncasecmp(p, "bytes=", 6))
		p += 6;
	if (number(&p, &first) < 0 || first || *p++ != '-' || number(&p, &last) < 0 || *blank(p) || last == UINT64_MAX)
		return -EINVAL;
	*ret = last + 1;
	return 0;
}

/* ---- words ------------------------------------------------------------------------------------ */

static void join(struct cx_str *to, const char *code, const char *message)
{
	if (code)
		cx_image_quote(to, code, 60);
	if (code && message)
		cx_str_add(to, ": ", 2);
	if (message)
		cx_image_quote(to, message, 200);
}

void cx_words_of_error(const char *body, size_t length, struct cx_str *to)
{
	json_t *root = json_loadb(body, length, 0, NULL);
	const json_t *first = json_array_get(json_object_get(root, "errors"), 0), *from = first ? first : root;
	const char *message = json_string_value(json_object_get(from, "message"));

	/* token servers: {"error", "error_description"} of OAuth2, or {"details"}, or {"message"} */
	if (!message)
		message = json_string_value(json_object_get(from, "error_description"));
	if (!message)
		message = json_string_value(json_object_get(from, "details"));
	join(to, json_string_value(json_object_get(from, first ? "code" : "error")), message);
	json_decref(root);
}
