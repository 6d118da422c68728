/* A layer in the making: what libarchive writes as tar is hashed, compressed and hashed again on its way into a file. */
#ifndef CX_IMAGE_WORKER_PACK_H
#define CX_IMAGE_WORKER_PACK_H

#include "image/digest.h"
#include "image/worker/worker.h"

struct archive;
struct cx_hash;

struct cx_pack {
	struct archive *tar;            /* the writer's: pax, with all that overlay can hold */
	struct cx_worker *worker;       /* whose `done` counts */
	int fd;                         /* the caller's */
	void *gzip;
	struct cx_hash *plain, *packed;
	uint64_t size;                  /* packed */
	struct cx_digest diff_id, digest;
	conex_error *error;             /* of writing */
};
/* 0, -ENOMEM. Afterwards, whatever it said, cx_pack_close. */
int cx_pack_open(struct cx_pack *p, struct cx_worker *w, int fd, conex_error **err);
/* The end of the tar: size and digests are there. */
int cx_pack_end(struct cx_pack *p, conex_error **err);
void cx_pack_close(struct cx_pack *p);
/* What libarchive said, or what it was told by us: returns a negative. */
int cx_pack_fail(struct cx_pack *p, const char *path, conex_error **err);

#endif
