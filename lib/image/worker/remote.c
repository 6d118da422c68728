/* Opens the registry that the task describes. It holds no secrets of its own: they stay in the task. */
#include "image/worker/remote.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const json_t *remote(const struct cx_worker *w, const char *key)
{
	return json_object_get(json_object_get(w->task, "remote"), key);
}

static const char *text(const json_t *from, const char *key)
{
	return json_string_value(json_object_get(from, key));
}

/* ---- what the lock leaves ---- */

static int keep(int *fds, int n, int fd)
{
	if (fd < 0)
		return n;
	if (n == CX_REMOTE_FILES) {
		close(fd);
		return n;
	}
	fds[n] = fd;
	return n + 1;
}

/* Distributions link a CA from where its package has it; others the directory of one name to that of another. */
static int keep_host(int *fds, int n, int directory, const char *host)
{
	int at = openat(directory, host, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = at >= 0 ? fdopendir(at) : NULL;
	struct dirent *e;
	struct stat st;

	if (!d && at >= 0)
		close(at);
	if (d && fstatat(directory, host, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
		n = keep(fds, n, openat(directory, host, O_PATH | O_DIRECTORY | O_CLOEXEC));
	while (d && (e = readdir(d)))
		if (fstatat(at, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode)
		    && fstatat(at, e->d_name, &st, 0) == 0 && S_ISREG(st.st_mode))
			n = keep(fds, n, openat(at, e->d_name, O_PATH | O_CLOEXEC));
	if (d)
		closedir(d);
	return n;
}

int cx_remote_files(const struct cx_worker *w, int fds[CX_REMOTE_FILES])
{
	const json_t *path;
	int n = 0;
	size_t i;

	json_array_foreach((json_t *)remote(w, "certificates"), i, path) {
		DIR *d = opendir(json_string_value(path));
		struct dirent *e;

		if (!d)
			continue;
		n = keep(fds, n, open(json_string_value(path), O_PATH | O_CLOEXEC));
		while ((e = readdir(d)))
			if (e->d_name[0] != '.')
				n = keep_host(fds, n, dirfd(d), e->d_name);
		closedir(d);
	}
	return n;
}

/* ---- who we are ---- */

static int copy(char **to, const char *from)
{
	if (!from)
		return 0;
	*to = strdup(from);
	return *to ? 0 : -ENOMEM;
}

static int who(void *data, const char *host, struct cx_credentials *ret, conex_error **err)
{
	const struct cx_worker *w = data;
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)remote(w, "who"), i, one) {
		struct cx_credentials c = { 0 };

		if (!text(one, "host") || strcmp(text(one, "host"), host))
			continue;
		if (copy(&c.user, text(one, "user")) || copy(&c.password, text(one, "password"))
		    || copy(&c.identity, text(one, "identity"))) {
			cx_credentials_free(&c);
			return cx_fail_memory(err);
		}
		*ret = c;
		return 1;
	}
	return 0;
}

/* ---- the registry ---- */

static void count(void *data, uint64_t bytes)
{
	struct cx_worker *w = data;

	__atomic_add_fetch(&w->done, bytes, __ATOMIC_RELAXED);
	cx_worker_tell(w);
}

/* NULL-ended (free); the texts are the task's. */
static const char **list(const json_t *from)
{
	const char **to = calloc(json_array_size(from) + 1, sizeof *to);
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)from, i, one)
		if (to)
			to[i] = json_string_value(one) ? json_string_value(one) : "";
	return to;
}

int cx_remote_open(struct cx_worker *w, const struct cx_reference *name, struct cx_registry **ret, conex_error **err)
{
	const json_t *proxies = remote(w, "proxies");
	cx_autofree const char **mirrors = list(remote(w, "mirrors")), **certificates = list(remote(w, "certificates"));
	struct cx_registry_options o = { .host = name->host, .mirrors = mirrors, .cert_dirs = certificates,
		.flags = json_is_true(remote(w, "plain")) ? CX_REGISTRY_PLAIN_HTTP : 0,
		.http_proxy = text(proxies, "http"), .https_proxy = text(proxies, "https"), .no_proxy = text(proxies, "no"),
		.credentials = who, .progress = count, .data = w };

	if (!mirrors || !certificates)
		return cx_fail_memory(err);
	return cx_registry_open(&o, ret, err);
}
