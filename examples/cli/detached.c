/* run --detach: a copy of this program stays with the container, writes its log, and notes how it ended. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* Our ends of what the container writes; with a terminal one is both. */
struct outputs {
	struct log log;
	struct line lines[2];
	struct pollfd poll[3];          /* the two, and the context */
};

/* 1: there may be more */
static int read_some(struct outputs *o, int n)
{
	char buffer[16384];
	ssize_t got = o->poll[n].fd < 0 ? 0 : read(o->poll[n].fd, buffer, sizeof buffer);

	if (got > 0)
		log_add(&o->log, &o->lines[n], buffer, (size_t)got);
	else if (got == 0 || (errno != EAGAIN && errno != EINTR))
		o->poll[n].fd = -1;
	return got > 0;
}

static void attend_detached(struct cli *cli, struct outputs *o, conex_container *c)
{
	struct conex_event event = { .size = sizeof event };

	while (conex_container_wait(c, 0, NULL, &cli->err) == 0) {
		if (poll(o->poll, 3, -1) < 0)
			continue;
		for (int n = 0; n < 2; n++)
			if (o->poll[n].revents)
				read_some(o, n);
		while (o->poll[2].revents && conex_next_event(cli->cx, 0, &event, NULL) > 0)
			;
	}
	for (int n = 0; n < 2; n++) {
		while (read_some(o, n))
			;       /* what it wrote last */
		log_flush(&o->log, &o->lines[n]);
	}
}

static int open_log(struct cli *cli, struct log *l, const char *id)
{
	const char *size = text(cli, "log-size");
	int r;

	l->path = log_path(cli, id);
	l->older = format(cli, "%s.1", l->path);
	l->most = 16 * CONEX_MIB;
	l->fd = -1;
	if (size && (conex_parse_size(size, &l->most, NULL) < 0 || l->most < 4096))
		return say("run: --log-size %s: a size of 4K or more is meant, as 16M", size);
	if (make_above(cli, l->path))
		return FAILED;
	r = log_open(l);
	return r < 0 ? say("run: %s: %s", l->path, strerror(-r)) : 0;
}

/* Nobody's terminal, pipe or directory is held from here on. */
static void let_go(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	if (chdir("/") < 0)
		return;
}

static int start(struct cli *cli, struct description *d, int record, struct outputs *o, conex_container **ret)
{
	int r;

	if (!flag(cli, "tty")) {
		d->o.in = flag(cli, "interactive") ? CONEX_STDIO_PIPE : CONEX_STDIO_NULL;
		d->o.out = d->o.err = CONEX_STDIO_PIPE;
	}
	r = launch(cli, d, record, ret);
	if (r)
		return r;
	o->lines[0].stream = "stdout";
	o->lines[1].stream = "stderr";
	o->poll[0] = (struct pollfd){ conex_container_stdio(*ret, 1), POLLIN, 0 };
	o->poll[1] = (struct pollfd){ flag(cli, "tty") ? -1 : conex_container_stdio(*ret, 2), POLLIN, 0 };
	o->poll[2] = (struct pollfd){ conex_fd(cli->cx), POLLIN, 0 };
	return 0;
}

/* Its word to the one who waits at the terminal is one byte, the status. */
static int stay(struct cli *cli, struct description *d, int report)
{
	struct outputs *o = keep(cli, calloc(1, sizeof *o));
	conex_container *c = NULL;
	int record = record_begin(cli, d->o.id), r = record < 0 ? FAILED : 0;
	unsigned char word;

	if (r == 0 && (r = start(cli, d, record, o, &c)) == 0 && open_log(cli, &o->log, d->o.id)) {
		conex_container_delete(c, -1, NULL);
		record_drop(cli, d->o.id, record);
		conex_container_free(c);
		r = FAILED;
	}
	word = (unsigned char)r;
	if (write(report, &word, 1) != 1)
		r = r ? r : 0;          /* who asked is gone; the container isn't */
	close(report);
	if (r)
		return r;
	let_go();
	attend_detached(cli, o, c);
	close(o->log.fd);
	has_ended(cli, c, d->o.id, record);
	conex_container_free(c);
	return 0;
}

/* No descriptor that whoever called us forgot to close. */
static void close_others(int but)
{
	if (but > 3)
		close_range(3, (unsigned)but - 1, 0);
	close_range((unsigned)but + 1, ~0u, 0);
}

int run_detached(struct cli *cli, struct description *d)
{
	unsigned char word = FAILED;
	int report[2];
	pid_t pid;

	fflush(stdout);
	if (pipe2(report, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		return say("run: %s", strerror(errno));
	if (pid == 0) {
		setsid();
		signal(SIGPIPE, SIG_IGN);
		close_others(report[1]);
		return stay(cli, d, report[1]);
	}
	close(report[1]);
	if (read(report[0], &word, 1) != 1)
		say("run: the process that was to stay with %s has died", d->o.id);
	else if (word == 0)
		printf("%s\n", d->o.id);
	close(report[0]);
	if (word)
		waitpid(pid, NULL, 0);
	return word;
}
