/* A policy's JSON; what it makes of nftables' language holds nothing that came in. */
#include "network/policy.h"

#include "fuzz.h"

static const char *const seeds[] = {
	"{\"default\":\"deny\",\"rules\":[{\"from\":{\"id\":\"web-*\"},\"to\":{\"label\":\"role=db\"},"
	"\"ports\":[\"tcp/80\",\"udp/53\",\"tcp/8000-8010\",\"icmp\",\"sctp\"],\"action\":\"allow\"},{\"from\":\"*\"}]}",
	"{\"default\":\"allow\",\"rules\":[{\"to\":{\"id\":\"a[b-d]?\",\"label\":\"x\"},\"action\":\"deny\"}]}",
};

/* Letters of the language, names, numbers. */
static void look(const struct cx_str *text)
{
	for (size_t i = 0; i < text->size; i++)
		if ((unsigned char)text->data[i] >= 127 || (text->data[i] < ' ' && text->data[i] != '\n' && text->data[i] != '\t')
		    || strchr("'\\#[]*?$~^`", text->data[i]))
			__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cx_network n = { .name = "site", .bridge = "cx-site", .dir = -1, .subnets = 1,
		.subnet = { { { AF_INET, { 10, 77 } }, 24 } } };
	struct cx_member m = { .lease = { .number = 5, .tag = "0123456789abcdef" }, .id = "web-1",
		.labels = (const char *const[]){ "role=db", "x=y", NULL } };
	struct cx_policy *p = NULL;
	char *json = strndup((const char *)data, size);
	cx_autostr text = { 0 };

	if (json && cx_policy_parse(json, &p, NULL) == 0) {
		cx_policy_text(&text, &n, p, p);
		cx_policy_text_enter(&text, &n, p, &m);
		cx_policy_text_leave(&text, &n, p, &m);
		cx_policy_text_end(&text, &n, p, NULL);
		look(&text);
		cx_policy_free(p);
	}
	free(json);
	return 0;
}

static int fuzz_seed(int n, struct cx_str *to)
{
	if (n >= (int)CX_ARRAY_SIZE(seeds))
		return 0;
	cx_str_addf(to, "%s", seeds[n]);
	return 1;
}
