/* The reader of journals: what a killed or a hostile writer left. */
#include "state/inside.h"

#include "fuzz.h"

/* Reads each text whole, so that a sanitizer sees what has no end. */
static size_t look(const struct cx_record *r)
{
	const char **values = NULL, *text;
	enum cx_op_code code;
	size_t seen = 0;
	int n = cx_record_notes(r, "owner", &values);

	for (int i = 0; i < n; i++)
		seen += strlen(values[i]);
	free(values);
	for (size_t i = cx_record_count(r); i-- > 0;)
		if (cx_record_undo(r, i, &code, &text))
			seen += strlen(text) + code;
	text = cx_record_note(r, "keeper");
	return seen + (text ? strlen(text) : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cx_record *r = NULL;
	/* exactly as large: one byte more is found out */
	char *copy = malloc(size ? size : 1);

	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	if (cx_record_parse(copy, size, &r) < 0)
		return 0;
	if (look(r) > 16 * size || cx_record_good(r) > size)
		__builtin_trap();
	cx_record_free(r);
	return 0;
}

static void add(struct cx_str *to, uint16_t kind, uint16_t code, const char *first,
	const char *second)
{
	struct cx_record_head head = { .kind = kind, .code = code };

	head.size = (uint32_t)(sizeof head + strlen(first) + strlen(second) + 2);
	cx_str_add(to, &head, sizeof head);
	cx_str_add(to, first, strlen(first) + 1);
	cx_str_add(to, second, strlen(second) + 1);
}

static int fuzz_seed(int n, struct cx_str *to)
{
	if (n)
		return 0;
	add(to, CX_RECORD_HEADER, CX_JOURNAL_VERSION, CX_JOURNAL_MAGIC,
		"boot=01234567-89ab-cdef-0123-456789abcdef pidns=1 timens=2 pid=3 start=4\n");
	add(to, CX_RECORD_NOTE, 0, "owner", "released 12 34");
	add(to, CX_RECORD_UNDO, 0, "undo_cgroup", "/conex/x");
	add(to, CX_RECORD_UNDO, 0, "undo_of_the_future", "");
	add(to, CX_RECORD_NOTE, 0, "keeper", "");
	return 1;
}
