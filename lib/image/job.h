/* Jobs: what a worker does for the host, as the host sees it. Any number may run; each has a worker of its own. */
#ifndef CX_IMAGE_JOB_H
#define CX_IMAGE_JOB_H

#include <jansson.h>
#include <conex/image.h>
#include "keeper/host.h"
#include "state/context.h"

/* Programs of the host's side that run before the worker, one after another, and complete its task. Called with the lock;
 * `free` in the end, whatever happens. */
struct cx_job_before {
	/* 1: this plan (free) is to be run with these as stdin, stdout and stderr, which the callee has opened and the caller
	 * closes; 0: there is none left. */
	int (*next)(struct cx_job_before *b, struct cx_plan **ret, int fds[3], conex_error **err);
	int (*ended)(struct cx_job_before *b, const struct cx_helper *h, conex_error **err);
	void (*free)(struct cx_job_before *b);
	int64_t timeout_ms;     /* of each */
	char step[128];         /* what `next` is about: a text for people */
};

/* Executes conex-worker, by the keeper, with the task (taken over) and `count` descriptors, which stay the caller's.
 * `finish` is called with the lock when the worker has said that all went well, and may still fail the job. `ended` is
 * called with the lock when it is dead or dies just now (then the socket hangs up; -1: it has), before anybody hears
 * how it ended; not for one that never ran. `forget` is called once in the end whatever happens. All may be NULL. */
struct cx_job_task {
	json_t *json;           /* may have secrets: it is wiped */
	struct cx_job_before *before;   /* taken over; NULL: none */
	const int *fds;
	int count;
	int quiet;              /* no CONEX_EVENT_JOB: nobody but the caller knows of it */
	void *data;             /* comes back in events */
	void *own;              /* for these: */
	int (*finish)(void *own, const char *result, conex_error **err);
	void (*ended)(void *own, int socket);
	void (*forget)(void *own);
};
int cx_job_start(conex *cx, struct cx_job_task *task, conex_job **ret, conex_error **err);
/* Instead of starting it: what would have been taken over is gone, `forget` called. */
void cx_job_task_clear(struct cx_job_task *task);

int cx_jobs_pump(conex *cx);                    /* locked; 1: something happened */
/* CONEX_EVENT_JOB of the queue. A reference more: cx_job_unref, locked */
conex_job *cx_job_of(struct cx_news *n, void **ret_data);
void cx_job_unref(conex_job *job);
void cx_jobs_close(conex *cx);                  /* locked: all end, as cancelled */

#endif
