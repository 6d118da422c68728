/* More programs in a running container: they are where its first process is, may do what it may, and have a
 * life of their own. */
#include "system/box.h"

#include <signal.h>

static const char *const kinds[] = { "mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time", NULL };

/* Starts args in c; NULL: it failed, the test as well. */
static conex_process *start(conex_container *c, const struct conex_run_options *given, const char *const *args)
{
	struct conex_run_options o = { .size = sizeof o };
	conex_process *p = NULL;

	if (given)
		memcpy(&o, given, sizeof o);
	o.size = sizeof o;
	GOOD(conex_exec(c, args, &o, &p, &box.err));
	return p;
}

/* By its pidfd, which must say the same as conex_process_pid. */
static pid_t pid_of(const conex_process *p)
{
	const char *text = content("/proc/self/fdinfo/%d", conex_process_pidfd(p));
	const char *at = text ? strstr(text, "Pid:") : NULL;

	CHECK_INT(at ? atoi(at + 4) : -1, conex_process_pid(p));
	return conex_process_pid(p);
}

static void is_like(pid_t pid, pid_t first)
{
	static const char *const keys[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp",
		"Seccomp_filters", "Uid", "Gid", "Groups", "Umask", "SigBlk", "SigIgn", NULL };
	static const char *const files[] = { "cgroup", "limits", "oom_score_adj", NULL };

	for (int i = 0; kinds[i]; i++)
		CHECK_STR(ns_of(pid, kinds[i]), ns_of(first, kinds[i]));
	for (int i = 0; keys[i]; i++)
		CHECK_STR(status_of(pid, keys[i]), status_of(first, keys[i]));
	for (int i = 0; files[i]; i++)
		CHECK_STR(content("/proc/%d/%s", (int)pid, files[i]), content("/proc/%d/%s", (int)first, files[i]));
	if (!CHECK_INT(box_descriptors(pid, 3), 3))
		command("ls -l /proc/%d/fd | sed 's/^/# /'", (int)pid);
}

/* A sleeping program in a container with `options`: it is like the first process in all that the kernel
 * shows. */
static void same(const struct conex_run_options *options)
{
	conex_container *c = box_sleeper(options);
	conex_process *p = c ? start(c, NULL, CONEX_STRINGS("sleep", "1000")) : NULL;

	if (p) {
		is_like(pid_of(p), conex_container_pid(c));
		CHECK_STR(content("/proc/%d/comm", (int)pid_of(p)), "sleep");
		GOOD(conex_process_kill(p, SIGKILL, &box.err));
		CHECK_INT(conex_process_wait(p, -1, NULL, &box.err), 1);
	}
	conex_process_free(p);
	box_end(c);
}

#define ONE_CAP "[\"CAP_NET_BIND_SERVICE\"]"
#define MAPS "\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":1000}]," \
	"\"gidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":1000}]"

TEST(same_as_the_first)
{
	same(NULL);
	same(&(struct conex_run_options){ .flags = CONEX_RUN_USERNS });
	same(&(struct conex_run_options){ .user = "user", .oci = "{\"process\":{\"user\":{\"additionalGids\":[7],"
		"\"umask\":63},\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":50,\"hard\":60}],\"oomScoreAdj\":300,"
		"\"capabilities\":{\"inheritable\":" ONE_CAP ",\"ambient\":" ONE_CAP "}}}" });
	same(&(struct conex_run_options){ .oci = "{\"process\":{\"noNewPrivileges\":false}}" });
	same(&(struct conex_run_options){ .oci = "{\"linux\":{\"seccomp\":null}}" });
	same(&(struct conex_run_options){
		.oci = "{\"linux\":{\"namespaces\":[{\"type\":\"time\"},{\"type\":\"user\"}]," MAPS "}}" });
	same(&(struct conex_run_options){ .share = CONEX_NS_NET | CONEX_NS_IPC | CONEX_NS_UTS | CONEX_NS_CGROUP });
	same(&(struct conex_run_options){ .share = CONEX_NS_PID });
	same(&(struct conex_run_options){ .share = CONEX_NS_ALL });
}

TEST(joined_namespaces)
{
	conex_container *a = box_sleeper(NULL);
	struct conex_run_options o = { .size = sizeof o };
	conex_namespace *ns = NULL, *own = NULL;

	if (a && GOOD(conex_namespace_open(box.cx, say("/proc/%d/ns/ipc", (int)conex_container_pid(a)), &ns, &box.err))
		&& GOOD(conex_namespace_create(box.cx, CONEX_NS_NET, NULL, &own, &box.err))) {
		o.join = (conex_namespace *const[]){ ns, own, NULL };
		same(&o);
		o.join = NULL;
		o.oci = say("{\"linux\":{\"namespaces\":[{\"type\":\"pid\",\"path\":\"/proc/%d/ns/pid\"},"
			"{\"type\":\"network\",\"path\":\"/proc/%d/ns/net\"}]}}",
			(int)conex_container_pid(a), (int)conex_container_pid(a));
		same(&o);
	}
	conex_namespace_free(ns);
	conex_namespace_free(own);
	box_end(a);
}

TEST(options)
{
	struct conex_run_options with = { .env = CONEX_STRINGS("A=1", "B=2") }, o = { .size = sizeof o };
	conex_container *c = box_sleeper(&with);

	if (!c)
		return;
	CHECK_INT(box_exec(c, NULL, "echo $A $B $HOME $PATH; pwd; id -u"), 0);
	CHECK_STR(box.out, "1 2 /root /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n/\n0");
	o.env = CONEX_STRINGS("B=3", "C=4");
	o.cwd = "/tmp";
	o.user = "user:extra";
	CHECK_INT(box_exec(c, &o, "echo $A $B $C; pwd; id -u; id -G"), 0);
	CHECK_STR(box.out, "1 3 4\n/tmp\n1000\n2000");
	o.cwd = "/no/such/place";
	CHECK_INT(box_exec(c, &o, "pwd"), -ENOENT);
	SAID("/no/such/place");
	o.cwd = NULL;
	o.user = "nobody-here";
	CHECK_INT(box_exec(c, &o, "true"), -ENOENT);
	SAID("nobody-here");
	CHECK_INT(box_exec(c, &(struct conex_run_options){ .size = sizeof o, .hostname = "x" }, "true"), -EINVAL);
	SAID("hostname");
	CHECK_INT(box_exec(c, &(struct conex_run_options){ .size = sizeof o, .flags = CONEX_RUN_HOLD }, "true"), -EINVAL);
	SAID("flags");
	box_end(c);
}

TEST(exits)
{
	static const int codes[] = { 0, 1, 42, 127, 255 };
	conex_container *c = box_sleeper(NULL);

	if (!c)
		return;
	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
		CHECK_INT(box_exec(c, NULL, say("exit %d", codes[i])), codes[i]);
		CHECK_INT(box.exit.cause, CONEX_EXIT_CODE);
		CHECK_INT(box.exit.code, codes[i]);
	}
	CHECK_INT(box_exec(c, NULL, "kill -KILL $$"), 137);
	CHECK_INT(box.exit.cause, CONEX_EXIT_SIGNAL);
	CHECK_INT(box.exit.sig, 9);
	CHECK_INT(box.exit.code, -1);
	CHECK_INT(box_exec_args(c, NULL, CONEX_STRINGS("no-such-program")), -ENOENT);
	CHECK_INT(conex_error_stage(box.err), CONEX_STAGE_EXEC);
	SAID("no-such-program");
	CHECK_INT(box_exec_args(c, NULL, CONEX_STRINGS("/etc/passwd")), -EACCES);
	CHECK_INT(conex_error_stage(box.err), CONEX_STAGE_EXEC);
	CHECK_INT(box_exec_args(c, NULL, CONEX_STRINGS("/etc")), -EACCES);
	CHECK_INT(box_exec_args(c, NULL, CONEX_STRINGS(NULL)), -EINVAL);
	CHECK_INT(box_exec_args(c, NULL, CONEX_STRINGS("")), -EINVAL);
	CHECK_INT(conex_container_state(c), CONEX_RUNNING);
	box_end(c);
}

TEST(pipes)
{
	struct conex_run_options o = { .size = sizeof o, .in = CONEX_STDIO_PIPE, .out = CONEX_STDIO_PIPE,
		.err = CONEX_STDIO_PIPE };
	conex_container *c = box_sleeper(NULL);
	conex_process *p = c ? start(c, &o, CONEX_STRINGS("sh", "-c", "read a; echo out $a; echo err $a >&2")) : NULL;
	char *big = malloc(1000001);
	int in;

	if (p) {
		in = conex_process_take_stdio(p, 0);
		CHECK_INT(write(in, "line\n", 5), 5);
		CHECK_INT(conex_process_stdio(p, 0), -1);
		close(in);
		box_clear();
		GOOD(conex_process_output(p, -1, &box.io, &box.err));
		CHECK_STR(box.io.out, "out line\n");
		CHECK_STR(box.io.err, "err line\n");
		CHECK_INT(conex_process_wait(p, -1, NULL, &box.err), 1);
	}
	conex_process_free(p);
	if (c && big) {
		memset(big, 'x', 1000000);
		o = (struct conex_run_options){ .size = sizeof o, .input = big, .input_size = 1000000 };
		CHECK_INT(box_exec(c, &o, "wc -c"), 0);
		CHECK_STR(box.out, "1000000");
		CHECK_INT(box_exec(c, NULL, "wc -c"), 0);       /* no word on stdin: /dev/null */
		CHECK_STR(box.out, "0");
	}
	free(big);
	box_end(c);
}

TEST(terminal)
{
	struct conex_run_options o = { .size = sizeof o, .flags = CONEX_RUN_TTY };
	conex_container *c = box_sleeper(NULL);
	conex_process *p = c ? start(c, &o, CONEX_STRINGS("sh", "-c", "tty; stty size; exit 4")) : NULL;
	int status = -1;

	if (p) {
		box_clear();
		GOOD(conex_process_output(p, -1, &box.io, &box.err));
		CHECK(box.io.out && strstr(box.io.out, "/dev/pts/0") == box.io.out);
		CHECK_INT(conex_process_wait(p, -1, &status, &box.err), 1);
		CHECK_INT(status, 4);
	}
	conex_process_free(p);
	box_end(c);
}

/* ---- time-outs, signals, events ---- */

TEST(timeout)
{
	struct conex_run_options o = { .size = sizeof o, .timeout_ms = test_slow(1000) };
	conex_container *c = box_sleeper(NULL);

	if (!c)
		return;
	CHECK_INT(box_exec_args(c, &o, CONEX_STRINGS("sleep", "1000")), 137);
	CHECK_INT(box.exit.cause, CONEX_EXIT_TIMEOUT);
	CHECK(box.exit.wall_ns >= 1000000000);
	CHECK_INT(conex_container_state(c), CONEX_RUNNING);
	CHECK_INT(box_exec(c, NULL, "ps | grep -c '[s]leep 1000'"), 0);
	CHECK_STR(box.out, "1");                        /* the first process's */
	box_end(c);
}

TEST(signals)
{
	conex_container *c = box_sleeper(NULL);
	conex_process *p = c ? start(c, NULL, CONEX_STRINGS("sleep", "1000")) : NULL;
	struct pollfd gone = { .events = POLLIN };
	int status = -1;

	if (p) {
		gone.fd = conex_process_pidfd(p);
		CHECK_INT(conex_process_wait(p, 0, &status, &box.err), 0);
		CHECK_INT(conex_process_exit(p, &(struct conex_exit){ .size = sizeof(struct conex_exit) }, &box.err), -EBUSY);
		GOOD(conex_process_kill(p, SIGTERM, &box.err));
		CHECK_INT(poll(&gone, 1, 30000), 1);
		CHECK_INT(conex_process_wait(p, -1, &status, &box.err), 1);
		CHECK_INT(status, 143);
		CHECK_INT(conex_process_kill(p, SIGTERM, &box.err), -ESRCH);
	}
	conex_process_free(p);
	box_end(c);
}

TEST(events)
{
	static int tag;
	struct conex_run_options o = { .size = sizeof o, .flags = CONEX_RUN_NOWAIT, .data = &tag };
	conex_container *c = box_sleeper(NULL);
	struct conex_event ev = { .size = sizeof ev };
	conex_process *good = c ? start(c, &o, CONEX_STRINGS("sh", "-c", "exit 6")) : NULL;
	conex_process *bad = c ? start(c, &o, CONEX_STRINGS("no-such-program")) : NULL;
	int started = 0, exited = 0, never = 0;

	while (good && bad && exited + never < 2 && conex_next_event(box.cx, 30000, &ev, &box.err) > 0) {
		struct conex_exit x = { .size = sizeof x };

		if (!ev.process)
			continue;
		CHECK(ev.data == &tag);
		CHECK(ev.process == good || ev.process == bad);
		CHECK(ev.container == c);
		started += ev.type == CONEX_EVENT_STARTED;
		if (ev.type != CONEX_EVENT_EXITED)
			continue;
		GOOD(conex_process_exit(ev.process, &x, &box.err));
		exited += ev.process == good && x.cause == CONEX_EXIT_CODE && x.status == 6;
		never += ev.process == bad && x.cause == CONEX_EXIT_NEVER_STARTED && x.status == 255;
	}
	CHECK_INT(exited, 1);
	CHECK_INT(never, 1);
	if (bad)
		CHECK_INT(conex_error_code(conex_process_error(bad)), -ENOENT);
	CHECK(started <= 1);    /* it may have exited before anybody looked: then that is the news */
	conex_process_free(good);
	conex_process_free(bad);
	box_end(c);
}

/* ---- where there is nothing to execute in ---- */

TEST(not_running)
{
	conex_container *c = box_start(NULL, CONEX_STRINGS("true"));

	if (!box_good(c ? 0 : -1, "start", __FILE__, __LINE__))
		return;
	CHECK_INT(conex_container_wait(c, -1, NULL, &box.err), 1);
	CHECK_INT(box_exec(c, NULL, "true"), -ESRCH);
	SAID(conex_container_id(c));
	conex_container_ref(c);
	box_end(c);
	CHECK_INT(box_exec(c, NULL, "true"), -ENOENT);
	conex_container_free(c);
}

/* It has ended, and nobody has read that yet: the keeper says so. */
TEST(just_ended)
{
	conex_container *c = box_sleeper(NULL);
	pid_t pid = c ? conex_container_pid(c) : -1;
	int tries;

	if (!c)
		return;
	CHECK_INT(kill(pid, SIGKILL), 0);
	for (tries = 0; kill(pid, 0) == 0 && tries < 5000; tries++)
		usleep(1000);
	CHECK_INT(conex_exec(c, CONEX_STRINGS("true"), NULL, &(conex_process *){ NULL }, &box.err), -ESRCH);
	CHECK_INT(conex_container_wait(c, -1, NULL, &box.err), 1);
	box_end(c);
}

TEST(held)
{
	struct conex_run_options o = { .flags = CONEX_RUN_HOLD };
	conex_container *c = box_sleeper(&o);

	if (!c)
		return;
	CHECK_INT(box_exec(c, NULL, "echo hi"), 0);
	CHECK_STR(box.out, "hi");
	GOOD(conex_container_start(c, &box.err));
	CHECK_INT(box_exec(c, NULL, "echo hi"), 0);
	box_end(c);
}

/* When the first process ends all others do: its pid namespace takes them along. */
TEST(ends_with_the_container)
{
	conex_container *c = box_sleeper(NULL);
	conex_process *p = c ? start(c, NULL, CONEX_STRINGS("sleep", "1000")) : NULL;
	int status = -1;

	if (p) {
		GOOD(conex_container_kill(c, SIGKILL, &box.err));
		CHECK_INT(conex_process_wait(p, -1, &status, &box.err), 1);
		CHECK_INT(status, 137);
	}
	conex_process_free(p);
	box_end(c);
}

static void tests(void)
{
	RUN(same_as_the_first);
	RUN(joined_namespaces);
	RUN(options);
	RUN(exits);
	RUN(pipes);
	RUN(terminal);
	RUN(timeout);
	RUN(signals);
	RUN(events);
	RUN(not_running);
	RUN(just_ended);
	RUN(held);
	RUN(ends_with_the_container);
}

int main(void)
{
	return with_box(tests);
}
