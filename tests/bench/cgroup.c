/* bench cgroup: create, limit, fill and remove a cgroup: conex, the floor and others in turns; one attach in all
 * ways; statistics of a thousand. README.md says what is measured and why so. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cgroup.h"

#define PARENT "conex-bench"
enum { BURST = 5, PACE_MS = 50, COUNTED = 10, STEPS = 2, SAMPLES = 20 };

static const struct way *const ways[] = {
	&way_conex, &way_floor, &way_crun, &way_libcgroup, &way_libcgroup_3, &way_systemd, &way_systemd_run,
};
static const struct way *const samples[] = { &sample_conex, &sample_files, &sample_runc, &sample_libcgroup };
enum { WAYS = sizeof ways / sizeof *ways, SAMPLE_WAYS = sizeof samples / sizeof *samples };

struct cgroup_bench {
	struct bench_options options;
	struct bench_report *report;
	struct place place;
	char why[CGROUP_WHY];
	void *own[WAYS];
	int out[WAYS];                  /* missing, failed or not asked for */
	double *us[WAYS], *step[WAYS][STEPS];
	size_t count[WAYS];
};

static void note_missing(struct cgroup_bench *b, const struct way *w, const char *kase, int result)
{
	bench_note(b->report, "%s is missing from %s: %s", w->name, kase,
		b->why[0] ? b->why : strerror(-result));
	b->why[0] = '\0';
}

static int wanted(const struct cgroup_bench *b, const char *kase)
{
	if (b->options.kase && strcmp(b->options.kase, kase))
		return 0;
	fprintf(stderr, "bench cgroup: %s …\n", kase);
	return 1;
}

/* ---- create, limit, attach, remove ---- */

/* The process begins and ends in between, which is nobody's work here. */
static int one_life(const struct way *w, void *own, double us[STEPS])
{
	pid_t pid = lap_process();
	int result;

	if (pid < 0)
		return -errno;
	lap_begin();
	result = w->make(own, pid);
	us[0] = lap_end();
	lap_process_end(pid);
	lap_begin();
	if (w->remove(own) < 0 && result == 0)
		result = -EIO;
	us[1] = lap_end();
	return result;
}

/* The first of each burst follows another's, so it isn't back to back: not counted. */
static void burst(struct cgroup_bench *b, int way, const char *kase, int times, int counts)
{
	for (int i = 0; i < times; i++) {
		double us[STEPS];
		int result = one_life(ways[way], b->own[way], us);
		size_t at = b->count[way];

		if (result < 0) {
			b->out[way] = 1;
			note_missing(b, ways[way], kase, result);
			return;
		}
		if (!counts || (times > 1 && i == 0))
			continue;
		b->us[way][at] = us[0] + us[1];
		for (int s = 0; s < STEPS; s++)
			b->step[way][s][at] = us[s];
		b->count[way]++;
	}
}

static void report_life(struct cgroup_bench *b, const char *kase, const char *pace)
{
	static const char *const step[STEPS] = { "create, limit, attach", "remove" };
	char name[64];

	for (int w = 0; w < WAYS; w++) {
		if (b->out[w])
			continue;
		bench_row(b->report, ways[w]->name, kase, "us", b->us[w], b->count[w]);
		for (int s = 0; s < STEPS; s++) {
			snprintf(name, sizeof name, "%s: %s", ways[w]->name, step[s]);
			bench_detail(b->report, "steps", name, pace, "us", b->step[w][s], b->count[w]);
		}
	}
	bench_ratio(b->report, "conex", "floor", kase);
	for (int w = 2; w < WAYS; w++)
		bench_ratio(b->report, ways[w]->name, "conex", kase);
}

static void measure_life(struct cgroup_bench *b, const char *pace)
{
	int paced = !strcmp(pace, "paced"), each = paced ? 1 : BURST;
	int n = ((paced ? b->options.n_paced : b->options.n) + each - 1) / each;
	int64_t next = bench_now_ns();
	char kase[32];

	snprintf(kase, sizeof kase, "life/%s", pace);
	if (!wanted(b, kase))
		return;
	memset(b->count, 0, sizeof b->count);
	for (int round = -1; round < n; round++) /* round -1 warms up */
		for (int turn = 0; turn < WAYS; turn++) {
			int w = round & 1 ? WAYS - 1 - turn : turn; /* back and forth: nobody always follows the same one */

			if (b->out[w])
				continue;
			if (paced)
				bench_pace(&next, PACE_MS);
			burst(b, w, kase, paced ? 1 : BURST + 1, round >= 0);
		}
	report_life(b, kase, pace);
}

/* ---- system calls ---- */

struct counted { const struct way *way; const struct place *place; };

static int count_life(void *data)
{
	const struct counted *c = data;
	char why[CGROUP_WHY];
	double us[STEPS];
	void *own;
	int result = c->way->open(c->way, c->place, &own, why);

	if (result < 0)
		return result;
	for (int i = 0; i < COUNTED && result == 0; i++)
		result = one_life(c->way, own, us);
	c->way->close(own);
	return result;
}

static void count_lives(struct cgroup_bench *b)
{
	const char *kase = "life/system calls";

	if (!wanted(b, kase))
		return;
	for (int w = 0; w < WAYS; w++) {
		struct counted c = { ways[w], &b->place };
		double calls[COUNTED * STEPS], sum[COUNTED];
		int laps = b->out[w] ? 0 : lap_count(count_life, &c, calls, COUNTED * STEPS);

		for (int i = 0; i < COUNTED; i++)
			sum[i] = calls[i * STEPS] + calls[i * STEPS + 1];
		if (laps == COUNTED * STEPS)
			bench_row(b->report, ways[w]->name, kase, "calls", sum, COUNTED);
		else if (!b->out[w])
			bench_note(b->report, "%s: no system calls were counted", ways[w]->name);
		if (w >= 2)
			bench_ratio(b->report, ways[w]->name, "conex", kase);
	}
	bench_ratio(b->report, "conex", "floor", kase);
}

/* ---- statistics ---- */

static int count_sample(void *data)
{
	const struct counted *c = data;
	char why[CGROUP_WHY];
	void *own;
	int result = c->way->open(c->way, c->place, &own, why);

	if (result < 0)
		return result;
	lap_begin();
	result = c->way->sample(own);
	lap_end();
	c->way->close(own);
	return result;
}

static void count_samples(struct cgroup_bench *b, const int *out)
{
	const char *kase = "statistics/system calls";

	for (int w = 0; w < SAMPLE_WAYS; w++) {
		struct counted c = { samples[w], &b->place };
		double calls;

		if (out[w] || lap_count(count_sample, &c, &calls, 1) != 1)
			continue;
		calls /= sample_groups;
		bench_row(b->report, samples[w]->name, kase, "calls", &calls, 1);
		if (w)
			bench_ratio(b->report, samples[w]->name, "conex", kase);
	}
}

static void time_samples(struct cgroup_bench *b, int *out)
{
	static double us[SAMPLE_WAYS][SAMPLES];
	const char *kase = "statistics";
	void *own[SAMPLE_WAYS];
	int n = b->options.n < SAMPLES ? b->options.n : SAMPLES;

	for (int w = 0; w < SAMPLE_WAYS; w++) {
		int result = samples[w]->open(samples[w], &b->place, &own[w], b->why);

		if (result < 0 || (result = samples[w]->sample(own[w])) < 0) { /* once to warm up */
			out[w] = 1;
			note_missing(b, samples[w], kase, result);
		}
	}
	for (int i = 0; i < n; i++)
		for (int w = 0; w < SAMPLE_WAYS; w++) {
			lap_begin();
			if (!out[w])
				samples[w]->sample(own[w]);
			us[w][i] = lap_end() / sample_groups;
		}
	for (int w = 0; w < SAMPLE_WAYS; w++) {
		if (out[w])
			continue;
		samples[w]->close(own[w]);
		bench_row(b->report, samples[w]->name, kase, "us", us[w], (size_t)n);
		if (w)
			bench_ratio(b->report, samples[w]->name, "conex", kase);
	}
}

static void measure_samples(struct cgroup_bench *b)
{
	int out[SAMPLE_WAYS] = { 0 }, groups = atoi(b->options.value);

	if (groups < 1 || groups > SAMPLE_MOST)
		groups = SAMPLE_MOST;
	if (!wanted(b, "statistics"))
		return;
	bench_machine(b->report, "groups", json_integer(groups));
	if (sample_groups_make(groups, b->why) < 0) {
		bench_note(b->report, "no statistics: %s", b->why);
		b->why[0] = '\0';
	} else {
		time_samples(b, out);
		count_samples(b, out);
	}
	sample_groups_remove();
}

/* ---- the command line ---- */

static int usage(void)
{
	fputs("usage: bench-cgroup [--quick] [--n N] [--groups 1000] [--output DIRECTORY]\n"
		"           [--only conex,floor,crun,libcgroup,libcgroup-3,systemd,systemd-run]\n"
		"           [--case life/hot|life/paced|life/system calls|attach|statistics]\n", stderr);
	return 2;
}

static int open_ways(struct cgroup_bench *b)
{
	const size_t room = (size_t)(b->options.n + b->options.n_paced + BURST);

	for (int w = 0; w < WAYS; w++) {
		int result = b->out[w] ? 0 : ways[w]->open(ways[w], &b->place, &b->own[w], b->why);

		if (result < 0) {
			b->out[w] = 1;
			note_missing(b, ways[w], "here", result);
		}
		b->us[w] = calloc(room, sizeof(double));
		for (int s = 0; s < STEPS; s++)
			if (!(b->step[w][s] = calloc(room, sizeof(double))))
				return -ENOMEM;
		if (!b->us[w])
			return -ENOMEM;
	}
	return 0;
}

static int run_all(struct cgroup_bench *b)
{
	int result = open_ways(b);

	if (result < 0)
		return result;
	measure_life(b, "hot");
	measure_life(b, "paced");
	count_lives(b);
	if (wanted(b, "attach"))
		attach_measure(b->report, &b->place, b->options.n, b->options.n_paced);
	measure_samples(b);
	return bench_report_write(b->report, b->options.output);
}

static void release(struct cgroup_bench *b)
{
	for (int w = 0; w < WAYS; w++) {
		if (b->own[w])
			ways[w]->close(b->own[w]);
		free(b->us[w]);
		for (int s = 0; s < STEPS; s++)
			free(b->step[w][s]);
	}
	floor_finish(&b->place.floor);
	bench_report_free(b->report);
}

int main(int argc, char **argv)
{
	static struct cgroup_bench b = {
		.options = { .n = 100, .n_paced = 40, .more = "groups", .value = "1000", .output = "build/bench" },
	};
	int result;

	if (bench_options_parse(&b.options, argc, argv) < 0)
		return usage();
	if (geteuid() != 0) {
		fputs("bench cgroup: skipped, it needs root\n", stderr);
		return 77;
	}
	for (int w = 0; w < WAYS; w++)
		b.out[w] = !bench_options_wants(&b.options, ways[w]->name);
	b.report = bench_report_new("cgroup");
	if (!b.report)
		return 1;
	result = place_prepare(&b.place, PARENT);
	if (result == 0)
		result = run_all(&b);
	if (result < 0)
		fprintf(stderr, "bench cgroup: failed (%s)\n", strerror(-result));
	release(&b);
	return result < 0;
}
