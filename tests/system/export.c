/* Images out of the store: as tar into files, pipes and sockets, the same bytes each time; into layouts' directories; what
 * is there of an index; and what goes wrong. */
#include "archives.h"

#include <sys/eventfd.h>
#include <sys/socket.h>

static char digest[CX_DIGEST_TEXT], here[CX_DIGEST_TEXT], other[CX_DIGEST_TEXT], platform[8];  /* other, platform: not this machine's */

/* ---- tar ---- */

/* What comes out of `fd` while an image is exported into it, in a file. */
static int through(int reader, int writer, const char *file)
{
	pid_t pid = fork();
	int r, status;

	if (pid == 0) {
		close(writer);
		dup2(reader, 0);
		_exit(command("cat >%s/%s", box.dir, file) != 0);
	}
	close(reader);
	r = write_to(writer, "app:1", NULL, digest);
	close(writer);
	waitpid(pid, &status, 0);
	return r;
}

TEST(same_bytes)
{
	int pair[2];

	CHECK_INT(export("app:1", "a.tar", NULL, digest), 1);
	CHECK_STR(digest, content("%s/digest", archives));
	CHECK_INT(export("app:1", "b.tar", NULL, digest), 1);
	CHECK_INT(command("cmp %s/a.tar %s/b.tar", box.dir, box.dir), 0);
	CHECK_INT(pipe2(pair, O_CLOEXEC), 0);
	CHECK_INT(through(pair[0], pair[1], "b.tar"), 1);
	CHECK_INT(command("cmp %s/a.tar %s/b.tar", box.dir, box.dir), 0);
	CHECK_INT(pipe2(pair, O_CLOEXEC), 0);
	CHECK_INT(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);      /* who reads is slower than that */
	CHECK_INT(through(pair[0], pair[1], "b.tar"), 1);
	CHECK_INT(command("cmp %s/a.tar %s/b.tar", box.dir, box.dir), 0);
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	CHECK_INT(through(pair[0], pair[1], "b.tar"), 1);
	CHECK_INT(command("cmp %s/a.tar %s/b.tar", box.dir, box.dir), 0);
	/* another store that has it from elsewhere: no time, no owner, no order of its own */
	CHECK_INT(bring(say("%s/a.tar", box.dir), "again:1", NULL), 1);
	CHECK_INT(export("again:1", "c.tar", NULL, digest), 1);
	CHECK_INT(command("cd %s && mkdir x && tar -xf a.tar -C x && sed -i s,library/app,library/again, x/index.json x/manifest.json && "
		"mkdir y && tar -xf c.tar -C y && diff -r x y", box.dir), 0);
	CHECK_INT(command("tar -tvf %s/a.tar --numeric-owner --full-time --utc | grep -v '^[d-]rw.* 0/0 .* 1970-01-01 00:00:00 '", box.dir)
		!= 0, 1);
	nothing_left();
}

TEST(docker_s_own)
{
	CHECK_INT(command("cd %s && tar -xf a.tar manifest.json && grep -q '\"RepoTags\":\\[\"docker.io/library/app:1\"\\]' manifest.json && "
		"tar -xf a.tar $(grep -o 'blobs/sha256/[0-9a-f]*' manifest.json) && "
		"test $(grep -o 'blobs/sha256/[0-9a-f]*' manifest.json | wc -l) = 3", box.dir), 0);
	/* by it alone */
	CHECK_INT(command("cd %s && tar -cf old.tar manifest.json blobs && rm -r manifest.json blobs", box.dir), 0);
	CHECK_INT(bring(say("%s/old.tar", box.dir), "old:1", NULL), 1);
	CHECK_STR(say("%s", blob_of("old:1", 0)), say("%s", blob_of("app:1", 0)));
}

/* ---- indexes ---- */

TEST(all_platforms)
{
	char *json = NULL;

	snprintf(here, sizeof here, "%s", content("%s/digest", archives));
	snprintf(other, sizeof other, "%s", content("%s/other.digest", archives));
	strcpy(platform, command("uname -m | grep -q x86_64") ? "amd64" : "arm64");
	CHECK_INT(bring("platforms.tar", "plain:1", NULL), 1);  /* the other's parts stay till something is collected */
	name_index("both:1");
	CHECK_INT(export("both:1", "both.out.tar", NULL, digest), 1);
	CHECK_STR(digest, content("%s/index.digest", archives));
	CHECK_INT(command("tar -tf %s/both.out.tar | grep -c blobs/sha256/. | grep -qx 7", box.dir), 0);
	CHECK_INT(bring(say("%s/both.out.tar", box.dir), "back:1", NULL), 1);
	GOOD(conex_image_json(box.cx, "back:1", &json, &box.err));
	CHECK(json && strstr(json, here));
	free(json);
	CHECK_INT(export("both:1", "other.tar", OPTIONS(.platform = platform), digest), 1);
	CHECK_STR(digest, other);
	CHECK_INT(command("tar -tf %s/other.tar | grep -c blobs/sha256/. | grep -qx 4", box.dir), 0);
	CHECK_INT(export("both:1", "no.tar", OPTIONS(.platform = "linux/vax"), digest), -ENOENT);
	SAID("linux/vax");
	CHECK_INT(export("app:1", "no.tar", OPTIONS(.platform = platform), digest), -ENOENT);
	CHECK_INT(export("app:1", "no.tar", OPTIONS(.platform = "a/b/c/d"), digest), -EINVAL);
	nothing_left();
}

/* Of the other platform something is missing: an index of what is there, with a digest of its own. */
TEST(what_is_there)
{
	char whole[CX_DIGEST_TEXT];

	CHECK_INT(command("mv %s/blobs/sha256/%s %s/aside", store, other + 7, box.dir), 0);
	CHECK_INT(export("both:1", "some.tar", NULL, digest), 1);
	CHECK(strcmp(digest, content("%s/index.digest", archives)) && strcmp(digest, here));
	snprintf(whole, sizeof whole, "%s", digest);
	CHECK_INT(command("cd %s && rm -rf some && mkdir some && tar -xf some.tar -C some && ! grep -rq %s some && grep -rq %s some && "
		"cd some/blobs/sha256 && sha256sum * | awk '$1 != $2 { exit 1 }'", box.dir, other + 7, here + 7), 0);
	CHECK_INT(export("both:1", "some/", NULL, digest), 1);
	CHECK_STR(digest, whole);
	CHECK_INT(bring(say("%s/some.tar", box.dir), "some:1", NULL), 1);
	CHECK_INT(export("both:1", "no.tar", OPTIONS(.platform = platform), digest), -ENOENT);
	CHECK_INT(command("mv %s/aside %s/blobs/sha256/%s", box.dir, store, other + 7), 0);
	nothing_left();
}

/* ---- directories ---- */

TEST(layouts)
{
	CHECK_INT(export("app:1", "d/", NULL, digest), 1);
	CHECK_INT(command("cd %s/d && sha256sum blobs/sha256/* | sed 's,blobs/sha256/,,' | awk '$1 != $2 { exit 1 }'", box.dir), 0);
	CHECK_INT(command("cd %s && mkdir -p e && tar -xf a.tar -C e && rm e/manifest.json && "
		"diff -r d e", box.dir), 0);
	CHECK_INT(export("many:1", "d/", NULL, digest), 1);
	CHECK_INT(export("app:1", "d/", NULL, digest), 1);
	CHECK_INT(command("grep -o '\"io.containerd.image.name\":\"[^\"]*\"' %s/d/index.json | sort | tr '\\n' ' ' | grep -qx "
		"'\"io.containerd.image.name\":\"docker.io/library/app:1\" \"io.containerd.image.name\":\"docker.io/library/many:1\" '", box.dir), 0);
	CHECK_INT(bring(say("%s/d", box.dir), "anything:1", NULL), -ENOENT);    /* two have that tag */
	SAID("several images");
	CHECK_INT(bring(say("%s/d", box.dir), "many:1", NULL), 1);
	/* what other tools have named, by the tag alone */
	CHECK_INT(command("cp -r %s/layout %s/f && sed -i 's/\"platform\"/\"annotations\": {\"org.opencontainers.image.ref.name\": \"1\"}, &/' "
		"%s/f/index.json", archives, box.dir, box.dir), 0);
	CHECK_INT(export("many:1", "f/", NULL, digest), 1);
	CHECK_INT(command("grep -o '\"digest\"' %s/f/index.json | wc -l | grep -qx 1", box.dir), 0);
	nothing_left();
}

/* Blobs that are there, and aren't what they are called. */
TEST(mended)
{
	const char *layer = strrchr(blob_of("app:1", 0), '/') + 1;

	CHECK_INT(command("cd %s/d/blobs/sha256 && printf x | dd of=%s bs=1 seek=100 conv=notrunc 2>/dev/null", box.dir, layer), 0);
	CHECK_INT(export("app:1", "d/", NULL, digest), 1);
	CHECK_INT(command("cd %s/d/blobs/sha256 && ln -sf /etc/passwd %s", box.dir, layer), 0);
	CHECK_INT(export("app:1", "d/", NULL, digest), 1);
	CHECK_INT(command("cd %s/d/blobs/sha256 && test ! -L %s && sha256sum * | awk '$1 != $2 { exit 1 }'", box.dir, layer), 0);
	CHECK_INT(command("grep -q root: /etc/passwd"), 0);
	nothing_left();
}

static void refused_directory(const char *prepare, int code, const char *word)
{
	CHECK_INT(command("rm -rf %s/g && mkdir %s/g && cd %s/g && %s && find . -printf '%%p %%i %%m\\n' | sort >../before", box.dir, box.dir,
		box.dir, prepare), 0);
	if (!CHECK_INT(export("app:1", "g/", NULL, digest), code))
		printf("# %s: %s\n", prepare, conex_error_text(box.err));
	SAID(word);
	CHECK_INT(command("cd %s/g && find . -printf '%%p %%i %%m\\n' | sort | diff ../before -", box.dir), 0);
	nothing_left();
}

TEST(strange_directories)
{
	refused_directory("echo '{\"imageLayoutVersion\":\"2.0.0\"}' >oci-layout", -EPROTONOSUPPORT, "imageLayoutVersion");
	refused_directory("echo '{\"manifests\":' >index.json", -EINVAL, "index.json");
	refused_directory("echo '{\"manifests\":{}}' >index.json", -EINVAL, "manifests");
	refused_directory("mkfifo index.json", -EINVAL, "index.json");
	refused_directory("mkdir ../elsewhere; ln -s ../elsewhere blobs", -ENOTDIR, "blobs");
	refused_directory("mkdir blobs; ln -s /tmp blobs/sha256", -ENOTDIR, "blobs/sha256");
	refused_directory("touch blobs", -ENOTDIR, "blobs");
	CHECK_INT(box_entries(say("%s/elsewhere", box.dir)), 0);
}

/* ---- what goes wrong ---- */

static void refused_fd(int fd, int code, const char *word)
{
	conex_job *job = NULL;

	box_clear();
	CHECK_INT(conex_image_export(box.cx, "app:1", fd, NULL, &job, &box.err), code);
	SAID(word);
	CHECK(!job);
	if (fd >= 0)
		close(fd);
}

TEST(bad_calls)
{
	int pair[2];

	refused_fd(-1, -EBADF, "fd");
	refused_fd(open(say("%s/a.tar", box.dir), O_RDONLY | O_CLOEXEC), -EBADF, "open it for writing");
	refused_fd(open(say("%s/a.tar", box.dir), O_PATH | O_CLOEXEC), -EBADF, "open it for writing");
	refused_fd(eventfd(0, EFD_CLOEXEC), -EINVAL, "fd");
	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	refused_fd(pair[0], -EINVAL, "stream");
	close(pair[1]);
	CHECK_INT(export("nobody:1", "no.tar", NULL, digest), -ENOENT);
	SAID("nobody:1");
	CHECK_INT(export("No Name", "no.tar", NULL, digest), -EINVAL);
	CHECK_INT(export("app:1", "no.tar", OPTIONS(.flags = CONEX_IMAGE_PLAIN_HTTP), digest), -EINVAL);
	SAID("flags");
	nothing_left();
}

TEST(nobody_reads)
{
	int pair[2], fd;

	CHECK_INT(pipe2(pair, O_CLOEXEC), 0);
	close(pair[0]);
	CHECK_INT(write_to(pair[1], "many:1", NULL, digest), -EPIPE);
	SAID("who reads it has ended");
	close(pair[1]);
	fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	CHECK_INT(write_to(fd, "app:1", NULL, digest), -ENOSPC);
	SAID("no room");
	close(fd);
	nothing_left();
}

TEST(no_room)
{
	char path[64];

	snprintf(path, sizeof path, "%s/small", box.dir);
	mkdir(path, 0755);
	CHECK_INT(mount("tmpfs", path, "tmpfs", 0, "size=2m"), 0);
	CHECK_INT(export("many:1", "small/x.tar", NULL, digest), -ENOSPC);
	CHECK_INT(command("rm %s/x.tar", path), 0);
	CHECK_INT(export("many:1", "small/", NULL, digest), -ENOSPC);
	SAID("no room");
	CHECK_INT(box_entries(path), 0);
	CHECK_INT(export("app:1", "small/", NULL, digest), 1);
	CHECK_INT(command("cd %s && find . | sort | xargs ls -di >../before", path), 0);
	CHECK_INT(export("many:1", "small/", NULL, digest), -ENOSPC);
	CHECK_INT(command("cd %s && find . | sort | xargs ls -di | diff ../before -", path), 0);
	CHECK_INT(mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	CHECK_INT(export("many:1", "small/", NULL, digest), -EROFS);
	CHECK_INT(umount2(path, MNT_DETACH), 0);
	nothing_left();
}

/* Whatever is wrong with a blob of the store, it isn't handed on. */
static void broken(int number, const char *how, int code)
{
	char path[256];

	snprintf(path, sizeof path, "%s", blob_of("app:1", number));
	CHECK_INT(command("cp -p %s %s/whole && chmod u+w %s && f=%s && %s", path, box.dir, path, path, how), 0);
	CHECK_INT(export("app:1", "no.tar", NULL, digest), code);
	SAID(code == -ENOENT ? "pull" : "blob");
	CHECK_INT(command("tar -tf %s/no.tar index.json >/dev/null 2>&1", box.dir) != 0, 1);
	CHECK_INT(export("app:1", "h/", NULL, digest), code);
	CHECK_INT(box_entries(say("%s/h", box.dir)), 0);
	CHECK_INT(command("rm -f %s && cp -p %s/whole %s", path, box.dir, path), 0);
}

TEST(broken_blobs)
{
	for (int number = -2; number < 2; number++) {
		broken(number, "printf X | dd of=$f bs=1 seek=60 conv=notrunc 2>/dev/null", -EBADMSG);
		broken(number, "rm $f", -ENOENT);
	}
	broken(0, "truncate -s -1 $f", -EBADMSG);
	CHECK_INT(export("app:1", "h/", NULL, digest), 1);
	nothing_left();
}

/* ---- deaths ---- */

TEST(killed)
{
	unsigned seed = 7;

	for (int i = 0; i < test_count("CONEX_TEST_KILLS", 40); i++) {
		conex_job *job = NULL;
		int fd, r;

		if (i % 8 == 0)
			command("rm -rf %s/k && mkdir %s/k", box.dir, box.dir);
		fd = open(say("%s/k", box.dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		box_clear();
		r = conex_image_export(box.cx, i % 2 ? "app:1" : "many:1", fd, NULL, &job, &box.err);
		close(fd);
		r = killed_after((unsigned)rand_r(&seed) % 60000, r, job);
		CHECK(r == 1 || r == -EPIPE);
		/* what has a name is whole; what index.json leads to is there */
		CHECK_INT(command("cd %s/k && { test ! -d blobs/sha256 || (cd blobs/sha256 && for f in *; do test ! -e $f || "
			"echo $f $f | sha256sum -c --quiet - >/dev/null || exit 1; done); }", box.dir), 0);
		CHECK_INT(command("cd %s/k && test ! -e index.json || grep -o 'sha256:[0-9a-f]*' index.json | sed s,sha256:,blobs/sha256/, | "
			"xargs -r ls -d >/dev/null", box.dir), 0);
	}
	CHECK_INT(export("app:1", "k/", NULL, digest), 1);
	CHECK_INT(export("many:1", "k/", NULL, digest), 1);
	CHECK_INT(bring(say("%s/k", box.dir), "many:1", NULL), 1);
	GOOD(conex_image_delete(box.cx, "old:1", &box.err));    /* collects the leases of the dead */
	nothing_left();
}

TEST(ends_with_its_reader)
{
	conex_job *job = NULL;
	int pair[2];
	pid_t pid;

	CHECK_INT(pipe2(pair, O_CLOEXEC), 0);
	box_clear();
	GOOD(conex_image_export(box.cx, "many:1", pair[1], NULL, &job, &box.err));
	close(pair[1]);
	CHECK_INT(conex_job_wait(job, 200, &box.err), 0);       /* the pipe is full */
	pid = worker_of(box.cx);
	CHECK_STR(status_of(pid, "NoNewPrivs"), "1");
	CHECK_STR(status_of(pid, "Seccomp"), "2");
	close(pair[0]);
	CHECK_INT(conex_job_wait(job, -1, &box.err), -EPIPE);
	conex_job_free(job);
	nothing_left();
}

static void tests(void)
{
	if (!archives_begin())
		return;
	RUN(same_bytes);
	RUN(docker_s_own);
	RUN(all_platforms);
	RUN(what_is_there);
	RUN(layouts);
	RUN(mended);
	RUN(strange_directories);
	RUN(bad_calls);
	RUN(nobody_reads);
	RUN(no_room);
	RUN(broken_blobs);
	RUN(ends_with_its_reader);
	RUN(killed);
}

int main(void)
{
	return archives_main(tests);
}
