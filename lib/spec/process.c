/* The meaning of a spec's process: arguments, environment, limits, capabilities. */
#include "spec/check.h"

static int check_args(const json_t *process, conex_error **err)
{
	const json_t *first = json_array_get(json_object_get(process, "args"), 0);

	/* Later arguments may be empty: sh -c "" is a program like another. */
	if (first && !*json_string_value(first))
		return cx_spec_bad(
			err, first, "name the program to run", "process.args[0]");
	return 0;
}

static int check_env(const json_t *process, conex_error **err)
{
	const json_t *env = json_object_get(process, "env");
	json_t *item;
	size_t i;

	json_array_foreach(env, i, item) {
		const char *text = json_string_value(item), *equals = strchr(text, '=');

		if (!equals || equals == text)
			return cx_spec_bad(err, item, "write it as \"NAME=value\"",
				"process.env[%zu]", i);
	}
	return 0;
}

static int check_rlimits(const json_t *process, conex_error **err)
{
	const json_t *list = json_object_get(process, "rlimits");
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		/* As unsigned: -1 is RLIM_INFINITY, the largest. */
		uint64_t soft = (uint64_t)cx_json_int(item, "soft", 0);
		uint64_t hard = (uint64_t)cx_json_int(item, "hard", 0);
		ssize_t twin = cx_json_find(list, i, "type", cx_json_text(item, "type"));

		if (soft > hard)
			return cx_spec_bad(err, json_object_get(item, "soft"),
				"the soft limit can't be above the hard one: lower it or "
				"raise .hard",
				"process.rlimits[%zu].soft", i);
		if (twin >= 0)
			return cx_spec_bad(err, json_object_get(item, "type"),
				"this limit is set twice: keep one of them",
				"process.rlimits[%zu].type", i);
	}
	return 0;
}

int cx_spec_check_process(const json_t *root, conex_error **err)
{
	const json_t *process = cx_json_at(root, "process");
	int r = check_args(process, err);

	if (r == 0)
		r = check_env(process, err);
	return r < 0 ? r : check_rlimits(process, err);
}

/* Each name of the set `small` must be in `large`: capset(2) answers EPERM otherwise. */
static int check_within(const json_t *sets, const char *small, const char *large,
	const char *mend, conex_error **err)
{
	const json_t *outer = json_object_get(sets, large);
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(sets, small), i, item)
		if (!cx_json_has(outer, json_string_value(item)))
			return cx_spec_bad(err, item, mend,
				"process.capabilities.%s[%zu]", small, i);
	return 0;
}

/* Ambient capabilities that aren't inheritable are accepted though the kernel can't
 * raise them: `runc spec` up to 1.1 writes such lists. security/ raises those that are
 * permitted and inheritable. */
int cx_spec_check_capabilities(const json_t *root, conex_error **err)
{
	const json_t *sets = cx_json_at(root, "process.capabilities");
	int r = check_within(sets, "effective", "permitted",
		"what is effective must be permitted: add it there", err);

	return r < 0 ? r : check_within(sets, "ambient", "permitted",
		"what is ambient must be permitted and inheritable: add it there", err);
}
