/* What a cgroup has used: the statistics, and the few facts of an exit record, over all hierarchies. */
#include "cgroup/internal.h"

#include <string.h>
#include <sys/stat.h>

void cx_cgroup_autopsy(const struct cx_cgroups *g, const char *path,
	struct cx_cgroup_facts *ret)
{
	struct cx_cgroup_facts f = { 0, 0, 0 };
	const struct cx_hierarchy *v2 = cx_cgroups_v2(g);

	for (size_t i = 0; i < g->count; i++)
		if (&g->h[i] != v2)
			g->h[i].driver->facts(&g->h[i], path, &f);
	if (v2) /* last: it knows the processor's time even where v1 has the controllers */
		v2->driver->facts(v2, path, &f);
	*ret = f;
}

int cx_cgroup_read_stats(const struct cx_cgroups *g, const char *path,
	struct conex_stats *ret, conex_error **err)
{
	struct conex_stats s;
	struct stat st;

	if (g->count && fstatat(g->h[0].fd, path, &st, 0) < 0)
		return cx_fail_errno(err, CONEX_STAGE_RUN, "stat", "it is gone",
			"cgroup %s/%s", g->h[0].mount, path);
	memset(&s, 0xff, sizeof s);
	s.size = sizeof s;
	for (int v2 = 0; v2 < 2; v2++)
		for (size_t i = 0; i < g->count; i++)
			if (g->h[i].driver->v2 == v2)
				g->h[i].driver->stats(&g->h[i], path, &s);
	*ret = s;
	return 0;
}

uint32_t cx_cgroup_oom_kills(const struct cx_cgroups *g, const char *path)
{
	for (size_t i = 0; i < g->count; i++) {
		int64_t kills = g->h[i].driver->oom_kills(&g->h[i], path);

		if (kills >= 0)
			return (uint32_t)kills;
	}
	return 0;
}
