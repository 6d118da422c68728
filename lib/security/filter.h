/* Between cache.c, store.c and seccomp.c: compiling a profile, and keeping what came of it. */
#ifndef CX_SECURITY_FILTER_H
#define CX_SECURITY_FILTER_H

#include "security/seccomp.h"

enum { SECCOMP_RULE_CONDITIONS = 32 };  /* of one rule; a system call has six arguments */

int cx_seccomp_compile(const json_t *profile, struct cx_str *ret, uint32_t *ret_flags,
	conex_error **err);
uint64_t cx_seccomp_hash(const char *data, size_t size);
/* 1: the program of exactly this profile was there. */
int cx_seccomp_load(int dir, uint64_t hash, const char *key, struct cx_str *program, uint32_t *flags);
void cx_seccomp_store(int dir, uint64_t hash, const char *key, const struct cx_str *program, uint32_t flags);

#endif
