/* The peak of a call and of all processes that it starts, read from the kernel (VmHWM) when each process is about to end.
 * Not rusage: its maximum begins with that of the process that spawned it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include "peak.h"

long bench_peak_of(pid_t pid)
{
	char path[64], line[256];
	long kib = 0;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, "VmHWM: %ld", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib;
}

/* One stop of one thread: on it goes, with the signal that it was to get. */
static void go_on(pid_t pid, int status, long *peak)
{
	int event = status >> 16, sig = WSTOPSIG(status);

	if (event == PTRACE_EVENT_EXIT) {
		long kib = bench_peak_of(pid);

		*peak = kib > *peak ? kib : *peak;
	}
	/* what a new child begins with, and what ptrace itself says, isn't for the program */
	ptrace(PTRACE_CONT, pid, NULL, event || sig == SIGTRAP || sig == SIGSTOP ? 0 : sig);
}

/* All that is waited for is followed: this process has no other child. */
static long follow(pid_t first, int counts_first)
{
	const long options = PTRACE_O_TRACEEXIT | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK
		| PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	int status, ended = -1;
	long peak = 0, nothing = 0;
	pid_t pid;

	if (waitpid(first, &status, __WALL) < 0 || !WIFSTOPPED(status))
		return -ECHILD;
	ptrace(PTRACE_SETOPTIONS, first, NULL, options);
	ptrace(PTRACE_CONT, first, NULL, 0);
	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		if (WIFSTOPPED(status))
			go_on(pid, status, pid == first && !counts_first ? &nothing : &peak);
		else if (pid == first)
			ended = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
	return ended ? -1000 - ended : peak;
}

static _Noreturn void tracer(int (*call)(void *data), void *data, int counts_caller, int to)
{
	pid_t first = fork();
	long peak;

	if (first == 0) {
		close(to);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(call(data) == 0 ? 0 : 1);
	}
	peak = first < 0 ? -errno : follow(first, counts_caller);
	_exit(write(to, &peak, sizeof peak) != sizeof peak);
}

long bench_peak(int (*call)(void *data), void *data, int counts_caller)
{
	long peak = -EIO;
	int pipe[2];
	pid_t pid;

	fflush(stdout);
	if (pipe2(pipe, O_CLOEXEC) < 0)
		return -errno;
	if ((pid = fork()) == 0)
		tracer(call, data, counts_caller, pipe[1]);
	close(pipe[1]);
	if (pid < 0 || read(pipe[0], &peak, sizeof peak) != sizeof peak)
		peak = -EIO;
	close(pipe[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return peak;
}
