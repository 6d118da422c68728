/* The peak of a program and all that it starts, read from the kernel (VmHWM) when each process is about to end.
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
#include "oci.h"

static long peak_of(pid_t pid)
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

static _Noreturn void child(const char *program, const char *const *args, const char *log)
{
	int null = open("/dev/null", O_RDWR), to = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

	dup2(null, 0);
	dup2(null, 1);
	dup2(to, 2);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	execv(program, (char **)args);
	_exit(127);
}

/* One stop of one thread: on it goes, with the signal that it was to get. */
static void go_on(pid_t pid, int status, long *peak)
{
	int event = status >> 16, sig = WSTOPSIG(status);

	if (event == PTRACE_EVENT_EXIT) {
		long kib = peak_of(pid);

		*peak = kib > *peak ? kib : *peak;
	}
	/* what a new child begins with, and what ptrace itself says, isn't for the program */
	ptrace(PTRACE_CONT, pid, NULL, event || sig == SIGTRAP || sig == SIGSTOP ? 0 : sig);
}

long oci_peak(const char *program, const char *const *args, const char *log)
{
	const long options = PTRACE_O_TRACEEXIT | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK
		| PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	pid_t first = fork(), pid;
	int status, ended = -1;
	long peak = 0;

	if (first < 0)
		return -errno;
	if (first == 0)
		child(program, args, log);
	if (waitpid(first, &status, __WALL) < 0 || !WIFSTOPPED(status))
		return -ECHILD;
	ptrace(PTRACE_SETOPTIONS, first, NULL, options);
	ptrace(PTRACE_CONT, first, NULL, 0);
	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		if (WIFSTOPPED(status))
			go_on(pid, status, &peak);
		else if (pid == first)
			ended = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
	return ended ? -1000 - ended : peak;
}
