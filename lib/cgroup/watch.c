/* What conex_cgroup_watch can tell of: counters that grow, emptiness, pressure. One descriptor for all of a context;
 * out-of-memory kills have their own way (oom.c), since every container is watched for them. */
#include "cgroup/internal.h"
#include "base/kernel.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

enum { WINDOW_MIN_US = 500000, WINDOW_MAX_US = 10000000 };     /* the kernel's */

/* ---- what is asked for ---- */

static int refuse(const char *what, int code, const char *mend, conex_error **err)
{
	return cx_refuse(err, code, "what", what, "%s", mend);
}

/* "150ms" as us; 0: no such thing. */
static uint64_t duration(const char *text, const char **end)
{
	static const struct { const char *unit; uint64_t us; } units[] = {
		{ "us", 1 }, { "ms", 1000 }, { "s", 1000000 },
	};
	uint64_t n = 0;

	for (; *text >= '0' && *text <= '9' && n < 1000000000; text++)
		n = n * 10 + (uint64_t)(*text - '0');
	for (size_t i = 0; i < CX_ARRAY_SIZE(units); i++)
		if (!strncmp(text, units[i].unit, strlen(units[i].unit))) {
			*end = text + strlen(units[i].unit);
			return n * units[i].us;
		}
	return 0;
}

/* "memory [some|full] 150ms/1s" behind the resource's name */
static int parse_pressure(const struct cx_cgroups *g, const char *what, const char *rest,
	struct cx_cgroup_watch *w, conex_error **err)
{
	const char *kind = !strncmp(rest, "full ", 5) ? "full" : "some", *end;
	uint64_t window;

	if (!strncmp(rest, "full ", 5) || !strncmp(rest, "some ", 5))
		rest += 5;
	w->stall_us = duration(rest, &end);
	window = w->stall_us && *end == '/' ? duration(end + 1, &end) : 0;
	if (!window || *end)
		return refuse(what, -EINVAL, "write the stall and the window, as \"memory 150ms/1s\" or \"io full 1s/4s\"", err);
	if (window < WINDOW_MIN_US || window > WINDOW_MAX_US || w->stall_us > window)
		return refuse(what, -EINVAL, "the window goes from 500 ms to 10 s, the stall up to the window", err);
	if (!(w->h = cx_cgroups_v2(g)))
		return refuse(what, -EOPNOTSUPP, "pressure stalls are measured for groups of cgroup v2, and no v2 hierarchy "
			"may be used here: for memory v1 has \"memory low\", \"medium\" and \"critical\"", err);
	w->kind = CX_WATCH_PRESSURE;
	w->event = CONEX_EVENT_PRESSURE;
	w->full = *kind == 'f';
	snprintf(w->trigger, sizeof w->trigger, "%s %llu %llu", kind, (unsigned long long)w->stall_us,
		(unsigned long long)window);
	return 0;
}

/* v1's levels: how hard it is to find memory within the limit. */
static int parse_level(const struct cx_cgroups *g, const char *what, const char *level, struct cx_cgroup_watch *w,
	conex_error **err)
{
	w->h = cx_cgroups_with(g, "memory");
	if (!w->h || w->h->driver->v2)
		return refuse(what, -EOPNOTSUPP, "levels are v1's: write a stall and a window, as \"memory 150ms/1s\"", err);
	w->kind = CX_WATCH_LEVEL;
	w->event = CONEX_EVENT_PRESSURE;
	w->file = "memory.pressure_level";
	snprintf(w->trigger, sizeof w->trigger, "%s", level);
	return 0;
}

static const struct counter {
	const char *what, *controller, *file, *key;
	int event;
	const char *missing;            /* why not on v1 */
} counters[] = {
	{ "memory.high", "memory", "memory.events", "high", CONEX_EVENT_LIMIT,
	  "memory.high is v2's, and v1 has the memory controller here: watch \"memory medium\"" },
	{ "memory.max", "memory", "memory.events", "max", CONEX_EVENT_LIMIT,
	  "v1 counts how often the limit was met but tells nobody: watch \"oom\" or \"memory critical\"" },
	{ "pids.max", "pids", "pids.events", "max", CONEX_EVENT_LIMIT,
	  "v1 counts refused forks (conex_stats.pids_refused) but tells nobody" },
	{ "empty", NULL, "cgroup.events", "populated", CONEX_EVENT_EMPTY,
	  "only v2 tells that a group is empty, and no v2 hierarchy may be used here" },
};

static int parse_counter(const struct cx_cgroups *g, const char *what, const struct counter *c,
	struct cx_cgroup_watch *w, conex_error **err)
{
	w->h = c->controller ? cx_cgroups_with(g, c->controller) : cx_cgroups_v2(g);
	if (!w->h)
		return refuse(what, -EOPNOTSUPP, c->controller ? "its controller isn't in any hierarchy that may be used here"
			: c->missing, err);
	if (!w->h->driver->v2)
		return refuse(what, -EOPNOTSUPP, c->missing, err);
	w->kind = c->controller ? CX_WATCH_COUNTER : CX_WATCH_EMPTY;
	w->event = c->event;
	w->file = c->file;
	w->key = c->key;
	return 0;
}

int cx_cgroup_watch_parse(const struct cx_cgroups *g, const char *what, struct cx_cgroup_watch *w, conex_error **err)
{
	static const struct { const char *name, *file; } pressures[] = {
		{ "memory ", "memory.pressure" }, { "cpu ", "cpu.pressure" }, { "io ", "io.pressure" },
	};
	static const char *const levels[] = { "memory low", "memory medium", "memory critical" };

	*w = (struct cx_cgroup_watch){ .kind = CX_WATCH_OOM, .event = CONEX_EVENT_OOM, .fd = -1, .wd = -1 };
	if (what && !strcmp(what, "oom"))
		return 0;
	for (size_t i = 0; what && i < CX_ARRAY_SIZE(counters); i++)
		if (!strcmp(what, counters[i].what))
			return parse_counter(g, what, &counters[i], w, err);
	for (size_t i = 0; what && i < CX_ARRAY_SIZE(levels); i++)
		if (!strcmp(what, levels[i]))
			return parse_level(g, what, levels[i] + 7, w, err);
	for (size_t i = 0; what && i < CX_ARRAY_SIZE(pressures); i++)
		if (!strncmp(what, pressures[i].name, strlen(pressures[i].name))) {
			w->file = pressures[i].file;
			return parse_pressure(g, what, what + strlen(pressures[i].name), w, err);
		}
	return refuse(what, -EINVAL, "write \"oom\", \"memory.high\", \"memory.max\", \"pids.max\", \"empty\", or a "
		"pressure: \"memory 150ms/1s\", cpu and io likewise", err);
}

/* ---- the descriptor ---- */

static int add(int epoll, int fd, uint32_t events, void *data)
{
	struct epoll_event e = { .events = events, .data.ptr = data };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

int cx_cgroup_watch_fd(const struct cx_cgroups *g, conex_error **err)
{
	struct cx_cgroups *note = (struct cx_cgroups *)g; /* only these two change; the context's lock is held */
	int r = 0;

	if (g->watch_fd >= 0)
		return g->watch_fd;
	note->watch_fd = epoll_create1(EPOLL_CLOEXEC);
	note->notes_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (g->watch_fd < 0 || g->notes_fd < 0)
		r = -errno;
	if (r == 0)
		r = add(g->watch_fd, g->notes_fd, EPOLLIN, NULL);
	if (r == 0)
		return g->watch_fd;
	cx_closep(&note->watch_fd);
	cx_closep(&note->notes_fd);
	return cx_fail(err, CONEX_STAGE_RUN, r, "inotify_init1", NULL, "a watch for cgroups");
}

static uint64_t field_of(const struct cx_cgroup_watch *w, const char *path, const char *key)
{
	char text[1024];

	return cx_cgroup_read(w->h, path, w->file, text, sizeof text) > 0 ? cx_cgroup_field(text, key) : UINT64_MAX;
}

/* The sum of stalls in us */
static uint64_t stalled(const struct cx_cgroup_watch *w, const char *path)
{
	char text[512], *line = text, *total;

	if (cx_cgroup_read(w->h, path, w->file, text, sizeof text) <= 0)
		return 0;
	if (w->full && !(line = strstr(text, "full ")))
		return 0;
	total = strstr(line, "total=");
	return total ? strtoull(total + 6, NULL, 10) : 0;
}

/* Whatever polls an epoll that has the trigger in it, as the user's loop does, takes the kernel's mark away
 * (psi_trigger_poll). So the trigger is added with EPOLLIN, which it always answers, and edge-triggered: then being on
 * the list of what is ready is the mark, and stays until it is fetched. */
static int begin_pressure(const struct cx_cgroups *g, const char *path, struct cx_cgroup_watch *w)
{
	w->fd = cx_cgroup_open(w->h, path, w->file, O_RDWR | O_NONBLOCK);
	if (w->fd < 0)
		return w->fd;
	if (write(w->fd, w->trigger, strlen(w->trigger) + 1) < 0)
		return -errno;
	w->seen = stalled(w, path);
	return add(g->watch_fd, w->fd, EPOLLIN | EPOLLPRI | EPOLLET, w);
}

static int begin_level(const struct cx_cgroups *g, const char *path, struct cx_cgroup_watch *w)
{
	cx_autoclose int level = cx_cgroup_open(w->h, path, w->file, O_RDONLY);
	char text[64];
	int r;

	if (level < 0)
		return level;
	if ((w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
		return -errno;
	snprintf(text, sizeof text, "%d %d %s", w->fd, level, w->trigger);
	r = cx_cgroup_write(w->h, path, "cgroup.event_control", text);
	return r < 0 ? r : add(g->watch_fd, w->fd, EPOLLIN, w);
}

/* inotify takes paths only; that of the mount's descriptor can't be led astray by a later mount. */
static int begin_note(const struct cx_cgroups *g, const char *path, struct cx_cgroup_watch *w)
{
	char name[PATH_MAX];

	if ((size_t)snprintf(name, sizeof name, "/proc/self/fd/%d/%s/%s", w->h->fd, path, w->file) >= sizeof name)
		return -ENAMETOOLONG;
	w->wd = inotify_add_watch(g->notes_fd, name, IN_MODIFY);
	if (w->wd < 0)
		return -errno;
	w->seen = field_of(w, path, w->key);
	w->frozen = w->kind == CX_WATCH_EMPTY && field_of(w, path, "frozen") == 1;
	return 0;
}

int cx_cgroup_watch_begin(const struct cx_cgroups *g, const char *path, struct cx_cgroup_watch *w, conex_error **err)
{
	const char *hint = NULL;
	int r;

	if (w->kind == CX_WATCH_OOM)
		return cx_cgroup_oom_watch(g, path, err);
	if ((r = cx_cgroup_watch_fd(g, err)) < 0)
		return r;
	r = w->kind == CX_WATCH_PRESSURE ? begin_pressure(g, path, w)
		: w->kind == CX_WATCH_LEVEL ? begin_level(g, path, w) : begin_note(g, path, w);
	if (r >= 0)
		return 0;
	cx_cgroup_watch_end(g, w);
	if (r == -ENOSPC)
		hint = "fs.inotify.max_user_watches is reached";
	else if (w->kind == CX_WATCH_PRESSURE && r == -EINVAL)
		hint = "without CAP_SYS_RESOURCE the window must be a multiple of 2 s (Linux 6.6 and newer), or may not be "
			"had at all";
	else if (w->kind == CX_WATCH_PRESSURE && (r == -ENOENT || r == -EOPNOTSUPP))
		hint = "the kernel measures no pressure: CONFIG_PSI, psi=1";
	return cx_fail(err, CONEX_STAGE_RUN, r, "watch", hint, "cgroup %s/%s/%s", w->h->mount, path, w->file);
}

void cx_cgroup_watch_end(const struct cx_cgroups *g, struct cx_cgroup_watch *w)
{
	if (w->fd >= 0) /* by name: a forked copy of the host may hold it as well, and then closing isn't enough */
		epoll_ctl(g->watch_fd, EPOLL_CTL_DEL, w->fd, NULL);
	cx_closep(&w->fd);
	if (w->wd >= 0)
		inotify_rm_watch(g->notes_fd, w->wd);
	w->wd = -1;
}

/* ---- what has happened ---- */

void cx_cgroup_watch_hits(const struct cx_cgroups *g, struct cx_cgroup_hits *ret)
{
	struct epoll_event events[CX_ARRAY_SIZE(ret->fired)];
	char notes[CX_ARRAY_SIZE(ret->wd) * sizeof(struct inotify_event)]
		__attribute__((aligned(__alignof__(struct inotify_event))));
	int n = epoll_wait(g->watch_fd, events, CX_ARRAY_SIZE(events), 0);
	ssize_t size = read(g->notes_fd, notes, sizeof notes);

	ret->count = ret->noted = 0;
	for (int i = 0; i < n; i++)
		if (events[i].data.ptr) {
			struct cx_cgroup_watch *w = events[i].data.ptr;

			w->told = !!(events[i].events & EPOLLPRI);
			ret->fired[ret->count++] = w;
		}
	for (const char *at = notes; size > 0 && at < notes + size; at += sizeof(struct inotify_event))
		ret->wd[ret->noted++] = ((const struct inotify_event *)(const void *)at)->wd; /* files: no names */
	ret->more = n == CX_ARRAY_SIZE(events) || size == (ssize_t)sizeof notes;
}

static int is_hit(const struct cx_cgroup_watch *w, const struct cx_cgroup_hits *hits)
{
	for (int i = 0; i < hits->count; i++)
		if (hits->fired[i] == w)
			return 1;
	for (int i = 0; w->wd >= 0 && i < hits->noted; i++)
		if (hits->wd[i] == w->wd || hits->wd[i] == -1) /* -1: the queue has overflowed */
			return 1;
	return 0;
}

/* Becoming frozen or thawed changes the same file as becoming empty does. */
static int is_empty_now(struct cx_cgroup_watch *w, const char *path)
{
	uint64_t populated = field_of(w, path, w->key), before = w->seen;
	int frozen = field_of(w, path, "frozen") == 1, same = frozen == w->frozen;

	w->seen = populated;
	w->frozen = frozen;
	return populated == 0 && (before == 1 || same);
}

int cx_cgroup_watch_happened(struct cx_cgroup_watch *w, const char *path, const struct cx_cgroup_hits *hits)
{
	uint64_t now, before = w->seen;

	if (!is_hit(w, hits))
		return 0;
	if (w->kind == CX_WATCH_LEVEL)
		return read(w->fd, &now, sizeof now) == sizeof now;
	if (w->kind == CX_WATCH_EMPTY)
		return is_empty_now(w, path);
	now = w->kind == CX_WATCH_PRESSURE ? stalled(w, path) : field_of(w, path, w->key);
	if (now == UINT64_MAX)
		return 0;
	if (w->kind == CX_WATCH_PRESSURE && !w->told && now < before + w->stall_us)
		return 0; /* somebody else's trigger on the same file, or the first look */
	w->seen = now;
	return w->told || now > before;
}
