/* Listeners that go to an agent's socket (linux.seccomp.listenerPath): of launches, of conex_exec, of released
 * containers, and agents that aren't there. */
#include "system/broker.h"

#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/un.h>

/* ---- an agent ---- */

static int agent_open(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(at.sun_path, path);
	unlink(path);
	CHECK(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 4) == 0);
	return fd;
}

/* One container process state, and the end; the listener that came with it. */
static int agent_take(int agent, char *text, size_t size)
{
	union { struct cmsghdr align; char data[CMSG_SPACE(4 * sizeof(int))]; } control;
	struct iovec iov = { text, size - 1 };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.data, .msg_controllen = sizeof control.data };
	int peer, listener = -1;
	ssize_t n, more;

	if (!CHECK_INT(poll(&(struct pollfd){ agent, POLLIN, 0 }, 1, PATIENCE_MS), 1))
		return -1;
	peer = accept4(agent, NULL, NULL, SOCK_CLOEXEC);
	n = recvmsg(peer, &h, MSG_CMSG_CLOEXEC);
	if (CHECK(n > 0 && CMSG_FIRSTHDR(&h) && CMSG_FIRSTHDR(&h)->cmsg_len == CMSG_LEN(sizeof(int))))
		memcpy(&listener, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof listener);
	while (n > 0 && (more = read(peer, text + n, size - 1 - (size_t)n)) > 0)
		n += more;
	text[n > 0 ? n : 0] = '\0';
	close(peer);
	return listener;
}

static void agent_answer(int listener, int64_t value)
{
	struct seccomp_notif in;
	struct seccomp_notif_resp out = { .val = value };

	memset(&in, 0, sizeof in);
	if (!CHECK_INT(poll(&(struct pollfd){ listener, POLLIN, 0 }, 1, PATIENCE_MS), 1))
		return;
	CHECK_INT(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &in), 0);
	CHECK_INT(in.data.nr, SYS_getppid);
	out.id = in.id;
	CHECK_INT(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &out), 0);
}

static const char *member(const char *json, const char *name)
{
	static char text[4][256];
	static int next;
	char *to = text[next++ % 4];
	const char *at = strstr(json, say("\"%s\":", name));

	snprintf(to, sizeof text[0], "%.*s", at ? (int)strcspn(at + strlen(name) + 3, ",}") : 0,
		at ? at + strlen(name) + 3 : "");
	return to;
}

static void agent_tells(const char *state, pid_t pid, const char *id, const char *status)
{
	CHECK_STR(member(state, "fds"), "[\"seccompFd\"]");
	CHECK_STR(member(state, "metadata"), "\"for the agent\"");
	CHECK_STR(member(state, "pid"), say("%d", (int)pid));
	CHECK_STR(member(state, "id"), say("\"%s\"", id));
	CHECK_STR(member(state, "status"), say("\"%s\"", status));
	CHECK(strstr(state, "\"state\":{") && *member(state, "ociVersion") == '"');
}

static conex_spec *for_agent(const char *path, const char *call)
{
	conex_spec *spec = NULL;

	box_clear();
	GOOD(conex_spec_new(&spec, &box.err));
	GOOD(conex_spec_merge(spec, "{\"linux\":{\"seccomp\":null}}", &box.err));
	GOOD(conex_spec_merge(spec, say("{\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\","
		"\"flags\":[\"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV\"],\"listenerPath\":\"%s\","
		"\"listenerMetadata\":\"for the agent\",\"syscalls\":[{\"names\":[\"%s\"],"
		"\"action\":\"SCMP_ACT_NOTIFY\"}]}}}", path, call), &box.err));
	return spec;
}

TEST(an_agent)
{
	cx_autofree char *path = strdup(say("%s/agent", box.dir));
	struct conex_run_options o = { .rootfs = box.root, .mounts = usr, .out = CONEX_STDIO_PIPE },
		e = { .size = sizeof e, .out = CONEX_STDIO_PIPE };
	int agent = agent_open(path), listener;
	conex_spec *spec = for_agent(path, "getppid");
	char state[4096] = "";
	conex_process *p = NULL;
	conex_container *c;

	o.spec = spec;
	c = box_start(&o, CONEX_STRINGS("sh", "-c", "/probe getppid; sleep 1000"));
	if (!GOOD(c ? 0 : -1))
		return;
	listener = agent_take(agent, state, sizeof state);
	agent_tells(state, conex_container_pid(c), conex_container_id(c), "creating");
	agent_answer(listener, 1);      /* the shell's */
	agent_answer(listener, 77);
	close(listener);
	GOOD(conex_exec(c, PROBE("getppid"), &e, &p, &box.err));
	listener = agent_take(agent, state, sizeof state);
	agent_tells(state, p ? conex_process_pid(p) : 0, conex_container_id(c), "running");
	CHECK_STR(member(strstr(state, "\"state\":") ? strstr(state, "\"state\":") + 8 : "", "pid"),
		say("%d", (int)conex_container_pid(c)));
	agent_answer(listener, 78);
	close(listener);
	if (p)
		CHECK_INT(conex_process_output(p, PATIENCE_MS, &box.io, &box.err), 1);
	CHECK_STR(box.io.out, "78 0\n");
	conex_process_free(p);
	conex_output_clear(&box.io);
	CHECK_INT(conex_container_output(c, 100, &box.io, &box.err), 0);
	CHECK_STR(box.io.out, "77 0\n");
	box_end(c);
	close(agent);
	conex_spec_free(spec);
}

/* An agent that isn't there, or has no place for another. */
TEST(no_agent)
{
	cx_autofree char *path = strdup(say("%s/none", box.dir));
	struct conex_run_options o = { .rootfs = box.root, .id = "no-agent" };
	conex_spec *spec = for_agent(path, "getppid");

	o.spec = spec;
	for (int held = 0; held < 2; held++) {
		o.flags = held ? CONEX_RUN_HOLD : 0;
		o.oci = held ? "{" NO_NEW "}" : NULL;
		CHECK(box_start(&o, CONEX_STRINGS("sleep", "1000")) == NULL);
		CHECK_INT(conex_error_code(box.err), -ENOENT);
		CHECK_INT(conex_error_stage(box.err), CONEX_STAGE_LAUNCH);
		CHECK_STR(conex_error_object(box.err), say("linux.seccomp.listenerPath %s", path));
		box_nothing_left("no-agent");
	}
	close(agent_open(path));
	CHECK(box_start(&o, CONEX_STRINGS("sleep", "1000")) == NULL);
	CHECK_INT(conex_error_code(box.err), -ECONNREFUSED);
	conex_spec_free(spec);
	/* with nobody to ask it isn't used */
	o.spec = spec = for_agent(path, "unheard_of");
	o.flags = 0;
	o.oci = "{\"linux\":{\"seccomp\":{\"syscalls\":[{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_ERRNO\"}]}}}";
	CHECK_INT(box_run(&o, "true"), 0);
	conex_spec_free(spec);
}

/* Held with no_new_privs, the listener comes after the start: then the start fails, and it has ended. */
TEST(no_agent_at_start)
{
	struct conex_run_options o = { .rootfs = box.root, .id = "no-agent", .flags = CONEX_RUN_HOLD };
	conex_spec *spec = for_agent(say("%s/nobody", box.dir), "getppid");
	struct conex_exit x = { .size = sizeof x };
	conex_container *c;

	o.spec = spec;
	c = box_start(&o, CONEX_STRINGS("sleep", "1000"));
	if (GOOD(c ? 0 : -1)) {
		CHECK_INT(conex_container_start(c, &box.err), -ENOENT);
		SAID("linux.seccomp.listenerPath");
		CHECK_INT(conex_container_wait(c, PATIENCE_MS, NULL, &box.err), 1);
		GOOD(conex_container_exit(c, &x, &box.err));
		CHECK_INT(x.cause, CONEX_EXIT_NEVER_STARTED);
		CHECK_INT(conex_error_code(conex_container_error(c)), -ENOENT);
		box_end(c);
	}
	box_nothing_left("no-agent");
	conex_spec_free(spec);
}

/* A released container: its filter is there before it waits for its start, which another context says. */
TEST(released)
{
	cx_autofree char *path = strdup(say("%s/agent", box.dir)), *named = strdup(say("%s/state", box.dir));
	struct conex_options options = { .size = sizeof options, .flags = CONEX_DETACHED, .state = named };
	struct conex_run_options o = { .size = sizeof o, .rootfs = box.root, .mounts = usr, .flags = CONEX_RUN_HOLD,
		.id = "released" };
	int agent = agent_open(path), listener = -1, pipes[2];
	conex_spec *spec = for_agent(path, "getppid");
	conex_container *c = NULL;
	char state[4096] = "", text[64] = "";
	conex *cx = NULL;

	o.spec = spec;
	CHECK_INT(pipe2(pipes, O_CLOEXEC), 0);
	o.out = CONEX_STDIO_FD(pipes[1]);
	GOOD(conex_open(&options, &cx, &box.err));
	if (GOOD(conex_run(cx, NULL, PROBE("getppid"), &o, &c, &box.err)))
		listener = agent_take(agent, state, sizeof state);
	agent_tells(state, c ? conex_container_pid(c) : 0, "released", "creating");
	close(pipes[1]);
	conex_container_free(c);
	conex_close(cx);
	c = NULL;
	GOOD(conex_open(&options, &cx, &box.err));
	if (!GOOD(conex_container_get(cx, "released", &c, &box.err)))
		return;
	GOOD(conex_container_start(c, &box.err));
	agent_answer(listener, 99);
	CHECK_INT(read(pipes[0], text, sizeof text - 1), 5);
	CHECK_STR(text, "99 0\n");
	CHECK_INT(conex_container_wait(c, PATIENCE_MS, NULL, &box.err), 1);
	GOOD(conex_container_delete(c, -1, &box.err));
	conex_container_free(c);
	conex_close(cx);
	/* what it calls while it waits can't be asked about */
	conex_spec_free(spec);
	o.spec = spec = for_agent(path, "accept4");
	GOOD(conex_open(&options, &cx, &box.err));
	CHECK_INT(conex_run(cx, NULL, PROBE("getppid"), &o, &c, &box.err), -EINVAL);
	SAID("linux.seccomp.syscalls[0].names[0] = accept4");
	conex_close(cx);
	conex_spec_free(spec);
	close(listener);
	close(agent);
	close(pipes[0]);
}

static void tests(void)
{
	RUN(an_agent);
	RUN(no_agent);
	RUN(no_agent_at_start);
	RUN(released);
}

int main(int argc, char **argv)
{
	return broker_main(argc, argv, tests);
}
