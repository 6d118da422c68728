/* Containers in scopes of systemd: what kernel and systemd say of them, whoever dies (tests/vm/run.sh systemd system/systemd). */
#include "system/box.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <time.h>

static char ours[32];           /* in the names of all that is made here */

/* ---- what systemd and the kernel say ---- */

/* What a command writes, without its last newline. */
static const char *output_of(const char *command)
{
	static char texts[4][1024];
	static int next;
	char *text = texts[next++ % 4];
	FILE *f = popen(command, "re");
	size_t n = f ? fread(text, 1, sizeof texts[0] - 1, f) : 0;

	if (f)
		pclose(f);
	while (n && text[n - 1] == '\n')
		n--;
	text[n] = '\0';
	return text;
}

static const char *shows(const char *unit, const char *property)
{
	return output_of(say("systemctl show -p %s --value %s", property, unit));
}

static const char *cgroup_of(pid_t pid)
{
	const char *text = content("/proc/%d/cgroup", (int)pid);

	return text && !strncmp(text, "0::", 3) ? text + 3 : "";
}

static const char *file_of(conex_container *c, const char *name)
{
	const char *text = content("/sys/fs/cgroup%s/%s", cgroup_of(conex_container_pid(c)), name);

	return text ? text : "(none)";
}

static int in_time(int (*ready)(const char *), const char *what)
{
	for (int i = 0; i < test_slow(1000); i++) {
		if (ready(what))
			return 1;
		usleep(10000);
	}
	return 0;
}

/* systemd knows nothing of it any more, and there is no cgroup. */
static int is_gone(const char *unit)
{
	return !strcmp(shows(unit, "LoadState"), "not-found")
		&& command("find /sys/fs/cgroup -name '%s' | grep -q .", unit) != 0;
}

/* Names stay good until the end: there are few. */
static const char *name_of(const char *format, const char *id)
{
	static char names[64][64];
	static int next;
	char *name = names[next++ % 64];

	snprintf(name, sizeof names[0], format, ours, id);
	return name;
}

static conex_container *sleeper(const char *id, struct conex_run_options *o)
{
	o->id = name_of("%s%s", id);
	return box_sleeper(o);
}

static const char *unit_of(const char *id)
{
	return name_of("conex-%s%s.scope", id);
}

/* ---- tests ---- */

TEST(scope)
{
	struct conex_limits limits = { .size = sizeof limits, .memory = 64 * CONEX_MIB, .memory_low = 8 * CONEX_MIB,
		.pids = 50, .cpus = 0.5, .cpu_weight = 200, .cpuset = "0" };
	struct conex_run_options o = { .limits = &limits };
	conex_container *c = sleeper("web", &o);
	const char *unit = unit_of("web");

	if (!c)
		return;
	CHECK_STR(cgroup_of(conex_container_pid(c)), say("/system.slice/%s", unit));
	CHECK_STR(file_of(c, "memory.max"), "67108864");
	CHECK_STR(file_of(c, "memory.low"), "8388608");
	CHECK_STR(file_of(c, "pids.max"), "50");
	CHECK_STR(file_of(c, "cpu.max"), "50000 100000");
	CHECK_STR(file_of(c, "cpu.weight"), "200");
	CHECK_STR(file_of(c, "cpuset.cpus"), "0");
	CHECK_STR(shows(unit, "ActiveState"), "active");
	CHECK_STR(shows(unit, "Slice"), "system.slice");
	CHECK_STR(shows(unit, "Delegate"), "yes");
	CHECK_STR(shows(unit, "Transient"), "yes");
	CHECK_STR(shows(unit, "MemoryMax"), "67108864");
	CHECK_STR(shows(unit, "MemoryLow"), "8388608");
	CHECK_STR(shows(unit, "TasksMax"), "50");
	CHECK_STR(shows(unit, "CPUQuotaPerSecUSec"), "500ms");
	CHECK_STR(shows(unit, "CPUWeight"), "200");
	CHECK_STR(shows(unit, "AllowedCPUs"), "0");
	CHECK_INT(box_exec(c, NULL, "cat /proc/self/cgroup; ls -d /sys/fs/cgroup/memory.max"), 0);
	CHECK_STR(box.out, "0::/\n/sys/fs/cgroup/memory.max");
	box_end(c);
	CHECK(is_gone(unit));
}

TEST(update_and_reload)
{
	struct conex_limits limits = { .size = sizeof limits, .memory = 64 * CONEX_MIB, .cpus = 0.5 };
	struct conex_limits less = { .size = sizeof less, .memory = 32 * CONEX_MIB, .pids = 20,
		.oci = OCI({"cpu": {"quota": 25000}}) };
	struct conex_run_options o = { .limits = &limits };
	conex_container *c = sleeper("change", &o);
	const char *unit = unit_of("change");

	if (!c)
		return;
	CHECK_INT(command("systemctl daemon-reload"), 0);
	CHECK_STR(file_of(c, "memory.max"), "67108864");
	CHECK_STR(file_of(c, "cpu.max"), "50000 100000");
	GOOD(conex_container_update(c, &less, &box.err));
	for (int i = 0; i < 2; i++) {
		CHECK_STR(file_of(c, "memory.max"), "33554432");
		CHECK_STR(file_of(c, "pids.max"), "20");
		CHECK_STR(file_of(c, "cpu.max"), "25000 100000");
		CHECK_STR(shows(unit, "MemoryMax"), "33554432");
		CHECK_STR(shows(unit, "TasksMax"), "20");
		CHECK_STR(shows(unit, "CPUQuotaPerSecUSec"), "250ms");
		CHECK_INT(command("systemctl daemon-reload"), 0);
	}
	box_end(c);
	CHECK(is_gone(unit));
}

TEST(slices)
{
	const char *path = say("{\"linux\":{\"cgroupsPath\":\"conex-test.slice:pre:%sslice\"}}", ours);
	struct conex_run_options o = { .oci = path };
	conex_container *c = sleeper("slice", &o);

	if (!c)
		return;
	CHECK_STR(cgroup_of(conex_container_pid(c)), say("/conex.slice/conex-test.slice/pre-%sslice.scope", ours));
	CHECK_STR(shows(say("pre-%sslice.scope", ours), "Slice"), "conex-test.slice");
	box_end(c);
	CHECK(is_gone(say("pre-%sslice.scope", ours)));
}

TEST(forms_refused)
{
	static const char *const bad[] = { "/conex/web", "web", "a/b", "noslice:pre:x", "a.slice:pre:", "a--b.slice:pre:x" };
	struct conex_options other = { .size = sizeof other, .cgroup_driver = "cgroupfs" };
	struct conex_options wrong = { .size = sizeof wrong, .cgroup_driver = "openrc" };
	struct conex_options path = { .size = sizeof path, .cgroup_driver = "systemd", .cgroup = "/conex/web" };
	conex *cx = NULL, *mine = box.cx;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct conex_run_options o = { .oci = say("{\"linux\":{\"cgroupsPath\":\"%s\"}}", bad[i]) };

		CHECK_INT(box_run(&o, "true"), -EINVAL);
		SAID("linux.cgroupsPath");
	}
	CHECK_INT(conex_open(&wrong, &cx, NULL), -EINVAL);
	CHECK_INT(conex_open(&path, &cx, NULL), -EINVAL);
	if (!GOOD(conex_open(&other, &box.cx, &box.err)))
		return;
	CHECK_INT(box_run(&(struct conex_run_options){ .oci = OCI({"linux": {"cgroupsPath": "system.slice:pre:x"}}) }, "true"),
		-EINVAL);
	SAID("cgroup_driver");
	conex_close(box.cx);
	box.cx = mine;
}

/* A name that is taken, by a container or by a unit elsewhere, whose processes are nobody's to kill. */
TEST(taken)
{
	struct conex_run_options o = { .oci = say("{\"linux\":{\"cgroupsPath\":\"system.slice:pre:%staken\"}}", ours) };
	struct conex_run_options second = { .oci = o.oci };
	conex_container *c = sleeper("first", &o), *none;
	const char *unit = name_of("pre-%s%s.scope", "taken2");

	second.id = name_of("%s%s", "second");
	none = box_start(&second, CONEX_STRINGS("sleep", "1000"));
	CHECK(none == NULL);
	CHECK_INT(conex_error_code(box.err), -EEXIST);
	SAID("another container's");
	CHECK(c && conex_container_state(c) == CONEX_RUNNING);
	box_end(c);
	command("systemd-run --quiet --scope --slice=conextest.slice --unit=%s sleep 1000 >/dev/null 2>&1 &", unit);
	for (int i = 0; i < test_slow(500) && strcmp(shows(unit, "ActiveState"), "active"); i++)
		usleep(10000);
	second.oci = say("{\"linux\":{\"cgroupsPath\":\"system.slice:pre:%staken2\"}}", ours);
	none = box_start(&second, CONEX_STRINGS("sleep", "1000"));
	CHECK(none == NULL);
	CHECK_INT(conex_error_code(box.err), -EEXIST);
	SAID("taken");
	CHECK_STR(shows(unit, "ActiveState"), "active");
	command("systemctl stop %s", unit);
}

static void *launch_some(void *arg)
{
	for (int i = 0; i < 3; i++) {
		const char *const args[] = { "true", NULL };
		struct conex_run_options o = box_options(NULL);
		conex_container *c = NULL;
		conex_error *err = NULL;
		int status = -1;

		if (conex_run(box.cx, NULL, args, &o, &c, &err) < 0)
			printf("# %s\n", conex_error_text(err));
		if (CHECK(c != NULL) && CHECK_INT(conex_container_wait(c, -1, &status, NULL), 1)) {
			CHECK_INT(status, 0);
			CHECK_INT(conex_container_delete(c, -1, NULL), 1);
		}
		conex_container_free(c);
		conex_error_free(err);
	}
	return arg;
}

TEST(at_the_same_time)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, launch_some, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

TEST(lives)
{
	struct conex_run_options o = { .oci = OCI({"linux": {"resources": {"devices": [{"allow": false, "access": "rwm"}]}}}) };
	conex_container *c = sleeper("lives", &o);
	struct conex_stats s = { .size = sizeof s };
	pid_t *pids = NULL;

	if (!c)
		return;
	CHECK_INT(box_exec(c, NULL, "mknod /tmp/kmsg c 1 11; cat </tmp/kmsg"), 1);
	CHECK(strstr(box.out, "not permitted") != NULL);
	CHECK_INT(conex_container_pids(c, &pids, NULL), 1);
	free(pids);
	GOOD(conex_container_stats(c, &s, &box.err));
	CHECK_INT(s.pids, 1);
	CHECK_INT(conex_container_pause(c, 10000, &box.err), 1);
	CHECK_STR(file_of(c, "cgroup.freeze"), "1");
	CHECK_INT(conex_container_resume(c, &box.err), 0);
	CHECK_STR(file_of(c, "cgroup.freeze"), "0");
	CHECK_INT(conex_container_pause(c, 10000, &box.err), 1);
	box_end(c);     /* frozen */
	CHECK(is_gone(unit_of("lives")));
}

/* Those that go on in a second process are put into the scope by their first. */
TEST(user_namespaces_and_stages)
{
	struct conex_run_options user = { .oci = OCI({"linux": {"namespaces": [{"type": "user"}],
		"uidMappings": [{"containerID": 0, "hostID": 100000, "size": 1000}],
		"gidMappings": [{"containerID": 0, "hostID": 100000, "size": 1000}]}}) };
	struct conex_run_options staged = { .oci = say("{\"linux\":{\"netDevices\":{\"%s\":{}}}}", "conexdummy") };
	conex_container *c;

	command("chmod -R a+rX %s", box.root);
	c = sleeper("user", &user);
	if (c)
		CHECK_STR(cgroup_of(conex_container_pid(c)), say("/system.slice/%s", unit_of("user")));
	box_end(c);
	if (command("ip link add conexdummy type dummy 2>/dev/null") != 0)
		return;
	c = sleeper("staged", &staged);
	if (c)
		CHECK_STR(cgroup_of(conex_container_pid(c)), say("/system.slice/%s", unit_of("staged")));
	box_end(c);
	CHECK(is_gone(unit_of("staged")));
	command("ip link del conexdummy 2>/dev/null");
}

TEST(failed_launch)
{
	struct conex_run_options o = { .id = name_of("%s%s", "fails") };

	CHECK_INT(box_run_args(&o, CONEX_STRINGS("/no/such/program")), -ENOENT);
	CHECK(in_time(is_gone, unit_of("fails")));
	CHECK_INT(box_run(&o, "true"), 0);      /* and the name is free again */
}

TEST(cgroups_alone)
{
	conex_cgroup *g = NULL;

	CHECK_INT(conex_cgroup_create(box.cx, "alone", NULL, &g, &box.err), -EOPNOTSUPP);
	SAID("cgroupfs");
}

/* Root may make cgroups: nobody is asked. */
TEST(chosen)
{
	conex *mine = box.cx;
	conex_container *c;

	if (GOOD(conex_open(NULL, &box.cx, &box.err)) && (c = box_sleeper(NULL))) {
		CHECK(!strncmp(cgroup_of(conex_container_pid(c)), "/conex/", 7));
		box_end(c);
	}
	conex_close(box.cx);
	box.cx = mine;
}

/* ---- a systemd that isn't there for a while ---- */

static void *launch_in_vain(void *arg)
{
	const char *const args[] = { "true", NULL };
	struct conex_run_options o = box_options(NULL);
	conex_container *c = NULL;
	conex_error *err = NULL;

	CHECK_INT(conex_run(box.cx, NULL, args, &o, &c, &err), -ETIMEDOUT);
	conex_error_free(err);
	return arg;
}

static int in_vm(void)
{
	const char *line = content("/proc/cmdline");

	return line && strstr(line, "conex.layout=");
}

/* Only the launch waits: for others the context is as quick as ever. */
TEST(bus_asleep)
{
	conex_container *c = in_vm() ? box_sleeper(NULL) : NULL;
	struct conex_stats s = { .size = sizeof s };
	struct timespec before, after;
	pthread_t thread;

	if (!c)
		SKIP("the bus is stopped in tests/vm only");
	CHECK_INT(command("kill -STOP $(pidof dbus-daemon)"), 0);
	pthread_create(&thread, NULL, launch_in_vain, NULL);
	sleep(3);
	clock_gettime(CLOCK_MONOTONIC, &before);
	GOOD(conex_container_stats(c, &s, &box.err));
	CHECK_INT(conex_container_state(c), CONEX_RUNNING);
	clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK(after.tv_sec - before.tv_sec < 3);
	pthread_join(thread, NULL);
	CHECK_INT(command("kill -CONT $(pidof dbus-daemon)"), 0);
	box_end(c);
	CHECK_INT(box_run(NULL, "true"), 0);
}

TEST(bus_lost)
{
	if (!in_vm())
		SKIP("the bus is ended in tests/vm only");
	CHECK_INT(command("kill -KILL $(pidof dbus-daemon); sleep 1; systemctl start dbus.socket dbus.service"), 0);
	for (int i = 0; i < test_slow(500) && command("busctl status org.freedesktop.systemd1 >/dev/null 2>&1") != 0; i++)
		usleep(10000);
	CHECK_INT(box_run(NULL, "true"), 0);
}

/* ---- who dies ---- */

static struct shared { volatile pid_t keeper, child; char state[128]; } *told;

/* A host with a container whose second process outlives the first one: only who goes by the cgroup finds it. */
static void __attribute__((noreturn)) be_host(const struct conex_options *options, const char *id)
{
	struct conex_run_options o = { .id = name_of("%s%s", id), .share = CONEX_NS_PID };
	conex_container *c = NULL;

	o = box_options(&o);
	if (conex_open(options, &box.cx, &box.err) < 0 || conex_run(box.cx, NULL,
		    CONEX_STRINGS("sh", "-c", "(setsid sleep 1000; :) & sleep 1000; :"), &o, &c, &box.err) < 0) {
		box_good(-1, id, __FILE__, __LINE__);
		_exit(1);
	}
	snprintf((char *)told->state, sizeof told->state, "%s", box.cx->state->path);
	told->keeper = conex_keeper_pid(box.cx);
	told->child = conex_container_pid(c);
	pause();
	_exit(0);
}

static void become(uid_t uid)
{
	if (uid && (setgid(uid) < 0 || setuid(uid) < 0 || setenv("XDG_RUNTIME_DIR", say("/run/user/%d", (int)uid), 1) < 0))
		_exit(2);
}

static int is_full(const char *unit)    /* the shell, the subshell, and what each of them waits for */
{
	return command("test $(cat $(find /sys/fs/cgroup -name '%s')/cgroup.procs | wc -l) -ge 4", unit) == 0;
}

static pid_t host_that_launches(const char *id, uid_t uid, const char *slice)
{
	struct conex_options options = { .size = sizeof options, .cgroup_driver = "systemd" };
	pid_t pid;

	memset((void *)told, 0, sizeof *told);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		become(uid);
		be_host(&options, id);
	}
	for (int i = 0; i < test_slow(1000) && !told->child; i++)
		usleep(10000);
	CHECK_STR(cgroup_of(told->child), say("/%s/%s", slice, unit_of(id)));
	CHECK(in_time(is_full, unit_of(id)));
	return pid;
}

static int no_state(const char *path)
{
	return access(path, F_OK) < 0;
}

TEST(host_killed)
{
	pid_t pid = host_that_launches("host", 0, "system.slice");

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK(in_time(is_gone, unit_of("host")));
	CHECK(in_time(no_state, (const char *)told->state));    /* conex-undo's work */
}

TEST(all_killed)
{
	pid_t pid = host_that_launches("all", 0, "system.slice");
	conex *cx = NULL;

	kill(told->keeper, SIGSTOP);    /* else it might be quicker than its own death */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	kill(told->keeper, SIGKILL);
	usleep(200000);
	CHECK(!is_gone(unit_of("all")));
	GOOD(conex_open(NULL, &cx, &box.err));
	conex_close(cx);
	CHECK(in_time(is_gone, unit_of("all")));
	CHECK(no_state((const char *)told->state));
}

/* ---- a machine without libsystemd ---- */

TEST(no_library)
{
	struct conex_options options = { .size = sizeof options, .cgroup_driver = "systemd" };
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
		    || command("for f in /usr/lib/*/libsystemd.so.0*; do mount --bind /dev/null $f || exit; done") != 0)
			_exit(2);
		_exit(!CHECK_INT(conex_open(&options, &box.cx, &box.err), 0)
			|| !CHECK_INT(box_run(NULL, "true"), -ELIBACC) || !SAID("libsystemd0") || !SAID("libsystemd.so.0"));
	}
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
}

/* ---- a user ---- */

enum { USER = 1000 };

/* As Podman's runtimes are called: the root of a namespace in which the user is all there is. */
static void become_root_again(void)
{
	if (prctl(PR_SET_DUMPABLE, 1) < 0 || unshare(CLONE_NEWUSER) < 0)
		_exit(3);
	make_file("/proc/self/setgroups", "deny");
	make_file("/proc/self/uid_map", say("0 %d 1", USER));
	make_file("/proc/self/gid_map", say("0 %d 1", USER));
}

static void as_user(int root_again)
{
	conex_container *c;
	const char *path;

	become(USER);
	if (root_again)
		become_root_again();
	box.cx = NULL;
	if (!GOOD(conex_open(NULL, &box.cx, &box.err)))
		_exit(1);
	c = box_sleeper(&(struct conex_run_options){ .id = name_of("%s%s", "user"), .limits = &(struct conex_limits){
		.size = sizeof(struct conex_limits), .memory = 64 * CONEX_MIB } });
	path = c ? cgroup_of(conex_container_pid(c)) : "";
	CHECK_STR(path, say("/user.slice/user-%d.slice/user@%d.service/user.slice/%s", USER, USER, unit_of("user")));
	if (c)
		CHECK_STR(file_of(c, "memory.max"), "67108864");
	CHECK_INT(c ? box_exec(c, NULL, "cat /proc/self/cgroup") : -1, 0);
	CHECK_STR(box.out, "0::/");
	box_end(c);
	conex_close(box.cx);
	CHECK(access(say("/sys/fs/cgroup%s", path), F_OK) < 0);
	_exit(test_state.faults != 0);
}

TEST(users_manager)
{
	int status = -1;
	pid_t pid;

	if (!in_vm())
		SKIP("a user's service manager is started in tests/vm only");
	command("getent passwd %d >/dev/null || echo 'conexuser:x:%d:%d::/:/bin/sh' >>/etc/passwd;"
		"mkdir -p /run/systemd/system/user@.service.d; cd /run/systemd/system/user@.service.d;"
		"printf '[Service]\\nPAMName=\\nEnvironment=XDG_RUNTIME_DIR=/run/user/%%%%i\\n' >no-pam.conf; systemctl daemon-reload",
		USER, USER, USER);
	if (command("systemctl start user@%d.service", USER) != 0
	    || access(say("/run/user/%d/systemd/private", USER), F_OK) < 0)
		SKIP("no service manager for users here");
	for (int root_again = 0; root_again < 2; root_again++) {
		fflush(stdout);
		pid = fork();
		if (pid == 0)
			as_user(root_again);
		waitpid(pid, &status, 0);
		CHECK_INT(status, 0);
	}
	pid = host_that_launches("dies", USER, say("user.slice/user-%d.slice/user@%d.service/user.slice", USER, USER));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK(in_time(no_state, (const char *)told->state));
	CHECK(command("find /sys/fs/cgroup -name '%s' | grep -q .", unit_of("dies")) != 0);
}

static void tests(void)
{
	RUN(no_library);        /* before it is loaded here */
	RUN(scope);
	RUN(update_and_reload);
	RUN(slices);
	RUN(forms_refused);
	RUN(taken);
	RUN(at_the_same_time);
	RUN(lives);
	RUN(user_namespaces_and_stages);
	RUN(failed_launch);
	RUN(cgroups_alone);
	RUN(chosen);
	RUN(host_killed);
	RUN(all_killed);
	RUN(users_manager);
	RUN(bus_asleep);
	RUN(bus_lost);
}

int main(void)
{
	struct conex_options o = { .size = sizeof o, .close_ms = 120000, .cgroup_driver = "systemd" };

	if (geteuid() != 0 || access("/bin/busybox", X_OK) < 0 || access("/run/systemd/system", F_OK) < 0
	    || access("/sys/fs/cgroup/cgroup.controllers", F_OK) < 0) {
		printf("1..0 # SKIP needs root, /bin/busybox, systemd as PID 1 and cgroup v2 alone\n");
		return 0;
	}
	if (getenv("CX_BUILDDIR"))
		setenv("CONEX_UNDO", say("%s/conex-undo", getenv("CX_BUILDDIR")), 0);
	snprintf(ours, sizeof ours, "t%d-", (int)getpid());
	told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (box_make() != 0 || !GOOD(conex_open(&o, &box.cx, &box.err)))
		return 1;
	tests();
	box_clear();
	conex_close(box.cx);
	command("rm -rf --one-file-system %s", box.dir);
	return test_end() | (test_state.faults != 0);
}
