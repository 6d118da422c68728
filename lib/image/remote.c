/* Describes a registry to the worker: what the caller's options, the environment and the files of credentials say. That the
 * host's environment counts is an exception, since proxies, and who we are, are told there. */
#include "image/remote.h"
#include "base/error.h"
#include "image/credentials.h"
#include "image/helper.h"

#include <stdio.h>
#include <string.h>

/* ---- the ways ---- */

static int refuse_mirror(size_t n, const char *mirror, const char *mend, conex_error **err)
{
	char where[64];

	snprintf(where, sizeof where, "conex_image_options.mirrors[%zu]", n);
	return cx_refuse(err, -EINVAL, where, mirror, "%s", mend);
}

/* What worker/registry.c takes as one; it looks once more. */
static int check_mirror(size_t n, const char *mirror, uint64_t flags, conex_error **err)
{
	const char *scheme = strstr(mirror, "://"), *host = scheme ? scheme + 3 : mirror, *path = host + strcspn(host, "/");

	if (strchr(mirror, '@'))        /* not shown: it may be a password */
		return refuse_mirror(n, NULL, "who we are there goes into a file of credentials, not into the URL", err);
	if (scheme && strncmp(mirror, "https://", 8) && strncmp(mirror, "http://", 7))
		return refuse_mirror(n, mirror, "write https://HOST[:PORT][/PREFIX]", err);
	if (scheme && !strncmp(mirror, "http://", 7) && !(flags & CONEX_IMAGE_PLAIN_HTTP))
		return refuse_mirror(n, mirror, "http:// takes CONEX_IMAGE_PLAIN_HTTP", err);
	if (path == host || strpbrk(host, "?# \\") || strstr(path, "..") || strstr(path + strspn(path, "/"), "//")
	    || path[strspn(path, "abcdefghijklmnopqrstuvwxyz0123456789._-/")])
		return refuse_mirror(n, mirror, "write https://HOST[:PORT][/PREFIX]", err);
	return 0;
}

static int put_mirrors(const struct cx_verb *v, json_t *remote, conex_error **err)
{
	json_t *list = json_array();
	int r = list ? 0 : cx_fail_memory(err);

	for (size_t i = 0; r == 0 && v->o.mirrors && v->o.mirrors[i]; i++) {
		r = check_mirror(i, v->o.mirrors[i], v->o.flags, err);
		if (r == 0 && json_array_append_new(list, json_string(v->o.mirrors[i])) < 0)
			r = refuse_mirror(i, NULL, "write it as UTF-8", err);
	}
	if (r == 0 && json_object_set(remote, "mirrors", list) < 0)
		r = cx_fail_memory(err);
	json_decref(list);
	return r;
}

static const char *either(const char *upper, const char *lower)
{
	const char *value = secure_getenv(upper);

	return value && *value ? value : secure_getenv(lower);
}

/* Nobody means this machine's own registries when they set a proxy. */
#define OURSELVES "localhost,127.0.0.1,127.0.0.0/8,::1"

/* In a CGI program HTTP_PROXY is whatever a client's "Proxy:" header says. */
static int put_proxies(json_t *remote, conex_error **err)
{
	const char *http = secure_getenv("REQUEST_METHOD") ? secure_getenv("http_proxy") : either("HTTP_PROXY", "http_proxy");
	const char *https = either("HTTPS_PROXY", "https_proxy"), *no = either("NO_PROXY", "no_proxy");
	cx_autofree char *none = NULL;
	json_t *all;

	if (asprintf(&none, "%s%s%s", no ? no : "", no && !strcmp(no, "*") ? "" : no && *no ? "," : "",
		     no && !strcmp(no, "*") ? "" : OURSELVES) < 0) {
		none = NULL;
		return cx_fail_memory(err);
	}
	all = json_pack("{s:s*, s:s*, s:s}", "http", http, "https", https, "no", none);
	return all && json_object_set_new(remote, "proxies", all) == 0 ? 0
		: cx_refuse(err, -EINVAL, "HTTP_PROXY, HTTPS_PROXY or NO_PROXY", NULL, "write it as UTF-8");
}

/* containers-certs.d(5): of these the first that has a directory for the host. */
static int put_certificates(json_t *remote, conex_error **err)
{
	const char *config = secure_getenv("XDG_CONFIG_HOME"), *home = secure_getenv("HOME");
	json_t *list = json_array();
	int r = list ? 0 : -1;

	if (r == 0 && config && *config == '/')
		r = json_array_append_new(list, json_sprintf("%s/containers/certs.d", config));
	else if (r == 0 && home && *home == '/')
		r = json_array_append_new(list, json_sprintf("%s/.config/containers/certs.d", home));
	if (r == 0)
		r = json_array_append_new(list, json_string("/etc/containers/certs.d"))
			| json_array_append_new(list, json_string("/etc/docker/certs.d"));
	if (r == 0)
		r = json_object_set(remote, "certificates", list);
	json_decref(list);
	return r ? cx_fail_memory(err) : 0;
}

/* ---- who we are ---- */

/* An entry of "who"; the helper's answer becomes its words later. */
static int put_who(struct cx_verb *v, json_t *list, const char *host, const struct cx_credentials *c, conex_error **err)
{
	json_t *one = json_pack("{s:s, s:s*, s:s*, s:s*}", "host", host, "user", c->user, "password", c->password, "identity",
		c->identity);

	if (!one || json_array_append_new(list, one) < 0)
		return cx_fail(err, CONEX_STAGE_IMAGE, -EINVAL, NULL, "write them as UTF-8", "the credentials for %s", host);
	return c->helper ? cx_helper_ask(&v->job.before, c, one, err) : 0;
}

static void find_places(const struct cx_verb *v, char run[64], struct cx_credentials_places *to)
{
	snprintf(run, 64, "/run/containers/%u/auth.json", (unsigned)geteuid());
	*to = (struct cx_credentials_places){ .file = v->o.auth_file, .registry_auth_file = secure_getenv("REGISTRY_AUTH_FILE"),
		.runtime_dir = secure_getenv("XDG_RUNTIME_DIR"), .run_file = run, .config_home = secure_getenv("XDG_CONFIG_HOME"),
		.docker_config = secure_getenv("DOCKER_CONFIG"), .home = secure_getenv("HOME") };
}

static int known(const struct cx_verb *v, const char *host, const char *repository, struct cx_credentials *ret,
	conex_error **err)
{
	struct cx_credentials_places places;
	char run[64];

	find_places(v, run, &places);
	return cx_credentials_find(&places, host, repository, ret, err);
}

/* The caller's user is this registry's: no mirror's business. */
static int put_registry(struct cx_verb *v, json_t *list, conex_error **err)
{
	cx_autocredentials c = { 0 };
	int r;

	if (v->o.user) {
		c.user = strdup(v->o.user);
		c.password = strdup(v->o.password);
		r = c.user && c.password ? 1 : cx_fail_memory(err);
	} else {
		r = known(v, v->name.host, v->name.repository, &c, err);
	}
	return r > 0 ? put_who(v, list, v->name.host, &c, err) : r;
}

static int put_mirror(struct cx_verb *v, json_t *list, const char *mirror, conex_error **err)
{
	const char *scheme = strstr(mirror, "://"), *host = scheme ? scheme + 3 : mirror, *path = host + strcspn(host, "/");
	cx_autofree char *name = strndup(host, (size_t)(path - host)), *repository = NULL;
	cx_autocredentials c = { 0 };
	size_t size;
	int r;

	path += strspn(path, "/");
	for (size = strlen(path); size && path[size - 1] == '/';)
		size--;
	if (!name || asprintf(&repository, "%.*s%s%s", (int)size, path, size ? "/" : "", v->name.repository) < 0)
		return cx_fail_memory(err);
	r = known(v, name, repository, &c, err);
	return r > 0 ? put_who(v, list, name, &c, err) : r;
}

static int put_everybody(struct cx_verb *v, json_t *remote, conex_error **err)
{
	json_t *list = json_array();
	int r = list && json_object_set(remote, "who", list) == 0 ? put_registry(v, list, err) : cx_fail_memory(err);

	for (size_t i = 0; r == 0 && v->o.mirrors && v->o.mirrors[i]; i++)
		r = put_mirror(v, list, v->o.mirrors[i], err);
	json_decref(list);
	return r;
}

int cx_remote_describe(struct cx_verb *v, conex_error **err)
{
	json_t *remote = json_pack("{s:b}", "plain", (v->o.flags & CONEX_IMAGE_PLAIN_HTTP) != 0);
	int r = remote && json_object_set(v->job.json, "remote", remote) == 0 ? put_mirrors(v, remote, err) : cx_fail_memory(err);

	if (r == 0)
		r = put_proxies(remote, err);
	if (r == 0)
		r = put_certificates(remote, err);
	if (r == 0)
		r = put_everybody(v, remote, err);
	json_decref(remote);
	if (r < 0)
		cx_job_task_clear(&v->job);
	return r;
}
