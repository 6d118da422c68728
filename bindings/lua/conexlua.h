/* The parts of conex.core, the C half of the Lua module; conex.lua is the other. One source for Lua 5.1 to 5.4 and LuaJIT. */
#ifndef CONEXLUA_H
#define CONEXLUA_H

#include <conex/conex.h>
#include <lua.h>
#include <lauxlib.h>

/* ---- core.c: what the versions of Lua have and haven't ---- */

#if LUA_VERSION_NUM < 502
#define cl_len(L, i) lua_objlen(L, i)
#else
#define cl_len(L, i) lua_rawlen(L, i)
#endif

void cl_methods(lua_State *L, const luaL_Reg *list);    /* into the table on top */
void cl_weak(lua_State *L, const char *mode);           /* pushes a new table whose "k" or "v" are weak */
/* A type of userdata, by its name: with methods, and what frees it. */
void cl_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc);

/* ---- core.c: handles ---- */

#define CL_CONTEXT "conex.context"
#define CL_CONTAINER "conex.container"
#define CL_PROCESS "conex.process"
#define CL_PLAN "conex.plan"
#define CL_JOB "conex.job"
#define CL_SPEC "conex.spec"
#define CL_CGROUP "conex.cgroup"
#define CL_NAMESPACE "conex.namespace"
#define CL_SYSCALL "conex.syscall"

struct cl_handle { void *p; };  /* NULL: closed, or answered */

/* conex_close ends system calls that wait: what a context and its calls know together, counted. */
struct cl_life { int refs, closed; };
struct cl_context { struct cl_handle handle; struct cl_life *life; };
struct cl_call { struct cl_handle handle; struct cl_life *life; };

/* A new userdata of this type, still empty, on top of the stack: made before what it is for, so that a want of memory loses
 * nothing. owner: the stack's index of the context it lives with, which it keeps alive; 0: none. */
struct cl_handle *cl_new(lua_State *L, const char *type, int owner);
void *cl_new_of(lua_State *L, const char *type, int owner, size_t size);        /* one that begins with a handle; else zero */
/* What the handle on top of the stack is for: found again by cl_known, which pushes it, 1, or nothing, 0. Returns 1 */
int cl_fill(lua_State *L, struct cl_handle *h, void *p);
int cl_known(lua_State *L, void *p);
void cl_own(lua_State *L, int handle, int owner);       /* indices; nil: no longer */
void *cl_check(lua_State *L, int i, const char *type);  /* raises where it isn't one, or closed */
struct cl_handle *cl_handle(lua_State *L, int i, const char *type);

/* ---- core.c: answers ---- */

/* A newer library's numbers have no name here yet. */
#define CL_NAME(names, n, otherwise) \
	((n) >= 0 && (size_t)(n) < sizeof (names) / sizeof *(names) ? (names)[n] : (otherwise))

/* nil, message, errno, details; or raises these details, as conex.raise says. Frees the error. */
int cl_fail(lua_State *L, int code, conex_error *err);
int cl_error(lua_State *L, int code, const conex_error *err);   /* frees nothing */
/* true for 0 and more, else as above */
int cl_done(lua_State *L, int r, conex_error *err);
/* What waits: true it has happened, false not yet, or as above. */
int cl_happened(lua_State *L, int r, conex_error *err);
int cl_strings(lua_State *L, char **list, int count);   /* a list; freed */
int cl_pids(lua_State *L, pid_t *pids, int count);      /* the same */
int cl_json(lua_State *L, char *text);                  /* json.c: as tables; freed */
char *cl_dump(lua_State *L, int i);                     /* json.c: a table (or a text) as JSON; free(3) */
void cl_number(lua_State *L, uint64_t n);               /* nil: UINT64_MAX */

/* ---- options.c ---- */

/* What a C struct points to lives in a userdata on the stack, until that is collected. */
struct cl_memory { struct cl_piece *first; };
struct cl_memory *cl_memory(lua_State *L);
void *cl_bytes(lua_State *L, struct cl_memory *m, size_t size);
const char *cl_text(lua_State *L, struct cl_memory *m, int i);
const char *const *cl_texts(lua_State *L, struct cl_memory *m, int i, const char *what);
uint64_t cl_size(lua_State *L, int i, const char *what);        /* a number, or "64M" */
/* The list part of the table is the command. Returns it; NULL: none */
const char *const *cl_options(lua_State *L, struct cl_memory *m, int i, struct conex_run_options *o);
void cl_limits(lua_State *L, struct cl_memory *m, int i, struct conex_limits *ret);
int cl_milliseconds(lua_State *L, int i);               /* seconds on the stack, for a timeout_ms: nil is -1 */

/* ---- broker.c ---- */

void cl_push_call(lua_State *L, conex_syscall *s, int context);

/* ---- what is registered ---- */

void cl_open_context(lua_State *L);
void cl_open_container(lua_State *L);
void cl_open_process(lua_State *L);
void cl_open_images(lua_State *L);
void cl_open_other(lua_State *L);
void cl_open_broker(lua_State *L);
void cl_open_descriptors(lua_State *L);
extern const luaL_Reg cl_context_functions[], cl_descriptor_functions[];                /* of the module */
extern const luaL_Reg cl_run_methods[], cl_image_methods[], cl_other_methods[];         /* of a context */
/* container.c, for processes too */
int cl_push_exit(lua_State *L, const struct conex_exit *x);
int cl_push_pid(lua_State *L, pid_t pid);       /* nil: none */
int cl_push_error(lua_State *L, const conex_error *e);
/* other.c */
int cl_classify(lua_State *L);
int cl_watched(lua_State *L, void *data);       /* pushes the cgroup whose watch brought this, 1; or nothing, 0 */
void cl_push_stats(lua_State *L, const struct conex_stats *s);

#endif
