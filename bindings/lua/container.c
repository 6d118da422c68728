/* Containers and plans. */
#include "conexlua.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- records ---- */

static const char *const causes[] = { "", "code", "signal", "oom", "timeout", "stopped", "seccomp", "never_started", "unknown" };

int cl_push_exit(lua_State *L, const struct conex_exit *x)
{
	char text[256];

	conex_exit_text(x, text, sizeof text);
	lua_newtable(L);
	lua_pushstring(L, CL_NAME(causes, x->cause, "unknown"));
	lua_setfield(L, -2, "cause");
	lua_pushstring(L, text);
	lua_setfield(L, -2, "text");
	struct { const char *name; lua_Integer value; } numbers[] = { { "status", x->status }, { "code", x->code },
		{ "signal", x->sig }, { "oom_kills", x->oom_kills }, { "restarts", x->restarts },
		{ "memory_peak", (lua_Integer)x->memory_peak }, { "cpu_ns", (lua_Integer)x->cpu_ns },
		{ "wall_ns", (lua_Integer)x->wall_ns } };
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		lua_pushinteger(L, numbers[i].value);
		lua_setfield(L, -2, numbers[i].name);
	}
	lua_pushnumber(L, (lua_Number)x->cpu_ns / 1e9);
	lua_setfield(L, -2, "cpu");
	lua_pushnumber(L, (lua_Number)x->wall_ns / 1e9);
	lua_setfield(L, -2, "wall");
	lua_pushnumber(L, (lua_Number)x->exited_at_ns / 1e9);
	lua_setfield(L, -2, "exited_at");
	luaL_getmetatable(L, "conex.exit");
	lua_setmetatable(L, -2);
	return 1;
}

#define STAT(name) { #name, offsetof(struct conex_stats, name) }
static const struct { const char *name; size_t at; } stats[] = {
	STAT(memory), STAT(memory_peak), STAT(memory_limit), STAT(swap), STAT(cpu_ns), STAT(cpu_user_ns), STAT(cpu_system_ns),
	STAT(throttled_ns), STAT(pids), STAT(pids_limit), STAT(oom_kills), STAT(read_bytes), STAT(written_bytes),
	STAT(memory_stall_ns), STAT(cpu_stall_ns), STAT(io_stall_ns), STAT(memory_full_stall_ns), STAT(cpu_full_stall_ns),
	STAT(io_full_stall_ns), STAT(cpu_periods), STAT(cpu_throttled), STAT(memory_anon), STAT(memory_file), STAT(memory_shared),
	STAT(memory_mapped), STAT(memory_kernel), STAT(memory_slab), STAT(memory_sock), STAT(major_faults), STAT(memory_high_hits),
	STAT(memory_max_hits), STAT(ooms), STAT(swap_limit), STAT(pids_peak), STAT(pids_refused), STAT(read_ops), STAT(write_ops),
	STAT(huge_bytes), STAT(net_rx_bytes), STAT(net_tx_bytes), STAT(net_rx_packets), STAT(net_tx_packets), STAT(net_rx_errors),
	STAT(net_tx_errors), STAT(net_rx_dropped), STAT(net_tx_dropped)
};

void cl_push_stats(lua_State *L, const struct conex_stats *s)
{
	lua_createtable(L, 0, (int)(sizeof stats / sizeof *stats));
	for (size_t i = 0; i < sizeof stats / sizeof *stats; i++) {
		cl_number(L, *(const uint64_t *)(const void *)((const char *)s + stats[i].at));
		lua_setfield(L, -2, stats[i].name);
	}
}

/* ---- starting ---- */

static const char *image_of(lua_State *L, struct cl_memory *m, int i)
{
	const char *image = NULL;

	if (lua_istable(L, i)) {
		lua_getfield(L, i, "image");
		image = lua_isnil(L, -1) ? NULL : cl_text(L, m, lua_gettop(L));
		lua_pop(L, 1);
	}
	return image;
}

/* run(cx, {command..., image=, ...}) */
static int context_run(lua_State *L)
{
	struct conex_run_options o = { .size = sizeof o };
	conex *cx = cl_check(L, 1, CL_CONTEXT);
	struct cl_memory *m = (lua_settop(L, 2), cl_memory(L));
	struct cl_handle *h = cl_new(L, CL_CONTAINER, 1);
	const char *const *args = cl_options(L, m, 2, &o), *image = image_of(L, m, 2);
	conex_container *c = NULL;
	conex_error *err = NULL;
	int r = conex_run(cx, image, args, &o, &c, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_fill(L, h, c);
}

static int context_plan(lua_State *L)
{
	struct conex_run_options o = { .size = sizeof o };
	conex *cx = cl_check(L, 1, CL_CONTEXT);
	struct cl_memory *m = (lua_settop(L, 2), cl_memory(L));
	struct cl_handle *h = cl_new(L, CL_PLAN, 1);
	const char *const *args = cl_options(L, m, 2, &o), *image = image_of(L, m, 2);
	conex_plan *plan = NULL;
	conex_error *err = NULL;
	int r = conex_plan_new(cx, image, args, &o, &plan, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_fill(L, h, plan);
}

/* launch(cx, plan, {command..., ...}) */
static int context_launch(lua_State *L)
{
	struct conex_run_options o = { .size = sizeof o };
	conex *cx = cl_check(L, 1, CL_CONTEXT);
	conex_plan *plan = cl_check(L, 2, CL_PLAN);
	struct cl_memory *m = (lua_settop(L, 3), cl_memory(L));
	struct cl_handle *h = cl_new(L, CL_CONTAINER, 1);
	const char *const *args = cl_options(L, m, 3, &o);
	conex_container *c = NULL;
	conex_error *err = NULL;
	int r = conex_launch(cx, plan, args, &o, &c, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_fill(L, h, c);
}

static int context_get(lua_State *L)
{
	struct cl_handle *h = (lua_settop(L, 2), cl_new(L, CL_CONTAINER, 1));
	conex_container *c = NULL;
	conex_error *err = NULL;
	int r = conex_container_get(cl_check(L, 1, CL_CONTEXT), luaL_checkstring(L, 2), &c, &err);

	if (r < 0)
		return cl_fail(L, r, err);
	if (!cl_known(L, c))
		return cl_fill(L, h, c);
	conex_container_free(c);
	return 1;
}

static int context_list(lua_State *L)
{
	conex_error *err = NULL;
	char **ids = NULL;
	int r = conex_container_list(cl_check(L, 1, CL_CONTEXT), luaL_optstring(L, 2, NULL), &ids, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_strings(L, ids, r);
}

static int context_sample(lua_State *L)
{
	int count;
	conex_container **list;
	struct conex_stats *s;
	conex_error *err = NULL;
	int r;

	cl_check(L, 1, CL_CONTEXT);
	luaL_checktype(L, 2, LUA_TTABLE);
	count = (int)cl_len(L, 2);
	list = lua_newuserdata(L, (size_t)(count + 1) * sizeof *list);
	s = lua_newuserdata(L, (size_t)(count + 1) * sizeof *s);
	s[0].size = sizeof *s;
	for (int i = 0; i < count; i++) {
		lua_rawgeti(L, 2, i + 1);
		list[i] = cl_check(L, -1, CL_CONTAINER);
		lua_pop(L, 1);
	}
	r = conex_container_sample(list, (size_t)count, s, &err);
	if (r < 0)
		return cl_fail(L, r, err);
	lua_createtable(L, count, 0);
	for (int i = 0; i < count; i++) {
		cl_push_stats(L, &s[i]);
		lua_rawseti(L, -2, i + 1);
	}
	return 1;
}

const luaL_Reg cl_run_methods[] = {
	{ "run", context_run }, { "plan", context_plan }, { "launch", context_launch }, { "container", context_get },
	{ "containers", context_list }, { "sample", context_sample }, { NULL, NULL }
};

/* ---- plans ---- */

static int plan_text(lua_State *L)
{
	conex_error *err = NULL;
	char *text = NULL;
	int r = conex_plan_dump(cl_check(L, 1, CL_PLAN), &text, &err);

	if (r < 0)
		return cl_fail(L, r, err);
	lua_pushstring(L, text);
	free(text);
	return 1;
}

static int plan_gc(lua_State *L)
{
	struct cl_handle *h = cl_handle(L, 1, CL_PLAN);

	conex_plan_free(h->p);
	h->p = NULL;
	return 0;
}

static const luaL_Reg plan_methods[] = { { "text", plan_text }, { NULL, NULL } };

/* ---- containers ---- */

#define CONTAINER(L) ((conex_container *)cl_check(L, 1, CL_CONTAINER))

static int container_id(lua_State *L)
{
	lua_pushstring(L, conex_container_id(CONTAINER(L)));
	return 1;
}

static int container_state(lua_State *L)
{
	static const char *const states[] = { "", "creating", "held", "running", "paused", "exited", "deleted" };
	int n = conex_container_state(CONTAINER(L));

	lua_pushstring(L, CL_NAME(states, n, "unknown"));
	return 1;
}

int cl_push_pid(lua_State *L, pid_t pid)
{
	if (pid > 0)
		lua_pushinteger(L, pid);
	else
		lua_pushnil(L);
	return 1;
}

static int container_pid(lua_State *L)
{
	return cl_push_pid(L, conex_container_pid(CONTAINER(L)));
}

static int container_pidfd(lua_State *L)
{
	lua_pushinteger(L, conex_container_pidfd(CONTAINER(L)));
	return 1;
}

static int container_address(lua_State *L)
{
	const char *family = luaL_optstring(L, 3, "inet");

	lua_pushstring(L, conex_container_address(CONTAINER(L), luaL_optstring(L, 2, NULL),
		!strcmp(family, "inet6") ? AF_INET6 : AF_INET));
	return 1;
}

static int container_port(lua_State *L)
{
	int port = conex_container_port(CONTAINER(L), (uint16_t)luaL_checkinteger(L, 2), luaL_optstring(L, 3, NULL));

	if (port > 0)
		lua_pushinteger(L, port);
	else
		lua_pushnil(L);
	return 1;
}

static int container_label(lua_State *L)
{
	lua_pushstring(L, conex_container_label(CONTAINER(L), luaL_checkstring(L, 2)));
	return 1;
}

static int json_of(lua_State *L, int (*ask)(conex_container *, char **, conex_error **))
{
	conex_error *err = NULL;
	char *text = NULL;
	int r = ask(CONTAINER(L), &text, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_json(L, text);
}

static int container_inspect(lua_State *L)
{
	return json_of(L, conex_container_json);
}

static int container_details(lua_State *L)
{
	return json_of(L, conex_container_details);
}

static int container_timeline(lua_State *L)
{
	return json_of(L, conex_container_timeline);
}

static int container_spec(lua_State *L)
{
	struct cl_handle *h = cl_new(L, CL_SPEC, 0);
	conex_error *err = NULL;
	conex_spec *spec = NULL;
	int r = conex_container_spec(CONTAINER(L), &spec, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_fill(L, h, spec);
}

static int simple(lua_State *L, int (*verb)(conex_container *, conex_error **))
{
	conex_error *err = NULL;
	int r = verb(CONTAINER(L), &err);

	return cl_done(L, r, err);
}

static int container_start(lua_State *L)
{
	return simple(L, conex_container_start);
}

static int container_stop(lua_State *L)
{
	return simple(L, conex_container_stop);
}

static int container_resume(lua_State *L)
{
	return simple(L, conex_container_resume);
}

static int container_check_networks(lua_State *L)
{
	return simple(L, conex_container_check_networks);
}

static int container_kill(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_container_kill(CONTAINER(L), (int)luaL_optinteger(L, 2, 9), &err);

	return cl_done(L, r, err);
}

static int container_kill_all(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_container_kill_all(CONTAINER(L), (int)luaL_optinteger(L, 2, 9), &err);

	return cl_done(L, r, err);
}

static int container_pids(lua_State *L)
{
	conex_error *err = NULL;
	pid_t *pids = NULL;
	int r = conex_container_pids(CONTAINER(L), &pids, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_pids(L, pids, r);
}

static int container_pause(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_container_pause(CONTAINER(L), cl_milliseconds(L, 2), &err);

	return cl_happened(L, r, err);
}

static int container_delete(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_container_delete(CONTAINER(L), cl_milliseconds(L, 2), &err);

	return cl_happened(L, r, err);
}

static int container_update(lua_State *L)
{
	struct conex_limits l = { .size = sizeof l };
	conex_container *c = CONTAINER(L);
	struct cl_memory *m = (lua_settop(L, 2), cl_memory(L));
	conex_error *err = NULL;
	int r;

	cl_limits(L, m, 2, &l);
	r = conex_container_update(c, &l, &err);
	return cl_done(L, r, err);
}

static int container_stats(lua_State *L)
{
	struct conex_stats s = { .size = sizeof s };
	conex_error *err = NULL;
	int r = conex_container_stats(CONTAINER(L), &s, &err);

	if (r < 0)
		return cl_fail(L, r, err);
	cl_push_stats(L, &s);
	return 1;
}

/* true or false: has it ended within so many seconds? */
static int container_wait(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_container_wait(CONTAINER(L), cl_milliseconds(L, 2), NULL, &err);

	return cl_happened(L, r, err);
}

static int container_exit(lua_State *L)
{
	struct conex_exit x = { .size = sizeof x };
	conex_error *err = NULL;
	int r = conex_container_exit(CONTAINER(L), &x, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_push_exit(L, &x);
}

int cl_push_error(lua_State *L, const conex_error *e)
{
	lua_pushstring(L, e ? conex_error_text(e) : NULL);
	return 1;
}

static int container_error(lua_State *L)
{
	return cl_push_error(L, conex_container_error(CONTAINER(L)));
}

static int container_stdio(lua_State *L)
{
	lua_pushinteger(L, conex_container_stdio(CONTAINER(L), (int)luaL_checkinteger(L, 2)));
	return 1;
}

static int container_take_stdio(lua_State *L)
{
	lua_pushinteger(L, conex_container_take_stdio(CONTAINER(L), (int)luaL_checkinteger(L, 2)));
	return 1;
}

static int container_resize(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_container_resize(CONTAINER(L), (int)luaL_checkinteger(L, 2), (int)luaL_checkinteger(L, 3), &err);

	return cl_done(L, r, err);
}

/* exec(c, {command..., ...}) */
static int container_exec(lua_State *L)
{
	struct conex_run_options o = { .size = sizeof o };
	conex_container *c = CONTAINER(L);
	struct cl_memory *m = (lua_settop(L, 2), cl_memory(L));
	struct cl_handle *h = cl_new(L, CL_PROCESS, 1);
	const char *const *args = cl_options(L, m, 2, &o);
	conex_process *p = NULL;
	conex_error *err = NULL;
	int r = conex_exec(c, args, &o, &p, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_fill(L, h, p);
}

static int container_commit(lua_State *L)
{
	conex_container *c = CONTAINER(L);
	struct cl_handle *h = (lua_settop(L, 3), cl_new(L, CL_JOB, 1));
	const char *image = luaL_checkstring(L, 2);
	char *config = lua_isnil(L, 3) ? NULL : cl_dump(L, 3);
	conex_error *err = NULL;
	conex_job *job = NULL;
	int r = conex_image_commit(c, image, config, &job, &err);

	free(config);
	return r < 0 ? cl_fail(L, r, err) : cl_fill(L, h, job);
}

static int container_gc(lua_State *L)
{
	struct cl_handle *h = cl_handle(L, 1, CL_CONTAINER);

	conex_container_free(h->p);
	h->p = NULL;
	return 0;
}

static const luaL_Reg container_methods[] = {
	{ "id", container_id }, { "state", container_state }, { "pid", container_pid }, { "pidfd", container_pidfd },
	{ "address", container_address }, { "port", container_port }, { "label", container_label },
	{ "inspect", container_inspect }, { "details", container_details }, { "timeline", container_timeline },
	{ "spec", container_spec }, { "start", container_start }, { "stop", container_stop }, { "resume", container_resume },
	{ "check_networks", container_check_networks }, { "kill", container_kill }, { "kill_all", container_kill_all },
	{ "pids", container_pids }, { "pause", container_pause }, { "delete", container_delete }, { "update", container_update },
	{ "stats", container_stats }, { "wait", container_wait }, { "record", container_exit }, { "error", container_error },
	{ "stdio", container_stdio }, { "take_stdio", container_take_stdio }, { "resize", container_resize },
	{ "exec", container_exec }, { "commit", container_commit }, { NULL, NULL }
};

static int exit_text(lua_State *L)
{
	lua_getfield(L, 1, "text");
	return 1;
}

void cl_open_container(lua_State *L)
{
	cl_type(L, CL_CONTAINER, container_methods, container_gc);
	cl_type(L, CL_PLAN, plan_methods, plan_gc);
	luaL_newmetatable(L, "conex.exit");
	lua_pushcfunction(L, exit_text);
	lua_setfield(L, -2, "__tostring");
	lua_pop(L, 1);
}
