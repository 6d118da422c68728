/* The plan as bytes: flat, position-independent, versioned. Made by plan/build.c on the host's side,
 * read by the keeper program and the child, which include this file and nothing else of plan/.
 *
 *	struct cx_plan · struct cx_op[operations] · data
 *
 * A cell (an operation's argument) holds a number, or says where something lies:
 *	STR    slot << 32 | offset        a NUL-terminated text
 *	LIST   slot << 32 | offset        uint32_t count, uint32_t offsets[count] of texts
 *	BYTES  size << 32 | offset; one that may be a slot is one: slot << 32
 *	FD     index into the launch's descriptors (CX_FD_...)
 * Offsets count from the start of the buffer; 0 is "none". A slot other than 0 means: take the
 * launch buffer's slot of that number if the launch fills it, else what is at offset.
 *
 * A launch buffer has the same form with struct cx_launch in front: each slot is an offset into it. */
#ifndef CX_PLAN_FORMAT_H
#define CX_PLAN_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define CX_PLAN_MAGIC 0x70786e63u       /* "cnxp" */
#define CX_PLAN_VERSION 2

enum cx_op_code {
	CX_OP_none,
#define CX_OPERATION(name, ...) CX_OP_##name,
#include "plan/operations.def"
#undef CX_OPERATION
	CX_OP_COUNT
};

enum cx_arg_kind { CX_ARG_NONE, CX_ARG_NUM, CX_ARG_HEX, CX_ARG_OCT, CX_ARG_STR, CX_ARG_LIST, CX_ARG_BYTES, CX_ARG_FD };
#define CX_ARG_SLOT 0x10                /* this argument may be a slot */
#define CX_ARG_MASK 0x0f
enum { CX_ARGS = 6 };

struct cx_op {
	uint32_t code;
	uint32_t object;                /* offset of what it is about in the spec ("mounts[2] /proc"), or 0 */
	uint64_t arg[CX_ARGS];
};

enum cx_slot {                          /* text and lists that a launch may fill */
	CX_SLOT_NONE,
	CX_SLOT_ARGS, CX_SLOT_ENV, CX_SLOT_HOSTNAME, CX_SLOT_CWD, CX_SLOT_CGROUP, CX_SLOT_ROOTFS,
	CX_SLOT_STATE,                  /* the OCI state's JSON up to status and pid: for hooks */
	CX_SLOT_LOWER, CX_SLOT_UPPER, CX_SLOT_WORK,
	CX_SLOT_HOSTS, CX_SLOT_RESOLV,  /* files to be bound to /etc/hosts and /etc/resolv.conf */
	CX_SLOT_NETWORK,                /* uint32_t size, and so many bytes: requests to rtnetlink(7) */
	CX_SLOT_COUNT
};

enum cx_fd {                            /* descriptors that a launch may bring */
	CX_FD_IN, CX_FD_OUT, CX_FD_ERR,
	CX_FD_LISTEN,                   /* released: the socket that start connects to */
	CX_FD_EXEC,                     /* exec: a pidfd of the container's first process */
	CX_FD_JOIN,                     /* first of the namespaces to join */
	CX_FD_EXTRA = CX_FD_JOIN + 8,   /* first of those that the program gets as 3, 4, ... */
	CX_FD_COUNT = CX_FD_EXTRA + 16
};

/* Flags of mount_new, mount_source and attributes, beside AT_RECURSIVE (attributes go to all below). */
#define CX_MOUNT_STRICT 0x1u            /* no symbolic link on the way to the target */
#define CX_MOUNT_OPTIONAL 0x4u          /* mount_source: not where its target is missing and can't be made */
#define CX_MOUNT_COPY_UP 0x2u           /* tmpfs: begin with a copy of what lies under it */

/* Of seccomp, where its filter has a listener. */
#define CX_LISTENER_TRACEABLE 0x1u      /* an unprivileged keeper may fetch from traceable processes only */
#define CX_LISTENER_CLOSE 0x2u          /* close our own: there is more to come than the program */

/* Flags of source, beside AT_RECURSIVE. */
#define CX_SOURCE_LATE 0x2u             /* held only, and cloned where it is mounted */
#define CX_SOURCE_PRIVATE 0x4u          /* no peer of the host's mounts */

/* Of barrier: who lifts it. */
enum { CX_BARRIER_MAPS,                 /* the keeper, or helpers: the id maps are written */
	CX_BARRIER_HOOKS,               /* the host: its hooks have run */
	CX_BARRIER_CGROUP,              /* the host: systemd has made the scope, with us in it */
	CX_BARRIER_NETWORK };           /* the host: our interfaces are there */

/* struct cx_plan.flags */
#define CX_PLAN_MAPS 0x1u               /* the keeper writes uid_map and gid_map, then lifts barrier 0 */
#define CX_PLAN_STAGES 0x2u             /* has a clone operation: the pid is in the status page */
#define CX_PLAN_TERMINAL 0x4u           /* gives a pty's master */
#define CX_PLAN_HELPER 0x8u             /* ends without exec: its gift is all there is */
#define CX_PLAN_MAPS_HELPED 0x20u       /* with MAPS: not the keeper, the host's helpers write them */
#define CX_PLAN_PID_NS 0x10u            /* killing the first process kills all */

struct cx_plan {
	uint32_t magic, version;
	uint32_t size;                  /* of the whole buffer */
	uint32_t operations;            /* how many; they follow at once */
	uint64_t clone_flags;           /* CLONE_NEW... of the first clone */
	uint32_t flags;                 /* CX_PLAN_... */
	uint32_t uid_map, gid_map;      /* offsets of texts as /proc/PID/uid_map takes them; 0: none */
	uint32_t deny_setgroups;
	uint64_t launch_defaults;       /* reserved, 0 */
};

struct cx_launch {
	uint32_t magic, size;
	uint32_t flags;                 /* CX_LAUNCH_... */
	uint32_t fds;                   /* bit n: descriptor n (enum cx_fd) comes with it, in this order */
	int64_t timeout_ms;             /* 0: none */
	uint32_t cgroup2;               /* offset of the v2 cgroup's directory for CLONE_INTO_CGROUP; 0: none */
	uint32_t cgroup_kill;           /* offset of a file that kills or lists all processes (plans without
	                                 * their own pid namespace): ".../cgroup.kill" or ".../tasks"; 0: none */
	uint32_t slot[CX_SLOT_COUNT];   /* offsets; 0: not filled */
	uint32_t pad;
};
#define CX_LAUNCH_MAGIC 0x6c786e63u     /* "cnxl" */
#define CX_LAUNCH_HOLD 0x1u             /* stop at "start" until told */
#define CX_LAUNCH_RELEASED 0x2u         /* survives keeper and host */
#define CX_LAUNCH_TIMELINE 0x4u         /* send the timeline when started or failed */
#define CX_LAUNCH_PARENT 0x8u           /* the host becomes the parent (CLONE_PARENT) */
#define CX_LAUNCH_ATTENDS 0x10u         /* it ends with the launch's target, which has to live */

/* Shared by keeper and child, one a launch: how far it got. A child never reports by system calls. */
enum { CX_STATUS_OPS = 496 };
struct cx_status {
	uint32_t op;                    /* index of the operation at work */
	int32_t error;                  /* errno of the one that failed, 0 so far */
	uint32_t done;                  /* all operations but exec are done */
	uint32_t call;                  /* enum cx_call: which system call failed */
	int32_t pid;                    /* of the second stage, as the keeper sees it */
	int32_t listener;               /* of the seccomp filter: the child's descriptor + 1; 0: not yet */
	int32_t fetched;                /* 1: the keeper has it, too; -errno: it could not; 0: not yet */
	uint32_t pad;
	uint64_t at_ns[CX_STATUS_OPS];  /* CLOCK_MONOTONIC when operation n began; further ones untimed */
	char detail[96];                /* which part of the object, a path or a key; "" */
};

/* System calls that operations fail in, so that the host can name them. */
#define CX_CALLS(X) \
	X(none) X(open) X(openat2) X(read) X(write) X(dup3) X(close_range) X(prctl) X(setns) X(unshare) \
	X(clone3) X(setresuid) X(setresgid) X(setgroups) X(socket) X(ioctl) X(sethostname) X(setdomainname) \
	X(open_tree) X(move_mount) X(fsopen) X(fsconfig) X(fsmount) X(mount_setattr) X(mknodat) X(mkdirat) \
	X(symlinkat) X(chown) X(chmod) X(pivot_root) X(umount2) X(fchdir) X(chdir) X(fstat) X(setsid) \
	X(sendmsg) X(accept4) X(prlimit) X(seccomp) X(capset) X(execve) X(recv) X(mount) X(statfs) X(umask) \
	X(personality) X(sched_setattr) X(ioprio_set) X(sched_setaffinity) X(set_mempolicy) X(keyctl) \
	X(pidfd_open) X(pidfd_getfd) X(chroot) X(pidfd_send_signal)
enum cx_call {
#define CX_CALL(name) CX_CALL_##name,
	CX_CALLS(CX_CALL)
#undef CX_CALL
	CX_CALL_COUNT
};

static inline const char *cx_plan_text(const struct cx_plan *plan, uint64_t cell)
{
	return (uint32_t)cell ? (const char *)plan + (uint32_t)cell : NULL;
}

#endif
