/* Images: in from registries and archives, out to them, and what there is. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- options ---- */

static int set_credentials(struct cli *cli, struct conex_image_options *o)
{
	const char *creds = text(cli, "creds"), *colon = creds ? strchr(creds, ':') : NULL;

	if (!creds)
		return 0;
	if (!colon || colon == creds)
		return say("%s: --creds: write USER:PASSWORD, or use --auth-file", cli->command->name);
	o->user = format(cli, "%.*s", (int)(colon - creds), creds);
	o->password = colon + 1;
	return 0;
}

int image_options(struct cli *cli, struct conex_image_options *ret)
{
	*ret = (struct conex_image_options){ .size = sizeof *ret, .platform = text(cli, "platform"),
		.auth_file = text(cli, "auth-file") };
	if (flag(cli, "plain-http") || !flag_or(cli, "tls-verify", 1))
		ret->flags |= CONEX_IMAGE_PLAIN_HTTP;
	return set_credentials(cli, ret);
}

/* ---- registries ---- */

int pull_image(struct cli *cli, const char *image, uint64_t flags, int silent)
{
	struct conex_image_options o;
	conex_job *job;

	if (image_options(cli, &o))
		return FAILED;
	o.flags |= flags;
	if (conex_image_pull(cli->cx, image, &o, &job, &cli->err) < 0)
		return say_error(cli, cli->command->name);
	return finish(cli, job, "pulling", silent);
}

int command_pull(struct cli *cli)
{
	return open_images(cli) ? FAILED : pull_image(cli, cli->args[0], 0, 0);
}

int command_push(struct cli *cli)
{
	struct conex_image_options o;
	conex_job *job;

	if (image_options(cli, &o) || open_images(cli))
		return FAILED;
	if (conex_image_push(cli->cx, cli->args[0], &o, &job, &cli->err) < 0)
		return say_error(cli, "push");
	return finish(cli, job, "pushing", 0);
}

/* ---- archives ---- */

int command_import(struct cli *cli)
{
	const char *archive = cli->args[0];
	int is_stdin = !strcmp(archive, "-"), fd = is_stdin ? 0 : open(archive, O_RDONLY | O_CLOEXEC), r;
	struct conex_image_options o;
	conex_job *job;

	if (is_stdin && isatty(0))
		return say("import: standard input is a terminal; name an archive, or pass it by a pipe");
	if (fd < 0)
		return say("import: %s: %s", archive, strerror(errno));
	r = image_options(cli, &o) || open_images(cli) ? FAILED : 0;
	if (r == 0 && conex_image_import(cli->cx, fd, cli->args[1], &o, &job, &cli->err) < 0)
		r = say_error(cli, "import");
	else if (r == 0)
		r = finish(cli, job, "importing", 0);
	if (!is_stdin)
		close(fd);
	return r;
}

static int export_to(struct cli *cli, int fd, int silent)
{
	struct conex_image_options o;
	conex_job *job;

	if (image_options(cli, &o) || open_images(cli))
		return FAILED;
	if (conex_image_export(cli->cx, cli->args[0], fd, &o, &job, &cli->err) < 0)
		return say_error(cli, "export");
	return finish(cli, job, "exporting", silent);
}

/* Whole, or not there: under another name until it is. */
static int export_to_file(struct cli *cli, const char *path)
{
	char *partial = format(cli, "%s.XXXXXX", path);
	int fd = mkostemp(partial, O_CLOEXEC), r;
	mode_t mask = umask(0);

	umask(mask);
	if (fd < 0)
		return say("export: %s: %s", path, strerror(errno));
	r = export_to(cli, fd, 0);
	if (r == 0 && (fchmod(fd, 0666 & ~mask) < 0 || rename(partial, path) < 0))
		r = say("export: %s: %s", path, strerror(errno));
	close(fd);
	if (r)
		unlink(partial);
	return r;
}

/* One that is new goes again when nothing came of it. */
static int export_to_directory(struct cli *cli, const char *path, int is_new)
{
	int fd, r;

	if (is_new && mkdir(path, 0777) < 0)
		return say("export: %s: %s", path, strerror(errno));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return say("export: %s: %s", path, strerror(errno));
	r = export_to(cli, fd, 0);
	close(fd);
	if (r && is_new)
		rmdir(path);
	return r;
}

int command_export(struct cli *cli)
{
	const char *path = text(cli, "output") ? text(cli, "output") : cli->args[1];
	struct stat st;
	int there;

	if (text(cli, "output") && cli->args[1])
		return say("export: --output and %s are two archives; give one", cli->args[1]);
	if (!path || !strcmp(path, "-"))
		return isatty(1) ? say("export: standard output is a terminal; name an archive or directory") : export_to(cli, 1, 1);
	there = stat(path, &st) == 0;
	if ((there && S_ISDIR(st.st_mode)) || (*path && path[strlen(path) - 1] == '/'))
		return export_to_directory(cli, path, !there);
	if (there && !S_ISREG(st.st_mode))
		return say("export: %s is neither a file nor a directory; write to standard output, with -", path);
	return export_to_file(cli, path);
}

int command_unpack(struct cli *cli)
{
	struct conex_image_options o;
	conex_job *job;

	if (image_options(cli, &o) || open_images(cli))
		return FAILED;
	if (conex_image_unpack(cli->cx, cli->args[0], cli->args[1], &o, &job, &cli->err) < 0)
		return say_error(cli, "unpack");
	return finish(cli, job, "unpacking", 1);
}

/* ---- what there is ---- */

json_t *image_json(struct cli *cli, const char *image)
{
	char *text = NULL;

	return conex_image_json(cli->cx, image, &text, &cli->err) < 0 ? NULL : parse_json(text);
}

/* One that isn't whole, or another platform's, has its name and says why. */
static json_t *image_or_error(struct cli *cli, const char *name)
{
	json_t *image = image_json(cli, name);

	return image ? image : json_pack("{s:s, s:s}", "name", name, "error", conex_error_text(cli->err));
}

static void image_row(struct table *t, const json_t *image)
{
	const char *digest = json_string_value(json_object_get(image, "digest"));
	const char *platform = json_string_value(json_object_get(image, "platform"));
	char size[32], layers[32], shortened[32] = "-";

	if (digest && strchr(digest, ':'))
		snprintf(shortened, sizeof shortened, "%.12s", strchr(digest, ':') + 1);
	snprintf(layers, sizeof layers, "%lld", (long long)json_integer_value(json_object_get(image, "layers")));
	table_row(t, json_string_value(json_object_get(image, "name")), shortened, platform ? platform : "incomplete",
		digest ? layers : "-", digest ? size_text((uint64_t)json_integer_value(json_object_get(image, "size")), size) : "-", NULL);
}

static int show_images(struct cli *cli, char **names, int json)
{
	struct table t = { .cells = NULL };
	json_t *all = json_array();

	for (; *names; names++)
		json_array_append_new(all, image_or_error(cli, *names));
	if (json)
		return print_json(all);
	table_row(&t, "NAME", "DIGEST", "PLATFORM", "LAYERS", "SIZE", NULL);
	for (size_t i = 0; i < json_array_size(all); i++)
		image_row(&t, json_array_get(all, i));
	table_print(&t);
	json_decref(all);
	return 0;
}

int command_images(struct cli *cli)
{
	char **names;
	int json;

	if (wants_json(cli, &json) || open_images(cli))
		return FAILED;
	if (conex_image_list(cli->cx, &names, &cli->err) < 0)
		return say_error(cli, "images");
	keep(cli, names);
	if (!flag(cli, "quiet"))
		return show_images(cli, names, json);
	for (; *names; names++)
		printf("%s\n", *names);
	return 0;
}

int command_rmi(struct cli *cli)
{
	int status = open_images(cli);

	for (int i = 0; status == 0 && i < cli->count; i++) {
		int r = conex_image_delete(cli->cx, cli->args[i], &cli->err);

		if (r == 0)
			printf("%s\n", cli->args[i]);
		else if (r != -ENOENT || !flag(cli, "force"))
			status = say_error(cli, "rmi");
	}
	return status;
}
