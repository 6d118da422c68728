/* Starts the keeper: sealed memfd, two clones that share the host's memory for the few system calls until
 * exec, so that nothing of the host is copied and it never has a child that its wait(-1) could see. */
#include "keeper/spawn.h"
#include "base/error.h"
#include "base/kernel.h"
#include "keeper/protocol.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

extern const char cx_keeper_blob[], cx_keeper_blob_end[];
long cx_keeper_clone3(struct cx_clone_args *args, size_t size, int (*fn)(void *), void *arg);
long cx_keeper_clone(unsigned long flags, void *stack_top, int (*fn)(void *), void *arg);

/* ---- the program as a descriptor ---- */

static int write_all(int fd, const char *from, const char *end)
{
	while (from < end) {
		ssize_t n = write(fd, from, (size_t)(end - from));

		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0)
			from += n;
	}
	return 0;
}

/* Sealed, so that nobody, from inside or outside, can change what runs. MFD_EXEC is unknown before
 * Linux 6.3 (EINVAL); later vm.memfd_noexec may ask for it or forbid it (EACCES at exec). */
static int sealed_program(void)
{
	cx_autoclose int fd = memfd_create("conex-keeper", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("conex-keeper", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || write_all(fd, cx_keeper_blob, cx_keeper_blob_end) < 0)
		return -1;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -1;
	return cx_steal_fd(&fd);
}

/* Where memfds may not be executed: the installed copy, through a read-only detached mount that the
 * container can't reach by path (needs the right to mount). */
static int installed_program(void)
{
	struct cx_mount_attr read_only = { .attr_set = CX_MOUNT_ATTR_RDONLY };
	cx_autoclose int tree = cx_sys_open_tree(AT_FDCWD, CX_LIBEXECDIR "/conex/conex-keeper",
		OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree < 0 || cx_sys_mount_setattr(tree, "", AT_EMPTY_PATH, &read_only) < 0)
		return -1;
	return cx_steal_fd(&tree);
}

/* ---- two clones ---- */

/* Code that runs in a child with the host's memory must leave no trace in a sanitizer's notes. */
#ifdef __clang__
#define CX_UNTRACED __attribute__((disable_sanitizer_instrumentation, noinline))
#else
#define CX_UNTRACED __attribute__((no_sanitize("address", "undefined", "thread"), noinline))
#endif

enum { STACK = 64 * 1024 };

struct start {
	int program, socket;
	int old_clone;          /* clone3 answers ENOSYS */
	char *stacks;           /* two of them */
	volatile int error;     /* of the clones or the exec; seen by the host because memory is shared */
};

CX_UNTRACED static long clone_on(struct start *s, char *stack, uint64_t flags, int (*fn)(void *))
{
	struct cx_clone_args a = { .flags = CLONE_VM | CLONE_VFORK | flags,
		.stack = (uintptr_t)stack, .stack_size = STACK };

	if (s->old_clone)
		return cx_keeper_clone(CLONE_VM | CLONE_VFORK, stack + STACK, fn, s);
	return cx_keeper_clone3(&a, sizeof a, fn, s);
}

/* From here on in children that share the host's memory and thread pointer: no libc but inline system
 * calls, which must not touch errno (it is the host's thread's). */
CX_UNTRACED static long raw(long number, long a, long b, long c, long d, long e)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e;
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
		: "rcx", "r11", "memory");
	return r;
#else
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b,
		x2 __asm__("x2") = c, x3 __asm__("x3") = d, x4 __asm__("x4") = e;

	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
#endif
}

/* Valgrind executes by name, and a memfd's name ("/memfd:...") is no file: by way of /proc it is one. */
CX_UNTRACED static long execute_by_name(long fd, const char *const *argv, const char *const *envp)
{
	char path[] = "/proc/self/fd/\0\0\0\0\0\0\0\0\0\0";
	int at = 14;

	for (long unit = 1000000000; unit > 0; unit /= 10)
		if (fd >= unit || unit == 1)
			path[at++] = (char)('0' + fd / unit % 10);
	return raw(SYS_execve, (long)path, (long)argv, (long)envp, 0, 0);
}

/* The keeper-to-be: a session of its own, the socket as descriptor 3, exec. Its descriptor table is a copy. */
CX_UNTRACED static int become_keeper(void *data)
{
	static const char *const argv[] = { "conex-keeper", NULL }, *const envp[] = { NULL };
	struct start *s = data;
	long program = s->program, r;

	raw(SYS_setsid, 0, 0, 0, 0, 0);
	if (program == CX_KEEPER_SOCKET) {      /* out of the way, but not onto the socket */
		program = s->socket == CX_KEEPER_SOCKET + 1 ? CX_KEEPER_SOCKET + 2 : CX_KEEPER_SOCKET + 1;
		raw(SYS_dup3, s->program, program, O_CLOEXEC, 0, 0);
	}
	if (s->socket == CX_KEEPER_SOCKET)
		r = raw(SYS_fcntl, s->socket, F_SETFD, 0, 0, 0);
	else
		r = raw(SYS_dup3, s->socket, CX_KEEPER_SOCKET, 0, 0, 0);
	if (r >= 0)
		r = raw(SYS_execveat, program, (long)"", (long)argv, (long)envp, AT_EMPTY_PATH);
	if (r == -ENOENT)
		r = execute_by_name(program, argv, envp);
	s->error = (int)-r;
	return 127;
}

/* Exists so that the keeper isn't the host's child: ends as soon as the keeper has been executed. With
 * exit signal 0 and without exec, wait(2) sees it only with __WALL. */
CX_UNTRACED static int intermediate(void *data)
{
	struct start *s = data;
	long pid = clone_on(s, s->stacks, 0, become_keeper);

	if (pid < 0)
		s->error = (int)-pid;
	return pid < 0;
}

static long clone_both(struct start *s)
{
	sigset_t all, old;
	long pid = clone_on(s, s->stacks + STACK, CX_CLONE_CLEAR_SIGHAND, intermediate);

	if (pid != -ENOSYS)
		return pid;
	/* Without CLONE_CLEAR_SIGHAND a handler of the host's could run in the child: no signal gets there. */
	s->old_clone = 1;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = clone_on(s, s->stacks + STACK, 0, intermediate);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return pid;
}

static int execute(int program, int socket)
{
	struct start s = { .program = program, .socket = socket };
	int status;
	long pid;

	s.stacks = mmap(NULL, 2 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (s.stacks == MAP_FAILED)
		return -errno;
	pid = clone_both(&s);
	if (pid > 0)
		while (waitpid((pid_t)pid, &status, __WALL) < 0 && errno == EINTR)
			;
	munmap(s.stacks, 2 * STACK);
	return pid < 0 ? (int)pid : -s.error;
}

int cx_keeper_spawn(int socket, conex_error **err)
{
	cx_autoclose int program = sealed_program();
	int r = program < 0 ? -errno : execute(program, socket);

	if (r == -EACCES || r == -ENOEXEC || (program < 0 && r != -EMFILE && r != -ENFILE)) {
		cx_autoclose int installed = installed_program();

		if (installed >= 0)
			r = execute(installed, socket);
	}
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_LAUNCH, r, "execveat",
			r == -EMFILE ? "the process has no free descriptor: close some, or raise RLIMIT_NOFILE"
			: "programs in memory must be executable (vm.memfd_noexec), or conex installed",
			"the keeper");
	return 0;
}
