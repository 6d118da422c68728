/* Unpacking without rights: all of the hostile layers as an ordinary user (root becomes nobody for it), sources that
 * give their bytes as they please, directories that their owner can't enter. */
#include <grp.h>
#include "system/unpack.h"

static struct box box;
static const struct cx_unpack_options own = { .whiteouts = CX_WHITEOUT_USER, .flags = CX_UNPACK_ROOTLESS | CX_UNPACK_SQUASH };

TEST(corpus)
{
	int descriptors = box_open_count("/proc/self/fd"), threads = box_open_count("/proc/self/task");
	int n = box_corpus(&box, &own, 0);

	printf("# %d layers\n", n);
	CHECK(n >= 230);
	CHECK_INT(box_open_count("/proc/self/fd"), descriptors);
	CHECK(box_open_count("/proc/self/task") < threads + 10);     /* the last may be on its way out */
}

/* As read(2) may do it: a byte, a few, an error in the end. */
struct drops { int fd, most, end; };

static ssize_t read_drops(void *self, void *to, size_t size)
{
	struct drops *d = self;
	ssize_t n = read(d->fd, to, size < (size_t)d->most ? size : (size_t)d->most);

	return n == 0 ? d->end : n;
}

TEST(sources_that_drip)
{
	static const char *const layers[] = { "gzip", "gzip-members", "gzip-empty-members", "gzip-zeros", "zstd", "zstd-frames",
		"zstd-skippable", "duplicate", "empty" };

	for (size_t i = 0; i < CX_ARRAY_SIZE(layers); i++)
		for (int most = 1; most < 600; most += 150) {
			struct drops d = { box_open(box.corpus, layers[i], 0), most, 0 };
			struct cx_packed layer = { .read = read_drops, .self = &d };
			int r = cx_unpack_layer(box.out, "t", &layer, &own, NULL, NULL);

			CHECK_INT(r, 0);
			box_whole(&box, r, layers[i]);
			box_empty(&box);
			CHECK_INT(lseek(d.fd, 0, SEEK_SET), 0);
			d.end = -EIO;
			CHECK_INT(cx_unpack_layer(box.out, "t", &layer, &own, NULL, NULL), -EIO);
			box_whole(&box, -1, layers[i]);
			close(d.fd);
		}
}

/* Without root another's file is refused unless squashed or mapped; what a map lacks is refused before anything. */
TEST(owners)
{
	const uint32_t uid = getuid(), gid = getgid();
	const struct cx_id_range uids[] = { { 0, uid, 1 }, { 3, uid, 1 } }, gids[] = { { 0, gid, 1 } };
	struct cx_unpack_options o = { .whiteouts = CX_WHITEOUT_USER };
	conex_error *err = NULL;
	char shows[] = "f=mode:4755";
	int tree;

	CHECK(box_unpack(&box, "setuid", 1, "", o, &err) == -EPERM || uid == 0);
	if (uid != 0)
		CHECK_STR(conex_error_call(err), "fchown");
	box_whole(&box, uid == 0 ? 0 : -1, "another's file");
	box_empty(&box);
	o = (struct cx_unpack_options){ .whiteouts = CX_WHITEOUT_USER, .uids = uids, .uid_count = 1, .gids = gids, .gid_count = 1 };
	CHECK_INT(box_unpack(&box, "setuid", 1, "", o, &err), -EINVAL);
	CHECK(strstr(conex_error_text(err), "3:0"));
	o.uid_count = 2;
	CHECK_INT(box_unpack(&box, "setuid", 1, "", o, &err), 0);
	tree = openat(box.out, "t", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(tree_check(tree, shows));
	close(tree);
	box_empty(&box);
	conex_error_free(err);
}

/* Directories that nobody may enter or write to: filled all the same, by the next layer as well, and removed when the
 * last byte is wrong. */
TEST(closed_directories)
{
	struct cx_packed layer = { .fd = box_open(box.corpus, "closed", 0),
		.digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000" };
	conex_error *err = NULL;

	CHECK_INT(cx_unpack_layer(box.out, "t", &layer, &own, NULL, &err), -EBADMSG);
	CHECK(strstr(conex_error_text(err), "digest"));
	box_whole(&box, -1, "closed directories");
	conex_error_free(err);
	close(layer.fd);
}

TEST(options)
{
	conex_error *err = NULL;
	struct cx_unpack_options o = { .whiteouts = 7 };

	CHECK_INT(box_unpack(&box, "gzip", 1, "", o, &err), -EINVAL);
	o = (struct cx_unpack_options){ .flags = 64 };
	CHECK_INT(box_unpack(&box, "gzip", 1, "", o, &err), -EINVAL);
	o = own;
	CHECK_INT(box_unpack(&box, "gzip", 1, "path=5000", o, &err), -EINVAL);
	CHECK_STR(conex_error_object(err), "limits.path");
	o.flags |= CX_UNPACK_SYNC;
	CHECK_INT(box_unpack(&box, "gzip", 1, "", o, &err), 0);
	box_empty(&box);
	conex_error_free(err);
}

/* Root's part is making and removing the box. */
static void become_nobody(void)
{
	CHECK(fchown(box.out, 65534, 65534) == 0 && setgroups(0, NULL) == 0 && setresgid(65534, 65534, 65534) == 0
		&& setresuid(65534, 65534, 65534) == 0);
}

static int run_all(void)
{
	if (getuid() == 0)
		become_nobody();
	RUN(corpus);
	RUN(sources_that_drip);
	RUN(owners);
	RUN(closed_directories);
	RUN(options);
	return test_end();
}

int main(void)
{
	int status = 1;
	pid_t pid;

	if (!box_make(&box))
		return 1;
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		exit(run_all());
	waitpid(pid, &status, 0);
	box_remove(&box);
	return status != 0;
}
