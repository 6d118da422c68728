/* Descriptors, for the other half: Lua has none. */
#include "conexlua.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int add(lua_State *L, int i, struct pollfd *p, short events)
{
	int count = lua_istable(L, i) ? (int)cl_len(L, i) : 0;

	for (int n = 0; p && n < count; n++) {
		lua_rawgeti(L, i, n + 1);
		p[n] = (struct pollfd){ .fd = (int)lua_tointeger(L, -1), .events = events };
		lua_pop(L, 1);
	}
	return count;
}

/* poll({fds to read}, seconds, {fds to write}): those that are ready, as a set; nil waits for ever */
static int fd_poll(lua_State *L)
{
	int reads = add(L, 1, NULL, 0), writes = add(L, 3, NULL, 0), ms = cl_milliseconds(L, 2);
	struct pollfd *p = lua_newuserdata(L, sizeof *p * (size_t)(reads + writes + 1));

	add(L, 1, p, POLLIN);
	add(L, 3, p + reads, POLLOUT);
	if (poll(p, (nfds_t)(reads + writes), ms) < 0 && errno != EINTR)
		return luaL_error(L, "poll: %s", strerror(errno));
	lua_newtable(L);
	for (int i = 0; i < reads + writes; i++)
		if (p[i].revents) {
			lua_pushboolean(L, 1);
			lua_rawseti(L, -2, p[i].fd);
		}
	return 1;
}

/* read(fd): bytes; "" at its end; false: nothing there now */
static int fd_read(lua_State *L)
{
	enum { MOST = 65536 };
	int fd = (int)luaL_checkinteger(L, 1);
	char *buffer = lua_newuserdata(L, MOST);
	ssize_t n = read(fd, buffer, MOST);

	if (n < 0 && errno != EIO) {    /* a terminal's end is EIO */
		if (errno != EAGAIN && errno != EINTR)
			return cl_fail(L, -errno, NULL);
		lua_pushboolean(L, 0);
		return 1;
	}
	lua_pushlstring(L, buffer, n < 0 ? 0 : (size_t)n);
	return 1;
}

/* write(2) whose SIGPIPE, which would end a host that has no handler for it, comes back as EPIPE alone. The mask is this
 * thread's, and as it was in the end. */
static ssize_t write_quietly(int fd, const void *bytes, size_t size)
{
	static const struct timespec now;
	sigset_t pipe, old, pending;
	ssize_t n;
	int saved;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigemptyset(&pending);
	sigpending(&pending);
	if (sigismember(&pending, SIGPIPE))     /* somebody else's: it stays so */
		return write(fd, bytes, size);
	pthread_sigmask(SIG_BLOCK, &pipe, &old);
	n = write(fd, bytes, size);
	saved = errno;
	if (n < 0 && saved == EPIPE)
		while (sigtimedwait(&pipe, NULL, &now) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return n;
}

/* write(fd, bytes, from): how many were taken; false: none now */
static int fd_write(lua_State *L)
{
	int fd = (int)luaL_checkinteger(L, 1);
	size_t size, from = (size_t)luaL_optinteger(L, 3, 1) - 1;
	const char *bytes = luaL_checklstring(L, 2, &size);
	ssize_t n = from >= size ? 0 : write_quietly(fd, bytes + from, size - from);

	if (n >= 0)
		lua_pushinteger(L, (lua_Integer)n);
	else if (errno == EAGAIN || errno == EINTR)
		lua_pushboolean(L, 0);
	else
		return cl_fail(L, -errno, NULL);
	return 1;
}

/* file(path, "r"): a descriptor of a file or directory; "w": of a file, made or emptied, or of a directory that is there */
static int fd_file(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	int writes = *luaL_checkstring(L, 2) == 'w';
	int fd = open(path, writes ? O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC : O_RDONLY | O_CLOEXEC, 0666);

	if (fd < 0 && errno == EISDIR)
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return cl_fail(L, -errno, NULL);
	lua_pushinteger(L, fd);
	return 1;
}

static int fd_close(lua_State *L)
{
	close((int)luaL_checkinteger(L, 1));
	return 0;
}

static int fd_dup(lua_State *L)
{
	int fd = fcntl((int)luaL_checkinteger(L, 1), F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return cl_fail(L, -errno, NULL);
	lua_pushinteger(L, fd);
	return 1;
}

/* Starts it, waits, says how it went; 0 or a negative errno. */
static int reach(int fd, const struct sockaddr *to, socklen_t size, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int error = 0, n;
	socklen_t length = sizeof error;

	if (!connect(fd, to, size))
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	while ((n = poll(&p, 1, ms)) < 0 && errno == EINTR)
		;
	if (n <= 0)
		return n ? -errno : -ETIMEDOUT;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? -errno : -error;
}

/* connect("10.0.0.7", 443, seconds): a TCP connection's descriptor, blocking as programs expect theirs. Numeric addresses only: a
 * broker that asks a name service after its check has checked nothing. */
static int fd_connect(lua_State *L)
{
	const char *address = luaL_checkstring(L, 1);
	lua_Integer port = luaL_checkinteger(L, 2);
	int ms = cl_milliseconds(L, 3), fd, r;
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	int is4 = inet_pton(AF_INET, address, &in.sin_addr) == 1;

	if (!is4 && inet_pton(AF_INET6, address, &in6.sin6_addr) != 1)
		return luaL_argerror(L, 1, "an IPv4 or IPv6 address was expected");
	luaL_argcheck(L, port > 0 && port < 65536, 2, "no port");
	fd = socket(is4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return cl_fail(L, -errno, NULL);
	r = is4 ? reach(fd, (struct sockaddr *)&in, sizeof in, ms) : reach(fd, (struct sockaddr *)&in6, sizeof in6, ms);
	if (!r && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		return cl_fail(L, r, NULL);
	}
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

static int fd_guard(lua_State *L)
{
	int *fd = lua_newuserdata(L, sizeof *fd);

	*fd = (int)luaL_checkinteger(L, 1);
	luaL_getmetatable(L, "conex.guard");
	lua_setmetatable(L, -2);
	return 1;
}

static int fd_now(lua_State *L)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec / 1e9);
	return 1;
}

const luaL_Reg cl_descriptor_functions[] = {
	{ "poll", fd_poll }, { "read", fd_read }, { "write", fd_write }, { "file", fd_file }, { "close", fd_close }, { "dup", fd_dup },
	{ "connect", fd_connect }, { "guard", fd_guard }, { "now", fd_now }, { NULL, NULL }
};

void cl_open_descriptors(lua_State *L)
{
	static const luaL_Reg methods[] = { { "close", guard_close }, { NULL, NULL } };

	cl_type(L, "conex.guard", methods, guard_close);
}
