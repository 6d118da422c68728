/* Images of the store, and jobs. */
#include "conexlua.h"

#include <stdlib.h>
#include <string.h>

static void read_limits(lua_State *L, int i, struct conex_image_limits *l)
{
	luaL_checktype(L, i, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, i); lua_pop(L, 1)) {
		const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "(a number)";
		uint64_t n = cl_size(L, lua_gettop(L), name);

		if (!strcmp(name, "bytes"))
			l->bytes = n;
		else if (!strcmp(name, "ratio"))
			l->ratio = n;
		else if (!strcmp(name, "entries"))
			l->entries = n;
		else if (!strcmp(name, "depth"))
			l->depth = (uint32_t)n;
		else if (!strcmp(name, "path"))
			l->path = (uint32_t)n;
		else if (!strcmp(name, "header"))
			l->header = (uint32_t)n;
		else if (!strcmp(name, "xattrs"))
			l->xattrs = (uint32_t)n;
		else
			luaL_error(L, "limits: none has this name: %s", name);
	}
}

static int set(lua_State *L, struct cl_memory *m, const char *name, int i, struct conex_image_options *o)
{
	if (!strcmp(name, "platform"))
		o->platform = cl_text(L, m, i);
	else if (!strcmp(name, "auth_file"))
		o->auth_file = cl_text(L, m, i);
	else if (!strcmp(name, "user"))
		o->user = cl_text(L, m, i);
	else if (!strcmp(name, "password"))
		o->password = cl_text(L, m, i);
	else if (!strcmp(name, "mirrors"))
		o->mirrors = cl_texts(L, m, i, name);
	else if (!strcmp(name, "max_bytes"))
		o->max_bytes = cl_size(L, i, name);
	else if (!strcmp(name, "plain_http"))
		o->flags |= lua_toboolean(L, i) ? CONEX_IMAGE_PLAIN_HTTP : 0;
	else if (!strcmp(name, "not_newer"))
		o->flags |= lua_toboolean(L, i) ? CONEX_IMAGE_NOT_NEWER : 0;
	else if (!strcmp(name, "limits")) {
		struct conex_image_limits *l = cl_bytes(L, m, sizeof *l);

		l->size = sizeof *l;
		read_limits(L, i, l);
		o->limits = l;
	} else
		return 0;
	return 1;
}

static void options(lua_State *L, int i, struct conex_image_options *o)
{
	struct cl_memory *m = cl_memory(L);

	o->size = sizeof *o;
	if (lua_isnoneornil(L, i))
		return;
	luaL_checktype(L, i, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, i); lua_pop(L, 1))
		if (lua_type(L, -2) != LUA_TSTRING || !set(L, m, lua_tostring(L, -2), lua_gettop(L), o))
			luaL_error(L, "no option has this name: %s", lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "(a number)");
}

static int started(lua_State *L, struct cl_handle *h, int r, conex_job *job, conex_error *err)
{
	return r < 0 ? cl_fail(L, r, err) : cl_fill(L, h, job);
}

/* verb(cx, image, options) */
static int verb(lua_State *L, int (*begin)(conex *, const char *, const struct conex_image_options *, conex_job **, conex_error **))
{
	struct conex_image_options o = { .size = sizeof o };
	conex_error *err = NULL;
	struct cl_handle *h;
	conex_job *job = NULL;
	int r;

	lua_settop(L, 3);
	options(L, 3, &o);
	h = cl_new(L, CL_JOB, 1);
	r = begin(cl_check(L, 1, CL_CONTEXT), luaL_checkstring(L, 2), &o, &job, &err);
	return started(L, h, r, job, err);
}

static int image_pull(lua_State *L)
{
	return verb(L, conex_image_pull);
}

static int image_push(lua_State *L)
{
	return verb(L, conex_image_push);
}

/* import(cx, fd, image, options) */
static int image_import(lua_State *L)
{
	struct conex_image_options o = { .size = sizeof o };
	conex_error *err = NULL;
	struct cl_handle *h;
	conex_job *job = NULL;
	int r;

	lua_settop(L, 4);
	options(L, 4, &o);
	h = cl_new(L, CL_JOB, 1);
	r = conex_image_import(cl_check(L, 1, CL_CONTEXT), (int)luaL_checkinteger(L, 2), luaL_checkstring(L, 3), &o, &job, &err);
	return started(L, h, r, job, err);
}

/* export(cx, image, fd, options) */
static int image_export(lua_State *L)
{
	struct conex_image_options o = { .size = sizeof o };
	conex_error *err = NULL;
	struct cl_handle *h;
	conex_job *job = NULL;
	int r;

	lua_settop(L, 4);
	options(L, 4, &o);
	h = cl_new(L, CL_JOB, 1);
	r = conex_image_export(cl_check(L, 1, CL_CONTEXT), luaL_checkstring(L, 2), (int)luaL_checkinteger(L, 3), &o, &job, &err);
	return started(L, h, r, job, err);
}

/* unpack(cx, image, directory, options) */
static int image_unpack(lua_State *L)
{
	struct conex_image_options o = { .size = sizeof o };
	conex_error *err = NULL;
	struct cl_handle *h;
	conex_job *job = NULL;
	int r;

	lua_settop(L, 4);
	options(L, 4, &o);
	h = cl_new(L, CL_JOB, 1);
	r = conex_image_unpack(cl_check(L, 1, CL_CONTEXT), luaL_checkstring(L, 2), luaL_checkstring(L, 3), &o, &job, &err);
	return started(L, h, r, job, err);
}

static int image_list(lua_State *L)
{
	conex_error *err = NULL;
	char **list = NULL;
	int r = conex_image_list(cl_check(L, 1, CL_CONTEXT), &list, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_strings(L, list, r);
}

static int image_inspect(lua_State *L)
{
	conex_error *err = NULL;
	char *text = NULL;
	int r = conex_image_json(cl_check(L, 1, CL_CONTEXT), luaL_checkstring(L, 2), &text, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_json(L, text);
}

static int image_delete(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_image_delete(cl_check(L, 1, CL_CONTEXT), luaL_checkstring(L, 2), &err);

	return cl_done(L, r, err);
}

static int image_verify(lua_State *L)
{
	struct cl_handle *h = cl_new(L, CL_JOB, 1);
	conex_error *err = NULL;
	conex_job *job = NULL;
	int r = conex_image_verify(cl_check(L, 1, CL_CONTEXT), &job, &err);

	return started(L, h, r, job, err);
}

static int image_usage(lua_State *L)
{
	struct conex_store_usage u = { .size = sizeof u };
	conex_error *err = NULL;
	int r = conex_image_usage(cl_check(L, 1, CL_CONTEXT), &u, &err);

	if (r < 0)
		return cl_fail(L, r, err);
	struct { const char *name; uint64_t value; } numbers[] = { { "blob_bytes", u.blob_bytes }, { "layer_bytes", u.layer_bytes },
		{ "partial_bytes", u.partial_bytes }, { "other_bytes", u.other_bytes }, { "images", u.images }, { "blobs", u.blobs },
		{ "layers", u.layers }, { "partial", u.partial } };
	lua_newtable(L);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		cl_number(L, numbers[i].value);
		lua_setfield(L, -2, numbers[i].name);
	}
	return 1;
}

const luaL_Reg cl_image_methods[] = {
	{ "pull", image_pull }, { "push", image_push }, { "import", image_import }, { "export", image_export },
	{ "unpack", image_unpack }, { "images", image_list }, { "image", image_inspect }, { "image_delete", image_delete },
	{ "verify", image_verify }, { "usage", image_usage },
	{ NULL, NULL }
};

/* ---- jobs ---- */

static int job_wait(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_job_wait(cl_check(L, 1, CL_JOB), cl_milliseconds(L, 2), &err);

	return cl_happened(L, r, err);
}

static int job_now(lua_State *L)
{
	struct conex_progress p = { .size = sizeof p };
	conex_error *err = NULL;
	int r = conex_job_progress(cl_check(L, 1, CL_JOB), &p, &err);

	if (r < 0)
		return cl_fail(L, r, err);
	lua_newtable(L);
	struct { const char *name; uint64_t value; } numbers[] = { { "done_bytes", p.done_bytes }, { "total_bytes", p.total_bytes },
		{ "unpacked_bytes", p.unpacked_bytes }, { "rate", p.rate }, { "done_layers", p.done_layers },
		{ "total_layers", p.total_layers } };
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		cl_number(L, numbers[i].value);
		lua_setfield(L, -2, numbers[i].name);
	}
	lua_pushstring(L, p.step);
	lua_setfield(L, -2, "step");
	return 1;
}

static int job_digest(lua_State *L)
{
	lua_pushstring(L, conex_job_result(cl_check(L, 1, CL_JOB)));
	return 1;
}

/* Ends it, where it isn't done. */
static int job_cancel(lua_State *L)
{
	struct cl_handle *h = cl_handle(L, 1, CL_JOB);

	conex_job_free(h->p);
	h->p = NULL;
	return 0;
}

static const luaL_Reg job_methods[] = {
	{ "wait", job_wait }, { "now", job_now }, { "digest", job_digest }, { "cancel", job_cancel }, { NULL, NULL }
};

void cl_open_images(lua_State *L)
{
	cl_type(L, CL_JOB, job_methods, job_cancel);
}
