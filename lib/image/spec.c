/* An image's config as a layer of a runtime-spec, by the rules of image-spec's conversion.md. */
#include "image/config.h"

#include <signal.h>
#include <stdlib.h>
#include "base/str.h"
#include "image/document.h"
#include "image/refuse.h"

#define ANNOTATION "org.opencontainers.image."

int cx_image_signal(const char *text)
{
	const char *name = !strncmp(text, "SIG", 3) ? text + 3 : text;
	int sign = !strncmp(name, "RTMIN", 5) ? 1 : !strncmp(name, "RTMAX", 5) ? -1 : 0;
	const char *digits = sign ? name + 5 : text;
	size_t n;

	for (int i = 1; !sign && i < SIGRTMIN; i++)
		if (sigabbrev_np(i) && !strcmp(name, sigabbrev_np(i)))
			return i;
	/* the C library keeps the first two for itself; names count from what it shows */
	if (sign && !*digits)
		return sign > 0 ? SIGRTMIN : SIGRTMAX;
	if (sign && *digits++ != (sign > 0 ? '+' : '-'))
		return 0;
	n = strspn(digits, "0123456789");
	if (!n || n > 2 || digits[n])
		return 0;
	n = (size_t)atoi(digits);
	if (sign)
		return n <= (size_t)(SIGRTMAX - SIGRTMIN) ? (sign > 0 ? SIGRTMIN : SIGRTMAX) + sign * (int)n : 0;
	return n <= (size_t)SIGRTMAX ? (int)n : 0;
}

/* -EINVAL: no UTF-8 (the image's are; the user's may not be); -ENOMEM */
static int add_texts(json_t *to, const char *const *texts)
{
	for (; texts && *texts; texts++) {
		json_t *text = json_string(*texts), *bytes;

		if (!text) {
			bytes = json_string_nocheck(*texts);
			json_decref(bytes);
			return bytes ? -EINVAL : -ENOMEM;
		}
		if (json_array_append_new(to, text) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int make_args(const struct cx_image_config *c, const char *const *args, json_t *process, conex_error **err)
{
	json_t *list = json_array();
	int r;

	if (json_object_set_new(process, "args", list) < 0 || add_texts(list, c->entrypoint) < 0)
		return cx_fail_memory(err);
	r = add_texts(list, args ? args : c->cmd);
	if (r == -ENOMEM)
		return cx_fail_memory(err);
	if (r < 0)
		return cx_image_refuse(err, r, "args", NULL, "they are texts of UTF-8");
	if (!json_array_size(list))
		return cx_image_refuse(err, -EINVAL, "args", NULL, "the image doesn't say what to run (it has no Entrypoint and no "
			"Cmd): give the program and its arguments");
	if (!*json_string_value(json_array_get(list, 0)))
		return cx_image_refuse(err, -EINVAL, "args[0]", "", "name the program to run");
	return 0;
}

/* Of entries with one name the last counts, as it does for Docker. */
static int is_last(const char *const *entry)
{
	size_t n = strcspn(*entry, "=") + 1;

	for (const char *const *later = entry + 1; *later; later++)
		if (!strncmp(*later, *entry, n))
			return 0;
	return 1;
}

static int make_env(const struct cx_image_config *c, json_t *process)
{
	json_t *list = json_array();

	if (json_object_set_new(process, "env", list) < 0)
		return -ENOMEM;
	for (const char *const *e = c->env; e && *e; e++)
		if (is_last(e) && json_array_append_new(list, json_string(*e)) < 0)
			return -ENOMEM;
	return 0;
}

static int annotate(json_t *to, const char *key, const char *value)
{
	return value && *value && json_object_set_new(to, key, json_string(value)) < 0 ? -ENOMEM : 0;
}

/* Texts as one, with commas between them. */
static int annotate_list(json_t *to, const char *key, const char *const *texts)
{
	cx_autostr text = { .data = NULL };

	for (const char *const *t = texts; t && *t; t++)
		cx_str_addf(&text, "%s%s", t == texts ? "" : ",", *t);
	return text.failed ? text.failed : annotate(to, key, text.data);
}

static int annotate_features(json_t *to, const json_t *root)
{
	cx_autostr text = { .data = NULL };
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(root, "os.features"), i, item)
		cx_str_addf(&text, "%s%s", i ? "," : "", json_string_value(item));
	return text.failed ? text.failed : annotate(to, ANNOTATION "os.features", text.data);
}

static int make_annotations(const struct cx_image_config *c, json_t *to)
{
	static const struct { const char *field, *key; } fields[] = {
		{ "os", ANNOTATION "os" }, { "architecture", ANNOTATION "architecture" }, { "variant", ANNOTATION "variant" },
		{ "os.version", ANNOTATION "os.version" }, { "author", ANNOTATION "author" },
		{ "created", ANNOTATION "created" },
	};
	const json_t *run = json_object_get(c->root, "config"), *labels = cx_json_at(run, "Labels");

	for (size_t i = 0; i < CX_ARRAY_SIZE(fields); i++)
		if (annotate(to, fields[i].key, json_string_value(json_object_get(c->root, fields[i].field))) < 0)
			return -ENOMEM;
	if (annotate_features(to, c->root) < 0 || annotate_list(to, ANNOTATION "exposedPorts", c->ports) < 0
	    || annotate(to, ANNOTATION "stopSignal", cx_json_text(run, "StopSignal")) < 0)
		return -ENOMEM;
	/* a label that says the same thing goes before what was made of a field */
	return labels && json_object_update(to, (json_t *)labels) < 0 ? -ENOMEM : 0;
}

int cx_image_config_spec(const struct cx_image_config *c, const char *const *args, json_t **ret, conex_error **err)
{
	json_t *root = json_pack("{s:{}, s:{}}", "process", "annotations"), *process = json_object_get(root, "process");
	int r;

	if (!root)
		return cx_fail_memory(err);
	r = make_args(c, args, process, err);
	if (r == 0 && (make_env(c, process) < 0 || annotate(process, "cwd", *c->directory ? c->directory : "/") < 0
		       || make_annotations(c, json_object_get(root, "annotations")) < 0))
		r = cx_fail_memory(err);
	if (r < 0)
		json_decref(root);
	else
		*ret = root;
	return r;
}
