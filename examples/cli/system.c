/* system df, system prune, version: the program as a whole. */
#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- df ---- */

static uint64_t logs_size(struct cli *cli, size_t *count)
{
	const char *folder = log_path(cli, "");
	DIR *dir = opendir(folder);
	struct dirent *e;
	struct stat st;
	uint64_t bytes = 0;

	while (dir && (e = readdir(dir)))
		if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
			bytes += (uint64_t)st.st_blocks * 512;
			++*count;
		}
	if (dir)
		closedir(dir);
	return bytes;
}

static int count_containers(struct cli *cli, size_t *all, size_t *running)
{
	char **ids = NULL;
	int n;

	if (open_containers(cli, CONEX_READ_ONLY))
		return FAILED;
	n = cli->cx ? conex_container_list(cli->cx, NULL, &ids, &cli->err) : 0;
	if (n < 0)
		return say_error(cli, "system df");
	for (int i = 0; i < n; i++) {
		conex_container *c;

		if (conex_container_get(cli->cx, ids[i], &c, NULL) < 0)
			continue;
		++*all;
		*running += conex_container_state(c) < CONEX_EXITED;
		conex_container_free(c);
	}
	free(ids);
	conex_close(cli->cx);
	cli->cx = NULL;
	return 0;
}

static json_t *df_row(const char *what, size_t count, uint64_t bytes)
{
	return json_pack("{s:s, s:I, s:I}", "type", what, "count", (json_int_t)count, "bytes", (json_int_t)bytes);
}

static void df_print(const json_t *rows)
{
	struct table t = { .cells = NULL };
	json_t *row;
	size_t i;

	table_row(&t, "TYPE", "COUNT", "SIZE", NULL);
	json_array_foreach(rows, i, row) {
		const json_t *bytes = json_object_get(row, "bytes"), *n = json_object_get(row, "count");
		char size[32], count[32] = "-";

		if (n)
			snprintf(count, sizeof count, "%lld", (long long)json_integer_value(n));
		table_row(&t, json_string_value(json_object_get(row, "type")), count,
			size_text(bytes ? (uint64_t)json_integer_value(bytes) : UINT64_MAX, size), NULL);
	}
	table_print(&t);
}

int command_system_df(struct cli *cli)
{
	struct conex_store_usage u = { .size = sizeof u };
	size_t all = 0, running = 0, logs = 0;
	uint64_t log_bytes;
	json_t *rows;
	int json;

	if (wants_json(cli, &json) || count_containers(cli, &all, &running) || open_images(cli))
		return FAILED;
	if (conex_image_usage(cli->cx, &u, &cli->err) < 0)
		return say_error(cli, "system df");
	rows = json_array();
	json_array_append_new(rows, df_row("images", u.images, u.blob_bytes));
	json_array_append_new(rows, df_row("unpacked layers", u.layers, u.layer_bytes));
	json_array_append_new(rows, df_row("broken-off downloads", u.partial, u.partial_bytes));
	json_array_append_new(rows, json_pack("{s:s, s:I}", "type", "other", "bytes", (json_int_t)u.other_bytes));
	json_array_append_new(rows, json_pack("{s:s, s:I}", "type", "containers", "count", (json_int_t)all));
	json_array_append_new(rows, json_pack("{s:s, s:I}", "type", "running", "count", (json_int_t)running));
	log_bytes = logs_size(cli, &logs);
	json_array_append_new(rows, df_row("logs", logs, log_bytes));
	if (json)
		return print_json(rows);
	df_print(rows);
	json_decref(rows);
	return 0;
}

/* ---- prune ---- */

static int confirmed(const struct cli *cli)
{
	int answer, rest;

	if (flag(cli, "force"))
		return 0;
	if (!isatty(0))
		return say("system prune: standard input is no terminal, so nobody can be asked; --force doesn't ask");
	printf("Remove all containers that have ended%s, and what nobody needs any more? [y/N] ",
		flag(cli, "all") ? ", all images of which there is no container" : "");
	fflush(stdout);
	answer = getchar();
	for (rest = answer; rest != '\n' && rest != EOF;)
		rest = getchar();
	return answer == 'y' || answer == 'Y' ? 0 : say("system prune: nothing was removed");
}

/* Which have ended go, the images of the others are in use. */
static int prune_containers(struct cli *cli, json_t *gone, json_t *used)
{
	char **ids = NULL;
	int n = conex_container_list(cli->cx, NULL, &ids, &cli->err), status = n < 0 ? say_error(cli, "system prune") : 0;

	for (int i = 0; i < n; i++) {
		conex_container *c;

		if (conex_container_get(cli->cx, ids[i], &c, NULL) < 0)
			continue;
		if (conex_container_state(c) < CONEX_EXITED)
			json_object_set_new(used, container_image(c), json_true());
		else if (conex_container_delete(c, -1, &cli->err) < 0)
			status = say_error(cli, format(cli, "system prune: %s", ids[i]));
		else
			json_array_append_new(gone, json_string(ids[i])), record_forget(cli, ids[i]);
		conex_container_free(c);
	}
	free(ids);
	return status;
}

/* Names that mean the same image differ; what they lead to doesn't. */
static int is_used(struct cli *cli, const char *name, const json_t *used)
{
	json_t *own = image_json(cli, name), *value, *other;
	const char *digest = json_string_value(json_object_get(own, "digest")), *key;
	int found = 0;

	json_object_foreach((json_t *)used, key, value) {
		other = image_json(cli, key);
		found |= !strcmp(key, name) || (digest && other && !strcmp(digest, json_string_value(json_object_get(other, "digest"))));
		json_decref(other);
	}
	json_decref(own);
	return found;
}

static int prune_images(struct cli *cli, json_t *gone, const json_t *used)
{
	char **names;
	int n = conex_image_list(cli->cx, &names, &cli->err);

	if (n < 0)
		return say_error(cli, "system prune");
	for (int i = 0; i < n; i++)
		if (!is_used(cli, names[i], used) && conex_image_delete(cli->cx, names[i], NULL) == 0)
			json_array_append_new(gone, json_string(names[i]));
	free(names);
	return 0;
}

static uint64_t total(struct cli *cli)
{
	struct conex_store_usage u = { .size = sizeof u };

	if (conex_image_usage(cli->cx, &u, NULL) < 0)
		return 0;
	return u.blob_bytes + u.layer_bytes + u.partial_bytes + u.other_bytes;
}

static void print_list(const char *what, const json_t *list)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		printf("%s %s\n", what, json_string_value(item));
}

int command_system_prune(struct cli *cli)
{
	json_t *containers = json_array(), *images = json_array(), *used = json_object();
	uint64_t before = 0, after;
	char size[32];
	int json = 0, status = wants_json(cli, &json) || confirmed(cli) || open_containers(cli, CONEX_DETACHED) ? FAILED : 0;

	if (status == 0) {
		before = total(cli);
		status = prune_containers(cli, containers, used);
		records_sweep(cli);
	}
	if (status == 0 && flag(cli, "all"))
		status = prune_images(cli, images, used);
	if (status == 0 && conex_prune(cli->cx, NULL, &cli->err) < 0)
		status = say_error(cli, "system prune");
	json_decref(used);
	if (status == 0) {
		after = total(cli);
		before = before > after ? before - after : 0;
	}
	if (status == 0 && json)
		return print_json(json_pack("{s:o, s:o, s:I}", "containers", containers, "images", images, "bytes", (json_int_t)before));
	if (status == 0) {
		print_list("container", containers);
		print_list("image", images);
		printf("%s are free again\n", size_text(before, size));
	}
	json_decref(containers);
	json_decref(images);
	return status;
}

/* ---- version ---- */

int command_version(struct cli *cli)
{
	static const char *const features[] = { "cgroup-v1", "cgroup-v2", "exec", "overlay", "seccomp", "spec", "user-namespace", "broker" };
	json_t *have = json_array();
	int json = 0;

	if (cli->command && wants_json(cli, &json))
		return json_decref(have), FAILED;
	for (size_t i = 0; i < sizeof features / sizeof features[0]; i++)
		if (conex_has(features[i]))
			json_array_append_new(have, json_string(features[i]));
	if (json)
		return print_json(json_pack("{s:s, s:o}", "version", conex_version(), "features", have));
	json_decref(have);
	printf("conex %s\n", conex_version());
	return 0;
}
