/* Subnets as texts and bits. */
#include "test.h"
#include "base/cleanup.h"
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

int main(void)
{
	RUN(texts);
	RUN(numbers);
	RUN(overlaps);
	return test_end();
}
