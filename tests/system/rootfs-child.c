/* The rootfs operations run for real, in namespaces of their own. */
#include "rootfs-box.h"

static void inside_usual(struct cx_child *c)
{
	int proc = cx_child_proc(c), lines = 0;
	const char *text = content("/proc/self/mountinfo");

	for (; *text; text++)
		lines += *text == '\n';
	/* root, six mounts, three masked files or directories at least, two read-only
	 * paths: nothing of the host */
	CHECK(lines >= 10 && lines <= 14);
	CHECK(has_option("/", "ro") && has_option("/sys", "ro")
		&& has_option("/sys", "noexec"));
	CHECK(has_option("/dev", "nosuid") && !has_option("/dev", "relatime")
		&& !has_option("/dev", "ro"));
	CHECK(has_option("/dev/shm", "nodev")
		&& strstr(mount_at("/dev/shm"), "size=65536k") != NULL);
	CHECK(strstr(mount_at("/dev/pts"), "gid=5,mode=620,ptmxmode=666") != NULL);
	CHECK(strstr(mount_at("/proc"), "- proc proc") != NULL
		&& strstr(mount_at("/dev/mqueue"), "mqueue") != NULL);
	CHECK(is_device("/dev/null", 1, 3, 0666) && is_device("/dev/tty", 5, 0, 0666)
		&& is_device("/dev/urandom", 1, 9, 0666));
	CHECK(exists("/dev/fd") && exists("/dev/stderr") && exists("/dev/ptmx"));
	CHECK(is_device("/proc/version", 1, 3, 0666)
		&& has_option("/proc/version", "ro"));
	CHECK_INT(chmod("/proc/version", 0), -1);
	CHECK_INT(errno, EROFS);
	CHECK_STR(content("/proc/keys"), "");
	CHECK(has_option("/sys/firmware", "ro")
		&& write_error("/sys/firmware/x") == EROFS);
	CHECK(has_option("/proc/sys", "ro")
		&& write_error("/proc/sys/kernel/domainname") == EROFS);
	CHECK_INT(write_error("/x"), EROFS);
	CHECK_INT(write_error("/dev/null"), 0);
	CHECK(proc >= 0 && faccessat(proc, "sys/kernel/hostname", F_OK, 0) == 0);
	CHECK_INT(proc, cx_child_proc(c));
	CHECK(proc >= 0 && (proc = openat(proc, "sys/kernel/domainname", O_WRONLY)) >= 0);
	CHECK_INT(umask(0), 022);
	execute_busybox();
}

TEST(usual)
{
	new_image();
	CHECK_INT(run(spec(USUAL, ",\"readonly\":true},\"linux\":{" MASKS "}"),
			  inside_usual, 0),
		0);
	CHECK(is_device("/dev/null", 1, 3, 0666));
}

static void inside_binds(struct cx_child *c)
{
	(void)c;
	CHECK(has_option("/data", "ro") && has_option("/data", "nosuid")
		&& !has_option("/data/below", "ro"));
	CHECK(has_option("/deep", "ro") && has_option("/deep/below", "ro")
		&& has_option("/deep", "noexec"));
	CHECK(!has_option("/deep/below", "noexec"));
	CHECK(exists("/deep/below/mark") && !exists("/flat/below/mark"));
	CHECK_STR(content("/new/dir/file"), "a file");
	CHECK_INT(write_error("/data/x"), EROFS);
	CHECK_INT(write_error("/data/below/x"), 0);
	/* by way of a link in the image, which stays in the image */
	CHECK(exists("/run/linked/mark") && !exists("/etc/mark"));
	CHECK_STR(content("/copied/sub/file"), "copied");
	CHECK(exists("/copied/link")
		&& !strcmp(strstr(mount_at("/copied"), "tmpfs") ? "tmpfs" : "", "tmpfs"));
	CHECK(has_option("/remounted", "ro") && has_option("/remounted", "nodev"));
}

TEST(binds)
{
	char mounts[4096];

	new_image();
	command("mkdir -p %s/host/below %s/root/copied/sub %s/root/var && ln -s ../run "
		"%s/root/var/run",
		base, base, base, base);
	command("ln -s sub/file %s/root/copied/link", base);
	make_file(at("file"), "a file");
	make_file(at("root/copied/sub/file"), "copied");
	CHECK_INT(mount("below", at("host/below"), "tmpfs", 0, NULL), 0);
	make_file(at("host/below/mark"), "");
	snprintf(mounts, sizeof mounts,
		PROC ",{\"destination\":\"/data\",\"source\":\"%s/"
		     "host\",\"options\":[\"rbind\",\"ro\",\"nosuid\",\"rprivate\"]}"
		     ",{\"destination\":\"/deep\",\"source\":\"%s/"
		     "host\",\"options\":[\"rbind\",\"rro\",\"noexec\"]}"
		     ",{\"destination\":\"/flat\",\"source\":\"%s/"
		     "host\",\"options\":[\"bind\"]}"
		     ",{\"destination\":\"/new/dir/file\",\"source\":\"%s/"
		     "file\",\"options\":[\"bind\",\"ro\"]}"
		     ",{\"destination\":\"/var/run/linked\",\"source\":\"%s/host/"
		     "below\",\"type\":\"bind\"}"
		     ",{\"destination\":\"/"
		     "copied\",\"source\":\"tmpfs\",\"type\":\"tmpfs\",\"options\":["
		     "\"tmpcopyup\",\"ro\"]}"
		     ",{\"destination\":\"/"
		     "remounted\",\"source\":\"tmpfs\",\"type\":\"tmpfs\"}"
		     ",{\"destination\":\"/"
		     "remounted\",\"options\":[\"remount\",\"ro\",\"nodev\"]}",
		base, base, base, base, base);
	CHECK_INT(run(spec(mounts, "}"), inside_binds, 0), 0);
	CHECK_INT(umount(at("host/below")), 0);
}

static void inside_overlay(struct cx_child *c)
{
	(void)c;
	CHECK(strstr(mount_at("/"), "- overlay overlay") != NULL);
	CHECK_STR(content("/from-first"), "first");
	CHECK_STR(content("/same"), "first");
	make_file("/written", "yes");
	execute_busybox();
}

static void inside_overlay_read_only(struct cx_child *c)
{
	(void)c;
	CHECK_STR(content("/same"), "first");
	CHECK_INT(write_error("/x"), EROFS);
}

static void inside_clone(struct cx_child *c)
{
	(void)c;
	CHECK(exists("/from-first") && has_option("/", "ro"));
	CHECK_INT(write_error("/x"), EROFS);
}

static int run_overlay(const char *name, const char *json_name,
	void (*inside)(struct cx_child *), const char *format)
{
	char text[8192];

	command("mkdir -p '%s/%s/proc' '%s/%s/dev' %s/root/proc %s/root/dev", base, name,
		base, name, base, base);
	make_file(at("%s/from-first", name), "first");
	make_file(at("%s/same", name), "first");
	make_file(at("root/same"), "second");
	snprintf(text, sizeof text, format, base, json_name, base, base, base);
	return run(text, inside, 0);
}

#define OVERLAY \
	"{\"root\":{\"overlay\":{\"lower\":[\"%s/%s\",\"%s/root\"],\"upper\":\"%s/" \
	"upper\",\"work\":\"%s/work\"}}," \
	"\"mounts\":[" PROC "," DEV "]}"

TEST(overlay)
{
	char longer[251] = "";

	new_image();
	command("mkdir %s/upper %s/work", base, base);
	CHECK_INT(run_overlay("first", "first", inside_overlay, OVERLAY), 0);
	CHECK_STR(content(at("upper/written")), "yes");
	CHECK(!exists(at("root/written")) && !exists(at("first/written")));
	/* characters that the old list of layers would take apart; a path that no single
	 * option may hold */
	CHECK_INT(run_overlay("o:d,d", "o:d,d", inside_overlay, OVERLAY), 0);
	CHECK_INT(
		run_overlay("back\\slash", "back\\\\slash", inside_overlay, OVERLAY), 0);
	memset(longer, 'x', 250);
	CHECK_INT(run_overlay(longer, longer, inside_overlay, OVERLAY), 0);
	CHECK_INT(run_overlay("first", "first", inside_overlay_read_only,
			  "{\"root\":{\"overlay\":{\"lower\":[\"%s/%s\",\"%s/"
			  "root\"]}},\"mounts\":[" PROC
			  ",{\"destination\":\"/dev\",\"source\":\"/"
			  "dev\",\"type\":\"bind\"}]}"),
		0);
	CHECK_INT(run_overlay("first", "first", inside_clone,
			  "{\"root\":{\"overlay\":{\"lower\":[\"%s/"
			  "%s\"]}},\"mounts\":[" PROC
			  ",{\"destination\":\"/dev\",\"source\":\"/"
			  "dev\",\"type\":\"bind\"}]}"),
		0);
}

static void inside_user(struct cx_child *c)
{
	CHECK_INT(getuid(), 0);
	CHECK(is_device("/dev/null", 1, 3, 0666) && is_device("/dev/full", 1, 7, 0666));
	CHECK_INT(write_error("/dev/null"), 0);
	CHECK(is_device("/proc/version", 1, 3, 0666)
		&& has_option("/sys/firmware", "ro"));
	CHECK(strstr(mount_at("/dev/pts"), "gid=") == NULL);
	CHECK(cx_child_proc(c) >= 0);
	execute_busybox();
}

TEST(user_namespace)
{
	new_image();
	command("chown -R 100000:100000 %s/root; chmod 755 %s", base, base);
	CHECK_INT(
		run(spec(USUAL, "},\"linux\":{" MASKS "}"), inside_user, USER_NAMESPACE),
		0);
}

/* Whoever enters the mount namespace, as exec does, comes to the container's root as well: nothing of what
 * was outside of the chroot is left in it. */
static void inside_chroot(struct cx_child *c)
{
	int ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	struct stat before, after;

	CHECK(stat("/", &before) == 0 && setns(ns, CLONE_NEWNS) == 0 && stat("/", &after) == 0);
	CHECK(before.st_ino == after.st_ino && before.st_dev == after.st_dev);
	close(ns);
	inside_usual(c);
}

static void in_chroot(int how)
{
	char text[4096];

	new_image();
	command("mkdir -p %s/proc %s/dev && mknod -m 666 %s/dev/null c 1 3", base, base,
		base);
	snprintf(text, sizeof text,
		"{\"root\":{\"path\":\"/"
		"root\",\"readonly\":true},\"mounts\":[%s],\"linux\":{%s}}",
		USUAL, MASKS);
	CHECK_INT(run(text, inside_chroot, CHROOT | how), 0);
}

TEST(chroot)
{
	in_chroot(0);
}

TEST(chroot_into_a_mount)
{
	in_chroot(MOUNTED);
}

static void inside_host_root(struct cx_child *c)
{
	(void)c;
	CHECK(exists("/etc/passwd") && exists("/proc/1"));
	CHECK(getpid() == 1);
}

TEST(host_root)
{
	new_image();
	CHECK_INT(run("{\"root\":{\"path\":\"/\"},\"mounts\":[" PROC
		      ",{\"destination\":\"/dev\",\"source\":\"/dev\","
		      "\"options\":[\"rbind\"]}]}",
			  inside_host_root, 0),
		0);
}

static void tests(void)
{
	RUN(usual);
	RUN(binds);
	RUN(overlay);
	RUN(user_namespace);
	RUN(chroot);
	RUN(chroot_into_a_mount);
	RUN(host_root);
}

int main(void)
{
	return with_box(tests);
}
