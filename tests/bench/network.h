/* bench network: ways to bring a container on a bridge, with a published port. */
#ifndef BENCH_NETWORK_H
#define BENCH_NETWORK_H

#include <sys/types.h>

#define NETWORK_HOST "192.0.2.1"        /* the address at which ports are published */
enum { NETWORK_PORT = 8080, NETWORK_WHY = 256 };

/* One of them: up() returns when the port is published (not measured by itself), down() when nothing is left. */
struct network_way {
	const char *name;
	int (*open)(const char *rootfs, char *why);     /* not measured. 0, or -errno with the reason */
	int (*up)(char *why);
	int (*down)(char *why);
	void (*close)(void);
};
extern const struct network_way network_conex, network_floor, network_netavark, network_cni;

/* A process with a network namespace of its own. After network_server_go it calls `ready` (if not NULL), which is
 * waited for, so that nobody asks for an address that isn't there yet (ARP asks again only after a second); then it
 * answers HTTP on port 80. */
struct network_server { pid_t pid; int go; };
int network_server_start(struct network_server *s, int (*ready)(void *data), void *data);
int network_server_go(struct network_server *s);
void network_server_end(struct network_server *s);
int network_interfaces(void);           /* how many this namespace has */
int network_wait_for(int interfaces);   /* until there are no more; 0, -ETIMEDOUT */

#endif
