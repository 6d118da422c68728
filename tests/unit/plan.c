/* Plans as bytes: built, printed, checked; and every broken one is refused. */
#include "test.h"

#include "base/str.h"
#include "plan/build.h"
#include "plan/operations.h"

static const char *const args[] = { "/bin/sh", "-c", "echo hi", NULL };
static const char *const options[] = { "size=64k", "mode=755", NULL };
static const char *const nothing[] = { NULL };

static struct cx_plan *sample(void)
{
	struct cx_build b = { 0 };
	struct cx_plan *plan = NULL;
	uint32_t gids[] = { 5, 6 };

	b.head.flags = CX_PLAN_MAPS;
	b.head.uid_map = (uint32_t)cx_cell_text(&b, "0 1000 1\n");
	b.head.gid_map = (uint32_t)cx_cell_text(&b, "0 1000 1\n");
	cx_op(&b, inherit, NULL, CX_FD_IN, CX_FD_OUT, CX_FD_ERR);
	cx_op(&b, hostname, "hostname", cx_cell_slot(&b, CX_SLOT_HOSTNAME, "box"));
	cx_op(&b, mount_new, "mounts[1] /dev", cx_cell_text(&b, "tmpfs"), cx_cell_text(&b,
		""),
		cx_cell_text(&b, "/dev"), cx_cell_list(&b, options), 0x2, 0);
	cx_op(&b, overlay, NULL, 3, cx_cell_slot_list(&b, CX_SLOT_LOWER, NULL),
		cx_cell_slot(&b, CX_SLOT_UPPER, NULL), 0, 0, 0);
	cx_op(&b, identity, "process.user", 7, 8, cx_cell_bytes(&b, gids, sizeof gids),
		022);
	cx_op(&b, rlimit, NULL, 7, 1024, -1);
	cx_op(&b, exec, "process.args", cx_cell_slot_list(&b, CX_SLOT_ARGS, args),
		cx_cell_slot_list(&b, CX_SLOT_ENV, nothing));
	CHECK_INT(cx_build_end(&b, &plan, NULL), 0);
	CHECK(!b.ops.data && !b.data.data);
	return plan;
}

static struct cx_op *op_at(struct cx_plan *plan, uint32_t n)
{
	return (struct cx_op *)(plan + 1) + n;
}

static char *line(const struct cx_plan *plan, uint32_t n)
{
	struct cx_str to = { 0 };

	cx_plan_print_op(plan, op_at((struct cx_plan *)plan, n), &to);
	return cx_str_take(&to);
}

TEST(print)
{
	static const char *const want[] = {
		"0 inherit: keep only the descriptors given; stdio is in=<in> out=<out> err=<err>, "
			"new session keyring: 0",
		"1 hostname: set hostname <hostname: box>  # hostname",
		"2 mount_new: mount new tmpfs on /dev (source \"\", options [size=64k, mode=755], "
			"attributes 0x2, flags 0x0)  # mounts[1] /dev",
		"3 overlay: make overlay: lower <lower> upper <upper> work none options none as "
			"source 3, attributes 0x0",
		"4 identity: become uid 7, gid 8, groups 8 bytes, umask 0022  # process.user",
		"5 rlimit: limit resource 7 to 1024, hard -1",
		"6 exec: execute <args: [/bin/sh, -c, \"echo hi\"]> with environment <env: []>"
			" (file none)  # process.args",
	};
	struct cx_plan *plan = sample();

	CHECK_INT(plan->operations, sizeof want / sizeof want[0]);
	for (uint32_t n = 0; n < plan->operations; n++) {
		char *text = line(plan, n);

		CHECK_STR(text, want[n]);
		free(text);
	}
	CHECK_STR(cx_plan_text(plan, plan->uid_map), "0 1000 1\n");
	CHECK_INT(plan->uid_map, plan->gid_map);        /* equal texts are one */
	free(plan);
}

TEST(print_escapes)
{
	struct cx_build b = { 0 };
	struct cx_plan *plan = NULL;
	char *text;

	cx_op(&b, domainname, "a\nb", cx_cell_text(&b, "x\x1b[31m\"\ny"));
	CHECK_INT(cx_build_end(&b, &plan, NULL), 0);
	text = line(plan, 0);
	CHECK_STR(text,
		"0 domainname: set domainname \"x\\x1b[31m\\\"\\x0ay\"  # a\\x0ab");
	free(text);
	free(plan);
}

/* Cells as the child reads them. */
TEST(layout)
{
	struct cx_plan *plan = sample();
	const uint32_t *list, *gids;
	uint64_t cell;

	CHECK_INT(cx_plan_check(plan, plan->size), 0);
	CHECK_INT(plan->size % 8, 0);
	cell = op_at(plan, 6)->arg[0];
	CHECK_INT(cell >> 32, CX_SLOT_ARGS);
	list = (const uint32_t *)((const char *)plan + (uint32_t)cell);
	CHECK_INT(list[0], 3);
	for (uint32_t n = 0; n < 3; n++)
		CHECK_STR(cx_plan_text(plan, list[1 + n]), args[n]);
	cell = op_at(plan, 4)->arg[2];
	CHECK_INT(cell >> 32, 8);
	gids = (const uint32_t *)((const char *)plan + (uint32_t)cell);
	CHECK_INT(gids[1], 6);
	free(plan);
}

TEST(empty)
{
	struct cx_build b = { 0 };
	struct cx_plan *plan = NULL;

	CHECK_INT(cx_build_end(&b, &plan, NULL), 0);
	CHECK_INT(plan->operations, 0);
	CHECK_INT(cx_plan_check(plan, plan->size), 0);
	free(plan);
}

/* A text slot given a list is our own mistake; it must not become a plan. */
TEST(wrong_slot)
{
	struct cx_build b = { 0 };
	struct cx_plan *plan = NULL;
	conex_error *err = NULL;

	cx_op(&b, hostname, NULL, cx_cell_slot(&b, CX_SLOT_ARGS, "x"));
	CHECK_INT(cx_build_end(&b, &plan, &err), -EINVAL);
	CHECK(!plan);
	CHECK_INT(conex_error_stage(err), CONEX_STAGE_PLAN);
	conex_error_free(err);
}

TEST(many_texts)
{
	struct cx_build b = { 0 };
	struct cx_plan *plan = NULL;
	char text[32];

	for (int round = 0; round < 2; round++)
		for (int n = 0; n < 300; n++) {
			snprintf(text, sizeof text, "/path/number/%d", n);
			cx_op(&b, mask, NULL, cx_cell_text(&b, text));
		}
	CHECK_INT(cx_build_end(&b, &plan, NULL), 0);
	for (uint32_t n = 0; n < 600; n++) {
		snprintf(text, sizeof text, "/path/number/%u", n % 300);
		CHECK_STR(cx_plan_text(plan, op_at(plan, n)->arg[0]), text);
		CHECK_INT(op_at(plan, n)->arg[0], op_at(plan, n % 300)->arg[0]);
	}
	free(plan);
}

/* Each makes one thing wrong in a good plan. */
static void wrong_magic(struct cx_plan *p) { p->magic++; }
static void wrong_version(struct cx_plan *p) { p->version++; }
static void wrong_size(struct cx_plan *p) { p->size += 8; }
static void many_operations(struct cx_plan *p) { p->operations = p->size / 56; }
static void huge_operations(struct cx_plan *p) { p->operations = UINT32_MAX; }
static void unknown_flag(struct cx_plan *p) { p->flags |= 0x80000000u; }
static void reserved(struct cx_plan *p) { p->launch_defaults = 1; }
static void map_outside(struct cx_plan *p) { p->uid_map = p->size; }
static void map_in_head(struct cx_plan *p) { p->gid_map = 4; }
static void code_zero(struct cx_plan *p) { op_at(p, 0)->code = CX_OP_none; }
static void code_unknown(struct cx_plan *p) { op_at(p, 0)->code = CX_OP_COUNT; }
static void code_undo(struct cx_plan *p) { op_at(p, 1)->code = CX_OP_undo_cgroup; }
static void object_outside(struct cx_plan *p) { op_at(p, 1)->object = p->size + 1; }
static void fd_unknown(struct cx_plan *p) { op_at(p, 0)->arg[0] = CX_FD_COUNT; }
static void fd_high(struct cx_plan *p) { op_at(p, 0)->arg[0] = 1ULL << 32; }
static void unused_argument(struct cx_plan *p) { op_at(p, 1)->arg[1] = 1; }
static void slot_unknown(struct cx_plan *p) { op_at(p,
	1)->arg[0] |= (uint64_t)CX_SLOT_COUNT << 32; }
static void slot_of_lists(struct cx_plan *p) { op_at(p,
	1)->arg[0] = (uint64_t)CX_SLOT_ARGS << 32; }
static void slot_of_texts(struct cx_plan *p) { op_at(p,
	6)->arg[0] = (uint64_t)CX_SLOT_CWD << 32; }
static void slot_refused(struct cx_plan *p) { op_at(p,
	2)->arg[0] |= (uint64_t)CX_SLOT_CWD << 32; }
static void text_in_operations(struct cx_plan *p) { op_at(p, 2)->arg[0] = sizeof *p; }
static void text_outside(struct cx_plan *p) { op_at(p, 2)->arg[0] = p->size; }
static void list_outside(struct cx_plan *p) { op_at(p, 2)->arg[3] = p->size - 2; }
static void list_odd(struct cx_plan *p) { op_at(p, 2)->arg[3] += 1; }
static void bytes_outside(struct cx_plan *p) { op_at(p,
	4)->arg[2] |= 0xffffffffULL << 32; }
static void bytes_nowhere(struct cx_plan *p) { op_at(p, 4)->arg[2] = 8ULL << 32; }

static uint32_t *options_of(struct cx_plan *p)
{
	return (uint32_t *)((char *)p + (uint32_t)op_at(p, 2)->arg[3]);
}

static void list_long(struct cx_plan *p) { options_of(p)[0] = UINT32_MAX; }
static void list_longer(struct cx_plan *p) { options_of(p)[0] = p->size / 4; }
static void item_outside(struct cx_plan *p) { options_of(p)[1] = p->size; }
static void item_missing(struct cx_plan *p) { options_of(p)[2] = 0; }

/* Without a NUL behind it a text would run on: fill the end of the data. */
static void text_endless(struct cx_plan *p)
{
	op_at(p, 2)->arg[0] = p->size - 4;
	memset((char *)p + p->size - 8, 'x', 8);
}

TEST(refused)
{
	static void (*const faults[])(struct cx_plan *) = {
		wrong_magic, wrong_version, wrong_size, many_operations, huge_operations,
			unknown_flag,
		reserved, map_outside, map_in_head, code_zero, code_unknown, code_undo,
		object_outside,
		fd_unknown, fd_high, unused_argument, slot_unknown, slot_of_lists,
		slot_of_texts,
		slot_refused, text_in_operations, text_outside, list_outside, list_odd,
		bytes_outside,
		bytes_nowhere, list_long, list_longer, item_outside, item_missing,
		text_endless,
	};

	for (size_t n = 0; n < sizeof faults / sizeof faults[0]; n++) {
		struct cx_plan *plan = sample();

		faults[n](plan);
		if (!CHECK_INT(cx_plan_check(plan,
			plan->size - 8 * (faults[n] == wrong_size)), -EINVAL))
			printf("# fault number %zu\n", n);
		free(plan);
	}
}

/* Any change of a byte is refused or harmless: what passes prints without leaving the
 * buffer (ASan). */
TEST(mutated)
{
	struct cx_plan *plan = sample(), *copy = malloc(plan->size);
	unsigned passed = 0;

	for (uint32_t at = 0; at < plan->size; at++)
		for (int bit = 0; bit < 8; bit++) {
			memcpy(copy, plan, plan->size);
			((unsigned char *)copy)[at] ^= (unsigned char)(1 << bit);
			if (cx_plan_check(copy, plan->size) < 0)
				continue;
			passed++;
			for (uint32_t n = 0; n < copy->operations; n++)
				free(line(copy, n));
		}
	CHECK(passed > 0);
	for (uint32_t size = 0; size < plan->size; size++)
		CHECK_INT(cx_plan_check(plan, size), -EINVAL);
	free(copy);
	free(plan);
}

/* A launch with a hostname and arguments. */
struct launch {
	struct cx_launch head;
	uint32_t list[3];
	char text[12];
	uint32_t sized[2];
};

static struct launch launch_sample(void)
{
	struct launch l = { .head = { .magic = CX_LAUNCH_MAGIC, .size = sizeof l,
		.fds = 7 },
		.list = { 2, offsetof(struct launch, text), offsetof(struct launch,
		text) + 4 },
		.text = "box\0hello", .sized = { 4, 0 } };

	l.head.slot[CX_SLOT_HOSTNAME] = offsetof(struct launch, text);
	l.head.slot[CX_SLOT_ARGS] = offsetof(struct launch, list);
	l.head.slot[CX_SLOT_NETWORK] = offsetof(struct launch, sized);
	return l;
}

TEST(launch)
{
	struct launch l = launch_sample();

	CHECK_INT(cx_launch_check(&l, sizeof l), 0);
	CHECK_INT(cx_launch_check(&l, sizeof l - 4), -EINVAL);
	CHECK_INT(cx_launch_check(&l, 8), -EINVAL);
#define REFUSED(change) \
	do { \
		l = launch_sample(); \
		change; \
		CHECK_INT(cx_launch_check(&l, sizeof l), -EINVAL); \
	} while (0)
	REFUSED(l.head.magic = 0);
	REFUSED(l.head.flags = 0x100);
	REFUSED(l.head.fds = 1u << CX_FD_COUNT);
	REFUSED(l.head.timeout_ms = -1);
	REFUSED(l.head.slot[CX_SLOT_NONE] = l.head.slot[CX_SLOT_HOSTNAME]);
	REFUSED(l.head.slot[CX_SLOT_HOSTNAME] = 8);
	REFUSED(l.head.slot[CX_SLOT_HOSTNAME] = sizeof l);
	REFUSED(l.head.slot[CX_SLOT_ENV] = offsetof(struct launch, text));
	REFUSED(l.list[0] = 1000);
	REFUSED(l.list[1] = 0);
	REFUSED(l.sized[0] = 5);
	REFUSED(l.sized[0] = UINT32_MAX);
	REFUSED(l.head.slot[CX_SLOT_NETWORK] = offsetof(struct launch, sized) + 1);
	REFUSED(l.head.slot[CX_SLOT_NETWORK] = sizeof l);
	REFUSED(l.head.cgroup2 = 3);
	REFUSED(l.head.cgroup_kill = UINT32_MAX);
#undef REFUSED
}

/* The table follows operations.def: spot checks, and every operation has a name of its
 * own. */
TEST(operations)
{
	CHECK(!cx_operation(CX_OP_none) && !cx_operation(CX_OP_COUNT));
	CHECK_INT(cx_operation(CX_OP_overlay)->kind[1], CX_ARG_LIST | CX_ARG_SLOT);
	CHECK_INT(cx_operation(CX_OP_undo_umount)->undo, CX_UNDO_UNDO);
	CHECK_INT(cx_slot_kind(CX_SLOT_LOWER), CX_ARG_LIST);
	CHECK_INT(cx_slot_kind(CX_SLOT_COUNT), CX_ARG_NONE);
	CHECK_STR(cx_op_name(CX_OP_pivot), "pivot");
	CHECK_STR(cx_op_name(12345), "unknown");
}

int main(void)
{
	RUN(print);
	RUN(print_escapes);
	RUN(layout);
	RUN(empty);
	RUN(wrong_slot);
	RUN(many_texts);
	RUN(refused);
	RUN(mutated);
	RUN(launch);
	RUN(operations);
	return test_end();
}
