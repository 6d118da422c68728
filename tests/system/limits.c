/* Limits that bite: memory (and the truth about why it ended), processes, processor time; changed, paused and
 * measured while it runs; and where the cgroups are. */
#include "system/box.h"

#include <signal.h>

/* A process that takes all memory it can get. */
#define HOG "tail /dev/zero"

static struct conex_limits memory_limit(uint64_t bytes)
{
	return (struct conex_limits){ .size = sizeof(struct conex_limits), .memory = bytes };
}

/* The file of a v1 controller or of v2, of a running container; NULL: the machine hasn't got it. */
static const char *cgroup_file(pid_t pid, const char *controller, const char *name)
{
	const char *text = content("/proc/%d/cgroup", (int)pid), *at = strstr(text, say(":%s:", controller));
	const char *path = at ? strchr(at + 1, ':') + 1 : NULL;

	return path ? content("/sys/fs/cgroup/%s%.*s/%s", controller, (int)strcspn(path, "\n"), path, name) : NULL;
}

/* Waits for the next event about one container of this type; others are dropped. */
static int await_event(conex_container *c, int type)
{
	struct conex_event ev = { .size = sizeof ev };

	while (conex_next_event(box.cx, 60000, &ev, &box.err) > 0)
		if (ev.container == c && ev.type == type)
			return 1;
	return 0;
}

/* ---- memory ---- */

TEST(out_of_memory)
{
	struct conex_limits limits = memory_limit(16 * CONEX_MIB);
	struct conex_run_options o = { .limits = &limits };
	char text[200];

	CHECK_INT(box_run_args(&o, CONEX_STRINGS("tail", "/dev/zero")), 137);
	CHECK_INT(box.exit.cause, CONEX_EXIT_OOM);
	CHECK_INT(box.exit.sig, 9);
	CHECK(box.exit.oom_kills >= 1);
	CHECK(box.exit.memory_peak > 8 * CONEX_MIB);
	CHECK(box.exit.memory_peak <= 17 * CONEX_MIB);
	CHECK(box.exit.cpu_ns > 0 && box.exit.wall_ns > 0);
	CHECK(conex_exit_text(&box.exit, text, sizeof text) > 0);
	CHECK(strstr(text, "out of memory") != NULL);
	CHECK_INT(box_run(&o, HOG "; exit $?"), 137);   /* the shell lives to say it */
	CHECK_INT(box.exit.cause, CONEX_EXIT_OOM);
	CHECK_INT(box.exit.code, 137);
	CHECK_INT(box_run(&o, HOG "; exit 3"), 3);      /* and may say something else */
	CHECK_INT(box.exit.cause, CONEX_EXIT_CODE);
	CHECK(box.exit.oom_kills >= 1);
	CHECK_INT(box_run_args(&o, CONEX_STRINGS("sh", "-c", "exit 137")), 137);
	CHECK_INT(box.exit.cause, CONEX_EXIT_CODE);     /* nothing was killed: its own word */
	CHECK_INT(box.exit.oom_kills, 0);
}

/* With nothing to tell the context's descriptor is quiet in the end: what stays readable would be a loop that spins. */
static int becomes_quiet(void)
{
	struct pollfd p = { .fd = conex_fd(box.cx), .events = POLLIN };
	int quiet = 0;

	for (int i = 0; i < 1200 && quiet < 20; i++) {
		struct conex_event ev = { .size = sizeof ev };

		quiet = poll(&p, 1, 0) ? 0 : quiet + 1;
		while (conex_next_event(box.cx, 0, &ev, NULL) > 0)
			;
		usleep(50000);
	}
	return quiet == 20;
}

TEST(a_child_is_killed)
{
	struct conex_limits limits = memory_limit(16 * CONEX_MIB);
	struct conex_run_options o = { .limits = &limits };
	conex_container *c = box_start(&o, CONEX_STRINGS("sh", "-c", HOG "; sleep 1000"));
	struct conex_stats st = { .size = sizeof st };

	if (!box_good(c ? 0 : -1, "start", __FILE__, __LINE__))
		return;
	CHECK_INT(await_event(c, CONEX_EVENT_OOM), 1);
	CHECK(becomes_quiet());
	CHECK_INT(conex_container_state(c), CONEX_RUNNING);
	GOOD(conex_container_stats(c, &st, &box.err));
	CHECK(st.oom_kills >= 1);
	CHECK_INT(st.memory_limit, 16 * CONEX_MIB);
	box_end(c);
}

TEST(no_swap)
{
	struct conex_limits limits = memory_limit(32 * CONEX_MIB);
	struct conex_run_options o = { .limits = &limits };
	conex_container *c = box_sleeper(&o);
	const char *both;

	if (!c)
		return;
	both = cgroup_file(conex_container_pid(c), "memory", "memory.memsw.limit_in_bytes");
	if (both)
		CHECK_INT(atoll(both), 32 * CONEX_MIB);
	box_end(c);
	limits.swap = 8 * CONEX_MIB;
	c = box_sleeper(&o);
	both = c ? cgroup_file(conex_container_pid(c), "memory", "memory.memsw.limit_in_bytes") : NULL;
	if (both)
		CHECK_INT(atoll(both), 40 * CONEX_MIB);
	box_end(c);
}

enum { AT_ONCE = 20 };

static int start_hog(const struct conex_run_options *o)
{
	conex_container *c = NULL;
	struct conex_run_options all = box_options(o);

	if (!GOOD(conex_run(box.cx, NULL, CONEX_STRINGS("tail", "/dev/zero"), &all, &c, &box.err)))
		return 0;
	conex_container_free(c);
	return 1;
}

TEST(many_at_once)
{
	struct conex_limits limits = memory_limit(8 * CONEX_MIB);
	struct conex_run_options o = { .limits = &limits, .flags = CONEX_RUN_NOWAIT | CONEX_RUN_AUTODELETE };
	struct conex_event ev = { .size = sizeof ev };
	int started = 0, ended = 0, true_causes = 0, running = 0, ooms = test_count("CONEX_TEST_OOMS", 200);

	o.data = &started;
	box_clear();
	while (ended < ooms) {
		while (running < AT_ONCE && started < ooms) {
			if (!start_hog(&o))
				return;
			started++;
			running++;
		}
		if (!CHECK_INT(conex_next_event(box.cx, 60000, &ev, &box.err), 1))
			return;
		if (ev.type == CONEX_EVENT_EXITED && ev.data == &started) {     /* not of an earlier test */
			struct conex_exit x = { .size = sizeof x };

			GOOD(conex_container_exit(ev.container, &x, &box.err));
			true_causes += x.cause == CONEX_EXIT_OOM && x.oom_kills >= 1
				&& x.memory_peak <= 9 * CONEX_MIB;
			if (x.cause != CONEX_EXIT_OOM || !x.oom_kills || x.memory_peak > 9 * CONEX_MIB)
				printf("# %s: cause %d status %d kills %u peak %llu\n", conex_container_id(ev.container),
					x.cause, x.status, x.oom_kills, (unsigned long long)x.memory_peak);
			ended++;
			running--;
		}
	}
	CHECK_INT(true_causes, ooms);
}

/* ---- processes, processor time ---- */

TEST(pids)
{
	struct conex_limits limits = { .size = sizeof limits, .pids = 8 };
	struct conex_run_options o = { .limits = &limits };
	struct conex_stats st = { .size = sizeof st };
	conex_container *c;

	CHECK(box_run(&o, "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done; exit 0") != 0);
	CHECK(strstr(box.out, "fork") != NULL);
	c = box_sleeper(&o);
	if (c && GOOD(conex_container_stats(c, &st, &box.err))) {
		CHECK_INT(st.pids, 1);
		CHECK_INT(st.pids_limit, 8);
	}
	limits.pids = 1;                /* live: what runs stays, nothing is added */
	if (c) {
		GOOD(conex_container_update(c, &limits, &box.err));
		GOOD(conex_container_stats(c, &st, &box.err));
		CHECK_INT(st.pids_limit, 1);
		limits.pids = CONEX_UNLIMITED;
		GOOD(conex_container_update(c, &limits, &box.err));
		CHECK_INT(box_exec(c, NULL, "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.01 & done; wait"), 0);
	}
	box_end(c);
}

TEST(cpus)
{
	struct conex_limits limits = { .size = sizeof limits, .cpus = 0.1 };
	struct conex_run_options o = { .limits = &limits };
	struct conex_stats st = { .size = sizeof st };
	conex_container *c = box_start(&o, CONEX_STRINGS("sh", "-c", "while :; do :; done"));
	int tries = 0;

	if (!box_good(c ? 0 : -1, "start", __FILE__, __LINE__))
		return;
	while (GOOD(conex_container_stats(c, &st, &box.err)) && !st.throttled_ns && tries++ < 600)
		usleep(50000);
	CHECK(st.throttled_ns > 0);
	CHECK(st.cpu_ns > 0);
	limits.cpus = (double)CONEX_UNLIMITED;
	GOOD(conex_container_update(c, &limits, &box.err));
	if (cgroup_file(conex_container_pid(c), "cpu", "cpu.cfs_quota_us"))
		CHECK_STR(cgroup_file(conex_container_pid(c), "cpu", "cpu.cfs_quota_us"), "-1");
	box_end(c);
}

/* ---- while it runs ---- */

TEST(updated)
{
	struct conex_limits limits = memory_limit(64 * CONEX_MIB);
	struct conex_run_options o = { .limits = &limits };
	struct conex_stats st = { .size = sizeof st };
	conex_container *c = box_sleeper(&o);

	if (!c)
		return;
	limits.memory = 128 * CONEX_MIB;        /* up: with memsw the order of writes matters */
	GOOD(conex_container_update(c, &limits, &box.err));
	GOOD(conex_container_stats(c, &st, &box.err));
	CHECK_INT(st.memory_limit, 128 * CONEX_MIB);
	limits.memory = 16 * CONEX_MIB;         /* and down */
	GOOD(conex_container_update(c, &limits, &box.err));
	GOOD(conex_container_stats(c, &st, &box.err));
	CHECK_INT(st.memory_limit, 16 * CONEX_MIB);
	CHECK(st.memory > 0 && st.memory <= 16 * CONEX_MIB);
	CHECK_INT(box_exec(c, NULL, HOG "; exit $?"), 137);
	conex_container_ref(c);
	box_end(c);
	CHECK_INT(conex_container_update(c, &limits, &box.err), -ESRCH);
	conex_container_free(c);
}

static uint64_t cpu_of(conex_container *c)
{
	struct conex_stats st = { .size = sizeof st };

	GOOD(conex_container_stats(c, &st, &box.err));
	return st.cpu_ns;
}

/* The kernel says "frozen" while the last one is still on its way off the processor: what it spends there
 * is counted a moment later. */
static int stands_still(conex_container *c, uint64_t *ret)
{
	for (int i = 0; i < 100; i++) {
		*ret = cpu_of(c);
		usleep(50000);
		if (cpu_of(c) == *ret)
			return 1;
	}
	return 0;
}

TEST(paused)
{
	conex_container *c = box_start(NULL, CONEX_STRINGS("sh", "-c", "while :; do :; done"));
	uint64_t then;

	if (!box_good(c ? 0 : -1, "start", __FILE__, __LINE__))
		return;
	CHECK_INT(conex_container_pause(c, 60000, &box.err), 1);
	CHECK_INT(conex_container_state(c), CONEX_PAUSED);
	CHECK(stands_still(c, &then));
	CHECK_INT(box_exec(c, NULL, "true"), -ESRCH);
	SAID("resume it first");
	CHECK_INT(conex_container_pause(c, 1000, &box.err), -EINVAL);
	CHECK_INT(conex_container_resume(c, &box.err), 0);
	CHECK_INT(conex_container_state(c), CONEX_RUNNING);
	for (int i = 0; cpu_of(c) == then && i < 600; i++)
		usleep(10000);
	CHECK(cpu_of(c) > then);
	CHECK_INT(conex_container_resume(c, &box.err), -EINVAL);
	CHECK_INT(conex_container_pause(c, 60000, &box.err), 1);
	box_end(c);             /* what is frozen can be deleted, too */
}

/* As one by one; what runs no more, or is none, is unknown. */
TEST(sampled)
{
	struct conex_limits limits = { .size = sizeof limits, .pids = 17 };
	struct conex_run_options o = { .limits = &limits };
	conex_container *list[4] = { box_sleeper(&o), NULL, box_sleeper(&o), box_sleeper(&o) };
	struct conex_stats st[4] = { { .size = sizeof st[0] } };
	char *text = NULL;

	if (!list[0] || !list[2] || !list[3])
		return;
	GOOD(conex_container_kill(list[3], SIGKILL, &box.err));
	CHECK_INT(conex_container_wait(list[3], -1, NULL, &box.err), 1);
	CHECK_INT(conex_container_sample(list, 4, st, &box.err), 2);
	CHECK_INT(st[0].pids_limit, 17);
	CHECK_INT(st[2].pids, 1);
	CHECK_INT(st[2].size, sizeof st[0]);
	CHECK(st[1].pids == UINT64_MAX && st[3].pids == UINT64_MAX && st[3].cpu_ns == UINT64_MAX);
	GOOD(conex_container_details(list[0], &text, &box.err));
	CHECK(text && text[0] == '{');
	free(text);
	text = NULL;
	CHECK_INT(conex_container_details(list[3], &text, NULL), -ESRCH);
	CHECK(!text);
	for (int i = 0; i < 4; i++)
		box_end(list[i]);
}

/* v2's files by name go through the same check in a launch and in an update. */
TEST(unified)
{
	struct conex_limits limits = { .size = sizeof limits, .oci = OCI({"unified": {"cgroup.max.depth": "3"}}) };
	struct conex_run_options o = { .limits = &limits };
	conex_container *c = box_start(&o, CONEX_STRINGS("sleep", "1000"));

	if (!c && conex_error_code(box.err) == -EOPNOTSUPP) {
		SAID("no v2 hierarchy");
		SKIP("no cgroup v2");
	}
	if (!box_good(c ? 0 : -1, "start", __FILE__, __LINE__))
		return;
	limits.oci = OCI({"unified": {"cgroup.max.depth": "4", "cgroup.max.descendants": "9"}});
	GOOD(conex_container_update(c, &limits, &box.err));
	limits.oci = OCI({"unified": {"../cgroup.procs": "1"}});
	CHECK_INT(conex_container_update(c, &limits, &box.err), -EINVAL);
	SAID("../cgroup.procs");
	limits.oci = OCI({"unified": {"cgroup.procs": "1"}});
	CHECK_INT(conex_container_update(c, &limits, &box.err), -EINVAL);
	box_end(c);
}

/* Allowed later, and taken back: v1's lists and v2's program alike. */
TEST(devices_live)
{
	struct conex_run_options o = { .oci = OCI({"linux": {"devices": [{"path": "/dev/random2", "type": "c", "major": 1,
		"minor": 11}], "resources": {"devices": [{"allow": false, "access": "rwm"}]}}}) };
	struct conex_limits limits = { .size = sizeof limits };
	conex_container *c = box_sleeper(&o);

	if (!c)
		return;
	CHECK_INT(box_exec(c, NULL, "dd if=/dev/null of=/dev/null 2>&1 && ! dd if=/dev/random2 of=/dev/null count=0 2>&1"), 0);
	CHECK(strstr(box.out, "not permitted") != NULL);
	limits.oci = OCI({"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 11,
		"access": "w"}]});
	GOOD(conex_container_update(c, &limits, &box.err));
	CHECK_INT(box_exec(c, NULL, ": >>/dev/random2"), 0);
	limits.oci = OCI({"devices": [{"allow": false, "access": "rwm"}]});
	GOOD(conex_container_update(c, &limits, &box.err));
	CHECK(box_exec(c, NULL, ": >>/dev/random2") != 0);
	box_end(c);
}

TEST(bad_limits)
{
	struct conex_limits limits = { .size = sizeof limits };
	struct conex_run_options o = { .limits = &limits, .id = "bad-limits" };

	limits.cpus = -1;
	CHECK_INT(box_run(&o, "true"), -EINVAL);
	SAID("limits.cpus");
	limits.cpus = 0;
	limits.cpu_weight = 10001;
	CHECK_INT(box_run(&o, "true"), -ERANGE);
	SAID("limits.cpu_weight");
	limits.cpu_weight = 0;
	limits.swap = 5;
	CHECK_INT(box_run(&o, "true"), -EINVAL);
	SAID("limits.swap");
	limits.swap = 0;
	limits.cpuset = "9999";
	CHECK(box_run(&o, "true") < 0);
	SAID("cpu");
	limits.cpuset = NULL;
	limits.oci = "{\"memory\":7}";
	CHECK_INT(box_run(&o, "true"), -EINVAL);
	SAID("memory");
	limits.oci = NULL;
	limits.size = 8;
	CHECK_INT(box_run(&o, "true"), -EINVAL);
	SAID("conex_limits.size");
	limits.size = sizeof limits;
	limits.memory = 4096;           /* too little to start anything */
	CHECK(box_run(&o, "true") != 0);
	box_nothing_left("bad-limits");
}

/* ---- where the cgroups are ---- */

static int in_cgroup(conex_container *c, const char *path)
{
	const char *text = content("/proc/%d/cgroup", (int)conex_container_pid(c));

	return text && strstr(say("%s\n", text), say(":%s\n", path)) != NULL;
}

TEST(default_path)
{
	struct conex_run_options o = { .id = "where-it-is" };
	conex_container *c = box_sleeper(&o);

	if (c)
		CHECK_INT(in_cgroup(c, "/conex/where-it-is"), 1);
	box_end(c);
	box_nothing_left("where-it-is");
}

TEST(cgroups_path)
{
	char name[64];
	struct conex_run_options o = { .id = "else-where" };
	conex_container *c;

	snprintf(name, sizeof name, "/conex-test-%d/inner", (int)getpid());
	o.oci = say("{\"linux\":{\"cgroupsPath\":\"%s\"}}", name);
	c = box_sleeper(&o);
	if (c)
		CHECK_INT(in_cgroup(c, name), 1);
	box_end(c);
	CHECK(command("ls -d /sys/fs/cgroup%s /sys/fs/cgroup/*%s 2>/dev/null | grep .", name, name) != 0);
	command("rmdir /sys/fs/cgroup/conex-test-%d /sys/fs/cgroup/*/conex-test-%d 2>/dev/null", (int)getpid(), (int)getpid());
	o.oci = "{\"linux\":{\"cgroupsPath\":\"/a/../../b\"}}";
	CHECK_INT(box_run(&o, "true"), -EINVAL);
	SAID("cgroupsPath");
}

TEST(other_parent)
{
	char name[64];
	struct conex_options options = { .size = sizeof options, .cgroup = name };
	struct conex_run_options o = { .size = sizeof o, .id = "child", .rootfs = box.root };
	conex_container *c = NULL;
	conex *cx = NULL;

	snprintf(name, sizeof name, "/conex-test-%d", (int)getpid());
	if (!GOOD(conex_open(&options, &cx, &box.err)))
		return;
	if (GOOD(conex_run(cx, NULL, CONEX_STRINGS("sleep", "1000"), &o, &c, &box.err)))
		CHECK_INT(in_cgroup(c, say("%s/child", name)), 1);
	conex_container_free(c);
	conex_close(cx);
	CHECK(command("ls -d /sys/fs/cgroup%s/child /sys/fs/cgroup/*%s/child 2>/dev/null | grep .", name, name) != 0);
	command("rmdir /sys/fs/cgroup%s /sys/fs/cgroup/*%s 2>/dev/null", name, name);
}

static void tests(void)
{
	RUN(out_of_memory);
	RUN(a_child_is_killed);
	RUN(no_swap);
	RUN(many_at_once);
	RUN(pids);
	RUN(cpus);
	RUN(updated);
	RUN(paused);
	RUN(sampled);
	RUN(unified);
	RUN(devices_live);
	RUN(bad_limits);
	RUN(default_path);
	RUN(cgroups_path);
	RUN(other_parent);
}

int main(void)
{
	return with_box(tests);
}
