/* The first look at a stranger's JSON. manifest.c and config.c say what must be in it. */
#include "image/document.h"
#include "image/refuse.h"

#include <stdarg.h>
#include <stdio.h>

int cx_document_refuse(conex_error **err, int code, const char *what, const char *value, const char *mend,
	const char *path, ...)
{
	char at[256], where[320];
	va_list ap;

	va_start(ap, path);
	vsnprintf(at, sizeof at, path, ap);
	va_end(ap);
	snprintf(where, sizeof where, "%s: %s", what, at);
	return cx_image_refuse(err, code, *at ? where : what, value, "%s", mend);
}

/* Goes over the bytes once: nothing is allocated for what is refused here. NULL, or what is wrong. */
static const char *look_over(const char *bytes, size_t size)
{
	size_t depth = 0, values = 1;
	int quoted = 0;

	for (size_t i = 0; i < size; i++) {
		char c = bytes[i];

		if (c == '\0')
			return "it is JSON text: without NUL bytes";
		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (quoted)
			continue;
		else if (c == '{' || c == '[')
			depth++, values++;
		else if (c == '}' || c == ']')
			depth -= depth > 0;
		else if (c == ',')
			values++;
		if (depth > CX_DOCUMENT_DEPTH)
			return "objects and lists nest at most 32 deep";
		if (values > CX_DOCUMENT_VALUES)
			return "it has at most 65536 values";
	}
	return NULL;
}

/* jansson says nothing where its buffers fail, and takes a text that its lexer can't keep for bad syntax. */
static int was_memory(const json_error_t *e)
{
	json_t *probe = json_integer(0);
	int none = !probe;

	json_decref(probe);
	return none || !e->text[0] || json_error_code(e) == json_error_out_of_memory;
}

static int refuse_syntax(conex_error **err, const char *what, const json_error_t *e)
{
	cx_autostr text = { .data = NULL };     /* it quotes the document */
	char where[128];

	if (was_memory(e))
		return cx_fail_memory(err);
	cx_image_quote(&text, e->text, sizeof e->text);
	if (text.failed)
		return cx_fail_memory(err);
	snprintf(where, sizeof where, "%.80s, line %d, column %d", what, e->line, e->column);
	return cx_image_refuse(err, -EINVAL, where, NULL, "%s", text.data);
}

int cx_document_parse(const char *bytes, size_t size, const char *what, json_t **ret, conex_error **err)
{
	const char *wrong;
	json_error_t error;
	json_t *root;

	if (size > CX_DOCUMENT_MAX)
		return cx_image_refuse(err, -EFBIG, what, NULL, "it has at most 4 MiB, this one has %zu bytes", size);
	wrong = look_over(bytes, size);
	if (wrong)
		return cx_image_refuse(err, -EINVAL, what, NULL, "%s", wrong);
	root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!root)
		return refuse_syntax(err, what, &error);
	if (!json_is_object(root)) {
		json_decref(root);
		return cx_image_refuse(err, -EINVAL, what, NULL, "it is a JSON object: {...}");
	}
	*ret = root;
	return 0;
}

int cx_document_check(const struct cx_field *fields, const json_t *root, const char *what, conex_error **err)
{
	conex_error *fault = NULL;
	int r = cx_spec_check_fields(fields, root, err ? &fault : NULL);

	if (r < 0 && err)
		r = r == -ENOMEM ? cx_fail_memory(err)
			: cx_document_refuse(err, r, what, NULL, conex_error_hint(fault), "%s", conex_error_object(fault));
	conex_error_free(fault);
	return r;
}
