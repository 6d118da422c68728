/* From a caller's options to a worker's task. */
#include "image/verb.h"
#include "base/error.h"
#include "base/options.h"

enum { FIRST_OPTIONS = sizeof(struct conex_image_options), FIRST_LIMITS = sizeof(struct conex_image_limits) };

static int check(const struct cx_verb *v, uint64_t flags, conex_error **err)
{
	const struct conex_image_options *o = &v->o;
	struct cx_platform p;

	if (o->flags & ~flags)
		return cx_refuse(err, -EINVAL, "conex_image_options.flags", NULL, "this call doesn't know the bits 0x%llx",
			(unsigned long long)(o->flags & ~flags));
	if (!o->user != !o->password)
		return cx_refuse(err, -EINVAL, o->user ? "conex_image_options.password" : "conex_image_options.user", NULL,
			"user and password go together");
	if (v->limits.path > 4095)
		return cx_refuse(err, -EINVAL, "conex_image_limits.path", NULL, "at most 4095");
	return cx_platform_parse(o->platform, &p, err);
}

int cx_verb_begin(conex *cx, const char *image, const struct conex_image_options *options, uint64_t flags, struct cx_verb *ret,
	conex_error **err)
{
	int r = cx_options_read("conex_image_options", &ret->o, sizeof ret->o, FIRST_OPTIONS, options, err);

	ret->cx = cx;
	ret->job = (struct cx_job_task){ .data = ret->o.data };
	if (r == 0)
		r = cx_options_read("conex_image_limits", &ret->limits, sizeof ret->limits, FIRST_LIMITS, ret->o.limits, err);
	if (r == 0)
		r = check(ret, flags, err);
	if (r == 0)
		r = cx_reference_parse(image, &ret->name, err);
	return r < 0 ? r : cx_images_of(cx, &ret->store, err);
}

static json_t *limits_json(const struct cx_verb *v)
{
	const struct conex_image_limits *l = &v->limits;
	uint64_t bytes = v->o.max_bytes ? v->o.max_bytes : l->bytes ? l->bytes : UINT64_C(64) << 30;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "bytes", (json_int_t)bytes, "ratio", (json_int_t)l->ratio,
		"entries", (json_int_t)l->entries, "depth", (json_int_t)l->depth, "path", (json_int_t)l->path,
		"header", (json_int_t)l->header, "xattrs", (json_int_t)l->xattrs);
}

int cx_verb_task(struct cx_verb *v, const char *kind, conex_error **err)
{
	char name[CX_REFERENCE_TEXT];

	cx_reference_print(&v->name, name);
	v->job.json = json_pack("{s:s, s:s, s:s, s:s*, s:o}", "kind", kind, "store", v->store->path, "name", name,
		"platform", v->o.platform, "limits", limits_json(v));
	return v->job.json ? 0 : cx_fail_memory(err);
}

int cx_verb_start(struct cx_verb *v, conex_job **ret, conex_error **err)
{
	return cx_job_start(v->cx, &v->job, ret, err);
}
