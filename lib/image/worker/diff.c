/* Walking what a container has written: each directory's names in their order, so that the same tree is always the same
 * tar. Descriptors are bounded: the deeper directories' parents are closed, and found again by "..". */
#include "image/worker/diff.h"
#include "image/refuse.h"
#include "base/kernel.h"
#include "base/path.h"

#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <search.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

enum { OPEN_LEVELS = 64 };

/* A directory on the way. Its entry waits where it may turn out to be the runtime's alone. */
struct level {
	struct level *up;
	int fd;
	struct stat st;
	struct archive_entry *waiting;
	int hides;
};

struct names { char *text, **list; size_t size, room, count; };

/* ---- errors ---- */

int cx_diff_fail(struct cx_diff *d, int code, const char *call, const char *hint)
{
	cx_autostr text = { .data = NULL };

	cx_str_add(&text, "what the container wrote: /", 27);
	cx_image_quote(&text, d->path, 320);
	return cx_fail(d->err, CONEX_STAGE_IMAGE, code, call, hint, "%s", text.failed ? "" : text.data);
}

int cx_diff_changed(struct cx_diff *d)
{
	return cx_diff_fail(d, -EBUSY, NULL, "it was written to meanwhile: stop or pause it until the job is done");
}

int cx_diff_use(struct cx_diff *d, uint64_t bytes)
{
	d->memory += bytes;
	return d->memory <= CX_DIFF_MEMORY ? 0
		: cx_diff_fail(d, -E2BIG, NULL, "its names, hard links and holes take more than 256 MiB to remember");
}

/* Nobody but the kernel sets this time. One that lies in the future is of a clock that was wrong. */
int cx_diff_look(struct cx_diff *d, const struct stat *st)
{
	const struct timespec *t = &st->st_ctim;
	struct timespec now;

	if (t->tv_sec < d->begun.tv_sec || (t->tv_sec == d->begun.tv_sec && t->tv_nsec <= d->begun.tv_nsec))
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	return t->tv_sec > now.tv_sec || (t->tv_sec == now.tv_sec && t->tv_nsec > now.tv_nsec) ? 0 : cx_diff_changed(d);
}

/* ---- names ---- */

static int add_name(struct cx_diff *d, struct names *n, const char *name)
{
	size_t size = strlen(name) + 1;

	if (n->room - n->size < size) {
		size_t room = n->room ? 2 * n->room : 4096;
		char *text = realloc(n->text, room);

		if (!text)
			return cx_fail_memory(d->err);
		n->text = text;
		n->room = room;
	}
	memcpy(n->text + n->size, name, size);
	n->size += size;
	n->count++;
	return cx_diff_use(d, size + sizeof *n->list);
}

static int order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(struct cx_diff *d, int fd, struct names *n)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (!dir) {
		cx_closep(&copy);
		return cx_diff_errno(d, "opendir");
	}
	while (r == 0 && (errno = 0, e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			r = add_name(d, n, e->d_name);
	if (r == 0 && errno)
		r = cx_diff_errno(d, "readdir");
	closedir(dir);
	if (r < 0)
		return r;
	n->list = malloc((n->count + 1) * sizeof *n->list);
	if (!n->list)
		return cx_fail_memory(d->err);
	n->count = 0;
	for (char *at = n->text; at < n->text + n->size; at += strlen(at) + 1)
		n->list[n->count++] = at;
	qsort(n->list, n->count, sizeof *n->list, order);
	return 0;
}

static void free_names(struct cx_diff *d, struct names *n)
{
	d->memory -= n->size + n->count * sizeof *n->list;
	free(n->text);
	free(n->list);
}

/* ---- one name ---- */

static int put_waiting(struct cx_diff *d, struct level *l)
{
	int r = l->up ? put_waiting(d, l->up) : 0;

	if (r < 0 || !l->waiting)
		return r;
	r = cx_diff_put(d, l->waiting);
	archive_entry_free(l->waiting);
	l->waiting = NULL;
	return r;
}

static int walk(struct cx_diff *d, struct level *l);

static int enter(struct cx_diff *d, struct level *up, const char *name, struct level *l)
{
	int r;

	if (++d->depth > CX_DIFF_DEPTH)
		return cx_diff_fail(d, -E2BIG, NULL, "a layer's directories are at most 2,048 deep");
	l->up = up;
	r = cx_diff_describe(d, &l->st, l->fd, -1, NULL, &l->waiting);
	if (r == 0)
		r = l->hides = cx_diff_hides(d, l->fd);
	if (r >= 0 && (l->hides || !(cx_diff_leads_to_made(d) || cx_diff_is_made(d) || !name)))
		r = put_waiting(d, l);
	if (r >= 0 && l->hides)
		r = cx_diff_put_whiteout(d, NULL);
	return r < 0 ? r : walk(d, l);
}

/* What still waits has nothing in it but what the runtime made. */
static int leave(struct cx_diff *d, struct level *l)
{
	int r = l->waiting ? cx_diff_is_made(d) ? 1 : cx_diff_is_untouched(d, l->waiting) : 1;

	if (r == 0)
		r = put_waiting(d, l);
	d->depth--;
	return r < 0 ? r : 0;
}

static int directory(struct cx_diff *d, struct level *up, const char *name, const struct stat *st, int fd)
{
	struct level l = { .fd = fd, .st = *st };
	int r;

	if (st->st_dev != d->dev) {
		close(fd);
		return cx_diff_fail(d, -EXDEV, NULL, "another file system is mounted on it");
	}
	if (d->depth >= OPEN_LEVELS)
		cx_closep(&up->fd);
	r = enter(d, up, name, &l);
	if (r == 0)
		r = leave(d, &l);
	if (r == 0 && up->fd < 0) {
		struct stat is;

		up->fd = openat(l.fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (up->fd < 0 || fstat(up->fd, &is) < 0 || is.st_ino != up->st.st_ino || is.st_dev != up->st.st_dev)
			r = cx_diff_changed(d);
	}
	archive_entry_free(l.waiting);
	cx_closep(&l.fd);
	return r;
}

/* What was seen by its name is opened by what was found: a device that took its place meanwhile isn't touched. */
static int reopen(struct cx_diff *d, int found, const struct stat *st)
{
	char path[32];
	int fd;

	snprintf(path, sizeof path, "/proc/self/fd/%d", found);
	fd = open(path, O_RDONLY | O_NOCTTY | O_NOATIME | O_CLOEXEC | (S_ISDIR(st->st_mode) ? O_DIRECTORY : O_NONBLOCK));
	return fd < 0 ? cx_diff_errno(d, "open") : fd;
}

static int is_whiteout(const struct stat *st, int fd)
{
	if (S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0))
		return 1;
	return S_ISREG(st->st_mode) && !st->st_size && fgetxattr(fd, "trusted.overlay.whiteout", NULL, 0) >= 0;
}

/* Mount points are empty files; what else stands there is what the runtime makes in /dev where nothing is mounted. */
static int is_left_out(const struct cx_diff *d, const struct stat *st)
{
	return S_ISSOCK(st->st_mode) || (!(S_ISREG(st->st_mode) && st->st_size) && cx_diff_is_made(d));
}

static int other(struct cx_diff *d, struct level *l, const char *name, const struct stat *st, int fd, int found)
{
	int r;

	if (is_whiteout(st, fd)) {
		r = put_waiting(d, l);
		return r < 0 ? r : cx_diff_put_whiteout(d, name);
	}
	if (is_left_out(d, st))
		return 0;
	r = put_waiting(d, l);
	if (r == 0 && st->st_nlink > 1)
		r = cx_diff_put_link(d, st);
	if (r != 0)
		return r < 0 ? r : 0;
	return fd >= 0 ? cx_diff_put_file(d, st, fd) : cx_diff_put_special(d, st, found, l->fd, name);
}

static int look_at(struct cx_diff *d, struct level *l, const char *name)
{
	cx_autoclose int found = openat(l->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), fd = -1;
	struct stat st;
	int r;

	if (found < 0 || fstat(found, &st) < 0)
		return errno == ENOENT ? cx_diff_changed(d) : cx_diff_errno(d, "open");
	r = cx_diff_look(d, &st);
	if (r == 0 && !strncmp(name, ".wh.", 4))
		r = cx_diff_fail(d, -EINVAL, NULL, "in a layer .wh. in front means that something is gone: rename or remove it");
	if (r == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) && (fd = reopen(d, found, &st)) < 0)
		r = fd;
	if (r == 0 && fd >= 0)
		r = cx_diff_is_whole(d, fd);
	if (r < 0)
		return r;
	if (!S_ISDIR(st.st_mode))
		return other(d, l, name, &st, fd, found);
	cx_closep(&found);
	return directory(d, l, name, &st, cx_steal_fd(&fd));
}

static int one(struct cx_diff *d, struct level *l, const char *name)
{
	size_t before = d->size, n = strlen(name);
	int r;

	if (before + !!before + n >= sizeof d->path)
		return cx_diff_fail(d, -ENAMETOOLONG, NULL, "a layer's paths have at most 4,095 bytes, and something in it has more");
	if (before)
		d->path[d->size++] = '/';
	memcpy(d->path + d->size, name, n + 1);
	d->size += n;
	r = look_at(d, l, name);
	if (r < 0)
		return r;
	d->path[d->size = before] = '\0';
	return 0;
}

static int walk(struct cx_diff *d, struct level *l)
{
	struct names n = { .text = NULL };
	int r = read_names(d, l->fd, &n);
	struct stat now;

	for (size_t i = 0; r == 0 && i < n.count; i++)
		r = one(d, l, n.list[i]);
	free_names(d, &n);
	if (r == 0 && fstat(l->fd, &now) < 0)
		r = cx_diff_errno(d, "fstat");
	return r < 0 ? r : cx_diff_look(d, &now);
}

/* ---- all of it ---- */

int cx_diff_write(struct cx_diff *d)
{
	struct level l = { .fd = openat(d->stack->trees[0], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	int r;

	clock_gettime(CLOCK_REALTIME_COARSE, &d->begun);        /* the clock of file times */
	if (l.fd < 0 || fstat(l.fd, &l.st) < 0)
		r = cx_diff_errno(d, "open");
	else if (!l.st.st_nlink)
		r = cx_diff_changed(d);
	else {
		d->dev = l.st.st_dev;
		r = enter(d, NULL, NULL, &l);
		if (r == 0)
			r = leave(d, &l);
	}
	archive_entry_free(l.waiting);
	cx_closep(&l.fd);
	return r;
}

void cx_diff_clear(struct cx_diff *d)
{
	tdestroy(d->links, free);
	for (size_t i = 0; i < d->made_count; i++)
		free(d->made[i]);
	free(d->made);
	d->made = NULL;
	d->links = NULL;
	d->made_count = 0;
	if (d->zeros)
		munmap(d->zeros, CX_DIFF_ZEROS);
	d->zeros = NULL;
}
