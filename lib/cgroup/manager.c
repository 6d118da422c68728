/* A connection to systemd, and scopes asked of it: StartTransientUnit, then the job's end; SetUnitProperties.
 * The interface is https://www.freedesktop.org/software/systemd/man/latest/org.freedesktop.systemd1.html. */
#include "cgroup/internal.h"
#include "cgroup/scope.h"
#include "cgroup/sdbus.h"

#include <stdio.h>
#include <string.h>

#define SERVICE "org.freedesktop.systemd1"
#define OBJECT "/org/freedesktop/systemd1"
#define INTERFACE SERVICE ".Manager"

struct cx_manager {
	struct cx_sdbus sd;
	sd_bus *bus;
	char *root;                     /* its cgroup, without slashes at its ends */
	struct cx_scope_job *jobs;
	pid_t pid;                      /* who opened it: a forked copy may only free */
};

static int lost(int code, conex_error **err)
{
	return cx_fail(err, CONEX_STAGE_LAUNCH, code, NULL, "is it PID 1 here, and its bus running?", "the connection to systemd");
}

/* What it refuses, in words of ours where users can do something about it. */
static int refused(const sd_bus_error *e, int code, const char *object, conex_error **err)
{
	static const struct { const char *name; int code; const char *hint; } known[] = {
		{ SERVICE ".UnitExists", -EEXIST, "the name is taken: another container's, or a failed unit's (systemctl "
			"reset-failed); delete it, or take another id" },
		{ "org.freedesktop.DBus.Error.AccessDenied", -EACCES, "the system's systemd takes it from root alone" },
		{ "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", -EACCES,
			"the system's systemd takes it from root alone" },
		{ "org.freedesktop.DBus.Error.PropertyReadOnly", -EOPNOTSUPP, "this systemd is too old for one of the limits" },
		{ "org.freedesktop.DBus.Error.UnknownProperty", -EOPNOTSUPP, "this systemd is too old for one of the limits" },
		{ "org.freedesktop.DBus.Error.NoReply", -ETIMEDOUT, NULL },
		{ SERVICE ".NoSuchUnit", -ENOENT, "it is gone" },
	};
	const char *name = e && e->name ? e->name : "", *text = e && e->message ? e->message : strerror(-code);

	for (size_t i = 0; i < CX_ARRAY_SIZE(known); i++)
		if (!strcmp(name, known[i].name))
			return cx_fail(err, CONEX_STAGE_LAUNCH, known[i].code, NULL, known[i].hint, "%s: systemd says: %s",
				object, text);
	return cx_fail(err, CONEX_STAGE_LAUNCH, code < 0 ? code : -EIO, NULL, NULL, "%s: systemd says: %s", object, text);
}

/* ---- jobs ---- */

void cx_scope_forget(struct cx_scope_job *job)
{
	struct cx_manager *m = job->manager;

	if (!m)
		return;
	for (struct cx_scope_job **at = &m->jobs; *at; at = &(*at)->next)
		if (*at == job) {
			*at = job->next;
			break;
		}
	if (job->slot)
		m->sd.slot_unref(job->slot);
	job->slot = NULL;
	job->manager = NULL;
}

static void finish(struct cx_scope_job *job, conex_error *why)
{
	cx_scope_forget(job);
	job->ended(job, why);
}

/* The answer is the job, which is only begun. It comes before the job's end: both come from one sender. */
static int on_reply(sd_bus_message *reply, void *data, sd_bus_error *unused)
{
	struct cx_scope_job *job = data;
	struct cx_manager *m = job->manager;
	const sd_bus_error *e = m->sd.message_get_error(reply);
	conex_error *err = NULL;
	const char *path;
	int r;

	(void)unused;
	if (e)
		refused(e, -EIO, job->unit, &err);
	else if ((r = m->sd.message_read(reply, "o", &path)) < 0)
		lost(r, &err);
	else if ((size_t)snprintf(job->path, sizeof job->path, "%s", path) < sizeof job->path)
		return 0;
	else
		lost(-EPROTO, &err);
	finish(job, err);
	return 0;
}

/* JobRemoved(id, job, unit, result) */
static int on_removed(sd_bus_message *signal, void *data, sd_bus_error *unused)
{
	struct cx_manager *m = data;
	struct cx_scope_job *job = m->jobs;
	const char *path, *unit, *result;
	conex_error *err = NULL;
	uint32_t id;

	(void)unused;
	if (m->sd.message_read(signal, "uoss", &id, &path, &unit, &result) < 0)
		return 0;
	while (job && strcmp(job->path, path))
		job = job->next;
	if (!job)
		return 0;
	if (strcmp(result, "done"))
		cx_fail(&err, CONEX_STAGE_LAUNCH, -ECANCELED, NULL, "journalctl -u has systemd's reasons", "%s: systemd's job to "
			"start it ended as \"%s\"", job->unit, result);
	finish(job, err);
	return 0;
}

int cx_manager_pump(struct cx_manager *m)
{
	int r;

	do
		r = m->sd.process(m->bus, NULL);
	while (r > 0);
	while (r < 0 && m->jobs) {
		conex_error *err = NULL;

		lost(r, &err);
		finish(m->jobs, err);
	}
	return r;
}

/* ---- the connection ---- */

/* A manager also listens by itself to whom it belongs, root or the user: that is there where no D-Bus is. */
static int connect_private(struct cx_manager *m, int user)
{
	const char *runtime = user ? getenv("XDG_RUNTIME_DIR") : "/run";
	char address[PATH_MAX];
	int r;

	if (!runtime || (size_t)snprintf(address, sizeof address, "unix:path=%s/systemd/private", runtime) >= sizeof address)
		return -ENXIO;
	r = m->sd.new(&m->bus);
	if (r >= 0)
		r = m->sd.set_address(m->bus, address);
	return r < 0 ? r : m->sd.start(m->bus);
}

static int connect_bus(struct cx_manager *m, int user, conex_error **err)
{
	int r = user ? m->sd.open_user(&m->bus) : m->sd.open_system(&m->bus);

	if (r < 0 && (user || geteuid() == 0) && connect_private(m, user) >= 0)
		r = 0;
	if (r >= 0)
		return 0;
	return cx_fail(err, CONEX_STAGE_LAUNCH, r, "connect", user ? "a session of the user's is needed (loginctl "
		"enable-linger) with XDG_RUNTIME_DIR set; or force the other driver (conex_options.cgroup_driver = \"cgroupfs\")"
		: "systemd must be PID 1 here; or force the other driver (conex_options.cgroup_driver = \"cgroupfs\")",
		"systemd's %s bus", user ? "user" : "system");
}

/* A call without arguments or answer, or with these texts. */
static int call(struct cx_manager *m, const char *interface, const char *name, const char *types, const char *a, const char *b,
	sd_bus_message **ret)
{
	sd_bus_message *q = NULL;
	int r = m->sd.message_new_method_call(m->bus, &q, SERVICE, OBJECT, interface, name);

	if (r >= 0 && types)
		r = m->sd.message_append(q, types, a, b);
	if (r >= 0)
		r = m->sd.call(m->bus, q, 0, NULL, ret);
	if (q)
		m->sd.message_unref(q);
	return r;
}

static int read_root(struct cx_manager *m)
{
	sd_bus_message *reply = NULL;
	const char *text;
	int r = call(m, "org.freedesktop.DBus.Properties", "Get", "ss", INTERFACE, "ControlGroup", &reply);

	if (r >= 0)
		r = m->sd.message_read(reply, "v", "s", &text);
	if (r >= 0) {
		size_t n = strlen(text += strspn(text, "/"));

		m->root = strndup(text, n && text[n - 1] == '/' ? n - 1 : n);
		r = m->root ? 0 : -ENOMEM;
	}
	if (reply)
		m->sd.message_unref(reply);
	return r;
}

static int greet(struct cx_manager *m)
{
	int r = m->sd.match_signal(m->bus, NULL, NULL, OBJECT, INTERFACE, "JobRemoved", on_removed, m);

	if (r >= 0)
		r = call(m, INTERFACE, "Subscribe", NULL, NULL, NULL, NULL);   /* else it sends no signals */
	return r < 0 ? r : read_root(m);
}

int cx_manager_open(int user, struct cx_manager **ret, conex_error **err)
{
	struct cx_manager *m = calloc(1, sizeof *m);
	int r;

	if (!m)
		return cx_fail_memory(err);
	m->pid = getpid();
	r = cx_sdbus_load(&m->sd, err);
	if (r == 0)
		r = connect_bus(m, user, err);
	if (r == 0 && (r = greet(m)) < 0)
		r = lost(r, err);
	if (r < 0)
		cx_manager_close(m);
	else
		*ret = m;
	return r;
}

void cx_manager_close(struct cx_manager *m)
{
	if (!m)
		return;
	while (m->jobs && m->pid == getpid()) {
		conex_error *err = NULL;

		cx_fail(&err, CONEX_STAGE_LAUNCH, -ESHUTDOWN, NULL, NULL, "the connection to systemd");
		finish(m->jobs, err);
	}
	if (m->bus) {
		m->sd.close(m->bus);
		m->sd.unref(m->bus);
	}
	cx_sdbus_unload(&m->sd);
	free(m->root);
	free(m);
}

int cx_manager_fd(const struct cx_manager *m)
{
	return m->sd.get_fd(m->bus);
}

const char *cx_manager_root(const struct cx_manager *m)
{
	return m->root;
}

/* ---- properties ---- */

static int append_property(struct cx_manager *m, sd_bus_message *q, const struct cx_scope_property *p)
{
	int r;

	if (!p->mask_size)
		return m->sd.message_append(q, "(sv)", p->name, "t", p->value);
	r = m->sd.message_open_container(q, 'r', "sv");
	if (r >= 0)
		r = m->sd.message_append(q, "s", p->name);
	if (r >= 0)
		r = m->sd.message_open_container(q, 'v', "ay");
	if (r >= 0)
		r = m->sd.message_append_array(q, 'y', p->mask, p->mask_size);
	if (r >= 0)
		r = m->sd.message_close_container(q);
	return r < 0 ? r : m->sd.message_close_container(q);
}

static int append_text(struct cx_manager *m, sd_bus_message *q, const char *file, const char *text)
{
	struct cx_scope_property p[CX_SCOPE_PROPERTIES];
	int n = cx_scope_properties(file, text, p), r = 0;

	for (int i = 0; r >= 0 && i < n; i++)
		r = append_property(m, q, &p[i]);
	return r;
}

/* Before the cgroup is there: from what will be written. A period alone has no quota yet. */
static int append_new(struct cx_manager *m, sd_bus_message *q, const struct cx_cgroup_write *w)
{
	char text[64];

	if (!w->second)
		return append_text(m, q, w->file, w->text);
	snprintf(text, sizeof text, "max %s", w->text);
	return append_text(m, q, w->file, text);
}

/* Afterwards: from what the files say, which know what half a limit was completed by. Once for each file. */
static int append_changed(struct cx_manager *m, sd_bus_message *q, const struct cx_hierarchy *h, const char *path,
	const struct cx_cgroup_limits *l, size_t n)
{
	char text[4096];

	for (size_t i = 0; i < n; i++)
		if (!strcmp(l->writes[i].file, l->writes[n].file))
			return 0;
	if (cx_cgroup_read(h, path, l->writes[n].file, text, sizeof text) <= 0)
		return 0;
	return append_text(m, q, l->writes[n].file, text);
}

/* ---- a scope ---- */

/* .../machine.slice/conex-web.scope */
static const char *unit_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The slice that it is in; what is in none is in the root slice. */
static void slice_of(const char *path, char *to, size_t size)
{
	const char *end = strrchr(path, '/'), *begin = end ? memrchr(path, '/', (size_t)(end - path)) : NULL;

	begin = begin ? begin + 1 : path;
	snprintf(to, size, "%.*s", end ? (int)(end - begin) : 0, begin);
	if (!cx_scope_slice_valid(to))
		snprintf(to, size, "-.slice");
}

/* Without DefaultDependencies it isn't stopped before the engine at shutdown, nor ordered behind anything.
 * CollectMode: no failed unit keeps the name. */
static int append_unit(struct cx_manager *m, sd_bus_message *q, const char *path, pid_t pid)
{
	char slice[256];

	slice_of(path, slice, sizeof slice);
	return m->sd.message_append(q, "(sv)(sv)(sv)(sv)(sv)(sv)(sv)(sv)(sv)(sv)", "Description", "s", "conex container",
		"Slice", "s", slice, "PIDs", "au", 1, (uint32_t)pid, "Delegate", "b", 1, "DefaultDependencies", "b", 0,
		"CollectMode", "s", "inactive-or-failed", "MemoryAccounting", "b", 1, "CPUAccounting", "b", 1,
		"TasksAccounting", "b", 1, "IOAccounting", "b", 1);
}

static int fill_start(struct cx_manager *m, sd_bus_message *q, const char *path, pid_t pid,
	const struct cx_cgroup_limits *limits)
{
	int r = m->sd.message_append(q, "ss", unit_of(path), "fail");

	if (r >= 0)
		r = m->sd.message_open_container(q, 'a', "(sv)");
	if (r >= 0)
		r = append_unit(m, q, path, pid);
	for (size_t i = 0; r >= 0 && limits && i < limits->count; i++)
		r = append_new(m, q, &limits->writes[i]);
	if (r >= 0)
		r = m->sd.message_close_container(q);
	return r < 0 ? r : m->sd.message_append(q, "a(sa(sv))", 0);
}

/* Takes the message. */
static int send_job(struct cx_manager *m, struct cx_scope_job *job, const char *path, sd_bus_message *q, int r,
	sd_bus_handler answered, conex_error **err)
{
	sd_bus_slot *slot = NULL;

	snprintf(job->unit, sizeof job->unit, "%s", unit_of(path));
	job->path[0] = '\0';
	if (r >= 0)
		r = m->sd.call_async(m->bus, &slot, q, answered, job, 0);
	if (q)
		m->sd.message_unref(q);
	if (r < 0)
		return lost(r, err);
	job->slot = slot;
	job->manager = m;
	job->next = m->jobs;
	m->jobs = job;
	return 0;
}

int cx_scope_start(struct cx_manager *m, struct cx_scope_job *job, const char *path, pid_t pid,
	const struct cx_cgroup_limits *limits, conex_error **err)
{
	sd_bus_message *q = NULL;
	int r = m->sd.message_new_method_call(m->bus, &q, SERVICE, OBJECT, INTERFACE, "StartTransientUnit");

	if (r >= 0)
		r = fill_start(m, q, path, pid, limits);
	return send_job(m, job, path, q, r, on_reply, err);
}

/* It is there with the answer: this is no job. */
static int on_attached(sd_bus_message *reply, void *data, sd_bus_error *unused)
{
	struct cx_scope_job *job = data;
	const sd_bus_error *e = job->manager->sd.message_get_error(reply);
	conex_error *err = NULL;

	(void)unused;
	if (e)
		refused(e, -EIO, job->unit, &err);
	finish(job, err);
	return 0;
}

int cx_scope_attach(struct cx_manager *m, struct cx_scope_job *job, const char *path, pid_t pid, conex_error **err)
{
	sd_bus_message *q = NULL;
	int r = m->sd.message_new_method_call(m->bus, &q, SERVICE, OBJECT, INTERFACE, "AttachProcessesToUnit");

	if (r >= 0)
		r = m->sd.message_append(q, "ssau", unit_of(path), "", 1, (uint32_t)pid);
	return send_job(m, job, path, q, r, on_attached, err);
}

static int fill_set(struct cx_manager *m, sd_bus_message *q, const struct cx_hierarchy *h, const char *path,
	const struct cx_cgroup_limits *limits)
{
	int r = m->sd.message_append(q, "sb", unit_of(path), 1);

	if (r >= 0)
		r = m->sd.message_open_container(q, 'a', "(sv)");
	for (size_t i = 0; r >= 0 && i < limits->count; i++)
		r = append_changed(m, q, h, path, limits, i);
	return r < 0 ? r : m->sd.message_close_container(q);
}

int cx_scope_set(struct cx_manager *m, const struct cx_cgroups *g, const char *path,
	const struct cx_cgroup_limits *limits, conex_error **err)
{
	const struct cx_hierarchy *h = cx_cgroups_v2(g);
	sd_bus_error error = { NULL, NULL, 0 };
	sd_bus_message *q = NULL;
	int r = m->sd.message_new_method_call(m->bus, &q, SERVICE, OBJECT, INTERFACE, "SetUnitProperties");

	if (r >= 0 && h)
		r = fill_set(m, q, h, path, limits);
	if (r >= 0)
		r = m->sd.call(m->bus, q, 0, &error, NULL);
	if (r < 0)
		r = refused(&error, r, unit_of(path), err);
	m->sd.error_free(&error);
	if (q)
		m->sd.message_unref(q);
	return r < 0 ? r : 0;
}
