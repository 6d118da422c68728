/* The networks of a container, as network.c (our own) and cni.c (other people's plugins) share them. */
#ifndef CX_CONTAINER_JOINED_H
#define CX_CONTAINER_JOINED_H

#include "network/network.h"

struct joined {
	struct cx_network network;
	struct cx_lease lease;
	struct cx_link link;
	char *lease_text, *link_text;           /* of the journal; NULL: not taken */
	char address[2][INET6_ADDRSTRLEN];      /* IPv4's, IPv6's; "" */
	/* of CNI: */
	json_t *list, *ports;                   /* its plugins and portMappings, until they run; NULL */
	char *attachment;                       /* the file that undoes it; NULL: nothing to undo */
	char *planned;                          /* where that will be */
};

struct cx_joined {
	char *hosts, *resolv;                   /* paths of its /etc/hosts and /etc/resolv.conf */
	int count;
	int looks;                              /* whether the kernel has taken the interfaces away */
	int tries, failed;                      /* to give back; it can't be: the journal stays for others */
	char *pin;                              /* CNI: a file that its network namespace is mounted on; NULL */
	int is_pinned;
	struct joined of[CX_LINKS_MAX];
};

#endif
