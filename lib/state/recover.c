/* Undoing: a journal played backwards, by the container's end, by conex-undo, or by
 * whoever opens a context after its owner has died. Every entry may have been played
 * before: an undo of what is gone succeeds. */
#include "state/inside.h"
#include "base/path.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 16 };

/* Unlocks before it closes: a copy in a fork of the host would hold the lock on. */
static void unlockp(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		flock(*fd, LOCK_UN);
	errno = saved;
	cx_closep(fd);
}

static int first_error(int so_far, int r)
{
	return so_far < 0 || r >= 0 ? so_far : r;
}

/* An fd of `name` in `dir`, locked, and still what bears that name. -EBUSY: somebody else
 * has it. */
static int open_locked(int dir, const char *name, int flags, int lock)
{
	cx_cleanup(unlockp) int fd = openat(dir, name,
		flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat mine, there;

	if (fd < 0)
		return -errno;
	while (flock(fd, lock) < 0)
		if (errno != EINTR)
			return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (fstat(fd, &mine) < 0 || fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (mine.st_ino != there.st_ino || mine.st_dev != there.st_dev)
		return -ENOENT; /* it was undone meanwhile; this is a new one */
	return cx_steal_fd(&fd);
}

/* Backwards, and only files if the boot is another one: pids and cgroups of that name are
 * others now. Stops where it must be tried later, since what comes before may be in use;
 * goes on after other errors. */
static int play_all(const struct cx_record *r, int other_boot, cx_play_fn play,
	void *data)
{
	int result = 0;

	for (size_t n = cx_record_count(r); n-- > 0;) {
		enum cx_op_code code;
		const char *text;
		int e;

		if (!cx_record_undo(r, n, &code, &text)
			|| (other_boot && code != CX_OP_undo_unlink))
			continue;
		e = code == CX_OP_none ? -EOPNOTSUPP : play(code, text, data);
		if (e == -EBUSY)
			return e;
		result = first_error(result, e);
	}
	return result;
}

static int other_boot(const struct cx_state *s, const struct cx_record *r)
{
	const struct cx_owner *creator;

	return strcmp(cx_record_where(r, &creator)->boot, s->here.boot) != 0;
}

static int parse_owner(const char *text, struct cx_owner *ret)
{
	unsigned long long start;
	int pid;

	if (!text || sscanf(text, "%d %llu", &pid, &start) != 2)
		return 0;
	*ret = (struct cx_owner){ .pid = pid, .start = start };
	return 1;
}

enum who { EVERYBODY, THE_DEAD, THE_DEAD_DESPITE_KEEPER };

/* May this journal be undone by us now, without being asked to by its owner? */
static int is_orphan(const struct cx_state *s, const struct cx_record *r, enum who whose)
{
	const struct cx_owner *creator;
	const struct cx_where *there = cx_record_where(r, &creator);
	const char *note = cx_record_note(r, "owner");
	struct cx_owner owner = *creator, keeper;

	if (whose == EVERYBODY || other_boot(s, r))
		return 1;
	/* released: lives until it is deleted. Or not understood. */
	if (note && !parse_owner(note, &owner))
		return 0;
	if (cx_where_alive(&s->here, there, &owner))
		return 0;
	return whose == THE_DEAD_DESPITE_KEEPER
		|| !parse_owner(cx_record_note(r, "keeper"), &keeper)
		|| !cx_where_alive(&s->here, there, &keeper);
}

static void record_freep(struct cx_record **r)
{
	cx_record_free(*r);
}

/* One journal, under its lock, so that each entry is played once however many try. 0:
 * undone, or not to be undone, or gone. */
static int undo_one(struct cx_state *s, const char *id, enum who whose, cx_play_fn play,
	void *data)
{
	cx_cleanup(record_freep) struct cx_record *record = NULL;
	cx_cleanup(unlockp) int fd = open_locked(s->containers, id, O_RDONLY,
		LOCK_EX | LOCK_NB);
	int r;

	if (fd < 0) /* ENXIO: a socket, ELOOP: a link; no journals */
		return fd == -ENOENT || fd == -ENXIO || fd == -ELOOP ? 0 : fd;
	r = cx_record_load(fd, &record);
	if (r == -EBADMSG && whose == EVERYBODY) /* says nothing that could be undone */
		return unlinkat(s->containers, id, 0) < 0 && errno != EISDIR ? -errno : 0;
	if (r < 0)
		return whose == EVERYBODY ? r : 0;
	if (!is_orphan(s, record, whose))
		return 0;
	/* The owner may have written a last word behind what was read ("released"), and ended then. Now that he is dead
	 * it is final. */
	record_freep(&record);
	record = NULL;
	r = cx_record_load(fd, &record);
	if (r < 0 || !is_orphan(s, record, whose))
		return r == -EBADMSG ? 0 : r;
	r = play_all(record, other_boot(s, record), play, data);
	if (r < 0)
		return r;
	return unlinkat(s->containers, id, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int cx_state_undo(struct cx_state *s, const char *id, cx_play_fn play, void *data)
{
	if (!cx_state_good_id(id) || s->containers < 0)
		return -ENOENT;
	return undo_one(s, id, EVERYBODY, play, data);
}

static int undo_many(struct cx_state *s, enum who whose, cx_play_fn play, void *data)
{
	cx_autofree char **ids = NULL;
	int result = 0, n;

	if (s->containers < 0)
		return 0;
	n = cx_state_names(s->containers, 0, &ids);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++)
		result = first_error(result, undo_one(s, ids[i], whose, play, data));
	cx_state_sweep(s->containers);
	return result;
}

/* Whatever may lie there now, a mount is somebody's data: not entered, not removed. */
static int is_mount(int fd)
{
	struct statx st;

	return statx(fd, "", AT_EMPTY_PATH, 0, &st) < 0
		|| (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static int clear_names(int dir, int depth, char **names, int n);

static int clear_directory(int dir, const char *name, int depth)
{
	cx_autoclose int fd = openat(dir, name,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	cx_autofree char **names = NULL;
	int n;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (is_mount(fd) || depth > MAX_DEPTH)
		return -EBUSY;
	n = cx_state_names(fd, 1, &names);
	if (n < 0)
		return n;
	n = clear_names(fd, depth, names, n);
	if (n < 0)
		return n;
	return unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

static int clear_names(int dir, int depth, char **names, int n)
{
	int result = 0;

	for (int i = 0; i < n; i++) {
		if (depth == 0 && !strcmp(names[i], "owner"))
			continue;
		if (unlinkat(dir, names[i], 0) == 0 || errno == ENOENT)
			continue;
		result = first_error(result, errno != EISDIR ? -errno
			: clear_directory(dir, names[i], depth + 1));
	}
	return result;
}

int cx_state_clear(int dir)
{
	cx_autofree char **names = NULL;
	int n = cx_state_names(dir, 1, &names);

	return n < 0 ? n : clear_names(dir, 0, names, n);
}

/* All that a private directory's journals name, then itself. "owner" goes last: while it
 * is there, the next one can finish what we didn't. `fd` is locked, and stays the
 * caller's. */
static int empty_private(int fd, const char *path, cx_play_fn play, void *data)
{
	struct cx_state *s;
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = copy < 0 ? -errno : cx_state_adopt(copy, path, &s);

	if (r < 0)
		return r;
	r = undo_many(s, EVERYBODY, play, data);
	if (r == 0)
		r = cx_state_clear(fd);
	cx_state_close(s, 0);
	if (r < 0)
		return r;
	unlinkat(fd, "owner", 0);
	return rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* PID-START-PIDNS-NOISE: 1 if `name` is one. */
static int parse_name(const char *name, struct cx_owner *owner,
	unsigned long long *pid_ns)
{
	unsigned long long start, noise;
	int pid;

	if (sscanf(name, "%d-%llu-%llu-%llx", &pid, &start, pid_ns, &noise) != 4
		|| pid <= 0)
		return 0;
	*owner = (struct cx_owner){ .pid = pid, .start = start };
	return 1;
}

/* By the file "owner"; where it is missing (killed between mkdir and write), by name. */
static int private_is_alive(const struct cx_state *s, int fd, const char *name)
{
	char text[CX_WHERE_TEXT];
	struct cx_where there = s->here;
	struct cx_owner owner;

	if (cx_file_read(fd, "owner", text, sizeof text) > 0
		&& cx_where_parse(text, &there, &owner) == 0)
		return cx_where_alive(&s->here, &there, &owner);
	if (!parse_name(name, &owner, &there.pid_ns))
		return 1;
	there.time_ns = 0; /* not known: only the pid counts */
	return cx_where_alive(&s->here, &there, &owner);
}

static int recover_private(const struct cx_state *s, int base, const char *name,
	cx_play_fn play, void *data)
{
	cx_cleanup(unlockp) int fd = -1;
	cx_autofree char *path = NULL;
	struct cx_owner owner;
	unsigned long long pid_ns;
	struct stat st;

	/* Most are alive: one look at /proc, nothing is opened. */
	if (!parse_name(name, &owner, &pid_ns)
	    || (pid_ns == s->here.pid_ns && cx_process_start(owner.pid) == owner.start))
		return 0;
	fd = open_locked(base, name, O_RDONLY | O_DIRECTORY, LOCK_EX | LOCK_NB);
	if (fd < 0)
		return fd == -EBUSY || fd == -ENOENT ? 0 : fd; /* somebody is at it */
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || private_is_alive(s, fd, name))
		return 0;
	if (asprintf(&path, "%s/%s", s->base, name) < 0)
		return -ENOMEM;
	return empty_private(fd, path, play, data);
}

static int recover_base(const struct cx_state *s, cx_play_fn play, void *data)
{
	cx_autoclose int base = open(s->base,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	cx_autofree char **names = NULL;
	struct stat st;
	int result = 0, n;

	if (base < 0 || fstat(base, &st) < 0 || st.st_uid != geteuid()
	    || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return 0; /* nothing of ours can be in it */
	n = cx_state_names(base, 0, &names);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++)
		result = first_error(result,
			recover_private(s, base, names[i], play, data));
	return result;
}

int cx_state_recover(struct cx_state *s, cx_play_fn play, void *data)
{
	int r = 0, e;

	if (s->read_only)
		return 0;
	if (s->base)
		r = recover_base(s, play, data);
	if (s->is_private)
		return r;
	e = undo_many(s, THE_DEAD, play, data);
	return first_error(r, e == -EBUSY ? 0 : e);
}

int cx_state_recover_path(const char *path, cx_play_fn play, void *data)
{
	cx_cleanup(unlockp) int fd = -1;
	struct cx_state *s;
	struct stat st;
	int r;

	/* waits: the other may have to give up */
	fd = open_locked(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, LOCK_EX);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid()
		|| (st.st_mode & (S_IWGRP | S_IWOTH)))
		return -EPERM;
	if (faccessat(fd, "owner", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return empty_private(fd, path, play, data);
	r = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = r < 0 ? -errno : cx_state_adopt(r, path, &s);
	if (r < 0)
		return r;
	r = undo_many(s, THE_DEAD_DESPITE_KEEPER, play, data);
	cx_state_close(s, 0);
	return r;
}
