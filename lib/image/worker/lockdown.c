/* Locking the worker in. What reads strangers' bytes may be taken over by them; then it has this left: the directories
 * of its task, the memory and threads that it has, and, when it pulls or pushes, connections. It executes nothing,
 * sees no other process, opens nothing else, and has no right but those that unpacking takes. */
#include "image/worker/lockdown.h"
#include "base/kernel.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* ---- files: landlock(7) ---- */

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE (READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE \
	| LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG \
	| LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK \
	| LANDLOCK_ACCESS_FS_MAKE_SYM)
#define REFER (1ULL << 13)                      /* LANDLOCK_ACCESS_FS_...: version 2 */
#define TRUNCATE (1ULL << 14)                   /* version 3 */
#define IOCTL (1ULL << 15)                      /* of devices: version 5 */
#define SCOPES 3ULL                             /* LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET, ..._SIGNAL: version 6 */

/* struct landlock_ruleset_attr of this and newer headers. */
struct ruleset { uint64_t files, network, scoped; };

/* What the resolver and TLS read when they connect. Files that aren't there aren't missed. */
static const char *const network_files[] = { "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf",
	"/etc/gai.conf", "/etc/services", "/etc/ssl", "/etc/pki", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
	"/etc/crypto-policies", "/run/systemd/resolve", "/lib", "/usr/lib", "/lib64",
	"/usr/lib64" };

static int allow(int rules, int fd, uint64_t access)
{
	struct landlock_path_beneath_attr path = { .allowed_access = access, .parent_fd = fd };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		path.allowed_access &= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | TRUNCATE;
	return syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &path, 0) < 0 ? -errno : 0;
}

static int allow_files(int rules, const struct cx_lockdown *l, uint64_t handled)
{
	int r = 0;

	for (int i = 0; i < l->count && r == 0; i++)
		r = allow(rules, l->writable[i], handled & (WRITE | REFER | TRUNCATE));
	for (int i = 0; i < l->readable_count && r == 0; i++)
		r = allow(rules, l->readable[i], handled & READ);
	for (size_t i = 0; l->network && i < CX_ARRAY_SIZE(network_files) && r == 0; i++) {
		cx_autoclose int fd = open(network_files[i], O_PATH | O_CLOEXEC);

		if (fd >= 0)
			r = allow(rules, fd, READ);
	}
	return r;
}

/* Before version 2 nothing could be renamed from one directory into another, which is how the store does all. Kernels
 * without it (before 5.19, or configured so) leave the filter, and the rights that are gone. */
static int lock_files(const struct cx_lockdown *l, conex_error **err)
{
	struct ruleset set = { .files = WRITE | REFER | LANDLOCK_ACCESS_FS_EXECUTE };
	int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION), r;
	cx_autoclose int rules = -1;

	if (version < 0 && errno != ENOSYS && errno != EOPNOTSUPP)
		return cx_fail_errno(err, CONEX_STAGE_IMAGE, "landlock_create_ruleset", NULL, "the worker's lock");
	if (version < 2)
		return 0;
	set.files |= (version >= 3 ? TRUNCATE : 0) | (version >= 5 ? IOCTL : 0);
	set.scoped = version >= 6 ? SCOPES : 0;
	rules = (int)syscall(SYS_landlock_create_ruleset, &set, version >= 6 ? sizeof set : sizeof set.files, 0);
	r = rules < 0 ? -errno : allow_files(rules, l, set.files);
	if (r == 0 && syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		r = -errno;
	return r < 0 ? cx_fail(err, CONEX_STAGE_IMAGE, r, "landlock", NULL, "the worker's lock") : 0;
}

/* ---- rights ---- */

/* For others' files, owners, modes, devices, file capabilities, and overlay's attributes (trusted.*). */
static const int kept[] = { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP, CAP_SYS_ADMIN };

static int drop_rights(conex_error **err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct now[2], keep[2] = { { .permitted = 0 } };

	if (syscall(SYS_capget, &head, now) < 0)
		return cx_fail_errno(err, CONEX_STAGE_IMAGE, "capget", NULL, "the worker's rights");
	for (size_t i = 0; i < CX_ARRAY_SIZE(kept); i++) {
		unsigned bit = 1U << kept[i] % 32;

		keep[kept[i] / 32].permitted |= now[kept[i] / 32].permitted & bit;
		keep[kept[i] / 32].effective |= now[kept[i] / 32].permitted & bit;
	}
	if (syscall(SYS_capset, &head, keep) < 0)
		return cx_fail_errno(err, CONEX_STAGE_IMAGE, "capset", NULL, "the worker's rights");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return cx_fail_errno(err, CONEX_STAGE_IMAGE, "prctl", NULL, "the worker's rights");
	return 0;
}

/* ---- system calls ---- */

/* What neither archives nor registries take, and who takes over would. It is a list of what is refused, since nobody
 * knows what all libraries of all versions call: files are Landlock's, and CAP_SYS_ADMIN (for trusted.*) has nothing
 * left to be used on. */
static const int refused[] = {
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev), SCMP_SYS(process_madvise), SCMP_SYS(kcmp), SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_getfd),
	SCMP_SYS(pidfd_send_signal), SCMP_SYS(kill), SCMP_SYS(tkill), SCMP_SYS(rt_sigqueueinfo), SCMP_SYS(mount),
	SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(open_tree), SCMP_SYS(move_mount), SCMP_SYS(fsopen),
	SCMP_SYS(fsconfig), SCMP_SYS(fsmount), SCMP_SYS(fspick), SCMP_SYS(mount_setattr), SCMP_SYS(setns), SCMP_SYS(unshare),
	SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register), SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(init_module),
	SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(reboot),
	SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(acct), SCMP_SYS(quotactl), SCMP_SYS(open_by_handle_at),
	SCMP_SYS(name_to_handle_at), SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid),
	SCMP_SYS(setresuid), SCMP_SYS(setresgid), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid), SCMP_SYS(setgroups), SCMP_SYS(capset),
	SCMP_SYS(sethostname), SCMP_SYS(setdomainname), SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(adjtimex),
	SCMP_SYS(clock_adjtime), SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(syslog), SCMP_SYS(vhangup), SCMP_SYS(personality),
	SCMP_SYS(nfsservctl), SCMP_SYS(lookup_dcookie), SCMP_SYS(fanotify_init), SCMP_SYS(modify_ldt), SCMP_SYS(seccomp),
	SCMP_SYS(shmget), SCMP_SYS(shmat), SCMP_SYS(msgget), SCMP_SYS(semget), SCMP_SYS(mq_open), SCMP_SYS(memfd_create),
	SCMP_SYS(setpriority), SCMP_SYS(sched_setscheduler), SCMP_SYS(sched_setattr), SCMP_SYS(mbind), SCMP_SYS(set_mempolicy),
	SCMP_SYS(migrate_pages), SCMP_SYS(move_pages), SCMP_SYS(vmsplice),
};

static int refuse(scmp_filter_ctx filter, int call, int error, struct scmp_arg_cmp if_)
{
	return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((unsigned)error), call, 1, &if_);
}

/* A worker that reads archives has no connections; one that pulls has the internet's, the resolver's (AF_UNIX) and
 * what getaddrinfo(3) asks which addresses there are (AF_NETLINK, rtnetlink). */
static int refuse_sockets(scmp_filter_ctx filter, int network)
{
	const struct scmp_arg_cmp netfilter[] = { { .arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_NETLINK, .datum_b = 0 },
		{ .arg = 2, .op = SCMP_CMP_NE, .datum_a = NETLINK_ROUTE, .datum_b = 0 } };
	int r = 0;

	if (!network)
		return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 0, NULL);
	for (scmp_datum_t family = 0; family <= AF_MAX && r == 0; family++)
		if (family != AF_UNIX && family != AF_INET && family != AF_INET6 && family != AF_NETLINK)
			r = refuse(filter, SCMP_SYS(socket), EACCES,
				(struct scmp_arg_cmp){ .arg = 0, .op = SCMP_CMP_EQ, .datum_a = family, .datum_b = 0 });
	if (r == 0)
		r = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 2, netfilter);
	return r < 0 ? r : refuse(filter, SCMP_SYS(socket), EACCES,
		(struct scmp_arg_cmp){ .arg = 0, .op = SCMP_CMP_GT, .datum_a = AF_MAX, .datum_b = 0 });
}

/* Processes are made by clone as threads are, but for their flags; clone3's can't be looked at. */
static int refuse_processes(scmp_filter_ctx filter)
{
	int r = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0, NULL);

	return r < 0 ? r : refuse(filter, SCMP_SYS(clone), EPERM,
		(struct scmp_arg_cmp){ .arg = 0, .op = SCMP_CMP_MASKED_EQ, .datum_a = CLONE_THREAD, .datum_b = 0 });
}

static int lock_calls(const struct cx_lockdown *l, conex_error **err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int r = filter ? 0 : -ENOMEM;

	for (size_t i = 0; i < CX_ARRAY_SIZE(refused) && r == 0; i++) {
		r = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0, NULL);
		if (refused[i] < 0 && r < 0)
			r = 0;          /* another architecture's */
	}
	if (r == 0)
		r = refuse_processes(filter);
	if (r == 0)
		r = refuse_sockets(filter, l->network);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r < 0 ? cx_fail(err, CONEX_STAGE_IMAGE, r, "seccomp", NULL, "the worker's lock") : 0;
}

/* Each thread has rights, rules and filters of its own. */
static int is_alone(void)
{
	struct stat st;

	return stat("/proc/self/task", &st) < 0 || st.st_nlink <= 3;
}

int cx_worker_lock(const struct cx_lockdown *l, conex_error **err)
{
	int r = is_alone() ? 0 : cx_fail(err, CONEX_STAGE_IMAGE, -EBUSY, NULL, "lock before the first thread", "the worker's lock");

	if (r == 0)
		r = drop_rights(err);
	if (r == 0)
		r = lock_files(l, err);
	return r < 0 ? r : lock_calls(l, err);
}
