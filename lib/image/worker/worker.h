/* conex-worker: one task, then it ends. What its parts share. */
#ifndef CX_IMAGE_WORKER_WORKER_H
#define CX_IMAGE_WORKER_WORKER_H

#include <jansson.h>
#include <pthread.h>
#include <stdint.h>
#include "base/error.h"

struct cx_worker {
	int socket;             /* to the host */
	json_t *task;
	/* Counted by any thread (atomic), told at most ten times a second: */
	uint64_t done, total, unpacked;
	uint64_t others;        /* of total, what other processes bring meanwhile */
	uint32_t done_layers, total_layers;
	pthread_mutex_t lock;   /* of: */
	char step[128];
	int64_t told_ns;
};

/* Tells the host how far it is, where a tenth of a second has passed since. Never blocks. */
void cx_worker_tell(struct cx_worker *w);
void cx_worker_step(struct cx_worker *w, const char *format, ...) CX_PRINTF(2, 3);     /* any thread; told at once if it is new */
/* From then on the end of the host's end is this process's. Makes a thread: after cx_worker_lock. */
int cx_worker_watch(struct cx_worker *w, conex_error **err);

#endif
