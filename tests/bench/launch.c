/* bench launch: create, start, wait for and delete a container that runs `true`: the floor, conex and its
 * peers in turns, in several situations. README.md says what is measured and why so. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bench.h"
#include "host.h"

static const struct subject *const subjects[] = {
	&subject_floor, &subject_conex, &subject_conex_json, &subject_crun,
	&subject_crun_plain, &subject_runc, &subject_bwrap,
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects, CONEX = 1 };
enum { BURST = 5, ALIVE = 1000, PACE_MS = 50, TIMELINES = 20 };

struct kase { int big, alive, at_once, paced; };

/* Cases with the same host and the same company follow one another: they share their host processes. */
static const struct kase cases[] = {
	{ 0, 0, 1, 0 }, { 0, 0, 1, 1 }, { 0, 0, 2, 0 }, { 0, 0, 8, 0 },
	{ 1, 0, 1, 0 }, { 1, 0, 1, 1 },
	{ 0, ALIVE, 1, 0 }, { 0, ALIVE, 1, 1 },
};
enum { CASES = sizeof cases / sizeof *cases };

struct launch_bench {
	struct setup setup;
	struct bench_report *report;
	struct host host[HOST_COUNT];
	struct host_reply reply;
	int out[SUBJECTS];              /* missing, failed or not asked for */
	struct bench_options options;
	double *ms[SUBJECTS];
	size_t count[SUBJECTS];
};

static void name_case(const struct kase *k, char name[64])
{
	snprintf(name, 64, "%s/%d/%d/%s", k->big ? "big" : "small", k->alive, k->at_once,
		k->paced ? "paced" : "hot");
}

static int call(struct launch_bench *b, int what, int subject, int at_once, int count)
{
	struct host_request q = { .what = what, .subject = subject, .at_once = at_once, .count = count };
	int result = host_call(&b->host[subjects[subject]->host], &q, &b->reply);

	return result < 0 ? result : b->reply.result;
}

static void drop(struct launch_bench *b, int subject, const char *kase)
{
	b->out[subject] = 1;
	setup_last_line(&b->setup, subjects[subject]->name, b->reply.text, sizeof b->reply.text);
	bench_note(b->report, "%s is missing from %s on: %s", subjects[subject]->name, kase,
		b->reply.text[0] ? b->reply.text : "its host process has died");
}

/* The first launch of each burst follows another subject's, so it isn't back to back: not counted. */
static void launch_burst(struct launch_bench *b, int subject, const struct kase *k, const char *kase,
	int counts)
{
	int burst = k->paced ? 1 : BURST + 1, skip = k->paced ? 0 : 1;

	b->reply.text[0] = '\0';
	if (call(b, HOST_RUN, subject, k->at_once, burst) != 0) {
		drop(b, subject, kase);
		return;
	}
	for (int i = 0; counts && i < b->reply.n; i++)
		if (i % burst >= skip)
			b->ms[subject][b->count[subject]++] = (double)b->reply.ns[i] / 1e6;
}

static void run_rounds(struct launch_bench *b, const struct kase *k, const char *kase)
{
	int each = k->paced ? 1 : BURST * k->at_once;
	int rounds = ((k->paced ? b->options.n_paced : b->options.n) + each - 1) / each;
	int64_t next = bench_now_ns();

	for (int round = -1; round < rounds; round++) /* round -1 warms up */
		for (int s = 0; s < SUBJECTS; s++) {
			if (b->out[s])
				continue;
			if (k->paced)
				bench_pace(&next, PACE_MS);
			launch_burst(b, s, k, kase, round >= 0);
		}
}

static void report_case(struct launch_bench *b, const char *kase)
{
	for (int s = 0; s < SUBJECTS; s++)
		if (!b->out[s])
			bench_row(b->report, subjects[s]->name, kase, "ms", b->ms[s], b->count[s]);
	bench_ratio(b->report, "conex", "floor", kase);
	bench_ratio(b->report, "conex-json", "floor", kase);
	bench_ratio(b->report, "crun", "conex", kase);
	bench_ratio(b->report, "crun-plain", "conex", kase);
	bench_ratio(b->report, "runc", "conex", kase);
	bench_ratio(b->report, "bwrap", "conex", kase);
}

static void run_case(struct launch_bench *b, const struct kase *k)
{
	const size_t room = (size_t)(b->options.n + b->options.n_paced + BURST * SUBJECT_WORKERS);
	char kase[64];

	name_case(k, kase);
	if (b->options.kase && strcmp(b->options.kase, kase))
		return;
	fprintf(stderr, "bench launch: %s …\n", kase);
	for (int s = 0; s < SUBJECTS; s++) {
		b->ms[s] = calloc(room, sizeof(double));
		b->count[s] = 0;
		if (!b->ms[s])
			b->out[s] = 1;
	}
	run_rounds(b, k, kase);
	report_case(b, kase);
	for (int s = 0; s < SUBJECTS; s++)
		free(b->ms[s]);
}

/* ---- the timeline: which operations of a launch cost most ---- */

struct operation { char name[160]; double us[TIMELINES]; size_t n; };

static void add_operations(struct operation *operation, size_t *count, size_t room, const char *text)
{
	json_t *list = json_loads(text, 0, NULL), *o;
	size_t i, k;

	/* A plan's operations have the same order in each launch, so the place is part of the name. */
	json_array_foreach(list, i, o) {
		char name[160];

		snprintf(name, sizeof name, "%zu %s", i,
			json_string_value(json_object_get(o, "operation")));
		for (k = 0; k < *count && strcmp(operation[k].name, name); k++)
			;
		if (k == room || operation[k].n == TIMELINES)
			continue;
		if (k == *count)
			memcpy(operation[(*count)++].name, name, sizeof name);
		operation[k].us[operation[k].n++] =
			(double)json_integer_value(json_object_get(o, "duration_ns")) / 1e3;
	}
	json_decref(list);
}

static int dearer(const void *a, const void *b)
{
	const struct operation *x = a, *y = b;
	double p = x->us[x->n / 2], q = y->us[y->n / 2];

	return (p < q) - (p > q);
}

static void report_operations(struct launch_bench *b)
{
	const size_t room = 512;
	struct operation *operation = calloc(room, sizeof *operation);
	size_t count = 0;

	for (int i = 0; operation && !b->out[CONEX] && i < TIMELINES; i++) {
		if (call(b, HOST_TIMELINE, CONEX, 1, 1) < 0)
			break;
		add_operations(operation, &count, room, b->reply.text);
	}
	for (size_t i = 0; i < count; i++)
		bench_stats_of(operation[i].us, operation[i].n); /* sorts */
	if (count)
		qsort(operation, count, sizeof *operation, dearer);
	else if (!b->out[CONEX])
		bench_note(b->report, "no timeline: %s", b->reply.text[0] ? b->reply.text : "not supported");
	for (size_t i = 0; i < count && i < 10; i++)
		bench_detail(b->report, "operations", operation[i].name, "small/0/1/hot", "us",
			operation[i].us, operation[i].n);
	free(operation);
}

/* ---- groups of cases, one set of host processes each ---- */

static int start_hosts(struct launch_bench *b, const struct kase *k)
{
	for (int h = 0; h < HOST_COUNT; h++) {
		int big = k->big && h != HOST_FLOOR; /* the floor is a small program by definition */
		int result = host_start(&b->host[h], h, big, &b->setup, subjects, SUBJECTS);

		if (result < 0)
			return result;
	}
	return 0;
}

static void stop_hosts(struct launch_bench *b)
{
	for (int h = 0; h < HOST_COUNT; h++)
		host_stop(&b->host[h]);
}

static int add_company(struct launch_bench *b, int alive)
{
	if (!alive)
		return 0;
	fprintf(stderr, "bench launch: starting %d containers …\n", alive);
	b->reply.text[0] = '\0';
	if (!b->out[CONEX] && call(b, HOST_ALIVE, CONEX, 1, alive) == 0)
		return 0;
	bench_note(b->report, "skipped: %d containers alive: %s", alive,
		b->out[CONEX] ? "conex is missing" : b->reply.text);
	return -1;
}

static int same_group(const struct kase *a, const struct kase *b)
{
	return a->big == b->big && a->alive == b->alive;
}

static int group_wanted(const struct launch_bench *b, int first, int end)
{
	char kase[64];

	for (int i = first; b->options.kase && i < end; i++) {
		name_case(&cases[i], kase);
		if (!strcmp(b->options.kase, kase))
			return 1;
	}
	return !b->options.kase;
}

static int run_groups(struct launch_bench *b)
{
	int result = 0;

	for (int first = 0, end; first < CASES && result == 0; first = end) {
		for (end = first + 1; end < CASES && same_group(&cases[first], &cases[end]); end++)
			;
		if (!group_wanted(b, first, end))
			continue;
		result = start_hosts(b, &cases[first]);
		if (result == 0 && add_company(b, cases[first].alive) == 0)
			for (int i = first; i < end; i++)
				run_case(b, &cases[i]);
		if (first == 0)
			report_operations(b);
		stop_hosts(b);
	}
	bench_ratio_cases(b->report, "conex", "big/0/1/hot", "conex/small", "small/0/1/hot");
	bench_ratio_cases(b->report, "conex", "big/0/1/paced", "conex/small", "small/0/1/paced");
	return result;
}

/* ---- the command line ---- */

static void add_versions(struct bench_report *r)
{
	static const char *const peer[] = { "crun", "runc", "bwrap" };

	for (size_t i = 0; i < sizeof peer / sizeof *peer; i++) {
		char command[64], line[128] = "";
		FILE *out;

		snprintf(command, sizeof command, "%s --version 2>/dev/null", peer[i]);
		out = popen(command, "re");
		if (out && fgets(line, sizeof line, out))
			line[strcspn(line, "\n")] = '\0';
		if (out)
			pclose(out);
		bench_machine(r, peer[i], json_string(line[0] ? line : "not installed"));
	}
}

static int usage(void)
{
	fputs("usage: bench-launch [--quick] [--n N] [--spec CONFIG.JSON] [--output DIRECTORY]\n"
		"                    [--only floor,conex,conex-json,crun,crun-plain,runc,bwrap]\n"
		"                    [--case small/0/1/hot] [ROOTFS]\n",
		stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static struct launch_bench b = {
		.options = { .n = 100, .n_paced = 40, .more = "spec", .output = "build/bench" },
	};
	char *rootfs = NULL;
	char why[SUBJECT_WHY] = "";
	int result;

	if (bench_options_parse(&b.options, argc, argv) < 0)
		return usage();
	for (int s = 0; s < SUBJECTS; s++)
		b.out[s] = !bench_options_wants(&b.options, subjects[s]->name);
	if (geteuid() != 0) {
		fputs("bench launch: skipped, it needs root\n", stderr);
		return 77;
	}
	b.report = bench_report_new("launch");
	if (!b.report)
		return 1;
	add_versions(b.report);
	if (b.options.rootfs)
		rootfs = realpath(b.options.rootfs, NULL);
	result = b.options.rootfs && !rootfs ? -errno : setup_make(&b.setup, b.options.value, rootfs, why);
	free(rootfs);
	bench_machine(b.report, "filter_instructions", json_integer(b.setup.filter.len));
	if (result == 0)
		result = run_groups(&b);
	if (result == 0)
		result = bench_report_write(b.report, b.options.output);
	if (result < 0)
		fprintf(stderr, "bench launch: %s (%s)\n", why[0] ? why : "failed", strerror(-result));
	setup_remove(&b.setup);
	bench_report_free(b.report);
	return result < 0;
}
