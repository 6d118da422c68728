/* What the files of lib/cgroup share: hierarchies, their drivers, small reads and writes. */
#ifndef CX_CGROUP_INTERNAL_H
#define CX_CGROUP_INTERNAL_H

#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/error.h"
#include "base/path.h"
#include "cgroup/cgroup.h"

enum { CX_CGROUP_HIERARCHIES = 32 };    /* the kernel has 14 controllers; the rest is for named ones */

struct cx_hierarchy;

/* stat-files.c: a file of statistics, by lines, and the field (or fields by key) that it tells. */
struct cx_stat_key { const char *key; uint16_t field, unit; };
struct cx_stat_file {
	const char *controller;         /* NULL: there without any */
	const char *name;               /* with "%s" for each size of huge pages */
	void (*line)(const struct cx_stat_file *f, const char *line, struct conex_stats *s);
	uint16_t field;
	const struct cx_stat_key *keys;
};
extern const struct cx_stat_file cx_stat_v1[], cx_stat_v2[];   /* the last has no name */
/* Of one line of io.stat and blkio.throttle.*: 1, 0 it isn't such a one. */
struct cx_stat_io { uint64_t major, minor, read_bytes, written_bytes, read_ops, write_ops; };
struct cx_stat_v1_io { uint64_t major, minor, value; int write; };
int cx_stat_v2_io(const char *line, struct cx_stat_io *ret);
int cx_stat_v1_io(const char *line, struct cx_stat_v1_io *ret);

/* What differs between v1 and v2. A hybrid machine has hierarchies of both drivers at once, so every
 * question is put to each hierarchy, and each answers what it knows. */
struct cx_cgroup_driver {
	const char *name;
	int v2;
	/* Makes an existing `level` fit to be a parent of ours: v2 hands controllers on, v1 fills cpusets. */
	int (*prepare_parent)(const struct cx_hierarchy *h, const char *level, int ours);
	/* The same for a new cgroup whose parent is not ours. */
	int (*prepare_leaf)(const struct cx_hierarchy *h, const char *path);
	const struct cx_stat_file *files;       /* what struct conex_stats is read from */
	void (*facts)(const struct cx_hierarchy *h, const char *path, struct cx_cgroup_facts *f);
	/* -1: this hierarchy can't tell */
	int64_t (*oom_kills)(const struct cx_hierarchy *h, const char *path);
	/* Asks for it (again). 1: all are frozen (or thawed); 0: not yet; -ENOTSUP: not this one's job */
	int (*freeze)(const struct cx_hierarchy *h, const char *path, int freeze);
};
extern const struct cx_cgroup_driver cx_cgroup_v1, cx_cgroup_v2;
/* v2's controllers that we hand on, NULL-ended. Not more: one that is on in the root of v2 can't be
 * mounted by v1 any more, and a hybrid machine's host may want that. */
extern const char *const cx_cgroup_v2_used[];
int cx_cgroup_v2_inner(const struct cx_hierarchy *h, const char *path); /* v2.c */
/* Those that are handed on where a limit asks for them, and not before. */
extern const char *const cx_cgroup_v2_asked[];
/* Hands `controller` on down to `path`, whose files it brings. */
void cx_cgroup_v2_hand_on(const struct cx_hierarchy *h, const char *path, const char *controller);
int cx_cgroup_v2_inner(const struct cx_hierarchy *h, const char *path); /* v2.c */
int cx_cgroup_contains(const char *words, const char *name); /* in a list with blanks */

struct cx_hierarchy {
	const struct cx_cgroup_driver *driver;
	char *mount;                    /* where it is mounted */
	char *root;                     /* what of it is mounted there ("/docker/abc", "" for all) */
	char *own;                      /* our own cgroup below the mount ("" is its root); NULL: outside */
	char *controllers;              /* "cpu,cpuacct", "name=systemd"; v2: "cpu,memory", those we can hand on */
	dev_t dev;                      /* tells hierarchies apart, however often each is mounted */
	int fd;                         /* O_PATH of `mount`, -1: not opened */
};

struct cx_manager;
struct cx_cgroups {
	int driver;                     /* enum cx_cgroup_by; after settling cgroupfs or systemd */
	char *slice;                    /* systemd: of containers that name none */
	char *manager_root;             /* systemd: the manager's own cgroup; NULL: not asked yet. Stays */
	struct cx_manager *manager;     /* systemd: the connection. Both are guarded by the context's lock */
	struct cx_hierarchy *h;         /* those that are used */
	size_t count;
	char *parent;                   /* "conex", relative to each mount */
	int named;                      /* the user named it, it is the user's */
	int inner;                      /* v2: processes live where we would have to hand controllers on */
	char huge[8][16];               /* sizes of huge pages as files have them: "2MB" */
	size_t huge_count;
	_Atomic uint32_t prepared;      /* bit n: the parent in hierarchy n was made ready once */
	_Atomic uint32_t made;          /* bit n: and it was this context that made it */
	_Atomic int oom_fd;             /* -1: nobody watches */
	int watch_fd, notes_fd;         /* -1: nothing else is watched; an epoll, and the inotify in it */
	_Atomic int bpf;                /* device programs: 0 not asked yet, 1 possible, else why not (-errno) */
};

/* detect.c: texts -> hierarchies, nothing opened; every visible mount of each, in order. */
int cx_cgroups_parse(const char *mountinfo, const char *self, struct cx_cgroups **ret);
/* Leaves one mount for each hierarchy: that which shows most of it. */
void cx_cgroups_unique(struct cx_cgroups *g);
/* parent.c: opens, drops what can't be used, settles the parent. */
int cx_cgroups_settle(struct cx_cgroups *g, const char *parent, conex_error **err);
void cx_hierarchy_clear(struct cx_hierarchy *h);
void cx_cgroups_drop(struct cx_cgroups *g, size_t n);

/* The hierarchy with this controller, NULL: none that we may use. */
const struct cx_hierarchy *cx_cgroups_with(const struct cx_cgroups *g, const char *controller);
const struct cx_hierarchy *cx_cgroups_v2(const struct cx_cgroups *g);
int cx_hierarchy_has(const struct cx_hierarchy *h, const char *controller);

/* file.c: one file of one cgroup. "" is the mount's root. 0 or a count; -errno. */
int cx_cgroup_file(char *to, size_t size, const char *path, const char *file);
int cx_cgroup_open(const struct cx_hierarchy *h, const char *path, const char *file, int flags);
ssize_t cx_cgroup_read(const struct cx_hierarchy *h, const char *path, const char *file, char *to, size_t size);
int cx_cgroup_write(const struct cx_hierarchy *h, const char *path, const char *file, const char *text);
/* A single number; "max" and v1's "no limit" are UINT64_MAX, as is what can't be read. */
uint64_t cx_cgroup_number(const struct cx_hierarchy *h, const char *path, const char *file);
/* The number behind `key` at the start of a line ("oom_kill 3"); UINT64_MAX: not there. */
uint64_t cx_cgroup_field(const char *text, const char *key);
int cx_cgroup_sleep(int64_t *ns, int64_t end_ns);

/* lines.c: a file, line by line, without its ends. 0, -errno */
typedef void (*cx_cgroup_line)(const char *line, void *data);
int cx_cgroup_lines(const struct cx_hierarchy *h, const char *path, const char *file, cx_cgroup_line fn, void *data);
int cx_cgroup_lines_fd(int fd, cx_cgroup_line fn, void *data);

/* tree.c: sub-cgroups. Calls fn for the directory and all below, parents first; stops at not 0. */
typedef int (*cx_cgroup_visit)(int dir, void *data);
int cx_cgroup_walk(const struct cx_hierarchy *h, const char *path, cx_cgroup_visit fn, void *data);
/* All processes in it and below, in one hierarchy. Count, -errno. (free) */
int cx_cgroup_pids(const struct cx_hierarchy *h, const char *path, pid_t **ret);

/* rmdir in each hierarchy, until one refuses: 1 none did. cx_cgroup_remove is still to come. */
int cx_cgroup_remove_empty(const struct cx_cgroups *g, const char *path);

struct bpf_insn;
struct cx_device_program { struct bpf_insn *insns; uint32_t count; };

/* limits.c: the writes of struct cx_cgroup_limits, made once, played at each launch */
struct cx_cgroup_write {
	uint16_t hierarchy;
	uint8_t optional;               /* the file may be missing */
	uint8_t either;                 /* it or the next one's: one of both is enough */
	uint8_t second;                 /* the text is the second word; the first stays as it is */
	const char *file;               /* static, or `name` */
	const char *before;             /* its name in older kernels: where `file` is missing; NULL */
	char *text, *name;              /* owned; name: an owned file name ("unified") */
	const char *used;               /* the file of what is used: if that is more, it isn't written; NULL */
	const char *field;              /* in linux.resources, for people */
};

struct cx_cgroup_limits {
	struct cx_cgroup_write *writes;
	size_t count, capacity;
	struct cx_device_program devices;       /* v2; none: .count 0 */
};
int cx_cgroup_limits_add(struct cx_cgroup_limits *l, const struct cx_cgroups *g,
	const struct cx_hierarchy *h, const char *field, const char *file, const char *format, ...)
	CX_PRINTF(6, 7);
/* devices.c: linux.resources.devices as rules, in order: the last that speaks of a device and of a way to use
 * it decides. They are all there is: what no rule speaks of is denied. */
enum { CX_DEVICE_MKNOD = 1, CX_DEVICE_READ = 2, CX_DEVICE_WRITE = 4, CX_DEVICE_ANY = 7 };
struct cx_device_rule {
	char type;                      /* a, b, c */
	uint8_t access, allow;
	int64_t major, minor;           /* -1: any */
};
int cx_cgroup_limits_devices(struct cx_cgroup_limits *l, const struct cx_cgroups *g,
	const json_t *devices, conex_error **err);

/* program.c: the rules as a BPF_PROG_TYPE_CGROUP_DEVICE program, for v2. No kernel is needed. */
int cx_device_program_build(const struct cx_device_rule *rules, size_t count, struct cx_device_program *ret);

/* bpf.c: that program and the kernel. 0, -errno */
int cx_device_program_load(const struct cx_device_program *p);  /* an fd; what the verifier says */
int cx_device_program_possible(const struct cx_cgroups *g);     /* asked once a context */
/* To one cgroup, instead of the one that we attached before: there is always one of them at work. */
int cx_device_program_attach(const struct cx_hierarchy *h, const char *path, const struct cx_device_program *p);

/* lists.c */
int cx_cgroup_limits_lists(struct cx_cgroup_limits *l, const struct cx_cgroups *g,
	const json_t *resources, conex_error **err);

/* weight.c: v1's 2..262,144 and v2's 1..10,000, each the other's inverse */
uint64_t cx_cgroup_shares_of_weight(uint64_t weight);
uint64_t cx_cgroup_weight_of_shares(uint64_t shares);

#endif
