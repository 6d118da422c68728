/* conex_error: one allocation a failure, one line of text for people; runs where anything fails. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct conex_error {
	int code, stage;
	int is_static;                  /* the one for want of memory: never freed */
	const char *object, *call, *hint, *text; /* into data */
	size_t size;                    /* of data */
	char data[];
};

static const conex_error out_of_memory = {
	.code = -ENOMEM, .stage = CONEX_STAGE_NONE, .is_static = 1,
	.object = "", .call = "", .hint = "", .text = "out of memory",
};

static const char *stage_name(int stage)
{
	static const char *const names[] = { "conex", "open", "image", "spec", "plan",
		"launch", "child", "exec", "run", "teardown" };

	return stage >= 0 && (size_t)stage < CX_ARRAY_SIZE(names) ? names[stage] : names[0];
}

static const char *errno_text(int code)
{
	const char *text = strerrordesc_np(-code);

	return text ? text : "unknown error";
}

/* Lays out object, call, hint and the line made of them, one behind another. */
static conex_error *error_new(int stage, int code, const char *object, const char *call,
	const char *hint)
{
	size_t o = strlen(object) + 1, c = strlen(call) + 1, h = strlen(hint) + 1;
	const char *what = errno_text(code), *name = stage_name(stage);
	size_t text = strlen(name) + o + c + h + strlen(what) + 16;
	conex_error *e = malloc(sizeof *e + o + c + h + text);
	char *p;

	if (!e)
		return NULL;
	e->code = code;
	e->stage = stage;
	e->is_static = 0;
	e->size = o + c + h + text;
	e->object = memcpy(p = e->data, object, o);
	e->call = memcpy(p += o, call, c);
	e->hint = memcpy(p += c, hint, h);
	e->text = p += h;
	snprintf(p, text, "%s: %s%s%s%s%s%s%s", name, object, *object ? ": " : "",
		call, *call ? ": " : "", what, *hint ? "; " : "", hint);
	return e;
}

static int error_set(conex_error **err, int stage, int code, const char *object, const char *call,
	const char *hint)
{
	conex_error *e;

	if (!hint && code == -EMFILE)   /* it can happen anywhere, and there is one mend */
		hint = "the process has no free descriptor: close some, or raise RLIMIT_NOFILE";
	e = error_new(stage, code, object ? object : "", call ? call : "", hint ? hint : "");
	conex_error_free(*err);
	*err = e ? e : (conex_error *)&out_of_memory;
	return code;
}

int cx_fail(conex_error **err, int stage, int code, const char *call, const char *hint,
	const char *object, ...)
{
	cx_autofree char *text = NULL;
	va_list ap;

	if (!err)
		return code;
	va_start(ap, object);
	if (vasprintf(&text, object, ap) < 0)
		text = NULL;
	va_end(ap);
	return error_set(err, stage, code, text, call, hint);
}

int cx_refuse(conex_error **err, int code, const char *where, const char *value,
	const char *mend, ...)
{
	cx_autofree char *object = NULL, *hint = NULL;
	va_list ap;

	if (!err)
		return code;
	va_start(ap, mend);
	if (vasprintf(&hint, mend, ap) < 0)
		hint = NULL;
	va_end(ap);
	if (asprintf(&object, value ? "%s = %.80s%s" : "%s", where, value,
		     value && strlen(value) > 80 ? "..." : "") < 0)
		object = NULL;
	return error_set(err, CONEX_STAGE_SPEC, code, object, NULL, hint);
}

int cx_fail_memory(conex_error **err)
{
	if (err) {
		conex_error_free(*err);
		*err = (conex_error *)&out_of_memory;
	}
	return -ENOMEM;
}

conex_error *cx_error_copy(const conex_error *e)
{
	return !e || e->is_static ? (conex_error *)e
		: error_new(e->stage, e->code, e->object, e->call, e->hint);
}

int conex_error_code(const conex_error *e)
{
	return e ? e->code : 0;
}

int conex_error_stage(const conex_error *e)
{
	return e ? e->stage : CONEX_STAGE_NONE;
}

const char *conex_error_object(const conex_error *e)
{
	return e ? e->object : "";
}

const char *conex_error_call(const conex_error *e)
{
	return e ? e->call : "";
}

const char *conex_error_hint(const conex_error *e)
{
	return e ? e->hint : "";
}

const char *conex_error_text(const conex_error *e)
{
	return e ? e->text : "";
}

void conex_error_free(conex_error *e)
{
	if (e && !e->is_static)
		free(e);
}
