/* The context: what every module gets, and how threads wait in it. */
#ifndef CX_STATE_CONTEXT_H
#define CX_STATE_CONTEXT_H

#include <pthread.h>
#include <conex/context.h>
#include "base/cleanup.h"
#include "state/queue.h"
#include "state/state.h"

struct json_t;
struct cx_build;

/* A user namespace for a program that an unprivileged user's keeper executes: set by container/, which knows of maps. */
struct cx_own_ids {
	/* Operations that enter it, as the first of a plan but inherit. 0, -ENOMEM */
	int (*compile)(struct cx_build *b, struct json_t **ret_uids, struct json_t **ret_gids);
	/* At that plan's barrier, where helpers are needed: they write the maps and lift it; done (which gets `err`, NULL: all
	 * is well) is called once, perhaps at once. Locked */
	void (*write)(conex *cx, uint64_t id, pid_t pid, const struct json_t *uids, const struct json_t *gids,
		void (*done)(void *arg, conex_error *err), void *arg);
};

struct conex {
	int refs;                       /* the user's, and one of every handle: atomic */
	pid_t pid;                      /* who opened it: a forked copy may only free */
	pthread_mutex_t lock;           /* guards all that follows, and all objects of the context */
	pthread_cond_t changed;         /* something was read, or the lead is free */
	int closed;
	uint64_t flags;
	int64_t close_ms;
	void (*log)(int level, const char *line, void *data);
	void *log_data;
	char *cgroup_parent;
	int cgroup_driver;              /* enum cx_cgroup_by */
	struct cx_state *state;
	/* Waiting: `inner` is readable when there is something to pump; conex_fd is inner and the queue's. */
	int fd, inner, wake;
	int leading;                    /* a thread is in poll(inner) for all */
	int listens;                    /* somebody asks for events: they are kept for him */
	int said_no_cgroups;            /* the remark was made */
	int busy;                       /* calls that wait or work without the lock: conex_close lets them end */
	struct cx_queue queue;
	int (*pump)(conex *cx);         /* reads what is there without blocking; 1: something happened */
	/* Of the modules above, each only its own: */
	struct cx_keeper *keeper;
	struct cx_containers *containers;
	struct cx_cgroups *cgroups;
	struct cx_networks *networks;   /* NULL: not needed yet */
	struct cx_store *store;         /* of images; NULL: not needed yet */
	char *store_path;               /* NULL: the usual one */
	conex_job *jobs;                /* that run */
	conex_job *sweep;               /* the one of them that empties the store's tmp/; NULL */
	char *sweep_again;              /* a store that has got more to be swept meanwhile; NULL */
	int sweep_looked;               /* whether there is something from earlier has been asked */
	const struct cx_own_ids *own_ids;
	struct cx_seccomp_cache *seccomp;
};

/* Locks; refuses in a forked copy (-ECHILD) and after conex_close (-ESHUTDOWN), unlocked then. */
int cx_context_lock(conex *cx, conex_error **err);
/* The same for what changes the world: a CONEX_READ_ONLY context answers -EROFS. */
int cx_context_lock_to_change(conex *cx, conex_error **err);
void cx_context_unlock(conex *cx);
/* Around a call that works with the context without holding its lock: conex_close waits for it. Refuses as
 * cx_context_lock does. Not locked afterwards. */
int cx_context_begin(conex *cx, conex_error **err);
void cx_context_end(conex *cx);
/* For what is allowed after conex_close and in a forked copy, where another thread may hold the lock for
 * ever: nothing is locked there (0). */
int cx_context_hold(conex *cx);
void cx_context_release(conex *cx, int held);

/* With the lock held. Reads what is there; 1: something happened, and whoever waits looks again. May unlock
 * meanwhile. */
int cx_context_pump(conex *cx);
/* With the lock held: something has changed that a thread may be waiting for. */
void cx_context_notify(conex *cx);

/* With the lock held: until ready(arg) is true (1), the deadline has passed (0; CLOCK_MONOTONIC ns, -1: never)
 * or the context is closed (-ESHUTDOWN). One of the waiting threads reads for all. */
int cx_context_wait(conex *cx, int64_t deadline_ns, int (*ready)(void *arg), void *arg);
/* timeout_ms of the public API as a deadline: 0 now, -1 never. */
int64_t cx_context_deadline(int timeout_ms);
/* Adds a descriptor to what `inner` watches. 0, -errno */
int cx_context_watch(conex *cx, int fd);

conex *cx_context_ref(conex *cx);
void cx_context_unref(conex *cx);       /* the last one frees the memory */
int cx_context_new(conex **ret, conex_error **err);

void cx_log(const conex *cx, int level, const char *format, ...) CX_PRINTF(3, 4);

#endif
