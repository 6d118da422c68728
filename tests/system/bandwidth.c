/* Limits of bandwidth: what the kernel has at both ends of a pair, and what iperf3 gets through them. */
#include "network-box.h"

#include <time.h>

enum { MBIT = 1000000, TRIES = 3 };
#define HOSTS CONEX_MOUNTS({ "/usr", "/usr", NULL, "ro" })      /* its programs and libraries */

/* ---- what the kernel has ---- */

/* The whole of a command's output. */
static const char *output(const char *line)
{
	static char text[16384];
	FILE *f = popen(line, "re");
	size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;

	text[n] = '\0';
	if (f)
		pclose(f);
	return text;
}

static int is_limited(const char *shown, const char *rate)
{
	if (strstr(shown, "qdisc tbf 1: root") && strstr(shown, say(" rate %s ", rate)))
		return 1;
	printf("# not %s: %s", rate, shown);
	return 0;
}

static const char *inside(const conex_container *c, const char *device)
{
	return output(say("nsenter -n -t %d tc qdisc show dev %s", (int)conex_container_pid(c), device));
}

/* The host's one end in this network. */
static const char *outside(const char *network)
{
	return output(say("tc qdisc show dev $(ip -o link show master cx-%s | sed 's/^[0-9]*: //;s/@.*//')", network));
}

static int none_is_left(void)
{
	return host_ends() == 0 && !strstr(output("tc qdisc show"), "tbf");
}

TEST(both_ends)
{
	conex_container *c;

	GOOD(network("site", 0, NULL));
	c = box_sleeper(BOX(.network = "site", .ingress_bps = 20 * MBIT, .egress_bps = 3 * MBIT));
	CHECK(c && is_limited(inside(c, "eth0"), "3Mbit"));
	CHECK(is_limited(outside("site"), "20Mbit"));
	box_end(c);
	CHECK(none_is_left());
	c = box_sleeper(BOX(.network = "site", .ingress_bps = 8000));
	CHECK(c && !strstr(inside(c, "eth0"), "tbf"));
	CHECK(is_limited(outside("site"), "8Kbit"));
	box_end(c);
	c = box_sleeper(BOX(.network = "site", .egress_bps = UINT64_C(100000000000), .flags = CONEX_RUN_USERNS));
	CHECK(c && is_limited(inside(c, "eth0"), "100Gbit"));   /* more bytes a second than 32 bits hold */
	CHECK(!strstr(outside("site"), "tbf"));
	box_end(c);
	CHECK(none_is_left());
	GOOD(gone("site"));
}

/* Each interface has the limit for itself; a burst is never less than a packet of the network's. */
TEST(two_networks)
{
	struct conex_network_options large = { .size = sizeof large, .mtu = 9000 };
	conex_container *c;

	GOOD(network("front", 0, NULL));
	GOOD(conex_network_create(box.cx, "back", &large, &box.err));
	c = box_sleeper(BOX(.network = "front,back", .ingress_bps = 1 * MBIT, .egress_bps = 2 * MBIT));
	CHECK(c && is_limited(inside(c, "eth0"), "2Mbit") && is_limited(inside(c, "eth1"), "2Mbit"));
	CHECK(is_limited(outside("front"), "1Mbit"));
	CHECK(is_limited(outside("back"), "1Mbit"));
	CHECK_INT(command("busybox ping -c 1 -W 10 -s 8900 %s >/dev/null", c ? conex_container_address(c, "back", AF_INET) : ""), 0);
	box_end(c);
	CHECK(none_is_left());
	GOOD(gone("front"));
	GOOD(gone("back"));
}

/* A macvlan has no end at the host: there only its own can be limited, with its parent's packets as the measure. */
TEST(macvlan)
{
	struct conex_network_options o = { .size = sizeof o, .driver = "macvlan", .parent = "trunk0",
		.subnets = CONEX_STRINGS("10.66.0.0/24") };
	conex_container *c;

	CHECK_INT(command("ip link add trunk0 mtu 9000 type veth peer name trunk1 && ip link set trunk0 up && ip link set trunk1 up mtu 9000"
		" && ip addr add 10.66.0.1/24 dev trunk1"), 0);
	if (command("ip link add trunk2 link trunk0 type macvlan 2>/dev/null && ip link del trunk2") != 0)
		SKIP("needs macvlan");
	GOOD(conex_network_create(box.cx, "site", &o, &box.err));
	CHECK_INT(box_run(BOX(.network = "site", .ingress_bps = MBIT), "true"), -EOPNOTSUPP);
	SAID("conex_run_options.ingress_bps");
	CHECK_INT(members("site"), 0);
	c = box_sleeper(BOX(.network = "site", .egress_bps = 2 * MBIT));
	CHECK(c && is_limited(inside(c, "eth0"), "2Mbit") && strstr(inside(c, "eth0"), "burst 18036b"));
	CHECK_INT(command("busybox ping -c 1 -W 10 -s 8900 %s >/dev/null", c ? conex_container_address(c, NULL, AF_INET) : ""), 0);
	box_end(c);
	GOOD(gone("site"));
	CHECK_INT(command("ip link del trunk0"), 0);
}

/* Compiled once: the limits are the plan's. */
TEST(from_a_plan)
{
	struct conex_run_options o = box_options(BOX(.network = "site", .ingress_bps = 5 * MBIT, .egress_bps = 6 * MBIT));
	conex_plan *plan = NULL;
	conex_container *c[2] = { NULL, NULL };

	GOOD(network("site", 0, NULL));
	GOOD(conex_plan_new(box.cx, NULL, CONEX_STRINGS("sleep", "1000"), &o, &plan, &box.err));
	for (int i = 0; plan && i < 2; i++) {
		GOOD(conex_launch(box.cx, plan, NULL, NULL, &c[i], &box.err));
		CHECK(c[i] && is_limited(inside(c[i], "eth0"), "6Mbit"));
	}
	CHECK_INT(command("test $(tc qdisc show | grep -c 'tbf 1: dev cx.* root .* rate 5Mbit ') = 2"), 0);
	box_end(c[0]);
	box_end(c[1]);
	conex_plan_free(plan);
	CHECK(none_is_left());
	GOOD(gone("site"));
}

/* ---- who may take it away ---- */

static int warnings;

static void note(int level, const char *line, void *data)
{
	(void)data;
	warnings += level == 4 && strstr(line, "egress_bps") != NULL;
}

TEST(rights)
{
	struct conex_options listening = { .size = sizeof listening, .log = note };
	struct conex_run_options o = box_options(BOX(.network = "site", .egress_bps = 5 * MBIT));
	conex_container *c;
	conex_plan *plan = NULL;
	conex *cx = NULL;

	GOOD(network("site", 0, NULL));
	c = box_sleeper(BOX(.network = "site", .egress_bps = 5 * MBIT, .mounts = HOSTS));
	if (c)
		CHECK(box_exec_args(c, NULL, CONEX_STRINGS("/usr/sbin/tc", "qdisc", "del", "dev", "eth0", "root")) > 0);
	if (!CHECK(strstr(box.out, "Operation not permitted") != NULL))
		printf("# %s\n", box.out);
	CHECK(c && is_limited(inside(c, "eth0"), "5Mbit"));
	box_end(c);
	GOOD(conex_open(&listening, &cx, &box.err));
	GOOD(conex_plan_new(cx, NULL, CONEX_STRINGS("true"), &o, &plan, &box.err));
	conex_plan_free(plan);
	CHECK_INT(warnings, 0);
	o.oci = OCI({"process": {"capabilities": {"bounding": ["CAP_NET_RAW"]}}});
	GOOD(conex_plan_new(cx, NULL, CONEX_STRINGS("true"), &o, &plan, &box.err));
	conex_plan_free(plan);
	CHECK_INT(warnings, 1);
	conex_close(cx);
	GOOD(gone("site"));
}

/* ---- refused ---- */

TEST(refused)
{
	static const struct { const char *network; uint64_t ingress, egress; const char *said[2]; } bad[] = {
		{ NULL, MBIT, 0, { "conex_run_options.ingress_bps", "not set" } },
		{ NULL, 0, MBIT, { "conex_run_options.egress_bps", "not set" } },
		{ "host", 0, MBIT, { "conex_run_options.egress_bps", "host" } },
		{ "device:lo", 0, MBIT, { "conex_run_options.egress_bps", "device:lo" } },
		{ "bridge", 7999, 0, { "conex_run_options.ingress_bps", "7999" } },
		{ "bridge", MBIT, 1, { "conex_run_options.egress_bps", "from 8,000" } },
		{ "bridge", UINT64_C(500000000001), 0, { "ingress_bps", "500000000001" } },
		{ "bridge", 0, UINT64_MAX, { "egress_bps", "18446744073709551615" } },
	};
	conex_plan *plan = NULL;
	conex_container *c = NULL;
	struct conex_run_options o;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		CHECK_INT(box_run(BOX(.network = bad[i].network, .ingress_bps = bad[i].ingress,
			.egress_bps = bad[i].egress), "true"), -EINVAL);
		SAID(bad[i].said[0]);
		SAID(bad[i].said[1]);
	}
	CHECK_INT(if_nametoindex("cx-bridge"), 0);
	o = box_options(BOX(.network = "bridge"));
	GOOD(conex_plan_new(box.cx, NULL, CONEX_STRINGS("true"), &o, &plan, &box.err));
	o = (struct conex_run_options){ .size = sizeof o, .egress_bps = MBIT };
	CHECK_INT(plan ? conex_launch(box.cx, plan, NULL, &o, &c, &box.err) : 0, -EINVAL);
	SAID("conex_run_options.egress_bps");
	conex_plan_free(plan);
}

/* ---- what goes through ---- */

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static conex_container *iperf_server(uint64_t ingress, uint64_t egress)
{
	conex_container *c = box_start(BOX(.network = "site", .ingress_bps = ingress, .egress_bps = egress,
		.mounts = HOSTS), CONEX_STRINGS("/usr/bin/iperf3", "-s"));

	box_good(c ? 0 : -1, "iperf3 -s", __FILE__, __LINE__);
	return c;
}

/* Bits a second that the receiver got, by iperf3's own reckoning; 0: the server doesn't listen yet, or is busy. */
static double iperf(const char *address, int out, int time)
{
	const char *json = output(say("timeout 60 iperf3 -c %s %s -t %d -J 2>/dev/null", address, out ? "-R" : "", time));
	const char *sum = strstr(json, "\"sum_received\""), *rate = sum ? strstr(sum, "\"bits_per_second\":") : NULL;

	return rate ? strtod(strchr(rate, ':') + 1, NULL) : 0;
}

/* One that measures, with patience for a server that starts or hasn't noticed the end of the last one. */
static double measured(conex_container *c, int family, int out, int time)
{
	const char *address = c ? conex_container_address(c, NULL, family) : NULL;
	double rate = 0;

	for (int i = 0; address && i < 100 && !rate; i++) {
		rate = iperf(address, out, time);
		usleep(rate ? 0 : 100000);
	}
	return rate;
}

/* Whether all that the kernel counted meanwhile, with what iperf3 doesn't count, is as much: a busy machine may keep
 * iperf3 from counting in time. */
static int is_rate(conex_container *c, int family, int out, uint64_t limit)
{
	struct conex_stats before = { .size = sizeof before }, after = { .size = sizeof after };

	for (int i = 0; i < TRIES; i++) {
		double from, rate, counted;

		GOOD(conex_container_stats(c, &before, &box.err));
		from = seconds();
		rate = measured(c, family, out, 2);
		GOOD(conex_container_stats(c, &after, &box.err));
		counted = 8 * (double)(out ? after.net_tx_bytes - before.net_tx_bytes : after.net_rx_bytes - before.net_rx_bytes)
			/ (seconds() - from);
		printf("# IPv%d, %s at %.0f Mbit/s: %.2f by iperf3, at least %.2f by the kernel's count\n",
			family == AF_INET ? 4 : 6, out ? "egress" : "ingress", (double)limit / MBIT, rate / MBIT, counted / MBIT);
		if (rate > 0.9 * (double)limit && rate < 1.1 * (double)limit && counted < 1.1 * (double)limit)
			return 1;
	}
	return 0;
}

TEST(rates)
{
	conex_container *c;
	double unlimited;

	if (command("command -v iperf3 >/dev/null") != 0)
		SKIP("needs iperf3");
	GOOD(network("site", 0, NULL));
	c = iperf_server(0, 0);
	unlimited = measured(c, AF_INET, 0, 1);
	printf("# unlimited: %.0f Mbit/s\n", unlimited / MBIT);
	CHECK(unlimited > 400 * MBIT);
	box_end(c);
	c = iperf_server(20 * MBIT, 200 * MBIT);
	CHECK(c && is_rate(c, AF_INET, 0, 20 * MBIT));
	CHECK(c && is_rate(c, AF_INET, 1, 200 * MBIT));
	box_end(c);
	c = iperf_server(200 * MBIT, 20 * MBIT);
	CHECK(c && is_rate(c, AF_INET6, 0, 200 * MBIT));
	CHECK(c && is_rate(c, AF_INET6, 1, 20 * MBIT));
	box_end(c);
	CHECK(none_is_left());
	GOOD(gone("site"));
}

static void tests(void)
{
	RUN(both_ends);
	RUN(two_networks);
	RUN(macvlan);
	RUN(from_a_plan);
	RUN(rights);
	RUN(refused);
	RUN(rates);
	rmdir(directory);
}

int main(void)
{
	if (!network_box())
		return 0;
	if (command("tc qdisc add dev lo root tbf rate 1mbit burst 3000 limit 9000 2>/dev/null && tc qdisc del dev lo root") != 0) {
		printf("1..0 # SKIP needs tc and token buckets (sch_tbf)\n");
		return 0;
	}
	return with_box(tests);
}
