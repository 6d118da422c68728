/* container/ inside: tasks (what the keeper has started), containers, their tables. All of it is guarded by
 * the context's lock unless a comment says otherwise. */
#ifndef CX_CONTAINER_CONTAINER_H
#define CX_CONTAINER_CONTAINER_H

#include <jansson.h>
#include <conex/conex.h>
#include "base/error.h"
#include "cgroup/cgroup.h"
#include "keeper/host.h"
#include "namespace/namespace.h"
#include "network/usermode.h"
#include "spec/spec.h"
#include "state/context.h"

/* A compiled plan; immutable, counted, shared by its containers. */
struct conex_plan {
	int refs;                       /* atomic */
	conex *cx;
	struct cx_plan *bytes;
	json_t *spec;                   /* the whole spec it was made of, for exec and for people */
	struct cx_cgroup_limits *limits;
	char *bundle;                   /* of the spec it was made of; NULL: none */
	int64_t grace_ms;
	char *network;                  /* names, with commas between; NULL: none is joined */
	char *hosts, *resolv;           /* lines for /etc/hosts, all of /etc/resolv.conf; NULL: the networks' alone */
	char *others_hosts, *others_resolv;     /* files of the container whose network it is on; NULL */
	enum cx_usermode usermode;      /* a program makes its network; then .network is NULL */
	struct cx_wanted *ports;        /* to be published */
	int ports_count;
	uint64_t ingress_bps, egress_bps;       /* of each interface; 0: no limit */
	conex_namespace **join;         /* NULL-ended, each counted */
	uint32_t joins;
	struct cx_image_use *image;     /* whose layers are its root file system; NULL */
	char *spec_name;                /* in the state directory; NULL: not written yet (locked) */
	uint64_t id;                    /* the keeper's name for it; 0: never sent (locked) */
	unsigned generation;            /* of the keeper that has it (locked) */
};

enum cx_task_kind { CX_TASK_CONTAINER, CX_TASK_PROCESS };

/* Something that the keeper has started: a container's first process, or one more in it. */
struct cx_task {
	struct cx_news news;            /* first: the queue gives it back */
	enum cx_task_kind kind;
	struct cx_task *next;           /* of its bucket */
	conex *cx;                      /* counted */
	uint64_t id;                    /* of the launch; 0: not started by our keeper */
	int state;                      /* CONEX_CREATING ... */
	uint64_t flags;                 /* CONEX_RUN_... */
	pid_t pid;                      /* -1: none */
	int pidfd;                      /* -1: not asked for yet */
	int stdio[3];                   /* our ends; -1. With a pty stdio[0] is its master */
	void *data;
	conex_plan *plan;               /* counted; NULL: another process's container, or gone */
	int64_t started_ns;             /* CLOCK_MONOTONIC */
	int seen;                       /* released: somebody here knows that it ended (cx_task_seen) */
	struct conex_exit exit;         /* once EXITED */
	conex_error *error;             /* why NEVER_STARTED */
	uint64_t *timeline;
	uint32_t timeline_size;
};

struct conex_container {
	struct cx_task task;
	int refs;                       /* locked: the table's, the queue's, the user's */
	struct conex_container *next;   /* of the table */
	char id[65];
	char *cgroup;                   /* relative path; NULL: none */
	char **labels;
	int listed;                     /* in the table */
	int journalled;
	int made_cgroup;
	int undoing;                    /* a thread is undoing it, without the lock */
	struct cx_hooks *hooks;         /* hooks that run for it just now; NULL */
	struct cx_published *published; /* its ports; NULL */
	struct cx_joined *joined;       /* its networks; NULL */
	char *snapshot, *hold;          /* of an image: what it writes to, and what the journal has of the lease; NULL */
	char *image;                    /* its manifest's digest; NULL: of none */
	int committing;                 /* workers that read what it has written: so long it is neither resumed nor undone */
	int maps;                       /* helpers write its id maps just now */
	struct cx_chain *chain;         /* CNI plugins that run for it just now; NULL */
	int unplugged;                  /* they have been asked to delete its interfaces; -1: and could not: the
	                                 * journal stays, for the next one to try */
	struct cx_stack *stack;         /* the program that makes its network, while it lives; NULL */
	struct cx_placing *placing;     /* systemd is making its scope just now; NULL */
	int by_systemd;                 /* CX_BY_...: .cgroup is a scope's */
	int64_t undoing_since;          /* of a scope: when it was first to go; 0 */
	int poststop_done;
	int undo_later;                 /* its cgroup was busy: again when the timer ticks */
	int watched;                    /* for OOM kills, which began at oom_seen */
	uint32_t oom_seen;
	int process;                    /* /proc/PID of its first process, for counters.c; -1 */
	int host_network;               /* it has none of its own */
	/* of another process (conex_container_get): */
	uint64_t start;                 /* start time of .task.pid; */
	json_t *spec;                   /* from the state directory */
	int released;                   /* its owner is its state directory */
	int64_t created_at_ns;          /* CLOCK_REALTIME */
	char *bundle;
	char spec_name[33];             /* released: the file in the state directory is its own */
};

enum { CX_BY_SYSTEMD = 1, CX_BY_USER_SYSTEMD };

struct conex_process {
	struct cx_task task;
	int refs;
	conex_container *container;     /* counted */
};

enum { CX_TASK_BUCKETS = 256 };

struct cx_lent {
	struct cx_lent *next;
	pthread_t thread;
	struct cx_task *task;           /* counted; NULL: given back */
	conex_job *job;                 /* the same */
};

struct cx_containers {
	struct cx_task *tasks[CX_TASK_BUCKETS];  /* by launch id: those that the keeper speaks of */
	conex_container *first;                  /* all that are known to this context */
	struct cx_news lost;                     /* KEEPER_LOST */
	struct cx_lent *lent;                    /* what each thread's last event borrowed */
	int timer;                               /* timerfd: undo again */
	struct cx_placing *placings;             /* whom systemd is putting into scopes just now */
	int undo_pending;                        /* some container has .undo_later */
	int stacks;                              /* how many .stack have begun, and aren't ready yet */
	int foreign;                             /* some container is another process's */
	int oom_again;                           /* the interval to the next comparison in ms; 0: none */
	int64_t oom_next_ns;                     /* when that is */
	int oom_watched, others_watched;         /* the cgroup module's descriptors are in `inner` */
	struct cx_watch *watches;                /* cgroups made alone (conex_cgroup_watch) */
	struct cx_broker *brokers;               /* listeners of seccomp filters */
	conex_syscall *syscalls;                 /* handed out, and unanswered */
};

/* task.c */
void cx_task_init(struct cx_task *t, enum cx_task_kind kind, conex *cx);
void cx_task_close(struct cx_task *t);
void cx_task_forget_plan(struct cx_task *t);            /* locked; it is gone */
void cx_task_register(struct cx_task *t);
void cx_task_unregister(struct cx_task *t);
struct cx_task *cx_task_find(conex *cx, uint64_t id);
void cx_task_ref(struct cx_task *t);
void cx_task_unref(struct cx_task *t);
void cx_task_let_go(struct cx_task *t);                 /* a reference that may be the last but the queue's */
void cx_task_post(struct cx_task *t, int event);        /* holds a reference while queued */
void cx_task_seen(struct cx_task *t);                   /* locked */
int cx_task_wait(struct cx_task *t, int timeout_ms, int *ret_status, conex_error **err);
int cx_task_kill(struct cx_task *t, int sig, conex_error **err);
int cx_task_pidfd(struct cx_task *t);                   /* asks the keeper where needed; borrowed, -1 */
int cx_task_exit(struct cx_task *t, struct conex_exit *ret, conex_error **err);
int cx_task_resize(struct cx_task *t, int rows, int columns, conex_error **err);
int cx_task_stdio(struct cx_task *t, int n, int take);
int cx_task_output(struct cx_task *t, int timeout_ms, struct conex_output *io, conex_error **err);

/* table.c */
conex_container *cx_container_new(conex *cx, const char *id);   /* one reference; not in the table */
void cx_container_list_add(conex_container *c);                 /* the table's reference */
void cx_container_list_remove(conex_container *c);
conex_container *cx_container_find(conex *cx, const char *id);
void cx_container_unref(conex_container *c);
int cx_container_check_id(const char *id, conex_error **err);

struct cx_image_use;
/* options.c: options and image -> a validated spec */
int cx_options_check(const char *call, const struct conex_run_options *o, unsigned what, conex_error **err);
#define CX_FOR_PLAN 1u
#define CX_FOR_LAUNCH 2u
#define CX_FOR_EXEC 4u
int cx_options_spec(conex *cx, const char *image, const char *const *args, const struct conex_run_options *o,
	struct cx_image_use **ret_image, json_t **ret, conex_error **err);
int cx_options_exec_spec(const json_t *spec, const char *const *args, const struct conex_run_options *o, json_t **ret,
	conex_error **err);
json_t *cx_env_merge(const json_t *env, const char *const *more);       /* new reference; NULL: no memory */
int cx_user_json(const char *user, const json_t *spec, json_t **ret, conex_error **err); /* user.c: by names of its root */
/* users.c: a file of its root, or of its layers as overlay will show them: an O_PATH descriptor, and what it is. -errno */
struct stat;
int cx_users_open(const json_t *spec, const char *path, struct stat *st);

/* plan.c */
int cx_plan_make(conex *cx, const char *image, const char *const *args, const struct conex_run_options *o,
	conex_plan **ret, conex_error **err);
/* compile.c */
const char **cx_texts(const json_t *list, const char *first);          /* NULL-ended; `first` alone where empty. free */
#define CX_COMPILE_EXEC 1u              /* one more program in a running container */
#define CX_COMPILE_PLACED 2u            /* with EXEC: into a scope that only systemd may put it in */
#define CX_COMPILE_NETWORKED 4u         /* it joins networks of the host's */
#define CX_COMPILE_NAMED 8u             /* it has files of names */
#define CX_COMPILE_USERMODE 16u         /* a program outside makes its network */
int cx_plan_compile(conex *cx, json_t *spec, unsigned how, conex_namespace *const *join, struct cx_plan **ret,
	struct cx_cgroup_limits **ret_limits, conex_error **err);
conex_plan *cx_plan_ref(conex_plan *p);
void cx_plan_unref(conex_plan *p);
int cx_plan_send(conex_plan *p, conex_error **err);                     /* locked */

/* stdio.c: what a launch brings as 0, 1, 2 */
struct cx_stdio {
	int child[3];                   /* descriptors for the child; -1: /dev/null */
	int own[3];                     /* the child end is ours to close after sending */
	int host[3];                    /* our ends of pipes; -1 */
};
int cx_stdio_open(struct cx_stdio *s, const struct conex_run_options *o, conex_error **err);
void cx_stdio_sent(struct cx_stdio *s);                                 /* closes the child's ends */
void cx_stdio_close(struct cx_stdio *s);

/* How many texts a NULL-ended list has. */
static inline uint32_t cx_count(const char *const *list)
{
	uint32_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

/* Containers of a detached context are released: their state directory owns them. */
static inline int cx_is_released(const conex *cx)
{
	return (cx->flags & CONEX_DETACHED) != 0;
}

/* journal.c */
int cx_container_journal(conex_container *c, conex_error **err);

/* request.c */
struct cx_network_launch {              /* what a launch hands over of its networks */
	struct cx_str inside;           /* requests to rtnetlink */
	const char *hosts, *resolv;     /* paths of files; NULL */
};
void cx_network_launch_clear(struct cx_network_launch *l);      /* network.c */
#define cx_autolaunch cx_cleanup(cx_network_launch_clear) struct cx_network_launch
struct cx_request {                     /* one launch message in the making */
	struct cx_task *task;
	const struct conex_run_options *options;
	const char *const *args;
	const json_t *env;              /* merged; NULL: the plan's */
	const char *cgroup;             /* relative; NULL: none */
	const char *hostname;           /* NULL: the plan's */
	const struct cx_network_launch *network;        /* NULL: on no networks */
	const char *snapshot;           /* NULL: none */
	const char *state;              /* for hooks inside; NULL: there are none */
	struct cx_stdio stdio;
	int listener;                   /* released and held; -1 */
	uint32_t launch_flags;          /* CX_LAUNCH_... */
	uint64_t target;                /* exec: the container's launch; 0: */
	int target_pidfd;               /* exec into another process's container; -1 */
};
int cx_request_send(struct cx_request *r, conex_error **err);           /* locked */
int cx_task_started(struct cx_task *t, conex_error **err);              /* locked: waits until it runs or failed */

int cx_launch(conex_plan *plan, const char *const *args, const struct conex_run_options *o, conex_container **ret,
	conex_error **err);
void cx_container_note_pid(conex_container *c);

/* messages.c */
void cx_containers_message(conex *cx, const struct cx_message *m, const void *bytes, int fd);
void cx_containers_lost(conex *cx);
void cx_task_lift(struct cx_task *t, int error);        /* the barrier that it waits at */
void cx_container_ended(conex_container *c);    /* autopsy, event, AUTODELETE */
int cx_containers_pump(conex *cx);
void cx_exit_fill(struct conex_exit *x, int status, uint32_t ended);   /* wait(2)'s status, CX_ENDED_... */

/* words.c */
void cx_words_failed(const conex_plan *plan, const struct cx_message *m, conex_error **err);

/* hooks.c. A chain ends with cx_hooks_ended (messages.c). All locked. */
enum cx_hooks_stage { CX_HOOKS_RUNTIME, CX_HOOKS_POSTSTART, CX_HOOKS_POSTSTOP };
int cx_hooks_any(const conex_container *c, enum cx_hooks_stage stage);
void cx_hooks_begin(conex_container *c, enum cx_hooks_stage stage);
void cx_hooks_ended(conex_container *c, enum cx_hooks_stage stage, const conex_error *why);
char *cx_hooks_state_head(const conex_container *c);
json_t *cx_hooks_state(const conex_container *c);       /* all but status and pid; new. NULL: no memory */
void cx_hooks_compile_create(struct cx_compile *c);
void cx_hooks_compile_start(struct cx_compile *c);

/* ask.c: system calls that wait for an answer */
int cx_options_ask(json_t *spec, const char *const *ask, conex_error **err);   /* into a whole spec */
void cx_task_listens(struct cx_task *t, pid_t pid, int fd);      /* CX_MSG_LISTENER; takes fd. t->error */

/* broker.c */
int cx_broker_add(struct cx_task *t, int fd, conex_error **err);        /* takes fd, if 0 */
int cx_brokers_pump(conex *cx);                         /* 1: there is news */
/* CONEX_EVENT_SYSCALL of the queue: its task, and the call, which is the user's; NULL: it is gone already */
struct cx_task *cx_broker_take(conex *cx, struct cx_news *n, conex_syscall **ret);
void cx_brokers_close(conex *cx);                       /* nobody answers any more */
void cx_brokers_let_go(conex *cx);                      /* the same in a forked copy */

/* members.c: where there are no cgroups */
int cx_container_members(const conex_container *c, pid_t **ret);        /* count, -errno. free */
int cx_container_signal_members(const conex_container *c, int sig, conex_error **err);

/* image.c */
/* What an image says, as a layer for a spec; args: after its entrypoint. */
int cx_image_layer(conex *cx, const char *image, const char *const *args, const struct conex_run_options *o,
	struct cx_image_use **ret, json_t **ret_spec, conex_error **err);
/* Once all is in the spec: its volumes, and what a user namespace makes of it. joins_user: one of those in options is one. */
int cx_image_fit(struct cx_image_use *u, json_t *spec, int joins_user, conex_error **err);
void cx_image_use_free(struct cx_image_use *u);
int cx_container_hold_image(conex_container *c, conex_error **err);     /* not locked; nor is: */
int cx_container_drop_image(conex_container *c);        /* 0: something is left */

/* disk.c: .disk */
int cx_disk_check(const struct conex_run_options *o, const char *image, conex_error **err);
int cx_disk_make(conex *cx, const char *snapshot, uint64_t bytes, conex_error **err);  /* not locked */

/* names.c: .hosts and .dns */
int cx_names_read(const struct conex_run_options *o, int networked, char **ret_hosts, char **ret_resolv,
	conex_error **err);

/* Its own files, where it is on no network that has them: into the journal, then made, and taken away. */
int cx_names_note(conex_container *c, struct cx_journal *j);            /* 0, -ENOMEM */
int cx_names_write(conex_container *c, const char *const *servers, conex_error **err);
void cx_names_remove(const conex_container *c);

/* modes.c: .network's words */
int cx_modes_check(const char *list, conex_error **err);
int cx_modes_networks(const char *list, char **ret);    /* the names with commas between; NULL: none. 0, -ENOMEM */
int cx_modes_usermode(const conex *cx, const char *list, enum cx_usermode *ret, conex_error **err);
json_t *cx_modes_devices(const char *list);
/* 1: *ret is another container's network namespace, whose names' files are the plan's; 0: it isn't asked for. Not
 * locked */
int cx_modes_join(conex_plan *p, const char *list, conex_namespace **ret, conex_error **err);

/* attach.c: at the barrier of a container that waits for its interfaces. Locked. Takes `ns`, its network namespace,
 * if it gave that (-1). */
void cx_attach_begin(conex_container *c, int ns);

/* stack.c: networks without privileges */
int cx_stack_prepare(conex_container *c, conex_error **err);    /* not locked */
void cx_stack_begin(conex_container *c, int ns);        /* at the barrier; takes ns. Locked */
int cx_stacks_pump(conex *cx);                          /* 1: one is ready, or never will be. Locked */

/* network.c */
int cx_container_join(conex_container *c, struct cx_network_launch *l, conex_error **err);      /* not locked */
int cx_container_link(conex_container *c, conex_error **err);   /* at the barrier: its pid is the child's */
void cx_container_let_networks_go(conex_container *c);
void cx_container_cut(conex_container *c);
int cx_container_has_bridge(const conex_container *c);
int cx_container_check_links(const conex_container *c, conex_error **err);
int cx_container_leave(conex_container *c);             /* 1; 0: again in a moment. Not locked */
int cx_container_has_left(const conex_container *c);    /* 0: something couldn't be given back */
void cx_container_joined_free(conex_container *c);
void cx_container_files(const conex_container *c, const char **hosts, const char **resolv);     /* borrowed; NULL */
void cx_container_take_files(conex_container *c, const char *hosts, const char *resolv);
const char *cx_container_bridged(const conex_container *c, int family);
void cx_container_take_addresses(conex_container *c, const char *const *notes, int count);

/* cni.c: interfaces that plugins make. Locked unless it says so. */
struct cx_networks;
struct joined;
int cx_cni_prepare(conex_container *c, const struct cx_networks *place, conex_error **err);    /* not locked */
int cx_cni_plug(conex_container *c, conex_error **err); /* at the barrier. 1: begun; its end lifts it. 0: has none */
int cx_cni_unplug(conex_container *c);          /* 1: plugins run for it, till they have ended */
void cx_cni_unpin(conex_container *c);          /* not locked */
void cx_cni_drop(conex_container *c);           /* nobody will hear how it ends */
/* Of ports none of its networks is ours for. 1; 0: not theirs; -EOPNOTSUPP: no plugin takes them. Not locked */
int cx_cni_takes_ports(const conex_container *c, conex_error **err);
struct cx_cni_call;
int cx_cni_run(const struct cx_cni_call *call, int *ret_status, void *cx);     /* waits; not locked */
void cx_joined_note(struct cx_journal *journal, const struct joined *j);       /* network.c */

/* ports.c */
json_t *cx_ports_mappings(const conex_container *c);    /* CNI's portMappings, new; NULL: no memory */
int cx_ports_read(const struct conex_run_options *o, int networked, enum cx_usermode mode, struct cx_wanted **ret,
	int *ret_count, conex_error **err);
/* Not locked, but with `place` NULL: then they are chosen and written down only, and may be again. */
int cx_container_publish(conex_container *c, const struct cx_networks *place, conex_error **err);
const struct cx_port *cx_container_ports(const conex_container *c, int *ret_count);
int cx_container_port_lost(const conex_container *c);   /* 1: one that was chosen is somebody else's by now */
void cx_container_withdraw(conex_container *c);         /* not locked */
void cx_container_take_ports(conex_container *c, const char *const *notes, int count);

/* counters.c: what has gone through its interfaces. Locked; may unlock meanwhile */
void cx_container_add_counters(conex_container *c, struct conex_stats *s);
json_t *cx_container_interfaces(conex_container *c);    /* {"interfaces": ...}, or {}; new. NULL: no memory */

/* maps.c */
void cx_maps_begin(conex_container *c);          /* locked */
extern const struct cx_own_ids cx_maps_own_ids;  /* the context's */

/* placing.c */
int cx_placing_connect(conex *cx, conex_error **err);   /* nothing to do where it is connected; not locked */
void cx_placing_begin(struct cx_task *t);        /* locked */
int cx_placing_pump(conex *cx);                  /* locked */
int cx_placing_changed(conex_container *c, const struct cx_cgroup_limits *limits, conex_error **err);   /* not locked */

/* undo.c */
void cx_container_gone(conex_container *c);     /* all is undone: DELETED */
struct cx_undo {                /* who plays a journal */
	const struct cx_cgroups *cgroups;
	int (*run)(const struct cx_cni_call *call, int *ret_status, void *data);        /* NULL: can't */
	void *data;
	int sweeps;             /* large snapshots aren't removed here: cx_undo_swept */
	char *trash;            /* a store to be swept; NULL */
};
enum { CX_UNDO_ENTRIES = 256 };         /* of a snapshot: so few are removed at once, by whoever asks */
void cx_undo_swept(conex *cx, struct cx_undo *who);     /* has it swept, and frees it. Not locked */
int cx_undo_play(enum cx_op_code undo, const char *text, void *who);   /* struct cx_undo */
int cx_container_undo(conex_container *c);      /* 1: nothing is left; 0: busy. Locked; may unlock meanwhile */
void cx_container_undo_later(conex_container *c);
void cx_container_kill_frozen(conex_container *c);      /* lifecycle.c */
int cx_undo_tick(conex *cx);                    /* 1: something went. Locked; may unlock meanwhile */
void cx_containers_tick_in(conex *cx, int milliseconds);

/* foreign.c: containers that another process launched */
int cx_foreign_get(conex *cx, const char *id, conex_container **ret, conex_error **err);
int cx_foreign_pump(conex *cx);                 /* has one exited meanwhile? 1: yes */
int cx_foreign_start(conex_container *c, conex_error **err);
int cx_listener_open(conex *cx, const char *id, conex_error **err);
int cx_listener_connect(conex *cx, const char *id);

/* context.c */
int cx_context_need_cgroups(conex *cx, conex_error **err);
int cx_context_need_cgroups_locked(conex *cx, conex_error **err);
int cx_container_watch_oom(conex_container *c);
void cx_context_drop_parts(conex *cx);

/* watch.c, events.c */
int cx_watch_of(conex *cx, const struct cx_news *n, void **ret_data);
void cx_watches_compare(conex *cx);             /* out-of-memory kills */
void cx_watches_pump(conex *cx);                /* all else */
void cx_watches_free(conex *cx);
void cx_events_forget(conex *cx);

#endif
