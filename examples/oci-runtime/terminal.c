/* Terminals and waiting: a pty's master goes to the engine's socket, or is joined to the caller's own
 * terminal for as long as the program runs. */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

/* The caller's own terminal, unless an engine gets this one; else what the spec says. */
struct size console_size(const conex_spec *spec, int handed_on)
{
	long long rows, columns;
	struct winsize w;

	if (!handed_on && isatty(0) && ioctl(0, TIOCGWINSZ, &w) == 0)
		return (struct size){ w.ws_row, w.ws_col };
	json_number(spec, "/process/consoleSize/height", 0, &rows);
	json_number(spec, "/process/consoleSize/width", 0, &columns);
	return (struct size){ (int)rows, (int)columns };
}

/* ---- --console-socket ---- */

static int connect_to(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof a.sun_path) {
		errno = ENAMETOOLONG;
	} else {
		strcpy(a.sun_path, path);
		if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
			return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

/* As runc has it: the descriptor, with a name as data. */
static int send_fd(int socket, const char *name, int fd)
{
	union { struct cmsghdr align; char data[CMSG_SPACE(sizeof(int))]; } control = { .data = "" };
	struct iovec iov = { (void *)name, strlen(name) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.data, .msg_controllen = sizeof control.data };

	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.align), &fd, sizeof fd);
	return sendmsg(socket, &h, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static int send_to(const char *what, const char *path, const char *name, int fd)
{
	int socket = connect_to(path), r = socket < 0 ? -1 : send_fd(socket, name, fd);

	if (r < 0)
		say("--%s-socket %s: %s", what, path, strerror(errno));
	if (socket >= 0)
		close(socket);
	return r;
}

int send_console(const char *socket_path, int master)
{
	if (master < 0)
		return say("the container gave no terminal");
	fcntl(master, F_SETFL, O_RDWR);         /* as a new one: engines set what they want */
	return send_to("console", socket_path, "/dev/ptmx", master);
}

int send_pidfd(const char *socket_path, int pidfd)
{
	return socket_path && *socket_path ? send_to("pidfd", socket_path, "pidfd", pidfd) : 0;
}

/* ---- in the foreground ---- */

/* All that a program can be told; what is about ourselves stays ours. */
void block_signals(struct attended *a)
{
	static const int own[] = { SIGCHLD, SIGPIPE, SIGURG, SIGTTIN, SIGTTOU, SIGSEGV, SIGBUS, SIGFPE, SIGILL,
		SIGABRT, SIGTRAP, SIGSYS };
	sigset_t set;

	sigfillset(&set);
	for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
		sigdelset(&set, own[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	a->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void follow_size(const struct attended *a)
{
	struct winsize w;

	if (a->master >= 0 && ioctl(0, TIOCGWINSZ, &w) == 0)
		ioctl(a->master, TIOCSWINSZ, &w);
}

static void pass_signals(const struct attended *a)
{
	struct signalfd_siginfo s;

	while (read(a->signals, &s, sizeof s) == (ssize_t)sizeof s) {
		if (s.ssi_signo == SIGWINCH)
			follow_size(a);
		else if (a->process)
			conex_process_kill(a->process, (int)s.ssi_signo, NULL);
		else
			conex_container_kill(a->container, (int)s.ssi_signo, NULL);
	}
}

/* What the program writes stays as it is: the caller's terminal makes CR of its own. */
static int make_raw(int master, struct termios *saved)
{
	struct termios t;

	if (tcgetattr(master, &t) == 0) {
		t.c_oflag &= ~(tcflag_t)ONLCR;
		tcsetattr(master, TCSANOW, &t);
	}
	if (tcgetattr(0, saved) < 0)
		return 0;
	t = *saved;
	cfmakeraw(&t);
	return tcsetattr(0, TCSANOW, &t) == 0;
}

/* 1: there may be more; 0: not now; -1: the end */
static int copy(int from, int to)
{
	char buffer[8192];
	ssize_t n = read(from, buffer, sizeof buffer);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	for (ssize_t done = 0, w; done < n; done += w > 0 ? w : 0) {
		struct pollfd p = { .fd = to, .events = POLLOUT };

		w = write(to, buffer + done, (size_t)(n - done));
		if (w < 0 && errno != EAGAIN && errno != EINTR)
			return -1;
		if (w < 0)
			poll(&p, 1, 1000);
	}
	return n > 0 ? 1 : -1;
}

static int has_ended(struct oci *rt, struct attended *a, int *status)
{
	struct conex_event event = { .size = sizeof event };

	while (conex_next_event(rt->cx, 0, &event, NULL) > 0)
		;       /* only to have them fetched: conex_fd is quiet then */
	return a->process ? conex_process_wait(a->process, 0, status, &rt->err)
		: conex_container_wait(a->container, 0, status, &rt->err);
}

static int loop(struct oci *rt, struct attended *a, int *status)
{
	struct pollfd p[] = { { conex_fd(rt->cx), POLLIN, 0 }, { a->signals, POLLIN, 0 },
		{ a->master >= 0 ? 0 : -1, POLLIN, 0 }, { a->master, POLLIN, 0 } };
	int r;

	while ((r = has_ended(rt, a, status)) == 0) {
		if (poll(p, 4, -1) < 0 && errno != EINTR)
			return -1;
		if (p[1].revents)
			pass_signals(a);
		if (p[2].revents && copy(0, a->master) < 0)
			p[2].fd = -1;
		if (p[3].revents && copy(a->master, 1) < 0)
			p[3].fd = -1;
	}
	while (r > 0 && a->master >= 0 && copy(a->master, 1) > 0)
		;
	return r;
}

int attend(struct oci *rt, struct attended *a, int *ret_status)
{
	struct termios saved;
	int raw = a->master >= 0 && make_raw(a->master, &saved), r;

	if (raw)
		follow_size(a);
	r = loop(rt, a, ret_status);
	if (raw)
		tcsetattr(0, TCSANOW, &saved);
	return r < 0 ? -1 : 0;
}
