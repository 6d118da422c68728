/* A store that somebody has been at: bytes that aren't what their names say, links and FIFOs in the place of files and
 * folders. What can be told is put aside or made anew; the rest is refused; nothing is followed, and nobody waits. */
#include "box.h"

#include "image/images.h"
#include "system/canary.h"
#include "system/image-make.h"

static char store[64], canary[64];
static char *canary_was;
static struct made_bytes layers[2];

static int ended(int r, conex_job *job)
{
	if (r == 0)
		r = conex_job_wait(job, -1, &box.err);
	return r;
}

static int bring(void)
{
	int fd = made_image("'Cmd':['/bin/sh','-c','cat /file']", layers, 2), r;
	conex_job *job = NULL;

	box_clear();
	r = conex_image_import(box.cx, fd, "app:1", NULL, &job, &box.err);
	close(fd);
	r = ended(r, job);
	conex_job_free(job);
	return r;
}

/* How many were broken. */
static int verify(void)
{
	conex_job *job = NULL;
	int r, n = 0;

	box_clear();
	r = conex_image_verify(box.cx, &job, &box.err);
	r = ended(r, job);
	if (r == 1)
		for (const char *at = conex_job_result(job); at && *at; at += strcspn(at, "\n"), at += *at == '\n')
			n += CHECK(!strncmp(at, "sha256:", 7));
	conex_job_free(job);
	return r < 0 ? r : n;
}

static int run(void)
{
	struct conex_run_options o = { .size = sizeof o, .out = CONEX_STDIO_PIPE, .timeout_ms = test_slow(60000) };
	conex_container *c = NULL;
	int status = -1, r;

	box_clear();
	r = conex_run(box.cx, "app:1", NULL, &o, &c, &box.err);
	if (r < 0)
		return r;
	GOOD(conex_container_output(c, -1, &box.io, &box.err));
	GOOD(conex_container_wait(c, -1, &status, &box.err));
	box_trim();
	box_end(c);
	return status;
}

static void same(void)
{
	char *now = tree_look(canary);

	CHECK_STR(now, canary_was);
	free(now);
}

/* A command on a path, which it may name three times: on nothing but the store's, or "rm -rf %s/root" would be root's home. */
static int spoiled(const char *how, const char *path)
{
	size_t n = strlen(store);

	return CHECK(n > 10 && !strncmp(path, store, n) && path[n] == '/') && CHECK_INT(command(how, path, path, path), 0);
}

/* The image is what it was, as it was. */
static void well(void)
{
	if (!CHECK_INT(bring(), 1))
		printf("# %s\n", conex_error_text(box.err));
	CHECK_INT(run(), 0);
	CHECK_STR(box.out, "contents");
	CHECK_INT(verify(), 0);
	GOOD(conex_prune(box.cx, NULL, &box.err));
	CHECK_INT(box_entries(say("%s/tmp", store)) + box_entries(say("%s/leases", store)), 0);
	same();
}

/* The manifest's, the config's, or a layer's blob: 0, 1, 2, 3. */
static const char *blob(int which)
{
	cx_autoimage i = { .parts = NULL };
	char text[CX_DIGEST_TEXT];

	if (!GOOD(cx_images_find(box.cx->store, "app:1", NULL, &i, &box.err)))
		return "";
	cx_digest_print(which == 0 ? &i.manifest : which == 1 ? &i.parts->config.digest : &i.parts->layers[which - 2].digest, text);
	return say("%s/blobs/sha256/%s", store, text + 7);
}

/* ---- blobs ---- */

static void broken(int which, const char *how)
{
	const char *path = blob(which);

	if (!spoiled(how, path))
		return;
	CHECK_INT(verify(), 1);
	CHECK(access(path, F_OK) < 0);
	CHECK_INT(box_entries(say("%s/quarantine", store)), 1);
	if (which < 2)
		CHECK(run() < 0);
	spoiled("rm -rf %s/* && test -d %s && test -d %s", say("%s/quarantine", store));
	well();
}

TEST(bytes)
{
	well();
	for (int which = 0; which < 4; which++) {
		broken(which, "chmod 600 %s && printf x | dd of=%s bs=1 conv=notrunc status=none && chmod 444 %s");
		broken(which, "chmod 600 %s && truncate -s -1 %s && test -f %s");
		broken(which, "chmod 600 %s && echo more >>%s && test -f %s");
	}
}

/* Opened by nobody: a FIFO keeps its reader waiting, a link leads elsewhere, what is huge is hashed for ever. */
TEST(no_files)
{
	for (int which = 0; which < 4; which += 3) {
		broken(which, "rm %s && mkfifo %s && test -p %s");
		broken(which, say("rm %%s && ln -s %s/file %%s && test -L %%s", canary));
		broken(which, "rm %s && mkdir %s && echo x >%s/y");
		broken(which, "rm %s && mknod %s c 1 5 && test -c %s");
		broken(which, "chmod 600 %s && truncate -s 2T %s && test -f %s");
	}
}

/* Before anybody has verified: an import doesn't believe what is there, either. */
TEST(unverified)
{
	const char *path = blob(0);

	if (!spoiled("rm %s && mkfifo %s && test -p %s", path))
		return;
	CHECK(run() < 0);
	SAID(strrchr(path, '/') + 1);
	CHECK_INT(verify(), 1);
	well();
}

/* ---- layers ---- */

static const char *top_layer(void)
{
	char names[2][CX_LAYER_NAME];
	cx_autoimage i = { .parts = NULL };

	if (!GOOD(cx_images_find(box.cx->store, "app:1", NULL, &i, &box.err))
	    || !CHECK_INT(cx_store_find_layers(box.cx->store, i.config->diff_ids, 2, names, &box.err), 2))
		return "";
	return say("%s/layers/%s", store, names[1]);
}

/* Never mounted; unpacked anew by the next import. */
static void no_layer(const char *how)
{
	const char *path = top_layer();
	int r;

	if (!spoiled(how, path))
		return;
	r = run();              /* without it, or with one that is unpacked anew */
	CHECK(r == -ENOENT || (r == 0 && !strcmp(box.out, "contents")));
	well();
}

TEST(no_layers)
{
	no_layer(say("mv %%s %s/moved && ln -s %s/moved %%s && test -L %%s", store, store));
	spoiled("rm -rf %s && test ! -e %s && test ! -e %s", say("%s/moved", store));
	no_layer(say("rm -rf %%s/root && ln -s %s %%s/root && test -L %%s/root", canary));
	no_layer("rm -rf %s/root && mkfifo %s/root && test -p %s/root");
	no_layer("rm %s/about && mkfifo %s/about && test -p %s/about");
	no_layer("rm %s/about && ln -s /etc/passwd %s/about && test -L %s/about");
	no_layer("echo nonsense >%s/about && test -f %s/about && test -f %s/about");
	no_layer("rm -rf %s && mkfifo %s && test -p %s");
}

/* ---- folders ---- */

static int reopen(void)
{
	struct conex_options where = { .size = sizeof where, .close_ms = 120000, .store = store };
	char **list = NULL;
	int r;

	conex_close(box.cx);
	box.cx = NULL;
	box_clear();
	if (!GOOD(conex_open(&where, &box.cx, &box.err)))
		return -1;
	r = conex_image_list(box.cx, &list, &box.err);
	free(list);
	return r;
}

static void refused(const char *spoil, const char *mend, int code, const char *word)
{
	CHECK_INT(command("cd %s && %s", store, spoil), 0);
	if (!CHECK_INT(reopen(), code))
		printf("# after %s\n", spoil);
	SAID(word);
	CHECK(run() < 0 && bring() < 0 && verify() < 0);
	same();
	CHECK_INT(command("cd %s && %s", store, mend), 0);
	CHECK_INT(reopen(), 1);
	CHECK_INT(run(), 0);
}

TEST(folders)
{
	static const char *const all[] = { "blobs", "blobs/sha256", "ingest", "ingest/sha256", "layers", "images", "leases", "quarantine", "tmp" };

	for (size_t i = 0; i < CX_ARRAY_SIZE(all); i++) {
		const char *f = all[i];

		refused(say("chmod 755 %s", f), say("chmod 700 %s", f), -EPERM, "chmod 700");
		refused(say("chown 12345 %s", f), say("chown 0 %s", f), -EPERM, "uid 12345");
		refused(say("mv %s moved && ln -s moved %s", f, f), say("rm %s && mv moved %s", f, f), -EPERM, f);
		refused(say("mv %s moved && mkfifo %s", f, f), say("rm %s && mv moved %s", f, f), -EPERM, f);
		refused(say("mv %s moved", f), say("mv moved %s", f), -ENOENT, f);
	}
	refused("chmod 777 .", "chmod 700 .", -EPERM, "chmod go-w");
	refused("echo conex store 9 >version", "echo conex store 1 >version", -EPROTONOSUPPORT, "version");
}

/* What may be made anew is. */
TEST(healed)
{
	const char *const odd[] = { "rm version", "rm version; mkfifo version", "mkfifo leases/p-0000000000000000", say("ln -s %s/file leases/b-0123456789abcdef", canary),
		"mkfifo tmp/x", say("ln -s %s tmp/trash-1", canary), "mkfifo ingest/sha256/" "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"mkfifo blobs/sha256/nonsense", say("ln -s %s images/x", canary), "mkfifo images/y", "mkfifo layers/nonsense", say("ln -s %s layers/other", canary),
		"rm -f lock gate" };

	for (size_t i = 0; i < CX_ARRAY_SIZE(odd); i++) {
		CHECK_INT(command("cd %s && %s", store, odd[i]), 0);
		if (!(CHECK_INT(reopen(), 1) & GOOD(conex_prune(box.cx, NULL, &box.err)) & CHECK_INT(run(), 0)))
			printf("# after %s: %s\n", odd[i], conex_error_text(box.err));
		same();
	}
	/* no names of ours: nobody reads them, nobody removes them */
	CHECK_INT(command("cd %s/leases && rm -f p-0000000000000000 b-0123456789abcdef", store), 0);
	well();
}

/* ---- */

static void make_layers(void)
{
	static char program[3 << 20];
	int fd = open("/bin/busybox", O_RDONLY | O_CLOEXEC);
	ssize_t size = read(fd, program, sizeof program);

	close(fd);
	layers[0] = made_layer((struct made_entry[]){ { "bin", 'd', NULL, 0, 0 }, { "dev", 'd', NULL, 0, 0 }, { "proc", 'd', NULL, 0, 0 },
		{ "sys", 'd', NULL, 0, 0 }, { "bin/sh", 'f', program, 0, size > 0 ? (size_t)size : 0 }, { "bin/cat", 'l', "sh", 0, 0 }, { NULL, 0, NULL, 0, 0 } });
	layers[1] = made_layer((struct made_entry[]){ { "file", 'f', "contents\n", 0, 0 }, { NULL, 0, NULL, 0, 0 } });
}

static void tests(void)
{
	struct conex_options where = { .size = sizeof where, .close_ms = 120000, .store = store };

	snprintf(store, sizeof store, "%s/store", box.dir);
	snprintf(canary, sizeof canary, "%s/canary", box.dir);
	canary_make(canary);
	canary_was = tree_look(canary);
	make_layers();
	conex_close(box.cx);
	if (!GOOD(conex_open(&where, &box.cx, &box.err)))
		return;
	RUN(bytes);
	RUN(no_files);
	RUN(unverified);
	RUN(no_layers);
	RUN(folders);
	RUN(healed);
	free(canary_was);
	free((void *)layers[0].bytes);
	free((void *)layers[1].bytes);
}

int main(void)
{
	return with_images(tests);
}
