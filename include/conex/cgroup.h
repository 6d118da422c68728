/* conex/cgroup.h: limits, usage and events of a group of processes, conex's or yours.
 *
 * One interface for cgroup v2, v1 and machines that have both; no keeper is needed. A group is a
 * cgroup NAME below the context's parent (conex_options.cgroup), in each hierarchy where the
 * caller may make one. Values are the kernel's: admin-guide/cgroup-v2.rst and
 * admin-guide/cgroup-v1/. */
#ifndef CONEX_CGROUP_H
#define CONEX_CGROUP_H
#include <conex/base.h>

CONEX_BEGIN_DECLARATIONS

struct conex_limits {           /* 0: not set, or as it was; CONEX_UNLIMITED lifts a limit */
	size_t size;
	uint64_t memory;            /* bytes, without swap */
	uint64_t swap;              /* bytes of swap alone; not set while memory is: none */
	uint64_t memory_low;        /* bytes kept back from reclaim */
	double cpus;                /* 1.5: one and a half processors */
	uint32_t cpu_weight;        /* 1..10,000, default 100, on v1 as well */
	const char *cpuset;         /* "0-3,8" */
	uint64_t pids;
	const char *oci;            /* the rest: runtime-spec linux.resources as JSON, merged last */
	uint64_t memory_min;        /* bytes never reclaimed (memory.min; v2) */
	uint64_t memory_high;       /* bytes above which it is made to wait (memory.high; v2) */
	uint32_t cpu_shares;        /* instead of .cpu_weight: 2..262,144, default 1,024, as v1 counts */
};

/* What a program asks for and what it may have at most, in Kubernetes' terms; 0: not said. */
struct conex_demand {
	size_t size;
	uint64_t flags;             /* CONEX_DEMAND_... */
	double cpu_request, cpu_limit;             /* processors: 0.25 is 250m */
	uint64_t memory_request, memory_limit;     /* bytes */
	uint64_t capacity;          /* bytes of the machine; 0: /proc/meminfo's MemTotal */
	double throttling;          /* where between request and limit memory.high is; 0: 0.9 */
};
#define CONEX_DEMAND_MEMORY ((uint64_t)1 << 0)  /* as the feature MemoryQoS: needs cgroup v2 */
enum { CONEX_CLASS_GUARANTEED = 1, CONEX_CLASS_BURSTABLE, CONEX_CLASS_BEST_EFFORT };

/* Turns requests and limits into conex_limits and an oom_score_adj as the kubelet does. A request
 * that isn't given is the limit.
 *                       GUARANTEED            BURSTABLE                      BEST_EFFORT
 *   when                both limits given,    else                           nothing given
 *                       requests equal them
 *   .cpu_shares         1024 * cpu_request, 2 at least; v2: cpu.weight       2
 *   .cpus               cpu_limit             cpu_limit, where given         -
 *   .memory             memory_limit          memory_limit, where given      -
 *   oom_score_adj       -997                  1000 - 1000 * memory_request / 1000
 *                                             capacity, within 3 and 999
 * and with CONEX_DEMAND_MEMORY (the kubelet's memoryReservationPolicy: TieredReservation, 1.36):
 *   .memory_min         memory_request        -                              -
 *   .memory_low         -                     memory_request                 -
 *   .memory_high        -                     request + throttling *         -
 *                                             ((limit, else capacity) - request), whole pages;
 *                                             not where they are equal, or neither is given
 * The score goes into process.oomScoreAdj (.oci of a launch) or /proc/PID/oom_score_adj; one below
 * the caller's takes CAP_SYS_RESOURCE.
 * Owner: *ret_limits is the caller's struct, with .size set; nothing in it is to be freed.
 * Returns: CONEX_CLASS_...; -EINVAL a number is negative, a request above its limit, or unknown
 * flags; -ERANGE more than the kernel can count; the usual.
 * Threads: any. Since: 0.1 */
int conex_limits_classify(const struct conex_demand *demand, struct conex_limits *ret_limits,
	int *ret_oom_score_adj, conex_error **err);

struct conex_stats {            /* same units on v1 and v2; UINT64_MAX: the machine can't tell */
	size_t size;
	uint64_t memory, memory_peak, memory_limit, swap;
	uint64_t cpu_ns, cpu_user_ns, cpu_system_ns, throttled_ns;
	uint64_t pids, pids_limit, oom_kills;
	uint64_t read_bytes, written_bytes;
	uint64_t memory_stall_ns, cpu_stall_ns, io_stall_ns; /* PSI "some" totals */
	uint64_t memory_full_stall_ns, cpu_full_stall_ns, io_full_stall_ns; /* PSI "full" */
	uint64_t cpu_periods, cpu_throttled; /* a quota's periods; those in which it was used up */
	uint64_t memory_anon;       /* of .memory: the programs' own */
	uint64_t memory_file;       /* of .memory: pages of files, with tmpfs and shared memory */
	uint64_t memory_shared;     /* of .memory_file: tmpfs and shared memory */
	uint64_t memory_mapped;     /* of .memory_file: mapped by a program */
	uint64_t memory_kernel;     /* of .memory: the kernel's, slab among it */
	uint64_t memory_slab;       /* not on v1 */
	uint64_t memory_sock;       /* network buffers */
	uint64_t major_faults;      /* pages that had to be read from a disk or swap */
	uint64_t memory_high_hits;  /* times that memory.high made it wait; not on v1 */
	uint64_t memory_max_hits;   /* times that it ran into its limit */
	uint64_t ooms;              /* times that memory could not be found; not on v1 */
	uint64_t swap_limit;        /* of swap alone */
	uint64_t pids_peak, pids_refused; /* the most at once; forks that the limit refused */
	uint64_t read_ops, write_ops;
	uint64_t huge_bytes;        /* in huge pages of all sizes, which .memory doesn't count */
	/* what a container sees on its interfaces but lo; unknown of a group, and where the network is the host's */
	uint64_t net_rx_bytes, net_tx_bytes, net_rx_packets, net_tx_packets;
	uint64_t net_rx_errors, net_tx_errors, net_rx_dropped, net_tx_dropped;
};

/* Makes a group with limits (NULL: none). name: 1 to 64 of a-z A-Z 0-9 _ . -, first a letter or
 * digit. It goes with conex_cgroup_delete, with conex_close of a context without .state, and
 * otherwise with the first conex_open after this process has ended.
 * Owner: *ret is the caller's: conex_cgroup_free. After conex_close other calls answer
 * -ESHUTDOWN.
 * Returns: 0; -EINVAL name or a limit malformed; -ERANGE a limit too large; -EEXIST the name is
 * taken; -EACCES no hierarchy lets the caller make cgroups; -EOPNOTSUPP a limit that this
 * machine or version can't set, by its field's name; -EROFS a CONEX_READ_ONLY context; what
 * mkdir(2) and the kernel's files answer; -EOPNOTSUPP also in a context with systemd as the driver
 * of cgroups, whose scopes are made of processes; the usual.
 * Threads: any. Since: 0.1 */
int conex_cgroup_create(conex *cx, const char *name, const struct conex_limits *limits,
	conex_cgroup **ret, conex_error **err);

/* A handle on a group that exists, made by this process or another; its life is as it was.
 * Owner: *ret is the caller's: conex_cgroup_free. After conex_close other calls answer
 * -ESHUTDOWN.
 * Returns: 0; -EINVAL name malformed; -ENOENT no such group; the usual.
 * Threads: any. Since: 0.1 */
int conex_cgroup_get(conex *cx, const char *name, conex_cgroup **ret, conex_error **err);

/* Frees the handle only; g may be NULL.
 * Threads: one. Since: 0.1 */
void conex_cgroup_free(conex_cgroup *g);

/* The group's directory for clone3(2) with CLONE_INTO_CGROUP, where all its limits are in v2.
 * Returns: a descriptor, borrowed until conex_cgroup_free; -1 on a machine with v1 hierarchies.
 * Threads: any. Since: 0.1 */
int conex_cgroup_fd(const conex_cgroup *g);

/* Moves a process with all its threads into the group, in every hierarchy. Its children follow
 * only if they are forked later. The kernel makes the caller wait for an RCU grace period, some
 * 5 to 15 ms, if no other process was moved just before, on v1 and v2 alike; clone3(2) with
 * conex_cgroup_fd doesn't wait, nor do containers.
 * Returns: 0; -EINVAL pid is not positive, or the caller itself, which is never moved; -ESRCH it
 * has ended; -EACCES -EPERM no right to move it; what write(2) to cgroup.procs answers; the
 * usual.
 * Threads: any. Since: 0.1 */
int conex_cgroup_add(conex_cgroup *g, pid_t pid, conex_error **err);

/* Changes limits; fields that are 0 stay as they were.
 * Returns: 0; -EINVAL -ERANGE a limit malformed; -EBUSY the group uses more memory than the new
 * limit and can't be shrunk (v1); -EOPNOTSUPP a limit that this machine or version can't set;
 * -ENOENT the group is gone; what the kernel's files answer; the usual.
 * Threads: any. Since: 0.1 */
int conex_cgroup_set(conex_cgroup *g, const struct conex_limits *limits, conex_error **err);

/* What the group has used and may use: bytes, counts, nanoseconds; UINT64_MAX where the machine
 * can't tell. Later calls with the same handle read through descriptors that the first has
 * opened (close-on-exec; a dozen or two, until conex_cgroup_free), by one read a file, as long as
 * their numbers are below 512 and half of RLIMIT_NOFILE.
 * Owner: *ret is the caller's struct, with .size set.
 * Returns: 0; -ENOENT the group is gone; the usual.
 * Threads: any. Since: 0.1 */
int conex_cgroup_stats(conex_cgroup *g, struct conex_stats *ret, conex_error **err);

/* The same for many groups at once, which may be of several contexts. Allocates nothing after
 * the first time. What is gone (or NULL) has UINT64_MAX in all fields.
 * Owner: ret is the caller's array of count structs; ret[0].size says how large each is, the
 * others' size is set.
 * Returns: how many were read; the usual.
 * Threads: any. Since: 0.1 */
int conex_cgroup_sample(conex_cgroup *const *groups, size_t count, struct conex_stats *ret,
	conex_error **err);

/* What struct conex_stats has only sums of, as JSON: {"io": [{"major", "minor", "read_bytes",
 * "written_bytes", "read_ops", "write_ops"}], "hugetlb": [{"pageSize", "usage", "limit",
 * "failures"}], "memory": {the names of memory.stat}, "pressure": {"cpu", "io", "memory":
 * {"some", "full": {"avg10", "avg60", "avg300" in percent, "total_ns"}}}}. What the machine
 * can't tell is left out.
 * Owner: *ret_json is the caller's: free(3).
 * Returns: 0; -ENOENT the group is gone; the usual.
 * Threads: any. Since: 0.1 */
int conex_cgroup_details(conex_cgroup *g, char **ret_json, conex_error **err);

/* The processes in the group and below it, those that this pid namespace can see.
 * Owner: *ret is the caller's: free(3), also where the count is 0.
 * Returns: the count; -ENOENT the group is gone; -EOPNOTSUPP the machine has no cgroups; the
 * usual.
 * Threads: any. Since: 0.1 */
int conex_cgroup_pids(conex_cgroup *g, pid_t **ret, conex_error **err);

/* Stops every process in the group from running until conex_cgroup_thaw.
 * Returns: 1 frozen; 0 not yet after timeout_ms, it goes on; -EOPNOTSUPP neither v2 nor v1's
 * freezer; -ENOENT the group is gone; the usual.
 * Threads: any. Since: 0.1 */
int conex_cgroup_freeze(conex_cgroup *g, int timeout_ms, conex_error **err);

/* Lets a frozen group run again; nothing happens to one that isn't frozen.
 * Returns: 0; -EOPNOTSUPP neither v2 nor v1's freezer; -ENOENT the group is gone; the usual.
 * Threads: any. Since: 0.1 */
int conex_cgroup_thaw(conex_cgroup *g, conex_error **err);

/* Sends SIGKILL to everything in the group and below it, once, without waiting: by cgroup.kill
 * on v2; on v1 by a list of processes, which one that forks just then can escape
 * (conex_cgroup_delete repeats).
 * Returns: 0; -ENOENT the group is gone; the usual.
 * Threads: any. Since: 0.1 */
int conex_cgroup_kill(conex_cgroup *g, conex_error **err);

/* Asks for an event (.container NULL, .data as given here) each time that something happens in
 * the group or below it. what:
 *   "oom"              something was killed for want of memory: CONEX_EVENT_OOM
 *   "memory.high"      it was made to wait for memory (v2): CONEX_EVENT_LIMIT
 *   "memory.max"       it ran into its limit (v2): CONEX_EVENT_LIMIT
 *   "pids.max"         a fork was refused (v2): CONEX_EVENT_LIMIT
 *   "empty"            its last process has ended (v2, or a machine with both): CONEX_EVENT_EMPTY
 *   "memory 150ms/1s"  within one second some process was stalled for 150 ms for want of memory,
 *                      "memory full 150ms/1s" all were; likewise "cpu" and "io" (v2, or a machine
 *                      with both; Documentation/accounting/psi.rst): CONEX_EVENT_PRESSURE, at most
 *                      once in a window, which is 500 ms to 10 s; without CAP_SYS_RESOURCE a
 *                      multiple of 2 s
 *   "memory low", "memory medium", "memory critical"  v1's levels: CONEX_EVENT_PRESSURE
 * Several may be asked for; each has a .data of its own, which stays the caller's. All end with
 * the group.
 * Returns: 0; -EINVAL another `what`, or a threshold that the kernel doesn't take; -EOPNOTSUPP this
 * machine can't tell; -ENOSPC fs.inotify.max_user_watches is reached; -ENOENT the group is gone;
 * the usual.
 * Threads: any. Since: 0.1 */
int conex_cgroup_watch(conex_cgroup *g, const char *what, void *data, conex_error **err);

/* Kills everything in the group, waits until it has ended, removes the group. The handle stays
 * the caller's; later calls with it answer -ENOENT.
 * Returns: 1 nothing is left; 0 not yet after timeout_ms, call again; -EACCES no right to remove
 * it; the usual.
 * Threads: any. Since: 0.1 */
int conex_cgroup_delete(conex_cgroup *g, int timeout_ms, conex_error **err);

CONEX_END_DECLARATIONS
#endif
