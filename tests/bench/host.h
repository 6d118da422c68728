/* The processes that launch: small or big, each with its subjects, told what to do by launch.c. */
#ifndef BENCH_HOST_H
#define BENCH_HOST_H

#include <sys/types.h>
#include "subject.h"

enum { HOST_BURST = 8, HOST_TEXT = 1 << 16 };
enum { HOST_RUN, HOST_ALIVE, HOST_TIMELINE, HOST_QUIT };

struct host_request {
	int what;               /* HOST_RUN … */
	int subject;            /* its number in the list given to host_start */
	int at_once;            /* RUN: workers, each of which launches `count` times back to back */
	int count;              /* ALIVE: containers */
};

struct host_reply {
	int result;             /* 0, or -errno with `text` */
	int n;
	int64_t ns[SUBJECT_WORKERS * HOST_BURST];
	char text[HOST_TEXT];   /* why not; or the timeline */
};

struct host { pid_t pid; int fd; };

/* big: 2 GiB resident in small pages, and 64 threads that sleep. */
int host_start(struct host *h, int kind, int big, const struct setup *s,
	const struct subject *const *subjects, int subject_count);
int host_call(const struct host *h, const struct host_request *request, struct host_reply *reply);
void host_stop(struct host *h);

/* host-peers.c: what crun and runc need of a hybrid machine. 1: it was mounted, tell _leave so. */
int host_peers_enter(void);
void host_peers_leave(int mounted);

#endif
