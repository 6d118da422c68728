/* The systemd driver: a container's cgroup is a transient scope, made by systemd with the parked first process
 * in it, handed over (Delegate=), and taken away by systemd when it is empty. */
#ifndef CX_CGROUP_SCOPE_H
#define CX_CGROUP_SCOPE_H

#include "cgroup/cgroup.h"

/* ---- scope.c: names, paths, properties; no systemd is needed ---- */

/* linux.cgroupsPath as systemd's driver reads it ("slice:prefix:name"; NULL or "": conex-ID in the default slice)
 * -> the scope's cgroup below `root`, the manager's own ("" or "user.slice/..."). (free) */
int cx_scope_path(const char *root, const char *default_slice, const char *cgroups_path, const char *id, char **ret,
	conex_error **err);
/* Is this of the form that only systemd's driver takes? */
int cx_scope_is_slice_form(const char *cgroups_path);
/* "machine.slice" and the like: may it be named? */
int cx_scope_slice_valid(const char *slice);

/* What a file of the cgroup means to systemd. */
struct cx_scope_property {
	const char *name;
	uint64_t value;                 /* UINT64_MAX: no limit */
	uint8_t mask[128];              /* .mask_size > 0: a set of processors or memory nodes instead */
	size_t mask_size;
};
enum { CX_SCOPE_PROPERTIES = 2 };       /* of one file: cpu.max is two */
/* How many (0: systemd has none for it, or not for this text). */
int cx_scope_properties(const char *file, const char *text, struct cx_scope_property ret[CX_SCOPE_PROPERTIES]);

/* ---- manager.c: a connection to a service manager, and what is asked of it ---- */

struct cx_manager;
/* user: the caller's own manager, else PID 1. Blocks for a moment; no lock is needed. */
int cx_manager_open(int user, struct cx_manager **ret, conex_error **err);
void cx_manager_close(struct cx_manager *m);
int cx_manager_fd(const struct cx_manager *m);
const char *cx_manager_root(const struct cx_manager *m);        /* its cgroup: "", "user.slice/..." */

/* A scope in the making; the caller's, at one place until it has ended. */
struct cx_scope_job {
	struct cx_scope_job *next;
	struct cx_manager *manager;
	void *slot;
	char unit[256];
	char path[256];                 /* the job's object; "": not answered yet */
	/* Once, from cx_manager_pump or cx_manager_close. The error is the callee's; NULL: the scope is there. */
	void (*ended)(struct cx_scope_job *job, conex_error *why);
};
/* Sent, not waited for. 0; or why not, and then .ended isn't called. */
int cx_scope_start(struct cx_manager *m, struct cx_scope_job *job, const char *path, pid_t pid,
	const struct cx_cgroup_limits *limits, conex_error **err);
/* The same for one more process of a scope that is there. */
int cx_scope_attach(struct cx_manager *m, struct cx_scope_job *job, const char *path, pid_t pid, conex_error **err);
/* Nobody waits for it any more. */
void cx_scope_forget(struct cx_scope_job *job);
/* Reads what is there. 0; -errno: the connection is lost, all jobs have ended with that. */
int cx_manager_pump(struct cx_manager *m);
/* What these limits have changed in the scope's files, told to systemd, which would write its own numbers again at
 * the next daemon-reload. Waits for the answer. */
int cx_scope_set(struct cx_manager *m, const struct cx_cgroups *g, const char *path,
	const struct cx_cgroup_limits *limits, conex_error **err);

/* ---- systemd.c: the driver of a context ---- */

int cx_cgroups_by_systemd(const struct cx_cgroups *g);
int cx_cgroups_user_manager(const struct cx_cgroups *g);
/* The context's connection, guarded by its lock; NULL: not made yet, or lost. */
struct cx_manager *cx_cgroups_manager(const struct cx_cgroups *g);
/* Takes it over, with the lock; frees it where there is one already. 1: taken */
int cx_cgroups_set_manager(struct cx_cgroups *g, struct cx_manager *m);
void cx_cgroups_drop_manager(struct cx_cgroups *g);
/* Nothing is left of a scope: killed, and waited for until systemd has taken it away. *since: 0 at the first call.
 * 1: gone; 0: ask again; -errno. */
int cx_scope_remove(const struct cx_cgroups *g, const char *path, int64_t *since);
int cx_scope_exists(const struct cx_cgroups *g, const char *path);
/* Is this process in that cgroup, by its own word? */
int cx_cgroup_holds(const struct cx_cgroups *g, const char *path, pid_t pid);
/* parent.c: may the driver be systemd's here? Sets g up for it, or fails (forced). */
int cx_systemd_settle(struct cx_cgroups *g, const char *parent, conex_error **err);
/* A user without cgroups of his own, whose manager can be asked. */
int cx_systemd_suits(const struct cx_cgroups *g);

#endif
