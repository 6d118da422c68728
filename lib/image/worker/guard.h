/* A look at the headers of a tar on their way to libarchive, for what it has no limits or only fixed ones for. */
#ifndef CX_IMAGE_WORKER_GUARD_H
#define CX_IMAGE_WORKER_GUARD_H

#include "image/worker/unpack.h"

enum { CX_TAR_BLOCK = 512 };

/* All zero but the limit, to begin with. */
struct cx_guard {
	uint32_t limit;                 /* bytes of a header that describes the next one */
	uint64_t skip;                  /* bytes to come that aren't looked at */
	unsigned have, zeros, specials; /* bytes of block; empty blocks, describing headers in a row */
	int ended, sparse;              /* sparse: the block to come continues a map */
	uint64_t size;                  /* of what follows that map */
	int has_size;                   /* the PAX header before has said one: pax_size */
	uint64_t pax_size;
	char *pax;                      /* its body, while it comes */
	size_t pax_have, pax_wanted;
	uint8_t block[CX_TAR_BLOCK];
};

/* The next bytes of the tar. 0; -EBADMSG, -EINVAL, -E2BIG */
int cx_guard_look(struct cx_guard *g, const void *data, size_t size, conex_error **err);
void cx_guard_free(struct cx_guard *g);

#endif
