/* conex_image_pull: an image comes from its registry; also because a container is to be run of it. */
#include "image/remote.h"
#include "base/error.h"

static int start(conex *cx, const char *image, const struct conex_image_options *options, int quiet, conex_job **ret,
	conex_error **err)
{
	struct cx_verb v;
	int r = cx_verb_begin(cx, image, options, CONEX_IMAGE_PLAIN_HTTP | CONEX_IMAGE_NOT_NEWER, &v, err);

	if (r == 0)
		r = cx_verb_task(&v, "pull", err);
	if (r < 0)
		return r;
	v.job.quiet = quiet;
	if (v.o.flags & CONEX_IMAGE_NOT_NEWER && json_object_set_new(v.job.json, "not_newer", json_true()) < 0) {
		cx_job_task_clear(&v.job);
		return cx_fail_memory(err);
	}
	r = cx_remote_describe(&v, err);
	return r < 0 ? r : cx_verb_start(&v, ret, err);
}

int conex_image_pull(conex *cx, const char *image, const struct conex_image_options *options, conex_job **ret,
	conex_error **err)
{
	return start(cx, image, options, 0, ret, err);
}

int cx_images_pull(conex *cx, const char *name, conex_error **err)
{
	const struct conex_image_options o = { .size = sizeof o, .flags = CONEX_IMAGE_NOT_NEWER };
	conex_job *job;
	int r = start(cx, name, &o, 1, &job, err);

	if (r < 0)
		return r;
	r = conex_job_wait(job, -1, err);
	conex_job_free(job);
	return r < 0 ? r : 0;
}
