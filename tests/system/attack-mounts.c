/* Attacks on what is mounted where: somebody who shares a volume swaps directories and links while containers
 * are made (class C), the image's /dev leads elsewhere (D), what masks with isn't what it seems (E). */
#include "system/box.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char *pattern;           /* the machine's core_pattern, a favourite target */

static int rounds(int otherwise)
{
	const char *text = getenv("CONEX_ATTACK_ROUNDS");

	return text && atoi(text) > 0 ? atoi(text) : otherwise;
}

/* ---- what must not change ---- */

/* Mounts of ours, and all that is on the host where attacks lead to: names, kinds, modes, owners, sizes. */
static char *host_now(void)
{
	char *text = NULL, line[4096];
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	FILE *from = popen(say("find %s/canary -printf '%%p %%y %%m %%U %%s %%i\n' | sort; cat %s/canary/file;"
		" ls -A / /etc %s; ls -Ad /tmp/x 2>/dev/null; grep %s /proc/self/mountinfo", box.dir, box.dir, box.dir, box.dir), "re");

	while (from && fgets(line, sizeof line, from))
		fputs(line, to);
	if (from)
		pclose(from);
	fclose(to);
	return text;
}

/* Frees both. */
static void is_as_before(char *before, const char *what)
{
	char *after = host_now(), *b = before, *a = after;

	while (*b && *a && *b == *a)
		b++, a++;
	if (!CHECK(!*b && !*a))
		printf("# %s: \"%.80s\" became \"%.80s\"\n", what, b, a);
	CHECK_STR(content("/proc/sys/kernel/core_pattern"), pattern);
	free(before);
	free(after);
}

static void make_canary(void)
{
	CHECK_INT(command("rm -rf %s/canary; mkdir %s/canary", box.dir, box.dir), 0);
	make_file(say("%s/canary/file", box.dir), "untouched");
}

/* ---- C: swapped while containers are made ---- */

/* Inside the attacker's container: exchanges two names for ever. */
static int swap(const char *one, const char *two)
{
	for (;;)
		if (syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, two, 2 /* RENAME_EXCHANGE */) < 0 && errno != ENOENT)
			return errno;
}

/* A container that has the directory as /vol, and swaps /vol/t and /vol/link. */
static conex_container *start_swapping(const char *directory)
{
	struct conex_run_options o = { .out = CONEX_STDIO_PIPE,
		.mounts = CONEX_MOUNTS({ directory, "/vol", NULL, "rw" }, BOX_USR) };
	conex_container *c = box_start(&o, CONEX_STRINGS("/probe", "swap", "/vol/t", "/vol/link"));
	char byte;

	if (box_good(c ? 0 : -1, "attacker", __FILE__, __LINE__))
		while (read(conex_container_stdio(c, 1), &byte, 1) < 0 && errno == EAGAIN)
			poll(&(struct pollfd){ conex_container_stdio(c, 1), POLLIN, 0 }, 1, -1);
	return c;
}

/* All that a spec can put below /t: mounts of every kind, devices, and what is covered at the end. */
static const char *below(const char *t)
{
	return say("{\"mounts\": [{\"destination\": \"%s/new/tmpfs\", \"type\": \"tmpfs\"},"
		"{\"destination\": \"%s/new/dir\", \"type\": \"bind\", \"source\": \"%s/shared\", \"options\": [\"bind\"]},"
		"{\"destination\": \"%s/new/file\", \"type\": \"bind\", \"source\": \"%s/root/etc/passwd\","
		"\"options\": [\"bind\"]},"
		"{\"destination\": \"%s/copy\", \"type\": \"tmpfs\", \"options\": [\"tmpcopyup\"]}],"
		"\"linux\": {\"devices\": [{\"path\": \"%s/node\", \"type\": \"c\", \"major\": 1, \"minor\": 3}],"
		"\"maskedPaths\": [\"%s/new\"], \"readonlyPaths\": [\"%s/copy\"]}}",
		t, t, box.dir, t, box.dir, t, t, t, t);
}

/* Containers one after another while the attacker swaps; how many ran. */
static int make_victims(const struct conex_run_options *o, const char *t)
{
	int ran = 0;

	for (int i = 0; i < rounds(300); i++) {
		int r = box_run(o, "exit 5");

		if (r < 0 && !CHECK(conex_error_stage(box.err) == CONEX_STAGE_CHILD))
			printf("# %s\n", conex_error_text(box.err));
		CHECK(r < 0 || r == 5);
		ran += r == 5;
		command("rm -rf %s/new %s/node %s/copy 2>/dev/null", t, t, t);
	}
	return ran;
}

static void race(const char *directory, const struct conex_run_options *o, const char *target)
{
	conex_container *attacker;
	char *before;
	int ran;

	make_canary();
	CHECK_INT(command("cd %s && rm -rf t link && mkdir t && ln -s ../../../../../../../..%s/canary link",
		directory, box.dir), 0);
	before = host_now();
	attacker = start_swapping(directory);
	ran = make_victims(o, target);
	printf("# %d of %d ran\n", ran, rounds(300));
	CHECK_INT(attacker ? conex_container_state(attacker) : -1, CONEX_RUNNING);
	box_end(attacker);
	is_as_before(before, "a race");
}

/* The victims' root itself is shared. */
TEST(swapped_in_the_root)
{
	const char *root = say("%s/root-c", box.dir);
	struct conex_run_options o = { .rootfs = root, .oci = strdup(below("/t")) };

	CHECK_INT(command("cp -a %s %s; mkdir -p %s/shared", box.root, root, box.dir), 0);
	race(root, &o, say("%s/t", root));
	free((char *)o.oci);
}

/* A volume that both have. */
TEST(swapped_in_a_volume)
{
	const char *volume = say("%s/volume", box.dir);
	struct conex_run_options o = { .mounts = CONEX_MOUNTS({ volume, "/vol", NULL, "rw" }),
		.oci = strdup(below("/vol/t")) };

	CHECK_INT(command("mkdir -p %s %s/shared", volume, box.dir), 0);
	race(volume, &o, say("%s/t", volume));
	free((char *)o.oci);
}

/* ---- D: /dev ---- */

/* An image that is made so; nothing outside of it changes, whether a container starts or not. */
static int with_image(const char *make, const char *oci)
{
	const char *root = say("%s/root-d", box.dir);
	struct conex_run_options o = { .rootfs = root, .oci = oci, .timeout_ms = 60000 };
	char *before;
	int r;

	make_canary();
	CHECK_INT(command("rm -rf %s; mkdir -p %s/root %s/proc %s/sys; cp -a %s/bin %s/; cd %s; %s", root, root, root, root,
		box.root, root, root, make), 0);
	before = host_now();
	r = box_run(&o, "echo x >/dev/null; ls /dev/ | grep -c 'null$\\|ptmx$\\|shm$'");
	is_as_before(before, make);
	return r;
}

TEST(dev_is_a_link)
{
	static const char *const to[] = { "/tmp/x", "../../../../../../tmp", "../canary", "/proc/self/fd", "tmp/x",
		"/dev", "." };

	for (unsigned i = 0; i < sizeof to / sizeof *to; i++) {
		if (!CHECK_INT(with_image(say("mkdir -p tmp/x; ln -s %s dev", to[i]), NULL), -ELOOP))
			printf("# /dev is a link to %s\n", to[i]);
		SAID("/dev");
	}
	CHECK_INT(with_image("ln -s /dev/shm lib; mkdir dev", NULL), 0);
	CHECK_STR(box.out, "3");
}

/* The image's own /dev stays, as the specification says, and has links where others are mounted. */
TEST(links_in_dev)
{
	static const char *const names[] = { "pts", "shm", "mqueue" };
	static const char *const to[] = { "/tmp/x", "../../../../../../..", "../tmp/x", "/proc/self/root" };
	char *oci = strdup(say(OCI({"mounts": [{"destination": "/dev", "type": "bind", "source": "%s/root-d/dev",
		"options": ["bind"]}]}), box.dir));

	for (unsigned n = 0; n < sizeof names / sizeof *names; n++)
		for (unsigned i = 0; i < sizeof to / sizeof *to; i++) {
			if (!CHECK_INT(with_image(say("mkdir -p tmp/x dev/pts dev/shm dev/mqueue; rmdir dev/%s; ln -s %s dev/%s",
				names[n], to[i], names[n]), oci), -ELOOP))
				printf("# /dev/%s is a link to %s\n", names[n], to[i]);
			SAID(say("/dev/%s", names[n]));
		}
	/* links where ours would be are the image's own business: they are left, nothing goes through them */
	CHECK_INT(with_image("mkdir -p dev/pts dev/shm dev/mqueue; ln -s ../../canary/file dev/ptmx; ln -s /proc/1 dev/fd",
		oci), 0);
	free(oci);
}

/* ---- E: what covers masked files ---- */

/* An image with a /dev of its own, which others can write to. */
static const char *make_dev(const char *null)
{
	make_canary();
	CHECK_INT(command("rm -rf %s/root-e; cp -a %s %s/root-e; cd %s/root-e/dev; %s", box.dir, box.root, box.dir, box.dir,
		null), 0);
	return say("%s/root-e", box.dir);
}

/* Nothing is mounted on /dev: the default devices are made in what the image has. */
static conex_spec *own_dev(void)
{
	conex_spec *spec = NULL;

	GOOD(conex_spec_parse(OCI({"ociVersion": "1.2.0", "root": {"path": "/"}, "process": {"cwd": "/", "user": {},
		"env": ["PATH=/bin"], "args": ["true"]}, "mounts": [{"destination": "/proc", "type": "proc"}],
		"linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}], "maskedPaths": ["/proc/keys"],
		"readonlyPaths": ["/proc/sys"]}}), &spec, &box.err));
	return spec;
}

/* /dev is a directory of the host, in which nothing is made. */
static char *bound_dev(void)
{
	return strdup(say(OCI({"mounts": [{"destination": "/dev", "type": "bind", "source": "%s/root-e/dev",
		"options": ["bind"]}]}), box.dir));
}

/* /proc/keys as a program sees it, and what it reads there. */
#define KEYS "stat -c %t:%T /proc/keys; cat /proc/keys | wc -c; (echo evil >/proc/keys; [ -p /dev/null ] ||" \
	" echo evil >/dev/null) 2>/proc/1/fd/2; :"

TEST(dev_null_is_another)
{
	static const char *const make[] = { "ln -s /proc/sys/kernel/core_pattern null", "ln -s ../../canary/file null",
		"touch null", "mknod null c 1 5", "mkdir null", "mkfifo null" };
	struct conex_run_options own = { .spec = own_dev() }, bound = { .oci = bound_dev() };

	for (unsigned i = 0; i < sizeof make / sizeof *make; i++) {
		const char *root = make_dev(make[i]);
		char *before = host_now();

		own.rootfs = bound.rootfs = root;
		CHECK_INT(box_run(&own, KEYS), -EEXIST);
		SAID("/dev/null");
		if (!CHECK_INT(box_run(&bound, KEYS), 0) || !CHECK(!strncmp(box.out, "1:3\n0", 5)))
			printf("# %s: %s\n", make[i], box.out);
		is_as_before(before, make[i]);
	}
	conex_spec_free((conex_spec *)own.spec);
	free((char *)bound.oci);
}

/* Swapped for a link while containers are made: what masks is the kernel's null all the same. */
TEST(dev_null_is_swapped)
{
	struct conex_run_options own = { .spec = own_dev(),
		.rootfs = make_dev("mknod null c 1 3; ln -s /proc/sys/kernel/core_pattern other") };
	char null[96], link[96], *before = host_now();
	int ran = 0;
	pid_t pid;

	snprintf(null, sizeof null, "%s/dev/null", own.rootfs);
	snprintf(link, sizeof link, "%s/dev/other", own.rootfs);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(swap(null, link));
	for (int i = 0; i < rounds(100); i++) {
		int r = box_run(&own, "stat -c %t:%T /proc/keys; cat /proc/keys | wc -c");

		if (r >= 0)
			CHECK_STR(box.out, "1:3\n0");
		else
			CHECK_INT(r, -EEXIST);
		ran += r >= 0;
	}
	CHECK_INT(waitpid(pid, NULL, WNOHANG), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	printf("# %d of %d ran\n", ran, rounds(100));
	is_as_before(before, "a swapped null");
	conex_spec_free((conex_spec *)own.spec);
}

static void tests(void)
{
	pattern = strdup(content("/proc/sys/kernel/core_pattern"));
	RUN(swapped_in_the_root);
	RUN(swapped_in_a_volume);
	RUN(dev_is_a_link);
	RUN(links_in_dev);
	RUN(dev_null_is_another);
	RUN(dev_null_is_swapped);
	free(pattern);
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "swap"))
		return puts("swapping") < 0 || fflush(stdout) || swap(argv[2], argv[3]);
	return with_box(tests);
}
