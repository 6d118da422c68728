/* What has gone through interfaces, as /proc/net/dev tells it: of every kind, without a socket in their namespace. */
#ifndef CX_NETWORK_COUNTERS_H
#define CX_NETWORK_COUNTERS_H

#include <stdint.h>

struct cx_counters {
	uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped;
};
/* A line of that file; 0: it is about no interface. */
int cx_counters_line(const char *line, char name[16], struct cx_counters *ret);

typedef void cx_counters_each(const char *name, const struct cx_counters *c, void *data);
/* Calls `each` for every interface but lo in an open /proc/PID/net/dev. 0, -errno */
int cx_counters_fd(int fd, cx_counters_each *each, void *data);
/* The same of a process, whose directory in /proc is open. -ENOENT -ESRCH: it has ended. */
int cx_counters_read(int process, cx_counters_each *each, void *data);

#endif
