/* What struct conex_stats has only sums of, as JSON: by device, by size of page, by name. */
#include "cgroup/internal.h"
#include "base/kernel.h"

#include <stdio.h>
#include <string.h>

/* Without memory the object is short of something: `failed` says so. */
struct details { json_t *root, *part; int failed; const char *keys[2]; };

static void put(struct details *d, json_t *object, const char *key, json_t *value)
{
	d->failed |= json_object_set_new(object, key, value) < 0;
}

static void put_number(struct details *d, json_t *object, const char *key, uint64_t value)
{
	if (value <= INT64_MAX)
		put(d, object, key, json_integer((json_int_t)value));
}

/* "anon 4096": all of memory.stat, under the kernel's names */
static void memory_line(const char *line, void *data)
{
	struct details *d = data;
	const char *blank = strchr(line, ' ');
	char key[64];

	if (!blank || blank[1] < '0' || blank[1] > '9' || (size_t)(blank - line) >= sizeof key)
		return;
	snprintf(key, sizeof key, "%.*s", (int)(blank - line), line);
	put_number(d, d->part, key, strtoull(blank + 1, NULL, 10));
}

/* "some avg10=0.12 avg60=0.00 avg300=0.00 total=12345" */
static void pressure_line(const char *line, void *data)
{
	struct details *d = data;
	double avg10, avg60, avg300;
	unsigned long long total;
	char kind[8];
	json_t *o;

	if (sscanf(line, "%7s avg10=%lf avg60=%lf avg300=%lf total=%llu", kind, &avg10, &avg60, &avg300, &total) != 5)
		return;
	o = json_pack("{s:f, s:f, s:f, s:I}", "avg10", avg10, "avg60", avg60, "avg300", avg300,
		"total_ns", (json_int_t)(total * 1000));
	put(d, d->part, kind, o);
}

/* The device's object in the list, made if it isn't there. */
static json_t *device(struct details *d, uint64_t major, uint64_t minor)
{
	json_t *o;
	size_t i;

	json_array_foreach(d->part, i, o)
		if ((uint64_t)json_integer_value(json_object_get(o, "major")) == major
		    && (uint64_t)json_integer_value(json_object_get(o, "minor")) == minor)
			return o;
	o = json_pack("{s:I, s:I}", "major", (json_int_t)major, "minor", (json_int_t)minor);
	d->failed |= json_array_append_new(d->part, o) < 0;
	return d->failed ? NULL : o;
}

static void v2_io_line(const char *line, void *data)
{
	struct details *d = data;
	struct cx_stat_io io;
	json_t *o;

	if (!cx_stat_v2_io(line, &io) || !(o = device(d, io.major, io.minor)))
		return;
	put_number(d, o, "read_bytes", io.read_bytes);
	put_number(d, o, "written_bytes", io.written_bytes);
	put_number(d, o, "read_ops", io.read_ops);
	put_number(d, o, "write_ops", io.write_ops);
}

static void v1_io_line(const char *line, void *data)
{
	struct details *d = data;
	struct cx_stat_v1_io io;
	json_t *o;

	if (cx_stat_v1_io(line, &io) && (o = device(d, io.major, io.minor)))
		put_number(d, o, d->keys[io.write], io.value);
}

static void begin(struct details *d, json_t *in, const char *key, json_t *part)
{
	d->part = part;
	put(d, in, key, part);
}

static void add_io(struct details *d, const struct cx_hierarchy *h, const char *path)
{
	begin(d, d->root, "io", json_array());
	if (h->driver->v2) {
		cx_cgroup_lines(h, path, "io.stat", v2_io_line, d);
		return;
	}
	d->keys[0] = "read_bytes";
	d->keys[1] = "written_bytes";
	cx_cgroup_lines(h, path, "blkio.throttle.io_service_bytes_recursive", v1_io_line, d);
	d->keys[0] = "read_ops";
	d->keys[1] = "write_ops";
	cx_cgroup_lines(h, path, "blkio.throttle.io_serviced_recursive", v1_io_line, d);
}

static void add_pressure(struct details *d, const struct cx_hierarchy *h, const char *path)
{
	static const char *const files[] = { "cpu.pressure", "io.pressure", "memory.pressure" };
	json_t *all = json_object();
	char key[16];

	put(d, d->root, "pressure", all);
	for (size_t i = 0; i < CX_ARRAY_SIZE(files) && !d->failed; i++) {
		snprintf(key, sizeof key, "%.*s", (int)strcspn(files[i], "."), files[i]);
		begin(d, all, key, json_object());
		if (cx_cgroup_lines(h, path, files[i], pressure_line, d) < 0)
			json_object_del(all, key);
	}
}

static void add_huge(struct details *d, const struct cx_cgroups *g, const struct cx_hierarchy *h, const char *path)
{
	static const struct { const char *key, *v1, *v2; } files[] = {
		{ "usage", "usage_in_bytes", "current" }, { "limit", "limit_in_bytes", "max" },
	};
	char name[64], text[64];

	begin(d, d->root, "hugetlb", json_array());
	for (size_t n = 0; n < g->huge_count && !d->failed; n++) {
		json_t *o = json_pack("{s:s}", "pageSize", g->huge[n]);

		d->failed |= json_array_append_new(d->part, o) < 0;
		for (size_t i = 0; i < CX_ARRAY_SIZE(files) && !d->failed; i++) {
			snprintf(name, sizeof name, "hugetlb.%s.%s", g->huge[n], h->driver->v2 ? files[i].v2 : files[i].v1);
			put_number(d, o, files[i].key, cx_cgroup_number(h, path, name));
		}
		snprintf(name, sizeof name, "hugetlb.%s.%s", g->huge[n], h->driver->v2 ? "events" : "failcnt");
		if (!d->failed && cx_cgroup_read(h, path, name, text, sizeof text) > 0)
			put_number(d, o, "failures", h->driver->v2 ? cx_cgroup_field(text, "max")
				: strtoull(text, NULL, 10));
	}
}

int cx_cgroup_details(const struct cx_cgroups *g, const char *path, const json_t *more, char **ret, conex_error **err)
{
	const struct cx_hierarchy *memory = cx_cgroups_with(g, "memory"), *v2 = cx_cgroups_v2(g);
	const struct cx_hierarchy *io = cx_cgroups_with(g, "io"), *huge = cx_cgroups_with(g, "hugetlb");
	struct details d = { .root = json_object() };
	char *text;

	d.failed = !d.root;
	if (!io)
		io = cx_cgroups_with(g, "blkio");
	if (memory && !d.failed) {
		begin(&d, d.root, "memory", json_object());
		cx_cgroup_lines(memory, path, "memory.stat", memory_line, &d);
	}
	if (io && !d.failed)
		add_io(&d, io, path);
	if (huge && !d.failed)
		add_huge(&d, g, huge, path);
	if (v2 && !d.failed)
		add_pressure(&d, v2, path);
	if (more && !d.failed)
		d.failed |= json_object_update(d.root, (json_t *)more) < 0;
	text = d.failed ? NULL : json_dumps(d.root, JSON_COMPACT);
	json_decref(d.root);
	if (!text)
		return cx_fail_memory(err);
	*ret = text;
	return 0;
}
