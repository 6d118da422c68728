/* Any text as an image's name: what is taken prints, and what is printed parses to the same. */
#include "image/reference.h"
#include "fuzz.h"

static void must(int so)
{
	if (!so)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cx_reference r, again;
	char *text = malloc(size + 1), printed[CX_REFERENCE_TEXT];
	conex_error *err = NULL;

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	if (cx_reference_parse(text, &r, &err) == 0) {
		cx_reference_print(&r, printed);
		must(cx_reference_parse(printed, &again, NULL) == 0 && cx_reference_equal(&r, &again));
		cx_reference_familiar(&r, printed);
		must(cx_reference_parse(printed, &again, NULL) == 0 && cx_reference_equal(&r, &again));
		must(!strstr(r.repository, "..") && r.repository[0] != '/' && *r.host);
	} else {
		must(*conex_error_text(err) != '\0');
	}
	conex_error_free(err);
	free(text);
	return 0;
}

static int fuzz_seed(int n, struct cx_str *to)
{
	static const char *const seeds[] = { "alpine:3.20", "docker.io/library/a__b--c.d:T_1", "[2001:db8::1]:5000/repo:tag",
		"localhost:80/x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "docker.io/a.b/c",
		"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "Foo.com:65535/a/b/c/d" };

	if ((size_t)n >= sizeof seeds / sizeof *seeds)
		return 0;
	cx_str_add(to, seeds[n], strlen(seeds[n]));
	return 1;
}
