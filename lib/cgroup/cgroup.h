/* cgroup inside the library: one interface over v2, v1 and hybrid. */
#ifndef CX_CGROUP_CGROUP_H
#define CX_CGROUP_CGROUP_H

#include <conex/cgroup.h>
#include <conex/context.h>
#include "base/str.h"
#include "plan/compile.h"

/* Where the hierarchies are on this machine; read once a context. Immutable after detection. */
struct cx_cgroups;
/* Who makes containers' cgroups: we, by writing to the hierarchies, or systemd (scope.h). */
enum cx_cgroup_by { CX_DRIVER_CHOSEN, CX_DRIVER_CGROUPFS, CX_DRIVER_SYSTEMD };
/* `parent`: conex_options.cgroup, or NULL for /conex or the delegated subtree. */
int cx_cgroups_detect(const char *parent, int driver, struct cx_cgroups **ret, conex_error **err);
void cx_cgroups_free(struct cx_cgroups *g);
int cx_cgroups_any(const struct cx_cgroups *g);         /* 0: none may be made, containers run without */
/* Removes the parent where nothing is below it: at conex_close, never while launching. One that the user
 * named goes only where this context made it. */
void cx_cgroups_prune(const struct cx_cgroups *g);

/* spec.linux.resources -> what will be written where; part of a compiled plan. Refuses what the machine
 * can't do, with the controller and the reason. Empty or NULL resources give an empty list. */
struct cx_cgroup_limits;
int cx_cgroup_limits_compile(const struct cx_cgroups *g, const json_t *resources,
	struct cx_cgroup_limits **ret, conex_error **err);
void cx_cgroup_limits_free(struct cx_cgroup_limits *l);
/* conex_limits (already read with cx_options_read) -> runtime-spec linux.resources, as new JSON. */
int cx_cgroup_limits_json(const struct conex_limits *limits, json_t **ret, conex_error **err);

/* The cgroup of container `id`: from spec.linux.cgroupsPath, else PARENT/ID. "/x/y" counts from the root of
 * each mount; "x/y" from PARENT. With systemd as driver "slice:prefix:name", see scope.h. One path without leading
 * slash, valid below each hierarchy, for whoever plays a journal later too. (free) */
int cx_cgroup_path(const struct cx_cgroups *g, const char *cgroups_path, const char *id, char **ret, conex_error **err);

/* Before all else, as whoever we are on the host: systemd moves a user's processes for him, not those of other ids,
 * which it will be in its user namespace. */
void cx_cgroup_compile_place(struct cx_compile *c);
/* Adds to the plan: attach (cgroup_attach a v1 hierarchy, its cell 1 the slot CX_SLOT_CGROUP), and, if
 * c->made has CONEX_NS_CGROUP, the unshare of the cgroup namespace after that. */
int cx_cgroup_compile(struct cx_compile *c, const struct cx_cgroups *g, conex_error **err);
/* Adds a mount of type "cgroup" or "cgroup2" at `target`. rootfs/ doesn't know this module: container/
 * passes this function to it as cx_compile.mount_cgroup, with the struct cx_cgroups as its data. */
int cx_cgroup_compile_mount(struct cx_compile *c, const char *object, const char *target,
	uint64_t attributes, conex_error **err);

/* For the v2 hierarchy: the directory for CLONE_INTO_CGROUP ("/sys/fs/cgroup/unified/conex/ID"), NULL: no v2.
 * And a file by which all processes can be killed: v2 cgroup.kill or a v1 tasks file. (free) */
int cx_cgroup_clone_path(const struct cx_cgroups *g, const char *path, char **ret);
int cx_cgroup_kill_path(const struct cx_cgroups *g, const char *path, char **ret);

/* mkdir in each hierarchy, then the limits. The caller has journalled `path` before. On failure what was
 * made is removed. -EEXIST: something lives there already. */
int cx_cgroup_make(const struct cx_cgroups *g, const char *path, const struct cx_cgroup_limits *limits, conex_error **err);
int cx_cgroup_apply(const struct cx_cgroups *g, const char *path, const struct cx_cgroup_limits *limits, conex_error **err);
/* Kills everything in it, again until it is empty or timeout_ms is over: 1 empty, 0 not yet. */
int cx_cgroup_kill_all(const struct cx_cgroups *g, const char *path, int timeout_ms, conex_error **err);
/* rmdir everywhere (with sub-cgroups, deepest first). 1: gone; 0: still busy. ENOENT is success. */
int cx_cgroup_remove(const struct cx_cgroups *g, const char *path, conex_error **err);

/* The exit autopsy, read before the cgroup goes: as few file reads as there are facts. */
struct cx_cgroup_facts { uint64_t memory_peak, cpu_ns; uint32_t oom_kills; }; /* 0 where the machine can't tell */
void cx_cgroup_autopsy(const struct cx_cgroups *g, const char *path, struct cx_cgroup_facts *ret);
/* kept: descriptors that stay open from one reading of the same cgroup to the next, at first all -1; NULL: none. */
enum { CX_STAT_KEPT = 64 };
int cx_cgroup_read_stats(const struct cx_cgroups *g, const char *path, int *kept, struct conex_stats *ret, conex_error **err);
void cx_stat_kept_close(int kept[CX_STAT_KEPT]);
/* JSON (free). more: members of the object beside ours; NULL: none */
int cx_cgroup_details(const struct cx_cgroups *g, const char *path, const json_t *more, char **ret, conex_error **err);
int cx_cgroup_freeze_path(const struct cx_cgroups *g, const char *path, int freeze, int timeout_ms, conex_error **err); /* 1 done, 0 not yet */

int cx_cgroup_is_frozen(const struct cx_cgroups *g, const char *path);  /* or on its way there */
/* A signal to all processes in it and below: how many got it. -ENOENT: no such cgroup. */
int cx_cgroup_signal(const struct cx_cgroups *g, const char *path, int sig, conex_error **err);
/* All processes in it and below. Count, -errno. (free) */
int cx_cgroup_count(const struct cx_cgroups *g, const char *path, pid_t **ret);

/* Out-of-memory kills while containers run, without a descriptor a container: one fd for all (v1: one eventfd
 * registered with every memory.oom_control; v2: one inotify over memory.events). After it became readable,
 * drain it and compare cx_cgroup_oom_kills of those that are watched. */
int cx_cgroup_oom_fd(const struct cx_cgroups *g, conex_error **err);          /* made at the first call; owned by g */
int cx_cgroup_oom_watch(const struct cx_cgroups *g, const char *path, conex_error **err);
/* Stops it (v2 would keep the watch of a removed cgroup); cx_cgroup_remove does it itself. */
void cx_cgroup_oom_unwatch(const struct cx_cgroups *g, const char *path);
/* Returns in how many ms to compare once more, 0: not needed. v1 says so before it kills, not after; it
 * also becomes readable when a watched cgroup is removed. */
int cx_cgroup_oom_drain(const struct cx_cgroups *g);
uint32_t cx_cgroup_oom_kills(const struct cx_cgroups *g, const char *path);

/* Everything else that a cgroup can be watched for (conex_cgroup_watch). The context's lock is held. */
enum cx_cgroup_watch_kind { CX_WATCH_OOM, CX_WATCH_COUNTER, CX_WATCH_EMPTY, CX_WATCH_PRESSURE, CX_WATCH_LEVEL };
struct cx_hierarchy;
struct cx_cgroup_watch {                /* stays where it is between begin and end */
	enum cx_cgroup_watch_kind kind;
	int event;                      /* CONEX_EVENT_... */
	const struct cx_hierarchy *h;
	const char *file, *key;
	char trigger[48];               /* what the kernel is told */
	uint64_t stall_us, seen;
	int full, frozen, told;
	int fd, wd;                     /* a trigger of its own, or inotify's number; -1 */
};
struct cx_cgroup_hits { struct cx_cgroup_watch *fired[32]; int wd[64]; int count, noted, more; };
int cx_cgroup_watch_parse(const struct cx_cgroups *g, const char *what, struct cx_cgroup_watch *w, conex_error **err);
int cx_cgroup_watch_begin(const struct cx_cgroups *g, const char *path, struct cx_cgroup_watch *w, conex_error **err);
void cx_cgroup_watch_end(const struct cx_cgroups *g, struct cx_cgroup_watch *w);
int cx_cgroup_watch_fd(const struct cx_cgroups *g, conex_error **err);  /* made at the first call; owned by g */
/* After it became readable: what to look at, and each watch's answer. CX_WATCH_OOM isn't among them. */
void cx_cgroup_watch_hits(const struct cx_cgroups *g, struct cx_cgroup_hits *ret);
int cx_cgroup_watch_happened(struct cx_cgroup_watch *w, const char *path, const struct cx_cgroup_hits *hits);

#endif
