/* What rootfs-child.c and rootfs-traps.c share: an image, and a child that runs the
 * operations of a spec. */
#ifndef CONEX_ROOTFS_BOX_H
#define CONEX_ROOTFS_BOX_H

#include "test.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include "base/error.h"
#include "keeper/child.h"
#include "rootfs/compile.h"

/* Where the keeper's interpreter is linked too, its own is taken. */
__attribute__((weak)) int cx_child_fail(
	struct cx_child *c, enum cx_call call, const char *detail)
{
	c->status->error = errno ? errno : EIO;
	c->status->call = call;
	snprintf(c->status->detail, sizeof c->status->detail, "%s", detail ? detail : "");
	return -c->status->error;
}

enum { USER_NAMESPACE = 1, CHROOT = 2, QUIET = 4, MOUNTED = 8 /* the chroot's root is a mount */ };

static char base[64];            /* all files of this test; holds "root", the image */
static struct cx_status *status; /* of the last run */

/* ---- files ---- */

static inline const char *at(const char *format, ...)
{
	static char texts[8][PATH_MAX];
	static int next;
	char *text = texts[next++ % 8];
	int n = snprintf(text, PATH_MAX, "%s/", base);
	va_list args;

	va_start(args, format);
	vsnprintf(text + n, PATH_MAX - (size_t)n, format, args);
	va_end(args);
	return text;
}

static inline void make_file(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		CHECK_STR(strerror(errno), path);
	close(fd);
}

static inline int command(const char *format, ...)
{
	char text[2 * PATH_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return system(text);
}

static inline int exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static inline const char *content(const char *path)
{
	static char text[65536];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n, size = 0;

	while (fd >= 0 && (n = read(fd, text + size, sizeof text - 1 - (size_t)size)) > 0)
		size += n;
	close(fd);
	text[size] = '\0';
	return fd < 0 ? NULL : text;
}

/* Begins anew with an image: busybox and the usual directories, none of the mount points. */
static inline void new_image(void)
{
	command("rm -rf %s/*; mkdir -p %s/root/bin %s/root/etc %s/root/run %s/canary",
		base, base, base, base, base);
	command("cp /bin/busybox %s/root/bin/busybox && ln -s busybox %s/root/bin/sh",
		base, base);
	make_file(at("canary/file"), "untouched");
}

/* Everything outside the image that a container could have touched. */
static inline void snapshot(char *to, size_t size)
{
	char line[PATH_MAX];
	size_t n = (size_t)snprintf(to, size, "%s", content("/proc/self/mountinfo"));
	FILE *f;

	snprintf(line, sizeof line,
		"find %s /etc /dev -path %s/root -prune -o -printf '%%p %%m %%u %%y\\n' "
		"| sort",
		base, base);
	f = popen(line, "r");
	while (f && fgets(line, sizeof line, f) && n < size)
		n += (size_t)snprintf(to + n, size - n, "%s", line);
	pclose(f);
}

/* ---- running a plan ---- */

static inline struct cx_plan *compile(const char *text, int how)
{
	struct cx_build b = { .sources = 0 };
	json_t *spec = json_loads(text, 0, NULL);
	struct cx_compile c = { .spec = spec,
		.build = &b,
		.made = CONEX_NS_ALL,
		.userns = how & USER_NAMESPACE };
	conex_error *err = NULL;
	struct cx_plan *plan = NULL;

	CHECK(spec != NULL);
	if (cx_rootfs_compile_sources(&c, &err) < 0 || cx_rootfs_compile(&c, &err) < 0
		|| cx_rootfs_compile_finish(&c, &err) < 0
		|| cx_rootfs_compile_protect(&c, &err) < 0
		|| cx_build_end(&b, &plan, &err) < 0)
		CHECK_STR(conex_error_text(err), "");
	conex_error_free(err);
	cx_build_free(&b);
	json_decref(spec);
	return plan;
}

static inline int interpret(struct cx_child *c, const struct cx_op *op)
{
#define RUN_OP(name) \
	case CX_OP_##name: \
		return cx_child_##name(c, op)
	switch (op->code) {
		RUN_OP(propagation);
		RUN_OP(source);
		RUN_OP(overlay);
		RUN_OP(root);
		RUN_OP(mount_new);
		RUN_OP(mount_source);
		RUN_OP(attributes);
		RUN_OP(device);
		RUN_OP(symlink);
		RUN_OP(directory);
		RUN_OP(pivot);
		RUN_OP(mask);
		RUN_OP(read_only);
	}
	return -ENOSYS;
}

/* The container: all operations, then `inside`. Exits with the number of checks that
 * failed. */
static inline void contain(
	const struct cx_plan *plan, void (*inside)(struct cx_child *), int how)
{
	struct cx_launch launch = { .magic = CX_LAUNCH_MAGIC };
	struct cx_child c = { .plan = plan,
		.launch = &launch,
		.status = status,
		.root = -1, .real_root = -1,
		.proc = -1,
		.null = -1 };
	const struct cx_op *op = (const struct cx_op *)(plan + 1);

	memset(c.source, -1, sizeof c.source);
	test_state.faults = 0;
	for (uint32_t i = 0; i < plan->operations; i++) {
		status->op = op[i].code;
		if ((how & USER_NAMESPACE)
			&& (op[i].code == CX_OP_root || op[i].code == CX_OP_overlay)
			&& (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
			CHECK_STR(strerror(errno), "become root");
		if (interpret(&c, &op[i]) < 0)
			_exit(99);
	}
	status->done = 1;
	if (inside)
		inside(&c);
	fflush(stdout);
	_exit(test_state.faults > 90 ? 90 : test_state.faults);
}

static inline void enter(const struct cx_plan *plan, void (*inside)(struct cx_child *),
	int how, int ready, int go)
{
	int flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET
		    | CLONE_NEWUTS,
	    code;
	char byte = 0;
	pid_t pid;

	if (unshare(flags | (how & USER_NAMESPACE ? CLONE_NEWUSER : 0)) < 0)
		_exit(98);
	if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1)
		_exit(97);
	if ((how & CHROOT)
		&& (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
			|| ((how & MOUNTED) && mount(base, base, NULL, MS_BIND, NULL) < 0)
			|| mount("proc", at("proc"), "proc", 0, NULL) < 0
			|| chroot(base) < 0 || chdir("/") < 0))
		_exit(96);
	pid = fork();
	if (pid == 0)
		contain(plan, inside, how);
	waitpid(pid, &code, 0);
	_exit(WIFEXITED(code) ? WEXITSTATUS(code) : 95);
}

/* Runs a spec's operations. 0: all went well, inside too. */
static inline int run(const char *spec, void (*inside)(struct cx_child *), int how)
{
	struct cx_plan *plan = compile(spec, how);
	int ready[2], go[2], code = 0;
	char byte = 0, path[64];
	pid_t pid;

	memset(status, 0, sizeof *status);
	if (!plan || pipe(ready) < 0 || pipe(go) < 0)
		return -1;
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		enter(plan, inside, how, ready[1], go[0]);
	close(ready[1]);
	if (read(ready[0], &byte, 1) == 1 && how & USER_NAMESPACE) {
		snprintf(path, sizeof path, "/proc/%d/uid_map", (int)pid);
		make_file(path, "0 100000 1000");
		snprintf(path, sizeof path, "/proc/%d/gid_map", (int)pid);
		make_file(path, "0 100000 1000");
	}
	CHECK_INT(write(go[1], &byte, 1), 1);
	waitpid(pid, &code, 0);
	close(ready[0]);
	close(go[0]);
	close(go[1]);
	free(plan);
	code = WIFEXITED(code) ? WEXITSTATUS(code) : -1;
	if (code == 99 && !(how & QUIET))
		printf("# %s: %s: %s\n", cx_op_name(status->op), status->detail,
			strerror(status->error));
	return code;
}

/* ---- looking around inside ---- */

/* The line of mountinfo of the topmost mount at `target`. */
static inline const char *mount_at(const char *target)
{
	static char found[1024];
	char place[256], *line, *save = NULL, text[65536];

	found[0] = '\0';
	snprintf(text, sizeof text, "%s", content("/proc/self/mountinfo"));
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "%*s %*s %*s %*s %255s", place) == 1
			&& !strcmp(place, target))
			snprintf(found, sizeof found, "%s", line);
	return found;
}

static inline int has_option(const char *target, const char *option)
{
	char options[256], *save = NULL;

	if (sscanf(mount_at(target), "%*s %*s %*s %*s %*s %255s", options) != 1)
		return 0;
	for (char *o = strtok_r(options, ",", &save); o; o = strtok_r(NULL, ",", &save))
		if (!strcmp(o, option))
			return 1;
	return 0;
}

static inline int is_device(
	const char *path, unsigned major, unsigned minor, unsigned mode)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISCHR(st.st_mode)
	       && st.st_rdev == makedev(major, minor) && (st.st_mode & 07777) == mode;
}

static inline int write_error(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static inline void execute_busybox(void)
{
	int code = -1;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", "true </dev/null && test -e /proc/self/fd/0",
			(char *)NULL);
		_exit(127);
	}
	waitpid(pid, &code, 0);
	CHECK_INT(code, 0);
}

#define PROC "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"}"
#define DEV \
	"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"," \
	"\"options\":[\"nosuid\",\"strictatime\",\"mode=755\",\"size=65536k\"]}"
#define USUAL \
	PROC "," DEV \
	     ",{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\"," \
	     "\"options\":[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\"," \
	     "\"mode=0620\",\"gid=5\"]}," \
	     "{\"destination\":\"/dev/" \
	     "shm\",\"type\":\"tmpfs\",\"source\":\"shm\",\"options\":[\"nosuid\"," \
	     "\"noexec\",\"nodev\",\"mode=1777\",\"size=65536k\"]}," \
	     "{\"destination\":\"/dev/" \
	     "mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\",\"options\":[" \
	     "\"nosuid\",\"noexec\",\"nodev\"]}," \
	     "{\"destination\":\"/" \
	     "sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":[\"nosuid\"," \
	     "\"noexec\",\"nodev\",\"ro\"]}"
#define MASKS \
	"\"maskedPaths\":[\"/proc/acpi\",\"/proc/cpuinfo\",\"/proc/version\",\"/proc/" \
	"keys\",\"/proc/nothing\",\"/proc/scsi\",\"/sys/firmware\"]," \
	"\"readonlyPaths\":[\"/proc/bus\",\"/proc/sys\",\"/proc/nothing\"]"

static inline const char *spec(const char *mounts, const char *more)
{
	static char text[16384];

	snprintf(text, sizeof text, "{\"root\":{\"path\":\"%s/root\"%s,\"mounts\":[%s]}",
		base, more, mounts);
	return text;
}

/* Makes the place for all files and runs the tests; main's result. */
static inline int with_box(void (*tests)(void))
{
	strcpy(base, "/tmp/cx-rootfs-XXXXXX");
	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	status = mmap(NULL, sizeof *status, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!mkdtemp(base) || status == MAP_FAILED)
		return 1;
	tests();
	command("rm -rf %s", base);
	return test_end();
}

#endif
