/* commit: a container becomes an image, with a config that instructions of a Dockerfile may change. */
#include "cli.h"

#include <strings.h>

static int no(const char *instruction, const char *mend)
{
	return say("commit: --change %s: %s", instruction, mend);
}

/* ["a", "b"], or a line for the shell. */
static json_t *program(const char *text)
{
	json_t *list = *text == '[' ? json_loads(text, 0, NULL) : NULL;

	return list ? list : json_pack("[s, s, s]", "/bin/sh", "-c", text);
}

/* An object or list of the config; what the image has of it already the library adds. */
static json_t *field(json_t *config, const char *key, int is_list)
{
	json_t *value = json_object_get(config, key);

	if (is_list ? !json_is_array(value) : !json_is_object(value)) {
		value = is_list ? json_array() : json_object();
		json_object_set_new(config, key, value);
	}
	return value;
}

static void set_variable(json_t *list, const char *variable)
{
	size_t n = strcspn(variable, "=") + 1, i;
	json_t *item;

	json_array_foreach(list, i, item)
		if (!strncmp(json_string_value(item), variable, n)) {
			json_array_set_new(list, i, json_string(variable));
			return;
		}
	json_array_append_new(list, json_string(variable));
}

/* Of one instruction, whose words are split at blanks; quotes around a value are taken off. */
static int pairs(struct cli *cli, json_t *config, const char *instruction, const char *key, const char *words)
{
	char *copy = format(cli, "%s", words), *rest = NULL;

	for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		char *equals = strchr(word, '='), *value = equals ? equals + 1 : NULL;
		size_t n = value ? strlen(value) : 0;

		if (!strcmp(key, "ExposedPorts") || !strcmp(key, "Volumes")) {
			const char *name = !strcmp(key, "Volumes") || strchr(word, '/') ? word : format(cli, "%s/tcp", word);

			json_object_set_new(field(config, key, 0), name, json_object());
			continue;
		}
		if (!equals || equals == word)
			return no(instruction, "write NAME=VALUE");
		if (n > 1 && *value == '"' && value[n - 1] == '"') {
			memmove(value, value + 1, n - 2);
			value[n - 2] = '\0';
		}
		if (!strcmp(key, "Env")) {
			set_variable(field(config, key, 1), word);
			continue;
		}
		*equals = '\0';
		json_object_set_new(field(config, key, 0), word, json_string(value));
	}
	return 0;
}

static int change(struct cli *cli, json_t *config, const char *instruction)
{
	static const struct { const char *name, *key; char kind; } all[] = { { "CMD", "Cmd", 'p' }, { "ENTRYPOINT", "Entrypoint", 'p' },
		{ "ENV", "Env", 'w' }, { "EXPOSE", "ExposedPorts", 'w' }, { "LABEL", "Labels", 'w' }, { "STOPSIGNAL", "StopSignal", 't' },
		{ "USER", "User", 't' }, { "VOLUME", "Volumes", 'w' }, { "WORKDIR", "WorkingDir", 't' } };
	size_t n = strcspn(instruction, " =");
	const char *rest = instruction + n;

	rest += strspn(rest, " =");
	for (size_t i = 0; *rest && i < sizeof all / sizeof all[0]; i++) {
		if (strlen(all[i].name) != n || strncasecmp(all[i].name, instruction, n))
			continue;
		if (all[i].kind == 'w')
			return pairs(cli, config, instruction, all[i].key, rest);
		json_object_set_new(config, all[i].key, all[i].kind == 'p' ? program(rest) : json_string(rest));
		return 0;
	}
	return no(instruction, "write CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR, and its value");
}

/* NULL in *ret: nothing is changed. */
static int make_config(struct cli *cli, const char **ret)
{
	const char *given = text(cli, "config");
	json_error_t why;
	json_t *config = given ? json_loads(given, 0, &why) : json_object();
	int r = 0;

	if (!json_is_object(config))
		r = say("commit: --config: %s; an object is meant, as {\"Cmd\": [\"sh\"]}", config ? "it is no object" : why.text);
	for (const char *const *one = list(cli, "change"); r == 0 && *one; one++)
		r = change(cli, config, *one);
	*ret = r == 0 && json_object_size(config) ? keep(cli, json_dumps(config, JSON_COMPACT)) : NULL;
	json_decref(config);
	return r;
}

static int commit(struct cli *cli, conex_container *c)
{
	int paused = conex_container_state(c) == CONEX_RUNNING && flag_or(cli, "pause", 1), r;
	const char *config;
	conex_job *job;

	if (make_config(cli, &config))
		return FAILED;
	if (paused && (r = conex_container_pause(c, 10000, &cli->err)) <= 0) {
		conex_container_resume(c, NULL);
		return r < 0 ? say_error(cli, "commit") : say("commit: %s couldn't be paused within 10 s", cli->args[0]);
	}
	r = conex_image_commit(c, cli->args[1], config, &job, &cli->err) < 0 ? say_error(cli, "commit") : finish(cli, job, "committing", 0);
	if (paused)
		conex_container_resume(c, NULL);
	return r;
}

int command_commit(struct cli *cli)
{
	conex_container *c;
	int r;

	if (open_containers(cli, CONEX_DETACHED) || find_container(cli, cli->args[0], &c))
		return FAILED;
	r = commit(cli, c);
	conex_container_free(c);
	return r;
}
