/* A place for unpacking strangers' layers in: canaries beside it, and what must be true after each try. For the tests
 * of lib/image/worker's unpacking, as root (system/unpack.c) and as nobody (unit/unpack.c). */
#ifndef TEST_SYSTEM_UNPACK_H
#define TEST_SYSTEM_UNPACK_H

#include <limits.h>
#include "system/canary.h"
#include "image/worker/unpack.h"

struct box {
	char path[128], canary[160], corpus[160];       /* path holds out/, canary/, corpus/ */
	int dir, out;
	char *before;                                   /* how the canaries were */
};

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
	canary_make(b->canary);
	b->before = tree_look(b->canary);
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
	char *now = tree_look(b->canary), first[256];
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

/* ---- the corpus ------------------------------------------------------------------------------------ */

/* Unpacks all layers of a case into out/t. */
static inline int box_unpack(const struct box *b, const char *name, int count, const char *options,
	struct cx_unpack_options o, conex_error **err)
{
	struct cx_packed layers[4] = { { .fd = -1 } };
	int r;

	o.limits = (struct cx_unpack_limits){ .bytes = corpus_option(options, "bytes="), .ratio = corpus_option(options, "ratio="),
		.entries = corpus_option(options, "entries="), .depth = (uint32_t)corpus_option(options, "depth="),
		.path = (uint32_t)corpus_option(options, "path="), .header = (uint32_t)corpus_option(options, "header="),
		.memory = corpus_option(options, "memory="),
		.xattrs = (uint32_t)corpus_option(options, "xattrs=") };
	for (int i = 0; i < count; i++)
		layers[i] = (struct cx_packed){ .fd = box_open(b->corpus, name, i) };
	r = strstr(options, "apply") ? cx_unpack_tree(b->out, "t", layers, (size_t)count, &o, NULL, err)
		: cx_unpack_layer(b->out, "t", layers, &o, NULL, err);
	for (int i = 0; i < count; i++)
		close(layers[i].fd);
	return r;
}

/* The columns of one line. */
static inline void box_case(const struct box *b, char *column[6], const struct cx_unpack_options *o)
{
	conex_error *err = NULL;
	char *save = NULL;
	int r = box_unpack(b, column[0], atoi(column[1]), column[3], *o, &err);
	const char *became = r == 0 ? "lands" : strerrorname_np(-r), *found = strstr(column[2], became ? became : "?");
	int tree;

	if (!CHECK(found))
		printf("# %s: %s (%s), not %s\n", column[0], became, conex_error_text(err), column[2]);
	if (r < 0 && !CHECK(*conex_error_text(err) && is_printable(conex_error_text(err))
		&& conex_error_stage(err) == CONEX_STAGE_IMAGE && conex_error_code(err) == r))
		printf("# ... of %s\n", column[0]);
	box_whole(b, r, column[0]);
	tree = r == 0 ? openat(b->out, "t", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
	for (char *one = strtok_r(column[4], "|", &save); r == 0 && one; one = strtok_r(NULL, "|", &save)) {
		char text[4096];

		snprintf(text, sizeof text, "%s", one);
		if (!CHECK(tree_check(tree, one)))
			printf("# %s: %s isn't so\n", column[0], text);
	}
	if (tree >= 0)
		close(tree);
	box_empty(b);
	conex_error_free(err);
}

/* All of the index; how many were tried. */
static inline int box_corpus(const struct box *b, const struct cx_unpack_options *o, int is_root)
{
	char path[256], line[16384], *column[6];
	FILE *index;
	int n = 0;

	snprintf(path, sizeof path, "%s/index", b->corpus);
	index = fopen(path, "re");
	while (corpus_next(index, line, sizeof line, column)) {
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
