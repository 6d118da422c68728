/* What the tests of lib/security share: specs as readable text, and the plans made of them. */
#ifndef CONEX_TEST_SECURITY_H
#define CONEX_TEST_SECURITY_H

#include "test.h"

#include "plan/build.h"
#include "security/compile.h"
#include "security/seccomp.h"

/* JSON with single quotes, which are easier to read in C. */
static inline json_t *parse(const char *text)
{
	json_error_t error;
	char *copy = strdup(text);
	json_t *json;

	for (char *p = copy; (p = strchr(p, '\''));)
		*p = '"';
	json = json_loads(copy, 0, &error);
	if (!json)
		printf("# %d:%d: %s\n", error.line, error.column, error.text);
	free(copy);
	return json;
}

static inline int compile(int exec, const char *text, struct cx_plan **plan, conex_error **err)
{
	struct cx_build b = { 0 };
	struct cx_compile c = { .spec = parse(text), .build = &b, .exec = exec };
	int r = cx_security_compile_sysctl(&c, err);

	if (!r)
		r = cx_security_compile_rights(&c, NULL, err);
	if (!r)
		r = cx_security_compile_last(&c, NULL, err);
	if (!r)
		r = cx_build_end(&b, plan, err);
	cx_build_free(&b);
	json_decref((json_t *)c.spec);
	return r;
}

static inline struct cx_plan *plan_of(const char *text)
{
	struct cx_plan *plan = NULL;
	conex_error *err = NULL;

	if (compile(0, text, &plan, &err) < 0) {
		printf("# %s\n", conex_error_text(err));
		CHECK(!"compiles");
		exit(1);
	}
	return plan;
}

#endif
