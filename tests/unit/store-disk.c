/* The image store and its disk: bytes that go bad, disks that are full, trees that are meant to trap who removes
 * them. */
#include "store.h"

#include <sys/mount.h>
#include <sys/resource.h>

/* ---- bytes that went bad ---- */

static void count_broken(const struct cx_digest *digest, void *data)
{
	(void)digest;
	++*(int *)data;
}

static int no_hash(int fd, int algorithm, struct cx_digest *ret, void *data)
{
	(void)fd;
	(void)algorithm;
	(void)ret;
	return *(int *)data;
}

TEST(verified)
{
	struct cx_store *s = store_new();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct cx_reference name = store_name("x");
	struct cx_store_usage usage;
	struct cx_store_gone gone;
	struct store_image image;
	char path[CX_STORE_PATH];
	int broken = 0, fd, code;

	CHECK_INT(store_put_image(l, 1, 3, &image, NULL), 0);
	CHECK_INT(cx_store_put_image(s, &name, &image.manifest, NULL), 0);
	CHECK_INT(cx_store_verify(s, store_hash_file, count_broken, &broken, NULL), 0);
	cx_store_path("blobs", &image.layers[1], path);
	CHECK_INT(fchmodat(s->root, path, 0600, 0), 0);
	fd = openat(s->root, path, O_WRONLY);
	CHECK(pwrite(fd, "\1", 1, 5000) == 1);
	close(fd);
	CHECK_INT(cx_store_verify(s, store_hash_file, count_broken, &broken, NULL), 1);
	CHECK_INT(broken, 1);
	CHECK(!cx_store_has_blob(s, &image.layers[1]));
	CHECK_INT(store_count("quarantine"), 1);
	CHECK_INT(cx_store_usage(s, &usage, NULL), 0);
	CHECK(usage.blob_count == 4 && usage.blobs >= 20000 && usage.other >= 8192);
	CHECK_INT(cx_store_collect(s, 1000, &gone, NULL), 0);
	CHECK_INT(gone.incomplete, 1);
	CHECK_INT(gone.blobs, 0);
	CHECK_INT(store_put_image(l, 1, 3, &image, NULL), 0);           /* repaired by a pull */
	CHECK_INT(cx_store_collect(s, 0, &gone, NULL), 0);
	CHECK_INT(gone.incomplete + (size_t)store_count("quarantine"), 0);
	code = -ENOMEM;
	CHECK_INT(cx_store_verify(s, no_hash, NULL, &code, NULL), -ENOMEM);
	CHECK_INT(store_count("blobs/sha256"), 5);
	code = -EIO;    /* they can't be read */
	CHECK_INT(cx_store_verify(s, no_hash, NULL, &code, NULL), 5);
	CHECK_INT(store_count("blobs/sha256"), 0);
	store_give(l);
	store_end(s);
}

/* All of it once more with every byte on the disk. */
TEST(synced)
{
	struct cx_store *s = store_new(), *synced = NULL;
	struct cx_reference name = store_name("x");
	struct cx_store_lease *l;
	struct store_image image;
	char names[8][CX_LAYER_NAME];

	CHECK_INT(cx_store_open(store_path, 0, &synced, NULL), 0);
	l = store_lease(synced, CX_LEASE_LASTING);
	CHECK_INT(store_put_image(l, 1, 2, &image, NULL), 0);
	CHECK_INT(store_unpack(l, &image, 2, names, NULL), 0);
	CHECK_INT(cx_store_put_image(synced, &name, &image.manifest, NULL), 0);
	store_give(l);
	CHECK_INT(cx_store_collect(synced, 0, NULL, NULL), 0);
	CHECK_INT(cx_store_is_whole(s, &image.manifest, NULL), 1);
	CHECK_INT(cx_store_find_layers(s, image.diff_ids, 2, names, NULL), 2);
	cx_store_close(synced);
	store_end(s);
}

/* ---- disks that are full ---- */

/* Mounts of one's own: as root, or in a user namespace where one keeps one's id. 0, 77 */
static int own_mounts(void)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (unshare(uid ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS) < 0)
		return 77;
	snprintf(map, sizeof map, "%u %u 1", uid, uid);
	if (uid && cx_file_write(AT_FDCWD, "/proc/self/uid_map", map) < 0)
		return 77;
	snprintf(map, sizeof map, "%u %u 1", gid, gid);
	if (uid && (cx_file_write(AT_FDCWD, "/proc/self/setgroups", "deny") < 0
		    || cx_file_write(AT_FDCWD, "/proc/self/gid_map", map) < 0))
		return 77;
	return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? 77 : 0;
}

/* In a small tmpfs of its own. Steps that went wrong are told by number. */
static int fill(void *data)
{
	static char block[8192];
	struct cx_store *s = NULL;
	struct cx_store_lease *l = NULL;
	struct cx_ingest *i = NULL;
	struct cx_digest want = store_hash("whatever", 8);
	conex_error *err = NULL;
	uint64_t have;
	int r;

	if (own_mounts() || mount("none", data, "tmpfs", 0, "size=256k,mode=700") < 0)
		return 77;
	if (cx_store_open(data, 0, &s, NULL) < 0 || cx_store_lease_take(s, CX_LEASE_PROCESS, &l, NULL) < 0
	    || cx_ingest_begin(l, &want, 1 << 20, 0, &i, NULL) != 0)
		return 1;
	do
		have = i->have;
	while ((r = cx_ingest_append(i, block, sizeof block, &err)) == 0);
	if (r != -ENOSPC || i->have != have || !strstr(conex_error_hint(err), "disk is full")
	    || cx_store_partial(s, &want) != have)
		return 2;
	if (cx_store_has_blob(s, &want) || cx_ingest_commit(i, &want, NULL) != -EBADMSG || cx_store_has_blob(s, &want))
		return 3;
	while (cx_ingest_append(i, block, sizeof block, NULL) == 0)
		;
	while (cx_ingest_append(i, block, 1, NULL) == 0)
		;
	cx_ingest_close(i);
	cx_store_lease_return(s, l->id, NULL);
	if (cx_store_collect(s, 0, NULL, &err) < 0 || cx_store_partial(s, &want))      /* it makes room */
		return 4;
	return 0;
}

/* No file can be made any more, not even for what is thrown away. */
static int use_up_inodes(void *data)
{
	struct cx_store *s = NULL;
	struct cx_store_lease *l = NULL;
	struct cx_store_gone gone;
	struct cx_digest blob;
	char path[64];
	int r = 0;

	if (own_mounts() || mount("none", data, "tmpfs", 0, "size=1m,nr_inodes=40,mode=700") < 0)
		return 77;
	if (cx_store_open(data, 0, &s, NULL) < 0 || cx_store_lease_take(s, CX_LEASE_PROCESS, &l, NULL) < 0
	    || store_put(l, "abc", 3, &blob, NULL) < 0)
		return 1;
	for (int i = 0; r == 0; i++) {
		snprintf(path, sizeof path, "quarantine/%d", i);
		r = cx_store_write(s->root, path, "", 0);
	}
	if (r != -ENOSPC)
		return 2;
	if (cx_store_lease_return(s, l->id, NULL) < 0)
		return 3;
	/* the lease's file made room; use it up again */
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "quarantine/again%d", i);
		r = cx_store_write(s->root, path, "", 0);
	}
	if (r != -ENOSPC || cx_store_collect(s, 1000, &gone, NULL) < 0 || gone.blobs != 1 || cx_store_has_blob(s, &blob))
		return 4;
	return 0;
}

static void in_tmpfs(int (*run)(void *))
{
	struct cx_store *s = store_new();
	int status = reap(start(run, store_path));

	store_end(s);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("no tmpfs may be mounted here");
	CHECK_INT(status, 0);
}

TEST(full_disk)
{
	in_tmpfs(fill);
}

TEST(no_inodes)
{
	in_tmpfs(use_up_inodes);
}

/* Mounts in what is to be removed (one of the same file system): not entered, told of, gone when they are. */
static int trap(void *data)
{
	struct cx_store *s = store_open();
	char path[200], outside[200];
	struct cx_store_gone gone;

	(void)data;
	snprintf(outside, sizeof outside, "%s/quarantine", store_path);
	snprintf(path, sizeof path, "%s/tmp/trash-old", store_path);
	if (own_mounts())
		return 77;
	mkdir(path, 0700);
	strcat(path, "/a");
	mkdir(path, 0700);
	if (mount("none", path, "tmpfs", 0, NULL) < 0)
		return 77;
	path[strlen(path) - 1] = 'b';
	mkdir(path, 0700);
	if (mount(outside, path, NULL, MS_BIND, NULL) < 0)
		return 77;
	for (int i = 0; i < 2; i++)
		if (cx_store_collect(s, 1000, &gone, NULL) < 0 || gone.left != 1 || store_count("tmp") != 1)
			return 1;
	return 0;
}

TEST(mount_traps)
{
	struct cx_store *s = store_new();
	struct cx_store_gone gone;
	int status;

	CHECK_INT(cx_store_write(s->root, "quarantine/canary", "x", 0), 0);
	status = reap(start(trap, NULL));
	CHECK_INT(store_count("quarantine"), 1);
	if (WIFEXITED(status) && WEXITSTATUS(status) != 77) {
		CHECK_INT(status, 0);
		CHECK_INT(cx_store_collect(s, 1000, &gone, NULL), 0);   /* their namespace is gone */
		CHECK_INT(gone.left + (size_t)store_count("tmp"), 0);
		CHECK_INT(store_count("quarantine"), 1);
	}
	store_end(s);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("no tmpfs may be mounted here");
}

static int write_too_much(void *data)
{
	static char block[8192];
	struct rlimit limit = { 20000, 20000 };
	struct cx_store *s = store_open();
	struct cx_store_lease *l = store_lease(s, CX_LEASE_PROCESS);
	struct cx_ingest *i = NULL;

	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	if (cx_ingest_begin(l, data, 1 << 20, 0, &i, NULL) != 0)
		return 1;
	if (cx_ingest_append(i, block, 8192, NULL) != 0 || cx_ingest_append(i, block, 8192, NULL) != 0
	    || cx_ingest_append(i, block, 8192, NULL) != -EFBIG)
		return 2;
	return i->have != 16384 || cx_store_partial(s, data) != 16384;  /* not 20000 */
}

TEST(file_too_large)
{
	struct cx_store *s = store_new();
	struct cx_digest want = store_hash("whatever", 8);

	CHECK_INT(reap(start(write_too_much, &want)), 0);
	store_end(s);
}

/* ---- removing what strangers made ---- */

TEST(deep_trees)
{
	char outside[80], canary[100];
	struct cx_store *s = store_new();
	int dir, next;

	snprintf(outside, sizeof outside, "%s-outside", store_path);
	snprintf(canary, sizeof canary, "%s/canary", outside);
	CHECK(mkdir(outside, 0700) == 0 && cx_store_write(AT_FDCWD, canary, "x", 0) == 0);
	CHECK_INT(mkdirat(s->root, "tmp/deep", 0700), 0);
	dir = openat(s->root, "tmp/deep", O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 3000; i++) {
		if (i % 100 == 0) {
			CHECK(symlinkat(outside, dir, "link") == 0 && mkdirat(dir, ".moved-1", 0700) == 0);
			CHECK(mkfifoat(dir, "fifo", 0) == 0 && cx_store_write(dir, "\n*\xff", "x", 0) == 0);
		}
		mkdirat(dir, "d", 0700);
		next = openat(dir, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (i % 7 == 0 || i == 12)
			fchmod(dir, 0);
		close(dir);
		dir = next;
	}
	close(dir);
	CHECK_INT(cx_store_remove(s->root, "tmp/deep"), 0);
	CHECK_INT(store_count("tmp"), 0);
	CHECK_INT(mkdirat(s->root, "tmp/wide", 0700), 0);
	for (int i = 0; i < 5000; i++) {
		char name[64];

		snprintf(name, sizeof name, "tmp/wide/%d", i);
		CHECK(i % 5 ? symlinkat("x", s->root, name) == 0 : mkdirat(s->root, name, 0) == 0);
	}
	CHECK_INT(cx_store_remove(s->root, "tmp/wide"), 0);
	CHECK_INT(store_count("tmp"), 0);
	CHECK_INT(cx_store_remove(s->root, "tmp/deep"), 0);             /* gone is fine */
	CHECK(access(canary, F_OK) == 0);
	CHECK(symlinkat(outside, s->root, "tmp/link") == 0 && cx_store_remove(s->root, "tmp/link") == 0);
	CHECK(access(canary, F_OK) == 0);
	cx_store_remove(AT_FDCWD, outside);
	store_end(s);
}

int main(void)
{
	RUN(verified);
	RUN(synced);
	RUN(full_disk);
	RUN(no_inodes);
	RUN(file_too_large);
	RUN(deep_trees);
	RUN(mount_traps);
	return test_end();
}
