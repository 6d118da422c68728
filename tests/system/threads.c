/* One context and many threads: launching, waiting, deleting, reading events, and closing under their feet. */
#include "tests/system/manners.h"

#include <pthread.h>

enum { THREADS = 8, READERS = 3 };

static struct {
	conex *cx;
	conex_plan *plan;
	int left, read, stop;           /* containers to launch; events of each kind that were read */
	int events[CONEX_EVENT_KEEPER_LOST + 1];
	conex_container *one;
	int answered;
} all;

static conex_error *err;                /* of the main thread */

static void begin(const char *program, const char *argument)
{
	const char *const args[] = { program, argument, NULL };
	struct conex_run_options o = { .size = sizeof o, .rootfs = place.root };

	memset(&all, 0, sizeof all);
	FINE(conex_open(NULL, &all.cx, &err));
	FINE(conex_plan_new(all.cx, NULL, args, &o, &all.plan, &err));
}

static void end(void)
{
	conex_close(all.cx);
	conex_plan_free(all.plan);
}

static conex_container *launch(uint64_t flags)
{
	struct conex_run_options o = { .size = sizeof o, .flags = flags };
	conex_container *c = NULL;
	conex_error *mine = NULL;

	no_error(conex_launch(all.cx, all.plan, NULL, &o, &c, &mine), &mine, "launch", __FILE__, __LINE__);
	return c;
}

static void together(pthread_t *threads, int count, void *(*run)(void *))
{
	for (int i = 0; i < count; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, run, (void *)(uintptr_t)i), 0);
}

static void join(const pthread_t *threads, int count)
{
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

/* ---- launches and events ---- */

/* Every fourth one deletes itself, every fifth isn't waited for. */
static void *launcher(void *data)
{
	int n;

	while ((n = __atomic_sub_fetch(&all.left, 1, __ATOMIC_RELAXED)) >= 0) {
		conex_container *c = launch((n % 4 ? 0 : CONEX_RUN_AUTODELETE) | (n % 5 ? 0 : CONEX_RUN_NOWAIT));
		conex_error *mine = NULL;
		int status = -1;

		if (!c)
			break;
		if (n % 5) {
			CHECK_INT(conex_container_wait(c, -1, &status, &mine), 1);
			CHECK_INT(status, 0);
		}
		if (n % 4)
			CHECK_INT(conex_container_delete(c, -1, &mine), 1);
		conex_error_free(mine);
		conex_container_free(c);
	}
	return data;
}

/* What an event names is still there after all other threads have let go of it. */
static void *reader(void *data)
{
	while (!__atomic_load_n(&all.stop, __ATOMIC_RELAXED)) {
		struct conex_event ev = { .size = sizeof ev };
		conex_error *mine = NULL;
		int r = conex_next_event(all.cx, 100, &ev, &mine);

		CHECK(r >= 0);
		conex_error_free(mine);
		if (r != 1)
			continue;
		CHECK(ev.container && strlen(conex_container_id(ev.container)) == 12);
		__atomic_add_fetch(&all.events[ev.type], 1, __ATOMIC_RELAXED);
		CHECK(conex_container_state(ev.container) > CONEX_CREATING);
	}
	return data;
}

/* Who is deleted at once after NOWAIT may never have started. */
static int all_read(int count)
{
	return __atomic_load_n(&all.events[CONEX_EVENT_EXITED], __ATOMIC_RELAXED) == count
		&& __atomic_load_n(&all.events[CONEX_EVENT_DELETED], __ATOMIC_RELAXED) == count;
}

TEST(eight_threads_launch)
{
	int count = setting("CONEX_THREADS_CONTAINERS", 200);
	pthread_t launchers[THREADS], readers[READERS];

	begin("/bin/true", NULL);
	CHECK(conex_fd(all.cx) >= 0);   /* from here on events are kept */
	all.left = count;
	together(readers, READERS, reader);
	together(launchers, THREADS, launcher);
	join(launchers, THREADS);
	SOON(all_read(count));
	__atomic_store_n(&all.stop, 1, __ATOMIC_RELAXED);
	join(readers, READERS);
	CHECK(all.events[CONEX_EVENT_STARTED] >= count * 4 / 5 && all.events[CONEX_EVENT_STARTED] <= count);
	end();
}

/* ---- waiting for the same thing, and for different things ---- */

static void *waiter(void *data)
{
	conex_error *mine = NULL;
	int status = -1;

	CHECK_INT(conex_container_wait(all.one, -1, &status, &mine), 1);
	CHECK_INT(status, 128 + 9);
	conex_error_free(mine);
	__atomic_add_fetch(&all.answered, 1, __ATOMIC_RELAXED);
	return data;
}

TEST(all_who_wait_are_told)
{
	pthread_t waiters[THREADS];

	begin("/bin/sleep", "1000");
	for (int round = 0; round < 10; round++) {
		all.one = launch(0);
		together(waiters, THREADS, waiter);
		FINE(conex_container_kill(all.one, 9, &err));
		if (round % 2)          /* reads the news under the leader's nose */
			while (conex_container_state(all.one) != CONEX_EXITED)
				;
		join(waiters, THREADS);
		FINE(conex_container_delete(all.one, -1, &err));
		conex_container_free(all.one);
	}
	CHECK_INT(all.answered, 10 * THREADS);
	end();
}

static void *until_deleted(void *data)
{
	struct conex_event ev = { .size = sizeof ev };
	conex_error *mine = NULL;

	while (ev.type != CONEX_EVENT_DELETED && conex_next_event(all.cx, -1, &ev, &mine) == 1)
		;
	CHECK_INT(ev.type, CONEX_EVENT_DELETED);
	conex_error_free(mine);
	return data;
}

/* The one who waits for events has the lead; who deletes does the work, and both are told. */
TEST(a_delete_wakes_the_reader)
{
	pthread_t thread;

	begin("/bin/true", NULL);
	CHECK(conex_fd(all.cx) >= 0);
	for (int round = 0; round < 50; round++) {
		conex_container *c = launch(0);

		FINE(conex_container_wait(c, -1, NULL, &err));
		together(&thread, 1, until_deleted);
		if (round % 2)
			usleep(1000);   /* until it sleeps */
		CHECK_INT(conex_container_delete(c, -1, &err), 1);
		join(&thread, 1);
		conex_container_free(c);
	}
	end();
}

/* ---- closing ---- */

static void *until_closed(void *data)
{
	int kind = (int)(uintptr_t)data % 4, r = 0;

	while (r >= 0) {
		struct conex_run_options o = { .size = sizeof o, .flags = kind == 3 ? CONEX_RUN_NOWAIT : 0 };
		struct conex_event ev = { .size = sizeof ev };
		conex_container *c = NULL;
		conex_error *mine = NULL;

		if (kind == 0)
			r = conex_next_event(all.cx, -1, &ev, &mine);
		else if (kind == 1)
			r = conex_container_wait(all.one, -1, NULL, &mine);
		else
			r = conex_launch(all.cx, all.plan, NULL, &o, &c, &mine);
		CHECK(r >= 0 || r == -ESHUTDOWN);
		if (r < 0 && r != -ESHUTDOWN)
			printf("# %s\n", conex_error_text(mine));
		conex_error_free(mine);
		conex_container_free(c);
	}
	return data;
}

/* The plan's and the container's handles keep the context's memory while the threads still knock. */
TEST(close_sends_all_away)
{
	pthread_t threads[THREADS];

	for (int round = 0; round < setting("CONEX_THREADS_ROUNDS", 20); round++) {
		begin("/bin/sleep", "1000");
		all.one = launch(0);
		together(threads, THREADS, until_closed);
		usleep((useconds_t)(rand() % 20000));
		conex_close(all.cx);
		join(threads, THREADS);
		conex_container_free(all.one);
		conex_plan_free(all.plan);
	}
}

static void *knocker(void *data)
{
	int r = 0;

	while (r >= 0) {
		struct conex_event ev = { .size = sizeof ev };
		char **ids = NULL;

		r = conex_next_event(all.cx, 0, &ev, NULL);
		if (r >= 0)
			r = conex_container_list(all.cx, NULL, &ids, NULL);
		free(ids);
	}
	CHECK_INT(r, -ESHUTDOWN);
	CHECK_INT(conex_next_event(all.cx, 0, NULL, NULL), -ESHUTDOWN);
	CHECK_INT(conex_keeper_pid(all.cx), 0);
	conex_close(all.cx);
	return data;
}

/* Where nobody has another handle: each thread has a reference, the last one frees. */
TEST(references_outlive_close)
{
	pthread_t threads[THREADS];

	for (int round = 0; round < setting("CONEX_THREADS_ROUNDS", 20); round++) {
		FINE(conex_open(NULL, &all.cx, &err));
		for (int i = 0; i < THREADS; i++)
			CHECK(conex_ref(all.cx) == all.cx);
		together(threads, THREADS, knocker);
		usleep((useconds_t)(rand() % 2000));
		conex_close(all.cx);
		join(threads, THREADS);
	}
	conex_close(NULL);
}

/* Handles are good for looking and freeing after the context's end; all else is refused. */
TEST(handles_after_close)
{
	struct conex_exit x = { .size = sizeof x };
	conex_container *ended, *ran;

	begin("/bin/sleep", "1000");
	ended = launch(0);
	ran = launch(0);
	FINE(conex_container_kill(ended, 9, &err));
	FINE(conex_container_wait(ended, -1, NULL, &err));
	conex_close(all.cx);
	FINE(conex_container_exit(ended, &x, &err));
	CHECK_INT(x.sig, 9);
	CHECK_INT(conex_container_wait(ran, -1, NULL, &err), -ESHUTDOWN);
	CHECK_INT(conex_container_kill(ran, 9, &err), -ESHUTDOWN);
	CHECK_INT(conex_container_delete(ran, -1, &err), -ESHUTDOWN);
	CHECK_INT(conex_container_pidfd(ran), -1);
	CHECK_INT(conex_container_state(ran), CONEX_DELETED);
	conex_error_free(err);
	err = NULL;
	conex_container_free(conex_container_ref(ran));
	conex_container_free(ran);
	conex_container_free(ended);
	conex_plan_free(all.plan);
}

static void tests(void)
{
	RUN(eight_threads_launch);
	RUN(all_who_wait_are_told);
	RUN(a_delete_wakes_the_reader);
	RUN(close_sends_all_away);
	RUN(references_outlive_close);
	RUN(handles_after_close);
}

int main(void)
{
	return in_place(tests);
}
