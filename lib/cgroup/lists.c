/* The lists of linux.resources: block I/O by device, huge pages by size, network classes by interface. An
 * item is a write of its own. */
#include "cgroup/internal.h"

#include <stdio.h>
#include <string.h>

struct lists {
	struct cx_cgroup_limits *l;
	const struct cx_cgroups *g;
	conex_error **err;
};

static int refuse(const struct lists *w, int code, const char *field, const json_t *value, const char *mend)
{
	cx_autofree char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	char where[96];

	snprintf(where, sizeof where, "linux.resources.%s", field);
	return cx_refuse(w->err, code, where, text, "%s", mend);
}

static const struct cx_hierarchy *hierarchy(const struct lists *w, const char *controller, const char *field,
	const json_t *value)
{
	const struct cx_hierarchy *h = cx_cgroups_with(w->g, controller);
	char mend[128];

	snprintf(mend, sizeof mend, "the kernel has no \"%s\" controller in any hierarchy that may be "
		"used here (/proc/cgroups)", controller);
	if (!h)
		refuse(w, -EOPNOTSUPP, field, value, mend);
	return h;
}

#define ADD(w, h, field, file, ...) \
	(cx_cgroup_limits_add((w)->l, (w)->g, h, field, file, __VA_ARGS__) < 0 ? cx_fail_memory((w)->err) : 0)

static long long number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* ---- block I/O ---- */

/* 10..1000 of v1 as 1..10,000 of v2, the ends onto the ends. */
static long long weight_of(long long weight)
{
	return 1 + (weight - 10) * 9999 / 990;
}

/* Each scheduler has weights of its own: bfq's are v1's numbers on v2, too; io.weight is iocost's. Which of them a
 * disk has at work changes, so both get theirs. v1's file is bfq's since Linux 5.0, and was cfq's before. */
static int add_weight(const struct lists *w, const struct cx_hierarchy *h, long long major, long long minor,
	long long weight)
{
	const char *field = major < 0 ? "blockIO.weight" : "blockIO.weightDevice";
	char device[48] = "";
	int r;

	if (major >= 0)
		snprintf(device, sizeof device, "%lld:%lld ", major, minor);
	if (!h->driver->v2) {
		r = ADD(w, h, field, major < 0 ? "blkio.bfq.weight" : "blkio.bfq.weight_device",
			"%s%lld", device, weight);
		if (r == 0)
			w->l->writes[w->l->count - 1].before = major < 0 ? "blkio.weight" : "blkio.weight_device";
		return r;
	}
	r = ADD(w, h, field, "io.bfq.weight", "%s%lld", device, weight);
	if (r < 0)
		return r;
	w->l->writes[w->l->count - 1].either = 1;
	return ADD(w, h, field, "io.weight", "%s%lld", device, weight_of(weight));
}

static int add_weights(const struct lists *w, const struct cx_hierarchy *h, const json_t *io)
{
	const json_t *devices = json_object_get(io, "weightDevice"), *item;
	long long weight = number(io, "weight");
	size_t i;
	int r = 0;

	if (weight)
		r = add_weight(w, h, -1, -1, weight);
	json_array_foreach(devices, i, item) {
		if (r == 0 && number(item, "leafWeight"))
			r = refuse(w, -EOPNOTSUPP, "blockIO.weightDevice.leafWeight", item,
				"Linux has had no leaf weights since 5.0: leave it out");
		weight = number(item, "weight");
		if (r == 0 && weight)
			r = add_weight(w, h, number(item, "major"), number(item, "minor"), weight);
	}
	return r;
}

static int add_throttles(const struct lists *w, const struct cx_hierarchy *h, const json_t *io)
{
	static const struct { const char *field, *v1, *v2; } rows[] = {
		{ "throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps" },
		{ "throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps" },
		{ "throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops" },
		{ "throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops" },
	};
	const json_t *item;
	size_t i;
	int r = 0;

	for (size_t n = 0; n < CX_ARRAY_SIZE(rows); n++)
		json_array_foreach(json_object_get(io, rows[n].field), i, item) {
			long long major = number(item, "major"), minor = number(item, "minor"), rate = number(item, "rate");

			if (!h->driver->v2)
				r = ADD(w, h, rows[n].field, rows[n].v1, "%lld:%lld %lld", major, minor, rate);
			else if (rate > 0)
				r = ADD(w, h, rows[n].field, "io.max", "%lld:%lld %s=%lld", major, minor, rows[n].v2, rate);
			else
				r = ADD(w, h, rows[n].field, "io.max", "%lld:%lld %s=max", major, minor, rows[n].v2);
			if (r < 0)
				return r;
		}
	return 0;
}

static int asks_anything(const json_t *object)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
		if (json_integer_value(value) || json_array_size(value))
			return 1;
	return 0;
}

static int add_block_io(const struct lists *w, const json_t *io)
{
	const struct cx_hierarchy *h;
	int r;

	if (!asks_anything(io))
		return 0;
	h = cx_cgroups_with(w->g, "io");
	if (!h && !(h = hierarchy(w, "blkio", "blockIO", io)))
		return -EOPNOTSUPP;
	if (number(io, "leafWeight"))
		return refuse(w, -EOPNOTSUPP, "blockIO.leafWeight", json_object_get(io, "leafWeight"),
			"Linux has had no leaf weights since 5.0: leave it out");
	r = add_weights(w, h, io);
	return r < 0 ? r : add_throttles(w, h, io);
}

/* ---- huge pages ---- */

/* `file` with the page size in it; `optional`: older kernels don't have it */
static int add_pages(const struct lists *w, const struct cx_hierarchy *h, const char *format, const json_t *item,
	int optional)
{
	const char *size = json_string_value(json_object_get(item, "pageSize"));
	struct cx_cgroup_write *last;
	int r = ADD(w, h, "hugepageLimits", NULL, "%lld", number(item, "limit"));

	if (r < 0)
		return r;
	last = &w->l->writes[w->l->count - 1];
	last->optional = (uint16_t)optional;
	if (asprintf(&last->name, format, size) < 0) {
		last->name = NULL;
		return cx_fail_memory(w->err);
	}
	last->file = last->name;
	return 0;
}

/* Pages that are reserved and not yet touched count apart: without the second limit a program is killed
 * (SIGBUS) where its mmap should have failed. */
static int add_huge_pages(const struct lists *w, const json_t *list)
{
	const struct cx_hierarchy *h;
	const json_t *item;
	size_t i;
	int r = 0;

	if (!json_array_size(list))
		return 0;
	if (!(h = hierarchy(w, "hugetlb", "hugepageLimits", list)))
		return -EOPNOTSUPP;
	json_array_foreach(list, i, item) {
		const char *size = json_string_value(json_object_get(item, "pageSize"));

		if (!size || size[strspn(size, "0123456789KMGB")])
			return refuse(w, -EINVAL, "hugepageLimits", item, "write pageSize as the kernel does: \"2MB\"");
		r = add_pages(w, h, h->driver->v2 ? "hugetlb.%s.max" : "hugetlb.%s.limit_in_bytes", item, 0);
		if (r == 0)
			r = add_pages(w, h, h->driver->v2 ? "hugetlb.%s.rsvd.max" : "hugetlb.%s.rsvd.limit_in_bytes", item, 1);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- networks ---- */

static int add_network(const struct lists *w, const json_t *network)
{
	const json_t *list = json_object_get(network, "priorities"), *item;
	const struct cx_hierarchy *h = NULL;
	long long class = number(network, "classID");
	size_t i;

	if (class && !(h = hierarchy(w, "net_cls", "network.classID", json_object_get(network, "classID"))))
		return -EOPNOTSUPP;
	if (class && ADD(w, h, "network.classID", "net_cls.classid", "%lld", class) < 0)
		return -ENOMEM;
	if (json_array_size(list) && !(h = hierarchy(w, "net_prio", "network.priorities", list)))
		return -EOPNOTSUPP;
	json_array_foreach(list, i, item) {
		const char *name = json_string_value(json_object_get(item, "name"));

		if (!name)
			return refuse(w, -EINVAL, "network.priorities", item, "name the interface");
		if (ADD(w, h, "network.priorities", "net_prio.ifpriomap", "%s %lld", name, number(item, "priority")) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* ---- RDMA ---- */

/* What isn't given stays as it was. The device's name is in the kernel's list (rdma.current of the root). */
static int add_rdma(const struct lists *w, json_t *rdma)
{
	const struct cx_hierarchy *h;
	const char *name;
	json_t *item;

	if (!json_object_size(rdma))
		return 0;
	if (!(h = hierarchy(w, "rdma", "rdma", rdma)))
		return -EOPNOTSUPP;
	json_object_foreach(rdma, name, item) {
		const json_t *handles = json_object_get(item, "hcaHandles"),
			*objects = json_object_get(item, "hcaObjects");
		char first[48] = "", second[48] = "";

		if (!*name || strpbrk(name, " \t\n") || (!handles && !objects))
			return refuse(w, -EINVAL, "rdma", rdma,
				"name a device, and give it hcaHandles, hcaObjects or both");
		if (handles)
			snprintf(first, sizeof first, " hca_handle=%lld", number(item, "hcaHandles"));
		if (objects)
			snprintf(second, sizeof second, " hca_object=%lld", number(item, "hcaObjects"));
		if (ADD(w, h, "rdma", "rdma.max", "%s%s%s", name, first, second) < 0)
			return -ENOMEM;
	}
	return 0;
}

int cx_cgroup_limits_lists(struct cx_cgroup_limits *l, const struct cx_cgroups *g, const json_t *resources,
	conex_error **err)
{
	const struct lists w = { l, g, err };
	int r = add_block_io(&w, json_object_get(resources, "blockIO"));

	if (r == 0)
		r = add_huge_pages(&w, json_object_get(resources, "hugepageLimits"));
	if (r == 0)
		r = add_rdma(&w, json_object_get(resources, "rdma"));
	return r < 0 ? r : add_network(&w, json_object_get(resources, "network"));
}
