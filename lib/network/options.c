/* What conex_network_create is asked for. */
#include "network/network.h"
#include "base/error.h"
#include "network/cni.h"

#include <stdio.h>
#include <string.h>

/* "cx-NAME", or what is left of a long name and 32 bits of it all. */
static void name_bridge(struct cx_network *n)
{
	uint32_t hash = 2166136261U;

	for (const char *p = n->name; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619U;
	if (strlen(n->name) <= sizeof n->bridge - 4)
		snprintf(n->bridge, sizeof n->bridge, "cx-%s", n->name);
	else
		snprintf(n->bridge, sizeof n->bridge, "cx-%.4s%08x", n->name, hash);
}

static int read_subnets(const char *const *list, struct cx_network *n, conex_error **err)
{
	char where[64];

	for (int i = 0; list && list[i]; i++) {
		struct cx_subnet s;
		int r;

		snprintf(where, sizeof where, "conex_network_options.subnets[%d]", i);
		r = cx_subnet_parse(list[i], where, &s, err);
		if (r < 0)
			return r;
		if (i == 2 || (i == 1 && n->subnet[0].base.family == s.base.family))
			return cx_refuse(err, -EINVAL, where, list[i], "at most one IPv4 and one IPv6 subnet");
		n->subnet[n->subnets++] = s;
	}
	return 0;
}

/* All of it is the list's to say. */
static int read_cni(const struct conex_network_options *o, struct cx_network *n, conex_error **err)
{
	static const char mend[] = "the plugins of a CNI network say that: leave it out";
	int r = cx_cni_check_name(o->parent, "conex_network_options.parent", err);

	if (r < 0)
		return r;
	if (o->flags & CONEX_NETWORK_INTERNAL)
		return cx_refuse(err, -EINVAL, "conex_network_options.flags", "CONEX_NETWORK_INTERNAL", mend);
	if (o->subnets)
		return cx_refuse(err, -EINVAL, "conex_network_options.subnets", o->subnets[0], mend);
	if (o->mtu)
		return cx_refuse(err, -EINVAL, "conex_network_options.mtu", NULL, mend);
	if (o->range)
		return cx_refuse(err, -EINVAL, "conex_network_options.range", o->range, mend);
	if (o->gateways)
		return cx_refuse(err, -EINVAL, "conex_network_options.gateways", o->gateways[0], mend);
	n->driver = CX_NETWORK_CNI;
	strcpy(n->list, o->parent);
	return 0;
}

static int read_driver(const struct conex_network_options *o, struct cx_network *n, conex_error **err)
{
	if (!o->driver || !strcmp(o->driver, "bridge")) {
		if (o->parent)
			return cx_refuse(err, -EINVAL, "conex_network_options.parent", o->parent, "a bridge has none: leave it NULL");
		if (o->gateways)
			return cx_refuse(err, -EINVAL, "conex_network_options.gateways", o->gateways[0],
				"a bridge is its members' gateway: leave it NULL");
		name_bridge(n);
		return 0;
	}
	if (!strcmp(o->driver, "cni"))
		return read_cni(o, n, err);
	if (strcmp(o->driver, "macvlan"))
		return cx_refuse(err, -EOPNOTSUPP, "conex_network_options.driver", o->driver,
			"this version knows \"bridge\", \"macvlan\" and \"cni\"");
	if (!o->parent || !*o->parent || strlen(o->parent) >= sizeof n->parent)
		return cx_refuse(err, -EINVAL, "conex_network_options.parent", o->parent, "name the device that members are on");
	if (!o->subnets || !o->subnets[0])
		return cx_refuse(err, -EINVAL, "conex_network_options.subnets", NULL,
			"name those of the parent's network: only its administrator knows them");
	n->driver = CX_NETWORK_MACVLAN;
	strcpy(n->parent, o->parent);
	return 0;
}

static int is_within(const struct cx_subnet *s, const struct cx_subnet *part)
{
	return part->prefix >= s->prefix && cx_subnet_overlap(s, part);
}

/* Of the first subnet: it gives the numbers, and so the addresses of both families. */
static int read_range(const char *text, struct cx_network *n, conex_error **err)
{
	static const char where[] = "conex_network_options.range";
	int r;

	if (!text)
		return 0;
	r = cx_subnet_parse(text, where, &n->range, err);
	if (r < 0)
		return r;
	if (!n->subnets || !is_within(&n->subnet[0], &n->range))
		return cx_refuse(err, -EINVAL, where, text, "a part of the first of .subnets");
	if (cx_subnet_number(&n->subnet[0], &n->range.base) > cx_subnet_last(&n->subnet[0]))
		return cx_refuse(err, -EINVAL, where, text, "within the first 65,534 addresses of the subnet");
	return 0;
}

static int read_gateways(const char *const *list, struct cx_network *n, conex_error **err)
{
	char where[64];

	for (int i = 0; list && list[i]; i++) {
		struct cx_subnet s;
		int k = 0;

		snprintf(where, sizeof where, "conex_network_options.gateways[%d]", i);
		if (cx_address_parse(list[i], &s.base) < 0)
			return cx_refuse(err, -EINVAL, where, list[i], "write an address, as 10.1.2.254");
		s.prefix = 8 * cx_address_size(s.base.family);
		while (k < n->subnets && !is_within(&n->subnet[k], &s))
			k++;
		if (k == n->subnets || n->gateway[k].family)
			return cx_refuse(err, -EINVAL, where, list[i], "one address of each of .subnets at most");
		n->gateway[k] = s.base;
	}
	return 0;
}

int cx_network_read_options(const char *name, const struct conex_network_options *o, struct cx_network *n,
	conex_error **err)
{
	int r = cx_network_check_name(name, "name", err);

	if (r < 0)
		return r;
	if (o->flags & ~(CONEX_NETWORK_INTERNAL | CONEX_NETWORK_EXISTING))
		return cx_refuse(err, -EINVAL, "conex_network_options.flags", NULL,
			"use CONEX_NETWORK_INTERNAL and CONEX_NETWORK_EXISTING");
	if (o->mtu && (o->mtu < 1280 || o->mtu > 65535))
		return cx_refuse(err, -EINVAL, "conex_network_options.mtu", NULL, "1,280 to 65,535, or 0: the kernel's");
	strcpy(n->name, name);
	n->flags = o->flags & CONEX_NETWORK_INTERNAL;
	n->mtu = o->mtu;
	r = read_driver(o, n, err);
	if (r == 0)
		r = read_subnets(o->subnets, n, err);
	if (r == 0)
		r = read_range(o->range, n, err);
	return r < 0 ? r : read_gateways(o->gateways, n, err);
}

struct cx_address cx_network_gateway(const struct cx_network *n, int subnet)
{
	return n->gateway[subnet].family ? n->gateway[subnet] : cx_subnet_address(&n->subnet[subnet], 1);
}
