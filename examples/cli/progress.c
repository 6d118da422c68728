/* A job on its way: on a terminal one line that is drawn again and again, else a line for each step. */
#include "cli.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { BAR = 24 };

struct view {
	const char *verb;
	int terminal, silent;
	int drawn;                      /* there is a line to be wiped */
	char step[128];                 /* the last one that was printed */
};

static int width(void)
{
	struct winsize w;

	return ioctl(2, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 80;
}

static void wipe(struct view *v)
{
	if (v->drawn)
		fputs("\r\033[K", stderr);
	v->drawn = 0;
}

static void draw(struct view *v, const struct conex_progress *p)
{
	char bar[BAR + 1], line[512], done[32], total[32], rate[32];
	int filled = p->total_bytes ? (int)((double)BAR * (double)p->done_bytes / (double)p->total_bytes) : 0;
	int n = snprintf(line, sizeof line, "%s %s", v->verb, p->step ? p->step : "");

	filled = filled > BAR ? BAR : filled;
	memset(bar, ' ', BAR);
	memset(bar, '=', (size_t)filled);
	bar[filled < BAR ? filled : BAR - 1] = '>';
	bar[BAR] = '\0';
	if (p->total_bytes)
		n += snprintf(line + n, sizeof line - (size_t)n, " [%s] %3.0f%%  %s of %s", bar, 100.0 * (double)p->done_bytes / (double)p->total_bytes,
			size_text(p->done_bytes, done), size_text(p->total_bytes, total));
	else if (p->done_bytes)
		n += snprintf(line + n, sizeof line - (size_t)n, " %s", size_text(p->done_bytes, done));
	if (p->rate)
		snprintf(line + n, sizeof line - (size_t)n, "  %s/s", size_text(p->rate, rate));
	fprintf(stderr, "\r%.*s\033[K", width() - 1, line);
	v->drawn = 1;
}

static void show(struct view *v, conex_job *job)
{
	struct conex_progress p = { .size = sizeof p };

	if (v->silent || conex_job_progress(job, &p, NULL) < 0)
		return;
	if (v->terminal) {
		draw(v, &p);
	} else if (p.step && *p.step && strcmp(p.step, v->step)) {
		snprintf(v->step, sizeof v->step, "%s", p.step);
		fprintf(stderr, "%s %s\n", v->verb, v->step);
	}
}

static void hold_signals(sigset_t *old, int *fd)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, old);
	*fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* 1: done; negative: it failed; else the signal that ended it, plus 128 */
static int wait_for(struct cli *cli, conex_job *job, struct view *v, int signals)
{
	struct pollfd p[] = { { conex_fd(cli->cx), POLLIN, 0 }, { signals, POLLIN, 0 } };
	struct conex_event event = { .size = sizeof event };
	struct signalfd_siginfo got;
	int r;

	while ((r = conex_job_wait(job, 0, &cli->err)) == 0) {
		show(v, job);
		poll(p, 2, -1);
		if (read(signals, &got, sizeof got) == (ssize_t)sizeof got)
			return 128 + (int)got.ssi_signo;
		while (conex_next_event(cli->cx, 0, &event, NULL) > 0)
			;       /* only to have them fetched: conex_fd is quiet then */
	}
	if (r > 0)
		show(v, job);
	return r;
}

int finish(struct cli *cli, conex_job *job, const char *verb, int silent)
{
	struct view v = { .verb = verb, .silent = flag(cli, "quiet"), .terminal = isatty(2) };
	sigset_t old;
	int signals, r;

	hold_signals(&old, &signals);
	r = wait_for(cli, job, &v, signals);
	wipe(&v);
	if (r == 1 && !silent && conex_job_result(job))
		printf("%s\n", conex_job_result(job));
	conex_job_free(job);
	if (signals >= 0)
		close(signals);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (r > 1)
		return say("%s: broken off", verb), r;
	return r < 0 ? say_error(cli, cli->command->name) : 0;
}
