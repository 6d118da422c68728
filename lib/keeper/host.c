/* The host's end of the keeper's socket. */
#include "keeper/host.h"
#include "base/error.h"
#include "base/kernel.h"
#include "base/path.h"
#include "keeper/spawn.h"

#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* A machine may be slow; what has failed to start says so at once, by the end of its socket. */
enum { HELLO_MS = 60000, GOODBYE_MS = 1000 };

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

int cx_keeper_memfd(const char *name, const void *data, size_t size)
{
	cx_autoclose int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	size_t done = 0;

	if (fd < 0 && errno == EINVAL)          /* before Linux 6.3 */
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	while (done < size) {
		ssize_t n = write(fd, (const char *)data + done, size - done);

		if (n < 0 && errno != EINTR)
			return -1;
		done += n > 0 ? (size_t)n : 0;
	}
	if (lseek(fd, 0, SEEK_SET) < 0
	    || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -1;
	return cx_steal_fd(&fd);
}

int cx_keeper_answer(const char *name, size_t size)
{
	cx_autoclose int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) < 0)
		return -1;
	return cx_steal_fd(&fd);
}

int cx_keeper_new(conex *cx)
{
	struct cx_keeper *k = calloc(1, sizeof *k);

	if (!k)
		return -ENOMEM;
	k->socket = k->pidfd = -1;
	k->next_id = 1;
	cx->keeper = k;
	return 0;
}

/* ---- sending ---- */

static int send_once(int socket, struct cx_message *m, const void *bytes, const int *fds, int count)
{
	union { struct cmsghdr align; char data[CMSG_SPACE((CX_FD_COUNT + 2) * sizeof(int))]; } control;
	struct iovec iov[2] = { { m, sizeof *m }, { (void *)bytes, m->size } };
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = m->size ? 2 : 1 };

	if (count > 0) {
		struct cmsghdr *c = &control.align;

		memset(&control, 0, sizeof control);
		h.msg_control = control.data;
		h.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, (size_t)count * sizeof(int));
	}
	return sendmsg(socket, &h, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int cx_keeper_send(conex *cx, struct cx_message *m, const void *bytes, size_t size, const int *fds, int count,
	conex_error **err)
{
	int r;

	m->size = (uint32_t)size;
	for (;;) {
		struct pollfd p = { .fd = cx->keeper->socket, .events = POLLOUT };

		if (cx->keeper->socket < 0)
			return cx_fail(err, CONEX_STAGE_LAUNCH, -EPIPE, NULL, "it is started again by the next launch",
				"the keeper has ended");
		r = send_once(cx->keeper->socket, m, bytes, fds, count);
		if (r != -EAGAIN && r != -EINTR)
			break;
		if (r == -EAGAIN)
			poll(&p, 1, 1000);
	}
	return r < 0 ? cx_fail(err, CONEX_STAGE_LAUNCH, r, "sendmsg", NULL, "the keeper") : 0;
}

int cx_keeper_send_plan(conex *cx, uint64_t id, const struct cx_plan *plan, conex_error **err)
{
	struct cx_message m = { .type = CX_MSG_PLAN, .id = id };
	cx_autoclose int fd = cx_keeper_memfd("conex-plan", plan, plan->size);

	if (fd < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "memfd_create", NULL, "the plan");
	return cx_keeper_send(cx, &m, NULL, 0, &fd, 1, err);
}

/* ---- starting ---- */

static int take_fd(struct msghdr *h)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(h);
	int fd = -1;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof fd);
	return fd;
}

static ssize_t receive(int socket, void *buffer, size_t size, int *fd)
{
	union { struct cmsghdr align; char data[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec iov = { buffer, size };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.data, .msg_controllen = sizeof control.data };
	ssize_t n = recvmsg(socket, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*fd = n > 0 ? take_fd(&h) : -1;
	return n;
}

/* The keeper's first words, or its end. */
static int hear_hello(int socket, struct cx_keeper *k)
{
	struct pollfd p = { .fd = socket, .events = POLLIN };
	struct cx_message m;
	ssize_t n;
	int fd;

	do {
		if (poll(&p, 1, HELLO_MS) == 0)
			return -ETIMEDOUT;
		n = receive(socket, &m, sizeof m, &fd);
	} while (n < 0 && (errno == EAGAIN || errno == EINTR));
	if (n != (ssize_t)sizeof m || m.type != CX_MSG_HELLO || m.hello.version != CX_PROTOCOL_VERSION || fd < 0) {
		cx_closep(&fd);
		return n == (ssize_t)sizeof m && m.hello.version == CX_PROTOCOL_VERSION ? -EMFILE : -ENOEXEC;
	}
	k->pidfd = fd;
	k->pid = m.hello.pid;
	return 0;
}

/* Who the host is, what to do when it dies, and where its state lies. */
static int introduce(conex *cx, conex_error **err)
{
	struct cx_message m = { .type = CX_MSG_INIT };
	const char *program = secure_getenv("CONEX_UNDO");
	cx_autoclose int self = cx_sys_pidfd_open(getpid(), 0);
	int open_error = errno;
	cx_autoclose int undo = open(program ? program : CX_LIBEXECDIR "/conex/conex-undo", O_PATH | O_CLOEXEC);
	int fds[2], n = 0;

	if (self < 0 && open_error != ENOSYS)
		return cx_fail(err, CONEX_STAGE_LAUNCH, -open_error, "pidfd_open", NULL, "the keeper");
	m.id = self < 0;
	if (self >= 0)
		fds[n++] = self;
	if (undo >= 0)
		fds[n++] = undo;
	return cx_keeper_send(cx, &m, cx->state->path, strlen(cx->state->path), fds, n, err);
}

static int is_dead(const struct cx_keeper *k)
{
	struct pollfd p = { .fd = k->pidfd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

int cx_keeper_start(conex *cx, conex_error **err)
{
	cx_autoclose int ours = -1, theirs = -1;
	struct cx_keeper *k = cx->keeper;
	int pair[2], r;

	if (k->socket >= 0 && is_dead(k))
		cx_context_pump(cx);    /* or this launch would be its victim, too */
	if (k->socket >= 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "socketpair", errno == EMFILE
			? "the process has no free descriptor: close some, or raise RLIMIT_NOFILE" : NULL, "the keeper");
	ours = pair[0];
	theirs = pair[1];
	r = cx_keeper_spawn(theirs, err);
	if (r < 0)
		return r;
	cx_closep(&theirs);
	r = hear_hello(ours, k);
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, r == -EMFILE
			? "the process has no free descriptor: close some, or raise RLIMIT_NOFILE" : NULL,
			"the keeper did not start");
	k->socket = cx_steal_fd(&ours);
	k->generation++;
	r = introduce(cx, err);
	if (r == 0 && ((r = cx_context_watch(cx, k->socket)) < 0 || (r = cx_context_watch(cx, k->pidfd)) < 0))
		r = cx_fail(err, CONEX_STAGE_LAUNCH, r, "epoll_ctl", NULL, "the keeper");
	if (r < 0)
		cx_keeper_stop(cx);
	return r;
}

/* ---- reading ---- */

static void forget(struct cx_keeper *k)
{
	cx_closep(&k->socket);
	cx_closep(&k->pidfd);
	k->pid = 0;
}

static struct cx_helper *find_helper(struct cx_keeper *k, uint64_t id)
{
	struct cx_helper *h = k->helpers;

	while (h && h->id != id)
		h = h->next;
	return h;
}

static void forget_helper(struct cx_keeper *k, struct cx_helper *h)
{
	struct cx_helper **at = &k->helpers;

	while (*at && *at != h)
		at = &(*at)->next;
	if (*at)
		*at = h->next;
}

static void helper_message(conex *cx, struct cx_helper *h, const struct cx_message *m, int fd)
{
	if (m->type == CX_MSG_FAILED) {
		h->failed = *m;
		h->done = m->failed.error ? -m->failed.error : -ECHILD;
	} else if (m->type == CX_MSG_EXITED) {
		h->gift = fd;
		h->status = m->exited.status;
		h->cause = m->exited.cause;
		h->done = 1;
		return;
	}
	cx_closep(&fd);
	if (m->type == CX_MSG_BARRIER && h->waits)
		h->waits(cx, h, m->started.pid);
}

/* A released one is a zombie until somebody has said that he knows. */
static void reap(conex *cx, const struct cx_helper *h)
{
	struct cx_message m = { .type = CX_MSG_REAP, .id = h->id };

	if (h->done == 1 && h->flags & CX_LAUNCH_RELEASED)
		cx_keeper_send(cx, &m, NULL, 0, NULL, 0, NULL);
}

static void helper_done(conex *cx, struct cx_helper *h)
{
	if (!h->done || !h->ended)
		return;
	forget_helper(cx->keeper, h);
	cx_closep(&h->gift);
	h->ended(cx, h);
}

static void hand_out(conex *cx, const struct cx_message *m, const void *bytes, int fd)
{
	struct cx_helper *h = find_helper(cx->keeper, m->id);

	if (h) {
		helper_message(cx, h, m, fd);
		reap(cx, h);
		helper_done(cx, h);
	} else
		cx->keeper->message(cx, m, bytes, fd);
}

static void all_lost(conex *cx)
{
	for (struct cx_helper *h = cx->keeper->helpers, *next; h; h = next) {
		next = h->next;
		if (!h->done)
			h->done = -EPIPE;
		helper_done(cx, h);
	}
	cx->keeper->lost(cx);
}

int cx_keeper_pump(conex *cx)
{
	struct cx_keeper *k = cx->keeper;
	struct { struct cx_message m; char bytes[sizeof(struct cx_timeline)]; } b;
	int happened = 0, fd;
	ssize_t n;

	while (k->socket >= 0 && (n = receive(k->socket, &b, sizeof b, &fd)) > 0) {
		happened = 1;
		if ((size_t)n >= sizeof b.m && b.m.size == (size_t)n - sizeof b.m)
			hand_out(cx, &b.m, b.bytes, fd);
		else
			cx_closep(&fd);
	}
	/* All that it said before it died has been read. */
	if (k->socket >= 0 && (n == 0 || (errno != EAGAIN && errno != EINTR) || is_dead(k))) {
		forget(k);
		all_lost(cx);
		happened = 1;
	}
	return happened;
}

/* Waits for its end, for a moment: who closes, or exits, leaves nothing behind, and what is released has its
 * next parent, the caller's subreaper. */
void cx_keeper_stop(conex *cx)
{
	struct cx_message bye = { .type = CX_MSG_BYE };
	struct pollfd p = { .fd = cx->keeper->pidfd, .events = POLLIN };

	if (cx->keeper->socket >= 0 && cx_keeper_send(cx, &bye, NULL, 0, NULL, 0, NULL) == 0)
		while (poll(&p, 1, GOODBYE_MS) < 0 && errno == EINTR)
			;
	forget(cx->keeper);
}

void cx_keeper_abandon(conex *cx)
{
	if (cx->keeper->socket >= 0)
		shutdown(cx->keeper->socket, SHUT_RDWR);        /* a forked copy of us may hold it, too */
	forget(cx->keeper);
}

/* ---- helpers ---- */

static int helper_ended(void *arg)
{
	return ((struct cx_helper *)arg)->done != 0;
}

static int start_helper(conex *cx, struct cx_helper *h, const struct cx_plan *plan, uint32_t fds, const int *fd,
	conex_error **err)
{
	struct cx_launch l = { .magic = CX_LAUNCH_MAGIC, .size = sizeof l, .fds = fds,
		.flags = h->flags | (h->attends ? CX_LAUNCH_ATTENDS : 0), .timeout_ms = h->timeout_ms };
	struct cx_message m = { .type = CX_MSG_LAUNCH, .id = h->id, .launch = { .plan = h->id, .target = h->attends } };
	struct cx_message forget_it = { .type = CX_MSG_FORGET, .id = h->id };
	int r = cx_keeper_send_plan(cx, h->id, plan, err);

	if (r == 0)
		r = cx_keeper_send(cx, &m, &l, sizeof l, fd, __builtin_popcount(fds), err);
	return r < 0 ? r : cx_keeper_send(cx, &forget_it, NULL, 0, NULL, 0, err);
}

int cx_keeper_help_later(conex *cx, struct cx_helper *h, const struct cx_plan *plan, uint32_t fds, const int *fd,
	conex_error **err)
{
	int r;

	h->id = cx->keeper->next_id++;
	h->gift = -1;
	h->done = 0;
	r = start_helper(cx, h, plan, fds, fd, err);
	if (r < 0)
		return r;
	h->next = cx->keeper->helpers;
	cx->keeper->helpers = h;
	return 0;
}

int cx_keeper_wait(conex *cx, struct cx_helper *h)
{
	int r = cx_context_wait(cx, -1, helper_ended, h);

	forget_helper(cx->keeper, h);
	return r < 0 ? r : h->done < 0 ? h->done : 0;
}

void cx_keeper_lift(conex *cx, uint64_t id, int error)
{
	struct cx_message m = { .type = CX_MSG_LIFT, .id = id, .kill = { .sig = error } };

	cx_keeper_send(cx, &m, NULL, 0, NULL, 0, NULL);
}

void cx_keeper_kill(conex *cx, uint64_t id)
{
	struct cx_message m = { .type = CX_MSG_KILL, .id = id };

	cx_keeper_send(cx, &m, NULL, 0, NULL, 0, NULL);
}

int cx_keeper_help(conex *cx, const struct cx_plan *plan, uint32_t fds, const int *fd, struct cx_message *m,
	conex_error **err)
{
	struct cx_helper h = { .ended = NULL };
	int r = cx_keeper_help_later(cx, &h, plan, fds, fd, err);

	m->type = 0;
	if (r < 0)
		return r;
	r = cx_keeper_wait(cx, &h);
	*m = h.failed;
	if (!h.done)
		return cx_fail(err, CONEX_STAGE_LAUNCH, r, NULL, NULL, "the context was closed");
	return h.done < 0 ? h.done : h.gift;
}
