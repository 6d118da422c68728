/* A store in a directory of its own, and images for it. The library has no SHA-256: any function of all bytes will
 * do here. */
#ifndef CONEX_TEST_STORE_H
#define CONEX_TEST_STORE_H

#include <dirent.h>
#include <signal.h>
#include "base/str.h"
#include "image/document.h"
#include "image/store-inside.h"
#include "test.h"

static char store_path[64];

/* The exit status of a child. */
static inline int reap(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static inline pid_t start(int (*run)(void *), void *data)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(run(data));
	return pid;
}

/* Four times FNV-1a, with a different beginning each. */
static inline struct cx_digest store_hash(const void *bytes, size_t size)
{
	unsigned char out[32];
	const unsigned char *p = bytes;

	for (int k = 0; k < 4; k++) {
		uint64_t h = 14695981039346656037u + (uint64_t)k * 1099511628211u;

		for (size_t i = 0; i < size; i++)
			h = (h ^ p[i]) * 1099511628211u;
		h ^= size;
		memcpy(out + 8 * k, &h, 8);
	}
	return cx_digest_of(CX_DIGEST_SHA256, out);
}

static inline int store_hash_file(int fd, int algorithm, struct cx_digest *ret, void *data)
{
	struct stat st;
	char *bytes;
	ssize_t n;

	(void)algorithm;
	(void)data;
	if (fstat(fd, &st) < 0)
		return -errno;
	bytes = malloc((size_t)st.st_size + 1);
	n = pread(fd, bytes, (size_t)st.st_size, 0);
	*ret = store_hash(bytes, n < 0 ? 0 : (size_t)n);
	free(bytes);
	return 0;
}

static inline void store_make_place(void)
{
	snprintf(store_path, sizeof store_path, "/tmp/conex-store-XXXXXX");
	if (!mkdtemp(store_path))
		exit(99);
}

static inline struct cx_store *store_open(void)
{
	struct cx_store *s = NULL;
	conex_error *err = NULL;

	if (cx_store_open(store_path, CX_STORE_NO_SYNC, &s, &err) < 0) {
		printf("# %s\n", conex_error_text(err));
		conex_error_free(err);
	}
	return s;
}

/* All of it, and a fresh one. */
static inline struct cx_store *store_new(void)
{
	if (*store_path)
		cx_store_remove(AT_FDCWD, store_path);
	store_make_place();
	return store_open();
}

static inline void store_end(struct cx_store *s)
{
	cx_store_close(s);
	cx_store_remove(AT_FDCWD, store_path);
	*store_path = '\0';
}

/* How many entries a folder of the store has; all of them printed when `show`. */
static inline int store_count(const char *folder)
{
	char path[512];
	struct dirent *e;
	int n = 0;
	DIR *d;

	snprintf(path, sizeof path, "%s/%s", store_path, folder);
	d = opendir(path);
	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return d ? n : -1;
}

static inline struct cx_store_lease *store_lease(struct cx_store *s, enum cx_store_lease_kind kind)
{
	struct cx_store_lease *l = NULL;
	conex_error *err = NULL;

	if (cx_store_lease_take(s, kind, &l, &err) < 0) {
		printf("# %s\n", conex_error_text(err));
		conex_error_free(err);
	}
	return l;
}

static inline void store_give(struct cx_store_lease *l)
{
	CHECK_INT(cx_store_lease_return(l->store, l->id, NULL), 0);
	cx_store_lease_free(l);
}

static inline int store_put(struct cx_store_lease *l, const void *bytes, size_t size, struct cx_digest *ret,
	conex_error **err)
{
	*ret = store_hash(bytes, size);
	return cx_store_put_blob(l, ret, ret, bytes, size, err);
}

static inline struct cx_reference store_name(const char *text)
{
	struct cx_reference r = { .host = "" };

	CHECK_INT(cx_reference_parse(text, &r, NULL), 0);
	return r;
}

/* An image of `layers` layers, whose bytes depend on `seed`; layer 0 is the same for all seeds. What was put is
 * in *ret: the manifest, the config, the layers. */
struct store_image {
	struct cx_digest manifest, config, layers[8], diff_ids[8];
	size_t size;            /* of the manifest */
};

static inline int store_put_layers(struct cx_store_lease *l, int seed, int layers, struct store_image *image,
	char *sizes, conex_error **err)
{
	int r = 0;

	for (int i = 0; r == 0 && i < layers; i++) {
		static char bytes[20000];
		size_t size = (size_t)(10000 + 100 * i + (i ? seed : 0));

		memset(bytes, 'a' + (i ? seed : 0) % 26 + i, sizeof bytes);
		r = store_put(l, bytes, size, &image->layers[i], err);
		image->diff_ids[i] = store_hash(&(int[2]){ i ? seed : 0, i }, sizeof(int[2]));
		sizes += sprintf(sizes, "%zu ", size);
	}
	return r;
}

static inline int store_put_image(struct cx_store_lease *l, int seed, int layers, struct store_image *image,
	conex_error **err)
{
	char text[4096], digest[CX_DIGEST_TEXT], sizes[128] = "", *p = text, *at = sizes;
	size_t config_size;
	int r = store_put_layers(l, seed, layers, image, sizes, err);

	if (r < 0)
		return r;
	p += sprintf(p, "{\"architecture\":\"amd64\",\"os\":\"linux\",\"author\":\"%d\","
		"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[", seed);
	for (int i = 0; i < layers; i++) {
		cx_digest_print(&image->diff_ids[i], digest);
		p += sprintf(p, "%s\"%s\"", i ? "," : "", digest);
	}
	p += sprintf(p, "]}}");
	config_size = (size_t)(p - text);
	r = store_put(l, text, config_size, &image->config, err);
	cx_digest_print(&image->config, digest);
	p = text + sprintf(text, "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" CX_MEDIA_OCI_CONFIG "\",\"digest\":\"%s\","
		"\"size\":%zu},\"layers\":[", digest, config_size);
	for (int i = 0; i < layers; i++) {
		cx_digest_print(&image->layers[i], digest);
		p += sprintf(p, "%s{\"mediaType\":\"" CX_MEDIA_OCI_LAYER "\",\"digest\":\"%s\",\"size\":%lu}", i ? "," : "", digest,
			strtoul(at, &at, 10));
	}
	p += sprintf(p, "]}");
	image->size = (size_t)(p - text);
	return r == 0 ? store_put(l, text, image->size, &image->manifest, err) : r;
}

/* Its layers, unpacked: each has one file. Names in `names`. */
static inline int store_unpack(struct cx_store_lease *l, const struct store_image *image, int layers,
	char names[][CX_LAYER_NAME], conex_error **err)
{
	struct cx_digest chain = image->diff_ids[0];
	int r = 0;

	for (int i = 0; r >= 0 && i < layers; i++) {
		struct cx_store_layer *layer;

		if (i) {
			struct cx_digest both[2] = { chain, image->diff_ids[i] };

			chain = store_hash(both, sizeof both);
		}
		cx_store_layer_name(&image->diff_ids[i], &chain, names[i]);
		r = cx_store_layer_begin(l, names[i], i ? names[i - 1] : NULL, CX_INGEST_WAIT, &layer, err);
		if (r != 0)
			continue;
		r = mkdirat(layer->dir, "root", 0755) < 0 ? -errno : cx_store_write(layer->dir, "root/file", names[i], 0);
		if (r == 0)
			r = cx_store_layer_commit(layer, 1000, err);
		cx_store_layer_close(layer);
	}
	return r < 0 ? r : 0;
}

#endif
