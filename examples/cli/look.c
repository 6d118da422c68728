/* ps and inspect: which containers there are, and all about one. */
#include "cli.h"

#include <errno.h>
#include <sys/socket.h>

const char *container_image(const conex_container *c)
{
	const char *image = conex_container_label(c, "conex.image");

	return image ? image : "-";
}

static const char *get(const json_t *json, const char *key)
{
	const char *s = json_string_value(json_object_get(json, key));

	return s ? s : "";
}

/* "127.0.0.1:8080->80/tcp, ..."; where the host's port was free to choose, the one that it became */
static const char *ports_text(struct cli *cli, const conex_container *c)
{
	const char *given = conex_container_label(c, "conex.ports"), *all = "";
	char *copy = format(cli, "%s", given ? given : ""), *rest = NULL;

	for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		struct conex_port *ports;
		int n = conex_parse_ports(word, &ports, NULL);

		for (int i = 0; i < n; i++) {
			const char *protocol = ports[i].protocol ? ports[i].protocol : "tcp";
			int port = ports[i].host_port ? ports[i].host_port : conex_container_port(c, ports[i].port, protocol);

			all = format(cli, "%s%s%s:%d->%d/%s", all, *all ? ", " : "", ports[i].address ? ports[i].address : "127.0.0.1",
				port, ports[i].port, protocol);
		}
		if (n >= 0)
			free(ports);
	}
	return all;
}

static const char *status_name(const conex_container *c)
{
	static const char *const names[] = { "", "creating", "held", "running", "paused", "exited", "deleted" };
	int state = conex_container_state(c);

	return state >= 0 && (size_t)state < sizeof names / sizeof names[0] ? names[state] : "";
}

/* The library's JSON, and what only this program knows. */
json_t *container_json(struct cli *cli, conex_container *c)
{
	const char *address = conex_container_address(c, NULL, AF_INET), *address6 = conex_container_address(c, NULL, AF_INET6);
	char *text = NULL;
	json_t *json = conex_container_json(c, &text, &cli->err) < 0 ? NULL : parse_json(text), *end;

	if (!json)
		return NULL;
	json_object_set_new(json, "status", json_string(status_name(c)));
	json_object_set_new(json, "image", json_string(container_image(c)));
	json_object_set_new(json, "ports", json_string(ports_text(cli, c)));
	if (address)
		json_object_set_new(json, "address", json_string(address));
	if (address6)
		json_object_set_new(json, "address6", json_string(address6));
	end = conex_container_state(c) >= CONEX_EXITED ? record_read(cli, c) : NULL;
	if (end)
		json_object_set_new(json, "exit", end);
	return json;
}

/* ---- ps ---- */

static int check_filter(const char *filter)
{
	static const char *const keys[] = { "label=", "status=", "image=" };

	for (size_t i = 0; i < 3; i++)
		if (!strncmp(filter, keys[i], strlen(keys[i])))
			return 0;
	return say("ps: --filter %s: write label=NAME, label=NAME=VALUE, status=running or image=NAME", filter);
}

static int fits(const conex_container *c, const char *filter)
{
	const char *value = strchr(filter, '=') + 1, *equals = strchr(value, '=');
	char name[256];

	if (!strncmp(filter, "status=", 7))
		return !strcmp(value, status_name(c));
	if (!strncmp(filter, "image=", 6))
		return !strcmp(value, container_image(c));
	snprintf(name, sizeof name, "%.*s", equals ? (int)(equals - value) : 255, value);
	value = conex_container_label(c, name);
	return value && (!equals || !strcmp(value, equals + 1));
}

static int is_wanted(struct cli *cli, const conex_container *c, const char *const *filters)
{
	int by_status = 0;

	for (const char *const *f = filters; *f; f++) {
		if (!fits(c, *f))
			return 0;
		by_status += !strncmp(*f, "status=", 7);
	}
	return by_status || flag(cli, "all") || conex_container_state(c) < CONEX_EXITED;
}

static json_t *command_of(conex_container *c)
{
	conex_spec *spec = NULL;
	char *text = NULL;
	json_t *args = NULL;

	if (conex_container_spec(c, &spec, NULL) == 0 && conex_spec_get(spec, "/process/args", &text, NULL) == 0)
		args = parse_json(text);
	conex_spec_free(spec);
	return args ? args : json_array();
}

static const char *words(struct cli *cli, const json_t *args)
{
	const char *all = "";
	json_t *arg;
	size_t i;

	json_array_foreach(args, i, arg)
		all = format(cli, "%s%s%s", all, i ? " " : "", json_string_value(arg));
	return strlen(all) > 32 ? format(cli, "%.29s...", all) : all;
}

static const char *status_text(struct cli *cli, const json_t *json)
{
	const json_t *end = json_object_get(json, "exit");
	char ago[32];

	if (!end)
		return get(json, "status");
	if (!strcmp(get(end, "cause"), "unknown"))
		return "exited (unknown)";
	return format(cli, "exited (%lld) %s", (long long)json_integer_value(json_object_get(end, "status")),
		ago_text(json_integer_value(json_object_get(end, "exited_at_ns")), ago));
}

static void row(struct cli *cli, struct table *t, const json_t *json)
{
	char ago[32];

	table_row(t, get(json, "id"), get(json, "image"), words(cli, json_object_get(json, "command")),
		ago_text(json_integer_value(json_object_get(json, "created_at_ns")), ago), status_text(cli, json), get(json, "ports"), NULL);
}

/* One that goes while we look isn't there. */
static void note(struct cli *cli, const char *id, const char *const *filters, json_t *all)
{
	conex_container *c;
	json_t *json;

	if (conex_container_get(cli->cx, id, &c, NULL) < 0)
		return;
	json = is_wanted(cli, c, filters) ? container_json(cli, c) : NULL;
	if (json) {
		json_object_set_new(json, "command", command_of(c));
		json_array_append_new(all, json);
	}
	conex_container_free(c);
}

static int show(struct cli *cli, json_t *all, int json)
{
	struct table t = { .cells = NULL };
	json_t *one;
	size_t i;

	if (json && !flag(cli, "quiet"))
		return print_json(all);
	if (!flag(cli, "quiet"))
		table_row(&t, "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", NULL);
	json_array_foreach(all, i, one) {
		if (flag(cli, "quiet"))
			printf("%s\n", get(one, "id"));
		else
			row(cli, &t, one);
	}
	table_print(&t);
	json_decref(all);
	return 0;
}

int command_ps(struct cli *cli)
{
	const char *const *filters = list(cli, "filter");
	char **ids = NULL;
	json_t *all;
	int json, n = 0;

	if (wants_json(cli, &json))
		return FAILED;
	for (const char *const *f = filters; *f; f++)
		if (check_filter(*f))
			return FAILED;
	if (open_containers(cli, CONEX_READ_ONLY))
		return FAILED;
	if (cli->cx && (n = conex_container_list(cli->cx, NULL, &ids, &cli->err)) < 0)
		return say_error(cli, "ps");
	all = json_array();
	for (int i = 0; i < n; i++)
		note(cli, ids[i], filters, all);
	free(ids);
	return show(cli, all, json);
}

/* ---- inspect ---- */

static json_t *all_about(struct cli *cli, conex_container *c)
{
	json_t *json = container_json(cli, c), *details;
	conex_spec *spec = NULL;
	char *text = NULL;

	if (!json)
		return NULL;
	json_object_set_new(json, "type", json_string("container"));
	json_object_set_new(json, "log", json_string(log_path(cli, conex_container_id(c))));
	if (conex_container_spec(c, &spec, NULL) == 0 && conex_spec_print(spec, &text, NULL) == 0)
		json_object_set_new(json, "spec", parse_json(text));
	conex_spec_free(spec);
	details = conex_container_details(c, &text, NULL) == 0 ? parse_json(text) : NULL;
	if (details)
		json_object_set_new(json, "details", details);
	return json;
}

static json_t *container_or_image(struct cli *cli, const char *name, const char *type)
{
	conex_container *c;
	json_t *json = NULL;

	if ((!type || !strcmp(type, "container")) && cli->cx && conex_container_get(cli->cx, name, &c, NULL) == 0) {
		json = all_about(cli, c);
		conex_container_free(c);
		return json;
	}
	if (type && !strcmp(type, "container"))
		return find_container(cli, name, &c) ? NULL : (json = all_about(cli, c), conex_container_free(c), json);
	return NULL;
}

static int inspect(struct cli *cli, json_t *all, const char *name, const char *type)
{
	json_t *json = container_or_image(cli, name, type);
	conex *containers = cli->cx;

	if (!json && type && !strcmp(type, "container"))
		return FAILED;
	if (!json && !cli->cx && open_images(cli))
		return FAILED;
	if (!json) {
		json = image_json(cli, name);
		if (json)
			json_object_set_new(json, "type", json_string("image"));
	}
	if (!containers) {
		conex_close(cli->cx);
		cli->cx = NULL;
	}
	if (!json)
		return say("inspect: %s: there is no such container, and as an image: %s", name, conex_error_text(cli->err));
	return json_array_append_new(all, json) < 0 ? say("out of memory") : 0;
}

int command_inspect(struct cli *cli)
{
	const char *type = text(cli, "type"), *f = text(cli, "format");
	json_t *all = json_array();
	int status = 0;

	if (type && strcmp(type, "container") && strcmp(type, "image"))
		status = say("inspect: --type %s: it is container or image", type);
	else if (f && strcmp(f, "json"))
		status = say("inspect: --format %s: it is json", f);
	else
		status = open_containers(cli, CONEX_READ_ONLY);
	for (int i = 0; status == 0 && i < cli->count; i++)
		status = inspect(cli, all, cli->args[i], type);
	if (status == 0)
		return print_json(all);
	json_decref(all);
	return status;
}
