/* Any bytes as a manifest, an index and an image's config: refused with a sentence, or taken; what is taken is
 * within its limits, and a config becomes a spec's layer. */
#include "image/config.h"
#include "fuzz.h"

static void must(int so)
{
	if (!so)
		__builtin_trap();
}

static void take_manifest(const char *bytes, size_t size, const char *type)
{
	const struct cx_descriptor *d;
	struct cx_image_manifest *m = NULL;
	struct cx_platform here;
	conex_error *err = NULL;

	if (cx_image_manifest_parse(bytes, size, type, &m, &err) == 0) {
		must(m->layer_count <= CX_LAYERS_MAX && m->layer_bytes <= (uint64_t)CX_LAYER_BYTES_MAX);
		if (cx_platform_parse("linux/arm64", &here, NULL) == 0 && m->kind == CX_MEDIA_INDEX)
			must(cx_image_manifest_choose(m, &here, &d, &err) == 0 || *conex_error_text(err));
	} else {
		must(*conex_error_text(err) != '\0');
	}
	cx_image_manifest_free(m);
	conex_error_free(err);
}

static void take_config(const char *bytes, size_t size)
{
	static const char *const args[] = { "sh", NULL };
	struct cx_image_config *c = NULL;
	conex_error *err = NULL;
	json_t *spec = NULL;

	if (cx_image_config_parse(bytes, size, &c, &err) == 0)
		must(cx_image_config_spec(c, args, &spec, &err) == 0 || *conex_error_text(err));
	else
		must(*conex_error_text(err) != '\0');
	json_decref(spec);
	cx_image_config_free(c);
	conex_error_free(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *bytes = malloc(size ? size : 1);

	if (!bytes)
		return 0;
	if (size)
		memcpy(bytes, data, size);
	take_manifest(bytes, size, NULL);
	take_manifest(bytes, size, CX_MEDIA_OCI_MANIFEST);
	take_config(bytes, size);
	free(bytes);
	return 0;
}

#define DIGEST "\"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""

static int fuzz_seed(int n, struct cx_str *to)
{
	static const char *const seeds[] = {
		"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":" DIGEST
		",\"size\":7},\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":" DIGEST
		",\"size\":9,\"urls\":[\"x\"]}],\"annotations\":{\"a\":\"b\"}}",
		"{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":"
		DIGEST ",\"size\":9,\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\"}}]}",
		"{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"User\":\"a:b\",\"Env\":[\"A=1\",\"A=2\"],\"Cmd\":[\"x\"],"
		"\"Volumes\":{\"/v\":{}},\"ExposedPorts\":{\"1-2/tcp\":{}},\"Labels\":{\"a\":\"b\"},\"StopSignal\":\"SIGRTMIN+3\","
		"\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"],\"Interval\":5}},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" DIGEST
		"]},\"history\":[{\"empty_layer\":true},{\"created_by\":\"x\"}]}",
	};

	if ((size_t)n >= sizeof seeds / sizeof *seeds)
		return 0;
	cx_str_add(to, seeds[n], strlen(seeds[n]));
	return 1;
}
