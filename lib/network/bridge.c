/* A network's bridge, and the subnets that are free for a new one. */
#include "network/network.h"
#include "network/netlink.h"
#include "base/path.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

/* ---- up ---- */

/* IFF_UP comes last when it is made: what is up is whole. */
int cx_bridge_is_up(const struct cx_network *n)
{
	cx_autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { .ifr_flags = 0 };

	strcpy(r.ifr_name, n->bridge);
	return fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &r) == 0 && (r.ifr_flags & IFF_UP);
}

static void add_bridge(struct cx_batch *b, const struct cx_network *n)
{
	struct ifinfomsg about = { .ifi_family = AF_UNSPEC };
	struct nl_msg *m = cx_batch_add(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &about, sizeof about,
		"bridge %s", n->bridge);
	struct nlattr *info;
	unsigned char mac[6];

	if (m)
		b->fine[b->count - 1] = -EEXIST;
	/* without one of its own a bridge takes its ports', and with each that comes or goes its gateway is
	 * somebody else to all who have asked for it */
	cx_network_mac(n, 1, mac);
	cx_batch_put(b, m, IFLA_ADDRESS, mac, sizeof mac);
	cx_batch_put_text(b, m, IFLA_IFNAME, n->bridge);
	if (n->mtu)
		cx_batch_put_u32(b, m, IFLA_MTU, n->mtu);
	info = cx_batch_nest(b, m, IFLA_LINKINFO);
	cx_batch_put_text(b, m, IFLA_INFO_KIND, "bridge");
	cx_batch_nest_end(m, info);
}

/* NODAD fits: the address is ours alone, and without a member nobody would answer for it. */
static void add_address(struct cx_batch *b, const struct cx_subnet *s, int index)
{
	struct cx_address a = cx_subnet_address(s, 1);

	if (cx_batch_address(b, index, &a, s->prefix))
		b->fine[b->count - 1] = -EEXIST;
}

static int set_sysctl(const char *path, const char *value)
{
	char now[16];

	if (cx_file_read(AT_FDCWD, path, now, sizeof now) > 0 && now[0] == value[0])
		return 0;
	return cx_file_write(AT_FDCWD, path, value);
}

/* A machine that gets its own address by router advertisements ignores these once it forwards, unless it is told
 * to accept them all the same (2): ip-sysctl.rst, accept_ra. */
static void keep_router_advertisements(void)
{
	struct if_nameindex *list = if_nameindex();
	char path[80], now[16];

	for (struct if_nameindex *i = list; i && i->if_index; i++) {
		snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/accept_ra", i->if_name);
		if (cx_file_read(AT_FDCWD, path, now, sizeof now) > 0 && now[0] == '1')
			cx_file_write(AT_FDCWD, path, "2");
	}
	if_freenameindex(list);
}

/* Forwarding is the machine's; an internal network doesn't need it. Published ports are reached through
 * 127.0.0.1 as well: route_localnet, of this bridge alone. */
static int set_sysctls(const struct cx_network *n, conex_error **err)
{
	char path[80];
	int r = 0;

	snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/route_localnet", n->bridge);
	set_sysctl(path, "1");
	for (int i = 0; i < n->subnets && r == 0 && !(n->flags & CONEX_NETWORK_INTERNAL); i++) {
		int v6 = n->subnet[i].base.family == AF_INET6;
		const char *file = v6 ? "/proc/sys/net/ipv6/conf/all/forwarding" : "/proc/sys/net/ipv4/ip_forward";

		if (v6)
			keep_router_advertisements();
		r = set_sysctl(file, "1");
		if (r < 0)
			return cx_fail(err, CONEX_STAGE_LAUNCH, r, "write",
				"members reach other networks only with it; or make the network internal", "%s", file);
	}
	return r;
}

int cx_bridge_make(const struct cx_network *n, conex_error **err)
{
	cx_autonetlink *s = NULL;
	cx_autobatch b = { .count = 0 };
	int r = cx_netlink_open(&s, NETLINK_ROUTE, err);

	if (r < 0)
		return r;
	add_bridge(&b, n);
	return cx_batch_send(s, &b, n->name, err);
}

int cx_bridge_up(const struct cx_network *n, conex_error **err)
{
	cx_autonetlink *s = NULL;
	cx_autobatch b = { .count = 0 };
	int index = (int)if_nametoindex(n->bridge);
	int r = index ? set_sysctls(n, err) : cx_fail_errno(err, CONEX_STAGE_LAUNCH, "ioctl", NULL, "%s", n->bridge);

	if (r == 0)
		r = cx_netlink_open(&s, NETLINK_ROUTE, err);
	if (r < 0)
		return r;
	for (int i = 0; i < n->subnets; i++)
		add_address(&b, &n->subnet[i], index);
	cx_batch_up(&b, index);
	return cx_batch_send(s, &b, n->name, err);
}

int cx_bridge_down(const struct cx_network *n, conex_error **err)
{
	cx_autonetlink *s = NULL;
	cx_autobatch b = { .count = 0 };
	struct ifinfomsg about = { .ifi_family = AF_UNSPEC };
	struct nl_msg *m;
	int r = cx_netlink_open(&s, NETLINK_ROUTE, err);

	if (r < 0)
		return r;
	m = cx_batch_add(&b, RTM_DELLINK, 0, &about, sizeof about, "bridge %s", n->bridge);
	if (m)
		b.fine[0] = -ENODEV;
	cx_batch_put_text(&b, m, IFLA_IFNAME, n->bridge);
	return cx_batch_send(s, &b, n->name, err);
}

/* ---- free subnets ---- */

enum { TAKEN_MAX = 4096, POOL = 1024 };         /* 10.200.0.0/22 ... 10.215.252.0/22 */

struct taken { struct cx_subnet list[TAKEN_MAX]; int count; };

static void take(struct taken *t, const struct cx_subnet *s)
{
	if (t->count < TAKEN_MAX)
		t->list[t->count++] = *s;
}

static void take_route(struct nlmsghdr *h, void *data)
{
	struct rtmsg *r = nlmsg_data(h);
	struct nlattr *dst;
	struct cx_subnet s = { .prefix = 0 };

	if (h->nlmsg_type != RTM_NEWROUTE || !nlmsg_valid_hdr(h, sizeof *r) || !r->rtm_dst_len)
		return;
	dst = nlmsg_find_attr(h, sizeof *r, RTA_DST);
	s.base.family = r->rtm_family;
	s.prefix = r->rtm_dst_len;
	if (!dst || (r->rtm_family != AF_INET && r->rtm_family != AF_INET6)
	    || nla_len(dst) < cx_address_size(r->rtm_family))
		return;
	memcpy(s.base.byte, nla_data(dst), (size_t)cx_address_size(r->rtm_family));
	take(data, &s);
}

static int take_routes(struct taken *t, conex_error **err)
{
	cx_autonetlink *s = NULL;
	struct rtmsg about = { .rtm_family = AF_INET };
	int r = cx_netlink_open(&s, NETLINK_ROUTE, err);

	if (r == 0 && (r = cx_netlink_dump(s, RTM_GETROUTE, &about, sizeof about, take_route, t)) < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, r, "rtnetlink", NULL, "the routes");
	return r;
}

static int take_networks(const struct cx_networks *place, struct taken *t, conex_error **err)
{
	cx_autofree char **names = NULL;
	int n = cx_network_names(place, &names);

	if (n < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, n, NULL, NULL, "%s", place->path);
	for (int i = 0; i < n; i++) {
		cx_autonetwork other = { .dir = -1 };

		if (cx_network_load(place, names[i], &other, NULL) == 0)
			for (int k = 0; k < other.subnets; k++)
				take(t, &other.subnet[k]);
	}
	return 0;
}

static int is_free(const struct taken *t, const struct cx_subnet *s)
{
	for (int i = 0; i < t->count; i++)
		if (cx_subnet_overlap(&t->list[i], s))
			return 0;
	return 1;
}

/* A unique local prefix is as random as RFC 4193 wants it; nobody has it. */
static int choose_v6(struct cx_subnet *s, conex_error **err)
{
	*s = (struct cx_subnet){ .base = { .family = AF_INET6 }, .prefix = 64 };
	s->base.byte[0] = 0xfd;
	if (cx_random(s->base.byte + 1, 5) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "getrandom", NULL, "a subnet");
	return 0;
}

/* Built in, and not turned off for new interfaces. */
static int has_v6(void)
{
	char off[4];

	return cx_file_read(AT_FDCWD, "/proc/sys/net/ipv6/conf/default/disable_ipv6", off, sizeof off) > 0 && off[0] == '0';
}

int cx_subnets_choose(const struct cx_networks *place, struct cx_network *n, conex_error **err)
{
	cx_autofree struct taken *t = calloc(1, sizeof *t);
	int r = t ? take_routes(t, err) : cx_fail_memory(err);

	if (r == 0)
		r = take_networks(place, t, err);
	for (unsigned i = 0; r == 0 && i < POOL && !n->subnets; i++) {
		struct cx_subnet s = { { AF_INET, { 10, (unsigned char)(200 + i / 64), (unsigned char)(i % 64 * 4) } }, 22 };

		if (is_free(t, &s))
			n->subnet[n->subnets++] = s;
	}
	if (r == 0 && !n->subnets)
		r = cx_fail(err, CONEX_STAGE_LAUNCH, -EADDRNOTAVAIL, NULL, "name one in .subnets",
			"no subnet of 10.200.0.0 to 10.215.255.255 is free");
	if (r == 0 && has_v6())
		r = choose_v6(&n->subnet[n->subnets++], err);
	return r;
}
