/* Networks without privileges: real traffic through pasta and slirp4netns, and that neither is ever left behind. For a
 * user with his own id only, with subordinate ids, for root of a user namespace, and for root. */
#include "rootless.h"
#include "rootless-network.h"

static const char *tool;                /* the program under test: the word of .network */

static int is_pasta(void)
{
	return !strcmp(tool, "pasta");
}

/* ---- the way out ---- */

TEST(out)
{
	conex_container *c = box_sleeper(BOX(.network = tool));
	int status;

	if (!c)
		return;
	CHECK_STR(conex_container_address(c, NULL, AF_INET), "10.0.2.100");
	CHECK_STR(conex_container_address(c, tool, AF_INET), "10.0.2.100");
	CHECK(!conex_container_address(c, "other", AF_INET));
	CHECK_STR(hello(inside(c, SOCK_STREAM, WORLD, WORLD_PORT)), "hello");
	CHECK_STR(hello(inside(c, SOCK_DGRAM, WORLD, WORLD_PORT)), "hello");
	CHECK_STR(hello(inside(c, SOCK_DGRAM, "10.0.2.3", 53)), "names");      /* the host's server, on its loopback */
	if (is_pasta()) {
		CHECK_STR(conex_container_address(c, NULL, AF_INET6), "fd00::64");
		CHECK_STR(hello(inside(c, SOCK_STREAM, WORLD_6, WORLD_PORT)), "hello");
		CHECK_STR(hello(inside(c, SOCK_DGRAM, WORLD_6, WORLD_PORT)), "hello");
	} else {
		CHECK(!conex_container_address(c, NULL, AF_INET6));
	}
	status = box_exec(c, NULL, "ip addr show eth0; ip route; wget -q -O - http://" WORLD "/");
	CHECK_INT(status, 0);
	CHECK(strstr(box.out, ",UP,LOWER_UP") && strstr(box.out, "inet 10.0.2.100/24"));
	CHECK(strstr(box.out, "default via 10.0.2.2 dev eth0") && strstr(box.out, "fetched"));
	box_end(c);
}

/* Its own names, and the server that answers as the host's does. */
TEST(names)
{
	conex_container *c = box_sleeper(BOX(.network = tool, .id = "named", .hosts = CONEX_STRINGS("10.7.7.7 seven")));

	if (!c)
		return;
	CHECK_INT(box_exec(c, NULL, "grep -c '^10.0.2.100 named$' /etc/hosts && grep -c '^10.7.7.7 seven$' /etc/hosts"), 0);
	CHECK_INT(box_exec(c, NULL, "grep -x 'nameserver 10.0.2.3' /etc/resolv.conf && grep -c nameserver /etc/resolv.conf"), 0);
	CHECK_STR(box.out, "nameserver 10.0.2.3\n1");
	CHECK_INT(box_exec(c, NULL, "echo x >>/etc/hosts"), 1);
	CHECK_INT(box_entries(say("%s/names", box.cx->state->path)), 2);
	box_end(c);
	CHECK_INT(box_entries(say("%s/names", box.cx->state->path)), 0);
	CHECK_INT(box_run(BOX(.network = tool, .dns = CONEX_STRINGS("10.5.5.5")), "cat /etc/resolv.conf"), 0);
	CHECK_STR(box.out, "nameserver 10.5.5.5");
}

/* What listens on the host's loopback is out of reach, by whatever name. */
TEST(host_loopback)
{
	static const char *const names[] = { "127.0.0.1", "10.0.2.2", "10.0.2.3", "::1", "fe80::2" };
	conex_container *c = box_sleeper(BOX(.network = tool));
	int fds[10];

	if (!c)
		return;
	for (int i = 0; i < 5; i++) {
		fds[2 * i] = inside(c, SOCK_STREAM, names[i], LOOPBACK_PORT);
		fds[2 * i + 1] = inside(c, SOCK_DGRAM, names[i], LOOPBACK_PORT);
	}
	CHECK_INT(answers(fds, 10), 0);
	fds[0] = here(SOCK_STREAM, "127.0.0.1", LOOPBACK_PORT);
	fds[1] = here(SOCK_DGRAM, "::1", LOOPBACK_PORT);
	fds[2] = inside(c, SOCK_DGRAM, WORLD, WORLD_PORT);
	CHECK_INT(answers(fds, 3), 3);
	box_end(c);
}

/* Everything that a container may be beside. */
TEST(forms)
{
	struct conex_run_options tty = { .network = tool, .flags = CONEX_RUN_TTY };
	conex_container *c = box_start(&tty, CONEX_STRINGS("sh", "-c", "tty; ip route"));

	if (GOOD(c ? 0 : -1)) {         /* the terminal comes the way that the namespace has gone before */
		CHECK_INT(conex_container_output(c, -1, &box.io, &box.err), 1);
		CHECK(box.io.out && strstr(box.io.out, "/dev/pts/0") && strstr(box.io.out, "default via 10.0.2.2"));
	}
	box_end(c);
	c = box_start(BOX(.network = tool, .flags = CONEX_RUN_HOLD), CONEX_STRINGS("sleep", "1000"));
	if (GOOD(c ? 0 : -1)) {
		CHECK_STR(hello(inside(c, SOCK_STREAM, WORLD, WORLD_PORT)), "hello");
		GOOD(conex_container_start(c, &box.err));
		CHECK_STR(hello(inside(c, SOCK_STREAM, WORLD, WORLD_PORT)), "hello");
	}
	box_end(c);
	CHECK_INT(box_run(BOX(.network = tool, .flags = CONEX_RUN_INIT), "ip route | grep -q default"), 0);
	CHECK_INT(box_run(BOX(.network = tool, .share = CONEX_NS_PID), "ip route | grep -q default"), 0);
}

/* ---- published ports ---- */

/* Of the two versions at hand pasta loses what is answered to UDP that comes from the host's loopback to a port of another
 * number, and slirp4netns what is answered to any UDP from there. */
TEST(published)
{
	conex_container *c = box_sleeper(BOX(.network = tool, .ports = CONEX_PORTS({ NULL, 0, 80, NULL }, { WORLD, 0, 53, "udp" },
		{ NULL, 8088, 81, "tcp" }, { WORLD, 8089, 81, "tcp" }, { NULL, 5353, 5353, "udp" })));
	const char *text = "";
	int port, udp;

	if (!c)
		return;
	port = conex_container_port(c, 80, NULL);
	udp = conex_container_port(c, 53, "udp");
	CHECK(port > 1023 && udp > 1023);
	CHECK_INT(conex_container_port(c, 5353, "udp"), 5353);
	CHECK_INT(conex_container_port(c, 53, "tcp"), 0);
	serve_inside(c, SOCK_STREAM, AF_INET, 80);
	serve_inside(c, SOCK_STREAM, AF_INET, 81);
	serve_inside(c, SOCK_DGRAM, AF_INET, 53);
	serve_inside(c, SOCK_DGRAM, AF_INET, 5353);
	CHECK_STR(hello(here(SOCK_STREAM, "127.0.0.1", port)), "inside 80");
	CHECK_STR(hello(here(SOCK_STREAM, "127.0.0.1", 8088)), "inside 81");
	for (int i = 0; i < 3 && strcmp(text = hello(here(SOCK_STREAM, WORLD, 8089)), "inside 81"); i++)
		;       /* pasta of March 2023 may miss what comes just when it connects to the inside */
	CHECK_STR(text, "inside 81");
	CHECK_STR(hello(here(SOCK_DGRAM, WORLD, udp)), "inside 53");
	if (is_pasta())
		CHECK_STR(hello(here(SOCK_DGRAM, "127.0.0.1", 5353)), "inside 5353");
	CHECK_STR(hello(here(SOCK_STREAM, WORLD, port)), "");
	CHECK_STR(hello(here(SOCK_STREAM, WORLD, 8088)), "");
	CHECK_INT(box_run(BOX(.network = tool, .ports = CONEX_PORTS({ NULL, 8088, 80, NULL })), "true"), -EADDRINUSE);
	SAID("127.0.0.1 8088");
	box_end(c);
	stop_inside();
	CHECK_STR(hello(here(SOCK_STREAM, "127.0.0.1", 8088)), "");
	CHECK_INT(box_run(BOX(.network = tool, .ports = CONEX_PORTS({ NULL, 8088, 80, NULL })), "true"), 0);
}

TEST(published_v6)
{
	conex_container *c;

	if (!is_pasta()) {
		CHECK_INT(box_run(BOX(.network = tool, .ports = CONEX_PORTS({ "::", 8090, 80, NULL })), "true"), -EAFNOSUPPORT);
		SAID("pasta");
		return;
	}
	c = box_sleeper(BOX(.network = tool, .ports = CONEX_PORTS({ "::1", 8090, 80, NULL })));
	if (!c)
		return;
	serve_inside(c, SOCK_STREAM, AF_INET6, 80);
	CHECK_STR(hello(here(SOCK_STREAM, "::1", 8090)), "inside 80");
	box_end(c);
	stop_inside();
}

TEST(ports_refused)
{
	CHECK_INT(box_run(BOX(.network = tool, .ports = CONEX_PORTS({ NULL, 0, 80, "sctp" })), "true"), -EOPNOTSUPP);
	SAID("ports[0]");
	CHECK_INT(box_run(BOX(.network = tool, .ports = CONEX_PORTS({ "192.0.2.77", 8090, 80, NULL })), "true"), -EADDRNOTAVAIL);
	SAID("192.0.2.77");
	CHECK_INT(box_run(BOX(.network = tool, .ports = CONEX_PORTS({ "127.0.0.1", LOOPBACK_PORT, 80, NULL })), "true"),
		mode == ROOT ? -EADDRINUSE : -EACCES);
	if (mode != ROOT)
		SAID("ip_unprivileged_port_start");
	else
		CHECK_INT(box_run(BOX(.network = tool, .ports = CONEX_PORTS({ NULL, 90, 80, NULL })), "true"), 0);
}

/* ---- no program without its container ---- */

TEST(ends)
{
	struct program p;
	conex_container *c = box_sleeper(BOX(.network = tool, .ports = CONEX_PORTS({ NULL, 0, 80, NULL })));
	char id[80];

	if (!c)
		return;
	snprintf(id, sizeof id, "%s", conex_container_id(c));
	p = program_of(id);
	CHECK(p.pid > 0 && p.child > 0 && is_alive(&p));
	CHECK(strcmp(status_of(p.pid, "NSpid"), say("%d\t1", p.pid)) == 0);
	box_end(c);
	CHECK(!is_alive(&p));
	CHECK_INT(access(say("/proc/%d", p.child), F_OK), -1);
	box_nothing_left(id);
	c = box_sleeper(BOX(.network = tool));          /* it ends by itself: by the keeper's doing, nobody looks here */
	p = program_of(conex_container_id(c));
	kill(conex_container_pid(c), SIGKILL);
	CHECK(ends_soon(&p));
	box_end(c);
	close_program(&p);
}

/* Killed from outside: the container goes on without. */
TEST(program_killed)
{
	struct program p;
	conex_container *c = box_sleeper(BOX(.network = tool));

	if (!c)
		return;
	p = program_of(conex_container_id(c));
	logged[0] = '\0';
	kill(p.child, SIGKILL);
	CHECK(ends_soon(&p));
	for (int i = 0; i < 2000 && !logged[0]; i++) {
		CHECK_INT(conex_container_state(c), CONEX_RUNNING);
		usleep(5000);
	}
	CHECK(strstr(logged, "without a network") && strstr(logged, conex_container_id(c)));
	CHECK_INT(box_exec(c, NULL, "echo alive"), 0);
	box_end(c);
	close_program(&p);
}

/* Whoever dies, and be it host and keeper at once. */
TEST(deaths)
{
	for (unsigned who = 1; who < 4; who++) {
		struct left l = leave(tool, NULL);

		CHECK(is_alive(&l.program));
		if (who & 1)
			kill(l.keeper, SIGKILL);
		if (who & 2)
			kill(l.host, SIGKILL);
		CHECK(ends_soon(&l.program));
		close_program(&l.program);
		kill(l.host, SIGKILL);
		waitpid(l.host, NULL, 0);
		for (int i = 0; i < 1000 && conex_prune(box.cx, NULL, &box.err) == 0 && box_entries(l.state) >= 0; i++)
			usleep(10000);
		CHECK_INT(box_entries(l.state), -1);
	}
}

/* A host that is stuck doesn't keep it. */
TEST(host_stopped)
{
	struct left l = leave(tool, NULL);

	kill(l.host, SIGSTOP);
	kill(l.container, SIGKILL);
	CHECK(ends_soon(&l.program));
	close_program(&l.program);
	kill(l.host, SIGKILL);
	waitpid(l.host, NULL, 0);
}

/* Killed at any point of a launch. */
TEST(killed_at_random)
{
	for (int round = 0; round < 8; round++) {
		pid_t pid = launcher(tool);

		usleep((useconds_t)(rand() % 120000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	CHECK_INT(programs_left(tool), 0);
}

/* By another process, which knows it from its journal. */
TEST(foreign)
{
	struct left l = leave(tool, say("%s/site-%d", box.dir, mode));
	struct conex_options where = { .size = sizeof where, .state = say("%s/site-%d", box.dir, mode) };
	conex_container *c = NULL;
	conex *cx = NULL;

	box_clear();
	if (GOOD(conex_open(&where, &cx, &box.err)) && GOOD(conex_container_get(cx, "left", &c, &box.err))) {
		CHECK_STR(conex_container_address(c, NULL, AF_INET), "10.0.2.100");
		CHECK(conex_container_port(c, 80, NULL) > 1023);
		CHECK(is_alive(&l.program));
		GOOD(conex_container_delete(c, -1, &box.err));
		CHECK(ends_soon(&l.program));
	}
	conex_container_free(c);
	conex_close(cx);
	close_program(&l.program);
	kill(l.host, SIGKILL);
	waitpid(l.host, NULL, 0);
	CHECK_INT(box_entries(say("%s/site-%d/containers", box.dir, mode)), 0);
}

/* ---- what goes wrong ---- */

TEST(missing)
{
	const char *tun = say("%s/tun", box.dir);
	char *path = strdup(getenv("PATH"));

	setenv("PATH", box.dir, 1);
	CHECK_INT(box_run(BOX(.network = tool), "true"), -ENOENT);
	SAID(is_pasta() ? "package passt" : "package slirp4netns");
	setenv("PATH", path, 1);
	free(path);
	if (mode == ROOT || mode == NESTED)
		return;
	CHECK_INT(chmod(tun, 0), 0);
	CHECK_INT(box_run(BOX(.network = tool), "true"), -EACCES);
	SAID("/dev/net/tun");
	CHECK_INT(chmod(tun, 0666), 0);
	CHECK_INT(box_entries(say("%s/containers", box.cx->state->path)), 0);
}

/* A program that fails, in its own words; one that never gets ready, until somebody has enough. */
TEST(broken)
{
	struct conex_run_options o = box_options(BOX(.network = tool, .flags = CONEX_RUN_NOWAIT));
	conex_container *c = NULL;
	struct program p;

	instead("echo working; echo no way out >&2; exit 3");
	CHECK_INT(box_run(BOX(.network = tool), "true"), -ENETDOWN);
	SAID("no way out");
	instead("exit 0");
	CHECK_INT(box_run(BOX(.network = tool), "true"), -ENETDOWN);
	SAID(tool);
	instead(say("echo $$ >%s/up; while :; do sleep 1; done", box.dir));
	unlink(say("%s/up", box.dir));
	if (GOOD(conex_run(box.cx, NULL, CONEX_STRINGS("sleep", "1000"), &o, &c, &box.err))) {
		while (!content("%s/up", box.dir) && conex_container_state(c) == CONEX_CREATING)
			usleep(5000);
		CHECK_INT(conex_container_state(c), CONEX_CREATING);
		p = program_of(conex_container_id(c));
		CHECK(is_alive(&p));
		box_end(c);
		CHECK(!is_alive(&p));
		close_program(&p);
	}
	not_instead();
	CHECK_INT(box_entries(say("%s/containers", box.cx->state->path)), 0);
}

/* Somebody takes the port that was chosen: another one is. */
TEST(port_lost)
{
	struct conex_run_options o = box_options(BOX(.network = tool, .flags = CONEX_RUN_NOWAIT,
		.ports = CONEX_PORTS({ NULL, 0, 80, NULL })));
	conex_container *c = NULL;
	int port, fd, other = 0;

	instead(say("[ -e %s/once ] || { >%s/once; while [ ! -e %s/go ]; do sleep 0.01; done; exit 1; }; exec %s \"$@\"",
		box.dir, box.dir, box.dir, is_pasta() ? "/usr/bin/pasta" : "/usr/bin/slirp4netns"));
	if (GOOD(conex_run(box.cx, NULL, CONEX_STRINGS("sleep", "1000"), &o, &c, &box.err))) {
		while (!content("%s/once", box.dir) && conex_container_state(c) == CONEX_CREATING)
			usleep(5000);
		port = conex_container_port(c, 80, NULL);
		fd = listener(SOCK_STREAM, "127.0.0.1", port);
		CHECK(fd >= 0);
		make_file(say("%s/go", box.dir), "");
		while (conex_container_state(c) == CONEX_CREATING)
			usleep(5000);
		CHECK_INT(conex_container_state(c), CONEX_RUNNING);
		other = conex_container_port(c, 80, NULL);
		CHECK(other > 1023 && other != port);
		serve_inside(c, SOCK_STREAM, AF_INET, 80);
		CHECK_STR(hello(here(SOCK_STREAM, "127.0.0.1", other)), "inside 80");
		close(fd);
		box_end(c);
		stop_inside();
	}
	not_instead();
	command("rm -f %s/once %s/go", box.dir, box.dir);
}

TEST(refused)
{
	struct conex_options where = { .size = sizeof where, .flags = CONEX_DETACHED, .state = say("%s/released-%d", box.dir, mode) };
	struct conex_run_options o = box_options(BOX(.network = tool));
	conex_container *c = NULL;
	conex *cx = NULL;

	CHECK_INT(box_run(BOX(.network = say("%s,site", tool)), "true"), -EINVAL);
	SAID("alone");
	box_clear();
	CHECK_INT(conex_network_create(box.cx, tool, NULL, &box.err), -EINVAL);
	SAID(tool);
	CHECK_INT(box_run(BOX(.network = tool, .share = CONEX_NS_NET), "true"), -EINVAL);
	SAID("conex_run_options.network");
	if (mode != ROOT) {
		CHECK_INT(box_run(BOX(.network = "bridge"), "true"), -EPERM);
		SAID("\"pasta\" or \"slirp4netns\"");
	}
	box_clear();
	if (GOOD(conex_open(&where, &cx, &box.err))) {
		CHECK_INT(conex_run(cx, NULL, CONEX_STRINGS("true"), &o, &c, &box.err), -EOPNOTSUPP);
		SAID("CONEX_DETACHED");
	}
	conex_close(cx);
}

/* With the ids of root's containers, too: the program stays root's. */
TEST(with_a_user_namespace)
{
	conex_container *c = box_sleeper(BOX(.network = tool, .flags = CONEX_RUN_USERNS));

	if (!c)
		return;
	CHECK(strcmp(ns_of(conex_container_pid(c), "user"), ns_of(0, "user")) != 0);
	CHECK_STR(hello(inside(c, SOCK_STREAM, WORLD, WORLD_PORT)), "hello");
	box_end(c);
}

/* ---- who we are ---- */

static void with_tool(void)
{
	RUN(out);
	RUN(names);
	RUN(host_loopback);
	RUN(forms);
	RUN(published);
	RUN(published_v6);
	RUN(ports_refused);
	RUN(ends);
	RUN(program_killed);
	RUN(deaths);
	RUN(host_stopped);
	RUN(killed_at_random);
	RUN(foreign);
	RUN(missing);
	RUN(broken);
	RUN(port_lost);
	RUN(refused);
	if (mode == ROOT)
		RUN(with_a_user_namespace);
}

TEST(opened)
{
	struct conex_options o = { .size = sizeof o, .log = keep_log };

	GOOD(conex_open(&o, &box.cx, &box.err));
}

TEST(closed)
{
	struct program p = { .pid = 0 };
	conex_container *c = box_sleeper(BOX(.network = tool));

	if (c)
		p = program_of(conex_container_id(c));
	conex_container_free(c);
	box_clear();
	conex_close(box.cx);
	CHECK(!is_alive(&p));
	close_program(&p);
}

static void tests_of(int which)
{
	static const char *const names[] = { "a user with his own id", "a user with subordinate ids",
		"root of a user namespace", "", "root" };
	static const char *const tools[] = { "pasta", "slirp4netns" };
	const char *why;

	mode = which;
	printf("# %s\n", names[which]);
	why = mode == ROOT ? NULL : cannot();
	if (mode != ROOT)
		setenv("XDG_RUNTIME_DIR", say("%s/run", box.dir), 1);
	for (int i = 0; i < 2; i++) {
		tool = tools[i];
		printf("# %s\n", tool);
		if (why || command("command -v %s >/dev/null", tool) != 0) {
			printf("ok %d - all # SKIP %s\n", ++test_state.count, why ? why : "it isn't installed");
			fflush(stdout);
			continue;
		}
		RUN(opened);
		if (!box.cx)
			continue;
		with_tool();
		RUN(closed);
	}
}

int main(void)
{
	if (geteuid() != 0 || access("/bin/busybox", X_OK) < 0) {
		printf("1..0 # SKIP needs root and /bin/busybox\n");
		return 0;
	}
	if (box_make() != 0)
		return 1;
	command("mkdir -m 700 %s/run; chown -hR %d:%d %s", box.dir, USER, USER, box.dir);
	if (!make_world())
		return 0;
	for (int which = OWN_ID; which <= ROOT; which++)
		if (which != DELEGATED)
			run_mode(which, tests_of);
	unmake_world();
	command("rm -rf --one-file-system %s", box.dir);
	return test_end();
}
