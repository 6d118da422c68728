/* System calls that a libc in use may not wrap (musl 1.2.3, glibc 2.36), and their constants.
 * Header only, no state, no allocation: also used by the keeper program and inside containers.
 * All return -1 and set errno, as syscall(2) does. */
#ifndef CX_BASE_KERNEL_H
#define CX_BASE_KERNEL_H

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>
#include <linux/openat2.h>

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef OPEN_TREE_CLOEXEC
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 0x00000004
#endif
#ifndef MOVE_MOUNT_T_EMPTY_PATH
#define MOVE_MOUNT_T_EMPTY_PATH 0x00000040
#endif
#ifndef FSOPEN_CLOEXEC
#define FSOPEN_CLOEXEC 1
#endif
#ifndef FSMOUNT_CLOEXEC
#define FSMOUNT_CLOEXEC 1
#endif
/* enum fsconfig_command of <linux/mount.h>, which can't be included beside <sys/mount.h> */
#define CX_FSCONFIG_SET_FLAG 0
#define CX_FSCONFIG_SET_STRING 1
#define CX_FSCONFIG_CREATE 6
#define CX_MOUNT_ATTR_RDONLY 0x00000001
#define CX_MOUNT_ATTR_NOSUID 0x00000002
#define CX_MOUNT_ATTR_NODEV 0x00000004
#define CX_MOUNT_ATTR_NOEXEC 0x00000008
#define CX_MOUNT_ATTR_ATIME 0x00000070
#define CX_MOUNT_ATTR_NOATIME 0x00000010
#define CX_MOUNT_ATTR_STRICTATIME 0x00000020
#define CX_MOUNT_ATTR_NODIRATIME 0x00000080
#define CX_MOUNT_ATTR_IDMAP 0x00100000
#define CX_MOUNT_ATTR_NOSYMFOLLOW 0x00200000

struct cx_mount_attr { uint64_t attr_set, attr_clr, propagation, userns_fd; };

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif
#define CX_CLONE_CLEAR_SIGHAND 0x100000000ULL
#define CX_CLONE_INTO_CGROUP 0x200000000ULL

struct cx_clone_args { /* struct clone_args of <linux/sched.h>, version 2 */
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls,
		set_tid, set_tid_size, cgroup;
};

#ifndef SYS_open_tree
#define SYS_open_tree 428
#define SYS_move_mount 429
#define SYS_fsopen 430
#define SYS_fsconfig 431
#define SYS_fsmount 432
#define SYS_fspick 433
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#define CX_CLOSE_RANGE_UNSHARE (1U << 1)
#define CX_CLOSE_RANGE_CLOEXEC (1U << 2)

static inline int cx_sys_open_tree(int dirfd, const char *path, unsigned flags)
{
	return (int)syscall(SYS_open_tree, dirfd, path, flags);
}

static inline int cx_sys_move_mount(int from, const char *from_path, int to, const char *to_path,
	unsigned flags)
{
	return (int)syscall(SYS_move_mount, from, from_path, to, to_path, flags);
}

static inline int cx_sys_fsopen(const char *type, unsigned flags)
{
	return (int)syscall(SYS_fsopen, type, flags);
}

static inline int cx_sys_fsconfig(int fd, unsigned command, const char *key, const char *value,
	int aux)
{
	return (int)syscall(SYS_fsconfig, fd, command, key, value, aux);
}

static inline int cx_sys_fsmount(int fd, unsigned flags, unsigned attributes)
{
	return (int)syscall(SYS_fsmount, fd, flags, attributes);
}

static inline int cx_sys_mount_setattr(int dirfd, const char *path, unsigned flags,
	const struct cx_mount_attr *attr)
{
	return (int)syscall(SYS_mount_setattr, dirfd, path, flags, attr, sizeof *attr);
}

static inline int cx_sys_pidfd_open(pid_t pid, unsigned flags)
{
	return (int)syscall(SYS_pidfd_open, pid, flags);
}

static inline int cx_sys_pidfd_send_signal(int pidfd, int sig)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

/* attr: a union bpf_attr of <linux/bpf.h>, zeroed before it was filled */
static inline int cx_sys_bpf(int command, void *attr, unsigned size)
{
	return (int)syscall(SYS_bpf, command, attr, size);
}

/* A copy of descriptor `fd` of that process, close-on-exec. */
static inline int cx_sys_pidfd_getfd(int pidfd, int fd)
{
	return (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
}

static inline int cx_sys_close_range(unsigned first, unsigned last, unsigned flags)
{
	return (int)syscall(SYS_close_range, first, last, flags);
}

static inline int cx_sys_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode,
	uint64_t resolve)
{
	struct open_how how = { .flags = flags, .mode = mode, .resolve = resolve };

	return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
}

#endif
