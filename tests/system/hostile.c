/* Hostile images, whole, through the public door: each is refused with a sentence that fits, or lands within its layer; and
 * whatever it was, nothing else was touched, nothing partial stays, and the worker ended by itself. */
#include "box.h"

#include <sys/mount.h>
#include "container/container.h"
#include "image/images.h"
#include "system/canary.h"
#include "system/image-make.h"
#include "unit/image-bad.h"

enum { MOST = 4 };

static char store[64], corpus[64], canary[64];
static char *canary_was, *victims_were, *host_was;
static int victim_layers, victim_blobs;

/* ---- what may not change ---- */

/* The names in /, and what the corpus would write if its names led out; not what somebody may be installing meanwhile. */
static char *look_at_host(void)
{
	struct cx_str text = { .data = NULL };
	DIR *root = opendir("/");
	struct dirent *e;

	while (root && (e = readdir(root)))
		cx_str_addf(&text, "%s\n", e->d_name);
	if (root)
		closedir(root);
	for (const char *const *f = CONEX_STRINGS("/etc/x", "/etc/ld.so.preload", "/bin/busybox", "/new", "/x", "/f", "/d"); *f; f++)
		tree_describe(&text, AT_FDCWD, *f, *f);
	return cx_str_take(&text);
}

/* The image that was there before, its layers to the last bit, and who else has a name. */
static char *look_at_victims(void)
{
	struct cx_str text = { .data = NULL };
	char **images = NULL, names[MOST][CX_LAYER_NAME];
	cx_autoimage i = { .parts = NULL };
	int n = conex_image_list(box.cx, &images, &box.err);

	for (int k = 0; k < n; k++)
		cx_str_addf(&text, "image %s\n", images[k]);
	free(images);
	GOOD(cx_images_find(box.cx->store, "victim:1", NULL, &i, &box.err));
	n = i.config ? cx_store_find_layers(box.cx->store, i.config->diff_ids, i.config->layer_count, names, &box.err) : 0;
	CHECK_INT(n, 2);
	for (int k = 0; k < n; k++) {
		char *tree = tree_look(say("%s/layers/%s", store, names[k]));

		cx_str_addf(&text, "%s", tree);
		free(tree);
	}
	return cx_str_take(&text);
}

static int entries(const char *folder)
{
	return box_entries(say("%s/%s", store, folder));
}

static int same(char *now, const char *was)
{
	int good = CHECK_STR(now, was);

	free(now);
	return good;
}

/* After whatever it was, and once what nobody needs is collected. */
static int nothing_touched(void)
{
	int good = CHECK_INT(entries("tmp") + entries("leases"), 0);

	good &= CHECK_INT(entries("ingest/sha256") + entries("ingest/sha512") + entries("quarantine"), 0);
	good &= GOOD(conex_prune(box.cx, NULL, &box.err));
	good &= CHECK_INT(entries("layers"), victim_layers) & CHECK_INT(entries("blobs/sha256"), victim_blobs);
	good &= CHECK_INT(entries("tmp") + entries("leases"), 0);
	return good & same(tree_look(canary), canary_was) & same(look_at_victims(), victims_were);
}

/* ---- bringing in ---- */

/* Takes fd. */
static int bring(int fd, const char *name, const struct conex_image_limits *limits)
{
	const struct conex_image_options o = { .size = sizeof o, .limits = limits };
	conex_job *job = NULL;
	int r;

	box_clear();
	r = conex_image_import(box.cx, fd, name, &o, &job, &box.err);
	close(fd);
	if (r == 0)
		r = conex_job_wait(job, -1, &box.err);
	conex_job_free(job);
	return r;
}

/* Refused with one of these codes, by the worker and not by its death; in words that steer no terminal. */
static int as_expected(int r, const char *expected)
{
	const char *became = r == 1 ? "lands" : strerrorname_np(-r);
	int good = CHECK(became && strstr(expected, became));

	if (r < 0)
		good &= CHECK(is_printable(conex_error_text(box.err))) & CHECK_INT(conex_error_code(box.err), r)
			& CHECK_INT(conex_error_stage(box.err), CONEX_STAGE_IMAGE);
	return good;
}

static void forget(const char *name)
{
	GOOD(conex_image_delete(box.cx, name, &box.err));
}

/* ---- layers ---- */

static struct made_bytes load(const char *name, int number)
{
	struct made_bytes b = { .bytes = NULL };
	int fd = open(say("%s/%s.%d", corpus, name, number), O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (CHECK(fd >= 0 && fstat(fd, &st) == 0)) {
		b.size = (size_t)st.st_size;
		b.bytes = b.size ? mmap(NULL, b.size, PROT_READ, MAP_PRIVATE, fd, 0) : "";
	}
	close(fd);
	return b;
}

static void unload(struct made_bytes *b)
{
	if (b->size)
		munmap((void *)b->bytes, b->size);
}

/* The tree as a container would see it: the layer, or overlay's view of those that it would be given. */
static int open_tree_of(const char *name, int *ret_mounted)
{
	const struct conex_run_options o = { .size = sizeof o };
	struct cx_image_use *use = NULL;
	cx_autostr lower = { .data = NULL };
	json_t *spec = NULL, *list, *item;
	size_t i;

	if (!GOOD(cx_image_layer(box.cx, name, NULL, &o, &use, &spec, &box.err)))
		return -1;
	list = cx_json_at(spec, "root.overlay.lower");
	json_array_foreach(list, i, item)
		cx_str_addf(&lower, "%s%s", i ? ":" : "", json_string_value(item));
	*ret_mounted = i > 1;
	mkdir(say("%s/view", box.dir), 0700);
	if (i > 1)
		CHECK_INT(mount("overlay", say("%s/view", box.dir), "overlay", MS_RDONLY, say("lowerdir=%s", lower.data)), 0);
	json_decref(spec);
	cx_image_use_free(use);
	return open(i > 1 ? say("%s/view", box.dir) : lower.data, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int shows(char *list)
{
	char *save = NULL;
	int mounted = 0, good = 1, tree = open_tree_of("hostile:1", &mounted);

	for (char *one = strtok_r(list, "|", &save); tree >= 0 && one; one = strtok_r(NULL, "|", &save)) {
		const char *text = say("%s", one);

		if (!CHECK(tree_check(tree, one))) {
			printf("# %s isn't so\n", text);
			good = 0;
		}
	}
	close(tree);
	if (mounted)
		CHECK_INT(umount2(say("%s/view", box.dir), 0), 0);
	return good && tree >= 0;
}

static void one_case(char *column[6])
{
	const char *options = column[3];
	const struct conex_image_limits limits = { .size = sizeof limits, .bytes = corpus_option(options, "bytes="),
		.ratio = corpus_option(options, "ratio="), .entries = corpus_option(options, "entries="),
		.depth = (uint32_t)corpus_option(options, "depth="), .path = (uint32_t)corpus_option(options, "path="),
		.header = (uint32_t)corpus_option(options, "header="), .xattrs = (uint32_t)corpus_option(options, "xattrs=") };
	struct made_bytes layers[MOST];
	char *view = column[4];
	int n = atoi(column[1]), r, good;

	for (int i = 0; i < n; i++)
		layers[i] = load(column[0], i);
	if (*column[5]) {
		view = column[5] + strcspn(column[5], "|");
		if (*view)
			*view++ = '\0';
	}
	r = bring(made_image("'Cmd':['x']", layers, (size_t)n), "hostile:1", &limits);
	good = as_expected(r, *column[5] ? column[5] : column[2]);
	if (!good)
		printf("# %s: %s, not %s\n", column[0], r < 0 ? conex_error_text(box.err) : "lands", column[2]);
	if (r == 1) {
		good &= shows(view);
		forget("hostile:1");
	}
	if (!(nothing_touched() & good))
		printf("# ... after %s\n", column[0]);
	for (int i = 0; i < n; i++)
		unload(&layers[i]);
}

TEST(layers)
{
	char line[16384], *column[6];
	FILE *index = fopen(say("%s/index", corpus), "re");
	int n = 0;

	while (corpus_next(index, line, sizeof line, column)) {
		if (strstr(column[3], "memory="))       /* no option of the public ones */
			continue;
		one_case(column);
		n++;
	}
	if (index)
		fclose(index);
	printf("# %d layers\n", n);
	CHECK(n >= 270);
	same(look_at_host(), host_was);
}

/* ---- documents ---- */

/* As the manifest of an archive, and as its index. */
static void one_manifest(const struct bad_manifest *bad)
{
	char digest[CX_LAYER_DIGEST];
	size_t size;
	char *text = image_document(bad->text, &size);
	struct made m;
	int r;

	made_begin(&m);
	made_blob(&m, text, size, digest);
	made_index(&m, bad->type && *bad->type ? bad->type : MADE_MANIFEST, digest, size);
	r = bring(made_end(&m), "hostile:1", NULL);
	if (!(as_expected(r, say("%s EINVAL ENOENT", strerrorname_np(-bad->code))) & nothing_touched()))
		printf("# %s: %s\n", bad->text, conex_error_text(box.err));
	made_begin(&m);
	made_file(&m, "index.json", text, size);
	r = bring(made_end(&m), "hostile:1", NULL);
	if (!(as_expected(r, say("%s EINVAL ENOENT", strerrorname_np(-bad->code))) & nothing_touched()))
		printf("# %s as index: %s\n", bad->text, conex_error_text(box.err));
	free(text);
}

TEST(manifests)
{
	for (size_t i = 0; i < CX_ARRAY_SIZE(bad_manifests); i++)
		one_manifest(&bad_manifests[i]);
}

/* ---- archives ---- */

static const char zero_blob[] = "blobs/sha256/0000000000000000000000000000000000000000000000000000000000000000";

/* A blob of zeros, which are packed, or a hole. */
static int zeros(int filter, int sparse, size_t size)
{
	static const char piece[1 << 20];
	struct archive_entry *e = archive_entry_new();
	struct made m;

	made_begin_packed(&m, filter);
	archive_entry_set_pathname(e, zero_blob);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_size(e, (la_int64_t)size);
	if (sparse)
		archive_entry_sparse_add_entry(e, 0, 1);
	CHECK_INT(archive_write_header(m.tar, e), ARCHIVE_OK);
	for (size_t at = 0; at < size && !sparse; at += sizeof piece)
		archive_write_data(m.tar, piece, sizeof piece);
	if (sparse)
		archive_write_data(m.tar, "x", 1);
	archive_entry_free(e);
	return made_end(&m);
}

/* Two names of one file, links in a circle, names that lead out: they are compared, never opened. */
static int odd_names(void)
{
	struct archive_entry *e = archive_entry_new();
	struct made m;

	made_begin(&m);
	for (int i = 0; i < 2; i++) {
		archive_entry_clear(e);
		archive_entry_set_pathname(e, i ? "manifest.json" : "index.json");
		archive_entry_set_filetype(e, AE_IFLNK);
		archive_entry_set_symlink(e, i ? "index.json" : "manifest.json");
		CHECK_INT(archive_write_header(m.tar, e), ARCHIVE_OK);
	}
	archive_entry_free(e);
	made_file(&m, "../../../../../../etc/x", "x", 1);
	made_file(&m, "blobs/sha256/../../../x", "x", 1);
	made_file(&m, "blobs/md5/0123456789abcdef0123456789abcdef", "x", 1);
	return made_end(&m);
}

static int many(void)
{
	struct made m;

	made_begin(&m);
	for (int i = 0; i < 100001; i++)
		made_file(&m, "x.json", "", 0);
	return made_end(&m);
}

static void comes_in(int fd, const char *expected, const char *what)
{
	int r = bring(fd, "hostile:1", NULL);

	if (!(as_expected(r, expected) & nothing_touched()))
		printf("# %s: %s\n", what, conex_error_text(box.err));
}

TEST(archives)
{
	static const char lrzip[] = "LRZI\0\6 what a program would have unpacked";
	int fd = memfd_create("lrzip", MFD_CLOEXEC);

	comes_in(zeros(ARCHIVE_FILTER_ZSTD, 0, 300 << 20), "E2BIG", "zeros");
	comes_in(zeros(ARCHIVE_FILTER_NONE, 1, (size_t)2 << 40), "EFBIG", "a hole");
	comes_in(zeros(ARCHIVE_FILTER_NONE, 1, (size_t)1 << 40), "E2BIG", "a smaller hole");
	comes_in(zeros(ARCHIVE_FILTER_NONE, 0, 1 << 20), "EBADMSG", "zeros that aren't what they are called");
	comes_in(odd_names(), "EINVAL", "names");
	comes_in(many(), "E2BIG", "many files");
	CHECK_INT(write(fd, lrzip, sizeof lrzip), sizeof lrzip);
	lseek(fd, 0, SEEK_SET);
	comes_in(fd, "EBADMSG", "lrzip");
	same(look_at_host(), host_was);
}

/* ---- what leads from one to the other ---- */

/* Of the right bytes, but with another kind or size than the descriptor says. */
TEST(descriptors)
{
	struct made_bytes layer = load("duplicate", 0);
	cx_autostr config = { .data = NULL }, text = { .data = NULL };
	char digest[CX_LAYER_DIGEST], of_layer[CX_LAYER_DIGEST];

	made_config(&config, "'Cmd':['x']", &layer, 1);
	for (int wrong = 0; wrong < 5; wrong++) {
		const char *kind = wrong == 1 ? "application/vnd.oci.image.index.v1+json" : MADE_MANIFEST;
		struct made m;
		int r;

		made_begin(&m);
		made_blob(&m, layer.bytes, layer.size, of_layer);
		made_blob(&m, config.data, config.size, digest);
		cx_str_free(&text);
		cx_str_addf(&text, "{'schemaVersion':2,'config':{'mediaType':'" MADE_CONFIG "','digest':'%s','size':%zu},'layers':[{'mediaType':'"
			MADE_LAYER "','digest':'%s','size':%zu}]}", digest, config.size + (wrong == 3), of_layer, layer.size + (wrong == 4));
		made_quoted(&text);
		made_blob(&m, text.data, text.size, digest);
		made_index(&m, kind, digest, text.size + (wrong == 2));
		r = bring(made_end(&m), "hostile:1", NULL);
		if (!as_expected(r, wrong == 0 ? "lands" : wrong == 1 ? "EINVAL" : "EBADMSG"))
			printf("# %d: %s\n", wrong, conex_error_text(box.err));
		if (r == 1)
			forget("hostile:1");
		nothing_touched();
	}
	unload(&layer);
}

TEST(configs)
{
	struct made_bytes layer = load("duplicate", 0);

	for (size_t i = 0; i < CX_ARRAY_SIZE(bad_configs); i++) {
		size_t size;
		char *text = image_document(bad_configs[i].text, &size);
		struct made m;
		int r;

		made_begin(&m);
		made_manifest(&m, &(struct made_bytes){ text, size }, &layer, 1);
		r = bring(made_end(&m), "hostile:1", NULL);
		if (!(CHECK_INT(r, bad_configs[i].code) & as_expected(r, strerrorname_np(-bad_configs[i].code)) & nothing_touched()))
			printf("# %s: %s\n", bad_configs[i].text, conex_error_text(box.err));
		free(text);
	}
	unload(&layer);
}

/* ---- the frame ---- */

static void make_victim(void)
{
	struct made_bytes layers[2] = { load("link-inside", 0), load("two-closed", 0) };

	CHECK_INT(bring(made_image("'Cmd':['x']", layers, 2), "victim:1", NULL), 1);
	unload(&layers[0]);
	unload(&layers[1]);
	victim_layers = entries("layers");
	victim_blobs = entries("blobs/sha256");
	CHECK(victim_layers == 2 && victim_blobs == 4);
	canary_was = tree_look(canary);
	victims_were = look_at_victims();
	host_was = look_at_host();
}

static void tests(void)
{
	struct conex_options where = { .size = sizeof where, .close_ms = 120000, .store = store };

	snprintf(store, sizeof store, "%s/store", box.dir);
	snprintf(corpus, sizeof corpus, "%s/corpus", box.dir);
	snprintf(canary, sizeof canary, "%s/canary", box.dir);
	mkdir(corpus, 0755);
	canary_make(canary);
	CHECK_INT(command("/usr/bin/python3 %s/tests/system/unpack-corpus.py %s %s >/dev/null", getenv("CX_SRCDIR"), corpus, canary), 0);
	conex_close(box.cx);
	if (!GOOD(conex_open(&where, &box.cx, &box.err)))
		return;
	make_victim();
	RUN(layers);
	RUN(archives);
	RUN(manifests);
	RUN(descriptors);
	RUN(configs);
	free(canary_was);
	free(victims_were);
	free(host_was);
}

int main(void)
{
	return with_images(tests);
}
