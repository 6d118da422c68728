/* What tests/system/cgroup.c stands on: the context's stubs, detection of layouts, small helpers. */
#ifndef CONEX_TEST_CGROUP_FIXTURE_H
#define CONEX_TEST_CGROUP_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/cleanup.h"
#include "base/kernel.h"
#include "cgroup/internal.h"
#include "keeper/child.h"
#include "state/context-cgroup.h"
#include "../test.h"
#include "tell.h"

static char parent[64], *mounts, *self;
static struct cx_cgroups *g;

/* What lib/container will be to this module. */
struct conex { const struct cx_cgroups *g; char journal[64]; int watched; };

const struct cx_cgroups *cx_context_cgroups(conex *cx, conex_error **err)
{
	(void)err;
	return cx->g;
}

int cx_context_journal_cgroup(conex *cx, const char *name, const char *path, conex_error **err)
{
	(void)err;
	CHECK(strstr(path, name));
	snprintf(cx->journal, sizeof cx->journal, "%s", name);
	return 0;
}

void cx_context_cgroup_ref(conex *cx)
{
	(void)cx;
}

void cx_context_cgroup_unref(conex *cx)
{
	(void)cx;
}

void cx_context_journal_forget(conex *cx, const char *name)
{
	CHECK_STR(cx->journal, name);
	cx->journal[0] = '\0';
}

int cx_context_watch_cgroup(conex *cx, const char *name, const char *path, const char *what, void *data,
	conex_error **err)
{
	struct cx_cgroup_watch w;
	int r = cx_cgroup_watch_parse(cx->g, what, &w, err);

	(void)name;
	(void)data;
	cx->watched++;
	return r < 0 ? r : cx_cgroup_watch_begin(cx->g, path, &w, err);
}

int cx_child_fail(struct cx_child *c, enum cx_call call, const char *detail)
{
	int saved = errno;

	(void)c;
	printf("# child: call %d on %s: %s\n", (int)call, detail ? detail : "", strerror(saved));
	fflush(stdout);
	return -saved;
}

static inline char *path_of(const char *id)
{
	char *path = NULL;

	CHECK_INT(TELL(cx_cgroup_path(g, NULL, id, &path, &err)), 0);
	return path;
}

/* A new cgroup with these limits; its path. */
static inline char *make(const char *id, const struct conex_limits *limits)
{
	char *path = path_of(id);
	struct cx_cgroup_limits *l = NULL;
	json_t *json = NULL;

	CHECK_INT(TELL(cx_cgroup_limits_json(limits, &json, &err)), 0);
	CHECK_INT(TELL(cx_cgroup_limits_compile(g, json, &l, &err)), 0);
	CHECK_INT(TELL(cx_cgroup_make(g, path, l, &err)), 0);
	cx_cgroup_limits_free(l);
	json_decref(json);
	return path;
}

static inline void gone(char *path)
{
	struct stat st;

	CHECK_INT(TELL(cx_cgroup_remove(g, path, &err)), 1);
	for (size_t i = 0; i < g->count; i++)
		CHECK(fstatat(g->h[i].fd, path, &st, 0) < 0 && errno == ENOENT);
	free(path);
}

/* In a child: into the cgroup, as containers go there, but for v2, which the keeper's clone does. */
static inline void join_cgroup(const char *path)
{
	for (size_t i = 0; i < g->count; i++) {
		int r = cx_cgroup_write(&g->h[i], path, g->h[i].driver->v2 ? "cgroup.procs" : "tasks", "0");

		if (r < 0) {
			printf("# joining %s/%s: %s\n", g->h[i].mount, path, strerror(-r));
			fflush(stdout);
			_exit(99);
		}
	}
}

/* As a container makes them, in itself: without handing controllers on, so that v2 lets processes in. */
static inline void make_below(const char *path)
{
	for (size_t i = 0; i < g->count; i++)
		CHECK(mkdirat(g->h[i].fd, path, 0755) == 0);
}

static inline int status_of(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* Takes the lines of v2's mounts (or of v1's) out of a mount table. */
static inline void hide(const char *type)
{
	cx_autofree char *copy = strdup(mounts);
	char *save = NULL, *to = mounts;

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (!strstr(line, type))
			to += sprintf(to, "%s\n", line);
	*to = '\0';
}

static inline int detect_without(const char *type)
{
	CHECK(cx_file_load(AT_FDCWD, "/proc/self/mountinfo", 1 << 22, &mounts) > 0);
	hide(type);
	CHECK_INT(cx_cgroups_parse(mounts, self, &g), 0);
	free(mounts);
	if (g->count && CHECK_INT(TELL(cx_cgroups_settle(g, parent, &err)), 0) && g->count)
		return 1;
	cx_cgroups_free(g);
	g = NULL;
	return 0;
}

#endif
