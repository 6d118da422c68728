/* Hostile layers as root: each is refused and leaves nothing, or lands within its directory; canaries beside it say
 * that nothing else was touched. Cut and changed layers, lies about digests and sizes, limits. */
#include <signal.h>
#include "system/unpack.h"
#include "image/worker/hash.h"

static struct box box;

TEST(corpus)
{
	const struct cx_unpack_options o = { .whiteouts = CX_WHITEOUT_OVERLAY };
	int descriptors = box_open_count("/proc/self/fd"), threads = box_open_count("/proc/self/task");
	int n = box_corpus(&box, &o, 1);

	printf("# %d layers\n", n);
	CHECK(n >= 240);
	CHECK_INT(box_open_count("/proc/self/fd"), descriptors);
	CHECK(box_open_count("/proc/self/task") < threads + 10);     /* the last may be on its way out */
}

TEST(corpus_for_userxattr)
{
	const struct cx_unpack_options o = { .whiteouts = CX_WHITEOUT_USER, .flags = CX_UNPACK_ROOTLESS };

	CHECK(box_corpus(&box, &o, 1) >= 240);
}

/* ---- a layer in memory ---------------------------------------------------------------------------- */

struct bytes { char *data; size_t size, at; };

static ssize_t read_bytes(void *self, void *to, size_t size)
{
	struct bytes *b = self;

	size = size < b->size - b->at ? size : b->size - b->at;
	memcpy(to, b->data + b->at, size);
	b->at += size;
	return (ssize_t)size;
}

static struct bytes load(const char *name)
{
	struct bytes b = { .data = malloc(1 << 20) };
	int fd = box_open(box.corpus, name, 0);
	ssize_t n = read(fd, b.data, 1 << 20);

	CHECK(n > 0);
	b.size = n > 0 ? (size_t)n : 0;
	close(fd);
	return b;
}

static void digest_of(const struct bytes *b, const char *algorithm, char text[CX_LAYER_DIGEST])
{
	struct cx_hash *h = NULL;

	CHECK_INT(cx_hash_new(algorithm, "digest", &h, NULL), 0);
	cx_hash_add(h, b->data, b->size);
	CHECK_INT(cx_hash_end(h, text), 0);
	cx_hash_free(h);
}

static int unpack(struct bytes *b, struct cx_packed layer, struct cx_unpack_result *result, conex_error **err)
{
	int r;

	b->at = 0;
	layer.read = read_bytes;
	layer.self = b;
	r = cx_unpack_layer(box.out, "t", &layer, NULL, result, err);
	box_whole(&box, r, "a layer in memory");
	box_empty(&box);
	return r;
}

#define SOME_LAYER "duplicate-of-hardlink"

static const char *const kinds[] = { SOME_LAYER, "gzip", "gzip-members", "zstd-skippable" };

/* Cut anywhere: never more than was there; and with a digest always refused. */
TEST(cut)
{
	for (size_t k = 0; k < CX_ARRAY_SIZE(kinds); k++) {
		struct bytes b = load(kinds[k]);
		char digest[CX_LAYER_DIGEST];
		size_t whole = b.size;

		digest_of(&b, NULL, digest);
		for (b.size = 0; b.size < whole; b.size += 1 + whole / 97) {
			unpack(&b, (struct cx_packed){ .media = CX_PACKED_ANY }, NULL, NULL);
			CHECK(unpack(&b, (struct cx_packed){ .digest = digest }, NULL, NULL) < 0);
			CHECK_INT(unpack(&b, (struct cx_packed){ .size = whole }, NULL, NULL), -EBADMSG);
		}
		b.size = whole;
		CHECK_INT(unpack(&b, (struct cx_packed){ .digest = digest, .size = whole }, NULL, NULL), 0);
		free(b.data);
	}
}

/* One byte is another one. */
TEST(changed)
{
	for (size_t k = 0; k < CX_ARRAY_SIZE(kinds); k++) {
		struct bytes b = load(kinds[k]);
		char digest[CX_LAYER_DIGEST];

		digest_of(&b, NULL, digest);
		for (size_t at = 0; at < b.size; at += 1 + b.size / 149) {
			b.data[at] ^= (char)(1 << at % 8);
			unpack(&b, (struct cx_packed){ .media = CX_PACKED_ANY }, NULL, NULL);
			CHECK(unpack(&b, (struct cx_packed){ .digest = digest }, NULL, NULL) < 0);
			b.data[at] ^= (char)(1 << at % 8);
		}
		CHECK_INT(unpack(&b, (struct cx_packed){ .digest = digest }, NULL, NULL), 0);
		free(b.data);
	}
}

/* The last digit, or the first one, is another. */
static void spoil(char *digest, int last)
{
	char *c = last ? digest + strlen(digest) - 1 : strchr(digest, ':') + 1;

	*c = *c == '0' ? '1' : '0';
}

#define SHA512 "sha512:0000000000000000000000000000000000000000000000000000000000000000" \
	"0000000000000000000000000000000000000000000000000000000000000000"

TEST(lies_about_digests)
{
	struct bytes b = load("gzip"), tar = load("zstd");
	struct cx_unpack_result found = { .media = 0 };
	char digest[CX_LAYER_DIGEST], diff_id[CX_LAYER_DIGEST];

	CHECK_INT(unpack(&b, (struct cx_packed){ .fd = -1 }, &found, NULL), 0);
	digest_of(&b, NULL, digest);
	CHECK_STR(found.digest, digest);
	CHECK_INT(found.compressed, b.size);
	CHECK_INT(found.media, CX_PACKED_GZIP);
	strcpy(diff_id, found.diff_id);
	CHECK_INT(unpack(&tar, (struct cx_packed){ .diff_id = diff_id }, &found, NULL), 0);      /* the same tar, packed otherwise */
	CHECK_INT(found.media, CX_PACKED_ZSTD);
	for (int last = 0; last < 2; last++) {
		spoil(digest, last);
		CHECK_INT(unpack(&b, (struct cx_packed){ .digest = digest, .diff_id = diff_id }, NULL, NULL), -EBADMSG);
		spoil(diff_id, last);
		CHECK_INT(unpack(&b, (struct cx_packed){ .diff_id = diff_id }, NULL, NULL), -EBADMSG);
		digest_of(&b, NULL, digest);
	}
	digest_of(&b, SHA512, digest);
	CHECK_INT(unpack(&b, (struct cx_packed){ .digest = digest }, NULL, NULL), 0);
	spoil(digest, 1);
	CHECK_INT(unpack(&b, (struct cx_packed){ .digest = digest }, NULL, NULL), -EBADMSG);
	free(b.data);
	free(tar.data);
}

/* A plain tar is hashed once, unless two algorithms are asked for. */
TEST(digests_of_a_plain_layer)
{
	struct bytes b = load(SOME_LAYER);
	struct cx_unpack_result found = { .media = 0 };
	char digest[CX_LAYER_DIGEST], longer[CX_LAYER_DIGEST];

	digest_of(&b, NULL, digest);
	digest_of(&b, SHA512, longer);
	CHECK_INT(unpack(&b, (struct cx_packed){ .digest = digest, .diff_id = digest }, &found, NULL), 0);
	CHECK_STR(found.digest, digest);
	CHECK_STR(found.diff_id, digest);
	CHECK_INT(found.media, CX_PACKED_TAR);
	CHECK_INT(unpack(&b, (struct cx_packed){ .digest = digest, .diff_id = longer }, &found, NULL), 0);
	CHECK_STR(found.diff_id, longer);
	CHECK_INT(unpack(&b, (struct cx_packed){ .digest = longer, .diff_id = digest }, &found, NULL), 0);
	CHECK_STR(found.diff_id, digest);
	spoil(longer, 1);
	CHECK_INT(unpack(&b, (struct cx_packed){ .digest = digest, .diff_id = longer }, NULL, NULL), -EBADMSG);
	spoil(digest, 1);
	CHECK_INT(unpack(&b, (struct cx_packed){ .diff_id = digest }, NULL, NULL), -EBADMSG);
	free(b.data);
}

TEST(digests_that_are_none)
{
	static const char *const none[] = { "", "sha256:", "sha256:../../x", "md5:00", "sha256:0", "SHA256:00",
		"sha256:GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG",
		"sha256:00000000000000000000000000000000000000000000000000000000000000000",
		"sha256:0000000000000000000000000000000000000000000000000000000000000000\n",
		"sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" };
	struct bytes b = load("gzip");

	for (size_t i = 0; i < CX_ARRAY_SIZE(none); i++) {
		CHECK_INT(unpack(&b, (struct cx_packed){ .digest = none[i] }, NULL, NULL), -EINVAL);
		CHECK_INT(unpack(&b, (struct cx_packed){ .diff_id = none[i] }, NULL, NULL), -EINVAL);
	}
	free(b.data);
}

TEST(lies_about_size_and_media)
{
	struct bytes b = load("gzip");

	CHECK_INT(unpack(&b, (struct cx_packed){ .size = b.size - 1 }, NULL, NULL), -EBADMSG);
	CHECK_INT(unpack(&b, (struct cx_packed){ .size = b.size + 1 }, NULL, NULL), -EBADMSG);
	CHECK_INT(unpack(&b, (struct cx_packed){ .size = b.size }, NULL, NULL), 0);
	CHECK_INT(unpack(&b, (struct cx_packed){ .media = CX_PACKED_GZIP }, NULL, NULL), 0);
	CHECK_INT(unpack(&b, (struct cx_packed){ .media = CX_PACKED_ZSTD }, NULL, NULL), -EBADMSG);
	CHECK_INT(unpack(&b, (struct cx_packed){ .media = CX_PACKED_TAR }, NULL, NULL), -EBADMSG);
	free(b.data);
}

/* ---- where it goes --------------------------------------------------------------------------------- */

TEST(a_name_that_is_taken)
{
	struct bytes b = load("gzip");
	struct cx_packed layer = { .read = read_bytes, .self = &b };
	static const char *const bad[] = { "", ".", "..", "a/b", "/t" };
	conex_error *err = NULL;
	char first[256];

	tree_write(box.out, "t", "mine");
	CHECK_INT(cx_unpack_layer(box.out, "t", &layer, NULL, NULL, &err), -EEXIST);
	CHECK_INT(b.at, 0);     /* nothing was read */
	conex_error_free(err);
	for (size_t i = 0; i < CX_ARRAY_SIZE(bad); i++)
		CHECK_INT(cx_unpack_layer(box.out, bad[i], &layer, NULL, NULL, NULL), -EINVAL);
	CHECK_INT(box_count(box.out, first), 1);
	unlinkat(box.out, "t", 0);
	free(b.data);
}

struct late { struct bytes bytes; int fd; };

/* The name is taken while the layer is on its way. */
static ssize_t read_late(void *self, void *to, size_t size)
{
	struct late *l = self;

	if (l->bytes.at == 0)
		mkdirat(l->fd, "t", 0700);
	return read_bytes(&l->bytes, to, size);
}

TEST(a_name_taken_meanwhile)
{
	struct late l = { load("gzip"), box.out };
	struct cx_packed layer = { .read = read_late, .self = &l };
	char first[256];

	CHECK_INT(cx_unpack_layer(box.out, "t", &layer, NULL, NULL, NULL), -EEXIST);
	CHECK_INT(box_count(box.out, first), 1);
	CHECK_INT(unlinkat(box.out, "t", AT_REMOVEDIR), 0);     /* it is as empty as it was */
	free(l.bytes.data);
}

/* A source that fails, and one that says nothing more: a bad layer is refused without waiting for its rest. */
static ssize_t read_failing(void *self, void *to, size_t size)
{
	(void)self, (void)to, (void)size;
	return -ECONNRESET;
}

TEST(sources_that_fail)
{
	struct cx_packed layer = { .read = read_failing };
	struct bytes bad = load("noise");
	int fds[2];

	CHECK_INT(cx_unpack_layer(box.out, "t", &layer, NULL, NULL, NULL), -ECONNRESET);
	box_whole(&box, -1, "a source that fails");
	layer = (struct cx_packed){ .fd = -1 };
	CHECK_INT(cx_unpack_layer(box.out, "t", &layer, NULL, NULL, NULL), -EBADF);
	box_whole(&box, -1, "no source");
	CHECK_INT(pipe2(fds, O_CLOEXEC), 0);
	fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
	for (int i = 0; i < 60; i++)    /* more than what is read at once */
		CHECK_INT(write(fds[1], bad.data, bad.size), bad.size);
	layer.fd = fds[0];
	CHECK_INT(cx_unpack_layer(box.out, "t", &layer, NULL, NULL, NULL), -EBADMSG);
	box_whole(&box, -1, "a pipe that stays open");
	close(fds[0]);
	close(fds[1]);
	free(bad.data);
}

/* Killed at any time: what is left has a passing name, and nothing has the real one. */
TEST(killed)
{
	for (int i = 0; i < 20; i++) {
		char first[256], command[256];
		pid_t pid = fork();

		if (pid == 0) {
			struct cx_packed layer = { .fd = box_open(box.corpus, "bomb-global-many", 0) };

			box_unpack(&box, "bomb-file", 1, "", (struct cx_unpack_options){ .flags = 0 }, NULL);
			cx_unpack_layer(box.out, "t", &layer, NULL, NULL, NULL);
			_exit(0);
		}
		usleep((useconds_t)(i * 300));
		kill(pid, SIGKILL);
		CHECK_INT(waitpid(pid, NULL, 0), pid);
		CHECK(box_count(box.out, first) <= 1);
		CHECK(!*first || !strcmp(first, "t") || !strncmp(first, ".unpack-", 8));
		snprintf(command, sizeof command, "rm -rf '%s/out/'t '%s/out/'.unpack-*", box.path, box.path);
		CHECK_INT(system(command), 0);
	}
}

int main(void)
{
	if (getuid() != 0) {
		printf("1..0 # SKIP devices and owners take root\n");
		return 0;
	}
	if (!box_make(&box))
		return 1;
	RUN(corpus);
	RUN(corpus_for_userxattr);
	RUN(cut);
	RUN(changed);
	RUN(lies_about_digests);
	RUN(digests_of_a_plain_layer);
	RUN(digests_that_are_none);
	RUN(lies_about_size_and_media);
	RUN(a_name_that_is_taken);
	RUN(a_name_taken_meanwhile);
	RUN(sources_that_fail);
	RUN(killed);
	box_remove(&box);
	return test_end();
}
