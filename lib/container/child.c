/* Hooks that run inside: createContainer before the root is pivoted, startContainer right before the
 * program. Their state's JSON comes prepared; only status and pid are added here. */
#include "keeper/child.h"

#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

static int write_text(int fd, const char *text)
{
	size_t size = strlen(text);

	return write(fd, text, size) == (ssize_t)size ? 0 : -1;
}

/* "pid" as the host sees it: the keeper has put it into the shared page. */
static int write_pid(int fd, int pid)
{
	char digits[12], *p = digits + sizeof digits - 1;

	*p = '\0';
	do
		*--p = (char)('0' + pid % 10);
	while (pid /= 10);
	return write_text(fd, p);
}

/* A file, not a pipe: a hook that doesn't read it harms nobody. */
static int state_file(struct cx_child *c, const struct cx_op *op)
{
	int fd = memfd_create("state", MFD_CLOEXEC);

	if (fd < 0 || write_text(fd, cx_child_text(c, op->arg[5])) < 0
	    || write_text(fd, "\"status\":\"") < 0 || write_text(fd, cx_child_text(c, op->arg[3])) < 0
	    || write_text(fd, "\",\"pid\":") < 0 || write_pid(fd, c->status->pid) < 0
	    || write_text(fd, "}") < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return fd;
}

static void __attribute__((noreturn)) execute(struct cx_child *c, const struct cx_op *op, int state)
{
	uint32_t args = cx_child_count(c, op->arg[1]), env = cx_child_count(c, op->arg[2]);
	const char *argv[args + 2], *envp[env + 1];
	sigset_t none;

	argv[0] = cx_child_text(c, op->arg[0]);
	for (uint32_t i = 0; i < args; i++)
		argv[i] = cx_child_item(c, op->arg[1], i);
	argv[args ? args : 1] = NULL;
	for (uint32_t i = 0; i < env; i++)
		envp[i] = cx_child_item(c, op->arg[2], i);
	envp[env] = NULL;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(state, 0) >= 0) {
		cx_sys_close_range(3, ~0U, 0);  /* the program's own are not a hook's */
		execve(cx_child_text(c, op->arg[0]), (char *const *)argv, (char *const *)envp);
	}
	_exit(127);
}

static int wait_for(struct cx_child *c, pid_t pid, int pidfd, uint64_t seconds, const char *path)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int status = 0, late;

	do
		late = poll(&p, 1, seconds && seconds < 2000000 ? (int)seconds * 1000 : -1);
	while (late < 0 && errno == EINTR);
	if (late == 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	close(pidfd);
	errno = late == 0 ? ETIMEDOUT : ECANCELED;
	return late == 0 || status ? cx_child_fail(c, CX_CALL_none, path) : 0;
}

int cx_child_hook(struct cx_child *c, const struct cx_op *op)
{
	struct cx_clone_args a = { .flags = CLONE_PIDFD, .exit_signal = SIGCHLD };
	int state = state_file(c, op), pidfd = -1;
	pid_t pid;

	if (state < 0)
		return cx_child_fail(c, CX_CALL_write, "the hook's state");
	a.pidfd = (uintptr_t)&pidfd;
	pid = (pid_t)syscall(SYS_clone3, &a, sizeof a);
	if (pid < 0)
		return cx_child_fail(c, CX_CALL_clone3, cx_child_text(c, op->arg[0]));
	if (pid == 0)
		execute(c, op, state);
	close(state);
	return wait_for(c, pid, pidfd, op->arg[4], cx_child_text(c, op->arg[0]));
}
