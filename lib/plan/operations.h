/* What operations.def says of an operation, for code that walks over plans without
 * knowing them. */
#ifndef CX_PLAN_OPERATIONS_H
#define CX_PLAN_OPERATIONS_H

#include <stdint.h>
#include "plan/format.h"

enum cx_undo { CX_UNDO_PROCESS, CX_UNDO_HOST, CX_UNDO_NOTHING, CX_UNDO_UNDO };

struct cx_operation {
	uint8_t undo;                   /* enum cx_undo */
	uint8_t kind[CX_ARGS];          /* enum cx_arg_kind | CX_ARG_SLOT */
};

/* NULL: there is no such operation. */
const struct cx_operation *cx_operation(uint32_t code);

/* What a slot holds: CX_ARG_STR or CX_ARG_LIST; CX_ARG_NONE: there is no such slot. */
enum cx_arg_kind cx_slot_kind(uint32_t slot);

#endif
