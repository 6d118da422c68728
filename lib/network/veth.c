/* A veth pair alone: one end here, the other in a network namespace that somebody holds. */
#include "network/network.h"
#include "network/netlink.h"

#include <linux/if_link.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

static int make_pair(const struct cx_veth *v, int ns, conex_error **err)
{
	struct ifinfomsg about = { .ifi_flags = IFF_UP, .ifi_change = IFF_UP }, peer = { .ifi_index = 0 };
	cx_autonetlink *s = NULL;
	cx_autobatch b = { .count = 0 };
	struct nlattr *info, *data, *other;
	struct nl_msg *m;
	int r = cx_netlink_open(&s, NETLINK_ROUTE, err);

	if (r < 0)
		return r;
	m = cx_batch_add(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &about, sizeof about, "the pair");
	cx_batch_put_text(&b, m, IFLA_IFNAME, v->host_name);
	info = cx_batch_nest(&b, m, IFLA_LINKINFO);
	cx_batch_put_text(&b, m, IFLA_INFO_KIND, "veth");
	data = cx_batch_nest(&b, m, IFLA_INFO_DATA);
	other = cx_batch_nest(&b, m, VETH_INFO_PEER);
	if (m && nlmsg_append(m, &peer, sizeof peer, NLMSG_ALIGNTO) < 0)
		b.failed = -ENOMEM;
	cx_batch_put_text(&b, m, IFLA_IFNAME, v->name);
	cx_batch_put_u32(&b, m, IFLA_NET_NS_FD, (uint32_t)ns);
	cx_batch_nest_end(m, other);
	cx_batch_nest_end(m, data);
	cx_batch_nest_end(m, info);
	return cx_batch_send(s, &b, v->host_name, err);
}

/* A socket asks in the network that it was made in. */
static int index_of(struct nl_sock *s, const char *name)
{
	struct ifreq r = { .ifr_ifindex = 0 };

	strcpy(r.ifr_name, name);
	return ioctl(nl_socket_get_fd(s), SIOCGIFINDEX, &r) < 0 ? -errno : r.ifr_ifindex;
}

static int configure(struct nl_sock *s, const char *name, const struct cx_address *a, int prefix,
	const struct cx_address *gateway, conex_error **err)
{
	cx_autobatch b = { .count = 0 };
	int index = index_of(s, name);

	if (index < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, index, "ioctl", NULL, "%s", name);
	if (a->family)
		cx_batch_address(&b, index, a, prefix);
	cx_batch_up(&b, index);
	if (gateway && gateway->family)
		cx_batch_default_route(&b, index, gateway, NLM_F_EXCL);
	return cx_batch_send(s, &b, name, err);
}

int cx_veth_make(const struct cx_veth *v, int ns, int inside, conex_error **err)
{
	cx_autonetlink *host = NULL, *inner = nl_socket_alloc();
	int r = make_pair(v, ns, err);

	if (!inner || nl_socket_set_fd(inner, NETLINK_ROUTE, inside) < 0) {
		close(inside);
		return r < 0 ? r : cx_fail_memory(err);
	}
	nl_socket_disable_seq_check(inner);
	if (r == 0)
		r = cx_netlink_open(&host, NETLINK_ROUTE, err);
	if (r == 0)
		r = configure(host, v->host_name, &v->host_address, v->host_prefix, NULL, err);
	return r < 0 ? r : configure(inner, v->name, &v->address, v->prefix, &v->gateway, err);
}
