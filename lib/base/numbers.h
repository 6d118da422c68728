/* Sets of small numbers (processors, memory nodes) as the kernel writes them: "0-3,7". */
#ifndef CX_BASE_NUMBERS_H
#define CX_BASE_NUMBERS_H

#include <stddef.h>

/* Reads such a list; an empty one has nothing in it. Sets the bit of each number in `mask` of `size`
 * bytes (the kernel's order: number n is bit n % 8 of byte n / 8), which must be zero before; NULL:
 * only looks. How many bytes are used, -EINVAL (no list), or -ERANGE (a number beyond the mask). */
int cx_numbers_read(const char *list, unsigned char *mask, size_t size);

#endif
