/* System calls that wait for an answer: between messages.c, events.c, close.c (which see brokers) and answer.c
 * (which ends calls). All of it is guarded by the context's lock unless a comment says otherwise. */
#ifndef CX_CONTAINER_BROKER_H
#define CX_CONTAINER_BROKER_H

#include <conex/broker.h>
#include "container/container.h"

enum { CX_NOTIFICATION_BYTES = 512 };   /* more than the kernel's structs have, or will soon */

/* The listener of one filter: of a container's first process and all that come from it, or of an exec's. */
struct cx_broker {
	struct cx_news news;            /* first: posted as CONEX_EVENT_SYSCALL while .loaded */
	struct cx_broker *next;
	struct cx_task *task;           /* counted */
	int refs;                       /* the list's, and one of every call */
	int fd;                         /* -1: nobody is left who could ask */
	int users;                      /* threads that use .fd without the lock */
	int gone;                       /* .fd is closed by the last of them */
	conex_syscall *loaded;          /* received, not handed out yet; the next ones wait in the kernel */
};

/* From its hand-out on all but the last two never change: read without the lock. */
struct conex_syscall {
	struct cx_broker *broker;       /* counted */
	conex *cx;                      /* the broker's task counts it */
	uint64_t id, arg[6];
	pid_t pid;
	char *name;
	conex_syscall *next;            /* of those that were handed out and are unanswered */
	int busy, orphan;               /* a thread is at it; conex_close came meanwhile */
};

/* The kernel's structs may be larger than those we were compiled with. 0, -errno */
int cx_broker_sizes(void);

void cx_syscall_free(conex_syscall *s);                 /* out of all lists */
void cx_broker_use(struct cx_broker *b, int used);      /* 1: its descriptor stays until the same with 0 */
int cx_broker_asks(const struct cx_broker *b, uint64_t id);     /* is the caller still there? */

#endif
