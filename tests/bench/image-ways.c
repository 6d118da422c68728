/* Who unpacks in bench image: conex in this process, floors in this process, peers as programs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "image.h"
#include "image/worker/decompress.h"
#include "image/worker/hash.h"
#include "spawn.h"

/* ---- ourselves ------------------------------------------------------------------------------------ */

static int conex_unpack(const struct image_layer *layer, char *why)
{
	struct cx_packed what = { .fd = open(layer->archive, O_RDONLY | O_CLOEXEC), .digest = layer->digest,
		.diff_id = layer->diff_id };
	int parent = open(layer->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	conex_error *err = NULL;

	r = cx_unpack_layer(parent, "rootfs", &what, NULL, NULL, &err);
	if (r < 0)
		snprintf(why, IMAGE_WHY, "%s", conex_error_text(err));
	conex_error_free(err);
	close(parent);
	close(what.fd);
	return r;
}

/* ---- floors --------------------------------------------------------------------------------------- */

struct pump { struct cx_input input; int fd; struct cx_hash *hash; uint8_t buffer[256 << 10]; };

static int pump_fill(struct cx_input *in, conex_error **err)
{
	struct pump *p = in->self;
	ssize_t n = read(p->fd, p->buffer, sizeof p->buffer);

	(void)err;
	in->next = p->buffer;
	in->left = n > 0 ? (size_t)n : 0;
	in->ended = n <= 0;
	if (p->hash)
		cx_hash_add(p->hash, in->next, in->left);
	return 0;
}

/* The very decompressor that conex has, into nothing. */
static int pump(const struct image_layer *layer, int hashes, char *why)
{
	struct pump *p = calloc(1, sizeof *p);
	struct cx_decompress d = { .media = 0 };
	struct cx_hash *plain = NULL;
	char *chunk = malloc(256 << 10), digest[CX_LAYER_DIGEST] = "";
	ssize_t n;
	int r;

	p->input = (struct cx_input){ .fill = pump_fill, .self = p };
	p->fd = open(layer->archive, O_RDONLY | O_CLOEXEC);
	if (hashes && (cx_hash_new(NULL, "", &p->hash, NULL) < 0 || cx_hash_new(NULL, "", &plain, NULL) < 0))
		return -ENOMEM;
	r = cx_decompress_open(&d, &p->input, CX_PACKED_ANY, NULL);
	while (r == 0 && (n = cx_decompress_read(&d, &p->input, chunk, 256 << 10, NULL)) != 0)
		if (n < 0)
			r = (int)n;
		else if (plain)
			cx_hash_add(plain, chunk, (size_t)n);
	if (plain)
		cx_hash_end(plain, digest);
	if (r < 0 || (plain && strcmp(digest, layer->diff_id)))
		snprintf(why, IMAGE_WHY, "the archive can't be read");
	cx_decompress_close(&d);
	cx_hash_free(p->hash);
	cx_hash_free(plain);
	close(p->fd);
	free(p);
	free(chunk);
	return r;
}

static int floor_unpack(const struct image_layer *layer, char *why)
{
	return pump(layer, 0, why);
}

static int hashes_unpack(const struct image_layer *layer, char *why)
{
	return pump(layer, 1, why);
}

/* ---- programs ------------------------------------------------------------------------------------- */

static int program(const char *name, const char *const *args, char *why)
{
	char path[SPAWN_PATH], log[] = "/tmp/conex-bench-image/log";
	int r = spawn_find(name, path);

	if (r < 0) {
		snprintf(why, IMAGE_WHY, "%s isn't installed", name);
		return r;
	}
	r = spawn_wait(spawn_program(path, args, log, NULL));
	if (r != 0)
		snprintf(why, IMAGE_WHY, "%s: status %d (%s)", name, r, log);
	else
		unlink(log);
	return r == 0 ? 0 : -EIO;
}

static int tar_plain_unpack(const struct image_layer *layer, char *why)
{
	return program("tar", (const char *[]){ "tar", "--numeric-owner", "-xpf", layer->plain, "-C", layer->target, NULL }, why);
}

static int tar_unpack(const struct image_layer *layer, char *why)
{
	return program("tar", (const char *[]){ "tar", "--numeric-owner", layer->media == IMAGE_ZSTD ? "--zstd" : "-z", "-xpf",
		layer->archive, "-C", layer->target, NULL }, why);
}

static int bsdtar_unpack(const struct image_layer *layer, char *why)
{
	return program("env", (const char *[]){ "env", "LC_ALL=C.UTF-8", "bsdtar", "--numeric-owner", "-xpf", layer->archive, "-C", layer->target,
		NULL }, why);
}

static int umoci_unpack(const struct image_layer *layer, char *why)
{
	char image[200], bundle[200];

	snprintf(image, sizeof image, "%s:latest", layer->layout);
	snprintf(bundle, sizeof bundle, "%s/bundle", layer->target);
	return program("umoci", (const char *[]){ "umoci", "unpack", "--image", image, bundle, NULL }, why);
}

/* ---- a layout for umoci ---------------------------------------------------------------------------- */

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
	return r ? -EIO : 0;
}

void image_layout_remove(const struct image_layer *layer)
{
	char command[200];

	snprintf(command, sizeof command, "rm -rf %s", layer->layout);
	if (system(command) != 0)
		fprintf(stderr, "bench-image: %s is still there\n", layer->layout);
}

enum { ALL = IMAGE_PLAIN | IMAGE_GZIP | IMAGE_ZSTD, PACKED = IMAGE_GZIP | IMAGE_ZSTD };

const struct image_way image_conex = { "conex", ALL, 0, conex_unpack };
const struct image_way image_floor = { "floor-decompress", PACKED, 1, floor_unpack };
const struct image_way image_hashes = { "floor-hashes", ALL, 1, hashes_unpack };
const struct image_way image_tar_plain = { "floor-tar", ALL, 1, tar_plain_unpack };
const struct image_way image_tar = { "tar", PACKED, 0, tar_unpack };
const struct image_way image_bsdtar = { "bsdtar", ALL, 0, bsdtar_unpack };
const struct image_way image_umoci = { "umoci", IMAGE_GZIP, 0, umoci_unpack };
