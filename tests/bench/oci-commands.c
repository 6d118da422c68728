/* What is measured: the commands of one runtime on a bundle of its own, called by oci-world.c. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "bench.h"
#include "oci.h"
#include "peak.h"

enum { TRIES = 3, PATIENCE_MS = 10000 };

/* A call of a runtime: PROGRAM --root DIR VERB …, and where all that lies. */
struct call {
	char program[SPAWN_PATH], root[128], log[128], pid_file[128];
	const char *args[12];
};

static int prepare(struct call *c, const struct setup *s, const struct runtime *r)
{
	if (r->program[0] != '/' && spawn_find(r->program, c->program) < 0)
		return -ENOENT;
	if (r->program[0] == '/')
		snprintf(c->program, sizeof c->program, "%s", r->program);
	snprintf(c->root, sizeof c->root, "%s/%s-state", s->dir, r->name);
	snprintf(c->log, sizeof c->log, "%s/%s.log", s->dir, r->name);
	snprintf(c->pid_file, sizeof c->pid_file, "%s/%s.pid", s->dir, r->name);
	return 0;
}

static const char *const *line(struct call *c, const char *const *words)
{
	int n = 0;

	c->args[n++] = c->program;
	c->args[n++] = "--root";
	c->args[n++] = c->root;
	while (*words)
		c->args[n++] = *words++;
	c->args[n] = NULL;
	return c->args;
}
#define LINE(c, ...) line(c, (const char *const[]){ __VA_ARGS__, NULL })

/* Exit status or -errno. */
static int command(struct call *c, const char *const *args)
{
	return spawn_wait(spawn_program(c->program, args, c->log, NULL));
}

/* A bundle NAME-KIND with process.args and, unless 0, a memory limit. `setup` is this process's own. */
static int bundle(const struct setup *s, const struct runtime *r, const char *kind, json_t *args, uint64_t limit,
	char *ret)
{
	json_t *linux_ = json_object_get(s->spec, "linux"), *before = json_incref(json_object_get(linux_, "resources"));
	char name[64], cgroup[96];
	int result;

	snprintf(name, sizeof name, "%s-%s", r->name, kind);
	snprintf(cgroup, sizeof cgroup, "/" SETUP_CGROUP "/%s", name);
	json_object_set_new(json_object_get(s->spec, "process"), "args", args);
	if (limit)
		json_object_set_new(linux_, "resources", json_pack("{s:{s:I, s:I}}", "memory", "limit",
			(json_int_t)limit, "swap", (json_int_t)limit));
	result = setup_bundle(s, name, cgroup, r->plain, ret);
	if (before)
		json_object_set_new(linux_, "resources", before);
	else
		json_object_del(linux_, "resources");
	return result;
}

static double ms_since(int64_t start)
{
	return (double)(bench_now_ns() - start) / 1e6;
}

static int run_once(struct call *c, const char *dir, const char *id, double *ms)
{
	const char *const *args = LINE(c, "run", "--bundle", dir, id);
	int64_t start = bench_now_ns();
	int result = command(c, args);

	*ms = ms_since(start);
	return result;
}

static pid_t read_pid(const char *path)
{
	FILE *file = fopen(path, "re");
	int pid = 0;

	if (file && fscanf(file, "%d", &pid) != 1)
		pid = 0;
	if (file)
		fclose(file);
	return pid;
}

/* The container is this process's child by now: it is the subreaper. */
static int live_once(struct call *c, const char *dir, const char *id, double step[OCI_STEPS])
{
	int64_t start = bench_now_ns();
	int result = command(c, LINE(c, "create", "--bundle", dir, "--pid-file", c->pid_file, id));

	step[OCI_CREATE] = ms_since(start);
	if (result)
		return result;
	start = bench_now_ns();
	result = command(c, LINE(c, "start", id));
	step[OCI_START] = ms_since(start);
	start = bench_now_ns();
	if (result == 0)
		result = spawn_wait(read_pid(c->pid_file));
	step[OCI_WAIT] = ms_since(start);
	start = bench_now_ns();
	if (result == 0)
		result = command(c, LINE(c, "delete", id));
	step[OCI_DELETE] = ms_since(start);
	return result;
}

/* ---- exec: into a container that sleeps ---- */

static int exec_begin(struct call *c, const struct setup *s, const struct runtime *r, const char *id)
{
	char dir[128];
	int result = bundle(s, r, "exec", json_pack("[s, s]", "/bin/sleep", "1000000"), 0, dir);

	if (result == 0)
		result = command(c, LINE(c, "create", "--bundle", dir, "--pid-file", c->pid_file, id));
	return result ? result : command(c, LINE(c, "start", id));
}

static int exec_once(struct call *c, const char *id, double *ms)
{
	const char *const *args = LINE(c, "exec", id, "/bin/true");
	int64_t start = bench_now_ns();
	int result = command(c, args);

	*ms = ms_since(start);
	return result;
}

static int exec_end(struct call *c, const char *id)
{
	int result = command(c, LINE(c, "kill", id, "KILL"));

	if (result == 0)
		spawn_wait(read_pid(c->pid_file));
	return result ? result : command(c, LINE(c, "delete", id));
}

/* ---- how little memory is enough ---- */

static int wait_patiently(pid_t pid)
{
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };

	if (pid < 0)
		return pid;
	if (p.fd >= 0 && poll(&p, 1, PATIENCE_MS) == 0)
		kill(pid, SIGKILL);
	if (p.fd >= 0)
		close(p.fd);
	return spawn_wait(pid);
}

/* What a failed start may have left: told to go, and reaped. */
static void clean_up(struct call *c, const char *id)
{
	command(c, LINE(c, "delete", "--force", id));
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static int starts_with(struct call *c, const struct setup *s, const struct runtime *r, uint64_t limit)
{
	char dir[128], id[64];
	int result = bundle(s, r, "limit", json_pack("[s]", "/bin/true"), limit, dir);

	snprintf(id, sizeof id, "%s-limit", r->name);
	for (int i = 0; result == 0 && i < TRIES; i++)
		result = wait_patiently(spawn_program(c->program, LINE(c, "run", "--bundle", dir, id), c->log, NULL));
	if (result)
		clean_up(c, id);
	return result;
}

/* ---- */

/* The first line. Without a shell: the newer system's files have none. */
static int read_version(const char *program, char *text)
{
	int ends[2], null;
	ssize_t n;
	pid_t pid;

	if (pipe(ends) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		null = open("/dev/null", O_WRONLY);
		dup2(ends[1], 1);
		dup2(null, 2);
		close(ends[0]);
		execl(program, program, "--version", NULL);
		_exit(127);
	}
	close(ends[1]);
	n = read(ends[0], text, OCI_TEXT - 1);
	close(ends[0]);
	spawn_wait(pid);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return text[0] ? 0 : -ENOENT;
}

static int repeat(struct call *c, const struct setup *s, const struct runtime *r, const struct oci_request *q,
	struct oci_reply *a)
{
	char dir[128], id[64];
	int result = 0;

	snprintf(id, sizeof id, "%s-exec", r->name);
	if (q->what != OCI_EXEC) {
		snprintf(id, sizeof id, "%s-run", r->name);
		result = bundle(s, r, "run", json_pack("[s]", "/bin/true"), 0, dir);
	}
	for (int i = 0; result == 0 && i < q->count; i++) {
		if (q->what == OCI_RUN)
			result = run_once(c, dir, id, &a->value[i]);
		else if (q->what == OCI_EXEC)
			result = exec_once(c, id, &a->value[i]);
		else
			result = live_once(c, dir, id, a->step[i]);
		for (int k = 0; q->what == OCI_LIFE && k < OCI_STEPS; k++)
			a->value[i] += a->step[i][k];
	}
	return result;
}

struct execution { const char *program, *log; const char *const *args; };

static int execute(void *data)
{
	const struct execution *e = data;
	int null = open("/dev/null", O_RDWR), to = open(e->log, O_WRONLY | O_CREAT | O_APPEND, 0600);

	dup2(null, 0);
	dup2(null, 1);
	dup2(to, 2);
	execv(e->program, (char **)e->args);
	_exit(127);
}

static int measure_memory(struct call *c, const struct setup *s, const struct runtime *r, double *kib)
{
	char dir[128], id[64];
	long peak = bundle(s, r, "run", json_pack("[s]", "/bin/true"), 0, dir);

	snprintf(id, sizeof id, "%s-run", r->name);
	if (peak == 0)
		peak = bench_peak(execute, &(struct execution){ c->program, c->log, LINE(c, "run", "--bundle", dir, id) }, 1);
	*kib = (double)peak;
	return peak > 0 ? 0 : peak < -1000 ? (int)(-1000 - peak) : (int)peak;
}

void oci_serve(const struct setup *s, const struct runtime *r, const struct oci_request *q, struct oci_reply *a)
{
	struct call c;
	char id[64];

	memset(a, 0, sizeof *a);
	a->result = prepare(&c, s, r);
	if (a->result < 0) {
		snprintf(a->text, sizeof a->text, "%s is not installed", r->program);
		return;
	}
	snprintf(id, sizeof id, "%s-exec", r->name);
	switch (q->what) {
	case OCI_VERSION: a->result = read_version(c.program, a->text); return;
	case OCI_EXEC_BEGIN: a->result = exec_begin(&c, s, r, id); break;
	case OCI_EXEC_END: a->result = exec_end(&c, id); break;
	case OCI_MEMORY: a->result = measure_memory(&c, s, r, &a->value[0]); break;
	case OCI_LIMIT: a->result = starts_with(&c, s, r, q->limit); break;
	default: a->result = repeat(&c, s, r, q, a);
	}
	if (a->result)
		snprintf(a->text, sizeof a->text, "it ended with %d", a->result);
	if (a->result)
		setup_last_line(s, r->name, a->text, sizeof a->text);
}
