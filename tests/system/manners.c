/* A guest with manners: a busy host launches hundreds of containers from eight threads, and nothing of it is
 * any different, before, after and meanwhile. In a plain host, a subreaper, and a process 1. */
#include "tests/system/manners.h"

#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>

enum { BUSY = 64, LAUNCHERS = 8, PIDS = 1 << 22 };

/* One host's state; each host is a process of its own. */
static struct {
	pthread_rwlock_t quiet;         /* the busy ones hold it for reading: to write is to stop them */
	pthread_barrier_t start, end;
	int up, watch, stop;            /* threads that run; the watcher may begin; all end */
	conex *cx;
	conex_plan *plan;
	int left;                       /* containers to launch */
	int launched;
	pid_t foreign;                  /* what wait(-1) returned though it isn't ours; 0: none */
	int foreigners;
	unsigned long children, signals;
} host;

static unsigned char own[PIDS];         /* by pid: children of ours, */
static unsigned char signalled[PIDS];   /* and whose end a SIGCHLD was for */

/* ---- what a host does all day ---- */

/* glibc starts threads with all signals blocked for a moment: from here on they are as they stay. */
static void settle(void)
{
	free(memset(malloc(100000), 1, 1));     /* malloc gives each thread its arena, 64 MiB of addresses */
	__atomic_add_fetch(&host.up, 1, __ATOMIC_RELAXED);
	while (!__atomic_load_n(&host.watch, __ATOMIC_RELAXED))
		usleep(1000);
}

static void *busy(void *data)
{
	unsigned seed = (unsigned)(uintptr_t)data;

	settle();
	while (!__atomic_load_n(&host.stop, __ATOMIC_RELAXED)) {
		struct addrinfo hint = { .ai_flags = AI_NUMERICHOST }, *found = NULL;

		pthread_rwlock_rdlock(&host.quiet);
		for (int i = 0; i < 20; i++)
			free(memset(malloc(1 + rand_r(&seed) % 100000), 1, 1));
		if (getaddrinfo("127.0.0.1", "80", &hint, &found) == 0)
			freeaddrinfo(found);
		if (rand_r(&seed) % 16 == 0 && getaddrinfo("localhost", NULL, NULL, &found) == 0)
			freeaddrinfo(found);
		if (!setlocale(LC_ALL, NULL) || localeconv()->decimal_point[0] != '.')
			test_check(0, __FILE__, __LINE__, "the locale is as it was");
		pthread_rwlock_unlock(&host.quiet);
		usleep(20000);
	}
	return NULL;
}

static void on_child(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	__atomic_add_fetch(&host.signals, 1, __ATOMIC_RELAXED);
	if (info->si_pid > 0 && info->si_pid < PIDS)
		signalled[info->si_pid] = 1;
}

static pid_t child(void)
{
	pid_t pid = vfork();    /* a fork would copy 2 GiB of page tables */

	if (pid == 0)
		_exit(7);
	return pid;
}

/* Has children of its own and waits for any. */
static void *parent(void *data)
{
	(void)data;
	settle();
	while (!__atomic_load_n(&host.stop, __ATOMIC_RELAXED)) {
		int status;
		pid_t mine, got;

		pthread_rwlock_rdlock(&host.quiet);
		mine = child();
		own[mine] = 1;
		while ((got = waitpid(-1, &status, 0)) != mine) {
			if (got < 0 && errno == EINTR)
				continue;
			if (got <= 0)
				break;
			host.foreign = got;
			host.foreigners++;
		}
		CHECK_INT(got, mine);
		CHECK(got != mine || (WIFEXITED(status) && WEXITSTATUS(status) == 7));
		host.children++;
		pthread_rwlock_unlock(&host.quiet);
		usleep(1000);
	}
	return NULL;
}

/* Looks again and again while containers come and go: nothing changes even for a moment. */
static void *watcher(void *data)
{
	struct seen *first = data;

	settle();
	while (!__atomic_load_n(&host.stop, __ATOMIC_RELAXED)) {
		struct seen *now, *copy = malloc(sizeof *copy);

		pthread_rwlock_rdlock(&host.quiet);
		now = see(0);
		pthread_rwlock_unlock(&host.quiet);
		memcpy(copy, first, sizeof *copy);
		if (__atomic_load_n(&host.stop, __ATOMIC_ACQUIRE)) {
			free(copy);     /* the others are leaving already */
			free(now);
		} else if (!SAME(copy, now)) {
			break;
		}
		usleep(20000);
	}
	return NULL;
}

/* ---- launching ---- */

static void launch_quickly(void)
{
	struct conex_run_options o = { .size = sizeof o };
	conex_container *c = NULL;
	conex_error *err = NULL;
	int status = -1;

	if (!FINE(conex_launch(host.cx, host.plan, NULL, &o, &c, &err)))
		return;
	FINE(conex_container_wait(c, -1, &status, &err));
	CHECK_INT(status, 0);
	FINE(conex_container_delete(c, -1, &err));
	conex_container_free(c);
}

static void launch_with_output(void)
{
	struct conex_run_options o = { .size = sizeof o, .rootfs = place.root, .out = CONEX_STDIO_PIPE };
	struct conex_output io = { .size = sizeof io };
	conex_container *c = NULL;
	conex_error *err = NULL;

	if (!FINE(conex_run(host.cx, NULL, CONEX_STRINGS("echo", "a line"), &o, &c, &err)))
		return;
	FINE(conex_container_output(c, -1, &io, &err));
	CHECK_STR(io.out, "a line\n");
	conex_output_clear(&io);
	FINE(conex_container_delete(c, -1, &err));
	conex_container_free(c);
}

static void *launcher(void *data)
{
	int n;

	settle();
	pthread_barrier_wait(&host.start);
	while ((n = __atomic_sub_fetch(&host.left, 1, __ATOMIC_RELAXED)) >= 0) {
		if (n % 4)
			launch_quickly();
		else
			launch_with_output();
		__atomic_add_fetch(&host.launched, 1, __ATOMIC_RELAXED);
	}
	pthread_barrier_wait(&host.end);
	while (!__atomic_load_n(&host.stop, __ATOMIC_RELAXED))
		usleep(1000);   /* threads stay until the host has been looked at */
	return data;
}

/* ---- one host ---- */

static pthread_t threads[BUSY + LAUNCHERS + 2];
static int thread_count;

static void start(void *(*run)(void *), void *data)
{
	CHECK_INT(pthread_create(&threads[thread_count++], NULL, run, data), 0);
}

/* SIGCHLD handled, some signals ignored, a mask that is not the usual one, descriptor 0 closed. */
static void be_peculiar(void)
{
	struct sigaction a = { .sa_sigaction = on_child, .sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER };
	sigset_t mask;

	close(0);
	sigaction(SIGCHLD, &a, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGRTMIN + 5);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	umask(027);
	if (chdir("/tmp") < 0)
		CHECK(!"chdir");
	setenv("OF_THE_HOST", "secret", 1);
}

static void use_memory(void)
{
	size_t size = (size_t)setting("CONEX_MANNERS_MIB", 2048) << 20;

	CHECK(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)
		!= MAP_FAILED);
}

static void begin(void)
{
	pthread_rwlockattr_t a;

	pthread_rwlockattr_init(&a);
	pthread_rwlockattr_setkind_np(&a, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&host.quiet, &a);
	pthread_barrier_init(&host.start, NULL, LAUNCHERS + 1);
	pthread_barrier_init(&host.end, NULL, LAUNCHERS + 1);
	for (int i = 0; i < BUSY; i++)
		start(busy, (void *)(uintptr_t)(i + 1));
	start(parent, NULL);
	for (int i = 0; i < LAUNCHERS; i++)
		start(launcher, NULL);
}

/* All quiet: no busy thread is inside a call, no child of its own is there. */
static struct seen *see_quietly(void)
{
	struct seen *s;

	pthread_rwlock_wrlock(&host.quiet);
	s = see(SEE_ALL);
	pthread_rwlock_unlock(&host.quiet);
	return s;
}

static pid_t launch_all(void)
{
	struct conex_run_options o = { .size = sizeof o, .rootfs = place.root };
	conex_error *err = NULL;
	pid_t keeper;

	FINE(conex_open(NULL, &host.cx, &err));
	FINE(conex_plan_new(host.cx, NULL, CONEX_STRINGS("/bin/true"), &o, &host.plan, &err));
	CHECK_INT(conex_keeper_pid(host.cx), 0);
	pthread_barrier_wait(&host.start);
	pthread_barrier_wait(&host.end);
	keeper = conex_keeper_pid(host.cx);
	CHECK(keeper > 0);
	conex_plan_free(host.plan);
	conex_close(host.cx);
	return keeper;
}

/* Dead; and reaped, if that is ours to do: the machine's process 1 takes its time. */
static int is_gone(pid_t pid, int ours)
{
	return ours ? kill(pid, 0) < 0 : cx_process_start(pid) == 0;
}

static int strange_signals(void)
{
	int count = 0;

	for (int pid = 0; pid < PIDS; pid++)
		count += signalled[pid] && !own[pid];
	return count;
}

/* may_have_keeper: the kernel gives us the keeper as a child. */
static void live(int may_have_keeper)
{
	int containers = setting("CONEX_MANNERS_CONTAINERS", 500);
	struct seen *before, *first;
	long size, resident;
	pid_t keeper;

	host.left = containers;
	be_peculiar();
	use_memory();
	begin();
	first = calloc(1, sizeof *first);
	start(watcher, first);
	while (__atomic_load_n(&host.up, __ATOMIC_RELAXED) < thread_count)
		usleep(1000);
	before = see(0);
	memcpy(first, before, sizeof *first);
	free(before);
	__atomic_store_n(&host.watch, 1, __ATOMIC_RELEASE);
	before = see_quietly();
	size = memory("VmSize:");
	resident = memory("VmRSS:");
	keeper = launch_all();
	SOON(is_gone(keeper, may_have_keeper));
	SAME(before, see_quietly());
	CHECK(memory("VmSize:") - size < 100 * 1024);
#ifdef __SANITIZE_ADDRESS__             /* which keeps what was freed */
	CHECK(memory("VmRSS:") - resident < 1024 * 1024);
#else
	CHECK(memory("VmRSS:") - resident < 32 * 1024);
#endif
	CHECK_INT(host.launched, containers);
	__atomic_store_n(&host.stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < thread_count; i++)
		pthread_join(threads[i], NULL);
	CHECK(host.children > 10 && host.signals > 10);
	CHECK_INT(host.foreigners, may_have_keeper);
	CHECK(!may_have_keeper || host.foreign == keeper);
	CHECK(strange_signals() <= may_have_keeper);    /* 0, if the keeper's came while another was pending */
	CHECK(getenv("OF_THE_HOST") && !strcmp(getenv("OF_THE_HOST"), "secret"));
	free(first);
}

static void plain(void)
{
	live(0);
}

static void subreaper(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	live(1);
}

/* Is process 1 already; /proc must be mounted by a process of the namespace that it is to show. */
static void process_one(void)
{
	CHECK_INT(getpid(), 1);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
	    || mount("proc", "/proc", "proc", 0, NULL) < 0)
		CHECK_STR(strerror(errno), "/proc of its own");
	else
		live(1);
}

static void before_process_one(void)
{
	if (unshare(CLONE_NEWPID) < 0)
		CHECK_STR(strerror(errno), "a pid namespace");
	else
		in_host(process_one);
}

TEST(a_plain_host)
{
	in_host(plain);
}

TEST(a_subreaper)
{
	in_host(subreaper);
}

TEST(a_process_1)
{
	in_host(before_process_one);
}

static void tests(void)
{
	RUN(a_plain_host);
	RUN(a_subreaper);
	RUN(a_process_1);
}

int main(void)
{
	return in_place(tests);
}
