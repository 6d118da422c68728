/* create, run, start: a bundle becomes a container that waits, and is told to begin. */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whole or not at all: who waits for the file reads a pid as soon as it is there. */
int write_pid_file(const char *path, pid_t pid)
{
	char copy[4096], name[4200], text[16];
	int fd, n = snprintf(text, sizeof text, "%d", (int)pid);

	if (!path || !*path)
		return 0;
	if ((size_t)snprintf(copy, sizeof copy, "%s", path) >= sizeof copy)
		return say("--pid-file: the path is too long");
	snprintf(name, sizeof name, "%s.%d", path, (int)getpid());
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return say("--pid-file %s: %s", path, strerror(errno));
	if (write(fd, text, (size_t)n) != n || close(fd) < 0 || rename(name, path) < 0) {
		n = errno;
		unlink(name);
		return say("--pid-file %s: %s", path, strerror(n));
	}
	return 0;
}

/* Before this program opens anything: a descriptor of its own in the place of one that the caller forgot
 * would else go into the container. */
void note_fds(struct options *o)
{
	while (o->inherited < MAX_FDS && fcntl(3 + o->inherited, F_GETFD) >= 0)
		o->inherited++;
}

/* Descriptors 3 and up that the program gets as well: systemd's sockets, then those to be preserved. */
int extra_fds(const struct options *o, int fds[MAX_FDS], size_t *ret_count, const char **ret_env)
{
	static char listen_fds[32];
	const char *listen = getenv("LISTEN_FDS");
	long sockets = listen ? strtol(listen, NULL, 10) : 0;
	long more = o->preserve_fds ? strtol(o->preserve_fds, NULL, 10) : 0, all = sockets + more;

	if (sockets < 0 || more < 0 || all > MAX_FDS)
		return say("%ld descriptors are to be handed on (LISTEN_FDS, --preserve-fds); %d can be", all, MAX_FDS);
	if (all > o->inherited)
		return say("--preserve-fds: descriptor %d isn't open", 3 + o->inherited);
	for (int i = 0; i < all; i++)
		fds[i] = 3 + i;
	*ret_count = (size_t)all;
	ret_env[0] = ret_env[1] = ret_env[2] = NULL;
	if (sockets > 0) {
		snprintf(listen_fds, sizeof listen_fds, "LISTEN_FDS=%ld", sockets);
		ret_env[0] = listen_fds;
		ret_env[1] = "LISTEN_PID=1";
	}
	return 0;
}

static int is_true(const conex_spec *spec, const char *pointer)
{
	char *text = NULL;
	int yes = conex_spec_get(spec, pointer, &text, NULL) == 0 && !strcmp(text, "true");

	free(text);
	return yes;
}

/* Who has closed its stdio gets /dev/null. */
static int host_stdio(int fd)
{
	return fcntl(fd, F_GETFD) < 0 ? CONEX_STDIO_NULL : CONEX_STDIO_HOST;
}

/* What a user of the container is on the host; one that nobody mapped has no files there. */
static long long host_uid(const conex_spec *container, long long uid)
{
	long long inside, outside, size;

	for (int n = 0;; n++) {
		char name[64];

		snprintf(name, sizeof name, "/linux/uidMappings/%d/containerID", n);
		if (!json_number(container, name, 0, &inside))
			return n ? -1 : uid;
		snprintf(name, sizeof name, "/linux/uidMappings/%d/hostID", n);
		json_number(container, name, 0, &outside);
		snprintf(name, sizeof name, "/linux/uidMappings/%d/size", n);
		json_number(container, name, 0, &size);
		if (uid >= inside && uid - inside < size)
			return outside + uid - inside;
	}
}

/* Images let their logs be /dev/stdout, and to open that again a user must own it. The engine's pipes are
 * made over to it, as runc does; what can't be (read-only, somebody else's) stays as it is. */
void give_stdio(const conex_spec *container, long long uid)
{
	struct stat null, st;

	uid = host_uid(container, uid);
	if (uid < 0 || stat("/dev/null", &null) < 0)
		return;
	for (int fd = 0; fd < 3; fd++)
		if (fstat(fd, &st) == 0 && st.st_uid != (uid_t)uid && st.st_rdev != null.st_rdev
		    && fchown(fd, (uid_t)uid, (gid_t)-1) < 0)
			continue;
}

static int check_terminal(const struct options *o, int terminal, int foreground)
{
	int socket = o->console_socket && *o->console_socket;

	if (terminal && !foreground && !socket)
		return say("cannot allocate tty if conex-oci will detach without setting console socket");
	if (socket && !terminal)
		return say("cannot use console socket if conex-oci will not detach or allocate tty");
	return 0;
}

static int launch(struct oci *rt, conex_spec *spec, int terminal, conex_container **ret)
{
	struct conex_run_options p = { .size = sizeof p, .spec = spec };
	struct conex_run_options l = { .size = sizeof l, .id = rt->id, .flags = CONEX_RUN_HOLD };
	conex_plan *plan = NULL;
	const char *env[3];
	int fds[MAX_FDS], r;

	if (extra_fds(&rt->o, fds, &l.fds_size, env) < 0)
		return -1;
	l.fds = fds;
	l.env = env[0] ? env : NULL;
	if (!terminal) {
		long long uid;

		json_number(spec, "/process/user/uid", 0, &uid);
		give_stdio(spec, uid);
		l.in = host_stdio(0);
		l.out = host_stdio(1);
		l.err = host_stdio(2);
	}
	r = conex_plan_new(rt->cx, NULL, NULL, &p, &plan, &rt->err);
	if (r == 0)
		r = conex_launch(rt->cx, plan, NULL, &l, ret, &rt->err);
	conex_plan_free(plan);
	if (r == -EEXIST && strcmp(conex_error_call(rt->err), "mkdir"))
		return say("container with given ID already exists: %s", rt->id);
	return r < 0 ? say_error(rt, "create failed") : 0;
}

/* What an engine waits for: the terminal, then the pid. */
static int hand_out(struct oci *rt, conex_container *c, const conex_spec *spec, int terminal)
{
	int socket = rt->o.console_socket && *rt->o.console_socket, master, r;
	struct size size = console_size(spec, socket);

	if (terminal && size.rows > 0 && size.columns > 0)
		conex_container_resize(c, size.rows, size.columns, NULL);
	if (terminal && socket) {
		master = conex_container_take_stdio(c, 0);
		r = send_console(rt->o.console_socket, master);
		if (master >= 0)
			close(master);
		if (r < 0)
			return r;
	}
	if (rt->o.pidfd_socket && send_pidfd(rt->o.pidfd_socket, conex_container_pidfd(c)) < 0)
		return -1;
	return write_pid_file(rt->o.pid_file, conex_container_pid(c));
}

/* A held container, all handed out; on failure nothing is left. */
static int make(struct oci *rt, int foreground, conex_container **ret)
{
	conex_container *c = NULL;
	conex_spec *spec = NULL;
	int terminal, r;

	if (open_context(rt, 0) < 0)
		return -1;
	if (conex_spec_load(rt->o.bundle ? rt->o.bundle : ".", &spec, &rt->err) < 0)
		return say_error(rt, "config.json");
	terminal = is_true(spec, "/process/terminal");
	r = check_terminal(&rt->o, terminal, foreground);
	if (r == 0 && rt->o.no_new_keyring
	    && conex_spec_merge(spec, "{\"process\":{\"newKeyring\":false}}", &rt->err) < 0)
		r = say_error(rt, "--no-new-keyring");
	if (r == 0)
		r = launch(rt, spec, terminal, &c);
	if (r == 0)
		r = hand_out(rt, c, spec, terminal);
	conex_spec_free(spec);
	if (r < 0 && c)
		conex_container_delete(c, 10000, NULL);
	if (r < 0)
		conex_container_free(c);
	else
		*ret = c;
	return r;
}

int verb_create(struct oci *rt)
{
	conex_container *c = NULL;
	int r = make(rt, 0, &c);

	conex_container_free(c);
	return r < 0;
}

static int start(struct oci *rt, conex_container *c)
{
	int state = conex_container_state(c);

	if (state == CONEX_RUNNING || state == CONEX_PAUSED)
		return say("cannot start an already running container");
	if (state >= CONEX_EXITED)
		return say("cannot start a container that has stopped");
	return conex_container_start(c, &rt->err) < 0 ? say_error(rt, "start failed") : 0;
}

int verb_start(struct oci *rt)
{
	conex_container *c = NULL;
	int r;

	if (open_context(rt, 0) < 0 || get_container(rt, &c) < 0)
		return 1;
	r = start(rt, c);
	conex_container_free(c);
	return r < 0;
}

/* The caller's own terminal, unless an engine has it, and the caller's signals, until it ends. */
static int stay(struct oci *rt, conex_container *c, struct attended *a)
{
	int status = 1;

	a->container = c;
	a->master = conex_container_take_stdio(c, 0);
	if (attend(rt, a, &status) < 0)
		say_error(rt, "run");
	if (a->master >= 0)
		close(a->master);
	return status;
}

int verb_run(struct oci *rt)
{
	struct attended a = { .master = -1, .signals = -1 };
	conex_container *c = NULL;
	int status = 0;

	if (!rt->o.detach)
		block_signals(&a);
	if (make(rt, !rt->o.detach, &c) < 0)
		return 1;
	if (start(rt, c) < 0) {
		conex_container_delete(c, 10000, NULL);
		conex_container_free(c);
		return 1;
	}
	if (!rt->o.detach) {
		status = stay(rt, c, &a);
		if (!rt->o.keep && conex_container_delete(c, 10000, &rt->err) < 0)
			say_error(rt, "delete");
	}
	conex_container_free(c);
	return status;
}
