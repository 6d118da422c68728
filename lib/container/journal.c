/* What is written down of a container before it exists, and of its first process when it does. */
#include "container/container.h"
#include "base/path.h"

#include <stdio.h>
#include <string.h>

static void note_owner(struct cx_journal *j, const char *key, pid_t pid, uint64_t start)
{
	char text[64];

	snprintf(text, sizeof text, "%d %llu", (int)pid, (unsigned long long)start);
	cx_journal_note(j, key, text);
}

/* One file for all containers of the plan. */
static int put_shared_spec(conex_plan *p, conex_error **err)
{
	cx_autofree char *json = p->spec_name ? NULL : json_dumps(p->spec, JSON_COMPACT);
	char name[33];
	int r;

	if (p->spec_name)
		return 0;
	r = json ? cx_state_put_spec(p->cx->state, json, strlen(json), name, err) : cx_fail_memory(err);
	if (r == 0 && !(p->spec_name = strdup(name)))
		r = cx_fail_memory(err);
	return r;
}

/* A released container may be deleted when this process is long gone: its spec goes with its journal. Only
 * once that exists, and the id with it, is ours: what is under this id before may be another one's. */
static int put_own_spec(conex_container *c, struct cx_journal *j, conex_error **err)
{
	struct cx_state *s = c->task.cx->state;
	cx_autofree char *json = json_dumps(c->task.plan->spec, JSON_COMPACT), *path = NULL;
	int r = json ? cx_state_put_spec_of(s, c->id, json, strlen(json), c->spec_name, err) : cx_fail_memory(err);

	if (r == 0 && asprintf(&path, "%s/specs/%s.json", s->path, c->spec_name) < 0)
		r = cx_fail_memory(err);
	if (r < 0)
		return r;
	cx_journal_undo(j, CX_OP_undo_unlink, path);
	cx_journal_note(j, "spec", c->spec_name);
	return cx_journal_flush(j, err);
}

/* What other processes need to know of it: only where others can look. */
static int note_public(conex_container *c, struct cx_journal *j, conex_error **err)
{
	conex_plan *p = c->task.plan;
	struct cx_state *s = c->task.cx->state;
	const char *bundle = p->bundle ? p->bundle : cx_json_text(p->spec, "root.path");
	char text[40];
	int r = cx_is_released(c->task.cx) ? 0 : put_shared_spec(p, err);

	if (r < 0)
		return r;
	note_owner(j, "owner", s->self.pid, s->self.start);
	if (!cx_is_released(c->task.cx))
		cx_journal_note(j, "spec", p->spec_name);
	cx_journal_note(j, "bundle", bundle ? bundle : "");
	snprintf(text, sizeof text, "%lld", (long long)c->created_at_ns);
	cx_journal_note(j, "created", text);
	for (char **label = c->labels; label && *label; label++)
		cx_journal_note(j, "label", *label);
	return 0;
}

int cx_container_journal(conex_container *c, conex_error **err)
{
	struct cx_state *s = c->task.cx->state;
	struct cx_journal *j;
	int r = cx_journal_create(s, c->id, &j, err);

	if (r < 0)
		return r;
	cx_journal_note(j, "cgroup", c->cgroup);
	if (cx_is_released(c->task.cx)) {
		cx_autofree char *path = NULL;

		if (asprintf(&path, "%s/sockets/%s", s->path, c->id) < 0)
			r = cx_fail_memory(err);
		else
			cx_journal_undo(j, CX_OP_undo_unlink, path);
	}
	if (c->by_systemd)
		cx_journal_note(j, "scope", c->by_systemd == CX_BY_USER_SYSTEMD ? "user" : "system");
	if (c->by_systemd)
		cx_journal_undo(j, CX_OP_undo_scope, c->cgroup);
	else
		cx_journal_undo(j, CX_OP_undo_cgroup, c->cgroup);
	if (r == 0 && !s->is_private)
		r = note_public(c, j, err);
	if (r == 0)
		r = cx_journal_flush(j, err);
	c->journalled = r == 0;
	if (r == 0 && cx_is_released(c->task.cx))
		r = put_own_spec(c, j, err);
	cx_journal_free(j);
	return r;
}

/* The first process, for whoever looks later; of a released container it is the owner as well. */
void cx_container_note_pid(conex_container *c)
{
	conex *cx = c->task.cx;
	struct cx_journal *j;
	uint64_t start;
	char text[64];

	if (cx->state->is_private || cx_journal_open(cx->state, c->id, &j, NULL) < 0)
		return;
	start = cx_process_start(c->task.pid);
	note_owner(j, "pid", c->task.pid, start);
	if (cx_is_released(cx)) {
		snprintf(text, sizeof text, "released %d %llu", (int)c->task.pid, (unsigned long long)start);
		cx_journal_note(j, "owner", text);
	} else {
		note_owner(j, "keeper", cx->keeper->pid, cx_process_start(cx->keeper->pid));
	}
	if (cx_journal_flush(j, NULL) < 0)
		cx_log(cx, 4, "container %s: its pid could not be noted", c->id);
	cx_journal_free(j);
}
