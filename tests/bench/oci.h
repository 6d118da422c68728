/* bench oci: runtimes that are called by their command line. */
#ifndef BENCH_OCI_H
#define BENCH_OCI_H

#include "spawn.h"
#include "subject.h"

enum { OCI_BURST = 8, OCI_STEPS = 4, OCI_TEXT = 512 };
/* The steps of a life in separate commands; the wait is the container's own time. */
enum { OCI_CREATE, OCI_START, OCI_WAIT, OCI_DELETE };

struct runtime {
	const char *name, *program;     /* program: an absolute path, or looked up */
	int world;                      /* OCI_HERE … */
	int plain;                      /* without the seccomp filter */
};

/* Where runtimes run: this system, or a newer one's files (newer-peers.sh) on its kernel. */
enum { OCI_HERE, OCI_NEWER, OCI_WORLDS };

enum { OCI_RUN, OCI_LIFE, OCI_EXEC, OCI_EXEC_BEGIN, OCI_EXEC_END, OCI_MEMORY, OCI_LIMIT, OCI_VERSION, OCI_QUIT };

struct oci_request {
	int what, runtime;
	int count;                      /* RUN, LIFE, EXEC: how many, back to back */
	uint64_t limit;                 /* LIMIT: bytes */
};

struct oci_reply {
	int result;                     /* 0; exit status or -errno, with text */
	double value[OCI_BURST];        /* ms; MEMORY: KiB */
	double step[OCI_BURST][OCI_STEPS];
	char text[OCI_TEXT];
};

/* oci-world.c: a process with mounts of its own, the parent of all that its runtimes leave running. */
struct world { pid_t pid; int fd; };
/* tree: NULL for this system's files. 0 or -errno */
int world_start(struct world *w, const struct setup *s, const struct runtime *runtimes, const char *tree);
int world_call(const struct world *w, const struct oci_request *request, struct oci_reply *reply);
void world_stop(struct world *w);

/* oci-commands.c: one request, carried out. */
void oci_serve(const struct setup *s, const struct runtime *r, const struct oci_request *q, struct oci_reply *a);

#endif
