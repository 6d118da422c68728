/* Checking a spec: the schema's rows, the engine that walks them, and the checks of
 * meaning behind it. */
#ifndef CX_SPEC_CHECK_H
#define CX_SPEC_CHECK_H

#include <string.h>
#include "base/error.h"
#include "spec/spec.h"

enum cx_type { CX_BOOL = 1, CX_INT, CX_TEXT, CX_PATH, CX_NAME, CX_OBJECT };
enum {
	CX_REQUIRED = 1,        /* must be there, and not null */
	CX_LIST = 2,            /* a list of `type` */
	CX_MAP = 4,             /* an object with any keys, whose values are of `type` */
	CX_FILLED = 8,          /* a text or list that isn't empty */
	CX_INSIDE = 16,         /* a path without ".." */
};

/* One field of a JSON object; a table of them ends with a row without name. */
struct cx_field {
	const char *name;
	enum cx_type type;
	unsigned flags;
	int64_t min, max;               /* CX_INT */
	const char *const *names;       /* CX_NAME: what it may be, NULL-ended */
	const struct cx_field *fields;  /* CX_OBJECT */
};
#define CX_FIELD(n, t, f, ...) { .name = n, .type = t, .flags = f, ##__VA_ARGS__ }
#define BOOL(n) CX_FIELD(n, CX_BOOL, 0)
#define INT(n, f, low, high) CX_FIELD(n, CX_INT, f, .min = low, .max = high)
#define TEXT(n, f) CX_FIELD(n, CX_TEXT, f)
#define PATH(n, f) CX_FIELD(n, CX_PATH, f)
#define NAME(n, f, list) CX_FIELD(n, CX_NAME, f, .names = list)
#define OBJECT(n, f, table) CX_FIELD(n, CX_OBJECT, f, .fields = table)

/* schema.c, schema-linux.c */
extern const struct cx_field cx_spec_schema[];
extern const struct cx_field cx_spec_schema_linux[];
extern const struct cx_field cx_spec_schema_mapping[];

/* engine.c. Types, ranges and names of the whole document by a table. */
int cx_spec_check_fields(const struct cx_field *fields, const json_t *object,
	conex_error **err);

/* Refuses `value` (shown as text; NULL: nothing stands there) with a mend; the path is
 * a format. */
int cx_spec_refuse(conex_error **err, int code, const json_t *value, const char *mend,
	const char *where, ...) CX_PRINTF(5, 6);
#define cx_spec_bad(err, value, mend, ...) \
	cx_spec_refuse(err, -EINVAL, value, mend, __VA_ARGS__)

/* Meaning, a file a subject. All take the whole document, whose types are right. */
int cx_spec_check_process(const json_t *root, conex_error **err);
int cx_spec_check_capabilities(const json_t *root, conex_error **err);
int cx_spec_check_mounts(const json_t *root, conex_error **err);
int cx_spec_check_paths(const json_t *root, conex_error **err);
int cx_spec_check_namespaces(const json_t *root, conex_error **err);
int cx_spec_check_mappings(const json_t *root, conex_error **err);
int cx_spec_check_schedule(const json_t *root, conex_error **err);
int cx_spec_check_sysctl(const json_t *root, conex_error **err);
int cx_spec_check_seccomp(const json_t *root, conex_error **err);
int cx_spec_check_resources(const json_t *root, conex_error **err);
int cx_spec_check_unsupported(const json_t *root, conex_error **err);

/* Ranges of ids (mounts have such lists too): how many, overlap, overflow. `where`:
 * the list's path. */
int cx_spec_check_ranges(const json_t *list, const char *where, conex_error **err);
/* Is the mount a bind, by type or option? */
int cx_spec_mount_binds(const json_t *mount);
/* Is `text` an item of the list (NULL: an empty one)? */
int cx_json_has(const json_t *list, const char *text);
/* The first item before `end` whose `key` is `text`, or -1. */
ssize_t cx_json_find(const json_t *list, size_t end, const char *key, const char *text);
/* The value as JSON text (free(3), whatever allocator the host gave jansson); NULL: no
 * memory. */
char *cx_json_print(const json_t *value, size_t flags);
/* Is ".." a part of the path? */
int cx_path_climbs(const char *path);

/* seccomp-default.c: the profile of Docker and Podman for a container whose bounding
 * set is this list (NULL: empty). A new tree; NULL: no memory. */
json_t *cx_spec_seccomp_default(const json_t *bounding);

#endif
