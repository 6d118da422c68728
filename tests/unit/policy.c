/* Policies: what may be written, whom it means, and what nftables is told. */
#include "test.h"
#include "network/policy.h"

#include <netinet/in.h>

static conex_error *err;

static int parse(const char *json, struct cx_policy **ret)
{
	conex_error_free(err);
	err = NULL;
	return cx_policy_parse(json, ret, &err);
}

/* ---- good ---- */

static const char *const good[] = {
	"{\"default\":\"deny\"}",
	"{\"default\":\"allow\",\"rules\":[]}",
	"{\"default\":\"deny\",\"rules\":[{}]}",
	"{\"default\":\"deny\",\"rules\":[{\"from\":\"*\",\"to\":\"*\"}]}",
	"{\"default\":\"deny\",\"rules\":[{\"from\":{\"id\":\"web\"},\"to\":{\"id\":\"web-[0-9]*\"}}]}",
	"{\"default\":\"deny\",\"rules\":[{\"from\":{\"label\":\"role\"},\"to\":{\"label\":\"role=db\",\"id\":\"x\"}}]}",
	"{\"default\":\"deny\",\"rules\":[{\"from\":{\"label\":\"role=\"},\"action\":\"deny\"}]}",
	"{\"default\":\"deny\",\"rules\":[{\"ports\":[\"tcp/1\",\"udp/65535\",\"sctp/5-5\",\"tcp/1-65535\",\"tcp\",\"icmp\"]}]}",
	"{\"default\":\"deny\",\"rules\":[{\"from\":{\"id\":\"\\\"; drop\\n\"},\"to\":{\"label\":\"\\u00e4=\\u00f6\"}}]}",
};

TEST(accepted)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(good); i++) {
		struct cx_policy *p = NULL;

		if (!CHECK_INT(parse(good[i], &p), 0))
			printf("# %s: %s\n", good[i], conex_error_text(err));
		cx_policy_free(p);
	}
}

TEST(read_whole)
{
	struct cx_policy *p = NULL;

	CHECK_INT(parse("{\"default\":\"allow\",\"rules\":[{\"from\":{\"id\":\"a\"},\"to\":{\"label\":\"b\"},"
		"\"ports\":[\"tcp/80\",\"udp/53-54\",\"icmp\"],\"action\":\"deny\"},{\"to\":{\"id\":\"a\"}},"
		"{\"from\":{\"id\":\"b\"},\"to\":{\"label\":\"a\"}}]}", &p), 0);
	if (!p)
		return;
	CHECK_INT(p->allow, 1);
	CHECK_INT(p->rules, 3);
	CHECK_INT(p->selectors, 4);             /* of what is said twice there is one */
	CHECK_INT(p->rule[0].from, 0);
	CHECK_INT(p->rule[0].to, 1);
	CHECK_INT(p->rule[0].allow, 0);
	CHECK_INT(p->rule[0].ports, 3);
	CHECK_INT(p->rule[0].port[0].protocol, IPPROTO_TCP);
	CHECK_INT(p->rule[0].port[0].first, 80);
	CHECK_INT(p->rule[0].port[0].last, 80);
	CHECK_INT(p->rule[0].port[1].protocol, IPPROTO_UDP);
	CHECK_INT(p->rule[0].port[1].last, 54);
	CHECK_INT(p->rule[0].port[2].protocol, IPPROTO_ICMP);
	CHECK_INT(p->rule[0].port[2].first, 0);
	CHECK_INT(p->rule[1].from, -1);
	CHECK_INT(p->rule[1].to, 0);
	CHECK_INT(p->rule[1].allow, 1);
	CHECK_INT(p->rule[1].ports, 0);
	CHECK(strcmp(p->selector[2].set, p->selector[1].set) && strcmp(p->selector[3].set, p->selector[0].set));
	CHECK_INT(cx_policy_asks_labels(p), 1);
	cx_policy_free(p);
}

/* ---- bad ---- */

#define RULE(text) "{\"default\":\"deny\",\"rules\":[{}," text "]}"

static const struct { const char *json, *where; } bad[] = {
	{ "", "policy" },
	{ "{", "policy" },
	{ "[]", "policy" },
	{ "\"deny\"", "policy" },
	{ "{}", "policy.default" },
	{ "{\"default\":1}", "policy.default" },
	{ "{\"default\":null}", "policy.default" },
	{ "{\"default\":\"Deny\"}", "policy.default" },
	{ "{\"default\":\"deny\",\"default\":\"allow\"}", "policy" },
	{ "{\"default\":\"deny\",\"rule\":[]}", "\"default\" and \"rules\"" },
	{ "{\"default\":\"deny\",\"rules\":{}}", "policy.rules" },
	{ "{\"default\":\"deny\",\"rules\":null}", "policy.rules" },
	{ RULE("[]"), "policy.rules[1]" },
	{ RULE("\"*\""), "policy.rules[1]" },
	{ RULE("{\"form\":\"*\"}"), "policy.rules[1]" },
	{ RULE("{\"action\":\"drop\"}"), "policy.rules[1].action" },
	{ RULE("{\"action\":true}"), "policy.rules[1].action" },
	{ RULE("{\"from\":\"web\"}"), "policy.rules[1].from" },
	{ RULE("{\"from\":\"host\"}"), "policy.rules[1].from" },
	{ RULE("{\"from\":[]}"), "policy.rules[1].from" },
	{ RULE("{\"from\":null}"), "policy.rules[1].from" },
	{ RULE("{\"to\":{}}"), "policy.rules[1].to" },
	{ RULE("{\"to\":{\"name\":\"x\"}}"), "policy.rules[1].to" },
	{ RULE("{\"to\":{\"id\":7}}"), "policy.rules[1].to.id" },
	{ RULE("{\"to\":{\"id\":\"\"}}"), "policy.rules[1].to.id" },
	{ RULE("{\"to\":{\"id\":null}}"), "policy.rules[1].to.id" },
	{ RULE("{\"to\":{\"label\":[\"a\"]}}"), "policy.rules[1].to.label" },
	{ RULE("{\"to\":{\"label\":\"\"}}"), "policy.rules[1].to.label" },
	{ RULE("{\"to\":{\"label\":\"=db\"}}"), "policy.rules[1].to.label" },
	{ RULE("{\"to\":{\"label\":\"a\\u0000b\"}}"), "policy" },
	{ RULE("{\"ports\":\"tcp/80\"}"), "policy.rules[1].ports" },
	{ RULE("{\"ports\":[]}"), "policy.rules[1].ports" },
	{ RULE("{\"ports\":[80]}"), "policy.rules[1].ports[0]" },
	{ RULE("{\"ports\":[\"tcp\",\"80\"]}"), "policy.rules[1].ports[1]" },
	{ RULE("{\"ports\":[\"80/tcp\"]}"), "policy.rules[1].ports[0]" },
	{ RULE("{\"ports\":[\"TCP/80\"]}"), "policy.rules[1].ports[0]" },
	{ RULE("{\"ports\":[\"tcp/\"]}"), "policy.rules[1].ports[0]" },
	{ RULE("{\"ports\":[\"tcp/0\"]}"), "policy.rules[1].ports[0]" },
	{ RULE("{\"ports\":[\"tcp/080\"]}"), "policy.rules[1].ports[0]" },
	{ RULE("{\"ports\":[\"tcp/65536\"]}"), "policy.rules[1].ports[0]" },
	{ RULE("{\"ports\":[\"tcp/99999999999999999999\"]}"), "policy.rules[1].ports[0]" },
	{ RULE("{\"ports\":[\"tcp/-1\"]}"), "policy.rules[1].ports[0]" },
	{ RULE("{\"ports\":[\"tcp/90-80\"]}"), "policy.rules[1].ports[0]" },
	{ RULE("{\"ports\":[\"tcp/80-\"]}"), "policy.rules[1].ports[0]" },
	{ RULE("{\"ports\":[\"tcp/80-90-95\"]}"), "policy.rules[1].ports[0]" },
	{ RULE("{\"ports\":[\"tcp/80 \"]}"), "policy.rules[1].ports[0]" },
	{ RULE("{\"ports\":[\"tcp/80, udp\"]}"), "policy.rules[1].ports[0]" },
	{ RULE("{\"ports\":[\"icmp/8\"]}"), "policy.rules[1].ports[0]" },
	{ RULE("{\"ports\":[\"tcpx/8\"]}"), "policy.rules[1].ports[0]" },
	{ RULE("{\"ports\":[\"\"]}"), "policy.rules[1].ports[0]" },
};

TEST(refused)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(bad); i++) {
		struct cx_policy *p = NULL;

		CHECK_INT(parse(bad[i].json, &p), -EINVAL);
		CHECK(p == NULL);
		if (!CHECK(strstr(conex_error_text(err), bad[i].where) != NULL))
			printf("# %s: %s\n", bad[i].json, conex_error_text(err));
	}
}

/* `count` times `item` between two texts. */
static char *many(const char *begin, const char *item, int count, const char *end)
{
	struct cx_str s = { 0 };

	cx_str_addf(&s, "%s", begin);
	for (int i = 0; i < count; i++)
		cx_str_addf(&s, "%s%s", i ? "," : "", item);
	cx_str_addf(&s, "%s", end);
	return cx_str_take(&s);
}

static void limit(const char *begin, const char *item, int most, const char *end, int code)
{
	for (int more = 0; more < 2; more++) {
		char *json = many(begin, item, most + more, end);
		struct cx_policy *p = NULL;

		CHECK_INT(parse(json, &p), more ? code : 0);
		cx_policy_free(p);
		free(json);
	}
}

TEST(limits)
{
	char *pattern = many("{\"default\":\"deny\",\"rules\":[{\"to\":{\"id\":\"", "x", 129, "\"}}]}");
	struct cx_policy *p = NULL;

	limit("{\"default\":\"deny\",\"rules\":[", "{}", CX_POLICY_RULES, "]}", -E2BIG);
	limit("{\"default\":\"deny\",\"rules\":[{\"ports\":[", "\"tcp\"", CX_POLICY_PORTS, "]}]}", -E2BIG);
	CHECK_INT(parse(pattern, &p), -EINVAL); /* 257 bytes */
	CHECK(strstr(conex_error_text(err), "policy.rules[0].to.id") != NULL);
	free(pattern);
	pattern = many("{\"default\":\"deny\"}", "\n", CX_POLICY_SIZE, "");
	CHECK_INT(parse(pattern, &p), -E2BIG);
	free(pattern);
	CHECK(p == NULL);
}

/* ---- whom it means ---- */

TEST(fits)
{
	const char *const labels[] = { "role=db", "rolex=1", "note=a=b", "empty=", NULL };
	static const struct { const char *id, *label; int fits; } cases[] = {
		{ NULL, NULL, 1 }, { "db-1", NULL, 1 }, { "db-2", NULL, 0 }, { "db-*", NULL, 1 }, { "*", NULL, 1 }, { "db-?", NULL, 1 },
		{ "db", NULL, 0 }, { "[a-d]b-[0-9]", NULL, 1 }, { "DB-1", NULL, 0 }, { NULL, "role", 1 }, { NULL, "role=db", 1 },
		{ NULL, "role=d", 0 }, { NULL, "role=*", 0 }, { NULL, "rol", 0 }, { NULL, "role=", 0 }, { NULL, "empty", 1 },
		{ NULL, "empty=", 1 }, { NULL, "note=a=b", 1 }, { NULL, "note=a", 0 }, { "db-1", "role=db", 1 }, { "x", "role=db", 0 },
		{ "db-1", "role=x", 0 },
	};

	for (size_t i = 0; i < CX_ARRAY_SIZE(cases); i++) {
		struct cx_selector s = { .id = cases[i].id, .label = cases[i].label };

		if (!CHECK_INT(cx_selector_fits(&s, "db-1", labels), cases[i].fits))
			printf("# %s %s\n", cases[i].id ? cases[i].id : "-", cases[i].label ? cases[i].label : "-");
		CHECK_INT(cx_selector_fits(&s, "db-1", NULL), cases[i].fits && !cases[i].label);
	}
}

/* ---- what nftables is told ---- */

static struct cx_network network(void)
{
	struct cx_network n = { .name = "site", .bridge = "cx-site", .dir = -1, .subnets = 2 };

	CHECK_INT(cx_subnet_parse("10.77.0.0/24", "", &n.subnet[0], NULL), 0);
	CHECK_INT(cx_subnet_parse("fd77::/64", "", &n.subnet[1], NULL), 0);
	return n;
}

static void has(const struct cx_str *text, const char *line)
{
	if (!CHECK(text->data && strstr(text->data, line) != NULL))
		printf("# no line: %s\n", line);
}

static void has_rule(const struct cx_str *text, const char *format, const struct cx_policy *p)
{
	char line[1024], *to = line;

	for (; *format; format++)
		if (*format == '$') {
			format++;
			to = stpcpy(to, "@cx-site/");
			to = stpcpy(to, p->selector[*format - '0'].set);
		} else {
			*to++ = *format;
		}
	*to = '\0';
	has(text, line);
}

TEST(rules)
{
	struct cx_network n = network();
	struct cx_policy *p = NULL;
	struct cx_str text = { 0 };

	CHECK_INT(parse("{\"default\":\"deny\",\"rules\":[{\"from\":{\"id\":\"a;b\"},\"to\":{\"label\":\"c\"},"
		"\"ports\":[\"tcp/80\",\"udp/53-54\",\"icmp\",\"tcp\"]},{\"to\":{\"id\":\"a;b\"},\"action\":\"deny\"}]}", &p), 0);
	if (!p)
		return;
	cx_policy_text(&text, &n, p, NULL);
	has_rule(&text, "\nadd rule bridge conex cx-site/asked iifname $0 oifname $1 tcp dport 80 goto cx-site/passed\n"
		"add rule bridge conex cx-site/asked iifname $0 oifname $1 udp dport 53-54 goto cx-site/passed\n"
		"add rule bridge conex cx-site/asked iifname $0 oifname $1 meta l4proto { icmp, ipv6-icmp } goto cx-site/passed\n", p);
	has_rule(&text, "\nadd rule bridge conex cx-site/answers oifname $0 iifname $1 tcp sport 80 accept\n", p);
	has_rule(&text, "\nadd rule bridge conex cx-site/answers oifname $0 iifname $1 meta l4proto tcp accept\n", p);
	has_rule(&text, "\nadd rule bridge conex cx-site/asked oifname $0 drop\n", p);
	has_rule(&text, "\nadd rule bridge conex cx-site/answers iifname $0 return\n", p);
	has(&text, "\nadd rule bridge conex cx-site/asked drop\n");
	CHECK(!strstr(text.data, "cx-site/answers accept"));
	CHECK(!strstr(text.data, "a;b") && !strstr(text.data, "sport 53"));
	has(&text, "\nadd element bridge conex subnets4 { 10.77.0.0/24 }\n");
	has(&text, "\nadd element bridge conex hosts4 { 10.77.0.1 }\n");
	has(&text, "\nadd element bridge conex hosts4 { 10.77.0.255 }\n");
	has(&text, "\nadd element bridge conex hosts6 { fd77::1 }\n");
	cx_str_free(&text);
	cx_policy_free(p);
}

TEST(members)
{
	const char *const labels[] = { "c=d", NULL };
	struct cx_member m = { .lease = { .number = 5, .tag = "0123456789abcdef" }, .id = "ab", .labels = labels };
	struct cx_network n = network();
	struct cx_policy *p = NULL;
	struct cx_str text = { 0 };

	CHECK_INT(parse("{\"default\":\"deny\",\"rules\":[{\"from\":{\"id\":\"a*\"},\"to\":{\"label\":\"x\"}},"
		"{\"from\":{\"label\":\"c\"}}]}", &p), 0);
	if (!p)
		return;
	cx_policy_text_enter(&text, &n, p, &m);
	has(&text, "add element bridge conex macs { \"cx0123456789abc\" . 02:63:0a:4d:00:05 }\n");
	has(&text, "add element bridge conex known4 { \"cx0123456789abc\" . 02:63:0a:4d:00:05 . 10.77.0.5 }\n");
	has(&text, "add element bridge conex known6 { \"cx0123456789abc\" . 02:63:0a:4d:00:05 . fd77::5 }\n");
	has(&text, "add element bridge conex known6 { \"cx0123456789abc\" . 02:63:0a:4d:00:05 . fe80::63:aff:fe4d:5 }\n");
	has(&text, "add element bridge conex ports { \"cx0123456789abc\" : goto cx-site }\n");
	CHECK(strstr(text.data, p->selector[0].set) && !strstr(text.data, p->selector[1].set)
		&& strstr(text.data, p->selector[2].set));
	cx_str_free(&text);
	m.labels = NULL;
	cx_policy_text_leave(&text, &n, p, &m);
	for (int i = 0; i < 3; i++)
		CHECK(strstr(text.data, p->selector[i].set) != NULL);
	has(&text, "delete element bridge conex known6 {");
	cx_str_free(&text);
	cx_policy_free(p);
}

int main(void)
{
	RUN(accepted);
	RUN(read_whole);
	RUN(refused);
	RUN(limits);
	RUN(fits);
	RUN(rules);
	RUN(members);
	conex_error_free(err);
	return test_end();
}
