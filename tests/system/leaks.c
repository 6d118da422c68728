/* Thousands of launches leave descriptors, memory, cgroups, mounts and files where they were. */
#include "tests/system/manners.h"
#include "state/context.h"

#include <malloc.h>
#include <pthread.h>

static conex_error *err;
static char name[24];           /* "leak", and who we are: no other run's containers are counted */

/* What the library and its keeper have open, use and hold in the world. */
struct use { int fds, keeper_fds, cgroups, journals, mounts, processes; long kib, keeper_kib, heap; };

static int entries(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static int lines_with(const char *path, const char *word)
{
	char line[8192];
	FILE *f = fopen(path, "re");
	int n = 0;

	while (f && fgets(line, sizeof line, f))
		n += strstr(line, word) != NULL;
	if (f)
		fclose(f);
	return n;
}

static long keeper_memory(pid_t pid)
{
	char path[64], text[8192];
	const char *at;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	at = strstr(slurp(path, text, sizeof text), "VmRSS:");
	return at ? atol(at + 6) : -1;
}

/* Of this run's containers only: their names begin with it. */
static int cgroups(void)
{
	char text[128];
	FILE *f;
	int n = -1;

	snprintf(text, sizeof text, "find /sys/fs/cgroup -type d -name '%s*' 2>/dev/null | wc -l", name);
	f = popen(text, "re");

	if (!f || fscanf(f, "%d", &n) != 1)
		n = -1;
	if (f)
		pclose(f);
	return n;
}

static struct use look(conex *cx)
{
	struct use u = { .fds = entries("/proc/self/fd") };
	char path[PATH_MAX];

	snprintf(path, sizeof path, "/proc/%d/fd", (int)conex_keeper_pid(cx));
	u.keeper_fds = entries(path);
	snprintf(path, sizeof path, "%s/containers", cx->state->path);
	u.journals = entries(path);
	u.cgroups = cgroups();
	u.mounts = lines_with("/proc/self/mountinfo", place.dir) + lines_with("/proc/self/mountinfo", name);
	u.processes = marked(name);
	u.kib = memory("VmRSS:");
	u.keeper_kib = keeper_memory(conex_keeper_pid(cx));
	u.heap = (long)mallinfo2().uordblks;
	return u;
}

static void launch(conex *cx, const conex_plan *plan, int n)
{
	char id[48];
	struct conex_run_options o = { .size = sizeof o, .id = id, .out = n % 2 ? CONEX_STDIO_PIPE : 0 };
	struct conex_output io = { .size = sizeof io };
	conex_container *c = NULL;
	int status = -1;

	snprintf(id, sizeof id, "%s-%d", name, n);
	if (!FINE(conex_launch(cx, plan, NULL, &o, &c, &err)))
		return;
	if (n % 2)
		FINE(conex_container_output(c, -1, &io, &err));
	conex_output_clear(&io);
	if (n % 8 == 0)
		CHECK(conex_container_pidfd(c) >= 0 || conex_container_state(c) == CONEX_EXITED);
	FINE(conex_container_wait(c, -1, &status, &err));
	CHECK_INT(status, 0);
	CHECK_INT(conex_container_delete(c, -1, &err), 1);
	conex_container_free(c);
}

/* One that can't start, and one whose spec is refused. */
static void fail(conex *cx, const conex_plan *plan)
{
	struct conex_run_options o = { .size = sizeof o };
	conex_container *c = NULL;

	CHECK(conex_launch(cx, plan, CONEX_STRINGS("/bin/no-such-program"), &o, &c, &err) < 0);
	o.rootfs = "/no/such/directory";
	CHECK(conex_run(cx, NULL, CONEX_STRINGS("true"), &o, &c, &err) < 0);
	conex_error_free(err);
	err = NULL;
}

static void launch_many(conex *cx, const conex_plan *plan, int count)
{
	for (int n = 0; n < count; n++) {
		launch(cx, plan, n);
		if (n % 50 == 0)
			fail(cx, plan);
	}
}

static void compare(const struct use *a, const struct use *b)
{
	CHECK_INT(b->fds, a->fds);
	CHECK_INT(b->keeper_fds, a->keeper_fds);
	CHECK_INT(b->cgroups, 0);
	CHECK_INT(b->journals, a->journals);
	CHECK_INT(b->mounts, 0);
	CHECK_INT(b->processes, 0);
	printf("# host %ld -> %ld KiB (heap %ld -> %ld bytes), keeper %ld -> %ld KiB\n", a->kib, b->kib,
		a->heap, b->heap, a->keeper_kib, b->keeper_kib);
	if (getenv("SANITIZED") && *getenv("SANITIZED"))
		return;         /* a sanitizer keeps what was freed */
	CHECK(b->heap - a->heap < 16 * 1024);
	CHECK(b->kib - a->kib < 512);
	CHECK(b->keeper_kib - a->keeper_kib < 128);
}

TEST(many_launches)
{
	struct conex_run_options o = { .size = sizeof o, .rootfs = place.root };
	int count = setting("CONEX_LEAKS_LAUNCHES", 1000), fds = entries("/proc/self/fd");
	struct use before, after;
	conex_plan *plan = NULL;
	conex *cx = NULL;
	char *state;

	FINE(conex_open(NULL, &cx, &err));
	state = strdup(cx->state->path);
	FINE(conex_plan_new(cx, NULL, CONEX_STRINGS("/bin/sh", "-c", "true", name), &o, &plan, &err));
	launch_many(cx, plan, 100);     /* what is made once is made now */
	before = look(cx);
	launch_many(cx, plan, count);
	after = look(cx);
	compare(&before, &after);
	conex_plan_free(plan);
	conex_close(cx);
	CHECK_INT(entries("/proc/self/fd"), fds);
	CHECK(access(state, F_OK) < 0);
	free(state);
}

/* Who asks for events, and reads them late: each holds its container's record, and no longer what it was made of. */
TEST(unread_news)
{
	struct conex_run_options o = { .size = sizeof o, .rootfs = place.root };
	struct conex_event e = { .size = sizeof e };
	enum { COUNT = 100 };
	conex *cx = NULL;
	int deleted = 0, status;
	long heap = 0;

	FINE(conex_open(NULL, &cx, &err));
	CHECK(conex_fd(cx) >= 0);
	for (int n = 0; n < 2 * COUNT; n++) {
		conex_container *c = NULL;

		if (n == COUNT)
			heap = (long)mallinfo2().uordblks;
		FINE(conex_run(cx, NULL, CONEX_STRINGS("/bin/sh", "-c", "exit 7"), &o, &c, &err));
		FINE(conex_container_wait(c, -1, &status, &err));
		CHECK_INT(conex_container_delete(c, -1, &err), 1);
		conex_container_free(c);
	}
	heap = (long)mallinfo2().uordblks - heap;
	printf("# %ld bytes each\n", heap / COUNT);
	if (!getenv("SANITIZED") || !*getenv("SANITIZED"))
		CHECK(heap / COUNT < 4096);
	while (conex_next_event(cx, 0, &e, &err) > 0)
		if (e.type == CONEX_EVENT_DELETED) {
			struct conex_exit x = { .size = sizeof x };
			conex_spec *spec = NULL;
			char *json = NULL;

			deleted++;
			FINE(conex_container_exit(e.container, &x, &err));
			CHECK_INT(x.code, 7);
			FINE(conex_container_json(e.container, &json, &err));
			CHECK(json && strstr(json, place.root));
			free(json);
			CHECK_INT(conex_container_spec(e.container, &spec, &err), -ENOENT);
			CHECK_INT(conex_container_check_networks(e.container, &err), -ENOENT);
		}
	CHECK_INT(deleted, 2 * COUNT);
	conex_error_free(err);
	err = NULL;
	conex_close(cx);
}

static void *open_contexts(void *count)
{
	struct conex_run_options o = { .size = sizeof o, .rootfs = place.root, .id = name };

	for (int n = 0; n < (int)(intptr_t)count; n++) {
		conex_container *c = NULL;
		conex *cx = NULL;

		FINE(conex_open(NULL, &cx, &err));
		if (FINE(conex_run(cx, NULL, CONEX_STRINGS("sleep", "1000"), &o, &c, &err)))
			CHECK_STR(conex_container_id(c), name);
		if (n % 2)
			conex_container_free(c);
		conex_close(cx);
		if (n % 2 == 0)
			conex_container_free(c);
	}
	return NULL;
}

/* In a thread, at whose end malloc lets go of what it keeps for it: that counts as in use, and grows with every
 * size that was ever freed, more than a leak would. */
static long heap_after(int count)
{
	pthread_t thread;

	CHECK_INT(pthread_create(&thread, NULL, open_contexts, (void *)(intptr_t)count), 0);
	pthread_join(thread, NULL);
	return (long)mallinfo2().uordblks;
}

/* Nothing that a context has is left when it is closed, whatever it was doing. */
TEST(many_contexts)
{
	int fds = entries("/proc/self/fd");
	long heap = heap_after(10), after = heap_after(30);

	CHECK_INT(entries("/proc/self/fd"), fds);
	CHECK_INT(cgroups(), 0);
	if (!getenv("SANITIZED") || !*getenv("SANITIZED"))
		CHECK(after - heap < 1024);
	printf("# heap %ld -> %ld bytes\n", heap, after);
}

static void tests(void)
{
	snprintf(name, sizeof name, "leak%d", (int)getpid());
	RUN(many_launches);
	RUN(unread_news);
	RUN(many_contexts);
}

int main(void)
{
	return in_place(tests);
}
