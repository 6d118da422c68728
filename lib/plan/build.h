/* Building a plan: modules add operations in the order in which the child will run them. */
#ifndef CX_PLAN_BUILD_H
#define CX_PLAN_BUILD_H

#include <stdint.h>
#include <jansson.h>
#include <conex/base.h>
#include "base/str.h"
#include "plan/check.h"
#include "plan/format.h"

struct cx_build {
	struct cx_str ops;              /* struct cx_op */
	struct cx_str data;             /* texts and bytes; offsets are fixed up at the end */
	struct cx_plan head;            /* flags, clone_flags, maps: set by modules as they go */
	uint32_t sources;               /* how many source numbers are taken (operation "source") */
	int failed;                     /* -ENOMEM remembered: only cx_build_end looks */
	struct cx_str texts, lists;     /* where they lie in data: to share texts, to fix lists up */
};

/* Cells for cx_build_op. Texts are copied and shared when equal. */
uint64_t cx_cell_text(struct cx_build *b, const char *text);            /* NULL: none */
uint64_t cx_cell_slot(struct cx_build *b, enum cx_slot slot, const char *fallback);
uint64_t cx_cell_slot_bytes(struct cx_build *b, enum cx_slot slot);     /* the launch's, or none */
uint64_t cx_cell_list(struct cx_build *b, const char *const *list);     /* NULL-ended; NULL: none */
uint64_t cx_cell_slot_list(struct cx_build *b, enum cx_slot slot, const char *const *fallback);
uint64_t cx_cell_bytes(struct cx_build *b, const void *data, size_t size);

/* An id map of the spec (containerID, hostID, size) as /proc/PID/uid_map takes it; 0: empty. */
uint64_t cx_cell_map(struct cx_build *b, const json_t *map);

/* Adds an operation; `object` names it in the spec for people ("mounts[2] /proc"); may be NULL. */
void cx_build_op(struct cx_build *b, enum cx_op_code code, const char *object,
	uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);
#define CX_OP6_(b, code, object, a0, a1, a2, a3, a4, a5, ...) \
	cx_build_op(b, code, object, (uint64_t)(a0), (uint64_t)(a1), (uint64_t)(a2), (uint64_t)(a3), (uint64_t)(a4), (uint64_t)(a5))
/* cx_op(b, hostname, "hostname", cell): missing arguments are 0. */
#define cx_op(b, name, object, ...) CX_OP6_(b, CX_OP_##name, object __VA_OPT__(,) __VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

/* The finished buffer (free). Leaves *b empty. -ENOMEM */
int cx_build_end(struct cx_build *b, struct cx_plan **ret, conex_error **err);
void cx_build_free(struct cx_build *b);

/* One operation of a checked plan as a line, into *to, without newline. */
void cx_plan_print_op(const struct cx_plan *plan, const struct cx_op *op, struct cx_str *to);
const char *cx_op_name(uint32_t code);
const char *cx_call_name(uint32_t call);         /* enum cx_call; "" for none */

#endif
