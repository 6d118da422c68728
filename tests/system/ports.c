/* Published ports, the way out, and who may not: real traffic between the "host" (a network namespace of the
 * test's own), containers, and a "world" behind a veth pair. */
#include "network-box.h"

#define HOST "192.0.2.1"
#define HOST6 "2001:db8::1"

static conex_namespace *world;

static void world_made(void)
{
	GOOD(conex_namespace_create(box.cx, CONEX_NS_NET, NULL, &world, &box.err));
	GOOD(conex_veth_create(box.cx, &(struct conex_veth_options){ .size = sizeof(struct conex_veth_options),
		.host_name = "world0", .host_address = HOST "/24", .ns = world, .address = "192.0.2.2/24" }, &box.err));
	CHECK_INT(command("ip addr add " HOST6 "/64 dev world0 nodad"), 0);
}

#define MAY_ROUTE OCI({"process": {"capabilities": {"bounding": ["CAP_NET_ADMIN"], "permitted": ["CAP_NET_ADMIN"], \
	"effective": ["CAP_NET_ADMIN"]}}})

/* A program of the host's in the world's network. */
static int in_world(const char *script)
{
	struct conex_run_options o = { .share = CONEX_NS_ALL, .oci = MAY_ROUTE };

	o.join = (conex_namespace *const[]){ world, NULL };
	return box_run(&o, script);
}

static int from_host(const char *address, int port)
{
	return command("busybox nc -w 3 %s %d </dev/null 2>/dev/null | grep -q hello", address, port) == 0;
}

static int from_world(const char *address, int port)
{
	return in_world(say("busybox nc -w 3 %s %d </dev/null 2>/dev/null | grep -q hello", address, port)) == 0;
}

static int from_network(const char *networks, const char *address, int port)
{
	return box_run(BOX(.network = networks), say("nc -w 3 %s %d </dev/null 2>/dev/null | grep -q hello",
		address, port)) == 0;
}

/* A script for who isn't to be answered: he would be at once, and what is dropped is waited for in vain. */
#define IN_VAIN "busybox nc -w 1 %s %d </dev/null 2>/dev/null | grep -q hello"

/* One that answers on port 80 of both families, and is seen to do so. */
static conex_container *published(const char *networks, const struct conex_port *ports)
{
	conex_container *c = box_start(BOX(.network = networks, .ports = ports),
		CONEX_STRINGS("nc", "-ll", "-p", "80", "-e", "echo", "hello"));

	if (!box_good(c ? 0 : -1, "server", __FILE__, __LINE__))
		exit(1);
	for (int i = 0; i < 100 && !from_host(conex_container_address(c, NULL, AF_INET), 80); i++)
		usleep(50000);
	return c;
}

static int has_elements(void)
{
	return command("nft list table inet conex | grep -q 'comment'") == 0;
}

/* ---- where a port is reached ---- */

TEST(one_address)
{
	conex_container *c = published("bridge", CONEX_PORTS({ HOST, 8080, 80, NULL }));

	CHECK_INT(conex_container_port(c, 80, NULL), 8080);
	CHECK_INT(conex_container_port(c, 80, "udp") + conex_container_port(c, 81, "tcp"), 0);
	CHECK(from_world(HOST, 8080));
	CHECK(from_host(HOST, 8080));
	CHECK(!from_host("127.0.0.1", 8080));
	CHECK(from_network("bridge", HOST, 8080));
	CHECK_INT(box_exec(c, NULL, "nc -w 3 " HOST " 8080 </dev/null | grep -q hello"), 0);    /* its own, and back in */
	CHECK_INT(command("nft list map inet conex ports4 | grep -q 'comment \"%s\"'", conex_container_id(c)), 0);
	box_end(c);
	CHECK(!has_elements());
	CHECK(!from_world(HOST, 8080));
}

TEST(loopback_by_default)
{
	conex_container *c = published("bridge", CONEX_PORTS({ NULL, 8080, 80, "tcp" }));

	CHECK(from_host("127.0.0.1", 8080));
	CHECK(!from_host("::1", 8080));
	CHECK(!from_world(HOST, 8080));
	box_end(c);
	CHECK(!from_host("127.0.0.1", 8080));
}

TEST(all_addresses_and_a_free_port)
{
	conex_container *c = published("bridge", CONEX_PORTS({ "0.0.0.0", 0, 80, NULL }, { "::", 0, 80, NULL }));
	int port = conex_container_port(c, 80, "tcp");

	CHECK(port > 1023);
	CHECK(from_host("127.0.0.1", port));
	CHECK(from_host(HOST6, port));
	CHECK(!from_host("::1", port));
	CHECK_INT(command("nft list table inet conex | grep -c 'comment \"%s\"' | grep -qx 2", conex_container_id(c)), 0);
	box_end(c);
	CHECK(!has_elements());
}

TEST(version_six)
{
	conex_container *c = published("bridge", CONEX_PORTS({ "::", 8081, 80, NULL }, { "0.0.0.0", 8082, 80, NULL }));

	CHECK_INT(in_world("ip addr add 2001:db8::2/64 dev eth0 nodad"), 0);
	CHECK(from_host(HOST6, 8081));
	CHECK(from_host(HOST, 8082));
	CHECK(from_world(HOST, 8082));
	CHECK(from_world(HOST6, 8081));
	CHECK(from_network("bridge", HOST6, 8081));
	box_end(c);
}

/* What the test's own program does inside, as /probe: answers datagrams. */
static int answer_datagrams(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(53) }, from;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char text[16];

	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0)
		return 1;
	for (;;) {
		socklen_t size = sizeof from;
		ssize_t n = recvfrom(fd, text, sizeof text, 0, (struct sockaddr *)&from, &size);

		if (n > 0)
			sendto(fd, text, (size_t)n, 0, (struct sockaddr *)&from, size);
	}
}

/* From the world to the host, several times: UDP may lose some, and the server may not be there yet. */
static int datagram_answered(int fd, int times)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(5353) };
	struct timeval second = { .tv_sec = 1 };
	char text[16] = "";

	inet_aton(HOST, &a.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
	for (int i = 0; i < times; i++)
		if (sendto(fd, "hello", 5, 0, (struct sockaddr *)&a, sizeof a) == 5 && recv(fd, text, sizeof text, 0) == 5)
			return !strncmp(text, "hello", 5);
	return 0;
}

static conex_container *datagram_server(void)
{
	conex_container *c = box_start(BOX(.network = "bridge", .ports = CONEX_PORTS({ HOST, 5353, 53, "udp" }),
		.mounts = CONEX_MOUNTS(BOX_USR)), CONEX_STRINGS("/probe", "datagrams"));

	box_good(c ? 0 : -1, "server", __FILE__, __LINE__);
	return c;
}

/* Who goes on asking from one socket is answered though it began before there was a container, and by the next one
 * when that is gone. */
TEST(datagrams)
{
	conex_container *c;
	int fd = -1;

	CHECK_INT(box_run(BOX(.network = "bridge"), "true"), 0);        /* the network is there */
	GOOD(conex_namespace_take_socket(world, AF_INET, SOCK_DGRAM, 0, &fd, &box.err));
	CHECK(!datagram_answered(fd, 1));
	for (int i = 0; i < 2 && (c = datagram_server()); i++) {
		CHECK_INT(conex_container_port(c, 53, "udp"), 5353);
		CHECK(datagram_answered(fd, 30));
		box_end(c);
	}
	close(fd);
}

/* Both ways of the kernel's: bridged packets meet nftables in the bridge, or not. */
TEST(without_bridge_netfilter)
{
	static const char file[] = "/proc/sys/net/bridge/bridge-nf-call-iptables";
	conex_container *c;

	if (access(file, W_OK) < 0)
		return;
	make_file(file, content(file)[0] == '1' ? "0" : "1");
	c = published("bridge", CONEX_PORTS({ HOST, 8080, 80, NULL }));
	CHECK(from_world(HOST, 8080) && from_host(HOST, 8080) && from_network("bridge", HOST, 8080));
	CHECK_INT(box_exec(c, NULL, "nc -w 3 " HOST " 8080 </dev/null | grep -q hello"), 0);
	box_end(c);
	make_file(file, content(file)[0] == '1' ? "0" : "1");
}

/* ---- the way out, and in ---- */

#define WORLD "busybox nc -w 3 192.0.2.2 9090 </dev/null 2>/dev/null | grep -q hello"
#define WORLD6 "busybox nc -w 3 2001:db8::2 9090 </dev/null 2>/dev/null | grep -q hello"

static conex_container *world_server(void)
{
	struct conex_run_options o = { .share = CONEX_NS_ALL };
	conex_container *c;

	o.join = (conex_namespace *const[]){ world, NULL };
	c = box_start(&o, CONEX_STRINGS("busybox", "nc", "-ll", "-p", "9090", "-e", "echo", "hello"));
	CHECK(c != NULL);
	for (int i = 0; i < 100 && command(WORLD) != 0; i++)
		usleep(50000);
	return c;
}

/* The world knows no way to our subnets: that an answer comes back shows that we were masqueraded. */
TEST(way_out)
{
	conex_container *c = world_server();

	GOOD(network("inner", CONEX_NETWORK_INTERNAL, NULL));
	CHECK_INT(in_world("ip addr replace 2001:db8::2/64 dev eth0 nodad"), 0);
	CHECK_INT(box_run(BOX(.network = "bridge"), WORLD), 0);
	CHECK_INT(box_run(BOX(.network = "bridge"), WORLD6), 0);
	CHECK_INT(box_run(BOX(.network = "inner"), WORLD), 1);
	CHECK_INT(box_run(BOX(.network = "inner", .oci = MAY_ROUTE), say("ip route add default via $(ip route | sed 's,0/22.*,1,')"
		" dev eth0 && ip route | grep -q ^default || exit 0; " IN_VAIN, "192.0.2.2", 9090)), 1);
	CHECK_INT(box_run(BOX(.network = "inner", .oci = MAY_ROUTE), say("ip -6 route add default via $(ip -6 route |"
		" sed -n 's,^\\(fd.*::\\)/64.*,\\11,p') dev eth0 && ip -6 route | grep -q ^default || exit 0; " IN_VAIN,
		"2001:db8::2", 9090)), 1);
	CHECK_INT(box_run(NULL, WORLD), 1);
	GOOD(gone("inner"));
	box_end(c);
}

TEST(apart)
{
	conex_container *c, *d;
	const char *address, *address6;

	GOOD(network("a", 0, NULL));
	GOOD(network("b", 0, NULL));
	c = published("a", CONEX_PORTS({ HOST, 8083, 80, NULL }, { HOST6, 8083, 80, NULL }));
	address = conex_container_address(c, NULL, AF_INET);
	address6 = conex_container_address(c, NULL, AF_INET6);
	CHECK(from_network("a", address, 80) && from_network("a", address6, 80));
	CHECK_INT(box_run(BOX(.network = "b"), say(IN_VAIN, address, 80)), 1);          /* networks are apart … */
	CHECK_INT(box_run(BOX(.network = "b"), say(IN_VAIN, address6, 80)), 1);
	CHECK(from_network("b", HOST, 8083) && from_network("b", HOST6, 8083));         /* … but what is published is so for all */
	CHECK_INT(box_exec(c, NULL, "nc -w 3 " HOST6 " 8083 </dev/null | grep -q hello"), 0);
	CHECK_INT(in_world(say("ip route add %s/32 via " HOST " && ip -6 route add %s/128 via " HOST6, address, address6)), 0);
	CHECK(from_world(HOST6, 8083));
	CHECK_INT(in_world(say(IN_VAIN, address, 80)), 1);                              /* nor does one get in by a route */
	CHECK_INT(in_world(say(IN_VAIN, address6, 80)), 1);
	GOOD(network("inner", CONEX_NETWORK_INTERNAL, NULL));
	d = published("inner", CONEX_PORTS({ HOST, 8084, 80, NULL }));
	CHECK(from_host(HOST, 8084));
	CHECK_INT(in_world(say(IN_VAIN, HOST, 8084)), 1);
	box_end(d);
	box_end(c);
	GOOD(gone("inner"));
	GOOD(gone("a"));
	GOOD(gone("b"));
}

/* ---- 127.0.0.1 is the machine's own ---- */

/* 127.0.0.1 by way of a gateway, as a machine beside us can send it. */
#define BY_WAY_OF(gateway) "ip addr flush dev lo; ip route add 127.0.0.1 via " gateway " dev eth0; "

/* A program of the host's, at 127.0.0.1 alone. */
static pid_t host_server(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	pid_t pid;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	CHECK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 5) == 0);
	fflush(stdout);
	pid = fork();
	while (pid == 0) {
		int one = accept(fd, NULL, NULL);

		if (write(one, "hello", 5) != 5)
			_exit(1);
		close(one);
	}
	close(fd);
	return pid;
}

/* What is published at 127.0.0.1 is so for this machine alone, though the port is translated before any route is
 * asked for; and that bridges let 127.0.0.1 through opens nothing of the host's to members. */
TEST(loopback_is_not_reached_from_elsewhere)
{
	conex_container *c = published("bridge", CONEX_PORTS({ NULL, 8080, 80, NULL }, { HOST, 8080, 80, NULL }));
	pid_t pid = host_server(7070);
	const struct conex_run_options o = { .network = "bridge", .oci = OCI({"process": {"capabilities": {
		"bounding": ["CAP_NET_ADMIN"], "permitted": ["CAP_NET_ADMIN"], "effective": ["CAP_NET_ADMIN"]}},
		"linux": {"sysctl": {"net.ipv4.conf.all.route_localnet": "1"}}}) };
	const char *to_gateway = "ip addr flush dev lo; ip route add 127.0.0.1 via $(ip route | sed -n 's/^default via "
		"\\([0-9.]*\\).*/\\1/p') dev eth0 && ";

	CHECK(from_host("127.0.0.1", 8080) && from_host("127.0.0.1", 7070));
	CHECK_INT(in_world("echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet"), 0);
	CHECK(from_world(HOST, 8080));
	CHECK_INT(in_world(say(BY_WAY_OF(HOST) IN_VAIN, "127.0.0.1", 8080)), 1);
	CHECK_INT(in_world("ip route | grep -q '^127.0.0.1 via " HOST "'"), 0);
	CHECK_INT(box_run(&o, say("%s ip route | grep -q '^127.0.0.1 via'", to_gateway)), 0);
	CHECK_INT(box_run(&o, say("%s " IN_VAIN, to_gateway, "127.0.0.1", 8080)), 1);
	CHECK_INT(box_run(&o, say("%s " IN_VAIN, to_gateway, "127.0.0.1", 7070)), 1);
	CHECK_INT(in_world("ip route del 127.0.0.1 via " HOST "; ip addr add 127.0.0.1/8 dev lo"), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	box_end(c);
}

/* The host that comes to its own bridge is seen under the address it comes from. */
TEST(host_is_not_masqueraded_to_itself)
{
	struct sockaddr_in a = { .sin_family = AF_INET }, seen = { 0 };
	socklen_t size = sizeof a;
	int to, from, fd;

	GOOD(network("site", 0, CONEX_STRINGS("10.77.0.0/24")));
	inet_aton("10.77.0.1", &a.sin_addr);
	to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	from = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(to, (struct sockaddr *)&a, sizeof a) == 0 && listen(to, 1) == 0);
	CHECK(getsockname(to, (struct sockaddr *)&a, &size) == 0);
	CHECK(connect(from, (struct sockaddr *)&a, sizeof a) == 0);
	fd = accept(to, (struct sockaddr *)&seen, &size);
	CHECK(fd >= 0 && seen.sin_addr.s_addr == a.sin_addr.s_addr);
	close(fd);
	close(from);
	close(to);
	GOOD(gone("site"));
}

/* ---- refused ---- */

static int refused(const char *network, const struct conex_port *ports)
{
	return box_run(BOX(.network = network, .ports = ports), "true");
}

TEST(ports_taken)
{
	conex_container *c = published("bridge", CONEX_PORTS({ HOST, 8080, 80, NULL }));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(8090) };

	CHECK_INT(refused("bridge", CONEX_PORTS({ HOST, 8080, 81, NULL })), -EADDRINUSE);
	SAID("another one's");
	CHECK_INT(refused("bridge", CONEX_PORTS({ HOST, 8079, 81, NULL }, { HOST, 8080, 81, NULL })), -EADDRINUSE);
	SAID("tcp " HOST " 8080");
	CHECK_INT(refused("bridge", CONEX_PORTS({ HOST, 8079, 81, NULL }, { HOST, 8079, 82, NULL })), -EADDRINUSE);
	SAID("published twice");
	CHECK_INT(refused("bridge", CONEX_PORTS({ HOST, 8079, 81, NULL })), 0);         /* nothing was left of it */
	CHECK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 1) == 0);
	CHECK_INT(refused("bridge", CONEX_PORTS({ "127.0.0.1", 8090, 80, NULL })), -EADDRINUSE);
	SAID("conex_run_options.ports[0]");
	SAID("127.0.0.1 8090");
	close(fd);
	CHECK_INT(refused("bridge", CONEX_PORTS({ "192.0.2.99", 8080, 80, NULL })), -EADDRNOTAVAIL);
	box_end(c);
}

TEST(bad_ports)
{
	CHECK_INT(refused("bridge", CONEX_PORTS({ NULL, 8080, 0, NULL })), -EINVAL);
	SAID("conex_run_options.ports[0]");
	CHECK_INT(refused("bridge", CONEX_PORTS({ NULL, 8080, 80, NULL }, { NULL, 8081, 80, "icmp" })), -EINVAL);
	SAID("conex_run_options.ports[1]");
	SAID("icmp");
	CHECK_INT(refused("bridge", CONEX_PORTS({ "localhost", 8080, 80, NULL })), -EINVAL);
	SAID("localhost");
	CHECK_INT(refused(NULL, CONEX_PORTS({ NULL, 8080, 80, NULL })), -EINVAL);
	SAID("name a .network");
	CHECK_INT(refused("host", CONEX_PORTS({ NULL, 8080, 80, NULL })), -EINVAL);
	GOOD(network("four", 0, CONEX_STRINGS("10.81.0.0/24")));
	CHECK_INT(refused("four", CONEX_PORTS({ "::", 8080, 80, NULL })), -EAFNOSUPPORT);
	SAID("IPv6");
	CHECK_INT(refused("four", CONEX_PORTS({ "::1", 8080, 80, NULL })), -EOPNOTSUPP);
	GOOD(gone("four"));
}

/* ---- what is others', and what is left ---- */

TEST(others_rules_stay)
{
	conex_container *c;

	CHECK_INT(command("nft add table inet filter && nft add chain inet filter input"
		" '{ type filter hook input priority 0; }' && nft add rule inet filter input tcp dport 22 accept"
		" && nft list table inet filter >%s/before", box.dir), 0);
	c = published("bridge", CONEX_PORTS({ HOST, 8080, 80, NULL }));
	box_end(c);
	GOOD(gone("bridge"));
	CHECK_INT(command("nft list tables | grep -q conex"), 256);     /* the last network takes the table along */
	CHECK_INT(command("nft list table inet filter | cmp - %s/before", box.dir), 0);
	CHECK_INT(command("nft delete table inet filter"), 0);
}

/* Somebody flushes all: the next one brings ours back, for all networks, whether it publishes or is new. */
/* One transaction, however many. */
TEST(a_range)
{
	struct conex_port *list = NULL;
	conex_container *c;

	CHECK_INT(conex_parse_ports(say("%s:5000-5999:80-1079", HOST), &list, &box.err), 1000);
	c = published("bridge", list);
	CHECK(from_world(HOST, 5000));
	CHECK_INT(conex_container_port(c, 1079, NULL), 5999);
	CHECK_INT(command("test $(nft list map inet conex ports4 | grep -o comment | wc -l) = 1000"), 0);
	box_end(c);
	CHECK_INT(command("nft list map inet conex ports4 | grep elements"), 256);
	free(list);
	GOOD(gone("bridge"));
}

TEST(flushed)
{
	conex_container *c;

	GOOD(network("inner", CONEX_NETWORK_INTERNAL, NULL));
	CHECK_INT(box_run(BOX(.network = "bridge"), "true"), 0);
	CHECK_INT(command("nft flush ruleset"), 0);
	CHECK_INT(box_run(BOX(.network = "bridge"), "true"), 0);        /* the next container of any bridge */
	CHECK_INT(command("nft list set inet conex internal | grep -q cx-inner"), 0);
	CHECK_INT(command("nft flush ruleset"), 0);
	c = published("bridge", CONEX_PORTS({ HOST, 8080, 80, NULL }));
	CHECK(box.err == NULL);
	CHECK(from_world(HOST, 8080));
	CHECK_INT(command("nft list set inet conex internal | grep -q cx-inner"), 0);
	CHECK_INT(command("nft flush ruleset"), 0);
	GOOD(network("new", 0, NULL));
	CHECK_INT(command("nft list set inet conex internal | grep -q cx-inner"), 0);
	CHECK_INT(command("nft list set inet conex bridges | tr -d '\\n' | grep cx-bridge | grep -q cx-new"), 0);
	CHECK(from_world(HOST, 8080));          /* what was published before, too */
	CHECK_INT(command("nft flush ruleset"), 0);
	CHECK(!from_world(HOST, 8080));
	CHECK_INT(box_run(BOX(.network = "inner"), "true"), 0);
	CHECK(from_world(HOST, 8080));
	CHECK_INT(command("nft flush ruleset"), 0);
	box_end(c);
	CHECK_INT(access(say("%s/.ports", directory), F_OK), -1);
	GOOD(gone("bridge"));
	GOOD(gone("inner"));
	GOOD(gone("new"));
	CHECK_INT(command("nft list tables | grep -q conex"), 256);
}

static void die_with_a_port(void)
{
	struct conex_run_options o = box_options(BOX(.network = "bridge", .ports = CONEX_PORTS({ HOST, 8085, 80, NULL })));
	conex_container *c = NULL;
	conex *cx = NULL;

	if (conex_open(NULL, &cx, NULL) < 0 || conex_run(cx, NULL, CONEX_STRINGS("sleep", "1000"), &o, &c, NULL) < 0)
		_exit(1);
	kill(getpid(), SIGKILL);
}

TEST(killed_with_a_port)
{
	int status, left = 1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		die_with_a_port();
	waitpid(pid, &status, 0);
	CHECK(WIFSIGNALED(status));
	for (int i = 0; i < 200 && left; i++) {
		GOOD(conex_prune(box.cx, NULL, &box.err));
		left = has_elements() || members("bridge");
		usleep(left ? 50000 : 0);
	}
	CHECK_INT(left, 0);
	GOOD(gone("bridge"));
}

static void tests(void)
{
	world_made();
	RUN(one_address);
	RUN(loopback_by_default);
	RUN(all_addresses_and_a_free_port);
	RUN(version_six);
	RUN(datagrams);
	RUN(without_bridge_netfilter);
	RUN(way_out);
	RUN(apart);
	RUN(loopback_is_not_reached_from_elsewhere);
	RUN(host_is_not_masqueraded_to_itself);
	RUN(ports_taken);
	RUN(bad_ports);
	RUN(others_rules_stay);
	RUN(a_range);
	RUN(flushed);
	RUN(killed_with_a_port);
	conex_namespace_free(world);
	rmdir(directory);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "datagrams"))
		return answer_datagrams();
	return network_box() ? with_box(tests) : 0;
}
