/* Configs of images: what is read of them, what is refused, and the runtime-spec's layer that becomes of them. */
#include "image/config.h"
#include "image/document.h"
#include "image.h"

#include <signal.h>

#define ROOTFS(ids) "'rootfs':{'type':'layers','diff_ids':[" ids "]}"
#define PLAIN(more) "{'architecture':'amd64','os':'linux'," ROOTFS("'$'") more "}"
#define RUNS(run) PLAIN(",'config':{" run "}")

static int parse(const char *text, struct cx_image_config **ret, conex_error **err)
{
	size_t size;
	char *document = image_document(text, &size);
	int r = cx_image_config_parse(document, size, ret, err);

	free(document);
	return r;
}

static struct cx_image_config *must_parse(const char *text)
{
	struct cx_image_config *c = NULL;
	conex_error *err = NULL;

	if (!CHECK_INT(parse(text, &c, &err), 0))
		printf("# %s\n", conex_error_text(err));
	conex_error_free(err);
	return c;
}

static const char full[] = "{'created':'2015-10-31T22:22:56.015925234Z','author':'Alyssa P. Hacker <a@example.com>',"
	"'architecture':'arm64','variant':'v8','os':'linux','os.version':'1','os.features':['a','b'],"
	"'config':{'User':'alice:7',"
	"'ExposedPorts':{'8080/tcp':{},'53/udp':{},'8000-8010':{}},'Env':['PATH=/bin','A=1','B=x=y','A=2'],"
	"'Entrypoint':['/bin/app'],'Cmd':['--config',''],'Volumes':{'/var/data':{},'/var/log':{}},'WorkingDir':'/home/alice',"
	"'Labels':{'l':'v','org.opencontainers.image.os':'mine','empty':''},'StopSignal':'SIGRTMIN+3',"
	"'Healthcheck':{'Test':['CMD','true'],'Interval':1000000000,'Retries':3},'Shell':['/bin/sh','-c'],'OnBuild':null,"
	"'Memory':2048,'ArgsEscaped':true}," ROOTFS("'$','$'") ",'history':[{'created_by':'ADD'},{'created_by':'CMD',"
	"'empty_layer':true},{'comment':'x','empty_layer':false}],'container_config':{},'docker_version':'27'}";

TEST(read)
{
	struct cx_image_config *c = must_parse(full);

	if (!c)
		return;
	CHECK_STR(c->platform.architecture, "arm64");
	CHECK_STR(c->platform.variant, "");
	CHECK_INT(c->layer_count, 2);
	CHECK_INT(c->diff_ids[1].bytes[31], 0xef);
	CHECK_STR(c->user, "alice:7");
	CHECK_STR(c->directory, "/home/alice");
	CHECK_INT(c->stop_signal, SIGRTMIN + 3);
	CHECK_STR(c->entrypoint[0], "/bin/app");
	CHECK(!c->entrypoint[1]);
	CHECK_STR(c->cmd[1], "");
	CHECK(c->volumes[0] && c->volumes[1] && !c->volumes[2]);
	CHECK(c->ports[2] && !c->ports[3]);
	CHECK_STR(c->health.test[1], "true");
	CHECK_INT(c->health.interval_ns, 1000000000);
	CHECK_INT(c->health.retries, 3);
	CHECK_STR(c->shell[0], "/bin/sh");
	cx_image_config_free(c);
}

TEST(sparse)
{
	struct cx_image_config *c = must_parse("{'architecture':'amd64','os':'linux'," ROOTFS("") ",'config':null,"
		"'history':null}");

	CHECK(c && !c->cmd && !c->env && !*c->user && !*c->directory && !c->stop_signal && !c->layer_count);
	cx_image_config_free(c);
	c = must_parse("{'architecture':'amd64','os':'linux'," ROOTFS("'$','$'") ",'history':[{'empty_layer':true},{}]}");
	CHECK(c && c->layer_count == 2);        /* history of what was built upon something without one */
	cx_image_config_free(c);
	c = must_parse(RUNS("'Cmd':null,'Entrypoint':[],'Env':null,'Volumes':null,'Labels':null,'StopSignal':'',"
		"'Healthcheck':{'Test':['NONE']},'ExposedPorts':{}"));
	CHECK(c && !c->cmd && !c->entrypoint && !c->health.test);
	cx_image_config_free(c);
	/* built on an image that has none */
	c = must_parse("{'architecture':'amd64','os':'linux'," ROOTFS("'$','$'") ",'history':[{'created_by':'COPY'}]}");
	CHECK(c && c->layer_count == 2);
	cx_image_config_free(c);
}

static char *spec_of(const char *text, const char *const *args)
{
	struct cx_image_config *c = must_parse(text);
	json_t *spec = NULL;
	char *printed = NULL;

	if (c && CHECK_INT(cx_image_config_spec(c, args, &spec, NULL), 0))
		printed = json_dumps(spec, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(spec);
	cx_image_config_free(c);
	return printed;
}

TEST(spec)
{
	static const char *const args[] = { "--other", "x y", NULL }, *const none[] = { NULL };
	char *text = spec_of(full, NULL);

	CHECK(text && strstr(text, "\"args\":[\"/bin/app\",\"--config\",\"\"],\"cwd\":\"/home/alice\","
		"\"env\":[\"PATH=/bin\",\"B=x=y\",\"A=2\"]}"));
	CHECK(text && strstr(text, "\"org.opencontainers.image.os\":\"mine\""));
	CHECK(text && strstr(text, "\"org.opencontainers.image.architecture\":\"arm64\""));
	CHECK(text && strstr(text, "\"org.opencontainers.image.variant\":\"v8\""));
	CHECK(text && strstr(text, "\"org.opencontainers.image.os.version\":\"1\""));
	CHECK(text && strstr(text, "\"org.opencontainers.image.os.features\":\"a,b\""));
	CHECK(text && strstr(text, "\"org.opencontainers.image.author\":\"Alyssa P. Hacker <a@example.com>\""));
	CHECK(text && strstr(text, "\"org.opencontainers.image.created\":\"2015-10-31T22:22:56.015925234Z\""));
	CHECK(text && strstr(text, "\"org.opencontainers.image.stopSignal\":\"SIGRTMIN+3\""));
	CHECK(text && strstr(text, "\"org.opencontainers.image.exposedPorts\":\"8080/tcp,53/udp,8000-8010\""));
	CHECK(text && strstr(text, "\"l\":\"v\"") && strstr(text, "\"empty\":\"\""));
	free(text);
	text = spec_of(full, args);
	CHECK(text && strstr(text, "\"args\":[\"/bin/app\",\"--other\",\"x y\"]"));
	free(text);
	text = spec_of(full, none);     /* no arguments are arguments, too */
	CHECK(text && strstr(text, "\"args\":[\"/bin/app\"]"));
	free(text);
	text = spec_of(RUNS("'Cmd':['sh']"), NULL);
	CHECK_STR(text, "{\"annotations\":{\"org.opencontainers.image.architecture\":\"amd64\","
		"\"org.opencontainers.image.os\":\"linux\"},\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\",\"env\":[]}}");
	free(text);
	text = spec_of(RUNS("'Cmd':['sh']"), args);
	CHECK(text && strstr(text, "\"args\":[\"--other\",\"x y\"]"));
	free(text);
}

/* Over the default it is a spec that is valid. */
TEST(merged)
{
	struct cx_image_config *c = must_parse(full);
	json_t *spec = NULL, *root = cx_spec_default();
	conex_error *err = NULL;

	CHECK(c && cx_image_config_spec(c, NULL, &spec, NULL) == 0);
	CHECK_INT(cx_spec_merge_json(root, spec), 0);
	if (!CHECK_INT(cx_spec_validate(root, &err), 0))
		printf("# %s\n", conex_error_text(err));
	CHECK_STR(cx_json_text(root, "process.cwd"), "/home/alice");
	conex_error_free(err);
	json_decref(spec);
	json_decref(root);
	cx_image_config_free(c);
}

TEST(nothing_to_run)
{
	static const char *const empty[] = { "", NULL }, *const bytes[] = { "sh", "\xff", NULL };
	struct cx_image_config *c = must_parse(PLAIN(""));
	json_t *spec = NULL;
	conex_error *err = NULL;

	image_refused("no args", cx_image_config_spec(c, NULL, &spec, &err), -EINVAL, "args", &err);
	image_refused("empty", cx_image_config_spec(c, empty, &spec, &err), -EINVAL, "args[0]", &err);
	image_refused("bytes", cx_image_config_spec(c, bytes, &spec, &err), -EINVAL, "args", &err);
	CHECK(!spec);
	conex_error_free(err);
	cx_image_config_free(c);
}

TEST(signals)
{
	static const char *const bad[] = { "", "SIG", "TERMX", "term", "0", "65", "999", "-1", "+1", "SIGRTMIN+",
		"SIGRTMIN+99", "SIGRTMAX+1", "RTMIN-1", "15 ", "SIG15", "SIGRTMIN+3x" };

	CHECK_INT(cx_image_signal("SIGTERM"), SIGTERM);
	CHECK_INT(cx_image_signal("QUIT"), SIGQUIT);
	CHECK_INT(cx_image_signal("9"), 9);
	CHECK_INT(cx_image_signal("64"), 64);
	CHECK_INT(cx_image_signal("SIGRTMIN"), SIGRTMIN);
	CHECK_INT(cx_image_signal("RTMAX-1"), SIGRTMAX - 1);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (cx_image_signal(bad[i]))
			CHECK_STR(bad[i], "no signal");
}

static const struct { const char *text, *where; int code; } bad[] = {
	{ "{'os':'linux'," ROOTFS("") "}", "config: architecture", -EINVAL },
	{ "{'architecture':'amd64'," ROOTFS("") "}", "config: os", -EINVAL },
	{ "{'architecture':'','os':'linux'," ROOTFS("") "}", "architecture", -EINVAL },
	{ "{'architecture':'a/b','os':'linux'," ROOTFS("") "}", "architecture = a/b", -EINVAL },
	{ "{'architecture':['amd64'],'os':'linux'," ROOTFS("") "}", "architecture", -EINVAL },
	{ "{'architecture':'amd64','os':'linux'}", "rootfs", -EINVAL },
	{ "{'architecture':'amd64','os':'linux','rootfs':{'type':'layers'}}", "rootfs.diff_ids", -EINVAL },
	{ "{'architecture':'amd64','os':'linux','rootfs':{'diff_ids':[]}}", "rootfs.type", -EINVAL },
	{ "{'architecture':'amd64','os':'linux','rootfs':{'type':'snapshots','diff_ids':[]}}", "rootfs.type", -EINVAL },
	{ "{'architecture':'amd64','os':'linux'," ROOTFS("'$',7") "}", "rootfs.diff_ids[1] = 7", -EINVAL },
	{ "{'architecture':'amd64','os':'linux'," ROOTFS("'$','sha256:zz'") "}", "rootfs.diff_ids[1] = sha256:zz", -EINVAL },
	{ "{'architecture':'amd64','os':'linux'," ROOTFS("'../..'") "}", "rootfs.diff_ids[0] = ../..", -EINVAL },
	{ "{'architecture':'amd64','os':'linux'," ROOTFS("'sha1:00'") "}", "rootfs.diff_ids[0]", -EOPNOTSUPP },
	{ PLAIN(",'history':[{},{}]"), "history = 2 steps", -EINVAL },
	{ PLAIN(",'history':[{'empty_layer':'true'}]"), "history[0].empty_layer", -EINVAL },
	{ PLAIN(",'history':{}"), "history = {}", -EINVAL },
	{ PLAIN(",'history':[1]"), "history[0] = 1", -EINVAL },
	{ PLAIN(",'config':[]"), "config = []", -EINVAL },
	{ PLAIN(",'config':{'Cmd':'sh'}"), "config.Cmd = \"sh\"", -EINVAL },
	{ RUNS("'Cmd':[1]"), "config.Cmd[0] = 1", -EINVAL },
	{ RUNS("'Cmd':['a'],'Cmd':['b']"), "line 1", -EINVAL },
	{ RUNS("'Entrypoint':{}"), "config.Entrypoint", -EINVAL },
	{ RUNS("'Entrypoint':[null]"), "config.Entrypoint[0] = null", -EINVAL },
	{ RUNS("'Env':['A']"), "config.Env[0] = A", -EINVAL },
	{ RUNS("'Env':['A=1','=x']"), "config.Env[1] = =x", -EINVAL },
	{ RUNS("'Env':{'A':'1'}"), "config.Env", -EINVAL },
	{ RUNS("'Env':['A=\\u0000']"), "line 1", -EINVAL },
	{ RUNS("'User':0"), "config.User = 0", -EINVAL },
	{ RUNS("'User':':0'"), "config.User = :0", -EINVAL },
	{ RUNS("'User':'a:'"), "config.User = a:", -EINVAL },
	{ RUNS("'User':'a:b:c'"), "config.User = a:b:c", -EINVAL },
	{ RUNS("'User':'a\\nroot:x:0:0'"), "config.User = a\\x0aroot", -EINVAL },
	{ RUNS("'User':'../root'"), "config.User = ../root", -EINVAL },
	{ RUNS("'WorkingDir':'app'"), "config.WorkingDir = app", -EINVAL },
	{ RUNS("'WorkingDir':'/a/../../etc'"), "config.WorkingDir = /a/..", -EINVAL },
	{ RUNS("'WorkingDir':7"), "config.WorkingDir = 7", -EINVAL },
	{ RUNS("'Volumes':{'/../../etc':{}}"), "config.Volumes = /../../etc", -EINVAL },
	{ RUNS("'Volumes':{'data':{}}"), "config.Volumes = data", -EINVAL },
	{ RUNS("'Volumes':{'':{}}"), "config.Volumes", -EINVAL },
	{ RUNS("'Volumes':['/data']"), "config.Volumes", -EINVAL },
	{ RUNS("'Volumes':{'/data':1}"), "config.Volumes[\"/data\"] = 1", -EINVAL },
	{ RUNS("'Labels':{'a':{}}"), "config.Labels[\"a\"]", -EINVAL },
	{ RUNS("'Labels':{'\\u001b[2J':1}"), "config.Labels[\"\\x1b[2J\"] = 1", -EINVAL },
	{ RUNS("'Labels':['a=b']"), "config.Labels", -EINVAL },
	{ RUNS("'StopSignal':'SIGNOT'"), "config.StopSignal = SIGNOT", -EINVAL },
	{ RUNS("'StopSignal':15"), "config.StopSignal = 15", -EINVAL },
	{ RUNS("'ExposedPorts':{'0':{}}"), "config.ExposedPorts = 0", -EINVAL },
	{ RUNS("'ExposedPorts':{'65536/tcp':{}}"), "config.ExposedPorts = 65536/tcp", -EINVAL },
	{ RUNS("'ExposedPorts':{'80/icmp':{}}"), "config.ExposedPorts = 80/icmp", -EINVAL },
	{ RUNS("'ExposedPorts':{'80-':{}}"), "config.ExposedPorts = 80-", -EINVAL },
	{ RUNS("'ExposedPorts':{'http':{}}"), "config.ExposedPorts = http", -EINVAL },
	{ RUNS("'ExposedPorts':{'4294967376':{}}"), "config.ExposedPorts", -EINVAL },
	{ RUNS("'Healthcheck':{'Test':['true']}"), "config.Healthcheck.Test = true", -EINVAL },
	{ RUNS("'Healthcheck':{'Test':['CMD']}"), "config.Healthcheck.Test = CMD", -EINVAL },
	{ RUNS("'Healthcheck':{'Test':['CMD-SHELL','a','b']}"), "config.Healthcheck.Test", -EINVAL },
	{ RUNS("'Healthcheck':{'Interval':-1}"), "config.Healthcheck.Interval = -1", -EINVAL },
	{ RUNS("'Healthcheck':{'Retries':4294967296}"), "config.Healthcheck.Retries", -EINVAL },
	{ RUNS("'Healthcheck':{'Timeout':'30s'}"), "config.Healthcheck.Timeout", -EINVAL },
	{ "[]", "config", -EINVAL },
	{ "\x1f\x8b\x08", "config", -EINVAL },
};

TEST(refused)
{
	printf("# %zu documents\n", sizeof bad / sizeof *bad);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct cx_image_config *c = NULL;
		conex_error *err = NULL;

		image_refused(bad[i].text, parse(bad[i].text, &c, &err), bad[i].code, bad[i].where, &err);
		CHECK(!c);
		CHECK_INT(parse(bad[i].text, &c, NULL), bad[i].code);
		conex_error_free(err);
	}
}

static void many(const char *head, const char *item, size_t n, const char *tail, int code, const char *where)
{
	struct cx_image_config *c = NULL;
	cx_autostr text = { .data = NULL };
	conex_error *err = NULL;
	int r;

	cx_str_addf(&text, "%s", head);
	for (size_t i = 0; i < n; i++)
		cx_str_addf(&text, "%s%s", i ? "," : "", item);
	cx_str_addf(&text, "%s", tail);
	r = parse(text.data, &c, &err);
	if (code)
		image_refused(item, r, code, where, &err);
	else
		CHECK_INT(r, 0);
	cx_image_config_free(c);
	conex_error_free(err);
}

TEST(bounds)
{
	many("{'architecture':'amd64','os':'linux','rootfs':{'type':'layers','diff_ids':[", "'$'", 500, "]}}", 0, "");
	many("{'architecture':'amd64','os':'linux','rootfs':{'type':'layers','diff_ids':[", "'$'", 501, "]}}", -EINVAL,
		"rootfs.diff_ids");
	many("{'architecture':'amd64','os':'linux'," ROOTFS("'$'") ",'config':{'Env':[", "'A=1'", 4096, "]}}", 0, "");
	many("{'architecture':'amd64','os':'linux'," ROOTFS("'$'") ",'config':{'Env':[", "'A=1'", 4097, "]}}", -EINVAL,
		"config.Env");
}

TEST(against_manifest)
{
	struct cx_image_config *c = must_parse(full);
	struct cx_image_manifest m = { .layer_count = 2 };
	struct cx_platform p;
	conex_error *err = NULL;

	CHECK_INT(cx_platform_parse("linux/arm64", &p, NULL), 0);
	CHECK_INT(cx_image_config_check(c, &m, &p, NULL), 0);
	CHECK_INT(cx_image_config_check(c, &m, NULL, NULL), 0);
	CHECK_INT(cx_platform_parse("linux/amd64", &p, NULL), 0);
	image_refused("platform", cx_image_config_check(c, &m, &p, &err), -ENOENT, "linux/arm64", &err);
	m.layer_count = 3;
	image_refused("layers", cx_image_config_check(c, &m, NULL, &err), -EINVAL, "diff_ids = 2, the manifest has 3", &err);
	conex_error_free(err);
	cx_image_config_free(c);
}

int main(void)
{
	RUN(read);
	RUN(sparse);
	RUN(spec);
	RUN(merged);
	RUN(nothing_to_run);
	RUN(signals);
	RUN(refused);
	RUN(bounds);
	RUN(against_manifest);
	return test_end();
}
