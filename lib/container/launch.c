/* A launch on the host's side: journal, cgroup, stdio, one message to the keeper (request.c), one answer. */
#include "container/container.h"
#include "base/options.h"
#include "base/path.h"
#include "cgroup/scope.h"

#include <stdio.h>
#include <string.h>

enum { UNDO_MS = 5000 };

static int random_id(char id[13])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
	unsigned char noise[12];
	int r = cx_random(noise, sizeof noise);

	for (int i = 0; i < 12; i++)
		id[i] = letters[noise[i] % 26];
	id[12] = '\0';
	return r;
}

static int copy_labels(conex_container *c, const char *const *labels, conex_error **err)
{
	size_t n = cx_count(labels), size = (n + 1) * sizeof(char *);
	char *text, where[48];

	for (size_t i = 0; i < n; i++) {
		snprintf(where, sizeof where, "conex_run_options.labels[%zu]", i);
		if (!strchr(labels[i], '=') || labels[i][0] == '=')
			return cx_refuse(err, -EINVAL, where, labels[i], "write key=value");
		size += strlen(labels[i]) + 1;
	}
	c->labels = calloc(1, size);
	if (!c->labels)
		return cx_fail_memory(err);
	text = (char *)(c->labels + n + 1);
	for (size_t i = 0; i < n; i++) {
		c->labels[i] = text;
		text = stpcpy(text, labels[i]) + 1;
	}
	return 0;
}

static int container_new(conex_plan *plan, const struct conex_run_options *o, conex_container **ret, conex_error **err)
{
	char generated[13];
	const char *id = o->id;
	conex_container *c;
	int r;

	if (!id && random_id(generated) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "getrandom", NULL, "the id");
	id = id ? id : generated;
	r = cx_container_check_id(id, err);
	if (r < 0)
		return r;
	c = cx_container_new(plan->cx, id);
	if (!c)
		return cx_fail_memory(err);
	c->task.plan = cx_plan_ref(plan);
	c->task.data = o->data;
	c->task.flags = o->flags | (cx_json_true(plan->spec, "process.terminal") ? CONEX_RUN_TTY : 0);
	if (plan->bundle && !(c->bundle = strdup(plan->bundle)))
		r = cx_fail_memory(err);
	if (r == 0)
		r = copy_labels(c, o->labels, err);
	if (cx_cgroups_by_systemd(plan->cx->cgroups))
		c->by_systemd = cx_cgroups_user_manager(plan->cx->cgroups) ? CX_BY_USER_SYSTEMD : CX_BY_SYSTEMD;
	if (r == 0)
		r = cx_cgroup_path(plan->cx->cgroups, cx_json_text(plan->spec, "linux.cgroupsPath"), id, &c->cgroup, err);
	if (r < 0)
		cx_container_unref(c);
	else
		*ret = c;
	return r;
}

/* Takes the id: of two launches with the same one only the first goes on. Locked. */
static int claim(conex_container *c, conex_error **err)
{
	if (cx_container_find(c->task.cx, c->id))
		return cx_refuse(err, -EEXIST, "conex_run_options.id", c->id, "delete that container, or use another id");
	cx_container_list_add(c);
	return 0;
}

/* What exists outside the process, in the order of the journal; without the lock. */
static int acquire(conex_container *c, struct cx_network_launch *network, conex_error **err)
{
	int r;

	if (c->by_systemd && cx_scope_exists(c->task.cx->cgroups, c->cgroup))
		return cx_fail(err, CONEX_STAGE_LAUNCH, -EEXIST, NULL, "another container's: delete it, or take another id", "cgroup %s",
			c->cgroup);
	r = cx_container_journal(c, err);
	if (r == 0)
		r = cx_container_hold_image(c, err);
	if (r == 0)
		r = cx_container_join(c, network, err);
	if (r < 0 || c->by_systemd)     /* its scope is made with its process in it: placing.c */
		return r;
	r = cx_cgroup_make(c->task.cx->cgroups, c->cgroup, c->task.plan->limits, err);
	c->made_cgroup = r == 0;
	if (r == 0 && cx_json_at(c->task.plan->spec, "linux.resources.memory.limit")) {
		pthread_mutex_lock(&c->task.cx->lock);
		cx_container_watch_oom(c);      /* the exit record tells it even without */
		pthread_mutex_unlock(&c->task.cx->lock);
	}
	return r;
}

/* Locked. */
static int send(conex_container *c, struct cx_request *r, conex_error **err)
{
	conex *cx = c->task.cx;
	int ret = cx_keeper_start(cx, err);

	if (ret < 0)
		return ret;
	if (cx_is_released(cx) && r->launch_flags & CX_LAUNCH_HOLD) {
		r->listener = cx_listener_open(cx, c->id, err);
		if (r->listener < 0)
			return r->listener;
	}
	c->task.id = cx->keeper->next_id++;
	cx_task_register(&c->task);
	ret = cx_request_send(r, err);
	if (ret < 0) {
		cx_task_unregister(&c->task);
		c->task.id = 0;
	}
	return ret;
}

static uint32_t launch_flags(const conex *cx, uint64_t flags)
{
	return (flags & CONEX_RUN_HOLD ? CX_LAUNCH_HOLD : 0) | (cx_is_released(cx) ? CX_LAUNCH_RELEASED : 0)
		| (flags & CONEX_RUN_TIMELINE ? CX_LAUNCH_TIMELINE : 0);
}

static int is_unlisted(void *arg)
{
	return !((conex_container *)arg)->listed;
}

/* Waits for the program unless NOWAIT; on failure nothing is left of the container. Locked. */
static int finish(conex_container *c, int sent, uint64_t flags, conex_error **err)
{
	int r = sent;

	if (r == 0 && flags & CONEX_RUN_NOWAIT)
		return 0;
	if (r == 0)
		r = cx_task_started(&c->task, err);
	if (r == 0 || (r == -ESHUTDOWN && c->task.id))
		return r;       /* conex_close undoes what runs */
	c->task.state = CONEX_EXITED;
	if (c->listed)
		cx_container_undo_later(c);
	cx_context_pump(c->task.cx);
	if (c->by_systemd || c->chain || c->stack)      /* a scope, plugins' interfaces, a program take their own time to go */
		cx_context_wait(c->task.cx, cx_context_deadline(UNDO_MS), is_unlisted, c);
	return r;
}

static void open_stdio_to(conex_container *c, struct cx_request *r)
{
	for (int n = 0; n < 3; n++)
		c->task.stdio[n] = cx_steal_fd(&r->stdio.host[n]);
}

static int launch_container(conex_container *c, struct cx_request *r, conex_error **err)
{
	cx_autolaunch network = { .hosts = NULL };
	conex *cx = c->task.cx;
	int ret = cx_context_lock_to_change(cx, err);

	if (ret < 0)
		return ret;
	ret = claim(c, err);
	cx_context_unlock(cx);
	if (ret < 0)
		return ret;
	ret = acquire(c, &network, err);
	r->network = &network;
	r->snapshot = c->snapshot;
	pthread_mutex_lock(&cx->lock);
	if (ret == 0 && cx->closed)
		ret = cx_fail(err, CONEX_STAGE_LAUNCH, -ESHUTDOWN, NULL, "conex_close was called", "the context");
	if (ret == 0)
		ret = send(c, r, err);
	open_stdio_to(c, r);
	cx_stdio_sent(&r->stdio);
	ret = finish(c, ret, c->task.flags, err);
	cx_context_unlock(cx);
	return ret;
}

int cx_launch(conex_plan *plan, const char *const *args, const struct conex_run_options *o, conex_container **ret,
	conex_error **err)
{
	struct cx_request r = { .options = o, .args = args, .listener = -1, .target_pidfd = -1,
		.launch_flags = launch_flags(plan->cx, o->flags) };
	cx_autofree char *state = NULL;
	conex_container *c = NULL;
	json_t *env = NULL;
	int result = cx_cgroups_by_systemd(plan->cx->cgroups) ? cx_placing_connect(plan->cx, err) : 0;

	if (result == 0)
		result = container_new(plan, o, &c, err);

	if (result < 0)
		return result;
	if (o->env && !(env = cx_env_merge(cx_json_at(plan->spec, "process.env"), o->env)))
		result = cx_fail_memory(err);
	r.env = env;
	r.task = &c->task;
	r.cgroup = c->cgroup;
	if (cx_json_at(plan->spec, "hooks") && !(state = cx_hooks_state_head(c)))
		result = cx_fail_memory(err);
	r.state = state;
	r.hostname = cx_json_text(plan->spec, "hostname") ? NULL : c->id;
	if (result == 0)
		result = cx_stdio_open(&r.stdio, o, err);
	if (result == 0) {
		result = launch_container(c, &r, err);
		cx_stdio_close(&r.stdio);
		cx_closep(&r.listener);
	}
	json_decref(env);
	if (result < 0)
		conex_container_free(c);
	else
		*ret = c;
	return result;
}

static int check_args(const char *const *args, conex_error **err)
{
	if (args && (!args[0] || !args[0][0]))
		return cx_refuse(err, -EINVAL, "args", args[0], "name the program first, or pass NULL for the plan's own");
	return 0;
}

int conex_launch(conex *cx, const conex_plan *plan, const char *const *args,
	const struct conex_run_options *options, conex_container **ret, conex_error **err)
{
	struct conex_run_options o;
	int r = cx_options_read("conex_run_options", &o, sizeof o, sizeof o, options, err);

	if (r == 0)
		r = cx_options_check("conex_launch", &o, CX_FOR_LAUNCH, err);
	if (r == 0)
		r = check_args(args, err);
	if (r == 0 && plan->cx != cx)
		r = cx_fail(err, CONEX_STAGE_LAUNCH, -EINVAL, NULL, "compile it with this context", "the plan is another context's");
	if (r == 0)
		r = cx_context_begin(cx, err);
	if (r < 0)
		return r;
	r = cx_launch((conex_plan *)plan, args, &o, ret, err);
	cx_context_end(cx);
	return r;
}

static int run(conex *cx, const char *image, const char *const *args, const struct conex_run_options *o,
	conex_container **ret, conex_error **err)
{
	struct conex_run_options once = *o;
	conex_plan *plan;
	int r = cx_plan_make(cx, image, args, o, &plan, err);

	if (r < 0)
		return r;
	once.env = NULL;        /* in the plan already, like args */
	r = cx_launch(plan, NULL, &once, ret, err);
	conex_plan_free(plan);
	return r;
}

int conex_run(conex *cx, const char *image, const char *const *args,
	const struct conex_run_options *options, conex_container **ret, conex_error **err)
{
	struct conex_run_options o;
	int r = cx_options_read("conex_run_options", &o, sizeof o, sizeof o, options, err);

	if (r == 0)
		r = cx_options_check("conex_run", &o, CX_FOR_PLAN | CX_FOR_LAUNCH, err);
	if (r == 0)
		r = check_args(args, err);
	if (r == 0)
		r = cx_context_begin(cx, err);
	if (r < 0)
		return r;
	r = run(cx, image, args, &o, ret, err);
	cx_context_end(cx);
	return r;
}
