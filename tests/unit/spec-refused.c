/* The table of broken specs, tests/cases/spec-refused.json: each is refused with its
 * field and a mend. */
#include <conex/spec.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "../test.h"

#ifndef CX_SRCDIR
#define CX_SRCDIR "."
#endif

static json_t *table_load(void)
{
	const char *top = getenv("CX_SRCDIR");
	char path[4096];
	json_error_t error;
	json_t *table;

	snprintf(path, sizeof path, "%s/tests/cases/spec-refused.json",
		top ? top : CX_SRCDIR);
	table = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (!table)
		printf("# %s: line %d: %s\n", path, error.line, error.text);
	return table;
}

/* A text in the table is the document itself, for what a JSON tree can't hold. */
static char *document(const json_t *value)
{
	return json_is_string(value) ? strdup(json_string_value(value))
				     : json_dumps(value, 0);
}

static int parse(const char *text, conex_error **err)
{
	conex_spec *spec = NULL;
	int r = conex_spec_parse(text, &spec, err);

	CHECK(r < 0 ? !spec : !!spec);
	conex_spec_free(spec);
	return r;
}

/* Merges into the default, which a refusal must leave as it was. */
static int merge(const char *text, conex_error **err)
{
	conex_spec *spec = NULL;
	char *before = NULL, *after = NULL;
	int r;

	if (!CHECK(conex_spec_new(&spec, NULL) == 0))
		return 0;
	CHECK(conex_spec_print(spec, &before, NULL) == 0);
	r = conex_spec_merge(spec, text, err);
	CHECK(conex_spec_print(spec, &after, NULL) == 0);
	CHECK(r == 0 || (before && after && !strcmp(before, after)));
	free(before);
	free(after);
	conex_spec_free(spec);
	return r;
}

static int named(const char *object, const char *where)
{
	size_t size = strlen(where);

	return !strncmp(object, where, size)
	       && (!object[size] || !strncmp(object + size, " = ", 3));
}

static void check_case(const json_t *row)
{
	const json_t *layer = json_object_get(row, "merge");
	const char *where = json_string_value(json_object_get(row, "where"));
	const char *mend = json_string_value(json_object_get(row, "mend"));
	const char *name = json_string_value(json_object_get(row, "name"));
	const char *code = json_string_value(json_object_get(row, "code"));
	char *text = document(layer ? layer : json_object_get(row, "spec"));
	conex_error *err = NULL;
	int r = layer ? merge(text, &err) : parse(text, &err);
	int good =
		CHECK_INT(r, code && !strcmp(code, "EOPNOTSUPP") ? -EOPNOTSUPP : -EINVAL)
		&& CHECK_INT(conex_error_code(err), r)
		&& CHECK_INT(conex_error_stage(err), CONEX_STAGE_SPEC)
		&& CHECK(named(conex_error_object(err), where))
		&& CHECK(*conex_error_hint(err) && strstr(conex_error_hint(err), mend));

	if (!good)
		printf("# in \"%s\": %s\n", name, conex_error_text(err));
	if (getenv("CX_SHOW"))  /* to read how the refusals sound */
		printf("# %s: %s\n", name, conex_error_text(err));
	conex_error_free(err);
	free(text);
}

TEST(broken_specs_are_refused)
{
	json_t *table = table_load(), *row;
	size_t i;

	CHECK(json_array_size(table) >= 150);
	json_array_foreach(table, i, row)
		check_case(row);
	json_decref(table);
}

/* The same without anybody to tell. */
TEST(refusals_need_no_error)
{
	json_t *table = table_load(), *row;
	size_t i;

	json_array_foreach(table, i, row) {
		const json_t *layer = json_object_get(row, "merge");
		char *text = document(layer ? layer : json_object_get(row, "spec"));

		CHECK((layer ? merge(text, NULL) : parse(text, NULL)) < 0);
		free(text);
	}
	json_decref(table);
}

int main(void)
{
	RUN(broken_specs_are_refused);
	RUN(refusals_need_no_error);
	return test_end();
}
