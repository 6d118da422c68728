/* Which ids a user namespace gets: /etc/subuid and /etc/subgid, our own maps, and shadow's two helpers. */
#include "namespace/maps.h"
#include "base/cleanup.h"
#include "base/ids.h"
#include "base/path.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
	FILE_MAX = 4 << 20,             /* of /etc/subuid, /etc/passwd */
	RANGES_MAX = 340,               /* UID_GID_MAP_MAX_EXTENTS */
	FIRST_SUBORDINATE = 100000, SUBORDINATES = 65536
};

static int add_range(json_t *map, int64_t inside, int64_t outside, int64_t count)
{
	return json_array_append_new(map, json_pack("{s:I, s:I, s:I}", "containerID", (json_int_t)inside,
		"hostID", (json_int_t)outside, "size", (json_int_t)count)) < 0 ? -ENOMEM : 0;
}

/* ---- subordinate ids ---- */

/* Digits up to `end`; -1: anything else, or 2^32 and more. */
static int64_t number(const char *text, char end)
{
	int64_t n = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9' && n <= UINT32_MAX; p++)
		n = n * 10 + (*p - '0');
	return p == text || *p != end || n > UINT32_MAX ? -1 : n;
}

static int is_user(const char *line, size_t size, const char *name, uint32_t id)
{
	char digits[16];
	int n = snprintf(digits, sizeof digits, "%u", id);

	return (size == (size_t)n && !memcmp(line, digits, size))
		|| (name && size == strlen(name) && !memcmp(line, name, size));
}

/* Does a range of ids outside meet one that the map has? */
static int is_taken(const json_t *map, int64_t start, int64_t count)
{
	const json_t *range;
	size_t i;

	json_array_foreach(map, i, range) {
		int64_t first = json_integer_value(json_object_get(range, "hostID"));

		if (start < first + json_integer_value(json_object_get(range, "size")) && first < start + count)
			return 1;
	}
	return 0;
}

static int64_t end_of(const json_t *map)
{
	const json_t *last = json_array_get(map, json_array_size(map) - 1);

	return json_integer_value(json_object_get(last, "containerID"))
		+ json_integer_value(json_object_get(last, "size"));
}

/* What is behind NAME: "START:COUNT". 1: added; 0: of no use */
static int add_subordinate(json_t *map, const char *range)
{
	int64_t start = number(range, ':'), count;
	const char *second = range + strspn(range, "0123456789") + 1;

	if (start < 0)
		return 0;
	count = number(second, strchr(second, '\n') ? '\n' : '\0');
	if (count <= 0)
		return 0;
	if (start + count > UINT32_MAX || end_of(map) + count > UINT32_MAX || is_taken(map, start, count)
	    || json_array_size(map) == RANGES_MAX)
		return 0;
	return add_range(map, end_of(map), start, count) < 0 ? -ENOMEM : 1;
}

int cx_maps_add_subordinate(json_t *map, const char *text, const char *name, uint32_t id)
{
	int n = 0;

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t size = strcspn(line, ":\n");
		int r = 0;

		if (line[size] == ':' && is_user(line, size, name, id))
			r = add_subordinate(map, line + size + 1);
		if (r < 0)
			return r;
		n += r;
	}
	return n;
}

/* The caller's name by /etc/passwd, without the name service, which would load its modules into the host; a
 * name from elsewhere is what the environment says: newuidmap looks it up for itself. */
static char *user_name(uint32_t uid)
{
	cx_autofree char *text = NULL;
	const char *name = secure_getenv("USER");

	if (cx_file_load(AT_FDCWD, "/etc/passwd", FILE_MAX, &text) < 0)
		text = NULL;
	for (const char *line = text; line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t size = strcspn(line, ":\n"), password;

		if (line[size] != ':')
			continue;
		password = strcspn(line + size + 1, ":\n");
		if (line[size + 1 + password] == ':' && number(line + size + password + 2, ':') == uid)
			return strndup(line, size);
	}
	return name ? strdup(name) : NULL;
}

/* The caller as root, then what the file gives him. How many ranges of that, -ENOMEM. */
static int subordinate_map(const char *path, const char *name, uint32_t uid, uint32_t self, json_t **ret)
{
	cx_autofree char *text = NULL;
	json_t *map = json_array();
	int r = map ? add_range(map, 0, self, 1) : -ENOMEM;

	if (r == 0 && cx_file_load(AT_FDCWD, path, FILE_MAX, &text) > 0)
		r = cx_maps_add_subordinate(map, text, name, uid);
	*ret = map;
	return r;
}

/* Both files, or neither: an image whose uids are there and whose gids aren't is of no use. */
static int user_maps(json_t **uids, json_t **gids)
{
	cx_autofree char *uid_helper = cx_maps_helper("newuidmap"), *gid_helper = cx_maps_helper("newgidmap"),
		*name = user_name(getuid());
	int r = subordinate_map("/etc/subuid", name, getuid(), geteuid(), uids);
	int n = subordinate_map("/etc/subgid", name, getuid(), getegid(), gids);

	if (r < 0 || n < 0)
		return -ENOMEM;
	if (r > 0 && n > 0 && uid_helper && gid_helper && name)
		return 0;
	while (json_array_size(*uids) > 1)
		json_array_remove(*uids, json_array_size(*uids) - 1);
	while (json_array_size(*gids) > 1)
		json_array_remove(*gids, json_array_size(*gids) - 1);
	return 0;
}

/* ---- root's ---- */

/* Root of a user namespace can only hand on what it has: those of its ids that exist there stay as they are. */
static int root_map(const char *file, json_t **ret)
{
	const char *at;
	cx_autofree char *text = NULL;
	struct cx_id_range range;
	char path[32];
	json_t *map = *ret = json_array();

	if (!map)
		return -ENOMEM;
	snprintf(path, sizeof path, "/proc/self/%s", file);
	if ((cx_ids_mapped(file, FIRST_SUBORDINATE) && cx_ids_mapped(file, FIRST_SUBORDINATE + SUBORDINATES - 1))
	    || cx_file_load(AT_FDCWD, path, FILE_MAX, &text) <= 0)
		return add_range(map, 0, FIRST_SUBORDINATE, SUBORDINATES);
	for (at = text; (at = cx_ids_next(at, &range));)
		if (add_range(map, range.inside, range.inside, range.count) < 0)
			return -ENOMEM;
	return 0;
}

int cx_maps_default(json_t **ret_uids, json_t **ret_gids)
{
	json_t *uids = NULL, *gids = NULL;
	int r;

	if (cx_ids_rootless())
		r = user_maps(&uids, &gids);
	else if ((r = root_map("uid_map", &uids)) == 0)
		r = root_map("gid_map", &gids);
	if (r < 0) {
		json_decref(uids);
		json_decref(gids);
		return r;
	}
	*ret_uids = uids;
	*ret_gids = gids;
	return 0;
}

int cx_maps_is_own(const json_t *map, uint32_t id)
{
	const json_t *range = json_array_get(map, 0);

	return json_array_size(map) == 1 && json_integer_value(json_object_get(range, "size")) == 1
		&& json_integer_value(json_object_get(range, "hostID")) == id;
}

/* They take their rights from their files, which counts for nothing once no_new_privs is set. */
char *cx_maps_helper(const char *name)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? NULL : cx_find_program(name);
}
