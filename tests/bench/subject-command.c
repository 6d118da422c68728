/* The rows crun, crun-plain, runc and bwrap: programs started as a careful host would (spawn.c). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "spawn.h"
#include "subject.h"

enum { COMMAND_ARGS = 64 };

struct command {
	char program[SPAWN_PATH];
	char log[128];                          /* their stderr */
	char text[SUBJECT_WORKERS][3][128];     /* root, bundle, id */
	const char *args[SUBJECT_WORKERS][COMMAND_ARGS];
	const char *filter;                     /* file to be open as SPAWN_FILTER_FD; NULL */
};

static int command_once(void *own, int worker)
{
	const struct command *c = own;

	return spawn_wait(spawn_program(c->program, c->args[worker], c->log, c->filter));
}

static struct command *command_new(const struct subject *subject, const struct setup *s, char *why)
{
	struct command *c = calloc(1, sizeof *c);

	if (c && spawn_find(subject->program, c->program) < 0) {
		snprintf(why, SUBJECT_WHY, "%s is not installed", subject->program);
		free(c);
		return NULL;
	}
	if (c)
		snprintf(c->log, sizeof c->log, "%s/%s.log", s->dir, subject->name);
	return c;
}

/* crun and runc alike: [--root DIR] run --bundle DIR ID, in cgroup /conex-bench/NAME-WORKER. */
static int runtime_open(const struct subject *subject, const struct setup *s, void **ret, char *why)
{
	struct command *c = command_new(subject, s, why);
	char cgroup[192];
	int result = c ? 0 : -ENOENT;

	for (int w = 0; result == 0 && w < SUBJECT_WORKERS; w++) {
		char *root = c->text[w][0], *bundle = c->text[w][1], *id = c->text[w][2];

		snprintf(root, 128, "%s/%s-state", s->dir, subject->name);
		snprintf(id, 128, "%s-%d", subject->name, w);
		snprintf(cgroup, sizeof cgroup, "/" SETUP_CGROUP "/%s", id);
		result = setup_bundle(s, id, cgroup, subject->plain, bundle);
		memcpy(c->args[w], (const char *[]){ c->program, "--root", root, "run", "--bundle",
			bundle, id, NULL }, 8 * sizeof(char *));
	}
	if (result < 0) {
		free(c);
		return result;
	}
	*ret = c;
	return 0;
}

/* What of the default spec bwrap can do; it knows no cgroups, masks or rlimits, so it does less. */
static int bwrap_open(const struct subject *subject, const struct setup *s, void **ret, char *why)
{
	struct command *c = command_new(subject, s, why);
	const char *const args[] = {
		"bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts",
		"--unshare-cgroup", "--as-pid-1", "--die-with-parent", "--new-session",
		"--hostname", "conex", "--clearenv", "--setenv", "PATH", "/usr/sbin:/usr/bin:/sbin:/bin",
		"--bind", s->rootfs, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm",
		"--mqueue", "/dev/mqueue", "--ro-bind", "/sys", "/sys", "--chdir", "/",
		"--cap-drop", "ALL", "--cap-add", "CAP_AUDIT_WRITE", "--cap-add", "CAP_KILL",
		"--cap-add", "CAP_NET_BIND_SERVICE",
	};
	const size_t n = sizeof args / sizeof *args;

	if (!c)
		return -ENOENT;
	if (s->filter.len)
		c->filter = s->filter_path;
	for (int w = 0; w < SUBJECT_WORKERS; w++) {
		const char **at = c->args[w];

		memcpy(at, args, sizeof args);
		at += n;
		if (c->filter) {
			*at++ = "--seccomp";
			*at++ = "9"; /* SPAWN_FILTER_FD */
		}
		*at = "/bin/true";
	}
	*ret = c;
	return 0;
}

const struct subject subject_crun = {
	.name = "crun", .program = "crun", .host = HOST_PEERS,
	.open = runtime_open, .launch = command_once, .close = free,
};
/* crun compiles the filter anew each time, which is most of its time: this row is without any. */
const struct subject subject_crun_plain = {
	.name = "crun-plain", .program = "crun", .plain = 1, .host = HOST_PEERS,
	.open = runtime_open, .launch = command_once, .close = free,
};
const struct subject subject_runc = {
	.name = "runc", .program = "runc", .host = HOST_PEERS,
	.open = runtime_open, .launch = command_once, .close = free,
};
const struct subject subject_bwrap = {
	.name = "bwrap", .program = "bwrap", .host = HOST_PEERS,
	.open = bwrap_open, .launch = command_once, .close = free,
};
