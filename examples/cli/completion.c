/* completion: shells ask `conex __complete WORD...` what the last word may become; "conex:files" and "conex:directories" send
 * them to look for themselves. */
#include "cli.h"

#include <unistd.h>

static const char bash[] =
"# bash: eval \"$(conex completion bash)\"\n"
"_conex() {\n"
"\tlocal line=${COMP_LINE:0:COMP_POINT} word cut prefix IFS=$' \\t\\n'\n"
"\tlocal -a words found; read -ra words <<<\"$line\"\n"
"\t[[ $line == *[[:space:]] ]] && words+=(\"\")\n"
"\tword=${words[-1]}\n"
"\t# readline takes a word apart at these, so it wants only what is behind the last one\n"
"\tprefix=${word%\"${word##*[:=]}\"}\n"
"\tmapfile -t found < <(\"${words[0]}\" __complete \"${words[@]:1}\" 2>/dev/null)\n"
"\tCOMPREPLY=()\n"
"\tfor cut in \"${found[@]}\"; do\n"
"\t\tcase $cut in\n"
"\t\tconex:files) compopt -o default; COMPREPLY=(); return ;;\n"
"\t\tconex:directories) compopt -o dirnames; COMPREPLY=(); return ;;\n"
"\t\tesac\n"
"\t\tCOMPREPLY+=(\"${cut#\"$prefix\"}\")\n"
"\tdone\n"
"\t[[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
"}\n"
"complete -F _conex conex\n";

static const char zsh[] =
"#compdef conex\n"
"# zsh: a file _conex in $fpath, or: eval \"$(conex completion zsh)\"\n"
"_conex() {\n"
"\tlocal -a found\n"
"\tfound=(${(f)\"$(${words[1]} __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)\"})\n"
"\tcase $found[1] in\n"
"\tconex:files) _files ;;\n"
"\tconex:directories) _files -/ ;;\n"
"\t*) compadd -- $found ;;\n"
"\tesac\n"
"}\n"
"compdef _conex conex\n";

static const char fish[] =
"# fish: conex completion fish | source\n"
"function __conex_complete\n"
"\tset -l words (commandline -opc) (commandline -ct)\n"
"\tset -l found ($words[1] __complete $words[2..-1] 2>/dev/null)\n"
"\tswitch \"$found[1]\"\n"
"\t\tcase conex:files\n"
"\t\t\t__fish_complete_path (commandline -ct)\n"
"\t\tcase conex:directories\n"
"\t\t\t__fish_complete_directories (commandline -ct)\n"
"\t\tcase '*'\n"
"\t\t\tprintf '%s\\n' $found\n"
"\tend\n"
"end\n"
"complete -c conex -f -a '(__conex_complete)'\n";

int command_completion(struct cli *cli)
{
	static const struct { const char *shell, *text; } all[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };

	for (size_t i = 0; i < 3; i++)
		if (!strcmp(cli->args[0], all[i].shell)) {
			fputs(all[i].text, stdout);
			return 0;
		}
	return say("completion: %s: the shell is bash, zsh or fish", cli->args[0]);
}

/* ---- what a word may become ---- */

static void offer(const char *word, const char *begun)
{
	if (!strncmp(word, begun, strlen(begun)))
		printf("%s\n", word);
}

/* Each of "a|b|c", behind prefix. */
static void offer_choices(struct cli *cli, const char *choices, const char *prefix, const char *begun)
{
	char *copy = format(cli, "%s", choices), *rest = NULL;

	for (char *one = strtok_r(copy, "|", &rest); one; one = strtok_r(NULL, "|", &rest))
		offer(format(cli, "%s%s", prefix, one), begun);
}

static void offer_images(struct cli *cli, const char *begun)
{
	char **names;

	if (open_images(cli) || conex_image_list(cli->cx, &names, NULL) < 0)
		return;
	for (char **name = names; *name; name++)
		offer(*name, begun);
	free(names);
	conex_close(cli->cx);
	cli->cx = NULL;
}

static void offer_containers(struct cli *cli, const char *begun)
{
	char **ids;

	if (open_containers(cli, CONEX_READ_ONLY) || !cli->cx || conex_container_list(cli->cx, NULL, &ids, NULL) < 0)
		return;
	for (char **id = ids; *id; id++)
		offer(*id, begun);
	free(ids);
	conex_close(cli->cx);
	cli->cx = NULL;
}

static void offer_commands(char *const *words, int count, const char *begun)
{
	for (const struct command *c = commands; c->name; c++) {
		size_t first = strcspn(c->name, " ");
		int again = c > commands && c->name[first] && !strncmp(c[-1].name, c->name, first + 1);
		char word[32];

		snprintf(word, sizeof word, "%.*s", (int)first, c->name);
		if (count == 0 && !again)
			offer(word, begun);
		if (count == 1 && c->name[first] && !strcmp(words[0], word))
			offer(c->name + first + 1, begun);
	}
}

static void offer_options(struct cli *cli, const struct option *table, const char *begun)
{
	for (const struct option *o = table; o && o->name; o++)
		if (!o->same)
			offer(format(cli, "--%s", o->name), begun);
}

static void offer_value(struct cli *cli, const struct option *o, const char *prefix, const char *begun)
{
	if (strchr(o->value, '|'))
		offer_choices(cli, o->value, prefix, begun);
	else if (!strcmp(o->value, "DIRECTORY"))
		puts("conex:directories");
	else if (!strcmp(o->value, "FILE") || !strcmp(o->value, "ARCHIVE") || !strncmp(o->value, "SOURCE", 6))
		puts("conex:files");
}

static void offer_word(struct cli *cli, const struct command *c, int at, const char *begun)
{
	int n = (int)strlen(c->words);
	char kind = c->words[at < n ? at : n - 1];

	if (c->most >= 0 && at >= c->most)
		return;
	if (kind == 'i' || !strcmp(c->name, "inspect"))
		offer_images(cli, begun);
	if (kind == 'c' || !strcmp(c->name, "inspect"))
		offer_containers(cli, begun);
	if (kind == 'h')
		offer_commands(NULL, 0, begun);
	if (kind == 's')
		offer_choices(cli, c->args, "", begun);
	if (kind == 'f')
		puts("conex:files");
	if (kind == 'd')
		puts("conex:directories");
}

/* The option whose value the last word is, if it is one's. */
static const struct option *wants_value(const struct option *table, const char *word)
{
	const struct option *o = NULL;

	if (word[0] == '-' && word[1] == '-' && !strchr(word, '='))
		o = find_option(table, word + 2, strlen(word + 2), 0);
	else if (word[0] == '-' && word[1] && word[1] != '-')
		o = find_option(table, NULL, 0, word[strlen(word) - 1]);
	return o && o->kind != FLAG ? o : NULL;
}

/* How many words before the last are a command's own, behind its options; `open`: whose value the last one is. */
static int count_words(const struct option *table, char **words, int count, const struct option **open)
{
	int n = 0;

	*open = NULL;
	for (int i = 0; i < count; i++) {
		const struct option *o = wants_value(table, words[i]);

		if (o && ++i == count)
			*open = o;
		n += !o && (words[i][0] != '-' || !words[i][1]);
	}
	return n;
}

/* Where the command is, behind global options, which say where its images and containers are. */
static int skip_global(struct cli *cli, char **words, int count, const struct option **open)
{
	int i = 0;

	*open = NULL;
	cli->given = calloc((size_t)count + 1, sizeof *cli->given);
	for (; i < count && words[i][0] == '-' && cli->given; i++) {
		const struct option *o = wants_value(global_options, words[i]);

		if (o && ++i == count)
			*open = o;
		else if (o)
			cli->given[cli->given_count++] = (struct given){ o, words[i] };
	}
	return i < count ? i : count;
}

/* "--name=VALUE", and what VALUE may become. */
static int offer_behind_equals(struct cli *cli, const struct option *table, char *begun)
{
	char *equals = strncmp(begun, "--", 2) ? NULL : strchr(begun, '=');
	const struct option *o = equals ? find_option(table, begun + 2, (size_t)(equals - begun) - 2, 0) : NULL;

	if (o && o->kind != FLAG)
		offer_value(cli, o, format(cli, "%.*s", (int)(equals - begun) + 1, begun), begun);
	return equals != NULL;
}

int complete(struct cli *cli, int argc, char **argv)
{
	const struct option *open, *table = global_options;
	const struct command *c;
	char *begun;
	int first, used = 0, n = 0;

	if (argc-- < 1)
		return 0;
	begun = argv[argc];
	first = skip_global(cli, argv, argc, &open);
	c = find_command(argv + first, argc - first, &used);
	if (c) {
		table = c->options;
		n = count_words(table, argv + first + used, argc - first - used, &open);
	}
	if (open)
		offer_value(cli, open, "", begun);
	else if (c && c->stops && n >= c->stops)
		puts("conex:files");
	else if (offer_behind_equals(cli, table, begun))
		return 0;
	else if (*begun == '-')
		offer_options(cli, table, begun);
	else if (c)
		offer_word(cli, c, n, begun);
	else
		offer_commands(argv + first, argc - first, begun);
	return 0;
}
