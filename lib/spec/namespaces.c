/* The meaning of a spec's namespaces, of the names that live in one, and of its id
 * mappings. */
#include "spec/check.h"

#include <stdio.h>

#define MAPPINGS_MAX 340        /* UID_GID_MAP_MAX_EXTENTS, since Linux 4.15 */
#define HOST_NAME_MAX_BYTES 64  /* __NEW_UTS_LEN */
#define DEVICE_NAME_MAX 15      /* IFNAMSIZ - 1 */
#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"

int cx_spec_namespace(const json_t *root, const char *type)
{
	const json_t *list = cx_json_at(root, "linux.namespaces");
	ssize_t i = cx_json_find(list, json_array_size(list), "type", type);

	if (i < 0)
		return 0;
	return cx_json_at(json_array_get(list, (size_t)i), "path") ? 2 : 1;
}

static int check_name(const json_t *root, const char *field, conex_error **err)
{
	const json_t *value = json_object_get(root, field);
	const char *name = json_string_value(value);

	if (!name || !*name)
		return 0;
	if (strlen(name) > HOST_NAME_MAX_BYTES)
		return cx_spec_bad(
			err, value, "the kernel takes at most 64 bytes", "%s", field);
	for (const char *p = name; *p; p++)
		if (!strchr(NAME_BYTES, *p))
			return cx_spec_bad(err, value,
				"letters, digits, '-', '.' and '_' make a name", "%s",
				field);
	if (!cx_spec_namespace(root, "uts"))
		return cx_spec_bad(err, value,
			"this would rename the host: "
			"add {\"type\": \"uts\"} to linux.namespaces, or leave it out",
			"%s", field);
	return 0;
}

/* Offsets are set before anybody is in the namespace: a joined one has its own. */
static int check_offsets(const json_t *root, conex_error **err)
{
	const json_t *offsets = cx_json_at(root, "linux.timeOffsets");

	if (!json_object_size(offsets) || cx_spec_namespace(root, "time") == 1)
		return 0;
	return cx_spec_bad(err, NULL, "offsets need a new time namespace: "
		"add {\"type\": \"time\"} to linux.namespaces", "linux.timeOffsets");
}

/* As the kernel's dev_valid_name; the runtime-spec's "%d" isn't taken, for nobody would know the name. */
static int device_name_right(const char *name)
{
	return *name && strlen(name) <= DEVICE_NAME_MAX && strcmp(name, ".") && strcmp(name, "..")
		&& !name[strcspn(name, "/:% \t\n\v\f\r")];
}

static int check_device_name(const char *name, const char *where, conex_error **err)
{
	if (device_name_right(name))
		return 0;
	return cx_refuse(err, -EINVAL, where, name,
		"the name of a network device: 1 to 15 bytes without / : %% and blanks");
}

/* Is this device the first to be called so inside? */
static int name_free(const json_t *devices, const char *until, const char *inside)
{
	const char *name;
	json_t *device;

	json_object_foreach((json_t *)devices, name, device) {
		const char *as = cx_json_text(device, "name");

		if (!strcmp(name, until))
			return 1;
		if (!strcmp(as && *as ? as : name, inside))
			return 0;
	}
	return 1;
}

static int check_devices(const json_t *root, conex_error **err)
{
	const json_t *devices = cx_json_at(root, "linux.netDevices");
	const char *name;
	json_t *device;
	int r = 0;

	json_object_foreach((json_t *)devices, name, device) {
		const char *as = cx_json_text(device, "name"), *inside = as && *as ? as : name;
		char where[64];

		snprintf(where, sizeof where, "linux.netDevices[\"%.32s\"].name", name);
		r = check_device_name(name, "linux.netDevices", err);
		if (r == 0)
			r = check_device_name(inside, where, err);
		if (r == 0 && !name_free(devices, name, inside))
			r = cx_refuse(err, -EINVAL, where, inside,
				"another device has this name inside already");
		if (r < 0)
			return r;
	}
	if (json_object_size(devices) && !cx_spec_namespace(root, "network"))
		return cx_spec_bad(err, NULL, "devices move into a network namespace: "
			"add {\"type\": \"network\"} to linux.namespaces", "linux.netDevices");
	return 0;
}

int cx_spec_check_namespaces(const json_t *root, conex_error **err)
{
	const json_t *list = cx_json_at(root, "linux.namespaces");
	json_t *item;
	size_t i;
	int r;

	json_array_foreach(list, i, item)
		if (cx_json_find(list, i, "type", cx_json_text(item, "type")) >= 0)
			return cx_spec_bad(err, json_object_get(item, "type"),
				"there can be one of a type only: remove the other",
				"linux.namespaces[%zu].type", i);
	r = check_offsets(root, err);
	if (r == 0)
		r = check_devices(root, err);
	if (r == 0)
		r = check_name(root, "hostname", err);
	return r < 0 ? r : check_name(root, "domainname", err);
}

/* Do two ranges of ids meet? Starts and sizes are below 2^32, so sums don't overflow. */
static int ranges_meet(const json_t *a, const json_t *b, const char *side)
{
	int64_t a0 = cx_json_int(a, side, 0), b0 = cx_json_int(b, side, 0);

	return a0 < b0 + cx_json_int(b, "size", 0) && b0 < a0 + cx_json_int(a, "size", 0);
}

static int check_range(const json_t *list, size_t i, const char *side, const char *where,
	conex_error **err)
{
	const json_t *range = json_array_get(list, i);

	if (cx_json_int(range, side, 0) + cx_json_int(range, "size", 0) > 4294967295)
		return cx_spec_bad(err, json_object_get(range, "size"),
			"the range goes beyond the last id, 4294967294: make it smaller",
			"%s[%zu].size", where, i);
	for (size_t k = 0; k < i; k++)
		if (ranges_meet(range, json_array_get(list, k), side))
			return cx_spec_bad(err, json_object_get(range, side),
				"this range overlaps an earlier one: "
				"an id may stand in one range only, on either side",
				"%s[%zu].%s", where, i, side);
	return 0;
}

int cx_spec_check_ranges(const json_t *list, const char *where, conex_error **err)
{
	int r = 0;

	if (json_array_size(list) > MAPPINGS_MAX)
		return cx_spec_bad(err, list,
			"the kernel takes at most 340 ranges: join some", "%s", where);
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		r = check_range(list, i, "containerID", where, err);
		if (r == 0)
			r = check_range(list, i, "hostID", where, err);
	}
	return r;
}

static int check_mapping(const json_t *root, const char *where, int userns,
	conex_error **err)
{
	const json_t *list = cx_json_at(root, where);

	if (json_array_size(list) && userns != 1)
		return cx_spec_bad(err, list, userns
			? "a namespace given by path has its mappings already: "
			"remove these, or the path"
			: "mappings need a user namespace: "
			"add {\"type\": \"user\"} to linux.namespaces", "%s", where);
	if (!json_array_size(list) && userns == 1)
		return cx_spec_bad(err, list,
			"a new user namespace without mappings knows no ids: "
			"add [{\"containerID\": 0, \"hostID\": 100000, \"size\": 65536}]",
			"%s", where);
	return cx_spec_check_ranges(list, where, err);
}

/* An id that isn't mapped can't be taken: setresuid(2) answers EINVAL. */
static int check_mapped(const json_t *root, const json_t *id, const char *mappings,
	const char *where, conex_error **err)
{
	json_t *range;
	size_t k;
	int64_t wanted = json_integer_value(id);

	json_array_foreach(cx_json_at(root, mappings), k, range) {
		int64_t first = cx_json_int(range, "containerID", 0);

		if (wanted >= first && wanted - first < cx_json_int(range, "size", 0))
			return 0;
	}
	return cx_spec_bad(err, id,
		"this id isn't mapped in the user namespace: "
		"add it to linux.uidMappings or linux.gidMappings",
		"process.user.%s", where);
}

static int check_user(const json_t *root, conex_error **err)
{
	const json_t *user = cx_json_at(root, "process.user");
	const json_t *id = cx_json_at(user, "uid");
	json_t *group;
	size_t i;
	int r = 0;

	if (id)
		r = check_mapped(root, id, "linux.uidMappings", "uid", err);
	id = cx_json_at(user, "gid");
	if (r == 0 && id)
		r = check_mapped(root, id, "linux.gidMappings", "gid", err);
	json_array_foreach(cx_json_at(user, "additionalGids"), i, group) {
		char where[48];

		snprintf(where, sizeof where, "additionalGids[%zu]", i);
		if (r == 0)
			r = check_mapped(root, group, "linux.gidMappings", where, err);
	}
	return r;
}

int cx_spec_check_mappings(const json_t *root, conex_error **err)
{
	int userns = cx_spec_namespace(root, "user");
	int r = check_mapping(root, "linux.uidMappings", userns, err);

	if (r == 0)
		r = check_mapping(root, "linux.gidMappings", userns, err);
	return r < 0 || userns != 1 ? r : check_user(root, err);
}
