/* Removing trees that strangers made: of any depth, with any names, without leaving them. */
#include "image/store-inside.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include "base/kernel.h"

/* Of directories that are open at once, by two descriptors each. What is deeper is moved up to the top, and has its
 * turn later. */
enum { DEPTH = 12 };

struct removal {
	int top;        /* the directory that is emptied */
	dev_t device;   /* of it: what is mounted below is of another */
	unsigned moved; /* a name for the next that is moved up */
	int code;       /* the first error */
	unsigned left;  /* entries that may still go; UINT_MAX: any number */
};

static void note(struct removal *r, int code)
{
	if (!r->code)
		r->code = code;
}

static void empty(struct removal *r, int dir, int depth);

static void move_up(struct removal *r, int dir, const char *name)
{
	char up[32];
	int e;

	fchmodat(dir, name, 0700, 0);   /* its ".." is changed: one must be able to write it */
	do {
		snprintf(up, sizeof up, ".moved-%u", r->moved++);
		e = renameat2(dir, name, r->top, up, RENAME_NOREPLACE);
	} while (e < 0 && errno == EEXIST);
	if (e < 0)
		note(r, -errno);
}

/* Never into a mount, be it of this file system; without openat2 at least not into another. -errno */
static int enter(const struct removal *r, int dir, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	cx_autoclose int fd = cx_sys_openat2(dir, name, (uint64_t)flags, 0, RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
	struct stat st;

	if (fd < 0 && errno == ENOSYS)
		fd = openat(dir, name, flags);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return st.st_dev == r->device ? cx_steal_fd(&fd) : -EXDEV;
}

/* A layer's directory may have any mode. */
static int enter_anyhow(const struct removal *r, int dir, const char *name)
{
	int fd = enter(r, dir, name);

	if (fd == -EACCES && fchmodat(dir, name, 0700, 0) == 0)
		fd = enter(r, dir, name);
	if (fd >= 0)
		fchmod(fd, 0700);
	return fd;
}

/* A directory that isn't empty. */
static void remove_below(struct removal *r, int dir, const char *name, int depth)
{
	cx_autoclose int below = -1;

	if (depth == DEPTH) {
		move_up(r, dir, name);
		return;
	}
	below = enter_anyhow(r, dir, name);
	if (below < 0) {
		note(r, below);
		return;
	}
	empty(r, below, depth + 1);
	if (unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT && errno != ENOTEMPTY)
		note(r, -errno);
}

static void remove_one(struct removal *r, int dir, const char *name, int depth)
{
	if (r->left != UINT_MAX && r->left-- == 0) {
		r->left = 0;
		note(r, -EAGAIN);
		return;
	}
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return;
	if (errno != EISDIR && errno != EPERM) {
		note(r, -errno);
		return;
	}
	if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return;
	if (errno == ENOTEMPTY || errno == EEXIST || errno == EBUSY)    /* EBUSY: it is a mount, entering tells */
		remove_below(r, dir, name, depth);
	else
		note(r, -errno);
}

static int is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* As it is read, and not from a list: a stranger's directory may have millions of names. File systems may pass over
 * some while others go, so until there is none. */
static void empty(struct removal *r, int dir, int depth)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), found;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		note(r, -errno);
		cx_closep(&fd);
		return;
	}
	do {
		found = 0;
		rewinddir(d);
		while ((e = readdir(d)) != NULL)
			if (!is_dots(e->d_name) && r->code != -EAGAIN) {
				remove_one(r, dir, e->d_name, depth);
				found = 1;
			}
	} while (found && !r->code);
	closedir(d);
}

static int empty_top(int dir, unsigned entries)
{
	struct removal r = { .top = dir, .left = entries };
	struct stat st;

	if (fstat(dir, &st) < 0)
		return -errno;
	r.device = st.st_dev;
	empty(&r, dir, 0);      /* what is moved up is found there, too */
	return r.code;
}

int cx_store_remove(int dir, const char *name)
{
	return cx_store_remove_some(dir, name, UINT_MAX);
}

int cx_store_remove_some(int dir, const char *name, unsigned entries)
{
	cx_autoclose int top = -1;
	int r;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
		return 0;
	top = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (top < 0 && errno == EACCES && fchmodat(dir, name, 0700, 0) == 0)
		top = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (top < 0)
		return -errno;
	fchmod(top, 0700);
	r = empty_top(top, entries);
	if (unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT && r == 0)
		r = -errno;
	return r;
}
