/* Specs in memory: the default, loading, merging, pointers, what survives a round
 * trip. */
#include <conex/spec.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../test.h"
#include "spec/check.h"

/* What stands at `pointer`, as compact JSON; "" if nothing does. The caller frees. */
static char *at(const conex_spec *spec, const char *pointer)
{
	char *text = NULL;

	return conex_spec_get(spec, pointer, &text, NULL) == 0 ? text : strdup("");
}

static void check_at(const conex_spec *spec, const char *pointer, const char *want)
{
	char *text = at(spec, pointer);

	if (!CHECK_STR(text, want))
		printf("# at %s\n", pointer);
	free(text);
}

static conex_spec *fresh(void)
{
	conex_spec *spec = NULL;

	CHECK_INT(conex_spec_new(&spec, NULL), 0);
	return spec;
}

static int merge(conex_spec *spec, const char *json)
{
	conex_error *err = NULL;
	int r = conex_spec_merge(spec, json, &err);

	if (r < 0)
		printf("# %s\n", conex_error_text(err));
	conex_error_free(err);
	return r;
}

static conex_spec *parse(const char *json)
{
	conex_error *err = NULL;
	conex_spec *spec = NULL;

	if (!CHECK_INT(conex_spec_parse(json, &spec, &err), 0))
		printf("# %s\n", conex_error_text(err));
	conex_error_free(err);
	return spec;
}

TEST(the_default_is_valid_and_safe)
{
	conex_spec *spec = fresh(), *again;
	char *text = NULL;

	CHECK_INT(cx_spec_validate(spec->root, NULL), 0);
	check_at(spec, "/process/args", "[\"sh\"]");
	check_at(spec, "/process/noNewPrivileges", "true");
	check_at(spec, "/process/terminal", "false");
	check_at(spec, "/root/readonly", "false");
	check_at(spec, "/linux/namespaces/5", "{\"type\":\"cgroup\"}");
	check_at(spec, "/linux/seccomp/defaultAction", "\"SCMP_ACT_ERRNO\"");
	CHECK_INT(conex_spec_print(spec, &text, NULL), 0);
	again = parse(text);
	CHECK(again && json_equal(spec->root, again->root));
	free(text);
	conex_spec_free(again);
	conex_spec_free(spec);
}

TEST(unknown_fields_and_their_order_survive)
{
	const char *text = "{\n    \"zeta\": [\n        1,\n        {\n            \"b\": null,\n"
		"            \"a\": \"\xc3\xa9\"\n        }\n    ],\n    \"ociVersion\": \"1.3.0\",\n"
		"    \"linux\": {\n        \"future\": {\n            \"deep\": true\n        },\n"
		"        \"cgroupsPath\": \"/x\"\n    },\n    \"process\": {\n        \"new\": 9223372036854775807,\n"
		"        \"cwd\": \"/\"\n    }\n}";
	conex_spec *spec = parse(text);
	char *printed = NULL;

	CHECK_INT(conex_spec_print(spec, &printed, NULL), 0);
	CHECK_STR(printed, text);
	free(printed);
	CHECK_INT(merge(spec, "{\"process\": {\"args\": [\"true\"]}}"), 0);
	check_at(spec, "/linux/future/deep", "true");
	check_at(spec, "/process", "{\"new\":9223372036854775807,\"cwd\":\"/\",\"args\":[\"true\"]}");
	conex_spec_free(spec);
}

TEST(nulls_mean_nothing_said)
{
	conex_spec *spec = parse("{\"ociVersion\": \"1.0.2-dev\", \"mounts\": null, \"linux\": "
		"{\"namespaces\": null, \"seccomp\": null}, \"process\": {\"cwd\": \"/\", \"args\": null}}");

	CHECK(!cx_json_at(spec->root, "mounts"));
	CHECK(!cx_json_text(spec->root, "process.args"));
	CHECK_INT(cx_json_int(spec->root, "process.user.uid", -7), -7);
	conex_spec_free(spec);
}

TEST(objects_merge_by_key_and_null_removes)
{
	conex_spec *spec = fresh();

	CHECK_INT(merge(spec, "{\"process\": {\"user\": {\"uid\": 5}, \"rlimits\": null}, "
		"\"annotations\": {\"a\": \"1\", \"b\": \"2\"}}"), 0);
	CHECK_INT(merge(spec, "{\"annotations\": {\"a\": null, \"c\": \"3\"}}"), 0);
	check_at(spec, "/process/user", "{\"uid\":5,\"gid\":0}");
	check_at(spec, "/process/rlimits", "");
	check_at(spec, "/annotations", "{\"b\":\"2\",\"c\":\"3\"}");
	CHECK_INT(merge(spec, "{\"linux\": {\"resources\": {\"memory\": {\"limit\": 1048576, "
		"\"swap\": null}}}}"), 0);
	check_at(spec, "/linux/resources", "{\"memory\":{\"limit\":1048576}}");
	conex_spec_free(spec);
}

TEST(lists_merge_by_identity)
{
	conex_spec *spec = fresh();

	CHECK_INT(merge(spec, "{\"process\": {\"env\": [\"A=1\", \"B=\", \"PATH=/bin\", \"A=2\"], "
		"\"rlimits\": [{\"type\": \"RLIMIT_CORE\", \"soft\": 0, \"hard\": -1}, "
		"{\"type\": \"RLIMIT_NOFILE\", \"soft\": 99}]}}"), 0);
	check_at(spec, "/process/env", "[\"PATH=/bin\",\"A=2\",\"B=\"]");
	check_at(spec, "/process/rlimits", "[{\"type\":\"RLIMIT_NOFILE\",\"hard\":1024,\"soft\":99},"
		"{\"type\":\"RLIMIT_CORE\",\"soft\":0,\"hard\":-1}]");
	CHECK_INT(merge(spec, "{\"mounts\": [{\"destination\": \"/dev/shm/\", \"options\": [\"ro\"]}, "
		"{\"destination\": \"/data\", \"type\": \"bind\", \"source\": \"/srv\"}]}"), 0);
	check_at(spec, "/mounts/3", "{\"destination\":\"/dev/shm/\",\"type\":\"tmpfs\","
		"\"source\":\"shm\",\"options\":[\"ro\"]}");
	check_at(spec, "/mounts/7/destination", "\"/data\"");
	CHECK_INT(merge(spec, "{\"linux\": {\"namespaces\": [{\"type\": \"network\", "
		"\"path\": \"/proc/1/ns/net\"}, {\"type\": \"time\"}], \"devices\": "
		"[{\"type\": \"p\", \"path\": \"/f\"}]}}"), 0);
	check_at(spec, "/linux/namespaces/1", "{\"type\":\"network\",\"path\":\"/proc/1/ns/net\"}");
	check_at(spec, "/linux/namespaces/6", "{\"type\":\"time\"}");
	CHECK_INT(merge(spec, "{\"linux\": {\"devices\": [{\"path\": \"/f\", \"uid\": 3}, "
		"{\"type\": \"c\", \"path\": \"/n\", \"major\": 1, \"minor\": 3}]}}"), 0);
	check_at(spec, "/linux/devices/0", "{\"type\":\"p\",\"path\":\"/f\",\"uid\":3}");
	check_at(spec, "/linux/devices/1/path", "\"/n\"");
	conex_spec_free(spec);
}

TEST(other_lists_are_replaced)
{
	conex_spec *spec = fresh();

	CHECK_INT(merge(spec, "{\"process\": {\"args\": [\"a\", \"\"]}, \"linux\": "
		"{\"maskedPaths\": [\"/proc/keys\"]}}"), 0);
	check_at(spec, "/process/args", "[\"a\",\"\"]");
	check_at(spec, "/linux/maskedPaths", "[\"/proc/keys\"]");
	conex_spec_free(spec);
}

/* Is the call named in an entry with this action and without arguments? */
static int profile_has(const json_t *seccomp, const char *call, const char *action)
{
	json_t *entry;
	size_t i;

	json_array_foreach(cx_json_at(seccomp, "syscalls"), i, entry)
		if (!strcmp(cx_json_text(entry, "action"), action) && !cx_json_at(entry, "args")
		    && cx_json_has(cx_json_at(entry, "names"), call))
			return 1;
	return 0;
}

TEST(the_profile_follows_capabilities)
{
	const char *admin = "{\"process\": {\"capabilities\": {\"bounding\": [\"CAP_SYS_ADMIN\"]}}}";
	conex_spec *spec = fresh();
	const json_t *profile = cx_json_at(spec->root, "linux.seccomp");

	CHECK(profile_has(profile, "openat", "SCMP_ACT_ALLOW"));
	CHECK(!profile_has(profile, "mount", "SCMP_ACT_ALLOW"));
	CHECK(!profile_has(profile, "clone", "SCMP_ACT_ALLOW"));
	CHECK(profile_has(profile, "clone3", "SCMP_ACT_ERRNO"));
	CHECK(!profile_has(profile, "io_uring_setup", "SCMP_ACT_ALLOW"));
	CHECK(!profile_has(profile, "chroot", "SCMP_ACT_ALLOW"));
	CHECK_INT(merge(spec, admin), 0);
	profile = cx_json_at(spec->root, "linux.seccomp");
	CHECK(profile_has(profile, "mount", "SCMP_ACT_ALLOW"));
	CHECK(profile_has(profile, "clone3", "SCMP_ACT_ALLOW"));
	conex_spec_free(spec);

	spec = fresh();
	CHECK_INT(merge(spec, "{\"linux\": {\"seccomp\": {\"defaultErrnoRet\": 38}}}"), 0);
	CHECK_INT(merge(spec, admin), 0);
	profile = cx_json_at(spec->root, "linux.seccomp");
	CHECK(!profile_has(profile, "mount", "SCMP_ACT_ALLOW"));
	CHECK_INT(merge(spec, "{\"linux\": {\"seccomp\": null}}"), 0);
	CHECK_INT(merge(spec, "{\"process\": {\"capabilities\": {\"bounding\": []}}}"), 0);
	check_at(spec, "/linux/seccomp", "");
	conex_spec_free(spec);
}

TEST(pointers)
{
	conex_spec *spec = parse("{\"ociVersion\": \"1.2.0\", \"\": {\"\": 5}, \"annotations\": {\"a/b\": \"s\", "
		"\"m~n\": \"t\", \"~1\": \"u\"}, \"x\": [[1, null]]}");
	check_at(spec, "/annotations/a~1b", "\"s\"");
	check_at(spec, "/annotations/m~0n", "\"t\"");
	check_at(spec, "/annotations/~01", "\"u\"");
	check_at(spec, "/x", "[[1,null]]");
	check_at(spec, "/x/0/0", "1");
	check_at(spec, "/x/0/1", "null");
	check_at(spec, "//", "5");
	conex_spec_free(spec);
}

TEST(pointers_to_nothing)
{
	static const char *const nowhere[] = { "/y", "/x/1", "/x/-", "/x/00", "/x/+0", "/x/0/0/0",
		"/x/", "/", "/x/99999999999999999999999", "/ociVersion/0" };
	static const char *const wrong[] = { "x", "x/0", "/~", "/~2", "/annotations/a~" };
	conex_spec *spec = parse("{\"ociVersion\": \"1.2.0\", \"annotations\": {}, \"x\": [[1]]}");
	conex_error *err = NULL;
	char *text = NULL;

	for (size_t i = 0; i < CX_ARRAY_SIZE(nowhere); i++)
		CHECK_INT(conex_spec_get(spec, nowhere[i], &text, &err), -ENOENT);
	for (size_t i = 0; i < CX_ARRAY_SIZE(wrong); i++)
		CHECK_INT(conex_spec_get(spec, wrong[i], &text, &err), -EINVAL);
	CHECK_INT(conex_spec_get(spec, NULL, &text, &err), -EINVAL);
	CHECK(!text);
	conex_error_free(err);
	conex_spec_free(spec);
}

static char bundle[64];

static char *in_bundle(const char *name)
{
	char *path = NULL;

	return asprintf(&path, "%s/%s", bundle, name) < 0 ? NULL : path;
}

static void put(const char *name, const char *text)
{
	char *path = in_bundle(name);
	FILE *f = fopen(path, "w");

	CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
	free(path);
}

static int load(const char *name, conex_spec **ret, conex_error **err)
{
	char *path = in_bundle(name);
	int r = conex_spec_load(path, ret, err);

	free(path);
	return r;
}

static void check_loaded(conex_spec *spec)
{
	char want[128];

	snprintf(want, sizeof want, "\"%s/rootfs\"", bundle);
	check_at(spec, "/root/path", want);
	snprintf(want, sizeof want, "\"%s/data\"", bundle);
	check_at(spec, "/mounts/0/source", want);
	check_at(spec, "/mounts/1/source", "\"proc\"");
	check_at(spec, "/mounts/2/source", "\"/srv\"");
	conex_spec_free(spec);
}

TEST(bundles_load)
{
	conex_spec *spec = NULL;

	put("config.json", "{\"ociVersion\": \"1.0.2\", \"root\": {\"path\": \"rootfs\"}, \"mounts\": ["
		"{\"destination\": \"d\", \"source\": \"data\", \"options\": [\"rbind\", \"rro\"]}, "
		"{\"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\"}, "
		"{\"destination\": \"/e\", \"type\": \"bind\", \"source\": \"/srv\"}]}");
	CHECK_INT(load("", &spec, NULL), 0);
	check_loaded(spec);
	CHECK_INT(load("config.json", &spec, NULL), 0);
	check_loaded(spec);
}

static void check_load(const char *name, int code, const char *words)
{
	conex_error *err = NULL;
	conex_spec *spec = NULL;

	CHECK_INT(load(name, &spec, &err), code);
	CHECK(!spec && conex_error_stage(err) == CONEX_STAGE_SPEC);
	if (!CHECK(strstr(conex_error_text(err), words)))
		printf("# %s\n", conex_error_text(err));
	conex_error_free(err);
}

TEST(what_is_no_bundle)
{
	char *fifo = in_bundle("fifo"), *empty = in_bundle("empty"), *large = in_bundle("large");

	check_load("missing", -ENOENT, "config.json");
	CHECK_INT(mkdir(empty, 0700), 0);
	check_load("empty", -ENOENT, "config.json");
	CHECK_INT(mkfifo(fifo, 0600), 0);
	check_load("fifo", -EINVAL, "regular file");
	put("large", "{");
	CHECK_INT(truncate(large, (16 << 20) + 1), 0);
	check_load("large", -EFBIG, "16 MiB");
	put("nul", "{\"a\": 1}");
	CHECK_INT(truncate((free(large), large = in_bundle("nul")), 20), 0);
	check_load("nul", -EINVAL, "NUL");
	put("broken", "{\n\"ociVersion\": oops}");
	check_load("broken", -EINVAL, "broken, line 2, column");
	put("old", "{}");
	check_load("old", -EINVAL, "ociVersion");
	CHECK_INT(conex_spec_load(NULL, NULL, NULL), -EINVAL);
	free(fifo);
	free(empty);
	free(large);
}

TEST(good_specs_are_not_refused)
{
	static const char *const layers[] = {
		("{\"linux\": {\"namespaces\": [{\"type\": \"user\"}], \"uidMappings\": [{\"containerID\": 0, "
		"\"hostID\": 4294967294, \"size\": 1}, {\"containerID\": 1, \"hostID\": 0, \"size\": 4294967294}],"
		"\"gidMappings\": [{\"containerID\": 0, \"hostID\": 0, \"size\": 4294967295}]}}"),
		"{\"mounts\": [{\"destination\": \"x\", \"type\": \"tmpfs\", \"options\": [\"rro\", \"ro\", \"rw\", \"size=5%\"]}]}",
		"{\"linux\": {\"sysctl\": {\"net/ipv4/conf/eth0.1/forwarding\": \"1\", \"kernel.shmmax\": \"5\", \"fs.mqueue.msg_max\": \"9\"}}}",
		("{\"linux\": {\"resources\": {\"devices\": [{\"allow\": false, \"access\": \"rwm\"}], \"blockIO\": {}, \"unified\": {}, "
		"\"memory\": {\"limit\": 65536, \"swap\": -1}, \"cpu\": {\"quota\": -1, \"period\": 100000, \"cpus\": \"0-1,3\", \"mems\": \"\"}, \"pids\": {\"limit\": -1}}}}"),
		"{\"hostname\": \"a-b.c_d\", \"process\": {\"terminal\": true, \"consoleSize\": {\"height\": 0, \"width\": 0}, \"user\": {\"uid\": 4294967294, \"umask\": 511}}}",
		"{\"hooks\": {\"prestart\": []}, \"process\": {\"apparmorProfile\": \"\"}, \"linux\": {\"intelRdt\": {}, \"timeOffsets\": null}}",
		"{\"linux\": {\"cgroupsPath\": \"system.slice:conex:abc\", \"rootfsPropagation\": \"rslave\", \"devices\": [{\"type\": \"u\", \"path\": \"/dev/fuse\", \"major\": 10, \"minor\": 229, \"fileMode\": 438}]}}",
	};
	conex_spec *spec;

	for (size_t i = 0; i < CX_ARRAY_SIZE(layers); i++) {
		spec = fresh();
		CHECK_INT(merge(spec, layers[i]), 0);
		conex_spec_free(spec);
	}
}

static const char *const anything[] = { "null", "true", "-1", "4294967295", "1.5", "\"\"", "\"..\"",
	"[]", "[null]", "[[]]", "{}", "{\"\": null}", "[{\"type\": 5}]" };

/* Puts anything into each place below `node`; the document must be judged, whatever it says. */
static void disturb(const json_t *root, json_t *node, int *refused)
{
	size_t size = json_is_object(node) ? json_object_size(node) : json_array_size(node);
	void *place = json_object_iter(node);

	/* Names of system calls are alike: a few will do. */
	for (size_t i = 0; i < size && i < 40; i++) {
		json_t *old = json_incref(place ? json_object_iter_value(place)
			: json_array_get(node, i));

		for (size_t k = 0; k < CX_ARRAY_SIZE(anything); k++) {
			json_t *other = json_loads(anything[k], JSON_DECODE_ANY, NULL);
			conex_error *err = NULL;

			if (place)
				json_object_iter_set_new(node, place, other);
			else
				json_array_set_new(node, i, other);
			if (cx_spec_validate(root, &err) < 0)
				CHECK(*conex_error_object(err) && *conex_error_hint(err) && ++*refused);
			conex_error_free(err);
		}
		if (place)
			json_object_iter_set(node, place, old);
		else
			json_array_set(node, i, old);
		disturb(root, old, refused);
		json_decref(old);
		place = json_object_iter_next(node, place);
	}
}

TEST(anything_anywhere_is_judged)
{
	conex_spec *spec = fresh();
	int refused = 0;

	CHECK_INT(merge(spec, "{\"linux\": {\"namespaces\": [{\"type\": \"user\"}], \"uidMappings\": "
		"[{\"containerID\": 0, \"hostID\": 9, \"size\": 9}], \"gidMappings\": [{\"containerID\": 0, "
		"\"hostID\": 9, \"size\": 9}], \"devices\": [{\"type\": \"c\", \"path\": \"/n\", "
		"\"major\": 1, \"minor\": 3}], \"sysctl\": {\"net.x\": \"1\"}, \"cgroupsPath\": \"x\", "
		"\"resources\": {\"devices\": [{\"allow\": true, \"access\": \"r\"}], \"memory\": "
		"{\"limit\": 4096, \"swap\": 4096}, \"cpu\": {\"quota\": 2000, \"burst\": 5, \"cpus\": "
		"\"0\"}, \"pids\": {\"limit\": 5}}}, \"hostname\": \"h\", \"hooks\": {\"prestart\": []}, "
		"\"annotations\": {\"a\": \"b\"}, \"process\": {\"user\": {\"additionalGids\": [5]}}}"), 0);
	disturb(spec->root, spec->root, &refused);
	CHECK(refused > 3000);
	CHECK_INT(cx_spec_validate(spec->root, NULL), 0);
	conex_spec_free(spec);
}

/* jansson's n-th allocation fails. */
static long allocations_left;

static void *failing_malloc(size_t size)
{
	return allocations_left-- > 0 ? malloc(size) : NULL;
}

static int everything(void)
{
	conex_error *err = NULL;
	conex_spec *spec = NULL;
	char *text = NULL;
	int r = conex_spec_new(&spec, &err);

	if (r == 0)
		r = conex_spec_merge(spec, "{\"process\": {\"env\": [\"A=1\"], \"capabilities\": "
			"{\"bounding\": [\"CAP_BPF\"]}}, \"annotations\": {\"a\": \"b\"}, "
			"\"mounts\": [{\"destination\": \"/dev\", \"options\": []}]}", &err);
	if (r == 0)
		r = conex_spec_get(spec, "/linux", &text, &err);
	CHECK_INT(conex_error_code(err), r);
	free(text);
	conex_error_free(err);
	conex_spec_free(spec);
	return r;
}

TEST(out_of_memory_is_an_error_like_another)
{
	int r = -ENOMEM;

	json_set_alloc_funcs(failing_malloc, free);
	for (long n = 0; r == -ENOMEM && n < 100000; n += n < 400 ? 1 : 7) {
		allocations_left = n;
		r = everything();
	}
	json_set_alloc_funcs(malloc, free);
	CHECK_INT(r, 0);
}

/* What Go's encoder and decoder make people write. */
TEST(habits_of_engines)
{
	conex_spec *spec = parse("{\"ociVersion\": \"1.0.2\", \"hostName\": \"x\", \"Process\": {\"CWD\": \"/\", \"cwd\": \"/a\"}, "
		"\"linux\": {\"Namespaces\": [{\"Type\": \"uts\"}, {\"type\": \"network\", \"path\": \"/proc/1/ns/net\"}], "
		"\"sysctl\": {\"net.core.somaxconn\": \"1\"}, \"resources\": {\"memory\": {\"limit\": 0, \"swap\": -1, "
		"\"swappiness\": 0}, \"cpu\": {\"shares\": 0, \"quota\": 0, \"cpus\": \"\"}, \"pids\": {\"limit\": 0}, "
		"\"blockIO\": {\"weight\": 0, \"weightDevice\": []}}}, "
		"\"mounts\": [{\"destination\": \"/d\", \"source\": \"/s\", \"options\": [\"rbind\", \"size=5m\"]}]}");

	check_at(spec, "/hostname", "\"x\"");
	check_at(spec, "/hostName", "");
	check_at(spec, "/process/cwd", "\"/a\"");
	check_at(spec, "/linux/namespaces/0/type", "\"uts\"");
	check_at(spec, "/linux/resources", "{\"memory\":{\"swap\":-1,\"swappiness\":0},\"cpu\":{},\"pids\":{},\"blockIO\":{}}");
	conex_spec_free(spec);
}

TEST(numbers_without_a_sign)
{
	conex_spec *spec = parse("{\"ociVersion\": \"1.0.2\", \"a\": [18446744073709551615, 9223372036854775808,\n9223372036854775807, "
		"\"18446744073709551615\", \"\\\"18446744073709551615\", 0.18446744073709551615], \"process\": {\"cwd\": \"/\", "
		"\"rlimits\": [{\"type\": \"RLIMIT_CORE\", \"soft\": 0, \"hard\": 18446744073709551615}]}}");

	check_at(spec, "/a/0", "-1");
	check_at(spec, "/a/1", "-9223372036854775808");
	check_at(spec, "/a/2", "9223372036854775807");
	check_at(spec, "/a/3", "\"18446744073709551615\"");
	check_at(spec, "/a/4", "\"\\\"18446744073709551615\"");
	check_at(spec, "/process/rlimits/0/hard", "-1");
	conex_spec_free(spec);
}

int main(void)
{
	snprintf(bundle, sizeof bundle, "/tmp/conex-spec-XXXXXX");
	if (!mkdtemp(bundle))
		return 1;
	RUN(the_default_is_valid_and_safe);
	RUN(unknown_fields_and_their_order_survive);
	RUN(nulls_mean_nothing_said);
	RUN(objects_merge_by_key_and_null_removes);
	RUN(lists_merge_by_identity);
	RUN(other_lists_are_replaced);
	RUN(the_profile_follows_capabilities);
	RUN(pointers);
	RUN(pointers_to_nothing);
	RUN(bundles_load);
	RUN(habits_of_engines);
	RUN(numbers_without_a_sign);
	RUN(what_is_no_bundle);
	RUN(good_specs_are_not_refused);
	RUN(anything_anywhere_is_judged);
	RUN(out_of_memory_is_an_error_like_another);
	if (!chdir(bundle)) {
		unlink("config.json"), unlink("fifo"), unlink("large"), unlink("nul");
		unlink("broken"), unlink("old"), rmdir("empty"), rmdir(bundle);
	}
	return test_end();
}
