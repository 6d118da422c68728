/* The row "floor": floor.c with this bench's rootfs, filter and capabilities. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "floor.h"
#include "subject.h"

static const char *const args[] = { "/bin/true", NULL };
static const char *const env[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL,
};

static void floor_close(void *own)
{
	floor_finish(own);
	free(own);
}

static int floor_open(const struct subject *subject, const struct setup *s, void **ret, char *why)
{
	struct floor *f = calloc(1, sizeof *f);
	int result;

	if (!f)
		return -ENOMEM;
	f->rootfs = s->rootfs;
	f->args = args;
	f->env = env;
	f->filter = s->filter;
	f->keep_caps = s->caps;
	f->read_only = json_is_true(json_object_get(json_object_get(s->spec, "root"), "readonly"));
	result = floor_prepare(f, SETUP_CGROUP);
	if (result < 0) {
		snprintf(why, SUBJECT_WHY, "%s: can't make its cgroups: %s", subject->name,
			strerror(-result));
		floor_close(f);
		return result;
	}
	*ret = f;
	return 0;
}

static int floor_once(void *own, int worker)
{
	struct floor f = *(const struct floor *)own;
	char id[16];

	snprintf(id, sizeof id, "floor%d", worker);
	f.id = id;
	return floor_launch(&f);
}

const struct subject subject_floor = {
	.name = "floor", .host = HOST_FLOOR,
	.open = floor_open, .launch = floor_once, .close = floor_close,
};
