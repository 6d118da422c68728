/* Inside the container: tmpcopyup, a new tmpfs that begins with what the image has in
 * that place. */
#include "rootfs/child-path.h"

#include <string.h>
#include <sys/stat.h>

enum { DEPTH = 32, TARGET_MAX = 1024 };

struct entry { /* struct linux_dirent64 */
	uint64_t inode;
	int64_t next;
	unsigned short size;
	unsigned char type;
	char name[];
};

static int copy_directory(int from, int to, int depth);

static int copy_file(int from, int to, const char *name, const struct stat *st)
{
	int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int out = in < 0 ? -1
			 : openat(to, name,
				 O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC,
				 0600);
	ssize_t n = out < 0 ? -1 : 1;

	while (n > 0)
		n = syscall(SYS_sendfile, out, in, NULL, 1 << 20);
	/* the owner first: chown takes set-id bits away */
	if (n == 0
		&& (fchown(out, st->st_uid, st->st_gid) < 0
			|| fchmod(out, st->st_mode & 07777) < 0))
		n = -1;
	cx_rootfs_drop(&in);
	cx_rootfs_drop(&out);
	return n < 0 ? -1 : 0;
}

static int copy_link(int from, int to, const char *name, const struct stat *st)
{
	char target[TARGET_MAX];
	ssize_t n = readlinkat(from, name, target, sizeof target - 1);

	if (n < 0)
		return -1;
	target[n] = '\0';
	if (symlinkat(target, to, name) < 0)
		return -1;
	return fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW);
}

static int copy_below(
	int from, int to, const char *name, const struct stat *st, int depth)
{
	int in = -1, out = -1, r = -1;

	if (depth == DEPTH) {
		errno = ELOOP;
		return -1;
	}
	if (mkdirat(to, name, 0700) == 0)
		in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (in >= 0)
		out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (out >= 0 && copy_directory(in, out, depth + 1) == 0
		&& fchown(out, st->st_uid, st->st_gid) == 0
		&& fchmod(out, st->st_mode & 07777) == 0)
		r = 0;
	cx_rootfs_drop(&in);
	cx_rootfs_drop(&out);
	return r;
}

/* Sockets, devices and pipes stay behind, as in every peer. */
static int copy_entry(int from, int to, const char *name, int depth)
{
	struct stat st;

	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return 0;
	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if (S_ISDIR(st.st_mode))
		return copy_below(from, to, name, &st, depth);
	if (S_ISREG(st.st_mode))
		return copy_file(from, to, name, &st);
	return S_ISLNK(st.st_mode) ? copy_link(from, to, name, &st) : 0;
}

static int copy_directory(int from, int to, int depth)
{
	_Alignas(struct entry) char buffer[1024];
	long n;

	while ((n = syscall(SYS_getdents64, from, buffer, sizeof buffer)) > 0) {
		for (long at = 0; at < n;) {
			const struct entry *e = (const struct entry *)(buffer + at);

			if (copy_entry(from, to, e->name, depth) < 0)
				return -1;
			at += e->size;
		}
	}
	return n < 0 ? -1 : 0;
}

int cx_rootfs_copy_up(struct cx_child *c, int from, int to, const char *path)
{
	return copy_directory(from, to, 0) < 0 ? cx_child_fail(c, CX_CALL_write, path)
					       : 0;
}
