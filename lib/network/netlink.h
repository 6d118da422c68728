/* rtnetlink(7) by libnl-3: batches of requests, of which each is answered. */
#ifndef CX_NETWORK_NETLINK_H
#define CX_NETWORK_NETLINK_H

#include <stddef.h>
#include <stdint.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/socket.h>
#include "base/error.h"
#include "base/str.h"
#include "network/subnet.h"

/* A socket of the network namespace that the calling thread is in. Opened for each piece of work: it costs
 * some microseconds, and is shared with nobody. `protocol`: NETLINK_ROUTE */
int cx_netlink_open(struct nl_sock **ret, int protocol, conex_error **err);
static inline void cx_netlink_closep(struct nl_sock **s) { nl_socket_free(*s); }
#define cx_autonetlink cx_cleanup(cx_netlink_closep) struct nl_sock

/* Requests that go off in one sendmsg(2). Out of memory, or too many, is remembered until the end. */
enum { CX_BATCH_MAX = 24 };
struct cx_batch {
	struct nl_msg *message[CX_BATCH_MAX];
	int fine[CX_BATCH_MAX];         /* this answer is as good as 0: -EEXIST, -ENODEV ... */
	char what[CX_BATCH_MAX][40];    /* for people: "address 10.200.0.1" */
	int count, failed;
};
void cx_batch_clear(struct cx_batch *b);
#define cx_autobatch cx_cleanup(cx_batch_clear) struct cx_batch
/* Begins a request: its type (RTM_...), flags (NLM_F_..., beside REQUEST and ACK) and the struct in front of
 * its attributes, which nla_put(3) and the like add to the message returned. NULL: it failed. */
struct nl_msg *cx_batch_add(struct cx_batch *b, int type, int flags, const void *about, size_t size,
	const char *what, ...) CX_PRINTF(6, 7);
/* An attribute; what nla_put answers is remembered in the batch. m may be NULL. */
void cx_batch_put(struct cx_batch *b, struct nl_msg *m, int type, const void *data, size_t size);
void cx_batch_put_text(struct cx_batch *b, struct nl_msg *m, int type, const char *text);
void cx_batch_put_u32(struct cx_batch *b, struct nl_msg *m, int type, uint32_t value);
struct nlattr *cx_batch_nest(struct cx_batch *b, struct nl_msg *m, int type);
void cx_batch_nest_end(struct nl_msg *m, struct nlattr *nest);

/* Of an interface by its index: an address (of IPv6 without asking whether it is another's), a default route, up. */
struct nl_msg *cx_batch_address(struct cx_batch *b, int index, const struct cx_address *a, int prefix);
/* how: NLM_F_EXCL, or NLM_F_REPLACE where there may be another one already. */
void cx_batch_default_route(struct cx_batch *b, int index, const struct cx_address *gateway, int how);
/* Whose MAC an address is, for ever: nobody is asked, and nobody else can say it is his. */
void cx_batch_neighbour(struct cx_batch *b, int index, const struct cx_address *a, const unsigned char mac[6]);
void cx_batch_up(struct cx_batch *b, int index);

/* Sends all; the kernel goes on behind one that it refuses. 0, or the first refusal, in words. */
int cx_batch_send(struct nl_sock *s, struct cx_batch *b, const char *object, conex_error **err);
/* The same requests as bytes, one behind another, each aligned: for whoever sends them elsewhere. 0, -errno */
int cx_batch_bytes(const struct cx_batch *b, struct cx_str *to);

/* Asks for a list (NLM_F_DUMP). `each` sees every answer's header, whose length was checked. 0, -errno */
int cx_netlink_dump(struct nl_sock *s, int type, const void *about, size_t size,
	void (*each)(struct nlmsghdr *m, void *data), void *data);

#endif
