/* A plan for people: each operation as a line, made of the sentence that operations.def
 * gives it. */
#include "plan/build.h"

#include <inttypes.h>
#include <string.h>
#include "plan/operations.h"

struct words {
	const char *name, *sentence;
};

#define CX_OPERATION(name, sentence, ...) [CX_OP_##name] = { #name, sentence },
static const struct words words[CX_OP_COUNT] = {
	[CX_OP_none] = { "none", "" },
#include "plan/operations.def"
};

static const char *const slot_names[CX_SLOT_COUNT] = {
	[CX_SLOT_NONE] = "none", [CX_SLOT_ARGS] = "args", [CX_SLOT_ENV] = "env",
	[CX_SLOT_HOSTNAME] = "hostname", [CX_SLOT_CWD] = "cwd",
	[CX_SLOT_CGROUP] = "cgroup",
	[CX_SLOT_ROOTFS] = "rootfs", [CX_SLOT_LOWER] = "lower", [CX_SLOT_UPPER] = "upper",
	[CX_SLOT_WORK] = "work", [CX_SLOT_STATE] = "state",
	[CX_SLOT_NETWORK] = "network",
};

const char *cx_op_name(uint32_t code)
{
	return code < CX_OP_COUNT ? words[code].name : "unknown";
}

/* Texts come from specs: what would break the line or the terminal is escaped. */
static void print_escaped(struct cx_str *to, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			cx_str_addf(to, "\\x%02x", c);
		else if (c == '"' || c == '\\')
			cx_str_addf(to, "\\%c", c);
		else
			cx_str_add(to, text, 1);
	}
}

/* In quotes where it wouldn't be seen as one word. */
static void print_text(struct cx_str *to, const char *text)
{
	int quoted = !*text || text[strcspn(text, " \"\\[],<>")];

	cx_str_add(to, "\"", quoted);
	print_escaped(to, text);
	cx_str_add(to, "\"", quoted);
}

static void print_list(struct cx_str *to, const struct cx_plan *plan, uint32_t at)
{
	const uint32_t *list = (const uint32_t *)((const char *)plan + at);

	cx_str_add(to, "[", 1);
	for (uint32_t n = 1; n <= list[0]; n++) {
		if (n > 1)
			cx_str_add(to, ", ", 2);
		print_text(to, cx_plan_text(plan, list[n]));
	}
	cx_str_add(to, "]", 1);
}

/* A text or list: "value", "<slot>" or "<slot: value>", "none". */
static void print_referred(struct cx_str *to, const struct cx_plan *plan, unsigned kind,
	uint64_t cell)
{
	uint32_t slot = (uint32_t)(cell >> 32), at = (uint32_t)cell;

	if (slot)
		cx_str_addf(to, "<%s%s", slot_names[slot], at ? ": " : "");
	if (at && kind == CX_ARG_LIST)
		print_list(to, plan, at);
	else if (at)
		print_text(to, cx_plan_text(plan, at));
	if (slot || !at)
		cx_str_addf(to, "%s", slot ? ">" : "none");
}

static void print_fd(struct cx_str *to, uint64_t fd)
{
	static const char *const names[] = { "in", "out", "err", "listen", "exec" };

	if (fd >= CX_FD_JOIN)
		cx_str_addf(to, "<join %" PRIu64 ">", fd - CX_FD_JOIN);
	else
		cx_str_addf(to, "<%s>", names[fd]);
}

static void print_cell(struct cx_str *to, const struct cx_plan *plan, unsigned kind,
	uint64_t cell)
{
	switch (kind & CX_ARG_MASK) {
	case CX_ARG_NUM:
		cx_str_addf(to, "%" PRId64, (int64_t)cell);
		break;
	case CX_ARG_HEX:
		cx_str_addf(to, "0x%" PRIx64, cell);
		break;
	case CX_ARG_OCT:
		cx_str_addf(to, "0%03" PRIo64, cell);
		break;
	case CX_ARG_BYTES:
		cx_str_addf(to, "%" PRIu64 " bytes", cell >> 32);
		break;
	case CX_ARG_FD:
		print_fd(to, cell);
		break;
	default:
		print_referred(to, plan, kind & CX_ARG_MASK, cell);
	}
}

/* "INDEX NAME: SENTENCE  # OBJECT" */
void cx_plan_print_op(const struct cx_plan *plan, const struct cx_op *op,
	struct cx_str *to)
{
	const struct cx_operation *known = cx_operation(op->code);

	cx_str_addf(to, "%td %s: ", op - (const struct cx_op *)(plan + 1),
		cx_op_name(op->code));
	for (const char *s = known ? words[op->code].sentence : ""; *s; s++) {
		if (s[0] == '$' && s[1] >= '0' && s[1] < '0' + CX_ARGS) {
			int n = *++s - '0';

			print_cell(to, plan, known->kind[n], op->arg[n]);
		} else {
			cx_str_add(to, s, 1);
		}
	}
	if (op->object) {
		cx_str_add(to, "  # ", 4);
		print_escaped(to, cx_plan_text(plan, op->object));
	}
}
