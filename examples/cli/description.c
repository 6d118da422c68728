/* What `run` was asked for, as the library takes it. */
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static int no(const struct cli *cli, const char *option, const char *value, const char *mend)
{
	return say("%s: --%s %s: %s", cli->command->name, option, value, mend);
}

/* ---- environment ---- */

struct strings { const char **at; size_t count; };

static void add(struct cli *cli, struct strings *s, const char *value)
{
	const char **grown = keep(cli, calloc(s->count + 2, sizeof *grown));

	if (s->count)
		memcpy(grown, s->at, s->count * sizeof *grown);
	grown[s->count++] = value;
	s->at = grown;
}

/* A name alone takes our own value along, if there is one. */
static int add_variable(struct cli *cli, struct strings *s, const char *variable)
{
	const char *own;

	if (!*variable || *variable == '=')
		return no(cli, "env", variable, "write NAME=VALUE, or NAME");
	own = strchr(variable, '=') ? NULL : getenv(variable);
	if (own)
		add(cli, s, format(cli, "%s=%s", variable, own));
	else if (strchr(variable, '='))
		add(cli, s, variable);
	return 0;
}

static int add_file(struct cli *cli, struct strings *s, const char *path)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t size;
	int r = f ? 0 : no(cli, "env-file", path, strerror(errno));

	while (r == 0 && getline(&line, &size, f) > 0) {
		line[strcspn(line, "\r\n")] = '\0';
		if (*line && *line != '#')
			r = add_variable(cli, s, format(cli, "%s", line));
	}
	free(line);
	if (f)
		fclose(f);
	return r;
}

const char *const *environment(struct cli *cli)
{
	struct strings s = { .at = NULL };

	for (const char *const *file = list(cli, "env-file"); *file; file++)
		if (add_file(cli, &s, *file))
			return NULL;
	for (const char *const *variable = list(cli, "env"); *variable; variable++)
		if (add_variable(cli, &s, *variable))
			return NULL;
	return s.at ? s.at : list(cli, "env");
}

/* ---- mounts ---- */

struct mounts { struct conex_mount *at; size_t count; };

static void add_mount(struct cli *cli, struct mounts *m, struct conex_mount mount)
{
	struct conex_mount *grown = keep(cli, calloc(m->count + 2, sizeof *grown));

	if (m->count)
		memcpy(grown, m->at, m->count * sizeof *grown);
	grown[m->count++] = mount;
	m->at = grown;
}

/* Of binds; relative to where we are. A word without a slash would be a volume's name. */
static int source_path(struct cli *cli, const char *option, const char *value, const char *source, const char **ret)
{
	char path[PATH_MAX];

	if (!*source)
		return no(cli, option, value, "its source is missing");
	if (!strchr(source, '/') && strcmp(source, ".") && strcmp(source, ".."))
		return no(cli, option, value, "there are no volumes by name; name a directory or file, as ./data or /srv/data");
	if (!realpath(source, path))
		return no(cli, option, value, strerror(errno));
	*ret = format(cli, "%s", path);
	return 0;
}

static int add_volume(struct cli *cli, struct mounts *m, const char *value)
{
	char *copy = format(cli, "%s", value), *target = strchr(copy, ':'), *options = NULL;
	struct conex_mount mount = { .type = NULL };

	if (target) {
		*target++ = '\0';
		options = strchr(target, ':');
	}
	if (options)
		*options++ = '\0';
	if (!target || *target != '/')
		return no(cli, "volume", value, "write SOURCE:TARGET or SOURCE:TARGET:ro, with an absolute TARGET");
	if (options && (strchr(options, 'z') || strchr(options, 'Z')) && strlen(options) < 5 && !strstr(options, "size"))
		return no(cli, "volume", value, "files get no other SELinux label; leave out z and Z");
	mount.target = target;
	mount.options = options && strcmp(options, "rw") ? options : NULL;
	if (source_path(cli, "volume", value, copy, &mount.source))
		return FAILED;
	add_mount(cli, m, mount);
	return 0;
}

static int add_tmpfs(struct cli *cli, struct mounts *m, const char *value)
{
	char *copy = format(cli, "%s", value), *options = strchr(copy, ':');

	if (*value != '/')
		return no(cli, "tmpfs", value, "write an absolute directory, or DIRECTORY:size=16m");
	if (options)
		*options++ = '\0';
	add_mount(cli, m, (struct conex_mount){ "tmpfs", copy, "tmpfs", options });
	return 0;
}

/* One word of --mount: KEY=VALUE, or an option. */
static int mount_word(struct cli *cli, struct conex_mount *m, const char *word)
{
	const char *equals = strchr(word, '='), *value = equals ? equals + 1 : NULL;
	size_t n = equals ? (size_t)(equals - word) : strlen(word);
	static const char *const sources[] = { "source", "src" }, *const targets[] = { "target", "destination", "dst" };

	for (size_t i = 0; value && i < 2; i++)
		if (n == strlen(sources[i]) && !strncmp(word, sources[i], n))
			return m->source = value, 0;
	for (size_t i = 0; value && i < 3; i++)
		if (n == strlen(targets[i]) && !strncmp(word, targets[i], n))
			return m->target = value, 0;
	if (value && n == 4 && !strncmp(word, "type", n))
		return m->type = value, 0;
	if (n == 8 && !strncmp(word, "readonly", n))
		word = !value || !strcmp(value, "true") ? "ro" : "rw";
	m->options = m->options ? format(cli, "%s,%s", m->options, word) : word;
	return 0;
}

static int add_described(struct cli *cli, struct mounts *m, const char *value)
{
	struct conex_mount mount = { .type = "bind" };
	char *copy = format(cli, "%s", value), *rest = NULL;

	for (char *word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
		mount_word(cli, &mount, word);
	if (!mount.target || *mount.target != '/')
		return no(cli, "mount", value, "its target is missing; write target=/an/absolute/path");
	if (strcmp(mount.type, "bind") && strcmp(mount.type, "tmpfs"))
		return no(cli, "mount", value, "its type is bind or tmpfs");
	if (!strcmp(mount.type, "bind")) {
		if (source_path(cli, "mount", value, mount.source ? mount.source : "", &mount.source))
			return FAILED;
		mount.type = NULL;
	} else if (!mount.source) {
		mount.source = "tmpfs";
	}
	add_mount(cli, m, mount);
	return 0;
}

static int mounts(struct cli *cli, struct conex_run_options *o)
{
	static const struct { const char *option; int (*add)(struct cli *, struct mounts *, const char *); } kinds[] = {
		{ "volume", add_volume }, { "tmpfs", add_tmpfs }, { "mount", add_described } };
	struct mounts m = { .at = NULL };

	for (size_t i = 0; i < 3; i++)
		for (const char *const *value = list(cli, kinds[i].option); *value; value++)
			if (kinds[i].add(cli, &m, *value))
				return FAILED;
	o->mounts = m.at;
	return 0;
}

/* ---- network ---- */

static int ports(struct cli *cli, struct conex_run_options *o)
{
	struct conex_port *all = NULL;
	size_t count = 0;

	for (const char *const *value = list(cli, "publish"); *value; value++) {
		struct conex_port *more, *grown;
		int n = conex_parse_ports(*value, &more, &cli->err);

		if (n < 0)
			return say_error(cli, format(cli, "run: --publish %s", *value));
		keep(cli, more);
		grown = keep(cli, calloc(count + (size_t)n + 1, sizeof *grown));
		if (count)
			memcpy(grown, all, count * sizeof *grown);
		memcpy(grown + count, more, (size_t)n * sizeof *grown);
		count += (size_t)n;
		all = grown;
	}
	o->ports = all;
	return 0;
}

/* "name:address" is "address name" in /etc/hosts. */
static int hosts(struct cli *cli, struct conex_run_options *o)
{
	struct strings s = { .at = NULL };

	for (const char *const *value = list(cli, "add-host"); *value; value++) {
		const char *colon = strchr(*value, ':');

		if (!colon || colon == *value || !colon[1])
			return no(cli, "add-host", *value, "write NAME:ADDRESS");
		add(cli, &s, format(cli, "%s %.*s", colon + 1, (int)(colon - *value), *value));
	}
	o->hosts = s.at;
	o->dns = *list(cli, "dns") ? list(cli, "dns") : NULL;
	return 0;
}

static int network(struct cli *cli, struct conex_run_options *o)
{
	const char *name = text(cli, "network");

	if (ports(cli, o) || hosts(cli, o))
		return FAILED;
	o->network = name ? name : o->ports ? "bridge" : NULL;
	if (o->network && !strcmp(o->network, "none"))
		o->network = NULL;
	return 0;
}

/* ---- limits, labels, and what is laid over ---- */

static int limits(struct cli *cli, struct description *d)
{
	const char *memory = text(cli, "memory");
	double n;
	int r;

	d->limits.size = sizeof d->limits;
	if (memory && (conex_parse_size(memory, &d->limits.memory, NULL) < 0 || !d->limits.memory))
		return no(cli, "memory", memory, "a size is meant, as 512M or 1.5G");
	if ((r = number(cli, "cpus", 0.001, 100000, &n)) < 0)
		return FAILED;
	d->limits.cpus = r ? n : 0;
	if ((r = number(cli, "pids", -1, 4194304, &n)) < 0)
		return FAILED;
	if (r)
		d->limits.pids = n < 1 ? CONEX_UNLIMITED : (uint64_t)n;
	d->o.limits = &d->limits;
	return 0;
}

/* Where ps and inspect find again what was asked for. */
static int labels(struct cli *cli, struct description *d)
{
	const char *const *ports = list(cli, "publish");
	struct strings s = { .at = NULL };
	const char *joined = "";

	for (const char *const *value = list(cli, "label"); *value; value++) {
		if (!**value || **value == '=')
			return no(cli, "label", *value, "write NAME=VALUE, or NAME");
		add(cli, &s, strchr(*value, '=') ? *value : format(cli, "%s=", *value));
	}
	for (; *ports; ports++)
		joined = format(cli, "%s%s%s", joined, *joined ? " " : "", *ports);
	add(cli, &s, format(cli, "conex.image=%s", cli->args[0]));
	if (*joined)
		add(cli, &s, format(cli, "conex.ports=%s", joined));
	d->o.labels = s.at;
	return 0;
}

/* The image's entrypoint can be replaced only by a layer above it; the user's own layer comes after that. */
static int layers(struct cli *cli, struct description *d)
{
	const char *entrypoint = text(cli, "entrypoint"), *given = text(cli, "oci");
	json_error_t why;
	json_t *above = given ? json_loads(given, 0, &why) : NULL, *args = NULL, *all;
	size_t first = entrypoint && *entrypoint ? 1 : 0;
	char *made;

	if (given && !json_is_object(above)) {
		json_decref(above);
		return say("run: --oci: %s; an object of the runtime-spec's config.json is meant", above ? "it is no object" : why.text);
	}
	if (!entrypoint)
		return d->o.oci = given, json_decref(above), 0;
	if (!first && !d->args)
		return say("run: --entrypoint \"\" leaves nothing to run; name a program behind the image");
	args = first ? json_pack("[s]", entrypoint) : json_array();
	for (const char *const *a = d->args; a && *a; a++)
		json_array_append_new(args, json_string(*a));
	all = json_pack("{s:{s:o}}", "process", "args", args);
	if (above)
		json_object_update_recursive(all, above);
	json_decref(above);
	made = all ? json_dumps(all, JSON_COMPACT) : NULL;
	json_decref(all);
	if (!made)
		return say("run: --entrypoint: the program's name and arguments are texts of UTF-8");
	d->o.oci = keep(cli, made);
	if (!d->args)           /* without the image's own arguments, even if it has nothing else to run */
		d->args = list(cli, "entrypoint");
	return 0;
}

static int flags(struct cli *cli, struct conex_run_options *o)
{
	static const struct { const char *option; uint64_t flag; } all[] = { { "tty", CONEX_RUN_TTY },
		{ "read-only", CONEX_RUN_READ_ONLY }, { "init", CONEX_RUN_INIT }, { "userns", CONEX_RUN_USERNS } };
	double seconds;
	int r;

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		o->flags |= flag(cli, all[i].option) ? all[i].flag : 0;
	r = number(cli, "timeout", 0, 1e9, &seconds);
	o->timeout_ms = r > 0 ? (int64_t)(seconds * 1000) : 0;
	return r < 0 ? FAILED : 0;
}

int describe(struct cli *cli, struct description *d)
{
	char path[PATH_MAX];

	*d = (struct description){ .o = { .size = sizeof d->o, .id = text(cli, "name"), .cwd = text(cli, "workdir"),
		.user = text(cli, "user"), .hostname = text(cli, "hostname") } };
	d->args = cli->count > 1 ? (const char *const *)cli->args + 1 : NULL;
	if (flag(cli, "rootfs")) {
		if (!realpath(cli->args[0], path))
			return no(cli, "rootfs", cli->args[0], strerror(errno));
		d->o.rootfs = format(cli, "%s", path);
	} else {
		d->image = cli->args[0];
	}
	d->o.env = environment(cli);
	if (!d->o.env)
		return FAILED;
	return mounts(cli, &d->o) || network(cli, &d->o) || limits(cli, d) || labels(cli, d) || layers(cli, d) || flags(cli, &d->o)
		? FAILED : 0;
}
