/* Media types of an image's parts: OCI's, and Docker's schema 2 that they came from. */
#ifndef CX_IMAGE_MEDIA_H
#define CX_IMAGE_MEDIA_H

#include <stddef.h>

enum cx_media {
	CX_MEDIA_OTHER,         /* not an image's, as far as we know */
	CX_MEDIA_INDEX,         /* of manifests, one a platform ("manifest list") */
	CX_MEDIA_MANIFEST,
	CX_MEDIA_CONFIG,
	CX_MEDIA_LAYER,         /* tar */
	CX_MEDIA_LAYER_GZIP,
	CX_MEDIA_LAYER_ZSTD,
	CX_MEDIA_FOREIGN,       /* a layer that no registry may hand out */
	CX_MEDIA_SCHEMA1,       /* Docker's first manifests, given up */
};

/* Only the type counts: "; charset=utf-8" behind it, and upper case, don't. NULL: CX_MEDIA_OTHER. *ret_name (or
 * NULL) becomes the type as it is usually written, in static memory; NULL for others. */
enum cx_media cx_media_of(const char *type, const char **ret_name);
int cx_media_is_layer(enum cx_media media);
/* What a registry is asked for: the types of manifests and indexes, for an Accept header, comma-separated. */
const char *cx_media_accept(void);

#define CX_MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define CX_MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define CX_MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define CX_MEDIA_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define CX_MEDIA_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define CX_MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"

#endif
