/* The keeper program: one thread, one epoll, one table of processes. */
#ifndef CX_KEEPER_PROGRAM_H
#define CX_KEEPER_PROGRAM_H

#include <sys/resource.h>
#include <time.h>
#include "keeper/child.h"
#include "keeper/protocol.h"

struct plan {
	uint64_t id;
	struct plan *next;
	const struct cx_plan *bytes;
	size_t size;
	unsigned users;         /* processes made from it; forgotten plans go with the last */
	int forgotten;
};

enum { PROCESS_SETUP, PROCESS_HELD, PROCESS_RUNNING, PROCESS_ENDED };

struct process {
	struct process *next;   /* of its bucket */
	uint64_t id;
	pid_t pid;
	int pidfd;              /* of the first process (until it is known: of the first stage) */
	int socket;             /* to the child until it executes; -1 */
	int gift;               /* a descriptor that it handed out, not yet passed on; -1 */
	int listens;            /* pidfd of who is about to install a seccomp filter with a listener; -1 */
	int listener;           /* the listener, not yet passed on; -1 */
	int state;
	unsigned tell;          /* bit n: message type CX_MSG_HELLO + n is to be sent */
	uint32_t flags;         /* struct cx_launch.flags */
	int stage;              /* 1: pidfd is still the first stage's */
	int first;              /* the first stage, to be reaped, when pidfd no longer is; -1 */
	int zombie;             /* released and ended: for whoever is its parent after us, unless CX_MSG_REAP comes */
	uint32_t barrier;       /* the one that it waits at */
	uint64_t attends;       /* ends with this one; 0: with nobody */
	int killed;             /* SIGKILL was sent to all of it: sent again to what comes late */
	struct plan *plan;
	struct cx_status *status;
	char *kill_path;        /* struct cx_launch.cgroup_kill; NULL: its pid namespace ends with it */
	int64_t deadline_ns;    /* CLOCK_MONOTONIC; 0: none */
	uint32_t cause;
	int64_t started_ns, ended_ns, ended_real_ns;
	int wait_status;
	int refused, refused_call;      /* errno and call, where nothing was cloned */
	uint64_t cpu_ns, peak;
};

enum { BUCKETS = 256 };

struct keeper {
	int host, host_pidfd, epoll, undo;
	int self;               /* our own pidfd, for children to see whether we live */
	char *state_path;
	struct plan *plans;
	struct process *processes[BUCKETS];
	unsigned count;         /* processes that have not ended */
	int orphaned;           /* the host is gone: kill, undo, leave */
	int64_t undo_ns;        /* CLOCK_MONOTONIC: conex-undo is asked to end who is left then; 0: not orphaned */
	int blocked;            /* the host's socket is full */
	unsigned expected;      /* processes with .listens */
	unsigned looks;         /* at their status pages, since the last one began */
	unsigned attending;     /* processes with .attends */
	struct rlimit nofile;   /* as the host had it: for children */
	struct cx_status *spare;/* one status page kept for the next launch */
	char buffer[sizeof(struct cx_message) + CX_MESSAGE_BYTES] __attribute__((aligned(16)));
};

/* start.c */
void reset_inherited(struct keeper *k);
/* message.c: reads what the host says. -1: it is gone */
int host_readable(struct keeper *k);
void host_tell(struct keeper *k, struct process *p);    /* says what .tell holds, as far as the socket takes it */
void host_writable(struct keeper *k);
int host_send(struct keeper *k, const struct cx_message *m, const void *bytes, int fd);
/* launch.c */
void launch(struct keeper *k, const struct cx_message *m, const struct cx_launch *l, size_t size, int *fds, int count);
void launch_failed(struct keeper *k, uint64_t id, int error, enum cx_call call);
void child_readable(struct keeper *k, struct process *p);
void lift_start(struct keeper *k, struct process *p);
void lift(struct process *p, int error);
/* process.c */
struct process *process_new(struct keeper *k, uint64_t id);
struct process *process_find(struct keeper *k, uint64_t id);
void process_free(struct keeper *k, struct process *p);
void process_exited(struct keeper *k, struct process *p);
void process_forget_status(struct keeper *k, struct process *p);
int process_take_over(struct keeper *k, struct process *p);
void process_reap(struct keeper *k, struct process *p);
void process_signal(struct process *p, int sig);
void process_kill_all(struct process *p);
int64_t next_deadline(struct keeper *k);
void deadlines_passed(struct keeper *k);
struct cx_status *status_new(struct keeper *k);
int watch(struct keeper *k, int fd, void *data);        /* data: tagged pointer */
void unwatch(struct keeper *k, int *fd);                /* and closes it */
int64_t now_ns(int clock);
/* listener.c */
struct epoll_event;
void listener_expect(struct keeper *k, struct process *p, int pidfd);
void listener_forget(struct keeper *k, struct process *p);
void listeners_look(struct keeper *k);                  /* fetches those that are there */
int listeners_wait(struct keeper *k, struct epoll_event *e);    /* one event, or a moment: as epoll_wait */
/* plans.c, in message.c */
struct plan *plan_find(struct keeper *k, uint64_t id);
void plan_unref(struct keeper *k, struct plan *plan);
/* orphan.c */
void orphaned(struct keeper *k);
void run_undo(struct keeper *k);
void undo_the_living(struct keeper *k);
/* lib/keeper/child.c: runs the plan; returns only when it failed (status says how) or a helper is done */
int cx_child_run(struct cx_child *c);

/* What an epoll event is about: a process's pidfd or its socket (low bit), or one of ours. */
#define TAG_SOCKET ((uintptr_t)1)
#define EVENT_HOST ((void *)8)
#define EVENT_HOST_PIDFD ((void *)16)

#endif
