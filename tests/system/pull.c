/* Pulls through the public API: what comes is what is there, and every one that can't end well says why. pull-deaths.c kills
 * them. */
#include "pull.h"

/* The first line of `digest` is "1"'s, the second "index"'s. */
static const char *digest_of(int line)
{
	const char *text = content("%s/layout/digest", box.dir);

	return text ? say("%.71s", text + 72 * line) : "";
}

static int ran(const char *image)
{
	struct conex_run_options o = { .size = sizeof o, .out = CONEX_STDIO_PIPE, .err = CONEX_STDIO_OUT };
	conex_container *c = NULL;
	int status = -1, r;

	box_clear();
	r = conex_run(box.cx, image, CONEX_STRINGS("cat", "/small"), &o, &c, &box.err);
	if (r < 0)
		return r;
	GOOD(conex_container_output(c, -1, &box.io, &box.err));
	GOOD(conex_container_wait(c, -1, &status, &box.err));
	box_trim();
	box_end(c);
	return status;
}

static void says(int r, int code, const char *text, const char *what)
{
	const char *is = r < 0 ? conex_error_text(box.err) : "it went well";

	CHECK_INT(r, code);
	if (r != code || !CHECK(strstr(is, text) != NULL))
		printf("# %s: %s\n", what, is);
	CHECK(strpbrk(is, "\n\033") == NULL);
}

/* ---- what ends well ---- */

TEST(pulled)
{
	char **list = NULL, *json = NULL;

	CHECK_INT(pulled(named("good", "1"), PLAIN(.data = NULL)), 1);
	CHECK(is_whole());
	CHECK_INT(leftovers(), 0);
	CHECK(pulls.last.done_layers == 4 && pulls.last.total_layers == 4);
	CHECK(pulls.last.done_bytes == pulls.last.total_bytes && pulls.last.done_bytes > 1990000);
	CHECK(pulls.last.unpacked_bytes > 2 * 900000);
	CHECK_INT(asked(say("GET /v2/good/blobs/sha256:%s", large(1))), 2);     /* the reference's and this one */
	CHECK_INT(conex_image_list(box.cx, &list, &box.err), 1);
	CHECK(list && !strcmp(list[0], named("good", "1")));
	free(list);
	GOOD(conex_image_json(box.cx, named("good", "1"), &json, &box.err));
	CHECK(json && strstr(json, digest_of(0)));
	free(json);
	CHECK_INT(ran(named("good", "1")), 0);
	CHECK_STR(box.out, "x");
}

TEST(only_what_is_missing)
{
	forget_log();
	CHECK_INT(pulled(named("good", "1"), PLAIN(.data = NULL)), 1);
	CHECK_INT(asked("blobs"), 0);
	CHECK_INT(asked("manifests"), 1);
	CHECK_INT(pulled(named("good", "1"), NOT_NEWER), 1);
	CHECK_INT(asked("manifests"), 1);               /* nobody was asked */
	CHECK_INT(pulled(named("good", "index"), PLAIN(.data = NULL)), 1);
	CHECK_INT(asked("blobs"), 0);                   /* another name of it */
	/* a layer that somebody removed is unpacked again, a blob is brought again: who has both is asked for nothing */
	CHECK_INT(command("rm -rf \"$(ls -d %s/layers/* | head -1)\"", pulls.store), 0);
	CHECK_INT(pulled(named("good", "1"), NOT_NEWER), 1);
	CHECK_INT(asked("blobs"), 0);
	CHECK_INT(unlink(say("%s/blobs/sha256/%s", pulls.store, large(2))), 0);
	CHECK_INT(pulled(named("good", "1"), NOT_NEWER), 1);
	CHECK_INT(asked("blobs"), 1);
	GOOD(conex_image_delete(box.cx, named("good", "index"), &box.err));
	CHECK(is_whole());
	empty_store();
}

TEST(by_digest)
{
	char **list = NULL;

	CHECK_INT(pulled(named("good", say("@%s", digest_of(0))), PLAIN(.data = NULL)), 1);
	CHECK(is_whole());
	CHECK_INT(ran(named("good", say("@%s", digest_of(0)))), 0);
	CHECK_INT(pulled(named("good", say("@%s", digest_of(1))), PLAIN(.data = NULL)), 1);
	CHECK_INT(ran(named("good", say("@%s", digest_of(1)))), 0);
	CHECK_INT(conex_image_list(box.cx, &list, &box.err), 2);
	free(list);
	empty_store();
	says(pulled(named("changed", say("@%s", digest_of(0))), PLAIN(.data = NULL)), -EBADMSG, "not what was asked for", "changed");
	empty_store();
}

TEST(options)
{
	conex_job *job = NULL;
	char *json = NULL;

	says(pulled(named("good", "other"), PLAIN(.data = NULL)), -ENOENT, "", "another machine's");
	says(pulled(named("good", "index"), PLAIN(.platform = "linux/s390x")), -ENOENT, "s390x", "none for it");
	box_clear();
	says(conex_image_pull(box.cx, named("good", "index"), PLAIN(.platform = "?"), &job, &box.err), -EINVAL, "platform", "no platform");
	says(conex_image_pull(box.cx, "No Name", NULL, &job, &box.err), -EINVAL, "No Name", "no name");
	says(conex_image_pull(box.cx, "x", &(struct conex_image_options){ .size = sizeof(struct conex_image_options),
		.flags = 1U << 20 }, &job, &box.err), -EINVAL, "conex_image_options.flags", "flags");
	says(conex_image_pull(box.cx, "x", PLAIN(.user = "u"), &job, &box.err), -EINVAL, "conex_image_options.password", "password");
	CHECK_INT(pulled(named("good", "index"), PLAIN(.platform = strstr(content("%s/layout/index.json", box.dir),
		"\"architecture\": \"amd64\"") ? "linux/arm64" : "linux/amd64")), 1);
	GOOD(conex_image_json(box.cx, named("good", "index"), &json, &box.err));        /* the one that was asked for */
	CHECK(json && strstr(json, "\"layers\": 1"));
	free(json);
	CHECK_INT(leftovers(), 0);
	empty_store();
}

TEST(faults_that_pass)
{
	static const char *const faults[] = { "drop", "no-ranges", "refuses-ranges", "small-parts", "until-close", "chunks", "flaky",
		"throttle", "weary", "together", "digest-none", "redirect-5", "token", "token-short", "slow" };
	static const char *const users[] = { "basic", "basic-drop", "redirect", "token-user", "token-elsewhere" };

	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		int r = pulled(named(faults[i], "1"), PLAIN(.data = NULL));

		if (!CHECK_INT(r, 1) || !CHECK(is_whole()) || !CHECK_INT(leftovers(), 0))
			printf("# %s: %s\n", faults[i], r < 0 ? conex_error_text(box.err) : "");
		CHECK(pulls.last.done_bytes <= pulls.last.total_bytes);
		empty_store();
	}
	for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
		CHECK_INT(pulled(named(users[i], "1"), PLAIN(.user = "user", .password = "pass")), 1);
		CHECK(is_whole());
		empty_store();
	}
	CHECK_INT(asked("LEAK"), 0);
	CHECK_INT(pulled(named("good", "1"), PLAIN(.mirrors = CONEX_STRINGS("http://127.0.0.1:1"))), 1);
	CHECK(is_whole());
	empty_store();
}

/* ---- what ends badly ---- */

struct bad { const char *fault; int code; const char *text; };

static void check_empty(const char *what)
{
	char **list = NULL;

	if (!CHECK_INT(conex_image_list(box.cx, &list, &box.err), 0) || !CHECK(is_sound())
	    || !CHECK_INT(box_entries(say("%s/tmp", pulls.store)) + box_entries(say("%s/leases", pulls.store)), 0))
		printf("# %s\n", what);
	free(list);
}

/* Before there is anything to bring: all at once. */
TEST(bad_manifests)
{
	static const struct bad bad[] = {
		{ "digest-lie", -EBADMSG, "not what its Docker-Content-Digest says" }, { "digest-bad", -EPROTO, "is no digest" },
		{ "changed", -EBADMSG, "what came is sha256" }, { "html", -EPROTO, "a page of HTML" }, { "html404", -ENOENT, "HTTP 404" },
		{ "steer", -ENOENT, "HTTP 404" }, { "empty", -EPROTO, "no JSON" }, { "gzip", -EPROTO, "encoded" },
		{ "endless-headers", -EPROTO, "longer than 64 KiB" }, { "endless-body", -EFBIG, "larger than it may be" },
		{ "loop", -ELOOP, "more than 5 redirects" }, { "to-file", -EINVAL, "isn't a URL" }, { "to-nowhere", -EPROTO, "without a Location" },
		{ "garbage", -EPROTO, "GET manifest 1" }, { "dead", -EREMOTEIO, "the disk is full" }, { "denied", -EACCES, "not yours" },
		{ "throttle-long", -EAGAIN, "come back in 3600 seconds" }, { "missing", -ENOENT, "MANIFEST_UNKNOWN" },
		{ "mute", -EACCES, "401" }, { "basic", -EACCES, "log in: no user and password" }, { "token-garbage", -EPROTO, "no usable token" },
	};
	conex_job *jobs[sizeof bad / sizeof *bad];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		jobs[i] = begin_pull(box.cx, named(bad[i].fault, "1"), PLAIN(.data = NULL));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		box_clear();
		says(jobs[i] ? conex_job_wait(jobs[i], -1, &box.err) : 0, bad[i].code, bad[i].text, bad[i].fault);
		CHECK(strstr(conex_error_text(box.err), bad[i].fault) || bad[i].code == -ELOOP);
		conex_job_free(jobs[i]);
	}
	check_empty("manifests");
}

TEST(bad_blobs)
{
	static const struct bad bad[] = {
		{ "corrupt", -EBADMSG, "isn't what the manifest names" }, { "more", -EFBIG, "more than the manifest's size" },
		{ "less", -ENODATA, "its answer ends after" }, { "length", -EPROTO, "the manifest's size is" },
		{ "range-start", -EPROTO, "asked for the bytes from" }, { "range-total", -EPROTO, "Content-Range" },
		{ "range-none", -EPROTO, "without a Content-Range" }, { "redirect-6", -ELOOP, "more than 5 redirects" },
		{ "blob-missing", -ENOENT, "BLOB_UNKNOWN" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		says(pulled(named(bad[i].fault, "1"), PLAIN(.data = NULL)), bad[i].code, bad[i].text, bad[i].fault);
		check_empty(bad[i].fault);
		empty_store();
	}
	says(pulled("127.0.0.1:1/nobody", PLAIN(.data = NULL)), -ECONNREFUSED, "127.0.0.1:1", "nobody there");
	says(pulled("127.0.0.1:1/nobody", NULL), -ECONNREFUSED, "127.0.0.1:1", "nobody there");
	says(pulled(named("good", "1"), NULL), -EPROTO, "plain HTTP", "plain HTTP isn't spoken by itself");
}

/* Every digest is right, and yet. */
TEST(bad_images)
{
	static const struct bad bad[] = {
		{ "bomb", -E2BIG, "limit" }, { "diff-id", -EBADMSG, "diff-id" }, { "no-tar", -EBADMSG, "layer" }, { "no-gzip", -EBADMSG, "layer" },
		{ "upwards", -EINVAL, ".." }, { "fewer", -EINVAL, "layers" }, { "size", -EPROTO, "manifest's size" },
		{ "index-size", -EBADMSG, "bytes" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		says(pulled(named("good", bad[i].fault), PLAIN(.max_bytes = 100 << 20)), bad[i].code, bad[i].text, bad[i].fault);
		check_empty(bad[i].fault);
		empty_store();
	}
	CHECK_INT(access(say("%s/escaped", box.dir), F_OK), -1);
}

/* ---- what earlier pulls left ---- */

static void leave(int n, int bytes, int wrong)
{
	command("head -c %d %s/layout/blobs/sha256/%s >%s/ingest/sha256/%s", bytes, box.dir, large(n), pulls.store, large(n));
	if (wrong)
		CHECK_INT(command("printf '\\377\\377\\377' | dd of=%s/ingest/sha256/%s bs=1 seek=%d conv=notrunc status=none", pulls.store,
			large(n), wrong), 0);
}

TEST(resumed)
{
	forget_log();
	leave(1, 300000, 0);
	leave(2, 903031, 0);            /* all of it: killed before it had its name */
	CHECK_INT(pulled(named("good", "1"), PLAIN(.data = NULL)), 1);
	CHECK(is_whole());
	CHECK_INT(asked(say("%s - bytes=300000-$", large(1))), 1);
	CHECK_INT(asked(large(1)), 1);
	CHECK_INT(asked(large(2)), 0);
	CHECK(pulls.last.done_bytes < 2000000 - 300000 - 903031 && pulls.last.done_bytes == pulls.last.total_bytes);
	empty_store();

	forget_log();                   /* where it is wrong, unpacking fails before the digest could be compared */
	leave(1, 300000, 1);
	leave(2, 500000, 400000);
	CHECK_INT(pulled(named("good", "1"), PLAIN(.data = NULL)), 1);
	CHECK(is_whole());
	CHECK_INT(asked(say("%s - bytes=300000-$", large(1))), 1);
	CHECK_INT(asked(say("%s - -$", large(1))), 1);
	CHECK_INT(asked(say("%s - -$", large(2))), 1);
	empty_store();

	leave(1, 300000, 200000);       /* once more, not for ever */
	says(pulled(named("corrupt", "1"), PLAIN(.data = NULL)), -EBADMSG, "isn't what the manifest names", "corrupt");
	check_empty("corrupt");
	empty_store();

	command("head -c 3000000 /dev/zero >%s/ingest/sha256/%s", pulls.store, large(1));       /* longer than it can be */
	CHECK_INT(pulled(named("good", "1"), PLAIN(.data = NULL)), 1);
	CHECK(is_whole());
	CHECK_INT(leftovers(), 0);
	empty_store();
}

/* ---- containers of what isn't there ---- */

TEST(run_missing)
{
	char certs[128], name[64];
	struct conex_event ev = { .size = sizeof ev };
	conex_plan *plan = NULL;

	snprintf(certs, sizeof certs, "%s/home/.config/containers/certs.d/127.0.0.1:%d", box.dir, pulls.https);
	snprintf(name, sizeof name, "127.0.0.1:%d/good:1", pulls.https);
	says(ran(name), -EKEYREJECTED, "certs.d", "who knows whose certificate");
	says(ran(named("good", "1")), -EPROTO, "plain HTTP", "no option of a container's allows it");
	says(ran("127.0.0.1:1/nobody"), -ECONNREFUSED, "127.0.0.1:1", "nobody there");
	CHECK_INT(command("mkdir -p %s && cp %s/server.crt %s/ca.crt", certs, box.dir, certs), 0);
	says(ran(say("127.0.0.1:%d/missing:1", pulls.https)), -ENOENT, "MANIFEST_UNKNOWN", "missing");
	check_empty("missing");
	CHECK_INT(ran(name), 0);
	CHECK_STR(box.out, "x");
	CHECK(is_whole());
	forget_log();
	CHECK_INT(ran(name), 0);
	CHECK_INT(asked("v2"), 0);      /* it is there now */
	empty_store();
	box_clear();
	GOOD(conex_plan_new(box.cx, name, CONEX_STRINGS("true"), NULL, &plan, &box.err));
	conex_plan_free(plan);
	CHECK(is_whole());
	while (conex_next_event(box.cx, 0, &ev, &box.err) > 0)
		CHECK(ev.type != CONEX_EVENT_JOB);      /* of a job that nobody began */
	CHECK_INT(leftovers(), 0);
	empty_store();
}

static void tests(void)
{
	if (pull_box()) {
		RUN(pulled);
		RUN(only_what_is_missing);
		RUN(by_digest);
		RUN(options);
		RUN(faults_that_pass);
		RUN(bad_manifests);
		RUN(bad_blobs);
		RUN(bad_images);
		RUN(resumed);
		RUN(run_missing);
	}
	pull_unbox();
}

PULL_MAIN(tests)
