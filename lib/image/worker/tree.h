/* What the files of the unpacking share: the tree that is being made, and how it is spoken of. For unpack*.c, dirs.c,
 * remove.c, attributes.c alone. */
#ifndef CX_IMAGE_WORKER_TREE_H
#define CX_IMAGE_WORKER_TREE_H

#include <limits.h>
#include <time.h>
#include "image/worker/unpack.h"

struct archive_entry;

/* A path as we take it: no "/" at either end, no empty, "." or ".." component. "" is the tree itself. */
struct cx_path {
	char text[PATH_MAX];
	size_t size, parent;            /* bytes; those of the directory it is in, without the "/" */
	const char *name;               /* its last component, in text */
};

/* Extended attributes, one behind another: name, NUL, value; so they can be kept, too. */
struct cx_xattrs { struct cx_xattr { char *name; void *value; size_t size; struct cx_xattr *next; } *first; };

struct cx_attributes {
	mode_t mode;
	uid_t uid;
	gid_t gid;
	struct timespec times[2];       /* accessed, modified: utimensat's order */
	struct cx_xattrs xattrs;
	int has_acl;                    /* one of them gives access, so the mode alone doesn't */
};

/* Descriptors of the directories on the way to where the last entry was put. */
enum { CX_LEVELS = 48 };
struct cx_dirs {
	char path[PATH_MAX];
	unsigned depth;
	int by_link;                    /* a symbolic link lies on the way */
	int stale;                      /* to be forgotten by the next who asks: until then they may be in use */
	struct { size_t end; int fd; } levels[CX_LEVELS];
};

/* Every directory gets its owner, mode and times at the very end: until then all are 0700 and ours. */
struct cx_dir_records {
	struct cx_dir_record {
		char *path;
		size_t index;           /* the later one counts */
		ino_t ino;
		int is_open;            /* layers below may say what it is like: options.implied */
		struct cx_attributes attributes;
	} *list;
	size_t count, capacity;
	uint64_t memory;                /* of the paths and xattrs, and their list */
};

/* Inodes that the present layer has put or named: whiteouts don't hide what is of their own layer. */
struct cx_inodes { uint64_t *slots; size_t count, capacity; };

struct cx_tree {
	struct cx_unpack_options options;       /* limits without zeros */
	int root;
	uid_t uid;                      /* what is created belongs to these */
	gid_t gid;
	mode_t umask;
	int tracks;                     /* layers lie below this one: inodes are noted */
	int hides;                      /* a directory was made opaque */
	struct cx_dirs dirs, links;     /* of entries; of hard links' targets */
	struct cx_dir_records records;
	struct cx_inodes inodes;
	struct cx_unpack_result *result;
	const char *layer;              /* for errors: its digest, or "" */
	struct cx_path path, target;    /* of the present entry */
	conex_error **err;
};

/* An error about the present entry; `raw` is its name as the archive has it, shown with \xNN. Returns code. */
int cx_tree_fail(struct cx_tree *t, int code, const char *call, const char *hint, const char *raw);
#define cx_tree_errno(t, call, raw) cx_tree_fail(t, errno ? -errno : -EIO, call, NULL, raw)

/* ---- path.c ---- */
/* Takes a name apart; refuses "..", and what is beyond the limits. 0 or negative. */
int cx_path_read(struct cx_tree *t, const char *name, struct cx_path *ret);

/* ---- dirs.c ---- */
/* The directory that is the first `size` bytes of path, borrowed until the next call; with `create` missing ones are
 * made. Symbolic links on the way are followed within the tree. An fd or negative. */
int cx_dirs_open(struct cx_tree *t, struct cx_dirs *d, const struct cx_path *path, size_t size, int create);
void cx_dirs_forget(struct cx_dirs *d);
/* Something was removed: directories, or links, that lay on cached ways. What was opened stays open for now. */
void cx_dirs_removed(struct cx_tree *t, int was_directory);
/* A new directory 0700, or the one that is there, in the way of nothing; what else has this name goes. */
int cx_dirs_make(struct cx_tree *t, int parent, const struct cx_path *path, size_t size);
/* Notes what the directory shall be like in the end; takes the xattrs. 0, -ENOMEM, -E2BIG: beyond limits.memory */
int cx_dirs_note(struct cx_tree *t, const char *path, size_t size, ino_t ino, struct cx_attributes *a);
/* The same of one that no entry has described, or not yet: 0755, root's. */
int cx_dirs_note_implied(struct cx_tree *t, int fd, const char *path, size_t size);
/* All directories become what was noted. */
int cx_dirs_finish(struct cx_tree *t);
void cx_dirs_free(struct cx_tree *t);

/* ---- remove.c ---- */
/* Whatever `name` is, with all below, however deep. 0, -errno */
int cx_remove(int parent, const char *name);
/* The same for an entry in the way: 0 also if there is none. */
int cx_tree_clear(struct cx_tree *t, int parent, const char *name);
/* Whatever is below this directory and not of the present layer. 0, -errno */
int cx_tree_prune(struct cx_tree *t, int dirfd);
/* That name, if it isn't of the present layer; if it is, what is below it and isn't. 0, -errno */
int cx_tree_hide(struct cx_tree *t, int parent, const char *name);

int cx_inodes_add(struct cx_inodes *s, uint64_t ino);   /* 0, -ENOMEM */
int cx_inodes_has(const struct cx_inodes *s, uint64_t ino);

/* ---- attributes.c ---- */
/* What the entry says about owner, mode, times, xattrs and ACLs, mapped and within limits. 0 or negative. */
int cx_attributes_read(struct cx_tree *t, struct archive_entry *e, struct cx_attributes *ret);
void cx_attributes_free(struct cx_attributes *a);
/* To an open file: owner, xattrs, mode (`is`: as it was created), times. */
int cx_attributes_set_fd(struct cx_tree *t, int fd, const struct cx_attributes *a, mode_t is);
/* To a name that is no symbolic link, or is one; `type` is its S_IFMT; `done`: its times come later. */
int cx_attributes_set_at(struct cx_tree *t, int parent, const char *name, mode_t type, const struct cx_attributes *a);

/* ---- xattrs.c ---- */
/* Of an entry, filtered and within the limit; ids in ACLs and capabilities are mapped. 0 or negative. */
int cx_xattrs_read(struct cx_tree *t, struct archive_entry *e, struct cx_attributes *a);
void cx_xattrs_free(struct cx_xattrs *x);
int cx_xattrs_is_kept(const char *name);
size_t cx_xattrs_size(const struct cx_xattrs *x);      /* in memory */
/* To fd; or where it is -1 to a name in parent, not following it. */
int cx_xattrs_set(struct cx_tree *t, int fd, int parent, const char *name, const struct cx_xattrs *x);
/* A container's id as this machine's. 0, or negative: it has none. */
int cx_map_id(struct cx_tree *t, int group, int64_t id, uint32_t *ret);

/* ---- whiteout.c ---- */
/* 1: it was a whiteout, and is done; 0: it is none; negative. */
int cx_whiteout(struct cx_tree *t, struct archive_entry *e);
/* Is this file one of ours? Then a directory that takes its place hides what is below. */
int cx_whiteout_is(struct cx_tree *t, int parent, const char *name, mode_t type, dev_t rdev);
int cx_whiteout_opaque(struct cx_tree *t, int dirfd, const char *value);
/* Does this directory, or one above it, hide what is below by now? */
int cx_whiteout_hides(struct cx_tree *t, int dirfd);
const char *cx_whiteout_xattr(int whiteouts, int opaque);       /* overlay's name for it */

/* ---- entry.c ---- */
struct archive;
int cx_entry_unpack(struct cx_tree *t, struct archive *a, struct archive_entry *e);

#endif
