/* The keeper: parent and reaper of every container of a context. Executed from a sealed memfd with the
 * host's socket as descriptor 3; start.c runs first, then this loop until host and processes are gone. */
#include "keeper/program/program.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>

int64_t now_ns(int clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int watch(struct keeper *k, int fd, void *data)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = data };

	return epoll_ctl(k->epoll, EPOLL_CTL_ADD, fd, &e);
}

static void dispatch(struct keeper *k, const struct epoll_event *e)
{
	void *p = e->data.ptr;

	if (p == EVENT_HOST) {
		if (e->events & EPOLLOUT)
			host_writable(k);
		if ((e->events & (EPOLLIN | EPOLLHUP)) && host_readable(k) < 0)
			orphaned(k);
	} else if (p == EVENT_HOST_PIDFD) {
		orphaned(k);
	} else if ((uintptr_t)p & TAG_SOCKET) {
		child_readable(k, (struct process *)((uintptr_t)p & ~TAG_SOCKET));
	} else {
		process_exited(k, p);
	}
}

/* Milliseconds until the nearest deadline, rounded up; -1: none. */
static int patience(struct keeper *k)
{
	int64_t deadline = next_deadline(k), left;

	if (k->undo_ns && (!deadline || k->undo_ns < deadline))
		deadline = k->undo_ns;
	if (!deadline)
		return -1;
	left = deadline - now_ns(CLOCK_MONOTONIC);
	if (left <= 0)
		return 0;
	return left > 3600 * (int64_t)1000000000 ? 3600 * 1000 : (int)((left + 999999) / 1000000);
}

/* One event at a time: handling one may end the process that a later one of the same batch is about. */
static int loop(struct keeper *k)
{
	struct epoll_event e;

	while (!k->orphaned || k->count > 0) {
		int n = k->expected ? listeners_wait(k, &e) : epoll_wait(k->epoll, &e, 1, patience(k));

		if (n < 0 && errno != EINTR)
			return 1;
		if (n > 0)
			dispatch(k, &e);
		if (k->expected)
			listeners_look(k);
		deadlines_passed(k);
		if (k->orphaned && k->count > 0)
			undo_the_living(k);
	}
	run_undo(k);
	return 0;
}

int main(void)
{
	struct keeper *k = calloc(1, sizeof *k);
	struct cx_message hello = { .type = CX_MSG_HELLO,
		.hello = { .version = CX_PROTOCOL_VERSION, .pid = getpid() } };

	if (!k)
		return 1;
	k->host = CX_KEEPER_SOCKET;
	k->host_pidfd = k->undo = -1;
	reset_inherited(k);
	k->epoll = epoll_create1(EPOLL_CLOEXEC);
	k->self = cx_sys_pidfd_open(getpid(), 0);
	if (k->epoll < 0 || k->self < 0 || watch(k, k->host, EVENT_HOST) < 0)
		return 1;
	if (host_send(k, &hello, NULL, k->self) < 0)
		return 1;
	return loop(k);
}
