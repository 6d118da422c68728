/* Attacks through terminals: typing into the host's (class L: TIOCSTI, TIOCLINUX, taking it over), and an image
 * whose /dev/console leads elsewhere or blocks (class E). */
#include "system/box.h"

#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

static const struct conex_mount usr[] = { BOX_USR, { NULL, NULL, NULL, NULL } };

/* ---- inside ---- */

/* Types a command into the terminal on descriptor 0, as if its user had. */
static int type(int fd)
{
	for (const char *c = "evil\n"; *c; c++)
		if (ioctl(fd, TIOCSTI, c) < 0)
			return errno;
	return 0;
}

/* What a program with somebody's terminal tries; each attempt's errno, 0: it was let. */
static int attack(void)
{
	char paste = 3;         /* TIOCL_PASTESEL */
	int tty, typed, line;

	typed = type(0);
	line = ioctl(0, TIOCLINUX, &paste) < 0 ? errno : 0;
	printf("type %d, linux %d, ", typed, line);
	tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
	printf("tty %d, ", tty < 0 ? errno : 0);
	for (int force = 0; force < 2; force++)
		printf("take %d, ", ioctl(0, TIOCSCTTY, force) < 0 ? errno : 0);
	printf("type %d, leader %d\n", type(0), getsid(0) == getpid());
	_exit(fflush(stdout) != 0);     /* a leak checker would want to trace us */
}

/* ---- a host on a terminal ---- */

/* Its terminal is its controlling one; the container gets it as it is. Exits with 1 if anything was typed into it. */
static void host_on_a_terminal(int executed, const char *oci)
{
	struct conex_run_options o = { .size = sizeof o, .rootfs = box.root, .mounts = usr, .in = CONEX_STDIO_HOST,
		.out = CONEX_STDIO_HOST, .oci = oci };
	struct conex_run_options x = { .size = sizeof x, .in = CONEX_STDIO_HOST, .out = CONEX_STDIO_HOST };
	conex_container *c = NULL;
	conex_process *p = NULL;
	conex *cx = NULL;
	int typed = 0, status = -1;

	CHECK(getsid(0) == getpid());
	CHECK_INT(open("/dev/tty", O_RDONLY | O_CLOEXEC) >= 0, 1);
	GOOD(conex_open(NULL, &cx, &box.err));
	if (executed) {
		o.in = o.out = 0;
		GOOD(conex_run(cx, NULL, CONEX_STRINGS("sleep", "1000"), &o, &c, &box.err));
		if (GOOD(conex_exec(c, CONEX_STRINGS("/probe", "attack"), &x, &p, &box.err)))
			GOOD(conex_process_wait(p, -1, &status, &box.err));
	} else if (GOOD(conex_run(cx, NULL, CONEX_STRINGS("/probe", "attack"), &o, &c, &box.err))) {
		GOOD(conex_container_wait(c, -1, &status, &box.err));
	}
	CHECK_INT(status, 0);
	conex_process_free(p);
	conex_container_free(c);
	conex_close(cx);
	CHECK_INT(tcgetpgrp(0), getpid());              /* still ours */
	CHECK(ioctl(0, FIONREAD, &typed) == 0 && typed == 0);
	_exit(test_state.faults != 0 || typed);
}

/* What the program inside has said of its attempts. */
static const char *attacked(int executed, const char *oci)
{
	int result[2], master, status = -1;
	char byte[256];
	ssize_t n;
	pid_t pid;

	CHECK_INT(pipe2(result, O_CLOEXEC), 0);
	fflush(stdout);
	pid = forkpty(&master, NULL, NULL, NULL);
	if (pid == 0) {
		struct termios t;

		dup2(result[1], 1);     /* faults are told there as well */
		tcgetattr(0, &t);
		t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(0, TCSANOW, &t);
		host_on_a_terminal(executed, oci);
	}
	close(result[1]);
	box_clear();
	box.io.out = calloc(1, 65536);
	while ((n = read(result[0], byte, sizeof byte)) > 0 && box.io.out_size + (size_t)n < 65535) {
		memcpy(box.io.out + box.io.out_size, byte, (size_t)n);
		box.io.out_size += (size_t)n;
	}
	close(result[0]);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	close(master);
	box_trim();
	return box.out;
}

/* The program is in a session of its own, which has no terminal and can't take one that is somebody's. */
TEST(hosts_terminal)
{
	const char *want = say("type %d, linux %d, tty %d, take %d, take %d, type %d, leader 1", EPERM, ENOTTY, ENXIO,
		EPERM, EPERM, EPERM);

	CHECK_STR(attacked(0, NULL), want);
	CHECK_STR(attacked(1, NULL), want);
	CHECK_STR(attacked(0, OCI({"linux": {"seccomp": null}})), want);
	CHECK_STR(attacked(1, OCI({"process": {"noNewPrivileges": false}, "linux": {"seccomp": null}})), want);
}

/* In a terminal of its own a program talks to itself. */
TEST(own_terminal)
{
	struct conex_run_options o = { .flags = CONEX_RUN_TTY, .mounts = usr };
	conex_container *c = box_start(&o, CONEX_STRINGS("/probe", "attack"));
	int ours, theirs, typed = -1;

	CHECK_INT(openpty(&ours, &theirs, NULL, NULL, NULL), 0);
	if (box_good(c ? 0 : -1, "start", __FILE__, __LINE__)) {
		CHECK_INT(conex_container_output(c, -1, &box.io, &box.err), 1);
		CHECK(strstr(box.io.out, "tty 0, ") != NULL && strstr(box.io.out, "leader 1") != NULL);
	}
	box_end(c);
	CHECK(ioctl(theirs, FIONREAD, &typed) == 0 && typed == 0);
	close(ours);
	close(theirs);
}

/* ---- /dev/console ---- */

static char dev[64], *pattern;

/* A container with a terminal whose /dev is a directory that others can write to. */
static int with_console(void)
{
	struct conex_run_options o = { .flags = CONEX_RUN_TTY, .timeout_ms = 60000, .oci = say(OCI({"mounts":
		[{"destination": "/dev", "type": "bind", "source": "%s", "options": ["bind"]}]}), dev) };
	conex_container *c = box_start(&o, CONEX_STRINGS("sh", "-c", "echo evil >/dev/console; exit 7"));
	int status = -1;

	if (!c)
		return conex_error_code(box.err);
	GOOD(conex_container_wait(c, -1, &status, &box.err));
	box_end(c);
	return status;
}

static void nothing_happened(void)
{
	CHECK_STR(content("/proc/sys/kernel/core_pattern"), pattern);
	CHECK(strstr(content("/proc/self/mountinfo"), box.dir) == NULL);
	CHECK_STR(content("%s/canary", box.dir), "untouched");
}

static void make_dev(void)
{
	snprintf(dev, sizeof dev, "%s/dev", box.dir);
	CHECK_INT(command("rm -rf %s; mkdir -p %s/pts %s/shm %s/mqueue", dev, dev, dev, dev), 0);
	make_file(say("%s/canary", box.dir), "untouched");
}

TEST(console_is_a_trap)
{
	const char *links[] = { "/proc/sys/kernel/core_pattern", say("%s/canary", box.dir),
		say("../../../../../../../..%s/canary", box.dir), "/dev/pts/0", "/nowhere" };

	make_dev();
	for (unsigned i = 0; i < sizeof links / sizeof *links; i++) {
		CHECK_INT(symlink(links[i], say("%s/console", dev)), 0);
		if (!CHECK_INT(with_console(), -ELOOP))
			printf("# console is a link to %s\n", links[i]);
		SAID("dev/console");
		nothing_happened();
		unlink(say("%s/console", dev));
	}
	CHECK_INT(mkfifo(say("%s/console", dev), 0600), 0);     /* covered, not opened: that would last */
	CHECK_INT(with_console(), 7);
	unlink(say("%s/console", dev));
	CHECK_INT(mknod(say("%s/console", dev), S_IFCHR | 0600, makedev(5, 1)), 0);
	CHECK_INT(with_console(), 7);
	unlink(say("%s/console", dev));
	CHECK_INT(mkdir(say("%s/console", dev), 0700), 0);
	CHECK_INT(with_console(), -EINVAL);
	SAID("dev/console: move_mount");
	nothing_happened();
}

/* Who shares the directory swaps a file and a link to the host's kernel, all the time. */
TEST(console_is_swapped)
{
	int rounds = getenv("CONEX_ATTACK_ROUNDS") ? atoi(getenv("CONEX_ATTACK_ROUNDS")) : 60, refused = 0, ran = 0;
	char file[96], link[96];
	pid_t pid;

	make_dev();
	snprintf(file, sizeof file, "%s/console", dev);
	snprintf(link, sizeof link, "%s/other", dev);
	make_file(file, "");
	CHECK_INT(symlink("/proc/sys/kernel/core_pattern", link), 0);
	fflush(stdout);
	pid = fork();
	while (pid == 0)
		syscall(SYS_renameat2, AT_FDCWD, file, AT_FDCWD, link, 2 /* RENAME_EXCHANGE */);
	for (int i = 0; i < rounds; i++) {
		int r = with_console();

		ran += r >= 0;
		refused += r == -ELOOP;
		if (r < 0 && r != -ELOOP)
			CHECK_STR(conex_error_text(box.err), "refused for the link");
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	printf("# %d ran, %d were refused\n", ran, refused);
	nothing_happened();
}

static void tests(void)
{
	pattern = strdup(content("/proc/sys/kernel/core_pattern"));
	RUN(hosts_terminal);
	RUN(own_terminal);
	RUN(console_is_a_trap);
	RUN(console_is_swapped);
	free(pattern);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "attack"))
		return attack();
	return with_box(tests);
}
