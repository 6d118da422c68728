/* Which certificates count for a host: the options' and those in containers-certs.d(5) directories, HOST[:PORT] with
 * *.crt (CAs), NAME.cert and NAME.key (who we are). Read when a host is first spoken to. */
#include "image/worker/registry-parts.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/path.h"

#define CA_MAX ((size_t)4 << 20)

void cx_registry_tls_free(struct cx_tls *t)
{
	struct cx_tls *next;

	for (; t; t = next) {
		next = t->next;
		cx_str_free(&t->ca);
		free(t->origin);
		free(t->cert);
		free(t->key);
		free(t);
	}
}

static int add_ca(struct cx_tls *t, const char *path, conex_error **err)
{
	cx_autofree char *text = NULL;
	ssize_t n = cx_file_load(AT_FDCWD, path, CA_MAX, &text);

	if (n < 0)
		return cx_fail(err, CONEX_STAGE_IMAGE, (int)n, "open", NULL, "CA certificates %s", path);
	if (!strstr(text, "-----BEGIN"))
		return cx_fail(err, CONEX_STAGE_IMAGE, -EINVAL, "no certificate", "write PEM: -----BEGIN CERTIFICATE-----",
			"CA certificates %s", path);
	cx_str_add(&t->ca, text, (size_t)n);
	return cx_str_add(&t->ca, "\n", 1) < 0 ? cx_fail_memory(err) : 0;
}

/* Our certificate and its key, which lies beside it. */
static int set_client(struct cx_tls *t, const char *cert, const char *key, conex_error **err)
{
	if (access(cert, R_OK) < 0 || access(key, R_OK) < 0)
		return cx_fail_errno(err, CONEX_STAGE_IMAGE, "access", "a client's certificate needs its key beside it: "
			"NAME.cert, NAME.key", "%s", access(cert, R_OK) < 0 ? cert : key);
	free(t->cert);
	free(t->key);
	t->cert = strdup(cert);
	t->key = strdup(key);
	return t->cert && t->key ? 0 : cx_fail_memory(err);
}

static const char *ending(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot ? dot : "";
}

static int add_file(struct cx_tls *t, const char *directory, const char *name, conex_error **err)
{
	cx_autofree char *path = NULL, *key = NULL;
	const char *end = ending(name);

	if (strcmp(end, ".crt") && strcmp(end, ".cert"))
		return 0;
	if (asprintf(&path, "%s/%s", directory, name) < 0) {
		path = NULL;
		return cx_fail_memory(err);
	}
	if (!strcmp(end, ".crt"))
		return add_ca(t, path, err);
	if (asprintf(&key, "%.*s.key", (int)(strlen(path) - strlen(end)), path) < 0) {
		key = NULL;
		return cx_fail_memory(err);
	}
	return set_client(t, path, key, err);
}

/* 1: the directory is there; 0: it isn't. */
static int add_directory(struct cx_tls *t, const char *above, const char *host, size_t size, conex_error **err)
{
	cx_autofree char *path = NULL;
	struct dirent **list = NULL;
	int n, r = 0;

	if (asprintf(&path, "%s/%.*s", above, (int)size, host) < 0) {
		path = NULL;
		return cx_fail_memory(err);
	}
	n = scandir(path, &list, NULL, alphasort);
	if (n < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0
			: cx_fail_errno(err, CONEX_STAGE_IMAGE, "open", NULL, "%s", path);
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = add_file(t, path, list[i]->d_name, err);
		free(list[i]);
	}
	free(list);
	return r < 0 ? r : 1;
}

/* HOST:PORT, then HOST when that is the usual port. */
static int add_directories(struct cx_registry *r, struct cx_tls *t, conex_error **err)
{
	const char *host = strstr(t->origin, "://") + 3, *port = strrchr(host, ':');
	int code, usual = !strcmp(port, ":443");

	for (char **above = r->cert_dirs; *above; above++) {
		code = add_directory(t, *above, host, strlen(host), err);
		if (code == 0 && usual)
			code = add_directory(t, *above, host, (size_t)(port - host), err);
		if (code)
			return code < 0 ? code : 0;
	}
	return 0;
}

static int is_endpoint(const struct cx_registry *r, const char *origin)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->endpoints[i].origin && !strcmp(r->endpoints[i].origin, origin))
			return 1;
	return 0;
}

/* The system's certificates lie in a file and a directory; ours take the file's place only. Where curl knows no
 * directory, the file is added to ours. */
static int keep_system(struct cx_tls *t, conex_error **err)
{
	const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);

	if (!t->ca.size || (v->capath && *v->capath) || !v->cainfo || access(v->cainfo, R_OK) < 0)
		return 0;
	return add_ca(t, v->cainfo, err);
}

static int fill(struct cx_registry *r, struct cx_tls *t, conex_error **err)
{
	int code = 0;

	if (strncmp(t->origin, "https:", 6))
		return 0;
	if (r->ca)
		code = add_ca(t, r->ca, err);
	if (code == 0)
		code = add_directories(r, t, err);
	if (code == 0 && r->client_cert && is_endpoint(r, t->origin))
		code = set_client(t, r->client_cert, r->client_key ? r->client_key : r->client_cert, err);
	return code ? code : keep_system(t, err);
}

const struct cx_tls *cx_registry_tls(struct cx_registry *r, const char *url, conex_error **err)
{
	cx_autofree char *origin = NULL;
	struct cx_tls *t;
	int code = cx_url_origin(url, &origin);

	if (code < 0) {
		cx_fail(err, CONEX_STAGE_IMAGE, code, NULL, NULL, "URL %.200s", url);
		return NULL;
	}
	for (t = r->tls; t; t = t->next)
		if (!strcmp(t->origin, origin))
			return t;
	t = calloc(1, sizeof *t);
	if (!t) {
		cx_fail_memory(err);
		return NULL;
	}
	t->origin = cx_steal_ptr(&origin);
	if (fill(r, t, err) < 0) {
		cx_registry_tls_free(t);
		return NULL;
	}
	t->next = r->tls;
	r->tls = t;
	return t;
}
