/* conex/cgroup.h: cgroups used alone, on any process; a thin layer over the rest of lib/cgroup. */
#include "base/kernel.h"
#include "base/options.h"
#include "cgroup/internal.h"
#include "cgroup/scope.h"
#include "state/context-cgroup.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LIMITS_FIRST sizeof(struct conex_limits)        /* the first published sizes */
#define STATS_FIRST sizeof(struct conex_stats)

/* Immutable after it was made, so that threads need no lock, but for the statistics' descriptors. */
struct conex_cgroup {
	conex *cx;
	char *name, *path;
	int fd;                         /* v2's directory, where all limits are v2's; else -1 */
	pthread_mutex_t reading;        /* guards .kept */
	int kept[CX_STAT_KEPT];
};

/* The context's hierarchies; -ECHILD in a forked copy of the host. */
static int find(conex *cx, const struct cx_cgroups **ret, conex_error **err)
{
	conex_error *mine = NULL, **told = err ? err : &mine;
	int r;

	*ret = cx_context_cgroups(cx, told);
	r = *ret ? 0 : conex_error_code(*told);
	conex_error_free(mine);
	return *ret || r < 0 ? r : -EIO;
}

static int check_name(const char *name, conex_error **err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t n = name ? strlen(name) : 0;
	char more[sizeof letters + 3];

	snprintf(more, sizeof more, "%s_.-", letters);
	if (n == 0 || n > 64 || !strchr(letters, name[0]) || name[strspn(name, more)])
		return cx_refuse(err, -EINVAL, "name", name,
			"1 to 64 of a-z A-Z 0-9 _ . -, first a letter or digit");
	return 0;
}

void conex_cgroup_free(conex_cgroup *g)
{
	if (!g)
		return;
	cx_closep(&g->fd);
	cx_stat_kept_close(g->kept);
	pthread_mutex_destroy(&g->reading);
	cx_context_cgroup_unref(g->cx);
	free(g->name);
	free(g->path);
	free(g);
}

/* A handle; the cgroup needs not exist yet. */
static int handle_new(conex *cx, const struct cx_cgroups *all, const char *name,
	conex_cgroup **ret, conex_error **err)
{
	conex_cgroup *g = calloc(1, sizeof *g);
	int r;

	if (!g)
		return cx_fail_memory(err);
	cx_context_cgroup_ref(g->cx = cx);
	g->fd = -1;
	pthread_mutex_init(&g->reading, NULL);
	memset(g->kept, 0xff, sizeof g->kept);
	g->name = strdup(name);
	r = g->name && asprintf(&g->path, "%s/%s", all->parent, name) >= 0 ? 0 : cx_fail_memory(err);
	if (r < 0)
		conex_cgroup_free(g);
	else
		*ret = g;
	return r;
}

/* For CLONE_INTO_CGROUP. On a hybrid machine it would leave all limits behind, so there is none. */
static void open_v2(const struct cx_cgroups *all, conex_cgroup *g)
{
	if (all->count == 1 && all->h[0].driver->v2)
		g->fd = openat(all->h[0].fd, g->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int compile_limits(const struct cx_cgroups *all, const struct conex_limits *limits,
	struct cx_cgroup_limits **ret, conex_error **err)
{
	struct conex_limits l;
	json_t *resources = NULL;
	int r = cx_options_read("conex_limits", &l, sizeof l, LIMITS_FIRST, limits, err);

	if (r == 0)
		r = cx_cgroup_limits_json(&l, &resources, err);
	if (r == 0)
		r = cx_cgroup_limits_compile(all, resources, ret, err);
	json_decref(resources);
	return r;
}

static int create(conex *cx, const struct cx_cgroups *all, conex_cgroup *g,
	const struct cx_cgroup_limits *limits, conex_error **err)
{
	int r;

	if (cx_cgroups_by_systemd(all))
		return cx_fail(err, CONEX_STAGE_LAUNCH, -EOPNOTSUPP, NULL, "a scope of systemd's is made of processes that are there: "
			"use a context with conex_options.cgroup_driver = \"cgroupfs\" in a delegated cgroup", "cgroup %s", g->name);
	if (!all->count)
		return cx_fail(err, CONEX_STAGE_LAUNCH, -EACCES, "mkdir",
			"run as root, or in a delegated cgroup (systemd-run --user --scope -p Delegate=yes)",
			"cgroup %s", g->path);
	if ((r = cx_context_journal_cgroup(cx, g->name, g->path, err)) < 0)
		return r;
	if ((r = cx_cgroup_make(all, g->path, limits, err)) < 0)
		cx_context_journal_forget(cx, g->name);
	else
		open_v2(all, g);
	return r;
}

int conex_cgroup_create(conex *cx, const char *name, const struct conex_limits *limits,
	conex_cgroup **ret, conex_error **err)
{
	const struct cx_cgroups *all;
	struct cx_cgroup_limits *compiled = NULL;
	conex_cgroup *g = NULL;
	int r = check_name(name, err);

	if (r < 0)
		return r;
	if ((r = find(cx, &all, err)) < 0)
		return r;
	r = compile_limits(all, limits, &compiled, err);
	if (r == 0)
		r = handle_new(cx, all, name, &g, err);
	if (r == 0)
		r = create(cx, all, g, compiled, err);
	cx_cgroup_limits_free(compiled);
	if (r < 0)
		conex_cgroup_free(g);
	else
		*ret = g;
	return r;
}

static int exists(const struct cx_cgroups *all, const char *path)
{
	struct stat st;

	for (size_t i = 0; i < all->count; i++)
		if (fstatat(all->h[i].fd, path, &st, 0) == 0)
			return 1;
	return 0;
}

int conex_cgroup_get(conex *cx, const char *name, conex_cgroup **ret, conex_error **err)
{
	const struct cx_cgroups *all;
	conex_cgroup *g = NULL;
	int r = check_name(name, err);

	if (r < 0)
		return r;
	if ((r = find(cx, &all, err)) < 0)
		return r;
	if ((r = handle_new(cx, all, name, &g, err)) < 0)
		return r;
	if (!exists(all, g->path)) {
		conex_cgroup_free(g);
		return cx_fail(err, CONEX_STAGE_RUN, -ENOENT, NULL, NULL, "cgroup %s",
			name);
	}
	open_v2(all, g);
	*ret = g;
	return 0;
}

int conex_cgroup_fd(const conex_cgroup *g)
{
	return g->fd;
}

/* Into every hierarchy, of which only the first has to wait for the lock of all thread groups. `tasks` would take
 * the same lock, thread by thread: only the thread that writes "0" there, itself, goes without (child.c). */
int conex_cgroup_add(conex_cgroup *g, pid_t pid, conex_error **err)
{
	const struct cx_cgroups *all;
	char text[16];
	int r = find(g->cx, &all, err);

	if (r < 0)
		return r;
	if (pid <= 0 || pid == getpid())
		return cx_fail(err, CONEX_STAGE_RUN, -EINVAL, NULL,
			"give the pid of another process: the host itself is never moved",
			"pid %d", (int)pid);
	snprintf(text, sizeof text, "%d", (int)pid);
	for (size_t i = 0; i < all->count; i++)
		if ((r = cx_cgroup_write(&all->h[i], g->path, "cgroup.procs", text)) < 0)
			return cx_fail(err, CONEX_STAGE_RUN, r, "write",
				r == -ESRCH ? "the process has ended" : NULL,
				"pid %d into %s/%s", (int)pid, all->h[i].mount, g->path);
	return 0;
}

int conex_cgroup_set(conex_cgroup *g, const struct conex_limits *limits,
	conex_error **err)
{
	const struct cx_cgroups *all;
	struct cx_cgroup_limits *compiled = NULL;
	int r = find(g->cx, &all, err);

	if (r < 0)
		return r;
	if ((r = compile_limits(all, limits, &compiled, err)) < 0)
		return r;
	r = cx_cgroup_apply(all, g->path, compiled, err);
	cx_cgroup_limits_free(compiled);
	return r;
}

static int read_stats(conex_cgroup *g, struct conex_stats *s, conex_error **err)
{
	const struct cx_cgroups *all;
	int r = find(g->cx, &all, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&g->reading);
	r = cx_cgroup_read_stats(all, g->path, g->kept, s, err);
	if (r < 0)
		cx_stat_kept_close(g->kept);
	pthread_mutex_unlock(&g->reading);
	return r;
}

int conex_cgroup_stats(conex_cgroup *g, struct conex_stats *ret, conex_error **err)
{
	struct conex_stats s;
	int r = read_stats(g, &s, err);

	return r < 0 ? r : cx_options_write("conex_stats", ret, sizeof s, STATS_FIRST, &s, err);
}

int conex_cgroup_sample(conex_cgroup *const *groups, size_t count, struct conex_stats *ret,
	conex_error **err)
{
	size_t step = count ? ret->size : 0;
	int read = 0;

	for (size_t i = 0; i < count; i++) {
		struct conex_stats s, *to = (struct conex_stats *)(void *)((char *)ret + i * step);
		int r = groups[i] ? read_stats(groups[i], &s, NULL) : -ENOENT;

		if (r == -ECHILD || r == -ESHUTDOWN || r == -ENOMEM)
			return read_stats(groups[i], &s, err);
		if (r < 0)
			memset(&s, 0xff, sizeof s);
		to->size = step;
		if (cx_options_write("conex_stats", to, sizeof s, STATS_FIRST, &s, err) < 0)
			return -EINVAL;
		read += r == 0;
	}
	return read;
}

int conex_cgroup_details(conex_cgroup *g, char **ret_json, conex_error **err)
{
	const struct cx_cgroups *all;
	int r = find(g->cx, &all, err);

	if (r < 0)
		return r;
	if (!exists(all, g->path))
		return cx_fail(err, CONEX_STAGE_RUN, -ENOENT, NULL, "it is gone", "cgroup %s", g->path);
	return cx_cgroup_details(all, g->path, NULL, ret_json, err);
}

int conex_cgroup_pids(conex_cgroup *g, pid_t **ret, conex_error **err)
{
	const struct cx_cgroups *all;
	pid_t *pids = NULL;
	int r = find(g->cx, &all, err);

	if (r < 0)
		return r;
	if ((r = cx_cgroup_count(all, g->path, &pids)) < 0)
		return cx_fail(err, CONEX_STAGE_RUN, r, "read", NULL,
			"processes of cgroup %s", g->path);
	if (!pids && !(pids = malloc(sizeof *pids))) /* none: still something to free */
		return cx_fail_memory(err);
	*ret = pids;
	return r;
}

int conex_cgroup_freeze(conex_cgroup *g, int timeout_ms, conex_error **err)
{
	const struct cx_cgroups *all;
	int r = find(g->cx, &all, err);

	if (r < 0)
		return r;
	return cx_cgroup_freeze_path(all, g->path, 1, timeout_ms, err);
}

/* Thawing has nothing to wait for but the kernel's own bookkeeping. */
int conex_cgroup_thaw(conex_cgroup *g, conex_error **err)
{
	const struct cx_cgroups *all;
	int r = find(g->cx, &all, err);

	if (r < 0)
		return r;
	r = cx_cgroup_freeze_path(all, g->path, 0, 1000, err);
	return r < 0 ? r : 0;
}

/* One order (or one round); conex_cgroup_delete is what waits for the end. */
int conex_cgroup_kill(conex_cgroup *g, conex_error **err)
{
	const struct cx_cgroups *all;
	int r = find(g->cx, &all, err);

	if (r < 0)
		return r;
	r = cx_cgroup_kill_all(all, g->path, 0, err);
	return r < 0 ? r : 0;
}

int conex_cgroup_watch(conex_cgroup *g, const char *what, void *data, conex_error **err)
{
	const struct cx_cgroups *all;
	int r = find(g->cx, &all, err);

	if (r < 0)
		return r;
	return cx_context_watch_cgroup(g->cx, g->name, g->path, what, data, err);
}

int conex_cgroup_delete(conex_cgroup *g, int timeout_ms, conex_error **err)
{
	const struct cx_cgroups *all;
	int r = find(g->cx, &all, err);

	if (r < 0)
		return r;
	/* mostly all in it have ended: then there is nobody to look for in each hierarchy */
	r = cx_cgroup_remove_empty(all, g->path) ? 1 : cx_cgroup_kill_all(all, g->path, timeout_ms, err);
	if (r > 0)
		r = cx_cgroup_remove(all, g->path, err);
	if (r > 0)
		cx_context_journal_forget(g->cx, g->name);
	return r;
}
