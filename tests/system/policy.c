/* Which members of a network may talk to which: real traffic between containers, and what the kernel has of it before
 * and after. */
#include "policy-box.h"

/* ---- who is heard ---- */

TEST(default_deny)
{
	char before[16384];

	begin();
	snprintf(before, sizeof before, "%s", rules());
	HEARS(a, b, "tcp", 80);
	GOOD(POLICY({"default": "deny"}));
	CHECK_INT(ports_named(), 3);
	SILENCE(a, b, "tcp", 80);
	SILENCE(b, a, "udp", ECHO);
	CHECK(!pings(&a, b.v4));
	CHECK(!pings(&a, b.v6));
	CHECK(pings(&a, "10.77.0.1"));          /* the host is none of its business */
	CHECK(pings(&a, "fd77::1"));
	CHECK_INT(command("busybox ping -c 1 -W 5 %s >/dev/null", a.v4), 0);
	CHECK_INT(command("busybox ping -c 1 -W 5 %s >/dev/null", a.v6), 0);
	CHECK_INT(inside(&a, say("ip neigh show %s", b.v4)), 0);        /* ARP passed */
	CHECK(strstr(box.out, "lladdr 02:63:0a:4d:00:") != NULL);
	GOOD(policy("site", NULL));
	CHECK(!has_table());
	CHECK_STR(rules(), before);
	HEARS(a, b, "tcp", 80);
	HEARS(b, a, "udp", ECHO);
	CHECK(pings(&a, b.v4));
	CHECK(pings(&a, b.v6));
	GOOD(policy("site", NULL));             /* there is none */
	end();
}

static void by_id_and_label(void)
{
	GOOD(POLICY({"default": "deny", "rules": [{"from": {"id": "web-*"}, "to": {"label": "role=db"},
		"ports": ["tcp/80", "udp/50-54"]}]}));
	HEARS(a, b, "tcp", 80);
	HEARS(a, b, "udp", ECHO);
	SILENCE(a, b, "tcp", 81);
	SILENCE(a, b, "udp", COUNT);
	SILENCE(b, a, "tcp", 80);
	SILENCE(b, a, "udp", ECHO);
	SILENCE(c, b, "tcp", 80);
	SILENCE(a, c, "tcp", 80);
	CHECK(!pings(&a, b.v4));
	/* in pieces both ways: what is too large for one */
	CHECK_STR(ask_bytes(&a, &b, "udp", ECHO, 4000, LONG), "heard heard");
	CHECK_STR(ask_bytes(&b, &a, "udp", ECHO, 4000, SHORT), "silent silent");
}

static void by_key_and_all(void)
{
	GOOD(POLICY({"default": "deny", "rules": [{"from": {"label": "role"}, "to": {"id": "other", "label": "role"}},
		{"from": {"label": "role"}, "to": {"id": "other"}, "ports": ["icmp", "tcp"]}, {"from": {"id": "db"}, "to": "*"}]}));
	HEARS(a, c, "tcp", 81);
	CHECK(pings(&a, c.v4));
	CHECK(pings(&a, c.v6));
	CHECK(!pings(&c, a.v4));
	SILENCE(a, c, "udp", ECHO);
	HEARS(b, c, "udp", ECHO);
	CHECK_STR(ask(&b, &a, "udp", CLOSED, LONG), "refused refused");         /* an error is an answer, too */
	CHECK(pings(&b, a.v4));
	CHECK(pings(&b, a.v6));
	SILENCE(c, b, "tcp", 80);
}

static void default_allow(void)
{
	GOOD(POLICY({"default": "allow", "rules": [{"from": {"id": "other"}, "to": {"id": "db"}, "ports": ["udp/53"]},
		{"from": {"id": "other"}, "to": {"id": "db"}, "action": "deny"}]}));
	HEARS(a, b, "tcp", 80);
	HEARS(b, a, "udp", ECHO);
	HEARS(b, c, "tcp", 80);         /* the answers go the way that is denied */
	HEARS(b, c, "udp", ECHO);
	CHECK(pings(&b, c.v4));
	CHECK(pings(&b, c.v6));
	SILENCE(c, b, "tcp", 80);
	HEARS(c, b, "udp", ECHO);       /* the first rule that fits */
	SILENCE(c, b, "udp", COUNT);
	CHECK(!pings(&c, b.v4));
	CHECK(!pings(&c, b.v6));
}

/* With members that live, one after the other. */
static void traffic(void)
{
	begin();
	by_id_and_label();
	by_key_and_all();
	default_allow();
	end();
}

TEST(by_bridges_alone)
{
	call_inet("0");
	traffic();
}

TEST(with_br_netfilter)
{
	if (access("/proc/sys/net/bridge", F_OK) < 0)
		SKIP("no br_netfilter here");
	call_inet("1");
	traffic();
	call_inet("0");
}

/* ---- who comes and goes ---- */

/* Five addresses, all taken: the one that is free again is somebody else's next. */
TEST(address_again)
{
	struct member d, e, f;
	char was[INET6_ADDRSTRLEN];

	GOOD(network("site", 0, CONEX_STRINGS("10.77.0.0/29", "fd77::/64")));
	GOOD(POLICY({"default": "deny", "rules": [{"from": {"label": "role=db"}}]}));
	a = member("web-1", "role=web");
	b = member("db", "role=db");
	c = member("other", NULL);
	d = member("x", NULL);
	e = member("y", NULL);
	CHECK_INT(ports_named(), 5);
	HEARS(b, a, "tcp", 80);
	SILENCE(c, a, "tcp", 80);
	strcpy(was, b.v4);
	box_end(b.c);
	CHECK_INT(ports_named(), 4);
	f = member("db2", "role=dbs");
	CHECK_STR(f.v4, was);
	SILENCE(f, a, "tcp", 80);
	box_end(f.c);
	b = member("db3", "role=db");
	CHECK_STR(b.v4, was);
	HEARS(b, a, "tcp", 80);
	box_end(d.c);
	box_end(e.c);
	end();
}

TEST(several_networks)
{
	struct member d;

	GOOD(network("back", 0, CONEX_STRINGS("10.78.0.0/24", "fd78::/64")));
	begin();
	d = member_of("back", "far", NULL);
	a = (box_end(a.c), member_of("back,site", "both", NULL));
	GOOD(POLICY({"default": "deny"}));
	HEARS(a, d, "tcp", 80);
	GOOD(policy("back", "{\"default\": \"deny\", \"rules\": [{\"from\": {\"id\": \"far\"}}]}"));
	CHECK_INT(ports_named(), 5);
	SILENCE(a, d, "tcp", 80);
	HEARS(d, a, "tcp", 80);
	SILENCE(b, c, "tcp", 80);
	GOOD(policy("back", NULL));
	CHECK_INT(ports_named(), 3);
	HEARS(a, d, "tcp", 80);
	SILENCE(b, c, "tcp", 80);
	box_end(d.c);
	box_end(a.c);
	a.c = NULL;
	GOOD(gone("back"));
	end();
}

/* Another process knows the labels; and is told of what can't be. */
TEST(another_process)
{
	int status = -1;
	pid_t pid;

	begin();
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		conex *cx = NULL;
		int r = conex_open(NULL, &cx, NULL);

		if (r == 0)
			r = conex_network_policy(cx, "site", "{\"default\":\"deny\",\"rules\":[{\"from\":{\"label\":\"role=web\"}}]}",
				NULL);
		conex_close(cx);
		_exit(r == 0 ? 0 : 1);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	HEARS(a, b, "tcp", 80);
	SILENCE(b, c, "tcp", 80);
	end();
}

static char *long_label(void)
{
	char *text = malloc(5001);

	memset(text, 'x', 5000);
	memcpy(text, "key=", 4);
	text[5000] = '\0';
	return text;
}

TEST(too_many_labels)
{
	char *label = long_label();

	begin();
	box_end(c.c);
	c = member("other", label);
	CHECK_INT(POLICY({"default": "deny", "rules": [{"from": {"label": "key"}}]}), -E2BIG);
	SAID("container other");
	CHECK(!has_table());
	HEARS(a, b, "tcp", 80);
	GOOD(POLICY({"default": "deny", "rules": [{"from": {"id": "other"}}]}));
	HEARS(c, b, "tcp", 80);
	CHECK_INT(POLICY({"default": "allow", "rules": [{"from": {"label": "key"}}]}), -E2BIG);
	SILENCE(a, b, "tcp", 80);       /* the one before */
	HEARS(c, b, "tcp", 80);
	box_end(c.c);
	GOOD(POLICY({"default": "allow", "rules": [{"from": {"label": "key"}}]}));
	c.c = box_start(BOX(.network = "site", .id = "other", .labels = CONEX_STRINGS(label)), CONEX_STRINGS("true"));
	CHECK(c.c == NULL);
	SAID("fewer labels");
	CHECK_INT(ports_named(), 2);
	CHECK_INT(members("site"), 2);
	free(label);
	end();
}

/* ---- flushed, killed, refused ---- */

TEST(flushed)
{
	struct member d;

	begin();
	GOOD(POLICY({"default": "deny", "rules": [{"from": {"id": "db"}}]}));
	CHECK_INT(command("nft flush ruleset"), 0);
	HEARS(a, b, "tcp", 80);
	GOOD(network("next", 0, NULL));         /* with it masquerading comes back, and so does this */
	SILENCE(a, b, "tcp", 80);
	HEARS(b, a, "tcp", 80);
	CHECK_INT(command("nft flush ruleset"), 0);
	d = member("x", NULL);                  /* or with a member */
	SILENCE(a, b, "tcp", 80);
	SILENCE(d, b, "tcp", 80);
	HEARS(b, d, "tcp", 80);
	CHECK_INT(command("nft flush ruleset"), 0);
	box_end(d.c);
	GOOD(POLICY({"default": "deny", "rules": [{"from": {"id": "web-1"}}]}));        /* or with the next one */
	SILENCE(b, a, "tcp", 80);
	HEARS(a, b, "tcp", 80);
	CHECK_INT(command("nft flush ruleset"), 0);
	GOOD(policy("site", NULL));
	HEARS(b, a, "tcp", 80);
	GOOD(gone("next"));
	end();
}

/* Policies that come and go, and members under them, in a process that is killed. */
static void come_and_go(void)
{
	static const char *const kinds[] = { "{\"default\": \"deny\", \"rules\": [{\"from\": {\"id\": \"a*\"}}]}",
		"{\"default\": \"allow\", \"rules\": [{\"from\": {\"label\": \"x\"}}, {\"to\": {\"id\": \"b\"}}]}", NULL };
	conex *cx = NULL;

	for (int i = 0; conex_open(NULL, &cx, NULL) == 0; i++) {
		struct conex_run_options o = box_options(BOX(.network = "site"));
		conex_container *list[3] = { NULL };

		for (int k = 0; k < 3; k++)
			if (conex_run(cx, NULL, CONEX_STRINGS("sleep", "1000"), &o, &list[k], NULL) < 0
			    || conex_network_policy(cx, "site", kinds[(i + k) % 3], NULL) < 0)
				_exit(1);
		for (int k = 0; k < 3; k++)
			if (conex_container_delete(list[k], -1, NULL) < 0)
				_exit(1);
		conex_close(cx);
	}
	_exit(1);
}

TEST(killed)
{
	int left = 1, status;

	GOOD(network("site", 0, CONEX_STRINGS("10.77.0.0/24", "fd77::/64")));
	for (int round = 0; round < 12; round++) {
		pid_t pid;

		fflush(stdout);
		pid = fork();
		if (pid == 0)
			come_and_go();
		usleep((useconds_t)(rand() % 200000));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		CHECK(WIFSIGNALED(status));
	}
	for (int i = 0; i < 400 && left; i++) {
		GOOD(conex_prune(box.cx, NULL, &box.err));
		left = members("site") + host_ends();
		usleep(left ? 50000 : 0);
	}
	CHECK_INT(left, 0);
	if (has_table())
		CHECK_INT(ports_named(), 0);
	GOOD(POLICY({"default": "deny", "rules": [{"from": {"label": "role=web"}}]}));
	a = member("web-1", "role=web");
	b = member("db", "role=db");
	c = member("other", NULL);
	HEARS(a, b, "tcp", 80);
	SILENCE(b, a, "tcp", 80);
	CHECK_INT(command("test $(nft list table bridge conex | grep -c 'set cx-site/[0-9a-f]\\{16\\}') = 1"), 0);
	end();
}

TEST(refused)
{
	char before[16384];

	begin();
	snprintf(before, sizeof before, "%s", rules());
	CHECK_INT(POLICY({"default": "deny", "rules": [{"from": {"id": "a"}, "ports": ["tcp/80", "tcp/0"]}]}), -EINVAL);
	SAID("policy.rules[0].ports[1]");
	CHECK_STR(rules(), before);
	CHECK_INT(access(say("%s/site/policy.json", directory), F_OK), -1);
	CHECK_INT(policy("nowhere", "{\"default\": \"deny\"}"), -ENOENT);
	SAID("nowhere");
	CHECK_INT(policy("nowhere", NULL), -ENOENT);
	box_clear();
	CHECK_INT(conex_network_create(box.cx, "mac", &(struct conex_network_options){ .size = sizeof(struct conex_network_options),
		.driver = "macvlan", .parent = "cx-site", .subnets = CONEX_STRINGS("10.79.0.0/24") }, &box.err), 0);
	CHECK_INT(policy("mac", "{\"default\": \"deny\"}"), -EOPNOTSUPP);
	SAID("mac");
	GOOD(gone("mac"));
	end();
}

/* What can't be written down doesn't hold, and the one before does. */
TEST(not_written)
{
	begin();
	GOOD(POLICY({"default": "deny", "rules": [{"from": {"id": "db"}}]}));
	CHECK_INT(mkdir(say("%s/site/policy.new", directory), 0700), 0);
	CHECK_INT(POLICY({"default": "deny", "rules": [{"from": {"id": "web-1"}}]}), -EEXIST);
	SAID("policy.json");
	SILENCE(a, b, "tcp", 80);
	CHECK_INT(command("nft flush ruleset"), 0);
	GOOD(network("site", CONEX_NETWORK_EXISTING, NULL));
	SILENCE(a, b, "tcp", 80);
	HEARS(b, a, "tcp", 80);
	CHECK_INT(rmdir(say("%s/site/policy.new", directory)), 0);
	end();
}

/* What a user writes is never nftables' language. */
TEST(funny_patterns)
{
	char *json = NULL;

	begin();
	GOOD(POLICY({"default": "deny", "rules": [{"from": {"id": "\" } ; flush ruleset ; #*"}, "to": {"label": "a\nb=\\"}},
		{"from": {"label": "role=web"}, "to": {"id": "d[a-c]"}}]}));
	HEARS(a, b, "tcp", 80);
	SILENCE(a, c, "tcp", 80);
	GOOD(conex_network_json(box.cx, "site", &json, &box.err));
	CHECK(json && strstr(json, "flush ruleset") && strstr(json, "\"policy\""));
	free(json);
	box_end(c.c);
	c = member("other", "a\nb=\\");         /* a lease holds that, too */
	GOOD(POLICY({"default": "deny", "rules": [{"to": {"label": "a\nb=\\"}}]}));
	HEARS(a, c, "tcp", 80);
	SILENCE(a, b, "tcp", 80);
	end();
}

static void tests(void)
{
	call_inet("0");
	RUN(default_deny);
	RUN(by_bridges_alone);
	RUN(with_br_netfilter);
	RUN(address_again);
	RUN(several_networks);
	RUN(another_process);
	RUN(too_many_labels);
	RUN(flushed);
	RUN(killed);
	RUN(refused);
	RUN(not_written);
	RUN(funny_patterns);
	rmdir(directory);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return probe(argc, argv);
	return network_box() ? with_box(tests) : 0;
}
