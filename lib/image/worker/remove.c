/* Removing: a whole tree however deep, what is in an entry's way, what a whiteout hides. */
#include "image/worker/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { AT_ONCE = 64 };  /* levels that are open at once */

/* A directory to read, also one that nobody may (we have made it so). */
static DIR *open_dir(int parent, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(parent, name, flags);
	DIR *dir;

	if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, 0) == 0)
		fd = openat(parent, name, flags);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		cx_closep(&fd);
	return dir;
}

static struct dirent *next_name(DIR *dir)
{
	struct dirent *d;

	do {
		errno = 0;
		d = readdir(dir);
	} while (d && (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..")));
	return d;
}

static int remove_below(int top, int parent, const char *name, unsigned level, unsigned *moved);

/* One name in dir. What lies too deep is moved up to the top and is one of the next round's. */
static int remove_one(int top, int dirfd, const char *name, unsigned level, unsigned *moved)
{
	char aside[32];

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno == EACCES && fchmod(dirfd, 0700) == 0 && unlinkat(dirfd, name, 0) == 0)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (level < AT_ONCE)
		return remove_below(top, dirfd, name, level + 1, moved);
	fchmodat(dirfd, name, 0700, 0); /* a directory that moves is written to: its ".." */
	do {
		snprintf(aside, sizeof aside, ".deep-%u", ++*moved);
		if (renameat(dirfd, name, top, aside) == 0)
			return 0;
	} while (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR);
	return -errno;
}

static int remove_below(int top, int parent, const char *name, unsigned level, unsigned *moved)
{
	DIR *dir = open_dir(parent, name);
	struct dirent *d;
	int r = dir ? 0 : -errno;

	while (r == 0 && (d = next_name(dir)))
		r = remove_one(top < 0 ? dirfd(dir) : top, dirfd(dir), d->d_name, level, moved);
	if (r == 0 && errno)
		r = -errno;
	if (dir)
		closedir(dir);
	return r < 0 || unlinkat(parent, name, AT_REMOVEDIR) == 0 ? r : -errno;
}

int cx_remove(int parent, const char *name)
{
	unsigned moved = 0, before;
	int r;

	if (unlinkat(parent, name, 0) == 0)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	do {
		before = moved;
		r = remove_below(-1, parent, name, 0, &moved);
	} while (r == -ENOTEMPTY && moved > before);    /* what was moved up came behind the reader */
	return r;
}

int cx_tree_clear(struct cx_tree *t, int parent, const char *name)
{
	int r;

	if (unlinkat(parent, name, 0) == 0) {
		cx_dirs_removed(t, 0);
		return 0;
	}
	if (errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	r = cx_remove(parent, name);
	if (r == 0)
		cx_dirs_removed(t, 1);
	return r;
}

int cx_tree_hide(struct cx_tree *t, int parent, const char *name)
{
	cx_autoclose int fd = -1;
	struct stat st;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!cx_inodes_has(&t->inodes, st.st_ino))
		return cx_tree_clear(t, parent, name);
	if (!S_ISDIR(st.st_mode))
		return 0;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : cx_tree_prune(t, fd);
}

int cx_tree_prune(struct cx_tree *t, int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!dir) {
		r = -errno;
		cx_closep(&fd);
		return r;
	}
	while (r == 0 && (d = next_name(dir)))
		r = cx_tree_hide(t, fd, d->d_name);
	if (r == 0 && errno)
		r = -errno;
	closedir(dir);
	return r;
}

/* ---- the inodes of a layer ---------------------------------------------------------------------- */

/* Where it is, or would be. There is always a free slot; 0 is one, no file has this number. */
static size_t slot_of(const struct cx_inodes *s, uint64_t ino)
{
	size_t i = (size_t)((ino * UINT64_C(0x9e3779b97f4a7c15)) >> 20) % s->capacity;

	while (s->slots[i] && s->slots[i] != ino)
		i = (i + 1) % s->capacity;
	return i;
}

int cx_inodes_has(const struct cx_inodes *s, uint64_t ino)
{
	return s->capacity && s->slots[slot_of(s, ino)] == ino;
}

int cx_inodes_add(struct cx_inodes *s, uint64_t ino)
{
	size_t i;

	if (2 * (s->count + 1) > s->capacity) {
		struct cx_inodes more = { .capacity = s->capacity ? 2 * s->capacity : 1024 };

		more.slots = calloc(more.capacity, sizeof *more.slots);
		if (!more.slots)
			return -ENOMEM;
		for (i = 0; i < s->capacity; i++)
			if (s->slots[i])
				more.slots[slot_of(&more, s->slots[i])] = s->slots[i];
		more.count = s->count;
		free(s->slots);
		*s = more;
	}
	i = slot_of(s, ino);
	s->count += s->slots[i] != ino;
	s->slots[i] = ino;
	return 0;
}
