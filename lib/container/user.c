/* "name", "uid", "uid:gid", "name:group" -> process.user, with the names of the root file system's own
 * passwd and group. Read by a bounded parser: no name service runs with a stranger's files. */
#include "container/container.h"
#include "base/path.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILE = 1024 * 1024 };

/* All digits: a number, never a name (a name of digits would be somebody else). 1, 0, -ERANGE */
static int parse_number(const char *text, size_t n, uint32_t *ret)
{
	uint64_t value = 0;

	if (n == 0 || strspn(text, "0123456789") < n)
		return 0;
	for (size_t i = 0; i < n; i++) {
		value = value * 10 + (uint64_t)(text[i] - '0');
		if (value >= UINT32_MAX)
			return -ERANGE;
	}
	*ret = (uint32_t)value;
	return 1;
}

/* A regular file of the root, whole: it is looked at before it is opened, since to open a device is to set it off, and a
 * fifo's writer would go on. -errno */
static int load(const json_t *spec, const char *path, char **ret)
{
	struct stat st;
	cx_autoclose int place = cx_users_open(spec, path, &st), fd = -1;
	cx_autofree char *data = NULL;
	char link[32];
	ssize_t n;

	if (place < 0)
		return place;
	if (!S_ISREG(st.st_mode) || st.st_size > MAX_FILE)
		return S_ISREG(st.st_mode) ? -EFBIG : -EINVAL;
	snprintf(link, sizeof link, "/proc/self/fd/%d", place);
	fd = open(link, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return -ENOMEM;
	n = read(fd, data, (size_t)st.st_size);
	if (n < 0)
		return -errno;
	data[n] = '\0';
	*ret = cx_steal_ptr(&data);
	return 0;
}

/* Field number `want` (from 0) of the line whose first field is name; NULL: none. Not NUL-terminated. */
static const char *field(const char *file, const char *name, size_t size, int want, size_t *ret_size)
{
	for (const char *line = file; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *at = line;

		if (strncmp(line, name, size) || line[size] != ':')
			continue;
		for (int i = 0; i < want; i++) {
			at += strcspn(at, ":\n");
			if (*at != ':')
				return NULL;
			at++;
		}
		*ret_size = strcspn(at, ":\n");
		return at;
	}
	return NULL;
}

/* A number or a name; for users also the gid that goes with the name. */
static int resolve(const json_t *spec, const char *path, const char *text, size_t n, uint32_t *ret, uint32_t *gid)
{
	int r = parse_number(text, n, ret);
	cx_autofree char *file = NULL;
	const char *value;
	size_t size;

	if (r != 0)
		return r < 0 ? r : 0;
	if (n == 0)
		return -EINVAL;
	r = load(spec, path, &file);
	if (r < 0)
		return r;
	value = field(file, text, n, 2, &size);
	if (!value || parse_number(value, size, ret) <= 0)
		return -ENOENT;
	if (gid && ((value = field(file, text, n, 3, &size)) == NULL || parse_number(value, size, gid) <= 0))
		return -ENOENT;
	return 0;
}

static const char *mend_for(int code)
{
	return code == -ERANGE ? "ids go from 0 to 4294967294"
		: code == -EFBIG ? "/etc/passwd and /etc/group have at most 1 MiB: write uid:gid"
		: "write uid, uid:gid, or names that the root file system's /etc/passwd and /etc/group have";
}

int cx_user_json(const char *user, const json_t *spec, json_t **ret, conex_error **err)
{
	size_t n = strcspn(user, ":");
	uint32_t uid = 0, gid = 0;
	int r = resolve(spec, "etc/passwd", user, n, &uid, &gid);

	if (r == 0 && user[n])
		r = resolve(spec, "etc/group", user + n + 1, strlen(user + n + 1), &gid, NULL);
	if (r == -ENOMEM)
		return cx_fail_memory(err);
	if (r < 0)
		return cx_refuse(err, r, "user", user, "%s", mend_for(r));
	*ret = json_pack("{s:I, s:I}", "uid", (json_int_t)uid, "gid", (json_int_t)gid);
	return *ret ? 0 : cx_fail_memory(err);
}
