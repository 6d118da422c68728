/* A failed operation, an index and an errno from inside, becomes words: the plan knows what it was about. */
#include "container/container.h"
#include "base/ids.h"
#include "plan/build.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define CX_CALL(name) [CX_CALL_##name] = #name,
static const char *const call_names[CX_CALL_COUNT] = { CX_CALLS(CX_CALL) };
#undef CX_CALL

const char *cx_call_name(uint32_t call)
{
	return call > CX_CALL_none && call < CX_CALL_COUNT ? call_names[call] : "";
}

/* What mends it, where experience tells; the first row that fits. 0 in a column fits all. */
static const struct { uint32_t op; int error; const char *hint; } hints[] = {
	{ CX_OP_exec, ENOENT, "the program isn't in the root file system, or its interpreter or library loader isn't" },
	{ CX_OP_exec, EACCES, "it must be a regular file with the x bit that the user may execute, on a mount without noexec" },
	{ CX_OP_exec, ENOEXEC, "it is no program of this machine's architecture, or a script without #!" },
	{ CX_OP_chdir, ENOENT, "name a working directory that the root file system has" },
	{ CX_OP_chdir, ELOOP, "name it by its path, not by a link of /proc/PID/fd" },
	{ CX_OP_rlimit, EPERM, "raising a hard limit takes CAP_SYS_RESOURCE: ask for no more than the caller has" },
	{ CX_OP_inherit, EDQUOT, "the user's quota of keys is used up: raise kernel.keys.maxkeys, or set process.newKeyring to false" },
	{ CX_OP_seccomp, EBUSY, "something around it listens to its system calls already, and the kernel lets only one" },
	{ CX_OP_seccomp, EPERM, "it takes CAP_SYS_ADMIN, or process.noNewPrivileges; with SCMP_ACT_NOTIFY also CAP_SYS_PTRACE" },
	{ CX_OP_seccomp, ETIMEDOUT, "the keeper has gone" },
	{ CX_OP_clock_offsets, ERANGE, "a clock can't go below zero, nor near its end" },
	{ CX_OP_scheduler, EPERM, "it takes CAP_SYS_NICE on the host; realtime in cgroup v1 also linux.resources.cpu.realtimeRuntime" },
	{ CX_OP_scheduler, EBUSY, "the processors have no such bandwidth left, or a cpuset is in the way" },
	{ CX_OP_affinity, EINVAL, "none of these processors is the container's" },
	{ CX_OP_memory_policy, EINVAL, "name memory nodes that the machine has and the container's cpuset allows" },
	{ CX_OP_oom_score, EACCES, "lowering it takes CAP_SYS_RESOURCE" },
	{ CX_OP_root_of, ENOTTY, "this kernel is too old to find it: Linux 6.13" },
	{ CX_OP_mount_source, EINVAL, "a directory goes on a directory, a file on a file" },
	{ CX_OP_mount_new, EPERM, "the kernel allows it only with pid, net or user namespaces of its own (share)" },
	{ CX_OP_mount_new, EINVAL, "an option that this kernel's file system doesn't know" },
	{ CX_OP_idmap, EINVAL, "the file system can't be mounted with mapped ids, or the map is none" },
	{ CX_OP_idmap, EPERM, "mapping ids takes CAP_SYS_ADMIN in the user namespace that the file system belongs to" },
	{ CX_OP_source, EINVAL, "in a user namespace what is mounted below it can't be left behind: use rbind" },
	{ CX_OP_source, ENOENT, "name a source that is there" },
	{ CX_OP_sysctl, ENOENT, "this kernel has no such sysctl in a namespace" },
	{ CX_OP_network, ENOENT, "limits of bandwidth take a kernel with token buckets (CONFIG_NET_SCH_TBF, module sch_tbf)" },
	{ CX_OP_cgroup_attach, ENOSPC, "its cpuset has no processors or memory nodes" },
	{ CX_OP_join, EINVAL, "the namespace can't be joined from here" },
	{ 0, EPERM, "it takes a capability that the caller doesn't have" },
	{ 0, EMFILE, "too many descriptors: raise RLIMIT_NOFILE" },
	{ 0, ENOSPC, "a limit of the kernel (user.max_..._namespaces, fs.mount-max) is reached" },
	{ 0, EAGAIN, "the limit of processes is reached" },
};

static const char *hint_for(uint32_t op, int error)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(hints); i++)
		if ((!hints[i].op || hints[i].op == op) && hints[i].error == error)
			return hints[i].hint;
	return NULL;
}

static const struct cx_op *operation(const conex_plan *plan, uint32_t index)
{
	return index < plan->bytes->operations ? (const struct cx_op *)(plan->bytes + 1) + index : NULL;
}

/* Ended by a signal between clone and exec: nothing failed, something killed it. */
static void died(const struct cx_op *op, int status, conex_error **err)
{
	int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	cx_fail(err, CONEX_STAGE_CHILD, -ECHILD, NULL, sig == SIGKILL
		? "it was killed, or its memory limit is too low to start it" : NULL,
		sig ? "ended by signal %d during %s" : "ended with %d during %s",
		sig ? sig : WEXITSTATUS(status), op ? cx_op_name(op->code) : "its start");
}

void cx_words_failed(const conex_plan *plan, const struct cx_message *m, conex_error **err)
{
	const struct cx_op *op = operation(plan, m->failed.op);
	const char *object = op && op->object ? (const char *)plan->bytes + op->object : NULL;
	const char *detail = m->failed.detail;

	if (!m->failed.error) {
		died(op, m->failed.status, err);
		return;
	}
	if (!op) {
		cx_fail(err, CONEX_STAGE_LAUNCH, -m->failed.error, cx_call_name(m->failed.call),
			m->failed.error == EPERM && cx_ids_rootless()
			? "this system lets users have no user namespaces (sysctl kernel.unprivileged_userns_clone, a chroot)"
			: hint_for(0, m->failed.error), "the keeper");
		return;
	}
	if (object && strstr(object, detail))   /* said already */
		detail = "";
	cx_fail(err, op->code == CX_OP_exec ? CONEX_STAGE_EXEC : CONEX_STAGE_CHILD, -m->failed.error,
		cx_call_name(m->failed.call), hint_for(op->code, m->failed.error), "%s%s%s",
		object ? object : cx_op_name(op->code), *detail ? " " : "", detail);
}
