/* The functions of conex/broker.h: looking at a system call that waits, and ending it. Runs behind broker.c. */
#include "container/broker.h"

#include <limits.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#define GONE "the caller has died, or a signal has interrupted it"

const char *conex_syscall_name(const conex_syscall *s)
{
	return s->name;
}

uint64_t conex_syscall_arg(const conex_syscall *s, int n)
{
	return n >= 0 && n < 6 ? s->arg[n] : 0;
}

pid_t conex_syscall_pid(const conex_syscall *s)
{
	return s->pid;
}

/* The kernel may let us wait for the caller (its memory, a pause): so the lock isn't held meanwhile, and
 * conex_close, which ends the caller, doesn't wait for us. */
static int begin(conex_syscall *s, conex_error **err)
{
	int r = cx_context_lock(s->cx, err);

	if (r < 0)
		return r;
	if (s->busy)
		r = cx_fail(err, CONEX_STAGE_RUN, -EBUSY, NULL, "another thread is at it", "system call %s", s->name);
	else
		cx_broker_use(s->broker, s->busy = 1);
	cx_context_unlock(s->cx);
	return r;
}

static void unlist(conex_syscall *s)
{
	conex_syscall **at = &s->cx->containers->syscalls;

	while (*at && *at != s)
		at = &(*at)->next;
	if (*at)
		*at = s->next;
}

static void end(conex_syscall *s, int over)
{
	conex *cx = cx_context_ref(s->cx);

	pthread_mutex_lock(&cx->lock);
	cx_broker_use(s->broker, s->busy = 0);
	if (over && !s->orphan)
		unlist(s);
	if (over || s->orphan)
		cx_syscall_free(s);
	pthread_mutex_unlock(&cx->lock);
	cx_context_unref(cx);
}

/* An ioctl of the listener: 0, or errno as -errno; ENOENT also where nobody is left. */
static int control(const conex_syscall *s, unsigned long request, void *argument)
{
	int r;

	if (s->broker->fd < 0)
		return -ENOENT;
	do
		r = ioctl(s->broker->fd, request, argument);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static int send_answer(const conex_syscall *s, int64_t value, int error, uint32_t flags)
{
	union { struct seccomp_notif_resp r; char room[CX_NOTIFICATION_BYTES]; } out;

	memset(&out, 0, sizeof out);
	out.r.id = s->id;
	out.r.val = value;
	out.r.error = error;
	out.r.flags = flags;
	return control(s, SECCOMP_IOCTL_NOTIF_SEND, &out);
}

/* Ends the call, if it was answered or can't be any more; `r` is the answer's result. */
static int finish(conex_syscall *s, int r, const char *hint, conex_error **err)
{
	if (r < 0)
		cx_fail(err, CONEX_STAGE_RUN, r, "ioctl", r == -ENOENT ? GONE : hint, "system call %s", s->name);
	end(s, r == 0 || r == -ENOENT);
	return r;
}

int conex_syscall_return(conex_syscall *s, int64_t value, conex_error **err)
{
	int r;

	if (value < -4095)
		return cx_fail(err, CONEX_STAGE_RUN, -EINVAL, NULL, "negative values are errnos, down to -4095",
			"system call %s", s->name);
	r = begin(s, err);
	return r < 0 ? r : finish(s, send_answer(s, value < 0 ? 0 : value, value < 0 ? (int)value : 0, 0), NULL, err);
}

int conex_syscall_proceed(conex_syscall *s, conex_error **err)
{
	int r = begin(s, err);

	return r < 0 ? r : finish(s, send_answer(s, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), NULL, err);
}

/* At the lowest number the kernel gives it and answers in one; over another it takes two, and a caller that is
 * killed between them has the descriptor and no use for it. */
static int inject(conex_syscall *s, int fd, int at)
{
	struct seccomp_notif_addfd add = { .id = s->id, .srcfd = (uint32_t)fd,
		.flags = at < 0 ? SECCOMP_ADDFD_FLAG_SEND : SECCOMP_ADDFD_FLAG_SETFD,
		.newfd = at < 0 ? 0 : (uint32_t)at };
	int r = control(s, SECCOMP_IOCTL_NOTIF_ADDFD, &add);

	return r == 0 && at >= 0 ? send_answer(s, 0, 0, 0) : r;
}

int conex_syscall_inject(conex_syscall *s, int fd, int at, conex_error **err)
{
	int r;

	if (fd < 0 || at < -1)
		return cx_fail(err, CONEX_STAGE_RUN, fd < 0 ? -EBADF : -EINVAL, NULL,
			"pass an open descriptor, and -1 or the number that it replaces", "system call %s", s->name);
	r = begin(s, err);
	return r < 0 ? r : finish(s, inject(s, fd, at), "is it open, and is that number below the container's limit?",
		err);
}

static ssize_t read_memory(const conex_syscall *s, uint64_t address, void *buffer, size_t size)
{
	struct iovec to = { buffer, size > INT_MAX ? INT_MAX : size };
	struct iovec from = { (void *)(uintptr_t)address, to.iov_len };
	ssize_t n = s->pid > 0 ? process_vm_readv(s->pid, &to, 1, &from, 1, 0) : (errno = ESRCH, -1);
	int error = errno;
	uint64_t id = s->id;

	/* whoever had that pid meanwhile: as long as the call waits it was the caller */
	if (control(s, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) < 0)
		return -ESRCH;
	return n < 0 ? -error : n;
}

int conex_syscall_read(conex_syscall *s, uint64_t address, void *buffer, size_t size, conex_error **err)
{
	int r = begin(s, err);
	ssize_t n;

	if (r < 0)
		return r;
	n = read_memory(s, address, buffer, size);
	if (n < 0)
		cx_fail(err, CONEX_STAGE_RUN, (int)n, "process_vm_readv", n == -ESRCH ? GONE
			: n == -EPERM ? "it takes CAP_SYS_PTRACE" : NULL, "memory of system call %s", s->name);
	end(s, 0);
	return (int)n;
}
