/* Collecting: what no name leads to and no lease holds is moved into tmp/ while the store is locked, and removed when
 * it isn't any more. */
#include "image/store-inside.h"

#include <stdlib.h>
#include <time.h>

struct collection {
	struct cx_store *store;
	struct cx_marks marks;
	char trash[CX_STORE_PATH];      /* "tmp/trash-..."; "": there is none, or no room for one */
	int trash_lock, tried;
	unsigned moved;
	int64_t partial_age_s;
	struct cx_store_gone gone;
};

/* ---- what is needed ---- */

static int hold(const struct cx_digest *digest, const char *layer, void *data)
{
	struct collection *c = data;

	return layer ? cx_mark_layer(&c->marks, c->store, layer) : cx_mark_blob(&c->marks, digest);
}

static int mark(struct collection *c)
{
	struct cx_image *images = NULL;
	int n = cx_store_list_images(c->store, &images, NULL), r = n < 0 ? n : 0;

	for (int i = 0; r == 0 && i < n; i++) {
		c->gone.incomplete += cx_store_is_whole(c->store, &images[i].target, NULL) <= 0;
		r = cx_mark_blob(&c->marks, &images[i].target);
	}
	free(images);
	if (r == 0)
		r = cx_store_lease_each(c->store, hold, c, &c->gone.leases);
	return r < 0 ? r : cx_mark_follow(&c->marks, c->store);
}

/* ---- what isn't ---- */

/* Made for the first thing that is thrown away. */
static int open_trash(struct collection *c)
{
	int r = cx_store_temporary("trash", c->trash);

	if (r < 0)
		return r;
	if (mkdirat(c->store->root, c->trash, 0700) < 0) {
		c->trash[0] = '\0';
		return errno == ENOSPC || errno == EDQUOT ? 0 : -errno;
	}
	c->trash_lock = cx_store_folder(c->store, c->trash);
	return c->trash_lock < 0 ? c->trash_lock : cx_store_flock(c->trash_lock, LOCK_EX);
}

/* On a full disk there may be no room for the trash, nor for a name in it. */
static int throw_away(struct collection *c, const char *path)
{
	char into[CX_STORE_PATH + 16];
	int r = c->tried++ ? 0 : open_trash(c);

	if (r < 0)
		return r;
	snprintf(into, sizeof into, "%s/%u", c->trash, c->moved++);
	if (*c->trash && renameat(c->store->root, path, c->store->root, into) == 0)
		return 0;
	if (*c->trash && errno != ENOSPC && errno != EDQUOT)
		return errno == ENOENT ? 0 : -errno;
	return cx_store_remove(c->store->root, path);
}

typedef int (*sweep_fn)(struct collection *c, const char *folder, const char *path, const char *name);

static int each(struct collection *c, const char *folder, sweep_fn sweep)
{
	cx_autoclose int dir = cx_store_folder(c->store, folder);
	cx_autofree char **names = NULL;
	char path[CX_STORE_PATH + 256];
	int n = dir < 0 ? dir : cx_state_names(dir, 1, &names), r = n < 0 ? n : 0;

	for (int i = 0; r == 0 && i < n; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		r = sweep(c, strchr(folder, '/') ? strchr(folder, '/') + 1 : folder, path, names[i]);
	}
	return r;
}

static uint64_t bytes_of(const struct cx_store *s, const char *path)
{
	struct stat st;

	return fstatat(s->root, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static int sweep_blob(struct collection *c, const char *folder, const char *path, const char *name)
{
	struct cx_digest digest;

	if (cx_digest_from_path(folder, name, &digest) < 0 || cx_marks_blob(&c->marks, &digest))
		return 0;
	c->gone.bytes += bytes_of(c->store, path);
	c->gone.blobs++;
	return throw_away(c, path);
}

static int sweep_layer(struct collection *c, const char *folder, const char *path, const char *name)
{
	char parent[CX_LAYER_NAME];
	uint64_t bytes = 0;

	(void)folder;
	if (!cx_store_layer_is_name(name) || c->marks.all_layers || cx_marks_layer(&c->marks, name))
		return 0;
	cx_store_layer_about(c->store, name, parent, &bytes);
	c->gone.bytes += bytes;
	c->gone.layers++;
	return throw_away(c, path);
}

/* Is somebody writing it? Whoever does has it locked since before we had the store to ourselves. */
static int is_free(const struct cx_store *s, const char *path)
{
	cx_autoclose int fd = openat(s->root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 || cx_store_flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static int sweep_partial(struct collection *c, const char *folder, const char *path, const char *name)
{
	struct cx_digest digest;
	struct stat st;

	if (cx_digest_from_path(folder, name, &digest) < 0 || cx_marks_blob(&c->marks, &digest)
	    || fstatat(c->store->root, path, &st, AT_SYMLINK_NOFOLLOW) < 0
	    || time(NULL) - st.st_mtime < c->partial_age_s || !is_free(c->store, path))
		return 0;
	c->gone.bytes += (uint64_t)st.st_blocks * 512;
	c->gone.partial++;
	return throw_away(c, path);
}

static int sweep_quarantine(struct collection *c, const char *folder, const char *path, const char *name)
{
	struct stat st;

	(void)folder;
	(void)name;
	if (fstatat(c->store->root, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || time(NULL) - st.st_ctime < c->partial_age_s)
		return 0;
	c->gone.bytes += (uint64_t)st.st_blocks * 512;
	return throw_away(c, path);
}

/* What the killed left in tmp/; that of the living is locked. */
static int sweep_temporary(struct collection *c, const char *folder, const char *path, const char *name)
{
	(void)folder;
	(void)name;
	if (!strcmp(path, c->trash) || !is_free(c->store, path))
		return 0;
	/* others' directories can't be moved into another: they stay, and are counted below */
	throw_away(c, path);
	return 0;
}

static int sweep(struct collection *c)
{
	static const struct { const char *folder; sweep_fn sweep; } all[] = {
		{ "blobs/sha256", sweep_blob }, { "blobs/sha512", sweep_blob }, { "layers", sweep_layer },
		{ "ingest/sha256", sweep_partial }, { "ingest/sha512", sweep_partial },
		{ "quarantine", sweep_quarantine }, { "tmp", sweep_temporary },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < CX_ARRAY_SIZE(all); i++)
		r = each(c, all[i].folder, all[i].sweep);
	return r;
}

/* ---- together ---- */

static int collect_locked(struct collection *c)
{
	cx_autoclose int lock = cx_store_lock(c->store, LOCK_EX);
	int r = lock < 0 ? lock : mark(c);

	return r < 0 ? r : sweep(c);
}

/* The trash, which is locked by us. What can't be removed (a rootless store's trees have others' owners) stays. */
static void empty_trash(struct collection *c)
{
	cx_autofree char **names = NULL;
	int n = c->trash_lock < 0 ? -1 : cx_state_names(c->trash_lock, 1, &names);

	for (int i = 0; i < n; i++)
		c->gone.left += cx_store_remove(c->trash_lock, names[i]) < 0;
	if (*c->trash)
		unlinkat(c->store->root, c->trash, AT_REMOVEDIR);
	cx_closep(&c->trash_lock);
}

int cx_store_collect(struct cx_store *s, int64_t partial_age_s, struct cx_store_gone *ret, conex_error **err)
{
	struct collection c = { .store = s, .trash_lock = -1, .partial_age_s = partial_age_s };
	int r = collect_locked(&c);

	cx_marks_clear(&c.marks);
	empty_trash(&c);
	if (r < 0)
		return cx_store_fail(err, s, r, NULL, "collecting what nobody needs");
	if (ret)
		*ret = c.gone;
	return 0;
}
