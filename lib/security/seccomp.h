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

/* Has the profile (NULL: none) a rule with SCMP_ACT_NOTIFY? Then its filter gets a listener. asked.c */
int cx_seccomp_asks(const json_t *profile);

/* Where in a launch the filter is installed; what comes later is the container's own, under the filter. */
enum cx_filter_place {
	CX_FILTER_LAST = 1,             /* right before the program */
	CX_FILTER_BEFORE_START = 2,     /* before the start barrier and the hooks behind it */
	CX_FILTER_BEFORE_RIGHTS = 4     /* before ids and capabilities change: without no_new_privs */
};
/* Nobody answers yet while a container starts: refuses rules that ask about what it calls itself then. -EINVAL
 * by JSON path. asked.c */
int cx_seccomp_check_asked(const json_t *spec, enum cx_filter_place place, conex_error **err);

/* How often a program was found, and how many are kept. */
void cx_seccomp_cache_count(struct cx_seccomp_cache *cache, unsigned *hits,
	unsigned *kept);

#endif
