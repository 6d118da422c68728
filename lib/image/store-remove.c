/* Removing trees that strangers made: of any depth, with any names, without leaving them. */
#include "image/store-inside.h"

#include <dirent.h>
#include <stdlib.h>

/* Descriptors at once. What is deeper is moved up to the top, and is its turn later. */
enum { DEPTH = 24 };

struct removal {
	int top;        /* the directory that is emptied */
	dev_t device;   /* of it: what is mounted below is of another */
	unsigned moved; /* a name for the next that is moved up */
	int code;       /* the first error */
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

	do {
		snprintf(up, sizeof up, ".moved-%u", r->moved++);
		e = renameat2(dir, name, r->top, up, RENAME_NOREPLACE);
	} while (e < 0 && errno == EEXIST);
	if (e < 0)
		note(r, -errno);
}

/* A directory that isn't empty. */
static void remove_below(struct removal *r, int dir, const char *name, int depth)
{
	cx_autoclose int below = -1;
	struct stat st;

	if (depth == DEPTH) {
		move_up(r, dir, name);
		return;
	}
	below = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (below < 0 && errno == EACCES && fchmodat(dir, name, 0700, 0) == 0) /* a layer's directory may have any mode */
		below = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (below < 0 || fstat(below, &st) < 0) {
		note(r, -errno);
		return;
	}
	if (st.st_dev != r->device) {
		note(r, -EBUSY);
		return;
	}
	if ((st.st_mode & 0700) != 0700)
		fchmod(below, 0700);
	empty(r, below, depth + 1);
	if (unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT && errno != ENOTEMPTY)
		note(r, -errno);
}

static void remove_one(struct removal *r, int dir, const char *name, int depth)
{
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return;
	if (errno != EISDIR && errno != EPERM) {
		note(r, -errno);
		return;
	}
	if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return;
	if (errno == ENOTEMPTY || errno == EEXIST)
		remove_below(r, dir, name, depth);
	else
		note(r, -errno);
}

static void empty(struct removal *r, int dir, int depth)
{
	cx_autofree char **names = NULL;
	int n = cx_state_names(dir, 1, &names);

	if (n < 0)
		note(r, n);
	for (int i = 0; i < n; i++)
		remove_one(r, dir, names[i], depth);
}

/* Again while something was moved up. */
static int empty_top(int dir)
{
	struct removal r = { .top = dir };
	struct stat st;
	unsigned before;

	if (fstat(dir, &st) < 0)
		return -errno;
	r.device = st.st_dev;
	do {
		before = r.moved;
		empty(&r, dir, 0);
	} while (!r.code && r.moved != before);
	return r.code;
}

int cx_store_remove(int dir, const char *name)
{
	cx_autoclose int top = -1;
	int r;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	top = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (top < 0)
		return -errno;
	r = empty_top(top);
	if (unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT && r == 0)
		r = -errno;
	return r;
}
