/* The table of media types. */
#include "image/media.h"

#include <string.h>
#include <strings.h>
#include "base/cleanup.h"

static const struct { const char *name; enum cx_media media; } types[] = {
	{ CX_MEDIA_OCI_INDEX, CX_MEDIA_INDEX },
	{ CX_MEDIA_DOCKER_LIST, CX_MEDIA_INDEX },
	{ CX_MEDIA_OCI_MANIFEST, CX_MEDIA_MANIFEST },
	{ CX_MEDIA_DOCKER_MANIFEST, CX_MEDIA_MANIFEST },
	{ CX_MEDIA_OCI_CONFIG, CX_MEDIA_CONFIG },
	{ "application/vnd.docker.container.image.v1+json", CX_MEDIA_CONFIG },
	{ CX_MEDIA_OCI_LAYER, CX_MEDIA_LAYER },
	{ CX_MEDIA_OCI_LAYER "+gzip", CX_MEDIA_LAYER_GZIP },
	{ CX_MEDIA_OCI_LAYER "+zstd", CX_MEDIA_LAYER_ZSTD },
	{ "application/vnd.docker.image.rootfs.diff.tar", CX_MEDIA_LAYER },
	{ "application/vnd.docker.image.rootfs.diff.tar.gzip", CX_MEDIA_LAYER_GZIP },
	{ "application/vnd.docker.image.rootfs.diff.tar.zstd", CX_MEDIA_LAYER_ZSTD },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar", CX_MEDIA_FOREIGN },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", CX_MEDIA_FOREIGN },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", CX_MEDIA_FOREIGN },
	{ "application/vnd.docker.image.rootfs.foreign.diff.tar", CX_MEDIA_FOREIGN },
	{ "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", CX_MEDIA_FOREIGN },
	{ "application/vnd.docker.distribution.manifest.v1+json", CX_MEDIA_SCHEMA1 },
	{ "application/vnd.docker.distribution.manifest.v1+prettyjws", CX_MEDIA_SCHEMA1 },
};

enum cx_media cx_media_of(const char *type, const char **ret_name)
{
	size_t size = type ? strcspn(type, "; \t") : 0;

	for (size_t i = 0; i < CX_ARRAY_SIZE(types); i++)
		if (strlen(types[i].name) == size && !strncasecmp(types[i].name, type, size)) {
			if (ret_name)
				*ret_name = types[i].name;
			return types[i].media;
		}
	if (ret_name)
		*ret_name = NULL;
	return CX_MEDIA_OTHER;
}

int cx_media_is_layer(enum cx_media media)
{
	return media == CX_MEDIA_LAYER || media == CX_MEDIA_LAYER_GZIP || media == CX_MEDIA_LAYER_ZSTD;
}

const char *cx_media_accept(void)
{
	return CX_MEDIA_OCI_INDEX ", " CX_MEDIA_OCI_MANIFEST ", " CX_MEDIA_DOCKER_LIST ", " CX_MEDIA_DOCKER_MANIFEST;
}
