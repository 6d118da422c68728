/* stdin, stdout and stderr of what runs in a container: nothing, pipes, a sealed input, the host's own,
 * any descriptor; and what conex_container_output makes of them. */
#include "system/box.h"

#include <fcntl.h>
#include <sys/wait.h>

/* What the three are, as the container sees them: one link a line. */
#define LOOK "all=$(for n in 0 1 2; do readlink /proc/$$/fd/$n; done); echo \"$all\" >/tmp/look"

static const char *look(void)
{
	return content("%s/tmp/look", box.root);
}

TEST(nothing_by_default)
{
	conex_container *c;
	int status = -1;

	unlink(say("%s/tmp/look", box.root));
	c = box_start(NULL, CONEX_STRINGS("sh", "-c", LOOK "; read line && exit 1; echo lost; echo lost >&2"));
	if (!CHECK(c != NULL))
		return;
	GOOD(conex_container_wait(c, -1, &status, &box.err));
	CHECK_INT(status, 0);
	CHECK_STR(look(), "/dev/null\n/dev/null\n/dev/null");
	for (int n = -1; n < 4; n++)
		CHECK_INT(conex_container_stdio(c, n), -1);
	CHECK_INT(conex_container_output(c, -1, &box.io, &box.err), -EBADF);
	SAID("CONEX_STDIO_PIPE");
	box_end(c);
}

/* The container holds no descriptor but its three. */
TEST(no_other_descriptor)
{
	int extra = open("/dev/zero", O_RDONLY);        /* not close-on-exec: not our business either */

	CHECK_INT(box_run(NULL, "ls /proc/self/fd"), 0);
	CHECK_STR(box.out, "0\n1\n2\n3");                /* 3: ls's own, on the directory */
	close(extra);
}

TEST(pipes_both_ways)
{
	struct conex_run_options o = { .in = CONEX_STDIO_PIPE, .out = CONEX_STDIO_PIPE, .err = CONEX_STDIO_PIPE };
	conex_container *c = box_start(&o, CONEX_STRINGS("sh", "-c", "cat; echo done >&2"));
	int in, flags;

	if (!CHECK(c != NULL))
		return;
	in = conex_container_take_stdio(c, 0);
	CHECK(in >= 0);
	CHECK_INT(conex_container_take_stdio(c, 0), -1);        /* it is ours now */
	flags = fcntl(in, F_GETFL);
	CHECK((flags & O_NONBLOCK) && (fcntl(in, F_GETFD) & FD_CLOEXEC));
	CHECK(fcntl(conex_container_stdio(c, 1), F_GETFD) & FD_CLOEXEC);
	CHECK_INT(write(in, "here there", 10), 10);
	CHECK_INT(conex_container_output(c, 0, &box.io, &box.err), 0);  /* not yet at its end */
	close(in);
	CHECK_INT(conex_container_output(c, -1, &box.io, &box.err), 1);
	CHECK_STR(box.io.out, "here there");
	CHECK_STR(box.io.err, "done\n");
	CHECK_INT(box.io.out_total, 10);
	CHECK_INT(box.io.err_size, 5);
	box_end(c);
}

/* More than is kept is counted, and the writer is never blocked by it. */
TEST(output_is_cut)
{
	struct conex_run_options o = { .out = CONEX_STDIO_PIPE, .err = CONEX_STDIO_PIPE };
	conex_container *c = box_start(&o, CONEX_STRINGS("sh", "-c",
		"head -c 3000000 /dev/zero | tr '\\0' x; head -c 200000 /dev/zero | tr '\\0' y >&2; printf 12345 >&2"));

	if (!CHECK(c != NULL))
		return;
	box.io.max = 1000;
	CHECK_INT(conex_container_output(c, -1, &box.io, &box.err), 1);
	CHECK_INT(box.io.out_size, 1000);
	CHECK_INT(strlen(box.io.out), 1000);
	CHECK_INT(strspn(box.io.out, "x"), 1000);
	CHECK_INT(box.io.out_total, 3000000);
	CHECK_INT(strspn(box.io.err, "y"), 1000);
	CHECK_INT(box.io.err_total, 200005);
	conex_output_clear(&box.io);
	CHECK(!box.io.out && !box.io.err && !box.io.out_total);
	conex_output_clear(&box.io);                            /* twice does no harm */
	box_end(c);
}

TEST(no_output_is_empty_text)
{
	CHECK_INT(box_run(NULL, "true"), 0);
	CHECK_STR(box.io.out, "");
	CHECK_STR(box.io.err, "");
}

/* stderr of a program that nobody hears, and one pipe alone. */
TEST(one_pipe)
{
	struct conex_run_options o = { .err = CONEX_STDIO_PIPE };
	conex_container *c = box_start(&o, CONEX_STRINGS("sh", "-c", "echo out; echo err >&2"));

	if (!CHECK(c != NULL))
		return;
	CHECK_INT(conex_container_output(c, -1, &box.io, &box.err), 1);
	CHECK_STR(box.io.out, "");
	CHECK_STR(box.io.err, "err\n");
	CHECK_INT(conex_container_stdio(c, 1), -1);
	box_end(c);
}

/* Many times a pipe's size, read by nobody at first: no pump, no deadlock. */
TEST(input)
{
	size_t size = CONEX_MIB, n = 0;
	char *text = malloc(size);
	struct conex_run_options o = { .input = text, .input_size = size };

	while (n < size)
		n += (size_t)snprintf(text + n, size - n, "%zu ", n);
	CHECK_INT(box_run(&o, "sleep 0.1; tail -c 20; echo; wc -c </proc/self/fd/0"), 0);
	text[size - 1] = '\0';
	if (CHECK(box.io.out_size >= 21))
		CHECK_INT(strncmp(box.out, text + size - 20, 19), 0);
	o.input_size = 0;
	CHECK_INT(box_run(&o, "wc -c"), 0);
	CHECK_STR(box.out, "0");
	/* The container can't change it, nor make it larger, which would be the host's memory. */
	o.input_size = 10;
	CHECK(box_run(&o, "echo more >>/proc/self/fd/0") != 0);
	CHECK(box_run(&o, "echo less >/proc/self/fd/0") != 0);
	free(text);
}

/* The caller's own 0, 1, 2, in a copy of this process that has them elsewhere. */
static void run_with_hosts(const char *in, const char *out, const char *errors)
{
	struct conex_run_options o = { .in = CONEX_STDIO_HOST, .out = CONEX_STDIO_HOST, .err = CONEX_STDIO_HOST };
	int status = 99;

	dup2(open(in, O_RDONLY), 0);
	dup2(open(out, O_CREAT | O_WRONLY | O_TRUNC, 0600), 1);
	dup2(open(errors, O_CREAT | O_WRONLY | O_TRUNC, 0600), 2);
	box.cx = NULL;
	box.err = NULL;
	if (conex_open(NULL, &box.cx, NULL) == 0) {
		conex_container *c = box_start(&o, CONEX_STRINGS("sh", "-c", "tr a-z A-Z; echo bad >&2; exit 7"));

		if (c && conex_container_wait(c, -1, &status, NULL) < 0)
			status = 98;
		conex_container_free(c);
		conex_close(box.cx);
	}
	_exit(status);
}

TEST(hosts_own)
{
	const char *in = say("%s/in", box.dir), *out = say("%s/out", box.dir), *bad = say("%s/err", box.dir);
	int status = 0;
	pid_t pid;

	make_file(in, "small");
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		run_with_hosts(in, out, bad);
	waitpid(pid, &status, 0);
	CHECK_INT(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 7);
	CHECK_STR(content("%s", out), "SMALL");
	CHECK_STR(content("%s", bad), "bad");
}

TEST(any_descriptor)
{
	const char *path = say("%s/fd-out", box.dir);
	int out = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600), ends[2], status = 0;
	struct conex_run_options o = { .out = CONEX_STDIO_FD(out), .err = CONEX_STDIO_OUT };
	conex_container *c;

	CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
	o.in = CONEX_STDIO_FD(ends[0]);
	c = box_start(&o, CONEX_STRINGS("sh", "-c", "cat; echo also >&2"));
	CHECK(c != NULL);
	CHECK(fcntl(out, F_GETFD) >= 0 && fcntl(ends[0], F_GETFD) >= 0);       /* they stay ours */
	CHECK_INT(write(ends[1], "piped\n", 6), 6);
	close(ends[1]);
	if (c)
		GOOD(conex_container_wait(c, -1, &status, &box.err));
	CHECK_INT(status, 0);
	CHECK_STR(content("%s", path), "piped\nalso");
	box_end(c);
	close(ends[0]);
	close(out);
}

/* Descriptor 0 is one like another. */
TEST(descriptor_zero)
{
	int saved = dup(0), fd;
	struct conex_run_options o = { .in = CONEX_STDIO_FD(0) };

	make_file(say("%s/zero", box.dir), "from zero");
	fd = open(say("%s/zero", box.dir), O_RDONLY);
	dup2(fd, 0);
	CHECK_INT(box_run(&o, "cat"), 0);
	CHECK_STR(box.out, "from zero");
	dup2(saved, 0);
	close(saved);
	close(fd);
}

static void refused(const struct conex_run_options *o, int error, const char *word)
{
	conex_container *c = box_start(o, CONEX_STRINGS("true"));

	if (!CHECK(c == NULL)) {
		box_end(c);
		return;
	}
	CHECK_INT(conex_error_code(box.err), error);
	SAID(word);
}

TEST(bad_values_are_refused)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	refused(&(struct conex_run_options){ .out = CONEX_STDIO_FD(fd) }, -EBADF, "conex_run_options.out");
	refused(&(struct conex_run_options){ .in = CONEX_STDIO_FD(-1) }, -EINVAL, "conex_run_options.in");
	refused(&(struct conex_run_options){ .err = 99 }, -EINVAL, "conex_run_options.err");
	refused(&(struct conex_run_options){ .out = CONEX_STDIO_OUT }, -EINVAL, "conex_run_options.out");
	refused(&(struct conex_run_options){ .out = CONEX_STDIO_LOG }, -EOPNOTSUPP, "LOG");
	refused(&(struct conex_run_options){ .in = CONEX_STDIO_PIPE, .input = "x", .input_size = 1 }, -EINVAL,
		"conex_run_options.input");
	refused(&(struct conex_run_options){ .out = CONEX_STDIO_PIPE, .flags = CONEX_RUN_TTY }, -EINVAL, "terminal");
}

/* exec has the same three. */
TEST(exec_has_the_same)
{
	conex_container *c = box_sleeper(NULL);
	struct conex_run_options o = { .input = "in", .input_size = 2 };

	if (!c)
		return;
	unlink(say("%s/tmp/look", box.root));
	CHECK_INT(box_exec(c, &o, "cat; echo err >&2; exit 3"), 3);
	CHECK_STR(box.out, "inerr");
	o = (struct conex_run_options){ .in = CONEX_STDIO_NULL };
	CHECK_INT(box_exec(c, &o, "readlink /proc/self/fd/0; ls /proc/self/fd"), 0);
	CHECK_STR(box.out, "/dev/null\n0\n1\n2\n3");
	box_end(c);
}

static void tests(void)
{
	RUN(nothing_by_default);
	RUN(no_other_descriptor);
	RUN(pipes_both_ways);
	RUN(output_is_cut);
	RUN(no_output_is_empty_text);
	RUN(one_pipe);
	RUN(input);
	RUN(hosts_own);
	RUN(any_descriptor);
	RUN(descriptor_zero);
	RUN(bad_values_are_refused);
	RUN(exec_has_the_same);
}

int main(void)
{
	return with_box(tests);
}
