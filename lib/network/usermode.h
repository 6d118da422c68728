/* Networks without privileges: a program of the host's (pasta, slirp4netns) that has a TCP/IP stack of its own
 * answers for the world at a tap device inside, and speaks for the container with sockets of its user's. How it is
 * called and spoken to; container/stack.c lets it live and die with its container. */
#ifndef CX_NETWORK_USERMODE_H
#define CX_NETWORK_USERMODE_H

#include <stddef.h>

struct cx_port;
struct cx_str;

enum cx_usermode { CX_USERMODE_NONE, CX_USERMODE_PASTA, CX_USERMODE_SLIRP4NETNS };

enum cx_usermode cx_usermode_of(const char *word);              /* .network's; may be NULL */
const char *cx_usermode_program(enum cx_usermode mode);         /* the word is the program's name */
const char *cx_usermode_package(enum cx_usermode mode);         /* Debian's */

/* Whom the container asks for names: what is sent there goes to the host's own first server (be that one on the
 * host's loopback). NULL-ended. */
const char *const *cx_usermode_nameservers(enum cx_usermode mode);

/* Which families the host has a way out for, that is a default route by another interface than lo: bits. */
#define CX_USERMODE_V4 1u
#define CX_USERMODE_V6 2u
unsigned cx_usermode_families(void);
/* The container's address; NULL: it has none of this family. */
const char *cx_usermode_address(enum cx_usermode mode, unsigned families, int family);

/* The descriptors that the program finds. pasta closes all others. */
enum {
	CX_USERMODE_NETNS = 0,          /* stdin: the network namespace */
	CX_USERMODE_PASTA_READY = 1,    /* a pipe to which the program writes something when all is there */
	CX_USERMODE_SLIRP_READY = 3,
	CX_USERMODE_SLIRP_DIR = 4       /* with ports: the directory in which its socket is to be */
};

struct cx_usermode_call {
	enum cx_usermode mode;
	unsigned families;
	int is_root;                    /* of this user namespace, and is to stay it */
	const struct cx_port *ports;
	int count;
	const char *socket;             /* slirp4netns: its name in the directory */
};
/* Its command line: NULL-ended, one free(3). NULL: no memory */
const char **cx_usermode_args(const struct cx_usermode_call *call);

/* slirp4netns is asked for one port a connection: what is sent, and what comes back. 0, or -errno */
int cx_usermode_request(const struct cx_port *p, struct cx_str *to);
int cx_usermode_answer(const char *text);
/* Its last words, of which the last line says most, into `to`; not what it says of having no syslog. */
void cx_usermode_words(const char *text, char *to, size_t size);

#endif
