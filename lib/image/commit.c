/* An image's config with somebody's wishes laid over it, before anything is begun. */
#include "image/commit.h"
#include "image/document.h"
#include "spec/check.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- the image below ---- */

void cx_commit_clear(struct cx_commit_base *b)
{
	cx_image_manifest_free(b->parts);
	cx_image_config_free(b->config);
	b->parts = NULL;
	b->config = NULL;
}

int cx_commit_read(const struct cx_store *s, const struct cx_digest *manifest, struct cx_commit_base *ret, conex_error **err)
{
	cx_autofree char *text = NULL, *config = NULL;
	size_t size;
	int r = cx_store_read_blob(s, manifest, &text, &size, err);

	*ret = (struct cx_commit_base){ .digest = *manifest };
	if (r == 0)
		r = cx_image_manifest_parse(text, size, NULL, &ret->parts, err);
	if (r == 0)
		r = cx_store_read_blob(s, &ret->parts->config.digest, &config, &size, err);
	if (r == 0)
		r = cx_image_config_parse(config, size, &ret->config, err);
	if (r == 0)
		r = cx_image_config_check(ret->config, ret->parts, NULL, err);
	if (r < 0)
		cx_commit_clear(ret);
	return r;
}

/* ---- laying ---- */

/* OCI's, and what Docker has besides: a config that docker inspect has shown is taken. */
static const char *const keys[] = { "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels",
	"StopSignal", "Healthcheck", "Shell", "OnBuild", "ArgsEscaped", "Memory", "MemorySwap", "CpuShares", "Hostname",
	"Domainname", "Image", "MacAddress", "NetworkDisabled", "AttachStdin", "AttachStdout", "AttachStderr", "Tty",
	"OpenStdin", "StdinOnce", "StopTimeout" };
static const char laid_name[] = "config_json";

/* A wrong key would just be kept, and do nothing. */
static int check_keys(const json_t *laid, conex_error **err)
{
	char hint[200] = "no such key: User, ExposedPorts, Env, Entrypoint, Cmd, Volumes, WorkingDir, Labels, StopSignal, "
		"Healthcheck, Shell and OnBuild there are";
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)laid, key, value) {
		size_t i = 0;

		for (; i < CX_ARRAY_SIZE(keys) && strcmp(key, keys[i]); i++)
			if (!strcasecmp(key, keys[i]))
				snprintf(hint, sizeof hint, "write it as %s", keys[i]);
		if (i == CX_ARRAY_SIZE(keys))
			return cx_document_refuse(err, -EINVAL, laid_name, NULL, hint, "%s", key);
	}
	return 0;
}

static size_t same_name(const json_t *list, const char *variable)
{
	size_t n = strcspn(variable, "="), i;
	json_t *item;

	json_array_foreach(list, i, item) {
		const char *other = json_string_value(item);

		if (other && strcspn(other, "=") == n && !strncmp(other, variable, n))
			break;
	}
	return i;
}

/* What isn't a text is put in, too: the check of the whole names it. */
static int lay_env(json_t *into, const json_t *over)
{
	json_t *item;
	size_t i;

	json_array_foreach(over, i, item) {
		const char *variable = json_string_value(item);
		size_t at = variable ? same_name(into, variable) : json_array_size(into);

		if ((at < json_array_size(into) ? json_array_set(into, at, item) : json_array_append(into, item)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int lay(json_t *into, const json_t *over, int top)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)over, key, value) {
		json_t *old = json_object_get(into, key);
		int r = 0;

		if (json_is_null(value)) {
			json_object_del(into, key);
		} else if (json_is_object(value)) {
			if (!json_is_object(old) && json_object_set_new(into, key, old = json_object()) < 0)
				return -ENOMEM;
			r = lay(old, value, 0);
		} else if (top && !strcmp(key, "Env") && json_is_array(old) && json_is_array(value)) {
			r = lay_env(old, value);
		} else {
			r = json_object_set(into, key, value);
		}
		if (r < 0)
			return -ENOMEM;
	}
	return 0;
}

static int lay_text(json_t *config, const char *text, conex_error **err)
{
	json_t *laid;
	int r = cx_document_parse(text, strlen(text), laid_name, &laid, err);

	if (r < 0)
		return r;
	r = check_keys(laid, err);
	if (r == 0 && lay(config, laid, 1) < 0)
		r = cx_fail_memory(err);
	json_decref(laid);
	return r;
}

/* The whole document as it will be, but for its layers: the same judge as for everybody's. */
static int check_whole(const struct cx_commit_base *base, json_t *config, conex_error **err)
{
	json_t *root = json_copy(base->config->root);
	cx_autofree char *text = NULL;
	struct cx_image_config *parsed;
	int r;

	if (root && json_object_set(root, "config", config) == 0)
		text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	r = text ? cx_image_config_parse(text, strlen(text), &parsed, err) : cx_fail_memory(err);
	if (r == 0)
		cx_image_config_free(parsed);
	return r;
}

int cx_commit_config(const struct cx_commit_base *base, const char *laid, json_t **ret, conex_error **err)
{
	json_t *old = json_object_get(base->config->root, "config");
	json_t *config = json_is_object(old) ? json_deep_copy(old) : json_object();
	int r = config ? 0 : cx_fail_memory(err);

	if (r == 0 && base->parts->layer_count >= CX_LAYERS_MAX)
		r = cx_fail(err, CONEX_STAGE_IMAGE, -E2BIG, NULL, "unpack it, and make one layer of it", "the image has %zu layers",
			base->parts->layer_count);
	if (r == 0 && laid)
		r = lay_text(config, laid, err);
	if (r == 0)
		r = check_whole(base, config, err);
	if (r < 0)
		json_decref(config);
	else
		*ret = config;
	return r;
}
