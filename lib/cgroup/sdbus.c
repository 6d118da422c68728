/* Loads libsystemd, and says in the ELF file that it may be loaded (https://systemd.io/ELF_DLOPEN_METADATA). */
#include "cgroup/sdbus.h"
#include "base/dlnote.h"
#include "base/error.h"

#include <string.h>

#define LIBRARY "libsystemd.so.0"

#ifdef CX_SYSTEMD
#include <dlfcn.h>

CX_DLOPEN_NOTE("systemd", "cgroups of containers as scopes of systemd", LIBRARY);

static const struct { const char *name; size_t at; } calls[] = {
#define CX_SDBUS_ROW(type, name, arguments) { "sd_bus_" #name, offsetof(struct cx_sdbus, name) },
	CX_SDBUS_CALLS(CX_SDBUS_ROW)
#undef CX_SDBUS_ROW
};

static int missing(const char *why, conex_error **err)
{
	return cx_fail(err, CONEX_STAGE_LAUNCH, -ELIBACC, "dlopen", "the systemd driver needs it (Debian: package libsystemd0); "
		"or force the other one (conex_options.cgroup_driver = \"cgroupfs\")", "%s", why ? why : LIBRARY);
}

int cx_sdbus_load(struct cx_sdbus *ret, conex_error **err)
{
	ret->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!ret->library)
		return missing(dlerror(), err);
	for (size_t i = 0; i < CX_ARRAY_SIZE(calls); i++) {
		void *call = dlsym(ret->library, calls[i].name);

		if (!call) {
			int r = missing(dlerror(), err);

			cx_sdbus_unload(ret);
			return r;
		}
		memcpy((char *)ret + calls[i].at, &call, sizeof call);
	}
	return 0;
}

void cx_sdbus_unload(struct cx_sdbus *s)
{
	if (s->library)
		dlclose(s->library);
	s->library = NULL;
}

#else

int cx_sdbus_load(struct cx_sdbus *ret, conex_error **err)
{
	(void)ret;
	return cx_fail(err, CONEX_STAGE_LAUNCH, -EOPNOTSUPP, NULL, "this conex was configured with --disable-systemd; force "
		"the other one (conex_options.cgroup_driver = \"cgroupfs\")", "the systemd driver");
}

void cx_sdbus_unload(struct cx_sdbus *s)
{
	(void)s;
}

#endif
