/* The difference that a container has made: overlay's upper directory as a layer's tar. Whatever it holds is a
 * stranger's: no name in it is followed, nothing but files is opened. diff.c walks, diff-entry.c writes what it meets,
 * diff-made.c knows what the runtime itself has put there. */
#ifndef CX_IMAGE_WORKER_DIFF_H
#define CX_IMAGE_WORKER_DIFF_H

#include <limits.h>
#include <time.h>
#include "image/worker/pack.h"
#include "image/worker/stack.h"

/* What may be in a layer: no path is longer, nothing lies deeper, so that it can be unpacked again. `memory` is for the
 * names of the directories on the way, hard links and maps of holes. */
enum { CX_DIFF_DEPTH = 2048, CX_DIFF_MEMORY = 256 << 20, CX_DIFF_XATTRS = 768 << 10, CX_DIFF_ZEROS = 1 << 30 };

struct cx_diff {
	struct cx_pack *pack;
	const struct cx_stack *stack;
	char **made;                    /* paths at which the runtime mounts, or makes devices, and their number */
	size_t made_count;
	char path[PATH_MAX];            /* of what is being looked at; the error's object */
	size_t size;                    /* its bytes */
	unsigned depth;
	dev_t dev;                      /* the upper directory's */
	struct timespec begun;
	uint64_t memory, entries;       /* used; written */
	void *links;                    /* a tree of inodes with several names: search.h */
	char *zeros;                    /* what holes are written from */
	conex_error **err;
};

/* Writes everything of stack->trees[0] to pack->tar. `entries` stays 0 where nothing has changed. -EINVAL: something no
 * layer can hold; -E2BIG -ENAMETOOLONG: beyond a limit; -EBUSY: it was written to meanwhile; -errno. Afterwards, whatever
 * it said, cx_diff_clear. */
int cx_diff_write(struct cx_diff *d);
void cx_diff_clear(struct cx_diff *d);

/* ---- between its files ---- */

int cx_diff_fail(struct cx_diff *d, int code, const char *call, const char *hint);
#define cx_diff_errno(d, call) cx_diff_fail(d, errno ? -errno : -EIO, call, NULL)
int cx_diff_changed(struct cx_diff *d);         /* -EBUSY, and says so */
int cx_diff_use(struct cx_diff *d, uint64_t bytes);     /* -E2BIG */
/* 0; -EBUSY: its inode was changed since we began */
int cx_diff_look(struct cx_diff *d, const struct stat *st);

/* diff-entry.c */
struct archive_entry;
/* Owner, mode, times and xattrs of what `fd` is (O_PATH for what can't be opened, then `dir` and `name` lead to it). */
int cx_diff_describe(struct cx_diff *d, const struct stat *st, int fd, int dir, const char *name, struct archive_entry **ret);
int cx_diff_put(struct cx_diff *d, struct archive_entry *e);    /* its header */
int cx_diff_put_file(struct cx_diff *d, const struct stat *st, int fd);
int cx_diff_put_special(struct cx_diff *d, const struct stat *st, int fd, int dir, const char *name);
/* An empty file of that name beside the present path's last component: .wh.NAME, or .wh..wh..opq in it. */
int cx_diff_put_whiteout(struct cx_diff *d, const char *name);
/* Another name of what was written already: 1, and it is; 0: it is the first one. */
int cx_diff_put_link(struct cx_diff *d, const struct stat *st);

/* diff-made.c */
int cx_diff_is_made(const struct cx_diff *d);           /* the present path is one of `made` */
int cx_diff_leads_to_made(const struct cx_diff *d);     /* one of them lies below it */
/* A directory that is there for those alone: 1; 0: it was changed otherwise, too; negative. */
int cx_diff_is_untouched(struct cx_diff *d, struct archive_entry *e);
/* Is all of this file, or directory, in it? 0, -EOPNOTSUPP */
int cx_diff_is_whole(struct cx_diff *d, int fd);
/* Does the directory at this path hide one of a layer's? 1, 0, negative */
int cx_diff_hides(struct cx_diff *d, int fd);

#endif
