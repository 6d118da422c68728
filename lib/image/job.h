/* Jobs: what a worker does for the host, as the host sees it. Any number may run; each has a worker of its own. */
#ifndef CX_IMAGE_JOB_H
#define CX_IMAGE_JOB_H

#include <jansson.h>
#include <conex/image.h>
#include "state/context.h"

/* Executes conex-worker, by the keeper, with the task (taken over) and `count` descriptors, which stay the caller's.
 * `finish` is called with the lock when the worker has said that all went well, and may still fail the job; it and
 * `forget` may be NULL. That is called once, with the lock, when the worker has said how it ended, has ended without
 * a word, or could not be begun. */
struct cx_job_task {
	json_t *json;
	const int *fds;
	int count;
	void *data;             /* comes back in events */
	void *own;              /* for these: */
	int (*finish)(void *own, const char *result, conex_error **err);
	void (*forget)(void *own);
};
int cx_job_start(conex *cx, struct cx_job_task *task, conex_job **ret, conex_error **err);

int cx_jobs_pump(conex *cx);                    /* locked; 1: something happened */
/* CONEX_EVENT_JOB of the queue. A reference more: cx_job_unref, locked */
conex_job *cx_job_of(struct cx_news *n, void **ret_data);
void cx_job_unref(conex_job *job);
void cx_jobs_cancel(conex *cx);                 /* locked: workers are told to end */
void cx_jobs_close(conex *cx);                  /* locked: all end, as cancelled */

#endif
