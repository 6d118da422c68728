/* What a container may do: rights, filters and limits as /proc/PID/status and refused system calls show them.
 * What attackers have done to others' containers is in attack-*.c. */
#include "system/box.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/keyctl.h>

#define NET_BIND "0000000000000400"
#define DEFAULT_CAPS "0000000020000420" /* audit_write, kill, net_bind_service */
#define NO_CAPS "0000000000000000"

/* ---- capabilities ---- */

static void caps_are(pid_t pid, const char *inh, const char *prm, const char *eff, const char *bnd, const char *amb)
{
	CHECK_STR(status_of(pid, "CapInh"), inh);
	CHECK_STR(status_of(pid, "CapPrm"), prm);
	CHECK_STR(status_of(pid, "CapEff"), eff);
	CHECK_STR(status_of(pid, "CapBnd"), bnd);
	CHECK_STR(status_of(pid, "CapAmb"), amb);
}

/* The same, of a program executed in the container. */
static void exec_caps_are(conex_container *c, const char *user, const char *want)
{
	struct conex_run_options o = { .size = sizeof o, .user = user };

	CHECK_INT(box_exec(c, &o, "grep ^Cap /proc/self/status | cut -f2 | tr '\\n' ' '"), 0);
	CHECK_STR(box.out, want);
}

TEST(default_rights)
{
	conex_container *c = box_sleeper(NULL);
	pid_t pid = c ? conex_container_pid(c) : 0;

	if (!c)
		return;
	caps_are(pid, NO_CAPS, DEFAULT_CAPS, DEFAULT_CAPS, DEFAULT_CAPS, NO_CAPS);
	CHECK_STR(status_of(pid, "NoNewPrivs"), "1");
	CHECK_STR(status_of(pid, "Seccomp"), "2");
	CHECK_STR(status_of(pid, "Groups"), "");
	CHECK_STR(status_of(pid, "Uid"), "0\t0\t0\t0");
	exec_caps_are(c, NULL, NO_CAPS " " DEFAULT_CAPS " " DEFAULT_CAPS " " DEFAULT_CAPS " " NO_CAPS " ");
	exec_caps_are(c, "1000", NO_CAPS " " NO_CAPS " " NO_CAPS " " DEFAULT_CAPS " " NO_CAPS " ");
	box_end(c);
}

TEST(user_without_rights)
{
	struct conex_run_options o = { .user = "user:extra" };
	conex_container *c = box_sleeper(&o);

	if (!c)
		return;
	caps_are(conex_container_pid(c), NO_CAPS, NO_CAPS, NO_CAPS, DEFAULT_CAPS, NO_CAPS);
	CHECK_STR(status_of(conex_container_pid(c), "Uid"), "1000\t1000\t1000\t1000");
	CHECK_STR(status_of(conex_container_pid(c), "Gid"), "2000\t2000\t2000\t2000");
	exec_caps_are(c, NULL, NO_CAPS " " NO_CAPS " " NO_CAPS " " DEFAULT_CAPS " " NO_CAPS " ");
	CHECK_INT(box_exec(c, NULL, "id -u; id -g"), 0);
	CHECK_STR(box.out, "1000\n2000");
	box_end(c);
}

#define RAW "0000000000002000"

/* The sets that are asked for, for one program: inheritable ones come with nothing, and a user has what is
 * ambient or nothing at all. The container's own process keeps what it has. */
TEST(rights_of_one_exec)
{
	struct conex_run_options o = { .size = sizeof o, .oci = OCI({"process": {"capabilities": {
		"bounding": ["CAP_NET_RAW"], "permitted": ["CAP_NET_RAW"], "effective": ["CAP_NET_RAW"]}}}) };
	const char *caps = "grep ^Cap /proc/self/status | cut -f2 | tr '\\n' ' '";
	conex_container *c = box_sleeper(NULL);

	if (!c)
		return;
	CHECK_INT(box_exec(c, &o, caps), 0);
	CHECK_STR(box.out, NO_CAPS " " RAW " " RAW " " RAW " " NO_CAPS " ");
	o.user = "1000";
	CHECK_INT(box_exec(c, &o, caps), 0);
	CHECK_STR(box.out, NO_CAPS " " NO_CAPS " " NO_CAPS " " RAW " " NO_CAPS " ");
	o.oci = OCI({"process": {"capabilities": {"bounding": ["CAP_NET_RAW"], "permitted": ["CAP_NET_RAW"],
		"effective": ["CAP_NET_RAW"], "inheritable": ["CAP_NET_RAW"], "ambient": ["CAP_NET_RAW"]}}});
	CHECK_INT(box_exec(c, &o, caps), 0);
	CHECK_STR(box.out, RAW " " RAW " " RAW " " RAW " " RAW " ");
	caps_are(conex_container_pid(c), NO_CAPS, DEFAULT_CAPS, DEFAULT_CAPS, DEFAULT_CAPS, NO_CAPS);
	exec_caps_are(c, NULL, NO_CAPS " " DEFAULT_CAPS " " DEFAULT_CAPS " " DEFAULT_CAPS " " NO_CAPS " ");
	box_end(c);
}

#define ONE_CAP "[\"CAP_NET_BIND_SERVICE\"]"

TEST(rights_by_spec)
{
	struct conex_run_options o = { .user = "1000", .oci = "{\"process\":{\"capabilities\":{\"bounding\":" ONE_CAP
		",\"effective\":" ONE_CAP ",\"permitted\":" ONE_CAP ",\"inheritable\":" ONE_CAP ",\"ambient\":" ONE_CAP
		"}}}" };
	conex_container *c = box_sleeper(&o);

	if (!c)
		return;
	caps_are(conex_container_pid(c), NET_BIND, NET_BIND, NET_BIND, NET_BIND, NET_BIND);
	exec_caps_are(c, NULL, NET_BIND " " NET_BIND " " NET_BIND " " NET_BIND " " NET_BIND " ");
	exec_caps_are(c, "0", NET_BIND " " NET_BIND " " NET_BIND " " NET_BIND " " NET_BIND " ");
	box_end(c);
	o.oci = "{\"process\":{\"capabilities\":null}}";
	o.user = NULL;
	c = box_sleeper(&o);
	if (c)
		caps_are(conex_container_pid(c), NO_CAPS, NO_CAPS, NO_CAPS, NO_CAPS, NO_CAPS);
	box_end(c);
}

TEST(new_privileges)
{
	struct conex_run_options o = { .oci = "{\"process\":{\"noNewPrivileges\":false}}" };
	conex_container *c = box_sleeper(&o);

	if (!c)
		return;
	CHECK_STR(status_of(conex_container_pid(c), "NoNewPrivs"), "0");
	CHECK_STR(status_of(conex_container_pid(c), "Seccomp"), "2");
	caps_are(conex_container_pid(c), NO_CAPS, DEFAULT_CAPS, DEFAULT_CAPS, DEFAULT_CAPS, NO_CAPS);
	CHECK_INT(box_exec(c, &(struct conex_run_options){ .size = sizeof o, .user = "1000" },
		"grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | cut -f2 | tr '\\n' ' '"), 0);
	CHECK_STR(box.out, "0 2 ");
	box_end(c);
}

/* ---- seccomp; `probe` is this program, inside ---- */

static long probe_call(const char *name)
{
	if (!strcmp(name, "mount"))
		return mount("none", "/tmp", "tmpfs", 0, NULL);
	if (!strcmp(name, "unshare"))
		return unshare(CLONE_NEWUSER);
	if (!strcmp(name, "keyctl"))
		return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1);
	if (!strcmp(name, "bpf"))
		return syscall(SYS_bpf, 0, NULL, 0);
	if (!strcmp(name, "setns"))
		return setns(0, 0);
	if (!strcmp(name, "socket-inet"))
		return socket(AF_INET, SOCK_DGRAM, 0);
	if (!strcmp(name, "socket-unix"))
		return socket(AF_UNIX, SOCK_DGRAM, 0);
	if (!strcmp(name, "socket-vsock"))
		return socket(40, SOCK_STREAM, 0);
	if (!strcmp(name, "getppid"))
		return syscall(SYS_getppid);    /* glibc's never fails */
	errno = EINVAL;
	return -1;
}

/* Each call's errno, 0 for success. */
static int probe(char **names)
{
	for (; *names; names++) {
		errno = 0;
		printf("%d ", probe_call(*names) < 0 ? errno : 0);
	}
	fflush(stdout);
	_exit(0);
}

#define PROBE(...) CONEX_STRINGS("/probe", __VA_ARGS__)
static const struct conex_mount usr[] = { BOX_USR, { NULL, NULL, NULL, NULL } };

TEST(default_filter)
{
	struct conex_run_options o = { .mounts = usr };

	CHECK_INT(box_run_args(&o, PROBE("mount", "unshare", "keyctl", "bpf", "setns", "socket-vsock", "socket-inet",
		"getppid")), 0);
	CHECK_STR(box.out, "1 1 1 1 1 1 0 0 ");
	o.oci = "{\"linux\":{\"seccomp\":null}}";
	CHECK_INT(box_run_args(&o, PROBE("getppid", "keyctl")), 0);
	CHECK(!strncmp(box.out, "0 ", 2));
	CHECK(strcmp(box.out, "0 1 ") != 0);
}

#define FILTER(rules) "{\"linux\":{\"seccomp\":null}}", "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[" rules "]}"

/* The default profile must go before another comes: lists merge, so the whole object is set on a spec. */
static conex_spec *with_filter(const char *away, const char *profile)
{
	conex_spec *spec = NULL;

	GOOD(conex_spec_new(&spec, &box.err));
	GOOD(conex_spec_merge(spec, away, &box.err));
	GOOD(conex_spec_merge(spec, say("{\"linux\":{\"seccomp\":%s}}", profile), &box.err));
	return spec;
}

TEST(own_filters)
{
	struct conex_run_options o = { .mounts = usr, .rootfs = box.root };
	conex_spec *spec = with_filter(FILTER("{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":57},"
		"{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":61,"
		"\"args\":[{\"index\":0,\"value\":2,\"op\":\"SCMP_CMP_EQ\"}]}"));

	o.spec = spec;
	CHECK_INT(box_run_args(&o, PROBE("getppid", "socket-inet", "socket-unix")), 0);
	CHECK_STR(box.out, "57 61 0 ");
	conex_spec_free(spec);
	o.spec = spec = with_filter(FILTER("{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_KILL_PROCESS\"}"));
	CHECK_INT(box_run_args(&o, PROBE("socket-unix", "getppid")), 128 + SIGSYS);
	CHECK_INT(box.exit.cause, CONEX_EXIT_SECCOMP);
	CHECK_INT(box.exit.sig, SIGSYS);
	conex_spec_free(spec);
}

/* ---- limits, ids ---- */

TEST(rlimits)
{
	struct conex_run_options o = { .oci = "{\"process\":{\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":50,"
		"\"hard\":60},{\"type\":\"RLIMIT_FSIZE\",\"soft\":512,\"hard\":1024},"
		"{\"type\":\"RLIMIT_CORE\",\"soft\":0,\"hard\":0}]}}" };
	conex_container *c = box_sleeper(&o);

	if (c) {
		const char *limits = content("/proc/%d/limits", (int)conex_container_pid(c));

		CHECK(strstr(limits, "Max open files            50                   60 ") != NULL);
		CHECK(strstr(limits, "Max file size             512                  1024 ") != NULL);
		CHECK(strstr(limits, "Max core file size        0                    0 ") != NULL);
		CHECK_INT(box_exec(c, NULL, "ulimit -n; ulimit -Hn"), 0);
		CHECK_STR(box.out, "50\n60");
	}
	box_end(c);
	o.oci = "{\"process\":{\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":50,\"hard\":2147483647}]}}";
	CHECK_INT(box_run(&o, "true"), -EPERM);
	SAID("process.rlimits[0] RLIMIT_NOFILE: prlimit");
	SAID("CAP_SYS_RESOURCE");
}

TEST(oom_score)
{
	struct conex_run_options o = { .oci = "{\"process\":{\"oomScoreAdj\":500}}" };
	int r;

	CHECK_INT(box_run(&o, "cat /proc/self/oom_score_adj"), 0);
	CHECK_STR(box.out, "500");
	o.oci = "{\"process\":{\"oomScoreAdj\":-900}}";
	r = box_run(&o, "cat /proc/self/oom_score_adj");
	if (r == 0)
		CHECK_STR(box.out, "-900");
	else if (CHECK_INT(r, -EACCES))
		SAID("CAP_SYS_RESOURCE");
}

TEST(ids)
{
	struct conex_run_options o = {
		.oci = "{\"process\":{\"user\":{\"uid\":5,\"gid\":6,\"umask\":63,\"additionalGids\":[7,2000]}}}" };

	CHECK_INT(box_run(&o, "id -u; id -G; umask; grep Groups /proc/self/status"), 0);
	CHECK_STR(box.out, "5\n6 7 2000\n0077\nGroups:\t7 2000 ");
	o.oci = NULL;
	o.user = "user";
	CHECK_INT(box_run(&o, "id -u; id -G; umask; echo $HOME"), 0);
	CHECK_STR(box.out, "1000\n1000\n0022\n/");
}

/* Class H: what looks like a number is one, and nothing falls back to root. */
TEST(odd_users)
{
	static const struct { const char *user; int code; const char *out; } cases[] = {
		{ "1", 0, "1 0" }, { "00", 0, "0 0" }, { "1:7", 0, "1 7" }, { "2147483648", 0, "2147483648 0" },
		{ "user:0", 0, "1000 0" }, { "4294967295", -ERANGE, NULL }, { "4294967296", -ERANGE, NULL },
		{ "1:", -EINVAL, NULL }, { ":1", -EINVAL, NULL }, { "+1", -ENOENT, NULL }, { "-1", -ENOENT, NULL },
		{ "nobody-here", -ENOENT, NULL }, { "", -EINVAL, NULL }, { "1:99999999999", -ERANGE, NULL },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct conex_run_options o = { .user = cases[i].user };

		if (!CHECK_INT(box_run(&o, "echo $(id -u) $(id -g)"), cases[i].code))
			printf("# user \"%s\"\n", cases[i].user);
		else if (cases[i].out)
			CHECK_STR(box.out, cases[i].out);
	}
}

/* ---- protected places ---- */

TEST(masks)
{
	struct conex_run_options o = { .flags = CONEX_RUN_READ_ONLY };

	CHECK_INT(box_run(NULL, "stat -c '%F %t:%T' /proc/keys /proc/timer_list; cat /proc/keys /proc/timer_list | wc -c;"
		" ls -A /sys/firmware | wc -l; touch /sys/firmware/x 2>/dev/null && echo bad"), 1);
	CHECK_STR(box.out, "character special file 1:3\ncharacter special file 1:3\n0\n0");
	CHECK_INT(box_run(NULL, "for f in kernel/hostname net/ipv4/ip_forward kernel/shmmax vm/overcommit_memory; do"
		" (echo 1 >/proc/sys/$f) 2>/dev/null && echo wrote $f; done; (echo h >/proc/sysrq-trigger) 2>/dev/null"
		" && echo trigger; touch /sys/x 2>/dev/null && echo sys; for p in bus fs irq sys sysrq-trigger; do"
		" [ ! -e /proc/$p ] || mount | grep -q \"^proc on /proc/$p .*(ro,\" || echo $p; done"), 0);
	CHECK_STR(box.out, "");
	CHECK_INT(box_run(&o, "touch /x 2>&1; touch /bin/x 2>/dev/null || echo ro; touch /dev/shm/x && echo shm"), 0);
	CHECK_STR(box.out, "touch: /x: Read-only file system\nro\nshm");
}

/* ---- the reaper ---- */

TEST(init)
{
	struct conex_run_options o = { .flags = CONEX_RUN_INIT };
	conex_container *c;
	int status = -1;

	CHECK_INT(box_run(&o, "test $$ != 1 || exit 1; cat /proc/1/comm; for i in 1 2 3 4 5; do sh -c 'true & true &'; done;"
		" n=0; while grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do n=$((n+1)); [ $n -gt 200 ] && exit 2;"
		" sleep 0.05; done; exit 33"), 33);
	CHECK_STR(box.out, "conex-init");
	CHECK_INT(box_run(&o, "kill -9 $$"), 137);
	o.in = CONEX_STDIO_PIPE;
	o.out = CONEX_STDIO_PIPE;
	c = box_start(&o, CONEX_STRINGS("sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"));
	if (!c)
		return;
	for (char byte = 0; byte != '\n';)
		if (read(conex_container_stdio(c, 1), &byte, 1) <= 0)
			poll(&(struct pollfd){ conex_container_stdio(c, 1), POLLIN, 0 }, 1, -1);
	CHECK_INT(box_entries(say("/proc/%d/fd", (int)conex_container_pid(c))), 0);
	GOOD(conex_container_kill(c, SIGTERM, &box.err));
	CHECK_INT(conex_container_wait(c, -1, &status, &box.err), 1);
	CHECK_INT(status, 9);
	box_end(c);
}

TEST(init_missing_program)
{
	struct conex_run_options o = { .flags = CONEX_RUN_INIT };

	CHECK_INT(box_run_args(&o, CONEX_STRINGS("nothing")), -ENOENT);
	CHECK_INT(conex_error_stage(box.err), CONEX_STAGE_EXEC);
	o.share = CONEX_NS_PID;
	CHECK_INT(box_run(&o, "true"), -EINVAL);
	SAID("CONEX_RUN_INIT");
}

static void tests(void)
{
	RUN(default_rights);
	RUN(user_without_rights);
	RUN(rights_of_one_exec);
	RUN(rights_by_spec);
	RUN(new_privileges);
	RUN(default_filter);
	RUN(own_filters);
	RUN(rlimits);
	RUN(oom_score);
	RUN(ids);
	RUN(odd_users);
	RUN(masks);
	RUN(init);
	RUN(init_missing_program);
}

int main(int argc, char **argv)
{
	return argc > 1 ? probe(argv + 1) : with_box(tests);
}
