/* Programs executed in containers. */
#include "conexlua.h"

#define PROCESS(L) ((conex_process *)cl_check(L, 1, CL_PROCESS))

static int process_pid(lua_State *L)
{
	return cl_push_pid(L, conex_process_pid(PROCESS(L)));
}

static int process_pidfd(lua_State *L)
{
	lua_pushinteger(L, conex_process_pidfd(PROCESS(L)));
	return 1;
}

static int process_kill(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_process_kill(PROCESS(L), (int)luaL_optinteger(L, 2, 9), &err);

	return cl_done(L, r, err);
}

static int process_wait(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_process_wait(PROCESS(L), cl_milliseconds(L, 2), NULL, &err);

	return cl_happened(L, r, err);
}

static int process_exit(lua_State *L)
{
	struct conex_exit x = { .size = sizeof x };
	conex_error *err = NULL;
	int r = conex_process_exit(PROCESS(L), &x, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_push_exit(L, &x);
}

static int process_error(lua_State *L)
{
	return cl_push_error(L, conex_process_error(PROCESS(L)));
}

static int process_stdio(lua_State *L)
{
	lua_pushinteger(L, conex_process_stdio(PROCESS(L), (int)luaL_checkinteger(L, 2)));
	return 1;
}

static int process_take_stdio(lua_State *L)
{
	lua_pushinteger(L, conex_process_take_stdio(PROCESS(L), (int)luaL_checkinteger(L, 2)));
	return 1;
}

static int process_resize(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_process_resize(PROCESS(L), (int)luaL_checkinteger(L, 2), (int)luaL_checkinteger(L, 3), &err);

	return cl_done(L, r, err);
}

static int process_gc(lua_State *L)
{
	struct cl_handle *h = cl_handle(L, 1, CL_PROCESS);

	conex_process_free(h->p);
	h->p = NULL;
	return 0;
}

static const luaL_Reg process_methods[] = {
	{ "pid", process_pid }, { "pidfd", process_pidfd }, { "kill", process_kill }, { "wait", process_wait },
	{ "record", process_exit }, { "error", process_error }, { "stdio", process_stdio }, { "take_stdio", process_take_stdio },
	{ "resize", process_resize }, { NULL, NULL }
};

void cl_open_process(lua_State *L)
{
	cl_type(L, CL_PROCESS, process_methods, process_gc);
}
