/* Every place where a filter that asks is installed, what can't be asked about, and all that can. */
#include "system/broker.h"

#include <seccomp.h>

/* ---- where filters are installed ---- */

#define CLOCKS "\"linux\":{\"namespaces\":[{\"type\":\"time\"}],\"timeOffsets\":{\"boottime\":{\"secs\":5}}}"

static void held_and_not(uint64_t flags, const char *oci)
{
	for (int held = 0; held < 2; held++) {
		struct conex_run_options o = { .ask = getppid_, .oci = oci,
			.flags = flags | (held ? CONEX_RUN_HOLD : 0) };
		conex_container *c = start(&o, PROBE("getppid"));
		struct conex_event ev;
		conex_syscall *s;

		if (c && held)
			GOOD(conex_container_start(c, &box.err));
		s = c ? asked(&ev) : NULL;
		if (s)
			GOOD(conex_syscall_return(s, 12, &box.err));
		ends_with(c, "12 0");
	}
}

TEST(places)
{
	held_and_not(0, NULL);
	held_and_not(0, "{" NO_NEW "}");
	held_and_not(CONEX_RUN_INIT, NULL);
	held_and_not(CONEX_RUN_INIT, "{" NO_NEW "}");
	held_and_not(0, "{" CLOCKS "}");
	held_and_not(0, "{" CLOCKS "," NO_NEW "}");
	held_and_not(0, "{\"process\":{\"user\":{\"uid\":1000,\"gid\":1000}}}");
	held_and_not(0, "{\"process\":{\"user\":{\"uid\":1000,\"gid\":1000},\"noNewPrivileges\":false}}");
}

TEST(places_in_a_user_namespace)
{
	held_and_not(CONEX_RUN_USERNS, NULL);
	held_and_not(CONEX_RUN_USERNS, "{" NO_NEW "}");
}

TEST(one_plan)
{
	struct conex_run_options o = { .size = sizeof o, .ask = getppid_, .rootfs = box.root },
		l = { .size = sizeof l };
	conex_plan *plan = NULL;
	int fds = 0;

	box_clear();
	if (!GOOD(conex_plan_new(box.cx, NULL, CONEX_STRINGS("true"), &o, &plan, &box.err)))
		return;
	for (int i = 0; i < 100; i++) {
		conex_container *c = NULL;

		if (!GOOD(conex_launch(box.cx, plan, NULL, &l, &c, &box.err)))
			break;
		CHECK_INT(conex_container_wait(c, PATIENCE_MS, NULL, &box.err), 1);
		box_end(c);
		if (i == 10)
			fds = box_entries("/proc/self/fd");
	}
	CHECK_INT(box_entries("/proc/self/fd"), fds);
	conex_plan_free(plan);
}

/* ---- refused, and every other system call ---- */

static void refused(const struct conex_run_options *given, const char *where)
{
	CHECK_INT(box_run(given, "true"), -EINVAL);
	CHECK_INT(conex_error_stage(box.err), CONEX_STAGE_SPEC);
	CHECK_STR(conex_error_object(box.err), where);
	CHECK(*conex_error_hint(box.err));
}

TEST(refusals)
{
	static const char *const execve[] = { "execve", NULL }, *const prctl[] = { "prctl", NULL };
	static const char *const unknown[] = { "getppid", "frobnicate", NULL };
	struct conex_run_options o = { .ask = execve };
	conex_plan *plan = NULL;
	conex_spec *spec = NULL;
	conex_container *c;

	CHECK_INT(box_run(&o, "true"), -EINVAL);
	SAID("= execve");
	o.ask = unknown;
	refused(&o, "conex_run_options.ask[1] = frobnicate");
	o.ask = prctl;
	o.oci = "{" NO_NEW "}";
	CHECK_INT(box_run(&o, "true"), -EINVAL);
	SAID("noNewPrivileges");
	o = (struct conex_run_options){ .size = sizeof o, .ask = prctl, .rootfs = box.root };
	GOOD(conex_plan_new(box.cx, NULL, CONEX_STRINGS("true"), &o, &plan, &box.err));
	conex_plan_free(plan);
	/* nobody would answer */
	o = (struct conex_run_options){ .rootfs = box.root, .oci = "{\"linux\":{\"seccomp\":{\"syscalls\":"
		"[{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}}}" };
	GOOD(conex_spec_parse("{\"ociVersion\":\"1.0.2\",\"process\":{\"cwd\":\"/\"},\"root\":{\"path\":\"x\"},"
		"\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"pid\"}],"
		"\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\"}}}", &spec, &box.err));
	o.spec = spec;
	refused(&o, "linux.seccomp.syscalls[0].action = SCMP_ACT_NOTIFY");
	SAID("listenerPath");
	conex_spec_free(spec);
	/* two who would */
	o = (struct conex_run_options){ .ask = getppid_, .oci = "{\"linux\":{\"seccomp\":{\"listenerPath\":\"/x\"}}}" };
	refused(&o, "conex_run_options.ask = getppid");
	/* a program that is executed asks as its container does */
	c = box_sleeper(NULL);
	o = (struct conex_run_options){ .ask = getppid_ };
	CHECK_INT(c ? box_exec(c, &o, "true") : 0, -EINVAL);
	SAID("conex_run_options.ask");
	box_end(c);
}

/* Conditions on arguments are JSON's; an empty .ask says that somebody answers. */
TEST(rules)
{
	static const char *const none[] = { NULL };
	struct conex_run_options o = { .ask = none, .mounts = usr, .rootfs = box.root };
	conex_spec *spec = NULL;
	struct conex_event ev;

	GOOD(conex_spec_new(&spec, &box.err));
	GOOD(conex_spec_merge(spec, "{\"linux\":{\"seccomp\":null}}", &box.err));
	GOOD(conex_spec_merge(spec, "{\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":["
		"{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_NOTIFY\",\"args\":[{\"index\":0,\"value\":2,"
		"\"op\":\"SCMP_CMP_EQ\"}]}]}}}", &box.err));
	o.spec = spec;
	for (int family = AF_UNIX; family <= AF_INET; family++) {
		conex_container *c;

		o.out = CONEX_STDIO_PIPE;
		c = box_start(&o, PROBE("socket", say("%d", family)));
		if (!GOOD(c ? 0 : -1))
			break;
		if (family == AF_INET) {
			conex_syscall *s = asked(&ev);

			if (s)
				GOOD(conex_syscall_return(s, -ENOANO, &box.err));
		}
		ends_with(c, family == AF_UNIX ? "0 0" : "-1 55");
	}
	conex_spec_free(spec);
}

/* Is it not refused? */
static int can_be_asked(const struct conex_run_options *given, const char *name)
{
	const char *const ask[] = { name, NULL };
	struct conex_run_options o = *given;
	conex_plan *plan = NULL;
	int r;

	o.flags &= CONEX_RUN_INIT;
	o.timeout_ms = 0;
	o.ask = ask;
	r = conex_plan_new(box.cx, NULL, CONEX_STRINGS("true"), &o, &plan, &box.err);
	conex_plan_free(plan);
	if (r < 0 && CHECK_INT(r, -EINVAL) && CHECK_INT(conex_error_stage(box.err), CONEX_STAGE_SPEC))
		SAID(name);
	return r == 0;
}

/* Whatever isn't refused is asked about, all at once, and nobody answers: the program is executed all the same. */
static void ask_about_all(struct conex_run_options *o, int refused_at_least)
{
	const char *ask[512] = { NULL };
	conex_container *c = NULL;
	int count = 0, others = 0;

	for (int number = 0; number < 500; number++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);

		if (!name)
			continue;
		if (can_be_asked(o, name)) {
			ask[count++] = name;
		} else {
			others++;
			free(name);
		}
	}
	printf("# %d asked about, %d refused\n", count, others);
	CHECK(count > 250 && others >= refused_at_least);
	o->ask = ask;
	box_clear();
	if (GOOD(conex_run(box.cx, NULL, CONEX_STRINGS("true"), o, &c, &box.err)) && o->flags & CONEX_RUN_HOLD)
		GOOD(conex_container_start(c, &box.err));
	box_end(c);
	o->ask = NULL;
	while (count-- > 0)
		free((char *)ask[count]);
}

TEST(every_system_call)
{
	struct conex_run_options o = { .size = sizeof o, .rootfs = box.root, .timeout_ms = PATIENCE_MS };
	conex_spec *spec = NULL;

	GOOD(conex_spec_new(&spec, &box.err));
	GOOD(conex_spec_merge(spec, "{\"linux\":{\"seccomp\":null}}", &box.err));
	o.spec = spec;
	ask_about_all(&o, 4);
	o.oci = "{" NO_NEW "}";
	ask_about_all(&o, 30);
	o.flags = CONEX_RUN_HOLD;
	ask_about_all(&o, 30);
	o.flags = CONEX_RUN_INIT;
	ask_about_all(&o, 35);
	o.oci = "{" NO_NEW ",\"hooks\":{\"startContainer\":[{\"path\":\"/none\"}]}}";
	o.flags = 0;
	CHECK(!can_be_asked(&o, "memfd_create"));
	conex_spec_free(spec);
}

static void tests(void)
{
	RUN(places);
	RUN(places_in_a_user_namespace);
	RUN(one_plan);
	RUN(refusals);
	RUN(rules);
	RUN(every_system_call);
}

int main(int argc, char **argv)
{
	return broker_main(argc, argv, tests);
}
