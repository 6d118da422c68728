/* Entering namespaces and naming things in them: what the child does right after its clone. */
#include "keeper/child.h"

#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

int cx_child_join(struct cx_child *c, const struct cx_op *op)
{
	int fd = op->arg[0] < CX_FD_COUNT ? c->fd[op->arg[0]] : -1;

	if (setns(fd, (int)op->arg[1]) < 0)
		return cx_child_fail(c, CX_CALL_setns, NULL);
	return 0;
}

int cx_child_join_path(struct cx_child *c, const struct cx_op *op)
{
	const char *path = cx_child_text(c, op->arg[0]);
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return cx_child_fail(c, CX_CALL_open, path);
	r = setns(fd, (int)op->arg[1]);
	if (r < 0)
		return cx_child_fail(c, CX_CALL_setns, path);
	close(fd);
	return 0;
}

int cx_child_unshare(struct cx_child *c, const struct cx_op *op)
{
	return unshare((int)op->arg[0]) < 0 ? cx_child_fail(c, CX_CALL_unshare, NULL) : 0;
}

/* One write: the kernel takes both clocks or none. */
int cx_child_clock_offsets(struct cx_child *c, const struct cx_op *op)
{
	return cx_child_write_proc(c, "self/timens_offsets", cx_child_text(c, op->arg[0]), 0);
}

/* Devices of the host move between the stages: the second waits for the first's one byte. */
static int wait_for_devices(struct cx_child *c, const int pair[2])
{
	char byte;

	close(pair[1]);
	if (read(pair[0], &byte, 1) != 1)
		_exit(127);             /* the first stage has said why */
	close(pair[0]);
	close(c->network);
	c->network = 0;
	return 0;
}

static void __attribute__((noreturn)) hand_over_devices(struct cx_child *c, const int pair[2],
	pid_t pid, int pidfd)
{
	int r = cx_child_move_devices(c, pid, pidfd);

	_exit(r < 0 || write(pair[1], "", 1) != 1 ? 127 : 0);
}

/* The second stage is the keeper's child as the first was (CLONE_PARENT takes the exit signal from
 * there); its pid, as the keeper sees it, is in the shared page before either goes on. What the first
 * has of /proc shows other processes than the second may see. */
int cx_child_clone(struct cx_child *c, const struct cx_op *op)
{
	int pidfd = -1, pair[2] = { -1, -1 };
	struct cx_clone_args a = { .flags = CLONE_PARENT | CLONE_PARENT_SETTID | CLONE_PIDFD | op->arg[0],
		.pidfd = (uintptr_t)&pidfd, .parent_tid = (uintptr_t)&c->status->pid };
	pid_t pid;

	if (c->proc >= 0)
		close(c->proc);
	c->proc = -1;
	if (c->network && syscall(SYS_pipe2, pair, O_CLOEXEC) < 0)
		return cx_child_fail(c, CX_CALL_open, "a pipe between the stages");
	pid = (pid_t)syscall(SYS_clone3, &a, sizeof a);
	if (pid < 0)
		return cx_child_fail(c, CX_CALL_clone3, NULL);
	if (pid > 0 && c->network)
		hand_over_devices(c, pair, pid, pidfd);
	if (pid > 0)
		_exit(0);
	return c->network ? wait_for_devices(c, pair) : 0;
}

/* Raw calls: libc's take locks to tell other threads. */
int cx_child_become_root(struct cx_child *c, const struct cx_op *op)
{
	(void)op;
	if (syscall(SYS_setresgid, 0, 0, 0) < 0)
		return cx_child_fail(c, CX_CALL_setresgid, NULL);
	if (syscall(SYS_setresuid, 0, 0, 0) < 0)
		return cx_child_fail(c, CX_CALL_setresuid, NULL);
	return 0;
}

int cx_child_loopback(struct cx_child *c, const struct cx_op *op)
{
	struct ifreq r = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)op;
	if (fd < 0)
		return cx_child_fail(c, CX_CALL_socket, NULL);
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
		return cx_child_fail(c, CX_CALL_ioctl, "SIOCSIFFLAGS lo");
	close(fd);
	return 0;
}

int cx_child_hostname(struct cx_child *c, const struct cx_op *op)
{
	const char *name = cx_child_text(c, op->arg[0]);

	return sethostname(name, strlen(name)) < 0 ? cx_child_fail(c, CX_CALL_sethostname, name) : 0;
}

int cx_child_domainname(struct cx_child *c, const struct cx_op *op)
{
	const char *name = cx_child_text(c, op->arg[0]);

	return syscall(SYS_setdomainname, name, strlen(name)) < 0
		? cx_child_fail(c, CX_CALL_setdomainname, name) : 0;
}

static const char *namespace_file(uint64_t kind)
{
	switch (kind) {
	case CLONE_NEWNS: return "/proc/self/ns/mnt";
	case CLONE_NEWNET: return "/proc/self/ns/net";
	case CLONE_NEWIPC: return "/proc/self/ns/ipc";
	case CLONE_NEWUTS: return "/proc/self/ns/uts";
	case CLONE_NEWUSER: return "/proc/self/ns/user";
	case CLONE_NEWCGROUP: return "/proc/self/ns/cgroup";
	case CLONE_NEWTIME: return "/proc/self/ns/time_for_children";
	default: return "/proc/self/ns/pid_for_children";
	}
}

/* A namespace lives as long as somebody holds it: the descriptor handed out, or the file it is bound to. The
 * file is the host's, whose mounts are out of reach from a new mount namespace: back to them for that
 * (by the descriptor that came with the launch). */
static int pin_namespace(struct cx_child *c, int fd, const char *pin)
{
	char file[] = "/proc/self/fd/..........", *digit = file + sizeof file - 1;

	if (c->fd[CX_FD_JOIN] >= 0 && setns(c->fd[CX_FD_JOIN], CLONE_NEWNS) < 0)
		return cx_child_fail(c, CX_CALL_setns, pin);
	for (*digit = '\0'; fd; fd /= 10)
		*--digit = (char)('0' + fd % 10);
	memmove(file + strlen("/proc/self/fd/"), digit, strlen(digit) + 1);
	return mount(file, pin, NULL, MS_BIND, NULL) < 0 ? cx_child_fail(c, CX_CALL_mount, pin) : 0;
}

int cx_child_give_namespace(struct cx_child *c, const struct cx_op *op)
{
	const char *pin = cx_child_text(c, op->arg[1]), *file = namespace_file(op->arg[0]);
	int fd = open(file, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return cx_child_fail(c, CX_CALL_open, file);
	if (pin && (r = pin_namespace(c, fd, pin)) < 0)
		return r;
	return cx_child_give(c, fd);
}

int cx_child_give_socket(struct cx_child *c, const struct cx_op *op)
{
	int fd = socket((int)op->arg[0], (int)op->arg[1] | SOCK_CLOEXEC, (int)op->arg[2]);

	return fd < 0 ? cx_child_fail(c, CX_CALL_socket, NULL) : cx_child_give(c, fd);
}
