/* An interactive shell: in a new container, or in one that another process runs.
 * shell ROOTFS
 * shell --in STATE ID */
#include <conex/conex.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t resized = 1;

static void on_resize(int sig)
{
	(void)sig;
	resized = 1;
}

static ssize_t pass(int from, int to)
{
	char b[4096];
	ssize_t n = read(from, b, sizeof b);

	return n > 0 ? write(to, b, (size_t)n) : n;
}

static void relay(int pty)                      /* until either side closes */
{
	struct pollfd p[2] = { { STDIN_FILENO, POLLIN, 0 }, { pty, POLLIN, 0 } };
	struct winsize w;

	for (;;) {
		if (resized && ioctl(STDIN_FILENO, TIOCGWINSZ, &w) == 0)
			ioctl(pty, TIOCSWINSZ, &w);
		resized = 0;
		if (poll(p, 2, -1) < 0) {
			if (errno != EINTR)
				return;
			continue;
		}
		if (p[1].revents && pass(pty, STDOUT_FILENO) <= 0)
			return;
		if (p[0].revents && pass(STDIN_FILENO, pty) <= 0)
			return;
	}
}

static void converse(int pty)
{
	struct termios old, raw;

	signal(SIGWINCH, on_resize);
	tcgetattr(STDIN_FILENO, &old);
	raw = old;
	cfmakeraw(&raw);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	relay(pty);
	tcsetattr(STDIN_FILENO, TCSANOW, &old);
	close(pty);                             /* if the shell still runs: hung up */
}

int main(int argc, char **argv)
{
	int other = argc == 4 && !strcmp(argv[1], "--in"), status = 255;
	struct conex_options where = { .size = sizeof where, .flags = other ? CONEX_DETACHED : 0,
		.state = other ? argv[2] : NULL };
	struct conex_run_options o = { .size = sizeof o, .flags = CONEX_RUN_TTY, .rootfs = other ? NULL : argv[1] };
	conex *cx = NULL; conex_container *c = NULL; conex_process *p = NULL; conex_error *err = NULL;
	const char *const *args = CONEX_STRINGS("sh");

	if ((argc != 2 && !other) || !isatty(STDIN_FILENO)) {
		fputs("usage: shell ROOTFS | shell --in STATE ID     (in a terminal)\n", stderr);
		return 2;
	}
	if (conex_open(&where, &cx, &err) == 0) {
		if (other && conex_container_get(cx, argv[3], &c, &err) == 0
		    && conex_exec(c, args, &o, &p, &err) == 0) {
			converse(conex_process_take_stdio(p, 0));
			conex_process_wait(p, -1, &status, &err);
		} else if (!other && conex_run(cx, NULL, args, &o, &c, &err) == 0) {
			converse(conex_container_take_stdio(c, 0));
			conex_container_wait(c, -1, &status, &err);
		}
	}
	if (err)
		fprintf(stderr, "shell: %s\n", conex_error_text(err));
	conex_error_free(err);
	conex_process_free(p);
	conex_container_free(c);
	conex_close(cx);
	return status;
}
