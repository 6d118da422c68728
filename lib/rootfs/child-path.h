/* Inside the container: finding and making places in the new root file system. */
#ifndef CX_ROOTFS_CHILD_PATH_H
#define CX_ROOTFS_CHILD_PATH_H

#include "keeper/child.h"

/* Sources that no plan fills (compile.c leaves the last eight free). */
enum {
	CX_SOURCE_DEV =
		CX_CHILD_SOURCES - 1, /* /dev of the new root, while it is being filled */
	CX_SOURCE_EMPTY =
		CX_CHILD_SOURCES - 2, /* the empty directory that masks directories */
	CX_SOURCE_ROOT =
		CX_CHILD_SOURCES - 3, /* a detached root: as such it can be mounted on
				       * only as long as this is open */
	CX_SOURCE_MOUNTS =
		CX_CHILD_SOURCES - 4, /* a mount namespace that is joined last of all */
	CX_SOURCE_MAP =
		CX_CHILD_SOURCES - 5, /* a user namespace: the map of an overlay's lower layers */
};

/* c->late */
enum { CX_LATE_NO, CX_LATE_ONE, CX_LATE_ALL };

/* c->tree: what of rootfs's own is mounted somewhere already, and so has to be cloned for
 * its next use */
#define CX_TREE_NULL 0x1u
#define CX_TREE_EMPTY 0x2u
/* and: the next overlay's upper and work lie in a file system of their own */
#define CX_TREE_DISK 0x4u

/* Opens `path` as it is seen from the new root (before and after pivot): no link leads
 * out of it, no magic link is followed; `strict`: no link at all. An fd, or -1 and errno. */
int cx_rootfs_open(const struct cx_child *c, const char *path, int flags, int strict);

/* The same with O_PATH; what is missing is made, step by step: directories, and at the
 * end one more
 * (`directory`, with `mode`) or an empty file. */
int cx_rootfs_make(const struct cx_child *c, const char *path, int directory, mode_t mode,
	int strict);

/* The directory that holds `path`, made where missing, and the last component. */
int cx_rootfs_parent(const struct cx_child *c, const char *path, const char **name);

/* Mounts a detached tree at `path`. 0, or what cx_child_fail returned. `tree` stays open. */
int cx_rootfs_attach(struct cx_child *c, int tree, const char *path, int strict);
/* The same at a place already open. */
int cx_rootfs_attach_at(struct cx_child *c, int tree, int target, const char *path);

/* Sets one option of a file system's configuration: "key" or "key=value". */
int cx_rootfs_configure(struct cx_child *c, int fs, const char *option);
/* cx_child_fail with what the file system said about it, where it did. */
int cx_rootfs_fail_fs(struct cx_child *c, int fs, enum cx_call call, const char *detail);
/* A new file system, detached; closes fs. An fd, or what cx_child_fail returned. */
int cx_rootfs_create(struct cx_child *c, int fs, unsigned attributes, const char *detail);

/* tmpcopyup: copies what is in directory `from` into `to`. 0, or what cx_child_fail
 * returned. */
int cx_rootfs_copy_up(struct cx_child *c, int from, int to, const char *path);

/* child-idmap.c: a user namespace with these maps, or what cx_child_fail returned. */
int cx_rootfs_map(struct cx_child *c, const char *uids, const char *gids);

/* child-disk.c: mounts the file system in the file "disk" over the directory that `upper` shall be in, with a new `upper`
 * (which looks as "look" beside that file) and "work" in it. 0, or what cx_child_fail returned. */
int cx_rootfs_mount_disk(struct cx_child *c, const char *upper);

/* close(2), then forget; errno stays. */
void cx_rootfs_drop(int *fd);

#endif
