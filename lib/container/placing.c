/* With systemd as the driver of cgroups: at its barrier a container's first process, which has done nothing yet, is
 * put into a new scope, and one that a user executes in it is put there as well. systemd is asked and not waited
 * for: its answer is news like the keeper's, so other launches and other threads go on meanwhile. */
#include "container/container.h"
#include "cgroup/scope.h"
#include "base/path.h"

#include <string.h>

enum { PATIENCE_MS = 30000 };

struct cx_placing {
	struct cx_scope_job job;        /* first: it is handed back */
	struct cx_placing *next;        /* of the context's */
	struct cx_task *task;           /* counted */
	int64_t end_ns;
};

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

static void container_placed(conex_container *c, conex_error **why)
{
	c->placing = NULL;
	/* one that was there already is somebody else's: not to be killed with this one's undoing */
	c->made_cgroup = !*why || conex_error_code(*why) != -EEXIST;
	if (!*why)
		limit(c, why);
	if (c->undo_later)
		c->task.cx->containers->undo_pending = 1;
}

/* Takes the error. */
static void go_on(struct cx_task *t, conex_error *why)
{
	cx_task_lift(t, why ? -conex_error_code(why) : 0);
	if (why && !t->error)
		t->error = why;
	else
		conex_error_free(why);
}

static void placed(struct cx_scope_job *job, conex_error *why)
{
	struct cx_placing *p = (struct cx_placing *)job, **at;
	struct cx_task *t = p->task;

	for (at = &t->cx->containers->placings; *at != p; at = &(*at)->next)
		;
	*at = p->next;
	free(p);
	if (t->kind == CX_TASK_CONTAINER)
		container_placed((conex_container *)t, &why);
	go_on(t, why);
	cx_context_notify(t->cx);
	cx_task_let_go(t);
}

static int ask(struct cx_placing *p, conex_error **err)
{
	struct cx_task *t = p->task;
	struct cx_manager *m = cx_cgroups_manager(t->cx->cgroups);
	conex_container *c = t->kind == CX_TASK_CONTAINER ? (conex_container *)t : ((conex_process *)t)->container;

	if (!m)
		return cx_fail(err, CONEX_STAGE_LAUNCH, -ENOTCONN, NULL, "again: it is made anew", "the connection to systemd");
	if (t->kind == CX_TASK_PROCESS)
		return cx_scope_attach(m, &p->job, c->cgroup, t->pid, err);
	return cx_scope_start(m, &p->job, c->cgroup, t->pid, t->plan->limits, err);
}

/* The pid is known, and stays the child's: it waits. Locked. */
void cx_placing_begin(struct cx_task *t)
{
	struct cx_placing *p = calloc(1, sizeof *p);
	conex_error *err = NULL;

	if (!p) {
		cx_fail_memory(&err);
		go_on(t, err);
		return;
	}
	p->task = t;
	p->job.ended = placed;
	p->end_ns = cx_now_ns(CLOCK_MONOTONIC) + PATIENCE_MS * INT64_C(1000000);
	if (ask(p, &err) < 0) {
		free(p);
		go_on(t, err);
		return;
	}
	cx_task_ref(t);
	if (t->kind == CX_TASK_CONTAINER)
		((conex_container *)t)->placing = p;
	p->next = t->cx->containers->placings;
	t->cx->containers->placings = p;
	cx_containers_tick_in(t->cx, PATIENCE_MS);
}

static void look_at_clock(conex *cx, struct cx_placing *p, int64_t now)
{
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
	for (struct cx_placing *p = cx->containers->placings, *next; p; p = next) {
		next = p->next;
		look_at_clock(cx, p, now);
	}
	return 0;
}

/* The connection is the context's, made at its first launch and again where it was lost; without the lock, since
 * a bus daemon may take its time. */
int cx_placing_connect(conex *cx, conex_error **err)
{
	struct cx_manager *m = NULL;
	int r = cx_context_lock(cx, err), have;

	if (r < 0)
		return r;
	cx_placing_pump(cx);    /* is it still there? */
	have = cx_cgroups_manager(cx->cgroups) != NULL;
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
