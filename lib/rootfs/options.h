/* The names of mount options in the runtime-spec and what they mean to the mount API. */
#ifndef CX_ROOTFS_OPTIONS_H
#define CX_ROOTFS_OPTIONS_H

#include <stdint.h>

/* What a list of options says so far; all zero: nothing. Sets and clears as
 * mount_setattr(2) takes them: first cleared, then set. */
struct cx_mount_options {
	uint64_t set, clear;           /* of this mount */
	uint64_t deep_set, deep_clear; /* of it and all below (rro, rnosuid …) */
	uint32_t propagation;          /* MS_PRIVATE …, with MS_REC; 0: not said */
	uint32_t flags;                /* CX_OPTION_... */
};

#define CX_OPTION_BIND 0x1u
#define CX_OPTION_RECURSIVE 0x2u /* rbind */
#define CX_OPTION_REMOUNT 0x4u
#define CX_OPTION_COPY_UP 0x8u /* tmpcopyup */
#define CX_OPTION_IDMAP 0x10u
#define CX_OPTION_IDMAP_DEEP 0x20u /* ridmap */

enum cx_option_kind {
	CX_OPTION_DATA,  /* unknown here: the file system's own, "size=64m" */
	CX_OPTION_SUPER, /* known to every file system as a flag: "sync" */
	CX_OPTION_KNOWN, /* taken into *o, or without any effect: "defaults" */
};

/* Adds one option; a later one overrides an earlier. */
enum cx_option_kind cx_rootfs_add_option(struct cx_mount_options *o, const char *name);

/* linux.rootfsPropagation, or one of the options: MS_... with MS_REC; 0: no such name. */
uint32_t cx_rootfs_propagation(const char *name);

#endif
