/* System calls that wait for an answer. */
#include "conexlua.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* NULL: it has its answer, or the context was closed, which answers all. */
static conex_syscall *waiting(struct cl_call *c)
{
	if (c->life && c->life->closed)
		c->handle.p = NULL;
	return c->handle.p;
}

static conex_syscall *check(lua_State *L)
{
	conex_syscall *s = waiting(luaL_checkudata(L, 1, CL_SYSCALL));

	if (!s)
		luaL_error(L, "the system call is answered already");
	return s;
}

#define CALL(L) check(L)

void cl_push_call(lua_State *L, conex_syscall *s, int context)
{
	struct cl_call *c = cl_new_of(L, CL_SYSCALL, context, sizeof *c);

	c->life = ((struct cl_context *)lua_touserdata(L, context))->life;
	c->life->refs++;
	cl_fill(L, &c->handle, s);
}

static int call_name(lua_State *L)
{
	lua_pushstring(L, conex_syscall_name(CALL(L)));
	return 1;
}

/* 1 to 6 */
static int call_arg(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)(int64_t)conex_syscall_arg(CALL(L), (int)luaL_checkinteger(L, 2) - 1));
	return 1;
}

static int call_pid(lua_State *L)
{
	lua_pushinteger(L, conex_syscall_pid(CALL(L)));
	return 1;
}

static int call_read(lua_State *L)
{
	conex_syscall *s = CALL(L);
	uint64_t address = (uint64_t)(int64_t)luaL_checknumber(L, 2);
	size_t size = (size_t)luaL_checkinteger(L, 3);
	char *buffer = lua_newuserdata(L, size + 1);
	conex_error *err = NULL;
	int r = conex_syscall_read(s, address, buffer, size, &err);

	if (r < 0)
		return cl_fail(L, r, err);
	lua_pushlstring(L, buffer, (size_t)r);
	return 1;
}

/* Whoever waited for an answer may be gone: that is no error. */
static int ended(lua_State *L, int r, conex_error *err)
{
	if (r < 0 && r != -ENOENT)
		return cl_fail(L, r, err);
	conex_error_free(err);
	cl_handle(L, 1, CL_SYSCALL)->p = NULL;
	lua_pushboolean(L, 1);
	return 1;
}

static int call_return(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_syscall_return(CALL(L), (int64_t)luaL_optnumber(L, 2, 0), &err);

	return ended(L, r, err);
}

static const struct { const char *name; int number; } errors[] = {
#define E(name) { #name, name }
	E(EPERM), E(ENOENT), E(ESRCH), E(EINTR), E(EIO), E(ENXIO), E(E2BIG), E(ENOEXEC), E(EBADF), E(ECHILD), E(EAGAIN),
	E(ENOMEM), E(EACCES), E(EFAULT), E(ENOTBLK), E(EBUSY), E(EEXIST), E(EXDEV), E(ENODEV), E(ENOTDIR), E(EISDIR),
	E(EINVAL), E(ENFILE), E(EMFILE), E(ENOTTY), E(ETXTBSY), E(EFBIG), E(ENOSPC), E(ESPIPE), E(EROFS), E(EMLINK),
	E(EPIPE), E(EDOM), E(ERANGE), E(EDEADLK), E(EDEADLOCK), E(ENAMETOOLONG), E(ENOLCK), E(ENOSYS), E(ENOTEMPTY), E(ELOOP), E(ENOMSG),
	E(EIDRM), E(ECHRNG), E(EL2NSYNC), E(EL3HLT), E(EL3RST), E(ELNRNG), E(EUNATCH), E(ENOCSI), E(EL2HLT), E(EBADE),
	E(EBADR), E(EXFULL), E(ENOANO), E(EBADRQC), E(EBADSLT), E(EBFONT), E(ENOSTR), E(ENODATA), E(ETIME), E(ENOSR),
	E(ENONET), E(ENOPKG), E(EREMOTE), E(ENOLINK), E(EADV), E(ESRMNT), E(ECOMM), E(EPROTO), E(EMULTIHOP), E(EDOTDOT),
	E(EBADMSG), E(EOVERFLOW), E(ENOTUNIQ), E(EBADFD), E(EREMCHG), E(ELIBACC), E(ELIBBAD), E(ELIBSCN), E(ELIBMAX),
	E(ELIBEXEC), E(EILSEQ), E(ERESTART), E(ESTRPIPE), E(EUSERS), E(ENOTSOCK), E(EDESTADDRREQ), E(EMSGSIZE),
	E(EPROTOTYPE), E(ENOPROTOOPT), E(EPROTONOSUPPORT), E(ESOCKTNOSUPPORT), E(ENOTSUP), E(EOPNOTSUPP), E(EPFNOSUPPORT), E(EAFNOSUPPORT),
	E(EADDRINUSE), E(EADDRNOTAVAIL), E(ENETDOWN), E(ENETUNREACH), E(ENETRESET), E(ECONNABORTED), E(ECONNRESET),
	E(ENOBUFS), E(EISCONN), E(ENOTCONN), E(ESHUTDOWN), E(ETOOMANYREFS), E(ETIMEDOUT), E(ECONNREFUSED), E(EHOSTDOWN),
	E(EHOSTUNREACH), E(EALREADY), E(EINPROGRESS), E(ESTALE), E(EUCLEAN), E(ENOTNAM), E(ENAVAIL), E(EISNAM), E(EREMOTEIO),
	E(EDQUOT), E(ENOMEDIUM), E(EMEDIUMTYPE), E(ECANCELED), E(ENOKEY), E(EKEYEXPIRED), E(EKEYREVOKED), E(EKEYREJECTED),
	E(EOWNERDEAD), E(ENOTRECOVERABLE), E(ERFKILL), E(EWOULDBLOCK)
#undef E
};

static int call_fail(lua_State *L)
{
	conex_syscall *s = CALL(L);
	conex_error *err = NULL;
	int number = 0, r;

	if (lua_type(L, 2) == LUA_TNUMBER)
		number = (int)lua_tointeger(L, 2);
	else
		for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
			if (!strcmp(errors[i].name, luaL_checkstring(L, 2)))
				number = errors[i].number;
	if (number <= 0)
		return luaL_error(L, "fail: an error's name (\"EACCES\") or number");
	r = conex_syscall_return(s, -number, &err);
	return ended(L, r, err);
}

static int call_inject(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_syscall_inject(CALL(L), (int)luaL_checkinteger(L, 2), (int)luaL_optinteger(L, 3, -1), &err);

	return ended(L, r, err);
}

static int call_proceed(lua_State *L)
{
	conex_error *err = NULL;
	int r = conex_syscall_proceed(CALL(L), &err);

	return ended(L, r, err);
}

static int call_answered(lua_State *L)
{
	lua_pushboolean(L, waiting(luaL_checkudata(L, 1, CL_SYSCALL)) == NULL);
	return 1;
}

static const luaL_Reg methods[] = {
	{ "name", call_name }, { "arg", call_arg }, { "pid", call_pid }, { "read", call_read }, { "ret", call_return },
	{ "fail", call_fail }, { "inject", call_inject }, { "proceed", call_proceed }, { "answered", call_answered }, { NULL, NULL }
};

/* Nobody has answered, and nobody can any more. */
static int call_gc(lua_State *L)
{
	struct cl_call *c = luaL_checkudata(L, 1, CL_SYSCALL);

	if (waiting(c))
		conex_syscall_return(c->handle.p, -EPERM, NULL);
	c->handle.p = NULL;
	if (c->life && --c->life->refs == 0)
		free(c->life);
	c->life = NULL;
	return 0;
}

void cl_open_broker(lua_State *L)
{
	cl_type(L, CL_SYSCALL, methods, call_gc);
}
