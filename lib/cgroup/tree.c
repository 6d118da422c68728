/* Making and removing cgroups in all hierarchies, and looking through what is below them. */
#include "cgroup/internal.h"
#include "base/kernel.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { WALK_DEPTH = 64 };               /* two descriptors a level */

/* A directory for reading, by descriptor and name. NULL and errno. */
static DIR *open_dir(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		cx_closep(&fd);
	return dir;
}

/* The next sub-cgroup; NULL: no more. cgroup file systems always fill d_type. */
static const char *next_child(DIR *dir)
{
	const struct dirent *e;

	while ((e = readdir(dir)))
		if (e->d_type == DT_DIR && strcmp(e->d_name, ".")
		    && strcmp(e->d_name, ".."))
			return e->d_name;
	return NULL;
}

static int walk(int at, const char *name, int depth, cx_cgroup_visit fn, void *data);

static int walk_children(int at, int depth, cx_cgroup_visit fn, void *data)
{
	DIR *dir = open_dir(at, ".");
	const char *child;
	int r = 0;

	if (!dir)
		return errno == ENOENT ? 0 : -errno; /* gone meanwhile */
	while (r == 0 && (child = next_child(dir)))
		r = walk(at, child, depth + 1, fn, data);
	closedir(dir);
	return r;
}

static int walk(int at, const char *name, int depth, cx_cgroup_visit fn, void *data)
{
	cx_autoclose int dir = depth < WALK_DEPTH ? openat(at, name,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : (errno = ELOOP, -1);
	struct stat st;
	int r;

	if (dir < 0)
		return errno == ENOENT && depth ? 0 : -errno; /* gone meanwhile */
	r = fn(dir, data);
	if (r == 0 && fstat(dir, &st) == 0 && st.st_nlink > 2) /* kernfs counts them right */
		r = walk_children(dir, depth, fn, data);
	return r;
}

int cx_cgroup_walk(const struct cx_hierarchy *h, const char *path, cx_cgroup_visit fn,
	void *data)
{
	return walk(h->fd, *path ? path : ".", 0, fn, data);
}

struct pids { pid_t *list; size_t count, capacity; };

static int add_pid(struct pids *p, pid_t pid)
{
	if (p->count == p->capacity) {
		size_t capacity = p->capacity ? p->capacity * 2 : 64;
		pid_t *more = realloc(p->list, capacity * sizeof *more);

		if (!more)
			return -ENOMEM;
		p->list = more;
		p->capacity = capacity;
	}
	p->list[p->count++] = pid;
	return 0;
}

static int collect(int dir, void *data)
{
	cx_autofree char *text = NULL;
	ssize_t n = cx_file_load(dir, "cgroup.procs", 64 << 20, &text);
	int r = 0;

	if (n < 0) /* ENODEV: removed since; EOPNOTSUPP: threaded, its processes show above */
		return n == -ENOENT || n == -ENODEV || n == -EOPNOTSUPP ? 0 : (int)n;
	for (char *p = text; r == 0 && *p; p += strspn(p, "\n")) {
		long pid = strtol(p, &p, 10);

		if (pid <= 0) /* 0: of a pid namespace that is not ours */
			continue;
		r = add_pid(data, (pid_t)pid);
	}
	return r;
}

int cx_cgroup_pids(const struct cx_hierarchy *h, const char *path, pid_t **ret)
{
	struct pids p = { NULL, 0, 0 };
	int r = cx_cgroup_walk(h, path, collect, &p);

	if (r < 0) {
		free(p.list);
		return r;
	}
	*ret = p.list;
	return (int)p.count;
}

/* Makes all that is above `path`, and makes each of it fit to have children that hold processes. */
static int prepare(struct cx_cgroups *g, size_t n, const char *path)
{
	struct cx_hierarchy *h = &g->h[n];
	char level[PATH_MAX];
	int r = h->driver->prepare_parent(h, "", 0);

	for (const char *slash = path; r >= 0 && (slash = strchr(slash, '/')); slash++) {
		int ours;

		if ((size_t)(slash - path) >= sizeof level)
			return -ENAMETOOLONG;
		memcpy(level, path, (size_t)(slash - path));
		level[slash - path] = '\0';
		ours = !strcmp(level, g->parent);
		if (mkdirat(h->fd, level, 0755) == 0) {
			if (ours)
				g->made |= 1u << n;
		} else if (errno != EEXIST) {
			return -errno;
		}
		r = h->driver->prepare_parent(h, level, ours);
	}
	return r;
}

static int below_parent(const struct cx_cgroups *g, const char *path)
{
	size_t n = strlen(g->parent);

	return !strncmp(path, g->parent, n) && path[n] == '/'
		&& !strchr(path + n + 1, '/');
}

/* The spec may name a cgroup that somebody has made for it. One that is in use stays theirs: ours is
 * killed and removed at the end. (The kernel counts sub-directories as links.) */
static int is_unused(const struct cx_hierarchy *h, const char *path)
{
	cx_autofree pid_t *pids = NULL;
	struct stat st;

	return fstatat(h->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink <= 2
		&& cx_cgroup_pids(h, path, &pids) == 0;
}

/* One mkdir in the ordinary case; whoever prunes the parent in between only makes us prepare again. */
static int make_one(struct cx_cgroups *g, size_t n, const char *path)
{
	struct cx_hierarchy *h = &g->h[n];
	int ours = below_parent(g, path), r;

	for (int tries = 0;; tries++) {
		if (!ours || tries || !(g->prepared & 1u << n)) {
			if ((r = prepare(g, n, path)) < 0 && r != -ENOENT)
				return r;
			if (ours)
				g->prepared |= 1u << n;
		}
		if (mkdirat(h->fd, path, 0755) == 0
		    || (errno == EEXIST && !ours && is_unused(h, path)))
			break;
		if (errno != ENOENT || tries == 8)
			return -errno;
	}
	r = ours ? 0 : h->driver->prepare_leaf(h, path);
	if (r < 0)
		unlinkat(h->fd, path, AT_REMOVEDIR);
	return r;
}

static int make_failed(const struct cx_hierarchy *h, const char *path, int code,
	conex_error **err)
{
	const char *hint = NULL;

	if (code == -EEXIST)
		hint = "it exists: another container's, or left by a crash; delete it, or take another id";
	else if (code == -EACCES || code == -EPERM)
		hint = "run as root, or in a delegated cgroup (systemd-run --user --scope -p Delegate=yes)";
	else if (code == -EAGAIN)
		hint = "cgroup.max.descendants or cgroup.max.depth of a cgroup above is reached";
	return cx_fail(err, CONEX_STAGE_LAUNCH, code, "mkdir", hint, "cgroup %s/%s",
		h->mount, path);
}

int cx_cgroup_make(const struct cx_cgroups *g, const char *path,
	const struct cx_cgroup_limits *limits, conex_error **err)
{
	size_t made = 0;
	int r = 0;

	for (; made < g->count; made++)
		if ((r = make_one((struct cx_cgroups *)g, made, path)) < 0) { /* only the atomic notes change */
			r = make_failed(&g->h[made], path, r, err);
			break;
		}
	if (r == 0 && limits)
		r = cx_cgroup_apply(g, path, limits, err);
	while (r < 0 && made > 0)
		unlinkat(g->h[--made].fd, path, AT_REMOVEDIR);
	return r;
}

/* Goes down only where rmdir says "busy", up by "..": any depth, two descriptors. A cgroup without
 * children that is busy has processes: -EBUSY. `top` is consumed. */
static int remove_children(int top)
{
	cx_autoclose int at = top;
	int depth = 0;

	for (;;) {
		DIR *dir = open_dir(at, ".");
		const char *child = dir ? next_child(dir) : NULL;
		int next, busy = 0;

		if (!dir)
			return errno == ENOENT ? 0 : -errno;
		if (child && (unlinkat(at, child, AT_REMOVEDIR) == 0 || errno == ENOENT)) {
			closedir(dir);
			continue;
		}
		if (!child && depth == 0) {
			closedir(dir);
			return 0;
		}
		next = openat(at, child ? child : "..",
			O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		depth += child ? 1 : -1;
		closedir(dir);
		if (next < 0)
			return -errno;
		if (child) {
			dir = open_dir(next, ".");
			busy = dir && !next_child(dir);
			if (dir)
				closedir(dir);
		}
		close(at);
		at = next;
		if (busy)
			return -EBUSY;
	}
}

static int remove_one(const struct cx_hierarchy *h, const char *path)
{
	int fd, r;

	if (unlinkat(h->fd, path, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY && errno != ENOTEMPTY)
		return -errno;
	fd = openat(h->fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = remove_children(fd);
	if (r < 0)
		return r;
	return unlinkat(h->fd, path, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

/* A process that was just reaped may still be leaving its cgroups: busy is asked again, for a moment. */
enum { REMOVE_PATIENCE_NS = 50000000 };

/* What stood between the parent and a cgroup deeper below it was made for it: gone with the last one. */
static void remove_between(const struct cx_cgroups *g, const char *path)
{
	size_t n = strlen(g->parent);
	char level[PATH_MAX], *slash;

	if (strncmp(path, g->parent, n) || path[n] != '/' || strlen(path) >= sizeof level)
		return;
	strcpy(level, path);
	while ((slash = strrchr(level + n + 1, '/'))) {
		*slash = '\0';
		for (size_t i = 0; i < g->count; i++)
			unlinkat(g->h[i].fd, level, AT_REMOVEDIR);
	}
}

int cx_cgroup_remove_empty(const struct cx_cgroups *g, const char *path)
{
	const struct cx_hierarchy *memory = g->oom_fd < 0 ? NULL : cx_cgroups_with(g, "memory");

	if (memory && memory->driver->v2) /* a watch has to end before, but not if the cgroup stays */
		return 0;
	for (size_t i = 0; i < g->count; i++)
		if (unlinkat(g->h[i].fd, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
			return 0;
	return 1;
}

int cx_cgroup_remove(const struct cx_cgroups *g, const char *path, conex_error **err)
{
	int64_t end = 0, sleep = 50000;

	cx_cgroup_oom_unwatch(g, path);
	for (size_t i = 0; i < g->count;) {
		int r = remove_one(&g->h[i], path);

		if (r == 0) {
			i++;
			continue;
		}
		if (r != -EBUSY && r != -ENOTEMPTY)
			return cx_fail(err, CONEX_STAGE_TEARDOWN, r, "rmdir", NULL,
				"cgroup %s/%s", g->h[i].mount, path);
		if (!end)
			end = cx_now_ns(CLOCK_MONOTONIC) + REMOVE_PATIENCE_NS;
		if (!cx_cgroup_sleep(&sleep, end))
			return 0;
	}
	remove_between(g, path);
	return 1;
}

void cx_cgroups_prune(const struct cx_cgroups *g)
{
	for (size_t i = 0; i < g->count && g->driver != CX_DRIVER_SYSTEMD; i++)
		if (!g->named || (g->made & 1u << i))
			unlinkat(g->h[i].fd, g->parent, AT_REMOVEDIR); /* refused while anything is below it */
}
