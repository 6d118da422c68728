/* The image store: bytes by their digests, shared by any number of processes. doc/store.md describes it; one file a
 * subject: store-ingest.c (bytes on their way in), store-blob.c, store-layer.c (unpacked), store-image.c (names),
 * store-lease.c (who needs what), store-gc.c, store-verify.c.
 *
 * Nothing is there under a digest before whoever brought it has verified it: files and directories appear by a
 * rename, whole. Readers take no lock. Locks are flock's: none outlives its process. */
#ifndef CX_IMAGE_STORE_H
#define CX_IMAGE_STORE_H

#include "image/config.h"
#include "image/reference.h"

/* Without it what a commit returns from is on the disk, not only in the page cache: a power failure loses nothing
 * that was there. With it pulls are faster, and after a power failure cx_store_verify is due. */
enum {
	CX_STORE_NO_SYNC = 1,
	CX_STORE_EXISTING = 2   /* -ENOENT where there is none: nothing is made */
};

struct cx_store {
	char *path;             /* absolute */
	int root;               /* that directory */
	unsigned flags;
};

/* NULL: $CONEX_STORE, else /var/lib/conex, when not root $XDG_DATA_HOME/conex or ~/.local/share/conex (so also for root of a user
 * namespace that may not write the first). Made where missing, 0700; -EPERM when it isn't ours, or others may
 * write it; -EINVAL CONEX_STORE is relative; -EPROTONOSUPPORT: a newer library's. Immutable afterwards: any thread may use it, and a fork. */
int cx_store_open(const char *path, unsigned flags, struct cx_store **ret, conex_error **err);
void cx_store_close(struct cx_store *s);

/* ---- leases: what is held isn't collected ---- */

enum cx_store_lease_kind {
	CX_LEASE_PROCESS,       /* until the process that took it is dead: a pull's */
	CX_LEASE_BOOT,          /* until the next boot: a container's */
	CX_LEASE_LASTING,       /* until it is given back: a snapshot's */
};
enum { CX_LEASE_ID = 36 };
struct cx_store_lease {
	struct cx_store *store; /* borrowed */
	char id[CX_LEASE_ID];   /* a word without blanks, for a journal */
};
int cx_store_lease_take(struct cx_store *s, enum cx_store_lease_kind kind, struct cx_store_lease **ret,
	conex_error **err);
/* The same in two steps, for a journal that must know the id before there is anything to undo. -EINVAL -EEXIST */
int cx_store_lease_name(enum cx_store_lease_kind kind, char id[CX_LEASE_ID]); /* 0, -errno */
int cx_store_lease_take_named(struct cx_store *s, const char *id, struct cx_store_lease **ret, conex_error **err);
/* From then on it stays, if it is there: 1; 0: it isn't, or not yet. Of a manifest or an index also all that it
 * leads to: config, layers, unpacked layers. Whoever mounts unpacked layers holds the uppermost, too: so they stay
 * even if the manifest turns out to be broken. */
int cx_store_lease_hold(struct cx_store_lease *l, const struct cx_digest *digest, conex_error **err);
int cx_store_lease_hold_layer(struct cx_store_lease *l, const char *layer, conex_error **err); /* and those below */
/* The handle alone; the lease stays, for others by its id. */
void cx_store_lease_free(struct cx_store_lease *l);
/* Gives it back; frees nothing. 0 also if there is none. */
int cx_store_lease_return(struct cx_store *s, const char *id, conex_error **err);

/* ---- blobs ---- */

int cx_store_has_blob(const struct cx_store *s, const struct cx_digest *digest); /* 1, 0: now; a lease keeps it so */
int cx_store_open_blob(const struct cx_store *s, const struct cx_digest *digest, uint64_t *ret_size,
	conex_error **err);
/* A small one, whole, NUL-terminated (free); -EFBIG beyond CX_DOCUMENT_MAX. */
int cx_store_read_blob(const struct cx_store *s, const struct cx_digest *digest, char **ret, size_t *ret_size,
	conex_error **err);
/* Bytes that are at hand. `computed`: what the caller made of them. */
int cx_store_put_blob(struct cx_store_lease *l, const struct cx_digest *want, const struct cx_digest *computed,
	const void *bytes, size_t size, conex_error **err);

/* ---- bytes on their way in ---- */

struct cx_ingest {
	struct cx_store *store;
	struct cx_digest want;
	uint64_t size;          /* what it will have */
	uint64_t have;          /* what is there, from the beginning: perhaps of an earlier try */
	int fd;                 /* read and write; ours alone while it is open */
};
enum { CX_INGEST_WAIT = 1 };
/* 0: begun, or resumed (.have: hash what is there, ask for the rest). 1: the blob is in the store, there is nothing
 * to do. -EBUSY: another process is at it; with CX_INGEST_WAIT it is waited for (in flock, so until it is done
 * or dead; -EINTR by a signal). The lease holds the digest from now on. */
int cx_ingest_begin(struct cx_store_lease *l, const struct cx_digest *want, uint64_t size, unsigned flags,
	struct cx_ingest **ret, conex_error **err);
/* -EFBIG: more than it will have. What an error leaves half-written is cut off: .have says what counts. */
int cx_ingest_append(struct cx_ingest *i, const void *bytes, size_t size, conex_error **err);
/* Again from the beginning: the registry won't give the rest alone. */
int cx_ingest_restart(struct cx_ingest *i, conex_error **err);
/* The size must be right and `computed`, of all bytes, what was wanted: -EBADMSG otherwise, and it begins anew (if it
 * was resumed, what was there may have been wrong: try once more). With 0 it is a blob, and only cx_ingest_close is
 * left to do. */
int cx_ingest_commit(struct cx_ingest *i, const struct cx_digest *computed, conex_error **err);
void cx_ingest_close(struct cx_ingest *i);      /* what there is stays, to be resumed */
void cx_ingest_abort(struct cx_ingest *i);      /* and this removes it */
/* How much of it is there: what a process that waits shows. 0: nothing */
uint64_t cx_store_partial(const struct cx_store *s, const struct cx_digest *digest);

/* ---- unpacked layers ---- */

/* "DIFFID-CHAINID" in hex digits: one directory for each layer and what it lies on. -EINVAL: a chain's is sha256 */
enum { CX_LAYER_NAME = 128 + 1 + 64 + 1 };
int cx_store_layer_name(const struct cx_digest *diff_id, const struct cx_digest *chain_id, char name[CX_LAYER_NAME]);

struct cx_store_layer {
	struct cx_store *store;
	char name[CX_LAYER_NAME], parent[CX_LAYER_NAME];
	int dir;                /* where it is made, locked: its tree becomes "root" in it, other names are no matter */
};
/* 0: begun, with an empty directory. 1: it is there. -EBUSY, CX_INGEST_WAIT: as above. `parent` (NULL: the lowest layer)
 * need not be there before the commit: layers may be made side by side. The lease holds it from now on. */
int cx_store_layer_begin(struct cx_store_lease *l, const char *name, const char *parent, unsigned flags,
	struct cx_store_layer **ret, conex_error **err);
/* `bytes`: of its tree, for cx_store_usage. -ENOENT: there is no "root", or the parent isn't there (yet): it may be tried
 * again */
int cx_store_layer_commit(struct cx_store_layer *l, uint64_t bytes, conex_error **err);
void cx_store_layer_close(struct cx_store_layer *l);        /* one that wasn't committed is gone */
int cx_store_open_layer(const struct cx_store *s, const char *name, conex_error **err); /* the tree's directory */
/* The directories of an image's layers, the lowest first, as far as they are unpacked: how many. */
int cx_store_find_layers(const struct cx_store *s, const struct cx_digest *diff_ids, size_t count,
	char (*ret_names)[CX_LAYER_NAME], conex_error **err);

/* ---- names ---- */

struct cx_image {
	struct cx_reference name;
	struct cx_digest target;        /* of its manifest, or index */
};
/* -ENOENT: something of it isn't in the store (of an index, one manifest with all its parts is enough). An earlier
 * image of that name loses it. */
int cx_store_put_image(struct cx_store *s, const struct cx_reference *name, const struct cx_digest *target,
	conex_error **err);
/* By tag, or by digest: then any name of that repository will do. -ENOENT */
int cx_store_get_image(const struct cx_store *s, const struct cx_reference *name, struct cx_digest *ret,
	conex_error **err);
/* By name. */
int cx_store_list_images(const struct cx_store *s, struct cx_image **ret, conex_error **err);  /* count; one free */
int cx_store_delete_image(struct cx_store *s, const struct cx_reference *name, conex_error **err);

/* ---- keeping it ---- */

struct cx_store_gone {
	size_t blobs, layers, partial, leases;  /* removed */
	size_t incomplete;                      /* images of which something is missing: pull them again */
	size_t left;                            /* entries of tmp/ that couldn't be removed (others' ids): see doc/store.md */
	uint64_t bytes;
};
/* Removes what no name leads to and no lease holds; parts of downloads, and what is in quarantine, only
 * when it is older than `partial_age_s`. What others bring in meanwhile is safe, they wait a moment. */
int cx_store_collect(struct cx_store *s, int64_t partial_age_s, struct cx_store_gone *ret, conex_error **err);

/* Is there anything in tmp/ that somebody threw there, or was killed with? 1, 0 */
int cx_store_has_trash(const struct cx_store *s);
/* Removes it, until there is no more; what other processes are at is theirs. How many it could not. -errno */
int cx_store_sweep(struct cx_store *s, conex_error **err);

/* Hashes an open file: 0, or -errno (-EIO: its bytes can't be read). */
typedef int (*cx_hash_fn)(int fd, int algorithm, struct cx_digest *ret, void *data);
typedef void (*cx_broken_fn)(const struct cx_digest *digest, void *data);
/* Moves each blob that isn't what its name says into quarantine/ and tells of it (`broken` may be NULL). How many; a
 * pull repairs. */
int cx_store_verify(struct cx_store *s, cx_hash_fn hash, cx_broken_fn broken, void *data, conex_error **err);

struct cx_store_usage {
	uint64_t blobs, layers, partial, other; /* bytes on the disk; layers: as said when they were committed */
	size_t blob_count, layer_count, partial_count;
};
int cx_store_usage(const struct cx_store *s, struct cx_store_usage *ret, conex_error **err);

#endif
