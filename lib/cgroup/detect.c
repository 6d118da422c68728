/* Where the hierarchies are: /proc/self/mountinfo and /proc/self/cgroup read as texts; parent.c goes on. */
#include "cgroup/internal.h"
#include "base/kernel.h"
#include "cgroup/scope.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

enum { PROC_MAX = 4 << 20 };            /* machines with many containers have long mount tables */

/* The next word of a line, NUL-terminated in place; NULL at its end. */
static char *word(char **line)
{
	char *start = *line + strspn(*line, " "), *end = start + strcspn(start, " ");

	if (!*start)
		return NULL;
	*line = *end ? end + 1 : end;
	*end = '\0';
	return start;
}

/* mountinfo writes blank, tab, newline and backslash as \ooo. In place. */
static char *unescape(char *text)
{
	char *to = text;

	for (const char *p = text; *p; p++) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7'
		    && p[3] >= '0' && p[3] <= '7') {
			*to++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
	return text;
}

/* Is the first `size` bytes of `name` one of the words of a comma-separated list? */
static int listed(const char *list, const char *name, size_t size)
{
	for (const char *p = list; *p; p += *p == ',') {
		size_t n = strcspn(p, ",");

		if (n == size && !memcmp(p, name, n))
			return 1;
		p += n;
	}
	return 0;
}

int cx_hierarchy_has(const struct cx_hierarchy *h, const char *controller)
{
	return listed(h->controllers, controller, strlen(controller));
}

/* Finds the line of /proc/self/cgroup that speaks of a mounted hierarchy: for v2 that without
 * controllers, for v1 that whose controllers are among the mount's options, which alone can't tell
 * controllers from other words ("xattr", "clone_children"). */
static const char *own_line(const char *self, const char *options, int v2,
	size_t *controllers)
{
	for (const char *line = self; *line; line = strchr(line, '\n') + 1) {
		const char *name = line + strcspn(line, ":\n");
		size_t first, all;

		if (*name == ':') {
			name++;
			all = strcspn(name, ":\n");
			first = strcspn(name, ",:\n");
			if (name[all] == ':'
			    && (v2 ? all == 0 : all && listed(options, name, first))) {
				*controllers = all;
				return name;
			}
		}
		if (!strchr(line, '\n'))
			break;
	}
	return NULL;
}

/* Our cgroup as seen from the mount: `root` is what of the hierarchy is mounted. NULL: not below it
 * (a mount that shows another part, or "/../x": we are outside of our cgroup namespace). */
static int own_below(const char *root, const char *path, size_t size, char **ret)
{
	size_t n = strlen(root);

	*ret = NULL;
	if (size < n || memcmp(path, root, n) || (size > n && path[n] != '/')
	    || memmem(path, size, "/..", 3))
		return 0;
	for (path += n, size -= n; size && *path == '/'; path++)
		size--;
	return (*ret = strndup(path, size)) ? 0 : -ENOMEM;
}

void cx_hierarchy_clear(struct cx_hierarchy *h)
{
	cx_closep(&h->fd);
	free(h->mount);
	free(h->root);
	free(h->own);
	free(h->controllers);
}

void cx_cgroups_drop(struct cx_cgroups *g, size_t n)
{
	cx_hierarchy_clear(&g->h[n]);
	memmove(&g->h[n], &g->h[n + 1], (--g->count - n) * sizeof *g->h);
}

struct mount { unsigned major, minor; char *root, *point, *type, *options; };

/* One line of mountinfo: ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS] - TYPE SOURCE OPTIONS. 1: a cgroup's. */
static int parse_mount(char *line, struct mount *m)
{
	char *tail = strstr(line, " - "), *device;

	if (!tail)
		return 0;
	*tail = '\0';
	tail += 3;
	m->type = word(&tail);
	if (!m->type || (strcmp(m->type, "cgroup") && strcmp(m->type, "cgroup2")))
		return 0;
	if (!word(&tail) || !(m->options = word(&tail)))
		return 0;
	if (!word(&line) || !word(&line) || !(device = word(&line))
	    || sscanf(device, "%u:%u", &m->major, &m->minor) != 2)
		return 0;
	if (!(m->root = word(&line)) || !(m->point = word(&line)))
		return 0;
	unescape(m->point);
	if (!strcmp(unescape(m->root), "/"))
		m->root[0] = '\0';
	return 1;
}

static int add_mount(struct cx_cgroups *g, const struct mount *m, const char *self)
{
	struct cx_hierarchy h = { .fd = -1, .dev = makedev(m->major, m->minor) };
	size_t named, v2 = !strcmp(m->type, "cgroup2");
	const char *name = own_line(self, m->options, (int)v2, &named);
	struct cx_hierarchy *more;

	if (!name)
		return 0;
	more = realloc(g->h, (g->count + 1) * sizeof *g->h);
	if (!more)
		return -ENOMEM;
	g->h = more;
	h.driver = v2 ? &cx_cgroup_v2 : &cx_cgroup_v1;
	h.mount = strdup(m->point);
	h.root = strdup(m->root);
	h.controllers = strndup(name, named);
	g->h[g->count++] = h;
	if (!h.mount || !h.root || !h.controllers)
		return -ENOMEM;
	name += named + 1;
	return own_below(m->root, name, strcspn(name, "\n"), &g->h[g->count - 1].own);
}

void cx_cgroups_unique(struct cx_cgroups *g)
{
	for (size_t i = 0; i < g->count; i++)
		for (size_t k = i + 1; k < g->count;)
			if (g->h[k].dev != g->h[i].dev) {
				k++;
			} else if (strlen(g->h[k].root) < strlen(g->h[i].root)) {
				struct cx_hierarchy better = g->h[k];

				g->h[k] = g->h[i];
				g->h[i] = better;
				cx_cgroups_drop(g, k);
			} else {
				cx_cgroups_drop(g, k);
			}
}

int cx_cgroups_parse(const char *mountinfo, const char *self, struct cx_cgroups **ret)
{
	cx_autofree char *copy = strdup(mountinfo);
	struct cx_cgroups *g = calloc(1, sizeof *g);
	int r = copy && g ? 0 : -ENOMEM;
	struct mount m;
	char *save = NULL;

	if (g)
		g->oom_fd = g->watch_fd = g->notes_fd = -1;
	for (char *line, *rest = copy; r == 0 && (line = strtok_r(rest, "\n", &save)); rest = NULL)
		if (parse_mount(line, &m))
			r = add_mount(g, &m, self);
	if (r < 0) {
		cx_cgroups_free(g);
		return r;
	}
	*ret = g;
	return 0;
}

static int read_proc(const char *path, char **ret, conex_error **err)
{
	ssize_t n = cx_file_load(AT_FDCWD, path, PROC_MAX, ret);

	if (n == -ENOENT) /* a kernel without cgroups has no /proc/self/cgroup */
		return (*ret = strdup("")) ? 0 : cx_fail_memory(err);
	if (n < 0)
		return cx_fail(err, CONEX_STAGE_OPEN, (int)n, "read", "is /proc mounted?", "%s", path);
	return 0;
}

int cx_cgroups_detect(const char *parent, int driver, struct cx_cgroups **ret, conex_error **err)
{
	cx_autofree char *mountinfo = NULL, *self = NULL;
	struct cx_cgroups *g = NULL;
	int r;

	if ((r = read_proc("/proc/self/mountinfo", &mountinfo, err)) < 0
	    || (r = read_proc("/proc/self/cgroup", &self, err)) < 0)
		return r;
	if (cx_cgroups_parse(mountinfo, self, &g) < 0)
		return cx_fail_memory(err);
	g->driver = driver;
	if ((r = cx_cgroups_settle(g, parent, err)) < 0) {
		cx_cgroups_free(g);
		return r;
	}
	*ret = g;
	return 0;
}

void cx_cgroups_free(struct cx_cgroups *g)
{
	int fd;

	if (!g)
		return;
	for (size_t i = 0; i < g->count; i++)
		cx_hierarchy_clear(&g->h[i]);
	fd = g->oom_fd;
	cx_closep(&fd);
	cx_closep(&g->watch_fd);
	cx_closep(&g->notes_fd);
	cx_manager_close(g->manager);
	free(g->h);
	free(g->manager_root);
	free(g->slice);
	free(g->parent);
	free(g);
}

int cx_cgroups_any(const struct cx_cgroups *g)
{
	return g->count > 0;
}

const struct cx_hierarchy *cx_cgroups_with(const struct cx_cgroups *g,
	const char *controller)
{
	for (size_t i = 0; i < g->count; i++)
		if (cx_hierarchy_has(&g->h[i], controller))
			return &g->h[i];
	return NULL;
}

const struct cx_hierarchy *cx_cgroups_v2(const struct cx_cgroups *g)
{
	for (size_t i = 0; i < g->count; i++)
		if (g->h[i].driver->v2)
			return &g->h[i];
	return NULL;
}
