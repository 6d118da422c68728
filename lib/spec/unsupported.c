/* What the runtime-spec has and this version of conex doesn't do yet: refused, never
 * dropped in silence. One table; a feature that arrives takes its row away. */
#include "spec/check.h"

#include <stdio.h>

struct row {
	const char *path;       /* object keys; "[]" after one: each item of the list */
	const char *value; /* refused only if it is this text; NULL: unless it is empty */
	const char *mend;
};

#define YET(what) "conex 0.1 doesn't " what " yet: remove it"

static const struct row rows[] = {
	{ "linux.intelRdt", NULL, "conex doesn't drive Intel RDT (resctrl), which few kernels have: remove it" },
	{ "linux.seccomp.listenerPath", NULL, YET("pass on seccomp notifications") },
	{ "linux.seccomp.defaultAction", "SCMP_ACT_NOTIFY",
		YET("pass on seccomp notifications") },
	{ "linux.seccomp.syscalls[].action", "SCMP_ACT_NOTIFY",
		YET("pass on seccomp notifications") },
};

static int value_empty(const json_t *value)
{
	return !value || json_is_null(value) || json_is_false(value)
		|| (json_is_string(value) && !*json_string_value(value))
		|| (json_is_array(value) && !json_array_size(value))
		|| (json_is_object(value) && !json_object_size(value));
}

static int value_meant(const struct row *row, const json_t *value)
{
	const char *text = json_string_value(value);

	return row->value ? text && !strcmp(text, row->value) : !value_empty(value);
}

/* `rest` is what of the row's path is still to go; `where` (of `size` bytes) what has
 * been gone. */
static int follow(const struct row *row, const json_t *value, const char *rest,
	char *where, size_t size, conex_error **err)
{
	size_t used = strlen(where), step = strcspn(rest, ".[");
	json_t *item;
	size_t i;
	int r = 0;

	if (!*rest)
		return !value_meant(row, value) ? 0
			: cx_spec_refuse(err, -EOPNOTSUPP, value, row->mend, "%s", where);
	if (*rest == '[') {
		json_array_foreach(value, i, item) {
			snprintf(where + used, size - used, "[%zu]", i);
			r = follow(row, item, rest + 2, where, size, err);
			if (r < 0)
				break;
		}
		where[used] = '\0';
		return r;
	}
	if (*rest == '.')
		return follow(row, value, rest + 1, where, size, err);
	snprintf(where + used, size - used, "%s%.*s", used ? "." : "", (int)step, rest);
	value = json_object_getn(value, rest, step);
	return follow(row, value, rest + step, where, size, err);
}

int cx_spec_check_unsupported(const json_t *root, conex_error **err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < CX_ARRAY_SIZE(rows); i++) {
		char where[160] = "";

		r = follow(&rows[i], root, rows[i].path, where, sizeof where, err);
	}
	return r;
}
