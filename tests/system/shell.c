/* Terminals: a pty of the container's own as its controlling one, its size, its signals; with exec too,
 * in this process's containers and in another's; and examples/shell.c from a terminal's view. */
#include "system/box.h"

#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

static char said[65536];        /* what the terminal showed since the last say_to */
static size_t said_size;

/* Reads until the text was seen; 0: the far side closed, or nothing came for long. */
static int expect(int fd, const char *text)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (!strstr(said, text)) {
		ssize_t n;

		if (poll(&p, 1, 60000) != 1)
			return 0;
		n = read(fd, said + said_size, sizeof said - 1 - said_size);
		if (n <= 0)
			return 0;
		said_size += (size_t)n;
		said[said_size] = '\0';
	}
	return 1;
}

static void say_to(int fd, const char *line)
{
	said[said_size = 0] = '\0';
	CHECK_INT(write(fd, line, strlen(line)), strlen(line));
}

/* Types a line; what it prints must have `text`. Echoed input has it split by quotes, so it isn't found. */
static int ask(int fd, const char *line, const char *text)
{
	say_to(fd, line);
	say_to(fd, "\n");
	if (expect(fd, text))
		return 1;
	printf("# no \"%s\" after \"%s\" in:\n# %s\n", text, line, said);
	return 0;
}

/* What holds for every terminal, whoever asked for it. */
static void check_terminal(int fd)
{
	struct termios t;

	CHECK_INT(tcgetattr(fd, &t), 0);                        /* a terminal it is */
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	CHECK(ask(fd, "echo TTY''=$(tty)", "TTY=/dev/pts/"));
	CHECK(ask(fd, "test -t 0 && test -t 1 && test -t 2 && echo all''three", "allthree"));
	CHECK(ask(fd, "echo own >/dev/tty; echo op''ened", "opened"));
	CHECK(ask(fd, "echo TERM''=$TERM", "TERM=xterm"));
	CHECK(ask(fd, "ps -o pid,tty | awk 'NR == 2 { print \"see\" \"n\" $2 }'", "seen"));
	/* ^C reaches the job in the foreground, not the shell */
	CHECK(ask(fd, "sh -c 'trap \"echo cau\"\"ght; exit\" INT; echo go\"\"ing; while :; do sleep 0.05; done'", "going"));
	say_to(fd, "\003");
	CHECK(expect(fd, "caught"));
	CHECK(ask(fd, "echo still''here", "stillhere"));
	CHECK(ask(fd, "echo re''ading; cat", "reading"));        /* ^D ends input */
	say_to(fd, "\004");
	CHECK(ask(fd, "echo after''cat", "aftercat"));
}

TEST(new_container)
{
	struct conex_run_options o = { .flags = CONEX_RUN_TTY };
	conex_container *c = box_start(&o, CONEX_STRINGS("sh"));
	int fd, status = -1;

	if (!box_good(c ? 0 : -1, "sh", __FILE__, __LINE__))
		return;
	fd = conex_container_stdio(c, 0);
	CHECK(fd >= 0 && conex_container_stdio(c, 1) == fd && conex_container_stdio(c, 2) == fd);
	check_terminal(fd);
	GOOD(conex_container_resize(c, 33, 77, &box.err));
	CHECK(ask(fd, "stty size", "33 77"));
	CHECK(ask(fd, "ls -l /dev/console | cut -c1; echo is''one >/dev/console", "isone"));
	CHECK(strstr(said, "c") != NULL);
	CHECK_INT(conex_container_resize(c, 0, 80, &box.err), -EINVAL);
	CHECK_INT(conex_container_resize(c, 24, 70000, &box.err), -EINVAL);
	say_to(fd, "exit 6\n");
	CHECK_INT(conex_container_wait(c, 30000, &status, &box.err), 1);
	CHECK_INT(status, 6);
	box_end(c);
}

/* A changed size is told to the program. */
TEST(window_change)
{
	struct conex_run_options o = { .flags = CONEX_RUN_TTY };
	conex_container *c = box_start(&o, CONEX_STRINGS("sh", "-c",
		"trap 'echo changed: $(stty size)' WINCH; echo re''ady; while :; do sleep 0.05; done"));
	int fd;

	if (!CHECK(c != NULL))
		return;
	fd = conex_container_stdio(c, 0);
	said[said_size = 0] = '\0';
	CHECK(expect(fd, "ready"));
	GOOD(conex_container_resize(c, 50, 132, &box.err));
	CHECK(expect(fd, "changed: 50 132"));
	box_end(c);
}

/* Closing the master hangs up. */
TEST(hang_up)
{
	struct conex_run_options o = { .flags = CONEX_RUN_TTY };
	conex_container *c = box_start(&o, CONEX_STRINGS("sh"));

	if (!CHECK(c != NULL))
		return;
	close(conex_container_take_stdio(c, 1));
	CHECK_INT(conex_container_stdio(c, 0), -1);
	CHECK_INT(conex_container_wait(c, 30000, NULL, &box.err), 1);
	CHECK_INT(conex_container_resize(c, 24, 80, &box.err), -ENOTTY);
	box_end(c);
}

/* All that a terminal showed, by conex_container_output. */
TEST(output)
{
	struct conex_run_options o = { .flags = CONEX_RUN_TTY };
	conex_container *c = box_start(&o, CONEX_STRINGS("sh", "-c", "echo one; echo two >&2"));

	if (!CHECK(c != NULL))
		return;
	CHECK_INT(conex_container_output(c, -1, &box.io, &box.err), 1);
	CHECK_STR(box.io.out, "one\r\ntwo\r\n");
	CHECK_STR(box.io.err, "");
	box_end(c);
}

/* The terminal belongs to the program's user. */
TEST(owner)
{
	struct conex_run_options o = { .flags = CONEX_RUN_TTY, .user = "1234:1234" };
	conex_container *c = box_start(&o, CONEX_STRINGS("sh", "-c", "stat -c %u $(tty); echo x >/dev/tty"));

	if (!box_good(c ? 0 : -1, "sh", __FILE__, __LINE__))
		return;
	CHECK_INT(conex_container_output(c, -1, &box.io, &box.err), 1);
	CHECK_STR(box.io.out, "1234\r\nx\r\n");
	box_end(c);
}

TEST(held_container)
{
	struct conex_run_options o = { .flags = CONEX_RUN_TTY | CONEX_RUN_HOLD };
	conex_container *c = box_start(&o, CONEX_STRINGS("sh"));

	if (!CHECK(c != NULL))
		return;
	GOOD(conex_container_resize(c, 11, 22, &box.err));      /* before it runs */
	GOOD(conex_container_start(c, &box.err));
	CHECK(ask(conex_container_stdio(c, 0), "stty size", "11 22"));
	box_end(c);
}

static void exec_shell(conex_container *c)
{
	struct conex_run_options o = { .size = sizeof o, .flags = CONEX_RUN_TTY };
	conex_process *p = NULL;
	int fd, status = -1;

	if (!GOOD(conex_exec(c, CONEX_STRINGS("sh"), &o, &p, &box.err)))
		return;
	fd = conex_process_stdio(p, 0);
	check_terminal(fd);
	GOOD(conex_process_resize(p, 21, 43, &box.err));
	CHECK(ask(fd, "stty size", "21 43"));
	CHECK(ask(fd, "ps -o pid,args | grep -c 'slee[p] 1000' | sed s/^/see''n=/", "seen=1"));
	say_to(fd, "exit 8\n");
	CHECK_INT(conex_process_wait(p, 30000, &status, &box.err), 1);
	CHECK_INT(status, 8);
	CHECK_INT(conex_container_resize(c, 24, 80, &box.err), -ENOTTY);
	conex_process_free(p);
}

TEST(exec)
{
	conex_container *c = box_sleeper(NULL);

	if (c)
		exec_shell(c);
	CHECK_INT(c ? conex_container_state(c) : -1, CONEX_RUNNING);
	box_end(c);
}

/* ---- another process's container: program 8 ---- */

/* A process of its own that runs a container in a state directory until its stdin closes. */
static pid_t start_owner(const char *state, int *ret_hold)
{
	struct conex_options where = { .size = sizeof where, .flags = CONEX_DETACHED, .state = state };
	struct conex_run_options o = { .id = "owned" };
	int hold[2], ready[2];
	char byte = 0;
	pid_t pid;

	CHECK_INT(pipe2(hold, O_CLOEXEC) | pipe2(ready, O_CLOEXEC), 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		close(hold[1]);
		box.cx = NULL;
		if (conex_open(&where, &box.cx, NULL) == 0 && box_start(&o, CONEX_STRINGS("sleep", "1000")))
			byte = 1;
		if (write(ready[1], &byte, 1) != 1 || read(hold[0], &byte, 1) < 0)
			_exit(1);
		conex_close(box.cx);
		_exit(0);
	}
	close(hold[0]);
	close(ready[1]);
	CHECK(read(ready[0], &byte, 1) == 1 && byte == 1);
	close(ready[0]);
	*ret_hold = hold[1];
	return pid;
}

static void end_owned(const char *state)
{
	struct conex_options where = { .size = sizeof where, .flags = CONEX_DETACHED, .state = state };
	conex *cx = NULL;
	conex_container *c = NULL;

	if (GOOD(conex_open(&where, &cx, &box.err)) && GOOD(conex_container_get(cx, "owned", &c, &box.err)))
		GOOD(conex_container_delete(c, -1, &box.err));
	conex_container_free(c);
	conex_close(cx);
}

TEST(another_processs_container)
{
	const char *state = say("%s/site", box.dir);
	struct conex_options where = { .size = sizeof where, .flags = CONEX_DETACHED, .state = state };
	conex *cx = NULL;
	conex_container *c = NULL;
	int hold, status;
	pid_t owner = start_owner(state, &hold);

	box_clear();
	if (GOOD(conex_open(&where, &cx, &box.err)) && GOOD(conex_container_get(cx, "owned", &c, &box.err))) {
		CHECK_INT(conex_container_state(c), CONEX_RUNNING);
		exec_shell(c);
	}
	conex_container_free(c);
	conex_close(cx);
	close(hold);
	waitpid(owner, &status, 0);
	CHECK_INT(status, 0);
	end_owned(state);
}

/* ---- examples/shell.c ---- */

/* The example on a terminal of its own; its master. */
static int start_example(const char *one, const char *two, const char *three, pid_t *pid)
{
	const char *program = say("%s/examples/shell", getenv("CX_BUILDDIR") ? getenv("CX_BUILDDIR") : ".");
	struct winsize w = { .ws_row = 30, .ws_col = 100 };
	int master = -1;

	fflush(stdout);
	*pid = forkpty(&master, NULL, NULL, &w);
	if (*pid == 0) {
		execl(program, "shell", one, two, three, (char *)NULL);
		_exit(99);
	}
	return master;
}

static void converse(int fd, pid_t pid)
{
	struct winsize w = { .ws_row = 40, .ws_col = 120 };
	int status = -1;

	CHECK(ask(fd, "stty size", "30 100"));
	CHECK_INT(ioctl(fd, TIOCSWINSZ, &w), 0);
	CHECK(ask(fd, "until stty size | grep '40 1''20'; do sleep 0.05; done", "40 120"));
	CHECK(ask(fd, "echo $((6 * 7))th''ings", "42things"));
	say_to(fd, "exit 5\n");
	expect(fd, "never said");                               /* to its end */
	waitpid(pid, &status, 0);
	CHECK_INT(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 5);
	close(fd);
}

TEST(example_new)
{
	pid_t pid;
	int fd = start_example(box.root, NULL, NULL, &pid);

	CHECK(ask(fd, "echo pid''=$$", "pid=1"));
	converse(fd, pid);
}

TEST(example_in_a_running_one)
{
	const char *state = say("%s/site2", box.dir);
	int hold, fd, status;
	pid_t owner = start_owner(state, &hold), pid;

	fd = start_example("--in", state, "owned", &pid);
	CHECK(ask(fd, "ps -o args | grep -c 'slee[p] 1000' | sed s/^/see''n=/", "seen=1"));
	converse(fd, pid);
	close(hold);
	waitpid(owner, &status, 0);
	end_owned(state);
}

static void tests(void)
{
	RUN(new_container);
	RUN(window_change);
	RUN(hang_up);
	RUN(output);
	RUN(owner);
	RUN(held_container);
	RUN(exec);
	RUN(another_processs_container);
	RUN(example_new);
	RUN(example_in_a_running_one);
}

int main(void)
{
	return with_box(tests);
}
