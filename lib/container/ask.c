/* System calls to be answered: conex_run_options.ask -> rules of the profile; the listener that comes of it -> an
 * agent's socket (linux.seccomp.listenerPath) or the context's events (broker.c). */
#include "container/container.h"
#include "base/kernel.h"
#include "security/seccomp.h"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define NOTIFY "SCMP_ACT_NOTIFY"
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
enum { AGENT_SECONDS = 5 };

/* ---- options ---- */

static int check_names(const char *const *ask, conex_error **err)
{
	char where[48];

	for (size_t i = 0; ask[i]; i++) {
		if (seccomp_syscall_resolve_name(ask[i]) != __NR_SCMP_ERROR)
			continue;
		snprintf(where, sizeof where, "conex_run_options.ask[%zu]", i);
		return cx_refuse(err, -EINVAL, where, ask[i], "libseccomp knows no such system call");
	}
	return 0;
}

/* Nobody asks for events who doesn't know of this: the container would wait for ever. */
static int check_answered(const json_t *profile, conex_error **err)
{
	json_t *entry;
	char where[64];
	size_t i;

	if (cx_json_text(profile, "listenerPath"))
		return 0;
	json_array_foreach(cx_json_at(profile, "syscalls"), i, entry) {
		const char *action = cx_json_text(entry, "action");

		if (!action || strcmp(action, NOTIFY))
			continue;
		snprintf(where, sizeof where, "linux.seccomp.syscalls[%zu].action", i);
		return cx_refuse(err, -EINVAL, where, action, "nobody would answer: name an agent's socket in"
			" linux.seccomp.listenerPath, or set conex_run_options.ask and handle CONEX_EVENT_SYSCALL");
	}
	return 0;
}

static int is_asked(const char *name, const char *const *ask)
{
	while (*ask && strcmp(*ask, name))
		ask++;
	return *ask != NULL;
}

/* A system call has one action: what is asked about is taken out of the other rules. */
static void take_out(json_t *rules, const char *const *ask)
{
	for (size_t i = json_array_size(rules); i-- > 0;) {
		json_t *names = json_object_get(json_array_get(rules, i), "names");

		for (size_t k = json_array_size(names); k-- > 0;)
			if (is_asked(json_string_value(json_array_get(names, k)), ask))
				json_array_remove(names, k);
		if (!json_array_size(names))
			json_array_remove(rules, i);
	}
}

/* Without it every signal (Go's runtime sends them all the time) breaks a call off, to be asked about anew. */
static int kernel_waits_killable(void)
{
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER
		| SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, NULL) < 0 && errno == EFAULT;
}

static json_t *list_in(json_t *object, const char *key)
{
	json_t *list = json_object_get(object, key);

	if (!json_is_array(list) && json_object_set_new(object, key, list = json_array()) < 0)
		return NULL;
	return list;
}

static int add_rule(json_t *profile, const char *const *ask)
{
	json_t *names = json_array(), *rules = list_in(profile, "syscalls");
	int failed = !names || !rules;

	if (!failed)
		take_out(rules, ask);
	for (; !failed && *ask; ask++)
		failed = json_array_append_new(names, json_string(*ask)) < 0;
	if (!failed)
		failed = json_array_append_new(rules, json_pack("{s:O, s:s}", "names", names, "action", NOTIFY)) < 0;
	if (!failed && kernel_waits_killable())
		failed = json_array_append_new(list_in(profile, "flags"),
			json_string("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")) < 0;
	json_decref(names);
	return failed ? -ENOMEM : 0;
}

/* Without a profile all else is allowed. */
static json_t *profile_of(json_t *spec)
{
	json_t *linux_ = json_object_get(spec, "linux");

	if (!linux_ && json_object_set_new(spec, "linux", linux_ = json_object()) < 0)
		return NULL;
	if (!json_object_get(linux_, "seccomp"))
		json_object_set_new(linux_, "seccomp", json_pack("{s:s}", "defaultAction", "SCMP_ACT_ALLOW"));
	return json_object_get(linux_, "seccomp");
}

int cx_options_ask(json_t *spec, const char *const *ask, conex_error **err)
{
	json_t *profile;
	int r;

	if (!ask)
		return check_answered(cx_json_at(spec, "linux.seccomp"), err);
	r = check_names(ask, err);
	if (r < 0)
		return r;
	if (cx_json_text(spec, "linux.seccomp.listenerPath"))
		return cx_refuse(err, -EINVAL, "conex_run_options.ask", ask[0],
			"who listens at linux.seccomp.listenerPath answers all: leave out one of them");
	if (!ask[0])
		return 0;
	profile = profile_of(spec);
	return !profile || add_rule(profile, ask) < 0 ? cx_fail_memory(err) : 0;
}

/* ---- an agent: the runtime-spec's container process state, with the listener ---- */

static json_t *process_state(const struct cx_task *t, pid_t pid)
{
	const conex_container *c = t->kind == CX_TASK_CONTAINER ? (const conex_container *)t
		: ((const conex_process *)t)->container;
	const char *status = t->kind == CX_TASK_CONTAINER ? "creating"
		: c->task.state == CONEX_HELD ? "created" : "running";
	const json_t *metadata = cx_json_at(t->plan->spec, "linux.seccomp.listenerMetadata");
	json_t *state = cx_hooks_state(c), *all;

	json_object_set_new(state, "status", json_string(status));
	json_object_set_new(state, "pid", json_integer(t->kind == CX_TASK_CONTAINER ? pid : c->task.pid));
	all = json_pack("{s:O, s:[s], s:i, s:o}", "ociVersion", json_object_get(state, "ociVersion"),
		"fds", "seccompFd", "pid", (int)pid, "state", state);
	if (all && metadata && json_object_set(all, "metadata", (json_t *)metadata) < 0) {
		json_decref(all);
		all = NULL;
	}
	return all;
}

/* The descriptor goes with the first bytes. */
static int send_all(int socket, const char *text, size_t size, int fd)
{
	union { struct cmsghdr align; char data[CMSG_SPACE(sizeof(int))]; } control = { .data = "" };
	struct iovec iov = { (void *)text, size };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.data, .msg_controllen = sizeof control.data };
	ssize_t n;

	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.align), &fd, sizeof fd);
	while (iov.iov_len) {
		n = sendmsg(socket, &h, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return -1;
		if (n <= 0)
			continue;
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		h.msg_control = NULL;
		h.msg_controllen = 0;
	}
	return 0;
}

/* An agent that doesn't accept or read is given up on: the container doesn't start. */
static int connect_to(const char *path)
{
	cx_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = AGENT_SECONDS };

	if (strlen(path) >= sizeof to.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(to.sun_path, path, strlen(path));
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0
	    || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
		return -1;
	return cx_steal_fd(&fd);
}

static int tell_agent(const struct cx_task *t, const char *path, pid_t pid, int listener, conex_error **err)
{
	json_t *state = process_state(t, pid);
	cx_autofree char *text = state ? json_dumps(state, JSON_COMPACT) : NULL;
	cx_autoclose int fd = -1;

	json_decref(state);
	if (!text)
		return cx_fail_memory(err);
	fd = connect_to(path);
	if (fd < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "connect", "an agent must listen there before the launch",
			"linux.seccomp.listenerPath %s", path);
	if (send_all(fd, text, strlen(text), listener) < 0)
		return cx_fail_errno(err, CONEX_STAGE_LAUNCH, "sendmsg", "the agent reads nothing",
			"linux.seccomp.listenerPath %s", path);
	return 0;
}

/* ---- the listener is there ---- */

/* Nobody could answer: what has just started, or is about to, is ended again. */
static void give_up(struct cx_task *t)
{
	struct cx_message m = { .type = CX_MSG_KILL, .id = t->id };

	cx_keeper_send(t->cx, &m, NULL, 0, NULL, 0, NULL);
}

void cx_task_listens(struct cx_task *t, pid_t pid, int fd)
{
	const char *path = cx_json_text(t->plan->spec, "linux.seccomp.listenerPath");
	int r;

	if (fd < 0)
		r = cx_fail(&t->error, CONEX_STAGE_LAUNCH, -EMFILE, NULL,
			"the process has no free descriptor: close some, or raise RLIMIT_NOFILE", "the listener");
	else if (path)
		r = tell_agent(t, path, pid, fd, &t->error);
	else if ((r = cx_broker_add(t, fd, &t->error)) == 0)
		fd = -1;
	cx_closep(&fd);
	if (r < 0)
		give_up(t);
}
