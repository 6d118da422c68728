/* conex_image_export: an image of the store as an OCI layout, into a directory or as tar. */
#include "image/verb.h"
#include "base/error.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Can a tar be written to it, or is it a directory? */
static int check_fd(int fd, conex_error **err)
{
	int flags = fcntl(fd, F_GETFL), type = SOCK_STREAM;
	socklen_t size = sizeof type;
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return cx_refuse(err, -EBADF, "fd", NULL, "a file, a pipe, or the directory that becomes a layout");
	if (S_ISDIR(st.st_mode))
		return 0;
	if (flags & O_PATH || (flags & O_ACCMODE) == O_RDONLY)
		return cx_refuse(err, -EBADF, "fd", NULL, "open it for writing");
	if (S_ISSOCK(st.st_mode))
		getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
	if (!(st.st_mode & S_IFMT) || type != SOCK_STREAM)
		return cx_refuse(err, -EINVAL, "fd", NULL, "a file, a pipe, a stream's socket, or the directory that becomes a layout");
	return 0;
}

int conex_image_export(conex *cx, const char *image, int fd, const struct conex_image_options *options, conex_job **ret,
	conex_error **err)
{
	struct cx_digest target;
	struct cx_verb v;
	int r = cx_verb_begin(cx, image, options, 0, &v, err);

	if (r == 0)
		r = check_fd(fd, err);
	if (r == 0)
		r = cx_store_get_image(v.store, &v.name, &target, err);
	if (r == 0)
		r = cx_verb_task(&v, "export", err);
	if (r < 0)
		return r;
	v.job.fds = &fd;
	v.job.count = 1;
	return cx_verb_start(&v, ret, err);
}
