/* Building a plan: modules add operations, the end lays them out in one flat buffer.
 *
 * Until the end nobody knows how many operations there will be, so offsets count as if
 * there were none: data follows the header. The end moves data behind the operations and
 * every offset with it. */
#include "plan/build.h"

#include <errno.h>
#include <string.h>
#include "base/error.h"
#include "plan/operations.h"

/* A plan is some kilobytes; what comes near 32-bit offsets is somebody's mistake. */
enum { DATA_MAX = 64 << 20, DATA_ALIGN = 8 };

/* A text in data: its hash saves most comparisons when an equal one is looked for. */
struct text {
	uint32_t hash, offset;
};

static uint32_t hash_text(const char *text, size_t size)
{
	uint32_t hash = 2166136261u;    /* FNV-1a */

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)text[i]) * 16777619u;
	return hash;
}

static uint64_t fail(struct cx_build *b, int code)
{
	if (!b->failed)
		b->failed = code;
	return 0;
}

/* Where the next data of this alignment would lie; 0: failed. */
static uint32_t align_data(struct cx_build *b, size_t alignment, size_t size)
{
	static const char zeros[DATA_ALIGN];
	size_t pad = -b->data.size & (alignment - 1);

	if (size > DATA_MAX || b->data.size + pad + size > DATA_MAX)
		return (uint32_t)fail(b, -E2BIG);
	if (pad && cx_str_add(&b->data, zeros, pad) < 0)
		return (uint32_t)fail(b, -ENOMEM);
	return (uint32_t)(sizeof(struct cx_plan) + b->data.size);
}

static uint32_t add_data(struct cx_build *b, const void *data, size_t size,
	size_t alignment)
{
	uint32_t at = align_data(b, alignment, size);

	if (at && cx_str_add(&b->data, data, size) < 0)
		return (uint32_t)fail(b, -ENOMEM);
	return at;
}

static uint32_t find_text(const struct cx_build *b, uint32_t hash, const char *text,
	size_t size)
{
	const struct text *t = (const struct text *)b->texts.data;

	for (size_t n = b->texts.size / sizeof *t; n-- > 0;) {
		const char *known = b->data.data + t[n].offset - sizeof(struct cx_plan);

		if (t[n].hash == hash && b->data.size - (known - b->data.data) >= size
		    && !memcmp(known, text, size))
			return t[n].offset;
	}
	return 0;
}

static uint32_t add_text(struct cx_build *b, const char *text)
{
	size_t size = strlen(text) + 1;
	struct text t = { .hash = hash_text(text, size) };

	t.offset = find_text(b, t.hash, text, size);
	if (t.offset)
		return t.offset;
	t.offset = add_data(b, text, size, 1);
	if (t.offset && cx_str_add(&b->texts, &t, sizeof t) < 0)
		return (uint32_t)fail(b, -ENOMEM);
	return t.offset;
}

uint64_t cx_cell_text(struct cx_build *b, const char *text)
{
	return text ? add_text(b, text) : 0;
}

static uint64_t slot_bits(struct cx_build *b, enum cx_slot slot, enum cx_arg_kind kind)
{
	return cx_slot_kind(slot) == kind ? (uint64_t)slot << 32 : fail(b, -EINVAL);
}

uint64_t cx_cell_slot_bytes(struct cx_build *b, enum cx_slot slot)
{
	return slot_bits(b, slot, CX_ARG_BYTES);
}

uint64_t cx_cell_slot(struct cx_build *b, enum cx_slot slot, const char *fallback)
{
	return slot_bits(b, slot, CX_ARG_STR) | cx_cell_text(b, fallback);
}

/* The texts first, then count and offsets in one piece. */
uint64_t cx_cell_list(struct cx_build *b, const char *const *list)
{
	cx_autostr words = { 0 };
	uint32_t count = 0, at;

	if (!list)
		return 0;
	while (list[count])
		count++;
	cx_str_add(&words, &count, sizeof count);
	for (uint32_t n = 0; n < count; n++) {
		at = add_text(b, list[n]);
		cx_str_add(&words, &at, sizeof at);
	}
	if (words.failed)
		return fail(b, words.failed);
	at = add_data(b, words.data, words.size, sizeof at);
	if (at && cx_str_add(&b->lists, &at, sizeof at) < 0)
		return fail(b, -ENOMEM);
	return at;
}

uint64_t cx_cell_slot_list(struct cx_build *b, enum cx_slot slot,
	const char *const *fallback)
{
	return slot_bits(b, slot, CX_ARG_LIST) | cx_cell_list(b, fallback);
}

/* No bytes are not the same as no cell: an empty list of groups is one. */
uint64_t cx_cell_bytes(struct cx_build *b, const void *data, size_t size)
{
	uint32_t at = add_data(b, data, size, DATA_ALIGN);

	return at ? (uint64_t)size << 32 | at : 0;
}

uint64_t cx_cell_map(struct cx_build *b, const json_t *map)
{
	cx_autostr text = { 0 };
	json_t *range;
	size_t i;

	json_array_foreach(map, i, range)
		cx_str_addf(&text, "%lld %lld %lld\n",
			(long long)json_integer_value(json_object_get(range, "containerID")),
			(long long)json_integer_value(json_object_get(range, "hostID")),
			(long long)json_integer_value(json_object_get(range, "size")));
	if (text.failed)
		fail(b, -ENOMEM);
	return text.size ? cx_cell_text(b, text.data) : 0;
}

void cx_build_op(struct cx_build *b, enum cx_op_code code, const char *object,
	uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct cx_op op = { .code = code, .arg = { a0, a1, a2, a3, a4, a5 } };

	op.object = (uint32_t)cx_cell_text(b, object);
	if (cx_str_add(&b->ops, &op, sizeof op) < 0)
		fail(b, -ENOMEM);
}

static void move_offset(uint32_t *offset, uint32_t by)
{
	if (*offset)
		*offset += by;
}

static void move_cells(struct cx_op *op, uint32_t by)
{
	const struct cx_operation *known = cx_operation(op->code);

	move_offset(&op->object, by);
	for (int i = 0; known && i < CX_ARGS; i++) {
		unsigned kind = known->kind[i] & CX_ARG_MASK;

		if ((kind == CX_ARG_STR || kind == CX_ARG_LIST || kind == CX_ARG_BYTES)
		    && (uint32_t)op->arg[i])
			op->arg[i] += by;
	}
}

/* By the builder's own notes, not from the cells: two cells may share a list. */
static void move_lists(const struct cx_build *b, struct cx_plan *plan, uint32_t by)
{
	const uint32_t *at = (const uint32_t *)b->lists.data;

	for (size_t n = 0; n < b->lists.size / sizeof *at; n++) {
		uint32_t *list = (uint32_t *)((char *)plan + at[n] + by);

		for (uint32_t i = 1; i <= list[0]; i++)
			move_offset(&list[i], by);
	}
}

static struct cx_plan *lay_out(const struct cx_build *b)
{
	uint32_t ops = (uint32_t)b->ops.size;
	size_t size = (sizeof(struct cx_plan) + ops + b->data.size + 7) & ~(size_t)7;
	struct cx_plan *plan = calloc(1, size);
	struct cx_op *op = (struct cx_op *)(plan + 1);

	if (!plan)
		return NULL;
	*plan = b->head;
	plan->magic = CX_PLAN_MAGIC;
	plan->version = CX_PLAN_VERSION;
	plan->size = (uint32_t)size;
	plan->operations = ops / sizeof *op;
	if (ops)
		memcpy(op, b->ops.data, ops);
	if (b->data.size)
		memcpy((char *)op + ops, b->data.data, b->data.size);
	for (uint32_t n = 0; n < plan->operations; n++)
		move_cells(&op[n], ops);
	move_lists(b, plan, ops);
	move_offset(&plan->uid_map, ops);
	move_offset(&plan->gid_map, ops);
	return plan;
}

int cx_build_end(struct cx_build *b, struct cx_plan **ret, conex_error **err)
{
	struct cx_plan *plan = NULL;
	int failed = b->ops.size > DATA_MAX ? -E2BIG : b->failed;

	if (!failed) {
		plan = lay_out(b);
		failed = plan ? cx_plan_check(plan, plan->size) : -ENOMEM;
	}
	cx_build_free(b);
	if (failed) {
		free(plan);
		if (failed == -ENOMEM)
			return cx_fail_memory(err);
		return cx_fail(err, CONEX_STAGE_PLAN, failed, NULL,
			failed == -E2BIG ? "the spec is too large" : "a fault of conex",
			"plan");
	}
	*ret = plan;
	return 0;
}

void cx_build_free(struct cx_build *b)
{
	cx_str_free(&b->ops);
	cx_str_free(&b->data);
	cx_str_free(&b->texts);
	cx_str_free(&b->lists);
	memset(b, 0, sizeof *b);
}
