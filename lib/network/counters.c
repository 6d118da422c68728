/* Interfaces' counters out of /proc/PID/net/dev. */
#include "network/counters.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "  eth0: 1 2 ..." in the order of the file: eight received (bytes packets errs drop fifo frame compressed multicast),
 * eight sent (bytes packets errs drop ...) */
enum { COLUMNS = 12 };

static int take_numbers(const char *at, uint64_t number[COLUMNS])
{
	char *end;

	for (int i = 0; i < COLUMNS; i++, at = end) {
		at += strspn(at, " ");
		if (*at < '0' || *at > '9')
			return 0;
		number[i] = strtoull(at, &end, 10);
	}
	return 1;
}

int cx_counters_line(const char *line, char name[16], struct cx_counters *ret)
{
	const char *start = line + strspn(line, " ");
	size_t n = strcspn(start, ": ");
	uint64_t number[COLUMNS];

	if (n == 0 || n > 15 || start[n] != ':' || !take_numbers(start + n + 1, number))
		return 0;
	memcpy(name, start, n);
	name[n] = '\0';
	*ret = (struct cx_counters){ .rx_bytes = number[0], .rx_packets = number[1], .rx_errors = number[2],
		.rx_dropped = number[3], .tx_bytes = number[8], .tx_packets = number[9], .tx_errors = number[10],
		.tx_dropped = number[11] };
	return 1;
}

/* A line is at most 16 + 16 * 21 letters. The kernel gives whole ones, about a page of them at a time: what is much
 * less was the last. */
enum { BYTES = 8192, LINE = 512, PAGE = 4096 };

/* Whole lines of `text`; what is left of the last goes to the front. */
static size_t hand_out(char *text, size_t size, cx_counters_each *each, void *data)
{
	char *line = text, *end, name[16];
	struct cx_counters c;

	while ((end = memchr(line, '\n', size - (size_t)(line - text)))) {
		*end = '\0';
		if (cx_counters_line(line, name, &c) && strcmp(name, "lo"))
			each(name, &c, data);
		line = end + 1;
	}
	size -= (size_t)(line - text);
	memmove(text, line, size);
	return size;
}

int cx_counters_fd(int fd, cx_counters_each *each, void *data)
{
	size_t kept = 0;
	char text[BYTES];
	ssize_t n;

	do {
		n = read(fd, text + kept, sizeof text - kept);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		kept = hand_out(text, kept + (size_t)n, each, data);
		if (kept == sizeof text)        /* no line is as long */
			kept = 0;
	} while (n < 0 || n > PAGE - LINE);
	return 0;
}

int cx_counters_read(int process, cx_counters_each *each, void *data)
{
	cx_autoclose int fd = openat(process, "net/dev", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : cx_counters_fd(fd, each, data);
}
