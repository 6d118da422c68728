/* Many containers that run out of memory, a hundred at a time: every exit record says so, in the moment in which the
 * event says that there is one. CONEX_OOM_COUNT says how many (300). */
#include "system/box.h"

enum { AT_ONCE = 100, PATIENCE_MS = 300000 };

static struct { long all, started, told, wrong, events; } seen;

static int start_one(conex_container **ret)
{
	struct conex_limits limits = { .size = sizeof limits, .memory = 8 * CONEX_MIB };
	struct conex_run_options o = { .size = sizeof o, .flags = CONEX_RUN_HOLD, .rootfs = box.root, .limits = &limits };
	int other = seen.started % 4 == 3;      /* it is the child of a shell that lives on to tell */

	return conex_run(box.cx, NULL, other ? CONEX_STRINGS("sh", "-c", "tail /dev/zero; exit $?")
		: CONEX_STRINGS("tail", "/dev/zero"), &o, ret, &box.err);
}

/* The record, read at once; then the container goes. */
static void look_at(conex_container *c)
{
	struct conex_exit x = { .size = sizeof x };

	GOOD(conex_container_exit(c, &x, &box.err));
	if (x.cause != CONEX_EXIT_OOM || x.status != 137 || x.oom_kills < 1 || x.memory_peak < 6 * CONEX_MIB
	    || x.memory_peak > 9 * CONEX_MIB) {
		if (seen.wrong++ < 10)
			printf("# cause %d, status %d, %u kills, peak %llu\n", x.cause, x.status, (unsigned)x.oom_kills,
				(unsigned long long)x.memory_peak);
	}
	GOOD(conex_container_delete(c, -1, &box.err));
}

static int round_of(long count)
{
	conex_container *list[AT_ONCE] = { NULL };
	long left = count, begun = 0;

	for (; begun < count; begun++, seen.started++)
		if (!GOOD(start_one(&list[begun])))
			break;
	for (long i = 0; i < begun; i++)
		GOOD(conex_container_start(list[i], &box.err));
	left = begun;
	while (left > 0) {
		struct conex_event ev = { .size = sizeof ev };

		if (conex_next_event(box.cx, PATIENCE_MS, &ev, &box.err) <= 0)
			break;
		seen.events += ev.type == CONEX_EVENT_OOM;
		if (ev.type != CONEX_EVENT_EXITED)
			continue;
		look_at(ev.container);
		seen.told++;
		left--;
	}
	for (long i = 0; i < begun; i++)
		conex_container_free(list[i]);
	return begun == count && left == 0;
}

TEST(every_record)
{
	const char *wanted = getenv("CONEX_OOM_COUNT");
	struct conex_limits limits = { .size = sizeof limits, .memory = 8 * CONEX_MIB };
	struct conex_run_options o = { .limits = &limits };

	if (box_run(&o, "true") == -EOPNOTSUPP)
		SKIP("no memory controller");
	seen.all = wanted ? atol(wanted) : 300;
	while (seen.told < seen.all)
		if (!CHECK(round_of(seen.all - seen.told < AT_ONCE ? seen.all - seen.told : AT_ONCE)))
			break;
	CHECK_INT(seen.told, seen.all);
	CHECK_INT(seen.wrong, 0);
	printf("# %ld containers, %ld records, %ld wrong, %ld out-of-memory events while they ran\n", seen.started, seen.told,
		seen.wrong, seen.events);
}

static void all(void)
{
	RUN(every_record);
}

int main(void)
{
	return with_box(all);
}
