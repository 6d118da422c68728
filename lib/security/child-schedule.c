/* Inside the container: personality, scheduler, I/O priority, processors and memory nodes.
 * All are inherited by what the program starts; none needs a file. */
#include "keeper/child.h"

#include "security/schedule.h"

enum { IOPRIO_WHO_PROCESS = 1, IOPRIO_CLASS_SHIFT = 13 };

int cx_child_personality(struct cx_child *c, const struct cx_op *op)
{
	if (syscall(SYS_personality, op->arg[0]) < 0)
		return cx_child_fail(c, CX_CALL_personality, cx_child_text(c, op->arg[1]));
	return 0;
}

/* Realtime policies need CAP_SYS_NICE in the first user namespace and, in cgroup v1, a share
 * of realtime for the group: EPERM says neither of them. */
int cx_child_scheduler(struct cx_child *c, const struct cx_op *op)
{
	size_t size;
	const void *attr = cx_child_bytes(c, op->arg[0], &size);

	if (size != sizeof(struct cx_sched_attr)) {
		errno = EINVAL;
		return cx_child_fail(c, CX_CALL_sched_setattr, NULL);
	}
	if (syscall(SYS_sched_setattr, 0, attr, 0) < 0)
		return cx_child_fail(c, CX_CALL_sched_setattr,
			cx_child_text(c, op->arg[1]));
	return 0;
}

int cx_child_io_priority(struct cx_child *c, const struct cx_op *op)
{
	unsigned long priority = op->arg[0] << IOPRIO_CLASS_SHIFT | op->arg[1];

	if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, priority) < 0)
		return cx_child_fail(c, CX_CALL_ioprio_set, NULL);
	return 0;
}

/* "initial" is for the time before the container's cgroup is entered. Where the keeper clones
 * right into it there is no such time, and the cpuset may have none of those processors. */
int cx_child_affinity(struct cx_child *c, const struct cx_op *op)
{
	size_t size;
	const void *mask = cx_child_bytes(c, op->arg[0], &size);
	int initial = op->arg[2] != 0;

	if (syscall(SYS_sched_setaffinity, 0, size, mask) == 0)
		return 0;
	if (initial && errno == EINVAL && c->launch->cgroup2)
		return 0;
	return cx_child_fail(c, CX_CALL_sched_setaffinity, cx_child_text(c, op->arg[1]));
}

/* The kernel reads one bit less than it is told (mbind(2), "maxnode"). */
int cx_child_memory_policy(struct cx_child *c, const struct cx_op *op)
{
	unsigned long nodes[1024 / sizeof(unsigned long)] = { 0 };
	const char *list = cx_child_text(c, op->arg[2]);
	const void *mask = NULL;
	size_t size = 0;

	if (op->arg[1])
		mask = cx_child_bytes(c, op->arg[1], &size);
	if (size > sizeof nodes) {
		errno = EINVAL;
		return cx_child_fail(c, CX_CALL_set_mempolicy, list);
	}
	for (size_t i = 0; i < size; i++)       /* to whole words, which the kernel reads */
		((unsigned char *)nodes)[i] = ((const unsigned char *)mask)[i];
	if (syscall(SYS_set_mempolicy, (int)op->arg[0], size ? nodes : NULL,
		size ? size * 8 + 1 : 0) < 0)
		return cx_child_fail(c, CX_CALL_set_mempolicy, list);
	return 0;
}
