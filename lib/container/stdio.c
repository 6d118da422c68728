/* stdin, stdout, stderr of what is launched: pipes, the caller's own, a sealed input. And reading them. */
#include "container/container.h"
#include "base/path.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

void cx_stdio_sent(struct cx_stdio *s)
{
	for (int n = 0; n < 3; n++) {
		if (s->own[n])
			cx_closep(&s->child[n]);
		s->own[n] = 0;
		s->child[n] = -1;
	}
}

void cx_stdio_close(struct cx_stdio *s)
{
	cx_stdio_sent(s);
	for (int n = 0; n < 3; n++)
		cx_closep(&s->host[n]);
}

static int open_pipe(struct cx_stdio *s, int n, conex_error **err)
{
	int ends[2], mine = n == 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "pipe2", errno == EMFILE
			? "the process has no free descriptor: close some, or raise RLIMIT_NOFILE" : NULL, "stdio[%d]", n);
	s->host[n] = ends[mine];
	s->child[n] = ends[!mine];
	s->own[n] = 1;
	fcntl(s->host[n], F_SETFL, (mine ? O_WRONLY : O_RDONLY) | O_NONBLOCK);
	return 0;
}

static int open_input(struct cx_stdio *s, const struct conex_run_options *o, conex_error **err)
{
	s->child[0] = cx_keeper_memfd("conex-input", o->input, o->input_size);
	if (s->child[0] < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "memfd_create", NULL, "input");
	s->own[0] = 1;
	return 0;
}

static int open_one(struct cx_stdio *s, int n, int what, conex_error **err)
{
	static const char *const names[] = { "in", "out", "err" };
	char where[40], value[16];

	snprintf(where, sizeof where, "conex_run_options.%s", names[n]);
	snprintf(value, sizeof value, "%d", what);
	if (what == CONEX_STDIO_NULL)
		return 0;
	if (what == CONEX_STDIO_PIPE)
		return open_pipe(s, n, err);
	if (what == CONEX_STDIO_OUT && n == 2) {
		s->child[2] = s->child[1];
		return 0;
	}
	if (what != CONEX_STDIO_HOST && what > -2)
		return cx_refuse(err, -EINVAL, where, value, "use one of CONEX_STDIO_...");
	s->child[n] = what == CONEX_STDIO_HOST ? n : -2 - what;
	if (fcntl(s->child[n], F_GETFD) < 0)
		return cx_refuse(err, -EBADF, where, value, "descriptor %d isn't open", s->child[n]);
	return 0;
}

int cx_stdio_open(struct cx_stdio *s, const struct conex_run_options *o, conex_error **err)
{
	const int what[3] = { o->in, o->out, o->err };
	int r = 0;

	for (int n = 0; n < 3; n++)
		s->child[n] = s->host[n] = -1;
	memset(s->own, 0, sizeof s->own);
	if (o->input && o->in)
		return cx_refuse(err, -EINVAL, "conex_run_options.input", NULL, "give .in or .input, not both");
	if (o->flags & CONEX_RUN_TTY)
		return o->input || o->in || o->out || o->err ? cx_refuse(err, -EINVAL, "conex_run_options.flags",
			"CONEX_RUN_TTY", "a terminal is all three: leave in, out, err and input zero") : 0;
	if (o->input)
		r = open_input(s, o, err);
	for (int n = 0; n < 3 && r == 0; n++)
		r = open_one(s, n, what[n], err);
	if (r < 0)
		cx_stdio_close(s);
	return r;
}

/* ---- the terminal's size ---- */

int cx_task_resize(struct cx_task *t, int rows, int columns, conex_error **err)
{
	struct winsize w = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };
	int r = cx_context_lock(t->cx, err);

	if (r < 0)
		return r;
	if (rows < 1 || rows > 65535 || columns < 1 || columns > 65535)
		r = cx_fail(err, CONEX_STAGE_RUN, -EINVAL, NULL, "1 to 65,535", "%d rows, %d columns", rows, columns);
	else if (!(t->flags & CONEX_RUN_TTY) || t->stdio[0] < 0)
		r = cx_fail(err, CONEX_STAGE_RUN, -ENOTTY, NULL, "it was launched without CONEX_RUN_TTY", "the terminal");
	else if (ioctl(t->stdio[0], TIOCSWINSZ, &w) < 0)
		r = cx_fail_errno(err, CONEX_STAGE_RUN, "ioctl", NULL, "the terminal");
	cx_context_unlock(t->cx);
	return r;
}

/* ---- output: both pipes to their ends ---- */

struct stream { char **data; size_t *size; uint64_t *total; int fd; };

/* Keeps up to max bytes, counts the rest. 1: the end; 0: nothing more for now; -errno */
static int read_some(struct stream *s, size_t max)
{
	char buffer[16384];

	for (;;) {
		ssize_t n = read(s->fd, buffer, sizeof buffer);
		size_t keep;
		char *data;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : errno == EIO ? 1 : -errno; /* EIO: a pty's far side has closed */
		if (n == 0)
			return 1;
		*s->total += (uint64_t)n;
		keep = *s->size < max ? max - *s->size : 0;
		keep = keep < (size_t)n ? keep : (size_t)n;
		data = realloc(*s->data, *s->size + keep + 1);
		if (!data)
			return -ENOMEM;
		*s->data = data;
		memcpy(data + *s->size, buffer, keep);
		*s->size += keep;
		data[*s->size] = '\0';
	}
}

static int milliseconds(int64_t deadline)
{
	int64_t left = deadline - cx_now_ns(CLOCK_MONOTONIC);

	return deadline < 0 ? -1 : left <= 0 ? 0 : left > 3600000000000LL ? 3600000 : (int)((left + 999999) / 1000000);
}

/* Without the lock: the pipes are ours alone. Also pumps, so that a time-out's kill is seen. */
static int read_streams(struct stream *s, size_t max, int64_t deadline)
{
	for (;;) {
		struct pollfd p[2] = { { s[0].fd, POLLIN, 0 }, { s[1].fd, POLLIN, 0 } };
		int open = 0;

		for (int i = 0; i < 2; i++) {
			int r = s[i].fd < 0 ? 1 : read_some(&s[i], max);

			if (r < 0)
				return r;
			if (r == 1)
				s[i].fd = p[i].fd = -1;
			open += r == 0;
		}
		if (!open)
			return 1;
		if (milliseconds(deadline) == 0)
			return 0;
		if (poll(p, 2, milliseconds(deadline)) < 0 && errno != EINTR)
			return -errno;
	}
}

static int empty_text(char **data)
{
	return *data || (*data = calloc(1, 1)) ? 0 : -ENOMEM;
}

int cx_task_output(struct cx_task *t, int timeout_ms, struct conex_output *io, conex_error **err)
{
	struct stream s[2] = {
		{ &io->out, &io->out_size, &io->out_total, t->stdio[t->flags & CONEX_RUN_TTY ? 0 : 1] },
		{ &io->err, &io->err_size, &io->err_total, t->flags & CONEX_RUN_TTY ? -1 : t->stdio[2] } };
	int r;

	if (io->size < sizeof *io)
		return cx_refuse(err, -EINVAL, "conex_output.size", NULL, "set it to sizeof the struct");
	r = cx_context_lock(t->cx, err);
	if (r < 0)
		return r;
	cx_context_unlock(t->cx);
	if (s[0].fd < 0 && s[1].fd < 0)
		return cx_fail(err, CONEX_STAGE_RUN, -EBADF, NULL, "launch it with CONEX_STDIO_PIPE for out or err",
			"output");
	if (empty_text(&io->out) < 0 || empty_text(&io->err) < 0)
		return cx_fail_memory(err);
	r = read_streams(s, io->max ? io->max : 16 * CONEX_MIB, cx_context_deadline(timeout_ms));
	return r < 0 ? cx_fail(err, CONEX_STAGE_RUN, r, "read", NULL, "output") : r;
}

void conex_output_clear(struct conex_output *io)
{
	free(io->out);
	free(io->err);
	io->out = io->err = NULL;
	io->out_size = io->err_size = 0;
	io->out_total = io->err_total = 0;
}
