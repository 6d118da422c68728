/* Subnets and addresses of both families. */
#ifndef CX_NETWORK_SUBNET_H
#define CX_NETWORK_SUBNET_H

#include <netinet/in.h>
#include <stdint.h>
#include <conex/base.h>

struct cx_address { int family; unsigned char byte[16]; };      /* AF_INET, AF_INET6; 0: none */
struct cx_subnet { struct cx_address base; int prefix; };       /* bits behind the prefix are 0 */
enum { CX_SUBNET_TEXT = INET6_ADDRSTRLEN + 4 };

static inline int cx_address_size(int family) { return family == AF_INET6 ? 16 : 4; }

/* "10.1.2.0/24", "fd00:1::/64". `where` is for the refusal; a host's bits are refused, too. 0, -EINVAL */
int cx_subnet_parse(const char *text, const char *where, struct cx_subnet *ret, conex_error **err);
void cx_subnet_print(const struct cx_subnet *s, char to[CX_SUBNET_TEXT]);
/* An address with the length of its subnet: "10.1.2.3/24". 0, -EINVAL */
int cx_address_parse_long(const char *text, struct cx_address *ret, int *ret_prefix);
int cx_address_parse(const char *text, struct cx_address *ret);         /* 0, -EINVAL */
void cx_address_print(const struct cx_address *a, char to[INET6_ADDRSTRLEN]);

/* Address number n of the subnet (0 is the subnet itself). */
struct cx_address cx_subnet_address(const struct cx_subnet *s, uint32_t n);
/* Which number an address of the subnet has; UINT32_MAX: one above 32 bits. */
uint32_t cx_subnet_number(const struct cx_subnet *s, const struct cx_address *a);
/* How many members it can have: numbers 2 to this one (1 is the bridge's, the last IPv4 one broadcast). */
uint32_t cx_subnet_last(const struct cx_subnet *s);
int cx_subnet_overlap(const struct cx_subnet *a, const struct cx_subnet *b);

#endif
