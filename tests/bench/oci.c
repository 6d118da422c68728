/* bench oci: conex-oci and its peers by their command line, in turns: run; create, start, delete; exec; how much
 * memory they take, and how little is enough. README.md says what is measured and why so. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bench.h"
#include "oci.h"

static char ours[SPAWN_PATH];

static const struct runtime runtimes[] = {
	{ .name = "conex-oci", .program = ours },
	{ .name = "crun", .program = "crun" },
	{ .name = "crun-plain", .program = "crun", .plain = 1 },
	{ .name = "runc", .program = "runc" },
	{ .name = "crun-13", .program = "crun", .world = OCI_NEWER },
	{ .name = "crun-13-plain", .program = "crun", .world = OCI_NEWER, .plain = 1 },
	{ .name = "runc-13", .program = "runc", .world = OCI_NEWER },
};
enum { RUNTIMES = sizeof runtimes / sizeof *runtimes };
enum { BURST = 5, PACE_MS = 50, MEMORY_ROUNDS = 5 };
static const uint64_t limit_least = 4 << 10, limit_most = 128 << 20, limit_step = 4 << 10;

static const struct kase { const char *name; int what, paced; } cases[] = {
	{ "run/hot", OCI_RUN, 0 }, { "run/paced", OCI_RUN, 1 },
	{ "create+start+delete/hot", OCI_LIFE, 0 }, { "create+start+delete/paced", OCI_LIFE, 1 },
	{ "exec/hot", OCI_EXEC, 0 }, { "exec/paced", OCI_EXEC, 1 },
};
enum { CASES = sizeof cases / sizeof *cases };

struct oci_bench {
	struct setup setup;
	struct bench_report *report;
	struct world world[OCI_WORLDS];
	struct oci_reply reply;
	int out[RUNTIMES];              /* missing, failed or not asked for */
	struct bench_options options;
	double *ms[RUNTIMES], *step[RUNTIMES][OCI_STEPS];
	size_t count[RUNTIMES];
};

static int call(struct oci_bench *b, int what, int runtime, int count, uint64_t limit)
{
	const struct oci_request q = { .what = what, .runtime = runtime, .count = count, .limit = limit };

	return world_call(&b->world[runtimes[runtime].world], &q, &b->reply);
}

static void drop(struct oci_bench *b, int runtime, const char *kase)
{
	b->out[runtime] = 1;
	bench_note(b->report, "%s is missing from %s on: %s", runtimes[runtime].name, kase, b->reply.text);
}

/* ---- how long ---- */

/* The first of each burst follows another runtime's, so it isn't back to back: not counted. */
static void measure_burst(struct oci_bench *b, int runtime, const struct kase *k, int counts)
{
	int burst = k->paced ? 1 : BURST + 1;

	if (call(b, k->what, runtime, burst, 0)) {
		drop(b, runtime, k->name);
		return;
	}
	for (int i = k->paced ? 0 : 1; counts && i < burst; i++) {
		size_t at = b->count[runtime]++;

		b->ms[runtime][at] = b->reply.value[i];
		for (int s = 0; s < OCI_STEPS; s++)
			b->step[runtime][s][at] = b->reply.step[i][s] * 1000;
	}
}

static void run_rounds(struct oci_bench *b, const struct kase *k)
{
	int each = k->paced ? 1 : BURST, rounds = ((k->paced ? b->options.n_paced : b->options.n) + each - 1) / each;
	int64_t next = bench_now_ns();

	for (int round = -1; round < rounds; round++) /* round -1 warms up */
		for (int r = 0; r < RUNTIMES; r++) {
			if (b->out[r])
				continue;
			if (k->paced)
				bench_pace(&next, PACE_MS);
			measure_burst(b, r, k, round >= 0);
		}
}

static void report_ratios(struct oci_bench *b, const char *kase)
{
	for (int r = 1; r < RUNTIMES; r++)
		bench_ratio(b->report, runtimes[r].name, runtimes[0].name, kase);
}

static void report_case(struct oci_bench *b, const struct kase *k)
{
	static const char *const step[OCI_STEPS] = { "create", "start", "(the container itself)", "delete" };
	char name[64];

	for (int r = 0; r < RUNTIMES; r++) {
		for (int s = 0; k->what == OCI_LIFE && s < OCI_STEPS && b->count[r] && !b->out[r]; s++) {
			snprintf(name, sizeof name, "%s %s", runtimes[r].name, step[s]);
			bench_detail(b->report, "steps", name, k->paced ? "paced" : "hot", "us", b->step[r][s],
				b->count[r]);
		}
		if (!b->out[r])
			bench_row(b->report, runtimes[r].name, k->name, "ms", b->ms[r], b->count[r]);
	}
	report_ratios(b, k->name);
}

static void exec_containers(struct oci_bench *b, int what, const char *kase)
{
	for (int r = 0; r < RUNTIMES; r++)
		if (!b->out[r] && call(b, what, r, 0, 0))
			drop(b, r, kase);
}

static void run_case(struct oci_bench *b, const struct kase *k)
{
	if (b->options.kase && strcmp(b->options.kase, k->name))
		return;
	fprintf(stderr, "bench oci: %s …\n", k->name);
	memset(b->count, 0, sizeof b->count);
	if (k->what == OCI_EXEC)
		exec_containers(b, OCI_EXEC_BEGIN, k->name);
	run_rounds(b, k);
	if (k->what == OCI_EXEC)
		exec_containers(b, OCI_EXEC_END, k->name);
	report_case(b, k);
}

/* ---- how much memory ---- */

static void measure_peaks(struct oci_bench *b, const char *kase)
{
	for (int r = 0; r < RUNTIMES; r++) {
		double kib[MEMORY_ROUNDS];
		int n = 0;

		for (; !b->out[r] && n < MEMORY_ROUNDS && call(b, OCI_MEMORY, r, 0, 0) == 0; n++)
			kib[n] = b->reply.value[0];
		if (!b->out[r] && n < MEMORY_ROUNDS)
			bench_note(b->report, "%s: %s: %s", runtimes[r].name, kase, b->reply.text);
		bench_row(b->report, runtimes[r].name, kase, "KiB", kib, (size_t)n);
	}
	report_ratios(b, kase);
}

/* Between what is known to be too little and what is known to be enough. */
static void measure_limits(struct oci_bench *b, const char *kase)
{
	for (int r = 0; r < RUNTIMES; r++) {
		uint64_t less = limit_least, enough = limit_most;
		double kib;

		if (b->out[r] || call(b, OCI_LIMIT, r, 0, enough)) {
			if (!b->out[r])
				bench_note(b->report, "%s: %s: %s", runtimes[r].name, kase, b->reply.text);
			continue;
		}
		while (enough - less > limit_step) {
			uint64_t middle = (less + enough) / 2 / 4096 * 4096;

			if (call(b, OCI_LIMIT, r, 0, middle) == 0)
				enough = middle;
			else
				less = middle;
		}
		kib = (double)enough / 1024;
		bench_row(b->report, runtimes[r].name, kase, "KiB", &kib, 1);
	}
	report_ratios(b, kase);
}

static void measure_memory(struct oci_bench *b)
{
	static const struct { const char *name; void (*measure)(struct oci_bench *, const char *); } kind[] = {
		{ "peak memory", measure_peaks }, { "smallest limit", measure_limits },
	};

	for (size_t i = 0; i < sizeof kind / sizeof *kind; i++)
		if (!b->options.kase || !strcmp(b->options.kase, kind[i].name)) {
			fprintf(stderr, "bench oci: %s …\n", kind[i].name);
			kind[i].measure(b, kind[i].name);
		}
}

/* ---- the command line ---- */

static void add_versions(struct oci_bench *b)
{
	for (int r = 0; r < RUNTIMES; r++) {
		int missing = runtimes[r].plain ? 0 : call(b, OCI_VERSION, r, 0, 0);

		if (!runtimes[r].plain)
			bench_machine(b->report, runtimes[r].name,
				json_string(missing ? "not there" : b->reply.text));
		if (missing && !b->out[r])
			drop(b, r, "here");
	}
}

static int usage(void)
{
	fputs("usage: bench-oci [--quick] [--n N] [--newer TREE] [--output DIRECTORY] [--case run/hot]\n"
		"                 [--only conex-oci,crun,crun-plain,runc,crun-13,crun-13-plain,runc-13] [ROOTFS]\n",
		stderr);
	return 2;
}

static int allocate(struct oci_bench *b)
{
	const size_t room = (size_t)(b->options.n + b->options.n_paced + BURST);

	for (int r = 0; r < RUNTIMES; r++) {
		b->ms[r] = calloc(room, sizeof(double));
		for (int s = 0; s < OCI_STEPS; s++)
			if (!(b->step[r][s] = calloc(room, sizeof(double))))
				return -ENOMEM;
		if (!b->ms[r])
			return -ENOMEM;
	}
	return 0;
}

static void release(struct oci_bench *b)
{
	for (int r = 0; r < RUNTIMES; r++) {
		free(b->ms[r]);
		for (int s = 0; s < OCI_STEPS; s++)
			free(b->step[r][s]);
	}
	world_stop(&b->world[OCI_NEWER]);
	world_stop(&b->world[OCI_HERE]);
	setup_remove(&b->setup);
	bench_report_free(b->report);
}

/* conex-oci lies in the build tree, two folders above this program. */
static int find_ours(void)
{
	char self[SPAWN_PATH] = "";
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	for (int up = 0; n > 0 && up < 3; up++) {
		char *slash = strrchr(self, '/');

		if (!slash)
			return -ENOENT;
		*slash = '\0';
	}
	if (snprintf(ours, sizeof ours, "%s/conex-oci", self) >= (int)sizeof ours || access(ours, X_OK) < 0)
		return -ENOENT;
	return 0;
}

static int run_all(struct oci_bench *b)
{
	const char *newer = b->options.value;
	char *tree = realpath(newer, NULL);
	int result = world_start(&b->world[OCI_HERE], &b->setup, runtimes, NULL);

	if (result == 0)
		result = world_start(&b->world[OCI_NEWER], &b->setup, runtimes, tree ? tree : newer);
	free(tree);
	if (result < 0)
		return result;
	add_versions(b);
	for (size_t i = 0; i < CASES; i++)
		run_case(b, &cases[i]);
	measure_memory(b);
	return bench_report_write(b->report, b->options.output);
}

int main(int argc, char **argv)
{
	static struct oci_bench b = {
		.options = { .n = 100, .n_paced = 40, .more = "newer", .value = "build/bench/newer-peers/tree",
			.output = "build/bench" },
	};
	char why[SUBJECT_WHY] = "", *rootfs = NULL;
	int result;

	if (bench_options_parse(&b.options, argc, argv) < 0)
		return usage();
	for (int r = 0; r < RUNTIMES; r++)
		b.out[r] = !bench_options_wants(&b.options, runtimes[r].name);
	if (geteuid() != 0) {
		fputs("bench oci: skipped, it needs root\n", stderr);
		return 77;
	}
	b.report = bench_report_new("oci");
	if (!b.report)
		return 1;
	result = find_ours();
	if (result < 0)
		snprintf(why, sizeof why, "no conex-oci in the build tree (make conex-oci)");
	if (b.options.rootfs)
		rootfs = realpath(b.options.rootfs, NULL);
	if (result == 0)
		result = b.options.rootfs && !rootfs ? -errno : setup_make(&b.setup, NULL, rootfs, why);
	free(rootfs);
	if (result == 0)
		result = allocate(&b);
	if (result == 0)
		result = run_all(&b);
	if (result < 0)
		fprintf(stderr, "bench oci: %s (%s)\n", why[0] ? why : "failed", strerror(-result));
	release(&b);
	return result < 0;
}
