/* What all verbs of images that become jobs have in common: the caller's words, looked at, and the task of them. */
#ifndef CX_IMAGE_VERB_H
#define CX_IMAGE_VERB_H

#include "image/images.h"
#include "image/job.h"

struct cx_verb {
	struct conex_image_options o;   /* all of it that is there; strings are the caller's */
	struct conex_image_limits limits;
	struct cx_reference name;
	struct cx_store *store;         /* the context's */
	conex *cx;                      /* borrowed */
	struct cx_job_task job;         /* .json is made by cx_verb_task; the rest is the verb's to fill in */
};
/* Reads and checks: options of which the verb knows `flags`, the name, the context's store. */
int cx_verb_begin(conex *cx, const char *image, const struct conex_image_options *options, uint64_t flags, struct cx_verb *ret,
	conex_error **err);
/* A task of this kind: "kind", "store", "name", "platform" and "limits", as worker/task.c reads them. More words go into
 * v->job.json before cx_verb_start. */
int cx_verb_task(struct cx_verb *v, const char *kind, conex_error **err);
/* Hands it to a worker. The task is gone afterwards, however it went. */
int cx_verb_start(struct cx_verb *v, conex_job **ret, conex_error **err);

#endif
