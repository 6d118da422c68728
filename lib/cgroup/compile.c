/* spec -> plan: where a container's cgroup is, joining it, its namespace, and seeing it at /sys/fs/cgroup. */
#include "cgroup/internal.h"
#include "base/kernel.h"
#include "cgroup/scope.h"
#include "spec/spec.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

/* No empty part, no "." or "..": what is a name stays below what it counts from. */
static int check_path(const char *path, conex_error **err)
{
	const char *p = path + (*path == '/');

	if (strlen(path) > PATH_MAX / 2 || strchr(path, '\n'))
		return cx_refuse(err, -EINVAL, "linux.cgroupsPath", path,
			"too long, or with a line's end in it");
	do {
		size_t n = strcspn(p, "/");

		if (n == 0 || n > NAME_MAX || (n == 1 && p[0] == '.')
		    || (n == 2 && p[0] == '.' && p[1] == '.'))
			return cx_refuse(err, -EINVAL, "linux.cgroupsPath", path,
				"write a path without empty parts, \".\" and \"..\", as \"/conex/web\" or \"web\"");
		p += n;
	} while (*p++);
	return 0;
}

int cx_cgroup_path(const struct cx_cgroups *g, const char *cgroups_path, const char *id,
	char **ret, conex_error **err)
{
	char *made = NULL;
	int r, n;

	if (cx_cgroups_by_systemd(g))
		return cx_scope_path(g->manager_root ? g->manager_root : "", g->slice, cgroups_path, id, ret, err);
	if (cgroups_path && cx_scope_is_slice_form(cgroups_path))
		return cx_refuse(err, -EINVAL, "linux.cgroupsPath", cgroups_path, "this is of systemd's driver: force that one "
			"(conex_options.cgroup_driver = \"systemd\", conex-oci --systemd-cgroup), or write a path, as \"/conex/web\"");
	if (!cgroups_path || !*cgroups_path) {
		n = asprintf(&made, "%s/%s", g->parent, id);
	} else if ((r = check_path(cgroups_path, err)) < 0) {
		return r;
	} else if (*cgroups_path == '/') {
		n = (made = strdup(cgroups_path + 1)) ? 0 : -1;
	} else {
		n = asprintf(&made, "%s/%s", g->parent, cgroups_path);
	}
	if (n < 0)
		return cx_fail_memory(err);
	*ret = made;
	return 0;
}

void cx_cgroup_compile_place(struct cx_compile *c)
{
	if (c->placed)
		cx_op(c->build, barrier, "linux.cgroupsPath", CX_BARRIER_CGROUP);
}

int cx_cgroup_compile(struct cx_compile *c, const struct cx_cgroups *g, conex_error **err)
{
	(void)err; /* want of memory is remembered by the builder */
	for (size_t i = 0; i < g->count; i++)
		if (!g->h[i].driver->v2) /* v2: CLONE_INTO_CGROUP */
			cx_op(c->build, cgroup_attach, "linux.cgroupsPath",
				cx_cell_text(c->build, g->h[i].mount),
				cx_cell_slot(c->build, CX_SLOT_CGROUP, NULL));
	if (c->made & CONEX_NS_CGROUP) /* after the attaching: what we are in now is "/" there */
		cx_op(c->build, unshare, "linux.namespaces cgroup", CLONE_NEWCGROUP);
	return 0;
}

/* As hosts name it: "cpu,cpuacct", "systemd" (name=systemd), "unified" */
static const char *host_name(const struct cx_hierarchy *h)
{
	if (h->driver->v2)
		return "unified";
	return h->controllers + (strncmp(h->controllers, "name=", 5) ? 0 : 5);
}

int cx_cgroup_compile_mount(struct cx_compile *c, const char *object, const char *target,
	uint64_t attributes, conex_error **err)
{
	const struct cx_cgroups *g = c->cgroups;
	const char *list[2 * CX_CGROUP_HIERARCHIES + 1];
	size_t n = 0;

	(void)err;
	for (size_t i = 0; g && i < g->count; i++) {
		list[n++] = g->h[i].mount;
		list[n++] = g->count > 1 || !g->h[i].driver->v2 ? host_name(&g->h[i]) : "";
	}
	list[n] = NULL;
	cx_op(c->build, mount_cgroup, object, cx_cell_list(c->build, list),
		cx_cell_slot(c->build, CX_SLOT_CGROUP, NULL),
		cx_cell_text(c->build, target), attributes);
	return 0;
}

static int path_of(const struct cx_hierarchy *h, const char *path, const char *file,
	char **ret)
{
	char *made = NULL;

	if (h && asprintf(&made, "%s/%s%s%s", h->mount, path, *file ? "/" : "", file) < 0)
		return -ENOMEM;
	*ret = made;
	return 0;
}

int cx_cgroup_clone_path(const struct cx_cgroups *g, const char *path, char **ret)
{
	return path_of(cx_cgroups_v2(g), path, "", ret);
}

/* cgroup.kill is there since 5.14, the oldest kernel that we run on. */
int cx_cgroup_kill_path(const struct cx_cgroups *g, const char *path, char **ret)
{
	const struct cx_hierarchy *h = cx_cgroups_v2(g);

	if (h)
		return path_of(h, path, "cgroup.kill", ret);
	return path_of(g->count ? &g->h[0] : NULL, path, "tasks", ret);
}
