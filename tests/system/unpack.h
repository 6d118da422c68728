/* A place for unpacking strangers' layers in: canaries beside it, and what must be true after each try. For the tests
 * of lib/image/worker's unpacking, as root (system/unpack.c) and as nobody (unit/unpack.c). */
#ifndef TEST_SYSTEM_UNPACK_H
#define TEST_SYSTEM_UNPACK_H

#include <dirent.h>
#include <limits.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include "test.h"
#include "base/kernel.h"
#include "base/str.h"
#include "image/worker/unpack.h"

struct box {
	char path[128], canary[160], corpus[160];       /* path holds out/, canary/, corpus/ */
	int dir, out;
	char *before;                                   /* how the canaries were */
};

/* ---- the canaries --------------------------------------------------------------------------------- */

static inline void box_describe(struct cx_str *to, int dirfd, const char *name, const char *path)
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

static inline void box_walk(struct cx_str *to, int dirfd, const char *path)
{
	DIR *dir = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		char below[4096];
		int fd;

		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		snprintf(below, sizeof below, "%s/%s", path, d->d_name);
		box_describe(to, dirfd, d->d_name, below);
		fd = openat(dirfd, d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0) {
			box_walk(to, fd, below);
			close(fd);
		}
	}
	if (dir)
		closedir(dir);
}

static inline char *box_look(const struct box *b)
{
	struct cx_str text = { .data = NULL };
	int fd = open(b->canary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	box_describe(&text, AT_FDCWD, b->canary, "canary");
	box_walk(&text, fd, "canary");
	close(fd);
	return cx_str_take(&text);
}

static inline void box_write(int dirfd, const char *name, const char *text)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* World-writable on purpose: what isn't hurt isn't hurt for want of rights. */
static inline void box_canaries(struct box *b)
{
	int fd;

	mkdir(b->canary, 0777);
	chmod(b->canary, 0777);
	fd = open(b->canary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	box_write(fd, "file", "as it was");
	mkdirat(fd, "sub", 0777);
	box_write(fd, "sub/file", "as it was");
	symlinkat("file", fd, "link");
	mkfifoat(fd, "fifo", 0666);
	close(fd);
	b->before = box_look(b);
}

/* ---- the box -------------------------------------------------------------------------------------- */

static inline int box_make(struct box *b)
{
	char command[600];
	const char *src = getenv("CX_SRCDIR");

	snprintf(b->path, sizeof b->path, "/tmp/conex-unpack-XXXXXX");
	if (!mkdtemp(b->path))
		return 0;
	chmod(b->path, 0755);
	snprintf(b->canary, sizeof b->canary, "%s/canary", b->path);
	snprintf(b->corpus, sizeof b->corpus, "%s/corpus", b->path);
	b->dir = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mkdirat(b->dir, "corpus", 0755);
	mkdirat(b->dir, "out", 0700);
	b->out = openat(b->dir, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	box_canaries(b);
	snprintf(command, sizeof command, "python3 '%s/tests/system/unpack-corpus.py' %s %s >/dev/null", src ? src : ".", b->corpus,
		b->canary);
	return CHECK_INT(system(command), 0);
}

static inline void box_remove(struct box *b)
{
	char command[200];

	close(b->dir);
	close(b->out);
	free(b->before);
	snprintf(command, sizeof command, "rm -rf %s", b->path);
	CHECK_INT(system(command), 0);
}

/* What lies in a directory: how many names; the first one. */
static inline int box_count(int dirfd, char first[256])
{
	DIR *dir = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *d;
	int n = 0;

	*first = '\0';
	while (dir && (d = readdir(dir)))
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			if (n++ == 0)
				snprintf(first, 256, "%s", d->d_name);
	if (dir)
		closedir(dir);
	return n;
}

/* Did a call that said r leave what it must: the tree "t" or nothing, and the canaries as they were? */
static inline int box_whole(const struct box *b, int r, const char *what)
{
	char *now = box_look(b), first[256];
	int n = box_count(b->out, first), good;

	good = CHECK_STR(now, b->before) & CHECK_INT(n, r == 0) & (r < 0 || CHECK_STR(first, "t"));
	if (!good)
		printf("# ... after %s\n", what);
	free(now);
	return good;
}

static inline void box_empty(const struct box *b)
{
	char command[200];

	snprintf(command, sizeof command, "chmod -R u+rwx %s/out/t 2>/dev/null; rm -rf %s/out/t", b->path, b->path);
	if (faccessat(b->out, "t", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		CHECK_INT(system(command), 0);
}

static inline int box_open(const char *directory, const char *name, int number)
{
	char path[512];

	snprintf(path, sizeof path, "%s/%s.%d", directory, name, number);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* ---- what a tree must show ------------------------------------------------------------------------- */

static inline void box_decode(char *text)
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

static inline int box_is_opaque(int fd)
{
	char names[2][32] = { "trusted.overlay.opaque", "user.overlay.opaque" }, value[2];

	return (fgetxattr(fd, names[0], value, 2) == 1 || fgetxattr(fd, names[1], value, 2) == 1) && *value == 'y';
}

/* No attribute of its own but a label that the machine gives to all. */
static inline int box_is_plain(int fd)
{
	char names[256];
	ssize_t n = flistxattr(fd, names, sizeof names);

	return n == 0 || (n > 0 && !strcmp(names, "security.selinux") && (size_t)n == strlen(names) + 1);
}

/* "file:CONTENTS", "link:TARGET", "dir", ... of an O_PATH descriptor, and one for reading. */
static inline int box_shows(int at, int fd, const char *kind)
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
		return S_ISDIR(st.st_mode) && box_is_opaque(fd);
	if (!strcmp(kind, "plain"))
		return box_is_plain(fd);
	if (!strcmp(kind, "whiteout"))
		return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
	return !strcmp(kind, "dir") ? S_ISDIR(st.st_mode) : !strcmp(kind, "fifo") ? S_ISFIFO(st.st_mode)
		: !strcmp(kind, "block") ? S_ISBLK(st.st_mode) : !strcmp(kind, "char") ? S_ISCHR(st.st_mode) : 0;
}

/* "PATH=KIND" or "!PATH", below out/t. */
static inline int box_check(const struct box *b, char *wanted)
{
	const uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
	char *kind = strrchr(wanted, '='), path[4096];
	int absent = *wanted == '!', at, fd, good;

	if (kind && !absent)
		*kind++ = '\0';
	box_decode(wanted);
	snprintf(path, sizeof path, "t/%s", wanted + absent);
	at = cx_sys_openat2(b->out, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, resolve);
	fd = cx_sys_openat2(b->out, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0, resolve);
	good = absent ? at < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) : at >= 0 && box_shows(at, fd, kind);
	if (at >= 0)
		close(at);
	if (fd >= 0)
		close(fd);
	return good;
}

/* ---- the corpus ------------------------------------------------------------------------------------ */

static inline uint64_t box_option(const char *options, const char *name)
{
	const char *at = strstr(options, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static inline int box_is_printable(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text == 0x7f)
			return 0;
	return 1;
}

/* Unpacks all layers of a case into out/t. */
static inline int box_unpack(const struct box *b, const char *name, int count, const char *options,
	struct cx_unpack_options o, conex_error **err)
{
	struct cx_packed layers[4] = { { .fd = -1 } };
	int r;

	o.limits = (struct cx_unpack_limits){ .bytes = box_option(options, "bytes="), .ratio = box_option(options, "ratio="),
		.entries = box_option(options, "entries="), .depth = (uint32_t)box_option(options, "depth="),
		.path = (uint32_t)box_option(options, "path="), .header = (uint32_t)box_option(options, "header="),
		.memory = box_option(options, "memory="),
		.xattrs = (uint32_t)box_option(options, "xattrs=") };
	for (int i = 0; i < count; i++)
		layers[i] = (struct cx_packed){ .fd = box_open(b->corpus, name, i) };
	r = strstr(options, "apply") ? cx_unpack_tree(b->out, "t", layers, (size_t)count, &o, NULL, err)
		: cx_unpack_layer(b->out, "t", layers, &o, NULL, err);
	for (int i = 0; i < count; i++)
		close(layers[i].fd);
	return r;
}

/* name, layers, expected, options, shows */
static inline void box_case(const struct box *b, char *column[5], const struct cx_unpack_options *o)
{
	conex_error *err = NULL;
	char *save = NULL;
	int r = box_unpack(b, column[0], atoi(column[1]), column[3], *o, &err);
	const char *became = r == 0 ? "lands" : strerrorname_np(-r), *found = strstr(column[2], became ? became : "?");

	if (!CHECK(found))
		printf("# %s: %s (%s), not %s\n", column[0], became, conex_error_text(err), column[2]);
	if (r < 0 && !CHECK(*conex_error_text(err) && box_is_printable(conex_error_text(err))
		&& conex_error_stage(err) == CONEX_STAGE_IMAGE && conex_error_code(err) == r))
		printf("# ... of %s\n", column[0]);
	box_whole(b, r, column[0]);
	for (char *one = strtok_r(column[4], "|", &save); r == 0 && one; one = strtok_r(NULL, "|", &save)) {
		char text[4096];

		snprintf(text, sizeof text, "%s", one);
		if (!CHECK(box_check(b, one)))
			printf("# %s: %s isn't so\n", column[0], text);
	}
	box_empty(b);
	conex_error_free(err);
}

/* All of the index; how many were tried. */
static inline int box_corpus(const struct box *b, const struct cx_unpack_options *o, int is_root)
{
	char path[256], line[16384];
	FILE *index;
	int n = 0;

	snprintf(path, sizeof path, "%s/index", b->corpus);
	index = fopen(path, "r");
	while (index && fgets(line, sizeof line, index)) {
		char *rest = line, *column[5] = { "", "", "", "", "" };

		line[strcspn(line, "\n")] = '\0';
		for (int i = 0; i < 5 && rest; i++)
			column[i] = strsep(&rest, "\t");
		if (strstr(column[3], "root") && !is_root)
			continue;
		box_case(b, column, o);
		n++;
	}
	if (index)
		fclose(index);
	return n;
}

/* Descriptors and threads that are open now. */
static inline int box_open_count(const char *what)
{
	int fd = open(what, O_RDONLY | O_DIRECTORY | O_CLOEXEC), n;
	char first[256];

	n = box_count(fd, first);
	close(fd);
	return n;
}

#endif
