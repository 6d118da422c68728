/* The surroundings that all subjects share: a work directory with a busybox root file system, the spec,
 * its bundles, and its seccomp filter in the form that the floor and bwrap want. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "security/capabilities.h"
#include <sys/sendfile.h>
#include <sys/stat.h>
#include "subject.h"

static int copy_program(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out, result = 0;
	ssize_t n;

	if (in < 0)
		return -errno;
	out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	while ((n = out < 0 ? -1 : sendfile(out, in, NULL, 1 << 20)) > 0)
		;
	if (n < 0)
		result = -errno;
	close(in);
	if (out >= 0)
		close(out);
	return result;
}

/* In a root file system that is given only what is missing is added. */
static int make_rootfs(const struct setup *s, char *why)
{
	static const char *const dir[] = { "", "/bin", "/dev", "/proc", "/sys", "/etc", "/tmp" };
	static const char *const link[] = { "/bin/true", "/bin/sleep" };
	char path[320];

	for (size_t i = 0; i < sizeof dir / sizeof *dir; i++) {
		snprintf(path, sizeof path, "%s%s", s->rootfs, dir[i]);
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	snprintf(path, sizeof path, "%s/bin/busybox", s->rootfs);
	if (access(path, X_OK) < 0 && copy_program("/usr/bin/busybox", path) < 0
	    && copy_program("/bin/busybox", path) < 0) {
		snprintf(why, SUBJECT_WHY, "no /usr/bin/busybox (Debian: busybox-static)");
		return -ENOENT;
	}
	for (size_t i = 0; i < sizeof link / sizeof *link; i++) {
		snprintf(path, sizeof path, "%s%s", s->rootfs, link[i]);
		if (symlink("busybox", path) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static int load_spec(struct setup *s, const char *path, char *why)
{
	json_error_t error = { .text = "" };
	char *text = NULL;
	int result;

	if (path) {
		s->spec = json_load_file(path, 0, &error);
	} else {
		result = subject_default_spec(&text, why);
		if (result < 0)
			return result;
		s->spec = json_loads(text, 0, &error);
		free(text);
	}
	if (!s->spec)
		snprintf(why, SUBJECT_WHY, "%s:%d: %s", path ? path : "default spec", error.line, error.text);
	return s->spec ? 0 : -EINVAL;
}

static void adapt_spec(struct setup *s)
{
	json_t *process = json_object_get(s->spec, "process");

	/* crun of Debian 12 says "unknown version" to anything newer */
	json_object_set_new(s->spec, "ociVersion", json_string("1.0.2"));
	json_object_set_new(process, "args", json_pack("[s]", "/bin/true"));
	json_object_set_new(process, "terminal", json_false());
	if (!json_object_get(s->spec, "root"))
		json_object_set_new(s->spec, "root", json_object());
	json_object_set_new(json_object_get(s->spec, "root"), "path", json_string(s->rootfs));
	json_object_del(json_object_get(s->spec, "linux"), "cgroupsPath");
}

static uint64_t bounding(const json_t *spec)
{
	const json_t *caps = json_object_get(json_object_get(spec, "process"), "capabilities");

	return cx_capability_mask(json_object_get(caps, "bounding"));
}

static int write_filter(const struct setup *s)
{
	size_t size = s->filter.len * sizeof *s->filter.filter;
	int fd = open(s->filter_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), result = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, s->filter.filter, size) != (ssize_t)size)
		result = -EIO;
	close(fd);
	return result;
}

int setup_make(struct setup *s, const char *spec_path, const char *rootfs, char *why)
{
	const json_t *seccomp;
	int result;

	snprintf(s->dir, sizeof s->dir, "/tmp/conex-bench.XXXXXX");
	if (!mkdtemp(s->dir))
		return -errno;
	chmod(s->dir, 0755);
	if (snprintf(s->rootfs, sizeof s->rootfs, "%s%s", rootfs ? rootfs : s->dir, rootfs ? "" : "/rootfs")
	    >= (int)sizeof s->rootfs)
		return -ENAMETOOLONG;
	snprintf(s->filter_path, sizeof s->filter_path, "%s/filter", s->dir);
	result = make_rootfs(s, why);
	if (result == 0)
		result = load_spec(s, spec_path, why);
	if (result < 0)
		return result;
	adapt_spec(s);
	s->caps = bounding(s->spec);
	seccomp = json_object_get(json_object_get(s->spec, "linux"), "seccomp");
	result = setup_filter(seccomp, &s->filter);
	if (result < 0)
		snprintf(why, SUBJECT_WHY, "linux.seccomp: %s", strerror(-result));
	return result < 0 ? result : write_filter(s);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

void setup_remove(struct setup *s)
{
	if (s->dir[0])
		nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	json_decref(s->spec);
	free(s->filter.filter);
}

void setup_last_line(const struct setup *s, const char *name, char *ret, size_t size)
{
	char path[128], line[512];
	FILE *log;

	snprintf(path, sizeof path, "%s/%s.log", s->dir, name);
	log = fopen(path, "re");
	while (log && fgets(line, sizeof line, log)) {
		line[strcspn(line, "\n")] = '\0';
		snprintf(ret, size, "%s", line);
	}
	if (log)
		fclose(log);
}

int setup_bundle(const struct setup *s, const char *name, const char *cgroup, int plain, char *ret)
{
	json_t *spec = json_deep_copy(s->spec);
	char path[256];
	int result = 0;

	if (!spec)
		return -ENOMEM;
	if (cgroup)
		json_object_set_new(json_object_get(spec, "linux"), "cgroupsPath", json_string(cgroup));
	if (plain)
		json_object_del(json_object_get(spec, "linux"), "seccomp");
	snprintf(ret, 128, "%s/%s", s->dir, name);
	snprintf(path, sizeof path, "%s/config.json", ret);
	if (mkdir(ret, 0755) < 0 && errno != EEXIST)
		result = -errno;
	else if (json_dump_file(spec, path, JSON_INDENT(1)) < 0)
		result = -EIO;
	json_decref(spec);
	return result;
}
