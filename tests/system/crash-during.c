/* SIGKILL for the host, the keeper, and both, while a launch stands still at each place where one can: in every
 * kind of hook, held, running, executing, paused, stopping. Nothing is left, and the next launch works. */
#include <glob.h>
#include "tests/system/manners.h"
#include "state/context.h"

#include <signal.h>
#include <sys/mman.h>

static conex_error *err;

/* What a host lets us know. */
static struct shared { volatile pid_t keeper; volatile int reached; char state[128]; } *told;
static char mark[32], id[32];           /* an argument of all its processes; its container */
static char reached[64], fifo[64];      /* made by hooks; what they wait for, and nobody opens */

/* ---- a host that stands still ---- */

enum { IN_HOOK, HELD, RUNNING, EXECUTING, PAUSED, STOPPING };

static const struct place_of_death { const char *name, *hook; int inside, how; } places[] = {
	{ "in a prestart hook", "prestart", 0, IN_HOOK },
	{ "in a createRuntime hook", "createRuntime", 0, IN_HOOK },
	{ "in a createContainer hook", "createContainer", 0, IN_HOOK },
	{ "in a startContainer hook", "startContainer", 1, IN_HOOK },
	{ "in a poststart hook", "poststart", 0, IN_HOOK },
	{ "held", NULL, 0, HELD },
	{ "running", NULL, 0, RUNNING },
	{ "executing another program", NULL, 0, EXECUTING },
	{ "paused", NULL, 0, PAUSED },
	{ "stopping", NULL, 0, STOPPING },
};

/* A hook that says that it is there, and stays: one process, so that its parent's end can be its own. */
static const char *hook_json(const struct place_of_death *p, char *text, size_t size)
{
	const char *where = p->inside ? "" : place.dir;

	snprintf(text, size, "{\"hooks\":{\"%s\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\": >%s/reached;"
		" exec /bin/busybox cat %s/fifo %s\",\"%s\"]}]}}", p->hook, where, where, mark, mark);
	return p->hook ? text : NULL;
}

static void stand_still(conex_container *c, int how)
{
	struct conex_run_options o = { .size = sizeof o };
	conex_process *p = NULL;

	if (how == EXECUTING)
		FINE(conex_exec(c, CONEX_STRINGS("/bin/sh", "-c", "sleep 1000; :", mark), &o, &p, &err));
	if (how == PAUSED)
		CHECK_INT(conex_container_pause(c, 60000, &err), 1);
	if (how == STOPPING)
		FINE(conex_container_stop(c, &err));
	told->reached = test_state.faults == 0;
}

/* What is true of a container whose keeper has died under it, wherever it stood; and of the next. */
static void live_on(conex *cx, conex_container *c, int r)
{
	struct conex_run_options o = { .size = sizeof o, .rootfs = place.root };
	conex_container *next = NULL;
	int status = -1;

	if (r < 0) {
		CHECK(r == -EOWNERDEAD || r == -EPIPE || r == -ECONNRESET);
		CHECK(strstr(conex_error_text(err), "keeper") != NULL);
		conex_error_free(err);
		err = NULL;
	} else {
		CHECK_INT(conex_container_wait(c, 60000, &status, &err), 1);
		CHECK_INT(status, 255);
		CHECK_INT(conex_container_delete(c, 60000, &err), 1);
	}
	conex_container_free(c);
	FINE(conex_run(cx, NULL, CONEX_STRINGS("true"), &o, &next, &err));
	if (next) {
		CHECK_INT(conex_container_wait(next, 60000, &status, &err), 1);
		CHECK_INT(status, 0);
	}
	conex_container_free(next);
	conex_close(cx);
	fflush(stdout);
	_exit(test_state.faults != 0);
}

/* Its end comes from outside, or from live_on. */
static void host(const struct place_of_death *p)
{
	char json[512];
	struct conex_run_options o = { .size = sizeof o, .rootfs = place.root }, of = { .size = sizeof of, .id = id,
		.rootfs = place.root, .flags = p->how == HELD ? CONEX_RUN_HOLD : 0, .grace_ms = 3600000 };
	conex_container *c = NULL;
	conex *cx = NULL;
	int r;

	test_state.faults = 0;          /* those of before are the parent's */
	FINE(conex_open(NULL, &cx, &err));
	snprintf(told->state, sizeof told->state, "%s", cx->state->path);
	FINE(conex_run(cx, NULL, CONEX_STRINGS("true"), &o, &c, &err));
	conex_container_free(c);
	c = NULL;
	told->keeper = conex_keeper_pid(cx);
	of.oci = hook_json(p, json, sizeof json);
	r = conex_run(cx, NULL, CONEX_STRINGS("/bin/sh", "-c", "trap '' TERM; sleep 1000; :", mark), &of, &c, &err);
	if (r == 0 && p->how != IN_HOOK) {
		stand_still(c, p->how);
		r = conex_container_wait(c, 120000, NULL, &err) == 1 ? 0 : -ETIME;
	}
	live_on(cx, c, r);
}

/* ---- what may be left: nothing ---- */

static int mounted(void)
{
	char line[8192];
	FILE *f = fopen("/proc/self/mountinfo", "re");
	int n = 0;

	while (f && fgets(line, sizeof line, f))
		n += strstr(line, place.dir) != NULL || strstr(line, id) != NULL;
	if (f)
		fclose(f);
	return n;
}

static int links(void)
{
	DIR *d = opendir("/sys/class/net");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static int cgroups(void)
{
	char pattern[96];
	glob_t found;
	int n;

	snprintf(pattern, sizeof pattern, "/sys/fs/cgroup/{conex,*/conex}/%s", id);
	n = glob(pattern, GLOB_BRACE, NULL, &found) == 0 ? (int)found.gl_pathc : 0;
	globfree(&found);
	return n;
}

static int state_left(void)
{
	return access(told->state, F_OK) == 0;
}

static int opened_and_gone(void)
{
	conex *cx = NULL;

	FINE(conex_open(NULL, &cx, &err));
	conex_close(cx);
	return !state_left();
}

/* ---- who is killed ---- */

enum victim { HOST, KEEPER, BOTH, BOTH_OTHERWISE };
static const char *const victims[] = { "the host", "the keeper", "host, then keeper", "keeper, then host" };

/* Is it there? Not if it has ended before: then something else is wrong. */
static int stands_still(pid_t pid)
{
	siginfo_t ended = { .si_pid = 0 };

	for (int i = 0; i < 60000; i++) {
		if (told->reached || access(reached, F_OK) == 0)
			return 1;
		if (waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) < 0 || ended.si_pid)
			return 0;
		usleep(1000);
	}
	return 0;
}

static void clean_afterwards(enum victim who, int paused)
{
	if (who == HOST) {      /* the keeper kills, conex-undo undoes: nobody else does anything */
		SOON(marked(mark) == 0);
		SOON(!state_left());
	}
	if (who == BOTH || who == BOTH_OTHERWISE) {
		if (!paused)    /* who is frozen dies as soon as somebody thaws him */
			SOON(marked(mark) == 0);
		SOON(opened_and_gone());
	}
	SOON(marked(mark) == 0);
	SOON(cx_process_start(told->keeper) == 0);
	CHECK(!state_left());
	CHECK_INT(cgroups(), 0);
	CHECK_INT(mounted(), 0);
}

static void die(const struct place_of_death *p, enum victim who)
{
	int faults = test_state.faults, status = -1, before = links();
	pid_t pid;

	memset(told, 0, sizeof *told);
	snprintf(reached, sizeof reached, "%s/reached", p->inside ? place.root : place.dir);
	unlink(reached);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		host(p);
	CHECK(stands_still(pid));
	if ((who == KEEPER || who == BOTH_OTHERWISE) && told->keeper > 0)
		kill(told->keeper, SIGKILL);
	if (who != KEEPER)
		kill(pid, SIGKILL);
	if (who == BOTH && told->keeper > 0)
		kill(told->keeper, SIGKILL);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, who == KEEPER ? 0 : SIGKILL);
	clean_afterwards(who, p->how == PAUSED);
	CHECK_INT(links(), before);
	if (test_state.faults != faults)
		printf("# %s was killed %s\n", victims[who], p->name);
}

static void everywhere(enum victim who)
{
	for (unsigned i = 0; i < sizeof places / sizeof *places; i++)
		die(&places[i], who);
}

TEST(the_host) { everywhere(HOST); }
TEST(the_keeper) { everywhere(KEEPER); }
TEST(both) { everywhere(BOTH); }
TEST(both_otherwise) { everywhere(BOTH_OTHERWISE); }

static void tests(void)
{
	snprintf(mark, sizeof mark, "during-mark-%d", (int)getpid());
	snprintf(id, sizeof id, "during-%d", (int)getpid());
	snprintf(fifo, sizeof fifo, "%s/fifo", place.dir);
	CHECK_INT(mkfifo(fifo, 0600), 0);
	snprintf(fifo, sizeof fifo, "%s/fifo", place.root);
	CHECK_INT(mkfifo(fifo, 0600), 0);
	told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	RUN(the_host);
	RUN(the_keeper);
	RUN(both);
	RUN(both_otherwise);
}

int main(void)
{
	return in_place(tests);
}
