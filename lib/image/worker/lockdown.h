/* Locking the worker in, before it reads a stranger's byte. */
#ifndef CX_IMAGE_WORKER_LOCKDOWN_H
#define CX_IMAGE_WORKER_LOCKDOWN_H

#include "base/error.h"

struct cx_lockdown {
	const int *writable;    /* directories in which it works: open, they stay the caller's */
	int count;
	const int *readable;    /* and what it only reads */
	int readable_count;
	int network;            /* it connects, and reads what names and certificates take */
};
/* For good, and for this thread and those that it makes: so before there is another one. What is open stays so. 0,
 * -EBUSY there are threads; the directories are opened anew, in mounts of the worker's own that have no devices; what the kernel answers. Without Landlock (before Linux 5.19) files aren't locked away. */
int cx_worker_lock(const struct cx_lockdown *l, conex_error **err);

#endif
