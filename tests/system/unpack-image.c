/* Images of the store as directories: whole, or not there at all, whoever dies. */
#include "archives.h"

static char where[64];          /* directories are made in here */

static int made(const char *name)
{
	return access(say("%s/%s", where, name), F_OK) == 0;
}

static void remove_it(const char *name)
{
	CHECK_INT(command("rm -rf %s/%s", where, name), 0);
}

/* ---- what lands ---- */

TEST(trees)
{
	char here[PATH_MAX];

	CHECK_INT(unpack("app:1", say("%s/a", where), NULL), 1);
	CHECK_STR(content("%s/a/srv/new", where), "new");
	CHECK_STR(content("%s/a/srv/kept", where), "kept");
	CHECK_INT(access(say("%s/a/srv/gone", where), F_OK), -1);
	CHECK_INT(command("find %s/a -name '.wh*' | grep .", where) != 0, 1);
	CHECK_INT(command("stat -c '%%a %%Y' %s/a/srv %s/a/bin/busybox | tr '\\n' ' ' | grep -qx '775 0 755 0 '", where, where), 0);
	CHECK_INT(unpack("many:1", say("%s/m", where), NULL), 1);
	CHECK_INT(command("find %s/m -path '*/many*/*' | wc -l | grep -qx 2000", where), 0);
	/* relative to where the host is now; slashes behind it count for nothing; names are bytes */
	CHECK(getcwd(here, sizeof here) && chdir(where) == 0);
	CHECK_INT(unpack("app:1", "b", NULL), 1);
	CHECK_INT(unpack("app:1", "./c//", NULL), 1);
	CHECK_INT(unpack("app:1", "\xff\xfe \n'\"", NULL), 1);
	CHECK_INT(unpack("app:1", say("%0255d", 0), NULL), 1);
	CHECK_INT(chdir(here), 0);
	CHECK_INT(command("cd %s && diff -r --no-dereference a b && diff -r --no-dereference a c", where), 0);
	CHECK(made("\xff\xfe \n'\"") && made(say("%0255d", 0)));
	CHECK_INT(box_entries(where), 6);
	CHECK_INT(command("rm -rf %s && mkdir %s", where, where), 0);
	nothing_left();
}

TEST(progress)
{
	struct conex_progress p = { .size = sizeof p };
	conex_job *job = NULL;

	box_clear();
	GOOD(conex_image_unpack(box.cx, "many:1", say("%s/a", where), NULL, &job, &box.err));
	CHECK_INT(conex_job_wait(job, -1, &box.err), 1);
	GOOD(conex_job_progress(job, &p, &box.err));
	CHECK(p.done_layers == 2 && p.total_layers == 2 && p.done_bytes == p.total_bytes && p.done_bytes > 8000000);
	CHECK(p.unpacked_bytes > p.done_bytes && !strcmp(p.step, "layer 2 of 2"));
	CHECK(conex_job_result(job) && strstr(blob_of("many:1", -2), conex_job_result(job) + 7));
	conex_job_free(job);
	remove_it("a");
	nothing_left();
}

/* ---- what is refused ---- */

static void refused(const char *directory, int code, const char *word)
{
	conex_job *job = NULL;

	box_clear();
	if (!CHECK_INT(conex_image_unpack(box.cx, "app:1", directory, NULL, &job, &box.err), code))
		printf("# %s\n", directory ? directory : "NULL");
	SAID(word);
	CHECK(!job);
	nothing_left();
}

TEST(bad_places)
{
	char long_one[PATH_MAX + 10];

	CHECK_INT(command("cd %s && touch file && mkdir there && ln -s nowhere link && ln -s there to-there", where), 0);
	refused(NULL, -EINVAL, "directory");
	refused("", -EINVAL, "directory");
	refused("/", -EINVAL, "directory");
	refused(".", -EINVAL, "directory");
	refused(say("%s/..", where), -EINVAL, "directory");
	refused(say("%s/there", where), -EEXIST, "remove it first");
	refused(say("%s/there/", where), -EEXIST, "remove it first");
	refused(say("%s/file", where), -EEXIST, "remove it first");
	refused(say("%s/link", where), -EEXIST, "remove it first");
	refused(say("%s/no/a", where), -ENOENT, "make its parent first");
	refused(say("%s/file/a", where), -ENOTDIR, "parent");
	refused(say("%s/%0256d", where, 0), -ENAMETOOLONG, "255");
	memset(long_one, 'a', sizeof long_one);
	for (size_t i = 0; i < sizeof long_one; i += 100)
		long_one[i] = '/';
	long_one[sizeof long_one - 1] = '\0';
	refused(long_one, -ENAMETOOLONG, "4095");
	CHECK_INT(unpack("app:1", say("%s/to-there/a", where), NULL), 1);       /* a parent may be a link */
	CHECK(made("there/a/srv"));
	CHECK_INT(command("rm -rf %s && mkdir %s", where, where), 0);
}

TEST(bad_images)
{
	const char *to = say("%s/a", where);

	CHECK_INT(unpack("nobody:1", to, NULL), -ENOENT);
	SAID("nobody:1");
	CHECK_INT(unpack("No Name", to, NULL), -EINVAL);
	CHECK_INT(unpack("app:1", to, OPTIONS(.platform = "linux/vax")), -ENOENT);
	SAID("linux/vax");
	CHECK_INT(unpack("app:1", to, OPTIONS(.max_bytes = 4096)), -E2BIG);
	CHECK_INT(unpack("app:1", to, OPTIONS(.flags = CONEX_IMAGE_NOT_NEWER)), -EINVAL);
	CHECK_INT(box_entries(where), 0);
	nothing_left();
}

TEST(indexes)
{
	const char *other = command("uname -m | grep -q x86_64") ? "amd64" : "arm64";

	CHECK_INT(bring("platforms.tar", "plain:1", NULL), 1);
	name_index("both:1");
	CHECK_INT(unpack("both:1", say("%s/a", where), NULL), 1);
	CHECK_INT(unpack("both:1", say("%s/b", where), OPTIONS(.platform = other)), 1);
	CHECK_INT(command("cd %s && diff -r --no-dereference a b", where), 0);
	CHECK_INT(unpack("both:1", say("%s/c", where), OPTIONS(.platform = "linux/vax")), -ENOENT);
	CHECK_INT(command("rm -rf %s && mkdir %s", where, where), 0);
	nothing_left();
}

static void broken(int number, const char *how, int code)
{
	char path[256];

	snprintf(path, sizeof path, "%s", blob_of("app:1", number));
	CHECK_INT(command("cp -p %s %s/whole && chmod u+w %s && f=%s && %s", path, box.dir, path, path, how), 0);
	CHECK_INT(unpack("app:1", say("%s/a", where), NULL), code);
	CHECK_INT(box_entries(where), 0);
	CHECK_INT(command("rm -f %s && cp -p %s/whole %s", path, box.dir, path), 0);
	nothing_left();
}

TEST(broken_blobs)
{
	for (int number = -2; number < 2; number++) {
		broken(number, "printf X | dd of=$f bs=1 seek=60 conv=notrunc 2>/dev/null", -EBADMSG);
		broken(number, "rm $f", -ENOENT);
	}
	broken(1, "truncate -s -1 $f", -EBADMSG);
	broken(1, "printf x >>$f", -EBADMSG);
	CHECK_INT(unpack("app:1", say("%s/a", where), NULL), 1);
	remove_it("a");
}

TEST(no_room)
{
	char path[64];

	snprintf(path, sizeof path, "%s/small", box.dir);
	mkdir(path, 0755);
	CHECK_INT(mount("tmpfs", path, "tmpfs", 0, "size=4m"), 0);
	CHECK_INT(unpack("many:1", say("%s/a", path), NULL), -ENOSPC);
	CHECK_INT(box_entries(path), 0);
	CHECK_INT(mount(NULL, path, NULL, MS_REMOUNT, "size=64m,nr_inodes=500"), 0);
	CHECK_INT(unpack("many:1", say("%s/a", path), NULL), -ENOSPC);
	CHECK_INT(box_entries(path), 0);
	CHECK_INT(unpack("app:1", say("%s/a", path), NULL), 1);
	CHECK_INT(mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	refused(say("%s/b", path), -EROFS, "writable");
	CHECK_INT(umount2(path, MNT_DETACH), 0);
	nothing_left();
}

/* Somebody else has that name when it is to be given. */
TEST(taken_meanwhile)
{
	conex_job *job = NULL;
	int r;

	box_clear();
	GOOD(conex_image_unpack(box.cx, "many:1", say("%s/a", where), NULL, &job, &box.err));
	CHECK_INT(mkdir(say("%s/a", where), 0700), 0);
	r = conex_job_wait(job, -1, &box.err);
	CHECK_INT(r, -EEXIST);
	conex_job_free(job);
	CHECK_INT(box_entries(say("%s/a", where)), 0);
	CHECK_INT(box_entries(where), 1);
	remove_it("a");
	nothing_left();
}

/* ---- deaths ---- */

/* Either it isn't there, or it is what it should be. */
static void whole_or_not(int must)
{
	int is = made("k");

	CHECK(is || !must);
	CHECK_INT(box_entries(where), 1 + is);
	if (is)
		CHECK_INT(command("diff -rq --no-dereference %s/m %s/k", where, where), 0);
	remove_it("k");
}

TEST(worker_killed)
{
	unsigned seed = 11;
	int died = 0;

	CHECK_INT(unpack("many:1", say("%s/m", where), NULL), 1);
	for (int i = 0; i < test_count("CONEX_TEST_KILLS", 30); i++) {
		conex_job *job = NULL;
		int r;

		box_clear();
		r = conex_image_unpack(box.cx, "many:1", say("%s/k", where), NULL, &job, &box.err);
		r = killed_after((unsigned)rand_r(&seed) % 200000, r, job);
		CHECK(r == 1 || r == -EPIPE);
		died += r == -EPIPE;
		whole_or_not(r == 1);
	}
	CHECK(died > 0);
	GOOD(conex_image_delete(box.cx, "plain:1", &box.err));  /* collects the leases of the dead */
	nothing_left();
}

TEST(cancelled)
{
	struct conex_options o = { .size = sizeof o, .store = store };
	unsigned seed = 5;

	for (int i = 0; i < test_count("CONEX_TEST_KILLS", 20); i++) {
		conex_job *job = NULL;
		conex *cx = NULL;

		box_clear();
		GOOD(conex_open(&o, &cx, &box.err));
		GOOD(conex_image_unpack(cx, "many:1", say("%s/k", where), NULL, &job, &box.err));
		usleep((unsigned)rand_r(&seed) % 200000);
		if (i % 2)
			conex_job_free(job);
		conex_close(cx);
		if (i % 2 == 0)
			conex_job_free(job);
		whole_or_not(0);
	}
	CHECK_INT(unpack("app:1", say("%s/k", where), NULL), 1);
	remove_it("k");
	GOOD(conex_image_delete(box.cx, "both:1", &box.err));
	nothing_left();
}

/* The host dies: conex-undo, or whoever opens next, removes what there is. */
TEST(host_killed)
{
	unsigned seed = 3;

	for (int i = 0; i < test_count("CONEX_TEST_KILLS", 20); i++) {
		pid_t pid;
		int status, left = 1;

		fflush(stdout);
		if ((pid = fork()) == 0) {
			struct conex_options o = { .size = sizeof o, .store = store };
			conex_job *job;
			conex *cx = NULL;

			if (conex_open(&o, &cx, NULL) == 0 && conex_image_unpack(cx, "many:1", say("%s/k", where), NULL, &job, NULL) == 0) {
				usleep((unsigned)rand_r(&seed) % 200000);
				kill(getpid(), SIGKILL);
			}
			_exit(1);
		}
		rand_r(&seed);
		waitpid(pid, &status, 0);
		CHECK(WIFSIGNALED(status));
		for (int n = 0; n < 500 && left; n++) {
			GOOD(conex_prune(box.cx, NULL, &box.err));
			left = command("ls -A %s | grep -q '^\\.unpack-' || ls /run/conex | grep -q '^%d-'", where, (int)pid) == 0;
			usleep(left ? 20000 : 0);
		}
		CHECK_INT(left, 0);
		whole_or_not(0);
	}
	CHECK_INT(bring("layout.tar", "x:1", NULL), 1);
	GOOD(conex_image_delete(box.cx, "x:1", &box.err));
	nothing_left();
}

/* ---- and nothing leaks ---- */

TEST(descriptors)
{
	int before, fds[2];

	CHECK_INT(unpack("app:1", say("%s/k", where), NULL), 1);
	fds[0] = box_entries("/proc/self/fd");
	before = box_entries(say("%s/containers", box.cx->state->path));
	for (int i = 0; i < 10; i++) {
		CHECK_INT(unpack("app:1", say("%s/k", where), NULL), -EEXIST);
		CHECK_INT(unpack("app:1", say("%s/l", where), OPTIONS(.max_bytes = 100)), -E2BIG);
		CHECK_INT(unpack("app:1", say("%s/l", where), NULL), 1);
		remove_it("l");
	}
	CHECK_INT(box_entries("/proc/self/fd"), fds[0]);
	CHECK_INT(box_entries(say("%s/containers", box.cx->state->path)), before);
}

static void tests(void)
{
	if (!archives_begin())
		return;
	snprintf(where, sizeof where, "%s/where", box.dir);
	mkdir(where, 0755);
	RUN(trees);
	RUN(progress);
	RUN(bad_places);
	RUN(bad_images);
	RUN(indexes);
	RUN(broken_blobs);
	RUN(no_room);
	RUN(taken_meanwhile);
	RUN(worker_killed);
	RUN(cancelled);
	RUN(host_killed);
	RUN(descriptors);
}

int main(void)
{
	return archives_main(tests);
}
