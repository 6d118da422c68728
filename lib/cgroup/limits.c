/* linux.resources -> a list of writes, made once a plan; apply.c plays it at each launch and at an update. */
#include "cgroup/internal.h"
#include "base/kernel.h"
#include "spec/spec.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int cx_cgroup_limits_add(struct cx_cgroup_limits *l, const struct cx_cgroups *g,
	const struct cx_hierarchy *h, const char *field, const char *file,
		const char *format, ...)
{
	struct cx_cgroup_write *w;
	va_list ap;
	int n;

	if (l->count == l->capacity) {
		size_t capacity = l->capacity ? l->capacity * 2 : 16;

		if (!(w = realloc(l->writes, capacity * sizeof *w)))
			return -ENOMEM;
		l->writes = w;
		l->capacity = capacity;
	}
	w = &l->writes[l->count];
	*w = (struct cx_cgroup_write){ .hierarchy = (uint16_t)(h - g->h), .file = file, .field = field };
	va_start(ap, format);
	n = vasprintf(&w->text, format, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	l->count++;
	return 0;
}

void cx_cgroup_limits_free(struct cx_cgroup_limits *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->count; i++) {
		free(l->writes[i].text);
		free(l->writes[i].name);
	}
	free(l->devices.insns);
	free(l->writes);
	free(l);
}

/* What is in the works: the list being made, and where it reads from. */
struct work {
	struct cx_cgroup_limits *l;
	const struct cx_cgroups *g;
	const json_t *resources;
	conex_error **err;
};

enum kind {
	NUMBER,         /* as it is; on v2 a negative one is "max" */
	COUNT,          /* the same, and 0 is "max" too */
	TRUTH,
	TEXT, SHARES,         /* v2: converted to a weight */
	SWAP,           /* v1: memory and swap; v2: swap alone */
	QUOTA,          /* v2: with the period, in one file */
	PERIOD,
};

/* In the order of writing. A file that is NULL: that version has no such thing. */
static const struct knob {
	const char *section, *key, *controller, *v1, *v2;
	enum kind kind;
} knobs[] = {
	{ "memory", "limit", "memory", "memory.limit_in_bytes", "memory.max", NUMBER },
	{ "memory", "swap", "memory", "memory.memsw.limit_in_bytes", "memory.swap.max",
		SWAP },
	{ "memory", "reservation", "memory", "memory.soft_limit_in_bytes", "memory.low",
		NUMBER },
	{ "memory", "swappiness", "memory", "memory.swappiness", NULL, NUMBER },
	{ "memory", "disableOOMKiller", "memory", "memory.oom_control", NULL, TRUTH },
	{ "cpu", "shares", "cpu", "cpu.shares", "cpu.weight", SHARES },
	{ "cpu", "period", "cpu", "cpu.cfs_period_us", "cpu.max", PERIOD },
	{ "cpu", "quota", "cpu", "cpu.cfs_quota_us", "cpu.max", QUOTA },
	{ "cpu", "burst", "cpu", "cpu.cfs_burst_us", "cpu.max.burst", NUMBER },
	{ "cpu", "idle", "cpu", "cpu.idle", "cpu.idle", NUMBER },
	{ "cpu", "realtimePeriod", "cpu", "cpu.rt_period_us", NULL, NUMBER },
	{ "cpu", "realtimeRuntime", "cpu", "cpu.rt_runtime_us", NULL, NUMBER },
	{ "cpu", "cpus", "cpuset", "cpuset.cpus", "cpuset.cpus", TEXT },
	{ "cpu", "mems", "cpuset", "cpuset.mems", "cpuset.mems", TEXT },
	{ "pids", "limit", "pids", "pids.max", "pids.max", COUNT },
};

static int refuse(const struct work *w, int code, const char *section, const char *key,
	const json_t *value, const char *mend)
{
	cx_autofree char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT)
		: NULL;
	char where[128];

	snprintf(where, sizeof where, "linux.resources.%s%s%s", section, *key ? "." : "",
		key);
	return cx_refuse(w->err, code, where, text, "%s", mend);
}

static int refuse_missing(const struct work *w, const struct knob *k, const json_t *value)
{
	char mend[256];

	if (!w->g->count)
		snprintf(mend, sizeof mend,
			"no cgroup may be made here: run as root, or in a delegated "
			"cgroup (systemd-run --user --scope -p Delegate=yes)");
	else if (w->g->inner)
		snprintf(mend, sizeof mend,
			"v2 gives limits only below a cgroup without processes, and \"%s\" would be "
			"in one that has some: let the host live in a leaf of the delegated subtree "
			"(DelegateSubgroup=), or name another conex_options.cgroup",
			w->g->parent);
	else
		snprintf(mend, sizeof mend,
			"the kernel has no \"%s\" controller in any hierarchy that may be "
			"used here (/proc/cgroups)", k->controller);
	return refuse(w, -EOPNOTSUPP, k->section, k->key, value, mend);
}

static const json_t *at(const struct work *w, const char *section, const char *key)
{
	return json_object_get(json_object_get(w->resources, section), key);
}

static int add_number(const struct work *w, const struct cx_hierarchy *h,
	const struct knob *k, json_int_t n)
{
	const char *file = h->driver->v2 ? k->v2 : k->v1;

	if ((h->driver->v2 || k->kind == COUNT)
	    && (n < 0 || (n == 0 && k->kind == COUNT)))
		return cx_cgroup_limits_add(w->l, w->g, h, k->key, file, "max");
	return cx_cgroup_limits_add(w->l, w->g, h, k->key, file, "%lld", (long long)n);
}

/* The runtime-spec's swap is memory and swap together, as v1 has it. A machine without accounting of
 * swap lacks the file, and one without swap doesn't need it: fine, when no swap was asked for. */
static int add_swap(const struct work *w, const struct cx_hierarchy *h,
	const struct knob *k, json_int_t n)
{
	const json_t *limit = at(w, "memory", "limit");
	json_int_t memory = limit ? json_integer_value(limit) : 0;
	int r;

	if (n >= 0 && (memory < 0 || (memory > 0 && n < memory)))
		return refuse(w, -EINVAL, k->section, k->key, at(w, k->section, k->key),
			"it counts memory and swap together, so it can't be less than memory.limit; -1 is no limit");
	if (h->driver->v2 && n >= 0 && memory == 0)
		return refuse(w, -EINVAL, k->section, k->key, at(w, k->section, k->key),
			"give memory.limit as well: v2 counts swap alone, which is the difference");
	r = add_number(w, h, k, h->driver->v2 && n >= 0 ? n - memory : n);
	if (r == 0)
		w->l->writes[w->l->count - 1].optional = n < 0 || n == memory;
	return r;
}

/* v2 has quota and period in one file. Of each that isn't given the kernel keeps what it was: a quota may stand
 * alone, before a period stands the old quota, which only apply.c knows. */
static int add_quota(const struct work *w, const struct cx_hierarchy *h,
	const struct knob *k, json_int_t n)
{
	long long period = json_integer_value(at(w, "cpu", "period"));
	char quota[32], rest[32] = "";
	int r;

	if (!h->driver->v2)
		return k->kind == PERIOD && n == 0 ? 0
			: add_number(w, h, k, k->kind == QUOTA && n <= 0 ? -1 : n);
	if (k->kind == PERIOD) { /* with a quota, that row writes both */
		if (at(w, "cpu", "quota") || n == 0)
			return 0;
		r = cx_cgroup_limits_add(w->l, w->g, h, k->key, k->v2, "%lld", period);
		if (r == 0)
			w->l->writes[w->l->count - 1].second = 1;
		return r;
	}
	snprintf(quota, sizeof quota, n > 0 ? "%lld" : "max", (long long)n);
	if (period > 0)
		snprintf(rest, sizeof rest, " %lld", period);
	return cx_cgroup_limits_add(w->l, w->g, h, k->key, k->v2, "%s%s", quota, rest);
}

static int add_text(const struct work *w, const struct cx_hierarchy *h,
	const struct knob *k, const char *text)
{
	if (!*text)
		return 0;
	if (text[strspn(text, "0123456789,-")])
		return refuse(w, -EINVAL, k->section, k->key, at(w, k->section, k->key),
			"write a list, as \"0-3,8\"");
	return cx_cgroup_limits_add(w->l, w->g, h, k->key, h->driver->v2 ? k->v2 : k->v1,
		"%s", text);
}

/* What asks for nothing needs no controller: a default spec must run where there are no cgroups. */
static int asks_nothing(const struct knob *k, const json_t *value)
{
	if (k->kind == TEXT)
		return !*json_string_value(value);
	if (k->kind == TRUTH)
		return !json_is_true(value);
	return json_integer_value(value) == 0 && strcmp(k->key, "swappiness");
}

static int add_value(const struct work *w, const struct cx_hierarchy *h,
	const struct knob *k, const json_t *value)
{
	json_int_t n = json_integer_value(value);

	switch (k->kind) {
	case TEXT:
		return add_text(w, h, k, json_string_value(value));
	case TRUTH:
		return cx_cgroup_limits_add(w->l, w->g, h, k->key, k->v1, "%d",
			json_is_true(value));
	case SHARES:
		if (n == 0) /* the runtime-spec's "not set" */
			return 0;
		if (h->driver->v2)
			n = (json_int_t)cx_cgroup_weight_of_shares((uint64_t)n);
		return add_number(w, h, k, n);
	case SWAP:
		return n == 0 ? 0 : add_swap(w, h, k, n);
	case QUOTA:
	case PERIOD:
		return add_quota(w, h, k, n);
	default:
		if (!strcmp(k->section, "memory") && asks_nothing(k, value))
			return 0;
		return add_number(w, h, k, n);
	}
}

/* The runtime-spec's checkBeforeUpdate: v2 takes any limit and lets the OOM killer make it true. */
static void add_check(const struct work *w, const struct cx_hierarchy *h, const struct knob *k,
	const json_t *value)
{
	if (json_is_true(at(w, "memory", "checkBeforeUpdate")) && !strcmp(k->section, "memory")
	    && !strcmp(k->key, "limit") && json_integer_value(value) > 0)
		w->l->writes[w->l->count - 1].used = h->driver->v2 ? "memory.current" : "memory.usage_in_bytes";
}

static int check_type(const struct work *w, const struct knob *k, const json_t *value)
{
	const char *mend = NULL;

	if (k->kind == TEXT)
		mend = json_is_string(value) ? NULL : "write a text";
	else if (k->kind == TRUTH)
		mend = json_is_boolean(value) ? NULL : "write true or false";
	else if (!json_is_integer(value))
		mend = "write a whole number";
	return mend ? refuse(w, -EINVAL, k->section, k->key, value, mend) : 0;
}

static int add_knob(const struct work *w, const struct knob *k)
{
	const struct cx_hierarchy *h = cx_cgroups_with(w->g, k->controller);
	const json_t *value = at(w, k->section, k->key);
	int r;

	if (!value || json_is_null(value))
		return 0;
	if ((r = check_type(w, k, value)) < 0)
		return r;
	if (k->kind == SHARES && json_integer_value(value) < 0)
		return refuse(w, -EINVAL, k->section, k->key, value,
			"shares go from 2 to 262144");
	if (!h)
		return asks_nothing(k, value) ? 0 : refuse_missing(w, k, value);
	if (!(h->driver->v2 ? k->v2 : k->v1))
		return asks_nothing(k, value) ? 0 : refuse(w, -EOPNOTSUPP, k->section, k->key,
			value, "cgroup v2 has no such thing: leave it out");
	if (k->kind == SHARES && json_integer_value(at(w, "cpu", "idle")) == 1)
		return 0; /* the kernel takes no weight for what is idle (EINVAL) */
	r = add_value(w, h, k, value);
	if (r == 0)
		add_check(w, h, k, value);
	return r == -ENOMEM ? cx_fail_memory(w->err) : r;
}

/* A file of v2, and none that moves or kills processes, which is no limit and ours to do. */
static int check_unified(const struct work *w, const char *key, const json_t *value)
{
	static const char *const ours[] = { "cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.type" };
	const struct cx_hierarchy *h = cx_cgroups_v2(w->g);
	char controller[32] = "";

	for (size_t i = 0; i < CX_ARRAY_SIZE(ours); i++)
		if (!strcmp(key, ours[i]))
			return refuse(w, -EINVAL, "unified", key, value, "this file is no limit: leave it out");
	if (!json_is_string(value) || !*json_string_value(value) || strchr(key, '/') || strstr(key, "..")
	    || !strchr(key, '.') || key[0] == '.')
		return refuse(w, -EINVAL, "unified", key, value,
			"write a file name of cgroup v2, without \"/\" and \"..\", and a text");
	if (!h)
		return refuse(w, -EOPNOTSUPP, "unified", key, value,
			"these are files of cgroup v2, and no v2 hierarchy may be used here: leave it out");
	snprintf(controller, sizeof controller, "%.*s", (int)strcspn(key, "."), key);
	if (strcmp(controller, "cgroup") && !cx_hierarchy_has(h, controller))
		return refuse(w, -EOPNOTSUPP, "unified", key, value,
			"this controller is not in a v2 hierarchy that may be used here");
	return 0;
}

/* "unified": v2's files by name. The runtime-spec wants an error where there is no v2. */
static int add_unified(const struct work *w)
{
	const struct cx_hierarchy *h = cx_cgroups_v2(w->g);
	json_t *unified = json_object_get(w->resources, "unified"), *value;
	struct cx_cgroup_write *last;
	const char *key;
	int r;

	if (unified && !json_is_object(unified))
		return refuse(w, -EINVAL, "unified", "", unified,
			"write an object of file names and texts");
	json_object_foreach(unified, key, value) {
		if ((r = check_unified(w, key, value)) < 0)
			return r;
		if (cx_cgroup_limits_add(w->l, w->g, h, "unified", NULL, "%s",
				json_string_value(value)) < 0)
			return cx_fail_memory(w->err);
		last = &w->l->writes[w->l->count - 1];
		if (!(last->name = strdup(key)))
			return cx_fail_memory(w->err);
		last->file = last->name;
	}
	return 0;
}

int cx_cgroup_limits_compile(const struct cx_cgroups *g, const json_t *resources,
	struct cx_cgroup_limits **ret, conex_error **err)
{
	struct work w = { calloc(1, sizeof *w.l), g, resources, err };
	int r = w.l ? 0 : cx_fail_memory(err);

	if (r == 0 && resources && !json_is_null(resources)) {
		for (size_t i = 0; r == 0 && i < CX_ARRAY_SIZE(knobs); i++)
			r = add_knob(&w, &knobs[i]);
		if (r == 0)
			r = add_unified(&w);
		if (r == 0)
			r = cx_cgroup_limits_lists(w.l, g, resources, err);
		if (r == 0)
			r = cx_cgroup_limits_devices(w.l, g,
				json_object_get(resources, "devices"), err);
	}
	if (r < 0) {
		cx_cgroup_limits_free(w.l);
		return r;
	}
	*ret = w.l;
	return 0;
}
