/* Device programs in the kernel: it takes what program.c builds, a cgroup of v2 obeys it, and an update leaves no
 * moment without rules. v1's lists are hidden, for a machine that has them uses them. */
#include "cgroup-fixture.h"

#include <linux/bpf.h>
#include <signal.h>
#include <sys/sysmacros.h>

#define DENY "{\"allow\": false, \"access\": \"rwm\"}"
#define KMSG_READ "{\"allow\": true, \"type\": \"c\", \"major\": 1, \"minor\": 11, \"access\": \"r\"}"

static char nodes[] = "/tmp/conex-devices-XXXXXX";

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

static char *group(const char *id)
{
	char *path = path_of(id);

	CHECK_INT(TELL(cx_cgroup_make(g, path, NULL, &err)), 0);
	return path;
}

/* 0, or the errno of opening a node of our own */
static int opens(const char *name, int flags)
{
	char path[64];
	int fd, failed;

	snprintf(path, sizeof path, "%s/%s", nodes, name);
	fd = open(path, flags | O_NONBLOCK);
	failed = fd < 0 ? errno : 0;
	cx_closep(&fd);
	return failed;
}

/* What a process in the cgroup may do, each answer a letter: + it may, - EPERM, ! something else */
static const char *may(const char *path)
{
	static char answers[16];
	char node[64];
	int ends[2];
	pid_t pid;

	CHECK(pipe(ends) == 0);
	if ((pid = fork()) == 0) {
		char said[6];
		int got[6];

		join_cgroup(path);
		got[0] = opens("null", O_RDWR);
		got[1] = opens("kmsg", O_RDONLY);
		got[2] = opens("kmsg", O_WRONLY);
		got[3] = opens("kmsg", O_RDWR);
		got[4] = opens("loop", O_RDONLY);
		snprintf(node, sizeof node, "%s/new", nodes);
		got[5] = mknod(node, S_IFCHR | 0600, makedev(240, 1)) < 0 ? errno : 0;
		unlink(node);
		for (int i = 0; i < 6; i++)
			said[i] = got[i] == 0 ? '+' : got[i] == EPERM ? '-' : '!';
		_exit(write(ends[1], said, sizeof said) == sizeof said ? 0 : 1);
	}
	close(ends[1]);
	answers[read(ends[0], answers, sizeof answers - 1) > 0 ? 6 : 0] = '\0';
	close(ends[0]);
	CHECK_INT(status_of(pid), 0);
	return answers;
}

static int programs(const char *path)
{
	cx_autoclose int dir = cx_cgroup_open(cx_cgroups_v2(g), "", path, O_RDONLY | O_DIRECTORY);
	union bpf_attr a;

	memset(&a, 0, sizeof a);
	a.query.target_fd = (uint32_t)dir;
	a.query.attach_type = BPF_CGROUP_DEVICE;
	return cx_sys_bpf(BPF_PROG_QUERY, &a, sizeof a) < 0 ? -errno : (int)a.query.prog_cnt;
}

TEST(obeyed)
{
	char *path = group("obeyed");
	const char *loop = opens("loop", O_RDONLY) ? "!" : "+";

	CHECK_INT(programs(path), 0);
	CHECK_INT(set(path, "{\"devices\": [" DENY "]}"), 0);
	CHECK_STR(may(path), "+----+");
	CHECK_INT(set(path, "{\"devices\": [" DENY ", " KMSG_READ "]}"), 0);
	CHECK_STR(may(path), "++---+");
	CHECK_INT(set(path, "{\"devices\": [{\"allow\": true}, {\"allow\": false, \"type\": \"c\", \"major\": 1, \"access\": \"w\"}]}"), 0);
	CHECK(!strncmp(may(path), "++--", 4));
	CHECK_INT(may(path)[4], loop[0]);
	CHECK_INT(programs(path), 1);
	gone(path);
}

/* On top of what a program of somebody else allows. */
TEST(others_stay)
{
	static const struct cx_device_rule all = { 'a', CX_DEVICE_ANY, 1, -1, -1 };
	struct cx_device_program p = { NULL, 0 };
	char *path = group("others");
	cx_autoclose int dir = cx_cgroup_open(cx_cgroups_v2(g), "", path, O_RDONLY | O_DIRECTORY), fd = -1;
	union bpf_attr a;

	CHECK_INT(cx_device_program_build(&all, 1, &p), 0);
	memset(&a, 0, sizeof a);
	a.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	a.insns = (uint64_t)(uintptr_t)p.insns;
	a.insn_cnt = p.count;
	a.license = (uint64_t)(uintptr_t)"";
	memcpy(a.prog_name, "somebody", 8);
	CHECK((fd = cx_sys_bpf(BPF_PROG_LOAD, &a, sizeof a)) >= 0);
	memset(&a, 0, sizeof a);
	a.target_fd = (uint32_t)dir;
	a.attach_bpf_fd = (uint32_t)fd;
	a.attach_type = BPF_CGROUP_DEVICE;
	a.attach_flags = BPF_F_ALLOW_MULTI;
	CHECK(cx_sys_bpf(BPF_PROG_ATTACH, &a, sizeof a) == 0);
	for (int i = 0; i < 3; i++)
		CHECK_INT(set(path, "{\"devices\": [" DENY "]}"), 0);
	CHECK_INT(programs(path), 2);
	CHECK_STR(may(path), "+----+");
	free(p.insns);
	gone(path);
}

/* A process opens what both lists deny, and what both allow, while one takes the other's place. */
TEST(replaced_at_once)
{
	char *path = group("replaced");
	int status;
	pid_t pid;

	CHECK_INT(set(path, "{\"devices\": [" DENY "]}"), 0);
	if ((pid = fork()) == 0) {
		join_cgroup(path);
		for (;;)
			if (opens("kmsg", O_RDWR) != EPERM || opens("null", O_RDWR) != 0)
				_exit(1);
	}
	for (int i = 0; i < 300; i++)
		CHECK_INT(set(path, i % 2 ? "{\"devices\": [" DENY "]}" : "{\"devices\": [" DENY ", " KMSG_READ "]}"), 0);
	CHECK_INT(programs(path), 1);
	kill(pid, SIGKILL);
	CHECK_INT(status = status_of(pid), SIGKILL);
	gone(path);
}

static unsigned noise(unsigned below)
{
	static uint64_t state = 9;

	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % below;
}

static int loads(const struct cx_device_rule *rules, size_t count)
{
	struct cx_device_program p = { NULL, 0 };
	cx_autoclose int fd = -1;

	CHECK_INT(cx_device_program_build(rules, count, &p), 0);
	fd = cx_device_program_load(&p);
	free(p.insns);
	return fd < 0 ? fd : 0;
}

/* The verifier's word on any rules. */
TEST(verified)
{
	static struct cx_device_rule rules[1000];

	for (int round = 0; round < 300; round++) {
		size_t count = noise(20);

		for (size_t i = 0; i < count; i++)
			rules[i] = (struct cx_device_rule){ "abc"[noise(3)], (uint8_t)(1 + noise(7)), (uint8_t)noise(2),
				(int64_t)noise(4) - 1, (int64_t)noise(4) - 1 };
		CHECK_INT(loads(rules, count), 0);
	}
	for (size_t i = 0; i < CX_ARRAY_SIZE(rules); i++)
		rules[i] = (struct cx_device_rule){ 'c', i < 300 ? CX_DEVICE_READ : CX_DEVICE_ANY, 1, 4095, (int64_t)i << 20 };
	CHECK_INT(loads(rules, 300), 0);
	CHECK_INT(loads(rules, CX_ARRAY_SIZE(rules)), 0);
}

/* More than the verifier can follow: refused with the specification, not when the container starts. */
TEST(too_many)
{
	json_t *resources = json_object(), *list = json_array();
	struct cx_cgroup_limits *l = NULL;
	conex_error *err = NULL;

	for (int i = 0; i < 20000; i++)
		json_array_append_new(list, json_pack("{s:b, s:s, s:i, s:i, s:s}", "allow", 1, "type", "c",
			"major", 100, "minor", i, "access", "r"));
	json_object_set_new(resources, "devices", list);
	CHECK_INT(cx_cgroup_limits_compile(g, resources, &l, &err), -E2BIG);
	CHECK(strstr(conex_error_text(err), "fewer"));
	conex_error_free(err);
	json_decref(resources);
}

static void make_node(const char *name, mode_t type, unsigned major, unsigned minor)
{
	char path[64];

	snprintf(path, sizeof path, "%s/%s", nodes, name);
	CHECK(mknod(path, type | 0600, makedev(major, minor)) == 0);
}

static void remove_node(const char *name)
{
	char path[64];

	snprintf(path, sizeof path, "%s/%s", nodes, name);
	unlink(path);
}

int main(void)
{
	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	snprintf(parent, sizeof parent, "/conex-test-%d", (int)getpid());
	if (cx_file_load(AT_FDCWD, "/proc/self/cgroup", 1 << 20, &self) < 0 || !detect_without(" - cgroup ")
	    || !cx_cgroups_v2(g)) {
		printf("1..0 # SKIP no cgroup v2 here\n");
		return 0;
	}
	if (cx_device_program_possible(g) < 0) {
		printf("1..0 # SKIP the kernel takes no device programs from us\n");
		return 0;
	}
	CHECK(mkdtemp(nodes) != NULL);
	make_node("null", S_IFCHR, 1, 3);
	make_node("kmsg", S_IFCHR, 1, 11);
	make_node("loop", S_IFBLK, 7, 0);
	if (opens("null", O_RDWR)) {
		printf("1..0 # SKIP devices can't be opened in /tmp\n");
	} else {
		RUN(obeyed);
		RUN(others_stay);
		RUN(replaced_at_once);
		RUN(verified);
		RUN(too_many);
	}
	remove_node("null");
	remove_node("kmsg");
	remove_node("loop");
	rmdir(nodes);
	cx_cgroups_prune(g);
	cx_cgroups_free(g);
	free(self);
	return test_end();
}
