/* Manifests and indexes: those that are taken, the choice of a platform, and hostile ones. */
#include "image/manifest.h"
#include "image/document.h"
#include "image.h"

#define OCI_M "application/vnd.oci.image.manifest.v1+json"
#define OCI_I "application/vnd.oci.image.index.v1+json"
#define DOCKER_M "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_I "application/vnd.docker.distribution.manifest.list.v2+json"
#define CONFIG "'config':{'mediaType':'application/vnd.oci.image.config.v1+json','digest':'$','size':7023}"
#define LAYER(d, s) "{'mediaType':'application/vnd.oci.image.layer.v1.tar+gzip','digest':" d ",'size':" s "}"
#define LAYERS "'layers':[" LAYER("'$'", "32654") "]"
#define OFFER(os, arch, more) "{'mediaType':'" OCI_M "','digest':'$','size':7143,'platform':{'os':'" os \
	"','architecture':'" arch "'" more "}}"
#define WITH_LAYER(l) "{'schemaVersion':2," CONFIG ",'layers':[" l "]}"
#define WITH_OFFER(o) "{'schemaVersion':2,'manifests':[" o "]}"

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

struct bad { const char *text, *type, *where; int code; };

static const struct bad bad[] = {
	/* read in two ways */
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'manifests':[]}", NULL, "manifests, layers", -EINVAL },
	{ "{'schemaVersion':2,'mediaType':'" OCI_I "'," LAYERS ",'manifests':[]}", OCI_I, "manifests, layers", -EINVAL },
	{ "{'schemaVersion':2," CONFIG ",'manifests':[]}", NULL, "manifests, config", -EINVAL },
	{ "{'schemaVersion':2," LAYERS ",'manifests':null}", NULL, "manifests, layers", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'Manifests':[]}", NULL, "Manifests", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'LAYERS':[]}", NULL, "LAYERS", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'mediatype':'x'}", NULL, "mediatype", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'layers':[]}", NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':2," CONFIG ",'layers':[{'mediaType':'application/vnd.oci.image.layer.v1.tar','digest':'$',"
	  "'size':1,'size':2}]}", NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':2,'mediaType':'" OCI_I "'," CONFIG "," LAYERS "}", NULL, "mediaType = " OCI_I, -EINVAL },
	{ "{'schemaVersion':2,'mediaType':'" OCI_M "'," CONFIG "," LAYERS "}", DOCKER_M, "mediaType = " OCI_M, -EINVAL },
	{ "{'schemaVersion':2,'mediaType':'" OCI_M "','manifests':[]}", NULL, "mediaType = " OCI_M, -EINVAL },
	{ "{'schemaVersion':2,'mediaType':''," CONFIG "," LAYERS "}", NULL, "mediaType = ", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS "}", OCI_I, "type given = " OCI_I, -EINVAL },
	{ "{'schemaVersion':2,'manifests':[]}", OCI_M, "type given = " OCI_M, -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS "}", "text/html", "type given = text/html", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS "}", OCI_M "x", "type given", -EINVAL },
	{ "{'errors':[{'code':'UNAUTHORIZED'}]}", NULL, "manifest", -EINVAL },
	{ "{}", OCI_M, "manifest", -EINVAL },
	/* schema 1 */
	{ "{'schemaVersion':1,'name':'library/x','tag':'latest','fsLayers':[{'blobSum':'$'}],'history':[]}", NULL,
	  "schemaVersion", -EOPNOTSUPP },
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'fsLayers':[]}", NULL, "schemaVersion", -EOPNOTSUPP },
	{ "{'schemaVersion':1}", NULL, "schemaVersion", -EOPNOTSUPP },
	{ "{}", "application/vnd.docker.distribution.manifest.v1+prettyjws", "schemaVersion", -EOPNOTSUPP },
	/* types and missing fields */
	{ "{" CONFIG "," LAYERS "}", NULL, "schemaVersion", -EINVAL },
	{ "{'schemaVersion':'2'," CONFIG "," LAYERS "}", NULL, "schemaVersion", -EINVAL },
	{ "{'schemaVersion':3," CONFIG "," LAYERS "}", NULL, "schemaVersion = 3", -EINVAL },
	{ "{'schemaVersion':2.0," CONFIG "," LAYERS "}", NULL, "schemaVersion = 2.0", -EINVAL },
	{ "{'schemaVersion':2,'mediaType':7," CONFIG "," LAYERS "}", NULL, "mediaType = 7", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "}", NULL, "layers", -EINVAL },
	{ "{'schemaVersion':2," LAYERS "}", NULL, "config", -EINVAL },
	{ "{'schemaVersion':2," CONFIG ",'layers':{}}", NULL, "layers = {}", -EINVAL },
	{ "{'schemaVersion':2," CONFIG ",'layers':[null]}", NULL, "layers[0] = null", -EINVAL },
	{ "{'schemaVersion':2,'config':[]," LAYERS "}", NULL, "config = []", -EINVAL },
	{ "{'schemaVersion':2,'config':'$'," LAYERS "}", NULL, "config = ", -EINVAL },
	{ "{'schemaVersion':2,'config':{}," LAYERS "}", NULL, "config.mediaType", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'annotations':{'a':1}}", NULL, "annotations[\"a\"] = 1", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'annotations':['a']}", NULL, "annotations = ", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS ",'subject':'x'}", NULL, "subject = ", -EINVAL },
	{ WITH_LAYER("{'digest':'$','size':1}"), NULL, "layers[0].mediaType", -EINVAL },
	{ WITH_LAYER("{'mediaType':1,'digest':'$','size':1}"), NULL, "layers[0].mediaType = 1", -EINVAL },
	{ WITH_LAYER("{'mediaType':'application/vnd.oci.image.layer.v1.tar','size':1}"), NULL, "layers[0].digest", -EINVAL },
	{ WITH_LAYER("{'mediaType':'application/vnd.oci.image.layer.v1.tar','digest':'$','size':1,'urls':'x'}"), NULL,
	  "layers[0].urls", -EINVAL },
	/* sizes */
	{ WITH_LAYER(LAYER("'$'", "-1")), NULL, "layers[0].size = -1", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "1099511627777")), NULL, "layers[0].size = 1099511627777", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "9223372036854775807")), NULL, "layers[0].size = 9223372036854775807", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "9223372036854775808")), NULL, "line 1", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "18446744073709551615")), NULL, "line 1", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "1e400")), NULL, "line 1", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "1e3")), NULL, "layers[0].size", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "'1'")), NULL, "layers[0].size = \"1\"", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "null")), NULL, "layers[0].size", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "true")), NULL, "layers[0].size = true", -EINVAL },
	{ WITH_LAYER(LAYER("'$'", "600000000000") "," LAYER("'$'", "600000000000")), NULL, "layers[].size", -EINVAL },
	{ "{'schemaVersion':2,'config':{'mediaType':'application/vnd.oci.image.config.v1+json','digest':'$',"
	  "'size':4194305}," LAYERS "}", NULL, "config.size = 4194305", -EINVAL },
	/* digests */
	{ WITH_LAYER(LAYER("''", "1")), NULL, "layers[0].digest", -EINVAL },
	{ WITH_LAYER(LAYER("'sha256:../../../../../../../../etc/passwd'", "1")), NULL, "layers[0].digest = sha256:..",
	  -EINVAL },
	{ WITH_LAYER(LAYER("'sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef'", "1")), NULL,
	  "layers[0].digest", -EINVAL },
	{ WITH_LAYER(LAYER("'$0'", "1")), NULL, "layers[0].digest", -EINVAL },
	{ WITH_LAYER(LAYER("' $'", "1")), NULL, "layers[0].digest", -EOPNOTSUPP },
	{ WITH_LAYER(LAYER("'md5:0123456789abcdef0123456789abcdef'", "1")), NULL, "layers[0].digest = md5:", -EOPNOTSUPP },
	{ WITH_LAYER(LAYER("[]", "1")), NULL, "layers[0].digest = []", -EINVAL },
	{ WITH_LAYER(LAYER("'\x1b[2J'", "1")), NULL, "line 1", -EINVAL },
	{ WITH_LAYER(LAYER("'\\u001b[2J:x'", "1")), NULL, "layers[0].digest = \\x1b[2J:x", -EOPNOTSUPP },
	/* what isn't an image of a container */
	{ WITH_LAYER("{'mediaType':'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip','digest':'$','size':1,"
	  "'urls':['http://169.254.169.254/']}"), NULL, "layers[0].mediaType", -EOPNOTSUPP },
	{ WITH_LAYER("{'mediaType':'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip','digest':'$','size':1}"),
	  NULL, "layers[0].mediaType", -EOPNOTSUPP },
	{ WITH_LAYER("{'mediaType':'application/vnd.cncf.helm.chart.content.v1.tar+gzip','digest':'$','size':1}"), NULL,
	  "layers[0].mediaType", -EOPNOTSUPP },
	{ "{'schemaVersion':2,'config':{'mediaType':'application/vnd.oci.empty.v1+json','digest':'$','size':2}," LAYERS "}",
	  NULL, "config.mediaType = application/vnd.oci.empty", -EOPNOTSUPP },
	/* indexes */
	{ "{'schemaVersion':2,'manifests':{}}", NULL, "manifests = {}", -EINVAL },
	{ "{'schemaVersion':2,'manifests':[[]]}", NULL, "manifests[0] = []", -EINVAL },
	{ WITH_OFFER("{'mediaType':'" OCI_M "','digest':'$'}"), NULL, "manifests[0].size", -EINVAL },
	{ WITH_OFFER("{'mediaType':'" OCI_M "','digest':'x','size':1}"), NULL, "manifests[0].digest", -EINVAL },
	{ WITH_OFFER("{'mediaType':'" OCI_M "','digest':'$','size':1,'platform':'linux'}"), NULL, "manifests[0].platform",
	  -EINVAL },
	{ WITH_OFFER("{'mediaType':'" OCI_M "','digest':'$','size':1,'platform':{'os':'linux'}}"), NULL,
	  "manifests[0].platform.architecture", -EINVAL },
	{ WITH_OFFER(OFFER("linux", "../x", "")), NULL, "manifests[0].platform = ../x", -EINVAL },
	{ WITH_OFFER(OFFER("linux", "amd64", ",'variant':'0123456789012345678901234567890123456789'")), NULL,
	  "manifests[0].platform", -EINVAL },
	{ WITH_OFFER(OFFER("linux", "amd64", ",'os.features':[1]")), NULL, "os.features[0] = 1", -EINVAL },
	/* no JSON */
	{ "", NULL, "manifest", -EINVAL },
	{ "null", NULL, "manifest", -EINVAL },
	{ "[]", NULL, "manifest", -EINVAL },
	{ "'x'", NULL, "manifest", -EINVAL },
	{ "<html>404</html>", NULL, "line 1, column", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS "} x", NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS "}{}", NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':2," CONFIG "," LAYERS, NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':2,\n'a':'\xff\xfe'," CONFIG "," LAYERS "}", NULL, "line 2", -EINVAL },
	{ "{'schemaVersion':2,'a':'\xed\xa0\x80'," CONFIG "," LAYERS "}", NULL, "line 1", -EINVAL },
	{ "\xef\xbb\xbf{'schemaVersion':2," CONFIG "," LAYERS "}", NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':2,'a':'\\u0000'," CONFIG "," LAYERS "}", NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':2,'a\\u0000b':1," CONFIG "," LAYERS "}", NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':2,'a':'\\ud800'," CONFIG "," LAYERS "}", NULL, "line 1", -EINVAL },
	{ "{'schemaVersion':NaN," CONFIG "," LAYERS "}", NULL, "line 1", -EINVAL },
};

TEST(refused)
{
	printf("# %zu documents\n", sizeof bad / sizeof *bad);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct cx_image_manifest *m = NULL;
		conex_error *err = NULL;

		image_refused(bad[i].text, parse(bad[i].text, bad[i].type, &m, &err), bad[i].code, bad[i].where, &err);
		CHECK(!m);
		CHECK_INT(parse(bad[i].text, bad[i].type, &m, NULL), bad[i].code);
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
