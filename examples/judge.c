/* One plan, many launches: a judge, a fuzzer, a function service. judge ROOTFS [COUNT] */
#include <conex/conex.h>
#include <stdio.h>
#include <stdlib.h>

/* The candidate is to write the square of SEED; this one can't do multiples of ten. */
static const char candidate[] = "test $((SEED % 10)) != 0 && echo $((SEED * SEED)) >/tmp/answer";

/* One case in a container of its own: 1 passed, 0 failed, -1: it couldn't be run. */
static int judge(conex *cx, conex_plan *plan, int n, conex_error **err)
{
	struct conex_run_options once = { .size = sizeof once, .timeout_ms = 60000 };
	conex_container *c = NULL;
	char seed[32];
	int status = 1, r = -1;

	snprintf(seed, sizeof seed, "SEED=%d", n);
	once.env = CONEX_STRINGS(seed);                 /* over the plan's; args would replace the plan's */
	if (conex_launch(cx, plan, NULL, &once, &c, err) == 0
	    && conex_container_wait(c, -1, &status, err) > 0
	    && conex_container_delete(c, -1, err) > 0)
		r = status == 0;
	conex_container_free(c);
	return r;
}

int main(int argc, char **argv)
{
	conex *cx = NULL; conex_plan *plan = NULL; conex_error *err = NULL;
	struct conex_limits limits = { .size = sizeof limits, .memory = 128 * CONEX_MIB, .pids = 16 };
	struct conex_run_options what = { .size = sizeof what, .rootfs = argv[1], .limits = &limits,
		.flags = CONEX_RUN_READ_ONLY, .user = "65534:65534",
		.mounts = CONEX_MOUNTS({ NULL, "/tmp", "tmpfs", "size=16m" }) };
	int count = argc > 2 ? atoi(argv[2]) : 1000, passed = 0, i = 0, r = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: judge ROOTFS [COUNT]\n");
		return 2;
	}
	if (conex_open(NULL, &cx, &err) == 0
	    && conex_plan_new(cx, NULL, CONEX_STRINGS("sh", "-c", candidate), &what, &plan, &err) == 0)
		for (i = 0; i < count && (r = judge(cx, plan, i, &err)) >= 0; i++)
			passed += r;
	if (err)
		fprintf(stderr, "judge: %s\n", conex_error_text(err));
	else
		printf("%d of %d passed\n", passed, count);
	conex_error_free(err);
	conex_plan_free(plan);
	conex_close(cx);
	return i != count;
}
