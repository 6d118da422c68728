/* The meaning of a spec's resource limits; what this machine can enforce is known to
 * cgroup/. */
#include "spec/check.h"
#include "base/numbers.h"

#define PIDS_MAX 4194304        /* PID_MAX_LIMIT: the kernel refuses a larger pids.max */

/* Sizes of memory: -1 (unlimited) or more than nothing. */
static int check_memory(const json_t *resources, conex_error **err)
{
	static const char *const fields[] = { "limit", "reservation", "swap" };
	const json_t *memory = cx_json_at(resources, "memory");
	int64_t limit = cx_json_int(memory, "limit", -1);
	int64_t swap = cx_json_int(memory, "swap", -1);

	for (size_t i = 0; i < CX_ARRAY_SIZE(fields); i++)
		if (cx_json_int(memory, fields[i], -1) == 0)
			return cx_spec_bad(err, json_object_get(memory, fields[i]),
				"bytes above 0, or -1 for no limit",
				"linux.resources.memory.%s", fields[i]);
	if (swap > 0 && limit < 0)
		return cx_spec_bad(err, json_object_get(memory, "swap"),
			"a limit of memory and swap together needs one of memory: "
			"add linux.resources.memory.limit",
			"linux.resources.memory.swap");
	if (swap > 0 && swap < limit)
		return cx_spec_bad(err, json_object_get(memory, "swap"),
			"memory and swap together can't be below memory.limit",
			"linux.resources.memory.swap");
	return 0;
}

static int check_cpu(const json_t *resources, conex_error **err)
{
	static const char *const lists[] = { "cpus", "mems" };
	const json_t *cpu = cx_json_at(resources, "cpu");
	int64_t quota = cx_json_int(cpu, "quota", -1);
	int64_t burst = cx_json_int(cpu, "burst", 0);

	if (quota != -1 && quota < 1000)
		return cx_spec_bad(err, json_object_get(cpu, "quota"),
			"microseconds from 1000, or -1 for no limit",
			"linux.resources.cpu.quota");
	if (quota != -1 && burst > quota)
		return cx_spec_bad(err, json_object_get(cpu, "burst"),
			"it can't be above cpu.quota", "linux.resources.cpu.burst");
	for (size_t i = 0; i < CX_ARRAY_SIZE(lists); i++) {
		const char *list = cx_json_text(cpu, lists[i]);

		if (list && cx_numbers_read(list, NULL, 8192) < 0)
			return cx_spec_bad(err, json_object_get(cpu, lists[i]),
				"a list is written \"0-3,7\"", "linux.resources.cpu.%s",
				lists[i]);
	}
	return 0;
}

static int check_pids(const json_t *resources, conex_error **err)
{
	const json_t *limit = cx_json_at(resources, "pids.limit");

	if (limit
		&& (json_integer_value(limit) == 0
			|| json_integer_value(limit) > PIDS_MAX))
		return cx_spec_bad(err, limit, "from 1 to 4194304, or -1 for no limit",
			"linux.resources.pids.limit");
	return 0;
}

static int check_devices(const json_t *resources, conex_error **err)
{
	json_t *rule;
	size_t i;

	json_array_foreach(cx_json_at(resources, "devices"), i, rule) {
		const char *access = cx_json_text(rule, "access");

		if (access && access[strspn(access, "rwm")])
			return cx_spec_bad(err, json_object_get(rule, "access"),
				"some of r (read), w (write), m (mknod): \"rwm\"",
				"linux.resources.devices[%zu].access", i);
	}
	return 0;
}

int cx_spec_check_resources(const json_t *root, conex_error **err)
{
	static int (*const checks[])(const json_t *, conex_error **) = {
		check_memory, check_cpu, check_pids, check_devices,
	};
	const json_t *resources = cx_json_at(root, "linux.resources");
	int r = 0;

	for (size_t i = 0; r == 0 && i < CX_ARRAY_SIZE(checks); i++)
		r = checks[i](resources, err);
	return r;
}
