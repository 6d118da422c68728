/* What nftables has of networks, in one table of our own ("inet conex"), by libnftables, which is loaded at its
 * first use. Members and ports are elements of sets and maps, not rules: none of it gets slower with them. */
#ifndef CX_NETWORK_NFT_H
#define CX_NETWORK_NFT_H

#include "base/error.h"
#include "network/network.h"

struct cx_nft;
/* -ELIBACC: no libnftables. Who uses one holds the networks' lock (cx_networks_lock): the library isn't made
 * for threads, and two transactions at once would be tried again. */
int cx_nft_open(struct cx_nft **ret, conex_error **err);
void cx_nft_free(struct cx_nft *n);
static inline void cx_nft_freep(struct cx_nft **n) { cx_nft_free(*n); }
#define cx_autonft cx_cleanup(cx_nft_freep) struct cx_nft

/* Runs commands, all or none. 0, or what the kernel answered; *text (if not NULL) is what the library says, until
 * the next call. */
int cx_nft_run(struct cx_nft *n, const struct cx_str *command, const char **text);
int cx_nft_fail(conex_error **err, int r, const char *said, const char *object);
/* "inet conex bridges" is there and has no elements. */
int cx_nft_is_empty(struct cx_nft *n, const char *set);

/* Masquerading and isolation of a network; both are fine where it is so already. 1: the table had to be made.
 * Then it is the first network, or somebody has flushed all rules (as firewalls do when they are told of new
 * ones), and all others are without: cx_nft_networks_add. */
int cx_nft_network_add(struct cx_nft *n, const struct cx_network *net, conex_error **err);
int cx_nft_networks_add(struct cx_nft *n, const struct cx_networks *place, conex_error **err);  /* and all ports */
int cx_nft_network_remove(struct cx_nft *n, const struct cx_network *net, conex_error **err);

struct cx_port {
	struct cx_address host, to;     /* of one family; host all 0: any address of the machine */
	uint16_t host_port, port;
	uint8_t protocol;               /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
};
enum { CX_PORT_TEXT = 128 };
const char *cx_port_protocol(uint8_t protocol);
/* "tcp 127.0.0.1 8080 10.200.0.5 80", and back: 0, -EINVAL */
void cx_port_print(const struct cx_port *p, char to[CX_PORT_TEXT]);
int cx_port_parse(const char *text, struct cx_port *ret);

/* Is the host's side of it free, as far as sockets tell? host_port 0: chooses one. `where` is for the refusal:
 * -EADDRINUSE, -EADDRNOTAVAIL (not an address of ours). */
int cx_port_check(struct cx_port *p, const char *where, conex_error **err);
/* One transaction, all or none of it: -EADDRINUSE one is published already. `tag` is for people. */
int cx_nft_ports_add(struct cx_nft *n, const struct cx_port *ports, int count, const char *tag, conex_error **err);
/* Those that lead to where `ports` say; another container's stay. 0, -errno */
int cx_nft_ports_remove(struct cx_nft *n, const struct cx_port *ports, int count);

/* Is the table there? It is one question to the kernel, without the library. */
int cx_nft_is_there(void);

/* published.c: which ports are published, for when they have to be so again. `place`: the directory of networks,
 * locked. */
void cx_published_note(int place, const struct cx_port *ports, int count);
void cx_published_forget(int place, const struct cx_port *ports, int count);    /* those that lead elsewhere stay */
int cx_published_each(int place, void (*each)(const struct cx_port *p, void *data), void *data);        /* count */

/* flows.c: what the kernel remembers of UDP that goes elsewhere (published), or there (withdrawn). How many, or
 * -errno: the kernel can't tell (no nf_conntrack_netlink), which is no reason to fail. */
int cx_flows_forget(const struct cx_port *ports, int count, int is_withdrawn);

/* A container's ports: all of the above, in order and under the lock. */
int cx_ports_publish(const struct cx_networks *place, const struct cx_port *ports, int count, const char *tag,
	conex_error **err);
int cx_ports_withdraw(const struct cx_networks *place, const struct cx_port *ports, int count);

/* The journal's: "PATH PORT", with the networks' path (free), and its undoing: 0, -errno */
char *cx_port_text(const struct cx_networks *place, const struct cx_port *p);
int cx_port_undo(const char *text);

#endif
