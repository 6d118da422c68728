/* struct conex_limits -> the runtime-spec's linux.resources, which is what limits.c reads. */
#include "cgroup/internal.h"
#include "base/options.h"
#include "spec/spec.h"

#include <stdio.h>
#include <string.h>

enum { PERIOD_US = 100000, MIN_QUOTA_US = 1000 };       /* the kernel takes no quota below 1 ms */

static int set(json_t *root, const char *section, const char *key, json_t *value)
{
	json_t *object = json_object_get(root, section);

	if (!object) {
		object = json_object();
		if (json_object_set_new(root, section, object) < 0)
			object = NULL;
	}
	if (!object) {
		json_decref(value);
		return -ENOMEM;
	}
	return json_object_set_new(object, key, value) < 0 ? -ENOMEM : 0;
}

/* Bytes or a count; no limit is -1 there. */
static json_t *number(uint64_t n)
{
	return json_integer(n > INT64_MAX ? -1 : (json_int_t)n);
}

/* Without a word on swap there is none: a limit on memory alone would be one on how fast it swaps. */
static int set_memory(json_t *root, const struct conex_limits *l, conex_error **err)
{
	uint64_t both = l->memory == CONEX_UNLIMITED || l->swap > INT64_MAX - l->memory
		? CONEX_UNLIMITED : l->memory + l->swap;
	int r = 0;

	if (l->swap && l->swap != CONEX_UNLIMITED && !l->memory)
		return cx_refuse(err, -EINVAL, "limits.swap", NULL,
			"set limits.memory as well");
	if (l->memory > INT64_MAX && l->memory != CONEX_UNLIMITED)
		return cx_refuse(err, -ERANGE, "limits.memory", NULL,
			"write bytes, or CONEX_UNLIMITED");
	if (l->memory)
		r |= set(root, "memory", "limit", number(l->memory));
	if (l->memory || l->swap)
		r |= set(root, "memory", "swap",
			number(l->swap == CONEX_UNLIMITED ? CONEX_UNLIMITED : both));
	if (l->memory_low)
		r |= set(root, "memory", "reservation", number(l->memory_low));
	return r ? cx_fail_memory(err) : 0;
}

/* What the runtime-spec has no words for: files of v2 by name. */
static int set_v2_memory(json_t *root, const struct conex_limits *l, conex_error **err)
{
	const struct { const char *file; uint64_t value; } rows[] = {
		{ "memory.min", l->memory_min }, { "memory.high", l->memory_high },
	};
	int r = 0;

	for (size_t i = 0; i < CX_ARRAY_SIZE(rows); i++)
		if (rows[i].value)
			r |= set(root, "unified", rows[i].file, rows[i].value == CONEX_UNLIMITED
				? json_string("max") : json_sprintf("%llu", (unsigned long long)rows[i].value));
	return r ? cx_fail_memory(err) : 0;
}

static int set_cpu(json_t *root, const struct conex_limits *l, conex_error **err)
{
	char value[32];
	int r = 0;

	snprintf(value, sizeof value, "%g", l->cpus);
	if (!(l->cpus >= 0))
		return cx_refuse(err, -EINVAL, "limits.cpus", value,
			"write how many processors, as 1.5");
	if (l->cpu_weight > 10000)
		return cx_refuse(err, -ERANGE, "limits.cpu_weight", NULL,
			"write 1 to 10000; 100 is the default");
	if (l->cpu_shares && l->cpu_weight)
		return cx_refuse(err, -EINVAL, "limits.cpu_shares", NULL, "write it or cpu_weight, not both");
	if (l->cpu_shares && (l->cpu_shares < 2 || l->cpu_shares > 262144))
		return cx_refuse(err, -ERANGE, "limits.cpu_shares", NULL, "write 2 to 262144; 1024 is the default");
	if (l->cpus > 0) {
		double quota = l->cpus * PERIOD_US < MIN_QUOTA_US ? MIN_QUOTA_US : l->cpus * PERIOD_US;
		int lifted = quota > 1e15; /* (double)CONEX_UNLIMITED, or more than a machine has */

		r |= set(root, "cpu", "quota",
			json_integer(lifted ? -1 : (json_int_t)quota));
		r |= set(root, "cpu", "period", json_integer(PERIOD_US));
	}
	if (l->cpu_shares)
		r |= set(root, "cpu", "shares", json_integer(l->cpu_shares));
	if (l->cpu_weight)
		r |= set(root, "cpu", "shares",
			json_integer((json_int_t)cx_cgroup_shares_of_weight(l->cpu_weight)));
	if (l->cpuset && *l->cpuset)
		r |= set(root, "cpu", "cpus", json_string(l->cpuset));
	return r ? cx_fail_memory(err) : 0;
}

static int merge_oci(json_t *root, const char *oci, conex_error **err)
{
	json_t *layer = NULL;
	int r = cx_spec_parse_json(oci, "limits.oci", &layer, err);

	if (r == 0)
		cx_spec_normal_resources(layer);
	if (r == 0 && cx_spec_merge_json(root, layer) < 0)
		r = cx_fail_memory(err);
	json_decref(layer);
	return r;
}

int cx_cgroup_limits_json(const struct conex_limits *limits, json_t **ret,
	conex_error **err)
{
	json_t *root = json_object();
	int r = root ? 0 : cx_fail_memory(err);

	if (r == 0)
		r = set_memory(root, limits, err);
	if (r == 0)
		r = set_v2_memory(root, limits, err);
	if (r == 0)
		r = set_cpu(root, limits, err);
	if (r == 0 && limits->pids
	    && set(root, "pids", "limit", number(limits->pids)) < 0)
		r = cx_fail_memory(err);
	if (r == 0 && limits->oci)
		r = merge_oci(root, limits->oci, err);
	if (r < 0) {
		json_decref(root);
		return r;
	}
	*ret = root;
	return 0;
}
