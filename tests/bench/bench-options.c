/* The command line that all benchmarks share. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"

int bench_options_parse(struct bench_options *o, int argc, char **argv)
{
	const struct option options[] = {
		{ "quick", no_argument, NULL, 'q' }, { "n", required_argument, NULL, 'n' },
		{ "output", required_argument, NULL, 'o' }, { "only", required_argument, NULL, 'O' },
		{ "case", required_argument, NULL, 'c' },
		{ o->more ? o->more : "", required_argument, NULL, 'm' }, { 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'q')
			o->n = o->n_paced = 10;
		else if (c == 'n')
			o->n = atoi(optarg), o->n_paced = o->n * 2 / 5;
		else if (c == 'o')
			o->output = optarg;
		else if (c == 'O')
			o->only = optarg;
		else if (c == 'c')
			o->kase = optarg;
		else if (c == 'm' && o->more)
			o->value = optarg;
		else
			return -EINVAL;
	}
	o->rootfs = optind < argc ? argv[optind] : NULL;
	return optind >= argc - 1 && o->n > 0 && o->n_paced >= 0 ? 0 : -EINVAL;
}

int bench_options_wants(const struct bench_options *o, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = o->only; at; at = strchr(at, ','), at = at ? at + 1 : at)
		if (!strncmp(at, name, n) && (at[n] == '\0' || at[n] == ','))
			return 1;
	return !o->only;
}
