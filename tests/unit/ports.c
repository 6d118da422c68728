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

int main(void)
{
	RUN(there_and_back);
	RUN(checked);
	return test_end();
}
