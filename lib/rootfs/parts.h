/* What compile.c, mounts.c and devices.c of this folder share; nobody else includes it. */
#ifndef CX_ROOTFS_PARTS_H
#define CX_ROOTFS_PARTS_H

#include "rootfs/compile.h"
#include "rootfs/options.h"

/* Numbers of sources, the same in both passes over the spec (sources, then compile): the
 * root file system is 0, then come the binds in the mounts' order, then the devices in
 * theirs. */
enum { CX_ROOTFS_ROOT_SOURCE = 0, CX_ROOTFS_SOURCES = 256 /* CX_CHILD_SOURCES */ };

/* mounts.c */
int cx_rootfs_compile_mount_sources(struct cx_compile *c, conex_error **err);
/* Those whose ids are mapped, for a container with a user namespace of its own: while its first
 * stage is still outside of that. They are the host's peers then: `propagation` (MS_...) is set. */
int cx_rootfs_compile_mapped_sources(struct cx_compile *c, uint32_t propagation,
	conex_error **err);
/* *source: the number of the first bind; afterwards the first number behind the binds. */
int cx_rootfs_compile_mounts(struct cx_compile *c, uint32_t *source, conex_error **err);
/* Whether /dev comes from the host as it is, so that nothing is to be made in it. */
int cx_rootfs_dev_is_bound(const json_t *spec);
/* Whether any mount asks to receive what the host mounts later (slave, shared). */
int cx_rootfs_mounts_follow_host(const json_t *spec);

/* files.c: what a container on networks gets beside the binds that it asks for, right behind them. */
int cx_rootfs_compile_file_sources(struct cx_compile *c, conex_error **err);
void cx_rootfs_compile_files(struct cx_compile *c, uint32_t *source);

/* devices.c */
int cx_rootfs_compile_device_sources(struct cx_compile *c, conex_error **err);
int cx_rootfs_compile_devices(struct cx_compile *c, uint32_t source, conex_error **err);

/* compile.c: whether all mounts are private before anything is cloned, so that asking for
 * it is idle. */
int cx_rootfs_isolated(const struct cx_compile *c);
/* Opens `path` of the host as the next source. */
int cx_rootfs_add_source(struct cx_compile *c, const char *object, uint64_t path_cell,
	unsigned tree_flags, conex_error **err);
/* The number of one that is open already. */
int cx_rootfs_skip_source(struct cx_compile *c, const char *object, conex_error **err);

#endif
