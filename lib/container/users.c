/* Files of a container's root before it has one: where several layers are its root they are looked up as overlay will
 * show them. What lies in them is a stranger's: no link leads out of them. user.c reads what is found. */
#include "container/container.h"
#include "base/path.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

enum { LINKS_MAX = 40 };

/* A place in the layers: without links, and what is left of the way. */
struct way {
	char at[PATH_MAX], rest[PATH_MAX];
	const char *tree;       /* the layer that shows it; borrowed */
	struct stat st;         /* of it */
	int links;
};

static int join(char to[PATH_MAX], const char *a, const char *b)
{
	char text[PATH_MAX];

	if ((size_t)snprintf(text, sizeof text, "%s/%s", a, b) >= sizeof text)
		return -ENAMETOOLONG;
	strcpy(to, text);
	return 0;
}

static int says(const char *path, const char *attribute)
{
	char value;

	return lgetxattr(path, attribute, &value, 1) >= 0 || errno == ERANGE;
}

static int is_whiteout(const char *path, const struct stat *st)
{
	return (S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0))
		|| (S_ISREG(st->st_mode) && !st->st_size && says(path, "user.overlay.whiteout"));
}

static int is_opaque(const char *path)
{
	return says(path, "trusted.overlay.opaque") || says(path, "user.overlay.opaque");
}

/* One layer's word on w->at: 1 it shows it; 0 nothing, it is for those below; -errno: it hides it, or is asked last. */
static int look_in(struct way *w, const char *tree)
{
	char path[PATH_MAX];
	size_t root = strlen(tree), n = 0;
	int last = is_opaque(tree);

	if (join(path, tree, w->at) < 0)
		return -ENAMETOOLONG;
	while (path[root + n]) {
		char *end = path + root + n + 1 + strcspn(path + root + n + 1, "/"), cut = *end;

		*end = '\0';
		if (lstat(path, &w->st) < 0)
			return errno != ENOENT || last ? -errno : 0;
		if (is_whiteout(path, &w->st))
			return -ENOENT;
		if (cut && !S_ISDIR(w->st.st_mode))
			return -ENOTDIR;
		last |= cut && is_opaque(path);
		*end = cut;
		n = (size_t)(end - path) - root;
	}
	w->tree = tree;
	return 1;
}

static int look(struct way *w, const json_t *trees)
{
	const json_t *tree;
	size_t i;
	int r = 0;

	json_array_foreach(trees, i, tree)
		if ((r = look_in(w, json_string_value(tree))) != 0)
			return r < 0 ? r : 0;
	return -ENOENT;
}

static int follow(struct way *w)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t n;

	if (++w->links > LINKS_MAX)
		return -ELOOP;
	if (join(path, w->tree, w->at) < 0 || (n = readlink(path, target, sizeof target)) == sizeof target)
		return -ENAMETOOLONG;
	if (n < 0)
		return -errno;
	target[n] = '\0';
	*(*target == '/' ? w->at : strrchr(w->at, '/')) = '\0';
	return join(w->rest, target, w->rest);
}

/* Where w->rest leads to, component by component. */
static int resolve(struct way *w, const json_t *trees)
{
	int r = 0;

	while (r == 0 && *w->rest) {
		size_t n = strcspn(w->rest, "/");
		char name[NAME_MAX + 1] = "";

		if (n > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, w->rest, n);
		n += strspn(w->rest + n, "/");
		memmove(w->rest, w->rest + n, strlen(w->rest + n) + 1);
		if (!strcmp(name, "..") && *w->at)
			*strrchr(w->at, '/') = '\0';
		if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
			continue;
		r = join(w->at, w->at, name);
		if (r == 0)
			r = look(w, trees);
		if (r == 0 && S_ISLNK(w->st.st_mode))
			r = follow(w);
		else if (r == 0 && *w->rest && !S_ISDIR(w->st.st_mode))
			r = -ENOTDIR;
	}
	return r;
}

/* To look at: O_PATH. */
static int open_at(const char *root, const char *path, struct stat *st)
{
	cx_autoclose int dir = root ? open(root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1, fd = -1;

	if (dir < 0)
		return root ? -errno : -EINVAL;
	fd = cx_open_in_root(dir, path, O_PATH, 0);
	return fd < 0 || fstat(fd, st) < 0 ? -errno : cx_steal_fd(&fd);
}

int cx_users_open(const json_t *spec, const char *path, struct stat *st)
{
	const json_t *trees = cx_json_at(spec, "root.overlay.lower");
	cx_autofree struct way *w = NULL;
	int r;

	if (!json_array_size(trees))
		return open_at(cx_json_text(spec, "root.path"), path, st);
	w = calloc(1, sizeof *w);
	if (!w)
		return -ENOMEM;
	snprintf(w->rest, sizeof w->rest, "%s", path);
	r = resolve(w, trees);
	return r < 0 ? r : open_at(w->tree, w->at, st);
}
