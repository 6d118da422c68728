/* What every benchmark shares: clock, statistics, and the report (a table on stdout, NAME.md, NAME.json). */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

int64_t bench_now_ns(void);             /* CLOCK_MONOTONIC */
/* Until `ms` after the last turn began, which *next says; but after a longer one, until `ms` from now: whoever comes
 * next finds the machine as idle. Begins with bench_now_ns(). */
void bench_pace(int64_t *next, int ms);

struct bench_stats { size_t n; double median, p90, p99; };
struct bench_stats bench_stats_of(double *values, size_t n); /* sorts them */

/* What every benchmark takes: --quick, --n N, --only NAME,NAME, --case CASE, --output DIRECTORY, one more that it
 * names itself, and a root file system. */
struct bench_options {
	int n, n_paced;                 /* set before to what is usual, as are .output and .value */
	const char *only, *kase, *output;       /* NULL: all */
	const char *more, *value;       /* "spec": --spec VALUE; NULL: no such option */
	const char *rootfs;
};
int bench_options_parse(struct bench_options *o, int argc, char **argv);        /* 0 or -EINVAL */
int bench_options_wants(const struct bench_options *o, const char *name);       /* is it in --only? */

/* {"bench", "machine": {…}, "rows": [{"name", "case", "n", "median", "p90", "p99", "unit"}],
 *  "ratios": [{"of", "to", "case", "value"}], "notes": ["…"]} */
struct bench_report;
struct bench_report *bench_report_new(const char *bench);
void bench_report_free(struct bench_report *r);
void bench_machine(struct bench_report *r, const char *fact, json_t *value);   /* takes the value */
void bench_row(struct bench_report *r, const char *name, const char *kase, const char *unit,
	double *values, size_t n);
/* Of the medians of two rows of one case; nothing where either row is missing. */
void bench_ratio(struct bench_report *r, const char *of, const char *to, const char *kase);
/* One row in two cases; `to` names the other: "conex" in "big/0/1/hot" to "conex/small" in "small/0/1/hot". */
void bench_ratio_cases(struct bench_report *r, const char *of, const char *kase, const char *to,
	const char *to_case);
void bench_note(struct bench_report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A further list in the report, in the form of rows; printed as a table of its own. */
void bench_detail(struct bench_report *r, const char *list, const char *name, const char *kase,
	const char *unit, double *values, size_t n);
/* Prints it, writes DIRECTORY/NAME.md and .json; 0 or -errno. */
int bench_report_write(const struct bench_report *r, const char *directory);

#endif
