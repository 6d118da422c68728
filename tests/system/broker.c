/* System calls that the host answers: by values and descriptors, after a look at the caller's memory; callers that
 * die, many at once, programs of conex_exec, and contexts that are closed meanwhile. */
#include "system/broker.h"

#include <linux/seccomp.h>
#include <sys/wait.h>
#include <time.h>

TEST(values)
{
	static const struct { int64_t value; const char *output; } cases[] = {
		{ 4711, "4711 0" }, { 0, "0 0" }, { (int64_t)1 << 40, "1099511627776 0" },
		{ -EXDEV, "-1 18" }, { -4095, "-1 4095" },
	};
	struct conex_event ev;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		conex_container *c = start(NULL, PROBE("getppid"));
		conex_syscall *s = c ? asked(&ev) : NULL;

		if (s)
			GOOD(conex_syscall_return(s, cases[i].value, &box.err));
		ends_with(c, cases[i].output);
	}
}

TEST(what_it_says)
{
	static const char *const ask[] = { "mknodat", NULL };
	struct conex_run_options o = { .ask = ask, .data = (void *)ask };
	conex_container *c = start(&o, PROBE("memory"));
	struct conex_event ev;
	conex_syscall *s = c ? asked(&ev) : NULL;
	char text[64] = "";

	if (!s)
		return;
	CHECK(ev.container == c && !ev.process && ev.data == (void *)ask);
	CHECK_STR(conex_syscall_name(s), "mknodat");
	CHECK_INT((int)conex_syscall_arg(s, 0), AT_FDCWD);
	CHECK_INT(conex_syscall_arg(s, 2), 0600);
	CHECK_INT(conex_syscall_arg(s, 6), 0);
	CHECK_INT(conex_syscall_arg(s, -1), 0);
	CHECK_INT(conex_syscall_pid(s), conex_container_pid(c));
	CHECK_STR(status_of(conex_syscall_pid(s), "NSpid"), say("%d\t1", (int)conex_syscall_pid(s)));
	/* its memory: whole, up to its end, none */
	CHECK_INT(conex_syscall_read(s, conex_syscall_arg(s, 1), text, 6, &box.err), 6);
	CHECK_STR(text, "/path");
	CHECK_INT(conex_syscall_read(s, conex_syscall_arg(s, 1) + 1, text, sizeof text, &box.err), 5);
	CHECK_STR(text, "path");
	CHECK_INT(conex_syscall_read(s, conex_syscall_arg(s, 3), text, 1, &box.err), -EFAULT);
	SAID("process_vm_readv");
	CHECK_INT(conex_syscall_return(s, -4096, &box.err), -EINVAL);
	GOOD(conex_syscall_return(s, -ENOTTY, &box.err));
	ends_with(c, "-1 25");
}

TEST(the_kernel_does_it)
{
	static const char *const ask[] = { "socket", NULL };
	struct conex_run_options o = { .ask = ask };
	struct conex_event ev;

	for (int family = AF_UNIX; family <= AF_INET; family++) {
		conex_container *c = start(&o, PROBE("socket", say("%d", family)));
		conex_syscall *s = c ? asked(&ev) : NULL;

		if (s && conex_syscall_arg(s, 0) == AF_UNIX)
			GOOD(conex_syscall_proceed(s, &box.err));
		else if (s)
			GOOD(conex_syscall_return(s, -EACCES, &box.err));
		ends_with(c, family == AF_UNIX ? "0 0" : "-1 13");
	}
}

/* ---- descriptors ---- */

static int server(int *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, size) == 0 && listen(fd, 4) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&at, &size) == 0);
	*port = ntohs(at.sin_port);
	return fd;
}

/* On the host's loopback, which the container doesn't have, and only to the one port. */
static void connect_for(conex_syscall *s, int port)
{
	struct sockaddr_in to;
	int fd = -1;

	CHECK_INT(conex_syscall_read(s, conex_syscall_arg(s, 1), &to, sizeof to, &box.err), sizeof to);
	if (to.sin_port != htons((uint16_t)port)) {
		GOOD(conex_syscall_return(s, -EACCES, &box.err));
		return;
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
	CHECK_INT(conex_syscall_inject(s, fd, (int)conex_syscall_arg(s, 0), &box.err), 0);
	close(fd);
}

TEST(a_connection)
{
	static const char *const ask[] = { "connect", NULL };
	struct conex_run_options o = { .ask = ask };
	int port, listener = server(&port), peer;
	struct conex_event ev;

	for (int allowed = 0; allowed < 2; allowed++) {
		conex_container *c = start(&o, PROBE("connect", say("%d", allowed ? port : port + 1)));
		conex_syscall *s = c ? asked(&ev) : NULL;

		if (s)
			connect_for(s, port);
		if (s && allowed) {
			peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			CHECK_INT(write(peer, "from outside\n", 13), 13);
			close(peer);
		}
		ends_with(c, allowed ? "3 from outside" : "-1 13");
	}
	close(listener);
}

static void lowest(conex_syscall *s)
{
	int fd = memfd_create("given", MFD_CLOEXEC);

	CHECK(write(fd, "given\n", 6) == 6 && lseek(fd, 0, SEEK_SET) == 0);
	CHECK_INT(conex_syscall_inject(s, -1, -1, &box.err), -EBADF);
	CHECK_INT(conex_syscall_inject(s, fd, -2, &box.err), -EINVAL);
	CHECK_INT(conex_syscall_inject(s, 1 << 20, -1, &box.err), -EBADF);
	CHECK_INT(conex_syscall_inject(s, fd, 1 << 20, &box.err), -EBADF);
	SAID("limit");
	CHECK_INT(conex_syscall_inject(s, fd, -1, &box.err), 0);
	close(fd);
}

TEST(a_new_descriptor)
{
	static const char *const ask[] = { "memfd_create", NULL };
	struct conex_run_options o = { .ask = ask };
	conex_container *c = start(&o, PROBE("memfd"));
	struct conex_event ev;
	conex_syscall *s = c ? asked(&ev) : NULL;

	if (s)
		lowest(s);
	ends_with(c, "3 given");
}

/* ---- callers that go, many of them, others' programs ---- */

/* A forked copy of the host has no say; the original's answer counts. */
TEST(forked)
{
	conex_container *c = start(NULL, PROBE("getppid"));
	struct conex_event ev;
	conex_syscall *s = c ? asked(&ev) : NULL;
	int status = -1;
	pid_t pid;

	if (!s)
		return;
	CHECK_INT(conex_has("broker"), 1);
	pid = fork();
	if (pid == 0)
		_exit(conex_syscall_return(s, 1, NULL) == -ECHILD && conex_syscall_proceed(s, NULL) == -ECHILD
			&& conex_syscall_inject(s, 0, -1, NULL) == -ECHILD
			&& conex_syscall_read(s, 0, &status, 1, NULL) == -ECHILD ? 0 : 1);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	GOOD(conex_syscall_return(s, 6, &box.err));
	ends_with(c, "6 0");
}

TEST(dead_callers)
{
	for (int how = 0; how < 4; how++) {
		conex_container *c = start(NULL, PROBE("getppid"));
		struct conex_event ev;
		conex_syscall *s = c ? asked(&ev) : NULL;
		char byte;

		if (!s)
			return;
		GOOD(conex_container_kill(c, SIGKILL, &box.err));
		CHECK_INT(conex_container_wait(c, PATIENCE_MS, NULL, &box.err), 1);
		CHECK_INT(conex_syscall_read(s, 4096, &byte, 1, &box.err), -ESRCH);
		if (how == 0)
			CHECK_INT(conex_syscall_return(s, 1, &box.err), -ENOENT);
		else if (how == 1)
			CHECK_INT(conex_syscall_proceed(s, &box.err), -ENOENT);
		else
			CHECK_INT(conex_syscall_inject(s, 0, how == 2 ? 0 : -1, &box.err), -ENOENT);
		SAID("died");
		box_end(c);
	}
}

/* One that has died before anybody asked for events is no event. */
TEST(dead_before)
{
	conex_container *c = start(NULL, PROBE("getppid"));
	struct conex_event ev = { .size = sizeof ev };
	struct pollfd p = { .fd = conex_fd(box.cx), .events = POLLIN };

	if (!c)
		return;
	CHECK_INT(poll(&p, 1, PATIENCE_MS), 1);
	usleep(50000);
	GOOD(conex_container_kill(c, SIGKILL, &box.err));
	CHECK_INT(conex_container_wait(c, PATIENCE_MS, NULL, &box.err), 1);
	while (conex_next_event(box.cx, 100, &ev, &box.err) == 1)
		CHECK(ev.type != CONEX_EVENT_SYSCALL);
	CHECK_INT(poll(&p, 1, 0), 0);
	box_end(c);
}

/* All of them wait at once: so many threads, so many calls, answered in any order. */
TEST(threads)
{
	conex_container *c = start(NULL, PROBE("threads"));
	conex_syscall *s[THREADS] = { NULL };
	struct conex_event ev;

	for (int i = 0; c && i < THREADS; i++)
		s[i] = asked(&ev);
	for (int i = THREADS; c && i-- > 0;)
		for (int k = 0; k < i; k++)
			CHECK(s[i] != s[k] && conex_syscall_pid(s[i]) != conex_syscall_pid(s[k]));
	for (int i = THREADS; c && i-- > 0;)
		if (s[i])
			GOOD(conex_syscall_return(s[i], 1 << i, &box.err));
	ends_with(c, "255 0");
}

/* Each program has a listener of its own; the first one's need not be there any more. */
TEST(executed_programs)
{
	struct conex_run_options o = { .ask = getppid_, .mounts = usr }, e = { .size = sizeof e, .out = CONEX_STDIO_PIPE };
	conex_container *c = box_sleeper(&o);
	conex_process *p = NULL;
	struct conex_event ev;

	for (int i = 0; c && i < 3; i++) {
		conex_syscall *s;

		box_clear();
		if (!GOOD(conex_exec(c, PROBE("getppid"), &e, &p, &box.err)))
			break;
		s = asked(&ev);
		CHECK(ev.process == p && ev.container == c);
		if (s) {
			CHECK_INT(conex_syscall_pid(s), conex_process_pid(p));
			GOOD(conex_syscall_return(s, 40 + i, &box.err));
		}
		CHECK_INT(conex_process_output(p, PATIENCE_MS, &box.io, &box.err), 1);
		box_trim();
		CHECK_STR(box.out, say("%d 0", 40 + i));
		CHECK_INT(conex_process_wait(p, PATIENCE_MS, NULL, &box.err), 1);
		conex_process_free(p);
	}
	box_end(c);
}

/* What a program's children ask comes from the same listener. (The shell asks once, for $PPID.) */
TEST(children)
{
	conex_container *c = start(NULL, CONEX_STRINGS("sh", "-c", "/probe getppid & /probe getppid & wait"));
	struct conex_event ev;

	for (int i = 0; c && i < 3; i++) {
		conex_syscall *s = asked(&ev);

		if (s)
			GOOD(conex_syscall_return(s, 5, &box.err));
	}
	ends_with(c, "5 0\n5 0");
}

/* ---- the end of a context ---- */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Calls that wait: one that was handed out, one that is loaded, others in the kernel. */
TEST(closing)
{
	struct conex_run_options o = { .size = sizeof o, .ask = getppid_, .mounts = usr, .rootfs = box.root };
	int fds = box_entries("/proc/self/fd");
	struct conex_event ev = { .size = sizeof ev };
	conex_container *c = NULL;
	int64_t before;
	conex *cx = NULL;

	box_clear();
	GOOD(conex_open(NULL, &cx, &box.err));
	if (!GOOD(conex_run(cx, NULL, PROBE("threads"), &o, &c, &box.err)))
		return;
	for (ev.type = 0; ev.type != CONEX_EVENT_SYSCALL;)
		if (!CHECK_INT(conex_next_event(cx, PATIENCE_MS, &ev, &box.err), 1))
			break;
	CHECK_INT(conex_next_event(cx, 0, &ev, &box.err) >= 0, 1);
	before = now_ms();
	conex_close(cx);
	CHECK(now_ms() - before < 4000);
	CHECK_INT(conex_container_state(c), CONEX_DELETED);
	conex_container_free(c);
	CHECK_INT(box_entries("/proc/self/fd"), fds);
}

static void *wait_for_more(void *cx)
{
	struct conex_event ev = { .size = sizeof ev };
	int r;

	while ((r = conex_next_event(cx, -1, &ev, NULL)) == 1)
		;
	return (void *)(intptr_t)r;
}

/* One that waits for its answer can't be frozen before; a signal doesn't break it off. */
TEST(paused)
{
	conex_container *c = start(NULL, PROBE("getppid"));
	struct conex_event ev;
	conex_syscall *s = c ? asked(&ev) : NULL;

	if (!s)
		return;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | 1 << 5, NULL) < 0
	    && errno != EFAULT) {
		box_end(c);
		SKIP("before Linux 5.19 signals interrupt it");
	}
	CHECK_INT(conex_container_pause(c, 300, &box.err), 0);
	GOOD(conex_container_kill(c, SIGWINCH, &box.err));
	GOOD(conex_syscall_return(s, 8, &box.err));
	CHECK_INT(conex_container_pause(c, PATIENCE_MS, &box.err), 1);
	GOOD(conex_container_resume(c, &box.err));
	ends_with(c, "8 0");
}

/* One thread waits for events while another closes. */
TEST(closing_while_waiting)
{
	struct conex_run_options o = { .size = sizeof o, .ask = getppid_, .mounts = usr, .rootfs = box.root };
	conex_container *c = NULL;
	pthread_t thread;
	void *result = NULL;
	conex *cx = NULL;

	box_clear();
	GOOD(conex_open(NULL, &cx, &box.err));
	if (!GOOD(conex_run(cx, NULL, PROBE("threads"), &o, &c, &box.err)))
		return;
	CHECK_INT(pthread_create(&thread, NULL, wait_for_more, cx), 0);
	usleep(100000);
	conex_close(cx);
	pthread_join(thread, &result);
	CHECK_INT((intptr_t)result, -ESHUTDOWN);
	conex_container_free(c);
}

/* Several threads answer what comes, each what it got. */
static void *answer_all(void *count)
{
	struct conex_event ev = { .size = sizeof ev };

	while (conex_next_event(box.cx, 500, &ev, NULL) == 1)
		if (ev.type == CONEX_EVENT_SYSCALL && conex_syscall_return(ev.syscall, 1, NULL) == 0)
			__atomic_add_fetch((int *)count, 1, __ATOMIC_RELAXED);
	return NULL;
}

TEST(many_answer)
{
	conex_container *c[4];
	pthread_t threads[3];
	int count = 0;

	for (int i = 0; i < 4; i++)
		c[i] = start(NULL, PROBE("threads"));
	for (int i = 0; i < 3; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, answer_all, &count), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(count, 4 * THREADS);
	for (int i = 0; i < 4; i++)
		ends_with(c[i], "8 0");
}

static void tests(void)
{
	RUN(values);
	RUN(what_it_says);
	RUN(the_kernel_does_it);
	RUN(a_connection);
	RUN(a_new_descriptor);
	RUN(forked);
	RUN(dead_callers);
	RUN(dead_before);
	RUN(threads);
	RUN(executed_programs);
	RUN(children);
	RUN(paused);
	RUN(closing);
	RUN(closing_while_waiting);
	RUN(many_answer);
}

int main(int argc, char **argv)
{
	return broker_main(argc, argv, tests);
}
