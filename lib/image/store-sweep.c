/* Sweeping: what was thrown into tmp/ is removed, by a process that nobody waits for and that may (in a rootless store
 * trees have others' ids: the worker, in the user namespace that has them). */
#include "image/store-inside.h"

static const char trash[] = "trash-";

int cx_store_throw(int root, const char *path)
{
	char to[CX_STORE_PATH];
	int r = cx_store_temporary("trash", to);

	return r < 0 ? r : renameat(root, path, root, to) < 0 ? -errno : 0;
}

static int is_trash(const char *name)
{
	return !strncmp(name, trash, sizeof trash - 1);
}

int cx_store_has_trash(const struct cx_store *s)
{
	cx_autoclose int dir = cx_store_folder(s, "tmp");
	cx_autofree char **names = NULL;
	int n = dir < 0 ? 0 : cx_state_names(dir, 1, &names);

	for (int i = 0; i < n; i++)
		if (is_trash(names[i]))
			return 1;
	return 0;
}

/* A collection makes and locks its own while it has the store to itself: with the store's lock shared there is none
 * that isn't locked yet. -errno: somebody is at it */
static int take(const struct cx_store *s, const char *path)
{
	cx_autoclose int lock = cx_store_lock(s, LOCK_SH), dir = -1;
	int r;

	if (lock < 0)
		return lock;
	dir = cx_store_folder(s, path);
	if (dir < 0)
		return dir;
	r = cx_store_flock(dir, LOCK_EX | LOCK_NB);
	return r < 0 ? r : cx_steal_fd(&dir);
}

/* 1: it is gone; 0: it isn't ours; -errno: it can't be removed. */
static int sweep_one(const struct cx_store *s, const char *name)
{
	char path[CX_STORE_PATH + 256];
	cx_autoclose int held = -1;
	int r;

	snprintf(path, sizeof path, "tmp/%s", name);
	held = take(s, path);
	if (held < 0)
		return 0;
	r = cx_store_remove(s->root, path);
	return r < 0 ? r : 1;
}

/* One look at what is there. How many went; *ret_left: how many could not. */
static int sweep_all(const struct cx_store *s, int *ret_left)
{
	cx_autoclose int dir = cx_store_folder(s, "tmp");
	cx_autofree char **names = NULL;
	int n = dir < 0 ? dir : cx_state_names(dir, 1, &names), gone = 0;

	*ret_left = 0;
	for (int i = 0; i < n; i++) {
		int r = is_trash(names[i]) ? sweep_one(s, names[i]) : 0;

		gone += r > 0;
		*ret_left += r < 0;
	}
	return n < 0 ? n : gone;
}

int cx_store_sweep(struct cx_store *s, conex_error **err)
{
	int left, r;

	do
		r = sweep_all(s, &left);
	while (r > 0);
	return r < 0 ? cx_store_fail(err, s, r, "readdir", "tmp") : left;
}
