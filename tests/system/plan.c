/* Plans: printed, launched often with what differs each time; options refused where they aren't read; and
 * launches that fail, which say why and leave nothing. */
#include "system/box.h"

#include <jansson.h>

static conex_plan *plan(const struct conex_run_options *given, const char *const *args)
{
	struct conex_run_options o = box_options(given);
	conex_plan *p = NULL;

	box_clear();
	GOOD(conex_plan_new(box.cx, NULL, args, &o, &p, &box.err));
	return p;
}

static char *dumped(const conex_plan *p)
{
	char *text = NULL;

	GOOD(conex_plan_dump(p, &text, &box.err));
	return text;
}

TEST(dump)
{
	static const char *const sentences[] = { "pivot", "set hostname", "no_new_privs", "seccomp", "mask /proc/keys",
		"execute", "bounding", NULL };
	conex_plan *p = plan(NULL, CONEX_STRINGS("sh", "-c", "a\nb")), *q = plan(NULL, CONEX_STRINGS("sh", "-c", "a\nb"));
	char *text, *again, *line, *save = NULL;
	int lines = 0, ends = 0;

	if (!p || !q)
		return;
	text = dumped(p);
	again = dumped(q);
	CHECK_STR(again, text);
	for (int i = 0; sentences[i]; i++)
		if (!CHECK(strstr(text, sentences[i]) != NULL))
			printf("# %s\n", sentences[i]);
	for (char *c = text; *c; c++)
		ends += *c == '\n';
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), lines++)
		CHECK(strlen(line) > 3);
	CHECK_INT(lines, ends);         /* no empty line */
	CHECK(lines > 30);
	CHECK(*again && again[strlen(again) - 1] == '\n');
	free(text);
	free(again);
	conex_plan_free(p);
	conex_plan_free(q);
}

TEST(launched_often)
{
	conex_plan *p = plan(&(struct conex_run_options){ .env = CONEX_STRINGS("SAME=s", "SEED=none") },
		CONEX_STRINGS("sh", "-c", "exit 99"));

	for (int i = 0; p && i < 100; i++) {
		struct conex_run_options once = { .size = sizeof once, .out = CONEX_STDIO_PIPE, .id = say("often-%d", i),
			.env = CONEX_STRINGS(say("SEED=%d", i)) };
		conex_container *c = NULL;
		int status = -1;

		box_clear();
		if (!GOOD(conex_launch(box.cx, p, CONEX_STRINGS("sh", "-c", "echo $(hostname) $SAME $SEED $1; exit $1", "-",
			say("%d", i)), &once, &c, &box.err)))
			break;
		GOOD(conex_container_output(c, -1, &box.io, &box.err));
		CHECK_INT(conex_container_wait(c, -1, &status, &box.err), 1);
		CHECK_INT(status, i);
		CHECK_STR(box.io.out, say("often-%d s %d %d\n", i, i, i));
		box_end(c);
	}
	if (p) {
		conex_container *c = NULL;
		int status = -1;

		GOOD(conex_launch(box.cx, p, NULL, NULL, &c, &box.err)); /* the plan's own arguments */
		conex_plan_free(p);             /* its container doesn't notice */
		CHECK_INT(conex_container_wait(c, -1, &status, &box.err), 1);
		CHECK_INT(status, 99);
		box_end(c);
	}
}

/* ---- the timeline ---- */

/* The names of a plan's operations, as its dump has them: "12 pivot: ...". */
static void is_line(const char **at, const char *name)
{
	const char *word = *at + strspn(*at, "0123456789 ");

	CHECK_STR(say("%.*s", (int)strcspn(word, ":\n"), word), name);
	*at += strcspn(*at, "\n");
	*at += **at == '\n';
}

static json_t *timeline_of(conex_container *c)
{
	char *text = NULL;
	json_t *list;

	if (!GOOD(conex_container_timeline(c, &text, &box.err)))
		return NULL;
	list = json_loads(text, 0, NULL);
	CHECK(json_is_array(list));
	free(text);
	return list;
}

static int64_t number(const json_t *entry, const char *key)
{
	return json_integer_value(json_object_get(entry, key));
}

/* Each operation of the plan once, in its order, without a gap; one that takes long is the one that did. */
TEST(timeline)
{
	struct conex_run_options what = { .oci = OCI({"hooks": {"createContainer": [{"path": "/bin/sleep",
		"args": ["sleep", "0.3"]}]}}) }, once = { .size = sizeof once, .flags = CONEX_RUN_TIMELINE };
	conex_plan *p = plan(&what, CONEX_STRINGS("true"));
	char *text = p ? dumped(p) : NULL;
	const char *line = text;
	conex_container *c = NULL;
	int64_t end = 0, hook = 0;
	json_t *list, *entry;
	size_t i;

	if (!p || !GOOD(conex_launch(box.cx, p, NULL, &once, &c, &box.err)))
		return;
	list = timeline_of(c);
	json_array_foreach(list, i, entry) {
		const char *name = json_string_value(json_object_get(entry, "operation"));

		is_line(&line, name);
		CHECK(i == 0 ? number(entry, "start_ns") >= 0 : number(entry, "start_ns") == end);
		CHECK(number(entry, "duration_ns") >= 0);
		end = number(entry, "start_ns") + number(entry, "duration_ns");
		if (name && !strcmp(name, "hook"))
			hook = number(entry, "duration_ns");
	}
	CHECK(json_array_size(list) > 30 && !*line);
	CHECK(hook >= 300000000 && end >= hook);
	json_decref(list);
	box_end(c);
	free(text);
	conex_plan_free(p);
}

/* Not asked for; and of a launch that fails it goes as far as that. */
TEST(timeline_of_others)
{
	struct conex_run_options o = { .flags = CONEX_RUN_TIMELINE | CONEX_RUN_NOWAIT, .cwd = "/no/such/place" };
	conex_container *c = box_sleeper(NULL);
	json_t *list, *last;
	char *text = NULL;

	CHECK_INT(conex_container_timeline(c, &text, &box.err), -ENODATA);
	CHECK(text == NULL);
	box_end(c);
	c = box_start(&o, CONEX_STRINGS("true"));
	if (!box_good(c ? 0 : -1, "start", __FILE__, __LINE__))
		return;
	CHECK_INT(conex_container_wait(c, 60000, NULL, &box.err), 1);
	list = timeline_of(c);
	last = json_array_get(list, json_array_size(list) - 1);
	CHECK_STR(json_string_value(json_object_get(last, "operation")), "chdir");
	json_decref(list);
	box_end(c);
}

/* More than what fits into one message. */
TEST(long_arguments)
{
	char *big = malloc(100001);
	conex_plan *p = plan(NULL, CONEX_STRINGS("true"));
	struct conex_run_options once = { .size = sizeof once, .out = CONEX_STDIO_PIPE };
	conex_container *c = NULL;

	if (!p || !big)
		return;
	memset(big, 'x', 100000);
	big[100000] = '\0';
	if (GOOD(conex_launch(box.cx, p, CONEX_STRINGS("sh", "-c", "echo ${#1}", "-", big), &once, &c, &box.err))) {
		GOOD(conex_container_output(c, -1, &box.io, &box.err));
		CHECK_STR(box.io.out, "100000\n");
	}
	box_end(c);
	conex_plan_free(p);
	free(big);
}

TEST(same_id)
{
	struct conex_run_options o = { .id = "twice" };
	conex_container *c = box_sleeper(&o);

	CHECK_INT(box_run(&o, "true"), -EEXIST);
	SAID("twice");
	CHECK_INT(conex_container_state(c), CONEX_RUNNING);
	box_end(c);
	CHECK_INT(box_run(&o, "true"), 0);
}

/* ---- options ---- */

#define WITH(...) &(struct conex_run_options){ .size = sizeof(struct conex_run_options), __VA_ARGS__ }

TEST(not_read_here)
{
	static const struct conex_limits limits = { .size = sizeof limits };
	static const struct conex_mount mounts[] = { { NULL, "/m", "tmpfs", NULL }, { NULL, NULL, NULL, NULL } };
	static const struct conex_port ports[] = { { NULL, 0, 80, NULL }, { NULL, 0, 0, NULL } };
	static conex_namespace *const join[] = { NULL };
	const struct { const char *name; const struct conex_run_options *o; } launch[] = {
		{ "cwd", WITH(.cwd = "/") }, { "user", WITH(.user = "0") }, { "hostname", WITH(.hostname = "x") },
		{ "rootfs", WITH(.rootfs = "/") }, { "mounts", WITH(.mounts = mounts) }, { "limits", WITH(.limits = &limits) },
		{ "network", WITH(.network = "host") }, { "ports", WITH(.ports = ports) },
		{ "share", WITH(.share = CONEX_NS_NET) }, { "join", WITH(.join = join) },
		{ "ask", WITH(.ask = CONEX_STRINGS("mount")) }, { "grace_ms", WITH(.grace_ms = 5) },
		{ "spec", WITH(.spec = (const conex_spec *)&limits) }, { "oci", WITH(.oci = "{}") },
		{ "flags", WITH(.flags = CONEX_RUN_READ_ONLY) }, { "flags", WITH(.flags = CONEX_RUN_TTY) },
		{ "flags", WITH(.flags = (uint64_t)1 << 60) }, { "timeout_ms", WITH(.timeout_ms = -1) },
		{ "in", WITH(.in = 99) }, { "out", WITH(.out = CONEX_STDIO_FD(-1)) },
		{ "out", WITH(.out = CONEX_STDIO_FD(987)) }, { "err", WITH(.err = -1) }, { "in", WITH(.in = CONEX_STDIO_OUT) },
		{ "env[0]", WITH(.env = CONEX_STRINGS("novalue")) }, { "labels[0]", WITH(.labels = CONEX_STRINGS("novalue")) },
		{ "id", WITH(.id = "") }, { "id", WITH(.id = "../x") }, { "id", WITH(.id = "a/b") },
		{ "id", WITH(.id = "0123456789012345678901234567890123456789012345678901234567890123456789") },
		{ "input", WITH(.input = "x", .input_size = 1, .in = CONEX_STDIO_PIPE) },
	}, planned[] = {
		{ "id", WITH(.id = "x") }, { "labels", WITH(.labels = CONEX_STRINGS("a=b")) },
		{ "in", WITH(.in = CONEX_STDIO_PIPE) }, { "out", WITH(.out = CONEX_STDIO_PIPE) },
		{ "err", WITH(.err = CONEX_STDIO_PIPE) }, { "input", WITH(.input = "x", .input_size = 1) },
		{ "timeout_ms", WITH(.timeout_ms = 5) }, { "data", WITH(.data = (void *)&limits) },
		{ "flags", WITH(.flags = CONEX_RUN_HOLD) }, { "flags", WITH(.flags = CONEX_RUN_NOWAIT) },
		{ "fds_size", WITH(.fds = (const int[]){ 0 }, .fds_size = 1) },
		{ "grace_ms", WITH(.grace_ms = -5) }, { "env[1]", WITH(.env = CONEX_STRINGS("A=", "=B")) },
	}, executed[] = {
		{ "id", WITH(.id = "x") }, { "labels", WITH(.labels = CONEX_STRINGS("a=b")) },
		{ "hostname", WITH(.hostname = "x") }, { "rootfs", WITH(.rootfs = "/") }, { "mounts", WITH(.mounts = mounts) },
		{ "limits", WITH(.limits = &limits) }, { "share", WITH(.share = 1) }, { "join", WITH(.join = join) },
		{ "network", WITH(.network = "host") }, { "grace_ms", WITH(.grace_ms = 5) },
		{ "flags", WITH(.flags = CONEX_RUN_INIT) }, { "ports", WITH(.ports = ports) },
		{ "ask", WITH(.ask = CONEX_STRINGS("mount")) }, { "ingress_bps", WITH(.ingress_bps = 8000) },
		{ "egress_bps", WITH(.egress_bps = 8000) },
	};
	conex_plan *p = plan(NULL, CONEX_STRINGS("true")), *q = NULL;
	conex_container *c = box_sleeper(NULL), *d = NULL;
	conex_process *e = NULL;

	for (size_t i = 0; p && i < sizeof launch / sizeof launch[0]; i++) {
		if (!CHECK(conex_launch(box.cx, p, NULL, launch[i].o, &d, &box.err) < 0))
			printf("# launch %zu: %s\n", i, launch[i].name);
		SAID(launch[i].name);
	}
	for (size_t i = 0; i < sizeof planned / sizeof planned[0]; i++) {
		if (!CHECK(conex_plan_new(box.cx, NULL, CONEX_STRINGS("true"), planned[i].o, &q, &box.err) < 0))
			printf("# plan %zu: %s\n", i, planned[i].name);
		SAID(planned[i].name);
	}
	for (size_t i = 0; c && i < sizeof executed / sizeof executed[0]; i++) {
		if (!CHECK(conex_exec(c, CONEX_STRINGS("true"), executed[i].o, &e, &box.err) < 0))
			printf("# exec %zu: %s\n", i, executed[i].name);
		SAID(executed[i].name);
	}
	CHECK(q == NULL && d == NULL && e == NULL);
	conex_plan_free(p);
	box_end(c);
}

TEST(sizes)
{
	struct { struct conex_run_options o; uint64_t more[2]; } large = { .o = { .rootfs = box.root } };
	conex_container *c = NULL;

	large.o.size = sizeof large;
	if (GOOD(conex_run(box.cx, NULL, CONEX_STRINGS("true"), &large.o, &c, &box.err)))
		box_end(c);             /* zeros that a newer program brings */
	c = NULL;
	large.more[1] = 1;
	CHECK_INT(conex_run(box.cx, NULL, CONEX_STRINGS("true"), &large.o, &c, &box.err), -E2BIG);
	SAID("conex_run_options.size");
	large.o.size = 8;
	CHECK_INT(conex_run(box.cx, NULL, CONEX_STRINGS("true"), &large.o, &c, &box.err), -EINVAL);
	SAID("conex_run_options.size");
	large.o.size = 0;
	CHECK_INT(conex_run(box.cx, NULL, CONEX_STRINGS("true"), &large.o, &c, &box.err), -EINVAL);
	CHECK(c == NULL);
}

/* ---- launches that fail ---- */

struct failure {
	struct conex_run_options o;
	const char *const *args;
	int code, stage;
	const char *said, *hint;
};


static void fails(const struct failure *f)
{
	struct conex_run_options o = box_options(&f->o);
	conex_container *c = NULL;
	char *fds = strdup(say("%d", box_entries("/proc/self/fd")));

	o.id = "it-fails";
	o.out = o.err = CONEX_STDIO_PIPE;
	CHECK_INT(conex_run(box.cx, NULL, f->args, &o, &c, &box.err), f->code);
	CHECK(c == NULL);
	SAID(f->said);
	SAID(strerror(-f->code));
	CHECK_INT(conex_error_code(box.err), f->code);
	CHECK_INT(conex_error_stage(box.err), f->stage);
	if (!CHECK(!f->hint || strstr(conex_error_hint(box.err), f->hint)))
		printf("# %s\n", conex_error_text(box.err));
	box_nothing_left("it-fails");
	CHECK_STR(say("%d", box_entries("/proc/self/fd")), fds);
	free(fds);
}

TEST(failures)
{
	const struct failure list[] = {
		{ { 0 }, CONEX_STRINGS("no-such-program"), -ENOENT, CONEX_STAGE_EXEC, "execve", "isn't in the root" },
		{ { 0 }, CONEX_STRINGS("/no/such/program"), -ENOENT, CONEX_STAGE_EXEC, "/no/such/program", "isn't in" },
		{ { 0 }, CONEX_STRINGS("/etc/passwd"), -EACCES, CONEX_STAGE_EXEC, "/etc/passwd", "x bit" },
		{ { 0 }, CONEX_STRINGS("/tmp/empty"), -ENOEXEC, CONEX_STAGE_EXEC, "/tmp/empty", "architecture" },
		{ { .user = "user" }, CONEX_STRINGS("/root/secret"), -EACCES, CONEX_STAGE_EXEC, "/root/secret", "x bit" },
		{ { .cwd = "/etc/passwd" }, CONEX_STRINGS("true"), -ENOTDIR, CONEX_STAGE_CHILD, "process.cwd", NULL },
		{ { .mounts = CONEX_MOUNTS({ "/nowhere", "/m", NULL, NULL }) }, CONEX_STRINGS("true"), -ENOENT,
			CONEX_STAGE_CHILD, "mounts[", "source" },
		{ { .mounts = CONEX_MOUNTS({ NULL, "/m", "no-such-fs", NULL }) }, CONEX_STRINGS("true"), -ENODEV,
			CONEX_STAGE_CHILD, "fsopen", NULL },
		{ { .mounts = CONEX_MOUNTS({ "/etc", "/etc/passwd", NULL, NULL }) }, CONEX_STRINGS("true"), -EINVAL,
			CONEX_STAGE_CHILD, "/etc/passwd", "a file on a file" },
		{ { .oci = "{\"linux\":{\"sysctl\":{\"net.no.such\":\"1\"}}}" }, CONEX_STRINGS("true"), -ENOENT,
			CONEX_STAGE_CHILD, "net.no.such", "sysctl" },
		{ { .oci = "{\"linux\":{\"namespaces\":[{\"type\":\"network\",\"path\":\"/nowhere/ns\"}]}}" },
			CONEX_STRINGS("true"), -ENOENT, CONEX_STAGE_CHILD, "/nowhere/ns", NULL },
		{ { .oci = "{\"linux\":{\"namespaces\":[{\"type\":\"network\",\"path\":\"/proc/self/ns/uts\"}]}}" },
			CONEX_STRINGS("true"), -EINVAL, CONEX_STAGE_CHILD, "setns", NULL },
	};

	make_file(say("%s/tmp/empty", box.root), "\177ELF and nothing more");
	chmod(say("%s/tmp/empty", box.root), 0755);
	command("cp %s/bin/busybox %s/root/secret; chmod 700 %s/root/secret", box.root, box.root, box.root);
	for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
		fails(&list[i]);
}

/* The same where nobody waits: news, then a record and an error. */
TEST(failure_without_waiting)
{
	struct conex_run_options o = box_options(WITH(.flags = CONEX_RUN_NOWAIT, .id = "later"));
	struct conex_exit x = { .size = sizeof x };
	conex_container *c = NULL;
	int status = -1;

	box_clear();
	if (!GOOD(conex_run(box.cx, NULL, CONEX_STRINGS("no-such-program"), &o, &c, &box.err)))
		return;
	CHECK_INT(conex_container_wait(c, -1, &status, &box.err), 1);
	CHECK_INT(status, 255);
	GOOD(conex_container_exit(c, &x, &box.err));
	CHECK_INT(x.cause, CONEX_EXIT_NEVER_STARTED);
	CHECK_INT(conex_error_code(conex_container_error(c)), -ENOENT);
	CHECK_INT(conex_error_stage(conex_container_error(c)), CONEX_STAGE_EXEC);
	box_end(c);
	box_nothing_left("later");
}

static void tests(void)
{
	RUN(dump);
	RUN(launched_often);
	RUN(timeline);
	RUN(timeline_of_others);
	RUN(long_arguments);
	RUN(same_id);
	RUN(not_read_here);
	RUN(sizes);
	RUN(failures);
	RUN(failure_without_waiting);
}

int main(void)
{
	return with_box(tests);
}
