/* The floor's launch: the system calls of a full OCI container in a row, and nothing else. No library,
 * no allocation, no error niceties: the first call that fails ends the child and names its line. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <grp.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include "base/kernel.h"
#include "floor.h"

#define MUST(call) must((call), #call, __LINE__)

static long must(long result, const char *call, int line)
{
	if (result < 0) {
		dprintf(2, "floor.c:%d: %s: %s\n", line, call, strerror(errno));
		_exit(255);
	}
	return result;
}

/* ---- mounts: all paths relative to the new root, which is the working directory ---- */

enum {
	SAFE = CX_MOUNT_ATTR_NOSUID | CX_MOUNT_ATTR_NODEV | CX_MOUNT_ATTR_NOEXEC,
};

/* `options`: key, value, key, value …, NULL. */
static void mount_new(const char *type, const char *at, unsigned attributes, const char *const *options)
{
	int fs = (int)MUST(cx_sys_fsopen(type, FSOPEN_CLOEXEC)), mnt;

	for (; options && *options; options += 2)
		MUST(cx_sys_fsconfig(fs, CX_FSCONFIG_SET_STRING, options[0], options[1], 0));
	MUST(cx_sys_fsconfig(fs, CX_FSCONFIG_CREATE, NULL, NULL, 0));
	mnt = (int)MUST(cx_sys_fsmount(fs, FSMOUNT_CLOEXEC, attributes));
	MUST(cx_sys_move_mount(mnt, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH));
}

static int tree(const char *path)
{
	return cx_sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

static void mount_rootfs(const struct floor *f)
{
	static const struct cx_mount_attr private = { .propagation = MS_PRIVATE };
	static const struct cx_mount_attr read_only = { .attr_set = CX_MOUNT_ATTR_RDONLY };
	int root;

	MUST(cx_sys_mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &private));
	root = (int)MUST(tree(f->rootfs));
	if (f->read_only)
		MUST(cx_sys_mount_setattr(root, "", AT_EMPTY_PATH, &read_only));
	MUST(cx_sys_move_mount(root, "", AT_FDCWD, f->rootfs, MOVE_MOUNT_F_EMPTY_PATH));
	MUST(fchdir(root));
}

#define OPTIONS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void mount_filesystems(void)
{
	mount_new("proc", "proc", 0, NULL);
	mount_new("tmpfs", "dev", CX_MOUNT_ATTR_NOSUID | CX_MOUNT_ATTR_STRICTATIME,
		OPTIONS("mode", "755", "size", "65536k"));
	MUST(mkdir("dev/pts", 0755));
	MUST(mkdir("dev/shm", 0755));
	MUST(mkdir("dev/mqueue", 0755));
	mount_new("devpts", "dev/pts", CX_MOUNT_ATTR_NOSUID | CX_MOUNT_ATTR_NOEXEC,
		OPTIONS("ptmxmode", "0666", "mode", "0620", "gid", "5"));
	mount_new("tmpfs", "dev/shm", SAFE, OPTIONS("mode", "1777", "size", "65536k"));
	mount_new("mqueue", "dev/mqueue", SAFE, NULL);
	mount_new("sysfs", "sys", SAFE | CX_MOUNT_ATTR_RDONLY, NULL);
}

/* A tmpfs with the container's own cgroup of each hierarchy, then all of it read-only at once. */
static void mount_cgroups(const struct floor *f)
{
	static const struct cx_mount_attr locked = { .attr_set = SAFE | CX_MOUNT_ATTR_RDONLY };
	char from[FLOOR_PATH + 64], at[64];

	mount_new("tmpfs", "sys/fs/cgroup", SAFE, OPTIONS("mode", "755"));
	for (int i = 0; i < f->hierarchies; i++) {
		const struct floor_hierarchy *h = &f->hierarchy[i];
		int own;

		stpcpy(stpcpy(stpcpy(from, h->parent), "/"), f->id);
		stpcpy(stpcpy(at, "sys/fs/cgroup/"), h->name);
		own = (int)MUST(tree(from));
		MUST(mkdir(at, 0755));
		MUST(cx_sys_move_mount(own, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH));
	}
	MUST(cx_sys_mount_setattr(AT_FDCWD, "sys/fs/cgroup", AT_RECURSIVE, &locked));
}

static void make_devices(void)
{
	static const struct { const char *path; int major, minor; } device[] = {
		{ "dev/null", 1, 3 }, { "dev/zero", 1, 5 }, { "dev/full", 1, 7 },
		{ "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 },
	};
	static const char *const link[][2] = {
		{ "/proc/self/fd", "dev/fd" }, { "/proc/self/fd/0", "dev/stdin" },
		{ "/proc/self/fd/1", "dev/stdout" }, { "/proc/self/fd/2", "dev/stderr" },
		{ "pts/ptmx", "dev/ptmx" }, { "/proc/kcore", "dev/core" },
	};

	umask(0);
	for (size_t i = 0; i < sizeof device / sizeof *device; i++)
		MUST(mknod(device[i].path, S_IFCHR | 0666, makedev(device[i].major, device[i].minor)));
	for (size_t i = 0; i < sizeof link / sizeof *link; i++)
		MUST(symlink(link[i][0], link[i][1]));
	umask(022);
}

static void pivot(void)
{
	MUST(syscall(SYS_pivot_root, ".", "."));
	MUST(umount2(".", MNT_DETACH));
	MUST(chdir("/"));
}

/* Covers each of `path` that exists with a clone of `cover`; a clone that found no use serves the next. */
static void mask(const char *cover, const char *const *path)
{
	int clone = -1;

	for (; *path; path++) {
		if (clone < 0)
			clone = (int)MUST(tree(cover));
		if (cx_sys_move_mount(clone, "", AT_FDCWD, *path, MOVE_MOUNT_F_EMPTY_PATH) == 0)
			clone = -1;
		else if (errno != ENOENT)
			MUST(-1);
	}
}

/* Directories are covered by clones of one empty read-only tmpfs, the first of which is that itself. */
static void mask_paths(void)
{
	mask("dev/null", OPTIONS("proc/kcore", "proc/keys", "proc/latency_stats", "proc/timer_list",
		"proc/timer_stats", "proc/sched_debug"));
	mount_new("tmpfs", "sys/firmware", SAFE | CX_MOUNT_ATTR_RDONLY, NULL);
	mask("sys/firmware", OPTIONS("proc/acpi", "proc/asound", "proc/scsi"));
}

static void protect_paths(void)
{
	static const struct cx_mount_attr read_only = { .attr_set = CX_MOUNT_ATTR_RDONLY };
	static const char *const path[] = {
		"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger",
	};

	for (size_t i = 0; i < sizeof path / sizeof *path; i++) {
		int clone = tree(path[i]);

		if (clone < 0 && errno == ENOENT)
			continue;
		MUST(clone);
		MUST(cx_sys_mount_setattr(clone, "", AT_EMPTY_PATH, &read_only));
		MUST(cx_sys_move_mount(clone, "", AT_FDCWD, path[i], MOVE_MOUNT_F_EMPTY_PATH));
	}
}

/* ---- the rest of the child ---- */

/* v1: "0" into tasks; writing into cgroup.procs would cost an RCU grace period. v2: see floor_clone. */
static void attach(const struct floor *f)
{
	char path[80];

	stpcpy(stpcpy(path, f->id), "/tasks");
	for (int i = 0; i < f->hierarchies; i++) {
		int fd;

		if (f->hierarchy[i].v2)
			continue;
		fd = (int)MUST(openat(f->hierarchy[i].parent_fd, path, O_WRONLY | O_CLOEXEC));
		MUST(write(fd, "0", 1));
	}
	MUST(unshare(CLONE_NEWCGROUP)); /* only now: before, the namespace would show the host's paths */
}

static void loopback_up(void)
{
	struct ifreq r = { .ifr_name = "lo" };
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));

	r.ifr_flags = IFF_UP | IFF_RUNNING;
	MUST(ioctl(fd, SIOCSIFFLAGS, &r));
}

static void drop_rights(const struct floor *f)
{
	static const struct rlimit files = { 1024, 1024 };
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	uint32_t low = (uint32_t)f->keep_caps, high = (uint32_t)(f->keep_caps >> 32);
	struct __user_cap_data_struct set[2] = { { low, low, 0 }, { high, high, 0 } };

	MUST(setrlimit(RLIMIT_NOFILE, &files));
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	for (int cap = 0; cap <= f->last_cap; cap++)
		if (!(f->keep_caps >> cap & 1))
			MUST(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0));
	MUST(syscall(SYS_setgroups, 0, NULL)); /* raw: libc's would signal all threads */
	MUST(syscall(SYS_setgid, 0));
	MUST(syscall(SYS_setuid, 0));
	MUST(syscall(SYS_capset, &head, set));
	MUST(prctl(PR_SET_PDEATHSIG, SIGKILL));
}

static _Noreturn void run(const struct floor *f)
{
	MUST(cx_sys_close_range(3, ~0U, CX_CLOSE_RANGE_CLOEXEC));
	MUST(prctl(PR_SET_PDEATHSIG, SIGKILL));
	MUST(setsid());
	attach(f);
	loopback_up();
	mount_rootfs(f);
	mount_filesystems();
	mount_cgroups(f);
	make_devices();
	pivot();
	MUST(sethostname(f->id, strlen(f->id)));
	mask_paths();
	protect_paths();
	drop_rights(f);
	if (f->filter.len)
		MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &f->filter));
	MUST(execve(f->args[0], (char **)f->args, (char **)f->env));
	_exit(255);
}

/* ---- the host's side ---- */

#if defined __x86_64__
#define CLONE3(result, args) __asm__ volatile("syscall" : "=a"(result) \
	: "a"((long)SYS_clone3), "D"(args), "S"(sizeof *(args)) : "rcx", "r11", "memory")
#elif defined __aarch64__
#define CLONE3(result, args) do { \
	register long x8 __asm__("x8") = SYS_clone3; \
	register long x0 __asm__("x0") = (long)(args); \
	register long x1 __asm__("x1") = sizeof *(args); \
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x1), "r"(x8) : "memory"); \
	result = x0; \
} while (0)
#endif

/* The child uses our memory and, below this frame, our stack until it executes, as with vfork(): that
 * spares copying page tables. So the system call must be made right here, in a frame that stays. */
static __attribute__((noinline)) pid_t floor_clone(const struct floor *f, int v2)
{
	struct cx_clone_args args = {
		.flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS
			| CX_CLONE_CLEAR_SIGHAND | CLONE_VM | CLONE_VFORK,
		.exit_signal = SIGCHLD,
	};
	long pid;

	if (v2 >= 0) {
		args.flags |= CX_CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)v2;
	}
	CLONE3(pid, &args);
	if (pid == 0)
		run(f);
	if (pid < 0) {
		errno = (int)-pid;
		return -1;
	}
	return (pid_t)pid;
}

static int make_cgroups(const struct floor *f)
{
	int v2 = -1;

	for (int i = 0; i < f->hierarchies; i++) {
		const struct floor_hierarchy *h = &f->hierarchy[i];

		if (mkdirat(h->parent_fd, f->id, 0755) < 0)
			return -1;
		if (h->v2)
			v2 = openat(h->parent_fd, f->id, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	return v2;
}

static int remove_cgroups(const struct floor *f)
{
	int result = 0;

	for (int i = 0; i < f->hierarchies; i++)
		if (unlinkat(f->hierarchy[i].parent_fd, f->id, AT_REMOVEDIR) < 0)
			result = -errno;
	return result;
}

int floor_launch(const struct floor *f)
{
	int v2 = make_cgroups(f), status = -1, removed;
	pid_t pid = floor_clone(f, v2);
	siginfo_t info;

	if (pid < 0)
		status = -errno;
	else if (waitid(P_PID, (id_t)pid, &info, WEXITED) == 0)
		status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
	if (v2 >= 0)
		close(v2);
	removed = remove_cgroups(f);
	return removed < 0 ? removed : status;
}
