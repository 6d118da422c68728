/* The rootfs operations against images full of traps, and on a host whose mounts are
 * shared: nothing of the host changes. */
#include "rootfs-box.h"

/* A trap in the image: the operation that is refused, or NULL where all goes well in the
 * container. */
static void trap(const char *command_line, const char *mounts, const char *op, int error)
{
	static char before[4 << 20], after[4 << 20];

	new_image();
	command("cd %s && %s", base, command_line);
	snapshot(before, sizeof before);
	if (!CHECK_INT(run(spec(mounts, "}"), NULL, 0), op ? 99 : 0))
		printf("# %s\n", command_line);
	if (op) {
		CHECK_STR(cx_op_name(status->op), op);
		CHECK_INT(status->error, error);
	}
	snapshot(after, sizeof after);
	CHECK(!strcmp(before, after));
}

TEST(traps)
{
	char bind[512], magic[1024];

	/* CVE-2026-41579 and its kin: /dev leads elsewhere */
	trap("ln -s /tmp/x root/dev && mkdir -p root/tmp/x", DEV, "mount_new", ELOOP);
	trap("ln -s ../canary root/dev", PROC, "device", ELOOP);
	trap("mkdir root/dev && ln -s /canary root/dev/shm",
		"{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\"}", "mount_new", ELOOP);
	/* CVE-2019-19921: what is mounted on /proc would hide where it really is */
	trap("ln -s /etc root/proc", PROC, "mount_new", ELOOP);
	trap("ln -s /etc root/sys", "{\"destination\":\"/sys\",\"type\":\"sysfs\"}",
		"mount_new", ELOOP);
	trap("touch root/proc", PROC, "mount_new", ENOTDIR);
	/* CVE-2021-30465, CVE-2024-45310: links up and out, and to what isn't there */
	snprintf(bind, sizeof bind,
		"{\"destination\":\"/trap/new\",\"source\":\"%s/"
		"canary\",\"type\":\"bind\"}",
		base);
	snprintf(magic, sizeof magic, PROC ",%s", bind);
	trap("ln -s /../../etc root/trap && mkdir -p root/etc", bind, NULL, 0);
	CHECK(exists(at("root/etc/new")) && !exists("/etc/new"));
	trap("ln -s ../../../../../../../../../etc root/trap", bind, NULL, 0);
	trap("ln -s /missing root/trap", bind, "mount_source", ELOOP);
	trap("ln -s /proc/self/root/canary root/trap", magic, "mount_source", ELOOP);
	trap("touch root/trap", bind, "mount_source", ENOTDIR);
	/* CVE-2025-31133: /dev/null is another thing */
	trap("mkdir root/dev && touch root/dev/null", PROC, "device", EEXIST);
	trap("mkdir root/dev && ln -s ../../canary/file root/dev/null", PROC, "device",
		EEXIST);
	trap("mkdir root/dev && mknod root/dev/null c 1 5", PROC, "device", EEXIST);
	trap("mkdir root/dev && mknod root/dev/null c 1 3", PROC, NULL, 0);
	/* what the kernel refuses is named */
	trap("true",
		"{\"destination\":\"/t\",\"type\":\"tmpfs\",\"options\":[\"size=much\"]}",
		"mount_new", EINVAL);
	CHECK(strstr(status->detail, "size") != NULL);
	trap("true", "{\"destination\":\"/t\",\"type\":\"nosuchfs\"}", "mount_new",
		ENODEV);
}

/* Somebody who shares the image swaps a directory and a link to the outside, all the
 * time. */
static pid_t start_swapping(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	for (;;)
		syscall(SYS_renameat2, AT_FDCWD, at("root/trap"), AT_FDCWD,
			at("root/other"), 2 /* RENAME_EXCHANGE */);
}

TEST(race)
{
	static char before[4 << 20], after[4 << 20];
	char mounts[512], text[1024];
	pid_t pid;

	new_image();
	command("mkdir %s/root/trap && ln -s ../../../../../../../%s/canary "
		"%s/root/other",
		base, base, base);
	snprintf(mounts, sizeof mounts,
		"{\"destination\":\"/trap/a/b\",\"source\":\"%s/"
		"canary\",\"type\":\"bind\"}",
		base);
	snprintf(text, sizeof text, "%s", spec(mounts, "}"));
	snapshot(before, sizeof before);
	fflush(stdout);
	pid = start_swapping();
	for (int i = 0; i < 200; i++) {
		command("rm -rf %s/root/trap/a %s/root/other/a 2>/dev/null", base, base);
		/* it may work or be refused; a crash or a file of the host's is what must
		 * not be */
		int r = run(text, NULL, QUIET);

		CHECK(r == 0 || r == 99);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	snapshot(after, sizeof after);
	CHECK(!strcmp(before, after));
}

static void inside_shared(struct cx_child *c)
{
	(void)c;
	CHECK(mkdir("/share/sub", 0755) == 0
		&& mount("seen", "/share/sub", "tmpfs", 0, NULL) == 0);
	CHECK(mount("unseen", "/bin", "tmpfs", 0, NULL) == 0);
}

static int lines_with(const char *text, const char *what)
{
	int n = 0;

	for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

/* A host whose mounts are shared, as systemd leaves them. */
static void shared_host(void)
{
	char mounts[1024];

	test_state.faults = 0;
	CHECK_INT(unshare(CLONE_NEWNS), 0);
	CHECK_INT(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	CHECK_INT(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL), 0);
	snprintf(mounts, sizeof mounts,
		PROC ",{\"destination\":\"/share\",\"source\":\"%s/"
		     "share\",\"options\":[\"rbind\",\"rshared\"]}",
		base);
	CHECK_INT(run(spec(mounts, "},\"linux\":{\"rootfsPropagation\":\"rshared\"}"),
			  inside_shared, 0),
		0);
	CHECK_INT(lines_with(content("/proc/self/mountinfo"), base), 1);
	CHECK(strstr(mount_at(at("share/sub")), "seen") != NULL);
	umount2(at("share/sub"), MNT_DETACH);
	rmdir(at("share/sub"));
	/* without rootfsPropagation the same mount stays inside */
	CHECK_INT(run(spec(mounts, "}"), inside_shared, 0), 0);
	CHECK_INT(lines_with(content("/proc/self/mountinfo"), base), 0);
	_exit(test_state.faults != 0);
}

TEST(shared)
{
	int code = -1;
	pid_t pid;

	new_image();
	command("mkdir %s/share", base);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		shared_host();
	waitpid(pid, &code, 0);
	CHECK_INT(code, 0);
}

static void tests(void)
{
	RUN(traps);
	RUN(race);
	RUN(shared);
}

int main(void)
{
	return with_box(tests);
}
