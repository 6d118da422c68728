/* The interfaces of a container whose first process waits for them (CX_BARRIER_NETWORK). */
#include "container/container.h"

static void end(conex_container *c, int error)
{
	cx_task_lift(&c->task, error);
}

/* What takes one request to the kernel is done at once. */
void cx_attach_begin(conex_container *c)
{
	int r = cx_container_link(c, c->task.error ? NULL : &c->task.error);

	end(c, r < 0 ? ECANCELED : 0);
}
