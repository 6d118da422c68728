/* conex/image.h: bytes from and to registries, archives and the store. What takes long is a job: it runs in a process
 * of its own, which is locked in before it reads what strangers wrote, and news of it come as CONEX_EVENT_JOB. */
#ifndef CONEX_IMAGE_H
#define CONEX_IMAGE_H
#include <conex/base.h>

CONEX_BEGIN_DECLARATIONS

struct conex_image_options {
	size_t size;
	uint64_t flags;             /* none yet */
	const char *platform;       /* NULL: this machine's; "linux/arm64" */
	uint64_t max_bytes;         /* of one layer, unpacked; 0: 64 GiB */
	void *data;                 /* comes back in events */
};

/* Brings an image out of an archive into the store, under a name, and unpacks its layers there: an OCI layout (as tar,
 * packed or not, or the descriptor of its directory) or what docker save and podman save write. Of several images in one
 * archive the one of that name; else the platform chooses. Every byte's digest is compared before anything has a name.
 * fd: a file, a pipe or a directory; it stays the caller's. image: "name", "host/name:tag"; options: NULL for the defaults.
 * Owner: *ret is the caller's: conex_job_free.
 * Returns: 0; -EINVAL a name or option that can't be; -EBADF; -EOPNOTSUPP without privileges; the usual. The job fails with
 * -EBADMSG bytes that aren't what their digests say, or are broken; -EINVAL no image, or one that isn't acceptable; -ENOENT none
 * of that name or platform; -E2BIG -EFBIG beyond a limit; -ENOSPC and the like.
 * Threads: any. Since: 0.1 */
int conex_image_import(conex *cx, int fd, const char *image, const struct conex_image_options *options, conex_job **ret,
	conex_error **err);

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
