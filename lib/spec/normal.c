/* Habits of those who write config.json, taken as they are meant, before it is checked: engines are
 * written in Go, whose decoder takes a key in any case, and whose zeros often say "not set". */
#include "spec/check.h"

#include <strings.h>

static const struct cx_field *find_field(const struct cx_field *fields, const char *key, int any_case)
{
	for (; fields && fields->name; fields++)
		if (any_case ? !strcasecmp(fields->name, key) : !strcmp(fields->name, key))
			return fields;
	return NULL;
}

static int name_keys(const struct cx_field *fields, json_t *object);

/* One value of the field, or a list or map of them. */
static int name_below(const struct cx_field *f, json_t *value)
{
	const char *key;
	json_t *item;
	size_t i;
	int r = 0;

	if (!f->fields)
		return 0;
	if (f->flags & CX_LIST) {
		json_array_foreach(value, i, item)
			r |= name_keys(f->fields, item);
	} else if (f->flags & CX_MAP) {
		json_object_foreach(value, key, item)
			r |= name_keys(f->fields, item);
	} else {
		r = name_keys(f->fields, value);
	}
	return r;
}

/* Where both ways of writing stand side by side, the right one counts. */
static int name_keys(const struct cx_field *fields, json_t *object)
{
	const char *key;
	json_t *value;
	void *next;
	int r = 0;

	json_object_foreach_safe(object, next, key, value) {
		const struct cx_field *f = find_field(fields, key, 0);

		if (!f && (f = find_field(fields, key, 1))) {
			if (!json_object_get(object, f->name))
				r |= json_object_set(object, f->name, value);
			value = json_object_get(object, f->name);
			r |= json_object_del(object, key);
		}
		if (f)
			r |= name_below(f, value);
	}
	return r;
}

/* Of the wrong type it says something: that it is wrong. */
static int says_nothing(const struct cx_field *f, const json_t *value)
{
	if (!f || !strcmp(f->name, "swappiness") || !strcmp(f->name, "idle"))
		return 0;       /* where 0 is a value like another */
	if (f->flags & CX_LIST)
		return json_is_array(value) && !json_array_size(value);
	if (f->type == CX_INT)
		return json_is_integer(value) && json_integer_value(value) == 0;
	return f->type == CX_TEXT && json_is_string(value) && !*json_string_value(value);
}

void cx_spec_normal_resources(json_t *resources)
{
	static const char *const sections[] = { "memory", "cpu", "pids", "blockIO", "network" };
	const struct cx_field *fields = find_field(cx_spec_schema_linux, "resources", 0)->fields;

	for (size_t i = 0; i < CX_ARRAY_SIZE(sections); i++) {
		json_t *section = json_object_get(resources, sections[i]), *value;
		const struct cx_field *f = find_field(fields, sections[i], 0);
		const char *key;
		void *next;

		json_object_foreach_safe(section, next, key, value)
			if (says_nothing(find_field(f->fields, key, 0), value))
				json_object_del(section, key);
	}
}

int cx_spec_normal(json_t *root)
{
	if (name_keys(cx_spec_schema, root) < 0)
		return -ENOMEM;
	cx_spec_normal_resources(cx_json_at(root, "linux.resources"));
	return 0;
}
