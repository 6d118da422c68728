/* What the test of policies runs in its containers: this program itself, /probe, as a server and as who asks. */
#ifndef CONEX_TEST_POLICY_BOX_H
#define CONEX_TEST_POLICY_BOX_H

#include "network-box.h"

#include <sys/socket.h>

enum { ECHO = 53, COUNT = 55, CLOSED = 99, SHORT = 300, LONG = 20000 };  /* ports; ms */

static inline struct sockaddr_in6 probe_address(const char *text, int port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = in6addr_any };
	char mapped[INET6_ADDRSTRLEN + 8];

	snprintf(mapped, sizeof mapped, "%s%s", text && !strchr(text, ':') ? "::ffff:" : "", text ? text : "");
	if (text)
		inet_pton(AF_INET6, mapped, &a.sin6_addr);
	return a;
}

static inline int probe_socket(int type, const char *address, int port)
{
	struct sockaddr_in6 a = probe_address(address, port);
	int fd = socket(AF_INET6, type, 0), on = 1, off = 0;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || (type == SOCK_STREAM && listen(fd, 16) < 0))
		_exit(3);
	return fd;
}

/* TCP 80 and 81 say hello; UDP 53 sends back what comes, 55 how many have come to 53. */
_Noreturn static inline void probe_serve(void)
{
	struct pollfd p[4] = { { .fd = probe_socket(SOCK_STREAM, NULL, 80) }, { .fd = probe_socket(SOCK_STREAM, NULL, 81) },
		{ .fd = probe_socket(SOCK_DGRAM, NULL, ECHO) }, { .fd = probe_socket(SOCK_DGRAM, NULL, COUNT) } };
	static char data[65536];
	int count = 0;

	for (;;) {
		for (int i = 0; i < 4; i++)
			p[i].events = POLLIN;
		poll(p, 4, -1);
		for (int i = 0; i < 4; i++) {
			struct sockaddr_in6 from;
			socklen_t size = sizeof from;
			ssize_t n;

			if (!p[i].revents)
				continue;
			if (i < 2) {
				int fd = accept(p[i].fd, NULL, NULL);

				n = write(fd, "hello", 5);
				close(fd);
				continue;
			}
			n = recvfrom(p[i].fd, data, sizeof data, 0, (struct sockaddr *)&from, &size);
			count += i == 2;
			if (i == 3)
				n = snprintf(data, sizeof data, "%d", count);
			if (n > 0)
				n = sendto(p[i].fd, data, (size_t)n, 0, (struct sockaddr *)&from, size);
		}
	}
}

/* One attempt: "heard", "silent", "refused". What is heard is left in data. */
static inline const char *probe_once(int type, const char *address, int port, size_t bytes, int ms, char *data)
{
	struct sockaddr_in6 a = probe_address(address, port);
	int fd = socket(AF_INET6, type | SOCK_NONBLOCK, 0), error = 0;
	struct pollfd p = { .fd = fd, .events = type == SOCK_STREAM ? POLLOUT : POLLIN };
	socklen_t size = sizeof error;
	ssize_t n = -1;

	memset(data, 'x', bytes);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0 && errno != EINPROGRESS)
		error = errno;
	if (!error && type == SOCK_DGRAM && write(fd, data, bytes) < 0)
		error = errno;
	if (!error && poll(&p, 1, ms) > 0 && type == SOCK_STREAM) {
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
		p.events = POLLIN;
		if (!error)
			poll(&p, 1, ms);
	}
	if (!error && (n = read(fd, data, 65535)) < 0)
		error = errno;
	if (n > 0)
		data[n] = '\0';
	close(fd);
	return n > 0 ? "heard" : error == ECONNREFUSED ? "refused" : "silent";
}

/* /probe MS tcp|udp PORT BYTES ADDRESS...: a word for each address. Until a server listens it refuses, so that is
 * tried again, unless it is what is wanted. */
static inline int probe_ask(int argc, char **argv)
{
	int ms = atoi(argv[1]), port = atoi(argv[3]), type = !strcmp(argv[2], "tcp") ? SOCK_STREAM : SOCK_DGRAM;
	static char data[65536];

	for (int i = 5; i < argc; i++) {
		const char *word = "refused";

		for (int tries = 0; tries < (port == CLOSED ? 1 : 200) && !strcmp(word, "refused"); tries++) {
			usleep(tries ? 20000 : 0);
			word = probe_once(type, argv[i], port, (size_t)atoi(argv[4]), ms, data);
		}
		printf("%s%s", i > 5 ? " " : "", port == COUNT && *word == 'h' ? data : word);
	}
	printf("\n");
	return 0;
}

/* /probe send ADDRESS FROM: one datagram to UDP 53 from an address that need not be ours. */
static inline int probe_send(const char *address, const char *from)
{
	struct sockaddr_in6 a = probe_address(address, ECHO);
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), on = 1;
	struct sockaddr_in6 mine = probe_address(from, 0);

	if (setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof on) < 0
	    || bind(fd, (struct sockaddr *)&mine, sizeof mine) < 0)
		return 2;
	return sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof a) == 1 ? 0 : 1;
}

static inline int probe(int argc, char **argv)
{
	if (!strcmp(argv[1], "serve"))
		probe_serve();
	return !strcmp(argv[1], "send") ? probe_send(argv[2], argv[3]) : probe_ask(argc, argv);
}

/* ---- members ---- */

struct member { conex_container *c; char v4[INET6_ADDRSTRLEN], v6[INET6_ADDRSTRLEN]; };

#define WITH_RIGHTS OCI({"process": {"capabilities": {"bounding": ["CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"], \
	"permitted": ["CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"], "effective": ["CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"]}}})

static inline struct member member_of(const char *networks, const char *id, const char *const *labels)
{
	struct member m = { .c = box_start(BOX(.network = networks, .id = id, .labels = labels, .oci = WITH_RIGHTS,
		.mounts = CONEX_MOUNTS(BOX_USR)), CONEX_STRINGS("/probe", "serve")) };

	if (box_good(m.c ? 0 : -1, id, __FILE__, __LINE__)) {
		strcpy(m.v4, conex_container_address(m.c, NULL, AF_INET));
		strcpy(m.v6, conex_container_address(m.c, NULL, AF_INET6));
	}
	return m;
}

static inline struct member member(const char *id, const char *label)
{
	return member_of("site", id, label ? CONEX_STRINGS(label) : NULL);
}

/* With the host's ip(8), which can do more than busybox's. */
static inline int inside(const struct member *m, const char *script)
{
	return m->c ? box_exec(m->c, NULL, say("PATH=/usr/bin:$PATH; %s", script)) : -1;
}

/* IPv4's word and IPv6's: "heard heard" */
static inline const char *ask_bytes(const struct member *m, const struct member *to, const char *protocol, int port, int bytes,
	int ms)
{
	const char *const args[] = { "/probe", say("%d", ms), protocol, say("%d", port), say("%d", bytes), to->v4, to->v6, NULL };

	if (!m->c || box_exec_args(m->c, NULL, args) != 0)
		return "nothing";
	return box.out;
}

static inline const char *ask(const struct member *m, const struct member *to, const char *protocol, int port, int ms)
{
	return ask_bytes(m, to, protocol, port, 1, ms);
}
#define HEARS(m, to, protocol, port) CHECK_STR(ask(&(m), &(to), protocol, port, LONG), "heard heard")
#define SILENCE(m, to, protocol, port) CHECK_STR(ask(&(m), &(to), protocol, port, SHORT), "silent silent")

static inline int pings(const struct member *m, const char *address)
{
	return inside(m, say("busybox ping -c 1 -W 1 %s", address)) == 0;
}

/* ---- policies ---- */

#define POLICY(...) policy("site", #__VA_ARGS__)

static inline int policy(const char *name, const char *json)
{
	box_clear();
	return conex_network_policy(box.cx, name, json, &box.err);
}

/* All tables, as the kernel has them; good until the second call after this one. */
static inline const char *rules(void)
{
	static char text[2][65536];
	static int next;
	char *to = text[next++ % 2];
	FILE *f = popen("nft list ruleset", "r");
	size_t n = f ? fread(to, 1, sizeof text[0] - 1, f) : 0;

	to[n] = '\0';
	if (f)
		pclose(f);
	return to;
}

static inline int has_table(void)
{
	return command("nft list table bridge conex >/dev/null 2>&1") == 0;
}

/* How many lines of it name a member's port. */
static inline int ports_named(void)
{
	FILE *f = popen("nft list table bridge conex | grep -o '\"cx[0-9a-f]\\{13\\}\"' | sort -u | wc -l", "r");
	int n = -1;

	if (f && fscanf(f, "%d", &n) != 1)
		n = -1;
	if (f)
		pclose(f);
	return n;
}

/* Whether inet's hooks see what a bridge forwards: where br_netfilter is loaded they do. */
static inline void call_inet(const char *value)
{
	if (access("/proc/sys/net/bridge", F_OK) == 0) {
		make_file("/proc/sys/net/bridge/bridge-nf-call-iptables", value);
		make_file("/proc/sys/net/bridge/bridge-nf-call-ip6tables", value);
	}
}

static struct member a, b, c;

static inline void begin(void)
{
	GOOD(network("site", 0, CONEX_STRINGS("10.77.0.0/24", "fd77::/64")));
	a = member("web-1", "role=web");
	b = member("db", "role=db");
	c = member("other", NULL);
}

static inline void end(void)
{
	box_end(a.c);
	box_end(b.c);
	box_end(c.c);
	if (has_table())
		CHECK_INT(ports_named(), 0);
	GOOD(gone("site"));
	CHECK(!has_table());
	CHECK_STR(rules(), "");
}

#endif
