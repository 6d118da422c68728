/* conex/image.h: bytes from and to registries, archives and the store. What takes long is a job: it runs in a process
 * of its own, which is locked in before it reads what strangers wrote, and news of it come as CONEX_EVENT_JOB. */
#ifndef CONEX_IMAGE_H
#define CONEX_IMAGE_H
#include <conex/base.h>

CONEX_BEGIN_DECLARATIONS

/* Against bombs: what one layer may be. All 0: the default in brackets. */
struct conex_image_limits {
	size_t size;
	uint64_t bytes;             /* unpacked, and of all files' sizes [64 GiB] */
	uint64_t ratio;             /* unpacked bytes a packed one, from 256 MiB on [1000] */
	uint64_t entries;           /* files, directories, links [4 Mi] */
	uint32_t depth;             /* components of a path [256] */
	uint32_t path;              /* bytes of a path [4095, which is also the most] */
	uint32_t header;            /* bytes of a PAX header or of a GNU long name [1 MiB] */
	uint32_t xattrs;            /* bytes of an entry's extended attributes [256 KiB] */
};

struct conex_image_options {
	size_t size;
	uint64_t flags;             /* CONEX_IMAGE_... */
	const char *platform;       /* NULL: this machine's; "linux/arm64" */
	/* Who we are to the registry; doc/registry.md has the whole order. Helpers that a file names (credsStore,
	 * credHelpers) are asked. */
	const char *auth_file;      /* containers' auth.json or Docker's config.json; NULL: the usual places, containers-auth.json(5) */
	const char *user, *password;        /* the registry's, instead of what files say, and no mirror's; both or none */
	const char *const *mirrors; /* pulls ask these first, in order: "https://mirror:5000/prefix" ... NULL */
	const struct conex_image_limits *limits;
	uint64_t max_bytes;         /* limits->bytes, for who needs no other; 0: that one */
	void *data;                 /* comes back in events */
};
#define CONEX_IMAGE_PLAIN_HTTP ((uint64_t)1 << 0)   /* http:// to this registry, and no certificate; never by itself */
#define CONEX_IMAGE_NOT_NEWER ((uint64_t)1 << 1)    /* pull: where the store has one of that name, nobody is asked */

/* Calls that take a registry read the host's environment, so no other thread may change it meanwhile (setenv(3)): HTTP_PROXY,
 * HTTPS_PROXY and NO_PROXY (also in lower case), REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR, XDG_CONFIG_HOME, DOCKER_CONFIG and HOME;
 * and PATH, where a credential helper is to be found, which gets all of the environment. In set-user-id programs none of it
 * counts. A file of credentials that is broken fails the call with -EINVAL, one that was named and isn't there, or such a
 * helper, with -ENOENT; a helper that fails the job with -EACCES, -ETIMEDOUT, -EFBIG or -EINVAL. */

/* Brings an image out of an archive into the store, under a name, and unpacks its layers there: an OCI layout (as tar,
 * packed or not, or the descriptor of its directory) or what docker save and podman save write. Of several images in one
 * archive the one of that name (the tag alone counts where tools write no more); else the platform chooses. Every byte's digest is compared before anything has a name.
 * fd: a file, a pipe or a directory; it stays the caller's. image: "name", "host/name:tag"; options: NULL for the defaults.
 * Owner: *ret is the caller's: conex_job_free.
 * Returns: 0; -EINVAL a name or option that can't be; -EBADF; the usual. The job fails with
 * -EBADMSG bytes that aren't what their digests say, or are broken; -EINVAL no image, or one that isn't acceptable; -ENOENT none
 * of that name or platform; -E2BIG -EFBIG beyond a limit; -ENOSPC and the like.
 * Threads: any. Since: 0.1 */
int conex_image_import(conex *cx, int fd, const char *image, const struct conex_image_options *options, conex_job **ret,
	conex_error **err);

/* Brings an image from its registry into the store and unpacks its layers there, each while it comes and several side by side;
 * the name comes last. What is there isn't fetched again, also of pulls that were killed or cancelled; what another process
 * fetches just now is waited for, and counts in conex_progress as if it came here. Speaks OCI's distribution-spec.
 * image: "name", "host/name:tag", "name@sha256:..." (which is then its name). options.platform: of what is for several machines
 * that one alone gets the name; without it the name leads to all of them, of which this machine's is fetched.
 * Owner: *ret is the caller's: conex_job_free.
 * Returns: 0; -EINVAL a name or option that can't be; the usual. The job fails with -EACCES not logged in, or not allowed;
 * -ENOENT there is no such image, or none for the platform; -EHOSTUNREACH -ECONNREFUSED -ETIMEDOUT; -EKEYREJECTED its
 * certificate; -EPROTO -EREMOTEIO -ENODATA -ELOOP the registry; -EAGAIN too many requests; and as conex_image_import's.
 * Threads: any. Since: 0.1 */
int conex_image_pull(conex *cx, const char *image, const struct conex_image_options *options, conex_job **ret,
	conex_error **err);

/* Brings an image of the store to the registry that its name says: what isn't there yet, out of another of its repositories
 * where the store knows of one, and the tag last. Of a multi-platform image all that its index names, which must be in the
 * store; with options->platform that platform's image alone. It takes no mirrors and no limits. The result is the digest that the
 * registry now has under that name. Owner: *ret is the caller's: conex_job_free.
 * Returns: 0; -EINVAL a name or option that can't be; the usual. The job fails with -ENOENT it isn't in the store, or not all
 * of it; and as conex_image_pull's.
 * Threads: any. Since: 0.1 */
int conex_image_push(conex *cx, const char *image, const struct conex_image_options *options, conex_job **ret,
	conex_error **err);

/* Unpacks an image of the store into a new directory, all layers in one tree: what they hide is gone, owners, modes, times, links,
 * attributes and devices are as the layers have them. The directory gets its name when every digest was right and all is
 * on the disk; until then there is one called .unpack-... beside it, which goes whoever dies (only the machine's end leaves
 * it). directory: absolute, or from where the host is at the call; its parent has to be there. Of an image of several platforms
 * options.platform says which, NULL: this machine's; one of a single platform is unpacked whatever it is for, unless a
 * platform was asked for. Nothing is unpacked in the store.
 * Owner: *ret is the caller's: conex_job_free.
 * Returns: 0; -EINVAL a name, an option or a path that can't be; -ENOENT no such image in the store, or no parent; -EEXIST the
 * directory is there; -ENOTDIR -ENAMETOOLONG; -EACCES -EROFS its parent can't be written; -EOPNOTSUPP without privileges; the
 * usual. The job fails with -EEXIST somebody has made it meanwhile; -EBADMSG a blob of the store is broken; -ENOENT it is
 * missing, or there is none of that platform; -E2BIG beyond a limit; -ENOSPC and the like. Then there is no directory.
 * Threads: any. Since: 0.1 */
int conex_image_unpack(conex *cx, const char *image, const char *directory, const struct conex_image_options *options,
	conex_job **ret, conex_error **err);

/* Writes an image of the store as an OCI layout, under its whole name (io.containerd.image.name) and its tag
 * (org.opencontainers.image.ref.name); every byte is hashed before it counts.
 * fd: a file, a pipe or a stream's socket gets it as tar from where it stands, the same bytes each time, with Docker's
 * manifest.json besides: docker load and podman load read it. What was written when the job fails stays, without an
 * end and without an index. A directory becomes a layout, or gets one image more: one of that name is replaced, others
 * stay; index.json changes when all is there, and on failure everything is as before. It stays the caller's.
 * options.platform: of several that one alone. NULL: all that are in the store with all their parts; where some aren't, an
 * index of those that are, so conex_job_result (the digest of what was written) isn't the image's.
 * Owner: *ret is the caller's: conex_job_free.
 * Returns: 0; -EBADF fd isn't open, or not for writing; -EINVAL a name, an option or a descriptor that can't be; -ENOENT no
 * such image in the store; the usual. The job fails with -EPIPE who reads has ended; -ENOSPC -EFBIG -EROFS and the like;
 * -EBADMSG a blob of the store is broken; -ENOENT it is missing, or there is none of that platform; -EPROTONOSUPPORT -EINVAL
 * -ENOTDIR the directory holds something else.
 * Threads: any. Since: 0.1 */
int conex_image_export(conex *cx, const char *image, int fd, const struct conex_image_options *options, conex_job **ret,
	conex_error **err);

/* What a container of an image has written becomes a layer, and both together an image of this name; where it has written
 * nothing there is no new layer. config_json: OCI's image config's "config", laid over the image's: objects by key, Env by
 * the variables' names, other lists are replaced, null takes away; NULL: as it was. Mount points that the library made, and
 * sockets, are left out. Until the job is done the container can't be resumed, and deleting it waits.
 * Owner: *ret is the caller's: conex_job_free. Its result is the new image's digest.
 * Returns: 0; -EINVAL a name (one with a tag), a config, a container that isn't of an image; -EBUSY it runs, and isn't paused;
 * -ENOENT it was deleted, or is just being; -EOPNOTSUPP root's with CONEX_RUN_USERNS, or with .disk; -E2BIG the image has 500
 * layers already; the usual. The job fails with -EINVAL a
 * name that begins with .wh., which no layer can hold, or an xattr's with a "="; -ENAMETOOLONG -E2BIG paths and xattrs that
 * are too long; -EBUSY somebody wrote meanwhile; -ENOSPC and the like; then nothing has the name that hadn't it before.
 * Threads: any. Since: 0.1 */
int conex_image_commit(conex_container *c, const char *image, const char *config_json, conex_job **ret, conex_error **err);

/* The names of all images in the store, sorted. Owner: one free(3) for *ret_images, which ends with NULL.
 * Returns: how many; the usual.
 * Threads: any. Since: 0.1 */
int conex_image_list(conex *cx, char ***ret_images, conex_error **err);

/* An image as JSON: {"name", "digest", "platform", "size" (packed), "layers" (how many), "config" (as OCI's image-spec has
 * it)}. Owner: free(3).
 * Returns: 0; -EINVAL; -ENOENT there is none, or none for this machine; the usual.
 * Threads: any. Since: 0.1 */
int conex_image_json(conex *cx, const char *image, char **ret_json, conex_error **err);

/* Takes a name away, and what nothing leads to any more; what containers use stays until they are deleted.
 * Returns: 0; -EINVAL; -ENOENT; the usual.
 * Threads: any. Since: 0.1 */
int conex_image_delete(conex *cx, const char *image, conex_error **err);

/* Hashes all blobs of the store once more. What isn't what its name says is put aside; the images that it belongs to can't
 * be run or exported until a pull or an import of the same brings it again. conex_job_result: the digests of what
 * was put aside, a line each; "" if all is well. Unpacked layers aren't looked at: nobody has their digests.
 * Owner: *ret is the caller's: conex_job_free.
 * Returns: 0; -EOPNOTSUPP without privileges; the usual. The job fails with errors of reading and writing.
 * Threads: any. Since: 0.1 */
int conex_image_verify(conex *cx, conex_job **ret, conex_error **err);

struct conex_store_usage {      /* bytes as the disk has them; of unpacked layers, their files' as unpacked */
	size_t size;
	uint64_t blob_bytes, layer_bytes;   /* packed layers, configs, manifests; unpacked layers */
	uint64_t partial_bytes;             /* pulls that were broken off, to be gone on with */
	uint64_t other_bytes;               /* what was put aside as broken, or is on its way in or out */
	uint64_t images, blobs, layers, partial;    /* how many */
};

/* What the store takes of the disk, all users of it together; nothing where there is no store yet. What containers have
 * written is not in it.
 * Owner: *ret is the caller's struct, with .size set.
 * Returns: 0; what open(2) and readdir(3) answer; the usual.
 * Threads: any. Since: 0.1 */
int conex_image_usage(conex *cx, struct conex_store_usage *ret, conex_error **err);

struct conex_progress {
	size_t size;
	uint64_t done_bytes, total_bytes;   /* of the network, or of the archive; total 0: not known yet */
	uint64_t unpacked_bytes;
	uint64_t rate;                      /* bytes a second, of done_bytes, over the last seconds */
	uint32_t done_layers, total_layers;
	const char *step;                   /* "layer 3 of 7"; borrowed until the next call on the job */
};

/* Waits until a job has ended. Nothing is consumed.
 * Returns: 1 it is done; 0 not within timeout_ms; what it failed with: -ECANCELED the context was closed,
 * -EPIPE its process died, and what the call that began it lists; the usual.
 * Threads: any. Since: 0.1 */
int conex_job_wait(conex_job *job, int timeout_ms, conex_error **err);

/* How far it is. CONEX_EVENT_JOB comes at most ten times a second, and when it has ended.
 * Owner: *ret is the caller's struct, with .size set.
 * Returns: 0; the usual.
 * Threads: one a job. Since: 0.1 */
int conex_job_progress(conex_job *job, struct conex_progress *ret, conex_error **err);

/* What came of it: an image's digest ("sha256:...").
 * Returns: borrowed from job; NULL until it is done.
 * Threads: any. Since: 0.1 */
const char *conex_job_result(const conex_job *job);

/* Frees the handle; one that isn't done is cancelled: its process ends, and what it has fetched so far waits for
 * the next one. job may be NULL.
 * Threads: one. Since: 0.1 */
void conex_job_free(conex_job *job);

CONEX_END_DECLARATIONS
#endif
