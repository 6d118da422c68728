/* One program may reach one address and nothing else: its connect() is made for it, outside, by a host that looks
 * first. The container has no network. broker ROOTFS ADDRESS PORT program [args ...] */
#include <conex/conex.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What is checked is what is used: one copy of the address, which nobody in the container can change any more. */
static int answer(conex_syscall *s, const struct sockaddr_in *allowed, conex_error **err)
{
	struct sockaddr_in to;
	int n = conex_syscall_read(s, conex_syscall_arg(s, 1), &to, sizeof to, err), fd, r;

	if (n != sizeof to || to.sin_family != AF_INET || to.sin_port != allowed->sin_port
	    || to.sin_addr.s_addr != allowed->sin_addr.s_addr)
		return conex_syscall_return(s, -EACCES, err);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) < 0)
		r = conex_syscall_return(s, -errno, err);
	else                                            /* becomes its socket; its connect() returns 0 */
		r = conex_syscall_inject(s, fd, (int)conex_syscall_arg(s, 0), err);
	if (fd >= 0)
		close(fd);
	return r;
}

/* Its exit status; negative: something failed here. */
static int serve(conex *cx, conex_container *c, const struct sockaddr_in *allowed, conex_error **err)
{
	struct conex_event ev = { .size = sizeof ev };
	int r, status = -1;

	while ((r = conex_next_event(cx, -1, &ev, err)) == 1 && ev.type != CONEX_EVENT_EXITED)
		if (ev.type == CONEX_EVENT_SYSCALL) {
			r = answer(ev.syscall, allowed, err);
			if (r < 0 && r != -ENOENT)      /* it may have died while we were at it */
				return r;
		}
	if (r == 1)
		r = conex_container_wait(c, -1, &status, err);
	return r < 0 ? r : status;
}

int main(int argc, char **argv)
{
	struct conex_run_options o = { .size = sizeof o, .rootfs = argv[1], .ask = CONEX_STRINGS("connect"),
		.out = CONEX_STDIO_HOST, .err = CONEX_STDIO_HOST };
	struct sockaddr_in allowed = { .sin_family = AF_INET };
	conex *cx = NULL; conex_container *c = NULL; conex_error *err = NULL;
	int status = -1;

	if (argc < 5 || inet_pton(AF_INET, argv[2], &allowed.sin_addr) != 1) {
		fprintf(stderr, "usage: broker ROOTFS ADDRESS PORT program [args ...]\n");
		return 2;
	}
	allowed.sin_port = htons((uint16_t)atoi(argv[3]));
	if (conex_open(NULL, &cx, &err) == 0 && conex_run(cx, NULL, (const char *const *)argv + 4, &o, &c, &err) == 0)
		status = serve(cx, c, &allowed, &err);
	if (status < 0)
		fprintf(stderr, "broker: %s\n", conex_error_text(err));
	conex_error_free(err);
	conex_container_free(c);
	conex_close(cx);
	return status < 0 ? 1 : status;
}
