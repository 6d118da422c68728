/* Reading lists of numbers, "0-3,7", into bit masks. */
#include "base/numbers.h"

#include <errno.h>
#include <stdlib.h>

static int read_number(const char **p, unsigned long *ret)
{
	char *end;

	if (**p < '0' || **p > '9')
		return -EINVAL;
	*ret = strtoul(*p, &end, 10);
	*p = end;
	return 0;
}

/* "7" or "0-3" */
static int read_range(const char **p, unsigned long *first, unsigned long *last)
{
	if (read_number(p, first) < 0)
		return -EINVAL;
	*last = *first;
	if (**p == '-') {
		++*p;
		if (read_number(p, last) < 0)
			return -EINVAL;
	}
	return *last < *first ? -EINVAL : 0;
}

int cx_numbers_read(const char *list, unsigned char *mask, size_t size)
{
	unsigned long first, last;
	size_t used = 0;

	while (*list) {
		if (read_range(&list, &first, &last) < 0)
			return -EINVAL;
		if (last >= size * 8)
			return -ERANGE;
		for (unsigned long n = first; mask && n <= last; n++)
			mask[n / 8] |= (unsigned char)(1U << n % 8);
		if (last / 8 + 1 > used)
			used = last / 8 + 1;
		if (*list && (*list != ',' || !*++list))
			return -EINVAL;
	}
	return (int)used;
}
