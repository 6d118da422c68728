/* A program in the foreground: its terminal is joined to ours, and signals that we get are its own. */
#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

int run_status(const conex_error *e)
{
	if (conex_error_stage(e) != CONEX_STAGE_EXEC)
		return FAILED;
	return conex_error_code(e) == -ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
}

int check_terminal(struct cli *cli)
{
	if (flag(cli, "tty") && flag(cli, "interactive") && !flag(cli, "detach") && !isatty(0))
		return say("%s: -i with -t needs a terminal as standard input; leave out -t", cli->command->name);
	return 0;
}

/* What is about ourselves stays ours. */
int block_signals(void)
{
	static const int passed[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGWINCH };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++)
		sigaddset(&set, passed[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);       /* who reads no more what a program writes doesn't end it */
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void set_size(const struct attended *a)
{
	struct winsize w;

	if (a->master >= 0 && ioctl(isatty(0) ? 0 : 1, TIOCGWINSZ, &w) == 0)
		ioctl(a->master, TIOCSWINSZ, &w);
}

static void pass_signals(const struct attended *a)
{
	struct signalfd_siginfo s;

	while (read(a->signals, &s, sizeof s) == (ssize_t)sizeof s) {
		if (s.ssi_signo == SIGWINCH)
			set_size(a);
		else if (a->process)
			conex_process_kill(a->process, (int)s.ssi_signo, NULL);
		else
			conex_container_kill(a->container, (int)s.ssi_signo, NULL);
	}
}

/* Nothing that is typed means anything to our own terminal. */
static int make_raw(const struct attended *a, struct termios *saved)
{
	struct termios t;

	if (a->master < 0 || !a->input || tcgetattr(0, saved) < 0)
		return 0;
	t = *saved;
	cfmakeraw(&t);
	return tcsetattr(0, TCSANOW, &t) == 0;
}

/* 1: there may be more; 0: not now; -1: the end */
static int copy(int from, int to)
{
	char buffer[16384];
	ssize_t n = read(from, buffer, sizeof buffer);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	for (ssize_t done = 0, w; done < n; done += w > 0 ? w : 0) {
		struct pollfd p = { .fd = to, .events = POLLOUT };

		w = write(to, buffer + done, (size_t)(n - done));
		if (w < 0 && errno != EAGAIN && errno != EINTR)
			return -1;
		if (w < 0)
			poll(&p, 1, -1);
	}
	return n > 0 ? 1 : -1;
}

static int is_over(struct cli *cli, struct attended *a, int *status)
{
	struct conex_event event = { .size = sizeof event };

	while (conex_next_event(cli->cx, 0, &event, NULL) > 0)
		;       /* only to have them fetched: conex_fd is quiet then */
	return a->process ? conex_process_wait(a->process, 0, status, &cli->err)
		: conex_container_wait(a->container, 0, status, &cli->err);
}

static int loop(struct cli *cli, struct attended *a, int *status)
{
	struct pollfd p[] = { { conex_fd(cli->cx), POLLIN, 0 }, { a->signals, POLLIN, 0 },
		{ a->input && a->master >= 0 ? 0 : -1, POLLIN, 0 }, { a->master, POLLIN, 0 } };
	int r;

	while ((r = is_over(cli, a, status)) == 0) {
		if (poll(p, 4, -1) < 0)
			continue;
		if (p[1].revents)
			pass_signals(a);
		if (p[2].revents && copy(0, a->master) < 0)
			p[2].fd = -1;
		if (p[3].revents && copy(a->master, 1) < 0)
			p[3].fd = -1;
	}
	while (r > 0 && a->master >= 0 && copy(a->master, 1) > 0)
		;       /* what it wrote last */
	return r;
}

int attend(struct cli *cli, struct attended *a, int *ret_status)
{
	struct termios saved;
	int raw = make_raw(a, &saved), r;

	set_size(a);
	r = loop(cli, a, ret_status);
	if (raw)
		tcsetattr(0, TCSANOW, &saved);
	return r < 0 ? -1 : 0;
}
