/* A test program in TAP: TEST(name) { ... } defines a test, main lists them:
 *	int main(void) { RUN(name); ... return test_end(); }
 * A CHECK that fails prints where, and what it saw, and the test goes on. */
#ifndef CONEX_TEST_H
#define CONEX_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct { int count, failed, faults; const char *skip; } test_state;

#define TEST(name) static void test_##name(void)
#define RUN(name) test_run(#name, test_##name)
#define SKIP(why) do { test_state.skip = (why); return; } while (0)

#define CHECK(expr) test_check(!!(expr), __FILE__, __LINE__, #expr)
#define CHECK_INT(got, want) \
	test_check_int((long long)(got), (long long)(want), __FILE__, __LINE__, #got)
#define CHECK_STR(got, want) test_check_str((got), (want), __FILE__, __LINE__, #got)

/* A span that something must be started within, on a machine that is CONEX_TEST_SLOW times slower than ours
 * (tests/vm, whose processors are emulated). */
static inline int test_slow(int ms)
{
	const char *times = getenv("CONEX_TEST_SLOW");

	return ms * (times ? atoi(times) : 1);
}

/* How many times a test does what it does: less where this variable says so (tests/vm again). */
static inline int test_count(const char *variable, int count)
{
	const char *less = getenv(variable);

	return less ? atoi(less) : count;
}

/* Are we in a chroot? Then the kernel refuses what tests/check/chroot.list names. Entering the mount
 * namespace that one is in already leads to its real root. */
static inline int test_chrooted(void)
{
	static int known = -1;  /* 0 or 1 */
	int status = 0;
	pid_t pid;

	if (known >= 0)
		return known;
	pid = fork();
	if (pid == 0) {
		int ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
		struct stat here, real;

		_exit(stat("/", &here) == 0 && setns(ns, CLONE_NEWNS) == 0 && stat("/", &real) == 0
			&& (here.st_ino != real.st_ino || here.st_dev != real.st_dev));
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return known = pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

/* Is "PROGRAM NAME" at the start of a line of this file? Then `why` gets the rest of the line. */
static inline int test_listed(const char *path, const char *name, char *why, size_t size)
{
	char line[256], wanted[256];
	FILE *f = fopen(path, "r");
	size_t n = (size_t)snprintf(wanted, sizeof wanted, "%s %s", program_invocation_short_name, name);
	int found = 0;

	while (f && !found && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = '\0';
		found = !strncmp(line, wanted, n) && (line[n] == ' ' || !line[n]);
		if (found)
			snprintf(why, size, "%s", line + n + (line[n] == ' '));
	}
	if (f)
		fclose(f);
	return found;
}

/* Why this test can't work here; NULL: it can. CONEX_TEST_SKIPS: a list that tests/vm gives. */
static inline const char *test_impossible(const char *name)
{
	static char why[256];
	const char *directory = getenv("CX_SRCDIR"), *skips = getenv("CONEX_TEST_SKIPS");
	char path[4096];

	snprintf(path, sizeof path, "%s/tests/check/chroot.list", directory ? directory : "");
	if (directory && test_chrooted() && test_listed(path, name, why, sizeof why))
		return "not in a chroot";
	return skips && test_listed(skips, name, why, sizeof why) ? why : NULL;
}

/* Every line is out at once: what follows may fork, or die. */
static inline void test_run(const char *name, void (*run)(void))
{
	test_state.faults = 0;
	test_state.skip = test_impossible(name);
	test_state.count++;
	if (!test_state.skip)
		run();
	if (test_state.faults)
		test_state.failed++;
	printf("%s %d - %s", test_state.faults ? "not ok" : "ok", test_state.count, name);
	if (test_state.skip && !test_state.faults)
		printf(" # SKIP %s", test_state.skip);
	printf("\n");
	fflush(stdout);
}

static inline int test_end(void)
{
	printf("1..%d\n", test_state.count);
	fflush(stdout);
	return test_state.failed != 0;
}

static inline int test_fault(const char *file, int line)
{
	__atomic_add_fetch(&test_state.faults, 1, __ATOMIC_RELAXED);   /* threads may check, too */
	printf("# %s:%d: ", file, line);
	return 0;
}

static inline int test_check(int good, const char *file, int line, const char *text)
{
	if (good)
		return 1;
	test_fault(file, line);
	printf("not so: %s\n", text);
	fflush(stdout);
	return 0;
}

static inline int test_check_int(long long got, long long want, const char *file, int line,
	const char *text)
{
	if (got == want)
		return 1;
	test_fault(file, line);
	printf("%s is %lld, not %lld\n", text, got, want);
	fflush(stdout);
	return 0;
}

static inline int test_check_str(const char *got, const char *want, const char *file, int line,
	const char *text)
{
	if (got && want ? !strcmp(got, want) : got == want)
		return 1;
	test_fault(file, line);
	printf("%s is \"%s\", not \"%s\"\n", text, got ? got : "(null)", want ? want : "(null)");
	fflush(stdout);
	return 0;
}

#endif
