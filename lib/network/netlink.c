/* rtnetlink batches. libnl's caches and its own objects are not used: what goes out is what rtnetlink(7) and
 * linux/if_link.h say. */
#include "network/netlink.h"

#include <linux/neighbour.h>
#include <net/if.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

int cx_netlink_open(struct nl_sock **ret, int protocol, conex_error **err)
{
	struct nl_sock *s = nl_socket_alloc();
	int r;

	if (!s)
		return cx_fail_memory(err);
	nl_socket_disable_seq_check(s);
	r = nl_connect(s, protocol);
	if (r < 0) {
		nl_socket_free(s);
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "socket", nl_geterror(r), "netlink");
	}
	*ret = s;
	return 0;
}

void cx_batch_clear(struct cx_batch *b)
{
	for (int i = 0; i < b->count; i++)
		nlmsg_free(b->message[i]);
	b->count = 0;
}

struct nl_msg *cx_batch_add(struct cx_batch *b, int type, int flags, const void *about, size_t size,
	const char *what, ...)
{
	struct nl_msg *m = b->failed || b->count == CX_BATCH_MAX ? NULL : nlmsg_alloc_size(1024);
	va_list list;

	if (!m || !nlmsg_put(m, 0, (uint32_t)b->count + 1, type, 0, NLM_F_REQUEST | NLM_F_ACK | flags)
	    || nlmsg_append(m, (void *)about, size, NLMSG_ALIGNTO) < 0) {
		nlmsg_free(m);
		b->failed = b->failed ? b->failed : b->count == CX_BATCH_MAX ? -E2BIG : -ENOMEM;
		return NULL;
	}
	va_start(list, what);
	vsnprintf(b->what[b->count], sizeof b->what[0], what, list);
	va_end(list);
	b->fine[b->count] = 0;
	return b->message[b->count++] = m;
}

void cx_batch_put(struct cx_batch *b, struct nl_msg *m, int type, const void *data, size_t size)
{
	if (m && nla_put(m, type, (int)size, data) < 0)
		b->failed = -ENOMEM;
}

void cx_batch_put_text(struct cx_batch *b, struct nl_msg *m, int type, const char *text)
{
	cx_batch_put(b, m, type, text, strlen(text) + 1);
}

void cx_batch_put_u32(struct cx_batch *b, struct nl_msg *m, int type, uint32_t value)
{
	cx_batch_put(b, m, type, &value, sizeof value);
}

struct nlattr *cx_batch_nest(struct cx_batch *b, struct nl_msg *m, int type)
{
	struct nlattr *nest = m ? nla_nest_start(m, type) : NULL;

	if (m && !nest)
		b->failed = -ENOMEM;
	return nest;
}

void cx_batch_nest_end(struct nl_msg *m, struct nlattr *nest)
{
	if (nest)
		nla_nest_end(m, nest);
}

struct nl_msg *cx_batch_address(struct cx_batch *b, int index, const struct cx_address *a, int prefix)
{
	struct ifaddrmsg about = { .ifa_family = (unsigned char)a->family, .ifa_prefixlen = (unsigned char)prefix,
		.ifa_index = (unsigned)index };
	size_t size = (size_t)cx_address_size(a->family);
	char text[INET6_ADDRSTRLEN];
	struct nl_msg *m;

	cx_address_print(a, text);
	m = cx_batch_add(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &about, sizeof about, "address %.31s", text);
	cx_batch_put(b, m, IFA_LOCAL, a->byte, size);
	cx_batch_put(b, m, IFA_ADDRESS, a->byte, size);
	if (a->family == AF_INET6)
		cx_batch_put_u32(b, m, IFA_FLAGS, IFA_F_NODAD);
	return m;
}

void cx_batch_default_route(struct cx_batch *b, int index, const struct cx_address *gateway, int how)
{
	struct rtmsg about = { .rtm_family = (unsigned char)gateway->family, .rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC, .rtm_type = RTN_UNICAST, .rtm_scope = RT_SCOPE_UNIVERSE };
	struct nl_msg *m = cx_batch_add(b, RTM_NEWROUTE, NLM_F_CREATE | how, &about, sizeof about, "the gateway's route");

	cx_batch_put(b, m, RTA_GATEWAY, gateway->byte, (size_t)cx_address_size(gateway->family));
	cx_batch_put_u32(b, m, RTA_OIF, (uint32_t)index);
}

void cx_batch_neighbour(struct cx_batch *b, int index, const struct cx_address *a, const unsigned char mac[6])
{
	struct ndmsg about = { .ndm_family = (unsigned char)a->family, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT };
	struct nl_msg *m = cx_batch_add(b, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &about, sizeof about, "the gateway's MAC");

	cx_batch_put(b, m, NDA_DST, a->byte, (size_t)cx_address_size(a->family));
	cx_batch_put(b, m, NDA_LLADDR, mac, 6);
}

void cx_batch_up(struct cx_batch *b, int index)
{
	struct ifinfomsg about = { .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };

	cx_batch_add(b, RTM_NEWLINK, 0, &about, sizeof about, "up");
}

int cx_batch_bytes(const struct cx_batch *b, struct cx_str *to)
{
	static const char zero[NLMSG_ALIGNTO];

	for (int i = 0; i < b->count && !b->failed; i++) {
		struct nlmsghdr *h = nlmsg_hdr(b->message[i]);

		cx_str_add(to, h, h->nlmsg_len);
		cx_str_add(to, zero, NLMSG_ALIGN(h->nlmsg_len) - h->nlmsg_len);
	}
	return b->failed ? b->failed : to->failed;
}

/* ---- answers ---- */

struct answers { int left, error[CX_BATCH_MAX]; };

static void take_answer(struct answers *a, uint32_t sequence, int error)
{
	if (sequence < 1 || sequence > CX_BATCH_MAX)
		return;
	a->error[sequence - 1] = error;
	a->left--;
}

static int on_ack(struct nl_msg *m, void *data)
{
	take_answer(data, nlmsg_hdr(m)->nlmsg_seq, 0);
	return NL_OK;
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *e, void *data)
{
	(void)from;
	take_answer(data, e->msg.nlmsg_seq, e->error);
	return NL_SKIP;
}

static int receive_all(struct nl_sock *s, struct answers *a)
{
	int r;

	if (nl_socket_modify_cb(s, NL_CB_ACK, NL_CB_CUSTOM, on_ack, a) < 0
	    || nl_socket_modify_err_cb(s, NL_CB_CUSTOM, on_error, a) < 0)
		return -ENOMEM;
	while (a->left > 0) {
		r = nl_recvmsgs_default(s);
		if (r < 0 && r != -NLE_INTR && r != -NLE_AGAIN)
			return r == -NLE_NOMEM ? -ENOMEM : -EIO;
	}
	return 0;
}

static int send_all(struct nl_sock *s, struct cx_batch *b)
{
	struct iovec iov[CX_BATCH_MAX];
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct msghdr h = { .msg_name = &kernel, .msg_namelen = sizeof kernel, .msg_iov = iov };
	ssize_t n;

	for (int i = 0; i < b->count; i++) {
		struct nlmsghdr *m = nlmsg_hdr(b->message[i]);

		m->nlmsg_pid = nl_socket_get_local_port(s);
		iov[i] = (struct iovec){ m, NLMSG_ALIGN(m->nlmsg_len) };
	}
	h.msg_iovlen = (size_t)b->count;
	do
		n = sendmsg(nl_socket_get_fd(s), &h, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static const char *hint_for(const struct nl_msg *m, int error)
{
	if (error == -ENOENT && nlmsg_hdr((struct nl_msg *)m)->nlmsg_type == RTM_NEWQDISC)
		return "limits of bandwidth take a kernel with token buckets (CONFIG_NET_SCH_TBF, module sch_tbf)";
	return error == -EPERM ? "it takes CAP_NET_ADMIN" : NULL;
}

int cx_batch_send(struct nl_sock *s, struct cx_batch *b, const char *object, conex_error **err)
{
	struct answers a = { .left = b->count };
	int r = b->failed;

	if (r == 0)
		r = send_all(s, b);
	if (r == 0)
		r = receive_all(s, &a);
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, r, "rtnetlink", NULL, "%s", object);
	for (int i = 0; i < b->count; i++)
		if (a.error[i] && a.error[i] != b->fine[i])
			return cx_fail(err, CONEX_STAGE_LAUNCH, a.error[i], "rtnetlink",
				hint_for(b->message[i], a.error[i]), "%s: %s", object, b->what[i]);
	return 0;
}

/* ---- lists ---- */

struct dump { void (*each)(struct nlmsghdr *m, void *data); void *data; };

static int on_valid(struct nl_msg *m, void *data)
{
	struct dump *d = data;

	d->each(nlmsg_hdr(m), d->data);
	return NL_OK;
}

int cx_netlink_dump(struct nl_sock *s, int type, const void *about, size_t size,
	void (*each)(struct nlmsghdr *m, void *data), void *data)
{
	struct dump d = { each, data };
	int r;

	if (nl_socket_modify_cb(s, NL_CB_VALID, NL_CB_CUSTOM, on_valid, &d) < 0)
		return -ENOMEM;
	r = nl_send_simple(s, type, NLM_F_DUMP, (void *)about, size);
	if (r >= 0)
		r = nl_recvmsgs_default(s);
	return r < 0 ? -EIO : 0;
}
