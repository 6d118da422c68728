/* linux.seccomp of a config.json -> the BPF program that libseccomp makes of it, as a binary tree. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <seccomp.h>
#include "subject.h"

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

static uint32_t action_of(const char *name, const json_t *errno_ret)
{
	uint32_t code = errno_ret ? (uint32_t)json_integer_value(errno_ret) : EPERM;

	if (!strcmp(name, "SCMP_ACT_ALLOW"))
		return SCMP_ACT_ALLOW;
	if (!strcmp(name, "SCMP_ACT_ERRNO"))
		return SCMP_ACT_ERRNO(code);
	if (!strcmp(name, "SCMP_ACT_LOG"))
		return SCMP_ACT_LOG;
	return !strcmp(name, "SCMP_ACT_KILL_PROCESS") ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_KILL_THREAD;
}

static enum scmp_compare compare_of(const char *name)
{
	static const char *const names[] = { /* in the order of enum scmp_compare, from 1 */
		"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE",
		"SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ",
	};

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(name, names[i]))
			return (enum scmp_compare)(i + 1);
	return SCMP_CMP_EQ;
}

static void add_architectures(scmp_filter_ctx filter, const json_t *list)
{
	size_t i;
	json_t *name;
	char lower[32];

	json_array_foreach(list, i, name) {
		const char *from = json_string_value(name);
		size_t n = 0;

		if (!from || strncmp(from, "SCMP_ARCH_", 10))
			continue;
		for (from += 10; *from && n < sizeof lower - 1; from++)
			lower[n++] = *from >= 'A' && *from <= 'Z' ? (char)(*from + 32) : *from;
		lower[n] = '\0';
		seccomp_arch_add(filter, seccomp_arch_resolve_name(lower));
	}
}

static int add_rule(scmp_filter_ctx filter, const json_t *rule, uint32_t standard)
{
	uint32_t action = action_of(text(rule, "action"), json_object_get(rule, "errnoRet"));
	struct scmp_arg_cmp arg[6];
	unsigned args = 0;
	json_t *element;
	size_t i;

	json_array_foreach(json_object_get(rule, "args"), i, element)
		if (args < 6)
			arg[args++] = (struct scmp_arg_cmp){
				(unsigned)json_integer_value(json_object_get(element, "index")),
				compare_of(text(element, "op")),
				(scmp_datum_t)json_integer_value(json_object_get(element, "value")),
				(scmp_datum_t)json_integer_value(json_object_get(element, "valueTwo")) };
	if (action == standard) /* libseccomp refuses those */
		return 0;
	json_array_foreach(json_object_get(rule, "names"), i, element) {
		int number = seccomp_syscall_resolve_name(json_string_value(element));
		int result = number == __NR_SCMP_ERROR ? 0
			: seccomp_rule_add_array(filter, action, number, args, arg);

		if (result < 0 && result != -EEXIST)
			return result;
	}
	return 0;
}

static int export(scmp_filter_ctx filter, struct sock_fprog *ret)
{
	int fd = memfd_create("filter", MFD_CLOEXEC), result = fd < 0 ? -errno : 0;
	struct stat st = { .st_size = 0 };
	struct sock_filter *program = NULL;

	if (result == 0)
		result = seccomp_export_bpf(filter, fd);
	if (result == 0 && fstat(fd, &st) == 0)
		program = malloc((size_t)st.st_size);
	if (program && pread(fd, program, (size_t)st.st_size, 0) == st.st_size) {
		ret->len = (unsigned short)((size_t)st.st_size / sizeof *program);
		ret->filter = program;
	} else if (result == 0) {
		free(program);
		result = -EIO;
	}
	if (fd >= 0)
		close(fd);
	return result;
}

int setup_filter(const json_t *seccomp, struct sock_fprog *ret)
{
	uint32_t standard = action_of(text(seccomp, "defaultAction"),
		json_object_get(seccomp, "defaultErrnoRet"));
	scmp_filter_ctx filter;
	json_t *rule;
	size_t i;
	int result = 0;

	if (!json_is_object(seccomp))
		return 0;
	filter = seccomp_init(standard);
	if (!filter)
		return -ENOMEM;
	add_architectures(filter, json_object_get(seccomp, "architectures"));
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	json_array_foreach(json_object_get(seccomp, "syscalls"), i, rule)
		if (result == 0)
			result = add_rule(filter, rule, standard);
	if (result == 0)
		result = export(filter, ret);
	seccomp_release(filter);
	return result;
}
