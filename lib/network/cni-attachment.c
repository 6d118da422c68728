/* What is on file of an interface that CNI plugins make: for whoever undoes it, and in libcni's form for others. */
#include "network/cni.h"
#include "base/path.h"
#include "base/str.h"
#include "spec/spec.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

enum { FILE_BYTES = 3 * CX_CNI_BYTES, PAUSE_MS = 5 };

void cx_cni_clear(struct cx_cni *a)
{
	json_decref(a->root);
	a->root = NULL;
	cx_freep(&a->file);
}

const json_t *cx_cni_list(const struct cx_cni *a)
{
	return json_object_get(a->root, "config");
}

size_t cx_cni_count(const struct cx_cni *a)
{
	return json_array_size(json_object_get(cx_cni_list(a), "plugins"));
}

/* ---- ours ---- */

static char *beside(const struct cx_cni *a, const char *suffix)
{
	char *path;

	return asprintf(&path, "%s%s", a->file, suffix) < 0 ? NULL : path;
}

static int write_whole(const char *path, const char *text)
{
	cx_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	size_t size = strlen(text), done = 0;

	while (fd >= 0 && done < size) {
		ssize_t n = write(fd, text + done, size - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return fd < 0 ? -errno : 0;
}

int cx_cni_save(const struct cx_cni *a)
{
	cx_autofree char *text = json_dumps(a->root, JSON_COMPACT), *fresh = beside(a, ".new");
	int r = text && fresh ? write_whole(fresh, text) : -ENOMEM;

	if (r == 0 && rename(fresh, a->file) < 0)
		r = -errno;
	if (r < 0 && fresh)
		unlink(fresh);
	return r;
}

/* Written by us, and still looked at: half of it would be run as root. */
static int is_whole(const json_t *root)
{
	static const char *const texts[] = { "containerId", "ifName", "netns", "path" };

	for (size_t i = 0; i < CX_ARRAY_SIZE(texts); i++)
		if (!json_is_string(json_object_get(root, texts[i])))
			return 0;
	return cx_cni_check_list(json_object_get(root, "config"), "config", NULL) == 0;
}

int cx_cni_load(const char *file, struct cx_cni *ret)
{
	cx_autofree char *text = NULL;
	int r = (int)cx_file_load(AT_FDCWD, file, FILE_BYTES, &text);

	*ret = (struct cx_cni){ NULL, NULL };
	if (r >= 0)
		r = cx_spec_parse_json(text, file, &ret->root, NULL) < 0 || !is_whole(ret->root) ? -EBADMSG : 0;
	if (r == 0 && !(ret->file = strdup(file)))
		r = -ENOMEM;
	if (r < 0)
		cx_cni_clear(ret);
	return r;
}

/* Who holds it open may still be at work: a plugin, and what that has started. */
int cx_cni_hold(const struct cx_cni *a)
{
	cx_autofree char *path = beside(a, ".run");
	cx_autoclose int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;

	if (!path)
		return -ENOMEM;
	if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) < 0 || futimens(fd, NULL) < 0)
		return -errno;
	return cx_steal_fd(&fd);
}

/* Whoever was to kill it at its time-out may be gone. */
static int is_late(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0
		&& cx_now_ns(CLOCK_REALTIME) - st.st_mtim.tv_sec * INT64_C(1000000000) > CX_CNI_PLUGIN_MS * INT64_C(1000000);
}

int cx_cni_wait_idle(const struct cx_cni *a, int timeout_ms)
{
	cx_autofree char *path = beside(a, ".run");
	cx_autoclose int fd = path ? open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -1;

	for (int waited = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && !is_late(fd); waited += PAUSE_MS) {
		if (waited >= timeout_ms)
			return -EBUSY;
		poll(NULL, 0, PAUSE_MS);
	}
	return path ? 0 : -ENOMEM;
}

/* ---- libcni's ---- */

static char *cache_path(const struct cx_cni *a)
{
	char *path;

	return asprintf(&path, CX_CNI_RESULTS "/%s-%s-%s", cx_json_text(a->root, "config.name"),
		cx_json_text(a->root, "containerId"), cx_json_text(a->root, "ifName")) < 0 ? NULL : path;
}

/* Base64 (RFC 4648): how Go writes bytes into JSON. */
static char *base64(const char *text)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = (const unsigned char *)text;
	size_t n = strlen(text);
	char *to = malloc((n + 2) / 3 * 4 + 1), *at = to;

	for (size_t i = 0; to && i < n; i += 3) {
		uint32_t bits = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);

		*at++ = letters[bits >> 18];
		*at++ = letters[bits >> 12 & 63];
		*at++ = i + 1 < n ? letters[bits >> 6 & 63] : '=';
		*at++ = i + 2 < n ? letters[bits & 63] : '=';
	}
	if (to)
		*at = '\0';
	return to;
}

int cx_cni_cache(const struct cx_cni *a)
{
	cx_autofree char *list = json_dumps(cx_cni_list(a), JSON_COMPACT), *bytes = list ? base64(list) : NULL;
	cx_autofree char *path = cache_path(a), *text = NULL;
	json_t *capabilities = json_object_get(a->root, "capabilityArgs"), *result = json_object_get(a->root, "result");
	json_t *root = bytes ? json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:[[s,s]]}", "kind", "cniCacheV1",
		"containerId", cx_json_text(a->root, "containerId"), "config", bytes, "ifName", cx_json_text(a->root, "ifName"),
		"networkName", cx_json_text(a->root, "config.name"), "netns", cx_json_text(a->root, "netns"),
		"cniArgs", "IgnoreUnknown", "1") : NULL;
	int r = root && path ? 0 : -ENOMEM;

	if (r == 0 && json_object_size(capabilities))
		json_object_set(root, "capabilityArgs", capabilities);
	if (r == 0 && result)
		json_object_set(root, "result", result);
	text = r == 0 ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	if (r == 0)
		r = text ? cx_mkdirs(AT_FDCWD, CX_CNI_RESULTS, 0700) : -ENOMEM;
	return r == 0 ? write_whole(path, text) : r;
}

/* Ours last: as long as it is there, the next one can finish this. */
int cx_cni_sweep(const char *file)
{
	const struct cx_cni a = { NULL, (char *)file };
	cx_autofree char *fresh = beside(&a, ".new"), *run = beside(&a, ".run");

	if (!fresh || !run)
		return -ENOMEM;
	unlink(fresh);
	unlink(run);
	return unlink(file) < 0 && errno != ENOENT ? -errno : 0;
}

int cx_cni_forget(const struct cx_cni *a)
{
	cx_autofree char *cache = cache_path(a);

	if (!cache)
		return -ENOMEM;
	unlink(cache);
	return cx_cni_sweep(a->file);
}
