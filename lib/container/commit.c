/* conex_image_commit: what is refused, and what the worker gets. The container stays as it is until that has ended: it
 * can't be resumed, and deleting it waits. */
#include "container/container.h"
#include "image/commit.h"
#include "image/verb.h"
#include "rootfs/compile.h"

#include <fcntl.h>
#include <string.h>

enum { CREATED_BY = 1024 };

/* Under the lock, when its worker has ended or never began. */
static void let_go(void *own)
{
	conex_container *c = own;

	c->committing--;
	if (c->undo_later && c->task.cx->containers) {
		cx_container_undo_later(c);
		cx_context_notify(c->task.cx);
	}
	cx_task_let_go(&c->task);
}

/* ---- is it one of which an image can be made? Locked ---- */

static int is_paused(const conex_container *c)
{
	if (!c->start)
		return c->task.state == CONEX_PAUSED;
	return (c->task.state == CONEX_PAUSED || c->task.state == CONEX_RUNNING)       /* another process may have changed it */
		&& cx_cgroup_is_frozen(c->task.cx->cgroups, c->cgroup);
}

/* Without a pid namespace of its own its first process may have left others. */
static int has_processes(const conex_container *c)
{
	pid_t *pids = NULL;
	int n = cx_cgroups_any(c->task.cx->cgroups) ? cx_cgroup_count(c->task.cx->cgroups, c->cgroup, &pids) : 0;

	free(pids);
	return n > 0;
}

static const json_t *spec_of(const conex_container *c)
{
	return c->task.plan ? c->task.plan->spec : c->spec;
}

/* What it has written lies where, or with owners, as no layer has it. */
static int check_kind(const conex_container *c, conex_error **err)
{
	if (!c->image)
		return cx_fail(err, CONEX_STAGE_IMAGE, -EINVAL, NULL, "only one that was made of an image of the store has a difference",
			"container %s", c->id);
	if (cx_json_true(spec_of(c), "root.overlay.idmap"))
		return cx_fail(err, CONEX_STAGE_IMAGE, -EOPNOTSUPP, NULL, "what it wrote belongs to its user namespace's ids: run it without "
			"CONEX_RUN_USERNS", "container %s", c->id);
	if (cx_json_int(spec_of(c), "root.overlay.disk", 0))
		return cx_fail(err, CONEX_STAGE_IMAGE, -EOPNOTSUPP, NULL, "what it wrote lies in a file system of its own: run it without "
			".disk", "container %s", c->id);
	return 0;
}

static int check_state(const conex_container *c, conex_error **err)
{
	int r;

	if (c->task.state == CONEX_DELETED || c->undoing || (c->task.state == CONEX_EXITED && c->undo_later))
		return cx_fail(err, CONEX_STAGE_IMAGE, -ENOENT, NULL, NULL, "container %s was deleted", c->id);
	r = check_kind(c, err);
	if (r < 0 || is_paused(c))
		return r;
	if (c->task.state != CONEX_EXITED)
		return cx_fail(err, CONEX_STAGE_IMAGE, -EBUSY, NULL, "stop or pause it: it could write meanwhile", "container %s runs",
			c->id);
	return has_processes(c) ? cx_fail(err, CONEX_STAGE_IMAGE, -EBUSY, NULL, "kill them (conex_container_kill_all): they could "
		"write meanwhile", "container %s has processes yet", c->id) : 0;
}

/* ---- the worker's task ---- */

/* A task's texts are wiped when it is sent: all of them are its own. */
static json_t *mounts_of(const conex_container *c, const json_t *spec)
{
	const char *files[2];
	json_t *list = json_array(), *mount;
	size_t i;

	json_array_foreach(json_object_get(spec, "mounts"), i, mount)
		json_array_append_new(list, json_copy(json_object_get(mount, "destination")));
	cx_container_files(c, &files[0], &files[1]);
	if (files[0])
		json_array_append_new(list, json_string("/etc/hosts"));
	if (files[1])
		json_array_append_new(list, json_string("/etc/resolv.conf"));
	return list;
}

/* The command, as docker's history has it. */
static json_t *created_by(const json_t *spec)
{
	const json_t *args = cx_json_at(spec, "process.args"), *arg;
	cx_autostr text = { .data = NULL };
	size_t i;

	json_array_foreach(args, i, arg)
		cx_str_addf(&text, "%s%s", i ? " " : "", json_string_value(arg));
	if (text.failed || !text.data)
		return NULL;
	while (text.size > CREATED_BY || (text.size && (text.data[text.size] & 0xc0) == 0x80))
		text.size--;    /* to the end of a character */
	return json_stringn(text.data, text.size);
}

static int describe(struct cx_verb *v, const conex_container *c, json_t *config, conex_error **err)
{
	const json_t *spec = spec_of(c);
	json_t *task = v->job.json, *line = created_by(spec);

	if (line)
		json_object_set_new(task, "created_by", line);
	return json_object_set_new(task, "config", json_deep_copy(config)) < 0 || json_object_set_new(task, "written", json_boolean(c->snapshot)) < 0
		|| json_object_set_new(task, "base", json_string(c->image)) < 0
		|| json_object_set_new(task, "mounts", mounts_of(c, spec)) < 0
		|| json_object_set_new(task, "devices", cx_rootfs_device_paths(spec)) < 0 ? cx_fail_memory(err) : 0;
}

/* Locked. *upper: -1 where nothing can have been written. */
static int take(struct cx_verb *v, conex_container *c, json_t *config, int *upper, conex_error **err)
{
	cx_autofree char *path = NULL;
	int r;

	cx_context_pump(c->task.cx);
	r = check_state(c, err);
	if (r == 0)
		r = describe(v, c, config, err);
	if (r == 0 && c->snapshot) {
		if (asprintf(&path, "%s/upper", c->snapshot) < 0) {
			path = NULL;
			return cx_fail_memory(err);
		}
		*upper = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (*upper < 0)
			r = cx_fail_errno(err, CONEX_STAGE_IMAGE, "open", "it is of another store: open the context with that one",
				"%s", path);
	}
	if (r == 0) {
		c->refs++;
		c->committing++;
	}
	return r;
}

static int check_name(const struct cx_verb *v, const char *image, conex_error **err)
{
	return v->name.digest.algorithm ? cx_refuse(err, -EINVAL, "image", image, "a name with a tag: its digest is what comes of it")
		: 0;
}

/* The image below, and with it the config, before anything is begun. */
static int read_config(const struct cx_verb *v, conex_container *c, const char *laid, json_t **ret, conex_error **err)
{
	struct cx_commit_base base = { .parts = NULL };
	struct cx_digest digest;
	int r = cx_context_lock(c->task.cx, err);

	if (r < 0)
		return r;
	r = check_state(c, err);
	if (r == 0)
		r = cx_digest_parse(c->image, "the image", &digest, err);
	cx_context_unlock(c->task.cx);
	if (r == 0)
		r = cx_commit_read(v->store, &digest, &base, err);
	if (r == 0)
		r = cx_commit_config(&base, laid, ret, err);
	cx_commit_clear(&base);
	return r;
}

static int begin(struct cx_verb *v, conex_container *c, json_t *config, conex_job **ret, conex_error **err)
{
	cx_autoclose int upper = -1;
	int r = cx_context_lock_to_change(c->task.cx, err);

	if (r == 0) {
		r = take(v, c, config, &upper, err);
		cx_context_unlock(c->task.cx);
	}
	if (r < 0) {
		cx_job_task_clear(&v->job);
		return r;
	}
	v->job.fds = &upper;
	v->job.count = upper >= 0;
	v->job.own = c;
	v->job.forget = let_go;
	return cx_verb_start(v, ret, err);
}

int conex_image_commit(conex_container *c, const char *image, const char *config_json, conex_job **ret, conex_error **err)
{
	json_t *config = NULL;
	struct cx_verb v;
	int r = cx_verb_begin(c->task.cx, image, NULL, 0, &v, err);

	if (r == 0)
		r = check_name(&v, image, err);
	if (r == 0)
		r = read_config(&v, c, config_json, &config, err);
	if (r == 0)
		r = cx_verb_task(&v, "commit", err);
	if (r == 0)
		r = begin(&v, c, config, ret, err);
	json_decref(config);
	return r;
}
