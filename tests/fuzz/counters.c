/* The reader of /proc/net/dev. */
#include "network/counters.h"
#include "base/cleanup.h"

#include <sys/mman.h>
#include <unistd.h>
#include "fuzz.h"

static void take(const char *name, const struct cx_counters *c, void *data)
{
	size_t n = strlen(name);

	(void)c;
	if (n < 1 || n > 15 || strpbrk(name, ": \n") || !strcmp(name, "lo"))
		__builtin_trap();
	++*(size_t *)data;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cx_autoclose int fd = memfd_create("fuzz", MFD_CLOEXEC);
	size_t lines = 0;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) < 0)
		return 0;
	if (cx_counters_fd(fd, take, &lines) < 0 || lines > size / 26)
		__builtin_trap();       /* the shortest line has as many letters */
	return 0;
}

static int fuzz_seed(int n, struct cx_str *to)
{
	static const char *const texts[] = {
		"Inter-|   Receive                                                |  Transmit\n"
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
		"    lo:     624       8    0    0    0     0          0         0      624       8    0    0    0     0       0          0\n"
		"  eth0: 1000000     700    0    0    0     0          0         0    50000     300    0    0    0     0       0          0\n",
		"fifteen_letters:18446744073709551615 18446744073709551616 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n",
		"a:1 1 1 1 1 1 1 1 1 1 1 1\nb:1 1 1 1 1 1 1 1 1 1 1 1\n",
	};

	if (n >= (int)CX_ARRAY_SIZE(texts))
		return 0;
	cx_str_add(to, texts[n], strlen(texts[n]));
	return 1;
}
