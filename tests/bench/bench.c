/* The report of a benchmark: statistics, facts of the machine, JSON; bench-table.c makes it readable. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include "bench.h"
#include "bench-table.h"

struct bench_report { json_t *json; };

int64_t bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

void bench_pace(int64_t *next, int ms)
{
	int64_t now = bench_now_ns(), ns = ms * INT64_C(1000000);
	struct timespec t;

	*next = *next + ns > now ? *next + ns : now + ns;
	t = (struct timespec){ .tv_sec = *next / 1000000000, .tv_nsec = *next % 1000000000 };
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Nearest rank: always a value that was measured. */
static double quantile(const double *sorted, size_t n, double q)
{
	size_t rank = (size_t)(q * (double)n);

	return sorted[rank < n ? rank : n - 1];
}

struct bench_stats bench_stats_of(double *values, size_t n)
{
	struct bench_stats s = { .n = n };

	if (!n)
		return s;
	qsort(values, n, sizeof *values, by_value);
	s.median = (values[(n - 1) / 2] + values[n / 2]) / 2;
	s.p90 = quantile(values, n, 0.90);
	s.p99 = quantile(values, n, 0.99);
	return s;
}

/* The value of the first line of `path` that begins with `key`; "unknown" where there is none. */
static json_t *fact_from(const char *path, const char *key, const char *separator)
{
	FILE *file = fopen(path, "re");
	json_t *value = NULL;
	char line[512];

	while (file && !value && fgets(line, sizeof line, file)) {
		char *at = strncmp(line, key, strlen(key)) ? NULL : strstr(line, separator);

		if (!at)
			continue;
		at += strlen(separator);
		at += strspn(at, " \t\"");
		at[strcspn(at, "\"\n")] = '\0';
		value = json_string(at);
	}
	if (file)
		fclose(file);
	return value ? value : json_string("unknown");
}

static const char *cgroup_layout(void)
{
	if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0)
		return "v2";
	return access("/sys/fs/cgroup/unified/cgroup.controllers", F_OK) == 0 ? "hybrid" : "v1";
}

static void add_machine(struct bench_report *r)
{
	struct utsname u;

	uname(&u);
	bench_machine(r, "kernel", json_string(u.release));
	bench_machine(r, "architecture", json_string(u.machine));
	bench_machine(r, "cpu", fact_from("/proc/cpuinfo", "model name", ":"));
	bench_machine(r, "cores", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	bench_machine(r, "memory", fact_from("/proc/meminfo", "MemTotal", ":"));
	bench_machine(r, "system", fact_from("/etc/os-release", "PRETTY_NAME", "="));
	bench_machine(r, "cgroups", json_string(cgroup_layout()));
}

/* qemu's processors that aren't anybody's, as in tests/vm. */
static void add_emulation(struct bench_report *r)
{
	const char *cpu = json_string_value(json_object_get(json_object_get(r->json, "machine"), "cpu"));

	if (cpu && strstr(cpu, "TCG"))
		bench_note(r, "the processors are emulated: what they do takes ten to thirty times as long, what waits"
			" for the clock (an RCU grace period) doesn't; only ratios say something");
}

/* Interleaving keeps the ratios of a busy machine honest, but not its milliseconds. */
static void add_load(struct bench_report *r)
{
	double load = 0;

	if (getloadavg(&load, 1) != 1)
		return;
	bench_machine(r, "load", json_real(load));
	if (load > 0.5 * (double)sysconf(_SC_NPROCESSORS_ONLN))
		bench_note(r, "the machine was busy already (load %.1f): the times are too long", load);
}

struct bench_report *bench_report_new(const char *bench)
{
	struct bench_report *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->json = json_pack("{s:s, s:{}, s:[], s:[], s:[]}", "bench", bench, "machine", "rows",
		"ratios", "notes");
	add_machine(r);
	add_load(r);
	add_emulation(r);
	return r;
}

void bench_report_free(struct bench_report *r)
{
	if (r)
		json_decref(r->json);
	free(r);
}

void bench_machine(struct bench_report *r, const char *fact, json_t *value)
{
	json_object_set_new(json_object_get(r->json, "machine"), fact, value);
}

void bench_detail(struct bench_report *r, const char *list, const char *name, const char *kase,
	const char *unit, double *values, size_t n)
{
	struct bench_stats s = bench_stats_of(values, n);
	json_t *array = json_object_get(r->json, list);

	if (!array) {
		array = json_array();
		json_object_set_new(r->json, list, array);
	}
	json_array_append_new(array, json_pack("{s:s, s:s, s:I, s:f, s:f, s:f, s:s}", "name", name,
		"case", kase, "n", (json_int_t)n, "median", s.median, "p90", s.p90, "p99", s.p99,
		"unit", unit));
}

void bench_row(struct bench_report *r, const char *name, const char *kase, const char *unit,
	double *values, size_t n)
{
	if (n)
		bench_detail(r, "rows", name, kase, unit, values, n);
}

static double median_of(const struct bench_report *r, const char *name, const char *kase)
{
	const json_t *row = bench_find(json_object_get(r->json, "rows"), "name", name, kase);

	return row ? json_number_value(json_object_get(row, "median")) : 0;
}

static void add_ratio(struct bench_report *r, const char *of, const char *to, const char *kase,
	double value, double base)
{
	if (value > 0 && base > 0)
		json_array_append_new(json_object_get(r->json, "ratios"), json_pack(
			"{s:s, s:s, s:s, s:f}", "of", of, "to", to, "case", kase, "value", value / base));
}

void bench_ratio(struct bench_report *r, const char *of, const char *to, const char *kase)
{
	add_ratio(r, of, to, kase, median_of(r, of, kase), median_of(r, to, kase));
}

void bench_ratio_cases(struct bench_report *r, const char *of, const char *kase, const char *to,
	const char *to_case)
{
	add_ratio(r, of, to, kase, median_of(r, of, kase), median_of(r, of, to_case));
}

void bench_note(struct bench_report *r, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	json_array_append_new(json_object_get(r->json, "notes"), json_string(text));
}

static int write_file(const struct bench_report *r, const char *directory, const char *suffix,
	int (*write)(const json_t *report, FILE *to))
{
	char path[4096];
	FILE *file;
	int result;

	snprintf(path, sizeof path, "%s/%s%s", directory,
		json_string_value(json_object_get(r->json, "bench")), suffix);
	file = fopen(path, "we");
	if (!file)
		return -errno;
	result = write(r->json, file);
	if (fclose(file) < 0 && result == 0)
		result = -errno;
	return result;
}

static int write_json(const json_t *report, FILE *to)
{
	if (json_dumpf(report, to, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) < 0)
		return -EIO;
	return fputc('\n', to) < 0 ? -EIO : 0;
}

int bench_report_write(const struct bench_report *r, const char *directory)
{
	int result;

	bench_table_write(r->json, stdout);
	if (mkdir(directory, 0755) < 0 && errno != EEXIST)
		return -errno;
	result = write_file(r, directory, ".md", bench_table_write);
	return result < 0 ? result : write_file(r, directory, ".json", write_json);
}
