/* When and where the program runs: personality, scheduler, I/O priority, processors, memory
 * nodes; spec -> plan operations. child-schedule.c carries them out. */
#include "security/compile.h"

#include <string.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "base/numbers.h"
#include "security/schedule.h"
#include "spec/spec.h"

enum { MASK_SIZE = 1024 };      /* 8,192 processors or nodes: the kernel's NR_CPUS at most */

/* Names whose place in the list is the kernel's number; NULL: no such number. */
static const char *const policies[] = { "SCHED_OTHER", "SCHED_FIFO", "SCHED_RR",
	"SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE", NULL };
static const char *const io_classes[] = { "IOPRIO_CLASS_NONE", "IOPRIO_CLASS_RT",
	"IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE", NULL };
static const char *const memory_modes[] = { "MPOL_DEFAULT", "MPOL_PREFERRED", "MPOL_BIND",
	"MPOL_INTERLEAVE", "MPOL_LOCAL", "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE",
	NULL };
static const char *const personalities[] = { "LINUX", "", "", "", "", "", "", "",
	"LINUX32", NULL };
/* Names whose place is the number of the flag's bit. */
static const char *const scheduler_flags[] = { "SCHED_FLAG_RESET_ON_FORK",
	"SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_KEEP_POLICY",
	"SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX",
	NULL };
static const char *const memory_flags[] = { "MPOL_F_NUMA_BALANCING",
	"MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES", NULL };
enum { MEMORY_FLAGS_FIRST = 13 };

/* Validation has seen that it is one of them. */
static unsigned number_of(const char *const *names, const char *name)
{
	unsigned n = 0;

	while (names[n] && strcmp(names[n], name))
		n++;
	return n;
}

static uint64_t flags_of(const char *const *names, const json_t *list)
{
	uint64_t flags = 0;
	json_t *flag;
	size_t i;

	json_array_foreach(list, i, flag)
		flags |= UINT64_C(1) << number_of(names, json_string_value(flag));
	return flags;
}

static void compile_personality(struct cx_compile *c)
{
	const char *domain = cx_json_text(c->spec, "linux.personality.domain");

	if (domain)
		cx_op(c->build, personality, "linux.personality",
			number_of(personalities, domain), cx_cell_text(c->build, domain));
}

static void compile_scheduler(struct cx_compile *c)
{
	const json_t *s = cx_json_at(c->spec, "process.scheduler");
	const char *policy = cx_json_text(s, "policy");
	struct cx_sched_attr attr = { .size = sizeof attr };

	if (!s)
		return;
	attr.policy = number_of(policies, policy);
	attr.flags = flags_of(scheduler_flags, cx_json_at(s, "flags"));
	attr.nice = (int32_t)cx_json_int(s, "nice", 0);
	attr.priority = (uint32_t)cx_json_int(s, "priority", 0);
	attr.runtime = (uint64_t)cx_json_int(s, "runtime", 0);
	attr.deadline = (uint64_t)cx_json_int(s, "deadline", 0);
	attr.period = (uint64_t)cx_json_int(s, "period", 0);
	cx_op(c->build, scheduler, "process.scheduler",
		cx_cell_bytes(c->build, &attr, sizeof attr),
		cx_cell_text(c->build, policy), attr.nice, attr.priority);
}

static void compile_io_priority(struct cx_compile *c)
{
	const char *class = cx_json_text(c->spec, "process.ioPriority.class");

	if (class)
		cx_op(c->build, io_priority, "process.ioPriority",
			number_of(io_classes, class),
			cx_json_int(c->spec, "process.ioPriority.priority", 0));
}

static void compile_memory_policy(struct cx_compile *c)
{
	const json_t *policy = cx_json_at(c->spec, "linux.memoryPolicy");
	const char *nodes = cx_json_text(policy, "nodes");
	unsigned char mask[MASK_SIZE] = { 0 };
	int used = nodes ? cx_numbers_read(nodes, mask, sizeof mask) : 0;

	if (!policy)
		return;
	cx_op(c->build, memory_policy, "linux.memoryPolicy",
		number_of(memory_modes, cx_json_text(policy, "mode"))
			| flags_of(memory_flags, cx_json_at(policy, "flags"))
				<< MEMORY_FLAGS_FIRST,
		used > 0 ? cx_cell_bytes(c->build, mask, (size_t)used) : 0,
		cx_cell_text(c->build, nodes));
}

void cx_security_compile_affinity(struct cx_compile *c, const char *when)
{
	const json_t *affinity = cx_json_at(c->spec, "process.execCPUAffinity");
	const char *list = c->exec ? cx_json_text(affinity, when) : NULL;
	cx_autofree char *object = NULL;
	unsigned char mask[MASK_SIZE] = { 0 };
	int used = list ? cx_numbers_read(list, mask, sizeof mask) : 0;

	if (used <= 0)
		return;
	if (asprintf(&object, "process.execCPUAffinity.%s", when) < 0) {
		c->build->failed = -ENOMEM;
		return;
	}
	cx_op(c->build, affinity, object, cx_cell_bytes(c->build, mask, (size_t)used),
		cx_cell_text(c->build, list), !strcmp(when, "initial"));
}

void cx_security_compile_schedule(struct cx_compile *c)
{
	compile_personality(c);
	compile_scheduler(c);
	compile_io_priority(c);
	cx_security_compile_affinity(c, "final");
	compile_memory_policy(c);
}
