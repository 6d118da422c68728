/* What a cgroup has used: the statistics, and the few facts of an exit record, over all hierarchies. The files and
 * their lines are stat-files.c's. */
#include "cgroup/internal.h"
#include "base/path.h"

#include <fcntl.h>
#include <stdio.h>
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

/* One reading of one cgroup. */
struct reading {
	const struct cx_cgroups *g;
	const char *path;
	int *kept;                      /* descriptors of the last reading, CX_STAT_KEPT of them; NULL: none */
	int slot, below;                /* the next of them; those below this number may be kept */
	int stale;                      /* a kept one is of a cgroup that is gone */
	const struct cx_stat_file *file;
	struct conex_stats *to, s, more; /* to: one of them; s: v1's and in the end all; more: v2's */
};

static void take_line(const char *line, void *data)
{
	struct reading *r = data;

	r->file->line(r->file, line, r->to);
}

/* The host's descriptors are the host's. Opening anew costs little more: most of the time goes into the kernel's
 * own sums. */
static int may_keep(struct reading *r, int fd)
{
	if (!r->below)
		r->below = cx_kept_below();
	return fd < r->below;
}

/* What isn't there, or can't be read, stays unknown. */
static void read_file(struct reading *r, const struct cx_hierarchy *h, const char *name)
{
	int *kept = r->kept && r->slot < CX_STAT_KEPT ? &r->kept[r->slot] : NULL, had = kept && *kept >= 0;
	int fd = had ? *kept : cx_cgroup_open(h, r->path, name, O_RDONLY), e;

	r->slot++;
	if (fd < 0)
		return;
	e = cx_cgroup_lines_fd(fd, take_line, r);
	if (had && e == -ENODEV)
		r->stale = 1;
	else if (kept && !had && e == 0 && may_keep(r, fd))
		*kept = fd;
	else if (!had)
		close(fd);
}

static void read_hierarchy(struct reading *r, const struct cx_hierarchy *h)
{
	char name[64];

	for (r->file = h->driver->files; r->file->name; r->file++) {
		if (r->file->controller && !cx_hierarchy_has(h, r->file->controller))
			continue;
		if (!strchr(r->file->name, '%'))
			read_file(r, h, r->file->name);
		for (size_t n = 0; strchr(r->file->name, '%') && n < r->g->huge_count; n++) {
			const char *mark = strchr(r->file->name, '%');

			snprintf(name, sizeof name, "%.*s%s%s", (int)(mark - r->file->name), r->file->name,
				r->g->huge[n], mark + 2);
			read_file(r, h, name);
		}
	}
}

/* What v1 counts in its own way: swap with memory, and victims where they lived and not above. */
static void mend_v1(const struct cx_cgroups *g, const char *path, struct conex_stats *s, const struct stat *st)
{
	const struct cx_hierarchy *h = cx_cgroups_with(g, "memory");

	if (!h || h->driver->v2)
		return;
	if (s->swap != UINT64_MAX) /* read one after the other: may seem negative */
		s->swap = s->memory == UINT64_MAX ? UINT64_MAX : s->swap > s->memory ? s->swap - s->memory : 0;
	if (s->swap_limit != UINT64_MAX)
		s->swap_limit = s->memory_limit == UINT64_MAX ? UINT64_MAX
			: s->swap_limit > s->memory_limit ? s->swap_limit - s->memory_limit : 0;
	if (st->st_nlink > 2) /* kernfs counts sub-directories right */
		s->oom_kills = (uint64_t)h->driver->oom_kills(h, path);
}

/* Fields that nobody has told yet. */
static void tell(struct conex_stats *to, const struct conex_stats *from)
{
	const size_t first = offsetof(struct conex_stats, memory);

	for (size_t at = first; at < sizeof *to; at += sizeof(uint64_t)) {
		uint64_t *field = (uint64_t *)(void *)((char *)to + at);

		if (*field == UINT64_MAX)
			*field = *(const uint64_t *)(const void *)((const char *)from + at);
	}
}

static int read_all(struct reading *r, const struct stat *st)
{
	const struct cx_hierarchy *v2 = cx_cgroups_v2(r->g);

	memset(&r->s, 0xff, sizeof r->s);
	memset(&r->more, 0xff, sizeof r->more);
	r->s.size = sizeof r->s;
	r->slot = r->stale = 0;
	r->to = &r->s;
	for (size_t i = 0; i < r->g->count; i++)
		if (&r->g->h[i] != v2)
			read_hierarchy(r, &r->g->h[i]);
	mend_v1(r->g, r->path, &r->s, st);
	r->to = &r->more;
	if (v2)
		read_hierarchy(r, v2);
	tell(&r->s, &r->more);
	return r->stale;
}

void cx_stat_kept_close(int kept[CX_STAT_KEPT])
{
	for (int i = 0; i < CX_STAT_KEPT; i++)
		cx_closep(&kept[i]);
}

int cx_cgroup_read_stats(const struct cx_cgroups *g, const char *path, int *kept,
	struct conex_stats *ret, conex_error **err)
{
	const struct cx_hierarchy *h = cx_cgroups_with(g, "memory");
	struct reading r = { .g = g, .path = path, .kept = kept };
	struct stat st = { .st_nlink = 0 };

	if (!h && g->count)
		h = &g->h[0];
	if (h && fstatat(h->fd, path, &st, 0) < 0)
		return cx_fail_errno(err, CONEX_STAGE_RUN, "stat", "it is gone",
			"cgroup %s/%s", h->mount, path);
	if (read_all(&r, &st)) { /* another one with the same name */
		cx_stat_kept_close(kept);
		read_all(&r, &st);
	}
	*ret = r.s;
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
