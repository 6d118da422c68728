/* Images of an unprivileged user: what they are unpacked to, containers of them, and that all of it goes again, whoever
 * the files belong to. By his own id alone, by subordinate ids, and as root of a user namespace. */
#include "image-box.h"
#include "rootless.h"

static int kept_log;
static void keep_log(int level, const char *line, void *data)
{
	(void)data;
	kept_log++;
	printf("# log %d: %s\n", level, line);
}

static uid_t owner(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 ? (uid_t)-1 : st.st_uid;
}

/* The layer that has this file. */
static const char *layer_file(const char *name)
{
	static char text[512];
	FILE *f = popen(say("ls -d %s/layers/*/root/%s", store, name), "re");

	text[0] = '\0';
	if (f && fscanf(f, "%511s", text) != 1)
		text[0] = '\0';
	if (f)
		pclose(f);
	return text;
}

static int empty(void)
{
	return image_snapshots() + image_leases() + box_entries(say("%s/tmp", store)) + box_entries(say("%s/layers", store))
		+ box_entries(say("%s/blobs/sha256", store));
}

TEST(brought)
{
	struct stat st;

	CHECK_INT(image_bring("layout.tar", "app"), 1);
	CHECK_INT(image_bring("owned.tar", "owned"), 1);
	CHECK_INT(owner(layer_file("srv/kept")), mode == NESTED ? 0 : USER);
	/* 1000 in the image: one of the user's own ids, mapped; or his own, who has no other */
	CHECK_INT(owner(layer_file("srv/theirs")), mode == SUBORDINATE ? FIRST + 999 : mode == NESTED ? 0 : USER);
	CHECK_INT(lstat(layer_file("etc/gone"), &st), 0);               /* a whiteout, where no device may be made */
	CHECK(S_ISCHR(st.st_mode) && st.st_rdev == 0);
	CHECK_INT(image_leases() + box_entries(say("%s/tmp", store)), 0);
}

TEST(runs)
{
	struct conex_run_options o = { .size = sizeof o, .user = "root" };
	conex_container *c = NULL;

	CHECK_INT(image_run("owned", CONEX_STRINGS("/bin/sh", "-c", "id -u; stat -c %u /srv/kept /srv/theirs; ls /etc /opt"), &o), 0);
	CHECK_STR(box.out, say("0\n0\n%d\n/etc:\ngroup\npasswd\n\n/opt:\nnew", mode == SUBORDINATE ? 1000 : 0));
	o.user = mode == SUBORDINATE ? "1000" : "root";
	CHECK_INT(image_run("owned", CONEX_STRINGS("/bin/sh", "-c", "stat -c %u /srv/theirs/file; cat /srv/theirs/file"), &o), 0);
	CHECK_STR(box.out, say("%d\ntheirs", mode == SUBORDINATE ? 1000 : 0));
	o.user = "root";
	CHECK_INT(image_run("owned", CONEX_STRINGS("/bin/sh", "-c", "echo x >/srv/x; grep -c ' / .*upperdir' /proc/self/mountinfo"),
		WITH(.user = "root", .flags = CONEX_RUN_READ_ONLY)), 1);
	CHECK(strstr(box.out, "Read-only") != NULL);
	if (mode == SUBORDINATE) {
		CHECK_INT(image_run("app", NULL, NULL), 0);
		CHECK_STR(box.out, "77\n78\n/srv\nfrom the image\nnew\nkept\nnew");
	}
	box_clear();
	if (!GOOD(conex_run(box.cx, "owned", CONEX_STRINGS("sleep", "1000"), &o, &c, &box.err)))
		return;
	CHECK_INT(box_exec(c, NULL, "echo a >/srv/mine; rm /bin/sleep; mkdir -p /srv/d/e; touch /srv/d/e/f; cat /srv/mine"), 0);
	CHECK_STR(box.out, "a");
	if (mode == SUBORDINATE)        /* what only that user may empty again */
		CHECK_INT(box_exec(c, WITH(.user = "1000"), "mkdir -p /srv/open/their; echo x >/srv/open/their/x; chmod 700 /srv/open/their;"
			" id -u"), 0);
	CHECK_INT(image_snapshots(), 1);
	box_end(c);
	CHECK_INT(image_snapshots() + image_leases(), 0);
}

/* Directories that the uppermost layer doesn't describe, as the lower ones do: his ids may be one alone. */
TEST(implied)
{
	int theirs = mode == SUBORDINATE ? 77 : 0;

	CHECK_INT(image_bring("implied.tar", "implied"), 1);
	CHECK_INT(image_run("implied", CONEX_STRINGS("/bin/stat", "-c", "%n %a %u %Y", "/tmp", "/srv/data", "/one", "/before/opaque"),
		WITH(.user = "root")), 0);
	CHECK_STR(box.out, say("/tmp 1777 0 1111111111\n/srv/data 750 %d 1222222222\n/one 770 %d 1200000000\n"
		"/before/opaque 710 %d 1200000000", theirs, theirs, theirs));
	CHECK_INT(image_run("implied", CONEX_STRINGS("/bin/stat", "-c", "%a %u", "/srv/gone", "/opt/deep", "/before/old"),
		WITH(.user = "root")), 0);
	CHECK_STR(box.out, "755 0\n755 0\n755 0");
	GOOD(conex_image_delete(box.cx, "implied", &box.err));
}

TEST(refused)
{
	CHECK_INT(image_run("owned", NULL, WITH(.oci = OCI({"linux": {"namespaces": [{"type": "user"}],
		"uidMappings": [{"containerID": 0, "hostID": 12345, "size": 1}, {"containerID": 9, "hostID": 700009, "size": 1}],
		"gidMappings": [{"containerID": 0, "hostID": 12345, "size": 1}]}}))), mode == NESTED ? -EPERM : -EOPNOTSUPP);
	if (mode == NESTED) {
		CHECK_INT(image_run("owned", NULL, WITH(.flags = CONEX_RUN_USERNS)), -EPERM);
		SAID("CONEX_RUN_USERNS");
	} else {
		SAID("uidMappings");
	}
	CHECK_INT(image_run("owned", NULL, WITH(.disk = 16 << 20)), -EPERM);
	SAID("conex_run_options.disk");
	CHECK_INT(image_bring("far.tar", "far"), mode == SUBORDINATE ? -EINVAL : 1);    /* an id that isn't his */
	if (mode == SUBORDINATE)
		SAID("300000");
	else
		GOOD(conex_image_delete(box.cx, "far", &box.err));
}

/* Nothing of the store is left, though most of it is others'. */
TEST(deleted)
{
	GOOD(conex_image_delete(box.cx, "owned", &box.err));
	CHECK_INT(image_run("app", CONEX_STRINGS("true"), WITH(.user = "root")), 0);
	GOOD(conex_image_delete(box.cx, "app", &box.err));
	if (!CHECK_INT(empty(), 0))
		command("find %s | head -30", store);
}

/* A user's own, if it runs just now. */
static pid_t worker(void)
{
	FILE *f = popen(say("pgrep -n -U %d conex-worker", mode == NESTED ? 0 : USER), "re");
	int pid = 0;

	if (f && fscanf(f, "%d", &pid) != 1)
		pid = 0;
	if (f)
		pclose(f);
	return pid;
}

/* A pipe that brings nothing keeps it waiting. Inside its user namespace it is root, and as locked in as anybody's. */
TEST(locked_in)
{
	conex_job *job = NULL;
	pid_t pid = 0;
	int pair[2];

	CHECK_INT(pipe2(pair, O_CLOEXEC), 0);
	box_clear();
	GOOD(conex_image_import(box.cx, pair[0], "waiting", NULL, &job, &box.err));
	for (int i = 0; i < 500 && (!pid || strcmp(status_of(pid, "Seccomp"), "2")); i++) {
		CHECK_INT(conex_job_wait(job, 10, &box.err), 0);        /* its maps are this context's to have written */
		pid = worker();
	}
	CHECK_STR(status_of(pid, "Seccomp"), "2");
	CHECK_STR(status_of(pid, "NoNewPrivs"), "1");
	/* chown, dac_override, fowner, fsetid, mknod, setfcap, sys_admin */
	CHECK_STR(status_of(pid, "CapEff"), say("%016llx", 1ULL << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 27 | 1ULL << 31 | 1 << 21));
	CHECK_STR(squeezed(content("/proc/%d/uid_map", (int)pid)), mode == SUBORDINATE ? say("0 %d 1\n1 %d %d", USER, FIRST, COUNT)
		: say("0 %d 1", USER));
	conex_job_free(job);
	for (int i = 0; i < 10; i++) {  /* cancelled while its maps are written, or before */
		GOOD(conex_image_import(box.cx, pair[0], "waiting", NULL, &job, &box.err));
		if (i % 2)
			conex_job_wait(job, i, NULL);
		conex_job_free(job);
	}
	close(pair[0]);
	close(pair[1]);
	CHECK_INT(box_entries(say("%s/tmp", store)), 0);
}

/* Whoever is killed leaves a snapshot that its user can't empty; the next context does. */
TEST(killed)
{
	struct conex_options where = { .size = sizeof where, .store = store };
	int status = -1, left = 1;
	pid_t pid;

	CHECK_INT(image_bring("owned.tar", "owned"), 1);
	fflush(stdout);
	if ((pid = fork()) == 0) {
		struct conex_run_options o = { .size = sizeof o, .user = mode == SUBORDINATE ? "1000" : "root", .out = CONEX_STDIO_PIPE };
		conex_container *c;
		conex *cx = NULL;

		if (conex_open(&where, &cx, NULL) == 0 && conex_run(cx, "owned", CONEX_STRINGS("/bin/sh", "-c",
			"mkdir /srv/open/d && touch /srv/open/d/e && chmod 700 /srv/open/d && echo; sleep 1000"), &o, &c, NULL) == 0
		    && poll(&(struct pollfd){ .fd = conex_container_stdio(c, 1), .events = POLLIN }, 1, -1) == 1)
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	CHECK(WIFSIGNALED(status));
	for (int i = 0; i < 200 && left; i++) {
		GOOD(conex_prune(box.cx, NULL, &box.err));
		left = image_snapshots() + image_leases();
		usleep(left ? 50000 : 0);
	}
	GOOD(conex_image_delete(box.cx, "owned", &box.err));
	if (!CHECK_INT(empty(), 0))
		command("find %s | head -30", store);
}

/* At the end of the context, too. */
TEST(closed)
{
	struct conex_run_options o = { .size = sizeof o, .user = "root" };
	conex_container *c = NULL;

	CHECK_INT(image_bring("owned.tar", "owned"), 1);
	box_clear();
	GOOD(conex_run(box.cx, "owned", CONEX_STRINGS("sleep", "1000"), &o, &c, &box.err));
	if (mode == SUBORDINATE)
		CHECK_INT(box_exec(c, WITH(.user = "1000"), "mkdir -p /srv/theirs/d; chmod 700 /srv/theirs/d; touch /srv/theirs/d/e"), 0);
	conex_container_free(c);
	conex_close(box.cx);
	box.cx = NULL;
	CHECK_INT(image_snapshots() + image_leases() + box_entries(say("%s/tmp", store)), 0);
}

static void tests_of(int which)
{
	static const char *const names[] = { "with his own id", "with subordinate ids", "as root of a user namespace" };
	struct conex_options where = { .size = sizeof where, .close_ms = 120000, .log = keep_log };
	const char *why;

	mode = which;
	printf("# a user %s\n", names[which]);
	why = cannot();
	if (why) {
		printf("ok %d - all %s # SKIP %s\n", ++test_state.count, names[which], why);
		fflush(stdout);
		return;
	}
	setenv("XDG_RUNTIME_DIR", say("%s/run", box.dir), 1);
	setenv("XDG_DATA_HOME", say("%s/data%d", box.dir, which), 1);
	snprintf(store, sizeof store, "%s/data%d/conex", box.dir, which);
	box_clear();
	if (mode == NESTED)             /* root's own place isn't his */
		where.store = store;
	if (!GOOD(conex_open(&where, &box.cx, &box.err)))
		return;
	RUN(brought);
	RUN(runs);
	RUN(implied);
	RUN(refused);
	RUN(deleted);
	RUN(locked_in);
	RUN(killed);
	RUN(closed);
}

int main(void)
{
	if (geteuid() != 0 || access("/bin/busybox", X_OK) < 0 || !image_worker()) {
		printf("1..0 # SKIP needs root, /bin/busybox, and images\n");
		return 0;
	}
	if (box_make() != 0 || image_box_make() != 0)
		return 1;
	command("mkdir -m 700 %s/run; mkdir %s/data0 %s/data1 %s/data2; chown -hR %d:%d %s", box.dir, box.dir, box.dir, box.dir, USER, USER,
		box.dir);
	for (int which = OWN_ID; which <= NESTED; which++)
		run_mode(which, tests_of);
	command("rm -rf --one-file-system %s", box.dir);
	return test_end();
}
