/* Containers that another process launched, and released ones: known by their journal, held by a pidfd, started
 * through their socket. */
#include "container/container.h"
#include "base/kernel.h"
#include "base/path.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* ---- the socket of a held, released container: <state>/sockets/ID ---- */

/* Through the directory's descriptor: a state directory's path may be longer than sun_path. */
static int socket_address(conex *cx, const char *id, struct sockaddr_un *a, int *dir)
{
	*dir = openat(cx->state->fd, "sockets", O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (*dir < 0 && errno == ENOENT && mkdirat(cx->state->fd, "sockets", 0700) == 0)
		*dir = openat(cx->state->fd, "sockets", O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (*dir < 0)
		return -errno;
	a->sun_family = AF_UNIX;
	snprintf(a->sun_path, sizeof a->sun_path, "/proc/self/fd/%d/%s", *dir, id);
	return 0;
}

int cx_listener_open(conex *cx, const char *id, conex_error **err)
{
	cx_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), dir = -1;
	struct sockaddr_un a;

	if (fd < 0 || socket_address(cx, id, &a, &dir) < 0
	    || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 8) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "bind", NULL, "%s/sockets/%s", cx->state->path, id);
	return cx_steal_fd(&fd);
}

int cx_listener_connect(conex *cx, const char *id)
{
	cx_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), dir = -1;
	struct sockaddr_un a;

	if (fd < 0 || socket_address(cx, id, &a, &dir) < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
		return -errno;
	return cx_steal_fd(&fd);
}

static int no_hooks(void *arg)
{
	return !((conex_container *)arg)->hooks;
}

/* Says start and hears what comes of it: 0 the connection's end, with which execve closed it; 4: an errno in
 * *error; negative: whoever should have accepted it listens no more, somebody else was quicker. */
static ssize_t say_start(int fd, int32_t *error)
{
	ssize_t n;

	do
		n = send(fd, "s", 1, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return n;
	do
		n = recv(fd, error, sizeof *error, MSG_WAITALL);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Without the lock: startContainer's hooks come before the answer, and may take their time. */
static ssize_t connect_and_start(conex_container *c, int *fd, int32_t *error)
{
	conex *cx = c->task.cx;
	ssize_t n;

	c->refs++;
	cx->busy++;             /* conex_close waits for us */
	pthread_mutex_unlock(&cx->lock);
	*fd = cx_listener_connect(cx, c->id);
	n = *fd < 0 ? 0 : say_start(*fd, error);
	pthread_mutex_lock(&cx->lock);
	if (--cx->busy == 0)
		cx_context_notify(cx);
	cx_task_let_go(&c->task);
	return n;
}

int cx_foreign_start(conex_container *c, conex_error **err)
{
	conex *cx = c->task.cx;
	cx_autoclose int fd = -1;
	int32_t error = 0;
	ssize_t n = connect_and_start(c, &fd, &error);
	int refused = fd == -ECONNREFUSED || fd == -ENOENT;

	if (fd < 0 || n < 0)
		return cx_fail(err, CONEX_STAGE_RUN, n < 0 || refused ? -ESRCH : fd, "connect",
			"it was started already, or has died", "container %s", c->id);
	if (n == sizeof error && error)
		return cx_fail(err, CONEX_STAGE_EXEC, -error, "execve",
			"the program isn't in the root file system, or may not be executed", "process.args");
	c->task.started_ns = cx_now_ns(CLOCK_MONOTONIC);
	if (cx_hooks_any(c, CX_HOOKS_POSTSTART)) {
		cx_hooks_begin(c, CX_HOOKS_POSTSTART);
		cx_context_wait(cx, -1, no_hooks, c);
	}
	if (c->task.state == CONEX_HELD)        /* else it has ended already, and another thread has seen it */
		c->task.state = CONEX_RUNNING;
	cx_task_post(&c->task, CONEX_EVENT_STARTED);
	return 0;
}

/* ---- what the kernel tells of a process that isn't our keeper's ---- */

struct pidfd_info {             /* <linux/pidfd.h>, Linux 6.13; .exit_code from 6.15 */
	uint64_t mask, cgroupid;
	uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code;
};
#define PIDFD_INFO_EXIT (1ULL << 3)
#define PIDFD_GET_INFO _IOWR(0xFF, 11, struct pidfd_info)

static void note_exit(conex_container *c)
{
	struct pidfd_info info = { .mask = PIDFD_INFO_EXIT };
	struct conex_exit *x = &c->task.exit;

	if (ioctl(c->task.pidfd, PIDFD_GET_INFO, &info) == 0 && info.mask & PIDFD_INFO_EXIT) {
		cx_exit_fill(x, info.exit_code, CX_ENDED_ITSELF);
	} else {
		x->cause = CONEX_EXIT_UNKNOWN;
		x->status = 255;
		x->code = -1;
	}
	x->exited_at_ns = cx_now_ns(CLOCK_REALTIME);
	cx_container_ended(c);
}

static int is_dead(const conex_container *c)
{
	struct pollfd p = { .fd = c->task.pidfd, .events = POLLIN };

	return c->task.pidfd < 0 || poll(&p, 1, 0) > 0;
}

int cx_foreign_pump(conex *cx)
{
	int happened = 0;

	if (!cx->containers->foreign)
		return 0;
	for (conex_container *c = cx->containers->first, *next; c; c = next) {
		next = c->next;
		if (c->start && !c->task.id && c->task.state < CONEX_EXITED && is_dead(c)) {
			note_exit(c);
			happened = 1;
		}
	}
	return happened;
}

/* ---- from the journal ---- */

static void read_addresses(conex_container *c, const struct cx_record *r)
{
	cx_autofree const char **addresses = NULL, **ports = NULL;
	int n = cx_record_notes(r, "address", &addresses);

	cx_container_take_addresses(c, addresses, n);
	n = cx_record_notes(r, "port", &ports);
	cx_container_take_ports(c, ports, n);
	cx_container_take_files(c, cx_record_note(r, "hosts"), cx_record_note(r, "resolv"));
}

static int read_labels(conex_container *c, const struct cx_record *r)
{
	cx_autofree const char **labels = NULL;
	int n = cx_record_notes(r, "label", &labels);
	size_t size;
	char *text;

	if (n < 0)
		return n;
	size = ((size_t)n + 1) * sizeof(char *);
	for (int i = 0; i < n; i++)
		size += strlen(labels[i]) + 1;
	c->labels = calloc(1, size);
	if (!c->labels)
		return -ENOMEM;
	text = (char *)(c->labels + n + 1);
	for (int i = 0; i < n; i++) {
		c->labels[i] = text;
		text = stpcpy(text, labels[i]) + 1;
	}
	return 0;
}

/* For conex_image_commit; undoing reads the journal itself. */
static int read_image(conex_container *c, const struct cx_record *r)
{
	const char *image = cx_record_note(r, "image"), *snapshot = cx_record_note(r, "snapshot");

	if ((image && !(c->image = strdup(image))) || (snapshot && !(c->snapshot = strdup(snapshot))))
		return -ENOMEM;
	return 0;
}

static int read_spec(conex_container *c, const struct cx_record *r, conex_error **err)
{
	const char *name = cx_record_note(r, "spec");
	cx_autofree char *json = NULL;
	int ret = name ? cx_state_get_spec(c->task.cx->state, name, &json, err) : -ENOENT;

	if (!name)
		return cx_fail(err, CONEX_STAGE_RUN, -ENOENT, NULL, NULL, "container %s", c->id);
	if (ret == 0)
		ret = cx_spec_parse_json(json, "the container's spec", &c->spec, err);
	return ret;
}

/* pidfd first, then its start time: so it is the one that the journal means. */
static void find_process(conex_container *c, const struct cx_record *r)
{
	const char *note = cx_record_note(r, "pid");
	unsigned long long start = 0;
	int pid = 0, fd;

	if (!note || sscanf(note, "%d %llu", &pid, &start) != 2) {
		c->start = 1;
		return;
	}
	c->start = start ? start : 1;
	c->task.pidfd = cx_sys_pidfd_open(pid, 0);
	if (c->task.pidfd >= 0 && cx_process_start(pid) != start)
		cx_closep(&c->task.pidfd);
	c->task.pid = c->task.pidfd < 0 ? -1 : pid;
	fd = c->task.pidfd < 0 ? -1 : cx_listener_connect(c->task.cx, c->id);
	c->task.state = c->task.pidfd < 0 ? CONEX_EXITED : fd >= 0 ? CONEX_HELD
		: cx_cgroup_is_frozen(c->task.cx->cgroups, c->cgroup) ? CONEX_PAUSED : CONEX_RUNNING;
	cx_closep(&fd);
}

static int fill(conex_container *c, const struct cx_record *r, conex_error **err)
{
	const char *cgroup = cx_record_note(r, "cgroup"), *bundle = cx_record_note(r, "bundle");
	const char *created = cx_record_note(r, "created"), *scope = cx_record_note(r, "scope");
	int ret = read_spec(c, r, err);

	if (ret < 0)
		return ret;
	c->cgroup = strdup(cgroup ? cgroup : "");
	c->bundle = strdup(bundle ? bundle : "");
	if (scope)
		c->by_systemd = strcmp(scope, "user") ? CX_BY_SYSTEMD : CX_BY_USER_SYSTEMD;
	c->created_at_ns = created ? atoll(created) : 0;
	if (!c->cgroup || !c->bundle || read_labels(c, r) < 0)
		return cx_fail_memory(err);
	if (read_image(c, r) < 0)
		return cx_fail_memory(err);
	read_addresses(c, r);
	c->journalled = 1;
	c->task.exit.cause = CONEX_EXIT_UNKNOWN;
	c->task.exit.status = 255;
	c->task.exit.code = -1;
	find_process(c, r);
	if (c->task.pidfd >= 0)
		cx_context_watch(c->task.cx, c->task.pidfd);
	return 0;
}

int cx_foreign_get(conex *cx, const char *id, conex_container **ret, conex_error **err)
{
	struct cx_record *record;
	conex_container *c;
	int r = cx_context_need_cgroups_locked(cx, err);

	if (r == 0)
		r = cx_record_read(cx->state, id, &record, err);
	if (r < 0)
		return r;
	c = cx_container_new(cx, id);
	r = c ? fill(c, record, err) : cx_fail_memory(err);
	cx_record_free(record);
	if (r < 0) {
		if (c)
			cx_container_unref(c);
		return r;
	}
	cx->containers->foreign = 1;
	cx_container_list_add(c);
	*ret = c;
	return 0;
}
