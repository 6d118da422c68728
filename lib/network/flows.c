/* Flows of UDP that the kernel remembers (nf_conntrack). Where the first datagram went all go that follow, for as
 * long as they do: to nobody, if it came before the port was published, or to the address of a container that is
 * gone, which is another one's by then. So they are forgotten when a port is published, and when it is withdrawn.
 * TCP needs none of it: whoever goes on with a lost connection is told so. */
#include "network/nft.h"
#include "network/netlink.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netlink/netlink.h>
#include <string.h>

enum { GET = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, DELETE = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE };
/* What of the tuple counts; the bits are those of nf_conntrack_netlink.c (Linux 5.8), which no header has. */
enum { BY_PROTOCOL = 1 << 3, BY_PORT = 1 << 5 };

struct search {
	const struct cx_port *ports;
	int count, family, is_withdrawn;
	struct cx_str requests;         /* to delete what was found */
};

struct end { struct cx_address address; uint16_t port; };

/* One end of a tuple: its source, or its destination. 0, -EINVAL */
static int read_end(struct nlattr *tuple, int family, int is_source, struct end *ret)
{
	struct nlattr *part[CTA_TUPLE_MAX + 1], *ip[CTA_IP_MAX + 1], *proto[CTA_PROTO_MAX + 1], *address, *port;

	if (!tuple || nla_parse_nested(part, CTA_TUPLE_MAX, tuple, NULL) < 0 || !part[CTA_TUPLE_IP] || !part[CTA_TUPLE_PROTO]
	    || nla_parse_nested(ip, CTA_IP_MAX, part[CTA_TUPLE_IP], NULL) < 0
	    || nla_parse_nested(proto, CTA_PROTO_MAX, part[CTA_TUPLE_PROTO], NULL) < 0)
		return -EINVAL;
	address = family == AF_INET6 ? ip[is_source ? CTA_IP_V6_SRC : CTA_IP_V6_DST] : ip[is_source ? CTA_IP_V4_SRC : CTA_IP_V4_DST];
	port = proto[is_source ? CTA_PROTO_SRC_PORT : CTA_PROTO_DST_PORT];
	if (!address || nla_len(address) != cx_address_size(family) || !port || nla_len(port) != 2)
		return -EINVAL;
	*ret = (struct end){ .address.family = family, .port = ntohs(nla_get_u16(port)) };
	memcpy(ret->address.byte, nla_data(address), (size_t)nla_len(address));
	return 0;
}

/* Published at all addresses: those of this machine are meant, and not what goes by here to the same port elsewhere. */
static int is_meant(const struct cx_port *p, const struct cx_address *host)
{
	static const unsigned char any[16];
	struct cx_port probe = { .host = *host, .protocol = IPPROTO_UDP };
	size_t size = (size_t)cx_address_size(p->host.family);

	if (!memcmp(p->host.byte, any, size))
		return cx_port_check(&probe, "", NULL) == 0;
	return !memcmp(p->host.byte, host->byte, size);
}

static int leads_to(const struct end *e, const struct cx_port *p)
{
	return e->port == p->port && !memcmp(e->address.byte, p->to.byte, (size_t)cx_address_size(p->to.family));
}

/* By its tuple, zone and number: another one that was there meanwhile isn't met. */
static void delete_later(struct cx_str *to, int family, struct nlattr *const *attribute)
{
	static const int kept[] = { CTA_TUPLE_ORIG, CTA_ZONE, CTA_ID };
	struct nlmsghdr h = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct nfgenmsg)), .nlmsg_type = DELETE, .nlmsg_flags = NLM_F_REQUEST };
	struct nfgenmsg about = { .nfgen_family = (uint8_t)family };

	for (size_t i = 0; i < CX_ARRAY_SIZE(kept); i++)
		if (attribute[kept[i]])
			h.nlmsg_len += (uint32_t)nla_total_size(nla_len(attribute[kept[i]]));
	cx_str_add(to, &h, sizeof h);
	cx_str_add(to, &about, sizeof about);
	for (size_t i = 0; i < CX_ARRAY_SIZE(kept); i++)
		if (attribute[kept[i]])
			cx_str_add(to, attribute[kept[i]], (size_t)nla_total_size(nla_len(attribute[kept[i]])));
}

static int is_to_forget(const struct search *s, const struct cx_port *p, const struct end *asked, const struct end *answers)
{
	if (p->protocol != IPPROTO_UDP || p->host.family != s->family || p->host_port != asked->port)
		return 0;
	return s->is_withdrawn ? leads_to(answers, p) : !leads_to(answers, p) && is_meant(p, &asked->address);
}

static void look_at(struct nlmsghdr *h, void *data)
{
	struct search *s = data;
	struct nlattr *attribute[CTA_MAX + 1];
	struct end asked, answers;
	int i = 0;

	if (nlmsg_parse(h, sizeof(struct nfgenmsg), attribute, CTA_MAX, NULL) < 0
	    || read_end(attribute[CTA_TUPLE_ORIG], s->family, 0, &asked) < 0
	    || read_end(attribute[CTA_TUPLE_REPLY], s->family, 1, &answers) < 0)
		return;
	while (i < s->count && !is_to_forget(s, &s->ports[i], &asked, &answers))
		i++;
	if (i < s->count)
		delete_later(&s->requests, s->family, attribute);
}

/* The kernel compares the protocol, and the port where it is one alone, so that a machine with many flows copies few
 * of them. What takes time is that it looks at all it has room for (5 ms for 262,144): so all ports in one go. */
static int put_question(struct nl_msg *m, const struct search *s)
{
	struct nlattr *filter = nla_nest_start(m, CTA_FILTER | NLA_F_NESTED), *tuple, *proto;

	if (!filter || nla_put_u32(m, CTA_FILTER_ORIG_FLAGS, BY_PROTOCOL | (s->count == 1 ? BY_PORT : 0)) < 0)
		return -ENOMEM;
	nla_nest_end(m, filter);
	tuple = nla_nest_start(m, CTA_TUPLE_ORIG | NLA_F_NESTED);
	proto = tuple ? nla_nest_start(m, CTA_TUPLE_PROTO | NLA_F_NESTED) : NULL;
	if (!proto || nla_put_u8(m, CTA_PROTO_NUM, IPPROTO_UDP) < 0
	    || nla_put_u16(m, CTA_PROTO_DST_PORT, htons(s->ports[0].host_port)) < 0)
		return -ENOMEM;
	nla_nest_end(m, proto);
	nla_nest_end(m, tuple);
	return 0;
}

static int find(struct nl_sock *sock, struct search *s)
{
	struct nfgenmsg about = { .nfgen_family = (uint8_t)s->family };
	struct nl_msg *m = nlmsg_alloc();
	int r = m && nlmsg_put(m, 0, 0, GET, sizeof about, 0) ? 0 : -ENOMEM;

	if (r == 0) {
		memcpy(nlmsg_data(nlmsg_hdr(m)), &about, sizeof about);
		r = put_question(m, s);
	}
	if (r == 0)
		r = cx_netlink_dump(sock, GET, nlmsg_data(nlmsg_hdr(m)), (size_t)nlmsg_datalen(nlmsg_hdr(m)), look_at, s);
	nlmsg_free(m);
	return r < 0 ? r : s->requests.failed;
}

static int forget(struct search *s)
{
	cx_autonetlink *sock = NULL;
	int r = cx_netlink_open(&sock, NETLINK_NETFILTER, NULL);

	if (r == 0)
		r = find(sock, s);
	for (size_t at = 0; r >= 0 && at < s->requests.size; r++) {
		const struct nlmsghdr *h = (const struct nlmsghdr *)(s->requests.data + at);

		at += h->nlmsg_len;
		if (send(nl_socket_get_fd(sock), h, h->nlmsg_len, 0) < 0)
			return -errno;
	}
	return r;
}

static int has_any(const struct cx_port *ports, int count, int family)
{
	for (int i = 0; i < count; i++)
		if (ports[i].protocol == IPPROTO_UDP && ports[i].host.family == family)
			return 1;
	return 0;
}

int cx_flows_forget(const struct cx_port *ports, int count, int is_withdrawn)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int all = 0;

	for (size_t i = 0; i < CX_ARRAY_SIZE(families); i++) {
		struct search s = { .ports = ports, .count = count, .family = families[i], .is_withdrawn = is_withdrawn };
		int r = has_any(ports, count, families[i]) ? forget(&s) : 0;

		cx_str_free(&s.requests);
		if (r < 0)
			return r;
		all += r;
	}
	return all;
}
