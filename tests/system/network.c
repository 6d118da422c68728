/* Named networks: bridges, addresses, members; pairs of devices; two processes and deaths. */
#include "network-box.h"

/* ---- one network ---- */

TEST(made_on_demand)
{
	conex_container *c = box_sleeper(BOX(.network = "bridge"));
	const char *v4 = c ? conex_container_address(c, NULL, AF_INET) : NULL;
	char *json = NULL;

	CHECK(if_nametoindex("cx-bridge") != 0);
	CHECK(v4 && !strncmp(v4, "10.200.", 7));
	CHECK(c && conex_container_address(c, "bridge", AF_INET6) && !conex_container_address(c, "other", AF_INET));
	CHECK(ports("cx-bridge", 1));
	CHECK_INT(members("bridge"), 1);
	GOOD(conex_network_json(box.cx, "bridge", &json, &box.err));
	CHECK(json && strstr(json, conex_container_id(c)) && strstr(json, v4));
	free(json);
	CHECK_INT(gone("bridge"), -EBUSY);
	SAID("1 members");
	box_end(c);
	CHECK_INT(members("bridge"), 0);
	CHECK_INT(host_ends(), 0);
	GOOD(gone("bridge"));
	CHECK_INT(if_nametoindex("cx-bridge"), 0);
	CHECK_INT(access(say("%s/bridge", directory), F_OK), -1);
}

/* What the kernel shows inside: interface, addresses, routes. */
TEST(inside)
{
	GOOD(network("site", 0, CONEX_STRINGS("10.77.0.0/28", "fd77::/64")));
	CHECK_INT(box_run(BOX(.network = "site"), "ip addr show eth0; ip route; ip -6 route; ip addr show lo"), 0);
	CHECK(strstr(box.out, "inet 10.77.0.") != NULL);
	CHECK(strstr(box.out, "/28 brd 10.77.0.15") != NULL);
	CHECK(strstr(box.out, "inet6 fd77::") != NULL);
	CHECK(strstr(box.out, ",UP,LOWER_UP") != NULL);
	CHECK(strstr(box.out, "link/ether 02:63:0a:4d:00:") != NULL);
	CHECK(strstr(box.out, "default via 10.77.0.1 dev eth0") != NULL);
	CHECK(strstr(box.out, "default via fd77::1 dev eth0") != NULL);
	CHECK(strstr(box.out, "inet 127.0.0.1/8") != NULL);
	CHECK_INT(box_run(BOX(.network = "site"), "ip neigh"), 0);
	CHECK(strstr(box.out, "10.77.0.1 dev eth0 lladdr 02:63:0a:4d:00:01") && strstr(box.out, "PERMANENT"));
	CHECK(strstr(box.out, "fd77::1 dev eth0 lladdr 02:63:0a:4d:00:01") != NULL);
	CHECK_STR(content("/proc/sys/net/ipv4/ip_forward"), "1");
	CHECK_STR(content("/proc/sys/net/ipv6/conf/all/forwarding"), "1");
	GOOD(gone("site"));
}

TEST(talk)
{
	conex_container *c;
	char v4[INET_ADDRSTRLEN] = "", v6[INET6_ADDRSTRLEN] = "";

	GOOD(network("site", 0, NULL));
	c = server("site", 0);
	if (!box_good(c ? 0 : -1, "server", __FILE__, __LINE__))
		return;
	strcpy(v4, conex_container_address(c, NULL, AF_INET));
	strcpy(v6, conex_container_address(c, NULL, AF_INET6));
	CHECK(reached("site", v4));
	CHECK(reached("site", v6));
	CHECK_INT(command("busybox sh -c '" ASK "' | grep -q hello", v4), 0);   /* from the host */
	CHECK_INT(box_exec(c, NULL, "ip addr show eth0"), 0);           /* what is executed is in the same network */
	CHECK(strstr(box.out, v4) != NULL);
	box_end(c);
	GOOD(gone("site"));
}

/* Members come and go; what they know of their gateway stays true. */
TEST(one_mac)
{
	conex_container *c, *d;
	const char *look = "ip -o link show cx-site | grep -o 'link/ether [0-9a-f:]*'";

	GOOD(network("site", 0, CONEX_STRINGS("10.77.0.0/24")));
	c = box_sleeper(BOX(.network = "site"));
	CHECK_INT(command("%s | grep -qx 'link/ether 02:63:0a:4d:00:01'", look), 0);
	d = box_sleeper(BOX(.network = "site"));
	box_end(c);
	CHECK_INT(command("%s | grep -qx 'link/ether 02:63:0a:4d:00:01'", look), 0);
	box_end(d);
	GOOD(gone("site"));
}

TEST(with_a_user_namespace)
{
	conex_container *c;

	GOOD(network("site", 0, NULL));
	c = server("site", CONEX_RUN_USERNS);
	if (box_good(c ? 0 : -1, "server", __FILE__, __LINE__))
		CHECK(reached("site", conex_container_address(c, NULL, AF_INET)));
	box_end(c);
	GOOD(gone("site"));
}

TEST(held)
{
	conex_container *c = NULL;
	struct conex_run_options o = box_options(BOX(.network = "bridge", .flags = CONEX_RUN_HOLD));

	box_clear();
	GOOD(conex_run(box.cx, NULL, CONEX_STRINGS("sleep", "1000"), &o, &c, &box.err));
	CHECK(ports("cx-bridge", 1));
	GOOD(conex_container_start(c, &box.err));
	box_end(c);
	GOOD(gone("bridge"));
}

/* ---- several ---- */

TEST(several)
{
	conex_container *c;

	GOOD(network("front", 0, NULL));
	GOOD(network("back", CONEX_NETWORK_INTERNAL, CONEX_STRINGS("10.78.0.0/24")));
	c = server("back,front", 0);
	if (!box_good(c ? 0 : -1, "server", __FILE__, __LINE__))
		return;
	CHECK(!strncmp(conex_container_address(c, NULL, AF_INET), "10.78.0.", 8));
	CHECK(!strncmp(conex_container_address(c, "front", AF_INET), "10.200.", 7));
	CHECK(reached("front", conex_container_address(c, "front", AF_INET)));
	CHECK(reached("back", conex_container_address(c, "back", AF_INET)));
	CHECK_INT(box_exec(c, NULL, "ip route"), 0);
	CHECK(strstr(box.out, "default via 10.200.") && strstr(box.out, "dev eth1"));  /* not into the internal one */
	box_end(c);
	CHECK_INT(members("front") + members("back"), 0);
	GOOD(gone("front"));
	GOOD(gone("back"));
}

TEST(subnets_are_apart)
{
	char *json = NULL, **names = NULL;

	CHECK_INT(command("ip link add cxdummy type bridge && ip addr add 10.200.1.1/24 dev cxdummy"
		" && ip link set cxdummy up"), 0);
	GOOD(network("a", 0, NULL));
	GOOD(network("b", 0, NULL));
	GOOD(conex_network_json(box.cx, "a", &json, &box.err));
	CHECK(json && strstr(json, "10.200.4.0/22"));   /* 10.200.0.0/22 is in a route */
	free(json);
	GOOD(conex_network_json(box.cx, "b", &json, &box.err));
	CHECK(json && strstr(json, "10.200.8.0/22"));
	free(json);
	CHECK_INT(conex_network_list(box.cx, &names, &box.err), 2);
	CHECK(names && !strcmp(names[0], "a") && !strcmp(names[1], "b") && !names[2]);
	free(names);
	GOOD(gone("a"));
	GOOD(gone("b"));
	command("ip link del cxdummy");
}

/* Where IPv6 is turned off a network has none. */
TEST(version_four_alone)
{
	conex_container *c;

	make_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	c = box_sleeper(BOX(.network = "bridge"));
	CHECK(c && conex_container_address(c, NULL, AF_INET) && !conex_container_address(c, NULL, AF_INET6));
	box_end(c);
	GOOD(gone("bridge"));
	CHECK_INT(network("six", 0, CONEX_STRINGS("fd08::/64")), -EACCES);
	SAID("fd08::1");
	CHECK_INT(if_nametoindex("cx-six"), 0);
	CHECK_INT(gone("six"), -ENOENT);
	make_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "0");
}

/* The host has an interface of the index that eth0 would have: it may be in such a container itself. */
TEST(index_taken)
{
	int index;

	GOOD(network("front", 0, NULL));
	GOOD(network("back", 0, NULL));
	CHECK_INT(box_run(BOX(.network = "front"), "ip -o link show eth0"), 0);
	index = atoi(box.out) + 1;
	CHECK_INT(command("ip link add cxtaken index %d type bridge", index), 0);
	CHECK_INT(box_run(BOX(.network = "front,back"), "ip -o link show eth0 && ip addr show eth1"), 0);
	CHECK_INT(atoi(box.out), index + 1);
	CHECK(strstr(box.out, "inet 10.200.") != NULL);
	CHECK_INT(command("ip link del cxtaken"), 0);
	GOOD(gone("front"));
	GOOD(gone("back"));
}

/* ---- refused ---- */

TEST(refused)
{
	CHECK_INT(network("a/b", 0, NULL), -EINVAL);
	SAID("a/b");
	CHECK_INT(network("host", 0, NULL), -EINVAL);
	CHECK_INT(network("x", 0, CONEX_STRINGS("10.1.2.3/24")), -EINVAL);
	SAID("conex_network_options.subnets[0]");
	CHECK_INT(network("x", 0, CONEX_STRINGS("10.1.2.0/24", "10.1.3.0/24")), -EINVAL);
	SAID("subnets[1]");
	CHECK_INT(network("x", 0, CONEX_STRINGS("10.1.2.0/33")), -EINVAL);
	CHECK_INT(network("x", 0, CONEX_STRINGS("hello")), -EINVAL);
	CHECK_INT(network("x", 1 << 20, NULL), -EINVAL);
	CHECK_INT(gone("x"), -ENOENT);
	CHECK_INT(box_run(BOX(.network = "nowhere"), "true"), -ENOENT);
	SAID("nowhere");
	SAID("conex_network_create");
	CHECK_INT(box_run(BOX(.network = "a,,b"), "true"), -EINVAL);
	CHECK_INT(box_run(BOX(.network = "bridge", .share = CONEX_NS_NET), "true"), -EINVAL);
	SAID("conex_run_options.network");
	CHECK_INT(conex_network_create(box.cx, "y", &(struct conex_network_options){
		.size = sizeof(struct conex_network_options), .driver = "token-ring" }, &box.err), -EOPNOTSUPP);
	SAID("token-ring");
	CHECK_INT(box_entries(directory), 0);
}

TEST(taken)
{
	GOOD(network("site", 0, NULL));
	CHECK_INT(network("site", 0, NULL), -EEXIST);
	SAID("CONEX_NETWORK_EXISTING");
	GOOD(network("site", CONEX_NETWORK_EXISTING, NULL));
	GOOD(gone("site"));
	CHECK_INT(command("ip link add cx-site type bridge"), 0);
	CHECK_INT(network("site", 0, NULL), -EEXIST);
	SAID("cx-site");
	CHECK_INT(command("ip link del cx-site"), 0);
}

/* Six addresses, of which the bridge has one. */
TEST(full)
{
	conex_container *list[5];

	GOOD(network("tiny", 0, CONEX_STRINGS("10.79.0.0/29")));
	for (int i = 0; i < 5; i++)
		list[i] = box_sleeper(BOX(.network = "tiny"));
	CHECK_INT(box_run(BOX(.network = "tiny"), "true"), -EADDRNOTAVAIL);
	SAID("tiny");
	CHECK_INT(host_ends(), 5);
	for (int i = 0; i < 5; i++)
		box_end(list[i]);
	CHECK_INT(box_run(BOX(.network = "tiny"), "true"), 0);
	GOOD(gone("tiny"));
}

/* Somebody has taken the bridge away: it is made again, the members that it had are lost to it. */
TEST(bridge_comes_back)
{
	GOOD(network("site", 0, CONEX_STRINGS("10.80.0.0/24")));
	CHECK_INT(command("ip link del cx-site"), 0);
	CHECK_INT(box_run(BOX(.network = "site"), "ip route"), 0);
	CHECK(strstr(box.out, "10.80.0.1") != NULL);
	GOOD(gone("site"));
}

/* ---- pairs alone ---- */

static int veth(const struct conex_veth_options *given)
{
	struct conex_veth_options o = *given;

	o.size = sizeof o;
	box_clear();
	return conex_veth_create(box.cx, &o, &box.err);
}
#define VETH(...) &(struct conex_veth_options){ __VA_ARGS__ }

TEST(veth_pair)
{
	conex_namespace *ns = NULL;
	struct conex_run_options o = { .share = CONEX_NS_ALL, .oci = OCI({"process": {"capabilities": {
		"bounding": ["CAP_NET_RAW"], "permitted": ["CAP_NET_RAW"], "effective": ["CAP_NET_RAW"]}}}) };

	GOOD(conex_namespace_create(box.cx, CONEX_NS_NET, NULL, &ns, &box.err));
	if (!ns)
		return;
	o.join = (conex_namespace *const[]){ ns, NULL };
	GOOD(veth(VETH(.host_name = "lab0", .host_address = "10.9.0.1/30", .ns = ns, .name = "in0",
		.address = "10.9.0.2/30", .gateway = "10.9.0.1")));
	CHECK_INT(box_run(&o, "ip -o addr show in0; ip route; busybox ping -c 1 -W 5 10.9.0.1"), 0);
	CHECK(strstr(box.out, "10.9.0.2/30") && strstr(box.out, "default via 10.9.0.1 dev in0"));
	CHECK_INT(veth(VETH(.host_name = "lab0", .ns = ns)), -EEXIST);
	SAID("lab0");
	CHECK_INT(veth(VETH(.host_name = "lab1", .ns = ns, .name = "in0")), -EEXIST);
	CHECK_INT(if_nametoindex("lab1"), 0);
	CHECK_INT(veth(VETH(.host_name = "lab1", .ns = ns, .address = "10.10.0.2/24", .gateway = "10.11.0.1")), -ENETUNREACH);
	SAID("eth0");
	CHECK_INT(if_nametoindex("lab1"), 0);   /* nothing is left of what failed halfway */
	GOOD(veth(VETH(.host_name = "lab1", .host_address = "fd09::1/64", .ns = ns, .address = "fd09::2/64")));
	CHECK_INT(box_run(&o, "busybox ping -6 -c 1 -W 5 fd09::1"), 0);
	GOOD(conex_veth_delete(box.cx, "lab1", &box.err));
	CHECK_INT(if_nametoindex("lab1"), 0);
	CHECK_INT(conex_veth_delete(box.cx, "lab1", &box.err), -ENOENT);
	conex_namespace_free(ns);               /* the pair goes with it */
	for (int i = 0; i < 400 && if_nametoindex("lab0"); i++)
		usleep(5000);
	CHECK_INT(if_nametoindex("lab0"), 0);
	GOOD(conex_veth_delete(box.cx, "lab0", &box.err));
}

TEST(veth_refused)
{
	conex_namespace *uts = NULL, *net = NULL;

	GOOD(conex_namespace_create(box.cx, CONEX_NS_UTS, NULL, &uts, &box.err));
	GOOD(conex_namespace_create(box.cx, CONEX_NS_NET, NULL, &net, &box.err));
	CHECK_INT(veth(VETH(.host_name = "lab0", .ns = uts)), -EINVAL);
	SAID("conex_veth_options.ns");
	CHECK_INT(veth(VETH(.host_name = "lab0")), -EINVAL);
	CHECK_INT(veth(VETH(.host_name = "sixteen_letters_", .ns = net)), -EINVAL);
	SAID("host_name");
	CHECK_INT(veth(VETH(.ns = net)), -EINVAL);
	CHECK_INT(veth(VETH(.host_name = "lab0", .ns = net, .name = "a/b")), -EINVAL);
	CHECK_INT(veth(VETH(.host_name = "lab0", .ns = net, .address = "10.9.0.2")), -EINVAL);
	SAID("conex_veth_options.address");
	CHECK_INT(veth(VETH(.host_name = "lab0", .ns = net, .gateway = "10.9.0.2/3")), -EINVAL);
	SAID("conex_veth_options.gateway");
	CHECK_INT(if_nametoindex("lab0"), 0);
	conex_namespace_free(uts);
	conex_namespace_free(net);
}

/* Closing the context takes it away. */
TEST(veth_closed)
{
	conex_namespace *ns = NULL;
	conex *cx = NULL;

	GOOD(conex_open(NULL, &cx, &box.err));
	GOOD(conex_namespace_create(cx, CONEX_NS_NET, NULL, &ns, &box.err));
	GOOD(conex_veth_create(cx, &(struct conex_veth_options){ .size = sizeof(struct conex_veth_options),
		.host_name = "lab2", .ns = ns }, &box.err));
	CHECK(if_nametoindex("lab2") != 0);
	conex_close(cx);
	CHECK_INT(if_nametoindex("lab2"), 0);
	conex_namespace_free(ns);
}

/* ---- many at once, and deaths ---- */

enum { PROCESSES = 2 };

static int all_apart(char (*seen)[INET_ADDRSTRLEN], int count, const char *address)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(seen[i], address))
			return 0;
	return 1;
}

/* All of one process alive together, so that no address may be there twice. */
static int one_of_many(const char *name, int count)
{
	char (*seen)[INET_ADDRSTRLEN] = calloc((size_t)count, sizeof *seen);
	conex_container **list = calloc((size_t)count, sizeof *list);
	struct conex_options patient = { .size = sizeof patient, .close_ms = 120000 };
	conex *cx = NULL;
	int good = conex_open(&patient, &cx, NULL) == 0, n = 0;

	for (; good && n < count; n++) {
		struct conex_run_options o = box_options(BOX(.network = name));

		good = conex_run(cx, NULL, CONEX_STRINGS("sleep", "1000"), &o, &list[n], &box.err) == 0;
		if (!good)
			printf("# %s\n", conex_error_text(box.err));
		if (good)
			good = all_apart(seen, n, conex_container_address(list[n], NULL, AF_INET));
		if (good)
			strcpy(seen[n], conex_container_address(list[n], NULL, AF_INET));
		if (good && n % 4 == 3) {
			good = conex_container_delete(list[n], -1, NULL) == 1;
			seen[n][0] = '\0';      /* it may be had again */
		}
	}
	fflush(stdout);
	conex_close(cx);
	return good ? 0 : 1;
}

TEST(two_processes)
{
	int count = test_count("CONEX_NETWORK_COUNT", 20), status;
	pid_t pid[PROCESSES];

	GOOD(network("crowd", 0, NULL));
	fflush(stdout);
	for (int i = 0; i < PROCESSES; i++)
		if ((pid[i] = fork()) == 0)
			_exit(one_of_many("crowd", count));
	for (int i = 0; i < PROCESSES; i++) {
		CHECK_INT(waitpid(pid[i], &status, 0), pid[i]);
		CHECK_INT(status, 0);
	}
	CHECK_INT(members("crowd"), 0);
	CHECK_INT(host_ends(), 0);
	GOOD(gone("crowd"));
}

/* Killed at any point: the next one who opens gives back what it had. */
TEST(killed)
{
	int left = -1;

	GOOD(network("site", 0, NULL));
	for (int round = 0; round < 5; round++) {
		pid_t pid;

		fflush(stdout);
		pid = fork();
		if (pid == 0)
			_exit(one_of_many("site", 1000));
		usleep((useconds_t)(rand() % 150000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	for (int i = 0; i < 200 && left; i++) {
		GOOD(conex_prune(box.cx, NULL, &box.err));
		left = members("site") + host_ends();
		usleep(left ? 50000 : 0);
	}
	CHECK_INT(left, 0);
	GOOD(gone("site"));
}

static void tests(void)
{
	RUN(made_on_demand);
	RUN(inside);
	RUN(talk);
	RUN(one_mac);
	RUN(with_a_user_namespace);
	RUN(held);
	RUN(several);
	RUN(subnets_are_apart);
	RUN(version_four_alone);
	RUN(index_taken);
	RUN(refused);
	RUN(taken);
	RUN(full);
	RUN(bridge_comes_back);
	RUN(veth_pair);
	RUN(veth_refused);
	RUN(veth_closed);
	RUN(two_processes);
	RUN(killed);
	rmdir(directory);
}

int main(void)
{
	return network_box() ? with_box(tests) : 0;
}
