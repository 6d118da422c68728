/* The table of broken specs again (tests/cases/spec-refused.json, tests/unit/spec-refused.c), each as somebody would
 * run it: refused with its field, and nothing was made for it: no keeper, file, cgroup, descriptor. */
#include "system/box.h"

#include <jansson.h>

static conex *fresh;            /* a context in which nothing ever runs */
static char bundle[64];

/* What unit tests know as the text "json" has here the name of the option, or of the file. */
static int named(const char *object, const char *where)
{
	size_t size = strlen(where);

	if (!strncmp(where, "json, ", 6))
		return strstr(object, where + 6) != NULL;
	return !strncmp(object, where, size) && (!object[size] || !strncmp(object + size, " = ", 3));
}

/* Who has taken .rootfs away by a layer is told of that. */
static int mends(const char *hint, const char *mend, const char *where)
{
	return strstr(hint, mend) || (!strcmp(where, "root.path") && strstr(hint, ".rootfs"));
}

/* As a layer over the default, or as a whole config.json of a bundle. */
static int run_row(const json_t *row)
{
	const json_t *layer = json_object_get(row, "merge"), *value = layer ? layer : json_object_get(row, "spec");
	char *text = json_is_string(value) ? strdup(json_string_value(value)) : json_dumps(value, 0);
	struct conex_run_options o = { .size = sizeof o, .id = "refused", .rootfs = layer ? box.root : NULL };
	conex_container *c = NULL;
	conex_spec *spec = NULL;
	int r = 0;

	box_clear();
	if (layer) {
		o.oci = text;
	} else {
		make_file(say("%s/config.json", bundle), text);
		r = conex_spec_load(bundle, &spec, &box.err);
		o.spec = spec;
	}
	if (r == 0)
		r = conex_run(fresh, NULL, layer && strstr(text, "\"args\"") ? NULL : CONEX_STRINGS("true"), &o, &c, &box.err);
	CHECK(r < 0 || c);
	conex_container_free(c);
	conex_spec_free(spec);
	free(text);
	return r;
}

static void check_row(const json_t *row)
{
	const char *where = json_string_value(json_object_get(row, "where"));
	const char *mend = json_string_value(json_object_get(row, "mend"));
	int r = run_row(row);

	if (!CHECK(r == -EINVAL || r == -EOPNOTSUPP) || !CHECK_INT(conex_error_stage(box.err), CONEX_STAGE_SPEC)
			|| !CHECK(named(conex_error_object(box.err), where)) || !CHECK(mends(conex_error_hint(box.err), mend, where)))
		printf("# \"%s\" (%s): %s\n", json_string_value(json_object_get(row, "name")), where,
			conex_error_text(box.err));
	if (!CHECK_INT(conex_keeper_pid(fresh), 0) || !CHECK_INT(box_entries(say("%s/containers", fresh->state->path)), 0))
		printf("# by \"%s\"\n", json_string_value(json_object_get(row, "name")));
}

TEST(refused_before_anything_is_made)
{
	json_t *table = json_load_file(say("%s/tests/cases/spec-refused.json", getenv("CX_SRCDIR") ? getenv("CX_SRCDIR") : "."),
		0, NULL), *row;
	int fds, entries;
	size_t i;

	CHECK(json_array_size(table) >= 150);
	snprintf(bundle, sizeof bundle, "%s/bundle", box.dir);
	CHECK_INT(mkdir(bundle, 0755), 0);
	if (!GOOD(conex_open(NULL, &fresh, &box.err)))
		return;
	fds = box_entries("/proc/self/fd");
	entries = box_entries(fresh->state->path);
	json_array_foreach(table, i, row)
		check_row(row);
	CHECK_INT(box_entries("/proc/self/fd"), fds);
	CHECK_INT(box_entries(fresh->state->path), entries);
	box_nothing_left("refused");
	conex_close(fresh);
	json_decref(table);
}

static void tests(void)
{
	RUN(refused_before_anything_is_made);
}

int main(void)
{
	return with_box(tests);
}
