/* conex_close: what is bound is killed and undone, what is detached is left as it is; nobody waits any more. */
#include "container/container.h"
#include "base/path.h"
#include "cgroup/scope.h"
#include "image/job.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

/* Who waits is woken and sent away, a launch in another thread ends before the world does. Locked. */
static void drive_out(conex *cx)
{
	cx->closed = 1;
	cx_context_notify(cx);
	while (cx->busy)
		pthread_cond_wait(&cx->changed, &cx->lock);
}

static void kill_all(conex *cx)
{
	for (int i = 0; i < CX_TASK_BUCKETS; i++)
		for (struct cx_task *t = cx->containers->tasks[i]; t; t = t->next) {
			struct cx_message m = { .type = CX_MSG_KILL, .id = t->id };

			t->flags |= CONEX_RUN_AUTODELETE;
			cx_keeper_send(cx, &m, NULL, 0, NULL, 0, NULL);
		}
	for (conex_container *c = cx->containers->first; c; c = c->next)
		if (!c->start && c->task.state == CONEX_EXITED)
			cx_container_undo_later(c);
		else if (!c->start)
			cx_container_kill_frozen(c);
}

static int anything_left(conex *cx)
{
	for (conex_container *c = cx->containers->first; c; c = c->next)
		if (!c->start && c->task.state != CONEX_DELETED)
			return 1;
	for (int i = 0; i < CX_TASK_BUCKETS; i++)
		if (cx->containers->tasks[i])
			return 1;
	return 0;
}

/* 1: nothing is left. Locked. */
static int undo_all(conex *cx)
{
	int64_t deadline = cx_context_deadline((int)(cx->close_ms > INT32_MAX ? INT32_MAX : cx->close_ms));
	struct pollfd p = { .fd = cx->inner, .events = POLLIN };
	uint64_t woken;

	if (read(cx->wake, &woken, sizeof woken) < 0)
		woken = 0;      /* nobody was asleep */
	kill_all(cx);
	for (;;) {
		cx->pump(cx);
		if (!anything_left(cx))
			return 1;
		if (cx_now_ns(CLOCK_MONOTONIC) >= deadline)
			return 0;
		pthread_mutex_unlock(&cx->lock);
		poll(&p, 1, 10);
		pthread_mutex_lock(&cx->lock);
	}
}

static int is_mine(const struct cx_state *s, const char *id)
{
	struct cx_record *r;
	char self[64];
	const char *owner;
	int mine;

	if (cx_record_read(s, id, &r, NULL) < 0)
		return 0;
	snprintf(self, sizeof self, "%d %llu", (int)s->self.pid, (unsigned long long)s->self.start);
	owner = cx_record_note(r, "owner");
	mine = owner && !strcmp(owner, self);
	cx_record_free(r);
	return mine;
}

/* What was made alone and not deleted: cgroups, pinned namespaces. */
static void undo_journals(conex *cx)
{
	char **ids;
	int n = cx_state_list(cx->state, &ids, NULL);
	struct cx_undo who = { .cgroups = cx->cgroups };

	for (int i = 0; i < n; i++)
		if (cx->state->is_private || is_mine(cx->state, ids[i]))
			cx_state_undo(cx->state, ids[i], cx_undo_play, &who);
	if (n >= 0)
		free(ids);
}

static void forget_all(conex *cx)
{
	struct cx_news *n;
	void *data;
	int event;

	if (cx->cgroups)        /* scopes in the making end with it, and let their containers go */
		cx_cgroups_drop_manager(cx->cgroups);
	cx_events_forget(cx);
	cx_brokers_close(cx);
	cx_jobs_close(cx);
	while ((n = cx_queue_take(&cx->queue, &event)))
		if (event == CONEX_EVENT_JOB)
			cx_job_unref(cx_job_of(n, &data));
		else if (!n->queued && n != &cx->containers->lost && !cx_watch_of(cx, n, NULL))
			cx_task_unref((struct cx_task *)n);
	cx_watches_free(cx);
	for (int i = 0; i < CX_TASK_BUCKETS; i++)
		while (cx->containers->tasks[i])
			cx_task_unregister(cx->containers->tasks[i]);
	for (conex_container *c = cx->containers->first; c; c = c->next)
		cx_cni_drop(c);
	while (cx->containers->first)
		cx_container_list_remove(cx->containers->first);
}

static int is_undoing(const conex *cx)
{
	for (const conex_container *c = cx->containers->first; c; c = c->next)
		if (c->undoing || c->hooks || c->maps || c->stack || c->placing || c->chain
		    || (c->undo_later && c->task.state == CONEX_EXITED))
			return 1;
	return 0;
}

/* Containers of a detached context live on; what is just being undone is undone to its end. Locked. */
static void finish_undoing(conex *cx)
{
	int64_t deadline = cx_context_deadline((int)(cx->close_ms > INT32_MAX ? INT32_MAX : cx->close_ms));
	struct pollfd p = { .fd = cx->inner, .events = POLLIN };

	while (is_undoing(cx) && cx_now_ns(CLOCK_MONOTONIC) < deadline) {
		cx->pump(cx);
		pthread_mutex_unlock(&cx->lock);
		poll(&p, 1, 2);
		pthread_mutex_lock(&cx->lock);
	}
}

/* What they wrote is being removed; what isn't in time is whoever's who uses the store next. Locked. */
static void finish_sweeping(conex *cx)
{
	int64_t deadline = cx_context_deadline((int)(cx->close_ms > INT32_MAX ? INT32_MAX : cx->close_ms));
	struct pollfd p = { .fd = cx->inner, .events = POLLIN };

	while ((cx->sweep || cx->sweep_again) && cx_now_ns(CLOCK_MONOTONIC) < deadline) {
		cx->pump(cx);
		pthread_mutex_unlock(&cx->lock);
		poll(&p, 1, 2);
		pthread_mutex_lock(&cx->lock);
	}
}

static void close_world(conex *cx)
{
	int detached = (cx->flags & CONEX_DETACHED) != 0;
	int done = 1;

	cx_jobs_cancel(cx);     /* one may read what is to be undone */
	if (detached)
		finish_undoing(cx);
	else
		done = undo_all(cx);

	if (done) {
		finish_sweeping(cx);
		cx_keeper_stop(cx);
		if (!detached)
			undo_journals(cx);
	} else {
		cx_log(cx, 4, "closing took too long: the keeper goes on alone");
		cx_keeper_abandon(cx);
	}
	forget_all(cx);
	if (cx->cgroups && !(cx->flags & CONEX_READ_ONLY))
		cx_cgroups_prune(cx->cgroups);
	cx_state_close(cx->state, done);
	cx->state = NULL;
}

/* In a forked copy the world is the original's. */
static void drop_copy(conex *cx)
{
	if (cx->closed)
		return;
	cx->closed = 1;
	cx_state_close(cx->state, 0);
	cx->state = NULL;
	if (cx->keeper) {
		cx_closep(&cx->keeper->socket);
		cx_closep(&cx->keeper->pidfd);
	}
	cx_brokers_let_go(cx);
	cx_context_drop_parts(cx);
}

conex *conex_ref(conex *cx)
{
	return cx_context_ref(cx);
}

void conex_close(conex *cx)
{
	if (!cx)
		return;
	if (cx->pid != getpid()) {
		drop_copy(cx);
		cx_context_unref(cx);
		return;
	}
	pthread_mutex_lock(&cx->lock);
	if (!cx->closed) {
		drive_out(cx);
		close_world(cx);
		cx_context_drop_parts(cx);
	}
	pthread_mutex_unlock(&cx->lock);
	cx_context_unref(cx);
}
