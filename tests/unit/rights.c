/* lib/security in the child: its operations run for real, in forked processes. */
#include "security.h"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "security/child.c"     /* lives in the keeper program, not in the library */

/* What the keeper program would be to child.c. */
int cx_child_fail(struct cx_child *c, enum cx_call call, const char *detail)
{
	c->status->error = errno;
	c->status->call = call;
	strncpy(c->status->detail, detail, sizeof c->status->detail - 1);
	return -c->status->error;
}

int cx_child_proc(struct cx_child *c)
{
	int fs;

	if (c->proc >= 0)
		return c->proc;
	fs = cx_sys_fsopen("proc", FSOPEN_CLOEXEC);
	if (fs < 0 || cx_sys_fsconfig(fs, CX_FSCONFIG_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	c->proc = cx_sys_fsmount(fs, FSMOUNT_CLOEXEC, 0);
	close(fs);
	return c->proc;
}

/* A keeper that takes no listener: what the filter asks about is answered by ENOSYS. */
int cx_child_listener_begin(struct cx_child *c, uint64_t how)
{
	c->status->fetched = how == 0;
	return 0;
}

int cx_child_listener_end(struct cx_child *c, uint64_t how, int listener)
{
	if (how == 0 && c->status->fetched && fcntl(listener, F_GETFD) == FD_CLOEXEC)
		return close(listener);
	return -EINVAL;
}

/* valgrind answers seccomp(2) and openat2(2) with ENOSYS: nothing here can work then. */
static int kernel_hidden(void)
{
	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, NULL) < 0 && errno == ENOSYS;
}

/* Runs all operations of a plan, as the child does. */
static int run_plan(const struct cx_plan *plan, struct cx_status *status)
{
	static const struct cx_launch no_launch;
	struct cx_child c = { .plan = plan, .launch = &no_launch, .status = status,
		.proc = -1 };
	const struct cx_op *op = (const struct cx_op *)(plan + 1);
	int r = 0;

	for (uint32_t n = 0; !r && n < plan->operations; n++)
		switch (op[n].code) {
#define RUN_OP(name) case CX_OP_##name: r = cx_child_##name(&c, &op[n]); break;
		RUN_OP(sysctl) RUN_OP(rlimit) RUN_OP(oom_score) RUN_OP(no_new_privileges) RUN_OP(seccomp)
		RUN_OP(bounding) RUN_OP(identity) RUN_OP(capabilities) RUN_OP(ambient)
#undef RUN_OP
		default: break;         /* death_signal is the namespace module's */
		}
	return r;
}

static int wait_for(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* A system call and the errno that it must end in; 0: any but EPERM, ENOSYS and EACCES
 * (it got through). */
struct attempt {
	long number;
	long a, b;
	int want;
};

static int fits(const struct attempt *t, int error)
{
	if (t->want)
		return error == t->want;
	return error != EPERM && error != ENOSYS && error != EACCES;
}

/* A sanitizer's _exit makes system calls that our filters refuse. */
static void leave(int code)
{
	syscall(SYS_exit_group, code);
}

/* In a child with the seccomp part of a plan alone: ids and capabilities need root. 0, or
 * which failed. */
static int attempts(const char *filter, const struct attempt *list)
{
	struct cx_str spec = { 0 };
	struct cx_plan *plan;
	pid_t pid;

	cx_str_addf(&spec,
		"{'linux': {'seccomp': {%s}}, 'process': {'noNewPrivileges': true}}", filter);
	plan = plan_of(spec.data);
	cx_str_free(&spec);
	pid = fork();
	if (pid == 0) {
		struct cx_op *op = (struct cx_op *)(plan + 1);
		struct cx_status status = { 0 };

		for (uint32_t n = 0; n < plan->operations; n++)
			if (op[n].code != CX_OP_seccomp
				&& op[n].code != CX_OP_no_new_privileges)
				op[n].code = CX_OP_death_signal;
		if (run_plan(plan, &status) < 0)
			_exit(200);
		for (int n = 0; list[n].number >= 0; n++) {
			errno = 0;
			if (syscall(list[n].number, list[n].a, list[n].b, 0, 0, 0,
				0) >= 0)
				errno = 0;
			if (!fits(&list[n], errno))
				leave(n + 1);
		}
		leave(0);
	}
	free(plan);
	return wait_for(pid);
}

#define END { -1, 0, 0, 0 }

/* Like the default profile: what isn't named is refused, some calls by their
 * arguments. */
TEST(filter_default)
{
	static const struct attempt list[] = {
		{ SYS_getppid, 0, 0, 0 },
		{ SYS_chroot, 0, 0, EPERM },
		{ SYS_personality, 0xffffffff, 0, 0 },
		{ SYS_personality, 0x20, 0, EPERM },
		{ SYS_socket, AF_UNIX, SOCK_STREAM, 0 },
		{ SYS_socket, 40 /* AF_VSOCK */, SOCK_STREAM, EPERM },
		{ SYS_unshare, 0, 0, 0 },               /* masked: no namespace flag */
		{ SYS_unshare, CLONE_NEWUSER, 0, EPERM },
		{ SYS_clone3, 0, 0, ENOSYS },           /* its own errnoRet */
		{ SYS_mount, 0, 0, EPERM },
		{ 1000, 0, 0, ENOSYS },                 /* newer than anything named */
		{ 0x3fffffff, 0, 0, ENOSYS },
		END
	};

	if (kernel_hidden())
		SKIP("valgrind hides the kernel");
	CHECK_INT(attempts(
		"'defaultAction': 'SCMP_ACT_ERRNO', 'defaultErrnoRet': 1, 'architectures': "
		"['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'], 'flags': "
		"['SECCOMP_FILTER_FLAG_TSYNC', 'SECCOMP_FILTER_FLAG_LOG'], 'syscalls': ["
		"{'names': ['exit_group', 'getppid', 'no_such_call', 'getppid'], 'action': "
		"'SCMP_ACT_ALLOW'}, {'names': ['personality'], 'action': 'SCMP_ACT_ALLOW', 'args': "
		"[{'index': 0, 'value': 4294967295, 'op': 'SCMP_CMP_EQ'}]}, "
		"{'names': ['socket'], 'action': 'SCMP_ACT_ALLOW', 'args': "
		"[{'index': 0, 'value': 40, 'op': 'SCMP_CMP_NE'}]}, "
		"{'names': ['unshare'], 'action': 'SCMP_ACT_ALLOW', 'args': [{'index': 0, "
		"'value': 2114060288, 'valueTwo': 0, 'op': 'SCMP_CMP_MASKED_EQ'}]}, "
		"{'names': ['clone3'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 38}, "
		"{'names': ['mount'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 1}]", list), 0);
}

/* Everything is allowed but what is named; no stub for newer calls then. */
TEST(filter_permissive)
{
	static const struct attempt list[] = {
		{ SYS_getppid, 0, 0, EBADF },
		{ SYS_getpgid, 5, 0, EXDEV },           /* two conditions on one argument are "or" */
		{ SYS_getpgid, 6, 0, EXDEV },
		{ SYS_getpgid, 0, 0, 0 },
		{ SYS_kill, 0, 0, EDOM },               /* conditions on two arguments are "and" */
		{ SYS_kill, 0x7fffffff, 0, 0 },
		END
	};

	if (kernel_hidden())
		SKIP("valgrind hides the kernel");
	CHECK_INT(attempts("'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': ["
		"{'names': ['getppid'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 9}, "
		"{'names': ['getpgid'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 18, 'args': ["
		"{'index': 0, 'value': 5, 'op': 'SCMP_CMP_EQ'}, "
		"{'index': 0, 'value': 6, 'op': 'SCMP_CMP_EQ'}]}, "
		"{'names': ['kill'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 33, 'args': ["
		"{'index': 0, 'value': 10, 'op': 'SCMP_CMP_LE'}, "
		"{'index': 1, 'value': 0, 'op': 'SCMP_CMP_EQ'}]}]", list), 0);
}

/* By number and by argument; the call that isn't asked about gets through. */
TEST(filter_asks)
{
	static const struct attempt list[] = {
		{ SYS_getppid, 0, 0, ENOSYS },
		{ SYS_socket, AF_UNIX, SOCK_STREAM, 0 },
		{ SYS_socket, AF_INET, SOCK_STREAM, ENOSYS },
		END
	};

	if (kernel_hidden())
		SKIP("valgrind hides the kernel");
	CHECK_INT(attempts("'defaultAction': 'SCMP_ACT_ALLOW', 'flags': ['SECCOMP_FILTER_FLAG_LOG'], 'syscalls': ["
		"{'names': ['getppid'], 'action': 'SCMP_ACT_NOTIFY'}, "
		"{'names': ['socket'], 'action': 'SCMP_ACT_NOTIFY', 'args': "
		"[{'index': 0, 'value': 2, 'op': 'SCMP_CMP_EQ'}]}]", list), 0);
}

TEST(filter_kills)
{
	static const struct attempt list[] = { { SYS_getppid, 0, 0, 0 }, END };

	if (kernel_hidden())
		SKIP("valgrind hides the kernel");
	CHECK_INT(attempts("'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [{'names': ['getppid'], "
		"'action': 'SCMP_ACT_KILL_PROCESS'}]", list), 1000 + SIGSYS);
}

/* Runs a whole plan in a forked child, then looks at what it became there. The exit code,
 * 0: fine. */
static int become(const char *spec, int namespaces,
	int (*look)(const struct cx_status *status, int result))
{
	struct cx_plan *plan = plan_of(spec);
	pid_t pid = fork();

	if (pid == 0) {
		struct cx_status status = { 0 };
		int r;

		if (namespaces && unshare(namespaces) < 0)
			_exit(201);
		r = run_plan(plan, &status);
		if (r < 0)
			fprintf(stderr, "# %s: %s (call %u)\n", status.detail,
				strerror(-r), status.call);
		_exit(look(&status, r));
	}
	free(plan);
	return wait_for(pid);
}

static int status_line_is(const char *key, const char *want)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	int same = 0;

	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, key, strlen(key))) {
			line[strcspn(line, "\n")] = '\0';
			same = !strcmp(line + strlen(key), want);
			if (!same)
				printf("# %s\n", line);
		}
	if (f)
		fclose(f);
	return same;
}

static int is_user(const struct cx_status *status, int result)
{
	struct rlimit limit;

	(void)status;
	if (result < 0)
		return 1;
	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur != 64 || limit.rlim_max != 128)
		return 2;
	if (!status_line_is("Uid:\t", "1000\t1000\t1000\t1000")
		|| !status_line_is("Gid:\t", "1001\t1001\t1001\t1001"))
		return 3;
	if (!status_line_is("Groups:\t", "5 6 ") || !status_line_is("Umask:\t", "0027"))
		return 4;
	if (!status_line_is("CapBnd:\t", "0000000000000421")
		|| !status_line_is("CapPrm:\t", "0000000000000421"))
		return 5;
	if (!status_line_is("CapEff:\t", "0000000000000020")
		|| !status_line_is("CapInh:\t", "0000000000000400"))
		return 6;
	if (!status_line_is("CapAmb:\t", "0000000000000400")
		|| !status_line_is("NoNewPrivs:\t", "1"))
		return 7;
	return 0;
}

TEST(rights_of_a_user)
{
	if (geteuid())
		SKIP("needs root");
	if (kernel_hidden())
		SKIP("valgrind hides the kernel");
	CHECK_INT(become("{'process': {'noNewPrivileges': true, 'user': {'uid': 1000, 'gid': 1001, "
		"'umask': 23, 'additionalGids': [5, 6]}, 'rlimits': [{'type': 'RLIMIT_NOFILE', "
		"'soft': 64, 'hard': 128}], 'oomScoreAdj': 500, 'capabilities': {"
		"'bounding': ['CAP_CHOWN', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'], "
		"'permitted': ['CAP_CHOWN', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'], "
		"'effective': ['CAP_KILL'], 'inheritable': ['CAP_NET_BIND_SERVICE'], "
		"'ambient': ['CAP_NET_BIND_SERVICE', 'CAP_KILL']}}}", 0, is_user),
		0);
}

static int has_nothing(const struct cx_status *status, int result)
{
	(void)status;
	if (result < 0)
		return 1;
	if (!status_line_is("CapBnd:\t", "0000000000000000")
		|| !status_line_is("CapPrm:\t", "0000000000000000"))
		return 2;
	return !status_line_is("CapEff:\t", "0000000000000000")
		|| !status_line_is("Groups:\t", " ");
}

TEST(rights_absent)
{
	if (geteuid())
		SKIP("needs root");
	if (kernel_hidden())
		SKIP("valgrind hides the kernel");
	CHECK_INT(become("{'process': {}}", 0, has_nothing), 0);
}

static int file_is(const char *path, const char *want)
{
	FILE *f = fopen(path, "re");
	char line[64] = "";

	if (!f || !fgets(line, sizeof line, f))
		printf("# %s can't be read\n", path);
	if (f)
		fclose(f);
	return !strcmp(line, want);
}

static int has_values(const struct cx_status *status, int result)
{
	(void)status;
	if (result < 0)
		return 1;
	return !file_is("/proc/sys/net/ipv4/ip_forward", "1\n")
		|| !file_is("/proc/self/oom_score_adj", "321\n");
}

TEST(proc_writes)
{
	if (geteuid())
		SKIP("needs root");
	if (kernel_hidden())
		SKIP("valgrind hides the kernel");
	CHECK_INT(become("{'process': {'oomScoreAdj': 321}, 'linux': {'sysctl': "
		"{'net.ipv4.ip_forward': '1'}}}", CLONE_NEWNET, has_values), 0);
}

/* What fails names the call and the object. */
static int no_such_sysctl(const struct cx_status *status, int result)
{
	return result != -ENOENT || status->call != CX_CALL_openat2
		|| strcmp(status->detail, "sys/net/unheard/of");
}

static int limit_too_high(const struct cx_status *status, int result)
{
	return result != -EPERM || status->call != CX_CALL_prlimit
		|| strcmp(status->detail, "RLIMIT_CORE");
}

static int lacks_capability(const struct cx_status *status, int result)
{
	return result != -EPERM || status->call != CX_CALL_capset
		|| strcmp(status->detail, "CAP_SYS_RESOURCE");
}

TEST(failures_are_named)
{
	struct rlimit none = { 0, 0 };

	if (geteuid())
		SKIP("needs root");
	if (kernel_hidden())
		SKIP("valgrind hides the kernel");
	CHECK_INT(become("{'linux': {'sysctl': {'net.unheard.of': '1'}}}",
		CLONE_NEWNET,
		no_such_sysctl), 0);
	if (!missing(1 << CAP_SYS_RESOURCE))
		SKIP("the rest needs root without CAP_SYS_RESOURCE");
	setrlimit(RLIMIT_CORE, &none);
	CHECK_INT(become("{'process': {'rlimits': [{'type': 'RLIMIT_CORE', 'soft': 1, "
		"'hard': 1}]}}", 0, limit_too_high), 0);
	CHECK_INT(become("{'process': {'capabilities': {'permitted': ['CAP_KILL', "
		"'CAP_SYS_RESOURCE']}}}", 0, lacks_capability), 0);
}

int main(void)
{
	RUN(filter_default);
	RUN(filter_permissive);
	RUN(filter_asks);
	RUN(filter_kills);
	RUN(rights_of_a_user);
	RUN(rights_absent);
	RUN(proc_writes);
	RUN(failures_are_named);
	return test_end();
}
