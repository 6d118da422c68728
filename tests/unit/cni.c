/* CNI without plugins: lists found and refused, what a plugin reads, what its answers say. */
#include "test.h"
#include "base/str.h"
#include "network/cni.h"

#include <sys/mman.h>

static char directory[] = "/tmp/conex-cni-XXXXXX";

static void put(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	f = fopen(path, "w");
	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		CHECK_STR(strerror(errno), path);
}

static void drop(const char *name)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", directory, name);
	unlink(path);
}

/* ---- lists ---- */

/* The refusal's text; "": it is fine. */
static const char *refusal(const char *text)
{
	static char said[512];
	json_t *list = json_loads(text, JSON_DECODE_ANY, NULL);
	conex_error *err = NULL;
	int r = cx_cni_check_list(list, "x.conflist", &err);

	CHECK(list != NULL);
	CHECK(r == 0 || (r == -EINVAL && conex_error_code(err) == r));
	snprintf(said, sizeof said, "%s", conex_error_text(err));
	conex_error_free(err);
	json_decref(list);
	return said;
}

#define HEAD "\"cniVersion\":\"1.0.0\",\"name\":\"net\""
#define PLUGINS "\"plugins\":[{\"type\":\"bridge\"}]"

TEST(good_lists)
{
	CHECK_STR(refusal("{" HEAD "," PLUGINS "}"), "");
	CHECK_STR(refusal("{" HEAD ",\"disableCheck\":true,\"disableGC\":false," PLUGINS "}"), "");
	CHECK_STR(refusal("{" HEAD ",\"disableCheck\":\"true\"," PLUGINS "}"), "");
	CHECK_STR(refusal("{" HEAD ",\"unknown\":{\"a\":[1,2]}," PLUGINS "}"), "");
	CHECK_STR(refusal("{\"cniVersion\":\"1.1.0\",\"name\":\"a.b-c_9\"," PLUGINS "}"), "");
	CHECK_STR(refusal("{\"cniVersion\":\"0.3.0\",\"name\":\"net\"," PLUGINS "}"), "");
	CHECK_STR(refusal("{\"cniVersions\":[\"0.4.0\",\"9.9.9\",\"1.0.0\"],\"name\":\"net\"," PLUGINS "}"), "");
	CHECK_STR(refusal("{" HEAD ",\"plugins\":[{\"type\":\"a\",\"capabilities\":{\"portMappings\":true,\"ips\":false}}]}"),
		"");
}

static const struct { const char *text, *where; } bad[] = {
	{ "[]", "x.conflist" },
	{ "\"text\"", "x.conflist" },
	{ "7", "x.conflist" },
	{ "null", "x.conflist" },
	{ "{}", "name" },
	{ "{\"cniVersion\":\"1.0.0\"," PLUGINS "}", "name" },
	{ "{\"cniVersion\":\"1.0.0\",\"name\":5," PLUGINS "}", "name" },
	{ "{\"cniVersion\":\"1.0.0\",\"name\":\"\"," PLUGINS "}", "name" },
	{ "{\"cniVersion\":\"1.0.0\",\"name\":\"a/b\"," PLUGINS "}", "name" },
	{ "{\"cniVersion\":\"1.0.0\",\"name\":\"..\"," PLUGINS "}", "name" },
	{ "{\"cniVersion\":\"1.0.0\",\"name\":\"-a\"," PLUGINS "}", "name" },
	{ "{\"cniVersion\":\"1.0.0\",\"name\":\"a b\"," PLUGINS "}", "name" },
	{ "{\"cniVersion\":\"1.0.0\",\"name\":\"0123456789012345678901234567890123456789012345678901234567890123x\","
		PLUGINS "}", "name" },
	{ "{\"name\":\"net\"," PLUGINS "}", "cniVersion" },
	{ "{\"cniVersion\":1,\"name\":\"net\"," PLUGINS "}", "cniVersion" },
	{ "{\"cniVersion\":\"\",\"name\":\"net\"," PLUGINS "}", "cniVersion" },
	{ "{\"cniVersion\":\"0.2.0\",\"name\":\"net\"," PLUGINS "}", "cniVersion" },
	{ "{\"cniVersion\":\"2.0.0\",\"name\":\"net\"," PLUGINS "}", "cniVersion" },
	{ "{\"cniVersions\":\"1.0.0\",\"name\":\"net\"," PLUGINS "}", "cniVersions" },
	{ "{\"cniVersions\":[1],\"name\":\"net\"," PLUGINS "}", "cniVersions" },
	{ "{\"cniVersions\":[],\"name\":\"net\"," PLUGINS "}", "cniVersion" },
	{ "{" HEAD ",\"disableCheck\":1," PLUGINS "}", "disableCheck" },
	{ "{" HEAD ",\"disableCheck\":\"yes\"," PLUGINS "}", "disableCheck" },
	{ "{" HEAD ",\"disableGC\":[]," PLUGINS "}", "disableGC" },
	{ "{" HEAD "}", "plugins" },
	{ "{" HEAD ",\"plugins\":[]}", "plugins" },
	{ "{" HEAD ",\"plugins\":{\"type\":\"bridge\"}}", "plugins" },
	{ "{" HEAD ",\"plugins\":[5]}", "plugins[0]" },
	{ "{" HEAD ",\"plugins\":[{}]}", "plugins[0].type" },
	{ "{" HEAD ",\"plugins\":[{\"type\":\"a\"},{\"type\":null}]}", "plugins[1].type" },
	{ "{" HEAD ",\"plugins\":[{\"type\":\"a\"},{\"type\":\"../b\"}]}", "plugins[1].type" },
	{ "{" HEAD ",\"plugins\":[{\"type\":\"/bin/sh\"}]}", "plugins[0].type" },
	{ "{" HEAD ",\"plugins\":[{\"type\":\"\"}]}", "plugins[0].type" },
	{ "{" HEAD ",\"plugins\":[{\"type\":\"a\",\"capabilities\":[\"portMappings\"]}]}", "plugins[0]" },
	{ "{" HEAD ",\"plugins\":[{\"type\":\"a\",\"capabilities\":{\"portMappings\":\"yes\"}}]}", "plugins[0]" },
};

TEST(bad_lists)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(bad); i++)
		if (!CHECK(strstr(refusal(bad[i].text), bad[i].where)))
			printf("# %s: %s\n", bad[i].text, refusal(bad[i].text));
}

/* ---- found ---- */

static const char *found(const char *name, int *ret)
{
	static char text[512];
	json_t *list = NULL;
	conex_error *err = NULL;
	char *dump;

	*ret = cx_cni_find(name, &list, &err);
	CHECK(*ret == 0 || strstr(conex_error_text(err), name));
	dump = list ? json_dumps(list, JSON_COMPACT) : NULL;
	snprintf(text, sizeof text, "%s", dump ? dump : conex_error_text(err));
	free(dump);
	json_decref(list);
	conex_error_free(err);
	return text;
}

#define MARKED(name, mark) "{\"cniVersion\":\"1.0.0\",\"name\":\"" name "\",\"plugins\":[{\"type\":\"" mark "\"}]}"

TEST(by_name)
{
	int r;

	setenv("NETCONFPATH", directory, 1);
	put("20-b.conflist", MARKED("net", "late"));
	put("10-a.conflist", MARKED("net", "early"));
	put("05-other.conflist", MARKED("other", "x"));
	put("00-not.txt", MARKED("net", "text"));
	put("00-alone.conf", "{\"cniVersion\":\"0.4.0\",\"name\":\"net\",\"type\":\"alone\"}");
	CHECK(strstr(found("net", &r), "early"));       /* lists before single ones, in the order of their names */
	CHECK_INT(r, 0);
	drop("10-a.conflist");
	CHECK(strstr(found("net", &r), "late"));
	drop("20-b.conflist");
	CHECK_STR(found("net", &r), "{\"plugins\":[{\"cniVersion\":\"0.4.0\",\"name\":\"net\",\"type\":\"alone\"}],"
		"\"name\":\"net\",\"cniVersion\":\"0.4.0\"}");
	put("00-alone.json", "{\"cniVersion\":\"0.4.0\",\"name\":\"third\",\"type\":\"json\"}");
	CHECK(strstr(found("third", &r), "\"type\":\"json\""));
	found("nobody", &r);
	CHECK_INT(r, -ENOENT);
	setenv("NETCONFPATH", "/nonexistent", 1);
	found("net", &r);
	CHECK_INT(r, -ENOENT);
	setenv("NETCONFPATH", directory, 1);
}

/* A fault is told where it is in the way, and only there. */
TEST(faulty_files)
{
	int r;

	put("01-bad.conflist", "{ not JSON");
	CHECK(strstr(found("other", &r), "\"name\":\"other\""));
	CHECK_INT(r, 0);
	CHECK(strstr(found("wanted", &r), "01-bad.conflist"));
	CHECK(r < 0);
	put("01-bad.conflist", "{\"cniVersion\":\"1.0.0\",\"name\":\"wanted\",\"plugins\":[]}");
	CHECK(strstr(found("wanted", &r), "01-bad.conflist: plugins"));
	CHECK_INT(r, -EINVAL);
	put("02-good.conflist", MARKED("wanted", "second"));
	CHECK(strstr(found("wanted", &r), "second"));
	drop("02-good.conflist");
	drop("01-bad.conflist");
	put("01-large.conflist", "");
	{
		char path[128];

		snprintf(path, sizeof path, "%s/01-large.conflist", directory);
		CHECK_INT(truncate(path, CX_CNI_BYTES + 1), 0);
	}
	CHECK(strstr(found("wanted", &r), "at most 4 MiB"));
	CHECK_INT(r, -EFBIG);
	drop("01-large.conflist");
}

TEST(plugins_files)
{
	char *file = NULL, path[128];

	put("tool", "#!/bin/sh\n");
	snprintf(path, sizeof path, "%s/tool", directory);
	CHECK_INT(cx_cni_locate(directory, "tool", &file, NULL), -ENOENT);      /* not executable */
	chmod(path, 0755);
	snprintf(path, sizeof path, "relative::/nonexistent:%s", directory);
	CHECK_INT(cx_cni_locate(path, "tool", &file, NULL), 0);
	CHECK(file && !strncmp(file, directory, strlen(directory)) && !strcmp(file + strlen(directory), "/tool"));
	free(file);
	chmod(directory, 0777);
	CHECK_INT(cx_cni_locate(directory, "tool", &file, NULL), -EPERM);
	chmod(directory, 0755);
	snprintf(path, sizeof path, "%s/tool", directory);
	chmod(path, 0775);
	CHECK_INT(cx_cni_locate(directory, "tool", &file, NULL), -EPERM);
	drop("tool");
	CHECK_INT(cx_cni_locate(directory, "tool", &file, NULL), -ENOENT);
}

/* ---- an attachment ---- */

static struct cx_cni attachment(const char *version)
{
	struct cx_cni a = { NULL, NULL };
	char text[128];

	snprintf(text, sizeof text, "%s/tag", directory);
	a.file = strdup(text);
	a.root = json_pack("{s:{s:s, s:s, s:[{s:s, s:s}, {s:s, s:{s:b, s:b, s:b}, s:{s:i}, s:s}]}, s:s, s:s, s:s, s:s,"
		"s:{s:[i], s:i}}",
		"config", "cniVersion", version, "name", "net",
		"plugins", "type", "one", "own", "x",
		"type", "two", "capabilities", "portMappings", 1, "bandwidth", 0, "ips", 1, "runtimeConfig", "mine", 1,
		"prevResult", "forged",
		"containerId", "web", "ifName", "eth0", "netns", "/proc/self/ns/net", "path", directory,
		"capabilityArgs", "portMappings", 80, "bandwidth", 7);
	CHECK(a.root != NULL);
	return a;
}

static const char *reads(const struct cx_cni *a, enum cx_cni_command command, size_t n)
{
	static char text[512];
	json_t *input = cx_cni_input(a, command, n);
	char *dump = json_dumps(input, JSON_COMPACT);

	snprintf(text, sizeof text, "%s", dump);
	free(dump);
	json_decref(input);
	return text;
}

TEST(what_plugins_read)
{
	cx_autocni a = attachment("1.0.0");
	cx_autocni old = attachment("0.3.1");

	CHECK_STR(reads(&a, CX_CNI_ADD, 0), "{\"type\":\"one\",\"own\":\"x\",\"name\":\"net\",\"cniVersion\":\"1.0.0\"}");
	CHECK(strstr(reads(&a, CX_CNI_ADD, 1), "\"runtimeConfig\":{\"portMappings\":[80]}}"));
	CHECK(!strstr(reads(&a, CX_CNI_ADD, 1), "forged"));
	json_object_set_new(a.root, "result", json_pack("{s:s}", "cniVersion", "1.0.0"));
	json_object_set_new(old.root, "result", json_pack("{s:s}", "cniVersion", "0.3.1"));
	CHECK(strstr(reads(&a, CX_CNI_ADD, 0), "\"prevResult\":{\"cniVersion\":\"1.0.0\"}}"));
	CHECK(strstr(reads(&a, CX_CNI_DEL, 0), "\"prevResult\":{\"cniVersion\":\"1.0.0\"}}"));
	CHECK(strstr(reads(&a, CX_CNI_CHECK, 1), "\"prevResult\":{\"cniVersion\":\"1.0.0\"}}"));
	CHECK(strstr(reads(&old, CX_CNI_ADD, 1), "prevResult"));
	CHECK(!strstr(reads(&old, CX_CNI_DEL, 1), "prevResult"));        /* from 0.4.0 on */
	CHECK(cx_cni_is_new(cx_cni_list(&a)) && !cx_cni_is_new(cx_cni_list(&old)));
	CHECK(cx_cni_takes(cx_cni_list(&a), "portMappings") && !cx_cni_takes(cx_cni_list(&a), "bandwidth"));
	CHECK_INT(cx_cni_count(&a), 2);
}

TEST(on_file)
{
	cx_autocni a = attachment("1.0.0"), b = { NULL, NULL };
	int fd;

	CHECK_INT(cx_cni_load(a.file, &b), -ENOENT);
	CHECK_INT(cx_cni_save(&a), 0);
	CHECK_INT(cx_cni_load(a.file, &b), 0);
	CHECK(json_equal(a.root, b.root));
	fd = cx_cni_hold(&b);
	CHECK(fd >= 0);
	CHECK_INT(cx_cni_wait_idle(&a, 0), -EBUSY);
	close(fd);
	CHECK_INT(cx_cni_wait_idle(&a, 0), 0);
	CHECK_INT(cx_cni_undo(a.file, NULL, NULL, NULL), -EBUSY);       /* nobody can: it is kept */
	CHECK_INT(access(a.file, F_OK), 0);
	put("tag", "{\"config\":{}}");
	CHECK_INT(cx_cni_load(a.file, &(struct cx_cni){ NULL, NULL }), -EBADMSG);
	CHECK_INT(cx_cni_sweep(a.file), 0);
	CHECK_INT(cx_cni_undo(a.file, NULL, NULL, NULL), 0);
}

/* ---- answers ---- */

static int memory(const char *text)
{
	int fd = memfd_create("answer", MFD_CLOEXEC);

	CHECK_INT(write(fd, text, strlen(text)), strlen(text));
	CHECK_INT(ftruncate(fd, 1 << 16), 0);
	return fd;
}

/* What is said where a plugin ended so. */
static const char *answer(struct cx_cni *a, enum cx_cni_command command, const char *out, const char *err, int status,
	int *ret)
{
	static char text[1024];
	struct cx_cni_call c = { .in = -1, .out = memory(out), .err = memory(err), .held = -1 };
	conex_error *e = NULL;

	*ret = cx_cni_call_end(a, command, 0, &c, status, &e);
	snprintf(text, sizeof text, "%s", conex_error_text(e));
	conex_error_free(e);
	cx_cni_call_clear(&c);
	return text;
}

TEST(errors)
{
	static const struct { int code, want; } codes[] = { { 1, -EPROTONOSUPPORT }, { 2, -EOPNOTSUPP }, { 3, -ESRCH },
		{ 4, -EINVAL }, { 5, -EIO }, { 6, -EBADMSG }, { 7, -EINVAL }, { 11, -EAGAIN }, { 99, -ECANCELED },
		{ 100, -ECANCELED }, { -1, -ECANCELED } };
	cx_autocni a = attachment("1.0.0");
	char json[128];
	int r;

	for (size_t i = 0; i < CX_ARRAY_SIZE(codes); i++) {
		snprintf(json, sizeof json, "{\"cniVersion\":\"1.0.0\",\"code\":%d,\"msg\":\"it won't\\nfly\","
			"\"details\":\"no wings\"}", codes[i].code);
		CHECK(strstr(answer(&a, CX_CNI_ADD, json, "", 256, &r),
			"launch: CNI network net: plugin one: ADD: it won't: "));
		CHECK_INT(r, codes[i].want);
		CHECK(strstr(answer(&a, CX_CNI_DEL, json, "", 256, &r), "teardown: "));
		CHECK(strstr(answer(&a, CX_CNI_DEL, json, "", 256, &r), "no wings"));
	}
	CHECK(strstr(answer(&a, CX_CNI_ADD, "", "panic: here\nand there", 2 << 8, &r), "panic: here"));
	CHECK(strstr(answer(&a, CX_CNI_ADD, "", "panic: here\nand there", 2 << 8, &r), "ended with 2"));
	CHECK(strstr(answer(&a, CX_CNI_ADD, "{\"code\":3}", "", 1 << 8, &r), "ADD: ended with 1"));
	CHECK(strstr(answer(&a, CX_CNI_ADD, "[\"msg\"]", "", 9, &r), "was ended by signal 9"));
	CHECK_INT(r, -ECANCELED);
	CHECK_STR(answer(&a, CX_CNI_DEL, "whatever", "", 0, &r), "");
	CHECK_INT(r, 0);
	CHECK(json_object_get(a.root, "result") == NULL);
}

TEST(results_are_kept)
{
	cx_autocni a = attachment("1.0.0");
	int r;

	CHECK_STR(answer(&a, CX_CNI_ADD, "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.1.2.3/24\"}],\"x\":1}", "",
		0, &r), "");
	CHECK_INT(json_integer_value(json_object_get(json_object_get(a.root, "result"), "x")), 1);
	CHECK_STR(answer(&a, CX_CNI_ADD, "{}", "", 0, &r), "");        /* libcni takes the list's version then */
	CHECK_STR(json_string_value(json_object_get(json_object_get(a.root, "result"), "cniVersion")), "1.0.0");
	CHECK(strstr(answer(&a, CX_CNI_ADD, "{\"cniVersion\":\"0.4.0\"}", "", 0, &r), "another version"));
	CHECK_INT(r, -EPROTONOSUPPORT);
	CHECK(strstr(answer(&a, CX_CNI_ADD, "", "", 0, &r), "its result isn't one"));
	CHECK(strstr(answer(&a, CX_CNI_ADD, "[]", "", 0, &r), "its result isn't one"));
	CHECK(strstr(answer(&a, CX_CNI_ADD, "{\"ips\":[{\"address\":\"10.1.2\"}]}", "", 0, &r), "its result isn't one"));
	CHECK_INT(r, -EBADMSG);
}

static const struct { const char *text, *v4, *v6; } results[] = {
	{ "{\"cniVersion\":\"0.3.1\",\"ips\":[{\"version\":\"4\",\"address\":\"10.1.2.3/24\",\"interface\":0}],"
		"\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"/x\"}]}", "10.1.2.3", "" },
	{ "{\"cniVersion\":\"0.4.0\",\"ips\":[{\"version\":\"6\",\"address\":\"fd00::3/64\"},"
		"{\"version\":\"4\",\"address\":\"10.1.2.3/24\"}]}", "10.1.2.3", "fd00::3" },
	{ "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"br0\"},{\"name\":\"veth1\",\"sandbox\":\"\"},"
		"{\"name\":\"eth0\",\"sandbox\":\"/x\"}],"
		"\"ips\":[{\"address\":\"10.0.0.1/24\",\"interface\":0},{\"address\":\"10.0.0.2/24\",\"interface\":1},"
		"{\"address\":\"10.0.0.3/24\",\"interface\":2},{\"address\":\"10.0.0.4/24\",\"interface\":2}]}", "10.0.0.3", "" },
	{ "{\"cniVersion\":\"1.1.0\",\"interfaces\":[{\"name\":\"eth0\",\"mtu\":1400,\"sandbox\":\"/x\"}],"
		"\"ips\":[{\"address\":\"fd00::9/128\",\"interface\":0}]}", "", "fd00::9" },
	{ "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.0.0.1/24\",\"interface\":7}]}", "", "" },
	{ "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.0.0.1/24\",\"interface\":-1}]}", "", "" },
	{ "{\"cniVersion\":\"1.0.0\",\"ips\":null}", "", "" },
	{ "{\"cniVersion\":\"1.0.0\"}", "", "" },
};
static const char *const no_results[] = { "[]", "5", "{\"ips\":{}}", "{\"ips\":[5]}", "{\"ips\":[{}]}",
	"{\"ips\":[{\"address\":7}]}", "{\"ips\":[{\"address\":\"10.0.0.1\"}]}", "{\"ips\":[{\"address\":\"10.0.0.1/33\"}]}", "{\"interfaces\":5}" };

TEST(addresses)
{
	char address[2][INET6_ADDRSTRLEN];

	for (size_t i = 0; i < CX_ARRAY_SIZE(results); i++) {
		json_t *result = json_loads(results[i].text, 0, NULL);

		CHECK_INT(cx_cni_addresses(result, address), 0);
		CHECK_STR(address[0], results[i].v4);
		CHECK_STR(address[1], results[i].v6);
		json_decref(result);
	}
	for (size_t i = 0; i < CX_ARRAY_SIZE(no_results); i++) {
		json_t *result = json_loads(no_results[i], JSON_DECODE_ANY, NULL);

		CHECK(result != NULL);
		CHECK_INT(cx_cni_addresses(result, address), -EBADMSG);
		json_decref(result);
	}
}

int main(void)
{
	if (!mkdtemp(directory))
		return 1;
	RUN(good_lists);
	RUN(bad_lists);
	RUN(by_name);
	RUN(faulty_files);
	RUN(plugins_files);
	RUN(what_plugins_read);
	RUN(on_file);
	RUN(errors);
	RUN(results_are_kept);
	RUN(addresses);
	drop("05-other.conflist");
	drop("00-not.txt");
	drop("00-alone.conf");
	drop("00-alone.json");
	CHECK_INT(rmdir(directory), 0);
	return test_end();
}
