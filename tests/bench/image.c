/* bench image: a layer unpacked, an image pulled and run, beside those who do the same and floors; in turns, onto a tmpfs of
 * its own, so that no disk and no neighbour's writing counts. README.md says what is measured and why so. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "image.h"

static const struct image_way *const ways[] = { &image_conex, &image_conex_import, &image_floor, &image_hashes,
	&image_tar_plain, &image_tar, &image_bsdtar, &image_umoci, &image_skopeo, &image_containerd,
	&image_umoci_13, &image_skopeo_13, &image_containerd_13 };
static const struct image_pull_way *const pullers[] = { &image_pull_conex, &image_pull_floor, &image_pull_podman,
	&image_pull_skopeo, &image_pull_containerd };
enum { WAYS = sizeof ways / sizeof *ways, PULLERS = sizeof pullers / sizeof *pullers };

static const struct { const char *name, *suffix; int media; } cases[] = {
	{ "unpack-gzip", ".gz", IMAGE_GZIP }, { "unpack-zstd", ".zst", IMAGE_ZSTD }, { "unpack-plain", "", IMAGE_PLAIN },
};

struct image_bench {
	struct bench_options options;
	struct bench_report *report;
	double *took[WAYS];
	size_t count[WAYS];
	int out[WAYS], unopened[WAYS];
};

static int run(const char *format, const char *a, const char *b)
{
	char command[1024];

	snprintf(command, sizeof command, format, a, b, a, b);
	return system(command) == 0 ? 0 : -EIO;
}

/* image.tar, .gz, .zst beside the reports: a Debian with a compiler, some 600 MB, kept for the next time; without
 * network what this machine has in /usr/lib. */
static int make_layer(struct image_bench *b)
{
	const char *directory = b->options.output;
	char path[512];

	snprintf(path, sizeof path, "%s/image.tar.gz", directory);
	if (access(path, R_OK) == 0)
		return 0;
	printf("bench-image: making a layer in %s, once\n", directory);
	fflush(stdout);
	if (run("mkdir -p %s && cd %s && mmdebstrap -q --variant=minbase --include=build-essential,python3,git,ca-certificates,vim,locales "
		"trixie image.new.tar", directory, "") < 0 && run("cd %s && tar --format=pax -cf image.new.tar -C / usr/lib%s", directory, "") < 0)
		return -EIO;
	return run("cd %s && mv image.new.tar image.tar && { zstd -q -f -k image.tar || true; } && gzip -6 -c image.tar >image.new.gz && "
		"mv image.new.gz image.tar.gz%s", directory, "");
}

static void drop(struct image_bench *b, int *out, const char *name, const char *kase, const char *why)
{
	*out = 1;
	bench_note(b->report, "%s is missing from %s: %.*s", name, kase, (int)strcspn(why, "\n"), why);
}

static int wants_case(const struct image_bench *b, const char *kase)
{
	return !b->options.kase || !strcmp(b->options.kase, kase);
}

/* ---- unpack --------------------------------------------------------------------------------------- */

static int prepare(struct image_bench *b, struct image_layer *layer, size_t c, char *why)
{
	char here[PATH_MAX];    /* bsdtar opens its archive after it has changed its directory */

	if (!realpath(b->options.output, here))
		return -errno;
	snprintf(layer->archive, sizeof layer->archive, "%s/image.tar%s", here, cases[c].suffix);
	snprintf(layer->plain, sizeof layer->plain, "%s/image.tar", here);
	snprintf(layer->target, sizeof layer->target, "%s/tree", IMAGE_SCRATCH);
	snprintf(layer->layout, sizeof layer->layout, "%s/layout", IMAGE_SCRATCH);
	snprintf(layer->packed, sizeof layer->packed, "%s/layout.tar", IMAGE_SCRATCH);
	layer->media = cases[c].media;
	if (access(layer->archive, R_OK) < 0) {
		snprintf(why, IMAGE_WHY, "no %s", layer->archive);
		return -errno;
	}
	return image_layout_make(layer, why);
}

static void clean(const struct image_way *w, const struct image_layer *layer)
{
	if (w->clear)
		w->clear(layer);
	run("rm -rf %s%s", layer->target, "");
}

static void one_turn(struct image_bench *b, int way, const char *kase, const struct image_layer *layer, int counts)
{
	char why[IMAGE_WHY] = "it has failed";
	int64_t begin;
	int r;

	mkdir(layer->target, 0755);
	begin = bench_now_ns();
	r = ways[way]->unpack(layer, why);
	if (r == 0 && counts)
		b->took[way][b->count[way]++] = (double)(bench_now_ns() - begin) / 1e6;
	if (r < 0)
		drop(b, &b->out[way], ways[way]->name, kase, why);
	clean(ways[way], layer);
}

struct unpack_call { const struct image_way *way; const struct image_layer *layer; };

static int unpack_once(void *data)
{
	const struct unpack_call *c = data;
	char why[IMAGE_WHY] = "";

	return c->way->unpack(c->layer, why);
}

/* Once more, in a process that is watched: no time is taken. */
static void unpack_memory(struct image_bench *b, int way, const char *kase, const struct image_layer *layer)
{
	const struct image_way *w = ways[way];
	struct unpack_call call = { w, layer };
	double mib;

	mkdir(layer->target, 0755);
	if (image_memory(unpack_once, &call, w->is_inside, w->server ? w->server() : 0, &mib) == 0)
		bench_detail(b->report, "peak memory", w->name, kase, "MiB", &mib, 1);
	else
		bench_note(b->report, "%s' memory in %s wasn't measured: it has failed", w->name, kase);
	clean(w, layer);
}

static void unpack_report(struct image_bench *b, const char *kase)
{
	for (int w = 0; w < WAYS; w++)
		if (b->count[w])
			bench_row(b->report, ways[w]->name, kase, "ms", b->took[w], b->count[w]);
	for (int w = 2; w < WAYS; w++)
		if (ways[w]->is_floor)
			bench_ratio(b->report, "conex", ways[w]->name, kase);
		else
			bench_ratio(b->report, ways[w]->name, "conex", kase);
	bench_ratio(b->report, "skopeo", "conex-import", kase);
	bench_ratio(b->report, "containerd", "conex-import", kase);
	bench_ratio(b->report, "skopeo-13", "conex-import", kase);
	bench_ratio(b->report, "containerd-13", "conex-import", kase);
}

static void unpack_case(struct image_bench *b, size_t c)
{
	const char *kase = cases[c].name;
	struct image_layer layer = { .media = 0 };
	char why[IMAGE_WHY] = "";

	if (!wants_case(b, kase))
		return;
	if (prepare(b, &layer, c, why) < 0) {
		bench_note(b->report, "%s: %s", kase, why);
		return;
	}
	for (int w = 0; w < WAYS; w++) {
		b->count[w] = 0;
		b->out[w] = b->unopened[w] || !(ways[w]->reads & layer.media);
	}
	for (int round = -1; round < b->options.n; round++)     /* round -1 warms up */
		for (int w = 0; w < WAYS; w++)
			if (!b->out[w])
				one_turn(b, w, kase, &layer, round >= 0);
	for (int w = 0; w < WAYS; w++)
		if (!b->out[w])
			unpack_memory(b, w, kase, &layer);
	unpack_report(b, kase);
	image_layout_remove(&layer);
}

static void unpack_all(struct image_bench *b)
{
	char why[IMAGE_WHY] = "";

	for (int w = 0; w < WAYS; w++) {
		b->took[w] = calloc((size_t)b->options.n, sizeof(double));
		b->unopened[w] = !bench_options_wants(&b->options, ways[w]->name);
		if (!b->unopened[w] && ways[w]->open && ways[w]->open(why) < 0)
			drop(b, &b->unopened[w], ways[w]->name, "unpacking", why);
	}
	for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
		unpack_case(b, c);
	for (int w = 0; w < WAYS; w++) {
		if (!b->unopened[w] && ways[w]->close)
			ways[w]->close();
		free(b->took[w]);
	}
}

/* ---- pull ----------------------------------------------------------------------------------------- */

struct pull_bench {
	double *took[2][PULLERS];       /* cold, warm */
	size_t count[2][PULLERS];
	int out[PULLERS];
};
static const char *const pull_cases[] = { "pull", "pull-warm" };

static void pull_turn(struct image_bench *b, struct pull_bench *p, int way, int is_warm, int counts)
{
	char why[IMAGE_WHY] = "it has failed";
	int64_t begin, first = 0;
	int r;

	if (!is_warm && pullers[way]->empty)
		pullers[way]->empty();
	begin = bench_now_ns();
	r = pullers[way]->pull(&first, why);
	if (r < 0)
		drop(b, &p->out[way], pullers[way]->name, pull_cases[is_warm], why);
	else if (counts)
		p->took[is_warm][way][p->count[is_warm][way]++] = (double)(first - begin) / 1e6;
}

static int pull_once(void *data)
{
	const struct image_pull_way *w = data;
	char why[IMAGE_WHY] = "";
	int64_t first;

	return w->pull(&first, why);
}

static void pull_memory(struct image_bench *b, const struct image_pull_way *w)
{
	double mib;

	if (w->empty)
		w->empty();
	if (image_memory(pull_once, (void *)w, w->is_inside, w->server ? w->server() : 0, &mib) == 0)
		bench_detail(b->report, "peak memory", w->name, "pull", "MiB", &mib, 1);
	else
		bench_note(b->report, "%s' memory in pull wasn't measured: it has failed", w->name);
}

/* Cold, then warm at once: podman and skopeo have one storage between them. A floor is always cold. */
static void pull_rounds(struct image_bench *b, struct pull_bench *p)
{
	for (int round = -1; round < b->options.n; round++)
		for (int w = 0; w < PULLERS; w++)
			for (int is_warm = 0; is_warm < 2 - pullers[w]->is_floor; is_warm++)
				if (!p->out[w])
					pull_turn(b, p, w, is_warm, round >= 0);
	for (int w = 0; w < PULLERS; w++)
		if (!p->out[w])
			pull_memory(b, pullers[w]);
}

static void pull_report(struct image_bench *b, struct pull_bench *p)
{
	for (int is_warm = 0; is_warm < 2; is_warm++) {
		for (int w = 0; w < PULLERS; w++)
			if (p->count[is_warm][w])
				bench_row(b->report, pullers[w]->name, pull_cases[is_warm], "ms", p->took[is_warm][w], p->count[is_warm][w]);
		for (int w = 1; w < PULLERS; w++)
			if (pullers[w]->is_floor)
				bench_ratio(b->report, "conex", pullers[w]->name, pull_cases[is_warm]);
			else
				bench_ratio(b->report, pullers[w]->name, "conex", pull_cases[is_warm]);
	}
}

static void pull_open(struct image_bench *b, struct pull_bench *p)
{
	char why[IMAGE_WHY] = "";

	for (int w = 0; w < PULLERS; w++) {
		p->took[0][w] = calloc((size_t)b->options.n, sizeof(double));
		p->took[1][w] = calloc((size_t)b->options.n, sizeof(double));
		p->out[w] = !bench_options_wants(&b->options, pullers[w]->name);
		if (!p->out[w] && pullers[w]->open && pullers[w]->open(why) < 0)
			drop(b, &p->out[w], pullers[w]->name, "pull", why);
	}
}

static void pull_close(struct pull_bench *p)
{
	for (int w = 0; w < PULLERS; w++) {
		if (pullers[w]->close)
			pullers[w]->close();
		free(p->took[0][w]);
		free(p->took[1][w]);
	}
}

static void pull_all(struct image_bench *b)
{
	struct image_layer layer = { .media = 0 };
	struct pull_bench p = { .out = { 0 } };
	char why[IMAGE_WHY] = "";

	if (!wants_case(b, "pull"))
		return;
	if (prepare(b, &layer, 0, why) < 0 || image_pull_registry(&layer, why) < 0) {
		bench_note(b->report, "pull: %s", why);
	} else {
		pull_open(b, &p);
		pull_rounds(b, &p);
		pull_report(b, &p);
		pull_close(&p);
	}
	image_pull_end();
	image_layout_remove(&layer);
}

/* ---- the whole ------------------------------------------------------------------------------------ */

static void describe(struct image_bench *b)
{
	static const char *const suffix[] = { "", ".gz", ".zst" };
	char path[512], fact[32];
	struct stat st;

	for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
		snprintf(path, sizeof path, "%s/image.tar%s", b->options.output, suffix[i]);
		snprintf(fact, sizeof fact, "image.tar%s", suffix[i]);
		if (stat(path, &st) == 0)
			bench_machine(b->report, fact, json_integer(st.st_size));
	}
}

/* The worker of this build tree, in which this program is. */
static void find_worker(void)
{
	char path[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
	char *end;

	path[n < 0 ? 0 : n] = '\0';
	if ((end = strstr(path, "/tests/bench/"))) {
		strcpy(end, "/conex-worker");
		setenv("CONEX_WORKER", path, 0);
	}
}

int main(int argc, char **argv)
{
	struct image_bench b = { .options = { .n = 5, .n_paced = 0, .output = "build/bench" } };
	int r;

	if (bench_options_parse(&b.options, argc, argv) < 0) {
		fprintf(stderr, "usage: bench-image [--quick] [--n N] [--only NAME,NAME] [--case CASE] [--output DIRECTORY]\n");
		return 2;
	}
	if (b.options.n == b.options.n_paced)
		b.options.n = 2;        /* --quick */
	find_worker();
	r = make_layer(&b);
	if (r == 0)
		r = image_place_make(b.options.output);
	if (r < 0) {
		fprintf(stderr, "bench-image: needs root, iproute2, tar, gzip, and mmdebstrap with a network: %s\n", strerror(-r));
		return 1;
	}
	b.report = bench_report_new("image");
	describe(&b);
	unpack_all(&b);
	pull_all(&b);
	r = bench_report_write(b.report, b.options.output);
	bench_report_free(b.report);
	image_place_remove();
	return r < 0;
}
