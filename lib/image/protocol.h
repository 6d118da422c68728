/* What host and worker say to each other, over SOCK_SEQPACKET. The host says nothing: all that there is to do is in
 * the task, a sealed memfd with JSON; when it doesn't want it any more it closes its end. The worker tells how far it
 * is and, once, how it ended. */
#ifndef CX_IMAGE_PROTOCOL_H
#define CX_IMAGE_PROTOCOL_H

#include <stdint.h>

/* The worker's descriptors as it is executed. */
enum { CX_WORKER_SOCKET = 3, CX_WORKER_TASK, CX_WORKER_FIRST };        /* from FIRST on: as the task says */
enum { CX_WORK_BYTES = 16 * 1024 };    /* behind a struct cx_work at most */

enum cx_work_type {
	CX_WORK_PROGRESS = 1,   /* .progress; bytes: the step, a text for people */
	CX_WORK_DONE,           /* bytes: the result, a text */
	CX_WORK_FAILED          /* .failed; bytes: object, call and hint, each with its NUL */
};

struct cx_work {
	uint32_t type;
	uint32_t size;          /* of the bytes that follow */
	union {
		struct { uint64_t done, total, unpacked; uint32_t done_layers, total_layers; } progress;
		struct { int32_t code, stage; } failed;
	};
};

#endif
