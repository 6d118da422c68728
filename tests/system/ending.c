/* How containers end, and how one learns of it: exit records, time-outs, stop, kill, delete, events. */
#include "system/box.h"

#include <signal.h>
#include <time.h>

/* Runs a script to its end and leaves the record in box.exit. */
static conex_container *ended(const struct conex_run_options *o, const char *script)
{
	conex_container *c = box_start(o, CONEX_STRINGS("sh", "-c", script));

	if (box_good(c ? 0 : -1, script, __FILE__, __LINE__)) {
		CHECK_INT(conex_container_wait(c, 60000, NULL, &box.err), 1);
		GOOD(conex_container_exit(c, &box.exit, &box.err));
	}
	return c;
}

static const char *text_of(const struct conex_exit *x)
{
	static char text[200];

	CHECK(conex_exit_text(x, text, sizeof text) < (int)sizeof text);
	return text;
}

/* A shell that says READY when its traps are set. */
static conex_container *ready(const struct conex_run_options *given, const char *script)
{
	struct conex_run_options o = *given;
	conex_container *c;
	char byte = 0;
	struct pollfd p = { .events = POLLIN };

	o.out = CONEX_STDIO_PIPE;
	c = box_start(&o, CONEX_STRINGS("sh", "-c", script));
	if (!box_good(c ? 0 : -1, script, __FILE__, __LINE__))
		return NULL;
	p.fd = conex_container_stdio(c, 1);
	CHECK(poll(&p, 1, 60000) == 1 && read(p.fd, &byte, 1) == 1);
	return c;
}

TEST(codes)
{
	static const int codes[] = { 0, 1, 127, 137, 255 };

	for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
		conex_container *c = ended(NULL, say("exit %d", codes[i]));

		CHECK_INT(box.exit.cause, CONEX_EXIT_CODE);
		CHECK_INT(box.exit.code, codes[i]);
		CHECK_INT(box.exit.status, codes[i]);
		CHECK_INT(box.exit.sig, 0);
		CHECK_STR(text_of(&box.exit), say("ended with %d", codes[i]));
		box_end(c);
	}
}

/* pid 1 of a pid namespace dies of signals from outside only, so the shell's child tells the rest. */
TEST(signals)
{
	conex_container *c = box_sleeper(NULL);

	if (!c)
		return;
	CHECK_INT(conex_container_exit(c, &box.exit, &box.err), -EBUSY);
	GOOD(conex_container_kill(c, SIGKILL, &box.err));
	CHECK_INT(conex_container_wait(c, -1, NULL, &box.err), 1);
	GOOD(conex_container_exit(c, &box.exit, &box.err));
	CHECK_INT(box.exit.cause, CONEX_EXIT_SIGNAL);
	CHECK_INT(box.exit.sig, SIGKILL);
	CHECK_INT(box.exit.code, -1);
	CHECK_INT(box.exit.status, 128 + SIGKILL);
	CHECK_STR(text_of(&box.exit), "ended by signal 9 (SIGKILL)");
	CHECK_INT(conex_container_kill(c, SIGKILL, &box.err), -ESRCH);
	CHECK_INT(conex_container_stop(c, &box.err), -ESRCH);
	CHECK_INT(conex_container_start(c, &box.err), -EINVAL);
	CHECK_INT(conex_container_pid(c), -1);
	box_end(c);
	CHECK_INT(conex_container_kill(c = box_sleeper(NULL), 0, &box.err), -EINVAL);
	CHECK_INT(conex_container_kill(c, 65, &box.err), -EINVAL);
	box_end(c);
}

TEST(record)
{
	struct timespec before, after;
	conex_container *c;

	clock_gettime(CLOCK_REALTIME, &before);
	c = ended(NULL, "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; sleep 0.2");
	clock_gettime(CLOCK_REALTIME, &after);
	CHECK(box.exit.wall_ns >= 200000000);
	CHECK(box.exit.cpu_ns > 1000000 && box.exit.cpu_ns < 60000000000);
	CHECK(box.exit.memory_peak > 4096);
	CHECK(box.exit.exited_at_ns / 1000000000 >= before.tv_sec);
	CHECK(box.exit.exited_at_ns / 1000000000 <= after.tv_sec);
	CHECK_INT(box.exit.oom_kills, 0);
	box_end(c);
}

TEST(out_of_memory)
{
	struct conex_limits limits = { .size = sizeof limits, .memory = 16 * CONEX_MIB };
	struct conex_run_options o = { .limits = &limits };
	conex_container *c = ended(&o, "exec tail /dev/zero");

	CHECK_INT(box.exit.cause, CONEX_EXIT_OOM);
	CHECK_INT(box.exit.status, 137);
	CHECK(box.exit.oom_kills >= 1);
	CHECK(strstr(text_of(&box.exit), "out of memory") != NULL);
	box_end(c);
	/* A program that chose 137 itself was not killed. */
	c = ended(&o, "exit 137");
	CHECK_INT(box.exit.cause, CONEX_EXIT_CODE);
	box_end(c);
}

/* Everything in it ends, also what has left the session. */
TEST(time_out)
{
	struct conex_run_options o = { .timeout_ms = test_slow(1000) };
	conex_container *c = ended(&o, "trap '' TERM HUP INT; setsid sleep 1000 & sleep 1000; sleep 1000");

	CHECK_INT(box.exit.cause, CONEX_EXIT_TIMEOUT);
	CHECK_INT(box.exit.status, 137);
	CHECK(box.exit.wall_ns >= 1000000000);
	CHECK(strstr(text_of(&box.exit), "time-out: killed after") != NULL);
	box_end(c);
	/* One that ends in time isn't touched; without a pid namespace all of it is found as well. */
	o.timeout_ms = 60000;
	box_end(ended(&o, "exit 5"));
	CHECK_INT(box.exit.code, 5);
	o.timeout_ms = test_slow(1000);
	o.share = CONEX_NS_PID;
	o.oci = "{\"mounts\":[{\"destination\":\"/proc\",\"type\":\"bind\",\"source\":\"/proc\",\"options\":[\"rbind\",\"ro\"]}]}";
	c = ended(&o, say("setsid sleep 9%d & sleep 9%d", (int)getpid(), (int)getpid()));
	CHECK_INT(box.exit.cause, CONEX_EXIT_TIMEOUT);
	box_end(c);
	CHECK(command("pgrep -f '^sleep 9%d$' >/dev/null", (int)getpid()) != 0);
}

TEST(exec_time_out)
{
	struct conex_run_options o = { .timeout_ms = test_slow(1000) };
	conex_container *c = box_sleeper(NULL);

	if (!c)
		return;
	CHECK_INT(box_exec(c, &o, "sleep 1000 & sleep 1000 & wait"), 137);      /* its children, too: their pipe ends */
	CHECK_INT(box.exit.cause, CONEX_EXIT_TIMEOUT);
	CHECK_INT(conex_container_state(c), CONEX_RUNNING);
	box_end(c);
}

TEST(stop_is_polite)
{
	struct conex_run_options o = { .grace_ms = 60000 };
	conex_container *c = ready(&o, "trap 'exit 3' TERM; echo r; while :; do sleep 0.01; done");

	if (!c)
		return;
	CHECK_INT(conex_container_wait(c, 0, NULL, &box.err), 0);
	GOOD(conex_container_stop(c, &box.err));
	CHECK_INT(conex_container_wait(c, 30000, NULL, &box.err), 1);
	GOOD(conex_container_exit(c, &box.exit, &box.err));
	CHECK_INT(box.exit.cause, CONEX_EXIT_STOPPED);
	CHECK_INT(box.exit.code, 3);
	CHECK_STR(text_of(&box.exit), "stopped, ended with 3");
	box_end(c);
}

TEST(stop_ends_the_deaf)
{
	struct conex_run_options o = { .grace_ms = 300 };
	conex_container *c = ready(&o, "trap '' TERM; echo r; while :; do sleep 0.01; done");
	struct timespec asked;

	if (!c)
		return;
	clock_gettime(CLOCK_REALTIME, &asked);
	GOOD(conex_container_stop(c, &box.err));
	CHECK_INT(conex_container_wait(c, 60000, NULL, &box.err), 1);
	GOOD(conex_container_exit(c, &box.exit, &box.err));
	CHECK_INT(box.exit.cause, CONEX_EXIT_STOPPED);
	CHECK_INT(box.exit.sig, SIGKILL);
	CHECK(box.exit.exited_at_ns - (asked.tv_sec * INT64_C(1000000000) + asked.tv_nsec) >= 300000000);
	CHECK_STR(text_of(&box.exit), "stopped by signal 9 (SIGKILL)");
	box_end(c);
}

/* ---- events ---- */

/* The next event that isn't about something older; its type, 0: none came. */
static int next(conex_container *c, struct conex_event *ev)
{
	*ev = (struct conex_event){ .size = sizeof *ev };
	while (conex_next_event(box.cx, 60000, ev, &box.err) == 1)
		if (ev->container == c)
			return ev->type;
	return 0;
}

/* Nothing is pending from the tests before. */
static void drain(void)
{
	struct conex_event ev = { .size = sizeof ev };

	while (conex_next_event(box.cx, 0, &ev, &box.err) == 1)
		continue;
}

TEST(events_in_order)
{
	int mark = 0;
	struct conex_run_options o = { .data = &mark, .flags = CONEX_RUN_NOWAIT };
	struct pollfd p = { .fd = conex_fd(box.cx), .events = POLLIN };
	struct conex_event ev;
	conex_container *c;

	drain();
	CHECK_INT(poll(&p, 1, 0), 0);
	c = box_start(&o, CONEX_STRINGS("true"));
	if (!CHECK(c != NULL))
		return;
	CHECK_INT(poll(&p, 1, 60000), 1);
	CHECK_INT(next(c, &ev), CONEX_EVENT_STARTED);
	CHECK(ev.data == &mark && !ev.process);
	CHECK_INT(next(c, &ev), CONEX_EVENT_EXITED);
	CHECK_INT(conex_container_state(c), CONEX_EXITED);
	CHECK_INT(conex_container_delete(c, 0, &box.err) >= 0, 1);
	CHECK_INT(next(c, &ev), CONEX_EVENT_DELETED);
	CHECK_INT(conex_container_state(c), CONEX_DELETED);
	CHECK_INT(conex_next_event(box.cx, 0, &ev, &box.err), 0);
	CHECK_INT(poll(&p, 1, 0), 0);
	box_nothing_left(conex_container_id(c));
	conex_container_free(c);
}

TEST(events_of_processes)
{
	int mark = 0;
	struct conex_run_options o = { .data = &mark };
	conex_container *c = box_sleeper(NULL);
	conex_process *p = NULL;
	struct conex_event ev;

	if (!c)
		return;
	drain();
	GOOD(conex_exec(c, CONEX_STRINGS("sh", "-c", "exit 4"),
		&(struct conex_run_options){ .size = sizeof o, .data = &mark }, &p, &box.err));
	CHECK_INT(next(c, &ev), CONEX_EVENT_STARTED);
	CHECK(ev.process == p && ev.data == &mark);
	CHECK_INT(next(c, &ev), CONEX_EVENT_EXITED);
	CHECK(ev.process == p);
	GOOD(conex_process_exit(p, &box.exit, &box.err));
	CHECK_INT(box.exit.code, 4);
	conex_process_free(p);
	box_end(c);
}

TEST(auto_delete)
{
	struct conex_run_options o = { .flags = CONEX_RUN_AUTODELETE };
	struct conex_event ev;
	conex_container *c, *again = NULL;
	char id[65];

	drain();
	c = box_start(&o, CONEX_STRINGS("sh", "-c", "exit 9"));
	if (!CHECK(c != NULL))
		return;
	snprintf(id, sizeof id, "%s", conex_container_id(c));
	CHECK_INT(next(c, &ev), CONEX_EVENT_STARTED);
	CHECK_INT(next(c, &ev), CONEX_EVENT_EXITED);
	CHECK_INT(next(c, &ev), CONEX_EVENT_DELETED);
	GOOD(conex_container_exit(c, &box.exit, &box.err));     /* the handle keeps the record */
	CHECK_INT(box.exit.code, 9);
	CHECK_INT(conex_container_wait(c, 0, NULL, &box.err), 1);
	CHECK_INT(conex_container_delete(c, 0, &box.err), 1);
	CHECK_INT(conex_container_kill(c, 9, &box.err), -ENOENT);
	CHECK_INT(conex_container_get(box.cx, id, &again, &box.err), -ENOENT);
	box_nothing_left(id);
	conex_container_free(c);
}

/* With NOWAIT a program that can't start is an event like another. */
TEST(never_started)
{
	struct conex_run_options o = { .flags = CONEX_RUN_NOWAIT };
	struct conex_event ev;
	conex_container *c;

	drain();
	c = box_start(&o, CONEX_STRINGS("no-such-program"));
	if (!CHECK(c != NULL))
		return;
	CHECK_INT(next(c, &ev), CONEX_EVENT_EXITED);
	GOOD(conex_container_exit(c, &box.exit, &box.err));
	CHECK_INT(box.exit.cause, CONEX_EXIT_NEVER_STARTED);
	CHECK_INT(box.exit.status, 255);
	CHECK_STR(text_of(&box.exit), "never started");
	CHECK_INT(conex_error_stage(conex_container_error(c)), CONEX_STAGE_EXEC);
	CHECK_INT(conex_error_code(conex_container_error(c)), -ENOENT);
	CHECK(strstr(conex_error_text(conex_container_error(c)), "no-such-program") != NULL);
	box_end(c);
	/* Without NOWAIT it is an error of the call, and nothing is left. */
	drain();
	o = (struct conex_run_options){ .id = "never-started" };
	CHECK(box_start(&o, CONEX_STRINGS("no-such-program")) == NULL);
	CHECK_INT(conex_error_code(box.err), -ENOENT);
	CHECK(box_start(&o, CONEX_STRINGS("/etc")) == NULL);
	CHECK_INT(conex_error_code(box.err), -EACCES);
	box_nothing_left("never-started");
}

/* Events unread harm nobody: the queue holds objects, not messages. */
TEST(unread_events)
{
	for (int i = 0; i < 20; i++)
		CHECK_INT(box_run(NULL, "true"), 0);
	drain();
	CHECK_INT(box_run(NULL, "true"), 0);
}

/* ---- held ---- */

TEST(held)
{
	struct conex_run_options o = { .flags = CONEX_RUN_HOLD, .out = CONEX_STDIO_PIPE };
	conex_container *c = box_start(&o, CONEX_STRINGS("echo", "at last"));

	if (!CHECK(c != NULL))
		return;
	CHECK_INT(conex_container_state(c), CONEX_HELD);
	CHECK(conex_container_pid(c) > 0);
	CHECK_INT(conex_container_wait(c, 100, NULL, &box.err), 0);
	GOOD(conex_container_start(c, &box.err));
	CHECK_INT(conex_container_start(c, &box.err), -EINVAL);
	CHECK_INT(conex_container_output(c, -1, &box.io, &box.err), 1);
	CHECK_STR(box.io.out, "at last\n");
	CHECK_INT(conex_container_wait(c, -1, NULL, &box.err), 1);
	box_end(c);
	/* a missing program is told at once, what only exec can find out by start */
	CHECK(box_start(&o, CONEX_STRINGS("no-such-program")) == NULL);
	CHECK_INT(conex_error_code(box.err), -ENOENT);
	make_file(say("%s/bin/broken", box.root), "#!/bin/no-such-interpreter\n");
	chmod(say("%s/bin/broken", box.root), 0755);
	c = box_start(&o, CONEX_STRINGS("broken"));
	if (CHECK(c != NULL))
		CHECK_INT(conex_container_start(c, &box.err), -ENOENT);
	box_end(c);
	/* killed, deleted before it ever ran */
	c = box_start(&o, CONEX_STRINGS("true"));
	GOOD(conex_container_kill(c, SIGKILL, &box.err));
	CHECK_INT(conex_container_wait(c, -1, NULL, &box.err), 1);
	GOOD(conex_container_exit(c, &box.exit, &box.err));
	CHECK_INT(box.exit.cause, CONEX_EXIT_NEVER_STARTED);
	box_end(c);
	box_end(box_start(&o, CONEX_STRINGS("true")));
}

static void tests(void)
{
	RUN(codes);
	RUN(signals);
	RUN(record);
	RUN(out_of_memory);
	RUN(time_out);
	RUN(exec_time_out);
	RUN(stop_is_polite);
	RUN(stop_ends_the_deaf);
	RUN(events_in_order);
	RUN(events_of_processes);
	RUN(auto_delete);
	RUN(never_started);
	RUN(unread_events);
	RUN(held);
}

int main(void)
{
	return with_box(tests);
}
