/* What the tests of exporting and unpacking images share: a store with some in it, jobs that are waited for, and workers
 * that are found and killed. */
#ifndef TEST_SYSTEM_ARCHIVES_H
#define TEST_SYSTEM_ARCHIVES_H

#include "box.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include "image/images.h"

static char store[64], archives[64];
#define OPTIONS(...) &(struct conex_image_options){ .size = sizeof(struct conex_image_options), __VA_ARGS__ }

/* How a job ended; its result in *digest. */
static inline int job_end(int r, conex_job **handle, char digest[CX_DIGEST_TEXT])
{
	conex_job *job = *handle;

	if (r == 0)
		r = conex_job_wait(job, -1, &box.err);
	if (digest)
		snprintf(digest, CX_DIGEST_TEXT, "%s", r == 1 ? conex_job_result(job) : "");
	if (r != 1)
		CHECK(!job || !conex_job_result(job));
	conex_job_free(job);
	return r;
}

static inline int bring(const char *file, const char *name, const struct conex_image_options *o)
{
	int fd = open(*file == '/' ? file : say("%s/%s", archives, file), O_RDONLY | O_CLOEXEC), r;
	conex_job *job = NULL;

	box_clear();
	r = job_end(conex_image_import(box.cx, fd, name, o, &job, &box.err), &job, NULL);
	close(fd);
	return r;
}

static inline int write_to(int fd, const char *name, const struct conex_image_options *o, char digest[CX_DIGEST_TEXT])
{
	conex_job *job = NULL;

	box_clear();
	return job_end(conex_image_export(box.cx, name, fd, o, &job, &box.err), &job, digest);
}

/* Into a new file, or ("x/") a directory, of box.dir. */
static inline int export(const char *name, const char *file, const struct conex_image_options *o, char digest[CX_DIGEST_TEXT])
{
	const char *path = say("%s/%s", box.dir, file);
	int directory = path[strlen(path) - 1] == '/', fd, r;

	if (directory)
		mkdir(path, 0755);
	fd = open(path, directory ? O_RDONLY | O_CLOEXEC : O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	CHECK(fd >= 0);
	r = write_to(fd, name, o, digest);
	close(fd);
	return r;
}

static inline int unpack(const char *name, const char *directory, const struct conex_image_options *o)
{
	conex_job *job = NULL;

	box_clear();
	return job_end(conex_image_unpack(box.cx, name, directory, o, &job, &box.err), &job, NULL);
}

/* ---- what must be true ---- */

/* No lease, no journal, nothing half. A job is done before its worker has ended, which is then taken note of. */
static inline void nothing_left(void)
{
	struct conex_event ev = { .size = sizeof ev };

	for (int i = 0; i < 500 && command("ls %s/containers | grep -q unpack:", box.cx->state->path) == 0; i++)
		conex_next_event(box.cx, 10, &ev, NULL);
	CHECK_INT(box_entries(say("%s/leases", store)), 0);
	CHECK_INT(box_entries(say("%s/tmp", store)), 0);
	CHECK_INT(command("ls %s/containers | grep unpack:", box.cx->state->path) != 0, 1);
	CHECK_INT(command("find %s -name '.unpack-*' -o -name '.conex-export*' | grep .", box.dir) != 0, 1);
}

/* The file of a blob in the store: the number-th of an image's layers, -1 its config, -2 its manifest. */
static inline const char *blob_of(const char *image, int number)
{
	struct cx_found_image i = { .parts = NULL };
	char path[CX_DIGEST_TEXT] = "";
	struct cx_store *s;

	GOOD(cx_images_of(box.cx, &s, &box.err));
	if (GOOD(cx_images_find(s, image, NULL, &i, &box.err)))
		cx_digest_path(number == -2 ? &i.manifest : number == -1 ? &i.parts->config.digest : &i.parts->layers[number].digest, path);
	cx_found_image_clear(&i);
	return say("%s/blobs/%s", store, path);
}

/* A manifest that was imported gets another name; or an index that lies in a file. */
static inline void name_index(const char *name)
{
	struct cx_store_lease *l = NULL;
	struct cx_reference reference;
	struct cx_digest digest;
	struct cx_store *s;
	const char *text = content("%s/index", archives);

	GOOD(cx_images_of(box.cx, &s, &box.err));
	GOOD(cx_reference_parse(name, &reference, &box.err));
	GOOD(cx_digest_parse(content("%s/index.digest", archives), "", &digest, &box.err));
	GOOD(cx_store_lease_take(s, CX_LEASE_PROCESS, &l, &box.err));
	GOOD(cx_store_put_blob(l, &digest, &digest, text, strlen(text), &box.err));
	GOOD(cx_store_put_image(s, &reference, &digest, &box.err));
	GOOD(cx_store_lease_return(s, l->id, &box.err));
	cx_store_lease_free(l);
}

/* ---- workers ---- */

/* The keeper's child that is a worker, not a container; 0: it has none. */
static inline pid_t worker_of(const conex *cx)
{
	pid_t keeper = conex_keeper_pid((conex *)cx);
	const char *children = keeper > 0 ? content("/proc/%d/task/%d/children", (int)keeper, (int)keeper) : NULL;

	return children ? atoi(children) : 0;
}

/* Waits for a job without a word of how; the worker is killed after so many microseconds. */
static inline int killed_after(unsigned us, int r, conex_job *job)
{
	pid_t pid;

	if (r < 0)
		return r;
	usleep(us);
	pid = worker_of(box.cx);
	if (pid > 0)
		kill(pid, SIGKILL);
	return job_end(0, &job, NULL);
}

/* ---- the frame ---- */

static inline int archives_begin(void)
{
	struct conex_options where = { .size = sizeof where, .close_ms = 120000, .store = store };

	snprintf(store, sizeof store, "%s/store", box.dir);
	snprintf(archives, sizeof archives, "%s/archives", box.dir);
	mkdir(archives, 0755);
	if (!CHECK_INT(command("/usr/bin/python3 %s/tests/system/image-archives.py /bin/busybox %s", getenv("CX_SRCDIR"), archives), 0))
		return 0;
	conex_close(box.cx);
	return GOOD(conex_open(&where, &box.cx, &box.err)) && CHECK_INT(bring("layout.tar", "app:1", NULL), 1)
		&& CHECK_INT(bring("many.tar", "many:1", NULL), 1);
}

static inline int archives_main(void (*tests)(void))
{
	setenv("CONEX_WORKER", say("%s/conex-worker", getenv("CX_BUILDDIR")), 0);
	if (access(getenv("CONEX_WORKER"), X_OK) < 0) {
		printf("1..0 # SKIP built without images\n");
		return 0;
	}
	return with_box(tests);
}

#endif
