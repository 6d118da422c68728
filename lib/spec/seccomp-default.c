/* The default seccomp profile: the system calls that Docker and Podman let a container
 * make, as our own table. What isn't named fails with EPERM. */
#include "spec/check.h"

#include <sched.h>
#include <sys/personality.h>
#include <sys/socket.h>

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER \
	| CLONE_NEWPID | CLONE_NEWNET)

struct row {
	const char *names;      /* separated by spaces */
	const char *with;       /* only if the bounding set has this capability */
	const char *without;    /* only if it has not */
	int fails;              /* with this errno; 0: allowed */
	const char *op;         /* a condition on the first argument; NULL: none */
	int64_t value;
};

static const struct row rows[] = {
	/* files by path */
	{ .names = "access chdir chmod chown chown32 creat faccessat faccessat2 "
		"fchmodat fchmodat2 fchownat fstatat64 futimesat getcwd lchown "
		"lchown32 link linkat lstat lstat64 mkdir mkdirat mknod mknodat "
		"name_to_handle_at newfstatat open openat openat2 readlink "
		"readlinkat rename renameat renameat2 rmdir stat stat64 statfs "
		"statfs64 statx symlink symlinkat truncate truncate64 umask unlink "
		"unlinkat utime utimensat utimensat_time64 utimes" },
	/* files by descriptor */
	{ .names = "_llseek cachestat close close_range copy_file_range dup dup2 dup3 "
		"fadvise64 fadvise64_64 fallocate fchdir fchmod fchown fchown32 "
		"fcntl fcntl64 fdatasync flock fstat fstat64 fstatfs fstatfs64 fsync "
		"ftruncate ftruncate64 getdents getdents64 ioctl lseek pipe pipe2 "
		"pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead "
		"readv sendfile sendfile64 splice sync sync_file_range syncfs tee "
		"vmsplice write writev" },
	/* extended attributes */
	{ .names = "fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat "
		"lgetxattr listxattr listxattrat llistxattr lremovexattr lsetxattr "
		"removexattr removexattrat setxattr setxattrat" },
	/* waiting for several things, being told of changes; io_uring is left out: too
	 * much of the kernel stands behind it, unseen by filters */
	{ .names = "_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old "
		"epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 "
		"fanotify_mark inotify_add_watch inotify_init inotify_init1 "
		"inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents "
		"io_pgetevents_time64 io_setup io_submit poll ppoll ppoll_time64 "
		"pselect6 pselect6_time64 select" },
	/* memory */
	{ .names = "brk madvise map_shadow_stack membarrier memfd_create memfd_secret "
		"mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal "
		"msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect "
		"process_mrelease remap_file_pages" },
	/* processes and threads */
	{ .names = "arch_prctl execve execveat exit exit_group fork get_robust_list "
		"get_thread_area getpgid getpgrp getpid getppid getsid gettid kill "
		"modify_ldt pidfd_open pidfd_send_signal prctl process_vm_readv "
		"process_vm_writev ptrace restart_syscall rseq set_robust_list "
		"set_thread_area set_tid_address setpgid setsid tgkill tkill vfork "
		"wait4 waitid waitpid" },
	/* locks */
	{ .names = "futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake" },
	/* signals */
	{ .names = "pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo "
		"rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 "
		"rt_tgsigqueueinfo sigaltstack signalfd signalfd4 sigprocmask "
		"sigreturn uretprobe" },
	/* time (setting a clock asks for CAP_SYS_TIME anyway) */
	{ .names = "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres "
		"clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep "
		"clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer "
		"time timer_create timer_delete timer_getoverrun timer_gettime "
		"timer_gettime64 timer_settime timer_settime64 timerfd_create "
		"timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 "
		"times" },
	/* scheduling and limits */
	{ .names = "getcpu getpriority getrlimit getrusage ioprio_get ioprio_set "
		"prlimit64 sched_get_priority_max sched_get_priority_min "
		"sched_getaffinity sched_getattr sched_getparam sched_getscheduler "
		"sched_rr_get_interval sched_rr_get_interval_time64 "
		"sched_setaffinity sched_setattr sched_setparam sched_setscheduler "
		"sched_yield setpriority setrlimit ugetrlimit" },
	/* ids and rights */
	{ .names = "capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 "
		"getgroups getgroups32 getresgid getresgid32 getresuid getresuid32 "
		"getuid getuid32 landlock_add_rule landlock_create_ruleset "
		"landlock_restrict_self lsm_get_self_attr lsm_list_modules "
		"lsm_set_self_attr seccomp setfsgid setfsgid32 setfsuid setfsuid32 "
		"setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid "
		"setresgid32 setresuid setresuid32 setreuid setreuid32 setuid "
		"setuid32" },
	/* sockets */
	{ .names = "accept accept4 bind connect getpeername getsockname getsockopt "
		"listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg send sendmmsg "
		"sendmsg sendto setsockopt shutdown socketcall socketpair" },
	/* System V and POSIX message queues, semaphores, shared memory */
	{ .names = "ipc mq_getsetattr mq_notify mq_open mq_timedreceive "
		"mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink "
		"msgctl msgget msgrcv msgsnd semctl semget semop semtimedop "
		"semtimedop_time64 shmat shmctl shmdt shmget" },
	/* about the machine */
	{ .names = "getrandom listmount statmount sysinfo uname" },
#ifdef __aarch64__
	{ .names = "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls "
		"sync_file_range2" },
#endif
	/* a socket to the hypervisor leads out of every namespace */
	{ .names = "socket", .op = "SCMP_CMP_NE", .value = AF_VSOCK },
	{ .names = "personality", .op = "SCMP_CMP_EQ", .value = PER_LINUX },
	{ .names = "personality", .op = "SCMP_CMP_EQ", .value = PER_LINUX32 },
	{ .names = "personality", .op = "SCMP_CMP_EQ", .value = UNAME26 },
	{ .names = "personality", .op = "SCMP_CMP_EQ", .value = UNAME26 | PER_LINUX32 },
	{ .names = "personality", .op = "SCMP_CMP_EQ", .value = 0xffffffff }, /* asks, sets nothing */
	/* no new namespaces for who couldn't make them outside of a user namespace;
	 * clone3's flags lie in memory, where no filter sees them: libc goes back to
	 * clone after ENOSYS */
	{ .names = "clone", .without = "CAP_SYS_ADMIN", .op = "SCMP_CMP_MASKED_EQ",
		.value = NAMESPACES },
	{ .names = "clone3", .without = "CAP_SYS_ADMIN", .fails = ENOSYS },
	{ .names = "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick "
		"lookup_dcookie mount mount_setattr move_mount open_tree "
		"perf_event_open quotactl quotactl_fd setdomainname sethostname "
		"setns syslog umount umount2 unshare",
	  .with = "CAP_SYS_ADMIN" },
	{ .names = "open_by_handle_at", .with = "CAP_DAC_READ_SEARCH" },
	{ .names = "reboot", .with = "CAP_SYS_BOOT" },
	{ .names = "chroot", .with = "CAP_SYS_CHROOT" },
	{ .names = "delete_module finit_module init_module", .with = "CAP_SYS_MODULE" },
	{ .names = "acct", .with = "CAP_SYS_PACCT" },
	{ .names = "kcmp pidfd_getfd process_madvise", .with = "CAP_SYS_PTRACE" },
	{ .names = "ioperm iopl", .with = "CAP_SYS_RAWIO" },
	{ .names = "clock_settime clock_settime64 settimeofday stime", .with = "CAP_SYS_TIME" },
	{ .names = "vhangup", .with = "CAP_SYS_TTY_CONFIG" },
	{ .names = "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
	  .with = "CAP_SYS_NICE" },
	{ .names = "syslog", .with = "CAP_SYSLOG" },
	{ .names = "bpf", .with = "CAP_BPF" },
	{ .names = "perf_event_open", .with = "CAP_PERFMON" },
};

static json_t *split(const char *names)
{
	json_t *list = json_array();

	while (list && *names) {
		size_t size = strcspn(names, " ");

		if (json_array_append_new(list, json_stringn_nocheck(names, size)) < 0) {
			json_decref(list);
			return NULL;
		}
		names += size + (names[size] == ' ');
	}
	return list;
}

/* json_pack's "o" steals, frees on failure, and fails on NULL. */
static json_t *row_json(const struct row *row)
{
	json_t *entry = json_pack("{s:o,s:s}", "names", split(row->names), "action",
		row->fails ? "SCMP_ACT_ERRNO" : "SCMP_ACT_ALLOW");
	int r = entry ? 0 : -1;

	if (r == 0 && row->fails)
		r = json_object_set_new(entry, "errnoRet", json_integer(row->fails));
	if (r == 0 && row->op)
		r = json_object_set_new(entry, "args", json_pack("[{s:i,s:I,s:s}]", "index", 0,
			"value", (json_int_t)row->value, "op", row->op));
	if (r == 0)
		return entry;
	json_decref(entry);
	return NULL;
}

/* Without x32, unlike Docker's: hardly any kernel runs it, a third of the filter's size is its rules, and
 * each launch pays for that size (the kernel runs the filter for every number when it is installed). Its
 * calls are refused as another architecture's. */
static json_t *architectures(void)
{
#if defined(__x86_64__)
	return split("SCMP_ARCH_X86_64 SCMP_ARCH_X86");
#elif defined(__aarch64__)
	return split("SCMP_ARCH_AARCH64 SCMP_ARCH_ARM");
#else
	return json_array();
#endif
}

json_t *cx_spec_seccomp_default(const json_t *bounding)
{
	json_t *calls = json_array();

	for (size_t i = 0; calls && i < CX_ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];

		if ((row->with && !cx_json_has(bounding, row->with))
		    || (row->without && cx_json_has(bounding, row->without)))
			continue;
		if (json_array_append_new(calls, row_json(row)) < 0) {
			json_decref(calls);
			calls = NULL;
		}
	}
	return json_pack("{s:s,s:i,s:o,s:o}", "defaultAction", "SCMP_ACT_ERRNO",
		"defaultErrnoRet", EPERM, "architectures", architectures(), "syscalls", calls);
}
