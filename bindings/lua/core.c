/* conex.core: the module, handles, errors. */
#include "conexlua.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- versions of Lua ---- */

void cl_methods(lua_State *L, const luaL_Reg *list)
{
	for (; list->name; list++) {
		lua_pushcfunction(L, list->func);
		lua_setfield(L, -2, list->name);
	}
}

void cl_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc)
{
	luaL_newmetatable(L, name);
	lua_newtable(L);
	cl_methods(L, methods);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, gc);
	lua_setfield(L, -2, "__gc");
	lua_pushstring(L, name);
	lua_setfield(L, -2, "__name");
	lua_pop(L, 1);
}

/* ---- handles ---- */

static char owners, known;      /* keys in the registry */

void cl_weak(lua_State *L, const char *mode)
{
	lua_newtable(L);
	lua_newtable(L);
	lua_pushstring(L, mode);
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
}

static void push_table(lua_State *L, void *key, const char *mode)
{
	lua_pushlightuserdata(L, key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	if (!lua_isnil(L, -1))
		return;
	lua_pop(L, 1);
	cl_weak(L, mode);
	lua_pushlightuserdata(L, key);
	lua_pushvalue(L, -2);
	lua_rawset(L, LUA_REGISTRYINDEX);
}

void cl_own(lua_State *L, int handle, int owner)
{
	push_table(L, &owners, "k");
	lua_pushvalue(L, handle);
	lua_pushvalue(L, owner);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

void *cl_new_of(lua_State *L, const char *type, int owner, size_t size)
{
	void *h = memset(lua_newuserdata(L, size), 0, size);

	luaL_getmetatable(L, type);
	lua_setmetatable(L, -2);
	if (owner)
		cl_own(L, lua_gettop(L), owner);
	return h;
}

struct cl_handle *cl_new(lua_State *L, const char *type, int owner)
{
	return cl_new_of(L, type, owner, sizeof(struct cl_handle));
}

int cl_fill(lua_State *L, struct cl_handle *h, void *p)
{
	h->p = p;
	push_table(L, &known, "v");
	lua_pushlightuserdata(L, p);
	lua_pushvalue(L, -3);
	lua_rawset(L, -3);
	lua_pop(L, 1);
	return 1;
}

int cl_known(lua_State *L, void *p)
{
	push_table(L, &known, "v");
	lua_pushlightuserdata(L, p);
	lua_rawget(L, -2);
	lua_remove(L, -2);
	if (lua_isuserdata(L, -1) && ((struct cl_handle *)lua_touserdata(L, -1))->p == p)
		return 1;
	lua_pop(L, 1);
	return 0;
}

struct cl_handle *cl_handle(lua_State *L, int i, const char *type)
{
	return luaL_checkudata(L, i, type);
}

void *cl_check(lua_State *L, int i, const char *type)
{
	struct cl_handle *h = cl_handle(L, i, type);

	if (!h->p)
		luaL_error(L, "%s: closed", type);
	return h->p;
}

/* ---- answers ---- */

static char raises;     /* a key in the registry: errors are raised */

static const char *const stages[] = { "", "open", "image", "spec", "plan", "launch", "child", "exec", "run", "teardown" };

static void set_text(lua_State *L, const char *key, const char *text)
{
	lua_pushstring(L, text);
	lua_setfield(L, -2, key);
}

static int is_raised(lua_State *L)
{
	int yes;

	lua_pushlightuserdata(L, &raises);
	lua_rawget(L, LUA_REGISTRYINDEX);
	yes = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return yes;
}

int cl_error(lua_State *L, int code, const conex_error *err)
{
	const char *text = err ? conex_error_text(err) : strerror(-code);

	lua_newtable(L);
	set_text(L, "message", text);
	lua_pushinteger(L, -code);
	lua_setfield(L, -2, "code");
	set_text(L, "stage", CL_NAME(stages, conex_error_stage(err), ""));
	set_text(L, "object", conex_error_object(err));
	set_text(L, "call", conex_error_call(err));
	set_text(L, "hint", conex_error_hint(err));
	luaL_getmetatable(L, "conex.error");
	lua_setmetatable(L, -2);
	if (is_raised(L))
		return lua_error(L);
	lua_pushnil(L);
	lua_getfield(L, -2, "message");
	lua_pushinteger(L, -code);
	lua_pushvalue(L, -4);
	return 4;
}

static void free_error(lua_State *L, conex_error *err)
{
	struct cl_handle *h = lua_newuserdata(L, sizeof *h);    /* raising leaves C at once: this frees it then */

	h->p = err;
	luaL_getmetatable(L, "conex.held");
	lua_setmetatable(L, -2);
}

static int held_gc(lua_State *L)
{
	struct cl_handle *h = lua_touserdata(L, 1);

	conex_error_free(h->p);
	h->p = NULL;
	return 0;
}

int cl_fail(lua_State *L, int code, conex_error *err)
{
	free_error(L, err);
	return cl_error(L, code, err);
}

int cl_done(lua_State *L, int r, conex_error *err)
{
	if (r < 0)
		return cl_fail(L, r, err);
	lua_pushboolean(L, 1);
	return 1;
}

int cl_happened(lua_State *L, int r, conex_error *err)
{
	if (r < 0)
		return cl_fail(L, r, err);
	lua_pushboolean(L, r > 0);
	return 1;
}

int cl_strings(lua_State *L, char **list, int count)
{
	lua_createtable(L, count, 0);
	for (int i = 0; i < count; i++) {
		lua_pushstring(L, list[i]);
		lua_rawseti(L, -2, i + 1);
	}
	free(list);
	return 1;
}

int cl_pids(lua_State *L, pid_t *pids, int count)
{
	lua_createtable(L, count, 0);
	for (int i = 0; i < count; i++) {
		lua_pushinteger(L, pids[i]);
		lua_rawseti(L, -2, i + 1);
	}
	free(pids);
	return 1;
}

void cl_number(lua_State *L, uint64_t n)
{
	if (n == UINT64_MAX)
		lua_pushnil(L);
	else if (n > INT64_MAX)
		lua_pushnumber(L, (lua_Number)n);
	else
		lua_pushinteger(L, (lua_Integer)n);
}

static int error_text(lua_State *L)
{
	lua_getfield(L, 1, "message");
	return 1;
}

/* ---- the module ---- */

/* failed(container): the error with which it never started, as a call would have it */
static int core_failed(lua_State *L)
{
	const conex_error *e = conex_container_error(cl_check(L, 1, CL_CONTAINER));

	return cl_error(L, e ? conex_error_code(e) : -EIO, e);
}

static int core_raise(lua_State *L)
{
	lua_pushlightuserdata(L, &raises);
	lua_pushboolean(L, lua_toboolean(L, 1));
	lua_rawset(L, LUA_REGISTRYINDEX);
	return 0;
}

/* methods(type): the table that its objects index, for the other half */
static int core_methods(lua_State *L)
{
	luaL_getmetatable(L, luaL_checkstring(L, 1));
	lua_pushvalue(L, -1);
	lua_getfield(L, -1, "__index");
	return 2;
}

static int core_version(lua_State *L)
{
	lua_pushstring(L, conex_version());
	return 1;
}

static int core_has(lua_State *L)
{
	lua_pushboolean(L, conex_has(luaL_checkstring(L, 1)));
	return 1;
}

static int core_parse_size(lua_State *L)
{
	conex_error *err = NULL;
	uint64_t bytes;
	int r = conex_parse_size(luaL_checkstring(L, 1), &bytes, &err);

	if (r < 0)
		return cl_fail(L, r, err);
	cl_number(L, bytes);
	return 1;
}

static const luaL_Reg functions[] = {
	{ "failed", core_failed }, { "raise", core_raise }, { "methods", core_methods }, { "version", core_version },
	{ "has", core_has }, { "parse_size", core_parse_size }, { "classify", cl_classify }, { NULL, NULL }
};

__attribute__((visibility("default"))) int luaopen_conex_core(lua_State *L);
int luaopen_conex_core(lua_State *L)
{
	luaL_newmetatable(L, "conex.error");
	lua_pushcfunction(L, error_text);
	lua_setfield(L, -2, "__tostring");
	lua_pop(L, 1);
	luaL_newmetatable(L, "conex.held");
	lua_pushcfunction(L, held_gc);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	cl_open_context(L);
	cl_open_container(L);
	cl_open_process(L);
	cl_open_images(L);
	cl_open_other(L);
	cl_open_broker(L);
	cl_open_descriptors(L);
	lua_newtable(L);
	cl_methods(L, functions);
	cl_methods(L, cl_context_functions);
	cl_methods(L, cl_descriptor_functions);
	lua_pushlightuserdata(L, NULL);
	lua_setfield(L, -2, "null");    /* takes a key away, in what becomes JSON */
	return 1;
}
