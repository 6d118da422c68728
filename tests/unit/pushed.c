/* What of a store goes to a registry: all of an image, once, behind what it names; or nothing. */
#include "store.h"
#include "image/worker/pushed.h"

static struct cx_store *store;
static struct cx_store_lease *lease;
static struct cx_pushed pushed;
static conex_error *err;

static void begin(void)
{
	store = store_new();
	lease = store_lease(store, CX_LEASE_PROCESS);
}

static void end(void)
{
	cx_pushed_clear(&pushed);
	conex_error_free(err);
	err = NULL;
	store_give(lease);
	store_end(store);
}

static int collect(const char *text, const char *platform)
{
	const struct cx_reference name = store_name(text);
	struct cx_platform p;

	cx_pushed_clear(&pushed);
	conex_error_free(err);
	err = NULL;
	CHECK_INT(cx_platform_parse(platform, &p, NULL), 0);
	return cx_pushed_collect(store, &name, platform ? &p : NULL, &pushed, &err);
}

static void name_it(const char *text, const struct cx_digest *target)
{
	const struct cx_reference name = store_name(text);

	CHECK_INT(cx_store_put_image(store, &name, target, NULL), 0);
}

static const struct cx_pushed_blob *blob(const struct cx_digest *digest)
{
	const struct cx_pushed_blob *found = NULL;

	for (size_t i = 0; i < pushed.count; i++)
		if (cx_digest_equal(&pushed.blobs[i].digest, digest)) {
			CHECK(!found);
			found = &pushed.blobs[i];
		}
	return found;
}

static void lose(const struct cx_digest *digest)
{
	char path[CX_STORE_PATH];

	cx_store_path("blobs", digest, path);
	CHECK_INT(unlinkat(store->root, path, 0), 0);
}

/* A line of an index. */
static int add_line(char *to, const struct cx_digest *digest, size_t size, const char *rest)
{
	char text[CX_DIGEST_TEXT];

	cx_digest_print(digest, text);
	return sprintf(to, "{\"mediaType\":\"" CX_MEDIA_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":%zu,%s}", text, size, rest);
}

/* Of two platforms, and an attestation for the first where `attestation` isn't NULL. */
static struct cx_digest put_index(const struct store_image *images, const struct cx_digest *attestation, size_t size)
{
	char text[4096], *p = text + sprintf(text, "{\"schemaVersion\":2,\"manifests\":[");
	struct cx_digest index;

	p += add_line(p, &images[0].manifest, images[0].size, "\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}");
	*p++ = ',';
	p += add_line(p, &images[1].manifest, images[1].size, "\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}");
	if (attestation) {
		*p++ = ',';
		p += add_line(p, attestation, size, "\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"},"
			"\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}");
	}
	p += sprintf(p, "]}");
	CHECK_INT(store_put(lease, text, (size_t)(p - text), &index, NULL), 0);
	return index;
}

TEST(one)
{
	struct store_image i;

	begin();
	CHECK_INT(store_put_image(lease, 1, 3, &i, NULL), 0);
	CHECK_INT(collect("host:5000/a:1", NULL), -ENOENT);
	name_it("host:5000/a:1", &i.manifest);
	CHECK_INT(collect("host:5000/a:1", NULL), 0);
	CHECK_INT(pushed.count, 4);
	CHECK_INT(pushed.document_count, 1);
	CHECK(cx_digest_equal(&pushed.documents[0].digest, &i.manifest));
	CHECK_STR(pushed.documents[0].type, CX_MEDIA_OCI_MANIFEST);
	CHECK_INT(pushed.documents[0].size, i.size);
	CHECK(blob(&i.config) && !blob(&i.config)->is_layer);
	for (int k = 0; k < 3; k++)
		CHECK(blob(&i.layers[k]) && blob(&i.layers[k])->is_layer && !blob(&i.layers[k])->from);
	for (size_t k = 1; k < pushed.count; k++)
		CHECK(pushed.blobs[k - 1].size >= pushed.blobs[k].size);
	/* a platform is no matter to who has but one */
	CHECK_INT(collect("host:5000/a:1", "linux/arm64"), 0);
	lose(&i.layers[1]);
	CHECK_INT(collect("host:5000/a:1", NULL), -ENOENT);
	CHECK(strstr(conex_error_text(err), "pull the image again") != NULL);
	end();
}

TEST(platforms)
{
	struct store_image i[2];
	struct cx_digest index;

	begin();
	CHECK_INT(store_put_image(lease, 1, 3, &i[0], NULL), 0);
	CHECK_INT(store_put_image(lease, 2, 2, &i[1], NULL), 0);
	index = put_index(i, NULL, 0);
	name_it("a:1", &index);
	CHECK_INT(collect("a:1", NULL), 0);
	CHECK_INT(pushed.document_count, 3);
	CHECK(cx_digest_equal(&pushed.documents[2].digest, &index));
	CHECK_STR(pushed.documents[2].type, CX_MEDIA_OCI_INDEX);
	CHECK_INT(pushed.count, 2 + 3 + 2 - 1);         /* they have their lowest layer in common */
	CHECK(blob(&i[0].layers[2]) && blob(&i[1].layers[1]) && blob(&i[1].config));
	CHECK_INT(collect("a:1", "linux/arm64"), 0);
	CHECK_INT(pushed.document_count, 1);
	CHECK(cx_digest_equal(&pushed.documents[0].digest, &i[1].manifest));
	CHECK_INT(pushed.count, 3);
	CHECK_INT(collect("a:1", "linux/riscv64"), -ENOENT);
	CHECK(strstr(conex_error_text(err), "linux/amd64, linux/arm64") != NULL);

	lose(&i[1].layers[1]);
	CHECK_INT(collect("a:1", NULL), -ENOENT);
	CHECK(strstr(conex_error_text(err), "conex_image_options.platform") != NULL);
	CHECK_INT(collect("a:1", "linux/amd64"), 0);
	lose(&i[1].manifest);
	CHECK_INT(collect("a:1", NULL), -ENOENT);
	CHECK_INT(collect("a:1", "linux/amd64"), 0);
	CHECK_INT(collect("a:1", "linux/arm64"), -ENOENT);
	end();
}

/* BuildKit's attestations: their layers are JSON, and go along. */
TEST(attestations)
{
	static const char statement[] = "{\"_type\":\"https://in-toto.io/Statement/v0.1\"}";
	struct cx_digest layer, config, manifest, index;
	char text[1024], digest[2][CX_DIGEST_TEXT];
	struct store_image i[2];
	size_t size;

	begin();
	CHECK_INT(store_put_image(lease, 1, 1, &i[0], NULL), 0);
	CHECK_INT(store_put_image(lease, 2, 2, &i[1], NULL), 0);
	CHECK_INT(store_put(lease, statement, strlen(statement), &layer, NULL), 0);
	CHECK_INT(store_put(lease, "{}", 2, &config, NULL), 0);
	cx_digest_print(&config, digest[0]);
	cx_digest_print(&layer, digest[1]);
	size = (size_t)sprintf(text, "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" CX_MEDIA_OCI_CONFIG "\",\"digest\":\"%s\",\"size\":2},"
		"\"layers\":[{\"mediaType\":\"application/vnd.in-toto+json\",\"digest\":\"%s\",\"size\":%zu}]}", digest[0], digest[1],
		strlen(statement));
	CHECK_INT(store_put(lease, text, size, &manifest, NULL), 0);
	index = put_index(i, &manifest, size);
	name_it("a:1", &index);
	CHECK_INT(collect("a:1", NULL), 0);
	CHECK_INT(pushed.document_count, 4);
	CHECK(cx_digest_equal(&pushed.documents[2].digest, &manifest));
	CHECK_STR(pushed.documents[2].type, CX_MEDIA_OCI_MANIFEST);
	CHECK(blob(&layer) && blob(&config));
	lose(&layer);
	CHECK_INT(collect("a:1", NULL), -ENOENT);
	CHECK_INT(collect("a:1", "linux/amd64"), 0);

	/* an artifact that isn't a manifest of config and layers; and one whose digests aren't */
	for (int k = 0; k < 3; k++) {
		const char *const bad[] = { "{\"schemaVersion\":2,\"blobs\":[]}", "{\"config\":7,\"layers\":[]}", "[]" };

		size = strlen(bad[k]);
		CHECK_INT(store_put(lease, bad[k], size, &manifest, NULL), 0);
		index = put_index(i, &manifest, size);
		name_it("a:1", &index);
		CHECK(collect("a:1", NULL) < 0 && conex_error_code(err) != -ENOENT);
		CHECK_INT(collect("a:1", "linux/amd64"), 0);
	}
	end();
}

TEST(sources)
{
	struct store_image i[3];
	struct cx_digest index;

	begin();
	for (int k = 0; k < 3; k++)
		CHECK_INT(store_put_image(lease, k + 1, 3, &i[k], NULL), 0);
	name_it("host:5000/a:1", &i[0].manifest);
	name_it("host:5000/a:old", &i[1].manifest);     /* its own repository */
	name_it("elsewhere/b:1", &i[0].manifest);       /* another registry */
	CHECK_INT(collect("host:5000/a:1", NULL), 0);
	for (size_t k = 0; k < pushed.count; k++)
		CHECK(!pushed.blobs[k].from);
	name_it("host:5000/c/d:1", &i[2].manifest);     /* has the lowest layer */
	CHECK_INT(collect("host:5000/a:1", NULL), 0);
	CHECK_STR(blob(&i[0].layers[0])->from, "c/d");
	CHECK(!blob(&i[0].layers[1])->from && !blob(&i[0].config)->from);
	index = put_index(i, NULL, 0);                  /* and that in one, of which a part is gone */
	name_it("host:5000/b:1", &index);
	lose(&i[1].manifest);
	CHECK_INT(collect("host:5000/a:1", NULL), 0);
	CHECK_STR(blob(&i[0].layers[0])->from, "b");
	CHECK_STR(blob(&i[0].layers[2])->from, "b");
	CHECK_STR(blob(&i[0].config)->from, "b");
	end();
}

/* A blob that isn't as large as it should be would break off in the middle. */
TEST(sizes)
{
	struct store_image i;
	char path[CX_STORE_PATH];
	int fd;

	begin();
	CHECK_INT(store_put_image(lease, 1, 2, &i, NULL), 0);
	name_it("a:1", &i.manifest);
	cx_store_path("blobs", &i.layers[1], path);
	CHECK_INT(fchmodat(store->root, path, 0600, 0), 0);
	fd = openat(store->root, path, O_WRONLY | O_CLOEXEC);
	CHECK_INT(ftruncate(fd, 100), 0);
	close(fd);
	CHECK_INT(collect("a:1", NULL), -EBADMSG);
	CHECK(strstr(conex_error_text(err), "has 100 bytes") != NULL);
	end();
}

int main(void)
{
	RUN(one);
	RUN(platforms);
	RUN(attestations);
	RUN(sources);
	RUN(sizes);
	return test_end();
}
