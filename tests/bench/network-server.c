/* What the peers and the floor have instead of a container: a process in a network namespace of its own. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"
#include "network.h"

static void serve(int fd, int (*ready)(void *), void *data)
{
	char byte = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWNET) < 0 || write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
		_exit(1);
	if ((ready && ready(data) < 0) || write(fd, &byte, 1) != 1)
		_exit(1);
	dup2(open("/dev/null", O_RDWR), 1);
	dup2(1, 2);
	execl("/bin/busybox", "busybox", "httpd", "-f", "-p", "80", "-h", "/", (char *)NULL);
	_exit(127);
}

int network_server_start(struct network_server *s, int (*ready)(void *data), void *data)
{
	int pair[2];
	char byte;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	s->pid = fork();
	if (s->pid == 0)
		serve(pair[1], ready, data);
	close(pair[1]);
	s->go = pair[0];
	if (s->pid < 0 || read(s->go, &byte, 1) != 1) {
		network_server_end(s);
		return -EIO;
	}
	return 0;
}

int network_server_go(struct network_server *s)
{
	char byte;

	return write(s->go, "", 1) == 1 && read(s->go, &byte, 1) == 1 ? 0 : -EIO;
}

void network_server_end(struct network_server *s)
{
	if (s->pid > 0) {
		kill(s->pid, SIGKILL);
		waitpid(s->pid, NULL, 0);
	}
	if (s->go >= 0)
		close(s->go);
	s->pid = s->go = -1;
}

int network_interfaces(void)
{
	struct if_nameindex *list = if_nameindex();
	int n = 0;

	while (list && list[n].if_index)
		n++;
	if_freenameindex(list);
	return n;
}

int network_wait_for(int interfaces)
{
	int64_t end = bench_now_ns() + INT64_C(10000000000);

	while (network_interfaces() > interfaces) {
		if (bench_now_ns() > end)
			return -ETIMEDOUT;
		usleep(200);
	}
	return 0;
}
