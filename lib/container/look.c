/* Looking at containers: the list of a state directory, one as JSON, a launch's timeline. */
#include "container/container.h"
#include "plan/build.h"

#include <string.h>

static const char *state_name(int state)
{
	switch (state) {
	case CONEX_CREATING: return "creating";
	case CONEX_HELD: return "created";
	case CONEX_RUNNING: return "running";
	case CONEX_PAUSED: return "paused";
	default: return "stopped";
	}
}

/* The OCI runtime-spec's state, and what else is known. */
int conex_container_json(conex_container *c, char **ret_json, conex_error **err)
{
	int state = conex_container_state(c), r = cx_context_lock(c->task.cx, err);
	const json_t *spec = c->task.plan ? c->task.plan->spec : c->spec;
	const char *root = cx_json_text(spec, "root.path"), *version = cx_json_text(spec, "ociVersion");
	json_t *json, *labels = json_object();
	char *text;

	if (r < 0) {
		json_decref(labels);
		return r;
	}
	for (char **label = c->labels; label && *label; label++) {
		const char *equals = strchr(*label, '=');

		json_object_setn_new(labels, *label, (size_t)(equals - *label), json_string(equals + 1));
	}
	json = json_pack("{s:s, s:s, s:s, s:i, s:s, s:o, s:s, s:I}", "ociVersion", version ? version : "1.0.2",
		"id", c->id, "status", state_name(state), "pid", state == CONEX_RUNNING || state == CONEX_HELD
		|| state == CONEX_PAUSED ? (int)c->task.pid : 0, "bundle", c->bundle ? c->bundle : root ? root : "",
		"labels", labels, "cgroup", c->cgroup ? c->cgroup : "", "created_at_ns", (json_int_t)c->created_at_ns);
	if (json && cx_json_at(spec, "annotations"))
		json_object_set(json, "annotations", cx_json_at(spec, "annotations"));
	cx_context_unlock(c->task.cx);
	text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	json_decref(json);
	if (!text)
		return cx_fail_memory(err);
	*ret_json = text;
	return 0;
}

int conex_container_spec(conex_container *c, conex_spec **ret, conex_error **err)
{
	conex_spec *spec = calloc(1, sizeof *spec);
	int r = spec ? cx_context_lock(c->task.cx, err) : cx_fail_memory(err);

	if (r == 0) {
		const json_t *of = c->task.plan ? c->task.plan->spec : c->spec;

		spec->root = of ? json_deep_copy(of) : NULL;
		cx_context_unlock(c->task.cx);
		if (!of)
			r = cx_fail(err, CONEX_STAGE_RUN, -ENOENT, NULL, NULL, "container %s was deleted", c->id);
		else if (!spec->root)
			r = cx_fail_memory(err);
	}
	if (r < 0)
		free(spec);
	else
		*ret = spec;
	return r;
}

int conex_container_timeline(conex_container *c, char **ret_json, conex_error **err)
{
	const struct cx_task *t = &c->task;
	const struct cx_op *op = t->plan ? (const struct cx_op *)(t->plan->bytes + 1) : NULL;
	json_t *list;
	char *text;

	if (!t->timeline || !op)
		return cx_fail(err, CONEX_STAGE_RUN, -ENODATA, NULL, "launch it with CONEX_RUN_TIMELINE", "container %s", c->id);
	list = json_array();
	for (uint32_t i = 0; i + 1 < t->timeline_size && t->timeline[i]; i++) {
		uint64_t end = t->timeline[i + 1] > t->timeline[i] ? t->timeline[i + 1] - t->timeline[i] : 0;
		const char *object = op[i].object ? (const char *)t->plan->bytes + op[i].object : "";

		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I}", "operation", cx_op_name(op[i].code),
			"object", object, "start_ns", (json_int_t)(t->timeline[i] - (uint64_t)t->started_ns),
			"duration_ns", (json_int_t)end));
	}
	text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	if (!text)
		return cx_fail_memory(err);
	*ret_json = text;
	return 0;
}

/* ---- the list ---- */

static int has_label(const struct cx_record *r, const char *label)
{
	cx_autofree const char **labels = NULL;
	int n = cx_record_notes(r, "label", &labels);
	size_t size = strlen(label);

	for (int i = 0; i < n; i++)
		if (!strcmp(labels[i], label) || (!strchr(label, '=') && !strncmp(labels[i], label, size)
				&& labels[i][size] == '='))
			return 1;
	return 0;
}

static int own_has_label(const conex_container *c, const char *label)
{
	for (char **own = c->labels; own && *own; own++) {
		size_t size = strlen(label);

		if (!strcmp(*own, label) || (!strchr(label, '=') && !strncmp(*own, label, size) && (*own)[size] == '='))
			return 1;
	}
	return 0;
}

static int is_wanted(conex *cx, const char *id, const char *label)
{
	conex_container *c = cx_container_find(cx, id);
	struct cx_record *r;
	int wanted;

	if (c)
		return !label || own_has_label(c, label);
	if (cx_record_read(cx->state, id, &r, NULL) < 0)
		return 0;
	/* a cgroup made alone has a journal, too, but no spec */
	wanted = cx_record_note(r, "spec") && (!label || has_label(r, label));
	cx_record_free(r);
	return wanted;
}

int conex_container_list(conex *cx, const char *label, char ***ret_ids, conex_error **err)
{
	char **ids;
	int n, kept = 0, r = cx_context_lock(cx, err);

	if (r < 0)
		return r;
	n = cx_state_list(cx->state, &ids, err);
	for (int i = 0; i < n; i++)
		if (is_wanted(cx, ids[i], label))
			ids[kept++] = ids[i];
	cx_context_unlock(cx);
	if (n < 0)
		return n;
	ids[kept] = NULL;
	*ret_ids = ids;
	return kept;
}

int conex_container_get(conex *cx, const char *id, conex_container **ret, conex_error **err)
{
	conex_container *c;
	int r = cx_container_check_id(id, err);

	if (r == 0)
		r = cx_context_lock(cx, err);
	if (r < 0)
		return r;
	c = cx_container_find(cx, id);
	if (c)
		c->refs++;
	else
		r = cx_foreign_get(cx, id, &c, err);
	cx_context_unlock(cx);
	if (r == 0)
		*ret = c;
	return r;
}
