/* The host's end of the keeper: started when first needed, spoken to under the context's lock. */
#ifndef CX_KEEPER_HOST_H
#define CX_KEEPER_HOST_H

#include "keeper/protocol.h"
#include "state/context.h"

/* A plan without a container (a namespace, a socket from inside): run, waited for, its gift taken. */
struct cx_helper {
	struct cx_helper *next;
	uint64_t id;
	int done;               /* 1: it has ended; -errno: it failed, *failed says how */
	int gift;               /* a descriptor, or -1 */
	struct cx_message failed;
	int64_t timeout_ms;     /* then it is killed; 0: never */
	uint32_t flags;         /* CX_LAUNCH_RELEASED: it isn't killed with keeper or host, but ends by itself */
	uint64_t attends;       /* the launch's id with whose process it ends; 0: none */
	int status;             /* of wait(2), once it has run */
	uint32_t cause;         /* CX_ENDED_... */
	void (*ended)(conex *cx, struct cx_helper *h);  /* locked; NULL: somebody waits for .done */
	void (*waits)(conex *cx, struct cx_helper *h, pid_t pid);       /* locked: it is at a barrier, cx_keeper_lift */
};

struct cx_keeper {
	struct cx_helper *helpers;
	int socket, pidfd;      /* -1: not running */
	pid_t pid;
	unsigned generation;    /* counts keepers: what an earlier one knew, this one doesn't */
	uint64_t next_id;       /* of launches and plans, never reused within a context */
	/* Said for every message, with the lock held; `fd` is the callee's (-1: none). Set by container/. */
	void (*message)(conex *cx, const struct cx_message *m, const void *bytes, int fd);
	void (*lost)(conex *cx);/* the keeper died: what it kept has died too */
};

int cx_keeper_new(conex *cx);                           /* the struct alone; 0, -ENOMEM */
int cx_keeper_start(conex *cx, conex_error **err);      /* nothing to do when it runs */
/* Sends a message, `size` bytes behind it (m->size is set) and descriptors. Blocks at most while the keeper
 * reads. -EPIPE: it is gone */
int cx_keeper_send(conex *cx, struct cx_message *m, const void *bytes, size_t size, const int *fds, int count,
	conex_error **err);
/* A plan's bytes as a sealed memfd message. */
int cx_keeper_send_plan(conex *cx, uint64_t id, const struct cx_plan *plan, conex_error **err);
int cx_keeper_pump(conex *cx);                          /* reads and hands out; 1: something happened */
void cx_keeper_stop(conex *cx);                         /* says bye, sees it go, and forgets it */
void cx_keeper_abandon(conex *cx);                      /* to it we are dead: it kills on, conex-undo cleans up */
/* Runs a helper plan to its end with the descriptors of `fds` (bits of enum cx_fd), context locked. The gift, or
 * -errno; where the plan failed *m says at which operation and `err` is left alone. */
int cx_keeper_help(conex *cx, const struct cx_plan *plan, uint32_t fds, const int *fd, struct cx_message *m,
	conex_error **err);
/* The same without waiting: h->ended is called, also when the keeper dies. h lives until then. */
int cx_keeper_help_later(conex *cx, struct cx_helper *h, const struct cx_plan *plan, uint32_t fds, const int *fd,
	conex_error **err);
/* Waits, with the context locked, for one whose .ended is NULL: h->status and h->cause. 0, -errno */
int cx_keeper_wait(conex *cx, struct cx_helper *h);
void cx_keeper_lift(conex *cx, uint64_t id, int error); /* the barrier that a launch, or helper, waits at */
void cx_keeper_kill(conex *cx, uint64_t id);            /* all of it */
/* Memory with `data` in it as a sealed, read-only-by-seal memfd at offset 0; -1 and errno. */
int cx_keeper_memfd(const char *name, const void *data, size_t size);
/* The other way: memory for a helper's stdout, as large as its answer may be and no larger, all zero behind it: who writes
 * on is told so, and fills nobody's memory. -1 and errno. */
int cx_keeper_answer(const char *name, size_t size);

#endif
