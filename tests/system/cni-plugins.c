/* Networks by CNI, with Debian's plugins: real traffic through bridge, host-local, portmap and firewall, and nothing left
 * of them, however it ends. */
#include "cni-box.h"

#define BRIDGE(more) "{\"type\":\"bridge\",\"bridge\":\"cni-test0\",\"isGateway\":true,\"ipMasq\":true,\"hairpinMode\":true," \
	"\"ipam\":{\"type\":\"host-local\",\"ranges\":[[{\"subnet\":\"10.55.0.0/24\"}]]," \
	"\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}" more "}"
#define PORTMAP "{\"type\":\"portmap\",\"capabilities\":{\"portMappings\":true}}"
#define FULL LIST("full", BRIDGE("") "," PORTMAP ",{\"type\":\"firewall\"}")

/* What the kernel and host-local have: nothing of ours. */
static void nothing_left(const char *name)
{
	CHECK_INT(left_of(name), 0);
	CHECK_INT(command("test -z \"$(ip -o link show type veth)\""), 0);
	CHECK_INT(command("test -z \"$(ls /var/lib/cni/networks/full 2>/dev/null | grep -v 'last_reserved\\|lock')\""), 0);
	CHECK_INT(command("! iptables-save 2>/dev/null | grep '10\\.55\\.\\|CNI-[0-9a-f]\\|CNI-DN-'"), 0);
}

static conex_container *answers(const char *networks, const struct conex_port *ports)
{
	return box_start(BOX(.network = networks, .ports = ports),
		CONEX_STRINGS("nc", "-ll", "-p", "80", "-e", "echo", "hello"));
}

static int from_host(const char *address, int port)
{
	return command("for i in 1 2 3 4 5 6 7 8 9 10; do busybox nc -w 2 %s %d </dev/null 2>/dev/null | grep -q hello"
		" && exit; sleep 0.3; done; exit 1", address, port) == 0;
}

TEST(real_traffic)
{
	conex_container *c;
	const char *address;

	GOOD(cni("k8s", "full"));
	c = answers("k8s", CONEX_PORTS({ "0.0.0.0", 4081, 80, NULL }, { NULL, 0, 80, NULL }));
	if (!box_good(c ? 0 : -1, "server", __FILE__, __LINE__))
		return;
	address = conex_container_address(c, "k8s", AF_INET);
	CHECK(address && !strncmp(address, "10.55.0.", 8));
	CHECK(from_host(address, 80));
	CHECK(reached("k8s", address));
	CHECK_INT(command("ip addr add 192.0.2.1/32 dev lo"), 0);
	CHECK(from_host("192.0.2.1", 4081));
	CHECK(from_host("127.0.0.1", conex_container_port(c, 80, NULL)));
	CHECK_INT(command("ip addr del 192.0.2.1/32 dev lo"), 0);
	CHECK_INT(box_exec(c, NULL, "ip -o link show eth0; ip route"), 0);
	CHECK(strstr(box.out, "default via 10.55.0.1 dev eth0") != NULL);
	box_end(c);
	nothing_left("k8s");
	GOOD(gone("k8s"));
}

TEST(with_a_user_namespace)
{
	conex_container *c;

	GOOD(cni("k8s", "full"));
	c = box_start(BOX(.network = "k8s", .flags = CONEX_RUN_USERNS),
		CONEX_STRINGS("nc", "-ll", "-p", "80", "-e", "echo", "hello"));
	if (box_good(c ? 0 : -1, "server", __FILE__, __LINE__))
		CHECK(reached("k8s", conex_container_address(c, NULL, AF_INET)));
	box_end(c);
	nothing_left("k8s");
	GOOD(gone("k8s"));
}

/* By plugins that look at the kernel. Without what of these leaves something behind when its interface is gone. */
TEST(real_check)
{
	conex_container *c;

	list("40-bare.conflist", LIST("bare", "{\"type\":\"bridge\",\"bridge\":\"cni-test1\",\"ipam\":{\"type\":\"host-local\","
		"\"subnet\":\"10.56.0.0/24\"}}"));
	GOOD(cni("k8s", "bare"));
	c = box_sleeper(BOX(.network = "k8s"));
	GOOD(conex_container_check_networks(c, &box.err));
	CHECK_INT(command("nsenter --net=/proc/%d/ns/net ip link del eth0", (int)conex_container_pid(c)), 0);
	box_clear();
	CHECK(conex_container_check_networks(c, &box.err) < 0);
	SAID("CNI network bare: plugin bridge: CHECK:");
	box_end(c);
	CHECK_INT(command("test -z \"$(ls /var/lib/cni/networks/bare | grep -v 'last_reserved\\|lock')\""), 0);
	nothing_left("k8s");
	GOOD(gone("k8s"));
}

/* In their order, whoever makes them. */
TEST(mixed)
{
	conex_container *c;

	GOOD(cni("k8s", "full"));
	GOOD(network("site", 0, CONEX_STRINGS("10.77.0.0/24")));
	c = answers("site,k8s", CONEX_PORTS({ NULL, 4082, 80, NULL }));
	if (!box_good(c ? 0 : -1, "server", __FILE__, __LINE__))
		return;
	CHECK_INT(box_exec(c, NULL, "ip -o addr show eth0; ip -o addr show eth1; ip route"), 0);
	CHECK(strstr(box.out, "eth0    inet 10.77.0.") && strstr(box.out, "eth1    inet 10.55.0."));
	CHECK(strstr(box.out, "default via 10.77.0.1 dev eth0") != NULL);
	CHECK(reached("site", conex_container_address(c, "site", AF_INET)));
	CHECK(reached("k8s", conex_container_address(c, "k8s", AF_INET)));
	CHECK(from_host("127.0.0.1", 4082));
	GOOD(conex_container_check_networks(c, &box.err));
	box_end(c);
	c = answers("k8s,site", NULL);
	CHECK_INT(c ? box_exec(c, NULL, "ip -o addr show eth0; ip -o addr show eth1; ip route") : -1, 0);
	CHECK(strstr(box.out, "eth0    inet 10.55.0.") && strstr(box.out, "eth1    inet 10.77.0."));
	CHECK(strstr(box.out, "default via 10.55.0.1 dev eth0") != NULL);
	box_end(c);
	CHECK_INT(members("site"), 0);
	nothing_left("k8s");
	GOOD(gone("site"));
	GOOD(gone("k8s"));
}

/* The list's later plugin fails: what the earlier ones have made is gone. */
TEST(real_failure)
{
	forget();
	list("40-broken.conflist", LIST("full", BRIDGE("") "," PORTMAP ",{\"type\":\"firewall\"},{\"type\":\"three\"}"));
	CHECK_INT(command("mv %s/lists/20-full.conflist %s/full", box.dir, box.dir), 0);
	make_file(plugins("fail-three-ADD"), "{\"code\":100,\"msg\":\"no\"}");
	GOOD(cni("k8s", "full"));
	CHECK_INT(launched("k8s"), -ECANCELED);
	SAID("plugin three: ADD: no");
	nothing_left("k8s");
	CHECK_INT(command("mv %s/full %s/lists/20-full.conflist && rm %s/lists/40-*", box.dir, box.dir, box.dir), 0);
	GOOD(gone("k8s"));
}

static void come_and_go(void)
{
	struct conex_run_options o = box_options(BOX(.network = "k8s"));
	conex *cx = NULL;

	if (conex_open(NULL, &cx, NULL) < 0)
		_exit(1);
	for (;;) {
		conex_container *c = NULL;

		if (conex_run(cx, NULL, CONEX_STRINGS("true"), &o, &c, NULL) < 0)
			_exit(2);
		conex_container_delete(c, -1, NULL);
		conex_container_free(c);
	}
}

/* Killed while plugins run: the keeper's conex-undo, or the next one who opens, has DEL run. */
TEST(killed)
{
	int left = -1, rounds = test_count("CONEX_CNI_ROUNDS", 12);

	GOOD(cni("k8s", "full"));
	for (int round = 0; round < rounds; round++) {
		pid_t pid;

		setenv("CONEX_UNDO", round % 2 ? "/nonexistent" : say("%s/conex-undo", getenv("CX_BUILDDIR")), 1);
		fflush(stdout);
		pid = fork();
		if (pid == 0)
			come_and_go();
		usleep((useconds_t)(50000 + rand() % 700000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		unsetenv("CONEX_UNDO");
	}
	for (int i = 0; i < 200 && left; i++) {
		GOOD(conex_prune(box.cx, NULL, &box.err));
		left = left_of("k8s");
		usleep(left ? 50000 : 0);
	}
	CHECK_INT(left, 0);
	nothing_left("k8s");
	GOOD(gone("k8s"));
}

static void tests(void)
{
	prepare();
	list("20-full.conflist", FULL);
	RUN(real_traffic);
	RUN(with_a_user_namespace);
	RUN(real_check);
	RUN(mixed);
	RUN(real_failure);
	RUN(killed);
}

int main(void)
{
	if (access(REAL "/bridge", X_OK) < 0 || access(REAL "/portmap", X_OK) < 0
	    || command("iptables -t nat -S >/dev/null 2>&1")) {
		printf("1..0 # SKIP needs containernetworking-plugins in " REAL ", and iptables\n");
		return 0;
	}
	return cni_box() ? with_box(tests) : 0;
}
