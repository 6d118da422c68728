/* state, list, ps, events: what there is, and how it goes. */
#include "oci.h"

#include <errno.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *const state_names[] = { "", "creating", "created", "running", "paused", "stopped", "stopped" };

/* A container's state, read out of conex_container_json. Texts are JSON, with their quotes; free. */
struct look {
	char *version, *status, *bundle, *root, *annotations;
	long long pid;
	char created[48];
};

static char *value(const conex_spec *json, const char *pointer)
{
	char *text = NULL;

	return conex_spec_get(json, pointer, &text, NULL) == 0 ? text : NULL;
}

static void clear(struct look *l)
{
	free(l->version);
	free(l->status);
	free(l->bundle);
	free(l->root);
	free(l->annotations);
}

static void print_time(long long ns, char text[48])
{
	time_t seconds = ns / 1000000000;
	struct tm tm;
	size_t n = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));

	snprintf(text + n, 48 - n, ".%09lldZ", ns % 1000000000);
}

static int look_at(struct oci *rt, conex_container *c, struct look *ret)
{
	conex_spec *state = NULL, *spec = NULL;
	char *json = NULL;
	long long created;
	int r = conex_container_json(c, &json, &rt->err);

	if (r == 0)
		r = conex_spec_parse(json, &state, &rt->err);   /* it keeps what it doesn't know */
	if (r == 0)
		r = conex_container_spec(c, &spec, &rt->err);
	if (r == 0) {
		ret->version = value(state, "/ociVersion");
		ret->status = value(state, "/status");
		ret->bundle = value(state, "/bundle");
		ret->annotations = value(state, "/annotations");
		ret->root = value(spec, "/root/path");
		json_number(state, "/pid", 0, &ret->pid);
		json_number(state, "/created_at_ns", 0, &created);
		print_time(created, ret->created);
	}
	conex_spec_free(spec);
	conex_spec_free(state);
	free(json);
	return r;
}

/* `line` goes before each member: "\n  " or "". */
static void print_look(const char *id, const struct look *l, const char *line)
{
	const char *space = *line ? " " : "", *end = *line ? "\n" : "";

	printf("{%s\"ociVersion\":%s%s,%s\"id\":%s\"%s\",%s\"pid\":%s%lld,%s\"status\":%s%s,%s\"bundle\":%s%s,",
		line, space, l->version, line, space, id, line, space, l->pid, line, space, l->status,
		line, space, l->bundle);
	printf("%s\"rootfs\":%s%s,%s\"created\":%s\"%s\",", line, space, l->root ? l->root : "\"\"",
		line, space, l->created);
	if (l->annotations)
		printf("%s\"annotations\":%s%s,", line, space, l->annotations);
	printf("%s\"owner\":%s\"\"%s}", line, space, end);
}

int verb_state(struct oci *rt)
{
	struct look l = { .pid = 0 };
	conex_container *c = NULL;
	int r;

	if (open_context(rt, CONEX_READ_ONLY) < 0 || get_container(rt, &c) < 0)
		return 1;
	r = look_at(rt, c, &l);
	if (r < 0) {
		say_error(rt, "state");
	} else {
		print_look(rt->id, &l, "\n  ");
		puts("");
	}
	clear(&l);
	conex_container_free(c);
	return r < 0;
}

/* ---- list ---- */

static void print_row(const char *id, const struct look *l)
{
	size_t n = strlen(l->bundle), s = strlen(l->status);

	printf("%-20s %-8lld %-10.*s %-36.*s %s root\n", id, l->pid, (int)s - 2, l->status + 1, (int)n - 2, l->bundle + 1,
		l->created);
}

/* One that goes away just now isn't listed. */
static int list_one(struct oci *rt, const char *id, int json, int first)
{
	struct look l = { .pid = 0 };
	conex_container *c = NULL;
	int shown = 0;

	if (conex_container_get(rt->cx, id, &c, &rt->err) < 0)
		return 0;
	if (look_at(rt, c, &l) == 0) {
		shown = 1;
		if (json && !first)
			fputs(",", stdout);
		if (json)
			print_look(id, &l, "");
		else
			print_row(id, &l);
	}
	clear(&l);
	conex_container_free(c);
	return shown;
}

static int check_format(const struct options *o, int *json)
{
	*json = o->format && !strcmp(o->format, "json");
	return !o->format || *json || !strcmp(o->format, "table") ? 0
		: say("--format is table or json, not %s", o->format);
}

int verb_list(struct oci *rt)
{
	char **ids = NULL;
	int json, n, shown = 0;

	if (check_format(&rt->o, &json) < 0 || open_context(rt, CONEX_READ_ONLY) < 0)
		return 1;
	n = rt->cx ? conex_container_list(rt->cx, NULL, &ids, &rt->err) : 0;
	if (n < 0)
		return say_error(rt, "list"), 1;
	if (!json && !rt->o.quiet)
		printf("%-20s %-8s %-10s %-36s %-30s %s\n", "ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER");
	if (json && !rt->o.quiet)
		fputs("[", stdout);
	for (int i = 0; i < n; i++)
		if (rt->o.quiet)
			puts(ids[i]);
		else
			shown += list_one(rt, ids[i], json, !shown);
	if (json && !rt->o.quiet)
		puts("]");
	free(ids);
	return 0;
}

/* ---- ps ---- */

static int is_one_of(long pid, const pid_t *pids, int n)
{
	for (int i = 0; i < n; i++)
		if (pids[i] == pid)
			return 1;
	return 0;
}

/* The machine's own ps, of whose lines those of the container are shown: column PID tells. */
static void filter(FILE *f, const pid_t *pids, int n)
{
	char *line = NULL, *word, *rest;
	int column = -1;
	size_t size = 0;

	while (getline(&line, &size, f) > 0) {
		char *copy = strdup(line);
		int at = 0, shown = column < 0;

		for (rest = copy; copy && (word = strtok_r(rest, " \t\n", &rest)); at++) {
			if (column < 0 && !strcmp(word, "PID"))
				column = at;
			else if (at == column)
				shown |= is_one_of(strtol(word, NULL, 10), pids, n);
		}
		if (shown)
			fputs(line, stdout);
		free(copy);
	}
	free(line);
}

static int ps_table(struct oci *rt, const pid_t *pids, int n)
{
	char *args[64] = { "ps", "-ef", NULL };
	int ends[2], status = 0;
	pid_t pid;
	FILE *f;

	for (int i = 1; i < rt->o.count && i < 63; i++) {
		args[i] = rt->o.args[i];
		args[i + 1] = NULL;
	}
	if (pipe(ends) < 0 || (pid = fork()) < 0)
		return say("ps: %s", strerror(errno));
	if (pid == 0) {
		dup2(ends[1], 1);
		close(ends[0]);
		execvp("ps", args);
		_exit(127);
	}
	close(ends[1]);
	f = fdopen(ends[0], "r");
	if (f)
		filter(f, pids, n);
	if (f)
		fclose(f);
	waitpid(pid, &status, 0);
	return status ? say("ps failed: is it installed?") : 0;
}

int verb_ps(struct oci *rt)
{
	conex_container *c = NULL;
	pid_t *pids = NULL;
	int json, n, r = 0;

	if (check_format(&rt->o, &json) < 0 || open_context(rt, CONEX_READ_ONLY) < 0 || get_container(rt, &c) < 0)
		return 1;
	n = conex_container_pids(c, &pids, &rt->err);
	if (n < 0) {
		r = say_error(rt, "ps");
	} else if (json) {
		for (int i = 0; i < n; i++)
			printf("%s%d", i ? "," : "[", (int)pids[i]);
		puts(n ? "]" : "[]");
	} else {
		r = ps_table(rt, pids, n);
	}
	free(pids);
	conex_container_free(c);
	return r < 0;
}

/* ---- events ---- */

static void number(const char *name, uint64_t n, const char *end)
{
	printf("\"%s\":%llu%s", name, n == UINT64_MAX ? 0ULL : (unsigned long long)n, end);
}

/* As runc writes them; what the machine can't tell is 0. */
static void print_stats(const char *id, const struct conex_stats *s)
{
	printf("{\"type\":\"stats\",\"id\":\"%s\",\"data\":{\"cpu\":{\"usage\":{", id);
	number("total", s->cpu_ns, ",");
	number("kernel", s->cpu_system_ns, ",");
	number("user", s->cpu_user_ns, "},\"throttling\":{");
	number("throttledTime", s->throttled_ns, "}},\"memory\":{\"usage\":{");
	number("limit", s->memory_limit, ",");
	number("usage", s->memory, ",");
	number("max", s->memory_peak, ",\"failcnt\":0},\"swap\":{");
	number("usage", s->swap, "}},\"pids\":{");
	number("current", s->pids, ",");
	number("limit", s->pids_limit, "},\"blkio\":{\"ioServiceBytesRecursive\":[");
	printf("{\"op\":\"Read\",");
	number("value", s->read_bytes, "},{\"op\":\"Write\",");
	number("value", s->written_bytes, "}]},\"hugetlb\":{},\"intel_rdt\":{},\"network_interfaces\":null}}\n");
	fflush(stdout);
}

/* "5s", "500ms", "1m", or seconds */
static int milliseconds(const char *text)
{
	char *unit;
	double n = strtod(text ? text : "5s", &unit);

	n *= !strcmp(unit, "ms") ? 1 : !strcmp(unit, "m") ? 60000 : 1000;
	return n >= 1 && n < 1e9 ? (int)n : 5000;
}

static int follow(struct oci *rt, conex_container *c)
{
	struct conex_stats s = { .size = sizeof s };
	uint64_t kills = 0;
	int r;

	do {
		r = conex_container_stats(c, &s, &rt->err);
		if (r < 0)
			return conex_container_state(c) >= CONEX_EXITED ? 0 : say_error(rt, "events");
		if (s.oom_kills != UINT64_MAX && s.oom_kills > kills) {
			printf("{\"type\":\"oom\",\"id\":\"%s\"}\n", rt->id);
			kills = s.oom_kills;
		}
		print_stats(rt->id, &s);
	} while (!rt->o.stats && conex_container_wait(c, milliseconds(rt->o.interval), NULL, &rt->err) == 0);
	return 0;
}

int verb_events(struct oci *rt)
{
	conex_container *c = NULL;
	int r;

	if (open_context(rt, CONEX_READ_ONLY) < 0 || get_container(rt, &c) < 0)
		return 1;
	if (conex_container_state(c) >= CONEX_EXITED)
		r = say("container with id %s is not running: %s", rt->id, state_names[CONEX_EXITED]);
	else
		r = follow(rt, c);
	conex_container_free(c);
	return r < 0;
}
