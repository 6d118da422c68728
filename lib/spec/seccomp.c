/* The meaning of a spec's seccomp filter; what compiles filters is security/. */
#include "spec/check.h"

#include <stdio.h>

/* The kernel's MAX_ERRNO; it would cut a larger one. A tracer gets all 16 bits. */
#define ERRNO_MAX 4095

static int check_errno(const char *action, const json_t *number, const char *where,
	conex_error **err)
{
	int traced = !strcmp(action, "SCMP_ACT_TRACE");

	if (!number || json_is_null(number))
		return 0;
	if (!traced && strcmp(action, "SCMP_ACT_ERRNO"))
		return cx_spec_bad(err, number, "only SCMP_ACT_ERRNO and SCMP_ACT_TRACE "
			"return a number: remove it", "%s", where);
	if (!traced && json_integer_value(number) > ERRNO_MAX)
		return cx_spec_bad(err, number, "an errno is at most 4095", "%s", where);
	return 0;
}

static int check_names(const json_t *call, size_t c, conex_error **err)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(call, "names"), i, item) {
		const char *name = json_string_value(item);

		if (!*name || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")])
			return cx_spec_bad(err, item,
				"a system call's name is written \"openat2\"",
				"linux.seccomp.syscalls[%zu].names[%zu]", c, i);
	}
	return 0;
}

/* Every system call would wait for an answer, the one that starts the program, too. */
static int check_default(const json_t *seccomp, conex_error **err)
{
	const char *action = cx_json_text(seccomp, "defaultAction");

	if (!action || strcmp(action, "SCMP_ACT_NOTIFY"))
		return 0;
	return cx_spec_bad(err, json_object_get(seccomp, "defaultAction"),
		"nothing could start: name the system calls in a rule with SCMP_ACT_NOTIFY",
		"linux.seccomp.defaultAction");
}

int cx_spec_check_seccomp(const json_t *root, conex_error **err)
{
	const json_t *seccomp = cx_json_at(root, "linux.seccomp"), *number;
	char where[64];
	json_t *call;
	size_t i;
	int r;

	if (!seccomp)
		return 0;
	r = check_default(seccomp, err);
	if (r < 0)
		return r;
	number = json_object_get(seccomp, "defaultErrnoRet");
	r = check_errno(cx_json_text(seccomp, "defaultAction"), number,
		"linux.seccomp.defaultErrnoRet", err);
	json_array_foreach(cx_json_at(seccomp, "syscalls"), i, call) {
		snprintf(where, sizeof where, "linux.seccomp.syscalls[%zu].errnoRet", i);
		if (r == 0)
			r = check_errno(cx_json_text(call, "action"),
				json_object_get(call, "errnoRet"), where, err);
		if (r == 0)
			r = check_names(call, i, err);
	}
	if (r == 0 && cx_json_at(seccomp, "listenerMetadata")
		&& !cx_json_at(seccomp, "listenerPath"))
		r = cx_spec_bad(err, json_object_get(seccomp, "listenerMetadata"),
			"it is sent to linux.seccomp.listenerPath, which is missing",
			"linux.seccomp.listenerMetadata");
	return r;
}
