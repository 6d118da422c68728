/* CNI's lists of plugins: found by name as libcni finds them, checked, and their plugins' files. */
#include "network/cni.h"
#include "base/path.h"
#include "spec/spec.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The newest first. */
static const char *const versions[] = { "1.1.0", "1.0.0", "0.4.0", "0.3.1", "0.3.0" };
enum { NEW_VERSIONS = 3 };              /* of them: with CHECK */

static int version_index(const char *text)
{
	for (size_t i = 0; text && i < CX_ARRAY_SIZE(versions); i++)
		if (!strcmp(text, versions[i]))
			return (int)i;
	return -1;
}

int cx_cni_is_new(const json_t *list)
{
	int n = version_index(cx_json_text(list, "cniVersion"));

	return n >= 0 && n < NEW_VERSIONS;
}

int cx_cni_check_name(const char *name, const char *where, conex_error **err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t n = name ? strlen(name) : 0;

	if (n && n <= CX_CNI_NAME_MAX && strspn(name, letters) == n && !strchr("_.-", name[0]))
		return 0;
	return cx_refuse(err, -EINVAL, where, name, "1 to %d of a-z A-Z 0-9 _ . - and first a letter or digit",
		CX_CNI_NAME_MAX);
}

/* ---- a list ---- */

static const char *where_in(char to[192], const char *file, const char *key)
{
	snprintf(to, 192, "%.120s: %s", file, key);
	return to;
}

/* One version, or the newest of several that both sides know. */
static int check_version(json_t *list, const char *file, conex_error **err)
{
	const json_t *one = json_object_get(list, "cniVersion"), *several = json_object_get(list, "cniVersions"), *item;
	int best = version_index(json_string_value(one)), n;
	char where[192];
	size_t i;

	if (one && !json_is_string(one))
		return cx_refuse(err, -EINVAL, where_in(where, file, "cniVersion"), NULL, "a text, as \"1.0.0\"");
	if (several && !json_is_array(several))
		return cx_refuse(err, -EINVAL, where_in(where, file, "cniVersions"), NULL, "a list of texts");
	json_array_foreach((json_t *)several, i, item) {
		if (!json_is_string(item))
			return cx_refuse(err, -EINVAL, where_in(where, file, "cniVersions"), NULL, "a list of texts");
		n = version_index(json_string_value(item));
		best = n >= 0 && (best < 0 || n < best) ? n : best;
	}
	if (best < 0)
		return cx_refuse(err, -EINVAL, where_in(where, file, "cniVersion"), json_string_value(one),
			"one of 1.1.0, 1.0.0, 0.4.0, 0.3.1 and 0.3.0");
	return json_object_set_new(list, "cniVersion", json_string(versions[best])) < 0 ? cx_fail_memory(err) : 0;
}

/* libcni takes "true" as a text as well. */
static int check_switch(const json_t *list, const char *file, const char *key, conex_error **err)
{
	const json_t *value = json_object_get(list, key);
	const char *text = json_string_value(value);
	char where[192];

	if (!value || json_is_boolean(value) || (text && (!strcmp(text, "true") || !strcmp(text, "false"))))
		return 0;
	return cx_refuse(err, -EINVAL, where_in(where, file, key), text, "true or false");
}

static int check_capabilities(const json_t *plugin, const char *where, conex_error **err)
{
	json_t *all = json_object_get(plugin, "capabilities"), *value;
	const char *key;

	if (all && !json_is_object(all))
		return cx_refuse(err, -EINVAL, where, NULL, "capabilities: an object, as {\"portMappings\": true}");
	json_object_foreach(all, key, value)
		if (!json_is_boolean(value))
			return cx_refuse(err, -EINVAL, where, key, "capabilities: true or false for each");
	return 0;
}

static int check_plugin(const json_t *plugin, const char *file, size_t n, conex_error **err)
{
	char key[48], where[192];
	const json_t *type = json_object_get(plugin, "type");
	int r;

	snprintf(key, sizeof key, "plugins[%zu]", n);
	if (!json_is_object(plugin))
		return cx_refuse(err, -EINVAL, where_in(where, file, key), NULL, "an object with a \"type\"");
	snprintf(key, sizeof key, "plugins[%zu].type", n);
	where_in(where, file, key);
	if (!json_is_string(type))
		return cx_refuse(err, -EINVAL, where, NULL, "the name of a plugin's file, as \"bridge\"");
	r = cx_cni_check_name(json_string_value(type), where, err);
	snprintf(key, sizeof key, "plugins[%zu]", n);
	return r < 0 ? r : check_capabilities(plugin, where_in(where, file, key), err);
}

int cx_cni_check_list(json_t *list, const char *file, conex_error **err)
{
	const json_t *name = json_object_get(list, "name"), *plugins = json_object_get(list, "plugins"), *item;
	char where[192];
	size_t i;
	int r;

	if (!json_is_object(list))
		return cx_refuse(err, -EINVAL, file, NULL, "an object with \"cniVersion\", \"name\" and \"plugins\"");
	if (!json_is_string(name))
		return cx_refuse(err, -EINVAL, where_in(where, file, "name"), NULL, "the network's name, a text");
	r = cx_cni_check_name(json_string_value(name), where_in(where, file, "name"), err);
	if (r == 0)
		r = check_version(list, file, err);
	if (r == 0)
		r = check_switch(list, file, "disableCheck", err);
	if (r == 0)
		r = check_switch(list, file, "disableGC", err);
	if (r < 0)
		return r;
	if (!json_array_size(plugins) || json_array_size(plugins) > CX_CNI_PLUGINS_MAX)
		return cx_refuse(err, -EINVAL, where_in(where, file, "plugins"), NULL, "a list of 1 to %d plugins",
			CX_CNI_PLUGINS_MAX);
	json_array_foreach((json_t *)plugins, i, item)
		if ((r = check_plugin(item, file, i, err)) < 0)
			return r;
	return 0;
}

int cx_cni_takes(const json_t *list, const char *capability)
{
	const json_t *plugins = json_object_get(list, "plugins"), *plugin;
	size_t i;

	json_array_foreach((json_t *)plugins, i, plugin)
		if (json_is_true(json_object_get(json_object_get(plugin, "capabilities"), capability)))
			return 1;
	return 0;
}

/* ---- found ---- */

static int ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), s = strlen(suffix);

	return n > s && !strcmp(name + n - s, suffix);
}

static int is_list_file(const struct dirent *e)
{
	return ends_with(e->d_name, ".conflist");
}

static int is_plugin_file(const struct dirent *e)
{
	return ends_with(e->d_name, ".conf") || ends_with(e->d_name, ".json");
}

/* A plugin alone is a list of one. new; NULL: no memory */
static json_t *wrap(json_t *plugin)
{
	json_t *name = json_object_get(plugin, "name"), *version = json_object_get(plugin, "cniVersion");
	json_t *list = json_pack("{s:[O]}", "plugins", plugin);

	if (list && name)
		json_object_set(list, "name", name);
	if (list && version)
		json_object_set(list, "cniVersion", version);
	return list;
}

/* The file's list, if it bears that name. 1; 0: another's; -errno */
static int look_into(int dir, const char *file, const char *name, int alone, json_t **ret, conex_error **err)
{
	cx_autofree char *text = NULL;
	json_t *root = NULL, *list;
	int r = (int)cx_file_load(dir, file, CX_CNI_BYTES, &text);

	if (r < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, r == -EFBIG ? "at most 4 MiB" : NULL, "%s", file);
	r = cx_spec_parse_json(text, file, &root, err);
	if (r < 0)
		return r;
	list = alone && json_is_object(root) ? wrap(root) : json_incref(root);
	json_decref(root);
	if (!list)
		return cx_fail_memory(err);
	if (json_is_object(list) && json_is_string(json_object_get(list, "name"))
	    && strcmp(json_string_value(json_object_get(list, "name")), name)) {
		json_decref(list);
		return 0;
	}
	r = cx_cni_check_list(list, file, err);
	if (r < 0) {
		json_decref(list);
		return r;
	}
	*ret = list;
	return 1;
}

/* One that can't be read is no reason not to find another one. Its fault is told where none is found. */
static int look_in(int dir, const char *name, int alone, json_t **ret, conex_error **err)
{
	struct dirent **files;
	int n = scandirat(dir, ".", &files, alone ? is_plugin_file : is_list_file, alphasort), found = 0, fault = 0;

	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		int r = found ? 0 : look_into(dir, files[i]->d_name, name, alone, ret, fault ? NULL : err);

		found |= r > 0;
		fault = r < 0 && !fault ? r : fault;
		free(files[i]);
	}
	free(files);
	return found ? 1 : fault;
}

int cx_cni_find(const char *name, json_t **ret, conex_error **err)
{
	const char *given = secure_getenv("NETCONFPATH"), *path = given && *given ? given : CX_CNI_CONFIGS;
	cx_autoclose int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	conex_error *fault = NULL;
	int r;

	if (dir < 0 && errno != ENOENT)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "open", NULL, "%s", path);
	r = dir < 0 ? 0 : look_in(dir, name, 0, ret, &fault);
	if (dir >= 0 && r <= 0) {
		int other = look_in(dir, name, 1, ret, fault ? NULL : &fault);

		r = other > 0 || r == 0 ? other : r;
	}
	if (r == 0)
		cx_fail(err, CONEX_STAGE_LAUNCH, r = -ENOENT, NULL, "write a .conflist with that \"name\"",
			"CNI network %s in %s", name, path);
	else if (r < 0)
		cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, fault ? conex_error_text(fault) : NULL, "CNI network %s in %s",
			name, path);
	conex_error_free(fault);
	return r < 0 ? r : 0;
}

/* ---- plugins' files ---- */

const char *cx_cni_path(void)
{
	const char *given = secure_getenv("CNI_PATH");

	return given && *given ? given : CX_CNI_PLUGINS;
}

static int is_roots(const struct stat *st)
{
	return (st->st_uid == 0 || st->st_uid == geteuid()) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/* 0; -ENOENT; -EPERM: somebody else may write to it, and would be executed with our rights */
static int look_for(const char *dir, const char *type, char **ret)
{
	struct stat at, file;
	int r = 0;

	if (dir[0] != '/' || stat(dir, &at) < 0)
		return -ENOENT;
	if (asprintf(ret, "%s/%s", dir, type) < 0)
		return -ENOMEM;
	if (stat(*ret, &file) < 0 || !S_ISREG(file.st_mode) || !(file.st_mode & S_IXUSR))
		r = -ENOENT;
	else if (!is_roots(&at) || !is_roots(&file))
		r = -EPERM;
	if (r < 0)
		cx_freep(ret);
	return r;
}

int cx_cni_locate(const char *path, const char *type, char **ret, conex_error **err)
{
	cx_autofree char *copy = strdup(path);
	char *rest = copy, *dir, *file = NULL;
	int r = copy ? -ENOENT : -ENOMEM;

	while (r == -ENOENT && (dir = strsep(&rest, ":")))
		r = look_for(dir, type, &file);
	if (r == 0)
		*ret = file;
	return r == 0 ? 0 : cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, r == -EPERM
		? "it and its directory have to be root's, and nobody else's to write to" : r == -ENOENT
		? "install it (package containernetworking-plugins), or name its directory in CNI_PATH" : NULL,
		"CNI plugin %s in %s", type, path);
}

int cx_cni_locate_all(const json_t *list, const char *path, conex_error **err)
{
	const json_t *plugins = json_object_get(list, "plugins"), *plugin;
	size_t i;

	json_array_foreach((json_t *)plugins, i, plugin) {
		cx_autofree char *file = NULL;
		int r = cx_cni_locate(path, cx_json_text(plugin, "type"), &file, err);

		if (r < 0)
			return r;
	}
	return 0;
}
