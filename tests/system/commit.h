/* What the tests of conex_image_commit share: an image, containers of it, and trees as text. */
#ifndef CONEX_TEST_COMMIT_H
#define CONEX_TEST_COMMIT_H

#include "box.h"

#include <jansson.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include "base/str.h"

static char store[64], archives[64], result[96];

/* ---- images and containers ---- */

static inline int brought(const char *file, const char *name)
{
	int fd = open(say("%s/%s", archives, file), O_RDONLY | O_CLOEXEC), r;
	conex_job *job = NULL;

	box_clear();
	r = conex_image_import(box.cx, fd, name, NULL, &job, &box.err);
	close(fd);
	if (r == 0)
		r = conex_job_wait(job, -1, &box.err);
	conex_job_free(job);
	return r;
}

static inline conex_container *started(const char *image, const struct conex_run_options *given, const char *script)
{
	struct conex_run_options o = { .size = sizeof o };
	conex_container *c = NULL;

	if (given)
		o = *given;
	o.size = sizeof o;
	o.user = "root";
	box_clear();
	GOOD(conex_run(box.cx, image, CONEX_STRINGS(script), &o, &c, &box.err));
	return c;
}

/* One that has run a script to its end. */
static inline conex_container *ended(const char *image, const struct conex_run_options *given, const char *script)
{
	conex_container *c = started(image, given, script);
	int status = -1;

	if (c)
		GOOD(conex_container_wait(c, -1, &status, &box.err));
	CHECK_INT(status, 0);
	return c;
}

/* The status of one that runs and ends, with box.out. */
static inline int run_prints(const char *image, const char *user, const char *script)
{
	struct conex_run_options o = { .size = sizeof o, .user = user, .out = CONEX_STDIO_PIPE, .err = CONEX_STDIO_OUT };
	conex_container *c = NULL;
	int status = -1;

	box_clear();
	if (!GOOD(conex_run(box.cx, image, script ? CONEX_STRINGS(script) : NULL, &o, &c, &box.err)))
		return -1;
	GOOD(conex_container_output(c, -1, &box.io, &box.err));
	GOOD(conex_container_wait(c, -1, &status, &box.err));
	box_trim();
	box_end(c);
	return status;
}

static inline int committed(conex_container *c, const char *name, const char *config)
{
	conex_job *job = NULL;
	int r;

	box_clear();
	*result = '\0';
	r = conex_image_commit(c, name, config, &job, &box.err);
	if (r == 0)
		r = conex_job_wait(job, -1, &box.err);
	if (r == 1 && conex_job_result(job))
		snprintf(result, sizeof result, "%s", conex_job_result(job));
	conex_job_free(job);
	return r;
}

static inline json_t *image_json(const char *name)
{
	char *text = NULL;
	json_t *json;

	GOOD(conex_image_json(box.cx, name, &text, &box.err));
	json = text ? json_loads(text, 0, NULL) : NULL;
	free(text);
	return json;
}

/* The diff id of an image's last layer. */
static inline const char *last_layer(const char *name)
{
	json_t *json = image_json(name), *ids = json_object_get(json_object_get(json_object_get(json, "config"), "rootfs"), "diff_ids");
	const char *id = say("%s", json_string_value(json_array_get(ids, json_array_size(ids) - 1)));

	json_decref(json);
	return id;
}

static inline int layers_of(const char *name)
{
	json_t *json = image_json(name);
	int n = (int)json_integer_value(json_object_get(json, "layers"));

	json_decref(json);
	return n;
}

/* What a container writes to. */
static inline const char *upper_of(const conex_container *c)
{
	static char path[PATH_MAX];
	DIR *d = opendir(say("%s/snapshots", store));
	struct dirent *e;

	*path = '\0';
	while (d && (e = readdir(d)))
		if (strstr(e->d_name, conex_container_id(c)))
			snprintf(path, sizeof path, "%s/snapshots/%s/upper", store, e->d_name);
	if (d)
		closedir(d);
	CHECK(*path);
	return path;
}

/* Nothing in the store that a name doesn't lead to, once it was collected. */
static inline void store_is_clean(int images)
{
	char **list = NULL;

	CHECK_INT(conex_image_list(box.cx, &list, &box.err), images);
	free(list);
	CHECK_INT(box_entries(say("%s/leases", store)), 0);
	for (int i = 0; i < 12000 && box_entries(say("%s/tmp", store)); i++)
		usleep(5000);           /* what was large is swept by a worker, for which nobody waits */
	CHECK_INT(box_entries(say("%s/tmp", store)) + box_entries(say("%s/ingest/sha256", store)), 0);
}

/* ---- trees as text: what stat, readlink, listxattr and the bytes say ---- */

static inline void add_attributes(struct cx_str *to, const char *path)
{
	char names[4096], value[4096];
	ssize_t size = llistxattr(path, names, sizeof names), n;
	unsigned sum = 0;

	for (char *at = names; at < names + size; at += strlen(at) + 1) {
		unsigned own = 2166136261u;

		n = lgetxattr(path, at, value, sizeof value);
		for (const char *c = at; *c; c++)
			own = (own ^ (unsigned char)*c) * 16777619u;
		for (ssize_t i = 0; i < n; i++)
			own = (own ^ (unsigned char)value[i]) * 16777619u;
		sum += own;             /* in any order */
	}
	cx_str_addf(to, " xattrs %08x", sum);
}

static inline void add_contents(struct cx_str *to, const char *path)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	static char piece[1 << 16], zeros[1 << 16];
	unsigned sum = 2166136261u, at = 0;
	ssize_t n;

	for (; fd >= 0 && (n = read(fd, piece, sizeof piece)) > 0; at++) {
		if (!memcmp(piece, zeros, (size_t)n))
			continue;
		sum += at;
		for (ssize_t i = 0; i < n; i++)
			sum = (sum ^ (unsigned char)piece[i]) * 16777619u;
	}
	if (fd >= 0)
		close(fd);
	cx_str_addf(to, " contents %08x", sum);
}

static inline void add_file(struct cx_str *to, const char *path, size_t root, const struct statx *st)
{
	char target[PATH_MAX];
	ssize_t n = S_ISLNK(st->stx_mode) ? readlink(path, target, sizeof target) : 0;

	cx_str_addf(to, "/%s: %o %u:%u %lld.%09u", path + root, st->stx_mode, st->stx_uid, st->stx_gid,
		path[root] ? (long long)st->stx_mtime.tv_sec : 0, path[root] ? st->stx_mtime.tv_nsec : 0);
	if (!S_ISDIR(st->stx_mode))
		cx_str_addf(to, " links %u size %llu device %u:%u %.*s", st->stx_nlink, (unsigned long long)st->stx_size,
			st->stx_rdev_major, st->stx_rdev_minor, n > 0 ? (int)n : 0, target);
	add_attributes(to, path);
	if (S_ISREG(st->stx_mode))
		add_contents(to, path);
	cx_str_addf(to, "\n");
}

/* Without what is mounted, and what is there for that; the root's own time isn't an image's. */
static inline void add_tree(struct cx_str *to, const char *path, size_t root, uint64_t mount)
{
	struct dirent **list = NULL;
	struct statx st;
	int n;

	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_MNT_ID, &st) < 0 || (mount && st.stx_mnt_id != mount))
		return;
	add_file(to, path, root, &st);
	n = S_ISDIR(st.stx_mode) ? scandir(path, &list, NULL, alphasort) : 0;
	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;
		char below[PATH_MAX];

		snprintf(below, sizeof below, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", name);
		if (strcmp(name, ".") && strcmp(name, "..") && (strlen(path) > root || (strcmp(name, "dev") && strcmp(name, "proc")
			&& strcmp(name, "sys"))))
			add_tree(to, below, root, st.stx_mnt_id);
		free(list[i]);
	}
	free(list);
}

/* free */
static inline char *tree_of(const char *path)
{
	struct cx_str text = { .data = NULL };

	add_tree(&text, say("%s/", path), strlen(path) + 1, 0);
	return cx_str_take(&text);
}

/* What a running container sees. */
static inline char *tree_in(const conex_container *c)
{
	return tree_of(say("/proc/%d/root", (int)conex_container_pid(c)));
}

static inline void same_tree(char *is, char *want, const char *what)
{
	if (!CHECK(is && want && !strcmp(is, want))) {
		FILE *a = fopen("/tmp/conex-tree-is", "we"), *b = fopen("/tmp/conex-tree-want", "we");

		if (a && b) {
			fputs(is ? is : "", a);
			fputs(want ? want : "", b);
			fclose(a);
			fclose(b);
			printf("# %s:\n", what);
			fflush(stdout);
			command("diff /tmp/conex-tree-want /tmp/conex-tree-is | head -40; rm -f /tmp/conex-tree-*");
		}
	}
	free(is);
	free(want);
}

/* ---- the frame ---- */

static inline int commit_main(void (*tests)(void))
{
	setenv("CONEX_WORKER", say("%s/conex-worker", getenv("CX_BUILDDIR")), 0);
	if (access(getenv("CONEX_WORKER"), X_OK) < 0) {
		printf("1..0 # SKIP built without images\n");
		return 0;
	}
	return with_box(tests);
}

static inline int commit_box(void)
{
	struct conex_options where = { .size = sizeof where, .close_ms = 120000, .store = store };

	snprintf(store, sizeof store, "%s/store", box.dir);
	snprintf(archives, sizeof archives, "%s/archives", box.dir);
	mkdir(archives, 0755);
	CHECK_INT(command("/usr/bin/python3 %s/tests/system/image-archives.py /bin/busybox %s", getenv("CX_SRCDIR"), archives), 0);
	conex_close(box.cx);
	box.cx = NULL;
	return GOOD(conex_open(&where, &box.cx, &box.err)) && CHECK_INT(brought("layout.tar", "app"), 1);
}

#endif
