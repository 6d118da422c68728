/* Owner, mode and times: what an entry says, and setting it. Xattrs and ACLs are xattrs.c's. */
#include "image/worker/tree.h"

#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

int cx_map_id(struct cx_tree *t, int group, int64_t id, uint32_t *ret)
{
	const struct cx_id_range *r = group ? t->options.gids : t->options.uids;
	size_t n = group ? t->options.gid_count : t->options.uid_count;

	if (id < 0 || id >= UINT32_MAX)
		return -EINVAL;         /* the last one means "none" to the kernel */
	*ret = t->options.flags & CX_UNPACK_SQUASH ? (group ? t->gid : t->uid) : (uint32_t)id;
	if (t->options.flags & CX_UNPACK_SQUASH || n == 0)
		return 0;
	for (; n > 0; n--, r++)
		if ((uint32_t)id >= r->inside && (uint32_t)id - r->inside < r->count) {
			*ret = r->outside + ((uint32_t)id - r->inside);
			return 0;
		}
	return -EINVAL;
}

static int read_ids(struct cx_tree *t, struct archive_entry *e, struct cx_attributes *ret)
{
	int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e);
	uint32_t mapped[2];
	char hint[128];

	if (cx_map_id(t, 0, uid, &mapped[0]) < 0 || cx_map_id(t, 1, gid, &mapped[1]) < 0) {
		snprintf(hint, sizeof hint, "its owner %lld:%lld has no id here: a larger id map, or CX_UNPACK_SQUASH",
			(long long)uid, (long long)gid);
		return cx_tree_fail(t, -EINVAL, NULL, hint, archive_entry_pathname(e));
	}
	ret->uid = mapped[0];
	ret->gid = mapped[1];
	return 0;
}

/* libarchive reads PAX's "-1.5" as -1 and half a second more; it is half a second less. */
static struct timespec time_of(int is_set, time_t seconds, long ns)
{
	if (!is_set)
		return (struct timespec){ .tv_nsec = 0 };
	if (seconds < 0 && ns > 0 && ns < 1000000000)
		return (struct timespec){ .tv_sec = seconds - 1, .tv_nsec = 1000000000 - ns };
	return (struct timespec){ .tv_sec = seconds, .tv_nsec = ns >= 0 && ns < 1000000000 ? ns : 0 };
}

int cx_attributes_read(struct cx_tree *t, struct archive_entry *e, struct cx_attributes *ret)
{
	int r;

	*ret = (struct cx_attributes){ .mode = archive_entry_perm(e) & 07777 };
	ret->times[1] = time_of(archive_entry_mtime_is_set(e), archive_entry_mtime(e), archive_entry_mtime_nsec(e));
	ret->times[0] = archive_entry_atime_is_set(e) ? time_of(1, archive_entry_atime(e), archive_entry_atime_nsec(e))
		: ret->times[1];
	r = read_ids(t, e, ret);
	if (r == 0)
		r = cx_xattrs_read(t, e, ret);
	if (r < 0)
		cx_attributes_free(ret);
	return r;
}

void cx_attributes_free(struct cx_attributes *a)
{
	cx_xattrs_free(&a->xattrs);
}

/* Owner first: changing it clears setuid and capabilities. Times last. */
int cx_attributes_set_fd(struct cx_tree *t, int fd, const struct cx_attributes *a, mode_t is)
{
	int r;

	if ((a->uid != t->uid || a->gid != t->gid) && fchown(fd, a->uid, a->gid) < 0)
		return cx_tree_errno(t, "fchown", t->path.text);
	if (a->mode != is && fchmod(fd, a->mode) < 0)
		return cx_tree_errno(t, "fchmod", t->path.text);
	r = a->xattrs.first ? cx_xattrs_set(t, fd, -1, NULL, &a->xattrs) : 0;
	if (r < 0)
		return r;
	return futimens(fd, a->times) == 0 ? 0 : cx_tree_errno(t, "futimens", t->path.text);
}

/* The name is new or known to be a directory, and nobody else writes here: only a link must not be followed. */
int cx_attributes_set_at(struct cx_tree *t, int parent, const char *name, mode_t type, const struct cx_attributes *a)
{
	const int flags = AT_SYMLINK_NOFOLLOW;
	int r;

	if ((a->uid != t->uid || a->gid != t->gid) && fchownat(parent, name, a->uid, a->gid, flags) < 0)
		return cx_tree_errno(t, "fchownat", t->path.text);
	if (type != S_IFLNK && fchmodat(parent, name, a->mode, 0) < 0)
		return cx_tree_errno(t, "fchmodat", t->path.text);
	r = a->xattrs.first ? cx_xattrs_set(t, -1, parent, name, &a->xattrs) : 0;
	if (r < 0)
		return r;
	return utimensat(parent, name, a->times, flags) == 0 ? 0 : cx_tree_errno(t, "utimensat", t->path.text);
}
