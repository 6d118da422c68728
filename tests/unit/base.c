/* lib/base: errors, strings, options, sizes, small files, and paths that try to get out. */
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include "base/numbers.h"
#include "base/error.h"
#include "base/kernel.h"
#include "base/options.h"
#include "base/path.h"
#include "base/str.h"

TEST(error_says_all)
{
	conex_error *e = NULL, *copy;

	CHECK_INT(cx_fail(&e, CONEX_STAGE_PLAN, -EACCES, "move_mount", "be root", "mounts[%d] %s", 2, "/proc"), -EACCES);
	CHECK_INT(conex_error_code(e), -EACCES);
	CHECK_INT(conex_error_stage(e), CONEX_STAGE_PLAN);
	CHECK_STR(conex_error_object(e), "mounts[2] /proc");
	CHECK_STR(conex_error_call(e), "move_mount");
	CHECK_STR(conex_error_hint(e), "be root");
	CHECK_STR(conex_error_text(e), "plan: mounts[2] /proc: move_mount: Permission denied; be root");
	copy = cx_error_copy(e);
	CHECK_INT(cx_fail(&e, CONEX_STAGE_EXEC, -ENOENT, NULL, NULL, "%s", "/bin/sh"), -ENOENT); /* replaces */
	CHECK_STR(conex_error_text(e), "exec: /bin/sh: No such file or directory");
	CHECK_STR(conex_error_call(e), "");
	CHECK_STR(conex_error_object(copy), "mounts[2] /proc");
	conex_error_free(copy);
	conex_error_free(e);
}

TEST(error_of_nothing)
{
	conex_error *e = NULL;

	CHECK_INT(conex_error_code(NULL), 0);
	CHECK_STR(conex_error_text(NULL), "");
	CHECK_STR(conex_error_object(NULL), "");
	CHECK(cx_error_copy(NULL) == NULL);
	conex_error_free(NULL);
	CHECK_INT(cx_fail(NULL, CONEX_STAGE_RUN, -EIO, NULL, NULL, "x"), -EIO);
	CHECK_INT(cx_fail_memory(NULL), -ENOMEM);
	CHECK_INT(cx_fail_memory(&e), -ENOMEM);
	CHECK_STR(conex_error_text(e), "out of memory");
	CHECK(cx_error_copy(e) == e);
	conex_error_free(e);
	conex_error_free(e);    /* it is static: harmless */
	e = NULL;
	errno = 0;
	CHECK_INT(cx_fail_errno(&e, CONEX_STAGE_RUN, NULL, NULL, "x"), -EIO);
	conex_error_free(e);
}

TEST(error_refuses)
{
	conex_error *e = NULL;
	char value[200];

	memset(value, 'v', sizeof value - 1);
	value[sizeof value - 1] = '\0';
	CHECK_INT(cx_refuse(&e, -EINVAL, "process.cwd", "relative", "begin it with %s", "/"), -EINVAL);
	CHECK_STR(conex_error_text(e), "spec: process.cwd = relative: Invalid argument; begin it with /");
	CHECK_INT(cx_refuse(&e, -EINVAL, "process.cwd", value, "shorter"), -EINVAL);
	CHECK_INT(strlen(conex_error_object(e)), strlen("process.cwd = ...") + 80);
	CHECK_INT(cx_refuse(&e, -EINVAL, "process.args", NULL, "add it"), -EINVAL);
	CHECK_STR(conex_error_object(e), "process.args");
	conex_error_free(e);
}

TEST(strings_grow)
{
	cx_autostr s = { 0 };
	cx_autofree char *text = NULL;

	for (int i = 0; i < 1000; i++)
		CHECK_INT(cx_str_addf(&s, "%d,", i), 0);
	CHECK_INT(s.size, 10 * 2 + 90 * 3 + 900 * 4);
	text = cx_str_take(&s);
	CHECK(text && !strncmp(text, "0,1,2,", 6));
	CHECK(s.data == NULL && s.size == 0);
	cx_freep(&text);
	text = cx_str_take(&s);
	CHECK_STR(text, "");
	s.failed = -ENOMEM;
	CHECK_INT(cx_str_add(&s, "x", 1), -ENOMEM);
	CHECK(cx_str_take(&s) == NULL);
}

struct first { size_t size; int a; int pad; };
struct second { size_t size; int a, pad, b, c; };

TEST(options_of_all_ages)
{
	struct second to, newer = { sizeof newer, 1, 0, 2, 3 };
	struct first from = { sizeof from, 7, 0 }, old;
	conex_error *e = NULL;

	CHECK_INT(cx_options_read("o", &to, sizeof to, sizeof from, &from, &e), 0);     /* an older caller */
	CHECK(to.size == sizeof to && to.a == 7 && to.b == 0);
	CHECK_INT(cx_options_read("o", &to, sizeof to, sizeof from, NULL, &e), 0);
	CHECK(to.size == sizeof to && to.a == 0);
	CHECK_INT(cx_options_read("o", &old, sizeof old, sizeof old, &newer, &e), -E2BIG);
	CHECK_STR(conex_error_object(e), "struct o.size = 24");
	newer.b = newer.c = 0;
	CHECK_INT(cx_options_read("o", &old, sizeof old, sizeof old, &newer, &e), 0);
	CHECK_INT(old.a, 1);
	from.size = 0;
	CHECK_INT(cx_options_read("o", &to, sizeof to, sizeof from, &from, &e), -EINVAL);
	conex_error_free(e);
}

TEST(options_out)
{
	struct second to = { sizeof to, 9, 9, 9, 9 }, all = { sizeof all, 1, 2, 3, 4 };
	struct first some = { sizeof some, 5, 6 };
	conex_error *e = NULL;

	CHECK_INT(cx_options_write("o", &to, sizeof some, sizeof some, &some, &e), 0);
	CHECK(to.size == sizeof to && to.a == 5 && to.pad == 6 && to.b == 0 && to.c == 0);
	some.size = sizeof some;
	CHECK_INT(cx_options_write("o", &some, sizeof all, sizeof some, &all, &e), 0);
	CHECK(some.size == sizeof some && some.a == 1 && some.pad == 2);
	some.size = 4;
	CHECK_INT(cx_options_write("o", &some, sizeof all, sizeof some, &all, &e), -EINVAL);
	conex_error_free(e);
}

TEST(sizes)
{
	static const struct { const char *text; int code; uint64_t bytes; } cases[] = {
		{ "0", 0, 0 }, { "1", 0, 1 }, { "4096B", 0, 4096 }, { "512M", 0, 512 * CONEX_MIB },
		{ "512m", 0, 512 * CONEX_MIB }, { "1K", 0, 1024 }, { "1KB", 0, 1024 }, { "1KiB", 0, 1024 },
		{ "1.5G", 0, CONEX_GIB + CONEX_GIB / 2 }, { "0.1K", 0, 102 }, { "2TiB", 0, 2048 * CONEX_GIB },
		{ "1.999999999999999999P", 0, 2251799813685247 }, { "16383P", 0, 16383ull << 50 },
		{ "18446744073709551615", 0, UINT64_MAX }, { "18446744073709551616", -ERANGE, 0 },
		{ "16384P", -ERANGE, 0 }, { "99999999999999999999999", -ERANGE, 0 }, { "", -EINVAL, 0 },
		{ NULL, -EINVAL, 0 }, { "M", -EINVAL, 0 }, { "-1", -EINVAL, 0 }, { "+1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 }, { "1 ", -EINVAL, 0 }, { "1 M", -EINVAL, 0 }, { "1.M", -EINVAL, 0 },
		{ ".5M", -EINVAL, 0 }, { "1.5", -EINVAL, 0 }, { "1.5B", -EINVAL, 0 }, { "1e3", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 }, { "1MM", -EINVAL, 0 }, { "1Mi", -EINVAL, 0 }, { "1iB", -EINVAL, 0 },
		{ "1MiBs", -EINVAL, 0 }, { "1E", -EINVAL, 0 }, { "1.0000000000000000001M", -EINVAL, 0 },
		{ "1,5M", -EINVAL, 0 }, { "unlimited", -EINVAL, 0 }, { "1\xc2\xb5", -EINVAL, 0 },
	};

	for (size_t i = 0; i < CX_ARRAY_SIZE(cases); i++) {
		conex_error *e = NULL;
		uint64_t bytes = 42;
		int code = conex_parse_size(cases[i].text, &bytes, &e);

		if (!CHECK_INT(code, cases[i].code) || !CHECK(bytes == (code ? 42 : cases[i].bytes)))
			printf("# case %zu: %s gave %llu\n", i, cases[i].text, (unsigned long long)bytes);
		CHECK(!code == !e && (!e || *conex_error_hint(e)));
		conex_error_free(e);
	}
}

TEST(version_and_features)
{
	CHECK(conex_version()[0] >= '0' && conex_version()[0] <= '9');
	CHECK_INT(conex_has("cgroup-v1"), 1);
	CHECK_INT(conex_has("teleport"), 0);
	CHECK_INT(conex_has(NULL), 0);
}

/* A tree of traps. Whatever is opened, the file "secret" beside the root must not be it. */
struct jail { char top[32]; int root; };

static void jail_make(struct jail *j)
{
	static const char *const links[][2] = {
		{ "/etc/name", "absolute" }, { "etc/name", "relative" }, { "../../../secret", "escape" },
		{ "/../secret", "escape2" }, { "loop2", "loop1" }, { "loop1", "loop2" }, { "self/self", "self" },
		{ "..", "up" }, { "/", "slash" }, { "../etc", "a/etc" }, { "/nowhere", "dangling" },
		{ "a/b/c", "deep" }, { "etc/", "with_slash" }, { "new", "to_new" }, { "deep/../../etc/name", "mixed" },
	};
	int top;

	strcpy(j->top, "/tmp/conex-base-XXXXXX");
	CHECK(mkdtemp(j->top) != NULL);
	top = open(j->top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(cx_mkdirs(top, "root/a/b/c", 0755), 0);
	CHECK_INT(cx_mkdirs(top, "root/etc", 0755), 0);
	j->root = openat(top, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < CX_ARRAY_SIZE(links); i++)
		CHECK_INT(symlinkat(links[i][0], j->root, links[i][1]), 0);
	close(openat(top, "secret", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	close(openat(j->root, "etc/name", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	CHECK_INT(cx_file_write(top, "secret", "secret"), 0);
	CHECK_INT(cx_file_write(j->root, "etc/name", "name"), 0);
	close(top);
}

static void jail_remove(struct jail *j)
{
	char command[64];

	close(j->root);
	snprintf(command, sizeof command, "rm -r %s", j->top);
	CHECK_INT(system(command), 0);
}

typedef int (*opener)(int root, const char *path, int flags, mode_t mode);

/* What a path leads to: a file's first letter, 'd' for a directory, 'l' for a link; or -errno. */
static int look(opener open_it, int root, const char *path, int flags)
{
	char c[2] = "?", self[32];
	struct stat st;
	cx_autoclose int fd = open_it(root, path, flags, 0);

	if (fd < 0)
		return -errno;
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? 'd' : 'l';
	snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
	cx_file_read(AT_FDCWD, self, c, sizeof c);
	return c[0];
}

static void traps(opener open_it)
{
	static const struct { const char *path; int flags, want; } cases[] = {
		{ "etc/name", O_RDONLY, 'n' }, { "/etc/name", O_RDONLY, 'n' }, { "//etc//./name", O_RDONLY, 'n' },
		{ "absolute", O_RDONLY, 'n' }, { "relative", O_PATH, 'n' }, { "mixed", O_RDONLY, 'n' },
		{ "a/etc/name", O_RDONLY, 'n' }, { "up/up/etc/name", O_RDONLY, 'n' }, { "slash/etc/name", O_PATH, 'n' },
		{ "deep/../../etc/name", O_RDONLY, 'n' }, { "deep/../../../etc/name", O_RDONLY, 'n' },
		{ "../secret", O_RDONLY, -ENOENT }, { "../../../../secret", O_PATH, -ENOENT },
		{ "escape", O_RDONLY, -ENOENT }, { "escape2", O_RDONLY, -ENOENT }, { "up/secret", O_RDONLY, -ENOENT },
		{ "a/../../secret", O_RDONLY, -ENOENT }, { "slash/../secret", O_RDONLY, -ENOENT },
		{ "loop1", O_RDONLY, -ELOOP }, { "loop1", O_PATH, -ELOOP }, { "self", O_PATH, -ELOOP },
		{ "loop1/x", O_PATH, -ELOOP }, { "loop1", O_PATH | O_NOFOLLOW, 'l' },
		{ "absolute", O_RDONLY | O_NOFOLLOW, -ELOOP }, { "dangling", O_RDONLY, -ENOENT },
		{ "dangling", O_PATH | O_NOFOLLOW, 'l' }, { "deep", O_PATH | O_DIRECTORY, 'd' },
		{ "with_slash", O_PATH | O_DIRECTORY, 'd' }, { "with_slash/name", O_RDONLY, 'n' },
		{ "relative", O_PATH | O_DIRECTORY, -ENOTDIR }, { "etc/name/", O_RDONLY, -ENOTDIR },
		{ "etc/name/x", O_RDONLY, -ENOTDIR }, { "etc/name/..", O_RDONLY, -ENOTDIR },
		{ "deep/", O_RDONLY, 'd' }, { "deep/.", O_RDONLY, 'd' }, { "/", O_RDONLY, 'd' },
		{ ".", O_PATH, 'd' }, { "..", O_PATH, 'd' }, { "a/b/..", O_PATH, 'd' }, { "", O_PATH, -ENOENT },
		{ "etc/missing/x", O_RDONLY, -ENOENT }, { "etc/missing", O_RDONLY, -ENOENT },
	};
	struct jail j;

	jail_make(&j);
	for (size_t i = 0; i < CX_ARRAY_SIZE(cases); i++)
		if (!CHECK_INT(look(open_it, j.root, cases[i].path, cases[i].flags), cases[i].want))
			printf("# case %zu: %s\n", i, cases[i].path);
	jail_remove(&j);
}

static void creates(opener open_it)
{
	struct jail j;
	char longest[5000];
	int fd;

	jail_make(&j);
	fd = open_it(j.root, "to_new", O_CREAT | O_WRONLY, 0600);       /* through a link, inside */
	CHECK(fd >= 0 && faccessat(j.root, "new", F_OK, 0) == 0);
	close(fd);
	CHECK(open_it(j.root, "absolute", O_CREAT | O_EXCL | O_WRONLY, 0600) < 0 && errno == EEXIST);
	fd = open_it(j.root, "../../made", O_CREAT | O_WRONLY, 0600);
	CHECK(fd >= 0 && faccessat(j.root, "made", F_OK, 0) == 0);
	close(fd);
	memset(longest, 'x', sizeof longest);
	longest[sizeof longest - 1] = '\0';
	CHECK(open_it(j.root, longest, O_PATH, 0) < 0 && errno == ENAMETOOLONG);
	longest[300] = '\0';
	CHECK(open_it(j.root, longest, O_PATH, 0) < 0 && errno == ENAMETOOLONG);
	jail_remove(&j);
}

static int have_openat2(void)
{
	cx_autoclose int fd = cx_sys_openat2(AT_FDCWD, "/", O_PATH | O_CLOEXEC, 0, 0);

	return fd >= 0;
}

TEST(traps_by_kernel)
{
	if (!have_openat2())
		SKIP("this kernel, or what stands before it, has no openat2");
	traps(cx_open_in_root);
	creates(cx_open_in_root);
}

TEST(traps_by_walk)
{
	traps(cx_open_by_walk);
	creates(cx_open_by_walk);
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

TEST(walk_leaks_nothing)
{
	int before = count_fds();

	traps(cx_open_by_walk);
	CHECK_INT(count_fds(), before);
}

TEST(small_files)
{
	cx_autofree char *all = NULL;
	char text[8];
	struct jail j;

	jail_make(&j);
	CHECK_INT(cx_file_read(j.root, "etc/name", text, sizeof text), 4);
	CHECK_STR(text, "name");
	CHECK_INT(cx_file_read(j.root, "etc/name", text, 3), 2);        /* cut, and ended */
	CHECK_STR(text, "na");
	CHECK_INT(cx_file_read(j.root, "missing", text, sizeof text), -ENOENT);
	CHECK_INT(cx_file_write(j.root, "missing", "x"), -ENOENT);
	CHECK_INT(cx_file_load(j.root, "etc/name", 4, &all), 4);
	CHECK_STR(all, "name");
	cx_freep(&all);
	CHECK_INT(cx_file_load(j.root, "etc/name", 3, &all), -EFBIG);
	CHECK_INT(cx_file_load(AT_FDCWD, "/proc/self/maps", 1 << 20, &all) > 0, 1);
	CHECK_INT(cx_mkdirs(j.root, "a/b/c", 0755), 0);                 /* is there already */
	CHECK_INT(cx_mkdirs(j.root, "etc/name/x", 0755), -ENOTDIR);
	jail_remove(&j);
}

TEST(process_and_clock)
{
	unsigned char a[16] = { 0 }, b[16] = { 0 };

	CHECK(cx_process_start(getpid()) > 0);
	CHECK(cx_process_start(0x7ffffff0) == 0);
	CHECK(cx_now_ns(CLOCK_MONOTONIC) > 0);
	CHECK(cx_random(a, sizeof a) == 0 && cx_random(b, sizeof b) == 0);
	CHECK(memcmp(a, b, sizeof a));
}

static int numbers(const char *list)
{
	unsigned char mask[4] = { 0 };
	int used = cx_numbers_read(list, mask, sizeof mask);

	return used < 0 ? used : mask[0] | mask[1] << 8 | mask[2] << 16 | mask[3] << 24;
}

TEST(lists_of_numbers)
{
	static const char *const wrong[] = { "a", "-", "1-", "-1", "1,", ",1", "1,,2", "3-1", "1 ", " 1", "+1", "0x1",
		"1-2-3", "all", "1;2" };

	CHECK_INT(numbers(""), 0);
	CHECK_INT(numbers("0"), 1);
	CHECK_INT(numbers("1,3"), 0xa);
	CHECK_INT(numbers("0-3,8"), 0x10f);
	CHECK_INT(numbers("7-8"), 0x180);
	CHECK_INT(cx_numbers_read("0-9", NULL, 4), 2);
	CHECK_INT(numbers("32"), -ERANGE);
	CHECK_INT(numbers("0-4000000000"), -ERANGE);
	CHECK_INT(numbers("99999999999999999999"), -ERANGE);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		CHECK_INT(numbers(wrong[i]), -EINVAL);
}

int main(void)
{
	RUN(error_says_all);
	RUN(error_of_nothing);
	RUN(error_refuses);
	RUN(strings_grow);
	RUN(options_of_all_ages);
	RUN(options_out);
	RUN(sizes);
	RUN(version_and_features);
	RUN(traps_by_kernel);
	RUN(traps_by_walk);
	RUN(walk_leaks_nothing);
	RUN(small_files);
	RUN(process_and_clock);
	RUN(lists_of_numbers);
	return test_end();
}
