/* Specs from config.json to a running container: what `runc spec` writes, layers that merge, options over a
 * spec, fields that nobody here knows. */
#include "system/box.h"

/* A bundle as `runc spec` makes it (or as it is remembered here, where runc isn't installed). */
static const char remembered[] = OCI({ "ociVersion": "1.0.2-dev", "process": { "terminal": true,
	"user": { "uid": 0, "gid": 0 }, "args": [ "sh" ], "env": [
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm" ], "cwd": "/",
	"capabilities": { "bounding": [ "CAP_AUDIT_WRITE", "CAP_KILL" ], "effective": [ "CAP_KILL" ],
	"permitted": [ "CAP_KILL" ], "ambient": [ "CAP_KILL" ] }, "rlimits": [ { "type": "RLIMIT_NOFILE",
	"hard": 1024, "soft": 1024 } ], "noNewPrivileges": true }, "root": { "path": "rootfs", "readonly": true },
	"hostname": "runc", "mounts": [ { "destination": "/proc", "type": "proc", "source": "proc" },
	{ "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": [ "nosuid", "mode=755" ] },
	{ "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": [ "nosuid", "newinstance",
	"ptmxmode=0666" ] } ], "linux": { "resources": { "devices": [ { "allow": false, "access": "rwm" } ] },
	"namespaces": [ { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" },
	{ "type": "mount" }, { "type": "cgroup" } ], "maskedPaths": [ "/proc/keys" ],
	"readonlyPaths": [ "/proc/sys" ] } });

static const char *bundle(void)
{
	const char *path = say("%s/bundle", box.dir);

	if (access(path, F_OK) == 0)
		return path;
	command("mkdir %s; cp -a %s %s/rootfs", path, box.root, path);
	if (command("cd %s && runc spec 2>/dev/null", path) != 0)
		make_file(say("%s/config.json", path), remembered);
	return path;
}

static conex_spec *loaded(const char *path)
{
	conex_spec *spec = NULL;

	GOOD(conex_spec_load(path, &spec, &box.err));
	return spec;
}

static void run_bundle(conex_spec *spec)
{
	struct conex_run_options o = { .spec = spec, .oci = "{\"process\":{\"terminal\":false}}" };

	CHECK_INT(box_run(&o, "hostname; touch /x 2>/dev/null || echo ro; echo $TERM; id -u; pwd; exit 5"), 5);
	CHECK_STR(box.out, "runc\nro\nxterm\n0\n/");
}

TEST(runc_bundle)
{
	conex_spec *spec = loaded(bundle());

	if (spec)
		run_bundle(spec);
	conex_spec_free(spec);
	spec = loaded(say("%s/config.json", bundle()));
	if (spec)
		run_bundle(spec);
	conex_spec_free(spec);
}

/* As it stands: a terminal and a shell. */
TEST(runc_terminal)
{
	conex_spec *spec = loaded(bundle());
	struct conex_run_options o = { .size = sizeof o, .spec = spec };
	conex_container *c = NULL;
	int status = -1, pty;

	box_clear();
	if (spec && GOOD(conex_run(box.cx, NULL, NULL, &o, &c, &box.err))) {
		pty = conex_container_stdio(c, 0);
		CHECK_INT(conex_container_stdio(c, 1), pty);
		GOOD(conex_container_resize(c, 33, 99, &box.err));
		CHECK_INT(write(pty, "stty size; tty; exit 6\n", 23), 23);
		GOOD(conex_container_output(c, -1, &box.io, &box.err));
		CHECK(box.io.out && strstr(box.io.out, "33 99\r\n") != NULL);
		CHECK(box.io.out && strstr(box.io.out, "/dev/pts/0\r\n") != NULL);
		CHECK_INT(conex_container_wait(c, -1, &status, &box.err), 1);
		CHECK_INT(status, 6);
	}
	box_end(c);
	conex_spec_free(spec);
}

TEST(round_trip)
{
	conex_spec *spec = loaded(bundle()), *again = NULL;
	char *text = NULL, *text2 = NULL, *value = NULL;

	if (!spec)
		return;
	GOOD(conex_spec_merge(spec, "{\"x-ours\":{\"a\":[1,null,\"ü\"]},\"process\":{\"x-p\":1.5},"
		"\"linux\":{\"x-l\":true},\"annotations\":{\"org.example.a\":\"b\"}}", &box.err));
	GOOD(conex_spec_print(spec, &text, &box.err));
	GOOD(conex_spec_parse(text, &again, &box.err));
	GOOD(conex_spec_print(again, &text2, &box.err));
	CHECK_STR(text2, text);
	if (GOOD(conex_spec_get(again, "/x-ours/a/2", &value, &box.err)))
		CHECK_STR(value, "\"ü\"");
	free(value);
	if (GOOD(conex_spec_get(again, "/process/x-p", &value, &box.err)))
		CHECK_STR(value, "1.5");
	free(value);
	if (GOOD(conex_spec_get(again, "/linux/x-l", &value, &box.err)))
		CHECK_STR(value, "true");
	free(value);
	run_bundle(again);
	free(text);
	free(text2);
	conex_spec_free(again);
	conex_spec_free(spec);
}

/* ---- layers ---- */

TEST(merged)
{
	struct conex_run_options o = { .env = CONEX_STRINGS("A=1", "B=2"), .hostname = "host",
		.mounts = CONEX_MOUNTS({ NULL, "/tmp", "tmpfs", "size=1m" }) };

	o.oci = "{\"process\":{\"env\":[\"B=3\",\"C=4\"]},\"hostname\":\"last\","
		"\"mounts\":[{\"destination\":\"/tmp\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"size=2m\"]},"
		"{\"destination\":\"/extra\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}]}";
	CHECK_INT(box_run(&o, "echo $A $B $C; hostname; grep -c ' /tmp ' /proc/mounts; grep ' /tmp ' /proc/mounts |"
		" grep -o size=2048k; grep -c ' /extra ' /proc/mounts; grep -c ' /dev/shm ' /proc/mounts"), 0);
	CHECK_STR(box.out, "1 3 4\nlast\n1\nsize=2048k\n1\n1");
	o.oci = "{\"hostname\":null,\"mounts\":null,\"linux\":{\"maskedPaths\":null,\"readonlyPaths\":null}}";
	CHECK_INT(box_run(&o, "ls /proc | wc -l"), 0);
	CHECK_STR(box.out, "0");
	o.oci = "{\"process\":{\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":0,\"hard\":0}]}}";
	CHECK_INT(box_run(&o, "ulimit -c; ulimit -n"), 0);
	CHECK_STR(box.out, "0\n1024");          /* a list with identities: one more, the other stays */
	o.oci = "{\"linux\":{\"namespaces\":[{\"type\":\"time\"}]}}";
	CHECK_INT(box_run(&o, "readlink /proc/self/ns/time; readlink /proc/self/ns/ipc"), 0);
	CHECK(strstr(box.out, ns_of(0, "time")) == NULL);
	CHECK(strstr(box.out, ns_of(0, "ipc")) == NULL);
}

TEST(options_over_a_spec)
{
	struct conex_limits limits = { .size = sizeof limits, .memory = 32 * CONEX_MIB, .pids = 9 };
	struct conex_stats st = { .size = sizeof st };
	struct conex_run_options o = { .env = CONEX_STRINGS("NEW=1"), .cwd = "/tmp", .user = "user", .hostname = "other",
		.limits = &limits, .mounts = CONEX_MOUNTS({ NULL, "/tmp", "tmpfs", "mode=1777" }),
		.oci = "{\"process\":{\"terminal\":false},\"root\":{\"readonly\":false}}" };
	conex_spec *spec = loaded(bundle());
	conex_container *c;

	o.spec = spec;
	if (!spec)
		return;
	CHECK_INT(box_run(&o, "echo $NEW $TERM; pwd; id -u; hostname; touch /tmp/x && echo w"), 0);
	CHECK_STR(box.out, "1 xterm\n/tmp\n1000\nother\nw");
	c = box_sleeper(&o);
	if (c && GOOD(conex_container_stats(c, &st, &box.err))) {
		CHECK_INT(st.memory_limit, 32 * CONEX_MIB);
		CHECK_INT(st.pids_limit, 9);
	}
	box_end(c);
	o.rootfs = box.root;                    /* another root under the same spec */
	make_file(say("%s/etc/mine", box.root), "mine");
	CHECK_INT(box_run(&o, "cat /etc/mine"), 0);
	CHECK_STR(box.out, "mine");
	conex_spec_free(spec);
}

/* ---- refused ---- */

TEST(refused)
{
	static const struct { const char *oci, *said; } cases[] = {
		{ "{", "conex_run_options.oci" },
		{ "[]", "oci" },
		{ "{\"process\":{\"cwd\":5}}", "process.cwd" },
		{ "{\"process\":{\"cwd\":\"tmp\"}}", "process.cwd" },
		{ "{\"process\":{\"args\":[]}}", "process.args" },
		{ "{\"process\":{\"user\":{\"uid\":-1}}}", "process.user.uid" },
		{ "{\"process\":{\"capabilities\":{\"bounding\":[\"CAP_ALL\"]}}}", "process.capabilities.bounding" },
		{ "{\"process\":{\"rlimits\":[{\"type\":\"RLIMIT_NONE\",\"soft\":1,\"hard\":1}]}}", "process.rlimits[" },
		{ "{\"linux\":{\"namespaces\":[{\"type\":\"net\"}]}}", "linux.namespaces[" },
		{ "{\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_MAYBE\"}}}", "linux.seccomp.defaultAction" },
		{ "{\"linux\":{\"resources\":{\"memory\":{\"limit\":\"64M\"}}}}", "linux.resources.memory.limit" },
		{ "{\"linux\":{\"uidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":1}]}}", "linux.uidMappings" },
		{ "{\"mounts\":[{\"destination\":\"/\",\"type\":\"tmpfs\"}]}", "mounts[" },
		{ "{\"root\":{\"overlay\":{\"lower\":[]}}}", "root.overlay.lower" },
		{ "{\"root\":{\"overlay\":{\"lower\":\"/a\"}}}", "root.overlay.lower" },
		{ "{\"root\":{\"overlay\":{\"lower\":[\"/a\"],\"upper\":\"b\"}}}", "root.overlay.upper" },
	};
	conex_spec *spec = NULL;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct conex_run_options o = { .id = "refused", .oci = cases[i].oci };

		if (!CHECK(box_run(&o, "true") < 0))
			printf("# %s\n", cases[i].oci);
		SAID(cases[i].said);
		CHECK_INT(conex_error_stage(box.err), CONEX_STAGE_SPEC);
	}
	box_nothing_left("refused");
	CHECK_INT(conex_spec_load("/nowhere", &spec, &box.err), -ENOENT);
	SAID("/nowhere");
	CHECK_INT(conex_spec_load(box.root, &spec, &box.err), -ENOENT);
	SAID("config.json");
	CHECK(spec == NULL);
}

TEST(a_spec_without_root)
{
	conex_spec *spec = NULL;
	struct conex_run_options o = { .size = sizeof o };
	conex_container *c = NULL;

	box_clear();
	CHECK_INT(conex_run(box.cx, NULL, CONEX_STRINGS("true"), &o, &c, &box.err), -EINVAL);
	SAID("root.path");
	GOOD(conex_spec_new(&spec, &box.err));
	o.spec = spec;
	CHECK_INT(conex_run(box.cx, NULL, CONEX_STRINGS("true"), &o, &c, &box.err), -EINVAL);
	SAID("root.path");
	o.rootfs = "/no/such/directory";
	CHECK_INT(conex_run(box.cx, NULL, CONEX_STRINGS("true"), &o, &c, &box.err), -ENOENT);
	SAID("/no/such/directory");
	o.rootfs = "/etc/passwd";
	CHECK_INT(conex_run(box.cx, NULL, CONEX_STRINGS("true"), &o, &c, &box.err), -ENOTDIR);
	CHECK_INT(conex_run(box.cx, "alpine", CONEX_STRINGS("true"), &o, &c, &box.err), -EINVAL);
	SAID("an image brings its own");
	conex_spec_free(spec);
}

static void tests(void)
{
	RUN(runc_bundle);
	RUN(runc_terminal);
	RUN(round_trip);
	RUN(merged);
	RUN(options_over_a_spec);
	RUN(refused);
	RUN(a_spec_without_root);
}

int main(void)
{
	return with_box(tests);
}
