/* bench image: what is unpacked, and who unpacks it. */
#ifndef BENCH_IMAGE_H
#define BENCH_IMAGE_H

enum { IMAGE_WHY = 256 };
enum { IMAGE_PLAIN = 1, IMAGE_GZIP = 2, IMAGE_ZSTD = 4 };

struct image_layer {
	char archive[4200], plain[4200]; /* as the case has it; the tar in it */
	char target[128], layout[128];  /* an empty directory to unpack into; an OCI layout with this layer */
	int media;
	char digest[136], diff_id[136];
};

struct image_way {
	const char *name;
	int reads, is_floor;            /* IMAGE_... */
	int (*unpack)(const struct image_layer *layer, char why[IMAGE_WHY]);   /* 0; negative: why */
};

/* conex; decompressing alone; that and both digests in one thread; tar of the plain tar; the rest as they are */
extern const struct image_way image_conex, image_floor, image_hashes, image_tar_plain, image_tar, image_bsdtar, image_umoci;

/* Fills in the digests and makes the layout, which umoci reads. 0; negative: why */
int image_layout_make(struct image_layer *layer, char why[IMAGE_WHY]);
void image_layout_remove(const struct image_layer *layer);

#endif
