/* Attacks by descriptors and directories that a careless host has left open, class B (CVE-2024-21626,
 * CVE-2016-9962): as working directory, through links of the image, and in /proc/1/fd at every barrier. */
#include "system/box.h"

#include <regex.h>

enum { LEAKED = 100 };

static int leaked[LEAKED];      /* directories of the host, not close-on-exec */
static int highest;

static void leak(void)
{
	for (int i = 0; i < LEAKED; i++) {
		leaked[i] = open(i % 2 ? "/etc" : "/", O_RDONLY | O_DIRECTORY);
		if (!CHECK(leaked[i] >= 0))
			return;
	}
	highest = leaked[LEAKED - 1];
}

static void plug(void)
{
	for (int i = 0; i < LEAKED; i++)
		close(leaked[i]);
}

/* ---- as working directory ---- */

static void refused(conex_container *c, const char *cwd)
{
	struct conex_run_options o = { .size = sizeof o, .cwd = cwd };

	if (!CHECK(box_run(&o, "pwd; ls") < 0) || !SAID(cwd))
		printf("# run in %s: %s\n", cwd, box.out);
	if (!CHECK(box_exec(c, &o, "pwd; ls") < 0) || !SAID(cwd))
		printf("# exec in %s: %s\n", cwd, box.out);
}

TEST(working_directory)
{
	conex_container *c = box_sleeper(NULL);

	leak();
	for (int n = 0; n <= highest + 10; n++) {
		refused(c, say("/proc/self/fd/%d", n));
		if (n < 12) {           /* ours are among these */
			refused(c, say("/proc/self/fd/%d/..", n));
			refused(c, say("/proc/1/fd/%d", n));
			refused(c, say("/proc/thread-self/fd/%d/../../..", n));
			refused(c, say("/dev/fd/%d", n));
		}
	}
	plug();
	box_end(c);
}

/* WORKDIR of an image, led there by a link; the working directory of a process that never left the host. */
TEST(links_of_the_image)
{
	conex_container *c = box_sleeper(NULL);
	char path[80];

	leak();
	snprintf(path, sizeof path, "%s/work", box.root);
	for (int n = 3; n < 16; n++) {
		CHECK_INT(symlink(say("/proc/self/fd/%d", n), path), 0);
		refused(c, "/work");
		unlink(path);
	}
	CHECK_INT(symlink("/proc/self/cwd", path), 0);
	refused(c, "/work");
	unlink(path);
	CHECK_INT(symlink("/proc/1/root/etc", path), 0);
	refused(c, "/work");
	unlink(path);
	plug();
	box_end(c);
}

/* ---- what is open, by the kernel's word ---- */

/* Each link of a process's descriptors is something without a way out: neither file nor directory. */
static void harmless(const char *links, const char *when)
{
	regex_t good;

	CHECK_INT(regcomp(&good, "^(socket:.*|pipe:.*|/dev/null|anon_inode:.*|/memfd:.*|/dev/pts/.*)$",
		REG_EXTENDED | REG_NOSUB), 0);
	CHECK(links && *links);
	for (const char *line = links ? links : ""; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *one = say("%.*s", (int)strcspn(line, "\n"), line);

		if (!CHECK_INT(regexec(&good, one, 0, NULL, 0), 0))
			printf("# %s: %s\n", when, one);
	}
	regfree(&good);
}

/* Of a process, from outside. */
static const char *links_of(pid_t pid)
{
	static char text[8192];
	size_t size = 0;
	DIR *d = opendir(say("/proc/%d/fd", (int)pid));
	struct dirent *e;

	text[0] = '\0';
	while (d && (e = readdir(d))) {
		char to[256];
		ssize_t n = readlinkat(dirfd(d), e->d_name, to, sizeof to - 1);

		if (n > 0 && size + (size_t)n + 2 < sizeof text)
			size += (size_t)snprintf(text + size, sizeof text - size, "%.*s\n", (int)n, to);
	}
	if (d)
		closedir(d);
	return text;
}

#define LIST(of) "for f in /proc/" of "/fd/*; do [ ! -L $f ] || readlink $f || :; done"

/* What can be had of the first process's, from inside: where they lead, reading, entering. */
#define REACH "for f in /proc/1/fd/* /proc/1/cwd /proc/1/root /proc/1/exe; do readlink $f; head -c 9 $f; ls $f/; " \
	"ls $f/..; done 2>/dev/null; :"

TEST(running)
{
	conex_container *c;

	leak();
	c = box_sleeper(NULL);
	CHECK_INT(box_descriptors(conex_container_pid(c), 3), 3);
	harmless(links_of(conex_container_pid(c)), "running");
	CHECK_INT(box_exec(c, NULL, LIST("1")), 0);
	CHECK_STR(box.out, "/dev/null\n/dev/null\n/dev/null");
	CHECK_INT(box_exec(c, NULL, "exec 2>/dev/null; " LIST("self")), 0);
	CHECK(strstr(box.out, "/etc") == NULL && strstr(box.out, "/\n") == NULL);
	plug();
	box_end(c);
}

/* The start barrier: what it has of ours by now is its socket and empty mounts, and all of that closes at exec. */
TEST(held)
{
	struct conex_run_options o = { .flags = CONEX_RUN_HOLD };
	conex_container *c;

	leak();
	c = box_sleeper(&o);
	if (c && CHECK_INT(conex_container_state(c), CONEX_HELD)) {
		const char *links = links_of(conex_container_pid(c));

		CHECK(strstr(links, "/etc\n") == NULL && strstr(links, box.dir) == NULL);
		CHECK(box_entries(say("/proc/%d/fd", (int)conex_container_pid(c))) <= 8);
		/* inside nobody gets at them: it isn't dumpable */
		CHECK_INT(box_exec(c, NULL, REACH), 0);
		CHECK_STR(box.out, "");
		GOOD(conex_container_start(c, &box.err));
		CHECK_INT(box_descriptors(conex_container_pid(c), 3), 3);
		harmless(links_of(conex_container_pid(c)), "started");
	}
	plug();
	box_end(c);
}

/* Hooks are programs of others as well: they get stdio and nothing else, before pivot and after. */
TEST(hooks)
{
	const char *hook = say("%s/hook", box.dir);
	struct conex_run_options o = { .fds = (const int[]){ STDERR_FILENO }, .fds_size = 1 };

	make_file(hook, say("#!/bin/sh\n{ " LIST("self") "; } > %s/create\n", box.dir));
	chmod(hook, 0755);
	o.oci = say("{\"hooks\": {\"createContainer\": [{\"path\": \"%s\"}], \"startContainer\": [{\"path\": \"/bin/sh\","
		"\"args\": [\"sh\", \"-c\", \"{ " LIST("self") "; } >/tmp/start; { " REACH "; } >/tmp/first; true\"]}]}}",
		hook);
	leak();
	CHECK_INT(box_run(&o, LIST("self")), 0);
	plug();
	for (int i = 0; i < 2; i++) {
		const char *text = content("%s/%s", box.dir, i ? "root/tmp/start" : "create");
		int lines = 0;

		for (const char *at = text; at && *at; at++)
			lines += *at == '\n';
		CHECK(text && strstr(text, "/etc\n") == NULL && strstr(text, "/\n") == NULL);
		/* stdin is the state, stdout the file; the shell's own script and directory come and go */
		if (!CHECK(lines < 6))
			printf("# %s: %s\n", i ? "startContainer" : "createContainer", text);
	}
	CHECK_STR(content("%s/tmp/first", box.root), "");
}

static void tests(void)
{
	RUN(working_directory);
	RUN(links_of_the_image);
	RUN(running);
	RUN(held);
	RUN(hooks);
}

int main(void)
{
	return with_box(tests);
}
