/* What tests of images share: a store of the test's own, archives to fill it from, and what of both is left. */
#ifndef CONEX_TEST_IMAGE_BOX_H
#define CONEX_TEST_IMAGE_BOX_H

#include "box.h"

static char store[64], archives[64];

/* Makes the archives (tests/system/image-archives.py); the store is for a context to be opened with. */
static inline int image_box_make(void)
{
	snprintf(store, sizeof store, "%s/store", box.dir);
	snprintf(archives, sizeof archives, "%s/archives", box.dir);
	mkdir(archives, 0755);
	return command("/usr/bin/python3 %s/tests/system/image-archives.py /bin/busybox %s", getenv("CX_SRCDIR"), archives);
}

/* 1: it is there; what the call or the job answered. */
static inline int image_bring(const char *file, const char *name)
{
	int fd = open(say("%s/%s", archives, file), O_RDONLY | O_CLOEXEC), r;
	conex_job *job = NULL;

	box_clear();
	r = conex_image_import(box.cx, fd, name, NULL, &job, &box.err);
	close(fd);
	if (r == 0)
		r = conex_job_wait(job, -1, &box.err);
	conex_job_free(job);
	return r;
}

/* The program's status, box.out what it said; -errno: it could not be run. */
static inline int image_run(const char *image, const char *const *args, const struct conex_run_options *given)
{
	struct conex_run_options o = { .size = sizeof o };
	conex_container *c = NULL;
	int status = -1, r;

	if (given)
		o = *given;
	o.size = sizeof o;
	o.out = CONEX_STDIO_PIPE;
	o.err = CONEX_STDIO_OUT;
	box_clear();
	r = conex_run(box.cx, image, args, &o, &c, &box.err);
	if (r < 0)
		return r;
	GOOD(conex_container_output(c, -1, &box.io, &box.err));
	GOOD(conex_container_wait(c, -1, &status, &box.err));
	box_trim();
	box_end(c);
	return status;
}
#define WITH(...) &(struct conex_run_options){ __VA_ARGS__ }

static inline int image_snapshots(void)
{
	int n = box_entries(say("%s/snapshots", store));

	return n < 0 ? 0 : n - 1;       /* without the mark */
}

static inline int image_leases(void)
{
	return box_entries(say("%s/leases", store));
}

/* Is there a worker to bring images? */
static inline int image_worker(void)
{
	setenv("CONEX_WORKER", say("%s/conex-worker", getenv("CX_BUILDDIR")), 0);
	return access(getenv("CONEX_WORKER"), X_OK) == 0;
}

#endif
