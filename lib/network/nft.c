/* libnftables, and our table. Its language is that of nft(8); what it would print goes into buffers. */
#include "network/policy.h"

#include "base/dlnote.h"
#include "network/netlink.h"

#include <dlfcn.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY "libnftables.so.1"

CX_DLOPEN_NOTE("networks", "masquerading and isolation of networks, published ports", LIBRARY);

struct nft_ctx;

struct cx_nft {
	void *library;
	struct nft_ctx *context;
	void (*ctx_free)(struct nft_ctx *);
	int (*run)(struct nft_ctx *, const char *);
	const char *(*error)(struct nft_ctx *);
	const char *(*output)(struct nft_ctx *);
};

/* ---- the library ---- */

static int load(struct cx_nft *n, conex_error **err)
{
	struct nft_ctx *(*ctx_new)(uint32_t flags);
	int (*buffer_output)(struct nft_ctx *), (*buffer_error)(struct nft_ctx *);

	n->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!n->library)
		return cx_fail(err, CONEX_STAGE_LAUNCH, -ELIBACC, "dlopen", "networks need it (Debian: package libnftables1)", LIBRARY);
#define FIND(to, name) (*(void **)&(to) = dlsym(n->library, name))
	if (!FIND(ctx_new, "nft_ctx_new") || !FIND(n->ctx_free, "nft_ctx_free")
	    || !FIND(n->run, "nft_run_cmd_from_buffer") || !FIND(n->error, "nft_ctx_get_error_buffer")
	    || !FIND(n->output, "nft_ctx_get_output_buffer") || !FIND(buffer_output, "nft_ctx_buffer_output")
	    || !FIND(buffer_error, "nft_ctx_buffer_error"))
		return cx_fail(err, CONEX_STAGE_LAUNCH, -ELIBACC, "dlsym", dlerror(), LIBRARY);
#undef FIND
	n->context = ctx_new(0);
	if (!n->context || buffer_output(n->context) || buffer_error(n->context))
		return cx_fail_memory(err);
	return 0;
}

int cx_nft_open(struct cx_nft **ret, conex_error **err)
{
	struct cx_nft *n = calloc(1, sizeof *n);
	int r = n ? load(n, err) : cx_fail_memory(err);

	if (r < 0)
		cx_nft_free(n);
	else
		*ret = n;
	return r;
}

/* The library stays loaded: what it keeps for the process would leak otherwise. */
void cx_nft_free(struct cx_nft *n)
{
	if (n && n->context)
		n->ctx_free(n->context);
	free(n);
}

/* The kernel's answer is told by strerror(3)'s words, in whatever language the host speaks: so they are compared
 * with the same function's. */
static int error_of(const char *text)
{
	static const int known[] = { EEXIST, ENOENT, EPERM, EBUSY, ENOMEM, EOPNOTSUPP, EINVAL };

	for (size_t i = 0; i < CX_ARRAY_SIZE(known); i++)
		if (strstr(text, strerror(known[i])))
			return -known[i];
	return -EIO;
}

int cx_nft_run(struct cx_nft *n, const struct cx_str *command, const char **text)
{
	const char *said;

	if (command->failed)
		return -ENOMEM;
	if (n->run(n->context, command->data) == 0)
		return 0;
	said = n->error(n->context);
	if (text)
		*text = said ? said : "";
	return error_of(said ? said : "");
}

int cx_nft_fail(conex_error **err, int r, const char *said, const char *object)
{
	cx_autofree char *line = strndup(said, strcspn(said, "\n"));

	return cx_fail(err, CONEX_STAGE_LAUNCH, r, "nftables", r == -EPERM ? "it takes CAP_NET_ADMIN" : line, "%s", object);
}

/* ---- the table ---- */

/* Published ports: who comes to an address of this machine goes on to the container, also from this machine.
 * Addresses are translated before the kernel looks whether they may come that way, so 127.0.0.1 must be left out
 * of it: a machine beside us could reach what is published there. And since bridges let it through (route_localnet,
 * for the way back), members are kept from it as it is on the wire: before translation. On
 * the way back everything that was sent on like that must pass here again, so hairpins (from the same network) and
 * 127.0.0.1 are masqueraded (and nobody is told that there were a shorter way), as is what goes into networks
 * without a way out, and what leaves for elsewhere. Forwarding: internal networks have no way out, networks none to
 * one another (nor to their own members by way of the host, where a policy says who reaches whom), and in comes what was
 * published or asked for. Tables of others see the same packets: what they drop
 * stays dropped. An answer to ::1 that comes from anywhere but lo has no route (Linux's
 * rt6_need_strict; IPv4 has route_localnet for it), so what goes there is left alone. */
static const char table[] =
	"table inet conex {\n"
	"	set bridges { type ifname; }\n"
	"	set internal { type ifname; }\n"
	"	set same { type ifname . ifname; }\n"
	"	set policed { type ifname . ifname; }\n"
	"	set subnets4 { type ipv4_addr; flags interval; }\n"
	"	set subnets6 { type ipv6_addr; flags interval; }\n"
	"	map ports4 { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; }\n"
	"	map ports6 { type inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service; }\n"
	"	map any4 { type inet_proto . inet_service : ipv4_addr . inet_service; }\n"
	"	map any6 { type inet_proto . inet_service : ipv6_addr . inet_service; }\n"
	"	chain publish {\n"
	"		meta l4proto { tcp, udp, sctp } dnat ip to meta l4proto . ip daddr . th dport map @ports4\n"
	"		meta l4proto { tcp, udp, sctp } dnat ip to meta l4proto . th dport map @any4\n"
	"		meta l4proto { tcp, udp, sctp } dnat ip6 to meta l4proto . ip6 daddr . th dport map @ports6\n"
	"		meta l4proto { tcp, udp, sctp } dnat ip6 to meta l4proto . th dport map @any6\n"
	"	}\n"
	"	chain wire { type filter hook prerouting priority -300; ip daddr 127.0.0.0/8 iifname @bridges drop; }\n"
	"	chain prerouting {\n"
	"		type nat hook prerouting priority -100;\n"
	"		ip daddr 127.0.0.0/8 return\n"
	"		fib daddr type local goto publish\n"
	"	}\n"
	"	chain output {\n"
	"		type nat hook output priority -100;\n"
	"		ip6 daddr ::1 return\n"
	"		fib daddr type local goto publish\n"
	"	}\n"
	"	chain redirects { type filter hook output priority 0; oifname @bridges icmp type redirect drop; }\n"
	"	chain postrouting {\n"
	"		type nat hook postrouting priority 100;\n"
	"		oifname \"lo\" return\n"
	"		ct status dnat oifname @internal masquerade\n"
	"		ct status dnat oifname @bridges ip saddr 127.0.0.0/8 masquerade\n"
	"		ct status dnat oifname @bridges ip saddr @subnets4 masquerade\n"
	"		ct status dnat oifname @bridges ip6 saddr @subnets6 masquerade\n"
	"		oifname != @bridges ip saddr @subnets4 masquerade\n"
	"		oifname != @bridges ip6 saddr @subnets6 masquerade\n"
	"	}\n"
	"	chain forward {\n"
	"		type filter hook forward priority 0;\n"
	"		iifname . oifname @policed ct status dnat drop\n"
	"		iifname . oifname @same accept\n"
	"		iifname @internal drop\n"
	"		oifname @internal drop\n"
	"		ct state established,related accept\n"
	"		ct status dnat accept\n"
	"		oifname @bridges drop\n"
	"	}\n"
	"}\n";

static void add_network(struct cx_str *to, const struct cx_network *net, const char *verb)
{
	char text[CX_SUBNET_TEXT];

	cx_str_addf(to, "%s element inet conex bridges { \"%s\" }\n", verb, net->bridge);
	cx_str_addf(to, "%s element inet conex same { \"%s\" . \"%s\" }\n", verb, net->bridge, net->bridge);
	if (net->flags & CONEX_NETWORK_INTERNAL)
		cx_str_addf(to, "%s element inet conex internal { \"%s\" }\n", verb, net->bridge);
	for (int i = 0; i < net->subnets; i++) {
		cx_subnet_print(&net->subnet[i], text);
		cx_str_addf(to, "%s element inet conex subnets%d { %s }\n", verb,
			net->subnet[i].base.family == AF_INET6 ? 6 : 4, text);
	}
}

int cx_nft_network_add(struct cx_nft *n, const struct cx_network *net, conex_error **err)
{
	cx_autostr known = { 0 }, new = { 0 };
	const char *said = "";
	int r, is_new = 0;

	add_network(&known, net, "add");
	r = cx_nft_run(n, &known, &said);
	if (r == -ENOENT) {     /* no table yet; who makes it is alone, by the lock */
		cx_str_addf(&new, "%s", table);
		add_network(&new, net, "add");
		r = cx_nft_run(n, &new, &said);
		is_new = 1;
	}
	return r < 0 ? cx_nft_fail(err, r, said, net->name) : is_new;
}

static void add_key(struct cx_str *to, const struct cx_port *p, const char *verb)
{
	static const unsigned char any[16];
	char host[INET6_ADDRSTRLEN];
	int size = cx_address_size(p->host.family), is_any = !memcmp(p->host.byte, any, (size_t)size);

	cx_address_print(&p->host, host);
	cx_str_addf(to, "%s element inet conex %s%d { %s . %s%s%u", verb, is_any ? "any" : "ports", size == 4 ? 4 : 6,
		cx_port_protocol(p->protocol), is_any ? "" : host, is_any ? "" : " . ", p->host_port);
}

static void add_port(struct cx_str *to, const struct cx_port *p, const char *verb, const char *tag)
{
	char target[INET6_ADDRSTRLEN];

	cx_address_print(&p->to, target);
	add_key(to, p, verb);
	if (tag)
		cx_str_addf(to, " comment \"%s\"", tag);
	cx_str_addf(to, " : %s . %u }\n", target, p->port);
}

static void add_again(const struct cx_port *p, void *data)
{
	add_port(data, p, "add", NULL);
}

static int add_published(struct cx_nft *n, int place, conex_error **err)
{
	cx_autostr all = { 0 };
	const char *said = "";
	int r;

	if (!cx_published_each(place, add_again, &all))
		return 0;
	r = cx_nft_run(n, &all, &said);
	return r < 0 ? cx_nft_fail(err, r, said, "the ports that were published before") : 0;
}

static int add_if_up(struct cx_nft *n, const struct cx_networks *place, const char *name, conex_error **err)
{
	cx_autonetwork net = { .dir = -1 };
	int r;

	if (cx_network_load(place, name, &net, NULL) < 0 || !cx_bridge_is_up(&net))
		return 0;
	r = cx_nft_network_add(n, &net, err);
	return r < 0 ? r : cx_policy_restore(n, &net, err);
}

int cx_nft_networks_add(struct cx_nft *n, const struct cx_networks *place, conex_error **err)
{
	cx_autofree char **names = NULL;
	int count = cx_network_names(place, &names), r = 0;

	if (count < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, count, NULL, NULL, "%s", place->path);
	for (int i = 0; i < count && r >= 0; i++)
		r = add_if_up(n, place, names[i], err);
	return r < 0 ? r : add_published(n, place->dir, err);
}

int cx_nft_is_there(void)
{
	struct nfgenmsg about = { .nfgen_family = NFPROTO_INET };
	cx_autonetlink *s = NULL;
	cx_autobatch b = { .count = 0 };

	if (cx_netlink_open(&s, NETLINK_NETFILTER, NULL) < 0)
		return 0;
	cx_batch_put_text(&b, cx_batch_add(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, 0, &about, sizeof about, "table"),
		NFTA_TABLE_NAME, "conex");
	return cx_batch_send(s, &b, "conex", NULL) == 0;
}

int cx_nft_is_empty(struct cx_nft *n, const char *set)
{
	cx_autostr look = { 0 };
	const char *output;

	cx_str_addf(&look, "list set %s\n", set);
	if (cx_nft_run(n, &look, NULL) < 0)
		return 0;
	output = n->output(n->context);
	return output && !strstr(output, "elements");
}

/* The last one takes the table along. Where an element is missing, another one may still be there: so one by one. */
int cx_nft_network_remove(struct cx_nft *n, const struct cx_network *net, conex_error **err)
{
	cx_autostr all = { 0 }, last = { 0 };
	const char *said = "";
	int r;

	add_network(&all, net, "add");
	add_network(&all, net, "delete");
	r = cx_nft_run(n, &all, &said);
	if (r == 0 && cx_nft_is_empty(n, "inet conex bridges")) {
		cx_str_addf(&last, "delete table inet conex\n");
		r = cx_nft_run(n, &last, &said);
	}
	return r == 0 || r == -ENOENT ? 0 : cx_nft_fail(err, r, said, net->name);
}

/* ---- ports ---- */

/* All verbs of a kind together: the library makes one message of them. */
static int add_and_delete(struct cx_nft *n, const struct cx_port *ports, int count, const char *verb)
{
	cx_autostr all = { 0 };

	for (int i = 0; i < count; i++)
		add_port(&all, &ports[i], verb, NULL);
	for (int i = 0; i < count; i++) {
		add_key(&all, &ports[i], "delete");
		cx_str_addf(&all, " }\n");
	}
	return cx_nft_run(n, &all, NULL);
}

/* A key that leads elsewhere: EBUSY is older kernels' word for it. */
static int is_taken(int r)
{
	return r == -EEXIST || r == -EBUSY;
}

/* The library's text shows the first of all, whichever it was: so each is tried, and taken back at once. */
static int refuse_taken(struct cx_nft *n, const struct cx_port *ports, int count, const char *tag, conex_error **err)
{
	static const char mend[] = "publish it at another port, or 0: a free one";
	char host[INET6_ADDRSTRLEN];

	for (int i = 0; i < count; i++) {
		if (!is_taken(add_and_delete(n, &ports[i], 1, "create")))
			continue;
		cx_address_print(&ports[i].host, host);
		return cx_fail(err, CONEX_STAGE_LAUNCH, -EADDRINUSE, "nftables", mend, "port %s %s %u of container %s is "
			"another one's already", cx_port_protocol(ports[i].protocol), host, ports[i].host_port, tag);
	}
	return cx_fail(err, CONEX_STAGE_LAUNCH, -EADDRINUSE, "nftables", mend, "a port of container %s is published twice", tag);
}

int cx_nft_ports_add(struct cx_nft *n, const struct cx_port *ports, int count, const char *tag, conex_error **err)
{
	cx_autostr all = { 0 };
	const char *said = "";
	int r;

	for (int i = 0; i < count; i++)
		add_port(&all, &ports[i], "create", tag);
	r = cx_nft_run(n, &all, &said);
	if (is_taken(r))
		return refuse_taken(n, ports, count, tag, err);
	return r < 0 ? cx_nft_fail(err, r, said, "the ports") : 0;
}

/* By that key it may be another container's meanwhile, and deleting looks at the key alone, also where a value is
 * named. But adding what is there already is fine only with the same value: so both in one transaction delete what
 * is ours or nothing, and none of the others has to be read for it. */
int cx_nft_ports_remove(struct cx_nft *n, const struct cx_port *ports, int count)
{
	int r = count > 0 ? add_and_delete(n, ports, count, "add") : 0, all = 0;

	if (r < 0 && count > 1) {
		for (int i = 0; i < count; i++)
			if ((r = cx_nft_ports_remove(n, &ports[i], 1)) < 0)
				all = r;
		return all;
	}
	return r == -ENOENT || is_taken(r) ? 0 : r;     /* no table, or not ours */
}
