/* bench image: a layer unpacked, beside those who do the same and floors; in turns, onto a tmpfs of its own, so that no
 * disk and no neighbour's writing counts. README.md says what is measured and why so. */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "bench.h"
#include "image.h"

static const struct image_way *const ways[] = { &image_conex, &image_floor, &image_hashes, &image_tar_plain, &image_tar,
	&image_bsdtar, &image_umoci };
enum { WAYS = sizeof ways / sizeof *ways };

static const struct { const char *name, *suffix; int media; } cases[] = {
	{ "unpack-gzip", ".gz", IMAGE_GZIP }, { "unpack-zstd", ".zst", IMAGE_ZSTD }, { "unpack-plain", "", IMAGE_PLAIN },
};

struct image_bench {
	struct bench_options options;
	struct bench_report *report;
	char scratch[64];
	double *took[WAYS];
	size_t count[WAYS];
	int out[WAYS];
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

/* A tmpfs that nobody else sees, and which goes with us. */
static int make_scratch(struct image_bench *b)
{
	snprintf(b->scratch, sizeof b->scratch, "/tmp/conex-bench-image");
	if (mkdir(b->scratch, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
		|| mount("tmpfs", b->scratch, "tmpfs", 0, "mode=0700,size=90%") < 0)
		return -errno;
	return 0;
}

static void drop(struct image_bench *b, int way, const char *kase, const char *why)
{
	b->out[way] = 1;
	bench_note(b->report, "%s is missing from %s: %s", ways[way]->name, kase, why);
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
		drop(b, way, kase, why);
	run("rm -rf %s%s", layer->target, "");
}

static int prepare(struct image_bench *b, struct image_layer *layer, size_t c, char *why)
{
	char here[PATH_MAX];    /* bsdtar opens its archive after it has changed its directory */

	if (!realpath(b->options.output, here))
		return -errno;
	snprintf(layer->archive, sizeof layer->archive, "%s/image.tar%s", here, cases[c].suffix);
	snprintf(layer->plain, sizeof layer->plain, "%s/image.tar", here);
	snprintf(layer->target, sizeof layer->target, "%s/tree", b->scratch);
	snprintf(layer->layout, sizeof layer->layout, "%s/layout", b->scratch);
	layer->media = cases[c].media;
	if (access(layer->archive, R_OK) < 0) {
		snprintf(why, IMAGE_WHY, "no %s", layer->archive);
		return -errno;
	}
	return image_layout_make(layer, why);
}

static void run_case(struct image_bench *b, size_t c)
{
	const char *kase = cases[c].name;
	struct image_layer layer = { .media = 0 };
	char why[IMAGE_WHY] = "";

	if (b->options.kase && strcmp(b->options.kase, kase))
		return;
	if (prepare(b, &layer, c, why) < 0) {
		bench_note(b->report, "%s: %s", kase, why);
		return;
	}
	for (int w = 0; w < WAYS; w++) {
		b->count[w] = 0;
		b->out[w] = !bench_options_wants(&b->options, ways[w]->name) || !(ways[w]->reads & layer.media);
	}
	for (int round = -1; round < b->options.n; round++)     /* round -1 warms up */
		for (int w = 0; w < WAYS; w++)
			if (!b->out[w])
				one_turn(b, w, kase, &layer, round >= 0);
	for (int w = 0; w < WAYS; w++)
		if (b->count[w])
			bench_row(b->report, ways[w]->name, kase, "ms", b->took[w], b->count[w]);
	for (int w = 1; w < WAYS; w++)
		if (ways[w]->is_floor)
			bench_ratio(b->report, "conex", ways[w]->name, kase);
		else
			bench_ratio(b->report, ways[w]->name, "conex", kase);
	image_layout_remove(&layer);
}

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

int main(int argc, char **argv)
{
	struct image_bench b = { .options = { .n = 5, .n_paced = 0, .output = "bench" } };
	int r;

	if (bench_options_parse(&b.options, argc, argv) < 0) {
		fprintf(stderr, "usage: bench-image [--quick] [--n N] [--only NAME,NAME] [--case CASE] [--output DIRECTORY]\n");
		return 2;
	}
	if (b.options.n == b.options.n_paced)
		b.options.n = 2;        /* --quick */
	r = make_layer(&b);
	if (r == 0)
		r = make_scratch(&b);
	if (r < 0) {
		fprintf(stderr, "bench-image: needs root, tar, gzip, and mmdebstrap with a network: %s\n", strerror(-r));
		return 1;
	}
	b.report = bench_report_new("image");
	for (int w = 0; w < WAYS; w++)
		b.took[w] = calloc((size_t)b.options.n, sizeof(double));
	describe(&b);
	for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
		run_case(&b, c);
	r = bench_report_write(b.report, b.options.output);
	bench_report_free(b.report);
	for (int w = 0; w < WAYS; w++)
		free(b.took[w]);
	umount2(b.scratch, MNT_DETACH);
	rmdir(b.scratch);
	return r < 0;
}
