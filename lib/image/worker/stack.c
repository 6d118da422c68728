/* What a container sees below what it has written: filesystems/overlayfs.rst, as far as our mounts use it. */
#include "image/worker/stack.h"
#include "base/error.h"
#include "base/kernel.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

enum { LINKS = 40 };

void cx_stack_close(struct cx_stack *s)
{
	for (size_t i = 1; i < s->count; i++)
		cx_closep(&s->trees[i]);
	free(s->trees);
	*s = (struct cx_stack){ .trees = NULL };
}

int cx_stack_open(struct cx_stack *s, const struct cx_store *store, int upper, const struct cx_image_config *config,
	conex_error **err)
{
	size_t count = config->layer_count;
	cx_autofree char (*names)[CX_LAYER_NAME] = calloc(count + 1, sizeof *names);
	int n = names ? cx_store_find_layers(store, config->diff_ids, count, names, err) : cx_fail_memory(err);

	if (n < 0)
		return n;
	if ((size_t)n < count)
		return cx_fail(err, CONEX_STAGE_IMAGE, -ENOENT, NULL, NULL, "%d of the image's %zu layers are unpacked", n, count);
	s->trees = malloc((count + 1) * sizeof *s->trees);
	if (!s->trees)
		return cx_fail_memory(err);
	s->trees[0] = upper;
	for (s->count = 1; s->count <= count; s->count++) {
		int fd = cx_store_open_layer(store, names[count - s->count], err);

		if (fd < 0)
			return fd;
		s->trees[s->count] = fd;
	}
	return 0;
}

static int open_in(int tree, const char *path, int flags)
{
	return cx_sys_openat2(tree, *path ? path : ".", (unsigned)flags | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

/* Does a directory on the way, as far as this tree has it, hide what is below? */
static int is_hidden(int tree, const char *path)
{
	char part[PATH_MAX], is;

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		cx_autoclose int fd = -1;

		memcpy(part, path, (size_t)(slash - path));
		part[slash - path] = '\0';
		fd = open_in(tree, part, O_RDONLY | O_DIRECTORY);
		if (fd < 0)
			return 0;
		if (fgetxattr(fd, "trusted.overlay.opaque", &is, 1) == 1 && is == 'y')
			return 1;
	}
	return 0;
}

/* A descriptor; -ENOENT: perhaps further below; -ENOTDIR: it ends here */
static int look(int tree, const char *path, struct stat *ret)
{
	cx_autoclose int fd = open_in(tree, path, O_PATH | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT)
		return is_hidden(tree, path) ? -ENOTDIR : -ENOENT;
	if (fd < 0)
		return errno == ELOOP ? -ENOTDIR : -errno;
	if (fstat(fd, ret) < 0)
		return -errno;
	return S_ISCHR(ret->st_mode) && ret->st_rdev == makedev(0, 0) ? -ENOTDIR : cx_steal_fd(&fd);
}

int cx_stack_find(const struct cx_stack *s, size_t first, const char *path, struct stat *ret)
{
	int fd = -ENOENT;

	for (size_t i = first; fd == -ENOENT && i < s->count; i++)
		fd = look(s->trees[i], path, ret);
	return fd == -ENOTDIR ? -ENOENT : fd;
}

/* ---- links ---- */

/* The target of the link at `path` takes its place before `rest`. 1; 0: it is none */
static int follow(const struct cx_stack *s, const char *path, char rest[PATH_MAX], const char *left)
{
	char target[PATH_MAX];
	struct stat st;
	cx_autoclose int fd = cx_stack_find(s, 0, path, &st);
	size_t size = strlen(left);
	ssize_t n;

	if (fd < 0 || !S_ISLNK(st.st_mode))
		return 0;
	n = readlinkat(fd, "", target, sizeof target);
	if (n < 0)
		return -errno;
	if ((size_t)n + 1 + size >= PATH_MAX)
		return -ENAMETOOLONG;
	memmove(rest + n + 1, left, size + 1);
	memcpy(rest, target, (size_t)n);
	rest[n] = '/';
	return 1;
}

static void up(char *to)
{
	char *slash = strrchr(to, '/');

	*(slash ? slash : to) = '\0';
}

int cx_stack_resolve(const struct cx_stack *s, const char *path, char *to)
{
	char rest[PATH_MAX];
	int links = 0, r;

	*to = '\0';
	if (strlen(path) >= sizeof rest)
		return -ENAMETOOLONG;
	strcpy(rest, path);
	for (char *at = rest; *(at += strspn(at, "/"));) {
		size_t n = strcspn(at, "/"), before = strlen(to);
		const char *left = at + n;

		if (n == 1 && *at == '.') {
			at += n;
			continue;
		}
		if (n == 2 && !memcmp(at, "..", 2)) {
			up(to);
			at += n;
			continue;
		}
		if (before + 1 + n >= PATH_MAX)
			return -ENAMETOOLONG;
		snprintf(to + before, PATH_MAX - before, "%s%.*s", before ? "/" : "", (int)n, at);
		r = follow(s, to, rest, left);
		if (r < 0 || (r == 1 && ++links > LINKS))
			return r < 0 ? r : -ELOOP;
		at = r ? rest : at + n;
		if (r == 1)
			to[*rest == '/' ? 0 : before] = '\0';
	}
	return 0;
}
