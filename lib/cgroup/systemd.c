/* systemd as the driver of a context: when it is, what it needs, and how its scopes end. */
#include "cgroup/internal.h"
#include "base/kernel.h"
#include "cgroup/scope.h"
#include "cgroup/sdbus.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

int cx_cgroups_by_systemd(const struct cx_cgroups *g)
{
	return g->driver == CX_DRIVER_SYSTEMD;
}

/* A user's own service manager; the system's takes nothing from him. Nor from the root of a user namespace (that of
 * Podman's for users), unless the system is in it, too. */
int cx_cgroups_user_manager(const struct cx_cgroups *g)
{
	struct stat system, own;

	(void)g;
	return geteuid() != 0 || stat("/proc/1/ns/user", &system) < 0 || stat("/proc/self/ns/user", &own) < 0
		|| system.st_ino != own.st_ino || system.st_dev != own.st_dev;
}

struct cx_manager *cx_cgroups_manager(const struct cx_cgroups *g)
{
	return g->manager;
}

int cx_cgroups_set_manager(struct cx_cgroups *g, struct cx_manager *m)
{
	if (!g->manager && !g->manager_root && !(g->manager_root = strdup(cx_manager_root(m)))) {
		cx_manager_close(m);
		return -ENOMEM;
	}
	if (g->manager) {
		cx_manager_close(m);
		return 0;
	}
	g->manager = m;
	return 1;
}

void cx_cgroups_drop_manager(struct cx_cgroups *g)
{
	struct cx_manager *m = g->manager;

	g->manager = NULL;
	cx_manager_close(m);
}

/* ---- whether it can be ---- */

static int is_booted(void)
{
	struct stat st;

	return lstat("/run/systemd/system", &st) == 0 && S_ISDIR(st.st_mode);
}

static int has_user_manager(void)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char path[PATH_MAX];

	return runtime && (size_t)snprintf(path, sizeof path, "%s/systemd/private", runtime) < sizeof path
		&& access(path, R_OK | W_OK) == 0;
}

static int loads(void)
{
	struct cx_sdbus sd = { .library = NULL };
	int r = cx_sdbus_load(&sd, NULL);

	cx_sdbus_unload(&sd);
	return r == 0;
}

static int is_v2_alone(const struct cx_cgroups *g)
{
	return g->count == 1 && g->h[0].driver->v2;
}

int cx_systemd_suits(const struct cx_cgroups *g)
{
	return g->driver == CX_DRIVER_CHOSEN && cx_cgroups_user_manager(g) && is_v2_alone(g) && is_booted() && has_user_manager() && loads();
}

/* With this driver conex_options.cgroup names the slice of containers that name none. */
int cx_systemd_settle(struct cx_cgroups *g, const char *parent, conex_error **err)
{
	if (!is_v2_alone(g))
		return cx_refuse(err, -EOPNOTSUPP, "conex_options.cgroup_driver", "systemd", "it needs cgroup v2 alone "
			"(systemd.unified_cgroup_hierarchy=1): leave it out, or write \"cgroupfs\"");
	if (parent && (parent[0] != '/' || !cx_scope_slice_valid(parent + 1)))
		return cx_refuse(err, -EINVAL, "conex_options.cgroup", parent,
			"with systemd as driver it is the slice of containers that name none, as \"/machine.slice\"");
	g->driver = CX_DRIVER_SYSTEMD;
	g->slice = strdup(parent ? parent + 1 : cx_cgroups_user_manager(g) ? "user.slice" : "system.slice");
	g->parent = strdup("conex");    /* of nothing: cgroups alone aren't made with this driver */
	return g->slice && g->parent ? 0 : cx_fail_memory(err);
}

/* ---- how scopes end ---- */

int cx_scope_exists(const struct cx_cgroups *g, const char *path)
{
	const struct cx_hierarchy *h = cx_cgroups_v2(g);
	struct stat st;

	return h && fstatat(h->fd, path, &st, 0) == 0;
}

/* Long enough for a systemd that is busy; then it is given up on (it may be executing itself anew). */
enum { SCOPE_PATIENCE_MS = 2000 };

/* An empty scope is taken away by systemd, unit and cgroup. Were the cgroup removed here at once, it could miss
 * that it ran empty, and keep the unit, whose name then stays taken. */
int cx_scope_remove(const struct cx_cgroups *g, const char *path, int64_t *since)
{
	int64_t now = cx_now_ns(CLOCK_MONOTONIC);
	int r;

	cx_cgroup_oom_unwatch(g, path);
	if (!cx_scope_exists(g, path))
		return 1;
	r = cx_cgroup_kill_all(g, path, 0, NULL);
	if (!*since)
		*since = now;
	return r == 1 && now - *since > SCOPE_PATIENCE_MS * INT64_C(1000000) ? cx_cgroup_remove(g, path, NULL) : 0;
}
