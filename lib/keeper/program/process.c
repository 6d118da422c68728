/* The table of processes: watching, signalling, reaping, deadlines. */
#include "keeper/program/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

struct process *process_find(struct keeper *k, uint64_t id)
{
	struct process *p = k->processes[id % BUCKETS];

	while (p && p->id != id)
		p = p->next;
	return p;
}

struct process *process_new(struct keeper *k, uint64_t id)
{
	struct process *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->id = id;
	p->pidfd = p->first = p->socket = p->gift = p->listens = p->listener = -1;
	p->next = k->processes[id % BUCKETS];
	k->processes[id % BUCKETS] = p;
	k->count++;
	return p;
}

struct cx_status *status_new(struct keeper *k)
{
	struct cx_status *s = k->spare;

	k->spare = NULL;
	if (!s) {
		s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		return s == MAP_FAILED ? NULL : s;
	}
	memset(s, 0, sizeof *s);
	return s;
}

static void status_free(struct keeper *k, struct cx_status *s)
{
	if (!k->spare)
		k->spare = s;
	else
		munmap(s, sizeof *s);
}

/* A child that was just cloned still has a copy, so closing alone would leave it in epoll, which would go
 * on telling of a process that is freed by then. */
void unwatch(struct keeper *k, int *fd)
{
	if (*fd >= 0) {
		epoll_ctl(k->epoll, EPOLL_CTL_DEL, *fd, NULL);
		close(*fd);
	}
	*fd = -1;
}

/* Not while the child may still write to it: once it has executed, or is dead. Kept any longer it would be one
 * mapping a container, which every further clone copies. */
void process_forget_status(struct keeper *k, struct process *p)
{
	if (p->status)
		status_free(k, p->status);
	p->status = NULL;
}

void process_free(struct keeper *k, struct process *p)
{
	for (struct process **at = &k->processes[p->id % BUCKETS]; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			break;
		}
	unwatch(k, &p->pidfd);
	unwatch(k, &p->socket);
	if (p->gift >= 0)
		close(p->gift);
	listener_forget(k, p);
	if (p->listener >= 0)
		close(p->listener);
	process_forget_status(k, p);
	k->attending -= p->attends != 0;
	if (p->plan)
		plan_unref(k, p->plan);
	free(p->kill_path);
	free(p);
}

void process_signal(struct process *p, int sig)
{
	if (p->pidfd >= 0)
		cx_sys_pidfd_send_signal(p->pidfd, sig);
}

/* Everything in a cgroup: with cgroup.kill by one write, else by its list of processes, which is read
 * again until a round finds nobody new to kill (SIGKILL can't be outrun for long). */
static void kill_cgroup(const char *path)
{
	size_t n = strlen(path);
	int by_write = n > 5 && !strcmp(path + n - 5, ".kill");

	for (int round = 0; round < 64; round++) {
		int fd = open(path, (by_write ? O_WRONLY : O_RDONLY) | O_CLOEXEC), killed = 0;
		FILE *f;
		int pid;

		if (fd < 0)
			return;
		if (by_write) {
			ssize_t written = write(fd, "1", 1);

			close(fd);
			if (written == 1)
				return;
			continue;
		}
		f = fdopen(fd, "r");
		if (!f) {
			close(fd);
			return;
		}
		while (fscanf(f, "%d", &pid) == 1)
			killed += pid > 0 && kill(pid, SIGKILL) == 0;
		fclose(f);
		if (!killed)
			return;
	}
}

/* Its process group as well: all that there is to know an exec's children by. The pid can't be another's
 * before it is reaped, and a first stage leads no group. */
void process_kill_all(struct process *p)
{
	process_signal(p, SIGKILL);
	if (p->pid > 0)
		kill(-p->pid, SIGKILL);
	if (p->kill_path)
		kill_cgroup(p->kill_path);
	p->killed = 1;
}

int64_t next_deadline(struct keeper *k)
{
	int64_t nearest = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct process *p = k->processes[i]; p; p = p->next)
			if (p->deadline_ns && (!nearest || p->deadline_ns < nearest))
				nearest = p->deadline_ns;
	return nearest;
}

void deadlines_passed(struct keeper *k)
{
	int64_t nearest = next_deadline(k), now;

	if (!nearest || nearest > (now = now_ns(CLOCK_MONOTONIC)))
		return;
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct process *p = k->processes[i]; p; p = p->next)
			if (p->deadline_ns && p->deadline_ns <= now) {
				p->deadline_ns = 0;
				if (p->cause == CX_ENDED_ITSELF)
					p->cause = CX_ENDED_TIMEOUT;
				process_kill_all(p);
			}
}

/* Our child until it is reaped, so its pid is still its own. */
void process_reap(struct keeper *k, struct process *p)
{
	if (!p->zombie)
		return;
	waitpid(p->pid, NULL, 0);
	p->zombie = 0;
	host_tell(k, p);
}

/* The process proper is our child like the first stage (CLONE_PARENT), so its pid can't be another's before
 * we reap it. As soon as it says a word, all that is about the process is about it; the first stage, which is
 * just ending, is left in .first to be reaped. 0: it has taken over. */
int process_take_over(struct keeper *k, struct process *p)
{
	int pidfd;

	if (!p->stage || !p->status || !p->status->pid)
		return -1;
	pidfd = cx_sys_pidfd_open(p->status->pid, 0);
	if (pidfd < 0)
		return -1;
	fcntl(pidfd, F_SETFD, FD_CLOEXEC);
	p->stage = 0;
	p->first = p->pidfd;
	p->pidfd = pidfd;
	p->pid = p->status->pid;
	if (p->killed)          /* what was sent to the first stage alone */
		process_signal(p, SIGKILL);
	return watch(k, p->pidfd, p);
}

static void end_attendants(struct keeper *k, uint64_t id)
{
	for (unsigned i = 0; i < BUCKETS && k->attending; i++)
		for (struct process *p = k->processes[i]; p; p = p->next)
			if (p->attends == id && p->state != PROCESS_ENDED)
				process_kill_all(p);
}

static int reap_first(struct keeper *k, struct process *p, int wait)
{
	siginfo_t info = { .si_pid = 0 };

	if (p->first < 0 || syscall(SYS_waitid, P_PIDFD, p->first, &info, WEXITED | (wait ? 0 : WNOHANG), NULL) < 0
	    || !info.si_pid)
		return 0;
	unwatch(k, &p->first);
	return 1;
}

void process_exited(struct keeper *k, struct process *p)
{
	struct rusage used = { .ru_maxrss = 0 };
	siginfo_t info = { .si_pid = 0 };
	int status = 0;

	if (reap_first(k, p, 0))
		return;
	if (syscall(SYS_waitid, P_PIDFD, p->pidfd, &info, WEXITED | WNOHANG | (p->stage ? 0 : WNOWAIT), &used) < 0
	    || !info.si_pid)
		return;
	if (process_take_over(k, p) == 0) {
		unwatch(k, &p->first);
		return;
	}
	reap_first(k, p, 1);    /* it ends at once after its clone */
	status = info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8
		: (info.si_status & 0x7f) | (info.si_code == CLD_DUMPED ? 0x80 : 0);
	for (int i = 0; i < 8 && p->socket >= 0; i++)
		child_readable(k, p);   /* its last words, and whether it executed */
	listener_forget(k, p);
	p->zombie = p->flags & CX_LAUNCH_RELEASED && p->state != PROCESS_SETUP;
	if (!p->zombie)
		syscall(SYS_waitid, P_PIDFD, p->pidfd, NULL, WEXITED | WNOHANG, NULL);
	if (p->kill_path && (p->killed || p->state == PROCESS_SETUP))
		kill_cgroup(p->kill_path);
	p->wait_status = status;
	p->cpu_ns = ((uint64_t)used.ru_utime.tv_sec + (uint64_t)used.ru_stime.tv_sec) * 1000000000
		+ ((uint64_t)used.ru_utime.tv_usec + (uint64_t)used.ru_stime.tv_usec) * 1000;
	p->peak = (uint64_t)used.ru_maxrss * 1024;
	p->ended_ns = now_ns(CLOCK_MONOTONIC);
	p->ended_real_ns = now_ns(CLOCK_REALTIME);
	p->tell |= 1U << ((p->state == PROCESS_RUNNING || (p->plan->bytes->flags & CX_PLAN_HELPER && p->status->done)
			? CX_MSG_EXITED : CX_MSG_FAILED) - CX_MSG_HELLO);
	p->state = PROCESS_ENDED;
	p->deadline_ns = 0;
	unwatch(k, &p->pidfd);
	unwatch(k, &p->socket);
	k->count--;
	end_attendants(k, p->id);
	if (k->orphaned)
		process_free(k, p);
	else
		host_tell(k, p);
}
