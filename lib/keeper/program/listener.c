/* Fetching the listeners of seccomp filters. A child says when it is about to install one; from then on it makes
 * no system call that could wake us (keeper/child-listener.c), so its status page is looked at in short
 * intervals, until the listener's number stands there. */
#include "keeper/program/program.h"

#include <sys/epoll.h>

enum { LOOK_NS = 50000, LOOKS = 40, LONGEST_NS = 10000000 };

/* `pidfd`: of the process that installs it; ours from now on. */
void listener_expect(struct keeper *k, struct process *p, int pidfd)
{
	listener_forget(k, p);
	p->listens = pidfd;
	k->expected++;
	k->looks = 0;
}

void listener_forget(struct keeper *k, struct process *p)
{
	if (p->listens < 0)
		return;
	close(p->listens);
	p->listens = -1;
	k->expected--;
}

static void fetch(struct keeper *k, struct process *p, int number)
{
	int fd = cx_sys_pidfd_getfd(p->listens, number), error = errno;

	listener_forget(k, p);
	if (p->listener >= 0)
		close(p->listener);
	p->listener = fd;
	if (fd >= 0) {          /* said before the child goes on: the host has it when the program runs */
		p->tell |= 1U << (CX_MSG_LISTENER - CX_MSG_HELLO);
		host_tell(k, p);
	}
	__atomic_store_n(&p->status->fetched, fd >= 0 ? 1 : -error, __ATOMIC_RELEASE);
}

void listeners_look(struct keeper *k)
{
	for (unsigned i = 0; i < BUCKETS && k->expected; i++)
		for (struct process *p = k->processes[i]; p; p = p->next) {
			int32_t number = p->listens >= 0 && p->status
				? __atomic_load_n(&p->status->listener, __ATOMIC_ACQUIRE) : 0;

			if (number > 0)
				fetch(k, p, number - 1);
		}
}

/* Installing a filter takes less than a millisecond; who takes much longer was stopped on the way. Milliseconds,
 * which is all that epoll_wait knows, would be spent by the child at work. */
int listeners_wait(struct keeper *k, struct epoll_event *e)
{
	int64_t ns = LOOK_NS;
	struct timespec t = { 0 };
	int n;

	for (unsigned doubled = k->looks++ / LOOKS; doubled && ns < LONGEST_NS; doubled--)
		ns *= 2;
	t.tv_nsec = ns < LONGEST_NS ? ns : LONGEST_NS;
	n = (int)syscall(SYS_epoll_pwait2, k->epoll, e, 1, &t, NULL, 0);
	return n < 0 && errno != EINTR ? epoll_wait(k->epoll, e, 1, 1) : n;
}
