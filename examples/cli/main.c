/* conex: containers and images from a shell, on the library's public API alone. This file: which command, and where its
 * containers and images are. */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

int say(const char *form, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("conex: ", stderr);
	va_start(ap, form);
	vfprintf(stderr, form, ap);
	va_end(ap);
	fputc('\n', stderr);
	return FAILED;
}

int say_error(const struct cli *cli, const char *what)
{
	return say("%s: %s", what, cli->err ? conex_error_text(cli->err) : "out of memory");
}

static void log_line(int level, const char *line, void *data)
{
	if (level <= 4 || flag(data, "debug"))
		say("%s", line);
}

/* ---- where things are ---- */

/* Absolute: who waits in the background is in no directory. NULL: not given */
static const char *given_state(struct cli *cli)
{
	const char *given = text(cli, "state");
	char *here = given && *given && *given != '/' ? keep(cli, getcwd(NULL, 0)) : NULL;

	return here ? format(cli, "%s/%s", here, given) : given && *given ? given : NULL;
}

/* Users have no right to /run: theirs is where their session keeps its own. */
const char *state_path(struct cli *cli, const char *below)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *given = given_state(cli);

	if (given)
		return format(cli, "%s/%s", given, below);
	if (geteuid() == 0)
		return format(cli, "/run/conex-cli/%s", below);
	if (runtime && *runtime == '/')
		return format(cli, "%s/conex-cli/%s", runtime, below);
	say("no directory for containers: set XDG_RUNTIME_DIR, or give one with --state DIRECTORY");
	return NULL;
}

/* On a disk, not in /run: they may be large. */
const char *log_path(struct cli *cli, const char *id)
{
	const char *home = getenv("HOME"), *state = getenv("XDG_STATE_HOME"), *given = given_state(cli);

	if (given)
		return format(cli, "%s/logs/%s", given, id);
	if (geteuid() == 0)
		return format(cli, "/var/log/conex/%s", id);
	if (state && *state == '/')
		return format(cli, "%s/conex/log/%s", state, id);
	return format(cli, "%s/.local/state/conex/log/%s", home ? home : "", id);
}

/* The directories above a file. */
int make_above(struct cli *cli, const char *file)
{
	char *path = format(cli, "%s", file);

	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return say("%s: %s; give another directory with --state", path, strerror(errno));
		*slash = '/';
	}
	return 0;
}

int open_containers(struct cli *cli, uint64_t flags)
{
	const char *path = state_path(cli, "containers");
	struct conex_options o = { .size = sizeof o, .flags = flags, .state = path, .store = text(cli, "store"),
		.log = log_line, .log_data = cli };
	int r;

	if (!path)
		return FAILED;
	if (flags & CONEX_READ_ONLY)
		o.flags |= CONEX_DETACHED;
	else if (make_above(cli, path))
		return FAILED;
	r = conex_open(&o, &cli->cx, &cli->err);
	if (r == -ENOENT && flags & CONEX_READ_ONLY)    /* not made before the first container */
		return 0;
	return r < 0 ? say_error(cli, path) : 0;
}

int open_images(struct cli *cli)
{
	struct conex_options o = { .size = sizeof o, .store = text(cli, "store"), .log = log_line, .log_data = cli };

	return conex_open(&o, &cli->cx, &cli->err) < 0 ? say_error(cli, "conex") : 0;
}

/* ---- containers by what people type ---- */

static int begins_one(struct cli *cli, const char *name, const char **ret)
{
	char **ids = NULL;
	int n = conex_container_list(cli->cx, NULL, &ids, &cli->err), found = 0;

	if (n < 0)
		return say_error(cli, name);
	keep(cli, ids);
	for (int i = 0; i < n; i++)
		if (!strncmp(ids[i], name, strlen(name)) && *name) {
			*ret = ids[i];
			found++;
		}
	if (found > 1)
		return say("%s: %d ids begin so; write more of it", name, found);
	return found ? 0 : say("there is no container %s; conex ps --all lists them", name);
}

int find_container(struct cli *cli, const char *name, conex_container **ret)
{
	const char *id;
	int r = cli->cx ? conex_container_get(cli->cx, name, ret, &cli->err) : -ENOENT;

	if (r == 0)
		return 0;
	if (!cli->cx)
		return say("there is no container %s; conex run makes one", name);
	if (r != -ENOENT && r != -EINVAL)
		return say_error(cli, name);
	if (begins_one(cli, name, &id))
		return FAILED;
	return conex_container_get(cli->cx, id, ret, &cli->err) < 0 ? say_error(cli, name) : 0;
}

int each(struct cli *cli, uint64_t flags, int (*one)(struct cli *, conex_container *))
{
	int status = open_containers(cli, flags);

	for (int i = 0; i < cli->count && (i == 0 ? status == 0 : 1); i++) {
		conex_container *c;
		int r = find_container(cli, cli->args[i], &c);

		if (r == 0) {
			r = one(cli, c);
			conex_container_free(c);
		}
		status = r ? r : status;
	}
	return status;
}

/* ---- main ---- */

static int run(struct cli *cli, int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "__complete"))
		return complete(cli, argc - 2, argv + 2);
	if (options_parse(cli, argc, argv) < 0)
		return FAILED;
	if (cli->command)
		return flag(cli, "help") ? usage(cli->command, stdout) : cli->command->run(cli);
	if (flag(cli, "version"))
		return command_version(cli);
	usage(NULL, flag(cli, "help") ? stdout : stderr);
	return flag(cli, "help") ? 0 : FAILED;
}

static void forget(struct cli *cli)
{
	conex_close(cli->cx);
	conex_error_free(cli->err);
	for (size_t i = 0; i < cli->kept_count; i++)
		free(cli->kept[i]);
	free(cli->kept);
	free(cli->given);
}

int main(int argc, char **argv)
{
	struct cli cli = { .command = NULL };
	int status;

	status = run(&cli, argc, argv);
	forget(&cli);
	if ((fflush(stdout) == EOF || ferror(stdout)) && status == 0)
		status = say("standard output: %s", strerror(errno));
	return status;
}
