/* The directory of a context: made, checked, let go; and who is alive. The other files of
 * state/ write into it (journal.c, specs.c), read it (record.c) and empty those of the
 * dead (recover.c). */
#include "state/inside.h"
#include "base/kernel.h"
#include "base/path.h"

#include <dirent.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SYSTEM_BASE "/run/conex"

int cx_owner_self(struct cx_owner *ret)
{
	struct cx_owner self = { .pid = getpid() };
	char text[16] = "";

	errno = 0;
	self.start = cx_process_start(self.pid);
	if (!self.start && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return -errno;
	/* In a new pid namespace with the old /proc our pid is somebody else's there. */
	if (readlink("/proc/self", text, sizeof text - 1) < 0 || atoi(text) != self.pid
		|| !self.start)
		return -ENXIO;
	*ret = self;
	return 0;
}

int cx_owner_alive(const struct cx_owner *o)
{
	struct pollfd p = { .events = POLLIN };
	cx_autoclose int fd = -1;
	char path[32];
	uint64_t start;

	if (o->pid <= 0 || (kill(o->pid, 0) < 0 && errno == ESRCH))
		return 0;
	start = cx_process_start(o->pid);
	if (start)
		return start == o->start;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)o->pid);
	if (access(path, R_OK) == 0) /* a zombie */
		return 0;
	/* Gone just now, or (hidepid, not dumpable) hidden from us: a pidfd tells. */
	fd = cx_sys_pidfd_open(o->pid, 0);
	if (fd < 0)
		return errno != ESRCH && errno != EINVAL && errno != ENOENT;
	p.fd = fd;
	return poll(&p, 1, 0) == 0;
}

int cx_where_here(struct cx_where *ret)
{
	struct cx_where w = { .time_ns = 0 };
	struct stat st;
	ssize_t n = cx_file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", w.boot,
		sizeof w.boot);

	if (n != sizeof w.boot - 1)
		return n < 0 ? (int)n : -EIO;
	if (stat("/proc/self/ns/pid", &st) < 0)
		return -errno;
	w.pid_ns = st.st_ino;
	if (stat("/proc/self/ns/time", &st) == 0)
		w.time_ns = st.st_ino;
	*ret = w;
	return 0;
}

void cx_where_print(const struct cx_where *w, const struct cx_owner *o,
	char text[CX_WHERE_TEXT])
{
	snprintf(text, CX_WHERE_TEXT,
		"boot=%s pidns=%llu timens=%llu pid=%d start=%llu\n", w->boot,
		w->pid_ns, w->time_ns, (int)o->pid, (unsigned long long)o->start);
}

int cx_where_parse(const char *text, struct cx_where *ret, struct cx_owner *ret_owner)
{
	struct cx_where w;
	unsigned long long start;
	int pid, end = 0;

	/* The newline comes last: without it the text was cut. */
	if (sscanf(text, "boot=%36s pidns=%llu timens=%llu pid=%d start=%llu%n", w.boot,
		&w.pid_ns, &w.time_ns, &pid, &start, &end) != 5 || strcmp(text + end, "\n"))
		return -EBADMSG;
	*ret = w;
	*ret_owner = (struct cx_owner){ .pid = pid, .start = start };
	return 0;
}

int cx_where_alive(const struct cx_where *here, const struct cx_where *there,
	const struct cx_owner *o)
{
	if (strcmp(here->boot, there->boot))
		return 0;
	if (here->pid_ns != there->pid_ns)
		return 1;
	/* start times can't be compared, only pids */
	if (here->time_ns != there->time_ns)
		return o->pid > 0 && !(kill(o->pid, 0) < 0 && errno == ESRCH);
	return cx_owner_alive(o);
}

/* An fd of a directory that is ours and nobody else's to write; -errno with the error
 * made. */
static int open_own(const char *path, int flags, conex_error **err)
{
	cx_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return cx_fail_errno(err, CONEX_STAGE_OPEN, "open",
			errno == EMFILE ? NULL
			: "give a directory that this user may use in conex_options.state",
			"%s", path);
	if (st.st_uid != geteuid())
		return cx_fail(err, CONEX_STAGE_OPEN, -EPERM, NULL,
			"what it says would be believed: give a directory of your own",
			"%s (owned by uid %u, we are %u)", path, st.st_uid, geteuid());
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return cx_fail(err, CONEX_STAGE_OPEN, -EPERM, NULL,
			"others could write what we'd believe: chmod go-w it",
			"%s (mode %04o)", path, st.st_mode & 07777);
	return cx_steal_fd(&fd);
}

/* containers/, made where missing; -1 is fine for a reader. 0, -errno. */
static int open_containers(struct cx_state *s)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

	s->containers = openat(s->fd, "containers", flags);
	if (s->containers >= 0 || (errno == ENOENT && s->read_only))
		return 0;
	if (errno != ENOENT
		|| (mkdirat(s->fd, "containers", 0700) < 0 && errno != EEXIST))
		return -errno;
	s->containers = openat(s->fd, "containers", flags);
	return s->containers < 0 ? -errno : 0;
}

static void state_freep(struct cx_state **s)
{
	cx_state_close(*s, 0);
}

static int state_new(struct cx_state **ret, conex_error **err)
{
	cx_cleanup(state_freep) struct cx_state *s = calloc(1, sizeof *s);
	int r;

	if (!s)
		return cx_fail_memory(err);
	s->fd = s->containers = -1;
	r = cx_owner_self(&s->self);
	if (r == 0)
		r = cx_where_here(&s->here);
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_OPEN, r, NULL,
			r == -ENXIO ? "mount the /proc of this pid namespace: mount -t proc proc /proc"
			: "close some descriptors, or raise RLIMIT_NOFILE",
			"/proc");
	*ret = cx_steal_ptr(&s);
	return 0;
}

/* $XDG_RUNTIME_DIR/conex; a set-user-id program doesn't believe its environment. 0,
 * -ENOENT. */
static int user_base(char to[PATH_MAX])
{
	const char *run = secure_getenv("XDG_RUNTIME_DIR");
	int n = run && run[0] == '/' ? snprintf(to, PATH_MAX, "%s/conex", run)
		: snprintf(to, PATH_MAX, "/run/user/%u/conex", geteuid());

	return n < PATH_MAX - 64 ? 0 : -ENOENT;
}

/* "123-456-4026531836-0123456789abcdef": enough to judge it by, should "owner" be
 * missing. */
static int private_name(struct cx_state *s, const char *base)
{
	unsigned long long noise;
	int r = cx_random(&noise, sizeof noise);

	if (r < 0)
		return r;
	r = asprintf(&s->path, "%s/%d-%llu-%llu-%016llx", base, (int)s->self.pid,
		(unsigned long long)s->self.start, s->here.pid_ns, noise);
	if (r >= 0)
		return 0;
	s->path = NULL; /* asprintf leaves it undefined */
	return -ENOMEM;
}

/* A new file of ours, all of it or none. */
static int write_new(int dir, const char *name, const void *data, size_t size)
{
	cx_autoclose int fd = openat(dir, name,
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, data, size);
	if (n == (ssize_t)size)
		return 0;
	n = n < 0 ? -errno : -ENOSPC;
	unlinkat(dir, name, 0);
	return (int)n;
}

/* The directory itself, once its name is known. */
static int fill_private(struct cx_state *s)
{
	char owner[CX_WHERE_TEXT];
	int r;

	if (mkdir(s->path, 0700) < 0)
		return -errno;
	s->is_private = 1;
	s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->fd < 0) {
		r = -errno;
		rmdir(s->path);
		return r;
	}
	cx_where_print(&s->here, &s->self, owner);
	r = write_new(s->fd, "owner", owner, strlen(owner));
	return r < 0 ? r : open_containers(s);
}

int cx_state_open_private_at(const char *base, struct cx_state **ret, conex_error **err)
{
	cx_cleanup(state_freep) struct cx_state *s = NULL;
	cx_autoclose int fd = -1;
	int r;

	/* 0711: users may reach what is theirs by name, none may list. */
	if (mkdir(base, 0711) < 0 && errno != EEXIST)
		return cx_fail_errno(err, CONEX_STAGE_OPEN, "mkdir",
			"set XDG_RUNTIME_DIR, or give a directory in conex_options.state",
			"%s", base);
	fd = open_own(base, O_NOFOLLOW, err);
	if (fd < 0)
		return fd;
	r = state_new(&s, err);
	if (r < 0)
		return r;
	s->base = strdup(base);
	r = s->base ? private_name(s, base) : -ENOMEM;
	if (r == 0)
		r = fill_private(s);
	if (r < 0) {
		cx_fail(err, CONEX_STAGE_OPEN, r, NULL, NULL, "private directory %s",
			s->path ? s->path : base);
		cx_state_close(cx_steal_ptr(&s), 1);
		return r;
	}
	*ret = cx_steal_ptr(&s);
	return 0;
}

static int may_go_elsewhere(int r)
{
	return (r == -EACCES || r == -EPERM || r == -EROFS || r == -ENOENT)
		&& secure_getenv("XDG_RUNTIME_DIR");
}

/* Root of a user namespace is root, but /run isn't his: then the user's own place will
 * do. */
static int open_private(struct cx_state **ret, conex_error **err)
{
	char base[PATH_MAX];

	if (geteuid() == 0) {
		conex_error *first = NULL;
		int r = cx_state_open_private_at(SYSTEM_BASE, ret, err ? &first : NULL);

		if (r < 0 && !may_go_elsewhere(r) && err) {
			conex_error_free(*err);
			*err = cx_steal_ptr(&first);
		}
		conex_error_free(first);
		if (r == 0 || !may_go_elsewhere(r))
			return r;
	}
	if (user_base(base) < 0)
		return cx_fail(err, CONEX_STAGE_OPEN, -ENAMETOOLONG, NULL,
			"set a shorter one", "XDG_RUNTIME_DIR");
	return cx_state_open_private_at(base, ret, err);
}

/* Where private directories lie that a user of a named one cleans up, too. */
static char *usual_base(void)
{
	char base[PATH_MAX];

	if (geteuid() == 0)
		return strdup(SYSTEM_BASE);
	return user_base(base) == 0 ? strdup(base) : NULL;
}

static int open_named(const char *named, int read_only, struct cx_state **ret,
	conex_error **err)
{
	cx_cleanup(state_freep) struct cx_state *s = NULL;
	int r = state_new(&s, err);

	if (r < 0)
		return r;
	s->read_only = read_only;
	s->base = usual_base();
	r = read_only ? 0 : cx_mkdirs(AT_FDCWD, named, 0700);
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_OPEN, r, "mkdir",
			"give a directory that this user may make in conex_options.state",
			"%s", named);
	/* Links on the way there are the user's; from here on none is followed. */
	s->path = realpath(named, NULL);
	if (!s->path)
		return cx_fail_errno(err, CONEX_STAGE_OPEN, "realpath",
			"give a directory in conex_options.state", "%s", named);
	s->fd = open_own(s->path, O_NOFOLLOW, err);
	if (s->fd < 0)
		return s->fd;
	r = open_containers(s);
	if (r < 0)
		return cx_fail(err, CONEX_STAGE_OPEN, r, "open", NULL, "%s/containers",
			s->path);
	*ret = cx_steal_ptr(&s);
	return 0;
}

int cx_state_open(const char *named, int read_only, struct cx_state **ret,
	conex_error **err)
{
	if (named && !*named)
		return cx_fail(err, CONEX_STAGE_OPEN, -EINVAL, NULL,
			"give a path, or NULL for a private directory",
			"conex_options.state");
	return named ? open_named(named, read_only, ret, err) : open_private(ret, err);
}

int cx_state_adopt(int fd, const char *path, struct cx_state **ret)
{
	cx_cleanup(state_freep) struct cx_state *s = NULL;
	int r = state_new(&s, NULL);

	if (r < 0) {
		cx_closep(&fd);
		return r;
	}
	s->fd = fd;
	s->read_only = 1;
	s->path = strdup(path);
	r = s->path ? open_containers(s) : -ENOMEM;
	s->read_only = 0;
	if (r == 0)
		*ret = cx_steal_ptr(&s);
	return r;
}

void cx_state_close(struct cx_state *s, int remove)
{
	if (!s)
		return;
	/* With a journal in it it stays for recovery; and a fork's copy owns nothing. */
	if (remove && s->is_private && s->fd >= 0 && s->self.pid == getpid()
	    && (unlinkat(s->fd, "containers", AT_REMOVEDIR) == 0 || errno == ENOENT)
	    && cx_state_clear(s->fd) == 0) {
		unlinkat(s->fd, "owner", 0);
		rmdir(s->path);
	}
	cx_closep(&s->containers);
	cx_closep(&s->fd);
	free(s->path);
	free(s->base);
	free(s);
}

int cx_state_good_id(const char *id)
{
	size_t n = strnlen(id, 65);

	return n > 0 && n <= 64 && id[0] != '.' && !memchr(id, '/', n);
}

static int rename_new(int dir, const char *from, const char *to)
{
	if (renameat2(dir, from, dir, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL) /* NFS and others don't know the flag */
		return -errno;
	if (linkat(dir, from, dir, to, 0) < 0)
		return -errno;
	unlinkat(dir, from, 0);
	return 0;
}

int cx_state_publish(const struct cx_state *s, int dir, const char *name,
	const void *data, size_t size)
{
	char temporary[NAME_MAX + 1];
	int r;

	/* nobody else looks before we are dead: a rename (5 us) is saved */
	if (s->is_private)
		return write_new(dir, name, data, size);
	snprintf(temporary, sizeof temporary, ".%d-%llu.%d.%s", (int)s->self.pid,
		(unsigned long long)s->self.start, (int)gettid(), name);
	r = write_new(dir, temporary, data, size);
	if (r < 0)
		return r;
	r = rename_new(dir, temporary, name);
	if (r < 0)
		unlinkat(dir, temporary, 0);
	return r;
}

void cx_state_sweep(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!d) {
		cx_closep(&fd);
		return;
	}
	/* By pid alone, which needs no more facts: a live namesake only puts it off. From
	 * another pid namespace we may err; then its rename fails, before anything was
	 * acquired. */
	while ((e = readdir(d)) != NULL) {
		int pid;

		if (sscanf(e->d_name, ".%d-", &pid) == 1 && pid > 0 && kill(pid, 0) < 0
			&& errno == ESRCH)
			unlinkat(dir, e->d_name, 0);
	}
	closedir(d);
}
