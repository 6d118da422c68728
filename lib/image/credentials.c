/* Reads the files that hold credentials of registries, for pulls and pushes that are about to start. */
#include "image/credentials.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/path.h"

#define FILE_MAX ((size_t)1 << 20)
#define DOCKER_SERVER "https://index.docker.io/v1/"     /* what Docker calls docker.io since its beginnings */

void cx_credentials_free(struct cx_credentials *c)
{
	cx_wipep(&c->user);
	cx_wipep(&c->password);
	cx_wipep(&c->identity);
	free(c->helper);
	free(c->server);
	*c = (struct cx_credentials){ 0 };
}

void cx_credentials_wipe(json_t *json)
{
	const char *key;
	json_t *one;
	size_t i;

	if (json_is_string(json))
		explicit_bzero((char *)json_string_value(json), json_string_length(json));
	json_object_foreach(json, key, one)
		cx_credentials_wipe(one);
	json_array_foreach(json, i, one)
		cx_credentials_wipe(one);
}

static int digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

long cx_credentials_decode(const char *text, char **ret)
{
	size_t size = strlen(text), pad = 0, n = 0;
	char *to;

	while (pad < 2 && pad < size && text[size - 1 - pad] == '=')
		pad++;
	if (size % 4)
		return -EINVAL;
	to = malloc(size / 4 * 3 + 1);
	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < size; i += 4) {
		uint32_t bits = 0;

		for (size_t k = i; k < i + 4; k++) {
			int d = k < size - pad ? digit(text[k]) : 0;

			if (d < 0) {
				free(to);
				return -EINVAL;
			}
			bits = bits << 6 | (uint32_t)d;
		}
		to[n++] = (char)(bits >> 16);
		to[n++] = (char)(bits >> 8);
		to[n++] = (char)bits;
	}
	n -= pad;
	to[n] = '\0';
	*ret = to;
	return (long)n;
}

/* ---- one entry -------------------------------------------------------------------------------- */

static int bad(conex_error **err, const char *file, const char *key, const char *what, const char *mend)
{
	return cx_fail(err, CONEX_STAGE_IMAGE, -EINVAL, what, mend, "%s: auths[\"%.100s\"]", file, key);
}

/* Copies a string; 0 when there is none or an empty one. */
static int copy(const json_t *from, const char *name, char **ret)
{
	const char *text = json_string_value(json_object_get(from, name));

	if (!text || !*text)
		return 0;
	*ret = strdup(text);
	return *ret ? 1 : -ENOMEM;
}

/* "auth": base64 of USER:PASSWORD, which Docker sometimes ends with zeros. */
static int split(const char *auth, const char *file, const char *key, struct cx_credentials *c, conex_error **err)
{
	cx_cleanup(cx_wipep) char *text = NULL;
	long n = cx_credentials_decode(auth, &text);
	char *colon = n > 0 ? strchr(text, ':') : NULL;

	if (n == -ENOMEM)
		return cx_fail_memory(err);
	if (!colon)
		return bad(err, file, key, "\"auth\" isn't base64 of USER:PASSWORD", "log in to the registry again");
	*colon = '\0';
	cx_wipep(&c->user);
	cx_wipep(&c->password);
	c->user = strdup(text);
	c->password = strdup(colon + 1);
	return c->user && c->password ? 1 : cx_fail_memory(err);
}

/* 1: it names somebody. Docker leaves empty entries where a helper knows more. */
static int entry(const json_t *from, const char *file, const char *key, struct cx_credentials *ret, conex_error **err)
{
	cx_autocredentials c = { 0 };
	const char *auth = json_string_value(json_object_get(from, "auth"));
	int r, found;

	if (!json_is_object(from))
		return bad(err, file, key, NULL, "write an object: {\"auth\": \"...\"}");
	if ((found = copy(from, "identitytoken", &c.identity)) < 0 || copy(from, "username", &c.user) < 0
		|| (r = copy(from, "password", &c.password)) < 0)
		return cx_fail_memory(err);
	if (r && !c.user)
		return bad(err, file, key, "a password without a username", "log in to the registry again");
	found |= r;
	if (auth && *auth) {
		r = split(auth, file, key, &c, err);
		if (r < 0)
			return r;
		/* With an identity token the user is "<token>" or nobody, and the password is empty. */
		found = 1;
	}
	if (!found)
		return 0;
	*ret = c;
	c = (struct cx_credentials){ 0 };
	return 1;
}

/* ---- which entry ------------------------------------------------------------------------------ */

static const char *one_name(const char *host, size_t size)
{
	static const char *const names[] = { "docker.io", "index.docker.io", "registry-1.docker.io" };

	for (size_t i = 0; i < CX_ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == size && !strncasecmp(host, names[i], size))
			return names[0];
	return NULL;
}

static int same_host(const char *a, size_t size, const char *host)
{
	if (one_name(a, size))
		return one_name(host, strlen(host)) != NULL;
	return strlen(host) == size && !strncasecmp(a, host, size);
}

/* Docker's old keys are URLs: https://index.docker.io/v1/, https://host:5000. Not those of a namespace. */
static int old_key(const char *key, const char *host)
{
	static const char *const ends[] = { "", "/", "/v1", "/v1/", "/v2", "/v2/" };
	const char *start = strstr(key, "://");
	size_t size;

	if (start && strncmp(key, "https://", 8) && strncmp(key, "http://", 7))
		return 0;
	start = start ? start + 3 : key;
	size = strcspn(start, "/");
	for (size_t i = 0; i < CX_ARRAY_SIZE(ends); i++)
		if (!strcmp(start + size, ends[i]))
			return same_host(start, size, host);
	return 0;
}

/* From host/a/b/c over host/a/b to host, then the old keys. 1, 0, negative. */
static int in_auths(const json_t *auths, const char *file, const char *host, const char *repository,
	struct cx_credentials *ret, conex_error **err)
{
	cx_autofree char *key = NULL;
	const char *old;
	char *slash;
	json_t *value;
	int r;

	if (asprintf(&key, "%s%s%s", host, repository && *repository ? "/" : "", repository ? repository : "") < 0) {
		key = NULL;
		return cx_fail_memory(err);
	}
	do {
		value = json_object_get(auths, key);
		if (value && (r = entry(value, file, key, ret, err)))
			return r;
		slash = strrchr(key, '/');
		if (slash)
			*slash = '\0';
	} while (slash);
	json_object_foreach((json_t *)auths, old, value) {
		if (old_key(old, host) && (r = entry(value, file, old, ret, err)))
			return r;
	}
	return 0;
}

/* The helper's name becomes part of a program's: nothing that leads elsewhere. */
static int helper(const char *name, const char *file, const char *where, const char *host,
	struct cx_credentials *ret, conex_error **err)
{
	if (!*name || *name == '.' || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
			!= strlen(name))
		return cx_fail(err, CONEX_STAGE_IMAGE, -EINVAL, NULL, "write the NAME of a program docker-credential-NAME",
			"%s: %s = \"%.80s\"", file, where, name);
	ret->helper = strdup(name);
	ret->server = strdup(one_name(host, strlen(host)) ? DOCKER_SERVER : host);
	if (ret->helper && ret->server)
		return 1;
	cx_credentials_free(ret);
	return cx_fail_memory(err);
}

static int in_helpers(const json_t *helpers, const char *file, const char *host, struct cx_credentials *ret,
	conex_error **err)
{
	const char *key, *name;
	json_t *value;

	json_object_foreach((json_t *)helpers, key, value) {
		name = json_string_value(value);
		/* "" turns the store off for this host */
		if (name && *name && old_key(key, host))
			return helper(name, file, "credHelpers", host, ret, err);
	}
	return 0;
}

static int load(const char *text, size_t size, const char *file, json_t **ret, conex_error **err)
{
	json_error_t where;
	char what[64];

	*ret = json_loadb(text, size, 0, &where);
	if (json_is_object(*ret))
		return 0;
	/* jansson's own words quote the text, which is secret */
	snprintf(what, sizeof what, "line %d, column %d", where.line, where.column);
	if (*ret)
		json_decref(*ret);
	*ret = NULL;
	return cx_fail(err, CONEX_STAGE_IMAGE, -EINVAL, what, "it must be one JSON object", "%s", file);
}

static void decref(json_t **json)
{
	cx_credentials_wipe(*json);
	json_decref(*json);
}

int cx_credentials_parse(const char *text, size_t size, const char *file, const char *host,
	const char *repository, struct cx_credentials *ret, conex_error **err)
{
	cx_cleanup(decref) json_t *root = NULL;
	const char *store;
	int r = load(text, size, file, &root, err);

	if (r < 0)
		return r;
	r = in_helpers(json_object_get(root, "credHelpers"), file, host, ret, err);
	if (!r)
		r = in_auths(json_object_get(root, "auths"), file, host, repository, ret, err);
	store = json_string_value(json_object_get(root, "credsStore"));
	if (!r && store && *store)
		r = helper(store, file, "credsStore", host, ret, err);
	return r;
}

int cx_credentials_answer(const char *text, size_t size, const char *name, struct cx_credentials *ret,
	conex_error **err)
{
	cx_cleanup(decref) json_t *root = NULL;
	cx_autocredentials c = { 0 };
	char file[128];
	int r, s;

	snprintf(file, sizeof file, "answer of docker-credential-%.80s", name);
	r = load(text, size, file, &root, err);
	if (r < 0)
		return r;
	if ((r = copy(root, "Username", &c.user)) < 0 || (s = copy(root, "Secret", &c.password)) < 0)
		return cx_fail_memory(err);
	if (!r || !s)
		return cx_fail(err, CONEX_STAGE_IMAGE, -EINVAL, NULL, "it must have \"Username\" and \"Secret\"", "%s", file);
	if (!strcmp(c.user, "<token>"))
		c.identity = cx_steal_ptr(&c.password);
	*ret = c;
	c = (struct cx_credentials){ 0 };
	return 1;
}

/* ---- the files -------------------------------------------------------------------------------- */

/* 1, 0 (nothing known, or no such file), negative. */
static int in_file(const char *path, int must, const char *host, const char *repository, struct cx_credentials *ret,
	conex_error **err)
{
	char *text = NULL;
	ssize_t n = cx_file_load(AT_FDCWD, path, FILE_MAX, &text);
	int r;

	if (!must && (n == -ENOENT || n == -ENOTDIR))
		return 0;
	if (n < 0)
		return cx_fail(err, CONEX_STAGE_IMAGE, (int)n, "open", NULL, "%s", path);
	r = cx_credentials_parse(text, (size_t)n, path, host, repository, ret, err);
	explicit_bzero(text, (size_t)n);
	free(text);
	return r;
}

int cx_credentials_find(const struct cx_credentials_places *p, const char *host, const char *repository,
	struct cx_credentials *ret, conex_error **err)
{
	const struct { const char *directory, *name; } files[] = {
		{ p->runtime_dir, "containers/auth.json" },
		{ p->runtime_dir ? NULL : p->run_file, NULL },
		{ p->config_home, "containers/auth.json" },
		{ p->config_home ? NULL : p->home, ".config/containers/auth.json" },
		{ p->docker_config, "config.json" },
		{ p->docker_config ? NULL : p->home, ".docker/config.json" },
	};
	int r;

	if (p->file || p->registry_auth_file)
		return in_file(p->file ? p->file : p->registry_auth_file, 1, host, repository, ret, err);
	for (size_t i = 0; i < CX_ARRAY_SIZE(files); i++) {
		cx_autofree char *path = NULL;

		if (!files[i].directory)
			continue;
		if (asprintf(&path, "%s%s%s", files[i].directory, files[i].name ? "/" : "", files[i].name ? files[i].name : "") < 0) {
			path = NULL;
			return cx_fail_memory(err);
		}
		r = in_file(path, 0, host, repository, ret, err);
		if (r)
			return r;
	}
	return 0;
}
