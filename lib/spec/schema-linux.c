/* The schema of config.json's "linux" (runtime-spec 1.3, config-linux.md); engine.c
 * walks it. */
#include "spec/check.h"

#include <limits.h>

#define U32_MAX 4294967295LL
#define ID_MAX (U32_MAX - 1)
#define MAJOR_MAX 4095          /* the kernel's dev_t: 12 bits and 20 */
#define MINOR_MAX 1048575

static const char *const namespace_types[] = {
	"mount", "pid", "network", "ipc", "uts", "user", "cgroup", "time", NULL
};
static const char *const device_types[] = { "c", "b", "u", "p", NULL };
static const char *const rule_types[] = { "a", "c", "b", "", NULL };
static const char *const propagations[] = { "", "shared", "rshared", "slave", "rslave",
	"private", "rprivate", "unbindable", "runbindable", NULL };

static const char *const actions[] = { "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
	"SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE",
	"SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", NULL };
static const char *const architectures[] = {
	"SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM",
	"SCMP_ARCH_AARCH64", "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_MIPS",
	"SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL",
	"SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64",
	"SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_PARISC",
	"SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB", NULL
};
static const char *const filter_flags[] = { "SECCOMP_FILTER_FLAG_TSYNC",
	"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
	"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", NULL };
static const char *const operators[] = { "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",
	"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ", NULL };

static const char *const domains[] = { "LINUX", "LINUX32", NULL };
static const char *const memory_modes[] = {
	"MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE",
	"MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_LOCAL", NULL
};
static const char *const memory_flags[] = {
	"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES", NULL
};

const struct cx_field cx_spec_schema_mapping[] = {
	INT("containerID", CX_REQUIRED, 0, ID_MAX),
	INT("hostID", CX_REQUIRED, 0, ID_MAX),
	INT("size", CX_REQUIRED, 1, U32_MAX),
	{ .name = NULL }
};

static const struct cx_field namespace[] = {
	NAME("type", CX_REQUIRED, namespace_types),
	PATH("path", 0),
	{ .name = NULL }
};

static const struct cx_field device[] = {
	NAME("type", CX_REQUIRED, device_types),
	PATH("path", CX_REQUIRED | CX_INSIDE),
	INT("major", 0, 0, MAJOR_MAX),
	INT("minor", 0, 0, MINOR_MAX),
	INT("fileMode", 0, 0, 0177777), /* Podman leaves st_mode's type bits in it */
	INT("uid", 0, 0, ID_MAX),
	INT("gid", 0, 0, ID_MAX),
	{ .name = NULL }
};

static const struct cx_field net_device[] = {
	TEXT("name", 0),
	{ .name = NULL }
};

static const struct cx_field device_rule[] = {
	CX_FIELD("allow", CX_BOOL, CX_REQUIRED),
	NAME("type", 0, rule_types),
	INT("major", 0, -1, MAJOR_MAX),	/* -1: any */
	INT("minor", 0, -1, MINOR_MAX),
	TEXT("access", 0),
	{ .name = NULL }
};

static const struct cx_field memory[] = {
	INT("limit", 0, -1, INT64_MAX),
	INT("reservation", 0, -1, INT64_MAX),
	INT("swap", 0, -1, INT64_MAX),
	INT("kernel", 0, -1, INT64_MAX),
	INT("kernelTCP", 0, -1, INT64_MAX),
	INT("swappiness", 0, 0, 100),
	BOOL("disableOOMKiller"),
	BOOL("useHierarchy"),
	BOOL("checkBeforeUpdate"),
	{ .name = NULL }
};

static const struct cx_field cpu[] = {
	INT("shares", 0, 2, 262144),
	INT("quota", 0, -1, INT64_MAX),
	INT("burst", 0, 0, INT64_MAX),
	INT("period", 0, 1000, 1000000),
	INT("realtimeRuntime", 0, -1, INT64_MAX),
	INT("realtimePeriod", 0, 0, INT64_MAX),
	TEXT("cpus", 0),
	TEXT("mems", 0),
	INT("idle", 0, 0, 1),
	{ .name = NULL }
};

static const struct cx_field pids[] = {
	INT("limit", 0, -1, INT64_MAX),
	{ .name = NULL }
};

static const struct cx_field weight_device[] = {
	INT("major", CX_REQUIRED, 0, MAJOR_MAX),
	INT("minor", CX_REQUIRED, 0, MINOR_MAX),
	INT("weight", 0, 10, 1000),
	INT("leafWeight", 0, 10, 1000),
	{ .name = NULL }
};

static const struct cx_field throttle_device[] = {
	INT("major", CX_REQUIRED, 0, MAJOR_MAX),
	INT("minor", CX_REQUIRED, 0, MINOR_MAX),
	INT("rate", CX_REQUIRED, 0, INT64_MAX),
	{ .name = NULL }
};

static const struct cx_field block_io[] = {
	INT("weight", 0, 0, 1000),
	INT("leafWeight", 0, 0, 1000),
	OBJECT("weightDevice", CX_LIST, weight_device),
	OBJECT("throttleReadBpsDevice", CX_LIST, throttle_device),
	OBJECT("throttleWriteBpsDevice", CX_LIST, throttle_device),
	OBJECT("throttleReadIOPSDevice", CX_LIST, throttle_device),
	OBJECT("throttleWriteIOPSDevice", CX_LIST, throttle_device),
	{ .name = NULL }
};

static const struct cx_field hugepages[] = {
	TEXT("pageSize", CX_REQUIRED | CX_FILLED),
	INT("limit", CX_REQUIRED, 0, INT64_MAX),
	{ .name = NULL }
};

static const struct cx_field priority[] = {
	TEXT("name", CX_REQUIRED | CX_FILLED),
	INT("priority", CX_REQUIRED, 0, U32_MAX),
	{ .name = NULL }
};

static const struct cx_field network[] = {
	INT("classID", 0, 0, U32_MAX),
	OBJECT("priorities", CX_LIST, priority),
	{ .name = NULL }
};

static const struct cx_field rdma[] = {
	INT("hcaHandles", 0, 0, U32_MAX),
	INT("hcaObjects", 0, 0, U32_MAX),
	{ .name = NULL }
};

static const struct cx_field resources[] = {
	OBJECT("devices", CX_LIST, device_rule),
	OBJECT("memory", 0, memory),
	OBJECT("cpu", 0, cpu),
	OBJECT("pids", 0, pids),
	OBJECT("blockIO", 0, block_io),
	OBJECT("hugepageLimits", CX_LIST, hugepages),
	OBJECT("network", 0, network),
	OBJECT("rdma", CX_MAP, rdma),
	TEXT("unified", CX_MAP),
	{ .name = NULL }
};

static const struct cx_field argument[] = {
	INT("index", CX_REQUIRED, 0, 5),
	INT("value", CX_REQUIRED, 0, INT64_MAX),
	INT("valueTwo", 0, 0, INT64_MAX),
	NAME("op", CX_REQUIRED, operators),
	{ .name = NULL }
};

static const struct cx_field call[] = {
	TEXT("names", CX_REQUIRED | CX_LIST | CX_FILLED),
	NAME("action", CX_REQUIRED, actions),
	INT("errnoRet", 0, 0, 65535),
	OBJECT("args", CX_LIST, argument),
	{ .name = NULL }
};

static const struct cx_field seccomp[] = {
	NAME("defaultAction", CX_REQUIRED, actions),
	INT("defaultErrnoRet", 0, 0, 65535),
	NAME("architectures", CX_LIST, architectures),
	NAME("flags", CX_LIST, filter_flags),
	TEXT("listenerPath", 0),
	TEXT("listenerMetadata", 0),
	OBJECT("syscalls", CX_LIST, call),
	{ .name = NULL }
};

static const struct cx_field rdt[] = {
	TEXT("closID", 0),
	TEXT("schemata", CX_LIST),
	TEXT("l3CacheSchema", 0),
	TEXT("memBwSchema", 0),
	BOOL("enableMonitoring"),
	{ .name = NULL }
};

static const struct cx_field personality[] = {
	NAME("domain", CX_REQUIRED, domains),
	TEXT("flags", CX_LIST),
	{ .name = NULL }
};

static const struct cx_field offset[] = {
	INT("secs", 0, INT64_MIN, INT64_MAX),
	INT("nanosecs", 0, 0, 999999999),
	{ .name = NULL }
};

static const struct cx_field offsets[] = {
	OBJECT("monotonic", 0, offset),
	OBJECT("boottime", 0, offset),
	{ .name = NULL }
};

static const struct cx_field memory_policy[] = {
	NAME("mode", CX_REQUIRED, memory_modes),
	TEXT("nodes", 0),
	NAME("flags", CX_LIST, memory_flags),
	{ .name = NULL }
};

const struct cx_field cx_spec_schema_linux[] = {
	OBJECT("namespaces", CX_LIST, namespace),
	OBJECT("uidMappings", CX_LIST, cx_spec_schema_mapping),
	OBJECT("gidMappings", CX_LIST, cx_spec_schema_mapping),
	OBJECT("timeOffsets", 0, offsets),
	OBJECT("devices", CX_LIST, device),
	OBJECT("netDevices", CX_MAP, net_device),
	TEXT("cgroupsPath", 0),
	OBJECT("resources", 0, resources),
	NAME("rootfsPropagation", 0, propagations),
	OBJECT("seccomp", 0, seccomp),
	TEXT("sysctl", CX_MAP),
	PATH("maskedPaths", CX_LIST | CX_INSIDE),
	PATH("readonlyPaths", CX_LIST | CX_INSIDE),
	TEXT("mountLabel", 0),
	OBJECT("intelRdt", 0, rdt),
	OBJECT("personality", 0, personality),
	OBJECT("memoryPolicy", 0, memory_policy),
	{ .name = NULL }
};
