/* The OCI runtime-spec's hooks. prestart, createRuntime, poststart and poststop run on the host's side, one
 * after another, as helpers of the keeper; createContainer and startContainer are operations of the plan. */
#include "container/container.h"
#include "plan/build.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* prestart is specified as of the start operation, when the container has been created; that all runtimes call
 * it within create doesn't change what it is told. */
static const struct { const char *kinds[2], *status[2]; } stages[] = {
	[CX_HOOKS_RUNTIME] = { { "prestart", "createRuntime" }, { "created", "creating" } },
	[CX_HOOKS_POSTSTART] = { { "poststart" }, { "running" } },
	[CX_HOOKS_POSTSTOP] = { { "poststop" }, { "stopped" } },
};

struct cx_hooks {               /* a chain under way; at most one a container */
	struct cx_helper helper;
	conex_container *c;     /* counted */
	enum cx_hooks_stage stage;
	int kind;
	size_t index;
};

static const json_t *spec_of(const conex_container *c)
{
	return c->task.plan ? c->task.plan->spec : c->spec;
}

static const json_t *list_of(const json_t *spec, const char *kind)
{
	char path[40];

	snprintf(path, sizeof path, "hooks.%s", kind);
	return cx_json_at(spec, path);
}

int cx_hooks_any(const conex_container *c, enum cx_hooks_stage stage)
{
	for (int i = 0; i < 2 && stages[stage].kinds[i]; i++)
		if (json_array_size(list_of(spec_of(c), stages[stage].kinds[i])))
			return 1;
	return 0;
}

/* ---- the state that a hook reads ---- */

json_t *cx_hooks_state(const conex_container *c)
{
	const json_t *spec = spec_of(c), *annotations = cx_json_at(spec, "annotations");
	const char *version = cx_json_text(spec, "ociVersion"), *root = cx_json_text(spec, "root.path");
	json_t *state = json_pack("{s:s, s:s, s:s}", "ociVersion", version ? version : "1.0.2", "id", c->id,
		"bundle", c->bundle ? c->bundle : root ? root : "");

	if (state && annotations)
		json_object_set(state, "annotations", (json_t *)annotations);
	return state;
}

/* Up to where the child adds status and pid: "{...,". free; NULL: no memory */
char *cx_hooks_state_head(const conex_container *c)
{
	json_t *state = cx_hooks_state(c);
	char *text = state ? json_dumps(state, JSON_COMPACT) : NULL;

	json_decref(state);
	if (text)
		text[strlen(text) - 1] = ',';
	return text;
}

static int state_memfd(const struct cx_hooks *h)
{
	json_t *state = cx_hooks_state(h->c);
	cx_autofree char *text = NULL;

	if (state) {
		json_object_set_new(state, "status", json_string(stages[h->stage].status[h->kind]));
		json_object_set_new(state, "pid", json_integer(h->stage == CX_HOOKS_POSTSTOP ? 0 : h->c->task.pid));
		text = json_dumps(state, JSON_COMPACT);
		json_decref(state);
	}
	return text ? cx_keeper_memfd("conex-state", text, strlen(text)) : -1;
}

/* ---- one hook ---- */

static const json_t *current(const struct cx_hooks *h)
{
	return json_array_get(list_of(spec_of(h->c), stages[h->stage].kinds[h->kind]), h->index);
}

/* The file to execute is the path; argv[0] may be anything. */
static int hook_plan(const json_t *hook, struct cx_plan **ret, conex_error **err)
{
	const char *path = cx_json_text(hook, "path");
	cx_autofree const char **args = cx_texts(json_object_get(hook, "args"), path);
	cx_autofree const char **env = cx_texts(json_object_get(hook, "env"), NULL);
	struct cx_build b = { .failed = 0 };
	int r;

	if (!args || !env)
		return cx_fail_memory(err);
	cx_op(&b, inherit, NULL, CX_FD_IN, CX_FD_OUT, CX_FD_ERR);
	cx_op(&b, death_signal, NULL);  /* nobody would be left to hear how it ended */
	cx_op(&b, exec, "the hook", cx_cell_list(&b, args), cx_cell_list(&b, env), cx_cell_text(&b, path));
	r = cx_build_end(&b, ret, err);
	cx_build_free(&b);
	return r;
}

static void fail(struct cx_hooks *h, int code, const char *what, conex_error **err)
{
	const char *path = cx_json_text(current(h), "path");

	cx_fail(err, CONEX_STAGE_LAUNCH, code, NULL, NULL, "hooks.%s[%zu] %s %s", stages[h->stage].kinds[h->kind],
		h->index, path ? path : "", what);
}

static int run_one(struct cx_hooks *h, conex_error **err)
{
	conex *cx = h->c->task.cx;
	cx_autofree struct cx_plan *plan = NULL;
	cx_autoclose int state = state_memfd(h);
	int r = state < 0 ? cx_fail_memory(err) : cx_keeper_start(cx, err);

	if (r == 0)
		r = hook_plan(current(h), &plan, err);
	h->helper.timeout_ms = cx_json_int(current(h), "timeout", 0) * 1000;
	return r < 0 ? r : cx_keeper_help_later(cx, &h->helper, plan, 1U << CX_FD_IN, &state, err);
}

/* ---- the chain ---- */

static void end(struct cx_hooks *h, const conex_error *why)
{
	conex_container *c = h->c;

	c->hooks = NULL;
	cx_hooks_ended(c, h->stage, why);
	free(h);
	cx_container_unref(c);
}

/* The next hook of the stage; those of poststart and poststop that fail are only told to the log. */
static void next(struct cx_hooks *h)
{
	conex_error *err = NULL;

	for (; h->kind < 2 && stages[h->stage].kinds[h->kind]; h->kind++, h->index = 0)
		for (; current(h); h->index++) {
			if (run_one(h, &err) == 0) {
				conex_error_free(err);
				return;
			}
			if (h->stage == CX_HOOKS_RUNTIME) {
				end(h, err);
				conex_error_free(err);
				return;
			}
			cx_log(h->c->task.cx, 4, "%s", conex_error_text(err));
		}
	conex_error_free(err);
	end(h, NULL);
}

static void one_ended(conex *cx, struct cx_helper *helper)
{
	struct cx_hooks *h = (struct cx_hooks *)helper;
	conex_error *err = NULL;
	char what[64] = "";

	if (helper->done < 0)
		fail(h, helper->done, "could not be executed", &err);
	else if (helper->cause == CX_ENDED_TIMEOUT)
		fail(h, -ETIMEDOUT, "was killed at its time-out", &err);
	else if (helper->status) {
		snprintf(what, sizeof what, WIFSIGNALED(helper->status) ? "was ended by signal %d" : "ended with %d",
			WIFSIGNALED(helper->status) ? WTERMSIG(helper->status) : WEXITSTATUS(helper->status));
		fail(h, -ECANCELED, what, &err);
	}
	if (err && h->stage == CX_HOOKS_RUNTIME) {
		end(h, err);
	} else {
		if (err)
			cx_log(cx, 4, "%s", conex_error_text(err));
		h->index++;
		next(h);
	}
	conex_error_free(err);
}

void cx_hooks_begin(conex_container *c, enum cx_hooks_stage stage)
{
	struct cx_hooks *h = calloc(1, sizeof *h);

	if (!h) {
		conex_error *err = NULL;

		cx_fail_memory(&err);
		cx_hooks_ended(c, stage, err);
		return;
	}
	h->c = c;
	h->stage = stage;
	h->helper.ended = one_ended;
	c->refs++;
	c->hooks = h;
	next(h);
}

/* ---- those inside: operations of the plan ---- */

static void compile_kind(struct cx_compile *c, const char *kind, const char *status)
{
	const json_t *list = list_of(c->spec, kind), *hook;
	struct cx_build *b = c->build;
	char object[64];
	size_t i;

	json_array_foreach((json_t *)list, i, hook) {
		cx_autofree const char **args = cx_texts(json_object_get(hook, "args"), NULL);
		cx_autofree const char **env = cx_texts(json_object_get(hook, "env"), NULL);

		snprintf(object, sizeof object, "hooks.%s[%zu]", kind, i);
		if (!args || !env)
			b->failed = -ENOMEM;
		else
			cx_op(b, hook, object, cx_cell_text(b, cx_json_text(hook, "path")), cx_cell_list(b, args),
				cx_cell_list(b, env), cx_cell_text(b, status), cx_json_int(hook, "timeout", 0),
				cx_cell_slot(b, CX_SLOT_STATE, "{"));
	}
}

/* Before pivot: barrier 1, at which the host's side runs its own, then createContainer's. */
void cx_hooks_compile_create(struct cx_compile *c)
{
	int any = 0;

	if (c->exec)
		return;
	for (size_t i = 0; i < CX_ARRAY_SIZE(stages[0].kinds); i++)
		any |= json_array_size(list_of(c->spec, stages[CX_HOOKS_RUNTIME].kinds[i])) > 0;
	if (any || json_array_size(list_of(c->spec, "createContainer")) || json_array_size(list_of(c->spec, "startContainer")))
		cx_op(c->build, barrier, "hooks", CX_BARRIER_HOOKS);
	compile_kind(c, "createContainer", "creating");
}

void cx_hooks_compile_start(struct cx_compile *c)
{
	if (!c->exec)
		compile_kind(c, "startContainer", "created");
}
