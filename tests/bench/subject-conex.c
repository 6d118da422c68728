/* The rows conex (plan compiled once) and conex-json (config.json loaded and compiled each time). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <conex/conex.h>
#include "subject.h"

enum { DELETE_MS = 10000 };

struct guest {
	conex *cx;
	conex_plan *plan;               /* NULL: from `bundle` each time */
	char bundle[128];
	conex_container **alive;
	int alive_count;
};

static int fail(int result, conex_error *err, char *why)
{
	if (why)
		snprintf(why, SUBJECT_WHY, "%s", conex_error_text(err));
	else
		fprintf(stderr, "bench: conex: %s\n", conex_error_text(err));
	conex_error_free(err);
	return result;
}

static void guest_close(void *own)
{
	struct guest *g = own;

	for (int i = 0; i < g->alive_count; i++) {
		conex_container_delete(g->alive[i], DELETE_MS, NULL);
		conex_container_free(g->alive[i]);
	}
	free(g->alive);
	conex_plan_free(g->plan);
	conex_close(g->cx);
	free(g);
}

static int guest_plan(const struct guest *g, conex_plan **ret, conex_error **err)
{
	struct conex_run_options o = { .size = sizeof o };
	conex_spec *spec = NULL;
	int result = conex_spec_load(g->bundle, &spec, err);

	o.spec = spec;
	if (result >= 0)
		result = conex_plan_new(g->cx, NULL, NULL, &o, ret, err);
	conex_spec_free(spec);
	return result;
}

static int guest_open(const struct subject *subject, const struct setup *s, void **ret, char *why)
{
	struct conex_options o = { .size = sizeof o, .close_ms = 60000 };
	struct guest *g = calloc(1, sizeof *g);
	conex_error *err = NULL;
	int result = g ? setup_bundle(s, subject->name, NULL, 0, g->bundle) : -ENOMEM;

	if (result == 0)
		result = conex_open(&o, &g->cx, &err);
	if (result >= 0 && subject == &subject_conex)
		result = guest_plan(g, &g->plan, &err);
	if (result < 0) {
		if (g)
			guest_close(g);
		return fail(result, err, why);
	}
	*ret = g;
	return 0;
}

static int launch_plan(const struct guest *g, const conex_plan *plan)
{
	conex_container *c = NULL;
	conex_error *err = NULL;
	int status = 255, result;

	result = conex_launch(g->cx, plan, NULL, NULL, &c, &err);
	if (result >= 0)
		result = conex_container_wait(c, -1, &status, &err);
	if (result >= 0)
		result = conex_container_delete(c, DELETE_MS, &err);
	conex_container_free(c);
	return result < 0 ? fail(result, err, NULL) : status;
}

static int guest_once(void *own, int worker)
{
	(void)worker; /* each container has an id of its own */
	return launch_plan(own, ((struct guest *)own)->plan);
}

static int guest_once_json(void *own, int worker)
{
	conex_plan *plan = NULL;
	conex_error *err = NULL;
	int result = guest_plan(own, &plan, &err);

	(void)worker;
	if (result < 0)
		return fail(result, err, NULL);
	result = launch_plan(own, plan);
	conex_plan_free(plan);
	return result;
}

static int guest_alive(void *own, int count, char *why)
{
	struct guest *g = own;
	conex_error *err = NULL;

	g->alive = calloc((size_t)count, sizeof *g->alive);
	if (!g->alive)
		return -ENOMEM;
	for (; g->alive_count < count; g->alive_count++) {
		int result = conex_launch(g->cx, g->plan, CONEX_STRINGS("/bin/sleep", "100000"), NULL,
			&g->alive[g->alive_count], &err);

		if (result < 0)
			return fail(result, err, why);
	}
	return 0;
}

#ifdef CONEX_RUN_TIMELINE
static int guest_timeline(void *own, char **ret_json, char *why)
{
	struct guest *g = own;
	struct conex_run_options o = { .size = sizeof o, .flags = CONEX_RUN_TIMELINE };
	conex_container *c = NULL;
	conex_error *err = NULL;
	int status, result;

	result = conex_launch(g->cx, g->plan, NULL, &o, &c, &err);
	if (result >= 0)
		result = conex_container_wait(c, -1, &status, &err);
	if (result >= 0)
		result = conex_container_timeline(c, ret_json, &err);
	if (result >= 0)
		result = conex_container_delete(c, DELETE_MS, &err);
	conex_container_free(c);
	return result < 0 ? fail(result, err, why) : 0;
}
#else
#define guest_timeline NULL
#endif

int subject_default_spec(char **ret_json, char *why)
{
	conex_spec *spec = NULL;
	conex_error *err = NULL;
	int result = conex_spec_new(&spec, &err);

	if (result >= 0)
		result = conex_spec_print(spec, ret_json, &err);
	conex_spec_free(spec);
	return result < 0 ? fail(result, err, why) : 0;
}

const struct subject subject_conex = {
	.name = "conex", .host = HOST_CONEX, .open = guest_open, .launch = guest_once,
	.close = guest_close, .alive = guest_alive, .timeline = guest_timeline,
};
const struct subject subject_conex_json = {
	.name = "conex-json", .host = HOST_CONEX, .open = guest_open, .launch = guest_once_json,
	.close = guest_close,
};
