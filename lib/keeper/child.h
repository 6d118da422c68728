/* Inside the container: what the child operations (lib/<module>/child.c) share. Nothing here or there
 * allocates, locks, prints or looks up names; only system calls, memory and strings. */
#ifndef CX_KEEPER_CHILD_H
#define CX_KEEPER_CHILD_H

#include <errno.h>
#include <sys/resource.h>
#include "base/kernel.h"
#include "plan/format.h"

enum { CX_CHILD_SOURCES = 256 };

struct cx_child {
	const struct cx_plan *plan;
	const struct cx_launch *launch;
	struct cx_status *status;       /* shared with the keeper */
	int keeper;                     /* SOCK_SEQPACKET to the keeper; close-on-exec: its end says "executed" */
	int fd[CX_FD_COUNT];            /* the launch's descriptors, -1 where not given */
	int source[CX_CHILD_SOURCES];   /* detached trees (operation "source"), -1 where not open */
	unsigned char late[CX_CHILD_SOURCES]; /* of a source that is only held: how to clone it (rootfs/child-path.h) */
	int root;                       /* the root file system's directory; -1: not yet, or "/" (after pivot) */
	int real_root;                  /* of the mount namespace, the host's, until pivot; -1 */
	int apart;                      /* 1: the root is a detached tree, in which nothing can be changed that is mounted
	                                 * already, but mounted on what is detached itself (Linux 6.15) */
	int proc;                       /* a private, detached proc mount for writes to /proc/self/...; -1: none yet */
	int null;                       /* /dev/null, opened and checked (character device 1:3) before pivot; -1: not yet */
	unsigned tree;                  /* rootfs's own notes */
	struct rlimit nofile;           /* as the host had it; the keeper's own is higher */
	int alive;                      /* the keeper's pidfd; 0: none */
	int network;                    /* rtnetlink of the host, while its devices are to be moved; 0: none */
	uint64_t devices;               /* list cell: name, name inside, ... */
	int accepted;                   /* released: the connection of who said start; -1 */
};

/* A text cell: the launch's slot where filled, else the plan's; NULL: none. */
static inline const char *cx_child_text(const struct cx_child *c, uint64_t cell)
{
	uint32_t slot = (uint32_t)(cell >> 32);

	if (slot && slot < CX_SLOT_COUNT && c->launch->slot[slot])
		return (const char *)c->launch + c->launch->slot[slot];
	return cx_plan_text(c->plan, cell);
}

/* A list cell: count, and text number n (n < count). */
static inline const uint32_t *cx_child_list_(const struct cx_child *c, uint64_t cell, const char **base)
{
	uint32_t slot = (uint32_t)(cell >> 32), at = (uint32_t)cell;

	*base = (const char *)c->plan;
	if (slot && slot < CX_SLOT_COUNT && c->launch->slot[slot]) {
		*base = (const char *)c->launch;
		at = c->launch->slot[slot];
	}
	return at ? (const uint32_t *)(*base + at) : NULL;
}

static inline uint32_t cx_child_count(const struct cx_child *c, uint64_t cell)
{
	const char *base;
	const uint32_t *list = cx_child_list_(c, cell, &base);

	return list ? *list : 0;
}

static inline const char *cx_child_item(const struct cx_child *c, uint64_t cell, uint32_t n)
{
	const char *base;
	const uint32_t *list = cx_child_list_(c, cell, &base);

	return base + list[1 + n];
}

static inline const void *cx_child_bytes(const struct cx_child *c, uint64_t cell, size_t *size)
{
	*size = (size_t)(cell >> 32);
	return (const char *)c->plan + (uint32_t)cell;
}

/* A slot of bytes; NULL: the launch doesn't fill it. */
static inline const void *cx_child_slot_bytes(const struct cx_child *c, uint64_t cell, size_t *size)
{
	uint32_t slot = (uint32_t)(cell >> 32), at = slot < CX_SLOT_COUNT ? c->launch->slot[slot] : 0;
	const uint32_t *sized = (const uint32_t *)((const char *)c->launch + at);

	*size = at ? *sized : 0;
	return at ? sized + 1 : NULL;
}

/* Notes which call failed (errno) and on what, and returns -errno: "return cx_child_fail(c, CX_CALL_open, path)". */
int cx_child_fail(struct cx_child *c, enum cx_call call, const char *detail);

/* c->proc, opened at its first use: a private procfs that nothing can be mounted over; where the kernel
 * refuses one, the container's /proc, checked to be the root of a procfs. An fd (O_PATH), or what
 * cx_child_fail returned. Use it with openat2(RESOLVE_NO_XDEV|RESOLVE_NO_SYMLINKS). rootfs/child.c */
int cx_child_proc(struct cx_child *c);

/* Writes a text to a file of that proc by one write: what it says is taken, or fails, as a whole.
 * `resolve`: more of openat2's RESOLVE_... 0, or what cx_child_fail returned. security/child.c */
int cx_child_write_proc(struct cx_child *c, const char *path, const char *text, uint64_t resolve);

/* By the first stage: moves c->devices into the network namespace of the second. 0, or what
 * cx_child_fail returned. network/child.c */
int cx_child_move_devices(struct cx_child *c, pid_t pid, int pidfd);

/* Hands a descriptor to the host, through the keeper; the child's own stays open. */
int cx_child_give(struct cx_child *c, int fd);

/* A word (CX_WORD_...) to the keeper, with a descriptor (-1: none). 0, or what cx_child_fail returned. */
int cx_child_say(struct cx_child *c, uint32_t kind, uint32_t value, int fd);

/* A seccomp filter with a listener: before it is there, who will install it is said to the keeper (`how`:
 * CX_LISTENER_...); afterwards the keeper fetches the listener while we wait, without a system call. 0, or
 * what cx_child_fail returned. keeper/child-listener.c */
int cx_child_listener_begin(struct cx_child *c, uint64_t how);
int cx_child_listener_end(struct cx_child *c, uint64_t how, int listener);

/* Runs all operations of the plan, exec last; returns only when one failed. */
int cx_child_run(struct cx_child *c);

/* Every operation but the undo ones: 0, or what cx_child_fail returned. */
#define CX_OPERATION(name, ...) int cx_child_##name(struct cx_child *c, const struct cx_op *op);
#include "plan/operations.def"
#undef CX_OPERATION

#endif
