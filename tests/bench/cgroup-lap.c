/* What is measured: a stretch of one thread's time, or of its system calls, counted by ptrace in a process of its
 * own. Marks in the stream of system calls say where the stretch begins and ends. */
#include <errno.h>
#include <signal.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "cgroup.h"

enum { MARK_BEGIN = 0x62656769, MARK_END = 0x656e6400 };       /* no options of prctl(2) */

static int counted;
static int64_t begun;

void lap_begin(void)
{
	begun = bench_now_ns();
	if (counted)
		syscall(SYS_prctl, MARK_BEGIN, 0, 0, 0, 0);
}

double lap_end(void)
{
	if (counted)
		syscall(SYS_prctl, MARK_END, 0, 0, 0, 0);
	return (double)(bench_now_ns() - begun) / 1e3;
}

pid_t lap_process(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

void lap_process_end(pid_t pid)
{
	siginfo_t info;

	kill(pid, SIGKILL);
	waitid(P_PID, (id_t)pid, &info, WEXITED);
}

struct count { double *ret; int room, laps, inside; long calls; };

/* One system call is about to be made. */
static void entered(struct count *c, const struct __ptrace_syscall_info *info)
{
	int mark = info->entry.nr == SYS_prctl ? (int)info->entry.args[0] : 0;

	if (mark == MARK_BEGIN) {
		c->inside = 1;
		c->calls = 0;
	} else if (mark == MARK_END) {
		if (c->inside && c->laps < c->room)
			c->ret[c->laps++] = (double)c->calls;
		c->inside = 0;
	} else {
		c->calls++;
	}
}

static int follow(pid_t pid, struct count *c)
{
	int status, sig = 0;

	for (;;) {
		struct __ptrace_syscall_info info;

		if (ptrace(PTRACE_SYSCALL, pid, NULL, sig) < 0 || waitpid(pid, &status, __WALL) < 0)
			return -errno;
		if (!WIFSTOPPED(status))
			return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? c->laps : -ECHILD;
		sig = WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
		if (sig)
			continue;
		if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) > 0
			&& info.op == PTRACE_SYSCALL_INFO_ENTRY)
			entered(c, &info);
	}
}

int lap_count(int (*run)(void *data), void *data, double *ret, int room)
{
	struct count c = { .ret = ret, .room = room };
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		counted = 1;
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(run(data) < 0);
	}
	if (waitpid(pid, &status, __WALL) < 0 || !WIFSTOPPED(status))
		return -ECHILD;
	ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	return follow(pid, &c);
}
