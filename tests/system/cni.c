/* Networks by CNI, with plugins of the test's own: the order and environment of their calls, what is on file, failures,
 * time-outs, deaths. */
#include "cni-box.h"

/* "ADD one, ADD two": the first two words of each call. */
static const char *calls(void)
{
	static char text[1024];
	char *log = (char *)content("%s", plugins("log")), *line;

	text[0] = '\0';
	while (log && (line = strsep(&log, "\n")))
		if (*line)
			snprintf(text + strlen(text), sizeof text - strlen(text), "%s%.*s", *text ? ", " : "",
				(int)(strcspn(line, " ") + 1 + strcspn(line + strcspn(line, " ") + 1, " ")), line);
	return text;
}

static json_t *input(const char *type, const char *command)
{
	return json_loads(content("%s", plugins(say("input-%s-%s", type, command))), 0, NULL);
}

static int has(json_t *object, const char *key)
{
	return json_object_get(object, key) != NULL;
}

static const char *text_of(json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* ---- calls ---- */

TEST(order_and_environment)
{
	conex_container *c;
	json_t *one, *two, *three;
	char netns[128], *ports, *line;

	forget();
	GOOD(cni("net", "scripted"));
	c = box_sleeper(BOX(.network = "net", .id = "web", .ports = CONEX_PORTS({ NULL, 4080, 80, NULL })));
	CHECK_STR(calls(), "ADD one, ADD two, ADD three");
	snprintf(netns, sizeof netns, "%s/.pins/", directory);
	line = (char *)content("%s", plugins("log"));
	CHECK(line && !strncmp(line, say("ADD one web %s", netns), strlen(netns) + 12));
	CHECK(line && strstr(line, say(" eth0 IgnoreUnknown=1 %s/plugins:" REAL "\n", box.dir)));
	one = input("one", "ADD");
	two = input("two", "ADD");
	three = input("three", "ADD");
	CHECK_STR(text_of(one, "name"), "scripted");
	CHECK_STR(text_of(one, "cniVersion"), "1.0.0");
	CHECK_STR(text_of(one, "type"), "one");
	CHECK(!has(one, "prevResult") && !has(one, "runtimeConfig"));
	CHECK(has(two, "prevResult") && has(three, "prevResult") && !has(three, "runtimeConfig"));
	CHECK(!has(json_object_get(two, "runtimeConfig"), "mine"));
	ports = json_dumps(json_object_get(json_object_get(two, "runtimeConfig"), "portMappings"), JSON_COMPACT);
	CHECK_STR(ports, "[{\"hostPort\":4080,\"containerPort\":80,\"protocol\":\"tcp\",\"hostIP\":\"127.0.0.1\"}]");
	free(ports);
	json_decref(one);
	json_decref(two);
	json_decref(three);
	CHECK_STR(conex_container_address(c, "net", AF_INET), "10.66.0.9");
	CHECK_STR(conex_container_address(c, NULL, AF_INET6), "fd66::9");
	CHECK_INT(conex_container_port(c, 80, NULL), 4080);
	box_end(c);
	CHECK_STR(calls(), "ADD one, ADD two, ADD three, DEL three, DEL two, DEL one");
	CHECK_INT(command("! ps -o stat= --ppid %d | grep -q Z", (int)conex_keeper_pid(box.cx)), 0);
	one = input("one", "DEL");
	CHECK(has(one, "prevResult"));
	json_decref(one);
	line = strstr(content("%s", plugins("log")), "DEL one");
	CHECK(line && !strncmp(line, say("DEL one web %s", netns), strlen(netns) + 12));     /* it is still there */
	CHECK_INT(left_of("net"), 0);
	GOOD(gone("net"));
}

/* What other tools find: libcni's file. */
TEST(cached)
{
	conex_container *c;
	json_t *root;
	char *json = NULL;

	forget();
	GOOD(cni("net", "scripted"));
	c = box_sleeper(BOX(.network = "net", .id = "web"));
	root = json_loads(content(CX_CNI_RESULTS "/scripted-web-eth0"), 0, NULL);
	CHECK_STR(text_of(root, "kind"), "cniCacheV1");
	CHECK_STR(text_of(root, "containerId"), "web");
	CHECK_STR(text_of(root, "ifName"), "eth0");
	CHECK_STR(text_of(root, "networkName"), "scripted");
	CHECK_STR(json_string_value(json_object_get(json_array_get(json_object_get(json_object_get(root, "result"), "ips"),
		0), "address")), "10.66.0.9/24");
	make_file(say("%s/config", box.dir), text_of(root, "config"));
	CHECK_INT(command("base64 -d %s/config | grep -q '\"name\":\"scripted\"'", box.dir), 0);
	json_decref(root);
	GOOD(conex_network_json(box.cx, "net", &json, &box.err));
	CHECK(json && strstr(json, "\"driver\": \"cni\"") && strstr(json, "\"parent\": \"scripted\""));
	CHECK(json && strstr(json, "\"container\": \"web\"") && strstr(json, "10.66.0.9"));
	free(json);
	CHECK_INT(gone("net"), -EBUSY);
	box_end(c);
	CHECK_INT(access(CX_CNI_RESULTS "/scripted-web-eth0", F_OK), -1);
	GOOD(gone("net"));
}

TEST(one_fails)
{
	forget();
	GOOD(cni("net", "scripted"));
	make_file(plugins("fail-two-ADD"), "{\"cniVersion\":\"1.0.0\",\"code\":7,\"msg\":\"no such colour\","
		"\"details\":\"try blue\"}");
	CHECK_INT(launched("net"), -EINVAL);
	SAID("CNI network scripted: plugin two: ADD: no such colour");
	SAID("try blue");
	CHECK_STR(calls(), "ADD one, ADD two, DEL three, DEL two, DEL one");
	CHECK_INT(left_of("net"), 0);
	forget();
	make_file(plugins("fail-one-ADD"), "no JSON");
	CHECK_INT(launched("net"), -ECANCELED);
	SAID("plugin one: ADD: ended with 1");
	CHECK_INT(left_of("net"), 0);
	forget();
	make_file(plugins("fail-three-ADD"), "{\"code\":11,\"msg\":\"later\"}");
	CHECK_INT(launched("net"), -EAGAIN);
	CHECK_STR(calls(), "ADD one, ADD two, ADD three, DEL three, DEL two, DEL one");
	CHECK_INT(left_of("net"), 0);
	forget();
	CHECK_INT(launched("net"), 0);
	GOOD(gone("net"));
}

TEST(one_hangs)
{
	forget();
	GOOD(cni("net", "scripted"));
	setenv("CONEX_CNI_MS", "300", 1);
	make_file(plugins("hang-two-ADD"), "");
	CHECK_INT(launched("net"), -ETIMEDOUT);
	SAID("plugin two: ADD: it was killed at its time-out");
	CHECK_STR(calls(), "ADD one, ADD two, DEL three, DEL two, DEL one");
	unsetenv("CONEX_CNI_MS");
	CHECK_INT(left_of("net"), 0);
	GOOD(gone("net"));
}

/* Neither of two containers waits for the other one's plugin. */
TEST(others_go_on)
{
	conex_container *slow = NULL, *c;
	struct conex_run_options o = box_options(BOX(.network = "net", .flags = CONEX_RUN_NOWAIT));

	forget();
	GOOD(cni("net", "scripted"));
	make_file(plugins("hang-one-ADD"), "");
	box_clear();
	GOOD(conex_run(box.cx, NULL, CONEX_STRINGS("sleep", "1000"), &o, &slow, &box.err));
	for (int i = 0; i < 500 && strcmp(calls(), "ADD one"); i++)
		CHECK_INT(conex_container_wait(slow, 20, NULL, &box.err), 0);
	CHECK_STR(calls(), "ADD one");
	forget();
	c = box_sleeper(BOX(.network = "net"));
	CHECK(c && conex_container_address(c, NULL, AF_INET));
	CHECK_INT(conex_container_state(slow), CONEX_CREATING);
	box_end(c);
	CHECK_INT(command("pkill -P %d -x sleep", (int)conex_keeper_pid(box.cx)), 0);
	CHECK_INT(conex_container_wait(slow, 10000, NULL, &box.err), 1);
	CHECK(conex_container_error(slow) && strstr(conex_error_text(conex_container_error(slow)), "ended by signal"));
	box_end(slow);
	CHECK_INT(left_of("net"), 0);
	GOOD(gone("net"));
}

TEST(limits)
{
	json_t *one;
	char *limits;

	GOOD(cni("net", "scripted"));
	CHECK_INT(box_run(BOX(.network = "net", .egress_bps = 1000000), "true"), -EOPNOTSUPP);
	SAID("conex_run_options.egress_bps");
	SAID("no plugin of CNI network scripted takes it");
	CHECK_INT(left_of("net"), 0);
	list("10-scripted.conflist", LIST("scripted", "{\"type\":\"one\",\"capabilities\":{\"bandwidth\":true}}"));
	CHECK_INT(box_run(BOX(.network = "net", .egress_bps = 1000000, .ingress_bps = 9000), "true"), 0);
	one = input("one", "ADD");
	limits = json_dumps(json_object_get(json_object_get(one, "runtimeConfig"), "bandwidth"), JSON_COMPACT);
	CHECK_STR(limits, "{\"ingressRate\":9000,\"ingressBurst\":2147483647,\"egressRate\":1000000,"
		"\"egressBurst\":2147483647}");
	free(limits);
	json_decref(one);
	list("10-scripted.conflist", SCRIPTED);
	GOOD(gone("net"));
}

/* ---- deaths ---- */

static void until_called(const char *what)
{
	for (int i = 0; i < 1000 && strcmp(calls(), what); i++)
		usleep(10000);
	CHECK_STR(calls(), what);
}

static void launch_slowly(void)
{
	struct conex_run_options o = box_options(BOX(.network = "net"));
	conex_container *c = NULL;
	conex *cx = NULL;

	_exit(conex_open(NULL, &cx, NULL) < 0 || conex_run(cx, NULL, CONEX_STRINGS("true"), &o, &c, NULL) < 0);
}

/* The plugin that runs then comes to its end first: nothing adds what has just been deleted. */
static void host_dies(const char *undo)
{
	pid_t pid;

	forget();
	make_file(plugins("slow-one-ADD"), "");
	setenv("CONEX_UNDO", undo, 1);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		launch_slowly();
	until_called("ADD one");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unsetenv("CONEX_UNDO");
}

TEST(host_killed)
{
	GOOD(cni("net", "scripted"));
	host_dies("/nonexistent");
	GOOD(conex_prune(box.cx, NULL, &box.err));
	CHECK_STR(calls(), "ADD one, DONE one, DEL three, DEL two, DEL one");
	CHECK_INT(left_of("net"), 0);
	host_dies(say("%s/conex-undo", getenv("CX_BUILDDIR")));
	until_called("ADD one, DONE one, DEL three, DEL two, DEL one");
	for (int i = 0; i < 500 && left_of("net"); i++)
		usleep(10000);
	CHECK_INT(left_of("net"), 0);
	GOOD(gone("net"));
}

TEST(keeper_killed)
{
	conex_container *c = NULL;
	struct conex_run_options o = box_options(BOX(.network = "net", .flags = CONEX_RUN_NOWAIT));

	forget();
	GOOD(cni("net", "scripted"));
	make_file(plugins("slow-one-ADD"), "");
	box_clear();
	GOOD(conex_run(box.cx, NULL, CONEX_STRINGS("true"), &o, &c, &box.err));
	for (int i = 0; i < 500 && strcmp(calls(), "ADD one"); i++)
		CHECK_INT(conex_container_wait(c, 20, NULL, &box.err), 0);
	CHECK_INT(kill(conex_keeper_pid(box.cx), SIGKILL), 0);
	GOOD(conex_container_delete(c, 20000, &box.err));
	CHECK_STR(calls(), "ADD one, DONE one, DEL three, DEL two, DEL one");
	conex_container_free(c);
	CHECK_INT(left_of("net"), 0);
	GOOD(gone("net"));
}

/* What was not deleted goes with its context, by the keeper that goes last. */
TEST(closed)
{
	struct conex_run_options o = box_options(BOX(.network = "net", .id = "left"));
	conex_container *c = NULL;
	conex *cx = NULL;

	forget();
	GOOD(cni("net", "scripted"));
	box_clear();
	GOOD(conex_open(NULL, &cx, &box.err));
	GOOD(conex_run(cx, NULL, CONEX_STRINGS("sleep", "1000"), &o, &c, &box.err));
	o.id = "left";
	CHECK_INT(conex_run(box.cx, NULL, CONEX_STRINGS("true"), &o, &c, &box.err), -EEXIST);   /* they know ids, not contexts */
	SAID("container left is a member of network net already");
	CHECK_STR(calls(), "ADD one, ADD two, ADD three");
	conex_container_free(c);
	conex_close(cx);
	CHECK_STR(calls(), "ADD one, ADD two, ADD three, DEL three, DEL two, DEL one");
	CHECK_INT(left_of("net"), 0);
	GOOD(gone("net"));
}

/* ---- what can't be ---- */

static int refused(const char *name, const struct conex_network_options *given)
{
	struct conex_network_options o = *given;

	o.size = sizeof o;
	o.driver = "cni";
	box_clear();
	return conex_network_create(box.cx, name, &o, &box.err);
}
#define REFUSED(...) refused("net", &(struct conex_network_options){ __VA_ARGS__ })

TEST(what_is_refused)
{
	CHECK_INT(REFUSED(.parent = NULL), -EINVAL);
	CHECK_INT(REFUSED(.parent = "../x"), -EINVAL);
	SAID("conex_network_options.parent");
	CHECK_INT(REFUSED(.parent = "full", .subnets = CONEX_STRINGS("10.1.0.0/24")), -EINVAL);
	SAID("conex_network_options.subnets");
	CHECK_INT(REFUSED(.parent = "full", .mtu = 1400), -EINVAL);
	CHECK_INT(REFUSED(.parent = "full", .range = "10.1.0.0/24"), -EINVAL);
	CHECK_INT(REFUSED(.parent = "full", .gateways = CONEX_STRINGS("10.1.0.1")), -EINVAL);
	CHECK_INT(REFUSED(.parent = "full", .flags = CONEX_NETWORK_INTERNAL), -EINVAL);
	CHECK_INT(REFUSED(.parent = "unheard"), -ENOENT);
	SAID("CNI network unheard in");
	list("30-missing.conflist", LIST("missing", "{\"type\":\"bridge\"},{\"type\":\"nonesuch\"}"));
	CHECK_INT(REFUSED(.parent = "missing"), -ENOENT);
	SAID("CNI plugin nonesuch");
	list("30-missing.conflist", LIST("missing", "{\"type\":\"bridge\"},{\"type\":\"../one\"}"));
	CHECK_INT(REFUSED(.parent = "missing"), -EINVAL);
	SAID("plugins[1].type");
	CHECK_INT(command("rm %s/lists/30-missing.conflist", box.dir), 0);
	CHECK_INT(chmod(plugins("one"), 0777), 0);
	CHECK_INT(REFUSED(.parent = "scripted"), -EPERM);
	CHECK_INT(chmod(plugins("one"), 0755), 0);
	CHECK_INT(access(say("%s/net", directory), F_OK), -1);
	list("30-plain.conf", "{\"cniVersion\":\"0.4.0\",\"name\":\"plain\",\"type\":\"one\"}");
	GOOD(cni("net", "plain"));
	box_clear();
	CHECK_INT(box_run(BOX(.network = "net", .ports = CONEX_PORTS({ NULL, 0, 80, NULL })), "true"), -EOPNOTSUPP);
	SAID("CNI network plain");
	CHECK_INT(left_of("net"), 0);
	GOOD(gone("net"));
}

/* ---- CHECK ---- */

TEST(checked)
{
	conex_container *c;

	forget();
	GOOD(cni("net", "scripted"));
	c = box_sleeper(BOX(.network = "net"));
	forget();
	GOOD(conex_container_check_networks(c, &box.err));
	CHECK_STR(calls(), "CHECK one, CHECK two, CHECK three");
	forget();
	make_file(plugins("fail-two-CHECK"), "{\"code\":100,\"msg\":\"it has faded\"}");
	box_clear();
	CHECK_INT(conex_container_check_networks(c, &box.err), -ECANCELED);
	SAID("plugin two: CHECK: it has faded");
	CHECK_STR(calls(), "CHECK one, CHECK two");
	box_end(c);
	list("10-scripted.conflist", "{\"cniVersion\":\"1.0.0\",\"name\":\"scripted\",\"disableCheck\":true,"
		"\"plugins\":[{\"type\":\"one\"}]}");
	forget();
	c = box_sleeper(BOX(.network = "net"));
	GOOD(conex_container_check_networks(c, &box.err));
	CHECK_STR(calls(), "ADD one");
	list("10-scripted.conflist", SCRIPTED);
	box_end(c);
	CHECK_STR(calls(), "ADD one, DEL one");         /* by the list that it was added with */
	CHECK_INT(left_of("net"), 0);
	GOOD(gone("net"));
}

/* ---- DEL that fails ---- */

static void run_and_leave(void)
{
	struct conex_run_options o = box_options(BOX(.network = "net", .id = "stuck"));
	conex_container *c = NULL;
	conex *cx = NULL;

	if (conex_open(NULL, &cx, NULL) < 0 || conex_run(cx, NULL, CONEX_STRINGS("true"), &o, &c, NULL) < 0)
		_exit(1);
	conex_container_wait(c, -1, NULL, NULL);
	conex_container_delete(c, -1, NULL);
	conex_container_free(c);
	conex_close(cx);
	_exit(0);
}

TEST(delete_is_tried_again)
{
	int status;
	pid_t pid;

	forget();
	GOOD(cni("net", "scripted"));
	make_file(plugins("fail-two-DEL"), "{\"code\":5,\"msg\":\"busy\"}");
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		run_and_leave();
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	CHECK_STR(calls(), "ADD one, ADD two, ADD three, DEL three, DEL two");
	CHECK_INT(members("net"), 1);
	CHECK_INT(box_entries(say("%s/.pins", directory)), 1);
	CHECK_INT(gone("net"), -EBUSY);
	list("10-scripted.conflist", "{}");             /* which doesn't matter any more */
	forget();
	GOOD(conex_prune(box.cx, NULL, &box.err));
	CHECK_STR(calls(), "DEL three, DEL two, DEL one");
	list("10-scripted.conflist", SCRIPTED);
	CHECK_INT(left_of("net"), 0);
	GOOD(gone("net"));
}

/* ---- another process's ---- */

TEST(deleted_by_another)
{
	struct conex_options state = { .size = sizeof state, .state = say("%s/state", box.dir), .flags = CONEX_DETACHED };
	conex *cx = NULL;
	conex_container *c = NULL;
	int status;
	pid_t pid;

	forget();
	GOOD(cni("net", "scripted"));
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct conex_run_options o = box_options(BOX(.network = "net", .id = "far"));

		_exit(conex_open(&state, &cx, NULL) < 0
			|| conex_run(cx, NULL, CONEX_STRINGS("sleep", "1000"), &o, &c, NULL) < 0);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	CHECK_INT(members("net"), 1);
	box_clear();
	GOOD(conex_open(&state, &cx, &box.err));
	GOOD(conex_container_get(cx, "far", &c, &box.err));
	CHECK_STR(conex_container_address(c, "net", AF_INET), "10.66.0.9");
	GOOD(conex_container_check_networks(c, &box.err));
	GOOD(conex_container_delete(c, 10000, &box.err));
	conex_container_free(c);
	conex_close(cx);
	CHECK_STR(calls(), "ADD one, ADD two, ADD three, CHECK one, CHECK two, CHECK three, DEL three, DEL two, DEL one");
	CHECK_INT(left_of("net"), 0);
	GOOD(gone("net"));
}

static void tests(void)
{
	prepare();
	RUN(order_and_environment);
	RUN(cached);
	RUN(one_fails);
	RUN(one_hangs);
	RUN(others_go_on);
	RUN(limits);
	RUN(host_killed);
	RUN(keeper_killed);
	RUN(closed);
	RUN(what_is_refused);
	RUN(checked);
	RUN(delete_is_tried_again);
	RUN(deleted_by_another);
}

int main(void)
{
	return cni_box() ? with_box(tests) : 0;
}
