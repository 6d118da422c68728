/* Published ports as people type them: [ADDRESS:][HOST[-LAST]:]PORT[-LAST][/PROTOCOL] */
#include <conex/network.h>
#include "base/error.h"

#include <stdio.h>
#include <string.h>

struct range { uint16_t first, last; };

struct text {
	char address[64];
	struct range host, port;
	const char *protocol;
};

static const char *const protocols[] = { "tcp", "udp", "sctp" };

/* "80" or "80-90"; the end of it. NULL: it is none */
static const char *read_range(const char *at, struct range *ret)
{
	unsigned long n[2];
	char *end;

	for (int i = 0; i < 2; i++) {
		if (*at < '0' || *at > '9')
			return NULL;
		n[i] = strtoul(at, &end, 10);
		if (n[i] < 1 || n[i] > 65535 || end - at > 5)
			return NULL;
		at = end;
		if (i == 0 && *at != '-') {
			n[1] = n[0];
			break;
		}
		at += i == 0;
	}
	*ret = (struct range){ (uint16_t)n[0], (uint16_t)n[1] };
	return n[1] >= n[0] ? at : NULL;
}

/* What is before "HOST:PORT": with brackets where it has colons itself. */
static const char *read_address(const char *at, struct text *t)
{
	const char *colon = strchr(at, ':'), *end = colon;
	size_t skip = 1;

	if (*at == '[') {
		end = strchr(++at, ']');
		if (!end || end[1] != ':')
			return NULL;
		skip = 2;
	} else if (!colon || !strchr(colon + 1, ':')) {
		return at;              /* only ports */
	}
	if (end == at || (size_t)(end - at) >= sizeof t->address)
		return NULL;
	memcpy(t->address, at, (size_t)(end - at));
	return end + skip;
}

static int read_protocol(const char *at, struct text *t)
{
	t->protocol = protocols[0];
	if (!*at)
		return 0;
	for (size_t i = 0; *at == '/' && i < CX_ARRAY_SIZE(protocols); i++)
		if (!strcmp(at + 1, protocols[i])) {
			t->protocol = protocols[i];
			return 0;
		}
	return -EINVAL;
}

static int read_text(const char *at, struct text *t)
{
	at = read_address(at, t);
	if (at && *at == ':' && *t->address)
		at++;                   /* "127.0.0.1::80": any free one */
	else if (at && strchr(at, ':')) {
		at = read_range(at, &t->host);
		at = at && *at == ':' ? at + 1 : NULL;
	}
	at = at ? read_range(at, &t->port) : NULL;
	return at ? read_protocol(at, t) : -EINVAL;
}

static void fill(struct conex_port *list, const struct text *t, int count)
{
	char *address = (char *)(list + count + 1);

	strcpy(address, t->address);
	for (int i = 0; i < count; i++)
		list[i] = (struct conex_port){ .address = *address ? address : NULL, .protocol = t->protocol,
			.host_port = t->host.first ? (uint16_t)(t->host.first + i) : 0, .port = (uint16_t)(t->port.first + i) };
}

int conex_parse_ports(const char *text, struct conex_port **ret_ports, conex_error **err)
{
	struct text t = { .protocol = NULL };
	struct conex_port *list;
	int count;

	if (read_text(text, &t) < 0)
		return cx_refuse(err, -EINVAL, "port", text,
			"write [ADDRESS:][HOST:]PORT[/PROTOCOL], as 8080:80, 0.0.0.0:5000-5010:5000-5010/udp or [fd00::1]::80");
	count = t.port.last - t.port.first + 1;
	if (t.host.first && t.host.last - t.host.first + 1 != count)
		return cx_refuse(err, -EINVAL, "port", text, "as many ports of the host's as of the container's");
	list = calloc(1, ((size_t)count + 1) * sizeof *list + sizeof t.address);
	if (!list)
		return cx_fail_memory(err);
	fill(list, &t, count);
	*ret_ports = list;
	return count;
}
