/* The root file system and the order of all around it: spec -> plan operations, which
 * child.c runs. Mounts are compiled in mounts.c, /dev in devices.c. */
#include "rootfs/parts.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/utsname.h>
#include "base/error.h"
#include "base/kernel.h"
#include "spec/spec.h"

/* Without a mount namespace of its own and without a root a container has the file system
 * of the namespace that it is in. */
static int active(const struct cx_compile *c)
{
	return !c->exec && ((c->made & CONEX_NS_MOUNT) || c->apart);
}

static uint32_t asked_propagation(const struct cx_compile *c)
{
	const char *name = cx_json_text(c->spec, "linux.rootfsPropagation");

	return name ? cx_rootfs_propagation(name) : 0;
}

/* What the copy of the host's mounts becomes before anything is cloned from it. Private,
 * unless somebody wants to see what the host mounts later: a private mount can't be made
 * a slave any more. */
static uint32_t host_propagation(const struct cx_compile *c)
{
	if ((asked_propagation(c) & MS_SLAVE) || cx_rootfs_mounts_follow_host(c->spec))
		return MS_SLAVE | MS_REC;
	return MS_PRIVATE | MS_REC;
}

int cx_rootfs_isolated(const struct cx_compile *c)
{
	return c->apart
	       || (!(asked_propagation(c) & MS_SHARED) && (host_propagation(c) & MS_PRIVATE));
}

int cx_rootfs_skip_source(struct cx_compile *c, const char *object, conex_error **err)
{
	/* the child keeps the last numbers for itself (child-path.h) */
	if (c->build->sources + 8 >= CX_ROOTFS_SOURCES)
		return cx_refuse(err, -E2BIG, object, NULL,
			"at most %d bind mounts and bound devices",
			CX_ROOTFS_SOURCES - 9);
	c->build->sources++;
	return 0;
}

int cx_rootfs_add_source(struct cx_compile *c, const char *object, uint64_t path_cell,
	unsigned tree_flags, conex_error **err)
{
	int r = cx_rootfs_skip_source(c, object, err);

	if (r == 0)
		cx_op(c->build, source, object, c->build->sources - 1, path_cell, tree_flags);
	return r;
}

static int compile_root_source(struct cx_compile *c, conex_error **err)
{
	const char *path = cx_json_text(c->spec, "root.path");

	if (cx_json_at(c->spec, "root.overlay"))
		return 0;
	if (!path || path[0] != '/')
		return cx_refuse(err, -EINVAL, "root.path", path,
			"the absolute path of a directory with the root file system");
	cx_op(c->build, source, "root.path", CX_ROOTFS_ROOT_SOURCE,
		cx_cell_slot(c->build, CX_SLOT_ROOTFS, path),
		AT_RECURSIVE | (c->apart ? CX_SOURCE_PRIVATE : 0));
	return 0;
}

static int kernel_is(int major, int minor)
{
	struct utsname u;
	int a = 0, b = 0;

	return uname(&u) == 0 && sscanf(u.release, "%d.%d", &a, &b) == 2
	       && (a > major || (a == major && b >= minor));
}

/* The namespace's mounts are others' as well, and nothing may be mounted there: what this
 * container has is a tree that no namespace knows, cloned before any is joined, for paths
 * are the host's. A user namespace has no rights to clone from a mount namespace that isn't
 * its own. */
static int compile_apart(struct cx_compile *c, conex_error **err)
{
	int r;

	if (!kernel_is(6, 15)) /* the first that mounts on what is itself detached */
		return cx_refuse(err, -EOPNOTSUPP, "linux.namespaces", NULL,
			"{\"type\": \"mount\"}: a root file system in somebody else's "
			"mount namespace takes Linux 6.15");
	if (c->userns)
		return cx_refuse(err, -EPERM, "linux.namespaces", "user",
			"with a user namespace a mount namespace as well: "
			"add {\"type\": \"mount\"}");
	c->build->sources = CX_ROOTFS_ROOT_SOURCE + 1;
	r = compile_root_source(c, err);
	return r < 0 ? r : cx_rootfs_compile_mount_sources(c, err);
}

static int is_mapped(const struct cx_compile *c)
{
	return c->userns && cx_json_true(c->spec, "root.overlay.idmap");
}

static int compile_overlay(struct cx_compile *c, const json_t *overlay, conex_error **err)
{
	struct cx_build *b = c->build;
	const json_t *lower = json_object_get(overlay, "lower");
	const char *upper = cx_json_text(overlay, "upper"),
		   *work = cx_json_text(overlay, "work");
	size_t n = json_array_size(lower);
	cx_autofree const char **list = calloc(n + 1, sizeof *list);

	if (!list)
		return cx_fail_memory(err);
	for (size_t i = 0; i < n; i++) {
		list[i] = json_string_value(json_array_get(lower, i));
		if (!list[i] || list[i][0] != '/')
			return cx_refuse(err, -EINVAL, "root.overlay.lower", list[i],
				"absolute paths of directories");
	}
	if (n == 0)
		return cx_refuse(err, -EINVAL, "root.overlay.lower", NULL,
			"at least one directory");
	if (!upper != !work)
		return cx_refuse(err, -EINVAL,
			upper ? "root.overlay.work" : "root.overlay.upper", NULL,
			"upper and work together, both in one file system; or neither, "
			"for a read-only root");
	if (cx_json_int(c->spec, "root.overlay.disk", 0))
		cx_op(b, disk, "root.overlay.disk");
	/* in a user namespace trusted.* attributes can't be written; the overlay keeps
	 * its notes in user.*. One that the host's root makes for it has what those have, too:
	 * no devices. Elsewhere, whatever this kernel's default is, what was renamed
	 * or changed is whole in the upper directory (this turns metacopy off, too), so that
	 * it can be made a layer of. */
	cx_op(b, overlay, "root.overlay", CX_ROOTFS_ROOT_SOURCE,
		cx_cell_slot_list(b, CX_SLOT_LOWER, list),
		cx_cell_slot(b, CX_SLOT_UPPER, upper),
		cx_cell_slot(b, CX_SLOT_WORK, work),
		cx_cell_text(b, (c->userns && !is_mapped(c)) || c->nested ? "userxattr" : "redirect_dir=follow"),
		is_mapped(c) ? CX_MOUNT_ATTR_NODEV : 0);
	return 0;
}

/* The layers are root's; what is shown inside are the ids that they have there. Who maps
 * them has to be root outside, and then the overlay is his, too: it is handed on like all
 * that is mapped. */
static int compile_mapped_overlay(struct cx_compile *c, conex_error **err)
{
	if (c->rootless || c->nested)
		return cx_refuse(err, -EPERM, "root.overlay.idmap", "true",
			"only root outside of all user namespaces may map ids: leave it out");
	if (!(c->made & CONEX_NS_USER))
		return cx_refuse(err, -EOPNOTSUPP, "root.overlay.idmap", "true",
			"it takes the maps of a user namespace of its own: join none");
	if (!kernel_is(5, 19))
		return cx_refuse(err, -EOPNOTSUPP, "root.overlay.idmap", "true",
			"an overlay of layers with mapped ids (an image with a user namespace) "
			"takes Linux 5.19");
	cx_op(c->build, map_layers, "linux.uidMappings",
		cx_cell_map(c->build, cx_json_at(c->spec, "linux.uidMappings")),
		cx_cell_map(c->build, cx_json_at(c->spec, "linux.gidMappings")));
	return compile_overlay(c, cx_json_at(c->spec, "root.overlay"), err);
}

/* A file system belongs to the user namespace that mounted it, and only who has rights there may
 * map its ids: with a user namespace of its own the container's first stage does it, as the host's
 * root, and hands the detached trees on; the keeper needs not know of it. */
int cx_rootfs_compile_outside(struct cx_compile *c, conex_error **err)
{
	uint32_t shared = asked_propagation(c) & MS_SHARED;

	if (c->apart && !c->exec)
		return compile_apart(c, err);
	if (!active(c) || !c->userns)
		return 0;
	if (is_mapped(c)) {
		int r = compile_mapped_overlay(c, err);

		if (r < 0)
			return r;
	}
	return cx_rootfs_compile_mapped_sources(c,
		shared ? 0 : host_propagation(c) & ~(uint32_t)MS_REC, err);
}

int cx_rootfs_compile_sources(struct cx_compile *c, conex_error **err)
{
	int shared = !!(asked_propagation(c) & MS_SHARED), r;

	if (!active(c) || c->apart)
		return 0;
	c->build->sources = CX_ROOTFS_ROOT_SOURCE + 1;
	/* A bind that shall hand mounts back to the host has to be cloned while it still
	 * is the host's peer; all others, and always the root, after the ties are cut. */
	if (shared && (r = cx_rootfs_compile_mount_sources(c, err)) < 0)
		return r;
	cx_op(c->build, propagation, "linux.rootfsPropagation", host_propagation(c));
	r = compile_root_source(c, err);
	if (r == 0 && !shared)
		r = cx_rootfs_compile_mount_sources(c, err);
	return r < 0 ? r : cx_rootfs_compile_device_sources(c, err);
}

static void compile_volumes(struct cx_compile *c, const json_t *overlay)
{
	const json_t *path;
	size_t i;

	json_array_foreach(json_object_get(overlay, "volumes"), i, path)
		cx_op(c->build, directory, "root.overlay.volumes", cx_cell_text(c->build, json_string_value(path)), 0755);
}

int cx_rootfs_compile(struct cx_compile *c, conex_error **err)
{
	const json_t *overlay = cx_json_at(c->spec, "root.overlay");
	const char *path = cx_json_text(c->spec, "root.path");
	uint32_t source = CX_ROOTFS_ROOT_SOURCE + 1;
	int r = 0;

	if (!active(c))
		return 0;
	if (overlay && !is_mapped(c))
		r = compile_overlay(c, overlay, err);
	if (r < 0)
		return r;
	cx_op(c->build, root, "root", CX_ROOTFS_ROOT_SOURCE,
		overlay ? 0 : cx_cell_slot(c->build, CX_SLOT_ROOTFS, path), c->apart);
	compile_volumes(c, overlay);
	r = cx_rootfs_compile_mounts(c, &source, err);
	return r < 0 ? r : cx_rootfs_compile_devices(c, source, err);
}

int cx_rootfs_compile_finish(struct cx_compile *c, conex_error **err)
{
	uint32_t asked = asked_propagation(c);

	(void)err;
	if (c->exec && c->apart)
		cx_op(c->build, chroot, "root");
	if (!active(c))
		return 0;
	if (c->apart)
		cx_op(c->build, chroot, "root");
	else
		cx_op(c->build, pivot, NULL);
	/* private and slave it is already, since before it was cloned */
	if (asked & (MS_SHARED | MS_UNBINDABLE))
		cx_op(c->build, attributes, "linux.rootfsPropagation",
			cx_cell_text(c->build, "/"), 0, 0, asked & ~MS_REC,
			asked & MS_REC ? AT_RECURSIVE : 0);
	return 0;
}

int cx_rootfs_compile_protect(struct cx_compile *c, conex_error **err)
{
	struct cx_build *b = c->build;
	const json_t *entry;
	size_t i;

	(void)err;
	if (!active(c))
		return 0;
	json_array_foreach(cx_json_at(c->spec, "linux.maskedPaths"), i, entry) cx_op(
		b, mask, "linux.maskedPaths", cx_cell_text(b, json_string_value(entry)));
	json_array_foreach(cx_json_at(c->spec, "linux.readonlyPaths"), i, entry)
		cx_op(b, read_only, "linux.readonlyPaths",
			cx_cell_text(b, json_string_value(entry)));
	if (cx_json_true(c->spec, "root.readonly"))
		cx_op(b, attributes, "root.readonly", cx_cell_text(b, "/"),
			CX_MOUNT_ATTR_RDONLY);
	return 0;
}
