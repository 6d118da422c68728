/* Killing and freezing everything in a cgroup, and in what is below it. */
#include "cgroup/internal.h"
#include "base/kernel.h"
#include "cgroup/scope.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The one hierarchy that is asked who is in a cgroup: v2, else v1's freezer, else any. */
static const struct cx_hierarchy *tracker(const struct cx_cgroups *g)
{
	const struct cx_hierarchy *h = cx_cgroups_v2(g);

	if (!h)
		h = cx_cgroups_with(g, "freezer");
	return h ? h : g->count ? &g->h[0] : NULL;
}

int cx_cgroup_count(const struct cx_cgroups *g, const char *path, pid_t **ret)
{
	const struct cx_hierarchy *h = tracker(g);

	return h ? cx_cgroup_pids(h, path, ret) : -EOPNOTSUPP;
}

/* Is this process in the cgroup or below, by its own word? Asked with a pidfd in hand, the answer is
 * about the process that will get the signal, not about a later one with the same number. */
static int is_in(const struct cx_hierarchy *h, const char *path, pid_t pid)
{
	cx_autofree char *text = NULL, *want = NULL;
	char name[32];
	int n;

	snprintf(name, sizeof name, "/proc/%d/cgroup", (int)pid);
	if (cx_file_load(AT_FDCWD, name, 1 << 20, &text) < 0)
		return 0;
	n = asprintf(&want, ":%s:%s/%s", h->driver->v2 ? "" : h->controllers, h->root,
		path);
	for (const char *p = n < 0 ? NULL : text; p && (p = strstr(p, want)); p++)
		if (p[n] == '\n' || p[n] == '/' || p[n] == '\0')
			return 1;
	return 0;
}

int cx_cgroup_holds(const struct cx_cgroups *g, const char *path, pid_t pid)
{
	const struct cx_hierarchy *h = tracker(g);

	return h && is_in(h, path, pid);
}

static int signal_one(const struct cx_hierarchy *h, const char *path, pid_t pid, int sig)
{
	cx_autoclose int fd = cx_sys_pidfd_open(pid, 0);

	return fd >= 0 && is_in(h, path, pid) && cx_sys_pidfd_send_signal(fd, sig) == 0;
}

int cx_cgroup_signal(const struct cx_cgroups *g, const char *path, int sig, conex_error **err)
{
	const struct cx_hierarchy *h = tracker(g);
	cx_autofree pid_t *pids = NULL;
	int n = h ? cx_cgroup_pids(h, path, &pids) : -EOPNOTSUPP, sent = 0;

	if (n < 0)
		return cx_fail(err, CONEX_STAGE_RUN, n, NULL, NULL, "processes of cgroup %s", path);
	for (int i = 0; i < n; i++)
		sent += signal_one(h, path, pids[i], sig);
	return sent;
}

static int by_number(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Signals who is listed now; .seen: who was already at the last look. How many are listed, or -errno; with
 * *ret_new: how many were not seen then. */
struct seen { pid_t *pids; int count; };

static int kill_seen(const struct cx_hierarchy *h, const char *path, struct seen *seen, int *ret_new)
{
	pid_t *pids = NULL;
	int n = cx_cgroup_pids(h, path, &pids);

	*ret_new = 0;
	for (int i = 0; i < n; i++)
		if (!seen->count || !bsearch(&pids[i], seen->pids, (size_t)seen->count, sizeof *pids, by_number)) {
			signal_one(h, path, pids[i], SIGKILL);
			++*ret_new;
		}
	if (n > 0)
		qsort(pids, (size_t)n, sizeof *pids, by_number);
	free(seen->pids);
	*seen = (struct seen){ pids, n > 0 ? n : 0 };
	return n;
}

enum { ROUNDS_UNFROZEN = 16 };

/* v1 has no order to kill all. Who has got SIGKILL doesn't fork any more: when nobody new is listed, all have got
 * it. Who is outdone by forks freezes them; not before, for v1's freezer holds SIGKILL back until it thaws, and who
 * is killed himself in between leaves them alive until somebody looks. */
static int kill_listed(const struct cx_cgroups *g, const struct cx_hierarchy *h, const char *path)
{
	const struct cx_hierarchy *freezer = cx_cgroups_with(g, "freezer");
	struct seen seen = { NULL, 0 };
	int fresh, n, first = n = kill_seen(h, path, &seen, &fresh);

	for (int round = 0; n > 0 && fresh > 0 && round < ROUNDS_UNFROZEN; round++)
		n = kill_seen(h, path, &seen, &fresh);
	if (n > 0 && fresh > 0 && freezer) {
		freezer->driver->freeze(freezer, path, 1);
		n = kill_seen(h, path, &seen, &fresh);
	}
	if (first > 0 && freezer)
		freezer->driver->freeze(freezer, path, 0);      /* also what was paused */
	free(seen.pids);
	return n < 0 ? n : first; /* one more look, now that they end */
}

/* How many are left, in the first hierarchy that has any; kills them. A process that somebody put into
 * one hierarchy only (or took out of v2) is found too. */
static int kill_round(const struct cx_cgroups *g, const char *path)
{
	const struct cx_hierarchy *v2 = cx_cgroups_v2(g);
	int n;

	if (v2) {
		cx_cgroup_write(v2, path, "cgroup.kill", "1");
		n = kill_listed(g, v2, path);
		if (n != 0 && n != -ENOENT)
			return n;
	}
	for (size_t i = 0; i < g->count; i++)
		if (&g->h[i] != v2 && (n = kill_listed(g, &g->h[i], path)) != 0
		    && n != -ENOENT)
			return n;
	return 0;
}

/* In ns of CLOCK_MONOTONIC */
static int64_t deadline(int timeout_ms)
{
	if (timeout_ms < 0)
		return INT64_MAX;
	return cx_now_ns(CLOCK_MONOTONIC) + (int64_t)timeout_ms * 1000000;
}

int cx_cgroup_kill_all(const struct cx_cgroups *g, const char *path, int timeout_ms,
	conex_error **err)
{
	int64_t end = deadline(timeout_ms);
	int64_t sleep = 100000;

	for (;;) {
		int n = kill_round(g, path);

		if (n < 0)
			return cx_fail(err, CONEX_STAGE_TEARDOWN, n, "kill", NULL,
				"cgroup %s", path);
		if (n == 0)
			return 1;
		if (!cx_cgroup_sleep(&sleep, end))
			return 0;
	}
}

int cx_cgroup_is_frozen(const struct cx_cgroups *g, const char *path)
{
	const struct cx_hierarchy *h = cx_cgroups_v2(g);
	char text[16];

	if (!h && !(h = cx_cgroups_with(g, "freezer")))
		return 0;
	if (cx_cgroup_read(h, path, h->driver->v2 ? "cgroup.freeze" : "freezer.state", text, sizeof text) <= 0)
		return 0;
	return h->driver->v2 ? text[0] == '1' : text[0] == 'F';
}

/* v2's freezer leaves processes killable, v1's doesn't: so v2's where there is a choice. */
int cx_cgroup_freeze_path(const struct cx_cgroups *g, const char *path, int freeze,
	int timeout_ms, conex_error **err)
{
	int64_t end = deadline(timeout_ms);
	const struct cx_hierarchy *h = cx_cgroups_v2(g);
	const char *call = freeze ? "freeze" : "thaw";
	int64_t sleep = 50000;
	int r;

	if (!h && !(h = cx_cgroups_with(g, "freezer")))
		return cx_fail(err, CONEX_STAGE_RUN, -EOPNOTSUPP, call,
			"neither cgroup v2 nor v1's freezer may be used here", "cgroup %s", path);
	do
		r = h->driver->freeze(h, path, freeze);
	while (r == 0 && cx_cgroup_sleep(&sleep, end));
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_RUN, r, call, NULL, "cgroup %s/%s", h->mount, path);
	return r;
}
