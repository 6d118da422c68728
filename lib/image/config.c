/* Parsing an image's config. spec.c makes a runtime-spec's layer of it. */
#include "image/config.h"

#include <stdlib.h>
#include "image/document.h"

enum { ENV_MAX = 4096 };        /* each is compared with all behind it */

/* Docker takes no less than a millisecond, and 0 for "not said". */
#define SPAN(n) INT(n, 0, 0, INT64_MAX)

static const struct cx_field nothing[] = { { .name = NULL } };

static const struct cx_field health_fields[] = {
	TEXT("Test", CX_LIST),
	SPAN("Interval"), SPAN("Timeout"), SPAN("StartPeriod"), SPAN("StartInterval"),
	INT("Retries", 0, 0, INT32_MAX),
	{ .name = NULL }
};

static const struct cx_field run_fields[] = {
	TEXT("User", 0),
	OBJECT("ExposedPorts", CX_MAP, nothing),
	TEXT("Env", CX_LIST),
	TEXT("Entrypoint", CX_LIST),
	TEXT("Cmd", CX_LIST),
	TEXT("Shell", CX_LIST),
	TEXT("OnBuild", CX_LIST),
	OBJECT("Volumes", CX_MAP, nothing),
	TEXT("WorkingDir", 0),
	TEXT("Labels", CX_MAP),
	TEXT("StopSignal", 0),
	OBJECT("Healthcheck", 0, health_fields),
	{ .name = NULL }
};

static const char *const layers_only[] = { "layers", NULL };

static const struct cx_field rootfs_fields[] = {
	NAME("type", CX_REQUIRED, layers_only),
	TEXT("diff_ids", CX_REQUIRED | CX_LIST),
	{ .name = NULL }
};

static const struct cx_field history_fields[] = {
	TEXT("created", 0),
	TEXT("author", 0),
	TEXT("created_by", 0),
	TEXT("comment", 0),
	CX_FIELD("empty_layer", CX_BOOL, 0),
	{ .name = NULL }
};

static const struct cx_field config_fields[] = {
	TEXT("created", 0),
	TEXT("author", 0),
	TEXT("architecture", CX_REQUIRED | CX_FILLED),
	TEXT("os", CX_REQUIRED | CX_FILLED),
	TEXT("os.version", 0),
	TEXT("os.features", CX_LIST),
	TEXT("variant", 0),
	OBJECT("config", 0, run_fields),
	OBJECT("rootfs", CX_REQUIRED, rootfs_fields),
	OBJECT("history", CX_LIST, history_fields),
	{ .name = NULL }
};

#define refuse(err, value, mend, ...) cx_document_refuse(err, -EINVAL, "config", value, mend, __VA_ARGS__)

/* ---- layers ---- */

static int read_diff_ids(struct cx_image_config *c, conex_error **err)
{
	const json_t *list = cx_json_at(c->root, "rootfs.diff_ids");
	char path[64];
	int r = 0;

	c->layer_count = json_array_size(list);
	if (c->layer_count > CX_LAYERS_MAX)
		return refuse(err, NULL, "the kernel stacks at most 500 layers", "rootfs.diff_ids");
	c->diff_ids = calloc(c->layer_count + 1, sizeof *c->diff_ids);
	if (!c->diff_ids)
		return cx_fail_memory(err);
	for (size_t i = 0; r == 0 && i < c->layer_count; i++) {
		snprintf(path, sizeof path, "config: rootfs.diff_ids[%zu]", i);
		r = cx_digest_parse(json_string_value(json_array_get(list, i)), path, &c->diff_ids[i], err);
	}
	return r;
}

/* History may be left out, also of the layers that somebody else's are built upon (buildah and umoci add theirs alone); but
 * it has no steps that made layers which aren't there. */
static int check_history(const struct cx_image_config *c, conex_error **err)
{
	const json_t *list = cx_json_at(c->root, "history");
	size_t i, full = 0;
	char counts[96];
	json_t *item;

	json_array_foreach(list, i, item)
		full += !cx_json_true(item, "empty_layer");
	if (full <= c->layer_count)
		return 0;
	snprintf(counts, sizeof counts, "%zu steps with a layer, %zu diff_ids", full, c->layer_count);
	return refuse(err, counts, "each step that isn't an empty_layer has a diff_id: build the image again", "history");
}

/* ---- how to run it ---- */

/* A list of texts, or the keys of an object, as an array that borrows them. */
static int read_texts(const json_t *from, const char *const **ret)
{
	size_t n = json_is_object(from) ? json_object_size(from) : json_array_size(from), i = 0;
	const char **texts, *key;
	json_t *item;

	if (!n)
		return 0;
	texts = calloc(n + 1, sizeof *texts);
	if (!texts)
		return -ENOMEM;
	if (json_is_object(from)) {
		json_object_foreach((json_t *)from, key, item)
			texts[i++] = key;
	} else {
		json_array_foreach(from, i, item)
			texts[i] = json_string_value(item);
	}
	*ret = texts;
	return 0;
}

static int read_lists(const json_t *run, struct cx_image_config *c, conex_error **err)
{
	const struct { const char *key; const char *const **to; } lists[] = {
		{ "Entrypoint", &c->entrypoint }, { "Cmd", &c->cmd }, { "Env", &c->env }, { "Volumes", &c->volumes },
		{ "ExposedPorts", &c->ports }, { "Shell", &c->shell }, { "Healthcheck.Test", &c->health.test },
	};

	for (size_t i = 0; i < CX_ARRAY_SIZE(lists); i++)
		if (read_texts(cx_json_at(run, lists[i].key), lists[i].to) < 0)
			return cx_fail_memory(err);
	return 0;
}

static int check_paths(const struct cx_image_config *c, conex_error **err)
{
	const char *const *v = c->volumes;

	if (*c->directory && (c->directory[0] != '/' || cx_path_climbs(c->directory) || strlen(c->directory) > 4095))
		return refuse(err, c->directory, "an absolute path (\"/...\"), without \"..\"", "config.WorkingDir");
	for (; v && *v; v++)
		if (**v != '/' || cx_path_climbs(*v) || strlen(*v) > 4095)
			return refuse(err, *v, "a volume is an absolute path (\"/...\"), without \"..\"", "config.Volumes");
	return 0;
}

static int check_env(const struct cx_image_config *c, conex_error **err)
{
	for (size_t i = 0; c->env && c->env[i]; i++) {
		if (i >= ENV_MAX)
			return refuse(err, NULL, "at most 4096 variables", "config.Env");
		if (strchr(c->env[i], '=') == NULL || c->env[i][0] == '=')
			return refuse(err, c->env[i], "write it as \"NAME=value\"", "config.Env[%zu]", i);
	}
	return 0;
}

static const char *read_port(const char *at)
{
	size_t n = strspn(at, "0123456789");
	long port = n && n < 6 ? strtol(at, NULL, 10) : 0;

	return port > 0 && port < 65536 ? at + n : NULL;
}

static int check_ports(const struct cx_image_config *c, conex_error **err)
{
	for (const char *const *p = c->ports; p && *p; p++) {
		const char *at = read_port(*p);

		if (at && *at == '-')
			at = read_port(at + 1);
		if (!at || (*at && strcmp(at, "/tcp") && strcmp(at, "/udp") && strcmp(at, "/sctp")))
			return refuse(err, *p, "a port is 1 to 65535, as in 80, 53/udp, 8000-8010/tcp", "config.ExposedPorts");
	}
	return 0;
}

static int check_user(const struct cx_image_config *c, conex_error **err)
{
	const char *group = strchr(c->user, ':');
	size_t n = strlen(c->user);

	if (n > 255 || c->user[strcspn(c->user, "/\n\r\t ")] || (n && (group == c->user || (group && (!group[1]
	    || strchr(group + 1, ':'))))))
		return refuse(err, c->user, "write user, user:group, uid or uid:gid", "config.User");
	return 0;
}

static int read_health(const json_t *run, struct cx_image_config *c, conex_error **err)
{
	const json_t *from = cx_json_at(run, "Healthcheck");
	const char *first = c->health.test ? c->health.test[0] : NULL;

	c->health.interval_ns = cx_json_int(from, "Interval", 0);
	c->health.timeout_ns = cx_json_int(from, "Timeout", 0);
	c->health.start_period_ns = cx_json_int(from, "StartPeriod", 0);
	c->health.start_interval_ns = cx_json_int(from, "StartInterval", 0);
	c->health.retries = cx_json_int(from, "Retries", 0);
	if (first && !strcmp(first, "NONE")) {
		free((void *)c->health.test);
		c->health.test = NULL;
	} else if (first && ((strcmp(first, "CMD") && strcmp(first, "CMD-SHELL")) || !c->health.test[1]
		   || (!strcmp(first, "CMD-SHELL") && c->health.test[2]))) {
		return refuse(err, first, "write [\"CMD\", program, ...], [\"CMD-SHELL\", line] or [\"NONE\"]",
			"config.Healthcheck.Test");
	}
	return 0;
}

static const char *text_or_empty(const json_t *from, const char *key)
{
	const char *text = cx_json_text(from, key);

	return text ? text : "";
}

static int read_run(struct cx_image_config *c, conex_error **err)
{
	const json_t *run = cx_json_at(c->root, "config");
	const char *signal = text_or_empty(run, "StopSignal");
	int r = read_lists(run, c, err);

	c->user = text_or_empty(run, "User");
	c->directory = text_or_empty(run, "WorkingDir");
	c->stop_signal = cx_image_signal(signal);
	if (r == 0 && *signal && !c->stop_signal)
		r = refuse(err, signal, "name a signal: SIGTERM, SIGRTMIN+3, 15", "config.StopSignal");
	if (r == 0)
		r = check_paths(c, err);
	if (r == 0)
		r = check_env(c, err);
	if (r == 0)
		r = check_ports(c, err);
	if (r == 0)
		r = check_user(c, err);
	return r < 0 ? r : read_health(run, c, err);
}

/* ---- together ---- */

static int read_platform(struct cx_image_config *c, conex_error **err)
{
	const char *architecture = cx_json_text(c->root, "architecture");

	/* "os" has no dotted name below it: these are texts */
	if (cx_platform_of(json_string_value(json_object_get(c->root, "os")), architecture,
		    cx_json_text(c->root, "variant"), &c->platform) < 0)
		return refuse(err, architecture, "os, architecture and variant are short names of a-z 0-9 . _ -",
			"architecture");
	return 0;
}

int cx_image_config_parse(const char *bytes, size_t size, struct cx_image_config **ret, conex_error **err)
{
	struct cx_image_config *c = calloc(1, sizeof *c);
	int r;

	if (!c)
		return cx_fail_memory(err);
	r = cx_document_parse(bytes, size, "config", &c->root, err);
	if (r == 0)
		r = cx_document_check(config_fields, c->root, "config", err);
	if (r == 0)
		r = read_platform(c, err);
	if (r == 0)
		r = read_diff_ids(c, err);
	if (r == 0)
		r = check_history(c, err);
	if (r == 0)
		r = read_run(c, err);
	if (r < 0) {
		cx_image_config_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void cx_image_config_free(struct cx_image_config *c)
{
	if (!c)
		return;
	free((void *)c->entrypoint);
	free((void *)c->cmd);
	free((void *)c->env);
	free((void *)c->volumes);
	free((void *)c->ports);
	free((void *)c->shell);
	free((void *)c->health.test);
	free(c->diff_ids);
	json_decref(c->root);
	free(c);
}

int cx_image_config_check(const struct cx_image_config *c, const struct cx_image_manifest *m,
	const struct cx_platform *wanted, conex_error **err)
{
	char counts[96], is[CX_PLATFORM_TEXT], want[CX_PLATFORM_TEXT], mend[CX_PLATFORM_TEXT + 64];

	if (m->layer_count != c->layer_count) {
		snprintf(counts, sizeof counts, "%zu, the manifest has %zu layers", c->layer_count, m->layer_count);
		return refuse(err, counts, "each layer has its diff_id: build the image again", "rootfs.diff_ids");
	}
	if (wanted && !cx_platform_match(wanted, &c->platform)) {
		cx_platform_print(&c->platform, is);
		cx_platform_print(wanted, want);
		snprintf(mend, sizeof mend, "%s is wanted: ask for another platform or image", want);
		return cx_document_refuse(err, -ENOENT, "config", is, mend, "os/architecture");
	}
	return 0;
}
