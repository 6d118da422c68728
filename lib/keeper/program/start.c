/* The keeper's first act: let go of everything that the calling thread of the host happened to have. */
#include "keeper/program/program.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static void reset_descriptors(struct keeper *k)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	fcntl(k->host, F_SETFD, FD_CLOEXEC);
	fcntl(k->host, F_SETFL, O_RDWR | O_NONBLOCK);
	for (int fd = 0; fd < 3; fd++)
		if (null >= 0 && null != fd)
			dup2(null, fd);
	cx_sys_close_range(CX_KEEPER_SOCKET + 1, ~0U, 0);
}

/* Ignored signals survive exec; and the keeper is nobody's to interrupt but by SIGKILL. */
static void reset_signals(void)
{
	static const unsigned long by_default[4];       /* the kernel's struct sigaction: SIG_DFL is 0 */
	sigset_t all;

	/* by the system call: a libc keeps some numbers for itself, which a host may ignore all the same */
	for (int sig = 1; sig <= 64; sig++)
		syscall(SYS_rt_sigaction, sig, by_default, NULL, 8);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
}

static void reset_scheduling(void)
{
	struct sched_param none = { .sched_priority = 0 };
	unsigned long every[64];

	memset(every, 0xff, sizeof every);
	syscall(SYS_sched_setaffinity, 0, sizeof every, every);
	syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &none);
	setpriority(PRIO_PROCESS, 0, 0);
	syscall(SYS_ioprio_set, 1, 0, 0);
	prctl(PR_SET_TIMERSLACK, 50000);        /* the kernel's own; 0 would mean the caller's */
	syscall(SYS_set_mempolicy, 0 /* MPOL_DEFAULT */, NULL, 0);
}

/* The machine's own limits are those of its first process; a hard limit can't be raised again. */
static void reset_limits(struct keeper *k)
{
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit first, mine;

		if (syscall(SYS_prlimit64, 0, i, NULL, &mine) < 0)
			continue;
		if (i != RLIMIT_NOFILE && syscall(SYS_prlimit64, 1, i, NULL, &first) == 0) {
			mine.rlim_cur = first.rlim_cur < mine.rlim_max ? first.rlim_cur : mine.rlim_max;
			syscall(SYS_prlimit64, 0, i, &mine, NULL);
		}
		if (i == RLIMIT_NOFILE) {
			k->nofile = mine;
			if (k->nofile.rlim_cur > 1024)  /* what the host raised for itself is not the container's */
				k->nofile.rlim_cur = 1024;
			mine.rlim_cur = mine.rlim_max;
			syscall(SYS_prlimit64, 0, i, &mine, NULL);
		}
	}
}

void reset_inherited(struct keeper *k)
{
	reset_descriptors(k);
	reset_signals();
	reset_scheduling();
	reset_limits(k);
	if (chdir("/") < 0)
		return;
	umask(022);
	personality(0);
	prctl(PR_SET_NAME, "conex-keeper");
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_PDEATHSIG, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);
}
