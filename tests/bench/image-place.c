/* Where bench image works: mounts and a network of its own, commands, servers. All of it goes with the process. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "image.h"
#include "peak.h"
#include "spawn.h"

/* Debian 13's programs, where newer-peers.sh has fetched them: in their tree everything of ours lies at the same place. */
static void make_newer(const char *output)
{
	char tree[PATH_MAX + 32], why[IMAGE_WHY];

	if (!realpath(output, tree))
		return;
	if (image_command(why, "at=%s/newer; [ -e %s/newer-image-peers/tree/.done ] && mkdir $at && mount --bind %s/newer-image-peers/tree $at "
		"&& mkdir -p $at/%s $at/%s && mount --bind %s $at/%s && mount --bind %s $at/%s && mount --rbind /dev $at/dev "
		"&& mount -t proc proc $at/proc", IMAGE_SCRATCH, tree, tree, IMAGE_SCRATCH, tree, IMAGE_SCRATCH, IMAGE_SCRATCH, tree, tree) < 0)
		rmdir(IMAGE_SCRATCH "/newer");
}

int image_newer(char why[IMAGE_WHY], const char *program)
{
	char path[128];

	snprintf(path, sizeof path, IMAGE_SCRATCH "/newer/usr/bin/%s", program);
	if (access(path, X_OK) == 0)
		return 0;
	snprintf(why, IMAGE_WHY, "newer-peers.sh has brought no %s", program);
	return -ENOENT;
}

int image_place_make(const char *output)
{
	if (mkdir(IMAGE_SCRATCH, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
		|| mount("tmpfs", IMAGE_SCRATCH, "tmpfs", 0, "mode=0700,size=90%") < 0)
		return -errno;
	make_newer(output);
	return system("ip link set lo up") == 0 ? 0 : -ENOENT;
}

void image_place_remove(void)
{
	char why[IMAGE_WHY];

	/* what podman and ctr leave of their cgroups */
	image_command(why, "for g in /sys/fs/cgroup /sys/fs/cgroup/*; do rmdir $g/conex-bench/conmon $g/conex-bench/ctr "
		"$g/conex-bench; done");
	umount2(IMAGE_SCRATCH, MNT_DETACH);
	rmdir(IMAGE_SCRATCH);
}

/* ---- commands ------------------------------------------------------------------------------------- */

static void last_words(char why[IMAGE_WHY])
{
	char text[IMAGE_WHY] = "", line[4096];
	FILE *f = fopen(IMAGE_LOG, "re");

	while (f && fgets(line, sizeof line, f))
		snprintf(text, sizeof text, "%.*s", (int)strcspn(line, "\n"), line);
	if (f)
		fclose(f);
	memcpy(why, text, IMAGE_WHY);
}

int image_command(char why[IMAGE_WHY], const char *format, ...)
{
	char command[4096];
	va_list args;
	int r;

	va_start(args, format);
	vsnprintf(command, sizeof command, format, args);
	va_end(args);
	unlink(IMAGE_LOG);
	r = spawn_wait(spawn_program("/bin/sh", (const char *[]){ "sh", "-c", command, NULL }, IMAGE_LOG, NULL));
	if (r == 0)
		return 0;
	last_words(why);
	if (!why[0])
		snprintf(why, IMAGE_WHY, "%.200s: status %d", command, r);
	return -EIO;
}

int image_needs(char why[IMAGE_WHY], const char *const *programs)
{
	char path[SPAWN_PATH];

	for (; *programs; programs++)
		if (spawn_find(*programs, path) < 0) {
			snprintf(why, IMAGE_WHY, "%s isn't installed", *programs);
			return -ENOENT;
		}
	return 0;
}

/* ---- servers -------------------------------------------------------------------------------------- */

void image_server_end(pid_t *pid)
{
	if (*pid <= 0)
		return;
	kill(*pid, SIGTERM);
	for (int i = 0; i < 500; i++) {
		if (waitpid(*pid, NULL, WNOHANG) != 0)
			goto out;
		usleep(20000);
	}
	kill(*pid, SIGKILL);
	waitpid(*pid, NULL, 0);
out:
	*pid = 0;
}

pid_t image_server_start(const char *const *args, const char *ready, char why[IMAGE_WHY])
{
	const char *bound[10] = { "setpriv", "--pdeathsig", "KILL" };   /* it ends with us, however we end */
	char path[SPAWN_PATH];
	pid_t pid = spawn_find(args[0], path);

	for (size_t i = 0; args[i] && i < 6; i++)
		bound[i + 3] = args[i];
	if (pid == 0 && (pid = spawn_find("setpriv", path)) == 0)
		pid = spawn_program(path, bound, IMAGE_SCRATCH "/server-log", NULL);
	for (int i = 0; pid > 0 && i < 500; i++) {
		if (image_command(why, "%s", ready) == 0)
			return pid;
		if (waitpid(pid, NULL, WNOHANG) == pid)
			pid = 0;
		else
			usleep(20000);
	}
	image_server_end(&pid);
	snprintf(why, IMAGE_WHY, "%s doesn't start", args[0]);
	return -EIO;
}

/* ---- memory --------------------------------------------------------------------------------------- */

/* The kernel's high-water mark begins anew. */
static void forget_peak(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof path, "/proc/%d/clear_refs", (int)pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "5", 1) != 1)
		fprintf(stderr, "bench-image: %s: %s\n", path, strerror(errno));
	close(fd);
}

int image_memory(int (*call)(void *data), void *data, int is_inside, pid_t server, double *ret)
{
	long kib, servers = 0;

	if (server > 0)
		forget_peak(server);
	kib = bench_peak(call, data, is_inside);
	if (kib < 0)
		return -EIO;
	if (server > 0)
		servers = bench_peak_of(server);
	*ret = (double)(kib > servers ? kib : servers) / 1024;
	return 0;
}
