/* What conex_cgroup_watch promises, through the context's one descriptor, as an event loop sees it. What this machine
 * can't tell must be refused with the reason. */
#include "../test.h"
#include "tell.h"

#include <conex/conex.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

enum { PATIENCE_S = 120 };

static conex *cx;

static conex_cgroup *group(const struct conex_limits *limits)
{
	static int number;
	conex_cgroup *g = NULL;
	char name[32];

	snprintf(name, sizeof name, "events-%d-%d", (int)getpid(), number++);
	return TELL(conex_cgroup_create(cx, name, limits, &g, &err)) < 0 ? NULL : g;
}

static void end(conex_cgroup *g)
{
	CHECK_INT(TELL(conex_cgroup_delete(g, -1, &err)), 1);
	conex_cgroup_free(g);
}

/* Polls as a program's own loop would, until this event comes, with this data; others are noted in *others. */
static int await(int type, const void *data, int *others)
{
	struct pollfd p = { .fd = conex_fd(cx), .events = POLLIN };
	time_t until = time(NULL) + PATIENCE_S;

	while (time(NULL) < until) {
		struct conex_event ev = { .size = sizeof ev };

		poll(&p, 1, 100);
		poll(&p, 1, 0); /* some loops look twice */
		while (TELL(conex_next_event(cx, 0, &ev, &err)) > 0) {
			if (ev.type == type && ev.data == data && !ev.container)
				return 1;
			if (others)
				++*others;
		}
	}
	return 0;
}

/* Nothing more comes, at least not at once. */
static int quiet(void)
{
	struct conex_event ev = { .size = sizeof ev };

	return TELL(conex_next_event(cx, 0, &ev, &err)) == 0;
}

/* A child that waits to be let go, so that it is in the group before it works. */
static int go[2];
static pid_t worker(conex_cgroup *g, void (*work)(void))
{
	pid_t pid;
	char c;

	CHECK(pipe(go) == 0);
	if ((pid = fork()) == 0) {
		close(go[1]);
		if (read(go[0], &c, 1) >= 0)
			work();
		_exit(0);
	}
	close(go[0]);
	CHECK_INT(TELL(conex_cgroup_add(g, pid, &err)), 0);
	close(go[1]);
	return pid;
}

static void fork_one(void)
{
	for (int i = 0; i < 3; i++)
		if (fork() == 0)
			pause();
	pause();
}

static void do_nothing(void)
{
}

static void hog(void)
{
	for (size_t i = 0; i < 64 << 20; i += 4096) {
		volatile char *page = malloc(4096);

		*page = 1;
	}
}

static void spin(void)
{
	for (int i = 0; i < 7; i++)
		if (fork() == 0)
			break;
	for (;;)
		;
}

TEST(pids_max)
{
	struct conex_limits l = { .size = sizeof l, .pids = 2 };
	conex_cgroup *g = group(&l);
	int mine, other, r;
	pid_t pid;

	if (!g)
		SKIP("no pids controller");
	r = TELL(conex_cgroup_watch(g, "pids.max", &mine, &err));
	if (r == -EOPNOTSUPP) {
		end(g);
		SKIP("v1 doesn't tell");
	}
	CHECK_INT(r, 0);
	CHECK(quiet());
	pid = worker(g, fork_one);
	CHECK_INT(await(CONEX_EVENT_LIMIT, &mine, NULL), 1);
	CHECK_INT(TELL(conex_cgroup_watch(g, "pids.max", &other, &err)), 0);
	CHECK(quiet());
	end(g);
	waitpid(pid, NULL, 0);
	CHECK(quiet());
}

/* More than one of a kind and of several kinds, each with its own data; twice empty is two events. */
TEST(empty)
{
	conex_cgroup *g = group(NULL);
	int first, second, r;

	r = TELL(conex_cgroup_watch(g, "empty", &first, &err));
	if (r == -EOPNOTSUPP) {
		end(g);
		SKIP("no cgroup v2");
	}
	CHECK_INT(r, 0);
	for (int i = 0; i < 2; i++) {
		pid_t pid = worker(g, do_nothing);

		waitpid(pid, NULL, 0);
		CHECK_INT(await(CONEX_EVENT_EMPTY, &first, NULL), 1);
	}
	CHECK_INT(TELL(conex_cgroup_watch(g, "empty", &second, &err)), 0);
	waitpid(worker(g, do_nothing), NULL, 0);
	CHECK_INT(await(CONEX_EVENT_EMPTY, &second, NULL), 1);
	end(g);
}

/* Freezing what is empty is no news of that kind. */
TEST(not_empty)
{
	conex_cgroup *g = group(NULL);
	int data, r;
	pid_t pid;

	r = TELL(conex_cgroup_watch(g, "empty", &data, &err));
	if (r == -EOPNOTSUPP) {
		end(g);
		SKIP("no cgroup v2");
	}
	pid = worker(g, (void (*)(void))pause);
	CHECK_INT(TELL(conex_cgroup_freeze(g, -1, &err)), 1);
	CHECK_INT(TELL(conex_cgroup_thaw(g, &err)), 0);
	CHECK(quiet());
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK_INT(await(CONEX_EVENT_EMPTY, &data, NULL), 1);
	end(g);
}

TEST(oom)
{
	struct conex_limits l = { .size = sizeof l, .memory = 16 * CONEX_MIB };
	conex_cgroup *g = group(&l);
	int oom, max, r;
	pid_t pid;

	if (!g)
		SKIP("no memory controller");
	CHECK_INT(TELL(conex_cgroup_watch(g, "oom", &oom, &err)), 0);
	r = TELL(conex_cgroup_watch(g, "memory.max", &max, &err));
	CHECK(r == 0 || r == -EOPNOTSUPP);
	pid = worker(g, hog);
	CHECK_INT(await(CONEX_EVENT_OOM, &oom, NULL), 1);
	waitpid(pid, NULL, 0);
	end(g);
	if (r < 0)
		return;
	g = group(&l);
	CHECK_INT(TELL(conex_cgroup_watch(g, "memory.max", &max, &err)), 0);
	pid = worker(g, hog);
	CHECK_INT(await(CONEX_EVENT_LIMIT, &max, NULL), 1);
	waitpid(pid, NULL, 0);
	end(g);
}

TEST(memory_high)
{
	struct conex_limits l = { .size = sizeof l, .memory = 64 * CONEX_MIB, .oci = "{\"unified\": {\"memory.high\": \"8388608\"}}" };
	conex_cgroup *g = group(&l);
	int data;
	pid_t pid;

	if (!g)
		SKIP("memory.high is v2's");
	CHECK_INT(TELL(conex_cgroup_watch(g, "memory.high", &data, &err)), 0);
	pid = worker(g, hog);
	CHECK_INT(await(CONEX_EVENT_LIMIT, &data, NULL), 1);
	end(g);
	waitpid(pid, NULL, 0);
}

/* Eight that want a processor at once wait for it, again and again; of memory they want nothing. */
TEST(pressure)
{
	conex_cgroup *g = group(NULL);
	int data, never, others = 0, r;
	pid_t pid;

	r = TELL(conex_cgroup_watch(g, "cpu 20ms/2s", &data, &err));
	if (r < 0) {
		CHECK(r == -EOPNOTSUPP || r == -ENOENT || r == -EINVAL);
		end(g);
		SKIP("no pressure is measured here");
	}
	CHECK_INT(TELL(conex_cgroup_watch(g, "memory full 2s/2s", &never, &err)), 0);
	CHECK(quiet());
	pid = worker(g, spin);
	CHECK_INT(await(CONEX_EVENT_PRESSURE, &data, &others), 1);
	CHECK_INT(await(CONEX_EVENT_PRESSURE, &data, &others), 1);      /* again while it lasts */
	CHECK_INT(others, 0);
	end(g);
	waitpid(pid, NULL, 0);
}

static void read_much(void)
{
	char block[65536], path[] = "/var/tmp/conex-events-XXXXXX";
	int fd = mkstemp(path);

	unlink(path);
	memset(block, 'x', sizeof block);
	for (int round = 0; round < 20; round++)
		for (int i = 0; i < 1024; i++)
			if (pwrite(fd, block, sizeof block, (off_t)i * (off_t)sizeof block) < 0)
				_exit(1);
}

TEST(level)
{
	struct conex_limits l = { .size = sizeof l, .memory = 8 * CONEX_MIB };
	conex_cgroup *g = group(&l);
	int data, r;
	pid_t pid;

	if (!g)
		SKIP("no memory controller");
	r = TELL(conex_cgroup_watch(g, "memory low", &data, &err));
	if (r == -EOPNOTSUPP) {
		end(g);
		SKIP("levels are v1's");
	}
	CHECK_INT(r, 0);
	pid = worker(g, read_much);
	CHECK_INT(await(CONEX_EVENT_PRESSURE, &data, NULL), 1);
	end(g);
	waitpid(pid, NULL, 0);
}

TEST(refused)
{
	static const char *const bad[] = {
		"", "ooms", "memory", "memory ", "memory 150ms", "memory 150/1s", "memory 150ms/1s ", "memory 2s/1s",
		"memory 1ms/100ms", "memory 1s/11s", "cpu most 1s/2s", "disk 1s/2s", "memory 0ms/1s", "io 99999999999999s/2s",
	};
	conex_cgroup *g = group(NULL);

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		conex_error *err = NULL;

		if (!CHECK_INT(conex_cgroup_watch(g, bad[i], NULL, &err), -EINVAL))
			printf("# \"%s\": %s\n", bad[i], conex_error_text(err));
		CHECK(*conex_error_hint(err));
		conex_error_free(err);
	}
	CHECK_INT(conex_cgroup_watch(g, NULL, NULL, NULL), -EINVAL);
	CHECK(quiet());
	end(g);
}

int main(void)
{
	conex_error *err = NULL;

	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	if (conex_open(NULL, &cx, &err) < 0) {
		printf("Bail out! %s\n", conex_error_text(err));
		return 1;
	}
	RUN(pids_max);
	RUN(empty);
	RUN(not_empty);
	RUN(oom);
	RUN(memory_high);
	RUN(pressure);
	RUN(level);
	RUN(refused);
	conex_close(cx);
	return test_end();
}
