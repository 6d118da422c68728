/* A report as Markdown that also reads well on a terminal; runs after bench.c has filled it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "bench-table.h"

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

const json_t *bench_find(const json_t *list, const char *key, const char *name, const char *kase)
{
	size_t i;
	json_t *element;

	json_array_foreach(list, i, element)
		if (!strcmp(text(element, key), name) && !strcmp(text(element, "case"), kase))
			return element;
	return NULL;
}

/* The distinct values of a key in a list, in order of appearance; ratios are named "of:to". */
static json_t *distinct(const json_t *list, const char *key, const char *second)
{
	json_t *names = json_object(), *element;
	size_t i;
	char name[256];

	json_array_foreach(list, i, element) {
		snprintf(name, sizeof name, "%s%s%s", text(element, key), second ? ":" : "",
			second ? text(element, second) : "");
		json_object_set_new(names, name, json_true());
	}
	return names;
}

static const json_t *find_ratio(const json_t *ratios, const char *name, const char *kase)
{
	size_t i, of;
	json_t *r;

	json_array_foreach(ratios, i, r) {
		of = strlen(text(r, "of"));
		if (!strncmp(name, text(r, "of"), of) && name[of] == ':'
			&& !strcmp(name + of + 1, text(r, "to")) && !strcmp(text(r, "case"), kase))
			return r;
	}
	return NULL;
}

static void write_head(FILE *to, const json_t *subjects, const json_t *ratios)
{
	const char *name;
	json_t *value;

	fprintf(to, "| %-20s |", "case");
	json_object_foreach((json_t *)subjects, name, value)
		fprintf(to, " %15s |", name);
	json_object_foreach((json_t *)ratios, name, value)
		fprintf(to, " %s |", name);
	fprintf(to, "\n|:---------------------|");
	json_object_foreach((json_t *)subjects, name, value)
		fprintf(to, "----------------:|");
	json_object_foreach((json_t *)ratios, name, value) {
		for (size_t i = 0; i < strlen(name) + 1; i++)
			fputc('-', to);
		fputs(":|", to);
	}
	fputc('\n', to);
}

/* A case that is measured in something else than the first says so. */
static void label_case(const json_t *rows, const char *kase, char *ret, size_t size)
{
	const char *first = text(json_array_get(rows, 0), "unit"), *unit = first;
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
		if (!strcmp(text(row, "case"), kase))
			unit = text(row, "unit");
	snprintf(ret, size, strcmp(unit, first) ? "%s, %s" : "%s", kase, unit);
}

static void write_case(FILE *to, const json_t *report, const char *kase, const json_t *subjects,
	const json_t *ratios)
{
	const char *name;
	json_t *value;
	char cell[64], label[128];

	label_case(json_object_get(report, "rows"), kase, label, sizeof label);
	fprintf(to, "| %-20s |", label);
	json_object_foreach((json_t *)subjects, name, value) {
		const json_t *row = bench_find(json_object_get(report, "rows"), "name", name, kase);

		snprintf(cell, sizeof cell, "-");
		if (row)
			snprintf(cell, sizeof cell, "%.2f (%.2f)",
				json_number_value(json_object_get(row, "median")),
				json_number_value(json_object_get(row, "p90")));
		fprintf(to, " %15s |", cell);
	}
	json_object_foreach((json_t *)ratios, name, value) {
		const json_t *r = find_ratio(json_object_get(report, "ratios"), name, kase);

		snprintf(cell, sizeof cell, "-");
		if (r)
			snprintf(cell, sizeof cell, "%.2f", json_number_value(json_object_get(r, "value")));
		fprintf(to, " %*s |", (int)strlen(name), cell);
	}
	fputc('\n', to);
}

static void write_machine(FILE *to, const json_t *machine)
{
	const char *fact, *separator = "";
	json_t *value;

	json_object_foreach((json_t *)machine, fact, value) {
		char *dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(3));

		fprintf(to, "%s%s %s", separator, fact,
			json_is_string(value) ? json_string_value(value) : dumped ? dumped : "?");
		free(dumped);
		separator = ", ";
	}
	fputs("\n\n", to);
}

static void write_rows(FILE *to, const json_t *report)
{
	const json_t *rows = json_object_get(report, "rows");
	json_t *subjects = distinct(rows, "name", NULL), *cases = distinct(rows, "case", NULL), *value;
	json_t *ratios = distinct(json_object_get(report, "ratios"), "of", "to");
	const char *kase;

	fprintf(to, "Median (90th percentile) in %s; the ratios are of medians.\n\n",
		text(json_array_get(rows, 0), "unit"));
	write_head(to, subjects, ratios);
	json_object_foreach(cases, kase, value)
		write_case(to, report, kase, subjects, ratios);
	json_decref(subjects);
	json_decref(cases);
	json_decref(ratios);
}

/* Every further list: what bench_detail added. */
static void write_details(FILE *to, const json_t *report)
{
	const char *list;
	json_t *rows, *row;
	size_t i;

	json_object_foreach((json_t *)report, list, rows) {
		if (!json_is_array(rows) || !strcmp(list, "rows") || !strcmp(list, "ratios")
			|| !strcmp(list, "notes"))
			continue;
		fprintf(to, "\n| %-40s | %-15s | %10s | %10s |\n|:---|:---|---:|---:|\n", list, "case",
			"median", "p90");
		json_array_foreach(rows, i, row)
			fprintf(to, "| %-40s | %-15s | %7.1f %s | %7.1f %s |\n", text(row, "name"),
				text(row, "case"), json_number_value(json_object_get(row, "median")),
				text(row, "unit"), json_number_value(json_object_get(row, "p90")),
				text(row, "unit"));
	}
}

int bench_table_write(const json_t *report, FILE *to)
{
	size_t i;
	json_t *note;

	fprintf(to, "# bench %s\n\n", text(report, "bench"));
	write_machine(to, json_object_get(report, "machine"));
	write_rows(to, report);
	write_details(to, report);
	if (json_array_size(json_object_get(report, "notes")))
		fputc('\n', to);
	json_array_foreach(json_object_get(report, "notes"), i, note)
		fprintf(to, "- %s\n", json_string_value(note));
	return ferror(to) ? -EIO : 0;
}
