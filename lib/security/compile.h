/* security: sysctls, limits, ids, capabilities, seccomp; spec -> plan operations. */
#ifndef CX_SECURITY_COMPILE_H
#define CX_SECURITY_COMPILE_H
#include "plan/compile.h"
/* Compiled seccomp programs by content, one cache a context; thread-safe inside. */
struct cx_seccomp_cache;
struct cx_seccomp_cache *cx_seccomp_cache_new(void);    /* NULL: no memory */
/* From now on also below `dir`/seccomp, which nobody else may write to: for processes that come and go. Before
 * any thread uses the cache. */
void cx_seccomp_cache_keep(struct cx_seccomp_cache *cache, int dir);
void cx_seccomp_cache_free(struct cx_seccomp_cache *cache);
/* sysctl: before rootfs's protect. rights: all that takes rights away, up to the start barrier. The filter: by
 * rights, before capabilities go, without no_new_privs; by start, if it has a listener and nobody could take it
 * later; else by last. */
int cx_security_compile_sysctl(struct cx_compile *c, conex_error **err);
int cx_security_compile_rights(struct cx_compile *c, struct cx_seccomp_cache *cache, conex_error **err);
int cx_security_has_selinux(void);
/* Called by rights. */
int cx_security_compile_labels(struct cx_compile *c, conex_error **err);
void cx_security_compile_schedule(struct cx_compile *c);
/* exec's processors: "initial" before the cgroup is entered, "final" after it. */
void cx_security_compile_affinity(struct cx_compile *c, const char *when);
int cx_security_compile_start(struct cx_compile *c, struct cx_seccomp_cache *cache, conex_error **err);
int cx_security_compile_last(struct cx_compile *c, struct cx_seccomp_cache *cache, conex_error **err);
#endif
