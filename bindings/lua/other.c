/* Networks, cgroups, namespaces, specifications. */
#include "conexlua.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- networks, by their names ---- */

static int network_create(lua_State *L)
{
	struct conex_network_options o = { .size = sizeof o };
	conex *cx = cl_check(L, 1, CL_CONTEXT);
	const char *name = luaL_checkstring(L, 2);
	struct cl_memory *m = (lua_settop(L, 3), cl_memory(L));
	conex_error *err = NULL;
	int r, at;

	if (!lua_isnil(L, 3)) {
		luaL_checktype(L, 3, LUA_TTABLE);
		for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
			const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "(a number)";

			at = lua_gettop(L);
			if (!strcmp(key, "driver"))
				o.driver = cl_text(L, m, at);
			else if (!strcmp(key, "parent"))
				o.parent = cl_text(L, m, at);
			else if (!strcmp(key, "range"))
				o.range = cl_text(L, m, at);
			else if (!strcmp(key, "mtu"))
				o.mtu = (uint32_t)luaL_checkinteger(L, at);
			else if (!strcmp(key, "subnets"))
				o.subnets = cl_texts(L, m, at, key);
			else if (!strcmp(key, "gateways"))
				o.gateways = cl_texts(L, m, at, key);
			else if (!strcmp(key, "internal"))
				o.flags |= lua_toboolean(L, at) ? CONEX_NETWORK_INTERNAL : 0;
			else if (!strcmp(key, "existing"))
				o.flags |= lua_toboolean(L, at) ? CONEX_NETWORK_EXISTING : 0;
			else
				return luaL_error(L, "no option has this name: %s", key);
		}
	}
	r = conex_network_create(cx, name, &o, &err);
	return cl_done(L, r, err);
}

static int network_delete(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_network_delete(cl_check(L, 1, CL_CONTEXT), luaL_checkstring(L, 2), &err);

	return cl_done(L, r, err);
}

static int network_list(lua_State *L)
{
	conex_error *err = NULL;
	char **list = NULL;
	int r = conex_network_list(cl_check(L, 1, CL_CONTEXT), &list, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_strings(L, list, r);
}

static int network_inspect(lua_State *L)
{
	conex_error *err = NULL;
	char *text = NULL;
	int r = conex_network_json(cl_check(L, 1, CL_CONTEXT), luaL_checkstring(L, 2), &text, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_json(L, text);
}

static int network_policy(lua_State *L)
{
	conex *cx = cl_check(L, 1, CL_CONTEXT);
	const char *name = luaL_checkstring(L, 2);
	char *policy = lua_isnoneornil(L, 3) ? NULL : cl_dump(L, 3);
	conex_error *err = NULL;
	int r = conex_network_policy(cx, name, policy, &err);

	free(policy);
	return cl_done(L, r, err);
}

/* veth_create(cx, {host_name=, host_address=, ns=, name=, address=, gateway=}) */
static int veth_create(lua_State *L)
{
	struct conex_veth_options o = { .size = sizeof o };
	conex *cx = cl_check(L, 1, CL_CONTEXT);
	struct cl_memory *m = (lua_settop(L, 2), cl_memory(L));
	struct { const char *key, **to; } texts[] = { { "host_name", &o.host_name }, { "host_address", &o.host_address },
		{ "name", &o.name }, { "address", &o.address }, { "gateway", &o.gateway } };
	conex_error *err = NULL;
	int r;

	luaL_checktype(L, 2, LUA_TTABLE);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		lua_getfield(L, 2, texts[i].key);
		*texts[i].to = lua_isnil(L, -1) ? NULL : cl_text(L, m, lua_gettop(L));
		lua_pop(L, 1);
	}
	lua_getfield(L, 2, "ns");
	o.ns = cl_check(L, lua_gettop(L), CL_NAMESPACE);
	r = conex_veth_create(cx, &o, &err);
	return cl_done(L, r, err);
}

static int veth_delete(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_veth_delete(cl_check(L, 1, CL_CONTEXT), luaL_checkstring(L, 2), &err);

	return cl_done(L, r, err);
}

/* ---- cgroups ---- */

static int cgroup_create(lua_State *L)
{
	struct conex_limits l = { .size = sizeof l };
	conex *cx = cl_check(L, 1, CL_CONTEXT);
	const char *name = luaL_checkstring(L, 2);
	struct cl_memory *m = (lua_settop(L, 3), cl_memory(L));
	struct cl_handle *h = cl_new(L, CL_CGROUP, 1);
	conex_error *err = NULL;
	conex_cgroup *g = NULL;
	int r;

	if (!lua_isnil(L, 3))
		cl_limits(L, m, 3, &l);
	r = conex_cgroup_create(cx, name, &l, &g, &err);
	return r < 0 ? cl_fail(L, r, err) : cl_fill(L, h, g);
}

static int cgroup_get(lua_State *L)
{
	struct cl_handle *h = (lua_settop(L, 2), cl_new(L, CL_CGROUP, 1));
	conex_error *err = NULL;
	conex_cgroup *g = NULL;
	int r = conex_cgroup_get(cl_check(L, 1, CL_CONTEXT), luaL_checkstring(L, 2), &g, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_fill(L, h, g);
}

#define CGROUP(L) ((conex_cgroup *)cl_check(L, 1, CL_CGROUP))

static int cgroup_fd(lua_State *L)
{
	lua_pushinteger(L, conex_cgroup_fd(CGROUP(L)));
	return 1;
}

static int cgroup_add(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_cgroup_add(CGROUP(L), (pid_t)luaL_checkinteger(L, 2), &err);

	return cl_done(L, r, err);
}

static int cgroup_set(lua_State *L)
{
	struct conex_limits l = { .size = sizeof l };
	conex_cgroup *g = CGROUP(L);
	struct cl_memory *m = (lua_settop(L, 2), cl_memory(L));
	conex_error *err = NULL;
	int r;

	cl_limits(L, m, 2, &l);
	r = conex_cgroup_set(g, &l, &err);
	return cl_done(L, r, err);
}

static int cgroup_stats(lua_State *L)
{
	struct conex_stats s = { .size = sizeof s };
	conex_error *err = NULL;
	int r = conex_cgroup_stats(CGROUP(L), &s, &err);

	if (r < 0)
		return cl_fail(L, r, err);
	cl_push_stats(L, &s);
	return 1;
}

static int cgroup_details(lua_State *L)
{
	conex_error *err = NULL;
	char *text = NULL;
	int r = conex_cgroup_details(CGROUP(L), &text, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_json(L, text);
}

static int cgroup_pids(lua_State *L)
{
	conex_error *err = NULL;
	pid_t *pids = NULL;
	int r = conex_cgroup_pids(CGROUP(L), &pids, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_pids(L, pids, r);
}

static int cgroup_freeze(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_cgroup_freeze(CGROUP(L), cl_milliseconds(L, 2), &err);

	return cl_happened(L, r, err);
}

static int cgroup_thaw(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_cgroup_thaw(CGROUP(L), &err);

	return cl_done(L, r, err);
}

static int cgroup_kill(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_cgroup_kill(CGROUP(L), &err);

	return cl_done(L, r, err);
}

/* What a watch's events bring is a number, by which the group's object is found as long as somebody has it. */
static char watched;    /* a key in the registry: number → object, weak */

static void push_watched(lua_State *L)
{
	lua_pushlightuserdata(L, &watched);
	lua_rawget(L, LUA_REGISTRYINDEX);
}

int cl_watched(lua_State *L, void *data)
{
	push_watched(L);
	lua_rawgeti(L, -1, (int)(intptr_t)data);
	lua_remove(L, -2);
	if (lua_isuserdata(L, -1))
		return 1;
	lua_pop(L, 1);
	return 0;
}

static int cgroup_watch(lua_State *L)
{
	static _Atomic int numbers;
	conex_cgroup *g = CGROUP(L);
	const char *what = luaL_checkstring(L, 2);
	conex_error *err = NULL;
	int number = ++numbers, r;

	push_watched(L);
	lua_pushvalue(L, 1);
	lua_rawseti(L, -2, number);
	r = conex_cgroup_watch(g, what, (void *)(intptr_t)number, &err);
	return cl_done(L, r, err);
}

static int cgroup_delete(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_cgroup_delete(CGROUP(L), cl_milliseconds(L, 2), &err);

	return cl_happened(L, r, err);
}

static int cgroup_sample(lua_State *L)
{
	int count, r;
	conex_cgroup **list;
	struct conex_stats *s;
	conex_error *err = NULL;

	cl_check(L, 1, CL_CONTEXT);
	luaL_checktype(L, 2, LUA_TTABLE);
	count = (int)cl_len(L, 2);
	list = lua_newuserdata(L, (size_t)(count + 1) * sizeof *list);
	s = lua_newuserdata(L, (size_t)(count + 1) * sizeof *s);
	s[0].size = sizeof *s;
	for (int i = 0; i < count; i++) {
		lua_rawgeti(L, 2, i + 1);
		list[i] = cl_check(L, -1, CL_CGROUP);
		lua_pop(L, 1);
	}
	r = conex_cgroup_sample(list, (size_t)count, s, &err);
	if (r < 0)
		return cl_fail(L, r, err);
	lua_createtable(L, count, 0);
	for (int i = 0; i < count; i++) {
		cl_push_stats(L, &s[i]);
		lua_rawseti(L, -2, i + 1);
	}
	return 1;
}

static int cgroup_gc(lua_State *L)
{
	struct cl_handle *h = cl_handle(L, 1, CL_CGROUP);

	conex_cgroup_free(h->p);
	h->p = NULL;
	return 0;
}

static const luaL_Reg cgroup_methods[] = {
	{ "fd", cgroup_fd }, { "add", cgroup_add }, { "set", cgroup_set }, { "stats", cgroup_stats }, { "details", cgroup_details },
	{ "pids", cgroup_pids }, { "freeze", cgroup_freeze }, { "thaw", cgroup_thaw }, { "kill", cgroup_kill },
	{ "watch", cgroup_watch }, { "delete", cgroup_delete }, { NULL, NULL }
};

/* classify{cpu_request=, cpu_limit=, memory_request=, memory_limit=, capacity=, throttling=, memory_qos=}: the class, the limits as
 * run takes them, an oom_score_adj */
int cl_classify(lua_State *L)
{
	static const char *const classes[] = { "", "guaranteed", "burstable", "best-effort" };
	struct conex_demand d = { .size = sizeof d };
	struct conex_limits l = { .size = sizeof l };
	struct { const char *key; double *to; } numbers[] = { { "cpu_request", &d.cpu_request }, { "cpu_limit", &d.cpu_limit },
		{ "throttling", &d.throttling } };
	struct { const char *key; uint64_t *to; } bytes[] = { { "memory_request", &d.memory_request },
		{ "memory_limit", &d.memory_limit }, { "capacity", &d.capacity } };
	struct { const char *key; uint64_t value; } found[6];
	conex_error *err = NULL;
	int score = 0, r;

	luaL_checktype(L, 1, LUA_TTABLE);
	for (size_t i = 0; i < 3; i++) {
		lua_getfield(L, 1, numbers[i].key);
		*numbers[i].to = luaL_optnumber(L, -1, 0);
		lua_getfield(L, 1, bytes[i].key);
		*bytes[i].to = lua_isnil(L, -1) ? 0 : cl_size(L, lua_gettop(L), bytes[i].key);
	}
	lua_getfield(L, 1, "memory_qos");
	d.flags = lua_toboolean(L, -1) ? CONEX_DEMAND_MEMORY : 0;
	r = conex_limits_classify(&d, &l, &score, &err);
	if (r < 0)
		return cl_fail(L, r, err);
	found[0].key = "memory", found[0].value = l.memory;
	found[1].key = "memory_min", found[1].value = l.memory_min;
	found[2].key = "memory_low", found[2].value = l.memory_low;
	found[3].key = "memory_high", found[3].value = l.memory_high;
	found[4].key = "cpu_shares", found[4].value = l.cpu_shares;
	found[5].key = "cpu_weight", found[5].value = l.cpu_weight;
	lua_pushstring(L, classes[r]);
	lua_newtable(L);
	for (size_t i = 0; i < 6; i++)
		if (found[i].value) {
			cl_number(L, found[i].value);
			lua_setfield(L, -2, found[i].key);
		}
	if (l.cpus > 0) {
		lua_pushnumber(L, l.cpus);
		lua_setfield(L, -2, "cpus");
	}
	lua_pushinteger(L, score);
	return 3;
}

/* ---- namespaces ---- */

static int namespace_create(lua_State *L)
{
	static const char *const kinds[] = { "mount", "pid", "net", "ipc", "uts", "user", "cgroup", "time", NULL };
	struct cl_handle *h = (lua_settop(L, 3), cl_new(L, CL_NAMESPACE, 1));
	conex *cx = cl_check(L, 1, CL_CONTEXT);
	uint32_t kind = 1U << luaL_checkoption(L, 2, NULL, kinds);
	conex_error *err = NULL;
	conex_namespace *ns = NULL;
	int r = conex_namespace_create(cx, kind, luaL_optstring(L, 3, NULL), &ns, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_fill(L, h, ns);
}

static int namespace_open(lua_State *L)
{
	struct cl_handle *h = (lua_settop(L, 2), cl_new(L, CL_NAMESPACE, 1));
	conex_error *err = NULL;
	conex_namespace *ns = NULL;
	int r = conex_namespace_open(cl_check(L, 1, CL_CONTEXT), luaL_checkstring(L, 2), &ns, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_fill(L, h, ns);
}

static int namespace_fd(lua_State *L)
{
	lua_pushinteger(L, conex_namespace_fd(cl_check(L, 1, CL_NAMESPACE)));
	return 1;
}

/* take_socket(ns, "inet", "stream"): a descriptor, the caller's */
static int namespace_socket(lua_State *L)
{
	static const char *const families[] = { "unix", "inet", "inet6", "netlink", NULL };
	static const int family[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };
	static const char *const types[] = { "stream", "dgram", "raw", "seqpacket", NULL };
	static const int type[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET };
	conex_namespace *ns = cl_check(L, 1, CL_NAMESPACE);
	conex_error *err = NULL;
	int fd, r = conex_namespace_take_socket(ns, family[luaL_checkoption(L, 2, "inet", families)],
		type[luaL_checkoption(L, 3, "stream", types)], (int)luaL_optinteger(L, 4, 0), &fd, &err);

	if (r < 0)
		return cl_fail(L, r, err);
	lua_pushinteger(L, fd);
	return 1;
}

static int namespace_gc(lua_State *L)
{
	struct cl_handle *h = cl_handle(L, 1, CL_NAMESPACE);

	conex_namespace_free(h->p);
	h->p = NULL;
	return 0;
}

static const luaL_Reg namespace_methods[] = {
	{ "fd", namespace_fd }, { "take_socket", namespace_socket }, { "free", namespace_gc }, { NULL, NULL }
};

/* ---- specifications ---- */

/* spec(cx): the default; spec(cx, table or JSON); spec_load(cx, path) */
static int spec_new(lua_State *L)
{
	struct cl_handle *h = (lua_settop(L, 2), cl_new(L, CL_SPEC, 0));
	conex_error *err = NULL;
	conex_spec *spec = NULL;
	int r;

	cl_check(L, 1, CL_CONTEXT);
	if (lua_isnil(L, 2)) {
		r = conex_spec_new(&spec, &err);
	} else {
		char *text = cl_dump(L, 2);

		r = conex_spec_parse(text, &spec, &err);
		free(text);
	}
	return r < 0 ? cl_fail(L, r, err) : cl_fill(L, h, spec);
}

static int spec_load(lua_State *L)
{
	struct cl_handle *h = (lua_settop(L, 2), cl_new(L, CL_SPEC, 0));
	conex_error *err = NULL;
	conex_spec *spec = NULL;
	int r;

	cl_check(L, 1, CL_CONTEXT);
	r = conex_spec_load(luaL_checkstring(L, 2), &spec, &err);
	return r < 0 ? cl_fail(L, r, err) : cl_fill(L, h, spec);
}

static int spec_merge(lua_State *L)
{
	conex_spec *spec = cl_check(L, 1, CL_SPEC);
	char *text = cl_dump(L, 2);
	conex_error *err = NULL;
	int r = conex_spec_merge(spec, text, &err);

	free(text);
	return cl_done(L, r, err);
}

static int spec_get(lua_State *L)
{
	conex_error *err = NULL;
	char *text = NULL;
	int r = conex_spec_get(cl_check(L, 1, CL_SPEC), luaL_optstring(L, 2, ""), &text, &err);

	return r < 0 ? cl_fail(L, r, err) : cl_json(L, text);
}

static int spec_text(lua_State *L)
{
	conex_error *err = NULL;
	char *text = NULL;
	int r = conex_spec_print(cl_check(L, 1, CL_SPEC), &text, &err);

	if (r < 0)
		return cl_fail(L, r, err);
	lua_pushstring(L, text);
	free(text);
	return 1;
}

static int spec_gc(lua_State *L)
{
	struct cl_handle *h = cl_handle(L, 1, CL_SPEC);

	conex_spec_free(h->p);
	h->p = NULL;
	return 0;
}

static const luaL_Reg spec_methods[] = { { "merge", spec_merge }, { "get", spec_get }, { "text", spec_text }, { NULL, NULL } };

const luaL_Reg cl_other_methods[] = {
	{ "network_create", network_create }, { "network_delete", network_delete }, { "networks", network_list },
	{ "network", network_inspect }, { "network_policy", network_policy }, { "veth_create", veth_create },
	{ "veth_delete", veth_delete }, { "cgroup_create", cgroup_create }, { "cgroup", cgroup_get },
	{ "cgroup_sample", cgroup_sample }, { "namespace_create", namespace_create }, { "namespace_open", namespace_open },
	{ "spec", spec_new }, { "spec_load", spec_load }, { NULL, NULL }
};

void cl_open_other(lua_State *L)
{
	cl_type(L, CL_CGROUP, cgroup_methods, cgroup_gc);
	lua_pushlightuserdata(L, &watched);
	cl_weak(L, "v");
	lua_rawset(L, LUA_REGISTRYINDEX);
	cl_type(L, CL_NAMESPACE, namespace_methods, namespace_gc);
	cl_type(L, CL_SPEC, spec_methods, spec_gc);
}
