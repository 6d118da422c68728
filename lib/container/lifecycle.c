/* The public verbs of a container, from start to delete. */
#include "container/container.h"
#include "base/kernel.h"
#include "base/options.h"
#include "base/path.h"
#include "image/config.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

void conex_container_free(conex_container *c)
{
	conex *cx;
	int held;

	if (!c)
		return;
	cx = cx_context_ref(c->task.cx);
	held = cx_context_hold(cx);
	cx_task_let_go(&c->task);
	cx_context_release(cx, held);
	cx_context_unref(cx);
}

conex_container *conex_container_ref(conex_container *c)
{
	int held;

	if (!c)
		return NULL;
	held = cx_context_hold(c->task.cx);
	c->refs++;
	cx_context_release(c->task.cx, held);
	return c;
}

const char *conex_container_id(const conex_container *c)
{
	return c->id;
}

int conex_container_state(const conex_container *c)
{
	conex *cx = c->task.cx;
	int held = cx_context_hold(cx), state;

	if (held && !cx->closed)
		cx_context_pump(cx);
	state = c->task.state;
	cx_context_release(cx, held);
	return state;
}

pid_t conex_container_pid(const conex_container *c)
{
	int held = cx_context_hold(c->task.cx);
	pid_t pid = c->task.pid;

	cx_context_release(c->task.cx, held);
	return pid;
}

int conex_container_pidfd(const conex_container *c)
{
	return cx_task_pidfd((struct cx_task *)&c->task);
}

const char *conex_container_label(const conex_container *c, const char *key)
{
	size_t n = strlen(key);

	for (char **label = c->labels; label && *label; label++)
		if (!strncmp(*label, key, n) && (*label)[n] == '=')
			return *label + n + 1;
	return NULL;
}

int conex_container_start(conex_container *c, conex_error **err)
{
	struct cx_message m = { .type = CX_MSG_START, .id = c->task.id };
	int r = cx_context_lock_to_change(c->task.cx, err);

	if (r < 0)
		return r;
	if (c->task.state == CONEX_CREATING && c->task.flags & CONEX_RUN_HOLD)
		r = cx_task_started(&c->task, err);     /* launched with NOWAIT: held soon */
	if (r < 0) {
		cx_context_unlock(c->task.cx);
		return r;
	}
	if (c->task.state != CONEX_HELD) {
		r = cx_fail(err, CONEX_STAGE_RUN, c->task.state == CONEX_DELETED ? -ENOENT : -EINVAL, NULL,
			"only a container launched with CONEX_RUN_HOLD can be started, once", "container %s", c->id);
	} else if (c->start || c->task.cx->flags & CONEX_DETACHED) {
		r = cx_foreign_start(c, err);
	} else {
		c->task.state = CONEX_CREATING;
		r = cx_keeper_send(c->task.cx, &m, NULL, 0, NULL, 0, err);
		if (r == 0)
			r = cx_task_started(&c->task, err);
	}
	cx_context_unlock(c->task.cx);
	return r;
}

/* v1's freezer holds even SIGKILL back: what is paused must be thawed to end. Locked, after the keeper was asked. */
void cx_container_kill_frozen(conex_container *c)
{
	if (c->task.state == CONEX_PAUSED && c->cgroup)
		cx_cgroup_kill_all(c->task.cx->cgroups, c->cgroup, 0, NULL);
}

int conex_container_kill(conex_container *c, int sig, conex_error **err)
{
	return cx_task_kill(&c->task, sig, err);
}

/* The cgroup knows them all, also when the first one has ended; where there is none its pid namespace does. */
int conex_container_kill_all(conex_container *c, int sig, conex_error **err)
{
	int r;

	if (sig < 1 || sig > 64)
		return cx_fail(err, CONEX_STAGE_RUN, -EINVAL, NULL, "signals go from 1 to 64", "signal %d", sig);
	r = cx_context_lock(c->task.cx, err);
	if (r < 0)
		return r;
	cx_context_pump(c->task.cx);
	if (c->task.state == CONEX_DELETED || c->task.state == CONEX_CREATING)
		r = cx_fail(err, CONEX_STAGE_RUN, c->task.state == CONEX_DELETED ? -ENOENT : -ESRCH, NULL, NULL,
			"container %s", c->id);
	else if (!cx_cgroups_any(c->task.cx->cgroups))
		r = cx_container_signal_members(c, sig, err);
	else if (sig == 9)
		r = cx_cgroup_kill_all(c->task.cx->cgroups, c->cgroup, 0, err);
	else
		r = cx_cgroup_signal(c->task.cx->cgroups, c->cgroup, sig, err);
	cx_context_unlock(c->task.cx);
	return r < 0 ? r : 0;
}

int conex_container_pids(conex_container *c, pid_t **ret, conex_error **err)
{
	pid_t *pids = NULL;
	int r = cx_context_lock(c->task.cx, err);

	if (r < 0)
		return r;
	if (c->task.state == CONEX_DELETED)
		r = -ENOENT;
	else if (!cx_cgroups_any(c->task.cx->cgroups))
		r = cx_container_members(c, &pids);
	else
		r = cx_cgroup_count(c->task.cx->cgroups, c->cgroup, &pids);
	cx_context_unlock(c->task.cx);
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_RUN, r, NULL, NULL, "processes of container %s", c->id);
	if (!pids && !(pids = calloc(1, sizeof *pids)))
		return cx_fail_memory(err);
	*ret = pids;
	return r;
}

/* What an image says (image-spec, conversion.md), or who has laid his own over that. */
static int stop_signal(const json_t *spec)
{
	const char *name = json_string_value(json_object_get(json_object_get(spec, "annotations"),
		"org.opencontainers.image.stopSignal"));
	int sig = name ? cx_image_signal(name) : 0;

	return sig ? sig : SIGTERM;
}

static int stop_foreign(conex_container *c, conex_error **err)
{
	int sig = stop_signal(c->spec);

	cx_context_unlock(c->task.cx);
	return cx_task_kill(&c->task, sig, err);
}

/* The grace is the keeper's clock: it ends also when this process is busy or gone. */
int conex_container_stop(conex_container *c, conex_error **err)
{
	struct cx_message m = { .type = CX_MSG_STOP, .id = c->task.id };
	int r = cx_context_lock_to_change(c->task.cx, err);

	if (r < 0)
		return r;
	if (c->task.state >= CONEX_EXITED) {
		cx_context_unlock(c->task.cx);
		return cx_fail(err, CONEX_STAGE_RUN, c->task.state == CONEX_DELETED ? -ENOENT : -ESRCH, NULL, NULL,
			"container %s has ended", c->id);
	}
	if (!c->task.id)
		return stop_foreign(c, err);
	m.kill.sig = stop_signal(c->task.plan->spec);
	m.kill.grace_ms = c->task.plan->grace_ms;
	r = cx_keeper_send(c->task.cx, &m, NULL, 0, NULL, 0, err);
	cx_context_unlock(c->task.cx);
	return r;
}

/* ---- pause, resume, limits, usage: the cgroup's ---- */

static int freeze(conex_container *c, int frozen, int timeout_ms, conex_error **err)
{
	int r = cx_context_lock_to_change(c->task.cx, err), was = frozen ? CONEX_RUNNING : CONEX_PAUSED;

	if (r < 0)
		return r;
	if (c->committing)
		cx_context_pump(c->task.cx);    /* its end may wait to be read */
	if (c->task.state != was)
		r = cx_fail(err, CONEX_STAGE_RUN, -EINVAL, NULL, frozen ? "only a running one can be paused"
			: "only a paused one can be resumed", "container %s", c->id);
	else if (!frozen && c->committing)
		r = cx_fail(err, CONEX_STAGE_RUN, -EBUSY, NULL, "wait for the job, or free it", "container %s is being committed", c->id);
	else
		r = cx_cgroup_freeze_path(c->task.cx->cgroups, c->cgroup, frozen, timeout_ms, err);
	if (r == 1)
		c->task.state = frozen ? CONEX_PAUSED : CONEX_RUNNING;
	cx_context_unlock(c->task.cx);
	return r;
}

int conex_container_pause(conex_container *c, int timeout_ms, conex_error **err)
{
	return freeze(c, 1, timeout_ms, err);
}

int conex_container_resume(conex_container *c, conex_error **err)
{
	int r = freeze(c, 0, 1000, err);

	return r < 0 ? r : 0;
}

static int with_cgroup(conex_container *c, int change, conex_error **err)
{
	int r = change ? cx_context_lock_to_change(c->task.cx, err) : cx_context_lock(c->task.cx, err);

	if (r < 0)
		return r;
	if (c->task.state < CONEX_EXITED && c->task.state != CONEX_CREATING)
		return 0;
	cx_context_unlock(c->task.cx);
	return cx_fail(err, CONEX_STAGE_RUN, -ESRCH, NULL, NULL, "container %s doesn't run", c->id);
}

static int tell_systemd(conex_container *c, const struct cx_cgroup_limits *limits, conex_error **err)
{
	int r = cx_context_begin(c->task.cx, err);

	if (r < 0)
		return r;
	r = cx_placing_changed(c, limits, err);
	cx_context_end(c->task.cx);
	return r;
}

int conex_container_update(conex_container *c, const struct conex_limits *given, conex_error **err)
{
	struct conex_limits limits;
	struct cx_cgroup_limits *compiled = NULL;
	json_t *resources = NULL;
	int r = cx_options_read("conex_limits", &limits, sizeof limits, sizeof limits, given, err);

	if (r == 0)
		r = cx_cgroup_limits_json(&limits, &resources, err);
	if (r == 0)
		r = with_cgroup(c, 1, err);
	if (r == 0) {
		r = cx_cgroup_limits_compile(c->task.cx->cgroups, resources, &compiled, err);
		if (r == 0)
			r = cx_cgroup_apply(c->task.cx->cgroups, c->cgroup, compiled, err);
		cx_context_unlock(c->task.cx);
		if (r == 0 && c->by_systemd)
			r = tell_systemd(c, compiled, err);
	}
	cx_cgroup_limits_free(compiled);
	json_decref(resources);
	return r;
}

static int read_stats(conex_container *c, struct conex_stats *s, conex_error **err)
{
	int r = with_cgroup(c, 0, err);

	if (r < 0)
		return r;
	r = cx_cgroup_read_stats(c->task.cx->cgroups, c->cgroup, NULL, s, err);
	if (r == 0)
		cx_container_add_counters(c, s);
	cx_context_unlock(c->task.cx);
	return r;
}

int conex_container_stats(conex_container *c, struct conex_stats *ret, conex_error **err)
{
	struct conex_stats s;
	int r = read_stats(c, &s, err);

	return r < 0 ? r : cx_options_write("conex_stats", ret, sizeof s, sizeof s, &s, err);
}

int conex_container_sample(conex_container *const *containers, size_t count, struct conex_stats *ret,
	conex_error **err)
{
	size_t step = count ? ret->size : 0;
	int read = 0;

	for (size_t i = 0; i < count; i++) {
		struct conex_stats s, *to = (struct conex_stats *)(void *)((char *)ret + i * step);
		int r = containers[i] ? read_stats(containers[i], &s, NULL) : -ESRCH;

		if (r == -ECHILD || r == -ESHUTDOWN || r == -ENOMEM)
			return read_stats(containers[i], &s, err);
		if (r < 0)
			memset(&s, 0xff, sizeof s);
		to->size = step;
		if (cx_options_write("conex_stats", to, sizeof s, sizeof s, &s, err) < 0)
			return -EINVAL;
		read += r == 0;
	}
	return read;
}

int conex_container_details(conex_container *c, char **ret_json, conex_error **err)
{
	int r = with_cgroup(c, 0, err);
	json_t *interfaces;

	if (r < 0)
		return r;
	interfaces = cx_container_interfaces(c);
	r = interfaces ? cx_cgroup_details(c->task.cx->cgroups, c->cgroup, interfaces, ret_json, err)
		: cx_fail_memory(err);
	json_decref(interfaces);
	cx_context_unlock(c->task.cx);
	return r;
}

/* ---- wait, exit, output ---- */

int conex_container_wait(conex_container *c, int timeout_ms, int *ret_status, conex_error **err)
{
	return cx_task_wait(&c->task, timeout_ms, ret_status, err);
}

int conex_container_exit(conex_container *c, struct conex_exit *ret, conex_error **err)
{
	return cx_task_exit(&c->task, ret, err);
}

const conex_error *conex_container_error(const conex_container *c)
{
	return c->task.error;
}

static int taken_stdio(struct cx_task *t, int n, int take)
{
	int at = t->flags & CONEX_RUN_TTY ? 0 : n;

	if (n < 0 || n > 2)
		return -1;
	return take ? cx_steal_fd(&t->stdio[at]) : t->stdio[at];
}

int cx_task_stdio(struct cx_task *t, int n, int take)
{
	int held = cx_context_hold(t->cx), fd = taken_stdio(t, n, take);

	cx_context_release(t->cx, held);
	return fd;
}

int conex_container_stdio(const conex_container *c, int n)
{
	return cx_task_stdio((struct cx_task *)&c->task, n, 0);
}

int conex_container_take_stdio(conex_container *c, int n)
{
	return cx_task_stdio(&c->task, n, 1);
}

int conex_container_resize(conex_container *c, int rows, int columns, conex_error **err)
{
	return cx_task_resize(&c->task, rows, columns, err);
}

int conex_container_output(conex_container *c, int timeout_ms, struct conex_output *io, conex_error **err)
{
	return cx_task_output(&c->task, timeout_ms, io, err);
}

/* ---- delete ---- */

enum { CUT_MS = 200 };          /* some times what the kernel takes to delete an interface */

static int is_deleted(void *arg)
{
	return ((conex_container *)arg)->task.state == CONEX_DELETED;
}

static void kill_everything(conex_container *c)
{
	struct cx_message m = { .type = CX_MSG_KILL, .id = c->task.id };

	if (c->task.id)
		cx_keeper_send(c->task.cx, &m, NULL, 0, NULL, 0, NULL);
	else if (c->cgroup)
		cx_cgroup_kill_all(c->task.cx->cgroups, c->cgroup, 0, NULL);
	if (!c->task.id && c->task.pidfd >= 0)  /* without a cgroup its pid namespace ends with it */
		cx_sys_pidfd_send_signal(c->task.pidfd, SIGKILL);
	cx_container_kill_frozen(c);
}

int conex_container_delete(conex_container *c, int timeout_ms, conex_error **err)
{
	conex *cx = c->task.cx;
	int r = cx_context_lock_to_change(cx, err);

	if (r < 0)
		return r;
	c->refs++;
	c->task.flags |= CONEX_RUN_AUTODELETE;
	if (c->task.state < CONEX_EXITED)
		kill_everything(c);
	else if (c->task.state == CONEX_EXITED)
		cx_container_undo_later(c);
	if (timeout_ms < 0 || timeout_ms >= CUT_MS)
		cx_container_cut(c);
	r = cx_context_wait(cx, cx_context_deadline(timeout_ms), is_deleted, c);
	if (r < 0)
		cx_fail(err, CONEX_STAGE_TEARDOWN, r, NULL, NULL, "the context was closed");
	cx_container_unref(c);
	cx_context_unlock(cx);
	return r;
}
