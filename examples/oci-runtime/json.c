/* JSON without a library: values come from conex_spec_get, texts are quoted here. */
#include "oci.h"

#include <errno.h>

int json_number(const conex_spec *spec, const char *pointer, long long missing, long long *ret)
{
	char *text = NULL;
	int r = conex_spec_get(spec, pointer, &text, NULL);

	*ret = r == 0 ? strtoll(text, NULL, 10) : missing;
	free(text);
	return r == 0;
}

char *json_quote(const char *text)
{
	char *quoted = malloc(6 * strlen(text) + 3), *to = quoted;

	if (!quoted)
		return NULL;
	*to++ = '"';
	for (const unsigned char *from = (const unsigned char *)text; *from; from++) {
		if (*from == '"' || *from == '\\')
			*to++ = '\\';
		if (*from < ' ')
			to += sprintf(to, "\\u%04x", *from);
		else
			*to++ = (char)*from;
	}
	*to++ = '"';
	*to = '\0';
	return quoted;
}
