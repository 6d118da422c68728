/* Inside the container: an overlay of several directories as the root file system, before
 * child.c's root. */
#include "rootfs/child-path.h"

#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
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

/* A copy of a layer's mount, its ids mapped where there is a map. An overlay needs two layers:
 * one alone, not to be written to, is just that copy. */
static int clone_layer(struct cx_child *c, const char *path, uint64_t set)
{
	int map = c->source[CX_SOURCE_MAP];
	const struct cx_mount_attr attr = { .attr_set = set | (map >= 0 ? CX_MOUNT_ATTR_IDMAP : 0),
		.userns_fd = map >= 0 ? (uint64_t)map : 0 };
	int tree = cx_sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree < 0)
		return cx_child_fail(c, CX_CALL_open_tree, path);
	if (cx_sys_mount_setattr(tree, "", AT_EMPTY_PATH, &attr) < 0) {
		cx_rootfs_drop(&tree);
		return cx_child_fail(c, CX_CALL_mount_setattr, map >= 0 ? "MOUNT_ATTR_IDMAP" : path);
	}
	return tree;
}

static int overlay_of(struct cx_child *c, const struct layers *l, const char *options, unsigned attributes)
{
	return all_plain(l) ? overlay_by_paths(c, l, options, attributes) : overlay_by_numbers(c, l, options, attributes);
}

/* ---- of layers whose ids are mapped, or with a limit of what is written ---- */

/* Puts each layer's mapped copy over the layer. */
static int cover(struct cx_child *c, const struct layers *l)
{
	int r = 0;

	if (c->source[CX_SOURCE_MAP] < 0)
		return 0;
	for (uint32_t i = 0; r == 0 && i < l->count; i++) {
		int tree = clone_layer(c, l->lower[i], 0);

		if (tree < 0)
			return tree;
		if (cx_sys_move_mount(tree, "", AT_FDCWD, l->lower[i], MOVE_MOUNT_F_EMPTY_PATH) < 0)
			r = cx_child_fail(c, CX_CALL_move_mount, l->lower[i]);
		cx_rootfs_drop(&tree);
	}
	return r;
}

/* Descriptors are shared with who waits for us: none is left open but `place`. */
static int make_covered(struct cx_child *c, const struct layers *l, const char *options, unsigned attributes, int place)
{
	const struct cx_op alone = { .arg = { MS_PRIVATE | MS_REC } };
	int r = cx_child_propagation(c, &alone), fd;

	cx_rootfs_drop(&c->real_root);
	if (r == 0)
		r = cover(c, l);
	if (r == 0 && c->tree & CX_TREE_DISK)
		r = cx_rootfs_mount_disk(c, l->upper);
	if (r < 0)
		return r;
	fd = overlay_of(c, l, options, attributes);
	if (fd < 0)
		return fd;
	if (dup3(fd, place, O_CLOEXEC) < 0)
		r = cx_child_fail(c, CX_CALL_dup3, NULL);
	cx_rootfs_drop(&fd);
	return r;
}

static void __attribute__((noreturn)) maker(struct cx_child *c, const struct layers *l, const char *options,
	unsigned attributes, int place, pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	_exit(make_covered(c, l, options, attributes, place) < 0);
}

/* What an overlay is made of has to be mounted where its maker is (until Linux 6.15), and nobody else shall see it
 * there: a process does it that has mounts of its own and, with us, descriptors. */
static int overlay_apart(struct cx_child *c, const struct layers *l, const char *options, unsigned attributes)
{
	struct cx_clone_args a = { .flags = CLONE_NEWNS | CLONE_FILES };
	int place = openat(AT_FDCWD, "/", O_PATH | O_CLOEXEC), status = 0;
	pid_t parent = getpid(), pid;

	if (place < 0)
		return cx_child_fail(c, CX_CALL_open, "/");
	c->status->error = 0;
	pid = (pid_t)syscall(SYS_clone3, &a, sizeof a);
	if (pid == 0)
		maker(c, l, options, attributes, place, parent);
	if (pid < 0) {
		cx_rootfs_drop(&place);
		return cx_child_fail(c, CX_CALL_clone3, "a mount namespace for the layers");
	}
	while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
		;
	if (status == 0)
		return place;
	cx_rootfs_drop(&place);
	if (c->status->error)   /* it has said why */
		return -c->status->error;
	errno = ECHILD;
	return cx_child_fail(c, CX_CALL_clone3, "a mount namespace for the layers");
}

int cx_child_map_layers(struct cx_child *c, const struct cx_op *op)
{
	int map = cx_rootfs_map(c, cx_child_text(c, op->arg[0]), cx_child_text(c, op->arg[1]));

	if (map >= 0)
		c->source[CX_SOURCE_MAP] = map;
	return map < 0 ? map : 0;
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
		fd = clone_layer(c, l.lower[0], op->arg[5] | CX_MOUNT_ATTR_RDONLY);
	else if (c->source[CX_SOURCE_MAP] >= 0 || (l.upper && c->tree & CX_TREE_DISK))
		fd = overlay_apart(c, &l, options, (unsigned)op->arg[5]);
	else
		fd = overlay_of(c, &l, options, (unsigned)op->arg[5]);
	cx_rootfs_drop(&c->source[CX_SOURCE_MAP]);
	if (fd < 0)
		return fd;
	/* an earlier way may have failed and left its note */
	c->status->error = 0;
	c->source[op->arg[0]] = fd;
	return 0;
}
