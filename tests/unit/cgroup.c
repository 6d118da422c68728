/* lib/cgroup without a machine: mount tables and own cgroups as texts, limits as lists of writes, paths. */
#include "base/ids.h"
#include "cgroup/internal.h"
#include "spec/spec.h"
#include "../test.h"

#define HYBRID_MOUNTS \
	"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n" \
	"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n" \
	"33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset,clone_children\n" \
	"34 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" \
	"35 31 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n" \
	"36 31 0:33 / /sys/fs/cgroup/systemd rw shared:10 master:3 - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n" \
	"37 31 0:34 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n" \
	"38 31 0:35 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
#define HYBRID_SELF \
	"12:devices:/user.slice\n" "9:name=systemd:/user.slice/a:b\n" "8:pids:/\n" "4:memory:/user.slice\n" \
	"3:cpuset:/\n" "1:cpu,cpuacct:/user.slice\n" "0::/user.slice/session-1.scope\n"
#define V2_MOUNTS "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"

static struct cx_cgroups *parse(const char *mounts, const char *self)
{
	struct cx_cgroups *g = NULL;

	CHECK_INT(cx_cgroups_parse(mounts, self, &g), 0);
	cx_cgroups_unique(g);
	if (g)
		g->parent = strdup("conex");
	return g;
}

/* A v2 machine with these controllers to hand on. */
static struct cx_cgroups *v2_machine(const char *controllers)
{
	struct cx_cgroups *g = parse(V2_MOUNTS, "0::/init.scope\n");

	free(g->h[0].controllers);
	g->h[0].controllers = strdup(controllers);
	return g;
}

TEST(hybrid)
{
	struct cx_cgroups *g = parse(HYBRID_MOUNTS, HYBRID_SELF);

	CHECK_INT(g->count, 7);
	CHECK_STR(g->h[0].controllers, "cpu,cpuacct");
	CHECK_STR(g->h[0].own, "user.slice");
	CHECK_STR(g->h[1].own, "");
	CHECK_STR(g->h[4].controllers, "name=systemd");
	CHECK_STR(g->h[4].own, "user.slice/a:b");
	CHECK(cx_cgroups_with(g, "cpuacct") == &g->h[0]);
	CHECK(cx_cgroups_with(g, "cpuset") == &g->h[1]);
	CHECK(!cx_cgroups_with(g, "cp"));
	CHECK(!cx_cgroups_with(g, "clone_children"));
	CHECK(cx_cgroups_v2(g) == &g->h[6]);
	CHECK_STR(g->h[6].own, "user.slice/session-1.scope");
	cx_cgroups_free(g);
}

TEST(v2)
{
	struct cx_cgroups *g = parse(V2_MOUNTS, "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope\n");

	CHECK_INT(g->count, 1);
	CHECK(g->h[0].driver->v2);
	CHECK_STR(g->h[0].mount, "/sys/fs/cgroup");
	CHECK_STR(g->h[0].own, "user.slice/user-1000.slice/user@1000.service/app.slice/x.scope");
	cx_cgroups_free(g);
}

TEST(v1)
{
	struct cx_cgroups *g = parse("40 1 0:40 / /cgroup\\040x/mem rw - cgroup none rw,memory\n", "2:memory:/a b/c\n1:cpu:/\n");

	CHECK_INT(g->count, 1);
	CHECK_STR(g->h[0].mount, "/cgroup x/mem");
	CHECK_STR(g->h[0].own, "a b/c");
	CHECK(!cx_cgroups_v2(g));
	cx_cgroups_free(g);
}

/* The root field: what of the hierarchy is mounted here. */
TEST(docker_in_docker)
{
	struct cx_cgroups *g = parse(
		"50 1 0:31 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
		"51 1 0:32 /docker/other /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n"
		"52 1 0:26 /../.. /sys/fs/cgroup/unified ro - cgroup2 cgroup rw\n",
		"4:memory:/docker/abc/inner\n5:pids:/docker/abc\n0::/../x\n");

	CHECK_INT(g->count, 3);
	CHECK_STR(g->h[0].root, "/docker/abc");
	CHECK_STR(g->h[0].own, "inner");
	CHECK(!g->h[1].own);
	CHECK(!g->h[2].own);
	cx_cgroups_free(g);
}

TEST(one_mount_a_hierarchy)
{
	struct cx_cgroups *g = parse(
		"50 1 0:31 /part /run/part rw - cgroup cgroup rw,memory\n"
		"51 1 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
		"52 1 0:31 / /elsewhere rw - cgroup cgroup rw,memory\n",
		"4:memory:/\n");

	CHECK_INT(g->count, 1);
	CHECK_STR(g->h[0].mount, "/sys/fs/cgroup/memory");
	cx_cgroups_free(g);
}

TEST(garbage)
{
	static const char *const mounts[] = {
		"", "\n\n", "- cgroup", "x - cgroup c rw,memory\n", "1 2 3:4 - cgroup c rw,memory\n",
		"1 2 x / /m rw - cgroup c rw,memory\n", "1 2 3:4 / /m rw - cgroup\n", "1 2 3:4 / /m\\9 rw - cgroup c ,,\n",
	};
	static const char *const selves[] = { "", "\n", ":", "::", "1:memory", "0:", "memory\n:memory:\n", "4:memory:/" };

	for (size_t i = 0; i < CX_ARRAY_SIZE(mounts); i++)
		for (size_t k = 0; k < CX_ARRAY_SIZE(selves); k++)
			cx_cgroups_free(parse(mounts[i], selves[k]));
	CHECK(1);
}

/* "hierarchy/file=text file=text ..." in the order of writing, or the error's text. */
static const char *writes(const struct cx_cgroups *g, const char *json, char *to, size_t size)
{
	struct cx_cgroup_limits *l = NULL;
	conex_error *err = NULL;
	json_t *resources = json_loads(json, 0, NULL);
	size_t n = 0;

	*to = '\0';
	if (cx_cgroup_limits_compile(g, resources, &l, &err) < 0)
		snprintf(to, size, "%d %s", conex_error_code(err), conex_error_object(err));
	for (size_t i = 0; l && i < l->count; i++)
		n += (size_t)snprintf(to + n, size - n, "%s%s=%s%s%s%s%s%s", i ? ", " : "", l->writes[i].file, l->writes[i].text,
			l->writes[i].optional ? "?" : "", l->writes[i].either ? "|" : "", l->writes[i].second ? ">" : "",
			l->writes[i].used ? "<" : "", l->writes[i].used ? l->writes[i].used : "");
	if (l && l->devices.count)
		snprintf(to + n, size - n, "%sa device program", n ? ", " : "");
	cx_cgroup_limits_free(l);
	conex_error_free(err);
	json_decref(resources);
	return to;
}

static const struct { const char *json, *v1, *v2; } cases[] = {
	{ "{}", "", "" },
	{ "{\"memory\":{\"limit\":1048576}}", "memory.limit_in_bytes=1048576", "memory.max=1048576" },
	{ "{\"memory\":{\"limit\":1000,\"swap\":1000}}", "memory.limit_in_bytes=1000, memory.memsw.limit_in_bytes=1000?",
	  "memory.max=1000, memory.swap.max=0?" },
	{ "{\"memory\":{\"limit\":1000,\"swap\":1500,\"reservation\":500}}",
	  "memory.limit_in_bytes=1000, memory.memsw.limit_in_bytes=1500, memory.soft_limit_in_bytes=500",
	  "memory.max=1000, memory.swap.max=500, memory.low=500" },
	{ "{\"memory\":{\"limit\":-1,\"swap\":-1}}", "memory.limit_in_bytes=-1, memory.memsw.limit_in_bytes=-1?",
	  "memory.max=max, memory.swap.max=max?" },
	{ "{\"memory\":{\"limit\":1000,\"swap\":500}}", "-22 linux.resources.memory.swap = 500", "-22 linux.resources.memory.swap = 500" },
	{ "{\"memory\":{\"swappiness\":0}}", "memory.swappiness=0", "-95 linux.resources.memory.swappiness = 0" },
	{ "{\"memory\":{\"limit\":\"1G\"}}", "-22 linux.resources.memory.limit = \"1G\"", "-22 linux.resources.memory.limit = \"1G\"" },
	{ "{\"cpu\":{\"shares\":1024}}", "cpu.shares=1024", "cpu.weight=100" },
	{ "{\"cpu\":{\"quota\":50000,\"period\":200000}}", "cpu.cfs_period_us=200000, cpu.cfs_quota_us=50000", "cpu.max=50000 200000" },
	{ "{\"cpu\":{\"quota\":-1}}", "cpu.cfs_quota_us=-1", "cpu.max=max" },
	{ "{\"cpu\":{\"period\":50000}}", "cpu.cfs_period_us=50000", "cpu.max=50000>" },
	{ "{\"cpu\":{\"quota\":50000,\"burst\":1000}}", "cpu.cfs_quota_us=50000, cpu.cfs_burst_us=1000", "cpu.max=50000, cpu.max.burst=1000" },
	{ "{\"cpu\":{\"shares\":1024,\"idle\":1}}", "cpu.idle=1", "cpu.idle=1" },
	{ "{\"cpu\":{\"shares\":1024,\"idle\":0}}", "cpu.shares=1024, cpu.idle=0", "cpu.weight=100, cpu.idle=0" },
	{ "{\"memory\":{\"limit\":1000,\"checkBeforeUpdate\":true}}", "memory.limit_in_bytes=1000<memory.usage_in_bytes",
	  "memory.max=1000<memory.current" },
	{ "{\"memory\":{\"limit\":-1,\"checkBeforeUpdate\":true}}", "memory.limit_in_bytes=-1", "memory.max=max" },
	{ "{\"memory\":{\"kernel\":1000,\"kernelTCP\":1000,\"disableOOMKiller\":false}}", "memory.oom_control=0", "" },
	{ "{\"memory\":{\"disableOOMKiller\":true}}", "memory.oom_control=1", "-95 linux.resources.memory.disableOOMKiller = true" },
	{ "{\"cpu\":{\"cpus\":\"0-1\",\"mems\":\"0\"}}", "cpuset.cpus=0-1, cpuset.mems=0", "cpuset.cpus=0-1, cpuset.mems=0" },
	{ "{\"cpu\":{\"cpus\":\"all\"}}", "-22 linux.resources.cpu.cpus = \"all\"", "-22 linux.resources.cpu.cpus = \"all\"" },
	{ "{\"pids\":{\"limit\":32}}", "pids.max=32", "pids.max=32" },
	{ "{\"pids\":{\"limit\":-1}}", "pids.max=max", "pids.max=max" },
	{ "{\"blockIO\":{\"weight\":10}}", NULL, "io.bfq.weight=10|, io.weight=1" },
	{ "{\"blockIO\":{\"weight\":0}}", "", "" },
	{ "{\"blockIO\":{\"leafWeight\":10}}", NULL,
	  "-95 linux.resources.blockIO.leafWeight = 10" },
	{ "{\"blockIO\":{\"weightDevice\":[{\"major\":8,\"minor\":0,\"weight\":1000}]}}", NULL,
	  "io.bfq.weight=8:0 1000|, io.weight=8:0 10000" },
	{ "{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":1024}],"
	  "\"throttleWriteIOPSDevice\":[{\"major\":8,\"minor\":16,\"rate\":0}]}}",
	  NULL, "io.max=8:0 rbps=1024, io.max=8:16 wiops=max" },
	{ "{\"hugepageLimits\":[{\"pageSize\":\"../x\",\"limit\":0}]}", NULL,
	  "-95 linux.resources.hugepageLimits = [{\"pageSize\":\"../x\",\"limit\":0}]" },
	{ "{\"network\":{\"classID\":1}}", NULL, "-95 linux.resources.network.classID = 1" },
	{ "{\"unified\":{\"memory.high\":\"5M\"}}", "-95 linux.resources.unified.memory.high = \"5M\"", "memory.high=5M" },
	{ "{\"unified\":{\"../x\":\"5M\"}}", "-22 linux.resources.unified.../x = \"5M\"", "-22 linux.resources.unified.../x = \"5M\"" },
	{ "{\"unified\":{\"memory..high\":\"5M\"}}", "-22 linux.resources.unified.memory..high = \"5M\"",
	  "-22 linux.resources.unified.memory..high = \"5M\"" },
	{ "{\"unified\":{\"cgroup.procs\":\"1\"}}", "-22 linux.resources.unified.cgroup.procs = \"1\"",
	  "-22 linux.resources.unified.cgroup.procs = \"1\"" },
	{ "{\"unified\":{\"misc.max\":\"x 1\"}}", "-95 linux.resources.unified.misc.max = \"x 1\"",
	  "-95 linux.resources.unified.misc.max = \"x 1\"" },
	{ "{\"rdma\":{\"mlx5_1\":{\"hcaHandles\":3,\"hcaObjects\":10000},\"mlx4\":{\"hcaObjects\":1}}}",
	  "-95 linux.resources.rdma = {\"mlx5_1\":{\"hcaHandles\":3,\"hcaObjects\":10000},\"mlx4\":{\"hcaObjects\":1}}",
	  "rdma.max=mlx5_1 hca_handle=3 hca_object=10000, rdma.max=mlx4 hca_object=1" },
	{ "{\"rdma\":{\"mlx5_1\":{}}}", NULL, "-22 linux.resources.rdma = {\"mlx5_1\":{}}" },};

TEST(limits)
{
	struct cx_cgroups *v1 = parse(HYBRID_MOUNTS, HYBRID_SELF), *v2 = v2_machine("cpuset,cpu,io,memory,pids,rdma");
	char text[1024];

	for (size_t i = 0; i < CX_ARRAY_SIZE(cases); i++) {
		if (cases[i].v1)
			CHECK_STR(writes(v1, cases[i].json, text, sizeof text), cases[i].v1);
		CHECK_STR(writes(v2, cases[i].json, text, sizeof text), cases[i].v2);
	}
	cx_cgroups_free(v1);
	cx_cgroups_free(v2);
}

#define ALWAYS "devices.allow=c *:* m, devices.allow=b *:* m, " \
	"devices.allow=c 1:3 rwm, devices.allow=c 1:5 rwm, devices.allow=c 1:7 rwm, devices.allow=c 5:0 rwm, " \
	"devices.allow=c 1:8 rwm, devices.allow=c 1:9 rwm, devices.allow=c 136:* rwm, devices.allow=c 5:2 rwm"
#define DENIED "{\"allow\":false,\"access\":\"rwm\"}"

/* v1's lines; for v2 it is the same list as a program (tests/unit/cgroup-devices.c). */
static const struct { const char *json, *v1; } devices[] = {
	{ "{\"devices\":[]}", "" },
	{ "{\"devices\":[" DENIED "]}", "devices.deny=a, " ALWAYS },
	{ "{\"devices\":[{\"allow\":true,\"type\":\"c\",\"major\":10}]}", "devices.deny=a, devices.allow=c 10:* rwm, " ALWAYS },
	{ "{\"devices\":[" DENIED ",{\"allow\":true,\"major\":10,\"access\":\"r\"}]}",
	  "devices.deny=a, devices.allow=c 10:* r, devices.allow=b 10:* r, " ALWAYS },
	{ "{\"devices\":[{\"allow\":true},{\"allow\":false,\"type\":\"u\",\"major\":1,\"minor\":11,\"access\":\"mw\"}]}",
	  "devices.allow=a, devices.deny=c 1:11 wm, " ALWAYS },
	{ "{\"devices\":[" DENIED ",{\"allow\":true,\"type\":\"c\",\"major\":1},{\"allow\":false,\"type\":\"c\",\"major\":1}]}",
	  "devices.deny=a, devices.allow=c 1:* rwm, devices.deny=c 1:* rwm, " ALWAYS },
	{ "{\"devices\":[{\"allow\":true,\"type\":\"c\",\"major\":1},{\"allow\":false,\"type\":\"c\",\"major\":1,\"minor\":1}]}",
	  "-95 linux.resources.devices[1] = {\"allow\":false,\"type\":\"c\",\"major\":1,\"minor\":1}" },
	{ "{\"devices\":[{\"allow\":true},{\"allow\":false,\"major\":1},{\"allow\":true,\"major\":1,\"minor\":1}]}",
	  "-95 linux.resources.devices[2] = {\"allow\":true,\"major\":1,\"minor\":1}" },
	{ "{\"devices\":[{\"allow\":true,\"type\":\"p\"}]}", "-22 linux.resources.devices[0] = {\"allow\":true,\"type\":\"p\"}" },
	{ "{\"devices\":[{\"type\":\"c\"}]}", "-22 linux.resources.devices[0] = {\"type\":\"c\"}" },
	{ "{\"devices\":[{\"allow\":true,\"minor\":-2}]}", "-22 linux.resources.devices[0] = {\"allow\":true,\"minor\":-2}" },
};

TEST(devices)
{
	struct cx_cgroups *v1 = parse(HYBRID_MOUNTS, HYBRID_SELF), *v2 = v2_machine("pids"), *none = parse("", "");
	char text[1024];

	for (size_t i = 0; i < CX_ARRAY_SIZE(devices); i++)
		CHECK_STR(writes(v1, devices[i].json, text, sizeof text), devices[i].v1);
	v2->bpf = 1; /* as if a kernel had been asked */
	if (!cx_ids_rootless() && !cx_ids_nested()) {
		CHECK_STR(writes(v2, "{\"devices\":[" DENIED "]}", text, sizeof text), "a device program");
		v2->bpf = -EPERM;
		CHECK_STR(writes(v2, "{\"devices\":[" DENIED "]}", text, sizeof text), "-95 linux.resources.devices");
		CHECK_STR(writes(none, "{\"devices\":[{\"allow\":true}]}", text, sizeof text), "-95 linux.resources.devices");
	}
	CHECK_STR(writes(none, "{\"devices\":[" DENIED "]}", text, sizeof text), "");
	cx_cgroups_free(v1);
	cx_cgroups_free(v2);
	cx_cgroups_free(none);
}

TEST(missing_controllers)
{
	struct cx_cgroups *none = parse("", ""), *some = v2_machine("pids");
	struct cx_cgroup_limits *l = NULL;
	json_t *resources = json_pack("{s:{s:i}}", "memory", "limit", 1000);
	conex_error *err = NULL;
	char text[1024];

	CHECK_STR(writes(none, "{\"pids\":{\"limit\":5}}", text, sizeof text), "-95 linux.resources.pids.limit = 5");
	CHECK_STR(writes(none, "{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}],\"pids\":{\"limit\":0}}", text, sizeof text), "");
	CHECK_STR(writes(some, "{\"pids\":{\"limit\":5}}", text, sizeof text), "pids.max=5");
	some->inner = 1;
	CHECK_INT(cx_cgroup_limits_compile(some, resources, &l, &err), -EOPNOTSUPP);
	CHECK(strstr(conex_error_hint(err), "without processes"));
	conex_error_free(err);
	json_decref(resources);
	cx_cgroups_free(none);
	cx_cgroups_free(some);
}

static const char *as_json(const struct conex_limits *l, char *to, size_t size)
{
	conex_error *err = NULL;
	json_t *made = NULL;
	cx_autofree char *text = NULL;

	if (cx_cgroup_limits_json(l, &made, &err) < 0)
		snprintf(to, size, "%d %s", conex_error_code(err), conex_error_object(err));
	else
		snprintf(to, size, "%s", text = json_dumps(made, JSON_COMPACT | JSON_SORT_KEYS));
	json_decref(made);
	conex_error_free(err);
	return to;
}

TEST(limits_struct)
{
	static const struct { struct conex_limits l; const char *json; } structs[] = {
		{ { .memory = 0 }, "{}" },
		{ { .memory = 4096 }, "{\"memory\":{\"limit\":4096,\"swap\":4096}}" },
		{ { .memory = 4096, .swap = 100 }, "{\"memory\":{\"limit\":4096,\"swap\":4196}}" },
		{ { .memory = 4096, .swap = CONEX_UNLIMITED }, "{\"memory\":{\"limit\":4096,\"swap\":-1}}" },
		{ { .memory = CONEX_UNLIMITED }, "{\"memory\":{\"limit\":-1,\"swap\":-1}}" },
		{ { .swap = 5 }, "-22 limits.swap" },
		{ { .memory_low = 5 }, "{\"memory\":{\"reservation\":5}}" },
		{ { .cpus = 1.5 }, "{\"cpu\":{\"period\":100000,\"quota\":150000}}" },
		{ { .cpus = 0.001 }, "{\"cpu\":{\"period\":100000,\"quota\":1000}}" },
		{ { .cpus = (double)CONEX_UNLIMITED }, "{\"cpu\":{\"period\":100000,\"quota\":-1}}" },
		{ { .cpus = -1 }, "-22 limits.cpus = -1" },
		{ { .cpu_weight = 100 }, "{\"cpu\":{\"shares\":1024}}" },
		{ { .cpu_shares = 1024 }, "{\"cpu\":{\"shares\":1024}}" },
		{ { .cpu_shares = 1 }, "-34 limits.cpu_shares" },
		{ { .cpu_shares = 2, .cpu_weight = 1 }, "-22 limits.cpu_shares" },
		{ { .memory_min = 5, .memory_high = 4096 }, "{\"unified\":{\"memory.high\":\"4096\",\"memory.min\":\"5\"}}" },
		{ { .memory_high = CONEX_UNLIMITED }, "{\"unified\":{\"memory.high\":\"max\"}}" },
		{ { .cpu_weight = 10001 }, "-34 limits.cpu_weight" },
		{ { .cpuset = "0" }, "{\"cpu\":{\"cpus\":\"0\"}}" },
		{ { .pids = CONEX_UNLIMITED }, "{\"pids\":{\"limit\":-1}}" },
		{ { .pids = 7, .oci = "{\"pids\":{\"limit\":8},\"cpu\":{\"idle\":1}}" }, "{\"cpu\":{\"idle\":1},\"pids\":{\"limit\":8}}" },
		{ { .oci = "[]" }, "-22 limits.oci, line 1, column 1" },
	};
	char text[256];

	for (size_t i = 0; i < CX_ARRAY_SIZE(structs); i++)
		CHECK_STR(as_json(&structs[i].l, text, sizeof text), structs[i].json);
}

TEST(weight)
{
	CHECK_INT(cx_cgroup_shares_of_weight(100), 1024);
	CHECK_INT(cx_cgroup_weight_of_shares(1024), 100);
	CHECK_INT(cx_cgroup_weight_of_shares(2), 1);
	CHECK_INT(cx_cgroup_weight_of_shares(2000), 170);       /* as runc's and crun's */
	CHECK_INT(cx_cgroup_weight_of_shares(262144), 10000);
	CHECK_INT(cx_cgroup_weight_of_shares(262143), 10000);
	CHECK_INT(cx_cgroup_weight_of_shares(UINT64_MAX), 10000);
	for (uint64_t w = 1; w <= 10000; w++)
		if (cx_cgroup_weight_of_shares(cx_cgroup_shares_of_weight(w)) != w)
			CHECK_INT(w, 0);
}

TEST(paths)
{
	static const struct { const char *path, *want; } paths[] = {
		{ NULL, "conex/id" }, { "", "conex/id" }, { "/a/b", "a/b" }, { "a/b", "conex/a/b" },
		{ "system.slice:conex:web", NULL }, { ":conex:web", NULL }, { "a:b", "conex/a:b" }, { "/a:b:c", "a:b:c" },
		{ "/..", NULL }, { "a/../b", NULL }, { "//a", NULL }, { "/", NULL }, { "a/", NULL }, { "./a", NULL }, { "a\nb", NULL },
	};
	struct cx_cgroups *g = parse(V2_MOUNTS, "0::/\n");

	for (size_t i = 0; i < CX_ARRAY_SIZE(paths); i++) {
		cx_autofree char *made = NULL;
		int r = cx_cgroup_path(g, paths[i].path, "id", &made, NULL);

		CHECK_INT(r, paths[i].want ? 0 : -EINVAL);
		if (r == 0)
			CHECK_STR(made, paths[i].want);
	}
	cx_cgroups_free(g);
}

TEST(fields)
{
	CHECK_INT(cx_cgroup_field("oom 1\noom_kill 3\n", "oom_kill"), 3);
	CHECK_INT(cx_cgroup_field("oom_kill_disable 0\noom_kill 5", "oom_kill"), 5);
	CHECK(cx_cgroup_field("", "x") == UINT64_MAX);
	CHECK(cx_cgroup_field("xy 1\n", "x") == UINT64_MAX);
}

int main(void)
{
	RUN(hybrid);
	RUN(v2);
	RUN(v1);
	RUN(docker_in_docker);
	RUN(one_mount_a_hierarchy);
	RUN(garbage);
	RUN(limits);
	RUN(devices);
	RUN(missing_controllers);
	RUN(limits_struct);
	RUN(weight);
	RUN(paths);
	RUN(fields);
	return test_end();
}
