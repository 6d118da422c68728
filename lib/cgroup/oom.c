/* Being told of out-of-memory kills: one descriptor for all cgroups of a context. */
#include "cgroup/internal.h"
#include "base/kernel.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

enum { LOOK_AGAIN_MS = 20 };

int cx_cgroup_oom_fd(const struct cx_cgroups *g, conex_error **err)
{
	const struct cx_hierarchy *h = cx_cgroups_with(g, "memory");
	struct cx_cgroups *note = (struct cx_cgroups *)g; /* oom_fd is atomic */
	int fd = note->oom_fd, none = -1;

	if (fd >= 0)
		return fd;
	if (!h)
		return cx_fail(err, CONEX_STAGE_RUN, -EOPNOTSUPP, NULL,
			"no memory controller may be used here", "watch \"oom\"");
	fd = h->driver->v2 ? inotify_init1(IN_CLOEXEC | IN_NONBLOCK)
		: eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return cx_fail_errno(err, CONEX_STAGE_RUN,
			h->driver->v2 ? "inotify_init1" : "eventfd", NULL, "watch \"oom\"");
	if (atomic_compare_exchange_strong(&note->oom_fd, &none, fd))
		return fd;
	close(fd); /* another thread was first */
	return none;
}

/* inotify takes paths only; that of the mount's descriptor can't be led astray by a later mount. */
static int watch_v2(const struct cx_hierarchy *h, int fd, const char *path)
{
	char name[PATH_MAX];

	if ((size_t)snprintf(name, sizeof name, "/proc/self/fd/%d/%s/memory.events",
			h->fd, path) >= sizeof name)
		return -ENAMETOOLONG;
	fd = inotify_add_watch(fd, name, IN_MODIFY);
	return fd < 0 ? -errno : fd;
}

static int watch_v1(const struct cx_hierarchy *h, int fd, const char *path)
{
	cx_autoclose int control = cx_cgroup_open(h, path, "memory.oom_control",
		O_RDONLY);
	char text[32];

	if (control < 0)
		return control;
	snprintf(text, sizeof text, "%d %d", fd, control);
	return cx_cgroup_write(h, path, "cgroup.event_control", text);
}

int cx_cgroup_oom_watch(const struct cx_cgroups *g, const char *path, conex_error **err)
{
	const struct cx_hierarchy *h = cx_cgroups_with(g, "memory");
	int fd = cx_cgroup_oom_fd(g, err), r;

	if (fd < 0)
		return fd;
	r = h->driver->v2 ? watch_v2(h, fd, path) : watch_v1(h, fd, path);
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_RUN, r,
			h->driver->v2 ? "inotify_add_watch" : "cgroup.event_control",
			r == -ENOSPC ? "fs.inotify.max_user_watches is reached" : NULL,
			"cgroup %s/%s", h->mount, path);
	return 0;
}

void cx_cgroup_oom_unwatch(const struct cx_cgroups *g, const char *path)
{
	const struct cx_hierarchy *h = g->oom_fd < 0 ? NULL
		: cx_cgroups_with(g, "memory");
	int watch = h && h->driver->v2 ? watch_v2(h, g->oom_fd, path) : -1; /* the same file: the same number */

	if (watch >= 0)
		inotify_rm_watch(g->oom_fd, watch);
}

int cx_cgroup_oom_drain(const struct cx_cgroups *g)
{
	const struct cx_hierarchy *h = g->oom_fd < 0 ? NULL
		: cx_cgroups_with(g, "memory");
	char events[4096];
	int any = 0;

	while (h && read(g->oom_fd, events, sizeof events) > 0)
		any = 1;
	return any && !h->driver->v2 ? LOOK_AGAIN_MS : 0;
}
