/* What the keeper says becomes state, events and exit records. All of it with the context locked. */
#include "container/container.h"
#include "base/path.h"
#include "image/job.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static void keep_timeline(struct cx_task *t, const struct cx_message *m, const void *bytes)
{
	if (!m->size || t->timeline)
		return;
	t->timeline = malloc(m->size);
	if (!t->timeline)
		return;
	memcpy(t->timeline, bytes, m->size);
	t->timeline_size = m->size / sizeof(uint64_t);
}

/* A pty's master comes as a gift. */
static void keep_gift(struct cx_task *t, int fd)
{
	if (fd >= 0 && t->stdio[0] < 0 && t->flags & CONEX_RUN_TTY) {
		fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
		t->stdio[0] = fd;
		return;
	}
	cx_closep(&fd);
}

/* poststart's hooks come before anybody is told that it runs. */
static void is_running(struct cx_task *t)
{
	if (t->state != CONEX_CREATING)
		return;
	t->state = CONEX_RUNNING;
	cx_task_post(t, CONEX_EVENT_STARTED);
}

void cx_task_lift(struct cx_task *t, int error)
{
	if (t->id)
		cx_keeper_lift(t->cx, t->id, error);
}

void cx_hooks_ended(conex_container *c, enum cx_hooks_stage stage, const conex_error *why)
{
	if (stage == CX_HOOKS_RUNTIME) {
		if (why && !c->task.error)
			c->task.error = cx_error_copy(why);
		cx_task_lift(&c->task, why ? ECANCELED : 0);
	} else if (stage == CX_HOOKS_POSTSTART) {
		is_running(&c->task);
	} else {
		c->undoing = 0;
		cx_container_gone(c);
	}
	if (c->undo_later)
		c->task.cx->containers->undo_pending = 1;
	cx_context_notify(c->task.cx);
}

static void at_barrier(struct cx_task *t, const struct cx_message *m, int fd)
{
	t->pid = m->started.pid;
	if (t->kind == CX_TASK_CONTAINER && m->started.barrier == CX_BARRIER_NETWORK) {
		cx_attach_begin((conex_container *)t, fd);
		return;
	}
	cx_closep(&fd);
	if (m->started.barrier == CX_BARRIER_CGROUP)
		cx_placing_begin(t);
	else if (t->kind == CX_TASK_CONTAINER && m->started.barrier == CX_BARRIER_MAPS)
		cx_maps_begin((conex_container *)t);
	else if (t->kind == CX_TASK_CONTAINER)
		cx_hooks_begin((conex_container *)t, CX_HOOKS_RUNTIME);
}

static void runs(struct cx_task *t, const struct cx_message *m, const void *bytes, int fd)
{
	int first = t->state == CONEX_CREATING;

	t->pid = m->started.pid;
	t->started_ns = m->started.at_ns;
	t->state = m->type == CX_MSG_HELD ? CONEX_HELD : CONEX_CREATING;
	keep_timeline(t, m, bytes);
	keep_gift(t, fd);
	if (t->kind == CX_TASK_CONTAINER && first)
		cx_container_note_pid((conex_container *)t);
	if (m->type == CX_MSG_HELD)
		return;
	if (t->kind == CX_TASK_CONTAINER && cx_hooks_any((conex_container *)t, CX_HOOKS_POSTSTART))
		cx_hooks_begin((conex_container *)t, CX_HOOKS_POSTSTART);
	else
		is_running(t);
}

static int cause_of(int status, uint32_t ended)
{
	if (ended == CX_ENDED_TIMEOUT)
		return CONEX_EXIT_TIMEOUT;
	if (ended == CX_ENDED_STOPPED)
		return CONEX_EXIT_STOPPED;
	if (!WIFSIGNALED(status))
		return CONEX_EXIT_CODE;
	return WTERMSIG(status) == SIGSYS ? CONEX_EXIT_SECCOMP : CONEX_EXIT_SIGNAL;
}

void cx_exit_fill(struct conex_exit *x, int status, uint32_t ended)
{
	x->cause = cause_of(status, ended);
	x->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	x->sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	x->status = x->sig ? 128 + x->sig : x->code;
}

/* Read while the cgroup is still there: afterwards nobody can tell why it ended. A shell that reports its
 * killed child (137) was out of memory, too. */
static void autopsy(conex_container *c)
{
	struct conex_exit *x = &c->task.exit;
	struct cx_cgroup_facts facts = { .oom_kills = 0 };

	if (!c->made_cgroup && !c->start)
		return;
	cx_cgroup_autopsy(c->task.cx->cgroups, c->cgroup, &facts);
	x->oom_kills = facts.oom_kills;
	if (facts.memory_peak)
		x->memory_peak = facts.memory_peak;
	if (facts.cpu_ns)
		x->cpu_ns = facts.cpu_ns;
	if (facts.oom_kills && (x->cause == CONEX_EXIT_SIGNAL || x->cause == CONEX_EXIT_CODE)
	    && x->status == 128 + SIGKILL)
		x->cause = CONEX_EXIT_OOM;
}

void cx_container_ended(conex_container *c)
{
	autopsy(c);
	if (c->watched && c->task.exit.oom_kills > c->oom_seen) /* nobody has looked before it ended */
		cx_task_post(&c->task, CONEX_EVENT_OOM);
	c->task.state = CONEX_EXITED;
	c->task.pid = -1;
	cx_closep(&c->process);
	cx_task_post(&c->task, CONEX_EVENT_EXITED);
	if (c->task.flags & CONEX_RUN_AUTODELETE)
		cx_container_undo_later(c);
}

static void ended(struct cx_task *t)
{
	if (t->kind == CX_TASK_CONTAINER) {
		cx_container_ended((conex_container *)t);
	} else {
		t->state = CONEX_EXITED;        /* its pid stays readable: for a file of it */
		cx_task_forget_plan(t);
		cx_task_post(t, CONEX_EVENT_EXITED);
	}
	cx_task_unregister(t);
}

static void never_started(struct conex_exit *x)
{
	x->cause = CONEX_EXIT_NEVER_STARTED;
	x->status = 255;
	x->code = -1;
	x->sig = 0;
}

static void exited(struct cx_task *t, const struct cx_message *m, int fd)
{
	struct conex_exit *x = &t->exit;

	cx_closep(&fd);
	cx_exit_fill(x, m->exited.status, m->exited.cause);
	x->cpu_ns = m->exited.cpu_ns;
	x->memory_peak = m->exited.peak;
	x->wall_ns = t->started_ns ? (uint64_t)(m->exited.at_ns - t->started_ns) : 0;
	x->exited_at_ns = m->exited.real_ns;
	if (t->error)           /* given up on: its program has done nothing that counts */
		never_started(x);
	ended(t);
}

static void failed(struct cx_task *t, const struct cx_message *m, const void *bytes)
{
	int held = t->state == CONEX_HELD && !m->failed.error && WIFSIGNALED(m->failed.status);

	keep_timeline(t, m, bytes);
	if (!held && !t->error) /* a held one that was killed did not fail; a hook has said why */
		cx_words_failed(t->plan, m, &t->error);
	never_started(&t->exit);
	t->exit.exited_at_ns = cx_now_ns(CLOCK_REALTIME);
	ended(t);
}

void cx_containers_message(conex *cx, const struct cx_message *m, const void *bytes, int fd)
{
	struct cx_task *t = cx_task_find(cx, m->id);

	if (!t) {
		cx_closep(&fd);
		return;
	}
	cx_task_ref(t);
	if (m->type == CX_MSG_LISTENER) {
		cx_task_listens(t, m->started.pid, fd);
	} else if ((m->type == CX_MSG_HELD || m->type == CX_MSG_STARTED) && t->error) {
		cx_closep(&fd);         /* it was given up on, and is just dying */
	} else if (m->type == CX_MSG_HELD || m->type == CX_MSG_STARTED) {
		runs(t, m, bytes, fd);
	} else if (m->type == CX_MSG_BARRIER) {
		at_barrier(t, m, fd);
	} else if (m->type == CX_MSG_PIDFD && t->pidfd < 0) {
		t->pidfd = fd;
	} else if (m->type == CX_MSG_EXITED) {
		exited(t, m, fd);
	} else {
		cx_closep(&fd);
		if (m->type == CX_MSG_FAILED)
			failed(t, m, bytes);
	}
	cx_task_let_go(t);
}

/* What has taken back its death signal, or was started by a process that died: the cgroup has it all. */
static void kill_rest(struct cx_task *t)
{
	conex_container *c = (conex_container *)t;

	if (t->kind == CX_TASK_CONTAINER && c->made_cgroup && !(t->cx->flags & CONEX_DETACHED))
		cx_cgroup_kill_all(t->cx->cgroups, c->cgroup, 0, NULL);
}

/* Bound processes have died with it (PDEATHSIG), or are just dying; released ones live on. How any of them
 * ended nobody has seen. */
void cx_containers_lost(conex *cx)
{
	for (int i = 0; i < CX_TASK_BUCKETS; i++) {
		struct cx_task *t;

		while ((t = cx->containers->tasks[i])) {
			kill_rest(t);
			t->exit.cause = t->state == CONEX_CREATING ? CONEX_EXIT_NEVER_STARTED : CONEX_EXIT_UNKNOWN;
			t->exit.status = 255;
			t->exit.code = -1;
			t->exit.exited_at_ns = cx_now_ns(CLOCK_REALTIME);
			t->exit.wall_ns = t->started_ns
				? (uint64_t)(cx_now_ns(CLOCK_MONOTONIC) - t->started_ns) : 0;
			cx_fail(&t->error, CONEX_STAGE_RUN, -EOWNERDEAD, NULL,
				"something killed the keeper; the next launch starts another", "the keeper has died");
			ended(t);
		}
	}
	cx_queue_post(&cx->queue, &cx->containers->lost, CONEX_EVENT_KEEPER_LOST);
	cx_log(cx, 3, "the keeper has died: its containers have ended");
}

/* ---- out-of-memory kills of what goes on running ---- */

static void compare_oom(conex_container *c)
{
	uint32_t kills;

	if (!c->watched || c->task.state >= CONEX_EXITED)
		return;
	kills = cx_cgroup_oom_kills(c->task.cx->cgroups, c->cgroup);
	if (kills > c->oom_seen)
		cx_task_post(&c->task, CONEX_EVENT_OOM);
	c->oom_seen = kills;
}

enum { OOM_LOOKS_UNTIL_MS = 3000 };

static void look_again_in(conex *cx, int milliseconds)
{
	cx->containers->oom_again = milliseconds;
	cx->containers->oom_next_ns = cx_now_ns(CLOCK_MONOTONIC) + (int64_t)milliseconds * 1000000;
	if (milliseconds)
		cx_containers_tick_in(cx, milliseconds);
}

/* v1 tells before it kills, and how long the kill takes is for the machine's load to say: it is looked again and again,
 * at growing intervals. Whoever else makes us pump meanwhile doesn't end that. */
static void pump_oom(conex *cx)
{
	struct pollfd p = { .events = POLLIN };
	int again = cx->containers->oom_again;
	int64_t left = cx->containers->oom_next_ns - cx_now_ns(CLOCK_MONOTONIC);

	if (!cx->containers->oom_watched)
		return;
	p.fd = cx_cgroup_oom_fd(cx->cgroups, NULL);
	if (poll(&p, 1, 0) > 0) {
		look_again_in(cx, cx_cgroup_oom_drain(cx->cgroups));
	} else if (!again) {
		return;
	} else if (left > 0) { /* the timer may have been somebody else's */
		cx_containers_tick_in(cx, (int)(left / 1000000) + 1);
		return;
	} else {
		look_again_in(cx, again < OOM_LOOKS_UNTIL_MS ? 2 * again : 0);
	}
	for (conex_container *c = cx->containers->first; c; c = c->next)
		compare_oom(c);
	cx_watches_compare(cx);
}

int cx_containers_pump(conex *cx)
{
	int happened = cx_keeper_pump(cx);
	uint64_t ticks;

	/* a tick that stays unread would keep everybody awake */
	if (read(cx->containers->timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN)
		return happened;
	pump_oom(cx);
	cx_watches_pump(cx);
	happened |= cx_brokers_pump(cx);
	happened |= cx_placing_pump(cx);
	happened |= cx_jobs_pump(cx);
	happened |= cx_stacks_pump(cx);
	happened |= cx_foreign_pump(cx);
	return happened | cx_undo_tick(cx);
}
