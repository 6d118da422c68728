/* How a test becomes somebody without privileges: in a process of its own, for there is no way back. */
#ifndef CONEX_TEST_ROOTLESS_H
#define CONEX_TEST_ROOTLESS_H

#include "box.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { USER = 12345, FIRST = 700000, COUNT = 65536 };

static enum { OWN_ID, SUBORDINATE, NESTED, DELEGATED, ROOT } mode;
static char subtree[64];        /* of cgroup v2, handed to the user; "": none */

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r = fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;

	close(fd);
	return r;
}

/* The user is known, and has subordinate ids, in this process's mounts only. */
static int give_subordinate(void)
{
	static const char *const files[] = { "passwd", "subuid", "subgid" };

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	command("cat /etc/passwd >%s/passwd; echo 'boxer:x:%d:%d::/:/bin/sh' >>%s/passwd;"
		"echo 'other:1:1\nboxer:%d:%d' >%s/subuid; cp %s/subuid %s/subgid", box.dir, USER, USER, box.dir,
		FIRST, COUNT, box.dir, box.dir, box.dir);
	for (int i = 0; i < 3; i++) {
		const char *file = say("/etc/%s", files[i]);

		if (mount(say("%s/%s", box.dir, files[i]), file, NULL, MS_BIND, NULL) < 0)
			return -1;
	}
	return 0;
}

/* As a service manager does it: the directory and three files of it are the user's, who is in it. */
static int give_subtree(void)
{
	static const char *const files[] = { "", "/cgroup.procs", "/cgroup.threads", "/cgroup.subtree_control" };
	const char *mount = access("/sys/fs/cgroup/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";

	snprintf(subtree, sizeof subtree, "%s/conex-rootless-%d", mount, (int)getpid());
	if (access(say("%s/cgroup.subtree_control", mount), F_OK) < 0 || mkdir(subtree, 0755) < 0)
		return -1;
	for (int i = 0; i < 4; i++)
		if (chown(say("%s%s", subtree, files[i]), USER, USER) < 0)
			return -1;
	return put(say("%s/cgroup.procs", subtree), "0");
}

/* Raw calls: nothing else runs here. */
static int become_user(void)
{
	return syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, USER, USER, USER) < 0
		|| syscall(SYS_setresuid, USER, USER, USER) < 0 ? -1 : 0;
}

static int become_nobodys_root(void)
{
	const char *map = say("0 %d 1", USER);

	prctl(PR_SET_DUMPABLE, 1);      /* else our own files in /proc aren't ours after the change of ids */
	return unshare(CLONE_NEWUSER) < 0 || put("/proc/self/setgroups", "deny") < 0
		|| put("/proc/self/uid_map", map) < 0 || put("/proc/self/gid_map", map) < 0 ? -1 : 0;
}

static int may_unshare(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) < 0);
	waitpid(pid, &status, 0);
	return status == 0;
}

/* Becomes what `mode` says; NULL, or why not. */
static const char *cannot(void)
{
	if (mode == SUBORDINATE && (access("/usr/bin/newuidmap", X_OK) < 0 || access("/usr/bin/newgidmap", X_OK) < 0))
		return "newuidmap isn't installed";
	if (mode == SUBORDINATE && give_subordinate() < 0)
		return "no mount namespace for /etc/subuid";
	if (mode == DELEGATED && give_subtree() < 0)
		return "no cgroup v2";
	if (become_user() < 0 || !may_unshare() || (mode == NESTED && become_nobodys_root() < 0))
		return "no unprivileged user namespaces here";
	return NULL;
}

/* What the kernel says of blanks is of no interest. */
static inline const char *squeezed(const char *text)
{
	static char to[256];
	size_t n = 0;

	for (; text && *text && n < sizeof to - 1; text++)
		if (*text != ' ' || (n && to[n - 1] != ' ' && to[n - 1] != '\n'))
			to[n++] = *text;
	to[n] = '\0';
	return to;
}

/* Each in a process of its own, for there is no way back; the count goes on. */
static inline void run_mode(int which, void (*tests)(int which))
{
	void *shared = mmap(NULL, sizeof test_state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		tests(which);
		memcpy(shared, &test_state, sizeof test_state);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	command("rmdir /sys/fs/cgroup/conex-rootless-%d /sys/fs/cgroup/unified/conex-rootless-%d 2>/dev/null", (int)pid, (int)pid);
	if (status == 0) {
		memcpy(&test_state, shared, sizeof test_state);
	} else {
		printf("not ok %d - ended with status %d\n", ++test_state.count, status);
		test_state.failed++;
	}
	munmap(shared, sizeof test_state);
}

#endif
