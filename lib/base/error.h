/* Making a conex_error: what was being done, to which object, what the kernel said, what mends it. */
#ifndef CX_BASE_ERROR_H
#define CX_BASE_ERROR_H

#include <conex/base.h>
#include "base/cleanup.h"

/* Fails with `code` (negative errno), which is returned, so that `return cx_fail(...)` reads well.
 * An earlier error in *err is freed and replaced. `call` and `hint` may be NULL; `object` is a
 * printf format. Without memory *err becomes a static error; err itself may be NULL. */
int cx_fail(conex_error **err, int stage, int code, const char *call, const char *hint,
	const char *object, ...) CX_PRINTF(6, 7);

/* The same with errno as it is now (never 0: EIO then). */
#define cx_fail_errno(err, stage, call, hint, ...) \
	cx_fail(err, stage, errno ? -errno : -EIO, call, hint, __VA_ARGS__)

/* Bad input in a spec or an options struct. `where` is the JSON path or the field's name, `value`
 * what stands there (cut when long; NULL: nothing), `mend` a printf format: what to write instead. */
int cx_refuse(conex_error **err, int code, const char *where, const char *value,
	const char *mend, ...) CX_PRINTF(5, 6);

/* cx_fail for want of memory. */
int cx_fail_memory(conex_error **err);

/* Copies an error, for a handle that keeps its own (NULL for NULL or without memory). */
conex_error *cx_error_copy(const conex_error *e);

#endif
