/* Manifests and indexes of OCI's image-spec 1.1 and Docker's schema 2, from bytes that a registry or an archive
 * gave. Whoever calls has checked their digest; what they say is believed after this. */
#ifndef CX_IMAGE_MANIFEST_H
#define CX_IMAGE_MANIFEST_H

#include <stdint.h>
#include "image/digest.h"
#include "image/media.h"
#include "image/platform.h"

/* overlayfs takes 500 layers; all of an image's together have at most 1 TiB, packed. */
enum { CX_LAYERS_MAX = 500, CX_INDEX_MAX = 1024 };
#define CX_LAYER_BYTES_MAX ((int64_t)1 << 40)

struct cx_descriptor {
	struct cx_digest digest;
	uint64_t size;
	enum cx_media media;
	const char *type;               /* as it is usually written; NULL: CX_MEDIA_OTHER */
};

/* One line of an index. */
struct cx_offer {
	struct cx_descriptor target;    /* a manifest, or an index again */
	struct cx_platform platform;    /* os "": it has none */
	int is_image;                   /* 0: an attestation, an artifact, a type we don't know */
};

struct cx_image_manifest {
	enum cx_media kind;             /* CX_MEDIA_MANIFEST or CX_MEDIA_INDEX */
	const char *type;               /* its media type, static */
	/* a manifest has these */
	struct cx_descriptor config, *layers;
	size_t layer_count;
	uint64_t layer_bytes;           /* of all */
	/* an index these */
	struct cx_offer *offers;
	size_t offer_count;
};

/* `type`: what the registry said, or the descriptor that led here; NULL or "application/json": nothing was
 * said. Refused: what may be read in two ways (manifests and layers in one document, keys given twice, a type
 * that contradicts), what is beyond the limits, artifacts, foreign layers, schema 1. -EINVAL -EFBIG
 * -EOPNOTSUPP */
int cx_image_manifest_parse(const char *bytes, size_t size, const char *type, struct cx_image_manifest **ret,
	conex_error **err);
void cx_image_manifest_free(struct cx_image_manifest *m);

/* Of an index the manifest (or the index below) for a platform: the best match, of equals the first. Where
 * nothing matches: the only image without a platform, whose config will tell. -ENOENT: there is none; the
 * error lists what there is. */
int cx_image_manifest_choose(const struct cx_image_manifest *index, const struct cx_platform *wanted,
	const struct cx_descriptor **ret, conex_error **err);

#endif
