/* Any text as a config.json, and as a layer over the default: refused or taken, never more. */
#include "spec/spec.h"
#include "fuzz.h"

static void take(const char *text, int merge)
{
	conex_spec *spec = NULL;
	conex_error *err = NULL;
	char *printed = NULL;

	if (merge ? conex_spec_new(&spec, &err) == 0 && conex_spec_merge(spec, text, &err) == 0
	    : conex_spec_parse(text, &spec, &err) == 0) {
		if (conex_spec_print(spec, &printed, &err) == 0)
			free(printed);
	} else if (!*conex_error_text(err)) {
		__builtin_trap();
	}
	conex_spec_free(spec);
	conex_error_free(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	take(text, 0);
	if (size < 4096)
		take(text, 1);
	free(text);
	return 0;
}

static int fuzz_seed(int n, struct cx_str *to)
{
	static const char *const layers[] = {
		"{\"process\":{\"args\":[\"sh\"],\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":1,\"hard\":2}]}}",
		"{\"mounts\":[{\"destination\":\"/x\",\"type\":\"tmpfs\",\"options\":[\"ro\",\"size=1m\"]}]}",
		"{\"linux\":{\"uidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":2}],\"namespaces\":[{\"type\":\"user\"}]}}",
		("{\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"a\"],\"action\":"
		"\"SCMP_ACT_ERRNO\",\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]}]}}}"),
		"{\"linux\":{\"resources\":{\"memory\":{\"limit\":1},\"cpu\":{\"cpus\":\"0-1\"}},\"sysctl\":{\"net.a\":\"1\"}}}",
	};
	conex_spec *spec = NULL;
	char *text = NULL;

	if (n > (int)CX_ARRAY_SIZE(layers))
		return 0;
	if (n > 0)
		cx_str_add(to, layers[n - 1], strlen(layers[n - 1]));
	else if (conex_spec_new(&spec, NULL) == 0 && conex_spec_print(spec, &text, NULL) == 0)
		cx_str_add(to, text, strlen(text));
	free(text);
	conex_spec_free(spec);
	return 1;
}
