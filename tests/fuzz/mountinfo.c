/* The readers of /proc/self/mountinfo and /proc/self/cgroup, in one text with a 0 between both. */
#include "cgroup/internal.h"

#include "fuzz.h"

/* Reads each text whole, so that a sanitizer sees what has no end. */
static void look(const struct cx_cgroups *g, size_t size)
{
	for (size_t i = 0; i < g->count; i++) {
		const struct cx_hierarchy *h = &g->h[i];

		if (strlen(h->mount) + strlen(h->root) + strlen(h->controllers) + (h->own ? strlen(h->own) : 0) > 2 * size)
			__builtin_trap();
		if (h->driver->v2 && *h->controllers)
			__builtin_trap();
		if (h->own && (*h->own == '/' || strstr(h->own, "/../")))
			__builtin_trap();
		if (cx_cgroups_with(g, "memory") == h && h->driver->v2)
			__builtin_trap();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *middle = memchr(data, 0, size);
	struct cx_cgroups *g = NULL;
	char *mounts, *self;

	if (!middle)
		return 0;
	/* exactly as large: one byte more is found out */
	mounts = strdup((const char *)data);
	self = strndup((const char *)middle + 1, size - (size_t)(middle + 1 - data));
	if (mounts && self && cx_cgroups_parse(mounts, self, &g) == 0) {
		look(g, size);
		cx_cgroups_unique(g);
		look(g, size);
		cx_cgroups_free(g);
	}
	free(mounts);
	free(self);
	return 0;
}

static int fuzz_seed(int n, struct cx_str *to)
{
	static const struct { const char *mounts, *self; } seeds[] = {
		{ "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
		  "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
		  "34 31 0:31 / /sys/fs/cgroup/mem\\040ory rw - cgroup cgroup rw,memory\n"
		  "36 31 0:33 / /sys/fs/cgroup/systemd rw shared:10 master:3 - cgroup cgroup rw,xattr,name=systemd\n"
		  "38 31 0:35 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n",
		  "9:name=systemd:/user.slice/a:b\n4:memory:/user.slice\n1:cpu,cpuacct:/user.slice\n0::/user.slice/x.scope\n" },
		{ "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev shared:4 - cgroup2 cgroup2 rw,memory_recursiveprot\n",
		  "0::/user.slice/user@1000.service/app.slice/x.scope\n" },
		{ "50 1 0:31 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
		  "51 1 0:31 / /run/all ro - cgroup cgroup rw,memory\n52 1 0:26 /../.. /unified ro - cgroup2 cgroup rw\n",
		  "4:memory:/docker/abc/inner\n0::/../x\n" },
	};

	if ((size_t)n >= CX_ARRAY_SIZE(seeds))
		return 0;
	cx_str_add(to, seeds[n].mounts, strlen(seeds[n].mounts) + 1);
	cx_str_add(to, seeds[n].self, strlen(seeds[n].self));
	return 1;
}
