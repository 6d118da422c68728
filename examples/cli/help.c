/* help: what commands.c says, for people, for programs and for the manual page. */
#include "cli.h"

static void print_option(const struct option *o)
{
	char name[128];

	snprintf(name, sizeof name, "%s%c%s--%s%s%s", o->letter ? "-" : " ", o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name,
		o->value ? " " : "", o->value ? o->value : "");
	printf(strlen(name) > 36 ? "  %s\n%39s%s\n" : "  %-36s%s%s\n", name, strlen(name) > 36 ? "" : " ", o->help);
}

static void print_options(const struct option *table, FILE *to)
{
	if (to != stdout)
		return;
	for (const struct option *o = table; o && o->name; o++)
		if (!o->same)
			print_option(o);
}

int usage(const struct command *c, FILE *to)
{
	if (c) {
		fprintf(to, "usage: conex %s [OPTION...]%s%s\n\n%s.\n\n", c->name, *c->args ? " " : "", c->args, c->help);
		print_options(c->options, to);
		return 0;
	}
	fputs("usage: conex [OPTION...] COMMAND ...\n\n", to);
	for (c = commands; c->name; c++)
		fprintf(to, "  %-13s %s\n", c->name, c->help);
	fputs("\nconex COMMAND --help says what a command takes.\n", to);
	if (to == stdout)
		putchar('\n');
	print_options(global_options, to);
	return 0;
}

/* ---- for programs ---- */

static json_t *options_json(const struct option *table)
{
	static const char *const kinds[] = { "flag", "text", "list" };
	json_t *all = json_array();

	for (const struct option *o = table; o && o->name; o++) {
		json_t *one = json_pack("{s:s, s:s, s:s*, s:s*, s:s*}", "name", o->name, "kind", kinds[o->kind], "value", o->value, "help", o->help,
			"same", o->same);

		if (o->letter)
			json_object_set_new(one, "letter", json_sprintf("%c", o->letter));
		json_array_append_new(all, one);
	}
	return all;
}

static int print_all_json(void)
{
	json_t *all = json_array();

	for (const struct command *c = commands; c->name; c++)
		json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:o}", "name", c->name, "args", c->args, "help", c->help, "options",
			options_json(c->options)));
	return print_json(json_pack("{s:o, s:o}", "options", options_json(global_options), "commands", all));
}

/* ---- for the manual page ---- */

static void roff(const char *text)
{
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\e", stdout);
		else if (*text == '-')
			fputs("\\-", stdout);
		else
			putchar(*text);
	}
}

static void roff_options(const struct option *table)
{
	for (const struct option *o = table; o && o->name; o++) {
		if (o->same || !strcmp(o->name, "help"))
			continue;
		fputs(".TP\n.BR ", stdout);
		if (o->letter)
			printf("\\-%c \", \" ", o->letter);
		fputs("\\-\\-", stdout);
		roff(o->name);
		if (o->value) {
			fputs(" \" \\fI", stdout);
			roff(o->value);
			fputs("\\fP\"", stdout);
		}
		putchar('\n');
		roff(o->help);
		putchar('\n');
	}
}

static int print_manual(void)
{
	fputs(".SH OPTIONS\nThey stand before the command.\n", stdout);
	roff_options(global_options);
	fputs(".SH COMMANDS\n", stdout);
	for (const struct command *c = commands; c->name; c++) {
		fputs(".SS conex ", stdout);
		roff(c->name);
		printf("%s", *c->args ? " " : "");
		roff(c->args);
		putchar('\n');
		roff(c->help);
		fputs(".\n", stdout);
		roff_options(c->options);
	}
	return 0;
}

int command_help(struct cli *cli)
{
	const char *f = text(cli, "format");
	const struct command *c = NULL;
	int used;

	if (f && !strcmp(f, "json"))
		return print_all_json();
	if (f && !strcmp(f, "man"))
		return print_manual();
	if (f && strcmp(f, "text"))
		return say("help: --format %s: it is text, json or man", f);
	if (cli->count && !(c = find_command(cli->args, cli->count, &used)))
		return say("there is no command \"%s\"; conex help lists them", cli->args[0]);
	return usage(c, stdout);
}
