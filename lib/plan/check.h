/* Is this buffer a plan, a launch? Asked by the host side before it sends, by the keeper
 * before it runs. */
#ifndef CX_PLAN_CHECK_H
#define CX_PLAN_CHECK_H

#include <stddef.h>

/* 0, or -EINVAL where an offset leads out of the buffer, a code is unknown, a text has no
 * end. The buffers are aligned to 8 bytes. After a 0 every cell may be followed without
 * looking. */
int cx_plan_check(const void *plan, size_t size);
int cx_launch_check(const void *launch, size_t size);

#endif
