/* Inside the container: limits, ids, capabilities and the filter, in the order of the
 * plan. */
#include "keeper/child.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include "base/names.h"

#define NAME(name) "CAP_" #name,
static const char *const capabilities[] = { CX_CAPABILITIES(NAME) };
#undef NAME
#define NAME(name) "RLIMIT_" #name,
static const char *const rlimits[] = { CX_RLIMITS(NAME) };
#undef NAME

static const char *name_of(const char *const *names, size_t count, uint64_t number)
{
	return number < count ? names[number] : "";
}
#define NAME_OF(names, number) name_of(names, sizeof(names) / sizeof(names)[0], number)

/* The first capability of a set, for error messages. */
static const char *capability_of(uint64_t set)
{
	return set ? NAME_OF(capabilities, __builtin_ctzll(set)) : "";
}

/* Files of a private proc that no other process can reach, so that nothing can be mounted
 * over them: a write meant for /proc/sys can't be led elsewhere (CVE-2019-16884,
 * CVE-2025-52881). */
static int open_proc(struct cx_child *c, const char *path, uint64_t flags,
	uint64_t resolve)
{
	int proc = cx_child_proc(c), fd;

	if (proc < 0)
		return proc;
	resolve |= RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH;
	fd = cx_sys_openat2(proc, path, flags | O_CLOEXEC, 0, resolve);
	return fd < 0 ? cx_child_fail(c, CX_CALL_openat2, path) : fd;
}

/* Our own files in proc belong to the machine's root, for we aren't dumpable as the keeper isn't: root of a
 * user namespace may open them while it is. */
static int open_to_write(struct cx_child *c, const char *path, uint64_t resolve)
{
	int own = !strncmp(path, "self/", 5), fd;

	if (own)
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	fd = open_proc(c, path, O_WRONLY, resolve);
	if (own)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return fd;
}

int cx_child_write_proc(struct cx_child *c, const char *path, const char *text,
	uint64_t resolve)
{
	size_t size = strlen(text);
	int fd = open_to_write(c, path, resolve), r = 0;
	ssize_t n;

	if (fd < 0)
		return fd;
	n = write(fd, text, size);
	if (n != (ssize_t)size) {
		if (n >= 0)
			errno = EIO;
		r = cx_child_fail(c, CX_CALL_write, path);
	}
	close(fd);
	return r;
}

int cx_child_sysctl(struct cx_child *c, const struct cx_op *op)
{
	const char *path = cx_child_text(c, op->arg[0]);
	const char *value = cx_child_text(c, op->arg[1]);

	return path && value ? cx_child_write_proc(c, path, value, RESOLVE_NO_SYMLINKS) : 0;
}

/* "self" is a link, though one within this proc. */
int cx_child_oom_score(struct cx_child *c, const struct cx_op *op)
{
	const char *score = cx_child_text(c, op->arg[0]);

	return score ? cx_child_write_proc(c, "self/oom_score_adj", score, 0) : 0;
}

/* AppArmor and SELinux: the label that execve takes on. A module has a directory of its own
 * from Linux 5.8 on; before, and for SELinux always, the one file belongs to the major one. */
int cx_child_label(struct cx_child *c, const struct cx_op *op)
{
	const char *label = cx_child_text(c, op->arg[1]);
	const char *own = cx_child_text(c, op->arg[2]);
	int r = own ? cx_child_write_proc(c, own, label, 0) : -ENOENT;

	if (r == -ENOENT) {
		c->status->error = 0;
		r = cx_child_write_proc(c, "self/attr/exec", label, 0);
	}
	return r;
}

/* Raising a hard limit takes CAP_SYS_RESOURCE in the first user namespace. */
int cx_child_rlimit(struct cx_child *c, const struct cx_op *op)
{
	uint64_t limit[2] = { op->arg[1], op->arg[2] };

	if (syscall(SYS_prlimit64, 0, (unsigned)op->arg[0], limit, NULL) < 0)
		return cx_child_fail(c, CX_CALL_prlimit, NAME_OF(rlimits, op->arg[0]));
	return 0;
}

int cx_child_no_new_privileges(struct cx_child *c, const struct cx_op *op)
{
	(void)op;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return cx_child_fail(c, CX_CALL_prctl, "PR_SET_NO_NEW_PRIVS");
	return 0;
}

int cx_child_seccomp(struct cx_child *c, const struct cx_op *op)
{
	unsigned flags = (unsigned)op->arg[1];
	int listens = (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0, r = 0;
	struct sock_fprog program;
	size_t size;

	program.filter = (struct sock_filter *)cx_child_bytes(c, op->arg[0], &size);
	program.len = (unsigned short)(size / sizeof *program.filter);
	if (size / sizeof *program.filter > BPF_MAXINSNS) {
		errno = E2BIG;
		return cx_child_fail(c, CX_CALL_seccomp, "");
	}
	if (listens)
		r = cx_child_listener_begin(c, op->arg[2]);
	if (r < 0)
		return r;
	r = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	if (r < 0)
		return cx_child_fail(c, CX_CALL_seccomp, "");
	return listens ? cx_child_listener_end(c, op->arg[2], r) : 0;
}

/* Drops every bit that isn't kept, up to the kernel's last (EINVAL), also those newer
 * than our names. Without CAP_SETPCAP it is no fault where the bit isn't there. */
int cx_child_bounding(struct cx_child *c, const struct cx_op *op)
{
	for (unsigned cap = 0; cap < 64; cap++) {
		if (op->arg[0] >> cap & 1)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL)
			break;
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 0) {
			errno = EPERM;
			return cx_child_fail(c, CX_CALL_prctl,
				capability_of(UINT64_C(1) << cap));
		}
	}
	return 0;
}

/* Does our user namespace deny setgroups, as those that unprivileged users made do? Then
 * groups stay: dropping one could open what "everybody but this group" may not see
 * (user_namespaces(7)). */
static int setgroups_denied(struct cx_child *c)
{
	char text[8] = "";
	int fd = open_proc(c, "self/setgroups", O_RDONLY, 0);
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	return n >= 4 && !memcmp(text, "deny", 4);
}

static int set_groups(struct cx_child *c, uint64_t cell)
{
	const void *groups;
	size_t size;

	if (!cell)
		return 0;
	groups = cx_child_bytes(c, cell, &size);
	if (syscall(SYS_setgroups, size / sizeof(uint32_t), groups) == 0)
		return 0;
	if (errno == EPERM && !size && setgroups_denied(c))
		return 0;
	return cx_child_fail(c, CX_CALL_setgroups, "");
}

/* Raw system calls: the C library's functions signal and lock all threads of the process.
 * Leaving uid 0 would clear all capabilities; those to keep are set by the operation
 * after this one. */
int cx_child_identity(struct cx_child *c, const struct cx_op *op)
{
	uint32_t uid = (uint32_t)op->arg[0], gid = (uint32_t)op->arg[1];
	int r = set_groups(c, op->arg[2]);

	if (r < 0)
		return r;
	umask((mode_t)op->arg[3]);
	if (uid && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return cx_child_fail(c, CX_CALL_prctl, "PR_SET_KEEPCAPS");
	if (syscall(SYS_setresgid, gid, gid, gid) < 0)
		return cx_child_fail(c, CX_CALL_setresgid, "");
	if (syscall(SYS_setresuid, uid, uid, uid) < 0)
		return cx_child_fail(c, CX_CALL_setresuid, "");
	if (uid && prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return cx_child_fail(c, CX_CALL_prctl, "PR_SET_KEEPCAPS");
	return 0;
}

/* Which of the wanted capabilities we don't have ourselves. */
static uint64_t missing(uint64_t wanted)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 0 } };

	if (syscall(SYS_capget, &head, data) < 0)
		return 0;
	return wanted & ~((uint64_t)data[1].permitted << 32 | data[0].permitted);
}

/* Ambient ones that the host had would survive in the new sets: they go first. */
int cx_child_capabilities(struct cx_child *c, const struct cx_op *op)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(op->arg[0] >> 32 * i);
		data[i].permitted = (uint32_t)(op->arg[1] >> 32 * i);
		data[i].inheritable = (uint32_t)(op->arg[2] >> 32 * i);
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return cx_child_fail(c, CX_CALL_prctl, "PR_CAP_AMBIENT_CLEAR_ALL");
	if (syscall(SYS_capset, &head, data) < 0) {
		int saved = errno;
		uint64_t lacking = missing(op->arg[0] | op->arg[1] | op->arg[2]);

		errno = saved;
		return cx_child_fail(c, CX_CALL_capset, capability_of(lacking));
	}
	return 0;
}

int cx_child_ambient(struct cx_child *c, const struct cx_op *op)
{
	for (unsigned cap = 0; cap < 64; cap++) {
		if (!(op->arg[0] >> cap & 1))
			continue;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return cx_child_fail(c, CX_CALL_prctl,
				capability_of(UINT64_C(1) << cap));
	}
	return 0;
}
