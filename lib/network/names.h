/* What members know one another by, and whom they ask for other names: files in the network's directory that
 * are bound to their /etc/hosts and /etc/resolv.conf. */
#ifndef CX_NETWORK_NAMES_H
#define CX_NETWORK_NAMES_H

#include "network/network.h"

/* hosts.c. The directory of these files, locked against other writers. A descriptor, -errno */
int cx_hosts_lock(const struct cx_network *n);
/* A member's line, in all files of the network, the shared one and those of members that have one of
 * their own. 0, -errno */
int cx_hosts_enter(const struct cx_network *n, uint32_t number, const char *id);
/* Takes it out again, and the member's own files away; fine where there is nothing. */
int cx_hosts_leave(const struct cx_network *n, uint32_t number, const char *tag);
/* A file of one's own, with further lines (NULL: none) in it. *file: -1 for the first network; for others what the
 * first call put there, which is the caller's to close. */
int cx_hosts_own(const struct cx_network *n, const char *tag, const char *lines, int *file);
char *cx_hosts_path(const struct cx_network *n, const char *tag);        /* tag NULL: the shared one's. free */
int cx_hosts_check(const char *line, const char *where, conex_error **err);

/* resolv.c: resolv.conf(5). What members of a network without a way out get names no server: nobody waits for
 * answers that can't come. lines NULL: as the host has it, but for servers that only it reaches. 0, -errno */
int cx_resolv_write(const struct cx_network *n, const char *tag, const char *lines);
char *cx_resolv_path(const struct cx_network *n, const char *tag);       /* tag NULL: the shared one's. free */
/* The host's text, with these servers instead of the host's. */
void cx_resolv_add_host(struct cx_str *to, const char *const *servers);
int cx_resolv_check(const char *line, const char *where, conex_error **err);

#endif
