/* conex_run_options -> a spec: layers over the default (or the caller's) spec, the JSON of .oci last. */
#include "container/container.h"
#include "base/ids.h"
#include "base/options.h"
#include "namespace/maps.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- which field is read where ---- */

#define FLAGS_PLAN (CONEX_RUN_TTY | CONEX_RUN_READ_ONLY | CONEX_RUN_INIT | CONEX_RUN_USERNS)
#define FLAGS_LAUNCH (CONEX_RUN_NOWAIT | CONEX_RUN_HOLD | CONEX_RUN_PARENT | CONEX_RUN_AUTODELETE | CONEX_RUN_TIMELINE)
#define FLAGS_EXEC (CONEX_RUN_NOWAIT | CONEX_RUN_TTY | CONEX_RUN_TIMELINE)

static int not_here(const char *call, const char *name, conex_error **err)
{
	char where[64];

	snprintf(where, sizeof where, "conex_run_options.%s", name);
	return cx_refuse(err, -EINVAL, where, NULL, "%s doesn't read it: leave it zero there", call);
}

static int check_flags(const char *call, uint64_t flags, unsigned what, conex_error **err)
{
	uint64_t known = (what & CX_FOR_PLAN ? FLAGS_PLAN : 0) | (what & CX_FOR_LAUNCH ? FLAGS_LAUNCH : 0)
		| (what & CX_FOR_EXEC ? FLAGS_EXEC : 0);
	char value[32];

	if (!(flags & ~known))
		return 0;
	snprintf(value, sizeof value, "0x%llx", (unsigned long long)(flags & ~known));
	return cx_refuse(err, -EINVAL, "conex_run_options.flags", value, "%s doesn't know these flags", call);
}

/* What this version can't do yet is refused by its field's name, not ignored. */
static int check_unsupported(const struct conex_run_options *o, conex_error **err)
{
	if (o->flags & CONEX_RUN_PARENT)
		return cx_refuse(err, -EOPNOTSUPP, "conex_run_options.flags", "CONEX_RUN_PARENT",
			"this version's keeper is always the parent");
	if (o->in == CONEX_STDIO_LOG || o->out == CONEX_STDIO_LOG || o->err == CONEX_STDIO_LOG)
		return cx_refuse(err, -EOPNOTSUPP, "conex_run_options.out", "CONEX_STDIO_LOG",
			"this version keeps no logs: use CONEX_STDIO_PIPE or CONEX_STDIO_FD");
	return 0;
}

static int check_fds(const struct conex_run_options *o, conex_error **err)
{
	char where[48], value[16];

	if (o->fds_size > CX_FD_COUNT - CX_FD_EXTRA || (o->fds_size && !o->fds)) {
		snprintf(value, sizeof value, "%zu", o->fds_size);
		return cx_refuse(err, -EINVAL, "conex_run_options.fds_size", value, "at most 16, and .fds with it");
	}
	for (size_t i = 0; i < o->fds_size; i++)
		if (fcntl(o->fds[i], F_GETFD) < 0) {
			snprintf(where, sizeof where, "conex_run_options.fds[%zu]", i);
			snprintf(value, sizeof value, "%d", o->fds[i]);
			return cx_refuse(err, -EBADF, where, value, "that descriptor isn't open");
		}
	return 0;
}

static int check_env(const char *const *env, conex_error **err)
{
	char where[48];

	for (int i = 0; env && env[i]; i++) {
		const char *equals = strchr(env[i], '=');

		snprintf(where, sizeof where, "conex_run_options.env[%d]", i);
		if (!equals || equals == env[i])
			return cx_refuse(err, -EINVAL, where, env[i], "write NAME=value");
	}
	return 0;
}

int cx_options_check(const char *call, const struct conex_run_options *o, unsigned what, conex_error **err)
{
	int r = check_flags(call, o->flags, what, err);

	if (r < 0)
		return r;
#define ONLY(mask, field) if (!(what & (mask)) && o->field) return not_here(call, #field, err)
	ONLY(CX_FOR_LAUNCH, id);
	ONLY(CX_FOR_LAUNCH, labels);
	ONLY(CX_FOR_LAUNCH | CX_FOR_EXEC, in);
	ONLY(CX_FOR_LAUNCH | CX_FOR_EXEC, out);
	ONLY(CX_FOR_LAUNCH | CX_FOR_EXEC, err);
	ONLY(CX_FOR_LAUNCH | CX_FOR_EXEC, input);
	ONLY(CX_FOR_LAUNCH | CX_FOR_EXEC, timeout_ms);
	ONLY(CX_FOR_LAUNCH | CX_FOR_EXEC, data);
	ONLY(CX_FOR_PLAN | CX_FOR_EXEC, cwd);
	ONLY(CX_FOR_PLAN | CX_FOR_EXEC, user);
	ONLY(CX_FOR_PLAN, hostname);
	ONLY(CX_FOR_PLAN, rootfs);
	ONLY(CX_FOR_PLAN, mounts);
	ONLY(CX_FOR_PLAN, limits);
	ONLY(CX_FOR_PLAN, network);
	ONLY(CX_FOR_PLAN, ports);
	ONLY(CX_FOR_PLAN, hosts);
	ONLY(CX_FOR_PLAN, dns);
	ONLY(CX_FOR_PLAN, ingress_bps);
	ONLY(CX_FOR_PLAN, egress_bps);
	ONLY(CX_FOR_PLAN, disk);
	ONLY(CX_FOR_PLAN, share);
	ONLY(CX_FOR_PLAN, join);
	ONLY(CX_FOR_PLAN, ask);
	ONLY(CX_FOR_PLAN, grace_ms);
	ONLY(CX_FOR_PLAN | CX_FOR_EXEC, spec);
	ONLY(CX_FOR_PLAN | CX_FOR_EXEC, oci);
	ONLY(CX_FOR_LAUNCH | CX_FOR_EXEC, fds_size);
#undef ONLY
	if (o->timeout_ms < 0)
		return cx_refuse(err, -EINVAL, "conex_run_options.timeout_ms", "negative", "0 means never");
	if (o->grace_ms < 0)
		return cx_refuse(err, -EINVAL, "conex_run_options.grace_ms", "negative", "0 means 10,000");
	r = check_fds(o, err);
	if (r == 0)
		r = check_env(o->env, err);
	if (r == 0 && o->network)
		r = cx_modes_check(o->network, err);
	return r < 0 ? r : check_unsupported(o, err);
}

/* ---- pieces ---- */

/* Merges a new layer into spec and drops it; NULL (no memory, or not packed) is remembered in *failed. */
static void layer(json_t *spec, json_t *layer_, int *failed)
{
	if (!layer_ || cx_spec_merge_json(spec, layer_) < 0)
		*failed = -ENOMEM;
	json_decref(layer_);
}

static json_t *strings(const char *const *list)
{
	json_t *array = json_array();

	for (; array && list && *list; list++)
		if (json_array_append_new(array, json_string(*list)) < 0) {
			json_decref(array);
			return NULL;
		}
	return array;
}

json_t *cx_env_merge(const json_t *env, const char *const *more)
{
	json_t *into = json_pack("{s:{s:O?}}", "process", "env", env), *add = json_pack("{s:{s:o}}", "process", "env",
		strings(more)), *merged = NULL;

	if (into && add && json_object_set_new(json_object_get(into, "process"), "env", json_deep_copy(env)) == 0
	    && cx_spec_merge_json(into, add) == 0)
		merged = json_incref(cx_json_at(into, "process.env"));
	json_decref(into);
	json_decref(add);
	return merged;
}

static json_t *mount_json(const struct conex_mount *m)
{
	json_t *options = json_array(), *mount;
	cx_autofree char *copy = m->options ? strdup(m->options) : NULL;
	char *rest = copy, *word;
	int read_only = 0;

	while (options && (word = strsep(&rest, ","))) {
		if (!m->type && (!strcmp(word, "ro") || !strcmp(word, "rw")))
			read_only = word[1] == 'o';     /* the last one counts */
		else if (*word)
			json_array_append_new(options, json_string(word));
	}
	if (!m->type && options)
		json_array_insert_new(options, 0, json_string("rbind"));
	if (read_only)          /* a bind is read-only with all that is mounted below it */
		json_array_append_new(options, json_string("rro"));
	mount = json_pack("{s:s, s:s, s:o}", "destination", m->target, "type", m->type ? m->type : "bind",
		"options", options);
	if (mount && m->source)
		json_object_set_new(mount, "source", json_string(m->source));
	else if (mount)
		json_object_set_new(mount, "source", json_string(m->type ? m->type : "none"));
	return mount;
}

static int add_mounts(json_t *spec, const struct conex_mount *m, int *failed, conex_error **err)
{
	json_t *list = json_array();
	char where[48];

	for (int i = 0; m && (m->source || m->target || m->type || m->options); i++, m++) {
		snprintf(where, sizeof where, "conex_run_options.mounts[%d]", i);
		if (!m->target || (!m->source && !m->type)) {
			json_decref(list);
			return cx_refuse(err, -EINVAL, where, m->target, !m->target ? "name its target"
				: "name a source to bind, or a type");
		}
		if (m->type && !strcmp(m->type, "volume")) {
			json_decref(list);
			return cx_refuse(err, -EOPNOTSUPP, where, "volume", "this version has no volumes: bind a directory");
		}
		json_array_append_new(list, mount_json(m));
	}
	layer(spec, json_pack("{s:o}", "mounts", list), failed);
	return 0;
}

static int add_limits(json_t *spec, const struct conex_limits *given, int *failed, conex_error **err)
{
	struct conex_limits limits;
	json_t *resources = NULL;
	int r = cx_options_read("conex_limits", &limits, sizeof limits, sizeof limits, given, err);

	if (r == 0)
		r = cx_cgroup_limits_json(&limits, &resources, err);
	if (r < 0)
		return r;
	layer(spec, json_pack("{s:{s:o}}", "linux", "resources", resources), failed);
	return 0;
}

/* ---- namespaces ---- */

static const struct { uint32_t kind; const char *type; } kinds[] = {
	{ CONEX_NS_MOUNT, "mount" }, { CONEX_NS_PID, "pid" }, { CONEX_NS_NET, "network" }, { CONEX_NS_IPC, "ipc" },
	{ CONEX_NS_UTS, "uts" }, { CONEX_NS_USER, "user" }, { CONEX_NS_CGROUP, "cgroup" }, { CONEX_NS_TIME, "time" },
};

static void remove_namespace(json_t *spec, const char *type)
{
	json_t *list = cx_json_at(spec, "linux.namespaces");

	for (size_t i = json_array_size(list); i-- > 0;) {
		const char *is = cx_json_text(json_array_get(list, i), "type");

		if (is && !strcmp(is, type))
			json_array_remove(list, i);
	}
}

/* What stays the host's: no namespace, and none of the defaults that would need one. */
static void share(json_t *spec, const struct conex_run_options *o)
{
	json_t *linux_ = json_object_get(spec, "linux");
	uint32_t shared = o->share | (o->network && !strcmp(o->network, "host") ? CONEX_NS_NET : 0);

	for (size_t i = 0; i < CX_ARRAY_SIZE(kinds); i++)
		if (shared & kinds[i].kind)
			remove_namespace(spec, kinds[i].type);
	if ((shared & CONEX_NS_MOUNT) && !o->spec) {
		json_object_del(spec, "root");
		json_object_del(spec, "mounts");
		json_object_del(linux_, "maskedPaths");
		json_object_del(linux_, "readonlyPaths");
	}
	if ((shared & CONEX_NS_UTS) && !o->spec)
		json_object_del(spec, "hostname");
}

/* Root inside is nobody outside, or the user himself. */
static void add_userns(json_t *spec, int *failed)
{
	json_t *uids, *gids;

	if (cx_json_at(spec, "linux.uidMappings"))
		return;
	if (cx_maps_default(&uids, &gids) < 0)
		*failed = -ENOMEM;
	else
		layer(spec, json_pack("{s:{s:[{s:s}], s:o, s:o}}", "linux", "namespaces", "type", "user",
			"uidMappings", uids, "gidMappings", gids), failed);
}

static int joins_user(const struct conex_run_options *o)
{
	for (int i = 0; o->join && o->join[i]; i++)
		if (cx_namespace_kind(o->join[i]) == CONEX_NS_USER)
			return 1;
	return 0;
}

/* Without privileges there is no container without a user namespace, whoever wrote the spec. */
static int need_userns(json_t *spec, const struct conex_run_options *o, int *failed, conex_error **err)
{
	if (!cx_ids_rootless() || joins_user(o) || cx_spec_namespace(spec, "user") == 2)
		return 0;
	if (o->share & CONEX_NS_USER)
		return cx_refuse(err, -EPERM, "conex_run_options.share", "CONEX_NS_USER",
			"an unprivileged user's containers need a user namespace: leave it out");
	add_userns(spec, failed);
	return 0;
}

/* A new proc, sysfs or mqueue takes rights in the namespace that it shows. Where a user namespace has none in
 * the host's, the default spec takes the host's mount instead. */
static void fit_mount(const json_t *spec, json_t *list, size_t i, int *failed)
{
	static const struct { const char *type, *ns, *host, *read_only; } hosts[] = {
		{ "proc", "pid", "/proc", "rw" }, { "sysfs", "network", "/sys", "ro" },
		{ "mqueue", "ipc", "/dev/mqueue", "rw" },
	};
	const json_t *mount = json_array_get(list, i);
	const char *type = cx_json_text(mount, "type"), *target = cx_json_text(mount, "destination");

	for (size_t k = 0; type && target && k < CX_ARRAY_SIZE(hosts); k++)
		if (!strcmp(type, hosts[k].type) && !cx_spec_namespace(spec, hosts[k].ns)) {
			if (access(hosts[k].host, F_OK) < 0)
				json_array_remove(list, i);
			else if (json_array_set_new(list, i, json_pack("{s:s, s:s, s:s, s:[s,s,s,s,s]}",
				"destination", target, "type", "bind", "source", hosts[k].host, "options",
				"rbind", "nosuid", "noexec", "nodev", hosts[k].read_only)) < 0)
				*failed = -ENOMEM;
			return;
		}
}

static void fit_mounts(json_t *spec, const struct conex_run_options *o, int *failed)
{
	json_t *list = cx_json_at(spec, "mounts");

	if (!o->spec && (cx_spec_namespace(spec, "user") || joins_user(o) || cx_ids_nested()))
		for (size_t i = json_array_size(list); i-- > 0;)
			fit_mount(spec, list, i, failed);
}

/* ---- all of it ---- */

static int add_root(json_t *spec, const char *rootfs, int *failed, conex_error **err)
{
	char path[PATH_MAX];
	struct stat st;

	if (!rootfs)
		return 0;
	if (!realpath(rootfs, path) || stat(path, &st) < 0)
		return cx_refuse(err, -errno, "conex_run_options.rootfs", rootfs, "name a directory that is there");
	if (!S_ISDIR(st.st_mode))
		return cx_refuse(err, -ENOTDIR, "conex_run_options.rootfs", rootfs, "name a directory");
	layer(spec, json_pack("{s:{s:s}}", "root", "path", path), failed);
	return 0;
}

static int add_process(json_t *spec, const char *const *args, const struct conex_run_options *o, int *failed,
	conex_error **err)
{
	json_t *user = NULL;
	int r;

	if (args)
		layer(spec, json_pack("{s:{s:o}}", "process", "args", strings(args)), failed);
	if (o->env)
		layer(spec, json_pack("{s:{s:o}}", "process", "env", strings(o->env)), failed);
	if (o->cwd)
		layer(spec, json_pack("{s:{s:s}}", "process", "cwd", o->cwd), failed);
	if (o->flags & CONEX_RUN_TTY)
		layer(spec, json_pack("{s:{s:b}}", "process", "terminal", 1), failed);
	if (o->flags & CONEX_RUN_INIT)
		layer(spec, json_pack("{s:{s:b}}", "process", "init", 1), failed);
	if (o->user) {
		r = cx_user_json(o->user, spec, &user, err);
		if (r < 0)
			return r;
		layer(spec, json_pack("{s:{s:o}}", "process", "user", user), failed);
	}
	return 0;
}

/* A program that asks for its home or its terminal finds an answer, unless one was given. */
static void complete_env(json_t *spec, int *failed)
{
	json_t *env = cx_json_at(spec, "process.env"), *value;
	int home = 0, term = !cx_json_true(spec, "process.terminal");
	size_t i;

	json_array_foreach(env, i, value) {
		const char *text = json_string_value(value);

		home |= text && !strncmp(text, "HOME=", 5);
		term |= text && !strncmp(text, "TERM=", 5);
	}
	if (!home)
		layer(spec, json_pack("{s:{s:[s]}}", "process", "env",
			cx_json_int(spec, "process.user.uid", 0) ? "HOME=/" : "HOME=/root"), failed);
	if (!term)
		layer(spec, json_pack("{s:{s:[s]}}", "process", "env", "TERM=xterm"), failed);
}

static void add_devices(json_t *spec, const char *network, int *failed)
{
	json_t *devices = cx_modes_devices(network);

	if (devices && !json_object_size(devices))
		json_decref(devices);
	else
		layer(spec, devices ? json_pack("{s:{s:o}}", "linux", "netDevices", devices) : NULL, failed);
}

static int add_options(json_t *spec, const char *const *args, const struct conex_run_options *o, int *failed,
	conex_error **err)
{
	int r = add_root(spec, o->rootfs, failed, err);

	share(spec, o);
	if (r == 0)
		r = add_process(spec, args, o, failed, err);
	if (r == 0)
		r = add_mounts(spec, o->mounts, failed, err);
	if (r == 0 && o->limits)
		r = add_limits(spec, o->limits, failed, err);
	if (o->hostname)
		layer(spec, json_pack("{s:s}", "hostname", o->hostname), failed);
	if (o->flags & CONEX_RUN_READ_ONLY)
		layer(spec, json_pack("{s:{s:b}}", "root", "readonly", 1), failed);
	if (o->flags & CONEX_RUN_USERNS)
		add_userns(spec, failed);
	if (o->disk)
		layer(spec, json_pack("{s:{s:{s:I}}}", "root", "overlay", "disk", (json_int_t)o->disk), failed);
	add_devices(spec, o->network, failed);
	return r;
}

static int add_oci(json_t *spec, const char *oci, int *failed, conex_error **err)
{
	json_t *parsed;
	int r;

	if (!oci)
		return 0;
	r = cx_spec_parse_json(oci, "conex_run_options.oci", &parsed, err);
	if (r < 0)
		return r;
	if (cx_spec_normal(parsed) < 0)
		*failed = -ENOMEM;
	layer(spec, parsed, failed);
	/* before anything is added: over a value of the wrong type it would be laid as over nothing */
	return *failed ? 0 : cx_spec_check_types(spec, err);
}

/* With a mount namespace of its own a container needs a root file system. */
static int check_root(const json_t *spec, const struct conex_run_options *o, conex_error **err)
{
	const json_t *list = cx_json_at(spec, "linux.namespaces"), *ns;
	int mount = 0;
	size_t i;

	json_array_foreach((json_t *)list, i, ns) {
		const char *type = cx_json_text(ns, "type");

		mount |= type && !strcmp(type, "mount") && !cx_json_text(ns, "path");
	}
	if (mount && !cx_json_text(spec, "root.path") && !cx_json_at(spec, "root.overlay"))
		return cx_refuse(err, -EINVAL, "root.path", NULL, "name a directory in .rootfs%s", o->spec ? " or in the spec" : "");
	return 0;
}

/* Where it begins: with the caller's spec, or the default one and what an image says. */
static int begin_spec(conex *cx, const char *image, const char *const *args, const struct conex_run_options *o,
	struct cx_image_use **ret_image, json_t **ret, conex_error **err)
{
	json_t *spec, *image_layer = NULL;
	int r = image ? cx_image_layer(cx, image, args, o, ret_image, &image_layer, err) : 0, failed = 0;

	if (r < 0)
		return r;
	spec = o->spec ? json_deep_copy(o->spec->root) : cx_spec_default();
	if (spec && !o->spec && !o->rootfs)
		json_object_del(spec, "root");  /* the default's is only a place for one */
	if (spec && image_layer)
		layer(spec, image_layer, &failed);
	else
		json_decref(image_layer);
	if (!spec || failed) {
		json_decref(spec);
		return cx_fail_memory(err);
	}
	*ret = spec;
	return 0;
}

int cx_options_spec(conex *cx, const char *image, const char *const *args, const struct conex_run_options *o,
	struct cx_image_use **ret_image, json_t **ret, conex_error **err)
{
	json_t *spec;
	int r = cx_disk_check(o, image, err), failed = 0;

	if (r == 0)
		r = begin_spec(cx, image, args, o, ret_image, &spec, err);

	if (r < 0)
		return r;
	r = add_options(spec, image ? NULL : args, o, &failed, err);
	if (r == 0)
		r = add_oci(spec, o->oci, &failed, err);
	if (r == 0)
		r = cx_options_ask(spec, o->ask, err);
	if (r == 0)
		r = need_userns(spec, o, &failed, err);
	if (r == 0 && cx_json_int(spec, "root.overlay.disk", 0) != (int64_t)o->disk)
		r = cx_refuse(err, -EINVAL, "root.overlay.disk", NULL, "say it in conex_run_options.disk");
	if (r == 0 && image)
		r = cx_image_fit(*ret_image, spec, joins_user(o), err);
	if (r == 0)
		fit_mounts(spec, o, &failed);
	if (r == 0)
		complete_env(spec, &failed);
	if (r == 0 && failed)
		r = cx_fail_memory(err);
	if (r == 0)
		r = check_root(spec, o, err);
	if (r == 0)
		r = cx_spec_validate(spec, err);
	if (r < 0)
		json_decref(spec);
	else
		*ret = spec;
	return r;
}

/* Another spec's process instead of the container's; the rights that it says nothing of stay the container's. */
static int exec_process(json_t *spec, const json_t *other)
{
	static const char *const kept[] = { "capabilities", "rlimits", "oomScoreAdj", "apparmorProfile",
		"selinuxLabel", "scheduler", "ioPriority" };
	json_t *from = json_object_get(spec, "process"), *to = json_deep_copy(json_object_get(other, "process"));

	if (!to)
		return 0;
	for (size_t i = 0; i < CX_ARRAY_SIZE(kept); i++)
		if (!json_object_get(to, kept[i]) && json_object_get(from, kept[i]))
			json_object_set(to, kept[i], json_object_get(from, kept[i]));
	return json_object_set_new(spec, "process", to);
}

/* One more program: the container's spec with another process in it; its rights stay the container's. */
int cx_options_exec_spec(const json_t *container, const char *const *args, const struct conex_run_options *o,
	json_t **ret, conex_error **err)
{
	json_t *spec = json_deep_copy(container);
	int r, failed = 0;

	if (spec && o->spec && exec_process(spec, o->spec->root) < 0) {
		json_decref(spec);
		spec = NULL;
	}
	if (!spec)
		return cx_fail_memory(err);
	json_object_set_new(json_object_get(spec, "process"), "terminal", json_boolean(o->flags & CONEX_RUN_TTY));
	r = add_process(spec, args, o, &failed, err);
	if (r == 0)
		r = add_oci(spec, o->oci, &failed, err);
	complete_env(spec, &failed);
	if (r == 0 && failed)
		r = cx_fail_memory(err);
	if (r == 0)
		r = cx_spec_validate(spec, err);
	if (r < 0)
		json_decref(spec);
	else
		*ret = spec;
	return r;
}
