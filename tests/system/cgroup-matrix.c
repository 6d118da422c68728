/* Every resource and everything that can be watched, on this machine: it works (the kernel's file says so), its file is
 * absent, or it is refused with a reason. The table that doc/cgroup.md has is made of what this prints. */
#include "cgroup-fixture.h"

static const struct row {
	const char *name, *json;
	const char *controller, *v1, *v1_text, *v2, *v2_text;   /* the file, and how its text begins */
} rows[] = {
	{ "memory.limit", "{'memory':{'limit':67108864}}", "memory", "memory.limit_in_bytes", "67108864\n", "memory.max", "67108864\n" },
	{ "memory.swap", "{'memory':{'limit':67108864,'swap':100663296}}", "memory", "memory.memsw.limit_in_bytes", "100663296\n",
	  "memory.swap.max", "33554432\n" },
	{ "memory.reservation", "{'memory':{'reservation':33554432}}", "memory", "memory.soft_limit_in_bytes", "33554432\n",
	  "memory.low", "33554432\n" },
	{ "memory.checkBeforeUpdate", "{'memory':{'limit':67108864,'checkBeforeUpdate':true}}", "memory",
	  "memory.limit_in_bytes", "67108864\n", "memory.max", "67108864\n" },
	{ "memory.swappiness", "{'memory':{'swappiness':10}}", "memory", "memory.swappiness", "10\n", NULL, NULL },
	{ "memory.disableOOMKiller", "{'memory':{'disableOOMKiller':true}}", "memory", "memory.oom_control", "oom_kill_disable 1\n",
	  NULL, NULL },
	{ "cpu.shares", "{'cpu':{'shares':2048}}", "cpu", "cpu.shares", "2048\n", "cpu.weight", "174\n" },
	{ "cpu.quota, cpu.period", "{'cpu':{'quota':50000,'period':200000}}", "cpu", "cpu.cfs_quota_us", "50000\n",
	  "cpu.max", "50000 200000\n" },
	{ "cpu.burst", "{'cpu':{'quota':50000,'burst':20000}}", "cpu", "cpu.cfs_burst_us", "20000\n", "cpu.max.burst", "20000\n" },
	{ "cpu.idle", "{'cpu':{'idle':1}}", "cpu", "cpu.idle", "1\n", "cpu.idle", "1\n" },
	{ "cpu.cpus", "{'cpu':{'cpus':'0'}}", "cpuset", "cpuset.cpus", "0\n", "cpuset.cpus", "0\n" },
	{ "cpu.mems", "{'cpu':{'mems':'0'}}", "cpuset", "cpuset.mems", "0\n", "cpuset.mems", "0\n" },
	{ "cpu.realtimeRuntime", "{'cpu':{'realtimePeriod':1000000,'realtimeRuntime':1000}}", "cpu", "cpu.rt_runtime_us", "1000\n",
	  NULL, NULL },
	{ "pids.limit", "{'pids':{'limit':32}}", "pids", "pids.max", "32\n", "pids.max", "32\n" },
	{ "blockIO.weight", "{'blockIO':{'weight':500}}", NULL, NULL, NULL, NULL, NULL },
	{ "blockIO.leafWeight", "{'blockIO':{'leafWeight':500}}", NULL, NULL, NULL, NULL, NULL },
	{ "hugepageLimits", "{'hugepageLimits':[{'pageSize':'2MB','limit':4194304}]}", "hugetlb", "hugetlb.2MB.limit_in_bytes",
	  "4194304\n", "hugetlb.2MB.max", "4194304\n" },
	{ "network.classID", "{'network':{'classID':1048577}}", "net_cls", "net_cls.classid", "1048577\n", NULL, NULL },
	{ "network.priorities", "{'network':{'priorities':[{'name':'lo','priority':3}]}}", "net_prio", "net_prio.ifpriomap", "lo 3",
	  NULL, NULL },
	{ "rdma", "{'rdma':{'none0':{'hcaHandles':3}}}", NULL, NULL, NULL, NULL, NULL },
	{ "devices", "{'devices':[{'allow':false,'access':'rwm'},{'allow':true,'type':'c','major':10,'minor':200,'access':'rw'}]}",
	  "devices", "devices.list", "c 10:200 rw\n", NULL, NULL },
	{ "unified", "{'unified':{'cgroup.max.depth':'5'}}", NULL, NULL, NULL, "cgroup.max.depth", "5\n" },
	{ "unified (memory.high)", "{'unified':{'memory.high':'33554432'}}", "memory", NULL, NULL, "memory.high", "33554432\n" },
};

static json_t *parsed(const char *json)
{
	cx_autofree char *text = strdup(json);

	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	return json_loads(text, 0, NULL);
}

/* The kernel has it as we said it. Returns which version's file was looked at. */
static const char *check_file(const struct row *row, const char *path)
{
	const struct cx_hierarchy *h = row->controller ? cx_cgroups_with(g, row->controller) : row->v2 ? cx_cgroups_v2(g) : NULL;
	const char *file, *want;
	char text[256] = "";

	if (!h)
		return "";
	file = h->driver->v2 ? row->v2 : row->v1;
	want = h->driver->v2 ? row->v2_text : row->v1_text;
	if (file) {
		CHECK(cx_cgroup_read(h, path, file, text, sizeof text) > 0);
		text[strlen(want) < sizeof text ? strlen(want) : 0] = '\0';
		CHECK_STR(text, want);
	}
	return h->driver->v2 ? " (v2)" : " (v1)";
}

static void say(const char *name, int r, conex_error *err, const char *where)
{
	if (r >= 0) {
		printf("# matrix: %-26s works%s\n", name, where);
		return;
	}
	printf("# matrix: %-26s %s: %s\n", name, r == -ENOENT ? "absent" : "refused", conex_error_hint(err));
	/* what is missing has a reason, and no other code than these */
	CHECK(r == -EOPNOTSUPP || r == -ENOENT || r == -ENODEV || r == -EINVAL);
	CHECK(*conex_error_hint(err));
}

static void try_row(const struct row *row)
{
	struct cx_cgroup_limits *l = NULL;
	json_t *resources = parsed(row->json);
	char *path = path_of("matrix");
	conex_error *err = NULL;
	const char *where = "";
	struct stat st;
	int r;

	CHECK(resources != NULL);
	r = cx_cgroup_limits_compile(g, resources, &l, &err);
	if (r == 0) {
		r = cx_cgroup_make(g, path, l, &err);
		if (r == 0)
			where = check_file(row, path);
	}
	say(row->name, r, err, where);
	conex_error_free(err);
	cx_cgroup_limits_free(l);
	json_decref(resources);
	CHECK_INT(TELL(cx_cgroup_remove(g, path, &err)), 1);
	for (size_t i = 0; i < g->count; i++)
		CHECK(fstatat(g->h[i].fd, path, &st, 0) < 0);
	free(path);
}

TEST(resources)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(rows); i++)
		try_row(&rows[i]);
}

TEST(watches)
{
	static const char *const things[] = {
		"oom", "memory.high", "memory.max", "pids.max", "empty", "memory 150ms/2s", "cpu 150ms/2s", "io 150ms/2s",
		"memory full 150ms/2s", "memory low", "memory critical",
	};
	char *path = path_of("matrix");

	CHECK_INT(TELL(cx_cgroup_make(g, path, NULL, &err)), 0);
	for (size_t i = 0; i < CX_ARRAY_SIZE(things); i++) {
		conex_error *err = NULL;
		struct cx_cgroup_watch w;
		char name[64];
		int r = cx_cgroup_watch_parse(g, things[i], &w, &err);

		if (r == 0)
			r = cx_cgroup_watch_begin(g, path, &w, &err);
		snprintf(name, sizeof name, "watch \"%s\"", things[i]);
		say(name, r, err, "");
		conex_error_free(err);
		if (r == 0 && w.kind != CX_WATCH_OOM)
			cx_cgroup_watch_end(g, &w);
	}
	gone(path);
}

/* What struct conex_stats can be filled with here; a new cgroup has these at least, where their controllers are. */
TEST(statistics)
{
	struct conex_limits l = { .size = sizeof l };
	char *path = make("matrix", &l);
	struct conex_stats s;
	int known = 0, fields = 0;

	CHECK_INT(TELL(cx_cgroup_read_stats(g, path, NULL, &s, &err)), 0);
	for (size_t at = offsetof(struct conex_stats, memory); at < sizeof s; at += sizeof(uint64_t), fields++)
		known += *(uint64_t *)(void *)((char *)&s + at) != UINT64_MAX;
	printf("# matrix: %d of %d statistics are known (limits that aren't set count as unknown)\n", known, fields);
	if (cx_cgroups_with(g, "memory"))
		CHECK(s.memory != UINT64_MAX && s.memory_anon != UINT64_MAX && s.oom_kills != UINT64_MAX
			&& s.memory_max_hits != UINT64_MAX);
	if (cx_cgroups_with(g, "cpu"))
		CHECK(s.throttled_ns != UINT64_MAX && s.cpu_periods != UINT64_MAX);
	if (cx_cgroups_with(g, "pids"))
		CHECK(s.pids == 0 && s.pids_refused == 0);
	if (cx_cgroups_v2(g))
		CHECK(s.cpu_ns != UINT64_MAX);
	gone(path);
}

static void all(const char *layout)
{
	printf("# matrix of %s\n", layout);
	for (size_t i = 0; i < g->count; i++)
		printf("# %s: %s at %s\n", g->h[i].driver->name, g->h[i].controllers, g->h[i].mount);
	RUN(resources);
	RUN(watches);
	RUN(statistics);
	cx_cgroups_prune(g);
	cx_cgroups_free(g);
	g = NULL;
}

int main(void)
{
	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	snprintf(parent, sizeof parent, "/conex-test-%d", (int)getpid());
	if (cx_file_load(AT_FDCWD, "/proc/self/cgroup", 1 << 20, &self) < 0 || cx_cgroups_detect(parent, CX_DRIVER_CGROUPFS, &g, NULL) < 0) {
		printf("1..0 # SKIP no cgroups may be made here\n");
		return 0;
	}
	all("this machine");
	if (detect_without(" - cgroup2 "))
		all("this machine, v2 hidden");
	if (detect_without(" - cgroup "))
		all("this machine, v1 hidden");
	free(self);
	return test_end();
}
