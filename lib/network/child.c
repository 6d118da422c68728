/* Interfaces inside: set up as the host says, or moved from there. Devices of the host are moved by the first of two
 * stages, while it still has the host's rights, right after it has cloned the second: that one's
 * namespace is the target, whoever made it. Raw rtnetlink(7); every length is checked. */
#include "keeper/child.h"

#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { ADDRESSES = 32, DUMP = 32 * 1024 };

struct request {
	struct nlmsghdr head;
	union { struct ifinfomsg link; struct ifaddrmsg address; } about;
	char attributes[256];
};

/* What of an address outlives the move: the kernel drops them all with the old namespace. */
struct address {
	struct ifaddrmsg about;
	unsigned char local[16], peer[16], broadcast[4];
	unsigned size, has_local, has_peer, has_broadcast;
};

static int open_rtnetlink(struct cx_child *c)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd < 0 ? cx_child_fail(c, CX_CALL_socket, "rtnetlink") : fd;
}

/* A socket belongs to the network that it was made in, wherever its owner goes. */
int cx_child_net_devices(struct cx_child *c, const struct cx_op *op)
{
	int fd = open_rtnetlink(c);

	if (fd < 0)
		return fd;
	c->network = fd;
	c->devices = op->arg[0];
	return 0;
}

static void begin(struct request *r, unsigned type, unsigned flags, size_t about)
{
	memset(r, 0, sizeof *r);
	r->head.nlmsg_type = (uint16_t)type;
	r->head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	r->head.nlmsg_len = (uint32_t)NLMSG_LENGTH(about);
	r->head.nlmsg_seq = 1;
}

static void add(struct request *r, unsigned type, const void *data, size_t size)
{
	size_t at = NLMSG_ALIGN(r->head.nlmsg_len);
	struct rtattr *a = (struct rtattr *)((char *)r + at);

	if (at + RTA_SPACE(size) > sizeof *r)
		return;                 /* can't be: names and addresses are short */
	a->rta_type = (uint16_t)type;
	a->rta_len = (uint16_t)RTA_LENGTH(size);
	memcpy(RTA_DATA(a), data, size);
	r->head.nlmsg_len = (uint32_t)(at + RTA_LENGTH(size));
}

/* 0, or -1 and errno as the kernel answers. */
static int ask_bytes(int fd, const void *request, size_t size)
{
	struct { struct nlmsghdr head; struct nlmsgerr error; char rest[1024]; } answer;
	ssize_t n;

	if (write(fd, request, size) < 0)
		return -1;
	do
		n = recv(fd, &answer, sizeof answer, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	if (n < (ssize_t)NLMSG_LENGTH(sizeof answer.error) || answer.head.nlmsg_type != NLMSG_ERROR) {
		errno = EPROTO;
		return -1;
	}
	errno = -answer.error.error;
	return errno ? -1 : 0;
}

static int ask(int fd, struct request *r)
{
	r->head.nlmsg_flags |= NLM_F_ACK;
	return ask_bytes(fd, r, r->head.nlmsg_len);
}

/* Its index; -1 and ENODEV: there is none of that name. */
static int index_of(int fd, const char *name)
{
	struct ifreq r = { .ifr_ifindex = 0 };

	memcpy(r.ifr_name, name, strnlen(name, sizeof r.ifr_name - 1));
	return ioctl(fd, SIOCGIFINDEX, &r) < 0 ? -1 : r.ifr_ifindex;
}

/* ---- addresses ---- */

static void take_attribute(struct address *a, const struct rtattr *from, unsigned *flags)
{
	size_t size = RTA_PAYLOAD(from);

	if (from->rta_type == IFA_FLAGS && size == sizeof *flags)
		memcpy(flags, RTA_DATA(from), sizeof *flags);
	if (from->rta_type == IFA_BROADCAST && size == sizeof a->broadcast) {
		memcpy(a->broadcast, RTA_DATA(from), size);
		a->has_broadcast = 1;
	}
	if (size != a->size)
		return;
	if (from->rta_type == IFA_LOCAL) {
		memcpy(a->local, RTA_DATA(from), size);
		a->has_local = 1;
	} else if (from->rta_type == IFA_ADDRESS) {
		memcpy(a->peer, RTA_DATA(from), size);
		a->has_peer = 1;
	}
}

/* 1: one to be kept, as the runtime-spec wants it: permanent and global. */
static int take_address(struct address *a, struct nlmsghdr *m, int index)
{
	struct ifaddrmsg *about = NLMSG_DATA(m);
	struct rtattr *at = IFA_RTA(about);
	long left = (long)m->nlmsg_len - (long)NLMSG_LENGTH(sizeof *about);
	unsigned flags;

	if (m->nlmsg_type != RTM_NEWADDR || left < 0 || (int)about->ifa_index != index
	    || about->ifa_scope != RT_SCOPE_UNIVERSE)
		return 0;
	memset(a, 0, sizeof *a);
	a->about = *about;
	a->size = about->ifa_family == AF_INET ? 4 : about->ifa_family == AF_INET6 ? 16 : ~0U;
	flags = about->ifa_flags;
	for (; RTA_OK(at, left); at = RTA_NEXT(at, left))
		take_attribute(a, at, &flags);
	return (flags & IFA_F_PERMANENT) && (a->has_local || a->has_peer);
}

/* How many; -1 and errno. */
static int get_addresses(int fd, int index, struct address *to)
{
	char buffer[DUMP] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct request r;
	int count = 0;

	begin(&r, RTM_GETADDR, NLM_F_DUMP, sizeof r.about.address);
	if (write(fd, &r, r.head.nlmsg_len) < 0)
		return -1;
	for (;;) {
		ssize_t n = recv(fd, buffer, sizeof buffer, 0);

		if (n < 0 && errno != EINTR)
			return -1;
		for (struct nlmsghdr *m = (void *)buffer; n > 0 && NLMSG_OK(m, (size_t)n);
		     m = NLMSG_NEXT(m, n)) {
			if (m->nlmsg_type == NLMSG_DONE)
				return count;
			if (m->nlmsg_type == NLMSG_ERROR || count == ADDRESSES) {
				errno = m->nlmsg_type == NLMSG_ERROR ? EPROTO : E2BIG;
				return -1;
			}
			count += take_address(&to[count], m, index);
		}
	}
}

static int put_address(int fd, int index, const struct address *a)
{
	struct request r;

	begin(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof r.about.address);
	r.about.address = a->about;
	r.about.address.ifa_index = (unsigned)index;
	r.about.address.ifa_flags = 0;
	if (a->has_local)
		add(&r, IFA_LOCAL, a->local, a->size);
	if (a->has_peer)
		add(&r, IFA_ADDRESS, a->peer, a->size);
	if (a->has_broadcast)
		add(&r, IFA_BROADCAST, a->broadcast, sizeof a->broadcast);
	return ask(fd, &r);
}

/* ---- the move ---- */

/* The target is looked at first: with a name that is taken there the device would be moved all the
 * same, and be lost to the host. */
static int move_device(int host, int inside, int index, const char *name, pid_t pid)
{
	uint32_t target = (uint32_t)pid;
	struct request r;

	if (index_of(inside, name) >= 0) {
		errno = EEXIST;
		return -1;
	}
	begin(&r, RTM_NEWLINK, 0, sizeof r.about.link);
	r.about.link.ifi_index = index;
	add(&r, IFLA_NET_NS_PID, &target, sizeof target);
	add(&r, IFLA_IFNAME, name, strlen(name) + 1);
	return ask(host, &r);
}

static int bring_up(int fd, int index)
{
	struct request r;

	begin(&r, RTM_NEWLINK, 0, sizeof r.about.link);
	r.about.link.ifi_index = index;
	r.about.link.ifi_flags = r.about.link.ifi_change = IFF_UP;
	return ask(fd, &r);
}

static int move_one(struct cx_child *c, int inside, const char *name, const char *as, pid_t pid)
{
	struct address addresses[ADDRESSES];
	int index = index_of(c->network, name), count = 0, r;

	if (index < 0)
		return cx_child_fail(c, CX_CALL_ioctl, name);
	count = get_addresses(c->network, index, addresses);
	r = count < 0 ? -1 : move_device(c->network, inside, index, as, pid);
	if (r == 0)
		r = index = index_of(inside, as);
	for (int i = 0; r >= 0 && i < count; i++)
		r = put_address(inside, index, &addresses[i]);
	if (r >= 0)
		r = bring_up(inside, index);
	return r < 0 ? cx_child_fail(c, CX_CALL_sendmsg, name) : 0;
}

int cx_child_move_devices(struct cx_child *c, pid_t pid, int pidfd)
{
	uint32_t count = cx_child_count(c, c->devices);
	int inside, r = 0;

	if (setns(pidfd, CLONE_NEWNET) < 0)
		return cx_child_fail(c, CX_CALL_setns, NULL);
	inside = open_rtnetlink(c);
	if (inside < 0)
		return inside;
	for (uint32_t i = 0; r == 0 && i + 1 < count; i += 2)
		r = move_one(c, inside, cx_child_item(c, c->devices, i),
			cx_child_item(c, c->devices, i + 1), pid);
	return r;
}

/* ---- interfaces that the host has made here ---- */

static const char *kind_of(const struct nlmsghdr *m)
{
	return m->nlmsg_type == RTM_NEWADDR ? "an address" : m->nlmsg_type == RTM_NEWROUTE ? "a route"
		: m->nlmsg_type == RTM_NEWQDISC ? "egress_bps" : m->nlmsg_type == RTM_NEWNEIGH ? "the gateway's MAC"
		: "an interface";
}

/* Requests as the host has written them down, each with NLM_F_ACK: sent one by one, so that it can be told
 * which was refused. */
int cx_child_network(struct cx_child *c, const struct cx_op *op)
{
	size_t size;
	const char *at = cx_child_slot_bytes(c, op->arg[0], &size);
	int fd = open_rtnetlink(c);

	if (fd < 0)
		return fd;
	while (size >= sizeof(struct nlmsghdr)) {
		const struct nlmsghdr *m = (const struct nlmsghdr *)at;
		size_t step = NLMSG_ALIGN(m->nlmsg_len);

		if (m->nlmsg_len < sizeof *m || step > size) {
			errno = EPROTO;
			return cx_child_fail(c, CX_CALL_sendmsg, "the requests");
		}
		if (ask_bytes(fd, m, m->nlmsg_len) < 0)
			return cx_child_fail(c, CX_CALL_sendmsg, kind_of(m));
		at += step;
		size -= step;
	}
	close(fd);
	return 0;
}
