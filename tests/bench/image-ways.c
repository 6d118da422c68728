/* Who unpacks in bench image: conex in this process, floors in this process, peers as programs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "image.h"
#include "image/worker/decompress.h"
#include "image/worker/hash.h"
#include "image/worker/unpack.h"
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
	char path[SPAWN_PATH];
	int r = image_needs(why, (const char *[]){ name, NULL });

	if (r < 0)
		return r;
	spawn_find(name, path);
	r = spawn_wait(spawn_program(path, args, IMAGE_LOG, NULL));
	if (r != 0)
		snprintf(why, IMAGE_WHY, "%s: status %d (" IMAGE_LOG ")", name, r);
	else
		unlink(IMAGE_LOG);
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

enum { ALL = IMAGE_PLAIN | IMAGE_GZIP | IMAGE_ZSTD, PACKED = IMAGE_GZIP | IMAGE_ZSTD };

const struct image_way image_conex = { .name = "conex", .reads = ALL, .is_inside = 1, .unpack = conex_unpack };
const struct image_way image_floor = { .name = "floor-decompress", .reads = PACKED, .is_floor = 1, .is_inside = 1,
	.unpack = floor_unpack };
const struct image_way image_hashes = { .name = "floor-hashes", .reads = ALL, .is_floor = 1, .is_inside = 1,
	.unpack = hashes_unpack };
const struct image_way image_tar_plain = { .name = "floor-tar", .reads = ALL, .is_floor = 1, .unpack = tar_plain_unpack };
const struct image_way image_tar = { .name = "tar", .reads = PACKED, .unpack = tar_unpack };
const struct image_way image_bsdtar = { .name = "bsdtar", .reads = ALL, .unpack = bsdtar_unpack };
const struct image_way image_umoci = { .name = "umoci", .reads = IMAGE_GZIP, .unpack = umoci_unpack };
