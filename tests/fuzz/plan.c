/* Arbitrary bytes as a plan and as a launch; what passes the check must print in bounds. */
#include "plan/build.h"
#include "plan/check.h"
#include "fuzz.h"

static void print_all(const struct cx_plan *plan)
{
	const struct cx_op *op = (const struct cx_op *)(plan + 1);
	cx_autostr text = { 0 };

	for (uint32_t n = 0; n < plan->operations; n++) {
		cx_plan_print_op(plan, &op[n], &text);
		text.size = 0;
	}
}

/* The fixed words of a header are no secret to find: they are put right, the rest is the
 * fuzzer's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cx_plan *plan = malloc(size ? size : 1);

	if (!plan)
		return 0;
	memcpy(plan, data, size);
	cx_launch_check(plan, size);
	if (size >= sizeof *plan) {
		plan->magic = CX_PLAN_MAGIC;
		plan->version = CX_PLAN_VERSION;
		plan->size = (uint32_t)size;
		plan->launch_defaults = 0;
	}
	if (cx_plan_check(plan, size) == 0)
		print_all(plan);
	if (size >= sizeof(struct cx_launch)) {
		((struct cx_launch *)plan)->magic = CX_LAUNCH_MAGIC;
		((struct cx_launch *)plan)->size = (uint32_t)size;
		cx_launch_check(plan, size);
	}
	free(plan);
	return 0;
}

static int fuzz_seed(int n, struct cx_str *to)
{
	struct cx_build b = { .failed = 0 };
	struct cx_plan *plan;

	if (n)
		return 0;
	cx_op(&b, inherit, NULL, CX_FD_IN, CX_FD_OUT, CX_FD_ERR);
	cx_op(&b, hostname, "hostname", cx_cell_slot(&b, CX_SLOT_HOSTNAME, "one"));
	cx_op(&b, seccomp, NULL, cx_cell_bytes(&b, "12345678", 8));
	cx_op(&b, exec, "process.args", cx_cell_slot_list(&b, CX_SLOT_ARGS, (const char *const[]){ "sh", "-c", NULL }),
		cx_cell_list(&b, (const char *const[]){ "A=b", NULL }));
	if (cx_build_end(&b, &plan, NULL) == 0) {
		cx_str_add(to, plan, plan->size);
		free(plan);
	}
	cx_build_free(&b);
	return 1;
}
