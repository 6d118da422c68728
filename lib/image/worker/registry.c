/* Opens a registry: its endpoints, limits and ways; everything that is refused about options is refused here. */
#include "image/worker/registry-parts.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/path.h"
#include "image/refuse.h"

static int copy(char **to, const char *from)
{
	if (!from || !*from)
		return 0;
	*to = strdup(from);
	return *to ? 0 : -ENOMEM;
}

static int copy_list(char ***to, const char *const *from)
{
	size_t n = 0;

	while (from && from[n])
		n++;
	*to = calloc(n + 1, sizeof **to);
	for (size_t i = 0; *to && i < n; i++) {
		(*to)[i] = strdup(from[i]);
		if (!(*to)[i])
			return -ENOMEM;
	}
	return *to ? 0 : -ENOMEM;
}

/* ---- endpoints -------------------------------------------------------------------------------- */

static int bad_endpoint(conex_error **err, const char *url)
{
	return cx_image_refuse(err, -EINVAL, "mirror", url, "write https://HOST[:PORT][/PREFIX]");
}

/* What is behind the host, without slashes around, and one at its end. */
static char *prefix_of(const char *path)
{
	size_t size;
	char *prefix = NULL;

	path += strspn(path, "/");
	for (size = strlen(path); size && path[size - 1] == '/';)
		size--;
	if (asprintf(&prefix, "%.*s%s", (int)size, path, size ? "/" : "") < 0)
		return NULL;
	return prefix;
}

/* A prefix becomes a part of names: letters as these have them, no "..". */
static int good_prefix(const char *prefix)
{
	return strspn(prefix, "abcdefghijklmnopqrstuvwxyz0123456789._-/") == strlen(prefix) && !strstr(prefix, "..")
		&& !strstr(prefix, "//");
}

static int add_endpoint(struct cx_registry *r, const char *url, const char *host, conex_error **err)
{
	struct cx_endpoint *e = &r->endpoints[r->count];
	const char *start, *path;
	int code;

	r->count++;
	code = strpbrk(url, "?#@") ? -EINVAL : cx_url_origin(url, &e->origin);
	if (code == -ENOMEM)
		return cx_fail_memory(err);
	if (code < 0)
		return bad_endpoint(err, url);
	start = strstr(url, "://") + 3;
	path = start + strcspn(start, "/");
	e->host = host ? strdup(host) : strndup(start, (size_t)(path - start));
	e->prefix = prefix_of(path);
	if (!e->host || !e->prefix)
		return cx_fail_memory(err);
	return good_prefix(e->prefix) ? 0 : bad_endpoint(err, url);
}

static int add_mirror(struct cx_registry *r, const char *mirror, uint32_t flags, conex_error **err)
{
	cx_autofree char *url = NULL;
	const char *scheme = strstr(mirror, "://");

	if (scheme && !strncmp(mirror, "http://", 7) && !(flags & CX_REGISTRY_PLAIN_HTTP))
		return cx_image_refuse(err, -EINVAL, "mirror", mirror,
			"a mirror speaks https; it may be http:// only where plain HTTP is allowed");
	if (scheme && strncmp(mirror, "https://", 8) && strncmp(mirror, "http://", 7))
		return bad_endpoint(err, mirror);
	if (asprintf(&url, "%s%s", scheme ? "" : "https://", mirror) < 0) {
		url = NULL;
		return cx_fail_memory(err);
	}
	return add_endpoint(r, url, NULL, err);
}

/* docker.io is a name that people use; its registry answers elsewhere. */
static int add_itself(struct cx_registry *r, uint32_t flags, conex_error **err)
{
	const char *host = strcmp(r->host, "docker.io") && strcmp(r->host, "index.docker.io") ? r->host
		: "registry-1.docker.io";
	cx_autofree char *url = NULL;

	if (*host == '\0' || strpbrk(host, "/?#@ ") || strstr(host, "://"))
		return cx_image_refuse(err, -EINVAL, "registry", r->host, "write HOST or HOST:PORT");
	if (asprintf(&url, "%s://%s", flags & CX_REGISTRY_PLAIN_HTTP ? "http" : "https", host) < 0) {
		url = NULL;
		return cx_fail_memory(err);
	}
	return add_endpoint(r, url, r->host, err);
}

static int add_endpoints(struct cx_registry *r, const struct cx_registry_options *o, conex_error **err)
{
	size_t n = 0;
	int code = 0;

	while (o->mirrors && o->mirrors[n])
		n++;
	r->endpoints = calloc(n + 1, sizeof *r->endpoints);
	if (!r->endpoints)
		return cx_fail_memory(err);
	for (size_t i = 0; i < n && code == 0; i++)
		code = add_mirror(r, o->mirrors[i], o->flags, err);
	return code ? code : add_itself(r, o->flags, err);
}

/* ---- open and close --------------------------------------------------------------------------- */

static int usual(int value, int otherwise)
{
	return value > 0 ? value : otherwise;
}

static void set_http(struct cx_registry *r, const struct cx_registry_options *o)
{
	struct cx_http *h = &r->http;

	h->http_proxy = r->http_proxy;
	h->https_proxy = r->https_proxy;
	h->no_proxy = r->no_proxy;
	h->agent = r->agent ? r->agent : "conex/" PACKAGE_VERSION;
	h->connect_ms = usual(o->connect_ms, 30000);
	h->stall_ms = usual(o->stall_ms, 60000);
	if (o->deadline_ms > 0)
		h->deadline = cx_now_ns(CLOCK_MONOTONIC) + o->deadline_ms * INT64_C(1000000);
	h->progress = o->progress;
	h->data = o->data;
}

static int copy_options(struct cx_registry *r, const struct cx_registry_options *o)
{
	r->retries = usual(o->retries, 5);
	r->parallel = usual(o->parallel, 4);
	r->backoff_ms = usual(o->backoff_ms, 300);
	r->chunk = o->chunk;
	r->credentials = o->credentials;
	r->data = o->data;
	if (copy(&r->http_proxy, o->http_proxy) || copy(&r->https_proxy, o->https_proxy)
		|| copy(&r->no_proxy, o->no_proxy) || copy(&r->agent, o->agent) || copy(&r->ca, o->ca)
		|| copy(&r->client_cert, o->client_cert) || copy(&r->client_key, o->client_key)
		|| copy_list(&r->cert_dirs, o->cert_dirs))
		return -ENOMEM;
	r->host = strdup(o->host ? o->host : "");
	return r->host ? 0 : -ENOMEM;
}

int cx_registry_open(const struct cx_registry_options *o, struct cx_registry **ret, conex_error **err)
{
	struct cx_registry *r;
	int code;

	if (o->flags & ~CX_REGISTRY_PLAIN_HTTP)
		return cx_fail(err, CONEX_STAGE_IMAGE, -EINVAL, NULL, "CX_REGISTRY_PLAIN_HTTP, or none", "flags = %#x", o->flags);
	r = calloc(1, sizeof *r);
	if (!r || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(r);
		return cx_fail_memory(err);
	}
	if (copy_options(r, o) < 0 || !(r->http.multi = curl_multi_init()))
		code = cx_fail_memory(err);
	else
		code = add_endpoints(r, o, err);
	set_http(r, o);
	for (size_t i = 0; code == 0 && i < r->count; i++)      /* a broken certificate is said now */
		code = cx_registry_tls(r, r->endpoints[i].origin, err) ? 0 : -EINVAL;
	if (code < 0) {
		cx_registry_close(r);
		return code;
	}
	*ret = r;
	return 0;
}

void cx_registry_close(struct cx_registry *r)
{
	if (!r)
		return;
	curl_multi_cleanup(r->http.multi);
	cx_auth_free(r);
	cx_registry_tls_free(r->tls);
	for (size_t i = 0; i < r->count; i++) {
		free(r->endpoints[i].origin);
		free(r->endpoints[i].prefix);
		free(r->endpoints[i].host);
	}
	free(r->endpoints);
	for (size_t i = 0; r->cert_dirs && r->cert_dirs[i]; i++)
		free(r->cert_dirs[i]);
	free(r->cert_dirs);
	free(r->host);
	free(r->ca);
	free(r->client_cert);
	free(r->client_key);
	free(r->http_proxy);
	free(r->https_proxy);
	free(r->no_proxy);
	free(r->agent);
	free(r);
	curl_global_cleanup();
}

void cx_registry_cancel(struct cx_registry *r)
{
	atomic_store(&r->http.cancelled, 1);
	curl_multi_wakeup(r->http.multi);
}

void cx_registry_wake(struct cx_registry *r)
{
	atomic_store(&r->http.woken, 1);
	curl_multi_wakeup(r->http.multi);
}
