/* conex, and its floor: the same requests to the kernel, without container, journal and leases. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <conex/conex.h>
#include "network/nft.h"
#include "network.h"

/* ---- conex ---- */

static struct { conex *cx; conex_plan *plan; conex_container *c; } ours;

static int say(conex_error *err, char *why)
{
	int r = conex_error_code(err);

	snprintf(why, NETWORK_WHY, "%.250s", conex_error_text(err));
	conex_error_free(err);
	return r;
}

static int conex_way_open(const char *rootfs, char *why)
{
	struct conex_run_options o = { .size = sizeof o, .rootfs = rootfs, .network = "bridge",
		.ports = CONEX_PORTS({ NETWORK_HOST, NETWORK_PORT, 80, NULL }) };
	const char *const args[] = { "busybox", "httpd", "-f", "-p", "80", "-h", "/bin", NULL };
	conex_error *err = NULL;

	if (conex_open(NULL, &ours.cx, &err) < 0 || conex_plan_new(ours.cx, NULL, args, &o, &ours.plan, &err) < 0)
		return say(err, why);
	return 0;
}

static int conex_way_up(char *why)
{
	struct conex_run_options o = { .size = sizeof o };
	conex_error *err = NULL;

	return conex_launch(ours.cx, ours.plan, NULL, &o, &ours.c, &err) < 0 ? say(err, why) : 0;
}

static int conex_way_down(char *why)
{
	conex_error *err = NULL;
	int r = conex_container_delete(ours.c, -1, &err) < 0 ? say(err, why) : 0;

	conex_container_free(ours.c);
	return r;
}

static void conex_way_close(void)
{
	conex_network_delete(ours.cx, "bridge", NULL);
	conex_plan_free(ours.plan);
	conex_close(ours.cx);
}

const struct network_way network_conex = { "conex", conex_way_open, conex_way_up, conex_way_down, conex_way_close };

/* ---- floor ---- */

static struct {
	struct cx_network network;
	struct cx_nft *nft;
	struct cx_link link;
	struct cx_port port;
	struct network_server server;
	int interfaces;
} bare;

static int floor_open(const char *rootfs, char *why)
{
	conex_error *err = NULL;

	(void)rootfs;
	bare.network = (struct cx_network){ .name = "floor", .bridge = "cx-floor", .subnets = 2, .dir = -1 };
	cx_subnet_parse("10.97.0.0/22", "", &bare.network.subnet[0], NULL);
	cx_subnet_parse("fd97::/64", "", &bare.network.subnet[1], NULL);
	if (cx_bridge_make(&bare.network, &err) < 0 || cx_nft_open(&bare.nft, &err) < 0
	    || cx_nft_network_add(bare.nft, &bare.network, &err) < 0 || cx_bridge_up(&bare.network, &err) < 0)
		return say(err, why);
	return 0;
}

/* In the child: loopback, then what cx_links_inside says, request by request. */
static int configure(void *data)
{
	const struct cx_str *text = data;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	char answer[1024];
	size_t step;

	for (size_t at = 0; at < text->size; at += step) {
		const struct nlmsghdr *m = (const struct nlmsghdr *)(text->data + at);

		step = NLMSG_ALIGN(m->nlmsg_len);
		if (write(fd, m, m->nlmsg_len) < 0 || recv(fd, answer, sizeof answer, 0) < 0
		    || ((struct nlmsgerr *)NLMSG_DATA((struct nlmsghdr *)answer))->error)
			return -1;
	}
	return 0;
}

static int floor_up(char *why)
{
	cx_autostr inside = { 0 };
	conex_error *err = NULL;
	int r;

	bare.interfaces = network_interfaces();
	bare.link = (struct cx_link){ .network = &bare.network, .number = 5, .hairpin = 1,
		.index = cx_links_index(1) };
	bare.port = (struct cx_port){ .protocol = IPPROTO_TCP, .host_port = NETWORK_PORT, .port = 80,
		.to = cx_subnet_address(&bare.network.subnet[0], 5) };
	cx_address_parse(NETWORK_HOST, &bare.port.host);
	strcpy(bare.link.host, "cxfloor");
	r = cx_links_inside(&bare.link, 1, &inside);
	if (r == 0)
		r = network_server_start(&bare.server, configure, &inside);
	if (r < 0)
		return r;
	if (cx_nft_ports_add(bare.nft, &bare.port, 1, "floor", &err) < 0
	    || cx_links_make(&bare.link, 1, bare.server.pid, &err) < 0)
		return say(err, why);
	return network_server_go(&bare.server);
}

static int floor_down(char *why)
{
	int r = cx_nft_ports_remove(bare.nft, &bare.port, 1), e;

	(void)why;
	network_server_end(&bare.server);
	e = network_wait_for(bare.interfaces);
	return r < 0 ? r : e;
}

static void floor_close(void)
{
	cx_bridge_down(&bare.network, NULL);
	cx_nft_network_remove(bare.nft, &bare.network, NULL);
	cx_nft_free(bare.nft);
}

const struct network_way network_floor = { "floor", floor_open, floor_up, floor_down, floor_close };
