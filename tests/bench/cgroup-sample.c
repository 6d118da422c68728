/* Statistics of a thousand cgroups: in one call of conex's; the same files, one by one; those that runc reads;
 * and all that there are, by libcgroup. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <conex/conex.h>
#include "cgroup/internal.h"
#include "cgroup.h"

#define NAME "bench-%d"
enum { FILES = 128 };

static conex *owner;
static conex_cgroup *made[SAMPLE_MOST];
static pid_t member[SAMPLE_MOST];
int sample_groups;

static int tell(int result, conex_error *err, char *why)
{
	if (result < 0)
		snprintf(why, CGROUP_WHY, "%s", conex_error_text(err));
	conex_error_free(err);
	return result < 0 ? result : 0;
}

int sample_groups_make(int count, char *why)
{
	conex_error *err = NULL;
	int result = conex_open(NULL, &owner, &err);
	char name[32];

	sample_groups = count;
	for (int i = 0; result >= 0 && i < count; i++) {
		snprintf(name, sizeof name, NAME, i);
		result = conex_cgroup_create(owner, name, NULL, &made[i], &err);
		member[i] = result < 0 ? -1 : lap_process();
		if (result >= 0)
			result = conex_cgroup_add(made[i], member[i], &err);
	}
	return tell(result, err, why);
}

void sample_groups_remove(void)
{
	for (int i = 0; i < SAMPLE_MOST && made[i]; i++) {
		if (member[i] > 0)
			lap_process_end(member[i]);
		conex_cgroup_delete(made[i], -1, NULL);
		conex_cgroup_free(made[i]);
		made[i] = NULL;
	}
	conex_close(owner);
	owner = NULL;
}

/* ---- conex ---- */

struct reader { conex *cx; conex_cgroup *group[SAMPLE_MOST]; struct conex_stats stats[SAMPLE_MOST]; };

static void conex_close_all(void *own)
{
	struct reader *r = own;

	for (int i = 0; i < sample_groups; i++)
		conex_cgroup_free(r->group[i]);
	conex_close(r->cx);
	free(r);
}

static int conex_sample(void *own)
{
	struct reader *r = own;

	return conex_cgroup_sample(r->group, (size_t)sample_groups, r->stats, NULL) == sample_groups ? 0 : -EIO;
}

/* The first call opens what later ones read: not counted, as a monitor calls it again and again. */
static int conex_get_all(const struct way *w, const struct place *p, void **ret, char *why)
{
	struct reader *r = calloc(1, sizeof *r);
	conex_error *err = NULL;
	int result = r ? conex_open(NULL, &r->cx, &err) : -ENOMEM;
	char name[32];

	(void)w;
	(void)p;
	for (int i = 0; result >= 0 && i < sample_groups; i++) {
		snprintf(name, sizeof name, NAME, i);
		result = conex_cgroup_get(r->cx, name, &r->group[i], &err);
	}
	if (result >= 0) {
		r->stats[0].size = sizeof r->stats[0];
		result = conex_sample(r);
	}
	if (result >= 0)
		*ret = r;
	else if (r)
		conex_close_all(r);
	return tell(result, err, why);
}

/* ---- files, one by one: open, read to the end, close ---- */

struct files { const struct place *place; int count; struct { int hierarchy; const char *name; } file[FILES]; };

/* What `runc events --stats` (1.1.5) opens on v1, as strace shows it; what Go does around it is left out. */
static const char *const runc_v1[] = {
	"freezer.state", "cpuset.cpus", "cpuset.cpu_exclusive", "cpuset.mems", "cpuset.mem_hardwall",
	"cpuset.mem_exclusive", "cpuset.memory_migrate", "cpuset.memory_spread_page", "cpuset.memory_spread_slab",
	"cpuset.memory_pressure", "cpuset.sched_load_balance", "cpuset.sched_relax_domain_level", "memory.stat",
	"memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.failcnt", "memory.limit_in_bytes",
	"memory.memsw.usage_in_bytes", "memory.memsw.max_usage_in_bytes", "memory.memsw.failcnt",
	"memory.memsw.limit_in_bytes", "memory.kmem.usage_in_bytes", "memory.kmem.max_usage_in_bytes",
	"memory.kmem.failcnt", "memory.kmem.limit_in_bytes", "memory.kmem.tcp.usage_in_bytes",
	"memory.kmem.tcp.max_usage_in_bytes", "memory.kmem.tcp.failcnt", "memory.kmem.tcp.limit_in_bytes",
	"memory.use_hierarchy", "memory.numa_stat", "cpu.stat", "cpuacct.stat", "cpuacct.usage",
	"cpuacct.usage_percpu", "cpuacct.usage_all", "pids.current", "pids.max",
	"blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced", NULL,
};

static int open_file(const struct place *p, int hierarchy, int group, const char *name)
{
	char path[CGROUP_PATH];

	snprintf(path, sizeof path, "../conex/" NAME "/%s", group, name);
	return openat(p->floor.hierarchy[hierarchy].parent_fd, path, O_RDONLY | O_CLOEXEC);
}

/* Those that there are. */
static void add_file(struct files *f, int hierarchy, const char *name)
{
	int fd = f->count < FILES ? open_file(f->place, hierarchy, 0, name) : -1;

	if (fd < 0)
		return;
	close(fd);
	f->file[f->count].hierarchy = hierarchy;
	f->file[f->count++].name = name;
}

static int files_open(const struct way *w, const struct place *p, void **ret, char *why)
{
	struct files *f = calloc(1, sizeof *f);

	if (!f)
		return -ENOMEM;
	f->place = p;
	for (int i = 0; i < p->floor.hierarchies; i++) {
		const struct cx_stat_file *ours = p->floor.hierarchy[i].v2 ? cx_stat_v2 : cx_stat_v1;

		for (; w == &sample_files && ours->name; ours++)
			add_file(f, i, ours->name);
		for (int k = 0; w == &sample_runc && !p->floor.hierarchy[i].v2 && runc_v1[k]; k++)
			add_file(f, i, runc_v1[k]);
	}
	if (!f->count) {
		snprintf(why, CGROUP_WHY, "its files were only read on v1 and on both");
		free(f);
		return -ENOTSUP;
	}
	*ret = f;
	return 0;
}

static int files_sample(void *own)
{
	static char text[65536];
	const struct files *f = own;
	int failed = 0;

	for (int i = 0; i < sample_groups; i++)
		for (int k = 0; k < f->count; k++) {
			int fd = open_file(f->place, f->file[k].hierarchy, i, f->file[k].name);
			ssize_t n = fd < 0 ? -1 : 1;

			while (n > 0)
				n = read(fd, text, sizeof text);
			failed |= fd < 0;
			close(fd);
		}
	return failed ? -EIO : 0;
}

static void files_close(void *own)
{
	free(own);
}

/* ---- libcgroup ---- */

static struct {
	int (*init)(void);
	void *(*new_cgroup)(const char *name);
	int (*get)(void *cgroup);
	void (*free)(void **cgroup);
} lib;

static int lib_open(const struct way *w, const struct place *p, void **ret, char *why)
{
	struct { const char *name; void *to; } function[] = {
		{ "cgroup_init", &lib.init }, { "cgroup_new_cgroup", &lib.new_cgroup },
		{ "cgroup_get_cgroup", &lib.get }, { "cgroup_free", &lib.free },
	};

	(void)w;
	for (int i = 0; i < 4; i++) {
		void *found = libcgroup_function(function[i].name);

		if (!found) {
			snprintf(why, CGROUP_WHY, "libcgroup isn't installed");
			return -ENOENT;
		}
		memcpy(function[i].to, &found, sizeof found);
	}
	*ret = (void *)p;
	return lib.init() ? -EIO : 0;
}

static int lib_sample(void *own)
{
	char name[64];

	(void)own;
	for (int i = 0; i < sample_groups; i++) {
		void *group;
		int result;

		snprintf(name, sizeof name, "conex/" NAME, i);
		group = lib.new_cgroup(name);
		result = group ? lib.get(group) : -1;
		if (group)
			lib.free(&group);
		if (result)
			return -EIO;
	}
	return 0;
}

static void lib_close(void *own)
{
	(void)own;
}

const struct way sample_conex = { .name = "conex", .open = conex_get_all, .sample = conex_sample,
	.close = conex_close_all };
const struct way sample_files = { .name = "files", .open = files_open, .sample = files_sample,
	.close = files_close };
const struct way sample_runc = { .name = "runc", .open = files_open, .sample = files_sample,
	.close = files_close };
const struct way sample_libcgroup = { .name = "libcgroup", .open = lib_open, .sample = lib_sample,
	.close = lib_close };
