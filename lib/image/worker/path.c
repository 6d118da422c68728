/* An entry's name: taken apart once, so that no other file ever sees a "..", a "//" or an absolute path. */
#include "image/worker/tree.h"

#include <stdio.h>
#include <string.h>

/* A stranger's name, fit for a terminal: printable ASCII as it is, all else as \xNN, the end cut. */
static void quote(const char *raw, char *to, size_t size)
{
	char *end = to + size - 8;

	for (; *raw && to < end; raw++)
		if (*raw >= ' ' && *raw < 0x7f && *raw != '\\')
			*to++ = *raw;
		else
			to += sprintf(to, "\\x%02x", (unsigned char)*raw);
	strcpy(to, *raw ? "..." : "");
}

int cx_tree_fail(struct cx_tree *t, int code, const char *call, const char *hint, const char *raw)
{
	char name[256];

	if (t->err && *t->err && !call && !hint)
		return code;            /* it was said already, where more was known */
	quote(raw, name, sizeof name);
	return cx_fail(t->err, CONEX_STAGE_IMAGE, code, call, hint, "layer%s%.20s: entry \"%s\"", *t->layer ? " " : "",
		t->layer, name);
}

/* A whiteout is no file's name: behind its prefix all of what the kernel takes may follow. */
static size_t longest(const char *name)
{
	return strncmp(name, ".wh.", 4) ? NAME_MAX : NAME_MAX + 4;
}

/* Appends a component. 0; negative: what is wrong with it. */
static int add(struct cx_tree *t, struct cx_path *p, const char *from, size_t n)
{
	if (n == 1 && from[0] == '.')
		return 0;
	if (n == 2 && from[0] == '.' && from[1] == '.')
		return -EINVAL;
	if (n > longest(from) || p->size + n + 1 > t->options.limits.path)
		return -ENAMETOOLONG;
	p->parent = p->size;
	if (p->size)
		p->text[p->size++] = '/';
	p->name = memcpy(p->text + p->size, from, n);
	p->size += n;
	p->text[p->size] = '\0';
	return 1;
}

int cx_path_read(struct cx_tree *t, const char *name, struct cx_path *ret)
{
	uint32_t depth = 0;
	int r = 0;

	ret->size = ret->parent = 0;
	ret->text[0] = '\0';
	ret->name = ret->text;
	for (const char *from = name; r >= 0 && *from; ) {
		size_t n = strcspn(from, "/");

		r = n ? add(t, ret, from, n) : 0;
		depth += r > 0;
		from += n + (from[n] == '/');
	}
	if (r == -EINVAL)
		return cx_tree_fail(t, r, NULL, "names with \"..\" in them are refused, wherever they lead", name);
	if (r < 0)
		return cx_tree_fail(t, r, NULL, "limits.path, or what the kernel takes as a name, is less", name);
	if (depth > t->options.limits.depth)
		return cx_tree_fail(t, -E2BIG, NULL, "limits.depth allows more components", name);
	return *name ? 0 : cx_tree_fail(t, -EINVAL, NULL, "an entry needs a name", name);
}
