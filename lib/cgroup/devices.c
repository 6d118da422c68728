/* linux.resources.devices: which devices may be opened and made. v1 has lists of them, v2 takes a program
 * (program.c). */
#include "cgroup/internal.h"
#include "base/ids.h"

#include <stdio.h>
#include <string.h>

/* What every container gets on top of its own list, as runc and crun do it: making any node, and the
 * devices that the runtime-spec puts into each /dev. */
static const struct cx_device_rule always[] = {
	{ 'c', CX_DEVICE_MKNOD, 1, -1, -1 }, { 'b', CX_DEVICE_MKNOD, 1, -1, -1 },
	{ 'c', CX_DEVICE_ANY, 1, 1, 3 }, { 'c', CX_DEVICE_ANY, 1, 1, 5 }, { 'c', CX_DEVICE_ANY, 1, 1, 7 },
	{ 'c', CX_DEVICE_ANY, 1, 5, 0 }, { 'c', CX_DEVICE_ANY, 1, 1, 8 }, { 'c', CX_DEVICE_ANY, 1, 1, 9 },
	{ 'c', CX_DEVICE_ANY, 1, 136, -1 }, { 'c', CX_DEVICE_ANY, 1, 5, 2 },
};

enum { FEW = 200 };             /* so many any kernel can check */

static int bad(conex_error **err, size_t n, const json_t *rule, int code, const char *mend)
{
	cx_autofree char *text = json_dumps(rule, JSON_COMPACT | JSON_ENCODE_ANY);
	char where[64];

	snprintf(where, sizeof where, "linux.resources.devices[%zu]", n);
	return cx_refuse(err, code, where, text, "%s", mend);
}

/* A missing number, or -1, is any. */
static int number_of(const json_t *rule, const char *key, int64_t *ret)
{
	const json_t *value = json_object_get(rule, key);
	json_int_t n = value ? json_integer_value(value) : -1;

	if ((value && !json_is_integer(value)) || n < -1 || n > UINT32_MAX)
		return -EINVAL;
	*ret = n;
	return 0;
}

static int is_any(const struct cx_device_rule *r)
{
	return r->type == 'a' && r->major < 0 && r->minor < 0;
}

/* The first rule of each spec that is made in the field: {"allow": false, "access": "rwm"} */
static int is_all(const struct cx_device_rule *r)
{
	return is_any(r) && r->access == CX_DEVICE_ANY;
}

static int read_rule(const json_t *rule, size_t n, struct cx_device_rule *r, conex_error **err)
{
	const char *type = json_string_value(json_object_get(rule, "type"));
	const char *access = json_string_value(json_object_get(rule, "access"));

	if (!json_is_boolean(json_object_get(rule, "allow")))
		return bad(err, n, rule, -EINVAL, "\"allow\" must be true or false");
	if (access && (!*access || access[strspn(access, "rwm")]))
		return bad(err, n, rule, -EINVAL, "\"access\" is made of r, w and m");
	if (type && strcmp(type, "a") && strcmp(type, "b") && strcmp(type, "c")
	    && strcmp(type, "u"))
		return bad(err, n, rule, -EINVAL, "\"type\" is a, b, c or u");
	if (number_of(rule, "major", &r->major) < 0 || number_of(rule, "minor", &r->minor) < 0)
		return bad(err, n, rule, -EINVAL, "\"major\" and \"minor\" are numbers of devices");
	r->type = !type ? 'a' : *type == 'u' ? 'c' : *type;
	r->allow = json_is_true(json_object_get(rule, "allow"));
	r->access = CX_DEVICE_ANY;
	if (access)
		r->access = (uint8_t)((strchr(access, 'm') ? CX_DEVICE_MKNOD : 0)
			| (strchr(access, 'r') ? CX_DEVICE_READ : 0)
			| (strchr(access, 'w') ? CX_DEVICE_WRITE : 0));
	return 0;
}

/* ---- v1 ---- */

static int same(int64_t a, int64_t b)
{
	return a == b || a < 0 || b < 0;
}

static int overlap(const struct cx_device_rule *a, const struct cx_device_rule *b)
{
	return (a->type == b->type || a->type == 'a' || b->type == 'a') && same(a->major, b->major)
		&& same(a->minor, b->minor) && a->access & b->access;
}

/* v1 keeps a default and exceptions to it, and takes an exception back only in the words in which it was made:
 * one device out of a range (or the other way) it would leave as it was, in silence. */
static int v1_can(const struct cx_device_rule *rules, size_t n)
{
	const struct cx_device_rule *r = &rules[n], *e = r;
	int otherwise = 0;

	if (is_all(r))
		return 1;
	while (e > rules && !is_all(e - 1))
		e--;
	if (e > rules)
		otherwise = e[-1].allow;
	for (; r->allow == otherwise && e < r; e++)
		if (e->allow != otherwise && overlap(e, r)
		    && (e->major != r->major || e->minor != r->minor))
			return 0;
	return 1;
}

static int v1_write(struct cx_cgroup_limits *l, const struct cx_cgroups *g, const struct cx_hierarchy *h,
	const struct cx_device_rule *r, char type)
{
	char major[16] = "*", minor[16] = "*";

	if (r->major >= 0)
		snprintf(major, sizeof major, "%lld", (long long)r->major);
	if (r->minor >= 0)
		snprintf(minor, sizeof minor, "%lld", (long long)r->minor);
	return cx_cgroup_limits_add(l, g, h, "devices", r->allow ? "devices.allow" : "devices.deny",
		"%c %s:%s %s%s%s", type, major, minor, r->access & CX_DEVICE_READ ? "r" : "",
		r->access & CX_DEVICE_WRITE ? "w" : "", r->access & CX_DEVICE_MKNOD ? "m" : "");
}

/* For v1 "a" is everything, whatever else the line says: what is less becomes one line for each type. */
static int v1_add(struct cx_cgroup_limits *l, const struct cx_cgroups *g, const struct cx_hierarchy *h,
	const struct cx_device_rule *r)
{
	int c;

	if (is_all(r))
		return cx_cgroup_limits_add(l, g, h, "devices", r->allow ? "devices.allow" : "devices.deny", "a");
	if (r->type != 'a')
		return v1_write(l, g, h, r, r->type);
	c = v1_write(l, g, h, r, 'c');
	return c < 0 ? c : v1_write(l, g, h, r, 'b');
}

static int v1_rules(struct cx_cgroup_limits *l, const struct cx_cgroups *g, const struct cx_hierarchy *h,
	const struct cx_device_rule *rules, size_t count, const json_t *devices, conex_error **err)
{
	static const struct cx_device_rule nothing = { 'a', CX_DEVICE_ANY, 0, -1, -1 };
	size_t own = count - CX_ARRAY_SIZE(always);

	for (size_t n = 1; n < own; n++)
		if (!v1_can(rules, n))
			return bad(err, n, json_array_get(devices, n), -EOPNOTSUPP,
				"v1 takes back a rule as a whole only: name the devices one by one, or leave "
				"the wider rule out");
	if (!is_all(&rules[0]) && v1_add(l, g, h, &nothing) < 0)
		return cx_fail_memory(err);
	for (size_t n = 0; n < count; n++)
		if (v1_add(l, g, h, &rules[n]) < 0)
			return cx_fail_memory(err);
	return 0;
}

/* ---- v2 ---- */

/* How long a program may be is for the verifier to say, by how many ways there are through it. */
static int v2_try(const struct cx_device_program *p, conex_error **err)
{
	cx_autoclose int fd = cx_device_program_load(p);

	return fd >= 0 ? 0 : cx_refuse(err, fd, "linux.resources.devices", NULL, "the kernel can't check so long a "
		"list: write fewer rules");
}

/* In a user namespace the kernel makes no device node, nor lets one be opened that was made by others on a mount of
 * its own: rules, for which such a caller has no right, have nothing to add to what the spec itself binds. */
static int v2_rules(struct cx_cgroup_limits *l, const struct cx_cgroups *g, const struct cx_device_rule *rules,
	size_t count, conex_error **err)
{
	int r;

	if (cx_ids_rootless() || cx_ids_nested())
		return 0;
	r = cx_device_program_possible(g);
	if (r == -ENOMEM)
		return cx_fail_memory(err);
	if (r == -EPERM || r == -EACCES)
		return cx_refuse(err, -EOPNOTSUPP, "linux.resources.devices", NULL,
			"on cgroup v2 this takes bpf(2), for which the caller has no right: CAP_BPF and "
			"CAP_NET_ADMIN, or CAP_SYS_ADMIN");
	if (r < 0)
		return cx_refuse(err, -EOPNOTSUPP, "linux.resources.devices", NULL,
			"on cgroup v2 this takes a kernel with CONFIG_CGROUP_BPF: leave it out");
	if (cx_device_program_build(rules, count, &l->devices) < 0)
		return cx_fail_memory(err);
	return count > FEW ? v2_try(&l->devices, err) : 0;
}

/* Neither v1's controller nor v2: only what all specs have is let through; it isn't enforced. Devices are kept
 * away by the bounding set's lack of CAP_MKNOD and by nodev mounts. */
static int no_rules(const struct cx_device_rule *rules, size_t own, conex_error **err)
{
	if (cx_ids_rootless() || cx_ids_nested())
		return 0;
	for (size_t n = 0; n < own; n++)
		if (!is_any(&rules[n]) || rules[n].allow)
			return cx_refuse(err, -EOPNOTSUPP, "linux.resources.devices", NULL,
				"no \"devices\" controller and no v2 hierarchy may be used here: only "
				"[{\"allow\": false, \"access\": \"rwm\"}] is taken");
	return 0;
}

int cx_cgroup_limits_devices(struct cx_cgroup_limits *l, const struct cx_cgroups *g,
	const json_t *devices, conex_error **err)
{
	const struct cx_hierarchy *v1 = cx_cgroups_with(g, "devices");
	cx_autofree struct cx_device_rule *rules = NULL;
	size_t own = json_array_size(devices), count = own + CX_ARRAY_SIZE(always), n;
	json_t *rule;
	int r;

	if (!own)
		return 0;
	if (!(rules = calloc(count, sizeof *rules)))
		return cx_fail_memory(err);
	json_array_foreach(devices, n, rule)
		if ((r = read_rule(rule, n, &rules[n], err)) < 0)
			return r;
	memcpy(rules + own, always, sizeof always);
	if (v1)
		return v1_rules(l, g, v1, rules, count, devices, err);
	return cx_cgroups_v2(g) ? v2_rules(l, g, rules, count, err) : no_rules(rules, own, err);
}
