/* What was thrown into a store's tmp/ is swept by a worker, for which nobody waits who hasn't said so. */
#include "base/error.h"
#include "image/job.h"
#include "image/images.h"

#include <string.h>

/* Locked: the job is at its end. What has come meanwhile has its turn in cx_jobs_pump. */
static void swept(void *own)
{
	((conex *)own)->sweep = NULL;
}

void cx_images_sweep(conex *cx, const char *store)
{
	struct cx_job_task task = { .own = cx, .forget = swept };

	if (cx->sweep) {
		free(cx->sweep_again);
		cx->sweep_again = strdup(store);
		return;
	}
	task.json = json_pack("{s:s, s:s}", "kind", "sweep", "store", store);
	cx->sweep = task.json ? cx_job_start_alone(cx, &task) : NULL;
	if (!cx->sweep)
		cx_log(cx, 4, "%s/tmp can't be swept now: the next one to use the store does it", store);
}

int cx_images_sweep_again(conex *cx)
{
	cx_autofree char *store = cx->sweep ? NULL : cx_steal_ptr(&cx->sweep_again);

	if (store)
		cx_images_sweep(cx, store);
	return store != NULL;
}

static int is_swept(void *cx)
{
	return !((conex *)cx)->sweep && !((conex *)cx)->sweep_again;
}

int cx_images_sweep_now(conex *cx, const char *store, conex_error **err)
{
	int r = cx_context_lock(cx, err);

	if (r < 0)
		return r;
	cx_images_sweep(cx, store);
	r = cx_context_wait(cx, -1, is_swept, cx);
	cx_context_unlock(cx);
	return r < 0 ? cx_fail(err, CONEX_STAGE_IMAGE, r, NULL, "conex_close was called", "the context") : 0;
}

int cx_images_collect(conex *cx, struct cx_store *s, int64_t partial_age_s, struct cx_store_gone *ret, conex_error **err)
{
	int r = cx_store_collect(s, partial_age_s, ret, err);

	return r < 0 || !ret->left ? r : cx_images_sweep_now(cx, s->path, err);
}
