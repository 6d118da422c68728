/* Unpacking: a layer's bytes, which are a stranger's, become a tree of files, or nothing at all. What comes before
 * (finding and fetching the bytes) is the registry's, what comes after (mounting the tree) the host's.
 *
 * Runs in conex-worker alone, whose threads, libarchive and decompressors no host should have. No state outlives a
 * call; calls may run side by side. */
#ifndef CX_IMAGE_WORKER_UNPACK_H
#define CX_IMAGE_WORKER_UNPACK_H

#include "base/error.h"
#include "base/ids.h"
#include "base/str.h"

enum { CX_PACKED_ANY, CX_PACKED_TAR, CX_PACKED_GZIP, CX_PACKED_ZSTD };
enum { CX_LAYER_DIGEST = 136 };         /* "sha512:", 128 digits, NUL */

/* The bytes of one layer as they are stored, and what they must turn out to be. */
struct cx_packed {
	ssize_t (*read)(void *self, void *to, size_t size); /* bytes, 0 at the end, -errno; NULL: from fd. May block */
	void *self;
	int fd;                         /* stays the caller's */
	const char *digest;             /* of these bytes: "sha256:..." or "sha512:..."; NULL: unknown */
	const char *diff_id;            /* of the tar in them; NULL: unknown */
	uint64_t size;                  /* of these bytes; 0: unknown */
	int media;                      /* CX_PACKED_...: what the manifest says they are */
	uint64_t *unpacked;             /* plain bytes are added as they come (atomic); NULL: nobody looks */
};

enum {                                  /* what becomes of .wh.NAME and .wh..wh..opq */
	CX_WHITEOUT_OVERLAY,            /* overlay's: device 0:0, trusted.overlay.opaque */
	CX_WHITEOUT_USER,               /* with userxattr: device 0:0 or user.overlay.whiteout, user.overlay.opaque */
	CX_WHITEOUT_APPLY,              /* what they hide is removed: for a tree of several layers */
};

enum {
	/* Devices, trusted.* and security.* that the kernel refuses with EPERM are left out and counted. */
	CX_UNPACK_ROOTLESS = 1,
	CX_UNPACK_SQUASH = 2,           /* all belongs to who calls, whoever it belonged to: with one id only */
	CX_UNPACK_SYNC = 4,             /* on the disk before it has its name */
};

/* Against bombs; 0: the default in brackets. */
struct cx_unpack_limits {
	uint64_t bytes;                 /* of all files' sizes, holes included, and of the tar [256 GiB] */
	uint64_t ratio;                 /* plain bytes a compressed one, from 256 MiB on [1000] */
	uint64_t entries;               /* [4 Mi] */
	uint64_t memory;                /* bytes kept until the end: directories' paths and xattrs [256 MiB] */
	uint32_t depth;                 /* components of a path [256] */
	uint32_t path;                  /* its bytes [4095, which is also the most] */
	uint32_t header;                /* bytes of a PAX header, or of a GNU long name [1 MiB] */
	uint32_t xattrs;                /* bytes of an entry's extended attributes, names and values [256 KiB] */
};

struct cx_unpack_options {
	int whiteouts;
	unsigned flags;
	const struct cx_id_range *uids, *gids; /* none: ids as they are. An id that isn't in them is refused */
	size_t uid_count, gid_count;
	struct cx_unpack_limits limits;
	const char *passing;            /* the name of its own, for who has to know it before; NULL: a random one */
	struct cx_str *implied;         /* cx_unpack_layer adds the directories, each path with its NUL, that no entry
	                                 * describes, but layers below may; NULL: nobody asks */
};

/* What was seen in one layer. */
struct cx_unpack_result {
	char digest[CX_LAYER_DIGEST], diff_id[CX_LAYER_DIGEST];
	int media;
	uint64_t compressed, plain, entries, bytes;
	uint64_t left_out_xattrs;       /* security.selinux, overlay's own, what can't be kept: xattrs.c */
	uint64_t left_out_devices;      /* rootless */
};

/* Unpacks one layer into the new directory `name` in `parent`: under a name of its own (".unpack-" and a random
 * part) until digests and size are found right. On failure that directory is gone, unless this process is, too:
 * whoever owns `parent` removes leftovers of that name. `ret` may be NULL.
 * Returns 0; -EEXIST: the directory is there; -EBADMSG: not what its digest, size or media type promised, or
 * broken; -EINVAL: an entry, or an option, that isn't acceptable; -E2BIG: beyond a limit; -EOPNOTSUPP; errors of the file
 * system. */
int cx_unpack_layer(int parent, const char *name, const struct cx_packed *layer,
	const struct cx_unpack_options *options, struct cx_unpack_result *ret, conex_error **err);

/* The same with several layers, the lowest first, in one tree: CX_WHITEOUT_APPLY. `ret`: an array, or NULL. */
int cx_unpack_tree(int parent, const char *name, const struct cx_packed *layers, size_t count,
	const struct cx_unpack_options *options, struct cx_unpack_result *ret, conex_error **err);

#endif
