/* A place for unpacking strangers' layers in: what is there is described to the last bit, so that it can be compared
 * later; what a tree must show; and the index of hostile layers (unpack-corpus.py). For unpack.h and the tests of whole images. */
#ifndef TEST_SYSTEM_CANARY_H
#define TEST_SYSTEM_CANARY_H

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include "test.h"
#include "base/kernel.h"
#include "base/str.h"
#include "image/refuse.h"

/* ---- the canaries --------------------------------------------------------------------------------- */

static inline void tree_describe(struct cx_str *to, int dirfd, const char *name, const char *path)
{
	char text[4096], names[512];
	struct stat st;
	ssize_t n = -1;
	int fd;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	cx_str_addf(to, "%s %o %lu %u:%u %lu %lu %ld.%09ld %ld.%09ld", path, st.st_mode, st.st_ino, st.st_uid, st.st_gid,
		S_ISDIR(st.st_mode) ? 0 : (unsigned long)st.st_nlink, (unsigned long)st.st_size, st.st_mtim.tv_sec,
		st.st_mtim.tv_nsec, st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
	if (S_ISLNK(st.st_mode))
		n = readlinkat(dirfd, name, text, sizeof text);
	fd = S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) ? openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
	if (S_ISREG(st.st_mode))
		n = read(fd, text, sizeof text);
	cx_str_addf(to, " \"%.*s\" %zd\n", n > 0 ? (int)n : 0, text, fd < 0 ? -1 : flistxattr(fd, names, sizeof names));
	if (fd >= 0)
		close(fd);
}

static inline void tree_walk(struct cx_str *to, int dirfd, const char *path)
{
	DIR *dir = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		char below[4096];
		int fd;

		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		snprintf(below, sizeof below, "%s/%s", path, d->d_name);
		tree_describe(to, dirfd, d->d_name, below);
		fd = openat(dirfd, d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0) {
			tree_walk(to, fd, below);
			close(fd);
		}
	}
	if (dir)
		closedir(dir);
}

/* All that is at a path, and below. free */
static inline char *tree_look(const char *path)
{
	struct cx_str text = { .data = NULL };
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	tree_describe(&text, AT_FDCWD, path, "");
	if (fd >= 0) {
		tree_walk(&text, fd, "");
		close(fd);
	}
	return cx_str_take(&text);
}

static inline void tree_write(int dirfd, const char *name, const char *text)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* World-writable on purpose: what isn't hurt isn't hurt for want of rights. */
static inline void canary_make(const char *path)
{
	int fd;

	mkdir(path, 0777);
	chmod(path, 0777);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	tree_write(fd, "file", "as it was");
	mkdirat(fd, "sub", 0777);
	tree_write(fd, "sub/file", "as it was");
	symlinkat("file", fd, "link");
	mkfifoat(fd, "fifo", 0666);
	close(fd);
}

/* ---- what a tree must show ------------------------------------------------------------------------- */

static inline void tree_decode(char *text)
{
	char *to = text;

	for (; *text; text++) {
		unsigned byte;

		if (*text == '%' && sscanf(text + 1, "%2x", &byte) == 1) {
			*to++ = (char)byte;
			text += 2;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

static inline int tree_is_opaque(int fd)
{
	char names[2][32] = { "trusted.overlay.opaque", "user.overlay.opaque" }, value[2];

	return (fgetxattr(fd, names[0], value, 2) == 1 || fgetxattr(fd, names[1], value, 2) == 1) && *value == 'y';
}

/* No attribute of its own but a label that the machine gives to all. */
static inline int tree_is_plain(int fd)
{
	char names[256];
	ssize_t n = flistxattr(fd, names, sizeof names);

	return n == 0 || (n > 0 && !strcmp(names, "security.selinux") && (size_t)n == strlen(names) + 1);
}

/* "file:CONTENTS", "link:TARGET", "dir", ... of an O_PATH descriptor, and one for reading. */
static inline int tree_shows(int at, int fd, const char *kind)
{
	const char *value = strchr(kind, ':') ? strchr(kind, ':') + 1 : NULL;
	char text[8192] = "";
	struct stat st;

	if (fstat(at, &st) < 0)
		return 0;
	if (!strncmp(kind, "file", 4))
		return S_ISREG(st.st_mode) && read(fd, text, sizeof text - 1) >= 0 && (!value || !strcmp(text, value));
	if (!strncmp(kind, "link", 4))
		return S_ISLNK(st.st_mode) && readlinkat(at, "", text, sizeof text - 1) > 0 && (!value || !strcmp(text, value));
	if (!strncmp(kind, "mode:", 5))
		return (st.st_mode & 07777) == strtoul(value, NULL, 8);
	if (!strncmp(kind, "size:", 5))
		return S_ISREG(st.st_mode) && (unsigned long)st.st_size == strtoul(value, NULL, 10);
	if (!strcmp(kind, "opaque"))
		return S_ISDIR(st.st_mode) && tree_is_opaque(fd);
	if (!strcmp(kind, "plain"))
		return tree_is_plain(fd);
	if (!strcmp(kind, "whiteout"))
		return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
	return !strcmp(kind, "dir") ? S_ISDIR(st.st_mode) : !strcmp(kind, "fifo") ? S_ISFIFO(st.st_mode)
		: !strcmp(kind, "block") ? S_ISBLK(st.st_mode) : !strcmp(kind, "char") ? S_ISCHR(st.st_mode) : 0;
}

/* "PATH=KIND" or "!PATH", below root. */
static inline int tree_check(int root, char *wanted)
{
	const uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
	char *kind = strrchr(wanted, '='), dot[] = ".";
	int absent = *wanted == '!', at, fd, good;

	if (kind && !absent)
		*kind++ = '\0';
	tree_decode(wanted);
	wanted += absent;
	if (!*wanted)
		wanted = dot;
	at = cx_sys_openat2(root, wanted, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, resolve);
	fd = cx_sys_openat2(root, wanted, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0, resolve);
	good = absent ? at < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) : at >= 0 && tree_shows(at, fd, kind);
	if (at >= 0)
		close(at);
	if (fd >= 0)
		close(fd);
	return good;
}

/* ---- the index ------------------------------------------------------------------------------------ */

static inline uint64_t corpus_option(const char *options, const char *name)
{
	const char *at = strstr(options, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* Nothing in it steers a terminal. */
static inline int is_printable(const char *text)
{
	cx_autostr quoted = { .data = NULL };

	cx_image_quote(&quoted, text, strlen(text));
	return !strcmp(quoted.data ? quoted.data : "", text);
}

/* name, layers, expected, options, shows, apart: columns of a line, which is cut to pieces. 0: there is no more */
static inline int corpus_next(FILE *index, char *line, int size, char *column[6])
{
	char *rest = line;

	if (!index || !fgets(line, size, index))
		return 0;
	line[strcspn(line, "\n")] = '\0';
	for (int i = 0; i < 6; i++)
		column[i] = rest ? strsep(&rest, "\t") : line + strlen(line);
	return 1;
}

#endif
