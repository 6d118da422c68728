/* Who brings a whole image into a store in bench image: the packed layer is kept, too, and the tree is one of many. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>
#include <conex/conex.h>
#include "image.h"

/* ---- conex, as a program has it ------------------------------------------------------------------- */

static int conex_import(const struct image_layer *layer, char why[IMAGE_WHY])
{
	char store[160];
	struct conex_options where = { .size = sizeof where, .store = store };
	int fd = open(layer->packed, O_RDONLY | O_CLOEXEC), r;
	conex_error *err = NULL;
	conex_job *job = NULL;
	conex *cx = NULL;

	snprintf(store, sizeof store, "%s/store", layer->target);
	r = conex_open(&where, &cx, &err);
	if (r == 0)
		r = conex_image_import(cx, fd, "layer", NULL, &job, &err);
	if (r == 0)
		r = conex_job_wait(job, -1, &err);
	if (r < 0)
		snprintf(why, IMAGE_WHY, "%s", conex_error_text(err));
	conex_error_free(err);
	conex_job_free(job);
	conex_close(cx);
	close(fd);
	return r < 0 ? r : 0;
}

/* ---- skopeo into containers-storage --------------------------------------------------------------- */

static int skopeo_open(char why[IMAGE_WHY])
{
	return image_needs(why, (const char *[]){ "skopeo", NULL });
}

static int skopeo_copy(const char *before, const struct image_layer *layer, char why[IMAGE_WHY])
{
	return image_command(why, "TMPDIR=%s exec %s skopeo --insecure-policy copy -q oci:%s:latest "
		"'containers-storage:[overlay@%s/graph+%s/run]localhost/layer:latest'", layer->target, before, layer->layout,
		layer->target, layer->target);
}

static int skopeo_unpack(const struct image_layer *layer, char why[IMAGE_WHY])
{
	return skopeo_copy("", layer, why);
}

static int skopeo_13_open(char why[IMAGE_WHY])
{
	return image_newer(why, "skopeo");
}

static int skopeo_13_unpack(const struct image_layer *layer, char why[IMAGE_WHY])
{
	return skopeo_copy(IMAGE_NEWER, layer, why);
}

/* It mounts that upon itself. */
static void skopeo_clear(const struct image_layer *layer)
{
	char path[300];

	snprintf(path, sizeof path, IMAGE_SCRATCH "/newer%s/graph/overlay", layer->target);
	umount2(path, MNT_DETACH);
	snprintf(path, sizeof path, "%s/graph/overlay", layer->target);
	umount2(path, MNT_DETACH);
}

/* ---- containerd ----------------------------------------------------------------------------------- */

static int containerd_unpack(const struct image_layer *layer, char why[IMAGE_WHY])
{
	return image_command(why, "exec " IMAGE_CTR "images import --base-name layer %s", layer->packed);
}

static int containerd_13_unpack(const struct image_layer *layer, char why[IMAGE_WHY])
{
	return image_command(why, "exec " IMAGE_CTR_13 "images import --base-name layer %s", layer->packed);
}

static void containerd_remove(const char *ctr)
{
	char why[IMAGE_WHY];

	if (image_command(why, "%simages rm --sync layer:latest", ctr) < 0)
		fprintf(stderr, "bench-image: containerd keeps its image: %s\n", why);
}

static void containerd_clear(const struct image_layer *layer)
{
	(void)layer;
	containerd_remove(IMAGE_CTR);
}

static void containerd_13_clear(const struct image_layer *layer)
{
	(void)layer;
	containerd_remove(IMAGE_CTR_13);
}

/* ---- umoci of Debian 13 --------------------------------------------------------------------------- */

static int umoci_13_open(char why[IMAGE_WHY])
{
	return image_newer(why, "umoci");
}

static int umoci_13_unpack(const struct image_layer *layer, char why[IMAGE_WHY])
{
	return image_command(why, "exec " IMAGE_NEWER "umoci unpack --image %s:latest %s/bundle", layer->layout, layer->target);
}

enum { ALL = IMAGE_PLAIN | IMAGE_GZIP | IMAGE_ZSTD };

const struct image_way image_conex_import = { .name = "conex-import", .reads = ALL, .is_inside = 1, .unpack = conex_import };
const struct image_way image_skopeo = { .name = "skopeo", .reads = ALL, .unpack = skopeo_unpack, .open = skopeo_open,
	.clear = skopeo_clear };
const struct image_way image_containerd = { .name = "containerd", .reads = ALL, .unpack = containerd_unpack,
	.open = image_containerd_start, .clear = containerd_clear, .server = image_containerd_pid, .close = image_containerd_end };
const struct image_way image_umoci_13 = { .name = "umoci-13", .reads = IMAGE_GZIP, .unpack = umoci_13_unpack, .open = umoci_13_open };
const struct image_way image_skopeo_13 = { .name = "skopeo-13", .reads = ALL, .unpack = skopeo_13_unpack, .open = skopeo_13_open,
	.clear = skopeo_clear };
const struct image_way image_containerd_13 = { .name = "containerd-13", .reads = ALL, .unpack = containerd_13_unpack,
	.open = image_containerd_13_start, .clear = containerd_13_clear, .server = image_containerd_13_pid,
	.close = image_containerd_13_end };
