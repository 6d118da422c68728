/* SIGKILL for the host, the keeper, and both, at any instant: nothing is left, and the next one works. */
#include <glob.h>
#include "tests/system/manners.h"
#include "state/context.h"

#include <signal.h>
#include <sys/mman.h>

static conex_error *err;

/* What a host that is to die lets us know. */
static struct shared { volatile pid_t keeper; volatile int launches; char state[128]; } *told;
static char mark[32];                   /* an argument of all its containers */
enum { GAVE_UP = 2 };

/* ---- the host that is killed ---- */

static conex_plan *sleeper_plan(conex *cx)
{
	struct conex_run_options o = { .size = sizeof o, .rootfs = place.root };
	conex_plan *plan = NULL;

	/* two shells that bear the mark, one of them in the background and deaf to what can be ignored */
	FINE(conex_plan_new(cx, NULL, CONEX_STRINGS("/bin/sh", "-c",
		"(trap '' TERM HUP INT; sleep 1000; :) & sleep 1000; :", mark), &o, &plan, &err));
	return plan;
}

static void launch_and_die_somewhere(void)
{
	struct conex_run_options o = { .size = sizeof o };
	conex_container *c = NULL;
	conex_plan *plan;
	conex *cx = NULL;

	if (conex_open(NULL, &cx, &err) < 0)
		_exit(1);
	snprintf(told->state, sizeof told->state, "%s", cx->state->path);
	plan = sleeper_plan(cx);
	for (int n = 0;; n++) {
		if (conex_launch(cx, plan, NULL, &o, &c, &err) < 0)
			_exit(GAVE_UP);
		told->keeper = conex_keeper_pid(cx);
		told->launches = n + 1;
		if (n % 3 == 0)
			conex_container_delete(c, -1, NULL);
		conex_container_free(c);
		if (n >= 8)
			pause();
	}
}

static pid_t start_host(void)
{
	pid_t pid;

	memset(told, 0, sizeof *told);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		launch_and_die_somewhere();
	return pid;
}

/* Until it has come so far; 0: it has ended instead, which it never does by itself. */
static int host_has(pid_t pid, volatile pid_t *what)
{
	siginfo_t ended = { .si_pid = 0 };

	while (!*what) {
		if (waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) < 0 || ended.si_pid)
			return CHECK(!"the host launches");
		usleep(100);
	}
	return 1;
}

/* Without a keeper for a moment, it may have had the time to see that and to give up. */
static void kill_host(pid_t pid, int keeper_was_first)
{
	int status;

	kill(pid, SIGKILL);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) || (keeper_was_first && WEXITSTATUS(status) == GAVE_UP));
}

/* ---- what may be left: nothing ---- */

/* Its containers' cgroups are found by the journals that name them. */
static int cgroups_left(char (*ids)[16], int count)
{
	int left = 0;

	for (int i = 0; i < count; i++) {
		char pattern[96];
		glob_t found;

		snprintf(pattern, sizeof pattern, "/sys/fs/cgroup/{conex,*/conex}/%s", ids[i]);
		left += glob(pattern, GLOB_BRACE, NULL, &found) == 0;
		globfree(&found);
	}
	return left;
}

static int journals(char (*ids)[16], int max)
{
	char path[160];
	struct dirent *e;
	int n = 0;
	DIR *d;

	snprintf(path, sizeof path, "%s/containers", told->state);
	d = opendir(path);
	while (d && n < max && (e = readdir(d)))
		if (strlen(e->d_name) == 12)
			memcpy(ids[n++], e->d_name, 13);
	if (d)
		closedir(d);
	return n;
}

static int state_left(void)
{
	return told->state[0] && access(told->state, F_OK) == 0;
}

static void clean_up_by_open(void)
{
	conex *cx = NULL;

	FINE(conex_open(NULL, &cx, &err));
	conex_close(cx);
}

/* ---- the host dies ---- */

/* The keeper kills, and conex-undo cleans up: nobody else does anything. */
TEST(the_host_is_killed)
{
	int rounds = setting("CONEX_CRASH_ROUNDS", 50);

	for (int i = 0; i < rounds; i++) {
		pid_t pid = start_host();
		char ids[64][16];
		int count;

		if (i % 2)
			host_has(pid, &told->launches);
		usleep((useconds_t)(rand() % 15000));
		kill(pid, SIGSTOP);
		count = journals(ids, 64);
		kill_host(pid, 0);
		SOON(marked(mark) == 0);
		if (told->keeper) {
			SOON(cx_process_start(told->keeper) == 0); /* dead, though init may reap it later */
			SOON(!state_left());
		} else {
			SOON((clean_up_by_open(), !state_left()));
		}
		CHECK_INT(cgroups_left(ids, count), 0);
	}
}

static int write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return n > 0;
}

/* v1's freezer holds SIGKILL back: somebody must thaw what was paused, or frozen by a host that died. */
TEST(the_host_is_killed_and_they_are_frozen)
{
	pid_t pid = start_host();
	char ids[64][16];
	int count, frozen = 0;

	while (host_has(pid, &told->launches) && told->launches < 9)
		usleep(100);
	count = journals(ids, 64);
	for (int i = 0; i < count; i++) {
		char pattern[96];
		glob_t found;

		snprintf(pattern, sizeof pattern, "/sys/fs/cgroup/freezer/{conex,*/conex}/%s/freezer.state", ids[i]);
		if (glob(pattern, GLOB_BRACE, NULL, &found) == 0)
			frozen += write_to(found.gl_pathv[0], "FROZEN");
		globfree(&found);
	}
	if (!frozen)
		SKIP("no v1 freezer here");
	kill_host(pid, 0);
	SOON(marked(mark) == 0);
	SOON(!state_left());
	CHECK_INT(cgroups_left(ids, count), 0);
}

/* All at once: PDEATHSIG alone ends the containers, the next conex_open cleans up. */
TEST(host_and_keeper_are_killed)
{
	int rounds = setting("CONEX_CRASH_ROUNDS", 50);

	for (int i = 0; i < rounds; i++) {
		pid_t pid = start_host();
		char ids[64][16];
		int count;

		host_has(pid, &told->keeper);
		usleep((useconds_t)(rand() % 15000));
		if (i % 2) {
			kill(told->keeper, SIGKILL);
			kill(pid, SIGKILL);
		} else {
			kill(pid, SIGKILL);
			kill(told->keeper, SIGKILL);
		}
		kill_host(pid, i % 2);
		count = journals(ids, 64);
		SOON(marked(mark) == 0);
		clean_up_by_open();
		CHECK(!state_left());
		CHECK_INT(cgroups_left(ids, count), 0);
	}
}

/* ---- the keeper dies, the host lives ---- */

static void expect_lost(conex *cx, int containers)
{
	struct conex_event ev = { .size = sizeof ev };
	int exited = 0, lost = 0;

	while ((exited < containers || !lost) && conex_next_event(cx, 60000, &ev, &err) == 1) {
		struct conex_exit x = { .size = sizeof x };

		lost += ev.type == CONEX_EVENT_KEEPER_LOST;
		if (ev.type != CONEX_EVENT_EXITED)
			continue;
		exited++;
		FINE(conex_container_exit(ev.container, &x, &err));
		CHECK_INT(x.cause, CONEX_EXIT_UNKNOWN);
		CHECK_INT(x.status, 255);
		CHECK(strstr(conex_error_text(conex_container_error(ev.container)), "keeper") != NULL);
	}
	CHECK_INT(exited, containers);
	CHECK_INT(lost, 1);
}

static void lose_keeper(conex *cx, const conex_plan *plan, int containers)
{
	struct conex_run_options o = { .size = sizeof o };
	conex_container *c[8] = { NULL };
	pid_t keeper;

	for (int i = 0; i < containers; i++)
		FINE(conex_launch(cx, plan, NULL, &o, &c[i], &err));
	keeper = conex_keeper_pid(cx);
	CHECK(keeper > 0);
	kill(keeper, SIGKILL);
	expect_lost(cx, containers);
	CHECK_INT(conex_keeper_pid(cx), 0);
	SOON(marked(mark) == 0);
	for (int i = 0; i < containers; i++) {
		char ids[1][16];

		snprintf(ids[0], sizeof ids[0], "%s", conex_container_id(c[i]));
		CHECK_INT(conex_container_delete(c[i], 60000, &err), 1);
		CHECK_INT(cgroups_left(ids, 1), 0);
		conex_container_free(c[i]);
	}
}

TEST(the_keeper_is_killed)
{
	conex_plan *plan;
	conex *cx = NULL;

	FINE(conex_open(NULL, &cx, &err));
	CHECK(conex_fd(cx) >= 0);
	plan = sleeper_plan(cx);
	for (int round = 0; round < 10; round++)
		lose_keeper(cx, plan, 1 + round % 8);
	conex_plan_free(plan);
	conex_close(cx);
}

/* A launch that dies with it says so; the one after it works. */
TEST(the_keeper_is_killed_during_launches)
{
	struct conex_run_options o = { .size = sizeof o };
	conex_plan *plan;
	conex *cx = NULL;
	int failed = 0;

	FINE(conex_open(NULL, &cx, &err));
	plan = sleeper_plan(cx);
	for (int i = 0; i < setting("CONEX_CRASH_ROUNDS", 50); i++) {
		conex_container *c = NULL, *next = NULL;
		pid_t keeper, killer;
		int r;

		FINE(conex_launch(cx, plan, NULL, &o, &c, &err));
		keeper = conex_keeper_pid(cx);
		if (!CHECK(keeper > 0))
			break;
		fflush(stdout);
		killer = fork();
		if (killer == 0) {
			usleep((useconds_t)(rand_r(&(unsigned){ (unsigned)i }) % 4000));
			_exit(kill(keeper, SIGKILL) < 0);
		}
		r = conex_launch(cx, plan, NULL, &o, &next, &err);
		CHECK(r == 0 || r == -EOWNERDEAD || r == -EPIPE || r == -ECONNRESET);
		if (r < 0 && ++failed == 1)
			printf("# %s\n", conex_error_text(err));
		conex_error_free(err);
		err = NULL;
		waitpid(killer, NULL, 0);
		SOON(cx_process_start(keeper) == 0);
		conex_container_free(next);
		conex_container_free(c);
	}
	conex_plan_free(plan);
	conex_close(cx);
	SOON(marked(mark) == 0);        /* of a killed keeper they die by themselves */
}

static void tests(void)
{
	snprintf(mark, sizeof mark, "crash-mark-%d", (int)getpid());
	srand((unsigned)getpid());
	told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	RUN(the_host_is_killed);
	RUN(the_host_is_killed_and_they_are_frozen);
	RUN(host_and_keeper_are_killed);
	RUN(the_keeper_is_killed);
	RUN(the_keeper_is_killed_during_launches);
}

int main(void)
{
	return in_place(tests);
}
