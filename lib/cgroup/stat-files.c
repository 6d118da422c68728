/* The kernel's statistics as tables: which line of which file is which field of struct conex_stats, for v1 and v2.
 * Texts go in, numbers come out; stats.c opens the files. */
#include "cgroup/internal.h"

#include <stddef.h>
#include <string.h>

#define FIELD(name) (uint16_t)offsetof(struct conex_stats, name)

static uint64_t *field_at(struct conex_stats *s, uint16_t field)
{
	return (uint64_t *)(void *)((char *)s + field);
}

/* Fields begin as "unknown". */
static void sum(uint64_t *to, uint64_t value)
{
	*to = *to == UINT64_MAX ? value : *to + value;
}

/* v1 counts memory in pages up to LONG_MAX: that, in bytes, is its way of saying "no limit". */
#define V1_NO_LIMIT (UINT64_C(0x7fffffffffffffff) & ~UINT64_C(0xffff))

/* 0: no number is there; "max" and v1's "no limit" are UINT64_MAX. */
static int number_of(const char *text, const char **end, uint64_t *ret)
{
	char *stop;

	if (!strncmp(text, "max", 3)) {
		*ret = UINT64_MAX;
		*end = text + 3;
		return 1;
	}
	if (*text < '0' || *text > '9')
		return 0;
	*ret = strtoull(text, &stop, 10);
	*end = stop;
	if (*ret >= V1_NO_LIMIT)
		*ret = UINT64_MAX;
	return 1;
}

/* ---- kinds of lines ---- */

/* The whole file is one number; of several files for one field (huge pages by size), their sum. */
static void read_number(const struct cx_stat_file *f, const char *line, struct conex_stats *s)
{
	uint64_t value;

	if (number_of(line, &line, &value) && value != UINT64_MAX)
		sum(field_at(s, f->field), value);
}

/* "nr_throttled 3" */
static void read_keyed(const struct cx_stat_file *f, const char *line, struct conex_stats *s)
{
	for (const struct cx_stat_key *k = f->keys; k->key; k++) {
		size_t n = strlen(k->key);
		const char *end;
		uint64_t value;

		if (strncmp(line, k->key, n) || line[n] != ' ')
			continue;
		if (number_of(line + n + 1, &end, &value) && value != UINT64_MAX)
			*field_at(s, k->field) = value * k->unit;
		return;
	}
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=12345" in us; there on hybrid machines as well */
static void read_pressure(const struct cx_stat_file *f, const char *line, struct conex_stats *s)
{
	const char *total = strstr(line, " total=");
	uint64_t value;

	for (const struct cx_stat_key *k = f->keys; total && k->key; k++)
		if (!strncmp(line, k->key, 5) && number_of(total + 7, &total, &value))
			*field_at(s, k->field) = value * k->unit;
}

int cx_stat_v2_io(const char *line, struct cx_stat_io *ret)
{
	static const struct { const char *key; uint16_t field; } keys[] = {
		{ " rbytes=", offsetof(struct cx_stat_io, read_bytes) },
		{ " wbytes=", offsetof(struct cx_stat_io, written_bytes) },
		{ " rios=", offsetof(struct cx_stat_io, read_ops) },
		{ " wios=", offsetof(struct cx_stat_io, write_ops) },
	};
	const char *rest;
	int any = 0;

	if (!number_of(line, &rest, &ret->major) || *rest != ':' || !number_of(rest + 1, &rest, &ret->minor))
		return 0;
	for (size_t i = 0; i < CX_ARRAY_SIZE(keys); i++) {
		uint64_t *to = (uint64_t *)(void *)((char *)ret + keys[i].field);
		const char *at = strstr(rest, keys[i].key);

		*to = 0;
		any |= at && number_of(at + strlen(keys[i].key), &at, to);
	}
	return any; /* a device that was never used is only its number */
}

int cx_stat_v1_io(const char *line, struct cx_stat_v1_io *ret)
{
	const char *rest;
	size_t n;

	if (!number_of(line, &rest, &ret->major) || *rest != ':' || !number_of(rest + 1, &rest, &ret->minor)
	    || *rest++ != ' ')
		return 0;
	n = strcspn(rest, " ");
	ret->write = n == 5 && !strncmp(rest, "Write", 5);
	if (!ret->write && !(n == 4 && !strncmp(rest, "Read", 4)))
		return 0;
	return rest[n] == ' ' && number_of(rest + n + 1, &rest, &ret->value);
}

/* "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 ..." for each device */
static void read_v2_io(const struct cx_stat_file *f, const char *line, struct conex_stats *s)
{
	struct cx_stat_io io;

	(void)f;
	if (!cx_stat_v2_io(line, &io))
		return;
	sum(&s->read_bytes, io.read_bytes);
	sum(&s->written_bytes, io.written_bytes);
	sum(&s->read_ops, io.read_ops);
	sum(&s->write_ops, io.write_ops);
}

/* "8:0 Read 4096", a line for each way of each device; keys: where reading and writing go */
static void read_v1_io(const struct cx_stat_file *f, const char *line, struct conex_stats *s)
{
	struct cx_stat_v1_io io;

	if (cx_stat_v1_io(line, &io))
		sum(field_at(s, f->keys[io.write].field), io.value);
	else if (!strncmp(line, "Total ", 6)) /* alone, where nothing was read or written: none, not unknown */
		for (int n = 0; n < 2; n++)
			sum(field_at(s, f->keys[n].field), 0);
}

/* ---- v2 ---- */

#define KEYS(...) (const struct cx_stat_key[]){ __VA_ARGS__, { NULL, 0, 0 } }
#define PRESSURE(some, full) KEYS({ "some ", FIELD(some), 1000 }, { "full ", FIELD(full), 1000 })

const struct cx_stat_file cx_stat_v2[] = {
	{ "memory", "memory.current", read_number, FIELD(memory), NULL },
	{ "memory", "memory.peak", read_number, FIELD(memory_peak), NULL },     /* since 5.19 */
	{ "memory", "memory.max", read_number, FIELD(memory_limit), NULL },
	{ "memory", "memory.swap.current", read_number, FIELD(swap), NULL },
	{ "memory", "memory.swap.max", read_number, FIELD(swap_limit), NULL },
	{ "memory", "memory.stat", read_keyed, 0, KEYS({ "anon", FIELD(memory_anon), 1 }, { "file", FIELD(memory_file), 1 },
		{ "shmem", FIELD(memory_shared), 1 }, { "file_mapped", FIELD(memory_mapped), 1 },
		{ "kernel", FIELD(memory_kernel), 1 }, { "slab", FIELD(memory_slab), 1 },
		{ "sock", FIELD(memory_sock), 1 }, { "pgmajfault", FIELD(major_faults), 1 }) },
	{ "memory", "memory.events", read_keyed, 0, KEYS({ "high", FIELD(memory_high_hits), 1 },
		{ "max", FIELD(memory_max_hits), 1 }, { "oom", FIELD(ooms), 1 }, { "oom_kill", FIELD(oom_kills), 1 }) },
	{ NULL, "cpu.stat", read_keyed, 0, KEYS({ "usage_usec", FIELD(cpu_ns), 1000 },
		{ "user_usec", FIELD(cpu_user_ns), 1000 }, { "system_usec", FIELD(cpu_system_ns), 1000 },
		{ "throttled_usec", FIELD(throttled_ns), 1000 }, { "nr_periods", FIELD(cpu_periods), 1 },
		{ "nr_throttled", FIELD(cpu_throttled), 1 }) },
	{ "pids", "pids.current", read_number, FIELD(pids), NULL },
	{ "pids", "pids.max", read_number, FIELD(pids_limit), NULL },
	{ "pids", "pids.peak", read_number, FIELD(pids_peak), NULL },           /* since 6.1 */
	{ "pids", "pids.events", read_keyed, 0, KEYS({ "max", FIELD(pids_refused), 1 }) },
	{ "io", "io.stat", read_v2_io, 0, NULL },
	{ "hugetlb", "hugetlb.%s.current", read_number, FIELD(huge_bytes), NULL },
	{ NULL, "memory.pressure", read_pressure, 0, PRESSURE(memory_stall_ns, memory_full_stall_ns) },
	{ NULL, "cpu.pressure", read_pressure, 0, PRESSURE(cpu_stall_ns, cpu_full_stall_ns) },
	{ NULL, "io.pressure", read_pressure, 0, PRESSURE(io_stall_ns, io_full_stall_ns) },
	{ NULL, NULL, NULL, 0, NULL }
};

/* ---- v1 ---- */

/* memsw counts memory and swap together: stats.c takes the one from the other. total_ is with what is below. */
const struct cx_stat_file cx_stat_v1[] = {
	{ "memory", "memory.usage_in_bytes", read_number, FIELD(memory), NULL },
	{ "memory", "memory.max_usage_in_bytes", read_number, FIELD(memory_peak), NULL },
	{ "memory", "memory.limit_in_bytes", read_number, FIELD(memory_limit), NULL },
	{ "memory", "memory.memsw.usage_in_bytes", read_number, FIELD(swap), NULL },
	{ "memory", "memory.memsw.limit_in_bytes", read_number, FIELD(swap_limit), NULL },
	{ "memory", "memory.stat", read_keyed, 0, KEYS({ "total_rss", FIELD(memory_anon), 1 },
		{ "total_cache", FIELD(memory_file), 1 }, { "total_shmem", FIELD(memory_shared), 1 },
		{ "total_mapped_file", FIELD(memory_mapped), 1 }, { "total_pgmajfault", FIELD(major_faults), 1 }) },
	{ "memory", "memory.kmem.usage_in_bytes", read_number, FIELD(memory_kernel), NULL },
	{ "memory", "memory.kmem.tcp.usage_in_bytes", read_number, FIELD(memory_sock), NULL },
	{ "memory", "memory.failcnt", read_number, FIELD(memory_max_hits), NULL },
	{ "memory", "memory.oom_control", read_keyed, 0, KEYS({ "oom_kill", FIELD(oom_kills), 1 }) },
	{ "cpuacct", "cpuacct.usage", read_number, FIELD(cpu_ns), NULL },
	{ "cpuacct", "cpuacct.usage_user", read_number, FIELD(cpu_user_ns), NULL },
	{ "cpuacct", "cpuacct.usage_sys", read_number, FIELD(cpu_system_ns), NULL },
	{ "cpu", "cpu.stat", read_keyed, 0, KEYS({ "throttled_time", FIELD(throttled_ns), 1 },
		{ "nr_periods", FIELD(cpu_periods), 1 }, { "nr_throttled", FIELD(cpu_throttled), 1 }) },
	{ "pids", "pids.current", read_number, FIELD(pids), NULL },
	{ "pids", "pids.max", read_number, FIELD(pids_limit), NULL },
	{ "pids", "pids.peak", read_number, FIELD(pids_peak), NULL },
	{ "pids", "pids.events", read_keyed, 0, KEYS({ "max", FIELD(pids_refused), 1 }) },
	{ "blkio", "blkio.throttle.io_service_bytes_recursive", read_v1_io, 0,
		KEYS({ "Read", FIELD(read_bytes), 1 }, { "Write", FIELD(written_bytes), 1 }) },
	{ "blkio", "blkio.throttle.io_serviced_recursive", read_v1_io, 0,
		KEYS({ "Read", FIELD(read_ops), 1 }, { "Write", FIELD(write_ops), 1 }) },
	{ "hugetlb", "hugetlb.%s.usage_in_bytes", read_number, FIELD(huge_bytes), NULL },
	{ NULL, NULL, NULL, 0, NULL }
};
