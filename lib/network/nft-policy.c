/* A policy in nftables' language. Names in it are the bridge's (a device's, so of letters, digits and "_.-") and hex
 * digits; what users write as patterns never gets here, only who fits them. */
#include "network/policy.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define T "bridge conex"

/* What passes between members of a bridge is seen by tables of the family bridge alone. There each member is known by its
 * port: a device of the host's whose name nobody has twice, and who may send by it is written down before there is
 * one. "prerouting" comes before the bridge learns where an address is: what isn't the port's own address never gets
 * further, nor do advertisements of routers. (0.0.0.0 and :: ask whether an address is free.) Who is told
 * a wrong address of somebody's after all sends to a port that it doesn't belong to: that is dropped where it goes out,
 * in the network's chain. "input" keeps members from sending the host what it would route back into their network. What
 * comes from a device that somebody else has put into the bridge reaches no member. */
const char cx_policy_table[] =
	"table " T " {\n"
	"	set policed { type ifname; }\n"
	"	set members { type ifname; }\n"
	"	set macs { type ifname . ether_addr; }\n"
	"	set known4 { type ifname . ether_addr . ipv4_addr; }\n"
	"	set known6 { type ifname . ether_addr . ipv6_addr; }\n"
	"	set hosts4 { type ipv4_addr; }\n"
	"	set hosts6 { type ipv6_addr; }\n"
	"	set subnets4 { type ipv4_addr; flags interval; }\n"
	"	set subnets6 { type ipv6_addr; flags interval; }\n"
	"	map ports { type ifname : verdict; }\n"
	"	chain source {\n"
	"		iifname . ether saddr != @macs drop\n"
	"		arp saddr ip 0.0.0.0 arp operation request accept\n"
	"		iifname . ether saddr . arp saddr ip @known4 accept\n"
	"		iifname . ether saddr . ip saddr @known4 accept\n"
	"		icmpv6 type { nd-router-advert, nd-redirect } drop\n"
	"		iifname . ether saddr . ip6 saddr @known6 accept\n"
	"		ip6 saddr :: icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld-listener-report,"
	" mld2-listener-report } accept\n"
	"		drop\n"
	"	}\n"
	"	chain prerouting { type filter hook prerouting priority -300; iifname @members goto source; }\n"
	"	chain input {\n"
	"		type filter hook input priority -200;\n"
	"		iifname @members ip daddr @subnets4 ip daddr != @hosts4 drop\n"
	"		iifname @members ip6 daddr @subnets6 ip6 daddr != @hosts6 drop\n"
	"	}\n"
	"	chain forward {\n"
	"		type filter hook forward priority -200;\n"
	"		iifname vmap @ports\n"
	"		oifname @members drop\n"
	"	}\n"
	"}\n";

/* ---- names ---- */

/* The network's own: its chain, and those that it leads to. */
static const char *const chains[] = { "", "/asked", "/answers", "/parts", "/parts-back", "/passed" };
static const struct { const char *name, *type; } flows[] = {
	{ "flows4", "type ipv4_addr . ipv4_addr . inet_proto . inet_service . inet_service" },
	{ "flows6", "type ipv6_addr . ipv6_addr . inet_proto . inet_service . inet_service" },
	{ "pings4", "typeof ip saddr . ip daddr . icmp id" },
	{ "pings6", "typeof ip6 saddr . ip6 daddr . icmpv6 id" },
};

static void add_set(struct cx_str *to, const struct cx_network *n, const struct cx_selector *s)
{
	cx_str_addf(to, "add set " T " %s/%s { type ifname; }\n", n->bridge, s->set);
}

/* Chains are emptied before anything goes that they name. */
static void empty_chains(struct cx_str *to, const struct cx_network *n)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(chains); i++)
		cx_str_addf(to, "add chain " T " %s%s\n", n->bridge, chains[i]);
	for (size_t i = 0; i < CX_ARRAY_SIZE(chains); i++)
		cx_str_addf(to, "flush chain " T " %s%s\n", n->bridge, chains[i]);
}

static void delete_sets(struct cx_str *to, const struct cx_network *n, const struct cx_policy *p)
{
	for (int i = 0; p && i < p->selectors; i++) {
		add_set(to, n, &p->selector[i]);
		cx_str_addf(to, "delete set " T " %s/%s\n", n->bridge, p->selector[i].set);
	}
}

/* ---- rules ---- */

/* A rule as what asks meets it, or the other way round: as what answers does. */
enum way { ASKS, ANSWERS };

static void begin_rule(struct cx_str *to, const struct cx_network *n, const struct cx_policy *p,
	const struct cx_policy_rule *r, const char *chain, enum way way)
{
	cx_str_addf(to, "add rule " T " %s%s", n->bridge, chain);
	if (r->from >= 0)
		cx_str_addf(to, " %s @%s/%s", way == ASKS ? "iifname" : "oifname", n->bridge, p->selector[r->from].set);
	if (r->to >= 0)
		cx_str_addf(to, " %s @%s/%s", way == ASKS ? "oifname" : "iifname", n->bridge, p->selector[r->to].set);
}

static void add_port(struct cx_str *to, const struct cx_policy_port *p, enum way way)
{
	const char *protocol = cx_port_protocol(p->protocol);

	if (p->protocol == IPPROTO_ICMP)
		cx_str_addf(to, " meta l4proto { icmp, ipv6-icmp }");
	else if (!p->first)
		cx_str_addf(to, " meta l4proto %s", protocol);
	else if (p->first == p->last)
		cx_str_addf(to, " %s %s %u", protocol, way == ASKS ? "dport" : "sport", p->first);
	else
		cx_str_addf(to, " %s %s %u-%u", protocol, way == ASKS ? "dport" : "sport", p->first, p->last);
}

/* Answers are looked for here among TCP's alone. */
static void add_rule(struct cx_str *to, const struct cx_network *n, const struct cx_policy *p,
	const struct cx_policy_rule *r, enum way way, const char *verdict)
{
	const char *chain = way == ASKS ? "/asked" : "/answers";

	for (int i = 0; i < r->ports; i++) {
		if (way == ANSWERS && r->port[i].protocol != IPPROTO_TCP)
			continue;
		begin_rule(to, n, p, r, chain, way);
		add_port(to, &r->port[i], way);
		cx_str_addf(to, " %s\n", verdict);
	}
	if (!r->ports) {
		begin_rule(to, n, p, r, chain, way);
		cx_str_addf(to, " %s\n", verdict);
	}
}

/* The first rule that fits; then the policy's default. */
static void add_rules(struct cx_str *to, const struct cx_network *n, const struct cx_policy *p)
{
	char passed[40];

	snprintf(passed, sizeof passed, "goto %s/passed", n->bridge);
	for (int i = 0; i < p->rules; i++) {
		add_rule(to, n, p, &p->rule[i], ASKS, p->rule[i].allow ? passed : "drop");
		add_rule(to, n, p, &p->rule[i], ANSWERS, p->rule[i].allow ? "accept" : "return");
	}
	cx_str_addf(to, "add rule " T " %s/asked %s\n", n->bridge, p->allow ? passed : "drop");
	if (p->allow)
		cx_str_addf(to, "add rule " T " %s/answers accept\n", n->bridge);
}

/* What has no port: later fragments, and errors (ICMP) about what was sent. They pass between two of whom one may
 * send the other something: without its first fragment nothing can be put together again. */
static void add_parts(struct cx_str *to, const struct cx_network *n, const struct cx_policy *p, enum way way)
{
	const char *chain = way == ASKS ? "/parts" : "/parts-back";

	for (int i = 0; i < p->rules; i++) {
		const struct cx_policy_rule *r = &p->rule[i];

		if (!r->allow && r->ports)
			continue;       /* something else may pass */
		begin_rule(to, n, p, r, chain, way);
		cx_str_addf(to, r->allow ? " accept\n" : way == ANSWERS ? " drop\n" : " goto %s/parts-back\n", n->bridge);
	}
	if (p->allow)
		cx_str_addf(to, "add rule " T " %s%s accept\n", n->bridge, chain);
	else if (way == ANSWERS)
		cx_str_addf(to, "add rule " T " %s%s drop\n", n->bridge, chain);
	else
		cx_str_addf(to, "add rule " T " %s%s goto %s/parts-back\n", n->bridge, chain, n->bridge);
}

/* Answers without connection tracking, which not every kernel has for bridges. TCP says itself what opens a connection;
 * what has no ACK and no RST is never an answer, so that nobody can find out who listens. Of the others it is noted
 * who was sent something, for as long as either goes on. */
static void add_chain(struct cx_str *to, const struct cx_network *n)
{
	static const char *const rules[] = {
		"oifname != @members drop",
		"ether daddr & 01:00:00:00:00:00 == 00:00:00:00:00:00 oifname . ether daddr . ip daddr != @known4 drop",
		"ether daddr & 01:00:00:00:00:00 == 00:00:00:00:00:00 oifname . ether daddr . ip6 daddr != @known6 drop",
		"ether type arp accept",
		"icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept",
		"ip frag-off & 0x1fff != 0 goto %s/parts",
		"frag frag-off != 0 goto %s/parts",
		"icmp type { destination-unreachable, time-exceeded, parameter-problem } goto %s/parts",
		"icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } goto %s/parts",
		"tcp flags & (ack | rst) != 0 jump %s/answers",
		"meta l4proto { udp, sctp } ip saddr . ip daddr . meta l4proto . th sport . th dport @%s/flows4"
			" update @%s/flows4 { ip saddr . ip daddr . meta l4proto . th sport . th dport } accept",
		"meta l4proto { udp, sctp } ip6 saddr . ip6 daddr . meta l4proto . th sport . th dport @%s/flows6"
			" update @%s/flows6 { ip6 saddr . ip6 daddr . meta l4proto . th sport . th dport } accept",
		"icmp type echo-reply ip saddr . ip daddr . icmp id @%s/pings4 accept",
		"icmpv6 type echo-reply ip6 saddr . ip6 daddr . icmpv6 id @%s/pings6 accept",
		"goto %s/asked",
	};
	static const char *const passed[] = {
		"meta l4proto { udp, sctp } update @%s/flows4 { ip daddr . ip saddr . meta l4proto . th dport . th sport }",
		"meta l4proto { udp, sctp } update @%s/flows6 { ip6 daddr . ip6 saddr . meta l4proto . th dport . th sport }",
		"icmp type echo-request update @%s/pings4 { ip daddr . ip saddr . icmp id }",
		"icmpv6 type echo-request update @%s/pings6 { ip6 daddr . ip6 saddr . icmpv6 id }",
		"accept",
	};

	for (int i = 0; i < (int)(CX_ARRAY_SIZE(rules) + CX_ARRAY_SIZE(passed)); i++) {
		int is_passed = i >= (int)CX_ARRAY_SIZE(rules);
		const char *rest = is_passed ? passed[i - (int)CX_ARRAY_SIZE(rules)] : rules[i], *mark;

		cx_str_addf(to, "add rule " T " %s%s ", n->bridge, is_passed ? "/passed" : "");
		for (; (mark = strstr(rest, "%s")); rest = mark + 2) {
			cx_str_add(to, rest, (size_t)(mark - rest));
			cx_str_addf(to, "%s", n->bridge);
		}
		cx_str_addf(to, "%s\n", rest);
	}
}

/* ---- a network ---- */

/* The host's addresses in it; and IPv4's broadcast, which nobody routes. */
static void add_network(struct cx_str *to, const struct cx_network *n, const char *verb)
{
	char text[CX_SUBNET_TEXT], host[INET6_ADDRSTRLEN];

	cx_str_addf(to, "%s element " T " policed { \"%s\" }\n", verb, n->bridge);
	for (int i = 0; i < n->subnets; i++) {
		const struct cx_subnet *s = &n->subnet[i];
		struct cx_address gateway = cx_subnet_address(s, 1), last = cx_subnet_address(s, cx_subnet_last(s) + 1);
		int family = s->base.family == AF_INET6 ? 6 : 4;

		cx_subnet_print(s, text);
		cx_str_addf(to, "%s element " T " subnets%d { %s }\n", verb, family, text);
		cx_address_print(&gateway, host);
		cx_str_addf(to, "%s element " T " hosts%d { %s }\n", verb, family, host);
		cx_address_print(&last, host);
		if (family == 4)
			cx_str_addf(to, "%s element " T " hosts4 { %s }\n", verb, host);
	}
}

void cx_policy_text(struct cx_str *to, const struct cx_network *n, const struct cx_policy *p, const struct cx_policy *old)
{
	empty_chains(to, n);
	delete_sets(to, n, old);
	delete_sets(to, n, p);
	for (size_t i = 0; i < CX_ARRAY_SIZE(flows); i++) {
		cx_str_addf(to, "add set " T " %s/%s { %s; flags dynamic,timeout; timeout 3m; size 65536; }\n", n->bridge,
			flows[i].name, flows[i].type);
		cx_str_addf(to, "flush set " T " %s/%s\n", n->bridge, flows[i].name);
	}
	for (int i = 0; i < p->selectors; i++)
		add_set(to, n, &p->selector[i]);
	add_network(to, n, "add");
	add_chain(to, n);
	add_rules(to, n, p);
	add_parts(to, n, p, ASKS);
	add_parts(to, n, p, ANSWERS);
}

void cx_policy_text_end(struct cx_str *to, const struct cx_network *n, const struct cx_policy *p,
	const struct cx_policy *old)
{
	empty_chains(to, n);
	delete_sets(to, n, old);
	delete_sets(to, n, p);
	for (size_t i = 0; i < CX_ARRAY_SIZE(flows); i++)
		cx_str_addf(to, "delete set " T " %s/%s\n", n->bridge, flows[i].name);
	for (size_t i = 0; i < CX_ARRAY_SIZE(chains); i++)
		cx_str_addf(to, "delete chain " T " %s%s\n", n->bridge, chains[i]);
	add_network(to, n, "add");
	add_network(to, n, "delete");
}

/* ---- a member ---- */

/* What the kernel makes of the MAC (RFC 4291, appendix A): its neighbours are asked from there. */
static void print_link_local(const unsigned char mac[6], char to[INET6_ADDRSTRLEN])
{
	struct cx_address a = { AF_INET6, { 0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5] } };

	cx_address_print(&a, to);
}

static void add_member(struct cx_str *to, const struct cx_network *n, const struct cx_member *m, const char *verb)
{
	char link[16], mac[20], address[INET6_ADDRSTRLEN];
	unsigned char b[6];

	cx_lease_link(&m->lease, link);
	cx_network_mac(n, m->lease.number, b);
	snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
	cx_str_addf(to, "%s element " T " macs { \"%s\" . %s }\n", verb, link, mac);
	for (int i = 0; i < n->subnets; i++) {
		struct cx_address a = cx_subnet_address(&n->subnet[i], m->lease.number);

		cx_address_print(&a, address);
		cx_str_addf(to, "%s element " T " known%d { \"%s\" . %s . %s }\n", verb, a.family == AF_INET6 ? 6 : 4, link,
			mac, address);
		if (a.family != AF_INET6)
			continue;
		print_link_local(b, address);
		cx_str_addf(to, "%s element " T " known6 { \"%s\" . %s . %s }\n", verb, link, mac, address);
	}
	cx_str_addf(to, "%s element " T " members { \"%s\" }\n", verb, link);
	cx_str_addf(to, "%s element " T " ports { \"%s\" : goto %s }\n", verb, link, n->bridge);
}

static void add_to_selector(struct cx_str *to, const struct cx_network *n, const struct cx_selector *s,
	const struct cx_member *m, const char *verb)
{
	char link[16];

	cx_lease_link(&m->lease, link);
	cx_str_addf(to, "%s element " T " %s/%s { \"%s\" }\n", verb, n->bridge, s->set, link);
}

void cx_policy_text_enter(struct cx_str *to, const struct cx_network *n, const struct cx_policy *p,
	const struct cx_member *m)
{
	add_member(to, n, m, "add");
	for (int i = 0; i < p->selectors; i++)
		if (cx_selector_fits(&p->selector[i], m->id, m->labels))
			add_to_selector(to, n, &p->selector[i], m, "add");
}

/* Added first, so that nothing is missing. Of all selectors, whatever its labels are. */
void cx_policy_text_leave(struct cx_str *to, const struct cx_network *n, const struct cx_policy *p,
	const struct cx_member *m)
{
	for (int i = 0; p && i < p->selectors; i++) {
		add_to_selector(to, n, &p->selector[i], m, "add");
		add_to_selector(to, n, &p->selector[i], m, "delete");
	}
	add_member(to, n, m, "add");
	add_member(to, n, m, "delete");
}
