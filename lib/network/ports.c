/* Published ports as texts, and whether the host's side is free. */
#include "network/nft.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

const char *cx_port_protocol(uint8_t protocol)
{
	return protocol == IPPROTO_UDP ? "udp" : protocol == IPPROTO_SCTP ? "sctp" : "tcp";
}

void cx_port_print(const struct cx_port *p, char to[CX_PORT_TEXT])
{
	char host[INET6_ADDRSTRLEN], target[INET6_ADDRSTRLEN];

	cx_address_print(&p->host, host);
	cx_address_print(&p->to, target);
	snprintf(to, CX_PORT_TEXT, "%s %s %u %s %u", cx_port_protocol(p->protocol), host, p->host_port, target, p->port);
}

int cx_port_parse(const char *text, struct cx_port *ret)
{
	char protocol[8], host[INET6_ADDRSTRLEN], target[INET6_ADDRSTRLEN];
	unsigned host_port, port;

	if (sscanf(text, "%7s %45s %u %45s %u", protocol, host, &host_port, target, &port) != 5
	    || host_port > 65535 || port > 65535 || cx_address_parse(host, &ret->host) < 0
	    || cx_address_parse(target, &ret->to) < 0 || ret->host.family != ret->to.family)
		return -EINVAL;
	ret->protocol = !strcmp(protocol, "udp") ? IPPROTO_UDP : !strcmp(protocol, "sctp") ? IPPROTO_SCTP : IPPROTO_TCP;
	ret->host_port = (uint16_t)host_port;
	ret->port = (uint16_t)port;
	return 0;
}

union any_address { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; };

static socklen_t fill(union any_address *a, const struct cx_port *p)
{
	memset(a, 0, sizeof *a);
	a->any.sa_family = (sa_family_t)p->host.family;
	if (p->host.family == AF_INET) {
		memcpy(&a->v4.sin_addr, p->host.byte, 4);
		a->v4.sin_port = htons(p->host_port);
		return sizeof a->v4;
	}
	memcpy(&a->v6.sin6_addr, p->host.byte, 16);
	a->v6.sin6_port = htons(p->host_port);
	return sizeof a->v6;
}

/* A program of the host's that listens there would be robbed of who comes to it. */
int cx_port_check(struct cx_port *p, const char *where, conex_error **err)
{
	cx_autoclose int fd = -1;
	union any_address a;
	socklen_t size = fill(&a, p);
	char text[INET6_ADDRSTRLEN + 8], host[INET6_ADDRSTRLEN];
	int on = 1;

	if (p->protocol == IPPROTO_SCTP && p->host_port)
		return 0;               /* the kernel may have no such sockets */
	fd = socket(p->host.family, (p->protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "socket", NULL, "%s", where);
	if (p->protocol != IPPROTO_UDP)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (p->host.family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (bind(fd, &a.any, size) < 0) {
		int r = -errno;

		cx_address_print(&p->host, host);
		snprintf(text, sizeof text, "%s %u", host, p->host_port);
		return cx_refuse(err, r, where, text, r == -EADDRINUSE ? "a program listens there: another port, or 0"
			: r == -EACCES ? "without privileges only from net.ipv4.ip_unprivileged_port_start on"
			: "an address of this machine");
	}
	if (!p->host_port && getsockname(fd, &a.any, &size) == 0)
		p->host_port = ntohs(p->host.family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
	return 0;
}

/* No table: somebody has flushed all rules (nft flush ruleset). Then ours are made anew. */
static int publish(const struct cx_networks *place, const struct cx_port *ports, int count, const char *tag,
	conex_error **err)
{
	struct cx_networks *mine = (struct cx_networks *)place;
	cx_autoclose int lock = cx_networks_lock(place->dir);
	int r;

	if (lock < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, lock, "flock", NULL, "%s", place->path);
	r = mine->nft ? 0 : cx_nft_open(&mine->nft, err);
	if (r == 0)
		r = cx_nft_ports_add(mine->nft, ports, count, tag, err);
	if (r == -ENOENT) {
		if (err) {
			conex_error_free(*err);
			*err = NULL;
		}
		r = cx_nft_networks_add(mine->nft, place, err);
		if (r == 0)
			r = cx_nft_ports_add(mine->nft, ports, count, tag, err);
	}
	if (r == 0)
		cx_published_note(place->dir, ports, count);
	return r;
}

int cx_ports_publish(const struct cx_networks *place, const struct cx_port *ports, int count, const char *tag,
	conex_error **err)
{
	int r = publish(place, ports, count, tag, err);

	if (r == 0)
		cx_flows_forget(ports, count, 0);
	return r;
}

int cx_ports_withdraw(const struct cx_networks *place, const struct cx_port *ports, int count)
{
	struct cx_networks *mine = (struct cx_networks *)place;
	cx_autoclose int lock = cx_networks_lock(place->dir);
	int r = lock < 0 ? lock : mine->nft ? 0 : cx_nft_open(&mine->nft, NULL);

	r = r < 0 ? r : cx_nft_ports_remove(mine->nft, ports, count);
	if (lock >= 0)
		cx_published_forget(place->dir, ports, count);
	if (r == 0)
		cx_flows_forget(ports, count, 1);
	return r;
}

char *cx_port_text(const struct cx_networks *place, const struct cx_port *p)
{
	char port[CX_PORT_TEXT], *text;

	cx_port_print(p, port);
	return asprintf(&text, "%s %s", place->path, port) < 0 ? NULL : text;
}

int cx_port_undo(const char *text)
{
	size_t size = strcspn(text, " ");
	cx_autofree char *path = strndup(text, size);
	const char *cookie = path ? strrchr(path, '/') : NULL;
	cx_autoclose int dir = -1, lock = -1;
	cx_autonft *n = NULL;
	struct cx_port p;
	int r = text[size] ? cx_port_parse(text + size + 1, &p) : -EINVAL;

	if (r < 0 || !path)
		return r < 0 ? r : -ENOMEM;
	if (!cookie || strtoull(cookie + 1, NULL, 10) != cx_network_cookie())
		return 0;               /* another namespace's: out of reach, and most likely gone */
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lock = dir < 0 ? -errno : cx_networks_lock(dir);
	r = lock < 0 ? lock : cx_nft_open(&n, NULL);
	r = r < 0 ? r : cx_nft_ports_remove(n, &p, 1);
	if (lock >= 0)
		cx_published_forget(dir, &p, 1);
	if (r == 0)
		cx_flows_forget(&p, 1, 1);
	return r;
}
