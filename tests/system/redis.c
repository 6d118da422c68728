/* A real service: Debian's redis-server with its libraries in a root file system of its own, on a network
 * of its own, limited, asked through exec, stopped politely. */
#include "system/box.h"

static conex_container *redis;

/* The two programs and every library that they are linked with, where they look for them. The box has
 * /lib and /lib64 as links into /usr, as Debian has. */
static int copy_redis(void)
{
	return command("set -e; mkdir -p %s/usr/lib %s/usr/lib64; for p in redis-server redis-cli; do p=$(command -v $p);"
		"for f in $p $(ldd $p | grep -o '/[^ ]*'); do mkdir -p %s/${f%%/*}; cp -L $f %s/$f; done; done;"
		"echo redis:x:999:999::/tmp:/bin/sh >>%s/etc/passwd",
		box.root, box.root, box.root, box.root, box.root);
}

TEST(start)
{
	struct conex_limits limits = { .size = sizeof limits, .memory = 64 * CONEX_MIB, .pids = 64 };
	struct conex_run_options o = { .id = say("redis-%d", (int)getpid()), .user = "redis", .cwd = "/tmp",
		.limits = &limits, .flags = CONEX_RUN_READ_ONLY, .grace_ms = 30000,
		.mounts = CONEX_MOUNTS({ NULL, "/tmp", "tmpfs", "mode=1777,size=32m" }),
		.out = CONEX_STDIO_PIPE, .err = CONEX_STDIO_OUT };

	if (command("command -v redis-server redis-cli >/dev/null") != 0)
		SKIP("needs redis-server");
	CHECK_INT(copy_redis(), 0);
	redis = box_start(&o, CONEX_STRINGS("redis-server", "--save", "", "--dir", "/tmp", "--maxmemory", "16mb"));
	box_good(redis ? 0 : -1, "redis-server", __FILE__, __LINE__);
}

#define NEEDS_REDIS() if (!redis) SKIP("redis-server doesn't run")

TEST(ping)
{
	int tries;

	NEEDS_REDIS();
	for (tries = 0; tries < 1200; tries++) {
		if (box_exec_args(redis, NULL, CONEX_STRINGS("redis-cli", "PING")) == 0 && !strcmp(box.out, "PONG"))
			break;
		usleep(50000);
	}
	CHECK_STR(box.out, "PONG");
}

TEST(data)
{
	NEEDS_REDIS();
	CHECK_INT(box_exec_args(redis, NULL, CONEX_STRINGS("redis-cli", "SET", "box", "conex")), 0);
	CHECK_STR(box.out, "OK");
	CHECK_INT(box_exec_args(redis, NULL, CONEX_STRINGS("redis-cli", "GET", "box")), 0);
	CHECK_STR(box.out, "conex");
	CHECK_INT(box_exec_args(redis, NULL, CONEX_STRINGS("redis-cli", "INFO", "server")), 0);
	CHECK(strstr(box.out, "process_id:1\r\n") != NULL);
	CHECK_INT(box_exec(redis, NULL, "id -un; touch /file"), 1);
	CHECK(!strncmp(box.out, "redis\n", 6));
}

/* Loopback of its own: from here nobody answers on the port that it listens on in there. */
TEST(network)
{
	NEEDS_REDIS();
	CHECK_INT(box_exec(redis, NULL, "ls /sys/class/net"), 0);
	CHECK_STR(box.out, "lo");
	CHECK_INT(box_exec(redis, NULL, "grep -c ' 00000000:18EB .* 0A ' /proc/net/tcp"), 0);
	CHECK_INT(strcmp(ns_of(conex_container_pid(redis), "net"), ns_of(0, "net")) != 0, 1);
}

/* The kernel's limit holds, and redis's own below that answers before it. */
TEST(memory)
{
	struct conex_stats s = { .size = sizeof s };

	NEEDS_REDIS();
	CHECK_INT(box_exec_args(redis, NULL, CONEX_STRINGS("redis-cli", "EVAL",
		"local t = string.rep('x', 1024 * 1024) for i = 1, 30 do redis.call('SET', i, t) end", "0")), 0);
	CHECK_INT(box_exec_args(redis, NULL, CONEX_STRINGS("redis-cli", "SET", "one", "more")), 0);
	CHECK(strstr(box.out, "OOM command not allowed") != NULL);
	GOOD(conex_container_stats(redis, &s, &box.err));
	CHECK_INT(s.memory_limit, 64 * CONEX_MIB);
	CHECK(s.memory > CONEX_MIB && s.memory <= 64 * CONEX_MIB);
	CHECK(s.pids >= 1 && s.pids <= 64);
	CHECK_INT(s.oom_kills, 0);
}

/* SIGTERM, and it ends by itself within the grace. */
TEST(stop)
{
	char id[65];

	NEEDS_REDIS();
	box_clear();
	GOOD(conex_container_stop(redis, &box.err));
	CHECK_INT(conex_container_output(redis, 60000, &box.io, &box.err), 1);
	CHECK_INT(conex_container_wait(redis, 60000, NULL, &box.err), 1);
	GOOD(conex_container_exit(redis, &box.exit, &box.err));
	CHECK_INT(box.exit.cause, CONEX_EXIT_STOPPED);
	CHECK_INT(box.exit.code, 0);
	CHECK(strstr(box.io.out, "Redis is now ready to exit") != NULL);
	snprintf(id, sizeof id, "%s", conex_container_id(redis));
	box_end(redis);
	box_nothing_left(id);
}

static void tests(void)
{
	RUN(start);
	RUN(ping);
	RUN(data);
	RUN(network);
	RUN(memory);
	RUN(stop);
}

int main(void)
{
	return with_box(tests);
}
