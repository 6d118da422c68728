/* One file of one cgroup: read, write, numbers; every other file of lib/cgroup goes through here. */
#include "cgroup/internal.h"
#include "base/kernel.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

int cx_cgroup_file(char *to, size_t size, const char *path, const char *file)
{
	int n = *path ? snprintf(to, size, "%s/%s", path, file)
		: snprintf(to, size, "%s", file);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int cx_cgroup_open(const struct cx_hierarchy *h, const char *path, const char *file,
	int flags)
{
	char name[PATH_MAX];
	int fd = cx_cgroup_file(name, sizeof name, path, file);

	if (fd == 0)
		fd = openat(h->fd, name, flags | O_CLOEXEC);
	return fd == -1 ? -errno : fd;
}

ssize_t cx_cgroup_read(const struct cx_hierarchy *h, const char *path, const char *file,
	char *to, size_t size)
{
	char name[PATH_MAX];
	int r = cx_cgroup_file(name, sizeof name, path, file);

	return r < 0 ? r : cx_file_read(h->fd, name, to, size);
}

int cx_cgroup_write(const struct cx_hierarchy *h, const char *path, const char *file,
	const char *text)
{
	char name[PATH_MAX];
	int r = cx_cgroup_file(name, sizeof name, path, file);

	return r < 0 ? r : cx_file_write(h->fd, name, text);
}

/* v1 counts memory in pages up to LONG_MAX: that, in bytes, is its way of saying "no limit". */
#define V1_NO_LIMIT (UINT64_C(0x7fffffffffffffff) & ~UINT64_C(0xffff))

uint64_t cx_cgroup_number(const struct cx_hierarchy *h, const char *path,
	const char *file)
{
	char text[64], *end;
	uint64_t value;

	if (cx_cgroup_read(h, path, file, text, sizeof text) <= 0)
		return UINT64_MAX;
	value = strtoull(text, &end, 10);
	return end == text || value >= V1_NO_LIMIT ? UINT64_MAX : value;
}

uint64_t cx_cgroup_field(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : p)
		if (!strncmp(p, key, n) && p[n] == ' ')
			return strtoull(p + n + 1, NULL, 10);
	return UINT64_MAX;
}

/* Sleeps *ns (but not beyond `end_ns`) and doubles it up to 10 ms. 0: the time is over. */
int cx_cgroup_sleep(int64_t *ns, int64_t end_ns)
{
	int64_t left = end_ns - cx_now_ns(CLOCK_MONOTONIC), now = *ns < left ? *ns : left;
	struct timespec t = { .tv_sec = 0, .tv_nsec = now > 0 ? now : 0 };

	if (left <= 0)
		return 0;
	nanosleep(&t, NULL);
	*ns = *ns * 2 < 10000000 ? *ns * 2 : 10000000;
	return 1;
}
