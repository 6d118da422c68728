/* A container's interfaces: veth pairs, made with the inner end in the container's namespace, under its final
 * name and index, so that what is to be done inside can be written down before it exists. */
#include "network/network.h"
#include "network/rate.h"

#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* Of the first interface inside. Kernels before 6.15 (ec061546c6cf) look for it in the host's namespace, too, and make
 * none if that has it: so it is one that no host counts up to. */
enum { FIRST_INDEX = 1 << 30 };

/* A host that is in such a container itself has some of them. */
int cx_links_index(int count)
{
	char name[IF_NAMESIZE];
	int first = FIRST_INDEX;

	for (int i = 0; i < count; i++)
		if (if_indextoname((unsigned)(first + i), name)) {
			first += i + 1;
			i = -1;
		}
	return first;
}

/* From the address, so that who had it before doesn't linger in neighbours' tables under another one. */
void cx_network_mac(const struct cx_network *n, uint32_t number, unsigned char mac[6])
{
	struct cx_address a = cx_subnet_address(&n->subnet[0], number);

	mac[0] = 0x02;          /* locally administered */
	mac[1] = 0x63;
	memcpy(mac + 2, a.byte + cx_address_size(a.family) - 4, 4);
}

static void add_pair(struct cx_batch *b, const struct cx_link *l, int n, pid_t pid)
{
	struct ifinfomsg about = { .ifi_index = l->index }, peer = { .ifi_index = 0 };
	struct nl_msg *m = cx_batch_add(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &about, sizeof about,
		"veth %s", l->host);
	struct nlattr *info, *data, *other;
	unsigned char mac[6];
	char name[16];

	snprintf(name, sizeof name, "eth%d", n);
	cx_network_mac(l->network, l->number, mac);
	cx_batch_put_u32(b, m, IFLA_NET_NS_PID, (uint32_t)pid);
	cx_batch_put_text(b, m, IFLA_IFNAME, name);
	cx_batch_put(b, m, IFLA_ADDRESS, mac, sizeof mac);
	if (l->network->mtu)
		cx_batch_put_u32(b, m, IFLA_MTU, l->network->mtu);
	info = cx_batch_nest(b, m, IFLA_LINKINFO);
	cx_batch_put_text(b, m, IFLA_INFO_KIND, "veth");
	data = cx_batch_nest(b, m, IFLA_INFO_DATA);
	other = cx_batch_nest(b, m, VETH_INFO_PEER);
	if (m && nlmsg_append(m, &peer, sizeof peer, NLMSG_ALIGNTO) < 0)
		b->failed = -ENOMEM;
	cx_batch_put_text(b, m, IFLA_IFNAME, l->host);
	if (l->network->mtu)
		cx_batch_put_u32(b, m, IFLA_MTU, l->network->mtu);
	cx_batch_nest_end(m, other);
	cx_batch_nest_end(m, data);
	cx_batch_nest_end(m, info);
}

/* A device of its own on the parent's network, with members of the same parent within reach. */
static void add_macvlan(struct cx_batch *b, const struct cx_link *l, int n, pid_t pid, unsigned parent)
{
	struct ifinfomsg about = { .ifi_index = l->index };
	struct nl_msg *m = cx_batch_add(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &about, sizeof about,
		"macvlan on %s", l->network->parent);
	struct nlattr *info, *data;
	unsigned char mac[6];
	char name[16];

	snprintf(name, sizeof name, "eth%d", n);
	/* not the address's: the kernel may still be at taking away the device of who had that before, and has no two of
	 * one MAC on a parent. Neighbours are told of it (announce) */
	mac[0] = 0x02;
	memcpy(mac + 1, &l->tag, 5);
	cx_batch_put_u32(b, m, IFLA_NET_NS_PID, (uint32_t)pid);
	cx_batch_put_u32(b, m, IFLA_LINK, parent);
	cx_batch_put_text(b, m, IFLA_IFNAME, name);
	cx_batch_put(b, m, IFLA_ADDRESS, mac, sizeof mac);
	if (l->network->mtu)
		cx_batch_put_u32(b, m, IFLA_MTU, l->network->mtu);
	info = cx_batch_nest(b, m, IFLA_LINKINFO);
	cx_batch_put_text(b, m, IFLA_INFO_KIND, "macvlan");
	data = cx_batch_nest(b, m, IFLA_INFO_DATA);
	cx_batch_put_u32(b, m, IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE);
	cx_batch_nest_end(m, data);
	cx_batch_nest_end(m, info);
}

/* Where bridges call nftables (br_netfilter), what is sent on to a member goes straight to its port, and a bridge
 * sends nothing back to where it came from, unless it is told to. Only where there is a master already. */
static void add_hairpin(struct cx_batch *b, const struct cx_link *l)
{
	struct ifinfomsg about = { .ifi_family = AF_UNSPEC };
	struct nl_msg *m = cx_batch_add(b, RTM_NEWLINK, 0, &about, sizeof about, "hairpin %s", l->host);
	struct nlattr *info, *data;
	unsigned char on = 1;

	cx_batch_put_text(b, m, IFLA_IFNAME, l->host);
	info = cx_batch_nest(b, m, IFLA_LINKINFO);
	cx_batch_put_text(b, m, IFLA_INFO_SLAVE_KIND, "bridge");
	data = cx_batch_nest(b, m, IFLA_INFO_SLAVE_DATA);
	cx_batch_put(b, m, IFLA_BRPORT_MODE, &on, sizeof on);
	cx_batch_nest_end(m, data);
	cx_batch_nest_end(m, info);
}

/* A bridge's port needs no address of its own. */
static void add_port(struct cx_batch *b, const struct cx_link *l, unsigned bridge)
{
	struct ifinfomsg about = { .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	struct nl_msg *m = cx_batch_add(b, RTM_NEWLINK, 0, &about, sizeof about, "port %s", l->host);
	unsigned char none = IN6_ADDR_GEN_MODE_NONE;
	struct nlattr *families, *v6;

	cx_batch_put_text(b, m, IFLA_IFNAME, l->host);
	cx_batch_put_u32(b, m, IFLA_MASTER, bridge);
	families = cx_batch_nest(b, m, IFLA_AF_SPEC);
	v6 = cx_batch_nest(b, m, AF_INET6);
	cx_batch_put(b, m, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof none);
	cx_batch_nest_end(m, v6);
	cx_batch_nest_end(m, families);
	if (l->hairpin)
		add_hairpin(b, l);
}

static const char *name_of(const struct cx_link *links, int count)
{
	return count == 1 ? links[0].network->name : "networks";
}

/* What goes into the container leaves the host by its end of the pair. The kernel gives that its index, and takes no
 * name here: so the pairs are made by a batch of their own. */
static int limit_ingress(struct nl_sock *s, struct cx_batch *b, const struct cx_link *links, int count, conex_error **err)
{
	int r = cx_batch_send(s, b, name_of(links, count), err);

	cx_batch_clear(b);
	for (int i = 0; i < count && r == 0; i++) {
		unsigned index = links[i].ingress_bps ? if_nametoindex(links[i].host) : 0;

		if (index)
			cx_batch_rate(b, (int)index, links[i].ingress_bps, links[i].network->mtu);
		else if (links[i].ingress_bps)
			r = cx_fail_errno(err, CONEX_STAGE_LAUNCH, "ioctl", NULL, "interface %s", links[i].host);
	}
	return r;
}

int cx_links_make(const struct cx_link *links, int count, pid_t pid, conex_error **err)
{
	unsigned device[CX_LINKS_MAX];
	cx_autonetlink *s = NULL;
	cx_autobatch b = { .count = 0 };
	int r = cx_netlink_open(&s, NETLINK_ROUTE, err), limited = 0;

	for (int i = 0; i < count && r == 0; i++) {
		const struct cx_network *n = links[i].network;
		int is_bridge = n->driver == CX_NETWORK_BRIDGE;

		if (n->driver == CX_NETWORK_CNI)
			continue;       /* its plugins make it */
		device[i] = if_nametoindex(is_bridge ? n->bridge : n->parent);
		if (!device[i])
			r = cx_fail_errno(err, CONEX_STAGE_LAUNCH, "ioctl", "somebody has removed it: try again",
				"%s %s", is_bridge ? "bridge" : "device", is_bridge ? n->bridge : n->parent);
		else if (is_bridge)
			add_pair(&b, &links[i], i, pid);
		else
			add_macvlan(&b, &links[i], i, pid, device[i]);
		limited |= links[i].ingress_bps > 0;
	}
	if (r == 0 && limited)
		r = limit_ingress(s, &b, links, count, err);
	for (int i = 0; i < count && r == 0; i++)
		if (links[i].network->driver == CX_NETWORK_BRIDGE)
			add_port(&b, &links[i], device[i]);
	return r < 0 || !b.count ? r : cx_batch_send(s, &b, name_of(links, count), err);
}

/* ---- inside ---- */

/* The lease says that nobody else has it: no second of waiting. */
static void add_inner_address(struct cx_batch *b, const struct cx_link *l, const struct cx_subnet *s)
{
	struct cx_address a = cx_subnet_address(s, l->number), broadcast = cx_subnet_address(s, cx_subnet_last(s) + 1);
	struct nl_msg *m = cx_batch_address(b, l->index, &a, s->prefix);

	if (a.family == AF_INET)
		cx_batch_put(b, m, IFA_BROADCAST, broadcast.byte, (size_t)cx_address_size(a.family));
}

/* Who comes up with addresses says so to all (ip-sysctl.rst, arp_notify). */
static void announce(struct cx_batch *b, int index)
{
	struct ifinfomsg about = { .ifi_index = index };
	struct nl_msg *m = cx_batch_add(b, RTM_NEWLINK, 0, &about, sizeof about, "arp_notify");
	struct nlattr *families = cx_batch_nest(b, m, IFLA_AF_SPEC), *v4 = cx_batch_nest(b, m, AF_INET),
		*settings = cx_batch_nest(b, m, IFLA_INET_CONF);

	cx_batch_put_u32(b, m, IPV4_DEVCONF_ARP_NOTIFY, 1);
	cx_batch_nest_end(m, settings);
	cx_batch_nest_end(m, v4);
	cx_batch_nest_end(m, families);
}

/* A bridge's MAC is known, so a neighbour can't take the gateway's place. */
static void know_gateways(struct cx_batch *b, const struct cx_link *l)
{
	const struct cx_network *n = l->network;
	unsigned char mac[6];

	cx_network_mac(n, 1, mac);
	for (int i = 0; i < n->subnets && n->driver == CX_NETWORK_BRIDGE; i++) {
		struct cx_address gateway = cx_network_gateway(n, i);

		cx_batch_neighbour(b, l->index, &gateway, mac);
	}
}

/* Of its members; 0: the kernel's. A macvlan has its parent's. */
static uint32_t mtu_of(const struct cx_network *net)
{
	cx_autoclose int fd = -1;
	struct ifreq r = { .ifr_mtu = 0 };

	if (net->mtu || net->driver == CX_NETWORK_BRIDGE)
		return net->mtu;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memcpy(r.ifr_name, net->parent, sizeof r.ifr_name);
	return fd >= 0 && ioctl(fd, SIOCGIFMTU, &r) == 0 && r.ifr_mtu > 0 ? (uint32_t)r.ifr_mtu : 0;
}

/* The first network that has a way out gives the default route of each family. */
int cx_links_inside(const struct cx_link *links, int count, struct cx_str *to)
{
	int routed[2] = { 0, 0 };

	for (int n = 0; n < count; n++) {
		const struct cx_network *net = links[n].network;
		cx_autobatch b = { .count = 0 };
		int r;

		if (net->driver == CX_NETWORK_CNI) {    /* of both families: what its plugins say goes */
			routed[0]++;
			routed[1]++;
			continue;
		}
		for (int i = 0; i < net->subnets; i++)
			add_inner_address(&b, &links[n], &net->subnet[i]);
		if (net->driver == CX_NETWORK_MACVLAN)
			announce(&b, links[n].index);
		if (links[n].egress_bps)
			cx_batch_rate(&b, links[n].index, links[n].egress_bps, mtu_of(net));
		cx_batch_up(&b, links[n].index);
		know_gateways(&b, &links[n]);
		for (int i = 0; i < net->subnets && !(net->flags & CONEX_NETWORK_INTERNAL); i++) {
			struct cx_address gateway = cx_network_gateway(net, i);

			if (!routed[gateway.family == AF_INET6]++)
				cx_batch_default_route(&b, links[n].index, &gateway, NLM_F_REPLACE);
		}
		r = cx_batch_bytes(&b, to);
		if (r < 0)
			return r;
	}
	return to->failed;
}

/* ---- gone ---- */

void cx_link_find(struct cx_link *l)
{
	l->host_index = l->host[0] ? if_nametoindex(l->host) : 0;
}

/* By its index: asked by a name that it hasn't, the kernel calls modprobe, twice, and waits for it. */
int cx_link_is_gone(const struct cx_link *l)
{
	char name[IF_NAMESIZE];

	if (!l->host_index)
		return !l->host[0] || (if_nametoindex(l->host) == 0 && errno == ENODEV);
	return if_indextoname(l->host_index, name) ? strcmp(name, l->host) != 0 : errno == ENXIO;
}

char *cx_link_text(const struct cx_networks *place, const char *host)
{
	char *text;

	return asprintf(&text, "%llu %s", (unsigned long long)place->cookie, host) < 0 ? NULL : text;
}

int cx_link_delete(const char *text)
{
	cx_autonetlink *s = NULL;
	cx_autobatch b = { .count = 0 };
	struct ifinfomsg about = { .ifi_family = AF_UNSPEC };
	unsigned long long cookie;
	struct nl_msg *m;
	char host[16];
	int r;

	if (sscanf(text, "%llu %15s", &cookie, host) != 2)
		return -EINVAL;
	if (cookie != cx_network_cookie())
		return 0;       /* out of reach: it goes with the container's namespace */
	r = cx_netlink_open(&s, NETLINK_ROUTE, NULL);
	if (r < 0)
		return r;
	m = cx_batch_add(&b, RTM_DELLINK, 0, &about, sizeof about, "%s", host);
	if (m)
		b.fine[0] = -ENODEV;
	cx_batch_put_text(&b, m, IFLA_IFNAME, host);
	return cx_batch_send(s, &b, host, NULL);
}
