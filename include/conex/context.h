/* conex/context.h: open, close, and the one queue of events.
 *
 * A context owns its containers, its keeper (one small process that starts, watches and reaps
 * them), its state directory and one pollable descriptor. A program needs one; two share
 * nothing. */
#ifndef CONEX_CONTEXT_H
#define CONEX_CONTEXT_H
#include <conex/base.h>

CONEX_BEGIN_DECLARATIONS

/* Containers outlive this process; needs .state. One that has ended stays a zombie until a call or
 * an event here has told so, or else until conex_close: then whoever becomes its parent, the
 * nearest subreaper, gets its status. */
#define CONEX_DETACHED ((uint64_t)1 << 0)
#define CONEX_READ_ONLY ((uint64_t)1 << 1)  /* for looking at .state: what changes it is -EROFS */

struct conex_options {
	size_t size;
	uint64_t flags;
	const char *state;      /* directory; NULL: a private one, gone at close */
	const char *store;      /* of images: a directory of one file system; NULL: $CONEX_STORE, else /var/lib/conex */
	const char *cgroup;     /* parent for our cgroups; NULL: /conex, or the delegated subtree */
	int64_t close_ms;       /* how long conex_close may wait; 0: 5,000 */
	void (*log)(int level, const char *line, void *data); /* NULL: silence; levels as syslog's */
	void *log_data;         /* .log may be called with locks held: it must not call conex */
	/* Who makes the cgroups of containers: "cgroupfs", by writing to the hierarchies, or "systemd",
	 * which is asked for scopes (system.slice/conex-ID.scope; .cgroup is then the slice, as
	 * "/machine.slice", and linux.cgroupsPath reads "slice:prefix:name"). NULL: cgroupfs where
	 * cgroups may be made, else for users their own systemd, if it runs: doc/cgroup.md */
	const char *cgroup_driver;
};

/* Opens a context. Starts no process (the first launch does) and undoes what owners that have
 * died left: everything in private state directories, and in .state all but released containers.
 * A .state directory is made where missing, with mode 0700. Without .state a private one is made
 * below /run/conex ($XDG_RUNTIME_DIR/conex where that isn't ours). options: NULL for the
 * defaults. Owner: *ret is the caller's until conex_close.
 * Returns: 0; -EINVAL flags, close_ms, .state, .cgroup or .cgroup_driver malformed, or flags without
 * .state; -EOPNOTSUPP systemd as driver without cgroup v2;
 * -EPERM .state belongs to another user or may be written by others; -EACCES no right to the
 * directory, or to .cgroup; -ENXIO /proc is not this pid namespace's; -EMFILE no free
 * descriptor; what mkdir(2) and open(2) answer for the directory; the usual.
 * Threads: any. Since: 0.1 */
int conex_open(const struct conex_options *options, conex **ret, conex_error **err);

/* Closes a context; cx may be NULL. Bound containers (the default) are killed and undone, and so
 * are, with a private directory, cgroups made alone; this takes at most close_ms, after which
 * the keeper goes on alone. Containers of a CONEX_DETACHED context run on. Threads that wait in
 * a call get -ESHUTDOWN. Handles stay good for free functions, conex_container_exit and the
 * getters of containers. In a forked copy: releases memory and descriptors, nothing else.
 * Threads: one; other threads may still be in calls that wait. With conex_ref, any. Since: 0.1 */
void conex_close(conex *cx);

/* One more owner of the context's memory, for bindings and others that can't know whether another thread is about to call:
 * each owner has a conex_close of its own, of which the first closes it, whoever makes it. Until the last one calls on cx
 * answer -ESHUTDOWN.
 * Owner: the caller's, by conex_close.
 * Returns: cx.
 * Threads: any. Since: 0.1 */
conex *conex_ref(conex *cx);

/* One descriptor for poll(2), epoll(7), any event loop: readable while conex_next_event has work
 * to do, which may be internal, so that it returns 0. Close-on-exec. Never read from it.
 * Returns: the descriptor; borrowed until conex_close.
 * Threads: any. Since: 0.1 */
int conex_fd(const conex *cx);

/* The process that is parent and reaper of this context's containers. It is not a child of the
 * caller, except where the kernel makes it one: in a program that is pid 1 or a subreaper
 * (prctl(2), PR_SET_CHILD_SUBREAPER). There wait(-1) may return it; that harms nobody.
 * Returns: its pid; 0 while none runs (before the first launch, after conex_close), and in a
 * forked copy.
 * Threads: any. Since: 0.1 */
pid_t conex_keeper_pid(const conex *cx);

enum {
	CONEX_EVENT_STARTED = 1,  /* container or process: its program runs */
	CONEX_EVENT_EXITED,       /* container or process; conex_*_exit tells how, also "never started" */
	CONEX_EVENT_DELETED,      /* container: nothing is left of it */
	CONEX_EVENT_OOM,          /* container or watched cgroup: something in it was killed */
	CONEX_EVENT_HEALTH,       /* container: conex_container_health changed */
	CONEX_EVENT_RESTARTED,    /* container */
	CONEX_EVENT_LOG,          /* container: its log has grown (only if asked) */
	CONEX_EVENT_PRESSURE,     /* watched cgroup: a threshold was crossed */
	CONEX_EVENT_SYSCALL,      /* .syscall wants an answer */
	CONEX_EVENT_JOB,          /* .job: progress, or done */
	CONEX_EVENT_APPLIED,      /* the state given to conex_apply is reached */
	CONEX_EVENT_KEEPER_LOST,  /* bound: its containers have ended; detached: they go on */
	CONEX_EVENT_LIMIT,        /* watched cgroup: a limit was met: memory.high, memory.max, pids.max */
	CONEX_EVENT_EMPTY         /* watched cgroup: its last process has ended */
};                                /* 0.1 sends STARTED, EXITED, DELETED, OOM, PRESSURE, SYSCALL, JOB, and from
                                   * KEEPER_LOST on all */
struct conex_event {
	size_t size;
	int type;
	conex_container *container; /* borrowed until this thread asks again; so are the rest */
	conex_process *process;     /* of conex_exec; .container is its container */
	conex_syscall *syscall;     /* the caller's, until it is answered or conex_close ends it */
	conex_job *job;
	void *data;                 /* the .data given when the object was made */
};

/* Takes the oldest news, after doing what is due inside the library. Events are bits of their
 * objects, not messages: they can't overflow, repeats merge, those of one object come in the
 * order of their numbers, and events that nobody fetches harm nobody: what is deleted and has no
 * handle takes its own along, unless this or conex_fd was called before. conex_container_wait
 * and the like don't consume them.
 * Owner: handles in *ret are borrowed until the same thread's next call (conex_container_ref
 * keeps one).
 * Returns: 1 *ret is filled; 0 nothing within timeout_ms; the usual.
 * Threads: any; of several that wait one reads for all, and each event goes to one of them.
 * Since: 0.1 */
int conex_next_event(conex *cx, int timeout_ms, struct conex_event *ret, conex_error **err);

/* Undoes what dead owners left, as conex_open does; and removes from the store of images, if there is one, what
 * no name leads to and nobody uses. ret_bytes: NULL, or how much that was. What can't be undone is logged and tried again by the next
 * conex_open.
 * Returns: 0; -EPERM -EPROTONOSUPPORT the store is somebody else's, or a newer library's; the usual.
 * Threads: any. Since: 0.1 */
int conex_prune(conex *cx, uint64_t *ret_bytes, conex_error **err);

CONEX_END_DECLARATIONS
#endif
