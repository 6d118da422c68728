/* Published ports as texts. */
#include "test.h"
#include "network/nft.h"

#include <netinet/in.h>

TEST(there_and_back)
{
	static const char *const good[] = {
		"tcp 127.0.0.1 8080 10.200.0.5 80", "udp 0.0.0.0 53 10.200.0.5 53", "sctp :: 65535 fd00::5 1",
	};
	static const char *const bad[] = {
		"", "tcp", "tcp 127.0.0.1 8080 10.200.0.5", "tcp 127.0.0.1 65536 10.200.0.5 80", "tcp here 1 there 2",
		"tcp 127.0.0.1 8080 fd00::5 80", "tcp 1.2.3 8080 10.200.0.5 80",
	};
	struct cx_port p;
	char text[CX_PORT_TEXT];

	for (size_t i = 0; i < CX_ARRAY_SIZE(good); i++) {
		CHECK_INT(cx_port_parse(good[i], &p), 0);
		cx_port_print(&p, text);
		CHECK_STR(text, good[i]);
	}
	for (size_t i = 0; i < CX_ARRAY_SIZE(bad); i++)
		CHECK_INT(cx_port_parse(bad[i], &p), -EINVAL);
}

/* A port in use is refused; 0 is chosen, and stays so. */
TEST(checked)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	conex_error *err = NULL;
	struct cx_port p = { .protocol = IPPROTO_TCP };

	CHECK(bind(fd, (struct sockaddr *)&a, size) == 0 && listen(fd, 1) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&a, &size) == 0);
	CHECK_INT(cx_address_parse("127.0.0.1", &p.host), 0);
	p.host_port = ntohs(a.sin_port);
	CHECK_INT(cx_port_check(&p, "ports[3]", &err), -EADDRINUSE);
	CHECK(strstr(conex_error_text(err), "ports[3]") != NULL);
	close(fd);
	CHECK_INT(cx_port_check(&p, "ports[3]", &err), 0);
	p.host_port = 0;
	CHECK_INT(cx_port_check(&p, "ports[3]", &err), 0);
	CHECK(p.host_port > 0);
	CHECK_INT(cx_address_parse("192.0.2.99", &p.host), 0);
	CHECK_INT(cx_port_check(&p, "ports[3]", &err), -EADDRNOTAVAIL);
	conex_error_free(err);
}

static void typed(const char *text, int count, const char *address, unsigned host, unsigned port, const char *protocol)
{
	struct conex_port *list = NULL;
	conex_error *err = NULL;
	int r = conex_parse_ports(text, &list, &err);

	CHECK_INT(r, count);
	for (int i = 0; i < r; i++) {
		CHECK((!list[i].address && !address) || !strcmp(list[i].address, address));
		CHECK_INT(list[i].host_port, host ? host + (unsigned)i : 0);
		CHECK_INT(list[i].port, port + (unsigned)i);
		CHECK_STR(list[i].protocol, protocol);
	}
	CHECK(r < 0 || (!list[r].port && !list[r].address && !list[r].host_port && !list[r].protocol));
	CHECK(r >= 0 || strstr(conex_error_text(err), text));
	conex_error_free(err);
	free(list);
}

TEST(as_people_type_them)
{
	static const char *const bad[] = { "", "0", "65536", "80/", "80/icmp", "a", "8080:", ":80", "8080:80:", "1:2:3:4",
		"127.0.0.1:", "127.0.0.1:80:", "[::1]80", "[::1", "[]:80:80", "::1:80:80", "80-", "80-79", "-80", "5000-5010:80",
		"5000-5010:5000-5011", "80 ", " 80", "+80", "080000", "8080:80/tcp/udp", "8080:80-",
		"very.long.name.very.long.name.very.long.name.very.long.name.very:80:80" };

	typed("80", 1, NULL, 0, 80, "tcp");
	typed("8080:80", 1, NULL, 8080, 80, "tcp");
	typed("53:53/udp", 1, NULL, 53, 53, "udp");
	typed("127.0.0.1::80", 1, "127.0.0.1", 0, 80, "tcp");
	typed("0.0.0.0:8080:80/sctp", 1, "0.0.0.0", 8080, 80, "sctp");
	typed("[::]:8080:80", 1, "::", 8080, 80, "tcp");
	typed("[fd00::1]::80", 1, "fd00::1", 0, 80, "tcp");
	typed("5000-5010:6000-6010/udp", 11, NULL, 5000, 6000, "udp");
	typed("10.0.0.1:1-65535:1-65535", 65535, "10.0.0.1", 1, 1, "tcp");
	typed("6000-6002", 3, NULL, 0, 6000, "tcp");
	for (size_t i = 0; i < CX_ARRAY_SIZE(bad); i++)
		typed(bad[i], -EINVAL, NULL, 0, 0, NULL);
}

int main(void)
{
	RUN(as_people_type_them);
	RUN(there_and_back);
	RUN(checked);
	return test_end();
}
