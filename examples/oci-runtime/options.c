/* The command line: one table of options for all verbs. Written as Go's flags are: one dash or two,
 * "--name value" or "--name=value". */
#include "oci.h"

#include <stddef.h>

enum kind { TRUTH, TEXT, LIST };

static const struct option {
	const char *name;
	char letter;
	enum kind kind;
	size_t at;
	const char *verbs;      /* " exec run "; NULL: before the verb */
} table[] = {
#define OPTION(name, letter, kind, field, verbs) { name, letter, kind, offsetof(struct options, field), verbs }
	OPTION("root", 0, TEXT, root, NULL),
	OPTION("log", 0, TEXT, log, NULL),
	OPTION("log-format", 0, TEXT, log_format, NULL),
	OPTION("rootless", 0, TEXT, rootless, NULL),
	OPTION("debug", 0, TRUTH, debug, NULL),
	OPTION("systemd-cgroup", 0, TRUTH, systemd_cgroup, NULL),
	OPTION("version", 'v', TRUTH, version, NULL),
	OPTION("help", 'h', TRUTH, help, NULL),
	OPTION("bundle", 'b', TEXT, bundle, " create run spec "),
	OPTION("pid-file", 0, TEXT, pid_file, " create run exec "),
	OPTION("console-socket", 0, TEXT, console_socket, " create run exec "),
	OPTION("pidfd-socket", 0, TEXT, pidfd_socket, " create run exec "),
	OPTION("preserve-fds", 0, TEXT, preserve_fds, " create run exec "),
	OPTION("no-pivot", 0, TRUTH, no_pivot, " create run "),
	OPTION("no-new-keyring", 0, TRUTH, no_new_keyring, " create run "),
	OPTION("no-subreaper", 0, TRUTH, no_subreaper, " run exec "),
	OPTION("keep", 0, TRUTH, keep, " run "),
	OPTION("detach", 'd', TRUTH, detach, " run exec "),
	OPTION("rootless", 0, TRUTH, all, " spec "),
	OPTION("process", 'p', TEXT, process, " exec "),
	OPTION("tty", 't', TRUTH, tty, " exec "),
	OPTION("cwd", 0, TEXT, cwd, " exec "),
	OPTION("env", 'e', LIST, env, " exec "),
	OPTION("user", 'u', TEXT, user, " exec "),
	OPTION("cap", 'c', LIST, caps, " exec "),
	OPTION("additional-gids", 'g', LIST, gids, " exec "),
	OPTION("apparmor", 0, TEXT, apparmor, " exec "),
	OPTION("cgroup", 0, TEXT, cgroup, " exec "),
	OPTION("no-new-privs", 0, TRUTH, no_new_privs, " exec "),
	OPTION("ignore-paused", 0, TRUTH, ignore_paused, " exec "),
	OPTION("all", 'a', TRUTH, all, " kill "),
	OPTION("force", 'f', TRUTH, force, " delete "),
	OPTION("format", 'f', TEXT, format, " list ps "),
	OPTION("quiet", 'q', TRUTH, quiet, " list "),
	OPTION("stats", 0, TRUTH, stats, " events "),
	OPTION("interval", 0, TEXT, interval, " events "),
	OPTION("resources", 'r', TEXT, resources, " update "),
	OPTION("memory", 0, TEXT, memory, " update "),
	OPTION("memory-swap", 0, TEXT, memory_swap, " update "),
	OPTION("memory-reservation", 0, TEXT, memory_reservation, " update "),
	OPTION("cpu-quota", 0, TEXT, cpu_quota, " update "),
	OPTION("cpu-period", 0, TEXT, cpu_period, " update "),
	OPTION("cpu-share", 0, TEXT, cpu_share, " update "),
	OPTION("cpuset-cpus", 0, TEXT, cpuset_cpus, " update "),
	OPTION("cpuset-mems", 0, TEXT, cpuset_mems, " update "),
	OPTION("pids-limit", 0, TEXT, pids_limit, " update "),
#undef OPTION
};

static int is_for(const struct option *t, const char *verb)
{
	char word[32];

	if (!verb || !t->verbs)
		return !verb && !t->verbs;
	snprintf(word, sizeof word, " %s ", verb);
	return strstr(t->verbs, word) != NULL;
}

static const struct option *find(const char *verb, const char *name, size_t size)
{
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		const struct option *t = &table[i];

		if (is_for(t, verb) && ((!strncmp(t->name, name, size) && !t->name[size])
				|| (size == 1 && t->letter && t->letter == *name)))
			return t;
	}
	return NULL;
}

static int set_truth(struct options *o, const struct option *t, const char *value)
{
	int on = !value || !strcmp(value, "true") || !strcmp(value, "1");

	if (!on && strcmp(value, "false") && strcmp(value, "0"))
		return say("--%s: %s is neither true nor false", t->name, value);
	*(int *)((char *)o + t->at) = on;
	return 0;
}

static int set_value(struct options *o, const struct option *t, const char *value)
{
	struct values *list = (struct values *)((char *)o + t->at);

	if (t->kind == TEXT) {
		*(const char **)((char *)o + t->at) = value;
		return 0;
	}
	if (list->count == MAX_VALUES)
		return say("--%s may be given %d times at most", t->name, MAX_VALUES);
	list->at[list->count++] = value;
	return 0;
}

/* One option at args[*at] and its value; *at then is the last that was used. */
static int take(struct options *o, char **args, int *at)
{
	const char *name = args[*at] + 1 + (args[*at][1] == '-'), *equals = strchr(name, '=');
	const struct option *t = find(o->verb, name, equals ? (size_t)(equals - name) : strlen(name));

	if (!t)
		return say("%s has no option %s", o->verb ? o->verb : "conex-oci", args[*at]);
	if (t->kind == TRUTH)
		return set_truth(o, t, equals ? equals + 1 : NULL);
	if (!equals && !args[*at + 1])
		return say("--%s needs a value", t->name);
	return set_value(o, t, equals ? equals + 1 : args[++*at]);
}

/* What follows the container of exec and ps is another program's. */
static int ends_at_first(const char *verb)
{
	return !strcmp(verb, "exec") || !strcmp(verb, "ps");
}

static int parse_verb(struct options *o, char **args)
{
	int options = 1;

	for (int i = 0; args[i]; i++) {
		if (options && !strcmp(args[i], "--")) {
			options = 0;
		} else if (options && args[i][0] == '-' && args[i][1]) {
			if (take(o, args, &i) < 0)
				return -1;
		} else {
			o->args[o->count++] = args[i];
			options = options && !ends_at_first(o->verb);
		}
	}
	o->args[o->count] = NULL;
	return 0;
}

int options_parse(struct options *o, int argc, char **argv)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++)
		if (take(o, argv, &i) < 0)
			return -1;
	if (i == argc)
		return 0;
	o->verb = argv[i];
	o->args = argv;         /* never more than there were: written over as they are read */
	return parse_verb(o, argv + i + 1);
}
