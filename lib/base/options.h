/* Option structs that grow: clone3's rules, in one place. */
#ifndef CX_BASE_OPTIONS_H
#define CX_BASE_OPTIONS_H

#include <conex/base.h>

/* Copies a caller's struct (first member: size_t size) into ours of `known` bytes. NULL gives all
 * zero. Smaller than `first` (the first published size): -EINVAL; an excess that isn't zero:
 * -E2BIG; a short struct's missing fields are zero. `name` is the struct's, for the error. */
int cx_options_read(const char *name, void *to, size_t known, size_t first, const void *from,
	conex_error **err);

/* The same the other way: fills a caller's out struct as far as its size reaches; .size stays. */
int cx_options_write(const char *name, void *to, size_t known, size_t first, const void *from,
	conex_error **err);

#endif
