/* Named networks inside the library: where they are written down, addresses that members hold, and what the
 * kernel has of them. container/ composes this with a container's life. */
#ifndef CX_NETWORK_NETWORK_H
#define CX_NETWORK_NETWORK_H

#include <conex/network.h>
#include "network/subnet.h"
#include "state/context.h"
#include "base/str.h"

/* The networks of one network namespace: a directory below the state's base, named by the namespace's cookie
 * (SO_NETNS_COOKIE: unique on this boot). They end with the boot, as their bridges do. Immutable once open, but for .nft. */
struct cx_nft;
struct cx_networks {
	int dir;
	char *path;             /* "/run/conex/networks/1" */
	uint64_t cookie;
	struct cx_nft *nft;     /* who has the lock may use it; NULL: not loaded yet */
};
/* The context's, opened at the first need; any thread. -EPERM without CAP_NET_ADMIN */
int cx_networks_of(conex *cx, const struct cx_networks **ret, conex_error **err);
void cx_networks_free(struct cx_networks *n);
/* Of the namespace that the calling thread is in; 0: unknown. */
uint64_t cx_network_cookie(void);

#define CX_NETWORK_DEFAULT "bridge"     /* the name that is made on demand */

enum cx_network_driver { CX_NETWORK_BRIDGE, CX_NETWORK_MACVLAN, CX_NETWORK_CNI };

struct cx_network {
	char name[65];
	enum cx_network_driver driver;
	char bridge[16];                /* its device; "" of other drivers */
	char parent[16];                /* macvlan's; "" */
	char list[65];                  /* the name of CNI's list of plugins; "" */
	uint64_t flags;                 /* CONEX_NETWORK_... */
	uint32_t mtu;                   /* 0: the kernel's */
	struct cx_subnet subnet[2];     /* one a family at most */
	int subnets;
	struct cx_subnet range;         /* of a subnet, for members; .base.family 0: all of it */
	struct cx_address gateway[2];   /* that are named; .family 0: the subnet's first address */
	int dir;                        /* its own, locked (flock, shared) against its deletion; -1 */
	char *path;
};
void cx_network_clear(struct cx_network *n);
#define cx_autonetwork cx_cleanup(cx_network_clear) struct cx_network

/* options.c: a new one, as the caller asks for it */
int cx_network_read_options(const char *name, const struct conex_network_options *o, struct cx_network *n,
	conex_error **err);
struct cx_address cx_network_gateway(const struct cx_network *n, int subnet);

int cx_network_check_name(const char *name, const char *where, conex_error **err);
/* Reads its definition and holds it. -ENOENT */
int cx_network_load(const struct cx_networks *place, const char *name, struct cx_network *ret, conex_error **err);
/* The same; makes the default one where it is missing, and brings the bridge up where it isn't. */
int cx_network_need(conex *cx, const char *name, struct cx_network *ret, conex_error **err);
/* Writes a new one down. -EEXIST. `place` is locked by the caller (cx_networks_lock). */
int cx_network_write(const struct cx_networks *place, const struct cx_network *n, conex_error **err);
int cx_network_erase(const struct cx_networks *place, const struct cx_network *n);
int cx_network_names(const struct cx_networks *place, char ***ret);     /* count, -errno; one free(3) */
/* A descriptor to close, -errno; it keeps out other threads as well. */
int cx_networks_lock(int dir);

/* lease.c: a member's number, and with it its address in each subnet. A lease is a symbolic link named by the
 * number, whose target is "TAG ID" and a line for each of the member's labels: there at once with its content, or
 * -EEXIST. Where addresses are others' to give (CNI) it is named by the container and its interface. */
struct cx_lease { uint32_t number; char tag[17], member[84]; };
/* A number that looks free, behind `last` (0: anywhere). -EADDRNOTAVAIL: all are taken */
int cx_lease_choose(const struct cx_network *n, struct cx_lease *l, conex_error **err);
/* Labels may be NULL; more than a link can hold are left out. 0, -EEXIST */
int cx_lease_claim(const struct cx_network *n, const struct cx_lease *l, const char *id, const char *const *labels);
/* The host's end of its interface. */
void cx_lease_link(const struct cx_lease *l, char to[16]);
/* What the journal holds of it, before it is claimed: "PATH TAG" (free) */
char *cx_lease_text(const struct cx_network *n, const struct cx_lease *l);
int cx_lease_is_held(const char *text);
int cx_lease_return(const char *text);          /* another's is left alone. 0, -errno */
/* The one of a container's interface: number 0. 0, -errno */
int cx_lease_name(struct cx_lease *l, const char *id, const char *interface, conex_error **err);
struct cx_member {
	struct cx_lease lease;          /* its number and tag */
	const char *id;
	const char *const *labels;      /* NULL: there were more than a lease holds */
};
/* Calls `each` for every member; count, -errno */
int cx_lease_each(const struct cx_network *n, void (*each)(const struct cx_member *m, void *data), void *data);

/* member.c: what others learn of a member once it has its lease; and all of that again, and the lease, which is
 * what a journal holds. Fine where it has gone already. */
int cx_member_enter(const struct cx_network *n, const struct cx_lease *l, const char *id, conex_error **err);
int cx_member_leave(const char *lease);         /* 0, -errno */

/* bridge.c */
int cx_bridge_is_up(const struct cx_network *n);
int cx_bridge_make(const struct cx_network *n, conex_error **err);      /* fine where it is there */
int cx_bridge_up(const struct cx_network *n, conex_error **err);        /* with its addresses */
int cx_bridge_down(const struct cx_network *n, conex_error **err);      /* 0 also where there is none */
/* A free pair of subnets: in no route of this namespace and in no other network. */
int cx_subnets_choose(const struct cx_networks *place, struct cx_network *n, conex_error **err);

/* link.c: a container's interfaces */
void cx_network_mac(const struct cx_network *n, uint32_t number, unsigned char mac[6]);
enum { CX_LINKS_MAX = 8 };
struct cx_link {
	const struct cx_network *network;
	uint32_t number;                /* the lease's */
	uint64_t tag;                   /* the lease's: random */
	int hairpin;                    /* it reaches itself by way of the bridge: has published ports */
	uint64_t ingress_bps, egress_bps;       /* into and out of the container; 0: no limit */
	char host[16];                  /* the name of the host's end; "": it has none */
	int index;                      /* of the inner end */
	unsigned host_index;            /* of the host's end; 0: not known */
};
int cx_links_index(int count);                  /* the first of so many that inner ends may have */
/* Makes each pair, the inner ends in the network namespace of process `pid` under their final names and indexes. */
int cx_links_make(const struct cx_link *links, int count, pid_t pid, conex_error **err);
/* What is to be done inside (addresses, routes), as rtnetlink's bytes: the launch's slot. 0, -errno */
int cx_links_inside(const struct cx_link *links, int count, struct cx_str *to);
/* "COOKIE NAME": what the journal holds of a host's end; gone with its namespace counts as deleted. */
char *cx_link_text(const struct cx_networks *place, const char *host);
int cx_link_delete(const char *text);           /* 0, -errno; the kernel takes its time: some 20 ms */
int cx_link_is_gone(const struct cx_link *l);
void cx_link_find(struct cx_link *l);           /* once it is made: .host_index */

/* veth.c: a pair alone */
struct cx_veth {
	const char *host_name, *name;
	struct cx_address host_address, address, gateway;       /* .family 0: none */
	int host_prefix, prefix;
};
/* `ns`: the inner end's namespace; `inside`: a netlink socket of it, which is closed. Leaves the journal to
 * undo what was made before it failed. */
int cx_veth_make(const struct cx_veth *v, int ns, int inside, conex_error **err);

#endif
