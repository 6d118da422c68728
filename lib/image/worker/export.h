/* Images on their way out: what there is of one in the store, then written as tar (export-tar.c) or into a layout's
 * directory (export-layout.c). */
#ifndef CX_IMAGE_WORKER_EXPORT_H
#define CX_IMAGE_WORKER_EXPORT_H

#include "image/worker/tasks.h"

/* A blob of it. */
struct cx_piece {
	struct cx_digest digest;
	uint64_t size;
	char *text;             /* an index that was made here; NULL: it is in the store */
};

struct cx_export {
	struct cx_worker *w;
	struct cx_work_place place;
	struct cx_piece *pieces;        /* in the end sorted, each once */
	size_t count, room;
	struct cx_digest top;           /* what the name leads to */
	json_t *line;                   /* that, as a line of index.json */
	json_t *docker;                 /* manifest.json, for one platform; NULL: none is acceptable */
	int docker_match;               /* how well that one suits */
	char name[CX_REFERENCE_TEXT];   /* the whole one */
};

/* Where bytes go: 0, or an error. */
struct cx_sink { int (*write)(void *self, const void *bytes, size_t size, conex_error **err); void *self; };
/* All of a piece, hashed meanwhile: -EBADMSG when the store's is broken. */
int cx_export_copy(struct cx_export *e, const struct cx_piece *p, const struct cx_sink *to, conex_error **err);
/* Has this file those bytes? It has the right size. */
int cx_export_is(const struct cx_piece *p, int fd);

#define CX_EXPORT_LAYOUT "{\"imageLayoutVersion\":\"1.0.0\"}"

int cx_export_tar(struct cx_export *e, int fd, conex_error **err);
int cx_export_layout(struct cx_export *e, int dir, conex_error **err);

#endif
