/* The command lines of pasta and slirp4netns, and what is said to them. Options are those that passt of March 2023
 * (Debian 12) and its successors have in common, and slirp4netns from 1.0 on. */
#include "network/usermode.h"
#include "network/nft.h"
#include "base/path.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { ROUTES_MAX = 1 << 20 };

/* One address plan for both, slirp4netns' own: .2 is the gateway, .3 whom to ask for names, .100 the container. */
#define GATEWAY "10.0.2.2"
#define NAMESERVER "10.0.2.3"
#define ADDRESS "10.0.2.100"
#define ADDRESS_6 "fd00::64"
#define GATEWAY_6 "fe80::2"

static const struct { const char *program, *package; } modes[] = {
	[CX_USERMODE_PASTA] = { "pasta", "passt" },
	[CX_USERMODE_SLIRP4NETNS] = { "slirp4netns", "slirp4netns" },
};

enum cx_usermode cx_usermode_of(const char *word)
{
	for (unsigned i = CX_USERMODE_PASTA; word && i < CX_ARRAY_SIZE(modes); i++)
		if (!strcmp(word, modes[i].program))
			return (enum cx_usermode)i;
	return CX_USERMODE_NONE;
}

const char *cx_usermode_program(enum cx_usermode mode)
{
	return modes[mode].program;
}

const char *cx_usermode_package(enum cx_usermode mode)
{
	return modes[mode].package;
}

const char *const *cx_usermode_nameservers(enum cx_usermode mode)
{
	static const char *const servers[] = { NAMESERVER, NULL };

	return mode == CX_USERMODE_NONE ? servers + 1 : servers;
}

/* ---- addresses ---- */

/* "eth0 00000000 0102000A 0003 0 0 0 00000000 ...": a default route's destination and mask are 0. */
static int has_default_v4(const char *text)
{
	unsigned destination, mask;
	char name[17];

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (sscanf(line, "%16s %x %*x %*x %*d %*d %*d %x", name, &destination, &mask) == 3
		    && !destination && !mask && strcmp(name, "lo"))
			return 1;
	return 0;
}

/* "DESTINATION LENGTH SOURCE LENGTH HOP METRIC REFERENCES USES FLAGS lo"; what nobody reaches has a route by lo. */
static int has_default_v6(const char *text)
{
	char destination[33], name[17];
	unsigned length;

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (sscanf(line, "%32s %x %*s %*x %*s %*x %*x %*x %*x %16s", destination, &length, name) == 3
		    && !length && strspn(destination, "0") == 32 && strcmp(name, "lo"))
			return 1;
	return 0;
}

static int look(const char *path, int (*has_default)(const char *text))
{
	cx_autofree char *text = NULL;

	return cx_file_load(AT_FDCWD, path, ROUTES_MAX, &text) > 0 && has_default(text);
}

unsigned cx_usermode_families(void)
{
	return (look("/proc/thread-self/net/route", has_default_v4) ? CX_USERMODE_V4 : 0)
		| (look("/proc/thread-self/net/ipv6_route", has_default_v6) ? CX_USERMODE_V6 : 0);
}

const char *cx_usermode_address(enum cx_usermode mode, unsigned families, int family)
{
	if (mode == CX_USERMODE_SLIRP4NETNS)
		return family == AF_INET ? ADDRESS : NULL;
	if (family == AF_INET)
		return families & CX_USERMODE_V4 ? ADDRESS : NULL;
	return families & CX_USERMODE_V6 ? ADDRESS_6 : NULL;
}

/* ---- command lines ---- */

static void add(struct cx_str *s, const char *word)
{
	cx_str_add(s, word, strlen(word) + 1);
}

static void add_words(struct cx_str *s, const char *const *words)
{
	for (; *words; words++)
		add(s, *words);
}

/* "127.0.0.1/8080:80". What isn't named would be forwarded as a whole, so "none" is said of a protocol without. */
static void add_pasta_ports(struct cx_str *s, const struct cx_usermode_call *call, uint8_t protocol, const char *option)
{
	char text[INET6_ADDRSTRLEN + 16], host[INET6_ADDRSTRLEN];
	int n = 0;

	for (int i = 0; i < call->count; i++) {
		const struct cx_port *p = &call->ports[i];

		if (p->protocol != protocol)
			continue;
		cx_address_print(&p->host, host);
		snprintf(text, sizeof text, "%s/%u:%u", host, p->host_port, p->port);
		add(s, option);
		add(s, text);
		n++;
	}
	if (!n) {
		add(s, option);
		add(s, "none");
	}
}

/* The namespace is one that it is in the right user namespace for already. What of the container would go to the
 * host's loopback (the gateway's address, ports of loopback inside) goes nowhere. */
static void pasta(struct cx_str *s, const struct cx_usermode_call *call)
{
	static const char *const words[] = { "pasta", "--foreground", "--quiet", "--config-net", "--ns-ifname", "eth0",
		"--netns", "/proc/self/fd/0", "--no-netns-quit", "--pid", "/proc/self/fd/1", "--no-map-gw",
		"--tcp-ns", "none", "--udp-ns", "none", "--no-dhcp", "--no-dhcpv6", "--no-ra", NULL };
	static const char *const v4[] = { "--address", ADDRESS, "--netmask", "24", "--gateway", GATEWAY,
		"--dns-forward", NAMESERVER, NULL };
	static const char *const v6[] = { "--address", ADDRESS_6, "--gateway", GATEWAY_6, NULL };

	add_words(s, words);
	if (call->is_root)      /* else it would become nobody, who may not enter the namespace */
		add_words(s, (const char *const[]){ "--runas", "0", NULL });
	if (call->families != CX_USERMODE_V6)
		add_words(s, v4);
	if (call->families & CX_USERMODE_V6)
		add_words(s, v6);
	if (call->families == CX_USERMODE_V4)
		add(s, "--ipv4-only");
	if (call->families == CX_USERMODE_V6)
		add(s, "--ipv6-only");
	add_pasta_ports(s, call, IPPROTO_TCP, "--tcp-ports");
	add_pasta_ports(s, call, IPPROTO_UDP, "--udp-ports");
}

static void slirp4netns(struct cx_str *s, const struct cx_usermode_call *call)
{
	static const char *const words[] = { "slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback",
		"--enable-sandbox", "--enable-seccomp", "--ready-fd=3", "--netns-type=path", NULL };
	char socket[128];

	add_words(s, words);
	if (call->count) {      /* the directory's own path may be too long for a socket's address */
		snprintf(socket, sizeof socket, "--api-socket=/proc/self/fd/%d/%s", CX_USERMODE_SLIRP_DIR, call->socket);
		add(s, socket);
	}
	add_words(s, (const char *const[]){ "/proc/self/fd/0", "eth0", NULL });
}

const char **cx_usermode_args(const struct cx_usermode_call *call)
{
	cx_autostr text = { 0 };
	size_t count = 0, n = 0;
	const char **args;
	char *copy;

	if (call->mode == CX_USERMODE_PASTA)
		pasta(&text, call);
	else
		slirp4netns(&text, call);
	for (size_t i = 0; i < text.size; i++)
		count += !text.data[i];
	args = text.failed ? NULL : malloc((count + 1) * sizeof *args + text.size);
	if (!args)
		return NULL;
	copy = (char *)(args + count + 1);
	memcpy(copy, text.data, text.size);
	for (; n < count; copy += strlen(copy) + 1)
		args[n++] = copy;
	args[n] = NULL;
	return args;
}

/* ---- slirp4netns' socket ---- */

int cx_usermode_request(const struct cx_port *p, struct cx_str *to)
{
	char host[INET6_ADDRSTRLEN];

	cx_address_print(&p->host, host);
	return cx_str_addf(to, "{\"execute\": \"add_hostfwd\", \"arguments\": {\"proto\": \"%s\", \"host_addr\": \"%s\", "
		"\"host_port\": %u, \"guest_addr\": \"%s\", \"guest_port\": %u}}", cx_port_protocol(p->protocol), host,
		p->host_port, ADDRESS, p->port);
}

/* {"return": {"id": 1}}, or {"error": {"desc": "..."}}, which doesn't say why. */
int cx_usermode_answer(const char *text)
{
	return strstr(text, "\"error\"") ? -EADDRINUSE : strstr(text, "\"return\"") ? 0 : -EPROTO;
}

void cx_usermode_words(const char *text, char *to, size_t size)
{
	*to = '\0';
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
		int n = (int)strcspn(text, "\n");

		if (n > 0 && strncmp(text, "Failed to send ", 15))
			snprintf(to, size, "%.*s", n, text);
	}
}
