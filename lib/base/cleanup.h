/* Ownership that ends with its scope: cleanup attributes, and the only two ways out (steal). */
#ifndef CX_BASE_CLEANUP_H
#define CX_BASE_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Closes once (on Linux the number is free even after EINTR), keeps errno, leaves -1. */
static inline void cx_closep(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

static inline void cx_freep(void *p)
{
	int saved = errno;

	free(*(void **)p);
	*(void **)p = NULL;
	errno = saved;
}

#define cx_cleanup(f) __attribute__((cleanup(f)))
#define cx_autofree cx_cleanup(cx_freep)
#define cx_autoclose cx_cleanup(cx_closep)

static inline int cx_steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define cx_steal_ptr(p) \
	({ \
		__typeof__(*(p)) cx_taken_ = *(p); \
		*(p) = NULL; \
		cx_taken_; \
	})

#define CX_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CX_PRINTF(f, a) __attribute__((format(printf, f, a)))

#endif
