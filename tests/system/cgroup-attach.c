/* conex_cgroup_add: a process goes with all its threads, also those that are made meanwhile. */
#include "../test.h"
#include "tell.h"

#include <conex/conex.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static conex *cx;

static conex_cgroup *group(char *name, size_t size)
{
	static int number;
	conex_cgroup *g = NULL;

	snprintf(name, size, "attach-%d-%d", (int)getpid(), number++);
	return TELL(conex_cgroup_create(cx, name, NULL, &g, &err)) < 0 ? NULL : g;
}

/* How many of its threads are in the group in every hierarchy of ours, and how many aren't in some. */
static void look(pid_t pid, const char *name, int *in, int *out)
{
	char path[128], want[64], line[512];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	snprintf(want, sizeof want, "/%s\n", name);
	*in = *out = 0;
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		int here = 0;
		FILE *f;

		snprintf(path, sizeof path, "/proc/%d/task/%.20s/cgroup", (int)pid, e->d_name);
		if (e->d_name[0] == '.' || !(f = fopen(path, "r")))
			continue;
		while (fgets(line, sizeof line, f))
			here += strstr(line, want) != NULL;
		fclose(f);
		if (here)
			++*in;
		else
			++*out;
	}
	if (dir)
		closedir(dir);
}

static void *sleeper(void *data)
{
	for (;;)
		pause();
	return data;
}

static void *soon_over(void *data)
{
	return data;
}

static void *maker(void *data)
{
	pthread_t t;

	for (;;)
		if (pthread_create(&t, NULL, soon_over, NULL) == 0)
			pthread_join(t, NULL);
	return data;
}

static pid_t process(int threads, void *(*work)(void *))
{
	int ready[2];
	pthread_t t;
	pid_t pid;
	char c;

	CHECK(pipe(ready) == 0);
	if ((pid = fork()) == 0) {
		for (int i = 0; i < threads; i++)
			pthread_create(&t, NULL, work, NULL);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(0);
	}
	close(ready[1]);
	CHECK_INT(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void end(conex_cgroup *g, pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK_INT(TELL(conex_cgroup_delete(g, -1, &err)), 1);
	conex_cgroup_free(g);
}

static void with_threads(int threads, void *(*work)(void *), int exact)
{
	char name[64];
	conex_cgroup *g = group(name, sizeof name);
	pid_t pid = process(threads, work);
	int in, out;

	CHECK_INT(TELL(conex_cgroup_add(g, pid, &err)), 0);
	look(pid, name, &in, &out);
	for (int i = 0; out && i < 1000; i++) { /* of a thread that is just ending v1 says that it is in the root */
		usleep(10000);
		look(pid, name, &in, &out);
	}
	CHECK_INT(out, 0);
	CHECK(exact ? in == threads + 1 : in > threads);
	end(g, pid);
}

TEST(one_thread)
{
	with_threads(0, sleeper, 1);
}

TEST(some_threads)
{
	with_threads(10, sleeper, 1);
}

TEST(many_threads)
{
	with_threads(100, sleeper, 1);
}

TEST(new_threads)
{
	for (int i = 0; i < 5; i++)
		with_threads(3, maker, 0);
}

TEST(ended)
{
	char name[64];
	conex_cgroup *g = group(name, sizeof name);
	pid_t pid = process(0, sleeper);

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK_INT(conex_cgroup_add(g, pid, NULL), -ESRCH);
	end(g, pid);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* One every 50 ms, so that no other write to cgroup.procs came just before. Told, not asserted. */
TEST(paced)
{
	char name[64];
	conex_cgroup *g = group(name, sizeof name), *other = group(name, sizeof name);
	pid_t pid = process(0, sleeper);
	int64_t least = INT64_MAX, sum = 0;

	for (int i = 0; i < 20; i++) {
		int64_t start;

		usleep(50000);
		start = now_ns();
		CHECK_INT(TELL(conex_cgroup_add(i % 2 ? g : other, pid, &err)), 0);
		start = now_ns() - start;
		sum += start;
		least = start < least ? start : least;
	}
	printf("# a paced attach: %.0f us, at best %.0f us\n", (double)sum / 20e3, (double)least / 1e3);
	end(other, pid);
	CHECK_INT(TELL(conex_cgroup_delete(g, -1, &err)), 1);
	conex_cgroup_free(g);
}

int main(void)
{
	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	if (TELL(conex_open(NULL, &cx, &err)) < 0)
		return 1;
	RUN(one_thread);
	RUN(some_threads);
	RUN(many_threads);
	RUN(new_threads);
	RUN(ended);
	RUN(paced);
	conex_close(cx);
	return test_end();
}
