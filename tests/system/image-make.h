/* Whole images for tests, as OCI layouts in a tar that is a memfd: any bytes as layers, configs, manifests, indexes.
 * Links the worker's hashes (libworker.a) and libarchive. */
#ifndef TEST_SYSTEM_IMAGE_MAKE_H
#define TEST_SYSTEM_IMAGE_MAKE_H

#include <archive.h>
#include <archive_entry.h>
#include <sys/mman.h>
#include "test.h"
#include "base/str.h"
#include "image/platform.h"
#include "image/worker/hash.h"
#include "image/worker/unpack.h"

/* Documents are written with ' for ". */
#define MADE_LAYER "application/vnd.oci.image.layer.v1.tar"
#define MADE_CONFIG "application/vnd.oci.image.config.v1+json"
#define MADE_MANIFEST "application/vnd.oci.image.manifest.v1+json"

struct made_bytes { const void *bytes; size_t size; };

struct made {
	struct archive *tar;
	int fd;                 /* the caller's, from made_end on */
};

static inline void made_file(struct made *m, const char *name, const void *bytes, size_t size)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_size(e, (la_int64_t)size);
	CHECK_INT(archive_write_header(m->tar, e), ARCHIVE_OK);
	if (size)
		CHECK_INT(archive_write_data(m->tar, bytes, size), size);
	archive_entry_free(e);
}

/* Packed by `filter`: ARCHIVE_FILTER_... */
static inline void made_begin_packed(struct made *m, int filter)
{
	m->fd = memfd_create("image", MFD_CLOEXEC);
	m->tar = archive_write_new();
	CHECK_INT(archive_write_add_filter(m->tar, filter), ARCHIVE_OK);
	archive_write_set_format_pax_restricted(m->tar);
	archive_write_set_bytes_per_block(m->tar, 65536);
	CHECK_INT(archive_write_open_fd(m->tar, m->fd), ARCHIVE_OK);
	made_file(m, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", 30);
}

static inline void made_begin(struct made *m)
{
	made_begin_packed(m, ARCHIVE_FILTER_NONE);
}

static inline int made_end(struct made *m)
{
	CHECK_INT(archive_write_close(m->tar), ARCHIVE_OK);
	archive_write_free(m->tar);
	lseek(m->fd, 0, SEEK_SET);
	return m->fd;
}

static inline void made_digest(const void *bytes, size_t size, char digest[CX_LAYER_DIGEST])
{
	struct cx_hash *h = NULL;

	CHECK_INT(cx_hash_new(NULL, "test", &h, NULL), 0);
	cx_hash_add(h, bytes, size);
	CHECK_INT(cx_hash_end(h, digest), 0);
	cx_hash_free(h);
}

static inline void made_blob(struct made *m, const void *bytes, size_t size, char digest[CX_LAYER_DIGEST])
{
	char name[256];

	made_digest(bytes, size, digest);
	snprintf(name, sizeof name, "blobs/sha256/%s", digest + 7);
	made_file(m, name, bytes, size);
}

/* ---- layers ---- */

/* One entry: kind 'f' a file with `text`, 'd' a directory, 'l' a link to text, 'h' a hard link, 'p' a FIFO, 'c' a device (1:5). `size`: of text
 * that has NULs. */
struct made_entry { const char *name; char kind; const char *text; mode_t mode; size_t size; };

static inline void made_entry(struct archive *a, const struct made_entry *from)
{
	static const struct { char kind; mode_t type; } types[] = { { 'f', AE_IFREG }, { 'd', AE_IFDIR }, { 'l', AE_IFLNK },
		{ 'h', AE_IFREG }, { 'p', AE_IFIFO }, { 'c', AE_IFCHR } };
	struct archive_entry *e = archive_entry_new();
	size_t size = from->kind != 'f' ? 0 : from->size ? from->size : strlen(from->text);

	archive_entry_set_pathname(e, from->name);
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (types[i].kind == from->kind)
			archive_entry_set_filetype(e, types[i].type);
	archive_entry_set_perm(e, from->mode ? from->mode : 0755);
	archive_entry_set_size(e, (la_int64_t)size);
	if (from->kind == 'l')
		archive_entry_set_symlink(e, from->text);
	if (from->kind == 'h')
		archive_entry_set_hardlink(e, from->text);
	if (from->kind == 'c') {
		archive_entry_set_rdevmajor(e, 1);
		archive_entry_set_rdevminor(e, 5);
	}
	CHECK_INT(archive_write_header(a, e), ARCHIVE_OK);
	if (size)
		CHECK_INT(archive_write_data(a, from->text, size), size);
	archive_entry_free(e);
}

/* A layer of entries, up to one without a name; .bytes is the caller's (free). */
static inline struct made_bytes made_layer(const struct made_entry *entries)
{
	const size_t room = 4 << 20;
	struct archive *a = archive_write_new();
	char *bytes = malloc(room);
	size_t used = 0;

	archive_write_set_format_pax_restricted(a);
	archive_write_set_bytes_per_block(a, 512);
	CHECK_INT(archive_write_open_memory(a, bytes, room, &used), ARCHIVE_OK);
	for (; entries->name; entries++)
		made_entry(a, entries);
	CHECK_INT(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
	return (struct made_bytes){ bytes, used };
}

/* What is packed in a layer, as far as it can be unpacked: its diff id. */
static inline void made_diff_id(const void *bytes, size_t size, char digest[CX_LAYER_DIGEST])
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	struct cx_hash *h = NULL;
	static char piece[1 << 16];
	la_ssize_t n;

	archive_read_support_filter_gzip(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_format_raw(a);
	archive_read_support_format_empty(a);
	CHECK_INT(cx_hash_new(NULL, "test", &h, NULL), 0);
	if (archive_read_open_memory(a, bytes, size) == ARCHIVE_OK && archive_read_next_header(a, &e) == ARCHIVE_OK)
		while ((n = archive_read_data(a, piece, sizeof piece)) > 0)
			cx_hash_add(h, piece, (size_t)n);
	archive_read_free(a);
	CHECK_INT(cx_hash_end(h, digest), 0);
	cx_hash_free(h);
}

static inline const char *made_media(const unsigned char *bytes, size_t size)
{
	if (size > 1 && bytes[0] == 0x1f && bytes[1] == 0x8b)
		return MADE_LAYER "+gzip";
	if (size > 3 && (!memcmp(bytes, "\x28\xb5\x2f\xfd", 4) || !memcmp(bytes, "\x50\x2a\x4d\x18", 4)))
		return MADE_LAYER "+zstd";
	return MADE_LAYER;
}

static inline char *made_quoted(struct cx_str *text)
{
	for (size_t i = 0; i < text->size; i++)
		if (text->data[i] == '\'')
			text->data[i] = '"';
	return text->data;
}

/* An index.json of one descriptor, {'mediaType', 'digest', 'size'}. */
static inline void made_index(struct made *m, const char *media, const char *digest, size_t size)
{
	cx_autostr text = { .data = NULL };

	cx_str_addf(&text, "{'schemaVersion':2,'manifests':[{'mediaType':'%s','digest':'%s','size':%zu}]}", media, digest, size);
	made_file(m, "index.json", made_quoted(&text), text.size);
}

/* The manifest that these layers make, with a config, a document as it comes. */
static inline void made_manifest(struct made *m, const struct made_bytes *config, const struct made_bytes *layers, size_t count)
{
	char digest[CX_LAYER_DIGEST];
	cx_autostr text = { .data = NULL };

	made_blob(m, config->bytes, config->size, digest);
	cx_str_addf(&text, "{'schemaVersion':2,'mediaType':'" MADE_MANIFEST "','config':{'mediaType':'" MADE_CONFIG
		"','digest':'%s','size':%zu},'layers':[", digest, config->size);
	for (size_t i = 0; i < count; i++) {
		made_blob(m, layers[i].bytes, layers[i].size, digest);
		cx_str_addf(&text, "%s{'mediaType':'%s','digest':'%s','size':%zu}", i ? "," : "",
			made_media(layers[i].bytes, layers[i].size), digest, layers[i].size);
	}
	cx_str_addf(&text, "]}");
	made_quoted(&text);
	made_blob(m, text.data, text.size, digest);
	made_index(m, MADE_MANIFEST, digest, text.size);
}

/* A config of this machine with the right diff ids; `run`: "'Cmd':['sh']", what is in its "config". */
static inline void made_config(struct cx_str *to, const char *run, const struct made_bytes *layers, size_t count)
{
	char diff_id[CX_LAYER_DIGEST];
	struct cx_platform here;

	CHECK_INT(cx_platform_parse(NULL, &here, NULL), 0);
	cx_str_addf(to, "{'architecture':'%s','os':'linux','config':{%s},'rootfs':{'type':'layers','diff_ids':[", here.architecture, run);
	for (size_t i = 0; i < count; i++) {
		made_diff_id(layers[i].bytes, layers[i].size, diff_id);
		cx_str_addf(to, "%s'%s'", i ? "," : "", diff_id);
	}
	cx_str_addf(to, "]}}");
	made_quoted(to);
}

/* An archive of one image. */
static inline int made_image(const char *run, const struct made_bytes *layers, size_t count)
{
	cx_autostr config = { .data = NULL };
	struct made m;

	made_config(&config, run, layers, count);
	made_begin(&m);
	made_manifest(&m, &(struct made_bytes){ config.data, config.size }, layers, count);
	return made_end(&m);
}

#endif
