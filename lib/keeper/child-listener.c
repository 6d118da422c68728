/* Inside the container: how the listener of a seccomp filter gets to the keeper (program/listener.c), although
 * from the filter on no system call may be made that it might ask about, deny or kill for. */
#include "keeper/child.h"
#include "keeper/protocol.h"

#include <sys/prctl.h>

/* Pauses: 10 to 50 s. The keeper looks every 50 µs; who waits longer than a moment has lost it. */
enum { PATIENCE = 1 << 30 };

static void breathe(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* A pidfd of its own tells who it is: with an init of ours it is neither of the processes that the keeper
 * knows. The kernel lets an unprivileged keeper fetch only from a process that may be traced; what that
 * could be robbed of, the keeper's pidfd, is closed before (as cx_child_start does it). */
int cx_child_listener_begin(struct cx_child *c, uint64_t how)
{
	int self, r;

	if (how & CX_LISTENER_TRACEABLE) {
		if (c->alive > 0)
			close(c->alive);
		c->alive = 0;
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	}
	self = cx_sys_pidfd_open(getpid(), 0);
	if (self < 0)
		return cx_child_fail(c, CX_CALL_pidfd_open, "");
	r = cx_child_say(c, CX_WORD_LISTENER, 0, self);
	close(self);
	return r;
}

/* Only the shared page is looked at. The listener is close-on-exec: were we to go on, the program could be
 * there, and the listener gone, before the keeper has its own. */
int cx_child_listener_end(struct cx_child *c, uint64_t how, int listener)
{
	int32_t fetched = 0;

	__atomic_store_n(&c->status->listener, listener + 1, __ATOMIC_RELEASE);
	for (int i = 0; i < PATIENCE && !fetched; i++) {
		breathe();
		fetched = __atomic_load_n(&c->status->fetched, __ATOMIC_ACQUIRE);
	}
	if (how & CX_LISTENER_CLOSE)
		close(listener);
	if (fetched > 0)
		return 0;
	errno = fetched ? -fetched : ETIMEDOUT;
	return cx_child_fail(c, CX_CALL_pidfd_getfd, "");
}
