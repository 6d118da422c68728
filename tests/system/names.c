/* What members of networks call one another, and whom they ask for other names. */
#include "network-box.h"

#include <sys/mount.h>

static int resolves(conex_container *c, const char *name)
{
	return box_exec(c, NULL, say(ASK, name)) == 0 && !strcmp(box.out, "hello");
}

static conex_container *named(const char *id, const char *networks, const char *const *hosts)
{
	conex_container *c = box_start(BOX(.id = id, .network = networks, .hosts = hosts),
		CONEX_STRINGS("sh", "-c", "while :; do echo hello | nc -l -p 80; done"));

	box_good(c ? 0 : -1, id, __FILE__, __LINE__);
	return c;
}

/* ---- one network ---- */

TEST(by_name)
{
	conex_container *a, *b;

	GOOD(network("site", 0, NULL));
	a = named("alpha", "site", NULL);
	CHECK(resolves(a, "alpha"));            /* itself */
	CHECK_INT(box_exec(a, NULL, "grep -q '^127.0.0.1 localhost' /etc/hosts && grep -q ' beta' /etc/hosts"), 1);
	b = named("beta", "site", NULL);
	CHECK(resolves(a, "beta"));             /* who came later */
	CHECK(resolves(b, "alpha"));
	CHECK_INT(box_exec(a, NULL, say("grep -q '^%s beta *$' /etc/hosts", conex_container_address(b, NULL, AF_INET))), 0);
	CHECK_INT(box_exec(a, NULL, say("grep -q '^%s beta *$' /etc/hosts", conex_container_address(b, NULL, AF_INET6))), 0);
	CHECK_INT(box_exec(a, NULL, "gateway=$(ip route | grep -o 'via [0-9.]*'); grep -q \"^${gateway#via } "
		"host.containers.internal\" /etc/hosts"), 0);
	box_end(b);
	CHECK_INT(box_exec(a, NULL, "grep '^[^#].* beta' /etc/hosts"), 1);
	CHECK_INT(box_exec(a, NULL, "nc -w 2 beta 80"), 1);
	CHECK_INT(box_exec(a, NULL, "echo x >>/etc/hosts"), 1);
	CHECK(strstr(box.out, "Read-only") != NULL);
	box_end(a);
	GOOD(gone("site"));
	CHECK_INT(access(say("%s/site", directory), F_OK), -1);
}

TEST(with_a_user_namespace)
{
	conex_container *a, *b;

	GOOD(network("site", 0, NULL));
	a = named("alpha", "site", NULL);
	b = box_start(BOX(.id = "beta", .network = "site", .flags = CONEX_RUN_USERNS), CONEX_STRINGS("sleep", "1000"));
	if (box_good(b ? 0 : -1, "beta", __FILE__, __LINE__))
		CHECK(resolves(b, "alpha"));
	box_end(b);
	box_end(a);
	GOOD(gone("site"));
}

/* A plan's launches have each their own lines. */
TEST(from_a_plan)
{
	struct conex_run_options o = box_options(BOX(.network = "bridge"));
	conex_container *list[3];
	conex_plan *plan = NULL;

	box_clear();
	GOOD(conex_plan_new(box.cx, NULL, CONEX_STRINGS("sleep", "1000"), &o, &plan, &box.err));
	for (int i = 0; i < 3; i++) {
		struct conex_run_options once = { .size = sizeof once, .id = say("same-%d", i) };

		list[i] = NULL;
		GOOD(conex_launch(box.cx, plan, NULL, &once, &list[i], &box.err));
	}
	CHECK_INT(box_exec(list[0], NULL, "grep -c ' same-[012] *$' /etc/hosts"), 0);
	CHECK_STR(box.out, "6");        /* of both families */
	for (int i = 0; i < 3; i++)
		box_end(list[i]);
	conex_plan_free(plan);
	GOOD(gone("bridge"));
}

/* ---- several, and lines of one's own ---- */

TEST(several_networks)
{
	conex_container *both, *front, *back;

	GOOD(network("front", 0, CONEX_STRINGS("10.81.0.0/24")));
	GOOD(network("back", 0, CONEX_STRINGS("10.82.0.0/24")));
	both = named("both", "front,back", CONEX_STRINGS("10.99.0.1 db db.example", "fd99::1\tsix"));
	front = named("one", "front", NULL);
	back = named("two", "back", NULL);
	CHECK(resolves(both, "one") && resolves(both, "two"));
	CHECK(resolves(front, "both") && resolves(back, "both"));
	CHECK_INT(box_exec(back, NULL, "grep ' both' /etc/hosts"), 0);
	CHECK(!strncmp(box.out, "10.82.0.", 8) && !strstr(box.out, "10.81."));
	CHECK_INT(box_exec(both, NULL, "grep '^10.99.0.1 db db.example$' /etc/hosts && grep '^fd99::1' /etc/hosts"), 0);
	CHECK_INT(box_exec(front, NULL, "grep -e db -e two /etc/hosts"), 1);
	box_end(front);
	CHECK_INT(box_exec(both, NULL, "grep '^[^#].* one' /etc/hosts"), 1);
	box_end(back);
	CHECK_INT(box_exec(both, NULL, "grep '^[^#].* two' /etc/hosts"), 1);
	box_end(both);
	CHECK_INT(command("ls %s/front/hosts %s/back/hosts | grep -v -e shared -e : | grep .", directory, directory), 256);
	GOOD(gone("front"));
	GOOD(gone("back"));
}

/* ---- while it is read ---- */

/* 0: each line is whole, and those that stay are all there. */
static int look(const char *path)
{
	const char *text = content("%s", path);
	char copy[65536], *rest = copy, *line;
	int local = 0, stays = 0;

	if (!text)
		return 1;
	strcpy(copy, text);
	while ((line = strsep(&rest, "\n"))) {
		char address[64], name[80], more[80];
		unsigned char bytes[16];

		if (line[0] == '#' || !line[0])
			continue;
		if (sscanf(line, "%63s %79s %79s", address, name, more) < 2)
			return 2;
		if (inet_pton(strchr(address, ':') ? AF_INET6 : AF_INET, address, bytes) != 1)
			return 3;
		local += !strcmp(name, "localhost");
		stays += !strcmp(name, "stays");
		if (strcmp(name, "localhost") && strcmp(name, "stays") && strncmp(name, "comer-", 6) && strncmp(name, "host.", 5))
			return 4;
	}
	return local == 2 && stays == 2 ? 0 : 5;
}

/* A reader beside it all: reads until it is told to end, or sees what mustn't be. */
static void read_all_the_time(const char *path)
{
	int r = 0;

	while (r == 0 && getppid() != 1)
		r = look(path);
	_exit(r);
}

TEST(whole_at_every_moment)
{
	char *path = strdup(say("%s/site/hosts/shared", directory));
	conex_container *stays, *comers[4] = { NULL };
	int status = -1, count = test_count("CONEX_NETWORK_COUNT", 60);
	pid_t pid;

	GOOD(network("site", 0, NULL));
	stays = box_sleeper(BOX(.id = "stays", .network = "site"));
	CHECK_INT(look(path), 0);
	fflush(stdout);
	if ((pid = fork()) == 0)
		read_all_the_time(path);
	for (int i = 0; i < count; i++) {
		box_end(comers[i % 4]);
		comers[i % 4] = box_sleeper(BOX(.id = say("comer-%d%.*s", i, i % 30, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
			.network = "site"));
	}
	CHECK_INT(waitpid(pid, &status, WNOHANG), 0);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	CHECK(WIFSIGNALED(status));
	for (int i = 0; i < 4; i++)
		box_end(comers[i]);
	CHECK_INT(command("test $(stat -c %%s %s) -lt 2048", path), 0);     /* places are used again */
	box_end(stays);
	free(path);
	GOOD(gone("site"));
}

/* ---- deaths ---- */

TEST(killed)
{
	conex_container *a;
	int left = 0;
	pid_t pid;

	GOOD(network("site", 0, NULL));
	a = named("alpha", "site", NULL);
	fflush(stdout);
	if ((pid = fork()) == 0) {
		struct conex_run_options o = box_options(BOX(.id = "victim", .network = "site",
			.hosts = CONEX_STRINGS("10.1.2.3 x")));
		conex_container *c;
		conex *cx = NULL;

		if (conex_open(NULL, &cx, NULL) == 0
		    && conex_run(cx, NULL, CONEX_STRINGS("sleep", "1000"), &o, &c, NULL) == 0)
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	CHECK_INT(waitpid(pid, &left, 0), pid);
	CHECK(WIFSIGNALED(left));
	for (int i = 0; i < 200; i++) {
		GOOD(conex_prune(box.cx, NULL, &box.err));
		if (members("site") == 1)
			break;
		usleep(50000);
	}
	CHECK_INT(box_exec(a, NULL, "grep '^[^#].* victim' /etc/hosts"), 1);
	CHECK_INT(command("ls %s/site/hosts | grep -v shared | grep .", directory), 256);
	box_end(a);
	GOOD(gone("site"));
}

/* ---- other names ---- */

/* In the mount namespace of this test alone. */
static void host_asks(const char *text)
{
	make_file(say("%s/resolv", box.dir), text);
	CHECK_INT(mount(say("%s/resolv", box.dir), "/etc/resolv.conf", NULL, MS_BIND, NULL), 0);
}

TEST(servers)
{
	conex_container *a;

	GOOD(network("site", 0, NULL));
	GOOD(network("inner", CONEX_NETWORK_INTERNAL, NULL));
	host_asks("# comment\nnameserver 127.0.0.53\nnameserver 10.9.9.9\nnameserver fe80::1%eth0\nsearch x.example\n"
		"nameserver ::1\nnameserver fd09::9\noptions ndots:2\n");
	a = box_sleeper(BOX(.network = "site"));
	CHECK_INT(box_exec(a, NULL, "cat /etc/resolv.conf"), 0);
	CHECK_STR(box.out, "nameserver 10.9.9.9\nsearch x.example\nnameserver fd09::9\noptions ndots:2");
	CHECK_INT(box_run(BOX(.network = "inner"), "cat /etc/resolv.conf"), 0);
	CHECK_STR(box.out, "# network inner has no way out");
	CHECK_INT(box_run(BOX(.network = "inner,site"), "grep -c nameserver /etc/resolv.conf"), 0);
	CHECK_STR(box.out, "2");
	CHECK_INT(box_run(BOX(.network = "site", .dns = CONEX_STRINGS("10.5.5.5", "search y", "options rotate")),
		"cat /etc/resolv.conf"), 0);
	CHECK_STR(box.out, "nameserver 10.5.5.5\nsearch y\noptions rotate");
	CHECK_INT(umount("/etc/resolv.conf"), 0);
	host_asks("nameserver 10.8.8.8\n");
	CHECK_INT(box_run(BOX(.network = "site"), "cat /etc/resolv.conf"), 0);
	CHECK_STR(box.out, "nameserver 10.8.8.8");
	CHECK_INT(box_exec(a, NULL, "grep -c nameserver /etc/resolv.conf"), 0); /* who runs keeps what he had */
	CHECK_STR(box.out, "2");
	CHECK_INT(umount("/etc/resolv.conf"), 0);
	box_end(a);
	CHECK_INT(command("ls %s/site/hosts | grep -v shared | grep .", directory), 256);
	GOOD(gone("site"));
	GOOD(gone("inner"));
}

/* ---- root file systems ---- */

TEST(places)
{
	char *bare = strdup(say("%s/bare", box.dir));

	CHECK_INT(command("cp -a %s %s && rm -rf %s/etc/hosts && mount --bind %s %s && mount -o remount,bind,ro %s",
		box.root, bare, bare, bare, bare, bare), 0);
	CHECK_INT(box_run(BOX(.network = "bridge", .rootfs = bare), "ip route; cat /etc/hosts"), 1);
	CHECK(strstr(box.out, "default via") && strstr(box.out, "No such file"));
	CHECK_INT(command("umount %s && rm %s/etc/passwd && ln -s /nowhere/hosts %s/etc/hosts", bare, bare, bare), 0);
	CHECK_INT(box_run(BOX(.network = "bridge", .rootfs = bare), "grep -c localhost /nowhere/hosts"), 0);
	CHECK_INT(command("ln -sf ../run/some/resolv %s/etc/resolv.conf", bare), 0);
	CHECK_INT(box_run(BOX(.network = "bridge", .rootfs = bare, .dns = CONEX_STRINGS("10.3.3.3")), "cat /etc/resolv.conf"), 0);
	CHECK_STR(box.out, "nameserver 10.3.3.3");
	free(bare);
	make_file(say("%s/mine", box.dir), "10.1.1.1 mine\n");
	CHECK_INT(box_run(BOX(.network = "bridge", .mounts = CONEX_MOUNTS({ say("%s/mine", box.dir), "/etc/hosts", NULL, NULL })),
		"cat /etc/hosts; grep -c . /etc/resolv.conf >/dev/null"), 0);
	CHECK_STR(box.out, "10.1.1.1 mine");
	CHECK_INT(box_run(NULL, "cat /proc/self/mountinfo"), 0);        /* without networks there are none */
	CHECK(strstr(box.out, "/etc/") == NULL);
	GOOD(gone("bridge"));
}

TEST(refused)
{
	CHECK_INT(box_run(BOX(.hosts = CONEX_STRINGS("10.1.2.3 a")), "true"), -EINVAL);
	SAID("conex_run_options.hosts");
	CHECK_INT(box_run(BOX(.network = "host", .dns = CONEX_STRINGS("10.1.2.3")), "true"), -EINVAL);
	SAID("conex_run_options.dns");
	CHECK_INT(box_run(BOX(.network = "bridge", .hosts = CONEX_STRINGS("10.1.2.3 a", "10.1.2 b")), "true"), -EINVAL);
	SAID("conex_run_options.hosts[1]");
	CHECK_INT(box_run(BOX(.network = "bridge", .hosts = CONEX_STRINGS("10.1.2.3")), "true"), -EINVAL);
	CHECK_INT(box_run(BOX(.network = "bridge", .hosts = CONEX_STRINGS("10.1.2.3 a\n10.1.1.1 b")), "true"), -EINVAL);
	CHECK_INT(box_run(BOX(.network = "bridge", .hosts = CONEX_STRINGS("10.1.2.3 a#b")), "true"), -EINVAL);
	CHECK_INT(box_run(BOX(.network = "bridge", .dns = CONEX_STRINGS("example.com")), "true"), -EINVAL);
	SAID("conex_run_options.dns[0]");
	CHECK_INT(box_run(BOX(.network = "bridge", .dns = CONEX_STRINGS("search a\nnameserver 1.1.1.1")), "true"), -EINVAL);
	CHECK_INT(if_nametoindex("cx-bridge"), 0);      /* nothing was made for any of them */
}

static void tests(void)
{
	CHECK_INT(unshare(CLONE_NEWNS), 0);
	CHECK_INT(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	RUN(by_name);
	RUN(with_a_user_namespace);
	RUN(from_a_plan);
	RUN(several_networks);
	RUN(whole_at_every_moment);
	RUN(killed);
	RUN(servers);
	RUN(places);
	RUN(refused);
	rmdir(directory);
}

int main(void)
{
	return network_box() ? with_box(tests) : 0;
}
