/* Checking plans and launches before anybody follows an offset in them; linked into
 * library and keeper. */
#include "plan/check.h"

#include <errno.h>
#include <string.h>
#include "plan/operations.h"

/* A buffer being checked. A text that starts at or before its last NUL ends inside it, so
 * that one search serves all texts. */
struct view {
	const char *base;
	size_t size, data, last_nul;    /* data: where offsets may begin to point */
};

#define PLAN_FLAGS (CX_PLAN_MAPS | CX_PLAN_STAGES | CX_PLAN_TERMINAL \
	| CX_PLAN_HELPER | CX_PLAN_PID_NS | CX_PLAN_MAPS_HELPED)
#define LAUNCH_FLAGS (CX_LAUNCH_HOLD | CX_LAUNCH_RELEASED | CX_LAUNCH_TIMELINE \
	| CX_LAUNCH_PARENT | CX_LAUNCH_ATTENDS)

static struct view view_of(const void *buffer, size_t size, size_t data)
{
	struct view v = { .base = buffer, .size = size, .data = data };
	const char *nul = size > data ? memrchr(v.base + data, '\0', size - data) : NULL;

	v.last_nul = nul ? (size_t)(nul - v.base) : 0;
	return v;
}

static int text_good(const struct view *v, uint32_t at)
{
	return at >= v->data && at <= v->last_nul;
}

static int list_good(const struct view *v, uint32_t at)
{
	const uint32_t *list;

	if (at < v->data || at % sizeof *list || at > v->size - sizeof *list)
		return 0;
	list = (const uint32_t *)(v->base + at);
	if (list[0] > (v->size - at) / sizeof *list - 1)
		return 0;
	for (uint32_t n = 1; n <= list[0]; n++)
		if (!text_good(v, list[n]))
			return 0;
	return 1;
}

/* Programs and id lists are read as 32-bit words where they lie. */
static int bytes_good(const struct view *v, uint32_t at, uint32_t size)
{
	if (!at)
		return !size;
	return at >= v->data && at <= v->size && size <= v->size - at && at % 4 == 0;
}

/* A slot of bytes begins with their number. */
static int sized_good(const struct view *v, uint32_t at)
{
	uint32_t size;

	if (at < v->data || at % 4 || at > v->size || v->size - at < sizeof size)
		return 0;
	memcpy(&size, v->base + at, sizeof size);
	return size <= v->size - at - sizeof size;
}

/* A text, a list, or sized bytes that may be absent. */
static int referred_good(const struct view *v, enum cx_arg_kind kind, uint32_t at)
{
	return !at || (kind == CX_ARG_LIST ? list_good(v, at) : kind == CX_ARG_BYTES ? sized_good(v, at) : text_good(v, at));
}

static int slot_good(unsigned kind, uint32_t slot)
{
	return (kind & CX_ARG_SLOT) && cx_slot_kind(slot) == (kind & CX_ARG_MASK);
}

static int cell_good(const struct view *v, unsigned kind, uint64_t cell)
{
	uint32_t slot = (uint32_t)(cell >> 32), at = (uint32_t)cell;

	switch (kind & CX_ARG_MASK) {
	case CX_ARG_NONE:
		return cell == 0;
	case CX_ARG_FD:
		return cell < CX_FD_COUNT;
	case CX_ARG_BYTES:
		return kind & CX_ARG_SLOT ? !at && slot_good(kind, slot) : bytes_good(v, at, slot);
	case CX_ARG_STR:
	case CX_ARG_LIST:
		if (slot && !slot_good(kind, slot))
			return 0;
		return referred_good(v, kind & CX_ARG_MASK, at);
	default:
		return 1;
	}
}

static int op_good(const struct view *v, const struct cx_op *op)
{
	const struct cx_operation *known = cx_operation(op->code);

	if (!known || known->undo == CX_UNDO_UNDO)
		return 0;
	if (!referred_good(v, CX_ARG_STR, op->object))
		return 0;
	for (int i = 0; i < CX_ARGS; i++)
		if (!cell_good(v, known->kind[i], op->arg[i]))
			return 0;
	return 1;
}

static int aligned(const void *p)
{
	return ((uintptr_t)p & 7) == 0;
}

static int plan_good(const struct cx_plan *plan, size_t size)
{
	const struct cx_op *op = (const struct cx_op *)(plan + 1);
	struct view v;

	if (plan->magic != CX_PLAN_MAGIC || plan->version != CX_PLAN_VERSION
		|| plan->size != size)
		return 0;
	if (plan->operations > (size - sizeof *plan) / sizeof *op)
		return 0;
	if ((plan->flags & ~PLAN_FLAGS) || plan->launch_defaults)
		return 0;
	v = view_of(plan, size, sizeof *plan + plan->operations * sizeof *op);
	for (uint32_t n = 0; n < plan->operations; n++)
		if (!op_good(&v, &op[n]))
			return 0;
	return referred_good(&v, CX_ARG_STR, plan->uid_map)
		&& referred_good(&v, CX_ARG_STR, plan->gid_map);
}

int cx_plan_check(const void *plan, size_t size)
{
	if (!aligned(plan) || size < sizeof(struct cx_plan) || size > UINT32_MAX)
		return -EINVAL;
	return plan_good(plan, size) ? 0 : -EINVAL;
}

static int launch_good(const struct cx_launch *launch, size_t size)
{
	struct view v = view_of(launch, size, sizeof *launch);

	if (launch->magic != CX_LAUNCH_MAGIC || launch->size != size
		|| launch->timeout_ms < 0)
		return 0;
	if ((launch->flags & ~LAUNCH_FLAGS) || launch->fds >> CX_FD_COUNT)
		return 0;
	if (launch->slot[CX_SLOT_NONE])
		return 0;
	for (uint32_t n = 1; n < CX_SLOT_COUNT; n++)
		if (!referred_good(&v, cx_slot_kind(n), launch->slot[n]))
			return 0;
	return referred_good(&v, CX_ARG_STR, launch->cgroup2)
		&& referred_good(&v, CX_ARG_STR, launch->cgroup_kill);
}

int cx_launch_check(const void *launch, size_t size)
{
	if (!aligned(launch) || size < sizeof(struct cx_launch) || size > UINT32_MAX)
		return -EINVAL;
	return launch_good(launch, size) ? 0 : -EINVAL;
}
