/* Merging one layer of a spec into another (design.md, section 6). */
#include "spec/check.h"

/* The lists whose items have an identity; all others are replaced whole. */
struct rule {
	const char *key;
	const char *identity;           /* of the items of this list */
	const struct rule *below;       /* of the fields of this object */
};

static const struct rule process_rules[] = {
	{ "env", "=", NULL },           /* texts "NAME=value", by name */
	{ "rlimits", "type", NULL },
	{ NULL, NULL, NULL }
};
static const struct rule linux_rules[] = {
	{ "namespaces", "type", NULL },
	{ "devices", "path", NULL },
	{ NULL, NULL, NULL }
};
static const struct rule root_rules[] = {
	{ "process", NULL, process_rules },
	{ "mounts", "destination", NULL },
	{ "linux", NULL, linux_rules },
	{ NULL, NULL, NULL }
};

static const struct rule *rule_find(const struct rule *rules, const char *key)
{
	for (; rules && rules->key; rules++)
		if (!strcmp(rules->key, key))
			return rules;
	return NULL;
}

/* How much of an item's text is its name: "NAME" of "NAME=value", "/data" of "/data/". */
static size_t name_size(const char *text, const char *identity)
{
	size_t size = strlen(text);

	if (identity[0] == '=')
		return strcspn(text, "=");
	while (size > 1 && text[size - 1] == '/')
		size--;
	return size;
}

static const char *item_name(const json_t *item, const char *identity, size_t *size)
{
	const char *text = json_string_value(identity[0] == '=' ? item
		: json_object_get(item, identity));

	if (text)
		*size = name_size(text, identity);
	return text;
}

/* The index of the item of the same identity, or the list's size. */
static size_t item_find(const json_t *list, const json_t *item, const char *identity)
{
	size_t size = 0, other = 0, i;
	const char *name = item_name(item, identity, &size), *text;

	for (i = 0; name && i < json_array_size(list); i++) {
		text = item_name(json_array_get(list, i), identity, &other);
		if (text && size == other && !memcmp(text, name, size))
			return i;
	}
	return json_array_size(list);
}

static int merge_object(json_t *into, const json_t *layer, const struct rule *rules);

/* A new value as it is after merging it into nothing: its nulls have nothing to
 * remove. */
static json_t *fresh(const json_t *value, const struct rule *rules)
{
	json_t *copy;

	if (!json_is_object(value))
		return json_deep_copy(value);
	copy = json_object();
	if (copy && merge_object(copy, value, rules) < 0) {
		json_decref(copy);
		return NULL;
	}
	return copy;
}

static int merge_list(json_t *into, const json_t *layer, const char *identity)
{
	json_t *item;
	size_t i;

	json_array_foreach(layer, i, item) {
		size_t at = item_find(into, item, identity);
		json_t *old = json_array_get(into, at);
		int r;

		if (json_is_object(old) && json_is_object(item))
			r = merge_object(old, item, NULL);
		else if (old)
			r = json_array_set_new(into, at, fresh(item, NULL));
		else
			r = json_array_append_new(into, fresh(item, NULL));
		if (r < 0)
			return -ENOMEM;
	}
	return 0;
}

static int merge_value(json_t *into, const char *key, const json_t *value,
	const struct rule *rule)
{
	json_t *old = json_object_get(into, key);

	if (json_is_null(value)) {
		json_object_del(into, key);
		return 0;
	}
	if (json_is_object(old) && json_is_object(value))
		return merge_object(old, value, rule ? rule->below : NULL);
	if (rule && rule->identity && json_is_array(old) && json_is_array(value))
		return merge_list(old, value, rule->identity);
	return json_object_set_new(into, key, fresh(value, rule ? rule->below : NULL)) < 0
		? -ENOMEM : 0;
}

static int merge_object(json_t *into, const json_t *layer, const struct rule *rules)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)layer, key, value)
		if (merge_value(into, key, value, rule_find(rules, key)) < 0)
			return -ENOMEM;
	return 0;
}

/* The default seccomp profile follows from the capabilities, so it changes with them:
 * a layer that sets others gets their profile, unless the spec or the layer has a
 * profile of its own. */
static int follow_capabilities(json_t *into, const json_t *layer)
{
	const json_t *bounding = cx_json_at(layer, "process.capabilities.bounding");
	const json_t *seccomp = cx_json_at(into, "linux.seccomp");
	json_t *profile;
	int same, r;

	if (!seccomp || !bounding)
		return 0;
	profile = cx_spec_seccomp_default(
		cx_json_at(into, "process.capabilities.bounding"));
	same = json_equal(profile, seccomp);
	json_decref(profile);
	if (!profile)
		return -ENOMEM;
	if (!same)
		return 0;
	profile = cx_spec_seccomp_default(bounding);
	r = json_object_set_new(cx_json_at(into, "linux"), "seccomp", profile);
	return r < 0 ? -ENOMEM : 0;
}

int cx_spec_merge_json(json_t *into, const json_t *layer)
{
	int r = follow_capabilities(into, layer);

	return r < 0 ? r : merge_object(into, layer, root_rules);
}
