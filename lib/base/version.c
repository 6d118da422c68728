/* What this library is and what it can do, for programs that run with more than one version. */
#include "base/cleanup.h"

#include <conex/base.h>
#include <string.h>

#ifndef PACKAGE_VERSION /* compiled by hand, without configure */
#define PACKAGE_VERSION "0.0.0"
#endif

const char *conex_version(void)
{
	return PACKAGE_VERSION;
}

int conex_has(const char *feature)
{
	static const char *const features[] = {
		"broker", "cgroup-v1", "cgroup-v2", "exec", "overlay", "seccomp", "spec", "user-namespace",
	};

	for (size_t i = 0; feature && i < CX_ARRAY_SIZE(features); i++)
		if (!strcmp(feature, features[i]))
			return 1;
	return 0;
}
