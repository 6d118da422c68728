/* What a worker can't do any more once it has locked itself in, and what it still can: its work. Each try is a process of
 * its own, and who is looked at from outside is looked at in /proc. */
#include <pthread.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "system/unpack.h"
#include "image/worker/lockdown.h"
#include "image/store-inside.h"
#include "image/worker/remote.h"

static struct box box;
static int network;
static struct cx_worker worker;         /* its task says which certificates count */

/* conex-worker's own, which the certificates' part asks for: nobody is told anything here. */
void cx_worker_tell(struct cx_worker *w)
{
	(void)w;
}

/* ---- a locked process ---- */

static void lock_in(void)
{
	int files[CX_REMOTE_FILES];
	const struct cx_lockdown l = { .writable = &box.out, .count = 1, .network = network, .readable = files,
		.readable_count = cx_remote_files(&worker, files) };
	conex_error *err = NULL;

	if (cx_worker_lock(&l, &err) < 0) {
		printf("# %s\n", conex_error_text(err));
		fflush(stdout);
		_exit(100);
	}
}

/* What `try` answers in one: 0, or an errno. */
static int locked(int (*try)(void))
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		lock_in();
		_exit(try() == 0 ? 0 : errno);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

#define TRY(name, call) static int name(void) { return (call) < 0 ? -1 : 0; }

/* Nothing beside the place of work has changed. */
static void same(void)
{
	char *now = box_look(&box);

	CHECK_STR(now, box.before);
	CHECK_INT(faccessat(box.dir, "beside", F_OK, 0), 0);
	CHECK_INT(faccessat(box.dir, "new", F_OK, 0), -1);
	free(now);
}

/* ---- files ---- */

TRY(read_elsewhere, open("/etc/passwd", O_RDONLY | O_CLOEXEC))
TRY(read_process, open("/proc/1/environ", O_RDONLY | O_CLOEXEC))
TRY(list_elsewhere, open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC))
TRY(write_elsewhere, openat(box.dir, "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600))
TRY(make_elsewhere, mkdirat(box.dir, "new", 0700))
TRY(remove_elsewhere, unlinkat(box.dir, "beside", 0))
TRY(climb, openat(box.out, "../beside", O_RDONLY | O_CLOEXEC))
TRY(link_out, linkat(box.out, "mine", box.dir, "new", 0))
TRY(link_in, linkat(box.dir, "beside", box.out, "stolen", 0))
TRY(rename_out, renameat(box.out, "mine", box.dir, "new"))
TRY(read_certificates, open("/etc/ssl", O_RDONLY | O_DIRECTORY | O_CLOEXEC))

static int work_inside(void)
{
	int fd = openat(box.out, "work", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, "x", 1) != 1 || ftruncate(fd, 0) < 0 || mkdirat(box.out, "below", 0700) < 0
	    || renameat(box.out, "work", box.out, "below/work") < 0 || linkat(box.out, "below/work", box.out, "again", 0) < 0
	    || symlinkat("x", box.out, "link") < 0 || mknodat(box.out, "device", S_IFCHR, makedev(1, 3)) < 0
	    || fchownat(box.out, "again", 12345, 54321, 0) < 0 || fchmodat(box.out, "again", 04755, 0) < 0
	    || fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
		return -1;
	return unlinkat(box.out, "again", 0) | unlinkat(box.out, "link", 0) | unlinkat(box.out, "device", 0)
		| unlinkat(box.out, "below/work", 0) | unlinkat(box.out, "below", AT_REMOVEDIR);
}

static int has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 2;
}

TEST(files)
{
	int (*const refused[])(void) = { read_elsewhere, read_process, list_elsewhere, write_elsewhere, make_elsewhere,
		remove_elsewhere, climb };

	box_write(box.out, "mine", "mine");
	CHECK_INT(locked(work_inside), 0);
	if (!has_landlock()) {
		printf("# no Landlock here\n");
		return;
	}
	for (size_t i = 0; i < CX_ARRAY_SIZE(refused); i++)
		CHECK_INT(locked(refused[i]), EACCES);
	CHECK(locked(link_out) != 0 && locked(link_in) != 0 && locked(rename_out) != 0);
	CHECK_INT(locked(read_certificates), EACCES);
	network = 1;
	CHECK_INT(locked(read_certificates), access("/etc/ssl", F_OK) == 0 ? 0 : ENOENT);
	CHECK_INT(locked(read_elsewhere), EACCES);
	network = 0;
	unlinkat(box.out, "mine", 0);
	same();
}

static char certificates[PATH_MAX];

static int read_below(const char *name)
{
	char path[2 * PATH_MAX];

	snprintf(path, sizeof path, "%s/%s", certificates, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

TRY(read_ca, read_below("certs.d/host:5000/own.crt"))
TRY(read_linked_ca, read_below("certs.d/host:5000/linked.crt"))
TRY(read_linked_host, read_below("certs.d/alias/ca.crt"))
TRY(list_host, read_below("certs.d/host:5000"))
TRY(read_beside_ca, read_below("pki/private.key"))
TRY(read_beside_host, read_below("elsewhere/secret"))
TRY(read_beside_certs, read_below("auth.json"))
TRY(read_containers, open("/etc/containers", O_RDONLY | O_DIRECTORY | O_CLOEXEC))
TRY(read_docker, open("/etc/docker", O_RDONLY | O_DIRECTORY | O_CLOEXEC))

/* The directories that the task names, and what links in them lead to: not what is beside that, and none that it doesn't
 * name. */
TEST(certificate_directories)
{
	int (*const left[])(void) = { read_ca, read_linked_ca, read_linked_host, list_host };
	int (*const refused[])(void) = { read_beside_ca, read_beside_host, read_beside_certs, read_containers, read_docker };
	static const char *const directories[] = { "etc", "etc/certs.d", "etc/certs.d/host:5000", "etc/pki", "etc/elsewhere",
		"etc/elsewhere/host" };
	static const char *const files[] = { "etc/certs.d/host:5000/own.crt", "etc/pki/ca.pem", "etc/pki/private.key",
		"etc/elsewhere/host/ca.crt", "etc/elsewhere/secret", "etc/auth.json" };
	char path[64];

	for (size_t i = 0; i < CX_ARRAY_SIZE(directories); i++)
		CHECK_INT(mkdirat(box.dir, directories[i], 0700), 0);
	for (size_t i = 0; i < CX_ARRAY_SIZE(files); i++)
		box_write(box.dir, files[i], "x");
	CHECK_INT(symlinkat("../../pki/ca.pem", box.dir, "etc/certs.d/host:5000/linked.crt"), 0);
	CHECK_INT(symlinkat("nowhere", box.dir, "etc/certs.d/host:5000/dangling.crt"), 0);
	CHECK_INT(symlinkat("../elsewhere/host", box.dir, "etc/certs.d/alias"), 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", box.dir);
	CHECK(readlink(path, certificates, sizeof certificates - 8) > 0);
	strcat(certificates, "/etc");
	worker.task = json_pack("{s:{s:[s+, s]}}", "remote", "certificates", certificates, "/certs.d", "/nowhere");
	CHECK(worker.task != NULL);
	network = 1;
	for (size_t i = 0; i < CX_ARRAY_SIZE(left); i++)
		CHECK_INT(locked(left[i]), 0);
	for (size_t i = 0; i < CX_ARRAY_SIZE(refused) && has_landlock(); i++) {
		int r = locked(refused[i]);

		CHECK(r == EACCES || (r == ENOENT && i >= 3));  /* a machine without these */
	}
	json_decref(worker.task);
	worker.task = NULL;
	if (has_landlock())
		CHECK_INT(locked(read_ca), EACCES);
	network = 0;
	CHECK_INT(cx_store_remove(box.dir, "etc"), 0);
	same();
}

/* ---- processes ---- */

static int execute(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return -1;
}

static int spawn(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0 ? -1 : 0;
}

static void *idle(void *arg)
{
	return arg;
}

static int thread(void)
{
	pthread_t t;

	errno = pthread_create(&t, NULL, idle, NULL);
	return errno ? -1 : pthread_join(t, NULL);
}

TRY(trace, (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL))
TRY(signal_parent, kill(getppid(), SIGCONT))
TRY(open_process, (int)syscall(SYS_pidfd_open, getppid(), 0))
TRY(new_namespace, unshare(CLONE_NEWNS))
TRY(mount_something, mount("none", "/mnt", "tmpfs", 0, NULL))
TRY(load_program, (int)syscall(SYS_bpf, 0, NULL, 0))
TRY(become, setuid(1))
TRY(ring, (int)syscall(SYS_io_uring_setup, 1, NULL))

TEST(processes)
{
	int (*const refused[])(void) = { spawn, trace, signal_parent, open_process, new_namespace, mount_something, load_program,
		become, ring };

	for (size_t i = 0; i < CX_ARRAY_SIZE(refused); i++)
		CHECK_INT(locked(refused[i]), EPERM);
	CHECK(locked(execute) == EPERM || locked(execute) == EACCES);
	CHECK_INT(locked(thread), 0);
}

/* ---- connections ---- */

TRY(internet, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
TRY(internet_6, socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0))
TRY(routes, socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0))
TRY(firewall, socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 12))
TRY(packets, socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0))
TRY(machine, socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0))
TRY(raw, socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 1))

TEST(connections)
{
	int (*const wanted[])(void) = { internet, internet_6, routes };
	int (*const never[])(void) = { firewall, packets, machine };

	for (network = 0; network < 2; network++) {
		for (size_t i = 0; i < CX_ARRAY_SIZE(wanted); i++)
			CHECK_INT(locked(wanted[i]), network ? 0 : EACCES);
		for (size_t i = 0; i < CX_ARRAY_SIZE(never); i++)
			CHECK_INT(locked(never[i]), EACCES);
	}
	CHECK_INT(locked(raw), EPERM);          /* CAP_NET_RAW has gone */
	network = 0;
}

/* ---- as the kernel shows it ---- */

static const char *status_of(pid_t pid, const char *key, char to[64])
{
	char path[32], line[256];
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	to[0] = '\0';
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
			sscanf(line + strlen(key) + 1, "%63s", to);
	if (f)
		fclose(f);
	return to;
}

TEST(shown)
{
	char text[64], byte;
	int pair[2], status;
	pid_t pid;

	CHECK_INT(pipe2(pair, O_CLOEXEC), 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		lock_in();
		if (write(pair[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	CHECK_INT(read(pair[0], &byte, 1), 1);
	CHECK_STR(status_of(pid, "NoNewPrivs", text), "1");
	CHECK_STR(status_of(pid, "Seccomp", text), "2");
	CHECK_STR(status_of(pid, "CapEff", text), "000000008820001b");
	CHECK_STR(status_of(pid, "CapPrm", text), "000000008820001b");
	CHECK_STR(status_of(pid, "CapInh", text), "0000000000000000");
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(pair[0]);
	close(pair[1]);
}

/* ---- its work ---- */

/* A layer with one of each, by our own generator's friend: GNU tar. */
static int unpack(void)
{
	const struct cx_packed layer = { .fd = openat(box.out, "layer.tar.gz", O_RDONLY | O_CLOEXEC) };
	const struct cx_unpack_options o = { .whiteouts = CX_WHITEOUT_OVERLAY };
	conex_error *err = NULL;

	if (cx_unpack_layer(box.out, "tree", &layer, &o, NULL, &err) == 0)
		return 0;
	printf("# %s\n", conex_error_text(err));
	fflush(stdout);
	errno = -conex_error_code(err);
	return -1;
}

TEST(unpacks)
{
	char text[512], value[1];
	struct stat st;

	snprintf(text, sizeof text, "set -e; cd %s/out; mkdir src; cd src; echo x >file; chown 7:8 file; chmod 4755 file; ln file hard;"
		" ln -s file soft; mkfifo pipe; mknod null c 1 3; mkdir dir; touch dir/.wh.gone dir/.wh..wh..opq;"
		" tar czf ../layer.tar.gz .; cd ..; rm -r src", box.path);
	CHECK_INT(system(text), 0);
	CHECK_INT(locked(unpack), 0);
	CHECK(fstatat(box.out, "tree/file", &st, 0) == 0 && st.st_mode == (S_IFREG | 04755) && st.st_uid == 7 && st.st_gid == 8
		&& st.st_nlink == 2);
	CHECK(fstatat(box.out, "tree/null", &st, 0) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
	CHECK(fstatat(box.out, "tree/dir/gone", &st, 0) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0);
	snprintf(text, sizeof text, "%s/out/tree/dir", box.path);
	CHECK_INT(getxattr(text, "trusted.overlay.opaque", value, 1), 1);
	same();
}

/* ---- too late ---- */

static void *wait_for_ever(void *arg)
{
	pause();
	return arg;
}

TEST(with_threads)
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		const struct cx_lockdown l = { .count = 0 };
		pthread_t t;

		_exit(pthread_create(&t, NULL, wait_for_ever, NULL) == 0 && cx_worker_lock(&l, NULL) == -EBUSY ? 0 : 1);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
}

int main(void)
{
	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	if (!box_make(&box))
		return 1;
	box_write(box.dir, "beside", "beside");
	RUN(files);
	RUN(certificate_directories);
	RUN(processes);
	RUN(connections);
	RUN(shown);
	RUN(unpacks);
	RUN(with_threads);
	box_remove(&box);
	return test_end();
}
