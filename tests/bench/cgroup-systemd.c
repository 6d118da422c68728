/* The rows of systemd, where it is PID 1: a scope, which is a unit for processes that others have started. Over the
 * bus as its manual says (org.freedesktop.systemd1, StartTransientUnit), and by the command. libsystemd is
 * loaded if it is there. */
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cgroup.h"
#include "spawn.h"

enum { GONE_S = 60 };
#define WHERE "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"
#define SCOPE "conex-bench-%d-%d.scope"

struct systemd {
	void *bus;
	int (*open)(void **bus);
	void *(*unref)(void *bus);
	int (*call)(void *bus, const char *where, const char *path, const char *interface, const char *method,
		void *error, void **reply, const char *types, ...);
	int (*match)(void *bus, void **slot, const char *sender, const char *path, const char *interface,
		const char *member, int (*fn)(void *, void *, void *), void *data);
	int (*process)(void *bus, void **message);
	int (*wait)(void *bus, uint64_t us);
	int (*read)(void *message, const char *types, ...);
	int number, started;
	char program[SPAWN_PATH];
	char unit[64], group[CGROUP_PATH];
};

static int take(struct systemd *s)
{
	void *library = dlopen("libsystemd.so.0", RTLD_NOW);
	struct { const char *name; void *to; } function[] = {
		{ "sd_bus_open_system", &s->open }, { "sd_bus_flush_close_unref", &s->unref },
		{ "sd_bus_call_method", &s->call }, { "sd_bus_match_signal", &s->match },
		{ "sd_bus_process", &s->process }, { "sd_bus_wait", &s->wait },
		{ "sd_bus_message_read", &s->read },
	};

	for (size_t i = 0; i < sizeof function / sizeof *function; i++) {
		void *found = library ? dlsym(library, function[i].name) : NULL;

		if (!found)
			return -ENOENT;
		memcpy(function[i].to, &found, sizeof found);
	}
	return 0;
}

/* JobRemoved(id, job, unit, result): is it ours? */
static int job_removed(void *message, void *data, void *error)
{
	struct systemd *s = data;
	const char *job, *unit, *result;
	uint32_t id;

	(void)error;
	if (s->read(message, "uoss", &id, &job, &unit, &result) >= 0 && !strcmp(unit, s->unit))
		s->started = !strcmp(result, "done") ? 1 : -1;
	return 0;
}

static int systemd_open(const struct way *w, const struct place *p, void **ret, char *why)
{
	struct systemd *s;
	int result = 0;

	(void)p;
	if (access("/run/systemd/system", F_OK) < 0) {
		snprintf(why, CGROUP_WHY, "systemd isn't PID 1 here");
		return -ENOTSUP;
	}
	s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	if (w == &way_systemd_run)
		result = spawn_find("systemd-run", s->program);
	else if ((result = take(s)) == 0 && (result = s->open(&s->bus)) >= 0)
		result = s->match(s->bus, NULL, WHERE, "JobRemoved", job_removed, s);
	if (result < 0) {
		snprintf(why, CGROUP_WHY, "%s", strerror(-result));
		free(s);
		return result;
	}
	*ret = s;
	return 0;
}

static void systemd_close(void *own)
{
	struct systemd *s = own;

	if (s->bus)
		s->unref(s->bus);
	free(s);
}

static void name_unit(struct systemd *s)
{
	snprintf(s->unit, sizeof s->unit, SCOPE, (int)getpid(), s->number++);
	snprintf(s->group, sizeof s->group, "/sys/fs/cgroup/system.slice/%s", s->unit);
}

/* Done when the job is: then the process is in, and the limits are written. */
static int systemd_make(void *own, pid_t pid)
{
	struct systemd *s = own;
	int result;

	name_unit(s);
	s->started = 0;
	result = s->call(s->bus, WHERE, "StartTransientUnit", NULL, NULL, "ssa(sv)a(sa(sv))", s->unit, "fail", 5,
		"PIDs", "au", 1, (uint32_t)pid, "MemoryMax", "t", UINT64_C(67108864), "MemorySwapMax", "t",
		UINT64_C(0), "TasksMax", "t", UINT64_C(100), "CPUQuotaPerSecUSec", "t", UINT64_C(500000), 0);
	while (result >= 0 && !s->started) {
		result = s->process(s->bus, NULL);
		if (result == 0 && !s->started)
			result = s->wait(s->bus, UINT64_MAX);
	}
	if (result < 0)
		fprintf(stderr, "bench cgroup: systemd: %s\n", strerror(-result));
	return result < 0 ? result : s->started > 0 ? 0 : -EIO;
}

/* It notices by itself that the scope is empty. */
static int await_removal(const struct systemd *s)
{
	int64_t until = bench_now_ns() + GONE_S * INT64_C(1000000000);

	while (access(s->group, F_OK) == 0) {
		if (bench_now_ns() > until)
			return -ETIMEDOUT;
		usleep(100);
	}
	return 0;
}

static int systemd_remove(void *own)
{
	return await_removal(own);
}

/* A process of its own instead of the one given: `true`, until it has ended. */
static int systemd_run_make(void *own, pid_t pid)
{
	struct systemd *s = own;
	char unit[80];
	const char *const args[] = { s->program, "--scope", "--quiet", unit, "-p", "MemoryMax=64M", "-p",
		"MemorySwapMax=0", "-p", "TasksMax=100", "-p", "CPUQuota=50%", "true", NULL };

	(void)pid;
	name_unit(s);
	snprintf(unit, sizeof unit, "--unit=%s", s->unit);
	return spawn_wait(spawn_program(s->program, args, "/dev/null", NULL)) ? -EIO : 0;
}

const struct way way_systemd = {
	"systemd", systemd_open, systemd_make, systemd_remove, systemd_close, NULL,
};
const struct way way_systemd_run = {
	"systemd-run", systemd_open, systemd_run_make, systemd_remove, systemd_close, NULL,
};
