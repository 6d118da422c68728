/* Hooks: all six kinds, their order, state, namespaces, time-outs and what a failing one does. */
#include "box.h"

static char script[96], journal[96];

/* A hook that appends "kind:mount namespace:state" to the journal and fails when asked to. */
static void make_script(void)
{
	snprintf(script, sizeof script, "%s/hook", box.dir);
	snprintf(journal, sizeof journal, "%s/journal", box.dir);
	make_file(script, say("#!/bin/sh\nexport PATH=/bin:/usr/bin\n"
		"echo \"$1:$(readlink /proc/self/ns/mnt):$(cat)\" >> %s\n[ \"$1\" = \"$2\" ] && exit 3\nexit 0\n", journal));
	chmod(script, 0755);
}

static const char *hook(const char *kind, const char *failing)
{
	return say("\"%s\": [{\"path\": \"%s\", \"args\": [\"hook\", \"%s\", \"%s\"]}]", kind, script, kind, failing);
}

/* Runs `true` with hooks of all kinds, of which one kind fails. */
static int run(const char *failing)
{
	struct conex_run_options o = { .oci = say("{\"annotations\": {\"org.example\": \"7\"}, \"hooks\": {%s, %s, %s, %s, %s, "
		"\"startContainer\": [{\"path\": \"/bin/sh\", \"args\": [\"sh\", \"-c\", \"cat > /tmp/state; exit %d\"]}]}}",
		hook("prestart", failing), hook("createRuntime", failing), hook("createContainer", failing),
		hook("poststart", failing), hook("poststop", failing), !strcmp(failing, "startContainer") ? 4 : 0) };

	unlink(journal);
	return box_run(&o, "cat /tmp/state");
}

/* The kinds in the order in which they ran. */
static const char *order(void)
{
	const char *text = content("%s", journal), *line = text ? text : "";
	static char kinds[256];

	kinds[0] = '\0';
	for (; *line; line += strcspn(line, "\n"), line += *line == '\n')
		snprintf(kinds + strlen(kinds), sizeof kinds - strlen(kinds), "%s%.*s", kinds[0] ? " " : "",
			(int)strcspn(line, ":"), line);
	return kinds;
}

static int has(const char *kind, const char *what)
{
	const char *text = content("%s", journal), *line = text ? strstr(text, say("%s:", kind)) : NULL;

	return line && strstr(say("%.*s", (int)strcspn(line, "\n"), line), what) != NULL;
}

TEST(all_kinds)
{
	CHECK_INT(run(""), 0);
	CHECK(strstr(box.out, "\"status\":\"created\"") && strstr(box.out, "\"org.example\":\"7\""));
	CHECK_STR(order(), "prestart createRuntime createContainer poststart poststop");
	CHECK(has("prestart", "\"status\":\"created\"") && has("createRuntime", "\"status\":\"creating\""));
	CHECK(has("poststart", "\"status\":\"running\"") && has("poststop", "\"status\":\"stopped\""));
	/* on the host's side the host's namespaces, inside the container's */
	CHECK(has("prestart", ns_of(0, "mnt")) && has("poststop", ns_of(0, "mnt")));
	CHECK(!has("createContainer", ns_of(0, "mnt")));
}

TEST(failing)
{
	CHECK_INT(run("prestart"), -ECANCELED);
	SAID("hooks.prestart[0]");
	SAID("ended with 3");
	CHECK_INT(run("createRuntime"), -ECANCELED);
	SAID("hooks.createRuntime[0]");
	CHECK_INT(run("createContainer"), -ECANCELED);
	SAID("hooks.createContainer[0]");
	CHECK_INT(run("startContainer"), -ECANCELED);
	SAID("hooks.startContainer[0]");
	CHECK_INT(run("poststart"), 0);         /* only a warning */
	CHECK_INT(run("poststop"), 0);
	CHECK_STR(order(), "prestart createRuntime createContainer poststart poststop");
}

TEST(missing)
{
	struct conex_run_options o = { .oci = OCI({"hooks": {"prestart": [{"path": "/no/such/hook"}]}}) };

	CHECK_INT(box_run(&o, "true"), -ENOENT);
	SAID("hooks.prestart[0] /no/such/hook");
	o.oci = OCI({"hooks": {"startContainer": [{"path": "/no/such/hook"}]}});
	CHECK_INT(box_run(&o, "true"), -ECANCELED);
	SAID("hooks.startContainer[0]");
}

/* One that takes as long as it likes: other launches don't wait for it. */
TEST(slow_one)
{
	const char *go = say("%s/go", box.dir);
	struct conex_run_options o = { .flags = CONEX_RUN_NOWAIT, .oci = say("{\"hooks\": {\"createRuntime\": [{\"path\": \"/bin/sh\","
		"\"args\": [\"sh\", \"-c\", \"while [ ! -e %s ]; do sleep 0.05; done\"]}]}}", go) };
	conex_container *slow = box_start(&o, CONEX_STRINGS("sh", "-c", "exit 8"));
	int status = -1;

	if (!CHECK(slow != NULL))
		return;
	for (int i = 0; i < 5; i++)
		CHECK_INT(box_run(NULL, "exit 5"), 5);
	CHECK_INT(conex_container_state(slow), CONEX_CREATING);
	make_file(go, "");
	CHECK_INT(conex_container_wait(slow, 60000, &status, &box.err), 1);
	CHECK_INT(status, 8);
	box_end(slow);
}

/* One that sleeps is killed at its time-out. */
TEST(time_out)
{
	struct conex_run_options o = { .oci =
		OCI({"hooks": {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1}]}}) };
	struct conex_run_options other = { .flags = CONEX_RUN_NOWAIT };
	conex_container *slow;

	other.oci = o.oci;
	slow = box_start(&other, CONEX_STRINGS("true"));
	if (CHECK(slow != NULL)) {
		struct conex_exit x = { .size = sizeof x };

		CHECK_INT(conex_container_wait(slow, 60000, NULL, NULL), 1);
		CHECK_INT(conex_container_exit(slow, &x, NULL), 0);
		CHECK_INT(x.cause, CONEX_EXIT_NEVER_STARTED);
		CHECK(strstr(conex_error_text(conex_container_error(slow)), "time-out") != NULL);
	}
	box_end(slow);
	o.oci = OCI({"hooks": {"startContainer": [{"path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1}]}});
	CHECK_INT(box_run(&o, "true"), -ETIMEDOUT);
}

/* Nobody reads the state: no signal, no error. */
TEST(unread)
{
	struct conex_run_options o = { .oci = OCI({"hooks": {"prestart": [{"path": "/bin/true"}, {"path": "/bin/true"}],
		"startContainer": [{"path": "/bin/true"}], "poststop": [{"path": "/bin/false"}]}}) };

	CHECK_INT(box_run(&o, "exit 6"), 6);
}

TEST(held)
{
	struct conex_run_options o = { .flags = CONEX_RUN_HOLD, .oci = say("{\"hooks\": {%s, %s}}", hook("prestart", ""),
		hook("poststart", "")) };
	conex_container *c;

	unlink(journal);
	c = box_start(&o, CONEX_STRINGS("sleep", "1000"));
	CHECK_STR(order(), "prestart");
	if (c)
		GOOD(conex_container_start(c, &box.err));
	CHECK_STR(order(), "prestart poststart");
	box_end(c);
}

static void tests(void)
{
	make_script();
	RUN(all_kinds);
	RUN(failing);
	RUN(missing);
	RUN(slow_one);
	RUN(time_out);
	RUN(unread);
	RUN(held);
}

int main(void)
{
	return with_box(tests);
}
