/* The meaning of a spec's mounts, devices, masked paths and cgroup path. */
#include "spec/check.h"

#include <stdio.h>

/* Every option that the runtime-spec names (config.md, "Linux mount options"). The
 * rest is data for the file system; a bind has none to give it to: "size=5m" is let pass
 * there, as engines write it, a word may be a slip for one of these. */
static const char *const options[] = {
	"async", "atime", "bind", "defaults", "dev", "diratime", "dirsync", "exec",
	"iversion", "lazytime", "loud", "mand", "noatime", "nodev", "nodiratime",
	"noexec", "noiversion", "nolazytime", "nomand", "norelatime", "nostrictatime",
	"nosuid", "nosymfollow", "private", "ratime", "rbind", "rdev", "rdiratime",
	"relatime", "remount", "rexec", "rnoatime", "rnodev", "rnodiratime", "rnoexec",
	"rnorelatime", "rnostrictatime", "rnosuid", "rnosymfollow", "ro", "rprivate",
	"rrelatime", "rro", "rrw", "rshared", "rslave", "rstrictatime", "rsuid",
	"rsymfollow", "runbindable", "rw", "shared", "silent", "slave", "strictatime",
	"suid", "symfollow", "sync", "tmpcopyup", "unbindable", "idmap", "ridmap"
};

static int option_known(const char *option)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(options); i++)
		if (!strcmp(option, options[i]))
			return 1;
	return 0;
}

int cx_spec_mount_binds(const json_t *mount)
{
	const json_t *list = json_object_get(mount, "options");
	const char *type = cx_json_text(mount, "type");

	return (type && !strcmp(type, "bind")) || cx_json_has(list, "bind")
		|| cx_json_has(list, "rbind");
}

static int check_options(const json_t *mount, size_t m, conex_error **err)
{
	int bind = cx_spec_mount_binds(mount);
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(mount, "options"), i, item) {
		const char *option = json_string_value(item);

		if (!*option)
			return cx_spec_bad(err, item, "remove it: an option has a name",
				"mounts[%zu].options[%zu]", m, i);
		if (bind && !option_known(option) && !strchr(option, '='))
			return cx_spec_bad(err, item,
				"a bind takes only the options that the "
				"runtime-spec names (ro, nosuid ...): remove it",
				"mounts[%zu].options[%zu]", m, i);
	}
	return 0;
}

static int check_idmap(const json_t *root, const json_t *mount, size_t m, conex_error **err)
{
	const json_t *list = json_object_get(mount, "options");
	const json_t *uids = cx_json_at(mount, "uidMappings");
	const json_t *gids = cx_json_at(mount, "gidMappings");
	int mapped = cx_json_has(list, "idmap") || cx_json_has(list, "ridmap"), r;
	char where[64];

	if (!uids != !gids)
		return cx_spec_bad(err, NULL,
			"uidMappings and gidMappings come together: add it",
			"mounts[%zu].%s", m, uids ? "gidMappings" : "uidMappings");
	if (uids && !mapped)
		return cx_spec_bad(err, uids,
			"mappings of a mount need the option \"idmap\" or \"ridmap\"",
			"mounts[%zu].uidMappings", m);
	if (mapped && !cx_spec_mount_binds(mount))
		return cx_spec_bad(err, NULL, "ids are mapped for binds only: remove the option idmap",
			"mounts[%zu].options", m);
	if (mapped && !uids && cx_spec_namespace(root, "user") != 1)
		return cx_spec_bad(err, NULL,
			"without a new user namespace, whose mappings would serve, idmap needs its own",
			"mounts[%zu].uidMappings", m);
	snprintf(where, sizeof where, "mounts[%zu].uidMappings", m);
	r = cx_spec_check_ranges(uids, where, err);
	snprintf(where, sizeof where, "mounts[%zu].gidMappings", m);
	return r < 0 ? r : cx_spec_check_ranges(gids, where, err);
}

static int check_mount(const json_t *root, const json_t *mount, size_t m, conex_error **err)
{
	const json_t *to = json_object_get(mount, "destination");
	const char *destination = json_string_value(to);
	const char *type = cx_json_text(mount, "type");
	const char *source = cx_json_text(mount, "source");
	int r, bind = cx_spec_mount_binds(mount);

	/* A relative destination is taken from "/": so the runtime-spec, since 1.1. */
	if (cx_path_climbs(destination))
		return cx_spec_bad(err, to,
			"write the path as the container sees it, without \"..\"",
			"mounts[%zu].destination", m);
	if (!destination[strspn(destination, "/.")])
		return cx_spec_bad(err, to,
			"the root file system is root.path, not a mount",
			"mounts[%zu].destination", m);
	if (bind && (!source || !*source))
		return cx_spec_bad(err, NULL,
			"a bind needs what to bind: give a path of the host",
			"mounts[%zu].source", m);
	if (!bind && (!type || !*type))
		return cx_spec_bad(err, NULL, "say what to mount: \"type\": \"tmpfs\" ...",
			"mounts[%zu].type", m);
	r = check_options(mount, m, err);
	return r < 0 ? r : check_idmap(root, mount, m, err);
}

int cx_spec_check_mounts(const json_t *root, conex_error **err)
{
	json_t *item;
	size_t i;
	int r = 0;

	json_array_foreach(cx_json_at(root, "mounts"), i, item)
		if (r == 0)
			r = check_mount(root, item, i, err);
	return r;
}

static int check_device(const json_t *list, size_t i, conex_error **err)
{
	const json_t *device = json_array_get(list, i);
	const json_t *path = json_object_get(device, "path");
	int fifo = !strcmp(cx_json_text(device, "type"), "p");
	static const char *const numbers[] = { "major", "minor" };

	for (size_t k = 0; k < 2 && !fifo; k++)
		if (!cx_json_at(device, numbers[k]))
			return cx_spec_bad(err, NULL,
				"a device has a major and a minor number "
				"(ls -l shows them)",
				"linux.devices[%zu].%s", i, numbers[k]);
	if (cx_json_find(list, i, "path", json_string_value(path)) >= 0)
		return cx_spec_bad(err, path,
			"two devices can't be at one path: remove one",
			"linux.devices[%zu].path", i);
	return 0;
}

/* Masks are mounts: without a mount namespace and a root of the container's they would be
 * the host's. */
static int check_masks(const json_t *root, const char *where, conex_error **err)
{
	const json_t *list = cx_json_at(root, where);

	if (json_array_size(list) && !cx_spec_namespace(root, "mount")
	    && !cx_json_at(root, "root.path") && !cx_json_at(root, "root.overlay"))
		return cx_spec_bad(err, list,
			"this would change the host's mounts: "
			"add {\"type\": \"mount\"} to linux.namespaces, or remove it",
			"%s", where);
	return 0;
}

int cx_spec_check_paths(const json_t *root, conex_error **err)
{
	const json_t *devices = cx_json_at(root, "linux.devices");
	const char *cgroup = cx_json_text(root, "linux.cgroupsPath");
	const json_t *files = cx_json_at(root, "root");
	int r = check_masks(root, "linux.maskedPaths", err);

	if (r == 0 && files && !cx_json_at(files, "path") && !cx_json_at(files, "overlay"))
		r = cx_spec_bad(err, NULL, "it is missing; give the directory of the root file system",
			"root.path");
	if (r == 0)
		r = check_masks(root, "linux.readonlyPaths", err);
	for (size_t i = 0; r == 0 && i < json_array_size(devices); i++)
		r = check_device(devices, i, err);
	if (r == 0 && cgroup && (cx_path_climbs(cgroup) || strlen(cgroup) > 4000))
		r = cx_spec_bad(err, cx_json_at(root, "linux.cgroupsPath"),
			"a path below the cgroup root, without \"..\": \"/conex/mine\"",
			"linux.cgroupsPath");
	return r;
}
