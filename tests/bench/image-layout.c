/* The layer of bench image as an image: an OCI layout, whose layer is a link to the file beside the reports, and the
 * same as tar. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "image.h"
#include "image/worker/hash.h"
#include "image/worker/unpack.h"

static int digest_file(const char *path, char digest[CX_LAYER_DIGEST])
{
	static char buffer[1 << 20];
	struct cx_hash *h = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;
	ssize_t n;

	if (fd < 0 || cx_hash_new(NULL, "", &h, NULL) < 0)
		return -EIO;
	while ((n = read(fd, buffer, sizeof buffer)) > 0)
		cx_hash_add(h, buffer, (size_t)n);
	r = cx_hash_end(h, digest);
	cx_hash_free(h);
	close(fd);
	return r;
}

static int write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	int good = f && fputs(text, f) >= 0;

	return f && fclose(f) == 0 && good ? 0 : -EIO;
}

/* A blob of its text; the digest's hexadecimal part. */
static int write_blob(const char *layout, const char *text, char digest[CX_LAYER_DIGEST])
{
	char path[512], passing[512];

	snprintf(passing, sizeof passing, "%s/passing", layout);
	if (write_file(passing, text) < 0 || digest_file(passing, digest) < 0)
		return -EIO;
	snprintf(path, sizeof path, "%s/blobs/sha256/%s", layout, digest + 7);
	return rename(passing, path) < 0 ? -errno : 0;
}

int image_layout_make(struct image_layer *l, char why[IMAGE_WHY])
{
	static const char *const media[] = { [IMAGE_PLAIN] = "", [IMAGE_GZIP] = "+gzip", [IMAGE_ZSTD] = "+zstd" };
	char text[2048], config[CX_LAYER_DIGEST], manifest[CX_LAYER_DIGEST], command[5000];
	struct stat st;
	int n, r;

	snprintf(command, sizeof command, "rm -rf %s && mkdir -p %s/blobs/sha256", l->layout, l->layout);
	if (system(command) != 0 || digest_file(l->archive, l->digest) < 0 || digest_file(l->plain, l->diff_id) < 0
		|| stat(l->archive, &st) < 0) {
		snprintf(why, IMAGE_WHY, "no layout can be made in %s", l->layout);
		return -EIO;
	}
	snprintf(command, sizeof command, "ln -s $(realpath %s) %s/blobs/sha256/%s", l->archive, l->layout, l->digest + 7);
	r = system(command) == 0 ? 0 : -EIO;
	n = snprintf(text, sizeof text, "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{},\"rootfs\":{\"type\":\"layers\","
		"\"diff_ids\":[\"%s\"]}}", l->diff_id);
	r |= write_blob(l->layout, text, config);
	n = snprintf(text, sizeof text, "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":"
		"\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%d},\"layers\":[{\"mediaType\":"
		"\"application/vnd.oci.image.layer.v1.tar%s\",\"digest\":\"%s\",\"size\":%lld}]}", config, n, media[l->media], l->digest,
		(long long)st.st_size);
	r |= write_blob(l->layout, text, manifest);
	snprintf(text, sizeof text, "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":"
		"\"%s\",\"size\":%d,\"annotations\":{\"org.opencontainers.image.ref.name\":\"latest\"}}]}", manifest, n);
	snprintf(command, sizeof command, "%s/index.json", l->layout);
	r |= write_file(command, text);
	snprintf(command, sizeof command, "%s/oci-layout", l->layout);
	r |= write_file(command, "{\"imageLayoutVersion\":\"1.0.0\"}");
	snprintf(command, sizeof command, "tar -C %s -chf %s .", l->layout, l->packed);
	r |= system(command);
	return r ? -EIO : 0;
}

void image_layout_remove(const struct image_layer *layer)
{
	char command[300];

	snprintf(command, sizeof command, "rm -rf %s %s", layer->layout, layer->packed);
	if (system(command) != 0)
		fprintf(stderr, "bench-image: %s is still there\n", layer->layout);
}
