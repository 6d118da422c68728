/* spec -> rootfs operations: the option table, the order of operations, and what is
 * refused. */
#include "test.h"

#include <sys/mount.h>
#include "base/error.h"
#include "base/kernel.h"
#include "rootfs/compile.h"
#include "rootfs/options.h"

/* A compiled spec: the plan, or the refusal's text. */
struct result {
	struct cx_plan *plan;
	char error[512];
	int code;
};

static int fake_cgroup(struct cx_compile *c, const char *object, const char *target,
	uint64_t attributes, conex_error **err)
{
	(void)err;
	cx_op(c->build, mount_cgroup, object, 0, 0, cx_cell_text(c->build, target),
		attributes);
	return 0;
}

static int compile_all(struct cx_compile *c, conex_error **err)
{
	int r = cx_rootfs_needs_outside(c->spec) ? cx_rootfs_compile_outside(c, err) : 0;

	if (r == 0)
		r = cx_rootfs_compile_sources(c, err);
	if (r == 0)
		r = cx_rootfs_compile(c, err);
	if (r == 0)
		r = cx_rootfs_compile_finish(c, err);
	return r < 0 ? r : cx_rootfs_compile_protect(c, err);
}

static struct result compile(const char *text, uint32_t made, int userns, int cgroup)
{
	struct result result = { NULL, "", 0 };
	conex_error *err = NULL;
	struct cx_build b = { .sources = 0 };
	json_t *spec = json_loads(text, 0, NULL);
	struct cx_compile c = { .spec = spec,
		.build = &b,
		.made = made,
		.userns = userns,
		.mount_cgroup = cgroup ? fake_cgroup : NULL };

	CHECK(spec != NULL);
	result.code = compile_all(&c, &err);
	if (result.code == 0)
		result.code = cx_build_end(&b, &result.plan, &err);
	snprintf(result.error, sizeof result.error, "%s",
		err ? conex_error_text(err) : "");
	conex_error_free(err);
	cx_build_free(&b);
	json_decref(spec);
	return result;
}

static const struct cx_op *find(const struct cx_plan *plan, enum cx_op_code code, int nth)
{
	const struct cx_op *op = (const struct cx_op *)(plan + 1);

	for (uint32_t i = 0; plan && i < plan->operations; i++)
		if (op[i].code == code && nth-- == 0)
			return &op[i];
	return NULL;
}

/* The names of all operations, with a space after each. */
static void names(const struct cx_plan *plan, char *to, size_t size)
{
	const struct cx_op *op = (const struct cx_op *)(plan + 1);
	size_t n = 0;

	to[0] = '\0';
	for (uint32_t i = 0; plan && i < plan->operations && n < size; i++)
		n += (size_t)snprintf(to + n, size - n, "%s ", cx_op_name(op[i].code));
}

#define MINIMAL(rest) "{\"root\":{\"path\":\"/srv/root\"}" rest "}"
#define MOUNT(options) \
	MINIMAL(",\"mounts\":[{\"destination\":\"/data\",\"source\":\"/srv/data\"," \
		"\"type\":\"none\",\"options\":[" options "]}]")

TEST(options)
{
	static const struct {
		const char *name;
		uint64_t set, clear, deep_set, deep_clear;
	} table[] = {
		{ "ro", 1, 0, 0, 0 },
		{ "rw", 0, 1, 0, 0 },
		{ "nosuid", 2, 0, 0, 0 },
		{ "suid", 0, 2, 0, 0 },
		{ "nodev", 4, 0, 0, 0 },
		{ "dev", 0, 4, 0, 0 },
		{ "noexec", 8, 0, 0, 0 },
		{ "exec", 0, 8, 0, 0 },
		{ "noatime", 0x10, 0x70, 0, 0 },
		{ "relatime", 0, 0x70, 0, 0 },
		{ "strictatime", 0x20, 0x70, 0, 0 },
		{ "nodiratime", 0x80, 0, 0, 0 },
		{ "diratime", 0, 0x80, 0, 0 },
		{ "nosymfollow", 0x200000, 0, 0, 0 },
		{ "symfollow", 0, 0x200000, 0, 0 },
		{ "rro", 0, 0, 1, 0 },
		{ "rrw", 0, 0, 0, 1 },
		{ "rnosuid", 0, 0, 2, 0 },
		{ "rsuid", 0, 0, 0, 2 },
		{ "rnodev", 0, 0, 4, 0 },
		{ "rdev", 0, 0, 0, 4 },
		{ "rnoexec", 0, 0, 8, 0 },
		{ "rexec", 0, 0, 0, 8 },
		{ "rnoatime", 0, 0, 0x10, 0x70 },
		{ "rrelatime", 0, 0, 0, 0x70 },
		{ "rstrictatime", 0, 0, 0x20, 0x70 },
		{ "rnodiratime", 0, 0, 0x80, 0 },
		{ "rnosymfollow", 0, 0, 0x200000, 0 },
		{ "ratime", 0, 0, 0, 0x70 },
		{ "rsymfollow", 0, 0, 0, 0x200000 },
		{ "defaults", 0, 0, 0, 0 },
		{ "silent", 0, 0, 0, 0 },
		{ "acl", 0, 0, 0, 0 },
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct cx_mount_options o = { .set = 0 };

		CHECK_INT(cx_rootfs_add_option(&o, table[i].name), CX_OPTION_KNOWN);
		if (!CHECK(o.set == table[i].set && o.clear == table[i].clear
			    && o.deep_set == table[i].deep_set
			    && o.deep_clear == table[i].deep_clear))
			printf("# option %s\n", table[i].name);
	}
}

TEST(options_override)
{
	struct cx_mount_options o = { .set = 0 };

	cx_rootfs_add_option(&o, "ro");
	cx_rootfs_add_option(&o, "rw");
	CHECK_INT(o.set, 0);
	CHECK_INT(o.clear, 1);
	cx_rootfs_add_option(&o, "ro");
	CHECK_INT(o.set, 1);
	CHECK_INT(o.clear, 0);
	cx_rootfs_add_option(&o, "noatime");
	cx_rootfs_add_option(&o, "strictatime");
	CHECK_INT(o.set, 0x21);
	CHECK_INT(o.clear, 0x70);
	CHECK_INT(cx_rootfs_add_option(&o, "size=64m"), CX_OPTION_DATA);
	CHECK_INT(cx_rootfs_add_option(&o, "sync"), CX_OPTION_SUPER);
	CHECK_INT(cx_rootfs_add_option(&o, "rslave"), CX_OPTION_KNOWN);
	CHECK_INT(o.propagation, MS_SLAVE | MS_REC);
	CHECK_INT(cx_rootfs_add_option(&o, "rbind"), CX_OPTION_KNOWN);
	CHECK_INT(o.flags, CX_OPTION_BIND | CX_OPTION_RECURSIVE);
}

TEST(order)
{
	struct result r = compile(MINIMAL(",\"mounts\":["
					  "{\"destination\":\"/"
					  "proc\",\"type\":\"proc\",\"source\":\"proc\"},"
					  "{\"destination\":\"/"
					  "dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
					  "\"options\":[\"nosuid\",\"mode=755\"]},"
					  "{\"destination\":\"/data\",\"source\":\"/"
					  "srv\",\"options\":[\"bind\",\"ro\"]}],"
					  "\"linux\":{\"maskedPaths\":[\"/proc/"
					  "kcore\"],\"readonlyPaths\":[\"/proc/sys\"]}"),
		CONEX_NS_MOUNT, 0, 0);
	const struct cx_op *op;
	char text[1024];

	CHECK_STR(r.error, "");
	names(r.plan, text, sizeof text);
	CHECK(strstr(text, "propagation source source root mount_new mount_new "
			   "mount_source device device "
			   "device device device device symlink symlink symlink symlink "
			   "symlink ")
		== text);
	CHECK(strstr(text, "pivot mask read_only ") != NULL);
	op = find(r.plan, CX_OP_propagation, 0);
	CHECK_INT(op->arg[0], MS_PRIVATE | MS_REC);
	op = find(r.plan, CX_OP_mount_new, 0);
	CHECK_STR(cx_plan_text(r.plan, op->arg[2]), "/proc");
	CHECK_INT(op->arg[5], CX_MOUNT_STRICT);
	op = find(r.plan, CX_OP_mount_new, 1);
	CHECK_INT(op->arg[4], CX_MOUNT_ATTR_NOSUID);
	CHECK_STR(cx_plan_text(r.plan, op->object), "mounts[1] /dev");
	op = find(r.plan, CX_OP_mount_source, 0);
	CHECK_INT(op->arg[0], 1);
	CHECK_INT(op->arg[2], 0);
	CHECK_INT(op->arg[3], CX_MOUNT_ATTR_RDONLY);
	free(r.plan);
}

TEST(bind_attributes)
{
	static const struct {
		const char *options;
		uint64_t flags, set, clear, propagation;
		int more;
	} table[] = {
		{ "\"rbind\",\"ro\",\"rprivate\"", 0, 1, 0, 0, 0 },
		{ "\"rbind\",\"ro\",\"rslave\"", 0, 1, 0, MS_SLAVE | MS_REC, 0 },
		{ "\"rbind\",\"rro\",\"rnosuid\"", AT_RECURSIVE, 3, 0, 0, 0 },
		{ "\"rbind\",\"rro\",\"noexec\"", AT_RECURSIVE, 1, 0, 0, 1 },
		{ "\"bind\",\"rro\",\"noexec\"", 0, 9, 0, 0, 0 },
		{ "\"bind\",\"suid\",\"size=1\"", 0, 0, 2, 0, 0 },
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		char text[512];
		struct result r;
		const struct cx_op *op;

		snprintf(text, sizeof text,
			"{\"root\":{\"path\":\"/r\"},\"mounts\":[{\"destination\":\"/"
			"data\","
			"\"source\":\"/srv\",\"options\":[%s]}]}",
			table[i].options);
		r = compile(text, CONEX_NS_MOUNT, 0, 0);
		op = find(r.plan, CX_OP_mount_source, 0);
		if (CHECK(op != NULL)
			&& !CHECK(op->arg[2] == table[i].flags
				  && op->arg[3] == table[i].set
				  && op->arg[4] == table[i].clear
				  && op->arg[5] == table[i].propagation))
			printf("# %s\n", table[i].options);
		CHECK_INT(!!find(r.plan, CX_OP_attributes, 0), table[i].more);
		free(r.plan);
	}
}

TEST(propagation)
{
	struct result r = compile(
		MINIMAL(",\"linux\":{\"rootfsPropagation\":\"rshared\"},\"mounts\":["
			"{\"destination\":\"/a\",\"source\":\"/"
			"b\",\"options\":[\"rbind\",\"rshared\"]}]"),
		CONEX_NS_MOUNT, 0, 0);
	const struct cx_op *op = find(r.plan, CX_OP_source, 0);
	char text[1024];

	/* the bind is cloned while it is the host's peer, the root after the ties are cut */
	names(r.plan, text, sizeof text);
	CHECK(strstr(text, "source propagation source root mount_source ") == text);
	CHECK_INT(op->arg[0], 1);
	op = find(r.plan, CX_OP_attributes, 0);
	CHECK(op && op->arg[3] == MS_SHARED && op->arg[4] == AT_RECURSIVE);
	free(r.plan);
	r = compile(MINIMAL(",\"linux\":{\"rootfsPropagation\":\"rslave\"}"),
		CONEX_NS_MOUNT, 0, 0);
	CHECK_INT(find(r.plan, CX_OP_propagation, 0)->arg[0], MS_SLAVE | MS_REC);
	CHECK(!find(r.plan, CX_OP_attributes, 0));
	free(r.plan);
}

TEST(paths)
{
	static const char *const table[][2] = {
		{ "/a//b/./../c/", "/a/c" },
		{ "relative", "/relative" },
		{ "/../../etc", "/etc" },
		{ "/a/..b", "/a/..b" },
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		char text[512];
		struct result r;
		const struct cx_op *op;

		snprintf(text, sizeof text,
			"{\"root\":{\"path\":\"/r\"},\"mounts\":[{\"destination\":\"%s\","
			"\"type\":\"tmpfs\"}]}",
			table[i][0]);
		r = compile(text, CONEX_NS_MOUNT, 0, 0);
		op = find(r.plan, CX_OP_mount_new, 0);
		if (CHECK(op != NULL))
			CHECK_STR(cx_plan_text(r.plan, op->arg[2]), table[i][1]);
		free(r.plan);
	}
}

TEST(user_namespace)
{
	struct result r = compile(
		MINIMAL(",\"mounts\":[{\"destination\":\"/dev/pts\",\"type\":\"devpts\","
			"\"options\":[\"newinstance\",\"gid=5\",\"ptmxmode=0666\"]}],"
			"\"linux\":{\"gidMappings\":[{\"containerID\":0,\"hostID\":1000,"
			"\"size\":1}],"
			"\"devices\":[{\"path\":\"/dev/"
			"fuse\",\"type\":\"c\",\"major\":10,\"minor\":229},"
			"{\"path\":\"/dev/"
			"null\",\"type\":\"c\",\"major\":1,\"minor\":3}]}"),
		CONEX_NS_MOUNT, 1, 0);
	const struct cx_op *op = find(r.plan, CX_OP_mount_new, 0);
	const uint32_t *list = (const uint32_t *)((const char *)r.plan + op->arg[3]);

	CHECK_INT(list[0], 1);
	CHECK_STR((const char *)r.plan + list[1], "ptmxmode=0666");
	op = find(r.plan, CX_OP_device,
		6); /* the six default ones are bound as well, and /dev/null once */
	CHECK(op && op->arg[5] == 7);
	CHECK(!find(r.plan, CX_OP_device, 7));
	CHECK_STR(
		cx_plan_text(r.plan, find(r.plan, CX_OP_source, 7)->arg[1]), "/dev/fuse");
	free(r.plan);
	r = compile(
		MINIMAL(",\"mounts\":[{\"destination\":\"/sys\",\"type\":\"sysfs\"}]"),
		CONEX_NS_MOUNT, 1, 0);
	CHECK_INT(r.code, -EPERM);
	CHECK(strstr(r.error, "network") != NULL);
}

TEST(overlay)
{
	struct result r = compile(
		"{\"root\":{\"readonly\":true,\"overlay\":{\"lower\":[\"/a\",\"/b\"],"
		"\"upper\":\"/u\",\"work\":\"/w\"}}}",
		CONEX_NS_MOUNT, 0, 0);
	const struct cx_op *op = find(r.plan, CX_OP_overlay, 0);
	char text[1024];

	names(r.plan, text, sizeof text);
	CHECK(strstr(text, "propagation overlay root ") == text);
	CHECK_INT(op->arg[1] >> 32, CX_SLOT_LOWER);
	CHECK_STR(cx_plan_text(r.plan, op->arg[2]), "/u");
	CHECK_STR(cx_plan_text(r.plan, op->arg[4]), "redirect_dir=follow");
	op = find(r.plan, CX_OP_attributes, 0);
	CHECK(op && op->arg[1] == CX_MOUNT_ATTR_RDONLY && op->arg[4] == 0);
	free(r.plan);
}

/* Mapped and made by the first stage, before any namespace is entered. */
TEST(overlay_mapped)
{
	struct result r = compile(
		"{\"root\":{\"overlay\":{\"lower\":[\"/a\",\"/b\"],\"idmap\":true}},"
		"\"linux\":{\"uidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":5}],"
		"\"gidMappings\":[{\"containerID\":0,\"hostID\":2000,\"size\":5}]}}",
		CONEX_NS_MOUNT | CONEX_NS_USER, 1, 0);
	const struct cx_op *op = find(r.plan, CX_OP_map_layers, 0);
	char text[1024];

	if (!CHECK(op != NULL))
		return;
	CHECK_STR(cx_plan_text(r.plan, op->arg[0]), "0 1000 5\n");
	CHECK_STR(cx_plan_text(r.plan, op->arg[1]), "0 2000 5\n");
	names(r.plan, text, sizeof text);
	CHECK(strstr(text, "map_layers overlay propagation source ") == text);
	op = find(r.plan, CX_OP_overlay, 0);
	CHECK_STR(cx_plan_text(r.plan, op->arg[4]), "redirect_dir=follow");
	CHECK(op->arg[5] == CX_MOUNT_ATTR_NODEV);
	CHECK(!find(r.plan, CX_OP_overlay, 1));
	free(r.plan);
}

TEST(nothing)
{
	struct result r = compile(MOUNT("\"bind\""), CONEX_NS_PID, 0, 0);

	CHECK_INT(r.code, 0);
	CHECK_INT(r.plan->operations, 0);
	free(r.plan);
	r = compile(MINIMAL(",\"mounts\":[{\"destination\":\"/dev\",\"source\":\"/"
			    "dev\",\"type\":\"bind\"}]"),
		CONEX_NS_MOUNT, 0, 0);
	CHECK(!find(r.plan, CX_OP_device, 0) && !find(r.plan, CX_OP_symlink, 0));
	free(r.plan);
}

TEST(cgroup)
{
	const char *text = MINIMAL(
		",\"mounts\":[{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\","
		"\"options\":[\"ro\",\"nosuid\"]}]");
	struct result r = compile(text, CONEX_NS_MOUNT, 0, 1);

	CHECK_INT(find(r.plan, CX_OP_mount_cgroup, 0)->arg[3], 3);
	free(r.plan);
	r = compile(text, CONEX_NS_MOUNT, 0, 0);
	CHECK_INT(r.code, -EOPNOTSUPP);
}

TEST(refused)
{
	static const struct {
		const char *spec;
		int code;
		const char *names;
	} table[] = {
		{ "{}", -EINVAL, "root.path" },
		{ "{\"root\":{\"path\":\"rootfs\"}}", -EINVAL, "root.path" },
		{ "{\"root\":{\"overlay\":{}}}", -EINVAL, "root.overlay.lower" },
		{ "{\"root\":{\"overlay\":{\"lower\":[\"a\"]}}}", -EINVAL,
			"root.overlay.lower" },
		{ "{\"root\":{\"overlay\":{\"lower\":[\"/a\"],\"upper\":\"/u\"}}}",
			-EINVAL, "root.overlay.work" },
		{ MOUNT("\"ro\""), -EINVAL, "mounts[0] /data" },
		{ MOUNT("\"remount\",\"size=1m\""), -EOPNOTSUPP, "size=1m" },
		{ MINIMAL(",\"mounts\":[{\"destination\":\"/\",\"type\":\"tmpfs\"}]"),
			-EINVAL, "mounts[0] /" },
		{ MINIMAL(",\"mounts\":[{\"destination\":\"/"
			  "a\",\"type\":\"bind\",\"source\":\"x\"}]"),
			-EINVAL, "mounts[0] /a" },
		{ MINIMAL(",\"mounts\":[{\"destination\":\"/"
			  "a\",\"type\":\"proc\",\"options\":[\"tmpcopyup\"]}]"),
			-EINVAL, "tmpcopyup" },
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct result r = compile(table[i].spec, CONEX_NS_MOUNT, 0, 0);

		CHECK_INT(r.code, table[i].code);
		if (!CHECK(strstr(r.error, table[i].names) != NULL))
			printf("# %s: %s\n", table[i].spec, r.error);
		free(r.plan);
	}
}

int main(void)
{
	RUN(options);
	RUN(options_override);
	RUN(order);
	RUN(bind_attributes);
	RUN(propagation);
	RUN(paths);
	RUN(user_namespace);
	RUN(overlay);
	RUN(overlay_mapped);
	RUN(nothing);
	RUN(cgroup);
	RUN(refused);
	return test_end();
}
