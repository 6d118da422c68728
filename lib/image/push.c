/* conex_image_push: an image of the store goes to the registry of its name. */
#include "image/remote.h"
#include "base/error.h"

/* What is for pulls alone is refused by name, as everywhere: nothing that was asked for is left out in silence. */
static int check(const struct conex_image_options *o, conex_error **err)
{
	const char *field = o->mirrors && o->mirrors[0] ? "conex_image_options.mirrors" : o->limits ? "conex_image_options.limits"
		: o->max_bytes ? "conex_image_options.max_bytes" : NULL;

	return field ? cx_refuse(err, -EINVAL, field, NULL, "a push takes none: it goes to the registry itself, and unpacks nothing")
		: 0;
}

int conex_image_push(conex *cx, const char *image, const struct conex_image_options *options, conex_job **ret,
	conex_error **err)
{
	struct cx_verb v;
	int r = cx_verb_begin(cx, image, options, CONEX_IMAGE_PLAIN_HTTP, &v, err);

	if (r == 0)
		r = check(&v.o, err);
	if (r == 0)
		r = cx_verb_task(&v, "push", err);
	if (r == 0)
		r = cx_remote_describe(&v, err);
	return r < 0 ? r : cx_verb_start(&v, ret, err);
}
