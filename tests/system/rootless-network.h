/* What the test of networks without privileges needs: a world with servers, sockets inside containers, and a look at
 * the programs that connect the two. */
#ifndef CONEX_TEST_ROOTLESS_NETWORK_H
#define CONEX_TEST_ROOTLESS_NETWORK_H

#include "rootless.h"
#include "base/path.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>

#define BOX(...) &(struct conex_run_options){ __VA_ARGS__ }
#define WORLD "192.0.2.1"
#define WORLD_6 "2001:db8:5::1"
enum { WORLD_PORT = 81, LOOPBACK_PORT = 82, SERVERS_MAX = 16 };

static char logged[4096];
static pid_t servers[SERVERS_MAX], inner[SERVERS_MAX];
static int servers_count, inner_count;

static inline void keep_log(int level, const char *line, void *data)
{
	(void)level;
	(void)data;
	snprintf(logged, sizeof logged, "%s", line);
}

/* ---- servers and clients ---- */

union any { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; };

static inline socklen_t fill(union any *a, const char *address, int port)
{
	memset(a, 0, sizeof *a);
	if (inet_pton(AF_INET, address, &a->v4.sin_addr) == 1) {
		a->any.sa_family = AF_INET;
		a->v4.sin_port = htons((uint16_t)port);
		return sizeof a->v4;
	}
	inet_pton(AF_INET6, address, &a->v6.sin6_addr);
	a->any.sa_family = AF_INET6;
	a->v6.sin6_port = htons((uint16_t)port);
	return sizeof a->v6;
}

static inline int listens(int fd, int type, const char *address, int port)
{
	union any a;
	socklen_t size = fill(&a, address, port);
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	return fd < 0 || bind(fd, &a.any, size) < 0 || (type == SOCK_STREAM && listen(fd, 8) < 0) ? -1 : fd;
}

static inline int listener(int type, const char *address, int port)
{
	return listens(socket(strchr(address, ':') ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0), type, address, port);
}

/* Answers everybody who has said something with a text, in a process of its own that ends with this one. */
static inline pid_t serve(int fd, int type, const char *text)
{
	union any from;
	socklen_t size;
	char buffer[512];
	pid_t pid;

	fflush(stdout);
	pid = fork();
	while (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		size = sizeof from;
		if (type == SOCK_DGRAM && recvfrom(fd, buffer, sizeof buffer, 0, &from.any, &size) > 0) {
			sendto(fd, text, strlen(text), 0, &from.any, size);
		} else if (type == SOCK_STREAM) {
			int one = accept(fd, NULL, NULL);

			if (one >= 0 && read(one, buffer, sizeof buffer) > 0 && write(one, text, strlen(text)) < 0)
				_exit(1);
			close(one);
		}
	}
	close(fd);
	return pid;
}

static inline void stop(pid_t *list, int *count)
{
	while (*count > 0) {
		kill(list[--*count], SIGKILL);
		waitpid(list[*count], NULL, 0);
	}
}

/* A socket in the container's network, not yet used. */
static inline int socket_inside(const conex_container *c, int family, int type)
{
	conex_namespace *ns = NULL;
	int fd = -1;

	if (GOOD(conex_namespace_open(box.cx, say("/proc/%d/ns/net", (int)conex_container_pid(c)), &ns, &box.err)))
		GOOD(conex_namespace_take_socket(ns, family, type, 0, &fd, &box.err));
	conex_namespace_free(ns);
	return fd;
}

static inline void serve_inside(const conex_container *c, int type, int family, int port)
{
	int fd = listens(socket_inside(c, family, type), type, family == AF_INET ? "0.0.0.0" : "::", port);

	CHECK(fd >= 0);
	if (fd >= 0)
		inner[inner_count++] = serve(fd, type, say("inside %d", port));
}

static inline void stop_inside(void)
{
	stop(inner, &inner_count);
}

/* Begins to talk to somebody; what is said first, and the answer, hello() sees to. */
static inline int talk(int fd, const char *address, int port)
{
	union any a;
	socklen_t size = fill(&a, address, port);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (fd >= 0 && (connect(fd, &a.any, size) == 0 || errno == EINPROGRESS))
		return fd;
	close(fd);
	return -1;
}

static inline int inside(const conex_container *c, int type, const char *address, int port)
{
	return talk(socket_inside(c, strchr(address, ':') ? AF_INET6 : AF_INET, type), address, port);
}

static inline int here(int type, const char *address, int port)
{
	return talk(socket(strchr(address, ':') ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0), address, port);
}

/* What is answered: "" nobody, or nothing. An answer is waited for longer than anybody needs who will give one. */
static inline const char *hello(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	char text[64];
	ssize_t n = -1;

	if (fd >= 0 && poll(&p, 1, test_slow(5000)) > 0 && send(fd, "?", 1, MSG_NOSIGNAL) == 1) {
		p.events = POLLIN;
		if (poll(&p, 1, test_slow(5000)) > 0)
			n = read(fd, text, sizeof text - 1);
	}
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return say("%s", text);
}

/* How many of them answer: all are given the same time. */
static inline int answers(int *fds, int count)
{
	int n = 0;
	char text[64];

	usleep((useconds_t)test_slow(700) * 1000);
	for (int i = 0; i < count; i++)
		if (fds[i] >= 0 && send(fds[i], "?", 1, MSG_NOSIGNAL) < 0) {
			close(fds[i]);
			fds[i] = -1;
		}
	usleep((useconds_t)test_slow(700) * 1000);
	for (int i = 0; i < count; i++) {
		n += fds[i] >= 0 && read(fds[i], text, sizeof text) > 0;
		if (fds[i] >= 0)
			close(fds[i]);
	}
	return n;
}

/* ---- the world ---- */

static inline void server(int type, const char *address, int port, const char *text)
{
	int fd = listener(type, address, port);

	if (fd >= 0)
		servers[servers_count++] = serve(fd, type, text);
}

/* The host is a network namespace with a device that has addresses and a default route, and a resolver on its
 * loopback. /dev/net/tun is everybody's there, as it is on most machines. 0: it can't be had (and said so). */
static inline int make_world(void)
{
	const char *tun = say("%s/tun", box.dir);

	make_file(say("%s/resolv.conf", box.dir), "nameserver 127.0.0.1\n");
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
	    || mknod(tun, S_IFCHR, 10 << 8 | 200) < 0 || chmod(tun, 0666) < 0 || chown(tun, USER, USER) < 0
	    || mount(tun, "/dev/net/tun", NULL, MS_BIND, NULL) < 0
	    || mount(say("%s/resolv.conf", box.dir), "/etc/resolv.conf", NULL, MS_BIND, NULL) < 0
	    || command("ip link set lo up && ip link add up0 type bridge && ip addr add " WORLD "/24 dev up0"
		" && ip addr add " WORLD_6 "/64 dev up0 nodad && ip link set up0 up && ip route add default via 192.0.2.254"
		" && ip -6 route add default via 2001:db8:5::fe") != 0) {
		printf("1..0 # SKIP needs a network namespace, /dev/net/tun and a bridge with IPv6\n");
		return 0;
	}
	server(SOCK_STREAM, WORLD, WORLD_PORT, "hello");
	server(SOCK_DGRAM, WORLD, WORLD_PORT, "hello");
	server(SOCK_STREAM, WORLD, 80, "HTTP/1.0 200 OK\r\n\r\nfetched\n");
	server(SOCK_STREAM, WORLD_6, WORLD_PORT, "hello");
	server(SOCK_DGRAM, WORLD_6, WORLD_PORT, "hello");
	server(SOCK_STREAM, "127.0.0.1", LOOPBACK_PORT, "hello");
	server(SOCK_DGRAM, "127.0.0.1", LOOPBACK_PORT, "hello");
	server(SOCK_STREAM, "::1", LOOPBACK_PORT, "hello");
	server(SOCK_DGRAM, "::1", LOOPBACK_PORT, "hello");
	server(SOCK_DGRAM, "127.0.0.1", 53, "names");
	return 1;
}

static inline void unmake_world(void)
{
	stop(servers, &servers_count);
}

/* ---- the programs ---- */

struct program {
	int pid, child;                 /* its parent in its pid namespace, and the program itself */
	unsigned long long start;
	int pidfd;
};

/* As the container's journal has it: "undo_kill", "PID START". */
static inline struct program program_in(const char *state, const char *id)
{
	struct program p = { .pidfd = -1 };
	char *data = NULL;
	ssize_t size = cx_file_load(AT_FDCWD, say("%s/containers/%s", state, id), 1 << 20, &data);
	const char *at = size > 0 ? memmem(data, (size_t)size, "undo_kill", 10) : NULL, *children;

	if (at && sscanf(at + 10, "%d %llu", &p.pid, &p.start) == 2) {
		p.pidfd = (int)syscall(SYS_pidfd_open, p.pid, 0);
		for (int i = 0; i < 1000 && !p.child; i++) {
			children = content("/proc/%d/task/%d/children", p.pid, p.pid);
			p.child = children ? atoi(children) : 0;
			usleep(p.child ? 0 : 5000);
		}
	}
	free(data);
	return p;
}

static inline struct program program_of(const char *id)
{
	return program_in(box.cx->state->path, id);
}

static inline int is_alive(const struct program *p)
{
	return p->pid > 0 && cx_process_start(p->pid) == p->start;
}

/* Its parent is the first of a pid namespace: gone, it leaves nobody in it. */
static inline int ends_soon(const struct program *p)
{
	struct pollfd poll_it = { .fd = p->pidfd, .events = POLLIN };

	return p->pidfd >= 0 && poll(&poll_it, 1, 60000) == 1
		&& (p->child <= 0 || access(say("/proc/%d", p->child), F_OK) < 0 || !cx_process_start(p->child));
}

static inline void close_program(struct program *p)
{
	if (p->pidfd >= 0)
		close(p->pidfd);
	p->pidfd = -1;
}

/* How many programs of ours there are on the machine, after a while in which they may end. */
static inline int programs_left(const char *tool)
{
	int left = 1;

	for (int i = 0; i < 1000 && left; i++) {
		left = command("for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done 2>/dev/null"
			" | grep -q '^%s .*/proc/self/fd/0'", tool) == 0;
		usleep(left ? 10000 : 0);
	}
	return left;
}

/* A script in place of the program. */
static char *usual_path;
static inline void instead_of(const char *tool, const char *script)
{
	const char *file = say("%s/tools/%s", box.dir, tool);

	command("mkdir -p %s/tools", box.dir);
	unlink(file);
	make_file(file, say("#!/bin/sh\n%s\n", script));
	chmod(file, 0755);
	if (!usual_path)
		usual_path = strdup(getenv("PATH"));
	setenv("PATH", say("%s/tools:%s", box.dir, usual_path), 1);
}
#define instead(script) instead_of(tool, script)
static inline void not_instead(void)
{
	setenv("PATH", usual_path, 1);
}

/* ---- hosts that die ---- */

struct left {
	pid_t host, keeper, container;
	struct program program;
	char state[128];
};

static inline void host_of_one(const char *tool, const char *state, int out)
{
	struct conex_options where = { .size = sizeof where, .state = state };
	struct conex_run_options o = { .id = "left", .network = tool, .ports = CONEX_PORTS({ NULL, 0, 80, NULL }) };
	struct left l = { .host = getpid() };
	conex_container *c = NULL;

	box.cx = NULL;
	if (conex_open(&where, &box.cx, NULL) == 0 && (c = box_start(&o, CONEX_STRINGS("sleep", "1000")))) {
		l.keeper = conex_keeper_pid(box.cx);
		l.container = conex_container_pid(c);
		snprintf(l.state, sizeof l.state, "%s", box.cx->state->path);
	} else {
		printf("# %s\n", conex_error_text(box.err));
		fflush(stdout);
	}
	if (write(out, &l, sizeof l) != sizeof l)
		_exit(1);
	for (;;)
		pause();
}

/* A host with a container in a network of `tool`, and all there is to know of it. state NULL: a private one */
static inline struct left leave(const char *tool, const char *state)
{
	struct left l = { .host = -1 };
	int told[2];
	pid_t pid;

	CHECK_INT(pipe2(told, O_CLOEXEC), 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		host_of_one(tool, state, told[1]);
	close(told[1]);
	CHECK_INT(read(told[0], &l, sizeof l), sizeof l);
	close(told[0]);
	CHECK(l.keeper > 0);
	l.host = pid;
	l.program = program_in(l.state, "left");
	return l;
}

/* One that launches and launches. */
static inline pid_t launcher(const char *tool)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		box.cx = NULL;
		if (conex_open(NULL, &box.cx, NULL) == 0)
			for (;;) {
				conex_container *c = box_start(BOX(.network = tool, .ports = CONEX_PORTS({ NULL, 0, 80, NULL })),
					CONEX_STRINGS("sleep", "1000"));

				conex_container_delete(c, -1, NULL);
				conex_container_free(c);
			}
		_exit(1);
	}
	return pid;
}

#endif
