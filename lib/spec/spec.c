/* conex_spec: the public face of specs. parse.c, merge.c and validate.c do the work. */
#include "spec/check.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include "base/path.h"
#include "base/str.h"

#define FILE_MAX_BYTES ((size_t)16 << 20)

static void json_unref(json_t **tree)
{
	json_decref(*tree);
}

#define autojson cx_cleanup(json_unref) json_t

/* Takes the tree. */
static int spec_take(json_t **tree, conex_spec **ret, conex_error **err)
{
	conex_spec *spec = calloc(1, sizeof *spec);

	if (!spec)
		return cx_fail_memory(err);
	spec->root = cx_steal_ptr(tree);
	*ret = spec;
	return 0;
}

int conex_spec_new(conex_spec **ret, conex_error **err)
{
	autojson *root = cx_spec_default();

	return root ? spec_take(&root, ret, err) : cx_fail_memory(err);
}

/* Parses and checks a whole document: only layers may be without a version. */
static int parse_whole(
	const char *text, const char *what, json_t **ret, conex_error **err)
{
	autojson *root = NULL;
	int r = cx_spec_parse_json(text, what, &root, err);

	if (r == 0 && cx_spec_normal(root) < 0)
		r = cx_fail_memory(err);
	if (r == 0 && !cx_json_at(root, "ociVersion"))
		r = cx_refuse(err, -EINVAL, "ociVersion", NULL,
			"it is missing; a config.json says \"ociVersion\": \"1.2.0\"");
	if (r == 0)
		r = cx_spec_validate(root, err);
	if (r == 0)
		*ret = cx_steal_ptr(&root);
	return r;
}

int conex_spec_parse(const char *json, conex_spec **ret, conex_error **err)
{
	autojson *root = NULL;
	int r = parse_whole(json, "json", &root, err);

	return r < 0 ? r : spec_take(&root, ret, err);
}

/* A relative path of a bundle becomes one that means the same from anywhere. */
static int resolve(json_t *object, const char *field, const char *bundle)
{
	const char *path = cx_json_text(object, field);
	cx_autostr joined = { 0 };
	cx_autofree char *text = NULL;

	if (!path || path[0] == '/')
		return 0;
	cx_str_addf(&joined, "%s/%s", strcmp(bundle, "/") ? bundle : "", path);
	text = cx_str_take(&joined);
	if (!text || json_object_set_new(object, field, json_string(text)) < 0)
		return -ENOMEM;
	return 0;
}

/* What the runtime-spec takes from the bundle: root.path and the sources of binds. */
static int resolve_all(json_t *root, const char *bundle)
{
	int r = resolve(cx_json_at(root, "root"), "path", bundle);
	json_t *mount;
	size_t i;

	json_array_foreach(cx_json_at(root, "mounts"), i, mount)
		if (r == 0 && cx_spec_mount_binds(mount))
			r = resolve(mount, "source", bundle);
	return r;
}

/* The config.json meant by `path`, and the absolute path of its bundle; both to be
 * freed. */
static int find_config(
	const char *path, char **ret_config, char **ret_bundle, conex_error **err)
{
	cx_autofree char *real = realpath(path, NULL);
	struct stat st;
	char *slash;

	if (!real || stat(real, &st) < 0)
		return cx_fail_errno(err, CONEX_STAGE_SPEC, "open",
			"give a config.json, or a bundle that has one", "%s", path);
	if (S_ISDIR(st.st_mode)) {
		if (asprintf(ret_config, "%s/config.json", real) < 0)
			return cx_fail_memory(err);
		*ret_bundle = cx_steal_ptr(&real);
		return 0;
	}
	*ret_config = strdup(real);
	slash = strrchr(real, '/');
	slash[slash == real] = '\0';
	*ret_bundle = cx_steal_ptr(&real);
	return *ret_config ? 0 : cx_fail_memory(err);
}

/* stat first: opening a device may do things, opening a FIFO may block. */
static int read_config(const char *config, char **ret, conex_error **err)
{
	struct stat st;
	ssize_t n;

	if (stat(config, &st) < 0)
		return cx_fail_errno(err, CONEX_STAGE_SPEC, "open",
			"a bundle is a directory with a config.json", "%s", config);
	if (!S_ISREG(st.st_mode))
		return cx_refuse(err, -EINVAL, config, NULL, "it isn't a regular file");
	n = cx_file_load(AT_FDCWD, config, FILE_MAX_BYTES, ret);
	if (n == -EFBIG)
		return cx_refuse(
			err, -EFBIG, config, NULL, "a config.json is at most 16 MiB");
	if (n < 0)
		return cx_fail(err, CONEX_STAGE_SPEC, (int)n, "read", NULL, "%s", config);
	if (strlen(*ret) != (size_t)n)
		return cx_refuse(err, -EINVAL, config, NULL,
			"it has a NUL byte, so it isn't JSON");
	return 0;
}

int conex_spec_load(const char *path, conex_spec **ret, conex_error **err)
{
	cx_autofree char *config = NULL, *bundle = NULL, *text = NULL;
	autojson *root = NULL;
	int r;

	if (!path)
		return cx_refuse(
			err, -EINVAL, "path", NULL, "give a config.json or a bundle");
	r = find_config(path, &config, &bundle, err);
	if (r == 0)
		r = read_config(config, &text, err);
	if (r == 0)
		r = parse_whole(text, config, &root, err);
	if (r == 0 && resolve_all(root, bundle) < 0)
		r = cx_fail_memory(err);
	if (r == 0)
		r = spec_take(&root, ret, err);
	if (r == 0)
		(*ret)->bundle = cx_steal_ptr(&bundle);
	return r;
}

/* All or nothing: on failure the spec is as it was. */
int conex_spec_merge(conex_spec *spec, const char *json, conex_error **err)
{
	autojson *layer = NULL;
	autojson *root = NULL;
	int r = cx_spec_parse_json(json, "json", &layer, err);

	if (r < 0)
		return r;
	root = json_deep_copy(spec->root);
	if (!root || cx_spec_normal(layer) < 0 || cx_spec_merge_json(root, layer) < 0)
		return cx_fail_memory(err);
	r = cx_spec_validate(root, err);
	if (r < 0)
		return r;
	json_decref(spec->root);
	spec->root = cx_steal_ptr(&root);
	return 0;
}

/* One reference token of a pointer, "~1" and "~0" undone in place; NULL: a wrong
 * escape. */
static char *unescape(char *token)
{
	char *to = token;

	for (const char *from = token; *from; from++) {
		if (*from != '~') {
			*to++ = *from;
			continue;
		}
		from++;
		if (*from != '0' && *from != '1')
			return NULL;
		*to++ = *from == '0' ? '~' : '/';
	}
	*to = '\0';
	return token;
}

/* An index has no leading zeros and no sign; "-" is the item behind the last: never
 * there. */
static const json_t *step(const json_t *value, const char *token)
{
	unsigned long index;

	if (json_is_object(value))
		return json_object_get(value, token);
	if (!*token || token[strspn(token, "0123456789")]
		|| (token[0] == '0' && token[1]))
		return NULL;
	errno = 0;
	index = strtoul(token, NULL, 10);
	return errno ? NULL : json_array_get(value, index);
}

int conex_spec_get(
	const conex_spec *spec, const char *pointer, char **ret_json, conex_error **err)
{
	cx_autofree char *copy = pointer ? strdup(pointer) : NULL;
	const json_t *value = spec->root;
	char *token, *rest = copy, *text;

	if (!pointer || (pointer[0] && pointer[0] != '/'))
		return cx_refuse(err, -EINVAL, "pointer", pointer,
			"write it \"/process/args/0\", or \"\" for all");
	if (!copy)
		return cx_fail_memory(err);
	for (strsep(&rest, "/"); value && rest; ) {
		token = unescape(strsep(&rest, "/"));
		if (!token)
			return cx_refuse(err, -EINVAL, "pointer", pointer,
				"'~' is written \"~0\", '/' in a name \"~1\"");
		value = step(value, token);
	}
	if (!value)
		return cx_refuse(
			err, -ENOENT, pointer, NULL, "the spec has nothing there");
	text = cx_json_print(value, JSON_COMPACT);
	if (!text)
		return cx_fail_memory(err);
	*ret_json = text;
	return 0;
}

int conex_spec_print(const conex_spec *spec, char **ret_json, conex_error **err)
{
	char *text = cx_json_print(spec->root, JSON_INDENT(4));

	if (!text)
		return cx_fail_memory(err);
	*ret_json = text;
	return 0;
}

void conex_spec_free(conex_spec *spec)
{
	if (!spec)
		return;
	json_decref(spec->root);
	free(spec->bundle);
	free(spec);
}
