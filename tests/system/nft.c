/* What lib/network/nft.c leaves in the kernel, without containers: in a network namespace of this process's own, with
 * ports that lead nowhere. */
#include "test.h"
#include "network/nft.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>

static struct cx_nft *nft;
static conex_error *err;

static int good(int r, int line)
{
	if (r >= 0)
		return 1;
	printf("# line %d: %s\n", line, conex_error_text(err));
	return 0;
}
#define GOOD(call) CHECK(good((call), __LINE__))
#define SHELL(command) CHECK_INT(system(command), 0)

static struct cx_network network(const char *name, uint64_t flags, const char *subnet4, const char *subnet6)
{
	struct cx_network net = { .flags = flags, .subnets = 2, .dir = -1 };

	snprintf(net.name, sizeof net.name, "%s", name);
	snprintf(net.bridge, sizeof net.bridge, "cx-%.12s", name);
	GOOD(cx_subnet_parse(subnet4, "", &net.subnet[0], &err));
	GOOD(cx_subnet_parse(subnet6, "", &net.subnet[1], &err));
	return net;
}

static struct cx_network a, b;          /* b is internal */

static struct cx_port port(const char *host, int host_port, const char *to)
{
	struct cx_port p = { .host_port = (uint16_t)host_port, .port = 80, .protocol = IPPROTO_TCP };

	CHECK_INT(cx_address_parse(host, &p.host), 0);
	CHECK_INT(cx_address_parse(to, &p.to), 0);
	return p;
}

static int elements(void)
{
	FILE *f = popen("nft list table inet conex | grep -o 'comment' | wc -l", "r");
	int n = -1;

	if (!f || fscanf(f, "%d", &n) != 1)
		n = -1;
	if (f)
		pclose(f);
	return n;
}

/* All tables, as a checksum. */
static void ruleset(char to[64])
{
	FILE *f = popen("nft list ruleset | cksum", "r");

	to[0] = '\0';
	CHECK(f && fgets(to, 64, f));
	if (f)
		pclose(f);
}

/* ---- networks ---- */

TEST(networks_come_and_go)
{
	char before[64], after[64];

	SHELL("nft add table ip mine && nft add chain ip mine c && nft add rule ip mine c tcp dport 22 accept");
	ruleset(before);
	GOOD(cx_nft_network_remove(nft, &a, &err));             /* there is nothing yet */
	CHECK_INT(cx_nft_network_add(nft, &a, &err), 1);
	CHECK_INT(cx_nft_network_add(nft, &a, &err), 0);
	CHECK_INT(cx_nft_network_add(nft, &b, &err), 0);
	SHELL("nft list set inet conex bridges | tr -d '\\n' | grep cx-a | grep -q cx-b");
	SHELL("nft list set inet conex internal | grep -q '{ \"cx-b\" }'");
	SHELL("nft list set inet conex subnets4 | tr -d '\\n' | grep 10.97.0.0/24 | grep -q 10.98.0.0/24");
	SHELL("nft list set inet conex subnets6 | tr -d '\\n' | grep fd97::/64 | grep -q fd98::/64");
	GOOD(cx_nft_network_remove(nft, &a, &err));
	GOOD(cx_nft_network_remove(nft, &a, &err));
	SHELL("nft list set inet conex bridges | grep -q '{ \"cx-b\" }'");
	SHELL("nft list set inet conex subnets4 | grep -q '{ 10.98.0.0/24 }'");
	GOOD(cx_nft_network_remove(nft, &b, &err));
	ruleset(after);
	CHECK_STR(after, before);
	SHELL("nft delete table ip mine");
}

/* ---- ports ---- */

TEST(all_or_none)
{
	struct cx_port list[3] = { port("192.0.2.1", 8080, "10.97.0.5"), port("0.0.0.0", 8081, "10.97.0.5"),
		port("::", 8081, "fd97::5") };
	struct cx_port other[2] = { port("192.0.2.1", 9090, "10.97.0.6"), port("0.0.0.0", 8081, "10.97.0.6") };

	GOOD(cx_nft_ports_add(nft, list, 3, "one", &err));
	CHECK_INT(elements(), 3);
	SHELL("nft -p list map inet conex ports4 | grep -q '6 . 192.0.2.1 . 8080 comment \"one\" : 10.97.0.5 . 80'");
	SHELL("nft -p list map inet conex any6 | grep -q '6 . 8081 comment \"one\" : fd97::5 . 80'");
	CHECK_INT(cx_nft_ports_add(nft, list, 3, "one", &err), -EADDRINUSE);    /* also where it leads to the same */
	CHECK(strstr(conex_error_text(err), "tcp 192.0.2.1 8080") != NULL);
	CHECK_INT(cx_nft_ports_add(nft, other, 2, "two", &err), -EADDRINUSE);
	CHECK(strstr(conex_error_text(err), "tcp 0.0.0.0 8081") != NULL);
	CHECK_INT(elements(), 3);
	GOOD(cx_nft_ports_remove(nft, list, 3));
	CHECK_INT(elements(), 0);
	GOOD(cx_nft_ports_remove(nft, list, 3));
}

/* One key, two containers: the second has it since the first one's host was killed. */
TEST(anothers_stays)
{
	struct cx_port ours[3] = { port("192.0.2.1", 8080, "10.97.0.5"), port("192.0.2.1", 8081, "10.97.0.5"),
		port("::", 8082, "fd97::5") };
	struct cx_port theirs[2] = { port("192.0.2.1", 8081, "10.97.0.6"), port("::", 8082, "fd97::6") };

	GOOD(cx_nft_ports_add(nft, &ours[0], 1, "ours", &err));
	GOOD(cx_nft_ports_add(nft, theirs, 2, "theirs", &err));
	GOOD(cx_nft_ports_remove(nft, ours, 3));
	CHECK_INT(elements(), 2);
	SHELL("nft -p list map inet conex ports4 | grep -q '6 . 192.0.2.1 . 8081 comment \"theirs\" : 10.97.0.6 . 80'");
	GOOD(cx_nft_ports_remove(nft, &ours[1], 1));
	CHECK_INT(elements(), 2);
	theirs[0].port = 81;                                    /* of that container's, but not this port of its */
	GOOD(cx_nft_ports_remove(nft, theirs, 2));
	CHECK_INT(elements(), 1);
	theirs[0].port = 80;
	GOOD(cx_nft_ports_remove(nft, theirs, 2));
	CHECK_INT(elements(), 0);
}

TEST(no_table)
{
	struct cx_port p = port("192.0.2.1", 8080, "10.97.0.5");

	SHELL("nft flush ruleset");
	CHECK_INT(cx_nft_ports_add(nft, &p, 1, "one", &err), -ENOENT);
	GOOD(cx_nft_ports_remove(nft, &p, 1));
	CHECK_INT(cx_nft_network_add(nft, &a, &err), 1);
}

/* ---- flows ---- */

static void send_to(int fd, const char *address, int to)
{
	struct sockaddr_in s = { .sin_family = AF_INET, .sin_port = htons((uint16_t)to) };

	inet_aton(address, &s.sin_addr);
	CHECK_INT(sendto(fd, "x", 1, 0, (struct sockaddr *)&s, sizeof s), 1);
}

/* Those that come to a published port, at an address that is meant; nobody else's. */
TEST(flows)
{
	struct cx_port any = port("0.0.0.0", 5353, "10.97.0.5"), one = port("192.0.2.1", 5353, "10.97.0.5");
	struct cx_port six = port("::", 5353, "fd97::5");
	struct cx_port both[3] = { one, six, port("0.0.0.0", 5354, "10.97.0.5") };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	both[0].protocol = both[1].protocol = both[2].protocol = IPPROTO_UDP;
	any.protocol = one.protocol = six.protocol = IPPROTO_UDP;
	SHELL("ip link set lo up && ip link add d0 type bridge && ip link set d0 up"
		" && ip addr add 192.0.2.1/24 dev d0 && ip addr add 10.97.0.1/24 dev d0");
	send_to(fd, "192.0.2.1", 5353);
	send_to(fd, "127.0.0.1", 5353);
	send_to(fd, "192.0.2.77", 5353);        /* another machine's */
	send_to(fd, "192.0.2.1", 5354);
	CHECK_INT(cx_flows_forget(&six, 1, 0), 0);
	CHECK_INT(cx_flows_forget(&one, 1, 1), 0);      /* none goes to that container */
	CHECK_INT(cx_flows_forget(&one, 1, 0), 1);
	CHECK_INT(cx_flows_forget(&any, 1, 0), 1);
	CHECK_INT(cx_flows_forget(&any, 1, 0), 0);
	send_to(fd, "192.0.2.1", 5353);
	send_to(fd, "192.0.2.1", 5354);
	CHECK_INT(cx_flows_forget(both, 3, 0), 2);      /* several ports at once */
	GOOD(cx_nft_ports_add(nft, &any, 1, "flows", &err));
	send_to(fd, "192.0.2.1", 5353);
	CHECK_INT(cx_flows_forget(&any, 1, 0), 0);      /* it goes there already */
	GOOD(cx_nft_ports_remove(nft, &any, 1));
	CHECK_INT(cx_flows_forget(&any, 1, 1), 1);
	CHECK_INT(cx_flows_forget(&any, 1, 1), 0);
	close(fd);
	SHELL("ip link del d0");
}

/* ---- several processes ---- */

enum { PROCESSES = 4, EACH = 3 };

/* Without the lock, which is for the library's sake: a transaction that another one overtook is tried again. */
static int come_and_go(int who, int rounds)
{
	char to[INET_ADDRSTRLEN];
	struct cx_port list[EACH];
	struct cx_nft *mine = NULL;
	int r = cx_nft_open(&mine, &err);

	snprintf(to, sizeof to, "10.97.0.%d", 10 + who);
	for (int i = 0; i < rounds && r == 0; i++) {
		for (int k = 0; k < EACH; k++)
			list[k] = port("192.0.2.1", 1000 * (who + 1) + i % 100 * EACH + k, to);
		r = cx_nft_ports_add(mine, list, EACH, "crowd", &err);
		if (r == 0)
			r = cx_nft_ports_remove(mine, list, EACH);
	}
	good(r, __LINE__);
	fflush(stdout);
	cx_nft_free(mine);
	return r < 0;
}

TEST(processes)
{
	pid_t pid[PROCESSES];
	int status;

	fflush(stdout);
	for (int i = 0; i < PROCESSES; i++)
		if ((pid[i] = fork()) == 0)
			_exit(come_and_go(i, test_count("CONEX_NETWORK_COUNT", 50)));
	for (int i = 0; i < PROCESSES; i++) {
		CHECK_INT(waitpid(pid[i], &status, 0), pid[i]);
		CHECK_INT(status, 0);
	}
	CHECK_INT(elements(), 0);
}

static void undo_all(void)
{
	FILE *f = popen("nft list map inet conex ports4 | grep -o '[0-9]* comment'", "r");
	int host_port;

	while (f && fscanf(f, "%d comment ", &host_port) == 1) {
		struct cx_port p = port("192.0.2.1", host_port, "10.97.0.10");

		GOOD(cx_nft_ports_remove(nft, &p, 1));
	}
	if (f)
		pclose(f);
}

/* What a killed one leaves is all of a container's ports or none of them, and whoever undoes it needs only what
 * the journal says, of whichever round. */
TEST(killed)
{
	int left, status, rounds = test_count("CONEX_NETWORK_COUNT", 20);
	pid_t pid;

	for (int round = 0; round < rounds; round++) {
		fflush(stdout);
		pid = fork();
		if (pid == 0)
			_exit(come_and_go(0, 100000));
		usleep((useconds_t)(rand() % 20000));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		CHECK(WIFSIGNALED(status));
		left = elements();
		CHECK(left == 0 || left == EACH);
		undo_all();
		CHECK_INT(elements(), 0);
	}
}

TEST(nothing_is_left)
{
	GOOD(cx_nft_network_remove(nft, &a, &err));
	SHELL("test -z \"$(nft list ruleset)\"");
}

int main(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0
	    || system("nft add table inet cxtry 2>/dev/null && nft delete table inet cxtry") != 0) {
		printf("1..0 # SKIP needs root and nf_tables\n");
		return 0;
	}
	if (cx_nft_open(&nft, &err) < 0) {
		printf("1..0 # SKIP %s\n", conex_error_text(err));
		return 0;
	}
	a = network("a", 0, "10.97.0.0/24", "fd97::/64");
	b = network("b", CONEX_NETWORK_INTERNAL, "10.98.0.0/24", "fd98::/64");
	RUN(networks_come_and_go);
	CHECK_INT(cx_nft_network_add(nft, &a, &err), 1);
	RUN(all_or_none);
	RUN(anothers_stays);
	RUN(no_table);
	RUN(flows);
	RUN(processes);
	RUN(killed);
	RUN(nothing_is_left);
	cx_nft_free(nft);
	conex_error_free(err);
	return test_end();
}
