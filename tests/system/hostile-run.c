/* Containers of hostile images: users out of files that are none, ways that lead out, programs that aren't there, layers that
 * turn what is below them into something else. Each is refused with a word that says what, or does what it would if all of
 * it were honest; and the host's files are as they were. */
#include "box.h"

#include "image/worker/unpack.h"
#include "system/canary.h"
#include "system/image-make.h"

static char store[64], canary[64];
static char *canary_was;
static struct made_bytes base;

/* ---- the frame ---- */

static int bring(int fd)
{
	conex_job *job = NULL;
	int r;

	box_clear();
	r = conex_image_import(box.cx, fd, "hostile:1", NULL, &job, &box.err);
	close(fd);
	if (r == 0)
		r = conex_job_wait(job, -1, &box.err);
	conex_job_free(job);
	return r;
}

/* The base, with these entries above it. */
static int image(const char *config, const struct made_entry *entries)
{
	struct made_bytes layers[2] = { base, { NULL, 0 } };
	int r;

	if (entries)
		layers[1] = made_layer(entries);
	r = bring(made_image(config, layers, entries ? 2 : 1));
	free((void *)layers[1].bytes);
	return r;
}
#define ABOVE(...) (const struct made_entry[]){ __VA_ARGS__, { NULL, 0, NULL, 0, 0 } }

static int start(const struct conex_run_options *given)
{
	struct conex_run_options o = { .size = sizeof o };
	conex_container *c = NULL;
	int status = -1, r;

	if (given)
		o = *given;
	o.size = sizeof o;
	o.out = CONEX_STDIO_PIPE;
	o.err = CONEX_STDIO_OUT;
	o.timeout_ms = test_slow(60000);        /* or we would wait for what waits for a FIFO */
	box_clear();
	r = conex_run(box.cx, "hostile:1", NULL, &o, &c, &box.err);
	if (r < 0)
		return r;
	GOOD(conex_container_output(c, -1, &box.io, &box.err));
	GOOD(conex_container_wait(c, -1, &status, &box.err));
	box_trim();
	box_end(c);
	return status;
}

/* Whatever it was: nothing of it stays, and nothing outside has changed. */
static void forget(void)
{
	char *now = tree_look(canary);

	CHECK_STR(now, canary_was);
	free(now);
	GOOD(conex_image_delete(box.cx, "hostile:1", &box.err));
	CHECK_INT(box_entries(say("%s/leases", store)) + box_entries(say("%s/tmp", store)), 0);
	CHECK(box_entries(say("%s/snapshots", store)) <= 1);            /* the mark */
	CHECK_INT(box_entries(say("%s/layers", store)), 0);
	CHECK_INT(command("grep -q %s /proc/self/mountinfo", store), 256);
}

/* An image, run: its status and what it says; or a refusal and a word of it. */
static void ends(const char *config, const struct made_entry *entries, int want, const char *says)
{
	if (!CHECK_INT(image(config, entries), 1)) {
		printf("# %s\n", conex_error_text(box.err));
		return;
	}
	if (!CHECK_INT(start(NULL), want))
		printf("# %s: %s%s\n", config, conex_error_text(box.err), box.out);
	else if (want < 0)
		SAID(says);
	else
		CHECK_STR(box.out, says);
	forget();
}

/* One that doesn't come in at all. */
static void refused(const char *config, const char *says)
{
	char *json = NULL;

	CHECK_INT(image(config, NULL), -EINVAL);
	SAID(says);
	CHECK_INT(conex_image_json(box.cx, "hostile:1", &json, NULL), -ENOENT);
	GOOD(conex_prune(box.cx, NULL, &box.err));
	CHECK_INT(box_entries(say("%s/layers", store)) + box_entries(say("%s/blobs/sha256", store)), 0);
}

#define SH(line) "'Entrypoint':['/bin/sh','-c'],'Cmd':['" line "']"
#define AS(user) SH("stat -c %u:%g /proc/self/") ",'User':'" user "'"

/* ---- users ---- */

TEST(users)
{
	static char large[(1 << 20) + 100];

	memset(large, '\n', sizeof large - 1);
	memcpy(large, "server:x:1:1", 12);
	ends(AS("server"), NULL, 0, "77:78");
	ends(AS("server:wheel"), NULL, 0, "77:10");
	ends(AS("77"), NULL, 0, "77:0");
	ends(AS("digits"), ABOVE({ "etc/passwd", 'f', "77:x:0:0::/:\ndigits:x:5:6::/:", 0644, 0 }), 0, "5:6");
	ends(AS("77"), ABOVE({ "etc/passwd", 'f', "77:x:0:0::/:\ndigits:x:5:6::/:", 0644, 0 }), 0, "77:0");
	ends(AS("ghost"), NULL, -ENOENT, "user = ghost");
	ends(AS("server"), ABOVE({ "etc/passwd", 'f', large, 0644, 0 }), -EFBIG, "1 MiB");
	ends(AS("server"), ABOVE({ "etc/passwd", 'f', "a\0b\nserver:x:1:1::", 0644, 18 }), -ENOENT, "user = server");
	ends(AS("server"), ABOVE({ "etc/passwd", 'f', "server:x:4294967296:0::", 0644, 0 }), -ENOENT, "user = server");
	ends(AS("server"), ABOVE({ "etc/passwd", 'f', "server:x:4294967295:0::", 0644, 0 }), -ENOENT, "user = server");
	ends(AS("server"), ABOVE({ "etc/passwd", 'f', "server:x:-1:0::", 0644, 0 }), -ENOENT, "user = server");
	ends(AS("server"), ABOVE({ "etc/passwd", 'f', "server:x::", 0644, 0 }), -ENOENT, "user = server");
	ends(AS("server"), ABOVE({ "etc/passwd", 'f', "server", 0644, 0 }), -ENOENT, "user = server");
	ends(AS("server"), ABOVE({ "etc/passwd", 'f', "", 0644, 0 }), -ENOENT, "user = server");
	ends(AS("server:wheel"), ABOVE({ "etc/group", 'f', "wheel:x:99999999999:", 0644, 0 }), -ENOENT, "user = server:wheel");
	ends(AS("server:wheel"), ABOVE({ "etc/group", 'p', NULL, 0644, 0 }), -EINVAL, "user = server:wheel");
}

/* What isn't a file isn't opened: a FIFO would keep us waiting, a device do something. */
TEST(users_files)
{
	const char *there = say("%s/passwd", canary);

	ends(AS("server"), ABOVE({ "etc/passwd", 'p', NULL, 0644, 0 }), -EINVAL, "user = server");
	ends(AS("server"), ABOVE({ "etc/passwd", 'c', NULL, 0644, 0 }), -EINVAL, "user = server");
	ends(AS("server"), ABOVE({ "etc/passwd", 'd', NULL, 0755, 0 }), -EINVAL, "user = server");
	ends(AS("ghost"), ABOVE({ "etc/passwd", 'l', there, 0, 0 }), -ENOENT, "user = ghost");
	ends(AS("ghost"), ABOVE({ "etc/passwd", 'l', say("../../../../..%s", there), 0, 0 }), -ENOENT, "user = ghost");
	ends(AS("ghost"), ABOVE({ "etc", 'l', canary, 0, 0 }), -ENOENT, "user = ghost");
	ends(AS("ghost"), ABOVE({ "etc", 'l', say("/proc/self/root%s", canary), 0, 0 }), -ENOENT, "user = ghost");
	ends(AS("server"), ABOVE({ "etc/passwd", 'l', "passwd", 0, 0 }), -ELOOP, "user = server");
	ends(AS("root"), ABOVE({ "etc/passwd", 'l', "/etc/shadow", 0, 0 }), -ENOENT, "user = root");
}

/* As a container sees them: through all layers, and what one of them takes away is away. */
TEST(users_layers)
{
	ends(AS("server"), ABOVE({ "etc/.wh.passwd", 'f', "", 0644, 0 }), -ENOENT, "user = server");
	ends(AS("server"), ABOVE({ "etc/.wh..wh..opq", 'f', "", 0644, 0 }), -ENOENT, "user = server");
	ends(AS("server"), ABOVE({ ".wh.etc", 'f', "", 0644, 0 }), -ENOENT, "user = server");
	ends(AS("server"), ABOVE({ "etc/group", 'f', "wheel:x:11:", 0644, 0 }), 0, "77:78");
	ends(AS("server:wheel"), ABOVE({ "etc/passwd", 'f', "server:x:1:2::", 0644, 0 }), 0, "1:10");
	ends(AS("server:wheel"), ABOVE({ "etc/group", 'f', "wheel:x:11:", 0644, 0 }), 0, "77:11");
	ends(AS("server"), ABOVE({ "etc/passwd", 'l', "../srv/users", 0, 0 }), 0, "5:6");
	ends(AS("server"), ABOVE({ "etc", 'l', "srv/etc", 0, 0 }), 0, "7:8");
	ends(AS("server"), ABOVE({ "etc", 'l', "/srv/link", 0, 0 }), 0, "7:8");
	ends(AS("server"), ABOVE({ "etc", 'f', "", 0644, 0 }), -ENOTDIR, "user = server");
}

/* ---- what is run, and where ---- */

TEST(programs)
{
	ends("'Entrypoint':['/bin/none']", NULL, -ENOENT, "/bin/none");
	ends("'Entrypoint':['none']", NULL, -ENOENT, "none");
	ends("'Entrypoint':['/srv']", NULL, -EACCES, "/srv");
	ends("'Entrypoint':['/srv/x']", ABOVE({ "srv/x", 'p', NULL, 0755, 0 }), -EACCES, "/srv/x");
	ends("'Entrypoint':['/srv/x']", ABOVE({ "srv/x", 'f', "#!/bin/sh", 0644, 0 }), -EACCES, "/srv/x");
	ends("'Entrypoint':['/srv/x']", ABOVE({ "srv/x", 'f', "noise", 0755, 0 }), -ENOEXEC, "/srv/x");
	ends("'Entrypoint':['/srv/x']", ABOVE({ "srv/x", 'f', "#!/bin/none\n", 0755, 0 }), -ENOENT, "/srv/x");
	ends("'Entrypoint':['/srv/x']", ABOVE({ "srv/x", 'l', "x", 0, 0 }), -ELOOP, "/srv/x");
	ends("'Entrypoint':['/srv/x']", ABOVE({ "srv/x", 'l', say("%s/file", canary), 0, 0 }), -ENOENT, "/srv/x");
	ends("'Entrypoint':['']", NULL, -EINVAL, "args[0]");
	ends("", NULL, -EINVAL, "no Entrypoint and no Cmd");
	refused(SH("true") ",'Env':['PATH']", "config.Env[0] = PATH");
	refused(SH("true") ",'StopSignal':'SIGNONSENSE'", "config.StopSignal = SIGNONSENSE");
	refused(SH("true") ",'StopSignal':'99'", "config.StopSignal = 99");
	refused(SH("true") ",'Volumes':{'/../etc':{}}", "config.Volumes");
	refused(SH("true") ",'Volumes':{'..':{}}", "config.Volumes");
	refused(SH("true") ",'WorkingDir':'/a/../../etc'", "config.WorkingDir");
}

TEST(places)
{
	ends(SH("pwd") ",'WorkingDir':'/srv/link'", NULL, 0, "/srv/etc");
	ends(SH("pwd; ls -A") ",'WorkingDir':'/w'", ABOVE({ "w", 'l', canary, 0, 0 }), -EEXIST, "/w");
	ends(SH("pwd; ls -A") ",'WorkingDir':'/w'", ABOVE({ "w", 'l', "../../../..", 0, 0 }, { ".wh.srv", 'f', "", 0, 0 }, { ".wh.usr", 'f',
		"", 0, 0 }), 0, "/\nbin\ndev\netc\nproc\nroot\nsys\ntmp\nw");
	for (int fd = 3; fd < 12; fd++) {       /* one that is open, or not: never what it leads to */
		int r;

		CHECK_INT(image(say(SH("pwd") ",'WorkingDir':'/proc/self/fd/%d'", fd), NULL), 1);
		r = start(NULL);
		CHECK(r == -ELOOP || r == -ENOENT);
		SAID("process.cwd");
		forget();
	}
	ends(SH("pwd") ",'WorkingDir':'/srv/users'", NULL, -ENOTDIR, "/srv/users");
	ends(SH("echo well") ",'Volumes':{'/':{},'/proc':{},'/new':{}}", NULL, 0, "well");
}

static const char labels_line[] = SH("echo labelled");

TEST(labels)
{
	cx_autostr config = { .data = NULL };
	char *json = NULL;

	cx_str_addf(&config, "%s,'Labels':{", labels_line);
	for (int i = 0; i < 10000; i++)
		cx_str_addf(&config, "%s'label.%d':'%d'", i ? "," : "", i, i);
	cx_str_addf(&config, "}");
	CHECK_INT(image(config.data, NULL), 1);
	GOOD(conex_image_json(box.cx, "hostile:1", &json, &box.err));
	CHECK(json && strstr(json, "label.9999"));
	free(json);
	CHECK_INT(start(NULL), 0);
	CHECK_STR(box.out, "labelled");
	forget();
}

/* ---- what lies where a container has its own ---- */

/* /dev, /proc, /sys and their mounts are made in the container, whatever an image has there; or it is refused. */
TEST(traps)
{
	static const char *const names[] = { "dev", "proc", "sys", "dev/pts", "dev/shm", "dev/null", "dev/console", "tmp" };
	const char *targets[] = { canary, say("../../../..%s", canary), "/proc/self/root/etc", "bin/busybox" };

	for (size_t i = 0; i < CX_ARRAY_SIZE(names); i++)
		for (size_t k = 0; k < CX_ARRAY_SIZE(targets); k++) {
			int r;

			CHECK_INT(image(SH("echo lives"), ABOVE({ names[i], 'l', targets[k], 0, 0 })), 1);
			r = start(NULL);
			if (!CHECK(r == 0 || (r < 0 && *conex_error_text(box.err))))
				printf("# %s -> %s: %d %s\n", names[i], targets[k], r, box.out);
			else if (r == 0)
				CHECK_STR(box.out, "lives");
			forget();
		}
}

/* The layer above hides, replaces, and links; the container sees what it should, and writes into its own layer alone. */
TEST(layers)
{
	ends(SH("ls -A /; cat /srv/users"), ABOVE({ ".wh..wh..opq", 'f', "", 0, 0 }, { "only", 'f', "x", 0, 0 }), -ENOENT, "/bin/sh");
	ends(SH("ls -A /srv"), ABOVE({ "srv/.wh..wh..opq", 'f', "", 0, 0 }, { "srv/new", 'f', "x", 0, 0 }), 0, "new");
	ends(SH("test -L /srv && echo link"), ABOVE({ "srv", 'l', canary, 0, 0 }), 0, "link");
	ends(SH("echo x >/srv/users; echo y >>/srv/hard; cat /srv/users /srv/hard"), NULL, 0, "x\nserver:x:5:6::\ny");
	ends(SH("stat -c %a:%u /"), ABOVE({ ".", 'd', NULL, 01711, 0 }), 0, "1711:0");
	ends(SH("mkdir /l/sub; echo x >/l/file; ls /l"), ABOVE({ "l", 'l', canary, 0, 0 }), 1, say("mkdir: can't create directory '/l/sub': No such file or directory\n"
		"/bin/sh: can't create /l/file: nonexistent directory\nls: /l: No such file or directory"));
}

/* ---- */

static void make_base(void)
{
	static const char *const links[] = { "bin/sh", "bin/id", "bin/ls", "bin/cat", "bin/stat", "bin/pwd", "bin/mkdir", "bin/true", "bin/test" };
	static char program[3 << 20];
	struct made_entry e[40] = { { "bin", 'd', NULL, 0, 0 }, { "dev", 'd', NULL, 0, 0 }, { "etc", 'd', NULL, 0, 0 }, { "proc", 'd', NULL, 0, 0 },
		{ "root", 'd', NULL, 0, 0 }, { "sys", 'd', NULL, 0, 0 }, { "tmp", 'd', NULL, 01777, 0 }, { "srv", 'd', NULL, 0, 0 }, { "usr", 'd', NULL, 0, 0 },
		{ "etc/passwd", 'f', "root:x:0:0::/root:/bin/sh\nserver:x:77:78::/srv:/bin/sh\n", 0644, 0 },
		{ "etc/group", 'f', "root:x:0:\nwheel:x:10:server\nserver:x:78:\n", 0644, 0 }, { "srv/users", 'f', "server:x:5:6::\n", 0644, 0 },
		{ "srv/hard", 'h', "srv/users", 0, 0 }, { "srv/etc/passwd", 'f', "server:x:7:8::\n", 0644, 0 }, { "srv/link", 'l', "etc", 0, 0 } };
	int fd = open("/bin/busybox", O_RDONLY | O_CLOEXEC), n = 15;
	ssize_t size = read(fd, program, sizeof program);

	close(fd);
	e[n++] = (struct made_entry){ "bin/busybox", 'f', program, 0755, size > 0 ? (size_t)size : 0 };
	for (size_t i = 0; i < CX_ARRAY_SIZE(links); i++)
		e[n++] = (struct made_entry){ links[i], 'l', "busybox", 0, 0 };
	base = made_layer(e);
}

static void tests(void)
{
	struct conex_options where = { .size = sizeof where, .close_ms = 120000, .store = store };

	snprintf(store, sizeof store, "%s/store", box.dir);
	snprintf(canary, sizeof canary, "%s/canary", box.dir);
	canary_make(canary);
	make_file(say("%s/passwd", canary), "ghost:x:99:99::/:\n");
	canary_was = tree_look(canary);
	make_base();
	conex_close(box.cx);
	if (!GOOD(conex_open(&where, &box.cx, &box.err)))
		return;
	RUN(users);
	RUN(users_files);
	RUN(users_layers);
	RUN(programs);
	RUN(places);
	RUN(labels);
	RUN(traps);
	RUN(layers);
	free(canary_was);
	free((void *)base.bytes);
}

int main(void)
{
	return with_images(tests);
}
