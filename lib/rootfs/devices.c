/* What stands in /dev besides mounts: default devices, linux.devices, links. Called by
 * compile.c. */
#include "rootfs/parts.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "base/error.h"
#include "spec/spec.h"

struct device {
	const char *path;
	mode_t mode; /* with S_IFCHR, S_IFBLK or S_IFIFO */
	uint32_t major, minor;
	int64_t uid, gid;
};

/* runtime-spec, "Default Devices"; /dev/console and /dev/ptmx come with the terminal and
 * devpts. */
static const struct device defaults[] = {
	{ "/dev/null", S_IFCHR | 0666, 1, 3, 0, 0 },
	{ "/dev/zero", S_IFCHR | 0666, 1, 5, 0, 0 },
	{ "/dev/full", S_IFCHR | 0666, 1, 7, 0, 0 },
	{ "/dev/random", S_IFCHR | 0666, 1, 8, 0, 0 },
	{ "/dev/urandom", S_IFCHR | 0666, 1, 9, 0, 0 },
	{ "/dev/tty", S_IFCHR | 0666, 5, 0, 0, 0 },
};

static const struct link {
	const char *target, *path;
} links[] = {
	{ "/proc/self/fd", "/dev/fd" },
	{ "/proc/self/fd/0", "/dev/stdin" },
	{ "/proc/self/fd/1", "/dev/stdout" },
	{ "/proc/self/fd/2", "/dev/stderr" },
	{ "pts/ptmx", "/dev/ptmx" },
};

static int is_default(const char *path)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(defaults); i++)
		if (!strcmp(path, defaults[i].path))
			return 1;
	return 0;
}

static mode_t type_bits(const char *type)
{
	return !strcmp(type, "b") ? S_IFBLK : !strcmp(type, "p") ? S_IFIFO : S_IFCHR;
}

/* Device number n of all that this spec asks for: 1; 0: n is past the end; *d.path NULL:
 * left out. */
static int read_device(const json_t *spec, size_t n, struct device *d)
{
	const json_t *entry;

	if (n < CX_ARRAY_SIZE(defaults)) {
		*d = defaults[n];
		return 1;
	}
	entry = json_array_get(
		cx_json_at(spec, "linux.devices"), n - CX_ARRAY_SIZE(defaults));
	if (!entry)
		return 0;
	*d = (struct device){
		.path = cx_json_text(entry, "path"),
		.mode = type_bits(cx_json_text(entry, "type"))
			| (cx_json_int(entry, "fileMode", 0666) & 07777),
		.major = (uint32_t)cx_json_int(entry, "major", 0),
		.minor = (uint32_t)cx_json_int(entry, "minor", 0),
		.uid = cx_json_int(entry, "uid", 0),
		.gid = cx_json_int(entry, "gid", 0),
	};
	if (is_default(d->path))
		d->path = NULL;
	return 1;
}

/* mknod makes no device in a user namespace, whoever asks: the host's is bound instead. */
static int is_bound(const struct cx_compile *c, const struct device *d)
{
	return (c->userns || c->nested) && !S_ISFIFO(d->mode);
}

int cx_rootfs_compile_device_sources(struct cx_compile *c, conex_error **err)
{
	struct device d;
	int r;

	if (cx_rootfs_dev_is_bound(c->spec))
		return 0;
	for (size_t n = 0; read_device(c->spec, n, &d); n++) {
		if (!d.path || !is_bound(c, &d))
			continue;
		r = cx_rootfs_add_source(
			c, d.path, cx_cell_text(c->build, d.path), 0, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int cx_rootfs_compile_devices(struct cx_compile *c, uint32_t source, conex_error **err)
{
	struct cx_build *b = c->build;
	struct device d;

	(void)err;
	if (cx_rootfs_dev_is_bound(c->spec))
		return 0;
	for (size_t n = 0; read_device(c->spec, n, &d); n++)
		if (d.path)
			cx_op(b, device, d.path, cx_cell_text(b, d.path), d.mode,
				makedev(d.major, d.minor), d.uid, d.gid,
				is_bound(c, &d) ? source++ : 0);
	for (size_t i = 0; i < CX_ARRAY_SIZE(links); i++)
		cx_op(b, symlink, links[i].path, cx_cell_text(b, links[i].target),
			cx_cell_text(b, links[i].path));
	if (access("/proc/kcore", F_OK) == 0)
		cx_op(b, symlink, "/dev/core", cx_cell_text(b, "/proc/kcore"),
			cx_cell_text(b, "/dev/core"));
	return 0;
}

json_t *cx_rootfs_device_paths(const json_t *spec)
{
	json_t *list = json_array();
	struct device d;

	if (cx_rootfs_dev_is_bound(spec))
		return list;
	for (size_t n = 0; read_device(spec, n, &d); n++)
		if (d.path)
			json_array_append_new(list, json_string(d.path));
	for (size_t i = 0; i < CX_ARRAY_SIZE(links); i++)
		json_array_append_new(list, json_string(links[i].path));
	json_array_append_new(list, json_string("/dev/core"));
	return list;
}
