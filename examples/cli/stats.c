/* stats: what containers use, once or every second. */
#include "cli.h"

#include <poll.h>
#include <unistd.h>

struct sampled {
	conex_container **containers;
	struct conex_stats *before, *now;
	size_t count;
	double seconds;                 /* between the two */
};

static const char *pair(struct cli *cli, uint64_t a, uint64_t b)
{
	char one[32], other[32];

	return format(cli, "%s / %s", size_text(a, one), size_text(b, other));
}

static double share(uint64_t part, uint64_t whole)
{
	return part == UINT64_MAX || whole == UINT64_MAX || !whole ? 0 : 100.0 * (double)part / (double)whole;
}

static double cpu_share(const struct sampled *s, size_t i)
{
	uint64_t before = s->before[i].cpu_ns, now = s->now[i].cpu_ns;

	return before == UINT64_MAX || now == UINT64_MAX || now < before ? 0 : (double)(now - before) / (s->seconds * 1e7);
}

static void add(json_t *json, const char *key, uint64_t value)
{
	json_object_set_new(json, key, value == UINT64_MAX ? json_null() : json_integer((json_int_t)value));
}

static json_t *as_json(const struct sampled *s, size_t i)
{
	const struct conex_stats *n = &s->now[i];
	json_t *json = json_pack("{s:s, s:f}", "id", conex_container_id(s->containers[i]), "cpu_percent", cpu_share(s, i));

	add(json, "memory", n->memory);
	add(json, "memory_limit", n->memory_limit);
	add(json, "memory_peak", n->memory_peak);
	add(json, "cpu_ns", n->cpu_ns);
	add(json, "pids", n->pids);
	add(json, "pids_limit", n->pids_limit);
	add(json, "read_bytes", n->read_bytes);
	add(json, "written_bytes", n->written_bytes);
	add(json, "net_rx_bytes", n->net_rx_bytes);
	add(json, "net_tx_bytes", n->net_tx_bytes);
	add(json, "oom_kills", n->oom_kills);
	return json;
}

static int runs(const struct sampled *s, size_t i)
{
	return conex_container_state(s->containers[i]) < CONEX_EXITED;
}

static int print_lines(const struct sampled *s, int once)
{
	json_t *all = json_array();
	int r;

	for (size_t i = 0; i < s->count; i++)
		if (runs(s, i))
			json_array_append_new(all, as_json(s, i));
	if (once)
		return print_json(all);
	r = json_dumpf(all, stdout, JSON_COMPACT);
	json_decref(all);
	return r < 0 || putchar('\n') < 0 || fflush(stdout) < 0 ? say("standard output can't be written") : 0;
}

static int print_table(struct cli *cli, const struct sampled *s)
{
	struct table t = { .cells = NULL };

	if (isatty(1) && !flag(cli, "no-stream"))
		printf("\033[H\033[J");
	table_row(&t, "ID", "CPU", "MEMORY / LIMIT", "MEMORY", "NETWORK IN / OUT", "READ / WRITTEN", "PIDS", NULL);
	for (size_t i = 0; i < s->count; i++) {
		const struct conex_stats *n = &s->now[i];

		if (!runs(s, i))
			continue;
		table_row(&t, conex_container_id(s->containers[i]), format(cli, "%.1f%%", cpu_share(s, i)), pair(cli, n->memory, n->memory_limit),
			format(cli, "%.1f%%", share(n->memory, n->memory_limit)), pair(cli, n->net_rx_bytes, n->net_tx_bytes),
			pair(cli, n->read_bytes, n->written_bytes),
			n->pids == UINT64_MAX ? "-" : format(cli, "%llu", (unsigned long long)n->pids), NULL);
	}
	table_print(&t);
	return fflush(stdout) < 0 ? say("standard output can't be written") : 0;
}

/* All that are named, or all that run. */
static int choose(struct cli *cli, struct sampled *s)
{
	char **ids = NULL;
	int n = cli->count;

	if (!n && cli->cx && (n = conex_container_list(cli->cx, NULL, &ids, &cli->err)) < 0)
		return say_error(cli, "stats");
	s->containers = calloc((size_t)n + 1, sizeof *s->containers);
	s->before = calloc((size_t)n + 1, sizeof *s->before);
	s->now = calloc((size_t)n + 1, sizeof *s->now);
	for (int i = 0; i < n; i++) {
		int r = cli->count ? find_container(cli, cli->args[i], &s->containers[s->count])
			: conex_container_get(cli->cx, ids[i], &s->containers[s->count], NULL);

		if (r && cli->count)
			return free(ids), FAILED;
		s->count += r == 0;
	}
	free(ids);
	return 0;
}

static int sample(struct cli *cli, struct sampled *s)
{
	s->before[0].size = s->now[0].size = sizeof s->now[0];
	return s->count && conex_container_sample(s->containers, s->count, s->now, &cli->err) < 0 ? say_error(cli, "stats") : 0;
}

static int any_runs(const struct sampled *s)
{
	size_t i = 0;

	while (i < s->count && !runs(s, i))
		i++;
	return i < s->count;
}

static int show(struct cli *cli, struct sampled *s, int json)
{
	int once = flag(cli, "no-stream") || !any_runs(s), r = sample(cli, s);

	s->seconds = 1;
	while (r == 0) {
		if (any_runs(s))
			poll(NULL, 0, 1000);
		memcpy(s->before, s->now, (s->count + 1) * sizeof *s->now);
		r = sample(cli, s);
		if (r == 0)
			r = json ? print_lines(s, once) : print_table(cli, s);
		if (once || !any_runs(s))
			break;
	}
	return r;
}

int command_stats(struct cli *cli)
{
	struct sampled s = { .count = 0 };
	int json, status;

	if (wants_json(cli, &json) || open_containers(cli, CONEX_READ_ONLY))
		return FAILED;
	status = choose(cli, &s);
	if (status == 0)
		status = show(cli, &s, json);
	for (size_t i = 0; i < s.count; i++)
		conex_container_free(s.containers[i]);
	free(s.containers);
	free(s.before);
	free(s.now);
	return status;
}
