/* The command line taken apart by the tables of commands.c: "--name value", "--name=value", "-nvalue", "-n value", and
 * letters together, "-it". Global options stand before the command. */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>

void *keep(struct cli *cli, void *allocated)
{
	void **grown = allocated ? realloc(cli->kept, (cli->kept_count + 1) * sizeof *grown) : NULL;

	if (!grown) {
		free(allocated);
		exit(say("out of memory"));
	}
	cli->kept = grown;
	return cli->kept[cli->kept_count++] = allocated;
}

char *format(struct cli *cli, const char *form, ...)
{
	char *made = NULL;
	va_list ap;

	va_start(ap, form);
	if (vasprintf(&made, form, ap) < 0)
		made = NULL;
	va_end(ap);
	return keep(cli, made);
}

static const char *whose(const struct cli *cli)
{
	return cli->command ? cli->command->name : "conex";
}

static int add(struct cli *cli, const struct option *o, const char *value)
{
	struct given *grown = realloc(cli->given, (cli->given_count + 1) * sizeof *grown);

	if (!grown)
		return say("out of memory"), -1;
	cli->given = grown;
	cli->given[cli->given_count++] = (struct given){ o, value };
	if (o->kind == FLAG && strcmp(value, "true") && strcmp(value, "false"))
		return say("%s: --%s=%s: it is true or false", whose(cli), o->name, value), -1;
	return 0;
}

/* What is shown of an option's name when it is in doubt. */
static int unknown(const struct cli *cli, const char *word)
{
	say("%s has no option %s; conex %s%s lists them", whose(cli), word, cli->command ? cli->command->name : "help",
		cli->command ? " --help" : "");
	return -1;
}

static int take_long(struct cli *cli, const struct option *table, char **args, int *at)
{
	const char *name = args[*at] + 2, *equals = strchr(name, '=');
	const struct option *o = find_option(table, name, equals ? (size_t)(equals - name) : strlen(name), 0);

	if (!o || name[0] == '=')
		return unknown(cli, args[*at]);
	if (equals)
		return add(cli, o, equals + 1);
	if (o->kind == FLAG)
		return add(cli, o, "true");
	if (!args[*at + 1])
		return say("%s: --%s needs a value: %s", whose(cli), o->name, o->value), -1;
	return add(cli, o, args[++*at]);
}

static int take_letters(struct cli *cli, const struct option *table, char **args, int *at)
{
	for (const char *letter = args[*at] + 1; *letter; letter++) {
		const struct option *o = find_option(table, NULL, 0, *letter);

		/* everywhere but where it is another option's letter */
		if (!o && *letter == 'h')
			o = find_option(table, "help", 4, 0);
		if (!o)
			return unknown(cli, args[*at]);
		if (o->kind == FLAG) {
			if (add(cli, o, "true") < 0)
				return -1;
			continue;
		}
		if (letter[1])
			return add(cli, o, letter[1] == '=' ? letter + 2 : letter + 1);
		if (!args[*at + 1])
			return say("%s: -%c needs a value: %s", whose(cli), *letter, o->value), -1;
		return add(cli, o, args[++*at]);
	}
	return 0;
}

static int take(struct cli *cli, const struct option *table, char **args, int *at)
{
	return (args[*at][1] == '-' ? take_long : take_letters)(cli, table, args, at);
}

static int parse_command(struct cli *cli, char **args)
{
	const struct command *c = cli->command;
	int options = 1;

	for (int i = 0; args[i]; i++) {
		if (options && !strcmp(args[i], "--")) {
			options = 0;
		} else if (options && args[i][0] == '-' && args[i][1]) {
			if (take(cli, c->options, args, &i) < 0)
				return -1;
		} else {
			cli->args[cli->count++] = args[i];
			options = options && !(c->stops && cli->count >= c->stops);
		}
	}
	cli->args[cli->count] = NULL;
	if (flag(cli, "help"))
		return 0;
	if (cli->count < c->least || (c->most >= 0 && cli->count > c->most)) {
		say("%s takes %s; conex %s --help says more", c->name, *c->args ? c->args : "no words, only options", c->name);
		return -1;
	}
	return 0;
}

int options_parse(struct cli *cli, int argc, char **argv)
{
	int i = 1, used;

	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++)
		if (take(cli, global_options, argv, &i) < 0)
			return -1;
	cli->args = argv + argc;        /* none */
	if (i >= argc)
		return 0;
	cli->command = find_command(argv + i, argc - i, &used);
	if (!cli->command) {
		say("there is no command \"%s%s%s\"; conex help lists them", argv[i], strcmp(argv[i], "system") || i + 1 == argc ? "" : " ",
			strcmp(argv[i], "system") || i + 1 == argc ? "" : argv[i + 1]);
		return -1;
	}
	cli->args = argv;               /* never more than there were: written over as they are read */
	return parse_command(cli, argv + i + used);
}


const char *text(const struct cli *cli, const char *option)
{
	for (size_t i = cli->given_count; i-- > 0;)
		if (!strcmp(cli->given[i].option->name, option))
			return cli->given[i].value;
	return NULL;
}

int flag_or(const struct cli *cli, const char *option, int otherwise)
{
	const char *value = text(cli, option);

	return value ? !strcmp(value, "true") : otherwise;
}

int flag(const struct cli *cli, const char *option)
{
	return flag_or(cli, option, 0);
}

const char *const *list(struct cli *cli, const char *option)
{
	const char **values = keep(cli, calloc(cli->given_count + 1, sizeof *values));
	size_t n = 0;

	for (size_t i = 0; i < cli->given_count; i++)
		if (!strcmp(cli->given[i].option->name, option))
			values[n++] = cli->given[i].value;
	return values;
}

int number(const struct cli *cli, const char *option, double least, double most, double *ret)
{
	const char *value = text(cli, option);
	char *end;

	if (!value)
		return 0;
	errno = 0;
	*ret = strtod(value, &end);
	if (end == value || *end || errno || !(*ret >= least && *ret <= most)) {
		say("%s: --%s %s: a number from %g to %g is meant", whose(cli), option, value, least, most);
		return -1;
	}
	return 1;
}
