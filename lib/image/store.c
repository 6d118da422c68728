/* The store's directory: where it is, its first making, and what all of its files use. */
#include "image/store-inside.h"

#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>

#define SYSTEM_STORE "/var/lib/conex"
#define FORMAT "conex store 1\n"

static const char *const folders[] = { "blobs", "blobs/sha256", "blobs/sha512", "ingest", "ingest/sha256",
	"ingest/sha512", "layers", "images", "leases", "quarantine", "tmp", NULL };

/* ---- what all use ---- */

static const char *mend_for(int code)
{
	switch (code) {
	case -ENOSPC:
		return "the disk is full: free some of it, or remove images that nobody uses (conex_prune)";
	case -EDQUOT:
		return "this user's or project's quota is used up: free some of it, or remove images that nobody uses "
			"(conex_prune)";
	case -EIO:
		return "the disk can't be read or written: the kernel's log says more; then verify the store";
	case -EROFS:
		return "the file system is read-only: give a store on another one";
	case -EFBIG:
		return "RLIMIT_FSIZE or the file system doesn't allow such a large file";
	case -EBUSY:
		return "another process is bringing it just now: wait for that";
	case -EACCES:
	case -EPERM:
		return "the store belongs to one user: give one of your own in conex_options.store";
	}
	return NULL;
}

int cx_store_fail(conex_error **err, const struct cx_store *s, int code, const char *call, const char *what, ...)
{
	cx_autofree char *text = NULL;
	va_list ap;

	if (code == -ENOMEM)
		return cx_fail_memory(err);
	va_start(ap, what);
	if (vasprintf(&text, what, ap) < 0)
		text = NULL;
	va_end(ap);
	return cx_fail(err, CONEX_STAGE_IMAGE, code, call, mend_for(code), "store %s: %s", s->path, text ? text : "");
}

int cx_store_flock(int fd, int how)
{
	while (flock(fd, how) < 0)
		if (errno != EINTR)
			return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

/* A description of its own each time: so threads are kept apart, too. */
static int lock_file(const struct cx_store *s, const char *name, int how)
{
	cx_autoclose int fd = openat(s->root, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : cx_store_flock(fd, how);

	return r < 0 ? r : cx_steal_fd(&fd);
}

/* flock lets who shares pass who waits for it alone, for ever if there are enough of them. So all queue at a gate. */
int cx_store_lock(const struct cx_store *s, int how)
{
	cx_autoclose int gate = lock_file(s, "gate", LOCK_EX);

	return gate < 0 ? gate : lock_file(s, "lock", how);
}

void cx_store_path(const char *folder, const struct cx_digest *d, char path[CX_STORE_PATH])
{
	char name[CX_DIGEST_TEXT];

	cx_digest_path(d, name);
	snprintf(path, CX_STORE_PATH, "%s/%s", folder, name);
}

int cx_store_temporary(const char *kind, char path[CX_STORE_PATH])
{
	uint64_t noise[2];
	int r = cx_random(noise, sizeof noise);

	if (r == 0)
		snprintf(path, CX_STORE_PATH, "tmp/%s-%016llx%016llx", kind, (unsigned long long)noise[0],
			(unsigned long long)noise[1]);
	return r;
}

int cx_store_folder(const struct cx_store *s, const char *path)
{
	int fd = openat(s->root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int cx_store_write(int dir, const char *path, const char *text, int sync)
{
	cx_autoclose int fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t n, size = (ssize_t)strlen(text);
	int r = 0;

	if (fd < 0)
		return -errno;
	n = write(fd, text, (size_t)size);
	if (n != size)
		r = n < 0 ? -errno : -ENOSPC;
	else if (sync && fsync(fd) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir, path, 0);
	return r;
}

int cx_store_sync_folder(const struct cx_store *s, const char *folder)
{
	cx_autoclose int fd = -1;

	if (s->flags & CX_STORE_NO_SYNC)
		return 0;
	fd = cx_store_folder(s, folder);
	return fd < 0 ? fd : fsync(fd) < 0 ? -errno : 0;
}

int cx_store_is_same(const struct cx_store *s, int fd, const char *path)
{
	struct stat here, there;

	return fstat(fd, &here) == 0 && fstatat(s->root, path, &there, AT_SYMLINK_NOFOLLOW) == 0
		&& here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

/* A small regular file and nothing else: no link, and no FIFO, which would keep us waiting. Bytes, or -errno */
ssize_t cx_store_read(int dir, const char *path, char *to, size_t size)
{
	cx_autoclose int fd = openat(dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADMSG;
	n = read(fd, to, size - 1);
	if (n < 0)
		return -errno;
	to[n] = '\0';
	return n;
}

/* ---- opening ---- */

/* $XDG_DATA_HOME/conex, ~/.local/share/conex; a set-user-id program doesn't believe its environment. 0, -ENOENT */
static int user_store(char to[PATH_MAX])
{
	const char *data = secure_getenv("XDG_DATA_HOME"), *home = secure_getenv("HOME");
	int n;

	if (data && data[0] == '/')
		n = snprintf(to, PATH_MAX, "%s/conex", data);
	else if (home && home[0] == '/')
		n = snprintf(to, PATH_MAX, "%s/.local/share/conex", home);
	else
		return -ENOENT;
	return n < PATH_MAX ? 0 : -ENOENT;
}

static int open_root(struct cx_store *s, const char *path, conex_error **err)
{
	struct stat st;
	int r = s->flags & CX_STORE_EXISTING ? 0 : cx_mkdirs(AT_FDCWD, path, 0700);

	if (r == 0 && !(s->path = realpath(path, NULL)))
		r = -errno;
	if (r == 0 && (s->root = open(s->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		r = -errno;
	if (r < 0 || fstat(s->root, &st) < 0)
		return cx_fail(err, CONEX_STAGE_OPEN, r < 0 ? r : -errno, "open",
			"give a directory that this user may write in conex_options.store", "store %s", path);
	if (st.st_uid != geteuid())
		return cx_fail(err, CONEX_STAGE_OPEN, -EPERM, NULL, "what is in it would be run: give a directory of your own",
			"store %s (owned by uid %u, we are %u)", path, st.st_uid, geteuid());
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return cx_fail(err, CONEX_STAGE_OPEN, -EPERM, NULL, "others could change what would be run: chmod go-w it",
			"store %s (mode %04o)", path, st.st_mode & 07777);
	return 0;
}

/* What lies in layers/ may be set-user-id: nobody else gets there. */
static int check_folders(const struct cx_store *s, conex_error **err)
{
	struct stat st;

	for (const char *const *f = folders; *f; f++) {
		if (fstatat(s->root, *f, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return cx_fail_errno(err, CONEX_STAGE_OPEN, "stat", "parts of the store were removed: remove its file "
				"\"version\", too, and they are made again", "store %s: %s", s->path, *f);
		if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
			return cx_fail(err, CONEX_STAGE_OPEN, -EPERM, NULL, "it must be a directory of ours with mode 0700: chmod 700 it",
				"store %s: %s (uid %u, mode %04o)", s->path, *f, st.st_uid, st.st_mode & 07777);
	}
	return 0;
}

/* "version" comes last, whole: with it all is there. */
static int make(const struct cx_store *s)
{
	char temporary[CX_STORE_PATH];
	int r = 0;

	for (const char *const *f = folders; *f; f++)
		if (mkdirat(s->root, *f, 0700) < 0 && errno != EEXIST)
			return -errno;
	r = cx_store_temporary("version", temporary);
	if (r == 0)
		r = cx_store_write(s->root, temporary, FORMAT, !(s->flags & CX_STORE_NO_SYNC));
	if (r == 0 && renameat(s->root, temporary, s->root, "version") < 0)
		r = -errno;
	return r == 0 ? cx_store_sync_folder(s, ".") : r;
}

static int prepare(const struct cx_store *s, conex_error **err)
{
	char text[64];
	ssize_t n = cx_store_read(s->root, "version", text, sizeof text);
	int is_new = n == -ENOENT || n == 0 || n == -EBADMSG || n == -ELOOP;    /* empty: of a power failure; or no file */

	if (is_new && s->flags & CX_STORE_EXISTING)
		return cx_store_fail(err, s, -ENOENT, "open", "version");
	if (is_new) {
		n = make(s);
		if (n < 0)
			return cx_store_fail(err, s, (int)n, "mkdir", "making it");
	} else if (n < 0) {
		return cx_store_fail(err, s, (int)n, "read", "version");
	} else if (strcmp(text, FORMAT)) {
		text[strcspn(text, "\n")] = '\0';
		return cx_fail(err, CONEX_STAGE_OPEN, -EPROTONOSUPPORT, NULL, "use the libconex that made it, or another directory",
			"store %s: version %.20s", s->path, text);
	}
	return check_folders(s, err);
}

static int open_at(const char *path, unsigned flags, struct cx_store **ret, conex_error **err)
{
	struct cx_store *s = calloc(1, sizeof *s);
	int r;

	if (!s)
		return cx_fail_memory(err);
	s->root = -1;
	s->flags = flags;
	r = open_root(s, path, err);
	if (r == 0)
		r = prepare(s, err);
	if (r < 0)
		cx_store_close(s);
	else
		*ret = s;
	return r;
}

static int may_go_elsewhere(int r)
{
	return (r == -EACCES || r == -EPERM || r == -EROFS || r == -ENOENT) && secure_getenv("XDG_DATA_HOME");
}

/* As with /run/conex: root of a user namespace is root, but the system's store isn't his. */
int cx_store_open(const char *path, unsigned flags, struct cx_store **ret, conex_error **err)
{
	const char *given = secure_getenv("CONEX_STORE");
	char user[PATH_MAX];
	int r;

	if (path)
		return open_at(path, flags, ret, err);
	if (given && given[0])
		return given[0] == '/' ? open_at(given, flags, ret, err)
			: cx_refuse(err, -EINVAL, "CONEX_STORE", NULL, "%s isn't an absolute path", given);
	if (geteuid() == 0) {
		r = open_at(SYSTEM_STORE, flags, ret, err);
		if (r == 0 || !may_go_elsewhere(r))
			return r;
	}
	if (user_store(user) < 0)
		return cx_fail(err, CONEX_STAGE_OPEN, -ENOENT, NULL, "set XDG_DATA_HOME or HOME, or give a directory in "
			"conex_options.store", "the image store");
	return open_at(user, flags, ret, err);
}

void cx_store_close(struct cx_store *s)
{
	if (!s)
		return;
	cx_closep(&s->root);
	free(s->path);
	free(s);
}
