/* Any bytes as an archive of an image: the tar's reader, the documents that say what is what, blobs on their way into a store,
 * and the layers behind them. As they come, and once more with the checksums of tar headers put right. */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <signal.h>
#include <sys/resource.h>
#include "image/platform.h"
#include "image/protocol.h"
#include "image/store-inside.h"
#include "image/worker/tasks.h"
#include "image/worker/hash.h"
#include "fuzz.h"

/* The worker's, but there is nobody to tell. */
void cx_worker_tell(struct cx_worker *w)
{
	(void)w;
}

void cx_worker_step(struct cx_worker *w, const char *format, ...)
{
	(void)w, (void)format;
}

int cx_worker_watch(struct cx_worker *w, conex_error **err)
{
	(void)w, (void)err;
	return 0;
}

static char path[] = "/tmp/conex-fuzz-XXXXXX";
static struct cx_store *store;

static void must(int so)
{
	if (!so)
		__builtin_trap();
}

static void forget(void)
{
	cx_store_remove(AT_FDCWD, path);
}

static int open_store(void)
{
	const struct rlimit small = { 64 << 20, 64 << 20 };

	if (store)
		return 1;
	if (!mkdtemp(path) || cx_store_open(path, CX_STORE_NO_SYNC, &store, NULL) < 0)
		return 0;
	atexit(forget);
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	return 1;
}

static int entries(const char *folder)
{
	cx_autoclose int dir = cx_store_folder(store, folder);
	cx_autofree char **names = NULL;

	return dir < 0 ? dir : cx_state_names(dir, 1, &names);
}

/* All is whole, or gone. */
static void look(int landed)
{
	struct cx_store_gone gone;
	struct cx_image *images = NULL;

	must(cx_store_list_images(store, &images, NULL) == landed);
	free(images);
	if (landed) {
		struct cx_reference name;

		must(cx_reference_parse("x:1", &name, NULL) == 0 && cx_store_delete_image(store, &name, NULL) == 0);
	}
	must(cx_store_collect(store, 0, &gone, NULL) == 0 && !gone.left && !gone.incomplete);
	must(entries("blobs/sha256") == 0 && entries("ingest/sha256") == 0 && entries("layers") == 0 && entries("tmp") == 0
		&& entries("leases") == 0 && entries("images") <= 1);
}

static void take(const uint8_t *data, size_t size)
{
	struct cx_worker w = { .socket = -1 };
	struct cx_work_place place = { .unpack = { .whiteouts = CX_WHITEOUT_USER, .flags = CX_UNPACK_ROOTLESS | CX_UNPACK_SQUASH,
		.limits = { .bytes = 1 << 20, .entries = 100, .depth = 20 } } };
	int fd = memfd_create("archive", MFD_CLOEXEC), r;
	struct cx_digest manifest;
	conex_error *err = NULL;

	must(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
	place.store = store;
	must(cx_reference_parse("x:1", &place.name, NULL) == 0 && cx_platform_parse("linux/amd64", &place.platform, NULL) == 0);
	must(cx_store_lease_take(store, CX_LEASE_PROCESS, &place.lease, NULL) == 0);
	r = cx_import_from(&w, &place, fd, &manifest, &err);
	must((r < 0) == (err != NULL) && r <= 0);
	cx_store_lease_return(store, place.lease->id, NULL);
	cx_store_lease_free(place.lease);
	close(fd);
	look(r == 0);
	conex_error_free(err);
}

/* Every place where these digits stand gets the others. */
static void replace(uint8_t *p, size_t size, const uint8_t *old, const char *new)
{
	uint8_t was[64], *at, *end = p + size;

	memcpy(was, old, sizeof was);
	for (at = p; (at = memmem(at, (size_t)(end - at), was, sizeof was)); at += sizeof was)
		memcpy(at, new, sizeof was);
}

/* A blob's name, and who speaks of it, become what its bytes say: so what it leads to is reached. */
static void mend_name(uint8_t *all, size_t total, uint8_t *p)
{
	size_t left = total - (size_t)(p - all) - 512, size = strtoul((char *)p + 124, NULL, 8);
	char digest[CX_LAYER_DIGEST];
	struct cx_hash *h = NULL;

	if (memcmp(p, "blobs/sha256/", 13) || size > left || cx_hash_new(NULL, "fuzz", &h, NULL) < 0)
		return;
	cx_hash_add(h, p + 512, size);
	must(cx_hash_end(h, digest) == 0);
	cx_hash_free(h);
	replace(all, total, p + 13, digest + 7);
}

static void mend_sum(uint8_t *p)
{
	unsigned sum = 0;
	char text[8];

	memset(p + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += p[i];
	snprintf(text, sizeof text, "%06o", sum);
	memcpy(p + 148, text, 7);
}

static void mend(uint8_t *all, size_t size)
{
	for (int round = 0; round < 2; round++)
		for (uint8_t *p = all; (size_t)(all + size - p) >= 512; p += 512) {
			if (memcmp(p + 257, "ustar", 5))
				continue;
			if (round == 0)
				mend_name(all, size, p);
			else
				mend_sum(p);
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *mended = malloc(size + 1);

	if (mended && size && open_store()) {
		memcpy(mended, data, size);
		mend(mended, size);
		take(mended, size);
		if (memcmp(mended, data, size))
			take(data, size);
	}
	free(mended);
	return 0;
}


/* ---- seeds ---- */

static void add(struct archive *a, const char *name, const void *bytes, size_t size)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, bytes ? AE_IFREG : AE_IFLNK);
	archive_entry_set_perm(e, 0755);
	if (bytes)
		archive_entry_set_size(e, (la_int64_t)size);
	else
		archive_entry_set_symlink(e, "../one/layer.tar");
	if (archive_write_header(a, e) >= ARCHIVE_WARN && bytes)
		archive_write_data(a, bytes, size);
	archive_entry_free(e);
}

static struct archive *begin(char *to, size_t room, size_t *used)
{
	struct archive *a = archive_write_new();

	archive_write_set_format_ustar(a);
	archive_write_set_bytes_per_block(a, 512);
	archive_write_open_memory(a, to, room, used);
	return a;
}

static void end(struct archive *a)
{
	archive_write_close(a);
	archive_write_free(a);
}

static const char *digits(const void *bytes, size_t size)
{
	static char texts[4][CX_LAYER_DIGEST];
	static int next;
	struct cx_hash *h = NULL;
	char *text = texts[next++ % 4];

	must(cx_hash_new(NULL, "fuzz", &h, NULL) == 0);
	cx_hash_add(h, bytes, size);
	must(cx_hash_end(h, text) == 0);
	cx_hash_free(h);
	return text + 7;
}

#define CONFIG "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"x\"]},\"rootfs\":{\"type\":\"layers\"," \
	"\"diff_ids\":[\"sha256:%s\"]}}"
#define DESCRIPTOR(type) "{\"mediaType\":\"application/vnd.oci.image." type "\",\"digest\":\"sha256:%s\",\"size\":%zu}"

/* As fuzz_seed's 0: a layout, each thing before what speaks of it. */
static void layout(struct archive *a, const char *layer, size_t size)
{
	char config[1024], manifest[1024], index[1024];

	snprintf(config, sizeof config, CONFIG, digits(layer, size));
	snprintf(manifest, sizeof manifest, "{\"schemaVersion\":2,\"config\":" DESCRIPTOR("config.v1+json") ",\"layers\":["
		DESCRIPTOR("layer.v1.tar") "]}", digits(config, strlen(config)), strlen(config), digits(layer, size), size);
	snprintf(index, sizeof index, "{\"schemaVersion\":2,\"manifests\":[" DESCRIPTOR("manifest.v1+json") "]}",
		digits(manifest, strlen(manifest)), strlen(manifest));
	add(a, "oci-layout", "{}", 2);
	for (const char *const *b = (const char *const[]){ layer, config, manifest, NULL }; *b; b++) {
		size_t n = *b == layer ? size : strlen(*b);
		char name[128];

		snprintf(name, sizeof name, "blobs/sha256/%s", digits(*b, n));
		add(a, name, *b, n);
	}
	add(a, "index.json", index, strlen(index));
}

/* 1: what docker save wrote before it wrote layouts. */
static void docker(struct archive *a, const char *layer, size_t size)
{
	static const char list[] = "[{\"Config\":\"c.json\",\"RepoTags\":[\"x:1\"],\"Layers\":[\"two/layer.tar\"]}]";
	char config[1024];

	snprintf(config, sizeof config, CONFIG, digits(layer, size));
	add(a, "one/layer.tar", layer, size);
	add(a, "two/layer.tar", NULL, 0);
	add(a, "c.json", config, strlen(config));
	add(a, "manifest.json", list, strlen(list));
}

static int fuzz_seed(int n, struct cx_str *to)
{
	static char layer[1 << 13], whole[1 << 16];
	size_t size = 0, used = 0;
	struct archive *a;

	if (n > 1)
		return 0;
	a = begin(layer, sizeof layer, &size);
	add(a, "d/file", "contents", 8);
	end(a);
	a = begin(whole, sizeof whole, &used);
	if (n == 0)
		layout(a, layer, size);
	else
		docker(a, layer, size);
	end(a);
	cx_str_add(to, whole, used);
	return 1;
}
