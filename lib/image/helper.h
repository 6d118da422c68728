/* Credential helpers: programs that know who we are to a host, docker-credential-NAME. The keeper executes them. */
#ifndef CX_IMAGE_HELPER_H
#define CX_IMAGE_HELPER_H

#include "image/credentials.h"
#include "image/job.h"

enum { CX_HELPER_BYTES = 64 << 10, CX_HELPER_MS = 60000 };

/* One more to ask, of c->helper for c->server, before the worker: its answer goes into `who` (kept: counted), an entry of
 * the task's. *before: NULL, or what an earlier call made. -ENOENT: it isn't on PATH */
int cx_helper_ask(struct cx_job_before **before, const struct cx_credentials *c, json_t *who, conex_error **err);

#endif
