/* Unpacked layers in the store: whole when they are shown, and shown only above what is. */
#include "store.h"

static void must(int r, conex_error **err)
{
	if (!CHECK_INT(r, 0))
		printf("# %s\n", conex_error_text(*err));
	conex_error_free(*err);
	*err = NULL;
}

TEST(layers)
{
	struct cx_store *s = store_new();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct store_image image;
	char names[8][CX_LAYER_NAME], found[8][CX_LAYER_NAME];
	struct cx_store_layer *layer = NULL, *twin = NULL;
	conex_error *err = NULL;
	int fd;

	must(store_put_image(l, 1, 4, &image, &err), &err);
	CHECK_INT(cx_store_find_layers(s, image.diff_ids, 4, found, NULL), 0);
	must(store_unpack(l, &image, 3, names, &err), &err);
	CHECK_INT(cx_store_find_layers(s, image.diff_ids, 4, found, NULL), 3);
	for (int i = 0; i < 3; i++)
		CHECK_STR(found[i], names[i]);
	CHECK_INT(cx_store_find_layers(s, image.diff_ids + 1, 2, found, NULL), 0);      /* they lie on another */
	fd = cx_store_open_layer(s, names[1], NULL);
	CHECK(fd >= 0 && faccessat(fd, "file", F_OK, 0) == 0);
	close(fd);
	CHECK_INT(cx_store_layer_begin(l, names[0], NULL, 0, &layer, NULL), 1);
	names[3][0] = names[2][0] == 'a' ? 'b' : 'a';
	memcpy(names[3] + 1, names[2] + 1, CX_LAYER_NAME - 1);
	CHECK_INT(cx_store_layer_begin(l, names[0], "../../etc", 0, &layer, NULL), -EINVAL);
	CHECK_INT(cx_store_layer_begin(l, "../../etc", NULL, 0, &layer, NULL), -EINVAL);
	CHECK_INT(cx_store_open_layer(s, "../../etc", NULL), -ENOENT);
	CHECK_INT(cx_store_open_layer(s, names[3], NULL), -ENOENT);
	must(cx_store_layer_begin(l, names[3], names[2], 0, &layer, &err), &err);
	CHECK_INT(cx_store_layer_begin(l, names[3], names[2], 0, &twin, NULL), -EBUSY);
	CHECK_INT(cx_store_layer_commit(layer, 5, NULL), -ENOENT);              /* there is no tree */
	CHECK_INT(cx_store_write(layer->dir, "root", "x", 0), 0);
	CHECK_INT(cx_store_layer_commit(layer, 5, NULL), -ENOTDIR);
	CHECK_INT(cx_store_open_layer(s, names[3], NULL), -ENOENT);
	cx_store_layer_close(layer);
	CHECK_INT(store_count("tmp"), 0);
	CHECK_INT(store_count("layers"), 3);
	/* one that a power failure left without its "about" is replaced */
	snprintf(found[0], sizeof found[0], "%s", names[2]);
	fd = openat(s->root, "layers", O_RDONLY | O_DIRECTORY);
	CHECK(renameat(fd, names[2], fd, names[3]) == 0);
	close(fd);
	fd = cx_store_open_layer(s, names[3], NULL);
	CHECK_INT(unlinkat(fd, "../about", 0), 0);
	close(fd);
	must(cx_store_layer_begin(l, names[3], NULL, 0, &layer, &err), &err);
	CHECK_INT(mkdirat(layer->dir, "root", 0755), 0);
	must(cx_store_layer_commit(layer, 5, &err), &err);
	cx_store_layer_close(layer);
	fd = cx_store_open_layer(s, names[3], NULL);
	CHECK(fd >= 0 && faccessat(fd, "file", F_OK, 0) < 0);
	close(fd);
	store_give(l);
	store_end(s);
}

/* Made side by side, shown in order: one above another that isn't there is held back. */
TEST(layers_side_by_side)
{
	struct cx_store *s = store_new();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct cx_store_layer *layers[3] = { NULL };
	struct store_image image;
	char names[3][CX_LAYER_NAME], found[3][CX_LAYER_NAME];
	conex_error *err = NULL;

	must(store_put_image(l, 1, 3, &image, &err), &err);
	for (int i = 2; i >= 0; i--)
		CHECK_INT(cx_store_layer_name(&image.diff_ids[i], &image.diff_ids[i], names[i]), 0);
	for (int i = 2; i >= 0; i--) {
		must(cx_store_layer_begin(l, names[i], i ? names[i - 1] : NULL, 0, &layers[i], &err), &err);
		CHECK_INT(mkdirat(layers[i]->dir, "root", 0755), 0);
	}
	CHECK_INT(cx_store_layer_commit(layers[2], 5, NULL), -ENOENT);
	CHECK_INT(cx_store_layer_commit(layers[1], 5, NULL), -ENOENT);
	CHECK_INT(store_count("layers"), 0);
	CHECK_INT(store_count("tmp"), 3);
	for (int i = 0; i < 3; i++) {
		must(cx_store_layer_commit(layers[i], 5, &err), &err);
		cx_store_layer_close(layers[i]);
	}
	CHECK_INT(cx_store_find_layers(s, image.diff_ids, 3, found, NULL), 3);
	CHECK_STR(found[2], names[2]);
	CHECK_INT(store_count("tmp"), 0);
	store_give(l);
	store_end(s);
}

/* Names of sha512 are the longest; and of another's parent. */
TEST(long_layer_names)
{
	static const unsigned char bytes[64] = { 1 }, more[64] = { 2 };
	struct cx_store *s = store_new();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct cx_digest ids[2] = { cx_digest_of(CX_DIGEST_SHA512, bytes), cx_digest_of(CX_DIGEST_SHA512, more) };
	struct cx_digest chain = cx_digest_of(CX_DIGEST_SHA256, more);
	char names[2][CX_LAYER_NAME], found[2][CX_LAYER_NAME], parent[CX_LAYER_NAME];
	struct cx_store_layer *layer = NULL;
	uint64_t size;

	for (int i = 0; i < 2; i++) {
		CHECK_INT(cx_store_layer_name(&ids[i], &chain, names[i]), 0);
		CHECK_INT(cx_store_layer_begin(l, names[i], i ? names[0] : NULL, 0, &layer, NULL), 0);
		CHECK(mkdirat(layer->dir, "root", 0755) == 0 && mkdirat(layer->dir, ".unpack-x", 0) == 0);
		CHECK_INT(cx_store_layer_commit(layer, UINT64_MAX - 1, NULL), 0);
		cx_store_layer_close(layer);
	}
	CHECK_INT(cx_store_find_layers(s, ids, 2, found, NULL), 2);
	CHECK_STR(found[1], names[1]);
	CHECK(cx_store_layer_about(s, names[1], parent, &size) == 0 && size == UINT64_MAX - 1);
	CHECK_STR(parent, names[0]);
	store_give(l);
	store_end(s);
}

TEST(layer_names)
{
	char name[CX_LAYER_NAME];
	unsigned char bytes[64] = { 1 };
	struct cx_digest a = cx_digest_of(CX_DIGEST_SHA256, bytes), b = cx_digest_of(CX_DIGEST_SHA512, bytes);

	CHECK(cx_store_layer_name(&a, &a, name) == 0 && strlen(name) == 129 && cx_store_layer_is_name(name));
	CHECK(cx_store_layer_name(&b, &a, name) == 0 && strlen(name) == 193 && cx_store_layer_is_name(name));
	CHECK_INT(cx_store_layer_name(&a, &b, name), -EINVAL);
	CHECK_INT(cx_store_layer_name(&(struct cx_digest){ .algorithm = 0 }, &a, name), -EINVAL);
	CHECK(!cx_store_layer_is_name("") && !cx_store_layer_is_name("-") && !cx_store_layer_is_name(".."));
}

int main(void)
{
	RUN(layers);
	RUN(layers_side_by_side);
	RUN(long_layer_names);
	RUN(layer_names);
	return test_end();
}
