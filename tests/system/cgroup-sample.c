/* Statistics of a thousand groups in one call, through the public functions: the numbers are those of one by one,
 * nothing is allocated, and the host keeps most of its descriptors. */
#include "../test.h"
#include "tell.h"

#include <conex/conex.h>
#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { GROUPS = 1000 };

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define COUNTS_MEMORY 1
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
static unsigned long allocations;

void *malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	allocations++;
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	allocations++;
	return __libc_realloc(p, size);
}
#endif

static conex *cx;
static conex_cgroup *groups[GROUPS];
static struct conex_stats stats[GROUPS];
static int made;                        /* descriptors before the first sample; on v2 a handle has one itself */

static int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	closedir(d);
	return n;
}

static int sample(void)
{
	stats[0].size = sizeof stats[0];
	return TELL(conex_cgroup_sample(groups, GROUPS, stats, &err));
}

TEST(a_thousand)
{
	struct conex_limits l = { .size = sizeof l, .pids = 10 };
	int after;

	for (int i = 0; i < GROUPS; i++) {
		char name[32];

		snprintf(name, sizeof name, "sample-%d-%d", (int)getpid(), i);
		if (!CHECK_INT(TELL(conex_cgroup_create(cx, name, &l, &groups[i], &err)), 0))
			return;
	}
	made = descriptors();
	CHECK_INT(sample(), GROUPS);
	after = descriptors();
	printf("# %d descriptors are kept\n", after - made);
	CHECK_INT(sample(), GROUPS);
	CHECK_INT(descriptors(), after);
	for (int i = 0; i < GROUPS; i++)
		if (stats[i].size != sizeof stats[i] || stats[i].pids != 0 || stats[i].pids_limit != 10)
			CHECK_INT(i, -1);
}

TEST(nothing_allocated)
{
#ifdef COUNTS_MEMORY
	unsigned long before;

	CHECK_INT(sample(), GROUPS);
	before = allocations;
	CHECK_INT(sample(), GROUPS);
	CHECK_INT(allocations - before, 0);
#else
	SKIP("calls of malloc are counted with gcc and glibc, and without sanitizers");
#endif
}

TEST(half_of_the_descriptors)
{
	struct rlimit limit;
	int most = 512;

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (limit.rlim_cur / 2 < (rlim_t)most)
		most = (int)(limit.rlim_cur / 2);
	CHECK(descriptors() > 100);
	CHECK(descriptors() <= (made > most ? made : most) + 8);
}

/* As one by one; what works in a group shows. */
TEST(the_same_numbers)
{
	struct conex_stats one = { .size = sizeof one };
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	CHECK_INT(TELL(conex_cgroup_add(groups[7], pid, &err)), 0);
	CHECK_INT(sample(), GROUPS);
	CHECK_INT(TELL(conex_cgroup_stats(groups[7], &one, &err)), 0);
	CHECK_INT(stats[7].pids, 1);
	CHECK_INT(one.pids, 1);
	CHECK_INT(stats[8].pids, 0);
	CHECK_INT(one.memory_limit, stats[7].memory_limit);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* A handle whose group is gone, or was made anew, or is none. */
TEST(gone)
{
	struct conex_limits l = { .size = sizeof l, .pids = 77 };
	conex_cgroup *other = groups[3], *again = NULL;
	char name[32];

	CHECK_INT(TELL(conex_cgroup_delete(groups[1], 5000, &err)), 1);
	CHECK_INT(TELL(conex_cgroup_delete(groups[2], 5000, &err)), 1);
	snprintf(name, sizeof name, "sample-%d-2", (int)getpid());
	CHECK_INT(TELL(conex_cgroup_create(cx, name, &l, &again, &err)), 0);
	groups[3] = NULL;
	CHECK_INT(sample(), GROUPS - 2);
	groups[3] = other;
	CHECK(stats[1].pids == UINT64_MAX && stats[1].cpu_ns == UINT64_MAX);
	CHECK(stats[3].pids == UINT64_MAX);
	CHECK_INT(stats[2].pids_limit, 77);     /* the new one's */
	CHECK_INT(stats[4].pids_limit, 10);
	conex_cgroup_free(again);
}

/* A struct of an older program, and one that is too short. */
TEST(struct_sizes)
{
	struct conex_stats two[2] = { { .size = 8 } };

	CHECK_INT(conex_cgroup_sample(groups + 4, 2, two, NULL), -EINVAL);
	CHECK_INT(conex_cgroup_sample(groups, 0, NULL, NULL), 0);
}

TEST(details)
{
	char *text = NULL;

	CHECK_INT(TELL(conex_cgroup_details(groups[5], &text, &err)), 0);
	CHECK(text && text[0] == '{');
	free(text);
	text = NULL;
	CHECK_INT(conex_cgroup_details(groups[1], &text, NULL), -ENOENT);
	CHECK(!text);
}

static int has_pids(void)
{
	struct conex_limits l = { .size = sizeof l, .pids = 10 };
	conex_cgroup *g = NULL;
	int r = conex_cgroup_create(cx, "probe", &l, &g, NULL);

	if (g)
		conex_cgroup_delete(g, 5000, NULL);
	conex_cgroup_free(g);
	return r != -EOPNOTSUPP && r != -EACCES;
}

int main(void)
{
	struct conex_options o = { .size = sizeof o, .close_ms = 60000 };
	conex_error *err = NULL;

	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	if (conex_open(&o, &cx, &err) < 0) {
		printf("Bail out! %s\n", conex_error_text(err));
		return 1;
	}
	if (!has_pids()) {
		printf("1..0 # SKIP no pids controller may be used here\n");
		return 0;
	}
	RUN(a_thousand);
	RUN(nothing_allocated);
	RUN(half_of_the_descriptors);
	RUN(the_same_numbers);
	RUN(gone);
	RUN(struct_sizes);
	RUN(details);
	for (int i = 0; i < GROUPS; i++) {
		if (groups[i])
			TELL(conex_cgroup_delete(groups[i], 5000, &err));
		conex_cgroup_free(groups[i]);
	}
	conex_close(cx);
	return test_end();
}
