/* With systemd as the driver of cgroups: at its barrier a container's first process, which has done nothing yet, is
 * put into a scope. systemd is asked and not waited for: its answer is news like the keeper's, so other launches and
 * other threads go on meanwhile. */
#include "container/container.h"
#include "cgroup/scope.h"
#include "base/path.h"

#include <string.h>

enum { PATIENCE_MS = 30000 };

struct cx_placing {
	struct cx_scope_job job;        /* first: it is handed back */
	conex_container *c;             /* counted */
	int64_t end_ns;
};

/* The connection is the context's, made at its first launch and again where it was lost; without the lock, since
 * a bus daemon may take its time. */
int cx_placing_connect(conex *cx, conex_error **err)
{
	struct cx_manager *m = NULL;
	int r = cx_context_lock(cx, err), have;

	if (r < 0)
		return r;
	have = !cx_cgroups_by_systemd(cx->cgroups) || cx_cgroups_manager(cx->cgroups);
	cx_context_unlock(cx);
	if (have)
		return 0;
	r = cx_manager_open(cx_cgroups_user_manager(cx->cgroups), &m, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&cx->lock);
	r = cx_cgroups_set_manager(cx->cgroups, m);
	if (r > 0)
		r = cx_context_watch(cx, cx_manager_fd(m));
	cx_context_unlock(cx);
	return r < 0 ? cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, NULL, "the connection to systemd") : 0;
}

/* What systemd has no property for is written now, and the rest as exactly as it was asked for. */
static int limit(conex_container *c, conex_error **err)
{
	conex *cx = c->task.cx;
	int r;

	if (!cx_cgroup_holds(cx->cgroups, c->cgroup, c->task.pid))
		return cx_fail(err, CONEX_STAGE_LAUNCH, -EXDEV, NULL, "is /sys/fs/cgroup that of this systemd?",
			"the scope isn't where it was to be: cgroup %s", c->cgroup);
	r = cx_cgroup_apply(cx->cgroups, c->cgroup, c->task.plan->limits, err);
	if (r == 0 && cx_json_at(c->task.plan->spec, "linux.resources.memory.limit"))
		cx_container_watch_oom(c);
	return r;
}

static void placed(struct cx_scope_job *job, conex_error *why)
{
	struct cx_placing *p = (struct cx_placing *)job;
	conex_container *c = p->c;

	c->placing = NULL;
	free(p);
	/* one that was there already is somebody else's: not to be killed with this one's undoing */
	c->made_cgroup = !why || conex_error_code(why) != -EEXIST;
	if (!why)
		limit(c, &why);
	cx_container_lift(c, why ? -conex_error_code(why) : 0);
	if (why && !c->task.error)
		c->task.error = why;
	else
		conex_error_free(why);
	if (c->undo_later)
		c->task.cx->containers->undo_pending = 1;
	cx_context_notify(c->task.cx);
	cx_task_let_go(&c->task);
}

/* The pid is known, and stays the child's: it waits. Locked. */
void cx_placing_begin(conex_container *c)
{
	conex *cx = c->task.cx;
	struct cx_manager *m = cx_cgroups_manager(cx->cgroups);
	struct cx_placing *p = calloc(1, sizeof *p);
	conex_error *err = NULL;

	if (p && m) {
		p->c = c;
		p->job.ended = placed;
		p->end_ns = cx_now_ns(CLOCK_MONOTONIC) + PATIENCE_MS * INT64_C(1000000);
		if (cx_scope_start(m, &p->job, c->cgroup, c->task.pid, c->task.plan->limits, &err) == 0) {
			c->refs++;
			c->placing = p;
			cx_containers_tick_in(cx, PATIENCE_MS);
			return;
		}
	} else if (p) {
		cx_fail(&err, CONEX_STAGE_LAUNCH, -ENOTCONN, NULL, "launch again", "the connection to systemd");
	} else {
		cx_fail_memory(&err);
	}
	free(p);
	cx_container_lift(c, -conex_error_code(err));
	if (c->task.error)
		conex_error_free(err);
	else
		c->task.error = err;
}

static void look_at_clock(conex *cx, conex_container *c, int64_t now)
{
	struct cx_placing *p = c->placing;
	conex_error *err = NULL;

	if (p->end_ns > now) {
		cx_containers_tick_in(cx, (int)((p->end_ns - now) / 1000000) + 1);
		return;
	}
	cx_fail(&err, CONEX_STAGE_LAUNCH, -ETIMEDOUT, NULL, "is systemd at work? (systemctl list-jobs)",
		"%s: systemd has not made it within %d s", p->job.unit, PATIENCE_MS / 1000);
	cx_scope_forget(&p->job);
	placed(&p->job, err);
}

/* Locked. 1: something happened */
int cx_placing_pump(conex *cx)
{
	struct cx_manager *m = cx->cgroups ? cx_cgroups_manager(cx->cgroups) : NULL;
	int64_t now = m ? cx_now_ns(CLOCK_MONOTONIC) : 0;

	if (!m)
		return 0;
	if (cx_manager_pump(m) < 0) {
		cx_log(cx, 4, "the connection to systemd is lost: the next launch makes another");
		cx_cgroups_drop_manager(cx->cgroups);
		return 1;
	}
	for (conex_container *c = cx->containers->first, *next; c; c = next) {
		next = c->next;
		if (c->placing)
			look_at_clock(cx, c, now);
	}
	return 0;
}

/* Limits of a scope have changed: systemd shall know. Its own connection, without the lock. */
int cx_placing_changed(conex_container *c, const struct cx_cgroup_limits *limits, conex_error **err)
{
	conex *cx = c->task.cx;
	struct cx_manager *m = NULL;
	int r = cx_manager_open(c->by_systemd == CX_BY_USER_SYSTEMD, &m, err);

	if (r == 0)
		r = cx_scope_set(m, cx->cgroups, c->cgroup, limits, err);
	cx_manager_close(m);
	return r;
}
