/* What the tests of networks share: a "host" that is a network namespace of the test's own, networks in it,
 * servers and clients. */
#ifndef CONEX_TEST_NETWORK_BOX_H
#define CONEX_TEST_NETWORK_BOX_H

#include "box.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#define BOX(...) &(struct conex_run_options){ __VA_ARGS__ }

static char directory[64];              /* of this namespace's networks */

static inline int network(const char *name, uint64_t flags, const char *const *subnets)
{
	struct conex_network_options o = { .size = sizeof o, .flags = flags, .subnets = subnets };

	box_clear();
	return conex_network_create(box.cx, name, &o, &box.err);
}

static inline int gone(const char *name)
{
	box_clear();
	return conex_network_delete(box.cx, name, &box.err);
}

static inline int members(const char *name)
{
	return box_entries(say("%s/%s/members", directory, name));
}

/* How many interfaces the host has beside lo and bridges: our ends. */
static inline int host_ends(void)
{
	struct if_nameindex *list = if_nameindex();
	int n = 0;

	for (struct if_nameindex *i = list; i && i->if_index; i++)
		n += !strncmp(i->if_name, "cx", 2) && i->if_name[2] != '-';
	if_freenameindex(list);
	return n;
}

/* As the kernel says: /sys shows the namespace that it was mounted in. */
static inline int ports(const char *bridge, int count)
{
	return command("test $(ip -o link show master %s up | wc -l) = %d", bridge, count) == 0;
}

static inline conex_container *server(const char *networks, uint64_t flags)
{
	return box_start(BOX(.network = networks, .flags = flags),
		CONEX_STRINGS("sh", "-c", "while :; do echo hello | nc -l -p 80; done"));
}

/* "hello" over TCP; tried until the server listens, and until it says so: it ends with us, also before its own echo has
 * spoken. */
#define ASK "for i in 1 2 3 4 5 6 7 8 9 10; do nc -w 2 %s 80 </dev/null | grep hello && exit; sleep 0.3; done; exit 1"

static inline int reached(const char *networks, const char *address)
{
	return box_run(BOX(.network = networks), say(ASK, address)) == 0 && !strcmp(box.out, "hello");
}

/* As the kernel names the namespace, by our own look: SO_NETNS_COOKIE. */
static inline void note_cookie(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unsigned long long cookie = 0;
	socklen_t size = sizeof cookie;

	getsockopt(fd, SOL_SOCKET, 71, &cookie, &size);
	close(fd);
	snprintf(directory, sizeof directory, "/run/conex/networks/%llu", cookie);
}

/* 1: this process is in such a namespace; 0: it can't be had (and said so). */
static inline int network_box(void)
{
	if (geteuid() == 0 && unshare(CLONE_NEWNET) < 0)
		return 0;
	if (system("ip link set lo up && ip link add cxtry type bridge 2>/dev/null && ip link del cxtry"
			" && ip link add cxtry0 type veth peer name cxtry1 2>/dev/null && ip link del cxtry0"
			" && nft add table inet cxtry 2>/dev/null && nft delete table inet cxtry") != 0) {
		printf("1..0 # SKIP needs root, bridge, veth and nf_tables\n");
		return 0;
	}
	note_cookie();
	return 1;
}

#endif
