/* Networks without privileges: the program (pasta, slirp4netns) that has a TCP/IP stack of its own for one container.
 * The keeper starts it while the container waits at its barrier, and ends it with the container.
 *
 * It may fork, change its ids and enter namespaces as it likes, all of which takes a death signal away. So its parent is
 * ours: the first process of a pid namespace, which does none of that, has the signal, and whose end is the kernel's
 * to make that of all. An unprivileged user makes that namespace from inside the user namespace that owns the
 * container's network; there the program also has the rights that it needs, and no others. */
#include "container/container.h"
#include "base/path.h"
#include "network/nft.h"
#include "plan/build.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#ifndef NS_GET_USERNS
#define NS_GET_USERNS _IO(0xb7, 1)
#endif

enum { READY_MS = 60000, TRIES = 16, WORDS = 4096 };
static const char sockets[] = "slirp";          /* of the state directory: slirp4netns' sockets, by the container's id */

enum stage { STARTING, ASKING, READY };

struct cx_stack {
	struct cx_helper helper;        /* first: it is handed back */
	conex_container *c;             /* counted */
	enum stage stage;
	unsigned families;
	int ns, owner;                  /* the network namespace and its user namespace, while it may be started again */
	int said;                       /* a memfd: its stderr */
	int fd;                         /* watched: a pipe that says that it is ready; then the answer to a port; -1 */
	int dir;                        /* of its socket; -1 */
	int port;                       /* the one that it is being asked for */
	int tries;
	int64_t deadline_ns;
	conex_error *err;               /* why it was killed */
};

/* ---- before there is a process ---- */

static int open_sockets(conex *cx)
{
	int fd;

	if (mkdirat(cx->state->fd, sockets, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(cx->state->fd, sockets, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	/* it may be root of a user namespace that isn't us outside; nobody else gets this far */
	if (fd >= 0)
		fchmod(fd, 0777);
	return fd < 0 ? -errno : fd;
}

static int has_socket(const conex_container *c)
{
	return c->task.plan->usermode == CX_USERMODE_SLIRP4NETNS && c->task.plan->ports_count > 0;
}

static int check(enum cx_usermode mode, conex_error **err)
{
	const char *program = cx_usermode_program(mode);
	cx_autofree char *file = cx_find_program(program);

	if (!file)
		return cx_fail(err, CONEX_STAGE_LAUNCH, -ENOENT, NULL, mode == CX_USERMODE_PASTA ? "install it (package passt)"
			: "install it (package slirp4netns)", "conex_run_options.network: %s", program);
	if (faccessat(AT_FDCWD, "/dev/net/tun", R_OK | W_OK, AT_EACCESS) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "access", "everybody may open it on most machines (mode 666; "
			"modprobe tun)", "conex_run_options.network: %s: /dev/net/tun", program);
	return 0;
}

static int note(conex_container *c, const char *addresses, conex_error **err)
{
	cx_autofree char *path = NULL;
	struct cx_journal *j;
	int r = cx_journal_open(c->task.cx->state, c->id, &j, err);

	if (r < 0)
		return r;
	cx_journal_note(j, "address", addresses);
	if (cx_names_note(c, j) < 0)
		r = cx_fail_memory(err);
	else if (has_socket(c) && asprintf(&path, "%s/%s/%s", c->task.cx->state->path, sockets, c->id) < 0)
		r = cx_fail_memory(err);
	else if (path)
		cx_journal_undo(j, CX_OP_undo_unlink, path);
	if (r == 0)
		r = cx_journal_flush(j, err);
	cx_journal_free(j);
	return r;
}

int cx_stack_prepare(conex_container *c, conex_error **err)
{
	enum cx_usermode mode = c->task.plan->usermode;
	unsigned families = cx_usermode_families();
	const char *v4 = cx_usermode_address(mode, families, AF_INET), *v6 = cx_usermode_address(mode, families, AF_INET6);
	const char *text[1];
	char addresses[128];
	int r = check(mode, err);

	snprintf(addresses, sizeof addresses, "%s %s %s", cx_usermode_program(mode), v4 ? v4 : "-", v6 ? v6 : "-");
	if (r == 0)
		r = note(c, addresses, err);
	if (r < 0)
		return r;
	text[0] = addresses;
	cx_container_take_addresses(c, text, 1);
	r = c->joined ? cx_names_write(c, cx_usermode_nameservers(mode), err) : cx_fail_memory(err);
	return r < 0 ? r : cx_container_publish(c, NULL, err);
}

/* ---- its plan ---- */

static int program_plan(struct cx_stack *s, struct cx_plan **ret, conex_error **err)
{
	enum cx_usermode mode = s->c->task.plan->usermode;
	struct cx_usermode_call call = { .mode = mode, .families = s->families, .is_root = s->owner < 0,
		.socket = s->c->id };
	cx_autofree char *file = cx_find_program(cx_usermode_program(mode));
	cx_autofree const char **args = NULL;
	struct cx_build b = { .failed = 0 };
	int r;

	call.ports = cx_container_ports(s->c, &call.count);
	args = cx_usermode_args(&call);
	if (!file)
		return check(mode, err);
	if (!args)
		return cx_fail_memory(err);
	cx_op(&b, inherit, NULL, CX_FD_IN, CX_FD_OUT, CX_FD_ERR);
	cx_op(&b, death_signal, NULL);
	if (s->owner >= 0) {
		b.head.flags |= CX_PLAN_STAGES;
		cx_op(&b, join, NULL, CX_FD_JOIN, CLONE_NEWUSER);
		cx_op(&b, clone, NULL, CLONE_NEWPID);
		cx_op(&b, become_root, NULL);
		cx_op(&b, death_signal, NULL);
	} else {
		b.head.clone_flags = CLONE_NEWPID;
	}
	b.head.flags |= CX_PLAN_PID_NS;
	cx_op(&b, session, NULL);
	cx_op(&b, barrier, NULL, CX_BARRIER_NETWORK);   /* until it is in the journal */
	cx_op(&b, init, NULL);
	cx_op(&b, exec, NULL, cx_cell_list(&b, args), 0, cx_cell_text(&b, file));
	r = cx_build_end(&b, ret, err);
	cx_build_free(&b);
	return r;
}

/* Who has no privileges has them in the user namespace that owns the network. -1: nothing to join */
static int owner_of(int ns, conex_error **err, int *ret)
{
	*ret = -1;
	if (geteuid() == 0)
		return 0;
	*ret = ioctl(ns, NS_GET_USERNS);
	if (*ret < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "ioctl", NULL, "NS_GET_USERNS");
	return fcntl(*ret, F_SETFD, FD_CLOEXEC);
}

/* ---- starting ---- */

static void watch(struct cx_stack *s, int fd)
{
	s->fd = fd;
	if (cx_context_watch(s->c->task.cx, fd) < 0)    /* no memory: the deadline's tick looks, too */
		cx_log(s->c->task.cx, 4, "container %s: its network's program can't be watched", s->c->id);
}

/* A copy of it in a forked host would keep it in our epoll. */
static void unwatch(struct cx_stack *s)
{
	if (s->fd >= 0)
		epoll_ctl(s->c->task.cx->inner, EPOLL_CTL_DEL, s->fd, NULL);
	cx_closep(&s->fd);
}

static int send_program(struct cx_stack *s, int ready, conex_error **err)
{
	int is_pasta = s->c->task.plan->usermode == CX_USERMODE_PASTA, fds[6], n = 0;
	uint32_t bits = 1U << CX_FD_IN | 1U << CX_FD_OUT | 1U << CX_FD_ERR;
	cx_autofree struct cx_plan *plan = NULL;
	int r = program_plan(s, &plan, err);

	if (r < 0)
		return r;
	fds[n++] = s->ns;
	fds[n++] = is_pasta ? ready : s->said;
	fds[n++] = s->said;
	if (s->owner >= 0) {
		bits |= 1U << CX_FD_JOIN;
		fds[n++] = s->owner;
	}
	if (!is_pasta) {
		bits |= 1U << CX_FD_EXTRA;
		fds[n++] = ready;
	}
	if (s->dir >= 0) {
		bits |= 1U << (CX_FD_EXTRA + 1);
		fds[n++] = s->dir;
	}
	return cx_keeper_help_later(s->c->task.cx, &s->helper, plan, bits, fds, err);
}

/* pasta opens the pipe once more, as whoever it is in the user namespace. */
static int start(struct cx_stack *s, conex_error **err)
{
	conex *cx = s->c->task.cx;
	cx_autoclose int read_end = -1, write_end = -1;
	int pair[2], r;

	cx_closep(&s->said);
	s->stage = STARTING;
	s->port = 0;
	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "pipe2", NULL, "the network's program");
	read_end = pair[0];
	write_end = pair[1];
	s->said = memfd_create("conex-said", MFD_CLOEXEC);
	if (s->said < 0 || fchmod(write_end, 0666) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, s->said < 0 ? "memfd_create" : "fchmod", NULL, "the network's program");
	r = send_program(s, write_end, err);
	if (r < 0)
		return r;
	watch(s, cx_steal_fd(&read_end));
	s->deadline_ns = cx_now_ns(CLOCK_MONOTONIC) + READY_MS * INT64_C(1000000);
	cx_containers_tick_in(cx, READY_MS);
	return 0;
}

static void close_all(struct cx_stack *s)
{
	conex *cx = s->c->task.cx;

	unwatch(s);
	if (has_socket(s->c) && s->dir >= 0)
		unlinkat(s->dir, s->c->id, 0);
	cx_closep(&s->dir);
	cx_closep(&s->ns);
	cx_closep(&s->owner);
	if (s->stage != READY)
		cx->containers->stacks--;
	s->stage = READY;
}

/* ---- its end ---- */

static void forget(struct cx_stack *s)
{
	conex_container *c = s->c;

	close_all(s);
	cx_closep(&s->said);
	conex_error_free(s->err);
	free(s);
	c->stack = NULL;
	if (c->undo_later)
		c->task.cx->containers->undo_pending = 1;
	cx_context_notify(c->task.cx);
	cx_task_let_go(&c->task);
}

static void why(const struct cx_stack *s, conex_error **err)
{
	const char *program = cx_usermode_program(s->c->task.plan->usermode);
	const struct cx_helper *h = &s->helper;
	char text[WORDS] = "", words[256];
	const struct cx_message *m = &h->failed;

	if (s->said < 0 || pread(s->said, text, sizeof text - 1, 0) < 0)
		text[0] = '\0';
	cx_usermode_words(text, words, sizeof words);
	if (h->done < 0 && m->failed.error)
		cx_fail(err, CONEX_STAGE_LAUNCH, h->done, cx_call_name(m->failed.call), NULL, "%s %s", program, m->failed.detail);
	else
		cx_fail(err, CONEX_STAGE_LAUNCH, h->done == -EPIPE ? -EPIPE : -ENETDOWN, NULL, *words ? words : NULL,
			"%s has ended", program);
}

static void give_up(struct cx_stack *s)
{
	conex_container *c = s->c;

	if (!s->err)
		why(s, &s->err);
	if (!c->task.error)
		c->task.error = cx_steal_ptr(&s->err);
	if (c->task.state == CONEX_CREATING)
		cx_task_lift(&c->task, ECANCELED);
}

/* Another took a port between our choice and its bind: another one is chosen. 1: it is under way */
static int again(struct cx_stack *s)
{
	if (s->c->task.state != CONEX_CREATING || s->helper.done == -EPIPE || s->tries++ == TRIES
	    || !cx_container_port_lost(s->c))
		return 0;
	unwatch(s);
	if (s->dir >= 0)
		unlinkat(s->dir, s->c->id, 0);
	conex_error_free(cx_steal_ptr(&s->err));
	return cx_container_publish(s->c, NULL, &s->err) == 0 && start(s, &s->err) == 0;
}

static void ended(conex *cx, struct cx_helper *h)
{
	struct cx_stack *s = (struct cx_stack *)h;
	conex_error *err = NULL;

	if (s->stage != READY) {
		if (again(s))
			return;
		give_up(s);
	} else if (s->c->task.state < CONEX_EXITED) {
		why(s, &err);
		cx_log(cx, 4, "container %s is without a network: %s", s->c->id, conex_error_text(err));
		conex_error_free(err);
	}
	forget(s);
}

static void kill_it(struct cx_stack *s)
{
	unwatch(s);             /* what it still says is of no interest */
	cx_keeper_kill(s->c->task.cx, s->helper.id);
}

/* ---- on its way ---- */

/* Its first process waits: written down before it does anything. */
static void waits(conex *cx, struct cx_helper *h, pid_t pid)
{
	struct cx_stack *s = (struct cx_stack *)h;
	struct cx_journal *j;
	char text[64];
	int r = cx_journal_open(cx->state, s->c->id, &j, NULL);

	snprintf(text, sizeof text, "%d %llu", (int)pid, (unsigned long long)cx_process_start(pid));
	if (r == 0) {
		cx_journal_undo(j, CX_OP_undo_kill, text);
		r = cx_journal_flush(j, &s->err);
		cx_journal_free(j);
	}
	cx_keeper_lift(cx, h->id, -r);
}

static void is_ready(struct cx_stack *s)
{
	close_all(s);
	cx_task_lift(&s->c->task, 0);
}

/* By the directory's descriptor, as it has bound it: it listens, so nothing of this waits. */
static int ask(struct cx_stack *s, const struct cx_port *p)
{
	cx_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	cx_autostr text = { 0 };

	snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/%s", s->dir, s->c->id);
	if (cx_usermode_request(p, &text) < 0)
		return -ENOMEM;
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0
	    || send(fd, text.data, text.size, MSG_NOSIGNAL) != (ssize_t)text.size || shutdown(fd, SHUT_WR) < 0)
		return errno ? -errno : -EIO;
	watch(s, cx_steal_fd(&fd));
	return 0;
}

static void refused(struct cx_stack *s, const struct cx_port *p, int r)
{
	char text[CX_PORT_TEXT];

	cx_port_print(p, text);
	cx_fail(&s->err, CONEX_STAGE_LAUNCH, r, NULL, r == -EADDRINUSE ? "is it taken, or below "
		"net.ipv4.ip_unprivileged_port_start?" : NULL, "slirp4netns: port %s", text);
	kill_it(s);
}

static void next_port(struct cx_stack *s)
{
	int count = 0, r;
	const struct cx_port *ports = cx_container_ports(s->c, &count);

	unwatch(s);
	if (s->dir < 0 || s->port == count) {
		is_ready(s);
		return;
	}
	s->stage = ASKING;
	r = ask(s, &ports[s->port]);
	if (r < 0)
		refused(s, &ports[s->port], r);
}

static void answered(struct cx_stack *s, const char *text)
{
	int count = 0, r = cx_usermode_answer(text);
	const struct cx_port *ports = cx_container_ports(s->c, &count);

	if (r < 0) {
		refused(s, &ports[s->port], r);
		return;
	}
	s->port++;
	next_port(s);
}

/* Its end is the keeper's to tell, with how it ended. */
static int look(struct cx_stack *s)
{
	char text[512];
	ssize_t n = s->fd < 0 ? -1 : read(s->fd, text, sizeof text - 1);

	if (n < 0 && cx_now_ns(CLOCK_MONOTONIC) >= s->deadline_ns && !s->err) {
		cx_fail(&s->err, CONEX_STAGE_LAUNCH, -ETIMEDOUT, NULL, NULL, "%s isn't ready after %d s",
			cx_usermode_program(s->c->task.plan->usermode), READY_MS / 1000);
		kill_it(s);
	} else if (n < 0) {
		cx_containers_tick_in(s->c->task.cx, READY_MS);
		return 0;
	} else if (n == 0) {
		unwatch(s);
	} else if (s->stage == STARTING) {      /* pasta writes its pid, slirp4netns "1" */
		if (text[0] >= '0' && text[0] <= '9')
			next_port(s);
	} else {
		text[n] = '\0';
		answered(s, text);
	}
	return 1;
}

int cx_stacks_pump(conex *cx)
{
	int happened = 0;

	if (!cx->containers->stacks)
		return 0;
	for (conex_container *c = cx->containers->first; c; c = c->next)
		if (c->stack && c->stack->stage != READY)
			happened |= look(c->stack);
	return happened;
}

void cx_stack_begin(conex_container *c, int ns)
{
	conex *cx = c->task.cx;
	struct cx_stack *s = calloc(1, sizeof *s);
	int r;

	if (!s) {
		cx_closep(&ns);
		cx_task_lift(&c->task, ENOMEM);
		return;
	}
	s->c = c;
	s->ns = ns;
	s->owner = s->said = s->fd = s->dir = -1;
	s->families = (conex_container_address(c, NULL, AF_INET) ? CX_USERMODE_V4 : 0)
		| (conex_container_address(c, NULL, AF_INET6) ? CX_USERMODE_V6 : 0);
	s->helper.ended = ended;
	s->helper.waits = waits;
	s->helper.attends = c->task.id;
	c->refs++;
	c->stack = s;
	cx->containers->stacks++;
	r = ns < 0 ? cx_fail(&s->err, CONEX_STAGE_LAUNCH, -EMFILE, NULL, NULL, "the container's network")
		: owner_of(ns, &s->err, &s->owner);
	if (r == 0 && has_socket(c) && (s->dir = open_sockets(cx)) < 0)
		r = cx_fail(&s->err, CONEX_STAGE_LAUNCH, s->dir, "open", NULL, "%s/%s", cx->state->path, sockets);
	if (r == 0)
		r = start(s, &s->err);
	if (r < 0) {
		give_up(s);
		forget(s);
	}
}
