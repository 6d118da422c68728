/* Statistics from files that lie in an ordinary directory: v1's and v2's words for the same numbers. */
#include "cgroup/internal.h"
#include "../test.h"

#include <fcntl.h>
#include <sys/stat.h>

static char dir[] = "/tmp/conex-stats-XXXXXX";

static void put(const char *name, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof path, "%s/g/%s", dir, name);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void begin(void)
{
	char path[64];

	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof path, "%s/g", dir);
	CHECK(mkdir(path, 0755) == 0);
}

static void end(void)
{
	char text[64];

	snprintf(text, sizeof text, "rm -r %s", dir);
	CHECK_INT(system(text), 0);
}

/* One hierarchy of that version, whose files are ours. */
static struct cx_cgroups machine(struct cx_hierarchy *h, int v2, const char *controllers)
{
	*h = (struct cx_hierarchy){ .driver = v2 ? &cx_cgroup_v2 : &cx_cgroup_v1, .mount = dir,
		.root = (char *)"", .controllers = (char *)controllers, .fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) };
	return (struct cx_cgroups){ .h = h, .count = 1, .oom_fd = -1 };
}

static const struct { const char *name, *text; } v2_files[] = {
	{ "memory.current", "1000\n" }, { "memory.peak", "2000\n" }, { "memory.max", "max\n" },
	{ "memory.swap.current", "30\n" }, { "memory.swap.max", "4096\n" },
	{ "memory.stat", "anon 10\nfile 20\nkernel 30\nkernel_stack 5\nsock 6\nshmem 7\nfile_mapped 8\nslab 9\npgmajfault 3\n" },
	{ "memory.events", "low 0\nhigh 4\nmax 5\noom 2\noom_kill 1\noom_group_kill 0\n" },
	{ "cpu.stat", "usage_usec 15\nuser_usec 10\nsystem_usec 5\nnr_periods 8\nnr_throttled 2\nthrottled_usec 70\n" },
	{ "pids.current", "3\n" }, { "pids.max", "9\n" }, { "pids.peak", "5\n" }, { "pids.events", "max 11\n" },
	{ "io.stat", "8:0 rbytes=100 wbytes=200 rios=3 wios=4 dbytes=0 dios=0\n7:1 \n8:16 rbytes=1 wbytes=2 rios=1 wios=1 dbytes=9 dios=9\n" },
	{ "hugetlb.2MB.current", "2097152\n" }, { "hugetlb.1GB.current", "0\n" },
	{ "memory.pressure", "some avg10=0.10 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n" },
	{ "cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n" },
	{ "io.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=2\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n" },
};

/* Looks at a struct field by field. */
#define SAME(field, want) test_check_int((long long)s.field, (long long)(uint64_t)(want), __FILE__, __LINE__, #field)
#define UNKNOWN(field) SAME(field, UINT64_MAX)

static void is_v2(struct conex_stats s)
{
	SAME(memory, 1000), SAME(memory_peak, 2000), UNKNOWN(memory_limit), SAME(swap, 30), SAME(swap_limit, 4096);
	SAME(memory_anon, 10), SAME(memory_file, 20), SAME(memory_kernel, 30), SAME(memory_sock, 6);
	SAME(memory_shared, 7), SAME(memory_mapped, 8), SAME(memory_slab, 9), SAME(major_faults, 3);
	SAME(memory_high_hits, 4), SAME(memory_max_hits, 5), SAME(ooms, 2), SAME(oom_kills, 1);
	SAME(cpu_ns, 15000), SAME(cpu_user_ns, 10000), SAME(cpu_system_ns, 5000);
	SAME(cpu_periods, 8), SAME(cpu_throttled, 2), SAME(throttled_ns, 70000);
	SAME(pids, 3), SAME(pids_limit, 9), SAME(pids_peak, 5), SAME(pids_refused, 11);
	SAME(read_bytes, 101), SAME(written_bytes, 202), SAME(read_ops, 4), SAME(write_ops, 5);
	SAME(huge_bytes, 2097152), UNKNOWN(net_rx_bytes), UNKNOWN(net_tx_dropped);
	SAME(memory_stall_ns, 12000), SAME(memory_full_stall_ns, 7000), SAME(cpu_stall_ns, 1000);
	SAME(cpu_full_stall_ns, 0), SAME(io_stall_ns, 2000), SAME(io_full_stall_ns, 1000);
}

TEST(v2)
{
	struct cx_hierarchy h;
	struct cx_cgroups g;
	struct conex_stats s;
	int kept[CX_STAT_KEPT], open_ones = 0;

	begin();
	g = machine(&h, 1, "cpu,io,memory,pids,hugetlb");
	strcpy(g.huge[0], "2MB");
	strcpy(g.huge[1], "1GB");
	g.huge_count = 2;
	for (size_t i = 0; i < CX_ARRAY_SIZE(v2_files); i++)
		put(v2_files[i].name, v2_files[i].text);
	CHECK_INT(cx_cgroup_read_stats(&g, "g", NULL, &s, NULL), 0);
	is_v2(s);
	memset(kept, 0xff, sizeof kept);
	for (int n = 0; n < 3; n++) {
		CHECK_INT(cx_cgroup_read_stats(&g, "g", kept, &s, NULL), 0);
		is_v2(s);
	}
	for (int i = 0; i < CX_STAT_KEPT; i++)
		open_ones += kept[i] >= 0;
	CHECK_INT(open_ones, (int)CX_ARRAY_SIZE(v2_files));
	cx_stat_kept_close(kept);
	CHECK_INT(cx_cgroup_read_stats(&g, "none", NULL, &s, NULL), -ENOENT);
	cx_closep(&h.fd);
	end();
}

/* What isn't there, or isn't handed on, is unknown. */
TEST(v2_with_little)
{
	struct cx_hierarchy h;
	struct cx_cgroups g;
	struct conex_stats s;

	begin();
	g = machine(&h, 1, "pids");
	put("memory.current", "1\n");
	put("pids.max", "max\n");
	put("pids.current", "\n");
	put("cpu.stat", "usage_usec 7\nuser_usec x\n");
	CHECK_INT(cx_cgroup_read_stats(&g, "g", NULL, &s, NULL), 0);
	SAME(cpu_ns, 7000);
	UNKNOWN(memory), UNKNOWN(pids), UNKNOWN(pids_limit), UNKNOWN(cpu_user_ns), UNKNOWN(read_bytes), UNKNOWN(oom_kills);
	cx_closep(&h.fd);
	end();
}

static const struct { const char *name, *text; } v1_files[] = {
	{ "memory.usage_in_bytes", "1000\n" }, { "memory.max_usage_in_bytes", "2000\n" },
	{ "memory.limit_in_bytes", "4096\n" }, { "memory.memsw.usage_in_bytes", "1030\n" },
	{ "memory.memsw.limit_in_bytes", "8192\n" }, { "memory.kmem.usage_in_bytes", "30\n" },
	{ "memory.kmem.tcp.usage_in_bytes", "6\n" }, { "memory.failcnt", "5\n" },
	{ "memory.stat", "cache 1\nrss 1\ntotal_cache 20\ntotal_rss 10\ntotal_rss_huge 2\ntotal_shmem 7\ntotal_mapped_file 8\ntotal_pgmajfault 3\n" },
	{ "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n" },
	{ "cpuacct.usage", "15000\n" }, { "cpuacct.usage_user", "10000\n" }, { "cpuacct.usage_sys", "5000\n" },
	{ "cpu.stat", "nr_periods 8\nnr_throttled 2\nthrottled_time 70000\n" },
	{ "pids.current", "3\n" }, { "pids.max", "max\n" }, { "pids.events", "max 11\n" },
	{ "blkio.throttle.io_service_bytes_recursive", "8:0 Read 100\n8:0 Write 200\n8:0 Sync 300\n8:0 Total 300\n"
	  "8:16 Read 1\n8:16 Write 2\n8:16 Total 3\nTotal 303\n" },
	{ "blkio.throttle.io_serviced_recursive", "Total 0\n" },
	{ "hugetlb.2MB.usage_in_bytes", "2097152\n" },
};

TEST(v1)
{
	struct cx_hierarchy h;
	struct cx_cgroups g;
	struct conex_stats s;

	begin();
	g = machine(&h, 0, "cpu,cpuacct,memory,pids,blkio,hugetlb");
	strcpy(g.huge[0], "2MB");
	g.huge_count = 1;
	for (size_t i = 0; i < CX_ARRAY_SIZE(v1_files); i++)
		put(v1_files[i].name, v1_files[i].text);
	CHECK_INT(cx_cgroup_read_stats(&g, "g", NULL, &s, NULL), 0);
	SAME(memory, 1000), SAME(memory_peak, 2000), SAME(memory_limit, 4096), SAME(swap, 30), SAME(swap_limit, 4096);
	SAME(memory_anon, 10), SAME(memory_file, 20), SAME(memory_kernel, 30), SAME(memory_sock, 6);
	SAME(memory_shared, 7), SAME(memory_mapped, 8), UNKNOWN(memory_slab), SAME(major_faults, 3);
	UNKNOWN(memory_high_hits), SAME(memory_max_hits, 5), UNKNOWN(ooms), SAME(oom_kills, 1);
	SAME(cpu_ns, 15000), SAME(cpu_user_ns, 10000), SAME(cpu_system_ns, 5000);
	SAME(cpu_periods, 8), SAME(cpu_throttled, 2), SAME(throttled_ns, 70000);
	SAME(pids, 3), UNKNOWN(pids_limit), UNKNOWN(pids_peak), SAME(pids_refused, 11);
	SAME(read_bytes, 101), SAME(written_bytes, 202), SAME(read_ops, 0), SAME(write_ops, 0);
	SAME(huge_bytes, 2097152);
	UNKNOWN(memory_stall_ns);
	put("memory.limit_in_bytes", "9223372036854771712\n");
	CHECK_INT(cx_cgroup_read_stats(&g, "g", NULL, &s, NULL), 0);
	UNKNOWN(memory_limit), UNKNOWN(swap_limit);
	cx_closep(&h.fd);
	end();
}

static void count(const char *line, void *data)
{
	int *lines = data;

	if (!strncmp(line, "8:", 2) && !strcmp(line + strlen(line) - 4, "end."))
		lines[0]++;
	else
		lines[1]++;
}

/* A file larger than the buffer, and a line that is. */
TEST(many_lines)
{
	char *text = malloc(400000), *to = text;
	struct cx_hierarchy h;
	int lines[2] = { 0, 0 };

	begin();
	machine(&h, 1, "io");
	for (int i = 0; i < 3000; i++)
		to += sprintf(to, "8:%d rbytes=%d wbytes=%d and so on to make it long, end.\n", i, i * 7, i);
	put("io.stat", text);
	CHECK_INT(cx_cgroup_lines(&h, "g", "io.stat", count, lines), 0);
	CHECK_INT(lines[0], 3000);
	CHECK_INT(lines[1], 0);
	memset(text, 'x', 300000);
	text[300000] = '\0';
	put("io.stat", text);
	CHECK_INT(cx_cgroup_lines(&h, "g", "io.stat", count, lines), 0);
	CHECK_INT(lines[0], 3000);
	CHECK_INT(cx_cgroup_lines(&h, "g", "none", count, lines), -ENOENT);
	free(text);
	cx_closep(&h.fd);
	end();
}

static void details_are(const struct cx_cgroups *g, const char *want)
{
	cx_autofree char *text = NULL, *sorted = NULL;
	json_t *json;

	CHECK_INT(cx_cgroup_details(g, "g", NULL, &text, NULL), 0);
	json = json_loads(text, 0, NULL);
	sorted = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(3));
	CHECK_STR(sorted, want);
	json_decref(json);
}

TEST(details)
{
	struct cx_hierarchy h;
	struct cx_cgroups g;

	begin();
	g = machine(&h, 1, "io,memory,hugetlb");
	strcpy(g.huge[0], "2MB");
	g.huge_count = 1;
	put("memory.stat", "anon 5\nbad\nslab x\nfile 7\n");
	put("io.stat", v2_files[12].text);
	put("hugetlb.2MB.current", "4096\n");
	put("hugetlb.2MB.max", "max\n");
	put("hugetlb.2MB.events", "max 3\n");
	put("memory.pressure", "some avg10=0.50 avg60=0.25 avg300=0.00 total=9\nnonsense\n");
	details_are(&g, "{\"hugetlb\":[{\"failures\":3,\"pageSize\":\"2MB\",\"usage\":4096}],"
		"\"io\":[{\"major\":8,\"minor\":0,\"read_bytes\":100,\"read_ops\":3,\"write_ops\":4,\"written_bytes\":200},"
		"{\"major\":8,\"minor\":16,\"read_bytes\":1,\"read_ops\":1,\"write_ops\":1,\"written_bytes\":2}],"
		"\"memory\":{\"anon\":5,\"file\":7},"
		"\"pressure\":{\"memory\":{\"some\":{\"avg10\":0.5,\"avg300\":0.0,\"avg60\":0.25,\"total_ns\":9000}}}}");
	cx_closep(&h.fd);
	g = machine(&h, 0, "blkio");
	put("blkio.throttle.io_service_bytes_recursive", "8:0 Read 100\n8:0 Write 200\n8:0 Total 300\nTotal 300\n");
	put("blkio.throttle.io_serviced_recursive", "8:0 Read 1\n8:0 Write 2\n");
	details_are(&g, "{\"io\":[{\"major\":8,\"minor\":0,\"read_bytes\":100,\"read_ops\":1,\"write_ops\":2,\"written_bytes\":200}]}");
	cx_closep(&h.fd);
	end();
}

int main(void)
{
	RUN(v2);
	RUN(v2_with_little);
	RUN(v1);
	RUN(many_lines);
	RUN(details);
	return test_end();
}
