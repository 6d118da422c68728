/* The rows of libcgroup, as its manual does it. The library is loaded if it is there (its interface is the same from
 * 0.32 on), so that the benchmark is built without. */
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cgroup.h"

#define GROUP "conex-bench/libcgroup"

static void *library(void)
{
	static const char *const names[] = { "libcgroup.so.3", "libcgroup.so.2", "libcgroup.so.1" };
	void *found = NULL;

	for (int i = 0; i < 3 && !found; i++)
		found = dlopen(names[i], RTLD_NOW);
	return found;
}

void *libcgroup_function(const char *name)
{
	static void *loaded;

	if (!loaded)
		loaded = library();
	return loaded ? dlsym(loaded, name) : NULL;
}

struct libcgroup {
	const struct place *place;
	int all;                        /* a group in every hierarchy, not only where there is a limit */
	int (*init)(void);
	void *(*new_cgroup)(const char *name);
	void *(*add_controller)(void *cgroup, const char *name);
	int (*add_value)(void *controller, const char *name, const char *value);
	int (*create)(void *cgroup, int ignore_ownership);
	int (*attach)(void *cgroup, pid_t pid);
	int (*delete)(void *cgroup, int ignore_migration);
	void (*free)(void **cgroup);
	void *group;
};

static int take(struct libcgroup *l)
{
	struct { const char *name; void *to; } function[] = {
		{ "cgroup_init", &l->init }, { "cgroup_new_cgroup", &l->new_cgroup },
		{ "cgroup_add_controller", &l->add_controller },
		{ "cgroup_add_value_string", &l->add_value }, { "cgroup_create_cgroup", &l->create },
		{ "cgroup_attach_task_pid", &l->attach }, { "cgroup_delete_cgroup", &l->delete },
		{ "cgroup_free", &l->free },
	};

	for (size_t i = 0; i < sizeof function / sizeof *function; i++) {
		void *found = libcgroup_function(function[i].name);

		if (!found)
			return -ENOENT;
		memcpy(function[i].to, &found, sizeof found);
	}
	return 0;
}

static int libcgroup_open(const struct way *w, const struct place *p, void **ret, char *why)
{
	struct libcgroup *l = calloc(1, sizeof *l);
	int result = l ? take(l) : -ENOMEM;

	if (result < 0)
		snprintf(why, CGROUP_WHY, "libcgroup isn't installed");
	else if ((result = l->init())) {
		snprintf(why, CGROUP_WHY, "cgroup_init: %d", result);
		result = -EIO;
	}
	if (result < 0) {
		free(l);
		return result;
	}
	l->place = p;
	l->all = w == &way_libcgroup;
	*ret = l;
	return 0;
}

static void libcgroup_close(void *own)
{
	free(own);
}

/* v1's hierarchies by their names, but for named ones, which libcgroup can't tell apart. */
static int add_others(const struct libcgroup *l)
{
	for (int i = 0; i < l->place->floor.hierarchies; i++) {
		const struct floor_hierarchy *h = &l->place->floor.hierarchy[i];
		char name[sizeof h->name];
		int limited = 0;

		for (int k = 0; k < l->place->writes; k++)
			limited |= l->place->write[k].hierarchy == i;
		snprintf(name, sizeof name, "%.*s", (int)strcspn(h->name, ","), h->name);
		if (!limited && !h->v2 && strcmp(name, "systemd") && !l->add_controller(l->group, name))
			return -EIO;
	}
	return 0;
}

static int fill(const struct libcgroup *l)
{
	const char *last = "";
	void *controller = NULL;

	for (int i = 0; i < l->place->writes; i++) {
		const struct place_write *w = &l->place->write[i];

		if (strcmp(last, w->controller))
			controller = l->add_controller(l->group, w->controller);
		if (!controller || l->add_value(controller, w->file, w->value))
			return -EIO;
		last = w->controller;
	}
	return l->all ? add_others(l) : 0;
}

static int libcgroup_make(void *own, pid_t pid)
{
	struct libcgroup *l = own;
	int result;

	l->group = l->new_cgroup(GROUP);
	if (!l->group)
		return -ENOMEM;
	result = fill(l);
	if (result == 0)
		result = l->create(l->group, 0);
	if (result == 0)
		result = l->attach(l->group, pid);
	if (result)
		fprintf(stderr, "bench cgroup: libcgroup: error %d\n", result);
	return result ? -EIO : 0;
}

static int libcgroup_remove(void *own)
{
	struct libcgroup *l = own;
	int result = l->delete(l->group, 0);

	l->free(&l->group);
	/* on v2 it removes one directory for each controller, and complains of the second (2.0.2) */
	if (result && faccessat(l->place->floor.hierarchy[0].parent_fd, "libcgroup", F_OK, 0) < 0)
		result = 0;
	if (result)
		fprintf(stderr, "bench cgroup: libcgroup: cgroup_delete_cgroup: error %d\n", result);
	return result ? -EIO : 0;
}

const struct way way_libcgroup = {
	"libcgroup", libcgroup_open, libcgroup_make, libcgroup_remove, libcgroup_close, NULL,
};
const struct way way_libcgroup_3 = {
	"libcgroup-3", libcgroup_open, libcgroup_make, libcgroup_remove, libcgroup_close, NULL,
};
