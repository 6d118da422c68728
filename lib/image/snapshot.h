/* What containers write over their images: snapshots/BOOT-TAG-ID/{upper,work} of the store. They are a container's, whose
 * journal lies in /run, so they end with the boot: the next one removes those of earlier boots. */
#ifndef CX_IMAGE_SNAPSHOT_H
#define CX_IMAGE_SNAPSHOT_H

#include <sys/stat.h>
#include "image/store.h"

char *cx_snapshot_path(const struct cx_store *s, const char *id);       /* a new one's. free; NULL: no memory */
/* look: owner and mode of the root directory. 0, -errno */
int cx_snapshot_make(const struct cx_store *s, const char *path, const struct stat *look);
int cx_snapshot_remove(const char *path);                               /* 0 also where there is none; -errno */
/* "STORE LEASE": what a journal holds of a lease. */
int cx_snapshot_let_go(const char *text);

#endif
