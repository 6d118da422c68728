/* Parsing and printing names of images. */
#include "image/reference.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include "image/refuse.h"

#define HUB "docker.io"
#define HUB_BEFORE "index.docker.io"    /* its old name */
#define OFFICIAL "library/"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"

/* A reference in pieces, which are not terminated. */
struct piece { const char *at; size_t size; };

static int is_only(struct piece p, const char *set)
{
	for (size_t i = 0; i < p.size; i++)
		if (!p.at[i] || !strchr(set, p.at[i]))
			return 0;
	return 1;
}

static int is_text(struct piece p, const char *text)
{
	return p.size == strlen(text) && !memcmp(p.at, text, p.size);
}

static int has_any(struct piece p, const char *set)
{
	for (size_t i = 0; i < p.size; i++)
		if (strchr(set, p.at[i]))
			return 1;
	return 0;
}

static struct piece before(const char *text, const char *ends)
{
	return (struct piece){ text, strcspn(text, ends) };
}

/* ---- the host ---- */

/* "a", "a-b": no hyphen at either end */
static int is_label(struct piece p)
{
	return p.size && is_only(p, LOWER UPPER DIGIT "-") && p.at[0] != '-' && p.at[p.size - 1] != '-';
}

static int is_domain(struct piece p)
{
	const char *end = p.at + p.size;

	if (p.size > 253)
		return 0;
	for (;;) {
		const char *dot = memchr(p.at, '.', (size_t)(end - p.at));

		if (!is_label((struct piece){ p.at, (size_t)((dot ? dot : end) - p.at) }))
			return 0;
		if (!dot)
			return 1;
		p.at = dot + 1;
	}
}

/* "::1", without zones and without a dotted end */
static int is_ipv6(struct piece p)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (p.size >= sizeof text || !is_only(p, DIGIT "abcdefABCDEF:"))
		return 0;
	memcpy(text, p.at, p.size);
	text[p.size] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1;
}

static int is_port(struct piece p)
{
	unsigned long port = 0;

	if (!p.size || !is_only(p, DIGIT))
		return 0;
	for (size_t i = 0; i < p.size && port < 65536; i++)
		port = port * 10 + (unsigned long)(p.at[i] - '0');
	return port > 0 && port < 65536;
}

static const char host_mend[] = "a registry is a name of letters, digits, '-' and '.', an IPv4 address or "
	"[an IPv6 address], then perhaps ':' and a port from 1 to 65535";

static int check_host(struct piece host, const char *text, conex_error **err)
{
	const char *end = host.at + host.size, *after;
	struct piece name = host;
	int good;

	if (host.at[0] == '[') {
		const char *bracket = memchr(host.at, ']', host.size);

		after = bracket ? bracket + 1 : end;
		name.size = bracket ? (size_t)(bracket - host.at) : 0;
		good = bracket && is_ipv6((struct piece){ host.at + 1, name.size - 1 });
	} else {
		const char *colon = memchr(host.at, ':', host.size);

		after = colon ? colon : end;
		name.size = (size_t)(after - host.at);
		good = is_domain(name);
	}
	if (good && after < end)
		good = *after == ':' && is_port((struct piece){ after + 1, (size_t)(end - after - 1) });
	return good && host.size < CX_REFERENCE_HOST ? 0 : cx_image_refuse(err, -EINVAL, "image", text, "%s", host_mend);
}

/* ---- the repository, the tag ---- */

/* Runs of a-z 0-9 with ".", "_", "__" or any number of "-" between them. */
static int is_path_part(struct piece p)
{
	size_t i = 0;

	for (;;) {
		size_t begin = i, hyphens = 0, under = 0;

		while (i < p.size && strchr(LOWER DIGIT, p.at[i]))
			i++;
		if (i == begin)
			return 0;
		if (i == p.size)
			return 1;
		while (i + hyphens < p.size && p.at[i + hyphens] == '-')
			hyphens++;
		while (i + under < p.size && under < 2 && p.at[i + under] == '_')
			under++;
		if (!hyphens && !under && p.at[i] != '.')
			return 0;
		i += hyphens ? hyphens : under ? under : 1;
	}
}

static int is_path(struct piece p)
{
	const char *end = p.at + p.size;

	for (;;) {
		const char *slash = memchr(p.at, '/', (size_t)(end - p.at));

		if (!is_path_part((struct piece){ p.at, (size_t)((slash ? slash : end) - p.at) }))
			return 0;
		if (!slash)
			return 1;
		p.at = slash + 1;
	}
}

static int check_repository(struct piece path, const char *text, conex_error **err)
{
	if (!path.size)
		return cx_image_refuse(err, -EINVAL, "image", text, "a name is missing: write [registry/]name[:tag]");
	if (has_any(path, UPPER))
		return cx_image_refuse(err, -EINVAL, "image", text, "names of images are lower case");
	if (!is_path(path))
		return cx_image_refuse(err, -EINVAL, "image", text, "a name is parts of a-z 0-9, with '/' between them; within "
			"a part '.', '_', '__' or '-' may stand between letters");
	return 0;
}

static int check_tag(struct piece tag, const char *text, conex_error **err)
{
	if (!tag.size || tag.size >= CX_REFERENCE_TAG || !is_only(tag, LOWER UPPER DIGIT "_.-")
	    || strchr(".-", tag.at[0]))
		return cx_image_refuse(err, -EINVAL, "image", text, "a tag is 1 to 128 of a-z A-Z 0-9 _ . - and begins with "
			"a letter, a digit or _");
	return 0;
}

/* ---- together ---- */

/* Is what stands before the first slash a registry? By its looks alone. */
static int is_host(struct piece first)
{
	return is_text(first, "localhost") || has_any(first, ".:[" UPPER);
}

/* 64 digits, or sha256: and such: names an image by what is in it, not by where it is. */
static int is_id(const char *text)
{
	return cx_digest_looks_like(text) || (strlen(text) == 64 && strspn(text, DIGIT "abcdef") == 64);
}

/* The host, and what is left of the text behind it. */
static int read_host(const char *text, struct cx_reference *r, const char **ret_rest, conex_error **err)
{
	struct piece first = before(text, "/");
	int e;

	if (!text[first.size] || !is_host(first)) {
		strcpy(r->host, HUB);
		*ret_rest = text;
		return 0;
	}
	e = check_host(first, text, err);
	if (e < 0)
		return e;
	if (is_text(first, HUB_BEFORE))
		first = (struct piece){ HUB, strlen(HUB) };
	memcpy(r->host, first.at, first.size);
	*ret_rest = strchr(text, '/') + 1;
	return 0;
}

static int read_repository(struct piece path, const char *text, struct cx_reference *r, conex_error **err)
{
	int official = !strcmp(r->host, HUB) && !memchr(path.at, '/', path.size), e = check_repository(path, text, err);
	size_t prefix = official ? strlen(OFFICIAL) : 0;

	if (e < 0)
		return e;
	if (prefix + path.size >= sizeof r->repository)
		return cx_image_refuse(err, -EINVAL, "image", text, "a name has at most %d letters", CX_REFERENCE_REPOSITORY - 1);
	memcpy(r->repository, OFFICIAL, prefix);
	memcpy(r->repository + prefix, path.at, path.size);
	return 0;
}

int cx_reference_equal(const struct cx_reference *a, const struct cx_reference *b)
{
	return !strcmp(a->host, b->host) && !strcmp(a->repository, b->repository) && !strcmp(a->tag, b->tag)
		&& cx_digest_equal(&a->digest, &b->digest);
}

int cx_reference_parse(const char *text, struct cx_reference *ret, conex_error **err)
{
	struct cx_reference r = { .host = "" };
	struct piece path, tag = { NULL, 0 };
	const char *rest;
	int e;

	if (!text || !*text)
		return cx_image_refuse(err, -EINVAL, "image", text, "write [registry/]name[:tag] or [registry/]name@digest");
	if (is_id(text))
		return cx_image_refuse(err, -EINVAL, "image", text, "this is a digest alone: write name@sha256:...");
	if ((e = read_host(text, &r, &rest, err)) < 0)
		return e;
	path = before(rest, ":@");
	if ((e = read_repository(path, text, &r, err)) < 0)
		return e;
	rest += path.size;
	if (*rest == ':') {
		tag = before(rest + 1, "@");
		if ((e = check_tag(tag, text, err)) < 0)
			return e;
		memcpy(r.tag, tag.at, tag.size);
		rest = tag.at + tag.size;
	}
	if (*rest == '@' && (e = cx_digest_parse(rest + 1, "image's digest", &r.digest, err)) < 0)
		return e;
	if (!*r.tag && !r.digest.algorithm)
		strcpy(r.tag, "latest");
	*ret = r;
	return 0;
}

/* ---- printing ---- */

static void print(const struct cx_reference *r, const char *host, const char *repository, char *to)
{
	to += sprintf(to, "%s%s%s", host, *host ? "/" : "", repository);
	if (*r->tag)
		to += sprintf(to, ":%s", r->tag);
	if (r->digest.algorithm) {
		*to++ = '@';
		cx_digest_print(&r->digest, to);
	}
}

void cx_reference_print(const struct cx_reference *r, char text[CX_REFERENCE_TEXT])
{
	print(r, r->host, r->repository, text);
}

/* "docker.io/a.b/c" has no short form: without docker.io it would be of a registry a.b. */
void cx_reference_familiar(const struct cx_reference *r, char text[CX_REFERENCE_TEXT])
{
	const char *repository = r->repository, *host = strcmp(r->host, HUB) ? r->host : "";
	size_t prefix = strlen(OFFICIAL);
	struct cx_reference again;

	if (!*host && !strncmp(repository, OFFICIAL, prefix) && !strchr(repository + prefix, '/'))
		repository += prefix;
	print(r, host, repository, text);
	if (cx_reference_parse(text, &again, NULL) < 0 || !cx_reference_equal(&again, r))
		print(r, r->host, r->repository, text);
}

void cx_reference_name(const struct cx_reference *r, char text[CX_REFERENCE_TEXT])
{
	sprintf(text, "%s/%s", r->host, r->repository);
}

void cx_reference_wanted(const struct cx_reference *r, char text[CX_DIGEST_TEXT])
{
	if (r->digest.algorithm)
		cx_digest_print(&r->digest, text);
	else
		strcpy(text, r->tag);
}
