/* conex/network.h: named networks and published ports.
 *
 * A network is a bridge of the host's with a subnet of each family, a way out by masquerading (unless it is
 * internal) and members: containers whose .network names it. With the driver "macvlan" its members are on the
 * network of a device of the host's instead, each with a MAC of its own; with "cni" their interfaces are made by CNI
 * plugins, as those of containerd and CRI-O are. Networks belong to the network namespace that
 * the caller is in, not to a context: every process there sees them. They live until they are deleted or the
 * machine is booted. All of it takes CAP_NET_ADMIN.
 *
 * Without it .network may be "pasta" or "slirp4netns": a program of that name (packages passt, slirp4netns) answers
 * for the world at the container's eth0, with sockets of its user's. doc/network.md compares them. */
#ifndef CONEX_NETWORK_H
#define CONEX_NETWORK_H
#include <conex/base.h>

CONEX_BEGIN_DECLARATIONS

/* A published port: who comes to it on this machine goes on to the container's, in the first of its networks
 * that has an address of that family. Frozen. address: one of this machine's, "0.0.0.0" or "::" (all of a
 * family); NULL: 127.0.0.1 (and not ::1, to which Linux has no way back). host_port 0: a free one
 * (conex_container_port tells). protocol: "tcp", "udp", "sctp"; NULL: tcp. A port is refused (-EADDRINUSE)
 * that another container has, or on which a program of the host's listens now. With "pasta" and "slirp4netns" the
 * program listens: there is no sctp, an unprivileged user has no port below net.ipv4.ip_unprivileged_port_start
 * (-EACCES), and "::1" is possible with pasta; slirp4netns has IPv4 alone. */
struct conex_port { const char *address; uint16_t host_port, port; const char *protocol; };
#ifndef __cplusplus
#define CONEX_PORTS(...) ((const struct conex_port[]){ __VA_ARGS__, { NULL, 0, 0, NULL } })
#endif

/* Ports as people type them, for .ports: "8080:80", "127.0.0.1::80" (a free one), "0.0.0.0:5000-5010:5000-5010/udp"
 * (a range), "[fd00::1]:80:80"; a port alone is a free one of the host's. Whether there is such an address is
 * looked at when it is published.
 * Owner: *ret_ports, ended by a zero element, is the caller's: one free(3).
 * Returns: how many; -EINVAL it isn't written so, or the ranges are of different sizes; -ENOMEM.
 * Threads: any. Since: 0.1 */
int conex_parse_ports(const char *text, struct conex_port **ret_ports, conex_error **err);

#define CONEX_NETWORK_INTERNAL ((uint64_t)1 << 0)  /* no way out, and none in but from the host */
#define CONEX_NETWORK_EXISTING ((uint64_t)1 << 1)  /* one of that name is fine, as it is */

struct conex_network_options {
	size_t size;
	uint64_t flags;             /* CONEX_NETWORK_... */
	const char *driver;         /* NULL: "bridge"; "macvlan"; "cni" */
	const char *parent;         /* macvlan: the device that members are on; cni: the list's name; else NULL */
	const char *const *subnets; /* "10.1.2.0/24", "fd00:1::/64" ... NULL: a free one of each family */
	uint32_t mtu;               /* bytes; 0: the kernel's (macvlan: the parent's) */
	const char *range;          /* members' addresses are of this part of a subnet: "10.1.2.64/26"; NULL: of all */
	const char *const *gateways;/* macvlan: the routers, at most one of a family; NULL: a subnet's first address */
};

/* Makes a network: a bridge "cx-NAME" (of long names an abbreviation) with the first address of each
 * subnet, which are its members' gateways. Of macvlan nothing is made here: its subnets are those of the parent's
 * network, and have to be named; where others have addresses there, .range says which are the members'. Nobody
 * asks whether somebody else has one. The host itself doesn't reach its members (Linux keeps a device and its
 * macvlans apart), and they have no published ports. Without .subnets: a free IPv4 one of 1,022 addresses in
 * 10.200.0.0 to 10.215.255.255, that is in no route and no other network, and a random unique local
 * IPv6 one (RFC 4193). Unless it is internal this turns the machine's IP forwarding on (ip_forward,
 * ipv6.conf.all.forwarding; interfaces that take router advertisements go on taking them) and leaves
 * it on. The name "bridge" needn't be created: the first container that asks for it does. options:
 * NULL for the defaults.
 *
 * Of cni nothing is made here either: .parent is the "name" of a list of plugins (*.conflist, then *.conf and *.json of
 * one, in /etc/cni/net.d, or where NETCONFPATH of the environment says), looked up again for each container. The list
 * says all else: no .subnets, .range, .gateways, .mtu, nor CONEX_NETWORK_INTERNAL. Plugins are root's files in
 * /opt/cni/bin, /usr/lib/cni and /usr/libexec/cni, or in CNI_PATH's directories; each call of one has 60 s. .ports go
 * to the first list with a plugin that takes portMappings, unless one of the container's networks is a bridge; what
 * others have had published there isn't known here. Ids of its members begin with a letter or digit.
 * Returns: 0; -EEXIST a network or a device of that name; -EINVAL a name, flag, subnet, range or gateway that can't
 * be, or a list; -EOPNOTSUPP another driver; -ENODEV no such parent; -ENOENT no such list or plugin; -EADDRNOTAVAIL no free subnet; -EPERM without CAP_NET_ADMIN,
 * or a plugin that others than root may write to; -ELIBACC libnftables.so.1 isn't there; the usual.
 * Threads: any. Since: 0.1 */
int conex_network_create(conex *cx, const char *name, const struct conex_network_options *options,
	conex_error **err);

/* Removes the network and its bridge.
 * Returns: 0; -ENOENT none of that name; -EBUSY it has members; the usual.
 * Threads: any. Since: 0.1 */
int conex_network_delete(conex *cx, const char *name, conex_error **err);

/* The names of all networks, sorted. Owner: one free(3) for *ret_names, which ends with NULL.
 * Returns: how many; the usual.
 * Threads: any. Since: 0.1 */
int conex_network_list(conex *cx, char ***ret_names, conex_error **err);

/* A network as JSON: {"name", "driver", "bridge" or "parent", "subnets", "internal", "mtu", "range", "gateways",
 * "policy" (if there is one), "members": [{"container", "addresses"}]}. Owner: free(3).
 * Returns: 0; -ENOENT none of that name; the usual.
 * Threads: any. Since: 0.1 */
int conex_network_json(conex *cx, const char *name, char **ret_json, conex_error **err);

/* Says which members of a network may talk to which, from this moment on, those that are there and those to
 * come. JSON: {"default": "allow" or "deny", "rules": [{"from": SELECTOR, "to": SELECTOR, "ports": ["tcp/80",
 * "udp/53", "tcp/8000-8010", "sctp", "icmp"], "action": "allow" or "deny"}]}. SELECTOR: "*" (all members, as without
 * it), {"id": "web-*"} (a pattern of fnmatch(3)), {"label": "role=db"} or {"label": "role"} (of
 * conex_run_options.labels), or both, which both must fit. Without "ports" a rule means everything, without "action" it
 * allows. Of what a member sends another one the first rule decides that fits, else the default; answers to what was
 * allowed pass. ARP and IPv6's neighbour discovery pass always. On a network that has a policy a member can send
 * from its own addresses alone. Members are meant: what the host and other networks may is not changed. NULL: removes the
 * policy. doc/network.md says more.
 * Returns: 0; -EINVAL, -E2BIG something that can't be, by its path; -E2BIG it asks for labels, and a member has more
 * than 4,000 bytes of them; -ENOENT no such network; -EOPNOTSUPP its members aren't on a bridge; -EPERM without
 * CAP_NET_ADMIN; -ELIBACC libnftables.so.1 isn't there; the usual. After a failure the policy is the one before.
 * Threads: any. Since: 0.1 */
int conex_network_policy(conex *cx, const char *name, const char *json, conex_error **err);

struct conex_veth_options {
	size_t size;
	const char *host_name;      /* of the end here, "lab0": 1 to 15 characters */
	const char *host_address;   /* its address and the subnet's length, "10.9.0.1/30"; NULL: none */
	conex_namespace *ns;        /* where the other end is: a network namespace */
	const char *name;           /* there: "eth0"; NULL: that */
	const char *address;        /* "10.9.0.2/30"; NULL: none */
	const char *gateway;        /* of the default route there, "10.9.0.1"; NULL: no route */
};

/* Makes a pair of veth(4) devices, one end here and the other in a namespace, both up; for networks of one's
 * own. The pair goes with the namespace, with conex_veth_delete, and at the latest when the context is closed
 * (a detached one's stays). The namespace is still the caller's.
 * Returns: 0; -EINVAL a name or address that can't be, or no network namespace; -EEXIST a device of that name;
 * -ENETUNREACH the gateway is in no subnet of the address; -EPERM without CAP_NET_ADMIN; the usual.
 * Threads: any. Since: 0.1 */
int conex_veth_create(conex *cx, const struct conex_veth_options *options, conex_error **err);

/* Deletes a pair that conex_veth_create made, by the name of its end here.
 * Returns: 0, also if the devices are gone already; -ENOENT this state directory knows of no such pair; the
 * usual.
 * Threads: any. Since: 0.1 */
int conex_veth_delete(conex *cx, const char *host_name, conex_error **err);

CONEX_END_DECLARATIONS
#endif
