/* Names of a network's members, as hosts(5) has them: NETWORK/hosts/shared, which members bind to their /etc/hosts,
 * and TAG.hosts of those that have lines of their own.
 *
 * What is bound can't be replaced by another file, and a file that is written anew is empty for a moment. So
 * a line is never moved: it is written behind a '#', where nobody reads it, and becomes valid with the one byte
 * that replaces that; a member that leaves gets the '#' back, and another's line may take the place, where it fits.
 * Whoever reads sees each line whole or not at all, and all others meanwhile. */
#include "network/names.h"
#include "base/error.h"
#include "base/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { GRAIN = 16, LARGEST = 4 << 20 };

struct hosts {
	int fd;
	char *data;
	size_t size;
};

static void hosts_close(struct hosts *h)
{
	cx_closep(&h->fd);
	cx_freep(&h->data);
}

#define autohosts cx_cleanup(hosts_close) struct hosts

static int hosts_open(int dir, const char *name, struct hosts *h)
{
	ssize_t n;

	h->fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (h->fd < 0)
		return -errno;
	n = cx_file_load(dir, name, LARGEST, &h->data);
	h->size = n > 0 ? (size_t)n : 0;
	return n < 0 ? (int)n : 0;
}

/* ---- lines ---- */

static size_t line_at(const struct hosts *h, size_t at)
{
	const char *end = memchr(h->data + at, '\n', h->size - at);

	return end ? (size_t)(end - h->data) + 1 - at : h->size - at;
}

/* Where a line of this size may be written: over one that is void, or at the end. */
static size_t room_for(const struct hosts *h, size_t size, size_t *ret_size)
{
	for (size_t at = 0, n; at < h->size; at += n) {
		n = line_at(h, at);
		if (h->data[at] == '#' && n >= size && n < size + 4 * GRAIN && h->data[at + n - 1] == '\n') {
			*ret_size = n;
			return at;
		}
	}
	*ret_size = (size + GRAIN - 1) / GRAIN * GRAIN;
	return h->size;
}

static int write_at(int fd, const char *data, size_t size, size_t at)
{
	ssize_t n = pwrite(fd, data, size, (off_t)at);

	return n < 0 ? -errno : (size_t)n < size ? -ENOSPC : 0;
}

static int keep_in_mind(struct hosts *h, const char *line, size_t size, size_t at)
{
	if (at == h->size) {
		char *larger = realloc(h->data, h->size + size + 1);

		if (!larger)
			return -ENOMEM;
		h->data = larger;
		h->size += size;
		h->data[h->size] = '\0';
	}
	memcpy(h->data + at, line, size);
	return 0;
}

static int put(struct hosts *h, const char *address, const char *names)
{
	size_t size, at = room_for(h, strlen(address) + 1 + strlen(names) + 1, &size);
	cx_autofree char *line = malloc(size + 1);
	int r;

	if (!line)
		return -ENOMEM;
	snprintf(line, size + 1, "%s %-*s\n", address, (int)(size - strlen(address) - 2), names);
	line[0] = '#';
	r = write_at(h->fd, line, size, at);
	line[0] = address[0];
	if (r == 0)
		r = write_at(h->fd, line, 1, at);
	return r < 0 ? r : keep_in_mind(h, line, size, at);
}

static void drop(struct hosts *h, const char *address)
{
	size_t n = strlen(address);

	for (size_t at = 0; at < h->size; at += line_at(h, at))
		if (h->size - at > n && !strncmp(h->data + at, address, n) && h->data[at + n] == ' ') {
			h->data[at] = '#';
			write_at(h->fd, "#", 1, at);
		}
}

static int put_member(struct hosts *h, const struct cx_network *n, uint32_t number, const char *names)
{
	char text[INET6_ADDRSTRLEN];
	int r = 0;

	for (int i = 0; i < n->subnets && r == 0; i++) {
		struct cx_address a = cx_subnet_address(&n->subnet[i], number);

		cx_address_print(&a, text);
		drop(h, text);
		if (names)
			r = put(h, text, names);
	}
	return r;
}

struct filling { struct hosts *h; const struct cx_network *n; int failed; };

static void put_each(const struct cx_member *m, void *data)
{
	struct filling *f = data;

	if (f->failed == 0)
		f->failed = put_member(f->h, f->n, m->lease.number, m->id);
}

static int put_all(struct hosts *h, const struct cx_network *n)
{
	struct filling f = { h, n, 0 };
	int r = cx_lease_each(n, put_each, &f);

	return r < 0 ? r : f.failed;
}

/* ---- files ---- */

int cx_hosts_lock(const struct cx_network *n)
{
	cx_autoclose int dir = -1;

	if (mkdirat(n->dir, "hosts", 0700) < 0 && errno != EEXIST)
		return -errno;
	dir = openat(n->dir, "hosts", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	while (dir >= 0 && flock(dir, LOCK_EX) < 0)
		if (errno != EINTR)
			return -errno;
	return dir < 0 ? -errno : cx_steal_fd(&dir);
}

/* What every file begins with. The host is known by the names that others have made usual. */
static void add_head(struct cx_str *to, const struct cx_network *n)
{
	char text[INET6_ADDRSTRLEN];

	cx_str_addf(to, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
	for (int i = 0; n && n->driver == CX_NETWORK_BRIDGE && i < n->subnets; i++) {
		struct cx_address a = cx_network_gateway(n, i);

		cx_address_print(&a, text);
		cx_str_addf(to, "%s host.containers.internal host.docker.internal\n", text);
	}
}

/* Whole, or not there. */
static int create(int dir, const char *name, const struct cx_str *text, const struct cx_network *n)
{
	autohosts h = { .fd = -1 };
	int r = text->failed;

	unlinkat(dir, ".new", 0);
	if (r == 0)
		r = cx_file_create(dir, ".new", text->data, text->size, 0644);
	if (r == 0)
		r = hosts_open(dir, ".new", &h);
	if (r == 0)
		r = put_all(&h, n);
	if (r == 0 && renameat(dir, ".new", dir, name) < 0)
		r = -errno;
	return r;
}

static int is_file(const char *name)
{
	const char *dot = strrchr(name, '.');

	return !strcmp(name, "shared") || (dot && dot > name && !strcmp(dot, ".hosts"));
}

/* In each of the files: names NULL: the member is gone. */
static int tell_all(int dir, const struct cx_network *n, uint32_t number, const char *names)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *list = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (!list) {
		r = -errno;
		cx_closep(&copy);
		return r;
	}
	while (r == 0 && (e = readdir(list))) {
		autohosts h = { .fd = -1 };

		if (!is_file(e->d_name))
			continue;
		r = hosts_open(dir, e->d_name, &h);
		if (r == 0)
			r = put_member(&h, n, number, names);
	}
	closedir(list);
	return r;
}

static int enter(int dir, const struct cx_network *n, uint32_t number, const char *id)
{
	cx_autostr head = { 0 };
	int r = 0;

	if (faccessat(dir, "shared", F_OK, 0) < 0) {
		add_head(&head, n);
		r = create(dir, "shared", &head, n);
	}
	return r < 0 ? r : tell_all(dir, n, number, id);
}

int cx_hosts_enter(const struct cx_network *n, uint32_t number, const char *id)
{
	cx_autoclose int dir = cx_hosts_lock(n);

	return dir < 0 ? dir : enter(dir, n, number, id);
}

int cx_hosts_leave(const struct cx_network *n, uint32_t number, const char *tag)
{
	cx_autoclose int dir = cx_hosts_lock(n);
	char name[32];

	if (dir < 0)
		return dir;
	snprintf(name, sizeof name, "%s.hosts", tag);
	unlinkat(dir, name, 0);
	snprintf(name, sizeof name, "%s.resolv", tag);
	unlinkat(dir, name, 0);
	return tell_all(dir, n, number, NULL);
}

/* The same file is linked into the directory of each further network. */
int cx_hosts_own(const struct cx_network *n, const char *tag, const char *lines, int *file)
{
	cx_autoclose int dir = cx_hosts_lock(n);
	cx_autostr text = { 0 };
	autohosts h = { .fd = -1 };
	char name[32], self[40];
	int r;

	if (dir < 0)
		return dir;
	snprintf(name, sizeof name, "%s.hosts", tag);
	if (*file < 0) {
		add_head(&text, n);
		cx_str_addf(&text, "%s", lines ? lines : "");
		r = create(dir, name, &text, n);
		if (r == 0 && (*file = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW)) < 0)
			r = -errno;
		return r;
	}
	snprintf(self, sizeof self, "/proc/self/fd/%d", *file);
	if (linkat(AT_FDCWD, self, dir, name, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	r = hosts_open(dir, name, &h);
	return r < 0 ? r : put_all(&h, n);
}

char *cx_hosts_path(const struct cx_network *n, const char *tag)
{
	char *path;

	return asprintf(&path, "%s/hosts/%s%s", n->path, tag ? tag : "shared", tag ? ".hosts" : "") < 0 ? NULL : path;
}

/* A line as a user gives it. */
int cx_hosts_check(const char *line, const char *where, conex_error **err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.- \t";
	size_t n = strcspn(line, " \t");
	char address[INET6_ADDRSTRLEN];
	struct cx_address a;

	snprintf(address, sizeof address, "%.*s", (int)(n < sizeof address ? n : 0), line);
	if (cx_address_parse(address, &a) < 0)
		return cx_refuse(err, -EINVAL, where, line, "begin with an address: \"10.1.2.3 db db.example\"");
	if (strspn(line + n, " \t") == strlen(line + n) || strspn(line + n, letters) != strlen(line + n))
		return cx_refuse(err, -EINVAL, where, line, "names behind the address, of letters, digits, _ . and -");
	return 0;
}
