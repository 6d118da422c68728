/* What is mounted in a container, and how: every option name as /proc/self/mountinfo shows it, tmpfs,
 * overlay roots, propagation both ways, binds; and that the host's mounts stay as they were. */
#include "system/box.h"

#include <sys/mount.h>

/* In a container: the mount options of `target`, and its file system's after a bar. */
#define OPTIONS_OF(target) \
	"awk '$5 == \"" target "\" { o = $6; for (i = 7; $i != \"-\"; i++); print o \"|\" $(i + 3) }' /proc/self/mountinfo | tail -n 1"

static int has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += n)
		if ((at == list || at[-1] == ',' || at[-1] == '|')
			&& (!at[n] || at[n] == ',' || at[n] == '|' || at[n] == '\n'))
			return 1;
	return 0;
}

TEST(option_names)
{
	static const struct { const char *options, *has, *has_not; } cases[] = {
		{ "ro", "ro", "rw" }, { "rw", "rw", "ro" }, { "ro,rw", "rw", "ro" }, { "rw,ro", "ro", NULL },
		{ "nosuid", "nosuid", NULL }, { "nosuid,suid", NULL, "nosuid" }, { "nodev", "nodev", NULL },
		{ "nodev,dev", NULL, "nodev" }, { "noexec", "noexec", NULL }, { "noexec,exec", NULL, "noexec" },
		{ "noatime", "noatime", "relatime" }, { "noatime,atime", "relatime", "noatime" },
		{ "relatime", "relatime", NULL }, { "strictatime", NULL, "relatime" },
		{ "strictatime,nostrictatime", "relatime", NULL }, { "nodiratime", "nodiratime", NULL },
		{ "nodiratime,diratime", NULL, "nodiratime" }, { "nosymfollow", "nosymfollow", NULL },
		{ "nosymfollow,symfollow", NULL, "nosymfollow" }, { "rro", "ro", NULL }, { "rnosuid", "nosuid", NULL },
		{ "rnodev", "nodev", NULL }, { "rnoexec", "noexec", NULL }, { "rnoatime", "noatime", NULL },
		{ "rnosymfollow", "nosymfollow", NULL }, { "rnodiratime", "nodiratime", NULL },
		{ "ro,nosuid,nodev,noexec,noatime", "noexec", "relatime" }, { "defaults", "rw", NULL },
		{ "nosuid,,nodev", "nodev", NULL }, { "private", NULL, "shared" }, { "rprivate", NULL, "shared" },
		{ "unbindable", NULL, "ro" },
	};
	const char *source = say("%s/plain", box.dir);

	mkdir(source, 0755);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct conex_mount binds[] = { { source, "/m", NULL, cases[i].options }, { NULL, NULL, NULL, NULL } };
		struct conex_mount news[] = { { NULL, "/m", "tmpfs", cases[i].options }, { NULL, NULL, NULL, NULL } };
		struct conex_run_options o = { .mounts = binds };

		for (int fresh = 0, good; fresh < 2; fresh++, o.mounts = news) {
			if (!CHECK_INT(box_run(&o, OPTIONS_OF("/m")), 0)) {
				printf("# %s: %s\n", cases[i].options, conex_error_text(box.err));
				continue;
			}
			*strchrnul(box.out, '|') = '\0';        /* the file system's own may be otherwise */
			good = CHECK(!cases[i].has || has_word(box.out, cases[i].has));
			good &= CHECK(!cases[i].has_not || !has_word(box.out, cases[i].has_not));
			if (!good)
				printf("# %s %s gave %s\n", fresh ? "tmpfs" : "bind", cases[i].options, box.out);
		}
	}
}

TEST(super_options)
{
	static const char *const cases[][2] = { { "sync", "sync" }, { "dirsync", "dirsync" },
		{ "lazytime", "lazytime" }, { "size=1m", "size=1024k" }, { "nr_inodes=9", "nr_inodes=9" },
		{ "mode=0700", "mode=700" }, { "uid=7,gid=8", "uid=7" } };

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct conex_run_options o = { .mounts = (struct conex_mount[]){ { NULL, "/m", "tmpfs", cases[i][0] },
			{ NULL, NULL, NULL, NULL } } };

		CHECK_INT(box_run(&o, OPTIONS_OF("/m")), 0);
		if (!CHECK(has_word(strchrnul(box.out, '|'), cases[i][1])))
			printf("# %s gave %s\n", cases[i][0], box.out);
	}
}

TEST(bad_options)
{
	struct conex_run_options o = { .id = "bad-mount", .mounts = CONEX_MOUNTS({ NULL, "/m", "tmpfs", "sice=1m" }) };

	CHECK_INT(box_run(&o, "true"), -EINVAL);
	SAID("/m");
	SAID("sice");
	box_nothing_left("bad-mount");
	o.mounts = CONEX_MOUNTS({ NULL, "/m", "nofs", NULL });
	CHECK_INT(box_run(&o, "true"), -ENODEV);
	SAID("nofs");
	o.mounts = CONEX_MOUNTS({ "/nowhere/at/all", "/m", NULL, NULL });
	CHECK_INT(box_run(&o, "true"), -ENOENT);
	SAID("/nowhere/at/all");
	SAID("name a source that is there");
	box_nothing_left("bad-mount");
	o.mounts = CONEX_MOUNTS({ "data", "/m", "volume", NULL });
	CHECK_INT(box_run(&o, "true"), -EOPNOTSUPP);
	SAID("mounts[0]");
	o.mounts = CONEX_MOUNTS({ "/etc", NULL, NULL, NULL });
	CHECK_INT(box_run(&o, "true"), -EINVAL);
	o.mounts = CONEX_MOUNTS({ NULL, "/m", NULL, NULL });
	CHECK_INT(box_run(&o, "true"), -EINVAL);
	SAID("source");
	box_nothing_left("bad-mount");
}

/* A tree with a mount in it: what is below is another mount, with flags of its own. */
TEST(recursive)
{
	static const struct { const char *options; int top, below; } cases[] = {
		{ "rbind,ro", 1, 0 }, { "rbind,rro", 1, 1 }, { "rbind", 0, 0 }, { "rbind,rro,rw", 0, 1 },
	};
	const char *tree = say("%s/tree", box.dir), *sub = say("%s/tree/sub", box.dir);

	mkdir(tree, 0755);
	mkdir(sub, 0755);
	CHECK_INT(mount("tmpfs", sub, "tmpfs", 0, NULL), 0);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct conex_run_options o = { .mounts = (struct conex_mount[]){ { tree, "/m", "bind", cases[i].options },
			{ NULL, NULL, NULL, NULL } } };

		CHECK_INT(box_run(&o, "for d in /m /m/sub; do if (>$d/f) 2>/dev/null; then echo 0; else echo 1; fi; done"), 0);
		if (!CHECK_STR(box.out, say("%d\n%d", cases[i].top, cases[i].below)))
			printf("# %s\n", cases[i].options);
	}
	CHECK_INT(box_run(&(struct conex_run_options){ .mounts = CONEX_MOUNTS({ tree, "/m", "bind", "bind" }) },
		"grep -c ' /m/sub ' /proc/self/mountinfo"), 1);
	CHECK_INT(umount2(sub, MNT_DETACH), 0);
}

TEST(tmpfs_size)
{
	struct conex_run_options o = { .mounts = CONEX_MOUNTS({ NULL, "/tmp", "tmpfs", "size=1m,mode=1777" }) };

	CHECK(box_run(&o, "stat -c %a /tmp; dd if=/dev/zero of=/tmp/f bs=64k count=20") != 0);
	CHECK(strstr(box.out, "1777") == box.out);
	if (!CHECK(strstr(box.out, "No space left") != NULL))
		printf("# %s\n", box.out);
}

TEST(copy_up)
{
	struct conex_run_options o = { .mounts = CONEX_MOUNTS({ NULL, "/etc", "tmpfs", "tmpcopyup" }) };

	CHECK_INT(box_run(&o, "echo new >/etc/new; grep -c root /etc/passwd"), 0);
	CHECK(access(say("%s/etc/new", box.root), F_OK) < 0);
}

TEST(binds)
{
	const char *file = say("%s/a file, with: signs", box.dir), *dir = say("%s/plain", box.dir);
	struct conex_run_options o = { .mounts = CONEX_MOUNTS({ file, "/etc/deep/er/conf", NULL, "ro" },
		{ dir, "/data", NULL, "ro" }, { dir, "/data2", NULL, NULL }, { NULL, "/t", "tmpfs", NULL }) };

	mkdir(dir, 0755);
	make_file(file, "text\n");
	CHECK_INT(box_run(&o, "cat /etc/deep/er/conf; (echo x >/etc/deep/er/conf) 2>/dev/null || echo ro;"
		" touch /data/x 2>/dev/null || echo ro; echo hello >/data2/hello; cat /data/hello; echo y >/t/y && echo t"), 0);
	CHECK_STR(box.out, "text\nro\nro\nhello\nt");
	CHECK_STR(content("%s/hello", dir), "hello");
	CHECK_STR(content("%s", file), "text");
}

/* ---- overlay ---- */

TEST(overlay)
{
	const char *upper = say("%s/upper", box.dir), *top = say("%s/top", box.dir);
	struct conex_run_options o = { .spec = NULL };
	conex_spec *spec = NULL;

	command("cd %s; mkdir -p upper work top/etc; echo top >top/etc/layer; echo base >%s/etc/layer", box.dir, box.root);
	GOOD(conex_spec_new(&spec, &box.err));
	o.spec = spec;
	o.oci = say("{\"root\":{\"path\":null,\"overlay\":{\"lower\":[\"%s\",\"%s\"],\"upper\":\"%s\",\"work\":\"%s/work\"}}}",
		top, box.root, upper, box.dir);
	CHECK_INT(box_run(&o, "cat /etc/layer; echo new >/etc/new; rm /etc/layer; grep -c '^overlay / overlay' /proc/mounts"), 0);
	CHECK_STR(box.out, "top\n1");
	CHECK_STR(content("%s/etc/new", upper), "new");
	CHECK(access(say("%s/etc/new", box.root), F_OK) < 0);
	CHECK_STR(content("%s/etc/layer", top), "top");
	o.oci = say("{\"root\":{\"path\":null,\"overlay\":{\"lower\":[\"%s\",\"%s\"]}}}", top, box.root);
	CHECK_INT(box_run(&o, "cat /etc/layer; touch /etc/x 2>/dev/null || echo ro"), 0);
	CHECK_STR(box.out, "top\nro");
	o.oci = say("{\"root\":{\"path\":null,\"overlay\":{\"lower\":[\"%s\"],\"upper\":\"%s\"}}}", box.root, upper);
	CHECK_INT(box_run(&o, "true"), -EINVAL);
	SAID("root.overlay");
	o.oci = say("{\"root\":{\"path\":null,\"overlay\":{\"lower\":[\"%s/none\"]}}}", box.dir);
	CHECK_INT(box_run(&o, "true"), -ENOENT);
	SAID("root.overlay");
	conex_spec_free(spec);
}

TEST(overlay_in_user_namespace)
{
	struct conex_run_options o = { .flags = CONEX_RUN_USERNS };

	command("cd %s; mkdir -p uupper uwork; chown 100000:100000 uupper uwork", box.dir);
	o.oci = say("{\"root\":{\"overlay\":{\"lower\":[\"%s\"],\"upper\":\"%s/uupper\",\"work\":\"%s/uwork\"}}}",
		box.root, box.dir, box.dir);
	CHECK_INT(box_run(&o, "echo hi >/file && cat /file"), 0);
	CHECK_STR(box.out, "hi");
	CHECK_STR(content("%s/uupper/file", box.dir), "hi");
}

/* ---- propagation ---- */

/* Does a running container with `options` on its bind of a shared tree see what the host mounts later? */
static int follows(const char *prop, const char *options)
{
	struct conex_run_options o = { .mounts = (struct conex_mount[]){ { prop, "/m", "bind", options },
		{ NULL, NULL, NULL, NULL } } };
	conex_container *c = box_sleeper(&o);
	int seen = -1;

	if (!c)
		return -1;
	CHECK_INT(mount("late", say("%s/late", prop), "tmpfs", 0, NULL), 0);
	seen = box_exec(c, NULL, "grep -q ' /m/late ' /proc/self/mountinfo") == 0;
	CHECK_INT(umount2(say("%s/late", prop), MNT_DETACH), 0);
	box_end(c);
	return seen;
}

TEST(propagation)
{
	char prop[64];

	snprintf(prop, sizeof prop, "%s/prop", box.dir);
	command("mkdir -p %s/late %s/inner; mount --bind %s %s; mount --make-private %s; mount --make-shared %s",
		prop, prop, prop, prop, prop, prop);
	CHECK_INT(follows(prop, "rbind"), 0);
	CHECK_INT(follows(prop, "rbind,rprivate"), 0);
	CHECK_INT(follows(prop, "rbind,rslave"), 1);
	CHECK_INT(follows(prop, "bind,slave"), 1);
	CHECK_INT(umount2(prop, MNT_DETACH), 0);
}

TEST(shared_with_host)
{
	struct conex_run_options o = { .mounts = NULL };
	char prop[64];

	snprintf(prop, sizeof prop, "%s/prop2", box.dir);
	command("mkdir -p %s/inner; mount --bind %s %s; mount --make-private %s; mount --make-shared %s",
		prop, prop, prop, prop, prop);
	o.mounts = (struct conex_mount[]){ { prop, "/m", "bind", "rbind,rshared" }, { NULL, NULL, NULL, NULL } };
	o.oci = "{\"linux\":{\"rootfsPropagation\":\"rshared\",\"seccomp\":null},\"process\":{\"capabilities\":{"
		"\"bounding\":[\"CAP_SYS_ADMIN\"],\"effective\":[\"CAP_SYS_ADMIN\"],\"permitted\":[\"CAP_SYS_ADMIN\"]}}}";
	CHECK_INT(box_run(&o, "mount -t tmpfs inner /m/inner"), 0);
	CHECK(strstr(content("/proc/self/mountinfo"), say("%s/inner", prop)) != NULL);
	umount2(say("%s/inner", prop), MNT_DETACH);
	CHECK_INT(umount2(prop, MNT_DETACH), 0);
}

/* ---- /dev and what is always there ---- */

TEST(devices)
{
	struct conex_run_options o = { .oci = "{\"linux\":{\"devices\":["
		"{\"path\":\"/dev/own\",\"type\":\"c\",\"major\":1,\"minor\":5,\"fileMode\":384,\"uid\":3,\"gid\":4},"
		"{\"path\":\"/dev/sub/fifo\",\"type\":\"p\"}]}}" };

	CHECK_INT(box_run(&o, "stat -c '%n %F %t:%T %a %u' /dev/own; stat -c '%F' /dev/sub/fifo; cd /dev;"
		" for f in null zero full random urandom tty fd stdin stdout stderr ptmx pts shm mqueue; do"
		" [ -e $f ] || [ -L $f ] || echo no $f; done; head -c 3 /dev/zero | wc -c"), 0);
	CHECK_STR(box.out, "/dev/own character special file 1:5 600 3\nfifo\n3");
}

TEST(cgroup_tree)
{
	CHECK_INT(box_run(NULL, "find /sys/fs/cgroup -type d | grep -c conex; cat /proc/self/cgroup | cut -d: -f3 | sort -u;"
		" find /sys/fs/cgroup -name tasks -o -name cgroup.procs | head -n 1 | xargs cat | grep -c '^1$';"
		" (f=$(find /sys/fs/cgroup -name cgroup.procs | head -n 1); echo 1 >$f) 2>/dev/null || echo ro"), 0);
	CHECK_STR(box.out, "0\n/\n1\nro");
}

static char *host_mounts(void)
{
	return strdup(content("/proc/self/mountinfo"));
}

TEST(nothing_on_the_host)
{
	char *before = host_mounts(), *after;
	conex_container *c = box_sleeper(NULL);

	after = host_mounts();
	CHECK(strstr(after, box.dir) == NULL);
	CHECK_INT(strstr(before, box.dir) == NULL, 1);
	free(after);
	free(before);
	box_end(c);
}

static void tests(void)
{
	RUN(option_names);
	RUN(super_options);
	RUN(bad_options);
	RUN(recursive);
	RUN(tmpfs_size);
	RUN(copy_up);
	RUN(binds);
	RUN(overlay);
	RUN(overlay_in_user_namespace);
	RUN(propagation);
	RUN(shared_with_host);
	RUN(devices);
	RUN(cgroup_tree);
	RUN(nothing_on_the_host);
}

int main(void)
{
	return with_box(tests);
}
