/* Directories: the way to an entry, as a few descriptors that stay open while entries come from one place, as they do;
 * and what each directory shall be in the end, which is set when nothing is put into it any more. */
#include "image/worker/tree.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include "base/kernel.h"
#include "image/worker/stack.h"

enum { DIRECTORY = O_RDONLY | O_DIRECTORY | O_CLOEXEC };

/* ---- the way to an entry ------------------------------------------------------------------------ */

static void pop(struct cx_dirs *d, unsigned depth)
{
	while (d->depth > depth)
		cx_closep(&d->levels[--d->depth].fd);
}

void cx_dirs_forget(struct cx_dirs *d)
{
	pop(d, 0);
	d->by_link = d->stale = 0;
}

void cx_dirs_removed(struct cx_tree *t, int was_directory)
{
	t->dirs.stale |= was_directory || t->dirs.by_link;
	t->links.stale |= was_directory || t->links.by_link;
}

/* Ways deeper than CX_LEVELS keep only their last directory besides the upper ones. */
static void push(struct cx_dirs *d, const char *path, size_t end, int fd)
{
	if (d->depth == CX_LEVELS)
		pop(d, CX_LEVELS - 1);
	memcpy(d->path, path, end);
	d->levels[d->depth].end = end;
	d->levels[d->depth++].fd = fd;
}

/* How many of the open levels lie on this way, too. */
static unsigned common(const struct cx_dirs *d, const char *path, size_t size)
{
	unsigned n = 0;
	size_t at = 0;

	for (; n < d->depth; n++) {
		size_t end = d->levels[n].end;

		if (end > size || memcmp(d->path + at, path + at, end - at) || (end < size && path[end] != '/'))
			break;
		at = end;
	}
	return n;
}

static void name_of(const struct cx_path *path, size_t size, char name[NAME_MAX + 1])
{
	const char *slash = memrchr(path->text, '/', size);
	size_t from = slash ? (size_t)(slash - path->text) + 1 : 0;

	memcpy(name, path->text + from, size - from);
	name[size - from] = '\0';
}


int cx_dirs_make(struct cx_tree *t, int parent, const struct cx_path *path, size_t size)
{
	char name[NAME_MAX + 1];
	struct stat st;
	int r, opaque;

	name_of(path, size, name);
	if (mkdirat(parent, name, 0700) == 0)
		return 1;
	if (errno != EEXIST || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return 0;
	opaque = cx_whiteout_is(t, parent, name, st.st_mode, st.st_rdev);
	r = cx_tree_clear(t, parent, name);
	if (r == 0)
		r = mkdirat(parent, name, 0700) == 0 ? 1 : -errno;
	if (r == 1 && opaque) {
		cx_autoclose int fd = openat(parent, name, DIRECTORY | O_NOFOLLOW);
		int set = fd < 0 ? -errno : cx_whiteout_opaque(t, fd, "y");

		r = set < 0 ? set : 1;
	}
	return r;
}

/* The directory is new: noted as nobody has described it yet, and opened. */
static int make_implied(struct cx_tree *t, int parent, const struct cx_path *path, size_t size, const char *name)
{
	cx_autoclose int fd = -1;
	int r = cx_dirs_make(t, parent, path, size);

	if (r < 0)
		return r;
	fd = openat(parent, name, DIRECTORY | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	r = cx_dirs_note_implied(t, fd, path->text, size);
	return r < 0 ? r : cx_steal_fd(&fd);
}

/* Something that is no directory stands where one should be: a link is followed, but never out of the tree. */
static int detour(struct cx_tree *t, struct cx_dirs *d, int parent, const struct cx_path *path, size_t size,
	const char *name, int create)
{
	char prefix[PATH_MAX];
	struct stat st;
	int fd;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (create && cx_whiteout_is(t, parent, name, st.st_mode, st.st_rdev))
		return make_implied(t, parent, path, size, name);
	if (!S_ISLNK(st.st_mode))
		return -ENOTDIR;
	memcpy(prefix, path->text, size);
	prefix[size] = '\0';
	fd = cx_sys_openat2(t->root, prefix, DIRECTORY, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	d->by_link |= fd >= 0;
	return fd < 0 ? -errno : fd;
}

/* One component further: its directory's descriptor. */
static int step(struct cx_tree *t, struct cx_dirs *d, int parent, const struct cx_path *path, size_t size, int create)
{
	char name[NAME_MAX + 1];
	struct stat st;
	int fd;

	name_of(path, size, name);
	fd = openat(parent, name, DIRECTORY | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT && create)
		fd = make_implied(t, parent, path, size, name);
	else if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		fd = detour(t, d, parent, path, size, name, create);
	else if (fd < 0)
		fd = -errno;
	if (fd >= 0 && t->tracks && create && (fstat(fd, &st) < 0 || cx_inodes_add(&t->inodes, st.st_ino) < 0)) {
		close(fd);
		return -ENOMEM;
	}
	return fd;
}

int cx_dirs_open(struct cx_tree *t, struct cx_dirs *d, const struct cx_path *path, size_t size, int create)
{
	size_t at;
	int fd;

	if (d->stale)
		cx_dirs_forget(d);
	pop(d, common(d, path->text, size));
	fd = d->depth ? d->levels[d->depth - 1].fd : t->root;
	at = d->depth ? d->levels[d->depth - 1].end : 0;
	while (at < size) {
		at += at > 0;
		at += strcspn(path->text + at, "/");
		fd = step(t, d, fd, path, at, create);
		if (fd < 0)
			return fd;
		push(d, path->text, at, fd);
	}
	return fd;
}

/* ---- what they shall be ------------------------------------------------------------------------- */

int cx_dirs_note(struct cx_tree *t, const char *path, size_t size, ino_t ino, struct cx_attributes *a)
{
	struct cx_dir_records *all = &t->records;

	all->memory += sizeof *all->list + size + cx_xattrs_size(&a->xattrs);
	if (all->memory > t->options.limits.memory)
		return -E2BIG;
	if (all->count == all->capacity) {
		size_t capacity = all->capacity ? 2 * all->capacity : 256;
		void *more = reallocarray(all->list, capacity, sizeof *all->list);

		if (!more)
			return -ENOMEM;
		all->list = more;
		all->capacity = capacity;
	}
	all->list[all->count] = (struct cx_dir_record){ .path = strndup(path, size), .index = all->count, .ino = ino,
		.attributes = *a };
	if (!all->list[all->count].path)
		return -ENOMEM;
	a->xattrs.first = NULL;
	all->count++;
	return 0;
}

int cx_dirs_note_implied(struct cx_tree *t, int fd, const char *path, size_t size)
{
	struct cx_attributes a = { .mode = 0755, .uid = t->uid, .gid = t->gid,
		.times = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } } };
	struct stat st;
	uint32_t id;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (cx_map_id(t, 0, 0, &id) == 0)
		a.uid = id;
	if (cx_map_id(t, 1, 0, &id) == 0)
		a.gid = id;
	r = cx_dirs_note(t, path, size, st.st_ino, &a);
	if (r == 0 && t->options.implied)
		t->records.list[t->records.count - 1].is_open = !cx_whiteout_hides(t, fd);
	return r;
}

/* Backwards, so that what is below comes first: the way there may be closed afterwards. */
static int order(const void *a, const void *b)
{
	const struct cx_dir_record *x = a, *y = b;
	int r = strcmp(y->path, x->path);

	return r ? r : x->index < y->index ? 1 : -1;
}

/* The way there without links: layers below know nothing of this one's. */
static int hand_out(struct cx_tree *t, const struct cx_dir_record *record)
{
	const struct cx_stack tree = { .trees = &t->root, .count = 1 };
	const char *path = record->path;
	char straight[PATH_MAX];

	if (!record->is_open)
		return 0;
	if (t->dirs.by_link) {
		if (cx_stack_resolve(&tree, path, straight) < 0)
			return 0;
		path = straight;
	}
	return cx_str_add(t->options.implied, path, strlen(path) + 1) < 0 ? cx_fail_memory(t->err) : 0;
}

static int finish_one(struct cx_tree *t, const struct cx_dir_record *record)
{
	struct stat st;
	int parent, r;

	r = cx_path_read(t, *record->path ? record->path : ".", &t->path);
	if (r < 0)
		return r;
	if (!*record->path) {
		r = cx_attributes_set_fd(t, t->root, &record->attributes, 0700);
		return r < 0 ? r : hand_out(t, record);
	}
	parent = cx_dirs_open(t, &t->dirs, &t->path, t->path.parent, 0);
	if (parent == -ENOENT || parent == -ENOTDIR)
		return 0;       /* gone since */
	if (parent < 0)
		return cx_tree_fail(t, parent, "openat", NULL, record->path);
	if (fstatat(parent, t->path.name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode)
		|| st.st_ino != record->ino)
		return 0;       /* something else by now */
	r = cx_attributes_set_at(t, parent, t->path.name, S_IFDIR, &record->attributes);
	return r < 0 ? cx_tree_fail(t, r, NULL, NULL, record->path) : hand_out(t, record);
}

int cx_dirs_finish(struct cx_tree *t)
{
	struct cx_dir_records *all = &t->records;
	int r = 0;

	qsort(all->list, all->count, sizeof *all->list, order);
	for (size_t i = 0; r == 0 && i < all->count; i++)
		if (i == 0 || strcmp(all->list[i].path, all->list[i - 1].path))
			r = finish_one(t, &all->list[i]);
	return r;
}

void cx_dirs_free(struct cx_tree *t)
{
	cx_dirs_forget(&t->dirs);
	cx_dirs_forget(&t->links);
	for (size_t i = 0; i < t->records.count; i++) {
		free(t->records.list[i].path);
		cx_attributes_free(&t->records.list[i].attributes);
	}
	free(t->records.list);
	t->records = (struct cx_dir_records){ .list = NULL };
}
