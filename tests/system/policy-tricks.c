/* What a container that wants more than its network's policy gives it may try: others' addresses, other ways, the moment
 * before. */
#include "policy-box.h"

/* ---- others' addresses ---- */

static int count_of(const struct member *m, const struct member *at)
{
	return !strcmp(ask(m, at, "udp", COUNT, LONG), "nothing") ? -1 : atoi(box.out);
}

/* Both datagrams arrive, perhaps a moment after the neighbour was asked for. */
static int comes_to(const struct member *m, const struct member *at, int count)
{
	for (int i = 0; i < 500 && count_of(m, at) < count; i++)
		usleep(10000);
	return count_of(m, at);
}

static void pretend(const struct member *m, const struct member *to, const struct member *who)
{
	CHECK_INT(inside(m, say("/probe send %s %s && /probe send %s %s", to->v4, who->v4, to->v6, who->v6)), 0);
}

/* "other" pretends to be "web-1". Without a policy it gets through, which shows that it does what it should. */
TEST(others_addresses)
{
	int before;

	begin();
	GOOD(POLICY({"default": "deny", "rules": [{"from": {"id": "web-1"}, "to": {"id": "db"}}]}));
	HEARS(a, b, "udp", ECHO);
	before = count_of(&a, &b);
	SILENCE(c, b, "udp", CLOSED);           /* but it knows who that is */
	pretend(&c, &b, &a);
	SILENCE(c, b, "udp", CLOSED);
	CHECK_INT(count_of(&a, &b), before);
	GOOD(policy("site", NULL));
	pretend(&c, &b, &a);
	CHECK_INT(comes_to(&a, &b, before + 2), before + 2);
	end();
}

static void mac_of(const struct member *m, char to[18])
{
	CHECK_INT(inside(m, "ip -o link show eth0 | sed 's/.*ether //; s/ .*//'"), 0);
	snprintf(to, 18, "%s", box.out);
}

/* "other" sends from its own addresses, but with "web-1"'s MAC. */
TEST(others_macs)
{
	char mac[18], own[18];
	int before;

	begin();
	GOOD(POLICY({"default": "allow"}));
	HEARS(c, b, "udp", ECHO);
	mac_of(&a, mac);
	mac_of(&c, own);
	before = count_of(&b, &b);
	CHECK_INT(inside(&c, say("ip link set eth0 address %s", mac)), 0);
	pretend(&c, &b, &c);
	SILENCE(c, b, "tcp", 80);
	CHECK_INT(count_of(&b, &b), before);
	HEARS(b, a, "tcp", 80);         /* the bridge hasn't learnt it */
	GOOD(policy("site", NULL));
	pretend(&c, &b, &c);
	CHECK(comes_to(&b, &b, before + 2) >= before + 2);      /* what waited for a neighbour as well */
	CHECK_INT(inside(&c, say("ip link set eth0 address %s", own)), 0);
	GOOD(POLICY({"default": "allow"}));
	HEARS(c, b, "udp", ECHO);
	end();
}

/* Whoever answers for another's address isn't heard, nor gets what is sent there. */
TEST(others_neighbours)
{
	char mac[18];

	begin();
	GOOD(POLICY({"default": "allow"}));
	CHECK_INT(inside(&c, say("ip addr add %s/24 dev eth0 && ip -6 addr add %s/64 dev eth0 nodad", a.v4, a.v6)), 0);
	for (int i = 0; i < 5; i++) {
		CHECK_INT(inside(&b, "ip neigh flush dev eth0"), 0);
		HEARS(b, a, "tcp", 80);
	}
	/* b believes it all the same */
	mac_of(&c, mac);
	CHECK_INT(inside(&b, say("ip neigh replace %s lladdr %s dev eth0 nud permanent &&"
		" ip neigh replace %s lladdr %s dev eth0 nud permanent", a.v4, mac, a.v6, mac)), 0);
	SILENCE(b, a, "tcp", 80);
	GOOD(policy("site", NULL));
	HEARS(b, a, "tcp", 80);         /* it was c that was asked */
	end();
}

/* By way of the host: routed back into the network, or to a published port. */
static void by_the_host(void)
{
	struct member d = { .c = NULL };
	const char *via;

	begin();
	d.c = box_start(BOX(.network = "site", .id = "shop", .mounts = CONEX_MOUNTS(BOX_USR),
		.ports = CONEX_PORTS({ "0.0.0.0", 8080, 80, NULL }, { "::", 8080, 80, NULL })), CONEX_STRINGS("/probe", "serve"));
	if (!box_good(d.c ? 0 : -1, "shop", __FILE__, __LINE__))
		return;
	via = say("ip route add %s/32 via 10.77.0.1; ip -6 route add %s/128 via fd77::1", b.v4, b.v6);
	CHECK_INT(inside(&a, via), 0);
	strcpy(d.v4, "10.77.0.1");
	strcpy(d.v6, "fd77::1");
	HEARS(a, b, "tcp", 80);
	HEARS(a, d, "tcp", 8080);
	GOOD(POLICY({"default": "deny"}));
	SILENCE(a, b, "tcp", 80);
	SILENCE(a, d, "tcp", 8080);
	CHECK_INT(command("test \"$(echo | busybox nc -w 5 10.77.0.1 8080)\" = hello"), 0);
	GOOD(policy("site", NULL));
	HEARS(a, d, "tcp", 8080);
	box_end(d.c);
	end();
}

TEST(routed_back)
{
	call_inet("0");
	by_the_host();
	if (access("/proc/sys/net/bridge", F_OK) == 0) {
		call_inet("1");
		by_the_host();
		call_inet("0");
	}
}

/* A device that somebody else has put into the bridge. */
TEST(strangers)
{
	conex_namespace *ns = NULL;
	conex_namespace *join[2] = { NULL };
	struct conex_run_options o = { .share = CONEX_NS_ALL, .oci = WITH_RIGHTS, .join = join };
	struct conex_veth_options pair = { .size = sizeof pair, .host_name = "lab0", .address = "10.77.0.200/24" };
	char ask_a[80];

	begin();
	snprintf(ask_a, sizeof ask_a, "busybox ping -c 1 -W 1 %s", a.v4);
	GOOD(conex_namespace_create(box.cx, CONEX_NS_NET, NULL, &ns, &box.err));
	pair.ns = join[0] = ns;
	GOOD(conex_veth_create(box.cx, &pair, &box.err));
	CHECK_INT(command("ip link set lab0 master cx-site"), 0);
	CHECK_INT(box_run(&o, ask_a), 0);
	GOOD(POLICY({"default": "allow"}));
	CHECK_INT(box_run(&o, ask_a), 1);
	CHECK(!pings(&a, "10.77.0.200"));
	GOOD(policy("site", NULL));
	CHECK(pings(&a, "10.77.0.200"));
	GOOD(conex_veth_delete(box.cx, "lab0", &box.err));
	conex_namespace_free(ns);
	end();
}

/* ---- in time ---- */

/* Whatever a container sends first, it is policed. */
TEST(from_the_first_packet)
{
	struct conex_run_options o = { .network = "site", .mounts = CONEX_MOUNTS(BOX_USR), .oci = WITH_RIGHTS };
	int before;

	begin();
	GOOD(POLICY({"default": "deny", "rules": [{"from": {"id": "web-1"}}]}));
	before = count_of(&a, &b);
	for (int i = 0; i < 20; i++)
		CHECK_INT(box_run_args(&o, CONEX_STRINGS("/probe", "send", b.v4, "::")), 0);
	CHECK_INT(count_of(&a, &b), before);
	GOOD(policy("site", NULL));
	CHECK_INT(box_run_args(&o, CONEX_STRINGS("sh", "-c", say("/probe send %s ::; ping -c 1 -W 5 %s", b.v4, b.v4))), 0);
	CHECK(comes_to(&a, &b, before + 1) > before);
	end();
}

static void flip(void)
{
	conex *cx = NULL;

	if (conex_open(NULL, &cx, NULL) < 0)
		_exit(1);
	for (int i = 0;; i++)
		if (conex_network_policy(cx, "site", i % 2
				? "{\"default\":\"allow\",\"rules\":[{\"from\":{\"id\":\"other\"},\"action\":\"deny\"}]}"
				: "{\"default\":\"deny\",\"rules\":[{\"from\":{\"label\":\"role=web\"},\"ports\":[\"tcp\",\"udp\"]}]}", NULL) < 0)
			_exit(1);
}

/* From one policy to the next there is no moment without. */
TEST(changed_at_once)
{
	int status = -1, before;
	pid_t pid;

	begin();
	GOOD(POLICY({"default": "deny", "rules": [{"from": {"id": "web-1"}}]}));
	before = count_of(&a, &b);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		flip();
	for (int i = 0; i < 20; i++) {
		HEARS(a, b, "tcp", 80);
		CHECK_INT(inside(&c, say("for i in 1 2 3 4 5 6 7 8 9 10; do /probe send %s %s; done", b.v4, c.v4)), 0);
	}
	CHECK_INT(waitpid(pid, &status, WNOHANG), 0);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	CHECK_INT(comes_to(&a, &b, 0), before);
	end();
}

static void tests(void)
{
	call_inet("0");
	RUN(others_addresses);
	RUN(others_macs);
	RUN(others_neighbours);
	RUN(routed_back);
	RUN(strangers);
	RUN(from_the_first_packet);
	RUN(changed_at_once);
	rmdir(directory);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return probe(argc, argv);
	return network_box() ? with_box(tests) : 0;
}
