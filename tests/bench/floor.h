/* The floor: the least a full OCI container can cost here, written by hand; see README.md. */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include <stdint.h>
#include <linux/filter.h>

enum { FLOOR_HIERARCHIES = 16, FLOOR_PATH = 128 };

struct floor_hierarchy {
	char name[32];                  /* "cpu": where it is shown below /sys/fs/cgroup inside */
	char parent[FLOOR_PATH];        /* "/sys/fs/cgroup/cpu/conex-bench" */
	int parent_fd;                  /* the same, open */
	int v2;
};

/* Made once by floor_prepare; a launch only reads it. */
struct floor {
	const char *rootfs;             /* a directory */
	const char *id;                 /* cgroup and hostname; of its own for each launch in flight */
	const char *const *args, *const *env;
	struct sock_fprog filter;       /* len 0: no filter */
	uint64_t keep_caps;             /* bounding, effective, permitted */
	int last_cap;                   /* of this kernel */
	int read_only;                  /* the root file system */
	struct floor_hierarchy hierarchy[FLOOR_HIERARCHIES];
	int hierarchies;
};

/* Makes PARENT in each cgroup hierarchy that is mounted, v1 (also named ones) and v2; 0 or -errno. */
int floor_prepare(struct floor *f, const char *parent);
void floor_finish(struct floor *f);

/* cgroups, clone, mounts, rights, exec, wait, cgroups gone. The exit status, 128 + signal, or -errno. */
int floor_launch(const struct floor *f);

#endif
