/* conex-oci: an OCI runtime for Podman, Docker, containerd and Kubernetes, written on conex's public API.
 * Each call is one verb on one directory of containers; what a container needs it has, and nobody stays
 * behind: its parent becomes the engine's own subreaper. */
#include "oci.h"

#include <errno.h>
#include <unistd.h>

#define DEFAULT_ROOT "/run/conex-oci"

static const struct verb {
	const char *name;
	int (*run)(struct oci *rt);
	int args;               /* how many it takes at least */
	const char *usage;
} verbs[] = {
	{ "create", verb_create, 1, "[--bundle DIR] [--pid-file FILE] [--console-socket SOCKET] ID" },
	{ "delete", verb_delete, 1, "[--force] ID" },
	{ "events", verb_events, 1, "[--stats] [--interval 5s] ID" },
	{ "exec", verb_exec, 1, "[--process FILE | --tty --cwd DIR --env NAME=VALUE --user UID[:GID]] ID [PROGRAM ...]" },
	{ "features", verb_features, 0, "" },
	{ "kill", verb_kill, 1, "[--all] ID [SIGNAL]" },
	{ "list", verb_list, 0, "[--format table|json] [--quiet]" },
	{ "pause", verb_pause, 1, "ID" },
	{ "ps", verb_ps, 1, "[--format table|json] ID [ps options]" },
	{ "resume", verb_resume, 1, "ID" },
	{ "run", verb_run, 1, "[--bundle DIR] [--detach] [--keep] ID" },
	{ "spec", verb_spec, 0, "[--bundle DIR]" },
	{ "start", verb_start, 1, "ID" },
	{ "state", verb_state, 1, "ID" },
	{ "update", verb_update, 1, "[--resources FILE|-] [--memory BYTES ...] ID" },
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static int usage(FILE *to)
{
	fputs("usage: conex-oci [--root DIR] [--log FILE] [--log-format text|json] [--debug] [--systemd-cgroup] VERB ...\n", to);
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		fprintf(to, "  %-9s %s\n", verbs[i].name, verbs[i].usage);
	return to == stderr;
}

static int print_version(void)
{
	printf("conex-oci version %s\nspec: %s\nconex: %s\n", conex_version(), OCI_VERSION, conex_version());
	return 0;
}

static void debug_line(int level, const char *line, void *data)
{
	const struct options *o = data;

	if (level <= 4 || o->debug)
		warn("%s", line);
}

/* Users have no right to /run: theirs is where their session keeps its own. */
static const char *state_directory(const struct oci *rt, char *path, size_t size)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (rt->o.root && *rt->o.root)
		return rt->o.root;
	if (geteuid() == 0 || !runtime || !*runtime)
		return DEFAULT_ROOT;
	snprintf(path, size, "%s/conex-oci", runtime);
	return path;
}

/* Only these verbs make cgroups; the others find what was made, by whomever. */
static const char *cgroup_driver(const struct options *o)
{
	if (strcmp(o->verb, "create") && strcmp(o->verb, "run"))
		return NULL;
	return o->systemd_cgroup ? "systemd" : "cgroupfs";
}

int open_context(struct oci *rt, uint64_t flags)
{
	char path[4096];
	struct conex_options o = { .size = sizeof o, .flags = CONEX_DETACHED | flags,
		.state = state_directory(rt, path, sizeof path),
		.log = debug_line, .log_data = &rt->o, .cgroup_driver = cgroup_driver(&rt->o) };

	int r = conex_open(&o, &rt->cx, &rt->err);

	if (r == -ENOENT && flags & CONEX_READ_ONLY)    /* not made before the first container */
		return rt->id ? say("container %s does not exist", rt->id) : 0;
	return r < 0 ? say_error(rt, r == -EOPNOTSUPP ? "--systemd-cgroup" : "the state directory") : 0;
}

int get_container(struct oci *rt, conex_container **ret)
{
	int r = conex_container_get(rt->cx, rt->id, ret, &rt->err);

	if (r == -ENOENT)
		return say("container %s does not exist", rt->id);
	return r < 0 ? say_error(rt, "container") : 0;
}

static int check(const struct options *o)
{
	static const char *const rootless[] = { "true", "false", "auto", NULL };
	int i = 0;

	while (o->rootless && rootless[i] && strcmp(o->rootless, rootless[i]))
		i++;
	if (o->rootless && !rootless[i])
		return say("--rootless is true, false or auto, not %s", o->rootless);
	if (o->log_format && strcmp(o->log_format, "json") && strcmp(o->log_format, "text"))
		return say("--log-format is json or text, not %s", o->log_format);
	return 0;
}

static int run(struct oci *rt)
{
	const struct verb *v = find_verb(rt->o.verb);
	int status;

	if (!strcmp(rt->o.verb, "help"))
		return usage(stdout);
	if (!v)
		return say("there is no verb \"%s\"; conex-oci --help lists them", rt->o.verb), 1;
	if (check(&rt->o) < 0)
		return 1;
	if (rt->o.count < v->args)
		return say("usage: conex-oci %s %s", v->name, v->usage), 1;
	rt->id = rt->o.count ? rt->o.args[0] : NULL;
	status = v->run(rt);
	conex_close(rt->cx);
	conex_error_free(rt->err);
	return status;
}

int main(int argc, char **argv)
{
	struct oci rt = { .id = NULL };

	if (options_parse(&rt.o, argc, argv) < 0)
		return 1;
	note_fds(&rt.o);
	log_open(&rt.o);
	if (rt.o.version)
		return print_version();
	if (rt.o.help || !rt.o.verb)
		return usage(rt.o.help ? stdout : stderr);
	return run(&rt);
}
