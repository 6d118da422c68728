/* Writes a compiled list of limits into one cgroup. After limits.c. */
#include "cgroup/internal.h"
#include "base/kernel.h"

#include <stdio.h>
#include <string.h>

enum { RETRIED = 128 };         /* of so many writes it is known which must be tried again */

/* The file of the last write stays open: a list of devices is a dozen lines for one file. */
struct output {
	const struct cx_cgroup_write *last;
	int fd;
	int other;              /* the file that the next write may do without was there */
};

/* A controller that nobody asked for until now brings its files when it is handed on. */
static int open_handed(const struct cx_hierarchy *h, const char *path, const char *file)
{
	char controller[32];

	for (const char *const *asked = cx_cgroup_v2_asked; h->driver->v2 && *asked; asked++)
		if (!strncmp(file, *asked, strlen(*asked)) && file[strlen(*asked)] == '.') {
			snprintf(controller, sizeof controller, "%s", *asked);
			cx_cgroup_v2_hand_on(h, path, controller);
			return cx_cgroup_open(h, path, file, O_WRONLY);
		}
	return -ENOENT;
}

static int open_output(const struct cx_hierarchy *h, const char *path, const struct cx_cgroup_write *w)
{
	int fd = cx_cgroup_open(h, path, w->file, O_WRONLY);

	if (fd == -ENOENT && w->before)
		fd = cx_cgroup_open(h, path, w->before, O_WRONLY);
	return fd == -ENOENT ? open_handed(h, path, w->file) : fd;
}

/* Is it all right that the file of this write isn't there, or (of two) not meant for this device? */
static int may_fail(const struct cx_cgroup_write *w, const struct output *o, int code)
{
	return (code == -ENOENT && (w->optional || w->either || o->other))
		|| (code == -EOPNOTSUPP && (w->either || o->other));
}

static int write_text(const struct cx_hierarchy *h, const char *path, const struct cx_cgroup_write *w, int fd)
{
	char now[64], both[128];
	const char *text = w->text;

	if (w->used) {
		uint64_t used = cx_cgroup_number(h, path, w->used);

		if (used != UINT64_MAX && used > strtoull(w->text, NULL, 10))
			return -EBUSY;
	}
	if (w->second && cx_cgroup_read(h, path, w->file, now, sizeof now) > 0) {
		snprintf(both, sizeof both, "%.*s %s", (int)strcspn(now, " \n"), now, w->text);
		text = both;
	}
	return write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -errno;
}

static int write_limit(const struct cx_cgroups *g, const char *path,
	const struct cx_cgroup_write *w, struct output *o)
{
	const struct cx_hierarchy *h = &g->h[w->hierarchy];
	int r = 0;

	if (!o->last || o->last->hierarchy != w->hierarchy
	    || strcmp(o->last->file, w->file)) {
		cx_closep(&o->fd);
		o->last = NULL;
		o->fd = open_output(h, path, w);
		r = o->fd;
		if (r >= 0)
			o->last = w;
	}
	if (r >= 0)
		r = write_text(h, path, w, o->fd);
	if (r < 0 && may_fail(w, o, r)) {
		o->other = 0;
		return 0;
	}
	o->other = w->either && r == 0;
	return r;
}

static int apply_failed(const struct cx_hierarchy *h, const char *path,
	const struct cx_cgroup_write *w, int code, conex_error **err)
{
	const char *hint = NULL;

	if (code == -ENOENT)
		hint = h->driver->v2 ? "this kernel has no such limit, or the controller could not be handed on: "
			"a cgroup above has processes of its own"
			: "this kernel has no such limit";
	else if (code == -EBUSY)
		hint = "more is in use than the new limit allows, and could not be reclaimed";
	else if (code == -EINVAL || code == -ERANGE)
		hint = "out of range, or at odds with a limit of a cgroup above";
	else if (code == -EACCES || code == -EPERM)
		hint = "the caller, or a cgroup above, doesn't have this itself";
	else if (code == -ENODEV)
		hint = "no such device, or its driver or scheduler has no such limit";
	return cx_fail(err, CONEX_STAGE_LAUNCH, code, "write", hint,
		"%s: \"%s\" into %s/%s/%s", w->field, w->text, h->mount, path, w->file);
}

static int apply_devices(const struct cx_cgroups *g, const char *path, const struct cx_device_program *p,
	conex_error **err)
{
	const struct cx_hierarchy *h = cx_cgroups_v2(g);
	int r = h ? cx_device_program_attach(h, path, p) : -ENOENT;

	if (r == 0)
		return 0;
	return cx_fail(err, CONEX_STAGE_LAUNCH, r, "bpf",
		r == -EPERM ? "a cgroup above has a device program that allows none below it, or the caller lacks "
		"CAP_BPF and CAP_NET_ADMIN" : r == -E2BIG || r == -ENOSPC ? "fewer rules" : NULL,
		"linux.resources.devices of cgroup %s/%s", h ? h->mount : "", path);
}

/* Which of two limits that depend on each other goes first (memory and memsw, quota and burst) hangs on
 * what they were: one that is refused waits until the others are written, and has one more try. */
int cx_cgroup_apply(const struct cx_cgroups *g, const char *path,
	const struct cx_cgroup_limits *limits, conex_error **err)
{
	struct output o = { NULL, -1, 0 };
	uint8_t waiting[RETRIED] = { 0 };
	size_t i;
	int r = 0;

	for (i = 0; i < limits->count; i++) {
		r = write_limit(g, path, &limits->writes[i], &o);
		if (r == -EINVAL && i < RETRIED)
			waiting[i] = 1;
		else if (r < 0)
			break;
		r = 0;
	}
	for (size_t k = 0; r == 0 && k < limits->count && k < RETRIED; k++)
		if (waiting[k] && (r = write_limit(g, path, &limits->writes[k], &o)) < 0)
			i = k;
	cx_closep(&o.fd);
	if (r < 0)
		return apply_failed(&g->h[limits->writes[i].hierarchy], path, &limits->writes[i], r, err);
	return limits->devices.count ? apply_devices(g, path, &limits->devices, err) : 0;
}
