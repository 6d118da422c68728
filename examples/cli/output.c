/* Tables for people, JSON for programs. */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <time.h>

void table_row(struct table *t, ...)
{
	size_t n = 0;
	va_list ap;

	va_start(ap, t);
	for (const char *cell; (cell = va_arg(ap, const char *)); n++) {
		char **grown = realloc(t->cells, (t->count + 1) * sizeof *grown);
		char *copy = strdup(cell);

		if (!grown || !copy)
			exit(say("out of memory"));
		t->cells = grown;
		t->cells[t->count++] = copy;
	}
	va_end(ap);
	t->columns = n;
}

/* Letters, not bytes; what could move the cursor isn't printed. */
static size_t shown(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

static void print_cell(const char *s, size_t width)
{
	size_t n = shown(s);

	for (; *s; s++)
		putchar((unsigned char)*s < ' ' || *s == 0x7f ? '?' : *s);
	for (; n < width; n++)
		putchar(' ');
}

void table_print(struct table *t)
{
	for (size_t i = 0; i < t->count; i++) {
		size_t column = i % t->columns, width = 0;

		for (size_t k = column; k < t->count; k += t->columns)
			width = shown(t->cells[k]) > width ? shown(t->cells[k]) : width;
		print_cell(t->cells[i], column + 1 == t->columns ? 0 : width + 3);
		if (column + 1 == t->columns)
			putchar('\n');
	}
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct table){ .cells = NULL };
}

const char *size_text(uint64_t bytes, char to[32])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double n = (double)bytes;
	int u = 0;

	for (; n >= 1024; u++)
		n /= 1024;
	if (bytes == UINT64_MAX)
		strcpy(to, "-");
	else
		snprintf(to, 32, u ? "%.1f %s" : "%.0f %s", n, units[u]);
	return to;
}

const char *ago_text(int64_t at_ns, char to[32])
{
	static const struct { long long seconds; const char *name; } units[] = {
		{ 86400, "day" }, { 3600, "hour" }, { 60, "minute" }, { 1, "second" } };
	long long s = (long long)time(NULL) - at_ns / 1000000000;

	for (size_t i = 0; i < 4; i++)
		if (s >= units[i].seconds) {
			long long n = s / units[i].seconds;

			snprintf(to, 32, "%lld %s%s ago", n, units[i].name, n == 1 ? "" : "s");
			return to;
		}
	return strcpy(to, at_ns ? "just now" : "-");
}

int wants_json(const struct cli *cli, int *ret)
{
	const char *f = text(cli, "format");

	*ret = f && !strcmp(f, "json");
	if (f && !*ret && strcmp(f, "table"))
		return say("%s: --format %s: it is table or json", cli->command->name, f);
	return 0;
}

int print_json(json_t *json)
{
	int r = json ? json_dumpf(json, stdout, JSON_INDENT(2)) : -1;

	json_decref(json);
	if (r < 0)
		return say(json ? "standard output: %s" : "out of memory", strerror(errno));
	putchar('\n');
	return 0;
}

json_t *parse_json(char *text)
{
	json_t *json = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

	free(text);
	return json;
}
