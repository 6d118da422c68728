/* Other networks than bridges of our own: macvlan, a device that moves in, another container's; and ranges. */
#include "network-box.h"

static int made(const char *name, const struct conex_network_options *given)
{
	struct conex_network_options o = *given;

	o.size = sizeof o;
	box_clear();
	return conex_network_create(box.cx, name, &o, &box.err);
}
#define NET(...) &(struct conex_network_options){ __VA_ARGS__ }

/* ---- macvlan ---- */

/* A "local network": a bridge with a machine on it (a namespace), and our own device lan0. */
static int lan(void)
{
	return command("ip netns add cxlan && ip link add lan type bridge && ip link set lan up"
		" && ip link add lan0 type veth peer name lan0p && ip link set lan0p master lan up && ip link set lan0 up"
		" && ip link add far netns cxlan type veth peer name farp && ip link set farp master lan up"
		" && ip -n cxlan addr add 10.66.0.1/24 dev far && ip -n cxlan addr add fd66::1/64 nodad dev far"
		" && ip -n cxlan link set far up");
}

static void no_lan(void)
{
	CHECK_INT(command("ip link del farp; ip netns del cxlan; ip link del lan0; ip link del lan"), 0);
}

static void talk_on_lan(void)
{
	struct conex_run_options may_ping = { .network = "lan", .oci = OCI({"process": {"capabilities": {
		"bounding": ["CAP_NET_RAW"], "permitted": ["CAP_NET_RAW"], "effective": ["CAP_NET_RAW"]}}}) };
	conex_container *c = server("lan", 0);
	const char *v4, *v6;

	if (!box_good(c ? 0 : -1, "server", __FILE__, __LINE__))
		return;
	v4 = conex_container_address(c, NULL, AF_INET);
	v6 = conex_container_address(c, NULL, AF_INET6);
	CHECK(!strncmp(v4, "10.66.0.", 8) && atoi(v4 + 8) >= 128 && atoi(v4 + 8) < 136);
	CHECK(reached("lan", v4));
	CHECK(reached("lan", v6));
	CHECK_INT(command("ip netns exec cxlan busybox sh -c '" ASK "' | grep -q hello", v4), 0);
	CHECK_INT(command("ip netns exec cxlan busybox sh -c '" ASK "' | grep -q hello", v6), 0);
	CHECK_INT(box_run(&may_ping, "ping -c 1 -W 5 10.66.0.1 && ping -6 -c 1 -W 5 fd66::1"), 0);
	CHECK_INT(box_run(&may_ping, "ip -d link show eth0; ip route; ip -6 route"), 0);
	CHECK(strstr(box.out, "default via 10.66.0.254 dev eth0") && strstr(box.out, "default via fd66::1 dev eth0"));
	CHECK_INT(command("nsenter -t %d -n ip -d link show eth0 | grep -q 'macvlan mode bridge'",
		(int)conex_container_pid(c)), 0);
	CHECK_INT(box_exec(c, NULL, "cat /proc/sys/net/ipv4/conf/eth0/arp_notify"), 0);
	CHECK_STR(box.out, "1");
	CHECK_INT(members("lan"), 1);
	CHECK_INT(host_ends(), 0);
	CHECK_INT(gone("lan"), -EBUSY);
	box_end(c);
	CHECK_INT(members("lan"), 0);
}

TEST(macvlan)
{
	char *json = NULL;

	if (lan() != 0) {
		CHECK(!"a bridge, veth and network namespaces");
		return;
	}
	GOOD(made("lan", NET(.driver = "macvlan", .parent = "lan0", .subnets = CONEX_STRINGS("10.66.0.0/24", "fd66::/64"),
		.range = "10.66.0.128/29", .gateways = CONEX_STRINGS("10.66.0.254"))));
	GOOD(conex_network_json(box.cx, "lan", &json, &box.err));
	CHECK(json && strstr(json, "\"driver\": \"macvlan\"") && strstr(json, "\"parent\": \"lan0\"")
		&& strstr(json, "\"range\": \"10.66.0.128/29\"") && strstr(json, "10.66.0.254"));
	free(json);
	talk_on_lan();
	CHECK_INT(box_run(BOX(.network = "lan", .ports = CONEX_PORTS({ NULL, 0, 80, NULL })), "true"), -EAFNOSUPPORT);
	SAID("conex_run_options.ports[0]");
	CHECK_INT(members("lan"), 0);
	CHECK_INT(command("ip link del lan0p"), 0);
	CHECK_INT(box_run(BOX(.network = "lan"), "true"), -ENODEV);
	SAID("lan0");
	CHECK_INT(members("lan"), 0);
	GOOD(gone("lan"));
	CHECK_INT(command("nft list tables | grep conex"), 256);
	CHECK_INT(command("ip link del farp; ip netns del cxlan; ip link del lan"), 0);
}

/* Beside a bridge: ports lead there. */
TEST(macvlan_and_bridge)
{
	conex_container *c;

	CHECK_INT(lan(), 0);
	GOOD(made("lan", NET(.driver = "macvlan", .parent = "lan0", .subnets = CONEX_STRINGS("10.66.0.0/24"),
		.mtu = 1400)));
	c = box_start(BOX(.network = "lan,bridge", .ports = CONEX_PORTS({ NULL, 0, 80, NULL })),
		CONEX_STRINGS("sh", "-c", "while :; do echo hello | nc -l -p 80; done"));
	if (box_good(c ? 0 : -1, "server", __FILE__, __LINE__))
		CHECK_INT(command("for i in 1 2 3 4 5 6 7 8; do busybox nc -w 2 127.0.0.1 %d </dev/null | grep -q hello && exit;"
			" sleep 0.3; done; exit 1", conex_container_port(c, 80, NULL)), 0);
	CHECK_INT(box_exec(c, NULL, "ip link show eth0; ip route"), 0);
	CHECK(strstr(box.out, "mtu 1400") && strstr(box.out, "default via 10.66.0.1 dev eth0"));
	box_end(c);
	GOOD(gone("lan"));
	GOOD(gone("bridge"));
	no_lan();
}

TEST(macvlan_refused)
{
	const char *const *subnets = CONEX_STRINGS("10.66.0.0/24");

	CHECK_INT(made("x", NET(.driver = "macvlan", .subnets = subnets)), -EINVAL);
	SAID("conex_network_options.parent");
	CHECK_INT(made("x", NET(.driver = "macvlan", .parent = "cxnone", .subnets = subnets)), -ENODEV);
	SAID("cxnone");
	CHECK_INT(made("x", NET(.driver = "macvlan", .parent = "sixteen_letters_", .subnets = subnets)), -EINVAL);
	CHECK_INT(made("x", NET(.driver = "macvlan", .parent = "lo")), -EINVAL);
	SAID("conex_network_options.subnets");
	CHECK_INT(made("x", NET(.driver = "macvlan", .parent = "lo", .subnets = subnets,
		.gateways = CONEX_STRINGS("10.67.0.1"))), -EINVAL);
	SAID("conex_network_options.gateways[0]");
	CHECK_INT(made("x", NET(.driver = "macvlan", .parent = "lo", .subnets = subnets,
		.gateways = CONEX_STRINGS("10.66.0.1", "10.66.0.2"))), -EINVAL);
	CHECK_INT(made("x", NET(.parent = "lo")), -EINVAL);
	CHECK_INT(made("x", NET(.subnets = subnets, .gateways = CONEX_STRINGS("10.66.0.1"))), -EINVAL);
	CHECK_INT(gone("x"), -ENOENT);
}

/* ---- ranges ---- */

TEST(range)
{
	conex_container *list[4];

	GOOD(made("part", NET(.subnets = CONEX_STRINGS("10.67.0.0/24"), .range = "10.67.0.64/30")));
	for (int i = 0; i < 4; i++) {
		const char *v4;

		list[i] = box_sleeper(BOX(.network = "part"));
		v4 = list[i] ? conex_container_address(list[i], NULL, AF_INET) : "";
		CHECK(!strncmp(v4, "10.67.0.6", 9) && atoi(v4 + 8) >= 64 && atoi(v4 + 8) < 68);
	}
	CHECK_INT(box_run(BOX(.network = "part"), "true"), -EADDRNOTAVAIL);
	SAID("all 4 addresses");
	for (int i = 0; i < 4; i++)
		box_end(list[i]);
	GOOD(gone("part"));
	CHECK_INT(made("x", NET(.subnets = CONEX_STRINGS("10.67.0.0/24"), .range = "10.68.0.0/28")), -EINVAL);
	SAID("conex_network_options.range");
	CHECK_INT(made("x", NET(.subnets = CONEX_STRINGS("10.67.0.0/24"), .range = "10.0.0.0/8")), -EINVAL);
	CHECK_INT(made("x", NET(.range = "10.67.0.0/28")), -EINVAL);
	CHECK_INT(made("x", NET(.subnets = CONEX_STRINGS("10.0.0.0/8"), .range = "10.9.0.0/24")), -EINVAL);
	CHECK_INT(gone("x"), -ENOENT);
}

/* ---- a device of the host's ---- */

TEST(device)
{
	conex_container *c;

	CHECK_INT(command("ip link add mov0 type veth peer name mov1 && ip addr add 10.69.0.1/24 dev mov1"
		" && ip link set mov1 up && ip addr add 10.69.0.2/24 dev mov0"), 0);
	c = box_sleeper(BOX(.network = "device:mov0"));
	CHECK_INT(if_nametoindex("mov0"), 0);
	CHECK_INT(box_exec(c, NULL, "ip -o addr show mov0"), 0);
	CHECK(strstr(box.out, "10.69.0.2/24") != NULL);
	box_end(c);
	for (int i = 0; i < 400 && if_nametoindex("mov1"); i++)
		usleep(5000);
	CHECK_INT(if_nametoindex("mov1"), 0);   /* a veth goes with the namespace that it was moved to */
	CHECK_INT(command("ip link add mov0 type veth peer name mov1"), 0);
	c = box_sleeper(BOX(.network = "bridge,device:mov0"));
	CHECK_INT(box_exec(c, NULL, "ip link show mov0 && ip route"), 0);
	CHECK(strstr(box.out, "dev eth0") != NULL);
	box_end(c);
	GOOD(gone("bridge"));
	CHECK_INT(box_run(BOX(.network = "device:cxnone"), "true"), -ENODEV);
	SAID("cxnone");
	CHECK_INT(box_run(BOX(.network = "device:"), "true"), -EINVAL);
	CHECK_INT(box_run(BOX(.network = "device:sixteen_letters_"), "true"), -EINVAL);
}

/* ---- another container's ---- */

TEST(container)
{
	conex_container *c, *d;
	char *address;

	c = box_start(BOX(.id = "first", .network = "bridge"),
		CONEX_STRINGS("sh", "-c", "while :; do echo hello | nc -l -p 80; done"));
	if (!box_good(c ? 0 : -1, "server", __FILE__, __LINE__))
		return;
	address = strdup(conex_container_address(c, NULL, AF_INET));
	CHECK_INT(box_run(BOX(.network = "container:first"), say(ASK, "127.0.0.1")), 0);
	CHECK_STR(box.out, "hello");
	d = box_sleeper(BOX(.network = "container:first"));
	CHECK_STR(ns_of(conex_container_pid(d), "net"), ns_of(conex_container_pid(c), "net"));
	CHECK(strcmp(ns_of(conex_container_pid(d), "pid"), ns_of(conex_container_pid(c), "pid")) != 0);
	CHECK_INT(box_exec(d, NULL, "grep ' first' /etc/hosts && ip addr show eth0 && ls /etc/resolv.conf"), 0);
	CHECK(strstr(box.out, address) != NULL);
	free(address);
	CHECK_INT(box_run(BOX(.network = "container:first", .ports = CONEX_PORTS({ NULL, 0, 80, NULL })), "true"), -EINVAL);
	SAID("conex_run_options.ports");
	CHECK_INT(box_run(BOX(.network = "container:first,bridge"), "true"), -EINVAL);
	CHECK_INT(box_run(BOX(.network = "bridge,container:first"), "true"), -EINVAL);
	SAID("name it alone");
	CHECK_INT(box_run(BOX(.network = "container:nobody"), "true"), -ENOENT);
	SAID("nobody");
	CHECK_INT(box_run(BOX(.network = "container:a/b"), "true"), -EINVAL);
	box_end(d);
	kill(conex_container_pid(c), SIGKILL);
	GOOD(conex_container_wait(c, -1, NULL, &box.err));
	CHECK_INT(box_run(BOX(.network = "container:first"), "true"), -ESRCH);
	SAID("first");
	box_end(c);
	GOOD(gone("bridge"));
}

static void tests(void)
{
	RUN(macvlan);
	RUN(macvlan_and_bridge);
	RUN(macvlan_refused);
	RUN(range);
	RUN(device);
	RUN(container);
	command("rmdir %s", directory);
}

int main(void)
{
	return network_box() ? with_box(tests) : 0;
}
