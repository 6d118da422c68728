/* Capabilities and resource limits as the spec names them, as numbers. */
#ifndef CX_SECURITY_CAPABILITIES_H
#define CX_SECURITY_CAPABILITIES_H

#include <stdint.h>
#include <jansson.h>

/* All capabilities that we know; newer ones are dropped from the bounding set like any
 * not kept. */
#define CX_CAPABILITIES_ALL ((UINT64_C(1) << 41) - 1)

/* "CAP_CHOWN" -> 0, "RLIMIT_CPU" -> 0; -1: no such name. */
int cx_capability_number(const char *name);
int cx_rlimit_number(const char *name);

/* Bits of a list of names (NULL: 0); unknown ones, refused by validation, don't count. */
uint64_t cx_capability_mask(const json_t *names);

#endif
