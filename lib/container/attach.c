/* The interfaces of a container whose first process waits for them (CX_BARRIER_NETWORK). */
#include "container/container.h"

/* What takes one request to the kernel is done at once; plugins are other people's, and take their time. */
void cx_attach_begin(conex_container *c)
{
	conex_error **err = c->task.error ? NULL : &c->task.error;
	int r = cx_container_link(c, err);

	if (r == 0)
		r = cx_cni_plug(c, err);
	if (r <= 0)
		cx_task_lift(&c->task, r < 0 ? ECANCELED : 0);
}
