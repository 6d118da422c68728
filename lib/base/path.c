/* Safe opening, small files, time, randomness. */
#include "base/path.h"
#include "base/cleanup.h"
#include "base/kernel.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

enum { MAX_LINKS = 40 };

/* openat2's job where it is missing. Links are followed as text, and ".." shortens the text and walks
 * again from the root instead of asking the kernel for a parent: so nothing leads above the root, not
 * even while somebody renames directories under our feet. */
struct walk {
	int root, dir;          /* dir: where `done` leads */
	int links;
	char done[PATH_MAX];    /* real directories, "a/b"; "": the root */
	char left[PATH_MAX];    /* still to go */
};

static int fail(int code)
{
	errno = code;
	return -1;
}

static void walk_move(struct walk *w, int dir)
{
	if (w->dir != w->root)
		cx_closep(&w->dir);
	w->dir = dir;
}

static void walk_restart(struct walk *w)
{
	walk_move(w, w->root);
	w->done[0] = '\0';
}

/* Takes the next name off what is left: 1: it was the last; 0: more (or a slash) follows; -1. */
static int walk_name(struct walk *w, char name[NAME_MAX + 1])
{
	const char *p = w->left + strspn(w->left, "/");
	size_t n = strcspn(p, "/");
	int last = p[n] == '\0';

	if (n > NAME_MAX)
		return fail(ENAMETOOLONG);
	memcpy(name, p, n);
	name[n] = '\0';
	memmove(w->left, p + n, strlen(p + n) + 1);
	return last;
}

/* Into a real directory: a link in its place is refused by the kernel. */
static int walk_down(struct walk *w, const char *name)
{
	size_t n = strlen(w->done);
	int next;

	if (n + strlen(name) + 2 > sizeof w->done)
		return fail(ENAMETOOLONG);
	next = openat(w->dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (next < 0)
		return -1;
	walk_move(w, next);
	snprintf(w->done + n, sizeof w->done - n, "%s%s", n ? "/" : "", name);
	return 0;
}

static int walk_up(struct walk *w)
{
	char again[PATH_MAX], *cut, *save, *name;

	memcpy(again, w->done, sizeof again);
	cut = strrchr(again, '/');
	*(cut ? cut : again) = '\0';
	walk_restart(w);
	for (name = strtok_r(again, "/", &save); name; name = strtok_r(NULL, "/", &save))
		if (walk_down(w, name) < 0)
			return -1;
	return 0;
}

/* Puts a link's target before what is left. */
static int walk_link(struct walk *w, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(w->dir, name, target, sizeof target);
	size_t left = strlen(w->left);

	if (n < 0)
		return -1;
	if (++w->links > MAX_LINKS)
		return fail(ELOOP);
	if ((size_t)n + left >= sizeof w->left)
		return fail(ENAMETOOLONG);
	memmove(w->left + n, w->left, left + 1);
	memcpy(w->left, target, (size_t)n);
	if (target[0] == '/')
		walk_restart(w);
	return 0;
}

/* What a path's last name stands for, when it isn't a link, or the link itself is wanted. */
static int walk_open(struct walk *w, const char *name, int flags, mode_t mode)
{
	cx_autoclose int fd = openat(w->dir, name, flags | O_NOFOLLOW, mode);
	struct stat st;

	/* O_PATH|O_NOFOLLOW opens a link that was put there since we looked, where all else fails */
	if (fd >= 0 && (flags & O_PATH) && !(flags & O_NOFOLLOW)
	    && (fstat(fd, &st) < 0 || S_ISLNK(st.st_mode)))
		return fail(ELOOP);
	return cx_steal_fd(&fd);
}

static int walk_is_link(struct walk *w, const char *name)
{
	struct stat st;

	return fstatat(w->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

static int walk(struct walk *w, int flags, mode_t mode)
{
	int keep_link = (flags & O_NOFOLLOW) || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
	char name[NAME_MAX + 1];
	int last, r = 0;

	while (r == 0) {
		last = walk_name(w, name);
		if (last < 0)
			return -1;
		if (!*name || (last && !strcmp(name, ".")))
			return openat(w->dir, ".", flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW), mode);
		if (!strcmp(name, "."))
			continue;
		if (!strcmp(name, ".."))
			r = walk_up(w);
		else if (!(last && keep_link) && walk_is_link(w, name))
			r = walk_link(w, name);
		else if (last)
			return walk_open(w, name, flags, mode);
		else
			r = walk_down(w, name);
	}
	return -1;
}

int cx_open_by_walk(int root, const char *path, int flags, mode_t mode)
{
	struct walk w = { .root = root, .dir = root };
	int fd;

	if (!*path)
		return fail(ENOENT);
	if (strlen(path) >= sizeof w.left)
		return fail(ENAMETOOLONG);
	memcpy(w.left, path, strlen(path) + 1);
	fd = walk(&w, flags | O_CLOEXEC, mode);
	walk_move(&w, root);
	return fd;
}

/* openat2 refuses a mode where nothing is made (and O_TMPFILE has O_DIRECTORY's bit in it). */
static int may_create(int flags)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

int cx_open_in_root(int root, const char *path, int flags, mode_t mode)
{
	uint64_t want = (unsigned)flags | O_CLOEXEC;
	int fd = -1;

	for (int tries = 0; tries < 16; tries++) { /* EAGAIN: a rename raced with "..": ask again */
		fd = cx_sys_openat2(root, path, want, may_create(flags) ? mode : 0,
			RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	if (fd < 0 && errno == ENOSYS)
		return cx_open_by_walk(root, path, flags, mode);
	return fd;
}

static ssize_t read_all(int fd, char *buffer, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, buffer + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t cx_file_read(int dirfd, const char *path, char *buffer, size_t size)
{
	cx_autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read_all(fd, buffer, size - 1);
	if (n >= 0)
		buffer[n] = '\0';
	return n;
}

ssize_t cx_file_load(int dirfd, const char *path, size_t max, char **ret)
{
	cx_autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	cx_autofree char *data = NULL;
	size_t done = 0, capacity = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		if (done == capacity) {
			char *more = realloc(data, (capacity = capacity ? capacity * 2 : 4096) + 1);

			if (!more)
				return -ENOMEM;
			data = more;
		}
		n = read_all(fd, data + done, capacity - done);
		if (n < 0)
			return n;
		done += (size_t)n;
		if (done > max)
			return -EFBIG;
	} while (n > 0 && done == capacity);
	data[done] = '\0';
	*ret = cx_steal_ptr(&data);
	return (ssize_t)done;
}

int cx_file_write(int dirfd, const char *path, const char *text)
{
	cx_autoclose int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);
	size_t size = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, size);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EIO;
}

int cx_file_create(int dirfd, const char *path, const void *data, size_t size, mode_t mode)
{
	cx_autoclose int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	ssize_t n = fd < 0 ? -1 : size ? write(fd, data, size) : 0;

	if (n < 0 || fchmod(fd, mode) < 0)
		return -errno;
	return (size_t)n < size ? -ENOSPC : 0;
}

int cx_mkdirs(int dirfd, const char *path, mode_t mode)
{
	cx_autofree char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	if (mkdirat(dirfd, copy, mode) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return -errno;
	for (char *p = strchr(copy + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdirat(dirfd, copy, mode) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdirat(dirfd, copy, mode) < 0 && errno != EEXIST ? -errno : 0;
}

enum { KEPT_BELOW = 512 };      /* half of what select(2) can take */

int cx_kept_below(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / 2 < KEPT_BELOW ? (int)limit.rlim_cur / 2
		: KEPT_BELOW;
}

char *cx_find_program(const char *name)
{
	const char *path = secure_getenv("PATH");
	char file[PATH_MAX];

	for (const char *p = path && *path ? path : "/usr/bin:/bin"; *p; p += strcspn(p, ":"), p += *p == ':') {
		int n = (int)strcspn(p, ":");

		if (*p == '/' && (size_t)snprintf(file, sizeof file, "%.*s/%s", n, p, name) < sizeof file
		    && access(file, X_OK) == 0)
			return strdup(file);
	}
	return NULL;
}

int64_t cx_now_ns(int clock)
{
	struct timespec t = { 0, 0 };

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int cx_random(void *to, size_t size)
{
	return getrandom(to, size, 0) == (ssize_t)size ? 0 : -errno;
}

uint64_t cx_process_start(pid_t pid)
{
	char path[32], text[1024], *p, state;
	unsigned long long start;
	long threads;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	if (cx_file_read(AT_FDCWD, path, text, sizeof text) <= 0 || !(p = strrchr(text, ')')))
		return 0;
	if (sscanf(p + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %ld %*s %llu",
		   &state, &threads, &start) != 3)
		return 0;
	/* A zombie with threads is a process whose first thread has ended: it runs. */
	return (state == 'Z' && threads <= 1) || state == 'X' ? 0 : start;
}
