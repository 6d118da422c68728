/* What the tests of conex/broker.h share: programs that make system calls (this test as /probe), and whoever
 * waits for them. */
#ifndef CONEX_TEST_BROKER_H
#define CONEX_TEST_BROKER_H

#include "system/box.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum { PATIENCE_MS = 20000, THREADS = 8 };

/* ---- inside: this program as /probe ---- */

static inline void say_result(long value)
{
	printf("%ld %d\n", value, value < 0 ? errno : 0);
	fflush(stdout);
}

static inline void *ask_in_thread(void *sum)
{
	__atomic_add_fetch((long *)sum, syscall(SYS_getppid), __ATOMIC_RELAXED);
	return NULL;
}

static inline int probe_threads(void)
{
	pthread_t threads[THREADS];
	long sum = 0;

	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, ask_in_thread, &sum);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	say_result(sum);
	return 0;
}

/* What the descriptor gives is the answer. */
static inline int probe_read(int fd)
{
	char text[64];
	ssize_t n = read(fd, text, sizeof text);

	if (n < 0)
		return 1;
	printf("%d %.*s", fd, (int)n, text);
	return 0;
}

static inline int probe_connect(const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)),
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
		return probe_read(fd);
	say_result(-1);
	return 0;
}

/* A path that ends with its mapping, and an address where nothing is. */
static inline int probe_memory(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(map + page, page);
	strcpy(map + page - 6, "/path");
	say_result(syscall(SYS_mknodat, AT_FDCWD, map + page - 6, 0600, map + page));
	return 0;
}

static inline int probe(char **argv)
{
	if (!strcmp(argv[0], "getppid"))
		say_result(syscall(SYS_getppid));
	else if (!strcmp(argv[0], "memfd"))
		return probe_read((int)syscall(SYS_memfd_create, "x", 0));
	else if (!strcmp(argv[0], "connect"))
		return probe_connect(argv[1]);
	else if (!strcmp(argv[0], "threads"))
		return probe_threads();
	else if (!strcmp(argv[0], "memory"))
		return probe_memory();
	else if (!strcmp(argv[0], "socket"))
		say_result(socket(atoi(argv[1]), SOCK_STREAM, 0) < 0 ? -1 : 0);
	return 0;
}

#define PROBE(...) CONEX_STRINGS("/probe", __VA_ARGS__)
static const struct conex_mount usr[] = { BOX_USR, { NULL, NULL, NULL, NULL } };
#define NO_NEW "\"process\":{\"noNewPrivileges\":false}"
static const char *const getppid_[] = { "getppid", NULL };

/* ---- outside ---- */

/* The next system call of whatever runs; NULL: none within a time that is long for any machine. */
static inline conex_syscall *asked(struct conex_event *ev)
{
	*ev = (struct conex_event){ .size = sizeof *ev };
	while (conex_next_event(box.cx, PATIENCE_MS, ev, &box.err) == 1)
		if (ev->type == CONEX_EVENT_SYSCALL)
			return ev->syscall;
	CHECK(!"a system call comes");
	return NULL;
}

static inline conex_container *start(const struct conex_run_options *given, const char *const *args)
{
	struct conex_run_options o = given ? *given : (struct conex_run_options){ .ask = getppid_ };
	conex_container *c;

	o.mounts = o.spec ? NULL : usr;
	o.out = CONEX_STDIO_PIPE;
	o.err = CONEX_STDIO_OUT;
	c = box_start(&o, args);
	box_good(c ? 0 : -1, "start", __FILE__, __LINE__);
	return c;
}

/* Its output and status 0, and it is no more. */
static inline void ends_with(conex_container *c, const char *output)
{
	int status = -1;

	if (!c)
		return;
	conex_output_clear(&box.io);
	CHECK_INT(conex_container_output(c, PATIENCE_MS, &box.io, &box.err), 1);
	CHECK_INT(conex_container_wait(c, PATIENCE_MS, &status, &box.err), 1);
	box_trim();
	CHECK_STR(box.out, output);
	CHECK_INT(status, 0);
	box_end(c);
}

/* A sanitizer's look for leaks, at exit, makes system calls that nobody answers. */
static inline int broker_main(int argc, char **argv, void (*tests)(void))
{
	int r = argc > 1 ? probe(argv + 1) : with_box(tests);

	fflush(stdout);
	if (argc > 1)
		_exit(r);
	return r;
}

#endif
