/* Names of images and digests: the grammar of distribution/reference (the cases of its own tests are in the
 * tables, as facts), and what is refused beyond it. */
#include "image/reference.h"
#include "image/refuse.h"
#include "test.h"

#define HEX8 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SHA256 "sha256:" HEX8
#define SHA512 "sha512:" HEX8 HEX8
#define A10 "a/a/a/a/a/a/a/a/a/a/"

struct good { const char *text, *host, *repository, *tag, *digest, *familiar; };

static const struct good good[] = {
	{ "alpine", "docker.io", "library/alpine", "latest", "", "alpine:latest" },
	{ "alpine:3.20", "docker.io", "library/alpine", "3.20", "", "alpine:3.20" },
	{ "library/alpine", "docker.io", "library/alpine", "latest", "", "alpine:latest" },
	{ "docker.io/alpine", "docker.io", "library/alpine", "latest", "", "alpine:latest" },
	{ "docker.io/library/alpine", "docker.io", "library/alpine", "latest", "", "alpine:latest" },
	{ "index.docker.io/alpine", "docker.io", "library/alpine", "latest", "", "alpine:latest" },
	{ "index.docker.io/library/ubuntu-12.04-base", "docker.io", "library/ubuntu-12.04-base", "latest", "",
	  "ubuntu-12.04-base:latest" },
	{ "fooo/bar", "docker.io", "fooo/bar", "latest", "", "fooo/bar:latest" },
	{ "library/foo/bar", "docker.io", "library/foo/bar", "latest", "", "library/foo/bar:latest" },
	{ "docker.io/library/foo/bar", "docker.io", "library/foo/bar", "latest", "", "library/foo/bar:latest" },
	{ "store/foo/bar", "docker.io", "store/foo/bar", "latest", "", "store/foo/bar:latest" },
	{ "other/library", "docker.io", "other/library", "latest", "", "other/library:latest" },
	{ "test_com", "docker.io", "library/test_com", "latest", "", "test_com:latest" },
	{ "test.com:tag", "docker.io", "library/test.com", "tag", "", "test.com:tag" },
	{ "test.com:5000", "docker.io", "library/test.com", "5000", "", "test.com:5000" },
	{ "test.com/repo:tag", "test.com", "repo", "tag", "", "test.com/repo:tag" },
	{ "test:5000/repo", "test:5000", "repo", "latest", "", "test:5000/repo:latest" },
	{ "test:5000/repo:tag", "test:5000", "repo", "tag", "", "test:5000/repo:tag" },
	{ "test:5000/repo@" SHA256, "test:5000", "repo", "", SHA256, "test:5000/repo@" SHA256 },
	{ "test:5000/repo:tag@" SHA256, "test:5000", "repo", "tag", SHA256, "test:5000/repo:tag@" SHA256 },
	{ "busybox:latest@" SHA256, "docker.io", "library/busybox", "latest", SHA256, "busybox:latest@" SHA256 },
	{ "redis@" SHA256, "docker.io", "library/redis", "", SHA256, "redis@" SHA256 },
	{ "xn--7o8h.com/myimage:xn--7o8h.com@" SHA512, "xn--7o8h.com", "myimage", "xn--7o8h.com", SHA512,
	  "xn--7o8h.com/myimage:xn--7o8h.com@" SHA512 },
	{ "lowercase:Uppercase", "docker.io", "library/lowercase", "Uppercase", "", "lowercase:Uppercase" },
	{ "sub-dom1.foo.com/bar/baz/quux:some-long-tag", "sub-dom1.foo.com", "bar/baz/quux", "some-long-tag", "",
	  "sub-dom1.foo.com/bar/baz/quux:some-long-tag" },
	{ "b.gcr.io/test.example.com/my-app:test.example.com", "b.gcr.io", "test.example.com/my-app", "test.example.com",
	  "", "b.gcr.io/test.example.com/my-app:test.example.com" },
	{ "foo_bar.com:8080", "docker.io", "library/foo_bar.com", "8080", "", "foo_bar.com:8080" },
	{ "foo/foo_bar.com:8080", "docker.io", "foo/foo_bar.com", "8080", "", "foo/foo_bar.com:8080" },
	{ "192.168.1.1", "docker.io", "library/192.168.1.1", "latest", "", "192.168.1.1:latest" },
	{ "192.168.1.1:5000", "docker.io", "library/192.168.1.1", "5000", "", "192.168.1.1:5000" },
	{ "192.168.1.1:5000/repo:5050", "192.168.1.1:5000", "repo", "5050", "", "192.168.1.1:5000/repo:5050" },
	{ "[2001:db8::1]/repo", "[2001:db8::1]", "repo", "latest", "", "[2001:db8::1]/repo:latest" },
	{ "[2001:db8:1:2:3:4:5:6]/repo:tag", "[2001:db8:1:2:3:4:5:6]", "repo", "tag", "",
	  "[2001:db8:1:2:3:4:5:6]/repo:tag" },
	{ "[2001:db8::1]:5000/repo:tag@" SHA256, "[2001:db8::1]:5000", "repo", "tag", SHA256,
	  "[2001:db8::1]:5000/repo:tag@" SHA256 },
	{ "[2001:db8::]:5000/repo", "[2001:db8::]:5000", "repo", "latest", "", "[2001:db8::]:5000/repo:latest" },
	{ "[::1]:65535/repo", "[::1]:65535", "repo", "latest", "", "[::1]:65535/repo:latest" },
	{ "[2001:0DB8:85a3:0000:0000:8a2e:0370:7334]:5050/a", "[2001:0DB8:85a3:0000:0000:8a2e:0370:7334]:5050", "a",
	  "latest", "", "[2001:0DB8:85a3:0000:0000:8a2e:0370:7334]:5050/a:latest" },
	{ "localhost", "docker.io", "library/localhost", "latest", "", "localhost:latest" },
	{ "localhost:8080@" SHA256, "docker.io", "library/localhost", "8080", SHA256, "localhost:8080@" SHA256 },
	{ "localhost/name", "localhost", "name", "latest", "", "localhost/name:latest" },
	{ "localhost:8080/bar", "localhost:8080", "bar", "latest", "", "localhost:8080/bar:latest" },
	{ "Foo/bar", "Foo", "bar", "latest", "", "Foo/bar:latest" },
	{ "DOCKER/docker", "DOCKER", "docker", "latest", "", "DOCKER/docker:latest" },
	{ "Asdf.com/foo/bar", "Asdf.com", "foo/bar", "latest", "", "Asdf.com/foo/bar:latest" },
	{ "0101.com/x", "0101.com", "x", "latest", "", "0101.com/x:latest" },
	{ "a-b.com/x", "a-b.com", "x", "latest", "", "a-b.com/x:latest" },
	{ "do__cker/docker", "docker.io", "do__cker/docker", "latest", "", "do__cker/docker:latest" },
	{ "docker---rules/docker", "docker.io", "docker---rules/docker", "latest", "", "docker---rules/docker:latest" },
	{ "example.com/some_separator__underscore/myimage", "example.com", "some_separator__underscore/myimage", "latest",
	  "", "example.com/some_separator__underscore/myimage:latest" },
	{ "registry.io/foo/project--id.module--name.ver---sion--name", "registry.io",
	  "foo/project--id.module--name.ver---sion--name", "latest", "",
	  "registry.io/foo/project--id.module--name.ver---sion--name:latest" },
	{ "example.com/xn--7o8h.com/myimage", "example.com", "xn--7o8h.com/myimage", "latest", "",
	  "example.com/xn--7o8h.com/myimage:latest" },
	{ "a/a/a/a", "docker.io", "a/a/a/a", "latest", "", "a/a/a/a:latest" },
	{ "d/docker", "docker.io", "d/docker", "latest", "", "d/docker:latest" },
	{ "thisisthesongthatneverendsitgoesonandonandonthisisthesongthatnev", "docker.io",
	  "library/thisisthesongthatneverendsitgoesonandonandonthisisthesongthatnev", "latest", "",
	  "thisisthesongthatneverendsitgoesonandonandonthisisthesongthatnev:latest" },
	/* what distribution/reference prints short, and takes for something else then */
	{ "docker.io/" HEX8, "docker.io", "library/" HEX8, "latest", "", HEX8 ":latest" },
	{ "docker.io/" HEX8 "@" SHA256, "docker.io", "library/" HEX8, "", SHA256, HEX8 "@" SHA256 },
	{ "docker.io/a.b/c", "docker.io", "a.b/c", "latest", "", "docker.io/a.b/c:latest" },
	{ "docker.io/localhost/c:1", "docker.io", "localhost/c", "1", "", "docker.io/localhost/c:1" },
	{ "dbcc1c35ac38df41fd2f5e4130b32ffdb93ebae8b3dbe638c23575912276fc9", "docker.io",
	  "library/dbcc1c35ac38df41fd2f5e4130b32ffdb93ebae8b3dbe638c23575912276fc9", "latest", "",
	  "dbcc1c35ac38df41fd2f5e4130b32ffdb93ebae8b3dbe638c23575912276fc9:latest" },
	{ "sha256:12", "docker.io", "library/sha256", "12", "", "sha256:12" },
	{ "a:_", "docker.io", "library/a", "_", "", "a:_" },
	{ "a.io/" A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 "a/a/a/a/a/a/a/a", "a.io",
	  A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 "a/a/a/a/a/a/a/a", "latest", "",
	  "a.io/" A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 "a/a/a/a/a/a/a/a:latest" },
};

static const char *const bad[] = {
	"", ":justtag", "@" SHA256, "repo@sha256:ffffffffffffffffffffffffffffffffff", "Uppercase:tag",
	"validname@invaliddigest:" HEX8, "test:5000/Uppercase/lowercase:tag", "aa/asdf$$^/aa", "[2001:db8::1]",
	"[2001:db8::1]:5000", "[2001:db8::1]:tag", "[fe80::1%eth0]:5000/repo", "[fe80::1%@invalidzone]:5000/repo",
	"https://github.com/docker/docker", "docker/Docker", "-docker", "-docker/docker", "-docker.io/docker/docker",
	"docker///docker", "docker.io/docker/Docker", "docker.io/docker///docker", "fc00::1:5000/debian",
	"[2001:db8:3:4::192.0.2.33]:5000/debian", HEX8, SHA256, SHA512, "docker-/docker", "-docker-/docker", "____/____",
	"_docker/_docker", "dock..er/docker", "dock_.er/docker", "dock-.er/docker", "docker/", "-foo", "a/a/a/a/", "a//a/a",
	"foo.com/", "foo.com:http/bar", "a^a", "a-/a/a/a", "foo.com/a-/a/a", "foo/bar-", "foo/-bar", "foo_bar.com:8080/app",
	"example.com/__underscore/myimage", "example.com/..dots/myimage", "example.com/.dots/myimage",
	"example.com/nodouble..dots/myimage", "docker./docker", ".docker/docker", "do__cker:8080/docker",
	"registry.com:8080/myapp@sha256:badbadbadbad", "registry.com:8080/myapp:invalid~tag",
	"localhost:http/name@" SHA256, "registry.com:8080/myapp@bad", "registry.com:8080/myapp@2bad", "Foo/FarB",
	"[fd00:1:2::3]75050/x", "[fd00:1:2::3]::5050/x", "ab-.com/x", "ab.-com/x", "ab.com-/x",
	/* fine for its grammar, and for no registry */
	"[fd00123123123]:5050/x", "[:::::]/x", "192.168.1.1:75050/x", "test.com:0/x", "test.com:/x", "foo_bar.com/x", "A_b/x",
	/* paths in disguise, and what terminals and C strings would trip over */
	"../x", "a/../b", "/a", "a/.", "a/..", "a.io/../../etc/passwd", "a\\b", "a b", " a", "a ", "a\n", "a\t:x", "a:x\n", "\x1b[2J",
	"caf\xc3\xa9", "a:caf\xc3\xa9", "a%2fb", "a:", "a:-x", "a:.x", "a@", "a:x@", "a:x:y", "a:x/y", "a@" SHA256 "0", "a@" SHA256 ":x",
	"a@" SHA256 "@" SHA256, "a@SHA256:" HEX8, "a@sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
	"a@sha512:" HEX8, "a@sha256:" HEX8 HEX8, "a@sha384:" HEX8, "a@md5:0123456789abcdef0123456789abcdef",
	"a@sha256:../../../../../../../../../../../../../../../../../../../../x", "a@:" HEX8, "[::1/x", "[]/x", "[/x", "]/x",
	"[::1]a/x", "a__b___c/x", "a..b", "a:b/c@" SHA256, "localhost/", "localhost:5000/",
};

static void check(const struct good *g)
{
	struct cx_reference r, again;
	char text[CX_REFERENCE_TEXT], digest[CX_DIGEST_TEXT];
	conex_error *err = NULL;

	if (!CHECK_INT(cx_reference_parse(g->text, &r, &err), 0)) {
		printf("# %s: %s\n", g->text, conex_error_text(err));
		conex_error_free(err);
		return;
	}
	CHECK_STR(r.host, g->host);
	CHECK_STR(r.repository, g->repository);
	CHECK_STR(r.tag, g->tag);
	cx_digest_print(&r.digest, digest);
	CHECK_STR(digest, g->digest);
	cx_reference_familiar(&r, text);
	CHECK_STR(text, g->familiar);
	CHECK(cx_reference_parse(text, &again, NULL) == 0 && cx_reference_equal(&r, &again));
	cx_reference_print(&r, text);
	CHECK(cx_reference_parse(text, &again, NULL) == 0 && cx_reference_equal(&r, &again));
	cx_reference_wanted(&r, digest);
	CHECK_STR(digest, *g->digest ? g->digest : g->tag);
}

TEST(taken)
{
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		check(&good[i]);
}

static int is_printable(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return 0;
	return 1;
}

TEST(refused)
{
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct cx_reference r = { .host = "untouched" };
		conex_error *err = NULL;
		int e = cx_reference_parse(bad[i], &r, &err);

		if (e != -EINVAL && e != -EOPNOTSUPP)
			CHECK_STR(bad[i], "refused");
		CHECK_STR(r.host, "untouched");
		CHECK_INT(conex_error_stage(err), CONEX_STAGE_IMAGE);
		CHECK(*conex_error_hint(err) && is_printable(conex_error_text(err)));
		conex_error_free(err);
	}
	CHECK_INT(cx_reference_parse(NULL, &(struct cx_reference){ .tag = "" }, NULL), -EINVAL);
}

/* Each limit, and one more. */
TEST(lengths)
{
	char text[CX_REFERENCE_TEXT], part[300];
	struct cx_reference r;

	memset(part, 'a', sizeof part);
	for (int n = 250; n < 260; n++) {
		snprintf(text, sizeof text, "a.io/%.*s", n, part);
		CHECK_INT(cx_reference_parse(text, &r, NULL), n <= 255 ? 0 : -EINVAL);
		snprintf(text, sizeof text, "%.*s", n, part);   /* with library/ before it */
		CHECK_INT(cx_reference_parse(text, &r, NULL), n <= 247 ? 0 : -EINVAL);
		snprintf(text, sizeof text, "%.*s.o/a", n - 2, part);
		CHECK_INT(cx_reference_parse(text, &r, NULL), n <= 253 ? 0 : -EINVAL);
		snprintf(text, sizeof text, "%.*s.o:65535/a", n - 8, part);
		CHECK_INT(cx_reference_parse(text, &r, NULL), n <= 255 ? 0 : -EINVAL);
	}
	for (int n = 126; n < 131; n++) {
		snprintf(text, sizeof text, "a:%.*s", n, part);
		CHECK_INT(cx_reference_parse(text, &r, NULL), n <= 128 ? 0 : -EINVAL);
	}
	/* the longest of all fits */
	snprintf(text, sizeof text, "%.247s.o:65535/%.255s:%.128s@" SHA512, part, part, part);
	if (CHECK_INT(cx_reference_parse(text, &r, NULL), 0)) {
		char printed[CX_REFERENCE_TEXT];

		cx_reference_print(&r, printed);
		CHECK_STR(printed, text);
	}
}

TEST(names)
{
	struct cx_reference r, other;
	char text[CX_REFERENCE_TEXT];

	CHECK_INT(cx_reference_parse("[::1]:5000/a/b:t@" SHA256, &r, NULL), 0);
	cx_reference_name(&r, text);
	CHECK_STR(text, "[::1]:5000/a/b");
	CHECK_INT(cx_reference_parse("[::1]:5000/a/b:t", &other, NULL), 0);
	CHECK(!cx_reference_equal(&r, &other));
}

TEST(errors)
{
	struct cx_reference r;
	conex_error *err = NULL;

	cx_reference_parse("docker/Docker", &r, &err);
	CHECK_STR(conex_error_text(err), "image: image = docker/Docker: Invalid argument; names of images are lower case");
	cx_reference_parse("a\x1b[31m\xff\xe2\x80\xae", &r, &err);
	CHECK_STR(conex_error_object(err), "image = a\\x1b[31m\\xff\\xe2\\x80\\xae");
	cx_reference_parse("a@sha384:00", &r, &err);
	CHECK_INT(conex_error_code(err), -EOPNOTSUPP);
	conex_error_free(err);
}

static const char *quoted(const char *text, size_t max)
{
	static char line[256];
	cx_autostr to = { .data = NULL };

	cx_image_quote(&to, text, max);
	snprintf(line, sizeof line, "%s", to.data ? to.data : "");
	return line;
}

TEST(quoting)
{
	CHECK_STR(quoted("", 9), "");
	CHECK_STR(quoted("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb3", 99), "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb3");
	CHECK_STR(quoted("123456789", 9), "123456789");
	CHECK_STR(quoted("1234567890", 9), "123456789...");
	CHECK_STR(quoted("\x7f\x01\n\r\t", 9), "\\x7f\\x01\\x0a\\x0d\\x09");
	CHECK_STR(quoted("\xc2\x9b" "31m", 9), "\\xc2\\x9b31m");               /* C1's CSI */
	CHECK_STR(quoted("\xc0\x80 \xe0\x80\x80 \xf0\x80\x80\x80", 99), "\\xc0\\x80 \\xe0\\x80\\x80 \\xf0\\x80\\x80\\x80");
	CHECK_STR(quoted("\xed\xa0\x80 \xf4\x90\x80\x80 \xff", 99), "\\xed\\xa0\\x80 \\xf4\\x90\\x80\\x80 \\xff");
	CHECK_STR(quoted("\xe2\x82", 9), "\\xe2\\x82");                       /* cut short */
	CHECK_STR(quoted("\xe2\x80\x8b\xef\xbb\xbf", 99), "\\xe2\\x80\\x8b\\xef\\xbb\\xbf");
}

TEST(digests)
{
	struct cx_digest d, e;
	char text[CX_DIGEST_TEXT];
	unsigned char bytes[CX_DIGEST_BYTES];

	CHECK_INT(cx_digest_parse(SHA256, "x", &d, NULL), 0);
	CHECK_INT(cx_digest_size(&d), 32);
	CHECK_INT(d.bytes[0], 0x01);
	CHECK_INT(d.bytes[31], 0xef);
	CHECK_INT(d.bytes[32], 0);
	cx_digest_path(&d, text);
	CHECK_STR(text, "sha256/" HEX8);
	CHECK_INT(cx_digest_from_path("sha256", HEX8, &e), 0);
	CHECK(cx_digest_equal(&d, &e));
	CHECK_INT(cx_digest_from_path("sha512", HEX8, &e), -EINVAL);
	CHECK_INT(cx_digest_from_path("", "", &e), -EINVAL);
	CHECK_INT(cx_digest_from_path("sha256", HEX8 ".tmp", &e), -EINVAL);
	memcpy(bytes, d.bytes, sizeof bytes);
	bytes[32] = 1;          /* of no meaning to a digest of 32 bytes */
	e = cx_digest_of(CX_DIGEST_SHA256, bytes);
	CHECK(cx_digest_equal(&d, &e));
	e = cx_digest_of(CX_DIGEST_SHA512, bytes);
	CHECK(!cx_digest_equal(&d, &e));
	CHECK_INT(cx_digest_size(&e), 64);
	CHECK_INT(cx_digest_of(7, bytes).algorithm, CX_DIGEST_NONE);
	cx_digest_print(&(struct cx_digest){ .algorithm = CX_DIGEST_NONE }, text);
	CHECK_STR(text, "");
	CHECK(cx_digest_looks_like(SHA512) && !cx_digest_looks_like("sha512") && !cx_digest_looks_like(""));
}

int main(void)
{
	RUN(taken);
	RUN(refused);
	RUN(lengths);
	RUN(names);
	RUN(errors);
	RUN(quoting);
	RUN(digests);
	return test_end();
}
