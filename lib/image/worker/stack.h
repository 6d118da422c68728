/* Directories that overlay stacks, looked into as it would, without mounting them. */
#ifndef CX_IMAGE_WORKER_STACK_H
#define CX_IMAGE_WORKER_STACK_H

#include <sys/stat.h>
#include "image/store.h"

/* trees[0] is what the container has written, the others are its image's layers, the uppermost first. */
struct cx_stack { int *trees; size_t count; };
/* `upper` stays the caller's. */
int cx_stack_open(struct cx_stack *s, const struct cx_store *store, int upper, const struct cx_image_config *config,
	conex_error **err);
void cx_stack_close(struct cx_stack *s);

/* What is at this path ("": the root) from trees[first] on: its descriptor (O_PATH); -ENOENT nothing, or it is hidden;
 * -errno. Links aren't followed. */
int cx_stack_find(const struct cx_stack *s, size_t first, const char *path, struct stat *ret);
/* Where a path leads to in all of it, links followed, whether there is something or not: without "/" in front. 0; -ELOOP,
 * -ENAMETOOLONG */
int cx_stack_resolve(const struct cx_stack *s, const char *path, char *to);

#endif
