/* Images out of archives, and containers of them: what the kernel shows inside, and that nothing is left behind. */
#include "image-box.h"

#include <signal.h>
#include <sys/wait.h>

static int brought(const char *file, const char *name, const struct conex_image_options *options)
{
	int fd = open(say("%s/%s", archives, file), O_RDONLY | O_CLOEXEC), r;
	conex_job *job = NULL;

	box_clear();
	r = conex_image_import(box.cx, fd, name, options, &job, &box.err);
	close(fd);
	if (r == 0)
		r = conex_job_wait(job, -1, &box.err);
	if (r == 1)
		CHECK(conex_job_result(job) && !strncmp(conex_job_result(job), "sha256:", 7));
	else
		CHECK(!job || !conex_job_result(job));
	conex_job_free(job);
	return r;
}

/* ---- archives ---- */

TEST(forms)
{
	static const char *const files[] = { "layout", "layout.tar", "layout.tar.gz", "platforms.tar", "escaping.tar" };
	char **list = NULL, *json = NULL;

	for (size_t i = 0; i < 5; i++) {
		CHECK_INT(brought(files[i], say("form:%zu", i), NULL), 1);
		CHECK_INT(image_run(say("form:%zu", i), NULL, NULL), 0);
		CHECK_STR(box.out, "77\n78\n/srv\nfrom the image\nnew\nkept\nnew");
	}
	CHECK_INT(access("/escaped", F_OK), -1);
	CHECK_INT(brought("docker.tar", "old:1", NULL), 1);
	CHECK_INT(image_run("old:1", NULL, NULL), 0);
	CHECK_STR(box.out, "77\n78\n/srv\nfrom the image\nnew\nkept\nnew");
	CHECK_INT(conex_image_list(box.cx, &list, &box.err), 6);
	CHECK(list && !strcmp(list[0], "form:0") && !strcmp(list[5], "old:1") && !list[6]);
	free(list);
	GOOD(conex_image_json(box.cx, "form:1", &json, &box.err));
	CHECK(json && strstr(json, content("%s/digest", archives)) && strstr(json, "\"layers\": 2") && strstr(json, "WorkingDir"));
	free(json);
	CHECK_INT(box_entries(say("%s/layers", store)), 2);             /* the same ones, however packed */
	for (size_t i = 0; i < 5; i++)
		GOOD(conex_image_delete(box.cx, say("form:%zu", i), &box.err));
	CHECK_INT(conex_image_json(box.cx, "form:0", &json, &box.err), -ENOENT);
	CHECK_INT(image_run("old:1", NULL, NULL), 0);
	GOOD(conex_image_delete(box.cx, "old:1", &box.err));
	CHECK_INT(box_entries(say("%s/layers", store)) + box_entries(say("%s/blobs/sha256", store)), 0);
	CHECK_INT(image_leases(), 0);
	CHECK_INT(image_snapshots(), 0);
}

TEST(chosen_by_name)
{
	CHECK_INT(brought("both.tar", "both:first", NULL), 1);
	CHECK_INT(brought("both.tar", "anything:second", NULL), 1);
	CHECK_INT(image_run("both:first", NULL, NULL), 0);
	CHECK(strstr(box.out, "from the image") != NULL);
	CHECK_INT(image_run("anything:second", NULL, NULL), 0);
	CHECK_STR(box.out, "second");
	GOOD(conex_image_delete(box.cx, "both:first", &box.err));
	GOOD(conex_image_delete(box.cx, "anything:second", &box.err));
}

static void refused(const char *file, int code)
{
	int r = brought(file, "bad:1", NULL);

	CHECK_INT(r, code);
	if (r != code)
		printf("# %s: %s\n", file, conex_error_text(box.err));
}

TEST(bad_archives)
{
	char **list = NULL;

	refused("bad-digest.tar", -EBADMSG);
	refused("missing-layer.tar", -ENOENT);
	refused("bad-diff-id.tar", -EBADMSG);
	refused("cut.tar", -EBADMSG);
	refused("junk.tar", -EBADMSG);
	refused("empty.tar", -EINVAL);
	refused("no-config.tar", -EINVAL);
	refused("foreign.tar", -ENOENT);
	refused("twice.tar", -EINVAL);
	CHECK_INT(brought("layout.tar", "bad:1", &(struct conex_image_options){ .size = sizeof(struct conex_image_options),
		.max_bytes = 4096 }), -E2BIG);
	CHECK_INT(brought("layout.tar", "not a name", NULL), -EINVAL);
	CHECK_INT(brought("layout.tar", "x", &(struct conex_image_options){ .size = sizeof(struct conex_image_options),
		.platform = "vax" }), -ENOENT);
	CHECK_INT(conex_image_list(box.cx, &list, &box.err), 0);
	free(list);
	CHECK_INT(conex_image_delete(box.cx, "bad:1", &box.err), -ENOENT);
	CHECK_INT(image_leases(), 0);
	CHECK_INT(box_entries(say("%s/tmp", store)), 0);
}

/* ---- containers ---- */

TEST(containers)
{
	conex_container *a, *b;
	struct conex_run_options o = { .size = sizeof o };

	CHECK_INT(brought("layout.tar", "app", NULL), 1);
	CHECK_INT(image_run("app", CONEX_STRINGS("echo args; id -un"), NULL), 0);     /* instead of Cmd, behind Entrypoint */
	CHECK_STR(box.out, "args\nserver");
	CHECK_INT(image_run("app", CONEX_STRINGS("id -u; echo $HELLO; pwd"), WITH(.user = "root", .cwd = "/etc",
		.env = CONEX_STRINGS("HELLO=mine"))), 0);
	CHECK_STR(box.out, "0\nmine\n/etc");
	CHECK_INT(image_run("app", CONEX_STRINGS("stat -c '%a %u' /srv; echo x >/srv/x"), WITH(.flags = CONEX_RUN_READ_ONLY,
		.user = "root")), 1);
	CHECK(!strncmp(box.out, "775 0", 5) && strstr(box.out, "Read-only"));
	o.user = "root";
	box_clear();
	GOOD(conex_run(box.cx, "app", CONEX_STRINGS("echo a >/srv/mine; rm /srv/kept; sleep 1000"), &o, &a, &box.err));
	GOOD(conex_run(box.cx, "app", CONEX_STRINGS("sleep 1000"), &o, &b, &box.err));
	for (int i = 0; i < 200 && box_exec(a, NULL, "test -e /srv/kept") == 0; i++)
		usleep(10000);
	CHECK_INT(box_exec(b, NULL, "cat /srv/kept; ls /srv"), 0);      /* of the other one's nothing */
	CHECK_STR(box.out, "keptkept\nnew");
	CHECK_INT(box_exec(a, &(struct conex_run_options){ .user = "server" }, "id -u; id -g"), 0);
	CHECK_STR(box.out, "77\n78");
	CHECK_INT(box_exec(a, NULL, "ls /srv; grep ' / ' /proc/self/mountinfo"), 0);
	CHECK(!strncmp(box.out, "mine\nnew", 8) && strstr(box.out, "overlay"));
	CHECK_INT(image_snapshots(), 2);
	CHECK_INT(image_leases(), 2);
	GOOD(conex_image_delete(box.cx, "app", &box.err));              /* in use: it stays till they are gone */
	CHECK_INT(box_exec(b, NULL, "cat /srv/new"), 0);
	CHECK(box_entries(say("%s/layers", store)) == 2);
	box_end(a);
	box_end(b);
	CHECK_INT(image_snapshots() + image_leases(), 0);
	CHECK_INT(command("grep -q %s /proc/self/mountinfo", store), 256);
}

TEST(plans)
{
	struct conex_run_options o = { .size = sizeof o };
	conex_container *list[3];
	conex_plan *plan = NULL;

	CHECK_INT(brought("layout.tar", "app", NULL), 1);
	box_clear();
	GOOD(conex_plan_new(box.cx, "app", CONEX_STRINGS("sleep 1000"), &o, &plan, &box.err));
	for (int i = 0; i < 3; i++)
		GOOD(conex_launch(box.cx, plan, NULL, NULL, &list[i], &box.err));
	CHECK_INT(image_snapshots(), 3);
	for (int i = 0; i < 3; i++)
		box_end(list[i]);
	CHECK_INT(image_snapshots(), 0);
	conex_plan_free(plan);
}

TEST(options_refused)
{
	CHECK_INT(image_run("127.0.0.1:1/nowhere", NULL, NULL), -ECONNREFUSED);
	CHECK_INT(image_run("Bad Name", NULL, NULL), -EINVAL);
	CHECK_INT(image_run("app", NULL, WITH(.rootfs = box.root)), -EINVAL);
	SAID("conex_run_options.rootfs");
	CHECK_INT(image_run("app", NULL, WITH(.user = "nobody-there")), -ENOENT);
	CHECK_INT(image_run("app", CONEX_STRINGS("true"), WITH(.oci = OCI({"process": {"args": ["/nowhere"]}}))), -ENOENT);
	CHECK_INT(image_snapshots() + image_leases(), 0);
	GOOD(conex_image_delete(box.cx, "app", &box.err));
}

/* ---- jobs ---- */

TEST(events)
{
	int fd = open(say("%s/layout.tar", archives), O_RDONLY | O_CLOEXEC), seen = 0, mark;
	struct conex_progress p = { .size = sizeof p };
	conex_job *job = NULL;

	box_clear();
	GOOD(conex_image_import(box.cx, fd, "app", &(struct conex_image_options){ .size = sizeof(struct conex_image_options),
		.data = &mark }, &job, &box.err));
	while (conex_job_wait(job, 0, NULL) == 0 && seen < 1000) {
		struct conex_event ev = { .size = sizeof ev };

		if (conex_next_event(box.cx, 1000, &ev, &box.err) == 1 && ev.type == CONEX_EVENT_JOB) {
			CHECK(ev.job == job && ev.data == &mark);
			seen++;
		}
	}
	CHECK(seen > 0);
	CHECK_INT(conex_job_wait(job, -1, &box.err), 1);
	GOOD(conex_job_progress(job, &p, &box.err));
	CHECK(p.done_layers == 2 && p.total_layers == 2 && p.unpacked_bytes > 100000 && p.done_bytes > 100000 && p.total_bytes > 0);
	CHECK(strstr(p.step, "layer 2 of 2") != NULL);
	conex_job_free(job);
	close(fd);
	GOOD(conex_image_delete(box.cx, "app", &box.err));
}

static pid_t worker(void)
{
	FILE *f = popen("pidof conex-worker", "re");
	int pid = 0;

	if (f && fscanf(f, "%d", &pid) != 1)
		pid = 0;
	if (f)
		pclose(f);
	return pid;
}

static int gone(pid_t pid)
{
	for (int i = 0; i < 500 && kill(pid, 0) == 0; i++)
		usleep(10000);
	return kill(pid, 0) < 0;
}

/* A pipe that brings nothing keeps it waiting. */
static conex_job *waiting(conex *cx, int pair[2], pid_t *pid)
{
	conex_job *job = NULL;

	CHECK_INT(pipe2(pair, O_CLOEXEC), 0);
	box_clear();
	GOOD(conex_image_import(cx, pair[0], "app", NULL, &job, &box.err));
	for (int i = 0; i < 500 && !(*pid = worker()); i++)
		usleep(10000);
	CHECK(*pid > 0);
	CHECK_INT(conex_job_wait(job, 200, &box.err), 0);
	return job;
}

TEST(ends)
{
	conex_job *job;
	conex *cx = NULL;
	int pair[2];
	pid_t pid;

	job = waiting(box.cx, pair, &pid);
	CHECK_STR(status_of(pid, "NoNewPrivs"), "1");
	CHECK_STR(status_of(pid, "Seccomp"), "2");
	kill(pid, SIGKILL);
	CHECK_INT(conex_job_wait(job, -1, &box.err), -EPIPE);
	SAID("conex-worker");
	conex_job_free(job);
	close(pair[0]);
	close(pair[1]);

	job = waiting(box.cx, pair, &pid);
	conex_job_free(job);            /* cancelled */
	CHECK(gone(pid));
	close(pair[0]);
	close(pair[1]);

	GOOD(conex_open(&(struct conex_options){ .size = sizeof(struct conex_options), .store = store }, &cx, &box.err));
	job = waiting(cx, pair, &pid);
	conex_close(cx);
	CHECK(gone(pid));
	CHECK(conex_job_wait(job, 0, &box.err) < 0);
	conex_job_free(job);
	close(pair[0]);
	close(pair[1]);
}

/* ---- deaths ---- */

TEST(killed)
{
	int left = -1;
	pid_t pid;

	CHECK_INT(brought("layout.tar", "app", NULL), 1);
	fflush(stdout);
	if ((pid = fork()) == 0) {
		struct conex_run_options o = { .size = sizeof o };
		struct conex_options where = { .size = sizeof where, .store = store };
		conex_container *c;
		conex *cx = NULL;

		if (conex_open(&where, &cx, NULL) == 0 && conex_run(cx, "app", CONEX_STRINGS("sleep 1000"), &o, &c, NULL) == 0)
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	waitpid(pid, &left, 0);
	CHECK(WIFSIGNALED(left));
	for (int i = 0; i < 200 && left; i++) {
		GOOD(conex_prune(box.cx, NULL, &box.err));
		left = image_snapshots() + image_leases();
		usleep(left ? 50000 : 0);
	}
	if (!CHECK_INT(left, 0))
		command("find %s/snapshots %s/leases /run/conex | head -40", store, store);
	GOOD(conex_image_delete(box.cx, "app", &box.err));
}

/* ---- the store as a whole ---- */

static conex *opened(const char *where)
{
	struct conex_options o = { .size = sizeof o, .store = where };
	conex *cx = NULL;

	GOOD(conex_open(&o, &cx, &box.err));
	return cx;
}

/* What nobody needs goes, also in a context that has asked for no image before; and where there is no store none is made. */
TEST(prunes)
{
	const char *stray = say("%s/blobs/sha256/%064d", store, 7), *none = say("%s/no-store", box.dir);
	uint64_t bytes = 77;
	conex *cx = opened(store);

	CHECK_INT(brought("layout.tar", "app", NULL), 1);
	CHECK_INT(command("head -c 10000 /dev/zero >%s", stray), 0);
	GOOD(conex_prune(cx, &bytes, &box.err));
	CHECK_INT(access(stray, F_OK), -1);
	CHECK(bytes >= 10000 && bytes < 100000);
	CHECK_INT(image_run("app", NULL, NULL), 0);
	GOOD(conex_prune(cx, &bytes, &box.err));
	CHECK_INT(bytes, 0);
	conex_close(cx);
	GOOD(conex_image_delete(box.cx, "app", &box.err));

	cx = opened(none);
	bytes = 77;
	GOOD(conex_prune(cx, &bytes, &box.err));
	CHECK_INT(bytes, 0);
	CHECK_INT(access(none, F_OK), -1);
	CHECK_INT(mkdir(none, 0700), 0);
	CHECK_INT(command("echo 'conex store 99' >%s/version", none), 0);
	CHECK_INT(conex_prune(cx, &bytes, &box.err), -EPROTONOSUPPORT);
	SAID("version conex store 99");
	conex_close(cx);
	CHECK_INT(command("rm -r %s", none), 0);
}

/* As find counts it. */
static uint64_t counted(const char *folder)
{
	CHECK_INT(command("find %s/%s -type f -printf '%%b\\n' | awk '{ n += $1 } END { print n * 512 }' >%s/counted", store, folder,
		box.dir), 0);
	return (uint64_t)atoll(content("%s/counted", box.dir));
}

TEST(usage)
{
	struct conex_store_usage u = { .size = sizeof u }, zero = u;
	const char *none = say("%s/no-store", box.dir);
	conex *cx = opened(none);

	u.blobs = 77;
	GOOD(conex_image_usage(cx, &u, &box.err));
	CHECK(memcmp(&u, &zero, sizeof u) == 0);
	CHECK_INT(access(none, F_OK), -1);
	conex_close(cx);

	cx = opened(store);
	CHECK_INT(brought("layout.tar", "one", NULL), 1);
	CHECK_INT(brought("layout", "two", NULL), 1);
	CHECK_INT(command("head -c 10000 /dev/zero >%s/ingest/sha256/%064d", store, 7), 0);
	CHECK_INT(command("head -c 5000 /dev/zero >%s/quarantine/x", store), 0);
	GOOD(conex_image_usage(cx, &u, &box.err));
	CHECK_INT(u.images, 2);
	CHECK_INT(u.blobs, 4);                  /* two layers, a config, a manifest */
	CHECK_INT(u.layers, 2);
	CHECK_INT(u.partial, 1);
	CHECK_INT(u.blob_bytes, counted("blobs"));
	CHECK_INT(u.partial_bytes, counted("ingest"));
	CHECK_INT(u.other_bytes, counted("quarantine"));
	CHECK(u.layer_bytes > 500000 && u.layer_bytes < 20000000);
	u.size = 8;
	CHECK_INT(conex_image_usage(cx, &u, &box.err), -EINVAL);
	CHECK_INT(command("rm %s/quarantine/x %s/ingest/sha256/*", store, store), 0);
	GOOD(conex_image_delete(cx, "one", &box.err));
	GOOD(conex_image_delete(cx, "two", &box.err));
	u.size = sizeof u;
	GOOD(conex_image_usage(cx, &u, &box.err));
	CHECK(memcmp(&u, &zero, sizeof u) == 0);
	conex_close(cx);
}

static void tests(void)
{
	struct conex_options where = { .size = sizeof where, .close_ms = 120000, .store = store };

	snprintf(store, sizeof store, "%s/store", box.dir);
	snprintf(archives, sizeof archives, "%s/archives", box.dir);
	mkdir(archives, 0755);
	CHECK_INT(command("/usr/bin/python3 %s/tests/system/image-archives.py /bin/busybox %s", getenv("CX_SRCDIR"), archives), 0);
	conex_close(box.cx);
	if (!GOOD(conex_open(&where, &box.cx, &box.err)))
		return;
	RUN(forms);
	RUN(chosen_by_name);
	RUN(bad_archives);
	RUN(containers);
	RUN(plans);
	RUN(options_refused);
	RUN(events);
	RUN(ends);
	RUN(killed);
	RUN(prunes);
	RUN(usage);
}

int main(void)
{
	return with_images(tests);
}
