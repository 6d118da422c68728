/* Kubernetes' classes of quality of service: requests and limits -> conex_limits and an oom_score_adj. What the
 * kubelet does is the measure (pkg/kubelet/qos, pkg/kubelet/kuberuntime, KEP-2570); no cgroup is touched. */
#include "cgroup/internal.h"
#include "base/options.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { SHARES_MIN = 2, SHARES_MAX = 262144, SHARES_A_CPU = 1024 };
#define SIZE_LIMIT ((uint64_t)INT64_MAX / 1000)        /* 8 PiB: a thousand times that can be counted */
enum { SCORE_GUARANTEED = -997, SCORE_BEST_EFFORT = 1000 };

static int bad(conex_error **err, int code, const char *field, double value, const char *mend)
{
	char text[32];

	snprintf(text, sizeof text, "%g", value);
	return cx_refuse(err, code, field, text, "%s", mend);
}

static int check(const struct conex_demand *d, conex_error **err)
{
	const struct { const char *name; double value; } cpus[] = {
		{ "demand.cpu_request", d->cpu_request }, { "demand.cpu_limit", d->cpu_limit },
	};
	const struct { const char *name; uint64_t value; } sizes[] = {
		{ "demand.memory_request", d->memory_request }, { "demand.memory_limit", d->memory_limit },
		{ "demand.capacity", d->capacity },
	};

	if (d->flags & ~CONEX_DEMAND_MEMORY)
		return cx_refuse(err, -EINVAL, "demand.flags", NULL, "CONEX_DEMAND_MEMORY is all there is");
	for (size_t i = 0; i < CX_ARRAY_SIZE(cpus); i++)
		if (!(cpus[i].value >= 0 && cpus[i].value <= 1e6))
			return bad(err, -EINVAL, cpus[i].name, cpus[i].value, "write how many processors, as 0.25");
	for (size_t i = 0; i < CX_ARRAY_SIZE(sizes); i++)
		if (sizes[i].value > SIZE_LIMIT)
			return bad(err, -ERANGE, sizes[i].name, (double)sizes[i].value, "write bytes; 0 is no limit");
	if (d->cpu_limit > 0 && d->cpu_request > d->cpu_limit)
		return bad(err, -EINVAL, "demand.cpu_request", d->cpu_request, "it can't be above cpu_limit");
	if (d->memory_limit && d->memory_request > d->memory_limit)
		return bad(err, -EINVAL, "demand.memory_request", (double)d->memory_request,
			"it can't be above memory_limit");
	if (!(d->throttling >= 0 && d->throttling <= 1))
		return bad(err, -EINVAL, "demand.throttling", d->throttling, "write a part, as 0.9");
	return 0;
}

static int memory_total(uint64_t *ret, conex_error **err)
{
	char text[256];
	unsigned long long kb;

	if (cx_file_read(AT_FDCWD, "/proc/meminfo", text, sizeof text) <= 0
	    || sscanf(text, "MemTotal: %llu kB", &kb) != 1 || !kb)
		return cx_fail(err, CONEX_STAGE_SPEC, -ENOENT, "read", "is /proc mounted? Else give demand.capacity",
			"/proc/meminfo");
	*ret = kb << 10;
	return 0;
}

static int class_of(const struct conex_demand *d)
{
	if (d->cpu_request <= 0 && !d->memory_request)
		return CONEX_CLASS_BEST_EFFORT;
	if (d->cpu_limit > 0 && d->memory_limit && d->cpu_request >= d->cpu_limit
	    && d->memory_request == d->memory_limit)
		return CONEX_CLASS_GUARANTEED;
	return CONEX_CLASS_BURSTABLE;
}

/* A burstable one ranks behind all that is guaranteed and before all that is best effort, whatever it asks for. */
static int score_of(int class, const struct conex_demand *d)
{
	int score;

	if (class != CONEX_CLASS_BURSTABLE)
		return class == CONEX_CLASS_GUARANTEED ? SCORE_GUARANTEED : SCORE_BEST_EFFORT;
	if (d->memory_request >= d->capacity)
		return 1000 + SCORE_GUARANTEED;
	score = 1000 - (int)(1000 * d->memory_request / d->capacity);
	return score < 1000 + SCORE_GUARANTEED ? 1000 + SCORE_GUARANTEED
		: score >= SCORE_BEST_EFFORT ? SCORE_BEST_EFFORT - 1 : score;
}

/* Thousandths, as Kubernetes counts processors. */
static uint32_t shares_of(double cpus)
{
	uint64_t milli = (uint64_t)(cpus * 1000 + 0.5), shares = milli * SHARES_A_CPU / 1000;

	return (uint32_t)(shares < SHARES_MIN ? SHARES_MIN : shares > SHARES_MAX ? SHARES_MAX : shares);
}

/* Where the program is made to wait before the limit kills it; not where that would be within its request. */
static uint64_t high_of(const struct conex_demand *d)
{
	uint64_t end = d->memory_limit ? d->memory_limit : d->capacity, page = (uint64_t)sysconf(_SC_PAGESIZE), high;

	if (end <= d->memory_request)
		return 0;
	high = d->memory_request + (uint64_t)((double)(end - d->memory_request) * d->throttling);
	high -= high % page;
	return high > d->memory_request ? high : 0;
}

int conex_limits_classify(const struct conex_demand *demand, struct conex_limits *ret_limits,
	int *ret_oom_score_adj, conex_error **err)
{
	struct conex_limits l = { .size = sizeof l };
	struct conex_demand d;
	int class, r = cx_options_read("conex_demand", &d, sizeof d, sizeof d, demand, err);

	if (r < 0 || (r = check(&d, err)) < 0)
		return r;
	if (!d.capacity && (r = memory_total(&d.capacity, err)) < 0)
		return r;
	if (d.cpu_request <= 0)
		d.cpu_request = d.cpu_limit;
	if (!d.memory_request)
		d.memory_request = d.memory_limit;
	if (d.throttling <= 0)
		d.throttling = 0.9;
	class = class_of(&d);
	l.cpu_shares = shares_of(d.cpu_request);
	l.cpus = d.cpu_limit;
	l.memory = d.memory_limit;
	if (d.flags & CONEX_DEMAND_MEMORY && class == CONEX_CLASS_GUARANTEED)
		l.memory_min = d.memory_request;
	if (d.flags & CONEX_DEMAND_MEMORY && class == CONEX_CLASS_BURSTABLE) {
		l.memory_low = d.memory_request;
		l.memory_high = d.memory_request == d.memory_limit ? 0 : high_of(&d);
	}
	r = cx_options_write("conex_limits", ret_limits, sizeof l, sizeof l, &l, err);
	if (r < 0)
		return r;
	if (ret_oom_score_adj)
		*ret_oom_score_adj = score_of(class, &d);
	return class;
}
