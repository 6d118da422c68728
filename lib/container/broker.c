/* Listeners of seccomp filters: what comes out of them becomes events. answer.c runs behind events.c, which
 * hands them out. Of each listener one call is received at a time, so that calls that nobody fetches wait in the
 * kernel and cost nothing here. */
#include "container/broker.h"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include "base/kernel.h"

enum { READY = 16 };

/* ---- one listener's life ---- */

static void unref(struct cx_broker *b)
{
	if (--b->refs > 0)
		return;
	cx_task_unref(b->task);
	free(b);
}

static void close_fd(struct cx_broker *b)
{
	if (b->users)
		return;
	cx_closep(&b->fd);      /* who waits gets ENOSYS */
}

void cx_broker_use(struct cx_broker *b, int used)
{
	b->users += used ? 1 : -1;
	if (b->gone)
		close_fd(b);
}

/* Not armed: what waits stays in the kernel, only its end is told. */
static void arm(conex *cx, const struct cx_broker *b, int armed)
{
	struct epoll_event e = { .events = armed ? EPOLLIN : 0, .data.fd = b->fd };

	epoll_ctl(cx->inner, EPOLL_CTL_MOD, b->fd, &e);
}

/* Nobody is left who could ask, or the context is closed. A forked copy of us may hold the descriptor, too, so
 * closing alone would leave it in epoll. */
static void drop(conex *cx, struct cx_broker *b)
{
	struct cx_broker **at = &cx->containers->brokers;

	while (*at && *at != b)
		at = &(*at)->next;
	if (*at)
		*at = b->next;
	cx_queue_forget(&cx->queue, &b->news);
	if (b->loaded)
		cx_syscall_free(b->loaded);
	b->loaded = NULL;
	epoll_ctl(cx->inner, EPOLL_CTL_DEL, b->fd, NULL);
	b->gone = 1;
	close_fd(b);
	unref(b);
}

int cx_broker_sizes(void)
{
	struct seccomp_notif_sizes sizes;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		return -errno;
	return sizes.seccomp_notif <= CX_NOTIFICATION_BYTES && sizes.seccomp_notif_resp <= CX_NOTIFICATION_BYTES
		&& sizes.seccomp_data >= sizeof(struct seccomp_data) ? 0 : -EOPNOTSUPP;
}

int cx_broker_add(struct cx_task *t, int fd, conex_error **err)
{
	struct cx_broker *b = calloc(1, sizeof *b);
	int r = b ? cx_broker_sizes() : -ENOMEM;

	if (r == 0)
		r = cx_context_watch(t->cx, fd);
	if (r < 0) {
		free(b);
		return r == -ENOMEM ? cx_fail_memory(err)
			: cx_fail(err, CONEX_STAGE_LAUNCH, r, "seccomp", NULL, "linux.seccomp: its listener");
	}
	b->fd = fd;
	b->refs = 1;
	b->task = t;
	cx_task_ref(t);
	b->next = t->cx->containers->brokers;
	t->cx->containers->brokers = b;
	return 0;
}

/* ---- receiving ---- */

void cx_syscall_free(conex_syscall *s)
{
	struct cx_broker *b = s->broker;

	free(s->name);
	free(s);
	unref(b);
}

static conex_syscall *syscall_new(struct cx_broker *b, const struct seccomp_notif *n)
{
	conex_syscall *s = calloc(1, sizeof *s);
	char *name = seccomp_syscall_resolve_num_arch(n->data.arch, n->data.nr);

	if (s && !name && asprintf(&name, "syscall_%d", n->data.nr) < 0)
		name = NULL;
	if (!s || !name) {
		free(name);
		free(s);
		return NULL;
	}
	s->broker = b;
	b->refs++;
	s->cx = b->task->cx;
	s->id = n->id;
	s->pid = (pid_t)n->pid;
	s->name = name;
	for (int i = 0; i < 6; i++)
		s->arg[i] = n->data.args[i];
	return s;
}

/* Only after epoll has said that one is there, and nobody else reads: then it can't block, though the caller
 * may be gone again (ENOENT). Without memory the call fails as it might in the kernel. */
static int receive(conex *cx, struct cx_broker *b)
{
	union { struct seccomp_notif n; char room[CX_NOTIFICATION_BYTES]; } in;
	union { struct seccomp_notif_resp r; char room[CX_NOTIFICATION_BYTES]; } out;

	memset(&in, 0, sizeof in);      /* the kernel refuses anything else */
	if (ioctl(b->fd, SECCOMP_IOCTL_NOTIF_RECV, &in) < 0)
		return 0;
	b->loaded = syscall_new(b, &in.n);
	if (!b->loaded) {
		memset(&out, 0, sizeof out);
		out.r.id = in.n.id;
		out.r.error = -ENOMEM;
		ioctl(b->fd, SECCOMP_IOCTL_NOTIF_SEND, &out);
		return 0;
	}
	arm(cx, b, 0);
	cx_queue_post(&cx->queue, &b->news, CONEX_EVENT_SYSCALL);
	return 1;
}

static int look(conex *cx, struct cx_broker *b, unsigned events)
{
	if (events & EPOLLIN && !b->loaded) {
		if (!cx->closed)
			return receive(cx, b);
		arm(cx, b, 0);
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		drop(cx, b);
	}
	return 0;
}

int cx_brokers_pump(conex *cx)
{
	struct epoll_event ready[READY];
	int happened = 0, n = 0;

	if (cx->containers->brokers)
		n = epoll_wait(cx->inner, ready, READY, 0);
	for (int i = 0; i < n; i++) {
		struct cx_broker *b = cx->containers->brokers;

		while (b && b->fd != ready[i].data.fd)
			b = b->next;
		if (b)
			happened |= look(cx, b, ready[i].events);
	}
	return happened;
}

/* ---- handing out ---- */

int cx_broker_asks(const struct cx_broker *b, uint64_t id)
{
	return b->fd >= 0 && ioctl(b->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

struct cx_task *cx_broker_take(conex *cx, struct cx_news *n, conex_syscall **ret)
{
	struct cx_broker *b = (struct cx_broker *)n;
	conex_syscall *s = b->loaded;

	b->loaded = NULL;
	arm(cx, b, 1);
	if (!cx_broker_asks(b, s->id)) {
		cx_syscall_free(s);
		return NULL;
	}
	s->next = cx->containers->syscalls;
	cx->containers->syscalls = s;
	*ret = s;
	return b->task;
}

void cx_brokers_close(conex *cx)
{
	conex_syscall *s;

	while (cx->containers->brokers)
		drop(cx, cx->containers->brokers);
	while ((s = cx->containers->syscalls)) {
		cx->containers->syscalls = s->next;
		s->next = NULL;
		s->orphan = 1;
		if (!s->busy)   /* else its thread frees it */
			cx_syscall_free(s);
	}
}

/* In a forked copy the tasks may be in anybody's hands: what is theirs is left as it is. */
void cx_brokers_let_go(conex *cx)
{
	for (struct cx_broker *b = cx->containers->brokers; b; b = b->next)
		cx_closep(&b->fd);
}
