/* cpu.shares of v1 and cpu.weight of v2. */
#include "cgroup/internal.h"

#include <math.h>

enum { SHARES_MIN = 2, SHARES_MAX = 262144, WEIGHT_MAX = 10000 };

/* A line through both ends makes 39 of the default 1024, not 100; the kernel's own factor (1024 is 100) leaves more
 * than half of the shares above the largest weight. The curve through both ends and the default is what runc 1.3.2,
 * crun 1.23 and Kubernetes agreed on in 2025 (kubernetes issue 131216). */
uint64_t cx_cgroup_weight_of_shares(uint64_t shares)
{
	double l;

	if (shares <= SHARES_MIN)
		return 1;
	if (shares >= SHARES_MAX)
		return WEIGHT_MAX;
	l = log2((double)shares);
	return (uint64_t)ceil(pow(10, (l * l + 125 * l) / 612 - 7.0 / 34));
}

/* The curve rises by less than 1 a share, so it meets every weight: the least shares that give it. */
uint64_t cx_cgroup_shares_of_weight(uint64_t weight)
{
	uint64_t low = SHARES_MIN, high = SHARES_MAX;

	if (weight == 100) /* several give it; the default is the default's */
		return 1024;
	while (low < high) {
		uint64_t middle = (low + high) / 2;

		if (cx_cgroup_weight_of_shares(middle) < weight)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}
