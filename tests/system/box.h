/* What the system tests of containers share: a busybox root file system, one context, and
 * commands run in containers whose output and exit can be looked at. */
#ifndef CONEX_TEST_BOX_H
#define CONEX_TEST_BOX_H

#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <conex/conex.h>
#include "state/context.h"

/* JSON in C without escaped quotes. A comma at its top level belongs to it. */
#define OCI(...) #__VA_ARGS__

/* The host's /usr, read-only: the test's own program, which is /probe in the root file system, finds its
 * libraries there. */
#define BOX_USR { "/usr", "/usr", NULL, "ro" }

static struct {
	char dir[32];           /* everything is in it; removed at the end */
	char root[48];          /* the root file system */
	conex *cx;
	conex_error *err;       /* of the last call that failed */
	struct conex_output io; /* of the last box_run, box_exec */
	struct conex_exit exit;
	char *out;              /* io.out without its last newline */
} box;

/* ---- the host's side ---- */

/* Text made by printf, good until the eighth call after this one. */
static inline const char *say(const char *format, ...)
{
	static char texts[8][8192];
	static int next;
	char *text = texts[next++ % 8];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof texts[0], format, args);
	va_end(args);
	return text;
}

static inline int command(const char *format, ...)
{
	char text[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return system(text);
}

/* A file's text without its last newline; NULL: it can't be read. */
static inline const char *content(const char *format, ...)
{
	static char texts[4][65536];
	static int next;
	char path[PATH_MAX], *text = texts[next++ % 4];
	ssize_t n, size = 0;
	va_list args;
	int fd;

	va_start(args, format);
	vsnprintf(path, sizeof path, format, args);
	va_end(args);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && (n = read(fd, text + size, sizeof texts[0] - 1 - (size_t)size)) > 0)
		size += n;
	if (fd < 0)
		return NULL;
	close(fd);
	text[size] = '\0';
	if (size && text[size - 1] == '\n')
		text[size - 1] = '\0';
	return text;
}

/* What follows "key:" in a process's status, without blanks before it. */
static inline const char *status_of(pid_t pid, const char *key)
{
	const char *text = content("/proc/%d/status", (int)pid), *at;
	const char *found = text ? strstr(text, say("\n%s:", key)) : NULL;

	if (!found)
		return "";
	at = found + strlen(key) + 2;
	at += strspn(at, " \t");
	return say("%.*s", (int)strcspn(at, "\n"), at);
}

/* "net:[4026531840]" */
static inline const char *ns_of(pid_t pid, const char *kind)
{
	char text[64];
	ssize_t n = readlink(pid ? say("/proc/%d/ns/%s", (int)pid, kind) : say("/proc/self/ns/%s", kind),
		text, sizeof text - 1);

	return n < 0 ? "" : say("%.*s", (int)n, text);
}

static inline void make_file(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		CHECK_STR(strerror(errno), path);
	close(fd);
}

/* ---- containers ---- */

/* The caller's options, completed: our root file system unless there is another. */
static inline struct conex_run_options box_options(const struct conex_run_options *given)
{
	struct conex_run_options o = { .size = sizeof o };

	if (given)
		memcpy(&o, given, sizeof o);
	o.size = sizeof o;
	if (!o.rootfs && !o.spec && !(o.share & CONEX_NS_MOUNT))
		o.rootfs = box.root;
	return o;
}

/* What a call answered; its error is printed where none was expected. */
static inline int box_good(int r, const char *what, const char *file, int line)
{
	if (r < 0) {
		test_fault(file, line);
		printf("%s: %s\n", what, conex_error_text(box.err));
		fflush(stdout);
	}
	return r >= 0;
}
#define GOOD(call) box_good((call), #call, __FILE__, __LINE__)

static inline void box_trim(void)
{
	box.out = box.io.out ? box.io.out : (char *)"";
	if (box.io.out_size && box.out[box.io.out_size - 1] == '\n')
		box.out[box.io.out_size - 1] = '\0';
}

static inline void box_clear(void)
{
	conex_error_free(box.err);
	box.err = NULL;
	conex_output_clear(&box.io);
	box.io = (struct conex_output){ .size = sizeof box.io };
	box.exit = (struct conex_exit){ .size = sizeof box.exit };
	box.out = (char *)"";
}

/* Starts args in a container; NULL and box.err: it failed. */
static inline conex_container *box_start(const struct conex_run_options *given, const char *const *args)
{
	struct conex_run_options o = box_options(given);
	conex_container *c = NULL;

	box_clear();
	return conex_run(box.cx, NULL, args, &o, &c, &box.err) < 0 ? NULL : c;
}

/* One that is just there. */
static inline conex_container *box_sleeper(const struct conex_run_options *given)
{
	conex_container *c = box_start(given, CONEX_STRINGS("sleep", "1000"));

	box_good(c ? 0 : -1, "sleeper", __FILE__, __LINE__);
	return c;
}

static inline void box_end(conex_container *c)
{
	if (c)
		GOOD(conex_container_delete(c, -1, &box.err));
	conex_container_free(c);
}

/* The exit status of args in a container, its output in box.out; negative: it didn't start (box.err). */
static inline int box_run_args(const struct conex_run_options *given, const char *const *args)
{
	struct conex_run_options o = box_options(given);
	conex_container *c = NULL;
	int r, status = -1;

	box_clear();
	o.flags &= ~CONEX_RUN_NOWAIT;
	o.out = CONEX_STDIO_PIPE;
	o.err = CONEX_STDIO_OUT;
	r = conex_run(box.cx, NULL, args, &o, &c, &box.err);
	if (r < 0)
		return r;
	GOOD(conex_container_output(c, -1, &box.io, &box.err));
	GOOD(conex_container_wait(c, -1, &status, &box.err));
	GOOD(conex_container_exit(c, &box.exit, &box.err));
	box_trim();
	box_end(c);
	return status;
}

static inline int box_run(const struct conex_run_options *given, const char *script)
{
	return box_run_args(given, CONEX_STRINGS("sh", "-c", script));
}

/* As box_run, in a container that runs. */
static inline int box_exec_args(conex_container *c, const struct conex_run_options *given, const char *const *args)
{
	struct conex_run_options o = { .size = sizeof o };
	conex_process *p = NULL;
	int r, status = -1;

	box_clear();
	if (given)
		memcpy(&o, given, sizeof o);
	o.size = sizeof o;
	o.out = CONEX_STDIO_PIPE;
	o.err = CONEX_STDIO_OUT;
	r = conex_exec(c, args, &o, &p, &box.err);
	if (r < 0)
		return r;
	GOOD(conex_process_output(p, -1, &box.io, &box.err));
	GOOD(conex_process_wait(p, -1, &status, &box.err));
	GOOD(conex_process_exit(p, &box.exit, &box.err));
	box_trim();
	conex_process_free(p);
	return status;
}

static inline int box_exec(conex_container *c, const struct conex_run_options *given, const char *script)
{
	return box_exec_args(c, given, CONEX_STRINGS("sh", "-c", script));
}

/* ---- what must be said and left ---- */

/* The last error's text has this in it; its words are shown where not. */
static inline int box_said(const char *word, const char *file, int line)
{
	const char *text = conex_error_text(box.err);

	if (box.err && strstr(text, word))
		return 1;
	test_fault(file, line);
	printf("no \"%s\" in: %s\n", word, text);
	fflush(stdout);
	return 0;
}
#define SAID(word) box_said((word), __FILE__, __LINE__)

/* How many entries a directory has. */
static inline int box_entries(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return d ? n - 2 : -1;
}

/* How many descriptors a process that has just started has, as soon as it is `want`: we are told of the start by the
 * first one that execve closes, the kernel may be at the next, and the program may open one for a moment. */
static inline int box_descriptors(pid_t pid, int want)
{
	int n = -1;

	for (int i = 0; i < 500 && (n = box_entries(say("/proc/%d/fd", (int)pid))) != want; i++)
		usleep(10000);
	return n;
}

/* Of this container nothing may be left: no cgroup, no journal, no mount. */
static inline void box_nothing_left(const char *id)
{
	const char *mounts = content("/proc/self/mountinfo");

	CHECK_INT(command("ls -d /sys/fs/cgroup/conex/%s /sys/fs/cgroup/*/conex/%s 2>/dev/null | grep .", id, id)
		!= 0, 1);
	CHECK_INT(command("find %s -name '*%s*' | grep .", box.cx->state->path, id) != 0, 1);
	CHECK(strstr(mounts, id) == NULL);
	CHECK(strstr(mounts, box.root) == NULL);
}

/* ---- the frame ---- */

/* Busybox under all its names, without a process for each of them. */
static inline void box_busybox(void)
{
	FILE *names = popen("/bin/busybox --list", "re");
	char name[64];

	command("cp /bin/busybox %s/bin/", box.root);
	while (names && fscanf(names, "%63s", name) == 1)
		if (strcmp(name, "busybox") && symlink("busybox", say("%s/bin/%s", box.root, name)) < 0)
			CHECK_STR(strerror(errno), name);
	CHECK(names && pclose(names) == 0);
}

/* The directories that every system has, busybox, and this test as /probe. */
static inline int box_make(void)
{
	int r;

	snprintf(box.dir, sizeof box.dir, "/tmp/conex-box-XXXXXX");
	if (!mkdtemp(box.dir))
		return -1;
	chmod(box.dir, 0755);
	snprintf(box.root, sizeof box.root, "%s/root", box.dir);
	r = command("set -e; cd %s; mkdir root; cd root; mkdir -p bin dev etc proc run sys tmp usr var root;"
		"chmod 1777 tmp; ln -s usr/lib usr/lib64 .; cp -L /proc/%d/exe probe;"
		"printf 'root:x:0:0::/root:/bin/sh\\nuser:x:1000:1000::/:/bin/sh\\n' >etc/passwd;"
		"printf 'root:x:0:\\nuser:x:1000:\\nextra:x:2000:\\n' >etc/group", box.dir, (int)getpid());
	if (r == 0)
		box_busybox();
	return r;
}

/* main's result: runs the tests with a box around them. */
static inline int with_box(void (*tests)(void))
{
	struct conex_options patient = { .size = sizeof patient, .close_ms = 120000 };
	char *state;

	if (geteuid() != 0 || access("/bin/busybox", X_OK) < 0) {
		printf("1..0 # SKIP needs root and /bin/busybox\n");
		return 0;
	}
	if (box_make() != 0 || !GOOD(conex_open(&patient, &box.cx, &box.err)))
		return 1;
	state = strdup(box.cx->state->path);
	tests();
	box_clear();
	conex_close(box.cx);
	CHECK(access(state, F_OK) < 0);
	free(state);
	command("rm -rf --one-file-system %s", box.dir);
	return test_end() | (test_state.faults != 0);
}

/* The same for tests of images: with the worker that was built, if there is one. */
static inline int with_images(void (*tests)(void))
{
	setenv("CONEX_WORKER", say("%s/conex-worker", getenv("CX_BUILDDIR")), 0);
	if (access(getenv("CONEX_WORKER"), X_OK) == 0)
		return with_box(tests);
	printf("1..0 # SKIP built without images\n");
	return 0;
}

#endif
