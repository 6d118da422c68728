/* Option structs that grow. */
#include "base/options.h"
#include "base/error.h"

#include <stdio.h>
#include <string.h>

static int bad_size(const char *name, size_t size, int code, const char *mend, conex_error **err)
{
	char where[64], value[32];

	snprintf(where, sizeof where, "struct %s.size", name);
	snprintf(value, sizeof value, "%zu", size);
	return cx_refuse(err, code, where, value, "%s", mend);
}

int cx_options_read(const char *name, void *to, size_t known, size_t first, const void *from,
	conex_error **err)
{
	const unsigned char *bytes = from;
	size_t size;

	memset(to, 0, known);
	if (!from) {
		memcpy(to, &known, sizeof known);
		return 0;
	}
	memcpy(&size, from, sizeof size);
	if (size < first)
		return bad_size(name, size, -EINVAL, "set it to sizeof the struct", err);
	for (size_t i = known; i < size; i++)
		if (bytes[i])
			return bad_size(name, size, -E2BIG,
				"a field that this version doesn't know is set: leave it zero, or use a newer libconex", err);
	memcpy(to, from, size < known ? size : known);
	memcpy(to, &known, sizeof known);
	return 0;
}

int cx_options_write(const char *name, void *to, size_t known, size_t first, const void *from,
	conex_error **err)
{
	size_t size;

	memcpy(&size, to, sizeof size);
	if (size < first)
		return bad_size(name, size, -EINVAL, "set it to sizeof the struct", err);
	memcpy((char *)to + sizeof size, (const char *)from + sizeof size,
		(size < known ? size : known) - sizeof size);
	if (size > known)
		memset((char *)to + known, 0, size - known);
	return 0;
}
