/* A runtime's skeleton: each verb is a process of its own, on one directory of containers.
 * runtime [--root DIRECTORY] create|start|state|kill|wait|delete ID [BUNDLE | SIGNAL] */
#include <conex/conex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything but the program itself, which waits for `start`. */
static int create(conex *cx, const char *id, const char *bundle, conex_error **err)
{
	conex_spec *spec = NULL; conex_plan *plan = NULL; conex_container *c = NULL;
	struct conex_run_options o = { .size = sizeof o };
	struct conex_run_options l = { .size = sizeof l, .id = id, .flags = CONEX_RUN_HOLD,
		.in = CONEX_STDIO_HOST, .out = CONEX_STDIO_HOST, .err = CONEX_STDIO_HOST };
	int r = conex_spec_load(bundle, &spec, err);

	if (r == 0) {
		o.spec = spec;
		r = conex_plan_new(cx, NULL, NULL, &o, &plan, err);
	}
	if (r == 0)
		r = conex_launch(cx, plan, NULL, &l, &c, err);
	conex_container_free(c);
	conex_plan_free(plan);
	conex_spec_free(spec);
	return r;
}

static int show(conex_container *c, conex_error **err)
{
	char *json = NULL;
	int r = conex_container_json(c, &json, err);

	if (r == 0)
		puts(json);
	free(json);
	return r;
}

static int act(conex_container *c, const char *verb, const char *rest, conex_error **err)
{
	if (!strcmp(verb, "start"))
		return conex_container_start(c, err);
	if (!strcmp(verb, "state"))
		return show(c, err);
	if (!strcmp(verb, "kill"))
		return conex_container_kill(c, atoi(rest), err);
	if (!strcmp(verb, "wait"))
		return conex_container_wait(c, -1, NULL, err);
	if (!strcmp(verb, "delete"))
		return conex_container_delete(c, -1, err);
	fprintf(stderr, "runtime: no verb is called %s\n", verb);
	return 0;
}

int main(int argc, char **argv)
{
	int at = argc > 2 && !strcmp(argv[1], "--root") ? 3 : 1;
	struct conex_options where = { .size = sizeof where, .flags = CONEX_DETACHED,
		.state = at == 3 ? argv[2] : "/run/my-runtime" };
	conex *cx = NULL; conex_container *c = NULL; conex_error *err = NULL;
	const char *verb = argc > at + 1 ? argv[at] : "", *id = argc > at + 1 ? argv[at + 1] : "";
	const char *rest = argc > at + 2 ? argv[at + 2] : NULL;
	int r = *verb ? conex_open(&where, &cx, &err) : -1;

	if (!*verb)
		fputs("usage: runtime [--root DIRECTORY] VERB ID [BUNDLE | SIGNAL]\n", stderr);
	else if (r == 0 && !strcmp(verb, "create"))
		r = create(cx, id, rest ? rest : ".", &err);
	else if (r == 0 && (r = conex_container_get(cx, id, &c, &err)) == 0)
		r = act(c, verb, rest ? rest : "15", &err);
	if (err)
		fprintf(stderr, "runtime: %s\n", conex_error_text(err));
	conex_error_free(err);
	conex_container_free(c);
	conex_close(cx);                                /* detached: leaves it as it is */
	return r < 0;
}
