/* The store's tmp/ is swept: trees that strangers made are removed, of any size and with any owners. */
#include "image/worker/tasks.h"

#include <string.h>

int cx_task_sweep(struct cx_worker *w, char **result, conex_error **err)
{
	const char *path = cx_task_word(w, "store");
	struct cx_work_place place = { .store = NULL };
	int r = path ? cx_store_open(path, 0, &place.store, err)
		: cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL, NULL, "the worker's task");

	if (r == 0)
		r = cx_work_place_lock(w, &place, -1, 0, err);
	if (r == 0)
		r = cx_store_sweep(place.store, err);
	cx_work_place_close(&place);
	if (r < 0)
		return r;
	*result = strdup("");
	return *result ? 0 : cx_fail_memory(err);
}
