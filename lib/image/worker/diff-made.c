/* What the runtime has put into an upper directory before the container's program ran: places to mount on, and
 * directories on their way. It isn't the container's, nobody would look for it in an image. */
#include "image/worker/diff.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

int cx_diff_is_made(const struct cx_diff *d)
{
	for (size_t i = 0; i < d->made_count; i++)
		if (!strcmp(d->made[i], d->path))
			return 1;
	return 0;
}

int cx_diff_leads_to_made(const struct cx_diff *d)
{
	for (size_t i = 0; i < d->made_count; i++)
		if (!strncmp(d->made[i], d->path, d->size) && (!d->size || d->made[i][d->size] == '/'))
			return 1;
	return 0;
}

/* Of two directories the owner, mode and xattrs, which stand in the same order. */
static int is_alike(struct archive_entry *a, struct archive_entry *b)
{
	const char *name[2];
	const void *value[2];
	size_t size[2];

	if (archive_entry_uid(a) != archive_entry_uid(b) || archive_entry_gid(a) != archive_entry_gid(b)
		|| archive_entry_perm(a) != archive_entry_perm(b) || archive_entry_xattr_reset(a) != archive_entry_xattr_reset(b))
		return 0;
	while (archive_entry_xattr_next(a, &name[0], &value[0], &size[0]) == ARCHIVE_OK) {
		archive_entry_xattr_next(b, &name[1], &value[1], &size[1]);
		if (strcmp(name[0], name[1]) || size[0] != size[1] || memcmp(value[0], value[1], size[0]))
			return 0;
	}
	return 1;
}

/* Where no layer has it the runtime made it: 0755, root's. Its time alone tells nothing, making something in it did that. */
int cx_diff_is_untouched(struct cx_diff *d, struct archive_entry *e)
{
	struct archive_entry *below;
	struct stat st;
	int fd = cx_stack_find(d->stack, 1, d->path, &st), r;
	cx_autoclose int found = fd, open = -1;

	if (fd == -ENOENT)
		return !archive_entry_uid(e) && !archive_entry_gid(e) && archive_entry_perm(e) == 0755
			&& !archive_entry_xattr_count(e);
	if (fd < 0)
		return cx_diff_fail(d, fd, "openat2", "it is of the image");
	if (!S_ISDIR(st.st_mode))
		return 0;
	open = openat(found, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (open < 0)
		return cx_diff_errno(d, "open");
	r = cx_diff_describe(d, &st, open, -1, NULL, &below);
	if (r < 0)
		return r;
	r = is_alike(e, below);
	archive_entry_free(below);
	return r;
}

static int has(int fd, const char *name)
{
	return fgetxattr(fd, name, NULL, 0) >= 0;
}

/* Our mounts say redirect_dir=off; others' uppers needn't be like that. */
int cx_diff_is_whole(struct cx_diff *d, int fd)
{
	if (has(fd, "trusted.overlay.redirect") || has(fd, "trusted.overlay.metacopy"))
		return cx_diff_fail(d, -EOPNOTSUPP, NULL, "what is in it lies elsewhere in the image (overlay's redirect_dir, metacopy): "
			"put a copy in its place");
	return 0;
}

int cx_diff_hides(struct cx_diff *d, int fd)
{
	struct stat st;
	char is;
	int below;

	if (fgetxattr(fd, "trusted.overlay.opaque", &is, 1) != 1 || is != 'y')
		return 0;
	below = cx_stack_find(d->stack, 1, d->path, &st);
	if (below < 0)
		return below == -ENOENT ? 0 : cx_diff_fail(d, below, "openat2", "it is of the image");
	close(below);
	return S_ISDIR(st.st_mode);
}
