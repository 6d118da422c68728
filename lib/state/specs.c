/* Specs by content: the config.json of containers, one file for all that were launched
 * from one plan. */
#include "state/inside.h"
#include "base/path.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { SPEC_MAX = 16 << 20, TRIES = 8 };

/* Names, not proofs: what lies under a name is compared, so a collision costs a second
 * name only. */
static void hash(const char *data, size_t size, uint64_t ret[2])
{
	uint64_t a = 0xcbf29ce484222325u, b = 0x9e3779b97f4a7c15u ^ size;

	for (size_t i = 0; i < size; i++) {
		a = (a ^ (unsigned char)data[i]) * 0x100000001b3u;
		b = (b + (unsigned char)data[i]) * 0xff51afd7ed558ccdu;
		b ^= b >> 32;
	}
	ret[0] = a;
	ret[1] = b;
}

static int open_specs(const struct cx_state *s)
{
	int fd;

	if (mkdirat(s->fd, "specs", 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(s->fd, "specs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* A plain file only: cx_file_load would follow a link. */
static ssize_t load(int dir, const char *file, char **ret)
{
	struct stat st;

	if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? cx_file_load(dir, file, SPEC_MAX, ret) : -EBADMSG;
}

static int holds(int dir, const char *file, const char *json, size_t size)
{
	cx_autofree char *there = NULL;
	ssize_t n = load(dir, file, &there);

	return n >= 0 && (size_t)n == size && !memcmp(there, json, size);
}

/* 0: under this name it lies now; -EEXIST: something else does. */
static int put(const struct cx_state *s, int dir, const char *name, const char *json,
	size_t size)
{
	char file[40];
	int r;

	snprintf(file, sizeof file, "%s.json", name);
	if (holds(dir, file, json, size))
		return 0;
	r = cx_state_publish(s, dir, file, json, size);
	/* another thread was quicker */
	return r == -EEXIST && holds(dir, file, json, size) ? 0 : r;
}

static int put_named(struct cx_state *s, const uint64_t h[2], const char *json, size_t size,
	char name[33], conex_error **err)
{
	cx_autoclose int dir = open_specs(s);
	char text[33];
	int r = dir < 0 ? dir : size > SPEC_MAX ? -EFBIG : -EEXIST;

	for (int i = 0; i < TRIES && r == -EEXIST; i++) {
		snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)h[0],
			(unsigned long long)h[1] + (unsigned long long)i);
		r = put(s, dir, text, json, size);
	}
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, NULL, "%s/specs",
			s->path);
	memcpy(name, text, sizeof text);
	return 0;
}

int cx_state_put_spec(struct cx_state *s, const char *json, size_t size, char name[33],
	conex_error **err)
{
	uint64_t h[2];

	hash(json, size, h);
	return put_named(s, h, json, size, name, err);
}

int cx_state_put_spec_of(struct cx_state *s, const char *id, const char *json, size_t size,
	char name[33], conex_error **err)
{
	uint64_t h[2];

	hash(id, strlen(id), h);
	return put_named(s, h, json, size, name, err);
}

int cx_state_get_spec(const struct cx_state *s, const char *name, char **ret_json,
	conex_error **err)
{
	char path[48];
	ssize_t n = -EINVAL;
	cx_autoclose int dir = openat(s->fd, "specs",
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0)
		n = -errno;
	else if (strlen(name) == 32 && strspn(name, "0123456789abcdef") == 32) {
		snprintf(path, sizeof path, "%s.json", name);
		n = load(dir, path, ret_json);
	}
	return n < 0 ? cx_fail(err, CONEX_STAGE_RUN, (int)n, NULL, NULL,
		"%s/specs/%.40s.json",
		s->path, name) : 0;
}
