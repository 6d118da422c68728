/* Pulls that end in the middle: killed, cancelled, closed, without room. The next one goes on, and nothing that isn't whole has
 * its final name at any instant. And two that want the same. */
#include "pull.h"

#include <sys/mount.h>

static struct conex_options where(void)
{
	return (struct conex_options){ .size = sizeof(struct conex_options), .close_ms = 120000, .store = pulls.store };
}

/* What a killed one may leave: parts, what was being unpacked, a lease. All of it is gone, or used, after the next. */
static void check_resumed(const char *what, int i)
{
	int r;

	if (!CHECK(is_sound()))
		printf("# %s %d\n", what, i);
	r = pulled(named("good", "1"), PLAIN(.data = NULL));
	if (!CHECK_INT(r, 1) || !CHECK(is_whole()) || !CHECK_INT(leftovers(), 0))
		printf("# %s %d: %s\n", what, i, r < 0 ? conex_error_text(box.err) : "");
}

/* ---- killed ---- */

/* "slow" takes about a second: anywhere in it. */
static void sleep_a_while(void)
{
	usleep((useconds_t)(rand() % 1200000));
}

static int kill_worker(void)
{
	conex_job *job = begin_pull(box.cx, named("slow", "1"), PLAIN(.data = NULL));
	pid_t pid;
	int r;

	sleep_a_while();
	pid = worker_of(box.cx);
	if (pid)
		kill(pid, SIGKILL);
	r = conex_job_wait(job, -1, &box.err);
	if (CHECK(r == 1 || r == -EPIPE) && r < 0)
		SAID("conex-worker");
	conex_job_free(job);
	return r < 0;
}

/* What pulls in another process until it is killed; its keeper tells when all of it is gone. */
static int kill_host(void)
{
	int link[2], status = 0;
	pid_t pid, keeper = 0;

	CHECK_INT(pipe2(link, O_CLOEXEC), 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct conex_options o = where();
		conex_job *job = NULL;
		conex *cx = NULL;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (conex_open(&o, &cx, NULL) < 0 || conex_image_pull(cx, named("slow", "1"), PLAIN(.data = NULL), &job, NULL) < 0)
			_exit(1);
		keeper = conex_keeper_pid(cx);
		if (write(link[1], &keeper, sizeof keeper) != sizeof keeper)
			_exit(1);
		_exit(conex_job_wait(job, -1, NULL) != 1);
	}
	close(link[1]);
	CHECK_INT(read(link[0], &keeper, sizeof keeper), sizeof keeper);
	close(link[0]);
	sleep_a_while();
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	CHECK(is_gone(keeper));
	return WIFSIGNALED(status);
}

TEST(killed)
{
	int rounds = test_count("CONEX_PULL_KILLS", 25), hit = 0;

	srand((unsigned)getpid());
	for (int i = 0; i < rounds; i++) {
		hit += i % 2 ? kill_host() : kill_worker();
		check_resumed(i % 2 ? "host" : "worker", i);
		empty_store();
	}
	printf("# %d of %d were killed in the middle\n", hit, rounds);
	CHECK(hit > 0);
}

/* Again and again, without one that ends well between: it gets there all the same. */
TEST(killed_again_and_again)
{
	int n = 0;

	while (n < 50 && kill_worker())
		n++;
	printf("# killed %d times\n", n);
	CHECK(n < 50);
	check_resumed("again", n);
	empty_store();
}

/* ---- ended ---- */

static void open_gate(void)
{
	make_file(say("%s/go", box.dir), "");
}

static void shut_gate(void)
{
	unlink(say("%s/go", box.dir));
	forget_log();
}

TEST(cancelled)
{
	conex_job *job;
	pid_t pid;

	shut_gate();
	job = begin_pull(box.cx, named("gate", "1"), PLAIN(.data = NULL));
	CHECK(until_asked(say("gate/blobs/sha256:%s", large(1))));
	pid = worker_of(box.cx);
	CHECK(pid > 0);
	CHECK_STR(status_of(pid, "NoNewPrivs"), "1");
	CHECK_STR(status_of(pid, "Seccomp"), "2");
	for (int i = 0; i < 3000 && !box_entries(say("%s/ingest/sha256", pulls.store)); i++)
		usleep(10000);
	conex_job_free(job);
	CHECK(is_gone(pid));
	CHECK(is_sound());
	CHECK_INT(box_entries(say("%s/layers", pulls.store)), 0);
	open_gate();
	check_resumed("cancelled", 0);
	empty_store();
}

TEST(closed)
{
	struct conex_options o = where();
	conex *cx = NULL;
	conex_job *job;
	pid_t pid;

	shut_gate();
	GOOD(conex_open(&o, &cx, &box.err));
	job = begin_pull(cx, named("gate", "1"), PLAIN(.data = NULL));
	CHECK(until_asked(say("gate/blobs/sha256:%s", large(1))));
	pid = worker_of(cx);
	CHECK(pid > 0);
	conex_close(cx);
	CHECK(is_gone(pid));
	CHECK(conex_job_wait(job, 0, &box.err) < 0);
	CHECK(!conex_job_result(job));
	conex_job_free(job);
	open_gate();
	check_resumed("closed", 0);
	empty_store();
}

TEST(events)
{
	struct conex_progress p = { .size = sizeof p };
	uint64_t bytes = 0, unpacked = 0;
	int mark, seen = 0, halves = 0;
	conex_job *job;

	shut_gate();
	job = begin_pull(box.cx, named("gate", "1"), PLAIN(.data = &mark));
	while (conex_job_wait(job, 0, NULL) == 0 && seen < 10000) {
		struct conex_event ev = { .size = sizeof ev };

		if (conex_next_event(box.cx, 60000, &ev, &box.err) != 1 || ev.type != CONEX_EVENT_JOB)
			break;
		CHECK(ev.job == job && ev.data == &mark);
		GOOD(conex_job_progress(job, &p, &box.err));
		CHECK(p.done_bytes >= bytes && p.unpacked_bytes >= unpacked && (!p.total_bytes || p.done_bytes <= p.total_bytes));
		CHECK(p.done_layers <= 4 && (p.total_layers == 4 || p.total_layers == 0));
		bytes = p.done_bytes;
		unpacked = p.unpacked_bytes;
		if (p.total_bytes && bytes * 3 > p.total_bytes) {       /* both halves that come through a shut gate */
			CHECK(!halves || access(say("%s/go", box.dir), F_OK) == 0);
			halves++;
			open_gate();
		}
		seen++;
	}
	CHECK(halves > 0);
	CHECK_INT(conex_job_wait(job, -1, &box.err), 1);
	GOOD(conex_job_progress(job, &p, &box.err));
	CHECK(p.done_bytes == p.total_bytes && p.unpacked_bytes > 1800000 && p.done_layers == 4 && p.total_layers == 4);
	CHECK_STR(p.step, "layer 4 of 4");
	conex_job_free(job);
	CHECK(is_whole());
	empty_store();
}

/* ---- two at once ---- */

/* Pulls; 1 is written when it says that another has what it wants. Its exit: was that so, and all well? */
static pid_t another(int tell)
{
	struct conex_options o = where();
	struct conex_progress p = { .size = sizeof p };
	conex_job *job = NULL;
	conex *cx = NULL;
	int r, seen = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (conex_open(&o, &cx, NULL) < 0 || conex_image_pull(cx, named("gate", "1"), PLAIN(.data = NULL), &job, NULL) < 0)
		_exit(1);
	while ((r = conex_job_wait(job, 50, NULL)) == 0) {
		conex_job_progress(job, &p, NULL);
		if (!seen && strstr(p.step, "another process") && p.done_bytes > 600000 && p.done_bytes < p.total_bytes)
			seen = write(tell, "1", 1) == 1;
	}
	conex_job_progress(job, &p, NULL);
	seen = seen && p.done_bytes <= p.total_bytes && p.done_layers == 4;
	conex_job_free(job);
	conex_close(cx);
	_exit(r == 1 && seen ? 0 : 2);
}

TEST(two_processes)
{
	int link[2], status = -1;
	conex_job *job;
	pid_t pid;
	char c;

	shut_gate();
	CHECK_INT(pipe2(link, O_CLOEXEC), 0);
	job = begin_pull(box.cx, named("gate", "1"), PLAIN(.data = NULL));
	CHECK(until_asked(say("gate/blobs/sha256:%s", large(1))) && until_asked(say("gate/blobs/sha256:%s", large(2))));
	pid = another(link[1]);
	CHECK_INT(read(link[0], &c, 1), 1);
	open_gate();
	CHECK_INT(conex_job_wait(job, -1, &box.err), 1);
	conex_job_free(job);
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
	CHECK_INT(asked(say("gate/blobs/sha256:%s", large(1))), 1);
	CHECK_INT(asked(say("gate/blobs/sha256:%s", large(2))), 1);
	CHECK(is_whole());
	CHECK_INT(leftovers(), 0);
	empty_store();

	/* he who waits goes on with what the other has got when that one dies */
	shut_gate();
	job = begin_pull(box.cx, named("gate", "1"), PLAIN(.data = NULL));
	CHECK(until_asked(say("gate/blobs/sha256:%s", large(1))) && until_asked(say("gate/blobs/sha256:%s", large(2))));
	pid = another(link[1]);
	CHECK_INT(read(link[0], &c, 1), 1);
	conex_job_free(job);
	CHECK(until_asked(say("gate/blobs/sha256:%s - bytes=[1-9]", large(1))));
	open_gate();
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
	CHECK(is_whole());
	CHECK_INT(box_entries(say("%s/ingest/sha256", pulls.store)) + box_entries(say("%s/tmp", pulls.store)), 0);
	check_resumed("two", 0);        /* the dead one's lease is the next one's to find */
	empty_store();
	close(link[0]);
	close(link[1]);
}

/* Many at once in one process, too: the same image from several contexts. */
TEST(many)
{
	enum { COUNT = 6 };
	struct conex_options o = where();
	conex *cx[COUNT] = { NULL };
	conex_job *jobs[COUNT];

	forget_log();
	for (int i = 0; i < COUNT; i++) {
		GOOD(conex_open(&o, &cx[i], &box.err));
		jobs[i] = begin_pull(cx[i], named("slow", "1"), PLAIN(.data = NULL));
	}
	for (int i = 0; i < COUNT; i++) {
		if (!CHECK_INT(conex_job_wait(jobs[i], -1, &box.err), 1))
			printf("# %s\n", conex_error_text(box.err));
		conex_job_free(jobs[i]);
		conex_close(cx[i]);
	}
	CHECK_INT(asked(say("blobs/sha256:%s", large(1))), 1);
	CHECK_INT(asked(say("blobs/sha256:%s", large(2))), 1);
	CHECK(is_whole());
	CHECK_INT(leftovers(), 0);
	empty_store();
}

/* ---- no room ---- */

TEST(full)
{
	char small[96];

	snprintf(small, sizeof small, "%s/small", box.dir);
	mkdir(small, 0700);
	if (!CHECK_INT(mount("none", small, "tmpfs", 0, "size=1500k,mode=0700"), 0))
		return;
	snprintf(pulls.store, sizeof pulls.store, "%s/small/store", box.dir);
	if (open_box(pulls.store)) {
		CHECK_INT(pulled(named("good", "1"), PLAIN(.data = NULL)), -ENOSPC);
		SAID("No space left");
		CHECK(is_sound());
		CHECK_INT(box_entries(say("%s/images", pulls.store)), 0);
		CHECK_INT(mount("none", small, "tmpfs", MS_REMOUNT, "size=64m"), 0);
		check_resumed("full", 0);
	}
	snprintf(pulls.store, sizeof pulls.store, "%s/store", box.dir);
	open_box(pulls.store);
	CHECK_INT(umount(small), 0);
}

static void tests(void)
{
	if (pull_box()) {
		RUN(cancelled);
		RUN(closed);
		RUN(events);
		RUN(two_processes);
		RUN(many);
		RUN(full);
		RUN(killed);
		RUN(killed_again_and_again);
	}
	pull_unbox();
}

PULL_MAIN(tests)
