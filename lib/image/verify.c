/* conex_image_verify: are the store's bytes still what their names say? A worker hashes them: what would be hashed here
 * may be large. */
#include "image/images.h"
#include "image/job.h"
#include "base/error.h"
#include "base/ids.h"

int conex_image_verify(conex *cx, conex_job **ret, conex_error **err)
{
	struct cx_job_task task = { .data = NULL };
	struct cx_store *s;
	int r = cx_ids_rootless() || cx_ids_nested()
		? cx_fail(err, CONEX_STAGE_IMAGE, -EOPNOTSUPP, NULL, "this version's images are root's", "the image store") : 0;

	if (r == 0)
		r = cx_images_of(cx, &s, err);
	if (r < 0)
		return r;
	task.json = json_pack("{s:s, s:s}", "kind", "verify", "store", s->path);
	return task.json ? cx_job_start(cx, &task, ret, err) : cx_fail_memory(err);
}
