/* Images without memory, or without descriptors: each call fails with that, leaves nothing allocated and nothing half
 * done, and a collector throws nothing away that is needed. */
#include "store.h"

#include <sys/resource.h>

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define COUNTS_MEMORY 1
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void __libc_free(void *);
static volatile long left = -1, live;            /* allocations that still succeed (-1: all); that weren't freed */

static int may(void)
{
	if (left == 0) {
		errno = ENOMEM;
		return 0;
	}
	left -= left > 0;
	return 1;
}

#define EXPORT __attribute__((visibility("default")))  /* or the C library uses its own */

EXPORT void *malloc(size_t size)
{
	void *p = may() ? __libc_malloc(size) : NULL;

	live += p != NULL;
	return p;
}

EXPORT void *calloc(size_t n, size_t size)
{
	void *p = may() ? __libc_calloc(n, size) : NULL;

	live += p != NULL;
	return p;
}

EXPORT void *realloc(void *old, size_t size)
{
	void *p = may() ? __libc_realloc(old, size) : NULL;

	live += p && !old;
	return p;
}

EXPORT void free(void *p)
{
	live -= p != NULL;
	__libc_free(p);
}

/* Runs it with more and more memory until it works. How many allocations that took. */
static long with_little(int (*run)(conex_error **err), int *ret)
{
	long n = 0, before;
	int r = -ENOMEM;

	for (; r == -ENOMEM && n < 20000; n++) {
		conex_error *err = NULL;

		before = live;
		left = n;
		r = run(&err);
		left = -1;
		if (r < 0)
			CHECK(*conex_error_text(err));
		conex_error_free(err);
		if (!CHECK_INT(live, before))
			break;
	}
	*ret = r;
	return n;
}

#define DIGEST "\"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""
static const char manifest[] = "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" CX_MEDIA_OCI_CONFIG "\",\"digest\":"
	DIGEST ",\"size\":7},\"layers\":[{\"mediaType\":\"" CX_MEDIA_OCI_LAYER "\",\"digest\":" DIGEST ",\"size\":9}]}";
static const char list[] = "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" CX_MEDIA_OCI_MANIFEST "\",\"digest\":"
	DIGEST ",\"size\":9,\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}}]}";
static const char config[] = "{\"architecture\":\"amd64\",\"os\":\"linux\",\"os.features\":[\"a\"],\"config\":{\"User\":\"a\","
	"\"Env\":[\"A=1\",\"B=\"],\"Cmd\":[\"x\"],\"Volumes\":{\"/v\":{}},\"ExposedPorts\":{\"1/tcp\":{}},\"Labels\":{\"a\":\"b\"},"
	"\"Healthcheck\":{\"Test\":[\"NONE\"]}},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" DIGEST "]}}";

static int parse_manifest(conex_error **err)
{
	struct cx_image_manifest *m = NULL;
	int r = cx_image_manifest_parse(manifest, sizeof manifest - 1, NULL, &m, err);

	cx_image_manifest_free(m);
	return r;
}

/* No platform fits: what there is must be told in words. */
static int choose(conex_error **err)
{
	struct cx_image_manifest *m = NULL;
	const struct cx_descriptor *d;
	struct cx_platform p;
	int r = cx_image_manifest_parse(list, sizeof list - 1, NULL, &m, err);

	if (r == 0)
		r = cx_platform_parse("linux/amd64", &p, err);
	if (r == 0)
		r = cx_image_manifest_choose(m, &p, &d, err);
	cx_image_manifest_free(m);
	return r;
}

static int convert(conex_error **err)
{
	struct cx_image_config *c = NULL;
	json_t *spec = NULL;
	int r = cx_image_config_parse(config, sizeof config - 1, &c, err);

	if (r == 0)
		r = cx_image_config_spec(c, NULL, &spec, err);
	json_decref(spec);
	cx_image_config_free(c);
	return r;
}

TEST(documents)
{
	int r;

	CHECK(parse_manifest(NULL) == 0 && convert(NULL) == 0 && choose(NULL) == -ENOENT);      /* jansson's seed is made once */
	CHECK(with_little(parse_manifest, &r) > 20);
	CHECK_INT(r, 0);
	CHECK(with_little(choose, &r) > 10);
	CHECK_INT(r, -ENOENT);
	CHECK(with_little(convert, &r) > 40);
	CHECK_INT(r, 0);
}

/* ---- the store ---- */

static struct cx_store *store;
static struct store_image image;

static int open_it(conex_error **err)
{
	struct cx_store *s = NULL;
	int r = cx_store_open(store_path, CX_STORE_NO_SYNC, &s, err);

	cx_store_close(s);
	return r;
}

static int bring(conex_error **err)
{
	struct cx_store_lease *l = NULL;
	struct cx_reference name;
	struct store_image brought;
	char names[8][CX_LAYER_NAME];
	int r = cx_store_lease_take(store, CX_LEASE_PROCESS, &l, err);

	if (r == 0)
		r = store_put_image(l, 5, 3, &brought, err);
	if (r == 0)
		r = store_unpack(l, &brought, 3, names, err);
	if (r == 0)
		r = cx_reference_parse("brought", &name, err);
	if (r == 0)
		r = cx_store_put_image(store, &name, &brought.manifest, err);
	cx_store_lease_free(l);
	return r;
}

static int list_all(conex_error **err)
{
	struct cx_image *images = NULL;
	int n = cx_store_list_images(store, &images, err);

	free(images);
	return n < 0 ? n : 0;
}

static int collect(conex_error **err)
{
	int r = cx_store_collect(store, 1000, NULL, err);

	left = -1;
	/* with what was there or without: what is named stays */
	for (int i = 0; i < 3; i++)
		CHECK(cx_store_has_blob(store, &image.layers[i]));
	CHECK(cx_store_has_blob(store, &image.config) && cx_store_has_blob(store, &image.manifest));
	CHECK_INT(store_count("layers"), 3);
	return r;
}

TEST(stores)
{
	struct cx_reference name = store_name("kept");
	struct cx_store_lease *l;
	char names[8][CX_LAYER_NAME];
	int r;

	store = store_new();
	l = store_lease(store, CX_LEASE_PROCESS);
	CHECK_INT(store_put_image(l, 1, 3, &image, NULL), 0);
	CHECK_INT(store_unpack(l, &image, 3, names, NULL), 0);
	CHECK_INT(cx_store_put_image(store, &name, &image.manifest, NULL), 0);
	store_give(l);
	CHECK(with_little(open_it, &r) > 1);
	CHECK_INT(r, 0);
	CHECK(with_little(list_all, &r) > 5);
	CHECK_INT(r, 0);
	CHECK(with_little(collect, &r) > 50);
	CHECK_INT(r, 0);
	CHECK(with_little(bring, &r) > 50);
	CHECK_INT(r, 0);
	CHECK_INT(cx_store_verify(store, store_hash_file, NULL, NULL, NULL), 0);
	store_end(store);
}
#else
TEST(documents)
{
	SKIP("memory is counted by glibc's own functions only");
}

TEST(stores)
{
	SKIP("memory is counted by glibc's own functions only");
}
#endif

/* ---- descriptors ---- */

/* 0: it worked; 1: it failed for want of descriptors; else the line. */
static int work(struct cx_store *s, int round)
{
	struct cx_store_lease *l = NULL;
	struct cx_reference name;
	struct store_image i;
	char names[8][CX_LAYER_NAME];
	conex_error *err = NULL;
	int r = cx_reference_parse("few", &name, &err);

	if (r == 0)
		r = cx_store_lease_take(s, CX_LEASE_PROCESS, &l, &err);
	if (r == 0)
		r = store_put_image(l, round, 3, &i, &err);
	if (r == 0)
		r = store_unpack(l, &i, 3, names, &err);
	if (r == 0)
		r = cx_store_put_image(s, &name, &i.manifest, &err);
	if (r == 0)
		r = cx_store_collect(s, 1000, NULL, &err);
	if (r == 0)
		return 0;
	if (r == -EMFILE && strstr(conex_error_text(err), "RLIMIT_NOFILE"))
		return 1;
	printf("# %s\n", conex_error_text(err));
	fflush(stdout);
	return 100;
}

static int with_few(void *data)
{
	struct cx_store *s = store_open();
	struct rlimit limit = { 0, 0 };
	int next = dup(0);

	close(next);
	limit.rlim_cur = limit.rlim_max = (rlim_t)next + (rlim_t)*(int *)data;
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? 99 : work(s, *(int *)data);
}

TEST(few_descriptors)
{
	struct cx_store *s = store_new();
	struct cx_store_gone gone;
	int status = -1, n;

	for (n = 0; status != 0 && n < 40; n++) {
		status = reap(start(with_few, &n));
		CHECK(status == 0 || status == 1 << 8);
		CHECK_INT(cx_store_verify(s, store_hash_file, NULL, NULL, NULL), 0);
	}
	printf("# it takes %d descriptors\n", n - 1);
	CHECK(status == 0 && n > 2);
	CHECK_INT(cx_store_collect(s, 0, &gone, NULL), 0);
	CHECK_INT(gone.incomplete, 0);
	CHECK_INT(store_count("tmp") + store_count("leases"), 0);
	store_end(s);
}

int main(void)
{
	RUN(documents);
	RUN(stores);
	RUN(few_descriptors);
	return test_end();
}
