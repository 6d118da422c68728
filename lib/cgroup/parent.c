/* Below which cgroup ours are made: "/conex", a delegated subtree, or what the user named. After detect.c. */
#include "cgroup/internal.h"
#include "base/kernel.h"
#include "cgroup/scope.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define DEFAULT_PARENT "conex"

/* Absolute, no "." or "..", no empty part; NULL-safe for the caller's text. */
static int check_parent(const char *parent, conex_error **err)
{
	const char *mend = "write an absolute path without \".\" and \"..\", as \"/conex\" or \"/machine/x\"";

	if (parent[0] != '/' || !parent[1] || strlen(parent) > PATH_MAX / 4)
		return cx_refuse(err, -EINVAL, "conex_options.cgroup", parent, "%s",
			mend);
	for (const char *p = parent; *p;) {
		size_t n = strcspn(++p, "/");

		if (n == 0 || n > NAME_MAX || (n == 1 && p[0] == '.')
		    || (n == 2 && p[0] == '.' && p[1] == '.')
		    || memchr(p, '\n', n))
			return cx_refuse(err, -EINVAL, "conex_options.cgroup", parent,
				"%s", mend);
		p += n;
	}
	return 0;
}

/* Opens the mount; a mount that another one covers shows by its device, and is dropped. */
static void open_mounts(struct cx_cgroups *g)
{
	for (size_t i = 0; i < g->count;) {
		struct cx_hierarchy *h = &g->h[i];
		struct stat st;

		h->fd = open(h->mount, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (h->fd < 0 || fstat(h->fd, &st) < 0 || st.st_dev != h->dev)
			cx_cgroups_drop(g, i);
		else
			i++;
	}
}

/* The part of `path` that is there already, into `to`. */
static int existing(const struct cx_hierarchy *h, const char *path, char *to, size_t size)
{
	struct stat st;

	if ((size_t)snprintf(to, size, "%s", path) >= size)
		return -ENAMETOOLONG;
	while (*to && fstatat(h->fd, to, &st, 0) < 0) {
		char *slash = strrchr(to, '/');

		if (errno != ENOENT)
			return -errno;
		*(slash ? slash : to) = '\0';
	}
	return 0;
}

/* May the caller make cgroups below `path` here? A mount that is read-only answers EROFS. */
static int may_make(const struct cx_hierarchy *h, const char *path)
{
	char deepest[PATH_MAX];

	return existing(h, path, deepest, sizeof deepest) == 0
		&& faccessat(h->fd, *deepest ? deepest : ".", W_OK | X_OK, AT_EACCESS) == 0;
}

/* Keeps the hierarchies where `path` may be made, if any has it; how many. */
static size_t keep_usable(struct cx_cgroups *g, const char *path)
{
	size_t usable = 0;

	for (size_t i = 0; i < g->count; i++)
		usable += (size_t)may_make(&g->h[i], path);
	for (size_t i = 0; usable && i < g->count;)
		if (may_make(&g->h[i], path))
			i++;
		else
			cx_cgroups_drop(g, i);
	return usable;
}

static int has_processes(const struct cx_hierarchy *h, const char *path)
{
	char text[64];

	return cx_cgroup_read(h, path, "cgroup.procs", text, sizeof text) > 0;
}

/* A subtree that was handed to us: our own cgroup, or one above it that systemd marked as delegated
 * and that has no processes itself (DelegateSubgroup=), which is the better one on v2. */
static int delegated(const struct cx_hierarchy *h, char *to, size_t size)
{
	char base[PATH_MAX], mark[8], full[PATH_MAX], *slash;

	if (!h->own || !*h->own || !may_make(h, h->own)
	    || (size_t)snprintf(base, sizeof base, "%s", h->own) >= sizeof base)
		return 0;
	while (h->driver->v2 && (slash = strrchr(base, '/'))) {
		*slash = '\0';
		if (!may_make(h, base) || (size_t)snprintf(full, sizeof full, "%s/%s",
				h->mount, base) >= sizeof full)
			break;
		if (getxattr(full, "user.delegate", mark, sizeof mark) == 1
		    && mark[0] == '1' && !has_processes(h, base))
			return (size_t)snprintf(to, size, "%s/" DEFAULT_PARENT,
				base) < size;
	}
	return (size_t)snprintf(to, size, "%s/" DEFAULT_PARENT, h->own) < size;
}

/* One path for all hierarchies: v2's first, for it is the one that is delegated in the field. */
static int find_delegated(const struct cx_cgroups *g, char *to, size_t size)
{
	const struct cx_hierarchy *v2 = cx_cgroups_v2(g);

	if (v2 && delegated(v2, to, size))
		return 1;
	for (size_t i = 0; i < g->count; i++)
		if (!g->h[i].driver->v2 && delegated(&g->h[i], to, size))
			return 1;
	return 0;
}

/* systemd hands on what a scope asks for, of what it has itself: the root's, or what a user's manager was given. */
static void manager_cgroup(const struct cx_cgroups *g, const struct cx_hierarchy *h, char *to, size_t size)
{
	unsigned uid = geteuid(), inside, outside;
	char map[64];
	struct stat st;

	/* of a user namespace's root: whose he is outside */
	if (cx_file_read(AT_FDCWD, "/proc/self/uid_map", map, sizeof map) > 0
	    && sscanf(map, "%u %u", &inside, &outside) == 2 && inside == uid)
		uid = outside;
	snprintf(to, size, "user.slice/user-%u.slice/user@%u.service", uid, uid);
	if (!cx_cgroups_user_manager(g) || fstatat(h->fd, to, &st, 0) < 0)
		*to = '\0';
}

/* Which controllers v2 can give to cgroups of ours. Below a cgroup with processes only those that it
 * hands on already: the rule against inner processes, from which only the true root is free, which is
 * known by having no cgroup.type. We never move processes that are there, the host's least of all. */
static int v2_controllers(struct cx_cgroups *g, struct cx_hierarchy *h)
{
	char base[PATH_MAX], text[512];
	cx_autostr list = { 0 };
	ssize_t n;

	if (g->driver == CX_DRIVER_SYSTEMD)
		manager_cgroup(g, h, base, sizeof base);
	else if (existing(h, g->parent, base, sizeof base) < 0)
		return 0;
	g->inner = g->driver != CX_DRIVER_SYSTEMD && cx_cgroup_v2_inner(h, base);
	n = cx_cgroup_read(h, base, g->inner ? "cgroup.subtree_control"
		: "cgroup.controllers", text, sizeof text);
	text[n > 0 ? n : 0] = '\0';
	for (int asked = 0; asked < 2 - (g->driver == CX_DRIVER_SYSTEMD); asked++)
		for (const char *const *name = asked ? cx_cgroup_v2_asked : cx_cgroup_v2_used; *name; name++)
			if (cx_cgroup_contains(text, *name))
				cx_str_addf(&list, "%s%s", list.size ? "," : "", *name);
	free(h->controllers);
	h->controllers = cx_str_take(&list);
	return h->controllers ? 0 : -ENOMEM;
}

/* The kernel's names for sizes of pages in hugetlb's files: "hugepages-2048kB" there is "2MB". */
static void find_huge_pages(struct cx_cgroups *g)
{
	DIR *dir = cx_cgroups_with(g, "hugetlb") ? opendir("/sys/kernel/mm/hugepages") : NULL;
	struct dirent *e;
	unsigned long kb;

	while (dir && g->huge_count < CX_ARRAY_SIZE(g->huge) && (e = readdir(dir)))
		if (sscanf(e->d_name, "hugepages-%lukB", &kb) == 1)
			snprintf(g->huge[g->huge_count++], sizeof g->huge[0], "%lu%cB",
				kb >= 1 << 20 ? kb >> 20 : kb >= 1 << 10 ? kb >> 10 : kb,
				kb >= 1 << 20 ? 'G' : kb >= 1 << 10 ? 'M' : 'K');
	if (dir)
		closedir(dir);
}

static int settle_parent(struct cx_cgroups *g, const char *parent, conex_error **err)
{
	char path[PATH_MAX];

	if (g->driver == CX_DRIVER_SYSTEMD)
		return cx_systemd_settle(g, parent, err);
	if (parent) {
		g->named = 1;
		if (!keep_usable(g, parent + 1))
			return cx_fail(err, CONEX_STAGE_OPEN, -EACCES, "mkdir",
				"name a cgroup that is yours, or leave conex_options.cgroup out", "cgroup %s", parent);
		snprintf(path, sizeof path, "%s", parent + 1);
	} else if (keep_usable(g, DEFAULT_PARENT)) {
		snprintf(path, sizeof path, DEFAULT_PARENT);
	} else if (find_delegated(g, path, sizeof path)) {
		keep_usable(g, path);
	} else if (cx_systemd_suits(g)) {
		return cx_systemd_settle(g, NULL, err);
	} else { /* no cgroups for us: containers run without, limits are refused (limits.c) */
		while (g->count)
			cx_cgroups_drop(g, 0);
		snprintf(path, sizeof path, DEFAULT_PARENT);
	}
	g->driver = CX_DRIVER_CGROUPFS;
	g->parent = strdup(path);
	return g->parent ? 0 : cx_fail_memory(err);
}

int cx_cgroups_settle(struct cx_cgroups *g, const char *parent, conex_error **err)
{
	int r;

	if (parent && g->driver != CX_DRIVER_SYSTEMD && (r = check_parent(parent, err)) < 0)
		return r;
	open_mounts(g);
	cx_cgroups_unique(g);
	while (g->count > CX_CGROUP_HIERARCHIES)
		cx_cgroups_drop(g, g->count - 1);
	if ((r = settle_parent(g, parent, err)) < 0)
		return r;
	for (size_t i = 0; i < g->count; i++)
		if (g->h[i].driver->v2 && v2_controllers(g, &g->h[i]) < 0)
			return cx_fail_memory(err);
	find_huge_pages(g);
	return 0;
}
