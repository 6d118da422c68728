/* namespace: new, shared and joined namespaces, names; spec -> plan operations. */
#ifndef CX_NAMESPACE_COMPILE_H
#define CX_NAMESPACE_COMPILE_H
#include "plan/compile.h"
/* In the order in which container/compile.c calls them, with other modules' operations between. */
int cx_namespace_compile_begin(struct cx_compile *c, conex_error **err); /* what is new, joined, shared; descriptors; death signal */
int cx_namespace_compile_enter(struct cx_compile *c, conex_error **err); /* joins, unshares, clones again, waits for the id maps */
int cx_namespace_compile_become(struct cx_compile *c, conex_error **err);/* root of the user namespace, loopback, names */
void cx_namespace_compile_mounts(struct cx_compile *c); /* a mount namespace to join, where the root is a tree apart */
/* For a plan that is no container's: a user namespace of an unprivileged caller's own, entered behind `inherit`. */
void cx_namespace_compile_own(struct cx_build *b, const json_t *uids, const json_t *gids);
/* CONEX_NS_... bits as CLONE_NEW... flags. */
uint64_t cx_namespace_clone_flags(uint32_t bits);
#endif
