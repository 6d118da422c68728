/* Inside the container: an overlay of several directories as the root file system, before
 * child.c's root. */
#include "rootfs/child-path.h"

#include <string.h>
#include <unistd.h>

enum { LAYERS = 64, TEXT_MAX = 255 }; /* fsconfig takes no longer texts */

struct layers {
	const char *lower[LAYERS]; /* topmost first */
	uint32_t count;
	const char *upper, *work; /* NULL: read-only */
};

static int set_text(int fs, const char *key, const char *value)
{
	return cx_sys_fsconfig(fs, CX_FSCONFIG_SET_STRING, key, value, 0);
}

/* Linux 6.5 on: each layer by its path, as it is. */
static int set_paths(struct cx_child *c, int fs, const struct layers *l)
{
	const char *failed = NULL;

	for (uint32_t i = 0; !failed && i < l->count; i++)
		if (set_text(fs, "lowerdir+", l->lower[i]) < 0)
			failed = l->lower[i];
	if (!failed && l->upper && set_text(fs, "upperdir", l->upper) < 0)
		failed = l->upper;
	if (!failed && l->work && set_text(fs, "workdir", l->work) < 0)
		failed = l->work;
	return failed ? cx_rootfs_fail_fs(c, fs, CX_CALL_fsconfig, failed) : 0;
}

static char *add_number(char *to, unsigned n)
{
	char digits[12];
	int i = 0;

	do
		digits[i++] = (char)('0' + n % 10);
	while (n /= 10);
	while (i)
		*to++ = digits[--i];
	*to = '\0';
	return to;
}

/* Opens a layer and appends its number; the descriptor stays open until the file system
 * is made. */
static int open_layer(struct cx_child *c, const char *path, int *fd, char **end)
{
	*fd = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return cx_child_fail(c, CX_CALL_open, path);
	*end = add_number(*end, (unsigned)*fd);
	return 0;
}

static int set_number(
	struct cx_child *c, int fs, const char *key, const char *path, int *fd)
{
	char text[16], *end = text;
	int r = path ? open_layer(c, path, fd, &end) : 0;

	if (r == 0 && path && set_text(fs, key, text) < 0)
		r = cx_rootfs_fail_fs(c, fs, CX_CALL_fsconfig, path);
	return r;
}

/* Older kernels, and paths that are too long: one text of at most 255 bytes with colons
 * in between, in which ':', ',' and '\' would need escapes. Names in /proc/self/fd are
 * short and have none. */
static int set_numbers(
	struct cx_child *c, int fs, const struct layers *l, int fds[LAYERS + 2])
{
	char text[TEXT_MAX + 16], *end = text;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < l->count; i++) {
		if (i)
			*end++ = ':';
		if (end - text > TEXT_MAX - 4) {
			errno = E2BIG;
			return cx_child_fail(c, CX_CALL_fsconfig, l->lower[i]);
		}
		r = open_layer(c, l->lower[i], &fds[i], &end);
	}
	if (r == 0 && chdir("/proc/self/fd") < 0)
		r = cx_child_fail(c, CX_CALL_chdir, "/proc/self/fd");
	if (r == 0 && set_text(fs, "lowerdir", text) < 0)
		r = cx_rootfs_fail_fs(c, fs, CX_CALL_fsconfig, l->lower[0]);
	if (r == 0)
		r = set_number(c, fs, "upperdir", l->upper, &fds[LAYERS]);
	return r < 0 ? r : set_number(c, fs, "workdir", l->work, &fds[LAYERS + 1]);
}

static int open_overlay(struct cx_child *c, const char *options)
{
	int fs = cx_sys_fsopen("overlay", FSOPEN_CLOEXEC), r;

	if (fs < 0)
		return cx_child_fail(c, CX_CALL_fsopen, "overlay");
	r = cx_rootfs_configure(c, fs, "source=overlay");
	if (r == 0 && options)
		r = cx_rootfs_configure(c, fs, options);
	if (r < 0)
		cx_rootfs_drop(&fs);
	return r < 0 ? r : fs;
}

static int overlay_by_numbers(struct cx_child *c, const struct layers *l,
	const char *options, unsigned attributes)
{
	int fds[LAYERS + 2], fs = open_overlay(c, options), r;

	if (fs < 0)
		return fs;
	memset(fds, -1, sizeof fds);
	r = set_numbers(c, fs, l, fds);
	if (r == 0)
		r = cx_rootfs_create(c, fs, attributes, l->lower[0]);
	else
		cx_rootfs_drop(&fs);
	for (int i = 0; i < LAYERS + 2; i++)
		cx_rootfs_drop(&fds[i]);
	if (chdir("/") < 0 && r >= 0) {
		cx_rootfs_drop(&r);
		r = cx_child_fail(c, CX_CALL_chdir, "/");
	}
	return r;
}

static int overlay_by_paths(struct cx_child *c, const struct layers *l,
	const char *options, unsigned attributes)
{
	int fs = open_overlay(c, options), r;

	if (fs < 0)
		return fs;
	r = set_paths(c, fs, l);
	if (r == 0)
		r = cx_rootfs_create(c, fs, attributes, l->lower[0]);
	else
		cx_rootfs_drop(&fs);
	/* before 6.5 options are text, taken unread: only the whole is refused */
	return r == -EINVAL ? overlay_by_numbers(c, l, options, attributes) : r;
}

/* Whether a path can be given as it is: the kernel takes backslashes away in some
 * versions, in some of the options. */
static int is_plain(const char *path)
{
	return !path || (strlen(path) <= TEXT_MAX && !strchr(path, '\\'));
}

static int all_plain(const struct layers *l)
{
	int plain = is_plain(l->upper) && is_plain(l->work);

	for (uint32_t i = 0; i < l->count; i++)
		plain &= is_plain(l->lower[i]);
	return plain;
}

/* An overlay needs two layers; one alone, not to be written to, is just that directory. */
static int clone_read_only(struct cx_child *c, const char *path, uint64_t attributes)
{
	uint64_t set = attributes | CX_MOUNT_ATTR_RDONLY;
	const struct cx_mount_attr attr = { .attr_set = set };
	int tree = cx_sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree < 0)
		return cx_child_fail(c, CX_CALL_open_tree, path);
	if (cx_sys_mount_setattr(tree, "", AT_EMPTY_PATH, &attr) < 0) {
		cx_rootfs_drop(&tree);
		return cx_child_fail(c, CX_CALL_mount_setattr, path);
	}
	return tree;
}

int cx_child_overlay(struct cx_child *c, const struct cx_op *op)
{
	struct layers l = {
		.count = cx_child_count(c, op->arg[1]),
		.upper = cx_child_text(c, op->arg[2]),
		.work = cx_child_text(c, op->arg[3]),
	};
	const char *options = cx_child_text(c, op->arg[4]);
	int fd;

	if (l.count == 0 || l.count > LAYERS || op->arg[0] >= CX_CHILD_SOURCES) {
		errno = l.count ? E2BIG : EINVAL;
		return cx_child_fail(c, CX_CALL_fsconfig, "lowerdir");
	}
	for (uint32_t i = 0; i < l.count; i++)
		l.lower[i] = cx_child_item(c, op->arg[1], i);
	if (!l.upper && l.count == 1)
		fd = clone_read_only(c, l.lower[0], op->arg[5]);
	else if (all_plain(&l))
		fd = overlay_by_paths(c, &l, options, (unsigned)op->arg[5]);
	else
		fd = overlay_by_numbers(c, &l, options, (unsigned)op->arg[5]);
	if (fd < 0)
		return fd;
	/* an earlier way may have failed and left its note */
	c->status->error = 0;
	c->source[op->arg[0]] = fd;
	return 0;
}
