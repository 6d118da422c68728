/* Each resource of the runtime-spec alone: the kernel has what was asked for, or it is refused and the refusal
 * names it. tests/vm/README.md has a table of the lines "# matrix". */
#include "system/box.h"

#include <glob.h>

static const struct resource {
	const char *name, *json;
	const char *v1, *v1_want, *v2, *v2_want;        /* a file, and what is in it then; NULL: no such file */
} resources[] = {
	{ "memory.limit", OCI({"memory": {"limit": 67108864}}), "memory.limit_in_bytes", "67108864",
		"memory.max", "67108864" },
	{ "memory.reservation", OCI({"memory": {"reservation": 33554432}}), "memory.soft_limit_in_bytes", "33554432",
		"memory.low", "33554432" },
	{ "memory.swap", OCI({"memory": {"limit": 33554432, "swap": 67108864}}), "memory.memsw.limit_in_bytes",
		"67108864", "memory.swap.max", "33554432" },
	{ "memory.swappiness", OCI({"memory": {"swappiness": 10}}), "memory.swappiness", "10", NULL, NULL },
	{ "memory.disableOOMKiller", OCI({"memory": {"disableOOMKiller": true}}), "memory.oom_control",
		"oom_kill_disable 1", NULL, NULL },
	{ "cpu.shares", OCI({"cpu": {"shares": 2048}}), "cpu.shares", "2048", "cpu.weight", "200" },
	{ "cpu.quota, period", OCI({"cpu": {"quota": 50000, "period": 100000}}), "cpu.cfs_quota_us", "50000",
		"cpu.max", "50000 100000" },
	{ "cpu.burst", OCI({"cpu": {"quota": 50000, "period": 100000, "burst": 10000}}), "cpu.cfs_burst_us", "10000",
		"cpu.max.burst", "10000" },
	{ "cpu.idle", OCI({"cpu": {"idle": 1}}), "cpu.idle", "1", "cpu.idle", "1" },
	{ "cpu.cpus", OCI({"cpu": {"cpus": "0"}}), "cpuset.cpus", "0", "cpuset.cpus", "0" },
	{ "cpu.mems", OCI({"cpu": {"mems": "0"}}), "cpuset.mems", "0", "cpuset.mems", "0" },
	{ "pids.limit", OCI({"pids": {"limit": 77}}), "pids.max", "77", "pids.max", "77" },
	{ "network.classID", OCI({"network": {"classID": 1048577}}), "net_cls.classid", "1048577", NULL, NULL },
	{ "network.priorities", OCI({"network": {"priorities": [{"name": "lo", "priority": 5}]}}), "net_prio.ifpriomap",
		"lo 5", NULL, NULL },
	{ "unified", OCI({"unified": {"pids.max": "78"}}), NULL, NULL, "pids.max", "78" },
};

/* The file of the container's cgroup, in whichever hierarchy has it. */
static const char *in_any(const char *file)
{
	static const char *const places[] = { "/sys/fs/cgroup/conex/matrix/%s", "/sys/fs/cgroup/*/conex/matrix/%s" };
	const char *text = NULL;
	glob_t found;

	for (int i = 0; file && !text && i < 2; i++) {
		if (glob(say(places[i], file), 0, NULL, &found) == 0)
			text = content("%s", found.gl_pathv[0]);
		globfree(&found);
	}
	return text;
}

static void with(const struct resource *r)
{
	struct conex_run_options o = { .id = "matrix", .oci = say("{\"linux\":{\"resources\":%s}}", r->json) };
	conex_container *c = box_start(&o, CONEX_STRINGS("sleep", "1000"));
	const char *v1, *v2;

	if (!c) {       /* every name is of the resource or of its section */
		CHECK_INT(conex_error_code(box.err), -EOPNOTSUPP);
		SAID(say("linux.resources.%.*s", (int)strcspn(r->name, "., "), r->name));
		printf("# matrix %s | refused: %s\n", r->name, conex_error_text(box.err));
		return;
	}
	v1 = in_any(r->v1);
	v2 = in_any(r->v2);
	if (CHECK((v1 && strstr(v1, r->v1_want)) || (v2 && strstr(v2, r->v2_want))))
		printf("# matrix %s | works (%s)\n", r->name, v1 && strstr(v1, r->v1_want) ? r->v1 : r->v2);
	else
		printf("# matrix %s | wrong: \"%s\"\n", r->name, v1 ? v1 : v2 ? v2 : "no such file");
	box_end(c);
}

TEST(each_resource)
{
	for (size_t i = 0; i < sizeof resources / sizeof *resources; i++)
		with(&resources[i]);
	fflush(stdout);
}

static void tests(void)
{
	RUN(each_resource);
}

int main(void)
{
	return with_box(tests);
}
