/* Who and what a container is: id, labels, list and get, host name, environment, directory, user. */
#include "system/box.h"

#include <signal.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

TEST(environment)
{
	struct conex_run_options o = { .env = CONEX_STRINGS("PATH=/bin", "A=1", "EMPTY=", "WITH==signs=") };

	setenv("CONEX_TEST_SECRET", "of the host", 1);
	CHECK_INT(box_run(NULL, "env | sort"), 0);
	CHECK(strstr(box.out, "SECRET") == NULL);
	CHECK(strstr(box.out, "HOME=/root\n") != NULL);
	CHECK(strstr(box.out, "PATH=/usr/local/sbin:") != NULL);
	CHECK_INT(box_run_args(&o, CONEX_STRINGS("env")), 0);
	CHECK(strstr(box.out, "PATH=/bin\n") != NULL);          /* replaced, not repeated */
	CHECK(strstr(box.out, "/usr/local/sbin") == NULL);
	CHECK(strstr(box.out, "A=1\n") != NULL);
	CHECK(strstr(box.out, "EMPTY=\n") != NULL);
	CHECK(strstr(box.out, "WITH==signs=\n") != NULL);
	o.env = CONEX_STRINGS("A=1", "A=2");
	CHECK_INT(box_run(&o, "echo $A"), 0);
	CHECK_STR(box.out, "2");
	o.env = CONEX_STRINGS("NO_SIGN");
	CHECK_INT(box_run(&o, "true"), -EINVAL);
	SAID("env[0]");
}

/* A launch's environment lies over its plan's, name by name. */
TEST(environment_of_a_launch)
{
	struct conex_run_options what = { .size = sizeof what, .rootfs = box.root, .env = CONEX_STRINGS("A=plan", "B=plan") };
	struct conex_run_options once = { .size = sizeof once, .env = CONEX_STRINGS("A=launch"), .out = CONEX_STDIO_PIPE };
	conex_plan *plan = NULL;
	conex_container *c = NULL;

	box_clear();
	GOOD(conex_plan_new(box.cx, NULL, CONEX_STRINGS("sh", "-c", "echo $A $B $0"), &what, &plan, &box.err));
	for (int i = 0; i < 2; i++) {
		GOOD(conex_launch(box.cx, plan, i ? CONEX_STRINGS("sh", "-c", "echo $B $A other") : NULL, &once, &c, &box.err));
		GOOD(conex_container_output(c, -1, &box.io, &box.err));
		CHECK_STR(box.io.out, i ? "plan launch other\n" : "launch plan sh\n");
		conex_output_clear(&box.io);
		box_end(c);
	}
	conex_plan_free(plan);
}

TEST(directory)
{
	struct conex_run_options o = { .cwd = "/etc" };
	conex_container *c;

	CHECK_INT(box_run(&o, "pwd; cat passwd | head -n 1"), 0);
	CHECK(!strncmp(box.out, "/etc\nroot:", 10));
	o.cwd = "relative";
	CHECK_INT(box_run(&o, "true"), -EINVAL);
	SAID("process.cwd");
	o.cwd = "/bin/busybox";
	CHECK_INT(box_run(&o, "true"), -ENOTDIR);
	SAID("/bin/busybox");
	c = box_sleeper(NULL);
	o.cwd = "/tmp";
	CHECK_INT(box_exec(c, &o, "pwd"), 0);
	CHECK_STR(box.out, "/tmp");
	CHECK_INT(box_exec(c, NULL, "pwd"), 0);
	CHECK_STR(box.out, "/");
	box_end(c);
}

TEST(host_name)
{
	struct conex_run_options o = { .id = "named-by-id" };

	CHECK_INT(box_run(&o, "hostname"), 0);
	CHECK_STR(box.out, "named-by-id");
	o.hostname = "other";
	CHECK_INT(box_run(&o, "hostname"), 0);
	CHECK_STR(box.out, "other");
	o.hostname = "a name that is longer than the sixty-four bytes that the kernel has for it";
	CHECK_INT(box_run(&o, "true"), -EINVAL);
	SAID("hostname");
}

/* ---- users ---- */

enum { REFUSED = -1 };

/* What a user's text means; the files have names made of digits, and one that is too large. */
static const struct { const char *user; long uid, gid; } users[] = {
	{ "0", 0, 0 }, { "1", 1, 0 }, { "1:2", 1, 2 }, { "user", 1000, 1001 }, { "user:extra", 1000, 2000 },
	{ "user:7", 1000, 7 }, { "7:extra", 7, 2000 }, { "2147483648", 2147483648, 0 },
	{ "4294967294:4294967294", 4294967294, 4294967294 }, { "00", 0, 0 }, { "007", 7, 0 },
	{ "31337", 31337, 0 },                  /* a number, though passwd has that name */
	{ "31337:31337", 31337, 31337 },
	{ "1:", REFUSED, 0 }, { ":1", REFUSED, 0 }, { ":", REFUSED, 0 }, { "", REFUSED, 0 }, { "+1", REFUSED, 0 },
	{ "-1", REFUSED, 0 }, { " 1", REFUSED, 0 }, { "1 ", REFUSED, 0 }, { "0x1", REFUSED, 0 },
	{ "4294967295", REFUSED, 0 }, { "4294967296", REFUSED, 0 }, { "18446744073709551616", REFUSED, 0 },
	{ "99999999999999999999999999", REFUSED, 0 }, { "1:4294967295", REFUSED, 0 }, { "1:4294967296", REFUSED, 0 },
	{ "nobody-here", REFUSED, 0 }, { "user:nobody-here", REFUSED, 0 }, { "1:2:3", REFUSED, 0 },
	{ "huge", REFUSED, 0 }, { "broken", REFUSED, 0 }, { "use", REFUSED, 0 }, { "user\n", REFUSED, 0 },
};

static void write_users(void)
{
	make_file(say("%s/etc/passwd", box.root),
		"root:x:0:0::/root:/bin/sh\nuser:x:1000:1001::/home:/bin/sh\nbroken:x\n31337:x:0:0::/:/bin/sh\n"
		"4294967296:x:0:0::/:/bin/sh\n+1:x:+1:0::/:\nhuge:x:4294967296:0::/:/bin/sh\n");
	make_file(say("%s/etc/group", box.root), "root:x:0:\nextra:x:2000:\n31337:x:0:\n4294967296:x:0:\n");
}

static void check_user(conex_container *c, int i)
{
	struct conex_run_options o = { .user = users[i].user };
	const char *who = "awk '/^[UG]id/ { print $3 }' /proc/self/status";
	int r = c ? box_exec(c, &o, who) : box_run(&o, who);

	if (users[i].uid == REFUSED ? !CHECK(r < 0) || !SAID("user") : !CHECK_INT(r, 0)
			|| !CHECK_STR(box.out, say("%ld\n%ld", users[i].uid, users[i].gid)))
		printf("# %s of \"%s\": %s\n", c ? "exec" : "run", users[i].user, box.out);
}

TEST(users_table)
{
	conex_container *c = box_sleeper(NULL);

	write_users();
	for (unsigned i = 0; i < sizeof users / sizeof *users; i++) {
		check_user(NULL, (int)i);
		if (c)
			check_user(c, (int)i);
	}
	box_end(c);
}

static void refused_at_once(const struct conex_run_options *o, conex_container *c, const char *what)
{
	if (!CHECK(box_run(o, "true") < 0) || !SAID("user"))
		printf("# passwd is %s\n", what);
	if (!CHECK(box_exec(c, o, "true") < 0) || !SAID("user"))
		printf("# at exec, passwd is %s\n", what);
}

/* Waits in open(2) for somebody who reads the fifo. */
static pid_t start_writer(const char *fifo)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(open(fifo, O_WRONLY | O_CLOEXEC) < 0);
	return pid;
}

/* Class I. The image's files are a stranger's: links out of it lead nowhere, nothing but a file is opened, be it
 * for a moment (a device would be set off), and nobody reads for ever. */
TEST(users_of_a_hostile_image)
{
	const char *passwd = say("%s/etc/passwd", box.root);
	struct conex_run_options o = { .user = "root" };
	conex_container *c = box_sleeper(NULL);
	pid_t writer;

	unlink(passwd);
	CHECK_INT(symlink("/etc/shadow", passwd), 0);
	refused_at_once(&o, c, "a link to the host's file of another name");
	unlink(passwd);
	make_file(say("%s/outside", box.dir), "root:x:0:0::/:/bin/sh\n");
	CHECK_INT(symlink(say("%s/outside", box.dir), passwd), 0);
	refused_at_once(&o, c, "a link to a file of the host");
	unlink(passwd);
	CHECK_INT(symlink("../../../../../../../../etc/passwd", passwd), 0);
	refused_at_once(&o, c, "a link to itself, seen from inside");
	unlink(passwd);
	CHECK_INT(mkdir(passwd, 0755), 0);
	refused_at_once(&o, c, "a directory");
	rmdir(passwd);
	CHECK_INT(mknod(passwd, S_IFCHR | 0666, makedev(1, 5)), 0);
	refused_at_once(&o, c, "/dev/zero");
	unlink(passwd);
	CHECK_INT(command("truncate -s 10G %s", passwd), 0);
	refused_at_once(&o, c, "10 GiB of nothing");
	unlink(passwd);
	CHECK_INT(mkfifo(passwd, 0600), 0);
	writer = start_writer(passwd);
	refused_at_once(&o, c, "a fifo");
	CHECK_INT(waitpid(writer, NULL, WNOHANG), 0);   /* nobody has opened it */
	kill(writer, SIGKILL);
	waitpid(writer, NULL, 0);
	unlink(passwd);
	write_users();
	CHECK_INT(box_run(&o, "true"), 0);
	CHECK_INT(box_exec(c, &o, "true"), 0);
	box_end(c);
}

TEST(rights_go_with_the_user)
{
	struct conex_run_options o = { .user = "user" };

	write_users();
	CHECK_INT(box_run(&o, "id -G; grep -c 'Cap\\(Eff\\|Prm\\|Amb\\):.0000000000000000' /proc/self/status; touch /etc/x"), 1);
	CHECK(!strncmp(box.out, "1001\n3\n", 7));
}

/* ---- ids, labels, list, get ---- */

TEST(ids)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "-a", ".a", "_a", "a b", "../../etc", "a\n", "a\\", "é",
		"a234567890123456789012345678901234567890123456789012345678901234x" };
	struct conex_run_options o = { .id = "an.id-with_all.0" };
	conex_container *c = box_sleeper(&o), *other;

	if (!c)
		return;
	CHECK_STR(conex_container_id(c), "an.id-with_all.0");
	CHECK(box_start(&o, CONEX_STRINGS("true")) == NULL);
	CHECK_INT(conex_error_code(box.err), -EEXIST);
	GOOD(conex_container_get(box.cx, "an.id-with_all.0", &other, &box.err));
	CHECK(other == c);                                      /* one object a container */
	conex_container_free(other);
	box_end(c);
	box_end(box_sleeper(&o));                               /* free again */
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		o.id = bad[i];
		CHECK(box_start(&o, CONEX_STRINGS("true")) == NULL);
		CHECK_INT(conex_error_code(box.err), -EINVAL);
	}
	c = box_sleeper(NULL);
	CHECK_INT(strlen(conex_container_id(c)), 12);
	CHECK_INT(strspn(conex_container_id(c), "abcdefghijklmnopqrstuvwxyz"), 12);
	box_end(c);
}

TEST(labels)
{
	struct conex_run_options o = { .id = "labelled", .labels = CONEX_STRINGS("role=db", "empty=", "a=b=c") };
	conex_container *c = box_sleeper(&o);

	if (!c)
		return;
	CHECK_STR(conex_container_label(c, "role"), "db");
	CHECK_STR(conex_container_label(c, "empty"), "");
	CHECK_STR(conex_container_label(c, "a"), "b=c");
	CHECK(conex_container_label(c, "rol") == NULL);
	CHECK(conex_container_label(c, "none") == NULL);
	box_end(c);
	o.labels = CONEX_STRINGS("fine=1", "no sign");
	CHECK(box_start(&o, CONEX_STRINGS("true")) == NULL);
	SAID("labels[1]");
}

static int listed(const char *label, const char *id)
{
	char **ids = NULL;
	int n = conex_container_list(box.cx, label, &ids, &box.err), found = 0;

	GOOD(n);
	for (int i = 0; i < n; i++)
		found += !strcmp(ids[i], id);
	if (n >= 0)
		CHECK(ids[n] == NULL);
	free(ids);
	return found;
}

TEST(list_and_json)
{
	struct conex_run_options a = { .id = "list-a", .labels = CONEX_STRINGS("role=db") };
	struct conex_run_options b = { .id = "list-b", .labels = CONEX_STRINGS("role=web") };
	conex_container *first = box_sleeper(&a), *second = box_sleeper(&b);
	char *json = NULL;

	CHECK(listed(NULL, "list-a") && listed(NULL, "list-b"));
	CHECK(listed("role=db", "list-a") && !listed("role=db", "list-b"));
	CHECK(listed("role", "list-a") && listed("role", "list-b"));
	CHECK(!listed("role=d", "list-a") && !listed("rol", "list-a"));
	GOOD(conex_container_json(first, &json, &box.err));
	if (json) {
		CHECK(strstr(json, "\"id\": \"list-a\"") != NULL);
		CHECK(strstr(json, "\"status\": \"running\"") != NULL);
		CHECK(strstr(json, say("\"pid\": %d", (int)conex_container_pid(first))) != NULL);
		CHECK(strstr(json, "\"role\": \"db\"") != NULL);
	}
	free(json);
	box_end(first);
	CHECK(!listed(NULL, "list-a"));
	box_end(second);
}

static void tests(void)
{
	RUN(environment);
	RUN(environment_of_a_launch);
	RUN(directory);
	RUN(host_name);
	RUN(users_table);
	RUN(users_of_a_hostile_image);
	RUN(rights_go_with_the_user);
	RUN(ids);
	RUN(labels);
	RUN(list_and_json);
}

int main(void)
{
	return with_box(tests);
}
