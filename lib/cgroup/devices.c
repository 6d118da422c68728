/* linux.resources.devices: which devices may be opened and made. v1 has lists of them; v2 would take a program, which there isn't yet. */
#include "cgroup/internal.h"
#include "base/ids.h"

#include <stdio.h>
#include <string.h>

/* What every container gets on top of its own list, as runc and crun do it: making any node, and the
 * devices that the runtime-spec puts into each /dev. */
static const char *const always[] = {
	"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 5:0 rwm",
	"c 1:8 rwm", "c 1:9 rwm",
	"c 136:* rwm", "c 5:2 rwm",
};

static int bad(conex_error **err, size_t n, const json_t *rule, const char *mend)
{
	cx_autofree char *text = json_dumps(rule, JSON_COMPACT | JSON_ENCODE_ANY);
	char where[64];

	snprintf(where, sizeof where, "linux.resources.devices[%zu]", n);
	return cx_refuse(err, -EINVAL, where, text, "%s", mend);
}

/* A missing number, or -1, is any. */
static int number_of(const json_t *rule, const char *key, char *to, size_t size)
{
	const json_t *value = json_object_get(rule, key);
	json_int_t n = value ? json_integer_value(value) : -1;

	if ((value && !json_is_integer(value)) || n < -1 || n > UINT32_MAX)
		return -EINVAL;
	snprintf(to, size, n < 0 ? "*" : "%lld", (long long)n);
	return 0;
}

/* {"allow":false,"access":"rwm"}: everything, the first rule of each spec that is made in the field */
static int is_all(const json_t *rule)
{
	const char *type = json_string_value(json_object_get(rule, "type"));
	char major[16], minor[16];

	return (!type || !strcmp(type, "a"))
		&& number_of(rule, "major", major, sizeof major) == 0
		&& number_of(rule, "minor", minor, sizeof minor) == 0 && major[0] == '*'
		&& minor[0] == '*';
}

static int add_rule(struct cx_cgroup_limits *l, const struct cx_cgroups *g,
	const struct cx_hierarchy *h, size_t n, const json_t *rule, conex_error **err)
{
	const char *type = json_string_value(json_object_get(rule, "type"));
	const char *access = json_string_value(json_object_get(rule, "access"));
	const char *file = json_is_true(json_object_get(rule, "allow")) ? "devices.allow"
		: "devices.deny";
	char major[16], minor[16];
	int r;

	if (!json_is_boolean(json_object_get(rule, "allow")))
		return bad(err, n, rule, "\"allow\" must be true or false");
	if (access && (!*access || access[strspn(access, "rwm")]))
		return bad(err, n, rule, "\"access\" is made of r, w and m");
	if (type && strcmp(type, "a") && strcmp(type, "b") && strcmp(type, "c")
	    && strcmp(type, "u"))
		return bad(err, n, rule, "\"type\" is a, b, c or u");
	if (number_of(rule, "major", major, sizeof major) < 0
	    || number_of(rule, "minor", minor, sizeof minor) < 0)
		return bad(err, n, rule,
			"\"major\" and \"minor\" are numbers of devices");
	if (!type || *type == 'a') /* for v1 "a" is everything, whatever else the line says */
		r = is_all(rule) ? cx_cgroup_limits_add(l, g, h, "devices", file, "a")
			: bad(err, n, rule, "give the \"type\", b or c: v1 can't name the devices of both");
	else
		r = cx_cgroup_limits_add(l, g, h, "devices", file, "%s %s:%s %s",
			*type == 'u' ? "c" : type, major, minor,
			access ? access : "rwm");
	return r == -ENOMEM ? cx_fail_memory(err) : r;
}

/* Without v1's controller: only the rule that all specs have is let through, and is NOT enforced
 * yet. Devices are still kept away by the bounding set's lack of CAP_MKNOD and by nodev mounts. In a user
 * namespace the kernel makes none, nor lets one be opened that was made by others on a mount of its own: rules
 * have nothing to add to what the spec itself binds. */
static int check_default(const json_t *devices, conex_error **err)
{
	size_t n;
	json_t *rule;

	if (cx_ids_rootless() || cx_ids_nested())
		return 0;
	json_array_foreach(devices, n, rule)
		if (!is_all(rule) || json_is_true(json_object_get(rule, "allow")))
			return cx_refuse(err, -EOPNOTSUPP, "linux.resources.devices",
				NULL,
				"only [{\"allow\": false, \"access\": \"rwm\"}] is taken without v1's devices controller, for now");
	return 0;
}

int cx_cgroup_limits_devices(struct cx_cgroup_limits *l, const struct cx_cgroups *g,
	const json_t *devices, conex_error **err)
{
	const struct cx_hierarchy *h = cx_cgroups_with(g, "devices");
	size_t n;
	json_t *rule;
	int r = 0;

	if (!json_array_size(devices))
		return 0;
	if (!h)
		return check_default(devices, err);
	json_array_foreach(devices, n, rule)
		if ((r = add_rule(l, g, h, n, rule, err)) < 0)
			return r;
	for (n = 0; n < CX_ARRAY_SIZE(always); n++)
		if (cx_cgroup_limits_add(l, g, h, "devices", "devices.allow", "%s",
				always[n]) < 0)
			return cx_fail_memory(err);
	return 0;
}
