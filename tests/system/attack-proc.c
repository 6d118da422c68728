/* Attacks that lead writes to procfs elsewhere, class F (CVE-2019-16884, CVE-2025-52881): mounts over the files
 * that setup writes to, by the specification and by a container that makes its own /proc before an exec. */
#include "system/box.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

static const struct conex_mount usr[] = { BOX_USR, { NULL, NULL, NULL, NULL } };
static char fake[64];

#define SCORE "{\"process\":{\"oomScoreAdj\":300}}"

/* ---- by mounts of the specification ---- */

/* The sysctl as the kernel has it in a container's network namespace, read through another container's /proc. */
static int forwarding_of(conex_container *c)
{
	struct conex_run_options o = { .oci = say("{\"linux\":{\"namespaces\":[{\"type\":\"network\","
		"\"path\":\"/proc/%d/ns/net\"}]}}", (int)conex_container_pid(c)) };

	CHECK_INT(box_run(&o, "cat /proc/sys/net/ipv4/conf/lo/forwarding"), 0);
	return box.out[0] - '0';
}

static void is_fake_untouched(const char *target)
{
	if (!CHECK_STR(content("%s", fake), "fake"))
		printf("# %s was written to\n", target);
}

/* Whatever lies over the file: the kernel's own is written to, never what lies over it. */
TEST(mounts_over_files)
{
	static const char *const targets[] = { "/proc/sys/net/ipv4/conf/lo/forwarding", "/proc/self/oom_score_adj",
		"/proc/1/oom_score_adj", "/proc/thread-self/oom_score_adj", "/proc/self/attr/exec", "/proc/1/attr/exec",
		"/proc/sysrq-trigger", "/proc/1/sched", "/proc/1/timens_offsets", "/proc/1/setgroups", "/proc/1/uid_map" };
	struct conex_run_options o = { .oci = OCI({"linux": {"sysctl": {"net.ipv4.conf.lo.forwarding": "1"}},
		"process": {"oomScoreAdj": 300}}) };

	for (unsigned i = 0; i < sizeof targets / sizeof *targets; i++) {
		conex_container *c;

		o.mounts = CONEX_MOUNTS({ fake, targets[i], NULL, NULL });
		make_file(fake, "fake");
		c = box_start(&o, CONEX_STRINGS("sleep", "1000"));
		if (c) {
			CHECK_STR(content("/proc/%d/oom_score_adj", (int)conex_container_pid(c)), "300");
			CHECK_INT(forwarding_of(c), 1);
		} else if (!CHECK(conex_error_stage(box.err) == CONEX_STAGE_CHILD) || !CHECK(strstr(conex_error_text(box.err),
				targets[i]) != NULL)) {
			printf("# %s: %s\n", targets[i], conex_error_text(box.err));
		}
		is_fake_untouched(targets[i]);
		box_end(c);
	}
}

/* Whole trees: a tmpfs where /proc or a part of it should be, a directory of the host with the same names. */
TEST(mounts_over_trees)
{
	static const char *const targets[] = { "/proc/sys", "/proc/sys/net/ipv4/conf", "/proc/self", "/proc/self/attr",
		"/proc/1", "/proc" };
	struct conex_run_options o = { .oci = OCI({"linux": {"sysctl": {"net.ipv4.conf.lo.forwarding": "1"},
		"maskedPaths": [], "readonlyPaths": []}, "process": {"oomScoreAdj": 300}}) };
	char *tree = strdup(say("%s/tree", box.dir));

	CHECK_INT(command("mkdir -p %s/net/ipv4/conf/lo %s/lo %s/attr; cd %s; for f in net/ipv4/conf/lo/forwarding"
		" lo/forwarding oom_score_adj attr/exec exec; do printf fake >$f; done", tree, tree, tree, tree), 0);
	for (unsigned i = 0; i < sizeof targets / sizeof *targets; i++)
		for (int bind = 0; bind < 2; bind++) {
			conex_container *c;

			o.mounts = bind ? CONEX_MOUNTS({ tree, targets[i], NULL, NULL })
				: CONEX_MOUNTS({ NULL, targets[i], "tmpfs", NULL });
			c = box_start(&o, CONEX_STRINGS("sleep", "1000"));
			if (c) {
				CHECK_STR(content("/proc/%d/oom_score_adj", (int)conex_container_pid(c)), "300");
				CHECK_INT(forwarding_of(c), 1);
			}
			box_end(c);
			CHECK(command("find %s -type f -exec cat {} + | tr -d '\\n' | grep -qx fakefakefakefakefake", tree) == 0);
		}
	free(tree);
}

/* ---- by a container that has made itself another /proc, before exec ---- */

/* Inside, with the rights for it: all of /proc becomes a tmpfs of files and of links to what would hurt. */
static int take_over(const char *how)
{
	char number[16];

	snprintf(number, sizeof number, "%d", (int)getpid());
	if (!strcmp(how, "tmpfs")) {
		if (mount("none", "/proc", "tmpfs", 0, NULL) < 0 || mkdir("/proc/1", 0755) < 0 || mkdir("/proc/sys", 0755) < 0
		    || symlink("1", "/proc/self") < 0 || mkdir("/proc/1/attr", 0755) < 0)
			return errno;
		make_file("/proc/1/oom_score_adj", "fake");
		make_file("/proc/1/attr/exec", "fake");
	} else if (!strcmp(how, "files")) {
		make_file("/tmp/over", "fake");
		if (mount("/tmp/over", "/proc/self/oom_score_adj", NULL, MS_BIND, NULL) < 0)
			return errno;
	} else if (mount("/tmp", "/proc", NULL, MS_BIND, NULL) < 0) {
		return errno;
	}
	puts("taken");
	fflush(stdout);
	for (;;)
		pause();
}

static conex_container *start_hostile(const char *how, uint64_t flags)
{
	struct conex_run_options o = { .mounts = usr, .out = CONEX_STDIO_PIPE, .flags = flags,
		.oci = "{\"linux\":{\"seccomp\":null},\"process\":{\"capabilities\":{\"bounding\":[\"CAP_SYS_ADMIN\"],"
		"\"permitted\":[\"CAP_SYS_ADMIN\"],\"effective\":[\"CAP_SYS_ADMIN\"]}}}" };
	conex_container *c = box_start(&o, CONEX_STRINGS("/probe", "take-over", how));
	char byte = 0;

	if (!box_good(c ? 0 : -1, how, __FILE__, __LINE__))
		return NULL;
	while (read(conex_container_stdio(c, 1), &byte, 1) < 0 && errno == EAGAIN)
		poll(&(struct pollfd){ conex_container_stdio(c, 1), POLLIN, 0 }, 1, -1);
	CHECK_INT(byte, 't');
	return c;
}

/* What exec writes arrives in the kernel, or exec fails: never does it say that all is well. */
static void exec_into(const char *how, uint64_t flags)
{
	struct conex_run_options o = { .size = sizeof o, .oci = SCORE };
	conex_container *c = start_hostile(how, flags);
	conex_process *p = NULL;
	int r;

	if (!c)
		return;
	r = conex_exec(c, CONEX_STRINGS("sleep", "1000"), &o, &p, &box.err);
	if (r == 0)
		CHECK_STR(content("/proc/%d/oom_score_adj", (int)conex_process_pid(p)), "300");
	else if (!CHECK(conex_error_stage(box.err) == CONEX_STAGE_CHILD) || !CHECK(conex_error_hint(box.err) != NULL))
		printf("# %s\n", conex_error_text(box.err));
	printf("# %s%s: %s\n", how, flags ? " in a user namespace" : "", r ? conex_error_text(box.err) : "written to the kernel");
	conex_process_free(p);
	box_clear();
	CHECK_INT(box_exec(c, NULL, "cat /tmp/over /proc/1/oom_score_adj /proc/1/attr/exec 2>/dev/null | grep 300; :"), 0);
	CHECK_STR(box.out, "");
	box_end(c);
	unlink(say("%s/tmp/over", box.root));
}

TEST(exec_where_proc_is_taken)
{
	static const char *const hows[] = { "tmpfs", "files", "bind" };

	for (unsigned i = 0; i < sizeof hows / sizeof *hows; i++) {
		exec_into(hows[i], 0);
		exec_into(hows[i], CONEX_RUN_USERNS);
	}
}

/* ---- by the image: /proc and /sys are links ---- */

TEST(proc_is_a_link)
{
	static const char *const names[] = { "proc", "sys" };
	static const char *const to[] = { "/etc", "../../../../../../../proc", "tmp", "/dev" };
	const char *root = strdup(say("%s/root-p", box.dir));
	struct conex_run_options o = { .rootfs = root };

	for (unsigned n = 0; n < 2; n++)
		for (unsigned i = 0; i < sizeof to / sizeof *to; i++) {
			CHECK_INT(command("rm -rf %s; cp -a %s %s; rmdir %s/%s; ln -s %s %s/%s", root, box.root, root, root, names[n],
				to[i], root, names[n]), 0);
			if (!CHECK_INT(box_run(&o, "true"), -ELOOP))
				printf("# /%s is a link to %s\n", names[n], to[i]);
			SAID(say("/%s", names[n]));
		}
	free((char *)root);
}

static void tests(void)
{
	snprintf(fake, sizeof fake, "%s/fake", box.dir);
	RUN(mounts_over_files);
	RUN(mounts_over_trees);
	RUN(exec_where_proc_is_taken);
	RUN(proc_is_a_link);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "take-over"))
		return take_over(argv[2]);
	return with_box(tests);
}
