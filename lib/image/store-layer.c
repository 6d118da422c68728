/* Unpacked layers: layers/DIFFID-CHAINID/ with the tree in "root" and a file "about". Filled in tmp/, shown
 * whole. */
#include "image/store-inside.h"

#include <stdlib.h>

/* A directory around each tree: that one is ours, whoever owns the tree (rootless: other ids), so that it can be
 * renamed; and only we get in. */
#define ABOUT "parent=%193s bytes=%llu"

static int fail(const struct cx_store_layer *l, int code, const char *call, conex_error **err)
{
	return cx_store_fail(err, l->store, code, call, "layer %s", l->name);
}

int cx_store_layer_name(const struct cx_digest *diff_id, const struct cx_digest *chain_id, char name[CX_LAYER_NAME])
{
	char diff[CX_DIGEST_TEXT], chain[CX_DIGEST_TEXT];

	/* image-spec: a chain's is always sha256; a layer's is known by its length */
	if (!diff_id->algorithm || chain_id->algorithm != CX_DIGEST_SHA256)
		return -EINVAL;
	cx_digest_print(diff_id, diff);
	cx_digest_print(chain_id, chain);
	snprintf(name, CX_LAYER_NAME, "%s-%s", strchr(diff, ':') + 1, strchr(chain, ':') + 1);
	return 0;
}

int cx_store_layer_is_name(const char *name)
{
	size_t n = strspn(name, "0123456789abcdef");

	return (n == 64 || n == 128) && name[n] == '-' && strlen(name + n + 1) == 64
		&& strspn(name + n + 1, "0123456789abcdef") == 64;
}

int cx_store_layer_about(const struct cx_store *s, const char *name, char parent[CX_LAYER_NAME], uint64_t *ret_bytes)
{
	char path[CX_STORE_PATH + CX_LAYER_NAME], text[512], word[CX_LAYER_NAME];
	cx_autoclose int dir = -1;
	unsigned long long bytes;
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof path, "layers/%s", name);
	dir = cx_store_folder(s, path);
	n = dir < 0 ? dir : cx_store_read(dir, "about", text, sizeof text);
	if (n < 0)
		return (int)n;
	/* it is mounted by its path: no link may stand in it */
	if (fstatat(dir, "root", &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return -EBADMSG;
	if (sscanf(text, ABOUT, word, &bytes) != 2 || (strcmp(word, "none") && !cx_store_layer_is_name(word)))
		return -EBADMSG;
	strcpy(parent, strcmp(word, "none") ? word : "");
	if (ret_bytes)
		*ret_bytes = bytes;
	return 0;
}

static int is_there(const struct cx_store *s, const char *name)
{
	char parent[CX_LAYER_NAME];

	return cx_store_layer_about(s, name, parent, NULL) == 0;
}

/* What it lies on: 0, -ENOENT; where we can't look, why. */
static int look_for_parent(const struct cx_store_layer *l)
{
	char parent[CX_LAYER_NAME];
	int r = *l->parent ? cx_store_layer_about(l->store, l->parent, parent, NULL) : 0;

	return r == 0 || r == -EMFILE || r == -ENFILE || r == -ENOMEM ? r : -ENOENT;
}

/* ---- making one ---- */

static void place(const struct cx_store_layer *l, const char *more, char path[CX_STORE_PATH + CX_LAYER_NAME])
{
	snprintf(path, CX_STORE_PATH + CX_LAYER_NAME, "tmp/layer-%s%s", l->name, more);
}

/* As with an ingest: made, opened and locked while nobody collects. */
static int open_place(struct cx_store_layer *l, const char *path)
{
	cx_autoclose int lock = cx_store_lock(l->store, LOCK_SH);

	if (lock < 0)
		return lock;
	if (mkdirat(l->store->root, path, 0700) < 0 && errno != EEXIST)
		return -errno;
	l->dir = cx_store_folder(l->store, path);
	if (l->dir == -ENOENT)  /* another's, shown just now */
		return -EAGAIN;
	return l->dir < 0 ? l->dir : cx_store_flock(l->dir, LOCK_EX | LOCK_NB);
}

static int try_place(struct cx_store_layer *l, const char *path, unsigned flags)
{
	int r;

	cx_closep(&l->dir);
	r = open_place(l, path);
	if (r == -EBUSY && (flags & CX_INGEST_WAIT))
		r = flock(l->dir, LOCK_EX) < 0 ? -errno : 0;
	if (r == -EAGAIN)
		return 0;
	return r < 0 ? r : cx_store_is_same(l->store, l->dir, path);
}

/* What a killed one left can't be gone on with: out of the way, and removed, unless its owner is another: then it is the
 * collector's. 1: there was nothing. */
static int make_room(struct cx_store_layer *l, const char *path)
{
	cx_autofree char **names = NULL;
	char trash[CX_STORE_PATH];
	cx_autoclose int lock = -1;
	int r = cx_state_names(l->dir, 1, &names);

	if (r <= 0)
		return r < 0 ? r : 1;
	r = cx_store_temporary("trash", trash);
	if (r == 0)
		r = lock = cx_store_lock(l->store, LOCK_SH);
	if (r < 0)
		return r;
	if (renameat(l->store->root, path, l->store->root, trash) < 0)
		return -errno;
	cx_closep(&lock);
	cx_store_remove(l->store->root, trash);
	return 0;
}

static int begin(struct cx_store_layer *l, unsigned flags)
{
	char path[CX_STORE_PATH + CX_LAYER_NAME];
	int r = 0;

	place(l, "", path);
	while (r == 0) {
		if (is_there(l->store, l->name))
			return 1;
		r = try_place(l, path, flags);
		if (r == 1 && is_there(l->store, l->name)) {
			unlinkat(l->store->root, path, AT_REMOVEDIR);
			return 1;
		}
		if (r == 1)
			r = make_room(l, path);
	}
	return r < 0 ? r : 0;
}

int cx_store_layer_begin(struct cx_store_lease *lease, const char *name, const char *parent, unsigned flags,
	struct cx_store_layer **ret, conex_error **err)
{
	struct cx_store_layer *l;
	int r = cx_store_lease_hold_layer(lease, name, err);

	if (r < 0)
		return r;
	l = calloc(1, sizeof *l);
	if (!l)
		return cx_fail_memory(err);
	l->store = lease->store;
	l->dir = -1;
	snprintf(l->name, sizeof l->name, "%s", name);
	snprintf(l->parent, sizeof l->parent, "%s", parent ? parent : "");
	r = parent && !cx_store_layer_is_name(parent) ? -EINVAL : begin(l, flags);
	if (r < 0)
		fail(l, r, "mkdir", err);
	if (r != 0)
		cx_store_layer_close(l);
	else
		*ret = l;
	return r;
}

/* Everything of the file system: a tree is many files, and one fsync each costs more. */
static int sync_tree(const struct cx_store_layer *l)
{
	return l->store->flags & CX_STORE_NO_SYNC ? 0 : syncfs(l->dir) < 0 ? -errno : 0;
}

/* One that is there without a good "about" is what a power failure left of it; or it is no directory. */
static int show(const struct cx_store_layer *l, const char *from, const char *to)
{
	char trash[CX_STORE_PATH];
	int root = l->store->root, r;

	if (renameat(root, from, root, to) == 0)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR)
		return -errno;
	r = cx_store_temporary("trash", trash);
	if (r == 0 && (renameat(root, to, root, trash) < 0 || renameat(root, from, root, to) < 0))
		r = -errno;
	return r;
}

static int commit(struct cx_store_layer *l, uint64_t bytes)
{
	char about[512], from[CX_STORE_PATH + CX_LAYER_NAME], to[CX_STORE_PATH + CX_LAYER_NAME];
	cx_autoclose int lock = -1;
	struct stat st;
	int r = look_for_parent(l);

	if (r < 0)
		return r;
	if (fstatat(l->dir, "root", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	snprintf(about, sizeof about, "parent=%s bytes=%llu\n", *l->parent ? l->parent : "none",
		(unsigned long long)bytes);
	r = cx_store_write(l->dir, "about", about, 0);
	if (r == 0)
		r = sync_tree(l);       /* "about" with it */
	if (r < 0)
		return r;
	place(l, "", from);
	snprintf(to, sizeof to, "layers/%s", l->name);
	lock = cx_store_lock(l->store, LOCK_SH);
	if (lock < 0)
		return lock;
	/* nobody collects now: what it lies on is there when it gets its name */
	r = look_for_parent(l);
	if (r == 0)
		r = show(l, from, to);
	cx_closep(&lock);
	if (r < 0)
		unlinkat(l->dir, "about", 0);   /* so that it can be tried again */
	return r < 0 ? r : cx_store_sync_folder(l->store, "layers");
}

int cx_store_layer_commit(struct cx_store_layer *l, uint64_t bytes, conex_error **err)
{
	int r = commit(l, bytes);

	return r < 0 ? fail(l, r, "rename", err) : 0;
}

void cx_store_layer_close(struct cx_store_layer *l)
{
	char path[CX_STORE_PATH + CX_LAYER_NAME], trash[CX_STORE_PATH];

	if (!l)
		return;
	place(l, "", path);
	if (l->dir >= 0 && cx_store_is_same(l->store, l->dir, path) && cx_store_flock(l->dir, LOCK_EX | LOCK_NB) == 0
	    && cx_store_temporary("trash", trash) == 0 && renameat(l->store->root, path, l->store->root, trash) == 0)
		cx_store_remove(l->store->root, trash);
	cx_closep(&l->dir);
	free(l);
}

/* ---- reading ---- */

int cx_store_open_layer(const struct cx_store *s, const char *name, conex_error **err)
{
	char path[CX_STORE_PATH + CX_LAYER_NAME];
	int fd = -ENOENT;

	snprintf(path, sizeof path, "layers/%.*s/root", CX_LAYER_NAME, name);
	if (cx_store_layer_is_name(name))
		fd = cx_store_folder(s, path);
	return fd < 0 ? cx_store_fail(err, s, fd, "open", "layer %.*s", CX_LAYER_NAME, name) : fd;
}

/* Is it that layer, on that parent? */
static int fits(const struct cx_store *s, const char *name, const char *diff, const char *parent)
{
	char is[CX_LAYER_NAME];
	size_t n = strlen(diff);

	return !strncmp(name, diff, n) && name[n] == '-' && cx_store_layer_is_name(name)
		&& cx_store_layer_about(s, name, is, NULL) == 0 && !strcmp(is, parent);
}

int cx_store_find_layers(const struct cx_store *s, const struct cx_digest *diff_ids, size_t count,
	char (*ret_names)[CX_LAYER_NAME], conex_error **err)
{
	cx_autoclose int dir = cx_store_folder(s, "layers");
	cx_autofree char **names = NULL;
	int n = dir < 0 ? dir : cx_state_names(dir, 0, &names);
	size_t found = 0;

	if (n < 0)
		return cx_store_fail(err, s, n, "readdir", "layers");
	for (int i = 0; found < count && i < n; i++) {
		char diff[CX_DIGEST_TEXT];

		cx_digest_print(&diff_ids[found], diff);
		if (fits(s, names[i], strchr(diff, ':') + 1, found ? ret_names[found - 1] : "")) {
			strcpy(ret_names[found++], names[i]);
			i = -1;         /* for the next one, from the beginning */
		}
	}
	return (int)found;
}
