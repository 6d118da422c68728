/* conex.core: the module, handles, errors; contexts and their events. */
#include "conexlua.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

static void push_table(lua_State *L, void *key, const char *mode)
{
	lua_pushlightuserdata(L, key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	if (!lua_isnil(L, -1))
		return;
	lua_pop(L, 1);
	lua_newtable(L);
	lua_newtable(L);
	lua_pushstring(L, mode);
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
	lua_pushlightuserdata(L, key);
	lua_pushvalue(L, -2);
	lua_rawset(L, LUA_REGISTRYINDEX);
}

struct cl_handle *cl_push(lua_State *L, const char *type, void *p, int owner)
{
	struct cl_handle *h;

	if (owner < 0)
		owner = lua_gettop(L) + 1 + owner;
	h = lua_newuserdata(L, sizeof *h);
	h->p = p;
	luaL_getmetatable(L, type);
	lua_setmetatable(L, -2);
	if (owner) {
		push_table(L, &owners, "k");
		lua_pushvalue(L, -2);
		lua_pushvalue(L, owner);
		lua_rawset(L, -3);
		lua_pop(L, 1);
	}
	push_table(L, &known, "v");
	lua_pushlightuserdata(L, p);
	lua_pushvalue(L, -3);
	lua_rawset(L, -3);
	lua_pop(L, 1);
	return h;
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
	int stage = conex_error_stage(err);

	lua_newtable(L);
	set_text(L, "message", text);
	lua_pushinteger(L, -code);
	lua_setfield(L, -2, "code");
	set_text(L, "stage", stages[stage >= 0 && stage < (int)(sizeof stages / sizeof *stages) ? stage : 0]);
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

/* ---- contexts ---- */

static int context_open(lua_State *L)
{
	struct conex_options o = { .size = sizeof o };
	struct cl_memory *m = cl_memory(L);
	struct { const char *name, **to; } texts[] = { { "state", &o.state }, { "store", &o.store }, { "cgroup", &o.cgroup },
		{ "cgroup_driver", &o.cgroup_driver } };
	conex_error *err = NULL;
	conex *cx = NULL;
	int r;

	if (!lua_isnoneornil(L, 1)) {
		luaL_checktype(L, 1, LUA_TTABLE);
		for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
			lua_getfield(L, 1, texts[i].name);
			*texts[i].to = lua_isnil(L, -1) ? NULL : cl_text(L, m, lua_gettop(L));
			lua_pop(L, 1);
		}
		lua_getfield(L, 1, "detached");
		lua_getfield(L, 1, "read_only");
		o.flags = (lua_toboolean(L, -2) ? CONEX_DETACHED : 0) | (lua_toboolean(L, -1) ? CONEX_READ_ONLY : 0);
		lua_pop(L, 2);
	}
	r = conex_open(&o, &cx, &err);
	if (r < 0)
		return cl_fail(L, r, err);
	cl_push(L, CL_CONTEXT, cx, 0);
	return 1;
}

static int context_close(lua_State *L)
{
	struct cl_handle *h = cl_handle(L, 1, CL_CONTEXT);

	conex_close(h->p);
	h->p = NULL;
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

static const char *const events[] = { "", "started", "exited", "deleted", "oom", "health", "restarted", "log", "pressure",
	"syscall", "job", "applied", "keeper_lost", "limit", "empty" };

static void set_object(lua_State *L, const char *key, const char *type, void *p)
{
	if (!p)
		return;
	if (!cl_known(L, p)) {
		if (!strcmp(type, CL_CONTAINER))
			p = conex_container_ref(p);
		else if (strcmp(type, CL_SYSCALL))
			return;         /* a process or job whose handle is gone */
		cl_push(L, type, p, 1);
	}
	lua_setfield(L, -2, key);
}

/* {"type", "container", "process", "job", "syscall"}; false: nothing within the time */
static int context_next_event(lua_State *L)
{
	struct conex_event e = { .size = sizeof e };
	conex_error *err = NULL;
	int r = conex_next_event(cl_check(L, 1, CL_CONTEXT), cl_milliseconds(L, 2), &e, &err);

	if (r <= 0)
		return cl_happened(L, r, err);
	lua_newtable(L);
	set_text(L, "type", e.type < (int)(sizeof events / sizeof *events) ? events[e.type] : "other");
	set_object(L, "container", CL_CONTAINER, e.container);
	set_object(L, "process", CL_PROCESS, e.process);
	set_object(L, "job", CL_JOB, e.job);
	set_object(L, "syscall", CL_SYSCALL, e.syscall);
	return 1;
}

/* ---- the module ---- */

/* poll(fds, seconds): which of these descriptors are readable, as a set; nil waits for ever */
static int core_poll(lua_State *L)
{
	int count = (int)cl_len(L, 1), ms = cl_milliseconds(L, 2);
	struct pollfd *p = lua_newuserdata(L, sizeof *p * (size_t)(count + 1));

	for (int i = 0; i < count; i++) {
		lua_rawgeti(L, 1, i + 1);
		p[i] = (struct pollfd){ .fd = (int)lua_tointeger(L, -1), .events = POLLIN };
		lua_pop(L, 1);
	}
	if (poll(p, (nfds_t)count, ms) < 0 && errno != EINTR)
		return luaL_error(L, "poll: %s", strerror(errno));
	lua_newtable(L);
	for (int i = 0; i < count; i++)
		if (p[i].revents) {
			lua_pushboolean(L, 1);
			lua_rawseti(L, -2, p[i].fd);
		}
	return 1;
}

/* read(fd, most): bytes; "" at its end; false: nothing there now */
static int core_read(lua_State *L)
{
	size_t most = (size_t)luaL_optinteger(L, 2, 65536);
	char *buffer = lua_newuserdata(L, most);
	ssize_t n = read((int)luaL_checkinteger(L, 1), buffer, most);

	if (n < 0 && errno != EIO) {
		if (errno != EAGAIN && errno != EINTR)
			return cl_fail(L, -errno, NULL);
		lua_pushboolean(L, 0);
		return 1;
	}
	lua_pushlstring(L, buffer, n < 0 ? 0 : (size_t)n);      /* a terminal's end is EIO */
	return 1;
}

/* write(fd, bytes, from): how many were taken, perhaps 0 */
static int core_write(lua_State *L)
{
	size_t size, from = (size_t)luaL_optinteger(L, 3, 1) - 1;
	const char *bytes = luaL_checklstring(L, 2, &size);
	ssize_t n = from >= size ? 0 : write((int)luaL_checkinteger(L, 1), bytes + from, size - from);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return cl_fail(L, -errno, NULL);
	lua_pushinteger(L, n < 0 ? 0 : (lua_Integer)n);
	return 1;
}

/* file(path, "r"): a descriptor of a file or directory; "w": of a file, made or emptied, or of a directory that is there */
static int core_file(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	int write = *luaL_checkstring(L, 2) == 'w';
	int fd = open(path, write ? O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC : O_RDONLY | O_CLOEXEC, 0666);

	if (fd < 0 && errno == EISDIR)
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return cl_fail(L, -errno, NULL);
	lua_pushinteger(L, fd);
	return 1;
}

static int core_close(lua_State *L)
{
	close((int)luaL_checkinteger(L, 1));
	return 0;
}

static int core_dup(lua_State *L)
{
	int fd = fcntl((int)luaL_checkinteger(L, 1), F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return cl_fail(L, -errno, NULL);
	lua_pushinteger(L, fd);
	return 1;
}

/* guard(fd): closes it when nobody has it any more, or before by guard:close() */
static int guard_close(lua_State *L)
{
	int *fd = luaL_checkudata(L, 1, "conex.guard");

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return 0;
}

static int core_guard(lua_State *L)
{
	int *fd = lua_newuserdata(L, sizeof *fd);

	*fd = (int)luaL_checkinteger(L, 1);
	luaL_getmetatable(L, "conex.guard");
	lua_setmetatable(L, -2);
	return 1;
}

/* failed(container): the error with which it never started, as a call would have it */
static int core_failed(lua_State *L)
{
	const conex_error *e = conex_container_error(cl_check(L, 1, CL_CONTAINER));

	return cl_error(L, e ? conex_error_code(e) : -EIO, e);
}

static int core_now(lua_State *L)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec / 1e9);
	return 1;
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
	{ "open", context_open }, { "poll", core_poll }, { "read", core_read }, { "write", core_write }, { "close", core_close },
	{ "file", core_file },
	{ "now", core_now }, { "dup", core_dup }, { "guard", core_guard },
	{ "failed", core_failed }, { "raise", core_raise }, { "methods", core_methods }, { "version", core_version }, { "has", core_has },
	{ "parse_size", core_parse_size }, { "classify", cl_classify }, { NULL, NULL }
};

static const luaL_Reg context_methods[] = {
	{ "close", context_close }, { "fd", context_fd }, { "keeper_pid", context_keeper }, { "prune", context_prune },
	{ "next_event", context_next_event }, { NULL, NULL }
};

static const luaL_Reg guard_methods[] = { { "close", guard_close }, { NULL, NULL } };

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
	cl_type(L, "conex.guard", guard_methods, guard_close);
	cl_type(L, CL_CONTEXT, context_methods, context_close);
	luaL_getmetatable(L, CL_CONTEXT);
	lua_pushcfunction(L, context_close);
	lua_setfield(L, -2, "__close");
	lua_getfield(L, -1, "__index");
	cl_methods(L, cl_run_methods);
	cl_methods(L, cl_image_methods);
	cl_methods(L, cl_other_methods);
	lua_pop(L, 2);
	cl_open_container(L);
	cl_open_process(L);
	cl_open_images(L);
	cl_open_other(L);
	cl_open_broker(L);
	lua_newtable(L);
	cl_methods(L, functions);
	lua_pushlightuserdata(L, NULL);
	lua_setfield(L, -2, "null");    /* takes a key away, in what becomes JSON */
	return 1;
}
