/* Teardown: the journal's entries played, by the one who acquired, by conex-undo, or by the next open. */
#include "container/container.h"
#include "base/kernel.h"
#include "base/path.h"
#include "cgroup/scope.h"
#include "network/cni.h"
#include "image/images.h"
#include "image/snapshot.h"
#include "network/nft.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/timerfd.h>

enum { RETRY_MS = 2, UNDO_SCOPE_MS = 3000 };

static int undo_kill(const char *text)
{
	unsigned long long start;
	cx_autoclose int pidfd = -1;
	int pid;

	if (sscanf(text, "%d %llu", &pid, &start) != 2)
		return -EINVAL;
	pidfd = cx_sys_pidfd_open(pid, 0);      /* before the look at its start time: then it can't be another */
	if (pidfd >= 0 && cx_process_start(pid) == start)
		cx_sys_pidfd_send_signal(pidfd, SIGKILL);
	return 0;
}

static int undo_cgroup(const struct cx_cgroups *g, const char *path)
{
	int r = cx_cgroup_remove(g, path, NULL);

	if (r == 0) {           /* busy: something lives in it */
		cx_cgroup_kill_all(g, path, 1000, NULL);
		r = cx_cgroup_remove(g, path, NULL);
	}
	return r < 0 ? r : r == 1 ? 0 : -EBUSY;
}

static int wait_for_scope(const struct cx_cgroups *g, const char *path)
{
	int64_t since = 0;
	int r;

	while ((r = cx_scope_remove(g, path, &since)) == 0
	    && cx_now_ns(CLOCK_MONOTONIC) - since < UNDO_SCOPE_MS * INT64_C(1000000))
		poll(NULL, 0, RETRY_MS);
	return r < 0 ? r : r == 1 ? 0 : -EBUSY;
}

/* Where a user may make no cgroups (and conex-undo, without an environment, knows of no systemd) none are looked at,
 * but there may be what systemd has made for him. */
static int undo_scope(const struct cx_cgroups *g, const char *path)
{
	struct cx_cgroups *own = NULL;
	int r;

	if (cx_cgroups_any(g))
		return wait_for_scope(g, path);
	if (cx_cgroups_detect(NULL, CX_DRIVER_SYSTEMD, &own, NULL) < 0)
		return -EBUSY;
	r = wait_for_scope(own, path);
	cx_cgroups_free(own);
	return r;
}

static int undo_snapshot(struct cx_undo *who, const char *path)
{
	int r = cx_snapshot_remove(path, who->sweeps ? CX_UNDO_ENTRIES : UINT_MAX);

	if (r == 1 && who->sweeps && !who->trash)
		who->trash = cx_snapshot_store(path);
	return r < 0 ? r : 0;
}

void cx_undo_swept(conex *cx, struct cx_undo *who)
{
	if (who->trash) {
		pthread_mutex_lock(&cx->lock);
		cx_images_sweep(cx, who->trash);
		pthread_mutex_unlock(&cx->lock);
	}
	cx_freep(&who->trash);
}

int cx_undo_play(enum cx_op_code undo, const char *text, void *data)
{
	struct cx_undo *who = data;

	switch (undo) {
	case CX_OP_undo_kill:
		return undo_kill(text);
	case CX_OP_undo_cgroup:
		return undo_cgroup(who->cgroups, text);
	case CX_OP_undo_scope:
		return undo_scope(who->cgroups, text);
	case CX_OP_undo_unlink:
		return unlink(text) < 0 && errno != ENOENT ? -errno : 0;
	case CX_OP_undo_lease:
		return cx_member_leave(text);
	case CX_OP_undo_port:
		return cx_port_undo(text);
	case CX_OP_undo_cni:
		return cx_cni_undo(text, who->run, who->data, NULL);
	case CX_OP_undo_snapshot:
		return undo_snapshot(who, text);
	case CX_OP_undo_tree:
		return cx_images_remove_tree(text);
	case CX_OP_undo_hold:
		return cx_snapshot_let_go(text);
	case CX_OP_undo_link:
		return cx_link_delete(text);
	case CX_OP_undo_umount:
		return umount2(text, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != ENOENT && errno != EINVAL ? -errno : 0;
	default:
		return -EINVAL;
	}
}

/* ---- one container ---- */

/* What a released container has in the state directory beside its journal. */
static void remove_public(const conex_container *c)
{
	const char *state = c->task.cx->state->path;
	char path[4096];

	if (!(c->task.cx->flags & CONEX_DETACHED))
		return;
	if ((size_t)snprintf(path, sizeof path, "%s/sockets/%s", state, c->id) < sizeof path)
		unlink(path);
	if (c->spec_name[0] && (size_t)snprintf(path, sizeof path, "%s/specs/%s.json", state, c->spec_name) < sizeof path)
		unlink(path);
}

/* 1: it is gone; 0: busy */
static int remove_own(conex_container *c)
{
	struct cx_cgroups *g = c->task.cx->cgroups;
	int r;

	if (c->by_systemd)
		return cx_scope_remove(g, c->cgroup, &c->undoing_since);
	r = cx_cgroup_remove(g, c->cgroup, NULL);
	if (r == 0) {
		cx_cgroup_kill_all(g, c->cgroup, 0, NULL);
		r = cx_cgroup_remove(g, c->cgroup, NULL);
	}
	return r;
}

/* Its own container: what the journal holds is known, so it isn't read. 1: nothing is left; 0: busy */
static int play_own(conex_container *c)
{
	int is_done;

	if (c->made_cgroup) {
		int r = remove_own(c);

		if (r == 0 || r == -EMFILE || r == -ENFILE || r == -ENOMEM)
			return 0;       /* a full descriptor table is no reason to forget it */
		if (r < 0)
			cx_log(c->task.cx, 4, "container %s: its cgroup can't be removed: %s", c->id, strerrordesc_np(-r));
		c->made_cgroup = 0;
	}
	if (!cx_container_leave(c))
		return 0;
	is_done = cx_container_drop_image(c) && cx_container_has_left(c) && c->unplugged >= 0;
	/* else the id is another one's, and so is what lies under it; or somebody has to try again */
	if (c->journalled && is_done) {
		remove_public(c);
		cx_journal_remove(c->task.cx->state, c->id);
	}
	c->journalled = 0;
	return 1;
}

static int play_foreign(conex_container *c)
{
	struct cx_undo who = { .cgroups = c->task.cx->cgroups, .sweeps = 1 };
	int r = cx_state_undo(c->task.cx->state, c->id, cx_undo_play, &who);

	cx_undo_swept(c->task.cx, &who);
	return r != -EBUSY || c->unplugged < 0;
}

void cx_container_gone(conex_container *c)
{
	const char *root = c->task.plan ? cx_json_text(c->task.plan->spec, "root.path") : NULL;

	c->undo_later = 0;
	c->task.state = CONEX_DELETED;
	if (!c->bundle && root)
		c->bundle = strdup(root);       /* for conex_container_json, which does without */
	cx_task_forget_plan(&c->task);
	cx_task_seen(&c->task);
	cx_task_post(&c->task, CONEX_EVENT_DELETED);
	cx_container_list_remove(c);
}

/* poststop's hooks are the last thing: 0 while they run. */
static int after_undo(conex_container *c)
{
	if (c->poststop_done || !cx_hooks_any(c, CX_HOOKS_POSTSTOP)) {
		cx_container_gone(c);
		return 1;
	}
	c->poststop_done = 1;
	c->undoing = 1;
	cx_hooks_begin(c, CX_HOOKS_POSTSTOP);
	return c->task.state == CONEX_DELETED;
}

static int is_busy(const conex_container *c)
{
	return c->undoing || c->hooks || c->maps || c->stack || c->placing || c->chain || c->committing;
}

int cx_container_undo(conex_container *c)
{
	conex *cx = c->task.cx;
	int gone;

	if (is_busy(c) || c->task.state == CONEX_DELETED)
		return c->task.state == CONEX_DELETED;
	if (cx_cni_unplug(c))
		return 0;
	c->undoing = 1;
	c->refs++;
	cx->busy++;             /* conex_close waits for us */
	pthread_mutex_unlock(&cx->lock);
	gone = c->start ? play_foreign(c) : play_own(c);
	pthread_mutex_lock(&cx->lock);
	if (--cx->busy == 0)
		cx_context_notify(cx);
	c->undoing = 0;
	if (gone)
		gone = after_undo(c);
	cx_task_let_go(&c->task);
	return gone;
}

void cx_container_undo_later(conex_container *c)
{
	c->undo_later = 1;
	c->task.cx->containers->undo_pending = 1;
}

void cx_containers_tick_in(conex *cx, int milliseconds)
{
	struct itimerspec t = { .it_value = { milliseconds / 1000, (long)(milliseconds % 1000) * 1000000 } }, now;
	int64_t left = 0;

	if (timerfd_gettime(cx->containers->timer, &now) == 0)
		left = now.it_value.tv_sec * INT64_C(1000) + now.it_value.tv_nsec / 1000000 + !!now.it_value.tv_nsec;
	if (left && left <= milliseconds)
		return; /* whoever wants it later says so again */
	timerfd_settime(cx->containers->timer, 0, &t, NULL);
}

static conex_container *next_to_undo(conex *cx)
{
	for (conex_container *c = cx->containers->first; c; c = c->next)
		if (c->undo_later == 1 && !is_busy(c) && c->task.state == CONEX_EXITED)
			return c;
	return NULL;
}

/* Undoes what is to be undone; what is busy is left for the timer's next tick. 1: something went. */
int cx_undo_tick(conex *cx)
{
	conex_container *c;
	int gone = 0, busy = 0;
	uint64_t ticks;

	if (!cx->containers->undo_pending)
		return 0;
	if (read(cx->containers->timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN)
		return 0;
	cx->containers->undo_pending = 0;
	while ((c = next_to_undo(cx))) {
		if (cx_container_undo(c)) {
			gone = 1;
		} else {
			c->undo_later = 2;      /* not again in this round */
		}
	}
	for (c = cx->containers->first; c; c = c->next)
		if (c->undo_later && c->task.state == CONEX_EXITED)
			busy |= (c->undo_later = 1) && !c->chain && !c->committing;     /* whose end says so */
	if (busy) {
		cx->containers->undo_pending = 1;
		cx_containers_tick_in(cx, RETRY_MS);
	}
	return gone;
}
