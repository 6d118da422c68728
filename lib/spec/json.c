/* Reading JSON trees: by dotted path for the modules, by RFC 6901 pointer for users
 * (spec.c). */
#include "spec/check.h"
#include "base/str.h"

json_t *cx_json_at(const json_t *object, const char *path)
{
	while (object && *path) {
		size_t size = strcspn(path, ".");

		object = json_object_getn(object, path, size);
		path += size + (path[size] == '.');
	}
	return json_is_null(object) ? NULL : (json_t *)object;
}

const char *cx_json_text(const json_t *object, const char *path)
{
	return json_string_value(cx_json_at(object, path));
}

int64_t cx_json_int(const json_t *object, const char *path, int64_t missing)
{
	const json_t *found = cx_json_at(object, path);

	return json_is_integer(found) ? json_integer_value(found) : missing;
}

int cx_json_true(const json_t *object, const char *path)
{
	return json_is_true(cx_json_at(object, path));
}

int cx_json_has(const json_t *list, const char *text)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		if (json_is_string(item) && !strcmp(json_string_value(item), text))
			return 1;
	return 0;
}

ssize_t cx_json_find(const json_t *list, size_t end, const char *key, const char *text)
{
	const char *found;

	for (size_t i = 0; i < end && i < json_array_size(list); i++) {
		found = json_string_value(json_object_get(json_array_get(list, i), key));
		if (found && text && !strcmp(found, text))
			return (ssize_t)i;
	}
	return -1;
}

int cx_path_climbs(const char *path)
{
	for (;;) {
		size_t size = strcspn(path, "/");

		if (size == 2 && path[0] == '.' && path[1] == '.')
			return 1;
		if (!path[size])
			return 0;
		path += size + 1;
	}
}

static int print_more(const char *data, size_t size, void *to)
{
	return cx_str_add(to, data, size);
}

char *cx_json_print(const json_t *value, size_t flags)
{
	cx_autostr text = { 0 };

	if (json_dump_callback(value, print_more, &text, flags | JSON_ENCODE_ANY) < 0)
		return NULL;
	return cx_str_take(&text);
}
