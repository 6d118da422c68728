/* Cgroups that were made alone (conex_cgroup_create): their journal, and watching them; watching containers for
 * out-of-memory kills. */
#include "container/container.h"
#include "state/context-cgroup.h"

#include <stdio.h>
#include <string.h>

static void journal_name(const char *name, char id[128])
{
	snprintf(id, 128, "cgroup:%.100s", name);
}

int cx_context_journal_cgroup(conex *cx, const char *name, const char *path, conex_error **err)
{
	char id[128], owner[64];
	struct cx_journal *j;
	int r;

	journal_name(name, id);
	r = cx_journal_create(cx->state, id, &j, err);
	if (r < 0)
		return r;
	snprintf(owner, sizeof owner, "%d %llu", (int)cx->state->self.pid, (unsigned long long)cx->state->self.start);
	cx_journal_note(j, "owner", owner);
	cx_journal_undo(j, CX_OP_undo_cgroup, path);
	r = cx_journal_flush(j, err);
	cx_journal_free(j);
	return r;
}

struct cx_watch {
	struct cx_news news;
	struct cx_watch *next;
	char *name, *path;
	void *data;
	uint32_t kills;                 /* those already told of */
	struct cx_cgroup_watch w;
};

/* The cgroup module's descriptor goes among those that the context waits for: once. */
static int watch_fd(conex *cx, int oom, conex_error **err)
{
	int *watched = oom ? &cx->containers->oom_watched : &cx->containers->others_watched, fd, r;

	if (*watched)
		return 0;
	fd = oom ? cx_cgroup_oom_fd(cx->cgroups, err) : cx_cgroup_watch_fd(cx->cgroups, err);
	if (fd < 0)
		return fd;
	r = cx_context_watch(cx, fd);
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_RUN, r, "epoll_ctl", NULL, "the watch for cgroups");
	*watched = 1;
	return 0;
}

int cx_container_watch_oom(conex_container *c)
{
	conex *cx = c->task.cx;

	if (watch_fd(cx, 1, NULL) < 0 || cx_cgroup_oom_watch(cx->cgroups, c->cgroup, NULL) < 0)
		return -ENODATA;
	c->watched = 1;
	return 0;
}

static void watch_free(conex *cx, struct cx_watch *w)
{
	cx_queue_forget(&cx->queue, &w->news);
	cx_cgroup_watch_end(cx->cgroups, &w->w);
	free(w->name);
	free(w->path);
	free(w);
}

static struct cx_watch *watch_new(const char *name, const char *path, void *data)
{
	struct cx_watch *w = calloc(1, sizeof *w);

	if (!w)
		return NULL;
	w->w.fd = w->w.wd = -1;
	w->name = strdup(name);
	w->path = strdup(path);
	w->data = data;
	return w;
}

int cx_context_watch_cgroup(conex *cx, const char *name, const char *path, const char *what, void *data,
	conex_error **err)
{
	struct cx_watch *w;
	int r = cx_context_lock(cx, err);

	if (r < 0)
		return r;
	w = watch_new(name, path, data);
	r = !w || !w->name || !w->path ? cx_fail_memory(err) : cx_cgroup_watch_parse(cx->cgroups, what, &w->w, err);
	if (r == 0)
		r = watch_fd(cx, w->w.kind == CX_WATCH_OOM, err);
	if (r == 0)
		r = cx_cgroup_watch_begin(cx->cgroups, path, &w->w, err);
	if (r == 0) {
		w->next = cx->containers->watches;
		cx->containers->watches = w;
	} else if (w) {
		watch_free(cx, w);
	}
	cx_context_unlock(cx);
	return r;
}

/* 1: this is a watch's news; its data. */
int cx_watch_of(conex *cx, const struct cx_news *n, void **ret_data)
{
	for (struct cx_watch *w = cx->containers->watches; w; w = w->next)
		if (n == &w->news) {
			if (ret_data)
				*ret_data = w->data;
			return 1;
		}
	return 0;
}

void cx_watches_free(conex *cx)
{
	while (cx->containers->watches) {
		struct cx_watch *w = cx->containers->watches;

		cx->containers->watches = w->next;
		watch_free(cx, w);
	}
}

void cx_watches_compare(conex *cx)
{
	for (struct cx_watch *w = cx->containers->watches; w; w = w->next) {
		uint32_t kills;

		if (w->w.kind != CX_WATCH_OOM)
			continue;
		kills = cx_cgroup_oom_kills(cx->cgroups, w->path);
		if (kills > w->kills)
			cx_queue_post(&cx->queue, &w->news, CONEX_EVENT_OOM);
		w->kills = kills;
	}
}

void cx_watches_pump(conex *cx)
{
	struct cx_cgroup_hits hits = { .more = cx->containers->others_watched };

	while (hits.more) {
		cx_cgroup_watch_hits(cx->cgroups, &hits);
		for (struct cx_watch *w = cx->containers->watches; hits.count + hits.noted && w; w = w->next)
			if (cx_cgroup_watch_happened(&w->w, w->path, &hits))
				cx_queue_post(&cx->queue, &w->news, w->w.event);
	}
}

void cx_context_journal_forget(conex *cx, const char *name)
{
	struct cx_watch **at = &cx->containers->watches;
	char id[128];

	journal_name(name, id);
	cx_journal_remove(cx->state, id);
	pthread_mutex_lock(&cx->lock);
	while (*at) {
		struct cx_watch *w = *at;

		if (strcmp(w->name, name)) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		watch_free(cx, w);
	}
	pthread_mutex_unlock(&cx->lock);
}
