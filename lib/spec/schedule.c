/* The meaning of a spec's scheduler, processor lists, personality and memory policy: what the
 * kernel would answer with a bare EINVAL is refused here by its name. */
#include "spec/check.h"
#include "base/numbers.h"

#include <stdio.h>

enum { MASK_SIZE = 1024 };      /* as security/schedule.c has it */

static int check_numbers(const json_t *object, const char *key, const char *where,
	conex_error **err)
{
	const char *list = cx_json_text(object, key);
	int r = list ? cx_numbers_read(list, NULL, MASK_SIZE) : 0;

	return r >= 0 ? 0 : cx_spec_bad(err, json_object_get(object, key),
		r == -ERANGE ? "numbers below 8192" : "a list is written \"0-3,7\"",
		"%s.%s", where, key);
}

static int check_realtime(const json_t *s, int realtime, conex_error **err)
{
	int64_t priority = cx_json_int(s, "priority", 0);

	if (realtime && !priority)
		return cx_spec_bad(err, cx_json_at(s, "priority"),
			"SCHED_FIFO and SCHED_RR need a priority: 1 to 99",
			"process.scheduler.priority");
	if (!realtime && priority)
		return cx_spec_bad(err, cx_json_at(s, "priority"),
			"only SCHED_FIFO and SCHED_RR have one: remove it",
			"process.scheduler.priority");
	return 0;
}

/* sched(7): runtime <= deadline <= period; a period of 0 is the deadline. */
static int check_deadline(const json_t *s, int is_deadline, conex_error **err)
{
	static const char *const fields[] = { "runtime", "deadline", "period" };
	int64_t runtime = cx_json_int(s, "runtime", 0);
	int64_t deadline = cx_json_int(s, "deadline", 0);
	int64_t period = cx_json_int(s, "period", 0);

	for (size_t i = 0; !is_deadline && i < CX_ARRAY_SIZE(fields); i++)
		if (cx_json_int(s, fields[i], 0))
			return cx_spec_bad(err, cx_json_at(s, fields[i]),
				"only SCHED_DEADLINE has one: remove it",
				"process.scheduler.%s", fields[i]);
	if (is_deadline && !runtime)
		return cx_spec_bad(err, cx_json_at(s, "runtime"),
			"SCHED_DEADLINE needs a runtime, in nanoseconds",
			"process.scheduler.runtime");
	if (is_deadline && deadline < runtime)
		return cx_spec_bad(err, cx_json_at(s, "deadline"),
			"runtime <= deadline <= period",
			"process.scheduler.deadline");
	if (is_deadline && period && period < deadline)
		return cx_spec_bad(err, cx_json_at(s, "period"),
			"runtime <= deadline <= period", "process.scheduler.period");
	return 0;
}

static int check_scheduler(const json_t *root, conex_error **err)
{
	const json_t *s = cx_json_at(root, "process.scheduler");
	const char *policy = cx_json_text(s, "policy");
	int r;

	if (!s)
		return 0;
	if (!strcmp(policy, "SCHED_ISO"))
		return cx_spec_bad(err, cx_json_at(s, "policy"),
			"Linux has reserved this name but has no such policy: "
			"use SCHED_OTHER or SCHED_RR", "process.scheduler.policy");
	r = check_realtime(s, !strcmp(policy, "SCHED_FIFO") || !strcmp(policy, "SCHED_RR"), err);
	return r < 0 ? r : check_deadline(s, !strcmp(policy, "SCHED_DEADLINE"), err);
}

static int check_affinity(const json_t *root, conex_error **err)
{
	const json_t *affinity = cx_json_at(root, "process.execCPUAffinity");
	int r = check_numbers(affinity, "initial", "process.execCPUAffinity", err);

	return r < 0 ? r : check_numbers(affinity, "final", "process.execCPUAffinity", err);
}

static int check_personality(const json_t *root, conex_error **err)
{
	const json_t *flags = cx_json_at(root, "linux.personality.flags");

	return !json_array_size(flags) ? 0 : cx_spec_bad(err, flags,
		"the runtime-spec knows no flags yet: remove them",
		"linux.personality.flags");
}

static int check_memory_policy(const json_t *root, conex_error **err)
{
	const json_t *policy = cx_json_at(root, "linux.memoryPolicy");
	const char *mode = cx_json_text(policy, "mode"), *nodes = cx_json_text(policy, "nodes");
	int r = check_numbers(policy, "nodes", "linux.memoryPolicy", err);
	int nodeless;

	if (!policy || r < 0)
		return r;
	nodeless = !strcmp(mode, "MPOL_DEFAULT") || !strcmp(mode, "MPOL_LOCAL");
	if (nodeless && nodes && *nodes)
		return cx_spec_bad(err, cx_json_at(policy, "nodes"),
			"MPOL_DEFAULT and MPOL_LOCAL have no nodes: remove them",
			"linux.memoryPolicy.nodes");
	if (!nodeless && strcmp(mode, "MPOL_PREFERRED") && (!nodes || !*nodes))
		return cx_spec_bad(err, cx_json_at(policy, "nodes"),
			"name the memory nodes that this mode is for: \"0-1\"",
			"linux.memoryPolicy.nodes");
	return 0;
}

int cx_spec_check_schedule(const json_t *root, conex_error **err)
{
	int r = check_scheduler(root, err);

	if (r == 0)
		r = check_affinity(root, err);
	if (r == 0)
		r = check_personality(root, err);
	return r < 0 ? r : check_memory_policy(root, err);
}
