/* The engine that walks a document by the schema's rows and names the path of the
 * first fault. */
#include "spec/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include "base/str.h"

/* Where the value in hand stands: a chain up the stack, put into words only when
 * something is wrong. */
struct where {
	const struct where *up;
	const char *key;                /* in an object; NULL: in a list */
	size_t index;
	int in_map;                     /* the key is anything that the user chose */
};

static void where_text(const struct where *w, struct cx_str *to)
{
	if (!w)
		return;
	where_text(w->up, to);
	if (!w->key)
		cx_str_addf(to, "[%zu]", w->index);
	else if (w->in_map)
		cx_str_addf(to, "[\"%.200s\"]", w->key);
	else
		cx_str_addf(to, "%s%s", w->up ? "." : "", w->key);
}

/* A value as people read it; what is large is hinted at, not shown. NULL: no value, or
 * no memory. */
static char *value_text(const json_t *value)
{
	if (json_object_size(value) > 4)
		return strdup("{...}");
	if (json_array_size(value) > 8)
		return strdup("[...]");
	return value ? cx_json_print(value, JSON_COMPACT) : NULL;
}

int cx_spec_refuse(conex_error **err, int code, const json_t *value, const char *mend,
	const char *where, ...)
{
	cx_autofree char *text = err ? value_text(value) : NULL;
	char path[384];
	va_list ap;

	va_start(ap, where);
	vsnprintf(path, sizeof path, where, ap);
	va_end(ap);
	return cx_refuse(err, code, path, text, "%s", mend);
}

static void expect_names(struct cx_str *to, const char *const *names)
{
	const char *before = "one of ";

	for (; *names; names++) {
		if (!**names)   /* "" is there for Go's sake: nobody need write it */
			continue;
		cx_str_addf(to, "%s%s", before, *names);
		before = ", ";
	}
}

/* What should stand there, in words. */
static void expect(struct cx_str *to, const struct cx_field *f, unsigned flags)
{
	if (flags & (CX_LIST | CX_MAP))
		cx_str_addf(to, "%s%s, each ",
			flags & CX_FILLED ? "at least one entry: " : "",
			flags & CX_LIST ? "a list [...]" : "an object {...}");
	switch (f->type) {
	case CX_BOOL:
		cx_str_addf(to, "true or false");
		break;
	case CX_INT:
		cx_str_addf(to, "a whole number from %" PRId64 " to %" PRId64, f->min,
			f->max);
		break;
	case CX_TEXT:
		cx_str_addf(to, "a text%s", flags & CX_FILLED ? " that isn't empty" : "");
		break;
	case CX_PATH:
		cx_str_addf(to, "an absolute path (\"/...\", up to 4095 bytes%s)",
			flags & CX_INSIDE ? ", without \"..\"" : "");
		break;
	case CX_NAME:
		expect_names(to, f->names);
		break;
	case CX_OBJECT:
		cx_str_addf(to, "an object {...}");
		break;
	}
}

/* `flags` are the field's, or what of them holds for an item of its list. */
static int refuse(const struct cx_field *f, unsigned flags, const json_t *value,
	const struct where *w, conex_error **err)
{
	cx_autofree char *shown = NULL, *text = NULL, *path = NULL;
	cx_autostr words = { 0 };
	cx_autostr at = { 0 };

	if (!err)
		return -EINVAL;
	shown = value_text(value);
	where_text(w, &at);
	expect(&words, f, flags);
	text = cx_str_take(&words);
	path = cx_str_take(&at);
	if (!text || !path)
		return cx_fail_memory(err);
	return cx_refuse(err, -EINVAL, path, shown,
		value ? "expected %s" : "it is missing; give %s", text);
}

static int name_known(const char *const *names, const char *name)
{
	while (*names && strcmp(*names, name))
		names++;
	return *names != NULL;
}

static int path_right(const char *path, unsigned flags)
{
	return path[0] == '/' && strlen(path) <= 4095
		&& !(flags & CX_INSIDE && cx_path_climbs(path));
}

/* Of a list's or map's flags those that hold for its items; else the field's own. */
static unsigned item_flags(const struct cx_field *f)
{
	return f->flags & (CX_LIST | CX_MAP) ? f->flags & CX_INSIDE : f->flags;
}

/* Is one value of the field's type, in its range? Fields of objects are looked at by
 * check_object. */
static int value_right(const struct cx_field *f, const json_t *value)
{
	const char *text = json_string_value(value);

	switch (f->type) {
	case CX_BOOL:
		return json_is_boolean(value);
	case CX_INT:
		return json_is_integer(value) && json_integer_value(value) >= f->min
			&& json_integer_value(value) <= f->max;
	case CX_TEXT:
		return text && (*text || !(item_flags(f) & CX_FILLED));
	case CX_PATH:
		return text && path_right(text, f->flags);
	case CX_NAME:
		return text && name_known(f->names, text);
	case CX_OBJECT:
		return json_is_object(value);
	}
	return 0;
}

static int check_object(const struct cx_field *fields, const json_t *object,
	const struct where *up, conex_error **err);

static int check_one(const struct cx_field *f, const json_t *value, const struct where *w,
	conex_error **err)
{
	if (!value_right(f, value))
		return refuse(f, item_flags(f), value, w, err);
	return f->fields ? check_object(f->fields, value, w, err) : 0;
}

static int check_list(const struct cx_field *f, const json_t *list,
	const struct where *up, conex_error **err)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		struct where w = { .up = up, .index = i };
		int r = check_one(f, item, &w, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int refuse_name(const struct where *w, conex_error **err)
{
	cx_autofree char *path = NULL;
	cx_autostr at = { 0 };

	where_text(w, &at);
	path = cx_str_take(&at);
	return path ? cx_refuse(err, -EINVAL, path, NULL, "a name can't be empty")
		: cx_fail_memory(err);
}

static int check_map(const struct cx_field *f, const json_t *map, const struct where *up,
	conex_error **err)
{
	const char *key;
	json_t *item;

	json_object_foreach((json_t *)map, key, item) {
		struct where w = { .up = up, .key = key, .in_map = 1 };
		int r = *key ? check_one(f, item, &w, err) : refuse_name(&w, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int check_field(const struct cx_field *f, const json_t *value,
	const struct where *w, conex_error **err)
{
	/* Go writes null for what it doesn't have: that is the same as saying nothing. */
	if (!value || json_is_null(value))
		return f->flags & CX_REQUIRED ? refuse(f, f->flags, NULL, w, err) : 0;
	if (f->flags & CX_LIST) {
		if (!json_is_array(value)
			|| (f->flags & CX_FILLED && !json_array_size(value)))
			return refuse(f, f->flags, value, w, err);
		return check_list(f, value, w, err);
	}
	if (f->flags & CX_MAP)
		return json_is_object(value) ? check_map(f, value, w, err)
			: refuse(f, f->flags, value, w, err);
	return check_one(f, value, w, err);
}

static int check_object(const struct cx_field *fields, const json_t *object,
	const struct where *up, conex_error **err)
{
	for (const struct cx_field *f = fields; f->name; f++) {
		struct where w = { .up = up, .key = f->name };
		int r = check_field(f, json_object_get(object, f->name), &w, err);

		if (r < 0)
			return r;
	}
	return 0;
}

int cx_spec_check_fields(
	const struct cx_field *fields, const json_t *object, conex_error **err)
{
	return check_object(fields, object, NULL, err);
}
