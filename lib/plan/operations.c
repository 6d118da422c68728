/* operations.def as a table: which kinds of arguments an operation takes, and what undoes
 * it. */
#include "plan/operations.h"

#define A(kind) CX_ARG_##kind
#define S(kind) (CX_ARG_##kind | CX_ARG_SLOT)
#define CX_OPERATION(name, sentence, undo, ...) \
	[CX_OP_##name] = { CX_UNDO_##undo, { __VA_ARGS__ } },
static const struct cx_operation operations[CX_OP_COUNT] = {
#include "plan/operations.def"
};

const struct cx_operation *cx_operation(uint32_t code)
{
	return code > CX_OP_none && code < CX_OP_COUNT ? &operations[code] : NULL;
}

enum cx_arg_kind cx_slot_kind(uint32_t slot)
{
	switch (slot) {
	case CX_SLOT_ARGS:
	case CX_SLOT_ENV:
	case CX_SLOT_LOWER:
		return CX_ARG_LIST;
	case CX_SLOT_NETWORK:
		return CX_ARG_BYTES;
	case CX_SLOT_NONE:
		return CX_ARG_NONE;
	default:
		return slot < CX_SLOT_COUNT ? CX_ARG_STR : CX_ARG_NONE;
	}
}
