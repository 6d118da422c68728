/* Implied directories: a layer may bring tmp/x and say nothing of tmp/. Alone it has a tmp of nobody's making, which
 * overlay would show instead of the one below; so it becomes like that one, as it is when all layers go into one tree.
 * After layer.c, when all below is shown, and before the layer is. What is below is fixed by the layer's name, so any two
 * that do this come to the same. */
#include "image/worker/layers.h"
#include "image/worker/tree.h"
#include "base/kernel.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

enum { DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
enum { HIDDEN = 1 };            /* of look: no layer further below is seen here */

struct settling {
	int tree;                       /* the layer's own */
	const char *opaque;             /* overlay's xattr */
	int rootless;
	char *names, *value;            /* XATTR_LIST_MAX, XATTR_SIZE_MAX */
};

static int open_in(int tree, const char *path)
{
	return cx_sys_openat2(tree, *path ? path : ".", DIRECTORY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

/* ---- what a layer below has there ---- */

/* There is nothing: does a directory on the way, as far as this tree has it, hide what is below? 1, 0, -errno */
static int is_hidden(const struct settling *s, int tree, const char *path)
{
	cx_autoclose int at = openat(tree, ".", DIRECTORY);
	char name[NAME_MAX + 1], is;
	int next;

	while (at >= 0) {
		size_t n = strcspn(path, "/");

		if (fgetxattr(at, s->opaque, &is, 1) == 1 && is == 'y')
			return 1;
		memcpy(name, path, n);
		name[n] = '\0';
		path += n + (path[n] == '/');
		next = openat(at, name, DIRECTORY);
		close(at);
		at = next;
	}
	return errno == ENOENT ? 0 : -errno;
}

/* 0 and the directory in *ret; HIDDEN: something else, a whiteout for one; -ENOENT: perhaps further below; -errno */
static int look(const struct settling *s, int tree, const char *path, int *ret)
{
	int fd = open_in(tree, path), r;

	if (fd < 0 && errno == ENOENT) {
		r = is_hidden(s, tree, path);
		return r == 1 ? HIDDEN : r < 0 ? r : -ENOENT;
	}
	if (fd < 0)
		return errno == ENOTDIR || errno == ELOOP ? HIDDEN : -errno;
	*ret = fd;
	return 0;
}

/* ---- becoming like it ---- */

/* What the kernel doesn't let us set is what it has set itself. */
static int copy_xattrs(const struct settling *s, int from, int to)
{
	ssize_t size = flistxattr(from, s->names, XATTR_LIST_MAX), n;

	if (size < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	for (const char *name = s->names; name < s->names + size; name += strlen(name) + 1) {
		if (!cx_xattrs_is_kept(name))
			continue;
		n = fgetxattr(from, name, s->value, XATTR_SIZE_MAX);
		if (n < 0 || (fsetxattr(to, name, s->value, (size_t)n, 0) < 0 && errno != EPERM && errno != EOPNOTSUPP))
			return -errno;
	}
	return 0;
}

/* In the order of attributes.c. */
static int copy(const struct settling *s, int from, const char *path)
{
	cx_autoclose int to = open_in(s->tree, path);
	struct stat st, is;
	int r;

	if (to < 0 || fstat(from, &st) < 0 || fstat(to, &is) < 0)
		return -errno;
	if ((is.st_uid != st.st_uid || is.st_gid != st.st_gid) && fchown(to, st.st_uid, st.st_gid) < 0)
		return -errno;
	if (fchmod(to, st.st_mode & 07777) < 0)
		return -errno;
	r = copy_xattrs(s, from, to);
	if (r == 0 && futimens(to, (struct timespec[2]){ st.st_atim, st.st_mtim }) < 0)
		r = -errno;
	return r;
}

/* ---- all of them ---- */

/* In a rootless store something may be another's, unpacked when we had more ids: that isn't seen. */
static int is_others(const struct settling *s, int r)
{
	return s->rootless && (r == -EACCES || r == -EPERM || r == -EINVAL);
}

/* Those that this layer knows nothing of move to the front: they are what is left. */
static int ask(const struct settling *s, int tree, struct cx_str *left)
{
	char *end = left->data + left->size, *to = left->data;
	int r = 0;

	for (char *path = left->data, *next; r == 0 && path < end; path = next) {
		cx_autoclose int fd = -1;
		size_t size = strlen(path) + 1;

		next = path + size;
		r = look(s, tree, path, &fd);
		if (r == -ENOENT) {
			memmove(to, path, size);
			to += size;
		}
		r = r == 0 ? copy(s, fd, path) : r;
		r = r == HIDDEN || r == -ENOENT || is_others(s, r) ? 0 : r;
	}
	left->size = (size_t)(to - left->data);
	return r;
}

static int settle(struct settling *s, struct cx_layer *y, conex_error **err)
{
	int r = 0;

	s->names = malloc(XATTR_LIST_MAX);
	s->value = malloc(XATTR_SIZE_MAX);
	s->tree = openat(y->place->dir, "root", DIRECTORY);
	if (!s->names || !s->value)
		return cx_fail_memory(err);
	if (s->tree < 0)
		return cx_fail_errno(err, CONEX_STAGE_IMAGE, "openat", NULL, "layer %.20s", y->name);
	for (size_t n = (size_t)(y - y->all->list); r == 0 && n-- > 0 && y->implied.size;) {
		cx_autoclose int below = cx_store_open_layer(y->all->place->store, y->all->list[n].name, err);

		if (below < 0)
			return below;
		r = ask(s, below, &y->implied);
	}
	return r < 0 ? cx_fail(err, CONEX_STAGE_IMAGE, r, NULL, NULL, "layer %.20s: a directory that is below, too", y->name) : 0;
}

int cx_layer_settle(struct cx_layer *y, conex_error **err)
{
	const struct cx_unpack_options *o = &y->all->place->unpack;
	struct settling s = { .tree = -1, .opaque = cx_whiteout_xattr(o->whiteouts, 1), .rootless = o->flags & CX_UNPACK_ROOTLESS };
	int r = y->implied.size ? settle(&s, y, err) : 0;

	free(s.names);
	free(s.value);
	cx_closep(&s.tree);
	cx_str_free(&y->implied);
	return r;
}
