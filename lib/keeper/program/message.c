/* What the host says is taken apart here, and what it is told is put together. */
#include "keeper/program/program.h"
#include "plan/check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { MAX_FDS = CX_FD_COUNT + 1 };

/* ---- plans ---- */

struct plan *plan_find(struct keeper *k, uint64_t id)
{
	for (struct plan *p = k->plans; p; p = p->next)
		if (p->id == id && !p->forgotten)
			return p;
	return NULL;
}

void plan_unref(struct keeper *k, struct plan *plan)
{
	if (--plan->users > 0)
		return;
	for (struct plan **at = &k->plans; *at; at = &(*at)->next)
		if (*at == plan) {
			*at = plan->next;
			break;
		}
	munmap((void *)plan->bytes, plan->size);
	free(plan);
}

static void plan_add(struct keeper *k, uint64_t id, int fd)
{
	struct stat st;
	struct plan *p;
	void *bytes;

	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
		return;
	p = calloc(1, sizeof *p);
	if (!p || cx_plan_check(bytes, (size_t)st.st_size) < 0) {
		munmap(bytes, (size_t)st.st_size);
		free(p);
		return;         /* a launch of it is then answered with EINVAL */
	}
	p->id = id;
	p->bytes = bytes;
	p->size = (size_t)st.st_size;
	p->users = 1;
	p->next = k->plans;
	k->plans = p;
}

static void plan_forget(struct keeper *k, uint64_t id)
{
	struct plan *p = plan_find(k, id);

	if (p) {
		p->forgotten = 1;
		plan_unref(k, p);
	}
}

/* ---- from the host ---- */

/* The host by its socket, which it made itself. */
static int peer_pidfd(struct keeper *k)
{
	struct ucred host = { .pid = 0 };
	socklen_t size = sizeof host;

	if (getsockopt(k->host, SOL_SOCKET, SO_PEERCRED, &host, &size) < 0 || host.pid <= 0)
		return -1;
	return cx_sys_pidfd_open(host.pid, 0);
}

static void init(struct keeper *k, const struct cx_message *m, int *fds, int count)
{
	int undo = m->id ? 0 : 1;       /* which of the descriptors it is */

	if (k->host_pidfd < 0) {
		k->host_pidfd = undo && count > 0 ? fds[0] : peer_pidfd(k);
		if (undo && count > 0)
			fds[0] = -1;
		watch(k, k->host_pidfd, EVENT_HOST_PIDFD);
	}
	if (count > undo && k->undo < 0) {
		k->undo = fds[undo];
		fds[undo] = -1;
	}
	free(k->state_path);
	k->state_path = m->size ? strndup((const char *)(m + 1), m->size) : NULL;
}

/* A launch buffer that is too large for a packet comes in a memfd, the last descriptor. */
static void launch_message(struct keeper *k, const struct cx_message *m, int *fds, int count)
{
	const struct cx_launch *l = (const struct cx_launch *)(m + 1);
	size_t size = m->size;
	void *mapped = NULL;
	struct stat st;

	if (size == 0 && count > 0 && fstat(fds[count - 1], &st) == 0) {
		mapped = mmap(NULL, size = (size_t)st.st_size, PROT_READ, MAP_SHARED, fds[--count], 0);
		l = mapped == MAP_FAILED ? NULL : mapped;
		mapped = (void *)l;
		close(fds[count]);
		fds[count] = -1;
	}
	if (!l || cx_launch_check(l, size) < 0)
		launch_failed(k, m->id, EINVAL, CX_CALL_none);
	else
		launch(k, m, l, size, fds, count);
	if (mapped)
		munmap(mapped, size);
}

static void about_process(struct keeper *k, const struct cx_message *m)
{
	struct process *p = process_find(k, m->id);

	if (p && m->type == CX_MSG_REAP)
		process_reap(k, p);
	if (!p || m->type == CX_MSG_REAP || p->state == PROCESS_ENDED)
		return;         /* it has just ended: the host is being told */
	if (m->type == CX_MSG_START) {
		lift_start(k, p);
	} else if (m->type == CX_MSG_LIFT) {
		lift(p, m->kill.sig);
	} else if (m->type == CX_MSG_KILL && m->kill.sig == 0) {
		process_kill_all(p);
	} else if (m->type == CX_MSG_KILL) {
		process_signal(p, m->kill.sig);
	} else if (m->type == CX_MSG_STOP) {
		p->cause = CX_ENDED_STOPPED;
		p->deadline_ns = now_ns(CLOCK_MONOTONIC) + m->kill.grace_ms * 1000000 + 1;
		process_signal(p, m->kill.sig);
	} else if (m->type == CX_MSG_PIDFD) {
		struct cx_message answer = { .type = CX_MSG_PIDFD, .id = p->id };

		host_send(k, &answer, NULL, p->pidfd);
	}
}

static void handle(struct keeper *k, const struct cx_message *m, int *fds, int count)
{
	switch (m->type) {
	case CX_MSG_INIT:
		init(k, m, fds, count);
		break;
	case CX_MSG_PLAN:
		plan_add(k, m->id, count > 0 ? fds[0] : -1);
		break;
	case CX_MSG_FORGET:
		plan_forget(k, m->id);
		break;
	case CX_MSG_LAUNCH:
		launch_message(k, m, fds, count);
		break;
	case CX_MSG_BYE:
		free(k->state_path);
		k->state_path = NULL;   /* nothing to undo */
		orphaned(k);
		break;
	default:
		about_process(k, m);
	}
}

static int take_fds(struct msghdr *h, int *fds)
{
	int count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
			count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(fds, CMSG_DATA(c), (size_t)count * sizeof(int));
		}
	return count;
}

int host_readable(struct keeper *k)
{
	char control[CMSG_SPACE(MAX_FDS * sizeof(int))];
	struct iovec iov = { .iov_base = k->buffer, .iov_len = sizeof k->buffer };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof control };
	const struct cx_message *m = (const struct cx_message *)k->buffer;
	ssize_t n = recvmsg(k->host, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fds[MAX_FDS], count;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (n == 0)
		return -1;
	count = take_fds(&h, fds);
	if ((size_t)n >= sizeof *m && m->size == (size_t)n - sizeof *m && !(h.msg_flags & MSG_TRUNC))
		handle(k, m, fds, count);
	for (int i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return 0;
}

/* ---- to the host ---- */

int host_send(struct keeper *k, const struct cx_message *m, const void *bytes, int fd)
{
	union { struct cmsghdr align; char data[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec iov[2] = { { (void *)m, sizeof *m }, { (void *)bytes, m->size } };
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = m->size ? 2 : 1 };

	if (fd >= 0) {
		struct cmsghdr *c = &control.align;

		memset(&control, 0, sizeof control);
		h.msg_control = control.data;
		h.msg_controllen = sizeof control.data;
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	return sendmsg(k->host, &h, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static void timeline(const struct process *p, struct cx_message *m, const void **bytes)
{
	uint32_t n = p->plan->bytes->operations + 1;

	if (!(p->flags & CX_LAUNCH_TIMELINE) || !p->status)
		return;
	if (n > CX_STATUS_OPS)
		n = CX_STATUS_OPS;
	m->size = n * (uint32_t)sizeof(uint64_t);
	*bytes = p->status->at_ns;
}

static const struct cx_message *refusal(const struct process *p, struct cx_message *m)
{
	m->failed.op = UINT32_MAX;      /* none: the keeper's own work */
	m->failed.error = p->refused;
	m->failed.call = (uint32_t)p->refused_call;
	return m;
}

/* A descriptor that was passed on is the host's alone. */
static int pass_on(struct keeper *k, const struct cx_message *m, const void *bytes, int *fd)
{
	if (host_send(k, m, bytes, *fd) < 0)
		return -1;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return 0;
}

static int tell_one(struct keeper *k, struct process *p, uint32_t type)
{
	struct cx_message m = { .type = type, .id = p->id };
	const void *bytes = NULL;
	int none = -1, *gift = &none;

	if (type == CX_MSG_LISTENER) {
		m.started.pid = p->pid;
		return pass_on(k, &m, NULL, &p->listener);
	}
	if (type == CX_MSG_BARRIER || type == CX_MSG_HELD || type == CX_MSG_STARTED) {
		m.started.pid = p->pid;
		m.started.barrier = p->barrier;
		m.started.at_ns = p->started_ns;
		gift = &p->gift;
		if (type != CX_MSG_BARRIER)
			timeline(p, &m, &bytes);
	} else if (type == CX_MSG_FAILED) {
		if (p->refused)
			return host_send(k, refusal(p, &m), NULL, -1);
		m.failed.op = p->status->op;
		m.failed.call = p->status->call;
		m.failed.error = p->status->error;
		m.failed.status = p->wait_status;
		memcpy(m.failed.detail, p->status->detail, sizeof m.failed.detail);
		m.failed.detail[sizeof m.failed.detail - 1] = '\0';
		timeline(p, &m, &bytes);
	} else {
		m.exited.status = p->wait_status;
		m.exited.cause = p->cause;
		m.exited.cpu_ns = p->cpu_ns;
		m.exited.peak = p->peak;
		m.exited.at_ns = p->ended_ns;
		m.exited.real_ns = p->ended_real_ns;
		gift = &p->gift;
	}
	return pass_on(k, &m, bytes, gift);
}

static void want_write(struct keeper *k, int want)
{
	struct epoll_event e = { .events = want ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = EVENT_HOST };

	if (k->blocked != want)
		epoll_ctl(k->epoll, EPOLL_CTL_MOD, k->host, &e);
	k->blocked = want;
}

/* Frees the process when it has ended and all is said (or nobody is left to be told). */
void host_tell(struct keeper *k, struct process *p)
{
	static const uint32_t order[] = { CX_MSG_BARRIER, CX_MSG_LISTENER, CX_MSG_HELD, CX_MSG_STARTED, CX_MSG_FAILED,
		CX_MSG_EXITED };

	for (unsigned i = 0; i < sizeof order / sizeof order[0]; i++) {
		unsigned bit = 1U << (order[i] - CX_MSG_HELLO);

		if (!(p->tell & bit) || k->orphaned)
			continue;
		if (tell_one(k, p, order[i]) < 0) {
			if (errno == EAGAIN)
				want_write(k, 1);
			return;
		}
		p->tell &= ~bit;
		if (order[i] == CX_MSG_STARTED && !p->stage)
			process_forget_status(k, p);
	}
	if (p->state == PROCESS_ENDED && !p->zombie)
		process_free(k, p);
}

void host_writable(struct keeper *k)
{
	want_write(k, 0);
	for (unsigned i = 0; i < BUCKETS && !k->blocked; i++)
		for (struct process *p = k->processes[i], *next; p && !k->blocked; p = next) {
			next = p->next;
			if (p->tell)
				host_tell(k, p);
		}
}
