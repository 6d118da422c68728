/* Device programs without a kernel: what is built for a list of rules is run here, by an interpreter of the few
 * instructions that it is made of, and held against the rules themselves. */
#include "cgroup/internal.h"
#include "../test.h"

#include <linux/bpf.h>

enum { B = 'b', C = 'c', A = 'a', R = CX_DEVICE_READ, W = CX_DEVICE_WRITE, M = CX_DEVICE_MKNOD };

static uint64_t alu(int op, uint64_t a, uint64_t b)
{
	switch (op) {
	case BPF_MOV: return b;
	case BPF_AND: return a & b;
	case BPF_RSH: return a >> b;
	}
	CHECK(!"an instruction that the builder has no use for");
	return 0;
}

static int jumps(int code, uint64_t a, uint64_t b)
{
	if (BPF_CLASS(code) == BPF_JMP32) {
		a = (uint32_t)a;
		b = (uint32_t)b;
	}
	return BPF_OP(code) == BPF_JA || (BPF_OP(code) == BPF_JNE && a != b) || (BPF_OP(code) == BPF_JSET && a & b);
}

/* The answer to one question; -1: it ran astray. */
static int run(const struct cx_device_program *p, const struct bpf_cgroup_dev_ctx *ctx)
{
	uint64_t reg[11] = { 0 };

	for (uint32_t at = 0, steps = 0; at < p->count && steps < 100000; at++, steps++) {
		const struct bpf_insn *i = &p->insns[at];
		uint64_t operand = BPF_SRC(i->code) == BPF_X ? reg[i->src_reg] : (uint64_t)(int64_t)i->imm;

		if (i->code == (BPF_JMP | BPF_EXIT))
			return (int)reg[0];
		if (BPF_CLASS(i->code) == BPF_LDX)
			reg[i->dst_reg] = *(const uint32_t *)((const char *)ctx + i->off);
		else if (BPF_CLASS(i->code) == BPF_ALU64)
			reg[i->dst_reg] = alu(BPF_OP(i->code), reg[i->dst_reg], operand);
		else if (jumps(i->code, reg[i->dst_reg], operand))
			at += (uint32_t)(int32_t)i->off;
	}
	return -1;
}

/* The kernel refuses code that is never reached, and jumps backwards are none of ours. */
static void check_shape(const struct cx_device_program *p)
{
	uint8_t *reached = calloc(p->count + 1, 1);

	reached[0] = 1;
	for (uint32_t i = 0; i < p->count; i++) {
		int class = BPF_CLASS(p->insns[i].code), jump = class == BPF_JMP || class == BPF_JMP32;
		int end = p->insns[i].code == (BPF_JMP | BPF_EXIT);

		CHECK(reached[i]);
		if (jump && !end) {
			CHECK(p->insns[i].off > 0 && i + 1 + (uint32_t)p->insns[i].off < p->count);
			reached[i + 1 + (uint32_t)p->insns[i].off] = 1;
		}
		if (!end && p->insns[i].code != (BPF_JMP | BPF_JA))
			reached[i + 1] = 1;
	}
	CHECK(!reached[p->count]);      /* doesn't fall out at the end */
	free(reached);
}

static int ask(const struct cx_device_program *p, char type, uint32_t major, uint32_t minor, uint32_t ways)
{
	struct bpf_cgroup_dev_ctx ctx = { .access_type = ways << 16 | (type == B ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
		.major = major, .minor = minor };

	return run(p, &ctx);
}

static const struct {
	const char *what;
	struct cx_device_rule rules[5];
	char type;
	uint32_t major, minor, ways;
	int allowed;
} cases[] = {
	{ "no rule", { { 0 } }, C, 1, 3, R, 0 },
	{ "all denied", { { A, 7, 0, -1, -1 } }, C, 1, 3, R, 0 },
	{ "all allowed", { { A, 7, 1, -1, -1 } }, B, 8, 0, R | W | M, 1 },
	{ "one", { { A, 7, 0, -1, -1 }, { C, 7, 1, 10, 200 } }, C, 10, 200, R | W, 1 },
	{ "another minor", { { A, 7, 0, -1, -1 }, { C, 7, 1, 10, 200 } }, C, 10, 201, R, 0 },
	{ "another major", { { A, 7, 0, -1, -1 }, { C, 7, 1, 10, 200 } }, C, 11, 200, R, 0 },
	{ "another kind", { { A, 7, 0, -1, -1 }, { C, 7, 1, 10, 200 } }, B, 10, 200, R, 0 },
	{ "reading only", { { C, R, 1, 10, 200 } }, C, 10, 200, R, 1 },
	{ "not writing", { { C, R, 1, 10, 200 } }, C, 10, 200, W, 0 },
	{ "not both", { { C, R, 1, 10, 200 } }, C, 10, 200, R | W, 0 },
	{ "both from two rules", { { C, R, 1, 10, -1 }, { C, W, 1, 10, 200 } }, C, 10, 200, R | W, 1 },
	{ "all minors", { { C, R, 1, 136, -1 } }, C, 136, 77, R, 1 },
	{ "all majors", { { B, M, 1, -1, 5 } }, B, 99, 5, M, 1 },
	{ "of both kinds", { { A, 7, 1, 7, -1 } }, B, 7, 1, W, 1 },
	{ "one out of a range", { { C, 7, 1, -1, -1 }, { C, 7, 0, 10, 200 } }, C, 10, 200, R, 0 },
	{ "the rest of it", { { C, 7, 1, -1, -1 }, { C, 7, 0, 10, 200 } }, C, 10, 201, R, 1 },
	{ "a way out of a range", { { C, 7, 1, -1, -1 }, { C, W, 0, 10, -1 } }, C, 10, 1, R, 1 },
	{ "that way", { { C, 7, 1, -1, -1 }, { C, W, 0, 10, -1 } }, C, 10, 1, R | W, 0 },
	{ "the last counts", { { C, 7, 0, 10, 1 }, { A, 7, 0, -1, -1 }, { C, 7, 1, 10, 1 } }, C, 10, 1, R, 1 },
	{ "what is before all doesn't", { { C, 7, 1, 10, 1 }, { A, 7, 0, -1, -1 } }, C, 10, 1, R, 0 },
	{ "large numbers", { { C, 7, 1, 4095, 4294967295 } }, C, 4095, 4294967295U, R, 1 },
	{ "a large major, not -1", { { C, 7, 1, 4294967295, 0 } }, C, 1, 0, R, 0 },
};

TEST(table)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(cases); i++) {
		struct cx_device_program p = { NULL, 0 };
		size_t n = 0;

		while (n < CX_ARRAY_SIZE(cases[i].rules) && cases[i].rules[n].type)
			n++;
		CHECK_INT(cx_device_program_build(cases[i].rules, n, &p), 0);
		check_shape(&p);
		if (!CHECK_INT(ask(&p, cases[i].type, cases[i].major, cases[i].minor, cases[i].ways), cases[i].allowed))
			printf("# %s\n", cases[i].what);
		free(p.insns);
	}
}

/* The rules' meaning, way by way. */
static int meant(const struct cx_device_rule *rules, size_t count, char type, int64_t major, int64_t minor, int ways)
{
	for (int way = 1; way <= 4; way *= 2) {
		int allowed = 0;

		for (size_t i = 0; i < count; i++)
			if ((rules[i].type == A || rules[i].type == type) && (rules[i].major < 0 || rules[i].major == major)
			    && (rules[i].minor < 0 || rules[i].minor == minor) && rules[i].access & way)
				allowed = rules[i].allow;
		if (ways & way && !allowed)
			return 0;
	}
	return 1;
}

static unsigned noise(unsigned below)
{
	static uint64_t state = 4;

	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % below;
}

static int agrees(const struct cx_device_program *p, const struct cx_device_rule *rules, size_t count)
{
	for (int n = 0; n < 2 * 3 * 3 * 7; n++) {
		int type = n % 2 ? C : B, major = n / 2 % 3, minor = n / 6 % 3, ways = n / 18 + 1;

		if (ask(p, (char)type, (uint32_t)major, (uint32_t)minor, (uint32_t)ways)
		    != meant(rules, count, (char)type, major, minor, ways))
			return 0;
	}
	return 1;
}

/* Any rules, all questions. */
TEST(any_rules)
{
	for (int round = 0; round < 3000; round++) {
		struct cx_device_rule rules[8];
		struct cx_device_program p = { NULL, 0 };
		size_t count = noise(9);

		for (size_t i = 0; i < count; i++)
			rules[i] = (struct cx_device_rule){ "abc"[noise(3)], (uint8_t)(1 + noise(7)), (uint8_t)noise(2),
				(int64_t)noise(4) - 1, (int64_t)noise(4) - 1 };
		CHECK_INT(cx_device_program_build(rules, count, &p), 0);
		check_shape(&p);
		if (!CHECK(agrees(&p, rules, count)))
			printf("# round %d\n", round);
		free(p.insns);
	}
}

TEST(many_rules)
{
	enum { MANY = 2000 };
	struct cx_device_rule *rules = calloc(MANY, sizeof *rules);
	struct cx_device_program p = { NULL, 0 };

	for (int i = 0; i < MANY; i++)
		rules[i] = (struct cx_device_rule){ C, R, 1, 100, i };
	CHECK_INT(cx_device_program_build(rules, MANY, &p), 0);
	check_shape(&p);
	CHECK_INT(ask(&p, C, 100, 0, R), 1);
	CHECK_INT(ask(&p, C, 100, MANY - 1, R), 1);
	CHECK_INT(ask(&p, C, 100, MANY, R), 0);
	free(p.insns);
	free(rules);
}

int main(void)
{
	RUN(table);
	RUN(any_rules);
	RUN(many_rules);
	return test_end();
}
