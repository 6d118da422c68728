/* What the tests of pulls share: a registry that errs (registry-server.py, whose repositories are named after faults), images
 * (pull-images.py), a store, and the same image unpacked as it should be. */
#ifndef CONEX_TEST_PULL_H
#define CONEX_TEST_PULL_H

#include "box.h"

#include <dirent.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static struct {
	char store[64], reference[64];  /* ours; one that holds "good:1" as it should be */
	pid_t server;
	int http, https;
	struct conex_progress last;     /* of the last pull */
} pulls;

#define PLAIN(...) &(struct conex_image_options){ .size = sizeof(struct conex_image_options), \
	.flags = CONEX_IMAGE_PLAIN_HTTP, __VA_ARGS__ }

#define NOT_NEWER &(struct conex_image_options){ .size = sizeof(struct conex_image_options), \
	.flags = CONEX_IMAGE_PLAIN_HTTP | CONEX_IMAGE_NOT_NEWER }

/* "127.0.0.1:PORT/FAULT:TAG" */
static inline const char *named(const char *repository, const char *tag)
{
	return say("127.0.0.1:%d/%s%s%s", pulls.http, repository, *tag == '@' ? "" : ":", tag);
}

static inline conex_job *begin_pull(conex *cx, const char *name, const struct conex_image_options *o)
{
	conex_job *job = NULL;

	box_clear();
	GOOD(conex_image_pull(cx, name, o, &job, &box.err));
	return job;
}

/* 1, or what it failed with; box.err says why. */
static inline int pulled(const char *name, const struct conex_image_options *o)
{
	conex_job *job = begin_pull(box.cx, name, o);
	int r = job ? conex_job_wait(job, -1, &box.err) : 0;

	pulls.last = (struct conex_progress){ .size = sizeof pulls.last };
	if (job) {
		conex_job_progress(job, &pulls.last, NULL);
		CHECK(r == 1 ? !strncmp(conex_job_result(job), "sha256:", 7) : !conex_job_result(job));
	}
	pulls.last.step = NULL;
	conex_job_free(job);
	return r;
}

/* How often the server was asked for what matches this expression of grep's, since the log was emptied. */
static inline int asked(const char *pattern)
{
	const char *text;

	command("grep -Ec '%s' %s/log >%s/count", pattern, box.dir, box.dir);
	text = content("%s/count", box.dir);
	return text ? atoi(text) : -1;
}

/* The large blobs of "good:1": of its first and second layer. */
static inline const char *large(int n)
{
	return content("%s/large%d", box.dir, n);
}

static inline void forget_log(void)
{
	CHECK_INT(truncate(say("%s/log", box.dir), 0), 0);
}

/* Nothing of what was on its way is left. */
static inline int leftovers(void)
{
	int n = box_entries(say("%s/ingest/sha256", pulls.store)) + box_entries(say("%s/tmp", pulls.store))
		+ box_entries(say("%s/leases", pulls.store));

	if (n)
		command("find %s/ingest %s/tmp %s/leases -maxdepth 2 | head -20", pulls.store, pulls.store, pulls.store);
	return n;
}

/* Every blob is what its name says; whatever is partial has no final name. */
static inline int is_sound(void)
{
	return command("cd %s/blobs/sha256 && for f in *; do [ ! -e $f ] || [ \"$(sha256sum <$f)\" = \"$f  -\" ] || exit 1; done",
		pulls.store) == 0;
}

/* The store has "good:1", all of it, and nothing else. */
static inline int is_whole(void)
{
	return command("diff -r %s/blobs %s/blobs && diff -r --no-dereference %s/layers %s/layers", pulls.reference, pulls.store,
		pulls.reference, pulls.store) == 0;
}

static inline void empty_store(void)
{
	char **list = NULL;
	int n = conex_image_list(box.cx, &list, NULL);

	for (int i = 0; i < n; i++)
		GOOD(conex_image_delete(box.cx, list[i], &box.err));
	free(list);
	/* deleting has collected what was named; of a pull that failed there may be what is whole */
	if (n > 0)
		CHECK_INT(box_entries(say("%s/layers", pulls.store)) + box_entries(say("%s/blobs/sha256", pulls.store)), 0);
	command("rm -rf %s/ingest/sha256/* %s/blobs/sha256/* %s/layers/*", pulls.store, pulls.store, pulls.store);
}

/* ---- processes ---- */

/* The worker among the keeper's children; 0: there is none. */
static inline pid_t worker_of(conex *cx)
{
	pid_t keeper = conex_keeper_pid(cx);
	const char *children = content("/proc/%d/task/%d/children", (int)keeper, (int)keeper);

	for (char *at = children ? (char *)children : (char *)""; *at;) {
		pid_t pid = (pid_t)strtol(at, &at, 10);
		const char *name = content("/proc/%d/comm", (int)pid);

		if (name && !strcmp(name, "conex-worker"))
			return pid;
		at += strspn(at, " ");
	}
	return 0;
}

static inline int is_gone(pid_t pid)
{
	for (int i = 0; i < 3000 && kill(pid, 0) == 0; i++)
		usleep(10000);
	return kill(pid, 0) < 0;
}

/* Until the server was asked so. */
static inline int until_asked(const char *pattern)
{
	for (int i = 0; i < 3000 && asked(pattern) <= 0; i++)
		usleep(10000);
	return asked(pattern) > 0;
}

/* ---- the box ---- */

static inline int start_server(void)
{
	const char *script = say("%s/tests/system/registry-server.py", getenv("CX_SRCDIR"));
	const char *crt = say("%s/server.crt", box.dir), *key = say("%s/server.key", box.dir);

	fflush(stdout);
	pulls.server = fork();
	if (pulls.server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl("/usr/bin/python3", "python3", "-B", script, box.dir, crt, key, NULL);
		_exit(127);
	}
	for (int i = 0; i < 3000; i++) {
		const char *text = content("%s/ports", box.dir);

		if (text && sscanf(text, "%d %*d %d", &pulls.http, &pulls.https) == 2)
			return 1;
		usleep(10000);
	}
	return 0;
}

static inline int make_files(void)
{
	return command("cd %s && /usr/bin/python3 %s/tests/system/pull-images.py /bin/busybox %s/layout"
		" && mkdir home && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=conex test'"
		" -addext subjectAltName=IP:127.0.0.1 -keyout server.key -out server.crt 2>openssl.log"
		" && ls -S layout/blobs/sha256 | head -2 | tail -1 >large1 && ls -S layout/blobs/sha256 | head -3 | tail -1 >large2",
		box.dir, getenv("CX_SRCDIR"), box.dir) == 0;
}

static inline void clean_environment(void)
{
	static const char *const names[] = { "http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
		"ALL_PROXY", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unsetenv(names[i]);
	setenv("HOME", say("%s/home", box.dir), 1);
}

static inline int open_box(const char *store)
{
	struct conex_options where = { .size = sizeof where, .close_ms = 120000, .store = store };

	conex_close(box.cx);
	box.cx = NULL;
	return GOOD(conex_open(&where, &box.cx, &box.err));
}

/* All of it; the reference is pulled without faults, and looked at by who needs no library. */
static inline int pull_box(void)
{
	snprintf(pulls.store, sizeof pulls.store, "%s/store", box.dir);
	snprintf(pulls.reference, sizeof pulls.reference, "%s/reference", box.dir);
	clean_environment();
	if (!CHECK(make_files()) || !CHECK(start_server()) || !open_box(pulls.reference))
		return 0;
	if (!CHECK_INT(pulled(named("good", "1"), PLAIN(.data = NULL)), 1))
		printf("# %s\n", conex_error_text(box.err));
	for (int i = 1; i <= 2; i++)
		CHECK_INT(command("cmp %s/blobs/sha256/%s %s/layout/blobs/sha256/%s", pulls.reference, large(i), box.dir, large(i)), 0);
	CHECK_INT(command("cd %s && mkdir t && for l in $(ls -S layout/blobs/sha256 | sed -n 2,3p); do tar -C t -xzf"
		" layout/blobs/sha256/$l; done && echo -n x >t/small && for r in reference/layers/*/root; do (cd $r && find . -type f"
		" -exec cmp {} %s/t/{} ';'); done && [ $(find reference/layers/*/root -type f | wc -l) = 33 ]", box.dir, box.dir), 0);
	return open_box(pulls.store);
}

static inline void pull_unbox(void)
{
	kill(pulls.server, SIGKILL);
	waitpid(pulls.server, NULL, 0);
}

#define PULL_MAIN(tests) \
	int main(void) \
	{ \
		setenv("CONEX_WORKER", say("%s/conex-worker", getenv("CX_BUILDDIR")), 0); \
		if (access(getenv("CONEX_WORKER"), X_OK) < 0 || access("/usr/bin/openssl", X_OK) < 0) { \
			printf("1..0 # SKIP built without images, or no openssl\n"); \
			return 0; \
		} \
		return with_box(tests); \
	}

#endif
