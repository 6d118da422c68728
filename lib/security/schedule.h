/* How the program is scheduled: what compile and child say to each other of sched_setattr(2). */
#ifndef CX_SECURITY_SCHEDULE_H
#define CX_SECURITY_SCHEDULE_H

#include <stdint.h>

struct cx_sched_attr {          /* struct sched_attr of <linux/sched/types.h>, version 1 */
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

#endif
