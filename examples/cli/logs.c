/* logs: what log.c wrote, for people again. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct reader {
	struct cli *cli;
	const char *path;
	char since[40];                 /* as the log has times; "": all */
	int json, times;
	long skip;                      /* so many whole lines more */
	char *line;                     /* what getline(3) keeps */
	size_t size;
	int part;                       /* the last one was not a whole line */
};

/* ---- times ---- */

/* "10m" is so long ago; everything else is a time itself. */
static int set_since(struct reader *r, const char *since)
{
	static const struct { char unit; long seconds; } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	char *end;
	double n = strtod(since, &end);
	struct tm tm = { .tm_year = 0 };
	time_t at;

	for (size_t i = 0; i < 4 && end != since; i++)
		if (*end == units[i].unit && !end[1] && n >= 0 && n < 1e9) {
			at = time(NULL) - (time_t)(n * (double)units[i].seconds);
			strftime(r->since, sizeof r->since, "%Y-%m-%dT%H:%M:%S", gmtime_r(&at, &tm));
			return 0;
		}
	end = strptime(since, "%Y-%m-%d", &tm);
	if (end && *end == 'T')
		end = strptime(end, "T%H:%M:%S", &tm);
	if (!end || (*end && *end != '.' && strcmp(end, "Z")) || strlen(since) >= sizeof r->since)
		return say("logs: --since %s: write 2026-01-31T12:00:00Z (of UTC), or 90s, 10m, 2h, 3d", since);
	snprintf(r->since, sizeof r->since, "%.*s", (int)strcspn(since, "Z"), since);
	return 0;
}

/* ---- lines ---- */

/* "TIME STREAM F TEXT\n" taken apart in place. */
static int parse(char *line, ssize_t size, char **time, char **stream, int *whole, char **text, size_t *text_size)
{
	char *space = strchr(line, ' '), *second = space ? strchr(space + 1, ' ') : NULL;

	if (!second || (second[1] != 'F' && second[1] != 'P') || second[2] != ' ')
		return -1;
	*space = *second = '\0';
	*time = line;
	*stream = space + 1;
	*whole = second[1] == 'F';
	*text = second + 3;
	*text_size = (size_t)(line + size - *text);
	if (*text_size && (*text)[*text_size - 1] == '\n')
		--*text_size;
	return 0;
}

/* Bytes that are no UTF-8 have no place in JSON. */
static char *utf8(const char *text, size_t size)
{
	char *copy = strndup(text, size);

	for (char *c = copy; c && *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return copy;
}

static void print_as_json(const char *time, const char *stream, const char *text, size_t size, int whole)
{
	json_t *json = json_pack("{s:s, s:s, s:b}", "time", time, "stream", stream, "whole", whole);
	json_t *string = json_stringn(text, size);
	char *copy = string ? NULL : utf8(text, size);

	json_object_set_new(json, "text", string ? string : json_string(copy ? copy : ""));
	json_dumpf(json, stdout, JSON_COMPACT);
	putchar('\n');
	free(copy);
	json_decref(json);
}

static void print_line(struct reader *r, ssize_t size)
{
	char *time, *stream, *text;
	size_t n;
	int whole;
	FILE *to;

	if (parse(r->line, size, &time, &stream, &whole, &text, &n) < 0)
		return;
	if (r->skip > 0) {
		r->skip -= whole;
		return;
	}
	if (*r->since && strcmp(time, r->since) < 0)
		return;
	if (r->json) {
		print_as_json(time, stream, text, n, whole);
		return;
	}
	to = !strcmp(stream, "stderr") ? stderr : stdout;
	if (r->times && !r->part)
		fprintf(to, "%s ", time);
	fwrite(text, 1, n, to);
	if (whole)
		putc('\n', to);
	r->part = !whole;
}

/* To the end of what is there. A line that isn't whole yet is left for the next time. */
static void print_rest(struct reader *r, FILE *f)
{
	ssize_t n;
	long at = ftell(f);

	while ((n = getline(&r->line, &r->size, f)) > 0) {
		if (r->line[n - 1] != '\n')
			break;
		print_line(r, n);
		at = ftell(f);
	}
	fseek(f, at, SEEK_SET);
	clearerr(f);
	fflush(stdout);
}

static long count_lines(struct reader *r, const char *path)
{
	FILE *f = fopen(path, "re");
	char *time, *stream, *text;
	size_t n;
	ssize_t size;
	int whole;
	long lines = 0;

	while (f && (size = getline(&r->line, &r->size, f)) > 0)
		if (parse(r->line, size, &time, &stream, &whole, &text, &n) == 0)
			lines += whole;
	if (f)
		fclose(f);
	return lines;
}

/* ---- following ---- */

/* Its writer holds the record as long as there may be more. */
static int has_writer(struct reader *r, const char *id)
{
	const char *folder = state_path(r->cli, "ends");
	int fd = open(format(r->cli, "%s/%s", folder, id), O_RDONLY | O_CLOEXEC), held;

	held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0;
	if (fd >= 0)
		close(fd);
	return held;
}

static int has_turned(const char *path, FILE *f)
{
	struct stat name, open_;

	return stat(path, &name) == 0 && fstat(fileno(f), &open_) == 0 && name.st_ino != open_.st_ino;
}

/* The kernel tells of each write, and of the writer's end; the second is for what fell between two looks. */
static void follow(struct reader *r, FILE *f, const char *id)
{
	struct pollfd p = { inotify_init1(IN_CLOEXEC | IN_NONBLOCK), POLLIN, 0 };
	char events[4096] __attribute__((aligned(8)));
	int more = 1;

	inotify_add_watch(p.fd, r->path, IN_MODIFY | IN_CLOSE_WRITE);
	while (more && !ferror(stdout)) {
		more = has_writer(r, id);
		print_rest(r, f);
		if (has_turned(r->path, f)) {
			print_rest(r, f);
			f = freopen(r->path, "re", f);
			if (!f)
				break;
			inotify_add_watch(p.fd, r->path, IN_MODIFY | IN_CLOSE_WRITE);
			more = 1;
			continue;
		}
		if (more && poll(&p, 1, 1000) > 0)
			while (read(p.fd, events, sizeof events) > 0)
				;
	}
	close(p.fd);
	if (f)
		fclose(f);
}

static int print_all(struct reader *r, const char *id)
{
	const char *older_path = format(r->cli, "%s.1", r->path);
	FILE *older = fopen(older_path, "re"), *f = fopen(r->path, "re");

	if (older) {
		print_rest(r, older);
		fclose(older);
	}
	if (!f)
		return say("logs: %s: %s; logs are kept of containers that were run with --detach", id, strerror(errno));
	if (flag(r->cli, "follow")) {
		follow(r, f, id);
		return 0;
	}
	print_rest(r, f);
	fclose(f);
	return 0;
}

int command_logs(struct cli *cli)
{
	struct reader r = { .cli = cli, .times = flag(cli, "timestamps") };
	const char *tail = text(cli, "tail");
	conex_container *c;
	double lines;
	int n = tail && strcmp(tail, "all") ? number(cli, "tail", 0, 1e12, &lines) : 0;

	if (n < 0 || wants_json(cli, &r.json) || (text(cli, "since") && set_since(&r, text(cli, "since")))
	    || open_containers(cli, CONEX_READ_ONLY) || find_container(cli, cli->args[0], &c))
		return FAILED;
	r.path = log_path(cli, conex_container_id(c));
	if (n > 0)
		r.skip = count_lines(&r, format(cli, "%s.1", r.path)) + count_lines(&r, r.path) - (long)lines;
	n = print_all(&r, conex_container_id(c));
	free(r.line);
	conex_container_free(c);
	return n;
}
