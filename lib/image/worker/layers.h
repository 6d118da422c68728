/* An image's layers on their way into the store, side by side: layers.c has the threads and the order, layer.c what is
 * done with one of them. */
#ifndef CX_IMAGE_WORKER_LAYERS_H
#define CX_IMAGE_WORKER_LAYERS_H

#include <pthread.h>
#include "image/worker/registry.h"
#include "image/worker/tasks.h"

/* One of them. What isn't said to be under the lock is its thread's; but the ingest is the network's from cx_layers_want
 * until the blob has arrived. */
struct cx_layer {
	struct cx_layers *all;
	const struct cx_descriptor *blob;
	const struct cx_digest *diff_id;
	char name[CX_LAYER_NAME];
	const char *parent;             /* NULL: the lowest */
	int is_new;                     /* counted in w->total: not in the store, and not twice */
	struct cx_ingest *ingest;
	struct cx_store_layer *place;   /* where it is unpacked; NULL: not by us, or not yet */
	int is_filled, is_there;        /* its tree is whole there; it is in the store already */
	uint64_t bytes;                 /* of the tree */
	struct cx_str implied;          /* in it */
	uint64_t taken;                 /* of the ingest, by who unpacks */
	struct cx_registry_blob part;
	/* under the lock: */
	struct cx_layer *next;          /* of those that wait for the network */
	uint64_t have;                  /* of the blob, so that it can be read */
	uint64_t others;                /* of the blob, brought by another process */
	int arrived, is_ours;           /* all of it is here; we bring, or have brought it */
};

struct cx_layers {
	struct cx_worker *w;
	const struct cx_work_place *place;
	struct cx_registry *registry;   /* NULL: all blobs are in the store */
	struct cx_layer *list;
	size_t count;
	pthread_mutex_t lock;
	pthread_cond_t moved, failed;   /* the latter is set when `code` is */
	/* under the lock: */
	size_t begun, brought, shown;   /* taken by a thread; whose blob is in the store; with their names */
	struct cx_layer *wanted;        /* by the network, in order */
	int places;                     /* free: so many more may be unpacked now */
	int code;                       /* why all end */
	conex_error *error;
};

/* One layer: its blob, if the store hasn't it, and its tree. Both are verified; the tree isn't shown yet. */
int cx_layer_bring(struct cx_layer *y, conex_error **err);
void cx_layer_clear(struct cx_layer *y);        /* when network and threads have ended */

/* It is whole, and all below it are shown: its implied directories become what those say (implied.c). */
int cx_layer_settle(struct cx_layer *y, conex_error **err);

/* All end because of this; the first one counts. *why is taken over. */
void cx_layers_fail(struct cx_layers *l, int code, conex_error **why);
/* Locked, until something has moved, or for a tenth of a second. 0; -ECANCELED: all end. */
int cx_layers_wait(struct cx_layers *l);
int cx_layers_pause(struct cx_layers *l);
/* Its ingest is the network's now. */
void cx_layers_want(struct cx_layer *y);

#endif
