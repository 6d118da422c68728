/* The writable layers of containers. */
#include "image/snapshot.h"
#include "image/store-inside.h"
#include "base/path.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { BOOT = 8 };

/* The first letters of this boot's id: enough to tell it from the one before. */
static int boot(char to[BOOT + 1])
{
	char text[64];

	if (cx_file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", text, sizeof text) < BOOT)
		return -EIO;
	memcpy(to, text, BOOT);
	to[BOOT] = '\0';
	return 0;
}

char *cx_snapshot_path(const struct cx_store *s, const char *id)
{
	char now[BOOT + 1], *path;
	uint64_t noise;

	if (boot(now) < 0 || cx_random(&noise, sizeof noise) < 0)
		return NULL;
	return asprintf(&path, "%s/snapshots/%s-%08x-%s", s->path, now, (unsigned)noise, id) < 0 ? NULL : path;
}

/* What is neither of this boot nor its mark. */
static void sweep(const struct cx_store *s, int dir, const char *now)
{
	char path[CX_STORE_PATH + 256];
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	while (list && (e = readdir(list))) {
		const char *name = e->d_name + (e->d_name[0] == '.');

		if (*name && *name != '.' && strncmp(name, now, BOOT)
		    && snprintf(path, sizeof path, "snapshots/%s", e->d_name) > 0)
			cx_store_throw(s->root, path);
	}
	if (list)
		closedir(list);
	else
		cx_closep(&copy);
}

/* The first snapshot of a boot removes those of earlier ones: it makes a mark, ".BOOT", which no snapshot's name is. */
static int open_folder(const struct cx_store *s)
{
	cx_autoclose int dir = -1;
	char now[BOOT + 1], mark[BOOT + 2];

	if (mkdirat(s->root, "snapshots", 0700) < 0 && errno != EEXIST)
		return -errno;
	dir = openat(s->root, "snapshots", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return -errno;
	if (boot(now) == 0) {
		snprintf(mark, sizeof mark, ".%s", now);
		if (mkdirat(dir, mark, 0700) == 0)
			sweep(s, dir, now);
	}
	return cx_steal_fd(&dir);
}

/* overlay shows the upper directory's owner and mode for the root of all. */
static int make_upper(int dir, const struct stat *look)
{
	cx_autoclose int upper = -1;

	if (mkdirat(dir, "work", 0700) < 0 || mkdirat(dir, "upper", 0700) < 0)
		return -errno;
	upper = openat(dir, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (upper < 0 || (fchown(upper, look->st_uid, look->st_gid) < 0 && errno != EPERM)
	    || fchmod(upper, look->st_mode & 07777) < 0)
		return -errno;  /* EPERM: a user's own, and so root's inside */
	return 0;
}

int cx_snapshot_make(const struct cx_store *s, const char *path, const struct stat *look)
{
	cx_autoclose int folder = open_folder(s), dir = -1;
	const char *name = strrchr(path, '/') + 1;

	if (folder < 0)
		return folder;
	if (mkdirat(folder, name, 0700) < 0)
		return -errno;
	dir = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return dir < 0 ? -errno : make_upper(dir, look);
}

char *cx_snapshot_store(const char *path)
{
	const char *name = strrchr(path, '/'), *folder = name ? memrchr(path, '/', (size_t)(name - path)) : NULL;

	return folder && !strncmp(folder, "/snapshots/", 11) ? strndup(path, (size_t)(folder - path)) : NULL;
}

/* It is ours, whoever owns what is in it, and so can be moved. */
static int throw(const char *path)
{
	cx_autofree char *store = cx_snapshot_store(path);
	cx_autoclose int root = store ? open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int r;

	if (root < 0)
		return store ? -errno : -EINVAL;
	r = cx_store_throw(root, path + strlen(store) + 1);
	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

int cx_snapshot_remove(const char *path, unsigned entries)
{
	int r = cx_store_remove_some(AT_FDCWD, path, entries);

	return r == -ENOENT ? 0 : r == -EAGAIN || r == -EPERM || r == -EACCES ? throw(path) : r;
}

int cx_snapshot_let_go(const char *text)
{
	const char *blank = strrchr(text, ' ');
	cx_autofree char *path = blank ? strndup(text, (size_t)(blank - text)) : NULL;
	struct cx_store *s;
	int r = path ? cx_store_open(path, 0, &s, NULL) : -EINVAL;

	if (r < 0)
		return r;
	r = cx_store_lease_return(s, blank + 1, NULL);
	cx_store_close(s);
	return r;
}
