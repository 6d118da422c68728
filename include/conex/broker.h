/* conex/broker.h: answer a container's system calls (seccomp notification, seccomp_unotify(2)).
 *
 * conex_run_options.ask names system calls. Where a program of the container makes one of them,
 * it waits, and CONEX_EVENT_SYSCALL comes with it: look at its arguments, then say what it
 * returns, give it a descriptor, or let the kernel do it. conex_exec's programs ask, too. Rules
 * with conditions on arguments are written in JSON (SCMP_ACT_NOTIFY in linux.seccomp.syscalls),
 * which .ask, be it an empty list, allows.
 *
 * A call waits until it is answered: ask for events while the container runs. A caller that is
 * killed meanwhile takes its call along. Other signals wait for the answer, on Linux 5.19 and
 * newer; before they interrupt the call, which is then made, and asked about, once more. After
 * conex_close nobody answers any more: ENOSYS, for what waits and for what comes.
 *
 * What a container can't ask about is what starts it, or what it calls itself before its program
 * runs: "execve", "exit_group", and without no_new_privs "prctl", "read" and others. These are
 * refused by conex_plan_new. Hooks of kind startContainer ask, too, without no_new_privs. A
 * handle ends with its answer, or with conex_close.
 *
 * Memory that an argument points to can change at any time: judge by one copy
 * (conex_syscall_read), act on that copy yourself (conex_syscall_inject, conex_syscall_return),
 * and let the kernel proceed only where the arguments themselves say all, such as the family of
 * socket(2). This is no wall of its own: what must be impossible the profile has to forbid. */
#ifndef CONEX_BROKER_H
#define CONEX_BROKER_H
#include <conex/base.h>

CONEX_BEGIN_DECLARATIONS

/* The system call by its name, "connect"; of a 32-bit program as in that architecture's table.
 * Owner: borrowed from s.
 * Returns: never NULL; a number that libseccomp has no name for is written "syscall_500".
 * Threads: any. Since: 0.1 */
const char *conex_syscall_name(const conex_syscall *s);

/* An argument, as it is in the register: of an int the upper half may be anything.
 * Returns: the argument; 0 if n is not 0 to 5.
 * Threads: any. Since: 0.1 */
uint64_t conex_syscall_arg(const conex_syscall *s, int n);

/* The thread that made the call, by its id in the caller's pid namespace.
 * Returns: the id; 0: it isn't visible from here.
 * Threads: any. Since: 0.1 */
pid_t conex_syscall_pid(const conex_syscall *s);

/* Copies memory of the caller, who is checked to be still there afterwards. It may take as long
 * as the container's memory makes it (a mapped file of its own FUSE).
 * Owner: buffer is the caller's.
 * Returns: the bytes read, fewer where the memory ends; -EFAULT there is none at address; -ESRCH
 * the caller has died or was interrupted: one of the answers still ends s; -EPERM no right to
 * trace it; -EBUSY another thread is at it; the usual.
 * Threads: one at a time for a call. Since: 0.1 */
int conex_syscall_read(conex_syscall *s, uint64_t address, void *buffer, size_t size,
	conex_error **err);

/* Answers: it returns value; negative is a negative errno, down to -4095. Ends s, also with
 * -ENOENT; on other failures it is still to be answered.
 * Returns: 0; -ENOENT the caller has died or was interrupted; -EINVAL value; -EBUSY another
 * thread is at it; the usual.
 * Threads: one at a time for a call. Since: 0.1 */
int conex_syscall_return(conex_syscall *s, int64_t value, conex_error **err);

/* Answers by a copy of a descriptor. at -1: the caller gets it at its lowest free number, which
 * the call returns. Else it replaces the caller's descriptor `at`, and the call returns 0. There
 * it is not close-on-exec. Ends s, also with -ENOENT; on other failures it is still to be
 * answered. Takes until the caller has it: not while it is paused.
 * Owner: fd stays the caller's.
 * Returns: 0; -ENOENT the caller has died or was interrupted; -EBADF fd isn't open, or `at` is
 * beyond the container's limit; -EMFILE the container's limit is reached; -EINVAL at; -EBUSY
 * another thread is at it; the usual.
 * Threads: one at a time for a call. Since: 0.1 */
int conex_syscall_inject(conex_syscall *s, int fd, int at, conex_error **err);

/* Answers: the kernel does it, as if nobody had asked, and reads what arguments point to anew.
 * Ends s, also with -ENOENT.
 * Returns: 0; -ENOENT the caller has died or was interrupted; -EBUSY another thread is at it; the
 * usual.
 * Threads: one at a time for a call. Since: 0.1 */
int conex_syscall_proceed(conex_syscall *s, conex_error **err);

CONEX_END_DECLARATIONS
#endif
