/* From Lua's tables to conex's structs. Memory that a struct points to hangs on a userdata, so that an error in the middle
 * leaks nothing. */
#include "conexlua.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct cl_piece { struct cl_piece *next; max_align_t bytes[]; };

static int memory_gc(lua_State *L)
{
	struct cl_memory *m = lua_touserdata(L, 1);

	while (m->first) {
		struct cl_piece *next = m->first->next;

		free(m->first);
		m->first = next;
	}
	return 0;
}

struct cl_memory *cl_memory(lua_State *L)
{
	struct cl_memory *m = lua_newuserdata(L, sizeof *m);

	m->first = NULL;
	if (luaL_newmetatable(L, "conex.memory")) {
		lua_pushcfunction(L, memory_gc);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	return m;
}

void *cl_bytes(lua_State *L, struct cl_memory *m, size_t size)
{
	struct cl_piece *p = calloc(1, sizeof *p + size);

	if (!p)
		luaL_error(L, "not enough memory");
	p->next = m->first;
	m->first = p;
	return p->bytes;
}

const char *cl_text(lua_State *L, struct cl_memory *m, int i)
{
	size_t size;
	const char *text = luaL_checklstring(L, i, &size);

	if (strlen(text) != size)
		luaL_error(L, "a text with a zero byte");
	return memcpy(cl_bytes(L, m, size + 1), text, size + 1);
}

/* A list as it is; keys and values as "key=value". */
const char *const *cl_texts(lua_State *L, struct cl_memory *m, int i, const char *what)
{
	size_t count = 0, at = 0;
	const char **list;

	if (lua_type(L, i) == LUA_TSTRING) {
		list = cl_bytes(L, m, 2 * sizeof *list);
		list[0] = cl_text(L, m, i);
		return list;
	}
	if (!lua_istable(L, i))
		luaL_error(L, "%s: a table is needed", what);
	for (lua_pushnil(L); lua_next(L, i); lua_pop(L, 1))
		count++;
	list = cl_bytes(L, m, (count + 1) * sizeof *list);
	for (size_t n = 1; n <= cl_len(L, i); n++) {
		lua_rawgeti(L, i, (int)n);
		lua_tostring(L, -1);
		list[at++] = cl_text(L, m, lua_gettop(L));
		lua_pop(L, 1);
	}
	for (lua_pushnil(L); lua_next(L, i); lua_pop(L, 1))
		if (lua_type(L, -2) == LUA_TSTRING) {
			lua_pushvalue(L, -2);
			lua_pushliteral(L, "=");
			lua_pushvalue(L, -3);
			lua_concat(L, 3);
			list[at++] = cl_text(L, m, lua_gettop(L));
			lua_pop(L, 1);
		}
	return list;
}

uint64_t cl_size(lua_State *L, int i, const char *what)
{
	conex_error *err = NULL;
	uint64_t bytes;

	if (lua_type(L, i) == LUA_TNUMBER)
		return lua_tonumber(L, i) < 0 ? (luaL_error(L, "%s: below 0", what), 0) : (uint64_t)lua_tonumber(L, i);
	if (!strcmp(luaL_checkstring(L, i), "max"))
		return CONEX_UNLIMITED;
	if (conex_parse_size(lua_tostring(L, i), &bytes, &err) < 0) {
		lua_pushfstring(L, "%s: %s", what, conex_error_text(err));
		conex_error_free(err);
		lua_error(L);
	}
	return bytes;
}

static int64_t milliseconds(lua_State *L, int i, const char *what)
{
	lua_Number seconds = luaL_checknumber(L, i);

	if (!(seconds >= 0 && seconds < 1e12))
		luaL_error(L, "%s: seconds, not below 0", what);
	return (int64_t)(seconds * 1000 + 0.999);
}

int cl_milliseconds(lua_State *L, int i)
{
	int64_t ms = lua_isnoneornil(L, i) ? -1 : milliseconds(L, i, "timeout");

	return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* ---- limits ---- */

static const struct { const char *name; size_t at; } sizes[] = {
	{ "memory", offsetof(struct conex_limits, memory) }, { "swap", offsetof(struct conex_limits, swap) },
	{ "memory_low", offsetof(struct conex_limits, memory_low) }, { "memory_min", offsetof(struct conex_limits, memory_min) },
	{ "memory_high", offsetof(struct conex_limits, memory_high) }, { "pids", offsetof(struct conex_limits, pids) }
};

static int set_limit(lua_State *L, struct cl_memory *m, const char *name, int i, struct conex_limits *l)
{
	for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++)
		if (!strcmp(name, sizes[n].name)) {
			*(uint64_t *)(void *)((char *)l + sizes[n].at) = cl_size(L, i, name);
			return 1;
		}
	if (!strcmp(name, "cpus"))
		l->cpus = luaL_checknumber(L, i);
	else if (!strcmp(name, "cpu_weight"))
		l->cpu_weight = (uint32_t)luaL_checkinteger(L, i);
	else if (!strcmp(name, "cpu_shares"))
		l->cpu_shares = (uint32_t)luaL_checkinteger(L, i);
	else if (!strcmp(name, "cpuset"))
		l->cpuset = cl_text(L, m, i);
	else if (!strcmp(name, "resources")) {
		char *text = cl_dump(L, i);

		lua_pushstring(L, text);
		free(text);
		l->oci = cl_text(L, m, lua_gettop(L));
		lua_pop(L, 1);
	} else
		return 0;
	return 1;
}

void cl_limits(lua_State *L, struct cl_memory *m, int i, struct conex_limits *ret)
{
	ret->size = sizeof *ret;
	luaL_checktype(L, i, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, i); lua_pop(L, 1))
		if (lua_type(L, -2) != LUA_TSTRING || !set_limit(L, m, lua_tostring(L, -2), lua_gettop(L), ret))
			luaL_error(L, "no limit has this name: %s", lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "(a number)");
}

/* ---- what is started ---- */

static int stdio(lua_State *L, int i, const char *name)
{
	static const struct { const char *word; int value; } words[] = { { "null", CONEX_STDIO_NULL }, { "pipe", CONEX_STDIO_PIPE },
		{ "host", CONEX_STDIO_HOST }, { "log", CONEX_STDIO_LOG }, { "stdout", CONEX_STDIO_OUT } };

	if (lua_type(L, i) == LUA_TNUMBER && lua_tointeger(L, i) >= 0)
		return CONEX_STDIO_FD((int)lua_tointeger(L, i));
	for (size_t n = 0; n < sizeof words / sizeof *words; n++)
		if (lua_type(L, i) == LUA_TSTRING && !strcmp(lua_tostring(L, i), words[n].word))
			return words[n].value;
	return luaL_error(L, "%s: \"pipe\", \"host\", \"null\", \"stdout\" (for stderr) or a descriptor", name);
}

static const char *field(lua_State *L, struct cl_memory *m, int table, int n, const char *name)
{
	const char *text = NULL;

	lua_getfield(L, table, name);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		lua_rawgeti(L, table, n);
	}
	if (!lua_isnil(L, -1))
		text = cl_text(L, m, lua_gettop(L));
	lua_pop(L, 1);
	return text;
}

/* "/host:/inside:ro", "tmpfs:/inside:size=16M" */
static struct conex_mount written_mount(lua_State *L, struct cl_memory *m, int i)
{
	struct conex_mount to = { .source = cl_text(L, m, i) };
	char *target = strchr((char *)to.source, ':'), *options;

	if (!target || !target[1])
		luaL_error(L, "mounts: \"%s\": \"/host:/inside\", \"/host:/inside:ro\" or \"tmpfs:/inside:size=16M\"", to.source);
	*target++ = '\0';
	options = strchr(target, ':');
	if (options)
		*options++ = '\0';
	to.target = target;
	to.options = options;
	to.type = !strcmp(to.source, "tmpfs") ? "tmpfs" : *to.source == '/' ? NULL : "volume";
	return to;
}

static const struct conex_mount *mounts(lua_State *L, struct cl_memory *m, int i)
{
	size_t count = (luaL_checktype(L, i, LUA_TTABLE), cl_len(L, i));
	struct conex_mount *list = cl_bytes(L, m, (count + 1) * sizeof *list);

	for (size_t n = 0; n < count; n++) {
		int at;

		lua_rawgeti(L, i, (int)n + 1);
		at = lua_gettop(L);
		if (lua_istable(L, at))
			list[n] = (struct conex_mount){ field(L, m, at, 1, "source"), field(L, m, at, 2, "target"),
				field(L, m, at, 3, "type"), field(L, m, at, 4, "options") };
		else
			list[n] = written_mount(L, m, at);
		lua_pop(L, 1);
	}
	return list;
}

static size_t add_ports(lua_State *L, struct cl_memory *m, const char *text, struct conex_port **list, size_t count)
{
	struct conex_port *more, *longer;
	conex_error *err = NULL;
	int n = conex_parse_ports(text, &more, &err);

	if (n < 0) {
		lua_pushstring(L, conex_error_text(err));
		conex_error_free(err);
		lua_error(L);
	}
	longer = malloc((count + (size_t)n + 1) * sizeof *longer);
	if (longer) {
		size_t bytes = (count + (size_t)n + 1) * sizeof *longer;
		struct conex_port *kept = longer;

		if (count)
			memcpy(kept, *list, count * sizeof *kept);
		for (int k = 0; k <= n; k++)
			kept[count + (size_t)k] = more[k];
		*list = cl_bytes(L, m, bytes);
		memcpy(*list, kept, bytes);
		free(kept);
		for (size_t k = count; k < count + (size_t)n; k++) {    /* the texts are in the block that is freed */
			struct conex_port *p = &(*list)[k];

			p->address = p->address ? (lua_pushstring(L, p->address), cl_text(L, m, -1)) : NULL;
			p->protocol = p->protocol ? (lua_pushstring(L, p->protocol), cl_text(L, m, -1)) : NULL;
			lua_settop(L, lua_gettop(L) - (p->address != NULL) - (p->protocol != NULL));
		}
	}
	free(more);
	return longer ? count + (size_t)n : (size_t)luaL_error(L, "not enough memory");
}

static const struct conex_port *ports(lua_State *L, struct cl_memory *m, int i)
{
	struct conex_port *list = cl_bytes(L, m, sizeof *list);
	size_t count = 0;

	if (!lua_istable(L, i)) {
		add_ports(L, m, luaL_checkstring(L, i), &list, 0);
		return list;
	}
	for (size_t n = 1; n <= cl_len(L, i); n++) {
		lua_rawgeti(L, i, (int)n);
		count = add_ports(L, m, luaL_checkstring(L, -1), &list, count);
		lua_pop(L, 1);
	}
	return list;
}

static const char *json(lua_State *L, struct cl_memory *m, int i)
{
	const char *kept;
	char *text = cl_dump(L, i);

	lua_pushstring(L, text);
	free(text);
	kept = cl_text(L, m, lua_gettop(L));
	lua_pop(L, 1);
	return kept;
}

static const char *joined(lua_State *L, struct cl_memory *m, int i)
{
	luaL_Buffer b;
	const char *kept;

	if (!lua_istable(L, i))
		return cl_text(L, m, i);
	luaL_buffinit(L, &b);
	for (size_t n = 1; n <= cl_len(L, i); n++) {
		if (n > 1)
			luaL_addchar(&b, ',');
		lua_rawgeti(L, i, (int)n);
		luaL_addvalue(&b);
	}
	luaL_pushresult(&b);
	kept = cl_text(L, m, lua_gettop(L));
	lua_pop(L, 1);
	return kept;
}

static uint32_t namespaces(lua_State *L, struct cl_memory *m, int i)
{
	static const char *const names[] = { "mount", "pid", "net", "ipc", "uts", "user", "cgroup", "time" };
	uint32_t bits = 0;

	for (const char *const *name = cl_texts(L, m, i, "share"); *name; name++) {
		size_t n = 0;

		while (n < 8 && strcmp(names[n], *name))
			n++;
		if (n == 8 && strcmp(*name, "all"))
			luaL_error(L, "share: \"%s\" is no namespace", *name);
		bits |= n == 8 ? CONEX_NS_ALL : 1U << n;
	}
	return bits;
}

static conex_namespace *const *joins(lua_State *L, struct cl_memory *m, int i)
{
	size_t count = (luaL_checktype(L, i, LUA_TTABLE), cl_len(L, i));
	conex_namespace **list = cl_bytes(L, m, (count + 1) * sizeof *list);

	for (size_t n = 0; n < count; n++) {
		lua_rawgeti(L, i, (int)n + 1);
		list[n] = cl_check(L, -1, CL_NAMESPACE);
		lua_pop(L, 1);
	}
	return list;
}

/* The names of a table of handlers, or a list of names. */
static const char *const *asks(lua_State *L, struct cl_memory *m, int i)
{
	const char **list;
	size_t count = 0;

	luaL_checktype(L, i, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, i); lua_pop(L, 1))
		count++;
	list = cl_bytes(L, m, (count + 1) * sizeof *list);
	count = 0;
	for (lua_pushnil(L); lua_next(L, i); lua_pop(L, 1))
		list[count++] = cl_text(L, m, lua_type(L, -2) == LUA_TSTRING ? lua_gettop(L) - 1 : lua_gettop(L));
	return list;
}

static void descriptors(lua_State *L, struct cl_memory *m, int i, struct conex_run_options *o)
{
	size_t count = (luaL_checktype(L, i, LUA_TTABLE), cl_len(L, i));
	int *list = cl_bytes(L, m, (count + 1) * sizeof *list);

	for (size_t n = 0; n < count; n++) {
		lua_rawgeti(L, i, (int)n + 1);
		list[n] = (int)luaL_checkinteger(L, -1);
		lua_pop(L, 1);
	}
	o->fds = list;
	o->fds_size = count;
}

static const struct { const char *name; uint64_t flag; } flags[] = {
	{ "nowait", CONEX_RUN_NOWAIT }, { "hold", CONEX_RUN_HOLD }, { "tty", CONEX_RUN_TTY }, { "read_only", CONEX_RUN_READ_ONLY },
	{ "init", CONEX_RUN_INIT }, { "userns", CONEX_RUN_USERNS }, { "autodelete", CONEX_RUN_AUTODELETE },
	{ "timeline", CONEX_RUN_TIMELINE }
};

#define AT(field) offsetof(struct conex_run_options, field)
static const struct { const char *name; size_t at; } texts[] = {
	{ "id", AT(id) }, { "cwd", AT(cwd) }, { "user", AT(user) }, { "hostname", AT(hostname) }, { "rootfs", AT(rootfs) }
}, lists[] = {
	{ "labels", AT(labels) }, { "env", AT(env) }, { "hosts", AT(hosts) }, { "dns", AT(dns) }
};

static int set_plain(lua_State *L, struct cl_memory *m, const char *name, int i, struct conex_run_options *o)
{
	for (size_t n = 0; n < sizeof flags / sizeof *flags; n++)
		if (!strcmp(name, flags[n].name)) {
			o->flags |= lua_toboolean(L, i) ? flags[n].flag : 0;
			return 1;
		}
	for (size_t n = 0; n < sizeof texts / sizeof *texts; n++)
		if (!strcmp(name, texts[n].name)) {
			*(const char **)(void *)((char *)o + texts[n].at) = cl_text(L, m, i);
			return 1;
		}
	for (size_t n = 0; n < sizeof lists / sizeof *lists; n++)
		if (!strcmp(name, lists[n].name)) {
			*(const char *const **)(void *)((char *)o + lists[n].at) = cl_texts(L, m, i, name);
			return 1;
		}
	return 0;
}

static int set_other(lua_State *L, struct cl_memory *m, const char *name, int i, struct conex_run_options *o)
{
	size_t size;

	if (!strcmp(name, "stdin"))
		o->in = stdio(L, i, name);
	else if (!strcmp(name, "stdout"))
		o->out = stdio(L, i, name);
	else if (!strcmp(name, "stderr"))
		o->err = stdio(L, i, name);
	else if (!strcmp(name, "input")) {
		const char *bytes = luaL_checklstring(L, i, &size);

		o->input = size ? memcpy(cl_bytes(L, m, size), bytes, size) : NULL;
		o->input_size = size;
	} else if (!strcmp(name, "timeout"))
		o->timeout_ms = milliseconds(L, i, name);
	else if (!strcmp(name, "grace"))
		o->grace_ms = milliseconds(L, i, name);
	else if (!strcmp(name, "mounts"))
		o->mounts = mounts(L, m, i);
	else if (!strcmp(name, "network"))
		o->network = joined(L, m, i);
	else if (!strcmp(name, "ports"))
		o->ports = ports(L, m, i);
	else if (!strcmp(name, "share"))
		o->share = namespaces(L, m, i);
	else if (!strcmp(name, "join"))
		o->join = joins(L, m, i);
	else if (!strcmp(name, "ask"))
		o->ask = asks(L, m, i);
	else if (!strcmp(name, "spec"))
		o->spec = cl_check(L, i, CL_SPEC);
	else if (!strcmp(name, "oci"))
		o->oci = json(L, m, i);
	else if (!strcmp(name, "pass_fds"))
		descriptors(L, m, i, o);
	else if (!strcmp(name, "ingress_bps"))
		o->ingress_bps = cl_size(L, i, name);
	else if (!strcmp(name, "disk"))
		o->disk = cl_size(L, i, name);
	else if (!strcmp(name, "egress_bps"))
		o->egress_bps = cl_size(L, i, name);
	else
		return 0;
	return 1;
}

static const char *const *command(lua_State *L, struct cl_memory *m, int i)
{
	size_t count = cl_len(L, i);
	const char **list = count ? cl_bytes(L, m, (count + 1) * sizeof *list) : NULL;

	for (size_t n = 0; n < count; n++) {
		lua_rawgeti(L, i, (int)n + 1);
		list[n] = cl_text(L, m, lua_gettop(L));
		lua_pop(L, 1);
	}
	return list;
}

const char *const *cl_options(lua_State *L, struct cl_memory *m, int i, struct conex_run_options *o)
{
	struct conex_limits *l = cl_bytes(L, m, sizeof *l);

	o->size = sizeof *o;
	l->size = sizeof *l;
	if (lua_isnoneornil(L, i))
		return NULL;
	luaL_checktype(L, i, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, i); lua_pop(L, 1)) {
		const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
		int at = lua_gettop(L);

		if (!name || !strcmp(name, "image"))
			continue;
		if (set_limit(L, m, name, at, l))
			o->limits = l;
		else if (!set_plain(L, m, name, at, o) && !set_other(L, m, name, at, o))
			luaL_error(L, "no option has this name: %s", name);
	}
	return command(L, m, i);
}
