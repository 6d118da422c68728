/* bench launch: what is measured (subjects), in what surroundings (the setup). */
#ifndef BENCH_SUBJECT_H
#define BENCH_SUBJECT_H

#include <stddef.h>
#include <stdint.h>
#include <linux/filter.h>
#include <jansson.h>

enum { SUBJECT_WORKERS = 8, SUBJECT_WHY = 512 };

#define SETUP_CGROUP "conex-bench"      /* the parent cgroup of the floor and the peers */

/* The same for all subjects; made once by the main program, inherited by the hosts. */
struct setup {
	char dir[64];                   /* ours, temporary */
	char rootfs[256];               /* static busybox and the mount points */
	char filter_path[80];           /* the filter's bytes, for bwrap */
	json_t *spec;                   /* config.json: process.args is "true" */
	struct sock_fprog filter;       /* its linux.seccomp, compiled */
	uint64_t caps;                  /* its process.capabilities.bounding */
};

/* spec_path NULL: conex's own default; rootfs NULL: one of our own. 0, or -errno with the reason. */
int setup_make(struct setup *s, const char *spec_path, const char *rootfs, char *why);
void setup_remove(struct setup *s);
/* DIR/NAME/config.json; cgroup NULL: without a cgroupsPath; plain: without seccomp, as `runc spec` makes
 * it. `ret` has room for 128 bytes. */
int setup_bundle(const struct setup *s, const char *name, const char *cgroup, int plain, char *ret);
/* What a command-line peer last said on its stderr (DIR/NAME.log); `ret` stays as it is if nothing. */
void setup_last_line(const struct setup *s, const char *name, char *ret, size_t size);
int setup_filter(const json_t *seccomp, struct sock_fprog *ret); /* setup-filter.c */

enum { HOST_FLOOR, HOST_CONEX, HOST_PEERS, HOST_COUNT };

/* A way to run `true` in a container. All of it is called in the subject's host process. */
struct subject {
	const char *name;
	int host;                       /* HOST_… */
	const char *program;            /* a command-line peer's; NULL */
	int plain;                      /* without the seccomp filter */
	/* Not measured. 0, or -errno with the reason why this subject can't take part. */
	int (*open)(const struct subject *subject, const struct setup *s, void **ret, char *why);
	/* Measured: create, start, wait, delete. Exit status or -errno. Workers run at the same time. */
	int (*launch)(void *own, int worker);
	void (*close)(void *own);
	/* May be NULL: other containers to be alive meanwhile; a launch's timeline as JSON (free). */
	int (*alive)(void *own, int count, char *why);
	int (*timeline)(void *own, char **ret_json, char *why);
};

extern const struct subject subject_floor, subject_conex, subject_conex_json, subject_crun,
	subject_crun_plain, subject_runc, subject_bwrap;

int subject_default_spec(char **ret_json, char *why); /* conex's; subject-conex.c */

#endif
