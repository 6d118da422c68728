/* Only a network namespace: a program of the host's on a network of its own, as `ip netns exec` without
 * iproute2. netns [PROGRAM ARGUMENTS] */
#include <conex/container.h>
#include <conex/context.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel's name for the network that a socket lives in. */
static uint64_t network_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof cookie;

	getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size);
	return cookie;
}

int main(int argc, char **argv)
{
	conex *cx = NULL; conex_namespace *ns = NULL; conex_container *c = NULL; conex_error *err = NULL;
	struct conex_run_options o = { .size = sizeof o, .out = CONEX_STDIO_HOST, .err = CONEX_STDIO_OUT,
		.share = CONEX_NS_ALL };                    /* the host's files, processes, users … */
	const char *const *args = argc > 1 ? (const char *const *)argv + 1 : CONEX_STRINGS("cat", "/proc/net/dev");
	int status = 1, probe = -1, own = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (conex_open(NULL, &cx, &err) < 0
	    || conex_namespace_create(cx, CONEX_NS_NET, NULL, &ns, &err) < 0)
		goto out;
	o.join = (conex_namespace *const[]){ ns, NULL };    /* … but this network */
	if (conex_namespace_take_socket(ns, AF_INET, SOCK_DGRAM, 0, &probe, &err) < 0)
		goto out;
	printf("a socket of ours is in network %" PRIu64 ", the probe in network %" PRIu64 "; in there:\n",
		network_of(own), network_of(probe));
	fflush(stdout);
	if (conex_run(cx, NULL, args, &o, &c, &err) == 0)
		conex_container_wait(c, -1, &status, &err);
out:
	if (err)
		fprintf(stderr, "netns: %s\n", conex_error_text(err));
	conex_error_free(err);
	if (probe >= 0)
		close(probe);
	close(own);
	conex_container_free(c);
	conex_namespace_free(ns);
	conex_close(cx);
	return status;
}
