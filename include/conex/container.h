/* conex/container.h: run, launch, exec, and the life of one container.
 *
 * A container is one program in namespaces, a cgroup, a root file system and rights of its own,
 * as the OCI runtime-spec (runtime.md, config.md, config-linux.md) describes it. By default it
 * is bound: it ends with the context, with this process, and with the keeper. */
#ifndef CONEX_CONTAINER_H
#define CONEX_CONTAINER_H
#include <conex/base.h>
#include <conex/cgroup.h>
#include <conex/namespace.h>
#include <conex/network.h>

CONEX_BEGIN_DECLARATIONS

/* Frozen for ever: the four of mount(2). type NULL: bind, with all that is mounted below, and "ro"
 * is then for all of it; "volume": source is a volume's name. options: as mount(8) takes them. */
struct conex_mount { const char *source, *target, *type, *options; };
#ifndef __cplusplus
/* Like CONEX_STRINGS, lives until the enclosing block ends: an if without braces is a block. */
#define CONEX_MOUNTS(...) ((const struct conex_mount[]){ __VA_ARGS__, { NULL, NULL, NULL, NULL } })
#endif

/* For .in, .out and .err */
#define CONEX_STDIO_NULL 0              /* /dev/null: the default */
#define CONEX_STDIO_PIPE 1              /* our end: conex_container_stdio */
#define CONEX_STDIO_HOST 2              /* the caller's own 0, 1 or 2 */
#define CONEX_STDIO_LOG 3               /* out and err: the keeper writes the container's log */
#define CONEX_STDIO_OUT 4               /* err: wherever out goes */
#define CONEX_STDIO_FD(fd) (-2 - (fd))  /* a descriptor of the caller's; it stays the caller's */

#define CONEX_RUN_NOWAIT ((uint64_t)1 << 0)    /* return at once; STARTED or EXITED follows */
#define CONEX_RUN_HOLD ((uint64_t)1 << 1)      /* set up, not executed: conex_container_start */
#define CONEX_RUN_TTY ((uint64_t)1 << 2)       /* stdin, stdout, stderr are one new pty */
#define CONEX_RUN_READ_ONLY ((uint64_t)1 << 3) /* the root file system */
#define CONEX_RUN_INIT ((uint64_t)1 << 4)      /* a reaper as pid 1 */
#define CONEX_RUN_USERNS ((uint64_t)1 << 5)    /* root inside is uid 100000 outside; a user's are so always */
#define CONEX_RUN_PARENT ((uint64_t)1 << 6)    /* the caller becomes the parent, and reaps */
#define CONEX_RUN_AUTODELETE ((uint64_t)1 << 7)/* gone at its end; the handle keeps the record */
#define CONEX_RUN_TIMELINE ((uint64_t)1 << 8)  /* conex_container_timeline */

/* The one struct that describes something to start. run reads all of it, plan all that isn't
 * marked L, launch L, exec E; a field that isn't zero where it isn't read is refused by its
 * name. Of the flags plan knows TTY, READ_ONLY, INIT, USERNS; launch NOWAIT, HOLD, AUTODELETE,
 * TIMELINE; exec NOWAIT, TTY, TIMELINE; run all of these. This version refuses (-EOPNOTSUPP)
 * CONEX_STDIO_LOG, CONEX_RUN_PARENT and mounts of type
 * "volume". Without privileges (effective uid not 0) containers have a user namespace always, in
 * which the caller is root, with his ids of /etc/subuid and /etc/subgid where newuidmap and
 * newgidmap are installed; limits need a cgroup that was delegated to him. */
struct conex_run_options {
	size_t size;
	uint64_t flags;                     /* L E */
	const char *id;                     /* L; NULL: generated, 12 letters */
	const char *const *labels;          /* L; "key=value" … NULL */
	const char *const *env;             /* L E and plan; "NAME=value" … NULL, over the spec's */
	int in, out, err;                   /* L E; CONEX_STDIO_… */
	const void *input;                  /* L E; all of stdin, instead of .in */
	size_t input_size;
	int64_t timeout_ms;                 /* L E; then all of it is killed (exec: its process group); 0: never */
	void *data;                         /* L E; comes back in events */
	const char *cwd, *user;             /* E; "name", "uid", "uid:gid" */
	const char *hostname;               /* NULL: the id */
	const char *rootfs;                 /* a directory, instead of an image */
	const struct conex_mount *mounts;   /* CONEX_MOUNTS({ "/srv", "/data", NULL, "ro" }) */
	const struct conex_limits *limits;
	const char *network;                /* NULL: loopback only; "host"; networks' names and devices of the host's
	                                     * that move in: "site,back,device:can0"; "container:ID": that one's;
	                                     * without privileges: "pasta" or "slirp4netns" */
	const struct conex_port *ports;     /* CONEX_PORTS({ "127.0.0.1", 8080, 80, "tcp" }) */
	uint32_t share;                     /* CONEX_NS_…: these stay the host's */
	conex_namespace *const *join;       /* these instead of new ones; NULL-ended */
	const char *const *ask;             /* system calls to be answered: conex/broker.h; NULL-ended */
	int64_t grace_ms;                   /* of conex_container_stop; 0: 10,000 */
	const conex_spec *spec;             /* E too; start from this instead of image or default */
	const char *oci;                    /* E; runtime-spec JSON, merged last, for the rest */
	const int *fds;                     /* L E; the program's descriptors 3, 4 … ; they stay yours */
	size_t fds_size;                    /* how many; at most 16 */
	const char *const *hosts;           /* more lines of /etc/hosts: "10.1.2.3 db db.example" … NULL */
	const char *const *dns;             /* instead of the host's servers: "10.1.2.53", "search example",
	                                     * "options ndots:2" … NULL */
	uint64_t ingress_bps, egress_bps;   /* bits a second into and out of it, with Ethernet's headers, on each of its
	                                     * interfaces in networks: 8,000 to 500,000,000,000; 0: no limit. In bridge
	                                     * networks, and CNI's that say they can; macvlan has no ingress_bps. Who has CAP_NET_ADMIN or CAP_NET_RAW
	                                     * inside can get round egress_bps */
	uint64_t disk;                      /* bytes that it may write over its image's files, a file system's own bookkeeping
	                                     * among them; 0: no limit. Root only; takes mkfs.ext4 and loop devices */
};

/* Runs a program in a new container: conex_plan_new and conex_launch in one. image: one
 * of the store (conex/image.h), or one that is pulled first, as conex_image_pull without options does it: that is waited
 * for, also with CONEX_RUN_NOWAIT (who doesn't want to wait pulls by himself, before). Its layers are the root file system, with one of its own above them for what the container
 * writes, and whose config says what to run: args come behind its entrypoint. With a user namespace the layers stay root's, and are
 * shown by that one's ids (Linux 5.19). Volumes of its config that no mount of yours lies on end with the container, too:
 * they are part of what it writes, or with CONEX_RUN_READ_ONLY in memory. NULL: a directory (.rootfs), a
 * specification (.spec) or, with .share, the host's files. args: NULL-ended; NULL: the specification's. Returns when the program has been
 * executed, with CONEX_RUN_NOWAIT at once, with CONEX_RUN_HOLD when all is set up; with NOWAIT a
 * failed start comes as an EXITED event. Starts the context's keeper where needed. On failure
 * nothing is left of the container.
 * Owner: *ret is the caller's: conex_container_free, which leaves the container alone.
 * Returns: 0; before anything was made: as conex_plan_new, of an image that isn't there as conex_image_pull and its job, and -EINVAL .id or .labels malformed,
 * -EBADF a descriptor that isn't open; then -EEXIST the id is taken; -EACCES no right to make
 * its cgroup; with systemd as driver -ELIBACC no libsystemd, -ETIMEDOUT no answer within 30 s,
 * -ECANCELED its job failed; with .network "pasta" or "slirp4netns" -ENOENT the program isn't installed,
 * -EACCES -ENOENT /dev/net/tun, -ENETDOWN it has ended (the hint has its words), -ETIMEDOUT it wasn't ready within 60 s,
 * -EOPNOTSUPP a CONEX_DETACHED context; -EROFS a CONEX_READ_ONLY context; -EMFILE no free descriptor; -EPIPE -EOWNERDEAD
 * the keeper could not start, or died; in the container (stage CHILD) the errno of the call that
 * conex_error_call names, or -ECHILD it was killed before its program ran; (stage EXEC) -ENOENT
 * -EACCES -ENOEXEC and others of execve(2); the usual.
 * Threads: any. Since: 0.1 */
int conex_run(conex *cx, const char *image, const char *const *args,
	const struct conex_run_options *options, conex_container **ret, conex_error **err);

/* Launches a container from a plan. args: NULL-ended, instead of the plan's; NULL: the plan's.
 * options: the fields marked L in struct conex_run_options; NULL: none. Nothing is compiled; see
 * conex_run for when it returns.
 * Owner: *ret is the caller's: conex_container_free. The plan stays the caller's and may be
 * freed.
 * Returns: 0; -EINVAL an option is malformed or not read here, or the plan is another context's;
 * -EOPNOTSUPP what this version doesn't do; from -EEXIST on as conex_run; the usual.
 * Threads: any. Since: 0.1 */
int conex_launch(conex *cx, const conex_plan *plan, const char *const *args,
	const struct conex_run_options *options, conex_container **ret, conex_error **err);

/* Runs one more program in a running or held container: in its namespaces and cgroup, with its
 * rights, environment, user and working directory unless options say otherwise: .spec brings
 * another process object, whose missing rights are the container's. In a CONEX_DETACHED context
 * the program outlives this process. args: NULL-ended; NULL with .spec only: its own. options: the fields marked E in struct conex_run_options; NULL: none.
 * It may be a container of another process (conex_container_get).
 * Owner: *ret is the caller's: conex_process_free.
 * Returns: 0; -EINVAL args or an option; -ESRCH the container has ended, or is paused; -ENOENT
 * it was deleted; a failed start as conex_run; the usual.
 * Threads: any. Since: 0.1 */
int conex_exec(conex_container *c, const char *const *args,
	const struct conex_run_options *options, conex_process **ret, conex_error **err);

/* A container by its id: one of this context, or one in its state directory that another process
 * launched. There is one object for a container and context, so pointers compare equal. How
 * another process's container ends is known from Linux 6.15 on (PIDFD_GET_INFO), else it is
 * CONEX_EXIT_UNKNOWN.
 * Owner: *ret is one more reference: conex_container_free.
 * Returns: 0; -EINVAL id malformed; -ENOENT no such container; -EBADMSG -EPROTONOSUPPORT its
 * journal can't be read, or is a newer library's; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_get(conex *cx, const char *id, conex_container **ret, conex_error **err);

/* The ids of all containers in the context's state directory, whoever launched them. label:
 * "key=value" or "key"; NULL: all.
 * Owner: *ret_ids, ended by NULL, is the caller's: one free(3).
 * Returns: the count; what readdir(3) answers; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_list(conex *cx, const char *label, char ***ret_ids, conex_error **err);

/* One more reference to a handle; c may be NULL.
 * Owner: each reference takes one conex_container_free.
 * Returns: c.
 * Threads: any. Since: 0.1 */
conex_container *conex_container_ref(conex_container *c);

/* Drops a reference; c may be NULL. The container doesn't notice: it runs on, and events bring
 * it again.
 * Threads: any, for a reference of one's own. Since: 0.1 */
void conex_container_free(conex_container *c);

/* The id: given, or 12 random letters. Also the hostname, where none is given, and the cgroup's
 * name.
 * Returns: borrowed from c.
 * Threads: any. Since: 0.1 */
const char *conex_container_id(const conex_container *c);

enum { CONEX_CREATING = 1, CONEX_HELD, CONEX_RUNNING, CONEX_PAUSED, CONEX_EXITED, CONEX_DELETED };

/* Where it is in its life, after reading what the keeper has said. After conex_close: as it was
 * then.
 * Returns: CONEX_CREATING to CONEX_DELETED.
 * Threads: any. Since: 0.1 */
int conex_container_state(const conex_container *c);

/* Its first process, as this pid namespace sees it. Fit for people; to act on it take
 * conex_container_pidfd.
 * Returns: the pid; -1 none.
 * Threads: any. Since: 0.1 */
pid_t conex_container_pid(const conex_container *c);

/* Its first process as a descriptor (pidfd_open(2)), asked of the keeper at the first call. The
 * process is not a child of the caller: poll(2) works, waitid(2) doesn't. Close-on-exec.
 * Returns: borrowed while the handle lives; -1 none, or no free descriptor.
 * Threads: any. Since: 0.1 */
int conex_container_pidfd(const conex_container *c);

/* Its address in one of its networks, or (network NULL) in the first that has one of this family. family:
 * AF_INET or AF_INET6. Interfaces inside are eth0, eth1 ... in the order in which .network names them. With "pasta"
 * and "slirp4netns" it is what the container calls itself, the same in all; nobody else can send there.
 * Returns: borrowed from c; NULL it has none.
 * Threads: any. Since: 0.1 */
const char *conex_container_address(const conex_container *c, const char *network, int family);

/* Are its interfaces as they were made? Those of CNI networks are asked of their plugins (CHECK), each of which has
 * 60 s; of our own networks the host's end has to be there. Networks whose list says disableCheck are left out.
 * Returns: 0; -ENOENT it was deleted; -ENODEV our end is gone; -EOPNOTSUPP a list of a cniVersion before 0.4.0; -ESRCH it doesn't run;
 * -EBUSY another thread is at it; what a plugin said, in its words: -EINVAL -ESRCH -EIO -EBADMSG -EAGAIN
 * -ECANCELED; -ETIMEDOUT it was killed; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_check_networks(conex_container *c, conex_error **err);

/* The port of the host at which its port is published (.ports); protocol NULL: "tcp".
 * Returns: it; 0 that one isn't published.
 * Threads: any. Since: 0.1 */
int conex_container_port(const conex_container *c, uint16_t port, const char *protocol);

/* The value of one of its labels.
 * Returns: borrowed from c; NULL it has no such label.
 * Threads: any. Since: 0.1 */
const char *conex_container_label(const conex_container *c, const char *key);

/* The runtime-spec's state (runtime.md: ociVersion, id, status, pid, bundle, annotations), and
 * labels, cgroup, created_at_ns (CLOCK_REALTIME).
 * Owner: *ret_json is the caller's: free(3).
 * Returns: 0; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_json(conex_container *c, char **ret_json, conex_error **err);

/* The specification it was made of, whoever launched it: all layers merged.
 * Owner: *ret is the caller's: conex_spec_free.
 * Returns: 0; -ENOENT it was deleted: it is forgotten then; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_spec(conex_container *c, conex_spec **ret, conex_error **err);

/* What the launch did from its clone on, in order: [{"operation", "object", "start_ns",
 * "duration_ns"}], taken inside the container (its first 496 operations). Needs
 * CONEX_RUN_TIMELINE; there when it has started or failed.
 * Owner: *ret_json is the caller's: free(3).
 * Returns: 0; -ENODATA it wasn't asked for, or isn't there yet; -ENOMEM.
 * Threads: any, once the container has started or failed. Since: 0.1 */
int conex_container_timeline(conex_container *c, char **ret_json, conex_error **err);

/* Executes the program of a container launched with CONEX_RUN_HOLD, and waits until it runs.
 * Returns: 0; -EINVAL it isn't held; -ENOENT it was deleted; -ESRCH it has died, or was started
 * by somebody else just now; as conex_run where the program can't be executed; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_start(conex_container *c, conex_error **err);

/* Sends a signal, 1 to 64, to its first process; see signal(7). A pid 1 inside gets only signals
 * that it handles, and SIGKILL and SIGSTOP (pid_namespaces(7)).
 * Returns: 0; -EINVAL no such signal; -ESRCH nothing runs, or not yet; -ENOENT it was deleted;
 * -EPIPE the keeper died; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_kill(conex_container *c, int sig, conex_error **err);

/* Sends a signal, 1 to 64, to all processes in its cgroup and below, which may outlive the first
 * one; SIGKILL once more to those that come meanwhile. Doesn't wait.
 * Returns: 0, also when there is none; -EINVAL no such signal; -ESRCH it isn't set up yet;
 * -ENOENT it was deleted; -EOPNOTSUPP the machine has no cgroups; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_kill_all(conex_container *c, int sig, conex_error **err);

/* The processes in its cgroup and below, those that this pid namespace can see.
 * Owner: *ret is the caller's: free(3), also where the count is 0.
 * Returns: the count; -ENOENT it was deleted; -EOPNOTSUPP the machine has no cgroups; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_pids(conex_container *c, pid_t **ret, conex_error **err);

/* Asks it to end: its image's StopSignal (the specification's annotation org.opencontainers.image.stopSignal), else
 * SIGTERM, now, SIGKILL to everything in it after grace_ms by the keeper's clock,
 * which runs also when this process is busy or gone. Doesn't wait. Another process's container
 * gets the first signal only.
 * Returns: 0; -ESRCH it has ended; -ENOENT it was deleted; -EPIPE the keeper died; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_stop(conex_container *c, conex_error **err);

/* Stops everything in it from running (cgroup.freeze, or v1's freezer) until
 * conex_container_resume.
 * Returns: 1 paused; 0 not yet after timeout_ms; -EINVAL it isn't running; -EOPNOTSUPP neither
 * v2 nor v1's freezer may be used; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_pause(conex_container *c, int timeout_ms, conex_error **err);

/* Lets a paused container run again.
 * Returns: 0; -EINVAL it isn't paused; -EOPNOTSUPP as conex_container_pause; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_resume(conex_container *c, conex_error **err);

/* Changes limits of a running container; fields that are 0 stay as they were.
 * Returns: 0; -EINVAL -ERANGE a limit malformed; -ESRCH it doesn't run; -EBUSY it uses more
 * memory than the new limit (v1); -EOPNOTSUPP a limit that this machine or version can't set;
 * what the kernel's files answer; of a scope of systemd's, where all is written already, what keeps
 * systemd from knowing (-ELIBACC no libsystemd); the usual.
 * Threads: any. Since: 0.1 */
int conex_container_update(conex_container *c, const struct conex_limits *limits,
	conex_error **err);

/* What its cgroup has used and may use, and what has gone through its interfaces; see struct
 * conex_stats. One descriptor is kept for it until it ends, as conex_cgroup_stats keeps some.
 * Owner: *ret is the caller's struct, with .size set.
 * Returns: 0; -ESRCH it doesn't run; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_stats(conex_container *c, struct conex_stats *ret, conex_error **err);

/* The same for many containers at once. What doesn't run (or is NULL) has UINT64_MAX in all
 * fields.
 * Owner: ret is the caller's array of count structs; ret[0].size says how large each is, the
 * others' size is set.
 * Returns: how many were read; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_sample(conex_container *const *containers, size_t count,
	struct conex_stats *ret, conex_error **err);

/* What struct conex_stats has only sums of, as JSON; see conex_cgroup_details. And, where the network
 * is its own, "interfaces": {"eth0": {"rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "tx_bytes",
 * "tx_packets", "tx_errors", "tx_dropped"}}, all but lo.
 * Owner: *ret_json is the caller's: free(3).
 * Returns: 0; -ESRCH it doesn't run; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_details(conex_container *c, char **ret_json, conex_error **err);

/* Waits until its first process has ended. Nothing is killed, no event consumed. ret_status:
 * NULL, or the status as $? in a shell has it: 0 to 255, 128 + signal, 255 never started or
 * unknown.
 * Returns: 1 it has ended; 0 not within timeout_ms; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_wait(conex_container *c, int timeout_ms, int *ret_status, conex_error **err);

/* Kills everything in it and undoes all that was made for it: cgroup, socket, journal. The
 * handle stays, and with it the exit record; a CONEX_EVENT_DELETED follows.
 * Returns: 1 nothing is left; 0 still going on after timeout_ms; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_delete(conex_container *c, int timeout_ms, conex_error **err);

enum {
	CONEX_EXIT_CODE = 1,            /* it ended with .code */
	CONEX_EXIT_SIGNAL,              /* .sig ended it */
	CONEX_EXIT_OOM,                 /* killed at its memory limit (the cgroup's own count) */
	CONEX_EXIT_TIMEOUT,             /* killed after .timeout_ms */
	CONEX_EXIT_STOPPED,             /* ended after conex_container_stop */
	CONEX_EXIT_SECCOMP,             /* SIGSYS: a system call that the profile kills for */
	CONEX_EXIT_NEVER_STARTED,       /* conex_container_error says why */
	CONEX_EXIT_UNKNOWN              /* ended, and nobody saw how */
};
struct conex_exit {
	size_t size;
	int cause;              /* CONEX_EXIT_… */
	int status;             /* 0..255; 128 + signal; 255: never started or unknown */
	int code, sig;          /* what the program gave, or -1; what ended it, or 0 */
	uint32_t oom_kills, restarts;
	uint64_t memory_peak;   /* bytes; 0: the machine can't tell */
	uint64_t cpu_ns, wall_ns;
	int64_t exited_at_ns;   /* CLOCK_REALTIME */
};

/* The exit record: memory and processor time of the whole container where it has a cgroup, else
 * of its first process and the children it waited for. Readable after delete and after
 * conex_close.
 * Owner: *ret is the caller's struct, with .size set.
 * Returns: 0; -EBUSY it has not ended; -ECHILD in a forked copy; -EINVAL .size.
 * Threads: any. Since: 0.1 */
int conex_container_exit(conex_container *c, struct conex_exit *ret, conex_error **err);

/* Why a container never started (CONEX_EXIT_NEVER_STARTED), or what happened to its keeper.
 * Returns: borrowed while the handle lives; NULL there is no error.
 * Threads: any, once it has ended. Since: 0.1 */
const conex_error *conex_container_error(const conex_container *c);

/* An exit record as a sentence for people: "ended with 3", "out of memory: killed at its limit,
 * ...".
 * Returns: as snprintf(3): the length that the whole sentence has.
 * Threads: any. Since: 0.1 */
int conex_exit_text(const struct conex_exit *exit, char *buffer, size_t size);

/* Our end of its stdin (0), stdout (1) or stderr (2), where CONEX_STDIO_PIPE was asked for; with
 * a terminal (CONEX_RUN_TTY) all three are its master. Close-on-exec, non-blocking. Writing to a
 * stdin that nobody reads any more raises SIGPIPE, as with any pipe.
 * Returns: borrowed while the handle lives; -1 not a pipe, or taken.
 * Threads: any. Since: 0.1 */
int conex_container_stdio(const conex_container *c, int n);

/* The same, and the descriptor leaves the handle. Closing stdin so says end of input.
 * Owner: the descriptor is the caller's: close(2).
 * Returns: the descriptor; -1 not a pipe, or taken.
 * Threads: any. Since: 0.1 */
int conex_container_take_stdio(conex_container *c, int n);

/* Tells its terminal a new size (TIOCSWINSZ); the programs in it get SIGWINCH.
 * Returns: 0; -EINVAL rows or columns are not 1 to 65,535; -ENOTTY no terminal; the usual.
 * Threads: any. Since: 0.1 */
int conex_container_resize(conex_container *c, int rows, int columns, conex_error **err);

struct conex_output {
	size_t size;
	size_t max;                  /* keep so much of each; the rest is counted; 0: 16 MiB */
	char *out, *err;             /* NUL-terminated as well; conex_output_clear */
	size_t out_size, err_size;
	uint64_t out_total, err_total;
};

/* Reads its stdout and stderr to their ends, which come when the last process that holds them
 * has ended. A terminal's output comes as .out. Before the first call all of *io but .size and
 * .max is zero; further calls go on where the last one stopped.
 * Owner: .out and .err are the caller's: conex_output_clear, also after a failure.
 * Returns: 1 both have ended; 0 not within timeout_ms; -EBADF neither is a pipe; what read(2)
 * answers; the usual.
 * Threads: one reader a container. Since: 0.1 */
int conex_container_output(conex_container *c, int timeout_ms, struct conex_output *io,
	conex_error **err);

/* Frees what conex_container_output and conex_process_output have filled; .size and .max stay.
 * Threads: one. Since: 0.1 */
void conex_output_clear(struct conex_output *io);

/* Frees the handle of a program that conex_exec started; p may be NULL. The program doesn't
 * notice.
 * Threads: one. Since: 0.1 */
void conex_process_free(conex_process *p);

/* The program that conex_exec started, as this pid namespace sees it (saw it, when it has ended);
 * fit for people.
 * Returns: the pid; -1 it isn't started.
 * Threads: any. Since: 0.1 */
pid_t conex_process_pid(const conex_process *p);

/* As conex_container_pidfd, of the program that conex_exec started.
 * Returns: borrowed while the handle lives; -1 none, or no free descriptor.
 * Threads: any. Since: 0.1 */
int conex_process_pidfd(const conex_process *p);

/* Sends a signal, 1 to 64, to the program; its own children get none.
 * Returns: 0; -EINVAL no such signal; -ESRCH it has ended, or not yet begun; -EPIPE the keeper
 * died; the usual.
 * Threads: any. Since: 0.1 */
int conex_process_kill(conex_process *p, int sig, conex_error **err);

/* Waits until the program has ended; as conex_container_wait.
 * Returns: 1 it has ended; 0 not within timeout_ms; the usual.
 * Threads: any. Since: 0.1 */
int conex_process_wait(conex_process *p, int timeout_ms, int *ret_status, conex_error **err);

/* Its exit record. Memory and processor time are the program's and those of the children it
 * waited for; of a failed start with CONEX_RUN_NOWAIT it says CONEX_EXIT_NEVER_STARTED and no
 * more.
 * Owner: *ret is the caller's struct, with .size set.
 * Returns: 0; -EBUSY it has not ended; -ECHILD in a forked copy; -EINVAL .size.
 * Threads: any. Since: 0.1 */
int conex_process_exit(conex_process *p, struct conex_exit *ret, conex_error **err);

/* Why a process never started (CONEX_EXIT_NEVER_STARTED after CONEX_RUN_NOWAIT).
 * Owner: borrowed from p.
 * Returns: the error; NULL: there was none.
 * Threads: any, after it has ended. Since: 0.1 */
const conex_error *conex_process_error(const conex_process *p);

/* As conex_container_stdio.
 * Returns: borrowed while the handle lives; -1 not a pipe, or taken.
 * Threads: any. Since: 0.1 */
int conex_process_stdio(const conex_process *p, int n);

/* As conex_container_take_stdio.
 * Owner: the descriptor is the caller's: close(2).
 * Returns: the descriptor; -1 not a pipe, or taken.
 * Threads: any. Since: 0.1 */
int conex_process_take_stdio(conex_process *p, int n);

/* As conex_container_resize.
 * Returns: 0; -EINVAL rows or columns are not 1 to 65,535; -ENOTTY no terminal; the usual.
 * Threads: any. Since: 0.1 */
int conex_process_resize(conex_process *p, int rows, int columns, conex_error **err);

/* As conex_container_output.
 * Owner: .out and .err are the caller's: conex_output_clear, also after a failure.
 * Returns: 1 both have ended; 0 not within timeout_ms; -EBADF neither is a pipe; what read(2)
 * answers; the usual.
 * Threads: one reader a program. Since: 0.1 */
int conex_process_output(conex_process *p, int timeout_ms, struct conex_output *io,
	conex_error **err);

CONEX_END_DECLARATIONS
#endif
