/* A report as one table: a line a case, a column a subject, then the ratios. */
#ifndef BENCH_TABLE_H
#define BENCH_TABLE_H

#include <stdio.h>
#include <jansson.h>

/* The element of `list` whose `key` is `name` and whose case is `kase`; NULL: none. */
const json_t *bench_find(const json_t *list, const char *key, const char *name, const char *kase);
int bench_table_write(const json_t *report, FILE *to); /* Markdown; 0 or -EIO */

#endif
