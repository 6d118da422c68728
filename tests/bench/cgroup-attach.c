/* What one attach costs, in each of the ways that a process gets into a cgroup; a list of its own in the report. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <conex/conex.h>
#include "base/kernel.h"
#include "cgroup.h"

enum { V1 = 1, V2 = 2, ITSELF = 4, CONEX = 8, CLONE = 16, INTO = 32 };

static const struct kind { const char *name; int how; const char *file; } kinds[] = {
	{ "v1: the process itself, tasks", V1 | ITSELF, "tasks" },
	{ "v1: the process itself, cgroup.procs", V1 | ITSELF, "cgroup.procs" },
	{ "v1: another's, tasks", V1, "tasks" },
	{ "v1: another's, cgroup.procs", V1, "cgroup.procs" },
	{ "v2: the process itself, cgroup.procs", V2 | ITSELF, "cgroup.procs" },
	{ "v2: another's, cgroup.procs", V2, "cgroup.procs" },
	{ "all: another's, conex_cgroup_add", CONEX, NULL },
	{ "(clone3 and its end, for comparison)", CLONE, NULL },
	{ "v2: clone3 and its end, CLONE_INTO_CGROUP", CLONE | INTO, NULL },
};
enum { KINDS = sizeof kinds / sizeof *kinds, BURST = 5, PACE_MS = 50 };

struct attach {
	const struct place *place;
	conex *cx;
	conex_cgroup *group[2];
	struct mover { pid_t pid; int to, from, turn; } mover[KINDS];
	int out[KINDS];
	double *us[KINDS];
	size_t count[KINDS];
	int v2_dir[2];                  /* group directories of v2's hierarchy; -1: none */
};

static int move(const struct place *p, const struct kind *k, int group, const char *who)
{
	char name[16];
	int result = 0;

	snprintf(name, sizeof name, "attach-%d", group);
	for (int i = 0; result == 0 && i < p->floor.hierarchies; i++)
		if (k->how & (p->floor.hierarchy[i].v2 ? V2 : V1))
			result = place_write(p->floor.hierarchy[i].parent_fd, name, k->file, who);
	return result;
}

/* A process that waits for the number of a group, goes there, and answers how long it took. */
static void serve(const struct place *p, const struct kind *k, int from, int to)
{
	char group;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(from, &group, 1) == 1) {
		double us;
		int result = 0;

		lap_begin();
		if (k->how & ITSELF)
			result = move(p, k, group, "0");
		us = result < 0 ? result : lap_end();
		if (write(to, &us, sizeof us) != sizeof us)
			break;
	}
	_exit(0);
}

static int start_mover(struct attach *a, int kind)
{
	struct mover *m = &a->mover[kind];
	int there[2], back[2];

	if (pipe(there) < 0 || pipe(back) < 0)
		return -errno;
	m->pid = fork();
	if (m->pid == 0) {
		close(there[1]);
		serve(a->place, &kinds[kind], there[0], back[1]);
	}
	close(there[0]);
	close(back[1]);
	m->to = there[1];
	m->from = back[0];
	return m->pid < 0 ? -errno : 0;
}

static int start_and_end(const struct attach *a, const struct kind *k, int group)
{
	struct cx_clone_args args = { .flags = k->how & INTO ? CX_CLONE_INTO_CGROUP : 0, .exit_signal = SIGCHLD,
		.cgroup = k->how & INTO ? (uint64_t)a->v2_dir[group] : 0 };
	siginfo_t info;
	long pid = syscall(SYS_clone3, &args, sizeof args);

	if (pid == 0)
		syscall(SYS_exit_group, 0);
	return pid < 0 || waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 ? -errno : 0;
}

/* us, or -errno */
static double attach_once(struct attach *a, int kind)
{
	struct mover *m = &a->mover[kind];
	const char group = (char)(m->turn++ & 1);
	char who[16];
	int result;
	double us;

	if (kinds[kind].how & ITSELF) {
		if (write(m->to, &group, 1) != 1 || read(m->from, &us, sizeof us) != sizeof us)
			return -EIO;
		return us;
	}
	snprintf(who, sizeof who, "%d", (int)m->pid);
	lap_begin();
	if (kinds[kind].how & CLONE)
		result = start_and_end(a, &kinds[kind], group);
	else if (kinds[kind].how & CONEX)
		result = conex_cgroup_add(a->group[(int)group], m->pid, NULL);
	else
		result = move(a->place, &kinds[kind], group, who);
	us = lap_end();
	return result < 0 ? result : us;
}

static void burst(struct bench_report *r, struct attach *a, int kind, int times, int counts)
{
	for (int i = 0; i < times; i++) {
		double us = attach_once(a, kind);

		if (us < 0) {
			a->out[kind] = 1;
			bench_note(r, "attach: %s: %s", kinds[kind].name, strerror(-(int)us));
			return;
		}
		if (counts && (times == 1 || i > 0))
			a->us[kind][a->count[kind]++] = us;
	}
}

static void rounds(struct bench_report *r, struct attach *a, int n, int paced)
{
	int64_t next = bench_now_ns();
	int each = paced ? 1 : BURST, total = (n + each - 1) / each;

	memset(a->count, 0, sizeof a->count);
	for (int round = -1; round < total; round++)
		for (int k = 0; k < KINDS; k++) {
			if (a->out[k])
				continue;
			if (paced)
				bench_pace(&next, PACE_MS);
			burst(r, a, k, paced ? 1 : BURST + 1, round >= 0);
		}
	for (int k = 0; k < KINDS; k++)
		if (!a->out[k])
			bench_detail(r, "attach", kinds[k].name, paced ? "paced" : "hot", "us", a->us[k],
				a->count[k]);
}

static int prepare(struct attach *a, int room)
{
	int result = conex_open(NULL, &a->cx, NULL);

	for (int i = 0; result >= 0 && i < 2; i++) {
		char name[16];

		snprintf(name, sizeof name, "attach-%d", i);
		result = place_mkdir(a->place, name);
		for (int h = 0; result == 0 && h < a->place->floor.hierarchies; h++)
			if (a->place->floor.hierarchy[h].v2)
				a->v2_dir[i] = openat(a->place->floor.hierarchy[h].parent_fd, name,
					O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (result == 0)
			result = conex_cgroup_create(a->cx, name, NULL, &a->group[i], NULL);
	}
	for (int k = 0; result >= 0 && k < KINDS; k++) {
		a->us[k] = calloc((size_t)room, sizeof(double));
		result = a->us[k] ? start_mover(a, k) : -ENOMEM;
	}
	return result;
}

/* A machine without v1, or without v2, has fewer ways. */
static void leave_out(struct attach *a)
{
	int have = 0;

	for (int i = 0; i < a->place->floor.hierarchies; i++)
		have |= a->place->floor.hierarchy[i].v2 ? V2 | INTO : V1;
	for (int k = 0; k < KINDS; k++)
		a->out[k] = (kinds[k].how & (V1 | V2 | INTO) & ~have) != 0;
}

static void finish(struct attach *a)
{
	for (int k = 0; k < KINDS; k++) {
		if (a->mover[k].pid > 0) {
			lap_process_end(a->mover[k].pid);
			close(a->mover[k].to);
			close(a->mover[k].from);
		}
		free(a->us[k]);
	}
	place_rmdir(a->place, "attach-0");
	place_rmdir(a->place, "attach-1");
	for (int i = 0; i < 2; i++) {
		if (a->group[i])
			conex_cgroup_delete(a->group[i], -1, NULL);
		conex_cgroup_free(a->group[i]);
		if (a->v2_dir[i] >= 0)
			close(a->v2_dir[i]);
	}
	conex_close(a->cx);
}

void attach_measure(struct bench_report *r, const struct place *p, int n, int n_paced)
{
	struct attach a = { .place = p, .v2_dir = { -1, -1 } };
	int result = prepare(&a, n + n_paced + BURST);

	leave_out(&a);
	if (result < 0) {
		bench_note(r, "no attach was measured: %s", strerror(-result));
	} else {
		rounds(r, &a, n, 0);
		rounds(r, &a, n_paced, 1);
	}
	finish(&a);
}
