/* Without privileges: everything an unprivileged user can do, once with his own id only, once with subordinate
 * ids, and once more as root of a user namespace, who is nobody outside of it. */
#include "rootless.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/wait.h>
#include <netinet/in.h>

static struct { char lines[4096]; } logged;

static void keep_log(int level, const char *line, void *data)
{
	size_t n = strlen(logged.lines);

	(void)data;
	snprintf(logged.lines + n, sizeof logged.lines - n, "%d %s\n", level, line);
}

/* ---- what it is like inside and outside ---- */

TEST(runs)
{
	struct conex_run_options o = { .input = "in", .input_size = 2 };

	CHECK_INT(box_run(&o, "cat; echo out; echo err >&2; exit 7"), 7);
	CHECK_STR(box.out, "inout\nerr");
	CHECK_INT(box.exit.cause, CONEX_EXIT_CODE);
	CHECK_INT(box_run(NULL, "id -u; id -g; echo $$; hostname | wc -c"), 0);
	CHECK_STR(box.out, "0\n0\n1\n13");
	CHECK_INT(box_run_args(NULL, CONEX_STRINGS("/nothing")), -ENOENT);
	SAID("/nothing");
}

TEST(maps)
{
	conex_container *c = box_sleeper(NULL);
	int pid = c ? (int)conex_container_pid(c) : 0;
	const char *map = mode == SUBORDINATE ? say("0 %d 1\n1 %d %d", USER, FIRST, COUNT) : say("0 %d 1", USER);

	if (!c)
		return;
	CHECK_STR(squeezed(content("/proc/%d/uid_map", pid)), map);
	CHECK_STR(squeezed(content("/proc/%d/gid_map", pid)), map);
	CHECK_STR(content("/proc/%d/setgroups", pid), mode == SUBORDINATE ? "allow" : "deny");
	CHECK((strcmp(ns_of(pid, "user"), ns_of(0, "user")) == 0) == (mode == NESTED));
	CHECK(strcmp(ns_of(pid, "mnt"), ns_of(0, "mnt")) != 0);
	CHECK_STR(status_of(pid, "NoNewPrivs"), "1");
	box_end(c);
}

TEST(files)
{
	struct stat st;

	CHECK_INT(box_run(NULL, "echo x >/tmp/made; stat -c %u:%g /tmp/made"), 0);
	CHECK_STR(box.out, "0:0");
	CHECK_INT(stat(say("%s/tmp/made", box.root), &st), 0);
	CHECK_INT(st.st_uid, geteuid());
	CHECK_INT(st.st_gid, getegid());
	unlink(say("%s/tmp/made", box.root));
}

/* Another user inside is a subordinate one outside; without those there is none. */
TEST(other_users)
{
	struct conex_run_options o = { .user = "1000:1000" };
	struct stat st;

	if (mode != SUBORDINATE) {
		CHECK_INT(box_run(&o, "id"), -EINVAL);
		if (mode == OWN_ID)
			SAID("linux.uidMappings");
		return;
	}
	CHECK_INT(box_run(&o, "id -u; touch /tmp/his"), 0);
	CHECK_STR(box.out, "1000");
	CHECK_INT(stat(say("%s/tmp/his", box.root), &st), 0);
	CHECK_INT(st.st_uid, FIRST + 999);
	CHECK_INT(box_run(NULL, "rm -f /tmp/his"), 0);
	o.user = NULL;
	o.oci = OCI({"process": {"user": {"additionalGids": [5, 7]}}});
	CHECK_INT(box_run(&o, "id -G"), 0);
	CHECK_STR(box.out, "0 5 7");
}

TEST(inside)
{
	struct conex_run_options o = { .network = "host" };

	CHECK_INT(box_run(NULL, "for f in null zero full random urandom tty; do [ -c /dev/$f ] || echo $f; done;"
		"echo >/dev/null; grep -c . /proc/mounts >/dev/null; ls /dev/pts/ptmx; ls /sys/class/net;"
		"ls -d /dev/mqueue /sys/fs/cgroup; grep ' /sys sysfs ro' /proc/mounts | wc -l"), 0);
	CHECK_STR(box.out, "/dev/pts/ptmx\nlo\n/dev/mqueue\n/sys/fs/cgroup\n1");
	CHECK_INT(box_run(&o, "cat /sys/class/net/lo/address; touch /sys/kernel/x 2>/dev/null || echo no"), 0);
	CHECK_STR(box.out, "00:00:00:00:00:00\nno");
	o.network = NULL;
	o.share = CONEX_NS_IPC | CONEX_NS_UTS;
	CHECK_INT(box_run(&o, "true"), 0);
	o.share = CONEX_NS_PID;
	CHECK_INT(box_run(&o, "[ $$ != 1 ] && [ -d /proc/$$ ]"), 0);
	o.share = CONEX_NS_USER;
	if (mode != NESTED) {
		CHECK_INT(box_run(&o, "true"), -EPERM);
		SAID("CONEX_NS_USER");
	}
}

TEST(terminal)
{
	struct conex_run_options o = { .flags = CONEX_RUN_TTY | CONEX_RUN_INIT, .mounts = CONEX_MOUNTS(
		{ box.dir, "/mnt", NULL, "ro" }, { NULL, "/scratch", "tmpfs", "size=1m" }) };
	conex_container *c = box_start(&o, CONEX_STRINGS("sh", "-c", "tty; ls /mnt; echo x >/scratch/y; exit 4"));
	int status = 0;

	if (!box_good(c ? 0 : -1, "a terminal", __FILE__, __LINE__))
		return;
	GOOD(conex_container_wait(c, -1, &status, &box.err));
	CHECK_INT(status, 4);
	box_end(c);
}

/* ---- life ---- */

TEST(exec)
{
	conex_container *c = box_sleeper(NULL);
	struct conex_run_options o = { .input = "x", .input_size = 1 };

	if (!c)
		return;
	CHECK_INT(box_exec(c, &o, "cat; id -u; cat /proc/1/comm; exit 9"), 9);
	CHECK_STR(box.out, "x0\nsleep");
	CHECK_INT(box_exec(c, NULL, "for n in user mnt pid net; do"
		" [ $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) ] || echo $n; done"), 0);
	CHECK_STR(box.out, "");
	CHECK_INT(box_exec_args(c, NULL, CONEX_STRINGS("/nothing")), -ENOENT);
	if (mode == SUBORDINATE) {
		o = (struct conex_run_options){ .user = "1000" };
		CHECK_INT(box_exec(c, &o, "id -u"), 0);
		CHECK_STR(box.out, "1000");
	}
	GOOD(conex_container_kill(c, SIGKILL, &box.err));
	box_end(c);
}

/* Not yet: who lacks the right is told so, and nothing is left. */
TEST(networks)
{
	struct conex_run_options o = { .network = "bridge" };
	char **names = NULL;

	CHECK_INT(box_run(&o, "true"), -EPERM);
	SAID("CAP_NET_ADMIN");
	CHECK_INT(conex_network_list(box.cx, &names, &box.err), 0);
	free(names);
	CHECK_INT(command("rmdir %s/run/conex/networks/* %s/run/conex/networks", box.dir, box.dir), 0);
}

TEST(held)
{
	struct conex_run_options o = { .flags = CONEX_RUN_HOLD,
		.oci = OCI({"linux": {"sysctl": {"net.ipv4.ip_forward": "1"}}}) };
	conex_container *c = box_start(&o, CONEX_STRINGS("sh", "-c", "exit 3"));
	int status = -1;

	if (!box_good(c ? 0 : -1, "held", __FILE__, __LINE__))
		return;
	CHECK_INT(conex_container_state(c), CONEX_HELD);
	CHECK(strcmp(ns_of(conex_container_pid(c), "net"), ns_of(0, "net")) != 0);
	CHECK_INT(box_exec(c, NULL, "id -u"), 0);
	CHECK_STR(box.out, "0");
	/* it is dumpable for as long as it is held: nothing of ours may be found in it but sockets */
	CHECK_INT(box_exec(c, NULL, "for f in /proc/1/fd/*; do readlink $f; done | grep -v '^socket:\\|^/dev/null$'"), 1);
	CHECK_STR(box.out, "");
	GOOD(conex_container_start(c, &box.err));
	GOOD(conex_container_wait(c, -1, &status, &box.err));
	CHECK_INT(status, 3);
	box_end(c);
}

TEST(ends)
{
	struct conex_run_options o = { .timeout_ms = test_slow(1000) };
	struct conex_run_options impatient = { .grace_ms = 100 };
	conex_container *c;
	pid_t *pids = NULL;
	char id[80];

	CHECK_INT(box_run(&o, "sleep 1000 & sleep 1000"), 137);
	CHECK_INT(box.exit.cause, CONEX_EXIT_TIMEOUT);
	c = box_sleeper(&impatient);
	if (!c)
		return;
	snprintf(id, sizeof id, "%s", conex_container_id(c));
	CHECK_INT(conex_container_pids(c, &pids, &box.err), 1);
	CHECK_INT(pids[0], conex_container_pid(c));
	free(pids);
	CHECK_INT(conex_container_kill_all(c, SIGCONT, &box.err), 0);
	GOOD(conex_container_stop(c, &box.err));
	GOOD(conex_container_wait(c, -1, NULL, &box.err));
	box_end(c);
	box_nothing_left(id);
	c = box_sleeper(NULL);
	if (!c)
		return;
	CHECK_INT(conex_container_kill_all(c, SIGKILL, &box.err), 0);
	GOOD(conex_container_wait(c, -1, NULL, &box.err));
	GOOD(conex_container_exit(c, &box.exit, &box.err));
	CHECK_INT(box.exit.sig, SIGKILL);
	box_end(c);
}

/* A container that its maker leaves behind: another process of the user starts, enters and deletes it. */
static void leave_one(const char *state)
{
	struct conex_options where = { .size = sizeof where, .flags = CONEX_DETACHED, .state = state };
	struct conex_run_options o = { .id = "left", .flags = CONEX_RUN_HOLD };

	box.cx = NULL;
	if (conex_open(&where, &box.cx, NULL) < 0 || !box_start(&o, CONEX_STRINGS("sh", "-c", "echo $$ >/tmp/up; sleep 1000; true")))
		_exit(1);
	conex_close(box.cx);
	_exit(0);
}

TEST(released)
{
	const char *state = say("%s/site", box.dir), *up = say("%s/tmp/up", box.root);
	struct conex_options where = { .size = sizeof where, .flags = CONEX_DETACHED, .state = state };
	conex_container *c = NULL;
	conex *cx = NULL;
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		leave_one(state);
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
	box_clear();
	if (GOOD(conex_open(&where, &cx, &box.err)) && GOOD(conex_container_get(cx, "left", &c, &box.err))) {
		CHECK_INT(conex_container_state(c), CONEX_HELD);
		CHECK_INT(box_exec(c, NULL, "id -u"), 0);
		GOOD(conex_container_start(c, &box.err));
		CHECK_INT(conex_container_state(c), CONEX_RUNNING);
		CHECK_INT(box_exec(c, NULL, "while [ ! -s /tmp/up ]; do sleep 0.01; done; cat /proc/1/comm"), 0);
		CHECK_STR(box.out, "sh");
		GOOD(conex_container_delete(c, -1, &box.err));
	}
	conex_container_free(c);
	conex_close(cx);
	CHECK_INT(box_entries(say("%s/containers", state)), 0);
	CHECK_INT(box_entries(say("%s/sockets", state)) > 0, 0);
	unlink(up);
}

/* ---- what takes more ---- */

TEST(limits)
{
	struct conex_limits l = { .size = sizeof l, .memory = 64 << 20 };
	struct conex_run_options o = { .limits = &l };
	conex_container *c;

	CHECK_INT(box_run(&o, "true"), -EOPNOTSUPP);
	SAID("memory");
	CHECK(strstr(logged.lines, "5 no cgroup may be made here") != NULL);
	o.limits = NULL;
	o.oci = OCI({"process": {"oomScoreAdj": 500}});
	CHECK_INT(box_run(&o, "cat /proc/self/oom_score_adj"), 0);
	CHECK_STR(box.out, "500");
	o.oci = OCI({"process": {"oomScoreAdj": -900}});
	CHECK_INT(box_run(&o, "true"), -EACCES);
	SAID("CAP_SYS_RESOURCE");
	o.oci = OCI({"process": {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 1073741816}]}});
	CHECK_INT(box_run(&o, "true"), -EPERM);
	SAID("RLIMIT_NOFILE");
	c = box_sleeper(NULL);
	if (!c)
		return;
	CHECK(conex_container_pause(c, 60000, &box.err) < 0);
	SAID("cgroup");
	box_end(c);
}

/* A rootless pod: what another container has is entered through the user namespace that owns it. */
TEST(joined)
{
	conex_container *first = box_sleeper(NULL), *c;
	conex_namespace *join[3] = { NULL };
	struct conex_run_options o = { .join = join + 1 };
	/* only root there may have it */
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(81) };
	int pid = first ? (int)conex_container_pid(first) : 0, fd = -1;

	if (!first || mode == NESTED) {
		box_end(first);
		return;
	}
	GOOD(conex_namespace_open(box.cx, say("/proc/%d/ns/user", pid), &join[0], &box.err));
	GOOD(conex_namespace_open(box.cx, say("/proc/%d/ns/net", pid), &join[1], &box.err));
	CHECK_INT(box_run(&o, "true"), -EPERM);
	SAID("user namespace");
	GOOD(conex_namespace_take_socket(join[1], AF_INET, SOCK_STREAM, 0, &fd, &box.err));
	CHECK_INT(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
	CHECK_INT(close(fd), 0);
	CHECK_INT(box_exec(first, NULL, "echo alive"), 0);
	o.join = join;
	c = box_sleeper(&o);
	if (c) {
		CHECK_STR(ns_of(conex_container_pid(c), "net"), ns_of(pid, "net"));
		CHECK_STR(ns_of(conex_container_pid(c), "user"), ns_of(pid, "user"));
		CHECK(strcmp(ns_of(conex_container_pid(c), "pid"), ns_of(pid, "pid")) != 0);
		CHECK_INT(box_exec(c, NULL, "id -u"), 0);
	}
	box_end(c);
	conex_namespace_free(join[0]);
	conex_namespace_free(join[1]);
	box_end(first);
}

TEST(file_systems)
{
	struct conex_run_options o = { .flags = CONEX_RUN_READ_ONLY, .mounts = CONEX_MOUNTS(
		{ "/etc", "/mnt", NULL, "ro" }, { NULL, "/scratch", "tmpfs", NULL }) };

	CHECK_INT(box_run(&o, "touch /x 2>/dev/null || echo ro; touch /scratch/x && [ -r /mnt/passwd ]"), 0);
	CHECK_STR(box.out, "ro");
	o = (struct conex_run_options){ .oci = say("{\"root\": {\"path\": null, \"overlay\": {\"lower\": [\"%s\"], "
		"\"upper\": \"%s/up\", \"work\": \"%s/work\"}}}", box.root, box.dir, box.dir) };
	command("mkdir -p %s/up %s/work", box.dir, box.dir);
	if (!CHECK_INT(box_run(&o, "rm -f /bin/vi && echo x >/etc/made"), 0))
		printf("# %s\n", conex_error_text(box.err));
	CHECK_STR(content("%s/up/etc/made", box.dir), "x");
	o = (struct conex_run_options){ .oci = OCI({"linux": {"resources": {"devices": [
		{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}]}}}) };
	CHECK_INT(box_run(&o, "true"), 0);
}

/* Whoever dies, and be it both at once, the container does. */
TEST(deaths)
{
	conex_container *c = NULL;
	int ready[2], status;
	struct pollfd p = { .events = POLLIN };
	pid_t host, pids[2] = { 0 };
	char byte;

	CHECK_INT(pipe2(ready, O_CLOEXEC), 0);
	fflush(stdout);
	host = fork();
	if (host == 0) {
		box.cx = NULL;
		if (conex_open(NULL, &box.cx, NULL) == 0 && (c = box_start(NULL, CONEX_STRINGS("sleep", "1000")))) {
			pids[0] = conex_container_pid(c);
			pids[1] = conex_keeper_pid(box.cx);
		}
		if (write(ready[1], pids, sizeof pids) != sizeof pids)
			_exit(1);
		pause();
	}
	close(ready[1]);
	CHECK_INT(read(ready[0], pids, sizeof pids), sizeof pids);
	CHECK(pids[0] > 0 && pids[1] > 0);
	p.fd = (int)syscall(SYS_pidfd_open, pids[0], 0);
	CHECK(p.fd >= 0);
	if (pids[1] > 0)
		kill(pids[1], SIGKILL);
	kill(host, SIGKILL);
	waitpid(host, &status, 0);
	CHECK_INT(poll(&p, 1, 60000), 1);
	close(p.fd);
	CHECK_INT(read(ready[0], &byte, 1), 0);
	close(ready[0]);
	CHECK_INT(conex_prune(box.cx, NULL, &box.err), 0);
}

/* Two stages, of which the first has the user namespace. */
TEST(clocks)
{
	struct conex_run_options o = { .oci = OCI({"linux": {"namespaces": [{"type": "time"}],
		"timeOffsets": {"boottime": {"secs": 864000}}}}) };

	if (access("/proc/self/ns/time", F_OK) < 0)
		SKIP("this kernel has no time namespaces");
	CHECK_INT(box_run(&o, "cut -d. -f1 /proc/uptime"), 0);
	CHECK(atol(box.out) > 864000);
}

TEST(hooks)
{
	struct conex_run_options o = { .oci = say("{\"hooks\": {\"createRuntime\": [{\"path\": \"/bin/sh\", \"args\": "
		"[\"sh\", \"-c\", \"id -u >%s/hook\"]}], \"startContainer\": [{\"path\": \"/bin/true\"}]}}", box.dir) };

	CHECK_INT(box_run(&o, "true"), 0);
	CHECK_STR(content("%s/hook", box.dir), say("%d", (int)geteuid()));
}

/* A map that the files don't allow: in newuidmap's or newgidmap's own words. */
/* A system call of the container's is answered, after a look at its memory. An unprivileged keeper may take the
 * listener, and we may read, though the program be somebody else's. */
static void asked(const struct conex_run_options *given)
{
	static const char *const ask[] = { "mkdir", "mkdirat", NULL };
	struct conex_run_options o = box_options(given);
	struct conex_event ev = { .size = sizeof ev };
	conex_container *c;
	char path[16] = "";

	o.ask = ask;
	o.out = CONEX_STDIO_PIPE;
	c = box_start(&o, CONEX_STRINGS("sh", "-c", "mkdir /tmp/asked && [ ! -e /tmp/asked ] && echo told"));
	if (!GOOD(c ? 0 : -1) || (o.flags & CONEX_RUN_HOLD && !GOOD(conex_container_start(c, &box.err))))
		return;
	while (ev.type != CONEX_EVENT_SYSCALL)
		if (!CHECK_INT(conex_next_event(box.cx, 20000, &ev, &box.err), 1))
			return;
	CHECK_INT(conex_syscall_read(ev.syscall, conex_syscall_arg(ev.syscall, strlen(conex_syscall_name(ev.syscall)) > 5),
		path, sizeof "/tmp/asked", &box.err), sizeof "/tmp/asked");
	CHECK_STR(path, "/tmp/asked");
	GOOD(conex_syscall_return(ev.syscall, 0, &box.err));
	CHECK_INT(conex_container_output(c, -1, &box.io, &box.err), 1);
	CHECK_STR(box.io.out, "told\n");
	box_end(c);
}

TEST(broker)
{
	asked(NULL);
	asked(&(struct conex_run_options){ .flags = CONEX_RUN_HOLD });
	asked(&(struct conex_run_options){ .flags = CONEX_RUN_INIT });
	asked(&(struct conex_run_options){ .oci = "{\"process\":{\"noNewPrivileges\":false}}" });
	if (mode == SUBORDINATE)
		asked(&(struct conex_run_options){ .oci = "{\"process\":{\"user\":{\"uid\":1000,\"gid\":1000}}}" });
}

TEST(foreign_ids)
{
	struct conex_run_options o = { .oci = OCI({"linux": {"namespaces": [{"type": "user"}],
		"uidMappings": [{"containerID": 0, "hostID": 3000000, "size": 10}],
		"gidMappings": [{"containerID": 0, "hostID": 3000000, "size": 10}]}}) };

	CHECK(box_run(&o, "true") < 0);
	if (mode != NESTED)
		SAID(access("/usr/bin/newuidmap", X_OK) < 0 ? "newuidmap: No such file or directory"
			: "idmap: Operation not permitted");
}

TEST(twenty)
{
	for (int i = 0; i < 20; i++)
		CHECK_INT(box_run(NULL, "true"), 0);
}

/* A subtree of cgroup v2 that is the user's own: containers have cgroups in it. */
TEST(delegated)
{
	conex_container *c = box_sleeper(NULL);
	struct conex_stats stats = { .size = sizeof stats };
	const char *path = c ? say("%s/conex/%s", subtree, conex_container_id(c)) : "";
	char dir[PATH_MAX];

	if (!c)
		return;
	snprintf(dir, sizeof dir, "%s", path);
	CHECK_STR(content("%s/cgroup.procs", dir), say("%d", (int)conex_container_pid(c)));
	CHECK_INT(box_exec(c, NULL, "grep ^0:: /proc/self/cgroup"), 0);
	CHECK_STR(box.out, "0::/");
	CHECK_INT(conex_container_pause(c, 60000, &box.err), 1);
	CHECK_STR(content("%s/cgroup.freeze", dir), "1");
	GOOD(conex_container_resume(c, &box.err));
	GOOD(conex_container_stats(c, &stats, &box.err));
	CHECK(logged.lines[0] == '\0');
	box_end(c);
	CHECK(access(dir, F_OK) < 0);
}

/* ---- who we are ---- */

static void in_mode(void)
{
	RUN(runs);
	RUN(maps);
	RUN(files);
	RUN(other_users);
	RUN(inside);
	RUN(terminal);
	RUN(exec);
	RUN(networks);
	RUN(held);
	RUN(ends);
	RUN(released);
	RUN(limits);
	RUN(joined);
	RUN(file_systems);
	RUN(deaths);
	RUN(clocks);
	RUN(hooks);
	RUN(broker);
	RUN(foreign_ids);
	RUN(twenty);
}

TEST(opened)
{
	struct conex_options o = { .size = sizeof o, .log = keep_log };

	GOOD(conex_open(&o, &box.cx, &box.err));
	CHECK(box.cx && strstr(box.cx->state->path, box.dir) != NULL);
}

TEST(closed)
{
	char *state = strdup(box.cx->state->path);

	box_clear();
	conex_close(box.cx);
	CHECK(access(state, F_OK) < 0);
	free(state);
	CHECK_INT(box_entries(say("%s/run/conex", box.dir)), 0);
}

static void tests_of(int which)
{
	static const char *const names[] = { "with his own id", "with subordinate ids", "as root of a user namespace",
		"with a delegated cgroup" };
	const char *why;

	mode = which;
	printf("# a user %s\n", names[which]);
	why = cannot();
	if (why) {
		printf("ok %d - all %s # SKIP %s\n", ++test_state.count, names[which], why);
		fflush(stdout);
		return;
	}
	setenv("XDG_RUNTIME_DIR", say("%s/run", box.dir), 1);
	RUN(opened);
	if (box.cx && mode == DELEGATED) {
		RUN(runs);
		RUN(exec);
		RUN(delegated);
		RUN(ends);
		RUN(deaths);
	} else if (box.cx) {
		in_mode();
	}
	if (box.cx)
		RUN(closed);
}

int main(void)
{
	if (geteuid() != 0 || access("/bin/busybox", X_OK) < 0) {
		printf("1..0 # SKIP needs root and /bin/busybox\n");
		return 0;
	}
	if (unshare(CLONE_NEWNET) < 0 || box_make() != 0)       /* what root has there would be in the way */
		return 1;
	command("mkdir -m 700 %s/run; chown -hR %d:%d %s", box.dir, USER, USER, box.dir);
	for (int which = OWN_ID; which <= DELEGATED; which++)
		run_mode(which, tests_of);
	command("rm -rf --one-file-system %s", box.dir);
	return test_end();
}
