/* Manifests and indexes: those that are taken, the choice of a platform, and hostile ones. */
#include "image/manifest.h"
#include "image/document.h"
#include "image-bad.h"

static int parse(const char *text, const char *type, struct cx_image_manifest **ret, conex_error **err)
{
	size_t size;
	char *document = image_document(text, &size);
	int r = cx_image_manifest_parse(document, size, type, ret, err);

	free(document);
	return r;
}

static struct cx_image_manifest *must_parse(const char *text, const char *type)
{
	struct cx_image_manifest *m = NULL;
	conex_error *err = NULL;

	if (!CHECK_INT(parse(text, type, &m, &err), 0))
		printf("# %s\n", conex_error_text(err));
	conex_error_free(err);
	return m;
}

TEST(oci)
{
	struct cx_image_manifest *m = must_parse("{'schemaVersion':2,'mediaType':'" OCI_M "'," CONFIG ",'layers':["
		LAYER("'$'", "1") "," "{'mediaType':'application/vnd.oci.image.layer.v1.tar','digest':'$','size':20},"
		"{'mediaType':'application/vnd.oci.image.layer.v1.tar+zstd','digest':'$','size':300,'urls':['https://x.example']}],"
		"'annotations':{'a':'b'},'subject':{'mediaType':'x/y','digest':'$','size':1},'later':{'x':[1]}}", OCI_M);

	if (!m)
		return;
	CHECK_INT(m->kind, CX_MEDIA_MANIFEST);
	CHECK_STR(m->type, OCI_M);
	CHECK_INT(m->config.size, 7023);
	CHECK_INT(m->config.digest.bytes[0], 0x01);
	CHECK_INT(m->layer_count, 3);
	CHECK_INT(m->layer_bytes, 321);
	CHECK_INT(m->layers[0].media, CX_MEDIA_LAYER_GZIP);
	CHECK_INT(m->layers[1].media, CX_MEDIA_LAYER);
	CHECK_INT(m->layers[2].media, CX_MEDIA_LAYER_ZSTD);
	cx_image_manifest_free(m);
}

TEST(docker)
{
	struct cx_image_manifest *m = must_parse("{'schemaVersion':2,'mediaType':'" DOCKER_M "','config':{'mediaType':"
		"'application/vnd.docker.container.image.v1+json','size':7023,'digest':'$'},'layers':[{'mediaType':"
		"'application/vnd.docker.image.rootfs.diff.tar.gzip','size':32654,'digest':'$'}]}", DOCKER_M "; charset=utf-8");

	if (!m)
		return;
	CHECK_STR(m->type, DOCKER_M);
	CHECK_STR(m->layers[0].type, "application/vnd.docker.image.rootfs.diff.tar.gzip");
	cx_image_manifest_free(m);
}

/* Types that were said, and those that weren't. */
TEST(types)
{
	static const char *const said[] = { NULL, "", "application/json", "application/json; charset=utf-8", OCI_M,
		"Application/vnd.OCI.image.manifest.v1+json", DOCKER_M };

	for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
		struct cx_image_manifest *m = must_parse("{'schemaVersion':2," CONFIG "," LAYERS "}", said[i]);

		CHECK_STR(m ? m->type : "", i == 6 ? DOCKER_M : OCI_M);
		cx_image_manifest_free(m);
	}
	cx_image_manifest_free(must_parse("{'schemaVersion':2,'mediaType':null," CONFIG ",'layers':[],'annotations':null}",
		NULL));
	CHECK(strstr(cx_media_accept(), OCI_I) && strstr(cx_media_accept(), DOCKER_M));
}

/* ---- platforms ---- */

static const char index_text[] = "{'schemaVersion':2,'mediaType':'" OCI_I "','manifests':["
	OFFER("unknown", "unknown", "") ","
	"{'mediaType':'" OCI_M "','digest':'$','size':1,'platform':{'os':'linux','architecture':'amd64'},"
	"'annotations':{'vnd.docker.reference.type':'attestation-manifest'}},"
	"{'mediaType':'" OCI_M "','digest':'$','size':2,'artifactType':'application/x.sbom','platform':{'os':'linux',"
	"'architecture':'amd64'}},"
	"{'mediaType':'application/x.later','digest':'$','size':3,'platform':{'os':'linux','architecture':'amd64'}},"
	"{'mediaType':'" OCI_M "','digest':'$','size':10,'platform':{'os':'linux','architecture':'amd64'}},"
	"{'mediaType':'" OCI_M "','digest':'$','size':11,'platform':{'os':'linux','architecture':'amd64'}},"
	"{'mediaType':'" OCI_M "','digest':'$','size':12,'platform':{'os':'linux','architecture':'amd64','variant':'v3'}},"
	"{'mediaType':'" OCI_M "','digest':'$','size':20,'platform':{'os':'linux','architecture':'arm','variant':'v5'}},"
	"{'mediaType':'" OCI_M "','digest':'$','size':21,'platform':{'os':'linux','architecture':'arm','variant':'v6'}},"
	"{'mediaType':'" OCI_M "','digest':'$','size':22,'platform':{'os':'linux','architecture':'arm','variant':'v7'}},"
	"{'mediaType':'" OCI_I "','digest':'$','size':30,'platform':{'os':'linux','architecture':'arm64','variant':'v8'}},"
	"{'mediaType':'" OCI_M "','digest':'$','size':40,'platform':{'os':'linux','architecture':'riscv64'}},"
	"{'mediaType':'" OCI_M "','digest':'$','size':50,'platform':{'os':'windows','architecture':'amd64',"
	"'os.version':'10.0','os.features':['win32k']}}]}";

TEST(choice)
{
	static const struct { const char *platform; int size; } wanted[] = {
		{ "linux/amd64", 10 }, { "amd64", 10 }, { "linux/amd64/v1", 10 }, { "x86_64", 10 }, { "linux/amd64/v2", 10 },
		{ "linux/amd64/v3", 12 }, { "linux/amd64/v4", 12 }, { "linux/arm/v7", 22 }, { "linux/arm", 22 }, { "armhf", 22 },
		{ "linux/arm/v6", 21 }, { "linux/arm/v5", 20 }, { "linux/arm/6", 21 }, { "linux/arm/v8", 22 }, { "linux/arm64", 30 },
		{ "linux/arm64/v8", 30 }, { "aarch64", 30 }, { "linux/arm64/v9", 30 }, { "linux/riscv64", 40 },
		{ "windows/amd64", 50 }, { "linux/s390x", -1 }, { "linux/386", -1 }, { "darwin/arm64", -1 },
		{ "unknown/unknown", -1 }, { "linux/riscv64/v2", 40 }, { "linux/arm/v4", -1 },
	};
	struct cx_image_manifest *m = must_parse(index_text, OCI_I);
	const struct cx_descriptor *d;
	struct cx_platform p;
	conex_error *err = NULL;

	if (!m)
		return;
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		int r;

		d = NULL;
		CHECK_INT(cx_platform_parse(wanted[i].platform, &p, NULL), 0);
		r = cx_image_manifest_choose(m, &p, &d, &err);
		if (r != (wanted[i].size < 0 ? -ENOENT : 0) || (d ? (int)d->size : -1) != wanted[i].size) {
			CHECK_STR(wanted[i].platform, "chosen");
			CHECK_INT(d ? (int)d->size : -1, wanted[i].size);
		}
	}
	CHECK(strstr(conex_error_hint(err), "linux/arm/v6, linux/arm/v7, linux/arm64, linux/riscv64, windows/amd64"));
	conex_error_free(err);
	cx_image_manifest_free(m);
}

/* An only image without platform is the one; two are none. */
TEST(choice_without)
{
	static const char one[] = "{'mediaType':'" OCI_M "','digest':'$','size':7,'artifactType':"
		"'application/vnd.oci.image.config.v1+json'}";
	struct cx_image_manifest *m = must_parse(WITH_OFFER("{'mediaType':'" OCI_M "','digest':'$','size':7}"), NULL);
	const struct cx_descriptor *d = NULL;
	struct cx_platform here;
	char text[1024];

	CHECK_INT(cx_platform_parse(NULL, &here, NULL), 0);
	CHECK_STR(here.os, "linux");
	CHECK(m && cx_image_manifest_choose(m, &here, &d, NULL) == 0 && d->size == 7);
	cx_image_manifest_free(m);
	snprintf(text, sizeof text, "{'schemaVersion':2,'manifests':[%s,%s]}", one, one);
	m = must_parse(text, NULL);
	CHECK(m && cx_image_manifest_choose(m, &here, &d, NULL) == -ENOENT);
	cx_image_manifest_free(m);
	m = must_parse("{'schemaVersion':2,'manifests':[]}", NULL);
	CHECK(m && cx_image_manifest_choose(m, &here, &d, NULL) == -ENOENT);
	cx_image_manifest_free(m);
	m = must_parse(WITH_OFFER("{'mediaType':'" OCI_M "','digest':'$','size':4194305}"), NULL);
	CHECK(m && cx_image_manifest_choose(m, &here, &d, NULL) == -EINVAL);
	cx_image_manifest_free(m);
}

TEST(platforms)
{
	static const char *const bad[] = { "", "/", "linux/", "/amd64", "linux/amd64/", "linux/amd64/v1/x", "a b",
		"linux/../x",
		"linux/amd64\n", "linux/0123456789012345678901234567890123456789", "caf\xc3\xa9" };
	struct cx_platform p;
	char text[CX_PLATFORM_TEXT];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		conex_error *err = NULL;

		image_refused(bad[i], cx_platform_parse(bad[i], &p, &err), -EINVAL, "platform = ", &err);
		conex_error_free(err);
	}
	CHECK_INT(cx_platform_parse("Linux/ARM64/V8", &p, NULL), 0);
	cx_platform_print(&p, text);
	CHECK_STR(text, "linux/arm64");
	CHECK_INT(cx_platform_parse("armel", &p, NULL), 0);
	cx_platform_print(&p, text);
	CHECK_STR(text, "linux/arm/v6");
}

/* ---- hostile ones ---- */

TEST(refused)
{
	printf("# %zu documents\n", sizeof bad_manifests / sizeof *bad_manifests);
	for (size_t i = 0; i < sizeof bad_manifests / sizeof *bad_manifests; i++) {
		struct cx_image_manifest *m = NULL;
		conex_error *err = NULL;

		image_refused(bad_manifests[i].text, parse(bad_manifests[i].text, bad_manifests[i].type, &m, &err), bad_manifests[i].code, bad_manifests[i].where, &err);
		CHECK(!m);
		CHECK_INT(parse(bad_manifests[i].text, bad_manifests[i].type, &m, NULL), bad_manifests[i].code);
		conex_error_free(err);
	}
}

/* A document of many bytes: `open` n times, then the middle, then `close` n times. */
static int repeat(const char *open, const char *middle, const char *close, size_t n, conex_error **err)
{
	struct cx_image_manifest *m = NULL;
	cx_autostr text = { .data = NULL };
	int r;

	for (size_t i = 0; i < n; i++)
		cx_str_addf(&text, "%s", open);
	cx_str_addf(&text, "%s", middle);
	for (size_t i = 0; i < n; i++)
		cx_str_addf(&text, "%s", close);
	r = parse(text.data, NULL, &m, err);
	cx_image_manifest_free(m);
	return r;
}

TEST(bounds)
{
	static const char head[] = "{'schemaVersion':2," CONFIG ",'layers':[", layer[] = LAYER("'$'", "1");
	struct { const char *open, *middle, *close, *where; size_t n; int code; } cases[] = {
		{ "[", "", "]", "manifest", 33, -EINVAL }, { "{'a':", "1", "}", "manifest", 33, -EINVAL },
		{ "[", "", "", "manifest", 1 << 20, -EINVAL }, { "[],", "1", "", "manifest", 1 << 16, -EINVAL },
		{ "", "'", "aaaaaaaaaaaaaaaa", "manifest", (4 << 16) + 1, -EFBIG }, { "'',", "1", "", "manifest", 1 << 16, -EINVAL },
	};
	struct cx_image_manifest *m = NULL;
	conex_error *err = NULL;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		image_refused(cases[i].open, repeat(cases[i].open, cases[i].middle, cases[i].close, cases[i].n, &err),
			cases[i].code, cases[i].where, &err);
	for (size_t n = 499; n < 502; n++) {    /* layers */
		cx_autostr text = { .data = NULL };

		cx_str_addf(&text, "%s", head);
		for (size_t i = 0; i < n; i++)
			cx_str_addf(&text, "%s%s", i ? "," : "", layer);
		cx_str_addf(&text, "]}");
		CHECK_INT(parse(text.data, NULL, &m, &err), n <= 500 ? 0 : -EINVAL);
		if (n > 500)
			image_refused("layers", -EINVAL, -EINVAL, "layers = 501 of them", &err);
		cx_image_manifest_free(m);
		m = NULL;
	}
	image_refused("index", repeat("", "{'schemaVersion':2,'manifests':[" OFFER("a", "b", ""), "," OFFER("a", "b", ""), 1023,
		&err), -EINVAL, "manifest, line 1", &err);     /* 1024 are well, but for the end that is missing */
	image_refused("index", repeat("", "{'schemaVersion':2,'manifests':[" OFFER("a", "b", ""), "," OFFER("a", "b", ""), 1024,
		&err), -EINVAL, "manifest", &err);
	/* a NUL, which no text of C can hold */
	CHECK_INT(cx_image_manifest_parse("{\0}", 3, NULL, &m, &err), -EINVAL);
	image_refused("NUL", -EINVAL, -EINVAL, "manifest", &err);
	CHECK_INT(cx_image_manifest_parse("{}\0", 3, NULL, &m, NULL), -EINVAL);
	conex_error_free(err);
}

int main(void)
{
	RUN(oci);
	RUN(docker);
	RUN(types);
	RUN(choice);
	RUN(choice_without);
	RUN(platforms);
	RUN(refused);
	RUN(bounds);
	return test_end();
}
