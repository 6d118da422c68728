/* Profiles whose rules ask somebody (SCMP_ACT_NOTIFY): what they can't ask about. Between its filter and its
 * program a container makes system calls itself, while whoever could answer waits for it to start. */
#include "security/seccomp.h"

#include <stdio.h>
#include <string.h>
#include "base/error.h"
#include "spec/spec.h"

#define LAST (CX_FILTER_LAST | CX_FILTER_BEFORE_START | CX_FILTER_BEFORE_RIGHTS)
#define START (CX_FILTER_BEFORE_START | CX_FILTER_BEFORE_RIGHTS)
#define RIGHTS CX_FILTER_BEFORE_RIGHTS
#define IF_INIT 0x10
#define IF_HOOKS 0x20           /* startContainer */

/* By the operations behind each place (lib/keeper/child.c, lib/security/child.c, lib/container/child.c), as glibc
 * and musl make them on x86-64 and arm64; tests/system/broker.c tries every other system call there is. */
static const struct {
	const char *names;      /* of system calls, each with a blank on both sides */
	unsigned when;
} needed[] = {
	{ " rt_sigprocmask execve exit exit_group clock_gettime ", LAST },
	{ " close read write sendmsg recvfrom accept accept4 prctl ", START },
	{ " access faccessat faccessat2 stat newfstatat statx ", START },
	{ " setgroups setresuid setresgid capget capset umask poll ppoll ", RIGHTS },
	{ " open openat openat2 fsopen fsconfig fsmount fstat fstatfs ", RIGHTS },
	{ " clone clone3 close_range rt_sigtimedwait wait4 kill ", RIGHTS | IF_INIT },
	{ " memfd_create lseek clone3 poll ppoll wait4 kill dup2 dup3 ", START | IF_HOOKS },
};

int cx_seccomp_asks(const json_t *profile)
{
	json_t *entry;
	size_t i;

	json_array_foreach(cx_json_at(profile, "syscalls"), i, entry) {
		const char *action = cx_json_text(entry, "action");

		if (action && !strcmp(action, "SCMP_ACT_NOTIFY"))
			return 1;
	}
	return 0;
}

static unsigned conditions(const json_t *spec)
{
	return (cx_json_true(spec, "process.init") ? IF_INIT : 0)
		| (json_array_size(cx_json_at(spec, "hooks.startContainer")) ? IF_HOOKS : 0);
}

static int is_needed(const char *name, enum cx_filter_place place, unsigned met)
{
	char wanted[80];

	if ((size_t)snprintf(wanted, sizeof wanted, " %s ", name) >= sizeof wanted)
		return 0;
	for (size_t i = 0; i < CX_ARRAY_SIZE(needed); i++) {
		unsigned when = needed[i].when, conditional = when & (IF_INIT | IF_HOOKS);

		if ((when & place) && (conditional & met) == conditional && strstr(needed[i].names, wanted))
			return 1;
	}
	return 0;
}

static const char *mend_for(enum cx_filter_place place)
{
	if (place == CX_FILTER_BEFORE_RIGHTS)
		return "the container calls it itself before its program: leave it out,"
			" or set process.noNewPrivileges, with which fewer are";
	return place == CX_FILTER_BEFORE_START
		? "the container calls it itself while it waits for its start: leave it out"
		: "the container starts its program with it: leave it out";
}

int cx_seccomp_check_asked(const json_t *spec, enum cx_filter_place place, conex_error **err)
{
	json_t *entry, *name;
	char where[64];
	size_t i, k;

	json_array_foreach(cx_json_at(spec, "linux.seccomp.syscalls"), i, entry) {
		const char *action = cx_json_text(entry, "action");

		if (!action || strcmp(action, "SCMP_ACT_NOTIFY"))
			continue;
		json_array_foreach(cx_json_at(entry, "names"), k, name) {
			if (!is_needed(json_string_value(name), place, conditions(spec)))
				continue;
			snprintf(where, sizeof where, "linux.seccomp.syscalls[%zu].names[%zu]", i, k);
			return cx_refuse(err, -EINVAL, where, json_string_value(name), "%s", mend_for(place));
		}
	}
	return 0;
}
