/* conex_next_event: one reader of news for containers, processes and watched cgroups. */
#include "container/container.h"
#include "base/options.h"
#include "image/job.h"

static int is_pending(void *arg)
{
	return ((conex *)arg)->queue.first != NULL;
}

/* What an event names is lent to the thread that got it, until that thread asks for its next one. */
static struct cx_lent *lent_to_me(conex *cx)
{
	struct cx_lent *l = cx->containers->lent;

	while (l && !pthread_equal(l->thread, pthread_self()))
		l = l->next;
	if (l || !(l = calloc(1, sizeof *l)))
		return l;
	l->thread = pthread_self();
	l->next = cx->containers->lent;
	cx->containers->lent = l;
	return l;
}

static void give_back(struct cx_lent *l)
{
	struct cx_task *t = l->task;
	conex_job *job = l->job;

	l->task = NULL;
	l->job = NULL;
	if (t)
		cx_task_unref(t);
	if (job)
		cx_job_unref(job);
}

void cx_events_forget(conex *cx)
{
	while (cx->containers->lent) {
		struct cx_lent *l = cx->containers->lent;

		cx->containers->lent = l->next;
		give_back(l);
		free(l);
	}
}

static void name_task(struct cx_task *t, struct cx_lent *mine, struct conex_event *ev)
{
	if (t->kind == CX_TASK_CONTAINER)
		ev->container = (conex_container *)t;
	else {
		ev->process = (conex_process *)t;
		ev->container = ev->process->container;
	}
	ev->data = t->data;
	cx_task_ref(t);
	mine->task = t;
}

/* 0: it was about a system call that has gone meanwhile. */
static int fill_event(conex *cx, struct cx_news *n, struct cx_lent *mine, struct conex_event *ev)
{
	struct cx_task *t = (struct cx_task *)n;

	if (n == &cx->containers->lost)
		return 1;
	if (ev->type == CONEX_EVENT_JOB) {
		ev->job = mine->job = cx_job_of(n, &ev->data);
		return 1;
	}
	if (ev->type == CONEX_EVENT_SYSCALL) {
		t = cx_broker_take(cx, n, &ev->syscall);
		if (t)
			name_task(t, mine, ev);
		return t != NULL;
	}
	if (cx_watch_of(cx, n, &ev->data))
		return 1;
	name_task(t, mine, ev);
	cx_task_seen(t);
	if (!n->queued)                 /* the queue's own reference */
		cx_task_unref(t);
	return 1;
}

/* 1: *ev is filled. Locked. */
static int next(conex *cx, int timeout_ms, struct cx_lent *mine, struct conex_event *ev)
{
	int64_t deadline = cx_context_deadline(timeout_ms);
	struct cx_news *n;
	int r;

	do {
		r = cx_context_wait(cx, deadline, is_pending, cx);
		if (r == 1) {
			n = cx_queue_take(&cx->queue, &ev->type);
			if (fill_event(cx, n, mine, ev))
				return 1;
			ev->type = 0;
		}
	} while (r == 1);
	return r;
}

int conex_next_event(conex *cx, int timeout_ms, struct conex_event *ret, conex_error **err)
{
	struct conex_event ev = { .size = sizeof ev };
	struct cx_lent *mine;
	int r = cx_context_lock(cx, err);

	if (r < 0)
		return r;
	mine = lent_to_me(cx);
	if (!mine) {
		cx_context_unlock(cx);
		return cx_fail_memory(err);
	}
	__atomic_store_n(&cx->listens, 1, __ATOMIC_RELAXED);
	give_back(mine);
	r = next(cx, timeout_ms, mine, &ev);
	cx_context_unlock(cx);
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_RUN, r, NULL, "conex_close was called", "the context");
	if (r == 1) {
		int written = cx_options_write("conex_event", ret, sizeof ev, sizeof ev, &ev, err);

		if (written < 0)
			return written;
	}
	return r;
}

