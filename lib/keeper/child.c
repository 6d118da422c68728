/* The interpreter that runs a plan inside the container, and the operations about the process itself:
 * descriptors, terminal, barriers, init, exec. Runs between the keeper's clone and the program. */
#include "keeper/child.h"
#include "keeper/protocol.h"

#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

int cx_child_fail(struct cx_child *c, enum cx_call call, const char *detail)
{
	int error = errno ? errno : EIO;
	size_t n = detail ? strlen(detail) : 0;

	if (n > sizeof c->status->detail - 1) { /* a path's end says more than its beginning */
		detail += n - (sizeof c->status->detail - 1);
		n = sizeof c->status->detail - 1;
	}
	if (n)
		memcpy(c->status->detail, detail, n);
	c->status->detail[n] = '\0';
	c->status->call = call;
	c->status->error = error;
	return -error;
}

/* What fails after the start barrier of a released container also goes to who said start. */
static int failed(struct cx_child *c)
{
	int32_t error = c->status->error;

	if (c->accepted >= 0 && write(c->accepted, &error, sizeof error) < 0)
		c->accepted = -1;       /* a filter may forbid it: the end of the connection is all that is seen */
	return -1;
}

int cx_child_run(struct cx_child *c)
{
	static int (*const run[CX_OP_COUNT])(struct cx_child *, const struct cx_op *) = {
#define CX_OPERATION(name, sentence, undo, ...) CX_RUN_##undo(name)
#define CX_RUN_PROCESS(name) [CX_OP_##name] = cx_child_##name,
#define CX_RUN_HOST(name) CX_RUN_PROCESS(name)
#define CX_RUN_NOTHING(name) CX_RUN_PROCESS(name)
#define CX_RUN_UNDO(name)
#include "plan/operations.def"
#undef CX_OPERATION
	};
	const struct cx_op *op = (const struct cx_op *)(c->plan + 1);
	struct timespec t;
	uint32_t i;

	for (i = 0; i <= c->plan->operations; i++) {
		if (i < CX_STATUS_OPS) {
			clock_gettime(CLOCK_MONOTONIC, &t);
			c->status->at_ns[i] = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
		}
		if (i == c->plan->operations)
			break;
		c->status->op = i;
		if (run[op[i].code](c, &op[i]) < 0)
			return failed(c);
	}
	c->status->done = 1;
	return 0;
}

/* ---- descriptors ---- */

/* Puts what is kept at the lowest numbers: stdio, the extra ones (which the program gets), then ours. All of
 * it first goes above where it will be, so that no move hits another. */
static int place(struct cx_child *c, int **kept, int extra, int count)
{
	int first = 3;

	for (int i = 0; i < count; i++)
		if (*kept[i] < first + count) {
			*kept[i] = fcntl(*kept[i], F_DUPFD_CLOEXEC, first + count);
			if (*kept[i] < 0)
				return cx_child_fail(c, CX_CALL_dup3, NULL);
		}
	for (int i = 0; i < count; i++) {
		if (dup3(*kept[i], first + i, i < extra ? 0 : O_CLOEXEC) < 0)
			return cx_child_fail(c, CX_CALL_dup3, NULL);
		*kept[i] = first + i;
	}
	return first + count;
}

/* Keys, too, are only what one was given: a session keyring of its own instead of the keeper's, which
 * all of its containers would share. Kernels without keys, and seccomp filters that deny them (Docker's),
 * leave nothing to share. */
static int new_keyring(struct cx_child *c)
{
	if (syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL) >= 0
	    || errno == ENOSYS || errno == EPERM || errno == EACCES)
		return 0;
	return cx_child_fail(c, CX_CALL_keyctl, "KEYCTL_JOIN_SESSION_KEYRING");
}

int cx_child_inherit(struct cx_child *c, const struct cx_op *op)
{
	int *kept[2 + CX_FD_COUNT], count = 0, extra, end;

	for (int i = CX_FD_EXTRA; i < CX_FD_COUNT && c->fd[i] >= 0; i++)
		kept[count++] = &c->fd[i];
	extra = count;
	kept[count++] = &c->keeper;
	if (c->alive > 0)
		kept[count++] = &c->alive;
	for (int i = CX_FD_LISTEN; i < CX_FD_EXTRA; i++)
		if (c->fd[i] >= 0)
			kept[count++] = &c->fd[i];
	for (int n = 0; n < 3; n++) {   /* what came in a message is never 0 to 2: the keeper has these */
		int fd = op->arg[n] < CX_FD_COUNT ? c->fd[op->arg[n]] : -1;

		if (fd >= 0 && dup2(fd, n) < 0)
			return cx_child_fail(c, CX_CALL_dup3, "stdio");
	}
	end = place(c, kept, extra, count);
	if (end < 0)
		return end;
	if (cx_sys_close_range((unsigned)end, ~0U, CX_CLOSE_RANGE_UNSHARE) < 0)
		return cx_child_fail(c, CX_CALL_close_range, NULL);
	syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &c->nofile, NULL);
	return op->arg[3] ? new_keyring(c) : 0;
}

/* A keeper that died before the signal was asked for can't send it: its pidfd tells (exact from Linux 6.14
 * on, where prctl takes the lock that death holds), or its socket's end (exact unless a sibling that was
 * cloned just now still has a copy of the other end). */
static int keeper_died(const struct cx_child *c)
{
	struct pollfd p = { .fd = c->alive > 0 ? c->alive : -1, .events = POLLIN };
	char byte;

	return poll(&p, 1, 0) > 0
		|| (c->keeper >= 0 && recv(c->keeper, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0);
}

int cx_child_death_signal(struct cx_child *c, const struct cx_op *op)
{
	(void)op;
	if (c->launch->flags & CX_LAUNCH_RELEASED)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return cx_child_fail(c, CX_CALL_prctl, NULL);
	if (keeper_died(c)) {
		errno = EOWNERDEAD;
		return cx_child_fail(c, CX_CALL_prctl, NULL);
	}
	return 0;
}

/* ---- talking to the keeper ---- */

int cx_child_say(struct cx_child *c, uint32_t kind, uint32_t value, int fd)
{
	union { struct cmsghdr align; char data[CMSG_SPACE(sizeof(int))]; } control;
	struct cx_word w = { kind, value };
	struct iovec iov = { &w, sizeof w };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *m = &control.align;

		memset(&control, 0, sizeof control);
		h.msg_control = control.data;
		h.msg_controllen = sizeof control.data;
		m->cmsg_level = SOL_SOCKET;
		m->cmsg_type = SCM_RIGHTS;
		m->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(m), &fd, sizeof fd);
	}
	return sendmsg(c->keeper, &h, MSG_NOSIGNAL) < 0 ? cx_child_fail(c, CX_CALL_sendmsg, NULL) : 0;
}

int cx_child_give(struct cx_child *c, int fd)
{
	return cx_child_say(c, CX_WORD_GIFT, 0, fd);
}

/* The keeper's answer: an errno; its end means that nobody is left to live for. */
static int hear(struct cx_child *c)
{
	unsigned char answer = 0;
	ssize_t n;

	do
		n = recv(c->keeper, &answer, 1, 0);
	while (n < 0 && errno == EINTR);
	errno = n == 1 ? answer : EOWNERDEAD;
	return errno ? cx_child_fail(c, CX_CALL_recv, NULL) : 0;
}

/* At barrier 0 the id maps are written through our /proc/PID. We come from the keeper, which isn't dumpable,
 * and such a process's files there belong to the machine's root: an unprivileged keeper couldn't open them,
 * and newuidmap refuses a process that isn't its caller's. Nobody gains by the moment in which we are: who
 * may trace us now is the same user, outside of all containers. */
int cx_child_barrier(struct cx_child *c, const struct cx_op *op)
{
	int maps = op->arg[0] == CX_BARRIER_MAPS, r;

	if (maps)
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	r = cx_child_say(c, CX_WORD_BARRIER, (uint32_t)op->arg[0], -1);
	if (r == 0)
		r = hear(c);
	if (maps)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return r;
}

/* Released: nobody is there to ask; whoever connects and sends a byte says start. The connection is
 * close-on-exec: its end tells that the program runs, bytes before that are the errno of exec. */
static int wait_for_connection(struct cx_child *c)
{
	int listener = c->fd[CX_FD_LISTEN];
	char byte;

	close(c->keeper);
	c->keeper = -1;
	for (;;) {
		c->accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (c->accepted < 0 && errno != EINTR && errno != ECONNABORTED)
			return cx_child_fail(c, CX_CALL_accept4, NULL);
		if (c->accepted < 0)
			continue;
		if (read(c->accepted, &byte, 1) == 1)
			break;          /* else it was only a look: is it alive? */
		close(c->accepted);
	}
	close(listener);
	c->fd[CX_FD_LISTEN] = -1;
	return 0;
}

static const char *search_path(const struct cx_child *c, uint64_t env)
{
	for (uint32_t i = 0; i < cx_child_count(c, env); i++)
		if (!strncmp(cx_child_item(c, env, i), "PATH=", 5))
			return cx_child_item(c, env, i) + 5;
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* Without argv it is only a look: could it be executed? 0, or -1 and errno */
static int try(const char *file, const char *const argv[], const char *const envp[])
{
	struct stat st;

	if (argv)
		return execve(file, (char *const *)argv, (char *const *)envp);
	if (access(file, X_OK) < 0 || fstatat(AT_FDCWD, file, &st, 0) < 0)
		return -1;
	errno = EACCES;
	return S_ISREG(st.st_mode) ? 0 : -1;
}

/* As execvp(3): every directory of PATH; a file that was there but not allowed outweighs "not found". */
static int try_path(const char *path, const char *program, const char *const argv[], const char *const envp[])
{
	size_t name = strlen(program);
	int seen = ENOENT;

	while (path) {
		size_t n = strcspn(path, ":");
		char file[4096];

		if (n + name + 2 <= sizeof file) {
			memcpy(file, path, n);
			file[n] = '/';
			memcpy(file + n + (n > 0), program, name + 1);
			if (try(file, argv, envp) == 0)
				return 0;
			if (errno != ENOENT && errno != ENOTDIR)
				seen = errno;
		}
		path = path[n] ? path + n + 1 : NULL;
	}
	errno = seen;
	return -1;
}

/* Whoever holds a container wants to know now, not at its start, that there is nothing to start. What a
 * filter forbids to ask is left for execve to find out. */
static int look_for_program(struct cx_child *c)
{
	uint32_t last = c->plan->operations - 1;
	const struct cx_op *op = (const struct cx_op *)(c->plan + 1) + last;
	const char *file = cx_child_text(c, op->arg[2]), *program;
	int r;

	if (op->code != CX_OP_exec || !cx_child_count(c, op->arg[0]))
		return 0;
	program = cx_child_item(c, op->arg[0], 0);
	if (file || strchr(program, '/'))
		r = try(file ? file : program, NULL, NULL);
	else
		r = try_path(search_path(c, op->arg[1]), program, NULL, NULL);
	if (r == 0 || (errno != ENOENT && errno != ENOTDIR && errno != EACCES))
		return 0;
	c->status->op = last;
	return cx_child_fail(c, CX_CALL_execve, program);
}

static int hold(struct cx_child *c)
{
	int r = look_for_program(c);

	if (r == 0)
		r = cx_child_say(c, CX_WORD_HELD, 0, -1);
	if (r < 0)
		return r;
	return c->launch->flags & CX_LAUNCH_RELEASED && c->fd[CX_FD_LISTEN] >= 0
		? wait_for_connection(c) : hear(c);
}

static void let_go(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* What a program inside could find in us and use: a proc without masks, the masks' own mounts. */
static void let_go_of_trees(struct cx_child *c)
{
	let_go(&c->proc);
	let_go(&c->null);
	for (int i = 0; i < CX_CHILD_SOURCES; i++)
		let_go(&c->source[i]);
}

/* An unprivileged user may reach the namespaces of a process of his (/proc/PID/ns, setns) if it is dumpable,
 * as the program will be; while it is held networks are connected and hooks run. What it then could be
 * robbed of is gone: the sealed file that it executes, its own socket, and all but sockets is closed. */
int cx_child_start(struct cx_child *c, const struct cx_op *op)
{
	int traceable = op->arg[0] != 0, r;

	if (!(c->launch->flags & CX_LAUNCH_HOLD))
		return 0;
	if (traceable) {
		if (c->alive > 0)
			close(c->alive);
		c->alive = 0;
		let_go_of_trees(c);
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	}
	r = hold(c);
	if (traceable)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return r;
}

/* ---- the terminal ---- */

/* The container's own /dev/ptmx (below root, or where we already are); never the host's. */
static int open_ptmx(struct cx_child *c)
{
	int dir = c->root >= 0 ? c->root : AT_FDCWD, fd;

	fd = cx_sys_openat2(dir, c->root >= 0 ? "dev/pts/ptmx" : "/dev/pts/ptmx",
		O_RDWR | O_NOCTTY | O_CLOEXEC, 0,
		RESOLVE_NO_MAGICLINKS | (c->root >= 0 ? RESOLVE_IN_ROOT : 0));
	return fd < 0 ? cx_child_fail(c, CX_CALL_openat2, "dev/pts/ptmx") : fd;
}

/* What is there already is taken as a place, never opened: a fifo would block us, a device be set off. */
static int console_place(int dir, const char *path, uint64_t resolve)
{
	int fd = -1;

	for (int tries = 0; fd < 0 && tries < 2; tries++) {
		fd = cx_sys_openat2(dir, path, O_PATH | O_CLOEXEC, 0, resolve);
		if (fd < 0 && errno == ENOENT)
			fd = cx_sys_openat2(dir, path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666, resolve);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	return fd;
}

/* /dev/console is the pty's other end, bound by descriptor onto a file made here (never followed). */
static int bind_console(struct cx_child *c, int peer)
{
	int dir = c->root >= 0 ? c->root : AT_FDCWD, target, tree;
	const char *path = c->root >= 0 ? "dev/console" : "/dev/console";

	target = console_place(dir, path, RESOLVE_NO_SYMLINKS | (c->root >= 0 ? RESOLVE_IN_ROOT : 0));
	if (target < 0)
		return cx_child_fail(c, CX_CALL_openat2, path);
	tree = cx_sys_open_tree(peer, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree < 0)
		return cx_child_fail(c, CX_CALL_open_tree, path);
	if (cx_sys_move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return cx_child_fail(c, CX_CALL_move_mount, path);
	close(tree);
	close(target);
	return 0;
}

int cx_child_terminal(struct cx_child *c, const struct cx_op *op)
{
	int master = open_ptmx(c), peer, unlock = 0, r;

	if (master < 0)
		return master;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return cx_child_fail(c, CX_CALL_ioctl, "TIOCSPTLCK");
	peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (peer < 0)
		return cx_child_fail(c, CX_CALL_ioctl, "TIOCGPTPEER");
	if (fchown(peer, (uid_t)op->arg[1], (gid_t)-1) < 0)
		return cx_child_fail(c, CX_CALL_chown, "the terminal");
	if (op->arg[2] || op->arg[3]) {
		const struct winsize size = { .ws_row = (unsigned short)op->arg[2],
			.ws_col = (unsigned short)op->arg[3] };

		if (ioctl(peer, TIOCSWINSZ, &size) < 0)
			return cx_child_fail(c, CX_CALL_ioctl, "TIOCSWINSZ");
	}
	if (op->arg[0] && (r = bind_console(c, peer)) < 0)
		return r;
	if (setsid() < 0)
		return cx_child_fail(c, CX_CALL_setsid, NULL);
	if (ioctl(peer, TIOCSCTTY, 0) < 0)
		return cx_child_fail(c, CX_CALL_ioctl, "TIOCSCTTY");
	for (int n = 0; n < 3; n++)
		if (dup2(peer, n) < 0)
			return cx_child_fail(c, CX_CALL_dup3, "the terminal");
	r = cx_child_give(c, master);
	close(peer);
	close(master);
	return r;
}

/* kill(0, ...) goes to a process group, whatever pid namespaces its members are in: the keeper's own
 * would be within a container's reach. (A terminal makes a session by itself.) */
int cx_child_session(struct cx_child *c, const struct cx_op *op)
{
	(void)op;
	return setsid() < 0 ? cx_child_fail(c, CX_CALL_setsid, NULL) : 0;
}

/* ---- the program ---- */

/* Never through a link of /proc/self/fd: what such a descriptor leads to, ours or one that the host forgot,
 * was not named by the spec (CVE-2024-21626). */
static int enter_directory(const char *path)
{
	int fd = cx_sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0, RESOLVE_NO_MAGICLINKS), r;

	if (fd < 0)
		return -1;
	r = fchdir(fd);
	close(fd);
	return r;
}

/* As login(1) would find it; made when missing only where the spec's users expect that (`make`). */
int cx_child_chdir(struct cx_child *c, const struct cx_op *op)
{
	const char *path = cx_child_text(c, op->arg[0]);
	char here[4096];        /* a short one would get ERANGE, not an answer */

	if (enter_directory(path) < 0) {
		if (errno != ENOENT || !op->arg[1] || mkdir(path, 0755) < 0 || enter_directory(path) < 0)
			return cx_child_fail(c, CX_CALL_chdir, path);
	}
	/* "(unreachable)/...": a directory outside the root, whatever the way to it */
	if (syscall(SYS_getcwd, here, sizeof here) > 0 && here[0] != '/') {
		errno = ENOENT;
		return cx_child_fail(c, CX_CALL_chdir, path);
	}
	return 0;
}

/* The first process stays: it reaps what is orphaned, hands signals on, and ends as the program ended. */
static void __attribute__((noreturn)) reap(pid_t program)
{
	sigset_t all;
	siginfo_t info;
	int status;
	pid_t pid;

	prctl(PR_SET_NAME, "conex-init");
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	for (;;) {
		int sig = sigwaitinfo(&all, &info);

		if (sig > 0 && sig != SIGCHLD)
			kill(program, sig);
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			if (pid == program)
				_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
}

int cx_child_init(struct cx_child *c, const struct cx_op *op)
{
	struct cx_clone_args a = { .exit_signal = SIGCHLD };
	sigset_t all, old;
	pid_t pid;

	(void)op;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);   /* no SIGCHLD is lost before reap() waits */
	pid = (pid_t)syscall(SYS_clone3, &a, sizeof a);
	if (pid < 0 && errno == ENOSYS) /* without no_new_privs we are under the filter, which may hide it */
		pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid < 0)
		return cx_child_fail(c, CX_CALL_clone3, NULL);
	if (pid > 0) {
		cx_sys_close_range(0, ~0U, 0);
		reap(pid);
	}
	return 0;
}

int cx_child_exec(struct cx_child *c, const struct cx_op *op)
{
	uint32_t args = cx_child_count(c, op->arg[0]), env = cx_child_count(c, op->arg[1]);
	const char *argv[args + 1], *envp[env + 1], *file = cx_child_text(c, op->arg[2]);
	sigset_t none;

	for (uint32_t i = 0; i < args; i++)
		argv[i] = cx_child_item(c, op->arg[0], i);
	for (uint32_t i = 0; i < env; i++)
		envp[i] = cx_child_item(c, op->arg[1], i);
	argv[args] = envp[env] = NULL;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	c->status->done = 1;
	if (file || strchr(argv[0], '/'))
		try(file ? file : argv[0], argv, envp);
	else
		try_path(search_path(c, op->arg[1]), argv[0], argv, envp);
	c->status->done = 0;
	return cx_child_fail(c, CX_CALL_execve, argv[0]);
}
