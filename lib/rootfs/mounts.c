/* spec.mounts -> plan operations: binds, new file systems, remounts, cgroups. Called by
 * compile.c. */
#include "rootfs/parts.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include "base/error.h"
#include "base/ids.h"
#include "base/kernel.h"
#include "spec/spec.h"

struct mount {                     /* one entry of spec.mounts, read */
	const char *type, *source; /* borrowed from the spec; NULL: missing */
	char *object;              /* "mounts[2] /proc" */
	char *target;              /* clean: absolute, without "//" "." ".." */
	char *context;             /* "context=" and linux.mountLabel, where it goes */
	const char **data; /* what the file system itself shall read; NULL-ended */
	size_t count;
	struct cx_mount_options options;
};

static void free_mount(struct mount *m)
{
	free(m->object);
	free(m->target);
	free(m->context);
	free(m->data);
}
#define automount cx_cleanup(free_mount) struct mount

/* "/a//b/./../c" -> "/a/c", by the letters as runc does it; a relative one begins at "/". */
static char *clean_path(const char *path)
{
	char *clean = malloc(strlen(path) + 2), *end = clean;

	if (!clean)
		return NULL;
	while (*path) {
		size_t n = strcspn(path, "/");

		if (n == 2 && !memcmp(path, "..", 2)) {
			while (end > clean && *--end != '/')
				;
		} else if (n && !(n == 1 && *path == '.')) {
			*end++ = '/';
			memcpy(end, path, n);
			end += n;
		}
		path += n + (path[n] == '/');
	}
	if (end == clean)
		*end++ = '/';
	*end = '\0';
	return clean;
}

/* gid=5 is every distribution's group of terminals; where a user namespace has no gid 5
 * the kernel would refuse it, and the owner's group is right. */
static int maps_gid(const struct cx_compile *c, int64_t gid)
{
	const json_t *map;
	size_t i;

	if (!c->userns)
		return !c->nested || cx_ids_mapped("gid_map", gid);
	json_array_foreach(cx_json_at(c->spec, "linux.gidMappings"), i, map)
	{
		int64_t first = cx_json_int(map, "containerID", 0);

		if (gid >= first && gid - first < cx_json_int(map, "size", 0))
			return 1;
	}
	return 0;
}

static int is_idle(const struct cx_compile *c, const char *type, const char *option)
{
	if (!type || strcmp(type, "devpts"))
		return 0;
	/* each devpts is an instance of its own since Linux 4.7 */
	return !strcmp(option, "newinstance")
	       || (!strncmp(option, "gid=", 4) && !maps_gid(c, atoll(option + 4)));
}

static void read_options(const struct cx_compile *c, const json_t *list, struct mount *m)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry)
	{
		const char *option = json_string_value(entry);

		if (option && !is_idle(c, m->type, option)
			&& cx_rootfs_add_option(&m->options, option) != CX_OPTION_KNOWN)
			m->data[m->count++] = option;
	}
	if (m->type && !strcmp(m->type, "bind"))
		m->options.flags |= CX_OPTION_BIND;
}

/* SELinux's label for all files of a new file system; the kernel's own have labels already. */
static int add_context(const struct cx_compile *c, struct mount *m)
{
	static const char *const labelled[] = { "proc", "sysfs", "mqueue", "cgroup", "cgroup2",
		"bind" };
	const char *label = cx_json_text(c->spec, "linux.mountLabel");

	if (!label || !*label || c->unlabelled || !m->type || (m->options.flags & (CX_OPTION_BIND | CX_OPTION_REMOUNT)))
		return 0;
	for (size_t i = 0; i < CX_ARRAY_SIZE(labelled); i++)
		if (!strcmp(m->type, labelled[i]))
			return 0;
	if (asprintf(&m->context, "context=%s", label) < 0) {
		m->context = NULL;
		return -ENOMEM;
	}
	m->data[m->count++] = m->context;
	return 0;
}

static int read_mount(const struct cx_compile *c, const json_t *entry, size_t index,
	struct mount *m, conex_error **err)
{
	const json_t *options = json_object_get(entry, "options");
	const char *target = cx_json_text(entry, "destination");

	m->type = cx_json_text(entry, "type");
	m->source = cx_json_text(entry, "source");
	m->target = clean_path(target ? target : "");
	m->data = calloc(json_array_size(options) + 2, sizeof *m->data);
	if (!m->target || !m->data
		|| asprintf(&m->object, "mounts[%zu] %s", index, m->target) < 0) {
		m->object = NULL;
		return cx_fail_memory(err);
	}
	read_options(c, options, m);
	return add_context(c, m) < 0 ? cx_fail_memory(err) : 0;
}

static int is_bind(const struct mount *m)
{
	return (m->options.flags & CX_OPTION_BIND)
	       && !(m->options.flags & CX_OPTION_REMOUNT);
}

/* A new file system belongs to a namespace, and only who owns that one may mount it. */
static int check_owner(
	const struct cx_compile *c, const struct mount *m, conex_error **err)
{
	static const struct {
		const char *type;
		uint32_t kind;
		const char *name;
	} owners[] = {
		{ "proc", CONEX_NS_PID, "pid" },
		{ "sysfs", CONEX_NS_NET, "network" },
		{ "mqueue", CONEX_NS_IPC, "ipc" },
	};

	for (size_t i = 0; (c->userns || c->nested) && i < CX_ARRAY_SIZE(owners); i++)
		if (!strcmp(m->type, owners[i].type)
			&& !((c->made | c->joined | c->given) & owners[i].kind))
			return cx_refuse(err, -EPERM, m->object, m->type,
				"with a user namespace either a %s "
				"namespace as well, or a mount of type bind (rbind) from "
				"the host",
				owners[i].name);
	return 0;
}

static int check_mount(
	const struct cx_compile *c, const struct mount *m, conex_error **err)
{
	uint32_t flags = m->options.flags;

	if (!strcmp(m->target, "/") && !(flags & CX_OPTION_REMOUNT))
		return cx_refuse(
			err, -EINVAL, m->object, "/", "root.path for the root itself");
	if (c->apart
		&& (flags & CX_OPTION_REMOUNT || m->options.propagation & (MS_SHARED | MS_UNBINDABLE)))
		return cx_refuse(err, -EOPNOTSUPP, m->object, NULL,
			"no remount, shared or unbindable, or a mount namespace of its own: "
			"add {\"type\": \"mount\"} to linux.namespaces");
	if (flags & CX_OPTION_REMOUNT)
		return !m->data[0] || (flags & CX_OPTION_BIND)
			       ? 0
			       : cx_refuse(err, -EOPNOTSUPP, m->object, m->data[0],
				       "only attributes (ro, nosuid …) with remount; put "
				       "the rest into the first mount");
	if (flags & CX_OPTION_BIND)
		return m->source && m->source[0] == '/'
			       ? 0
			       : cx_refuse(err, -EINVAL, m->object, m->source,
				       "the absolute path of a source");
	if (!m->type || !strcmp(m->type, "none"))
		return cx_refuse(err, -EINVAL, m->object, m->type,
			"a type, or the option bind or rbind");
	if ((flags & CX_OPTION_COPY_UP) && strcmp(m->type, "tmpfs"))
		return cx_refuse(err, -EINVAL, m->object, "tmpcopyup",
			"this option with type tmpfs only");
	return check_owner(c, m, err);
}

/* Where a link on the way would be an attack: what the kernel's own file systems and /dev
 * hold is trusted by the programs inside (CVE-2019-19921, CVE-2023-27561). */
static unsigned target_flags(const struct mount *m)
{
	static const char *const types[] = { "proc", "sysfs", "cgroup", "cgroup2",
		"devpts", "mqueue" };
	static const char *const places[] = { "/proc", "/sys", "/dev" };

	for (size_t i = 0; m->type && i < CX_ARRAY_SIZE(types); i++)
		if (!strcmp(m->type, types[i]))
			return CX_MOUNT_STRICT;
	for (size_t i = 0; i < CX_ARRAY_SIZE(places); i++) {
		size_t n = strlen(places[i]);

		if (!strncmp(m->target, places[i], n)
			&& (m->target[n] == '\0' || (m->target[n] == '/' && !is_bind(m))))
			return CX_MOUNT_STRICT;
	}
	return 0;
}

static void add_attributes(struct cx_compile *c, const struct mount *m, uint64_t set,
	uint64_t clear, uint32_t propagation, unsigned flags)
{
	if (set || clear || propagation)
		cx_op(c->build, attributes, m->object, cx_cell_text(c->build, m->target),
			set, clear, propagation, flags | target_flags(m));
}

static void compile_remount(struct cx_compile *c, const struct mount *m)
{
	const struct cx_mount_options *o = &m->options;
	unsigned deep = o->propagation & MS_REC ? AT_RECURSIVE : 0;

	add_attributes(c, m, o->deep_set, o->deep_clear, 0, AT_RECURSIVE);
	add_attributes(c, m, o->set, o->clear, deep ? 0 : o->propagation, 0);
	if (deep)
		add_attributes(c, m, 0, 0, o->propagation & ~MS_REC, deep);
}

/* Attributes go onto the tree before it is mounted, so that there is no moment without
 * them. */
static void compile_bind(struct cx_compile *c, const struct mount *m, uint32_t source)
{
	const struct cx_mount_options *o = &m->options;
	uint64_t set = o->set, clear = o->clear, propagation = o->propagation;
	uint64_t target = cx_cell_text(c->build, m->target);
	unsigned flags = target_flags(m);
	int deep = o->deep_set || o->deep_clear,
	    single = !(o->flags & CX_OPTION_RECURSIVE);

	if (propagation & MS_PRIVATE && cx_rootfs_isolated(c))
		propagation = 0;
	if (deep && single) { /* nothing is below: one and the same */
		set |= o->deep_set;
		clear |= o->deep_clear & ~o->set;
	} else if (deep) {
		cx_op(c->build, mount_source, m->object, source, target,
			flags | AT_RECURSIVE, o->deep_set, o->deep_clear, propagation);
		add_attributes(c, m, set, clear, 0, 0);
		return;
	}
	cx_op(c->build, mount_source, m->object, source, target, flags, set, clear,
		propagation);
}

static void compile_new(struct cx_compile *c, const struct mount *m)
{
	const struct cx_mount_options *o = &m->options;
	struct cx_build *b = c->build;
	uint64_t set = (o->deep_set & ~o->clear) | o->set;
	unsigned copy_up = o->flags & CX_OPTION_COPY_UP ? CX_MOUNT_COPY_UP : 0;

	cx_op(b, mount_new, m->object, cx_cell_text(b, m->type),
		cx_cell_text(b, m->source), cx_cell_text(b, m->target),
		m->count ? cx_cell_list(b, m->data) : 0, set, target_flags(m) | copy_up);
	/* what is new is private and has no master: only these change anything */
	if (o->propagation & (MS_SHARED | MS_UNBINDABLE))
		add_attributes(c, m, 0, 0, o->propagation & ~MS_REC, 0);
}

static int compile_mount(
	struct cx_compile *c, const struct mount *m, uint32_t *source, conex_error **err)
{
	int r = check_mount(c, m, err);

	if (r < 0)
		return r;
	if (m->options.flags & CX_OPTION_REMOUNT)
		compile_remount(c, m);
	else if (is_bind(m))
		compile_bind(c, m, (*source)++);
	else if (strcmp(m->type, "cgroup") && strcmp(m->type, "cgroup2"))
		compile_new(c, m);
	else if (c->mount_cgroup)
		return c->mount_cgroup(c, m->object, m->target,
			m->options.set | m->options.deep_set, err);
	else
		return cx_refuse(err, -EOPNOTSUPP, m->object, m->type,
			"no cgroup mount: this plan has no cgroup");
	return 0;
}

int cx_rootfs_compile_mounts(struct cx_compile *c, uint32_t *source, conex_error **err)
{
	const json_t *entry;
	size_t i;
	int r;

	json_array_foreach(json_object_get(c->spec, "mounts"), i, entry)
	{
		automount m = { .type = NULL };

		r = read_mount(c, entry, i, &m, err);
		if (r == 0)
			r = compile_mount(c, &m, source, err);
		if (r < 0)
			return r;
	}
	cx_rootfs_compile_files(c, source);
	return 0;
}

static uint64_t map_cell(struct cx_compile *c, const json_t *entry, const char *which)
{
	const json_t *map = json_object_get(entry, which), *linux_ = cx_json_at(c->spec, "linux");

	return cx_cell_map(c->build, json_array_size(map) ? map : json_object_get(linux_, which));
}

/* The ids of the mount's own mappings, or as the container's user namespace has them. */
static void add_idmap(struct cx_compile *c, const struct mount *m, const json_t *entry,
	uint32_t source, uint32_t propagation)
{
	if (m->options.flags & CX_OPTION_IDMAP)
		cx_op(c->build, idmap, m->object, source,
			m->options.flags & CX_OPTION_IDMAP_DEEP ? AT_RECURSIVE : 0,
			map_cell(c, entry, "uidMappings"), map_cell(c, entry, "gidMappings"),
			propagation);
}

static unsigned tree_flags(const struct mount *m)
{
	return m->options.flags & CX_OPTION_RECURSIVE ? AT_RECURSIVE : 0;
}

/* The kernel lists mounts by age, so a bind is cloned only when its turn comes; held until
 * then. Not what the host shall see the mounts of (it is the host's peer no more then), not
 * what gets an id map of its own, nor in user namespaces, where a clone can fail on its
 * own account. */
static unsigned source_flags(const struct cx_compile *c, const struct mount *m)
{
	const char *propagation = cx_json_text(c->spec, "linux.rootfsPropagation");

	if (c->apart)
		return CX_SOURCE_PRIVATE;
	if (c->userns || c->nested || m->options.flags & CX_OPTION_IDMAP
		|| (propagation && cx_rootfs_propagation(propagation) & MS_SHARED))
		return 0;
	return CX_SOURCE_LATE;
}

int cx_rootfs_compile_mapped_sources(struct cx_compile *c, uint32_t propagation, conex_error **err)
{
	uint32_t source = CX_ROOTFS_ROOT_SOURCE + 1;
	const json_t *entry;
	size_t i;
	int r;

	json_array_foreach(json_object_get(c->spec, "mounts"), i, entry)
	{
		automount m = { .type = NULL };

		r = read_mount(c, entry, i, &m, err);
		if (r == 0)
			r = check_mount(c, &m, err);
		if (r < 0)
			return r;
		if (m.options.flags & CX_OPTION_IDMAP) {
			cx_op(c->build, source, m.object, source,
				cx_cell_text(c->build, m.source), tree_flags(&m));
			add_idmap(c, &m, entry, source, propagation);
		}
		source += (uint32_t)is_bind(&m);
	}
	return 0;
}

int cx_rootfs_compile_mount_sources(struct cx_compile *c, conex_error **err)
{
	const json_t *entry;
	size_t i;
	int r;

	json_array_foreach(json_object_get(c->spec, "mounts"), i, entry)
	{
		automount m = { .type = NULL };

		r = read_mount(c, entry, i, &m, err);
		if (r < 0)
			return r;
		if (!is_bind(&m))
			continue;
		r = check_mount(c, &m, err);
		if (r == 0 && c->userns && m.options.flags & CX_OPTION_IDMAP)
			r = cx_rootfs_skip_source(c, m.object, err); /* open already */
		else if (r == 0)
			r = cx_rootfs_add_source(c, m.object,
				cx_cell_text(c->build, m.source),
				tree_flags(&m) | source_flags(c, &m), err);
		if (r < 0)
			return r;
		if (!c->userns)
			add_idmap(c, &m, entry, c->build->sources - 1, 0);
	}
	return cx_rootfs_compile_file_sources(c, err);
}

static int has_option(const json_t *mount, int (*test)(const char *))
{
	const json_t *option;
	size_t i;

	json_array_foreach(json_object_get(mount, "options"), i,
		option) if (json_is_string(option)
			    && test(json_string_value(option))) return 1;
	return 0;
}

static int says_bind(const char *option)
{
	return !strcmp(option, "bind") || !strcmp(option, "rbind");
}

static int says_follow(const char *option)
{
	return !!(cx_rootfs_propagation(option) & (MS_SLAVE | MS_SHARED));
}

int cx_rootfs_dev_is_bound(const json_t *spec)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(spec, "mounts"), i, entry)
	{
		const char *type = cx_json_text(entry, "type");
		const char *target = cx_json_text(entry, "destination");
		cx_autofree char *clean = target ? clean_path(target) : NULL;

		if (clean && !strcmp(clean, "/dev")
			&& ((type && !strcmp(type, "bind"))
				|| has_option(entry, says_bind)))
			return 1;
	}
	return 0;
}

static int says_idmap(const char *option)
{
	return !strcmp(option, "idmap") || !strcmp(option, "ridmap");
}

/* Only a new user namespace has mappings of its own; a joined one makes two stages anyway. */
int cx_rootfs_needs_outside(const json_t *spec)
{
	const json_t *entry;
	size_t i;

	if (!cx_json_at(spec, "linux.uidMappings"))
		return 0;
	if (cx_json_true(spec, "root.overlay.idmap"))
		return 1;
	json_array_foreach(json_object_get(spec, "mounts"), i, entry)
		if (has_option(entry, says_idmap))
			return 1;
	return 0;
}

int cx_rootfs_mounts_follow_host(const json_t *spec)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(spec, "mounts"), i,
		entry) if (has_option(entry, says_follow)) return 1;
	return 0;
}
