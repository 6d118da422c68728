/* Limits of bandwidth, as token buckets. */
#ifndef CX_NETWORK_RATE_H
#define CX_NETWORK_RATE_H
#include "network/netlink.h"

#define CX_RATE_LEAST UINT64_C(8000)            /* bits a second: a packet takes more than a second */
#define CX_RATE_MOST UINT64_C(500000000000)     /* the kernel counts burst and queue in 32 bits */
int cx_rate_check(const char *field, uint64_t bps, conex_error **err);

/* What is sent at once after a pause, and what waits at most; both in bytes. */
struct cx_bucket { uint64_t bytes_per_second; uint32_t burst, queue; };
struct cx_bucket cx_bucket_of(uint64_t bps, uint32_t mtu);      /* mtu 0: the kernel's */

/* For what leaves by the interface with this index. Before it is up: on one that is, the kernel waits until
 * nobody uses the old queue. */
void cx_batch_rate(struct cx_batch *b, int index, uint64_t bps, uint32_t mtu);
#endif
