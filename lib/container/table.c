/* The containers and tasks that a context knows, and how long they live. */
#include "container/container.h"
#include "base/path.h"

#include <string.h>

/* ---- tasks, by the launch's id ---- */

void cx_task_init(struct cx_task *t, enum cx_task_kind kind, conex *cx)
{
	t->kind = kind;
	t->cx = cx_context_ref(cx);
	t->state = CONEX_CREATING;
	t->pid = -1;
	t->pidfd = t->stdio[0] = t->stdio[1] = t->stdio[2] = -1;
	t->exit.size = sizeof t->exit;
}

void cx_task_close(struct cx_task *t)
{
	cx_closep(&t->pidfd);
	for (int n = 0; n < 3; n++)
		cx_closep(&t->stdio[n]);
	conex_error_free(t->error);
	free(t->timeline);
	cx_plan_unref(t->plan);
	cx_context_unref(t->cx);
}

/* What it was made of is the most of its memory, and holds on to its image: unread news of what is gone mustn't. A timeline's
 * names are in there. */
void cx_task_forget_plan(struct cx_task *t)
{
	if (t->flags & CONEX_RUN_TIMELINE)
		return;
	cx_plan_unref(t->plan);
	t->plan = NULL;
}

void cx_task_register(struct cx_task *t)
{
	struct cx_task **bucket = &t->cx->containers->tasks[t->id % CX_TASK_BUCKETS];

	t->next = *bucket;
	*bucket = t;
	cx_task_ref(t);
}

void cx_task_unregister(struct cx_task *t)
{
	for (struct cx_task **at = &t->cx->containers->tasks[t->id % CX_TASK_BUCKETS]; *at; at = &(*at)->next)
		if (*at == t) {
			*at = t->next;
			t->next = NULL;
			cx_task_unref(t);
			return;
		}
}

struct cx_task *cx_task_find(conex *cx, uint64_t id)
{
	struct cx_task *t = cx->containers->tasks[id % CX_TASK_BUCKETS];

	while (t && t->id != id)
		t = t->next;
	return t;
}

void cx_task_ref(struct cx_task *t)
{
	if (t->kind == CX_TASK_CONTAINER)
		((conex_container *)t)->refs++;
	else
		((conex_process *)t)->refs++;
}

static void process_unref(conex_process *p)
{
	conex_container *c = p->container;

	if (--p->refs > 0)
		return;
	cx_task_close(&p->task);
	free(p);
	cx_container_unref(c);
}

void cx_task_unref(struct cx_task *t)
{
	if (t->kind == CX_TASK_CONTAINER)
		cx_container_unref((conex_container *)t);
	else
		process_unref((conex_process *)t);
}

/* News of what is gone, and of which nobody has a handle any more, is dropped where nobody asks for events: so
 * unread ones hold no memory and no descriptors. */
void cx_task_let_go(struct cx_task *t)
{
	int gone = t->kind == CX_TASK_CONTAINER ? CONEX_DELETED : CONEX_EXITED;
	int refs = t->kind == CX_TASK_CONTAINER ? ((conex_container *)t)->refs : ((conex_process *)t)->refs;

	if (!__atomic_load_n(&t->cx->listens, __ATOMIC_RELAXED) && t->news.queued && t->state >= gone && refs == 2) {
		cx_queue_forget(&t->cx->queue, &t->news);
		cx_task_unref(t);
	}
	cx_task_unref(t);
}

void cx_task_post(struct cx_task *t, int event)
{
	if (t->cx->closed)
		return;
	if (!t->news.queued)
		cx_task_ref(t);         /* dropped when the queue gives its last bit away */
	cx_queue_post(&t->cx->queue, &t->news, event);
	cx_context_notify(t->cx);
}

/* ---- containers, by id ---- */

conex_container *cx_container_new(conex *cx, const char *id)
{
	conex_container *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->refs = 1;
	c->process = -1;
	strncpy(c->id, id, sizeof c->id - 1);
	c->created_at_ns = cx_now_ns(CLOCK_REALTIME);
	cx_task_init(&c->task, CX_TASK_CONTAINER, cx);
	return c;
}

void cx_container_unref(conex_container *c)
{
	if (--c->refs > 0)
		return;
	json_decref(c->spec);
	cx_container_joined_free(c);
	free(c->labels);
	free(c->snapshot);
	free(c->hold);
	free(c->image);
	free(c->cgroup);
	free(c->bundle);
	cx_closep(&c->process);
	cx_task_close(&c->task);
	free(c);
}

void cx_container_list_add(conex_container *c)
{
	struct cx_containers *all = c->task.cx->containers;

	c->next = all->first;
	all->first = c;
	c->listed = 1;
	c->refs++;
}

void cx_container_list_remove(conex_container *c)
{
	if (!c->listed)
		return;
	for (conex_container **at = &c->task.cx->containers->first; *at; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			break;
		}
	c->listed = 0;
	cx_container_unref(c);
}

conex_container *cx_container_find(conex *cx, const char *id)
{
	conex_container *c = cx->containers->first;

	while (c && strcmp(c->id, id))
		c = c->next;
	return c;
}

int cx_container_check_id(const char *id, conex_error **err)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t n = strlen(id);

	if (n > 0 && n <= 64 && strchr(first, id[0]) && strspn(id, "abcdefghijklmnopqrstuvwxyz"
			"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == n)
		return 0;
	return cx_refuse(err, -EINVAL, "conex_run_options.id", id,
		"use 1 to 64 of a-z A-Z 0-9 _ . - and begin with a letter or digit");
}
