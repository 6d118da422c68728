/* What host and keeper say to each other: SOCK_SEQPACKET, one struct cx_message a packet, then bytes.
 *
 * The keeper never blocks on a send: what it has to say of a process is a set of bits in that process's
 * entry, said when the socket takes it. So a host that doesn't read costs nothing and loses nothing. */
#ifndef CX_KEEPER_PROTOCOL_H
#define CX_KEEPER_PROTOCOL_H

#include <stdint.h>
#include "plan/format.h"

#define CX_PROTOCOL_VERSION 2
enum { CX_KEEPER_SOCKET = 3 };          /* the keeper's end, as it is executed */
enum { CX_MESSAGE_BYTES = 64 * 1024 };  /* what follows a struct cx_message at most */

enum cx_message_type {
	/* host to keeper */
	CX_MSG_INIT = 1,        /* fds: host's pidfd (id 1: not there, no pidfd_open under valgrind)[, conex-undo];
				 * bytes: the state directory's path */
	CX_MSG_PLAN,            /* id: the plan's; fd: sealed memfd */
	CX_MSG_FORGET,          /* id: the plan's */
	CX_MSG_LAUNCH,          /* id; .launch; fds by struct cx_launch.fds; bytes: the launch buffer, or (size 0) a last fd */
	CX_MSG_START,           /* id: lift the start barrier */
	CX_MSG_KILL,            /* id; .kill.sig to the first process; sig 0: SIGKILL to everything in it */
	CX_MSG_STOP,            /* id; .kill.sig now, after .kill.grace_ms everything is killed */
	CX_MSG_PIDFD,           /* id: answered by CX_MSG_PIDFD with the descriptor */
	CX_MSG_LIFT,            /* id; .kill.sig: an errno, or 0: lift the barrier that was told */
	CX_MSG_BYE,             /* the host has undone everything itself: leave */
	CX_MSG_REAP,            /* id: of a released process that has ended: nobody else waits for it */
	/* keeper to host */
	CX_MSG_HELLO,           /* .hello; fd: the keeper's pidfd */
	CX_MSG_HELD,            /* id; .started: waits for START */
	CX_MSG_STARTED,         /* id; .started; [fd: a gift]; bytes: timeline */
	CX_MSG_FAILED,          /* id; .failed; bytes: timeline. Nothing of it runs any more */
	CX_MSG_EXITED,          /* id; .exited; [fd: a gift, of helpers] */
	CX_MSG_BARRIER,         /* id; .started; [fd: a gift]: waits for LIFT (the host-side hooks, the id maps' helpers) */
	CX_MSG_LISTENER         /* id; .started.pid; fd: the listener of its seccomp filter. Before HELD or STARTED */
};

/* struct cx_message.exited.cause */
enum { CX_ENDED_ITSELF, CX_ENDED_TIMEOUT, CX_ENDED_STOPPED };

struct cx_message {
	uint32_t type;
	uint32_t size;          /* of the bytes that follow */
	uint64_t id;
	union {
		struct { uint32_t version; int32_t pid; } hello;
		struct { uint64_t plan, target; } launch;       /* target: id of the container for CX_FD_EXEC, or
								 * CX_LAUNCH_ATTENDS; 0: none */
		struct { int32_t sig; uint32_t pad; int64_t grace_ms; } kill;
		struct { int32_t pid; uint32_t barrier; int64_t at_ns; } started; /* CLOCK_MONOTONIC */
		struct { uint32_t op, call; int32_t error, status; char detail[96]; } failed; /* status: of wait(2), where error is 0 */
		struct { int32_t status; uint32_t cause; uint64_t cpu_ns, peak; int64_t at_ns; int64_t real_ns; } exited;
	};
};

/* Child to keeper, over the launch's own socket: struct cx_word[, fd]; the answer is one byte. */
enum { CX_WORD_BARRIER = 1, CX_WORD_HELD, CX_WORD_GIFT,
	CX_WORD_LISTENER                /* fd: its own pidfd; in a moment struct cx_status.listener is set */
};
struct cx_word { uint32_t kind, value; };

/* One entry of a timeline: operation n of the plan began then. The last one is the end. */
struct cx_timeline { uint64_t at_ns[CX_STATUS_OPS]; };

#endif
