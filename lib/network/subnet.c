/* Subnets as texts and bits. */
#include "network/subnet.h"
#include "base/error.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

int cx_address_parse(const char *text, struct cx_address *ret)
{
	memset(ret, 0, sizeof *ret);
	ret->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	return inet_pton(ret->family, text, ret->byte) == 1 ? 0 : -EINVAL;
}

int cx_address_parse_long(const char *text, struct cx_address *ret, int *ret_prefix)
{
	const char *slash = strchr(text, '/');
	char address[INET6_ADDRSTRLEN], *end;
	long prefix;

	if (!slash || (size_t)(slash - text) >= sizeof address || slash[1] < '0' || slash[1] > '9')
		return -EINVAL;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	prefix = strtol(slash + 1, &end, 10);
	if (*end || cx_address_parse(address, ret) < 0 || prefix > 8 * cx_address_size(ret->family))
		return -EINVAL;
	*ret_prefix = (int)prefix;
	return 0;
}

static int bit(const unsigned char *byte, int n)
{
	return byte[n / 8] >> (7 - n % 8) & 1;
}

static int has_host_bits(const struct cx_subnet *s)
{
	for (int n = s->prefix; n < 8 * cx_address_size(s->base.family); n++)
		if (bit(s->base.byte, n))
			return 1;
	return 0;
}

int cx_subnet_parse(const char *text, const char *where, struct cx_subnet *ret, conex_error **err)
{
	int max;

	if (cx_address_parse_long(text, &ret->base, &ret->prefix) < 0)
		return cx_refuse(err, -EINVAL, where, text, "write an address and a length, as 10.1.2.0/24 or fd00:1::/64");
	max = ret->base.family == AF_INET6 ? 126 : 30;
	if (ret->prefix < 8 || ret->prefix > max)
		return cx_refuse(err, -EINVAL, where, text, "a length of 8 to %d: there is room for members then", max);
	if (has_host_bits(ret))
		return cx_refuse(err, -EINVAL, where, text, "the bits behind the length must be 0: name the subnet, not a host");
	return 0;
}

void cx_address_print(const struct cx_address *a, char to[INET6_ADDRSTRLEN])
{
	to[0] = '\0';
	if (a->family)
		inet_ntop(a->family, a->byte, to, INET6_ADDRSTRLEN);
}

void cx_subnet_print(const struct cx_subnet *s, char to[CX_SUBNET_TEXT])
{
	cx_address_print(&s->base, to);
	sprintf(to + strlen(to), "/%d", s->prefix);
}

struct cx_address cx_subnet_address(const struct cx_subnet *s, uint32_t n)
{
	struct cx_address a = s->base;

	for (int i = cx_address_size(a.family) - 1; n; i--, n >>= 8)
		a.byte[i] |= (unsigned char)n;
	return a;
}

uint32_t cx_subnet_number(const struct cx_subnet *s, const struct cx_address *a)
{
	int size = cx_address_size(s->base.family);
	uint64_t n = 0;

	for (int i = 0; i < size; i++) {
		n = n << 8 | (unsigned char)(a->byte[i] ^ s->base.byte[i]);
		if (n > UINT32_MAX)
			return UINT32_MAX;
	}
	return (uint32_t)n;
}

uint32_t cx_subnet_last(const struct cx_subnet *s)
{
	int bits = 8 * cx_address_size(s->base.family) - s->prefix;

	return (bits > 16 ? 1U << 16 : 1U << bits) - 2;
}

int cx_subnet_overlap(const struct cx_subnet *a, const struct cx_subnet *b)
{
	int n = a->prefix < b->prefix ? a->prefix : b->prefix;

	if (a->base.family != b->base.family)
		return 0;
	for (int i = 0; i < n; i++)
		if (bit(a->base.byte, i) != bit(b->base.byte, i))
			return 0;
	return 1;
}
