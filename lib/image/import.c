/* conex_image_import: an archive or a layout's directory becomes an image. */
#include "image/verb.h"
#include "base/error.h"

#include <fcntl.h>

int conex_image_import(conex *cx, int fd, const char *image, const struct conex_image_options *options, conex_job **ret,
	conex_error **err)
{
	struct cx_verb v;
	int r = cx_verb_begin(cx, image, options, 0, &v, err);

	if (r == 0 && fcntl(fd, F_GETFD) < 0)
		r = cx_refuse(err, -EBADF, "fd", NULL, "a file, a pipe, or the directory of a layout");
	if (r == 0)
		r = cx_verb_task(&v, "import", err);
	if (r < 0)
		return r;
	v.job.fds = &fd;
	v.job.count = 1;
	return cx_verb_start(&v, ret, err);
}
