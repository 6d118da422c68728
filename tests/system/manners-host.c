/* More manners: loading runs nothing, an odd thread doesn't show in its container, a full descriptor table, and
 * what becomes of forked copies and exec. */
#include "tests/system/manners.h"
#include "state/context.h"

#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

static conex_error *err;

static conex_container *run(conex *cx, uint64_t flags, const char *const *args)
{
	struct conex_run_options o = { .size = sizeof o, .rootfs = place.root, .flags = flags };
	conex_container *c = NULL;

	FINE(conex_run(cx, NULL, args, &o, &c, &err));
	return c;
}

static void finish(conex_container *c)
{
	if (c)
		CHECK_INT(conex_container_delete(c, 60000, &err), 1);
	conex_container_free(c);
}

/* ---- loading and unloading ---- */

static const char *library(void)
{
	static char path[PATH_MAX];
	const char *tree = getenv("CX_BUILDDIR");

	snprintf(path, sizeof path, "%s/.libs/libconex.so", tree ? tree : ".");
	return path;
}

static void load(void)
{
	struct seen *before = see(SEE_ALL);
	void *so = dlopen(library(), RTLD_NOW | RTLD_LOCAL);
	const char *(*version)(void);

	if (!CHECK(so != NULL)) {
		printf("# %s\n", dlerror());
		return;
	}
	version = (const char *(*)(void))dlsym(so, "conex_version");
	CHECK(version && version()[0]);
	CHECK(dlsym(so, "cx_context_new") == NULL);
	SAME(before, see(SEE_ALL));
	CHECK_INT(dlclose(so), 0);
	CHECK(dlopen(library(), RTLD_NOW | RTLD_NOLOAD) == NULL);       /* it has really gone */
}

TEST(loading_runs_nothing)
{
	char text[PATH_MAX + 128];

	if (access(library(), R_OK) < 0 || (getenv("SANITIZED") && *getenv("SANITIZED")))
		SKIP("no plain shared library here");
	in_host(load);
	/* one pointer each: crt's own frame_dummy and __do_global_dtors_aux */
	snprintf(text, sizeof text, "readelf -dW %s | grep -E '_ARRAYSZ' | grep -vw '8 (bytes)' | grep .", library());
	CHECK(system(text) != 0);
	snprintf(text, sizeof text, "readelf -dW %s | grep -E '\\((INIT|FINI)_ARRAY\\)' | wc -l | grep -qx 2", library());
	CHECK_INT(system(text), 0);
}

/* ---- the first launch comes from an odd thread ---- */

static void be_odd(void)
{
	struct sched_param none = { .sched_priority = 0 };
	struct rlimit core = { 0, 0 };
	cpu_set_t one;
	sigset_t all;

	CPU_ZERO(&one);
	CPU_SET(1, &one);
	sched_setaffinity(0, sizeof one, &one);
	sched_setscheduler(0, SCHED_BATCH, &none);
	setpriority(PRIO_PROCESS, 0, 11);
	syscall(SYS_ioprio_set, 1, 0, 3 << 13);         /* idle */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_IGN);
	umask(0);
	prctl(PR_SET_TIMERSLACK, 12345678);
	personality(ADDR_NO_RANDOMIZE);
	setrlimit(RLIMIT_CORE, &core);
	setenv("OF_THE_HOST", "secret", 1);
	CHECK_INT(chdir("/proc/self"), 0);
	close(0);
}

/* What the kernel says of somebody else's process. */
static const char *of(pid_t pid, const char *key)
{
	static char text[8192];
	char path[64];
	const char *at;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	at = strstr(slurp(path, text, sizeof text), key);
	if (!at)
		return "";
	at += strlen(key);
	at += strspn(at, ": \t");
	text[at - text + (ssize_t)strcspn(at, "\n")] = '\0';
	return at;
}

static void check_normal(pid_t pid, const char *cpus)
{
	char path[64], text[8192];

	CHECK_STR(of(pid, "SigBlk"), "0000000000000000");
	CHECK_STR(of(pid, "SigIgn"), "0000000000000000");
	CHECK_STR(of(pid, "Cpus_allowed"), cpus);
	CHECK_STR(of(pid, "Umask"), "0022");
	CHECK_INT(getpriority(PRIO_PROCESS, (id_t)pid), 0);
	CHECK_INT(sched_getscheduler(pid), SCHED_OTHER);
	CHECK_INT(syscall(SYS_ioprio_get, 1, pid) >> 13 != 3, 1);
	snprintf(path, sizeof path, "/proc/%d/timerslack_ns", (int)pid);
	CHECK_INT(atol(slurp(path, text, sizeof text)), 50000);
	snprintf(path, sizeof path, "/proc/%d/personality", (int)pid);
	CHECK_INT(strtol(slurp(path, text, sizeof text), NULL, 16), 0);
	snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
	slurp(path, text, sizeof text);
	CHECK(!strstr(text, "OF_THE_HOST"));
}

static void odd_host(void)
{
	char cpus[256];
	conex_container *c;
	conex *cx = NULL;
	char path[64], link[PATH_MAX];
	ssize_t n;

	snprintf(cpus, sizeof cpus, "%s", of(getpid(), "Cpus_allowed"));
	be_odd();
	FINE(conex_open(NULL, &cx, &err));
	c = run(cx, 0, CONEX_STRINGS("sleep", "1000"));
	if (c) {
		check_normal(conex_container_pid(c), cpus);
		snprintf(path, sizeof path, "/proc/%d/cwd", (int)conex_container_pid(c));
		n = readlink(path, link, sizeof link - 1);
		link[n < 0 ? 0 : n] = '\0';
		CHECK_STR(link, "/");
	}
	finish(c);
	conex_close(cx);
}

TEST(an_odd_thread_does_not_show)
{
	in_host(odd_host);
}

/* ---- no descriptor left ---- */

/* Leaves `spare` free. */
static int fill(int *fds, int max, int spare)
{
	int n = 0;

	while (n < max && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	for (int i = 0; i < spare && n > 0; i++)
		close(fds[--n]);
	return n;
}

static void empty(const int *fds, int n)
{
	while (n > 0)
		close(fds[--n]);
}

static void expect_full(int r)
{
	if (r >= 0)
		return;
	CHECK_INT(r, -EMFILE);
	if (!CHECK(strstr(conex_error_hint(err), "RLIMIT_NOFILE") != NULL) || r != -EMFILE)
		printf("# %s\n", conex_error_text(err));
	conex_error_free(err);
	err = NULL;
}

static void launch_with(conex *cx, int spare)
{
	struct conex_run_options o = { .size = sizeof o, .rootfs = place.root, .id = "full" };
	int fds[256], n = fill(fds, 256, spare), r;
	conex_container *c = NULL;

	r = conex_run(cx, NULL, CONEX_STRINGS("true"), &o, &c, &err);
	expect_full(r);
	if (r == 0)
		CHECK_INT(conex_container_wait(c, 60000, NULL, NULL), 1);
	empty(fds, n);
	finish(c);
	SOON(access("/sys/fs/cgroup/pids/conex/full", F_OK) < 0 || conex_next_event(cx, 1, &(struct conex_event){
		.size = sizeof(struct conex_event) }, NULL) < 0);
	c = run(cx, 0, CONEX_STRINGS("true"));          /* with room it works */
	finish(c);
}

static void full_host(void)
{
	struct rlimit few;
	int fds[256];
	conex *cx = NULL;

	getrlimit(RLIMIT_NOFILE, &few);
	few.rlim_cur = 64;
	setrlimit(RLIMIT_NOFILE, &few);
	for (int spare = 0; spare < 24; spare++) {      /* the context, too */
		int n = fill(fds, 256, spare), r = conex_open(NULL, &cx, &err);

		expect_full(r);
		empty(fds, n);
		if (r == 0)
			conex_close(cx);
	}
	for (int spare = 0; spare < 12; spare++) {      /* a keeper is to be started */
		FINE(conex_open(NULL, &cx, &err));
		launch_with(cx, spare);
		conex_close(cx);
	}
	FINE(conex_open(NULL, &cx, &err));
	finish(run(cx, 0, CONEX_STRINGS("true")));
	for (int spare = 0; spare < 12; spare++)        /* it runs already */
		launch_with(cx, spare);
	conex_close(cx);
}

TEST(a_full_descriptor_table)
{
	in_host(full_host);
}

/* What runs can be waited for and killed without one more descriptor. */
static void full_while_running(void)
{
	struct rlimit few;
	int fds[256], n, status = -1;
	conex_container *c;
	conex *cx = NULL;

	getrlimit(RLIMIT_NOFILE, &few);
	few.rlim_cur = 64;
	setrlimit(RLIMIT_NOFILE, &few);
	FINE(conex_open(NULL, &cx, &err));
	c = run(cx, 0, CONEX_STRINGS("sleep", "1000"));
	n = fill(fds, 256, 0);
	FINE(conex_container_kill(c, 9, &err));
	CHECK_INT(conex_container_wait(c, 60000, &status, &err), 1);
	CHECK_INT(status, 137);
	CHECK_INT(conex_container_pidfd(c), -1);
	CHECK(conex_container_delete(c, 0, NULL) >= 0);         /* may need to wait until there is room */
	empty(fds, n);
	finish(c);
	conex_close(cx);
}

TEST(a_full_table_while_it_runs)
{
	in_host(full_while_running);
}

/* ---- forked copies, and exec ---- */

static struct shared { volatile pid_t copy, keeper, container; char state[128]; } *told;

/* The copy holds the keeper's socket and all else that was inherited. */
static void fork_and_linger(void)
{
	conex *cx = NULL;
	conex_container *c;
	pid_t copy;

	FINE(conex_open(NULL, &cx, &err));
	snprintf(told->state, sizeof told->state, "%s", cx->state->path);
	c = run(cx, 0, CONEX_STRINGS("sleep", "1000"));
	told->keeper = conex_keeper_pid(cx);
	told->container = conex_container_pid(c);
	copy = fork();
	while (copy == 0)
		pause();
	told->copy = copy;
	kill(getpid(), SIGKILL);
}

TEST(a_copy_outlives_the_host)
{
	pid_t pid;

	memset(told, 0, sizeof *told);
	pid = fork();
	if (pid == 0)
		fork_and_linger();
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	CHECK(told->copy > 0 && kill(told->copy, 0) == 0);
	SOON(cx_process_start(told->container) == 0);
	SOON(cx_process_start(told->keeper) == 0); /* dead, though init may reap it later */
	SOON(access(told->state, F_OK) < 0);    /* conex-undo was here */
	if (told->copy > 0)
		kill(told->copy, SIGKILL);
}

static void exec_another(void)
{
	conex *cx = NULL;
	conex_container *c;

	FINE(conex_open(NULL, &cx, &err));
	snprintf(told->state, sizeof told->state, "%s", cx->state->path);
	c = run(cx, 0, CONEX_STRINGS("sleep", "1000"));
	told->keeper = conex_keeper_pid(cx);
	told->container = conex_container_pid(c);
	execl("/bin/busybox", "busybox", "sleep", "1000", (char *)NULL);
}

/* The program that comes after the host is alive under its pid; its containers end all the same. */
TEST(the_host_executes_another_program)
{
	pid_t pid;

	memset(told, 0, sizeof *told);
	pid = fork();
	if (pid == 0) {
		exec_another();
		_exit(1);
	}
	SOON(told->container > 0);
	SOON(cx_process_start(told->container) == 0);
	SOON(cx_process_start(told->keeper) == 0); /* dead, though init may reap it later */
	SOON(access(told->state, F_OK) < 0);
	CHECK_INT(waitpid(pid, NULL, WNOHANG), 0);      /* it lives */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static conex *shared_cx;
static conex_container *shared_c;
static conex_plan *shared_plan;

static void in_the_copy(void)
{
	struct conex_run_options o = { .size = sizeof o, .rootfs = place.root };
	struct conex_event ev = { .size = sizeof ev };
	struct conex_exit x = { .size = sizeof x };
	conex_container *c = NULL;
	conex_process *p = NULL;
	conex_plan *plan = NULL;
	char **ids = NULL;

	CHECK_INT(conex_run(shared_cx, NULL, CONEX_STRINGS("true"), &o, &c, &err), -ECHILD);
	CHECK(conex_error_hint(err)[0]);
	CHECK_INT(conex_plan_new(shared_cx, NULL, CONEX_STRINGS("true"), &o, &plan, &err), -ECHILD);
	o.rootfs = NULL;
	CHECK_INT(conex_launch(shared_cx, shared_plan, NULL, &o, &c, &err), -ECHILD);
	CHECK_INT(conex_exec(shared_c, CONEX_STRINGS("true"), NULL, &p, &err), -ECHILD);
	CHECK_INT(conex_next_event(shared_cx, -1, &ev, &err), -ECHILD);
	CHECK_INT(conex_container_wait(shared_c, -1, NULL, &err), -ECHILD);
	CHECK_INT(conex_container_kill(shared_c, 9, &err), -ECHILD);
	CHECK_INT(conex_container_stop(shared_c, &err), -ECHILD);
	CHECK_INT(conex_container_delete(shared_c, -1, &err), -ECHILD);
	CHECK_INT(conex_container_exit(shared_c, &x, &err), -ECHILD);
	CHECK_INT(conex_container_get(shared_cx, "a", &c, &err), -ECHILD);
	CHECK_INT(conex_container_list(shared_cx, NULL, &ids, &err), -ECHILD);
	CHECK_INT(conex_prune(shared_cx, NULL, &err), -ECHILD);
	CHECK_INT(conex_keeper_pid(shared_cx), 0);
	conex_error_free(err);
	conex_container_free(conex_container_ref(shared_c));
	conex_container_free(shared_c);
	conex_plan_free(shared_plan);
	conex_close(shared_cx);
}

/* The lock is held by another thread at the moment of the fork: the copy must not ask for it. */
static void forking_host(void)
{
	struct conex_run_options o = { .size = sizeof o, .rootfs = place.root };
	int status = -1;

	FINE(conex_open(NULL, &shared_cx, &err));
	FINE(conex_plan_new(shared_cx, NULL, CONEX_STRINGS("true"), &o, &shared_plan, &err));
	shared_c = run(shared_cx, 0, CONEX_STRINGS("sh", "-c", "read line; exit 3"));
	finish(run(shared_cx, 0, CONEX_STRINGS("true")));
	conex_container_free(shared_c);
	shared_c = run(shared_cx, 0, CONEX_STRINGS("sleep", "1000"));
	pthread_mutex_lock(&shared_cx->lock);
	in_host(in_the_copy);
	pthread_mutex_unlock(&shared_cx->lock);
	CHECK_INT(conex_container_state(shared_c), CONEX_RUNNING);
	CHECK_INT(kill(conex_container_pid(shared_c), 0), 0);
	CHECK(access(shared_cx->state->path, F_OK) == 0);
	FINE(conex_container_kill(shared_c, 9, &err));
	CHECK_INT(conex_container_wait(shared_c, 60000, &status, &err), 1);
	CHECK_INT(status, 137);
	finish(shared_c);
	finish(run(shared_cx, 0, CONEX_STRINGS("true")));
	conex_plan_free(shared_plan);
	conex_close(shared_cx);
}

TEST(a_forked_copy_may_only_free)
{
	in_host(forking_host);
}

static void tests(void)
{
	told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	RUN(loading_runs_nothing);
	RUN(an_odd_thread_does_not_show);
	RUN(a_full_descriptor_table);
	RUN(a_full_table_while_it_runs);
	RUN(a_copy_outlives_the_host);
	RUN(the_host_executes_another_program);
	RUN(a_forked_copy_may_only_free);
}

int main(void)
{
	return in_place(tests);
}
