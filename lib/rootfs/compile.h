/* rootfs: mounts, devices, masks, the way into the root file system; spec -> plan
 * operations. */
#ifndef CX_ROOTFS_COMPILE_H
#define CX_ROOTFS_COMPILE_H
#include "plan/compile.h"
/* In this order. sources: while still the keeper's user, after namespaces are entered:
 * opens what comes from the host (root directory, bind sources, device nodes to bind).
 * compile: root, mounts, /dev. finish: pivot. protect: after pivot and after sysctls were
 * written: masked and read-only paths, read-only root. */
/* Whether something of the root file system has to be done outside of the container's own user
 * namespace, by the first of two stages; outside: compiles that. */
int cx_rootfs_needs_outside(const json_t *spec);
int cx_rootfs_compile_outside(struct cx_compile *c, conex_error **err);
int cx_rootfs_compile_sources(struct cx_compile *c, conex_error **err);
int cx_rootfs_compile(struct cx_compile *c, conex_error **err);
int cx_rootfs_compile_finish(struct cx_compile *c, conex_error **err);
int cx_rootfs_compile_protect(struct cx_compile *c, conex_error **err);
/* Where devices and links are made, if they aren't there: for who looks later at what a container has written. New; NULL:
 * no memory */
json_t *cx_rootfs_device_paths(const json_t *spec);
#endif
