/* Networks without privileges: command lines, and what is said to slirp4netns. */
#include "test.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "network/nft.h"
#include "network/usermode.h"

#include <netinet/in.h>
#include <string.h>

static struct cx_port port(const char *text)
{
	struct cx_port p = { .port = 0 };

	CHECK_INT(cx_port_parse(text, &p), 0);
	return p;
}

/* With blanks between the words. */
static const char *line(const struct cx_usermode_call *call)
{
	static char text[2048];
	cx_autofree const char **args = cx_usermode_args(call);

	*text = '\0';
	for (int i = 0; args && args[i]; i++) {
		strcat(text, i ? " " : "");
		strcat(text, args[i]);
	}
	return text;
}

#define PASTA "pasta --foreground --quiet --config-net --ns-ifname eth0 --netns /proc/self/fd/0 --no-netns-quit" \
	" --pid /proc/self/fd/1 --no-map-gw --tcp-ns none --udp-ns none --no-dhcp --no-dhcpv6 --no-ra "
#define V4 "--address 10.0.2.100 --netmask 24 --gateway 10.0.2.2 --dns-forward 10.0.2.3 "
#define V6 "--address fd00::64 --gateway fe80::2 "

TEST(pasta)
{
	struct cx_port ports[] = { port("tcp 127.0.0.1 8080 10.0.2.100 80"), port("udp 0.0.0.0 5353 10.0.2.100 53"),
		port("tcp ::1 8081 fd00::64 80") };
	struct cx_usermode_call call = { .mode = CX_USERMODE_PASTA };

	CHECK_STR(line(&call), PASTA V4 "--tcp-ports none --udp-ports none");
	call.families = CX_USERMODE_V4;
	CHECK_STR(line(&call), PASTA V4 "--ipv4-only --tcp-ports none --udp-ports none");
	call.families = CX_USERMODE_V6;
	call.is_root = 1;
	CHECK_STR(line(&call), PASTA "--runas 0 " V6 "--ipv6-only --tcp-ports none --udp-ports none");
	call.families = CX_USERMODE_V4 | CX_USERMODE_V6;
	call.is_root = 0;
	call.ports = ports;
	call.count = 1;
	CHECK_STR(line(&call), PASTA V4 V6 "--tcp-ports 127.0.0.1/8080:80 --udp-ports none");
	call.count = 3;
	CHECK_STR(line(&call), PASTA V4 V6 "--tcp-ports 127.0.0.1/8080:80 --tcp-ports ::1/8081:80"
		" --udp-ports 0.0.0.0/5353:53");
}

#define SLIRP "slirp4netns --configure --mtu=65520 --disable-host-loopback --enable-sandbox --enable-seccomp" \
	" --ready-fd=3 --netns-type=path "

TEST(slirp4netns)
{
	struct cx_port p = port("udp 127.0.0.1 5353 10.0.2.100 53");
	struct cx_usermode_call call = { .mode = CX_USERMODE_SLIRP4NETNS, .socket = "box" };
	cx_autostr text = { 0 };

	CHECK_STR(line(&call), SLIRP "/proc/self/fd/0 eth0");
	call.ports = &p;
	call.count = 1;
	CHECK_STR(line(&call), SLIRP "--api-socket=/proc/self/fd/4/box /proc/self/fd/0 eth0");
	CHECK_INT(cx_usermode_request(&p, &text), 0);
	CHECK_STR(text.data, "{\"execute\": \"add_hostfwd\", \"arguments\": {\"proto\": \"udp\", \"host_addr\": \"127.0.0.1\", "
		"\"host_port\": 5353, \"guest_addr\": \"10.0.2.100\", \"guest_port\": 53}}");
	CHECK_INT(cx_usermode_answer("{\"return\":{\"id\":1}}"), 0);
	CHECK_INT(cx_usermode_answer("{\"error\":{\"desc\":\"bad request: add_hostfwd: slirp_add_hostfwd failed\"}}"), -EADDRINUSE);
	CHECK_INT(cx_usermode_answer("{"), -EPROTO);
}

TEST(words)
{
	char text[40];

	CHECK_INT(cx_usermode_of("pasta"), CX_USERMODE_PASTA);
	CHECK_INT(cx_usermode_of("slirp4netns"), CX_USERMODE_SLIRP4NETNS);
	CHECK_INT(cx_usermode_of("pasta,site"), CX_USERMODE_NONE);
	CHECK_INT(cx_usermode_of(NULL), CX_USERMODE_NONE);
	CHECK_STR(cx_usermode_package(CX_USERMODE_PASTA), "passt");
	CHECK_STR(cx_usermode_nameservers(CX_USERMODE_PASTA)[0], "10.0.2.3");
	CHECK(!cx_usermode_nameservers(CX_USERMODE_PASTA)[1] && !cx_usermode_nameservers(CX_USERMODE_NONE)[0]);
	cx_usermode_words("a\nlast of all\nFailed to send 46 bytes to syslog\n\n", text, sizeof text);
	CHECK_STR(text, "last of all");
	cx_usermode_words("Failed to send 46 bytes to syslog", text, sizeof text);
	CHECK_STR(text, "");
	cx_usermode_words("0123456789012345678901234567890123456789", text, sizeof text);
	CHECK_STR(text, "012345678901234567890123456789012345678");
}

TEST(addresses)
{
	CHECK_STR(cx_usermode_address(CX_USERMODE_PASTA, CX_USERMODE_V4 | CX_USERMODE_V6, AF_INET), "10.0.2.100");
	CHECK_STR(cx_usermode_address(CX_USERMODE_PASTA, CX_USERMODE_V4 | CX_USERMODE_V6, AF_INET6), "fd00::64");
	CHECK(cx_usermode_address(CX_USERMODE_PASTA, CX_USERMODE_V4, AF_INET6) == NULL);
	CHECK(cx_usermode_address(CX_USERMODE_PASTA, CX_USERMODE_V6, AF_INET) == NULL);
	CHECK_STR(cx_usermode_address(CX_USERMODE_SLIRP4NETNS, 0, AF_INET), "10.0.2.100");
	CHECK(cx_usermode_address(CX_USERMODE_SLIRP4NETNS, CX_USERMODE_V6, AF_INET6) == NULL);
}

/* Where PATH leads: a relative directory is nobody's, a file that can't be executed no program. */
TEST(programs)
{
	cx_autofree char *found = NULL;

	CHECK_INT(setenv("PATH", "bin:/nowhere:/bin:/usr/bin", 1), 0);
	found = cx_find_program("sh");
	CHECK(found && (!strcmp(found, "/bin/sh") || !strcmp(found, "/usr/bin/sh")));
	CHECK_INT(setenv("PATH", "bin:/etc", 1), 0);
	CHECK(cx_find_program("sh") == NULL && cx_find_program("passwd") == NULL);
}

int main(void)
{
	RUN(pasta);
	RUN(slirp4netns);
	RUN(words);
	RUN(addresses);
	RUN(programs);
	return test_end();
}
