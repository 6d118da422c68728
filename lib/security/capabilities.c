/* Names of capabilities and resource limits -> the kernel's numbers; used by
 * compile.c. */
#include "security/capabilities.h"

#include <string.h>
#include "base/cleanup.h"
#include "base/names.h"

#define NAME(name) "CAP_" #name,
static const char *const capabilities[] = { CX_CAPABILITIES(NAME) };
#undef NAME
#define NAME(name) "RLIMIT_" #name,
static const char *const rlimits[] = { CX_RLIMITS(NAME) };
#undef NAME

_Static_assert(CX_ARRAY_SIZE(capabilities) == 41, "CX_CAPABILITIES_ALL");

static int find(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; name && i < count; i++)
		if (!strcmp(names[i], name))
			return (int)i;
	return -1;
}

int cx_capability_number(const char *name)
{
	return find(capabilities, CX_ARRAY_SIZE(capabilities), name);
}

int cx_rlimit_number(const char *name)
{
	return find(rlimits, CX_ARRAY_SIZE(rlimits), name);
}

uint64_t cx_capability_mask(const json_t *names)
{
	uint64_t mask = 0;
	json_t *name;
	size_t i;

	json_array_foreach(names, i, name) {
		int number = cx_capability_number(json_string_value(name));

		if (number >= 0)
			mask |= UINT64_C(1) << number;
	}
	return mask;
}
