/* Rules for devices -> the instructions of a BPF_PROG_TYPE_CGROUP_DEVICE program. Before bpf.c, which loads it.
 *
 * The program is asked with a device and one or more ways to use it (open for reading and writing is two) and goes
 * through the rules from the last to the first. Each takes those ways out that it speaks of: the first that
 * denies one ends it with 0, and when none is left it ends with 1. So each way is decided by the last rule that
 * speaks of it, also where one rule gives reading and another writing. */
#include "cgroup/internal.h"

#include <linux/bpf.h>
#include <string.h>

/* r0 the answer, r1 the context */
enum { TYPE = BPF_REG_2, WAYS = BPF_REG_3, MAJOR = BPF_REG_4, MINOR = BPF_REG_5 };
enum { PER_RULE = 8, AROUND = 8 };      /* instructions at most, for a rule and for all rules together */

static void emit(struct cx_device_program *p, int code, int to, int from, int off, uint32_t imm)
{
	p->insns[p->count++] = (struct bpf_insn){ .code = (uint8_t)code, .dst_reg = (uint8_t)(to & 15),
		.src_reg = (uint8_t)(from & 15), .off = (int16_t)off, .imm = (int32_t)imm };
}

static void answer(struct cx_device_program *p, int allow)
{
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, (uint32_t)allow);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* access_type has the kind of device in its lower half and the ways in the upper one. */
static void begin(struct cx_device_program *p)
{
	const int load = BPF_LDX | BPF_MEM | BPF_W;

	emit(p, load, WAYS, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, access_type), 0);
	emit(p, BPF_ALU64 | BPF_MOV | BPF_X, TYPE, WAYS, 0, 0);
	emit(p, BPF_ALU64 | BPF_AND | BPF_K, TYPE, 0, 0, 0xffff);
	emit(p, BPF_ALU64 | BPF_RSH | BPF_K, WAYS, 0, 0, 16);
	emit(p, load, MAJOR, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, major), 0);
	emit(p, load, MINOR, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, minor), 0);
}

/* Jumps over the rule are patched when its length is known: until then they are 0 far. */
static void unless(struct cx_device_program *p, int reg, uint32_t value)
{
	emit(p, BPF_JMP32 | BPF_JNE | BPF_K, reg, 0, 0, value);
}

static void decide(struct cx_device_program *p, const struct cx_device_rule *r)
{
	if (r->access == CX_DEVICE_ANY) {
		answer(p, r->allow);
	} else if (r->allow) {
		emit(p, BPF_ALU64 | BPF_AND | BPF_K, WAYS, 0, 0, CX_DEVICE_ANY & ~(uint32_t)r->access);
		unless(p, WAYS, 0);
		answer(p, 1);
	} else {
		emit(p, BPF_JMP | BPF_JSET | BPF_K, WAYS, 0, 1, r->access);
		emit(p, BPF_JMP | BPF_JA, 0, 0, 0, 0);
		answer(p, 0);
	}
}

static int ends_all(const struct cx_device_rule *r)
{
	return r->type == 'a' && r->major < 0 && r->minor < 0 && r->access == CX_DEVICE_ANY;
}

static void add_rule(struct cx_device_program *p, const struct cx_device_rule *r)
{
	uint32_t first = p->count;

	if (r->type != 'a')
		unless(p, TYPE, r->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
	if (r->major >= 0)
		unless(p, MAJOR, (uint32_t)r->major);
	if (r->minor >= 0)
		unless(p, MINOR, (uint32_t)r->minor);
	decide(p, r);
	for (uint32_t i = first; i < p->count; i++)
		if ((BPF_CLASS(p->insns[i].code) == BPF_JMP32 || p->insns[i].code == (BPF_JMP | BPF_JA))
		    && p->insns[i].off == 0)
			p->insns[i].off = (int16_t)(p->count - i - 1);
}

int cx_device_program_build(const struct cx_device_rule *rules, size_t count, struct cx_device_program *ret)
{
	struct cx_device_program p = { calloc(count * PER_RULE + AROUND, sizeof *p.insns), 0 };

	if (!p.insns)
		return -ENOMEM;
	begin(&p);
	while (count > 0) {
		const struct cx_device_rule *r = &rules[--count];

		add_rule(&p, r);
		if (ends_all(r)) /* nothing before it counts, and the kernel refuses code that never runs */
			break;
		if (count == 0)
			answer(&p, 0);
	}
	if (p.count == AROUND - 2) /* no rule at all */
		answer(&p, 0);
	*ret = p;
	return 0;
}
