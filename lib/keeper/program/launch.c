/* A launch: clone, then the barriers, until the program is executed or it failed. */
#include "keeper/program/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* Nothing was cloned; the host is told as of any process that has ended, when its socket takes it. */
static void refuse(struct keeper *k, struct process *p, int error, enum cx_call call)
{
	p->refused = error ? error : EINVAL;
	p->refused_call = call;
	p->state = PROCESS_ENDED;
	p->deadline_ns = 0;
	p->tell = 1U << (CX_MSG_FAILED - CX_MSG_HELLO);
	k->count--;
	host_tell(k, p);
}

void launch_failed(struct keeper *k, uint64_t id, int error, enum cx_call call)
{
	struct process *p = process_new(k, id);

	if (p)
		refuse(k, p, error, call);
}

/* ---- in the child ---- */

static void __attribute__((noreturn)) child(struct keeper *k, struct process *p, const struct cx_launch *l,
	int socket, const int *fds, int target)
{
	struct cx_child c = { .plan = p->plan->bytes, .launch = l, .status = p->status,
		.keeper = socket, .root = -1, .real_root = -1, .proc = -1, .null = -1, .alive = k->self, .accepted = -1,
		.nofile = k->nofile };
	int next = 0;

	for (int i = 0; i < CX_FD_COUNT; i++)
		c.fd[i] = l->fds & (1U << i) ? fds[next++] : -1;
	if (c.fd[CX_FD_EXEC] < 0)
		c.fd[CX_FD_EXEC] = target;
	for (int i = 0; i < CX_CHILD_SOURCES; i++)
		c.source[i] = -1;
	_exit(cx_child_run(&c) < 0 ? 127 : 0);
}

/* ---- the clone ---- */

static int open_cgroup(const struct cx_launch *l)
{
	return l->cgroup2 ? open((const char *)l + l->cgroup2, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
}

static pid_t clone_child(const struct process *p, const struct cx_launch *l, int cgroup, int *pidfd)
{
	struct cx_clone_args a = { .flags = CLONE_PIDFD | p->plan->bytes->clone_flags,
		.pidfd = (uintptr_t)pidfd, .exit_signal = SIGCHLD };

	(void)l;
	if (cgroup >= 0) {
		a.flags |= CX_CLONE_INTO_CGROUP;
		a.cgroup = (uint64_t)cgroup;
	}
	return (pid_t)syscall(SYS_clone3, &a, sizeof a);
}

/* What the keeper must remember of the launch buffer, which is gone after this. */
static int remember(struct process *p, const struct cx_launch *l)
{
	p->flags = l->flags;
	if (l->timeout_ms)
		p->deadline_ns = now_ns(CLOCK_MONOTONIC) + l->timeout_ms * 1000000;
	if (l->cgroup_kill && !(p->kill_path = strdup((const char *)l + l->cgroup_kill)))
		return -1;
	return 0;
}

/* 0; -1: whom it is to join or to attend has ended, which the host needn't know yet. */
static int find_target(struct keeper *k, struct process *p, uint64_t target, int *ret_pidfd)
{
	const struct process *other = target ? process_find(k, target) : NULL;

	*ret_pidfd = other ? other->pidfd : -1;
	if (target && (!other || other->state == PROCESS_ENDED))
		return -1;
	if (!(p->flags & CX_LAUNCH_ATTENDS))
		return 0;
	p->attends = target;
	k->attending++;
	return 0;
}

static int start_child(struct keeper *k, struct process *p, const struct cx_launch *l, const int *fds, int target)
{
	int pair[2], cgroup = open_cgroup(l);
	pid_t pid = -1;

	if (l->cgroup2 && cgroup < 0)
		return CX_CALL_open;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0) {
		p->started_ns = now_ns(CLOCK_MONOTONIC);
		pid = clone_child(p, l, cgroup, &p->pidfd);
		if (pid == 0)
			child(k, p, l, pair[1], fds, target);
	} else {
		pair[0] = pair[1] = -1;
	}
	if (cgroup >= 0)
		close(cgroup);
	if (pair[1] >= 0)
		close(pair[1]);
	p->socket = pair[0];
	p->pid = pid;
	return pid < 0 ? (pair[0] < 0 ? CX_CALL_socket : CX_CALL_clone3) : 0;
}

void launch(struct keeper *k, const struct cx_message *m, const struct cx_launch *l, size_t size, int *fds, int count)
{
	struct plan *plan = plan_find(k, m->launch.plan);
	struct process *p;
	int call, target;

	(void)size;
	if (!plan || __builtin_popcount(l->fds) != count) {
		launch_failed(k, m->id, EINVAL, CX_CALL_none);
		return;
	}
	p = process_new(k, m->id);
	if (!p)
		return;
	if (!(p->status = status_new(k)) || remember(p, l) < 0) {
		refuse(k, p, ENOMEM, CX_CALL_none);
		return;
	}
	if (find_target(k, p, m->launch.target, &target) < 0) {
		refuse(k, p, ESRCH, CX_CALL_none);
		return;
	}
	p->plan = plan;
	plan->users++;
	p->stage = (plan->bytes->flags & CX_PLAN_STAGES) != 0;
	call = start_child(k, p, l, fds, target);
	if (call) {
		refuse(k, p, errno, (enum cx_call)call);
		return;
	}
	if (watch(k, p->pidfd, p) == 0
	    && watch(k, p->socket, (void *)((uintptr_t)p | TAG_SOCKET)) == 0)
		return;
	process_kill_all(p);    /* unwatched it would never be reaped: wait for it here, it has only begun */
	syscall(SYS_waitid, 3, p->pidfd, NULL, 4 /* WEXITED */, NULL);
	refuse(k, p, ENOMEM, CX_CALL_none);
}

/* ---- barriers ---- */

static int write_map(const char *kind, pid_t pid, const char *text)
{
	char path[48];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, kind);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}

/* Barrier 0: the id maps. */
static int write_maps(struct process *p)
{
	const struct cx_plan *plan = p->plan->bytes;
	pid_t pid = p->pid;

	if (plan->deny_setgroups && write_map("setgroups", pid, "deny") < 0)
		return -1;
	if (plan->uid_map && write_map("uid_map", pid, (const char *)plan + plan->uid_map) < 0)
		return -1;
	return plan->gid_map ? write_map("gid_map", pid, (const char *)plan + plan->gid_map) : 0;
}

void lift(struct process *p, int error)
{
	unsigned char answer = (unsigned char)error;

	if (p->socket >= 0)
		send(p->socket, &answer, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void lift_start(struct keeper *k, struct process *p)
{
	(void)k;
	if (p->state == PROCESS_HELD && p->socket >= 0) {
		p->state = PROCESS_SETUP;
		lift(p, 0);
	}
}

static void child_word(struct keeper *k, struct process *p, const struct cx_word *w, int fd)
{
	process_take_over(k, p);
	if (w->kind == CX_WORD_BARRIER && w->value == CX_BARRIER_MAPS && !(p->plan->bytes->flags & CX_PLAN_MAPS_HELPED)) {
		lift(p, write_maps(p) < 0 ? errno : 0);
	} else if (w->kind == CX_WORD_BARRIER) {
		p->barrier = w->value;
		if (!p->status->pid && w->value == CX_BARRIER_HOOKS)
			p->status->pid = p->pid;        /* for the hooks that the child runs */
		p->tell |= 1U << (CX_MSG_BARRIER - CX_MSG_HELLO);
		host_tell(k, p);
	} else if (w->kind == CX_WORD_GIFT && fd >= 0) {
		if (p->gift >= 0)
			close(p->gift);
		p->gift = fd;
		fd = -1;
	} else if (w->kind == CX_WORD_LISTENER && fd >= 0) {
		listener_expect(k, p, fd);
		fd = -1;
	} else if (w->kind == CX_WORD_HELD) {
		p->state = PROCESS_HELD;
		p->tell |= 1U << (CX_MSG_HELD - CX_MSG_HELLO);
		host_tell(k, p);
	}
	if (fd >= 0)
		close(fd);
}

/* End of the socket: it was closed by execve, or the child has ended before (told by its reaping), or a
 * released one waits for whoever starts it: from then on only its end is ours to tell. */
static void child_closed(struct keeper *k, struct process *p)
{
	uint32_t end = p->plan->bytes->operations;

	unwatch(k, &p->socket);
	if (p->state == PROCESS_HELD && p->flags & CX_LAUNCH_RELEASED)
		p->state = PROCESS_RUNNING;
	if (p->status->error || !p->status->done || p->plan->bytes->flags & CX_PLAN_HELPER)
		return;
	process_take_over(k, p);
	if (end < CX_STATUS_OPS)
		p->status->at_ns[end] = (uint64_t)now_ns(CLOCK_MONOTONIC);
	p->state = PROCESS_RUNNING;
	p->tell |= 1U << (CX_MSG_STARTED - CX_MSG_HELLO);
	host_tell(k, p);
}

void child_readable(struct keeper *k, struct process *p)
{
	union { struct cmsghdr align; char data[CMSG_SPACE(sizeof(int))]; } control;
	struct cx_word w;
	struct iovec iov = { &w, sizeof w };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.data, .msg_controllen = sizeof control.data };
	struct cmsghdr *c;
	ssize_t n;
	int fd = -1;

	n = recvmsg(p->socket, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		child_closed(k, p);
		return;
	}
	c = CMSG_FIRSTHDR(&h);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof fd);
	if (n == (ssize_t)sizeof w)
		child_word(k, p, &w, fd);
	else if (fd >= 0)
		close(fd);
}
