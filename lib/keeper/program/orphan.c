/* Without a host: bound processes are killed, released ones left alone, conex-undo cleans up. */
#include "keeper/program/program.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

/* So long may who was killed take to end, before conex-undo looks at what holds him. */
#define LIVING_NS ((int64_t)500000000)

/* A first stage that has done its work is ending: not left to a stranger to reap. */
static void reap_stage(struct process *p)
{
	siginfo_t info;

	if (p->first >= 0)
		syscall(SYS_waitid, 3 /* P_PIDFD */, p->first, &info, WEXITED, NULL);
}

void orphaned(struct keeper *k)
{
	if (k->orphaned)
		return;
	k->orphaned = 1;
	k->undo_ns = now_ns(CLOCK_MONOTONIC) + LIVING_NS;
	epoll_ctl(k->epoll, EPOLL_CTL_DEL, k->host, NULL);
	if (k->host_pidfd >= 0)
		epoll_ctl(k->epoll, EPOLL_CTL_DEL, k->host_pidfd, NULL);
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct process *p = k->processes[i], *next; p; p = next) {
			next = p->next;
			if (p->state == PROCESS_ENDED || p->flags & CX_LAUNCH_RELEASED) {
				k->count -= p->state != PROCESS_ENDED;
				reap_stage(p);
				process_free(k, p);
			} else {
				process_kill_all(p);
			}
		}
}

/* conex-undo plays the journals of the state directory. It gets a clean process of its own; waiting for
 * it has no use but to leave the machine in order before the keeper's pid is free again. */
void run_undo(struct keeper *k)
{
	char *const argv[] = { "conex-undo", k->state_path, NULL }, *const envp[] = { NULL };
	sigset_t none;
	pid_t pid;

	if (k->undo < 0 || !k->state_path)
		return;
	pid = fork();
	if (pid == 0) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		syscall(SYS_execveat, k->undo, "", argv, envp, AT_EMPTY_PATH);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

/* Who is frozen in a v1 cgroup (paused, or by a host that died while it killed) doesn't end by SIGKILL: conex-undo
 * knows cgroups, and thaws. */
void undo_the_living(struct keeper *k)
{
	if (now_ns(CLOCK_MONOTONIC) < k->undo_ns)
		return;
	run_undo(k);
	k->undo_ns = now_ns(CLOCK_MONOTONIC) + 4 * LIVING_NS;
}
