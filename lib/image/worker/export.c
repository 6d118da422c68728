/* An image of the store, gathered: the manifest of its name, or the index with all manifests that are there whole. */
#include "image/document.h"
#include "image/worker/export.h"
#include "image/worker/hash.h"
#include "image/protocol.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { DEPTH = 3, PIECE = 256 * 1024 };

/* A manifest or an index, and what a line of an index says of it. */
struct taken { struct cx_piece piece; const char *type; };

static int add(struct cx_export *e, const struct cx_piece *p, conex_error **err)
{
	if (e->count == e->room) {
		size_t room = e->room ? 2 * e->room : 64;
		struct cx_piece *larger = realloc(e->pieces, room * sizeof *larger);

		if (!larger)
			return cx_fail_memory(err);
		e->pieces = larger;
		e->room = room;
	}
	e->pieces[e->count++] = *p;
	return 0;
}

/* An error that is none after all. */
static int forgive(conex_error **err)
{
	if (err) {
		conex_error_free(*err);
		*err = NULL;
	}
	return 0;
}

/* ---- a manifest ---- */

static int check_part(const struct cx_export *e, const struct cx_descriptor *d, conex_error **err)
{
	char text[CX_DIGEST_TEXT];
	uint64_t size;
	cx_autoclose int fd = cx_store_open_blob(e->place.store, &d->digest, &size, err);

	if (fd < 0)
		return fd;
	cx_digest_print(&d->digest, text);
	return size == d->size ? 0 : cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL, "cx_store_verify puts it aside; then pull the "
		"image again", "store %s: blob %s has %llu bytes, its manifest says %llu", e->place.store->path, text,
		(unsigned long long)size, (unsigned long long)d->size);
}

static json_t *blob_path(const struct cx_digest *d)
{
	char path[CX_DIGEST_TEXT];

	cx_digest_path(d, path);
	return json_sprintf("blobs/%s", path);
}

/* Docker's own file is of one platform: the best for what is wanted, else the first. */
static int note_docker(struct cx_export *e, const struct cx_image_manifest *m, const struct cx_image_config *c,
	conex_error **err)
{
	int match = cx_platform_match(&e->place.platform, &c->platform) + 1;
	json_t *layers;

	if (match <= e->docker_match)
		return 0;
	layers = json_array();
	for (size_t i = 0; i < m->layer_count; i++)
		if (json_array_append_new(layers, blob_path(&m->layers[i].digest)) < 0) {
			json_decref(layers);
			return cx_fail_memory(err);
		}
	json_decref(e->docker);
	e->docker = *e->place.name.tag ? json_pack("[{s:o, s:[s], s:o}]", "Config", blob_path(&m->config.digest), "RepoTags", e->name,
		"Layers", layers) : json_pack("[{s:o, s:n, s:o}]", "Config", blob_path(&m->config.digest), "RepoTags", "Layers", layers);
	e->docker_match = match;
	return e->docker ? 0 : cx_fail_memory(err);
}

/* Signatures and the like have no config that says what they run on; so Docker isn't told of them. */
static int look_at_config(struct cx_export *e, const struct cx_image_manifest *m, int must_match, conex_error **err)
{
	struct cx_image_config *config = NULL;
	cx_autofree char *text = NULL;
	size_t size;
	int r = cx_work_place_read(&e->place, &m->config.digest, &text, &size, err);

	if (r < 0)
		return r;
	r = cx_image_config_parse(text, size, &config, err);
	if (r == 0)
		r = cx_image_config_check(config, m, must_match ? &e->place.platform : NULL, err);
	if (r == 0)
		r = note_docker(e, m, config, err);
	else if (!must_match && r == -EINVAL)
		r = forgive(err);
	cx_image_config_free(config);
	return r;
}

static int take_manifest(struct cx_export *e, const struct cx_image_manifest *m, int must_match, conex_error **err)
{
	int r = 0;

	for (size_t i = 0; i <= m->layer_count && r == 0; i++)
		r = check_part(e, i < m->layer_count ? &m->layers[i] : &m->config, err);
	if (r == 0)
		r = look_at_config(e, m, must_match, err);
	for (size_t i = 0; i <= m->layer_count && r == 0; i++) {
		const struct cx_descriptor *d = i < m->layer_count ? &m->layers[i] : &m->config;

		r = add(e, &(struct cx_piece){ .digest = d->digest, .size = d->size }, err);
	}
	return r;
}

/* ---- an index ---- */

static int take(struct cx_export *e, const struct cx_digest *digest, int depth, struct taken *ret, conex_error **err);

static json_t *with_digest(const json_t *line, const struct cx_piece *p)
{
	char text[CX_DIGEST_TEXT];
	json_t *copy = json_copy((json_t *)line);

	cx_digest_print(&p->digest, text);
	json_object_set_new(copy, "digest", json_string(text));
	json_object_set_new(copy, "size", json_integer((json_int_t)p->size));
	return copy;
}

/* The lines whose images are there. What isn't an image (an attestation) may be of a kind that we can't read. */
static int take_lines(struct cx_export *e, const struct cx_image_manifest *m, const json_t *lines, int depth, json_t *kept,
	int *ret_same, conex_error **err)
{
	for (size_t i = 0; i < m->offer_count; i++) {
		struct taken child;
		const json_t *line = json_array_get(lines, i);
		int r = take(e, &m->offers[i].target.digest, depth + 1, &child, err), is_same;

		if (r == -ENOENT || (r == -EINVAL && !m->offers[i].is_image)) {
			*ret_same = forgive(err);
			continue;
		}
		if (r < 0)
			return r;
		is_same = cx_digest_equal(&child.piece.digest, &m->offers[i].target.digest);
		*ret_same &= is_same;
		if (json_array_append_new(kept, is_same ? json_copy((json_t *)line) : with_digest(line, &child.piece)) < 0)
			return cx_fail_memory(err);
	}
	return json_array_size(kept) ? 0 : cx_fail(err, CONEX_STAGE_IMAGE, -ENOENT, NULL, "pull it for some platform first",
		"store %s: of the index no manifest is there with all its parts", e->place.store->path);
}

/* An index of what is there, where that isn't all: it has a digest of its own. */
static int make_index(json_t *root, json_t *kept, struct cx_piece *ret, conex_error **err)
{
	if (json_object_set(root, "manifests", kept) < 0 || !(ret->text = json_dumps(root, JSON_COMPACT)))
		return cx_fail_memory(err);
	ret->size = strlen(ret->text);
	if (cx_hash_of(CX_DIGEST_SHA256, ret->text, (size_t)ret->size, &ret->digest) < 0)
		return cx_fail(err, CONEX_STAGE_IMAGE, -EIO, "EVP_Digest", NULL, "an index");
	return 0;
}

static int take_index(struct cx_export *e, const struct cx_image_manifest *m, const char *text, int depth, struct taken *ret,
	conex_error **err)
{
	json_t *root = NULL, *kept = json_array();
	int is_same = 1, r = depth < DEPTH ? cx_document_parse(text, (size_t)ret->piece.size, "index", &root, err)
		: cx_fail(err, CONEX_STAGE_IMAGE, -EINVAL, NULL, NULL, "indexes of indexes of indexes");

	if (r == 0)
		r = take_lines(e, m, json_object_get(root, "manifests"), depth, kept, &is_same, err);
	if (r == 0 && !is_same)
		r = make_index(root, kept, &ret->piece, err);
	json_decref(kept);
	json_decref(root);
	return r;
}

/* ---- all of it ---- */

static int take_chosen(struct cx_export *e, const struct cx_image_manifest *m, int depth, struct taken *ret, conex_error **err)
{
	const struct cx_descriptor *target;
	int r = depth < DEPTH ? cx_image_manifest_choose(m, &e->place.platform, &target, err)
		: cx_fail(err, CONEX_STAGE_IMAGE, -EINVAL, NULL, NULL, "indexes of indexes of indexes");

	return r < 0 ? r : take(e, &target->digest, depth + 1, ret, err);
}

static int take(struct cx_export *e, const struct cx_digest *digest, int depth, struct taken *ret, conex_error **err)
{
	const int is_wanted = cx_task_word(e->w, "platform") != NULL;
	struct cx_image_manifest *m = NULL;
	cx_autofree char *text = NULL;
	size_t size;
	int r = cx_work_place_read(&e->place, digest, &text, &size, err);

	if (r == 0)
		r = cx_image_manifest_parse(text, size, NULL, &m, err);
	if (r < 0)
		return r;
	if (m->kind == CX_MEDIA_INDEX && is_wanted) {
		r = take_chosen(e, m, depth, ret, err);
		cx_image_manifest_free(m);
		return r;
	}
	*ret = (struct taken){ .piece = { .digest = *digest, .size = size }, .type = m->type };
	r = m->kind == CX_MEDIA_INDEX ? take_index(e, m, text, depth, ret, err) : take_manifest(e, m, is_wanted, err);
	cx_image_manifest_free(m);
	return r < 0 ? r : add(e, &ret->piece, err);
}

static int by_digest(const void *a, const void *b)
{
	return cx_digest_order(&((const struct cx_piece *)a)->digest, &((const struct cx_piece *)b)->digest);
}

/* In an order that is always the same, each once. */
static void sort(struct cx_export *e)
{
	size_t kept = 0;

	qsort(e->pieces, e->count, sizeof *e->pieces, by_digest);
	for (size_t i = 0; i < e->count; i++) {
		if (kept && cx_digest_equal(&e->pieces[kept - 1].digest, &e->pieces[i].digest)) {
			free(e->pieces[i].text);
			continue;
		}
		e->pieces[kept++] = e->pieces[i];
	}
	e->count = kept;
	for (size_t i = 0; i < kept; i++)
		e->w->total += e->pieces[i].size;
}

/* As containerd and Docker name images in a layout: the whole name, and OCI's ref.name, which is the tag. */
static int gather(struct cx_export *e, const struct cx_digest *target, conex_error **err)
{
	struct cx_reference name = e->place.name;
	char digest[CX_DIGEST_TEXT], last[CX_DIGEST_TEXT];
	struct taken top;
	int r;

	if (*name.tag)
		name.digest = (struct cx_digest){ .algorithm = CX_DIGEST_NONE };
	cx_reference_print(&name, e->name);
	cx_reference_wanted(&name, last);
	r = take(e, target, 0, &top, err);
	if (r < 0)
		return r;
	sort(e);
	e->top = top.piece.digest;
	cx_digest_print(&e->top, digest);
	e->line = json_pack("{s:s, s:s, s:I, s:{s:s, s:s}}", "mediaType", top.type, "digest", digest, "size",
		(json_int_t)top.piece.size, "annotations", "io.containerd.image.name", e->name, "org.opencontainers.image.ref.name", last);
	return e->line ? 0 : cx_fail_memory(err);
}

static int hash_end(const struct cx_export *e, struct cx_hash *hash, const struct cx_piece *p, conex_error **err)
{
	char text[CX_DIGEST_TEXT];
	struct cx_digest is;

	cx_digest_print(&p->digest, text);
	if (cx_hash_finish(hash, &is) < 0)
		return cx_fail(err, CONEX_STAGE_IMAGE, -EIO, "EVP_DigestFinal", NULL, "blob %s", text);
	return cx_digest_equal(&is, &p->digest) ? 0 : cx_fail(err, CONEX_STAGE_IMAGE, -EBADMSG, NULL, "cx_store_verify puts it aside; "
		"then pull the image again", "store %s: blob %s isn't what its name says", e->place.store->path, text);
}

static int copy(struct cx_export *e, int fd, const struct cx_piece *p, const struct cx_sink *to, struct cx_hash *hash, char *piece,
	conex_error **err)
{
	uint64_t left = p->size;
	int r = 0;

	while (left && r == 0) {
		ssize_t n = read(fd, piece, left < PIECE ? (size_t)left : PIECE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return cx_fail(err, CONEX_STAGE_IMAGE, n < 0 ? -errno : -EBADMSG, "read", "pull the image again", "a blob of the store %s",
				e->place.store->path);
		cx_hash_add(hash, piece, (size_t)n);
		r = to->write(to->self, piece, (size_t)n, err);
		left -= (uint64_t)n;
		__atomic_add_fetch(&e->w->done, (uint64_t)n, __ATOMIC_RELAXED);
		cx_worker_tell(e->w);
	}
	return r;
}

int cx_export_copy(struct cx_export *e, const struct cx_piece *p, const struct cx_sink *to, conex_error **err)
{
	cx_autofree char *piece = malloc(PIECE);
	cx_autoclose int fd = -1;
	struct cx_hash *hash;
	uint64_t size;
	int r;

	if (p->text) {
		e->w->done += p->size;
		return to->write(to->self, p->text, (size_t)p->size, err);
	}
	fd = cx_store_open_blob(e->place.store, &p->digest, &size, err);
	if (fd < 0)
		return fd;
	hash = cx_hash_begin(p->digest.algorithm);
	r = hash && piece ? copy(e, fd, p, to, hash, piece, err) : cx_fail_memory(err);
	if (r == 0)
		r = hash_end(e, hash, p, err);
	cx_hash_free(hash);
	return r;
}

int cx_export_is(const struct cx_piece *p, int fd)
{
	cx_autofree char *piece = malloc(PIECE);
	struct cx_hash *hash = cx_hash_begin(p->digest.algorithm);
	struct cx_digest is;
	ssize_t n = piece && hash ? 1 : 0;
	int good;

	while (n > 0 && (n = read(fd, piece, PIECE)) > 0)
		cx_hash_add(hash, piece, (size_t)n);
	good = hash && cx_hash_finish(hash, &is) == 0 && n == 0 && cx_digest_equal(&is, &p->digest);
	cx_hash_free(hash);
	return good;
}

static void clear(struct cx_export *e)
{
	for (size_t i = 0; i < e->count; i++)
		free(e->pieces[i].text);
	free(e->pieces);
	json_decref(e->line);
	json_decref(e->docker);
	cx_work_place_close(&e->place);
}

int cx_task_export(struct cx_worker *w, char **result, conex_error **err)
{
	struct cx_export e = { .w = w };
	struct cx_digest target;
	struct stat st;
	int is_directory = fstat(CX_WORKER_FIRST, &st) == 0 && S_ISDIR(st.st_mode), r;

	signal(SIGPIPE, SIG_IGN);       /* a reader that ends is an error, and so is a limit of file sizes */
	signal(SIGXFSZ, SIG_IGN);
	r = cx_work_place_open(w, &e.place, err);
	if (r == 0)
		r = cx_work_place_lock_out(w, &e.place, is_directory ? CX_WORKER_FIRST : -1, &target, err);
	if (r == 0)
		r = gather(&e, &target, err);
	if (r == 0) {
		cx_worker_step(w, "writing");
		r = is_directory ? cx_export_layout(&e, CX_WORKER_FIRST, err) : cx_export_tar(&e, CX_WORKER_FIRST, err);
	}
	if (r == 0)
		r = cx_result_digest(&e.top, result, err);
	clear(&e);
	return r;
}
