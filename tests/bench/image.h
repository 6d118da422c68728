/* bench image: what is unpacked and pulled, and who does it. */
#ifndef BENCH_IMAGE_H
#define BENCH_IMAGE_H

#include <stdint.h>
#include <sys/types.h>
#include "bench.h"

enum { IMAGE_WHY = 256 };
enum { IMAGE_PLAIN = 1, IMAGE_GZIP = 2, IMAGE_ZSTD = 4 };

struct image_layer {
	char archive[4200], plain[4200]; /* as the case has it; the tar in it */
	char target[128], layout[128];  /* an empty directory to unpack into; an OCI layout with this layer */
	char packed[128];               /* that layout, as tar */
	int media;
	char digest[136], diff_id[136];
};

/* Only name, reads and unpack must be there. What fails is negative, with the reason. */
struct image_way {
	const char *name;
	int reads, is_floor;            /* IMAGE_... */
	int is_inside;                  /* it works in the process that calls it */
	int (*unpack)(const struct image_layer *layer, char why[IMAGE_WHY]);
	int (*open)(char why[IMAGE_WHY]);               /* once, not measured */
	void (*clear)(const struct image_layer *layer); /* after each unpack, not measured: what isn't only files in target */
	pid_t (*server)(void);          /* whose memory counts, too */
	void (*close)(void);
};

/* image-ways.c: conex in a process of ours; decompressing alone; that and both digests in one thread; tar of the plain
 * tar; the rest as they are */
extern const struct image_way image_conex, image_floor, image_hashes, image_tar_plain, image_tar, image_bsdtar, image_umoci;
/* image-peers.c: those that bring a whole image into a store of theirs: the public API with keeper and worker; skopeo into
 * containers-storage; containerd */
extern const struct image_way image_conex_import, image_skopeo, image_containerd, image_umoci_13, image_skopeo_13,
	image_containerd_13;

/* image-layout.c: fills in the digests and makes the layout. 0; negative: why */
int image_layout_make(struct image_layer *layer, char why[IMAGE_WHY]);
void image_layout_remove(const struct image_layer *layer);

/* image-pull.c: from a registry on loopback to the first byte that the container's program writes. Takes the cases that
 * `options` wants; what is missing is a note in the report. */
#define IMAGE_PULLED "127.0.0.1:5000/tree:latest"
struct image_pull_way {
	const char *name;
	int is_floor, is_inside;
	int (*open)(char why[IMAGE_WHY]);
	void (*empty)(void);            /* nothing of the image is here any more */
	int (*pull)(int64_t *ret_first_ns, char why[IMAGE_WHY]); /* as if it had never run before; returns when it has ended */
	pid_t (*server)(void);
	void (*close)(void);
};
extern const struct image_pull_way image_pull_conex, image_pull_podman, image_pull_skopeo, image_pull_containerd,
	image_pull_floor;
int image_pull_registry(const struct image_layer *layer, char why[IMAGE_WHY]);  /* starts it, with the image in it */
void image_pull_end(void);

/* image-place.c: a tmpfs and a network with nothing but loopback, which nobody else sees and which go with us. */
#define IMAGE_SCRATCH "/tmp/conex-bench-image"
#define IMAGE_LOG IMAGE_SCRATCH "/log"
/* `output`: where the reports are, and the layer. */
int image_place_make(const char *output);
void image_place_remove(void);
/* Before a command: it is Debian 13's, in its own tree, where all this lies as well. 0; -ENOENT: there is no such tree */
#define IMAGE_NEWER "chroot " IMAGE_SCRATCH "/newer "
int image_newer(char why[IMAGE_WHY], const char *program);
/* Of the shell, its words into IMAGE_LOG. 0; -EIO, and the last of them. */
int image_command(char why[IMAGE_WHY], const char *format, ...) __attribute__((format(printf, 2, 3)));
/* -ENOENT: a program isn't installed. They end with NULL. */
int image_needs(char why[IMAGE_WHY], const char *const *programs);
/* A program that stays, once the command `ready` works. Its pid. */
pid_t image_server_start(const char *const *args, const char *ready, char why[IMAGE_WHY]);
void image_server_end(pid_t *pid);
/* The peak of call(data) with all that it starts, and of a server (0: none), in MiB. */
int image_memory(int (*call)(void *data), void *data, int is_inside, pid_t server, double *ret);

/* image-daemon.c: containerds of our own, this system's and Debian 13's. Counted: the last one to end it does. */
#define IMAGE_CTR "ctr --address " IMAGE_SCRATCH "/containerd/socket --namespace conex-bench "
#define IMAGE_CTR_13 IMAGE_NEWER "ctr --address " IMAGE_SCRATCH "/containerd-13/socket --namespace conex-bench "
int image_containerd_start(char why[IMAGE_WHY]);
void image_containerd_end(void);
pid_t image_containerd_pid(void);
int image_containerd_13_start(char why[IMAGE_WHY]);
void image_containerd_13_end(void);
pid_t image_containerd_13_pid(void);

#endif
