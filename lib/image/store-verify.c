/* Is everything still what its name says, and how large is it? */
#include "image/store-inside.h"

struct verification {
	struct cx_store *store;
	cx_hash_fn hash;
	cx_broken_fn broken;
	void *data;
	int count;
};

/* The file that was hashed, and no other that came into its place meanwhile. 1, 0: it is another; -errno */
static int put_away(const struct cx_store *s, int fd, const struct cx_digest *digest)
{
	char path[CX_STORE_PATH], into[CX_STORE_PATH], text[CX_DIGEST_TEXT];
	cx_autoclose int lock = cx_store_lock(s, LOCK_EX);

	if (lock < 0)
		return lock;
	cx_store_path("blobs", digest, path);
	if (!cx_store_is_same(s, fd, path))
		return 0;
	cx_digest_print(digest, text);
	snprintf(into, sizeof into, "quarantine/%s", text);
	return renameat(s->root, path, s->root, into) < 0 ? -errno : 1;
}

/* Looked at before it is opened: what is no file, or larger than any, is none of ours. 1, 0; -errno */
static int is_right(struct verification *v, int at, const char *path, const struct cx_digest *digest)
{
	cx_autoclose int fd = -1;
	struct cx_digest is;
	struct stat st;
	int r;

	if (fstat(at, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > CX_LAYER_BYTES_MAX)
		return 0;
	fd = openat(v->store->root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 1 : -errno;
	r = v->hash(fd, digest->algorithm, &is, v->data);
	return r == -EIO ? 0 : r < 0 ? r : cx_digest_equal(&is, digest);
}

static int verify_one(struct verification *v, const struct cx_digest *digest)
{
	char path[CX_STORE_PATH];
	cx_autoclose int fd = -1;
	int r;

	cx_store_path("blobs", digest, path);
	fd = openat(v->store->root, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = is_right(v, fd, path, digest);
	if (r != 0)
		return r < 0 ? r : 0;
	r = put_away(v->store, fd, digest);
	if (r <= 0)
		return r;
	v->count++;
	if (v->broken)
		v->broken(digest, v->data);
	return 0;
}

static int verify_folder(struct verification *v, const char *algorithm)
{
	cx_autofree char **names = NULL;
	cx_autoclose int dir = -1;
	char path[CX_STORE_PATH];
	struct cx_digest digest;
	int n, r = 0;

	snprintf(path, sizeof path, "blobs/%s", algorithm);
	dir = cx_store_folder(v->store, path);
	n = dir < 0 ? dir : cx_state_names(dir, 0, &names);
	for (int i = 0; r == 0 && i < n; i++)
		if (cx_digest_from_path(algorithm, names[i], &digest) == 0)
			r = verify_one(v, &digest);
	return n < 0 ? n : r;
}

int cx_store_verify(struct cx_store *s, cx_hash_fn hash, cx_broken_fn broken, void *data, conex_error **err)
{
	struct verification v = { .store = s, .hash = hash, .broken = broken, .data = data };
	int r = verify_folder(&v, "sha256");

	if (r == 0)
		r = verify_folder(&v, "sha512");
	return r < 0 ? cx_store_fail(err, s, r, NULL, "verifying") : v.count;
}

/* ---- how large ---- */

static int count_files(const struct cx_store *s, const char *folder, uint64_t *bytes, size_t *count)
{
	cx_autoclose int dir = cx_store_folder(s, folder);
	cx_autofree char **names = NULL;
	struct stat st;
	int n = dir < 0 ? dir : cx_state_names(dir, 1, &names);

	for (int i = 0; i < n; i++)
		if (fstatat(dir, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0) {
			*bytes += (uint64_t)st.st_blocks * 512;
			++*count;
		}
	return n < 0 ? n : 0;
}

static int count_layers(const struct cx_store *s, uint64_t *bytes, size_t *count)
{
	cx_autoclose int dir = cx_store_folder(s, "layers");
	cx_autofree char **names = NULL;
	char parent[CX_LAYER_NAME];
	uint64_t size;
	int n = dir < 0 ? dir : cx_state_names(dir, 0, &names);

	for (int i = 0; i < n; i++)
		if (cx_store_layer_is_name(names[i]) && cx_store_layer_about(s, names[i], parent, &size) == 0) {
			*bytes += size;
			++*count;
		}
	return n < 0 ? n : 0;
}

int cx_store_usage(const struct cx_store *s, struct cx_store_usage *ret, conex_error **err)
{
	struct cx_store_usage u = { .blobs = 0 };
	size_t others = 0;
	int r = count_files(s, "blobs/sha256", &u.blobs, &u.blob_count);

	if (r == 0)
		r = count_files(s, "blobs/sha512", &u.blobs, &u.blob_count);
	if (r == 0)
		r = count_files(s, "ingest/sha256", &u.partial, &u.partial_count);
	if (r == 0)
		r = count_files(s, "ingest/sha512", &u.partial, &u.partial_count);
	if (r == 0)
		r = count_files(s, "quarantine", &u.other, &others);
	if (r == 0)
		r = count_files(s, "tmp", &u.other, &others);
	if (r == 0)
		r = count_layers(s, &u.layers, &u.layer_count);
	if (r < 0)
		return cx_store_fail(err, s, r, "readdir", "counting its bytes");
	*ret = u;
	return 0;
}
