/* Cgroups as this machine has them, each test once as found and once with v2 hidden, so that on a hybrid
 * machine both ways of killing and freezing run. Everything is made below /conex-test-PID. */
#include "../../lib/cgroup/child.c"
#include "cgroup-fixture.h"

#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>

/* Touches each page, in a way that no compiler leaves out. */
static void hog(size_t size)
{
	volatile char *memory = malloc(size);

	for (size_t i = 0; memory && i < size; i += 4096)
		memory[i] = 1;
}

TEST(found)
{
	CHECK(g->count > 0);
	CHECK_STR(g->parent, parent + 1);
	for (size_t i = 0; i < g->count; i++)
		printf("# %s: %s at %s\n", g->h[i].driver->name, g->h[i].controllers, g->h[i].mount);
}

TEST(out_of_memory)
{
	struct conex_limits l = { .size = sizeof l, .memory = 16 * CONEX_MIB };
	char *path;
	struct cx_cgroup_facts facts;
	struct pollfd p = { .events = POLLIN };
	pid_t pid;

	if (!cx_cgroups_with(g, "memory"))
		SKIP("no memory controller");
	path = make("oom", &l);
	CHECK((p.fd = cx_cgroup_oom_fd(g, NULL)) >= 0);
	CHECK_INT(TELL(cx_cgroup_oom_watch(g, path, &err)), 0);
	if ((pid = fork()) == 0) {
		join_cgroup(path);
		hog(64 << 20);
		_exit(0);
	}
	CHECK_INT(status_of(pid), SIGKILL);
	cx_cgroup_autopsy(g, path, &facts);
	CHECK(facts.oom_kills >= 1);
	CHECK(facts.memory_peak > 12 * CONEX_MIB && facts.memory_peak <= 16 * CONEX_MIB);
	CHECK(facts.cpu_ns > 0);
	CHECK_INT(poll(&p, 1, 60000), 1);
	cx_cgroup_oom_drain(g);
	CHECK(cx_cgroup_oom_kills(g, path) >= 1);
	gone(path);
	cx_cgroup_oom_drain(g);
	CHECK(fcntl(p.fd, F_GETFD) >= 0);
}

/* v1 counts a victim only where it lived. */
TEST(out_of_memory_below)
{
	struct conex_limits l = { .size = sizeof l, .memory = 16 * CONEX_MIB };
	char *path, below[256];
	struct cx_cgroup_facts facts;
	pid_t pid;

	if (!cx_cgroups_with(g, "memory"))
		SKIP("no memory controller");
	path = make("oom", &l);
	snprintf(below, sizeof below, "%s/inner", path);
	make_below(below);
	if ((pid = fork()) == 0) {
		join_cgroup(below);
		hog(64 << 20);
		_exit(0);
	}
	CHECK_INT(status_of(pid), SIGKILL);
	cx_cgroup_autopsy(g, path, &facts);
	CHECK(facts.oom_kills >= 1);
	gone(path);
}

TEST(pids)
{
	struct conex_limits l = { .size = sizeof l, .pids = 3 };
	char *path;
	pid_t pid;

	if (!cx_cgroups_with(g, "pids"))
		SKIP("no pids controller");
	path = make("pids", &l);
	if ((pid = fork()) == 0) {
		int made = 0;

		join_cgroup(path);
		for (pid_t p; (p = fork()) >= 0; made++)
			if (p == 0)
				pause();
		_exit(errno == EAGAIN ? made : 50);
	}
	CHECK_INT(WEXITSTATUS(status_of(pid)), 2);
	CHECK_INT(TELL(cx_cgroup_kill_all(g, path, 60000, &err)), 1);
	gone(path);
}

/* Runs until it has been held back for long enough, whatever else the machine does; what it used in that time. */
static void throttled(const char *path, struct conex_stats *s, int64_t *wall)
{
	int64_t start = cx_now_ns(CLOCK_MONOTONIC);
	pid_t pid = fork();

	if (pid == 0) {
		join_cgroup(path);
		for (;;)
			;
	}
	do {
		usleep(20000);
		CHECK_INT(TELL(cx_cgroup_read_stats(g, path, NULL, s, &err)), 0);
		*wall = cx_now_ns(CLOCK_MONOTONIC) - start;
	} while (s->throttled_ns < 200000000 && *wall < INT64_C(30000000000));
	kill(pid, SIGKILL);
	CHECK_INT(status_of(pid), SIGKILL);
}

TEST(cpu)
{
	struct conex_limits l = { .size = sizeof l, .cpus = 0.2, .cpu_weight = 50 };
	struct conex_stats s = { .size = sizeof s };
	char *path;
	int64_t wall;

	if (!cx_cgroups_with(g, "cpu"))
		SKIP("no cpu controller");
	path = make("cpu", &l);
	throttled(path, &s, &wall);
	CHECK(s.throttled_ns >= 200000000 && s.throttled_ns != UINT64_MAX);
	CHECK(s.cpu_ns > 10000000 && (int64_t)s.cpu_ns < wall / 5 + 50000000);  /* a period begins with its 20 ms */
	gone(path);
}

static int set(const char *path, const char *json)
{
	json_t *resources = json_loads(json, 0, NULL);
	struct cx_cgroup_limits *l = NULL;
	int r = TELL(cx_cgroup_limits_compile(g, resources, &l, &err));

	if (r == 0)
		r = TELL(cx_cgroup_apply(g, path, l, &err));
	cx_cgroup_limits_free(l);
	json_decref(resources);
	return r;
}

/* Up and down again: memory and memsw, quota and burst depend on each other both ways. */
TEST(live)
{
	struct conex_limits l = { .size = sizeof l, .memory = 64 * CONEX_MIB, .cpus = 1 };
	struct conex_stats s;
	char *path;

	if (!cx_cgroups_with(g, "memory") || !cx_cgroups_with(g, "cpu"))
		SKIP("no memory or cpu controller");
	path = make("live", &l);
	CHECK_INT(set(path, "{\"memory\":{\"limit\":134217728,\"swap\":134217728}}"), 0);
	CHECK_INT(set(path, "{\"memory\":{\"limit\":33554432,\"swap\":33554432}}"), 0);
	CHECK_INT(cx_cgroup_read_stats(g, path, NULL, &s, NULL), 0);
	CHECK_INT(s.memory_limit, 33554432);
	CHECK_INT(set(path, "{\"cpu\":{\"quota\":200000,\"burst\":150000}}"), 0);
	CHECK_INT(set(path, "{\"cpu\":{\"quota\":50000,\"burst\":40000}}"), 0);
	CHECK_INT(set(path, "{\"memory\":{\"limit\":-1,\"swap\":-1}}"), 0);
	CHECK_INT(cx_cgroup_read_stats(g, path, NULL, &s, NULL), 0);
	CHECK(s.memory_limit == CONEX_UNLIMITED);
	gone(path);
}

/* v1's default list: what is not in it can't be opened, root or not. */
TEST(devices)
{
	char *path = path_of("devices");
	pid_t pid;

	if (!cx_cgroups_with(g, "devices")) {
		free(path);
		SKIP("no devices controller");
	}
	CHECK_INT(TELL(cx_cgroup_make(g, path, NULL, &err)), 0);
	CHECK_INT(set(path, "{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]}"), 0);
	if ((pid = fork()) == 0) {
		join_cgroup(path);
		_exit(open("/dev/null", O_RDWR) >= 0 && open("/dev/kmsg", O_RDONLY) < 0 && errno == EPERM ? 0 : 1);
	}
	CHECK_INT(status_of(pid), 0);
	gone(path);
}

/* A few sleepers here and in sub-cgroups. */
static void populate(const char *path, pid_t *pids, int count)
{
	for (int i = 0; i < count; i++) {
		char below[256];

		snprintf(below, sizeof below, "%s/%d", path, i % 3);
		if (i < 3)
			make_below(below);
		if ((pids[i] = fork()) == 0) {
			join_cgroup(i % 2 ? below : path);
			for (;;)
				pause();
		}
	}
}

static void wait_for(const char *path, int count)
{
	for (int tries = 0; tries < 60000; tries++) {
		cx_autofree pid_t *pids = NULL;

		if (cx_cgroup_count(g, path, &pids) == count)
			return;
		usleep(1000);
	}
	CHECK(!"all have joined");
}

TEST(kill)
{
	struct conex_limits l = { .size = sizeof l };
	char *path = make("kill", &l);
	pid_t pids[20];

	populate(path, pids, 20);
	wait_for(path, 20);
	CHECK_INT(TELL(cx_cgroup_remove(g, path, &err)), 0);
	CHECK_INT(TELL(cx_cgroup_kill_all(g, path, 60000, &err)), 1);
	for (int i = 0; i < 20; i++)
		CHECK_INT(status_of(pids[i]), SIGKILL);
	gone(path);
}

TEST(freeze)
{
	struct conex_limits l = { .size = sizeof l };
	char *path = make("freeze", &l);
	volatile uint64_t *n = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t seen;
	pid_t pid = fork();

	if (pid == 0) {
		join_cgroup(path);
		for (;; usleep(100))
			++*n;
	}
	wait_for(path, 1);
	CHECK_INT(TELL(cx_cgroup_freeze_path(g, path, 1, 60000, &err)), 1);
	seen = *n;
	usleep(30000);
	CHECK(*n == seen);
	CHECK_INT(TELL(cx_cgroup_freeze_path(g, path, 0, 60000, &err)), 1);
	for (int tries = 0; tries < 60000 && *n == seen; tries++)
		usleep(1000);
	CHECK(*n > seen);
	CHECK_INT(TELL(cx_cgroup_freeze_path(g, path, 1, 60000, &err)), 1);
	CHECK_INT(TELL(cx_cgroup_kill_all(g, path, 60000, &err)), 1); /* frozen ones as well */
	CHECK_INT(status_of(pid), SIGKILL);
	munmap((void *)n, 4096);
	gone(path);
}

/* Processes that do nothing but fork while they are being killed. By vfork, so that there are never more than
 * twice as many, however slow the machine is: in v2 alone there may be no pids controller to hold them. */
TEST(racing_forks)
{
	struct conex_limits l = { .size = sizeof l };
	char *path = make("race", &l);
	pid_t pid = fork();

	if (pid == 0) {
		join_cgroup(path);
		signal(SIGCHLD, SIG_IGN);
		for (int made = 0; made < 30 && fork() > 0; made++)
			;
		for (;;)
			if (vfork() == 0)
				_exit(0);
	}
	usleep(50000);
	CHECK_INT(TELL(cx_cgroup_kill_all(g, path, 60000, &err)), 1);
	CHECK_INT(status_of(pid), SIGKILL);
	gone(path);
}

TEST(deep)
{
	struct conex_limits l = { .size = sizeof l };
	char *path = make("deep", &l), below[4096];
	int n = snprintf(below, sizeof below, "%s", path);

	for (int i = 0; i < 40; i++) { /* the kernel's own paths end at 4 KiB */
		n += snprintf(below + n, sizeof below - (size_t)n, "/a-rather-long-name-of-a-cgroup-%d", i);
		CHECK(mkdirat(g->h[0].fd, below, 0755) == 0);
	}
	gone(path);
}

static int entries(int fd)
{
	DIR *dir = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	int n = 0;

	while (dir && readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int descriptors(void)
{
	cx_autoclose int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);

	return entries(fd);
}

/* Of our own parent: others make cgroups beside it meanwhile. */
static int in_parent(size_t i)
{
	cx_autoclose int fd = openat(g->h[i].fd, g->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK(fd >= 0);
	return entries(fd);
}

TEST(nothing_is_left)
{
	struct conex_limits l = { .size = sizeof l };
	char *path = make("first", &l);
	int fds, before[CX_CGROUP_HIERARCHIES];
	int64_t start;

	gone(path);
	fds = descriptors();
	for (size_t i = 0; i < g->count; i++)
		before[i] = in_parent(i);
	start = cx_now_ns(CLOCK_MONOTONIC);
	for (int n = 0; n < 200; n++) {
		path = make("again", &l);
		gone(path);
	}
	printf("# make and remove in %zu hierarchies: %.1f us\n", g->count,
		(double)(cx_now_ns(CLOCK_MONOTONIC) - start) / 200000);
	for (size_t i = 0; i < g->count; i++)
		CHECK_INT(in_parent(i), before[i]);
	CHECK_INT(descriptors(), fds);
}

/* Not below our own parent: its levels are made, cpusets filled, and between goes what was ours. */
TEST(elsewhere)
{
	char absolute[128], *path = NULL;
	int status;
	pid_t pid;

	for (int below = 0; below < 2; below++) {
		snprintf(absolute, sizeof absolute, "%s-elsewhere/a/b", below ? "x" : parent);
		CHECK_INT(TELL(cx_cgroup_path(g, absolute, "id", &path, &err)), 0);
		CHECK_INT(TELL(cx_cgroup_make(g, path, NULL, &err)), 0);
		CHECK_INT(cx_cgroup_make(g, path, NULL, NULL), 0);      /* unused: it was made for us */
		if ((pid = fork()) == 0) {
			join_cgroup(path);
			raise(SIGSTOP);
			_exit(0);
		}
		CHECK_INT(waitpid(pid, &status, WUNTRACED), pid);
		CHECK(WIFSTOPPED(status));
		CHECK_INT(cx_cgroup_make(g, path, NULL, NULL), -EEXIST); /* in use: theirs */
		kill(pid, SIGCONT);
		CHECK_INT(status_of(pid), 0);
		gone(path);
	}
	for (size_t i = 0; i < g->count; i++) { /* an absolute one's upper levels are the user's */
		snprintf(absolute, sizeof absolute, "%s-elsewhere/a", parent + 1);
		CHECK(unlinkat(g->h[i].fd, absolute, AT_REMOVEDIR) == 0);
		*strrchr(absolute, '/') = '\0';
		CHECK(unlinkat(g->h[i].fd, absolute, AT_REMOVEDIR) == 0);
		CHECK(entries(g->h[i].fd) > 0);
	}
}

TEST(public_functions)
{
	struct conex cx = { .g = g };
	struct conex_limits l = { .size = sizeof l, .memory = 64 * CONEX_MIB };
	struct conex_stats s = { .size = sizeof s };
	conex_cgroup *c = NULL, *same = NULL;
	pid_t *list = NULL, pid;
	int dummy;

	if (!cx_cgroups_with(g, "memory"))
		l.memory = 0;
	CHECK_INT(conex_cgroup_create(&cx, "../x", &l, &c, NULL), -EINVAL);
	CHECK_INT(conex_cgroup_get(&cx, "alone", &c, NULL), -ENOENT);
	CHECK_INT(TELL(conex_cgroup_create(&cx, "alone", &l, &c, &err)), 0);
	CHECK_INT(conex_cgroup_get(&cx, "alone", &same, NULL), 0);
	if ((pid = fork()) == 0)
		for (;;)
			pause();
	CHECK_INT(conex_cgroup_add(c, getpid(), NULL), -EINVAL);
	CHECK_INT(TELL(conex_cgroup_add(c, pid, &err)), 0);
	CHECK_INT(conex_cgroup_pids(c, &list, NULL), 1);
	CHECK(list && list[0] == pid);
	free(list);
	CHECK_INT(TELL(conex_cgroup_stats(same, &s, &err)), 0);
	CHECK(!l.memory || s.memory_limit == l.memory);
	if (l.memory)
		CHECK_INT(TELL(conex_cgroup_watch(c, "oom", &dummy, &err)), 0);
	CHECK_INT(conex_cgroup_watch(c, "memory 15/1s", NULL, NULL), -EINVAL);
	CHECK_INT(TELL(conex_cgroup_freeze(c, 60000, &err)), 1);
	CHECK_INT(TELL(conex_cgroup_thaw(c, &err)), 0);
	CHECK_INT(TELL(conex_cgroup_kill(c, &err)), 0);
	CHECK_INT(status_of(pid), SIGKILL);
	CHECK_INT(TELL(conex_cgroup_delete(c, 60000, &err)), 1);
	CHECK_STR(cx.journal, "");
	CHECK_INT(conex_cgroup_stats(c, &s, NULL), -ENOENT);
	conex_cgroup_free(c);
	conex_cgroup_free(same);
}

/* A plan of this module's operations alone, played in a child as the keeper's child would. */
static void play(const struct cx_plan *plan, const char *path, const char *root)
{
	struct { struct cx_launch head; char path[256]; } launch = { .head = { .magic = CX_LAUNCH_MAGIC } };
	struct cx_child c = { .plan = plan, .launch = &launch.head, .root = -1 };
	const struct cx_op *op = (const struct cx_op *)(plan + 1);

	snprintf(launch.path, sizeof launch.path, "%s", path);
	launch.head.slot[CX_SLOT_CGROUP] = offsetof(__typeof__(launch), path);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		_exit(2);
	c.root = open(root, O_PATH | O_DIRECTORY);
	for (uint32_t i = 0; i < plan->operations; i++) {
		int r = op[i].code == CX_OP_cgroup_attach ? cx_child_cgroup_attach(&c, &op[i])
			: op[i].code == CX_OP_unshare ? unshare((int)op[i].arg[0])
			: cx_child_mount_cgroup(&c, &op[i]);

		if (r < 0)
			_exit(3);
	}
}

/* What a container sees: one directory a hierarchy, whose root is its own cgroup, read-only. */
static int looks_right(const char *at)
{
	char path[512];
	char *text = NULL;
	int wrong = 0, seen = 0;

	if (cx_file_load(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &text) < 0)
		return 0;
	for (char *save, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char root[256], point[256];

		if (!strstr(line, at) || !strstr(line, " - cgroup") || sscanf(line, "%*s %*s %*s %255s %255s", root, point) != 2)
			continue;
		snprintf(path, sizeof path, "%s/cgroup.procs", point);
		seen++;
		wrong += strcmp(root, "/") != 0;
		wrong += access(path, R_OK) != 0;
		wrong += open(path, O_WRONLY) >= 0 || errno != EROFS;
		if (wrong)
			printf("# %s (%s)\n", line, strerror(errno));
	}
	free(text);
	snprintf(path, sizeof path, "%s/new", at);
	return !wrong && seen == (int)g->count && mkdir(path, 0755) < 0;
}

TEST(seen_inside)
{
	struct conex_limits l = { .size = sizeof l };
	char *path = make("inside", &l), root[] = "/tmp/conex-test-XXXXXX", at[128];
	struct cx_build build = { .failed = 0 };
	struct cx_compile c = { .build = &build, .made = CONEX_NS_CGROUP, .cgroups = g };
	struct cx_plan *plan = NULL;
	pid_t pid;

	CHECK(mkdtemp(root) != NULL);
	CHECK_INT(TELL(cx_cgroup_compile(&c, g, &err)), 0);
	CHECK_INT(TELL(cx_cgroup_compile_mount(&c, "mounts[0]", "/sys/fs/cgroup", CX_MOUNT_ATTR_RDONLY | CX_MOUNT_ATTR_NOSUID, &err)), 0);
	CHECK_INT(TELL(cx_build_end(&build, &plan, &err)), 0);
	snprintf(at, sizeof at, "%s/sys/fs/cgroup", root);
	if ((pid = fork()) == 0) {
		if (cx_cgroups_v2(g))
			cx_cgroup_write(cx_cgroups_v2(g), path, "cgroup.procs", "0");
		play(plan, path, root);
		_exit(looks_right(at) ? 0 : 4);
	}
	CHECK_INT(WEXITSTATUS(status_of(pid)), 0);
	for (int cut = 0; cut < 4; cut++) { /* the mount point's directories were made in the root */
		CHECK(rmdir(at) == 0);
		*strrchr(at, '/') = '\0';
	}
	free(plan);
	gone(path);
}

/* The host process is where it was, in every hierarchy that we use (others may come and go meanwhile). */
TEST(not_moved)
{
	cx_autofree char *now = NULL, *table = NULL;
	struct cx_cgroups *seen = NULL;

	CHECK(cx_file_load(AT_FDCWD, "/proc/self/cgroup", 1 << 20, &now) > 0);
	CHECK(cx_file_load(AT_FDCWD, "/proc/self/mountinfo", 1 << 22, &table) > 0);
	CHECK_INT(cx_cgroups_parse(table, now, &seen), 0);
	for (size_t i = 0; i < g->count; i++)
		for (size_t k = 0; k < seen->count; k++)
			if (seen->h[k].dev == g->h[i].dev)
				CHECK_STR(seen->h[k].own, g->h[i].own);
	cx_cgroups_free(seen);
}

TEST(pruned)
{
	struct stat st;

	cx_cgroups_prune(g);
	for (size_t i = 0; i < g->count; i++)
		CHECK(fstatat(g->h[i].fd, g->parent, &st, 0) < 0 && errno == ENOENT);
}

static void all(void)
{
	RUN(found);
	RUN(out_of_memory);
	RUN(out_of_memory_below);
	RUN(pids);
	RUN(cpu);
	RUN(live);
	RUN(devices);
	RUN(kill);
	RUN(freeze);
	RUN(racing_forks);
	RUN(deep);
	RUN(nothing_is_left);
	RUN(elsewhere);
	RUN(public_functions);
	RUN(seen_inside);
	RUN(not_moved);
	RUN(pruned);
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
	all();
	if (detect_without(" - cgroup2 "))
		all();
	if (detect_without(" - cgroup "))
		all();
	free(self);
	return test_end();
}
