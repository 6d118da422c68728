/* The schema of config.json (runtime-spec 1.3, config.md): what may stand where;
 * engine.c walks it. */
#include "spec/check.h"

#include <limits.h>
#include "base/names.h"

#define ID_MAX 4294967294LL     /* 4294967295 is (uid_t)-1, "no id", for the kernel */

#define PREFIXED(name) "CAP_" #name,
static const char *const capabilities[] = { CX_CAPABILITIES(PREFIXED) NULL };
#undef PREFIXED
#define PREFIXED(name) "RLIMIT_" #name,
static const char *const rlimits[] = { CX_RLIMITS(PREFIXED) NULL };
#undef PREFIXED

static const char *const scheduler_policies[] = { "SCHED_OTHER", "SCHED_FIFO", "SCHED_RR",
	"SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE", NULL };
static const char *const scheduler_flags[] = {
	"SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN",
	"SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN",
	"SCHED_FLAG_UTIL_CLAMP_MAX", NULL
};
static const char *const io_classes[] = { "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE",
	"IOPRIO_CLASS_IDLE", NULL };

static const struct cx_field user[] = {
	INT("uid", 0, 0, ID_MAX),
	INT("gid", 0, 0, ID_MAX),
	INT("umask", 0, 0, 0777),
	INT("additionalGids", CX_LIST, 0, ID_MAX),
	TEXT("username", 0),
	{ .name = NULL }
};

static const struct cx_field console_size[] = {
	INT("height", CX_REQUIRED, 0, 65535),	/* struct winsize: u16 */
	INT("width", CX_REQUIRED, 0, 65535),
	{ .name = NULL }
};

static const struct cx_field capability_sets[] = {
	NAME("bounding", CX_LIST, capabilities),
	NAME("effective", CX_LIST, capabilities),
	NAME("inheritable", CX_LIST, capabilities),
	NAME("permitted", CX_LIST, capabilities),
	NAME("ambient", CX_LIST, capabilities),
	{ .name = NULL }
};

/* -1: unlimited, as RLIM_INFINITY (u64) doesn't fit JSON's integers here. */
static const struct cx_field rlimit[] = {
	NAME("type", CX_REQUIRED, rlimits),
	INT("soft", CX_REQUIRED, -1, INT64_MAX),
	INT("hard", CX_REQUIRED, -1, INT64_MAX),
	{ .name = NULL }
};

static const struct cx_field scheduler[] = {
	NAME("policy", CX_REQUIRED, scheduler_policies),
	INT("nice", 0, -20, 19),
	INT("priority", 0, 0, 99),
	NAME("flags", CX_LIST, scheduler_flags),
	INT("runtime", 0, 0, INT64_MAX),
	INT("deadline", 0, 0, INT64_MAX),
	INT("period", 0, 0, INT64_MAX),
	{ .name = NULL }
};

static const struct cx_field io_priority[] = {
	NAME("class", CX_REQUIRED, io_classes),
	INT("priority", 0, 0, 7),
	{ .name = NULL }
};

static const struct cx_field affinity[] = {
	TEXT("initial", 0),
	TEXT("final", 0),
	{ .name = NULL }
};

static const struct cx_field process[] = {
	BOOL("terminal"),
	OBJECT("consoleSize", 0, console_size),
	OBJECT("user", 0, user),
	TEXT("args", CX_LIST | CX_FILLED),
	TEXT("commandLine", 0),
	TEXT("env", CX_LIST),
	PATH("cwd", CX_REQUIRED),
	OBJECT("capabilities", 0, capability_sets),
	OBJECT("rlimits", CX_LIST, rlimit),
	BOOL("noNewPrivileges"),
	INT("oomScoreAdj", 0, -1000, 1000),
	TEXT("apparmorProfile", 0),
	TEXT("selinuxLabel", 0),
	OBJECT("scheduler", 0, scheduler),
	OBJECT("ioPriority", 0, io_priority),
	OBJECT("execCPUAffinity", 0, affinity),
	BOOL("newKeyring"),     /* ours: false keeps the session keyring of the keeper */
	{ .name = NULL }
};

/* Ours: the root file system as an overlay, made for the container and gone with it. */
static const struct cx_field overlay[] = {
	PATH("lower", CX_REQUIRED | CX_LIST | CX_FILLED),
	PATH("upper", 0),
	PATH("work", 0),
	INT("disk", 0, 0, INT64_MAX),   /* bytes of what is written: an image's */
	PATH("volumes", CX_LIST),       /* directories that are made where they aren't there */
	BOOL("idmap"),          /* the lower ones' ids are mapped as the container's are */
	{ .name = NULL }
};

static const struct cx_field root_fields[] = {
	TEXT("path", CX_FILLED),        /* required without an overlay: cx_spec_check_paths */
	BOOL("readonly"),
	OBJECT("overlay", 0, overlay),
	{ .name = NULL }
};

static const struct cx_field mount[] = {
	TEXT("destination", CX_REQUIRED | CX_FILLED),
	TEXT("type", 0),
	TEXT("source", 0),
	TEXT("options", CX_LIST),
	OBJECT("uidMappings", CX_LIST, cx_spec_schema_mapping),
	OBJECT("gidMappings", CX_LIST, cx_spec_schema_mapping),
	{ .name = NULL }
};

static const struct cx_field hook[] = {
	PATH("path", CX_REQUIRED),
	TEXT("args", CX_LIST),
	TEXT("env", CX_LIST),
	INT("timeout", 0, 1, INT_MAX),
	{ .name = NULL }
};

static const struct cx_field hooks[] = {
	OBJECT("prestart", CX_LIST, hook),
	OBJECT("createRuntime", CX_LIST, hook),
	OBJECT("createContainer", CX_LIST, hook),
	OBJECT("startContainer", CX_LIST, hook),
	OBJECT("poststart", CX_LIST, hook),
	OBJECT("poststop", CX_LIST, hook),
	{ .name = NULL }
};

const struct cx_field cx_spec_schema[] = {
	TEXT("ociVersion", CX_FILLED),
	OBJECT("process", 0, process),
	OBJECT("root", 0, root_fields),
	TEXT("hostname", 0),
	TEXT("domainname", 0),
	OBJECT("mounts", CX_LIST, mount),
	OBJECT("hooks", 0, hooks),
	TEXT("annotations", CX_MAP),
	OBJECT("linux", 0, cx_spec_schema_linux),
	{ .name = NULL }
};
