/* Contexts: open, close, their log and their events. */
#include "conexlua.h"

#include <stdlib.h>
#include <string.h>

/* ---- the log ----
 * A state of its own for each context calls the function, since the one that opened it may be a coroutine that is gone. Its
 * stack: the function, deliver. Lines come in the thread that calls conex, which is Lua's. */

struct line { int level; const char *text; };

static int deliver(lua_State *L)
{
	struct line *line = lua_touserdata(L, 2);

	lua_settop(L, 1);
	lua_pushinteger(L, line->level);
	lua_pushstring(L, line->text);
	lua_call(L, 2, 0);
	return 0;
}

/* An error in the function is lost: nobody is there to raise it to. */
static void write_log(int level, const char *text, void *data)
{
	struct line line = { level, text };
	lua_State *L = data;

	if (!lua_checkstack(L, 4))
		return;
	lua_pushvalue(L, 2);
	lua_pushvalue(L, 1);
	lua_pushlightuserdata(L, &line);
	if (lua_pcall(L, 2, 0, 0))
		lua_pop(L, 1);
}

/* The function on top of the stack becomes its state. */
static lua_State *log_state(lua_State *L)
{
	lua_State *log;

	luaL_checktype(L, -1, LUA_TFUNCTION);
	log = lua_newthread(L);
	lua_pushvalue(L, -2);
	lua_xmove(L, log, 1);
	lua_pushcfunction(log, deliver);
	return log;
}

/* ---- open, close ---- */

static void read_texts(lua_State *L, struct cl_memory *m, struct conex_options *o)
{
	struct { const char *name, **to; } texts[] = { { "state", &o->state }, { "store", &o->store }, { "cgroup", &o->cgroup },
		{ "cgroup_driver", &o->cgroup_driver } };

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		lua_getfield(L, 1, texts[i].name);
		*texts[i].to = lua_isnil(L, -1) ? NULL : cl_text(L, m, lua_gettop(L));
		lua_pop(L, 1);
	}
	lua_getfield(L, 1, "detached");
	lua_getfield(L, 1, "read_only");
	o->flags = (lua_toboolean(L, -2) ? CONEX_DETACHED : 0) | (lua_toboolean(L, -1) ? CONEX_READ_ONLY : 0);
	lua_getfield(L, 1, "close_timeout");
	o->close_ms = lua_isnil(L, -1) ? 0 : cl_milliseconds(L, lua_gettop(L));
	lua_pop(L, 3);
}

/* {state=, store=, cgroup=, cgroup_driver=, detached=, read_only=, close_timeout=, log=} */
static int context_open(lua_State *L)
{
	struct conex_options o = { .size = sizeof o };
	struct cl_memory *m;
	conex_error *err = NULL;
	struct cl_context *h;
	conex *cx = NULL;
	int r;

	lua_settop(L, 1);
	m = cl_memory(L);
	h = cl_new_of(L, CL_CONTEXT, 0, sizeof *h);
	h->life = calloc(1, sizeof *h->life);
	if (!h->life)
		return luaL_error(L, "not enough memory");
	h->life->refs = 1;
	if (!lua_isnil(L, 1)) {
		luaL_checktype(L, 1, LUA_TTABLE);
		read_texts(L, m, &o);
		lua_getfield(L, 1, "log");
		if (!lua_isnil(L, -1)) {
			o.log_data = log_state(L);
			o.log = write_log;
			cl_own(L, 3, lua_gettop(L));
			lua_pop(L, 1);
		}
		lua_pop(L, 1);
	}
	r = conex_open(&o, &cx, &err);
	return r < 0 ? cl_fail(L, r, err) : cl_fill(L, &h->handle, cx);
}

static void end(struct cl_context *h)
{
	conex_close(h->handle.p);
	h->handle.p = NULL;
	if (h->life)
		h->life->closed = 1;
}

static int context_close(lua_State *L)
{
	end(luaL_checkudata(L, 1, CL_CONTEXT));
	lua_pushnil(L);
	cl_own(L, 1, lua_gettop(L));    /* its log */
	return 0;
}

static int context_gc(lua_State *L)
{
	struct cl_context *h = luaL_checkudata(L, 1, CL_CONTEXT);

	end(h);
	if (h->life && --h->life->refs == 0)
		free(h->life);
	h->life = NULL;
	return 0;
}

static int context_fd(lua_State *L)
{
	lua_pushinteger(L, conex_fd(cl_check(L, 1, CL_CONTEXT)));
	return 1;
}

static int context_keeper(lua_State *L)
{
	lua_pushinteger(L, conex_keeper_pid(cl_check(L, 1, CL_CONTEXT)));
	return 1;
}

static int context_prune(lua_State *L)
{
	conex_error *err = NULL;
	uint64_t bytes = 0;
	int r = conex_prune(cl_check(L, 1, CL_CONTEXT), &bytes, &err);

	if (r < 0)
		return cl_fail(L, r, err);
	cl_number(L, bytes);
	return 1;
}

/* ---- events ---- */

static const char *const events[] = { "", "started", "exited", "deleted", "oom", "health", "restarted", "log", "pressure",
	"syscall", "job", "applied", "keeper_lost", "limit", "empty" };

static void set_object(lua_State *L, const char *key, const char *type, void *p)
{
	if (!p)
		return;
	if (!cl_known(L, p)) {
		if (!strcmp(type, CL_CONTAINER))
			cl_fill(L, cl_new(L, type, 1), conex_container_ref(p));
		else if (!strcmp(type, CL_SYSCALL))
			cl_push_call(L, p, 1);
		else
			return;         /* a process or job whose handle is gone */
	}
	lua_setfield(L, -2, key);
}

/* {"type", "container", "process", "job", "syscall", "cgroup"}; false: nothing within the time */
static int context_next_event(lua_State *L)
{
	struct conex_event e = { .size = sizeof e };
	conex_error *err = NULL;
	int r = conex_next_event(cl_check(L, 1, CL_CONTEXT), cl_milliseconds(L, 2), &e, &err);

	if (r <= 0)
		return cl_happened(L, r, err);
	lua_newtable(L);
	lua_pushstring(L, CL_NAME(events, e.type, "other"));
	lua_setfield(L, -2, "type");
	set_object(L, "container", CL_CONTAINER, e.container);
	set_object(L, "process", CL_PROCESS, e.process);
	set_object(L, "job", CL_JOB, e.job);
	set_object(L, "syscall", CL_SYSCALL, e.syscall);
	if (!e.container && e.data && cl_watched(L, e.data))
		lua_setfield(L, -2, "cgroup");
	return 1;
}

static const luaL_Reg context_methods[] = {
	{ "close", context_close }, { "fd", context_fd }, { "keeper_pid", context_keeper }, { "prune", context_prune },
	{ "next_event", context_next_event }, { NULL, NULL }
};

const luaL_Reg cl_context_functions[] = { { "open", context_open }, { NULL, NULL } };

void cl_open_context(lua_State *L)
{
	cl_type(L, CL_CONTEXT, context_methods, context_gc);
	luaL_getmetatable(L, CL_CONTEXT);
	lua_pushcfunction(L, context_close);
	lua_setfield(L, -2, "__close");
	lua_getfield(L, -1, "__index");
	cl_methods(L, cl_run_methods);
	cl_methods(L, cl_image_methods);
	cl_methods(L, cl_other_methods);
	lua_pop(L, 2);
}
