/* Names of images: images/HOST/REPOSITORY/TAG is a link to the manifest's blob. In REPOSITORY "/" is "+", which no
 * repository has; the name of a digest is "@sha256:...", which no tag is. */
#include "image/store-inside.h"

#include <stdlib.h>
#include "base/str.h"

enum { NAME_PATH = 16 + CX_REFERENCE_TEXT };

static int fail(const struct cx_store *s, const struct cx_reference *name, int code, const char *call,
	conex_error **err)
{
	char text[CX_REFERENCE_TEXT];

	cx_reference_familiar(name, text);
	return cx_store_fail(err, s, code, call, "image %s", text);
}

/* "images/HOST/REPOSITORY", and of it the whole path. */
static void name_path(const struct cx_reference *r, char folder[NAME_PATH], char path[NAME_PATH])
{
	char last[CX_DIGEST_TEXT + 1], *p;

	snprintf(folder, NAME_PATH, "images/%s/", r->host);
	p = folder + strlen(folder);
	snprintf(p, NAME_PATH - (size_t)(p - folder), "%s", r->repository);
	for (; *p; p++)
		if (*p == '/')
			*p = '+';
	if (r->digest.algorithm) {
		last[0] = '@';
		cx_digest_print(&r->digest, last + 1);
	} else {
		snprintf(last, sizeof last, "%s", r->tag);
	}
	snprintf(path, NAME_PATH, "%s/%s", folder, last);
}

/* ".../sha256/ab..." of a link; -errno, -EBADMSG */
static int read_target(const struct cx_store *s, const char *path, struct cx_digest *ret)
{
	char target[CX_STORE_PATH], *file, *folder;
	ssize_t n = readlinkat(s->root, path, target, sizeof target - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	file = strrchr(target, '/');
	if (!file)
		return -EBADMSG;
	*file++ = '\0';
	folder = strrchr(target, '/');
	return cx_digest_from_path(folder ? folder + 1 : target, file, ret) < 0 ? -EBADMSG : 0;
}

/* ---- putting ---- */

static int read_manifest(const struct cx_store *s, const struct cx_digest *digest, struct cx_image_manifest **ret,
	conex_error **err)
{
	cx_autofree char *bytes = NULL;
	size_t size;
	int r = cx_store_read_blob(s, digest, &bytes, &size, err);

	return r < 0 ? r : cx_image_manifest_parse(bytes, size, NULL, ret, err);
}

static int has_parts(const struct cx_store *s, const struct cx_image_manifest *m, conex_error **err)
{
	for (size_t i = 0; i <= m->layer_count; i++) {
		const struct cx_descriptor *d = i < m->layer_count ? &m->layers[i] : &m->config;
		char text[CX_DIGEST_TEXT];
		struct stat st;

		cx_digest_print(&d->digest, text);
		if (cx_store_stat_blob(s, &d->digest, &st) < 0)
			return cx_store_fail(err, s, -ENOENT, NULL, "blob %s of an image that was to be named", text);
		if ((uint64_t)st.st_size != d->size)
			return cx_store_fail(err, s, -EBADMSG, NULL, "blob %s has %llu bytes, its manifest says %llu", text,
				(unsigned long long)st.st_size, (unsigned long long)d->size);
	}
	return 0;
}

/* 1: it is a manifest, and whole. 0: an index: its images are put into the list. -errno */
static int look_into(const struct cx_store *s, struct cx_marks *m, const struct cx_digest *digest, conex_error **err)
{
	struct cx_image_manifest *manifest = NULL;
	int r = read_manifest(s, digest, &manifest, err);

	if (r == 0 && manifest->kind == CX_MEDIA_MANIFEST) {
		r = has_parts(s, manifest, err);
		r = r < 0 ? r : 1;
	}
	for (size_t i = 0; r == 0 && i < manifest->offer_count; i++)
		if (manifest->offers[i].is_image)
			r = cx_mark_blob(m, &manifest->offers[i].target.digest);
	cx_image_manifest_free(manifest);
	return r;
}

/* Of what an index lists one platform is enough; others may be on their way just now. Each is looked at once, however
 * often indexes name it. */
int cx_store_is_whole(const struct cx_store *s, const struct cx_digest *digest, conex_error **err)
{
	struct cx_marks m = { .blobs = NULL };
	struct cx_digest next;
	int r = look_into(s, &m, digest, err);

	while (r == 0 && cx_mark_next(&m, &next)) {
		r = look_into(s, &m, &next, NULL);
		if (r < 0 && r != -ENOMEM)
			r = 0;
	}
	cx_marks_clear(&m);
	return r;
}

static int make_link(const struct cx_store *s, const char *folder, const char *path, const struct cx_digest *target)
{
	char temporary[CX_STORE_PATH], blob[CX_STORE_PATH], text[CX_STORE_PATH + 16];
	int r = cx_store_temporary("name", temporary);

	if (r < 0)
		return r;
	cx_store_path("blobs", target, blob);
	snprintf(text, sizeof text, "../../../%s", blob);
	r = cx_mkdirs(s->root, folder, 0700);
	if (r < 0)
		return r;
	if (symlinkat(text, s->root, temporary) < 0)
		return -errno;
	if (renameat(s->root, temporary, s->root, path) < 0) {
		r = -errno;
		unlinkat(s->root, temporary, 0);
		return r;
	}
	return cx_store_sync_folder(s, folder);
}

/* With the store to ourselves: what was found to be there is there when the name is. */
int cx_store_put_image(struct cx_store *s, const struct cx_reference *name, const struct cx_digest *target,
	conex_error **err)
{
	char folder[NAME_PATH], path[NAME_PATH];
	cx_autoclose int lock = -1;
	int r;

	if (name->digest.algorithm && !cx_digest_equal(&name->digest, target))
		return fail(s, name, -EINVAL, "digest", err);
	lock = cx_store_lock(s, LOCK_EX);
	if (lock < 0)
		return fail(s, name, lock, "flock", err);
	r = cx_store_is_whole(s, target, err);
	if (r < 0)
		return r;
	if (r == 0)
		return cx_fail(err, CONEX_STAGE_IMAGE, -ENOENT, NULL, "pull it for some platform first",
			"store %s: of the index no manifest is there with all its parts", s->path);
	name_path(name, folder, path);
	r = make_link(s, folder, path, target);
	return r < 0 ? fail(s, name, r, "rename", err) : 0;
}

/* ---- looking ---- */

/* A tag of the repository that is this digest. */
static int has_target(const struct cx_store *s, const char *folder, const struct cx_digest *wanted)
{
	cx_autoclose int dir = cx_store_folder(s, folder);
	cx_autofree char **names = NULL;
	int n = dir < 0 ? dir : cx_state_names(dir, 0, &names), found = 0;
	struct cx_digest digest;
	char path[NAME_PATH + 256];

	for (int i = 0; !found && i < n; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		found = read_target(s, path, &digest) == 0 && cx_digest_equal(&digest, wanted);
	}
	return found ? 0 : n < 0 ? n : -ENOENT;
}

int cx_store_get_image(const struct cx_store *s, const struct cx_reference *name, struct cx_digest *ret,
	conex_error **err)
{
	char folder[NAME_PATH], path[NAME_PATH], text[CX_REFERENCE_TEXT];
	struct cx_digest digest = name->digest;
	int r;

	name_path(name, folder, path);
	r = digest.algorithm ? has_target(s, folder, &digest) : read_target(s, path, &digest);
	if (r == -ENOENT) {
		cx_reference_familiar(name, text);
		return cx_fail(err, CONEX_STAGE_IMAGE, r, NULL, "pull it", "image %s isn't in the store %s", text, s->path);
	}
	if (r < 0)
		return fail(s, name, r, "readlink", err);
	*ret = digest;
	return 0;
}

/* images/HOST/REPOSITORY/LAST as a reference; what isn't one isn't ours. */
static int read_name(const char *host, const char *repository, const char *last, struct cx_reference *ret)
{
	char text[NAME_PATH + 512], *p;

	snprintf(text, sizeof text, "%s/%s", host, repository);
	for (p = text; *p; p++)
		if (*p == '+')
			*p = '/';
	snprintf(p, sizeof text - (size_t)(p - text), "%s%s", *last == '@' ? "" : ":", last);
	return cx_reference_parse(text, ret, NULL);
}

struct list {
	const struct cx_store *store;
	struct cx_str images;           /* of struct cx_image */
	const char *host, *repository;
};

typedef int (*each_fn)(struct list *l, const char *path, const char *name);

static int each_name(struct list *l, const char *folder, each_fn each)
{
	cx_autoclose int dir = cx_store_folder(l->store, folder);
	cx_autofree char **names = NULL;
	int n, r = 0;

	if (dir < 0)    /* gone meanwhile, or no folder of ours */
		return dir == -ENOENT || dir == -ENOTDIR || dir == -ELOOP ? 0 : dir;
	n = cx_state_names(dir, 0, &names);
	for (int i = 0; r == 0 && i < n; i++) {
		cx_autofree char *path = NULL;

		if (asprintf(&path, "%s/%s", folder, names[i]) < 0) {
			path = NULL;
			return -ENOMEM;
		}
		r = each(l, path, names[i]);
	}
	return n < 0 ? n : r;
}

static int list_tag(struct list *l, const char *path, const char *name)
{
	struct cx_image image;

	memset(&image, 0, sizeof image);
	if (read_name(l->host, l->repository, name, &image.name) < 0 || read_target(l->store, path, &image.target) < 0)
		return 0;
	return cx_str_add(&l->images, &image, sizeof image);
}

static int list_repository(struct list *l, const char *path, const char *name)
{
	l->repository = name;
	return each_name(l, path, list_tag);
}

static int list_host(struct list *l, const char *path, const char *name)
{
	l->host = name;
	return each_name(l, path, list_repository);
}

static int by_name(const void *a, const void *b)
{
	const struct cx_image *one = a, *other = b;
	char text[2][CX_REFERENCE_TEXT];

	cx_reference_print(&one->name, text[0]);
	cx_reference_print(&other->name, text[1]);
	return strcmp(text[0], text[1]);
}

int cx_store_list_images(const struct cx_store *s, struct cx_image **ret, conex_error **err)
{
	struct list l = { .store = s };
	int r = each_name(&l, "images", list_host), count;

	count = (int)(l.images.size / sizeof(struct cx_image));
	if (r == 0) {
		*ret = (struct cx_image *)(void *)cx_str_take(&l.images);
		r = *ret ? 0 : -ENOMEM;
	}
	if (r == 0)
		qsort(*ret, (size_t)count, sizeof **ret, by_name);
	cx_str_free(&l.images);
	return r < 0 ? cx_store_fail(err, s, r, "readdir", "images") : count;
}

/* ---- deleting ---- */

int cx_store_delete_image(struct cx_store *s, const struct cx_reference *name, conex_error **err)
{
	char folder[NAME_PATH], path[NAME_PATH], text[CX_REFERENCE_TEXT];
	cx_autoclose int lock = cx_store_lock(s, LOCK_EX);

	if (lock < 0)
		return fail(s, name, lock, "flock", err);
	name_path(name, folder, path);
	if (unlinkat(s->root, path, 0) < 0) {
		int r = -errno;

		if (r != -ENOENT && r != -ENOTDIR)
			return fail(s, name, r, "unlink", err);
		cx_reference_familiar(name, text);
		return cx_fail(err, CONEX_STAGE_IMAGE, -ENOENT, NULL, "conex_image_list says what is there",
			"image %s isn't in the store %s", text, s->path);
	}
	/* as far as they are empty; nobody puts names now */
	unlinkat(s->root, folder, AT_REMOVEDIR);
	*strrchr(folder, '/') = '\0';
	unlinkat(s->root, folder, AT_REMOVEDIR);
	return 0;
}
