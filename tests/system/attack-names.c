/* Attacks by names: ones that climb out of where cgroups, journals and sockets lie (class J), and ones of 64 KiB
 * where netlink, sockets and the kernel's own fields are short (class M, CVE-2021-43784). */
#include "system/box.h"

#include <jansson.h>

enum { LONG = 65536 };

static char longest[LONG + 1];  /* letters */

/* ---- what must not change: our state, and the cgroups that the names here would lead to ---- */

static char *world(void)
{
	char *text = calloc(1, 65536);
	FILE *from = popen(say("find %s | sort; find /sys/fs/cgroup -maxdepth 3 -type d '(' -name '[abx]' -o -name climber"
		" -o -name inside -o -name wide -o -name evil -o -name 'aaa*' ')'", box.cx->state->path), "re");

	if (from) {
		CHECK(fread(text, 1, 65535, from) < 65535);
		pclose(from);
	}
	return text;
}

static void nothing_made(const char *before, const char *what)
{
	char *after = world();

	if (!CHECK_STR(after, before))
		printf("# by %.60s\n", what);
	free(after);
}

/* ---- J: upwards ---- */

static const char *const climbing[] = { "..", ".", "../x", "/..", "/../..", "a/../../../b", "/a/..", "//a", "a//b", "/",
	"a/", "./a", "a/./b", "a\nb", "" };

TEST(cgroup_paths)
{
	char *before = world();

	for (unsigned i = 0; i < sizeof climbing / sizeof *climbing; i++) {
		json_t *path = json_string(climbing[i]);
		char *text = json_dumps(path, JSON_ENCODE_ANY);
		struct conex_run_options o = { .id = "climber", .oci = say("{\"linux\":{\"cgroupsPath\":%s}}", text) };

		if (!*climbing[i])      /* as if it weren't there */
			CHECK_INT(box_run(&o, "true"), 0);
		else if (!CHECK_INT(box_run(&o, "true"), -EINVAL) || !SAID("linux.cgroupsPath"))
			printf("# %s\n", text);
		free(text);
		json_decref(path);
	}
	nothing_made(before, "cgroupsPath");
	free(before);
}

TEST(names_and_parents)
{
	char *before = world();

	for (unsigned i = 0; i < sizeof climbing / sizeof *climbing; i++) {
		struct conex_options where = { .size = sizeof where, .cgroup = climbing[i] };
		struct conex_run_options o = { .id = climbing[i] };
		conex_cgroup *g = NULL;
		conex *cx = NULL;

		if (!CHECK_INT(box_run(&o, "true"), -EINVAL))
			printf("# id \"%s\"\n", climbing[i]);
		SAID("id");
		if (!CHECK_INT(conex_cgroup_create(box.cx, climbing[i], NULL, &g, NULL), -EINVAL))
			printf("# cgroup \"%s\"\n", climbing[i]);
		if (*climbing[i] && !CHECK_INT(conex_open(&where, &cx, NULL), -EINVAL))
			printf("# parent \"%s\"\n", climbing[i]);
	}
	nothing_made(before, "an id");
	free(before);
}

/* From inside: what is mounted is one's own, read-only; with a new mount and all rights it is still one's own. */
TEST(from_inside)
{
	static const char *const rights = "{\"linux\":{\"seccomp\":null},\"process\":{\"capabilities\":{\"bounding\":"
		"[\"CAP_SYS_ADMIN\",\"CAP_DAC_OVERRIDE\"],\"permitted\":[\"CAP_SYS_ADMIN\",\"CAP_DAC_OVERRIDE\"],\"effective\":"
		"[\"CAP_SYS_ADMIN\",\"CAP_DAC_OVERRIDE\"]}}}";
	struct conex_run_options o = { .id = "inside", .oci = rights };
	char *before;

	CHECK_INT(box_run(NULL, "true"), 0);
	before = world();
	CHECK_INT(box_run(NULL, "find /sys/fs/cgroup -type d -exec mkdir {}/evil ';' 2>/dev/null;"
		"find /sys/fs/cgroup -type f -name '*procs' | while read f; do (echo 1 >$f) 2>/dev/null && echo $f; done; :"), 0);
	CHECK_STR(box.out, "");
	/* every hierarchy anew: the root of each is this container's, and above it is nothing */
	CHECK_INT(box_run(&o, "mkdir -p /tmp/g; for t in '-t cgroup2' '-t cgroup -o pids' '-t cgroup -o memory'; do"
		" mount $t none /tmp/g 2>/dev/null || continue; echo mounted; ls -d /tmp/g/conex /tmp/g/../conex 2>/dev/null;"
		" grep -c . /tmp/g/cgroup.procs; umount /tmp/g; done; cut -d: -f3 /proc/self/cgroup | sort -u"), 0);
	CHECK(strstr(box.out, "mounted") != NULL);
	CHECK(strstr(box.out, "conex") == NULL);
	CHECK(strlen(box.out) > 1 && !strcmp(box.out + strlen(box.out) - 2, "\n/"));
	nothing_made(before, "a container");
	free(before);
}

/* ---- M: 64 KiB ---- */

/* Each with a text of 64 KiB in it. NULL: such a long one is fine. */
static const struct { const char *json, *said; } wide[] = {
	{ "{\"hostname\":\"%s\"}", "hostname" },
	{ "{\"domainname\":\"%s\"}", "domainname" },
	{ "{\"linux\":{\"netDevices\":{\"%s\":{}}}}", "linux.netDevices" },
	{ "{\"linux\":{\"netDevices\":{\"lo\":{\"name\":\"%s\"}}}}", "linux.netDevices" },
	{ "{\"linux\":{\"cgroupsPath\":\"/%s\"}}", "linux.cgroupsPath" },
	{ "{\"linux\":{\"sysctl\":{\"net.%s\":\"1\"}}}", "linux.sysctl" },
	{ "{\"linux\":{\"sysctl\":{\"net.ipv4.ip_forward\":\"%s\"}}}", "net.ipv4.ip_forward" },
	{ "{\"linux\":{\"devices\":[{\"path\":\"/dev/%s\",\"type\":\"c\",\"major\":1,\"minor\":3}]}}", "/dev/" },
	{ "{\"linux\":{\"maskedPaths\":[\"/%s\"]}}", "aaaa" },
	{ "{\"linux\":{\"namespaces\":[{\"type\":\"network\",\"path\":\"/%s\"}]}}", "aaaa" },
	{ "{\"linux\":{\"rootfsPropagation\":\"%s\"}}", "linux.rootfsPropagation" },
	{ "{\"linux\":{\"seccomp\":{\"defaultAction\":\"%s\"}}}", "linux.seccomp.defaultAction" },
	{ "{\"linux\":{\"personality\":{\"domain\":\"%s\"}}}", "linux.personality.domain" },
	{ "{\"mounts\":[{\"destination\":\"/%s\",\"type\":\"tmpfs\"}]}", "mounts[" },
	{ "{\"mounts\":[{\"destination\":\"/m\",\"type\":\"%s\"}]}", "mounts[" },
	{ "{\"mounts\":[{\"destination\":\"/m\",\"type\":\"bind\",\"source\":\"/%s\",\"options\":[\"bind\"]}]}", "mounts[" },
	{ "{\"mounts\":[{\"destination\":\"/m\",\"type\":\"tmpfs\",\"options\":[\"size=%s\"]}]}", "aaaa" },
	{ "{\"mounts\":[{\"destination\":\"/m\",\"type\":\"tmpfs\",\"options\":[\"%s\"]}]}", "aaaa" },
	{ "{\"process\":{\"cwd\":\"/%s\"}}", "aaaa" },
	{ "{\"process\":{\"args\":[\"/%s\"]}}", "aaaa" },
	{ "{\"process\":{\"args\":[\"%s\"]}}", "aaaa" },
	{ "{\"process\":{\"rlimits\":[{\"type\":\"%s\",\"soft\":1,\"hard\":1}]}}", "process.rlimits" },
	{ "{\"process\":{\"capabilities\":{\"bounding\":[\"%s\"]}}}", "process.capabilities" },
	{ "{\"root\":{\"path\":\"/%s\"}}", "aaaa" },
	{ "{\"process\":{\"env\":[\"PATH=/bin\",\"LONG=%s\"]}}", NULL },
	{ "{\"process\":{\"args\":[\"true\",\"%s\"]}}", NULL },
	{ "{\"annotations\":{\"org.example\":\"%s\"}}", NULL },
};

static int run_wide(const char *json)
{
	struct conex_run_options o = { .size = sizeof o, .id = "wide", .rootfs = strstr(json, "\"root\"") ? NULL : box.root };
	conex_container *c = NULL;
	int r, status = -1;

	o.oci = json;
	box_clear();
	r = conex_run(box.cx, NULL, strstr(json, "\"args\"") ? NULL : CONEX_STRINGS("true"), &o, &c, &box.err);
	if (r < 0)
		return r;
	GOOD(conex_container_wait(c, -1, &status, &box.err));
	box_end(c);
	return status;
}

TEST(long_texts)
{
	char *before = world();

	for (unsigned i = 0; i < sizeof wide / sizeof *wide; i++) {
		char *json = NULL;

		CHECK(asprintf(&json, wide[i].json, longest) > LONG);
		if (!wide[i].said)
			CHECK_INT(run_wide(json), 0);
		else if (!CHECK(run_wide(json) < 0) || !strstr(conex_error_text(box.err), wide[i].said))
			printf("# %s: %.300s\n", wide[i].json, conex_error_text(box.err)), CHECK(!"named");
		free(json);
		box_nothing_left("wide");
	}
	nothing_made(before, "a long text");
	free(before);
}

TEST(long_options)
{
	struct conex_run_options by_id = { .id = longest }, by_host = { .hostname = longest }, by_cwd = { .cwd = longest },
		by_user = { .user = longest };
	conex_namespace *ns = NULL;
	conex_cgroup *g = NULL;
	char *before = world();

	CHECK_INT(box_run(&by_id, "true"), -EINVAL);
	SAID("id");
	CHECK_INT(box_run(&by_host, "true"), -EINVAL);
	SAID("hostname");
	CHECK(box_run(&by_cwd, "true") < 0);
	SAID("process.cwd");
	CHECK(box_run(&by_user, "true") < 0);
	SAID("user");
	CHECK_INT(conex_cgroup_create(box.cx, longest, NULL, &g, &box.err), -EINVAL);
	CHECK(conex_namespace_open(box.cx, longest, &ns, &box.err) < 0);
	CHECK(conex_namespace_create(box.cx, CONEX_NS_NET, longest, &ns, &box.err) < 0);
	nothing_made(before, "a long option");
	free(before);
}

static void tests(void)
{
	memset(longest, 'a', LONG);
	RUN(cgroup_paths);
	RUN(names_and_parents);
	RUN(from_inside);
	RUN(long_texts);
	RUN(long_options);
}

int main(void)
{
	return with_box(tests);
}
