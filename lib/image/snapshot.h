/* What containers write over their images: snapshots/BOOT-TAG-ID/{upper,work} of the store. They are a container's, whose
 * journal lies in /run, so they end with the boot: the next one removes those of earlier boots. */
#ifndef CX_IMAGE_SNAPSHOT_H
#define CX_IMAGE_SNAPSHOT_H

#include <sys/stat.h>
#include "image/store.h"

char *cx_snapshot_path(const struct cx_store *s, const char *id);       /* a new one's. free; NULL: no memory */
/* look: owner and mode of the root directory. 0, -errno */
int cx_snapshot_make(const struct cx_store *s, const char *path, const struct stat *look);
/* Removes it where it has so few entries (UINT_MAX: any number) and is all ours, else throws it away. 0: it is gone,
 * or there was none; 1: it is in the store's tmp/, to be swept; -errno */
int cx_snapshot_remove(const char *path, unsigned entries);
char *cx_snapshot_store(const char *path);      /* the store that it is in. free; NULL: none, or no memory */
/* "STORE LEASE": what a journal holds of a lease. */
int cx_snapshot_let_go(const char *text);

#endif
