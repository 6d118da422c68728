/* The interfaces of a container whose first process waits for them (CX_BARRIER_NETWORK). */
#include "container/container.h"
#include "base/cleanup.h"

/* What takes one request to the kernel is done at once; plugins and other programs take their time. */
void cx_attach_begin(conex_container *c, int ns)
{
	conex_error **err = c->task.error ? NULL : &c->task.error;
	int r;

	if (c->task.plan->usermode) {
		cx_stack_begin(c, ns);
		return;
	}
	cx_closep(&ns);
	r = cx_container_link(c, err);
	if (r == 0)
		r = cx_cni_plug(c, err);
	if (r <= 0)
		cx_task_lift(&c->task, r < 0 ? ECANCELED : 0);
}
