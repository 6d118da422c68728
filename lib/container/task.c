/* The verbs that containers and processes share: wait, kill, exit, pidfd. */
#include "container/container.h"
#include "base/kernel.h"
#include "base/options.h"

#include <stdio.h>
#include <string.h>

static int has_ended(void *arg)
{
	return ((struct cx_task *)arg)->state >= CONEX_EXITED;
}

/* A released one that has ended is reaped when somebody here has seen that it did; else it is left for
 * whoever becomes its parent as the keeper leaves: an engine waits for the status. */
void cx_task_seen(struct cx_task *t)
{
	struct cx_message m = { .type = CX_MSG_REAP, .id = t->id };

	if (!t->id || t->seen || t->state < CONEX_EXITED || !(t->cx->flags & CONEX_DETACHED) || !t->cx->keeper)
		return;
	t->seen = 1;
	cx_keeper_send(t->cx, &m, NULL, 0, NULL, 0, NULL);
}

int cx_task_wait(struct cx_task *t, int timeout_ms, int *ret_status, conex_error **err)
{
	int r = cx_context_lock(t->cx, err);

	if (r < 0)
		return r;
	cx_task_ref(t);
	r = cx_context_wait(t->cx, cx_context_deadline(timeout_ms), has_ended, t);
	if (r == 1 && ret_status)
		*ret_status = t->exit.status;
	if (r == 1)
		cx_task_seen(t);
	if (r < 0)
		cx_fail(err, CONEX_STAGE_RUN, r, NULL, NULL, "the context was closed");
	cx_task_unref(t);
	cx_context_unlock(t->cx);
	return r;
}

static int send_kill(struct cx_task *t, int sig, conex_error **err)
{
	struct cx_message m = { .type = CX_MSG_KILL, .id = t->id, .kill = { .sig = sig } };

	if (t->id)
		return cx_keeper_send(t->cx, &m, NULL, 0, NULL, 0, err);
	if (cx_sys_pidfd_send_signal(t->pidfd, sig) < 0)
		return cx_fail_errno(err, CONEX_STAGE_RUN, "pidfd_send_signal", NULL, "pid %d", (int)t->pid);
	return 0;
}

int cx_task_kill(struct cx_task *t, int sig, conex_error **err)
{
	int r;

	if (sig < 1 || sig > 64)
		return cx_fail(err, CONEX_STAGE_RUN, -EINVAL, NULL, "signals go from 1 to 64", "signal %d", sig);
	r = cx_context_lock_to_change(t->cx, err);
	if (r < 0)
		return r;
	cx_context_pump(t->cx); /* it may have ended without our knowing */
	if (t->state >= CONEX_EXITED || t->state == CONEX_CREATING)
		r = cx_fail(err, CONEX_STAGE_RUN, t->state == CONEX_DELETED ? -ENOENT : -ESRCH, NULL, NULL,
			"it has no running process");
	else
		r = send_kill(t, sig, err);
	cx_context_unlock(t->cx);
	return r;
}

static int has_pidfd(void *arg)
{
	const struct cx_task *t = arg;

	return t->pidfd >= 0 || t->state >= CONEX_EXITED;
}

/* The keeper holds one for every process; here there is one only for who asks. */
int cx_task_pidfd(struct cx_task *t)
{
	struct cx_message m = { .type = CX_MSG_PIDFD, .id = t->id };
	int fd;

	if (cx_context_lock(t->cx, NULL) < 0)
		return -1;
	if (t->pidfd < 0 && t->id && (t->state == CONEX_HELD || t->state == CONEX_RUNNING || t->state == CONEX_PAUSED)
	    && cx_keeper_send(t->cx, &m, NULL, 0, NULL, 0, NULL) == 0)
		cx_context_wait(t->cx, cx_context_deadline(5000), has_pidfd, t);
	fd = t->pidfd;
	cx_context_unlock(t->cx);
	return fd;
}

int cx_task_exit(struct cx_task *t, struct conex_exit *ret, conex_error **err)
{
	struct conex_exit x;

	if (t->cx->pid != getpid())
		return cx_fail(err, CONEX_STAGE_RUN, -ECHILD, NULL, NULL, "the context");
	pthread_mutex_lock(&t->cx->lock);       /* also after conex_close: the record stays readable */
	x = t->exit;
	if (t->state < CONEX_EXITED) {
		pthread_mutex_unlock(&t->cx->lock);
		return cx_fail(err, CONEX_STAGE_RUN, -EBUSY, NULL, "wait for it", "it has not ended");
	}
	pthread_mutex_unlock(&t->cx->lock);
	return cx_options_write("conex_exit", ret, sizeof x, sizeof x, &x, err);
}

/* ---- the record as a sentence ---- */

static const char *signal_name(int sig)
{
	const char *name = sigabbrev_np(sig);

	return name ? name : "?";
}

int conex_exit_text(const struct conex_exit *x, char *buffer, size_t size)
{
	double wall = (double)x->wall_ns / 1e9;

	switch (x->cause) {
	case CONEX_EXIT_CODE:
		return snprintf(buffer, size, "ended with %d", x->code);
	case CONEX_EXIT_SIGNAL:
		return snprintf(buffer, size, "ended by signal %d (SIG%s)", x->sig, signal_name(x->sig));
	case CONEX_EXIT_OOM:
		return snprintf(buffer, size, "out of memory: killed at its limit, with a peak of %llu MiB",
			(unsigned long long)(x->memory_peak / CONEX_MIB));
	case CONEX_EXIT_TIMEOUT:
		return snprintf(buffer, size, "time-out: killed after %.1f s", wall);
	case CONEX_EXIT_STOPPED:
		return x->sig ? snprintf(buffer, size, "stopped by signal %d (SIG%s)", x->sig, signal_name(x->sig))
			: snprintf(buffer, size, "stopped, ended with %d", x->code);
	case CONEX_EXIT_SECCOMP:
		return snprintf(buffer, size, "killed for a system call that its seccomp profile forbids");
	case CONEX_EXIT_NEVER_STARTED:
		return snprintf(buffer, size, "never started");
	default:
		return snprintf(buffer, size, "ended, nobody saw how");
	}
}
