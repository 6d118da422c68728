/* The processes that call the runtimes: one on this system's files, one on those of a newer system, both in
 * mount namespaces of their own. Subreapers, as the engines' shims are. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "host.h"
#include "oci.h"

static int make_directories(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int bind_into(const char *tree, const char *place)
{
	char path[4096];
	int result;

	snprintf(path, sizeof path, "%s%s", tree, place);
	result = make_directories(path);
	if (result == 0 && mount(place, path, NULL, MS_BIND | MS_REC, NULL) < 0)
		result = -errno;
	return result;
}

/* pivot_root, not chroot: runtimes ask for the propagation of "/", which then has to be a mount. */
static int enter(const char *tree, const struct setup *s)
{
	const char *const places[] = { "/proc", "/sys", "/dev", "/run", s->dir, s->rootfs };
	int result = mount(tree, tree, NULL, MS_BIND | MS_REC, NULL) < 0 ? -errno : 0;

	for (size_t i = 0; result == 0 && i < sizeof places / sizeof *places; i++)
		result = bind_into(tree, places[i]);
	if (result < 0)
		return result;
	if (chdir(tree) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0
	    || chdir("/") < 0)
		return -errno;
	return 0;
}

static _Noreturn void world_main(int fd, const struct setup *s, const struct runtime *runtimes, const char *tree)
{
	struct oci_reply answer;
	struct oci_request request;
	int mounted, result;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	mounted = host_peers_enter();
	result = tree ? enter(tree, s) : 0;
	while (recv(fd, &request, sizeof request, 0) == sizeof request && request.what != OCI_QUIT) {
		if (result == 0) {
			oci_serve(s, &runtimes[request.runtime], &request, &answer);
		} else {
			memset(&answer, 0, sizeof answer);
			answer.result = result;
			snprintf(answer.text, sizeof answer.text, "%s: %s", tree, strerror(-result));
		}
		if (send(fd, &answer, sizeof answer, MSG_NOSIGNAL) < 0)
			break;
	}
	host_peers_leave(mounted);
	_exit(0);
}

int world_start(struct world *w, const struct setup *s, const struct runtime *runtimes, const char *tree)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	fflush(NULL);
	w->pid = fork();
	if (w->pid == 0) {
		close(pair[0]);
		world_main(pair[1], s, runtimes, tree);
	}
	close(pair[1]);
	w->fd = pair[0];
	return w->pid < 0 ? -errno : 0;
}

int world_call(const struct world *w, const struct oci_request *request, struct oci_reply *reply)
{
	if (send(w->fd, request, sizeof *request, MSG_NOSIGNAL) != sizeof *request
	    || recv(w->fd, reply, sizeof *reply, 0) != sizeof *reply) {
		memset(reply, 0, sizeof *reply);
		reply->result = -EPIPE;
		snprintf(reply->text, sizeof reply->text, "its host process has died");
	}
	return reply->result;
}

void world_stop(struct world *w)
{
	const struct oci_request quit = { .what = OCI_QUIT };

	if (w->pid <= 0)
		return;
	send(w->fd, &quit, sizeof quit, MSG_NOSIGNAL);
	waitpid(w->pid, NULL, 0);
	close(w->fd);
	w->pid = 0;
}
