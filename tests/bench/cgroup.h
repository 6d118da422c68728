/* bench cgroup: ways to make, limit, fill and remove a cgroup, and to read a thousand. */
#ifndef BENCH_CGROUP_H
#define BENCH_CGROUP_H

#include <sys/types.h>
#include "bench.h"
#include "floor.h"

enum { CGROUP_WHY = 256, CGROUP_WRITES = 8, CGROUP_PATH = 256 };

/* cgroup-place.c: where cgroups are made, and the limits that can be set there. */
struct place {
	struct floor floor;             /* the machine's hierarchies, with a parent of ours in each */
	struct place_write {
		int hierarchy;
		const char *controller, *file, *value;
	} write[CGROUP_WRITES];         /* memory 64 MiB without swap, half a processor, 100 processes */
	int writes;
	int memory, cpu, pids;          /* which of them there are */
};
int place_prepare(struct place *p, const char *parent);         /* 0 or -errno */
/* "DIRECTORY/FILE" of a hierarchy's parent: 0 or -errno */
int place_write(int parent_fd, const char *directory, const char *file, const char *value);
int place_mkdir(const struct place *p, const char *name);       /* in all hierarchies */
int place_rmdir(const struct place *p, const char *name);

/* One way to do it. What is between lap_begin and lap_end is what counts. */
struct way {
	const char *name;
	int (*open)(const struct way *w, const struct place *p, void **ret, char *why); /* 0 or -errno */
	int (*make)(void *own, pid_t pid);      /* create, limit, attach: 0 or -errno */
	int (*remove)(void *own);               /* the process has ended */
	void (*close)(void *own);
	/* statistics of all groups below `parent`, which are called 0, 1, 2 …; instead of make and remove */
	int (*sample)(void *own);
};
extern const struct way way_conex, way_floor, way_crun;                        /* cgroup-ways.c */
extern const struct way way_libcgroup, way_libcgroup_3;                         /* cgroup-libcgroup.c */
extern const struct way way_systemd, way_systemd_run;                           /* cgroup-systemd.c */
extern const struct way sample_conex, sample_files, sample_runc, sample_libcgroup; /* cgroup-sample.c */

enum { SAMPLE_MOST = 1000 };
extern int sample_groups;               /* how many there are */
/* As many cgroups, conex's, each with a process that sleeps: 0 or -errno. */
int sample_groups_make(int count, char *why);
void sample_groups_remove(void);
/* libcgroup, loaded when the program runs: one function of it; NULL: no such library. */
void *libcgroup_function(const char *name);

/* cgroup-lap.c: time, or system calls if a tracer counts. */
void lap_begin(void);
double lap_end(void);                   /* us since lap_begin */
pid_t lap_process(void);                /* one that sleeps, to be put into a cgroup */
void lap_process_end(pid_t pid);
/* Calls `run` in a traced child and counts the system calls of each lap. How many laps, or -errno. */
int lap_count(int (*run)(void *data), void *data, double *ret, int room);

/* cgroup-attach.c: one attach, in all the ways there are. */
void attach_measure(struct bench_report *r, const struct place *p, int n, int n_paced);

#endif
