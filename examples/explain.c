/* What a launch would do, one operation a line; nothing is started. explain [BUNDLE | CONFIG.JSON] */
#include <conex/conex.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	conex *cx = NULL; conex_spec *spec = NULL; conex_plan *plan = NULL; conex_error *err = NULL;
	struct conex_run_options o = { .size = sizeof o };
	char *text = NULL;
	int r = argc > 1 ? conex_spec_load(argv[1], &spec, &err) : 0;

	o.spec = spec;
	o.rootfs = spec ? NULL : "/";                   /* of the default spec only the root is missing */
	if (r == 0 && (r = conex_open(NULL, &cx, &err)) == 0
	    && (r = conex_plan_new(cx, NULL, NULL, &o, &plan, &err)) == 0
	    && (r = conex_plan_dump(plan, &text, &err)) == 0)
		fputs(text, stdout);
	if (r < 0)
		fprintf(stderr, "explain: %s\n", conex_error_text(err));
	free(text);
	conex_error_free(err);
	conex_plan_free(plan);
	conex_spec_free(spec);
	conex_close(cx);
	return r < 0;
}
