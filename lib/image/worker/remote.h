/* The worker's end of image/remote.h: from the task's "remote" to a registry that can be asked. */
#ifndef CX_IMAGE_WORKER_REMOTE_H
#define CX_IMAGE_WORKER_REMOTE_H

#include "image/reference.h"
#include "image/worker/registry.h"
#include "image/worker/worker.h"

enum { CX_REMOTE_FILES = 256 };

/* Before the lock: what it has to leave readable, the directories of certificates and the files to which links in them
 * lead, as descriptors (O_PATH) for cx_lockdown.readable. How many; what isn't there isn't missed. */
int cx_remote_files(const struct cx_worker *w, int fds[CX_REMOTE_FILES]);
/* After it, and after cx_worker_watch: the registry of `name`, whose traffic is counted into w->done. One thread's.
 * cx_registry_close, before w ends. */
int cx_remote_open(struct cx_worker *w, const struct cx_reference *name, struct cx_registry **ret, conex_error **err);

#endif
