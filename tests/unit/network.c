/* Subnets as texts and bits; limits as token buckets; counters. */
#include "test.h"
#include "base/cleanup.h"
#include "network/counters.h"
#include "network/rate.h"
#include "network/subnet.h"

static int parsed(const char *text, struct cx_subnet *s)
{
	conex_error *err = NULL;
	int r = cx_subnet_parse(text, "subnets[0]", s, &err);

	CHECK(r == 0 || strstr(conex_error_text(err), "subnets[0]"));
	conex_error_free(err);
	return r;
}

static const char *printed(const struct cx_subnet *s)
{
	static char text[CX_SUBNET_TEXT];

	cx_subnet_print(s, text);
	return text;
}

static const char *number(const struct cx_subnet *s, uint32_t n)
{
	static char text[INET6_ADDRSTRLEN];
	struct cx_address a = cx_subnet_address(s, n);

	cx_address_print(&a, text);
	return text;
}

TEST(texts)
{
	static const char *const good[] = { "10.0.0.0/8", "10.1.2.0/24", "192.168.1.4/30", "fd00:1::/64", "fd00::10/126" };
	static const char *const bad[] = { "", "10.0.0.0", "10.0.0.0/", "10.0.0.0/7", "10.0.0.0/31", "10.0.0.1/24",
		"10.0.0/24", "10.0.0.0/24x", "10.0.0.0/-1", "10.0.0.0/ 24", "fd00::/127", "fd00::1/64", "fd00:::/64", "/24" };
	struct cx_subnet s;

	for (size_t i = 0; i < CX_ARRAY_SIZE(good); i++) {
		CHECK_INT(parsed(good[i], &s), 0);
		CHECK_STR(printed(&s), good[i]);
	}
	for (size_t i = 0; i < CX_ARRAY_SIZE(bad); i++)
		CHECK_INT(parsed(bad[i], &s), -EINVAL);
}

TEST(numbers)
{
	struct cx_subnet s;

	CHECK_INT(parsed("10.1.4.0/22", &s), 0);
	CHECK_STR(number(&s, 1), "10.1.4.1");
	CHECK_STR(number(&s, 256), "10.1.5.0");
	CHECK_INT(cx_subnet_last(&s), 1022);
	CHECK_STR(number(&s, 1022), "10.1.7.254");
	CHECK_INT(parsed("10.1.4.8/30", &s), 0);
	CHECK_INT(cx_subnet_last(&s), 2);
	CHECK_STR(number(&s, 2), "10.1.4.10");
	CHECK_INT(parsed("fd00::/64", &s), 0);
	CHECK_STR(number(&s, 0x1234), "fd00::1234");
	CHECK_INT(cx_subnet_last(&s), 65534);
}

TEST(overlaps)
{
	static const struct { const char *a, *b; int yes; } pairs[] = {
		{ "10.1.0.0/16", "10.1.2.0/24", 1 }, { "10.1.2.0/24", "10.1.0.0/16", 1 }, { "10.1.2.0/24", "10.1.3.0/24", 0 },
		{ "10.0.0.0/8", "11.0.0.0/8", 0 }, { "fd00::/64", "fd00:0:0:1::/64", 0 }, { "fd00::/32", "fd00:0:1::/48", 1 },
		{ "10.1.2.0/24", "fd00::/64", 0 },
	};

	for (size_t i = 0; i < CX_ARRAY_SIZE(pairs); i++) {
		struct cx_subnet a, b;

		CHECK(parsed(pairs[i].a, &a) == 0 && parsed(pairs[i].b, &b) == 0);
		CHECK_INT(cx_subnet_overlap(&a, &b), pairs[i].yes);
	}
}

/* Ten milliseconds at once, fifty in the queue; of slow ones some packets of the interface. */
TEST(buckets)
{
	static const struct { uint64_t bps; uint32_t mtu; uint64_t bytes; uint32_t burst, queue; } want[] = {
		{ 8000, 0, 1000, 3036, 12144 }, { 1000000, 0, 125000, 3036, 12144 }, { 1000000, 9000, 125000, 18036, 72144 },
		{ 20000000, 0, 2500000, 25000, 125000 }, { UINT64_C(1000000000), 65535, 125000000, 1250000, 6250000 },
		{ UINT64_C(500000000000), 0, UINT64_C(62500000000), 625000000, 3125000000 },
	};

	for (size_t i = 0; i < CX_ARRAY_SIZE(want); i++) {
		struct cx_bucket b = cx_bucket_of(want[i].bps, want[i].mtu);

		CHECK_INT(b.bytes_per_second, want[i].bytes);
		CHECK_INT(b.burst, want[i].burst);
		CHECK_INT(b.queue, want[i].queue);
	}
	CHECK_INT(cx_rate_check("x", 0, NULL) | cx_rate_check("x", CX_RATE_LEAST, NULL) | cx_rate_check("x", CX_RATE_MOST, NULL), 0);
	CHECK_INT(cx_rate_check("x", CX_RATE_LEAST - 1, NULL), -EINVAL);
	CHECK_INT(cx_rate_check("x", CX_RATE_MOST + 1, NULL), -EINVAL);
}

TEST(counters)
{
	static const char *const none[] = { "", "eth0", "eth0:", ":1 2 3 4 5 6 7 8 9 10 11 12", "eth0: 1 2 3 4 5 6 7 8 9 10 11",
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes", "eth0: 1 2 x 4 5 6 7 8 9 10 11 12",
		"sixteen_letters_: 1 2 3 4 5 6 7 8 9 10 11 12", "eth 0: 1 2 3 4 5 6 7 8 9 10 11 12", "eth0: -1 2 3 4 5 6 7 8 9 10 11 12" };
	struct cx_counters c;
	char name[16];

	for (size_t i = 0; i < CX_ARRAY_SIZE(none); i++)
		CHECK_INT(cx_counters_line(none[i], name, &c), 0);
	CHECK_INT(cx_counters_line("fifteen_letters: 1 2 3 4 5 6 7 8 9 10 11 12", name, &c), 1);
	CHECK_STR(name, "fifteen_letters");
	CHECK_INT(cx_counters_line("  eth0:18446744073709551615    2    3    4    5     6          7         8 "
		"       9      10   11   12    0     0       0          0", name, &c), 1);
	CHECK_STR(name, "eth0");
	CHECK(c.rx_bytes == UINT64_MAX && c.rx_packets == 2 && c.rx_errors == 3 && c.rx_dropped == 4);
	CHECK(c.tx_bytes == 9 && c.tx_packets == 10 && c.tx_errors == 11 && c.tx_dropped == 12);
}

struct seen { int count; uint64_t bytes; };

static void see(const char *name, const struct cx_counters *c, void *data)
{
	struct seen *s = data;

	CHECK(!strncmp(name, "eth", 3));
	s->count++;
	s->bytes += c->rx_bytes;
}

/* More interfaces than are read at once; and something that is no line. */
TEST(many_counters)
{
	char path[] = "/tmp/conex-counters-XXXXXX", *text = calloc(1, 20000);
	cx_autoclose int fd = mkstemp(path);
	struct seen s = { 0, 0 };

	CHECK(fd >= 0 && unlink(path) == 0);
	dprintf(fd, "Inter-|   Receive\n face |bytes\n    lo: 7 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n");
	for (int i = 0; i < 1000; i++)
		dprintf(fd, "eth%d: %d 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n", i, i);
	lseek(fd, 0, SEEK_SET);
	CHECK_INT(cx_counters_fd(fd, see, &s), 0);
	CHECK_INT(s.count, 1000);
	CHECK_INT(s.bytes, 499500);
	memset(text, '1', 20000);
	CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, text, 20000, 0) == 20000);
	lseek(fd, 0, SEEK_SET);
	CHECK_INT(cx_counters_fd(fd, see, &s), 0);
	CHECK_INT(s.count, 1000);
	CHECK_INT(cx_counters_fd(-1, see, &s), -EBADF);
	free(text);
}

int main(void)
{
	RUN(buckets);
	RUN(counters);
	RUN(many_counters);
	RUN(texts);
	RUN(numbers);
	RUN(overlaps);
	return test_end();
}
