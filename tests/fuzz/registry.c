/* The readers of what registries and files of credentials say: the first byte chooses which. */
#include "image/credentials.h"
#include "image/worker/registry-parse.h"

#include "fuzz.h"

static void challenges(const char *text, size_t size)
{
	struct cx_challenges c = { 0 };

	if (cx_challenges_parse(text, &c) == 0) {
		if (c.bearer && (!c.realm || strlen(c.realm) > size))
			__builtin_trap();
		if ((c.scope && strlen(c.scope) > size) || (c.service && strlen(c.service) > size))
			__builtin_trap();
	}
	cx_challenges_free(&c);
}

static void ranges(const char *text)
{
	uint64_t first, last, total, has;

	if (cx_content_range_parse(text, &first, &last, &total) == 0 && first <= last && last >= total)
		__builtin_trap();
	if (cx_upload_range_parse(text, &has) == 0 && !has)
		__builtin_trap();
}

/* What is let through is http or https, never names a user, and never goes from https to http. */
static void urls(const char *text)
{
	char *url = NULL, *origin = NULL;

	if (cx_url_resolve("https://registry.example/v2/a/blobs/x", text, &url) == 0) {
		if (strncmp(url, "https://", 8) || cx_url_origin(url, &origin) < 0 || strncmp(origin, "https://", 8)
			|| strchr(origin, '@'))
			__builtin_trap();
	}
	free(origin);
	free(url);
}

static void words(const char *text, size_t size)
{
	cx_autostr to = { .data = NULL };

	cx_words_of_error(text, size, &to);
	for (size_t i = 0; i < to.size; i++)
		if ((unsigned char)to.data[i] < 0x20 || to.data[i] == 0x7f)
			__builtin_trap();
}

static void files(const char *text, size_t size)
{
	cx_autocredentials c = { 0 };
	conex_error *err = NULL;
	int r = cx_credentials_parse(text, size, "f", "r.example", "a/b", &c, &err);

	if ((r < 0) != (err != NULL) || (r > 0) != (c.user || c.identity || c.helper))
		__builtin_trap();
	if (c.helper && strchr(c.helper, '/'))
		__builtin_trap();
	conex_error_free(err);
	cx_credentials_free(&c);
	cx_credentials_answer(text, size, "x", &c, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (!size)
		return 0;
	text = malloc(size);    /* exactly as large: one byte more is found out */
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 5) {
	case 0: challenges(text, size); break;
	case 1: ranges(text); break;
	case 2: urls(text); break;
	case 3: words(text, size - 1); break;
	default: files(text, size - 1); break;
	}
	free(text);
	return 0;
}

static int fuzz_seed(int n, struct cx_str *to)
{
	static const char *const seeds[] = {
		"\x05" "Negotiate YWJj==, Bearer realm=\"https://a/t\", service=\"s\\\"\", scope=\"repository:a:pull,push\", Basic realm=x",
		"\x01" "bytes 100-199/200",
		"\x06" "bytes=0-99",
		"\x02" "//user@cdn.example:8443/a%2Fb/../c?sig=x+y#z",
		"\x07" "http://[::1]:5000/x",
		"\x03" "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"a\\u001b\\u009b b\"}]}",
		"\x04" "{\"auths\":{\"https://r.example/v1/\":{\"auth\":\"YTpi\"},\"r.example/a\":{\"identitytoken\":\"t\"}},"
			"\"credHelpers\":{\"r.example\":\"x\"},\"credsStore\":\"y\"}",
		"\x09" "{\"ServerURL\":\"r\",\"Username\":\"<token>\",\"Secret\":\"s\"}",
	};

	if ((size_t)n >= CX_ARRAY_SIZE(seeds))
		return 0;
	cx_str_add(to, seeds[n], strlen(seeds[n]));
	return 1;
}
