/* Seccomp profiles -> BPF programs by libseccomp, the way runc reads them; cached by
 * cache.c. */
#include "security/filter.h"

#include <ctype.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include "base/error.h"
#include "spec/spec.h"

#define WHERE "linux.seccomp"
#define X32_BIT 0x40000000u
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)       /* Linux 5.19 */
#endif

static void releasep(scmp_filter_ctx *filter)
{
	int saved = errno;

	if (*filter)
		seccomp_release(*filter);
	errno = saved;
}

/* A name of a short list -> its value; 0 found, -1 not. */
struct name {
	const char *name;
	uint32_t value;
};

static int find(const struct name *names, size_t count, const char *name, uint32_t *ret)
{
	for (size_t i = 0; name && i < count; i++) {
		if (strcmp(names[i].name, name))
			continue;
		*ret = names[i].value;
		return 0;
	}
	return -1;
}

/* An action's number for the kernel; ERRNO and TRACE carry `data`. */
static int action_of(const char *name, int64_t data, const char *where, uint32_t *ret,
	conex_error **err)
{
	static const struct name actions[] = {
		{ "SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD },
		{ "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD },
		{ "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
		{ "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
		{ "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0) },
		{ "SCMP_ACT_TRACE", SCMP_ACT_TRACE(0) },
		{ "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
		{ "SCMP_ACT_LOG", SCMP_ACT_LOG },
		{ "SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY },
	};
	uint32_t action;

	if (find(actions, CX_ARRAY_SIZE(actions), name, &action) < 0)
		return cx_refuse(err, -EINVAL, where, name,
			"use SCMP_ACT_ALLOW, SCMP_ACT_ERRNO, ...");
	if (action == SCMP_ACT_ERRNO(0) || action == SCMP_ACT_TRACE(0))
		action |= (uint32_t)data & 0xffff;
	*ret = action;
	return 0;
}

static int flags_of(const json_t *profile, uint32_t *ret, conex_error **err)
{
	/* TSYNC is for programs with threads; a child has one. */
	static const struct name names[] = {
		{ "SECCOMP_FILTER_FLAG_TSYNC", 0 },
		{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
		{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
		{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV },
	};
	uint32_t flags = 0, one;
	char where[64];
	json_t *flag;
	size_t i;

	json_array_foreach(cx_json_at(profile, "flags"), i, flag) {
		const char *name = json_string_value(flag);

		if (find(names, CX_ARRAY_SIZE(names), name, &one) < 0) {
			snprintf(where, sizeof where, WHERE ".flags[%zu]", i);
			return cx_refuse(err, -EINVAL, where, name, "use SECCOMP_FILTER_FLAG_LOG,"
				" _SPEC_ALLOW, _TSYNC or _WAIT_KILLABLE_RECV");
		}
		flags |= one;
	}
	/* how to wait for an answer: without a listener the kernel refuses it, runc drops it */
	*ret = cx_seccomp_asks(profile) ? flags | SECCOMP_FILTER_FLAG_NEW_LISTENER
		: flags & ~(uint32_t)SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	return 0;
}

/* "SCMP_ARCH_X86_64" -> libseccomp's "x86_64" -> its token; 0: unknown to it. */
static uint32_t architecture_of(const char *name)
{
	static const char prefix[] = "SCMP_ARCH_";
	char lower[32];
	size_t n = 0;

	if (!name || strncmp(name, prefix, sizeof prefix - 1))
		return 0;
	for (name += sizeof prefix - 1; name[n] && n < sizeof lower - 1; n++)
		lower[n] = (char)tolower((unsigned char)name[n]);
	lower[n] = '\0';
	return seccomp_arch_resolve_name(lower);
}

static int add_architectures(scmp_filter_ctx filter, const json_t *profile,
	conex_error **err)
{
	char where[64];
	json_t *name;
	size_t i;

	json_array_foreach(cx_json_at(profile, "architectures"), i, name) {
		uint32_t token = architecture_of(json_string_value(name));
		int r = token ? seccomp_arch_add(filter, token) : -EINVAL;

		if (!r || r == -EEXIST)
			continue;
		snprintf(where, sizeof where, WHERE ".architectures[%zu]", i);
		return cx_refuse(err, -EINVAL, where, json_string_value(name), r == -EDOM
			? "this machine's byte order is another: leave it out"
			: "libseccomp doesn't know it: leave it out");
	}
	return 0;
}

static int condition_of(const json_t *arg, const char *where, struct scmp_arg_cmp *ret,
	conex_error **err)
{
	static const struct name operators[] = {
		{ "SCMP_CMP_NE", SCMP_CMP_NE }, { "SCMP_CMP_LT", SCMP_CMP_LT },
		{ "SCMP_CMP_LE", SCMP_CMP_LE }, { "SCMP_CMP_EQ", SCMP_CMP_EQ },
		{ "SCMP_CMP_GE", SCMP_CMP_GE }, { "SCMP_CMP_GT", SCMP_CMP_GT },
		{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
	};
	const char *name = cx_json_text(arg, "op");
	int64_t index = cx_json_int(arg, "index", 0);
	uint32_t op;

	if (find(operators, CX_ARRAY_SIZE(operators), name, &op) < 0)
		return cx_refuse(err, -EINVAL, where, name,
			"args.op is SCMP_CMP_EQ, SCMP_CMP_NE, ...");
	if (index < 0 || index > 5)
		return cx_refuse(err, -EINVAL, where, NULL, "args.index is 0 to 5");
	ret->arg = (unsigned)index;
	ret->op = (enum scmp_compare)op;
	/* MASKED_EQ: the mask first, then what must be left of the argument */
	ret->datum_a = (scmp_datum_t)cx_json_int(arg, "value", 0);
	ret->datum_b = (scmp_datum_t)cx_json_int(arg, "valueTwo", 0);
	return 0;
}

/* A rule of the profile: some system calls, one action, conditions. */
struct rule {
	uint32_t action;
	unsigned conditions;
	int split;                      /* two conditions on one argument */
	struct scmp_arg_cmp condition[SECCOMP_RULE_CONDITIONS];
};

static int rule_of(const json_t *entry, const char *where, struct rule *ret,
	conex_error **err)
{
	unsigned seen = 0;
	json_t *arg;
	size_t i;
	int r;

	r = action_of(cx_json_text(entry, "action"), cx_json_int(entry, "errnoRet", EPERM),
		where, &ret->action, err);
	if (r < 0)
		return r;
	json_array_foreach(cx_json_at(entry, "args"), i, arg) {
		if (i >= SECCOMP_RULE_CONDITIONS)
			return cx_refuse(err, -EINVAL, where, NULL,
				"at most %d args: split the rule",
				SECCOMP_RULE_CONDITIONS);
		r = condition_of(arg, where, &ret->condition[i], err);
		if (r < 0)
			return r;
		ret->split |= seen >> ret->condition[i].arg & 1;
		seen |= 1u << ret->condition[i].arg;
		ret->conditions++;
	}
	return 0;
}

/* An equal rule that is there already is no fault. */
static int add_once(scmp_filter_ctx filter, const struct rule *rule, int number,
	unsigned first, unsigned count)
{
	int r = seccomp_rule_add_array(filter, rule->action, number, count,
		rule->condition + first);

	return r == -EEXIST ? 0 : r;
}

/* libseccomp joins conditions by "and", and takes one for each argument. Where a rule has
 * several for an argument, runc and crun add each as a rule of its own ("or"), and
 * profiles rely on it. */
static int add_call(scmp_filter_ctx filter, const struct rule *rule, int number)
{
	int r = 0;

	if (!rule->split)
		return add_once(filter, rule, number, 0, rule->conditions);
	for (unsigned i = 0; !r && i < rule->conditions; i++)
		r = add_once(filter, rule, number, i, 1);
	return r;
}

/* Adds what linux.seccomp.syscalls[index] says. Names that this libseccomp doesn't know
 * are skipped, as every runtime does: profiles name the calls of all kernels. *last is
 * the highest number seen. */
static int add_entry(scmp_filter_ctx filter, const json_t *entry, size_t index,
	uint32_t default_action, int *last, conex_error **err)
{
	struct rule rule = { 0 };
	char where[64];
	json_t *name;
	size_t i;
	int r;

	snprintf(where, sizeof where, WHERE ".syscalls[%zu]", index);
	r = rule_of(entry, where, &rule, err);
	if (r < 0)
		return r;
	json_array_foreach(cx_json_at(entry, "names"), i, name) {
		int number = seccomp_syscall_resolve_name(json_string_value(name));

		if (number > *last)
			*last = number;
		/* libseccomp refuses rules that repeat the default */
		if (number == __NR_SCMP_ERROR || rule.action == default_action)
			continue;
		r = add_call(filter, &rule, number);
		if (r == -ENOMEM)
			return cx_fail_memory(err);
		if (r < 0)
			return cx_fail(err, CONEX_STAGE_PLAN, r, "seccomp_rule_add",
				r == -EINVAL ? "this kernel may not know the action"
				: "another rule for this system call may contradict it",
				"%s %s", where, json_string_value(name));
	}
	return 0;
}

/* System calls newer than any that the profile names answer ENOSYS, not the default
 * action's errno: so C libraries fall back to older ones, where EPERM would make programs
 * fail (runc has done so since 1.0-rc93). Goes before libseccomp's program, which loads
 * the architecture itself. */
static int add_stub(struct cx_str *to, uint32_t default_action, int last)
{
	uint32_t kind = default_action & 0xffff0000u;
	struct sock_filter stub[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, seccomp_arch_native(), 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)last, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};

	if (last < 0 || default_action == SCMP_ACT_ERRNO(ENOSYS))
		return 0;
	if (kind == SCMP_ACT_ALLOW || kind == SCMP_ACT_LOG || kind == SCMP_ACT_TRACE(0))
		return 0;
	return cx_str_add(to, stub, sizeof stub);
}

/* libseccomp 2.5 exports to descriptors only. */
static int export_program(scmp_filter_ctx filter, struct cx_str *to, conex_error **err)
{
	cx_autoclose int fd = memfd_create("conex-seccomp", MFD_CLOEXEC);
	char buffer[4096];
	ssize_t n;
	int r;

	if (fd < 0)
		return cx_fail_errno(err, CONEX_STAGE_PLAN, "memfd_create", NULL, WHERE);
	r = seccomp_export_bpf(filter, fd);
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_PLAN, r, "seccomp_export_bpf", NULL, WHERE);
	if (lseek(fd, 0, SEEK_SET) < 0)
		return cx_fail_errno(err, CONEX_STAGE_PLAN, "lseek", NULL, WHERE);
	while ((n = read(fd, buffer, sizeof buffer)) > 0)
		cx_str_add(to, buffer, (size_t)n);
	if (n < 0)
		return cx_fail_errno(err, CONEX_STAGE_PLAN, "read", NULL, WHERE);
	if (to->failed)
		return cx_fail_memory(err);
	if (to->size / sizeof(struct sock_filter) > BPF_MAXINSNS)
		return cx_refuse(err, -E2BIG, WHERE, NULL,
			"the program has %zu instructions, the kernel takes %d:"
			" name fewer architectures or conditions",
			to->size / sizeof(struct sock_filter), BPF_MAXINSNS);
	return 0;
}

/* A linear program of 350 calls costs each system call; a binary tree is what keeps it
 * fast. Old versions of libseccomp can't: no fault. no_new_privs is an operation of its
 * own in the plan. */
static scmp_filter_ctx filter_new(uint32_t default_action)
{
	scmp_filter_ctx filter = seccomp_init(default_action);

	if (filter) {
		seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
		seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	}
	return filter;
}

int cx_seccomp_compile(const json_t *profile, struct cx_str *ret, uint32_t *ret_flags,
	conex_error **err)
{
	cx_cleanup(releasep) scmp_filter_ctx filter = NULL;
	uint32_t default_action = 0;
	int last = -1, r;
	json_t *entry;
	size_t i;

	r = flags_of(profile, ret_flags, err);
	if (r == 0)
		r = action_of(cx_json_text(profile, "defaultAction"),
			cx_json_int(profile, "defaultErrnoRet", EPERM),
			WHERE ".defaultAction", &default_action, err);
	if (r < 0)
		return r;
	filter = filter_new(default_action);
	if (!filter)
		return cx_fail_memory(err);
	r = add_architectures(filter, profile, err);
	if (r < 0)
		return r;
	json_array_foreach(cx_json_at(profile, "syscalls"), i, entry) {
		r = add_entry(filter, entry, i, default_action, &last, err);
		if (r < 0)
			return r;
	}
	if (add_stub(ret, default_action, last) < 0)
		return cx_fail_memory(err);
	return export_program(filter, ret, err);
}
