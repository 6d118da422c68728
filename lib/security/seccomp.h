/* linux.seccomp -> a BPF program, compiled once and kept by content. */
#ifndef CX_SECURITY_SECCOMP_H
#define CX_SECURITY_SECCOMP_H

#include <jansson.h>
#include "base/str.h"
#include "security/compile.h"

/* Adds the program (struct sock_filter[]) to *ret and gives the flags for seccomp(2).
 * `cache` may be NULL: compiled each time. -EINVAL and -ENOTSUP by JSON path; -EMFILE,
 * -ENOMEM. */
int cx_seccomp_program(struct cx_seccomp_cache *cache, const json_t *profile,
	struct cx_str *ret, uint32_t *ret_flags, conex_error **err);

/* How often a program was found, and how many are kept. */
void cx_seccomp_cache_count(struct cx_seccomp_cache *cache, unsigned *hits,
	unsigned *kept);

#endif
