/* One more program in a running container: its namespaces, its cgroup, its rights. */
#include "container/container.h"
#include "base/options.h"
#include "namespace/compile.h"

/* Into a user's scope the kernel lets only who comes from within his manager's cgroup. */
static unsigned how_to_exec(const conex_container *c)
{
	return CX_COMPILE_EXEC | (c->by_systemd == CX_BY_USER_SYSTEMD ? CX_COMPILE_PLACED : 0);
}

/* The namespaces that the container was given by handle count as its own here: they are joined through it. */
static int exec_plan(conex_container *c, const char *const *args, const struct conex_run_options *o,
	const conex_plan *of, conex_plan **ret, conex_error **err)
{
	conex_plan *p = calloc(1, sizeof *p);
	int r;

	if (!p)
		return cx_fail_memory(err);
	p->refs = 1;
	p->cx = cx_context_ref(c->task.cx);
	p->join = calloc(1, sizeof(*p->join));
	r = p->join ? cx_options_exec_spec(of ? of->spec : c->spec, args, o, &p->spec, err) : cx_fail_memory(err);
	if (r == 0)
		r = cx_plan_compile(c->task.cx, p->spec, how_to_exec(c), of ? of->join : NULL, &p->bytes, NULL, err);
	if (r == 0) {
		*ret = p;
		return 0;
	}
	cx_plan_unref(p);
	return r;
}

static conex_process *process_new(conex_container *c, conex_plan *plan, const struct conex_run_options *o)
{
	conex_process *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->refs = 1;
	cx_task_init(&p->task, CX_TASK_PROCESS, c->task.cx);
	p->task.plan = cx_plan_ref(plan);
	p->task.flags = o->flags;
	p->task.data = o->data;
	p->container = c;
	c->refs++;
	return p;
}

/* Locked. */
static int send(conex_process *p, struct cx_request *r, conex_error **err)
{
	conex_container *c = p->container;
	conex *cx = p->task.cx;
	int ret;

	if (c->task.state != CONEX_RUNNING && c->task.state != CONEX_HELD)
		return cx_fail(err, CONEX_STAGE_RUN, c->task.state == CONEX_DELETED ? -ENOENT : -ESRCH, NULL,
			c->task.state == CONEX_PAUSED ? "resume it first" : "exec needs a running container", "container %s", c->id);
	ret = cx_keeper_start(cx, err);
	if (ret < 0)
		return ret;
	r->target = c->task.id;
	r->target_pidfd = c->task.id ? -1 : c->task.pidfd;
	p->task.id = cx->keeper->next_id++;
	cx_task_register(&p->task);
	ret = cx_request_send(r, err);
	if (ret < 0) {
		cx_task_unregister(&p->task);
		return ret;
	}
	for (int n = 0; n < 3; n++)
		p->task.stdio[n] = cx_steal_fd(&r->stdio.host[n]);
	cx_stdio_sent(&r->stdio);
	return p->task.flags & CONEX_RUN_NOWAIT ? 0 : cx_task_started(&p->task, err);
}

static int launch_process(conex_process *p, const struct conex_run_options *o, conex_error **err)
{
	struct cx_request r = { .task = &p->task, .options = o, .cgroup = p->container->cgroup,
		.listener = -1, .target_pidfd = -1,
		.launch_flags = (o->flags & CONEX_RUN_TIMELINE ? CX_LAUNCH_TIMELINE : 0)
			| (p->task.cx->flags & CONEX_DETACHED ? CX_LAUNCH_RELEASED : 0) };
	int ret = cx_stdio_open(&r.stdio, o, err);

	if (ret < 0)
		return ret;
	ret = cx_context_lock_to_change(p->task.cx, err);
	if (ret == 0) {
		ret = send(p, &r, err);
		cx_context_unlock(p->task.cx);
	}
	cx_stdio_close(&r.stdio);
	return ret;
}

static int execute(conex_container *c, const char *const *args, const struct conex_run_options *o,
	conex_process **ret, conex_error **err)
{
	conex_plan *plan, *of;          /* its own, which another thread may take away meanwhile */
	conex_process *p;
	int r = how_to_exec(c) & CX_COMPILE_PLACED ? cx_placing_connect(c->task.cx, err) : 0;

	if (r < 0)
		return r;
	pthread_mutex_lock(&c->task.cx->lock);
	of = c->task.plan ? cx_plan_ref(c->task.plan) : NULL;
	pthread_mutex_unlock(&c->task.cx->lock);
	r = of || c->spec ? exec_plan(c, args, o, of, &plan, err)
		: cx_fail(err, CONEX_STAGE_RUN, -ENOENT, NULL, NULL, "container %s was deleted", c->id);
	conex_plan_free(of);
	if (r < 0)
		return r;
	pthread_mutex_lock(&c->task.cx->lock);
	p = process_new(c, plan, o);
	pthread_mutex_unlock(&c->task.cx->lock);
	conex_plan_free(plan);
	r = p ? launch_process(p, o, err) : cx_fail_memory(err);
	if (r < 0)
		conex_process_free(p);
	else
		*ret = p;
	return r;
}

int conex_exec(conex_container *c, const char *const *args,
	const struct conex_run_options *options, conex_process **ret, conex_error **err)
{
	struct conex_run_options o;
	int r = cx_options_read("conex_run_options", &o, sizeof o, sizeof o, options, err);

	if (r == 0)
		r = cx_options_check("conex_exec", &o, CX_FOR_EXEC, err);
	if (r < 0)
		return r;
	if (args ? !args[0] || !args[0][0] : !o.spec)
		return cx_refuse(err, -EINVAL, "args", NULL, "name the program to execute");
	r = cx_context_begin(c->task.cx, err);
	if (r < 0)
		return r;
	r = execute(c, args, &o, ret, err);
	cx_context_end(c->task.cx);
	return r;
}

/* ---- the same verbs as a container's ---- */

void conex_process_free(conex_process *p)
{
	conex *cx;
	int held;

	if (!p)
		return;
	cx = cx_context_ref(p->task.cx);
	held = cx_context_hold(cx);
	cx_task_let_go(&p->task);
	cx_context_release(cx, held);
	cx_context_unref(cx);
}

pid_t conex_process_pid(const conex_process *p)
{
	int held = cx_context_hold(p->task.cx);
	pid_t pid = p->task.pid;

	cx_context_release(p->task.cx, held);
	return pid;
}

int conex_process_pidfd(const conex_process *p)
{
	return cx_task_pidfd((struct cx_task *)&p->task);
}

int conex_process_kill(conex_process *p, int sig, conex_error **err)
{
	return cx_task_kill(&p->task, sig, err);
}

int conex_process_wait(conex_process *p, int timeout_ms, int *ret_status, conex_error **err)
{
	return cx_task_wait(&p->task, timeout_ms, ret_status, err);
}

int conex_process_exit(conex_process *p, struct conex_exit *ret, conex_error **err)
{
	return cx_task_exit(&p->task, ret, err);
}

const conex_error *conex_process_error(const conex_process *p)
{
	return p->task.error;
}

int conex_process_stdio(const conex_process *p, int n)
{
	return cx_task_stdio((struct cx_task *)&p->task, n, 0);
}

int conex_process_take_stdio(conex_process *p, int n)
{
	return cx_task_stdio(&p->task, n, 1);
}

int conex_process_resize(conex_process *p, int rows, int columns, conex_error **err)
{
	return cx_task_resize(&p->task, rows, columns, err);
}

int conex_process_output(conex_process *p, int timeout_ms, struct conex_output *io, conex_error **err)
{
	return cx_task_output(&p->task, timeout_ms, io, err);
}
